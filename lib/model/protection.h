/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VPI_MODEL_PROTECTION_H
#define VPI_MODEL_PROTECTION_H

/*
 * How a title is protected: what everybody may know of it (KIDs, IVs, addresses, never a key), and the hooks through
 * which writers of segments reach the cipher. lib/crypt fills both, lib/job joins them.
 */

#include "base/base64.h"
#include "base/buf.h"
#include "base/common.h"
#include "base/error.h"
#include "model/media.h"

/* ---- what is told ---- */

typedef enum vpi_scheme {
    VPI_SCHEME_NONE,
    VPI_SCHEME_AES128, /* whole segments, AES-128-CBC with PKCS#7 (RFC 8216 4.3.2.4) */
    VPI_SCHEME_CENC,   /* AES-CTR (ISO/IEC 23001-7 10.1) */
    VPI_SCHEME_CBCS    /* AES-CBC, pattern 1:9 (10.4); in transport streams SAMPLE-AES */
} vpi_scheme;
/* "none", "aes128", "cenc", "cbcs". */
const char *vpi_scheme_word(vpi_scheme scheme);
bool vpi_scheme_from_word(const char *word, vpi_scheme *out);

#define VPI_LABEL_SIZE 16
#define VPI_KEY_PERIODS_MAX 100000u
#define VPI_KEY_DRM_MAX 16u

/* What one DRM system is told about a key. */
typedef struct vpi_drm {
    uint8_t system[16]; /* system id, in the order of its text */
    uint8_t *pssh;      /* the whole box; NULL: none */
    size_t pssh_size;
    char *uri;   /* of EXT-X-KEY: skd://... of FairPlay; NULL: made from the pssh */
    char *laurl; /* licence server; NULL: none */
} vpi_drm;

/* One key without its secret. */
typedef struct vpi_key_info {
    bool has_kid, has_iv;
    uint8_t kid[16];
    uint8_t iv[16];   /* cbcs: the constant IV; aes128: that of all segments, else each has its own */
    uint8_t check[8]; /* of the key: what tells that another run has the same one */
    bool iv_derived;  /* iv comes from the plan's seed: nobody asked for it (not in JSON) */
    char *uri;        /* of the key; NULL: none */
    vpi_drm *drm;
    size_t drm_count, drm_cap;
} vpi_key_info;

/*
 * Of a track. Segments below clear_segments are clear. Segment n is under key n / rotation; rotation 0: all under the
 * first.
 */
typedef struct vpi_protection {
    vpi_scheme scheme;
    char label[VPI_LABEL_SIZE]; /* "audio", "sd", "hd", "uhd" */
    uint64_t clear_segments, rotation;
    vpi_key_info *keys; /* one for each period */
    size_t key_count, key_cap;
} vpi_protection;

vpi_drm *vpi_key_info_add_drm(vpi_key_info *k); /* zeroed; NULL on no memory */
/* to: zeroed before; after a failure it is disposed with what it belongs to. */
vp_status vpi_drm_copy(vpi_drm *to, const vpi_drm *from, vp_error *err);
void vpi_key_info_dispose(vpi_key_info *k);
vp_status vpi_key_info_copy(vpi_key_info *to, const vpi_key_info *from, vp_error *err);
vpi_key_info *vpi_protection_add_key(vpi_protection *p);
void vpi_protection_dispose(vpi_protection *p); /* empty afterwards; accepts an empty one */
vp_status vpi_protection_copy(vpi_protection *to, const vpi_protection *from, vp_error *err);
/* The one with that label; NULL: there is none. */
const vpi_protection *vpi_protection_find(const vpi_protection *list, size_t count, const char *label);
/* The key of a segment (0-based); NULL: it is clear, or the protection is empty. */
const vpi_key_info *vpi_protection_key(const vpi_protection *p, uint64_t segment);

/* What was asked for, into a hash: label, periods, KIDs, checks, addresses; not IVs that follow from a seed. */
struct vpi_sha256;
void vpi_protection_hash(const vpi_protection *p, struct vpi_sha256 *sha);

/* JSON (presentation.json, plan); an empty one is null. check: with the check values (plan only). */
struct json_t;
struct json_t *vpi_protection_to_json(const vpi_protection *p, bool check);
/* Unknown fields are refused by name. *p is empty before. */
vp_status vpi_protection_from_json(const struct json_t *json, const char *where, bool check,
                                   vpi_protection *p, vp_error *err);

/* System ids (DASH-IF content protection). */
extern const uint8_t vpi_system_widevine[16], vpi_system_playready[16], vpi_system_fairplay[16],
    vpi_system_clearkey[16], vpi_system_common[16];
/* "widevine", "playready", "fairplay", "clearkey", "common"; NULL: another. */
const char *vpi_system_word(const uint8_t system[16]);
bool vpi_system_from_word(const char *word, uint8_t system[16]);
/* "01234567-89ab-cdef-0123-456789abcdef" and back; dashes may be missing, either case. */
#define VPI_UUID_TEXT 37
void vpi_uuid_text(const uint8_t uuid[16], char to[VPI_UUID_TEXT]);
bool vpi_uuid_parse(const char *text, uint8_t to[16]);
/* 2 * size hex digits, either case, nothing else. */
bool vpi_hex_parse(const char *text, uint8_t *to, size_t size);
void vpi_hex_text(const uint8_t *data, size_t size, char *to); /* lower case, NUL-terminated */

/* ---- hooks: per sample (ISO/IEC 23001-7) ---- */

