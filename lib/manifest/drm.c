/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "manifest/drm.h"

enum { BOX_HEADER = 8, FULL_HEADER = 4, SYSTEM = 16, COUNT = 4, KID = 16 };

bool vpi_drm_is(const vpi_drm *d, const uint8_t system[16])
{
    return memcmp(d->system, system, SYSTEM) == 0;
}

bool vpi_drm_payload(const vpi_drm *d, const uint8_t **data, size_t *size)
{
    size_t at = BOX_HEADER + FULL_HEADER + SYSTEM;
    uint32_t kids, n;

    if (!d->pssh || d->pssh_size < at + COUNT) return false;
    if (d->pssh[BOX_HEADER] > 0) { /* version 1 lists its KIDs */
        kids = vpi_rd32(d->pssh + at);
        if (kids > (d->pssh_size - at - COUNT) / KID) return false;
        at += COUNT + (size_t)kids * KID;
    }
    if (d->pssh_size - at < COUNT) return false;
    n = vpi_rd32(d->pssh + at);
    at += COUNT;
    if (n == 0 || n > d->pssh_size - at) return false;
    *data = d->pssh + at;
    *size = n;
    return true;
}

const vpi_key_info *vpi_first_key(const vpi_ptrack *t)
{
    return t->protection.scheme == VPI_SCHEME_NONE || t->protection.key_count == 0 ? NULL
                                                                                   : &t->protection.keys[0];
}

bool vpi_whole_segments(const vpi_ptrack *t)
{
    return t->protection.scheme == VPI_SCHEME_AES128;
}
