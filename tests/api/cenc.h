/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VPT_API_CENC_H
#define VPT_API_CENC_H

/*
 * What the tests of vp_cenc share: CMAF made by ffmpeg and taken apart, and a player's side of common encryption
 * written from the standards alone (FIPS 197, ISO/IEC 23001-7), with no code of the library and none of OpenSSL.
 */

#include "api/host.h"

/* ---- AES-128, one block ---- */

typedef struct aes {
    uint8_t keys[11][16];
} aes;

static uint8_t aes_box[256], aes_back[256];

static inline uint8_t aes_double(uint8_t v)
{
    return (uint8_t)(v << 1 ^ (v >> 7 ? 0x1b : 0));
}

static inline uint8_t aes_times(uint8_t a, uint8_t b)
{
    uint8_t r = 0;
    for (; b; b >>= 1, a = aes_double(a))
        if (b & 1) r ^= a;
    return r;
}

/* The inverse in GF(2^8) is the 254th power; then an affine map (5.1.1). */
static inline uint8_t aes_substitute(uint8_t v)
{
    uint8_t r = 1, out = 0x63;
    for (int i = 0; i < 254; i++) r = aes_times(r, v);
    if (!v) r = 0;
    for (int i = 0; i < 5; i++) out ^= (uint8_t)(r << i | (i ? r >> (8 - i) : 0));
    return out;
}

static inline void aes_init(aes *a, const uint8_t key[16])
{
    uint8_t round = 1;
    if (!aes_box[0]) { /* one thread opens segments */
        for (int i = 0; i < 256; i++) aes_box[i] = aes_substitute((uint8_t)i);
        for (int i = 0; i < 256; i++) aes_back[aes_box[i]] = (uint8_t)i;
    }
    memcpy(a->keys[0], key, 16);
    for (int k = 1; k < 11; k++, round = aes_double(round)) {
        const uint8_t *before = a->keys[k - 1];
        for (int i = 0; i < 4; i++) a->keys[k][i] = before[i] ^ aes_box[before[12 + (i + 1) % 4]];
        a->keys[k][0] ^= round;
        for (int i = 4; i < 16; i++) a->keys[k][i] = before[i] ^ a->keys[k][i - 4];
    }
}

static inline void aes_mix(uint8_t s[16], const uint8_t by[4])
{
    for (int c = 0; c < 16; c += 4) {
        uint8_t in[4];
        memcpy(in, s + c, 4);
        for (int r = 0; r < 4; r++) {
            s[c + r] = 0;
            for (int i = 0; i < 4; i++) s[c + r] ^= aes_times(in[i], by[(i - r + 4) % 4]);
        }
    }
}

static inline void aes_encrypt(const aes *a, const uint8_t in[16], uint8_t out[16])
{
    static const uint8_t by[4] = { 2, 3, 1, 1 };
    uint8_t s[16], t[16];
    for (int i = 0; i < 16; i++) s[i] = in[i] ^ a->keys[0][i];
    for (int k = 1; k < 11; k++) {
        for (int i = 0; i < 16; i++) t[i] = aes_box[s[(i + 4 * (i % 4)) % 16]];
        if (k < 10) aes_mix(t, by);
        for (int i = 0; i < 16; i++) s[i] = t[i] ^ a->keys[k][i];
    }
    memcpy(out, s, 16);
}

static inline void aes_decrypt(const aes *a, const uint8_t in[16], uint8_t out[16])
{
    static const uint8_t by[4] = { 14, 11, 13, 9 };
    uint8_t s[16], t[16];
    memcpy(s, in, 16);
    for (int k = 10; k > 0; k--) {
        for (int i = 0; i < 16; i++) s[i] ^= a->keys[k][i];
        if (k < 10) aes_mix(s, by);
        for (int i = 0; i < 16; i++) t[(i + 4 * (i % 4)) % 16] = aes_back[s[i]];
        memcpy(s, t, 16);
    }
    for (int i = 0; i < 16; i++) out[i] = s[i] ^ a->keys[0][i];
}

