/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* EXT-X-KEY and EXT-X-SESSION-KEY (RFC 8216 4.3.2.4, 4.3.4.5) against the keys of the presentation. */
#include <vodpipe/manifest.h>

#include "verify/hls_int.h"

#define FORMAT_FAIRPLAY "com.apple.streamingkeydelivery"
#define FORMAT_PLAYREADY "com.microsoft.playready"
#define FORMAT_CLEARKEY "org.w3.clearkey"

enum { HEX = 32, VERSION_IV = 2, VERSION_FORMAT = 5 };

static const char *method_of(const vpi_ptrack *t)
{
    if (vpi_whole_object(t)) return "AES-128";
    return t->protection.scheme == VPI_SCHEME_CENC ? "SAMPLE-AES-CTR" : "SAMPLE-AES";
}

/* "0x" and 32 hex digits (4.2: a hexadecimal-sequence). */
static bool hex_is(vpi_view value, const uint8_t due[16])
{
    char text[HEX + 1];
    uint8_t have[16];

    if (value.size != HEX + 2 || value.data[0] != '0' || (value.data[1] | 0x20) != 'x') return false;
    memcpy(text, value.data + 2, HEX);
    text[HEX] = 0;
    return vpi_hex_parse(text, have, sizeof(have)) && memcmp(have, due, sizeof(have)) == 0;
}

static bool text_is(vpi_view value, const char *text)
{
    return text && vpi_view_is(value, text);
}

/* What a player gets from the URI is behind it or in it; where it is in it, it is the system's own. */
static bool system_knows(const vpi_key_info *k, const uint8_t system[16], vpi_view uri)
{
    for (size_t i = 0; i < k->drm_count; i++) {
        if (memcmp(k->drm[i].system, system, sizeof(k->drm[i].system)) != 0) continue;
        if (k->drm[i].uri ? vpi_view_is(uri, k->drm[i].uri) : vpi_view_begins(uri, "data:")) return true;
    }
    return false;
}

static bool uuid_of(vpi_view format, uint8_t system[16])
{
    char text[VPI_UUID_TEXT];

    if (!vpi_view_begins(format, "urn:uuid:") || format.size != 9 + VPI_UUID_TEXT - 1) return false;
    memcpy(text, format.data + 9, VPI_UUID_TEXT - 1);
    text[VPI_UUID_TEXT - 1] = 0;
    return vpi_uuid_parse(text, system);
}

/* Is the URI of this key format one that the key has? */
static bool format_fits(const vpi_key_info *k, vpi_view format, vpi_view uri)
{
    uint8_t system[16];

    if (vpi_view_is(format, "identity")) return text_is(uri, k->uri);
    if (vpi_view_is(format, FORMAT_FAIRPLAY)) return system_knows(k, vpi_system_fairplay, uri);
    if (vpi_view_is(format, FORMAT_PLAYREADY)) return system_knows(k, vpi_system_playready, uri);
    if (vpi_view_is(format, FORMAT_CLEARKEY)) return system_knows(k, vpi_system_clearkey, uri);
    return uuid_of(format, system) && system_knows(k, system, uri);
}

/* Both kinds of tag: method, key format, URI, KID. */
static void check_tag(vpi_verifier *v, const char *where, const vpi_ptrack *t, const vpi_key_info *k,
                      vpi_view list)
{
    vpi_view method = { "", 0 }, uri = { "", 0 }, format = { "identity", 8 }, kid;
    bool quoted = false;

    vpi_attribute(list, "METHOD", &method, NULL);
    vpi_attribute(list, "KEYFORMAT", &format, NULL);
    vpi_check(v, vpi_view_is(method, method_of(t)), "HLS", where, "METHOD %.*s, the segments need %s",
              (int)method.size, method.data, method_of(t));
    if (!vpi_check(v, vpi_attribute(list, "URI", &uri, &quoted) && quoted, "HLS", where, "a key without URI"))
        return;
    vpi_check(v, format_fits(k, format, uri), "E07", where, "a URI of %.*s that the key does not have",
              (int)format.size, format.data);
    if (vpi_attribute(list, "KEYID", &kid, NULL))
        vpi_check(v, hex_is(kid, k->kid), "E13", where, "KEYID %.*s is another one", (int)kid.size, kid.data);
    /* Its key server gives the IV too (Apple authoring rules 13.4); it knows no counter mode (13.11). */
    if (vpi_view_is(format, FORMAT_FAIRPLAY)) {
        vpi_check(v, !vpi_attribute(list, "IV", &uri, NULL) && t->protection.scheme == VPI_SCHEME_CBCS, "HLS",
                  where, "FairPlay with an IV, or with cenc");
    }
}

