/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A directory to a bucket: segments, then playlists, then what names them, each of these all in before the next begins
 * (S21). This thread reads and hashes, the client's sends.
 */

#include "tree.h"

#define PROGRESS_US 250000
#define LARGE_MAX 16 /* files on their way whose parts are written down; of others the end is */

typedef struct putting {
    struct tree_put *put;
    vpi_tree_file *file;
    vpi_s3_writer *writer;
    struct putting *next;
    bool stopped;
    vp_status st;
    vp_error err;
} putting;

typedef struct tree_put {
    vp_s3 *s3;
    const vp_sink_s3_options *o;
    vp_s3_object object;
    char *prefix; /* with its '/', or ""; of one file its whole key */
    vp_store *work;
    vp_cancel *cancel;
    vpi_tree tree;
    vpi_tree_done known; /* of the journal */
    vp_s3_progress progress;
    vp_s3_progress_fn fn;
    void *user;
    int64_t told_us;
    uint64_t told_bytes;
    putting *filling;
    unsigned most;
    bool ending; /* nothing is sent any more */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct {
        putting *on_way, *ended;
        unsigned running;
    } synced;
} tree_put;

/* Of a large file the parts that are in. */
static uint64_t bytes_in(const putting *p)
{
    const vp_s3_upload *u = vpi_s3_writer_upload(p->writer);

    return u ? VPI_MIN(vpi_s3_writer_parts_in(p->writer) * u->part_size, p->file->size) : 0;
}

static void tell(tree_put *t, bool now)
{
    int64_t at = vpi_now_us();
    vp_s3_progress p = t->progress;

    if (!t->fn || (!now && at - t->told_us < PROGRESS_US)) return;
    t->told_us = at;
    if (t->filling) p.bytes += bytes_in(t->filling);
    pthread_mutex_lock(&t->lock);
    for (const putting *i = t->synced.on_way; i; i = i->next) p.bytes += bytes_in(i);
    pthread_mutex_unlock(&t->lock);
    p.bytes = t->told_bytes = VPI_MAX(p.bytes, t->told_bytes); /* of those that end right now none is seen */
    t->fn(t->user, &p);
}

/* ---- one file ---- */

static void on_done(void *user, vp_status st, const vp_s3_info *info, const vp_error *err)
{
    putting *p = user;
    tree_put *t = p->put;

    (void)info;
    p->st = st;
    if (st < 0) vpi_error_copy(&p->err, err);
    pthread_mutex_lock(&t->lock);
    for (putting **at = &t->synced.on_way; *at; at = &(*at)->next) {
        if (*at != p) continue;
        *at = p->next;
        break;
    }
    p->next = t->synced.ended;
    t->synced.ended = p;
    t->synced.running--;
    pthread_cond_signal(&t->changed);
    pthread_mutex_unlock(&t->lock);
}

static void go(tree_put *t, putting *p)
{
    pthread_mutex_lock(&t->lock);
    t->synced.running++;
    p->next = t->synced.on_way;
    t->synced.on_way = p;
    pthread_mutex_unlock(&t->lock);
    vpi_s3_writer_finish(p->writer, on_done, p);
}

/* The server lost some of its parts: they are sent, and it is on its way again. */
static bool send_again(tree_put *t, putting *p)
{
    if (t->ending || !vpi_s3_writer_lost(p->writer)) return false;
    vp_error_init(&p->err);
    p->st = vpi_s3_writer_resend(p->writer, &p->err);
    if (p->st < 0) return false;
    go(t, p);
    return true;
}

