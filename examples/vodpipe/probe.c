/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

static void print_size(uint64_t bytes)
{
    static const char *const units[] = { "kB", "MB", "GB", "TB" };
    double value = (double)bytes / 1000;
    size_t i = 0;
    if (bytes < 1000) {
        printf("%u bytes", (unsigned)bytes);
        return;
    }
    for (; value >= 999.5 && i < 3; i++) value /= 1000;
    printf("%.*f %s", value < 10 ? 2 : value < 100 ? 1 : 0, value, units[i]);
}

static void print_time(int64_t us)
{
    long long ms = (long long)(us < 0 ? -us : us) / 1000;
    printf("%s%lld:%02lld:%02lld.%03lld", us < 0 ? "-" : "", ms / 3600000, ms / 60000 % 60, ms / 1000 % 60,
           ms % 1000);
}

static void print_video(const vp_video_info *v)
{
    printf("  %-3d %-9s %-8s %ux%u", v->id, v->attached_picture ? "picture" : "video", v->codec, v->width,
           v->height);
    if (v->display_width != v->width || v->display_height != v->height)
        printf(" shown as %ux%u", v->display_width, v->display_height);
    if (v->rotation || v->flipped) printf(", turned by %d%s", v->rotation, v->flipped ? " and mirrored" : "");
    if (v->frame_rate_num) printf(", %.6g fps", (double)v->frame_rate_num / v->frame_rate_den);
    if (v->variable_frame_rate == 1) printf(" (variable)");
    if (v->frames) printf(", %llu frames", (unsigned long long)v->frames);
    printf(", %s %u bit", v->chroma, v->bit_depth);
    if (v->interlaced) printf(", interlaced");
    if (strcmp(v->hdr, "none")) printf(", HDR %s", v->hdr);
    if (v->codecs[0]) printf("  [%s]", v->codecs);
    putchar('\n');
    if (v->keyframe_max_us > 0)
        printf("      keyframes every %.2f s, %.2f to %.2f\n", (double)v->keyframe_mean_us / 1e6,
               (double)v->keyframe_min_us / 1e6, (double)v->keyframe_max_us / 1e6);
}

static void print_audio(const vp_audio_info *a)
{
    printf("  %-3d %-9s %-8s %u Hz, %s (%u)", a->id, "audio", a->codec, a->sample_rate, a->layout,
           a->channels);
    if (strcmp(a->language, "und")) printf(", %s", a->language);
    if (a->bit_rate) printf(", %llu kbit/s", (unsigned long long)a->bit_rate / 1000);
    if (a->is_default) printf(", default");
    if (a->codecs[0]) printf("  [%s]", a->codecs);
    putchar('\n');
}

static void print_media(const vp_media *media)
{
    vp_media_info m = VP_MEDIA_INFO_INIT;
    vp_video_info v;
    vp_audio_info a;
    vp_media_get_info(media, &m, NULL);
    printf("%s, ", m.format);
    print_size(m.size);
    if (m.duration_us != VP_TIME_UNKNOWN) {
        printf(", ");
        print_time(m.duration_us);
    }
    if (m.bit_rate) printf(", %llu kbit/s", (unsigned long long)(m.bit_rate + 500) / 1000);
    if (m.complete >= 0) printf(m.complete ? ", whole" : ", not whole");
    putchar('\n');
    for (uint32_t i = 0; i < m.video_count; i++) {
        vp_video_info_init(&v, sizeof(v));
        if (vp_media_get_video(media, i, &v, NULL) == VP_OK) print_video(&v);
    }
    for (uint32_t i = 0; i < m.audio_count; i++) {
        vp_audio_info_init(&a, sizeof(a));
        if (vp_media_get_audio(media, i, &a, NULL) == VP_OK) print_audio(&a);
    }
    if (m.text_count) printf("  and %u of text\n", m.text_count);
    if (m.other_count) printf("  and %u of other kinds\n", m.other_count);
    if (m.start_skew_us) {
        printf("  audio begins ");
        print_time(m.start_skew_us);
        printf(" after the video\n");
    }
    for (uint32_t i = 0; i < m.warning_count; i++) {
        const char *text = NULL, *name = vp_media_warning(media, i, &text, NULL);
        printf("  warning: %s: %s\n", name, text);
    }
}

static void print_refused(vp_status status, const vp_error *err)
{
    char *text = utf8_copy(err->message);
    json_t *json = json_pack("{s:i, s:{s:s, s:s}}", "vodpipe", 1, "refused", "reason",
                             err->reason[0] ? err->reason : vp_status_name(status), "text", text ? text : "");
    char *line = json ? json_dumps(json, JSON_COMPACT) : NULL;
    if (line) print_line("%s", line);
    free(line);
    json_decref(json);
    free(text);
}

int cmd_probe(const cli_options *o)
{
    vp_error err = VP_ERROR_INIT;
    vp_probe_options p = VP_PROBE_OPTIONS_INIT;
    vp_context *context = NULL;
    remote far;
    vp_source *source = NULL;
    vp_media *media = NULL;
    vp_bytes *json = NULL;
    int status = EXIT_DONE;
    p.full = o->full;
    vp_status st = context_open(o, &context, &err);
    remote_init(&far, o, context);
    if (st >= 0) st = remote_source(&far, o->args[0], &source, &err);
    if (st >= 0) st = vp_probe(context, source, &p, cli_cancel, &media, &err);
    if (st >= 0 && o->json) st = vp_media_json(media, &json, &err);
    if (st < 0) {
        if (o->json && st != VP_E_ARG && st != VP_E_CANCELED) print_refused(st, &err);
        status = fail(o, st, &err);
    } else if (o->json) {
        print_bytes(json);
    } else {
        print_media(media);
    }
    vp_bytes_unref(json);
    vp_media_unref(media);
    vp_source_unref(source);
    remote_close(&far);
    vp_context_unref(context);
    return status;
}
