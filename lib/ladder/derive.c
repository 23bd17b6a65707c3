/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>

#include "ladder/ladder_int.h"
#include "model/level.h"

#define DEFAULT_FPS 30
#define DEFAULT_MAX_FPS 60u
#define LOWEST_KBPS 16u
#define HIGHEST_LEVEL 62u

/*
 * Reference frames that a rung's level leaves room for. Four are what level 4.0 holds at 1080p; presets that
 * want more are limited by the level, not the other way round.
 */
#define LEVEL_REFS 4u

/* 16:9 boxes by their short side. */
static const struct preset {
    const char *name;
    uint32_t height, kbps;
} presets[] = {
    { "2160p", 2160, 16000 }, { "1440p", 1440, 9000 }, { "1080p", 1080, 5000 }, { "720p", 720, 2800 },
    { "480p", 480, 1400 },    { "360p", 360, 800 },    { "240p", 240, 400 },
};

bool vpi_ladder_picture(const vpi_media *m, uint32_t max_fps, vpi_picture *out)
{
    const vpi_track *t = vpi_media_nth(m, VPI_KIND_VIDEO, 0);
    vpi_rational cap = { max_fps ? max_fps : DEFAULT_MAX_FPS, 1 }, published;
    bool fields = false;

    if (!t || !t->display_width || !t->display_height) return false;
    out->width = t->display_width;
    out->height = t->display_height;
    out->frame_rate = t->frame_rate;
    if (out->frame_rate.num <= 0 || out->frame_rate.den <= 0)
        out->frame_rate = (vpi_rational){ DEFAULT_FPS, 1 };
    published = vpi_track_publish_rate(t, (uint32_t)cap.num, &fields);
    if (fields) out->frame_rate = published;
    if (vpi_rational_cmp(out->frame_rate, cap) > 0) out->frame_rate = cap;
    return true;
}

uint32_t vpi_ladder_even(uint64_t n, uint64_t d)
{
    uint64_t half = (n + d) / (2 * d);

    return (uint32_t)VPI_CLAMP(half, 1u, VPI_LADDER_MAX_SIDE / 2) * 2;
}

/* Phones record 30 with a clock of their own, 30.02 on average or so: no reason for half more bits. */
bool vpi_ladder_fast(vpi_rational frame_rate)
{
    return vpi_rational_cmp(frame_rate, (vpi_rational){ 303, 10 }) > 0;
}

void vpi_ladder_rates(vp_rung *r)
{
    r->maxrate_kbps = r->kbps + r->kbps / 2;
    r->bufsize_kbit = r->maxrate_kbps;
}

unsigned vpi_ladder_level(const vp_rung *r, vpi_rational frame_rate)
{
    return vpi_model_h264_level(r->width, r->height, frame_rate, r->maxrate_kbps, r->bufsize_kbit, LEVEL_REFS,
                                strcmp(r->profile, "high") == 0);
}

static void complete(vp_rung *r, vpi_rational frame_rate)
{
    unsigned level;

    vpi_ladder_rates(r);
    vpi_strlcpy(r->codec, "h264", sizeof(r->codec));
    vpi_strlcpy(r->profile, "high", sizeof(r->profile));
    level = vpi_ladder_level(r, frame_rate);
    /* A picture beyond all levels is sent with the highest: some players try. */
    r->level = level ? level : HIGHEST_LEVEL;
}

static uint32_t rate_for(uint32_t kbps, vpi_rational frame_rate)
{
    return vpi_ladder_fast(frame_rate) ? kbps + kbps / 2 : kbps;
}

/* False when the preset is above the source. */
static bool fit(const struct preset *p, const vpi_picture *picture, uint32_t *width, uint32_t *height)
{
    uint64_t longer = VPI_MAX(picture->width, picture->height),
             shorter = VPI_MIN(picture->width, picture->height);
    /* The box's long side is 16/9 of its height, which is not always whole: sides are kept as ninths. */
    uint64_t box = (uint64_t)p->height * 16;
    uint32_t a, b;

    if (box > longer * 9 && p->height > shorter) return false;
    if (box * shorter < (uint64_t)p->height * longer * 9) {
        a = vpi_ladder_even(box, 9);
        b = vpi_ladder_even(box * shorter, 9 * longer);
    } else {
        a = vpi_ladder_even(p->height * longer, shorter);
        b = vpi_ladder_even(p->height, 1);
    }
    *width = picture->width >= picture->height ? a : b;
    *height = picture->width >= picture->height ? b : a;
    return true;
}

