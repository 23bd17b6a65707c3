/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A client: its settings, and connections that wait for the next request. */

#include "http_int.h"

#define CONNECT_TIMEOUT_MS 10000u
#define TIMEOUT_MS 30000u
#define IDLE_MAX 8u

#define TEXT_(x) #x
#define TEXT(x) TEXT_(x)
#define USER_AGENT "vodpipe/" TEXT(VP_VERSION_MAJOR) "." TEXT(VP_VERSION_MINOR) "." TEXT(VP_VERSION_PATCH)

static void slot_free(vpi_http_slot *slot)
{
    vpi_calm calm;

    if (!slot) return;
    vpi_calm_begin(&calm);
    if (slot->easy) curl_easy_cleanup(slot->easy);
    if (slot->multi) curl_multi_cleanup(slot->multi);
    vpi_calm_end(&calm);
    vpi_free(slot);
}

vp_status vpi_http_slot_take(vpi_http *http, vpi_http_slot **out, vp_error *err)
{
    vpi_http_slot *slot;

    pthread_mutex_lock(&http->lock);
    slot = http->synced.idle;
    if (slot) {
        http->synced.idle = slot->next;
        http->synced.idle_count--;
    }
    pthread_mutex_unlock(&http->lock);
    if (!slot) {
        slot = vpi_calloc(1, sizeof(*slot));
        if (!slot) return vpi_fail_nomem(err);
        slot->multi = curl_multi_init();
        slot->easy = curl_easy_init();
        if (!slot->multi || !slot->easy) {
            slot_free(slot);
            return vpi_fail_nomem(err);
        }
    }
    *out = slot;
    return VP_OK;
}

void vpi_http_slot_give(vpi_http *http, vpi_http_slot *slot, bool reuse)
{
    if (reuse) {
        curl_easy_reset(slot->easy);
        pthread_mutex_lock(&http->lock);
        if (http->synced.idle_count < IDLE_MAX) {
            slot->next = http->synced.idle;
            http->synced.idle = slot;
            http->synced.idle_count++;
            slot = NULL;
        }
        pthread_mutex_unlock(&http->lock);
    }
    slot_free(slot);
}

static bool copy(char **to, const char *from)
{
    *to = vpi_strdup(from);
    return *to || !from;
}

vp_status vpi_http_new(vp_context *context, const vp_http_options *options, vpi_http **out, vp_error *err)
{
    vp_http_options o = VP_HTTP_OPTIONS_INIT;
    vpi_http *http;

    *out = NULL;
    VPI_TRY(vpi_context_check(context, err));
    VPI_TRY(vpi_copy_struct(&o, sizeof(o), options, err));
    if (!vpi_http_headers_valid(o.headers))
        return vpi_fail(err, VP_E_ARG, NULL, "headers: not lines of \"Name: value\"");
    http = vpi_calloc(1, sizeof(*http));
    if (!http) return vpi_fail_nomem(err);
    /* Counted by libcurl itself, and safe on several threads since 7.84. */
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        vpi_free(http);
        return vpi_fail(err, VP_E_INTERNAL, NULL, "libcurl cannot be started");
    }
    pthread_mutex_init(&http->lock, NULL);
    http->context = vp_context_ref(context);
    http->fork_mark = vpi_fork_mark();
    http->connect_timeout_ms = o.connect_timeout_ms ? o.connect_timeout_ms : CONNECT_TIMEOUT_MS;
    http->timeout_ms = o.timeout_ms ? o.timeout_ms : TIMEOUT_MS;
    if (!copy(&http->ca_file, o.ca_file) || !copy(&http->cert_file, o.cert_file) ||
        !copy(&http->key_file, o.key_file) || !copy(&http->key_passphrase, o.key_passphrase) ||
        !copy(&http->headers, o.headers) ||
        !copy(&http->user_agent, o.user_agent ? o.user_agent : USER_AGENT)) {
        vpi_http_free(http);
        return vpi_fail_nomem(err);
    }
    *out = http;
    return VP_OK;
}

static void wipe_text(char *text)
{
    static void *(*const volatile set)(void *, int, size_t) = memset;

    if (text) set(text, 0, strlen(text));
    vpi_free(text);
}

vpi_http *vpi_http_free(vpi_http *http)
{
    if (!http) return NULL;
    /*
     * A forked child shares the connections of its parent: closing them there would say goodbye in its name. Their
     * memory stays, libcurl has no way to give it back alone.
     */
    if (!vpi_forked(http->fork_mark)) {
        while (http->synced.idle) {
            vpi_http_slot *slot = http->synced.idle;

            http->synced.idle = slot->next;
            slot_free(slot);
        }
        curl_global_cleanup();
    }
    pthread_mutex_destroy(&http->lock);
    vp_context_unref(http->context);
    vpi_free(http->ca_file);
    vpi_free(http->cert_file);
    vpi_free(http->key_file);
    vpi_free(http->user_agent);
    wipe_text(http->key_passphrase);
    wipe_text(http->headers);
    vpi_free(http);
    return NULL;
}
