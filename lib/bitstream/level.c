/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bitstream/bitstream.h"

#define MAX_DPB_FRAMES 16u /* A.3.1 h */

/* ITU-T H.264 table A-1. Level 1b is left out: it needs a constraint flag and saves nothing here. */
static const struct level_limits {
    uint8_t idc;
    uint32_t mbs_per_second, frame_mbs, dpb_mbs, rate, cpb;
} levels[] = {
    { 10, 1485, 99, 396, 64, 175 },
    { 11, 3000, 396, 900, 192, 500 },
    { 12, 6000, 396, 2376, 384, 1000 },
    { 13, 11880, 396, 2376, 768, 2000 },
    { 20, 11880, 396, 2376, 2000, 2000 },
    { 21, 19800, 792, 4752, 4000, 4000 },
    { 22, 20250, 1620, 8100, 4000, 4000 },
    { 30, 40500, 1620, 8100, 10000, 10000 },
    { 31, 108000, 3600, 18000, 14000, 14000 },
    { 32, 216000, 5120, 20480, 20000, 20000 },
    { 40, 245760, 8192, 32768, 20000, 25000 },
    { 41, 245760, 8192, 32768, 50000, 62500 },
    { 42, 522240, 8704, 34816, 50000, 62500 },
    { 50, 589824, 22080, 110400, 135000, 135000 },
    { 51, 983040, 36864, 184320, 240000, 240000 },
    { 52, 2073600, 36864, 184320, 240000, 240000 },
    { 60, 4177920, 139264, 696320, 240000, 240000 },
    { 61, 8355840, 139264, 696320, 480000, 480000 },
    { 62, 16711680, 139264, 696320, 800000, 800000 },
};

/* mbs * num / den <= limit, exactly. */
static bool rate_fits(uint64_t mbs, vpi_rational rate, uint64_t limit)
{
    uint64_t needed, allowed;
    if (rate.num <= 0 || rate.den <= 0) return true; /* unknown: no demand */
    if (!vpi_mul_u64(mbs, (uint64_t)rate.num, &needed)) return false;
    if (!vpi_mul_u64(limit, (uint64_t)rate.den, &allowed)) return true;
    return needed <= allowed;
}

unsigned vpi_h264_level(uint32_t width, uint32_t height, vpi_rational frame_rate, uint32_t maxrate_kbps,
                        uint32_t bufsize_kbit, uint32_t ref_frames, bool high_profile)
{
    uint64_t w = ((uint64_t)width + 15) / 16, h = ((uint64_t)height + 15) / 16;
    uint64_t mbs = w * h;
    /* MaxBR and MaxCPB count units of cpbBrVclFactor bits (table A-2): 1250 for High, else 1000. */
    uint64_t factor = high_profile ? 1250 : 1000;
    if (mbs == 0 || ref_frames > MAX_DPB_FRAMES) return 0;
    for (size_t i = 0; i < VPI_COUNT(levels); i++) {
        const struct level_limits *l = &levels[i];
        /* A.3.1 f, g: neither side is over Sqrt(MaxFS * 8) */
        if (mbs > l->frame_mbs || w * w > l->frame_mbs * 8u || h * h > l->frame_mbs * 8u) continue;
        if (!rate_fits(mbs, frame_rate, l->mbs_per_second)) continue;
        if (mbs * ref_frames > l->dpb_mbs) continue;
        if (maxrate_kbps * UINT64_C(1000) > l->rate * factor) continue;
        if (bufsize_kbit * UINT64_C(1000) > l->cpb * factor) continue;
        return l->idc;
    }
    return 0;
}
