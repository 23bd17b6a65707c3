/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VPI_PACKAGE_H
#define VPI_PACKAGE_H

/*
 * Writers of segments: pure functions from the samples of one segment to bytes. All state that runs over a
 * title (numbers, times, continuity counters) is derived from absolute positions, so that segments may be
 * made in any order, by anybody, any number of times, with equal bytes.
 */

#include <vodpipe/io.h>

#include "base/buf.h"
#include "base/common.h"
#include "base/error.h"
#include "bitstream/bitstream.h"
#include "io/object.h"
#include "model/media.h"
#include "model/presentation.h"
#include "model/protection.h"

/* ---- track ---- */

typedef struct vpi_track_setup {
    vpi_kind kind;   /* video, audio */
    vpi_codec codec; /* H264, AAC, AC3, EAC3; CMAF also HEVC, AV1, VP9, OPUS, FLAC */
    uint32_t timescale;
    /*
     * payload of avcC, ASC, hvcC, av1C, vpcC, dac3, dec3, dOps, dfLa; of vpcC and dfLa without version and
     * flags
     */
    const uint8_t *config;
    size_t config_size;
    char language[36]; /* BCP-47 */
    /* video */
    uint32_t width, height;
    uint8_t primaries, transfer, matrix; /* colr nclx; 0: no colr box */
    bool full_range;
    /* audio */
    uint32_t sample_rate, channels;
    uint32_t kbps; /* average, for esds; 0 unknown */
    /*
     * The first bytes of the track's first frame: AC-3 in transport streams and packed audio tells them to decoders of
     * SAMPLE-AES, and all segments the same ones.
     */
    uint8_t head[10];
    bool has_head;
    /* video: shape of a pixel; 0/0: square */
    uint32_t sar_num, sar_den;
    vpi_mastering mastering; /* boxes mdcv and clli, where it has them */
} vpi_track_setup;
/* Keeps the head of the first frame that it is given. */
void vpi_track_setup_head(vpi_track_setup *setup, const uint8_t *frame, size_t size);

/* One sample in decode order. data is borrowed until the segment function returns. */
typedef struct vpi_sample {
    int64_t pts; /* ticks; not below the segment's start */
    bool sync;
    const uint8_t *data;
    size_t size;
} vpi_sample;

/*
 * The samples of one segment. tfdt is the presentation time of a fragment's first picture, the last duration
 * of a fragment ends at the next one's start: exact, no edit list. Decode times follow from the presentation
 * times of the fragment alone.
 */
typedef struct vpi_segment_in {
    const vpi_track_setup *setup;
    const vpi_sample *samples;
    size_t count;            /* above 0 */
    const size_t *fragments; /* index of the first sample of each fragment; fragments[0] == 0 */
    size_t fragment_count;   /* above 0 */
    uint64_t start, end;     /* ticks */
    uint64_t first_fragment; /* fragments of this track before this segment in the whole title */
    /*
     * What the protect step calls the first sample: no two samples of a track have the same number
     * (VPI_GUARD_SAMPLES * segment + samples of the segment before these)
     */
    uint64_t first_sample;
    bool
        writable; /* the samples' bytes are the caller's own and not needed again: protected where they lie */
} vpi_segment_in;

/* ---- CMAF (ISO/IEC 23000-19) ---- */

/* ftyp + moov. protect NULL: clear. */
vp_status vpi_cmaf_init(const vpi_track_setup *setup, const vpi_protect *protect, vpi_buf *out,
                        vp_error *err);
/*
 * [styp] + (moof + mdat) for each fragment, written to object; fills entry's start, ticks, bytes and
 * fragments (key, crc and offset are the caller's). styp is left out for single-file parts.
 */
vp_status vpi_cmaf_segment(const vpi_segment_in *in, const vpi_protect *protect, bool styp, vp_object *object,
                           vpi_segment *entry, vp_error *err);
/*
 * The same numbers without bytes: exact size and fragment offsets. data pointers of samples may be NULL; then
 * the protect step is asked for counts from sizes alone.
 */
vp_status vpi_cmaf_segment_size(const vpi_segment_in *in, const vpi_protect *protect, bool styp,
                                vpi_segment *entry, vp_error *err);
/* sidx whose references are the fragments of the segments; size is known from their count alone. */
vp_status vpi_cmaf_sidx(const vpi_ptrack *track, vpi_buf *out, vp_error *err);

/*
 * Layout of a single file: appends the sidx to init (the init segment), sets the track's index and the offset
 * of every segment. With too many references there is no sidx: manifests list the segments instead.
 */
vp_status vpi_ptrack_index(vpi_ptrack *track, vpi_buf *init, vp_error *err);

/* ---- MPEG-TS (ISO/IEC 13818-1) and packed audio (RFC 8216 3.2, 3.4) ---- */

#define VPI_TS_BASE 900000 /* PTS of title time 0, 90 kHz */

/*
 * PAT and PMT at every fragment, video PID 0x100 with PCR, audio PID 0x101. Counters begin at 0 in every
 * segment for media PIDs, whose payload packets are padded to a multiple of 16; PSI counters follow from
 * first_fragment. audio NULL: video only; with a count of 0 the tables still name it, so that they never
 * change within a title. video NULL: audio only. protect NULL, or clear: a clear segment; else SAMPLE-AES by its
 * `unit` (UNSUPPORTED FEATURE_DISABLED without one), for video and audio, and the tables say so in a version of their
 * own.
 * min_frame: lower bound of the distance of two pictures in the title, ticks of the video track: decode times
 * of the first `reorder` pictures of a segment go back by it.
 */
