/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Settings; the life of a request; what the host asks about it. */

#include "ingest/tus_int.h"

#include "base/queue.h"
#include "ingest/store_int.h"

/* ---- settings ---- */

static int64_t monotonic(void *user)
{
    (void)user;
    return vpi_now_us();
}

void vpi_tus_set_clock(vp_tus *tus, int64_t (*clock)(void *user), void *user)
{
    tus->clock = clock;
    tus->clock_user = user;
}

vp_tus *vp_tus_ref(vp_tus *tus)
{
    if (tus) atomic_fetch_add(&tus->refs, 1);
    return tus;
}

vp_tus *vp_tus_unref(vp_tus *tus)
{
    if (!tus || atomic_fetch_sub(&tus->refs, 1) != 1) return NULL;
    vpi_threads_free(tus->pool);
    vpi_tus_owed_dispose(tus);
    vp_ingest_unref(tus->ingest);
    vp_queue_unref(tus->queue);
    vpi_free(tus->base_path);
    vpi_free(tus->base_url);
    vpi_free(tus->origins);
    vpi_free(tus->allow_headers);
    vpi_free(tus);
    return NULL;
}

/* A path or url that ends with a slash, of bytes that may stand in a header. */
static vp_status base_check(const char *base, bool path, vp_error *err)
{
    size_t n = strlen(base);

    if (n == 0 || base[n - 1] != '/' || (path && base[0] != '/'))
        return vpi_fail(err, VP_E_ARG, NULL,
                        "base_path begins and ends with a slash, base_url ends with one");
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)base[i] <= 32 || (unsigned char)base[i] >= 127 || strchr("?#\"<>\\", base[i]))
            return vpi_fail(err, VP_E_ARG, NULL, "a byte of base_path or base_url may not stand in a url");
    return VP_OK;
}

static vp_status options_check(const vp_tus_options *o, vp_error *err)
{
    const uint32_t known = VP_TUSF_NO_GET | VP_TUSF_NO_DELETE | VP_TUSF_NO_CONCAT | VP_TUSF_CONCAT_EARLY |
                           VP_TUSF_NO_DEFER | VP_TUSF_KEEP_REFUSED | VP_TUSF_CREDENTIALS | VP_TUSF_DRAFT;

    if (o->flags & ~known) return vpi_fail(err, VP_E_ARG, NULL, "unknown flags of vp_tus_options");
    if (o->base_path) VPI_TRY(base_check(o->base_path, true, err));
    if (o->base_url) VPI_TRY(base_check(o->base_url, false, err));
    if ((o->origins && !vpi_tus_printable(o->origins)) ||
        (o->allow_headers && !vpi_tus_printable(o->allow_headers)))
        return vpi_fail(err, VP_E_ARG, NULL, "control bytes in origins or allow_headers");
    if ((o->flags & VP_TUSF_CREDENTIALS) && (!o->origins || strcmp(o->origins, "*") == 0))
        return vpi_fail(err, VP_E_ARG, NULL, "cookies need a list of origins");
    return VP_OK;
}

vp_status vp_tus_new(vp_ingest *ingest, const vp_tus_options *options, vp_tus **out, vp_error *err)
{
    vp_tus_options o = VP_TUS_OPTIONS_INIT;
    vp_tus *t = NULL;
    vp_status st = VP_OK;

    vpi_error_reset(err);
    if (out) *out = NULL;
    if (!ingest || !out) return vpi_fail(err, VP_E_ARG, NULL, "vp_tus_new: ingest and out are needed");
    VPI_TRY(vpi_copy_struct(&o, sizeof(o), options, err));
    VPI_TRY(options_check(&o, err));
    t = vpi_calloc(1, sizeof(*t));
    if (!t) return vpi_fail_nomem(err);
    atomic_init(&t->refs, 1);
    t->flags = o.flags;
    t->min_rate = o.min_rate ? o.min_rate : 1024;
    t->max_wait_ms = o.max_wait_ms ? o.max_wait_ms : 60000;
    t->clock = monotonic;
    t->ingest = vp_ingest_ref(ingest);
    pthread_mutex_init(&t->owed_lock, NULL);
    t->queue = vp_queue_ref(o.queue);
    t->base_path = vpi_strdup(o.base_path ? o.base_path : "/files/");
    t->base_url = vpi_strdup(o.base_url);
    t->origins = vpi_strdup(o.origins);
    t->allow_headers = vpi_strdup(o.allow_headers);
    if (!t->base_path || (o.base_url && !t->base_url) || (o.origins && !t->origins) ||
        (o.allow_headers && !t->allow_headers))
        st = vpi_fail_nomem(err);
    if (st == VP_OK && t->queue)
        st = vpi_threads_new(ingest->context, ingest->o.sync_threads, "vp-tus", &t->pool, err);
    if (st < 0) {
        vp_tus_unref(t);
        return st;
    }
    *out = t;
    return VP_OK;
}

