/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VODPIPE_CRYPT_H
#define VODPIPE_CRYPT_H

/*
 * Encryption: where keys come from (vp_keys), what DRM systems are told (pssh), and protection of CMAF that exists
 * (vp_cenc). A publish or package job takes a vp_keys and the words `encrypt`, `key_rotation`, `clear_lead` of its
 * settings. Keys are held in memory as long as they are used, then zeroised; they never come into logs, errors, plans,
 * journals or files. Tier 3.
 *
 *     vp_keys_parse (a key file), vp_keys_cpix, vp_keys_speke, vp_keys_new (a callback of the host)
 *         -> vp_transcode_options.keys
 */

#include <vodpipe/http.h>
#include <vodpipe/io.h>
#include <vodpipe/presentation.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    VP_ENCRYPT_NONE = 0,
    VP_ENCRYPT_AES128 = 1, /* HLS: whole segments, AES-128-CBC (RFC 8216 4.3.2.4) */
    VP_ENCRYPT_CENC = 2,   /* CMAF: AES-CTR of subsamples (ISO/IEC 23001-7, 'cenc') */
    VP_ENCRYPT_CBCS = 3    /* CMAF: AES-CBC, pattern 1:9 ('cbcs'); in transport streams SAMPLE-AES */
};

/* ---- keys ---- */

/*
 * Where keys come from. Thread-safe; may serve many jobs. Labels of tracks: "audio", "sd" (video of up to 768x576
 * pixels in area), "hd" (up to 1920x1080), "uhd"; "*" stands for every label that has no key of its own. Periods count
 * from 0: one for each `key_rotation` segments, or only 0.
 */
typedef struct vp_keys vp_keys;
VP_API vp_keys *vp_keys_ref(vp_keys *keys);
VP_API vp_keys *vp_keys_unref(vp_keys *keys); /* with the last reference what it holds is zeroised */

/* What is asked for. Strings are borrowed during the call. */
typedef struct vp_key_request {
    uint32_t struct_size;
    uint32_t scheme;   /* VP_ENCRYPT_* */
    const char *title; /* what the job calls it: vp_job_options.title; "" where the host gave none */
    const char *label; /* "audio", "sd", "hd", "uhd" */
    uint32_t period;
    uint32_t reserved;
} vp_key_request;
#define VP_KEY_REQUEST_INIT                                                                                  \
    {                                                                                                        \
        (uint32_t)sizeof(vp_key_request), 0, NULL, NULL, 0, 0                                                \
    }
VP_API void vp_key_request_init(vp_key_request *request, size_t size);

/*
 * The answer: the calls below copy what they are given. Valid during the callback, on its thread. ARG, NOMEM; AUTH
 * KEY_INVALID for what no player could use. vp_key_reply_set is required; iv NULL: made from the plan's seed (16 bytes;
 * with cenc KEY_INVALID). kid NULL: AES-128 only. uri: of AES-128, or of the `identity` key format; printable ASCII
 * without quotes, written as it is. drm: one call for each system; pssh a whole box, or NULL for one made of the KID;
 * uri (skd://... of FairPlay) and laurl (licence server, in MPDs) may be NULL.
 */
typedef struct vp_key_reply vp_key_reply;
VP_API vp_status vp_key_reply_set(vp_key_reply *reply, const uint8_t kid[16], const uint8_t key[16],
                                  const uint8_t iv[16], vp_error *err);
VP_API vp_status vp_key_reply_uri(vp_key_reply *reply, const char *uri, vp_error *err);
VP_API vp_status vp_key_reply_drm(vp_key_reply *reply, const uint8_t system[16], const void *pssh,
                                  uint32_t pssh_size, const char *uri, const char *laurl, vp_error *err);

/*
 * Asked for each label and period of a title, by a job more than once, and again by every process that runs tasks of
 * it: the same question must get the same answer (KEY_INVALID else). On a library thread, or on the caller's in
 * vp_plan_new, vp_task_run and vp_cenc_new. A negative status ends the job with it.
 */
typedef vp_status (*vp_key_fn)(void *user, const vp_key_request *request, vp_key_reply *reply, vp_error *err);

/* Keys of the host. release (may be NULL) is called with the last reference. */
VP_API vp_status vp_keys_new(vp_key_fn get, void (*release)(void *user), void *user, vp_keys **out,
                             vp_error *err);
/*
 * A key file (docs/encryption.md): {"keys":[{"label":"*","kid":"...","key":"...","iv":"..."}],"uri":"...","drm":[...]}.
 * Several keys of a label serve its periods in their order; `{kid}` and `{n}` (the period) are replaced in uris.
 * Errors: AUTH KEY_INVALID naming the field, NOMEM, ARG.
 */
VP_API vp_status vp_keys_parse(const void *json, uint64_t size, vp_keys **out, vp_error *err);
/*
 * A CPIX document (DASH-IF CPIX 2.3): clear keys, or keys encrypted to the owner of private_key (PEM or DER; NULL:
 * none). Usage rules choose the labels and periods. Errors as above.
 */
VP_API vp_status vp_keys_cpix(const void *xml, uint64_t size, const void *private_key,
                              uint64_t private_key_size, const char *passphrase, vp_keys **out,
                              vp_error *err);
