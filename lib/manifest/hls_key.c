/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * EXT-X-KEY and EXT-X-SESSION-KEY (RFC 8216 4.3.2.4, 4.3.4.5): one tag for each way to a key that some player knows.
 * Key formats of DRM systems stack; a player takes the one that it has a system for.
 */
#include "manifest/drm.h"
#include "manifest/hls_int.h"

#define HEX_SIZE 33

#define FORMAT_FAIRPLAY "com.apple.streamingkeydelivery"
#define FORMAT_PLAYREADY "com.microsoft.playready"
#define FORMAT_CLEARKEY "org.w3.clearkey" /* as hls.js reads it; no other player does */
#define FORMAT_IDENTITY "identity"

#define DATA_URI "data:text/plain;base64,"
#define DATA_URI_PLAYREADY "data:text/plain;charset=UTF-16;base64,"

/* One tag that is being written. */
typedef struct tag {
    vpi_buf *b;
    const char *name, *method;
    const vpi_key_info *key;
} tag;

static void begin(const tag *t)
{
    vpi_buf_printf(t->b, "#%s:METHOD=%s,URI=\"", t->name, t->method);
}

static void add_hex(vpi_buf *b, const char *name, const uint8_t value[16])
{
    char hex[HEX_SIZE];

    vpi_hex_text(value, 16, hex);
    vpi_buf_printf(b, ",%s=0x%s", name, hex);
}

static void end(const tag *t, const char *format)
{
    vpi_buf_printf(t->b, ",KEYFORMAT=\"%s\",KEYFORMATVERSIONS=\"1\"\n", format);
}

/* URIs were checked when they were read: neither quotes nor line breaks. */
static void add_uri(const tag *t, const char *uri, const char *scheme, const void *data, size_t size)
{
    begin(t);
    if (uri) {
        vpi_buf_str(t->b, uri);
    } else {
        vpi_buf_str(t->b, scheme);
        vpi_base64_add(t->b, data, size);
    }
    vpi_buf_u8(t->b, '"');
}

/* A key server of FairPlay gives the IV with the key: the tag has none (Apple authoring rules 13.2 to 13.4). */
static void add_fairplay(const tag *t, const vpi_drm *d)
{
    if (!d->uri) return;
    add_uri(t, d->uri, NULL, NULL, 0);
    end(t, FORMAT_FAIRPLAY);
}

static void add_playready(const tag *t, const vpi_drm *d)
{
    const uint8_t *object = NULL;
    size_t size = 0;

    /* Not the box, but the PlayReady Object in it. */
    if (!d->uri && !vpi_drm_payload(d, &object, &size)) return;
    add_uri(t, d->uri, DATA_URI_PLAYREADY, object, size);
    end(t, FORMAT_PLAYREADY);
}

/* hls.js takes the first 16 bytes of the data for the KID. */
static void add_clearkey(const tag *t, const vpi_drm *d)
{
    add_uri(t, d->uri, DATA_URI, t->key->kid, sizeof(t->key->kid));
    end(t, FORMAT_CLEARKEY);
}

/* Widevine, and all systems that have no key format of their own. */
static void add_pssh(const tag *t, const vpi_drm *d)
{
    char uuid[VPI_UUID_TEXT], format[VPI_UUID_TEXT + 16] = "urn:uuid:";

    if (!d->uri && !d->pssh) return;
    add_uri(t, d->uri, DATA_URI, d->pssh, d->pssh_size);
    add_hex(t->b, "KEYID", t->key->kid);
    vpi_uuid_text(d->system, uuid);
    memcpy(format + strlen(format), uuid, sizeof(uuid));
    end(t, format);
}

/* The key itself is behind the URI. cbcs: the IV says what tenc does, without it the number of the segment would. */
static void add_identity(const tag *t)
{
    add_uri(t, t->key->uri, NULL, NULL, 0);
    if (t->key->has_iv) add_hex(t->b, "IV", t->key->iv);
    end(t, FORMAT_IDENTITY);
}

/*
 * Transport streams and packed audio have no pssh and no KIDs, so that FairPlay and plain keys are all that there is;
 * FairPlay knows no counter mode (Apple 13.11).
 */