/* ---- a request ---- */

/* Its hold of the handler is the host's, and given up with its close; steps behind that the handler waits for. */
void vpi_tus_free(vp_tus_request *r)
{
    if (r->finishing && !r->answered) vpi_tus_owe(r->tus, r->id);
    vp_upload_close(r->upload);
    vp_source_unref(r->source);
    vpi_tus_sums_free(r->sums);
    vpi_tus_fields_dispose(&r->fields);
    vpi_tus_fields_dispose(&r->host[0]);
    vpi_tus_fields_dispose(&r->host[1]);
    vpi_tus_metadata_dispose(&r->metadata);
    vpi_tus_metadata_dispose(&r->replaced);
    vpi_tus_kept_dispose(&r->kept);
    vpi_buf_dispose(&r->headers);
    vpi_buf_dispose(&r->text);
    vpi_buf_dispose(&r->host_text);
    vpi_buf_dispose(&r->interim);
    vpi_free(r->parts);
    vpi_free(r->digest);
    vpi_free(r->extra.id);
    vpi_free(r->extra.scope);
    vpi_free(r->extra.metadata);
    vpi_free(r->room);
    vpi_free(r->piece.data);
    vpi_free(r);
}

static vp_status begin(vp_tus *tus, const char *method, const char *target, const char *headers, uint64_t tag,
                       bool draft, vp_tus_request **out, vp_error *err)
{
    vp_tus_request *r = NULL;
    int refusal;

    vpi_error_reset(err);
    if (out) *out = NULL;
    if (!tus || !method || !target || !out)
        return vpi_fail(err, VP_E_ARG, NULL, "vp_tus_begin: tus, method, target and out are needed");
    r = vpi_calloc(1, sizeof(*r));
    if (!r) return vpi_fail_nomem(err);
    r->tus = vp_tus_ref(tus);
    r->tag = tag;
    r->draft = draft;
    r->head = strcmp(method, "HEAD") == 0;
    r->flags = draft ? VP_TUS_IS_DRAFT : 0;
    r->length = r->offset = r->content_length = r->new_length = r->limit = VP_SIZE_UNKNOWN;
    atomic_init(&r->owners, 1);
    refusal = vpi_tus_fields_read(&r->fields, headers);
    if (refusal == VPI_TUS_NOMEM) {
        vpi_tus_free(r);
        vp_tus_unref(tus);
        return vpi_fail_nomem(err);
    }
    if (refusal) {
        vpi_tus_refuse(r, refusal, refusal == 431 ? "too many headers" : "a header line is malformed");
    } else if (vpi_tus_fields_conflict(&r->fields)) {
        vpi_tus_refuse(r, 400, "a header came twice with two values");
    } else if (draft) {
        vpi_draft_parse(r, method, target);
    } else {
        vpi_tus_parse(r, method, target);
    }
    r->state = r->next;
    *out = r;
    return VP_OK;
}

vp_status vp_tus_begin(vp_tus *tus, const char *method, const char *target, const char *headers, uint64_t tag,
                       vp_tus_request **out, vp_error *err)
{
    return begin(tus, method, target, headers, tag, false, out, err);
}

vp_status vp_tus_begin_draft(vp_tus *tus, const char *method, const char *target, const char *headers,
                             uint64_t tag, vp_tus_request **out, vp_error *err)
{
    return begin(tus, method, target, headers, tag, true, out, err);
}

/* ---- steps behind the host's back ---- */

static void pool_run(void *arg)
{
    vp_tus_request *r = arg;
    vp_event event;
    vp_queue *queue = vp_queue_ref(r->tus->queue);
    void *room = r->room;

    r->room = NULL;
    r->work(r);
    if (!atomic_load(&r->closed)) {
        vp_event_init(&event, sizeof(event));
        event.kind = VP_EVENT_UPLOAD_SYNCED;
        event.tag = r->tag;
        event.done = r->info.offset;
        event.total = r->length;
        vpi_strlcpy(event.key, r->id, sizeof(event.key));
        /* The request may be gone as soon as done is set: everything of it was read before. */
        atomic_store(&r->done, true);
        vpi_queue_put(queue, NULL, &event, &room);
    } else {
        atomic_store(&r->done, true);
    }
    vpi_free(room);
    vp_queue_unref(queue);
    if (atomic_fetch_sub(&r->owners, 1) == 1) vpi_tus_free(r);
}

