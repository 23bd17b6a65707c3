/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "package_int.h"

/* Segment borders: IDR pictures, or what other codecs have instead, that all renditions have at the same time. */

/* Times in different containers are equal within their coarser tick. */
#define TAIL_MERGED_US 500000
#define ENDS_APART_US 1000
#define EARLY_US 2000

__extension__ typedef __int128 i128;

static const char *input_name(const vpi_ready *pk, const vpi_ready_video *v)
{
    return pk->job->renditions[v->input].name;
}

/* a on x's clock minus b on y's clock: 0 when equal within one tick of the coarser clock, else its sign. */
static int compare(const vpi_ready_video *x, int64_t a, const vpi_ready_video *y, int64_t b)
{
    i128 left = (i128)a * x->tb.num * y->tb.den, right = (i128)b * y->tb.num * x->tb.den;
    i128 tick_x = (i128)x->tb.num * y->tb.den, tick_y = (i128)y->tb.num * x->tb.den;
    i128 slack = tick_x == tick_y ? 0 : VPI_MAX(tick_x, tick_y), d = left - right;
    return d > slack ? 1 : d < -slack ? -1 : 0;
}

/* Index of y's key at x's time a, or -1. */
static int64_t find_key(const vpi_ready_video *x, int64_t a, const vpi_ready_video *y)
{
    size_t low = 0, high = y->key_count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        int c = compare(x, a, y, y->keys[mid]);
        if (c == 0) return (int64_t)mid;
        if (c > 0)
            low = mid + 1;
        else
            high = mid;
    }
    return -1;
}

bool vpi_ready_shared(const vpi_ready *pk, const vpi_ready_video *v, int64_t at)
{
    for (size_t i = 0; i < pk->video_count; i++)
        if (&pk->video[i] != v && find_key(v, at, &pk->video[i]) < 0) return false;
    return true;
}

/* The track that has no key at this time of the first one, NULL when all have. */
static const vpi_ready_video *lacks(const vpi_ready *pk, int64_t key)
{
    for (size_t i = 1; i < pk->video_count; i++)
        if (find_key(&pk->video[0], key, &pk->video[i]) < 0) return &pk->video[i];
    return NULL;
}

static vp_status not_aligned(const vpi_ready *pk, int64_t after_us, int64_t key, const vpi_ready_video *v,
                             vp_error *err)
{
    int64_t at = key >= 0 ? vpi_ready_us(&pk->video[0], key) : after_us;
    const char *who = input_name(pk, v ? v : &pk->video[0]);
    vpi_error_key(err, who);
    return vpi_fail(err, VP_E_DATA, "RENDITIONS_NOT_ALIGNED",
                    "%s has no IDR picture at %lld.%03lld s, and none is common within two segments", who,
                    (long long)(at / 1000000), (long long)(at / 1000 % 1000));
}

typedef struct cut_list {
    int64_t *at; /* of the first track */
    size_t count, cap;
} cut_list;

static vp_status choose(const vpi_ready *pk, cut_list *cuts, vp_error *err)
{
    const vpi_ready_video *v = &pk->video[0];
    int64_t segment_us = (int64_t)pk->job->settings.transcode.segment_ms * 1000;
    int64_t last_us = 0, missed = -1;
    const vpi_ready_video *missing = NULL;
    for (size_t i = 0; i < v->key_count; i++) {
        int64_t us = vpi_ready_us(v, v->keys[i]);
        const vpi_ready_video *without = lacks(pk, v->keys[i]);
        bool due = i == 0 || us + EARLY_US >= last_us + segment_us;
        if (i == 0 && without) return not_aligned(pk, 0, 0, without, err);
        if (due && without && missed < 0) {
            missed = v->keys[i];
            missing = without;
        }
        if (us - last_us > 2 * segment_us) return not_aligned(pk, last_us + segment_us, missed, missing, err);
        if (!due || without) continue;
        if (i && pk->end_us - us < TAIL_MERGED_US) break;
        if (!VPI_GROW(cuts->at, cuts->count, cuts->cap)) return vpi_fail_nomem(err);
        cuts->at[cuts->count++] = v->keys[i];
        last_us = us;
        missed = -1;
    }
    if (pk->end_us - last_us > 2 * segment_us + TAIL_MERGED_US)
        return not_aligned(pk, last_us + segment_us, missed, missing, err);
    return VP_OK;
}

