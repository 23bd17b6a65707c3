/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* CMAF segments: [styp] and fragments of moof and mdat, each compared with what the presentation says. */
#include <stdlib.h>

#include "verify/verify_int.h"

#define NON_SYNC 0x10000u /* sample_is_non_sync_sample (14496-12 8.8.3.1) */

/* One fragment being looked at. */
typedef struct piece {
    vpi_box moof, mdat;
    vpi_fragment_info info;
    size_t number;  /* in the segment, from 0 */
    uint64_t start; /* expected decode time */
} piece;

static unsigned default_of(unsigned own, unsigned trex)
{
    return own ? own : trex;
}

/* ---- pictures ---- */

static void check_picture(vpi_verifier *v, const vpi_media_state *s, const uint8_t *data, size_t size,
                          size_t number, bool sync)
{
    bool idr = false, point = false, sets = false, bad = false, empty = false;
    size_t at = 0;
    vpi_nal nal;

    while (vpi_avcc_next(data, size, s->nal_length, &at, &nal, &bad)) {
        unsigned type = s->hevc ? vpi_hevc_type(&nal) : vpi_h264_type(&nal);

        empty |= nal.size == 0;
        idr |= s->hevc ? type == VPI_HEVC_IDR_W_RADL || type == VPI_HEVC_IDR_N_LP : type == VPI_H264_IDR;
        sets |= s->hevc ? type >= VPI_HEVC_VPS && type <= VPI_HEVC_PPS
                        : type == VPI_H264_SPS || type == VPI_H264_PPS;
        /* CRA and BLA pictures begin a closed GOP where no picture is shown before them: check_times. */
        point |= s->hevc && type >= VPI_HEVC_BLA_W_LP && type <= VPI_HEVC_CRA;
    }
    point |= idr;
    vpi_check(v, !bad, "STRUCTURE", s->where, "a NAL unit reaches past sample %zu", number + 1);
    vpi_check(v, !empty, "STRUCTURE", s->where, "sample %zu holds an empty NAL unit", number + 1);
    if (number == 0) vpi_check(v, point, "P04", s->where, "a fragment does not begin with an IDR picture");
    vpi_check(v, sync ? point : !idr, "P04", s->where,
              "sample %zu of a fragment: sync flag and picture type disagree", number + 1);
    vpi_check(v, !sets, "P13", s->where, "parameter sets inside a sample of avc1 or hvc1");
}

static int compare_times(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return (x > y) - (x < y);
}

/* Presentation times: the first picture is the earliest, no two are equal, all lie in the fragment. */
static void check_times(vpi_verifier *v, const vpi_media_state *s, const piece *p, uint64_t end)
{
    int64_t first = s->times[0];
    bool doubled = false;

    qsort(s->times, p->info.count, sizeof(*s->times), compare_times);
    for (size_t i = 1; i < p->info.count; i++) doubled |= s->times[i] == s->times[i - 1];
    vpi_check(v, s->times[0] == (int64_t)p->info.tfdt, "P07", s->where,
              "fragment %zu: the first picture is shown at %lld, tfdt is %llu", p->number + 1,
              (long long)s->times[0], (unsigned long long)p->info.tfdt);
    vpi_check(v, first == s->times[0], "P03", s->where, "fragment %zu: a picture is shown before the IDR",
              p->number + 1);
    vpi_check(v, !doubled && s->times[p->info.count - 1] < (int64_t)end, "P09", s->where,
              "fragment %zu: presentation times are doubled or reach into the next fragment", p->number + 1);
}