void vpi_tus_run(vp_tus_request *r, void (*work)(vp_tus_request *r))
{
    if (r->tus->pool) {
        r->work = work;
        if (!r->room) r->room = vpi_queue_room();
        atomic_store(&r->done, false);
        atomic_fetch_add(&r->owners, 1);
        r->state = VP_TUS_BUSY;
        r->job.run = pool_run;
        r->job.arg = r;
        if (r->room && vpi_threads_add(r->tus->pool, &r->job)) return;
        atomic_fetch_sub(&r->owners, 1);
    }
    work(r);
    r->state = r->next;
}

vp_tus_request *vp_tus_close(vp_tus_request *r)
{
    vp_tus *tus;

    if (!r) return NULL;
    tus = r->tus;
    atomic_store(&r->closed, true);
    /* A step that is over, though the host was not told yet, is none that frees the request. */
    if (r->state == VP_TUS_BUSY && atomic_load(&r->done)) r->state = r->next;
    /* Known before a HEAD can find it finished. */
    if (r->state == VP_TUS_BUSY && r->work == vpi_tus_work_end) vpi_tus_owe(r->tus, r->id);
    /* With a step under way its end frees the request; else an upload that was being written is synced. */
    if (r->state != VP_TUS_BUSY && r->upload) vpi_tus_run(r, vpi_tus_work_release);
    if (atomic_fetch_sub(&r->owners, 1) == 1) vpi_tus_free(r);
    vp_tus_unref(tus);
    return NULL;
}

vp_status vp_tus_step(vp_tus_request *r, vp_error *err)
{
    vpi_error_reset(err);
    if (!r) return vpi_fail(err, VP_E_ARG, NULL, "vp_tus_step: no request");
    if (r->state == VP_TUS_BUSY && atomic_load(&r->done)) r->state = r->next;
    return VP_OK;
}

int32_t vp_tus_state(const vp_tus_request *r)
{
    return r ? r->state : 0;
}

/* ---- what is asked ---- */

static uint32_t info_flags(const vp_tus_request *r)
{
    uint32_t flags = r->flags;

    if (r->kept.concat) flags |= strcmp(r->kept.concat, "partial") == 0 ? VP_TUS_IS_PARTIAL : VP_TUS_IS_FINAL;
    return flags;
}

vp_status vp_tus_get_info(const vp_tus_request *r, vp_tus_info *info, vp_error *err)
{
    vp_tus_info now = VP_TUS_INFO_INIT;

    vpi_error_reset(err);
    if (!r || !info || info->struct_size < sizeof(info->struct_size))
        return vpi_fail(err, VP_E_ARG, NULL, "vp_tus_get_info: request and info are needed");
    if (r->state == VP_TUS_BUSY)
        return vpi_fail(err, VP_E_STATE, NULL, "vp_tus_get_info: the request is busy");
    now.operation = r->finishing ? VP_TUS_FINISH : r->operation;
    now.flags = info_flags(r);
    now.metadata_count = r->metadata.count;
    now.length = r->length;
    now.offset = r->finishing ? r->length : r->offset;
    now.content_length = r->content_length;
    now.parts = r->parts;
    now.origin = vpi_tus_field_get(&r->fields, "Origin");
    memcpy(now.id, r->id, sizeof(now.id));
    memcpy(now.sha256, r->sha256, sizeof(now.sha256));
    now.struct_size = info->struct_size;
    memcpy(info, &now, VPI_MIN(info->struct_size, sizeof(now)));
    return VP_OK;
}

vp_status vp_tus_metadata(const vp_tus_request *r, uint32_t index, const char **name, const void **value,
                          uint64_t *size, vp_error *err)
{
    const vpi_tus_pair *p;

    vpi_error_reset(err);
    if (!r || !name || !value || !size)
        return vpi_fail(err, VP_E_ARG, NULL, "vp_tus_metadata: request, name, value and size are needed");
    if (r->state == VP_TUS_BUSY)
        return vpi_fail(err, VP_E_STATE, NULL, "vp_tus_metadata: the request is busy");
    if (index >= r->metadata.count) return VP_END;
    p = &r->metadata.pair[index];
    *name = p->name;
    *value = p->value;
    *size = p->size;
    return VP_OK;
}

