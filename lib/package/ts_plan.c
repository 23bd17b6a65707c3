/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Times, sizes and padding of the PES packets of a segment (ISO/IEC 13818-1 2.4.3, ITU-T H.264 annex B). */

#include "package/ts_int.h"

enum { PAYLOAD = VPI_TS_PACKET - 4, COUNTERS = 16, REORDER_MAX = 16 };
/* stream_id (2.4.3.7); AC-3 and E-AC-3 are private_stream_1 (ATSC A/52 A.3, G.3) */
enum { STREAM_PRIVATE_1 = 0xBD, STREAM_AUDIO = 0xC0, STREAM_VIDEO = 0xE0 };
#define AUDIO_SPAN 13500      /* of a PES packet beside video */
#define AUDIO_ALONE_SPAN 7200 /* of one that carries the clock */

/* ---- bytes of one unit ---- */

static vp_status add_piece(vpi_ts_plan *plan, const void *data, size_t size, vp_error *err)
{
    if (plan->holding) {
        vpi_buf_add(&plan->held, data, size);
        return vpi_buf_failed(&plan->held) ? vpi_fail_nomem(err) : VP_OK;
    }
    if (!VPI_GROW(plan->pieces, plan->piece_count, plan->piece_cap)) return vpi_fail_nomem(err);
    plan->pieces[plan->piece_count++] = (struct iovec){ (void *)(uintptr_t)data, size };
    return VP_OK;
}

static void put_time(uint8_t *p, unsigned mark, int64_t time)
{
    uint64_t t = (uint64_t)time & 0x1FFFFFFFFu;

    p[0] = (uint8_t)(mark << 4 | (unsigned)(t >> 29 & 14u) | 1u);
    p[1] = (uint8_t)(t >> 22);
    p[2] = (uint8_t)((t >> 14 & 0xFEu) | 1u);
    p[3] = (uint8_t)(t >> 7);
    p[4] = (uint8_t)((t << 1 & 0xFEu) | 1u);
}

static vp_status add_pes_header(vpi_ts_plan *plan, const vpi_ts_list *list, const vpi_ts_unit *unit,
                                vp_error *err)
{
    bool both = unit->pts != unit->dts;
    /* Video may be unbounded (2.4.3.7), other streams may not. */
    uint64_t length = list->pid == VPI_TS_PID_VIDEO ? 0 : unit->bytes - 6;
    uint8_t *p = plan->head;

    memset(p, 0, 9);
    p[2] = 1;
    p[3] = (uint8_t)list->stream_id;
    p[4] = (uint8_t)(length >> 8);
    p[5] = (uint8_t)length;
    p[6] = 0x84; /* data_alignment_indicator */
    p[7] = both ? 0xC0 : 0x80;
    p[8] = both ? 10 : 5;
    put_time(p + 9, both ? 3 : 2, unit->pts);
    if (both) put_time(p + 14, 1, unit->dts);
    return add_piece(plan, p, unit->head, err);
}

static const uint8_t start_code[4] = { 0, 0, 0, 1 };

static vp_status add_nal(vpi_ts_plan *plan, const vpi_nal *nal, vp_error *err)
{
    unsigned type = vpi_h264_type(nal);
    /* Annex B asks for the fourth byte before parameter sets and the first NAL unit, which is our AUD. */
    bool longer = type == VPI_H264_SPS || type == VPI_H264_PPS;

    VPI_TRY(add_piece(plan, start_code + (longer ? 0 : 1), longer ? 4 : 3, err));
    if (!plan->holding) return add_piece(plan, nal->data, nal->size, err);
    VPI_TRY(plan->protect->unit(plan->protect->user, VPI_CODEC_H264, nal->data, nal->size, &plan->held, err));
    return vpi_buf_failed(&plan->held) ? vpi_fail_nomem(err) : VP_OK;
}

static bool in_config(const vpi_avcc *avcc, const vpi_nal *nal)
{
    bool sps = vpi_h264_type(nal) == VPI_H264_SPS;
    const vpi_nal *sets = sps ? avcc->sps : avcc->pps;
    size_t count = sps ? avcc->sps_count : avcc->pps_count;

    for (size_t i = 0; i < count; i++) {
        if (sets[i].size == nal->size && memcmp(sets[i].data, nal->data, nal->size) == 0) return true;
    }
    return false;
}

