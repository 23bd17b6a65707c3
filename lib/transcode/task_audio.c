/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>

#include "base/context.h"
#include "frames_int.h"
#include "io/object.h"
#include "plan_int.h"

/* Lost share of a track's frames from which on the input is refused, in percent, and the least number. */
#define DAMAGE_PERCENT 10
#define DAMAGE_LEAST 25

/*
 * One audio track from start to end: decoded and encoded, or passed through as it is, and cut at the frames nearest to
 * the video's segment borders.
 * The frames go into CMAF segments (or the part of a single file), packed audio segments, and, when TS muxes them,
 * into the work store.
 */
typedef struct audio_run {
    vpi_task_env *env;
    const vpi_plan_audio *a;
    vpi_track_setup setup;
    vpi_audio *audio; /* one of the two */
    vpi_audio_copy *copy;
    vpi_ptrack cmaf, packed;
    vpi_track_guard cmaf_guard, packed_guard;
    vp_object *part;
    vpi_frames_writer *kept;
    /* the segment being filled */
    vpi_buf data;
    vpi_sample *samples;
    size_t sample_cap;
    vpi_segment_in in;
} audio_run;

static const size_t one_fragment[1] = { 0 };

static vp_status write_cmaf(void *user, vp_object *object, vpi_segment *entry, vp_error *err)
{
    audio_run *run = user;
    vpi_protect room;
    const vpi_protect *protect;
    VPI_TRY(vpi_track_guard_segment(&run->cmaf_guard, run->in.first_fragment, &room, &protect, err));
    return vpi_cmaf_segment(&run->in, protect, !run->part, object, entry, err);
}

static vp_status write_packed(void *user, vp_object *object, vpi_segment *entry, vp_error *err)
{
    audio_run *run = user;
    vpi_protect room;
    const vpi_protect *protect;
    VPI_TRY(vpi_track_guard_segment(&run->packed_guard, run->in.first_fragment, &room, &protect, err));
    return vpi_packed_audio_segment(&run->in, protect, object, entry, err);
}

static vp_status write_part(audio_run *run, vp_error *err)
{
    char key[1024];
    vpi_segment *entry = vpi_ptrack_add_segment(&run->cmaf);
    if (!entry) return vpi_fail_nomem(err);
    if (!vpi_plan_key(run->env->plan, "audio", run->a->name, "media.mp4", key))
        return vpi_fail(err, VP_E_ARG, NULL, "key too long");
    entry->key = vpi_strdup(key);
    if (!entry->key) return vpi_fail_nomem(err);
    uint64_t before = vpi_object_size(run->part);
    VPI_TRY(vpi_track_guard_begin(&run->cmaf_guard, run->in.first_fragment, run->part, entry, err));
    VPI_TRY(write_cmaf(run, run->part, entry, err));
    return vpi_track_guard_end(&run->cmaf_guard, run->part, entry, before, err);
}

static uint64_t frame_start(const vpi_plan_audio *a, uint64_t frame)
{
    return a->phase + frame * a->frame_samples;
}

static vp_status next_frame(audio_run *run, const uint8_t **data, size_t *size, vp_error *err)
{
    VPI_TRY(vpi_cancel_check(run->env->cancel, err));
    vp_status st = run->copy ? vpi_audio_copy_next(run->copy, data, size, err)
                             : vpi_audio_next(run->audio, data, size, err);
    if (st == VP_END) return vpi_fail(err, VP_E_INTERNAL, NULL, "audio ended before its last frame");
    return st;
}

static vp_status fill_segment(audio_run *run, uint64_t first, uint64_t last, vp_error *err)
{
    size_t n = 0;
    vpi_buf_clear(&run->data);
    for (uint64_t frame = first; frame < last; frame++, n++) {
        const uint8_t *data = NULL;
        size_t size = 0;
        VPI_TRY(next_frame(run, &data, &size, err));
        if (!VPI_GROW(run->samples, n, run->sample_cap)) return vpi_fail_nomem(err);
        run->samples[n] =
            (vpi_sample){ .pts = (int64_t)frame_start(run->a, frame), .sync = true, .size = size };
        if (frame == 0) vpi_track_setup_head(&run->setup, data, size);
        vpi_buf_add(&run->data, data, size);
        if (vpi_buf_failed(&run->data)) return vpi_fail_nomem(err);
        if (run->kept) VPI_TRY(vpi_frames_add(run->kept, data, size, err));
    }
    const uint8_t *at = run->data.data; /* the buffer may have moved while it grew */
    for (size_t i = 0; i < n; i++) {
        run->samples[i].data = at;
        at += run->samples[i].size;
    }
    run->in.samples = run->samples;
    run->in.count = n;
    run->in.start = frame_start(run->a, first);
    run->in.end = frame_start(run->a, last);
    return VP_OK;
}

static vp_status segment(audio_run *run, uint64_t number, vp_error *err)
{
    vpi_task_env *env = run->env;
    uint64_t first = vpi_plan_audio_border(env->plan, env->index, number);
    uint64_t last = vpi_plan_audio_border(env->plan, env->index, number + 1);
    VPI_TRY(fill_segment(run, first, last, err));
    run->in.first_fragment = number;
    run->in.first_sample = number * VPI_GUARD_SAMPLES;
    if (run->part)
        VPI_TRY(write_part(run, err));
    else if (env->plan->cmaf)
        VPI_TRY(vpi_task_segment(env, &run->cmaf, "audio", run->a->name, number, &run->cmaf_guard, write_cmaf,
                                 run, err));
    if (env->plan->ts && !env->plan->mux_audio)
        VPI_TRY(vpi_task_segment(env, &run->packed, "ts", run->a->name, number, &run->packed_guard,
                                 write_packed, run, err));
    if (env->options->progress)
        env->options->progress(env->options->progress_user, last, run->a->audio.frames);
    return VP_OK;
}

