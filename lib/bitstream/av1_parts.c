/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Parts of frame headers: tile_info, global motion, film grain (AV1 bitstream 5.9.15, 5.9.24, 5.9.30). */
#include "bitstream/av1_int.h"

#define MAX_TILE_WIDTH 4096u
#define MAX_TILE_AREA (4096u * 2304u)

/* ns(n), 4.10.7; n over 0 */
static uint32_t read_ns(vpi_bits *b, uint32_t n)
{
    unsigned bits = 0;
    while (bits < 32 && n >> bits) bits++;
    uint64_t more = (UINT64_C(1) << bits) - n;
    uint32_t value = vpi_bits_read(b, bits - 1);
    return value < more ? value : (uint32_t)(((uint64_t)value << 1) - more + vpi_bits_read(b, 1));
}

/* ---- tiles ---- */

static unsigned tile_log2(uint32_t block, uint32_t target)
{
    unsigned k = 0;
    while ((uint64_t)block << k < target) k++;
    return k;
}

/* Tiles of one size: increments over the least power of two; how many there are. */
static uint32_t read_uniform(vpi_bits *b, uint32_t blocks, unsigned least, unsigned most, unsigned *log2)
{
    *log2 = least;
    while (*log2 < most && vpi_bits_read(b, 1)) (*log2)++;
    uint32_t each = (blocks + (1u << *log2) - 1) >> *log2;
    return (blocks + each - 1) / each;
}

/* Tiles whose sizes are told, none larger than most; 0: more of them than there may be. */
static uint32_t read_told(vpi_bits *b, uint32_t blocks, uint32_t most, uint32_t *widest)
{
    uint32_t count = 0, at = 0;
    for (; at < blocks && count < VPI_AV1_MAX_TILES && !b->failed; count++) {
        uint32_t size = read_ns(b, VPI_MIN(blocks - at, most)) + 1;
        *widest = VPI_MAX(*widest, size);
        at += size;
    }
    return at < blocks ? 0 : count;
}

vp_status vpi_av1_read_tile_info(vpi_bits *b, const vpi_av1_sequence_tools *s, vpi_av1_frame *f,
                                 vp_error *err)
{
    unsigned shift = s->sb128 ? 7 : 6, columns_log2, rows_log2;
    /* Superblocks; MiCols and MiRows are even, so 8 samples are the unit (5.9.9). */
    uint32_t side = UINT32_C(1) << shift;
    uint32_t columns = (((f->coded_width + 7) & ~7u) + side - 1) >> shift;
    uint32_t rows = (((f->kept.height + 7) & ~7u) + side - 1) >> shift;
    uint32_t max_width = MAX_TILE_WIDTH >> shift, max_area = MAX_TILE_AREA >> (2 * shift);
    unsigned least_columns = tile_log2(max_width, columns);
    unsigned least = VPI_MAX(least_columns, tile_log2(max_area, rows * columns));
    if (vpi_bits_read(b, 1)) {
        unsigned most_columns = tile_log2(1, VPI_MIN(columns, VPI_AV1_MAX_TILES));
        unsigned most_rows = tile_log2(1, VPI_MIN(rows, VPI_AV1_MAX_TILES));
        f->columns = read_uniform(b, columns, least_columns, most_columns, &columns_log2);
        f->rows =
            read_uniform(b, rows, least > columns_log2 ? least - columns_log2 : 0, most_rows, &rows_log2);
    } else {
        uint32_t widest = 0, highest = 0;
        f->columns = read_told(b, columns, max_width, &widest);
        columns_log2 = tile_log2(1, f->columns);
        uint32_t area = least > 0 ? (rows * columns) >> (least + 1) : rows * columns;
        f->rows = read_told(b, rows, VPI_MAX(area / VPI_MAX(widest, 1u), 1u), &highest);
        rows_log2 = tile_log2(1, f->rows);
    }
    if (b->failed || f->columns == 0 || f->rows == 0 || f->columns > VPI_AV1_MAX_TILES ||
        f->rows > VPI_AV1_MAX_TILES) {
        return VPI_CORRUPT(err, "AV1: tiles of a frame of %u x %u", f->kept.width, f->kept.height);
    }
    f->tile_bits = columns_log2 + rows_log2;
    if (f->tile_bits > 0) {
        vpi_bits_skip(b, f->tile_bits); /* context_update_tile_id */
        f->tile_size_bytes = vpi_bits_read(b, 2) + 1;
    }
    return VP_OK;
}

/* ---- global motion ---- */

/* decode_subexp(), 5.9.28. Its length does not depend on the model before, which the value is a difference to. */
static void skip_subexp(vpi_bits *b, uint32_t symbols)
{
    uint32_t low = 0;
    for (unsigned bits = 3, i = 0; symbols > low + (3u << bits); i++) {
        if (!vpi_bits_read(b, 1)) {
            vpi_bits_skip(b, bits);
            return;
        }
        low += 1u << bits;
        if (i > 0) bits++;
    }
    read_ns(b, symbols - low);
}

void vpi_av1_skip_motion(vpi_bits *b, const vpi_av1_frame *f)
{
    for (unsigned ref = 0; ref < VPI_AV1_REFS && !f->intra && !b->failed; ref++) {
        if (!vpi_bits_read(b, 1)) continue;
        /* GM_ABS_ALPHA_BITS and GM_ABS_TRANS_BITS; GM_ABS_TRANS_ONLY_BITS, less one without high precision */
        unsigned values = 4, bits = 12;
        if (!vpi_bits_read(b, 1)) { /* no ROTZOOM */
            bool translation = vpi_bits_read(b, 1);
            values = translation ? 2 : 6;
            if (translation) bits = f->high_precision ? 9 : 8;
        }
        for (; values > 0; values--) skip_subexp(b, (2u << bits) + 1);
    }
}

/* ---- film grain ---- */

static unsigned skip_points(vpi_bits *b)
{
    unsigned count = vpi_bits_read(b, 4);
    vpi_bits_skip(b, count * 16u);
    return count;
}

void vpi_av1_skip_grain(vpi_bits *b, const vpi_av1_sequence_tools *s, const vpi_av1_frame *f)
{
    if (!s->film_grain || (!f->show && !f->showable) || !vpi_bits_read(b, 1)) return;
    vpi_bits_skip(b, 16);
    if (f->kept.type == VPI_AV1_INTER && !vpi_bits_read(b, 1)) {
        vpi_bits_skip(b, 3); /* the same as in a reference frame */
        return;
    }
    unsigned luma = skip_points(b), cb = 0, cr = 0;
    bool from_luma = !s->mono && vpi_bits_read(b, 1);
    if (!s->mono && !from_luma && !(s->subsampling_x && s->subsampling_y && luma == 0)) {
        cb = skip_points(b);
        cr = skip_points(b);
    }
    vpi_bits_skip(b, 2);
    unsigned lag = vpi_bits_read(b, 2), taps = 2 * lag * (lag + 1), chroma_taps = taps + (luma ? 1u : 0);
    if (luma) vpi_bits_skip(b, taps * 8u);
    if (from_luma || cb) vpi_bits_skip(b, chroma_taps * 8u);
    if (from_luma || cr) vpi_bits_skip(b, chroma_taps * 8u);
    vpi_bits_skip(b, 4);
    if (cb) vpi_bits_skip(b, 25);
    if (cr) vpi_bits_skip(b, 25);
    vpi_bits_skip(b, 2);
}
