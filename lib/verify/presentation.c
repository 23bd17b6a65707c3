/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the numbers of a presentation say by themselves: names, sizes, times and rates of each track. */
#include <stdio.h>
#include <stdlib.h>

#include "verify/verify_int.h"

#define MAX_QUANTITY ((uint64_t)1 << 62)
#define BITS 8u
#define RATE_SLACK 10u /* percent by which a stated rate may differ (Apple authoring rules 1.26, 1.27) */

/* ---- one track ---- */

static bool segment_sane(vpi_verifier *v, const vpi_ptrack *t, size_t n, const char *where)
{
    const vpi_segment *s = &t->segments[n];
    uint64_t ticks = 0;

    if (!vpi_check(v, vpi_key_valid(s->key), "NAMES", where, "segment %zu has no valid key", n + 1))
        return false;
    if (!vpi_check(v,
                   s->start < MAX_QUANTITY && s->ticks < MAX_QUANTITY && s->offset < MAX_QUANTITY &&
                       s->bytes < MAX_QUANTITY,
                   "STRUCTURE", s->key, "numbers are too large")) {
        return false;
    }
    vpi_check(v, s->ticks > 0 && s->bytes > 0, "P10", s->key, "is empty");
    for (size_t i = 0; i < s->fragment_count; i++) {
        const vpi_fragment *f = &s->fragments[i];

        if (!vpi_check(v, f->offset <= s->bytes && f->bytes <= s->bytes - f->offset && f->ticks <= s->ticks,
                       "STRUCTURE", s->key, "fragment %zu lies outside the segment", i + 1)) {
            return false;
        }
        ticks += f->ticks;
    }
    return vpi_check(v, s->fragment_count == 0 || ticks == s->ticks, "P01", s->key,
                     "fragments last %llu ticks, the segment %llu", (unsigned long long)ticks,
                     (unsigned long long)s->ticks);
}

/* False: numbers of this track must not be reckoned with. */
static bool track_sane(vpi_verifier *v, const vpi_ptrack *t, const char *where)
{
    bool good;

    good = vpi_check(v, t->timescale > 0, "STRUCTURE", where, "timescale 0");
    good &= vpi_check(v, t->name && t->name[0] && t->group, "NAMES", where, "track without name or group");
    good &= vpi_check(v, t->codecs && t->codecs[0], "P13", where, "no codec string");
    good &= vpi_check(v, t->segment_count > 0, "STRUCTURE", where, "no segments");
    for (size_t i = 0; i < t->segment_count; i++) good &= segment_sane(v, t, i, where);
    return good;
}

static void times(vpi_verifier *v, const vpi_ptrack *t)
{
    const vpi_segment *s = t->segments;
    vpi_time last;

    for (size_t i = 1; i < t->segment_count; i++) {
        vpi_check(v, s[i].start == s[i - 1].start + s[i - 1].ticks, "P01", s[i].key,
                  "starts at %llu, the segment before ends at %llu", (unsigned long long)s[i].start,
                  (unsigned long long)(s[i - 1].start + s[i - 1].ticks));
    }
    if (t->segment_count > 1 && t->kind == VP_TRACK_VIDEO) {
        last = vpi_time_of(s[t->segment_count - 1].ticks, t->timescale);
        vpi_check(v, vpi_time_cmp(last, vpi_time_of(1, 2)) >= 0, "P10", s[t->segment_count - 1].key,
                  "the last segment lasts %.3f s", vpi_time_seconds(last));
    }
}

