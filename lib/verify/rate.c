/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How often pictures come, against the frame rate that manifests promise (P13). */
#include "verify/verify_int.h"

#define UNEVEN 1.5 /* longest to shortest picture, above which the rate is not constant */

void vpi_count_picture(vpi_media_state *s, uint64_t ticks)
{
    /* The last picture may be held to the end of the title. */
    if (s->pictures++ > 0) {
        s->shortest = s->shortest ? VPI_MIN(s->shortest, s->last) : s->last;
        s->longest = VPI_MAX(s->longest, s->last);
    }
    s->last = ticks;
}

void vpi_verify_rate(vpi_verifier *v, const vpi_media_state *s, const char *where)
{
    const vpi_ptrack *t = s->t;
    double due, seconds = vpi_time_seconds(vpi_time_of(vpi_ptrack_ticks(t), t->timescale));
    double have = (double)s->pictures;
    bool even = s->shortest > 0 && (double)s->longest <= UNEVEN * (double)s->shortest;

    if (t->kind != VP_TRACK_VIDEO || s->pictures == 0 || t->frame_rate_den == 0) return;
    due = seconds * t->frame_rate_num / t->frame_rate_den;
    vpi_check(v, have <= due * 1.25 + 2, "P13", where, "%.0f pictures in %.3f s are more than %u/%u a second",
              have, seconds, t->frame_rate_num, t->frame_rate_den);
    if (!even) return;
    /* Without the last one, which may be held long. */
    due = (seconds - (double)s->last / t->timescale) * t->frame_rate_num / t->frame_rate_den + 1;
    vpi_check(v, have <= due * 1.005 + 1 && have >= due * 0.995 - 1, "P13", where,
              "%.0f pictures in %.3f s are not %u/%u a second", have, seconds, t->frame_rate_num,
              t->frame_rate_den);
}
