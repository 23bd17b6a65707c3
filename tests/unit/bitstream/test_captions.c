/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "unit/bitstream/tools.h"

#include "bitstream/bitstream.h"

/* cc_data of one triplet behind the codes of ATSC A/53 */
#define GA94(flags, a, b) 'G', 'A', '9', '4', 3, 0xC1, 0xFF, (flags), (a), (b), 0xFF

/* In an SEI of Annex B, before a slice. Emulation prevention is put in by hand where it is needed. */
static bool annexb(const uint8_t *message, size_t size, uint8_t type, bool hevc)
{
    uint8_t bytes[128] = { 0, 0, 0, 1 };
    size_t n = 4;
    uint8_t *p;
    bool found;

    bytes[n++] = hevc ? 39 << 1 : 6;
    if (hevc) bytes[n++] = 1;
    bytes[n++] = type;
    bytes[n++] = (uint8_t)size;
    memcpy(bytes + n, message, size);
    n += size;
    memcpy(bytes + n, "\x80\0\0\1\x65\x88\x80", 7);
    if (hevc) bytes[n + 4] = 19 << 1;
    n += 7;
    p = exact_copy(bytes, n);
    found = vpi_captions_h26x(p, n, 0, hevc);
    free(p);
    return found;
}

#define FOUND(hevc, ...)                                                                                     \
    annexb((const uint8_t[]){ 0xB5, 0, 0x31, __VA_ARGS__ },                                                  \
           sizeof((const uint8_t[]){ 0xB5, 0, 0x31, __VA_ARGS__ }), 4, (hevc))

static void test_sei(void **state)
{
    static const uint8_t other[] = { 0xB5, 0, 0x31, 'D', 'T', 'G', '1', 0x41, 0xF8 };

    (void)state;
    assert_true(FOUND(false, GA94(0xFC, 0x94, 0x2C)));
    assert_true(FOUND(true, GA94(0xFC, 0x94, 0x2C)));
    assert_true(FOUND(false, GA94(0xFF, 0x02, 0x21)));
    /* null pairs of CEA-608 with and without parity, and of CEA-708; not valid; another use of T.35 */
    assert_false(FOUND(false, GA94(0xFC, 0x80, 0x80)));
    assert_false(FOUND(false, GA94(0xFD, 0x80, 0x80)));
    assert_false(FOUND(false, GA94(0xFE, 0, 0)));
    assert_false(FOUND(false, GA94(0xF8, 0x94, 0x2C)));
    assert_false(annexb(other, sizeof(other), 4, false));
    assert_false(annexb((const uint8_t[]){ 0xB5, 0, 0x31, GA94(0xFC, 0x94, 0x2C) }, 14, 5, false));
}

static void test_place(void **state)
{
    /* avcC with lengths of 2 bytes: an AUD, then an SEI whose second message holds the captions */
    static const uint8_t boxed[] = { 0,   2, 9, 0xF0, 0,    21, 6,    1,
                                     1,   0, 4, 14,   0xB5, 0,  0x31, GA94(0xFC, 0x94, 0x2C),
                                     0x80 };
    static const uint8_t late[] = { 0,  0,    1, 0x65, 0x88,
                                    0,  0,    1, 6,    4,
                                    14, 0xB5, 0, 0x31, GA94(0xFC, 0x94, 0x2C) };
    uint8_t *p;

    (void)state;
    assert_true(vpi_captions_h26x(boxed, sizeof(boxed), 2, false));
    assert_false(vpi_captions_h26x(boxed, sizeof(boxed), 4, false));
    assert_false(vpi_captions_h26x(boxed, sizeof(boxed), 0, false));
    assert_false(vpi_captions_h26x(late, sizeof(late), 0, false)); /* of the next picture */
    for (size_t n = 0; n < sizeof(boxed); n++) {
        p = exact_copy(boxed, n);
        assert_false(vpi_captions_h26x(p, n, 2, false));
        vpi_captions_h26x(p, n, 0, true);
        vpi_captions_mpeg2(p, n);
        free(p);
    }
}

static void test_mpeg2(void **state)
{
    static const uint8_t picture[] = {
        0, 0, 1, 0, 0, 0x0F, 0xFF, 0xF8, 0, 0, 1, 0xB2, GA94(0xFC, 0x94, 0x2C), 0, 0, 1, 1, 0x12
    };
    static const uint8_t late[] = { 0, 0, 1, 1, 0x12, 0, 0, 1, 0xB2, GA94(0xFC, 0x94, 0x2C) };

    (void)state;
    assert_true(vpi_captions_mpeg2(picture, sizeof(picture)));
    assert_false(vpi_captions_mpeg2(late, sizeof(late)));
    assert_false(vpi_captions_mpeg2(NULL, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sei),
        cmocka_unit_test(test_place),
        cmocka_unit_test(test_mpeg2),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