/* ---- boxes ---- */

static inline uint32_t be32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static inline void put32(uint8_t *p, uint32_t v)
{
    for (int i = 0; i < 4; i++) p[i] = (uint8_t)(v >> (24 - 8 * i));
}

typedef struct span {
    const uint8_t *data; /* a whole box; NULL: none */
    size_t size;
} span;

static inline bool is_type(const uint8_t *box, const char *type)
{
    return memcmp(box + 4, type, 4) == 0;
}

/* The n-th box of a type among those that lie in data. */
static inline span box_in(const uint8_t *data, size_t size, const char *type, unsigned n)
{
    for (size_t at = 0; at + 8 <= size;) {
        size_t box = be32(data + at);
        assert_true(box >= 8 && box <= size - at);
        if (is_type(data + at, type) && n-- == 0) return (span){ data + at, box };
        at += box;
    }
    return (span){ NULL, 0 };
}

static inline span child(span parent, size_t head, const char *type)
{
    if (!parent.data) return parent;
    assert_true(parent.size >= head);
    return box_in(parent.data + head, parent.size - head, type, 0);
}

static inline span sample_entry(const uint8_t *init, size_t size, unsigned n)
{
    span box = box_in(init, size, "moov", 0);
    static const char *const path[] = { "trak", "mdia", "minf", "stbl", "stsd" };
    for (unsigned i = 0; i < 5; i++) box = child(box, 8, path[i]);
    assert_non_null(box.data);
    for (size_t at = 16; at + 8 <= box.size; at += be32(box.data + at))
        if (n-- == 0) return (span){ box.data + at, be32(box.data + at) };
    return (span){ NULL, 0 };
}

/* ---- a player ---- */

#define KEYS 3
#define KEY_TEXT(n) n "f0e0d0c0b0a09080706050403020100"
#define KID_TEXT(n) n "0112233445566778899aabbccddeeff"
/* Three periods for every label; the IV is for cbcs only. */
static const char keys_cenc[] =
    "{\"keys\":["
    "{\"label\":\"*\",\"kid\":\"" KID_TEXT("0") "\",\"key\":\"" KEY_TEXT(
        "0") "\"},"
             "{\"label\":\"*\",\"kid\":\"" KID_TEXT("1") "\",\"key\":\"" KEY_TEXT(
                 "1") "\"},"
                      "{\"label\":\"*\",\"kid\":\"" KID_TEXT("2") "\",\"key\":\"" KEY_TEXT(
                          "2") "\"}],"
                               "\"drm\":[{\"system\":\"widevine\"},{\"system\":\"common\"}]}";

/* The key of a KID of the document above. */
static inline void key_of(const uint8_t kid[16], uint8_t key[16])
{
    static const uint8_t rest[16] = { 0x0f, 0x0e, 0x0d, 0x0c, 0x0b, 0x0a, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0 };
    assert_true(kid[0] >> 4 < KEYS && kid[15] == 0xff);
    memcpy(key, rest, 16);
    key[0] = (uint8_t)(kid[0] & 0xf0) | 0x0f;
}

typedef struct scheme_info {
    bool is_protected, cbc;
    uint8_t crypt, skip, iv_size, kid[16], iv[16];
} scheme_info;

/* From the pattern on, as in tenc and in seig. */
static inline void read_scheme(const uint8_t *p, bool pattern, bool cbc, scheme_info *out)
{
    memset(out, 0, sizeof(*out));
    out->cbc = cbc;
    if (pattern) {
        out->crypt = p[0] >> 4;
        out->skip = p[0] & 15;
    }
    out->is_protected = p[1] == 1;
    out->iv_size = p[2];
    memcpy(out->kid, p + 3, 16);
    if (out->is_protected && !out->iv_size) {
        assert_int_equal(p[19], 16);
        memcpy(out->iv, p + 20, 16);
    }
}

