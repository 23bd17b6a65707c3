/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>

#include "ladder/ladder_int.h"
#include "model/json.h"

#define MAX_JSON ((uint64_t)1 << 20)
#define WHERE_SIZE 64
#define LEVEL_TEXT 16
#define MIN_AUDIO_KBPS 16u
#define MAX_AUDIO_KBPS 512u
#define DEFAULT_FPS 30

static vp_status refuse(vp_error *err, const char *where, const char *name, const char *what)
{
    return vpi_fail(err, VP_E_DATA, "INPUT_CORRUPT", "%s.%s: %s", where, name, what);
}

/* ---- writing ---- */

static bool add_rung(json_t *array, const vp_rung *r)
{
    json_t *o = json_object();
    char level[LEVEL_TEXT];

    if (json_array_append_new(array, o) != 0) return false;
    snprintf(level, sizeof(level), "%u.%u", r->level / 10, r->level % 10);
    return vpi_json_set_str(o, "name", r->name) && vpi_json_set_u64(o, "width", r->width) &&
           vpi_json_set_u64(o, "height", r->height) && vpi_json_set_u64(o, "kbps", r->kbps) &&
           vpi_json_set_u64(o, "maxrate_kbps", r->maxrate_kbps) &&
           vpi_json_set_u64(o, "bufsize_kbit", r->bufsize_kbit) && vpi_json_set_str(o, "codec", r->codec) &&
           vpi_json_set_str(o, "profile", r->profile) && vpi_json_set_str(o, "level", level);
}

static bool fill(json_t *root, const vp_ladder *l)
{
    json_t *rungs = json_array(), *audio, *o;
    uint32_t i;

    if (!vpi_json_set_u64(root, "vodpipe", 1) || json_object_set_new(root, "rungs", rungs) != 0) {
        return false;
    }
    for (i = 0; i < l->count; i++) {
        if (!add_rung(rungs, &l->rungs[i])) return false;
    }
    audio = json_array();
    if (json_object_set_new(root, "audio", audio) != 0) return false;
    o = json_object();
    if (json_array_append_new(audio, o) != 0) return false;
    return vpi_json_set_str(o, "codec", "aac") && vpi_json_set_u64(o, "channels", 2) &&
           vpi_json_set_u64(o, "kbps", l->audio_kbps);
}

vp_status vp_ladder_json(const vp_ladder *ladder, vp_bytes **out, vp_error *err)
{
    vpi_buf b = { 0 };
    json_t *root;
    vp_status st;

    vp_error_init(err);
    if (out) *out = NULL;
    if (!ladder || !out) return vpi_fail(err, VP_E_ARG, NULL, "no ladder or nowhere to put its text");
    root = json_object();
    st = root && fill(root, ladder) ? vpi_json_dump_pretty(root, &b, err) : vpi_fail_nomem(err);
    json_decref(root);
    if (st == VP_OK) return vpi_bytes_from_buf(&b, out, err);
    vpi_buf_dispose(&b);
    return st;
}

/* ---- reading ---- */

/* Copies a string field into a fixed one. False when it is missing; *out is left alone then. */
static vp_status read_text(const json_t *o, const char *where, const char *name, bool required, char *out,
                           size_t capacity, vp_error *err)
{
    char *text = NULL;
    vp_status st = VP_OK;

    VPI_TRY(vpi_json_str(o, where, name, required, &text, err));
    if (!text) return VP_OK;
    if (text[0] == 0 || strlen(text) >= capacity) {
        st = refuse(err, where, name, text[0] ? "too long" : "empty");
    } else {
        vpi_strlcpy(out, text, capacity);
    }
    vpi_free(text);
    return st;
}

/* Names are names of folders and parts of addresses. */
static bool name_valid(const char *name)
{
    size_t i;

    for (i = 0; name[i]; i++) {
        char c = name[i];
        bool alnum = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');

        if (!alnum && c != '-' && c != '_' && (c != '.' || i == 0)) return false;
    }
    return i > 0;
}

static vp_status read_number(const json_t *o, const char *where, const char *name, bool required,
                             uint32_t min, uint32_t max, uint32_t *out, vp_error *err)
{
    uint32_t v = min;

    VPI_TRY(vpi_json_u32(o, where, name, required, max, &v, err));
    if (v < min) return refuse(err, where, name, "too small");
    if (json_object_get(o, name)) *out = v;
    return VP_OK;
}