/*
 * Random keys and KIDs. What was made for a request is given to `store` before it is used, and asked of `load` first
 * (VP_END: there is none yet), so that the host's own vault keeps it: 32 bytes, the KID, then the key. drm and uri as
 * in a key file without "keys", or NULL. Calls come as those of vp_key_fn; two processes that ask for the same request
 * at once are the host's to order (store answers VP_END: another was quicker, load again).
 */
typedef struct vp_key_vault {
    uint32_t struct_size;
    uint32_t reserved;
    vp_status (*load)(void *user, const vp_key_request *request, uint8_t kid_and_key[32], vp_error *err);
    vp_status (*store)(void *user, const vp_key_request *request, const uint8_t kid_and_key[32],
                       vp_error *err);
    void (*release)(void *user); /* may be NULL */
    void *user;
    const char *document; /* copied */
} vp_key_vault;
#define VP_KEY_VAULT_INIT                                                                                    \
    {                                                                                                        \
        (uint32_t)sizeof(vp_key_vault), 0, NULL, NULL, NULL, NULL, NULL                                      \
    }
VP_API void vp_key_vault_init(vp_key_vault *vault, size_t size);
VP_API vp_status vp_keys_random(const vp_key_vault *vault, vp_keys **out, vp_error *err);
/*
 * A key server that speaks SPEKE 2.0 (a CPIX 2.3 document goes out by POST and comes back filled). One request for
 * each label and period when its key is first asked for, none in vp_keys_speke; what came is kept as long as the
 * handle. KIDs follow from content id, scheme, label and period, so that every process of a title asks for the same
 * keys. All is copied; secrets are zeroised with the last reference.
 */
typedef struct vp_speke_options {
    uint32_t struct_size;
    uint32_t timeout_ms;     /* of a key with all its attempts; 0: 60 s */
    const char *url;         /* https; http only on this machine (localhost) */
    const char *content_id;  /* NULL: the title of the request */
    const char *systems;     /* "widevine,playready": names or ids; NULL: these and, for cbcs, fairplay */
    const void *certificate; /* PEM or DER: keys must come encrypted to its RSA key; NULL: they come clear */
    uint64_t certificate_size;
    const void *private_key; /* of it, as in vp_keys_cpix */
    uint64_t private_key_size;
    const char *passphrase;      /* of private_key; NULL: none */
    const vp_http_options *http; /* credentials go into its headers; NULL: defaults */
    vp_cancel *cancel;           /* referenced; ends a request that runs; NULL: none */
} vp_speke_options;
#define VP_SPEKE_OPTIONS_INIT                                                                                \
    {                                                                                                        \
        (uint32_t)sizeof(vp_speke_options), 0, NULL, NULL, NULL, NULL, 0, NULL, 0, NULL, NULL, NULL          \
    }
VP_API void vp_speke_options_init(vp_speke_options *options, size_t size);
/*
 * ARG, NOMEM, VERSION; AUTH KEY_INVALID for a certificate or private key that is none, or not a pair; UNSUPPORTED
 * FEATURE_DISABLED without OpenSSL or libcurl. When keys are asked for: AUTH KEY_MISSING where the server gives none or
 * refuses (native is the HTTP status: 401, 403, 404, 422 ...), AUTH KEY_INVALID for an answer that cannot be used, IO
 * CONNECTION_FAILED (also 429 and 5xx, native) and TLS_FAILED, LIMIT TIMEOUT, CANCELED. What may pass is tried three
 * times, and is flagged RETRYABLE then.
 */
VP_API vp_status vp_keys_speke(vp_context *context, const vp_speke_options *options, vp_keys **out,
                               vp_error *err);

/*
 * One question to any provider, on the calling thread: for hosts that wrap one, that write key files or run a licence
 * server. What may be told goes to reply (a callback's own; NULL: nowhere), KID (zeros where there is none) and key to
 * kid and key (may be NULL). request.scheme decides what is checked. Errors: AUTH KEY_MISSING, KEY_INVALID; ARG, NOMEM,
 * and the provider's own.
 */
VP_API vp_status vp_keys_ask(vp_keys *keys, const vp_key_request *request, vp_key_reply *reply,
                             uint8_t kid[16], uint8_t key[16], vp_error *err);

/* ---- what DRM systems are told ---- */

/* System ids by name: "widevine", "playready", "fairplay", "clearkey", "common". ARG for others. */
VP_API vp_status vp_drm_system(const char *name, uint8_t system[16], vp_error *err);
/*
 * A 'pssh' box for count KIDs (16 bytes each): Widevine, PlayReady (header 4.0 for one KID of cenc, else 4.3; laurl or
 * NULL), ClearKey and common. scheme: VP_ENCRYPT_CENC or CBCS. UNSUPPORTED for other systems.
 */
VP_API vp_status vp_pssh_build(const uint8_t system[16], uint32_t scheme, const uint8_t *kids, uint32_t count,
                               const char *laurl, vp_bytes **out, vp_error *err);
