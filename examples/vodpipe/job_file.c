/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "job_file.h"

/* A path in UTF-8 as it is, another one as hex digits under "<name>_hex". */
static bool put_path(json_t *json, const char *name, const char *path)
{
    char field[32], *copy = utf8_copy(path);
    bool plain = copy && !strcmp(copy, path);
    free(copy);
    if (plain) return json_object_set_new(json, name, json_string(path)) == 0;
    char *hex = malloc(2 * strlen(path) + 1);
    if (!hex) return false;
    for (size_t i = 0; path[i]; i++) snprintf(hex + 2 * i, 3, "%02x", (unsigned char)path[i]);
    snprintf(field, sizeof(field), "%s_hex", name);
    bool ok = json_object_set_new(json, field, json_string(hex)) == 0;
    free(hex);
    return ok;
}

static int hex_digit(char c)
{
    const char *digits = "0123456789abcdef", *at = c ? strchr(digits, c) : NULL;
    return at ? (int)(at - digits) : -1;
}

static char *get_path(const json_t *json, const char *name)
{
    char field[32];
    const char *text = json_string_value(json_object_get(json, name));
    if (text) return strdup(text);
    snprintf(field, sizeof(field), "%s_hex", name);
    text = json_string_value(json_object_get(json, field));
    size_t n = text ? strlen(text) / 2 : 0;
    char *path = n ? malloc(n + 1) : NULL;
    for (size_t i = 0; path && i < n; i++) {
        int high = hex_digit(text[2 * i]), low = hex_digit(text[2 * i + 1]);
        if (high < 0 || low < 0 || (!high && !low)) {
            free(path);
            return NULL;
        }
        path[i] = (char)(high * 16 + low);
    }
    if (path) path[n] = 0;
    return path;
}

static bool put_flag(json_t *json, const char *name, bool value)
{
    return !value || json_object_set_new(json, name, json_true()) == 0;
}

static bool put_text(json_t *json, const char *name, const char *value)
{
    return !value || json_object_set_new(json, name, json_string(value)) == 0;
}

/* What is secret in an address is left out, and that it was is noted. */
static bool put_input(json_t *json, const char *place)
{
    char *shown = place_shown(place), *whole = shown ? place_absolute(shown) : NULL;
    bool ok =
        whole && put_path(json, "input", whole) && put_flag(json, "input_cut", strcmp(shown, place) != 0);
    free(shown);
    free(whole);
    return ok;
}

/* Where the server is, for those who run the tasks. */
static bool put_server(json_t *json, const cli_options *o)
{
    return put_text(json, "endpoint", chosen_endpoint(o)) && put_text(json, "region", chosen_region(o)) &&
           put_flag(json, "path_style", o->path_style);
}

char *job_file_text(const session *s)
{
    const cli_options *o = s->options;
    char *spool = s->spooled ? place_join(s->work_path, SPOOL_NAME) : NULL;
    const char *input = s->spooled ? spool : o->args[0];
    char *output = place_absolute(o->args[1]), *text = NULL;
    json_t *json = json_pack("{s:i}", "vodpipe", 1);
    bool ok = json && input && output && put_input(json, input) && put_path(json, "output", output);
    if (ok && s->remote.s3) ok = put_server(json, o);
    ok = ok && put_flag(json, "gzip_manifests", o->gzip_manifests) && put_flag(json, "player", o->player) &&
         put_flag(json, "prune", o->prune) && put_flag(json, "force", o->force);
    if (ok) text = json_dumps(json, JSON_INDENT(1));
    json_decref(json);
    free(spool);
    free(output);
    return text;
}

void job_file_free(job_file *j)
{
    free(j->input);
    free(j->output);
    free(j->endpoint);
    free(j->region);
}

static bool known_field(const char *name)
{
    static const char *const fields[] = { "vodpipe",    "input",          "input_hex", "input_cut",
                                          "output",     "output_hex",     "endpoint",  "region",
                                          "path_style", "gzip_manifests", "player",    "prune",
                                          "force" };
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
        if (!strcmp(fields[i], name)) return true;
    return false;
}

static void read_fields(const json_t *json, job_file *j)
{
    j->input = get_path(json, "input");
    j->output = get_path(json, "output");
    j->endpoint = get_path(json, "endpoint");
    j->region = get_path(json, "region");
    j->cut = json_is_true(json_object_get(json, "input_cut"));
    j->path_style = json_is_true(json_object_get(json, "path_style"));
    j->gzip = json_is_true(json_object_get(json, "gzip_manifests"));
    j->player = json_is_true(json_object_get(json, "player"));
    j->prune = json_is_true(json_object_get(json, "prune"));
    j->force = json_is_true(json_object_get(json, "force"));
}

int job_file_parse(const cli_options *o, const vp_bytes *text, job_file *j)
{
    json_error_t why;
    json_t *json = json_loadb(vp_bytes_data(text), (size_t)vp_bytes_size(text), JSON_REJECT_DUPLICATES, &why),
           *value;
    const char *name;
    int status = EXIT_DONE;
    if (!json) return fail_text(o, "INPUT_CORRUPT", JOB_NAME ": line %d: %s", why.line, why.text);
    json_object_foreach (json, name, value) {
        if (!known_field(name))
            status = fail_text(o, "INPUT_CORRUPT", JOB_NAME ": unknown field \"%s\"", name);
    }
    if (status == EXIT_DONE && json_integer_value(json_object_get(json, "vodpipe")) != 1)
        status = fail_text(o, "VERSION", JOB_NAME ": not of this version");
    read_fields(json, j);
    json_decref(json);
    if (status == EXIT_DONE && (!j->input || !j->output))
        status = fail_text(o, "INPUT_CORRUPT", JOB_NAME ": input or output is missing");
    return status;
}
