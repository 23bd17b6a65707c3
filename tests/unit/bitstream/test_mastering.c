/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SEI messages, and the static metadata of HDR in them, in OBUs of AV1 and in boxes. */
#include "unit/bitstream/tools.h"

#include "bitstream/bitstream.h"

/* G 0.265 0.690, B 0.150 0.060, R 0.680 0.320, D65; 1000 and 0.005 cd/m2 */
static const uint8_t volume[24] = { 0x33, 0xC2, 0x86, 0xC4, 0x1D, 0x4C, 0x0B, 0xB8, 0x84, 0xD0, 0x3E, 0x80,
                                    0x3D, 0x13, 0x40, 0x42, 0x00, 0x98, 0x96, 0x80, 0x00, 0x00, 0x00, 0x32 };
static const uint8_t light[4] = { 0x03, 0x20, 0x00, 0xC8 };

static void put_bytes(bit_writer *w, const void *data, size_t size)
{
    for (size_t i = 0; i < size; i++) put(w, 8, ((const uint8_t *)data)[i]);
}

/* A sample with lengths of 4 bytes: an SEI with both messages behind one of 300 bytes, then a slice. */
static blob sample(bool hevc, bool slice_first)
{
    bit_writer w = { .bits = 0 }, out = { .bits = 0 };
    const uint8_t slice[] = { 0, 0, 0, 3, hevc ? 19 << 1 : 0x65, 1, 0x80 };
    put(&w, 8, hevc ? 39 << 1 : 6);
    if (hevc) put(&w, 8, 1);
    put(&w, 8, 5);
    put(&w, 16, 0xFF00 | (300 - 255));
    for (unsigned i = 0; i < 300; i++) put(&w, 8, i & 1);
    put(&w, 16, 137 << 8 | sizeof(volume));
    put_bytes(&w, volume, sizeof(volume));
    put(&w, 16, 144 << 8 | sizeof(light));
    put_bytes(&w, light, sizeof(light));
    put_stop(&w);
    blob sei = escaped(&w);
    if (slice_first) put_bytes(&out, slice, sizeof(slice));
    put(&out, 32, (uint32_t)sei.size);
    put_bytes(&out, sei.data, sei.size);
    if (!slice_first) put_bytes(&out, slice, sizeof(slice));
    free(sei.data);
    return (blob){ exact_copy(out.data, out.bits / 8), out.bits / 8 };
}

static void test_messages(void **state)
{
    (void)state;
    for (int hevc = 0; hevc < 2; hevc++) {
        vpi_mastering m = { .has_light = false }, none = { .has_light = false };
        blob b = sample(hevc, false);
        vpi_mastering_h26x(b.data, b.size, 4, hevc, &m);
        assert_true(m.has_volume && m.has_light);
        assert_memory_equal(m.volume, volume, sizeof(volume));
        assert_memory_equal(m.light, light, sizeof(light));
        vpi_mastering_h26x(b.data, b.size, 4, !hevc, &none);
        assert_false(none.has_volume || none.has_light);
        free(b.data);
        b = sample(hevc, true); /* of no picture that is known here */
        vpi_mastering_h26x(b.data, b.size, 4, hevc, &none);
        assert_false(none.has_volume || none.has_light);
        free(b.data);
    }
}

static void test_sei_next(void **state)
{
    static const uint8_t one[] = { 0xFF, 0x01, 0x02, 'a', 'b', 0x05, 0x09, 'c', 'd' };
    size_t at = 0;
    vpi_sei s;
    (void)state;
    assert_true(vpi_sei_next(one, sizeof(one), &at, &s));
    assert_int_equal(s.type, 256);
    assert_true(s.size == 2 && s.whole && s.data[0] == 'a');
    assert_true(vpi_sei_next(one, sizeof(one), &at, &s));
    assert_true(s.type == 5 && s.size == 2 && !s.whole && s.data[0] == 'c');
    assert_false(vpi_sei_next(one, sizeof(one), &at, &s));
    at = 0;
    assert_false(vpi_sei_next(one, 1, &at, &s));
    assert_false(vpi_sei_next(NULL, 0, &at, &s));
}

