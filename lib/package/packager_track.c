/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Tracks of the push packager: what their configuration says, and their queues. */

#include "package/packager_int.h"

#define CONFIG_MAX 65536u
#define TIME_MAX (INT64_MAX / 4)
#define NAME_MAX_BYTES 200u

/* A folder and an id in manifests: no separators, blanks or quotes. */
static bool name_valid(const char *name)
{
    size_t size = name ? strlen(name) : 0;

    if (size == 0 || size > NAME_MAX_BYTES || !vpi_key_valid(name)) return false;
    for (size_t i = 0; i < size; i++) {
        if ((uint8_t)name[i] <= ' ' || name[i] == 127 || strchr("/\",'<>&", name[i])) return false;
    }
    return true;
}

static vp_status fill_video(vpi_pk_track *t, vp_error *err)
{
    vpi_track_setup *s = &t->setup;
    vpi_h264_sps sps;
    vpi_avcc avcc;

    s->kind = VPI_KIND_VIDEO;
    s->codec = VPI_CODEC_H264;
    VPI_TRY(vpi_avcc_parse(t->config, s->config_size, &avcc, err));
    if (avcc.sps_count == 0 || avcc.pps_count == 0) {
        return vpi_fail(err, VP_E_DATA, "INPUT_CORRUPT", "track %s has no parameter sets", t->name);
    }
    VPI_TRY(vpi_h264_sps_parse(&avcc.sps[0], &sps, err));
    VPI_TRY(vpi_codecs_avc(t->config, s->config_size, t->codecs, err));
    t->length_size = avcc.length_size;
    s->width = sps.width;
    s->height = sps.height;
    s->sar_num = sps.sar_num;
    s->sar_den = sps.sar_den;
    if (sps.primaries != 2 || sps.transfer != 2 || sps.matrix != 2) {
        s->primaries = sps.primaries;
        s->transfer = sps.transfer;
        s->matrix = sps.matrix;
        s->full_range = sps.full_range;
    }
    if (!sps.has_vui) s->primaries = s->transfer = s->matrix = 0;
    t->reorder = sps.has_reorder ? VPI_MIN(sps.max_reorder_frames, 16u) : 0;
    return VP_OK;
}

static vp_status fill_audio(vpi_pk_track *t, uint32_t formats, vp_error *err)
{
    vpi_track_setup *s = &t->setup;
    vpi_audio_form form;
    vpi_asc asc;

    s->kind = VPI_KIND_AUDIO;
    s->codec = VPI_CODEC_AAC;
    VPI_TRY(vpi_asc_parse(t->config, s->config_size, &asc, err));
    VPI_TRY(vpi_codecs_aac(t->config, s->config_size, t->codecs, err));
    s->sample_rate = asc.ext_sample_rate ? asc.ext_sample_rate : asc.sample_rate;
    s->channels = asc.ps ? 2 : asc.channels;
    if (s->channels == 0) {
        return vpi_fail(err, VP_E_DATA, "INPUT_CORRUPT", "track %s does not tell its channels", t->name);
    }
    return (formats & VP_FORMAT_TS) ? vpi_audio_form_of(s, &form, err) : VP_OK;
}

vp_status vpi_pk_track_fill(vpi_pk_track *track, const vp_track_config *config, uint32_t formats,
                            vp_error *err)
{
    if (!name_valid(config->name))
        return vpi_fail(err, VP_E_ARG, NULL, "name of a track is not a folder name");
    if (config->timescale == 0 || config->timescale > INT32_MAX) {
        return vpi_fail(err, VP_E_ARG, NULL, "timescale of %s is not within 1..2^31-1", config->name);
    }
    if ((config->frame_rate_num == 0) != (config->frame_rate_den == 0) || config->reserved != 0) {
        return vpi_fail(err, VP_E_ARG, NULL, "frame rate or reserved field of %s", config->name);
    }
    if (!config->config || config->config_size == 0 || config->config_size > CONFIG_MAX) {
        return vpi_fail(err, VP_E_ARG, NULL, "config of %s is empty or over 64 KiB", config->name);
    }
    track->name = vpi_strdup(config->name);
    track->config = vpi_alloc(config->config_size);
    if (!track->name || !track->config) return vpi_fail_nomem(err);
    memcpy(track->config, config->config, config->config_size);
    track->setup.config = track->config;
    track->setup.config_size = config->config_size;
    track->setup.timescale = config->timescale;
    vpi_language_bcp47(config->language, track->setup.language);
    track->rate_num = config->frame_rate_num;
    track->rate_den = config->frame_rate_den;
    track->is_default = config->is_default != 0;
    track->last_pts = -1;
    track->cmaf = track->ts = VPI_PK_NONE;
    if (config->codec == VP_CODEC_H264) return fill_video(track, err);
    if (config->codec == VP_CODEC_AAC) return fill_audio(track, formats, err);
    return vpi_fail(err, VP_E_UNSUPPORTED, "CODEC_UNSUPPORTED", "codec %d of track %s", (int)config->codec,
                    config->name);
}

