/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bitstream/bitstream.h"
#include "model/level.h"

unsigned vpi_model_h264_level(uint32_t width, uint32_t height, vpi_rational frame_rate, uint32_t maxrate_kbps,
                              uint32_t bufsize_kbit, uint32_t ref_frames, bool high_profile)
{
    return vpi_h264_level(width, height, frame_rate, maxrate_kbps, bufsize_kbit, ref_frames, high_profile);
}
