/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Protection of CMAF that exists: the handle, its options and its keys. */

#include "cenc_int.h"
#include "model/json.h"

void vp_cenc_options_init(vp_cenc_options *options, size_t size)
{
    static const vp_cenc_options init = VP_CENC_OPTIONS_INIT;

    vpi_struct_init(options, size, &init, sizeof(init));
}

void vpi_cenc_tenc(const vpi_protect *protect, vpi_tenc *out)
{
    *out = (vpi_tenc){ .version = protect->scheme == VPI_FOURCC('c', 'b', 'c', 's'),
                       .crypt_blocks = protect->crypt_blocks,
                       .skip_blocks = protect->skip_blocks,
                       .is_protected = 1,
                       .iv_size = protect->per_sample_iv_size,
                       .constant_iv_size = protect->constant_iv_size };
    memcpy(out->kid, protect->kid, sizeof(out->kid));
    memcpy(out->constant_iv, protect->constant_iv, sizeof(out->constant_iv));
}

/* ---- handle ---- */

vp_cenc *vp_cenc_ref(vp_cenc *cenc)
{
    if (cenc) atomic_fetch_add_explicit(&cenc->refs, 1, memory_order_relaxed);
    return cenc;
}

vp_cenc *vp_cenc_unref(vp_cenc *cenc)
{
    if (!cenc || atomic_fetch_sub_explicit(&cenc->refs, 1, memory_order_acq_rel) != 1) return NULL;
    vpi_keyring_ops.free_ring(cenc->ring);
    vpi_protection_dispose(&cenc->told);
    vp_bytes_unref(cenc->init);
    vpi_free(cenc->source);
    vpi_free(cenc);
    return NULL;
}

/* ---- options ---- */

static vp_status check_options(const vp_cenc_options *o, vp_error *err)
{
    if (o->scheme != VP_ENCRYPT_CENC && o->scheme != VP_ENCRYPT_CBCS)
        return vpi_fail(err, VP_E_ARG, NULL, "scheme: neither cenc nor cbcs");
    if (o->label && (!vpi_label_valid(o->label) || vpi_streq(o->label, "*")))
        return vpi_fail(err, VP_E_ARG, NULL, "label: not one of those that there are");
    if (o->track >= VPI_GUARD_TRACKS)
        return vpi_fail(err, VP_E_ARG, NULL, "track: not below %u", VPI_GUARD_TRACKS);
    if (o->key_rotation && !o->segments)
        return vpi_fail(err, VP_E_ARG, NULL, "key_rotation: without the number of segments");
    if (o->flags & ~VP_CENC_PSSH || o->reserved) return vpi_fail(err, VP_E_ARG, NULL, "flags: unknown");
    return VP_OK;
}

static vp_status take_source(vp_cenc *cenc, const void *init, uint64_t size, vp_error *err)
{
    cenc->source = size < SIZE_MAX ? vpi_alloc((size_t)size) : NULL;
    if (!cenc->source) return vpi_fail_nomem(err);
    memcpy(cenc->source, init, (size_t)size);
    cenc->source_size = (size_t)size;
    return vpi_init_parse(cenc->source, cenc->source_size, &cenc->info, err);
}

/* Asks the provider: what is told of the keys stays, the keys stay in the ring. */
static vp_status take_keys(vp_cenc *cenc, vp_keys *keys, const vp_cenc_options *o, vp_error *err)
{
    const vpi_keys_ops *ops = &vpi_keyring_ops;
    const char *label = o->label;
    uint64_t periods = 1;

    if (!label)
        label =
            cenc->track.kind == VPI_KIND_AUDIO ? "audio" : vpi_label_of(cenc->info.width, cenc->info.height);
    if (o->key_rotation) periods = ((uint64_t)o->segments + o->key_rotation - 1) / o->key_rotation;
    if (o->seed) {
        memcpy(cenc->seed, o->seed, sizeof(cenc->seed));
    } else {
        VPI_TRY(ops->seed(cenc->seed, err));
    }
    VPI_TRY(ops->new_ring(keys, (vpi_scheme)o->scheme, o->title, cenc->seed, &cenc->ring, err));
    VPI_TRY(ops->ask(cenc->ring, label, periods, o->key_rotation, o->clear_segments, &cenc->told, err));
    ops->guard(cenc->ring, &cenc->guard);
    cenc->track.label = cenc->told.label;
    cenc->track.ordinal = o->track;
    return VP_OK;
}

static vp_status make_init(vp_cenc *cenc, bool with_pssh, vp_error *err)
{
    const vpi_key_info *key = &cenc->told.keys[0];
    vpi_protect protect;
    vpi_buf pssh = { 0 };
    vp_status st;

    vpi_protect_from(&cenc->told, 0, cenc->track.kind, &protect);
    for (size_t i = 0; with_pssh && i < key->drm_count; i++)
        vpi_buf_add(&pssh, key->drm[i].pssh, key->drm[i].pssh_size);
    st = vpi_buf_failed(&pssh) ? vpi_fail_nomem(err)
                               : vpi_cenc_write_init(cenc, &protect, &pssh, &cenc->init, err);
    vpi_buf_dispose(&pssh);
    return st;
}

