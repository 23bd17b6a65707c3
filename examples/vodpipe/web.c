/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

/*
 * A title as a server of the web shows it, for `verify`. Nothing is written, and nothing is listed: what a title does
 * not name is not looked for.
 */

typedef struct web {
    vp_context *context;
    char *address;
    vp_http_options http;
} web;

static char *address_of(const web *w, const char *key)
{
    char *name = malloc(3 * strlen(key) + 1), *to = name, *whole;
    if (!name) return NULL;
    for (const unsigned char *p = (const unsigned char *)key; *p; p++) {
        bool plain = (*p >= '0' && *p <= '9') || (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') ||
                     strchr("-._~/", *p);
        if (plain)
            *to++ = (char)*p;
        else
            to += snprintf(to, 4, "%%%02X", *p);
    }
    *to = 0;
    whole = place_join(w->address, name);
    free(name);
    return whole;
}

static vp_status read_only(vp_error *err)
{
    return vp_error_set(err, VP_E_UNSUPPORTED, "UNSUPPORTED", 0, "nothing is written to an https:// address");
}

static vp_status web_begin(void *user, const vp_object_info *info, void **object, vp_error *err)
{
    (void)user;
    (void)info;
    *object = NULL;
    return read_only(err);
}

static vp_status web_write(void *user, void *object, const void *data, size_t size, vp_error *err)
{
    (void)user;
    (void)object;
    (void)data;
    (void)size;
    return read_only(err);
}

static vp_status web_commit(void *user, void *object, vp_error *err)
{
    (void)user;
    (void)object;
    return read_only(err);
}

static void web_abort(void *user, void *object)
{
    (void)user;
    (void)object;
}

static bool is_missing(const vp_error *err)
{
    return err->native == 404 || err->native == 410;
}

/* Asks for the size, which is when it is known whether there is such an object. */
static vp_status look(const web *w, const char *key, vp_source **out, uint64_t *size, vp_error *err)
{
    vp_error why = VP_ERROR_INIT;
    char *address = address_of(w, key);
    vp_status st = address ? vp_source_http(w->context, address, &w->http, out, &why)
                           : vp_error_set(&why, VP_E_NOMEM, "NOMEM", 0, "out of memory");
    if (st >= 0) st = vp_source_size(*out, size, &why);
    free(address);
    if (st >= 0) return VP_OK;
    *out = vp_source_unref(*out);
    if (is_missing(&why)) return VP_END;
    if (err) *err = why;
    return st;
}

static vp_status web_stat(void *user, const char *key, vp_object_info *info, vp_error *err)
{
    vp_source *source = NULL;
    uint64_t size = 0;
    vp_status st = look(user, key, &source, &size, err);
    vp_source_unref(source);
    if (st == VP_OK) info->size = size;
    return st;
}

static vp_status web_open(void *user, const char *key, vp_source **out, vp_error *err)
{
    uint64_t size = 0;
    *out = NULL;
    return look(user, key, out, &size, err);
}

static vp_status web_list(void *user, const char *prefix, vp_list_fn fn, void *fn_user, vp_error *err)
{
    (void)user;
    (void)prefix;
    (void)fn;
    (void)fn_user;
    (void)err;
    return VP_OK;
}

static void web_release(void *user)
{
    web *w = user;
    free(w->address);
    free(w);
}

vp_status web_sink(vp_context *context, const char *address, const vp_http_options *http, vp_sink **out,
                   vp_error *err)
{
    vp_sink_ops ops = VP_SINK_OPS_INIT;
    web *w = calloc(1, sizeof(*w));
    *out = NULL;
    if (w) w->address = strdup(address);
    if (!w || !w->address) {
        free(w);
        return vp_error_set(err, VP_E_NOMEM, "NOMEM", 0, "out of memory");
    }
    w->context = context; /* the sink holds it */
    w->http = *http;      /* its strings are of the environment */
    ops.begin = web_begin;
    ops.write = web_write;
    ops.commit = web_commit;
    ops.abort = web_abort;
    ops.stat = web_stat;
    ops.list = web_list;
    ops.open = web_open;
    ops.release = web_release;
    vp_status st = vp_sink_new(context, &ops, w, out, err);
    if (st < 0) web_release(w);
    return st;
}
