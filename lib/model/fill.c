/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "model/fill.h"

vp_status vpi_fill_struct(void *to, const void *from, size_t size, vp_error *err)
{
    uint32_t room;

    if (!to) return vpi_fail(err, VP_E_ARG, NULL, "no struct to fill");
    memcpy(&room, to, sizeof(room));
    if (room < sizeof(room)) return vpi_fail(err, VP_E_ARG, NULL, "struct_size is not set");
    size = VPI_MIN(size, (size_t)room);
    memcpy((uint8_t *)to + sizeof(room), (const uint8_t *)from + sizeof(room), size - sizeof(room));
    return VP_OK;
}
