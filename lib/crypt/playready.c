/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * PlayReady Objects and their WRMHEADER (Microsoft, PlayReady Header Specification):
 *     object: size LE32, records LE16, then records: type LE16 (1: WRMHEADER), size LE16, UTF-16LE
 * A KID is there the base64 of a GUID: its first three fields are little-endian.
 */
#include "crypt/pssh_int.h"
#include "crypt/xml_int.h"

#define KID ((size_t)16)
#define OBJECT_HEAD 6u
#define RECORD_HEAD 4u
#define RECORD_WRMHEADER 1u
#define SPACE "http://schemas.microsoft.com/DRM/2007/03/PlayReadyHeader"

/* To a GUID and back. */
static void swap_guid(const uint8_t from[16], uint8_t to[16])
{
    static const uint8_t order[16] = { 3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15 };
    uint8_t guid[16];

    for (size_t i = 0; i < sizeof(guid); i++) guid[i] = from[order[i]];
    memcpy(to, guid, sizeof(guid));
}

static vp_status corrupt(vp_error *err, const char *what)
{
    return vpi_fail(err, VP_E_DATA, "INPUT_CORRUPT", "pssh of PlayReady: %s", what);
}

/* ---- writing ---- */

static void add_kid(vpi_buf *b, const uint8_t *kid)
{
    uint8_t guid[16];

    swap_guid(kid, guid);
    vpi_base64_add(b, guid, sizeof(guid));
}

static vp_status add_laurl(vpi_buf *b, const char *laurl, vp_error *err)
{
    if (!laurl) return VP_OK;
    vpi_buf_str(b, "<LA_URL>");
    for (; *laurl; laurl++) {
        char c = *laurl;

        if (c <= 0x20 || c >= 0x7F) return vpi_fail(err, VP_E_ARG, NULL, "laurl: not printable ASCII");
        switch (c) {
        case '&':
            vpi_buf_str(b, "&amp;");
            break;
        case '<':
            vpi_buf_str(b, "&lt;");
            break;
        case '>':
            vpi_buf_str(b, "&gt;");
            break;
        default:
            vpi_buf_u8(b, (uint8_t)c);
        }
    }
    vpi_buf_str(b, "</LA_URL>");
    return VP_OK;
}

/* ASCII, widened later. 4.0 knows one KID and AES-CTR only; AES-CBC needs 4.3. */
static vp_status header(vpi_scheme scheme, const uint8_t *kids, uint32_t kid_count, const char *laurl,
                        vpi_buf *b, vp_error *err)
{
    bool old = scheme == VPI_SCHEME_CENC && kid_count == 1;

    vpi_buf_printf(b, "<WRMHEADER xmlns=\"" SPACE "\" version=\"%s\"><DATA><PROTECTINFO>",
                   old ? "4.0.0.0" : "4.3.0.0");
    if (old) {
        vpi_buf_str(b, "<KEYLEN>16</KEYLEN><ALGID>AESCTR</ALGID></PROTECTINFO><KID>");
        add_kid(b, kids);
        vpi_buf_str(b, "</KID>");
    } else {
        vpi_buf_str(b, "<KIDS>");
        for (uint32_t i = 0; i < kid_count; i++) {
            vpi_buf_printf(b, "<KID ALGID=\"%s\" VALUE=\"", scheme == VPI_SCHEME_CENC ? "AESCTR" : "AESCBC");
            add_kid(b, kids + i * KID);
            vpi_buf_str(b, "\"></KID>");
        }
        vpi_buf_str(b, "</KIDS></PROTECTINFO>");
    }
    VPI_TRY(add_laurl(b, laurl, err));
    vpi_buf_str(b, "</DATA></WRMHEADER>");
    return VP_OK;
}

static void le16(vpi_buf *b, size_t v)
{
    vpi_buf_u8(b, v & 0xFF);
    vpi_buf_u8(b, v >> 8 & 0xFF);
}

