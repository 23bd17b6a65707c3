/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Common encryption: what is written box by box is read back; then cut and changed. */
#include "unit/bitstream/tools.h"

#include "bmff/bmff.h"

enum { SAMPLES = 3 };

static const uint8_t kid[16] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16 };

/* ---- init segments ---- */

typedef struct shape {
    unsigned version, pattern, iv_size, constant;
    bool sinf, second, no_frma, pssh;
} shape;

static void put_tenc(vpi_buf *b, const shape *s)
{
    size_t at = vpi_fullbox_begin(b, VPI_FOURCC('t', 'e', 'n', 'c'), s->version, 0);

    vpi_buf_u8(b, 0);
    vpi_buf_u8(b, s->pattern);
    vpi_buf_u8(b, 1);
    vpi_buf_u8(b, s->iv_size);
    vpi_buf_add(b, kid, sizeof(kid));
    if (s->iv_size == 0) {
        vpi_buf_u8(b, s->constant);
        for (unsigned i = 0; i < s->constant; i++) vpi_buf_u8(b, 0xC0);
    }
    vpi_box_end(b, at);
}

static void put_sinf(vpi_buf *b, const shape *s)
{
    size_t sinf = vpi_box_begin(b, VPI_FOURCC('s', 'i', 'n', 'f')), at;

    if (!s->no_frma) {
        at = vpi_box_begin(b, VPI_FOURCC('f', 'r', 'm', 'a'));
        vpi_buf_str(b, "avc1");
        vpi_box_end(b, at);
    }
    at = vpi_fullbox_begin(b, VPI_FOURCC('s', 'c', 'h', 'm'), 0, 0);
    vpi_buf_str(b, "cbcs");
    vpi_buf_be32(b, 0x10000);
    vpi_box_end(b, at);
    at = vpi_box_begin(b, VPI_FOURCC('s', 'c', 'h', 'i'));
    put_tenc(b, s);
    vpi_box_end(b, at);
    vpi_box_end(b, sinf);
}

static void put_entry(vpi_buf *b, const char *type, const shape *s)
{
    size_t at = vpi_box_begin(b, VPI_FOURCC(type[0], type[1], type[2], type[3])), config;

    memset(vpi_buf_space(b, 78), 0x11, 78);
    config = vpi_box_begin(b, VPI_FOURCC('a', 'v', 'c', 'C'));
    vpi_buf_str(b, "config");
    vpi_box_end(b, config);
    if (s && s->sinf) put_sinf(b, s);
    vpi_box_end(b, at);
}

static vpi_buf make_init(const shape *s)
{
    static const char path[] = "trakmdiaminfstbl";
    vpi_buf b = { 0 };
    size_t moov = vpi_box_begin(&b, VPI_FOURCC('m', 'o', 'o', 'v')), at[4], stsd;

    for (size_t i = 0; i < 4; i++) {
        const char *p = path + 4 * i;

        at[i] = vpi_box_begin(&b, VPI_FOURCC(p[0], p[1], p[2], p[3]));
        if (i != 1) continue;
        stsd = vpi_fullbox_begin(&b, VPI_FOURCC('h', 'd', 'l', 'r'), 0, 0);
        vpi_buf_be32(&b, 0);
        vpi_buf_str(&b, "vide");
        vpi_box_end(&b, stsd);
    }
    stsd = vpi_fullbox_begin(&b, VPI_FOURCC('s', 't', 's', 'd'), 0, 0);
    vpi_buf_be32(&b, s->second ? 2 : 1);
    put_entry(&b, s->sinf ? "encv" : "avc1", s);
    if (s->second) put_entry(&b, "avc1", NULL);
    vpi_box_end(&b, stsd);
    for (size_t i = 4; i-- > 0;) vpi_box_end(&b, at[i]);
    if (s->pssh) vpi_box_end(&b, vpi_fullbox_begin(&b, VPI_FOURCC('p', 's', 's', 'h'), 0, 0));
    vpi_box_end(&b, moov);
    assert_false(vpi_buf_failed(&b));
    return b;
}

