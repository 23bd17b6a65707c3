/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <expat.h>

#include "base/secret.h"
#include "crypt/xml_int.h"

#define MAX_XML ((size_t)4 << 20)
#define MAX_DEPTH 32
#define MAX_NODES ((size_t)1 << 18)
#define MAX_ATTRIBUTES 64
#define CHUNK ((size_t)16 << 10)
#define BETWEEN '\n' /* of namespace and name; none of them can hold it */

/* ---- tree ---- */

typedef struct chunk {
    struct chunk *next;
    size_t used, size;
    max_align_t data[];
} chunk;

struct vpi_xml {
    chunk *chunks;
    vpi_xml_node *root;
    /* while it is read */
    XML_Parser parser;
    vpi_xml_node *at;
    size_t nodes, depth;
    char *text; /* of the element being read */
    size_t text_size, text_room;
    const char *refused; /* why the parser was stopped */
    bool no_memory;
};

static void *take(vpi_xml *x, size_t size)
{
    chunk *c = x->chunks;
    uint8_t *p;

    size = (size + sizeof(max_align_t) - 1) / sizeof(max_align_t) * sizeof(max_align_t);
    if (!c || c->size - c->used < size) {
        size_t room = VPI_MAX(size, CHUNK);

        c = vpi_secret_alloc(sizeof(*c) + room);
        if (!c) {
            x->no_memory = true;
            XML_StopParser(x->parser, XML_FALSE);
            return NULL;
        }
        *c = (chunk){ .next = x->chunks, .size = room };
        x->chunks = c;
    }
    p = (uint8_t *)c->data + c->used;
    c->used += size;
    return p;
}

static const char *take_text(vpi_xml *x, const char *text, size_t size)
{
    char *copy = take(x, size + 1);

    if (!copy) return NULL;
    memcpy(copy, text, size);
    copy[size] = 0;
    return copy;
}

static void stop(vpi_xml *x, const char *why)
{
    x->refused = why;
    XML_StopParser(x->parser, XML_FALSE);
}

static bool take_attributes(vpi_xml *x, vpi_xml_node *n, const char **from)
{
    const char **to;
    size_t count = 0, k = 0;

    while (from[count]) count += 2;
    if (count > (size_t)MAX_ATTRIBUTES * 2) {
        stop(x, "too many attributes");
        return false;
    }
    to = take(x, (count + 1) * sizeof(*to));
    if (!to) return false;
    for (size_t i = 0; i < count; i += 2) {
        if (strchr(from[i], BETWEEN)) continue;
        to[k] = take_text(x, from[i], strlen(from[i]));
        to[k + 1] = to[k] ? take_text(x, from[i + 1], strlen(from[i + 1])) : NULL;
        if (!to[k + 1]) return false;
        k += 2;
    }
    to[k] = NULL;
    n->attributes = to;
    return true;
}

static void XMLCALL opened(void *user, const char *name, const char **attributes)
{
    vpi_xml *x = user;
    const char *local = strrchr(name, BETWEEN);
    vpi_xml_node *n;

    if (x->no_memory || x->refused) return;
    if (++x->depth > MAX_DEPTH || ++x->nodes > MAX_NODES) {
        stop(x, "too deep, or too many elements");
        return;
    }
    n = take(x, sizeof(*n));
    if (!n) return;
    *n = (vpi_xml_node){ .parent = x->at, .text = "" };
    n->space = local ? take_text(x, name, (size_t)(local - name)) : "";
    local = local ? local + 1 : name;
    n->name = n->space ? take_text(x, local, strlen(local)) : NULL;
    if (!n->name || !take_attributes(x, n, attributes)) return;
    if (!x->at) {
        x->root = n;
    } else {
        if (x->at->last) x->at->last->next = n;
        if (!x->at->first) x->at->first = n;
        x->at->last = n;
    }
    x->at = n;
    x->text_size = 0;
}

static bool blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static void XMLCALL closed(void *user, const char *name)
{
    vpi_xml *x = user;
    vpi_xml_node *n = x->at;
    size_t from = 0, to = x->text_size;

    (void)name;
    if (x->no_memory || x->refused) return;
    if (!n->first) {
        while (from < to && blank(x->text[from])) from++;
        while (to > from && blank(x->text[to - 1])) to--;
        n->text = take_text(x, x->text + from, to - from);
        if (!n->text) return;
        n->text_size = to - from;
    }
    x->text_size = 0;
    x->at = n->parent;
    x->depth--;
}

