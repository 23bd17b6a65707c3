/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"

#define LADDER_FILE_MAX ((size_t)1 << 20)
#define SCRIPT_MAX ((size_t)8 << 20)

/* ---- ladder ---- */

/* "1080p,720p": what looks like names of presets is a list, also when a file is called so. */
static bool is_list(const char *text)
{
    while (true) {
        size_t digits = strspn(text, "0123456789");
        if (!digits || text[digits] != 'p') return false;
        text += digits + 1;
        if (!*text) return true;
        if (*text++ != ',') return false;
    }
}

static int load_ladder(settings *s, const cli_options *o)
{
    json_error_t why;
    size_t size = 0;
    if (!o->ladder || !strcmp(o->ladder, "auto") || is_list(o->ladder)) return EXIT_DONE;
    char *text = read_file(o->ladder, LADDER_FILE_MAX, &size);
    if (!text && errno == ENOENT)
        return usage_error(o, "--ladder: neither auto nor names of presets nor a file: '%s'", o->ladder);
    if (!text) return fail_text(o, "IO_ERROR", "reading %s failed: %s", o->ladder, strerror(errno));
    s->ladder_document = json_loadb(text, size, JSON_REJECT_DUPLICATES, &why);
    free(text);
    if (!s->ladder_document)
        return fail_text(o, "INPUT_CORRUPT", "%s: line %d: %s", o->ladder, why.line, why.text);
    if (json_is_object(s->ladder_document)) return EXIT_DONE;
    return fail_text(o, "INPUT_CORRUPT", "%s: a ladder is an object with \"rungs\"", o->ladder);
}

/* ---- the player's script ---- */

static char *read_script(const char *folder, const char *name)
{
    size_t size = 0;
    char *path = join_path(folder, name), *text = path ? read_file(path, SCRIPT_MAX, &size) : NULL;
    free(path);
    if (text && (!size || strlen(text) != size)) { /* an empty file stands for "could not be had" */
        free(text);
        return NULL;
    }
    return text;
}

char *player_script_load(void)
{
    /* Beside the tool as installed and moved, as installed, and in the build directory. */
    static const char *const places[] = { "../share/vodpipe", VODPIPE_DATA_DIR, "../player" };
    const char *given = getenv("VODPIPE_PLAYER_SCRIPT");
    char self[4096], *text = NULL;
    size_t size = 0;
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
    if (given && *given) return read_file(given, SCRIPT_MAX, &size);
    self[n > 0 ? n : 0] = 0;
    char *slash = strrchr(self, '/');
    if (slash) *slash = 0;
    for (size_t i = 0; !text && i < sizeof(places) / sizeof(places[0]); i++) {
        char *folder = places[i][0] == '/' ? strdup(places[i]) : slash ? join_path(self, places[i]) : NULL;
        if (folder) text = read_script(folder, "hls.min.js");
        free(folder);
    }
    return text;
}

/* ---- settings ---- */

static void add_text(json_t *json, const char *name, const char *value)
{
    if (value) json_object_set_new(json, name, json_string(value));
}

static void add_count(json_t *json, const char *name, uint32_t value)
{
    if (value) json_object_set_new(json, name, json_integer(value));
}

static void add_milli(json_t *json, const char *name, uint32_t value)
{
    if (value % 1000)
        json_object_set_new(json, name, json_real(value / 1000.0));
    else
        add_count(json, name, value / 1000);
}

static void add_flag(json_t *json, const char *name, bool value)
{
    if (value) json_object_set_new(json, name, json_true());
}

