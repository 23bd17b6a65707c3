/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <stdlib.h>

#include "analysis_int.h"
#include "base/context.h"
#include "base/hash.h"
#include "frames_int.h"
#include "record_int.h"

#define RECORD_MAX ((uint64_t)256 << 20)
#define TAIL_SIZE 22u /* ,"crc32c":"1f2e3d4c"}\n */
#define HEAD_ROOM 192u

static void record_name(const char *task, char to[64])
{
    snprintf(to, 64, "result/%s", task);
}

void vpi_record_lease_name(const char *task, char to[64])
{
    snprintf(to, 64, "lease/%s", task);
}

static void make_tail(uint32_t crc, char to[TAIL_SIZE + 1])
{
    snprintf(to, TAIL_SIZE + 1, ",\"crc32c\":\"%08x\"}\n", (unsigned)crc);
}

/* ---- what lies where ---- */

typedef struct vpi_key_size {
    char *key;
    uint64_t bytes;
} vpi_key_size;

static vp_status keep_key(void *user, const vp_object_info *info)
{
    vpi_keys *k = user;
    if (!VPI_GROW(k->list, k->count, k->cap)) return VP_E_NOMEM;
    k->list[k->count] = (vpi_key_size){ vpi_strdup(info->key), info->size };
    return k->list[k->count].key ? (k->count++, VP_OK) : VP_E_NOMEM;
}

static int by_key(const void *a, const void *b)
{
    return strcmp(((const vpi_key_size *)a)->key, ((const vpi_key_size *)b)->key);
}

static void keys_sort(vpi_keys *k)
{
    if (k->count > 1) qsort(k->list, k->count, sizeof(*k->list), by_key);
    k->listed = true;
}

static bool keys_hold(const vpi_keys *k, const char *key, uint64_t bytes)
{
    const vpi_key_size wanted = { (char *)(uintptr_t)key, 0 };
    const vpi_key_size *found =
        k->count ? bsearch(&wanted, k->list, k->count, sizeof(*k->list), by_key) : NULL;
    return found && (found->bytes == bytes || found->bytes == VP_SIZE_UNKNOWN);
}

static void keys_free(vpi_keys *k)
{
    for (size_t i = 0; i < k->count; i++) vpi_free(k->list[i].key);
    vpi_free(k->list);
    *k = (vpi_keys){ 0 };
}

static vp_status list_objects(vpi_place *p, vp_error *err)
{
    char prefix[256];
    snprintf(prefix, sizeof(prefix), "%s%s", p->plan->prefix, p->plan->prefix[0] ? "/" : "");
    VPI_TRY(vp_sink_list(p->sink, prefix, keep_key, &p->objects, err));
    keys_sort(&p->objects);
    return VP_OK;
}

vp_status vpi_place_list(vpi_place *p, vp_error *err)
{
    if (p->sink && (vp_sink_has(p->sink) & VP_SINK_HAS_LIST)) VPI_TRY(list_objects(p, err));
    VPI_TRY(vp_store_list(p->work, "", keep_key, &p->values, err));
    keys_sort(&p->values);
    return VP_OK;
}

void vpi_place_dispose(vpi_place *p)
{
    keys_free(&p->objects);
    keys_free(&p->values);
}

/* VP_OK: there with that size, as far as the sink can tell. VP_END: not. */
static vp_status object_there(vpi_place *p, const char *key, uint64_t bytes, vp_error *err)
{
    vp_object_info info = VP_OBJECT_INFO_INIT;
    uint32_t has = vp_sink_has(p->sink);
    if (!p->objects.listed && (has & VP_SINK_HAS_STAT)) {
        vp_status st = vp_sink_stat(p->sink, key, &info, err);
        return st != VP_OK ? st : info.size == bytes || info.size == VP_SIZE_UNKNOWN ? VP_OK : VP_END;
    }
    if (!(has & VP_SINK_HAS_LIST)) return VP_OK;
    if (!p->objects.listed) VPI_TRY(list_objects(p, err));
    return keys_hold(&p->objects, key, bytes) ? VP_OK : VP_END;
}

static vp_status value_there(vpi_place *p, const vpi_value_note *note, vp_error *err)
{
    vp_source *value = NULL;
    uint64_t bytes = 0;
    if (p->values.listed) return keys_hold(&p->values, note->name, note->bytes) ? VP_OK : VP_END;
    vp_status st = vp_store_open(p->work, note->name, &value, err);
    if (st == VP_OK) st = vp_source_size(value, &bytes, err);
    vp_source_unref(value);
    return st != VP_OK ? st : bytes == note->bytes ? VP_OK : VP_END;
}