void vpi_pk_track_dispose(vpi_pk_track *track)
{
    for (size_t i = 0; i < track->count; i++) vpi_free((void *)(uintptr_t)track->samples[i].data);
    vpi_free(track->samples);
    vpi_free(track->durations);
    vpi_free(track->fragments);
    vpi_free(track->config);
    vpi_free(track->name);
    memset(track, 0, sizeof(*track));
}

void vpi_pk_track_drop(vp_packager *pk, vpi_pk_track *track, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        pk->held -= track->samples[i].size + VPI_PK_COST;
        vpi_free((void *)(uintptr_t)track->samples[i].data);
    }
    track->count -= n;
    if (n == 0 || track->count == 0) return;
    memmove(track->samples, track->samples + n, track->count * sizeof(*track->samples));
    memmove(track->durations, track->durations + n, track->count * sizeof(*track->durations));
}

/* NAL lengths fit, and a sync sample is an IDR picture: a recovery point would not start a segment. */
static vp_status check_picture(const vpi_pk_track *track, const vp_sample *sample, vp_error *err)
{
    bool bad = false, idr = false;
    size_t at = 0;
    vpi_nal nal;

    while (vpi_avcc_next(sample->data, (size_t)sample->size, track->length_size, &at, &nal, &bad)) {
        if (vpi_h264_type(&nal) == VPI_H264_IDR) idr = true;
    }
    if (bad) {
        return vpi_fail(err, VP_E_DATA, "INPUT_CORRUPT", "NAL unit reaches past its sample in %s at %lld",
                        track->name, (long long)sample->pts);
    }
    if ((sample->flags & VP_SAMPLE_SYNC) && !idr) {
        return vpi_fail(err, VP_E_DATA, "INPUT_CORRUPT", "sync sample of %s at %lld is no IDR picture",
                        track->name, (long long)sample->pts);
    }
    if (!track->started && !idr) {
        return vpi_fail(err, VP_E_DATA, "INPUT_CORRUPT", "track %s does not begin with an IDR picture",
                        track->name);
    }
    return VP_OK;
}

static vp_status check_sample(const vp_packager *pk, const vpi_pk_track *track, const vp_sample *sample,
                              vp_error *err)
{
    if (sample->pts < 0 || sample->pts > TIME_MAX || sample->duration == 0 || sample->duration > UINT32_MAX) {
        return vpi_fail(err, VP_E_ARG, NULL, "time or duration of a sample of %s is out of range",
                        track->name);
    }
    if (!sample->data || sample->size == 0 || sample->size > VPI_PK_SAMPLE ||
        (sample->flags & ~VP_SAMPLE_SYNC) != 0) {
        return vpi_fail(err, VP_E_ARG, NULL, "sample of %s has no data, over 256 MiB or unknown flags",
                        track->name);
    }
    if (pk->held + sample->size + VPI_PK_COST > VPI_PK_MEMORY) {
        return vpi_fail(err, VP_E_LIMIT, "MEMORY_LIMIT",
                        "more than 256 MiB wait for another track or an IDR");
    }
    if (vpi_pk_is_video(track)) return check_picture(track, sample, err);
    if (sample->pts <= track->last_pts) {
        return vpi_fail(err, VP_E_DATA, "INPUT_CORRUPT", "audio time %lld of %s does not rise",
                        (long long)sample->pts, track->name);
    }
    return VP_OK;
}

vp_status vpi_pk_track_push(vp_packager *pk, vpi_pk_track *track, const vp_sample *sample, vp_error *err)
{
    vpi_sample own = { .pts = sample->pts, .size = (size_t)sample->size };
    uint8_t *copy;

    VPI_TRY(check_sample(pk, track, sample, err));
    if (!VPI_GROW(track->samples, track->count, track->samples_cap) ||
        !VPI_GROW(track->durations, track->count, track->durations_cap)) {
        return vpi_fail_nomem(err);
    }
    copy = vpi_alloc(own.size);
    if (!copy) return vpi_fail_nomem(err);
    memcpy(copy, sample->data, own.size);
    own.data = copy;
    own.sync = !vpi_pk_is_video(track) || (sample->flags & VP_SAMPLE_SYNC);
    track->samples[track->count] = own;
    track->durations[track->count++] = sample->duration;
    pk->held += own.size + VPI_PK_COST;
    track->last_pts = sample->pts;
    track->end = VPI_MAX(track->end, (uint64_t)sample->pts + sample->duration);
    if (!track->started) {
        track->started = true;
        track->start = (uint64_t)sample->pts;
    }
    return VP_OK;
}
