/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>

#include "bitstream/bitstream.h"
#include "plan_int.h"

/*
 * Which sound is published, and how it is called. Every track that is kept has a stereo rendition; those that have
 * more than stereo get one in the surround group too, under the same label, so that players match the two.
 */

/* Bits for each pair of channels that stereo has. */
#define SURROUND_PAIRS 3u
#define SURROUND_CHANNELS 6u

/* Is the language in a list of "en,fr"? A track matches by its whole tag or its primary part. */
static bool language_listed(const char *list, const char *language)
{
    size_t primary = strcspn(language, "-");
    for (const char *p = list; *p;) {
        size_t n = strcspn(p, ",");
        char tag[36];
        char *word = vpi_strndup(p, n);
        if (word) vpi_language_bcp47(word, tag);
        bool hit = word &&
                   (vpi_streq(tag, language) || (strlen(tag) == primary && !strncmp(tag, language, primary)));
        vpi_free(word);
        if (hit) return true;
        p += n + (p[n] == ',');
    }
    return false;
}

size_t vpi_plan_choose_audio(const vpi_media *m, const char *choice, const vpi_track *to[VPI_PLAN_TRACKS])
{
    size_t n = 0;
    bool all = !choice || vpi_streq(choice, "all");
    if (vpi_streq(choice, "none")) return 0;
    for (size_t i = 0; n < VPI_PLAN_TRACKS; i++) {
        const vpi_track *t = vpi_media_nth(m, VPI_KIND_AUDIO, i);
        if (!t) break;
        if (t->sample_rate && (all || language_listed(choice, t->language))) to[n++] = t;
    }
    return n;
}

static uint32_t publish_sample_rate(uint32_t rate)
{
    return rate == 44100 || rate == 22050 || rate == 11025 || rate == 88200 || rate == 176400 ? 44100 : 48000;
}

/* Six to eight speakers, by name or (where the file has no names) by count. */
static bool has_surround(const vpi_track *t)
{
    if (t->channels < 6 || t->channels > 8) return false;
    return vpi_streq(t->layout, "unknown") || !strncmp(t->layout, "5.1", 3) ||
           !strncmp(t->layout, "6.1", 3) || !strncmp(t->layout, "7.1", 3);
}

static bool passable(const vpi_track *t, vpi_ac3 *ac3)
{
    return has_surround(t) && t->ac3_size && vpi_ac3_parse(t->ac3_head, t->ac3_size, ac3, NULL) == VP_OK &&
           ac3->acmod == 7 && ac3->lfe && ac3->sample_rate == t->sample_rate;
}

/*
 * Frames of the source go through as they are where the whole group can be made of them: a group has one codec (RFC
 * 8216 4.3.4.1.1).
 */
static bool pass_all(const vpi_track *const *tracks, size_t count)
{
    vpi_ac3 first = { 0 }, ac3;
    if (!count || !passable(tracks[0], &first)) return false;
    for (size_t i = 1; i < count; i++)
        if (!passable(tracks[i], &ac3) || ac3.eac3 != first.eac3) return false;
    return true;
}

/* "English 2" for the second track of a language. */
static void set_label(const vp_plan *plan, size_t index)
{
    vpi_plan_audio *a = &plan->audio[index];
    size_t same = 1;
    for (size_t k = 0; k < index; k++) same += vpi_streq(plan->audio[k].language, a->language);
    vpi_language_name(a->language, a->label, sizeof(a->label) - 8);
    if (same < 2) return;
    char *end = a->label + strlen(a->label);
    snprintf(end, sizeof(a->label) - (size_t)(end - a->label), " %zu", same);
}

/* "en-5.1", "en-5.1-2". */
static void set_name(const vp_plan *plan, size_t index, const char *kind)
{
    vpi_plan_audio *a = &plan->audio[index];
    size_t same = 1;
    for (size_t k = 0; k < index; k++)
        same += vpi_streq(plan->audio[k].language, a->language) && vpi_streq(plan->audio[k].group, a->group);
    if (same > 1)
        snprintf(a->name, sizeof(a->name), "%s-%s-%zu", a->language, kind, same);
    else
        snprintf(a->name, sizeof(a->name), "%s-%s", a->language, kind);
}

static vp_status set_aac(vpi_plan_audio *a, const vpi_track *t, uint32_t channels, uint32_t kbps,
                         vp_error *err)
{
    uint8_t asc[16];
    size_t size = 0;
    a->codec = VPI_CODEC_AAC;
    a->frame_samples = VPI_AAC_FRAME;
    a->audio.sample_rate = publish_sample_rate(t->sample_rate);
    a->audio.channels = channels;
    a->audio.kbps = kbps;
    VPI_TRY(vpi_audio_asc(a->audio.sample_rate, channels, kbps, asc, &size, err));
    vpi_buf_add(&a->config, asc, size);
    if (vpi_buf_failed(&a->config)) return vpi_fail_nomem(err);
    return vpi_codecs_aac(asc, size, a->codecs, err);
}

