/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/error.h"

#define OWN_TEXT_ROOM 64

static const char *const names[] = {
    "OK",    "ARG",  "NOMEM",    "STATE",    "IO",   "DATA",    "UNSUPPORTED",
    "LIMIT", "AUTH", "CONFLICT", "CANCELED", "HOST", "VERSION", "INTERNAL",
};

const char *vp_status_name(vp_status status)
{
    if (status == VP_AGAIN) return "AGAIN";
    if (status == VP_END) return "END";
    if (status > 0 || status < VP_E_INTERNAL) return "UNKNOWN";
    return names[-status];
}

void vp_error_init(vp_error *err)
{
    if (!err) return;
    memset(err, 0, sizeof(*err));
    err->struct_size = (uint32_t)sizeof(*err);
}

/* Messages are one line for people and end up in logs and on terminals: control bytes become blanks. */
static void one_line(char *text)
{
    for (; *text; text++) {
        if ((uint8_t)*text < 0x20 || *text == 0x7F) *text = ' ';
    }
}

static void set_text(vp_error *err, const char *reason, const char *message)
{
    vpi_strlcpy(err->reason, reason, sizeof(err->reason));
    vpi_strlcpy(err->message, message, sizeof(err->message));
    one_line(err->reason);
    one_line(err->message);
}

vp_status vp_error_set(vp_error *err, vp_status status, const char *reason, int32_t native,
                       const char *message)
{
    if (status >= 0) status = VP_E_HOST;
    if (!err || err->status < 0) return status;
    err->status = status;
    err->native = native;
    err->domain = VP_DOM_HOST;
    err->flags |= VP_ERRF_FROM_HOST;
    set_text(err, reason && reason[0] ? reason : "HOST", message ? message : "a callback of the host failed");
    return status;
}

static const char *default_reason(vp_status status)
{
    return status == VP_E_IO ? "IO_ERROR" : vp_status_name(status);
}

vp_status vpi_fail(vp_error *err, vp_status status, const char *reason, const char *format, ...)
{
    /* One byte more than the message holds, so that the cut is made at a character border by set_text. */
    char text[sizeof(err->message) + 1];
    va_list args;
    int n;

    if (!err || err->status < 0) return status;
    va_start(args, format);
    n = vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    err->status = status;
    set_text(err, reason ? reason : default_reason(status), n < 0 ? vp_status_name(status) : text);
    return status;
}

vp_status vpi_fail_nomem(vp_error *err)
{
    return vpi_fail(err, VP_E_NOMEM, NULL, "out of memory");
}

/* Like strerror, but the same words in every locale and safe between threads. */
static const char *errno_text(int number, char *room, size_t capacity)
{
#if defined(__GLIBC__) && (__GLIBC__ > 2 || (__GLIBC__ == 2 && __GLIBC_MINOR__ >= 32))
    const char *text = strerrordesc_np(number);

    if (text) return text;
#endif
    snprintf(room, capacity, "error %d", number);
    return room;
}

static bool errno_retryable(int number)
{
    switch (number) {
    case EAGAIN:
    case EINTR:
    case EBUSY:
    case ENOMEM:
    case ENFILE:
    case EMFILE:
    case ENOSPC:
    case EDQUOT:
    case ENOBUFS:
    case ETIMEDOUT:
        return true;
    default:
        return false;
    }
}

vp_status vpi_fail_errno(vp_error *err, int number, const char *key, const char *what)
{
    bool full = number == ENOSPC || number == EDQUOT || number == EFBIG;
    vp_status status = number == ENOMEM ? VP_E_NOMEM : VP_E_IO;
    char room[OWN_TEXT_ROOM];

    if (!err || err->status < 0) return status;
    vpi_fail(err, status, full ? "DISK_FULL" : NULL, "%s: %s", what, errno_text(number, room, sizeof(room)));
    err->native = number;
    err->domain = VP_DOM_ERRNO;
    if (errno_retryable(number)) err->flags |= VP_ERRF_RETRYABLE;
    vpi_error_key(err, key);
    return status;
}

vp_status vpi_fail_host(vp_error *err, vp_status status, const char *what)
{
    vp_status own = status;
    char text[sizeof(err->message)];

    /* Numbers that are no failure of ours cannot travel as a status. */
    if (own >= 0 || own < VP_E_INTERNAL) own = VP_E_HOST;
    if (!err) return own;
    if (err->status >= 0) {
        snprintf(text, sizeof(text), "%s: the callback of the host failed (%d)", what, (int)status);
        vp_error_set(err, own, err->reason, err->domain == VP_DOM_HOST && err->native ? err->native : status,
                     err->message[0] ? err->message : text);
    }
    err->status = own;
    err->flags |= VP_ERRF_FROM_HOST;
    if (!err->reason[0]) vpi_strlcpy(err->reason, "HOST", sizeof(err->reason));
    return own;
}

void vpi_error_op(vp_error *err, const char *op)
{
    if (err && op && !err->op[0]) vpi_strlcpy(err->op, op, sizeof(err->op));
}

void vpi_error_key(vp_error *err, const char *key)
{
    if (err && key && !err->key[0]) vpi_strlcpy(err->key, key, sizeof(err->key));
}

void vpi_error_copy(vp_error *to, const vp_error *from)
{
    uint32_t size;

    if (!to || !from || to == from) return;
    size = to->struct_size;
    *to = *from;
    to->struct_size = size;
}
