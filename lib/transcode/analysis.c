/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdio.h>

#include "analysis_int.h"
#include "base/hash.h"
#include "io/scratch.h"
#include "record_int.h"

#define COPY_BYTES 65536u
#define STATS_MAX ((uint64_t)1 << 30) /* of a span: an hour of pictures is 100 MB */

struct vpi_analysis {
    vpi_scratch *scratch;
    char path[VPI_SCRATCH_PATH];
    uint32_t kbps[VPI_PLAN_RUNGS];
};

void vpi_analysis_value_name(const char *task, bool tree, char to[VPI_STATS_NAME])
{
    snprintf(to, VPI_STATS_NAME, "stats/%s%s", task, tree ? ".mbtree" : "");
}

static void tree_path(const char *path, char to[VPI_SCRATCH_PATH])
{
    snprintf(to, VPI_SCRATCH_PATH, "%.*s.mbtree", (int)VPI_SCRATCH_PATH - 8, path);
}

/* ---- cost ---- */

json_t *vpi_span_cost_to_json(const vpi_span_cost *c)
{
    json_t *o = json_object();
    bool ok = o && vpi_json_set_u64s(o, "texture", c->texture) && vpi_json_set_u64s(o, "motion", c->motion) &&
              vpi_json_set_u64s(o, "motion_intra", c->motion_intra) &&
              vpi_json_set_u64s(o, "other", c->other) && vpi_json_set_u64(o, "pictures", c->pictures) &&
              vpi_json_set_u64(o, "width", c->width) && vpi_json_set_u64(o, "height", c->height);
    if (ok) return o;
    json_decref(o);
    return NULL;
}

vp_status vpi_span_cost_from_json(const json_t *o, const char *where, vpi_span_cost *c, vp_error *err)
{
    static const char *const fields[] = { "texture",  "motion", "motion_intra", "other",
                                          "pictures", "width",  "height",       NULL };
    const uint64_t most = (uint64_t)1 << 62;
    VPI_TRY(vpi_json_fields(o, where, fields, err));
    VPI_TRY(vpi_json_u64(o, where, "texture", true, most, &c->texture, err));
    VPI_TRY(vpi_json_u64(o, where, "motion", true, most, &c->motion, err));
    VPI_TRY(vpi_json_u64(o, where, "motion_intra", true, most, &c->motion_intra, err));
    VPI_TRY(vpi_json_u64(o, where, "other", true, most, &c->other, err));
    VPI_TRY(vpi_json_u64(o, where, "pictures", true, most, &c->pictures, err));
    VPI_TRY(vpi_json_u32(o, where, "width", true, 65536, &c->width, err));
    VPI_TRY(vpi_json_u32(o, where, "height", true, 65536, &c->height, err));
    if (c->pictures && c->width && c->height) return VP_OK;
    return vpi_fail(err, VP_E_DATA, "INPUT_CORRUPT", "%s: a cost of nothing", where);
}

/* ---- into the store ---- */

static vp_status put_file(vpi_task_env *env, const char *path, const char *name, vp_error *err)
{
    char *block = vpi_alloc(COPY_BYTES);
    vp_object *value = NULL;
    FILE *file = fopen(path, "rbe");
    vp_status st;

    if (!block) VPI_GO(vpi_fail_nomem(err));
    if (!file) VPI_GO(vpi_fail_errno(err, errno, path, "statistics of the encoder could not be read"));
    VPI_GO(vpi_task_value_begin(env, name, &value, err));
    for (;;) {
        size_t n = fread(block, 1, COPY_BYTES, file);
        if (ferror(file))
            VPI_GO(vpi_fail_errno(err, EIO, path, "statistics of the encoder could not be read"));
        if (!n) break;
        VPI_GO(vp_object_write(value, block, n, err));
    }
    st = vpi_task_value_commit(env, name, value, err);
    value = NULL;
done:
    vp_object_abort(value);
    if (file) fclose(file);
    vpi_free(block);
    return st < 0 ? st : VP_OK;
}

