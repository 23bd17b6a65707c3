/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a request of tus 1.0 asks for, and what is wrong with it by its headers alone. */

#include "ingest/tus_int.h"

bool vpi_tus_parse_target(vp_tus_request *r, const char *target, bool *creation)
{
    const char *rest;
    size_t size;

    *creation = false;
    if (!vpi_tus_below(target, strlen(target), r->tus->base_path, NULL, &rest, &size)) {
        vpi_tus_refuse(r, 404, "not found");
        return false;
    }
    *creation = size == 0;
    if (*creation || vpi_tus_id(rest, size, r->id)) return true;
    r->id[0] = 0;
    vpi_tus_refuse(r, 404, "not found");
    return false;
}

bool vpi_tus_parse_body(vp_tus_request *r)
{
    const char *length = vpi_tus_field_get(&r->fields, "Content-Length");
    const char *coding = vpi_tus_field_get(&r->fields, "Transfer-Encoding");

    /* RFC 9112 6.3: both at once is how requests are smuggled. */
    if ((length && coding) || (length && !vpi_tus_number(length, &r->content_length))) {
        vpi_tus_refuse(r, 400, "Content-Length is malformed");
        return false;
    }
    return true;
}

/* A number header; absent leaves *out. False: refused. */
static bool number(vp_tus_request *r, const char *name, uint64_t *out)
{
    const char *value = vpi_tus_field_get(&r->fields, name);

    if (!value || vpi_tus_number(value, out)) return true;
    vpi_tus_refuse(r, 400, "a number in a header is malformed");
    return false;
}

/* Upload-Checksum, here or announced as a trailer. */
static bool parse_checksum(vp_tus_request *r)
{
    const char *value = vpi_tus_field_get(&r->fields, "Upload-Checksum");

    if (value && vpi_tus_sum_read(value, &r->sum)) {
        vpi_tus_refuse(r, 400, "the checksum or its algorithm is not supported");
        return false;
    }
    r->trailer = !value && vpi_tus_listed(vpi_tus_field_get(&r->fields, "Trailer"), "Upload-Checksum");
    return true;
}

static void parse_patch(vp_tus_request *r)
{
    uint64_t max = vpi_tus_store_max_size(r->tus->ingest), end;

    r->operation = VP_TUS_PATCH;
    if (!vpi_tus_type_is(vpi_tus_field_get(&r->fields, "Content-Type"), VPI_TUS_BODY_TYPE)) {
        vpi_tus_refuse(r, 415, "the content type must be " VPI_TUS_BODY_TYPE);
        return;
    }
    if (!number(r, "Upload-Offset", &r->offset) || !number(r, "Upload-Length", &r->new_length) ||
        !vpi_tus_parse_body(r) || !parse_checksum(r))
        return;
    if (r->offset == VP_SIZE_UNKNOWN) {
        vpi_tus_refuse(r, 400, "Upload-Offset is missing");
        return;
    }
    if ((max && r->new_length != VP_SIZE_UNKNOWN && r->new_length > max) ||
        (r->content_length != VP_SIZE_UNKNOWN &&
         (!vpi_add_u64(r->offset, r->content_length, &end) || (max && end > max)))) {
        vpi_tus_refuse(r, 413, "the upload is too large");
        return;
    }
    if (r->content_length != 0) r->flags |= VP_TUS_HAS_BODY;
    r->next = VP_TUS_ASK;
}

/* Upload-Concat of a creation; false: refused. */
static bool parse_concat(vp_tus_request *r, const char *concat)
{
    int refusal;

    if (!concat) return true;
    if (r->tus->flags & VP_TUSF_NO_CONCAT) {
        vpi_tus_refuse(r, 400, "concatenation is not supported");
        return false;
    }
    refusal = vpi_tus_concat_read(concat, r->tus->base_path, r->tus->base_url, &r->parts);
    if (refusal) {
        vpi_tus_refuse(r, refusal == VPI_TUS_NOMEM ? 503 : refusal, "Upload-Concat is malformed");
        return false;
    }
    r->flags |= r->parts ? VP_TUS_IS_FINAL : VP_TUS_IS_PARTIAL;
    return true;
}

