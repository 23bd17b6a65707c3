/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VODPIPE_LADDER_H
#define VODPIPE_LADDER_H

/*
 * Which rungs a title gets. A vp_ladder is immutable; a host that wants another one edits its JSON form or
 * builds one from rungs. Tier 2.
 *
 * Presets are 16:9 boxes, turned for portrait: 240p 400 kbit/s, 360p 800, 480p 1400, 720p 2800, 1080p 5000,
 * 1440p 9000, 2160p 16000; above 30 frames a second the rates are 1.5 times that.
 */

#include <vodpipe/media.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct vp_ladder vp_ladder;
VP_API vp_ladder *vp_ladder_ref(vp_ladder *ladder);
VP_API vp_ladder *vp_ladder_unref(vp_ladder *ladder);

typedef struct vp_rung {
    uint32_t struct_size;
    uint32_t width, height; /* of the encoded picture, even */
    uint32_t kbps;          /* target, kbit/s */
    uint32_t maxrate_kbps;  /* VBV rate; 1.5 x target */
    uint32_t bufsize_kbit;  /* VBV buffer; one second of maxrate */
    uint32_t level;         /* H.264 level_idc, 31 for 3.1 */
    uint32_t reserved;
    char name[32];    /* "720p": letters, digits, '-', '_' and '.' */
    char codec[16];   /* "h264" */
    char profile[16]; /* "high" */
} vp_rung;
VP_API void vp_rung_init(vp_rung *rung, size_t size);

typedef struct vp_ladder_options {
    uint32_t struct_size;
    uint32_t max_fps;  /* 0: 60 */
    const char *rungs; /* NULL or "auto": presets up to the source; else "1080p,720p" */
} vp_ladder_options;
#define VP_LADDER_OPTIONS_INIT                                                                               \
    {                                                                                                        \
        (uint32_t)sizeof(vp_ladder_options), 0, NULL                                                         \
    }
VP_API void vp_ladder_options_init(vp_ladder_options *options, size_t size);

/*
 * Rungs for what was probed, largest first; none above the source (those asked for are warned of as
 * RUNG_ABOVE_SOURCE); one rung of the source's own size when no preset fits. A title without video gets a
 * ladder without rungs. Errors: ARG for an unknown or doubled preset name, NOMEM.
 */
VP_API vp_status vp_ladder_derive(const vp_media *media, const vp_ladder_options *options, vp_ladder **out,
                                  vp_error *err);
/*
 * From a ladder document (docs/formats.md) and what was probed: name, height and kbps suffice, the rest follows.
 * media may be NULL: then width is required. Errors: DATA INPUT_CORRUPT naming the field, VERSION, NOMEM.
 */
VP_API vp_status vp_ladder_parse(const void *json, uint64_t size, const vp_media *media, vp_ladder **out,
                                 vp_error *err);
VP_API vp_status vp_ladder_json(const vp_ladder *ladder, vp_bytes **out, vp_error *err);

VP_API uint32_t vp_ladder_count(const vp_ladder *ladder);
VP_API vp_status vp_ladder_get(const vp_ladder *ladder, uint32_t index, vp_rung *out, vp_error *err);
VP_API uint32_t vp_ladder_audio_kbps(const vp_ladder *ladder); /* of the stereo group; default 128 */
VP_API uint32_t vp_ladder_warning_count(const vp_ladder *ladder);
VP_API const char *vp_ladder_warning(const vp_ladder *ladder, uint32_t index, const char **text);

#ifdef __cplusplus
}
#endif

#endif
