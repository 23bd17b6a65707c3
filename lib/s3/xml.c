/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Answers of the server, element by element. Hostile ones too: no document types, so no entities (S25). */

#include <expat.h>

#include "client.h"

enum { DEPTH_MAX = 16, PATH_ROOM = 512, TEXT_MAX = 8192 };

typedef struct reader {
    XML_Parser parser;
    vpi_s3_xml_fn on;
    void *user;
    char *root;
    vp_error *err;
    vp_status st;
    char path[PATH_ROOM];
    size_t length, ends[DEPTH_MAX];
    unsigned depth;
    vpi_buf text;
} reader;

static void end_with(reader *r, vp_status st)
{
    if (r->st == VP_OK) r->st = st;
    XML_StopParser(r->parser, XML_FALSE);
}

static void XMLCALL on_start(void *user, const XML_Char *name, const XML_Char **attributes)
{
    reader *r = user;
    size_t n = strlen(name);

    (void)attributes;
    if (r->depth == DEPTH_MAX || r->length + n + 2 > PATH_ROOM) {
        end_with(r, vpi_fail(r->err, VP_E_IO, "S3_ERROR", "the server's XML is too deep"));
        return;
    }
    if (r->depth == 0) vpi_strlcpy(r->root, name, 64);
    r->ends[r->depth++] = r->length;
    if (r->length) r->path[r->length++] = '/';
    memcpy(r->path + r->length, name, n + 1);
    r->length += n;
    vpi_buf_clear(&r->text);
}

static void XMLCALL on_text(void *user, const XML_Char *text, int size)
{
    reader *r = user;
    size_t room = TEXT_MAX - r->text.size;

    vpi_buf_add(&r->text, text, VPI_MIN(room, (size_t)size));
}

static void XMLCALL on_end(void *user, const XML_Char *name)
{
    reader *r = user;
    vp_status st = VP_OK;

    (void)name;
    if (r->st != VP_OK) return; /* expat tells the end of an empty element though its start stopped it */
    vpi_buf_u8(&r->text, 0);
    if (vpi_buf_failed(&r->text))
        st = vpi_fail_nomem(r->err);
    else if (r->on)
        st = r->on(r->user, r->path, (const char *)r->text.data, r->err);
    vpi_buf_clear(&r->text);
    r->length = r->ends[--r->depth];
    r->path[r->length] = 0;
    if (st != VP_OK) end_with(r, st);
}

static void XMLCALL on_doctype(void *user, const XML_Char *name, const XML_Char *system,
                               const XML_Char *public_id, int internal)
{
    reader *r = user;

    (void)name, (void)system, (void)public_id, (void)internal;
    end_with(r, vpi_fail(r->err, VP_E_IO, "S3_ERROR",
                         "the server answers with a document type, not with S3's XML"));
}

vp_status vpi_s3_xml(const void *data, size_t size, vpi_s3_xml_fn on, void *user, char root[64],
                     vp_error *err)
{
    const char *text = data;
    reader r = { .on = on, .user = user, .root = root, .err = err };
    enum XML_Status status;
    enum XML_Error why;

    root[0] = 0;
    /* White space keeps a connection alive while the server works, also before the declaration (S01). */
    while (size && (*text == ' ' || *text == '\n' || *text == '\r' || *text == '\t')) text++, size--;
    if (!size || size > INT32_MAX) return vpi_fail(err, VP_E_IO, "S3_ERROR", "the server's answer is empty");
    r.parser = XML_ParserCreate("UTF-8");
    if (!r.parser) return vpi_fail_nomem(err);
    XML_SetUserData(r.parser, &r);
    XML_SetElementHandler(r.parser, on_start, on_end);
    XML_SetCharacterDataHandler(r.parser, on_text);
    XML_SetStartDoctypeDeclHandler(r.parser, on_doctype);
    status = XML_Parse(r.parser, text, (int)size, 1);
    why = XML_GetErrorCode(r.parser);
    XML_ParserFree(r.parser);
    vpi_buf_dispose(&r.text);
    if (r.st != VP_OK) return r.st;
    if (status == XML_STATUS_OK) return VP_OK;
    if (why == XML_ERROR_NO_MEMORY) return vpi_fail_nomem(err);
    return vpi_fail(err, VP_E_IO, "S3_ERROR", "the server's answer is not XML: %s", XML_ErrorString(why));
}

void vpi_s3_xml_escape(vpi_buf *out, const char *text)
{
    for (const char *p = text; *p; p++) {
        unsigned char c = (unsigned char)*p;

        if (c == '&')
            vpi_buf_str(out, "&amp;");
        else if (c == '<')
            vpi_buf_str(out, "&lt;");
        else if (c == '>')
            vpi_buf_str(out, "&gt;");
        else if (c == '"')
            vpi_buf_str(out, "&quot;");
        else if (c < 0x20) /* of these XML 1.0 has only three, but S3 takes references */
            vpi_buf_printf(out, "&#%u;", c);
        else
            vpi_buf_u8(out, c);
    }
}
