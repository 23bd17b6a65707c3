/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Requests against the upload handler, over a store in memory. An input is a row of requests between bytes 0x1E:
 *
 *     FLAGS METHOD TARGET \n header lines \n \n body
 *
 * FLAGS is one letter: "a" plus 1: the draft, 2: the host refuses, 4: it refuses at the end, 8: the client is gone in
 * the middle of the body. The host calls uploads u0, u1 and so on. Each request ends with one answer, whatever it was.
 */
#include <vodpipe/tus.h>

#include "fuzz.h"

#include "ingest/tus_text.h"

#define UPLOADS 16

/* ---- a store in memory ---- */

typedef struct entry {
    char id[VP_UPLOAD_ID_MAX + 1];
    uint8_t *record, *data;
    size_t record_size, data_size;
    uint64_t version;
} entry;

static entry entries[UPLOADS];
static vp_context *context;

static entry *find(const char *id, bool make)
{
    entry *spare = NULL;

    for (size_t i = 0; i < UPLOADS; i++) {
        if (strcmp(entries[i].id, id) == 0) return &entries[i];
        if (!entries[i].id[0] && !spare) spare = &entries[i];
    }
    if (make && spare) snprintf(spare->id, sizeof(spare->id), "%s", id);
    return make ? spare : NULL;
}

static void forget(entry *e)
{
    if (e->version || e->data) return;
    free(e->record);
    memset(e, 0, sizeof(*e));
}

static vp_status record_get(void *user, const char *id, vp_ingest_reply *reply, vp_error *err)
{
    const entry *e = find(id, false);

    (void)user;
    if (!e || !e->version) return VP_END;
    return vp_ingest_reply_set(reply, e->record, e->record_size, e->version, err);
}

static vp_status record_put(void *user, const char *id, const void *data, uint64_t size, uint64_t version,
                            uint64_t *now, vp_error *err)
{
    entry *e = find(id, true);

    (void)user;
    if (!e) return vp_error_set(err, VP_E_IO, "DISK_FULL", 0, "full");
    if (e->version != version) return vp_error_set(err, VP_E_CONFLICT, NULL, 0, "another version");
    free(e->record);
    e->record = fuzz_exact(data, (size_t)size);
    e->record_size = (size_t)size;
    *now = e->version = version + 1;
    return VP_OK;
}

static vp_status record_remove(void *user, const char *id, vp_error *err)
{
    entry *e = find(id, false);

    (void)user, (void)err;
    if (e) {
        e->version = 0;
        forget(e);
    }
    return VP_OK;
}

static vp_status record_list(void *user, vp_list_fn fn, void *fn_user, vp_error *err)
{
    (void)user, (void)fn, (void)fn_user, (void)err;
    return VP_OK;
}

static vp_status data_open(void *user, const char *id, const void *token, uint64_t token_size,
                           uint64_t offset, uint64_t length, void **data, vp_error *err)
{
    entry *e = find(id, true);

    (void)user, (void)token, (void)token_size, (void)length;
    if (!e) return vp_error_set(err, VP_E_IO, "DISK_FULL", 0, "full");
    FUZZ_CHECK(offset <= e->data_size);
    e->data_size = (size_t)offset;
    *data = e;
    return VP_OK;
}

static vp_status data_append(void *user, void *data, const void *bytes, size_t size, vp_error *err)
{
    entry *e = data;
    uint8_t *more = realloc(e->data, e->data_size + size + 1);

    (void)user, (void)err;
    if (!more) abort();
    e->data = more;
    memcpy(e->data + e->data_size, bytes, size);
    e->data_size += size;
    return VP_OK;
}

static vp_status data_sync(void *user, void *data, vp_ingest_reply *reply, vp_error *err)
{
    (void)user, (void)data;
    return vp_ingest_reply_set(reply, "t", 1, 0, err);
}

static void data_close(void *user, void *data)
{
    (void)user, (void)data;
}

