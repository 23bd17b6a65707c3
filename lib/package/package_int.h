/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VPI_PACKAGE_INT_H
#define VPI_PACKAGE_INT_H

/* Private to lib/package: where writers put their bytes, and the timing that CMAF and TS share. */

#include "package/package.h"

#include "bitstream/bitstream.h"

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
vp_status vpi_packed_audio_out(const vpi_segment_in *in, vpi_out *out, vpi_segment *entry, vp_error *err);

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

/* One packet each. language: BCP-47. */
void vpi_ts_pat(uint8_t packet[VPI_TS_PACKET], unsigned counter);
void vpi_ts_pmt(uint8_t packet[VPI_TS_PACKET], unsigned counter, bool video, bool audio,
                const char *language);

/*
 * Ticks of a title in 90 kHz with VPI_TS_BASE, not yet cut to 33 bits; nearest, so that equal times stay
 * equal.
 */
int64_t vpi_ts_time(int64_t ticks, uint32_t timescale);

/* ASC of an audio track that can be put into ADTS. UNSUPPORTED CODEC_UNSUPPORTED for others. */
vp_status vpi_adts_setup(const vpi_track_setup *setup, vpi_asc *asc, vp_error *err);

#endif
