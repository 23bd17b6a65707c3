/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Movie files with sample tables, and every sample of them. */
#include "fuzz.h"

#include "bmff/movie.h"

/* Tables can speak of 2^32 samples in a few bytes (one size, one run): the reader has to give them one by one. */
#define SAMPLES 20000u

typedef struct bytes {
    const uint8_t *data;
    size_t size;
} bytes;

static vp_status read_bytes(void *user, uint64_t offset, void *to, size_t size, vp_error *err)
{
    const bytes *b = user;

    (void)err;
    FUZZ_CHECK(offset <= b->size && size <= b->size - offset);
    memcpy(to, b->data + offset, size);
    return VP_OK;
}

static void walk(const vpi_movie_file *file, const vpi_movie_track *track)
{
    vp_error err = VP_ERROR_INIT;
    vpi_movie_cursor *cursor = NULL;
    vp_status st = vpi_movie_cursor_new(file, track, &cursor, &err);
    vpi_movie_sample s, first = { 0 };
    uint32_t n = 0;
    int64_t last = INT64_MIN;

    FUZZ_REFUSAL(st, err);
    if (st < 0) return;
    for (; n < SAMPLES && (st = vpi_movie_next(cursor, &s, &err)) == VP_OK; n++) {
        FUZZ_CHECK(n < track->samples && s.size > 0 && s.offset <= file->size &&
                   s.size <= file->size - s.offset);
        FUZZ_CHECK(n == 0 || s.dts >= last);
        last = s.dts;
        if (n == 0) first = s;
    }
    FUZZ_REFUSAL(st, err);
    FUZZ_ACCEPTED(st == VP_END && n > 0);
    vpi_movie_rewind(cursor);
    if (n > 0)
        FUZZ_CHECK(vpi_movie_next(cursor, &s, NULL) == VP_OK && s.offset == first.offset &&
                   s.pts == first.pts);
    vpi_movie_cursor_free(cursor);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    bytes b = { data, size };
    vpi_movie_file file = { read_bytes, &b, size };
    vp_error err = VP_ERROR_INIT;
    vpi_movie movie = { 0 };
    vp_status st = vpi_movie_open(&file, &movie, &err);

    FUZZ_REFUSAL(st, err);
    for (size_t i = 0; st == VP_OK && i < movie.count && i < 4; i++) walk(&file, &movie.tracks[i]);
    vpi_movie_dispose(&movie);
    return 0;
}
