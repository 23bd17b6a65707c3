/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "package_read.h"

#include "base/context.h"
#include "bitstream/bitstream.h"

#define BLOCK ((size_t)512 << 10)     /* bytes that are read ahead and held together */
#define BLOCK_LEFT ((size_t)64 << 10) /* less room than this is not filled */
#define GAP 8192u                     /* bytes between two samples that are read along with them */
#define RUN 256u                      /* samples of one read */
#define SAMPLE_MAX (128u << 20)       /* bytes; more than any picture takes */
#define NALS_MAX 256u                 /* units that are looked at for the first slice of a picture */
#define SBR_CORE_MAX 24000u           /* Hz */
#define HEAD_BYTES 512u               /* of a sample that are looked at where it has no NAL units */

struct vpi_ready_block {
    vpi_ready_block *next; /* spare */
    size_t refs, capacity, used;
    uint8_t data[];
};

struct vpi_ready_reader {
    vpi_ready_input *in;
    vpi_demux *demux; /* or: */
    vpi_movie_cursor *cursor;
    vpi_movie_sample run[RUN], behind; /* of one read; the first one behind them */
    size_t at, count;
    bool has_behind;
    size_t run_data; /* position of the run's first byte in its block */
    vpi_ready_block *block, *spare;
};

/* ---- files ---- */

static vp_status read_file(void *user, uint64_t offset, void *data, size_t size, vp_error *err)
{
    const vpi_ready_input *in = user;
    size_t got = 0;

    VPI_TRY(vpi_cancel_check(in->stop, err));
    VPI_TRY(vp_source_read_at(in->source, offset, data, size, &got, err));
    if (got == size) return VP_OK;
    return vpi_fail(err, VP_E_CONFLICT, "SOURCE_CHANGED", "%s is shorter than it was", in->name);
}

typedef struct entry_codec {
    uint32_t entry;
    vpi_kind kind;
    vpi_codec codec;
    const char *name;
} entry_codec;

/* 'hev1' is not here: parameter sets within its samples have to be looked at. */
static const entry_codec *find_entry(uint32_t entry)
{
    static const entry_codec entries[] = {
        { VPI_FOURCC('a', 'v', 'c', '1'), VPI_KIND_VIDEO, VPI_CODEC_H264, "h264" },
        { VPI_FOURCC('h', 'v', 'c', '1'), VPI_KIND_VIDEO, VPI_CODEC_HEVC, "hevc" },
        { VPI_FOURCC('a', 'v', '0', '1'), VPI_KIND_VIDEO, VPI_CODEC_AV1, "av1" },
        { VPI_FOURCC('v', 'p', '0', '9'), VPI_KIND_VIDEO, VPI_CODEC_VP9, "vp9" },
        { VPI_FOURCC('m', 'p', '4', 'a'), VPI_KIND_AUDIO, VPI_CODEC_AAC, "aac" },
        { VPI_FOURCC('a', 'c', '-', '3'), VPI_KIND_AUDIO, VPI_CODEC_AC3, "ac3" },
        { VPI_FOURCC('e', 'c', '-', '3'), VPI_KIND_AUDIO, VPI_CODEC_EAC3, "eac3" },
        { VPI_FOURCC('O', 'p', 'u', 's'), VPI_KIND_AUDIO, VPI_CODEC_OPUS, "opus" },
        { VPI_FOURCC('f', 'L', 'a', 'C'), VPI_KIND_AUDIO, VPI_CODEC_FLAC, "flac" },
    };
    for (size_t i = 0; i < VPI_COUNT(entries); i++) {
        if (entries[i].entry == entry) return &entries[i];
    }
    return NULL;
}

/* AAC of a low rate that says nothing of SBR may have it in its frames, which have to be looked at. */
static bool may_hide_sbr(const vpi_init_info *info)
{
    vpi_asc asc;

    return info->sample_entry == VPI_FOURCC('m', 'p', '4', 'a') &&
           vpi_asc_parse(info->codec_config, info->codec_config_size, &asc, NULL) == VP_OK &&
           asc.object_type == 2 && !asc.sbr && asc.sample_rate <= SBR_CORE_MAX;
}

