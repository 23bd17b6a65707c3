/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Where credentials come from: one place after another, the first that has some counts (docs.aws.amazon.com/sdkref,
 * "Understand the credential provider chain"). A place that is set up and does not work ends the search: what comes
 * after it would be somebody else's.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "credentials.h"

#define TIME_US (INT64_C(10) * 1000000) /* for all requests of one call */
#define NEAR_CONNECT_MS 1000u
#define REMOTE_CONNECT_MS 4000u
#define FIRST_PAUSE_MS 100
#define SLICE_MS 50

/* ---- what the places use ---- */

const char *vpi_s3_env(const char *name)
{
    const char *value = getenv(name);

    return value && value[0] ? value : NULL;
}

bool vpi_s3_env_true(const char *name)
{
    const char *value = getenv(name);

    return value && strcasecmp(value, "true") == 0;
}

vp_status vpi_s3_note(vpi_s3_chain *chain, const char *format, ...)
{
    size_t n = strlen(chain->notes), room = sizeof(chain->notes) - n;
    va_list args;

    if (n && room > 2) {
        memcpy(chain->notes + n, "; ", 3);
        n += 2;
        room -= 2;
    }
    va_start(args, format);
    vsnprintf(chain->notes + n, room, format, args);
    va_end(args);
    return VP_END;
}

bool vpi_s3_fault_of_place(vp_status status)
{
    switch (status) {
    case VP_E_IO:
    case VP_E_DATA:
    case VP_E_AUTH:
    case VP_E_LIMIT:
    case VP_E_ARG:
    case VP_E_UNSUPPORTED:
        return true;
    default:
        return false;
    }
}

static bool may_work_later(const vp_error *e)
{
    return vpi_streq(e->reason, "CONNECTION_FAILED") || vpi_streq(e->reason, "TLS_FAILED") ||
           vpi_streq(e->reason, "TIMEOUT");
}

vp_status vpi_s3_where(vp_error *err, const vp_error *from, const char *format, ...)
{
    bool later = may_work_later(from);
    char where[sizeof(from->message)];
    va_list args;
    vp_status st = from->status;

    if (!vpi_s3_fault_of_place(st)) {
        vpi_error_copy(err, from);
        return st;
    }
    va_start(args, format);
    vsnprintf(where, sizeof(where), format, args);
    va_end(args);
    st = later ? st : VP_E_AUTH;
    vpi_fail(err, st, later ? from->reason : "CREDENTIALS_MISSING", "%s: %s", where, from->message);
    if (err && !err->domain) {
        err->native = from->native;
        err->domain = from->domain;
        err->flags |= later ? from->flags & VP_ERRF_RETRYABLE : 0;
    }
    return st;
}

/* Regular ones only: reading from a pipe could wait for ever. */
static vp_status read_open(int fd, const char *path, vpi_buf *out, vp_error *err)
{
    struct stat info;
    ssize_t n = 1;

    if (fstat(fd, &info) != 0) return vpi_fail_errno(err, errno, NULL, path);
    if (S_ISDIR(info.st_mode)) return vpi_fail_errno(err, EISDIR, NULL, path);
    if (S_ISCHR(info.st_mode)) { /* /dev/null: how people say "no file" */
        if (!vpi_buf_reserve(out, 1)) return vpi_fail_nomem(err);
        out->data[0] = 0;
        return VP_OK;
    }
    if (!S_ISREG(info.st_mode)) return vpi_fail(err, VP_E_DATA, NULL, "%s: not a regular file", path);
    if (info.st_size > (off_t)VPI_S3_FILE_MAX)
        return vpi_fail(err, VP_E_LIMIT, "INPUT_LIMIT", "%s: larger than 1 MiB", path);
    /* in one piece, also where it grows meanwhile; files in /proc tell no size */
    if (!vpi_buf_reserve(out, info.st_size ? (size_t)info.st_size + 2 : VPI_S3_FILE_MAX + 2))
        return vpi_fail_nomem(err);
    while (n != 0) {
        size_t room = out->capacity - out->size - 1;

        if (!room) return vpi_fail(err, VP_E_DATA, NULL, "%s: it changes while it is read", path);
        n = read(fd, out->data + out->size, room);
        if (n < 0 && errno != EINTR) return vpi_fail_errno(err, errno, NULL, path);
        if (n > 0) out->size += (size_t)n;
    }
    out->data[out->size] = 0;
    return VP_OK;
}