static vp_status data_finish(void *user, const char *id, const void *token, uint64_t token_size,
                             uint64_t size, vp_error *err)
{
    const entry *e = find(id, false);

    (void)user, (void)token, (void)token_size, (void)err;
    FUZZ_CHECK(size == 0 || (e && e->data_size >= size));
    return VP_OK;
}

static vp_status data_source(void *user, const char *id, const void *token, uint64_t token_size,
                             uint64_t size, vp_source **out, vp_error *err)
{
    const entry *e = find(id, false);

    (void)user, (void)token, (void)token_size;
    FUZZ_CHECK(size == 0 || (e && e->data_size >= size));
    return vp_source_memory(context, size ? (const void *)e->data : "", size, out, err);
}

static vp_status data_remove(void *user, const char *id, const void *token, uint64_t token_size,
                             vp_error *err)
{
    entry *e = find(id, false);

    (void)user, (void)token, (void)token_size, (void)err;
    if (e) {
        free(e->data);
        e->data = NULL;
        e->data_size = 0;
        forget(e);
    }
    return VP_OK;
}

/* ---- a host ---- */

typedef struct host {
    unsigned flags, made;
    uint64_t answers, good;
} host;

static void answer_ask(vp_tus_request *q, host *h)
{
    vp_tus_info info = VP_TUS_INFO_INIT;
    vp_tus_accept_options o = VP_TUS_ACCEPT_OPTIONS_INIT;
    const char *name;
    const void *value;
    uint64_t size;
    char id[16];

    FUZZ_CHECK(vp_tus_get_info(q, &info, NULL) == VP_OK && info.operation > VP_TUS_OPTIONS);
    for (uint32_t i = 0; i < info.metadata_count; i++)
        FUZZ_CHECK(vp_tus_metadata(q, i, &name, &value, &size, NULL) == VP_OK &&
                   ((const char *)value)[size] == 0);
    FUZZ_CHECK(vp_tus_metadata(q, info.metadata_count, &name, &value, &size, NULL) == VP_END);
    if (h->flags & (info.operation == VP_TUS_FINISH ? 4u : 2u)) {
        FUZZ_CHECK(vp_tus_reject(q, 403, NULL, "no", 2, NULL) == VP_OK);
        return;
    }
    if (info.operation == VP_TUS_CREATE) {
        snprintf(id, sizeof(id), "u%u", h->made++);
        o.id = id;
    }
    FUZZ_CHECK(vp_tus_accept(q, &o, NULL) == VP_OK);
}

static void check_answer(vp_tus_request *q, host *h, bool head)
{
    int32_t status = vp_tus_status(q);
    const char *name, *value;
    const void *data;
    uint64_t from, size;
    vp_source *source = NULL;
    bool length = false;

    FUZZ_CHECK(status >= 200 && status <= 599);
    h->answers++;
    h->good += status < 300;
    for (uint32_t i = 0; vp_tus_answer_header(q, i, &name, &value, NULL) == VP_OK; i++) {
        FUZZ_CHECK(*name && vpi_tus_printable(name) && vpi_tus_printable(value));
        FUZZ_CHECK(!length || strcmp(name, "Content-Length") != 0);
        length = length || strcmp(name, "Content-Length") == 0;
    }
    FUZZ_CHECK(vp_tus_answer_body(q, &data, &size, NULL) == VP_OK && (size == 0) == (data == NULL));
    FUZZ_CHECK(status != 204 || (!length && size == 0));
    FUZZ_CHECK(!head || size == 0);
    FUZZ_CHECK(head || length || status == 204 || status == 304); /* who waits for it knows where it ends */
    if (vp_tus_answer_source(q, &source, &from, &size, NULL) == VP_OK) {
        uint64_t total = 0;

        FUZZ_CHECK(!head);
        FUZZ_CHECK(vp_source_size(source, &total, NULL) == VP_OK && from <= total && size <= total - from);
        vp_source_unref(source);
    }
}