static inline scheme_info read_tenc(span entry)
{
    bool video = is_type(entry.data, "encv"), cbc;
    span sinf = child(entry, video ? 86 : 36, "sinf"), schm = child(sinf, 8, "schm"), tenc;
    scheme_info s;
    assert_true(video || is_type(entry.data, "enca"));
    tenc = child(child(sinf, 8, "schi"), 8, "tenc");
    assert_true(schm.data && tenc.data && tenc.size >= 32);
    cbc = memcmp(schm.data + 12, "cbcs", 4) == 0;
    assert_true(cbc || memcmp(schm.data + 12, "cenc", 4) == 0);
    assert_int_equal(tenc.data[8], cbc ? 1 : 0);
    read_scheme(tenc.data + 13, tenc.data[8] > 0, cbc, &s);
    return s;
}

typedef struct stream { /* of one protected range or sample */
    const aes *a;
    bool cbc;
    unsigned crypt, skip;
    uint8_t counter[16], pad[16];
    unsigned used; /* of pad; 16: none is left */
} stream;

static inline void stream_ctr(stream *s, uint8_t *data, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (s->used == 16) {
            aes_encrypt(s->a, s->counter, s->pad);
            for (int n = 15; n >= 8 && !++s->counter[n]; n--) {}
            s->used = 0;
        }
        data[i] ^= s->pad[s->used++];
    }
}

static inline void stream_cbc(stream *s, uint8_t *data, size_t size)
{
    unsigned period = s->crypt + s->skip;
    for (size_t n = 0; (n + 1) * 16 <= size; n++) {
        uint8_t cipher[16];
        if (period && n % period >= s->crypt) continue;
        memcpy(cipher, data + 16 * n, 16);
        aes_decrypt(s->a, cipher, data + 16 * n);
        for (int i = 0; i < 16; i++) data[16 * n + (size_t)i] ^= s->counter[i];
        memcpy(s->counter, cipher, 16);
    }
}

/* info: what senc has of the sample behind its IV; NULL: it is protected as a whole. */
static inline void open_sample(const scheme_info *how, const aes *a, const uint8_t *iv, const uint8_t *info,
                               uint8_t *data, size_t size)
{
    stream s = { .a = a, .cbc = how->cbc, .crypt = how->crypt, .skip = how->skip, .used = 16 };
    unsigned count = info ? (unsigned)(info[0] << 8 | info[1]) : 1;
    size_t at = 0;
    memcpy(s.counter, how->iv_size ? iv : how->iv, how->iv_size == 8 ? 8 : 16);
    for (unsigned i = 0; i < count; i++) {
        const uint8_t *part = info ? info + 2 + 6 * i : NULL;
        size_t clear = part ? (size_t)(part[0] << 8 | part[1]) : 0, rest = part ? be32(part + 2) : size;
        assert_true(clear <= size - at && rest <= size - at - clear);
        at += clear;
        if (how->cbc) {
            memcpy(s.counter, how->iv, 16); /* each subsample begins anew (9.6.1, cbcs) */
            stream_cbc(&s, data + at, rest);
        } else {
            stream_ctr(&s, data + at, rest);
        }
        at += rest;
    }
    assert_int_equal(at, size);
}

typedef struct opened { /* the samples of a segment in the clear, one behind the other */
    uint8_t *data;
    size_t size, samples, protected_samples;
    uint8_t ivs[1024][16]; /* of those with an IV of their own */
    size_t iv_count;
    uint8_t kid[16]; /* of the last fragment */
} opened;

typedef struct moof_parts {
    span moof, tfhd, trun, saiz, saio, senc, sbgp, sgpd;
    const uint8_t *sizes; /* field of the first sample in trun; NULL: all are default_size */
    size_t step;
    uint32_t default_size, count, description;
} moof_parts;

