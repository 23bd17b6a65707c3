/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The IETF's Resumable Uploads for HTTP, the draft that VP_TUS_DRAFT names: what its requests ask for, and its answers.
 * Section titles in comments are that draft's.
 */

#include <stdio.h>

#include "ingest/tus_int.h"

#define PART_TYPE "application/partial-upload"
#define PROBLEMS "https://iana.org/assignments/http-problem-types#"

/* ---- requests ---- */

static void refuse(vp_tus_request *r, int32_t status, const char *text)
{
    vpi_tus_refuse(r, status, text);
}

/* A header that is not an integer is ignored (Upload Offset, Upload Length). */
static uint64_t integer(const vp_tus_request *r, const char *name)
{
    const char *text = vpi_tus_field_get(&r->fields, name);
    uint64_t v;

    return text && vpi_draft_integer(text, &v) ? v : VP_SIZE_UNKNOWN;
}

/* Upload-Complete, which both creation and append need; false: refused. */
static bool parse_complete(vp_tus_request *r)
{
    const char *text = vpi_tus_field_get(&r->fields, "Upload-Complete");

    if (text && vpi_draft_boolean(text, &r->complete)) return true;
    refuse(r, 400, "Upload-Complete must be ?1 or ?0");
    return false;
}

/*
 * The length of the whole (Length): told, or the end of a body that is the last one; both must be the same. offset is
 * where the body begins. False: refused.
 */
static bool parse_length(vp_tus_request *r, uint64_t offset, uint64_t *length)
{
    uint64_t max = vpi_tus_store_max_size(r->tus->ingest), end = VP_SIZE_UNKNOWN;

    *length = integer(r, "Upload-Length");
    if (r->content_length != VP_SIZE_UNKNOWN) {
        if (!vpi_add_u64(offset, r->content_length, &end) || (*length != VP_SIZE_UNKNOWN && end > *length) ||
            (*length != VP_SIZE_UNKNOWN && r->complete && end != *length)) {
            vpi_draft_refuse_length(r);
            return false;
        }
        if (r->complete) *length = end;
    }
    if (max && ((end != VP_SIZE_UNKNOWN && end > max) || (*length != VP_SIZE_UNKNOWN && *length > max))) {
        refuse(r, 413, "the upload is too large");
        return false;
    }
    return true;
}

/* Content-Digest is that of this body. */
static void parse_digest(vp_tus_request *r)
{
    const char *text = vpi_tus_field_get(&r->fields, "Content-Digest");

    if (!text || !vpi_draft_bytes(text, "sha-256", r->sum.digest, 32)) return;
    r->sum.algorithm = "sha256";
    r->sum.size = 32;
}

/* Repr-Digest is that of the whole. False: no memory. */
static bool parse_whole_digest(vp_tus_request *r)
{
    const char *text = vpi_tus_field_get(&r->fields, "Repr-Digest");
    vpi_buf hex = { 0 };
    uint8_t sha[32];

    if (!text || !vpi_draft_bytes(text, "sha-256", sha, sizeof(sha))) return true;
    vpi_buf_str(&hex, "sha256:");
    for (size_t i = 0; i < sizeof(sha); i++) vpi_buf_printf(&hex, "%02x", sha[i]);
    r->digest = vpi_buf_steal_string(&hex);
    vpi_buf_dispose(&hex);
    return r->digest != NULL;
}

/* Type and file name of the representation, under the names that clients of tus use. False: no memory. */
static bool parse_names(vp_tus_request *r)
{
    const char *type = vpi_tus_field_get(&r->fields, "Content-Type");
    const char *disposition = vpi_tus_field_get(&r->fields, "Content-Disposition");
    vpi_buf text = { 0 }, name = { 0 };
    char *line = NULL;
    int refusal = 0;

    if (disposition) vpi_draft_filename(disposition, &name);
    if (name.size) {
        vpi_buf_str(&text, "filename ");
        vpi_base64_add(&text, name.data, name.size);
    }
    /* Some clients give the type of an append to the creation, too: it is none of the representation. */
    if (type && *type && !vpi_tus_type_is(type, PART_TYPE)) {
        vpi_buf_str(&text, text.size ? ",filetype " : "filetype ");
        vpi_base64_add(&text, type, strlen(type));
    }
    line = vpi_buf_failed(&name) ? NULL : vpi_buf_steal_string(&text);
    /* Names so long that they cannot be kept are not: the draft has no refusal for them. */
    refusal = line ? vpi_tus_metadata_read(&r->metadata, line) : VPI_TUS_NOMEM;
    vpi_free(line);
    vpi_buf_dispose(&text);
    vpi_buf_dispose(&name);
    return refusal != VPI_TUS_NOMEM;
}