static char *settings_json(const settings *s, const cli_options *o)
{
    json_t *json = json_object();
    add_text(json, "format", o->format);
    if (s->ladder_document)
        json_object_set(json, "ladder", s->ladder_document);
    else if (o->ladder && strcmp(o->ladder, "auto"))
        add_text(json, "ladder", o->ladder);
    add_milli(json, "segment", o->segment_ms);
    add_milli(json, "gop", o->gop_ms);
    add_flag(json, "single_file", o->single_file);
    add_text(json, "preset", o->preset);
    add_text(json, "rate", o->rate);
    add_milli(json, "crf", o->crf_milli);
    add_count(json, "audio_bitrate", o->audio_kbps);
    add_text(json, "audio", o->audio);
    add_count(json, "max_fps", o->max_fps);
    add_text(json, "timeline", o->timeline);
    add_text(json, "prefix", o->prefix);
    add_text(json, "encrypt", o->encrypt);
    add_count(json, "key_rotation", o->key_rotation);
    add_milli(json, "clear_lead", o->clear_lead_ms);
    add_flag(json, "player", o->player);
    add_flag(json, "prune", o->prune);
    add_flag(json, "force", o->force);
    char *text = json ? json_dumps(json, JSON_COMPACT | JSON_REAL_PRECISION(9)) : NULL;
    json_decref(json);
    return text;
}

static void fill_transcode(vp_transcode_options *t, const cli_options *o)
{
    vp_transcode_options_init(t, sizeof(*t));
    if (o->format)
        t->formats = !strcmp(o->format, "both") ? VP_FORMAT_CMAF | VP_FORMAT_TS
                     : !strcmp(o->format, "ts") ? VP_FORMAT_TS
                                                : VP_FORMAT_CMAF;
    if (o->rate)
        t->rate = !strcmp(o->rate, "crf")     ? VP_RATE_CRF
                  : !strcmp(o->rate, "2pass") ? VP_RATE_2PASS
                                              : VP_RATE_ABR;
    t->segment_ms = o->segment_ms;
    t->gop_ms = o->gop_ms;
    t->single_file = o->single_file;
    t->crf_milli = o->crf_milli;
    t->audio_kbps = o->audio_kbps;
    t->max_fps = o->max_fps;
    t->preset = o->preset;
    t->audio = o->audio;
    t->prefix = o->prefix;
    if (o->encrypt)
        t->encrypt = !strcmp(o->encrypt, "aes128") ? VP_ENCRYPT_AES128
                     : !strcmp(o->encrypt, "cenc") ? VP_ENCRYPT_CENC
                     : !strcmp(o->encrypt, "cbcs") ? VP_ENCRYPT_CBCS
                                                   : VP_ENCRYPT_NONE;
    t->key_rotation = o->key_rotation;
    t->clear_lead_ms = o->clear_lead_ms;
    if (o->timeline) t->timeline = !strcmp(o->timeline, "fail") ? VP_TIMELINE_FAIL : VP_TIMELINE_REPAIR;
}

/* JSON holds UTF-8 only, and json_string() would leave the field out. */
static int check_texts(const cli_options *o)
{
    const char *const texts[] = { o->ladder, o->preset, o->audio, o->prefix };
    static const char *const names[] = { "ladder", "preset", "audio", "prefix" };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        char *copy = texts[i] ? utf8_copy(texts[i]) : NULL;
        bool good = !texts[i] || (copy && !strcmp(copy, texts[i]));
        free(copy);
        if (!good && i) return usage_error(o, "--%s: not UTF-8", names[i]);
    }
    return EXIT_DONE;
}

int settings_load(settings *s, const cli_options *o)
{
    *s = (settings){ 0 };
    int status = check_texts(o);
    if (status == EXIT_DONE) status = load_ladder(s, o);
    if (status == EXIT_DONE) status = keys_load(o, &s->keys);
    if (status != EXIT_DONE) return status;
    fill_transcode(&s->transcode, o);
    s->transcode.keys = keys_provider(s->keys);
    s->json = settings_json(s, o);
    if (!s->json) return fail_text(o, "NOMEM", "out of memory");
    if (!o->player) return EXIT_DONE;
    s->player_script = player_script_load();
    if (!s->player_script)
        note(o, "warning: hls.js was not found (VODPIPE_PLAYER_SCRIPT names it); player.html plays only "
                "where the "
                "browser plays HLS by itself");
    return EXIT_DONE;
}

void settings_free(settings *s)
{
    free(s->json);
    free(s->player_script);
    json_decref(s->ladder_document);
    keys_free(s->keys);
    *s = (settings){ 0 };
}
