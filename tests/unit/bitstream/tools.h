/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef TEST_BITSTREAM_TOOLS_H
#define TEST_BITSTREAM_TOOLS_H

/* What the tests of bitstream and bmff share: bytes in exact heap blocks, a bit writer, ffmpeg as an oracle. */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

typedef struct blob {
    uint8_t *data;
    size_t size;
} blob;

/* A block of exactly that size: under ASan one byte too far is seen. */
static inline uint8_t *exact_copy(const void *data, size_t size)
{
    uint8_t *p = malloc(size ? size : 1);
    assert_non_null(p);
    if (size) memcpy(p, data, size);
    return p;
}

static inline blob exact_hex(const char *text)
{
    blob b = { malloc(strlen(text) / 2 + 1), 0 };
    unsigned nibble = 0, count = 0;
    assert_non_null(b.data);
    for (; *text; text++) {
        const char *digits = "0123456789abcdef", *at = strchr(digits, *text | 32);
        if (!at || *text == ' ') continue;
        nibble = nibble << 4 | (unsigned)(at - digits);
        if (++count % 2 == 0) b.data[b.size++] = (uint8_t)nibble;
    }
    uint8_t *p = exact_copy(b.data, b.size);
    free(b.data);
    b.data = p;
    return b;
}

/* xorshift: the same mutations in every run */
static inline uint32_t next_random(uint32_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return *state;
}

/* Calls fn with every prefix of the bytes and with `rounds` copies that have one to eight bytes changed or a cut. */
typedef void (*bytes_fn)(const uint8_t *data, size_t size);
static inline void torture(const uint8_t *data, size_t size, unsigned rounds, bytes_fn fn)
{
    uint32_t seed = 0x2545f491;
    for (size_t n = 0; n < size; n++) {
        uint8_t *p = exact_copy(data, n);
        fn(p, n);
        free(p);
    }
    for (unsigned i = 0; i < rounds; i++) {
        size_t n = next_random(&seed) % 8 ? size : next_random(&seed) % (size + 1);
        uint8_t *p = exact_copy(data, n);
        for (unsigned k = next_random(&seed) % 8 + 1; k > 0 && n > 0; k--) {
            size_t at = next_random(&seed) % n;
            switch (next_random(&seed) % 4) {
            case 0:
                p[at] = (uint8_t)next_random(&seed);
                break;
            case 1:
                p[at] ^= (uint8_t)(1u << next_random(&seed) % 8);
                break;
            case 2:
                p[at] = 0xff;
                break;
            default:
                p[at] = 0;
                break;
            }
        }
        fn(p, n);
        free(p);
    }
}

/* ---- writing bits ---- */

typedef struct bit_writer {
    uint8_t data[8192];
    size_t bits;
} bit_writer;

static inline void put(bit_writer *w, unsigned count, uint32_t value)
{
    for (unsigned i = count; i-- > 0;) {
        assert_true(w->bits / 8 < sizeof(w->data));
        if (w->bits % 8 == 0) w->data[w->bits / 8] = 0;
        if (value >> i & 1) w->data[w->bits / 8] |= (uint8_t)(0x80 >> w->bits % 8);
        w->bits++;
    }
}

static inline void put_ue(bit_writer *w, uint32_t value)
{
    unsigned length = 0;
    while (((uint64_t)value + 1) >> (length + 1)) length++;
    put(w, length, 0);
    put(w, 1, 1);
    put(w, length, (uint32_t)((uint64_t)value + 1 - (UINT64_C(1) << length)));
}

static inline void put_se(bit_writer *w, int32_t value)
{
    put_ue(w, value > 0 ? (uint32_t)value * 2 - 1 : (uint32_t)(-(int64_t)value) * 2);
}

static inline void put_stop(bit_writer *w)
{
    put(w, 1, 1);
    while (w->bits % 8) put(w, 1, 0);
}

