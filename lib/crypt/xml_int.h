/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VPI_CRYPT_XML_INT_H
#define VPI_CRYPT_XML_INT_H

/*
 * XML as a tree, for documents that may hold secrets: all memory, that of expat too, is zeroised when it is given back.
 * No DTD, so no entities but the five; depth, elements and attributes are bounded.
 */

#include "base/common.h"
#include "base/error.h"

typedef struct vpi_xml_node {
    const char *space, *name;      /* namespace ("" for none) and local name */
    const char *const *attributes; /* name, value, name, value, ..., NULL; without those of a namespace */
    const char *text;              /* of an element without children, no blanks around; "" else */
    size_t text_size;
    struct vpi_xml_node *parent, *first, *last, *next;
} vpi_xml_node;

typedef struct vpi_xml vpi_xml;
/* encoding NULL: as the document says. DATA INPUT_CORRUPT with the line, never with text of the document. */
vp_status vpi_xml_parse(const void *data, size_t size, const char *encoding, vpi_xml **out, vp_error *err);
void vpi_xml_free(vpi_xml *xml); /* accepts NULL */
const vpi_xml_node *vpi_xml_root(const vpi_xml *xml);
/* First child of that local name; NULL: none, or node NULL. */
const vpi_xml_node *vpi_xml_child(const vpi_xml_node *node, const char *name);
/* "A/B/C": by vpi_xml_child. */
const vpi_xml_node *vpi_xml_path(const vpi_xml_node *node, const char *path);
const char *vpi_xml_attribute(const vpi_xml_node *node, const char *name); /* NULL: none */
/* The node behind in document order, inside root; NULL: no more. */
const vpi_xml_node *vpi_xml_walk(const vpi_xml_node *root, const vpi_xml_node *node);

#endif
