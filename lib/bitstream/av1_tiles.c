/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Walks the OBUs of a sample to the bytes of its tiles (AV1 bitstream 5.9.1, 5.10, 5.11.1, 7.4, 7.20). */
#include "bitstream/av1_int.h"

enum { OBU_TILE_GROUP = 4, OBU_REDUNDANT_HEADER = 7, OBU_TILE_LIST = 8 };

vpi_av1_store *vpi_av1_store_new(void)
{
    return vpi_calloc(1, sizeof(vpi_av1_store));
}

void vpi_av1_store_free(vpi_av1_store *store)
{
    vpi_free(store);
}

/* 7.20 */
static void finish_frame(vpi_av1_store *store)
{
    for (unsigned i = 0; i < VPI_AV1_SLOTS; i++) {
        if (store->frame.refresh >> i & 1) store->slots[i] = store->frame.kept;
    }
    store->in_frame = false;
}

/* One bit set and zeros to the next byte, or zeros alone: what is read wrongly seldom ends so. */
static vp_status check_end(vpi_bits *b, bool stop, vp_error *err)
{
    bool one = !stop || vpi_bits_read(b, 1);
    uint32_t zeros = vpi_bits_read(b, (8 - b->position % 8) % 8);
    return b->failed || !one || zeros ? VPI_CORRUPT(err, "AV1: broken frame header") : VP_OK;
}

static vp_status read_header(vpi_av1_store *store, const vpi_obu *obu, vpi_bits *b, vp_error *err)
{
    /* 5.3.3: temporal_id and spatial_id */
    unsigned layer = obu->data[0] & 4 ? (unsigned)obu->data[1] >> 5 | (obu->data[1] >> 3 & 3u) << 8 : 0;
    if (!store->has_sequence) return VPI_CORRUPT(err, "AV1: frame without a sequence header");
    if (store->in_frame) return VPI_CORRUPT(err, "AV1: frame within a frame");
    VPI_TRY(vpi_av1_read_frame(b, store, layer, &store->frame, err));
    bool whole = obu->type == VPI_OBU_FRAME;
    if (whole && store->frame.show_existing) return VPI_CORRUPT(err, "AV1: shown frame has tiles");
    VPI_TRY(check_end(b, !whole, err));
    store->in_frame = true;
    store->next_tile = 0;
    if (store->frame.show_existing) finish_frame(store);
    return VP_OK;
}

static vp_status read_tile_group(vpi_av1_store *store, vpi_bits *b, vpi_range_sink *to, vp_error *err)
{
    const vpi_av1_frame *f = &store->frame;
    uint32_t tiles = f->columns * f->rows, first = 0, last = tiles - 1;
    if (!store->in_frame) return VPI_CORRUPT(err, "AV1: tiles without a frame");
    if (tiles > 1 && vpi_bits_read(b, 1)) {
        first = vpi_bits_read(b, f->tile_bits);
        last = vpi_bits_read(b, f->tile_bits);
    }
    VPI_TRY(check_end(b, false, err));
    if (first != store->next_tile || last < first || last >= tiles) {
        return VPI_CORRUPT(err, "AV1: tiles %u to %u of %u", first, last, tiles);
    }
    const uint8_t *data = b->data + b->position / 8;
    size_t left = vpi_bits_left(b) / 8;
    for (uint32_t i = first; i <= last; i++) {
        size_t size = left;
        if (i < last) {
            if (left < f->tile_size_bytes) return VPI_CORRUPT(err, "AV1: tile %u is cut off", i);
            size = 1;
            for (unsigned k = 0; k < f->tile_size_bytes; k++) size += (size_t)data[k] << (8 * k);
            data += f->tile_size_bytes;
            left -= f->tile_size_bytes;
        }
        if (size == 0 || size > left) return VPI_CORRUPT(err, "AV1: tile %u is cut off", i);
        VPI_TRY(vpi_range_add(to, data, size, err));
        data += size;
        left -= size;
    }
    store->next_tile = last + 1;
    if (store->next_tile == tiles) finish_frame(store);
    return VP_OK;
}

static vp_status take_obu(vpi_av1_store *store, const vpi_obu *obu, vpi_range_sink *to, vp_error *err)
{
    vpi_bits b;
    vpi_bits_init(&b, obu->payload, obu->payload_size);
    switch (obu->type) {
    case VPI_OBU_HEADER:
        return read_header(store, obu, &b, err);
    case OBU_REDUNDANT_HEADER: /* a copy */
        return store->in_frame ? VP_OK : VPI_CORRUPT(err, "AV1: redundant header without a frame");
    case VPI_OBU_FRAME:
        VPI_TRY(read_header(store, obu, &b, err));
        return read_tile_group(store, &b, to, err);
    case OBU_TILE_GROUP:
        return read_tile_group(store, &b, to, err);
    case OBU_TILE_LIST:
        return VPI_NOT_READ(err, "AV1: lists of tiles are not supported");
    default:
        return VP_OK;
    }
}

static vp_status take_sequence(vpi_av1_store *store, const vpi_obu *obu, vp_error *err)
{
    vpi_av1_sequence_tools s;
    VPI_TRY(vpi_av1_read_sequence(obu->payload, obu->payload_size, &s, err));
    store->sequence = s;
    store->has_sequence = true;
    return VP_OK;
}

vp_status vpi_av1_store_take(vpi_av1_store *store, const uint8_t *data, size_t size, vpi_range_sink *to,
                             vp_error *err)
{
    size_t at = 0;
    vpi_obu obu;
    vp_status st;
    store->in_frame = false;
    while ((st = vpi_obu_next(data, size, &at, &obu, err)) == VP_OK) {
        if (obu.type == VPI_OBU_SEQUENCE) {
            VPI_TRY(take_sequence(store, &obu, err));
        } else if (to) {
            VPI_TRY(take_obu(store, &obu, to, err));
        }
    }
    if (st < 0) return st;
    /* 7.5: a temporal unit has all tiles of its frames. */
    return store->in_frame ? VPI_CORRUPT(err, "AV1: frame without all its tiles") : VP_OK;
}
