/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Common Encryption in CMAF (ISO/IEC 23001-7; ISO/IEC 23000-19 8): sample entries and fragments. */
#include "verify/verify_int.h"

enum {
    VERSION_1 = 0x00010000, /* of schm */
    IV_CENC = 8,
    IV_CBCS = 16,
    BLOCK = 16,
    GROUP_HERE = 0x10001 /* the first description of the fragment (14496-12 8.9.4) */
};

static uint32_t scheme_code(const vpi_ptrack *t)
{
    return t->protection.scheme == VPI_SCHEME_CENC ? VPI_FOURCC('c', 'e', 'n', 'c')
                                                   : VPI_FOURCC('c', 'b', 'c', 's');
}

static bool is_cbcs(const vpi_ptrack *t)
{
    return t->protection.scheme == VPI_SCHEME_CBCS;
}

/* ---- init segment ---- */

/* tenc or a description of 'seig': what is the same in all periods (10.1, 10.4). */
static void check_scheme(vpi_verifier *v, const vpi_media_state *s, const vpi_tenc *e,
                         const vpi_key_info *key, const char *kid_rule)
{
    bool video = s->t->kind == VP_TRACK_VIDEO;

    vpi_check(v, e->is_protected == 1, "E14", s->where, "says that its samples are clear");
    vpi_check(v, memcmp(e->kid, key->kid, sizeof(e->kid)) == 0, kid_rule, s->where,
              "another KID than the presentation has");
    if (!is_cbcs(s->t)) {
        vpi_check(v, e->iv_size == IV_CENC, "E09", s->where, "IVs of %u bytes", e->iv_size);
        return;
    }
    vpi_check(v, e->iv_size == 0 && e->constant_iv_size == IV_CBCS, "E11", s->where,
              "IVs of %u bytes for samples, a constant one of %u", e->iv_size, e->constant_iv_size);
    vpi_check(v, memcmp(e->constant_iv, key->iv, sizeof(e->constant_iv)) == 0, "E11", s->where,
              "another constant IV than the presentation has");
    vpi_check(v, e->crypt_blocks == (video ? 1 : 0) && e->skip_blocks == (video ? 9 : 0), "E11", s->where,
              "pattern %u:%u", e->crypt_blocks, e->skip_blocks);
}

/* The clear entry is the encrypted one without what makes it so. */
static bool same_entry(const vpi_entry_info *closed, const vpi_entry_info *open)
{
    size_t behind = closed->sinf_at + closed->sinf_size;

    return open->data && open->type == closed->original && !open->has_sinf &&
           open->size == closed->size - closed->sinf_size &&
           memcmp(open->data, closed->data, closed->sinf_at) == 0 &&
           memcmp(open->data + closed->sinf_at, closed->data + behind, closed->size - behind) == 0;
}

static vp_status open_slicer(vpi_verifier *v, vpi_media_state *s, vp_error *err)
{
    vp_error cause = VP_ERROR_INIT;
    vpi_slicer_codec codec;
    vp_status st;

    switch (s->format) {
    case VPI_FOURCC('a', 'v', 'c', '1'):
        codec = VPI_SLICER_H264;
        break;
    case VPI_FOURCC('h', 'v', 'c', '1'):
        codec = VPI_SLICER_HEVC;
        break;
    case VPI_FOURCC('a', 'v', '0', '1'):
        codec = VPI_SLICER_AV1;
        break;
    default:
        return VP_OK;
    }
    vpi_slicer_free(s->slicer);
    s->slicer = NULL;
    st = vpi_slicer_new(codec, s->init.codec_config, s->init.codec_config_size, &s->slicer, &cause);
    if (st == VP_E_UNSUPPORTED) return VP_OK;
    return vpi_caught(v, st, &cause, "E10", s->where, err);
}

