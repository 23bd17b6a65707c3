/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>

#include "base/context.h"
#include "base/hash.h"
#include "io/quick.h"
#include "record_int.h"

/* From the records of all tasks to the presentation, and the objects that no single task can write. */

/* ---- records ---- */

vp_status vpi_plan_survey(vp_context *context, const vp_plan *plan, vp_store *work, vp_sink *sink, bool *done,
                          vp_error *err)
{
    vpi_place place = { .context = context, .plan = plan, .work = work, .sink = sink };
    vp_status st = sink ? vpi_place_list(&place, err) : VP_OK;
    for (uint32_t i = 0; st >= 0 && i < vp_plan_task_count(plan); i++) {
        const char *task = plan->task_names[i];
        st = sink ? vpi_record_load(&place, task, NULL, err) : vpi_record_check(plan, work, task, err);
        done[i] = st == VP_OK;
    }
    vpi_place_dispose(&place);
    return st < 0 ? st : VP_OK;
}

vp_status vpi_plan_forget(const vp_plan *plan, vp_store *work, vp_error *err)
{
    for (uint32_t i = 0; i < vp_plan_task_count(plan); i++)
        VPI_TRY(vpi_record_drop(work, plan->task_names[i], err));
    return VP_OK;
}

static vp_status add_missing(json_t **list, const char *task, vp_error *err)
{
    if (!*list) *list = json_array();
    if (!*list || json_array_append_new(*list, json_string(task))) return vpi_fail_nomem(err);
    return VP_OK;
}

static vpi_ptrack *find_track(vpi_presentation *p, const vpi_ptrack *like)
{
    for (size_t i = 0; i < p->track_count; i++) {
        vpi_ptrack *t = &p->tracks[i];
        if (t->container == like->container && t->kind == like->kind && vpi_streq(t->name, like->name))
            return t;
    }
    return NULL;
}

/* Appends the segments of one track of a result. */
static vp_status merge_track(vpi_presentation *p, const json_t *o, const char *task, vp_error *err)
{
    vpi_ptrack part = { 0 };
    vp_status st = vpi_ptrack_from_json(o, &part, err);
    vpi_ptrack *to = st >= 0 ? find_track(p, &part) : NULL;
    if (st >= 0 && !to)
        st = vpi_fail(err, VP_E_DATA, "PLAN_MISMATCH", "%s: a track that is not in the plan", task);
    for (size_t i = 0; st >= 0 && i < part.segment_count; i++) {
        vpi_segment *segment = vpi_ptrack_add_segment(to);
        if (!segment) {
            st = vpi_fail_nomem(err);
            break;
        }
        *segment = part.segments[i]; /* moves what it owns */
        part.segments[i] = (vpi_segment){ 0 };
    }
    vpi_ptrack_dispose(&part);
    return st;
}

static vp_status merge_record(vpi_presentation *p, const json_t *record, const char *task, vp_error *err)
{
    const json_t *tracks = NULL;
    VPI_TRY(vpi_json_array(record, task, "tracks", true, &tracks, err));
    for (size_t i = 0; i < json_array_size(tracks); i++)
        VPI_TRY(merge_track(p, json_array_get(tracks, i), task, err));
    return VP_OK;
}

/* ---- presentation ---- */

static vp_status set_init(const vp_plan *plan, const char *kind, const vpi_buf *init, vpi_ptrack *t,
                          vp_error *err)
{
    char key[1024];
    if (!vpi_plan_key(plan, kind, t->name, plan->single_file ? "media.mp4" : "init.mp4", key))
        return vpi_fail(err, VP_E_ARG, NULL, "key too long");
    t->init.key = vpi_strdup(key);
    t->init.bytes = init->size;
    t->init.crc32c = plan->single_file ? 0 : vpi_crc32c(0, init->data, init->size);
    t->single_file = plan->single_file;
    return t->init.key ? VP_OK : vpi_fail_nomem(err);
}

static vp_status set_protection(const vp_plan *plan, const vpi_protection *protection, vpi_ptrack *t,
                                vp_error *err)
{
    return plan->scheme != VPI_SCHEME_NONE && protection
               ? vpi_protection_copy(&t->protection, protection, err)
               : VP_OK;
}