/* Tracks that the tables and sample entries say all of; the other reader knows more formats, and more refusals. */
static bool plain(const vpi_movie *m)
{
    size_t videos = 0, audios = 0;

    for (size_t i = 0; i < m->count; i++) {
        const vpi_movie_track *t = &m->tracks[i];
        bool video = t->info.handler == VPI_FOURCC('v', 'i', 'd', 'e');
        bool audio = t->info.handler == VPI_FOURCC('s', 'o', 'u', 'n');
        if (!video && !audio) continue;
        videos += video;
        audios += audio;
        if (t->info.turned || t->info.dolby_vision || t->descriptions != 1) return false;
        if (!t->samples || !t->info.codec_config || may_hide_sbr(&t->info)) return false;
        const entry_codec *entry = find_entry(t->info.sample_entry);
        if (!entry || entry->kind != (video ? VPI_KIND_VIDEO : VPI_KIND_AUDIO)) return false;
    }
    return videos <= 1 && videos + audios > 0;
}

vp_status vpi_ready_input_open(vpi_ready_input *in, vp_error *err)
{
    vp_error why = VP_ERROR_INIT;

    in->file = (vpi_movie_file){ .read = read_file, .user = in };
    VPI_TRY(vp_source_size(in->source, &in->file.size, err));
    vp_status st = vpi_movie_open(&in->file, &in->movie, &why);
    if (st == VP_OK && !plain(&in->movie)) vpi_movie_dispose(&in->movie);
    if (st == VP_OK || st == VP_E_UNSUPPORTED || st == VP_E_DATA) return VP_OK;
    vpi_error_copy(err, &why);
    return st;
}

void vpi_ready_input_close(vpi_ready_input *in)
{
    vpi_movie_dispose(&in->movie);
}

static void set_mastering(const vpi_init_info *info, vpi_track *out)
{
    vpi_mastering fixed = { .has_volume = false };
    const uint8_t *mdcv = info->mdcv;

    if (info->smdm) vpi_mastering_fixed(info->smdm, &fixed);
    if (info->smdm && !mdcv) mdcv = fixed.volume;
    out->has_mdcv = mdcv != NULL;
    out->has_clli = info->clli != NULL;
    if (mdcv) memcpy(out->mdcv, mdcv, sizeof(out->mdcv));
    if (info->clli) memcpy(out->clli, info->clli, sizeof(out->clli));
}

void vpi_ready_movie_track(const vpi_ready_input *in, size_t track, vpi_track *out)
{
    const vpi_init_info *info = &in->movie.tracks[track].info;

    memset(out, 0, sizeof(*out));
    out->id = (int32_t)track;
    out->tb = (vpi_rational){ 1, info->timescale };
    out->frame_rate = (vpi_rational){ 0, 1 };
    out->channels = info->channels;
    out->is_default = info->enabled;
    out->kind = VPI_KIND_OTHER;
    vpi_language_bcp47(info->language, out->language);
    /* not 'text', which chapters have */
    if (info->handler == VPI_FOURCC('s', 'b', 't', 'l') || info->handler == VPI_FOURCC('s', 'u', 'b', 't'))
        out->kind = VPI_KIND_TEXT;
    const entry_codec *entry = find_entry(info->sample_entry);
    if (!entry) return;
    out->kind = entry->kind;
    out->codec = entry->codec;
    vpi_strlcpy(out->codec_name, entry->name, sizeof(out->codec_name));
    out->width = info->width;
    out->height = info->height;
    out->sample_rate = info->sample_rate;
    out->sar_num = info->has_pasp ? info->pasp_h : 0;
    out->sar_den = info->has_pasp ? info->pasp_v : 0;
    set_mastering(info, out);
    if (!info->has_colr) return;
    out->cicp_primaries = (uint8_t)VPI_MIN(info->colr_primaries, 255);
    out->cicp_transfer = (uint8_t)VPI_MIN(info->colr_transfer, 255);
    out->cicp_matrix = (uint8_t)VPI_MIN(info->colr_matrix, 255);
}

/* ---- points where decoding can begin ---- */

