/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>

#include "model/json.h"

#define VODPIPE_JSON 1 /* the number that documents begin with */
#define RATIO_TEXT 24

static vp_status refuse(vp_error *err, const char *where, const char *name, const char *what)
{
    return vpi_fail(err, VP_E_DATA, "INPUT_CORRUPT", "%s%s%s: %s", where, where[0] ? "." : "", name, what);
}

vp_status vpi_json_parse(const void *data, size_t size, const char *what, json_t **out, vp_error *err)
{
    json_error_t where;

    *out = NULL;
    if (!data || size == 0) return vpi_fail(err, VP_E_DATA, "INPUT_CORRUPT", "%s: empty", what);
    /* Without JSON_ALLOW_NUL an escaped NUL is an error too, so that strings are what C sees of them. */
    *out = json_loadb(data, size, JSON_REJECT_DUPLICATES, &where);
    if (*out) return VP_OK;
    /* Out of memory is told by its code at times, else by an error that names no place in the text. */
    if (json_error_code(&where) == json_error_out_of_memory || where.line < 0) return vpi_fail_nomem(err);
    return vpi_fail(err, VP_E_DATA, "INPUT_CORRUPT", "%s: not JSON at line %d, column %d: %s", what,
                    where.line, where.column, where.text);
}

vp_status vpi_json_fields(const json_t *object, const char *where, const char *const *allowed, vp_error *err)
{
    void *it;

    if (!json_is_object(object)) return vpi_fail(err, VP_E_DATA, "INPUT_CORRUPT", "%s: not an object", where);
    /* jansson's iterators take a non-const object; nothing is changed. */
    for (it = json_object_iter((json_t *)object); it; it = json_object_iter_next((json_t *)object, it)) {
        const char *key = json_object_iter_key(it);
        size_t i = 0;

        while (allowed[i] && strcmp(allowed[i], key) != 0) i++;
        if (!allowed[i]) return refuse(err, where, key, "unknown field");
    }
    return VP_OK;
}

/* Field of an object; *out NULL when missing and not required. */
static vp_status get(const json_t *object, const char *where, const char *name, bool required,
                     const json_t **out, vp_error *err)
{
    if (!json_is_object(object)) return vpi_fail(err, VP_E_DATA, "INPUT_CORRUPT", "%s: not an object", where);
    *out = json_object_get(object, name);
    if (!*out && required) return refuse(err, where, name, "missing");
    return VP_OK;
}

vp_status vpi_json_version(const json_t *object, const char *where, bool required, vp_error *err)
{
    const json_t *v = NULL;

    VPI_TRY(get(object, where, "vodpipe", required, &v, err));
    if (!v) return VP_OK;
    if (!json_is_integer(v) || json_integer_value(v) < VODPIPE_JSON) {
        return refuse(err, where, "vodpipe", "not the number of a version");
    }
    if (json_integer_value(v) > VODPIPE_JSON) {
        return vpi_fail(err, VP_E_VERSION, NULL,
                        "%s.vodpipe: %lld is newer than this library, which reads %d", where,
                        (long long)json_integer_value(v), VODPIPE_JSON);
    }
    return VP_OK;
}

/* Plain decimal digits without a leading zero. */
static bool parse_digits(const char *text, size_t size, uint64_t *out)
{
    uint64_t v = 0;
    size_t i;

    if (size == 0 || (size > 1 && text[0] == '0')) return false;
    for (i = 0; i < size; i++) {
        if (text[i] < '0' || text[i] > '9') return false;
        if (!vpi_mul_u64(v, 10, &v) || !vpi_add_u64(v, (uint64_t)(text[i] - '0'), &v)) return false;
    }
    *out = v;
    return true;
}

vp_status vpi_json_u64(const json_t *object, const char *where, const char *name, bool required, uint64_t max,
                       uint64_t *out, vp_error *err)
{
    const json_t *v = NULL;
    uint64_t n = 0;

    VPI_TRY(get(object, where, name, required, &v, err));
    if (!v) return VP_OK;
    if (json_is_string(v)) {
        if (!parse_digits(json_string_value(v), json_string_length(v), &n)) {
            return refuse(err, where, name, "not a whole number");
        }
    } else if (json_is_integer(v) && json_integer_value(v) >= 0) {
        n = (uint64_t)json_integer_value(v);
    } else {
        return refuse(err, where, name, "not a whole number");
    }
    if (n > max) return refuse(err, where, name, "too large");
    *out = n;
    return VP_OK;
}