/* ---- what a record names ---- */

vp_status vpi_record_value(const json_t *record, const char *task, size_t n, vpi_value_note *out,
                           vp_error *err)
{
    static const char *const fields[] = { "name", "bytes", "crc32c", NULL };
    const json_t *values = NULL;
    char *name = NULL, *crc = NULL, *end = NULL;
    VPI_TRY(vpi_json_array(record, task, "values", true, &values, err));
    const json_t *o = json_array_get(values, n);
    if (!o) return VP_END;
    vp_status st = vpi_json_fields(o, task, fields, err);
    if (st >= 0) st = vpi_json_str(o, task, "name", true, &name, err);
    if (st >= 0) st = vpi_json_u64(o, task, "bytes", true, INT64_MAX, &out->bytes, err);
    if (st >= 0) st = vpi_json_str(o, task, "crc32c", true, &crc, err);
    if (st >= 0) {
        vpi_strlcpy(out->name, name, sizeof(out->name));
        out->crc32c = (uint32_t)strtoul(crc, &end, 16);
        if (strlen(crc) != 8 || *end || strlen(name) >= sizeof(out->name) || !vpi_key_valid(name))
            st = vpi_fail(err, VP_E_DATA, "INPUT_CORRUPT", "%s: a value that cannot be", task);
    }
    vpi_free(name);
    vpi_free(crc);
    return st;
}

static vp_status values_there(vpi_place *p, const json_t *record, const char *task, vp_error *err)
{
    vpi_value_note note;
    for (size_t n = 0;; n++) {
        vp_status st = vpi_record_value(record, task, n, &note, err);
        if (st != VP_OK) return st == VP_END ? VP_OK : st;
        st = value_there(p, &note, err);
        if (st == VP_END) vpi_log(p->context, VP_LOG_WARN, "transcode", "%s: %s is lost", task, note.name);
        if (st != VP_OK) return st;
    }
}

/* Segments of a single file are in the part of it that is one of the values. */
static vp_status track_there(vpi_place *p, const json_t *o, const char *task, vp_error *err)
{
    vpi_ptrack t = { 0 };
    vp_status st = vpi_ptrack_from_json(o, &t, err);
    for (size_t i = 0; st == VP_OK && !t.single_file && i < t.segment_count; i++) {
        st = object_there(p, t.segments[i].key, t.segments[i].bytes, err);
        if (st == VP_END)
            vpi_log(p->context, VP_LOG_WARN, "transcode", "%s: %s is lost", task, t.segments[i].key);
    }
    vpi_ptrack_dispose(&t);
    return st;
}

static vp_status all_there(vpi_place *p, const json_t *record, const char *task, vp_error *err)
{
    const json_t *tracks = NULL;
    vp_status st = values_there(p, record, task, err);
    if (st == VP_OK) st = vpi_json_array(record, task, "tracks", true, &tracks, err);
    for (size_t i = 0; st == VP_OK && i < json_array_size(tracks); i++)
        st = track_there(p, json_array_get(tracks, i), task, err);
    return st;
}

/* ---- reading ---- */

static bool is_whole(const vp_plan *plan, const char *task, const char *text, uint64_t size)
{
    char head[HEAD_ROOM], tail[TAIL_SIZE + 1];
    int n = snprintf(head, sizeof(head), "{\"vodpipe\":1,\"plan\":\"%s\",\"task\":\"%s\",", plan->hash, task);
    if (n < 0 || (size_t)n >= sizeof(head) || size < (size_t)n + TAIL_SIZE) return false;
    size_t body = (size_t)size - TAIL_SIZE;
    make_tail(vpi_crc32c(0, text, body), tail);
    return memcmp(text, head, (size_t)n) == 0 && memcmp(text + body, tail, TAIL_SIZE) == 0;
}

static vp_status read_record(const vp_plan *plan, vp_store *work, const char *task, vp_bytes **out,
                             bool *there, vp_error *err)
{
    char name[64];
    vp_bytes *text = NULL;
    *out = NULL;
    record_name(task, name);
    vp_status st = vp_store_get(work, name, RECORD_MAX, &text, err);
    *there = st == VP_OK;
    if (st == VP_OK && !is_whole(plan, task, vp_bytes_data(text), vp_bytes_size(text))) st = VP_END;
    if (st == VP_OK)
        *out = text;
    else
        vp_bytes_unref(text);
    return st;
}

