/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "analysis_int.h"
#include "base/hash.h"
#include "io/scratch.h"
#include "record_int.h"

#define COPY_BYTES 65536u
#define QP_MILLI_MAX ((uint64_t)100000)
#define STATS_MAX ((uint64_t)1 << 30) /* of a span: an hour of pictures is 100 MB */

typedef struct rung_rate {       /* of this span */
    char path[VPI_SCRATCH_PATH]; /* of the statistics, with the span's macroblock tree beside them */
    uint32_t kbps;
    bool tight;      /* the encoder has to mind the buffer */
    vpi_zone *zones; /* a GOP each */
} rung_rate;

struct vpi_analysis {
    vpi_scratch *scratch;
    char path[VPI_SCRATCH_PATH];
    uint32_t width, height; /* of the first pass */
    vpi_solve_gop *gops;    /* of the title */
    size_t gop_count;
    size_t first, count; /* of this span */
    rung_rate rungs[VPI_PLAN_RUNGS];
};

void vpi_analysis_value_name(const char *task, bool tree, char to[VPI_STATS_NAME])
{
    snprintf(to, VPI_STATS_NAME, "stats/%s%s", task, tree ? ".mbtree" : "");
}

static void tree_path(const char *path, char to[VPI_SCRATCH_PATH])
{
    snprintf(to, VPI_SCRATCH_PATH, "%.*s.mbtree", (int)VPI_SCRATCH_PATH - 8, path);
}

/* ---- costs ---- */

#define PART_NUMBERS (5 + VPI_GAUGE_POINTS)
#define GOP_NUMBERS (2 + 2 * PART_NUMBERS)

static bool add_number(json_t *list, uint64_t n)
{
    return json_array_append_new(list, json_integer((json_int_t)n)) == 0;
}

static bool part_to_json(const vpi_cost_part *p, json_t *list)
{
    bool ok = add_number(list, p->texture) && add_number(list, p->motion) && add_number(list, p->other) &&
              add_number(list, p->bits) && add_number(list, p->qp_milli);

    for (size_t i = 0; ok && i < VPI_GAUGE_POINTS; i++) ok = add_number(list, p->gauge[i]);
    return ok;
}

/* Numbers alone, in the order of the struct: there is a list for each GOP of the title. */
static json_t *gop_to_json(const vpi_cost *c)
{
    json_t *list = json_array();

    if (add_number(list, c->pictures) && add_number(list, c->qp_milli) && part_to_json(&c->intra, list) &&
        part_to_json(&c->inter, list))
        return list;
    json_decref(list);
    return NULL;
}

json_t *vpi_costs_to_json(const vpi_costs *c)
{
    json_t *o = json_object(), *list = json_array();
    bool ok = vpi_json_set_u64(o, "width", c->width) && vpi_json_set_u64(o, "height", c->height);

    for (size_t i = 0; ok && i < c->count; i++)
        ok = json_array_append_new(list, gop_to_json(&c->gops[i])) == 0;
    ok = ok && json_object_set(o, "gops", list) == 0;
    json_decref(list);
    if (ok) return o;
    json_decref(o);
    return NULL;
}

static void part_from_json(const json_t *list, size_t at, vpi_cost_part *p)
{
    uint64_t numbers[PART_NUMBERS];

    for (size_t i = 0; i < PART_NUMBERS; i++)
        numbers[i] = (uint64_t)json_integer_value(json_array_get(list, at + i));
    p->texture = numbers[0];
    p->motion = numbers[1];
    p->other = numbers[2];
    p->bits = numbers[3];
    p->qp_milli = (uint32_t)VPI_MIN(numbers[4], QP_MILLI_MAX);
    for (size_t i = 0; i < VPI_GAUGE_POINTS; i++) p->gauge[i] = numbers[5 + i];
}

