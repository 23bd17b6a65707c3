/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * push_packager VIDEO.h264 FPS AUDIO.aac OUT: the host's own coded samples in, segments and manifests out. Reads an
 * Annex B stream with access unit delimiters and without B-frames, and an ADTS stream; a real host has samples,
 * times and decoder configurations from its own encoder.
 */
#include <stdlib.h>

#include <vodpipe/vodpipe.h>

#include "elementary.h"

static vp_status push_video(vp_packager *packager, uint32_t track, const file *f, uint32_t fps, vp_error *err)
{
    static uint8_t unit[4 << 20];
    vp_sample sample;
    vp_status st = VP_OK;
    size_t at = 0, n;
    int picture = 0;
    vp_sample_init(&sample, sizeof(sample));
    sample.data = unit;
    sample.duration = 90000 / fps;
    do {
        n = next_nal(f, &at);
        int type = n ? f->data[at] & 31 : 9;
        if (type == 9 && picture) { /* a delimiter, or the end: the access unit is whole */
            st = vp_packager_write(packager, track, &sample, err);
            sample.pts += (int64_t)sample.duration;
            sample.size = 0;
            sample.flags = 0;
            picture = 0;
        }
        picture |= type == 1 || type == 5;
        if (type == 5) sample.flags = VP_SAMPLE_SYNC;
        if (type >= 1 && type <= 6 && sample.size + n + 4 <= sizeof(unit))
            sample.size += put_nal(unit + sample.size, f->data + at, n, 4);
        at += n;
    } while (n && st >= 0);
    return st;
}

static vp_status push_audio(vp_packager *packager, uint32_t track, const file *f, vp_error *err)
{
    vp_sample sample;
    vp_status st = VP_OK;
    vp_sample_init(&sample, sizeof(sample));
    sample.flags = VP_SAMPLE_SYNC;
    sample.duration = 1024;
    for (size_t at = 0, n; st >= 0 && (sample.data = next_adts(f, &at, &n));) {
        sample.size = n;
        st = vp_packager_write(packager, track, &sample, err);
        sample.pts += 1024;
    }
    return st;
}

static vp_status put(vp_sink *sink, int32_t kind, const char *key, const char *type, vp_bytes *text,
                     vp_error *err)
{
    vp_object *object = NULL;
    vp_object_info info = VP_OBJECT_INFO_INIT;
    info.kind = kind;
    info.key = key;
    info.content_type = type;
    vp_status st = vp_sink_begin(sink, &info, &object, err);
    if (st < 0) return st;
    st = vp_object_write(object, vp_bytes_data(text), (size_t)vp_bytes_size(text), err);
    if (st >= 0) return vp_object_commit(object, NULL, NULL, err);
    vp_object_abort(object);
    return st;
}

static const char hls[] = "application/vnd.apple.mpegurl";

static vp_status put_playlist(vp_sink *sink, const vp_presentation *presentation, uint32_t track,
                              int32_t iframes, vp_error *err)
{
    vp_bytes *text = NULL, *key = NULL;
    vp_status st = vp_manifest_hls_media_key(presentation, track, iframes, &key, err);
    if (st >= 0)
        st = iframes ? vp_manifest_hls_iframes(presentation, track, &text, err)
                     : vp_manifest_hls_media(presentation, track, &text, err);
    if (st >= 0) st = put(sink, VP_OBJECT_PLAYLIST, (const char *)vp_bytes_data(key), hls, text, err);
    vp_bytes_unref(key);
    vp_bytes_unref(text);
    return st;
}

/* Media playlists first, what names them last. */
static vp_status put_manifests(vp_sink *sink, const vp_presentation *presentation, vp_error *err)
{
    vp_presentation_info info;
    vp_track_info track;
    vp_bytes *text = NULL;
    vp_presentation_info_init(&info, sizeof(info));
    vp_track_info_init(&track, sizeof(track));
    vp_status st = vp_presentation_get_info(presentation, &info, err);
    for (uint32_t i = 0; st >= 0 && i < info.track_count; i++) {
        st = vp_presentation_get_track(presentation, i, &track, err);
        if (st >= 0) st = put_playlist(sink, presentation, i, 0, err);
        if (st >= 0 && track.kind == VP_TRACK_VIDEO) st = put_playlist(sink, presentation, i, 1, err);
    }
    if (st >= 0) st = vp_sink_flush(sink, err);
    if (st >= 0) st = vp_presentation_json(presentation, &text, err);
    if (st >= 0) st = put(sink, VP_OBJECT_MASTER, "presentation.json", "application/json", text, err);
    text = vp_bytes_unref(text);
    if (st >= 0) st = vp_manifest_dash(presentation, &text, err);
    if (st >= 0) st = put(sink, VP_OBJECT_MASTER, "manifest.mpd", "application/dash+xml", text, err);
    text = vp_bytes_unref(text);
    if (st >= 0) st = vp_manifest_hls_master(presentation, VP_HLS_CMAF, &text, err);
    if (st >= 0) st = put(sink, VP_OBJECT_MASTER, "master.m3u8", hls, text, err);
    vp_bytes_unref(text);
    return st < 0 ? st : vp_sink_flush(sink, err);
}

int main(int argc, char **argv)
{
    static file video, audio;
    uint8_t avcc[4096], asc[2];
    vp_error err = VP_ERROR_INIT;
    vp_context *context = NULL;
    vp_sink *sink = NULL;
    vp_packager *packager = NULL;
    vp_presentation *presentation = NULL;
    vp_track_config config;
    uint32_t video_track, audio_track, fps = argc == 5 ? (uint32_t)atoi(argv[2]) : 0;
    if (fps < 1 || fps > 240) {
        fprintf(stderr, "usage: %s VIDEO.h264 FPS AUDIO.aac OUT\n", argv[0]);
        return 2;
    }
    load(&video, argv[1]);
    load(&audio, argv[3]);

    vp_status st = vp_context_new(NULL, &context, &err);
    if (st >= 0) st = vp_sink_directory(context, argv[4], &sink, &err);
    if (st >= 0) st = vp_packager_new(context, NULL, sink, NULL, &packager, &err);

    vp_track_config_init(&config, sizeof(config));
    config.codec = VP_CODEC_H264;
    config.config = avcc;
    config.config_size = make_avcc(&video, avcc);
    config.timescale = 90000;
    config.name = "video";
    if (st >= 0) st = vp_packager_add_track(packager, &config, &video_track, &err);

    vp_track_config_init(&config, sizeof(config));
    config.codec = VP_CODEC_AAC;
    config.config = asc;
    config.config_size = sizeof(asc);
    config.timescale = make_asc(&audio, asc);
    config.name = "en-stereo";
    config.language = "en";
    config.is_default = 1;
    if (st >= 0) st = vp_packager_add_track(packager, &config, &audio_track, &err);

    if (st >= 0) st = push_video(packager, video_track, &video, fps, &err);
    if (st >= 0) st = push_audio(packager, audio_track, &audio, &err);
    if (st >= 0) st = vp_packager_finish(packager, &presentation, &err);
    if (st >= 0) st = put_manifests(sink, presentation, &err);
    if (st < 0) fprintf(stderr, "%s: %s\n", err.reason, err.message);

    vp_presentation_unref(presentation);
    vp_packager_unref(packager);
    vp_sink_unref(sink);
    vp_context_unref(context);
    return st < 0;
}
