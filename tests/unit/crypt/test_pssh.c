/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Boxes byte for byte as Shaka Packager 3.8.0 writes them for the same KIDs; then hostile ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/fault.h"
#include "crypt/crypt.h"

static const uint8_t kids[32] = { 0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xAA,
                                  0xBB, 0xCC, 0xDD, 0xEE, 0xFF, 0x0F, 0x1E, 0x2D, 0x3C, 0x4B, 0x5A,
                                  0x69, 0x78, 0x87, 0x96, 0xA5, 0xB4, 0xC3, 0xD2, 0xE1, 0xF0 };
#define KIDS_HEX "00112233445566778899aabbccddeeff0f1e2d3c4b5a69788796a5b4c3d2e1f0"

static void is_hex(vp_bytes *b, const char *expected)
{
    char *text = malloc((size_t)vp_bytes_size(b) * 2 + 1);

    assert_non_null(text);
    vpi_hex_text(vp_bytes_data(b), (size_t)vp_bytes_size(b), text);
    assert_string_equal(text, expected);
    free(text);
}

static vp_bytes *build(const char *system, uint32_t scheme, uint32_t count, const char *laurl)
{
    vp_error err = VP_ERROR_INIT;
    vp_bytes *b = NULL;
    uint8_t id[16];

    assert_int_equal(vp_drm_system(system, id, &err), VP_OK);
    assert_int_equal(vp_pssh_build(id, scheme, kids, count, laurl, &b, &err), VP_OK);
    return b;
}

/* What is built is read again. */
static void tells(vp_bytes *box, const char *system, uint32_t count)
{
    vp_error err = VP_ERROR_INIT;
    vp_bytes *found = NULL;
    uint8_t id[16];

    assert_int_equal(vp_pssh_parse(vp_bytes_data(box), vp_bytes_size(box), id, &found, &err), VP_OK);
    assert_string_equal(vpi_system_word(id), system);
    assert_int_equal(vp_bytes_size(found), count * 16);
    assert_memory_equal(vp_bytes_data(found), kids, count * 16);
    vp_bytes_unref(found);
}

static void as_shaka(void **state)
{
    static const struct {
        const char *system;
        uint32_t scheme, count;
        const char *box;
    } cases[] = {
        { "common", VP_ENCRYPT_CENC, 2,
          "0000004470737368010000001077efecc0b24d02ace33c1e52e2fb4b00000002" KIDS_HEX "00000000" },
        { "widevine", VP_ENCRYPT_CENC, 1,
          "000000387073736800000000edef8ba979d64acea3c827dcd51d21ed00000018"
          "121000112233445566778899aabbccddeeff48e3dc959b06" },
        { "widevine", VP_ENCRYPT_CBCS, 2,
          "0000004a7073736800000000edef8ba979d64acea3c827dcd51d21ed0000002a"
          "121000112233445566778899aabbccddeeff12100f1e2d3c4b5a69788796a5b4c3d2e1f048f3c6899b06" },
    };

    (void)state;
    for (size_t i = 0; i < VPI_COUNT(cases); i++) {
        vp_bytes *b = build(cases[i].system, cases[i].scheme, cases[i].count, NULL);

        is_hex(b, cases[i].box);
        tells(b, cases[i].system, cases[i].count);
        vp_bytes_unref(b);
    }
}

/* ASCII of the header of a PlayReady box, which starts behind box, object and record. */
static void header_is(vp_bytes *box, const char *expected)
{
    const uint8_t *p = vp_bytes_data(box);
    size_t size = (size_t)vp_bytes_size(box), n = strlen(expected);

    assert_int_equal(size, 32 + 10 + 2 * n);
    assert_int_equal(vpi_rl32(p + 32), size - 32);
    assert_memory_equal(p + 36, "\x01\x00\x01\x00", 4);
    assert_int_equal(p[40] | p[41] << 8, 2 * n);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(p[42 + 2 * i], expected[i]);
        assert_int_equal(p[43 + 2 * i], 0);
    }
}