static inline void take_moof(span moof, uint32_t trex_size, moof_parts *m)
{
    span traf = child(moof, 8, "traf");
    memset(m, 0, sizeof(*m));
    m->moof = moof;
    m->tfhd = child(traf, 8, "tfhd");
    m->trun = child(traf, 8, "trun");
    m->saiz = child(traf, 8, "saiz");
    m->saio = child(traf, 8, "saio");
    m->senc = child(traf, 8, "senc");
    m->sbgp = child(traf, 8, "sbgp");
    m->sgpd = child(traf, 8, "sgpd");
    assert_true(m->tfhd.data && m->trun.data);
    const uint8_t *p = m->tfhd.data + 16;
    uint32_t flags = be32(m->tfhd.data + 8) & 0xffffff;
    m->description = 1;
    m->default_size = trex_size;
    if (flags & 2) m->description = be32(p), p += 4;
    if (flags & 8) p += 4;
    if (flags & 16) m->default_size = be32(p);
    flags = be32(m->trun.data + 8) & 0xffffff;
    assert_true(flags & 1);
    m->count = be32(m->trun.data + 12);
    p = m->trun.data + 20 + (flags & 4 ? 4 : 0) + (flags & 0x100 ? 4 : 0);
    if (flags & 0x200) m->sizes = p;
    for (uint32_t bit = 0x100; bit <= 0x800; bit <<= 1) m->step += flags & bit ? 4 : 0;
}

static inline void open_fragment(const moof_parts *m, const scheme_info *init, opened *out)
{
    scheme_info how = *init;
    aes a;
    uint8_t key[16];
    const uint8_t *data = m->moof.data + be32(m->trun.data + 16), *info = NULL, *iv = NULL;
    if (m->description == 2) how.is_protected = false;
    if (m->sbgp.data) {
        assert_true(m->sgpd.data && be32(m->sbgp.data + 20) == m->count &&
                    be32(m->sbgp.data + 24) == 0x10001);
        read_scheme(m->sgpd.data + 25, true, init->cbc, &how);
    }
    memcpy(out->kid, how.kid, 16);
    if (how.is_protected) {
        key_of(how.kid, key);
        aes_init(&a, key);
    } else {
        assert_true(!m->saiz.data && !m->saio.data && !m->senc.data);
    }
    if (m->senc.data) {
        assert_true(m->saiz.data && m->saio.data && how.is_protected);
        assert_int_equal(be32(m->saiz.data + 13), m->count);
        assert_int_equal(be32(m->senc.data + 12), m->count);
        iv = m->moof.data + be32(m->saio.data + 16);
        assert_ptr_equal(iv, m->senc.data + 16);
    } else {
        assert_true(!how.is_protected || !how.iv_size);
    }
    for (uint32_t i = 0; i < m->count; i++) {
        size_t size = m->sizes ? be32(m->sizes + i * m->step) : m->default_size;
        uint8_t *to;
        out->data = realloc(out->data, out->size + size + 1);
        assert_non_null(out->data);
        to = out->data + out->size;
        memcpy(to, data, size);
        if (iv) {
            size_t said = m->saiz.data[12] ? m->saiz.data[12] : m->saiz.data[17 + i];
            bool parts = m->senc.data[11] & 2;
            info = parts ? iv + how.iv_size : NULL;
            assert_int_equal(said, how.iv_size + (parts ? 2u + 6u * (unsigned)(info[0] << 8 | info[1]) : 0));
            if (how.iv_size && out->iv_count < 1024) memcpy(out->ivs[out->iv_count++], iv, 8);
            if (how.is_protected) open_sample(&how, &a, iv, info, to, size);
            iv += said;
        } else if (how.is_protected) {
            open_sample(&how, &a, NULL, NULL, to, size);
        }
        data += size;
        out->size += size;
        out->samples++;
        out->protected_samples += how.is_protected;
    }
    if (iv) assert_ptr_equal(iv, m->senc.data + m->senc.size);
}

