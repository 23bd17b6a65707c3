/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* CPIX: DRMSystem elements. */
#include "crypt/cpix_int.h"

#define MAX_SIGNALLING ((size_t)256 << 10)

/* Ids of DASH-IF, and of SPEKE, under which HLS with keys from an address (AES-128, SAMPLE-AES) is signalled. */
static const char *const by_address[] = { "3ea8778f-7742-4bf9-b18b-e834b2acbd47",
                                          "be58615b-19c4-4684-88b3-c8c57e99e957",
                                          "81376844-f976-481e-a84e-cc25d39b0b33" };

static bool is_by_address(const uint8_t system[16])
{
    uint8_t id[16];

    for (size_t i = 0; i < VPI_COUNT(by_address); i++) {
        if (vpi_uuid_parse(by_address[i], id) && memcmp(id, system, sizeof(id)) == 0) return true;
    }
    return false;
}

/* ---- HLS ---- */

/* The value of URI in an attribute list (RFC 8216 4.2), outside of other quotes; size 0: none. */
static const char *uri_attribute(const char *p, const char *end, size_t *size)
{
    *size = 0;
    while (p < end) {
        const char *name = p, *value;
        size_t name_size;

        while (p < end && *p != '=') p++;
        name_size = (size_t)(p - name);
        if (p == end) break;
        value = ++p;
        if (p < end && *p == '"') {
            value = ++p;
            while (p < end && *p != '"') p++;
        } else {
            while (p < end && *p != ',') p++;
        }
        if (name_size == 3 && memcmp(name, "URI", 3) == 0) {
            *size = (size_t)(p - value);
            return value;
        }
        while (p < end && *p != ',') p++;
        if (p < end) p++;
    }
    return NULL;
}

/* URI of the first #EXT-X-KEY among the lines. */
static const char *key_line_uri(const char *text, size_t text_size, size_t *size)
{
    static const char tag[] = "#EXT-X-KEY:";
    const char *end = text + text_size;

    *size = 0;
    while (text < end) {
        const char *line_end = memchr(text, '\n', (size_t)(end - text));

        if (!line_end) line_end = end;
        if ((size_t)(line_end - text) > sizeof(tag) - 1 && memcmp(text, tag, sizeof(tag) - 1) == 0) {
            return uri_attribute(text + sizeof(tag) - 1, line_end, size);
        }
        text = line_end < end ? line_end + 1 : end;
    }
    return NULL;
}

static bool for_media_playlist(const vpi_xml_node *n)
{
    const char *playlist = vpi_xml_attribute(n, "playlist");

    return strcmp(n->name, "HLSSignalingData") == 0 && (!playlist || strcmp(playlist, "media") == 0);
}

/* URIExtXKey, or the address in the key line of media playlists. *out stays NULL where there is neither. */
static vp_status read_uri(const vpi_xml_node *n, const char *where, char **out, vp_error *err)
{
    const vpi_xml_node *uri = vpi_xml_child(n, "URIExtXKey"), *hls = n->first;
    const char *text;
    vpi_buf b = { 0 };
    vp_status st = VP_OK;
    size_t size;

    if (uri && uri->text_size > 0) {
        VPI_TRY(vpi_cpix_base64(uri->text, uri->text_size, MAX_SIGNALLING, where, "URIExtXKey", &b, err));
        text = (const char *)b.data;
        size = b.size;
    } else {
        while (hls && !for_media_playlist(hls)) hls = hls->next;
        if (!hls || hls->text_size == 0) return VP_OK;
        VPI_TRY(vpi_cpix_base64(hls->text, hls->text_size, MAX_SIGNALLING, where, hls->name, &b, err));
        text = b.data ? key_line_uri((const char *)b.data, b.size, &size) : NULL;
        if (!text) size = 0;
    }
    while (size > 0 && (text[size - 1] == '\n' || text[size - 1] == '\r')) size--;
    if (size > 0 && memchr(text, 0, size)) {
        st = vpi_key_invalid(err, "%s: a NUL in its address", where);
    } else if (size > 0) {
        *out = vpi_strndup(text, size);
        if (!*out) st = vpi_fail_nomem(err);
    }
    vpi_buf_dispose(&b);
    return st;
}

/*
 * What lies in a data: address is the box (Widevine) or its content (PlayReady), which is told again from the box. Else
 * it is written into playlists as it is.
 */
static vp_status check_uri(const char *where, bool has_pssh, char **uri, vp_error *err)
{
    if (*uri && has_pssh && strncmp(*uri, "data:", 5) == 0) {
        vpi_free(*uri);
        *uri = NULL;
    }
    return *uri ? vpi_key_uri_check(*uri, strlen(*uri), where, "URI", err) : VP_OK;
}