/* Which system a box is for (may be NULL) and which KIDs it tells, 16 bytes each. DATA INPUT_CORRUPT. */
VP_API vp_status vp_pssh_parse(const void *box, uint64_t size, uint8_t system[16], vp_bytes **kids,
                               vp_error *err);

/* ---- CMAF that exists ---- */

/*
 * One track of CMAF from memory to memory: its init segment once, then its segments in any order, from any number of
 * threads. What manifests need comes from vp_cenc_protection_json. Codecs: H.264, HEVC, AV1; AAC, AC-3, E-AC-3, Opus,
 * FLAC.
 *
 * Nothing but what protection needs is changed: samples keep their sizes and times, other boxes (styp, emsg, prft,
 * colr ...) their bytes; sizes in sidx are put right. Boxes with offsets that would no longer hold (mfra, ssix) are
 * left out. The same seed, keys, options, number and bytes always give the same bytes, in every process.
 */
typedef struct vp_cenc vp_cenc; /* thread-safe */

/* vp_cenc_options.flags: the first key's pssh boxes in the init segment too, for players that have no manifest. */
#define VP_CENC_PSSH 0x1u

typedef struct vp_cenc_options {
    uint32_t struct_size;
    uint32_t scheme;   /* VP_ENCRYPT_CENC or VP_ENCRYPT_CBCS; 0: CBCS */
    const char *title; /* for vp_key_request; NULL: "" */
    const char *label; /* of the keys; NULL: "audio", or by the size of the picture "sd", "hd", "uhd" */
    /*
     * 16 bytes that IVs are made of, not secret; NULL: random. All tracks of a title have the same one. A process that
     * goes on with a title gives the one that vp_cenc_seed told.
     */
    const uint8_t *seed;
    /*
     * Number of the track in the title, 0..1023. No two tracks, and no two versions of a track, that have seed and key
     * in common may have the same one: with cenc they would share IVs, which reveals both.
     */
    uint32_t track;
    uint32_t segments;       /* of the track; 0: not known, which key_rotation does not allow */
    uint32_t key_rotation;   /* segments under one key, then comes the next period; 0: one key */
    uint32_t clear_segments; /* so many at the begin stay clear */
    uint32_t flags;          /* VP_CENC_* */
    uint32_t reserved;
} vp_cenc_options;
#define VP_CENC_OPTIONS_INIT                                                                                 \
    {                                                                                                        \
        (uint32_t)sizeof(vp_cenc_options), 0, NULL, NULL, NULL, 0, 0, 0, 0, 0, 0                             \
    }
VP_API void vp_cenc_options_init(vp_cenc_options *options, size_t size);

/*
 * Reads the init segment (ftyp and moov of one track with one sample entry) and asks for the keys of all periods, on
 * the calling thread. All is copied, keys gets a reference. options NULL: defaults. Errors: ARG, NOMEM, VERSION; DATA
 * INPUT_NO_MOOV, INPUT_CORRUPT; UNSUPPORTED INPUT_ENCRYPTED (protected already), CODEC_UNSUPPORTED; LIMIT INPUT_LIMIT
 * for more than 100,000 periods; AUTH KEY_MISSING, KEY_INVALID; the provider's own.
 */
VP_API vp_status vp_cenc_new(vp_keys *keys, const void *init, uint64_t init_size,
                             const vp_cenc_options *options, vp_cenc **out, vp_error *err);
VP_API vp_cenc *vp_cenc_ref(vp_cenc *cenc);
VP_API vp_cenc *vp_cenc_unref(vp_cenc *cenc); /* with the last reference its keys are zeroised */
/* The init segment of the protected track: sample entry encv or enca; with clear_segments the old one behind it. */
VP_API vp_status vp_cenc_init(const vp_cenc *cenc, vp_bytes **out, vp_error *err);
/*
 * Segment `number`, counted from 0, as a whole object: any number of moof, each of one traf with one trun and with its
 * mdat behind it, and other boxes. The number chooses key, IVs and whether it is clear: no two segments of the track
 * may have the same one. data is only read. About as much memory as the segment has, for the answer. Errors: ARG for a
 * number that is not below options.segments (or 2^32), NOMEM; DATA INPUT_CORRUPT for what is damaged or has data
 * outside its samples, which would stay clear; UNSUPPORTED INPUT_ENCRYPTED, CODEC_UNSUPPORTED; LIMIT INPUT_LIMIT for
 * more than 2^20 samples, 40 slices or tiles in a picture, or 4 GiB in a box.
 */
VP_API vp_status vp_cenc_segment(const vp_cenc *cenc, uint64_t number, const void *data, uint64_t size,
                                 vp_bytes **out, vp_error *err);
/*
 * What manifests say of it, never a key: the object "protection" of a track in presentation.json (docs/formats.md).
 * Put there, vp_manifest_* write all the lines of HLS and DASH.
 */
VP_API vp_status vp_cenc_protection_json(const vp_cenc *cenc, vp_bytes **out, vp_error *err);
/* The seed in use, to be stored with the title. */
VP_API vp_status vp_cenc_seed(const vp_cenc *cenc, uint8_t seed[16], vp_error *err);

#ifdef __cplusplus
}
#endif

#endif