vp_status vpi_s3_read_file(const char *path, vpi_buf *out, vp_error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    vp_status st;

    if (fd < 0) return vpi_fail_errno(err, errno, NULL, path);
    st = read_open(fd, path, out, err);
    close(fd);
    if (st < 0) vpi_s3_buf_wipe(out);
    return st;
}

/* ---- requests ---- */

vp_status vpi_s3_pause(vpi_s3_chain *chain, int ms, vp_error *err)
{
    int64_t until = vpi_now_us() + (int64_t)ms * 1000;

    for (;;) {
        int64_t left = until - vpi_now_us();
        struct timespec t = { .tv_nsec = (long)VPI_MIN(left, SLICE_MS * 1000) * 1000 };

        VPI_TRY(vpi_cancel_check(chain->cancel, err));
        VPI_TRY(vpi_cancel_check(vpi_context_cancel(chain->context), err));
        if (left <= 0) return VP_OK;
        nanosleep(&t, NULL);
    }
}

vp_status vpi_s3_ask(vpi_s3_chain *chain, vpi_http *http, const vpi_http_request *request, unsigned attempts,
                     vpi_http_answer *out, vp_error *err)
{
    vpi_http_request r = *request;
    int pause = FIRST_PAUSE_MS;

    for (;;) {
        int64_t left_ms = (chain->deadline_us - vpi_now_us()) / 1000;
        vp_error own = VP_ERROR_INIT;
        vp_status st;

        r.timeout_ms = (uint32_t)VPI_CLAMP(left_ms, 1, (int64_t)request->timeout_ms);
        st = vpi_http_request_run(http, &r, chain->cancel, out, &own);
        attempts--;
        left_ms = (chain->deadline_us - vpi_now_us()) / 1000 - pause;
        if (!attempts || left_ms <= 0 ||
            (st < 0 ? !(own.flags & VP_ERRF_RETRYABLE) : !vpi_http_retryable(out->status))) {
            if (st < 0) vpi_error_copy(err, &own);
            return st;
        }
        vpi_http_answer_dispose(out);
        VPI_TRY(vpi_s3_pause(chain, pause, err));
        pause *= 2;
    }
}

vp_status vpi_s3_refused(vp_error *err, const char *url, const vpi_http_answer *answer, const char *code)
{
    bool later = vpi_http_retryable(answer->status);
    vp_status st = later ? VP_E_IO : VP_E_AUTH;
    char origin[VPI_S3_ORIGIN];

    vpi_http_origin(url, origin, sizeof(origin));
    vpi_fail(err, st, later ? "CONNECTION_FAILED" : "CREDENTIALS_MISSING", "%s answers %d%s%s%s", origin,
             answer->status, code[0] ? " (" : "", code, code[0] ? ")" : "");
    if (err) {
        err->native = answer->status;
        err->domain = VP_DOM_HTTP;
        if (later) err->flags |= VP_ERRF_RETRYABLE;
    }
    return st;
}

/* ---- the environment ---- */

