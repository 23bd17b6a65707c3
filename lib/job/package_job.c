/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>

#include "base/hash.h"
#include "io/io.h"
#include "io/quick.h"
#include "package_int.h"

/* A package job: scan, cut, write all tracks side by side, publish. */

#define PERMILLE_SCAN 20u
#define PERMILLE_WRITE 950u

void vpi_ready_progress(vpi_ready *pk, uint64_t bytes)
{
    vp_event e;
    vp_event_init(&e, sizeof(e));
    e.kind = VP_EVENT_PROGRESS;
    e.stage = VP_STAGE_PACKAGE;
    vpi_strlcpy(e.unit, "bytes", sizeof(e.unit));
    pthread_mutex_lock(&pk->lock);
    pk->done_bytes = VPI_MIN(pk->done_bytes + bytes, pk->total_bytes);
    e.done = pk->done_bytes;
    e.total = pk->total_bytes;
    pthread_mutex_unlock(&pk->lock);
    e.permille = PERMILLE_SCAN + (e.total ? (uint32_t)(e.done * PERMILLE_WRITE / e.total) : 0);
    vpi_emit(&pk->job->emitter, &e);
}

/* ---- settings and names ---- */

static vp_status check_settings(vpi_ready *pk, vp_error *err)
{
    vp_transcode_options *t = &pk->job->settings.transcode;
    if (!t->formats) t->formats = VP_FORMAT_CMAF;
    if (!t->segment_ms) t->segment_ms = 6000;
    if (!t->gop_ms) t->gop_ms = 2000;
    pk->cmaf = t->formats & VP_FORMAT_CMAF;
    pk->ts = t->formats & VP_FORMAT_TS;
    pk->single_file = t->single_file;
    if (t->formats & ~(VP_FORMAT_CMAF | VP_FORMAT_TS))
        return vpi_fail(err, VP_E_ARG, NULL, "formats: unknown bits");
    if (t->segment_ms < 500 || t->segment_ms > 60000)
        return vpi_fail(err, VP_E_ARG, NULL, "segment: 0.5 to 60 seconds");
    if (t->segment_ms % t->gop_ms)
        return vpi_fail(err, VP_E_ARG, NULL, "segment: not a whole multiple of gop");
    if (pk->single_file && pk->ts) return vpi_fail(err, VP_E_ARG, NULL, "single_file: with format cmaf only");
    return vpi_check_encryption(t, err);
}

static vp_status settle_names(vpi_ready *pk, vp_error *err)
{
    const vp_transcode_options *t = &pk->job->settings.transcode;
    const char *prefix = t->prefix;
    vpi_sha256 sha;
    vpi_sha256_init(&sha);
    for (size_t i = 0; i < pk->job->rendition_count; i++) {
        uint8_t digest[32];
        VPI_TRY(vpi_source_quick_hash(pk->job->renditions[i].source, digest, err));
        vpi_sha256_add(&sha, digest, sizeof(digest));
    }
    const uint32_t numbers[] = { t->formats, t->segment_ms, t->gop_ms, t->single_file };
    for (size_t i = 0; i < VPI_COUNT(numbers); i++) vpi_sha256_add_u64(&sha, numbers[i]);
    vpi_sha256_add_str(&sha, prefix && *prefix ? prefix : "auto");
    vpi_sha256_hex(&sha, pk->request);
    pk->automatic = !prefix || !*prefix || vpi_streq(prefix, "auto");
    if (pk->automatic)
        snprintf(pk->prefix, sizeof(pk->prefix), "%.12s", pk->request);
    else if (!vpi_streq(prefix, "none")) {
        if (!vpi_key_valid(prefix) || strchr(prefix, '/') || prefix[0] == '.' || strlen(prefix) > 128)
            return vpi_fail(err, VP_E_ARG, NULL, "prefix: not a folder name");
        vpi_strlcpy(pk->prefix, prefix, sizeof(pk->prefix));
    }
    return VP_OK;
}