static void fragments(vpi_verifier *v, const vpi_ptrack *t)
{
    for (size_t i = 0; i < t->segment_count; i++) {
        const vpi_segment *s = &t->segments[i];
        uint64_t at = s->fragment_count ? s->fragments[0].offset : 0;

        if (t->kind == VP_TRACK_VIDEO && !s->has_iv) { /* no part of a whole that is encrypted can be read */
            vpi_check(v, s->fragment_count > 0, "P29", s->key, "no fragments: where are its IDR pictures?");
        }
        for (size_t k = 0; k < s->fragment_count; k++) {
            const vpi_fragment *f = &s->fragments[k];

            vpi_check(v, f->ticks > 0 && f->bytes > 0, "P10", s->key, "fragment %zu is empty", k + 1);
            vpi_check(v, f->offset == at, "P19", s->key,
                      "fragment %zu begins at %llu, the one before ends at %llu", k + 1,
                      (unsigned long long)f->offset, (unsigned long long)at);
            at = f->offset + f->bytes;
            if (t->kind == VP_TRACK_VIDEO) {
                vpi_check(v, f->idr_bytes > 0 && f->idr_bytes <= f->bytes, "P29", s->key,
                          "IDR picture of fragment %zu has %llu bytes of %llu", k + 1,
                          (unsigned long long)f->idr_bytes, (unsigned long long)f->bytes);
            }
        }
        vpi_check(v, s->fragment_count == 0 || at == s->bytes, "P19", s->key,
                  "fragments end at %llu, the segment at %llu", (unsigned long long)at,
                  (unsigned long long)s->bytes);
    }
}

static bool extension_fits(const vpi_ptrack *t, const char *key)
{
    if (t->kind == VP_TRACK_TEXT) return vpi_ends_with(key, ".vtt") || vpi_ends_with(key, ".m4s");
    switch (t->container) {
    case VP_CONTAINER_CMAF:
        return vpi_ends_with(key, t->single_file ? ".mp4" : ".m4s");
    case VP_CONTAINER_TS:
        return vpi_ends_with(key, ".ts");
    case VP_CONTAINER_PACKED:
        return vpi_ends_with(key, vpi_codecs_hold(t->codecs, "ac-3")   ? ".ac3"
                                  : vpi_codecs_hold(t->codecs, "ec-3") ? ".ec3"
                                                                       : ".aac");
    default:
        return true;
    }
}

static void keys(vpi_verifier *v, const vpi_ptrack *t, const char *where)
{
    const char *version = v->p->version ? v->p->version : "", *slash;
    size_t n = strlen(version);
    char number[32];

    for (size_t i = 0; i < t->segment_count; i++) {
        const vpi_segment *s = &t->segments[i];

        vpi_check(v, extension_fits(t, s->key), "P20", s->key, "extension does not fit the container");
        vpi_check(v, n == 0 || (strncmp(s->key, version, n) == 0 && s->key[n] == '/'), "S22", s->key,
                  "does not lie under the version folder %s", version);
        if (t->single_file) {
            vpi_check(v, strcmp(s->key, t->segments[0].key) == 0, "NAMES", s->key,
                      "another object than segment 1's");
            continue;
        }
        slash = strrchr(s->key, '/');
        snprintf(number, sizeof(number), "%05zu.", i + 1);
        vpi_check(v, strncmp(slash ? slash + 1 : s->key, number, strlen(number)) == 0, "NAMES", s->key,
                  "is not named by its number %s", number);
        if (s->bytes > VPI_VERIFY_BIG_SEGMENT) {
            vpi_warn(v, "P21", s->key, "%llu bytes", (unsigned long long)s->bytes);
        }
    }
    if (t->container == VP_CONTAINER_CMAF && t->kind != VP_TRACK_TEXT) {
        vpi_check(v, vpi_key_valid(t->init.key) && t->init.bytes > 0, "CMAF", where, "no init segment");
    } else {
        vpi_check(v, !t->init.key, "CMAF", where, "an init segment, but the container has none");
    }
}

static void single_file(vpi_verifier *v, const vpi_ptrack *t, const char *where)
{
    const vpi_segment *last = &t->segments[t->segment_count - 1];

    for (size_t i = 1; i < t->segment_count; i++) {
        const vpi_segment *s = &t->segments[i];

        vpi_check(v, s->offset == s[-1].offset + s[-1].bytes, "P19", s->key,
                  "segment %zu begins at %llu, the one before ends at %llu", i + 1,
                  (unsigned long long)s->offset, (unsigned long long)(s[-1].offset + s[-1].bytes));
    }
    vpi_check(v, last->offset + last->bytes == t->object_bytes, "P19", last->key,
              "segments end at %llu, the object at %llu", (unsigned long long)(last->offset + last->bytes),
              (unsigned long long)t->object_bytes);
    /* An index of fragments that nobody can see would be of no use. */
    if (vpi_whole_object(t) && !t->index.key) {
        vpi_check(v, t->init.offset == 0 && t->init.bytes == t->segments[0].offset, "P19", where,
                  "init is not in front");
        return;
    }
    vpi_check(v, vpi_key_valid(t->index.key) && t->index.bytes > 0, "P19", where, "no index");
    vpi_check(v, t->init.offset == 0 && t->init.bytes == t->index.offset, "P19", where,
              "init is not in front");
    vpi_check(v, t->index.offset + t->index.bytes == t->segments[0].offset, "P19", where,
              "index ends at %llu, segment 1 begins at %llu",
              (unsigned long long)(t->index.offset + t->index.bytes),
              (unsigned long long)t->segments[0].offset);
}