static vp_status open_copy(audio_run *run, vp_error *err)
{
    const vpi_plan_audio *a = run->a;
    const vpi_audio_copy_options o = { .stream = a->audio.stream,
                                       .sample_rate = a->audio.sample_rate,
                                       .timeline = &run->env->plan->timeline,
                                       .origin = a->audio.origin,
                                       .phase = a->phase,
                                       .frames = a->audio.frames,
                                       .silence = a->silence.data,
                                       .silence_size = a->silence.size };
    return vpi_audio_copy_open(run->env->context, run->env->source, &o, run->env->cancel, &run->copy, err);
}

static vp_status open_audio(audio_run *run, vp_error *err)
{
    vpi_task_env *env = run->env;
    const uint8_t *asc = NULL;
    size_t size = 0;
    vpi_audio_options options = run->a->audio;
    options.timeline = &env->plan->timeline;
    VPI_TRY(vpi_audio_open(env->context, env->source, &options, env->cancel, &run->audio, err));
    vpi_audio_config(run->audio, &asc, &size);
    if (size != run->a->config.size || memcmp(asc, run->a->config.data, size) != 0)
        return vpi_fail(err, VP_E_CONFLICT, "BUILD_MISMATCH",
                        "the encoder's configuration is not the planned one");
    return VP_OK;
}

static vp_status run_open(audio_run *run, vp_error *err)
{
    vpi_task_env *env = run->env;
    const vp_plan *plan = env->plan;
    char name[160];
    VPI_TRY(vpi_plan_audio_track(plan, env->index, VP_CONTAINER_CMAF, &run->cmaf, err));
    VPI_TRY(vpi_plan_audio_track(plan, env->index, VP_CONTAINER_PACKED, &run->packed, err));
    run->cmaf.single_file = plan->single_file;
    vpi_plan_audio_setup(plan, env->index, &run->setup);
    run->in.setup = &run->setup;
    const vpi_protection *protection = vpi_plan_audio_protection(plan);
    VPI_TRY(vpi_track_guard_open(&env->guard, &run->setup, protection, VPI_ORDINAL_AUDIO, env->index,
                                 &run->cmaf_guard, err));
    VPI_TRY(vpi_track_guard_open(&env->guard, &run->setup, protection, VPI_ORDINAL_PACKED, env->index,
                                 &run->packed_guard, err));
    run->in.fragments = one_fragment;
    run->in.fragment_count = 1;
    VPI_TRY(run->a->codec == VPI_CODEC_AAC ? open_audio(run, err) : open_copy(run, err));
    if (plan->single_file) VPI_TRY(vpi_task_part_begin(env, run->a->name, &run->part, err));
    if (!plan->mux_audio) return VP_OK;
    snprintf(name, sizeof(name), "audio/%s", run->a->name);
    return vpi_frames_create(env->work, name, &run->kept, err);
}

/* Where so much of the sound is lost nobody should take the title for a good one. */
static vp_status check_damage(audio_run *run, vp_error *err)
{
    uint64_t content = 0, *lost = &run->env->concealed;
    if (run->copy) *lost = vpi_audio_copy_refused(run->copy);
    if (!run->audio) return VP_OK;
    vpi_audio_stats(run->audio, &content, lost);
    if (*lost < DAMAGE_LEAST || *lost * 100 <= (content / VPI_AAC_FRAME + *lost) * DAMAGE_PERCENT)
        return VP_OK;
    return vpi_fail(err, VP_E_DATA, "INPUT_CORRUPT", "%llu frames of sound are damaged, %llu are not",
                    (unsigned long long)*lost, (unsigned long long)(content / VPI_AAC_FRAME));
}

static vp_status run_end(audio_run *run, vp_error *err)
{
    vpi_task_env *env = run->env;
    vp_object *part = run->part;
    vpi_frames_writer *kept = run->kept;
    run->part = NULL;
    run->kept = NULL;
    if (kept) {
        vpi_value_note notes[2];
        vp_status st = vpi_frames_commit(kept, notes, err);
        for (int i = 0; st >= 0 && i < 2; i++) st = vpi_task_add_value(env, &notes[i], err);
        if (st < 0) {
            vp_object_abort(part);
            return st;
        }
    }
    if (part) VPI_TRY(vpi_task_part_commit(env, run->a->name, part, err));
    if (env->plan->cmaf) VPI_TRY(vpi_task_add_track(env, &run->cmaf, err));
    if (env->plan->ts && !env->plan->mux_audio) VPI_TRY(vpi_task_add_track(env, &run->packed, err));
    return VP_OK;
}

vp_status vpi_task_audio(vpi_task_env *env, vp_error *err)
{
    audio_run run = { .env = env, .a = &env->plan->audio[env->index] };
    uint64_t segments = vpi_grid_segments(&env->plan->grid);
    vp_status st = run_open(&run, err);
    for (uint64_t n = 0; st >= 0 && n < segments; n++) st = segment(&run, n, err);
    if (st >= 0) st = check_damage(&run, err);
    if (st >= 0) st = run_end(&run, err);
    vp_object_abort(run.part);
    vpi_track_guard_close(&run.cmaf_guard);
    vpi_track_guard_close(&run.packed_guard);
    vpi_frames_discard(run.kept);
    vpi_audio_close(run.audio);
    vpi_audio_copy_close(run.copy);
    vpi_ptrack_dispose(&run.cmaf);
    vpi_ptrack_dispose(&run.packed);
    vpi_buf_dispose(&run.data);
    vpi_free(run.samples);
    return st < 0 ? st : VP_OK;
}