static void add_preset(vp_ladder *l, const struct preset *p, const vpi_picture *picture, uint32_t width,
                       uint32_t height)
{
    vp_rung *r = &l->rungs[l->count++];

    vp_rung_init(r, sizeof(*r));
    r->width = width;
    r->height = height;
    r->kbps = rate_for(p->kbps, picture->frame_rate);
    vpi_strlcpy(r->name, p->name, sizeof(r->name));
    complete(r, picture->frame_rate);
}

/* Pixels of a preset's box, in ninths. */
static uint64_t box_pixels9(const struct preset *p)
{
    return (uint64_t)p->height * p->height * 16;
}

void vpi_ladder_own_size(vp_ladder *l, const vpi_picture *picture)
{
    vp_rung *r = &l->rungs[l->count++];
    const struct preset *nearest = &presets[0];
    uint64_t pixels9;
    size_t i;

    vp_rung_init(r, sizeof(*r));
    r->width = vpi_ladder_even(picture->width, 1);
    r->height = vpi_ladder_even(picture->height, 1);
    pixels9 = (uint64_t)r->width * r->height * 9;
    for (i = 1; i < VPI_COUNT(presets); i++) {
        uint64_t a = box_pixels9(nearest), b = box_pixels9(&presets[i]);

        /* presets fall: the next one is nearer when the picture is below the geometric mean of both */
        if ((unsigned __int128)pixels9 * pixels9 < (unsigned __int128)a * b) nearest = &presets[i];
    }
    r->kbps = (uint32_t)vpi_rescale(rate_for(nearest->kbps, picture->frame_rate), (int64_t)pixels9,
                                    (int64_t)box_pixels9(nearest), VPI_NEAREST);
    r->kbps = VPI_CLAMP(r->kbps, LOWEST_KBPS, VPI_LADDER_MAX_KBPS);
    snprintf(r->name, sizeof(r->name), "%up", VPI_MIN(r->width, r->height));
    complete(r, picture->frame_rate);
}

static vp_status add_list(vp_ladder *l, const char *list, const vpi_picture *picture, vp_error *err)
{
    bool seen[VPI_COUNT(presets)] = { false };
    const char *at = list;

    for (;;) {
        size_t n = strcspn(at, ","), i = 0;
        uint32_t width, height;

        while (i < VPI_COUNT(presets) &&
               (strlen(presets[i].name) != n || memcmp(presets[i].name, at, n) != 0))
            i++;
        if (i == VPI_COUNT(presets)) {
            return vpi_fail(err, VP_E_ARG, NULL, "ladder: \"%.*s\" is not a preset",
                            (int)VPI_MIN(n, (size_t)32), at);
        }
        if (seen[i]) return vpi_fail(err, VP_E_ARG, NULL, "ladder: %s is named twice", presets[i].name);
        seen[i] = true;
        if (picture) {
            if (fit(&presets[i], picture, &width, &height)) {
                add_preset(l, &presets[i], picture, width, height);
            } else if (!vpi_ladder_warn_above(l, presets[i].name, picture)) {
                return vpi_fail_nomem(err);
            }
        }
        if (!at[n]) return VP_OK;
        at += n + 1;
    }
}

static void add_all(vp_ladder *l, const vpi_picture *picture)
{
    uint32_t width, height;
    size_t i;

    for (i = 0; i < VPI_COUNT(presets); i++) {
        if (fit(&presets[i], picture, &width, &height)) add_preset(l, &presets[i], picture, width, height);
    }
}

vp_status vp_ladder_derive(const vp_media *media, const vp_ladder_options *options, vp_ladder **out,
                           vp_error *err)
{
    vp_ladder_options o = VP_LADDER_OPTIONS_INIT;
    vpi_picture picture;
    vp_ladder *l;
    bool automatic, video;
    vp_status st = VP_OK;

    vp_error_init(err);
    if (out) *out = NULL;
    if (!media || !out) return vpi_fail(err, VP_E_ARG, NULL, "no media or nowhere to put the ladder");
    VPI_TRY(vpi_copy_struct(&o, sizeof(o), options, err));
    automatic = !o.rungs || strcmp(o.rungs, "auto") == 0;
    video = vpi_ladder_picture(&media->m, o.max_fps, &picture);
    l = vpi_ladder_new();
    if (!l) return vpi_fail_nomem(err);
    /* A list is checked also where there is no picture for it. */
    if (!automatic) st = add_list(l, o.rungs, video ? &picture : NULL, err);
    if (st < 0) {
        vp_ladder_unref(l);
        return st;
    }
    if (automatic && video) add_all(l, &picture);
    if (video && l->count == 0) vpi_ladder_own_size(l, &picture);
    vpi_ladder_sort(l);
    *out = l;
    return VP_OK;
}
