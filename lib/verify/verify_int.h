/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VPI_VERIFY_INT_H
#define VPI_VERIFY_INT_H

/*
 * Private to lib/verify. A check that fails goes into the report and never ends the work; a vp_status below
 * zero means that the work itself cannot go on (memory, I/O, cancel).
 */

#include <vodpipe/verify.h>

#include "base/buf.h"
#include "base/common.h"
#include "base/context.h"
#include "base/error.h"
#include "bitstream/bitstream.h"
#include "bmff/bmff.h"
#include "model/presentation.h"

typedef unsigned __int128 vpi_u128;
typedef __int128 vpi_i128;

enum { VPI_TRACES = 3 }; /* see sound_int.h */

/* Initialisation vectors under one key that are a step apart (see ivs.c). */
typedef struct vpi_iv_range {
    uint8_t kid[16];
    uint64_t first, last;
    uint64_t rest; /* of both, modulo the step */
    uint32_t track, segment;
} vpi_iv_range;

typedef struct vpi_verifier {
    vp_context *context;
    vp_sink *sink;
    vp_cancel *cancel;
    vp_report *report;
    const vp_presentation *presentation;
    const vpi_presentation *p;
    bool *sane; /* of each track: its numbers can be reckoned with */
    bool can_stat, can_open;
    bool read, decode;
    vp_source *source;                /* that the title was made of; NULL: not given */
    int64_t looked_at_us[VPI_TRACES]; /* title times where traces begin, with a source */
    struct vpi_track_media *media;    /* of each track, with decode */
    vp_bytes *json;                   /* presentation.json of a published title */
    vpi_iv_range *ivs;                /* of all samples under cenc */
    size_t iv_count, iv_cap;
    uint64_t iv_step; /* 0: not known yet */
    bool ivs_full;    /* there were more than are kept */
} vpi_verifier;

/* ---- report ---- */

vp_report *vpi_verify_report_new(void);
/*
 * Counts a check; one that failed is kept with its rule (static text), where (copied, may be NULL) and a
 * text. Returns good. Running out of memory is seen by vpi_verify_report_status.
 */
bool vpi_check(vpi_verifier *v, bool good, const char *rule, const char *where, const char *format, ...)
    VPI_PRINTF(5, 6);
void vpi_warn(vpi_verifier *v, const char *rule, const char *where, const char *format, ...) VPI_PRINTF(4, 5);
/* NOMEM when a failure could not be kept. */
vp_status vpi_verify_report_status(const vp_report *report, vp_error *err);
/* DATA in *cause is a failed check of this rule; other statuses stay errors and are copied to err. */
vp_status vpi_caught(vpi_verifier *v, vp_status status, const vp_error *cause, const char *rule,
                     const char *where, vp_error *err);

/* ---- times as exact fractions: ticks of a timescale ---- */

typedef struct vpi_time {
    uint64_t ticks;
    uint32_t scale; /* above 0 */
} vpi_time;
static inline vpi_time vpi_time_of(uint64_t ticks, uint32_t scale)
{
    return (vpi_time){ ticks, scale };
}
int vpi_time_cmp(vpi_time a, vpi_time b);
/* |a - b| <= limit */
bool vpi_time_near(vpi_time a, vpi_time b, vpi_time limit);
double vpi_time_seconds(vpi_time t); /* for texts only */
/* Usual length of a frame: of the frame rate, or of the codec's audio frame. {0, 1} when not known. */
vpi_time vpi_track_frame(const vpi_ptrack *t);
/* Presentation start and end of a track; the track is sane. */
vpi_time vpi_track_start(const vpi_ptrack *t);
vpi_time vpi_track_end(const vpi_ptrack *t);
/* "a1b2/video/720p", or the name where there is no usable key; buffer of 1024. */
const char *vpi_track_where(const vpi_ptrack *t, char buffer[1024]);
bool vpi_ends_with(const char *text, const char *end);

/* ---- parts ---- */

/* The numbers of the presentation: names, counts, times, sizes, rates. Sets v->sane. */
vp_status vpi_verify_presentation(vpi_verifier *v, vp_error *err);
/* What tracks owe each other: same cuts, same ends, groups. Part of the above. */
void vpi_verify_timelines(vpi_verifier *v);
/* Existence and size of every object; with v->read also CRC32C and structure, with v->decode decoding. */
vp_status vpi_verify_objects(vpi_verifier *v, vp_error *err);
/* Masters, media and I-frame playlists, MPD of a published title; stray objects; the marker. */
vp_status vpi_verify_manifests(vpi_verifier *v, vp_error *err);

/* ---- media of one track, segment after segment ---- */

typedef struct vpi_media_state {
    const vpi_ptrack *t;
    const char *where; /* object that is being read */
    const vpi_segment *segment;
    uint64_t frames;   /* pictures or audio frames of the last segment */
    uint64_t pictures; /* of all segments; with the shortest and the longest one but the last, in ticks */
    uint64_t shortest, longest, last;

    size_t number;           /* of the segment, from 0 */
    const vpi_key_info *key; /* that the segment is encrypted with; NULL: it is clear */

    /* CMAF */
    bool has_init;
    vpi_init_info init; /* views into init_bytes */
    vpi_entries entries;
    uint32_t format;    /* of the first sample entry, also where that is a protected one: 'avc1', 'mp4a' */
    vpi_slicer *slicer; /* of encrypted pictures; NULL: nothing is known of their headers */
    vpi_range *ranges;
    size_t range_cap;
    uint64_t *sample_ivs;
    size_t sample_iv_cap;
    vpi_buf init_bytes;
    unsigned nal_length; /* 0: no NAL units */
    bool hevc;
    uint32_t sequence;
    uint64_t next_dts;
    int64_t *times; /* presentation times of a fragment */
    size_t time_cap;

    /* decoding */
    struct vpi_track_media *media;
    struct vpi_ear *ear;

    /* TS and packed audio; times in 90 kHz, unwrapped */
    struct vpi_ts_state *ts;
    bool has_audio_time;
    uint64_t audio_samples; /* of the track so far */
    int64_t audio_first;    /* time of the first frame */
    uint32_t audio_rate, audio_channels;
} vpi_media_state;