/* Those that have ended: written down, freed. */
static vp_status reap(tree_put *t, vp_error *err)
{
    vp_status st = VP_OK;
    putting *list;

    pthread_mutex_lock(&t->lock);
    list = t->synced.ended;
    t->synced.ended = NULL;
    pthread_mutex_unlock(&t->lock);
    while (list) {
        putting *p = list;

        list = p->next;
        if (p->st < 0 && st >= 0 && send_again(t, p)) continue;
        if (p->st < 0 && st >= 0) {
            st = p->st;
            vpi_error_copy(err, &p->err);
            vpi_error_key(err, p->file->path);
        }
        if (p->st >= 0) {
            t->progress.objects++;
            t->progress.bytes += p->file->size;
            /* first that a large one is in, then its parts are forgotten: a kill between finds it done */
            if (st >= 0 && t->work)
                st = vpi_tree_done_add(&t->known, t->work, p->file, vpi_s3_writer_upload(p->writer) != NULL,
                                       err);
            if (st >= 0) st = vpi_s3_writer_forget(p->writer, err);
        }
        vpi_s3_writer_free(p->writer);
        vpi_free(p);
    }
    tell(t, false);
    return st;
}

/* Of large files that are still on their way, what is in. Only this thread frees them. */
static vp_status note_parts(tree_put *t, vp_error *err)
{
    vpi_s3_writer *large[LARGE_MAX];
    size_t n = 0;

    if (!t->work) return VP_OK;
    pthread_mutex_lock(&t->lock);
    for (putting *p = t->synced.on_way; p && n < LARGE_MAX; p = p->next)
        if (vpi_s3_writer_upload(p->writer)) large[n++] = p->writer;
    pthread_mutex_unlock(&t->lock);
    for (size_t i = 0; i < n; i++) VPI_TRY(vpi_s3_writer_note(large[i], err));
    return VP_OK;
}

static vp_status wait_for(tree_put *t, unsigned most, vp_error *err)
{
    vp_status st = VP_OK;

    for (;;) {
        bool enough;

        VPI_TRY(note_parts(t, err));
        pthread_mutex_lock(&t->lock);
        if (t->synced.running > most && !t->synced.ended) {
            vpi_s3_cond_wait(&t->changed, &t->lock);
        }
        pthread_mutex_unlock(&t->lock);
        VPI_TRY(reap(t, err));
        pthread_mutex_lock(&t->lock);
        enough = t->synced.running <= most && !t->synced.ended; /* some may run again */
        pthread_mutex_unlock(&t->lock);
        VPI_TRY(st = vpi_cancel_check(t->cancel, err));
        if (enough) return st;
    }
}

static char *object_key(const tree_put *t, const vpi_tree_file *f)
{
    return vpi_asprintf("%s%s", t->prefix, t->tree.single ? "" : f->path);
}

static vp_status make_lines(const tree_put *t, const vpi_tree_file *f, vpi_buf *lines, vp_error *err)
{
    vp_object_info info = VP_OBJECT_INFO_INIT;
    vp_s3_object o = t->object;

    info.kind = f->kind;
    info.key = f->path;
    info.content_type = vpi_tree_type(f->path);
    info.cache_control = vpi_tree_cache(&t->tree, f, t->o);
    info.size = f->size;
    o.content_type = info.content_type;
    if (info.cache_control) o.cache_control = info.cache_control;
    VPI_TRY(vpi_s3_object_lines(&o, lines, err));
    VPI_TRY(vpi_s3_host_lines(t->o->headers, t->o->user, &info, lines, err));
    vpi_buf_u8(lines, 0);
    return vpi_buf_failed(lines) ? vpi_fail_nomem(err) : VP_OK;
}

static void on_part_in(void *user)
{
    tree_put *t = user;

    pthread_mutex_lock(&t->lock);
    pthread_cond_signal(&t->changed);
    pthread_mutex_unlock(&t->lock);
}

static vp_status on_filled(void *user, uint64_t bytes, vp_error *err)
{
    (void)bytes;
    return reap(user, err);
}