static vp_status add_picture(vpi_ts_plan *plan, const vpi_sample *sample, vp_error *err)
{
    static const uint8_t aud[6] = { 0, 0, 0, 1, 9, 0xF0 }; /* any slice type may follow */
    const vpi_avcc *avcc = &plan->avcc;
    bool bad = false;
    size_t at = 0;
    vpi_nal nal;

    VPI_TRY(add_piece(plan, aud, sizeof(aud), err));
    if (sample->sync) {
        for (size_t i = 0; i < avcc->sps_count; i++) VPI_TRY(add_nal(plan, &avcc->sps[i], err));
        for (size_t i = 0; i < avcc->pps_count; i++) VPI_TRY(add_nal(plan, &avcc->pps[i], err));
    }
    while (vpi_avcc_next(sample->data, sample->size, avcc->length_size, &at, &nal, &bad)) {
        unsigned type = vpi_h264_type(&nal);
        bool set = type == VPI_H264_SPS || type == VPI_H264_PPS;

        if (nal.size == 0 || type == VPI_H264_AUD || (set && sample->sync && in_config(avcc, &nal))) continue;
        VPI_TRY(add_nal(plan, &nal, err));
    }
    if (bad) {
        return vpi_fail(err, VP_E_DATA, "INPUT_CORRUPT",
                        "length of a NAL unit reaches past its sample at %lld", (long long)sample->pts);
    }
    return VP_OK;
}

static vp_status add_audio_frame(vpi_ts_plan *plan, const vpi_sample *sample, uint8_t header[VPI_ADTS_HEADER],
                                 vp_error *err)
{
    size_t size = vpi_audio_header_size(&plan->form);

    if (plan->holding)
        return vpi_audio_protect(&plan->form, plan->protect, sample, &plan->frame, &plan->held, err);
    VPI_TRY(vpi_audio_header(&plan->form, sample, header, err));
    if (size) VPI_TRY(add_piece(plan, header, size, err));
    return add_piece(plan, sample->data, sample->size, err);
}

static vp_status add_payload(vpi_ts_plan *plan, const vpi_ts_list *list, const vpi_ts_unit *unit,
                             vp_error *err)
{
    if (list == &plan->video) return add_picture(plan, &plan->in->video->samples[unit->first], err);
    for (size_t i = 0; i < unit->count; i++) {
        VPI_TRY(add_audio_frame(plan, &plan->in->audio->samples[unit->first + i], plan->headers[i], err));
    }
    return VP_OK;
}

vp_status vpi_ts_gather(vpi_ts_plan *plan, const vpi_ts_list *list, const vpi_ts_unit *unit, vp_error *err)
{
    plan->piece_count = 0;
    VPI_TRY(add_pes_header(plan, list, unit, err));
    if (!plan->protect) return add_payload(plan, list, unit, err);
    return add_piece(plan, plan->held.data + unit->held, (size_t)unit->bytes - unit->head, err);
}

static vp_status hold(vpi_ts_plan *plan, const vpi_ts_list *list, vpi_ts_unit *unit, vp_error *err)
{
    vp_status st;

    if (plan->counts) vpi_buf_clear(&plan->held);
    unit->held = plan->held.size;
    plan->holding = true;
    st = add_payload(plan, list, unit, err);
    plan->holding = false;
    unit->bytes = unit->head + (plan->held.size - unit->held);
    return st;
}

static vp_status measure(vpi_ts_plan *plan, const vpi_ts_list *list, vpi_ts_unit *unit, vp_error *err)
{
    unit->head = unit->pts != unit->dts ? 19 : 14;
    if (plan->protect) return hold(plan, list, unit, err);
    VPI_TRY(vpi_ts_gather(plan, list, unit, err));
    unit->bytes = 0;
    for (size_t i = 0; i < plan->piece_count; i++) unit->bytes += plan->pieces[i].iov_len;
    return VP_OK;
}

/* ---- packets ---- */

static uint64_t packets_needed(const vpi_ts_unit *unit)
{
    uint64_t first = PAYLOAD - vpi_ts_adaptation(unit);

    return unit->bytes <= first ? 1 : 1 + (unit->bytes - first + PAYLOAD - 1) / PAYLOAD;
}

uint64_t vpi_ts_packets(const vpi_ts_unit *unit)
{
    return packets_needed(unit) + unit->extra;
}

/*
 * Fills the list's packets up to a multiple of 16 with packets that carry at least a byte each, from the last
 * unit backwards, so that the first picture stays small. whole: PES headers are not cut.
 */