static vp_status set_copy(vpi_plan_audio *a, const vpi_track *t, vp_error *err)
{
    uint8_t config[5];
    vpi_ac3 ac3;
    VPI_TRY(vpi_ac3_parse(t->ac3_head, t->ac3_size, &ac3, err));
    a->codec = ac3.eac3 ? VPI_CODEC_EAC3 : VPI_CODEC_AC3;
    a->frame_samples = VPI_AC3_FRAME;
    a->audio.sample_rate = ac3.sample_rate;
    a->audio.channels = ac3.channels;
    a->audio.kbps = (ac3.bit_rate + 999) / 1000;
    vpi_buf_add(&a->config, config, vpi_ac3_config(&ac3, config));
    if (vpi_buf_failed(&a->config)) return vpi_fail_nomem(err);
    vpi_strlcpy(a->codecs, ac3.eac3 ? "ec-3" : "ac-3", sizeof(a->codecs));
    return vpi_ac3_silence(&ac3, &a->silence, err);
}

static void add_rendition(vp_plan *plan, const vpi_track *t, const char *group)
{
    vpi_plan_audio *a = &plan->audio[plan->audio_count++];
    vpi_strlcpy(a->group, group, sizeof(a->group));
    vpi_strlcpy(a->language, t->language[0] ? t->language : "und", sizeof(a->language));
    a->audio.stream = t->id;
}

static vp_status add_surround(vp_plan *plan, const vpi_track *t, size_t sibling, bool pass, uint32_t kbps,
                              vp_error *err)
{
    size_t index = plan->audio_count;
    vpi_plan_audio *a = &plan->audio[index];
    add_rendition(plan, t, VPI_PLAN_SURROUND);
    vpi_strlcpy(a->label, plan->audio[sibling].label, sizeof(a->label));
    a->is_default = plan->audio[sibling].is_default;
    set_name(plan, index, "5.1");
    return pass ? set_copy(a, t, err) : set_aac(a, t, SURROUND_CHANNELS, SURROUND_PAIRS * kbps, err);
}

vp_status vpi_plan_add_audio(vp_plan *plan, const vpi_track *const *tracks, size_t count, uint32_t kbps,
                             const vpi_track **of, vp_error *err)
{
    size_t chosen = 0;
    bool pass = pass_all(tracks, count);
    plan->audio = vpi_calloc(VPI_PLAN_AUDIO, sizeof(*plan->audio));
    if (!plan->audio) return vpi_fail_nomem(err);
    for (size_t i = count; i-- > 0;)
        if (tracks[i]->is_default) chosen = i;
    for (size_t i = 0; i < count; i++) {
        of[i] = tracks[i];
        add_rendition(plan, tracks[i], VPI_PLAN_STEREO);
        plan->audio[i].is_default = i == chosen;
        set_label(plan, i);
        set_name(plan, i, "stereo");
        VPI_TRY(set_aac(&plan->audio[i], tracks[i], 2, kbps, err));
    }
    for (size_t i = 0; i < count; i++) {
        if (!has_surround(tracks[i])) continue;
        of[plan->audio_count] = tracks[i];
        VPI_TRY(add_surround(plan, tracks[i], i, pass, kbps, err));
    }
    return VP_OK;
}

/*
 * Where frames that are passed through lie: the first one that begins at or after title time 0 lies exactly there,
 * and as many follow as reach the title's end.
 */
static void settle_copy(const vp_plan *plan, vpi_plan_audio *a, const vpi_track *t)
{
    int64_t rate = a->audio.sample_rate, frame = a->frame_samples, start = 0, total;
    if (t->has_times && vpi_add_i64(t->start, -a->audio.origin, &start))
        start = vpi_rescale(start, t->tb.num * rate, t->tb.den, VPI_NEAREST);
    start = VPI_CLAMP(start, INT64_MIN / 4, INT64_MAX / 4) - t->skip_samples;
    a->phase = (uint32_t)(((start % frame) + frame) % frame);
    total = vpi_rescale((int64_t)plan->grid.total, rate, plan->grid.timescale, VPI_CEIL) - a->phase;
    a->audio.frames = total > frame ? (uint64_t)((total + frame - 1) / frame) : 1;
}

vp_status vpi_plan_finish_audio(vp_plan *plan, const vpi_track *const *of, vp_error *err)
{
    for (size_t i = 0; i < plan->audio_count; i++) {
        vpi_track_setup setup;
        if (plan->audio[i].codec != VPI_CODEC_AAC) settle_copy(plan, &plan->audio[i], of[i]);
        vpi_plan_audio_setup(plan, i, &setup);
        VPI_TRY(
            vpi_plan_write_init(plan, &setup, vpi_plan_audio_protection(plan), &plan->audio[i].init, err));
    }
    return VP_OK;
}
