/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>

#include "base/context.h"
#include "io/quick.h"
#include "model/fill.h"
#include "io/io.h"
#include "media/demux.h"
#include "record_int.h"

void vpi_task_part_name(const char *track, const char *task, char to[160])
{
    snprintf(to, 160, "part/%s/%s", track, task);
}

/* ---- what tasks share ---- */

static void tell_object(vpi_task_env *env, const vp_object_info *info)
{
    if (!env->options || !env->options->object) return;
    pthread_mutex_lock(&env->lock);
    env->options->object(env->options->object_user, info);
    pthread_mutex_unlock(&env->lock);
}

/*
 * Who was stopped for longer than its lease lasts must not write on: others have done the task, and the title may be
 * gone. (First commits win, and all bytes are equal, where it comes between this and the write.)
 */
static vp_status check_lease(vpi_task_env *env, vp_error *err)
{
    pthread_mutex_lock(&env->lock);
    vp_status st = vp_lease_renew(env->lease, err);
    pthread_mutex_unlock(&env->lock);
    return st;
}

vp_status vpi_task_segment(vpi_task_env *env, vpi_ptrack *track, const char *kind, const char *name,
                           uint64_t number, vpi_track_guard *guard, vpi_segment_writer write, void *user,
                           vp_error *err)
{
    char file[32], key[1024];
    vp_object *object = NULL;
    vp_object_info info = VP_OBJECT_INFO_INIT;
    uint64_t bytes = 0;
    uint32_t crc = 0;
    vpi_segment *entry = vpi_ptrack_add_segment(track);
    if (!entry) return vpi_fail_nomem(err);
    snprintf(file, sizeof(file), "%05llu.%s", (unsigned long long)number + 1, vpi_segment_suffix(track));
    if (!vpi_plan_key(env->plan, kind, name, file, key)) return vpi_fail(err, VP_E_ARG, NULL, "key too long");
    entry->key = vpi_strdup(key);
    if (!entry->key) return vpi_fail_nomem(err);
    info.kind = VP_OBJECT_SEGMENT;
    info.key = key;
    info.content_type = vpi_segment_type(track);
    info.cache_control = VPI_CACHE_LONG(env->plan->prefix);
    VPI_TRY(vp_sink_begin(env->sink, &info, &object, err));
    vp_status st = vpi_track_guard_begin(guard, number, object, entry, err);
    if (st >= 0) st = write(user, object, entry, err);
    if (st >= 0) st = vpi_track_guard_end(guard, object, entry, 0, err);
    if (st >= 0) st = check_lease(env, err);
    if (st < 0) {
        vp_object_abort(object);
        vpi_error_key(err, key);
        return st;
    }
    st = vp_object_commit(object, &bytes, &crc, err);
    if (st < 0) return st;
    if (bytes != entry->bytes)
        return vpi_fail(err, VP_E_INTERNAL, NULL, "%s: size differs from its plan", key);
    entry->crc32c = crc;
    info.size = bytes;
    info.crc32c = crc;
    info.has_crc32c = 1;
    tell_object(env, &info);
    return VP_OK;
}

vp_status vpi_task_value_begin(vpi_task_env *env, const char *name, vp_object **out, vp_error *err)
{
    vp_sink *values = NULL;
    vp_object_info info = VP_OBJECT_INFO_INIT;
    info.kind = VP_OBJECT_OTHER;
    info.key = name;
    VPI_TRY(vpi_sink_over_store(env->context, env->work, &values, err));
    vp_status st = vp_sink_begin(values, &info, out, err);
    vp_sink_unref(values);
    return st;
}

vp_status vpi_task_value_commit(vpi_task_env *env, const char *name, vp_object *value, vp_error *err)
{
    vpi_value_note note;
    vp_status st = check_lease(env, err);
    if (st < 0) {
        vp_object_abort(value);
        return st;
    }
    vpi_strlcpy(note.name, name, sizeof(note.name));
    VPI_TRY(vp_object_commit(value, &note.bytes, &note.crc32c, err));
    return vpi_task_add_value(env, &note, err);
}

vp_status vpi_task_part_begin(vpi_task_env *env, const char *track, vp_object **out, vp_error *err)
{
    char name[160];
    vpi_task_part_name(track, env->name, name);
    return vpi_task_value_begin(env, name, out, err);
}