static void test_av1(void **state)
{
    /* a delimiter, both metadata OBUs with sizes, and what would be a frame */
    static const uint8_t obus[] = { 0x12, 0,    0x2A, 6,    1,    0x03, 0x20, 0x00, 0xC8, 0x80, 0x2A,
                                    26,   2,    0xAE, 0x14, 0x51, 0xEC, 0x43, 0xD7, 0xB0, 0xA4, 0x26,
                                    0x66, 0x0F, 0x5C, 0x50, 0x0D, 0x54, 0x39, 0x00, 0x03, 0xE8, 0x00,
                                    0x00, 0x00, 0x00, 0x52, 0x80, 0x32, 1,    0x10 };
    vpi_mastering m = { .has_light = false };
    (void)state;
    vpi_mastering_av1(obus, sizeof(obus), &m);
    assert_true(m.has_volume && m.has_light);
    assert_memory_equal(m.light, light, sizeof(light));
    for (size_t i = 0; i < 16; i += 2)
        assert_in_range((m.volume[i] << 8 | m.volume[i + 1]) + 1, volume[i] << 8 | volume[i + 1],
                        (volume[i] << 8 | volume[i + 1]) + 2);
    assert_memory_equal(m.volume + 16, volume + 16, 8);
    for (size_t n = 0; n < sizeof(obus); n++) {
        uint8_t *p = exact_copy(obus, n);
        vpi_mastering cut = { .has_light = false };
        vpi_mastering_av1(p, n, &cut);
        assert_true(n >= 36 || !cut.has_volume);
        free(p);
    }
}

/* The brightest number of 24.8 bits is above what the box holds in 0.0001 cd/m2. */
static void test_limits(void **state)
{
    uint8_t bytes[24];
    vpi_mastering m = { .has_light = false }, other = { .has_light = true, .light = { 1, 2, 3, 4 } };
    (void)state;
    memset(bytes, 0xFF, sizeof(bytes));
    vpi_mastering_fixed(bytes, &m);
    assert_int_equal(m.volume[0] << 8 | m.volume[1], 49999);
    assert_memory_equal(m.volume + 16, "\xFF\xFF\xFF\xFF", 4);
    vpi_mastering_merge(&m, &other);
    assert_true(m.has_light);
    assert_memory_equal(m.light, other.light, 4);
    vpi_mastering_set_light(&m, 70000, 5);
    assert_memory_equal(m.light, "\xFF\xFF\x00\x05", 4);
    vpi_mastering_merge(&other, &m);
    assert_memory_equal(other.light, "\1\2\3\4", 4);
    assert_true(other.has_volume);
}

static void one_sample(const uint8_t *data, size_t size)
{
    vpi_mastering m = { .has_light = false };
    vpi_mastering_h26x(data, size, 4, true, &m);
    vpi_mastering_h26x(data, size, 1, false, &m);
    vpi_mastering_hvcc(data, size, &m);
    vpi_mastering_av1(data, size, &m);
    vpi_hevc_has_rpu(data, size, 4);
    vpi_hevc_has_rpu(data, size, 0);
}

static void test_torture(void **state)
{
    blob b = sample(true, false);
    (void)state;
    torture(b.data, b.size, 2000, one_sample);
    free(b.data);
}

static void test_rpu(void **state)
{
    static const uint8_t with[] = { 0, 0, 0, 3, 0x26, 1, 0x80, 0, 0, 0, 3, 0x7C, 1, 0x19 };
    static const uint8_t bytes[] = { 0, 0, 1, 0x26, 1, 0x80, 0, 0, 1, 0x7C, 1, 0x19 };
    (void)state;
    assert_true(vpi_hevc_has_rpu(with, sizeof(with), 4));
    assert_false(vpi_hevc_has_rpu(with, 7, 4));
    assert_true(vpi_hevc_has_rpu(bytes, sizeof(bytes), 0));
    assert_false(vpi_hevc_has_rpu(bytes, 6, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_messages), cmocka_unit_test(test_sei_next), cmocka_unit_test(test_av1),
        cmocka_unit_test(test_limits),   cmocka_unit_test(test_torture),  cmocka_unit_test(test_rpu),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