static vp_status check_samples(vpi_verifier *v, vpi_media_state *s, const piece *p, vp_error *err)
{
    uint64_t dts = p->info.tfdt, at = 0, payload = p->mdat.data_size;
    bool empty = false;

    if (p->info.count > s->time_cap) {
        int64_t *more = vpi_realloc(s->times, p->info.count, sizeof(*more));

        if (!more) return vpi_fail_nomem(err);
        s->times = more;
        s->time_cap = p->info.count;
    }
    for (size_t i = 0; i < p->info.count; i++) {
        const vpi_trun_sample *sample = &p->info.samples[i];
        uint32_t size = default_of(sample->size, s->init.trex_size);
        uint32_t duration = default_of(sample->duration, s->init.trex_duration);

        empty |= duration == 0;
        if (s->t->kind == VP_TRACK_VIDEO) vpi_count_picture(s, duration);
        s->times[i] = (int64_t)dts + sample->cts;
        if (!vpi_check(v, at + size <= payload, "CMAF", s->where,
                       "sample %zu of fragment %zu reaches past mdat", i + 1, p->number + 1)) {
            return VP_OK;
        }
        /* Lengths and headers of NAL units are clear also where the pictures are not (ISO/IEC 23001-7 9.5.2.2). */
        if (s->t->kind == VP_TRACK_VIDEO && s->nal_length) {
            check_picture(v, s, p->mdat.data + at, size, i, !(sample->flags & NON_SYNC));
        } else if (i == 0) {
            vpi_check(v, !(sample->flags & NON_SYNC), "P04", s->where,
                      "a fragment does not begin with a sync sample");
        }
        at += size;
        dts += duration;
    }
    vpi_check(v, !empty, "P09", s->where, "fragment %zu holds a sample without duration", p->number + 1);
    vpi_check(v, at == payload, "CMAF", s->where, "samples have %llu bytes, mdat %llu",
              (unsigned long long)at, (unsigned long long)payload);
    s->frames += p->info.count;
    s->next_dts = dts;
    if (p->info.count > 0) check_times(v, s, p, dts);
    return VP_OK;
}

/* ---- fragments ---- */

static void check_shape(vpi_verifier *v, vpi_media_state *s, const piece *p)
{
    const vpi_fragment_info *i = &p->info;
    uint64_t head = p->mdat.size - p->mdat.data_size;
    bool closed = vpi_by_sample(s->t);
    size_t n = p->number + 1;

    vpi_check(v, i->sequence > s->sequence, "CMAF", s->where, "fragment %zu: sequence %u after %u", n,
              i->sequence, s->sequence);
    s->sequence = i->sequence;
    vpi_check(v, i->track_id == s->init.track_id, "CMAF", s->where, "fragment %zu: track %u, init has %u", n,
              i->track_id, s->init.track_id);
    vpi_check(v, i->default_base_is_moof, "CMAF", s->where, "fragment %zu: no default-base-is-moof", n);
    vpi_check(v, !i->empty, "CMAF", s->where, "fragment %zu: duration-is-empty", n);
    /* What is clear in an encrypted track has an entry of its own. */
    vpi_check(v, VPI_MAX(i->description_index, 1u) == (closed && !s->key ? 2u : 1u), closed ? "E07" : "CMAF",
              s->where, "fragment %zu: sample entry %u", n, i->description_index);
    vpi_check(v, i->has_tfdt && i->tfdt_version == 1, "P24", s->where,
              "fragment %zu: tfdt is missing or version %u", n, i->tfdt_version);
    vpi_check(v, i->trun_version == 1, "P09", s->where, "fragment %zu: trun version %u", n, i->trun_version);
    vpi_check(v, i->count > 0, "CMAF", s->where, "fragment %zu holds no samples", n);
    vpi_check(v, i->data_offset >= 0 && (uint64_t)i->data_offset == p->moof.size + head, "CMAF", s->where,
              "fragment %zu: data_offset %d, the payload is at %llu", n, i->data_offset,
              (unsigned long long)(p->moof.size + head));
    vpi_check(v, i->has_tfdt && i->tfdt == p->start, "P23", s->where, "fragment %zu: tfdt %llu, %llu is due",
              n, (unsigned long long)i->tfdt, (unsigned long long)p->start);
}