const char *vp_tus_request_header(const vp_tus_request *r, const char *name)
{
    return r && name ? vpi_tus_field_get(&r->fields, name) : NULL;
}

/* ---- the host's word ---- */

static vp_status read_host_fields(const char *lines, vpi_tus_fields *to, vp_error *err)
{
    static const char *const ours[] = { "Content-Length", "Transfer-Encoding", "Connection", "Upload-Offset",
                                        "Location" };
    int refusal;

    vpi_tus_fields_dispose(to); /* of a call that came to nothing */
    refusal = vpi_tus_fields_read(to, lines);
    if (refusal == VPI_TUS_NOMEM) return vpi_fail_nomem(err);
    if (refusal) return vpi_fail(err, VP_E_ARG, NULL, "headers of an answer: a line is malformed");
    for (size_t i = 0; i < VPI_COUNT(ours); i++) {
        if (!vpi_tus_field_get(to, ours[i])) continue;
        vpi_tus_fields_dispose(to);
        return vpi_fail(err, VP_E_ARG, NULL, "headers of an answer: %s is not the host's", ours[i]);
    }
    return VP_OK;
}

static vp_status take(const char *from, char **to, vp_error *err)
{
    vpi_free(*to);
    *to = vpi_strdup(from);
    return from && !*to ? vpi_fail_nomem(err) : VP_OK;
}

/* The last of what can fail, so that it happens once. */
static vp_status take_metadata(vp_tus_request *r, const char *text, vp_error *err)
{
    vpi_tus_metadata m = { 0 };
    int refusal = vpi_tus_metadata_read(&m, text);

    if (refusal == VPI_TUS_NOMEM) return vpi_fail_nomem(err);
    if (refusal) return vpi_fail(err, VP_E_ARG, NULL, "vp_tus_accept: metadata is not as in Upload-Metadata");
    if (text && r->operation == VP_TUS_CREATE && !r->finishing) {
        r->replaced = r->metadata;
        r->metadata = m;
    } else {
        vpi_tus_metadata_dispose(&m);
    }
    return VP_OK;
}

static vp_status take_options(vp_tus_request *r, const vp_tus_accept_options *o, vp_error *err)
{
    char id[68];

    if (o->id && (strchr(o->id, '%') || !vpi_tus_id(o->id, strlen(o->id), id)))
        return vpi_fail(err, VP_E_ARG, NULL,
                        "vp_tus_accept: an id is letters, digits, '-' and '_', at most %d", VP_UPLOAD_ID_MAX);
    if (o->body_size && !o->body) return vpi_fail(err, VP_E_ARG, NULL, "vp_tus_accept: body is NULL");
    VPI_TRY(vpi_ingest_terms(o->scope, o->expire_ms, err));
    VPI_TRY(take(o->id, &r->extra.id, err));
    VPI_TRY(take(o->scope, &r->extra.scope, err));
    r->extra.max_size = o->max_size;
    r->extra.expire_ms = o->expire_ms;
    VPI_TRY(read_host_fields(o->headers, &r->host[r->finishing], err));
    if (o->body_size) {
        vpi_buf_clear(&r->host_text);
        vpi_buf_add(&r->host_text, o->body, (size_t)o->body_size);
        if (vpi_buf_failed(&r->host_text)) return vpi_fail_nomem(err);
    }
    return take_metadata(r, o->metadata, err);
}

/* VP_TUS_FINISH, by the host. */
static void answered(vp_tus_request *r)
{
    r->answered = true;
    vpi_tus_settle(r->tus, r->id);
}

vp_status vp_tus_accept(vp_tus_request *r, const vp_tus_accept_options *options, vp_error *err)
{
    vp_tus_accept_options o = VP_TUS_ACCEPT_OPTIONS_INIT;

    vpi_error_reset(err);
    if (!r) return vpi_fail(err, VP_E_ARG, NULL, "vp_tus_accept: no request");
    VPI_TRY(vpi_copy_struct(&o, sizeof(o), options, err));
    if (r->state != VP_TUS_ASK) return vpi_fail(err, VP_E_STATE, NULL, "vp_tus_accept: nothing was asked");
    VPI_TRY(take_options(r, &o, err));
    if (r->finishing) {
        answered(r);
        if (r->operation == VP_TUS_HEAD) {
            vpi_tus_reply_head(r);
        } else {
            vpi_tus_reply_written(r);
        }
        r->state = r->next;
        return VP_OK;
    }
    switch (r->operation) {
    case VP_TUS_CREATE:
        vpi_tus_run(r, vpi_tus_work_create);
        break;
    case VP_TUS_PATCH:
        vpi_tus_run(r, vpi_tus_work_open);
        break;
    case VP_TUS_HEAD:
        vpi_tus_run(r, vpi_tus_work_look);
        break;
    case VP_TUS_GET:
        vpi_tus_run(r, vpi_tus_work_give);
        break;
    default:
        vpi_tus_run(r, vpi_tus_work_delete);
        break;
    }
    return VP_OK;
}

