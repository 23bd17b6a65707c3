/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The keys of one title, and the hooks through which its segments are protected with them. */

#include <openssl/crypto.h>
#include <openssl/rand.h>

#include "base/hash.h"
#include "crypt_int.h"
#include "io/object.h"
#include "sample_aes.h"

enum { LABELS_MAX = 8 };

typedef struct label_keys {
    vpi_protection told;
    uint8_t (*keys)[16]; /* by period */
    size_t count;
} label_keys;

struct vpi_keyring {
    vp_keys *provider;
    vpi_scheme scheme;
    char *title;
    uint8_t seed[16];
    label_keys labels[LABELS_MAX];
    size_t count;
};

struct vpi_guard_session {
    const vpi_keyring *ring;
    const label_keys *label;
    vpi_guard_track track;
    vpi_sampler sampler;
    vpi_cipher *cipher;
    size_t period; /* of cipher */
    uint64_t iv_base;
    uint8_t iv[16]; /* constant, of the period */
    vpi_buf pssh;   /* of the period */
};

/* ---- numbers from the seed ---- */

/* Not secret, and the same on every machine: SHA-256 of the seed, what for, and two numbers. */
static void derive(const uint8_t seed[16], const char *what, const char *label, uint64_t a, uint64_t b,
                   uint8_t to[32])
{
    vpi_sha256 sha;

    vpi_sha256_init(&sha);
    vpi_sha256_add(&sha, seed, 16);
    vpi_sha256_add_str(&sha, what);
    vpi_sha256_add_str(&sha, label);
    vpi_sha256_add_u64(&sha, a);
    vpi_sha256_add_u64(&sha, b);
    vpi_sha256_done(&sha, to);
}

/* One way: whoever sees it learns nothing of a key that is random. */
static void check_value(const uint8_t key[16], uint8_t to[8])
{
    vpi_sha256 sha;
    uint8_t digest[32];

    vpi_sha256_init(&sha);
    vpi_sha256_add_str(&sha, "vodpipe key check");
    vpi_sha256_add(&sha, key, 16);
    vpi_sha256_done(&sha, digest);
    memcpy(to, digest, 8);
    OPENSSL_cleanse(&sha, sizeof(sha));
}

static vp_status random_seed(uint8_t seed[16], vp_error *err)
{
    return RAND_bytes(seed, 16) == 1 ? VP_OK : vpi_fail(err, VP_E_INTERNAL, NULL, "no random numbers");
}

/* ---- ring ---- */

static vp_status ring_new(vp_keys *keys, vpi_scheme scheme, const char *title, const uint8_t seed[16],
                          vpi_keyring **out, vp_error *err)
{
    vpi_keyring *ring = vpi_calloc(1, sizeof(*ring));

    *out = NULL;
    if (!ring) return vpi_fail_nomem(err);
    ring->scheme = scheme;
    memcpy(ring->seed, seed, sizeof(ring->seed));
    ring->title = vpi_strdup(title ? title : "");
    if (!ring->title) {
        vpi_free(ring);
        return vpi_fail_nomem(err);
    }
    ring->provider = vp_keys_ref(keys);
    *out = ring;
    return VP_OK;
}

static void ring_free(vpi_keyring *ring)
{
    if (!ring) return;
    for (size_t i = 0; i < ring->count; i++) {
        label_keys *l = &ring->labels[i];

        if (l->keys) OPENSSL_cleanse(l->keys, l->count * sizeof(*l->keys));
        vpi_free(l->keys);
        vpi_protection_dispose(&l->told);
    }
    vp_keys_unref(ring->provider);
    vpi_free(ring->title);
    OPENSSL_cleanse(ring, sizeof(*ring));
    vpi_free(ring);
}

static const label_keys *find_label(const vpi_keyring *ring, const char *label)
{
    for (size_t i = 0; i < ring->count; i++)
        if (vpi_streq(ring->labels[i].told.label, label)) return &ring->labels[i];
    return NULL;
}

/* Moves what may be told of a key; the seed stands in for an IV that was not given. */
static vp_status tell(const vpi_keyring *ring, vpi_key *key, vpi_protection *to, vp_error *err)
{
    vpi_key_info *info = vpi_protection_add_key(to);
    uint8_t digest[32];

    if (!info) return vpi_fail_nomem(err);
    *info = key->info;
    memset(&key->info, 0, sizeof(key->info));
    check_value(key->key, info->check);
    if (ring->scheme == VPI_SCHEME_CBCS && !info->has_iv) {
        derive(ring->seed, "iv", to->label, key->period, 0, digest);
        memcpy(info->iv, digest, sizeof(info->iv));
        info->has_iv = info->iv_derived = true;
    }
    return VP_OK;
}

