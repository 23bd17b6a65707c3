/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "media/fields_int.h"
#include "media/reader_int.h"
#include "media/video_reader_int.h"

/*
 * The scan's look at decoded pictures: a few at places all over the title, more where the first ones are
 * interlaced or say that they are. Bounded: PLACES_MAX * (MORE + SKIPPED_MAX) pictures. The first one also says
 * whether pictures are turned, where the container does not.
 */

#define PLACES_MAX 8
#define PLACE_US (1 * INT64_C(1000000)) /* of a short title: a place for each */
#define FEW 14u                         /* pictures of a place */
#define MORE 42u
#define ONLY 4u          /* a title that cannot be seeked in has one place, of so many times the pictures */
#define SKIPPED_MAX 300u /* until new ones come, where places fall on one random access point */
#define LEADING_MAX 16u  /* before a first I picture: they may lack what they refer to */
#define ROWS_MIN 32u
#define DISTANCES_LEAST 6u

typedef struct look {
    vpi_video_reader *reader;
    vpi_fields *fields;
    const vpi_track *track;
    uint32_t width, height, thin; /* of the first picture; columns left out */
    int64_t last;                 /* time of the last picture */
    bool any;
    vpi_turn turn;               /* of the first picture of the title */
    uint32_t distances, doubled; /* of pictures following each other; those of two frames */
    bool ran_back;               /* a picture has an earlier time than the one shown before it */
} look;

static vpi_scan_order flag_of(const AVFrame *av)
{
#if LIBAVUTIL_VERSION_INT >= AV_VERSION_INT(58, 7, 100)
    bool interlaced = (av->flags & AV_FRAME_FLAG_INTERLACED) != 0;
    bool top = (av->flags & AV_FRAME_FLAG_TOP_FIELD_FIRST) != 0;
#else
    bool interlaced = av->interlaced_frame != 0, top = av->top_field_first != 0;
#endif
    return !interlaced ? VPI_SCAN_PROGRESSIVE : top ? VPI_SCAN_TOP_FIRST : VPI_SCAN_BOTTOM_FIRST;
}

/* First component, 8 bits of it, every thin-th column. False for a format that is not looked at. */
static bool copy_luma(const look *l, const AVFrame *av, uint8_t *to)
{
    const AVPixFmtDescriptor *d = av_pix_fmt_desc_get((enum AVPixelFormat)av->format);
    const uint64_t no = AV_PIX_FMT_FLAG_HWACCEL | AV_PIX_FMT_FLAG_BITSTREAM | AV_PIX_FMT_FLAG_PAL |
                        AV_PIX_FMT_FLAG_BE | AV_PIX_FMT_FLAG_FLOAT;
    uint32_t columns = l->width / l->thin;
    int shift, step, wide;

    if (!d || d->flags & no || d->comp[0].depth < 8 || d->comp[0].depth > 16) return false;
    wide = d->comp[0].depth + d->comp[0].shift > 8;
    shift = d->comp[0].shift + d->comp[0].depth - 8;
    step = d->comp[0].step * (int)l->thin;
    for (uint32_t y = 0; y < l->height; y++) {
        const uint8_t *p =
            av->data[d->comp[0].plane] + (ptrdiff_t)y * av->linesize[d->comp[0].plane] + d->comp[0].offset;

        for (uint32_t x = 0; x < columns; x++, p += step)
            *to++ = (uint8_t)((wide ? p[0] | p[1] << 8 : p[0]) >> shift);
    }
    return true;
}

static vp_status first_picture(look *l, const AVFrame *av, vp_error *err)
{
    l->width = (uint32_t)av->width;
    l->height = (uint32_t)av->height;
    l->thin = (l->width + VPI_FIELDS_COLUMNS - 1) / VPI_FIELDS_COLUMNS;
    l->fields = vpi_fields_new(l->width / l->thin, l->height);
    return l->fields ? VP_OK : vpi_fail_nomem(err);
}

/* Fields that come as packets of their own make the packets' rate twice the pictures'. */
static void measure(look *l, int64_t pts)
{
    const vpi_track *t = l->track;
    double frames;

    if (pts <= l->last || t->frame_rate.den <= 0) return;
    frames = (double)(pts - l->last) * (double)t->tb.num / (double)t->tb.den * (double)t->frame_rate.num /
             (double)t->frame_rate.den;
    l->distances++;
    if (frames > 1.8 && frames < 2.2) l->doubled++;
}

/* VP_END: no more of this place. */
static vp_status take(look *l, AVFrame *av, bool follows, vp_error *err)
{
    if (!l->fields) VPI_TRY(first_picture(l, av, err));
    if ((uint32_t)av->width != l->width || (uint32_t)av->height != l->height) return VP_END;
    if (!copy_luma(l, av, vpi_fields_plane(l->fields))) return VP_END;
    vpi_fields_add(l->fields, flag_of(av));
    if (follows) measure(l, av->pts);
    if (follows && av->pts < l->last) l->ran_back = true;
    return VP_OK;
}