static vp_status check_closed(vpi_verifier *v, vpi_media_state *s, const vpi_entry_info *e, vp_error *err)
{
    const vpi_protection *p = &s->t->protection;
    uint32_t type =
        s->t->kind == VP_TRACK_VIDEO ? VPI_FOURCC('e', 'n', 'c', 'v') : VPI_FOURCC('e', 'n', 'c', 'a');

    vpi_check(v, e->type == type, "E14", s->where, "the first sample entry is not an encrypted one");
    if (!vpi_check(v, e->has_sinf, "E14", s->where, "no sinf") || p->key_count == 0) return VP_OK;
    vpi_check(v, e->scheme == scheme_code(s->t) && e->scheme_version == VERSION_1, "E11", s->where,
              "another scheme than the presentation has");
    vpi_check(v, e->tenc.version == (is_cbcs(s->t) ? 1 : 0), "E11", s->where, "tenc version %u",
              e->tenc.version);
    check_scheme(v, s, &e->tenc, &p->keys[0], "E13");
    /* Deprecated (DASH-IF): it is in the MPD, or in the fragments where keys change. */
    vpi_check(v, !s->entries.has_pssh, "E13", s->where, "a pssh in moov");
    return s->t->kind == VP_TRACK_VIDEO ? open_slicer(v, s, err) : VP_OK;
}

vp_status vpi_verify_entries(vpi_verifier *v, vpi_media_state *s, vp_error *err)
{
    vp_error cause = VP_ERROR_INIT;
    const vpi_entry_info *e = s->entries.entries;
    uint32_t due = vpi_by_sample(s->t) && s->t->protection.clear_segments > 0 ? 2 : 1;
    vp_status st = vpi_entries_parse(s->init_bytes.data, s->init_bytes.size, &s->entries, &cause);

    if (st < 0) {
        VPI_TRY(vpi_caught(v, st, &cause, "STRUCTURE", s->where, err));
        return VP_END;
    }
    s->format = e->has_sinf ? e->original : e->type;
    if (!vpi_check(v, s->entries.count == due, "CMAF", s->where, "%u sample entries, not %u",
                   s->entries.count, due) ||
        !vpi_by_sample(s->t)) {
        vpi_check(v, !e->has_sinf || vpi_by_sample(s->t), "E14", s->where,
                  "an encrypted sample entry in a track that is not");
        return VP_OK;
    }
    VPI_TRY(check_closed(v, s, e, err));
    if (due == 2 && e->has_sinf) {
        vpi_check(v, same_entry(e, e + 1), "CMAF", s->where,
                  "the sample entry for what is clear is another one");
    }
    return VP_OK;
}

/* ---- fragments ---- */

/* One fragment of an encrypted segment. */
typedef struct closed {
    vpi_verifier *v;
    vpi_media_state *s;
    const vpi_fragment_info *info;
    const vpi_box *mdat;
    vpi_moof_protection p;
    uint64_t encrypted; /* bytes */
} closed;

/* Under which key: that of tenc, or what the sample group says instead (6). */
static void check_group(const closed *c)
{
    const vpi_tenc *tenc = &c->s->entries.entries[0].tenc;
    const vpi_moof_protection *p = &c->p;
    bool group = p->has_sbgp || p->has_sgpd;
    const char *where = c->s->where;

    if (!group) {
        vpi_check(c->v, memcmp(tenc->kid, c->s->key->kid, sizeof(tenc->kid)) == 0, "E07", where,
                  "a fragment under the first key, another one is due");
        if (is_cbcs(c->s->t))
            vpi_check(c->v, memcmp(tenc->constant_iv, c->s->key->iv, IV_CBCS) == 0, "E07", where,
                      "a fragment under the first IV, another one is due");
        return;
    }
    if (!vpi_check(c->v,
                   p->has_sbgp && p->has_sgpd && p->group_descriptions == 1 && !p->groups_differ &&
                       p->group_index == GROUP_HERE && p->group_samples == c->info->count,
                   "E07", where, "sample groups of keys that are not one for all samples of the fragment")) {
        return;
    }
    check_scheme(c->v, c->s, &p->seig, c->s->key, "E07");
}

