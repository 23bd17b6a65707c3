/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The shared config and credentials files. Where AWS's documents leave something open, it is as the AWS CLI (botocore)
 * has it: what is deeper than a setting continues it; a setting without value begins a block of "name = value"; what is
 * given twice counts as it stands last. Two things are as in the other SDKs: a comment may follow a value after white
 * space, and sections of one name are joined.
 */

#include "credentials.h"

#define SETTINGS_MAX ((size_t)20000)

typedef struct reader {
    vpi_s3_ini *ini;
    bool credentials;
    unsigned line;
    /* where the text stands */
    vpi_s3_section section;
    const char *in;
    bool begun;          /* a section has */
    size_t depth;        /* of the setting that may be continued */
    vpi_s3_setting *at;  /* that one; NULL: none */
    bool block;          /* it had no value in its line */
    char *end;           /* of its value */
    bool default_prefix; /* [profile default] was there, which counts alone */
} reader;

static const char in_plain_default[] = "default"; /* its address tells [default] from [profile default] */

static bool blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static char *trim(char *from, char *to)
{
    while (from < to && blank(*from)) from++;
    while (to > from && blank(to[-1])) to--;
    *to = 0;
    return from;
}

static void lower(char *text)
{
    for (; *text; text++)
        if (*text >= 'A' && *text <= 'Z') *text = (char)(*text - 'A' + 'a');
}

/* Of what follows "=": a comment goes, with the white space before. */
static char *value_of(char *from, char *to)
{
    for (char *p = from; p + 1 < to; p++)
        if (blank(*p) && (p[1] == '#' || p[1] == ';')) to = p;
    return trim(from, to);
}

static vp_status wrong(const reader *r, const char *what, vp_error *err)
{
    return vpi_fail(err, VP_E_DATA, NULL, "line %u: %s", r->line, what);
}

static vpi_s3_setting *add(reader *r, const char *name, const char *sub, const char *value, vp_error *err)
{
    vpi_s3_ini *ini = r->ini;

    if (ini->count == SETTINGS_MAX) {
        vpi_fail(err, VP_E_LIMIT, "INPUT_LIMIT", "more than %zu settings", SETTINGS_MAX);
        return NULL;
    }
    if (!VPI_GROW(ini->settings, ini->count, ini->cap)) {
        vpi_fail_nomem(err);
        return NULL;
    }
    ini->settings[ini->count] =
        (vpi_s3_setting){ .section = r->section, .in = r->in, .name = name, .sub = sub, .value = value };
    return &ini->settings[ini->count++];
}

/* "x", "\"x y\"" */
static char *unquote(char *name)
{
    size_t n = strlen(name);

    if (n < 2 || (name[0] != '"' && name[0] != '\'') || name[n - 1] != name[0]) return name;
    name[n - 1] = 0;
    return name + 1;
}

static void take_section(reader *r, char *name)
{
    static const struct {
        const char *word;
        vpi_s3_section section;
    } words[] = { { "profile", VPI_S3_PROFILE },
                  { "sso-session", VPI_S3_SSO_SESSION },
                  { "services", VPI_S3_SERVICES } };

    r->section = VPI_S3_OTHER;
    r->in = name;
    if (r->credentials) {
        r->section = VPI_S3_PROFILE;
    } else if (strcmp(name, "default") == 0) {
        r->section = VPI_S3_PROFILE;
        r->in = in_plain_default;
    }
    for (size_t i = 0; i < VPI_COUNT(words) && !r->credentials; i++) {
        size_t n = strlen(words[i].word);

        if (strncmp(name, words[i].word, n) != 0 || !blank(name[n])) continue;
        r->section = words[i].section;
        r->in = unquote(trim(name + n, name + strlen(name)));
    }
    if (r->section == VPI_S3_PROFILE && r->in != in_plain_default && strcmp(r->in, "default") == 0)
        r->default_prefix = !r->credentials;
}

static vp_status read_section(reader *r, char *line, vp_error *err)
{
    char *end = strchr(line, ']'), *behind;

    if (!end) return wrong(r, "a section without \"]\"", err);
    for (behind = end + 1; blank(*behind); behind++) {}
    if (*behind && *behind != '#' && *behind != ';') return wrong(r, "something behind \"]\"", err);
    take_section(r, trim(line + 1, end));
    r->begun = true;
    r->at = NULL;
    return add(r, NULL, NULL, NULL, err) ? VP_OK : err ? err->status : VP_E_NOMEM;
}

/* "name = value", in place. NULL: it is not. */
static char *split(char *line, char *end, char **value)
{
    char *equals = memchr(line, '=', (size_t)(end - line));

    if (!equals || equals == line) return NULL;
    *value = value_of(equals + 1, end);
    line = trim(line, equals);
    lower(line);
    return line[0] ? line : NULL;
}