static vp_status parse_init(const shape *s, vpi_entries *out)
{
    vpi_buf b = make_init(s);
    vp_error err = VP_ERROR_INIT;
    vp_status st = vpi_entries_parse(b.data, b.size, out, &err);

    if (st < 0) assert_string_equal(err.reason, "INPUT_CORRUPT");
    if (st == VP_OK && s->sinf && s->second) {
        /* The second entry is the first one without its sinf. */
        const vpi_entry_info *e = out->entries;

        assert_int_equal(e[0].size - e[0].sinf_size, e[1].size);
        assert_memory_equal(e[0].data, e[1].data, e[0].sinf_at);
        assert_int_equal(e[0].sinf_at + e[0].sinf_size, e[0].size);
    }
    vpi_buf_dispose(&b);
    return st;
}

static void test_entries(void **state)
{
    vpi_entries e;

    (void)state;
    assert_int_equal(parse_init(&(shape){ .sinf = false }, &e), VP_OK);
    assert_int_equal(e.count, 1);
    assert_int_equal(e.entries[0].type, VPI_FOURCC('a', 'v', 'c', '1'));
    assert_false(e.entries[0].has_sinf || e.has_pssh);

    assert_int_equal(
        parse_init(
            &(shape){
                .sinf = true, .second = true, .version = 1, .pattern = 0x19, .constant = 16, .pssh = true },
            &e),
        VP_OK);
    assert_true(e.has_pssh && e.entries[0].has_sinf && !e.entries[1].has_sinf);
    assert_int_equal(e.count, 2);
    assert_int_equal(e.entries[0].type, VPI_FOURCC('e', 'n', 'c', 'v'));
    assert_int_equal(e.entries[0].original, VPI_FOURCC('a', 'v', 'c', '1'));
    assert_int_equal(e.entries[0].scheme, VPI_FOURCC('c', 'b', 'c', 's'));
    assert_int_equal(e.entries[0].scheme_version, 0x10000);
    assert_int_equal(e.entries[0].tenc.crypt_blocks, 1);
    assert_int_equal(e.entries[0].tenc.skip_blocks, 9);
    assert_int_equal(e.entries[0].tenc.constant_iv_size, 16);
    assert_int_equal(e.entries[0].tenc.constant_iv[15], 0xC0);
    assert_memory_equal(e.entries[0].tenc.kid, kid, sizeof(kid));
    assert_int_equal(e.entries[1].type, VPI_FOURCC('a', 'v', 'c', '1'));

    /* Version 0 has no pattern, whatever is written there. */
    assert_int_equal(parse_init(&(shape){ .sinf = true, .pattern = 0x19, .iv_size = 8 }, &e), VP_OK);
    assert_int_equal(e.entries[0].tenc.crypt_blocks, 0);
    assert_int_equal(e.entries[0].tenc.iv_size, 8);

    assert_int_equal(parse_init(&(shape){ .sinf = true, .iv_size = 7 }, &e), VP_E_DATA);
    assert_int_equal(parse_init(&(shape){ .sinf = true, .constant = 15 }, &e), VP_E_DATA);
    assert_int_equal(parse_init(&(shape){ .sinf = true, .iv_size = 8, .version = 2 }, &e), VP_E_DATA);
    assert_int_equal(parse_init(&(shape){ .sinf = true, .iv_size = 8, .no_frma = true }, &e), VP_E_DATA);
}

/* ---- fragments ---- */

typedef struct parts {
    bool saiz, saio, senc, sbgp, sgpd;
    unsigned saiz_default, doubled, sgpd_version;
    bool aux_type;
} parts;

static void put_aux_type(vpi_buf *b, const parts *p)
{
    if (!p->aux_type) return;
    vpi_buf_str(b, "cenc");
    vpi_buf_be32(b, 0);
}

