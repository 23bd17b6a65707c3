/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "media/reader_int.h"

/*
 * The stream headers of AVI, of which libavformat does not tell enough. Sound that is a frame in each chunk has no
 * size of a sample (dwSampleSize 0) and a rate of frames; libavformat takes the block size of its WAVEFORMATEX for the
 * most that a frame may hold, and where a writer put 2 bytes there counts a frame as a thousand.
 */

#define CHUNKS_MAX 2048u /* looked at until the first packet */
#define STREAMS_MAX 64u  /* bits of vpi_structure.avi_frames */
#define BLOCK_LEAST 64u  /* bytes; smaller ones hold no frame, only samples */

static vp_status read_header(vpi_window *w, uint64_t at, bool *sound, uint32_t *sample_size, vp_error *err)
{
    const uint8_t *p;
    size_t got;

    VPI_TRY(vpi_window_read(w, at, 48, &p, &got, err));
    *sound = got == 48 && memcmp(p, "auds", 4) == 0;
    if (*sound) *sample_size = vpi_rl32(p + 44);
    return got >= 4 && memcmp(p, "pads", 4) == 0 ? VP_END : VP_OK;
}

static vp_status read_block(vpi_window *w, uint64_t at, uint32_t *block, vp_error *err)
{
    const uint8_t *p;
    size_t got;

    VPI_TRY(vpi_window_read(w, at, 14, &p, &got, err));
    *block = got == 14 ? (uint32_t)p[12] | (uint32_t)p[13] << 8 : 0;
    return VP_OK;
}

vp_status vpi_avi_frames(vpi_window *w, uint64_t *frames, vp_error *err)
{
    uint32_t sample_size = 0, block = 0, streams = 0;
    uint64_t at = 12;
    bool sound = false;
    const uint8_t *p;
    size_t got;
    vp_status st;

    *frames = 0;
    for (unsigned n = 0; n < CHUNKS_MAX; n++) {
        uint64_t size;
        uint8_t id[4];

        VPI_TRY(vpi_window_read(w, at, 12, &p, &got, err));
        if (got < 12) return VP_OK;
        memcpy(id, p, sizeof(id));
        size = vpi_rl32(p + 4);
        if (memcmp(id, "LIST", 4) == 0 && (memcmp(p + 8, "hdrl", 4) == 0 || memcmp(p + 8, "strl", 4) == 0)) {
            at += 12;
            continue;
        }
        if (memcmp(id, "LIST", 4) == 0 && memcmp(p + 8, "movi", 4) == 0) return VP_OK;
        if (memcmp(id, "strh", 4) == 0) {
            st = read_header(w, at + 8, &sound, &sample_size, err);
            if (st < 0) return st;
            if (st == VP_OK) streams++;
        } else if (memcmp(id, "strf", 4) == 0 && sound) {
            VPI_TRY(read_block(w, at + 8, &block, err));
            if (!sample_size && block < BLOCK_LEAST && streams <= STREAMS_MAX)
                *frames |= UINT64_C(1) << (streams - 1);
            sound = false;
        }
        at += 8 + size + (size & 1);
    }
    return VP_OK;
}