/* Against the presentation, by which I-frame playlists and sidx are written. */
static void check_entry(vpi_verifier *v, const vpi_media_state *s, const piece *p)
{
    const vpi_fragment *f;
    uint64_t bytes = p->moof.size + p->mdat.size, idr;

    if (p->number >= s->segment->fragment_count) return;
    f = &s->segment->fragments[p->number];
    /* styp belongs to the segment, not to its first fragment. */
    vpi_check(v, f->offset == p->moof.offset && f->bytes == bytes, "P19", s->where,
              "fragment %zu is %llu+%llu, the presentation says %llu+%llu", p->number + 1,
              (unsigned long long)p->moof.offset, (unsigned long long)bytes, (unsigned long long)f->offset,
              (unsigned long long)f->bytes);
    vpi_check(v, s->next_dts - p->info.tfdt == f->ticks, "P01", s->where,
              "fragment %zu lasts %llu ticks, the presentation says %llu", p->number + 1,
              (unsigned long long)(s->next_dts - p->info.tfdt), (unsigned long long)f->ticks);
    if (s->t->kind != VP_TRACK_VIDEO || p->info.count == 0) return;
    idr = p->moof.size + (p->mdat.size - p->mdat.data_size) +
          default_of(p->info.samples[0].size, s->init.trex_size);
    vpi_check(v, f->idr_bytes == idr, "P29", s->where,
              "the IDR picture of fragment %zu ends at %llu, not %llu", p->number + 1,
              (unsigned long long)idr, (unsigned long long)f->idr_bytes);
}

static vp_status check_fragment(vpi_verifier *v, vpi_media_state *s, piece *p, vp_error *err)
{
    vp_error cause = VP_ERROR_INIT;
    vp_status st;

    st = vpi_moof_parse(&p->moof, VPI_VERIFY_MAX_SAMPLES, &p->info, &cause);
    if (st < 0) return vpi_caught(v, st, &cause, "STRUCTURE", s->where, err);
    /* Decode times are added up below: a value near the end of the range would wrap. */
    if (!vpi_check(v, p->info.tfdt < (uint64_t)1 << 62, "P23", s->where, "fragment %zu: tfdt %llu",
                   p->number + 1, (unsigned long long)p->info.tfdt)) {
        vpi_fragment_info_dispose(&p->info);
        return VP_OK;
    }
    check_shape(v, s, p);
    s->next_dts = p->info.tfdt;
    st = check_samples(v, s, p, err);
    if (st == VP_OK) check_entry(v, s, p);
    if (st == VP_OK) st = vpi_verify_fragment_keys(v, s, &p->moof, &p->mdat, &p->info, err);
    vpi_fragment_info_dispose(&p->info);
    return st;
}

static bool allowed(uint32_t type, size_t place)
{
    return (type == VPI_FOURCC('s', 't', 'y', 'p') && place == 0) || type == VPI_FOURCC('e', 'm', 's', 'g') ||
           type == VPI_FOURCC('p', 'r', 'f', 't');
}

vp_status vpi_verify_cmaf(vpi_verifier *v, vpi_media_state *s, const uint8_t *data, size_t size,
                          vp_error *err)
{
    vp_error cause = VP_ERROR_INIT;
    piece p = { .start = s->segment->start };
    size_t at = 0, boxes = 0, count = 0;
    vpi_box box;
    vp_status st;

    for (;; boxes++) {
        st = vpi_box_next(data, size, 0, &at, &box, &cause);
        if (st == VP_END) break;
        if (st < 0) return vpi_caught(v, st, &cause, "STRUCTURE", s->where, err);
        if (box.type != VPI_FOURCC('m', 'o', 'o', 'f')) {
            vpi_check(v, allowed(box.type, boxes), "STRUCTURE", s->where, "box %zu does not belong there",
                      boxes + 1);
            continue;
        }
        p.moof = box;
        p.number = count++;
        st = vpi_box_next(data, size, 0, &at, &p.mdat, &cause);
        if (st < 0) return vpi_caught(v, st, &cause, "STRUCTURE", s->where, err);
        boxes++;
        if (!vpi_check(v, st == VP_OK && p.mdat.type == VPI_FOURCC('m', 'd', 'a', 't'), "STRUCTURE", s->where,
                       "fragment %zu has no mdat", p.number + 1)) {
            return VP_OK;
        }
        VPI_TRY(check_fragment(v, s, &p, err));
        p.start = s->next_dts;
    }
    vpi_check(v, count > 0 && count == s->segment->fragment_count, "P19", s->where,
              "%zu fragments, the presentation says %zu", count, s->segment->fragment_count);
    vpi_check(v, p.start == s->segment->start + s->segment->ticks, "P01", s->where,
              "samples end at %llu, the segment at %llu", (unsigned long long)p.start,
              (unsigned long long)(s->segment->start + s->segment->ticks));
    return VP_OK;
}
