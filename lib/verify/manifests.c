/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The manifests of a published title. Each playlist is read with a parser of our own and compared with the
 * presentation, and so is the MPD (mpd.c); then the text is compared with what the manifest writers make of the
 * presentation today.
 */
#include <stdlib.h>

#include <vodpipe/manifest.h>

#include "verify/mpd_int.h"

#define MASTER "master.m3u8"
#define MASTER_TS "master-ts.m3u8"
#define MPD "manifest.mpd"
#define MARKER ".vodpipe-version"

static const char *const root_names[] = { MASTER, MASTER_TS, MPD, "presentation.json", "player.html" };

/* Keys of all objects that the title consists of, for the search for strays. */
typedef struct names {
    char **items;
    size_t count, cap;
} names;

static vp_status add_name(names *n, const char *key, vp_error *err)
{
    char *copy = vpi_strdup(key);

    if (!copy || !VPI_GROW(n->items, n->count, n->cap)) {
        vpi_free(copy);
        return vpi_fail_nomem(err);
    }
    n->items[n->count++] = copy;
    return VP_OK;
}

static void dispose_names(names *n)
{
    for (size_t i = 0; i < n->count; i++) vpi_free(n->items[i]);
    vpi_free(n->items);
}

/* *out NULL: it is not there or cannot be used; the report says so. */
static vp_status fetch(vpi_verifier *v, const char *key, vp_bytes **out, vp_error *err)
{
    vp_error cause = VP_ERROR_INIT;
    vp_status st;

    *out = NULL;
    VPI_TRY(vpi_cancel_check(v->cancel, err));
    st = vp_sink_get(v->sink, key, VPI_VERIFY_MAX_MANIFEST, out, &cause);
    if (st == VP_END) {
        vpi_check(v, false, "X04", key, "does not exist");
        return VP_OK;
    }
    return vpi_caught(v, st, &cause, "STRUCTURE", key, err);
}

/* due NULL: the writers refuse the presentation, which the report says already. */
static void compare(vpi_verifier *v, const char *key, const vp_bytes *have, const vp_bytes *due)
{
    const char *a = vp_bytes_data(have), *b = due ? vp_bytes_data(due) : NULL;
    uint64_t i = 0, n = vp_bytes_size(have), m = due ? vp_bytes_size(due) : 0;
    unsigned long long line = 1;

    if (!b) return;
    for (; i < n && i < m && a[i] == b[i]; i++) line += a[i] == '\n';
    vpi_check(v, i == n && i == m, "MANIFEST", key, "line %llu differs from what the presentation gives",
              line);
}

/* A writer's answer: DATA and ARG are what the presentation is to blame for. */
static vp_status made(vpi_verifier *v, vp_status st, const vp_error *cause, const char *key, vp_error *err)
{
    if (st >= 0) return VP_OK;
    if (st == VP_E_NOMEM) return vpi_fail_nomem(err);
    vpi_check(v, false, "MANIFEST", key, "cannot be made from the presentation: %s", cause->message);
    return VP_OK;
}

/* ---- playlists of tracks ---- */

static vp_status check_playlist(vpi_verifier *v, size_t track, bool iframes, names *n, vp_error *err)
{
    vp_error cause = VP_ERROR_INIT;
    vp_bytes *key = NULL, *have = NULL, *due = NULL;
    vp_status st;

    st = vp_manifest_hls_media_key(v->presentation, (uint32_t)track, iframes, &key, &cause);
    if (st < 0) return made(v, st, &cause, v->p->tracks[track].name, err);
    VPI_GO(add_name(n, vp_bytes_data(key), err));
    VPI_GO(fetch(v, vp_bytes_data(key), &have, err));
    if (!have) goto done;
    vpi_verify_playlist(v, track, iframes, vp_bytes_data(key), vp_bytes_data(have),
                        (size_t)vp_bytes_size(have));
    st = iframes ? vp_manifest_hls_iframes(v->presentation, (uint32_t)track, &due, &cause)
                 : vp_manifest_hls_media(v->presentation, (uint32_t)track, &due, &cause);
    VPI_GO(made(v, st, &cause, vp_bytes_data(key), err));
    compare(v, vp_bytes_data(key), have, due);
    st = VP_OK;
done:
    vp_bytes_unref(key);
    vp_bytes_unref(have);
    vp_bytes_unref(due);
    return st;
}