static vp_status put_file(tree_put *t, vpi_tree_file *f, vp_error *err)
{
    vpi_s3_writer_options w = { .bucket = t->o->bucket,
                                .size = f->size,
                                .work = t->work,
                                .keep = true,
                                .cancel = t->cancel,
                                .part_in = on_part_in,
                                .user = t };
    vp_source *source = NULL;
    vpi_buf lines = { 0 };
    char *key = object_key(t, f);
    putting *p = vpi_calloc(1, sizeof(*p));
    vp_status st;

    if (!key || !p) {
        st = vpi_fail_nomem(err);
        goto done;
    }
    p->put = t;
    p->file = f;
    vp_error_init(&p->err);
    VPI_GO(vpi_s3_bucket_check(t->o->bucket, key, err));
    VPI_GO(make_lines(t, f, &lines, err));
    w.key = key;
    w.lines = (const char *)lines.data;
    VPI_GO(vpi_tree_open(&t->tree, t->s3->context, f, &source, err));
    VPI_GO(vp_source_size(source, &w.size, err));
    if (w.size != f->size) { /* since the folder was read */
        st = vpi_fail(err, VP_E_CONFLICT, "SOURCE_CHANGED", "the file changed while the tree was sent");
        goto done;
    }
    VPI_GO(vpi_s3_writer_new(t->s3, &w, &p->writer, err));
    t->filling = p;
    st = vpi_s3_writer_fill(p->writer, source, f->path, on_filled, t, err);
    t->filling = NULL;
    if (st < 0) goto done;
    if (t->work && vpi_s3_writer_upload(p->writer))
        VPI_GO(vpi_tree_done_ends(&t->known, t->work, f, vpi_s3_writer_upload(p->writer)->marker, err));
    go(t, p);
    p = NULL;
done:
    if (p) vpi_s3_writer_free(p->writer);
    vpi_free(p);
    vp_source_unref(source);
    vpi_buf_dispose(&lines);
    vpi_free(key);
    vpi_error_key(err, f->path);
    return st;
}

/* ---- what is there already ---- */

static vp_status on_there(void *user, const vp_object_info *info)
{
    tree_put *t = user;

    if (!t->tree.single)
        vpi_tree_there(&t->tree, info->key + strlen(t->prefix), info->size);
    else if (vpi_streq(info->key, t->prefix))
        vpi_tree_there(&t->tree, t->tree.files[0].path, info->size);
    return VP_OK;
}

/* Of one that is in: what a process that was killed right then has not forgotten. */
static vp_status forget_parts(const tree_put *t, const vpi_tree_file *f, vp_error *err)
{
    char *key = object_key(t, f);
    vp_status st = key ? vpi_s3_journal_clear(t->work, t->o->bucket, key, err) : vpi_fail_nomem(err);

    vpi_free(key);
    return st;
}

/* Those that were about to become their objects when a process was killed: the server went on without it. */
static vp_status settle_ends(tree_put *t, vp_error *err)
{
    for (size_t i = 0; t->known.markers && i < t->tree.count; i++) {
        vpi_tree_file *f = &t->tree.files[i];
        vp_s3_info info = VP_S3_INFO_INIT;
        char *key;
        vp_status st;

        if (f->known || !f->marker[0]) continue;
        key = object_key(t, f);
        if (!key) return vpi_fail_nomem(err);
        st = vp_s3_head(t->s3, t->o->bucket, key, t->cancel, &info, err);
        vpi_free(key);
        VPI_TRY(st);
        if (st != VP_OK || strcmp(info.upload, f->marker) != 0 || info.size != f->size) continue;
        f->known = true;
        t->known.matches++;
        VPI_TRY(vpi_tree_done_add(&t->known, t->work, f, true, err)); /* its parts are forgotten next */
    }
    return VP_OK;
}

/* What the journal says counts where the bucket has it still. */
static vp_status skip_known(tree_put *t, vp_error *err)
{
    if (!t->work) return VP_OK;
    VPI_TRY(vpi_tree_done_load(&t->known, t->work, t->o->bucket, t->prefix, &t->tree, err));
    VPI_TRY(settle_ends(t, err));
    if (!t->known.matches) return VP_OK;
    VPI_TRY(vp_s3_list(t->s3, t->o->bucket, t->prefix, on_there, t, t->cancel, err));
    for (size_t i = 0; i < t->tree.count; i++) {
        vpi_tree_file *f = &t->tree.files[i];

        f->skip = f->known && f->there;
        if (!f->skip) continue;
        t->progress.objects++;
        t->progress.skipped++;
        t->progress.bytes += f->size;
        if (f->size >= VPI_S3_PART_MIN) VPI_TRY(forget_parts(t, f, err));
    }
    return VP_OK;
}