/* Upload-Length, or that it comes later, or neither of a concatenation. */
static bool parse_length(vp_tus_request *r)
{
    const char *defer = vpi_tus_field_get(&r->fields, "Upload-Defer-Length");
    uint64_t max = vpi_tus_store_max_size(r->tus->ingest);

    if (!number(r, "Upload-Length", &r->length)) return false;
    if (defer && strcmp(defer, "1") != 0) {
        vpi_tus_refuse(r, 400, "Upload-Defer-Length can only be 1");
    } else if (r->parts && (defer || r->length != VP_SIZE_UNKNOWN)) {
        vpi_tus_refuse(r, 400, "the length of a concatenation is that of its parts");
    } else if (!r->parts && (defer != NULL) == (r->length != VP_SIZE_UNKNOWN)) {
        vpi_tus_refuse(r, 400, "either Upload-Length or Upload-Defer-Length is needed");
    } else if (defer && (r->tus->flags & VP_TUSF_NO_DEFER)) {
        vpi_tus_refuse(r, 400, "the length must be told at creation");
    } else if (max && r->length != VP_SIZE_UNKNOWN && r->length > max) {
        vpi_tus_refuse(r, 413, "the upload is too large");
    } else {
        if (defer) r->flags |= VP_TUS_IS_DEFERRED;
        return true;
    }
    return false;
}

/* creation-with-upload; false: refused. */
static bool parse_first_bytes(vp_tus_request *r)
{
    bool typed = vpi_tus_type_is(vpi_tus_field_get(&r->fields, "Content-Type"), VPI_TUS_BODY_TYPE);
    bool told = r->content_length != VP_SIZE_UNKNOWN;
    /* Bodies without a length (chunked ones, those of HTTP/2 and 3): the type says that there are bytes in it. */
    bool body = told ? r->content_length > 0 : typed;

    r->no_bytes = !body && typed;
    r->untyped = !told && !typed; /* it may be empty: only its first byte tells */
    if (!body) return true;
    r->flags |= VP_TUS_HAS_BODY;
    if (r->parts) {
        vpi_tus_refuse(r, 403, "a concatenation takes no bytes");
    } else if (!typed) {
        vpi_tus_refuse(r, 415, "the content type must be " VPI_TUS_BODY_TYPE);
    } else if (told && r->length != VP_SIZE_UNKNOWN && r->content_length > r->length) {
        vpi_tus_refuse(r, 413, "the body is longer than the upload");
    } else {
        return parse_checksum(r);
    }
    return false;
}

static void parse_create(vp_tus_request *r)
{
    int refusal;

    r->operation = VP_TUS_CREATE;
    if (!parse_concat(r, vpi_tus_field_get(&r->fields, "Upload-Concat")) || !parse_length(r) ||
        !vpi_tus_parse_body(r) || !parse_first_bytes(r))
        return;
    refusal = vpi_tus_metadata_read(&r->metadata, vpi_tus_field_get(&r->fields, "Upload-Metadata"));
    if (refusal) {
        vpi_tus_refuse(r, refusal == VPI_TUS_NOMEM ? 503 : refusal, "Upload-Metadata is malformed");
        return;
    }
    r->next = VP_TUS_ASK;
}

static void parse_other(vp_tus_request *r, int32_t operation, uint32_t forbidden)
{
    r->operation = operation;
    if (r->tus->flags & forbidden) {
        vpi_tus_refuse(r, 405, "the method is not allowed");
    } else {
        r->next = VP_TUS_ASK;
    }
}

void vpi_tus_parse(vp_tus_request *r, const char *method, const char *target)
{
    const char *other = vpi_tus_field_get(&r->fields, "X-HTTP-Method-Override");
    const char *version = vpi_tus_field_get(&r->fields, "Tus-Resumable");
    bool creation, get;

    if (other && *other) method = other;
    if (strcmp(method, "OPTIONS") == 0) {
        r->operation = VP_TUS_OPTIONS;
        if (strcmp(target, "*") == 0 || vpi_tus_parse_target(r, target, &creation)) vpi_tus_reply_options(r);
        return;
    }
    /* Browsers that follow a link know nothing of tus; GET is no part of it. */
    get = strcmp(method, "GET") == 0;
    if (version ? strcmp(version, "1.0.0") != 0 : !get) {
        vpi_tus_answer(r, 412);
        vpi_tus_header(r, "Tus-Version", "1.0.0");
        vpi_buf_str(&r->text, "Tus-Resumable must be 1.0.0\n");
        vpi_tus_answer_done(r);
        return;
    }
    if (!vpi_tus_parse_target(r, target, &creation)) return;
    if (creation && strcmp(method, "POST") == 0) {
        parse_create(r);
    } else if (!creation && strcmp(method, "PATCH") == 0) {
        parse_patch(r);
    } else if (!creation && strcmp(method, "HEAD") == 0) {
        parse_other(r, VP_TUS_HEAD, 0);
    } else if (!creation && strcmp(method, "DELETE") == 0) {
        parse_other(r, VP_TUS_DELETE, VP_TUSF_NO_DELETE);
    } else if (!creation && get) {
        parse_other(r, VP_TUS_GET, VP_TUSF_NO_GET);
    } else {
        vpi_tus_refuse(r, 405, "the method is not allowed");
    }
}