/* With emulation prevention (H.264 7.4.1.1), in an exact block. */
static inline blob escaped(const bit_writer *w)
{
    uint8_t *to = malloc(w->bits / 4 + 8);
    size_t n = 0, zeros = 0;
    assert_non_null(to);
    for (size_t i = 0; i < (w->bits + 7) / 8; i++) {
        if (zeros >= 2 && w->data[i] <= 3) {
            to[n++] = 3;
            zeros = 0;
        }
        to[n++] = w->data[i];
        zeros = w->data[i] == 0 ? zeros + 1 : 0;
    }
    blob b = { exact_copy(to, n), n };
    free(to);
    return b;
}

/* ---- files and programs ---- */

static char tools_dir[256];

static inline bool have_program(const char *name)
{
    char command[128];
    snprintf(command, sizeof(command), "command -v %s >/dev/null 2>&1", name);
    return system(command) == 0;
}

static inline bool have_encoder(const char *name)
{
    char command[160];
    snprintf(command, sizeof(command), "ffmpeg -v quiet -encoders | grep -q ' %s '", name);
    return system(command) == 0;
}

/* A folder for this program; removed by tools_close. */
static inline int tools_open(void)
{
    const char *base = getenv("TMPDIR");
    snprintf(tools_dir, sizeof(tools_dir), "%s/vodpipe-test-XXXXXX", base ? base : "/tmp");
    return mkdtemp(tools_dir) ? 0 : -1;
}

static inline void tools_close(void)
{
    char command[300];
    snprintf(command, sizeof(command), "rm -rf '%s'", tools_dir);
    if (system(command) != 0) fprintf(stderr, "could not remove %s\n", tools_dir);
}

/* Runs in the test's folder. */
static inline bool runs_well(const char *command)
{
    char line[2400];
    snprintf(line, sizeof(line), "cd '%s' && { %s; } </dev/null", tools_dir, command);
    return system(line) == 0;
}

/* The same; the test fails when the command does. */
__attribute__((format(printf, 1, 2))) static inline void run(const char *format, ...)
{
    char command[2048];
    va_list ap;
    va_start(ap, format);
    vsnprintf(command, sizeof(command), format, ap);
    va_end(ap);
    if (!runs_well(command)) fail_msg("failed: %s", command);
}

static inline blob read_path(const char *path)
{
    FILE *f = fopen(path, "rb");
    if (!f) fail_msg("%s: %s", path, strerror(errno));
    fseek(f, 0, SEEK_END);
    long size = ftell(f);
    assert_true(size >= 0);
    rewind(f);
    blob b = { malloc((size_t)size + 1), (size_t)size };
    assert_non_null(b.data);
    assert_int_equal(fread(b.data, 1, b.size, f), b.size);
    fclose(f);
    uint8_t *p = exact_copy(b.data, b.size);
    free(b.data);
    b.data = p;
    return b;
}

static inline blob read_file(const char *name)
{
    char path[512];
    snprintf(path, sizeof(path), "%s/%s", tools_dir, name);
    return read_path(path);
}

/* The same as text that ends with NUL. */
static inline char *read_text(const char *name)
{
    blob b = read_file(name);
    char *text = malloc(b.size + 1);
    assert_non_null(text);
    if (b.size) memcpy(text, b.data, b.size);
    text[b.size] = 0;
    free(b.data);
    return text;
}

/* Folder of the clips that are not part of the tree, or NULL with a line that says so. */
static inline const char *shared_media(void)
{
    static char path[512];
    const char *shared = getenv("VODPIPE_SHARED"), *source = getenv("VODPIPE_SRC");
    if (shared && *shared) {
        snprintf(path, sizeof(path), "%s/media", shared);
    } else {
        snprintf(path, sizeof(path), "%s/../shared/media", source ? source : ".");
    }
    if (access(path, R_OK) == 0) return path;
    printf("skipped: no clips at %s (set VODPIPE_SHARED)\n", path);
    return NULL;
}

#endif
