/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Packets of a transport stream segment, in the order of time (ISO/IEC 13818-1 2.4.3). */

#include "package/ts_int.h"

enum { BATCH = 340 }; /* packets handed on at a time */

typedef struct ts_writer {
    vpi_ts_plan *plan;
    vpi_out *out;
    vpi_segment *entry;
    vpi_ts_program program;
    uint8_t *packets; /* BATCH of them */
    size_t used;
    uint64_t written; /* bytes, those still in packets included */
    unsigned video_counter, audio_counter;
    size_t next_audio; /* unit beside video that comes next */
    int64_t last_pcr;  /* decode time that it stands for */
    uint64_t fragments;
} ts_writer;

static vp_status flush(ts_writer *w, vp_error *err)
{
    struct iovec piece = { w->packets, w->used * VPI_TS_PACKET };

    w->used = 0;
    return vpi_out_add(w->out, &piece, 1, err);
}

static vp_status next_packet(ts_writer *w, uint8_t **packet, vp_error *err)
{
    if (w->used == BATCH) VPI_TRY(flush(w, err));
    *packet = w->packets + w->used++ * VPI_TS_PACKET;
    w->written += VPI_TS_PACKET;
    return VP_OK;
}

static unsigned *counter_of(ts_writer *w, unsigned pid)
{
    return pid == VPI_TS_PID_VIDEO ? &w->video_counter : &w->audio_counter;
}

static void put_pcr(uint8_t *p, int64_t dts)
{
    uint64_t base = (uint64_t)(dts - VPI_TS_PCR_LEAD) & 0x1FFFFFFFFu;

    p[0] = (uint8_t)(base >> 25);
    p[1] = (uint8_t)(base >> 17);
    p[2] = (uint8_t)(base >> 9);
    p[3] = (uint8_t)(base >> 1);
    p[4] = (uint8_t)((base << 7 & 0x80u) | 0x7Eu);
    p[5] = 0;
}

/* Header and adaptation field so that exactly `payload` bytes are left; returns their place. */
static uint8_t *put_header(uint8_t *packet, unsigned pid, bool first, unsigned counter,
                           const vpi_ts_unit *unit, size_t payload)
{
    size_t field = VPI_TS_PACKET - 4 - payload; /* bytes of the adaptation field, its length byte included */

    packet[0] = 0x47;
    packet[1] = (uint8_t)((first ? 0x40u : 0) | pid >> 8);
    packet[2] = (uint8_t)pid;
    packet[3] = (uint8_t)((field ? 0x30u : 0x10u) | (counter & 15u));
    if (field) packet[4] = (uint8_t)(field - 1);
    if (field > 1) {
        memset(packet + 5, 0xFF, field - 1);
        packet[5] = 0;
        if (first && unit->random_access) packet[5] |= 0x40;
        if (first && unit->pcr) {
            packet[5] |= 0x10;
            put_pcr(packet + 6, unit->dts);
        }
    }
    return packet + 4 + field;
}

/* The clock alone: no payload, so the counter stays (2.4.3.3). */
static vp_status write_clock(ts_writer *w, int64_t dts, vp_error *err)
{
    unsigned pid = w->plan->in->video ? VPI_TS_PID_VIDEO : VPI_TS_PID_AUDIO;
    uint8_t *p;

    VPI_TRY(next_packet(w, &p, err));
    memset(p, 0xFF, VPI_TS_PACKET);
    p[0] = 0x47;
    p[1] = (uint8_t)(pid >> 8);
    p[2] = (uint8_t)pid;
    p[3] = (uint8_t)(0x20u | ((*counter_of(w, pid) - 1) & 15u));
    p[4] = VPI_TS_PACKET - 5;
    p[5] = 0x10;
    put_pcr(p + 6, dts);
    w->last_pcr = dts;
    return VP_OK;
}

/* Copies size bytes of the gathered pieces from (*piece, *at) on. */
static void copy_pieces(const vpi_ts_plan *plan, size_t *piece, size_t *at, uint8_t *to, size_t size)
{
    while (size > 0) {
        const struct iovec *from = &plan->pieces[*piece];
        size_t part = VPI_MIN(from->iov_len - *at, size);

        if (part) memcpy(to, (const uint8_t *)from->iov_base + *at, part);
        to += part;
        size -= part;
        *at += part;
        if (*at == from->iov_len) {
            (*piece)++;
            *at = 0;
        }
    }
}

static vp_status write_unit(ts_writer *w, const vpi_ts_list *list, const vpi_ts_unit *unit, vp_error *err)
{
    uint64_t left = unit->bytes, packets = vpi_ts_packets(unit);
    unsigned *counter = counter_of(w, list->pid);
    size_t piece = 0, at = 0;

    if (unit->pcr) w->last_pcr = unit->dts;
    if (vpi_out_counts(w->out)) {
        w->written += packets * VPI_TS_PACKET;
        w->out->bytes += packets * VPI_TS_PACKET;
        *counter += (unsigned)(packets & 15u);
        return VP_OK;
    }
    VPI_TRY(vpi_ts_gather(w->plan, list, unit, err));
    for (uint64_t n = packets; n > 0; n--) {
        bool first = n == packets;
        uint64_t room = VPI_TS_PACKET - 4 - (first ? vpi_ts_adaptation(unit) : 0);
        size_t take = (size_t)VPI_MIN(room, left - (n - 1)); /* a byte at least for each that follows */
        uint8_t *packet;

        VPI_TRY(next_packet(w, &packet, err));
        copy_pieces(w->plan, &piece, &at, put_header(packet, list->pid, first, (*counter)++, unit, take),
                    take);
        left -= take;
    }
    return VP_OK;
}