static vp_status add_container(const vp_plan *plan, int32_t container, vpi_presentation *p, vp_error *err)
{
    bool cmaf = container == VP_CONTAINER_CMAF;
    for (size_t i = 0; i < plan->rung_count; i++) {
        vpi_ptrack *t = vpi_presentation_add_track(p);
        if (!t) return vpi_fail_nomem(err);
        VPI_TRY(vpi_plan_rung_track(plan, i, container, t, err));
        VPI_TRY(set_protection(plan, vpi_plan_rung_protection(plan, i), t, err));
        if (cmaf) VPI_TRY(set_init(plan, "video", &plan->rungs[i].init, t, err));
    }
    for (size_t i = 0; i < plan->audio_count && !(plan->mux_audio && !cmaf); i++) {
        vpi_ptrack *t = vpi_presentation_add_track(p);
        if (!t) return vpi_fail_nomem(err);
        VPI_TRY(vpi_plan_audio_track(plan, i, cmaf ? container : VP_CONTAINER_PACKED, t, err));
        VPI_TRY(set_protection(plan, vpi_plan_audio_protection(plan), t, err));
        if (cmaf) VPI_TRY(set_init(plan, "audio", &plan->audio[i].init, t, err));
    }
    return VP_OK;
}

static vp_status set_text(char **to, const char *text, vp_error *err)
{
    char *copy = vpi_strdup(text);
    if (!copy) return vpi_fail_nomem(err);
    vpi_free(*to);
    *to = copy;
    return VP_OK;
}

static vp_status empty_presentation(const vp_plan *plan, vpi_presentation *p, vp_error *err)
{
    VPI_TRY(set_text(&p->version, plan->prefix, err));
    VPI_TRY(set_text(&p->request, plan->request, err));
    p->duration = plan->grid.total;
    p->timescale = plan->grid.timescale;
    if (plan->cmaf) VPI_TRY(add_container(plan, VP_CONTAINER_CMAF, p, err));
    if (plan->ts) VPI_TRY(add_container(plan, VP_CONTAINER_TS, p, err));
    return VP_OK;
}

static vp_status check_counts(const vp_plan *plan, const vpi_presentation *p, vp_error *err)
{
    uint64_t segments = vpi_grid_segments(&plan->grid);
    for (size_t i = 0; i < p->track_count; i++)
        if (p->tracks[i].segment_count != segments)
            return vpi_fail(err, VP_E_INTERNAL, NULL, "%s: %zu of %llu segments", p->tracks[i].name,
                            p->tracks[i].segment_count, (unsigned long long)segments);
    return VP_OK;
}

static vp_status report_missing(json_t *missing, vp_bytes **out, vp_error *err)
{
    vpi_buf text = { 0 };
    size_t n = json_array_size(missing);
    if (out && vpi_json_dump(missing, &text, NULL) >= 0) vpi_bytes_from_buf(&text, out, NULL);
    vpi_buf_dispose(&text);
    return vpi_fail(err, VP_E_CONFLICT, "TASKS_MISSING", "%zu tasks are not done, first %s", n,
                    json_string_value(json_array_get(missing, 0)));
}

/*
 * Where times vary the plan knows a bound; what was made has a mean, which is what manifests tell: in thousandths,
 * of slides more exactly.
 */
static void set_mean_rate(const vp_plan *plan, vpi_presentation *p, uint64_t pictures)
{
    int64_t count = (int64_t)VPI_MIN(pictures, (uint64_t)INT32_MAX), total = (int64_t)plan->grid.total;
    int64_t scale = count >= total / (int64_t)plan->grid.timescale * 5 ? 1000 : 100000000; /* below 2^31 */
    int64_t rate = vpi_rescale(count, (int64_t)plan->grid.timescale * scale, total, VPI_NEAREST);
    vpi_rational mean = vpi_reduce(VPI_CLAMP(rate, 1, INT32_MAX), scale);
    for (size_t i = 0; plan->has_video && plan->video.variable && i < p->track_count; i++) {
        if (p->tracks[i].kind != VP_TRACK_VIDEO) continue;
        p->tracks[i].frame_rate_num = (uint32_t)mean.num;
        p->tracks[i].frame_rate_den = (uint32_t)mean.den;
    }
}

/* What was counted while the tasks ran. */
typedef struct counts {
    uint64_t pictures, concealed;
} counts;

static vp_status add_counts(const json_t *record, const char *task, counts *sum, vp_error *err)
{
    uint64_t pictures = 0, concealed = 0;
    VPI_TRY(vpi_json_u64(record, task, "pictures", true, INT32_MAX, &pictures, err));
    VPI_TRY(vpi_json_u64(record, task, "concealed", true, INT32_MAX, &concealed, err));
    sum->pictures += pictures;
    sum->concealed += concealed;
    return VP_OK;
}

