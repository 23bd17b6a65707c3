/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Output of the push packager: presentation tracks, init segments, segments. */

#include <stdio.h>
#include <stdlib.h>

#include "package/packager_int.h"

/* ---- tracks of the presentation ---- */

static vp_status audio_group(uint32_t channels, char **out, vp_error *err)
{
    *out = channels == 1   ? vpi_strdup("mono")
           : channels == 2 ? vpi_strdup("stereo")
           : channels == 6 ? vpi_strdup("5.1")
           : channels == 8 ? vpi_strdup("7.1")
                           : vpi_asprintf("%uch", (unsigned)channels);
    return *out ? VP_OK : vpi_fail_nomem(err);
}

static vp_status add_ptrack(vp_packager *pk, const vpi_pk_track *t, int32_t container,
                            const vpi_pk_track *muxed, size_t *index, vp_error *err)
{
    const vpi_track_setup *s = &t->setup, *sound = vpi_pk_is_video(t) ? (muxed ? &muxed->setup : NULL) : s;
    vpi_ptrack *p = vpi_presentation_add_track(&pk->presentation->p);

    if (!p) return vpi_fail_nomem(err);
    *index = pk->presentation->p.track_count - 1;
    p->name = vpi_strdup(t->name);
    p->codecs = muxed ? vpi_asprintf("%s,%s", t->codecs, muxed->codecs) : vpi_strdup(t->codecs);
    if (!p->name || !p->codecs) return vpi_fail_nomem(err);
    p->container = container;
    p->is_default = t->is_default;
    p->timescale = s->timescale;
    if (sound) {
        p->sample_rate = sound->sample_rate;
        p->channels = sound->channels;
    }
    if (vpi_pk_is_video(t)) {
        p->kind = VP_TRACK_VIDEO;
        p->group = vpi_strdup("video");
        p->width = s->width;
        p->height = s->height;
        p->frame_rate_num = t->rate_num;
        p->frame_rate_den = t->rate_den;
        p->primaries = s->primaries;
        p->transfer = s->transfer;
        p->matrix = s->matrix;
        return p->group ? VP_OK : vpi_fail_nomem(err);
    }
    p->kind = VP_TRACK_AUDIO;
    p->language = vpi_strdup(s->language);
    if (!p->language) return vpi_fail_nomem(err);
    return audio_group(s->channels, &p->group, err);
}

/* The one audio track that goes into the video of transport streams; NULL: audio stands alone. */
static vpi_pk_track *muxed_audio(vp_packager *pk)
{
    vpi_pk_track *found = NULL;
    bool video = false;

    for (size_t i = 0; i < pk->track_count; i++) {
        if (vpi_pk_is_video(&pk->tracks[i])) {
            video = true;
        } else if (found) {
            return NULL;
        } else {
            found = &pk->tracks[i];
        }
    }
    return video ? found : NULL;
}

static vp_status add_tracks_of(vp_packager *pk, bool video, vp_error *err)
{
    const vpi_pk_track *muxed = muxed_audio(pk);

    for (size_t i = 0; i < pk->track_count; i++) {
        vpi_pk_track *t = &pk->tracks[i];

        if (vpi_pk_is_video(t) != video || !(pk->formats & VP_FORMAT_CMAF)) continue;
        VPI_TRY(add_ptrack(pk, t, VP_CONTAINER_CMAF, NULL, &t->cmaf, err));
        pk->presentation->p.tracks[t->cmaf].single_file = pk->single_file;
    }
    for (size_t i = 0; i < pk->track_count; i++) {
        vpi_pk_track *t = &pk->tracks[i];

        if (vpi_pk_is_video(t) != video || !(pk->formats & VP_FORMAT_TS) || t == muxed) continue;
        VPI_TRY(add_ptrack(pk, t, video ? VP_CONTAINER_TS : VP_CONTAINER_PACKED, video ? muxed : NULL, &t->ts,
                           err));
    }
    return VP_OK;
}

/* ---- objects ---- */

vp_status vpi_pk_begin(vp_packager *pk, const vpi_ptrack *track, int32_t kind, const char *key, uint64_t size,
                       vp_object **out, vp_error *err)
{
    vp_object_info info = VP_OBJECT_INFO_INIT;

    info.kind = kind;
    info.key = key;
    if (track->single_file) kind = VP_OBJECT_INIT; /* a whole MP4 file */
    info.content_type = vpi_content_type(track->container, track->kind, kind);
    /* Names under a version folder are never used again. */
    info.cache_control = pk->prefix[0] ? "public, max-age=31536000, immutable" : "public, max-age=60";
    info.size = size;
    return vp_sink_begin(pk->sink, &info, out, err);
}

