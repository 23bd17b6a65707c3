/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VPI_IO_MEMORY_MAP_H
#define VPI_IO_MEMORY_MAP_H

/* Named values in memory, behind the memory sink and the memory store. Thread-safe. */

#include "io/io_int.h"

typedef struct vpi_map_entry {
    char *key;
    vp_bytes *bytes;
    uint64_t mtime_us;
} vpi_map_entry;

typedef struct vpi_map {
    uint32_t fork_mark;
    pthread_mutex_t lock;
    struct {
        vpi_map_entry *list; /* in order of keys */
        size_t count, cap;
    } synced;
} vpi_map;

void vpi_map_init(vpi_map *map);
void vpi_map_dispose(vpi_map *map); /* also in a forked child */

/* A value being written. */
vp_status vpi_map_begin(const char *key, uint64_t size, void **value, vp_error *err);
vp_status vpi_map_write(void *value, const void *data, size_t size, vp_error *err);
void vpi_map_abort(void *value);
/* Frees value. VP_END when the key is taken and replace is not asked for. */
vp_status vpi_map_commit(vpi_map *map, void *value, bool replace, vp_error *err);

vp_status vpi_map_stat(vpi_map *map, const char *key, vp_object_info *info);
vp_status vpi_map_open(vpi_map *map, vp_context *context, const char *key, vp_source **out, vp_error *err);
vp_status vpi_map_list(vpi_map *map, const char *prefix, vp_list_fn fn, void *user, vp_error *err);
void vpi_map_remove(vpi_map *map, const char *key);

#endif
