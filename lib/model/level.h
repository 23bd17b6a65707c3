/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VPI_MODEL_LEVEL_H
#define VPI_MODEL_LEVEL_H

#include "base/common.h"

/*
 * Smallest H.264 level_idc (31 for 3.1) for which these fit by ITU-T H.264 table A-1; 0 when none does.
 * A door to the bitstream folder for those that see the model only.
 */
unsigned vpi_model_h264_level(uint32_t width, uint32_t height, vpi_rational frame_rate, uint32_t maxrate_kbps,
                              uint32_t bufsize_kbit, uint32_t ref_frames, bool high_profile);

#endif
