/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* H.264: parameter sets and slices of an Annex B stream, and the same bytes as avcC. */
#include "fuzz.h"

#include "base/buf.h"
#include "bitstream/bitstream.h"

#define SETS 8

typedef struct sets {
    vpi_nal sps_nal[SETS], pps_nal[SETS];
    size_t sps_count, pps_count;
    vpi_h264_sps sps[32];
    bool has_sps[32];
    vpi_h264_pps pps[256];
    bool has_pps[256];
} sets;

static void read_sps(sets *s, const vpi_nal *nal)
{
    vp_error err = VP_ERROR_INIT;
    vpi_h264_sps sps;
    vp_status st = vpi_h264_sps_parse(nal, &sps, &err);

    FUZZ_REFUSAL(st, err);
    if (s->sps_count < SETS) s->sps_nal[s->sps_count++] = *nal;
    if (st < 0) return;
    FUZZ_CHECK(sps.id < 32 && sps.width > 0 && sps.height > 0 && sps.mb_width <= 4096 &&
               sps.mb_height <= 4096);
    FUZZ_CHECK(sps.width <= sps.mb_width * 16 && sps.height <= sps.mb_height * 16);
    s->sps[sps.id] = sps;
    s->has_sps[sps.id] = true;
}

static void read_pps(sets *s, const vpi_nal *nal)
{
    vp_error err = VP_ERROR_INIT;
    vpi_h264_pps pps;
    vp_status st = vpi_h264_pps_parse(nal, NULL, &pps, &err);

    FUZZ_REFUSAL(st, err);
    if (s->pps_count < SETS) s->pps_nal[s->pps_count++] = *nal;
    if (st < 0) return;
    FUZZ_CHECK(pps.sps_id < 32);
    if (s->has_sps[pps.sps_id]) st = vpi_h264_pps_parse(nal, &s->sps[pps.sps_id], &pps, &err);
    if (st < 0) return;
    s->pps[pps.id] = pps;
    s->has_pps[pps.id] = true;
}

static void read_slice(const sets *s, const vpi_nal *nal)
{
    vp_error err = VP_ERROR_INIT;
    vpi_h264_slice slice;
    uint8_t id;
    vp_status st = vpi_h264_slice_pps_id(nal, &id, &err);

    FUZZ_REFUSAL(st, err);
    if (st < 0 || !s->has_pps[id] || !s->has_sps[s->pps[id].sps_id]) return;
    st = vpi_h264_slice_parse(nal, &s->sps[s->pps[id].sps_id], &s->pps[id], &slice, &err);
    FUZZ_REFUSAL(st, err);
    FUZZ_ACCEPTED(st == VP_OK);
    if (st == VP_OK) {
        FUZZ_CHECK(slice.header_bits <= nal->size * 8 && slice.header_bytes_escaped <= nal->size);
        FUZZ_CHECK(slice.header_bytes_escaped * 8 >= slice.header_bits);
    }
}

static void read_avcc(const uint8_t *data, size_t size)
{
    char codecs[VPI_CODECS_SIZE];
    vp_error err = VP_ERROR_INIT;
    vpi_avcc avcc;
    vp_status st = vpi_avcc_parse(data, size, &avcc, &err);

    FUZZ_REFUSAL(st, err);
    if (st == VP_OK) {
        vpi_h264_sps sps;
        vpi_h264_pps pps;

        FUZZ_CHECK(avcc.sps_count <= VPI_AVCC_MAX_SETS && avcc.pps_count <= VPI_AVCC_MAX_SETS);
        for (size_t i = 0; i < avcc.sps_count; i++) vpi_h264_sps_parse(&avcc.sps[i], &sps, NULL);
        for (size_t i = 0; i < avcc.pps_count; i++) vpi_h264_pps_parse(&avcc.pps[i], NULL, &pps, NULL);
    }
    st = vpi_codecs_avc(data, size, codecs, &err);
    FUZZ_REFUSAL(st, err);
    if (st == VP_OK) FUZZ_CHECK(memchr(codecs, 0, sizeof(codecs)));
}

/* What is written can be read. */
static void write_avcc(const sets *s)
{
    vpi_buf out = { 0 };
    vpi_avcc avcc;
    vp_error err = VP_ERROR_INIT;
    vp_status st = vpi_avcc_write(s->sps_nal, s->sps_count, s->pps_nal, s->pps_count, &out, &err);

    FUZZ_REFUSAL(st, err);
    if (st == VP_OK) {
        FUZZ_CHECK(vpi_avcc_parse(out.data, out.size, &avcc, NULL) == VP_OK);
        FUZZ_CHECK(avcc.sps_count == s->sps_count && avcc.pps_count == s->pps_count);
    }
    vpi_buf_dispose(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *d = fuzz_exact(data, size);
    sets *s = calloc(1, sizeof(*s));
    size_t at = 0;
    vpi_nal nal;

    if (!s) abort();
    while (vpi_annexb_next(d, size, &at, &nal)) {
        switch (vpi_h264_type(&nal)) {
        case VPI_H264_SPS:
            read_sps(s, &nal);
            break;
        case VPI_H264_PPS:
            read_pps(s, &nal);
            break;
        default:
            read_slice(s, &nal);
        }
    }
    write_avcc(s);
    read_avcc(d, size);
    free(s);
    free(d);
    return 0;
}
