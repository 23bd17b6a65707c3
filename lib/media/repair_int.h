/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VPI_MEDIA_REPAIR_INT_H
#define VPI_MEDIA_REPAIR_INT_H

/* Jumps of a file's clock: found in a scan, applied by every reader. See repair.c. Knows nothing of libav*. */

#include "base/common.h"
#include "model/media.h"

typedef struct vpi_repairer vpi_repairer;
typedef struct vpi_repair_packet {
    int32_t stream; /* below the number of streams */
    bool has_pts, has_dts;
    int64_t pts, dts,
        duration; /* ticks of tb as the file tells them; duration of what is shown, 0: unknown */
    vpi_rational tb;
    int64_t position; /* byte in the file; -1: that of the stream's packet before */
} vpi_repair_packet;

/*
 * jumps_forward: the format's clock may begin anywhere and jump, 10 s without any packet are not a long picture. exact:
 * times count samples and pictures, they never run back within a recording. NULL on no memory.
 */
vpi_repairer *vpi_repairer_new(size_t streams, bool jumps_forward, bool exact);
vpi_repairer *vpi_repairer_free(vpi_repairer *repairer); /* NULL is allowed; returns NULL */
/* Packets of picture and sound in file order; *shift is taken off this one's times. False on no memory. */
bool vpi_repairer_see(vpi_repairer *repairer, const vpi_repair_packet *packet, int64_t *shift);
/*
 * After the last packet, once: jumps found, the list (the caller's, vpi_free), and of the first jump the continuous
 * time where it lies and how far it went.
 */
uint64_t vpi_repairer_result(vpi_repairer *repairer, vpi_repair **list, size_t *count, int64_t *at_us,
                             int64_t *by_us);

/* 1/90000 s to take off the times of a packet at that byte. */
int64_t vpi_repair_shift(const vpi_repair *list, size_t count, int64_t position);
int64_t vpi_repair_ticks(int64_t shift, vpi_rational tb); /* the same in ticks of tb */

#endif
