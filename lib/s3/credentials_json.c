/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Credentials as JSON, from a process, a container's agent or the instance metadata.
 *
 * jansson keeps copies of what it reads in memory that nobody but it can reach. So it is given the document with each
 * string value replaced by the place where that value stands: {"AccessKeyId":"17+20"}. Same idea as
 * lib/crypt/key_file.c.
 */
#include <stdio.h>

#include <jansson.h>

#include "credentials.h"

#define NAME_MAX_ 64u /* longer names are none that are looked for */

/* Index of the quote that ends the string whose quote is at `at`; size when there is none. */
static size_t string_end(const char *text, size_t size, size_t at)
{
    for (at++; at < size && text[at] != '"'; at++)
        if (text[at] == '\\') at++;
    return VPI_MIN(at, size);
}

static bool names_a_member(const char *text, size_t size, size_t end)
{
    for (end++; end < size && memchr(" \t\r\n", text[end], 4);) end++;
    return end < size && text[end] == ':';
}

/* Names stay, values go. False: a name that is none of ours, and might be a secret in a document that is none. */
static bool hide(const char *text, size_t size, vpi_buf *out)
{
    for (size_t at = 0; at < size; at++) {
        size_t end;

        if (text[at] != '"') {
            vpi_buf_u8(out, (unsigned char)text[at]);
            continue;
        }
        end = string_end(text, size, at);
        if (names_a_member(text, size, end)) {
            if (end - at > NAME_MAX_) return false;
            vpi_buf_add(out, text + at, VPI_MIN(end + 1, size) - at);
        } else {
            vpi_buf_printf(out, "\"%zu+%zu\"", at + 1, end - at - 1);
        }
        at = end;
    }
    return true;
}

/* Only what may stand in a header can be meant: \u0041, never \u0000 or beyond ASCII. */
static int unescape(const char **p, const char *end)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    const char *found;
    int v = 0;

    if (*p == end) return -1;
    if (**p != 'u') {
        found = memchr(from, *(*p)++, sizeof(from) - 1);
        return found ? to[found - from] : -1;
    }
    (*p)++;
    for (int i = 0; i < 4; i++, (*p)++) {
        int c = *p == end ? 0 : **p;

        if (c >= '0' && c <= '9')
            v = v * 16 + c - '0';
        else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
            v = v * 16 + (c | 0x20) - 'a' + 10;
        else
            return -1;
    }
    return v >= 0x20 && v < 0x7F ? v : -1;
}

static bool number(const char **p, size_t *value)
{
    *value = 0;
    if (**p < '0' || **p > '9') return false;
    for (; **p >= '0' && **p <= '9'; (*p)++)
        *value = *value * 10 + (size_t)(**p - '0'); /* at most FILE_MAX: ours */
    return true;
}

/* The value of a member, copied; *out NULL: there is none, or it is null. */
static vp_status member(const json_t *root, const char *text, size_t size, const char *name, char **out,
                        vp_error *err)
{
    const json_t *v = json_object_get(root, name);
    const char *place = json_string_value(v), *p, *end;
    size_t at, length, n = 0;

    *out = NULL;
    if (!v || json_is_null(v)) return VP_OK;
    if (!place || !number(&place, &at) || *place++ != '+' || !number(&place, &length) || *place ||
        at > size || length > size - at)
        return vpi_fail(err, VP_E_DATA, NULL, "%s is not a string", name);
    *out = vpi_calloc(1, length + 1);
    if (!*out) return vpi_fail_nomem(err);
    for (p = text + at, end = p + length; p < end;) {
        int c = (unsigned char)*p++;

        if (c == '\\') c = unescape(&p, end);
        if (c <= 0) return vpi_fail(err, VP_E_DATA, NULL, "%s has a character that cannot be in it", name);
        (*out)[n++] = (char)c;
    }
    return VP_OK;
}

/* What a refusal says of itself: {"Code":"...","Message":"..."}, of containers {"code":...}. */
static vp_status refusal(const json_t *root, const char *text, size_t size, vp_error *err)
{
    char *code = NULL;
    vp_error ignored = VP_ERROR_INIT;
    vp_status st = VP_OK;

    if (member(root, text, size, "Code", &code, &ignored) < 0 || !code) {
        vpi_free(code);
        if (member(root, text, size, "code", &code, &ignored) < 0) {
            vpi_free(code);
            code = NULL;
        }
    }
    if (code && !vpi_streq(code, "Success")) {
        size_t n = 0;

        while (code[n] && n < 40 && ((code[n] | 0x20) >= 'a' && (code[n] | 0x20) <= 'z')) n++;
        st = code[n] || !n
                 ? vpi_fail(err, VP_E_AUTH, "CREDENTIALS_MISSING", "the answer is a refusal")
                 : vpi_fail(err, VP_E_AUTH, "CREDENTIALS_MISSING", "the answer is a refusal, %s", code);
    }
    vpi_s3_text_free(code);
    return st;
}

static vp_status read_members(const json_t *root, const char *text, size_t size, vpi_s3_form form,
                              vpi_s3_secret *out, vp_error *err)
{
    bool process = form == VPI_S3_FORM_PROCESS;
    char *access = NULL, *secret = NULL, *token = NULL, *expires = NULL;
    vp_status st;

    if (!json_is_object(root)) return vpi_fail(err, VP_E_DATA, NULL, "the answer is not a JSON object");
    if (process && json_integer_value(json_object_get(root, "Version")) != 1)
        return vpi_fail(err, VP_E_DATA, NULL, "Version is not 1");
    if (!process) VPI_TRY(refusal(root, text, size, err));
    VPI_GO(member(root, text, size, "AccessKeyId", &access, err));
    VPI_GO(member(root, text, size, "SecretAccessKey", &secret, err));
    VPI_GO(member(root, text, size, process ? "SessionToken" : "Token", &token, err));
    VPI_GO(member(root, text, size, "Expiration", &expires, err));
    st = !access || !secret ? vpi_fail(err, VP_E_DATA, NULL, "no %s in the answer",
                                       access ? "SecretAccessKey" : "AccessKeyId")
                            : vpi_s3_secret_make(out, access, secret, token, expires, err);
done:
    vpi_s3_text_free(access);
    vpi_s3_text_free(secret);
    vpi_s3_text_free(token);
    vpi_free(expires);
    return st;
}

vp_status vpi_s3_json(const void *text, size_t size, vpi_s3_form form, vpi_s3_secret *out, vp_error *err)
{
    vpi_buf hidden = { 0 };
    json_error_t at;
    json_t *root = NULL;
    vp_status st = VP_OK;

    if (size > VPI_S3_FILE_MAX) return vpi_fail(err, VP_E_LIMIT, "INPUT_LIMIT", "the answer is too long");
    if (!hide(text, size, &hidden))
        st = vpi_fail(err, VP_E_DATA, NULL, "the answer is not credentials in JSON");
    if (st >= 0 && vpi_buf_failed(&hidden)) st = vpi_fail_nomem(err);
    if (st >= 0) {
        root = json_loadb(hidden.size ? (const char *)hidden.data : "", hidden.size, 0, &at);
        /* its text quotes the document */
        if (!root)
            st = json_error_code(&at) == json_error_out_of_memory || at.line < 0
                     ? vpi_fail_nomem(err)
                     : vpi_fail(err, VP_E_DATA, NULL, "the answer is not JSON (line %d)", at.line);
    }
    vpi_s3_buf_wipe(&hidden);
    if (root) st = read_members(root, text, size, form, out, err);
    json_decref(root);
    return st;
}
