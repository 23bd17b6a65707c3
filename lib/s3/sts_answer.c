/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Answers of STS: XML with credentials, or with a code. All memory, expat's too, is wiped when it is given back. */

#include <expat.h>

#include "base/secret.h"
#include "credentials.h"

#define DEPTH_MAX 16

/* ---- elements ---- */

enum { ACCESS_KEY, SECRET_KEY, TOKEN, EXPIRATION, CODE, FIELDS };

typedef struct reader {
    XML_Parser parser;
    unsigned depth;
    unsigned in; /* depth of Credentials or Error; 0: outside */
    int field;   /* whose text comes; FIELDS: none */
    char *text;  /* room for all of the document's */
    size_t size;
    char *found[FIELDS];
    bool refused, no_memory;
} reader;

static void stop(reader *r)
{
    r->refused = true;
    XML_StopParser(r->parser, XML_FALSE);
}

static void XMLCALL opened(void *user, const XML_Char *name, const XML_Char **attributes)
{
    static const char *const names[FIELDS] = { "AccessKeyId", "SecretAccessKey", "SessionToken", "Expiration",
                                               "Code" };
    reader *r = user;

    (void)attributes;
    if (++r->depth > DEPTH_MAX) {
        stop(r);
        return;
    }
    r->field = FIELDS;
    if (!r->in && (strcmp(name, "Credentials") == 0 || strcmp(name, "Error") == 0)) r->in = r->depth;
    if (!r->in || r->depth != r->in + 1) return;
    r->field = 0;
    while (r->field < FIELDS && strcmp(name, names[r->field]) != 0) r->field++;
    r->size = 0;
}

static void XMLCALL closed(void *user, const XML_Char *name)
{
    reader *r = user;

    (void)name;
    if (r->field < FIELDS && r->depth == r->in + 1) {
        vpi_s3_text_free(r->found[r->field]);
        r->found[r->field] = vpi_strndup(r->text, r->size);
        if (!r->found[r->field]) {
            r->no_memory = true;
            XML_StopParser(r->parser, XML_FALSE);
        }
    }
    r->field = FIELDS;
    if (r->depth-- == r->in) r->in = 0;
}

static void XMLCALL characters(void *user, const XML_Char *text, int size)
{
    reader *r = user;

    if (r->field == FIELDS) return;
    /* fits: there are no entities but the five, which are shorter than what stands for them */
    memcpy(r->text + r->size, text, (size_t)size);
    r->size += (size_t)size;
}

static void XMLCALL doctype(void *user, const XML_Char *name, const XML_Char *system,
                            const XML_Char *public_id, int subset)
{
    (void)name, (void)system, (void)public_id, (void)subset;
    stop(user);
}

static vp_status parse(reader *r, const void *xml, size_t size, vp_error *err)
{
    XML_SetUserData(r->parser, r);
    XML_SetElementHandler(r->parser, opened, closed);
    XML_SetCharacterDataHandler(r->parser, characters);
    XML_SetStartDoctypeDeclHandler(r->parser, doctype);
    if (XML_Parse(r->parser, xml, (int)size, XML_TRUE) == XML_STATUS_OK && !r->refused && !r->no_memory)
        return VP_OK;
    if (r->no_memory || vpi_secret_failed || XML_GetErrorCode(r->parser) == XML_ERROR_NO_MEMORY)
        return vpi_fail_nomem(err);
    return vpi_fail(err, VP_E_DATA, NULL, "not XML as STS sends it");
}

static vp_status take(const reader *r, vpi_s3_secret *out, char code[64], vp_error *err)
{
    const char *c = r->found[CODE];

    if (c) {
        size_t n = strspn(c, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789");

        /* a code of AWS; what else a server calls one is not repeated */
        vpi_strlcpy(code, n > 0 && n < 64 && !c[n] ? c : "unknown", 64);
        return VP_OK;
    }
    if (!r->found[ACCESS_KEY] || !r->found[SECRET_KEY])
        return vpi_fail(err, VP_E_DATA, NULL, "no credentials in it");
    return vpi_s3_secret_make(out, r->found[ACCESS_KEY], r->found[SECRET_KEY], r->found[TOKEN],
                              r->found[EXPIRATION], err);
}

vp_status vpi_s3_sts_answer(const void *xml, size_t size, vpi_s3_secret *out, char code[64], vp_error *err)
{
    static const XML_Memory_Handling_Suite memory = { vpi_secret_alloc, vpi_secret_realloc, vpi_secret_free };
    reader r = { .field = FIELDS };
    vp_status st;

    code[0] = 0;
    if (!size) return vpi_fail(err, VP_E_DATA, NULL, "empty");
    if (size > VPI_S3_FILE_MAX) return vpi_fail(err, VP_E_LIMIT, "INPUT_LIMIT", "too long");
    vpi_secret_failed = false;
    /* UTF-8 is at most twice as long as what it is read from */
    r.text = vpi_secret_alloc(size * 2);
    r.parser = r.text ? XML_ParserCreate_MM(NULL, &memory, NULL) : NULL;
    st = r.parser ? parse(&r, xml, size, err) : vpi_fail_nomem(err);
    if (r.parser) XML_ParserFree(r.parser);
    if (st >= 0) st = take(&r, out, code, err);
    for (int i = 0; i < FIELDS; i++) vpi_s3_text_free(r.found[i]);
    vpi_secret_free(r.text);
    return st;
}
