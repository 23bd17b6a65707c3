/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>

#include "package_codec.h"

/*
 * Audio groups. Players pick a group by what they can decode, so each has one codec, and all have the same
 * members (RFC 8216 4.3.4.2.1). A codec that lacks a language of the others cannot have a group of its own.
 */

void vpi_ready_group(const vpi_ready_audio *a, char group[24])
{
    if (a->setup.codec != VPI_CODEC_AAC)
        snprintf(group, 24, "%s", vpi_ready_family(a->setup.codec));
    else if (a->setup.channels <= 2)
        vpi_strlcpy(group, a->setup.channels == 2 ? "stereo" : "mono", 24);
    else
        snprintf(group, 24, "surround-%u", (unsigned)a->setup.channels);
}

/* How many tracks before this one have its group and language: its place among those of one name. */
static size_t ordinal(const vpi_ready *pk, const vpi_ready_audio *a)
{
    size_t n = 0;
    char own[24], other[24];
    vpi_ready_group(a, own);
    for (const vpi_ready_audio *o = pk->audio; o < a; o++) {
        vpi_ready_group(o, other);
        n += vpi_streq(own, other) && vpi_streq(o->setup.language, a->setup.language);
    }
    return n;
}

static bool has_member(const vpi_ready *pk, vpi_codec codec, const char *language, size_t place)
{
    for (size_t i = 0; i < pk->audio_count; i++) {
        const vpi_ready_audio *a = &pk->audio[i];
        if (a->setup.codec == codec && vpi_streq(a->setup.language, language) && ordinal(pk, a) == place)
            return true;
    }
    return false;
}

/* Members that a codec has and another lacks. */
static size_t lacking(const vpi_ready *pk, vpi_codec has, vpi_codec lacks)
{
    size_t n = 0;
    for (size_t i = 0; i < pk->audio_count; i++) {
        const vpi_ready_audio *a = &pk->audio[i];
        n += a->setup.codec == has && !has_member(pk, lacks, a->setup.language, ordinal(pk, a));
    }
    return n;
}

/* The codec that has the most members, the first one of equals. */
static vpi_codec leader(const vpi_ready *pk)
{
    vpi_codec best = pk->audio[0].setup.codec;
    for (size_t i = 1; i < pk->audio_count; i++) {
        vpi_codec c = pk->audio[i].setup.codec;
        if (lacking(pk, c, best) > lacking(pk, best, c)) best = c;
    }
    return best;
}

static void drop(vpi_ready *pk, size_t index)
{
    vpi_ready_audio *a = &pk->audio[index];
    vpi_ready_warn_dropped(pk, a->input, a->stream, vpi_ready_family(a->setup.codec),
                           "its codec does not have the languages of the others");
    vpi_ready_audio_dispose(a);
    memmove(a, a + 1, (pk->audio_count - index - 1) * sizeof(*a));
    pk->audio_count--;
    memset(&pk->audio[pk->audio_count], 0, sizeof(*a));
}

void vpi_ready_settle_audio(vpi_ready *pk)
{
    if (!pk->audio_count) return;
    vpi_codec lead = leader(pk), bad[VPI_READY_AUDIO_MAX];
    size_t count = 0;
    for (size_t i = 0; i < pk->audio_count; i++) {
        vpi_codec c = pk->audio[i].setup.codec;
        if (c != lead && (lacking(pk, c, lead) || lacking(pk, lead, c))) bad[count++] = c;
    }
    for (size_t i = pk->audio_count; i > 0; i--) {
        bool out = false;
        for (size_t k = 0; k < count; k++) out = out || bad[k] == pk->audio[i - 1].setup.codec;
        if (out) drop(pk, i - 1);
    }
    size_t chosen = 0;
    for (size_t i = pk->audio_count; i-- > 0;)
        if (pk->audio[i].marked) chosen = i;
    pk->audio[chosen].is_default = true;
}