static vp_status collect(vpi_place *place, vpi_presentation *p, counts *sum, json_t **absent, vp_error *err)
{
    for (uint32_t i = 0; i < vp_plan_task_count(place->plan); i++) {
        const char *task = place->plan->task_names[i];
        json_t *record = NULL;
        vp_status st = vpi_record_load(place, task, &record, err);
        if (st == VP_OK) st = add_counts(record, task, sum, err);
        if (st == VP_OK && !*absent) st = merge_record(p, record, task, err);
        if (st == VP_END) {
            st = place->stale ? vpi_record_drop(place->work, task, err) : VP_OK;
            if (st >= 0) st = add_missing(absent, task, err);
        }
        json_decref(record);
        if (st < 0) return st;
    }
    return VP_OK;
}

vp_status vpi_plan_collect(vp_context *context, const vp_plan *plan, vp_store *work, vp_sink *sink,
                           vp_presentation **out, uint64_t *concealed, vp_bytes **missing, vp_error *err)
{
    vpi_place place = { .context = context, .plan = plan, .work = work, .sink = sink };
    counts sum = { 0 };
    json_t *absent = NULL;
    vp_presentation *p = vpi_presentation_new();
    vp_status st = p ? empty_presentation(plan, &p->p, err) : vpi_fail_nomem(err);
    if (st >= 0) st = vpi_place_list(&place, err);
    if (st >= 0) st = collect(&place, &p->p, &sum, &absent, err);
    if (st >= 0 && absent) st = report_missing(absent, missing, err);
    if (st >= 0) st = check_counts(plan, &p->p, err);
    if (st >= 0) set_mean_rate(plan, &p->p, sum.pictures);
    if (st >= 0) st = vpi_presentation_finish(&p->p, err);
    vpi_place_dispose(&place);
    json_decref(absent);
    if (st < 0) {
        vp_presentation_unref(p);
        return st;
    }
    *concealed = sum.concealed;
    *out = p;
    return VP_OK;
}

/* ---- objects ---- */

typedef struct composer {
    const vp_plan *plan;
    vp_store *work;
    vp_sink *sink;
    void (*object)(void *, const vp_object_info *);
    void *object_user;
    vp_cancel *cancel;
    vpi_value_note *parts; /* of single files */
    size_t part_count, part_cap;
} composer;

static vp_status begin_object(composer *c, vpi_ptrack *t, int32_t kind, uint64_t size, vp_object_info *info,
                              vp_object **out, vp_error *err)
{
    vp_object_info_init(info, sizeof(*info));
    info->kind = kind;
    info->key = t->init.key;
    info->content_type = vpi_content_type(t->container, t->kind, VP_OBJECT_INIT);
    info->cache_control = VPI_CACHE_LONG(c->plan->prefix);
    info->size = size;
    return vp_sink_begin(c->sink, info, out, err);
}

static vp_status end_object(composer *c, vp_object *object, vp_object_info *info, vp_status st, vp_error *err)
{
    if (st < 0) {
        vp_object_abort(object);
        return st;
    }
    VPI_TRY(vp_object_commit(object, &info->size, &info->crc32c, err));
    info->has_crc32c = 1;
    if (c->object) c->object(c->object_user, info);
    return VP_OK;
}

static vp_status write_init(composer *c, vpi_ptrack *t, const vpi_buf *init, vp_error *err)
{
    vp_object *object = NULL;
    vp_object_info info;
    VPI_TRY(begin_object(c, t, VP_OBJECT_INIT, init->size, &info, &object, err));
    vp_status st = vp_object_write(object, init->data, init->size, err);
    return end_object(c, object, &info, st, err);
}

static vp_status load_parts(composer *c, vp_error *err)
{
    vpi_place place = { .plan = c->plan, .work = c->work };
    for (uint32_t i = 0; i < vp_plan_task_count(c->plan); i++) {
        const char *task = c->plan->task_names[i];
        json_t *record = NULL;
        vp_status st = vpi_record_load(&place, task, &record, err);
        for (size_t n = 0; st == VP_OK; n++) {
            if (!VPI_GROW(c->parts, c->part_count, c->part_cap)) {
                st = vpi_fail_nomem(err);
                break;
            }
            st = vpi_record_value(record, task, n, &c->parts[c->part_count], err);
            if (st == VP_OK) c->part_count++;
        }
        json_decref(record);
        if (st < 0) return st;
    }
    return VP_OK;
}

