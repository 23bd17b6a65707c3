/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VPI_MEDIA_DEMUX_INT_H
#define VPI_MEDIA_DEMUX_INT_H

/* What a reader of packets is made of: demux_open.c opens it, demux_read.c reads and seeks, demux.c is the rest. */

#include "media/reader_int.h"
#include "media/repair_int.h"

struct vpi_demux {
    vp_context *context;
    vp_source *source;
    vp_cancel *cancel;
    vpi_limits limits;
    vpi_structure structure;
    vpi_avio io;
    const AVInputFormat *format;
    AVFormatContext *ic;
    bool refused_open; /* the demuxer wanted another file */
    bool read_any;
    bool lost; /* the reads after the last packet failed */
    unsigned
        late_streams; /* so many are there once a first look has come to the end of the file; 0: it was enough */
    vpi_track *tracks;
    char **dropped;
    bool *wanted;
    vpi_mp4 *mp4;
    int64_t *positions; /* of each stream's last packet */
    int64_t
        *counted; /* time of the next packet, for streams of structure.avi_frames; AV_NOPTS_VALUE: its own */
    bool *behind; /* its edits have ended */
    const vpi_timeline *timeline;
    vpi_routes routes;
    size_t count;
    AVPacket **queue; /* read, not given out yet */
    size_t queue_at, queue_count, queue_cap;
};

/* ---- demux_open.c ---- */

/* Of a source whose length is not known yet: a refusal for what its head is, or not yet. */
vp_status vpi_demux_look_at_head(vpi_demux *d, vp_error *err);
/* Chooses the format, checks the structure (all: see vpi_structure_check), opens. */
vp_status vpi_demux_begin(vpi_demux *d, bool all, vp_error *err);
/* Once more, at byte 0 of a file whose format is known. */
vp_status vpi_demux_reopen(vpi_demux *d, vp_error *err);

/* ---- demux_read.c ---- */

/* The next packet of a wanted stream, from the file; the caller frees it. */
vp_status vpi_demux_next(vpi_demux *d, AVPacket **out, vp_error *err);
/* Behind what is queued already; takes the packet over, also when it fails. */
vp_status vpi_demux_queue(vpi_demux *d, AVPacket *packet, vp_error *err);
void vpi_demux_clear_queue(vpi_demux *d);

#endif