vp_status vpi_record_check(const vp_plan *plan, vp_store *work, const char *task, vp_error *err)
{
    vp_bytes *text = NULL;
    bool there;
    vp_status st = read_record(plan, work, task, &text, &there, err);
    vp_bytes_unref(text);
    return st;
}

vp_status vpi_record_load(vpi_place *p, const char *task, json_t **out, vp_error *err)
{
    static const char *const fields[] = { "vodpipe",   "plan",     "task", "tracks", "values",
                                          "concealed", "pictures", "cost", "crc32c", NULL };
    vp_bytes *text = NULL;
    json_t *o = NULL;
    vp_status st = read_record(p->plan, p->work, task, &text, &p->stale, err);
    if (st != VP_OK) {
        if (p->stale)
            vpi_log(p->context, VP_LOG_WARN, "transcode", "%s: its record is damaged or of another title",
                    task);
        return st;
    }
    st = vpi_json_parse(vp_bytes_data(text), (size_t)vp_bytes_size(text), task, &o, err);
    vp_bytes_unref(text);
    if (st >= 0) st = vpi_json_fields(o, task, fields, err);
    if (st >= 0 && p->sink) st = all_there(p, o, task, err);
    if (st == VP_E_DATA) { /* whole, and yet none of ours */
        vpi_error_reset(err);
        st = VP_END;
    }
    if (st == VP_OK && out)
        *out = o;
    else
        json_decref(o);
    return st;
}

/* ---- writing ---- */

vp_status vpi_record_put(vp_store *work, const char *task, const json_t *record, vp_error *err)
{
    char name[64], tail[TAIL_SIZE + 1];
    vpi_buf text = { 0 };
    record_name(task, name);
    vp_status st = vpi_json_dump(record, &text, err);
    if (st >= 0) {
        text.size--; /* the brace, which comes after the last field */
        make_tail(vpi_crc32c(0, text.data, text.size), tail);
        vpi_buf_str(&text, tail);
        if (vpi_buf_failed(&text)) st = vpi_fail_nomem(err);
    }
    if (st >= 0) st = vp_store_put(work, name, text.data, text.size, err);
    vpi_buf_dispose(&text);
    return st;
}

static vp_status remove_part(vp_store *work, const char *track, const char *task, vp_error *err)
{
    char name[160];
    vpi_task_part_name(track, task, name);
    return vp_store_remove(work, name, err);
}

static vp_status clear_audio(const vp_plan *plan, size_t at, const char *task, vp_store *work, vp_error *err)
{
    char frames[VPI_FRAMES_NAME], name[VPI_FRAMES_NAME];
    snprintf(frames, sizeof(frames), "audio/%s", plan->audio[at].name);
    for (int index = 0; plan->mux_audio && index < 2; index++) {
        vpi_frames_value_name(frames, index != 0, name);
        VPI_TRY(vp_store_remove(work, name, err));
    }
    return plan->single_file ? remove_part(work, plan->audio[at].name, task, err) : VP_OK;
}

static vp_status clear_analysis(const char *task, vp_store *work, vp_error *err)
{
    char name[VPI_STATS_NAME];
    for (int tree = 0; tree < 2; tree++) {
        vpi_analysis_value_name(task, tree != 0, name);
        VPI_TRY(vp_store_remove(work, name, err));
    }
    return VP_OK;
}

vp_status vpi_record_clear(const vp_plan *plan, uint32_t index, vp_store *work, vp_error *err)
{
    const char *task = plan->task_names[index];
    char name[64];
    size_t at = 0;
    int32_t kind = vpi_plan_task_kind(plan, index, &at);
    record_name(task, name);
    VPI_TRY(vp_store_remove(work, name, err));
    if (kind == VP_TASK_ANALYSE) return clear_analysis(task, work, err);
    if (kind == VP_TASK_AUDIO) return clear_audio(plan, at, task, work, err);
    for (size_t i = 0; plan->single_file && i < plan->rung_count; i++)
        VPI_TRY(remove_part(work, plan->rungs[i].name, task, err));
    return VP_OK;
}

vp_status vpi_record_drop(vp_store *work, const char *task, vp_error *err)
{
    char name[64], lease_name[64];
    vp_lease *lease = NULL;
    record_name(task, name);
    vpi_record_lease_name(task, lease_name);
    vp_status st = vp_store_lease(work, lease_name, &lease, NULL, err);
    if (st == VP_OK) st = vp_store_remove(work, name, err);
    vp_lease_release(lease);
    return st < 0 ? st : VP_OK;
}