static vp_status read_setting(reader *r, char *line, char *end, size_t depth, vp_error *err)
{
    char *value, *name;

    if (!r->begun) return wrong(r, "a setting before the first section", err);
    name = split(line, end, &value);
    if (!name) return wrong(r, "neither a section nor \"name = value\"", err);
    r->at = add(r, name, NULL, value, err);
    if (!r->at) return err ? err->status : VP_E_NOMEM;
    r->depth = depth;
    r->block = !value[0];
    r->end = value + strlen(value);
    return VP_OK;
}

static vp_status read_deeper(reader *r, char *line, char *end, vp_error *err)
{
    const char *block = r->at->name;
    char *value, *name;
    size_t n;

    if (r->block) {
        name = split(line, end, &value);
        if (!name) return wrong(r, "not \"name = value\" in a block", err);
        if (!add(r, block, name, value, err)) return err ? err->status : VP_E_NOMEM;
        r->at = &r->ini->settings[r->ini->count - 1]; /* the array may have moved; its name is the block's */
        return VP_OK;
    }
    line = trim(line, end);
    n = strlen(line);
    /* There is room: at least a line break and a blank stand between them. */
    *r->end++ = '\n';
    memmove(r->end, line, n + 1);
    r->end += n;
    return VP_OK;
}

static vp_status read_line(reader *r, char *line, char *end, vp_error *err)
{
    char *p = line;
    size_t depth;

    while (p < end && blank(end[-1])) end--;
    *end = 0;
    while (blank(*p)) p++;
    depth = (size_t)(p - line);
    if (p == end || *p == '#' || *p == ';') return VP_OK;
    if ((size_t)(end - line) > VPI_S3_LINE_MAX) return wrong(r, "too long", err);
    if (r->at && depth > r->depth) return read_deeper(r, p, end, err);
    return *p == '[' ? read_section(r, p, err) : read_setting(r, p, end, depth, err);
}

/* Of [default] and [profile default] the second one counts, wherever it stands. */
static void choose_default(reader *r)
{
    for (size_t i = 0; i < r->ini->count && r->default_prefix; i++)
        if (r->ini->settings[i].in == in_plain_default) r->ini->settings[i].section = VPI_S3_OTHER;
}

vp_status vpi_s3_ini_parse(vpi_s3_ini *ini, const void *text, size_t size, bool credentials, vp_error *err)
{
    reader r = { .ini = ini, .credentials = credentials };
    vp_error own = VP_ERROR_INIT;
    vp_status st = VP_OK;
    char *p, *end;

    *ini = (vpi_s3_ini){ 0 };
    if (!err) err = &own;
    if (size > VPI_S3_FILE_MAX) return vpi_fail(err, VP_E_LIMIT, "INPUT_LIMIT", "larger than 1 MiB");
    ini->text = vpi_alloc(size + 1);
    if (!ini->text) return vpi_fail_nomem(err);
    ini->size = size;
    if (size) memcpy(ini->text, text, size);
    ini->text[size] = 0;
    p = ini->text;
    end = p + size;
    if (size >= 3 && memcmp(p, "\xEF\xBB\xBF", 3) == 0) p += 3;
    if (memchr(p, 0, (size_t)(end - p))) st = vpi_fail(err, VP_E_DATA, NULL, "it is not text");
    while (p < end && st >= 0) {
        char *stop = memchr(p, '\n', (size_t)(end - p));

        if (!stop) stop = end;
        r.line++;
        st = read_line(&r, p, stop, err);
        p = stop + 1;
    }
    choose_default(&r);
    if (st < 0) vpi_s3_ini_dispose(ini);
    return st;
}

void vpi_s3_ini_dispose(vpi_s3_ini *ini)
{
    vpi_s3_wipe(ini->text, ini->size);
    vpi_free(ini->text);
    vpi_free(ini->settings);
    *ini = (vpi_s3_ini){ 0 };
}

bool vpi_s3_ini_has(const vpi_s3_ini *ini, vpi_s3_section section, const char *in)
{
    for (size_t i = 0; i < ini->count; i++)
        if (ini->settings[i].section == section && strcmp(ini->settings[i].in, in) == 0) return true;
    return false;
}

const char *vpi_s3_ini_get(const vpi_s3_ini *ini, vpi_s3_section section, const char *in, const char *name,
                           const char *sub)
{
    for (size_t i = ini->count; i > 0; i--) {
        const vpi_s3_setting *s = &ini->settings[i - 1];

        if (s->section == section && s->name && strcmp(s->in, in) == 0 && strcmp(s->name, name) == 0 &&
            vpi_streq(s->sub, sub))
            return s->value && s->value[0] ? s->value : NULL;
    }
    return NULL;
}
