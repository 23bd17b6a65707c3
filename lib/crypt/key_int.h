/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VPI_CRYPT_KEY_INT_H
#define VPI_CRYPT_KEY_INT_H

/* What readers of key documents share (key_list.c). where and name make the path in messages: "drm[1]", "pssh". */

#include "crypt/crypt_int.h"

#define VPI_KEY_URI_MAX ((size_t)2048)
#define VPI_KEY_PSSH_MAX ((size_t)64 << 10)

/* Printable ASCII without a quote, so that a playlist can hold it (RFC 8216 4.2); KEY_INVALID. */
vp_status vpi_key_uri_check(const char *uri, size_t size, const char *where, const char *name, vp_error *err);
/* By name or UUID. FairPlay has two ids; both become vpi_system_fairplay. */
bool vpi_key_system_parse(const char *text, uint8_t system[16]);
/* A whole box of d->system; takes the memory of *box, also on failure. KEY_INVALID. */
vp_status vpi_key_pssh_set(vpi_drm *d, vpi_buf *box, const char *where, vp_error *err);
/* Of the same KID there is one key only; KEY_INVALID. */
vp_status vpi_key_list_check(const vpi_key_list *list, vp_error *err);

#endif