static vp_status check_playlists(vpi_verifier *v, names *n, vp_error *err)
{
    for (size_t i = 0; i < v->p->track_count; i++) {
        if (!v->sane[i] || v->p->tracks[i].kind == VP_TRACK_IMAGE) continue;
        VPI_TRY(check_playlist(v, i, false, n, err));
        if (v->p->tracks[i].kind == VP_TRACK_VIDEO && !vpi_whole_object(&v->p->tracks[i]))
            VPI_TRY(check_playlist(v, i, true, n, err));
    }
    return VP_OK;
}

/* ---- masters and MPD ---- */

static vp_status check_master(vpi_verifier *v, int32_t container, const char *key, vp_error *err)
{
    vp_error cause = VP_ERROR_INIT;
    vp_bytes *have = NULL, *due = NULL;
    vp_status st;

    VPI_GO(fetch(v, key, &have, err));
    if (!have) goto done;
    VPI_GO(vpi_verify_master(v, container, key, vp_bytes_data(have), (size_t)vp_bytes_size(have), err));
    st = vp_manifest_hls_master(v->presentation, container, &due, &cause);
    VPI_GO(made(v, st, &cause, key, err));
    compare(v, key, have, due);
    st = VP_OK;
done:
    vp_bytes_unref(have);
    vp_bytes_unref(due);
    return st;
}

static vp_status check_mpd(vpi_verifier *v, vp_error *err)
{
    vp_error cause = VP_ERROR_INIT;
    vp_bytes *have = NULL, *due = NULL;
    vp_status st;

    VPI_GO(fetch(v, MPD, &have, err));
    if (!have) goto done;
    VPI_GO(vpi_verify_mpd(v, MPD, vp_bytes_data(have), (size_t)vp_bytes_size(have), err));
    st = vp_manifest_dash(v->presentation, &due, &cause);
    VPI_GO(made(v, st, &cause, MPD, err));
    compare(v, MPD, have, due);
    st = VP_OK;
done:
    vp_bytes_unref(have);
    vp_bytes_unref(due);
    return st;
}

static vp_status check_roots(vpi_verifier *v, vp_error *err)
{
    bool cmaf = false, ts = false, whole = false;
    vp_object_info info = VP_OBJECT_INFO_INIT;
    vp_status st;

    for (size_t i = 0; i < v->p->track_count; i++) {
        const vpi_ptrack *t = &v->p->tracks[i];

        if (t->kind != VP_TRACK_VIDEO && t->kind != VP_TRACK_AUDIO) continue;
        cmaf |= t->container == VP_CONTAINER_CMAF;
        ts |= t->container != VP_CONTAINER_CMAF;
        whole |= vpi_whole_object(t);
    }
    if (cmaf) VPI_TRY(check_master(v, VP_HLS_CMAF, MASTER, err));
    if (cmaf && !whole) VPI_TRY(check_mpd(v, err)); /* DASH has no encryption of whole segments */
    if (ts) VPI_TRY(check_master(v, VP_HLS_TS, cmaf ? MASTER_TS : MASTER, err));
    if (!(cmaf && ts)) {
        st = vp_sink_stat(v->sink, MASTER_TS, &info, err);
        if (st < 0) return st;
        vpi_check(v, st == VP_END, "S22", MASTER_TS, "is left from an earlier title");
    }
    if (!cmaf || whole) {
        st = vp_sink_stat(v->sink, MPD, &info, err);
        if (st < 0) return st;
        vpi_check(v, st == VP_END, "S22", MPD, "is left from an earlier title");
    }
    return VP_OK;
}