static bool gop_from_json(const json_t *list, vpi_cost *c)
{
    if (json_array_size(list) != GOP_NUMBERS) return false;
    for (size_t i = 0; i < GOP_NUMBERS; i++) {
        const json_t *n = json_array_get(list, i);

        if (!json_is_integer(n) || json_integer_value(n) < 0) return false;
    }
    c->pictures = (uint64_t)json_integer_value(json_array_get(list, 0));
    c->qp_milli = (uint32_t)VPI_MIN((uint64_t)json_integer_value(json_array_get(list, 1)), QP_MILLI_MAX);
    part_from_json(list, 2, &c->intra);
    part_from_json(list, 2 + PART_NUMBERS, &c->inter);
    return c->pictures > 0;
}

vp_status vpi_costs_from_json(const json_t *o, const char *where, vpi_costs *c, vp_error *err)
{
    static const char *const fields[] = { "width", "height", "gops", NULL };
    const json_t *list = NULL;
    size_t n;

    *c = (vpi_costs){ 0 };
    VPI_TRY(vpi_json_fields(o, where, fields, err));
    VPI_TRY(vpi_json_u32(o, where, "width", true, 65536, &c->width, err));
    VPI_TRY(vpi_json_u32(o, where, "height", true, 65536, &c->height, err));
    VPI_TRY(vpi_json_array(o, where, "gops", true, &list, err));
    n = json_array_size(list);
    if (!n || !c->width || !c->height)
        return vpi_fail(err, VP_E_DATA, "INPUT_CORRUPT", "%s: costs of nothing", where);
    c->gops = vpi_calloc(n, sizeof(*c->gops));
    if (!c->gops) return vpi_fail_nomem(err);
    for (; c->count < n; c->count++) {
        if (gop_from_json(json_array_get(list, c->count), &c->gops[c->count])) continue;
        vpi_costs_dispose(c);
        return vpi_fail(err, VP_E_DATA, "INPUT_CORRUPT", "%s: costs that are no numbers", where);
    }
    return VP_OK;
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

/* x264 writes a type and two bytes for each macroblock, and does not look whether the last of it could be written. */
static vp_status check_tree(const char *path, const vpi_costs *c, vp_error *err)
{
    uint64_t blocks = (uint64_t)((c->width + 15) / 16) * ((c->height + 15) / 16);
    struct stat s;

    if (stat(path, &s) != 0) return vpi_fail_errno(err, errno, path, "statistics of the encoder");
    if ((uint64_t)s.st_size == c->kept * (1 + 2 * blocks)) return VP_OK;
    return vpi_fail(err, VP_E_IO, NULL, "a macroblock tree of %llu bytes for %llu pictures",
                    (unsigned long long)s.st_size, (unsigned long long)c->kept);
}

vp_status vpi_analysis_store(vpi_task_env *env, const char *path, vpi_costs *costs, vp_error *err)
{
    char name[VPI_STATS_NAME], tree[VPI_SCRATCH_PATH];
    vpi_buf text = { 0 };
    vp_status st = read_text(path, &text, err);

    if (st >= 0) st = vpi_costs_parse((const char *)text.data, text.size, costs, err);
    vpi_buf_dispose(&text);
    VPI_TRY(st);
    tree_path(path, tree);
    VPI_TRY(check_tree(tree, costs, err));
    vpi_analysis_value_name(env->name, false, name);
    VPI_TRY(put_file(env, path, name, err));
    vpi_analysis_value_name(env->name, true, name);
    return put_file(env, tree, name, err);
}

/* ---- out of it ---- */

static vp_status not_laid_out(const char *name, vp_error *err)
{
    return vpi_fail_errno(err, errno, name, "statistics could not be laid out for the encoder");
}

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
        if (fwrite(block, 1, got, file) != got) VPI_GO(not_laid_out(note->name, err));
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

    if (!file) return not_laid_out(path, err);
    vp_status st = copy_out(env, note, file, &crc, err);
    if (fclose(file) != 0 && st >= 0) st = not_laid_out(path, err);
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

/* What a task of analysis found, for the GOPs of its span. */
static vp_status take_costs(vpi_analysis *a, const vp_plan *plan, size_t span, const vpi_costs *costs,
                            vp_error *err)
{
    const vpi_plan_span *s = &plan->spans[span];
    uint64_t first = vpi_grid_fragments(&plan->grid, s->first);
    uint64_t end = vpi_grid_fragments(&plan->grid, s->first + s->count);

    if (costs->count != end - first || (span && (costs->width != a->width || costs->height != a->height)))
        return vpi_fail(err, VP_E_DATA, "INPUT_CORRUPT", "the analysis of span %zu is not of this plan",
                        span);
    a->width = costs->width;
    a->height = costs->height;
    for (uint64_t n = first; n < end; n++) {
        uint64_t at = vpi_grid_fragment_start(&plan->grid, n);
        uint64_t next = n + 1 < a->gop_count ? vpi_grid_fragment_start(&plan->grid, n + 1) : plan->grid.total;
        a->gops[n].cost = costs->gops[n - first];
        a->gops[n].duration_us =
            (uint64_t)vpi_rescale((int64_t)(next - at), 1000000, plan->grid.timescale, VPI_NEAREST);
    }
    return VP_OK;
}

static vp_status load_costs(vpi_task_env *env, vpi_analysis *a, vp_error *err)
{
    const vp_plan *plan = env->plan;
    vpi_place place = { .plan = plan, .work = env->work };

    for (size_t i = 0; i < plan->span_count; i++) {
        const char *task = plan->task_names[vpi_plan_analysis_task(plan, i)];
        const json_t *cost = NULL;
        json_t *result = NULL;
        vpi_costs costs = { 0 };

        VPI_TRY(vpi_cancel_check(env->cancel, err));
        vp_status st = vpi_record_load(&place, task, &result, err);
        if (st == VP_END) st = vpi_fail(err, VP_E_CONFLICT, "TASKS_MISSING", "%s is not done", task);
        if (st >= 0) st = vpi_json_object(result, task, "cost", true, &cost, err);
        if (st >= 0) st = vpi_costs_from_json(cost, task, &costs, err);
        if (st >= 0) st = take_costs(a, plan, i, &costs, err);
        vpi_costs_dispose(&costs);
        json_decref(result);
        VPI_TRY(st);
    }
    return VP_OK;
}

static vpi_solve_rung solve_rung(const vp_plan *plan, const vpi_analysis *a, size_t rung)
{
    const vpi_h264enc_options *e = &plan->rungs[rung].enc;
    return (vpi_solve_rung){ e->width, e->height,       a->width,       a->height,
                             e->kbps,  e->maxrate_kbps, e->bufsize_kbit };
}

/* The solved GOPs of this span as a rung's encoder is told them. */
static vp_status set_rate(vpi_analysis *a, const vpi_solve_rung *rung, rung_rate *r, vp_error *err)
{
    const vpi_solve_gop *gops = a->gops + a->first;
    double mean = 0;
    uint64_t picture = 0;

    for (size_t i = 0; i < a->count; i++) mean += log(gops[i].q) / (double)a->count;
    r->kbps = vpi_solve_kbps(rung, gops, a->count);
    r->zones = vpi_calloc(a->count, sizeof(*r->zones));
    if (!r->zones) return vpi_fail_nomem(err);
    for (size_t i = 0; i < a->count; i++) {
        r->zones[i].first = (uint32_t)picture;
        picture += gops[i].cost.pictures;
        r->zones[i].last = (uint32_t)(picture - 1);
        r->zones[i].factor = (float)(exp(mean) / gops[i].q);
    }
    return VP_OK;
}

/* The statistics as this rung's encoder has to read them; the tree is the same for all. */
static vp_status lay_out(const vpi_analysis *a, size_t rung, const vpi_buf *text, rung_rate *r, vp_error *err)
{
    char name[32], tree[VPI_SCRATCH_PATH], rung_tree[VPI_SCRATCH_PATH];
    vpi_buf scaled = { 0 };
    FILE *file = NULL;
    vp_status st;

    snprintf(name, sizeof(name), "stats-%zu", rung);
    vpi_scratch_file(a->scratch, name, r->path);
    tree_path(a->path, tree);
    tree_path(r->path, rung_tree);
    VPI_GO(vpi_solve_statistics((const char *)text->data, text->size, a->gops + a->first, a->count, &scaled,
                                err));
    file = fopen(r->path, "wbe");
    if (!file || fwrite(scaled.data, 1, scaled.size, file) != scaled.size || symlink(tree, rung_tree) != 0)
        st = not_laid_out(r->path, err);
done:
    if (file && fclose(file) != 0 && st >= 0) st = not_laid_out(r->path, err);
    vpi_buf_dispose(&scaled);
    return st;
}

static vp_status solve_rate(vpi_task_env *env, vpi_analysis *a, size_t rung, const vpi_buf *text,
                            vp_error *err)
{
    const vp_plan *plan = env->plan;
    const vpi_solve_rung to = solve_rung(plan, a, rung);
    rung_rate *r = &a->rungs[rung];

    VPI_TRY(vpi_solve(&to, a->gops, a->gop_count, err));
    VPI_TRY(set_rate(a, &to, r, err));
    VPI_TRY(vpi_solve_buffer((const char *)text->data, text->size, &to, a->gops + a->first, a->count,
                             &r->tight, err));
    VPI_TRY(lay_out(a, rung, text, r, err));
    /* times that vary make bursts that a mean does not tell */
    r->tight = r->tight || plan->video.variable;
    vpi_log(env->context, VP_LOG_DEBUG, "transcode", "%s, %s: %u kbit/s%s", env->name, plan->rungs[rung].name,
            (unsigned)r->kbps, r->tight ? ", minding the buffer" : "");
    return VP_OK;
}

static vp_status solve(vpi_task_env *env, vpi_analysis *a, vp_error *err)
{
    vpi_buf text = { 0 };
    vp_status st = read_text(a->path, &text, err);

    for (size_t i = 0; st >= 0 && i < env->plan->rung_count; i++) st = solve_rate(env, a, i, &text, err);
    vpi_buf_dispose(&text);
    return st;
}

vp_status vpi_analysis_open(vpi_task_env *env, vpi_analysis **out, vp_error *err)
{
    const vp_plan *plan = env->plan;
    const vpi_plan_span *span = &plan->spans[env->index];
    const char *task = plan->task_names[vpi_plan_analysis_task(plan, env->index)];
    vpi_analysis *a = vpi_calloc(1, sizeof(*a));
    vp_status st;

    *out = NULL;
    if (!a) return vpi_fail_nomem(err);
    a->first = (size_t)vpi_grid_fragments(&plan->grid, span->first);
    a->count = (size_t)vpi_grid_fragments(&plan->grid, span->first + span->count) - a->first;
    a->gop_count = (size_t)vpi_grid_fragments(&plan->grid, vpi_grid_segments(&plan->grid));
    a->gops = vpi_calloc(a->gop_count, sizeof(*a->gops));
    if (!a->gops) VPI_GO(vpi_fail_nomem(err));
    VPI_GO(load_costs(env, a, err));
    VPI_GO(vpi_scratch_new(&a->scratch, err));
    vpi_scratch_file(a->scratch, "stats", a->path);
    VPI_GO(get_files(env, task, a->path, err));
    VPI_GO(solve(env, a, err));
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
    for (size_t i = 0; i < VPI_PLAN_RUNGS; i++) vpi_free(a->rungs[i].zones);
    vpi_free(a->gops);
    vpi_free(a);
    return NULL;
}

void vpi_analysis_use(const vpi_analysis *a, size_t rung, vpi_h264enc_options *enc)
{
    const rung_rate *r = &a->rungs[rung];
    enc->stats = r->path;
    enc->kbps = r->kbps;
    enc->zones = r->zones;
    enc->zone_count = a->count;
    if (!r->tight) enc->maxrate_kbps = enc->bufsize_kbit = 0;
}