static vp_status visit(look *l, int64_t pts, uint32_t pictures, vp_error *err)
{
    uint32_t taken = 0, skipped = 0;
    bool begun = false;
    AVFrame *av = NULL;
    vp_status st;

    VPI_TRY(vpi_video_reader_visit(l->reader, pts, err));
    for (;;) {
        st = vpi_video_reader_decode(l->reader, &av, err);
        if (st != VP_OK) break;
        begun = begun || av->pict_type == AV_PICTURE_TYPE_I || skipped >= LEADING_MAX;
        if (!begun || (l->any && !taken && av->pts <= l->last && skipped < SKIPPED_MAX)) {
            skipped++;
        } else if (l->any && !taken && av->pts <= l->last) {
            st = VP_END;
        } else {
            st = take(l, av, taken > 0, err);
            taken++;
            l->any = true;
            l->last = av->pts;
        }
        av_frame_free(&av);
        if (st != VP_OK || taken == pictures) break;
    }
    if (l->fields) vpi_fields_cut(l->fields);
    return st < 0 ? st : VP_OK;
}

static vp_status visit_all(look *l, uint32_t pictures, bool seekable, vp_error *err)
{
    const vpi_track *t = l->track;
    int64_t length = t->end - t->start, us = vpi_rescale(length, t->tb.num * 1000000, t->tb.den, VPI_NEAREST);
    int64_t places = VPI_CLAMP(us / PLACE_US, 1, PLACES_MAX);

    l->any = false;
    if (!seekable || !t->has_times || length <= 0) return visit(l, INT64_MIN, pictures * ONLY, err);
    for (int64_t i = 0; i < places; i++) {
        int64_t at = t->start + vpi_rescale(length, 2 * i + 1, 2 * places, VPI_FLOOR);

        VPI_TRY(visit(l, at, pictures, err));
    }
    return VP_OK;
}

static vp_status look_at(look *l, bool seekable, vp_error *err)
{
    const vpi_fields_result *r;

    VPI_TRY(visit_all(l, FEW, seekable, err));
    if (!l->fields) return VP_OK;
    r = vpi_fields_result_of(l->fields);
    if (!r->flagged_top && !r->flagged_bottom && !l->track->interlaced &&
        (r->top + r->bottom) * 10 <= r->pictures)
        return VP_OK;
    l->fields = vpi_fields_free(l->fields);
    l->distances = l->doubled = 0;
    return visit_all(l, MORE, seekable, err);
}

static void decide(const look *l, vpi_track *t)
{
    const vpi_fields_result *r = vpi_fields_result_of(l->fields);
    vpi_rational *rate = &t->frame_rate;

    t->order = vpi_fields_decide(r, t->order);
    t->interlaced = t->order != VPI_SCAN_PROGRESSIVE;
    t->interlaced_parts = vpi_fields_parts(r, t->order);
    t->telecine = t->interlaced && vpi_fields_telecine(r);
    if (t->interlaced && l->distances >= DISTANCES_LEAST && l->doubled * 5 > l->distances * 4)
        *rate = vpi_reduce(rate->num, rate->den * 2);
}

static vp_status look_at_turn(look *l, vp_error *err)
{
    AVFrame *av = NULL;
    vp_status st;

    VPI_TRY(vpi_video_reader_visit(l->reader, INT64_MIN, err));
    st = vpi_video_reader_decode(l->reader, &av, err);
    if (st == VP_OK) l->turn = vpi_turn_of_frame(av);
    av_frame_free(&av);
    return st < 0 ? st : VP_OK;
}

static void decide_turn(const look *l, vpi_track *t)
{
    uint32_t width = t->display_width;

    t->rotation = l->turn.rotation;
    t->flipped = l->turn.flipped;
    if (t->rotation % 180 == 0) return;
    t->display_width = t->display_height;
    t->display_height = width;
}

vp_status vpi_look(vp_context *context, vp_source *source, const vpi_media *media, vpi_track *track,
                   vp_cancel *cancel, bool *ran_back, vp_error *err)
{
    const vpi_video_reader_options o = { .stream = track->id,
                                         .width = 2,
                                         .height = 2,
                                         .colour = { 1, 1, 1 },
                                         .by_picture = true,
                                         .decoder_threads = 1,
                                         .from = INT64_MIN };
    look l = { .track = track };
    bool fields = track->height >= ROWS_MIN && track->height <= VPI_FIELDS_ROWS;
    bool turns = !track->rotation && !track->flipped &&
                 (track->codec == VPI_CODEC_H264 || track->codec == VPI_CODEC_HEVC);
    vp_error own = VP_ERROR_INIT;
    vp_status st;

    *ran_back = false;
    if (!fields && !turns) return VP_OK;
    st = vpi_video_reader_open(context, source, &o, cancel, &l.reader, &own);
    if (st == VP_OK && turns) st = look_at_turn(&l, &own);
    if (st == VP_OK && turns) decide_turn(&l, track);
    if (st == VP_OK && fields) st = look_at(&l, media->seekable, &own);
    if (st == VP_OK && l.fields) decide(&l, track);
    *ran_back = l.ran_back;
    vpi_fields_free(l.fields);
    vpi_video_reader_close(l.reader);
    /* What cannot be decoded is for the tasks to say; the container's word stands here. */
    if (st == VP_E_DATA || st == VP_E_UNSUPPORTED || st == VP_E_LIMIT) return VP_OK;
    if (st < 0 && err) vpi_error_copy(err, &own);
    return st < 0 ? st : VP_OK;
}
