/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>

#include "model/json.h"
#include "model/presentation_int.h"

#define MAX_JSON ((uint64_t)256 << 20)
#define WHERE_SIZE 64
#define PATH_SIZE (WHERE_SIZE * 2)
#define LONG_PATH_SIZE (WHERE_SIZE * 3)
#define CRC_DIGITS 8

static vp_status refuse(vp_error *err, const char *where, const char *what)
{
    return vpi_fail(err, VP_E_DATA, "INPUT_CORRUPT", "%s: %s", where, what);
}

static vp_status read_crc(const json_t *o, const char *where, uint32_t *out, vp_error *err)
{
    char *text = NULL;
    uint32_t v = 0;
    size_t i;

    VPI_TRY(vpi_json_str(o, where, "crc32c", false, &text, err));
    if (!text) return VP_OK;
    for (i = 0; text[i]; i++) {
        char c = text[i];
        bool digit = c >= '0' && c <= '9', letter = c >= 'a' && c <= 'f';

        if (i >= CRC_DIGITS || (!digit && !letter)) break;
        v = v << 4 | (uint32_t)(digit ? c - '0' : c - 'a' + 10);
    }
    if (i != CRC_DIGITS || text[i]) {
        vpi_free(text);
        return vpi_fail(err, VP_E_DATA, "INPUT_CORRUPT", "%s.crc32c: not 8 hex digits in lower case", where);
    }
    vpi_free(text);
    *out = v;
    return VP_OK;
}

static vp_status read_iv(const json_t *o, const char *where, vpi_segment *s, vp_error *err)
{
    char *text = NULL;

    VPI_TRY(vpi_json_str(o, where, "iv", false, &text, err));
    if (!text) return VP_OK;
    s->has_iv = vpi_hex_parse(text, s->iv, sizeof(s->iv));
    vpi_free(text);
    if (s->has_iv) return VP_OK;
    return vpi_fail(err, VP_E_DATA, "INPUT_CORRUPT", "%s.iv: not 32 hex digits", where);
}

static vp_status read_part(const json_t *o, const char *where, const char *name, vpi_part *out, vp_error *err)
{
    static const char *const fields[] = { "key", "offset", "bytes", "crc32c", NULL };
    char path[PATH_SIZE];
    const json_t *part;

    VPI_TRY(vpi_json_object(o, where, name, false, &part, err));
    if (!part) return VP_OK;
    snprintf(path, sizeof(path), "%s.%s", where, name);
    VPI_TRY(vpi_json_fields(part, path, fields, err));
    VPI_TRY(vpi_json_str(part, path, "key", true, &out->key, err));
    VPI_TRY(vpi_json_u64(part, path, "offset", false, VPI_MAX_QUANTITY, &out->offset, err));
    VPI_TRY(vpi_json_u64(part, path, "bytes", true, VPI_MAX_QUANTITY, &out->bytes, err));
    return read_crc(part, path, &out->crc32c, err);
}

static vp_status read_fragments(const json_t *o, const char *where, vpi_segment *s, vp_error *err)
{
    static const char *const fields[] = { "offset", "bytes", "ticks", "idr_bytes", NULL };
    const json_t *a;
    size_t i;

    VPI_TRY(vpi_json_array(o, where, "fragments", false, &a, err));
    if (a && json_array_size(a) > VPI_MAX_FRAGMENTS) return refuse(err, where, "too many fragments");
    for (i = 0; a && i < json_array_size(a); i++) {
        const json_t *from = json_array_get(a, i);
        vpi_fragment *f = vpi_segment_add_fragment(s);
        char path[LONG_PATH_SIZE];

        if (!f) return vpi_fail_nomem(err);
        snprintf(path, sizeof(path), "%s.fragments[%zu]", where, i);
        VPI_TRY(vpi_json_fields(from, path, fields, err));
        VPI_TRY(vpi_json_u64(from, path, "offset", true, VPI_MAX_QUANTITY, &f->offset, err));
        VPI_TRY(vpi_json_u64(from, path, "bytes", true, VPI_MAX_QUANTITY, &f->bytes, err));
        VPI_TRY(vpi_json_u64(from, path, "ticks", true, VPI_MAX_QUANTITY, &f->ticks, err));
        VPI_TRY(vpi_json_u64(from, path, "idr_bytes", false, VPI_MAX_QUANTITY, &f->idr_bytes, err));
    }
    return VP_OK;
}