static vp_status ask_period(const vpi_keyring *ring, label_keys *l, uint32_t period, vp_error *err)
{
    vp_key_request request = { .struct_size = (uint32_t)sizeof(request),
                               .scheme = ring->scheme,
                               .title = ring->title,
                               .label = l->told.label,
                               .period = period };
    vpi_key key;
    vp_status st;

    VPI_TRY(vpi_keys_get(ring->provider, &request, &key, err));
    memcpy(l->keys[period], key.key, sizeof(key.key));
    st = tell(ring, &key, &l->told, err);
    vpi_key_dispose(&key);
    return st;
}

static vp_status add_label(vpi_keyring *ring, const char *label, uint64_t periods, uint64_t rotation,
                           uint64_t clear_segments, label_keys **out, vp_error *err)
{
    label_keys *l = &ring->labels[ring->count];

    if (ring->count == LABELS_MAX || periods == 0 || periods > VPI_KEY_PERIODS_MAX)
        return vpi_fail(err, VP_E_LIMIT, "INPUT_LIMIT", "more than %u periods of keys", VPI_KEY_PERIODS_MAX);
    l->keys = vpi_calloc((size_t)periods, sizeof(*l->keys));
    if (!l->keys) return vpi_fail_nomem(err);
    l->count = (size_t)periods;
    ring->count++;
    l->told.scheme = ring->scheme;
    l->told.rotation = rotation;
    l->told.clear_segments = clear_segments;
    vpi_strlcpy(l->told.label, label, sizeof(l->told.label));
    for (uint32_t i = 0; i < periods; i++) VPI_TRY(ask_period(ring, l, i, err));
    *out = l;
    return VP_OK;
}

static vp_status ring_ask(vpi_keyring *ring, const char *label, uint64_t periods, uint64_t rotation,
                          uint64_t clear_segments, vpi_protection *out, vp_error *err)
{
    const label_keys *there = find_label(ring, label);
    label_keys *l = NULL;

    if (!there) {
        VPI_TRY(add_label(ring, label, periods, rotation, clear_segments, &l, err));
        there = l;
    }
    return vpi_protection_copy(out, &there->told, err);
}

static bool same_key(const vpi_key_info *a, const vpi_key_info *b)
{
    return a->has_kid == b->has_kid && a->has_iv == b->has_iv && !memcmp(a->kid, b->kid, 16) &&
           !memcmp(a->iv, b->iv, 16) && !memcmp(a->check, b->check, 8);
}

static vp_status ring_match(vpi_keyring *ring, const vpi_protection *p, vp_error *err)
{
    label_keys *l = NULL;

    if (find_label(ring, p->label)) return VP_OK;
    VPI_TRY(add_label(ring, p->label, p->key_count, p->rotation, p->clear_segments, &l, err));
    for (size_t i = 0; i < p->key_count; i++) {
        if (!same_key(&p->keys[i], &l->told.keys[i]))
            return vpi_key_invalid(err, "label %s, period %zu: not the key of the plan", p->label, i);
    }
    return VP_OK;
}

/* ---- hooks ---- */

static void session_close(vpi_guard_session *s)
{
    if (!s) return;
    vpi_sampler_close(&s->sampler);
    vpi_cipher_free(s->cipher);
    vpi_buf_dispose(&s->pssh);
    OPENSSL_cleanse(s, sizeof(*s));
    vpi_free(s);
}

static vp_status session_open(void *user, const vpi_guard_track *track, vpi_guard_session **out,
                              vp_error *err)
{
    const vpi_keyring *ring = user;
    vpi_guard_session *s = vpi_calloc(1, sizeof(*s));
    uint8_t digest[32];
    vp_status st = VP_OK;

    *out = NULL;
    if (!s) return vpi_fail_nomem(err);
    s->ring = ring;
    s->track = *track;
    s->label = find_label(ring, track->label);
    s->period = SIZE_MAX;
    derive(ring->seed, "sample", "", 0, 0, digest);
    for (int i = 0; i < 8; i++) s->iv_base = s->iv_base << 8 | digest[i];
    if (!s->label || track->ordinal >= VPI_GUARD_TRACKS)
        st = vpi_fail(err, VP_E_INTERNAL, NULL, "no keys for label %s", track->label);
    if (st >= 0 && ring->scheme != VPI_SCHEME_AES128)
        st = vpi_sampler_open(&s->sampler, ring->scheme, track->kind, track->codec, track->config,
                              track->config_size, err);
    if (st < 0) {
        session_close(s);
        return st;
    }
    *out = s;
    return VP_OK;
}

/* The period of a segment. False: it is clear. */
static bool period_of(const vpi_guard_session *s, uint64_t number, size_t *period)
{
    const vpi_protection *p = &s->label->told;

    if (number < p->clear_segments) return false;
    *period = p->rotation ? (size_t)VPI_MIN(number / p->rotation, (uint64_t)p->key_count - 1) : 0;
    return true;
}