vp_status vpi_s3_from_environment(vpi_s3_chain *chain, vpi_s3_secret *out, vp_error *err)
{
    const char *access = vpi_s3_env("AWS_ACCESS_KEY_ID"), *secret = vpi_s3_env("AWS_SECRET_ACCESS_KEY");
    const char *token = vpi_s3_env("AWS_SESSION_TOKEN");
    vp_error own = VP_ERROR_INIT;
    vp_status st;

    if (!access) return vpi_s3_note(chain, "environment: no AWS_ACCESS_KEY_ID");
    if (!secret)
        return vpi_fail(err, VP_E_AUTH, "CREDENTIALS_MISSING",
                        "environment: AWS_ACCESS_KEY_ID without AWS_SECRET_ACCESS_KEY");
    if (!token) token = vpi_s3_env("AWS_SECURITY_TOKEN"); /* its old name */
    st = vpi_s3_secret_make(out, access, secret, token, vpi_s3_env("AWS_CREDENTIAL_EXPIRATION"), &own);
    if (st < 0) return vpi_s3_where(err, &own, "environment");
    if (!vpi_s3_secret_expired(out)) return VP_OK;
    vpi_s3_secret_wipe(out);
    return vpi_fail(err, VP_E_AUTH, "CREDENTIALS_MISSING",
                    "environment: the credentials have expired (AWS_CREDENTIAL_EXPIRATION)");
}

static vp_status web_identity(vpi_s3_chain *chain, vpi_s3_secret *out, vp_error *err)
{
    vpi_s3_role role = { .arn = vpi_s3_env("AWS_ROLE_ARN"), .session = vpi_s3_env("AWS_ROLE_SESSION_NAME") };
    const char *file = vpi_s3_env("AWS_WEB_IDENTITY_TOKEN_FILE");
    vp_error own = VP_ERROR_INIT;
    vp_status st;

    if (!file) return VP_END;
    if (!role.arn)
        return vpi_fail(err, VP_E_AUTH, "CREDENTIALS_MISSING",
                        "environment: AWS_WEB_IDENTITY_TOKEN_FILE without AWS_ROLE_ARN");
    st = vpi_s3_from_web_identity(chain, &role, file, out, &own);
    return st < 0 ? vpi_s3_where(err, &own, "environment: AWS_WEB_IDENTITY_TOKEN_FILE") : VP_OK;
}

/* ---- the order ---- */

static vp_status search(vpi_s3_chain *chain, const char **where, vpi_s3_secret *out, vp_error *err)
{
    vp_status st = VP_END;

    /* A profile that the host has named is meant; AWS's tools leave the environment out then. */
    *where = "the environment";
    if (!chain->given) st = vpi_s3_from_environment(chain, out, err);
    if (st != VP_END) return st;
    *where = "the web identity of the environment";
    if (!chain->given) st = web_identity(chain, out, err);
    if (st != VP_END) return st;
    *where = "the profile";
    VPI_TRY(vpi_s3_profile_load(chain, err));
    st = vpi_s3_from_profile(chain, out, err);
    if (st != VP_END) return st;
    *where = "the container's endpoint";
    st = vpi_s3_from_container(chain, out, err);
    if (st != VP_END) return st;
    *where = "instance metadata";
    st = vpi_s3_from_imds(chain, out, err);
    return st != VP_END ? st
                        : vpi_fail(err, VP_E_AUTH, "CREDENTIALS_MISSING", "no credentials: %s", chain->notes);
}

static vp_status begin(vpi_s3_chain *chain, vp_cancel *cancel, vp_error *err)
{
    const char *name = chain->given ? chain->given : vpi_s3_env("AWS_PROFILE");

    VPI_TRY(vpi_context_check(chain->context, err));
    chain->cancel = cancel;
    chain->deadline_us = vpi_now_us() + TIME_US;
    chain->named = name != NULL;
    chain->notes[0] = 0;
    chain->profile = vpi_strdup(name ? name : "default");
    return chain->profile ? VP_OK : vpi_fail_nomem(err);
}

static void end(vpi_s3_chain *chain)
{
    vpi_s3_profile_unload(chain);
    vpi_free(chain->profile);
    chain->profile = NULL;
    chain->cancel = NULL;
}