/* ---- tracks of the presentation ---- */

static vp_status set_protection(vpi_ptrack *t, const vpi_protection *protection, vp_error *err)
{
    return protection ? vpi_protection_copy(&t->protection, protection, err) : VP_OK;
}

static vp_status set_common(vpi_ptrack *t, const char *name, const char *group, const char *codecs,
                            vp_error *err)
{
    t->name = vpi_strdup(name);
    t->group = vpi_strdup(group);
    t->codecs = vpi_strdup(codecs);
    return t->name && t->group && t->codecs ? VP_OK : vpi_fail_nomem(err);
}

static vp_status video_track(vpi_ready *pk, vpi_ready_video *v, int32_t container, vpi_ptrack *t,
                             vp_error *err)
{
    bool muxed = container == VP_CONTAINER_TS && pk->mux_audio;
    char codecs[140];
    snprintf(codecs, sizeof(codecs), "%s%s%s", v->codecs, muxed ? "," : "", muxed ? pk->audio[0].codecs : "");
    t->kind = VP_TRACK_VIDEO;
    t->container = container;
    t->width = v->setup.width;
    t->height = v->setup.height;
    t->sar_num = v->setup.sar_num;
    t->sar_den = v->setup.sar_den;
    t->frame_rate_num = (uint32_t)VPI_MIN(v->fps.num, (int64_t)INT32_MAX);
    t->frame_rate_den = (uint32_t)VPI_MIN(v->fps.den, (int64_t)INT32_MAX);
    t->primaries = v->setup.primaries;
    t->transfer = v->setup.transfer;
    t->matrix = v->setup.matrix;
    t->timescale = v->setup.timescale;
    t->single_file = pk->single_file && container == VP_CONTAINER_CMAF;
    if (muxed) {
        t->sample_rate = pk->audio[0].setup.sample_rate;
        t->channels = pk->audio[0].setup.channels;
    }
    VPI_TRY(set_protection(t, vpi_ready_video_protection(pk, v), err));
    return set_common(t, v->name, "video", codecs, err);
}

static vp_status audio_track(vpi_ready *pk, vpi_ready_audio *a, int32_t container, vpi_ptrack *t,
                             vp_error *err)
{
    char group[24];
    vpi_ready_group(a, group);
    t->kind = VP_TRACK_AUDIO;
    t->container = container;
    t->is_default = a->is_default;
    t->sample_rate = a->setup.sample_rate;
    t->channels = a->setup.channels;
    t->timescale = a->setup.timescale;
    t->single_file = pk->single_file && container == VP_CONTAINER_CMAF;
    t->language = vpi_strdup(a->setup.language);
    t->label = vpi_strdup(a->label);
    if (!t->language || !t->label) return vpi_fail_nomem(err);
    VPI_TRY(set_protection(t, vpi_ready_audio_protection(pk), err));
    return set_common(t, a->name, group, a->codecs, err);
}

static vp_status make_tracks(vpi_ready *pk, vp_error *err)
{
    for (size_t i = 0; i < pk->video_count; i++) {
        VPI_TRY(video_track(pk, &pk->video[i], VP_CONTAINER_CMAF, &pk->video[i].cmaf, err));
        VPI_TRY(video_track(pk, &pk->video[i], VP_CONTAINER_TS, &pk->video[i].ts, err));
    }
    for (size_t i = 0; i < pk->audio_count; i++) {
        VPI_TRY(audio_track(pk, &pk->audio[i], VP_CONTAINER_CMAF, &pk->audio[i].cmaf, err));
        VPI_TRY(audio_track(pk, &pk->audio[i], VP_CONTAINER_PACKED, &pk->audio[i].packed, err));
    }
    return VP_OK;
}

/* ---- writing side by side ---- */

typedef struct crew {
    vpi_ready *pk;
    size_t next; /* audio tracks first, then video: the last ones to end are alike; under pk->lock */
} crew;