typedef struct vpi_ts_in {
    const vpi_segment_in *video;
    const vpi_segment_in *audio;
    uint32_t reorder;   /* pictures; 0..16 */
    uint64_t min_frame; /* ticks of the video timescale */
} vpi_ts_in;
vp_status vpi_ts_segment(const vpi_ts_in *in, const vpi_protect *protect, vp_object *object,
                         vpi_segment *entry, vp_error *err);
/*
 * The same numbers without bytes. Needs the samples' data: start codes, parameter sets and what protection adds depend
 * on it.
 */
vp_status vpi_ts_segment_size(const vpi_ts_in *in, const vpi_protect *protect, vpi_segment *entry,
                              vp_error *err);
/*
 * One frame of digital silence in AAC-LC, raw; channel_config of ISO/IEC 14496-3 table 1.19. False where that is
 * not 1 to 7.
 */
#define VPI_AAC_SILENCE_MAX 32
bool vpi_aac_silence(unsigned channel_config, uint8_t frame[VPI_AAC_SILENCE_MAX], size_t *size);
/*
 * ID3 timestamp, then ADTS frames, or those of AC-3 and E-AC-3 as they are; protected as in vpi_ts_segment, with the
 * setup of the decoder in a second ID3 frame.
 */
vp_status vpi_packed_audio_segment(const vpi_segment_in *in, const vpi_protect *protect, vp_object *object,
                                   vpi_segment *entry, vp_error *err);

/* ---- protection ---- */

/* A track and form of it under protection, while it is written; zeroed: clear. */
typedef struct vpi_track_guard {
    vpi_guard_session *session;
    const vpi_guard *guard;
    bool objects; /* whole objects are ciphered, not samples */
} vpi_track_guard;
/* Forms of tracks, for what must differ between them. */
enum { VPI_ORDINAL_CMAF, VPI_ORDINAL_TS, VPI_ORDINAL_AUDIO, VPI_ORDINAL_PACKED, VPI_ORDINALS };
/* guard->open NULL, or protection NULL or empty: *out is clear. The rest is borrowed until close. */
vp_status vpi_track_guard_open(const vpi_guard *guard, const vpi_track_setup *setup,
                               const vpi_protection *protection, unsigned form, size_t index,
                               vpi_track_guard *out, vp_error *err);
void vpi_track_guard_close(vpi_track_guard *g);
/* For a writer of samples: *out is what to give it, NULL when it is to write them clear. */
vp_status vpi_track_guard_segment(vpi_track_guard *g, uint64_t number, vpi_protect *room,
                                  const vpi_protect **out, vp_error *err);
/*
 * For a writer of whole objects: what is written to object between begin and end is ciphered where the scheme says so,
 * and entry gets its IV and size. before: the object's size at begin. g may be NULL.
 */
vp_status vpi_track_guard_begin(vpi_track_guard *g, uint64_t number, vp_object *object, vpi_segment *entry,
                                vp_error *err);
vp_status vpi_track_guard_end(vpi_track_guard *g, vp_object *object, vpi_segment *entry, uint64_t before,
                              vp_error *err);

/* ---- grid ---- */

/*
 * Segment and fragment borders of a title: fragments of `fragment` ticks, `per_segment` of them in a segment;
 * the last segment is merged with the one before when it is under 0.5 s.
 */
typedef struct vpi_grid {
    uint32_t timescale;
    uint64_t fragment, total; /* ticks, above 0 */
    uint32_t per_segment;
} vpi_grid;
uint64_t vpi_grid_segments(const vpi_grid *grid);
/* Start of segment n (0-based); n == count gives total. */
uint64_t vpi_grid_start(const vpi_grid *grid, uint64_t n);
/* Fragments before segment n; for n == count all of them (a last one shorter than 0.5 s is merged into the one
 * before it in the same way). */
uint64_t vpi_grid_fragments(const vpi_grid *grid, uint64_t n);
/* Start of fragment f (0-based, counted over the title). */
uint64_t vpi_grid_fragment_start(const vpi_grid *grid, uint64_t f);
/* Audio frames before segment n: the frame border nearest to the video border; `frames` at the end. */
uint64_t vpi_grid_audio(const vpi_grid *grid, uint64_t n, uint32_t sample_rate, uint32_t frame_samples,
                        uint64_t frames);

/* Cache rules (DESIGN section 5): names under a version folder are never used again, others may be. */
#define VPI_CACHE_SHORT "public, max-age=60"
#define VPI_CACHE_LONG(folder) ((folder)[0] ? "public, max-age=31536000, immutable" : VPI_CACHE_SHORT)

/* Content types and cache rules per kind of object (DESIGN section 5; Apple HLS authoring 10.4). */
const char *vpi_content_type(int32_t container, int32_t kind, int32_t object_kind);
/* Of a segment of the track: packed audio has one for each codec. */
const char *vpi_segment_type(const vpi_ptrack *track);
/* "m4s", "ts", "aac", "ac3", "ec3": what the names of segments end with. */
const char *vpi_segment_suffix(const vpi_ptrack *track);

#endif