/* ---- DASH ---- */

static bool is_laurl(const vpi_xml_node *n)
{
    return strcmp(n->name, "laurl") == 0 || strcmp(n->name, "Laurl") == 0;
}

/*
 * dashif:laurl among the fragments of XML in ContentProtectionData (DASH-IF IOP, Content Protection). What else is
 * there is made anew, and what cannot be read as XML is somebody's own: neither is a failure.
 */
static vp_status read_laurl(const vpi_xml_node *n, const char *where, char **out, vp_error *err)
{
    static const char head[] =
        "<x xmlns:dashif=\"https://dashif.org/CPS\" xmlns:cenc=\"urn:mpeg:cenc:2013\" "
        "xmlns:mspr=\"urn:microsoft:playready\" xmlns:clearkey=\"http://dashif.org/guidelines/"
        "clearKey\">";
    const vpi_xml_node *data = vpi_xml_child(n, "ContentProtectionData"), *root, *at;
    vpi_buf b = { 0 }, whole = { 0 };
    vpi_xml *xml = NULL;
    vp_status st = VP_OK;

    if (!data || data->text_size == 0) return VP_OK;
    VPI_TRY(vpi_cpix_base64(data->text, data->text_size, MAX_SIGNALLING, where, data->name, &b, err));
    vpi_buf_str(&whole, head);
    vpi_buf_add(&whole, b.data, b.size);
    vpi_buf_str(&whole, "</x>");
    st = vpi_buf_failed(&whole) ? VP_E_NOMEM : vpi_xml_parse(whole.data, whole.size, "UTF-8", &xml, NULL);
    root = st == VP_OK ? vpi_xml_root(xml) : NULL;
    for (at = root; at && !is_laurl(at); at = vpi_xml_walk(root, at)) {}
    if (at && vpi_key_uri_check(at->text, at->text_size, where, at->name, NULL) == VP_OK) {
        *out = vpi_strdup(at->text);
        if (!*out) st = VP_E_NOMEM;
    }
    vpi_xml_free(xml);
    vpi_buf_dispose(&whole);
    vpi_buf_dispose(&b);
    return st == VP_E_NOMEM ? vpi_fail_nomem(err) : VP_OK;
}

/* ---- the element ---- */

static vp_status read_pssh(const vpi_xml_node *n, const char *where, vpi_drm *d, vp_error *err)
{
    const vpi_xml_node *pssh = vpi_xml_child(n, "PSSH");
    vpi_buf b = { 0 };

    if (!pssh || pssh->text_size == 0) return VP_OK;
    VPI_TRY(vpi_cpix_base64(pssh->text, pssh->text_size, VPI_KEY_PSSH_MAX, where, "PSSH", &b, err));
    return vpi_key_pssh_set(d, &b, where, err);
}

static vp_status read_system(const vpi_xml_node *n, const char *where, uint8_t system[16], vp_error *err)
{
    const char *text = vpi_xml_attribute(n, "systemId");

    if (text && vpi_key_system_parse(text, system) && !vpi_system_from_word(text, system)) return VP_OK;
    return vpi_key_invalid(err, "%s: systemId is not a UUID", where);
}

vp_status vpi_cpix_drm(const vpi_xml_node *n, const char *where, vpi_key_info *k, vp_error *err)
{
    uint8_t system[16];
    vpi_drm *d;

    VPI_TRY(read_system(n, where, system, err));
    if (is_by_address(system)) {
        if (!k->uri) VPI_TRY(read_uri(n, where, &k->uri, err));
        return check_uri(where, false, &k->uri, err);
    }
    for (size_t i = 0; i < k->drm_count; i++) {
        if (memcmp(k->drm[i].system, system, sizeof(system)) == 0) {
            return vpi_key_invalid(err, "%s: its system was there before for this kid", where);
        }
    }
    if (k->drm_count == VPI_KEY_DRM_MAX)
        return vpi_key_invalid(err, "%s: more than %u systems", where, VPI_KEY_DRM_MAX);
    d = vpi_key_info_add_drm(k);
    if (!d) return vpi_fail_nomem(err);
    memcpy(d->system, system, sizeof(system));
    VPI_TRY(read_pssh(n, where, d, err));
    VPI_TRY(read_uri(n, where, &d->uri, err));
    VPI_TRY(check_uri(where, d->pssh != NULL, &d->uri, err));
    return read_laurl(n, where, &d->laurl, err);
}