static void worker(void *arg)
{
    crew *c = arg;
    vpi_ready *pk = c->pk;
    for (;;) {
        vp_error err = VP_ERROR_INIT;
        pthread_mutex_lock(&pk->lock);
        size_t i = c->next++;
        bool stop = pk->status < 0;
        pthread_mutex_unlock(&pk->lock);
        if (stop || i >= pk->video_count + pk->audio_count) return;
        bool muxed_only = pk->mux_audio && !pk->cmaf;
        vp_status st = VP_OK;
        if (i >= pk->audio_count)
            st = vpi_ready_write_video(pk, &pk->video[i - pk->audio_count], &err);
        else if (!muxed_only)
            st = vpi_ready_write_audio(pk, &pk->audio[i], &err);
        if (st >= 0) continue;
        pthread_mutex_lock(&pk->lock);
        if (pk->status >= 0) {
            pk->status = st;
            pk->err = err;
            vp_cancel_fire(pk->job->stop);
        }
        pthread_mutex_unlock(&pk->lock);
        return;
    }
}

#define WRITERS_MAX 4u

static vp_status write_all(vpi_ready *pk, vp_error *err)
{
    crew c = { .pk = pk };
    vpi_thread *threads[WRITERS_MAX] = { 0 };
    size_t tracks = pk->video_count + pk->audio_count;
    size_t n = VPI_MIN(VPI_MIN(tracks, (size_t)WRITERS_MAX), (size_t)vp_context_threads(pk->job->context));
    vp_status st = VP_OK;
    vpi_emit_stage(&pk->job->emitter, VP_STAGE_PACKAGE);
    for (size_t i = 0; st >= 0 && i < n; i++)
        st = vpi_thread_start(pk->job->context, "vp-package", worker, &c, &threads[i], err);
    for (size_t i = 0; i < n; i++) vpi_thread_join(threads[i]);
    if (st >= 0 && pk->status < 0) {
        st = pk->status;
        vpi_error_copy(err, &pk->err);
    }
    return st;
}

/* ---- init segments and single files ---- */

static vp_status copy_part(vpi_ready *pk, const char *name, vp_object *object, vp_error *err)
{
    char key[160];
    snprintf(key, sizeof(key), "part/%s", name);
    vp_status st = vpi_store_copy(pk->job->work, key, object, pk->job->stop, NULL, NULL, err);
    if (st == VP_END) st = vpi_fail(err, VP_E_INTERNAL, NULL, "%s is not in the work store", key);
    return st;
}

/* init.mp4, or the whole single file: init, sidx, fragments. */
static vp_status write_init(vpi_ready *pk, const vpi_track_setup *setup, vpi_ptrack *t, vp_error *err)
{
    char key[1024];
    vpi_buf init = { 0 };
    vp_object *object = NULL;
    vp_object_info info = VP_OBJECT_INFO_INIT;
    const char *kind = t->kind == VP_TRACK_VIDEO ? "video" : "audio";
    if (!vpi_ready_key(pk, kind, t->name, t->single_file ? "media.mp4" : "init.mp4", key))
        return vpi_fail(err, VP_E_ARG, NULL, "key too long");
    vpi_protect protect;
    bool samples = t->protection.key_count && t->protection.scheme != VPI_SCHEME_AES128;
    if (samples) vpi_protect_from(&t->protection, 0, setup->kind, &protect);
    vp_status st = vpi_cmaf_init(setup, samples ? &protect : NULL, &init, err);
    t->init.key = vpi_strdup(key);
    t->init.bytes = init.size;
    if (st >= 0 && !t->init.key) st = vpi_fail_nomem(err);
    if (st >= 0 && t->single_file) st = vpi_ptrack_index(t, &init, err);
    info.kind = t->single_file ? VP_OBJECT_SEGMENT : VP_OBJECT_INIT;
    info.key = key;
    info.content_type = vpi_content_type(VP_CONTAINER_CMAF, t->kind, VP_OBJECT_INIT);
    info.cache_control = VPI_CACHE_LONG(pk->prefix);
    if (st >= 0) st = vp_sink_begin(pk->job->sink, &info, &object, err);
    if (st >= 0) st = vp_object_write(object, init.data, init.size, err);
    if (st >= 0 && t->single_file) st = copy_part(pk, t->name, object, err);
    vpi_buf_dispose(&init);
    if (st < 0) {
        vp_object_abort(object);
        return st;
    }
    VPI_TRY(vp_object_commit(object, &info.size, &info.crc32c, err));
    info.has_crc32c = 1;
    if (t->single_file) {
        t->object_bytes = info.size;
        t->object_crc32c = info.crc32c;
    } else {
        t->init.crc32c = info.crc32c;
    }
    vpi_job_object(pk->job, &info);
    return VP_OK;
}

