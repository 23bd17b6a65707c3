/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VPI_MANIFEST_HLS_INT_H
#define VPI_MANIFEST_HLS_INT_H

#include <vodpipe/manifest.h>

#include "base/buf.h"
#include "base/error.h"
#include "model/presentation.h"

#define VPI_PLAYLIST_NAME "playlist.m3u8"
#define VPI_IFRAMES_NAME "iframes.m3u8"

/*
 * Can it have an I-frame playlist: video whose every fragment tells how long its IDR picture is. Not under AES-128:
 * there only a whole segment can be decrypted.
 */
bool vpi_hls_has_iframes(const vpi_ptrack *t);
/* Object key of a track's playlist, as text of the buffer. */
void vpi_hls_playlist_key(const vpi_ptrack *t, bool iframes, vpi_buf *b);
/* The same as a reference from the root of the title. */
void vpi_hls_playlist_uri(const vpi_ptrack *t, bool iframes, vpi_buf *b);
/* NAME="text": a quoted string (RFC 8216 4.2) has no quotes and line breaks. Comma before it unless first. */
void vpi_hls_quoted(vpi_buf *b, bool first, const char *name, const char *text);
/* Adds each codec of a comma-separated list that to does not have yet; audio: also those of audio. */
void vpi_hls_merge_codecs(vpi_buf *to, const char *codecs, bool audio);

/* ---- keys (hls_key.c) ---- */

/* While the segments of a playlist are written in their order; zeros at the begin. */
typedef struct vpi_hls_keys {
    const vpi_key_info *key; /* of the segment before */
    vpi_buf force, now;      /* tags in force, and those of the segment */
} vpi_hls_keys;
/* The tags that stand before a segment: none where those in force are its own. */
void vpi_hls_key_change(vpi_buf *b, vpi_hls_keys *k, const vpi_ptrack *t, size_t segment);
void vpi_hls_keys_dispose(vpi_hls_keys *k);
/* EXT-X-SESSION-KEY tags of a track. */
void vpi_hls_session_tags(vpi_buf *b, const vpi_ptrack *t);
/* EXT-X-VERSION that the tags of a track need. */
unsigned vpi_hls_key_version(const vpi_ptrack *t);

#endif