#define HEAD "<WRMHEADER xmlns=\"http://schemas.microsoft.com/DRM/2007/03/PlayReadyHeader\" version="

static void playready(void **state)
{
    vp_bytes *b;

    (void)state;
    b = build("playready", VP_ENCRYPT_CENC, 1, NULL);
    header_is(b, HEAD "\"4.0.0.0\"><DATA><PROTECTINFO><KEYLEN>16</KEYLEN><ALGID>AESCTR</ALGID></PROTECTINFO>"
                      "<KID>MyIRAFVEd2aImaq7zN3u/w==</KID></DATA></WRMHEADER>");
    tells(b, "playready", 1);
    vp_bytes_unref(b);
    b = build("playready", VP_ENCRYPT_CBCS, 2, "https://l/?a=<1>&b");
    header_is(b, HEAD "\"4.3.0.0\"><DATA><PROTECTINFO><KIDS>"
                      "<KID ALGID=\"AESCBC\" VALUE=\"MyIRAFVEd2aImaq7zN3u/w==\"></KID>"
                      "<KID ALGID=\"AESCBC\" VALUE=\"PC0eD1pLeGmHlqW0w9Lh8A==\"></KID></KIDS></PROTECTINFO>"
                      "<LA_URL>https://l/?a=&lt;1&gt;&amp;b</LA_URL></DATA></WRMHEADER>");
    tells(b, "playready", 2);
    vp_bytes_unref(b);
    b = build("playready", VP_ENCRYPT_CENC, 2, NULL);
    tells(b, "playready", 2);
    vp_bytes_unref(b);
    b = build("clearkey", VP_ENCRYPT_CENC, 1, NULL);
    tells(b, "clearkey", 1);
    vp_bytes_unref(b);
}

static vp_status parse(const vpi_buf *b, vp_bytes **found, vp_error *err)
{
    uint8_t *exact = malloc(b->size ? b->size : 1);
    vp_status st;

    assert_non_null(exact);
    if (b->size) memcpy(exact, b->data, b->size);
    st = vp_pssh_parse(exact, b->size, NULL, found, err);
    free(exact);
    return st;
}

static void playready_box(vpi_buf *b, const char *header)
{
    size_t n = strlen(header);
    vpi_buf data = { 0 };

    for (int i = 0; i < 2; i++) {
        size_t v = i ? 2 * n : 2 * n + 10;

        vpi_buf_u8(&data, v & 0xFF);
        vpi_buf_u8(&data, v >> 8 & 0xFF);
        if (i == 0) vpi_buf_add(&data, "\0\0\1\0\1\0", 6);
    }
    for (size_t i = 0; i < n; i++) {
        vpi_buf_u8(&data, (uint8_t)header[i]);
        vpi_buf_u8(&data, 0);
    }
    vpi_buf_clear(b);
    vpi_pssh_write(vpi_system_playready, NULL, 0, data.data, data.size, b);
    vpi_buf_dispose(&data);
}

