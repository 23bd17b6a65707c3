/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <inttypes.h>

#include "manifest/drm.h"
#include "manifest/hls_int.h"
#include "manifest/uri.h"

#define MICROSECONDS 1000000u
#define FOLDER_SIZE 1024

/* Segments are numbered from 1 in their names and in MPDs; the sequence number says the same. */
#define FIRST_NUMBER 1

typedef unsigned __int128 u128;

/* EXT-X-VERSION is the most that any tag in the playlist needs (RFC 8216 7); 3 for fractions in EXTINF. */
static unsigned media_version(const vpi_ptrack *t)
{
    if (t->init.key) return 6;
    return VPI_MAX(vpi_hls_key_version(t), t->single_file ? 4u : 3u);
}

static unsigned iframes_version(const vpi_ptrack *t)
{
    return VPI_MAX(vpi_hls_key_version(t), t->init.key ? 5u : 4u);
}

static uint64_t to_us(uint64_t ticks, uint32_t timescale)
{
    return (uint64_t)(((u128)ticks * MICROSECONDS * 2 + timescale) / ((u128)timescale * 2));
}

/*
 * Duration of what lies between two times of the track, measured from its start. Both ends are rounded, not
 * the difference: so the sum of any run is off by no more than one microsecond.
 */
static void add_extinf(vpi_buf *b, const vpi_ptrack *t, uint64_t start, uint64_t end)
{
    uint64_t origin = t->segments[0].start;
    uint64_t us = to_us(end - origin, t->timescale) - to_us(start - origin, t->timescale);

    vpi_buf_printf(b, "#EXTINF:%" PRIu64 ".%06" PRIu64 ",\n", us / MICROSECONDS, us % MICROSECONDS);
}

static void add_head(vpi_buf *b, const vpi_presentation *p, const vpi_ptrack *t, bool iframes)
{
    char folder[FOLDER_SIZE];

    vpi_ptrack_folder(t, folder);
    vpi_buf_printf(b, "#EXTM3U\n#EXT-X-VERSION:%u\n", iframes ? iframes_version(t) : media_version(t));
    vpi_buf_printf(b, "#EXT-X-TARGETDURATION:%u\n", vpi_presentation_target(p));
    vpi_buf_printf(b, "#EXT-X-MEDIA-SEQUENCE:%u\n#EXT-X-PLAYLIST-TYPE:VOD\n", FIRST_NUMBER);
    if (iframes) vpi_buf_str(b, "#EXT-X-I-FRAMES-ONLY\n");
    if (t->kind == VP_TRACK_VIDEO) vpi_buf_str(b, "#EXT-X-INDEPENDENT-SEGMENTS\n");
    if (!t->init.key) return;
    /* Before any EXT-X-KEY, which would say that the init segment is encrypted too (RFC 8216 4.3.2.5). */
    vpi_buf_str(b, "#EXT-X-MAP:URI=\"");
    vpi_uri_relative(b, folder, t->init.key);
    vpi_buf_u8(b, '"');
    if (t->single_file || t->init.offset) {
        vpi_buf_printf(b, ",BYTERANGE=\"%" PRIu64 "@%" PRIu64 "\"", t->init.bytes, t->init.offset);
    }
    vpi_buf_u8(b, '\n');
}

static void add_media(vpi_buf *b, const vpi_presentation *p, const vpi_ptrack *t)
{
    char folder[FOLDER_SIZE];
    vpi_hls_keys keys = { 0 };
    size_t i;

    vpi_ptrack_folder(t, folder);
    add_head(b, p, t, false);
    for (i = 0; i < t->segment_count; i++) {
        const vpi_segment *s = &t->segments[i];

        vpi_hls_key_change(b, &keys, t, i);
        add_extinf(b, t, s->start, s->start + s->ticks);
        if (t->single_file || s->offset) {
            vpi_buf_printf(b, "#EXT-X-BYTERANGE:%" PRIu64 "@%" PRIu64 "\n", s->bytes, s->offset);
        }
        vpi_uri_relative(b, folder, s->key);
        vpi_buf_u8(b, '\n');
    }
    vpi_buf_str(b, "#EXT-X-ENDLIST\n");
    vpi_hls_keys_dispose(&keys);
}

