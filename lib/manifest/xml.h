/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VPI_MANIFEST_XML_H
#define VPI_MANIFEST_XML_H

#include "base/buf.h"

/* A small XML 1.0 writer: elements, attributes, text; two spaces of indent. Failures stay in the buffer. */

#define VPI_XML_DEPTH 16

typedef struct vpi_xml {
    vpi_buf *out;
    const char *stack[VPI_XML_DEPTH];
    unsigned depth;
    bool tag_open; /* attributes may follow */
    bool has_text; /* the current element holds text, not elements */
} vpi_xml;

void vpi_xml_begin(vpi_xml *x, vpi_buf *out);    /* writes the declaration */
void vpi_xml_open(vpi_xml *x, const char *name); /* name: static text */
void vpi_xml_attr(vpi_xml *x, const char *name, const char *value);
/* printf-like value, integers and strings that need no escaping only. */
void vpi_xml_attrf(vpi_xml *x, const char *name, const char *format, ...) VPI_PRINTF(3, 4);
void vpi_xml_text(vpi_xml *x, const char *text);
void vpi_xml_close(vpi_xml *x);

#endif