/* ---- rates (RFC 8216 4.1) ---- */

static double seconds(const vpi_ptrack *t, uint64_t ticks)
{
    return (double)ticks / t->timescale;
}

static void measure(const vpi_ptrack *t, uint32_t target, double *peak, double *mean)
{
    uint64_t all_bytes = 0, all_ticks = 0;
    double single = 0;

    *peak = 0;
    for (size_t i = 0; i < t->segment_count; i++) {
        uint64_t bytes = 0, ticks = 0;

        all_bytes += t->segments[i].bytes;
        all_ticks += t->segments[i].ticks;
        if (t->segments[i].ticks > 0) {
            single = VPI_MAX(single, (double)t->segments[i].bytes * BITS / seconds(t, t->segments[i].ticks));
        }
        for (size_t k = i; k < t->segment_count && k - i < VPI_RATE_RUN; k++) {
            double span;

            bytes += t->segments[k].bytes;
            ticks += t->segments[k].ticks;
            span = seconds(t, ticks);
            if (span > 1.5 * target) break;
            if (span >= 0.5 * target && span > 0) *peak = VPI_MAX(*peak, (double)bytes * BITS / span);
        }
    }
    *mean = all_ticks ? (double)all_bytes * BITS / seconds(t, all_ticks) : 0;
    if (*peak <= 0) *peak = single;
    *peak = VPI_MAX(*peak, *mean);
}

static bool near(uint64_t said, double measured)
{
    double slack = measured * RATE_SLACK / 100;

    return (double)said >= measured - slack - 1 && (double)said <= measured + slack + 1;
}

static void rates(vpi_verifier *v, const vpi_ptrack *t, uint32_t target, const char *where)
{
    double peak, mean;

    measure(t, target, &peak, &mean);
    vpi_check(v, near(t->bandwidth, peak), "P14", where, "bandwidth %llu, measured %.0f",
              (unsigned long long)t->bandwidth, peak);
    vpi_check(v, near(t->average_bandwidth, mean), "P14", where, "average bandwidth %llu, measured %.0f",
              (unsigned long long)t->average_bandwidth, mean);
    vpi_check(v, t->average_bandwidth <= t->bandwidth, "P14", where, "average bandwidth is above the peak");
}

/*
 * The peak cannot be above what the level allows (H.264 table A-1, with 10 % for the container): what a rung promises
 * to players. Only a warning: ready-made renditions are what they are, and play in most places.
 */
static void promise(vpi_verifier *v, const vpi_ptrack *t, const char *where)
{
    const vpi_rational slow = { 1, 1 };
    char digits[3] = "";
    unsigned long level;
    uint64_t kbps = t->bandwidth / 1100;

    /* The sound muxed into a transport stream counts elsewhere. */
    if (t->channels > 0 || strncmp(t->codecs, "avc1.", 5) != 0 || strlen(t->codecs) < 11 || kbps > UINT32_MAX)
        return;
    memcpy(digits, t->codecs + 9, 2);
    level = strtoul(digits, NULL, 16);
    if (level == 9) kbps /= 2; /* 1b: twice the bits of level 1 */
    if (vpi_h264_level(16, 16, slow, (uint32_t)kbps, 0, 1, strncmp(t->codecs + 5, "64", 2) == 0) >
        VPI_MAX(level, 10u)) {
        vpi_warn(v, "P15", where, "a peak of %llu kbit/s is more than level %lu allows",
                 (unsigned long long)t->bandwidth / 1100, level);
    }
}