static void headers(void **state)
{
    static const char *const good[] = {
        HEAD "\"4.1.0.0\"><DATA><PROTECTINFO><KID ALGID=\"AESCTR\" CHECKSUM=\"x\" "
             "VALUE=\"MyIRAFVEd2aImaq7zN3u/w==\"/>"
             "</PROTECTINFO></DATA></WRMHEADER>",
        HEAD "\"4.2.0.0\"><DATA><PROTECTINFO><KIDS><KID VALUE=\"MyIRAFVEd2aImaq7zN3u/w==\" "
             "ALGID=\"AESCTR\"/></KIDS>"
             "</PROTECTINFO><CUSTOMATTRIBUTES><KID>no</KID></CUSTOMATTRIBUTES></DATA></WRMHEADER>",
        HEAD "\"4.0.0.0\">\n<DATA><KID> MyIRAFVEd2aImaq7zN3u/w== </KID></DATA></WRMHEADER>",
    };
    static const char *const bad[] = {
        "",
        "<X/>",
        "<WRMHEADER><DATA>",
        HEAD "\"4.0.0.0\"><DATA><KID>MyIR</KID></DATA></WRMHEADER>",
        "<!DOCTYPE x [<!ENTITY a \"b\">]><WRMHEADER><DATA><KID>&a;</KID></DATA></WRMHEADER>",
        "<WRMHEADER>&a;</WRMHEADER>",
    };
    vp_error err = VP_ERROR_INIT;
    vp_bytes *found = NULL;
    vpi_buf b = { 0 };

    (void)state;
    for (size_t i = 0; i < VPI_COUNT(good); i++) {
        playready_box(&b, good[i]);
        assert_int_equal(parse(&b, &found, &err), VP_OK);
        assert_int_equal(vp_bytes_size(found), 16);
        assert_memory_equal(vp_bytes_data(found), kids, 16);
        found = vp_bytes_unref(found);
    }
    for (size_t i = 0; i < VPI_COUNT(bad); i++) {
        playready_box(&b, bad[i]);
        assert_int_equal(parse(&b, &found, &err), VP_E_DATA);
        assert_string_equal(err.reason, "INPUT_CORRUPT");
        assert_null(found);
    }
    vpi_buf_dispose(&b);
}

static void hostile(void **state)
{
    static const char *const systems[] = { "common", "widevine", "playready" };
    vp_error err = VP_ERROR_INIT;
    vp_bytes *found = NULL;

    (void)state;
    for (size_t i = 0; i < VPI_COUNT(systems); i++) {
        vp_bytes *box = build(systems[i], VP_ENCRYPT_CBCS, 2, NULL);
        size_t size = (size_t)vp_bytes_size(box);
        vpi_buf b = { 0 };

        for (size_t n = 0; n < size; n++) {
            vpi_buf_clear(&b);
            vpi_buf_add(&b, vp_bytes_data(box), n);
            assert_int_equal(parse(&b, &found, &err), VP_E_DATA);
            vpi_buf_clear(&b);
            vpi_buf_add(&b, vp_bytes_data(box), size);
            b.data[n] ^= 0xFF;
            if (parse(&b, &found, &err) == VP_OK) found = vp_bytes_unref(found);
        }
        vpi_buf_clear(&b);
        vpi_buf_add(&b, vp_bytes_data(box), size);
        vpi_buf_u8(&b, 0);
        assert_int_equal(parse(&b, &found, &err), VP_E_DATA);
        assert_non_null(strstr(err.message, "bytes behind the box"));
        vpi_buf_dispose(&b);
        vp_bytes_unref(box);
    }
}

