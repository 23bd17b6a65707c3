/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Protection of CMAF that exists: how (1), size of the init segment (2), init segment, segment. */
#include "fuzz.h"

#include <vodpipe/crypt.h>

#include "bmff/bmff.h"

static const char keys_text[] = "{\"keys\":["
                                "{\"label\":\"*\",\"kid\":\"00112233445566778899aabbccddeeff\","
                                "\"key\":\"0f0e0d0c0b0a09080706050403020100\"},"
                                "{\"label\":\"*\",\"kid\":\"10112233445566778899aabbccddeeff\","
                                "\"key\":\"1f0e0d0c0b0a09080706050403020100\"}],"
                                "\"drm\":[{\"system\":\"common\"},{\"system\":\"widevine\"}]}";

static vp_keys *the_keys(void)
{
    static vp_keys *keys;

    if (!keys && vp_keys_parse(keys_text, strlen(keys_text), &keys, NULL) < 0) abort();
    return keys;
}

/* What senc holds is what saiz says, and saio finds it. */
static void check_moof(const vpi_box *moof, const vpi_fragment_info *info, bool clear, unsigned iv_size)
{
    vpi_moof_protection p;
    vpi_senc_sample s;
    size_t at = 0;

    FUZZ_CHECK(vpi_moof_protection_parse(moof, &p, NULL) == VP_OK);
    FUZZ_CHECK(p.has_saiz == p.has_senc && p.has_saio == p.has_senc && p.has_sgpd == p.has_sbgp);
    if (clear) {
        FUZZ_CHECK(!p.has_senc && !p.has_sbgp && info->description_index == 2);
        return;
    }
    FUZZ_CHECK(!p.has_sbgp || p.group_samples == info->count);
    if (!p.has_senc) return;
    FUZZ_CHECK(p.saiz_count == info->count && p.senc_count == info->count && p.saio == p.senc_at);
    for (size_t i = 0; i < info->count; i++) {
        uint64_t bytes = 0;

        FUZZ_CHECK(vpi_senc_next(&p, iv_size, &at, &s));
        FUZZ_CHECK(s.size == (p.saiz_default ? p.saiz_default : p.saiz[i]));
        for (size_t n = 0; n < s.count; n++) {
            uint32_t open, closed;

            vpi_senc_subsample(&s, n, &open, &closed);
            bytes += (uint64_t)open + closed;
        }
        /* sizes that trex alone tells are 0 here */
        FUZZ_CHECK(!p.senc_subsamples || bytes == info->samples[i].size || info->samples[i].size == 0);
    }
    FUZZ_CHECK(at == p.senc_size);
}

/* Moofs of both, one after the other: the same samples, and where data are is in the mdat. */
static void check_segment(const uint8_t *from, size_t from_size, const uint8_t *to, size_t to_size,
                          bool clear, unsigned iv_size)
{
    size_t a = 0, b = 0;
    vpi_box old, new;

    for (;;) {
        vp_status st;
        vpi_fragment_info want, got;

        do st = vpi_box_next(from, from_size, 0, &a, &old, NULL);
        while (st == VP_OK && old.type != VPI_FOURCC('m', 'o', 'o', 'f'));
        if (st != VP_OK) return;
        do st = vpi_box_next(to, to_size, 0, &b, &new, NULL);
        while (st == VP_OK && new.type != old.type);
        FUZZ_CHECK(st == VP_OK);
        FUZZ_CHECK(vpi_moof_parse(&old, 1u << 20, &want, NULL) == VP_OK);
        FUZZ_CHECK(vpi_moof_parse(&new, 1u << 20, &got, NULL) == VP_OK);
        FUZZ_CHECK(want.count == got.count && want.tfdt == got.tfdt && got.data_offset > 0);
        FUZZ_CHECK((uint64_t)got.data_offset + new.offset <= to_size);
        for (size_t i = 0; i < want.count; i++) FUZZ_CHECK(want.samples[i].size == got.samples[i].size);
        check_moof(&new, &got, clear, iv_size);
        vpi_fragment_info_dispose(&want);
        vpi_fragment_info_dispose(&got);
    }
}

static void protect(const vp_cenc *cenc, uint64_t number, bool clear, unsigned iv_size, const uint8_t *data,
                    size_t size)
{
    uint8_t *d = fuzz_exact(data, size);
    vp_error err = VP_ERROR_INIT;
    vp_bytes *made = NULL, *again = NULL;
    vp_status st = vp_cenc_segment(cenc, number, d, size, &made, &err);

    FUZZ_CHECK(st != VP_E_INTERNAL && (st == VP_OK) == (made != NULL));
    FUZZ_ACCEPTED(st == VP_OK);
    FUZZ_REFUSAL(st, err);
    if (st == VP_OK) {
        const uint8_t *to = vp_bytes_data(made);
        size_t to_size = (size_t)vp_bytes_size(made);

        check_segment(d, size, to, to_size, clear, iv_size);
        FUZZ_CHECK(vp_cenc_segment(cenc, number, d, size, &again, NULL) == VP_OK);
        FUZZ_CHECK(vp_bytes_size(again) == to_size && memcmp(vp_bytes_data(again), to, to_size) == 0);
        again = vp_bytes_unref(again);
    }
    vp_bytes_unref(made);
    free(d);
}

static void check_init(const vp_cenc *cenc, bool clear)
{
    vp_bytes *init = NULL;
    vpi_init_info info;
    vpi_entries entries;

    FUZZ_CHECK(vp_cenc_init(cenc, &init, NULL) == VP_OK);
    FUZZ_CHECK(vpi_init_parse(vp_bytes_data(init), (size_t)vp_bytes_size(init), &info, NULL) == VP_OK);
    FUZZ_CHECK(vpi_entries_parse(vp_bytes_data(init), (size_t)vp_bytes_size(init), &entries, NULL) == VP_OK);
    FUZZ_CHECK(entries.count == (clear ? 2 : 1) && entries.entries[0].has_sinf &&
               !entries.entries[1].has_sinf);
    vp_bytes_unref(init);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t seed[16];
    vp_cenc_options o = VP_CENC_OPTIONS_INIT;
    vp_error err = VP_ERROR_INIT;
    vp_cenc *cenc = NULL;
    size_t how, init;
    uint8_t *d;

    if (size < 3) return 0;
    how = data[0];
    init = (size_t)data[1] << 8 | data[2];
    data += 3;
    size -= 3;
    if (init > size) init = size;
    o.scheme = how & 1 ? VP_ENCRYPT_CENC : VP_ENCRYPT_CBCS;
    o.seed = seed;
    o.segments = 4;
    o.key_rotation = how & 2 ? 2 : 0;
    o.clear_segments = how & 4 ? 1 : 0;
    o.flags = how & 8 ? VP_CENC_PSSH : 0;
    d = fuzz_exact(data, init);
    vp_status st = vp_cenc_new(the_keys(), d, init, &o, &cenc, &err);
    FUZZ_CHECK(st != VP_E_INTERNAL);
    FUZZ_REFUSAL(st, err);
    free(d);
    if (st < 0) return 0;
    check_init(cenc, o.clear_segments > 0);
    for (uint64_t n = 0; n < 4; n += 3)
        protect(cenc, n, n < o.clear_segments, o.scheme == VP_ENCRYPT_CENC ? 8 : 0, data + init, size - init);
    vp_cenc_unref(cenc);
    return 0;
}