vp_status vpi_json_i64(const json_t *object, const char *where, const char *name, bool required, int64_t *out,
                       vp_error *err)
{
    const json_t *v = NULL;
    const char *text;
    uint64_t n = 0;
    bool minus;

    VPI_TRY(get(object, where, name, required, &v, err));
    if (!v) return VP_OK;
    if (json_is_integer(v)) {
        *out = json_integer_value(v);
        return VP_OK;
    }
    if (!json_is_string(v)) return refuse(err, where, name, "not a whole number");
    text = json_string_value(v);
    minus = text[0] == '-';
    if (!parse_digits(text + minus, json_string_length(v) - minus, &n) || (minus && n == 0)) {
        return refuse(err, where, name, "not a whole number");
    }
    if (n > (uint64_t)INT64_MAX + minus) return refuse(err, where, name, "too large");
    *out = minus ? (int64_t)(0 - n) : (int64_t)n;
    return VP_OK;
}

vp_status vpi_json_u32(const json_t *object, const char *where, const char *name, bool required, uint32_t max,
                       uint32_t *out, vp_error *err)
{
    uint64_t v = UINT64_MAX;

    VPI_TRY(vpi_json_u64(object, where, name, required, max, &v, err));
    if (v != UINT64_MAX) *out = (uint32_t)v;
    return VP_OK;
}

vp_status vpi_json_bool(const json_t *object, const char *where, const char *name, bool required, bool *out,
                        vp_error *err)
{
    const json_t *v = NULL;

    VPI_TRY(get(object, where, name, required, &v, err));
    if (!v) return VP_OK;
    if (!json_is_boolean(v)) return refuse(err, where, name, "neither true nor false");
    *out = json_is_true(v);
    return VP_OK;
}

vp_status vpi_json_str(const json_t *object, const char *where, const char *name, bool required, char **out,
                       vp_error *err)
{
    const json_t *v = NULL;
    char *copy;

    VPI_TRY(get(object, where, name, required, &v, err));
    if (!v) return VP_OK;
    if (!json_is_string(v)) return refuse(err, where, name, "not a string");
    copy = vpi_strdup(json_string_value(v));
    if (!copy) return vpi_fail_nomem(err);
    vpi_free(*out);
    *out = copy;
    return VP_OK;
}

static vp_status read_pair(const json_t *object, const char *where, const char *name, bool required,
                           char between, const char *example, uint32_t *num, uint32_t *den, vp_error *err)
{
    const json_t *v = NULL;
    const char *text, *slash;
    uint64_t n = 0, d = 0;

    VPI_TRY(get(object, where, name, required, &v, err));
    if (!v) return VP_OK;
    text = json_is_string(v) ? json_string_value(v) : "";
    slash = strlen(text) < RATIO_TEXT ? strchr(text, between) : NULL;
    if (!slash || !parse_digits(text, (size_t)(slash - text), &n) ||
        !parse_digits(slash + 1, strlen(slash + 1), &d)) {
        return refuse(err, where, name, example);
    }
    if (n > INT32_MAX || d > INT32_MAX || d == 0 || (n == 0 && d != 1)) {
        return refuse(err, where, name, "a ratio out of range");
    }
    *num = (uint32_t)n;
    *den = (uint32_t)d;
    return VP_OK;
}

vp_status vpi_json_ratio(const json_t *object, const char *where, const char *name, bool required,
                         uint32_t *num, uint32_t *den, vp_error *err)
{
    return read_pair(object, where, name, required, '/', "not a ratio like \"30000/1001\"", num, den, err);
}

vp_status vpi_json_shape(const json_t *object, const char *where, const char *name, bool required,
                         uint32_t *num, uint32_t *den, vp_error *err)
{
    return read_pair(object, where, name, required, ':', "not a shape like \"16:11\"", num, den, err);
}

vp_status vpi_json_array(const json_t *object, const char *where, const char *name, bool required,
                         const json_t **out, vp_error *err)
{
    const json_t *v = NULL;

    *out = NULL;
    VPI_TRY(get(object, where, name, required, &v, err));
    if (!v) return VP_OK;
    if (!json_is_array(v)) return refuse(err, where, name, "not an array");
    *out = v;
    return VP_OK;
}

vp_status vpi_json_object(const json_t *object, const char *where, const char *name, bool required,
                          const json_t **out, vp_error *err)
{
    const json_t *v = NULL;

    *out = NULL;
    VPI_TRY(get(object, where, name, required, &v, err));
    if (!v) return VP_OK;
    if (!json_is_object(v)) return refuse(err, where, name, "not an object");
    *out = v;
    return VP_OK;
}