static void parse_create(vp_tus_request *r)
{
    r->operation = VP_TUS_CREATE;
    if (!vpi_tus_parse_body(r) || !parse_complete(r) || !parse_length(r, 0, &r->length)) return;
    if (!parse_whole_digest(r) || !parse_names(r)) {
        refuse(r, 503, "out of memory");
        return;
    }
    parse_digest(r);
    if (r->length == VP_SIZE_UNKNOWN) r->flags |= VP_TUS_IS_DEFERRED;
    if (r->content_length != 0) r->flags |= VP_TUS_HAS_BODY;
    r->next = VP_TUS_ASK;
}

static void parse_append(vp_tus_request *r)
{
    r->operation = VP_TUS_PATCH;
    if (!vpi_tus_type_is(vpi_tus_field_get(&r->fields, "Content-Type"), PART_TYPE)) {
        refuse(r, 415, "the content type must be " PART_TYPE);
        return;
    }
    if (!vpi_tus_parse_body(r) || !parse_complete(r)) return;
    r->offset = integer(r, "Upload-Offset");
    if (r->offset == VP_SIZE_UNKNOWN) {
        refuse(r, 400, "Upload-Offset is missing");
        return;
    }
    if (!parse_length(r, r->offset, &r->new_length)) return;
    parse_digest(r);
    if (r->content_length != 0) r->flags |= VP_TUS_HAS_BODY;
    r->next = VP_TUS_ASK;
}

static void parse_other(vp_tus_request *r, int32_t operation)
{
    r->operation = operation;
    r->next = VP_TUS_ASK;
}

static void reply_options(vp_tus_request *r)
{
    r->operation = VP_TUS_OPTIONS;
    vpi_tus_answer(r, 204);
    vpi_tus_cors(r, true);
    vpi_draft_options(r);
    vpi_tus_answer_done(r);
}

void vpi_draft_parse(vp_tus_request *r, const char *method, const char *target)
{
    bool creation;

    r->interop = integer(r, "Upload-Draft-Interop-Version") == VP_TUS_DRAFT_INTEROP;
    if (strcmp(method, "OPTIONS") == 0 && strcmp(target, "*") == 0) {
        reply_options(r);
        return;
    }
    if (!vpi_tus_parse_target(r, target, &creation)) return;
    if (strcmp(method, "OPTIONS") == 0) {
        reply_options(r);
    } else if (creation && (strcmp(method, "POST") == 0 || strcmp(method, "PUT") == 0)) {
        parse_create(r);
    } else if (!creation && strcmp(method, "PATCH") == 0) {
        parse_append(r);
    } else if (!creation && (strcmp(method, "HEAD") == 0 || strcmp(method, "GET") == 0)) {
        /* Offset Retrieval: GET is the same without content. The bytes are given by vp_tus_begin. */
        parse_other(r, VP_TUS_HEAD);
    } else if (!creation && strcmp(method, "DELETE") == 0 && !(r->tus->flags & VP_TUSF_NO_DELETE)) {
        parse_other(r, VP_TUS_DELETE);
    } else {
        refuse(r, 405, "the method is not allowed");
    }
}

/* ---- answers ---- */

/* Upload-Limit, as a value; min-size=0 where there is none (Limits). */
static void limits(const vp_tus_request *r, char *to, size_t capacity)
{
    uint64_t max = vpi_tus_store_max_size(r->tus->ingest), age = VP_SIZE_UNKNOWN;
    char size[48] = "", life[48] = "";

    if (r->limit != VP_SIZE_UNKNOWN) max = max ? VPI_MIN(max, r->limit) : r->limit;
    if (r->info.expires_us > 0) {
        int64_t left = r->info.expires_us - vpi_tus_store_now_us(r->tus->ingest);

        age = left > 0 ? (uint64_t)left / 1000000 : 0;
    } else if (!r->info.id[0] && vpi_tus_store_expire_ms(r->tus->ingest)) {
        age = vpi_tus_store_expire_ms(r->tus->ingest) / 1000;
    }
    if (max) snprintf(size, sizeof(size), "max-size=%llu", (unsigned long long)max);
    if (age != VP_SIZE_UNKNOWN) snprintf(life, sizeof(life), "max-age=%llu", (unsigned long long)age);
    snprintf(to, capacity, "%s%s%s", size, *size && *life ? ", " : "", *size || *life ? life : "min-size=0");
}

void vpi_draft_limits(vp_tus_request *r)
{
    char text[128];

    limits(r, text, sizeof(text));
    vpi_tus_header(r, "Upload-Limit", "%s", text);
}

void vpi_draft_options(vp_tus_request *r)
{
    vpi_tus_header(r, "Accept-Patch", "%s",
                   r->draft ? PART_TYPE : "application/offset+octet-stream, " PART_TYPE);
    vpi_draft_limits(r);
}