/* saiz, saio and senc say the same (7.1; 14496-12 8.7.8, 8.7.9). *has: there is something to read. */
static bool check_aux(const closed *c, bool *has)
{
    const vpi_moof_protection *p = &c->p;
    /* Whole samples under a constant IV: the header says it all. */
    bool due = !is_cbcs(c->s->t) || c->s->t->kind == VP_TRACK_VIDEO;

    *has = due;
    if (!due) {
        return vpi_check(c->v, !p->has_senc && !p->has_saiz && !p->has_saio, "E12", c->s->where,
                         "auxiliary information where there is none to tell");
    }
    if (!vpi_check(c->v, p->has_senc && p->has_saiz && p->has_saio, "E12", c->s->where,
                   "a fragment without senc, saiz or saio")) {
        return false;
    }
    vpi_check(c->v, p->saio_count == 1 && p->saio == p->senc_at, "E12", c->s->where,
              "saio says %llu, senc's samples are at %llu", (unsigned long long)p->saio,
              (unsigned long long)p->senc_at);
    return vpi_check(c->v, p->senc_count == c->info->count && p->saiz_count == c->info->count, "E12",
                     c->s->where, "senc has %u samples, saiz %u, the fragment %zu", p->senc_count,
                     p->saiz_count, c->info->count);
}

/*
 * Against the headers of the picture, which are clear: what must not be encrypted is not, and of what may be nothing
 * but the rest of a block is left clear.
 */
static vp_status check_ranges(const closed *c, const vpi_senc_sample *a, const uint8_t *data, size_t size,
                              size_t number, vp_error *err)
{
    vpi_media_state *s = c->s;
    vp_error cause = VP_ERROR_INIT;
    size_t count = 0, at = 0, n = 0, open = 0;
    bool inside = true;
    vp_status st = vpi_slicer_sample(s->slicer, data, size, &s->ranges, &count, &s->range_cap, &cause);

    if (st == VP_E_UNSUPPORTED) return VP_OK;
    if (st < 0) return vpi_caught(c->v, st, &cause, "E10", s->where, err);
    for (size_t i = 0; i < count; i++) open += s->ranges[i].size;
    for (size_t i = 0; i < a->count; i++) {
        uint32_t clear, closed_bytes;

        vpi_senc_subsample(a, i, &clear, &closed_bytes);
        at += clear;
        while (n < count && s->ranges[n].at + s->ranges[n].size <= at) n++;
        if (closed_bytes > 0) {
            inside &= n < count && s->ranges[n].at <= at &&
                      closed_bytes <= s->ranges[n].at + s->ranges[n].size - at;
            open -= VPI_MIN(open, (size_t)closed_bytes);
        }
        at += closed_bytes;
    }
    vpi_check(c->v, inside, "E10", s->where, "sample %zu: headers or messages are encrypted", number + 1);
    vpi_check(c->v, open < BLOCK * VPI_MAX(count, (size_t)1), "E14", s->where,
              "sample %zu: %zu bytes of the picture are clear", number + 1, open);
    return VP_OK;
}

static void check_subsamples(closed *c, const vpi_senc_sample *a, uint64_t size, size_t number)
{
    uint64_t sum = 0;
    bool whole = true;

    for (size_t i = 0; i < a->count; i++) {
        uint32_t clear, closed_bytes;

        vpi_senc_subsample(a, i, &clear, &closed_bytes);
        sum += (uint64_t)clear + closed_bytes;
        whole &= closed_bytes % BLOCK == 0;
        c->encrypted += closed_bytes;
    }
    if (a->count == 0) c->encrypted += size;
    vpi_check(c->v, a->count == 0 || sum == size, "E10", c->s->where,
              "sample %zu: subsamples have %llu bytes, it has %llu", number + 1, (unsigned long long)sum,
              (unsigned long long)size);
    vpi_check(c->v, whole || is_cbcs(c->s->t), "E10", c->s->where,
              "sample %zu: encrypted parts are no whole blocks", number + 1);
}