static uint64_t spread(vpi_ts_list *list, uint64_t missing, bool whole)
{
    for (size_t i = list->count; i > 0 && missing > 0; i--) {
        vpi_ts_unit *u = &list->units[i - 1];
        uint64_t most = u->bytes - (whole ? u->head : 1), used = vpi_ts_packets(u) - 1;

        if (most > used) {
            uint64_t take = VPI_MIN(most - used, missing);

            u->extra += (uint32_t)take;
            missing -= take;
        }
    }
    return missing;
}

static vp_status pad(vpi_ts_list *list, vp_error *err)
{
    uint64_t total = 0, missing;

    for (size_t i = 0; i < list->count; i++) total += vpi_ts_packets(&list->units[i]);
    missing = (COUNTERS - total % COUNTERS) % COUNTERS;
    missing = spread(list, missing, true);
    missing = spread(list, missing, false);
    return missing ? vpi_fail(err, VP_E_INTERNAL, NULL, "segment is too small to be padded") : VP_OK;
}

/* ---- times ---- */

/* A clock reference where the next chance would come too late, and at every fragment. */
static vp_status place_clock(vpi_ts_list *list, int64_t next, vp_error *err)
{
    int64_t last = INT64_MIN / 2;

    for (size_t i = 0; i < list->count; i++) {
        vpi_ts_unit *u = &list->units[i];
        int64_t following = i + 1 < list->count ? list->units[i + 1].dts : next;

        if (u->dts > u->pts || following <= u->dts) {
            return vpi_fail(err, VP_E_INTERNAL, NULL,
                            "decode time %lld of picture %zu (shown at %lld, next %lld)", (long long)u->dts,
                            i, (long long)u->pts, (long long)following);
        }
        u->pcr = u->fragment || following - last > VPI_TS_PCR_MAX;
        u->random_access = u->fragment;
        if (u->pcr) last = u->dts;
    }
    return VP_OK;
}

static vp_status add_unit(vpi_ts_list *list, const vpi_ts_unit *unit, vp_error *err)
{
    if (!VPI_GROW(list->units, list->count, list->cap)) return vpi_fail_nomem(err);
    list->units[list->count++] = *unit;
    return VP_OK;
}

static vp_status plan_video(vpi_ts_plan *plan, vp_error *err)
{
    const vpi_segment_in *in = plan->in->video;
    uint32_t scale = in->setup->timescale, reorder = plan->in->reorder;
    int64_t start = (int64_t)in->start, step = (int64_t)plan->in->min_frame;
    uint64_t *sorted = vpi_calloc(in->count, sizeof(*sorted));
    size_t f = 0;
    vp_status st = VP_OK;

    if (!sorted) return vpi_fail_nomem(err);
    VPI_GO(vpi_segment_times(in, sorted, plan->starts, err));
    plan->next_dts = vpi_ts_time((int64_t)in->end - reorder * step, scale);
    for (size_t i = 0; i < in->count; i++) {
        int64_t dts = i < reorder ? start - (int64_t)(reorder - i) * step : (int64_t)sorted[i - reorder];
        vpi_ts_unit unit = { .first = i, .count = 1 };

        unit.pts = vpi_ts_time(in->samples[i].pts, scale);
        unit.dts = vpi_ts_time(dts, scale);
        if (f < in->fragment_count && in->fragments[f] == i) {
            unit.fragment = true;
            f++;
        }
        VPI_GO(measure(plan, &plan->video, &unit, err));
        VPI_GO(add_unit(&plan->video, &unit, err));
    }
done:
    vpi_free(sorted);
    return st;
}

/* Frames of one PES packet from `first` on, each with `header` bytes in front of it. */
static size_t group_size(const vpi_segment_in *in, size_t first, size_t end, int64_t span, size_t header)
{
    int64_t begin = vpi_ts_time(in->samples[first].pts, in->setup->timescale);
    size_t count = 1, bytes = in->samples[first].size + header;

    while (first + count < end && count < VPI_TS_AUDIO_FRAMES) {
        const vpi_sample *s = &in->samples[first + count];

        bytes += s->size + header;
        if (bytes > VPI_TS_AUDIO_BYTES || vpi_ts_time(s->pts, in->setup->timescale) - begin >= span) break;
        count++;
    }
    return count;
}