static vp_status read_segments(const json_t *o, const char *where, vpi_ptrack *t, vp_error *err)
{
    static const char *const fields[] = { "key",    "offset", "start",     "ticks", "bytes",
                                          "crc32c", "iv",     "fragments", NULL };
    const json_t *a;
    size_t i;

    VPI_TRY(vpi_json_array(o, where, "segments", true, &a, err));
    if (json_array_size(a) > VPI_MAX_SEGMENTS) return refuse(err, where, "too many segments");
    for (i = 0; i < json_array_size(a); i++) {
        const json_t *from = json_array_get(a, i);
        vpi_segment *s = vpi_ptrack_add_segment(t);
        char path[PATH_SIZE];

        if (!s) return vpi_fail_nomem(err);
        snprintf(path, sizeof(path), "%s.segments[%zu]", where, i);
        VPI_TRY(vpi_json_fields(from, path, fields, err));
        VPI_TRY(vpi_json_str(from, path, "key", true, &s->key, err));
        VPI_TRY(vpi_json_u64(from, path, "offset", false, VPI_MAX_QUANTITY, &s->offset, err));
        VPI_TRY(vpi_json_u64(from, path, "start", true, VPI_MAX_QUANTITY, &s->start, err));
        VPI_TRY(vpi_json_u64(from, path, "ticks", true, VPI_MAX_QUANTITY, &s->ticks, err));
        VPI_TRY(vpi_json_u64(from, path, "bytes", true, VPI_MAX_QUANTITY, &s->bytes, err));
        VPI_TRY(read_crc(from, path, &s->crc32c, err));
        VPI_TRY(read_iv(from, path, s, err));
        VPI_TRY(read_fragments(from, path, s, err));
    }
    return VP_OK;
}

static vp_status read_word(const json_t *o, const char *where, const char *name, const char *(*word)(int32_t),
                           int32_t *out, vp_error *err)
{
    char *text = NULL;
    int32_t n;

    VPI_TRY(vpi_json_str(o, where, name, true, &text, err));
    for (n = 1; word(n) && strcmp(word(n), text) != 0; n++) continue;
    vpi_free(text);
    if (!word(n)) return vpi_fail(err, VP_E_DATA, "INPUT_CORRUPT", "%s.%s: not known", where, name);
    *out = n;
    return VP_OK;
}

static vp_status read_u8(const json_t *o, const char *where, const char *name, uint8_t *out, vp_error *err)
{
    uint32_t v = *out;

    VPI_TRY(vpi_json_u32(o, where, name, false, UINT8_MAX, &v, err));
    *out = (uint8_t)v;
    return VP_OK;
}

static vp_status read_protection(const json_t *o, const char *where, vpi_ptrack *t, vp_error *err)
{
    const json_t *v = json_object_get(o, "protection");
    char path[PATH_SIZE];

    if (!v || json_is_null(v)) return VP_OK;
    snprintf(path, sizeof(path), "%s.protection", where);
    return vpi_protection_from_json(v, path, false, &t->protection, err);
}

static vp_status read_object(const json_t *o, const char *where, vpi_ptrack *t, vp_error *err)
{
    static const char *const fields[] = { "bytes", "crc32c", NULL };
    char path[PATH_SIZE];
    const json_t *object;

    VPI_TRY(vpi_json_object(o, where, "object", false, &object, err));
    if (!object) return VP_OK;
    snprintf(path, sizeof(path), "%s.object", where);
    VPI_TRY(vpi_json_fields(object, path, fields, err));
    t->single_file = true;
    VPI_TRY(vpi_json_u64(object, path, "bytes", true, VPI_MAX_QUANTITY, &t->object_bytes, err));
    return read_crc(object, path, &t->object_crc32c, err);
}

static vp_status read_track(const json_t *o, const char *where, vpi_ptrack *t, vp_error *err)
{
    static const char *const fields[] = {
        "name",      "kind",     "group",  "codecs",     "language",    "label",
        "default",   "width",    "height", "frame_rate", "sample_rate", "channels",
        "primaries", "transfer", "matrix", "timescale",  "bandwidth",   "average_bandwidth",
        "container", "object",   "init",   "index",      "protection",  "segments",
        "sar",       NULL,
    };

    VPI_TRY(vpi_json_fields(o, where, fields, err));
    VPI_TRY(vpi_json_str(o, where, "name", true, &t->name, err));
    VPI_TRY(read_word(o, where, "kind", vpi_kind_word, &t->kind, err));
    VPI_TRY(vpi_json_str(o, where, "group", true, &t->group, err));
    VPI_TRY(vpi_json_str(o, where, "codecs", true, &t->codecs, err));
    VPI_TRY(vpi_json_str(o, where, "language", false, &t->language, err));
    VPI_TRY(vpi_json_str(o, where, "label", false, &t->label, err));
    VPI_TRY(vpi_json_bool(o, where, "default", false, &t->is_default, err));
    VPI_TRY(vpi_json_u32(o, where, "width", false, INT32_MAX, &t->width, err));
    VPI_TRY(vpi_json_u32(o, where, "height", false, INT32_MAX, &t->height, err));
    VPI_TRY(vpi_json_shape(o, where, "sar", false, &t->sar_num, &t->sar_den, err));
    VPI_TRY(vpi_json_ratio(o, where, "frame_rate", false, &t->frame_rate_num, &t->frame_rate_den, err));
    VPI_TRY(vpi_json_u32(o, where, "sample_rate", false, INT32_MAX, &t->sample_rate, err));
    VPI_TRY(vpi_json_u32(o, where, "channels", false, INT32_MAX, &t->channels, err));
    VPI_TRY(read_u8(o, where, "primaries", &t->primaries, err));
    VPI_TRY(read_u8(o, where, "transfer", &t->transfer, err));
    VPI_TRY(read_u8(o, where, "matrix", &t->matrix, err));
    VPI_TRY(vpi_json_u32(o, where, "timescale", true, UINT32_MAX, &t->timescale, err));
    VPI_TRY(vpi_json_u64(o, where, "bandwidth", false, UINT64_MAX, &t->bandwidth, err));
    VPI_TRY(vpi_json_u64(o, where, "average_bandwidth", false, UINT64_MAX, &t->average_bandwidth, err));
    VPI_TRY(read_word(o, where, "container", vpi_container_word, &t->container, err));
    VPI_TRY(read_object(o, where, t, err));
    VPI_TRY(read_part(o, where, "init", &t->init, err));
    VPI_TRY(read_part(o, where, "index", &t->index, err));
    VPI_TRY(read_protection(o, where, t, err));
    return read_segments(o, where, t, err);
}

