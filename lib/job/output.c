/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>

#include "base/hash.h"
#include "io/io.h"
#include "job_int.h"
#include "package/package.h"

/* What is there already, and the manifests that make a title visible. */

static const char *const root_names[] = { VPI_ROOT_MASTER,       VPI_ROOT_MASTER_TS, VPI_ROOT_MPD,
                                          VPI_ROOT_PRESENTATION, VPI_ROOT_PLAYER,    NULL };

static bool is_root_name(const char *key)
{
    for (size_t i = 0; root_names[i]; i++)
        if (vpi_streq(root_names[i], key)) return true;
    return false;
}

static bool begins(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

static bool can(const vpi_output *o, uint32_t what)
{
    return (vp_sink_has(o->sink) & what) == what;
}

/* ---- is the place ours? ---- */

typedef struct survey {
    const vpi_output *o;
    char **folders; /* first part of every key; one entry each */
    bool *marked;
    size_t count, cap, marked_cap;
    bool root_marker, nomem;
    char stranger[256]; /* a key that is not ours, "" for none */
} survey;

static void survey_free(survey *s)
{
    for (size_t i = 0; i < s->count; i++) vpi_free(s->folders[i]);
    vpi_free(s->folders);
    vpi_free(s->marked);
}

static size_t survey_folder(survey *s, const char *key, size_t length)
{
    for (size_t i = s->count; i-- > 0;)
        if (strlen(s->folders[i]) == length && !strncmp(s->folders[i], key, length)) return i;
    bool *marked = NULL;
    if (!VPI_GROW(s->folders, s->count, s->cap) ||
        !(marked = vpi_realloc(s->marked, s->cap, sizeof(*marked)))) {
        s->nomem = true;
        return 0;
    }
    s->marked = marked;
    s->folders[s->count] = vpi_strndup(key, length);
    s->marked[s->count] = false;
    if (!s->folders[s->count]) {
        s->nomem = true;
        return 0;
    }
    return s->count++;
}

static vp_status survey_key(void *user, const vp_object_info *info)
{
    survey *s = user;
    const char *slash = strchr(info->key, '/');
    if (begins(info->key, ".vodpipe/") || is_root_name(info->key)) return VP_OK;
    if (!slash) {
        if (vpi_streq(info->key, VPI_MARKER))
            s->root_marker = true;
        else
            vpi_strlcpy(s->stranger, info->key, sizeof(s->stranger));
        return VP_OK;
    }
    size_t i = survey_folder(s, info->key, (size_t)(slash - info->key));
    if (s->nomem) return VP_E_NOMEM;
    if (vpi_streq(slash + 1, VPI_MARKER)) s->marked[i] = true;
    return VP_OK;
}

/* Folders of a title without a version folder. */
static const char *const loose[] = { "video", "audio", "ts", "text", "thumbs", NULL };

static bool folder_of_ours(const survey *s, size_t i)
{
    if (s->marked[i]) return true;
    for (size_t k = 0; s->root_marker && loose[k]; k++)
        if (vpi_streq(loose[k], s->folders[i])) return true;
    return false;
}

/* What processes that were killed had half-written in a folder of ours goes. */
static void tidy_folder(const vpi_output *o, const char *folder)
{
    char prefix[256];
    if (snprintf(prefix, sizeof(prefix), "%s/", folder) < (int)sizeof(prefix)) vpi_sink_tidy(o->sink, prefix);
}

/* The same of this title's own folder and the root files. */
static void tidy_own(const vpi_output *o)
{
    for (size_t i = 0; root_names[i]; i++) vpi_sink_tidy(o->sink, root_names[i]);
    if (o->prefix[0]) {
        tidy_folder(o, o->prefix);
        return;
    }
    vpi_sink_tidy(o->sink, VPI_MARKER);
    for (size_t i = 0; loose[i]; i++) tidy_folder(o, loose[i]);
}

vp_status vpi_output_check(const vpi_output *o, vp_error *err)
{
    survey s = { .o = o };
    /* A folder that its process did not come to mark is nobody's: no other run would look into it. */
    vpi_sink_tidy_named(o->sink, VPI_MARKER);
    if (o->force) return VP_OK;
    if (!can(o, VP_SINK_HAS_LIST)) return VP_OK;
    vp_status st = vp_sink_list(o->sink, "", survey_key, &s, err);
    if (s.nomem) st = vpi_fail_nomem(err);
    for (size_t i = 0; st >= 0 && i < s.count; i++)
        if (!folder_of_ours(&s, i)) vpi_strlcpy(s.stranger, s.folders[i], sizeof(s.stranger));
    if (st >= 0 && s.stranger[0])
        st = vpi_fail(err, VP_E_CONFLICT, "OUTPUT_EXISTS", "the output holds what is not ours: %s",
                      s.stranger);
    for (size_t i = 0; st >= 0 && i < s.count; i++) tidy_folder(o, s.folders[i]);
    survey_free(&s);
    if (st >= 0) st = vpi_marker_check(o->sink, o->prefix, o->request, err);
    return st < 0 ? st : VP_OK;
}

/* ---- writing ---- */

static vp_status put(const vpi_output *o, int32_t kind, const char *key, const char *type, const char *cache,
                     vp_bytes *data, vp_error *err)
{
    vp_object *object = NULL;
    vp_object_info info = VP_OBJECT_INFO_INIT;
    VPI_TRY(vpi_cancel_check(o->cancel, err));
    info.kind = kind;
    info.key = key;
    info.content_type = type;
    info.cache_control = cache;
    info.size = vp_bytes_size(data);
    VPI_TRY(vp_sink_begin(o->sink, &info, &object, err));
    vp_status st = vp_object_write(object, vp_bytes_data(data), (size_t)info.size, err);
    /* At the last moment: who was stopped and lost the lease is late, what is visible may be another's work by now. */
    if (st >= 0 && o->lease) st = vp_lease_renew(o->lease, err);
    if (st < 0) {
        vp_object_abort(object);
        return st;
    }
    VPI_TRY(vp_object_commit(object, &info.size, &info.crc32c, err));
    info.has_crc32c = 1;
    if (o->object) o->object(o->object_user, &info);
    return VP_OK;
}

vp_status vpi_output_flush(const vpi_output *o, vp_error *err)
{
    vp_status st = vp_sink_flush(o->sink, err);
    if (st != VP_E_UNSUPPORTED) return st;
    vpi_error_reset(err);
    return VP_OK;
}

vp_status vpi_output_mark(const vpi_output *o, vp_error *err)
{
    char key[1024];
    vp_object_info info;
    vp_error other = VP_ERROR_INIT;
    vp_status st = vpi_marker_check(o->sink, o->prefix, o->request, &other);
    if (st < 0 && st != VP_E_CONFLICT) {
        vpi_error_copy(err, &other);
        return st;
    }
    if (st != VP_OK) {
        VPI_TRY(vpi_marker_write(o->sink, o->prefix, o->request, &info, key, err));
        if (o->object) o->object(o->object_user, &info);
    }
    tidy_own(o);
    return VP_OK;
}

static vp_status put_playlist(const vpi_output *o, const vp_presentation *p, uint32_t track, int32_t iframes,
                              vp_error *err)
{
    vp_bytes *text = NULL, *key = NULL;
    vp_status st =
        iframes ? vp_manifest_hls_iframes(p, track, &text, err) : vp_manifest_hls_media(p, track, &text, err);
    if (st >= 0) st = vp_manifest_hls_media_key(p, track, iframes, &key, err);
    if (st >= 0)
        st = put(o, VP_OBJECT_PLAYLIST, vp_bytes_data(key), "application/vnd.apple.mpegurl",
                 VPI_CACHE_LONG(o->prefix), text, err);
    vp_bytes_unref(key);
    vp_bytes_unref(text);
    return st;
}

static vp_status put_playlists(const vpi_output *o, const vp_presentation *p, vp_error *err)
{
    for (uint32_t i = 0; i < p->p.track_count; i++) {
        VPI_TRY(put_playlist(o, p, i, 0, err));
        /* ranges of a ciphered object cannot be deciphered alone */
        if (p->p.tracks[i].kind == VP_TRACK_VIDEO && p->p.tracks[i].protection.scheme != VPI_SCHEME_AES128)
            VPI_TRY(put_playlist(o, p, i, 1, err));
    }
    return vpi_output_flush(o, err);
}

static bool has_container(const vp_presentation *p, bool cmaf)
{
    for (size_t i = 0; i < p->p.track_count; i++)
        if ((p->p.tracks[i].container == VP_CONTAINER_CMAF) == cmaf) return true;
    return false;
}

/* Players of DASH have no cipher of whole segments. */
static bool for_dash(const vp_presentation *p)
{
    for (size_t i = 0; i < p->p.track_count; i++)
        if (p->p.tracks[i].protection.scheme == VPI_SCHEME_AES128) return false;
    return has_container(p, true);
}

/* Has the title a root document of that name? */
static bool has_root(const vpi_output *o, const vp_presentation *p, const char *name)
{
    if (vpi_streq(name, VPI_ROOT_MASTER_TS)) return has_container(p, true) && has_container(p, false);
    if (vpi_streq(name, VPI_ROOT_MPD)) return for_dash(p);
    return o->player || !vpi_streq(name, VPI_ROOT_PLAYER);
}

/* The root documents of a title, by name; NULL in *out: the title has none of that name. */
static vp_status root_document(const vpi_output *o, const vp_presentation *p, const char *name,
                               vp_bytes **out, vp_error *err)
{
    *out = NULL;
    if (!has_root(o, p, name)) return VP_OK;
    if (vpi_streq(name, VPI_ROOT_PRESENTATION)) return vp_presentation_json(p, out, err);
    if (vpi_streq(name, VPI_ROOT_MASTER))
        return vp_manifest_hls_master(p, has_container(p, true) ? VP_HLS_CMAF : VP_HLS_TS, out, err);
    if (vpi_streq(name, VPI_ROOT_MASTER_TS)) return vp_manifest_hls_master(p, VP_HLS_TS, out, err);
    if (vpi_streq(name, VPI_ROOT_MPD)) return vp_manifest_dash(p, out, err);
    return vpi_player_page(o->player_script, out, err);
}

static vp_status put_root(const vpi_output *o, const vp_presentation *p, const char *name, const char *type,
                          vp_error *err)
{
    vp_bytes *text = NULL;
    vp_status st = root_document(o, p, name, &text, err);
    if (st >= 0 && text) st = put(o, VP_OBJECT_MASTER, name, type, VPI_CACHE_SHORT, text, err);
    vp_bytes_unref(text);
    return st < 0 ? st : VP_OK;
}

/* page: also the player page. */
static vp_status remove_stale_roots(const vpi_output *o, const vp_presentation *p, bool page, vp_error *err)
{
    if (!can(o, VP_SINK_HAS_REMOVE)) return VP_OK;
    for (size_t i = 0; root_names[i]; i++) {
        if (has_root(o, p, root_names[i]) || (!page && vpi_streq(root_names[i], VPI_ROOT_PLAYER))) continue;
        VPI_TRY(vp_sink_remove(o->sink, root_names[i], err));
    }
    return VP_OK;
}

static vp_status gate(const vpi_output *o, const vp_presentation *p, vp_error *err)
{
    vp_verify_options v = VP_VERIFY_OPTIONS_INIT;
    vp_report *report = NULL;
    v.presentation = p;
    if (!can(o, VP_SINK_HAS_STAT)) return VP_OK; /* what was written was counted as it was written */
    vp_status st = vp_verify(o->context, o->sink, &v, o->cancel, &report, err);
    vp_report_unref(report);
    return st;
}

typedef struct pruning {
    const vpi_output *o;
    char **keys;
    size_t count, cap;
    char **marked;
    size_t marked_count, marked_cap;
    bool nomem;
} pruning;

static bool keep(char ***list, size_t *count, size_t *cap, const char *text, size_t length)
{
    if (!vpi_grow((void **)list, *count, cap, sizeof(char *))) return false;
    (*list)[*count] = vpi_strndup(text, length);
    return (*list)[*count] && ++*count;
}

static vp_status prune_key(void *user, const vp_object_info *info)
{
    pruning *p = user;
    const char *slash = strchr(info->key, '/');
    if (!slash || begins(info->key, ".vodpipe/")) return VP_OK;
    size_t length = (size_t)(slash - info->key);
    if (strlen(p->o->prefix) == length && !strncmp(p->o->prefix, info->key, length)) return VP_OK;
    p->nomem |= !keep(&p->keys, &p->count, &p->cap, info->key, strlen(info->key));
    if (vpi_streq(slash + 1, VPI_MARKER))
        p->nomem |= !keep(&p->marked, &p->marked_count, &p->marked_cap, info->key, length + 1);
    return p->nomem ? VP_E_NOMEM : VP_OK;
}

/* Removes the folders of other versions; the marker last, so that a broken-off prune is seen again. */
static vp_status prune(const vpi_output *o, vp_error *err)
{
    pruning p = { .o = o };
    if (!can(o, VP_SINK_HAS_LIST | VP_SINK_HAS_REMOVE))
        return vpi_fail(err, VP_E_UNSUPPORTED, NULL, "prune: the sink cannot list or remove");
    if (!o->prefix[0]) return VP_OK;
    vp_status st = vp_sink_list(o->sink, "", prune_key, &p, err);
    if (p.nomem) st = vpi_fail_nomem(err);
    for (int markers = 0; markers < 2; markers++)
        for (size_t i = 0; st >= 0 && i < p.count; i++) {
            const char *slash = strchr(p.keys[i], '/');
            bool ours = false;
            for (size_t k = 0; k < p.marked_count && !ours; k++) ours = begins(p.keys[i], p.marked[k]);
            if (ours && vpi_streq(slash + 1, VPI_MARKER) == (markers == 1))
                st = vp_sink_remove(o->sink, p.keys[i], err);
        }
    for (size_t i = 0; i < p.count; i++) vpi_free(p.keys[i]);
    for (size_t i = 0; i < p.marked_count; i++) vpi_free(p.marked[i]);
    vpi_free(p.keys);
    vpi_free(p.marked);
    return st;
}

/* After the title became visible: what older ones left. */
static vp_status clear_old(const vpi_output *o, const vp_presentation *p, bool page, vp_error *err)
{
    VPI_TRY(remove_stale_roots(o, p, page, err));
    if (o->prune) VPI_TRY(prune(o, err));
    return vpi_output_flush(o, err);
}

vp_status vpi_output_publish(const vpi_output *o, const vp_presentation *p, vp_error *err)
{
    vpi_emit_stage(o->emitter, VP_STAGE_MANIFEST);
    VPI_TRY(vpi_output_flush(o, err));
    VPI_TRY(put_playlists(o, p, err));
    VPI_TRY(gate(o, p, err));
    vpi_emit_stage(o->emitter, VP_STAGE_FINISH);
    VPI_TRY(put_root(o, p, VPI_ROOT_PLAYER, "text/html", err));
    VPI_TRY(put_root(o, p, VPI_ROOT_PRESENTATION, "application/json", err));
    VPI_TRY(vpi_output_flush(o, err)); /* the masters come last: all that they stand for is durable */
    VPI_TRY(put_root(o, p, VPI_ROOT_MPD, "application/dash+xml", err));
    VPI_TRY(put_root(o, p, VPI_ROOT_MASTER_TS, "application/vnd.apple.mpegurl", err));
    VPI_TRY(put_root(o, p, VPI_ROOT_MASTER, "application/vnd.apple.mpegurl", err));
    VPI_TRY(vpi_output_flush(o, err));
    return clear_old(o, p, true, err);
}

/* ---- was it published before? ---- */

/* Is the root document of that name what this presentation gives? */
static vp_status same_root(const vpi_output *o, const vp_presentation *p, const char *name, bool *same,
                           vp_error *err)
{
    vp_bytes *want = NULL, *there = NULL;
    vp_status st = root_document(o, p, name, &want, err);
    if (st >= 0 && want) st = vp_sink_get(o->sink, name, VPI_DOCUMENT_MAX, &there, err);
    if (st >= 0 && want)
        *same = st == VP_OK && vp_bytes_size(want) == vp_bytes_size(there) &&
                !memcmp(vp_bytes_data(want), vp_bytes_data(there), (size_t)vp_bytes_size(want));
    vp_bytes_unref(want);
    vp_bytes_unref(there);
    return st < 0 ? st : VP_OK;
}

static vp_status find_published(const vpi_output *o, vp_presentation **out, vp_error *err)
{
    vp_bytes *text = NULL;
    vp_presentation *p = NULL;
    bool same = true;
    *out = NULL;
    if (!can(o, VP_SINK_HAS_OPEN | VP_SINK_HAS_STAT)) return VP_END;
    vp_status st = vp_sink_get(o->sink, VPI_ROOT_PRESENTATION, VPI_DOCUMENT_MAX, &text, err);
    if (st != VP_OK) return st;
    st = vp_presentation_parse(vp_bytes_data(text), vp_bytes_size(text), &p, NULL);
    vp_bytes_unref(text);
    if (st < 0) return VP_END; /* somebody else's, or of a later version: vpi_output_check judges */
    same = vpi_streq(p->p.request, o->request);
    for (size_t i = 0; same && st >= 0 && root_names[i]; i++) {
        bool page = vpi_streq(root_names[i], VPI_ROOT_PLAYER);
        if (!page) st = same_root(o, p, root_names[i], &same, err);
    }
    if (st >= 0 && same) same = gate(o, p, NULL) >= 0;
    if (st < 0 || !same) {
        vp_presentation_unref(p);
        return st < 0 ? st : VP_END;
    }
    *out = p;
    return VP_OK;
}

static vp_status add_player(const vpi_output *o, const vp_presentation *p, vp_error *err)
{
    vp_object_info info = VP_OBJECT_INFO_INIT;
    if (!o->player || !can(o, VP_SINK_HAS_STAT)) return VP_OK;
    vp_status st = vp_sink_stat(o->sink, VPI_ROOT_PLAYER, &info, err);
    if (st != VP_END) return st;
    VPI_TRY(put_root(o, p, VPI_ROOT_PLAYER, "text/html", err));
    return vpi_output_flush(o, err);
}

vp_status vpi_output_there(const vpi_output *o, vp_presentation **out, vp_error *err)
{
    vp_status st = find_published(o, out, err);
    if (st != VP_OK) return st;
    /* Whoever published it may have been killed before it had done this; a page that is there stays. */
    tidy_own(o);
    st = add_player(o, *out, err);
    if (st >= 0) st = clear_old(o, *out, false, err);
    if (st < 0) *out = vp_presentation_unref(*out);
    return st;
}

vp_status vpi_output_claim(const vpi_output *o, vp_presentation **there, vp_error *err)
{
    vp_status st = vpi_output_there(o, there, err);
    if (st != VP_END) return st < 0 ? st : VP_END;
    VPI_TRY(vpi_output_check(o, err));
    return vpi_output_mark(o, err);
}

/* ---- taking back ---- */

typedef struct key_list {
    char **keys;
    size_t count, cap;
} key_list;

static vp_status collect_key(void *user, const vp_object_info *info)
{
    key_list *l = user;
    return keep(&l->keys, &l->count, &l->cap, info->key, strlen(info->key)) ? VP_OK : VP_E_NOMEM;
}

void vpi_output_discard(const vpi_output *o, char *const *keys, size_t count)
{
    key_list list = { 0 };
    char folder[1024];
    vp_presentation *there = NULL;
    if (!can(o, VP_SINK_HAS_REMOVE)) return;
    bool published = find_published(o, &there, NULL) == VP_OK;
    vp_presentation_unref(there);
    if (published) return; /* an earlier job made the same objects visible */
    for (size_t i = 0; i < count; i++)
        if (!is_root_name(keys[i])) vp_sink_remove(o->sink, keys[i], NULL);
    if (o->prefix[0] && can(o, VP_SINK_HAS_LIST) && snprintf(folder, sizeof(folder), "%s/", o->prefix) > 1) {
        if (vp_sink_list(o->sink, folder, collect_key, &list, NULL) >= 0)
            for (size_t i = 0; i < list.count; i++) vp_sink_remove(o->sink, list.keys[i], NULL);
    }
    for (size_t i = 0; i < list.count; i++) vpi_free(list.keys[i]);
    vpi_free(list.keys);
    vp_sink_flush(o->sink, NULL);
}

/* Names that a job puts into its work store; what else a host keeps there stays. */
static bool is_work_name(const char *name)
{
    static const char *const ours[] = { "result/", "part/", "audio/", "stats/", NULL };
    for (size_t i = 0; ours[i]; i++)
        if (begins(name, ours[i])) return true;
    return vpi_streq(name, VPI_WORK_PLAN) || vpi_streq(name, VPI_WORK_PERMILLE) ||
           vpi_streq(name, VPI_WORK_SEED);
}

vp_status vpi_work_sweep(vp_store *work, vp_error *err)
{
    key_list list = { 0 };
    vp_status st = vp_store_list(work, "", collect_key, &list, err);
    /* The plan last: as long as it is there, whoever was to sweep finds out what was done and goes on. */
    for (int plan = 0; plan < 2; plan++)
        for (size_t i = 0; st >= 0 && i < list.count; i++)
            if (is_work_name(list.keys[i]) && vpi_streq(list.keys[i], VPI_WORK_PLAN) == (plan == 1))
                st = vp_store_remove(work, list.keys[i], err);
    for (size_t i = 0; i < list.count; i++) vpi_free(list.keys[i]);
    vpi_free(list.keys);
    return st < 0 ? st : VP_OK;
}