static vp_status give_cuts(vpi_ready *pk, const cut_list *cuts, vp_error *err)
{
    pk->segments = cuts->count;
    for (size_t i = 0; i < pk->video_count; i++) {
        vpi_ready_video *v = &pk->video[i];
        int64_t *at = vpi_calloc(cuts->count + 1, sizeof(*at));
        if (!at) return vpi_fail_nomem(err);
        for (size_t n = 0; n < cuts->count; n++) {
            int64_t k = i ? find_key(&pk->video[0], cuts->at[n], v) : -1;
            at[n] = i ? v->keys[k] : cuts->at[n];
        }
        at[cuts->count] = v->end;
        vpi_free(v->cuts);
        v->cuts = at;
    }
    return VP_OK;
}

/* Looks at the sample at each cut: can decoding begin there? */
static vp_status check_cuts(vpi_ready *pk, const vpi_ready_video *v, bool *right, vp_error *err)
{
    const vpi_ready_input *in = &pk->inputs[v->input];
    vpi_movie_cursor *cursor = NULL;
    size_t found = 0;
    vpi_point point = VPI_POINT_NONE;
    bool sets;
    vp_status st = vpi_movie_cursor_new(&in->file, &in->movie.tracks[v->stream], &cursor, err);
    *right = true;
    while (st >= 0 && *right && found < pk->segments) {
        vpi_movie_sample s;
        st = vpi_movie_next(cursor, &s, err);
        if (st != VP_OK) break;
        if (!s.sync || s.pts != v->cuts[found] + v->first) continue;
        st = vpi_ready_point_at(in, v->setup.codec, v->nal_length, &s, &point, &sets, err);
        *right = point != VPI_POINT_NONE;
        found++;
    }
    vpi_movie_cursor_free(cursor);
    return st < 0 ? st : VP_OK;
}

static vp_status settle(vpi_ready *pk, vp_error *err)
{
    cut_list cuts = { 0 };
    vp_status st = choose(pk, &cuts, err);
    if (st >= 0) st = give_cuts(pk, &cuts, err);
    vpi_free(cuts.at);
    return st;
}

static vp_status check_ends(vpi_ready *pk, vp_error *err)
{
    pk->end_us = vpi_ready_us(&pk->video[0], pk->video[0].end);
    for (size_t i = 1; i < pk->video_count; i++) {
        const vpi_ready_video *v = &pk->video[i];
        int64_t end = vpi_ready_us(v, v->end), d = end > pk->end_us ? end - pk->end_us : pk->end_us - end;
        if (d <= ENDS_APART_US) continue;
        vpi_error_key(err, input_name(pk, v));
        return vpi_fail(err, VP_E_DATA, "RENDITIONS_NOT_ALIGNED", "%s ends at %lld ms, %s at %lld ms",
                        input_name(pk, v), (long long)(end / 1000), input_name(pk, &pk->video[0]),
                        (long long)(pk->end_us / 1000));
    }
    return VP_OK;
}

vp_status vpi_ready_cut(vpi_ready *pk, vp_error *err)
{
    if (!pk->video_count) return VP_OK;
    VPI_TRY(check_ends(pk, err));
    VPI_TRY(settle(pk, err));
    bool again = false;
    for (size_t i = 0; i < pk->video_count; i++) {
        vpi_ready_video *v = &pk->video[i];
        bool right = true;
        if (v->exact) continue;
        VPI_TRY(check_cuts(pk, v, &right, err));
        if (right) continue;
        /* its writer marks other pictures as sync samples too (an open GOP) */
        VPI_TRY(vpi_ready_look(pk, v, err));
        again = true;
    }
    if (again) VPI_TRY(settle(pk, err));
    return VP_OK;
}
