/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bitstream/bits_int.h"

/*
 * Closed captions that lie in the pictures: cc_data of ATSC A/53 part 4, 6.2.3, carried in a user data SEI message
 * (H.264 and HEVC) or in picture user data (MPEG-2).
 */

#define SEI_T35 4u          /* user_data_registered_itu_t_t35 (H.264 D.1.6) */
#define HEAD_MAX 2048u      /* of the unescaped SEI: cc_data has at most 31 triplets */
#define MPEG_USER_DATA 0xB2 /* ISO/IEC 13818-2 6.2.2.2 */

/* cc_data with something to show: not only the null pairs that a camera or a multiplexer fills up with. */
static bool cc_data(const uint8_t *p, size_t size)
{
    size_t count;

    if (size < 7 || memcmp(p, "GA94\x03", 5) != 0 || !(p[5] & 0x40)) return false;
    count = p[5] & 31u;
    for (size_t i = 0; i < count && 7 + 3 * (i + 1) <= size; i++) {
        const uint8_t *t = p + 7 + 3 * i;
        bool line21 = (t[0] & 3) < 2; /* CEA-608: 7 bits and parity */

        if (!(t[0] & 4)) continue;
        if (line21 ? (t[1] & 0x7F) || (t[2] & 0x7F) : t[1] || t[2]) return true;
    }
    return false;
}

/* In the messages of an unescaped SEI behind its NAL header. */
static bool sei_messages(const uint8_t *p, size_t size)
{
    size_t at = 0;
    vpi_sei sei;

    while (vpi_sei_next(p, size, &at, &sei)) {
        /* United States, ATSC */
        if (sei.type == SEI_T35 && sei.size > 3 && sei.data[0] == 0xB5 && sei.data[1] == 0 &&
            sei.data[2] == 0x31 && cc_data(sei.data + 3, sei.size - 3)) {
            return true;
        }
    }
    return false;
}

/* 1 captions, 0 none in this NAL, -1 a picture begins: what matters comes before it */
static int in_nal(const vpi_nal *nal, bool hevc)
{
    uint8_t head[HEAD_MAX];
    unsigned type, header = hevc ? 2 : 1;
    size_t size;

    if (nal->size <= header) return 0;
    type = hevc ? (nal->data[0] >> 1) & 63u : vpi_h264_type(nal);
    if (hevc ? type < 32 : type >= VPI_H264_SLICE && type <= VPI_H264_IDR) return -1;
    if (hevc ? type != VPI_HEVC_SEI : type != VPI_H264_SEI) return 0;
    size = vpi_nal_unescape_head(nal, head, sizeof(head));
    return size > header && sei_messages(head + header, size - header);
}

bool vpi_captions_h26x(const uint8_t *data, size_t size, unsigned length_size, bool hevc)
{
    size_t at = 0;
    vpi_nal nal;
    bool bad = false;
    int found = 0;

    while (found == 0) {
        if (length_size ? !vpi_avcc_next(data, size, length_size, &at, &nal, &bad)
                        : !vpi_annexb_next(data, size, &at, &nal)) {
            break;
        }
        found = in_nal(&nal, hevc);
    }
    return found == 1;
}

bool vpi_captions_mpeg2(const uint8_t *data, size_t size)
{
    size_t at = 0;
    vpi_nal unit; /* start codes are those of Annex B */

    while (vpi_annexb_next(data, size, &at, &unit)) {
        if (unit.data[0] >= 0x01 && unit.data[0] <= 0xAF) return false; /* slices */
        if (unit.data[0] == MPEG_USER_DATA && cc_data(unit.data + 1, unit.size - 1)) return true;
    }
    return false;
}
