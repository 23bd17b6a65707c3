/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VODPIPE_IO_H
#define VODPIPE_IO_H

/*
 * Where bytes come from (vp_source), where finished objects go (vp_sink), where unfinished work lives
 * (vp_store). File, memory and host callbacks. Tier 1. Constructors do no I/O unless they say so.
 *
 * All three handle kinds are thread-safe. Host callbacks come from library threads (all signals blocked), or
 * from the host's own thread when it runs tasks itself; calls for different objects overlap unless a flag says
 * otherwise. A callback returns VP_OK or a negative status; it may fill err with vp_error_set(), which then
 * reaches the host untouched.
 */

#include <vodpipe/base.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct vp_source vp_source;
typedef struct vp_sink vp_sink;
typedef struct vp_store vp_store;

/* ---- source ---- */

/* vp_source_ops.flags */
#define VP_SOURCEF_SERIAL 0x1u /* read_at calls never overlap: the library puts a lock around them */

typedef struct vp_source_ops {
    uint32_t struct_size;
    uint32_t flags;
    /*
     * Reads up to capacity bytes at offset into data and stores their number in *got; fewer than asked for is
     * allowed, 0 only at or after the end. May be called from several threads at once (see SERIAL).
     */
    vp_status (*read_at)(void *user, uint64_t offset, void *data, size_t capacity, size_t *got,
                         vp_error *err);
    /* Size in bytes; must not change while the source is used. */
    vp_status (*size)(void *user, uint64_t *bytes, vp_error *err);
    /*
     * Optional. Writes up to capacity-1 bytes and a NUL that name this version of the content: an ETag, or
     * mtime and size. Asked again at the end of the work: another answer is SOURCE_CHANGED.
     */
    vp_status (*identity)(void *user, char *text, size_t capacity, vp_error *err);
    /*
     * Optional. Makes blocked read_at calls return soon, with any failure; called from another thread when a cancel
     * fires, perhaps several times.
     */
    void (*interrupt)(void *user);
    /* Optional. Last reference dropped. */
    void (*release)(void *user);
} vp_source_ops;

#define VP_SOURCE_OPS_INIT                                                                                   \
    {                                                                                                        \
        (uint32_t)sizeof(vp_source_ops), 0, NULL, NULL, NULL, NULL, NULL                                     \
    }
VP_API void vp_source_ops_init(vp_source_ops *ops, size_t size);

/* A source of the host. read_at and size are required. On failure release is not called. */
VP_API vp_status vp_source_new(vp_context *context, const vp_source_ops *ops, void *user, vp_source **out,
                               vp_error *err);
/*
 * A local regular file; the path is never read as a URL. Opens it (the one constructor of a source with I/O).
 * Errors: IO with errno; ARG for something that is not a regular file.
 */
VP_API vp_status vp_source_file(vp_context *context, const char *path, vp_source **out, vp_error *err);
/* A copy of size bytes of memory. */
VP_API vp_status vp_source_memory(vp_context *context, const void *data, uint64_t size, vp_source **out,
                                  vp_error *err);
VP_API vp_source *vp_source_ref(vp_source *source);
VP_API vp_source *vp_source_unref(vp_source *source);

/* Reads exactly as much as there is: fewer than capacity bytes only at the end of the source. */
VP_API vp_status vp_source_read_at(vp_source *source, uint64_t offset, void *data, size_t capacity,
                                   size_t *got, vp_error *err);
VP_API vp_status vp_source_size(vp_source *source, uint64_t *bytes, vp_error *err);
/* "" where the source has none. */
VP_API vp_status vp_source_identity(vp_source *source, char *text, size_t capacity, vp_error *err);

/* ---- sink ---- */

/* vp_object_info.kind */
enum {
    VP_OBJECT_OTHER = 0,
    VP_OBJECT_INIT = 1,
    VP_OBJECT_SEGMENT = 2,
    VP_OBJECT_PLAYLIST = 3, /* a media or I-frame playlist under the version folder */
    VP_OBJECT_MASTER = 4,   /* master.m3u8, manifest.mpd, presentation.json: replaced, short cache */
    VP_OBJECT_IMAGE = 5,
    VP_OBJECT_KEY = 6,
    VP_OBJECT_MARKER = 7 /* .vodpipe-version */
};
/* Static text, "segment" and so on; the words of the object event. */
VP_API const char *vp_object_kind_name(int32_t kind);

#define VP_SIZE_UNKNOWN UINT64_MAX

/* What is about to be written. key: relative, '/' between parts, no empty, "." or ".." part, no leading '/'. */
typedef struct vp_object_info {
    uint32_t struct_size;
    int32_t kind;
    const char *key;
    const char *content_type;  /* "video/iso.segment" and so on */
    const char *cache_control; /* NULL: none */
    uint64_t size;             /* VP_SIZE_UNKNOWN unless known at begin */
    uint32_t crc32c;           /* of the whole object, when has_crc32c */
    uint32_t has_crc32c;
    uint64_t mtime_us; /* stat and list only: last change, microseconds since 1970; 0 unknown */
} vp_object_info;

