/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <inttypes.h>
#include <stdio.h>

#include "model/json.h"
#include "model/utf8.h"

#define NUMBER_TEXT 48

/* Takes value over, also on failure. */
static bool set(json_t *object, const char *name, json_t *value)
{
    return value && json_object_set_new(object, name, value) == 0;
}

bool vpi_json_set_u64s(json_t *object, const char *name, uint64_t v)
{
    char text[NUMBER_TEXT];

    snprintf(text, sizeof(text), "%" PRIu64, v);
    return set(object, name, json_string(text));
}

bool vpi_json_set_u64(json_t *object, const char *name, uint64_t v)
{
    /* Numbers that readers with doubles would change are written as strings; our readers take both. */
    if (v >= (uint64_t)1 << 53) return vpi_json_set_u64s(object, name, v);
    return set(object, name, json_integer((json_int_t)v));
}

bool vpi_json_set_i64(json_t *object, const char *name, int64_t v)
{
    return set(object, name, json_integer(v));
}

bool vpi_json_set_str(json_t *object, const char *name, const char *v)
{
    const uint8_t *s = (const uint8_t *)v;
    vpi_buf b = { 0 };
    bool ok;

    while (*s) {
        size_t n = vpi_utf8_sequence(s);

        if (n > 0) {
            vpi_buf_add(&b, s, n);
        } else {
            vpi_buf_str(&b, VPI_UTF8_REPLACEMENT);
            n = 1;
        }
        s += n;
    }
    ok = !vpi_buf_failed(&b) && set(object, name, json_stringn(b.data ? (const char *)b.data : "", b.size));
    vpi_buf_dispose(&b);
    return ok;
}

bool vpi_json_set_bool(json_t *object, const char *name, bool v)
{
    return set(object, name, json_boolean(v));
}

static bool set_pair(json_t *object, const char *name, uint64_t a, char between, uint64_t b)
{
    char text[NUMBER_TEXT];

    snprintf(text, sizeof(text), "%" PRIu64 "%c%" PRIu64, a, between, b);
    return set(object, name, json_string(text));
}

bool vpi_json_set_ratio(json_t *object, const char *name, uint64_t num, uint64_t den)
{
    return set_pair(object, name, num, '/', den);
}

bool vpi_json_set_shape(json_t *object, const char *name, uint64_t num, uint64_t den)
{
    return set_pair(object, name, num, ':', den);
}

static int take(const char *text, size_t size, void *user)
{
    vpi_buf *out = user;

    vpi_buf_add(out, text, size);
    return vpi_buf_failed(out) ? -1 : 0;
}

static vp_status dump(const json_t *json, size_t flags, vpi_buf *out, vp_error *err)
{
    if (!json || json_dump_callback(json, take, out, flags) != 0) return vpi_fail_nomem(err);
    return VP_OK;
}

vp_status vpi_json_dump(const json_t *json, vpi_buf *out, vp_error *err)
{
    return dump(json, JSON_COMPACT | JSON_REAL_PRECISION(15), out, err);
}

vp_status vpi_json_dump_pretty(const json_t *json, vpi_buf *out, vp_error *err)
{
    VPI_TRY(dump(json, JSON_INDENT(2) | JSON_REAL_PRECISION(15), out, err));
    vpi_buf_u8(out, '\n');
    return vpi_buf_failed(out) ? vpi_fail_nomem(err) : VP_OK;
}