/* A configuration that cannot be read is refused with the init segment, not with the first segment. */
static vp_status try_session(const vp_cenc *cenc, vp_error *err)
{
    vpi_guard_session *session = NULL;

    VPI_TRY(cenc->guard.open(cenc->guard.user, &cenc->track, &session, err));
    cenc->guard.close(session);
    return VP_OK;
}

static vp_status set_up(vp_cenc *cenc, vp_keys *keys, const void *init, uint64_t size,
                        const vp_cenc_options *o, vp_error *err)
{
    VPI_TRY(take_source(cenc, init, size, err));
    VPI_TRY(vpi_cenc_check_init(cenc, &cenc->track.kind, &cenc->track.codec, err));
    cenc->track.config = cenc->info.codec_config;
    cenc->track.config_size = cenc->info.codec_config_size;
    cenc->segments = o->segments;
    VPI_TRY(take_keys(cenc, keys, o, err));
    VPI_TRY(try_session(cenc, err));
    return make_init(cenc, o->flags & VP_CENC_PSSH, err);
}

vp_status vp_cenc_new(vp_keys *keys, const void *init, uint64_t init_size, const vp_cenc_options *options,
                      vp_cenc **out, vp_error *err)
{
    vp_cenc_options o = VP_CENC_OPTIONS_INIT;
    vp_cenc *cenc;
    vp_status st;

    vpi_error_reset(err);
    if (out) *out = NULL;
    if (!keys || !init || !out)
        return vpi_fail(err, VP_E_ARG, NULL, "no keys, no init segment, or nowhere to put the handle");
    VPI_TRY(vpi_copy_struct(&o, sizeof(o), options, err));
    if (o.scheme == VP_ENCRYPT_NONE) o.scheme = VP_ENCRYPT_CBCS;
    VPI_TRY(check_options(&o, err));
    cenc = vpi_calloc(1, sizeof(*cenc));
    if (!cenc) return vpi_fail_nomem(err);
    atomic_init(&cenc->refs, 1);
    st = set_up(cenc, keys, init, init_size, &o, err);
    if (st < 0) {
        vpi_error_op(err, "cenc.new");
        vp_cenc_unref(cenc);
        return st;
    }
    *out = cenc;
    return VP_OK;
}

/* ---- answers ---- */

vp_status vp_cenc_init(const vp_cenc *cenc, vp_bytes **out, vp_error *err)
{
    vpi_error_reset(err);
    if (out) *out = NULL;
    if (!cenc || !out) return vpi_fail(err, VP_E_ARG, NULL, "no handle, or nowhere to put the bytes");
    *out = vp_bytes_ref(cenc->init);
    return VP_OK;
}

vp_status vp_cenc_segment(const vp_cenc *cenc, uint64_t number, const void *data, uint64_t size,
                          vp_bytes **out, vp_error *err)
{
    vpi_buf b = { 0 };
    vp_status st;

    vpi_error_reset(err);
    if (out) *out = NULL;
    if (!cenc || !data || !out)
        return vpi_fail(err, VP_E_ARG, NULL, "no handle, no segment, or nowhere to put the bytes");
    /* Bounded also for the IVs: segments, samples and tracks share 64 bits of them. */
    if (number > UINT32_MAX || (cenc->segments && number >= cenc->segments))
        return vpi_fail(err, VP_E_ARG, NULL, "segment %llu: there are not so many",
                        (unsigned long long)number);
    if (size >= SIZE_MAX / 4) return vpi_fail_nomem(err);
    st = vpi_cenc_write_segment(cenc, number, data, (size_t)size, &b, err);
    if (st >= 0) st = vpi_bytes_from_buf(&b, out, err);
    vpi_buf_dispose(&b);
    if (st < 0) vpi_error_op(err, "cenc.segment");
    return st;
}

vp_status vp_cenc_protection_json(const vp_cenc *cenc, vp_bytes **out, vp_error *err)
{
    vpi_buf b = { 0 };
    json_t *json;
    vp_status st;

    vpi_error_reset(err);
    if (out) *out = NULL;
    if (!cenc || !out) return vpi_fail(err, VP_E_ARG, NULL, "no handle, or nowhere to put the text");
    json = vpi_protection_to_json(&cenc->told, false);
    st = json ? vpi_json_dump(json, &b, err) : vpi_fail_nomem(err);
    json_decref(json);
    if (st >= 0) st = vpi_bytes_from_buf(&b, out, err);
    vpi_buf_dispose(&b);
    return st;
}

vp_status vp_cenc_seed(const vp_cenc *cenc, uint8_t seed[16], vp_error *err)
{
    vpi_error_reset(err);
    if (!cenc || !seed) return vpi_fail(err, VP_E_ARG, NULL, "no handle, or nowhere to put the seed");
    memcpy(seed, cenc->seed, sizeof(cenc->seed));
    return VP_OK;
}
