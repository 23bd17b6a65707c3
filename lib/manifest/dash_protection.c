/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* ContentProtection (ISO/IEC 23009-1 5.8.4.1, ISO/IEC 23001-7 11, DASH-IF IOP part 6). */
#include "manifest/dash_int.h"
#include "manifest/drm.h"

/* What the systems call themselves in @value; NULL: nothing is usual. */
static const char *value_of(const vpi_drm *d)
{
    if (vpi_drm_is(d, vpi_system_widevine)) return "Widevine";
    if (vpi_drm_is(d, vpi_system_playready)) return "MSPR 2.0";
    if (vpi_drm_is(d, vpi_system_fairplay)) return "FairPlay";
    return vpi_drm_is(d, vpi_system_clearkey) ? "ClearKey1.0" : NULL;
}

/* FairPlay knows no counter mode. */
static bool listed(const vpi_ptrack *t, const vpi_drm *d)
{
    return t->protection.scheme == VPI_SCHEME_CBCS || !vpi_drm_is(d, vpi_system_fairplay);
}

static bool has_object(const vpi_drm *d)
{
    const uint8_t *object;
    size_t size;

    return vpi_drm_is(d, vpi_system_playready) && vpi_drm_payload(d, &object, &size);
}

/*
 * Players make what ClearKey needs of the default KID; a box of that system they would hand to the browser, which
 * refuses it.
 */
static bool has_box(const vpi_drm *d)
{
    return d->pssh && !vpi_drm_is(d, vpi_system_clearkey);
}

bool vpi_dash_same_key(const vpi_ptrack *a, const vpi_ptrack *b)
{
    const vpi_key_info *x = vpi_first_key(a), *y = vpi_first_key(b);

    if (a->protection.scheme != b->protection.scheme || !x != !y) return false;
    return !x || memcmp(x->kid, y->kid, sizeof(x->kid)) == 0;
}

unsigned vpi_dash_namespaces(const vpi_ptrack *t)
{
    const vpi_key_info *k = vpi_first_key(t);
    unsigned set = k ? VPI_DASH_NS_CENC : 0;
    size_t i;

    for (i = 0; k && i < k->drm_count; i++) {
        if (!listed(t, &k->drm[i])) continue;
        if (has_object(&k->drm[i])) set |= VPI_DASH_NS_MSPR;
        if (k->drm[i].laurl) set |= VPI_DASH_NS_DASHIF;
    }
    return set;
}

static void base64(vpi_xml *x, const char *element, const void *data, size_t size)
{
    vpi_buf b = { 0 };
    char *text;

    vpi_base64_add(&b, data, size);
    text = vpi_buf_steal_string(&b);
    if (!text) {
        x->out->failed = true;
        return;
    }
    vpi_xml_open(x, element);
    vpi_xml_text(x, text);
    vpi_xml_close(x);
    vpi_free(text);
}

static void add_system(vpi_xml *x, const vpi_drm *d)
{
    char uuid[VPI_UUID_TEXT];
    const uint8_t *object = NULL;
    size_t size = 0;

    vpi_uuid_text(d->system, uuid);
    vpi_xml_open(x, "ContentProtection");
    vpi_xml_attrf(x, "schemeIdUri", "urn:uuid:%s", uuid);
    if (value_of(d)) vpi_xml_attr(x, "value", value_of(d));
    if (has_box(d)) base64(x, "cenc:pssh", d->pssh, d->pssh_size);
    if (has_object(d) && vpi_drm_payload(d, &object, &size)) base64(x, "mspr:pro", object, size);
    if (d->laurl) {
        /* With a capital letter: Shaka Player and ExoPlayer read no other; the older clearkey:Laurl is not needed. */
        vpi_xml_open(x, "dashif:Laurl");
        if (vpi_drm_is(d, vpi_system_clearkey)) vpi_xml_attr(x, "licenseType", "EME-1.0");
        vpi_xml_text(x, d->laurl);
        vpi_xml_close(x);
    }
    vpi_xml_close(x);
}

/* Keys of later periods are told in moof, never here (DASH-IF). */
void vpi_dash_protection(vpi_xml *x, const vpi_ptrack *t)
{
    const vpi_key_info *k = vpi_first_key(t);
    char kid[VPI_UUID_TEXT];
    size_t i;

    if (!k) return;
    vpi_uuid_text(k->kid, kid);
    vpi_xml_open(x, "ContentProtection");
    vpi_xml_attr(x, "schemeIdUri", "urn:mpeg:dash:mp4protection:2011");
    vpi_xml_attr(x, "value", vpi_scheme_word(t->protection.scheme));
    vpi_xml_attr(x, "cenc:default_KID", kid);
    vpi_xml_close(x);
    for (i = 0; i < k->drm_count; i++) {
        if (listed(t, &k->drm[i]) && !vpi_drm_is(&k->drm[i], vpi_system_common)) add_system(x, &k->drm[i]);
    }
    /* Last: Shaka Player takes it for ClearKey, and of two of a system only the first one's licence server. */
    for (i = 0; i < k->drm_count; i++) {
        if (listed(t, &k->drm[i]) && vpi_drm_is(&k->drm[i], vpi_system_common)) add_system(x, &k->drm[i]);
    }
}