vp_status vp_tus_reject(vp_tus_request *r, int32_t status, const char *headers, const void *body,
                        uint64_t size, vp_error *err)
{
    vpi_error_reset(err);
    if (!r || status < 400 || status > 599 || (size && !body))
        return vpi_fail(err, VP_E_ARG, NULL, "vp_tus_reject: a request, a status of 400 to 599");
    if (r->state != VP_TUS_ASK && r->state != VP_TUS_BODY)
        return vpi_fail(err, VP_E_STATE, NULL, "vp_tus_reject: too early or too late");
    vpi_tus_fields_dispose(&r->host[0]);
    VPI_TRY(read_host_fields(headers, &r->host[r->finishing], err));
    r->lost = r->operation == VP_TUS_CREATE && !r->url_told && !r->extra.id;
    if (r->finishing) answered(r);
    vpi_tus_answer(r, status);
    vpi_buf_add(&r->text, body, (size_t)size);
    if (r->draft && r->operation != VP_TUS_HEAD && r->operation != VP_TUS_DELETE)
        /* The host's word is that of the resource, not of the protocol: the client need not come back. */
        vpi_tus_header(r, "Upload-Complete", "?1");
    vpi_tus_answer_done(r);
    if (r->finishing && !(r->tus->flags & VP_TUSF_KEEP_REFUSED)) {
        vpi_tus_run(r, vpi_tus_work_remove);
    } else {
        r->state = r->next;
    }
    return VP_OK;
}

/* ---- the answer ---- */

int32_t vp_tus_interim(vp_tus_request *r, const char **headers)
{
    if (headers) *headers = NULL;
    if (!r || !headers || r->state == VP_TUS_BUSY || !r->interim_new || vpi_buf_failed(&r->interim)) return 0;
    r->interim_new = false;
    r->url_told = true;
    *headers = (const char *)r->interim.data;
    return 104;
}

int32_t vp_tus_status(const vp_tus_request *r)
{
    return r && r->state == VP_TUS_ANSWER ? r->status : 0;
}

vp_status vp_tus_answer_header(const vp_tus_request *r, uint32_t index, const char **name, const char **value,
                               vp_error *err)
{
    const char *p;

    vpi_error_reset(err);
    if (!r || !name || !value)
        return vpi_fail(err, VP_E_ARG, NULL, "vp_tus_answer_header: request, name and value are needed");
    if (r->state != VP_TUS_ANSWER)
        return vpi_fail(err, VP_E_STATE, NULL, "vp_tus_answer_header: there is no answer yet");
    if (index >= r->header_count) return VP_END;
    p = (const char *)r->headers.data;
    for (uint32_t i = 0; i < 2 * index; i++) p += strlen(p) + 1;
    *name = p;
    *value = p + strlen(p) + 1;
    return VP_OK;
}

vp_status vp_tus_answer_body(const vp_tus_request *r, const void **data, uint64_t *size, vp_error *err)
{
    vpi_error_reset(err);
    if (!r || !data || !size)
        return vpi_fail(err, VP_E_ARG, NULL, "vp_tus_answer_body: request, data and size are needed");
    if (r->state != VP_TUS_ANSWER)
        return vpi_fail(err, VP_E_STATE, NULL, "vp_tus_answer_body: there is no answer yet");
    *data = r->text.size ? r->text.data : NULL;
    *size = r->text.size;
    return VP_OK;
}

vp_status vp_tus_answer_source(vp_tus_request *r, vp_source **out, uint64_t *offset, uint64_t *size,
                               vp_error *err)
{
    vpi_error_reset(err);
    if (out) *out = NULL;
    if (!r || !out || !offset || !size)
        return vpi_fail(err, VP_E_ARG, NULL,
                        "vp_tus_answer_source: request, out, offset and size are needed");
    if (r->state != VP_TUS_ANSWER)
        return vpi_fail(err, VP_E_STATE, NULL, "vp_tus_answer_source: there is no answer yet");
    if (!r->source) return VP_END;
    *out = vp_source_ref(r->source);
    *offset = r->source_from;
    *size = r->source_size;
    return VP_OK;
}