static vp_status write_audio_until(ts_writer *w, int64_t time, vp_error *err)
{
    const vpi_ts_list *audio = &w->plan->audio;

    while (w->plan->in->video && w->next_audio < audio->count && audio->units[w->next_audio].dts <= time) {
        VPI_TRY(write_unit(w, audio, &audio->units[w->next_audio++], err));
    }
    return VP_OK;
}

/* What comes before decode time `time`: audio, and the clock where pictures are far apart. */
static vp_status write_until(ts_writer *w, int64_t time, vp_error *err)
{
    while (time - w->last_pcr > VPI_TS_PCR_MAX) {
        int64_t clock = w->last_pcr + VPI_TS_PCR_STEP;

        VPI_TRY(write_audio_until(w, clock, err));
        VPI_TRY(write_clock(w, clock, err));
    }
    return write_audio_until(w, time, err);
}

static vp_status begin_fragment(ts_writer *w, vp_error *err)
{
    unsigned counter = (unsigned)((w->plan->main->first_fragment + w->fragments) & 15u);
    const uint64_t *starts = w->plan->starts + w->fragments;
    vpi_fragment *fragment = vpi_segment_add_fragment(w->entry);
    uint8_t *packet;

    if (!fragment) return vpi_fail_nomem(err);
    fragment->offset = w->written;
    fragment->ticks = starts[1] - starts[0];
    w->fragments++;
    VPI_TRY(next_packet(w, &packet, err));
    vpi_ts_pat(packet, counter);
    VPI_TRY(next_packet(w, &packet, err));
    return vpi_ts_pmt(packet, counter, &w->program, err);
}

static vp_status write_main(ts_writer *w, vp_error *err)
{
    const vpi_ts_list *list = w->plan->in->video ? &w->plan->video : &w->plan->audio;

    for (size_t i = 0; i < list->count; i++) {
        const vpi_ts_unit *unit = &list->units[i];

        /* Nothing comes before the first tables; audio of the same time follows the first picture. */
        if (i > 0) VPI_TRY(write_until(w, unit->dts, err));
        if (unit->fragment) VPI_TRY(begin_fragment(w, err));
        VPI_TRY(write_unit(w, list, unit, err));
        if (unit->fragment && w->plan->in->video) {
            vpi_fragment *fragment = &w->entry->fragments[w->entry->fragment_count - 1];

            fragment->idr_bytes = w->written - fragment->offset;
        }
    }
    VPI_TRY(write_until(w, w->plan->next_dts, err));
    return write_audio_until(w, INT64_MAX, err);
}

static void finish_entry(ts_writer *w)
{
    vpi_segment *e = w->entry;

    for (size_t i = 0; i < e->fragment_count; i++) {
        uint64_t end = i + 1 < e->fragment_count ? e->fragments[i + 1].offset : w->written;

        e->fragments[i].bytes = end - e->fragments[i].offset;
    }
    e->bytes = w->written;
}

static vp_status make_program(const vpi_ts_plan *plan, vpi_ts_program *program, vp_error *err)
{
    const vpi_segment_in *audio = plan->in->audio;

    program->video = plan->in->video != NULL;
    program->audio = audio != NULL;
    program->codec = audio ? audio->setup->codec : VPI_CODEC_UNKNOWN;
    program->language = audio ? audio->setup->language : NULL;
    program->protect = plan->protect != NULL;
    return audio && plan->protect ? vpi_audio_setup(&plan->form, &program->setup, err) : VP_OK;
}

vp_status vpi_ts_segment_out(const vpi_ts_in *in, const vpi_protect *protect, vpi_out *out,
                             vpi_segment *entry, vp_error *err)
{
    vpi_ts_plan plan = { .counts = vpi_out_counts(out) };
    ts_writer w = { .plan = &plan, .out = out, .entry = entry };
    vp_status st;

    VPI_GO(vpi_unit_protect(protect, &plan.protect, err));
    VPI_GO(vpi_ts_plan_make(&plan, in, err));
    VPI_GO(make_program(&plan, &w.program, err));
    w.packets = vpi_alloc((size_t)BATCH * VPI_TS_PACKET);
    if (!w.packets) {
        st = vpi_fail_nomem(err);
        goto done;
    }
    vpi_entry_begin(entry, plan.main);
    VPI_GO(write_main(&w, err));
    VPI_GO(flush(&w, err));
    finish_entry(&w);
done:
    vpi_free(w.packets);
    vpi_buf_dispose(&w.program.setup);
    vpi_ts_plan_dispose(&plan);
    return st;
}

vp_status vpi_ts_segment(const vpi_ts_in *in, const vpi_protect *protect, vp_object *object,
                         vpi_segment *entry, vp_error *err)
{
    vpi_out out = { .object = object };

    return vpi_ts_segment_out(in, protect, &out, entry, err);
}

vp_status vpi_ts_segment_size(const vpi_ts_in *in, const vpi_protect *protect, vpi_segment *entry,
                              vp_error *err)
{
    vpi_out out = { 0 };

    return vpi_ts_segment_out(in, protect, &out, entry, err);
}