#define VP_OBJECT_INFO_INIT                                                                                  \
    {                                                                                                        \
        (uint32_t)sizeof(vp_object_info), 0, NULL, NULL, NULL, VP_SIZE_UNKNOWN, 0, 0, 0                      \
    }
VP_API void vp_object_info_init(vp_object_info *info, size_t size);

/* Called once for each object; a status other than VP_OK ends the listing and is returned. */
typedef vp_status (*vp_list_fn)(void *user, const vp_object_info *info);

/* vp_sink_ops.flags */
#define VP_SINKF_SERIAL_OBJECTS 0x1u /* one object at a time: the library waits for commit or abort */
#define VP_SINKF_WHOLE_OBJECTS 0x2u  /* begin gets size and crc32c, and one write brings the whole object */

typedef struct vp_sink_ops {
    uint32_t struct_size;
    uint32_t flags;
    /* Starts an object and stores the host's handle for it in *object. info is valid during the call. */
    vp_status (*begin)(void *user, const vp_object_info *info, void **object, vp_error *err);
    /* At least 64 KiB a call except the last. May block: that is the back pressure. */
    vp_status (*write)(void *user, void *object, const void *data, size_t size, vp_error *err);
    /*
     * The object becomes visible under its key, whole, replacing an older one. May finish later (then flush
     * waits for it). Exactly one of commit and abort is called for each begin; a failed commit has freed object.
     */
    vp_status (*commit)(void *user, void *object, vp_error *err);
    void (*abort)(void *user, void *object);
    /* Optional barrier: returns when all earlier commits are durable; reports their failures. */
    vp_status (*flush)(void *user, vp_error *err);
    /* Optional. Size (and mtime) of a committed object; VP_END when there is none of that key. */
    vp_status (*stat)(void *user, const char *key, vp_object_info *info, vp_error *err);
    /* Optional. All committed objects whose key begins with prefix ("" for all), in any order. */
    vp_status (*list)(void *user, const char *prefix, vp_list_fn fn, void *fn_user, vp_error *err);
    /* Optional. A committed object as a source; VP_END when there is none. */
    vp_status (*open)(void *user, const char *key, vp_source **out, vp_error *err);
    /* Optional. Removes an object; VP_OK also when there is none. */
    vp_status (*remove)(void *user, const char *key, vp_error *err);
    void (*interrupt)(void *user); /* Optional, see vp_source_ops */
    void (*release)(void *user);   /* Optional. Last reference dropped. */
} vp_sink_ops;

#define VP_SINK_OPS_INIT                                                                                     \
    {                                                                                                        \
        (uint32_t)sizeof(vp_sink_ops), 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL   \
    }
VP_API void vp_sink_ops_init(vp_sink_ops *ops, size_t size);

/* begin, write, commit and abort are required. Without stat, list, open: see vp_sink_has(). */
VP_API vp_status vp_sink_new(vp_context *context, const vp_sink_ops *ops, void *user, vp_sink **out,
                             vp_error *err);
/*
 * A directory, made with the first object. Objects are written to a temporary name beside their place and
 * renamed; data and names are made durable by a small pool of threads, flush waits for it. Keys cannot leave
 * the directory: symbolic links inside it are not followed upwards. What a killed process was writing is removed
 * when a job or vp_plan_claim or vp_plan_finish next begins there.
 */
VP_API vp_status vp_sink_directory(vp_context *context, const char *path, vp_sink **out, vp_error *err);
/* Keeps objects in memory; read them with vp_sink_open() or vp_sink_get(). */
VP_API vp_status vp_sink_memory(vp_context *context, vp_sink **out, vp_error *err);
VP_API vp_sink *vp_sink_ref(vp_sink *sink);
VP_API vp_sink *vp_sink_unref(vp_sink *sink);

/* What a sink can do beyond writing: bits of VP_SINK_HAS_*. */
#define VP_SINK_HAS_STAT 0x1u
#define VP_SINK_HAS_LIST 0x2u
#define VP_SINK_HAS_OPEN 0x4u
#define VP_SINK_HAS_REMOVE 0x8u
VP_API uint32_t vp_sink_has(const vp_sink *sink);

/* One object being written; used by one thread at a time. */
typedef struct vp_object vp_object;
VP_API vp_status vp_sink_begin(vp_sink *sink, const vp_object_info *info, vp_object **out, vp_error *err);
VP_API vp_status vp_object_write(vp_object *object, const void *data, size_t size, vp_error *err);
/* Both free the object, whatever they return. bytes and crc32c (each may be NULL) get what was written. */
VP_API vp_status vp_object_commit(vp_object *object, uint64_t *bytes, uint32_t *crc32c, vp_error *err);
VP_API void vp_object_abort(vp_object *object); /* NULL is allowed */

/*
 * UNSUPPORTED where the sink lacks the operation, but flush, which is then OK at once. vp_sink_stat and vp_sink_open:
 * VP_END when there is none.
 */
