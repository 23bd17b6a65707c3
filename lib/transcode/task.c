/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>

#include "base/context.h"
#include "io/quick.h"
#include "plan_int.h"

void vpi_task_result_name(const char *task, char to[64])
{
    snprintf(to, 64, "result/%s", task);
}

static void lease_name(const char *task, char to[64])
{
    snprintf(to, 64, "lease/%s", task);
}

void vpi_task_part_name(const char *name, const char *task, char to[160])
{
    snprintf(to, 160, "part/%s/%s", name, task);
}

/* ---- what tasks share ---- */

static void tell_object(vpi_task_env *env, const vp_object_info *info)
{
    if (!env->options || !env->options->object) return;
    pthread_mutex_lock(&env->lock);
    env->options->object(env->options->object_user, info);
    pthread_mutex_unlock(&env->lock);
}

static const char *extension(int32_t container)
{
    return container == VP_CONTAINER_CMAF ? "m4s" : container == VP_CONTAINER_TS ? "ts" : "aac";
}

vp_status vpi_task_segment(vpi_task_env *env, vpi_ptrack *track, const char *kind, const char *name,
                           uint64_t number, vpi_segment_writer write, void *user, vp_error *err)
{
    char file[32], key[1024];
    vp_object *object = NULL;
    vp_object_info info = VP_OBJECT_INFO_INIT;
    uint64_t bytes = 0;
    uint32_t crc = 0;
    vpi_segment *entry = vpi_ptrack_add_segment(track);
    if (!entry) return vpi_fail_nomem(err);
    snprintf(file, sizeof(file), "%05llu.%s", (unsigned long long)number + 1, extension(track->container));
    if (!vpi_plan_key(env->plan, kind, name, file, key)) return vpi_fail(err, VP_E_ARG, NULL, "key too long");
    entry->key = vpi_strdup(key);
    if (!entry->key) return vpi_fail_nomem(err);
    info.kind = VP_OBJECT_SEGMENT;
    info.key = key;
    info.content_type = vpi_content_type(track->container, track->kind, VP_OBJECT_SEGMENT);
    info.cache_control = VPI_CACHE_LONG(env->plan->prefix);
    VPI_TRY(vp_sink_begin(env->sink, &info, &object, err));
    vp_status st = write(user, object, entry, err);
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

vp_status vpi_task_part_begin(vpi_task_env *env, const char *name, vp_object **out, vp_error *err)
{
    char part[160];
    vp_sink *parts = NULL;
    vp_object_info info = VP_OBJECT_INFO_INIT;
    vpi_task_part_name(name, env->name, part);
    info.kind = VP_OBJECT_OTHER;
    info.key = part;
    VPI_TRY(vpi_sink_over_store(env->context, env->work, &parts, err));
    vp_status st = vp_sink_begin(parts, &info, out, err);
    vp_sink_unref(parts);
    return st;
}

vp_status vpi_task_add_track(vpi_task_env *env, const vpi_ptrack *track, vp_error *err)
{
    json_t *o = vpi_ptrack_to_json(track);
    pthread_mutex_lock(&env->lock);
    bool ok = o && json_array_append_new(env->tracks, o) == 0;
    pthread_mutex_unlock(&env->lock);
    return ok ? VP_OK : vpi_fail_nomem(err);
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

/* 1 there, 0 not, negative on failure. */
static vp_status task_done(vp_store *work, const char *task, vp_error *err)
{
    char name[64];
    vp_source *value = NULL;
    vpi_task_result_name(task, name);
    vp_status st = vp_store_open(work, name, &value, err);
    vp_source_unref(value);
    return st < 0 ? st : st == VP_OK;
}

static vp_status check_needs(const vp_plan *plan, uint32_t index, vp_store *work, vp_error *err)
{
    const char *need;
    for (uint32_t n = 0; (need = vp_plan_get_need(plan, index, n)); n++) {
        vp_status st = task_done(work, need, err);
        if (st < 0) return st;
        if (!st) return vpi_fail(err, VP_E_CONFLICT, "TASKS_MISSING", "%s is not done", need);
    }
    return VP_OK;
}

/* ---- running ---- */

static vp_status put_result(vpi_task_env *env, vp_error *err)
{
    char name[64];
    vpi_buf text = { 0 };
    bool counted = vpi_json_set_u64(env->result, "concealed", env->concealed) &&
                   vpi_json_set_u64(env->result, "pictures", env->pictures);
    vp_status st = counted ? VP_OK : vpi_fail_nomem(err);
    if (st >= 0) st = vpi_json_dump(env->result, &text, err);
    /* objects first: a result may only name what is durable */
    if (st >= 0) st = vp_sink_flush(env->sink, err);
    if (st == VP_E_UNSUPPORTED) st = VP_OK;
    vpi_task_result_name(env->name, name);
    if (st >= 0) st = vp_store_put(env->work, name, text.data, text.size, err);
    vpi_buf_dispose(&text);
    return st < 0 ? st : VP_OK;
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

static vp_status run_leased(vpi_task_env *env, uint32_t index, vp_error *err)
{
    const vp_plan *plan = env->plan;
    vp_status st = task_done(env->work, env->name, err);
    if (st) return st < 0 ? st : VP_END;
    VPI_TRY(check_needs(plan, index, env->work, err));
    if (!vpi_streq(plan->build, vp_build_info()))
        return vpi_fail(err, VP_E_CONFLICT, "BUILD_MISMATCH",
                        "planned by another build of the library or its encoders");
    VPI_TRY(vpi_plan_check_source(plan, env->source, err));
    VPI_TRY(claim_folder(env, err));
    env->result = json_object();
    env->tracks = json_array();
    if (!env->result || !env->tracks || json_object_set_new(env->result, "vodpipe", json_integer(1)) ||
        !vpi_json_set_str(env->result, "plan", plan->hash) ||
        !vpi_json_set_str(env->result, "task", env->name) ||
        json_object_set(env->result, "tracks", env->tracks)) {
        st = vpi_fail_nomem(err);
    } else {
        int32_t kind = vpi_plan_task_kind(plan, index, &env->index);
        st = kind == VP_TASK_ANALYSE ? vpi_task_analyse(env, err)
             : kind == VP_TASK_AUDIO ? vpi_task_audio(env, err)
                                     : vpi_task_video(env, err);
    }
    if (st >= 0) st = put_result(env, err);
    json_decref(env->tracks);
    json_decref(env->result);
    return st < 0 ? st : VP_OK;
}

vp_status vp_task_run(vp_context *context, const vp_plan *plan, const char *task, vp_source *source,
                      vp_store *work, vp_sink *sink, const vp_task_options *options, vp_cancel *cancel,
                      vp_error *err)
{
    vp_task_options o = VP_TASK_OPTIONS_INIT;
    vpi_task_env env = { 0 };
    vp_lease *lease = NULL;
    char name[64];
    uint32_t index = 0;
    vpi_error_reset(err);
    if (!context || !plan || !task || !source || !work || !sink)
        return vpi_fail(err, VP_E_ARG, NULL, "context, plan, task, source, work and sink are needed");
    VPI_TRY(vpi_context_check(context, err));
    VPI_TRY(vpi_copy_struct(&o, sizeof(o), options, err));
    VPI_TRY(find_task(plan, task, &index, err));
    lease_name(task, name);
    vp_status st = vp_store_lease(work, name, &lease, NULL, err);
    if (st != VP_OK) return st;
    env.context = context;
    env.plan = plan;
    env.name = plan->task_names[index];
    env.source = source;
    env.work = work;
    env.sink = sink;
    env.options = &o;
    env.cancel = cancel;
    pthread_mutex_init(&env.lock, NULL);
    st = run_leased(&env, index, err);
    pthread_mutex_destroy(&env.lock);
    vp_lease_release(lease);
    vpi_error_op(err, task);
    return st;
}

vp_status vp_plan_done(const vp_plan *plan, vp_store *work, uint32_t *done, vp_error *err)
{
    vpi_error_reset(err);
    if (!plan || !work || !done) return vpi_fail(err, VP_E_ARG, NULL, "plan, work and done are needed");
    *done = 0;
    for (uint32_t i = 0; i < vp_plan_task_count(plan); i++) {
        vp_status st = task_done(work, plan->task_names[i], err);
        if (st < 0) return st;
        *done += st ? 1 : 0;
    }
    return VP_OK;
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
        vp_status st = task_done(work, plan->task_names[i], err);
        if (st < 0) return st;
        if (st) continue;
        open = true;
        st = check_needs(plan, i, work, NULL);
        if (st == VP_E_CONFLICT) continue;
        if (st < 0) return check_needs(plan, i, work, err);
        lease_name(plan->task_names[i], lease_key);
        st = vp_store_lease(work, lease_key, &lease, NULL, err);
        if (st < 0) return st;
        vp_lease_release(lease);
        if (st == VP_AGAIN) continue;
        vpi_strlcpy(name, plan->task_names[i], capacity);
        return VP_OK;
    }
    return open ? VP_AGAIN : VP_END;
}