static void put_groups(vpi_buf *b, const parts *p)
{
    size_t at;

    if (p->sbgp) {
        at = vpi_fullbox_begin(b, VPI_FOURCC('s', 'b', 'g', 'p'), 0, 0);
        vpi_buf_str(b, "seig");
        vpi_buf_be32(b, 2);
        for (unsigned i = 0; i < 2; i++) {
            vpi_buf_be32(b, i + 1);
            vpi_buf_be32(b, 0x10001);
        }
        vpi_box_end(b, at);
    }
    if (!p->sgpd) return;
    at = vpi_fullbox_begin(b, VPI_FOURCC('s', 'g', 'p', 'd'), p->sgpd_version, 0);
    vpi_buf_str(b, "seig");
    vpi_buf_be32(b, 37);
    vpi_buf_be32(b, 1);
    vpi_buf_u8(b, 0);
    vpi_buf_u8(b, 0x19);
    vpi_buf_u8(b, 1);
    vpi_buf_u8(b, 0);
    vpi_buf_add(b, kid, sizeof(kid));
    vpi_buf_u8(b, 16);
    for (unsigned i = 0; i < 16; i++) vpi_buf_u8(b, 0xC1);
    vpi_box_end(b, at);
}

/* Sample n has n subsamples and an IV of 8 bytes. */
static void put_samples(vpi_buf *b)
{
    for (unsigned n = 0; n < SAMPLES; n++) {
        vpi_buf_be64(b, 0x1000 + n);
        vpi_buf_be16(b, n);
        for (unsigned i = 0; i < n; i++) {
            vpi_buf_be16(b, 5 + i);
            vpi_buf_be32(b, 16 * i);
        }
    }
}

static vpi_buf make_moof(const parts *p)
{
    vpi_buf b = { 0 };
    size_t moof, traf, at;

    vpi_buf_str(&b, "in front"); /* offsets count from moof */
    moof = vpi_box_begin(&b, VPI_FOURCC('m', 'o', 'o', 'f'));
    traf = vpi_box_begin(&b, VPI_FOURCC('t', 'r', 'a', 'f'));
    put_groups(&b, p);
    for (unsigned k = 0; p->saiz && k <= p->doubled; k++) {
        at = vpi_fullbox_begin(&b, VPI_FOURCC('s', 'a', 'i', 'z'), 0, p->aux_type);
        put_aux_type(&b, p);
        vpi_buf_u8(&b, p->saiz_default);
        vpi_buf_be32(&b, SAMPLES);
        for (unsigned i = 0; !p->saiz_default && i < SAMPLES; i++) vpi_buf_u8(&b, 10 + 6 * i);
        vpi_box_end(&b, at);
    }
    if (p->saio) {
        at = vpi_fullbox_begin(&b, VPI_FOURCC('s', 'a', 'i', 'o'), p->aux_type, p->aux_type);
        put_aux_type(&b, p);
        vpi_buf_be32(&b, 1);
        if (p->aux_type) vpi_buf_be32(&b, 0);
        vpi_buf_be32(&b, 4321);
        vpi_box_end(&b, at);
    }
    if (p->senc) {
        at = vpi_fullbox_begin(&b, VPI_FOURCC('s', 'e', 'n', 'c'), 0, 2);
        vpi_buf_be32(&b, SAMPLES);
        put_samples(&b);
        vpi_box_end(&b, at);
    }
    vpi_box_end(&b, traf);
    vpi_box_end(&b, moof);
    assert_false(vpi_buf_failed(&b));
    return b;
}

static vp_status parse_moof(const uint8_t *data, size_t size, vpi_moof_protection *out)
{
    vp_error err = VP_ERROR_INIT;
    vpi_box moof;
    size_t at = 0;
    vp_status st = vpi_box_next(data, size, 8, &at, &moof, &err);

    return st == VP_OK ? vpi_moof_protection_parse(&moof, out, &err) : VP_E_DATA;
}

