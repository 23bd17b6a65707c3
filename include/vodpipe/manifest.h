/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VODPIPE_MANIFEST_H
#define VODPIPE_MANIFEST_H

/*
 * HLS and DASH text from a presentation: pure functions, no I/O, any thread. The same presentation gives the
 * same bytes. Tier 2. Playlists name objects relative to where they themselves lie: a master and an MPD at the
 * root of the title, a media playlist in its track's folder.
 */

#include <vodpipe/presentation.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Which tracks a master lists. */
enum { VP_HLS_CMAF = 1, VP_HLS_TS = 2 };

/*
 * HLS multivariant playlist (RFC 8216 4.3.4) of the tracks of one kind of container; muxed TS video has no audio
 * group. ARG when the presentation has no such track.
 */
VP_API vp_status vp_manifest_hls_master(const vp_presentation *presentation, int32_t container,
                                        vp_bytes **out, vp_error *err);
/* Media playlist of one track. */
VP_API vp_status vp_manifest_hls_media(const vp_presentation *presentation, uint32_t track, vp_bytes **out,
                                       vp_error *err);
/* I-frame playlist of a video track; ARG for another, UNSUPPORTED under AES-128: no part can be read alone there. */
VP_API vp_status vp_manifest_hls_iframes(const vp_presentation *presentation, uint32_t track, vp_bytes **out,
                                         vp_error *err);
/*
 * DASH MPD (ISO/IEC 23009-1) of the CMAF tracks: SegmentTimeline, or SegmentBase for single-file tracks. UNSUPPORTED
 * where one is under AES-128.
 */
VP_API vp_status vp_manifest_dash(const vp_presentation *presentation, vp_bytes **out, vp_error *err);

/* Where a media or I-frame playlist of a track belongs, as an object key: "a1b2/video/720p/playlist.m3u8". */
VP_API vp_status vp_manifest_hls_media_key(const vp_presentation *presentation, uint32_t track,
                                           int32_t iframes, vp_bytes **out, vp_error *err);

#ifdef __cplusplus
}
#endif

#endif