static vp_status copy_part(composer *c, const char *track, const char *task, vp_object *object, vp_error *err)
{
    char name[160];
    uint64_t bytes = 0;
    uint32_t crc = 0;
    size_t i = 0;
    vpi_task_part_name(track, task, name);
    while (i < c->part_count && !vpi_streq(c->parts[i].name, name)) i++;
    vp_status st =
        i < c->part_count ? vpi_store_copy(c->work, name, object, c->cancel, &bytes, &crc, err) : VP_END;
    if (st < 0 || (st == VP_OK && bytes == c->parts[i].bytes && crc == c->parts[i].crc32c)) return st;
    vpi_record_drop(c->work, task, NULL);
    if (st == VP_END)
        return vpi_fail(err, VP_E_CONFLICT, "TASKS_MISSING", "%s is not in the work store", name);
    return vpi_fail(err, VP_E_DATA, "CHECKSUM_MISMATCH", "%s is damaged; run again", name);
}

static vp_status copy_parts(composer *c, const vpi_ptrack *t, vp_object *object, vp_error *err)
{
    const vp_plan *plan = c->plan;
    bool video = t->kind == VP_TRACK_VIDEO;
    vp_status st = VP_OK;
    for (size_t i = 0; video && st >= 0 && i < plan->span_count; i++)
        st = copy_part(c, t->name, plan->task_names[vpi_plan_video_task(plan, i)], object, err);
    for (size_t i = 0; !video && st >= 0 && i < plan->audio_count; i++)
        if (vpi_streq(plan->audio[i].name, t->name))
            st = copy_part(c, t->name, plan->task_names[vpi_plan_audio_task(plan, i)], object, err);
    return st;
}

/* init + sidx + the parts of all tasks; segments get their offsets in it. */
static vp_status write_single(composer *c, vpi_ptrack *t, const vpi_buf *init, vp_error *err)
{
    vpi_buf head = { 0 };
    vp_object *object = NULL;
    vp_object_info info;
    vpi_buf_add(&head, init->data, init->size);
    vp_status st = vpi_buf_failed(&head) ? vpi_fail_nomem(err) : vpi_ptrack_index(t, &head, err);
    const vpi_segment *last = &t->segments[t->segment_count - 1];
    uint64_t total = last->offset + last->bytes;
    if (st >= 0) st = begin_object(c, t, VP_OBJECT_SEGMENT, total, &info, &object, err);
    if (st >= 0) {
        st = vp_object_write(object, head.data, head.size, err);
        if (st >= 0) st = copy_parts(c, t, object, err);
        st = end_object(c, object, &info, st, err);
        t->object_bytes = info.size;
        t->object_crc32c = info.crc32c;
    }
    if (st >= 0 && t->object_bytes != total)
        st = vpi_fail(err, VP_E_DATA, "CHECKSUM_MISMATCH", "%s: parts differ from the tasks' results",
                      t->name);
    vpi_buf_dispose(&head);
    return st;
}

static const vpi_buf *track_init(const vp_plan *plan, const vpi_ptrack *t)
{
    for (size_t i = 0; t->kind == VP_TRACK_VIDEO && i < plan->rung_count; i++)
        if (vpi_streq(plan->rungs[i].name, t->name)) return &plan->rungs[i].init;
    for (size_t i = 0; t->kind == VP_TRACK_AUDIO && i < plan->audio_count; i++)
        if (vpi_streq(plan->audio[i].name, t->name)) return &plan->audio[i].init;
    return NULL;
}

vp_status vpi_plan_compose(const vp_plan *plan, vp_store *work, vp_sink *sink, vp_presentation *presentation,
                           void (*object)(void *, const vp_object_info *), void *object_user,
                           vp_cancel *cancel, vp_error *err)
{
    composer c = { .plan = plan,
                   .work = work,
                   .sink = sink,
                   .object = object,
                   .object_user = object_user,
                   .cancel = cancel };
    vp_status st = plan->single_file ? load_parts(&c, err) : VP_OK;
    for (size_t i = 0; st >= 0 && i < presentation->p.track_count; i++) {
        vpi_ptrack *t = &presentation->p.tracks[i];
        if (t->container != VP_CONTAINER_CMAF) continue;
        const vpi_buf *init = track_init(plan, t);
        if (!init)
            st = vpi_fail(err, VP_E_INTERNAL, NULL, "%s is not in the plan", t->name);
        else
            st = plan->single_file ? write_single(&c, t, init, err) : write_init(&c, t, init, err);
    }
    vpi_free(c.parts);
    return st < 0 ? st : VP_OK;
}
