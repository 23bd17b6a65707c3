/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/hash.h"
#include "plan_int.h"

/* What a plan says of encryption: scheme, seed, and all of the keys but themselves. */

#define LABEL_AUDIO "audio"

void vpi_plan_protect_dispose(vp_plan *plan)
{
    for (size_t i = 0; i < plan->protection_count; i++) vpi_protection_dispose(&plan->protections[i]);
    vpi_free(plan->protections);
    plan->protections = NULL;
    plan->protection_count = 0;
}

const uint8_t *vpi_plan_seed(const vp_plan *plan)
{
    return plan->scheme == VPI_SCHEME_NONE ? NULL : plan->seed;
}

vpi_scheme vpi_plan_scheme(const vp_plan *plan)
{
    return plan->scheme;
}

static const vpi_protection *find(const vp_plan *plan, const char *label)
{
    return vpi_protection_find(plan->protections, plan->protection_count, label);
}

const vpi_protection *vpi_plan_rung_protection(const vp_plan *plan, size_t rung)
{
    const vpi_h264enc_options *e = &plan->rungs[rung].enc;
    return find(plan, vpi_label_of(e->width, e->height));
}

const vpi_protection *vpi_plan_audio_protection(const vp_plan *plan)
{
    return find(plan, LABEL_AUDIO);
}

/* ---- making ---- */

static uint64_t periods_of(const vp_plan *plan, uint64_t rotation)
{
    uint64_t segments = vpi_grid_segments(&plan->grid);
    return rotation ? (segments + rotation - 1) / rotation : 1;
}

static uint64_t clear_segments(const vp_plan *plan, uint32_t lead_ms)
{
    uint64_t lead = (uint64_t)lead_ms * plan->grid.timescale / 1000, n = 0;
    uint64_t segments = vpi_grid_segments(&plan->grid);
    while (n < segments && vpi_grid_start(&plan->grid, n) < lead) n++;
    return n;
}

static vp_status ask(vp_plan *plan, const vpi_keys_ops *ops, vpi_keyring *ring, const char *label,
                     const vp_transcode_options *o, vp_error *err)
{
    if (find(plan, label)) return VP_OK;
    vpi_protection *p = &plan->protections[plan->protection_count];
    VPI_TRY(ops->ask(ring, label, periods_of(plan, o->key_rotation), o->key_rotation,
                     clear_segments(plan, o->clear_lead_ms), p, err));
    plan->protection_count++;
    return VP_OK;
}

static vp_status ask_all(vp_plan *plan, const vpi_keys_ops *ops, vpi_keyring *ring, const vp_ladder *ladder,
                         const vp_transcode_options *o, vp_error *err)
{
    for (uint32_t i = 0; plan->has_video && i < vp_ladder_count(ladder); i++) {
        vp_rung r;
        vp_rung_init(&r, sizeof(r));
        VPI_TRY(vp_ladder_get(ladder, i, &r, err));
        VPI_TRY(ask(plan, ops, ring, vpi_label_of(r.width, r.height), o, err));
    }
    /* what is muxed into the pictures' transport stream is under their key */
    return plan->audio_count && !(plan->mux_audio && !plan->cmaf) ? ask(plan, ops, ring, LABEL_AUDIO, o, err)
                                                                  : VP_OK;
}

vp_status vpi_plan_protect(vp_plan *plan, const vp_ladder *ladder, const vp_transcode_options *options,
                           const uint8_t *seed, vp_error *err)
{
    vpi_keyring *ring = NULL;
    plan->scheme = (vpi_scheme)options->encrypt;
    if (plan->scheme == VPI_SCHEME_NONE) return VP_OK;
    const vpi_keys_ops *ops = vpi_keys_ops_of(options->keys);
    plan->protections = vpi_calloc(VPI_PLAN_LABELS, sizeof(*plan->protections));
    if (!plan->protections) return vpi_fail_nomem(err);
    if (seed)
        memcpy(plan->seed, seed, sizeof(plan->seed));
    else
        VPI_TRY(ops->seed(plan->seed, err));
    vp_status st = ops->new_ring(options->keys, plan->scheme, options->title, plan->seed, &ring, err);
    if (st >= 0) st = ask_all(plan, ops, ring, ladder, options, err);
    ops->free_ring(ring);
    return st;
}

