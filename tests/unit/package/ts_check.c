/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ts_check.h"

#define WRAP (INT64_C(1) << 33)

typedef struct reader {
    ts_stream *out;
    int counters[8192]; /* last one, -1: none yet */
    int64_t near, last_pcr;
    int pcr_pid;
    bool after_pat;
} reader;

static int64_t unwrap(int64_t t, int64_t near)
{
    while (t - near > WRAP / 2) t -= WRAP;
    while (near - t > WRAP / 2) t += WRAP;
    return t;
}

static uint32_t crc(const uint8_t *p, size_t size)
{
    uint32_t c = 0xFFFFFFFF;

    while (size--) {
        c ^= (uint32_t)*p++ << 24;
        for (int i = 0; i < 8; i++) c = c & 0x80000000 ? c << 1 ^ 0x04C11DB7 : c << 1;
    }
    return c;
}

static void read_pcr(reader *r, int pid, const uint8_t *p)
{
    int64_t base = (int64_t)p[0] << 25 | p[1] << 17 | p[2] << 9 | p[3] << 1 | p[4] >> 7;
    int64_t t = unwrap(base, r->near);

    assert_int_equal(pid, r->pcr_pid);
    if (r->last_pcr != INT64_MIN) {
        assert_true(t > r->last_pcr);
        r->out->longest_gap = VPI_MAX(r->out->longest_gap, t - r->last_pcr);
    }
    r->last_pcr = t;
    r->near = t;
    r->out->clocks++;
}

/* A table changes with its version only. */
static void read_version(ts_stream *out, const uint8_t *table, size_t size)
{
    if (out->program_size && out->program[5] == table[5]) {
        assert_int_equal(out->program_size, size);
        assert_memory_equal(out->program, table, size);
    }
    memcpy(out->program, table, size);
    out->program_size = size;
}

static void read_stream(ts_stream *out, const uint8_t *s, size_t descriptors)
{
    unsigned type = s[0], es = vpi_rd16(s + 1) & 0x1FFF;
    bool video = type == 0x1B || type == 0xDB;
    static const uint8_t sound[] = { 0x0F, 0xCF, 0x81, 0xC1, 0x87, 0xC2 };

    assert_true(video ? es == 0x100 : memchr(sound, (int)type, sizeof(sound)) && es == 0x101);
    if (!video) out->audio_type = type;
    for (const uint8_t *d = s + 5; d < s + 5 + descriptors; d += 2 + d[1]) {
        assert_true(d + 2 + d[1] <= s + 5 + descriptors);
        if (d[0] == 0x0A && !video) memcpy(out->language, d + 2, 3);
    }
}

static void read_tables(reader *r, int pid, const uint8_t *p)
{
    size_t length = vpi_rd16(p + 2) & 0xFFF;

    assert_int_equal(p[0], 0);
    assert_int_equal(crc(p + 1, length + 3), 0);
    r->out->tables++;
    if (pid == 0) {
        assert_int_equal(p[1], 0);
        assert_int_equal(vpi_rd16(p + 9), 1);
        assert_int_equal(vpi_rd16(p + 11) & 0x1FFF, 0x1000);
        return;
    }
    assert_int_equal(p[1], 2);
    r->pcr_pid = vpi_rd16(p + 9) & 0x1FFF;
    for (const uint8_t *s = p + 13; s < p + 1 + 3 + length - 4; s += 5 + (vpi_rd16(s + 3) & 0xFFF)) {
        read_stream(r->out, s, vpi_rd16(s + 3) & 0xFFF);
    }
    read_version(r->out, p + 1, 3 + length - 4);
}

static int64_t read_time(const uint8_t *p)
{
    assert_true((p[0] & 1) && (p[2] & 1) && (p[4] & 1));
    return (int64_t)(p[0] >> 1 & 7) << 30 | p[1] << 22 | (p[2] >> 1) << 15 | p[3] << 7 | p[4] >> 1;
}