/*
 * With keys that change, players that go by the stream find what their system needs in it (DASH-IF 7.4). Browsers know
 * the common box, and refuse one of ClearKey.
 */
static vp_status add_boxes(vpi_guard_session *s, const vpi_key_info *k, vp_error *err)
{
    bool clearkey = false, common = false;

    for (size_t i = 0; i < k->drm_count; i++) {
        if (!memcmp(k->drm[i].system, vpi_system_clearkey, 16)) {
            clearkey = true;
            continue;
        }
        common = common || !memcmp(k->drm[i].system, vpi_system_common, 16);
        vpi_buf_add(&s->pssh, k->drm[i].pssh, k->drm[i].pssh_size);
    }
    if (!clearkey || common) return VP_OK;
    return vpi_pssh_make(vpi_system_common, s->ring->scheme, k->kid, 1, NULL, &s->pssh, err);
}

static vp_status enter_period(vpi_guard_session *s, size_t period, vp_error *err)
{
    const vpi_key_info *k = &s->label->told.keys[period];

    if (s->period == period) return VP_OK;
    vpi_cipher_free(s->cipher);
    s->cipher = NULL;
    s->period = SIZE_MAX;
    VPI_TRY(vpi_cipher_new(s->ring->scheme == VPI_SCHEME_CENC, s->label->keys[period], &s->cipher, err));
    memcpy(s->iv, k->iv, sizeof(s->iv));
    vpi_buf_clear(&s->pssh);
    if (s->label->told.rotation) VPI_TRY(add_boxes(s, k, err));
    if (vpi_buf_failed(&s->pssh)) return vpi_fail_nomem(err);
    s->period = period;
    return VP_OK;
}

/*
 * Sample IVs of cenc count up, with a step for every track of the title: under a key no two samples share one, and the
 * blocks of a sample have the other 64 bits (FAILURES E08).
 */
static vp_status protect_sample(void *user, uint64_t index, const uint8_t *data, size_t size, uint8_t *to,
                                vpi_protect_out *out, vp_error *err)
{
    vpi_guard_session *s = user;
    uint64_t n = s->iv_base + index * VPI_GUARD_TRACKS + s->track.ordinal;
    uint8_t short_iv[8];

    if (s->ring->scheme != VPI_SCHEME_CENC)
        return vpi_sampler_sample(&s->sampler, s->cipher, s->iv, data, size, to, out, err);
    for (int i = 0; i < 8; i++) short_iv[i] = (uint8_t)(n >> (56 - 8 * i));
    return vpi_sampler_sample(&s->sampler, s->cipher, short_iv, data, size, to, out, err);
}

static vp_status protect_unit(void *user, vpi_codec codec, const uint8_t *data, size_t size, vpi_buf *out,
                              vp_error *err)
{
    vpi_guard_session *s = user;

    return vpi_sample_aes_unit(s->cipher, s->iv, codec, data, size, out, err);
}

static vp_status session_segment(vpi_guard_session *s, uint64_t number, vpi_protect *out, vp_error *err)
{
    size_t period = 0;
    bool protect = period_of(s, number, &period);

    vpi_protect_from(&s->label->told, period, s->track.kind, out);
    out->clear = !protect;
    if (!protect) return VP_OK;
    VPI_TRY(enter_period(s, period, err));
    out->group = period > 0;
    out->pssh = s->pssh.data;
    out->pssh_size = s->pssh.size;
    out->sample = protect_sample;
    out->unit = protect_unit;
    out->user = s;
    return VP_OK;
}

static vp_status session_object(vpi_guard_session *s, uint64_t number, vpi_object_cipher *out, uint8_t iv[16],
                                vp_error *err)
{
    const vpi_key_info *k;
    size_t period = 0;
    uint8_t digest[32];

    memset(out, 0, sizeof(*out));
    if (!period_of(s, number, &period)) return VP_OK;
    k = &s->label->told.keys[period];
    derive(s->ring->seed, "segment", s->label->told.label, s->track.ordinal, number, digest);
    memcpy(iv, k->has_iv ? k->iv : digest, 16);
    return vpi_segment_cipher(s->label->keys[period], iv, out, err);
}

static void ring_guard(vpi_keyring *ring, vpi_guard *out)
{
    *out = (vpi_guard){ .user = ring,
                        .open = session_open,
                        .segment = session_segment,
                        .object = session_object,
                        .close = session_close };
}

const vpi_keys_ops vpi_keyring_ops = { .seed = random_seed,
                                       .new_ring = ring_new,
                                       .ask = ring_ask,
                                       .match = ring_match,
                                       .guard = ring_guard,
                                       .free_ring = ring_free };