/* Widevine as services write it: other fields, key ids of other sizes, unknown wire types. */
static void widevine(void **state)
{
    static const uint8_t good[] =
        "\x08\x01\x12\x10\x00\x11\x22\x33\x44\x55\x66\x77\x88\x99\xaa\xbb\xcc\xdd\xee\xff"
        "\x1a\x01x\x12\x02no\x4d\x01\x02\x03\x04\x51\x01\x02\x03\x04\x05\x06\x07\x08";
    static const struct {
        const char *data;
        size_t size;
    } bad[] = { { "\x12", 1 },     { "\x12\x7f", 2 },
                { "\x13", 1 },     { "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 11 },
                { "\x4d\x01", 2 }, { "\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11 } };
    vp_error err = VP_ERROR_INIT;
    vp_bytes *found = NULL;
    vpi_buf b = { 0 };

    (void)state;
    vpi_pssh_write(vpi_system_widevine, NULL, 0, good, sizeof(good) - 1, &b);
    assert_int_equal(parse(&b, &found, &err), VP_OK);
    assert_int_equal(vp_bytes_size(found), 16);
    assert_memory_equal(vp_bytes_data(found), kids, 16);
    found = vp_bytes_unref(found);
    for (size_t i = 0; i < VPI_COUNT(bad); i++) {
        vpi_buf_clear(&b);
        vpi_pssh_write(vpi_system_widevine, NULL, 0, bad[i].data, bad[i].size, &b);
        assert_int_equal(parse(&b, &found, &err), VP_E_DATA);
    }
    vpi_buf_dispose(&b);
}

static void arguments(void **state)
{
    vp_error err = VP_ERROR_INIT;
    vp_bytes *b = NULL;
    uint8_t id[16], *many;

    (void)state;
    assert_int_equal(vp_drm_system("marlin", id, &err), VP_E_ARG);
    assert_int_equal(vp_drm_system(NULL, id, &err), VP_E_ARG);
    assert_int_equal(vp_drm_system("fairplay", id, &err), VP_OK);
    assert_int_equal(vp_pssh_build(id, VP_ENCRYPT_CBCS, kids, 1, NULL, &b, &err), VP_E_UNSUPPORTED);
    assert_null(b);
    assert_int_equal(vp_drm_system("playready", id, &err), VP_OK);
    assert_int_equal(vp_pssh_build(id, VP_ENCRYPT_AES128, kids, 1, NULL, &b, &err), VP_E_ARG);
    assert_int_equal(vp_pssh_build(id, VP_ENCRYPT_CBCS, kids, 0, NULL, &b, &err), VP_E_ARG);
    assert_int_equal(vp_pssh_build(id, VP_ENCRYPT_CBCS, NULL, 1, NULL, &b, &err), VP_E_ARG);
    assert_int_equal(vp_pssh_build(id, VP_ENCRYPT_CBCS, kids, 1, "a b", &b, &err), VP_E_ARG);
    assert_int_equal(vp_pssh_build(NULL, VP_ENCRYPT_CBCS, kids, 1, NULL, &b, &err), VP_E_ARG);
    many = calloc(1000, 16);
    assert_non_null(many);
    assert_int_equal(vp_pssh_build(id, VP_ENCRYPT_CBCS, many, 1000, NULL, &b, &err), VP_E_LIMIT);
    free(many);
    assert_int_equal(vp_pssh_parse(NULL, 0, NULL, &b, &err), VP_E_ARG);
    assert_int_equal(vp_pssh_parse(kids, 16, NULL, NULL, &err), VP_E_ARG);
}

static void no_memory(void **state)
{
    vp_bytes *box = build("playready", VP_ENCRYPT_CBCS, 2, NULL), *b = NULL;
    vp_status st;
    long n, all = 0;

    (void)state;
    for (int reading = 0; reading < 2; reading++) {
        for (n = 1; n < 500; n++) {
            vpi_alloc_fail_at = n;
            st = reading ? vp_pssh_parse(vp_bytes_data(box), vp_bytes_size(box), NULL, &b, NULL)
                         : vp_pssh_build(vpi_system_playready, VP_ENCRYPT_CBCS, kids, 2, NULL, &b, NULL);
            all += vpi_alloc_fail_at <= 0;
            if (vpi_alloc_fail_at > 0) break;
            /* What is only made smaller may stay as large as it was. */
            assert_true(st == VP_E_NOMEM ||
                        (st == VP_OK && vp_bytes_size(b) == (reading ? 32 : vp_bytes_size(box))));
            b = vp_bytes_unref(b);
        }
        b = vp_bytes_unref(b);
    }
    vpi_alloc_fail_at = 0;
    assert_true(all > 10);
    vp_bytes_unref(box);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_shaka),  cmocka_unit_test(playready), cmocka_unit_test(headers),
        cmocka_unit_test(hostile),   cmocka_unit_test(widevine),  cmocka_unit_test(arguments),
        cmocka_unit_test(no_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
