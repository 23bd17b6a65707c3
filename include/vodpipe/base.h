/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VODPIPE_BASE_H
#define VODPIPE_BASE_H

/*
 * Status, errors, bytes, log, context and cancel: what every other header uses. Tier 0.
 *
 * Conventions of the whole API
 *  - Handles are opaque and counted: vp_x_ref() shares, vp_x_unref() drops, takes NULL and returns NULL.
 *  - Structs begin with struct_size. Fill them with their INIT macro (C) or vp_x_init(&x, sizeof(x)) (any language;
 *    the size is the caller's, so that an older host is safe with a newer library), then set fields. An older,
 *    shorter struct is accepted; a longer one is refused with VP_E_VERSION when its unknown tail is not zero. Zero
 *    in a field always means "the default". vp_error alone has a fixed size.
 *  - Options and strings are copied during the call; handles in options get a reference.
 *  - Strings are UTF-8 and end with NUL.
 *  - vp_error * is the last argument, may be NULL, is reset on entry and filled on failure.
 */

#include <stddef.h>
#include <stdint.h>

#include <vodpipe/version.h>

#ifdef __cplusplus
extern "C" {
#endif

/* How to react. Values above zero are not failures. */
typedef int32_t vp_status;
enum {
    VP_OK = 0,
    VP_AGAIN = 1,          /* nothing yet, ask again */
    VP_END = 2,            /* no more; also ALREADY_DONE: the work was done before, a success */
    VP_E_ARG = -1,         /* the call is wrong: fix the program */
    VP_E_NOMEM = -2,       /* out of memory */
    VP_E_STATE = -3,       /* not allowed now, or the handle was inherited by fork() */
    VP_E_IO = -4,          /* reading or writing failed; see vp_error.native for errno */
    VP_E_DATA = -5,        /* the input is bad; retrying does not help */
    VP_E_UNSUPPORTED = -6, /* understood but not supported, or not built in */
    VP_E_LIMIT = -7,       /* a limit was reached */
    VP_E_AUTH = -8,        /* credentials or keys */
    VP_E_CONFLICT = -9,    /* somebody else's work is in the way */
    VP_E_CANCELED = -10,   /* the vp_cancel fired, or the job was cancelled */
    VP_E_HOST = -11,       /* a callback of the host failed; vp_error.native is its number */
    VP_E_VERSION = -12,    /* a struct or document of a newer version */
    VP_E_INTERNAL = -13    /* a bug in the library: please report */
};

/* Static name of a status, "OK", "IO" and so on; "UNKNOWN" for another number. Any thread. */
VP_API const char *vp_status_name(vp_status status);

/* vp_error.flags */
#define VP_ERRF_RETRYABLE 0x0001u /* the same call may work later */
#define VP_ERRF_FROM_HOST 0x0002u /* filled or caused by a callback of the host */

/* vp_error.domain: what vp_error.native counts */
#define VP_DOM_NONE 0u
#define VP_DOM_ERRNO 1u /* errno */
#define VP_DOM_LIBAV 2u /* AVERROR of FFmpeg */
#define VP_DOM_HTTP 3u  /* HTTP status */
#define VP_DOM_HOST 4u  /* the host callback's own number */
#define VP_DOM_X264 5u

/*
 * What happened. Owned by the caller, never allocates; its size stays the same as long as VP_ABI_VERSION
 * does. All strings end with NUL; a longer text is cut at a character border. Set on every failure: status,
 * reason, message. Set where it applies: native and domain, op ("scan", "package.segment"), key (name of the
 * object or file concerned).
 * The first cause is kept: later failures of a clean-up never replace it.
 */
typedef struct vp_error {
    uint32_t struct_size;
    vp_status status;
    int32_t native;
    uint16_t domain;
    uint16_t flags;
    char reason[32]; /* stable name, for example "INPUT_TRUNCATED"; the list is in docs/reasons.md */
    char op[48];
    char key[256];
    char message[448]; /* one impersonal line for people; not stable */
} vp_error;

#define VP_ERROR_INIT                                                                                        \
    {                                                                                                        \
        (uint32_t)sizeof(vp_error), 0, 0, 0, 0, { 0 }, { 0 }, { 0 },                                         \
        {                                                                                                    \
            0                                                                                                \
        }                                                                                                    \
    }

/* Empties *err (struct_size is set). NULL is allowed. */
VP_API void vp_error_init(vp_error *err);

/*
 * For host callbacks: fills the error they were given. reason NULL or "" means "HOST"; status 0 or above is
 * taken as VP_E_HOST. Returns the status to return from the callback. err may be NULL.
 */
VP_API vp_status vp_error_set(vp_error *err, vp_status status, const char *reason, int32_t native,
                              const char *message);

/* Bytes that the library made. Immutable, may be shared between threads. */
typedef struct vp_bytes vp_bytes;
/* Never NULL for a handle; a NUL byte follows the data. */
VP_API const void *vp_bytes_data(const vp_bytes *bytes);
VP_API uint64_t vp_bytes_size(const vp_bytes *bytes);
VP_API vp_bytes *vp_bytes_ref(vp_bytes *bytes);
VP_API vp_bytes *vp_bytes_unref(vp_bytes *bytes);

/* Log levels; a line is given to the host's callback when its level is at or below the context's. */
enum { VP_LOG_NONE = 0, VP_LOG_ERROR = 1, VP_LOG_WARN = 2, VP_LOG_INFO = 3, VP_LOG_DEBUG = 4 };

/*
 * One finished line without newline. Called from any library thread, calls may overlap; must not call back
 * into the library. module ("media", "io") and line are valid during the call. Secrets never appear in it.
 */
typedef void (*vp_log_fn)(void *user, int32_t level, const char *module, const char *line);

/*
 * A context holds what jobs share: budgets of threads and memory, and the log. Thread-safe. One for a process
 * is usual. Creating one starts no thread and does no I/O.
 */
typedef struct vp_context vp_context;

typedef struct vp_context_options {
    uint32_t struct_size;
    uint32_t threads; /* threads that compute at the same time; 0: what affinity and cgroup leave; max 1024 */
    uint64_t memory_bytes; /* for frames and encoders; 0: three quarters of what cgroup and machine leave */
    vp_log_fn log;         /* NULL: silent */
    void *log_user;
    int32_t log_level; /* 0: VP_LOG_WARN */
    uint32_t reserved; /* 0 */
} vp_context_options;

#define VP_CONTEXT_OPTIONS_INIT                                                                              \
    {                                                                                                        \
        (uint32_t)sizeof(vp_context_options), 0, 0, NULL, NULL, 0, 0                                         \
    }
VP_API void vp_context_options_init(vp_context_options *options, size_t size);

/* options NULL: defaults. Errors: ARG, NOMEM, VERSION. */
VP_API vp_status vp_context_new(const vp_context_options *options, vp_context **out, vp_error *err);
VP_API vp_context *vp_context_ref(vp_context *context);
VP_API vp_context *vp_context_unref(vp_context *context);

/*
 * Cancels all jobs of the context and joins every thread it started: no callback comes after it returns.
 * Later calls with the context answer VP_E_STATE. Must not be called from a callback of the library (STATE).
 */
VP_API vp_status vp_context_close(vp_context *context, vp_error *err);

VP_API uint32_t vp_context_threads(const vp_context *context);
VP_API uint64_t vp_context_memory(const vp_context *context);

/*
 * Stops work from outside. Thread-safe. Everything that takes a vp_cancel (NULL: never cancelled) sees it
 * within one second, unless it is inside a host callback that offers no interrupt, and returns VP_E_CANCELED;
 * a deadline that passed returns VP_E_LIMIT with reason TIMEOUT.
 */
typedef struct vp_cancel vp_cancel;
VP_API vp_status vp_cancel_new(vp_cancel **out, vp_error *err);
/* A child fires when its parent does, not the other way round. parent NULL: like vp_cancel_new. */
VP_API vp_status vp_cancel_child(vp_cancel *parent, vp_cancel **out, vp_error *err);
/* From any thread, also from callbacks and signal handlers (it only stores to an atomic). Idempotent. */
VP_API void vp_cancel_fire(vp_cancel *cancel);
/* Fires by itself this many milliseconds from now; 0 takes the deadline away. */
VP_API void vp_cancel_deadline(vp_cancel *cancel, uint64_t milliseconds);
VP_API int32_t vp_cancel_fired(const vp_cancel *cancel); /* 1 or 0; 0 for NULL */
/*
 * From here on what this thread calls ends soon once cancel fires also where a call takes no cancel, or looks at
 * another: vp_store_get, vp_sink_flush, vp_plan_claim and the like, while they wait for a server (not in callbacks of
 * the host). NULL: no such cancel. Returns what was there before, to be put back. Borrowed: it must live until then.
 */
VP_API vp_cancel *vp_cancel_scope(vp_cancel *cancel);
VP_API vp_cancel *vp_cancel_ref(vp_cancel *cancel);
VP_API vp_cancel *vp_cancel_unref(vp_cancel *cancel);

#ifdef __cplusplus
}
#endif

#endif