/* RFC 5646 2.1: subtags of up to 8 letters and digits, the first one of letters. */
static bool language_good(const char *tag)
{
    size_t n = 0, part = 0;

    for (const char *c = tag; *c; c++) {
        bool letter = (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z');

        if (*c == '-') {
            if (n == 0) return false;
            part++;
            n = 0;
        } else if (!(letter || (part > 0 && *c >= '0' && *c <= '9')) || ++n > 8) {
            return false;
        }
        if (part == 0 && n > 3 && tag[1] != '-') return false;
    }
    return n > (part == 0 ? 1u : 0u);
}

static void picture(vpi_verifier *v, const vpi_ptrack *t, const char *where)
{
    if (t->kind == VP_TRACK_VIDEO) {
        vpi_check(v, t->width > 0 && t->height > 0 && t->width % 2 == 0 && t->height % 2 == 0, "P13", where,
                  "picture of %ux%u", t->width, t->height);
        vpi_check(v, t->frame_rate_num > 0 && t->frame_rate_den > 0, "P13", where, "no frame rate");
        promise(v, t, where);
    } else if (t->kind == VP_TRACK_AUDIO) {
        vpi_check(v, t->sample_rate > 0 && t->channels > 0, "P13", where, "audio of %u Hz, %u channels",
                  t->sample_rate, t->channels);
        vpi_check(v, t->language && language_good(t->language), "P16", where, "language %s is no BCP-47 tag",
                  t->language ? t->language : "");
    }
}

static uint32_t target_of(const vpi_verifier *v)
{
    double longest = 1;

    for (size_t i = 0; i < v->p->track_count; i++) {
        const vpi_ptrack *t = &v->p->tracks[i];

        if (!v->sane[i] || (t->kind != VP_TRACK_VIDEO && t->kind != VP_TRACK_AUDIO)) continue;
        for (size_t k = 0; k < t->segment_count; k++)
            longest = VPI_MAX(longest, seconds(t, t->segments[k].ticks));
    }
    return longest > 1e9 ? 1000000000u : (uint32_t)(longest + 0.5);
}

/* ---- names over all tracks ---- */

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static vp_status doubled_keys(vpi_verifier *v, vp_error *err)
{
    size_t count = 0, n = 0;
    const char **all;

    for (size_t i = 0; i < v->p->track_count; i++) count += v->p->tracks[i].segment_count + 1;
    all = vpi_calloc(count, sizeof(*all));
    if (!all) return vpi_fail_nomem(err);
    for (size_t i = 0; i < v->p->track_count; i++) {
        const vpi_ptrack *t = &v->p->tracks[i];

        if (!v->sane[i]) continue;
        if (t->single_file) {
            all[n++] = t->segments[0].key;
            continue;
        }
        for (size_t k = 0; k < t->segment_count; k++) all[n++] = t->segments[k].key;
        if (vpi_key_valid(t->init.key)) all[n++] = t->init.key;
    }
    qsort(all, n, sizeof(*all), compare_names);
    for (size_t i = 1; i < n; i++) {
        vpi_check(v, strcmp(all[i - 1], all[i]) != 0, "NAMES", all[i], "is the key of two objects");
    }
    vpi_free(all);
    return VP_OK;
}

vp_status vpi_verify_presentation(vpi_verifier *v, vp_error *err)
{
    char where[1024];
    uint32_t target;

    for (size_t i = 0; i < v->p->track_count; i++) {
        v->sane[i] = track_sane(v, &v->p->tracks[i], vpi_track_where(&v->p->tracks[i], where));
    }
    target = target_of(v);
    for (size_t i = 0; i < v->p->track_count; i++) {
        const vpi_ptrack *t = &v->p->tracks[i];

        if (!v->sane[i]) continue;
        vpi_track_where(t, where);
        times(v, t);
        fragments(v, t);
        keys(v, t, where);
        if (t->single_file) single_file(v, t, where);
        picture(v, t, where);
        rates(v, t, target, where);
        VPI_TRY(vpi_verify_keys(v, t, where, err));
    }
    vpi_verify_timelines(v);
    vpi_verify_key_times(v);
    return doubled_keys(v, err);
}