static vp_status put_all(tree_put *t, vp_error *err)
{
    int rank = 0;

    for (size_t i = 0; i < t->tree.count; i++) {
        vpi_tree_file *f = &t->tree.files[i];

        if (f->rank != rank) {
            VPI_TRY(wait_for(t, 0, err));
            rank = f->rank;
        }
        if (f->skip) continue;
        VPI_TRY(wait_for(t, t->most, err));
        VPI_TRY(put_file(t, f, err));
    }
    return wait_for(t, 0, err);
}

/* After a failure: nothing of ours runs on when this returns. */
static void end_running(tree_put *t, bool stop)
{
    t->ending = true;
    pthread_mutex_lock(&t->lock);
    for (;;) {
        putting *p = stop ? t->synced.on_way : NULL;

        while (p && p->stopped) p = p->next;
        if (!p) break;
        p->stopped = true; /* only this thread frees it */
        pthread_mutex_unlock(&t->lock);
        vpi_s3_writer_stop(p->writer);
        pthread_mutex_lock(&t->lock);
    }
    while (t->synced.running) pthread_cond_wait(&t->changed, &t->lock);
    pthread_mutex_unlock(&t->lock);
    reap(t, NULL);
}

vp_status vp_s3_put_tree(vp_s3 *s3, const char *directory, const vp_sink_s3_options *sink, vp_store *work,
                         vp_s3_progress_fn progress, void *user, vp_cancel *cancel, vp_error *err)
{
    vp_sink_s3_options o = VP_SINK_S3_OPTIONS_INIT;
    tree_put t = { .s3 = s3,
                   .work = work,
                   .cancel = cancel,
                   .fn = progress,
                   .user = user,
                   .lock = PTHREAD_MUTEX_INITIALIZER,
                   .progress = VP_S3_PROGRESS_INIT };
    size_t n;
    vp_status st;

    vpi_error_reset(err);
    if (!s3 || !directory) return vpi_fail(err, VP_E_ARG, NULL, "an argument is NULL");
    VPI_TRY(vpi_copy_struct(&o, sizeof(o), sink, err));
    VPI_TRY(vpi_s3_bucket_check(o.bucket, NULL, err));
    VPI_TRY(vpi_s3_object_copy(&t.object, o.object, err));
    if (t.object.flags) return vpi_fail(err, VP_E_ARG, NULL, "object: flags are for vp_s3_put");
    if (o.flags) return vpi_fail(err, VP_E_ARG, NULL, "flags: a tree is sent as it is");
    VPI_TRY(vpi_s3_ready(s3, cancel, err));
    n = o.prefix ? strlen(o.prefix) : 0;
    while (n && o.prefix[n - 1] == '/') n--;
    t.o = &o;
    t.most = 4 * s3->o.connections;
    t.prefix = n ? vpi_asprintf("%.*s/", (int)n, o.prefix) : vpi_strdup("");
    if (!t.prefix) return vpi_fail_nomem(err);
    vpi_cond_init(&t.changed);
    VPI_GO(vpi_tree_read(&t.tree, directory, cancel, err));
    if (t.tree.single && !n) {
        st = vpi_fail(err, VP_E_ARG, NULL, "prefix: the key of the one file is missing");
        goto done;
    }
    if (t.tree.single) t.prefix[n] = 0;
    t.progress.objects_total = t.tree.count;
    t.progress.bytes_total = t.tree.bytes;
    VPI_GO(skip_known(&t, err));
    VPI_GO(put_all(&t, err));
    if (work) st = vpi_tree_done_end(&t.known, work, &t.tree, err);
done:
    end_running(&t, st < 0);
    pthread_cond_destroy(&t.changed);
    if (st < 0 && work) vpi_tree_done_add(&t.known, work, NULL, true, NULL);
    tell(&t, true);
    vpi_tree_done_dispose(&t.known);
    vpi_tree_dispose(&t.tree);
    vpi_free(t.prefix);
    vpi_error_op(err, "s3.put_tree");
    return st;
}
