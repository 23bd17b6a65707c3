/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdatomic.h>

#include "ladder/ladder_int.h"
#include "model/fill.h"

vp_ladder *vpi_ladder_new(void)
{
    vp_ladder *l = vpi_calloc(1, sizeof(*l));

    if (!l) return NULL;
    atomic_init(&l->refs, 1);
    l->audio_kbps = VPI_LADDER_AUDIO_KBPS;
    return l;
}

vp_ladder *vp_ladder_ref(vp_ladder *ladder)
{
    if (ladder) atomic_fetch_add_explicit(&ladder->refs, 1, memory_order_relaxed);
    return ladder;
}

vp_ladder *vp_ladder_unref(vp_ladder *ladder)
{
    size_t i;

    if (!ladder || atomic_fetch_sub_explicit(&ladder->refs, 1, memory_order_acq_rel) != 1) return NULL;
    for (i = 0; i < ladder->warning_count; i++) vpi_free(ladder->warnings[i].text);
    vpi_free(ladder->warnings);
    vpi_free(ladder);
    return NULL;
}

void vp_rung_init(vp_rung *rung, size_t size)
{
    vpi_struct_init(rung, size, NULL, 0);
}

void vp_ladder_options_init(vp_ladder_options *options, size_t size)
{
    static const vp_ladder_options init = VP_LADDER_OPTIONS_INIT;

    vpi_struct_init(options, size, &init, sizeof(init));
}

uint32_t vp_ladder_count(const vp_ladder *ladder)
{
    return ladder ? ladder->count : 0;
}

vp_status vp_ladder_get(const vp_ladder *ladder, uint32_t index, vp_rung *out, vp_error *err)
{
    vp_error_init(err);
    if (!ladder) return vpi_fail(err, VP_E_ARG, NULL, "no ladder");
    if (index >= ladder->count) return vpi_fail(err, VP_E_ARG, NULL, "there is no rung %u", index);
    return vpi_fill_struct(out, &ladder->rungs[index], sizeof(*out), err);
}

uint32_t vp_ladder_audio_kbps(const vp_ladder *ladder)
{
    return ladder ? ladder->audio_kbps : VPI_LADDER_AUDIO_KBPS;
}

uint32_t vp_ladder_warning_count(const vp_ladder *ladder)
{
    return ladder ? (uint32_t)ladder->warning_count : 0;
}

const char *vp_ladder_warning(const vp_ladder *ladder, uint32_t index, const char **text)
{
    const vpi_ladder_warning *w = ladder && index < ladder->warning_count ? &ladder->warnings[index] : NULL;

    if (text) *text = w ? w->text : NULL;
    return w ? w->name : NULL;
}

bool vpi_ladder_warn_above(vp_ladder *l, const char *name, const vpi_picture *picture)
{
    char *text = vpi_asprintf("%s is left out: the picture is %ux%u", name, picture->width, picture->height);
    vpi_ladder_warning *w;

    if (!text || !VPI_GROW(l->warnings, l->warning_count, l->warning_cap)) {
        vpi_free(text);
        return false;
    }
    w = &l->warnings[l->warning_count++];
    vpi_strlcpy(w->name, "RUNG_ABOVE_SOURCE", sizeof(w->name));
    w->text = text;
    return true;
}

/* More pixels first, of the same size more bits first. */
static bool before(const vp_rung *a, const vp_rung *b)
{
    uint64_t pa = (uint64_t)a->width * a->height, pb = (uint64_t)b->width * b->height;

    return pa != pb ? pa > pb : a->kbps > b->kbps;
}

void vpi_ladder_sort(vp_ladder *l)
{
    uint32_t i, k;

    for (i = 1; i < l->count; i++) {
        vp_rung r = l->rungs[i];

        for (k = i; k > 0 && before(&r, &l->rungs[k - 1]); k--) l->rungs[k] = l->rungs[k - 1];
        l->rungs[k] = r;
    }
}