static vp_status check_samples(closed *c, vp_error *err)
{
    vpi_media_state *s = c->s;
    unsigned iv_size = is_cbcs(s->t) ? 0 : IV_CENC;
    size_t aux = 0, at = 0;
    vpi_senc_sample a;

    for (size_t i = 0; i < c->info->count; i++) {
        uint32_t size = c->info->samples[i].size ? c->info->samples[i].size : s->init.trex_size;
        size_t said = c->p.saiz_default;

        if (!said) said = c->p.saiz[i];
        if (!vpi_check(c->v, vpi_senc_next(&c->p, iv_size, &aux, &a), "E12", s->where,
                       "senc ends before sample %zu", i + 1) ||
            !vpi_check(c->v, a.size == said, "E12", s->where, "sample %zu: senc has %zu bytes, saiz says %zu",
                       i + 1, a.size, said) ||
            size > c->mdat->data_size - at) { /* told by check_samples of the fragment */
            return VP_OK;
        }
        if (!is_cbcs(s->t)) s->sample_ivs[i] = vpi_rd64(a.iv);
        check_subsamples(c, &a, size, i);
        if (s->slicer) VPI_TRY(check_ranges(c, &a, c->mdat->data + at, size, i, err));
        at += size;
    }
    vpi_check(c->v, aux == c->p.senc_size, "E12", s->where, "senc is longer than its samples");
    return is_cbcs(s->t) ? VP_OK : vpi_ivs_add(c->v, s, s->sample_ivs, c->info->count, err);
}

/* The box of the common system for one KID, which stands in a fragment for ClearKey. */
static bool is_common(const vpi_box *box, const uint8_t kid[16])
{
    static const uint8_t head[4] = { 1 }, count[4] = { 0, 0, 0, 1 }, none[4] = { 0 };
    const uint8_t *d = box->data;

    return box->data_size == 44 && !memcmp(d, head, 4) && !memcmp(d + 4, vpi_system_common, 16) &&
           !memcmp(d + 20, count, 4) && !memcmp(d + 24, kid, 16) && !memcmp(d + 40, none, 4);
}

/* Boxes for DRM systems in a fragment are those of its key. */
static void check_boxes(const closed *c, const vpi_box *moof)
{
    const vpi_key_info *key = c->s->key;
    vpi_box box;
    size_t at = 0;

    while (vpi_box_next(moof->data, moof->data_size, 0, &at, &box, NULL) == VP_OK) {
        const uint8_t *whole = moof->data + box.offset;
        bool known = box.type != VPI_FOURCC('p', 's', 's', 'h') || is_common(&box, key->kid);

        for (size_t i = 0; !known && i < key->drm_count; i++) {
            known = key->drm[i].pssh && key->drm[i].pssh_size == box.size &&
                    memcmp(key->drm[i].pssh, whole, (size_t)box.size) == 0;
        }
        vpi_check(c->v, known, "E13", c->s->where, "a pssh that is not of the key");
    }
}

static vp_status check_closed_fragment(closed *c, const vpi_box *moof, vp_error *err)
{
    vpi_media_state *s = c->s;
    bool has;

    check_group(c);
    check_boxes(c, moof);
    if (!check_aux(c, &has) || !has) return VP_OK;
    vpi_check(c->v, c->p.senc_subsamples == (s->t->kind == VP_TRACK_VIDEO), "E10", s->where,
              "subsamples are those of another kind of track");
    if (c->info->count > s->sample_iv_cap) {
        uint64_t *more = vpi_realloc(s->sample_ivs, c->info->count, sizeof(*more));

        if (!more) return vpi_fail_nomem(err);
        s->sample_ivs = more;
        s->sample_iv_cap = c->info->count;
    }
    VPI_TRY(check_samples(c, err));
    vpi_check(c->v, c->encrypted > 0, "E14", s->where, "nothing of a fragment is encrypted");
    return VP_OK;
}

vp_status vpi_verify_fragment_keys(vpi_verifier *v, vpi_media_state *s, const vpi_box *moof,
                                   const vpi_box *mdat, const vpi_fragment_info *info, vp_error *err)
{
    closed c = { .v = v, .s = s, .info = info, .mdat = mdat };
    vp_error cause = VP_ERROR_INIT;
    vp_status st = vpi_moof_protection_parse(moof, &c.p, &cause);

    if (st < 0) return vpi_caught(v, st, &cause, "E12", s->where, err);
    if (s->key && vpi_by_sample(s->t)) return check_closed_fragment(&c, moof, err);
    vpi_check(v, !c.p.has_senc && !c.p.has_saiz && !c.p.has_saio && !c.p.has_sbgp && !c.p.has_sgpd, "E07",
              s->where, "a clear fragment with what belongs to encrypted ones");
    return VP_OK;
}