vp_status vpi_task_part_commit(vpi_task_env *env, const char *track, vp_object *part, vp_error *err)
{
    char name[160];
    vpi_task_part_name(track, env->name, name);
    return vpi_task_value_commit(env, name, part, err);
}

/* Takes o over. */
static vp_status add_to(vpi_task_env *env, json_t *list, json_t *o, vp_error *err)
{
    pthread_mutex_lock(&env->lock);
    bool ok = o && json_array_append_new(list, o) == 0;
    pthread_mutex_unlock(&env->lock);
    return ok ? VP_OK : vpi_fail_nomem(err);
}

vp_status vpi_task_add_value(vpi_task_env *env, const vpi_value_note *value, vp_error *err)
{
    char crc[9];
    json_t *o = json_object();
    snprintf(crc, sizeof(crc), "%08x", (unsigned)value->crc32c);
    if (o && vpi_json_set_str(o, "name", value->name) && vpi_json_set_u64(o, "bytes", value->bytes) &&
        vpi_json_set_str(o, "crc32c", crc))
        return add_to(env, env->values, o, err);
    json_decref(o);
    return vpi_fail_nomem(err);
}

vp_status vpi_task_add_track(vpi_task_env *env, const vpi_ptrack *track, vp_error *err)
{
    return add_to(env, env->tracks, vpi_ptrack_to_json(track), err);
}

void vpi_task_redo(vpi_task_env *env, const char *task)
{
    vpi_log(env->context, VP_LOG_WARN, "transcode", "%s is to be done again: what it made is lost or damaged",
            task);
    vpi_record_drop(env->work, task, NULL);
}

/* ---- checks ---- */

vp_status vpi_plan_check_source(const vp_plan *plan, vp_source *source, vp_error *err)
{
    uint8_t digest[32];
    char hex[65];
    uint64_t size = 0;
    VPI_TRY(vp_source_size(source, &size, err));
    if (size == plan->source_size) {
        VPI_TRY(vpi_source_quick_hash(source, digest, err));
        for (int i = 0; i < 32; i++) snprintf(hex + 2 * i, 3, "%02x", digest[i]);
        if (vpi_streq(hex, plan->quick)) return VP_OK;
    }
    return vpi_fail(err, VP_E_CONFLICT, "SOURCE_CHANGED", "the source is not the one that was planned");
}

static vp_status find_task(const vp_plan *plan, const char *name, uint32_t *index, vp_error *err)
{
    for (uint32_t i = 0; i < vp_plan_task_count(plan); i++) {
        if (!vpi_streq(plan->task_names[i], name)) continue;
        *index = i;
        return VP_OK;
    }
    return vpi_fail(err, VP_E_ARG, NULL, "no task is called %s", name);
}

static vp_status check_needs(const vp_plan *plan, uint32_t index, vp_store *work, vp_error *err)
{
    const char *need;
    for (uint32_t n = 0; (need = vp_plan_get_need(plan, index, n)); n++) {
        vp_status st = vpi_record_check(plan, work, need, err);
        if (st < 0) return st;
        if (st == VP_END) return vpi_fail(err, VP_E_CONFLICT, "TASKS_MISSING", "%s is not done", need);
    }
    return VP_OK;
}

/* ---- running ---- */

static vp_status begin_record(vpi_task_env *env, vp_error *err)
{
    env->record = json_object();
    env->tracks = json_array();
    env->values = json_array();
    /* in this order: readers go by how a record begins */
    bool ok = env->record && env->tracks && env->values && vpi_json_set_u64(env->record, "vodpipe", 1) &&
              vpi_json_set_str(env->record, "plan", env->plan->hash) &&
              vpi_json_set_str(env->record, "task", env->name) &&
              json_object_set(env->record, "tracks", env->tracks) == 0 &&
              json_object_set(env->record, "values", env->values) == 0;
    return ok ? VP_OK : vpi_fail_nomem(err);
}

static void drop_record(vpi_task_env *env)
{
    json_decref(env->values);
    json_decref(env->tracks);
    json_decref(env->record);
}

/* failures: of the sink, when the task began. */
static vp_status put_record(vpi_task_env *env, uint64_t failures, vp_error *err)
{
    if (!vpi_json_set_u64(env->record, "concealed", env->concealed) ||
        !vpi_json_set_u64(env->record, "pictures", env->pictures))
        return vpi_fail_nomem(err);
    /* objects first: a record may only name what is durable */
    VPI_TRY(vp_sink_flush(env->sink, err));
    if (vpi_sink_failures(env->sink) != failures)
        return vpi_fail(err, VP_E_IO, NULL,
                        "another task was told of an object that was lost; it may be of this one");
    VPI_TRY(check_lease(env, err));
    return vpi_record_put(env->work, env->name, env->record, err);
}

