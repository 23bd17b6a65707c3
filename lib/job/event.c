/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "event_int.h"

#include <stdio.h>

#include "base/buf.h"
#include "base/context.h"
#include "model/json.h"

_Static_assert(VP_TIME_UNKNOWN == INT64_MIN, "as vp_event_init fills it in");

const char *vp_stage_name(int32_t stage)
{
    static const char *const names[] = { "",       "scan",    "analyse",  "solve",  "audio",
                                         "encode", "package", "manifest", "finish", "upload" };
    return stage > 0 && stage < (int32_t)VPI_COUNT(names) ? names[stage] : "";
}

/* ---- JSON ---- */

static bool progress_json(json_t *o, const vp_event *e)
{
    bool ok = vpi_json_set_str(o, "stage", vp_stage_name(e->stage)) && vpi_json_set_u64(o, "done", e->done) &&
              vpi_json_set_u64(o, "total", e->total) && vpi_json_set_str(o, "unit", e->unit) &&
              vpi_json_set_u64(o, "permille", e->permille);
    if (ok && e->stage == VP_STAGE_ENCODE && e->fps_milli)
        ok = json_object_set_new(o, "fps", json_real((double)(e->fps_milli / 100) / 10.0)) == 0;
    if (ok && e->eta_us >= 0) ok = vpi_json_set_i64(o, "eta_us", e->eta_us);
    if (!ok || !e->rung_count) return ok;
    json_t *rungs = json_array();
    for (uint32_t i = 0; ok && i < VPI_MIN(e->rung_count, (uint32_t)VP_EVENT_RUNGS); i++) {
        json_t *r = json_object();
        ok = r && vpi_json_set_str(r, "name", e->rung_name[i]) &&
             vpi_json_set_u64(r, "kbps", e->rung_kbps[i]) && vpi_json_set_u64(r, "bytes", e->rung_bytes[i]) &&
             json_array_append(rungs, r) == 0;
        json_decref(r);
    }
    ok = ok && json_object_set(o, "rungs", rungs) == 0;
    json_decref(rungs);
    return ok;
}

static bool object_json(json_t *o, const vp_event *e)
{
    char crc[9];
    snprintf(crc, sizeof(crc), "%08x", e->crc32c);
    return vpi_json_set_str(o, "key", e->key) &&
           vpi_json_set_str(o, "kind", vp_object_kind_name(e->object_kind)) &&
           vpi_json_set_u64(o, "bytes", e->bytes) && vpi_json_set_str(o, "crc32c", crc);
}

static bool done_json(json_t *o, const vp_event *e)
{
    bool ok = vpi_json_set_str(o, "version", e->version) && vpi_json_set_u64(o, "objects", e->objects) &&
              vpi_json_set_u64(o, "bytes", e->bytes) && vpi_json_set_i64(o, "cpu_us", e->cpu_us) &&
              vpi_json_set_i64(o, "wall_us", e->wall_us);
    return ok && (!e->reason[0] || vpi_json_set_str(o, "reason", e->reason));
}

static bool warning_json(json_t *o, const vp_event *e)
{
    bool ok = vpi_json_set_str(o, "reason", e->reason);
    if (ok && e->time_us != VP_TIME_UNKNOWN) ok = vpi_json_set_i64(o, "time_us", e->time_us);
    return ok && vpi_json_set_str(o, "text", e->text);
}

static bool failed_json(json_t *o, const vp_event *e)
{
    return vpi_json_set_str(o, "reason", e->reason) && vpi_json_set_str(o, "op", e->op) &&
           vpi_json_set_str(o, "text", e->text) && vpi_json_set_bool(o, "retryable", e->retryable);
}

static bool upload_json(json_t *o, const vp_event *e)
{
    bool ok = vpi_json_set_str(o, "id", e->key) && vpi_json_set_u64(o, "done", e->done);

    if (ok && e->total != VP_SIZE_UNKNOWN) ok = vpi_json_set_u64(o, "total", e->total);
    if (!ok || e->status >= 0) return ok;
    return vpi_json_set_str(o, "reason", e->reason) && vpi_json_set_str(o, "text", e->text);
}

static const char *event_name(int32_t kind)
{
    static const char *const names[] = { "",
                                         "stage",
                                         "progress",
                                         "warning",
                                         "object",
                                         "done",
                                         "failed",
                                         "suspended",
                                         "canceled",
                                         "upload_created",
                                         "upload_progress",
                                         "upload_finished",
                                         "upload_expired",
                                         "upload_removed",
                                         "upload_synced" };
    return kind > 0 && kind < (int32_t)VPI_COUNT(names) ? names[kind] : NULL;
}

static bool event_fields(json_t *o, const vp_event *e, const char *work)
{
    switch (e->kind) {
    case VP_EVENT_STAGE:
        return vpi_json_set_str(o, "stage", vp_stage_name(e->stage));
    case VP_EVENT_PROGRESS:
        return progress_json(o, e);
    case VP_EVENT_WARNING:
        return warning_json(o, e);
    case VP_EVENT_OBJECT:
        return object_json(o, e);
    case VP_EVENT_DONE:
        return done_json(o, e);
    case VP_EVENT_FAILED:
        return failed_json(o, e);
    case VP_EVENT_SUSPENDED:
        return !work || vpi_json_set_str(o, "work", work);
    case VP_EVENT_CANCELED:
        return true;
    default:
        return upload_json(o, e);
    }
}

