/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <math.h>

#include "job_int.h"
#include "model/json.h"

void vpi_settings_dispose(vpi_settings *s)
{
    vpi_free(s->preset);
    vpi_free(s->audio);
    vpi_free(s->prefix);
    vpi_free(s->ladder_list);
    vpi_free(s->ladder_document);
    vpi_free(s->title);
    vp_keys_unref(s->keys);
    memset(s, 0, sizeof(*s));
}

static vp_status set_text(char **to, const char *text, vp_error *err)
{
    char *copy = vpi_strdup(text);
    if (text && !copy) return vpi_fail_nomem(err);
    vpi_free(*to);
    *to = copy;
    return VP_OK;
}

/* Settings are the caller's own words: what is wrong with them is ARG, not DATA. */
static vp_status wrong(vp_error *err, const char *field, const char *what)
{
    return vpi_fail(err, VP_E_ARG, NULL, "settings: %s: %s", field, what);
}

/* Seconds or another positive number, with up to three decimals, in thousandths. */
static vp_status get_milli(const json_t *o, const char *name, double max, uint32_t *to, vp_error *err)
{
    const json_t *v = json_object_get(o, name);
    if (!v) return VP_OK;
    double x = json_is_number(v) ? json_number_value(v) : -1;
    if (!(x > 0 && x <= max)) return wrong(err, name, "not a number in range");
    *to = (uint32_t)lround(x * 1000);
    return *to ? VP_OK : wrong(err, name, "not a number in range");
}

static vp_status get_u32(const json_t *o, const char *name, uint32_t max, uint32_t *to, vp_error *err)
{
    const json_t *v = json_object_get(o, name);
    if (!v) return VP_OK;
    if (!json_is_integer(v) || json_integer_value(v) < 1 || json_integer_value(v) > (json_int_t)max)
        return wrong(err, name, "not a whole number in range");
    *to = (uint32_t)json_integer_value(v);
    return VP_OK;
}

static vp_status get_bool(const json_t *o, const char *name, bool *to, vp_error *err)
{
    const json_t *v = json_object_get(o, name);
    if (!v) return VP_OK;
    if (!json_is_boolean(v)) return wrong(err, name, "not true or false");
    *to = json_is_true(v);
    return VP_OK;
}

static vp_status get_text(const json_t *o, const char *name, char **to, vp_error *err)
{
    const json_t *v = json_object_get(o, name);
    if (!v) return VP_OK;
    if (!json_is_string(v)) return wrong(err, name, "not a text");
    return set_text(to, json_string_value(v), err);
}

static vp_status get_word(const json_t *o, const char *name, const char *const *words, const uint32_t *values,
                          uint32_t *to, vp_error *err)
{
    const json_t *v = json_object_get(o, name);
    if (!v) return VP_OK;
    for (size_t i = 0; words[i]; i++) {
        if (!vpi_streq(json_string_value(v), words[i])) continue;
        *to = values[i];
        return VP_OK;
    }
    return wrong(err, name, "unknown word");
}

static vp_status get_ladder(vpi_settings *s, const json_t *o, vp_error *err)
{
    const json_t *v = json_object_get(o, "ladder");
    vpi_buf text = { 0 };
    if (!v) return VP_OK;
    if (json_is_string(v)) return set_text(&s->ladder_list, json_string_value(v), err);
    if (!json_is_object(v)) return wrong(err, "ladder", "neither a list of names nor a ladder document");
    VPI_TRY(vpi_json_dump(v, &text, err));
    vpi_free(s->ladder_document);
    s->ladder_document = vpi_buf_steal_string(&text);
    return s->ladder_document ? VP_OK : vpi_fail_nomem(err);
}

/* A key document (FORMATS); the text made of it here is zeroised, the caller's is his own. */
static vp_status get_keys(vpi_settings *s, const json_t *o, vp_error *err)
{
    const json_t *v = json_object_get(o, "keys");
    vp_keys *keys = NULL;
    vpi_buf text = { 0 };
    if (!v) return VP_OK;
    if (!json_is_object(v)) return wrong(err, "keys", "not a key document");
    vp_status st = vpi_json_dump(v, &text, err);
    if (st >= 0) st = vp_keys_parse(text.data, text.size, &keys, err);
    if (text.data) explicit_bzero(text.data, text.capacity);
    vpi_buf_dispose(&text);
    if (st < 0) return st;
    vp_keys_unref(s->keys);
    s->keys = keys;
    return VP_OK;
}

static vp_status check_fields(const json_t *o, vp_error *err)
{
    static const char *const fields[] = { "format",   "ladder",  "segment", "gop",           "single_file",
                                          "preset",   "rate",    "crf",     "audio_bitrate", "audio",
                                          "max_fps",  "prefix",  "player",  "prune",         "force",
                                          "timeline", "encrypt", "keys",    "key_rotation",  "clear_lead",
                                          "title",    NULL };
    const char *name;
    json_t *value;
    json_object_foreach ((json_t *)(uintptr_t)o, name, value) {
        size_t i = 0;
        while (fields[i] && !vpi_streq(fields[i], name)) i++;
        if (!fields[i]) return wrong(err, name, "unknown field");
    }
    return VP_OK;
}