vp_status vpi_plan_write_init(const vp_plan *plan, const vpi_track_setup *setup,
                              const vpi_protection *protection, vpi_buf *out, vp_error *err)
{
    vpi_protect protect;
    if (!protection || plan->scheme == VPI_SCHEME_AES128) return vpi_cmaf_init(setup, NULL, out, err);
    vpi_protect_from(protection, 0, setup->kind, &protect);
    return vpi_cmaf_init(setup, &protect, out, err);
}

void vpi_plan_hash_protection(const vp_plan *plan, vpi_sha256 *sha)
{
    if (plan->scheme == VPI_SCHEME_NONE) return;
    vpi_sha256_add_u64(sha, plan->scheme);
    for (size_t i = 0; i < plan->protection_count; i++) vpi_protection_hash(&plan->protections[i], sha);
}

/* ---- JSON ---- */

bool vpi_plan_write_protection(json_t *to, const vp_plan *plan)
{
    char seed[33];
    if (plan->scheme == VPI_SCHEME_NONE) return true;
    json_t *o = json_object(), *labels = json_array();
    vpi_hex_text(plan->seed, sizeof(plan->seed), seed);
    bool ok = o && labels && vpi_json_set_str(o, "scheme", vpi_scheme_word(plan->scheme)) &&
              vpi_json_set_str(o, "seed", seed);
    for (size_t i = 0; ok && i < plan->protection_count; i++)
        ok = json_array_append_new(labels, vpi_protection_to_json(&plan->protections[i], true)) == 0;
    if (!ok) json_decref(labels);
    ok = ok && json_object_set_new(o, "labels", labels) == 0;
    if (!ok) json_decref(o);
    return ok && json_object_set_new(to, "protection", o) == 0;
}

static vp_status check(const vp_plan *plan, const vpi_protection *p, const char *where, vp_error *err)
{
    if (p->scheme != plan->scheme || p->key_count < periods_of(plan, p->rotation) || find(plan, p->label))
        return vpi_fail(err, VP_E_DATA, "INPUT_CORRUPT", "%s: another scheme, too few keys, or twice", where);
    return VP_OK;
}

static vp_status check_tracks(const vp_plan *plan, vp_error *err)
{
    bool whole = true;
    for (size_t i = 0; i < plan->rung_count; i++) whole = whole && vpi_plan_rung_protection(plan, i);
    if (plan->audio_count && !(plan->mux_audio && !plan->cmaf))
        whole = whole && vpi_plan_audio_protection(plan);
    return whole ? VP_OK : vpi_fail(err, VP_E_DATA, "INPUT_CORRUPT", "plan.protection: not for every track");
}

vp_status vpi_plan_read_protection(vp_plan *plan, const json_t *o, vp_error *err)
{
    static const char *const fields[] = { "scheme", "seed", "labels", NULL };
    const char where[] = "plan.protection";
    const json_t *protection = NULL, *labels = NULL;
    VPI_TRY(vpi_json_object(o, "plan", "protection", false, &protection, err));
    if (!protection) return VP_OK;
    VPI_TRY(vpi_json_fields(protection, where, fields, err));
    VPI_TRY(vpi_json_array(protection, where, "labels", true, &labels, err));
    const char *seed = json_string_value(json_object_get(protection, "seed"));
    const char *scheme = json_string_value(json_object_get(protection, "scheme"));
    if (!vpi_scheme_from_word(scheme, &plan->scheme) || plan->scheme == VPI_SCHEME_NONE ||
        !vpi_hex_parse(seed, plan->seed, sizeof(plan->seed)) || !json_array_size(labels) ||
        json_array_size(labels) > VPI_PLAN_LABELS)
        return vpi_fail(err, VP_E_DATA, "INPUT_CORRUPT", "%s: scheme, seed or labels", where);
    plan->protections = vpi_calloc(VPI_PLAN_LABELS, sizeof(*plan->protections));
    if (!plan->protections) return vpi_fail_nomem(err);
    for (size_t i = 0; i < json_array_size(labels); i++) {
        vpi_protection p = { 0 };
        VPI_TRY(vpi_protection_from_json(json_array_get(labels, i), where, true, &p, err));
        vp_status st = check(plan, &p, where, err);
        if (st < 0) {
            vpi_protection_dispose(&p);
            return st;
        }
        plan->protections[plan->protection_count++] = p;
    }
    return check_tracks(plan, err);
}
