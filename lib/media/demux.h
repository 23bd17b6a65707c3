/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VPI_MEDIA_DEMUX_H
#define VPI_MEDIA_DEMUX_H

/*
 * Reading packets of a source with libavformat: own AVIO over vp_source, demuxers of an allow-list, io_open that
 * refuses everything, limits before allocation. One thread at a time per handle. No libav* type crosses this
 * header, so that other folders can use it.
 */

#include <vodpipe/io.h>
#include <vodpipe/probe.h>

#include "base/common.h"
#include "base/error.h"
#include "model/media.h"

typedef struct vpi_demux vpi_demux;

typedef struct vpi_packet {
    int32_t stream;
    bool key, discard, corrupt;
    bool has_pts, has_dts;
    int64_t pts, dts, duration; /* ticks of the stream's tb; duration 0: unknown */
    int64_t shift;              /* what a repaired timeline has taken off its times */
    int32_t edit;               /* number of the edit that shows it, from 1; 0: not known here */
    int64_t position;           /* byte offset in the file, -1 unknown */
    const uint8_t *data;
    size_t size;
    void *ref; /* private; freed by vpi_packet_dispose */
} vpi_packet;
void vpi_packet_dispose(vpi_packet *packet); /* accepts a zeroed one */
/* Takes over what from holds; from becomes empty. */
void vpi_packet_move(vpi_packet *to, vpi_packet *from);

/*
 * Makes sure that libav* and x264 are there; every function of this folder that needs them asks this first. The first
 * call loads them, the answer stays the same as long as the process lives. UNSUPPORTED, FEATURE_DISABLED when one of
 * them is not there or is not the one that the library was built with.
 */
vp_status vpi_media_load(vp_error *err);

/* limits NULL: defaults. Refusals as vp_probe. source and cancel get references. */
vp_status vpi_demux_open(vp_context *context, vp_source *source, const vp_probe_options *limits,
                         vp_cancel *cancel, vpi_demux **out, vp_error *err);
vpi_demux *vpi_demux_close(vpi_demux *demux); /* NULL is allowed; returns NULL */
/* Next packet in file order; VP_END at the end. INPUT_TRUNCATED when reading stopped short of the source's size in
 * the middle of a structure. */
vp_status vpi_demux_read(vpi_demux *demux, vpi_packet *packet, vp_error *err);
/* To a random access point of the stream at or before pts (or the first one). */
vp_status vpi_demux_seek(vpi_demux *demux, int32_t stream, int64_t pts, vp_error *err);
/* Only these streams are read from now on (n streams; the demuxer skips the others where it can). */
void vpi_demux_select(vpi_demux *demux, const int32_t *streams, size_t n);

/* The first time in a file of this format means nothing: transport and program streams. */
bool vpi_demux_any_start(const vpi_demux *demux);
size_t vpi_demux_stream_count(const vpi_demux *demux);
/* Everything known of a stream without reading packets (track struct as vp_probe fills it); keyframes are NULL.
 * Borrowed until close. */
const vpi_track *vpi_demux_track(const vpi_demux *demux, int32_t stream);
/*
 * Decoder configuration for packaging: avcC, hvcC, av1C, vpcC, ASC, dfLa ... converted from Annex B where the file
 * has that. Borrowed until close. UNSUPPORTED CODEC_UNSUPPORTED where the codec is not one that we package.
 */
vp_status vpi_demux_config(vpi_demux *demux, int32_t stream, const uint8_t **data, size_t *size,
                           vp_error *err);
/*
 * Packets get these times from now on. Borrowed until close. A reader of a repaired file starts at its first byte:
 * seeking by time is not possible in it.
 */
void vpi_demux_set_timeline(vpi_demux *demux, const vpi_timeline *timeline);
/* From now on packets of the stream come as MP4 samples: length-prefixed NALs without parameter sets and AUDs,
 * raw AAC frames without ADTS. What has that form already is passed without a copy. */
vp_status vpi_demux_as_mp4(vpi_demux *demux, int32_t stream, vp_error *err);

/*
 * The full scan: reads every packet of every stream once and fills all of vpi_media (frame-rate statistics, keyframe
 * map, completeness, fingerprint, warnings). What vp_probe with full = 1 does.
 */
vp_status vpi_scan(vp_context *context, vp_source *source, const vp_probe_options *options, vp_cancel *cancel,
                   void (*progress)(void *user, uint64_t done_bytes, uint64_t total_bytes),
                   void *progress_user, vp_media **out, vp_error *err);

#endif