static char *make_key(const vp_packager *pk, const vpi_ptrack *track, const char *file)
{
    const char *folder = track->container != VP_CONTAINER_CMAF ? "ts"
                         : track->kind == VP_TRACK_VIDEO       ? "video"
                                                               : "audio";

    return vpi_asprintf("%s%s/%s/%s", pk->prefix, folder, track->name, file);
}

static vp_status put_init(vp_packager *pk, const vpi_pk_track *t, vp_error *err)
{
    vpi_ptrack *track = &pk->presentation->p.tracks[t->cmaf];
    vp_object *object = NULL;
    vpi_buf bytes = { 0 };
    vp_status st;

    track->init.key = make_key(pk, track, pk->single_file ? "media.mp4" : "init.mp4");
    if (!track->init.key) return vpi_fail_nomem(err);
    VPI_GO(vpi_cmaf_init(&t->setup, NULL, &bytes, err));
    track->init.bytes = bytes.size;
    if (pk->single_file) goto done; /* becomes the head of media.mp4 */
    VPI_GO(vpi_pk_begin(pk, track, VP_OBJECT_INIT, track->init.key, bytes.size, &object, err));
    st = vp_object_write(object, bytes.data, bytes.size, err);
    if (st < 0) {
        vp_object_abort(object);
        goto done;
    }
    st = vp_object_commit(object, NULL, &track->init.crc32c, err);
done:
    vpi_buf_dispose(&bytes);
    return st;
}

vp_status vpi_pk_start(vp_packager *pk, vp_error *err)
{
    size_t slash = strcspn(pk->prefix, "/");

    /* The version folder, where the prefix is one folder. */
    if (pk->prefix[0] && pk->prefix[slash + 1] == 0) {
        vpi_free(pk->presentation->p.version);
        pk->presentation->p.version = vpi_strndup(pk->prefix, slash);
        if (!pk->presentation->p.version) return vpi_fail_nomem(err);
    }
    VPI_TRY(add_tracks_of(pk, true, err));
    VPI_TRY(add_tracks_of(pk, false, err));
    for (size_t i = 0; i < pk->track_count; i++) {
        if (pk->tracks[i].cmaf != VPI_PK_NONE) VPI_TRY(put_init(pk, &pk->tracks[i], err));
    }
    return VP_OK;
}

/* ---- segments ---- */

typedef struct job {
    int32_t container;
    const vpi_segment_in *in;
    const vpi_ts_in *ts;
} job;

static vp_status fill(const job *j, vpi_out *out, vpi_segment *entry, vp_error *err)
{
    if (j->container == VP_CONTAINER_CMAF) return vpi_cmaf_segment_out(j->in, NULL, true, out, entry, err);
    if (j->container == VP_CONTAINER_TS) return vpi_ts_segment_out(j->ts, NULL, out, entry, err);
    return vpi_packed_audio_out(j->in, NULL, out, entry, err);
}

static vp_status put_segment(vp_packager *pk, size_t index, const job *j, vp_error *err)
{
    vpi_ptrack *track = &pk->presentation->p.tracks[index];
    vpi_segment *entry = vpi_ptrack_add_segment(track);
    vpi_out sizes = { 0 }, out = { 0 };
    char file[32];
    vp_status st;

    if (!entry) return vpi_fail_nomem(err);
    if (pk->single_file && j->container == VP_CONTAINER_CMAF) {
        return vpi_pk_put_part(pk, track, j->in, entry, err);
    }
    snprintf(file, sizeof(file), "%05zu.%s", track->segment_count, vpi_segment_suffix(track));
    entry->key = make_key(pk, track, file);
    if (!entry->key) return vpi_fail_nomem(err);
    VPI_TRY(fill(j, &sizes, entry, err)); /* the exact size lets a sink send it in one request */
    if (entry->bytes > VPI_PK_BIG_SEGMENT) {
        vpi_log(pk->context, VP_LOG_WARN, "package", "%s has %llu MB: players may run out of memory",
                entry->key, (unsigned long long)(entry->bytes / 1000000));
    }
    VPI_TRY(vpi_pk_begin(pk, track, VP_OBJECT_SEGMENT, entry->key, entry->bytes, &out.object, err));
    st = fill(j, &out, entry, err);
    if (st < 0) {
        vp_object_abort(out.object);
        return st;
    }
    return vp_object_commit(out.object, NULL, &entry->crc32c, err);
}

