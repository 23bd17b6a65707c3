/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * probe_file INPUT: what is in a file, without trusting it. Nothing but the file is opened, whatever is in it, and
 * sizes, stream counts and time have limits.
 */
#include <stdio.h>

#include <vodpipe/probe.h>

static void print_media(const vp_media *media)
{
    vp_media_info info = VP_MEDIA_INFO_INIT;
    vp_video_info video;
    vp_audio_info audio;
    const char *text, *name;
    uint32_t i;

    vp_media_get_info(media, &info, NULL);
    printf("%s, %.2f s\n", info.format,
           info.duration_us == VP_TIME_UNKNOWN ? 0 : (double)info.duration_us / 1e6);
    for (i = 0; i < info.video_count; i++) {
        /* our size of the struct: an older host works with a newer library */
        vp_video_info_init(&video, sizeof(video));
        vp_media_get_video(media, i, &video, NULL);
        printf("video %d: %s %ux%u, %u/%u fps\n", (int)video.id, video.codec, (unsigned)video.display_width,
               (unsigned)video.display_height, (unsigned)video.frame_rate_num,
               (unsigned)video.frame_rate_den);
    }
    for (i = 0; i < info.audio_count; i++) {
        vp_audio_info_init(&audio, sizeof(audio));
        vp_media_get_audio(media, i, &audio, NULL);
        printf("audio %d: %s %u Hz %s %s\n", (int)audio.id, audio.codec, (unsigned)audio.sample_rate,
               audio.layout, audio.language);
    }
    for (i = 0; i < info.warning_count; i++) {
        name = vp_media_warning(media, i, &text, NULL);
        printf("warning: %s: %s\n", name, text);
    }
}

int main(int argc, char **argv)
{
    vp_error err = VP_ERROR_INIT;
    vp_context *context = NULL;
    vp_source *source = NULL;
    vp_media *media = NULL;
    vp_probe_options options = VP_PROBE_OPTIONS_INIT;
    vp_status st;

    if (argc != 2) {
        fprintf(stderr, "usage: %s INPUT\n", argv[0]);
        return 2;
    }
    options.full = 1;           /* read the whole packet index: frame counts, keyframes, is the file whole */
    options.timeout_ms = 60000; /* of the whole call */
    st = vp_context_new(NULL, &context, &err);
    if (st >= 0) st = vp_source_file(context, argv[1], &source, &err);
    if (st >= 0) st = vp_probe(context, source, &options, NULL, &media, &err);
    if (st >= 0)
        print_media(media);
    else if (st == VP_E_DATA || st == VP_E_UNSUPPORTED || st == VP_E_LIMIT)
        fprintf(stderr, "refused: %s: %s\n", err.reason, err.message); /* the file's fault: tell its owner */
    else
        fprintf(stderr, "%s: %s\n", err.reason, err.message); /* ours: log it */

    vp_media_unref(media);
    vp_source_unref(source);
    vp_context_unref(context);
    return st < 0;
}