static vp_status load_json(vpi_settings *s, const json_t *o, vp_error *err)
{
    static const char *const formats[] = { "cmaf", "ts", "both", NULL };
    static const uint32_t format_bits[] = { VP_FORMAT_CMAF, VP_FORMAT_TS, VP_FORMAT_CMAF | VP_FORMAT_TS };
    static const char *const rates[] = { "abr", "crf", "2pass", NULL };
    static const uint32_t rate_values[] = { VP_RATE_ABR, VP_RATE_CRF, VP_RATE_2PASS };
    static const char *const timelines[] = { "repair", "fail", NULL };
    static const uint32_t timeline_values[] = { VP_TIMELINE_REPAIR, VP_TIMELINE_FAIL };
    static const char *const schemes[] = { "none", "aes128", "cenc", "cbcs", NULL };
    static const uint32_t scheme_values[] = { VP_ENCRYPT_NONE, VP_ENCRYPT_AES128, VP_ENCRYPT_CENC,
                                              VP_ENCRYPT_CBCS };
    vp_transcode_options *t = &s->transcode;
    bool single = t->single_file != 0;
    VPI_TRY(check_fields(o, err));
    VPI_TRY(get_word(o, "format", formats, format_bits, &t->formats, err));
    VPI_TRY(get_ladder(s, o, err));
    VPI_TRY(get_milli(o, "segment", 60, &t->segment_ms, err));
    VPI_TRY(get_milli(o, "gop", 60, &t->gop_ms, err));
    VPI_TRY(get_bool(o, "single_file", &single, err));
    VPI_TRY(get_text(o, "preset", &s->preset, err));
    VPI_TRY(get_word(o, "rate", rates, rate_values, &t->rate, err));
    VPI_TRY(get_milli(o, "crf", 51, &t->crf_milli, err));
    VPI_TRY(get_u32(o, "audio_bitrate", 512, &t->audio_kbps, err));
    VPI_TRY(get_text(o, "audio", &s->audio, err));
    VPI_TRY(get_u32(o, "max_fps", 240, &t->max_fps, err));
    VPI_TRY(get_word(o, "timeline", timelines, timeline_values, &t->timeline, err));
    VPI_TRY(get_text(o, "prefix", &s->prefix, err));
    VPI_TRY(get_word(o, "encrypt", schemes, scheme_values, &t->encrypt, err));
    VPI_TRY(get_u32(o, "key_rotation", VPI_KEY_PERIODS_MAX, &t->key_rotation, err));
    VPI_TRY(get_milli(o, "clear_lead", 86400, &t->clear_lead_ms, err));
    VPI_TRY(get_text(o, "title", &s->title, err));
    VPI_TRY(get_keys(s, o, err));
    VPI_TRY(get_bool(o, "player", &s->player, err));
    VPI_TRY(get_bool(o, "prune", &s->prune, err));
    VPI_TRY(get_bool(o, "force", &s->force, err));
    t->single_file = single;
    return VP_OK;
}

vp_status vpi_settings_load(vpi_settings *s, const vp_job_options *o, vp_error *err)
{
    json_t *json = NULL;
    vp_transcode_options_init(&s->transcode, sizeof(s->transcode));
    VPI_TRY(vpi_copy_struct(&s->transcode, sizeof(s->transcode), o->transcode, err));
    VPI_TRY(set_text(&s->preset, s->transcode.preset, err));
    VPI_TRY(set_text(&s->audio, s->transcode.audio, err));
    VPI_TRY(set_text(&s->prefix, s->transcode.prefix, err));
    VPI_TRY(set_text(&s->title, s->transcode.title, err));
    s->keys = vp_keys_ref(s->transcode.keys);
    s->player = o->player;
    s->prune = o->prune;
    s->force = o->force;
    if (o->settings_json) {
        vp_error why = VP_ERROR_INIT;
        vp_status st = vpi_json_parse(o->settings_json, strlen(o->settings_json), "settings", &json, &why);
        if (st < 0)
            return st == VP_E_NOMEM ? vpi_fail_nomem(err) : vpi_fail(err, VP_E_ARG, NULL, "%s", why.message);
        st = json_is_object(json) ? load_json(s, json, err) : wrong(err, "document", "not an object");
        json_decref(json);
        if (st < 0) return st;
    }
    s->transcode.preset = s->preset;
    s->transcode.audio = s->audio;
    s->transcode.prefix = s->prefix;
    s->transcode.title = s->title;
    s->transcode.keys = s->keys;
    return VP_OK;
}
