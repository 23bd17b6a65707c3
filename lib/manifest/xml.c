/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdarg.h>
#include <stdio.h>

#include "manifest/xml.h"
#include "model/utf8.h"

#define VALUE_SIZE 256

static void escape(vpi_buf *b, const char *text)
{
    const uint8_t *s = (const uint8_t *)text;

    while (*s) {
        size_t n = vpi_utf8_sequence(s);

        /* Control characters and U+FFFE, U+FFFF are no characters of XML 1.0 (2.2). */
        if (n == 0 || *s < 0x20 || (n == 3 && s[0] == 0xEF && s[1] == 0xBF && s[2] >= 0xBE)) {
            vpi_buf_str(b, VPI_UTF8_REPLACEMENT);
            s += n ? n : 1;
            continue;
        }
        if (*s == '&') {
            vpi_buf_str(b, "&amp;");
        } else if (*s == '<') {
            vpi_buf_str(b, "&lt;");
        } else if (*s == '>') {
            vpi_buf_str(b, "&gt;");
        } else if (*s == '"') {
            vpi_buf_str(b, "&quot;");
        } else {
            vpi_buf_add(b, s, n);
        }
        s += n;
    }
}

static void indent(vpi_xml *x)
{
    unsigned i;

    vpi_buf_u8(x->out, '\n');
    for (i = 0; i < x->depth; i++) vpi_buf_str(x->out, "  ");
}

void vpi_xml_begin(vpi_xml *x, vpi_buf *out)
{
    memset(x, 0, sizeof(*x));
    x->out = out;
    vpi_buf_str(out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>");
}

static void end_tag(vpi_xml *x)
{
    if (x->tag_open) vpi_buf_u8(x->out, '>');
    x->tag_open = false;
}

void vpi_xml_open(vpi_xml *x, const char *name)
{
    if (x->depth == VPI_XML_DEPTH) {
        x->out->failed = true;
        return;
    }
    end_tag(x);
    indent(x);
    vpi_buf_u8(x->out, '<');
    vpi_buf_str(x->out, name);
    x->stack[x->depth++] = name;
    x->tag_open = true;
    x->has_text = false;
}

void vpi_xml_attr(vpi_xml *x, const char *name, const char *value)
{
    vpi_buf_u8(x->out, ' ');
    vpi_buf_str(x->out, name);
    vpi_buf_str(x->out, "=\"");
    escape(x->out, value);
    vpi_buf_u8(x->out, '"');
}

void vpi_xml_attrf(vpi_xml *x, const char *name, const char *format, ...)
{
    char value[VALUE_SIZE];
    va_list args;
    int n;

    va_start(args, format);
    n = vsnprintf(value, sizeof(value), format, args);
    va_end(args);
    if (n < 0 || n >= VALUE_SIZE) {
        x->out->failed = true;
        return;
    }
    vpi_xml_attr(x, name, value);
}

void vpi_xml_text(vpi_xml *x, const char *text)
{
    end_tag(x);
    escape(x->out, text);
    x->has_text = true;
}

void vpi_xml_close(vpi_xml *x)
{
    const char *name;

    if (x->depth == 0) return;
    name = x->stack[--x->depth];
    if (x->tag_open) {
        vpi_buf_str(x->out, "/>");
    } else {
        if (!x->has_text) indent(x);
        vpi_buf_str(x->out, "</");
        vpi_buf_str(x->out, name);
        vpi_buf_u8(x->out, '>');
    }
    x->tag_open = x->has_text = false;
    if (x->depth == 0) vpi_buf_u8(x->out, '\n');
}
