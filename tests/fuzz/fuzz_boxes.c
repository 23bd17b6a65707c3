/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Boxes of any depth, sidx and moof among them. */
#include "fuzz.h"

#include "bmff/bmff.h"

#define SAMPLES 5000u

/* What says how samples are encrypted: views into the box, sample for sample. */
static void read_protection(const vpi_box *moof)
{
    vp_error err = VP_ERROR_INIT;
    vpi_moof_protection p;
    vp_status st = vpi_moof_protection_parse(moof, &p, &err);

    FUZZ_REFUSAL(st, err);
    if (st != VP_OK) return;
    if (p.saiz) FUZZ_CHECK(p.saiz >= moof->data && p.saiz + p.saiz_count <= moof->data + moof->data_size);
    for (unsigned iv_size = 0; p.has_senc && iv_size <= 16; iv_size += 8) {
        vpi_senc_sample s;
        size_t at = 0;

        for (uint32_t i = 0; i < p.senc_count && i < SAMPLES && vpi_senc_next(&p, iv_size, &at, &s); i++) {
            uint32_t clear, closed;

            FUZZ_CHECK(at <= p.senc_size && s.iv + iv_size <= p.senc + p.senc_size);
            for (size_t k = 0; k < s.count; k++) vpi_senc_subsample(&s, k, &clear, &closed);
        }
    }
}

static void read_box(const vpi_box *box)
{
    vp_error err = VP_ERROR_INIT;
    vpi_fragment_info fragment;
    vpi_sidx sidx;
    vp_status st;

    if (box->type == VPI_FOURCC('m', 'o', 'o', 'f')) {
        read_protection(box);
        st = vpi_moof_parse(box, SAMPLES, &fragment, &err);
        FUZZ_REFUSAL(st, err);
        FUZZ_ACCEPTED(st == VP_OK);
        if (st == VP_OK) {
            FUZZ_CHECK(fragment.count <= SAMPLES && (fragment.count == 0) == !fragment.samples);
            vpi_fragment_info_dispose(&fragment);
        }
    } else if (box->type == VPI_FOURCC('s', 'i', 'd', 'x')) {
        st = vpi_sidx_parse(box, &sidx, &err);
        FUZZ_REFUSAL(st, err);
        if (st == VP_OK) {
            FUZZ_CHECK(sidx.count <= box->data_size / 12);
            vpi_sidx_dispose(&sidx);
        }
    } else if (box->type == VPI_FOURCC('t', 'e', 'n', 'c')) {
        vpi_tenc tenc;

        st = vpi_tenc_parse(box, &tenc, &err);
        FUZZ_REFUSAL(st, err);
    }
}

static void walk(const uint8_t *d, size_t size, uint64_t base, unsigned depth)
{
    vp_error err = VP_ERROR_INIT;
    size_t at = 0, before = 0;
    vp_status st;
    vpi_box box;

    while ((st = vpi_box_next(d, size, base, &at, &box, &err)) == VP_OK) {
        FUZZ_CHECK(at > before && at <= size && box.size == at - before && box.offset == base + before);
        FUZZ_CHECK(box.data >= d + before && box.data + box.data_size == d + at);
        read_box(&box);
        if (depth < 8) walk(box.data, box.data_size, base + (uint64_t)(box.data - d), depth + 1);
        before = at;
    }
    FUZZ_REFUSAL(st, err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *d = fuzz_exact(data, size);
    uint32_t type;
    uint64_t box_size;
    size_t header;
    vpi_box box;

    walk(d, size, 0, 0);
    if (vpi_box_header(d, size, &type, &box_size, &header) == VP_OK) {
        FUZZ_CHECK(header <= size && (box_size == 0 || box_size >= header));
    }
    vpi_box_path(d, size, "moov/trak/mdia/minf/stbl/stsd", &box, NULL);
    vpi_box_path(d, size, "moof/traf/trun", &box, NULL);
    free(d);
    return 0;
}