static void drive(vp_tus *tus, host *h, const char *method, const char *target, const char *headers,
                  const uint8_t *body, size_t size)
{
    vp_tus_request *q = NULL;
    const char *lines;
    vp_status st = h->flags & 1 ? vp_tus_begin_draft(tus, method, target, headers, 1, &q, NULL)
                                : vp_tus_begin(tus, method, target, headers, 1, &q, NULL);

    FUZZ_CHECK(st == VP_OK);
    for (unsigned asks = 0; vp_tus_state(q) != VP_TUS_ANSWER;) {
        if (vp_tus_state(q) == VP_TUS_ASK) {
            FUZZ_CHECK(++asks <= 2);
            answer_ask(q, h);
            continue;
        }
        FUZZ_CHECK(vp_tus_state(q) == VP_TUS_BODY);
        if (vp_tus_interim(q, &lines)) FUZZ_CHECK(lines && lines[strlen(lines) - 1] == '\n');
        FUZZ_CHECK(vp_tus_body(q, body, size / 2, NULL) == VP_OK);
        if (h->flags & 8) {
            vp_tus_close(q);
            return;
        }
        FUZZ_CHECK(vp_tus_body(q, body + size / 2, size - size / 2, NULL) == VP_OK);
        FUZZ_CHECK(vp_tus_end(q, NULL, NULL) == VP_OK);
    }
    check_answer(q, h, strcmp(method, "HEAD") == 0);
    vp_tus_close(q);
}

/* One request of the input, which is NUL-terminated. */
static void request(vp_tus *tus, host *h, char *text, size_t size)
{
    char *headers = memchr(text, '\n', size), *target, *body;

    if (size < 2 || !headers) return;
    *headers++ = 0;
    h->flags = (unsigned)(text[0] - 'a') & 15u;
    target = strchr(text + 1, ' ');
    if (!target) return;
    *target++ = 0;
    body = strstr(headers, "\n\n");
    if (*headers == '\n') body = headers - 1;
    if (body) {
        body[body < headers ? 0 : 1] = 0;
        body += 2;
        if (body == headers + 1) *headers = 0;
    } else {
        body = text + size;
    }
    drive(tus, h, text + 1, target, headers, (const uint8_t *)body, (size_t)(text + size - body));
}

static void clear(void)
{
    for (size_t i = 0; i < UPLOADS; i++) {
        free(entries[i].record);
        free(entries[i].data);
        memset(&entries[i], 0, sizeof(entries[i]));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const vp_ingest_ops ops = { sizeof(ops), 0,           record_get,  record_put, record_remove,
                                       record_list, data_open,   data_append, data_sync,  data_close,
                                       data_finish, data_source, data_remove, NULL,       NULL,
                                       NULL,        NULL };
    vp_ingest_options io = VP_INGEST_OPTIONS_INIT;
    vp_tus_options to = VP_TUS_OPTIONS_INIT;
    vp_ingest *ingest = NULL;
    vp_tus *tus = NULL;
    host h = { 0 };
    char *text = malloc(size + 1);

    if (!text) abort();
    if (size) memcpy(text, data, size);
    text[size] = 0;
    if (!context && vp_context_new(NULL, &context, NULL) != VP_OK) abort();
    io.max_size = 1 << 20;
    io.expire_ms = 3600000;
    to.origins = "*";
    to.flags = size & 1 ? VP_TUSF_CONCAT_EARLY : 0;
    if (vp_ingest_new(context, &ops, NULL, &io, &ingest, NULL) != VP_OK) abort();
    if (vp_tus_new(ingest, &to, &tus, NULL) != VP_OK) abort();
    for (char *p = text, *end = text + size; p < end;) {
        char *next = memchr(p, 0x1E, (size_t)(end - p));

        if (!next) next = end;
        *next = 0;
        request(tus, &h, p, (size_t)(next - p));
        p = next + 1;
    }
    FUZZ_ACCEPTED(h.good > 1);
    vp_tus_unref(tus);
    vp_ingest_unref(ingest);
    clear();
    free(text);
    return 0;
}
