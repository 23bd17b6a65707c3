/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>

#include "model/json.h"
#include "model/media.h"

/* Unknown things are left out, so that a reader never takes a placeholder for a fact. */
static bool set_known(json_t *object, const char *name, const char *text)
{
    if (!text[0] || strcmp(text, "unknown") == 0) return true;
    return vpi_json_set_str(object, name, text);
}

static bool set_number(json_t *object, const char *name, uint64_t v)
{
    return v == 0 || vpi_json_set_u64(object, name, v);
}

static bool set_keyframes(json_t *object, const vp_video_info *v)
{
    json_t *o;

    if (v->keyframe_max_us <= 0) return true;
    o = json_object();
    if (json_object_set_new(object, "keyframe_interval_us", o) != 0) return false;
    return vpi_json_set_i64(o, "min", v->keyframe_min_us) &&
           vpi_json_set_i64(o, "mean", v->keyframe_mean_us) && vpi_json_set_i64(o, "max", v->keyframe_max_us);
}

static json_t *video_json(const vp_video_info *v)
{
    json_t *o = json_object();
    bool ok = o != NULL;

    ok = ok && vpi_json_set_i64(o, "id", v->id) && set_known(o, "codec", v->codec) &&
         set_known(o, "codecs", v->codecs);
    ok = ok && set_number(o, "width", v->width) && set_number(o, "height", v->height);
    ok = ok && set_number(o, "display_width", v->display_width) &&
         set_number(o, "display_height", v->display_height);
    ok = ok && vpi_json_set_i64(o, "rotation", v->rotation);
    ok = ok && vpi_json_set_shape(o, "sar", v->sar_num, v->sar_den);
    if (v->frame_rate_num) {
        ok = ok && vpi_json_set_ratio(o, "frame_rate", v->frame_rate_num, v->frame_rate_den);
    }
    if (v->variable_frame_rate >= 0) {
        ok = ok && vpi_json_set_bool(o, "variable_frame_rate", v->variable_frame_rate != 0);
    }
    ok = ok && set_number(o, "frames", v->frames) && set_number(o, "bit_depth", v->bit_depth);
    ok = ok && set_known(o, "chroma", v->chroma) && vpi_json_set_bool(o, "interlaced", v->interlaced != 0);
    ok = ok && set_known(o, "primaries", v->primaries) && set_known(o, "transfer", v->transfer);
    ok = ok && set_known(o, "matrix", v->matrix) && set_known(o, "range", v->range);
    ok = ok && vpi_json_set_str(o, "hdr", v->hdr) && set_keyframes(o, v);
    if (ok) return o;
    json_decref(o);
    return NULL;
}

static json_t *audio_json(const vp_audio_info *a)
{
    json_t *o = json_object();
    bool ok = o != NULL;

    ok = ok && vpi_json_set_i64(o, "id", a->id) && set_known(o, "codec", a->codec) &&
         set_known(o, "codecs", a->codecs);
    ok = ok && set_number(o, "sample_rate", a->sample_rate) && set_number(o, "channels", a->channels);
    ok = ok && set_known(o, "layout", a->layout) && vpi_json_set_str(o, "language", a->language);
    ok = ok && vpi_json_set_bool(o, "default", a->is_default != 0);
    if (ok) return o;
    json_decref(o);
    return NULL;
}

static json_t *other_json(const vpi_track *t)
{
    json_t *o = json_object();
    bool ok = o != NULL;

    ok = ok && vpi_json_set_i64(o, "id", t->id) && set_known(o, "codec", t->codec_name);
    if (t->kind == VPI_KIND_TEXT) {
        ok = ok && vpi_json_set_str(o, "language", t->language[0] ? t->language : "und");
        ok = ok && vpi_json_set_bool(o, "default", t->is_default);
    }
    if (ok) return o;
    json_decref(o);
    return NULL;
}

static json_t *warning_json(const vpi_warning *w)
{
    json_t *o = json_object();

    if (o && vpi_json_set_str(o, "name", w->name) && vpi_json_set_str(o, "text", w->text)) return o;
    json_decref(o);
    return NULL;
}

/* Adds a new empty array; NULL on no memory. */
static json_t *add_array(json_t *object, const char *name)
{
    json_t *a = json_array();

    return json_object_set_new(object, name, a) == 0 ? a : NULL;
}

static bool add_tracks(json_t *root, const vp_media *media)
{
    const vpi_media *m = &media->m;
    json_t *video = add_array(root, "video"), *audio = add_array(root, "audio");
    json_t *text = add_array(root, "text"), *other = add_array(root, "other");
    vp_video_info v;
    vp_audio_info a;
    size_t i;
    uint32_t n;

    if (!video || !audio || !text || !other) return false;
    for (n = 0; n < vpi_media_count(m, VPI_KIND_VIDEO); n++) {
        vp_video_info_init(&v, sizeof(v));
        if (vp_media_get_video(media, n, &v, NULL) != VP_OK) return false;
        if (json_array_append_new(video, video_json(&v)) != 0) return false;
    }
    for (n = 0; n < vpi_media_count(m, VPI_KIND_AUDIO); n++) {
        vp_audio_info_init(&a, sizeof(a));
        if (vp_media_get_audio(media, n, &a, NULL) != VP_OK) return false;
        if (json_array_append_new(audio, audio_json(&a)) != 0) return false;
    }
    for (i = 0; i < m->track_count; i++) {
        const vpi_track *t = &m->tracks[i];
        /* Cover art is no picture of the title: whoever counts "video" must not find it there. */
        bool is_other = t->kind == VPI_KIND_OTHER || (t->kind == VPI_KIND_VIDEO && t->attached_picture);

        if (t->kind == VPI_KIND_TEXT && json_array_append_new(text, other_json(t)) != 0) return false;
        if (is_other && json_array_append_new(other, other_json(t)) != 0) return false;
    }
    return true;
}

static bool fill(json_t *root, const vp_media *media)
{
    const vpi_media *m = &media->m;
    json_t *warnings;
    size_t i;

    if (!root || !vpi_json_set_u64(root, "vodpipe", 1)) return false;
    if (!set_known(root, "format", m->format) || !vpi_json_set_u64(root, "size", m->size)) return false;
    if (m->duration_us != VP_TIME_UNKNOWN && !vpi_json_set_i64(root, "duration_us", m->duration_us))
        return false;
    if (!set_number(root, "bit_rate", m->bit_rate) || !add_tracks(root, media)) return false;
    if (!vpi_json_set_i64(root, "start_skew_us", m->start_skew_us)) return false;
    if (m->complete >= 0 && !vpi_json_set_bool(root, "complete", m->complete != 0)) return false;
    warnings = add_array(root, "warnings");
    for (i = 0; warnings && i < m->warning_count; i++) {
        if (json_array_append_new(warnings, warning_json(&m->warnings[i])) != 0) return false;
    }
    return warnings != NULL;
}

vp_status vp_media_json(const vp_media *media, vp_bytes **out, vp_error *err)
{
    vpi_buf b = { 0 };
    json_t *root;
    vp_status st;

    vp_error_init(err);
    if (out) *out = NULL;
    if (!media || !out) return vpi_fail(err, VP_E_ARG, NULL, "no media or nowhere to put its text");
    root = json_object();
    st = fill(root, media) ? vpi_json_dump(root, &b, err) : vpi_fail_nomem(err);
    json_decref(root);
    if (st == VP_OK) return vpi_bytes_from_buf(&b, out, err);
    vpi_buf_dispose(&b);
    return st;
}
