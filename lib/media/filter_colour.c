/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "media/filter_int.h"

/* From this size on untagged pictures are taken as BT.709, below as BT.601 (as players do). */
#define HD_SHORT_SIDE 720u
#define HD_LONG_SIDE 1280u
/* Lines of the 625-line systems and of half of them: BT.601 has two sets of primaries. */
#define LINES_625 576u

static bool known_primaries(uint8_t v)
{
    return v == AVCOL_PRI_BT709 || (v >= AVCOL_PRI_BT470M && v <= AVCOL_PRI_SMPTE432) ||
           v == AVCOL_PRI_EBU3213;
}

static bool known_transfer(uint8_t v)
{
    return v == AVCOL_TRC_BT709 || (v >= AVCOL_TRC_GAMMA22 && v <= AVCOL_TRC_BT2020_12) ||
           v == AVCOL_TRC_SMPTE428;
}

/* Not 0: RGB becomes YCbCr. */
static bool known_matrix(uint8_t v)
{
    return v == AVCOL_SPC_BT709 || (v >= AVCOL_SPC_FCC && v <= AVCOL_SPC_ICTCP);
}

static bool is_601(uint8_t v)
{
    return v == AVCOL_SPC_BT470BG || v == AVCOL_SPC_SMPTE170M;
}

void vpi_video_colour_for(const vpi_track *track, vpi_video_colour *out)
{
    uint32_t width = track->display_width ? track->display_width : track->width;
    uint32_t height = track->display_height ? track->display_height : track->height;
    bool hd = VPI_MIN(width, height) >= HD_SHORT_SIDE || VPI_MAX(width, height) >= HD_LONG_SIDE;
    bool lines_625 = track->height == LINES_625 || track->height == LINES_625 / 2;
    vpi_video_colour c = { track->cicp_primaries, track->cicp_transfer, track->cicp_matrix };
    bool primaries = known_primaries(c.primaries), matrix = known_matrix(c.matrix);

    *out = (vpi_video_colour){ AVCOL_PRI_BT709, AVCOL_TRC_BT709, AVCOL_SPC_BT709 };
    if (vpi_filter_is_hdr(c.transfer) || vpi_streq(track->hdr, "pq") || vpi_streq(track->hdr, "hlg")) return;
    /* What is missing follows from what is there. */
    if (!matrix) {
        c.matrix = primaries && is_601(c.primaries)               ? AVCOL_SPC_SMPTE170M
                   : primaries && c.primaries == AVCOL_PRI_BT2020 ? AVCOL_SPC_BT2020_NCL
                   : primaries && c.primaries == AVCOL_PRI_BT709  ? AVCOL_SPC_BT709
                   : hd                                           ? AVCOL_SPC_BT709
                   : lines_625                                    ? AVCOL_SPC_BT470BG
                                                                  : AVCOL_SPC_SMPTE170M;
    }
    if (!primaries) {
        c.primaries = c.matrix == AVCOL_SPC_BT470BG      ? AVCOL_PRI_BT470BG
                      : is_601(c.matrix)                 ? AVCOL_PRI_SMPTE170M
                      : c.matrix == AVCOL_SPC_BT2020_NCL ? AVCOL_PRI_BT2020
                                                         : AVCOL_PRI_BT709;
    }
    if (!known_transfer(c.transfer)) c.transfer = is_601(c.matrix) ? AVCOL_TRC_SMPTE170M : AVCOL_TRC_BT709;
    *out = c;
}