/* ---- strays ---- */

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static vp_status name_objects(const vpi_verifier *v, names *n, vp_error *err)
{
    for (size_t i = 0; i < v->p->track_count; i++) {
        const vpi_ptrack *t = &v->p->tracks[i];

        if (!v->sane[i]) continue;
        if (vpi_key_valid(t->init.key)) VPI_TRY(add_name(n, t->init.key, err));
        if (vpi_key_valid(t->index.key)) VPI_TRY(add_name(n, t->index.key, err));
        for (size_t k = 0; k < (t->single_file ? 1 : t->segment_count); k++) {
            VPI_TRY(add_name(n, t->segments[k].key, err));
        }
    }
    return VP_OK;
}

typedef struct stray_search {
    vpi_verifier *v;
    const names *known;
    const char *version;
    size_t length;
} stray_search;

static bool is_known(const stray_search *s, const char *key)
{
    return bsearch(&key, s->known->items, s->known->count, sizeof(*s->known->items), compare_names) != NULL;
}

static bool is_root(const char *key)
{
    for (size_t i = 0; i < VPI_COUNT(root_names); i++) {
        if (strcmp(root_names[i], key) == 0) return true;
    }
    return false;
}

static vp_status look_at(void *user, const vp_object_info *info)
{
    const stray_search *s = user;
    const char *key = info->key;
    bool root = strchr(key, '/') == NULL;

    if (vp_cancel_fired(s->v->cancel)) return VP_E_CANCELED;
    if (strncmp(key, ".vodpipe/", 9) == 0 || is_root(key) || strcmp(key, MARKER) == 0) return VP_OK;
    if (root) {
        if (!is_known(s, key)) vpi_warn(s->v, "NAMES", key, "is no part of the title");
        return VP_OK;
    }
    /* Other folders hold older versions, which viewers in mid-play may still read. */
    if (s->length > 0 && (strncmp(key, s->version, s->length) != 0 || key[s->length] != '/')) return VP_OK;
    vpi_check(s->v, is_known(s, key), "NAMES", key, "is named by nothing");
    return VP_OK;
}

static vp_status find_strays(vpi_verifier *v, names *n, vp_error *err)
{
    stray_search s = { v, n, v->p->version ? v->p->version : "", 0 };
    vp_object_info info = VP_OBJECT_INFO_INIT;
    char marker[1100];
    vpi_buf b = { 0 };
    vp_status st;

    s.length = strlen(s.version);
    VPI_TRY(name_objects(v, n, err));
    if (s.length > 0) {
        vpi_buf_printf(&b, "%s/%s", s.version, MARKER);
        vpi_buf_u8(&b, 0);
        if (vpi_buf_failed(&b)) return vpi_fail_nomem(err);
        vpi_strlcpy(marker, (const char *)b.data, sizeof(marker));
        vpi_buf_dispose(&b);
        st = vp_sink_stat(v->sink, marker, &info, err);
        if (st < 0) return st;
        vpi_check(v, st != VP_END, "NAMES", marker, "does not exist");
        VPI_TRY(add_name(n, marker, err));
    }
    qsort(n->items, n->count, sizeof(*n->items), compare_names);
    st = vp_sink_list(v->sink, "", look_at, &s, err);
    if (st == VP_E_CANCELED) return vpi_cancel_check(v->cancel, err) < 0 ? VP_E_CANCELED : st;
    return st;
}

vp_status vpi_verify_manifests(vpi_verifier *v, vp_error *err)
{
    names n = { 0 };
    vp_status st;

    VPI_GO(check_roots(v, err));
    VPI_GO(check_playlists(v, &n, err));
    st = find_strays(v, &n, err);
done:
    dispose_names(&n);
    return st < 0 ? st : VP_OK;
}