static vp_status write_inits(vpi_ready *pk, vp_error *err)
{
    if (!pk->cmaf) return VP_OK;
    for (size_t i = 0; i < pk->video_count; i++)
        VPI_TRY(write_init(pk, &pk->video[i].setup, &pk->video[i].cmaf, err));
    for (size_t i = 0; i < pk->audio_count; i++)
        VPI_TRY(write_init(pk, &pk->audio[i].setup, &pk->audio[i].cmaf, err));
    return VP_OK;
}

/* ---- presentation ---- */

static vp_status move_track(vpi_presentation *p, vpi_ptrack *from, vp_error *err)
{
    vpi_ptrack *to = vpi_presentation_add_track(p);
    if (!to) return vpi_fail_nomem(err);
    *to = *from; /* moves what it owns */
    memset(from, 0, sizeof(*from));
    return VP_OK;
}

static vp_status fill_presentation(vpi_ready *pk, vpi_presentation *p, vp_error *err)
{
    vpi_free(p->version);
    vpi_free(p->request);
    p->version = vpi_strdup(pk->prefix);
    p->request = vpi_strdup(pk->request);
    if (!p->version || !p->request) return vpi_fail_nomem(err);
    for (size_t i = 0; pk->cmaf && i < pk->video_count; i++) VPI_TRY(move_track(p, &pk->video[i].cmaf, err));
    for (size_t i = 0; pk->cmaf && i < pk->audio_count; i++) VPI_TRY(move_track(p, &pk->audio[i].cmaf, err));
    for (size_t i = 0; pk->ts && i < pk->video_count; i++) VPI_TRY(move_track(p, &pk->video[i].ts, err));
    for (size_t i = 0; pk->ts && !pk->mux_audio && i < pk->audio_count; i++)
        VPI_TRY(move_track(p, &pk->audio[i].packed, err));
    p->timescale = p->tracks[0].timescale;
    p->duration = vpi_ptrack_ticks(&p->tracks[0]);
    return vpi_presentation_finish(p, err);
}

/* ---- the job ---- */

static void init_output(vpi_ready *pk, vpi_output *o)
{
    vp_job *job = pk->job;
    *o = (vpi_output){ .context = job->context,
                       .sink = job->sink,
                       .cancel = job->stop,
                       .lease = job->lease,
                       .emitter = &job->emitter,
                       .object = vpi_job_object,
                       .object_user = job,
                       .prefix = pk->prefix,
                       .request = pk->request,
                       .player = job->settings.player,
                       .prune = job->settings.prune,
                       .force = job->settings.force,
                       .player_script = job->player_script };
}

static void keep_presentation(vp_job *job, vp_presentation *p)
{
    pthread_mutex_lock(&job->lock);
    job->presentation = p;
    pthread_mutex_unlock(&job->lock);
}

static vp_status look_through(vpi_ready *pk, vp_error *err)
{
    VPI_TRY(vpi_ready_scan(pk, err));
    VPI_TRY(vpi_ready_cut(pk, err));
    pk->mux_audio = pk->ts && pk->video_count && pk->audio_count == 1;
    VPI_TRY(vpi_ready_protect(pk, err));
    vpi_job_warn_no_mpd(pk->job, pk->cmaf);
    return VP_OK;
}