VP_API vp_status vp_sink_flush(vp_sink *sink, vp_error *err);
VP_API vp_status vp_sink_stat(vp_sink *sink, const char *key, vp_object_info *info, vp_error *err);
VP_API vp_status vp_sink_list(vp_sink *sink, const char *prefix, vp_list_fn fn, void *user, vp_error *err);
VP_API vp_status vp_sink_open(vp_sink *sink, const char *key, vp_source **out, vp_error *err);
VP_API vp_status vp_sink_remove(vp_sink *sink, const char *key, vp_error *err);
/* A whole object, at most limit bytes (LIMIT when it is larger; 0: 64 MiB). VP_END when there is none. */
VP_API vp_status vp_sink_get(vp_sink *sink, const char *key, uint64_t limit, vp_bytes **out, vp_error *err);

/* ---- store ---- */

/*
 * Named values of unfinished work. Names follow the rules of keys. A value is put once: the first commit wins,
 * a later put of the same name answers VP_END from commit and changes nothing.
 */
typedef struct vp_store_ops {
    uint32_t struct_size;
    uint32_t flags; /* 0 */
    vp_status (*begin)(void *user, const char *name, void **value, vp_error *err);
    vp_status (*write)(void *user, void *value, const void *data, size_t size, vp_error *err);
    /* Durable when it returns; VP_END: the name was taken. */
    vp_status (*commit)(void *user, void *value, vp_error *err);
    void (*abort)(void *user, void *value);
    vp_status (*open)(void *user, const char *name, vp_source **out, vp_error *err); /* VP_END: none */
    vp_status (*list)(void *user, const char *prefix, vp_list_fn fn, void *fn_user, vp_error *err);
    vp_status (*remove)(void *user, const char *name, vp_error *err); /* VP_OK when there is none */
    /*
     * Takes the lease of this name and stores the host's handle and a fence number that is higher than at any
     * earlier holder. VP_AGAIN when somebody else holds it. A lease ends with unlease or with its holder's life.
     */
    vp_status (*lease)(void *user, const char *name, void **lease, uint64_t *fence, vp_error *err);
    /*
     * CONFLICT, best with reason ALREADY_RUNNING: lost. Asked for right before each commit that the lease guards, which
     * may be minutes apart: leases that end by time are kept alive by the store.
     */
    vp_status (*renew)(void *user, void *lease, vp_error *err);
    void (*unlease)(void *user, void *lease);
    void (*interrupt)(void *user);
    void (*release)(void *user);
} vp_store_ops;

#define VP_STORE_OPS_INIT                                                                                    \
    {                                                                                                        \
        (uint32_t)sizeof(vp_store_ops), 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, \
            NULL                                                                                             \
    }
VP_API void vp_store_ops_init(vp_store_ops *ops, size_t size);

/* All operations but interrupt and release are required. */
VP_API vp_status vp_store_new(vp_context *context, const vp_store_ops *ops, void *user, vp_store **out,
                              vp_error *err);
/* A directory, made with the first value. Leases are locks of the operating system on files in it. */
VP_API vp_status vp_store_directory(vp_context *context, const char *path, vp_store **out, vp_error *err);
VP_API vp_status vp_store_memory(vp_context *context, vp_store **out, vp_error *err);
VP_API vp_store *vp_store_ref(vp_store *store);
VP_API vp_store *vp_store_unref(vp_store *store);

typedef struct vp_value vp_value; /* one value being written; one thread at a time */
VP_API vp_status vp_store_begin(vp_store *store, const char *name, vp_value **out, vp_error *err);
VP_API vp_status vp_value_write(vp_value *value, const void *data, size_t size, vp_error *err);
VP_API vp_status vp_value_commit(vp_value *value, vp_error *err); /* frees value; VP_END: name was taken */
VP_API void vp_value_abort(vp_value *value);
VP_API vp_status vp_store_put(vp_store *store, const char *name, const void *data, uint64_t size,
                              vp_error *err);
VP_API vp_status vp_store_get(vp_store *store, const char *name, uint64_t limit, vp_bytes **out,
                              vp_error *err);
VP_API vp_status vp_store_open(vp_store *store, const char *name, vp_source **out, vp_error *err);
VP_API vp_status vp_store_list(vp_store *store, const char *prefix, vp_list_fn fn, void *user, vp_error *err);
VP_API vp_status vp_store_remove(vp_store *store, const char *name, vp_error *err);

typedef struct vp_lease vp_lease;
/* VP_AGAIN: held by another, *out is NULL. fence may be NULL. */
VP_API vp_status vp_store_lease(vp_store *store, const char *name, vp_lease **out, uint64_t *fence,
                                vp_error *err);
VP_API vp_status vp_lease_renew(vp_lease *lease, vp_error *err);
VP_API vp_lease *vp_lease_release(vp_lease *lease); /* NULL is allowed, returns NULL */

#ifdef __cplusplus
}
#endif

#endif