void vpi_media_state_dispose(vpi_media_state *s);
vp_status vpi_verify_init(vpi_verifier *v, vpi_media_state *s, const uint8_t *data, size_t size,
                          vp_error *err);
vp_status vpi_verify_index(vpi_verifier *v, const vpi_ptrack *t, const uint8_t *data, size_t size,
                           vp_error *err);
vp_status vpi_verify_cmaf(vpi_verifier *v, vpi_media_state *s, const uint8_t *data, size_t size,
                          vp_error *err);
vp_status vpi_verify_ts(vpi_verifier *v, vpi_media_state *s, const uint8_t *data, size_t size, vp_error *err);
vp_status vpi_verify_packed(vpi_verifier *v, vpi_media_state *s, const uint8_t *data, size_t size,
                            vp_error *err);
/* Frames of sound that fill data, the first one at this time; their times follow each other. */
void vpi_verify_frames(vpi_verifier *v, vpi_media_state *s, const uint8_t *data, size_t size, int64_t time);
/* Is the sound of the track, or in it, AC-3 or E-AC-3? */
bool vpi_track_is_ac3(const vpi_ptrack *t);
/* Is this an audio_setup_information of SAMPLE-AES for the track's codec? */
bool vpi_audio_setup_fits(const vpi_ptrack *t, const uint8_t *data, size_t size);
/* Decodes the segment just checked: s->frames pictures, none damaged. */
vp_status vpi_verify_decode(vpi_verifier *v, vpi_media_state *s, const uint8_t *data, size_t size,
                            vp_error *err);
/* The same for the track, once all its segments are. */
vp_status vpi_verify_decoded(vpi_verifier *v, vpi_media_state *s, const char *where, vp_error *err);
/* Time of ticks of a TS track in the stream: 90 kHz with the base. */
int64_t vpi_ts_due_of(const vpi_ptrack *t, uint64_t ticks);
/* Codec strings of a list ("avc1.64001f,mp4a.40.2"): does it hold one? */
bool vpi_codecs_hold(const char *list, const char *one);
/* A picture of a CMAF track that lasts so many ticks. */
void vpi_count_picture(vpi_media_state *s, uint64_t ticks);
/* FRAME-RATE against the pictures that were counted over the whole track. */
void vpi_verify_rate(vpi_verifier *v, const vpi_media_state *s, const char *where);
/* A WebVTT segment (RFC 8216 3.5). */
void vpi_verify_text(vpi_verifier *v, const vpi_ptrack *t, const char *where, const uint8_t *data,
                     size_t size);
/* SPS against the track: codec string, picture size, level. */
void vpi_verify_sps(vpi_verifier *v, const vpi_ptrack *t, const char *where, const vpi_nal *nal);

/* ---- encryption ---- */

/* Keys, IVs and addresses that the presentation tells of a sane track. */
vp_status vpi_verify_keys(vpi_verifier *v, const vpi_ptrack *t, const char *where, vp_error *err);
/* That the tracks of the title agree in when their keys change. */
void vpi_verify_key_times(vpi_verifier *v);
/* Whether a ready-made pssh is of this key, as far as it tells KIDs at all. */
vp_status vpi_verify_pssh(vpi_verifier *v, const vpi_drm *d, const uint8_t kid[16], const char *where,
                          vp_error *err);
/* Is an object of the track that is not clear encrypted as a whole? */
bool vpi_whole_object(const vpi_ptrack *t);
/* Its samples are: the segments that are not clear hold Common Encryption. */
bool vpi_by_sample(const vpi_ptrack *t);
/* Sample entries of an init segment; sets s->entries and s->format. VP_END: they cannot be read, the report says so. */
vp_status vpi_verify_entries(vpi_verifier *v, vpi_media_state *s, vp_error *err);
/* What a fragment says of the encryption of its samples, which lie in mdat; a clear one says nothing. */
vp_status vpi_verify_fragment_keys(vpi_verifier *v, vpi_media_state *s, const vpi_box *moof,
                                   const vpi_box *mdat, const vpi_fragment_info *info, vp_error *err);
/* An object that is encrypted as a whole: all that can be told is its size. */
void vpi_verify_whole(vpi_verifier *v, const vpi_media_state *s);
/* Keeps the IVs of a fragment (sorted here). */
vp_status vpi_ivs_add(vpi_verifier *v, const vpi_media_state *s, uint64_t *ivs, size_t count, vp_error *err);
/* No two samples of the title have one key and one IV. */
void vpi_verify_ivs(vpi_verifier *v);

enum { VPI_MPEG_TS_BASE = 900000, VPI_MPEG_TS_CLOCK = 90000 };
#define VPI_VERIFY_MAX_SEGMENT ((uint64_t)1 << 30)
#define VPI_VERIFY_MAX_MANIFEST ((uint64_t)256 << 20)
#define VPI_VERIFY_MAX_SAMPLES 1000000u
#define VPI_VERIFY_MAX_IVS ((size_t)1 << 20)
/* Segments over this make players without much memory stumble: a warning. */
#define VPI_VERIFY_BIG_SEGMENT ((uint64_t)20 << 20)

#endif