static size_t begin_pes(reader *r, bool video, const uint8_t *p, size_t size, bool random_access)
{
    ts_stream *o = r->out;
    ts_pes *pes;
    size_t head = 9 + (size_t)p[8];

    assert_true(size >= head); /* whole in the first packet */
    assert_int_equal(p[0] << 16 | p[1] << 8 | p[2], 1);
    assert_int_equal(p[3], video ? 0xE0 : o->audio_type == 0x0F || o->audio_type == 0xCF ? 0xC0 : 0xBD);
    if (video) {
        assert_true(VPI_GROW(o->video, o->video_count, o->video_cap));
        pes = &o->video[o->video_count++];
    } else {
        assert_true(VPI_GROW(o->audio, o->audio_count, o->audio_cap));
        pes = &o->audio[o->audio_count++];
    }
    memset(pes, 0, sizeof(*pes));
    pes->pts = pes->dts = unwrap(read_time(p + 9), r->near);
    if (p[7] == 0xC0) pes->dts = unwrap(read_time(p + 14), r->near);
    pes->random_access = random_access;
    assert_true(pes->dts <= pes->pts);
    assert_true(r->last_pcr != INT64_MIN && r->last_pcr < pes->dts);
    o->longest_lead = VPI_MAX(o->longest_lead, pes->dts - r->last_pcr);
    return head;
}

static void read_payload(reader *r, int pid, bool start, const uint8_t *p, size_t size, bool random_access)
{
    bool video = pid == 0x100;
    ts_stream *o = r->out;
    ts_pes *pes;
    size_t head = 0;

    assert_true(size > 0);
    if (start) head = begin_pes(r, video, p, size, random_access);
    assert_true(video ? o->video_count > 0 : o->audio_count > 0);
    pes = video ? &o->video[o->video_count - 1] : &o->audio[o->audio_count - 1];
    while (pes->size + size > pes->cap) {
        size_t want = pes->cap * 2 + 4096;

        pes->data = realloc(pes->data, want);
        assert_non_null(pes->data);
        pes->cap = want;
    }
    memcpy(pes->data + pes->size, p + head, size - head);
    pes->size += size - head;
}

static void read_packet(reader *r, const uint8_t *p)
{
    int pid = vpi_rd16(p + 1) & 0x1FFF, counter = p[3] & 15;
    bool start = p[1] & 0x40, field = p[3] & 0x20, payload = p[3] & 0x10, random_access = false;
    size_t at = 4;

    assert_int_equal(p[0], 0x47);
    assert_int_equal(p[1] & 0xA0, 0);
    assert_int_equal(p[3] & 0xC0, 0);
    assert_true(pid == 0 || pid == 0x1000 || pid == 0x100 || pid == 0x101);
    if (r->counters[pid] >= 0)
        assert_int_equal(counter, payload ? (r->counters[pid] + 1) & 15 : r->counters[pid]);
    r->counters[pid] = counter;
    if (r->after_pat) assert_int_equal(pid, 0x1000);
    r->after_pat = pid == 0;
    if (field) {
        size_t length = p[4];

        assert_true(length <= (payload ? 182u : 183u));
        at += 1 + length;
        if (length > 0) {
            assert_int_equal(p[5] & 0x80, 0); /* no discontinuity */
            random_access = p[5] & 0x40;
            if (p[5] & 0x10) read_pcr(r, pid, p + 6);
        }
        if (!payload) r->out->clock_packets++;
    }
    if (!payload) return;
    if (pid == 0 || pid == 0x1000) {
        assert_true(start);
        read_tables(r, pid, p + at);
    } else {
        read_payload(r, pid, start, p + at, 188 - at, random_access);
    }
}

bool ts_protected(const ts_stream *s)
{
    return s->program[12] >= 0xC1;
}