/* What one NAL unit says of its picture. True: the picture's first slice, *point is told. */
static bool nal_point(vpi_codec codec, uint8_t head, vpi_point *point, bool *sets)
{
    vpi_nal nal = { &head, 1 };

    if (codec == VPI_CODEC_HEVC) {
        unsigned type = vpi_hevc_type(&nal);
        bool idr = type == VPI_HEVC_IDR_W_RADL || type == VPI_HEVC_IDR_N_LP;
        if (type >= VPI_HEVC_VPS && type <= VPI_HEVC_PPS) *sets = true;
        *point = idr ? VPI_POINT_CLEAN : VPI_POINT_NONE;
        if (!idr && type >= VPI_HEVC_BLA_W_LP && type <= VPI_HEVC_CRA) *point = VPI_POINT_OPEN;
        return type <= VPI_HEVC_VCL_LAST;
    }
    unsigned type = vpi_h264_type(&nal);
    if (type == VPI_H264_SPS || type == VPI_H264_PPS) *sets = true;
    *point = type == VPI_H264_IDR ? VPI_POINT_CLEAN : VPI_POINT_NONE;
    return type >= 1 && type <= VPI_H264_IDR;
}

static vpi_point head_point(vpi_codec codec, const uint8_t *data, size_t size)
{
    vpi_vp9 vp9;

    if (codec == VPI_CODEC_AV1) return vpi_av1_sync(data, size) ? VPI_POINT_CLEAN : VPI_POINT_NONE;
    if (vpi_vp9_parse(data, size, &vp9, NULL) != VP_OK) return VPI_POINT_NONE;
    return vp9.key ? VPI_POINT_CLEAN : VPI_POINT_NONE;
}

static bool has_nals(vpi_codec codec)
{
    return codec == VPI_CODEC_H264 || codec == VPI_CODEC_HEVC;
}

vpi_point vpi_ready_point(vpi_codec codec, unsigned nal_length, const uint8_t *data, size_t size, bool *sets)
{
    vpi_point point = VPI_POINT_NONE;
    bool bad = false, own = false;
    size_t at = 0;
    vpi_nal nal;

    if (!sets) sets = &own;
    *sets = false;
    if (!has_nals(codec)) return head_point(codec, data, size);
    while (vpi_avcc_next(data, size, nal_length, &at, &nal, &bad)) {
        if (nal.size && nal_point(codec, nal.data[0], &point, sets)) return point;
    }
    return VPI_POINT_NONE;
}

vp_status vpi_ready_point_at(const vpi_ready_input *in, vpi_codec codec, unsigned nal_length,
                             const vpi_movie_sample *sample, vpi_point *point, bool *sets, vp_error *err)
{
    uint64_t at = sample->offset, end = sample->offset + sample->size;

    *point = VPI_POINT_NONE;
    *sets = false;
    if (!has_nals(codec)) {
        uint8_t head[HEAD_BYTES];
        size_t n = VPI_MIN((size_t)sample->size, sizeof(head));
        VPI_TRY(in->file.read(in->file.user, at, head, n, err));
        *point = head_point(codec, head, n);
        return VP_OK;
    }
    for (unsigned n = 0; n < NALS_MAX && end - at > nal_length; n++) {
        uint8_t head[5];
        uint64_t size = 0;
        VPI_TRY(in->file.read(in->file.user, at, head, nal_length + 1, err));
        for (unsigned i = 0; i < nal_length; i++) size = size << 8 | head[i];
        if (size && nal_point(codec, head[nal_length], point, sets)) return VP_OK;
        if (size + nal_length > end - at) break;
        at += size + nal_length;
    }
    *point = VPI_POINT_NONE;
    return VP_OK;
}

/* ---- blocks ---- */

static void block_put(vpi_ready_reader *r, vpi_ready_block *b)
{
    if (!b || --b->refs) return;
    b->next = r->spare;
    r->spare = b;
}

/* An empty block of that much room, of what was dropped or a new one. */
static vpi_ready_block *block_get(vpi_ready_reader *r, size_t room)
{
    vpi_ready_block *b = r->spare;

    room = VPI_MAX(room, BLOCK);
    if (b) {
        r->spare = b->next;
        if (b->capacity < room) {
            vpi_free(b);
            b = NULL;
        }
    }
    if (!b) {
        b = vpi_alloc(sizeof(*b) + room);
        if (!b) return NULL;
        b->capacity = room;
    }
    b->refs = 1;
    b->used = 0;
    b->next = NULL;
    return b;
}

/* ---- samples that lie together ---- */