vp_status vp_event_json(const vp_event *event, const char *work, vp_bytes **out, vp_error *err)
{
    vp_event e;
    vpi_buf text = { 0 };
    vpi_error_reset(err);
    vp_event_init(&e, sizeof(e));
    if (out) *out = NULL;
    if (!event || !out) return vpi_fail(err, VP_E_ARG, NULL, "event and out are needed");
    VPI_TRY(vpi_copy_struct(&e, sizeof(e), event, err));
    const char *name = event_name(e.kind);
    if (!name) return vpi_fail(err, VP_E_ARG, NULL, "unknown kind of event");
    json_t *o = json_object();
    bool ok = o && vpi_json_set_str(o, "event", name) && event_fields(o, &e, work);
    vp_status st = ok ? vpi_json_dump(o, &text, err) : vpi_fail_nomem(err);
    if (st >= 0) st = vpi_bytes_from_buf(&text, out, err);
    vpi_buf_dispose(&text);
    json_decref(o);
    return st;
}

/* ---- emitter ---- */

#define PROGRESS_INTERVAL_US 100000

void vpi_emitter_init(vpi_emitter *e, vp_queue *queue, vp_event_fn fn, void *user, uint64_t tag)
{
    memset(e, 0, sizeof(*e));
    pthread_mutex_init(&e->lock, NULL);
    e->queue = vp_queue_ref(queue);
    e->fn = fn;
    e->user = user;
    e->tag = tag;
    e->last_progress = INT64_MIN / 2;
}

bool vpi_emitter_reserve(vpi_emitter *e)
{
    if (e->queue && !e->last_room) e->last_room = vpi_queue_room();
    return !e->queue || e->last_room;
}

void vpi_emitter_dispose(vpi_emitter *e)
{
    vpi_free(e->last_room);
    e->last_room = NULL;
    e->queue = vp_queue_unref(e->queue);
    pthread_mutex_destroy(&e->lock);
}

/* Under the lock: events of one job never overlap and keep their order. */
static void emit_locked(vpi_emitter *e, vp_event *event)
{
    event->tag = e->tag;
    event->seq = e->seq++;
    e->permille = VPI_MAX(e->permille, event->permille);
    event->permille = e->permille;
    if (e->queue) vpi_queue_put(e->queue, e, event, event->kind >= VP_EVENT_DONE ? &e->last_room : NULL);
    if (!e->fn) return;
    int32_t answer = e->fn(e->user, event);
    if (answer && !e->host_answer) {
        e->host_answer = answer;
        if (e->stop) vp_cancel_fire(e->stop);
    }
}

void vpi_emit(vpi_emitter *e, vp_event *event)
{
    pthread_mutex_lock(&e->lock);
    if (event->kind == VP_EVENT_PROGRESS) {
        int64_t now = vpi_now_us();
        if (now - e->last_progress < PROGRESS_INTERVAL_US && event->done < event->total) {
            e->permille = VPI_MAX(e->permille, event->permille);
            pthread_mutex_unlock(&e->lock);
            return;
        }
        e->last_progress = now;
    }
    if (event->kind == VP_EVENT_OBJECT) {
        e->objects++;
        e->bytes += event->bytes;
    }
    emit_locked(e, event);
    pthread_mutex_unlock(&e->lock);
}

void vpi_emit_stage(vpi_emitter *e, int32_t stage)
{
    vp_event event;
    vp_event_init(&event, sizeof(event));
    event.kind = VP_EVENT_STAGE;
    event.stage = stage;
    pthread_mutex_lock(&e->lock);
    bool news = stage > e->stage;
    if (news) {
        e->stage = stage;
        emit_locked(e, &event);
    }
    pthread_mutex_unlock(&e->lock);
}

void vpi_emit_warning(vpi_emitter *e, const char *name, int64_t time_us, const char *text)
{
    vp_event event;
    vp_event_init(&event, sizeof(event));
    event.kind = VP_EVENT_WARNING;
    event.time_us = time_us;
    vpi_strlcpy(event.reason, name, sizeof(event.reason));
    vpi_strlcpy(event.text, text ? text : "", sizeof(event.text));
    vpi_emit(e, &event);
}

void vpi_emit_object(vpi_emitter *e, const vp_object_info *info)
{
    vp_event event;
    vp_event_init(&event, sizeof(event));
    event.kind = VP_EVENT_OBJECT;
    event.object_kind = info->kind;
    event.bytes = info->size;
    event.crc32c = info->crc32c;
    vpi_strlcpy(event.key, info->key, sizeof(event.key));
    vpi_emit(e, &event);
}

int32_t vpi_emitter_answer(vpi_emitter *e)
{
    pthread_mutex_lock(&e->lock);
    int32_t answer = e->host_answer;
    pthread_mutex_unlock(&e->lock);
    return answer;
}

vp_status vp_queue_next_json(vp_queue *queue, int64_t timeout_ms, uint64_t *tag, vp_bytes **out,
                             vp_error *err)
{
    vpi_queued *e = NULL;
    vp_status st;

    vpi_error_reset(err);
    if (!out) return vpi_fail(err, VP_E_ARG, NULL, "out is needed");
    *out = NULL;
    if (!queue) return vpi_fail(err, VP_E_ARG, NULL, "queue and event are needed");
    st = vpi_queue_take(queue, timeout_ms, &e, err);
    if (st != VP_OK) return st;
    if (tag) *tag = e->event.tag;
    st = vp_event_json(&e->event, NULL, out, err);
    if (st < 0)
        vpi_queue_put_back(queue, e); /* the caller may ask again */
    else
        vpi_free(e);
    return st;
}
