/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Ladder documents and lists of rungs, for a picture and for none. */
#include "fuzz.h"

#include <vodpipe/ladder.h>

#include "model/media.h"

static vp_media *picture(void)
{
    vp_media *media = vpi_media_new();
    vpi_track *t = media ? vpi_calloc(1, sizeof(*t)) : NULL;

    if (!t) abort();
    media->m.tracks = t;
    media->m.track_count = 1;
    t->kind = VPI_KIND_VIDEO;
    t->width = t->display_width = 1920;
    t->height = t->display_height = 1080;
    t->frame_rate = (vpi_rational){ 25, 1 };
    return media;
}

static void document(const uint8_t *d, size_t size, const vp_media *media)
{
    vp_error err = VP_ERROR_INIT;
    vp_ladder *ladder = NULL, *again = NULL;
    vp_bytes *one = NULL, *two = NULL;
    vp_status st = vp_ladder_parse(d, size, media, &ladder, &err);

    FUZZ_REFUSAL(st, err);
    FUZZ_ACCEPTED(st == VP_OK);
    if (st == VP_OK) {
        FUZZ_CHECK(vp_ladder_json(ladder, &one, NULL) == VP_OK);
        FUZZ_CHECK(vp_ladder_parse(vp_bytes_data(one), vp_bytes_size(one), NULL, &again, NULL) == VP_OK);
        FUZZ_CHECK(vp_ladder_json(again, &two, NULL) == VP_OK);
        FUZZ_CHECK(vp_bytes_size(one) == vp_bytes_size(two) &&
                   memcmp(vp_bytes_data(one), vp_bytes_data(two), vp_bytes_size(one)) == 0);
    }
    vp_bytes_unref(one);
    vp_bytes_unref(two);
    vp_ladder_unref(ladder);
    vp_ladder_unref(again);
}

static void list(const uint8_t *data, size_t size, const vp_media *media)
{
    vp_ladder_options o = VP_LADDER_OPTIONS_INIT;
    vp_error err = VP_ERROR_INIT;
    vp_ladder *ladder = NULL;
    char *text = malloc(size + 1);
    vp_status st;

    if (!text) abort();
    if (size) memcpy(text, data, size);
    text[size] = 0;
    o.rungs = text;
    st = vp_ladder_derive(media, &o, &ladder, &err);
    FUZZ_REFUSAL(st, err);
    vp_ladder_unref(ladder);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *d = fuzz_exact(data, size);
    vp_media *media = picture();

    document(d, size, NULL);
    document(d, size, media);
    list(d, size, media);
    vp_media_unref(media);
    free(d);
    return 0;
}