/* how NULL: the segment is clear. */
static inline void open_segment(const uint8_t *data, size_t size, const scheme_info *how, uint32_t trex_size,
                                opened *out)
{
    static const scheme_info none;
    memset(out, 0, sizeof(*out));
    for (unsigned n = 0;; n++) {
        span moof = box_in(data, size, "moof", n);
        moof_parts m;
        if (!moof.data) break;
        take_moof(moof, trex_size, &m);
        open_fragment(&m, how ? how : &none, out);
    }
}

/* ---- material ---- */

#define SEGMENTS_MAX 16
#define X264 "-c:v libx264 -preset ultrafast -g 25 "

typedef struct cmaf {
    clip file;
    span init, segments[SEGMENTS_MAX];
    unsigned count;
    uint32_t trex_size;
} cmaf;

/* A file in fragments becomes an init segment and segments of `fragments` moof each, with what stands before these. */
static inline void cmaf_split(cmaf *c, unsigned fragments)
{
    size_t at = 0, from = 0;
    unsigned n = 0;
    c->count = 0;
    while (at + 8 <= c->file.size) {
        const uint8_t *box = c->file.data + at;
        size_t size = be32(box);
        assert_true(size >= 8 && size <= c->file.size - at);
        at += size;
        if (is_type(box, "moov")) {
            c->init = (span){ c->file.data, at };
            from = at;
        }
        if (!is_type(box, "mdat") || ++n % fragments) continue;
        assert_true(c->count < SEGMENTS_MAX);
        c->segments[c->count++] = (span){ c->file.data + from, at - from };
        from = at;
    }
    span trex = child(child(box_in(c->init.data, c->init.size, "moov", 0), 8, "mvex"), 8, "trex");
    assert_non_null(trex.data);
    c->trex_size = be32(trex.data + 24);
}

static const char input_video[] = "-f lavfi -i testsrc2=s=320x180:r=25:d=4";
static const char input_audio[] = "-f lavfi -i sine=f=440:r=48000:d=4";

/* False: this ffmpeg cannot. */
static inline bool cmaf_make(cmaf *c, bool video, const char *arguments, unsigned fragments)
{
    char path[] = "/tmp/vpt-cmaf-XXXXXX", command[1024];
    int fd = mkstemp(path);
    bool ok;
    memset(c, 0, sizeof(*c));
    if (fd < 0) return false;
    close(fd);
    snprintf(command, sizeof(command),
             "ffmpeg -nostdin -v quiet -y %s %s -map_metadata -1 -fflags +bitexact -strict -2 -f mp4 %s "
             "2>/dev/null",
             video ? input_video : input_audio, arguments, path);
    ok = system(command) == 0 && clip_load(path, &c->file);
    unlink(path);
    if (ok) cmaf_split(c, fragments);
    return ok;
}

static inline void cmaf_free(cmaf *c)
{
    free(c->file.data);
    memset(c, 0, sizeof(*c));
}

static inline vp_cenc *cenc_open(const cmaf *c, const vp_cenc_options *o)
{
    vp_error err = VP_ERROR_INIT;
    vp_keys *keys = NULL;
    vp_cenc *cenc = NULL;
    assert_end(VP_OK, vp_keys_parse(keys_cenc, strlen(keys_cenc), &keys, &err), &err);
    assert_end(VP_OK, vp_cenc_new(keys, c->init.data, c->init.size, o, &cenc, &err), &err);
    vp_keys_unref(keys);
    return cenc;
}

static inline vp_bytes *segment_of(const vp_cenc *cenc, uint64_t number, span from)
{
    vp_error err = VP_ERROR_INIT;
    vp_bytes *out = NULL;
    uint8_t *exact = malloc(from.size);
    assert_non_null(exact);
    memcpy(exact, from.data, from.size); /* a sanitizer sees what is read behind it */
    assert_end(VP_OK, vp_cenc_segment(cenc, number, exact, from.size, &out, &err), &err);
    free(exact);
    return out;
}

static inline void assert_same_bytes(const void *a, size_t a_size, const void *b, size_t b_size)
{
    assert_int_equal(a_size, b_size);
    assert_memory_equal(a, b, a_size);
}

#endif