static void add_systems(const tag *t, const vpi_ptrack *track)
{
    bool cmaf = track->container == VP_CONTAINER_CMAF;
    size_t i;

    for (i = 0; i < t->key->drm_count; i++) {
        const vpi_drm *d = &t->key->drm[i];

        if (vpi_drm_is(d, vpi_system_fairplay)) {
            if (track->protection.scheme == VPI_SCHEME_CBCS) add_fairplay(t, d);
        } else if (!cmaf) {
            continue;
        } else if (vpi_drm_is(d, vpi_system_playready)) {
            add_playready(t, d);
        } else if (vpi_drm_is(d, vpi_system_clearkey)) {
            add_clearkey(t, d);
        } else {
            add_pssh(t, d);
        }
    }
}

static const char *method(const vpi_ptrack *t)
{
    return t->protection.scheme == VPI_SCHEME_CENC ? "SAMPLE-AES-CTR" : "SAMPLE-AES";
}

static void add_key(vpi_buf *b, const vpi_ptrack *track, const vpi_key_info *key, const vpi_segment *s)
{
    tag t = { b, "EXT-X-KEY", method(track), key };
    size_t before;

    if (vpi_whole_segments(track)) {
        t.method = "AES-128";
        if (!key->uri) return;
        add_uri(&t, key->uri, NULL, NULL, 0);
        add_hex(b, "IV", s->iv);
        vpi_buf_u8(b, '\n');
        return;
    }
    before = b->size;
    add_systems(&t, track);
    /*
     * hls.js takes a plain key before any DRM system, and cannot decipher samples of CMAF with it; so there it is
     * written only where there is nothing else (Shaka Player).
     */
    if (key->uri && (b->size == before || track->container != VP_CONTAINER_CMAF)) add_identity(&t);
}

void vpi_hls_key_change(vpi_buf *b, vpi_hls_keys *k, const vpi_ptrack *t, size_t segment)
{
    const vpi_segment *s = &t->segments[segment];
    const vpi_key_info *key = vpi_protection_key(&t->protection, segment);
    vpi_buf swap;

    /* A key's tags are the same in all its segments, but that whole ones each have an IV. */
    if (key == k->key && !(key && vpi_whole_segments(t))) return;
    vpi_buf_clear(&k->now);
    if (key) add_key(&k->now, t, key, s);
    if (!key && k->force.size > 0) vpi_buf_str(b, "#EXT-X-KEY:METHOD=NONE\n");
    if (k->now.size != k->force.size ||
        (k->now.size > 0 && memcmp(k->now.data, k->force.data, k->now.size) != 0)) {
        vpi_buf_add(b, k->now.data, k->now.size);
    }
    if (vpi_buf_failed(&k->now)) b->failed = true;
    swap = k->force;
    k->force = k->now;
    k->now = swap;
    k->key = key;
}

void vpi_hls_keys_dispose(vpi_hls_keys *k)
{
    vpi_buf_dispose(&k->force);
    vpi_buf_dispose(&k->now);
}

/*
 * The first key alone: what a player can get ready before it has read a media playlist. With rotation there may be
 * thousands more, which are asked for as they come. Keys of the format "identity" are left out, those of AES-128 too:
 * there is no session to open for them, hls.js would try to choose a DRM system by them, and Shaka Player would take
 * their KID for zero, which only the init segment tells.
 */
void vpi_hls_session_tags(vpi_buf *b, const vpi_ptrack *t)
{
    const vpi_key_info *key = vpi_protection_key(&t->protection, t->protection.clear_segments);
    tag session = { b, "EXT-X-SESSION-KEY", method(t), key };

    if (key && !vpi_whole_segments(t) && t->protection.clear_segments < t->segment_count)
        add_systems(&session, t);
}

unsigned vpi_hls_key_version(const vpi_ptrack *t)
{
    if (t->protection.scheme == VPI_SCHEME_NONE) return 1;
    return vpi_whole_segments(t) ? 2 : 5; /* IV, KEYFORMAT (RFC 8216 7) */
}