static vp_status plan_audio(vpi_ts_plan *plan, vp_error *err)
{
    const vpi_segment_in *in = plan->in->audio;
    bool alone = plan->main == in;
    size_t f = 0;

    for (size_t i = 1; i < in->count; i++) {
        if (in->samples[i].pts <= in->samples[i - 1].pts) {
            return vpi_fail(err, VP_E_DATA, "INPUT_CORRUPT", "audio time %lld does not rise",
                            (long long)in->samples[i].pts);
        }
    }
    for (size_t i = 0; i < in->count;) {
        vpi_ts_unit unit = { .first = i,
                             .fragment = alone && f < in->fragment_count && in->fragments[f] == i };
        size_t end = in->count;

        if (unit.fragment) f++;
        if (alone && f < in->fragment_count) end = in->fragments[f];
        unit.count =
            group_size(in, i, end, alone ? AUDIO_ALONE_SPAN : AUDIO_SPAN, vpi_audio_header_size(&plan->form));
        unit.pts = unit.dts = vpi_ts_time(in->samples[i].pts, in->setup->timescale);
        VPI_TRY(measure(plan, &plan->audio, &unit, err));
        VPI_TRY(add_unit(&plan->audio, &unit, err));
        i += unit.count;
    }
    return VP_OK;
}

static vp_status check_input(const vpi_ts_in *in, vp_error *err)
{
    const vpi_segment_in *main = in->video ? in->video : in->audio;

    if (!main) return vpi_fail(err, VP_E_INTERNAL, NULL, "segment without tracks");
    VPI_TRY(vpi_segment_in_check(main, err));
    if (in->reorder > REORDER_MAX || in->min_frame > INT32_MAX || main->start > INT64_MAX / 4) {
        return vpi_fail(err, VP_E_INTERNAL, NULL, "times of a segment are out of range");
    }
    if (in->video &&
        (in->video->setup->kind != VPI_KIND_VIDEO || in->video->setup->codec != VPI_CODEC_H264)) {
        return vpi_fail(err, VP_E_UNSUPPORTED, "CODEC_UNSUPPORTED",
                        "only H.264 can be video of a transport stream");
    }
    for (size_t i = 0; i < main->count; i++) {
        if (!main->samples[i].data) return vpi_fail(err, VP_E_INTERNAL, NULL, "sample without data");
    }
    for (size_t i = 0; in->audio && i < in->audio->count; i++) {
        if (!in->audio->samples[i].data) return vpi_fail(err, VP_E_INTERNAL, NULL, "sample without data");
    }
    return VP_OK;
}

vp_status vpi_ts_plan_make(vpi_ts_plan *plan, const vpi_ts_in *in, vp_error *err)
{
    const vpi_segment_in *main = in->video ? in->video : in->audio;

    VPI_TRY(check_input(in, err));
    plan->in = in;
    plan->main = main;
    plan->video.pid = VPI_TS_PID_VIDEO;
    plan->video.stream_id = STREAM_VIDEO;
    plan->audio.pid = VPI_TS_PID_AUDIO;
    plan->audio.stream_id = STREAM_AUDIO;
    if (in->audio && in->audio->setup->codec != VPI_CODEC_AAC) plan->audio.stream_id = STREAM_PRIVATE_1;
    plan->starts = vpi_calloc(main->fragment_count + 1, sizeof(*plan->starts));
    if (!plan->starts) return vpi_fail_nomem(err);
    if (in->audio) VPI_TRY(vpi_audio_form_of(in->audio->setup, &plan->form, err));
    if (in->video) {
        VPI_TRY(vpi_avcc_parse(in->video->setup->config, in->video->setup->config_size, &plan->avcc, err));
        VPI_TRY(plan_video(plan, err));
        VPI_TRY(place_clock(&plan->video, plan->next_dts, err));
        VPI_TRY(pad(&plan->video, err));
    }
    if (in->audio) VPI_TRY(plan_audio(plan, err));
    if (in->audio && !in->video) {
        for (size_t f = 0; f < main->fragment_count; f++) {
            plan->starts[f] = f ? (uint64_t)main->samples[main->fragments[f]].pts : main->start;
        }
        plan->starts[main->fragment_count] = main->end;
        plan->next_dts = vpi_ts_time((int64_t)main->end, main->setup->timescale);
        VPI_TRY(place_clock(&plan->audio, plan->next_dts, err));
    }
    return in->audio ? pad(&plan->audio, err) : VP_OK;
}

void vpi_ts_plan_dispose(vpi_ts_plan *plan)
{
    vpi_free(plan->video.units);
    vpi_free(plan->audio.units);
    vpi_free(plan->starts);
    vpi_free(plan->pieces);
    vpi_buf_dispose(&plan->held);
    vpi_buf_dispose(&plan->frame);
}