void ts_read(const uint8_t *data, size_t size, int64_t near, ts_stream *out)
{
    reader *r = calloc(1, sizeof(*r));

    assert_non_null(r);
    memset(out, 0, sizeof(*out));
    r->out = out;
    r->near = near;
    r->last_pcr = INT64_MIN;
    for (size_t i = 0; i < VPI_COUNT(r->counters); i++) r->counters[i] = -1;
    assert_int_equal(size % 188, 0);
    assert_int_equal(vpi_rd16(data + 1), 0x4000); /* PAT first */
    for (size_t at = 0; at < size; at += 188) read_packet(r, data + at);
    free(r);
}

void ts_dispose(ts_stream *s)
{
    for (size_t i = 0; i < s->video_count; i++) free(s->video[i].data);
    for (size_t i = 0; i < s->audio_count; i++) free(s->audio[i].data);
    vpi_free(s->video);
    vpi_free(s->audio);
    memset(s, 0, sizeof(*s));
}

/* ---- a protect step ---- */

size_t step_units;

vp_status step_unit(void *user, vpi_codec codec, const uint8_t *data, size_t size, vpi_buf *out,
                    vp_error *err)
{
    unsigned type = data[0] & 31u;

    (void)err;
    assert_ptr_equal(user, &step_units);
    step_units++;
    if (codec == VPI_CODEC_AAC) {
        assert_int_equal(data[0], 0xFF);
        for (size_t i = 0; i < size; i++) vpi_buf_u8(out, data[i] ^ (i < 23 ? 0u : 0x5Au));
        return VP_OK;
    }
    if (codec == VPI_CODEC_AC3 || codec == VPI_CODEC_EAC3) {
        assert_int_equal(vpi_rd16(data), 0x0B77);
        for (size_t i = 0; i < size; i++) vpi_buf_u8(out, data[i] ^ (i < 16 ? 0u : 0x5Au));
        return VP_OK;
    }
    assert_int_equal(codec, VPI_CODEC_H264);
    if ((type != VPI_H264_SLICE && type != VPI_H264_IDR) || size <= 48) {
        vpi_buf_add(out, data, size);
        return VP_OK;
    }
    vpi_buf_u8(out, data[0]);
    for (size_t i = 1; i < size; i++) vpi_buf_be16(out, 0xA050u | (data[i] & 0xF0u) << 4 | (data[i] & 15u));
    return VP_OK;
}

vpi_protect step_protect(void)
{
    return (vpi_protect){ .scheme = VPI_FOURCC('c', 'b', 'c', 's'), .unit = step_unit, .user = &step_units };
}

void step_assert_nal(const vpi_nal *nal, const vpi_nal *want, bool protected)
{
    unsigned type = vpi_h264_type(want);

    if (!protected || (type != VPI_H264_SLICE && type != VPI_H264_IDR) || want->size <= 48) {
        assert_int_equal(nal->size, want->size);
        assert_memory_equal(nal->data, want->data, nal->size);
        return;
    }
    assert_int_equal(nal->size, 2 * want->size - 1);
    for (size_t i = 1; i < want->size; i++) {
        assert_int_equal((nal->data[2 * i - 1] & 15) << 4 | (nal->data[2 * i] & 15), want->data[i]);
    }
}

void step_assert_frame(const uint8_t *frame, const vpi_sample *want, bool protected)
{
    for (size_t i = 0; i < want->size; i++) {
        assert_int_equal(frame[i], want->data[i] ^ (protected && i >= 16 ? 0x5A : 0));
    }
}

vp_status step_failing(void *user, vpi_codec codec, const uint8_t *data, size_t size, vpi_buf *out,
                       vp_error *err)
{
    (void)user;
    (void)data;
    vpi_buf_add(out, "longer", 6);
    return codec == VPI_CODEC_AAC ? step_unit(&step_units, codec, data, size, out, err)
                                  : vpi_fail(err, VP_E_AUTH, NULL, "no key");
}
