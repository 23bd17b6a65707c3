/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef TEST_LADDER_PICTURE_H
#define TEST_LADDER_PICTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <vodpipe/ladder.h>

#include "model/media.h"

/* A probed title with one picture of this upright size. */
static inline vp_media *picture_of(uint32_t width, uint32_t height, int64_t num, int64_t den)
{
    vp_media *media = vpi_media_new();

    assert_non_null(media);
    media->m.tracks = vpi_calloc(1, sizeof(*media->m.tracks));
    assert_non_null(media->m.tracks);
    media->m.track_count = 1;
    media->m.tracks[0].kind = VPI_KIND_VIDEO;
    media->m.tracks[0].display_width = width;
    media->m.tracks[0].display_height = height;
    media->m.tracks[0].frame_rate = (vpi_rational){ num, den };
    return media;
}

/* "1080p 1920x1080 5000 4.0, ..." */
static inline void rungs_are(const vp_ladder *ladder, const char *expected)
{
    char text[1024] = "";
    size_t at = 0;
    uint32_t i;

    for (i = 0; i < vp_ladder_count(ladder); i++) {
        vp_rung r;

        vp_rung_init(&r, sizeof(r));
        assert_int_equal(vp_ladder_get(ladder, i, &r, NULL), VP_OK);
        at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%s %ux%u %u %u.%u", i ? ", " : "", r.name,
                               r.width, r.height, r.kbps, r.level / 10, r.level % 10);
    }
    assert_string_equal(text, expected);
}

#endif
