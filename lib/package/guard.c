/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Where writers of segments meet the cipher. */

#include "io/object.h"
#include "package/package.h"

#define FORM_TRACKS (VPI_GUARD_TRACKS / VPI_ORDINALS)

vp_status vpi_track_guard_open(const vpi_guard *guard, const vpi_track_setup *setup,
                               const vpi_protection *protection, unsigned form, size_t index,
                               vpi_track_guard *out, vp_error *err)
{
    *out = (vpi_track_guard){ 0 };
    if (!guard->open || !protection || protection->scheme == VPI_SCHEME_NONE) return VP_OK;
    if (index >= FORM_TRACKS)
        return vpi_fail(err, VP_E_LIMIT, "INPUT_LIMIT", "more than %u tracks", FORM_TRACKS);
    const vpi_guard_track track = { .kind = setup->kind,
                                    .codec = setup->codec,
                                    .config = setup->config,
                                    .config_size = setup->config_size,
                                    .label = protection->label,
                                    .ordinal = (uint32_t)(form * FORM_TRACKS + index) };
    out->guard = guard;
    out->objects = protection->scheme == VPI_SCHEME_AES128;
    return guard->open(guard->user, &track, &out->session, err);
}

void vpi_track_guard_close(vpi_track_guard *g)
{
    if (g->session) g->guard->close(g->session);
    *g = (vpi_track_guard){ 0 };
}

vp_status vpi_track_guard_segment(vpi_track_guard *g, uint64_t number, vpi_protect *room,
                                  const vpi_protect **out, vp_error *err)
{
    *out = NULL;
    if (!g->session || g->objects) return VP_OK;
    VPI_TRY(g->guard->segment(g->session, number, room, err));
    *out = room;
    return VP_OK;
}

vp_status vpi_track_guard_begin(vpi_track_guard *g, uint64_t number, vp_object *object, vpi_segment *entry,
                                vp_error *err)
{
    vpi_object_cipher cipher;
    if (!g || !g->session || !g->objects) return VP_OK;
    VPI_TRY(g->guard->object(g->session, number, &cipher, entry->iv, err));
    if (!cipher.update) return VP_OK;
    entry->has_iv = true;
    return vpi_object_cipher_begin(object, &cipher, err);
}

vp_status vpi_track_guard_end(vpi_track_guard *g, vp_object *object, vpi_segment *entry, uint64_t before,
                              vp_error *err)
{
    if (!g || !g->session || !entry->has_iv) return VP_OK;
    VPI_TRY(vpi_object_cipher_end(object, err));
    entry->bytes = vpi_object_size(object) - before;
    /* ranges of what is inside are of no use to anybody */
    vpi_free(entry->fragments);
    entry->fragments = NULL;
    entry->fragment_count = entry->fragment_cap = 0;
    return VP_OK;
}