/* Fills run with the next samples that go into `room` bytes, at least one. VP_END at the end. */
static vp_status gather(vpi_ready_reader *r, size_t room, vp_error *err)
{
    vp_status st = VP_OK;

    r->at = r->count = 0;
    while (r->count < RUN) {
        if (!r->has_behind) st = vpi_movie_next(r->cursor, &r->behind, err);
        if (st != VP_OK) break;
        r->has_behind = true;
        if (r->behind.size > SAMPLE_MAX)
            return vpi_fail(err, VP_E_LIMIT, "INPUT_LIMIT", "a sample of %u bytes", (unsigned)r->behind.size);
        if (r->count) {
            const vpi_movie_sample *first = &r->run[0], *last = &r->run[r->count - 1], *s = &r->behind;
            uint64_t end = last->offset + last->size;
            if (s->offset < end || s->offset - end > GAP || s->offset + s->size - first->offset > room) break;
        }
        r->run[r->count++] = r->behind;
        r->has_behind = false;
    }
    return r->count ? VP_OK : st;
}

static vp_status fill(vpi_ready_reader *r, vp_error *err)
{
    size_t room = r->block ? r->block->capacity - r->block->used : 0;
    vp_status st = gather(r, room >= BLOCK_LEFT ? room : BLOCK, err);

    if (st != VP_OK) return st;
    const vpi_movie_sample *first = &r->run[0], *last = &r->run[r->count - 1];
    size_t size = (size_t)(last->offset + last->size - first->offset);
    if (!r->block || size > room) {
        block_put(r, r->block);
        r->block = block_get(r, size);
        if (!r->block) return vpi_fail_nomem(err);
    }
    r->run_data = r->block->used;
    st = r->in->file.read(r->in->file.user, first->offset, r->block->data + r->run_data, size, err);
    if (st < 0) r->count = 0;
    r->block->used += size;
    return st;
}

static vp_status next_of_tables(vpi_ready_reader *r, vpi_ready_packet *p, vp_error *err)
{
    if (r->at >= r->count) {
        vp_status st = fill(r, err);
        if (st != VP_OK) return st;
    }
    const vpi_movie_sample *s = &r->run[r->at++];
    p->pts = s->pts;
    p->duration = s->duration;
    p->has_pts = true;
    p->key = s->sync;
    p->data = r->block->data + r->run_data + (size_t)(s->offset - r->run[0].offset);
    p->size = s->size;
    p->block = r->block;
    p->block->refs++;
    return VP_OK;
}

/* ---- readers ---- */

vp_status vpi_ready_open(vpi_ready_input *in, int32_t stream, vpi_ready_reader **out, vp_error *err)
{
    vpi_ready_reader *r = vpi_calloc(1, sizeof(*r));
    vp_status st;

    *out = NULL;
    if (!r) return vpi_fail_nomem(err);
    r->in = in;
    if (in->movie.count) {
        VPI_GO(vpi_movie_cursor_new(&in->file, &in->movie.tracks[stream], &r->cursor, err));
    } else {
        VPI_GO(vpi_demux_open(in->context, in->source, NULL, in->stop, &r->demux, err));
        vpi_demux_select(r->demux, &stream, 1);
        VPI_GO(vpi_demux_as_mp4(r->demux, stream, err));
    }
    *out = r;
    r = NULL;
done:
    vpi_ready_close(r);
    return st < 0 ? st : VP_OK;
}

vpi_ready_reader *vpi_ready_close(vpi_ready_reader *r)
{
    if (!r) return NULL;
    block_put(r, r->block);
    while (r->spare) {
        vpi_ready_block *b = r->spare;
        r->spare = b->next;
        vpi_free(b);
    }
    vpi_movie_cursor_free(r->cursor);
    vpi_demux_close(r->demux);
    vpi_free(r);
    return NULL;
}

vp_status vpi_ready_next(vpi_ready_reader *r, vpi_ready_packet *p, vp_error *err)
{
    memset(p, 0, sizeof(*p));
    if (r->cursor) return next_of_tables(r, p, err);
    vp_status st = vpi_demux_read(r->demux, &p->demuxed, err);
    if (st != VP_OK) return st;
    p->pts = p->demuxed.pts;
    p->duration = p->demuxed.duration;
    p->has_pts = p->demuxed.has_pts;
    p->key = p->demuxed.key;
    p->data = p->demuxed.data;
    p->size = p->demuxed.size;
    return VP_OK;
}

void vpi_ready_drop(vpi_ready_reader *r, vpi_ready_packet *p)
{
    if (p->block) {
        block_put(r, p->block);
    } else {
        vpi_packet_dispose(&p->demuxed);
    }
    memset(p, 0, sizeof(*p));
}