static void location(const vp_tus_request *r, vpi_buf *to)
{
    vpi_buf_printf(to, "%s%s", r->tus->base_url ? r->tus->base_url : r->tus->base_path, r->id);
}

void vpi_draft_reply_written(vp_tus_request *r)
{
    bool created = r->operation == VP_TUS_CREATE;
    vpi_buf where = { 0 };

    if (r->finishing) {
        /* What the resource itself answers: here the host's body, if it gave one. */
        vpi_tus_answer(r, 200);
        vpi_tus_header(r, "Upload-Complete", "?1");
        /* Not asked for by the draft any more, but clients of older ones give up without it. */
        vpi_tus_header(r, "Upload-Offset", "%llu", (unsigned long long)r->length);
    } else {
        vpi_tus_answer(r, created ? 201 : 204);
        vpi_tus_header(r, "Upload-Complete", "?0");
        vpi_tus_header(r, "Upload-Offset", "%llu", (unsigned long long)r->info.offset);
    }
    if (created) {
        location(r, &where);
        vpi_buf_u8(&where, 0);
        if (!vpi_buf_failed(&where)) vpi_tus_header(r, "Location", "%s", (const char *)where.data);
        vpi_buf_dispose(&where);
    }
    if (!r->finishing) vpi_draft_limits(r);
    if (r->finishing || created) vpi_buf_add(&r->text, r->host_text.data, r->host_text.size);
    vpi_tus_answer_done(r);
}

void vpi_draft_reply_head(vp_tus_request *r)
{
    vpi_tus_answer(r, 204);
    vpi_tus_header(r, "Upload-Offset", "%llu", (unsigned long long)r->info.offset);
    vpi_tus_header(r, "Upload-Complete", "%s", r->info.state == VP_UPLOAD_FINISHED ? "?1" : "?0");
    if (r->length != VP_SIZE_UNKNOWN)
        vpi_tus_header(r, "Upload-Length", "%llu", (unsigned long long)r->length);
    vpi_draft_limits(r);
    vpi_tus_answer_done(r);
}

/*
 * What the protocol refuses has ?0, also for a complete upload (Completeness; Upload Append): ?1 says that the resource
 * answers, and has looked at the whole file.
 */

void vpi_draft_refuse_offset(vp_tus_request *r, uint64_t expected)
{
    vpi_tus_answer(r, 409);
    vpi_tus_header(r, "Upload-Offset", "%llu", (unsigned long long)expected);
    vpi_tus_header(r, "Upload-Complete", "?0");
    vpi_tus_header(r, "Content-Type", "application/problem+json");
    vpi_buf_printf(&r->text,
                   "{\"type\":\"" PROBLEMS
                   "mismatching-upload-offset\",\"title\":\"the offset of the request is "
                   "not that of the upload\",\"expected-offset\":%llu,\"provided-offset\":%llu}\n",
                   (unsigned long long)expected, (unsigned long long)r->offset);
    vpi_tus_answer_done(r);
}

void vpi_draft_refuse_length(vp_tus_request *r)
{
    vpi_tus_answer(r, 400);
    vpi_tus_header(r, "Upload-Complete", "?0");
    vpi_tus_header(r, "Content-Type", "application/problem+json");
    vpi_buf_str(&r->text,
                "{\"type\":\"" PROBLEMS "inconsistent-upload-length\",\"title\":\"the lengths that were "
                "told or sent differ\"}\n");
    vpi_tus_answer_done(r);
}

/* ---- interim answers ---- */

static void interim_begin(vp_tus_request *r)
{
    vpi_buf_clear(&r->interim);
    vpi_buf_printf(&r->interim, "Upload-Draft-Interop-Version: %d\n", VP_TUS_DRAFT_INTEROP);
}

static void interim_end(vp_tus_request *r)
{
    vpi_buf_u8(&r->interim, 0);
    r->interim_new = true;
}

void vpi_draft_interim_location(vp_tus_request *r)
{
    char text[128];

    limits(r, text, sizeof(text));
    interim_begin(r);
    vpi_buf_str(&r->interim, "Location: ");
    location(r, &r->interim);
    vpi_buf_printf(&r->interim, "\nUpload-Limit: %s\n", text);
    interim_end(r);
}

/* Only what is durable: the client may forget it then. */
void vpi_draft_interim_offset(vp_tus_request *r)
{
    vp_upload_info info = VP_UPLOAD_INFO_INIT;

    r->told = r->at;
    if (vp_upload_get_info(r->upload, &info, NULL) != VP_OK || info.offset <= r->info.offset) return;
    r->info.offset = info.offset;
    interim_begin(r);
    vpi_buf_printf(&r->interim, "Upload-Offset: %llu\n", (unsigned long long)info.offset);
    interim_end(r);
}
