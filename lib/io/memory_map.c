/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <time.h>

#include "io/memory_map.h"

typedef struct map_value {
    char *key;
    vpi_buf data;
} map_value;

void vpi_map_init(vpi_map *map)
{
    memset(map, 0, sizeof(*map));
    map->fork_mark = vpi_fork_mark();
    pthread_mutex_init(&map->lock, NULL);
}

static void entry_dispose(vpi_map_entry *e)
{
    vpi_free(e->key);
    vp_bytes_unref(e->bytes);
}

void vpi_map_dispose(vpi_map *map)
{
    /* A child forked in the middle of a change must not walk a list that is half moved. */
    if (vpi_forked(map->fork_mark)) return;
    while (map->synced.count > 0) entry_dispose(&map->synced.list[--map->synced.count]);
    vpi_free(map->synced.list);
    pthread_mutex_destroy(&map->lock);
}

vp_status vpi_map_begin(const char *key, uint64_t size, void **value, vp_error *err)
{
    map_value *v = vpi_calloc(1, sizeof(*v));

    if (v) v->key = vpi_strdup(key);
    if (!v || !v->key) {
        vpi_free(v);
        return vpi_fail_nomem(err);
    }
    /* Only a hint: what cannot be had now may never be needed. */
    if (size < SIZE_MAX && vpi_buf_reserve(&v->data, (size_t)size + 1) == false) v->data.failed = false;
    *value = v;
    return VP_OK;
}

vp_status vpi_map_write(void *value, const void *data, size_t size, vp_error *err)
{
    map_value *v = value;

    vpi_buf_add(&v->data, data, size);
    return vpi_buf_failed(&v->data) ? vpi_fail_nomem(err) : VP_OK;
}

void vpi_map_abort(void *value)
{
    map_value *v = value;

    vpi_buf_dispose(&v->data);
    vpi_free(v->key);
    vpi_free(v);
}

/* Index of the first key that is not below this one. */
static size_t find_synced(const vpi_map *map, const char *key)
{
    size_t low = 0, high = map->synced.count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (strcmp(map->synced.list[middle].key, key) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static vpi_map_entry *get_synced(const vpi_map *map, const char *key)
{
    size_t i = find_synced(map, key);

    return i < map->synced.count && strcmp(map->synced.list[i].key, key) == 0 ? &map->synced.list[i] : NULL;
}

/* Takes over what e holds when it answers VP_OK. */
static vp_status put_synced(vpi_map *map, vpi_map_entry *e, bool replace)
{
    size_t i = find_synced(map, e->key);
    vpi_map_entry *list = map->synced.list;

    if (i < map->synced.count && strcmp(list[i].key, e->key) == 0) {
        if (!replace) return VP_END;
        entry_dispose(&list[i]);
        list[i] = *e;
        return VP_OK;
    }
    if (!VPI_GROW(map->synced.list, map->synced.count, map->synced.cap)) return VP_E_NOMEM;
    list = map->synced.list;
    memmove(list + i + 1, list + i, (map->synced.count - i) * sizeof(*list));
    list[i] = *e;
    map->synced.count++;
    return VP_OK;
}

vp_status vpi_map_commit(vpi_map *map, void *value, bool replace, vp_error *err)
{
    map_value *v = value;
    vpi_map_entry e = { v->key, NULL, 0 };
    struct timespec now = { 0, 0 };
    vp_status st;

    clock_gettime(CLOCK_REALTIME, &now);
    e.mtime_us = (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
    st = vpi_bytes_from_buf(&v->data, &e.bytes, err);
    vpi_free(v);
    if (st == VP_OK) {
        pthread_mutex_lock(&map->lock);
        st = put_synced(map, &e, replace);
        pthread_mutex_unlock(&map->lock);
        if (st < 0) vpi_fail_nomem(err);
    }
    if (st != VP_OK) entry_dispose(&e);
    return st;
}

vp_status vpi_map_stat(vpi_map *map, const char *key, vp_object_info *info)
{
    vpi_map_entry *e;

    pthread_mutex_lock(&map->lock);
    e = get_synced(map, key);
    if (e) {
        info->key = key;
        info->size = vp_bytes_size(e->bytes);
        info->mtime_us = e->mtime_us;
    }
    pthread_mutex_unlock(&map->lock);
    return e ? VP_OK : VP_END;
}

vp_status vpi_map_open(vpi_map *map, vp_context *context, const char *key, vp_source **out, vp_error *err)
{
    vp_bytes *bytes = NULL;
    vpi_map_entry *e;
    vp_status st;

    *out = NULL;
    pthread_mutex_lock(&map->lock);
    e = get_synced(map, key);
    if (e) bytes = vp_bytes_ref(e->bytes);
    pthread_mutex_unlock(&map->lock);
    if (!bytes) return VP_END;
    st = vpi_source_bytes(context, bytes, out, err);
    vp_bytes_unref(bytes);
    return st;
}

/* Copies first: whoever is called may change the map. */
vp_status vpi_map_list(vpi_map *map, const char *prefix, vp_list_fn fn, void *user, vp_error *err)
{
    size_t size = strlen(prefix), count = 0, cap = 0, i;
    vp_object_info *list = NULL;
    vp_status st = VP_OK;

    pthread_mutex_lock(&map->lock);
    for (i = find_synced(map, prefix); st == VP_OK && i < map->synced.count; i++) {
        const vpi_map_entry *e = &map->synced.list[i];

        if (strncmp(e->key, prefix, size) != 0) break;
        if (!VPI_GROW(list, count, cap)) {
            st = vpi_fail_nomem(err);
            break;
        }
        list[count] = (vp_object_info)VP_OBJECT_INFO_INIT;
        list[count].key = vpi_strdup(e->key);
        list[count].size = vp_bytes_size(e->bytes);
        list[count].mtime_us = e->mtime_us;
        if (!list[count++].key) st = vpi_fail_nomem(err);
    }
    pthread_mutex_unlock(&map->lock);
    for (i = 0; st == VP_OK && i < count; i++) st = fn(user, &list[i]);
    for (i = 0; i < count; i++) vpi_free((char *)(uintptr_t)list[i].key);
    vpi_free(list);
    return st;
}

void vpi_map_remove(vpi_map *map, const char *key)
{
    vpi_map_entry *e;

    pthread_mutex_lock(&map->lock);
    e = get_synced(map, key);
    if (e) {
        size_t behind = map->synced.count - (size_t)(e - map->synced.list) - 1;

        entry_dispose(e);
        memmove(e, e + 1, behind * sizeof(*e));
        map->synced.count--;
    }
    pthread_mutex_unlock(&map->lock);
}
