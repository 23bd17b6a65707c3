/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>

#include "base/hash.h"
#include "package_int.h"

/* Keys of a package job: asked for when tracks and cuts are known. */

#define LABEL_AUDIO "audio"

static const vpi_protection *find(const vpi_ready *pk, const char *label)
{
    return vpi_protection_find(pk->protections, pk->protection_count, label);
}

const vpi_protection *vpi_ready_video_protection(const vpi_ready *pk, const vpi_ready_video *v)
{
    return find(pk, vpi_label_of(v->setup.width, v->setup.height));
}

const vpi_protection *vpi_ready_audio_protection(const vpi_ready *pk)
{
    return find(pk, LABEL_AUDIO);
}

void vpi_ready_protect_dispose(vpi_ready *pk)
{
    for (size_t i = 0; i < pk->protection_count; i++) vpi_protection_dispose(&pk->protections[i]);
    pk->protection_count = 0;
}

/* ---- numbers ---- */

/* Segments and clear ones; of sound alone by its length, as its writer cuts it. */
static void count_segments(const vpi_ready *pk, uint64_t *segments, uint64_t *clear)
{
    const vp_transcode_options *t = &pk->job->settings.transcode;
    int64_t length = (int64_t)t->segment_ms * 1000, tail = 500000, lead = (int64_t)t->clear_lead_ms * 1000;
    *clear = 0;
    if (!pk->video_count) {
        *segments = pk->end_us > tail ? (uint64_t)((pk->end_us - tail) / length) + 1 : 1;
        *clear = VPI_MIN((uint64_t)((lead + length - 1) / length), *segments);
        return;
    }
    *segments = pk->segments;
    while (*clear < *segments && vpi_ready_us(&pk->video[0], pk->video[0].cuts[*clear]) < lead) (*clear)++;
}

static vp_status ask(vpi_ready *pk, const char *label, uint64_t periods, uint64_t clear, vp_error *err)
{
    const vp_transcode_options *t = &pk->job->settings.transcode;
    vpi_protection *p = &pk->protections[pk->protection_count];
    if (find(pk, label)) return VP_OK;
    VPI_TRY(vpi_keys_ops_of(t->keys)->ask(pk->job->ring, label, periods, t->key_rotation, clear, p, err));
    pk->protection_count++;
    return VP_OK;
}

static vp_status ask_all(vpi_ready *pk, vp_error *err)
{
    const vp_transcode_options *t = &pk->job->settings.transcode;
    uint64_t segments, clear, periods = 1;
    count_segments(pk, &segments, &clear);
    if (t->key_rotation) periods = (segments + t->key_rotation - 1) / t->key_rotation;
    for (size_t i = 0; i < pk->video_count; i++)
        VPI_TRY(
            ask(pk, vpi_label_of(pk->video[i].setup.width, pk->video[i].setup.height), periods, clear, err));
    /* what is muxed into the pictures' transport stream is under their key */
    return pk->audio_count && !(pk->mux_audio && !pk->cmaf) ? ask(pk, LABEL_AUDIO, periods, clear, err)
                                                            : VP_OK;
}

/* ---- seed ---- */

/* In the work store: the request, then the seed, in hex. Work that was broken off goes on under the same one. */
static vp_status take_seed(vpi_ready *pk, uint8_t seed[16], vp_error *err)
{
    const vpi_keys_ops *ops = vpi_keys_ops_of(pk->job->settings.keys);
    vp_bytes *kept = NULL;
    bool found = false;
    if (vp_store_get(pk->job->work, VPI_WORK_SEED, 256, &kept, NULL) == VP_OK && vp_bytes_size(kept) == 96) {
        char text[97] = "";
        memcpy(text, vp_bytes_data(kept), 96);
        found = !strncmp(text, pk->request, 64) && vpi_hex_parse(text + 64, seed, 16);
    }
    vp_bytes_unref(kept);
    return found ? VP_OK : ops->seed(seed, err);
}

vp_status vpi_ready_keep_seed(const vpi_ready *pk, vp_error *err)
{
    char text[97];
    if (!pk->job->settings.transcode.encrypt) return VP_OK;
    memcpy(text, pk->request, 64);
    vpi_hex_text(pk->seed, sizeof(pk->seed), text + 64);
    VPI_TRY(vp_store_remove(pk->job->work, VPI_WORK_SEED, err));
    return vp_store_put(pk->job->work, VPI_WORK_SEED, text, 96, err);
}

/* ---- all ---- */

/* What was asked for into the request; the seed stays out of it, or every publish would be a new one. */
static void hash_request(vpi_ready *pk)
{
    const vp_transcode_options *t = &pk->job->settings.transcode;
    vpi_sha256 sha;
    vpi_sha256_init(&sha);
    vpi_sha256_add_str(&sha, pk->request);
    vpi_sha256_add_u64(&sha, t->encrypt);
    vpi_sha256_add_u64(&sha, t->key_rotation);
    vpi_sha256_add_u64(&sha, t->clear_lead_ms);
    for (size_t i = 0; i < pk->protection_count; i++) vpi_protection_hash(&pk->protections[i], &sha);
    vpi_sha256_hex(&sha, pk->request);
}

static void name_version(vpi_ready *pk)
{
    vpi_sha256 sha;
    char hex[65];
    vpi_sha256_init(&sha);
    vpi_sha256_add_str(&sha, pk->request);
    vpi_sha256_add(&sha, pk->seed, sizeof(pk->seed));
    vpi_sha256_hex(&sha, hex);
    if (pk->automatic) snprintf(pk->prefix, sizeof(pk->prefix), "%.12s", hex);
}

static vp_status open_ring(vpi_ready *pk, const uint8_t seed[16], vp_error *err)
{
    const vpi_settings *s = &pk->job->settings;
    vpi_job_forget_keys(pk->job);
    vpi_ready_protect_dispose(pk);
    VPI_TRY(vpi_keys_ops_of(s->keys)->new_ring(s->keys, (vpi_scheme)s->transcode.encrypt, s->title, seed,
                                               &pk->job->ring, err));
    return ask_all(pk, err);
}

/* What cannot be protected is refused before anything is written. */
static vp_status try_track(const vpi_ready *pk, const vpi_track_setup *setup,
                           const vpi_protection *protection, vp_error *err)
{
    vpi_track_guard g;
    VPI_TRY(vpi_track_guard_open(&pk->job->guard, setup, protection, VPI_ORDINAL_CMAF, 0, &g, err));
    vpi_track_guard_close(&g);
    return VP_OK;
}

static vp_status try_tracks(const vpi_ready *pk, vp_error *err)
{
    for (size_t i = 0; i < pk->video_count; i++)
        VPI_TRY(try_track(pk, &pk->video[i].setup, vpi_ready_video_protection(pk, &pk->video[i]), err));
    for (size_t i = 0; i < pk->audio_count; i++)
        VPI_TRY(try_track(pk, &pk->audio[i].setup, vpi_ready_audio_protection(pk), err));
    return VP_OK;
}

vp_status vpi_ready_protect(vpi_ready *pk, vp_error *err)
{
    static const uint8_t none[16] = { 0 };
    if (!pk->job->settings.transcode.encrypt) return VP_OK;
    /* keys first: the request, by which the seed is found, depends on them */
    VPI_TRY(open_ring(pk, none, err));
    hash_request(pk);
    VPI_TRY(take_seed(pk, pk->seed, err));
    VPI_TRY(open_ring(pk, pk->seed, err));
    name_version(pk);
    vpi_keys_ops_of(pk->job->settings.keys)->guard(pk->job->ring, &pk->job->guard);
    return try_tracks(pk, err);
}