/* A width that is not given follows the picture; a size of another shape is a box that is fitted into. */
static void shape(vp_rung *r, const vpi_picture *p)
{
    uint64_t w = r->width, h = r->height, by_width, by_height;

    if (w == 0) {
        r->width = vpi_ladder_even(h * p->width, p->height);
        return;
    }
    if ((w > h) != (p->width > p->height) && p->width != p->height) {
        w = r->height;
        h = r->width;
    }
    by_width = vpi_ladder_even(w * p->height, p->width);
    by_height = vpi_ladder_even(h * p->width, p->height);
    /* Sides that were rounded from the same shape stay as they are. */
    if ((by_width + 2 >= h && by_width <= h + 2) || (by_height + 2 >= w && by_height <= w + 2)) {
        r->width = (uint32_t)w;
        r->height = (uint32_t)h;
    } else if (w * p->height < h * p->width) {
        r->width = (uint32_t)w;
        r->height = (uint32_t)by_width;
    } else {
        r->width = (uint32_t)by_height;
        r->height = (uint32_t)h;
    }
}

static vp_status read_level(const json_t *o, const char *where, const vp_rung *r, vpi_rational frame_rate,
                            uint32_t *out, vp_error *err)
{
    static const uint8_t levels[] = { 10, 11, 12, 13, 20, 21, 22, 30, 31, 32,
                                      40, 41, 42, 50, 51, 52, 60, 61, 62 };
    char text[LEVEL_TEXT] = "", own[LEVEL_TEXT];
    size_t i;
    unsigned least;

    VPI_TRY(read_text(o, where, "level", false, text, sizeof(text), err));
    if (!text[0]) {
        *out = vpi_ladder_level(r, frame_rate);
        return *out ? VP_OK : refuse(err, where, "level", "no level holds this size and rate");
    }
    for (i = 0; i < VPI_COUNT(levels); i++) {
        snprintf(own, sizeof(own), "%u.%u", levels[i] / 10u, levels[i] % 10u);
        if (strcmp(own, text) == 0) break;
    }
    if (i == VPI_COUNT(levels)) return refuse(err, where, "level", "not a level of H.264");
    /* The frame rate may be capped later, so that only size and rate decide what is too low. */
    least = vpi_ladder_level(r, (vpi_rational){ 1, 1 });
    if (least == 0 || levels[i] < least) return refuse(err, where, "level", "too low for this size and rate");
    *out = levels[i];
    return VP_OK;
}

static vp_status read_codec(const json_t *o, const char *where, vp_rung *r, vp_error *err)
{
    vpi_strlcpy(r->codec, "h264", sizeof(r->codec));
    vpi_strlcpy(r->profile, "high", sizeof(r->profile));
    VPI_TRY(read_text(o, where, "codec", false, r->codec, sizeof(r->codec), err));
    VPI_TRY(read_text(o, where, "profile", false, r->profile, sizeof(r->profile), err));
    if (strcmp(r->codec, "h264") != 0) return refuse(err, where, "codec", "only h264 is encoded");
    if (strcmp(r->profile, "high") != 0 && strcmp(r->profile, "main") != 0 &&
        strcmp(r->profile, "baseline") != 0) {
        return refuse(err, where, "profile", "neither high nor main nor baseline");
    }
    return VP_OK;
}

static vp_status read_rung(const json_t *o, const char *where, const vpi_picture *picture, vp_rung *r,
                           vp_error *err)
{
    static const char *const fields[] = { "name",         "width", "height",  "kbps",  "maxrate_kbps",
                                          "bufsize_kbit", "codec", "profile", "level", NULL };
    const uint32_t side = VPI_LADDER_MAX_SIDE, rate = VPI_LADDER_MAX_KBPS;
    vpi_rational frame_rate = { DEFAULT_FPS, 1 };

    vp_rung_init(r, sizeof(*r));
    VPI_TRY(vpi_json_fields(o, where, fields, err));
    VPI_TRY(read_text(o, where, "name", true, r->name, sizeof(r->name), err));
    if (!name_valid(r->name))
        return refuse(err, where, "name", "other than letters, digits, '-', '_' and '.'");
    VPI_TRY(read_number(o, where, "width", !picture, 2, side, &r->width, err));
    VPI_TRY(read_number(o, where, "height", true, 2, side, &r->height, err));
    VPI_TRY(read_number(o, where, "kbps", true, 1, rate, &r->kbps, err));
    vpi_ladder_rates(r);
    VPI_TRY(read_number(o, where, "maxrate_kbps", false, r->kbps, rate * 2, &r->maxrate_kbps, err));
    r->bufsize_kbit = r->maxrate_kbps;
    VPI_TRY(read_number(o, where, "bufsize_kbit", false, 1, rate * 2, &r->bufsize_kbit, err));
    VPI_TRY(read_codec(o, where, r, err));
    if (r->width) r->width = vpi_ladder_even(r->width, 1);
    r->height = vpi_ladder_even(r->height, 1);
    if (picture) {
        shape(r, picture);
        frame_rate = picture->frame_rate;
    }
    return read_level(o, where, r, frame_rate, &r->level, err);
}