static void segment_of(const vpi_pk_track *t, vpi_segment_in *in)
{
    *in = (vpi_segment_in){ .setup = &t->setup,
                            .samples = t->samples,
                            .count = t->cut,
                            .fragments = t->fragments,
                            .fragment_count = t->fragment_count,
                            .start = t->start,
                            .end = t->cut_end,
                            .first_fragment = t->done_fragments,
                            .first_sample = t->done_samples };
}

/* ---- decode times of transport streams ---- */

static int compare_pts(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return (x > y) - (x < y);
}

/*
 * How far pictures are reordered and how close they stand. What later segments show can only make the step
 * smaller, never the decode times go back: the first one of a segment, start - reorder * min_frame, stays
 * behind the last.
 */
static vp_status plan_decoding(vpi_pk_track *t, vp_error *err)
{
    int64_t *sorted = vpi_calloc(t->cut, sizeof(*sorted));
    uint64_t closest = t->min_frame ? t->min_frame : UINT32_MAX / 2;
    size_t n = t->cut, depth = t->reorder;

    if (!sorted) return vpi_fail_nomem(err);
    for (size_t i = 0; i < n; i++) sorted[i] = t->samples[i].pts;
    qsort(sorted, n, sizeof(*sorted), compare_pts);
    for (size_t i = 0; i < n; i++) {
        const int64_t *at = bsearch(&t->samples[i].pts, sorted, n, sizeof(*sorted), compare_pts);
        size_t place = at ? (size_t)(at - sorted) : i;
        int64_t next = i + 1 < n ? sorted[i + 1] : (int64_t)t->cut_end;

        if (i > place) depth = VPI_MAX(depth, i - place);
        if (next > sorted[i]) closest = VPI_MIN(closest, (uint64_t)(next - sorted[i]));
    }
    t->reorder = (uint32_t)VPI_MIN(depth, (size_t)UINT32_MAX);
    if (t->has_last_dts && depth > 0) {
        int64_t room = (int64_t)t->start - t->last_dts - 1;

        closest = VPI_MIN(closest, room > 0 ? (uint64_t)room / depth : 0);
    }
    t->min_frame = closest;
    t->last_dts =
        n > depth ? sorted[n - 1 - depth] : (int64_t)t->start - (int64_t)((depth - (n - 1)) * closest);
    t->has_last_dts = true;
    vpi_free(sorted);
    if (depth > 16) {
        return vpi_fail(err, VP_E_DATA, "INPUT_CORRUPT", "pictures of %s are reordered by more than 16",
                        t->name);
    }
    return VP_OK;
}

static vp_status put_transport(vp_packager *pk, vpi_pk_track *t, const vpi_pk_track *muxed, vp_error *err)
{
    vpi_segment_in video, audio;
    vpi_ts_in in = { .video = &video };
    job j = { .container = VP_CONTAINER_TS, .ts = &in };

    VPI_TRY(plan_decoding(t, err));
    segment_of(t, &video);
    in.reorder = t->reorder;
    in.min_frame = t->min_frame;
    if (muxed) {
        segment_of(muxed, &audio);
        in.audio = &audio;
    }
    return put_segment(pk, t->ts, &j, err);
}

vp_status vpi_pk_write_segment(vp_packager *pk, vp_error *err)
{
    const vpi_pk_track *muxed = muxed_audio(pk);
    size_t marks = 1;

    for (size_t i = 0; i < pk->track_count; i++) {
        vpi_pk_track *t = &pk->tracks[i];
        vpi_segment_in in;

        if (t->cut == 0) continue; /* audio that starts late or ended early */
        segment_of(t, &in);
        if (t->cmaf != VPI_PK_NONE)
            VPI_TRY(put_segment(pk, t->cmaf, &(job){ VP_CONTAINER_CMAF, &in, NULL }, err));
        if (t->ts == VPI_PK_NONE) continue;
        if (vpi_pk_is_video(t)) {
            VPI_TRY(put_transport(pk, t, muxed, err));
        } else {
            VPI_TRY(put_segment(pk, t->ts, &(job){ VP_CONTAINER_PACKED, &in, NULL }, err));
        }
    }
    for (size_t i = 0; i < pk->track_count; i++) {
        vpi_pk_track *t = &pk->tracks[i];

        if (t->cut == 0) continue;
        t->done_samples += t->cut;
        t->done_fragments += t->fragment_count;
        t->start = t->cut_end;
        vpi_pk_track_drop(pk, t, t->cut);
        t->cut = 0;
    }
    while (marks < pk->mark_count && !pk->marks[marks].segment) marks++;
    pk->mark_count -= marks;
    memmove(pk->marks, pk->marks + marks, pk->mark_count * sizeof(*pk->marks));
    return VP_OK;
}