/* Whoever comes first marks the folder, before anything is in it; another title's folder is left alone. */
static vp_status claim_folder(vpi_task_env *env, vp_error *err)
{
    char key[1024];
    vp_object_info info;
    vp_status st = vpi_marker_check(env->sink, env->plan->prefix, env->plan->request, err);
    if (st != VP_END) return st;
    VPI_TRY(vpi_marker_write(env->sink, env->plan->prefix, env->plan->request, &info, key, err));
    tell_object(env, &info);
    return VP_OK;
}

/* VP_OK: done, with all that its record names. VP_END: not. */
static vp_status is_done(vpi_task_env *env, vp_error *err)
{
    vpi_place place = { .context = env->context, .plan = env->plan, .work = env->work, .sink = env->sink };
    vp_status st = vpi_record_load(&place, env->name, NULL, err);
    vpi_place_dispose(&place);
    return st;
}

vp_status vpi_plan_keyring(const vp_plan *plan, struct vp_keys *keys, const char *title, vpi_keyring **out,
                           vp_error *err)
{
    *out = NULL;
    if (plan->scheme == VPI_SCHEME_NONE) return VP_OK;
    if (!keys) return vpi_fail(err, VP_E_AUTH, "KEY_MISSING", "the plan encrypts: its keys are needed again");
    const vpi_keys_ops *ops = vpi_keys_ops_of(keys);
    vp_status st = ops->new_ring(keys, plan->scheme, title, plan->seed, out, err);
    for (size_t i = 0; st >= 0 && i < plan->protection_count; i++)
        st = ops->match(*out, &plan->protections[i], err);
    if (st >= 0) return VP_OK;
    ops->free_ring(*out);
    *out = NULL;
    return st;
}

/* Analysis needs no keys. */
static vp_status run_kind(vpi_task_env *env, uint32_t index, vp_error *err)
{
    int32_t kind = vpi_plan_task_kind(env->plan, index, &env->index);
    struct vp_keys *keys = env->options->keys;
    vpi_keyring *ring = NULL;
    vp_status st = VP_OK;
    if (kind == VP_TASK_ANALYSE) return vpi_task_analyse(env, err);
    if (!env->guard.open) st = vpi_plan_keyring(env->plan, keys, env->options->title, &ring, err);
    if (ring) vpi_keys_ops_of(keys)->guard(ring, &env->guard);
    if (st >= 0) st = kind == VP_TASK_AUDIO ? vpi_task_audio(env, err) : vpi_task_video(env, err);
    if (ring) vpi_keys_ops_of(keys)->free_ring(ring);
    return st;
}

static vp_status run_leased(vpi_task_env *env, uint32_t index, vp_error *err)
{
    const vp_plan *plan = env->plan;
    vp_status st = is_done(env, err);
    if (st != VP_END) return st < 0 ? st : VP_END;
    VPI_TRY(check_needs(plan, index, env->work, err));
    VPI_TRY(vpi_media_load(err)); /* else the build would be blamed */
    if (!vpi_streq(plan->build, vp_build_info()))
        return vpi_fail(err, VP_E_CONFLICT, "BUILD_MISMATCH",
                        "planned by another build of the library or its encoders");
    VPI_TRY(vpi_plan_check_source(plan, env->source, err));
    VPI_TRY(check_lease(env, err));
    VPI_TRY(vpi_record_clear(plan, index, env->work, err));
    VPI_TRY(claim_folder(env, err));
    vpi_log(env->context, VP_LOG_INFO, "transcode", "%s begins", env->name);
    uint64_t failures = vpi_sink_failures(env->sink);
    st = begin_record(env, err);
    if (st >= 0) st = run_kind(env, index, err);
    if (st >= 0) st = put_record(env, failures, err);
    if (st >= 0) vpi_log(env->context, VP_LOG_INFO, "transcode", "%s is done", env->name);
    drop_record(env);
    return st;
}