typedef struct vpi_subsample {
    uint16_t clear; /* bytes */
    uint32_t protected_bytes;
} vpi_subsample;
#define VPI_SUBSAMPLES_MAX 512
typedef struct vpi_protect_out {
    uint8_t iv[16];
    uint8_t iv_size;          /* 0 with a constant IV */
    uint32_t subsample_count; /* 0: whole sample */
    vpi_subsample subsamples[VPI_SUBSAMPLES_MAX];
} vpi_protect_out;

/* For one segment of a track, or (init) for its header. */
typedef struct vpi_protect {
    uint32_t scheme; /* 'cenc', 'cbcs'; SAMPLE-AES in TS uses 'cbcs' */
    uint8_t kid[16], constant_iv[16];
    uint8_t per_sample_iv_size, constant_iv_size, crypt_blocks, skip_blocks;
    /*
     * init: some segments are clear, so there is a second sample entry for them; segment: this one is clear, and uses
     * it.
     */
    bool clear;
    bool group;          /* segment: kid and IVs are not those of init (sample group 'seig') */
    const uint8_t *pssh; /* segment: boxes for its first moof; NULL: none */
    size_t pssh_size;
    /*
     * Protects sample number `index` of the track (first_sample of the segment + n): writes size bytes to `to` (may be
     * data itself), fills *out. A sample never changes its size in CMAF. data NULL: simulate, fill *out's counts only,
     * from the size.
     */
    vp_status (*sample)(void *user, uint64_t index, const uint8_t *data, size_t size, uint8_t *to,
                        vpi_protect_out *out, vp_error *err);
    /*
     * SAMPLE-AES in transport streams and packed audio: one NAL unit (no start code), one ADTS frame with its header,
     * or one AC-3 sync frame; what goes into the stream is appended to out (a NAL unit may grow by emulation
     * prevention).
     */
    vp_status (*unit)(void *user, vpi_codec codec, const uint8_t *data, size_t size, vpi_buf *out,
                      vp_error *err);
    void *user;
} vpi_protect;

/* What init says of a track of this kind, or what writers are told of a period; without hooks. */
void vpi_protect_from(const vpi_protection *p, uint64_t period, vpi_kind kind, vpi_protect *out);

/* ---- hooks: per title ---- */

/* What the guard must know of a track. Strings and config are borrowed until close. */
typedef struct vpi_guard_track {
    vpi_kind kind;
    vpi_codec codec;
    const uint8_t *config; /* as in vpi_track_setup */
    size_t config_size;
    const char *label; /* of its protection */
    uint32_t ordinal;  /* in the title, below VPI_GUARD_TRACKS: each track and form of it has its own */
} vpi_guard_track;
#define VPI_GUARD_TRACKS 1024u
/* first_sample of a segment under protection: room for so many samples in each. */
#define VPI_GUARD_SAMPLES (1u << 20)

/* For a whole object (aes128): see io/object.h. */
struct vpi_object_cipher;

typedef struct vpi_guard_session vpi_guard_session; /* of one track; one thread at a time */
/* Thread-safe. Where it is NULL nothing is protected. */
typedef struct vpi_guard {
    void *user;
    vp_status (*open)(void *user, const vpi_guard_track *track, vpi_guard_session **out, vp_error *err);
    /* cenc, cbcs: what to give to the writer of segment `number`; valid until the next call on the session. */
    vp_status (*segment)(vpi_guard_session *session, uint64_t number, vpi_protect *out, vp_error *err);
    /*
     * aes128: *out ciphers the object of segment `number` with iv; empty (update NULL): the segment is clear. The
     * object releases it.
     */
    vp_status (*object)(vpi_guard_session *session, uint64_t number, struct vpi_object_cipher *out,
                        uint8_t iv[16], vp_error *err);
    void (*close)(vpi_guard_session *session); /* accepts NULL */
} vpi_guard;

/* ---- hooks: keys ---- */

/* The keys of one title; see lib/crypt. */
typedef struct vpi_keyring vpi_keyring;
struct vp_keys;
/*
 * What a vp_keys can, for rooms that do not see lib/crypt. new: seed is the plan's; title is copied, keys is
 * referenced. ask: `periods` keys of a label; *out (empty before) is all that may be told, scheme, label and numbers
 * included; AUTH KEY_MISSING, KEY_INVALID, the provider's own failures. match: the same for what a plan says, which
 * is borrowed as long as the ring; KEY_INVALID where the answer is another one. guard: valid as long as the ring.
 * free_ring accepts NULL and zeroises. A ring is filled by one thread, then its guard may be used by many.
 */
typedef struct vpi_keys_ops {
    vp_status (*seed)(uint8_t seed[16], vp_error *err); /* random */
    vp_status (*new_ring)(struct vp_keys *keys, vpi_scheme scheme, const char *title, const uint8_t seed[16],
                          vpi_keyring **out, vp_error *err);
    vp_status (*ask)(vpi_keyring *ring, const char *label, uint64_t periods, uint64_t rotation,
                     uint64_t clear_segments, vpi_protection *out, vp_error *err);
    vp_status (*match)(vpi_keyring *ring, const vpi_protection *p, vp_error *err);
    void (*guard)(vpi_keyring *ring, vpi_guard *out);
    void (*free_ring)(vpi_keyring *ring);
} vpi_keys_ops;
/* A vp_keys begins with it. */
typedef struct vpi_keys_head {
    const vpi_keys_ops *ops;
} vpi_keys_head;
static inline const vpi_keys_ops *vpi_keys_ops_of(const struct vp_keys *keys)
{
    return ((const vpi_keys_head *)(const void *)keys)->ops;
}

/* Label of pictures by their size: "sd", "hd", "uhd" (FORMATS: keys). */
const char *vpi_label_of(uint32_t width, uint32_t height);

#endif