vp_status vpi_playready_object(vpi_scheme scheme, const uint8_t *kids, uint32_t kid_count, const char *laurl,
                               vpi_buf *out, vp_error *err)
{
    vpi_buf text = { 0 };
    size_t size;
    vp_status st;

    st = header(scheme, kids, kid_count, laurl, &text, err);
    if (st == VP_OK && vpi_buf_failed(&text)) st = vpi_fail_nomem(err);
    size = text.size * 2;
    if (st == VP_OK && size > UINT16_MAX) {
        st = vpi_fail(err, VP_E_LIMIT, "INPUT_LIMIT", "pssh of PlayReady: too many KIDs or too long a laurl");
    }
    if (st == VP_OK) {
        le16(out, (OBJECT_HEAD + RECORD_HEAD + size) & 0xFFFF);
        le16(out, (OBJECT_HEAD + RECORD_HEAD + size) >> 16);
        le16(out, 1);
        le16(out, RECORD_WRMHEADER);
        le16(out, size);
        for (size_t i = 0; i < text.size; i++) le16(out, text.data[i]);
    }
    vpi_buf_dispose(&text);
    return st;
}

/* ---- reading ---- */

static vp_status add_guid(const char *text, vpi_buf *out, vp_error *err)
{
    vpi_buf guid = { 0 };
    bool ok = vpi_base64_decode(text, strlen(text), &guid) && guid.size == KID;
    vp_status st = VP_OK;

    if (ok) {
        swap_guid(guid.data, guid.data);
        vpi_buf_add(out, guid.data, KID);
    } else {
        st = vpi_buf_failed(&guid) ? vpi_fail_nomem(err) : corrupt(err, "a KID is not the base64 of a GUID");
    }
    vpi_buf_dispose(&guid);
    return st;
}

/* 4.0: DATA/KID is text. 4.1: DATA/PROTECTINFO/KID, 4.2 and 4.3: DATA/PROTECTINFO/KIDS/KID, in VALUE. */
static vp_status header_kids(const uint8_t *data, size_t size, vpi_buf *out, vp_error *err)
{
    const vpi_xml_node *root, *top;
    vpi_xml *xml = NULL;
    vp_status st = VP_OK;

    VPI_TRY(vpi_xml_parse(data, size, "UTF-16LE", &xml, err));
    root = vpi_xml_root(xml);
    top = vpi_xml_child(root, "DATA");
    if (strcmp(root->name, "WRMHEADER") != 0) st = corrupt(err, "not a WRMHEADER");
    for (const vpi_xml_node *n = top; n && st == VP_OK; n = vpi_xml_walk(top, n)) {
        const char *value;

        /* CUSTOMATTRIBUTES may hold what they like. */
        if (strcmp(n->name, "KID") != 0 || (n->parent != top && strcmp(n->parent->name, "PROTECTINFO") != 0 &&
                                            strcmp(n->parent->name, "KIDS") != 0)) {
            continue;
        }
        value = vpi_xml_attribute(n, "VALUE");
        if (value || n->text_size > 0) st = add_guid(value ? value : n->text, out, err);
    }
    vpi_xml_free(xml);
    return st;
}

static size_t rl16(const uint8_t *p)
{
    return p[0] | (size_t)p[1] << 8;
}

vp_status vpi_playready_kids(const uint8_t *data, size_t size, vpi_buf *out, vp_error *err)
{
    size_t records, at = OBJECT_HEAD;

    if (size < OBJECT_HEAD || vpi_rl32(data) != size) return corrupt(err, "the size of the object is wrong");
    records = rl16(data + 4);
    for (size_t i = 0; i < records; i++) {
        size_t type, length;

        if (size - at < RECORD_HEAD) return corrupt(err, "fewer records than it says");
        type = rl16(data + at);
        length = rl16(data + at + 2);
        at += RECORD_HEAD;
        if (length > size - at) return corrupt(err, "a record is longer than the object");
        if (type == RECORD_WRMHEADER) VPI_TRY(header_kids(data + at, length, out, err));
        at += length;
    }
    return VP_OK;
}