vp_status vpi_task_run(vp_context *context, const vp_plan *plan, const char *task, vp_source *source,
                       vp_store *work, vp_sink *sink, const vp_task_options *options, const vpi_guard *guard,
                       vp_cancel *cancel, vp_error *err)
{
    vp_task_options o = VP_TASK_OPTIONS_INIT;
    vpi_task_env env = { 0 };
    char name[64];
    uint32_t index = 0;
    vpi_error_reset(err);
    if (!context || !plan || !task || !source || !work || !sink)
        return vpi_fail(err, VP_E_ARG, NULL, "context, plan, task, source, work and sink are needed");
    VPI_TRY(vpi_context_check(context, err));
    VPI_TRY(vpi_copy_struct(&o, sizeof(o), options, err));
    VPI_TRY(find_task(plan, task, &index, err));
    vpi_record_lease_name(task, name);
    vp_cancel *before = vpi_cancel_enter(cancel);
    vp_status st = vp_store_lease(work, name, &env.lease, NULL, err);
    if (st != VP_OK) {
        vp_cancel_scope(before);
        return st;
    }
    env.context = context;
    env.plan = plan;
    env.name = plan->task_names[index];
    env.source = source;
    env.work = work;
    env.sink = sink;
    env.options = &o;
    env.cancel = cancel;
    if (guard) env.guard = *guard;
    pthread_mutex_init(&env.lock, NULL);
    st = run_leased(&env, index, err);
    pthread_mutex_destroy(&env.lock);
    vp_lease_release(env.lease);
    vp_cancel_scope(before);
    vpi_error_op(err, task);
    return st;
}

vp_status vp_task_run(vp_context *context, const vp_plan *plan, const char *task, vp_source *source,
                      vp_store *work, vp_sink *sink, const vp_task_options *options, vp_cancel *cancel,
                      vp_error *err)
{
    return vpi_task_run(context, plan, task, source, work, sink, options, NULL, cancel, err);
}

void vp_progress_init(vp_progress *progress, size_t size)
{
    static const vp_progress init = VP_PROGRESS_INIT;
    vpi_struct_init(progress, size, &init, sizeof(init));
}

vp_status vp_plan_progress(const vp_plan *plan, vp_store *work, vp_progress *out, vp_error *err)
{
    vp_progress p = VP_PROGRESS_INIT;
    vpi_error_reset(err);
    if (!plan || !work || !out) return vpi_fail(err, VP_E_ARG, NULL, "plan, work and progress are needed");
    p.tasks_total = vp_plan_task_count(plan);
    for (uint32_t i = 0; i < p.tasks_total; i++) {
        vp_task_info info;
        vp_task_info_init(&info, sizeof(info));
        VPI_TRY(vp_plan_get_task(plan, i, &info, err));
        vp_status st = vpi_record_check(plan, work, info.name, err);
        if (st < 0) return st;
        p.cpu_total_us += info.cpu_us;
        if (st != VP_OK) continue;
        p.tasks_done++;
        p.cpu_done_us += info.cpu_us;
    }
    p.permille = p.cpu_total_us ? (uint32_t)(p.cpu_done_us * 1000 / p.cpu_total_us) : 0;
    p.permille = p.tasks_done == p.tasks_total ? 1000 : VPI_MIN(p.permille, 999u);
    return vpi_fill_struct(out, &p, sizeof(p), err);
}

vp_status vp_plan_next(const vp_plan *plan, vp_store *work, char *name, uint32_t capacity, vp_error *err)
{
    bool open = false;
    vpi_error_reset(err);
    if (!plan || !work || !name || !capacity)
        return vpi_fail(err, VP_E_ARG, NULL, "plan, work and name are needed");
    for (uint32_t i = 0; i < vp_plan_task_count(plan); i++) {
        char lease_key[64];
        vp_lease *lease = NULL;
        vp_error why = VP_ERROR_INIT;
        vp_status st = vpi_record_check(plan, work, plan->task_names[i], err);
        if (st < 0) return st;
        if (st == VP_OK) continue;
        open = true;
        st = check_needs(plan, i, work, &why);
        if (st == VP_E_CONFLICT) continue;
        if (st < 0) {
            vpi_error_copy(err, &why);
            return st;
        }
        vpi_record_lease_name(plan->task_names[i], lease_key);
        st = vp_store_lease(work, lease_key, &lease, NULL, err);
        if (st < 0) return st;
        vp_lease_release(lease);
        if (st == VP_AGAIN) continue;
        vpi_strlcpy(name, plan->task_names[i], capacity);
        return VP_OK;
    }
    return open ? VP_AGAIN : VP_END;
}
