/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a presentation tells of keys: never a key itself, but all that manifests and segments must agree with. */
#include "verify/verify_int.h"

#define BLOCK 16u /* of AES */

bool vpi_whole_object(const vpi_ptrack *t)
{
    return t->protection.scheme == VPI_SCHEME_AES128;
}

bool vpi_by_sample(const vpi_ptrack *t)
{
    return t->protection.scheme != VPI_SCHEME_NONE && !vpi_whole_object(t);
}

/* It is written between quotes, as it is. */
static void check_uri(vpi_verifier *v, const char *uri, const char *where)
{
    bool good = true;

    if (!uri) return;
    for (const char *c = uri; *c; c++) good &= *c > 0x20 && *c < 0x7F && *c != '"';
    vpi_check(v, good && uri[0], "E06", where, "an address of a key that is no address");
}

static vp_status check_key(vpi_verifier *v, const vpi_ptrack *t, const vpi_key_info *k, const char *where,
                           vp_error *err)
{
    if (vpi_whole_object(t)) vpi_check(v, k->uri != NULL, "E07", where, "a key without URI");
    if (vpi_by_sample(t)) vpi_check(v, k->has_kid, "E13", where, "a key without KID");
    if (t->protection.scheme == VPI_SCHEME_CBCS)
        vpi_check(v, k->has_iv, "E11", where, "a key without the constant IV");
    check_uri(v, k->uri, where);
    for (size_t i = 0; i < k->drm_count; i++) {
        check_uri(v, k->drm[i].uri, where);
        check_uri(v, k->drm[i].laurl, where);
        if (k->has_kid) VPI_TRY(vpi_verify_pssh(v, &k->drm[i], k->kid, where, err));
    }
    return VP_OK;
}

/* Segments that are encrypted as a whole each have an IV, others none. */
static void check_ivs(vpi_verifier *v, const vpi_ptrack *t)
{
    for (size_t i = 0; i < t->segment_count; i++) {
        const vpi_segment *s = &t->segments[i];
        bool due = vpi_whole_object(t) && i >= t->protection.clear_segments;

        if (!vpi_check(v, s->has_iv == due, "E01", s->key,
                       due ? "no IV" : "an IV, but it is not encrypted") ||
            !due) {
            continue;
        }
        vpi_check(v, s->bytes > 0 && s->bytes % BLOCK == 0, "E03", s->key, "%llu bytes are no whole blocks",
                  (unsigned long long)s->bytes);
    }
}

vp_status vpi_verify_keys(vpi_verifier *v, const vpi_ptrack *t, const char *where, vp_error *err)
{
    const vpi_protection *p = &t->protection;
    uint64_t periods = p->rotation ? (t->segment_count - 1) / p->rotation + 1 : 1;

    check_ivs(v, t);
    if (p->scheme == VPI_SCHEME_NONE) return VP_OK;
    vpi_check(v, p->key_count >= periods, "E07", where, "%zu keys for %llu periods", p->key_count,
              (unsigned long long)periods);
    vpi_check(v, p->scheme != VPI_SCHEME_CENC || t->container == VP_CONTAINER_CMAF, "E09", where,
              "cenc outside of CMAF");
    for (size_t i = 0; i < p->key_count; i++) VPI_TRY(check_key(v, t, &p->keys[i], where, err));
    return VP_OK;
}

/* Keys change at the same segments in all renditions, which players switch between. */
void vpi_verify_key_times(vpi_verifier *v)
{
    const vpi_ptrack *first = NULL;
    char where[1024];

    for (size_t i = 0; i < v->p->track_count; i++) {
        const vpi_ptrack *t = &v->p->tracks[i];

        if (!v->sane[i] || t->protection.scheme == VPI_SCHEME_NONE) continue;
        if (!first) first = t;
        vpi_check(v,
                  t->protection.clear_segments == first->protection.clear_segments &&
                      t->protection.rotation == first->protection.rotation &&
                      t->protection.scheme == first->protection.scheme,
                  "E07", vpi_track_where(t, where),
                  "is encrypted otherwise than %s, or from another segment on", first->name);
    }
}

void vpi_verify_whole(vpi_verifier *v, const vpi_media_state *s)
{
    /* PKCS#7 always pads: not a byte more or less than whole blocks, and never none (RFC 8216 4.3.2.4). */
    vpi_check(v, s->segment->bytes > 0 && s->segment->bytes % BLOCK == 0, "E03", s->where,
              "%llu bytes are no whole blocks", (unsigned long long)s->segment->bytes);
}