vp_status vpi_ptrack_from_json(const struct json_t *json, vpi_ptrack *t, vp_error *err)
{
    return read_track(json, "track", t, err);
}

/* The rates that manifests are made from; a title that nobody finished has none. */
static vp_status check_rates(const vpi_presentation *p, vp_error *err)
{
    size_t i;

    for (i = 0; i < p->track_count; i++) {
        const vpi_ptrack *t = &p->tracks[i];

        if (t->kind != VP_TRACK_VIDEO && t->kind != VP_TRACK_AUDIO) continue;
        if (t->bandwidth == 0 || t->average_bandwidth == 0 || t->average_bandwidth > t->bandwidth) {
            return vpi_fail(err, VP_E_DATA, "INPUT_CORRUPT",
                            "presentation.tracks[%zu].bandwidth: missing or below the average", i);
        }
    }
    return VP_OK;
}

static vp_status read_presentation(const json_t *root, vpi_presentation *p, vp_error *err)
{
    static const char *const fields[] = { "vodpipe", "version", "request", "duration", "tracks", NULL };
    static const char *const duration_fields[] = { "ticks", "timescale", NULL };
    const json_t *duration, *tracks;
    size_t i;

    /* First the number: a newer document may have fields that are not known here. */
    VPI_TRY(vpi_json_version(root, "presentation", true, err));
    VPI_TRY(vpi_json_fields(root, "presentation", fields, err));
    VPI_TRY(vpi_json_str(root, "presentation", "version", true, &p->version, err));
    VPI_TRY(vpi_json_str(root, "presentation", "request", true, &p->request, err));
    VPI_TRY(vpi_json_object(root, "presentation", "duration", true, &duration, err));
    VPI_TRY(vpi_json_fields(duration, "presentation.duration", duration_fields, err));
    VPI_TRY(
        vpi_json_u64(duration, "presentation.duration", "ticks", true, VPI_MAX_QUANTITY, &p->duration, err));
    VPI_TRY(
        vpi_json_u64(duration, "presentation.duration", "timescale", true, UINT32_MAX, &p->timescale, err));
    if (p->timescale == 0) return refuse(err, "presentation.duration.timescale", "zero");
    VPI_TRY(vpi_json_array(root, "presentation", "tracks", true, &tracks, err));
    if (json_array_size(tracks) > VPI_MAX_TRACKS) return refuse(err, "presentation.tracks", "too many");
    for (i = 0; i < json_array_size(tracks); i++) {
        vpi_ptrack *t = vpi_presentation_add_track(p);
        char where[WHERE_SIZE];

        if (!t) return vpi_fail_nomem(err);
        snprintf(where, sizeof(where), "presentation.tracks[%zu]", i);
        VPI_TRY(read_track(json_array_get(tracks, i), where, t, err));
    }
    VPI_TRY(vpi_presentation_check(p, VP_E_DATA, "INPUT_CORRUPT", err));
    return check_rates(p, err);
}

vp_status vp_presentation_parse(const void *json, uint64_t size, vp_presentation **out, vp_error *err)
{
    vp_presentation *p = NULL;
    json_t *root = NULL;
    vp_status st;

    vp_error_init(err);
    if (out) *out = NULL;
    if (!out || (!json && size))
        return vpi_fail(err, VP_E_ARG, NULL, "no text or nowhere to put the presentation");
    if (size > MAX_JSON) {
        return vpi_fail(err, VP_E_LIMIT, "INPUT_LIMIT", "presentation: more than %u MiB",
                        (unsigned)(MAX_JSON >> 20));
    }
    VPI_GO(vpi_json_parse(json, (size_t)size, "presentation", &root, err));
    p = vpi_presentation_new();
    if (!p) VPI_GO(vpi_fail_nomem(err));
    VPI_GO(read_presentation(root, &p->p, err));
    *out = p;
    p = NULL;
done:
    vp_presentation_unref(p);
    json_decref(root);
    return st;
}
