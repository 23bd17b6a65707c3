/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VPI_CRYPT_CPIX_INT_H
#define VPI_CRYPT_CPIX_INT_H

/*
 * What the files of the CPIX reader share. where: the element, for messages ("ContentKey[2]"). All refuse KEY_INVALID.
 */

#include "crypt/key_int.h"
#include "crypt/xml_int.h"

#define VPI_CPIX_WHERE 64

/*
 * cpix.c. Base64 with the blanks that XML allows, at most max bytes; *out is empty before, and is filled in one
 * piece of memory. Wipe it where it is a secret.
 */
vp_status vpi_cpix_base64(const char *text, size_t size, size_t max, const char *where, const char *name,
                          vpi_buf *out, vp_error *err);
void vpi_cpix_wipe(vpi_buf *b); /* zeroises and empties */
/* A UUID in an attribute. */
vp_status vpi_cpix_uuid(const vpi_xml_node *n, const char *where, const char *name, uint8_t to[16],
                        vp_error *err);
/* A whole number in an attribute; *out is left alone where there is none. */
vp_status vpi_cpix_number(const vpi_xml_node *n, const char *where, const char *name, uint64_t max,
                          uint64_t *out, vp_error *err);

/* cpix_keys.c: content keys in the clear, or encrypted under a document key, that in turn to a recipient. */
typedef struct vpi_cpix_secrets vpi_cpix_secrets;
/* deliveries: the DeliveryDataList, NULL: none. Borrows the tree. */
vp_status vpi_cpix_secrets_open(const vpi_xml_node *deliveries, const void *private_key,
                                size_t private_key_size, const char *passphrase, vpi_cpix_secrets **out,
                                vp_error *err);
void vpi_cpix_secrets_free(vpi_cpix_secrets *s); /* accepts NULL */
vp_status vpi_cpix_secrets_key(const vpi_cpix_secrets *s, const vpi_xml_node *content_key, const char *where,
                               const uint8_t kid[16], uint8_t key[16], vp_error *err);

/* cpix_drm.c: one DRMSystem element, added to what is told of its key. */
vp_status vpi_cpix_drm(const vpi_xml_node *n, const char *where, vpi_key_info *k, vp_error *err);

/* cpix_rules.c: labels and periods. keys: all of the document; by_kid: these, sorted. */
vp_status vpi_cpix_rules(const vpi_xml_node *root, const vpi_key_list *keys, vpi_key *const *by_kid,
                         vpi_key_list *out, vp_error *err);
vpi_key *vpi_cpix_find(vpi_key *const *by_kid, size_t count, const uint8_t kid[16]); /* NULL: none */

#endif
