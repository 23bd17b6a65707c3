/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VPI_PACKAGE_INT_H
#define VPI_PACKAGE_INT_H

/* Private to lib/package: where writers put their bytes, and the timing that CMAF and TS share. */

#include "package/package.h"

#include "bitstream/bitstream.h"
#include "bmff/bmff.h"

/*
 * A place for bytes; with neither object nor value they are only counted: sizes come from the code that
 * writes.
 */
typedef struct vpi_out {
    vp_object *object;
    vp_value *value;
    uint64_t bytes;
} vpi_out;
static inline bool vpi_out_counts(const vpi_out *out)
{
    return !out->object && !out->value;
}
vp_status vpi_out_add(vpi_out *out, const struct iovec *pieces, size_t count, vp_error *err);

/* vpi_cmaf_segment to any place. */
vp_status vpi_cmaf_segment_out(const vpi_segment_in *in, const vpi_protect *protect, bool styp, vpi_out *out,
                               vpi_segment *entry, vp_error *err);
vp_status vpi_ts_segment_out(const vpi_ts_in *in, const vpi_protect *protect, vpi_out *out,
                             vpi_segment *entry, vp_error *err);
vp_status vpi_packed_audio_out(const vpi_segment_in *in, const vpi_protect *protect, vpi_out *out,
                               vpi_segment *entry, vp_error *err);

/* What tenc, or a sample group, says of it. */
void vpi_protect_tenc(const vpi_protect *protect, vpi_tenc *out);

/* INTERNAL when counts, fragment starts or times of a segment contradict each other. */
vp_status vpi_segment_in_check(const vpi_segment_in *in, vp_error *err);
/*
 * Presentation times in rising order, fragment by fragment, and the start of each fragment (fragment_count +
 * 1 values, the last is in->end). Both arrays are given by the caller (count and fragment_count + 1
 * elements). DATA INPUT_CORRUPT when two times are equal or one lies outside its fragment.
 */
vp_status vpi_segment_times(const vpi_segment_in *in, uint64_t *sorted, uint64_t *starts, vp_error *err);
/*
 * Decode times of one fragment: `times` holds its presentation times in rising order and gets, in decode order, times
 * that rise, begin with the same value and are never after the sample's presentation time.
 */
void vpi_decode_times(const vpi_sample *samples, size_t count, uint64_t *times);
/* Fills start and ticks of entry and empties its numbers; fragments are appended later. */
void vpi_entry_begin(vpi_segment *entry, const vpi_segment_in *in);

/* ---- transport stream ---- */

enum { VPI_TS_PACKET = 188, VPI_TS_PID_PMT = 0x1000, VPI_TS_PID_VIDEO = 0x100, VPI_TS_PID_AUDIO = 0x101 };

typedef struct vpi_ts_program {
    bool video, audio, protect;
    vpi_codec codec;      /* of audio */
    const char *language; /* of audio, BCP-47; may be NULL */
    vpi_buf setup;        /* vpi_audio_setup of protected audio */
} vpi_ts_program;
/* One packet each. */
void vpi_ts_pat(uint8_t packet[VPI_TS_PACKET], unsigned counter);
/* UNSUPPORTED where the tables do not fit one packet. */
vp_status vpi_ts_pmt(uint8_t packet[VPI_TS_PACKET], unsigned counter, const vpi_ts_program *program,
                     vp_error *err);

/*
 * Ticks of a title in 90 kHz with VPI_TS_BASE, not yet cut to 33 bits; nearest, so that equal times stay
 * equal.
 */
int64_t vpi_ts_time(int64_t ticks, uint32_t timescale);

/* ---- frames of sound ---- */

/* Most bytes of frames in a PES packet, whose length has 16 bits (ISO/IEC 13818-1 2.4.3.7). */
enum { VPI_ADTS_HEADER = 7, VPI_TS_AUDIO_BYTES = 60000 };

typedef struct vpi_audio_form {
    const vpi_track_setup *setup;
    vpi_asc asc; /* AAC, which can be put into ADTS */
} vpi_audio_form;
/* UNSUPPORTED CODEC_UNSUPPORTED for what neither a transport stream nor packed audio has room for. */
vp_status vpi_audio_form_of(const vpi_track_setup *setup, vpi_audio_form *out, vp_error *err);
/* Bytes in front of each frame. */
size_t vpi_audio_header_size(const vpi_audio_form *form);
/*
 * Writes them. DATA INPUT_CORRUPT for what is no whole frame (AAC: too long a one), UNSUPPORTED for one that no PES
 * packet has room for.
 */
vp_status vpi_audio_header(const vpi_audio_form *form, const vpi_sample *s, uint8_t header[VPI_ADTS_HEADER],
                           vp_error *err);

/* ---- SAMPLE-AES (Apple, "MPEG-2 Stream Encryption Format for HTTP Live Streaming") ---- */

/* *out: the step that this segment has to use, NULL where it is clear. UNSUPPORTED for other schemes than 'cbcs'. */
vp_status vpi_unit_protect(const vpi_protect *protect, const vpi_protect **out, vp_error *err);
/* Appends a sample with its header, protected, to out: audio never changes its size. frame is for its own use. */
vp_status vpi_audio_protect(const vpi_audio_form *form, const vpi_protect *protect, const vpi_sample *s,
                            vpi_buf *frame, vpi_buf *out, vp_error *err);
/*
 * Appends the audio_setup_information (2.3.2). UNSUPPORTED CODEC_UNSUPPORTED for object types of AAC that have no name
 * there.
 */
vp_status vpi_audio_setup(const vpi_audio_form *form, vpi_buf *out, vp_error *err);

#endif