vp_status vpi_s3_chain_get(vpi_s3_chain *chain, vp_cancel *cancel, vpi_s3_secret *out, vp_error *err)
{
    vpi_s3_secret found = { 0 };
    vp_error own = VP_ERROR_INIT;
    const char *where;
    vp_status st;

    VPI_TRY(begin(chain, cancel, err));
    st = search(chain, &where, &found, &own);
    if (st < 0) {
        /* a deadline of the host looks like a server that does not answer */
        vp_status ended = vpi_cancel_check(cancel, err);

        if (ended >= 0) ended = vpi_cancel_check(vpi_context_cancel(chain->context), err);
        if (ended < 0)
            st = ended;
        else
            vpi_error_copy(err, &own);
        vpi_error_op(err, "s3.credentials");
        vpi_s3_secret_wipe(&found);
    } else {
        vpi_log(chain->context, VP_LOG_DEBUG, "s3", "credentials come from %s", where);
        vpi_s3_secret_wipe(out);
        *out = found;
    }
    end(chain);
    return st;
}

static vp_status copy(char **to, const char *from, vp_error *err)
{
    *to = vpi_strdup(from);
    return *to || !from ? VP_OK : vpi_fail_nomem(err);
}

vp_status vpi_s3_chain_place(vpi_s3_chain *chain, char **region, char **endpoint, vp_error *err)
{
    const char *r = NULL, *e = NULL;
    vp_status st;

    *region = *endpoint = NULL;
    VPI_TRY(begin(chain, NULL, err));
    st = vpi_s3_region(chain, &r, err);
    if (st >= 0) st = vpi_s3_endpoint(chain, "s3", &e, err);
    if (st >= 0) st = copy(region, r, err);
    if (st >= 0) st = copy(endpoint, e, err);
    end(chain);
    if (st >= 0) return VP_OK;
    vpi_free(*region);
    *region = NULL;
    vpi_error_op(err, "s3.credentials");
    return st;
}

/* ---- handle ---- */

/* The host's headers are for its storage, nobody else. */
static vp_status make_clients(vpi_s3_chain *chain, const vp_http_options *http, vp_error *err)
{
    vp_http_options o = VP_HTTP_OPTIONS_INIT;
    uint32_t given;

    VPI_TRY(vpi_copy_struct(&o, sizeof(o), http, err));
    o.headers = NULL;
    o.timeout_ms = 0;
    given = o.connect_timeout_ms;
    o.connect_timeout_ms = given && given < REMOTE_CONNECT_MS ? given : REMOTE_CONNECT_MS;
    VPI_TRY(vpi_http_new(chain->context, &o, &chain->remote, err));
    o.connect_timeout_ms = given && given < NEAR_CONNECT_MS ? given : NEAR_CONNECT_MS;
    return vpi_http_new(chain->context, &o, &chain->near, err);
}

vp_status vpi_s3_chain_new(vp_context *context, const char *profile, const vp_http_options *http,
                           vpi_s3_chain **out, vp_error *err)
{
    vpi_s3_chain *chain;
    vp_status st;

    *out = NULL;
    VPI_TRY(vpi_context_check(context, err));
    chain = vpi_calloc(1, sizeof(*chain));
    if (!chain) return vpi_fail_nomem(err);
    chain->context = vp_context_ref(context);
    st = copy(&chain->given, profile && profile[0] ? profile : NULL, err);
    if (st >= 0) st = make_clients(chain, http, err);
    if (st < 0) {
        vpi_s3_chain_free(chain);
        return st;
    }
    *out = chain;
    return VP_OK;
}

vpi_s3_chain *vpi_s3_chain_free(vpi_s3_chain *chain)
{
    if (!chain) return NULL;
    vpi_http_free(chain->remote);
    vpi_http_free(chain->near);
    vp_context_unref(chain->context);
    vpi_free(chain->given);
    vpi_free(chain);
    return NULL;
}