static vp_status read_text(const char *path, vpi_buf *out, vp_error *err)
{
    FILE *file = fopen(path, "rbe");
    char block[4096];
    size_t n;
    bool failed;

    if (!file) return vpi_fail_errno(err, errno, path, "statistics of the encoder could not be read");
    while ((n = fread(block, 1, sizeof(block), file)) > 0 && out->size < STATS_MAX)
        vpi_buf_add(out, block, n);
    failed = ferror(file) || !feof(file);
    fclose(file);
    if (failed) return vpi_fail_errno(err, EIO, path, "statistics of the encoder could not be read");
    return vpi_buf_failed(out) ? vpi_fail_nomem(err) : VP_OK;
}

vp_status vpi_analysis_store(vpi_task_env *env, const char *path, vpi_span_cost *cost, vp_error *err)
{
    char name[VPI_STATS_NAME], tree[VPI_SCRATCH_PATH];
    vpi_buf text = { 0 };
    vp_status st = read_text(path, &text, err);

    if (st >= 0) st = vpi_span_cost_parse((const char *)text.data, text.size, cost, err);
    vpi_buf_dispose(&text);
    VPI_TRY(st);
    vpi_analysis_value_name(env->name, false, name);
    VPI_TRY(put_file(env, path, name, err));
    tree_path(path, tree);
    vpi_analysis_value_name(env->name, true, name);
    return put_file(env, tree, name, err);
}

/* ---- out of it ---- */

static vp_status copy_out(vpi_task_env *env, const vpi_value_note *note, FILE *file, uint32_t *crc,
                          vp_error *err)
{
    uint8_t *block = vpi_alloc(COPY_BYTES);
    vp_source *value = NULL;
    size_t got = 0;
    vp_status st;

    if (!block) return vpi_fail_nomem(err);
    VPI_GO(vp_store_open(env->work, note->name, &value, err));
    for (uint64_t at = 0; st == VP_OK && at < note->bytes; at += got) {
        VPI_GO(vpi_cancel_check(env->cancel, err));
        VPI_GO(vp_source_read_at(value, at, block, (size_t)VPI_MIN(note->bytes - at, (uint64_t)COPY_BYTES),
                                 &got, err));
        if (!got) break;
        *crc = vpi_crc32c(*crc, block, got);
        if (fwrite(block, 1, got, file) != got)
            VPI_GO(
                vpi_fail_errno(err, errno, note->name, "statistics could not be laid out for the encoder"));
    }
done:
    vp_source_unref(value);
    vpi_free(block);
    return st < 0 ? st : VP_OK;
}

/* What is lost or damaged is made again by the next run of its task. */
static vp_status get_file(vpi_task_env *env, const char *task, const vpi_value_note *note, const char *path,
                          vp_error *err)
{
    FILE *file = fopen(path, "wbe");
    uint32_t crc = 0;

    if (!file) return vpi_fail_errno(err, errno, path, "statistics could not be laid out for the encoder");
    vp_status st = copy_out(env, note, file, &crc, err);
    if (fclose(file) != 0 && st >= 0)
        st = vpi_fail_errno(err, errno, path, "statistics could not be laid out for the encoder");
    if (st < 0 || crc == note->crc32c) return st;
    vpi_task_redo(env, task);
    return vpi_fail(err, VP_E_DATA, "CHECKSUM_MISMATCH", "%s is lost or damaged; run again", note->name);
}