static void XMLCALL characters(void *user, const char *text, int size)
{
    vpi_xml *x = user;

    if (x->no_memory || x->refused) return;
    if ((size_t)size > x->text_room - x->text_size) {
        stop(x, "too much text");
        return;
    }
    memcpy(x->text + x->text_size, text, (size_t)size);
    x->text_size += (size_t)size;
}

static void XMLCALL doctype(void *user, const char *name, const char *system, const char *public, int subset)
{
    (void)name;
    (void)system;
    (void)public;
    (void)subset;
    stop(user, "it has a document type");
}

static vp_status read_all(vpi_xml *x, const void *data, size_t size, vp_error *err)
{
    unsigned long line;
    enum XML_Error code;

    XML_SetUserData(x->parser, x);
    XML_SetElementHandler(x->parser, opened, closed);
    XML_SetCharacterDataHandler(x->parser, characters);
    XML_SetStartDoctypeDeclHandler(x->parser, doctype);
    if (XML_Parse(x->parser, data, (int)size, XML_TRUE) == XML_STATUS_OK && x->root) return VP_OK;
    code = XML_GetErrorCode(x->parser);
    line = (unsigned long)XML_GetCurrentLineNumber(x->parser);
    if (vpi_secret_failed || code == XML_ERROR_NO_MEMORY) return vpi_fail_nomem(err);
    return vpi_fail(err, VP_E_DATA, "INPUT_CORRUPT", "XML, line %lu: %s", line,
                    x->refused ? x->refused : XML_ErrorString(code));
}

vp_status vpi_xml_parse(const void *data, size_t size, const char *encoding, vpi_xml **out, vp_error *err)
{
    static const XML_Memory_Handling_Suite memory = { vpi_secret_alloc, vpi_secret_realloc, vpi_secret_free };
    static const char between[] = { BETWEEN, 0 };
    vpi_xml *x;
    vp_status st;

    *out = NULL;
    if (!data || size == 0) return vpi_fail(err, VP_E_DATA, "INPUT_CORRUPT", "XML: empty");
    if (size > MAX_XML)
        return vpi_fail(err, VP_E_DATA, "INPUT_CORRUPT", "XML: larger than %zu bytes", MAX_XML);
    x = vpi_calloc(1, sizeof(*x));
    if (!x) return vpi_fail_nomem(err);
    vpi_secret_failed = false;
    /* UTF-8 of one element's text is at most twice as long as the document, whatever that is written in. */
    x->text_room = size * 2;
    x->text = vpi_secret_alloc(x->text_room);
    x->parser = x->text ? XML_ParserCreate_MM(encoding, &memory, between) : NULL;
    st = x->parser ? read_all(x, data, size, err) : vpi_fail_nomem(err);
    if (x->parser) XML_ParserFree(x->parser);
    vpi_secret_free(x->text);
    x->parser = NULL;
    x->text = NULL;
    if (st != VP_OK) {
        vpi_xml_free(x);
        return st;
    }
    *out = x;
    return VP_OK;
}

void vpi_xml_free(vpi_xml *xml)
{
    if (!xml) return;
    while (xml->chunks) {
        chunk *next = xml->chunks->next;

        vpi_secret_free(xml->chunks);
        xml->chunks = next;
    }
    vpi_free(xml);
}

/* ---- finding ---- */

const vpi_xml_node *vpi_xml_root(const vpi_xml *xml)
{
    return xml->root;
}

const vpi_xml_node *vpi_xml_child(const vpi_xml_node *node, const char *name)
{
    const vpi_xml_node *n = node ? node->first : NULL;

    while (n && strcmp(n->name, name) != 0) n = n->next;
    return n;
}

const vpi_xml_node *vpi_xml_path(const vpi_xml_node *node, const char *path)
{
    while (node && *path) {
        const char *end = path + strcspn(path, "/");
        size_t size = (size_t)(end - path);
        const vpi_xml_node *n = node->first;

        while (n && (strlen(n->name) != size || memcmp(n->name, path, size) != 0)) n = n->next;
        node = n;
        path = *end ? end + 1 : end;
    }
    return node;
}

const char *vpi_xml_attribute(const vpi_xml_node *node, const char *name)
{
    for (size_t i = 0; node->attributes[i]; i += 2) {
        if (strcmp(node->attributes[i], name) == 0) return node->attributes[i + 1];
    }
    return NULL;
}

const vpi_xml_node *vpi_xml_walk(const vpi_xml_node *root, const vpi_xml_node *node)
{
    if (node->first) return node->first;
    while (node != root && !node->next) node = node->parent;
    return node == root ? NULL : node->next;
}