static void test_fragment(void **state)
{
    static const parts all = {
        .saiz = true, .saio = true, .senc = true, .sbgp = true, .sgpd = true, .sgpd_version = 1
    };
    vpi_moof_protection m;
    bool aux_type;

    (void)state;
    for (aux_type = false;; aux_type = true) {
        parts p = all;
        vpi_senc_sample s;
        uint32_t clear, closed;
        size_t at = 0;
        vpi_buf b;

        p.aux_type = aux_type;
        b = make_moof(&p);
        assert_int_equal(parse_moof(b.data + 8, b.size - 8, &m), VP_OK);
        assert_true(m.has_saiz && m.has_saio && m.has_senc && m.has_sbgp && m.has_sgpd);
        assert_int_equal(m.saiz_count, SAMPLES);
        assert_int_equal(m.saiz[2], 22);
        assert_int_equal(m.saio_count, 1);
        assert_int_equal(m.saio, 4321);
        assert_int_equal(m.group_samples, 3);
        assert_int_equal(m.group_index, 0x10001);
        assert_false(m.groups_differ);
        assert_int_equal(m.group_descriptions, 1);
        assert_memory_equal(m.seig.kid, kid, sizeof(kid));
        assert_int_equal(m.seig.skip_blocks, 9);
        assert_int_equal(m.seig.constant_iv[0], 0xC1);
        assert_ptr_equal(b.data + 8 + m.senc_at, m.senc);
        for (unsigned n = 0; n < SAMPLES; n++) {
            assert_true(vpi_senc_next(&m, 8, &at, &s));
            assert_int_equal(vpi_rd64(s.iv), 0x1000 + n);
            assert_int_equal(s.count, n);
            assert_int_equal(s.size, 10 + 6 * n);
        }
        vpi_senc_subsample(&s, 1, &clear, &closed);
        assert_int_equal(clear, 6);
        assert_int_equal(closed, 16);
        assert_int_equal(at, m.senc_size);
        assert_false(vpi_senc_next(&m, 8, &at, &s));
        vpi_buf_dispose(&b);
        if (aux_type) break;
    }
}

static void test_fragment_refused(void **state)
{
    static const struct {
        parts parts;
        vp_status status;
    } cases[] = {
        { { .saio = false }, VP_OK },
        { { .saiz = true, .saiz_default = 8 }, VP_OK },
        { { .saiz = true, .doubled = 1 }, VP_E_DATA },
        { { .sgpd = true, .sgpd_version = 0 }, VP_E_DATA },
        { { .sgpd = true, .sgpd_version = 2 }, VP_OK },
    };
    vpi_moof_protection m;

    (void)state;
    for (size_t i = 0; i < VPI_COUNT(cases); i++) {
        vpi_buf b = make_moof(&cases[i].parts);

        assert_int_equal(parse_moof(b.data + 8, b.size - 8, &m), cases[i].status);
        vpi_buf_dispose(&b);
    }
}

/* Any byte that is wrong is refused or read as something else, never read past the end. */
static void test_changed(void **state)
{
    static const parts all = {
        .saiz = true, .saio = true, .senc = true, .sbgp = true, .sgpd = true, .sgpd_version = 1
    };
    vpi_buf moof = make_moof(&all), init = make_init(&(shape){ .sinf = true, .second = true, .iv_size = 8 });

    (void)state;
    for (unsigned which = 0; which < 2; which++) {
        const vpi_buf *b = which ? &init : &moof;
        size_t skip = which ? 0 : 8;

        for (size_t i = skip; i < b->size; i++) {
            for (unsigned k = 0; k < 3; k++) {
                uint8_t *copy = malloc(b->size - skip);
                vpi_moof_protection m;
                vpi_entries e;
                vpi_senc_sample s;
                size_t at = 0;

                assert_non_null(copy);
                memcpy(copy, b->data + skip, b->size - skip);
                copy[i - skip] = (uint8_t)(k == 0 ? 0 : k == 1 ? 0xFF : copy[i - skip] + 1);
                if (which) {
                    vpi_entries_parse(copy, b->size, &e, NULL);
                } else if (parse_moof(copy, b->size - skip, &m) == VP_OK && m.has_senc) {
                    while (vpi_senc_next(&m, 8, &at, &s)) assert_true(at <= m.senc_size);
                }
                free(copy);
            }
        }
    }
    vpi_buf_dispose(&moof);
    vpi_buf_dispose(&init);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_entries),
        cmocka_unit_test(test_fragment),
        cmocka_unit_test(test_fragment_refused),
        cmocka_unit_test(test_changed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