/* The two files of an analysis, path and path + ".mbtree". */
static vp_status get_files(vpi_task_env *env, const char *task, const char *path, vp_error *err)
{
    char name[VPI_STATS_NAME], tree[VPI_SCRATCH_PATH];
    vpi_place place = { .plan = env->plan, .work = env->work };
    vpi_value_note note;
    json_t *record = NULL;
    vp_status st = vpi_record_load(&place, task, &record, err);

    tree_path(path, tree);
    vpi_analysis_value_name(task, true, name);
    if (st == VP_END) st = vpi_fail(err, VP_E_CONFLICT, "TASKS_MISSING", "%s is not done", task);
    for (size_t n = 0; st == VP_OK; n++) {
        st = vpi_record_value(record, task, n, &note, err);
        if (st == VP_OK) st = get_file(env, task, &note, vpi_streq(note.name, name) ? tree : path, err);
    }
    json_decref(record);
    return st < 0 ? st : VP_OK;
}

static vp_status load_costs(vpi_task_env *env, vpi_solve_span *spans, vp_error *err)
{
    const vp_plan *plan = env->plan;
    vpi_place place = { .plan = plan, .work = env->work };

    for (size_t i = 0; i < plan->span_count; i++) {
        const vpi_plan_span *s = &plan->spans[i];
        uint64_t ticks =
            vpi_grid_start(&plan->grid, s->first + s->count) - vpi_grid_start(&plan->grid, s->first);
        const char *task = plan->task_names[vpi_plan_analysis_task(plan, i)];
        const json_t *cost = NULL;
        json_t *result = NULL;

        VPI_TRY(vpi_cancel_check(env->cancel, err));
        vp_status st = vpi_record_load(&place, task, &result, err);
        if (st == VP_END) st = vpi_fail(err, VP_E_CONFLICT, "TASKS_MISSING", "%s is not done", task);
        if (st >= 0) st = vpi_json_object(result, task, "cost", true, &cost, err);
        if (st >= 0) st = vpi_span_cost_from_json(cost, task, &spans[i].cost, err);
        json_decref(result);
        VPI_TRY(st);
        spans[i].duration_us =
            (uint64_t)vpi_rescale((int64_t)ticks, 1000000, plan->grid.timescale, VPI_NEAREST);
    }
    return VP_OK;
}

static vp_status solve(vpi_task_env *env, uint32_t kbps[VPI_PLAN_RUNGS], vp_error *err)
{
    const vp_plan *plan = env->plan;
    vpi_solve_span *spans = vpi_calloc(plan->span_count, sizeof(*spans));
    vp_status st = spans ? load_costs(env, spans, err) : vpi_fail_nomem(err);

    for (size_t i = 0; st >= 0 && i < plan->rung_count; i++) {
        const vpi_h264enc_options *e = &plan->rungs[i].enc;
        const vpi_solve_rung rung = { e->width, e->height, e->kbps, e->maxrate_kbps };
        vpi_solve(&rung, spans, plan->span_count);
        kbps[i] = spans[env->index].kbps;
    }
    vpi_free(spans);
    return st;
}

vp_status vpi_analysis_open(vpi_task_env *env, vpi_analysis **out, vp_error *err)
{
    const char *task = env->plan->task_names[vpi_plan_analysis_task(env->plan, env->index)];
    vpi_analysis *a = vpi_calloc(1, sizeof(*a));
    vp_status st;

    *out = NULL;
    if (!a) return vpi_fail_nomem(err);
    VPI_GO(solve(env, a->kbps, err));
    VPI_GO(vpi_scratch_new(&a->scratch, err));
    vpi_scratch_file(a->scratch, "stats", a->path);
    VPI_GO(get_files(env, task, a->path, err));
    *out = a;
    return VP_OK;
done:
    vpi_analysis_close(a);
    return st;
}

vpi_analysis *vpi_analysis_close(vpi_analysis *a)
{
    if (!a) return NULL;
    vpi_scratch_free(a->scratch);
    vpi_free(a);
    return NULL;
}

void vpi_analysis_use(const vpi_analysis *a, size_t rung, vpi_h264enc_options *enc)
{
    enc->stats = a->path;
    enc->kbps = a->kbps[rung];
}