static void add_iframes(vpi_buf *b, const vpi_presentation *p, const vpi_ptrack *t)
{
    char folder[FOLDER_SIZE];
    vpi_hls_keys keys = { 0 };
    size_t i, k;

    vpi_ptrack_folder(t, folder);
    add_head(b, p, t, true);
    for (i = 0; i < t->segment_count; i++) {
        const vpi_segment *s = &t->segments[i];
        uint64_t at = s->start;

        vpi_hls_key_change(b, &keys, t, i);
        for (k = 0; k < s->fragment_count; k++) {
            const vpi_fragment *f = &s->fragments[k];

            add_extinf(b, t, at, at + f->ticks);
            vpi_buf_printf(b, "#EXT-X-BYTERANGE:%" PRIu64 "@%" PRIu64 "\n", f->idr_bytes,
                           s->offset + f->offset);
            vpi_uri_relative(b, folder, s->key);
            vpi_buf_u8(b, '\n');
            at += f->ticks;
        }
    }
    vpi_buf_str(b, "#EXT-X-ENDLIST\n");
    vpi_hls_keys_dispose(&keys);
}

/* NULL after a failure was told. */
static const vpi_ptrack *track_at(const vp_presentation *presentation, uint32_t track, vp_error *err)
{
    const vpi_ptrack *t;

    if (!presentation || track >= presentation->p.track_count) {
        vpi_fail(err, VP_E_ARG, NULL, "there is no track %u", track);
        return NULL;
    }
    t = &presentation->p.tracks[track];
    if ((t->kind == VP_TRACK_VIDEO || t->kind == VP_TRACK_AUDIO) && t->segment_count && t->timescale)
        return t;
    vpi_fail(err, VP_E_ARG, NULL, "track %u has no media playlist", track);
    return NULL;
}

vp_status vp_manifest_hls_media(const vp_presentation *presentation, uint32_t track, vp_bytes **out,
                                vp_error *err)
{
    const vpi_ptrack *t;
    vpi_buf b = { 0 };

    vp_error_init(err);
    if (!out) return vpi_fail(err, VP_E_ARG, NULL, "nowhere to put the playlist");
    *out = NULL;
    t = track_at(presentation, track, err);
    if (!t) return VP_E_ARG;
    add_media(&b, &presentation->p, t);
    return vpi_bytes_from_buf(&b, out, err);
}

vp_status vp_manifest_hls_iframes(const vp_presentation *presentation, uint32_t track, vp_bytes **out,
                                  vp_error *err)
{
    const vpi_ptrack *t;
    vpi_buf b = { 0 };

    vp_error_init(err);
    if (!out) return vpi_fail(err, VP_E_ARG, NULL, "nowhere to put the playlist");
    *out = NULL;
    t = track_at(presentation, track, err);
    if (!t) return VP_E_ARG;
    if (vpi_whole_segments(t)) {
        return vpi_fail(err, VP_E_UNSUPPORTED, NULL,
                        "track %u is AES-128: no part of a segment can be read alone", track);
    }
    if (!vpi_hls_has_iframes(t))
        return vpi_fail(err, VP_E_ARG, NULL, "track %u has no I-frame playlist", track);
    add_iframes(&b, &presentation->p, t);
    return vpi_bytes_from_buf(&b, out, err);
}

vp_status vp_manifest_hls_media_key(const vp_presentation *presentation, uint32_t track, int32_t iframes,
                                    vp_bytes **out, vp_error *err)
{
    const vpi_ptrack *t;
    vpi_buf b = { 0 };

    vp_error_init(err);
    if (!out) return vpi_fail(err, VP_E_ARG, NULL, "nowhere to put the key");
    *out = NULL;
    t = track_at(presentation, track, err);
    if (!t) return VP_E_ARG;
    vpi_hls_playlist_key(t, iframes != 0, &b);
    return vpi_bytes_from_buf(&b, out, err);
}
