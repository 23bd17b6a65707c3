/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Descriptors of MPEG-4 systems (ISO/IEC 14496-1 7.2.6.5 to 7.2.6.7) inside 'esds'. */
#include "bmff/box_int.h"

enum { TAG_ES = 3, TAG_DECODER_CONFIG = 4, TAG_DECODER_SPECIFIC = 5 };

#define MAX_DESCRIPTORS 64u

/* Next descriptor of c: its tag, with *body on its bytes. False at the end; *bad when it does not fit. */
static bool next_descriptor(vpi_cursor *c, uint8_t *tag, vpi_cursor *body, bool *bad)
{
    *bad = false;
    if (c->left == 0) return false;
    *tag = vpi_take8(c);
    uint32_t size = 0;
    for (unsigned i = 0;; i++) { /* 8.3.3: seven bits a byte, at most four */
        uint8_t byte = vpi_take8(c);
        if (c->failed || i >= 4) {
            *bad = true;
            return false;
        }
        size = size << 7 | (byte & 0x7fu);
        if (!(byte & 0x80)) break;
    }
    if (size > c->left) {
        *bad = true;
        return false;
    }
    *body = (vpi_cursor){ c->p, size, false };
    vpi_drop(c, size);
    return true;
}

/* First descriptor of that tag in c. VP_END when there is none. */
static vp_status find_descriptor(vpi_cursor *c, uint8_t wanted, vpi_cursor *body, vp_error *err)
{
    uint8_t tag = 0;
    bool bad = false;
    for (unsigned count = 0; count < MAX_DESCRIPTORS && next_descriptor(c, &tag, body, &bad); count++) {
        if (tag == wanted) return VP_OK;
    }
    return bad ? VPI_CORRUPT(err, "'esds': descriptor does not fit") : VP_END;
}

vp_status vpi_esds_config(const vpi_box *esds, uint8_t *object_type, const uint8_t **config, size_t *size,
                          vp_error *err)
{
    uint8_t version;
    uint32_t flags;
    vpi_cursor es, decoder, specific;
    *config = NULL;
    *size = 0;
    vpi_cursor c = vpi_cursor_open(esds, &version, &flags);
    if (c.failed) return VPI_CORRUPT(err, "broken 'esds'");
    vp_status st = find_descriptor(&c, TAG_ES, &es, err);
    if (st < 0) return st;
    if (st == VP_END) return VPI_CORRUPT(err, "'esds' without ES_Descriptor");
    vpi_drop(&es, 2);
    uint8_t optional = vpi_take8(&es);
    if (optional & 0x80) vpi_drop(&es, 2);              /* dependsOn_ES_ID */
    if (optional & 0x40) vpi_drop(&es, vpi_take8(&es)); /* URL */
    if (optional & 0x20) vpi_drop(&es, 2);              /* OCR_ES_Id */
    if (es.failed) return VPI_CORRUPT(err, "'esds': broken ES_Descriptor");
    st = find_descriptor(&es, TAG_DECODER_CONFIG, &decoder, err);
    if (st < 0) return st;
    if (st == VP_END) return VPI_CORRUPT(err, "'esds' without DecoderConfigDescriptor");
    *object_type = vpi_take8(&decoder);
    vpi_drop(&decoder, 12);
    if (decoder.failed) return VPI_CORRUPT(err, "'esds': broken DecoderConfigDescriptor");
    st = find_descriptor(&decoder, TAG_DECODER_SPECIFIC, &specific, err);
    if (st < 0) return st;
    if (st == VP_OK && specific.left) {
        *config = specific.p;
        *size = specific.left;
    }
    return VP_OK;
}