static bool above(const vp_rung *r, const vpi_picture *p)
{
    return r->width > vpi_ladder_even(p->width, 1) || r->height > vpi_ladder_even(p->height, 1);
}

/* Leaves out what is above the picture; one rung of its own size when nothing is left. */
static vp_status keep_fitting(vp_ladder *l, const vpi_picture *picture, vp_error *err)
{
    uint32_t i, n = 0;

    for (i = 0; i < l->count; i++) {
        vp_rung r = l->rungs[i];

        if (!above(&r, picture)) {
            l->rungs[n++] = r;
        } else if (!vpi_ladder_warn_above(l, r.name, picture)) {
            return vpi_fail_nomem(err);
        }
    }
    l->count = n;
    if (n == 0) vpi_ladder_own_size(l, picture);
    return VP_OK;
}

static vp_status read_rungs(const json_t *array, const vpi_picture *picture, vp_ladder *l, vp_error *err)
{
    size_t i;
    uint32_t k;

    if (json_array_size(array) > VPI_LADDER_MAX_RUNGS) {
        return vpi_fail(err, VP_E_DATA, "INPUT_CORRUPT", "ladder.rungs: more than %u", VPI_LADDER_MAX_RUNGS);
    }
    for (i = 0; i < json_array_size(array); i++) {
        char where[WHERE_SIZE];

        snprintf(where, sizeof(where), "ladder.rungs[%zu]", i);
        VPI_TRY(read_rung(json_array_get(array, i), where, picture, &l->rungs[i], err));
        for (k = 0; k < i; k++) {
            if (strcmp(l->rungs[k].name, l->rungs[i].name) == 0) return refuse(err, where, "name", "taken");
        }
        l->count++;
    }
    return VP_OK;
}

static vp_status read_audio(const json_t *root, vp_ladder *l, vp_error *err)
{
    static const char *const fields[] = { "codec", "channels", "kbps", NULL };
    const char *where = "ladder.audio[0]";
    const json_t *array, *o;
    char codec[WHERE_SIZE] = "aac";
    uint32_t channels = 2;

    VPI_TRY(vpi_json_array(root, "ladder", "audio", false, &array, err));
    if (!array) return VP_OK;
    if (json_array_size(array) != 1) return refuse(err, "ladder", "audio", "not one element");
    o = json_array_get(array, 0);
    VPI_TRY(vpi_json_fields(o, where, fields, err));
    VPI_TRY(read_text(o, where, "codec", false, codec, sizeof(codec), err));
    if (strcmp(codec, "aac") != 0) return refuse(err, where, "codec", "only aac is encoded");
    VPI_TRY(read_number(o, where, "channels", false, 2, 2, &channels, err));
    return read_number(o, where, "kbps", false, MIN_AUDIO_KBPS, MAX_AUDIO_KBPS, &l->audio_kbps, err);
}

static vp_status read_ladder(const json_t *root, const vp_media *media, vp_ladder *l, vp_error *err)
{
    static const char *const fields[] = { "vodpipe", "rungs", "audio", NULL };
    const json_t *rungs;
    /* Rungs are checked also for a title without a picture, which then has none of them. */
    vpi_picture picture = { 1920, 1080, { DEFAULT_FPS, 1 } };
    bool video = media && vpi_ladder_picture(&media->m, 0, &picture);

    VPI_TRY(vpi_json_version(root, "ladder", false, err));
    VPI_TRY(vpi_json_fields(root, "ladder", fields, err));
    VPI_TRY(vpi_json_array(root, "ladder", "rungs", true, &rungs, err));
    VPI_TRY(read_rungs(rungs, media ? &picture : NULL, l, err));
    if (video && l->count == 0) return refuse(err, "ladder", "rungs", "none");
    if (video) VPI_TRY(keep_fitting(l, &picture, err));
    if (media && !video) l->count = 0;
    vpi_ladder_sort(l);
    return read_audio(root, l, err);
}

vp_status vp_ladder_parse(const void *json, uint64_t size, const vp_media *media, vp_ladder **out,
                          vp_error *err)
{
    json_t *root = NULL;
    vp_ladder *l = NULL;
    vp_status st;

    vp_error_init(err);
    if (out) *out = NULL;
    if (!out || (!json && size)) return vpi_fail(err, VP_E_ARG, NULL, "no text or nowhere to put the ladder");
    if (size > MAX_JSON) return vpi_fail(err, VP_E_DATA, "INPUT_CORRUPT", "ladder: more than 1 MiB");
    VPI_GO(vpi_json_parse(json, (size_t)size, "ladder", &root, err));
    l = vpi_ladder_new();
    if (!l) VPI_GO(vpi_fail_nomem(err));
    VPI_GO(read_ladder(root, media, l, err));
    *out = l;
    l = NULL;
done:
    vp_ladder_unref(l);
    json_decref(root);
    return st;
}