static vp_status package(vpi_ready *pk, vp_error *err)
{
    vpi_output o;
    vp_presentation *p = NULL;
    VPI_TRY(check_settings(pk, err));
    VPI_TRY(settle_names(pk, err));
    bool encrypt = pk->job->settings.transcode.encrypt != VP_ENCRYPT_NONE;
    if (encrypt) VPI_TRY(look_through(pk, err)); /* which keys there are, depends on the tracks */
    init_output(pk, &o);
    vp_status st = vpi_output_there(&o, &p, err);
    if (st < 0) return st;
    if (st == VP_OK) {
        keep_presentation(pk->job, p);
        vpi_work_sweep(pk->job->work, NULL);
        return VP_END;
    }
    VPI_TRY(vpi_output_check(&o, err));
    if (!encrypt) VPI_TRY(look_through(pk, err));
    VPI_TRY(make_tracks(pk, err));
    VPI_TRY(vpi_output_mark(&o, err));
    /* Pieces of a job that was killed may be of other renditions. */
    VPI_TRY(vpi_work_sweep(pk->job->work, err));
    VPI_TRY(vpi_ready_keep_seed(pk, err));
    VPI_TRY(write_all(pk, err));
    VPI_TRY(write_inits(pk, err));
    p = vpi_presentation_new();
    st = p ? fill_presentation(pk, &p->p, err) : vpi_fail_nomem(err);
    if (st >= 0) st = vpi_output_publish(&o, p, err);
    if (st < 0) {
        vp_presentation_unref(p);
        return st;
    }
    keep_presentation(pk->job, p);
    vpi_work_sweep(pk->job->work, NULL);
    return VP_OK;
}

void vpi_ready_video_dispose(vpi_ready_video *v)
{
    vpi_free(v->keys);
    vpi_free(v->cuts);
    vpi_buf_dispose(&v->config);
    vpi_ptrack_dispose(&v->cmaf);
    vpi_ptrack_dispose(&v->ts);
    memset(v, 0, sizeof(*v));
}

void vpi_ready_audio_dispose(vpi_ready_audio *a)
{
    vpi_buf_dispose(&a->config);
    vpi_buf_dispose(&a->silence);
    vpi_ptrack_dispose(&a->cmaf);
    vpi_ptrack_dispose(&a->packed);
    memset(a, 0, sizeof(*a));
}

static void pk_dispose(vpi_ready *pk)
{
    size_t n = pk->job->rendition_count;
    for (size_t i = 0; pk->video && i < n; i++) vpi_ready_video_dispose(&pk->video[i]);
    for (size_t i = 0; pk->audio && i < VPI_READY_AUDIO_MAX; i++) vpi_ready_audio_dispose(&pk->audio[i]);
    for (size_t i = 0; pk->inputs && i < n; i++) vpi_ready_input_close(&pk->inputs[i]);
    vpi_ready_protect_dispose(pk);
    vpi_free(pk->inputs);
    vpi_free(pk->video);
    vpi_free(pk->audio);
    pthread_mutex_destroy(&pk->lock);
}

vp_status vpi_package_run(vp_job *job, vp_error *err)
{
    vpi_ready pk = { .job = job };
    vp_status st = vp_store_lease(job->work, VPI_WORK_LEASE, &job->lease, NULL, err);
    if (st == VP_AGAIN)
        return vpi_fail(err, VP_E_CONFLICT, "ALREADY_RUNNING", "another process works on this title");
    if (st < 0) return st;
    vpi_store_tidy(job->work, "");
    vp_error_init(&pk.err);
    pthread_mutex_init(&pk.lock, NULL);
    st = package(&pk, err);
    vpi_job_forget_keys(job);
    pk_dispose(&pk);
    job->lease = vp_lease_release(job->lease);
    vpi_error_op(err, "package");
    return st;
}
