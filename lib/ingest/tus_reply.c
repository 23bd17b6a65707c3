/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Answers of tus 1.0 to requests that went well. */

#include "ingest/tus_int.h"

void vpi_tus_reply_options(vp_tus_request *r)
{
    const vp_tus *t = r->tus;
    uint64_t max = vpi_tus_store_max_size(t->ingest);

    vpi_tus_answer(r, 204);
    vpi_tus_cors(r, true);
    vpi_tus_header(r, "Tus-Version", "1.0.0");
    vpi_tus_header(r, "Tus-Extension", "creation,creation-with-upload,checksum,checksum-trailer%s%s%s%s%s",
                   t->flags & VP_TUSF_NO_DEFER ? "" : ",creation-defer-length",
                   vpi_tus_store_expire_ms(t->ingest) ? ",expiration" : "",
                   t->flags & VP_TUSF_NO_DELETE ? "" : ",termination",
                   t->flags & VP_TUSF_NO_CONCAT ? "" : ",concatenation",
                   (t->flags & (VP_TUSF_NO_CONCAT | VP_TUSF_CONCAT_EARLY)) == VP_TUSF_CONCAT_EARLY
                       ? ",concatenation-unfinished"
                       : "");
    vpi_tus_header(r, "Tus-Checksum-Algorithm", VPI_TUS_ALGORITHMS);
    if (max) vpi_tus_header(r, "Tus-Max-Size", "%llu", (unsigned long long)max);
    if (t->flags & VP_TUSF_DRAFT) vpi_draft_options(r);
    vpi_tus_answer_done(r);
}

void vpi_tus_expires(vp_tus_request *r)
{
    char date[32];

    if (r->info.state == VP_UPLOAD_FINISHED || r->info.expires_us <= 0) return;
    vpi_tus_date(r->info.expires_us, date);
    vpi_tus_header(r, "Upload-Expires", "%s", date);
}

void vpi_tus_reply_written(vp_tus_request *r)
{
    const vp_tus *t = r->tus;
    bool created = r->operation == VP_TUS_CREATE;

    if (r->draft) {
        vpi_draft_reply_written(r);
        return;
    }
    vpi_tus_answer(r, created ? 201 : 204);
    if (created) vpi_tus_header(r, "Location", "%s%s", t->base_url ? t->base_url : t->base_path, r->id);
    if (!created || (r->flags & VP_TUS_HAS_BODY) || r->no_bytes)
        vpi_tus_header(r, "Upload-Offset", "%llu",
                       (unsigned long long)(r->finishing ? r->length : r->info.offset));
    vpi_tus_expires(r);
    if (created) vpi_buf_add(&r->text, r->host_text.data, r->host_text.size);
    vpi_tus_answer_done(r);
}

void vpi_tus_reply_head(vp_tus_request *r)
{
    bool waiting = r->info.state == VP_UPLOAD_WAITING;

    if (r->draft) {
        vpi_draft_reply_head(r);
        return;
    }
    vpi_tus_answer(r, 200);
    if (!waiting) vpi_tus_header(r, "Upload-Offset", "%llu", (unsigned long long)r->info.offset);
    if (r->length != VP_SIZE_UNKNOWN) {
        vpi_tus_header(r, "Upload-Length", "%llu", (unsigned long long)r->length);
    } else if (!waiting) {
        vpi_tus_header(r, "Upload-Defer-Length", "1");
    }
    if (r->kept.metadata) vpi_tus_header(r, "Upload-Metadata", "%s", r->kept.metadata);
    if (r->kept.concat) vpi_tus_header(r, "Upload-Concat", "%s", r->kept.concat);
    vpi_tus_expires(r);
    vpi_tus_answer_done(r);
}

/* ---- GET ---- */

/* A tag of the list is ours. Those of If-None-Match may be weak (RFC 9110 13.1.2), those of If-Match not (13.1.1). */
static bool names_tag(const char *list, const char *tag, bool weak)
{
    const char *at = strstr(list, tag);

    if (strcmp(list, "*") == 0) return true;
    while (at && !weak && at > list + 1 && at[-1] == '/' && at[-2] == 'W') at = strstr(at + 1, tag);
    return at;
}

/* RFC 9110 13.2.2: If-Match comes before all else. 0: the conditions stand in the way of nothing. */
static int conditions(const vp_tus_request *r, const char *tag)
{
    const char *match = vpi_tus_field_get(&r->fields, "If-Match");
    const char *none = vpi_tus_field_get(&r->fields, "If-None-Match");

    if (!tag[0]) return 0;
    if (match && !names_tag(match, tag, false)) return 412;
    return none && names_tag(none, tag, true) ? 304 : 0;
}

void vpi_tus_reply_get(vp_tus_request *r)
{
    const char *range = vpi_tus_field_get(&r->fields, "Range");
    const char *if_range = vpi_tus_field_get(&r->fields, "If-Range"), *type;
    vp_source *source = vp_source_ref(r->source);
    vpi_tus_metadata m = { 0 };
    vpi_buf disposition = { 0 };
    uint64_t from = 0, size = r->length;
    char tag[72] = "";
    int status;

    if (r->info.sha256[0]) {
        vpi_strlcpy(tag + 1, r->info.sha256, sizeof(tag) - 2);
        tag[0] = '"';
        memcpy(tag + strlen(tag), "\"", 2);
    }
    if (if_range && (!tag[0] || strcmp(if_range, tag) != 0)) range = NULL;
    status = vpi_tus_range(range, r->length, &from, &size);
    if (conditions(r, tag)) status = conditions(r, tag);
    /* Of an upload whose metadata nobody understands they are none. */
    vpi_tus_metadata_read(&m, r->kept.metadata);
    type = vpi_tus_safe_type(vpi_tus_metadata_get(&m, "filetype"));
    vpi_tus_disposition(vpi_tus_metadata_get(&m, "filename"), &disposition);
    vpi_buf_u8(&disposition, 0);

    vpi_tus_answer(r, status);
    vpi_tus_header(r, "X-Content-Type-Options", "nosniff");
    vpi_tus_header(r, "Accept-Ranges", "bytes");
    if (tag[0]) vpi_tus_header(r, "ETag", "%s", tag);
    if (status == 416) {
        vpi_tus_header(r, "Content-Range", "bytes */%llu", (unsigned long long)r->length);
    } else if (status < 300) {
        if (status == 206)
            vpi_tus_header(r, "Content-Range", "bytes %llu-%llu/%llu", (unsigned long long)from,
                           (unsigned long long)(from + size - 1), (unsigned long long)r->length);
        vpi_tus_header(r, "Content-Type", "%s", type ? type : "application/octet-stream");
        vpi_tus_header(r, "Content-Disposition", "%s",
                       vpi_buf_failed(&disposition) ? "attachment" : (const char *)disposition.data);
        r->source = vp_source_ref(source);
        r->source_from = from;
        r->source_size = size;
    }
    vpi_tus_answer_done(r);
    vp_source_unref(source);
    vpi_tus_metadata_dispose(&m);
    vpi_buf_dispose(&disposition);
}
