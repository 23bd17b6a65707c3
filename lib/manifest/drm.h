/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VPI_MANIFEST_DRM_H
#define VPI_MANIFEST_DRM_H

/* What both kinds of manifest tell of a key: system ids and ready-made pssh boxes, as text. */

#include "base/buf.h"
#include "model/presentation.h"

bool vpi_drm_is(const vpi_drm *d, const uint8_t system[16]);
/*
 * The bytes inside a pssh box (ISO/IEC 23001-7 8.1): of PlayReady a PlayReady Object. False where there is no box, or
 * it holds none.
 */
bool vpi_drm_payload(const vpi_drm *d, const uint8_t **data, size_t *size);
/* The key that a player needs first; NULL: the track is clear. */
const vpi_key_info *vpi_first_key(const vpi_ptrack *t);
/* Its segments are encrypted as a whole (RFC 8216 4.3.2.4): no part of them can be read. */
bool vpi_whole_segments(const vpi_ptrack *t);

#endif