static void check_iv(vpi_verifier *v, const char *where, const vpi_ptrack *t, const vpi_key_info *k,
                     size_t next, vpi_view list, vpi_key_tags *tags)
{
    const uint8_t *due = vpi_whole_object(t) ? t->segments[next].iv : k->iv;
    vpi_view iv;

    if (!vpi_attribute(list, "IV", &iv, NULL)) {
        /* Else it would be the number of the segment. */
        vpi_check(v, !vpi_whole_object(t), "E01", where, "a key without IV before segment %zu", next + 1);
        return;
    }
    tags->version = VPI_MAX(tags->version, (unsigned)VERSION_IV);
    vpi_check(v, hex_is(iv, due), "E01", where, "IV %.*s before segment %zu is another one", (int)iv.size,
              iv.data, next + 1);
}

void vpi_read_key(vpi_verifier *v, const char *where, const vpi_ptrack *t, size_t next, vpi_view list,
                  vpi_key_tags *tags)
{
    const vpi_key_info *k = next < t->segment_count ? vpi_protection_key(&t->protection, next) : NULL;
    vpi_view value = { "", 0 };

    tags->any = true;
    vpi_check(v, vpi_attributes_valid(list), "HLS", where, "attributes of EXT-X-KEY");
    if (vpi_attribute(list, "METHOD", &value, NULL) && vpi_view_is(value, "NONE")) {
        tags->force = NULL;
        tags->of = NULL;
        return;
    }
    if (!vpi_check(v, k != NULL, t->protection.scheme == VPI_SCHEME_NONE ? "HLS" : "E07", where,
                   "EXT-X-KEY before segment %zu, which is clear", next + 1)) {
        return;
    }
    if (vpi_attribute(list, "KEYFORMAT", &value, NULL) ||
        vpi_attribute(list, "KEYFORMATVERSIONS", &value, NULL))
        tags->version = VPI_MAX(tags->version, (unsigned)VERSION_FORMAT);
    check_tag(v, where, t, k, list);
    check_iv(v, where, t, k, next, list, tags);
    tags->force = k;
    tags->of = &t->segments[next];
}

/* A key that no player of HLS can ask for has no tag: systems that tell nothing, keys that a host sets by itself. */
static bool has_tag(const vpi_ptrack *t, const vpi_key_info *k)
{
    bool cbcs = t->protection.scheme == VPI_SCHEME_CBCS, cmaf = t->container == VP_CONTAINER_CMAF;

    if (k->uri) return true;
    for (size_t i = 0; i < k->drm_count; i++) {
        const vpi_drm *d = &k->drm[i];
        bool fairplay = memcmp(d->system, vpi_system_fairplay, sizeof(d->system)) == 0;
        bool clearkey = memcmp(d->system, vpi_system_clearkey, sizeof(d->system)) == 0;

        if (fairplay ? cbcs && d->uri : cmaf && (d->uri || d->pssh || clearkey)) return true;
    }
    return false;
}

static bool same_bytes(const vpi_key_info *a, const vpi_key_info *b)
{
    return memcmp(a->kid, b->kid, sizeof(a->kid)) == 0 && memcmp(a->iv, b->iv, sizeof(a->iv)) == 0 &&
           vpi_streq(a->uri, b->uri);
}

void vpi_check_key(vpi_verifier *v, const char *where, const vpi_ptrack *t, size_t n,
                   const vpi_key_tags *tags)
{
    const vpi_key_info *k = vpi_protection_key(&t->protection, n);

    if (!k) {
        vpi_check(v, !tags->force, "E07", where, "segment %zu is clear, but a key is in force", n + 1);
        return;
    }
    if (!has_tag(t, k)) return;
    if (!vpi_check(v, tags->force && (tags->force == k || same_bytes(tags->force, k)), "E07", where,
                   "segment %zu: its key is not in force", n + 1) ||
        !vpi_whole_object(t)) {
        return;
    }
    vpi_check(v, memcmp(tags->of->iv, t->segments[n].iv, sizeof(tags->of->iv)) == 0, "E01", where,
              "segment %zu: another IV is in force", n + 1);
}

void vpi_check_session_key(vpi_verifier *v, const char *where, int32_t container, vpi_view list)
{
    vpi_view method = { "", 0 }, uri = { "", 0 }, format = { "identity", 8 };
    vpi_view kid = { NULL, 0 };
    bool found = false;

    vpi_check(v, vpi_attributes_valid(list), "HLS", where, "attributes of EXT-X-SESSION-KEY");
    vpi_attribute(list, "KEYID", &kid, NULL);
    vpi_attribute(list, "METHOD", &method, NULL);
    vpi_attribute(list, "URI", &uri, NULL);
    vpi_attribute(list, "KEYFORMAT", &format, NULL);
    for (size_t i = 0; i < v->p->track_count && !found; i++) {
        const vpi_ptrack *t = &v->p->tracks[i];

        if (!v->sane[i] || (t->container == VP_CONTAINER_CMAF) != (container == VP_HLS_CMAF)) continue;
        for (size_t n = 0; n < t->protection.key_count && !found; n++) {
            const vpi_key_info *k = &t->protection.keys[n];

            found = vpi_view_is(method, method_of(t)) && format_fits(k, format, uri) &&
                    (!kid.data || hex_is(kid, k->kid));
        }
    }
    vpi_check(v, found, "E13", where, "EXT-X-SESSION-KEY %.*s is of no track's key", (int)uri.size, uri.data);
}
