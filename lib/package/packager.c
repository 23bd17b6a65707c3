/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Push packager: the public calls. */

#include "package/packager_int.h"

enum { SEGMENT_MS = 6000, FRAGMENT_MS = 2000, SEGMENT_MIN = 500, SEGMENT_MAX = 60000, FRAGMENTS_MAX = 60 };

/* About two seconds that divide the segment; the whole segment where nothing suitable does. */
static uint32_t default_fragment(uint32_t segment_ms)
{
    for (uint32_t parts = (segment_ms + FRAGMENT_MS - 1) / FRAGMENT_MS; parts <= FRAGMENTS_MAX; parts++) {
        if (segment_ms % parts == 0) return segment_ms / parts;
    }
    return segment_ms;
}

static vp_status take_options(vp_packager *pk, const vp_package_options *options, vp_error *err)
{
    vp_package_options o = VP_PACKAGE_OPTIONS_INIT;

    VPI_TRY(vpi_copy_struct(&o, sizeof(o), options, err));
    if (o.formats == 0) o.formats = VP_FORMAT_CMAF;
    if (o.segment_ms == 0) o.segment_ms = SEGMENT_MS;
    if (o.fragment_ms == 0) o.fragment_ms = default_fragment(o.segment_ms);
    if ((o.formats & ~(VP_FORMAT_CMAF | VP_FORMAT_TS)) || o.single_file > 1 || o.reserved) {
        return vpi_fail(err, VP_E_ARG, NULL, "unknown format or option");
    }
    if (o.segment_ms < SEGMENT_MIN || o.segment_ms > SEGMENT_MAX || o.segment_ms % o.fragment_ms != 0) {
        return vpi_fail(err, VP_E_ARG, NULL, "segment of %u ms and fragment of %u ms", (unsigned)o.segment_ms,
                        (unsigned)o.fragment_ms);
    }
    if (o.single_file && (!(o.formats & VP_FORMAT_CMAF) || !pk->store)) {
        return vpi_fail(err, VP_E_ARG, NULL, "single files need CMAF and a store");
    }
    if (o.prefix && o.prefix[0] && !vpi_key_valid(o.prefix)) {
        return vpi_fail(err, VP_E_ARG, NULL, "prefix is not a key");
    }
    pk->formats = o.formats;
    pk->segment_ms = o.segment_ms;
    pk->fragment_ms = o.fragment_ms;
    pk->single_file = o.single_file != 0;
    pk->prefix = o.prefix && o.prefix[0] ? vpi_asprintf("%s/", o.prefix) : vpi_strdup("");
    return pk->prefix ? VP_OK : vpi_fail_nomem(err);
}

vp_status vp_packager_new(vp_context *context, const vp_package_options *options, vp_sink *sink,
                          vp_store *store, vp_packager **out, vp_error *err)
{
    vp_packager *pk;
    vp_status st;

    vp_error_init(err);
    if (!out) return vpi_fail(err, VP_E_ARG, NULL, "nowhere to put the packager");
    *out = NULL;
    if (!sink) return vpi_fail(err, VP_E_ARG, NULL, "a packager needs a sink");
    VPI_TRY(vpi_context_check(context, err));
    pk = vpi_calloc(1, sizeof(*pk));
    if (!pk) return vpi_fail_nomem(err);
    pk->context = vp_context_ref(context);
    pk->sink = vp_sink_ref(sink);
    pk->store = vp_store_ref(store);
    VPI_GO(take_options(pk, options, err));
    pk->presentation = vpi_presentation_new();
    if (!pk->presentation) st = vpi_fail_nomem(err);
done:
    if (st < 0) {
        vp_packager_unref(pk);
        return st;
    }
    *out = pk;
    return VP_OK;
}

static vp_status check_state(const vp_packager *pk, vp_error *err)
{
    if (!pk) return vpi_fail(err, VP_E_ARG, NULL, "no packager");
    VPI_TRY(vpi_context_check(pk->context, err));
    if (pk->failed) return vpi_fail(err, VP_E_STATE, NULL, "an earlier call failed");
    if (pk->finished) return vpi_fail(err, VP_E_STATE, NULL, "the packager is finished");
    return VP_OK;
}

/* Keeps a failure, so that nothing is written after it. */
static vp_status keep(vp_packager *pk, vp_status st, vp_error *err)
{
    if (st >= 0) return st;
    pk->failed = true;
    vpi_error_op(err, "package");
    return st;
}

vp_status vp_packager_add_track(vp_packager *packager, const vp_track_config *config, uint32_t *track,
                                vp_error *err)
{
    vp_track_config c;
    vpi_pk_track *t;
    vp_status st;

    vp_error_init(err);
    VPI_TRY(check_state(packager, err));
    if (!config || !track)
        return vpi_fail(err, VP_E_ARG, NULL, "no configuration, or nowhere for the number");
    vp_track_config_init(&c, sizeof(c));
    VPI_TRY(vpi_copy_struct(&c, sizeof(c), config, err));
    if (packager->started) return vpi_fail(err, VP_E_STATE, NULL, "tracks are added before the first sample");
    if (packager->track_count == VPI_PK_TRACKS) {
        return vpi_fail(err, VP_E_LIMIT, "INPUT_LIMIT", "more than %d tracks", VPI_PK_TRACKS);
    }
    for (size_t i = 0; i < packager->track_count; i++) {
        if (vpi_streq(packager->tracks[i].name, c.name)) {
            return vpi_fail(err, VP_E_ARG, NULL, "there is a track %s already", c.name);
        }
    }
    if (!VPI_GROW(packager->tracks, packager->track_count, packager->track_cap)) return vpi_fail_nomem(err);
    t = &packager->tracks[packager->track_count];
    memset(t, 0, sizeof(*t));
    st = vpi_pk_track_fill(t, &c, packager->formats, err);
    if (st < 0) {
        vpi_pk_track_dispose(t);
        return st;
    }
    *track = (uint32_t)packager->track_count++;
    return VP_OK;
}

static void choose_main(vp_packager *pk)
{
    pk->main = 0;
    for (size_t i = 0; i < pk->track_count; i++) {
        if (!vpi_pk_is_video(&pk->tracks[i])) continue;
        pk->main = i;
        return;
    }
}

static vp_status write_ready(vp_packager *pk, bool finishing, vp_error *err)
{
    for (;;) {
        vp_status st = vpi_pk_cut(pk, finishing, err);

        if (st == VP_AGAIN) return VP_OK;
        if (st < 0) return st;
        VPI_TRY(vpi_pk_write_segment(pk, err));
    }
}

vp_status vp_packager_write(vp_packager *packager, uint32_t track, const vp_sample *sample, vp_error *err)
{
    vp_sample s;

    vp_error_init(err);
    VPI_TRY(check_state(packager, err));
    if (!sample || track >= packager->track_count)
        return vpi_fail(err, VP_E_ARG, NULL, "no sample or no such track");
    vp_sample_init(&s, sizeof(s));
    VPI_TRY(vpi_copy_struct(&s, sizeof(s), sample, err));
    if (!packager->started) {
        choose_main(packager);
        packager->started = true;
        VPI_TRY(keep(packager, vpi_pk_start(packager, err), err));
    }
    /* A sample that was refused changes nothing; what follows it may. */
    VPI_TRY(vpi_pk_track_push(packager, &packager->tracks[track], &s, err));
    if (track == packager->main) VPI_TRY(keep(packager, vpi_pk_look(packager, err), err));
    return keep(packager, write_ready(packager, false, err), err);
}

/* Pictures over the time they cover, where the host did not say. */
static void fill_rate(const vpi_pk_track *t, vpi_ptrack *track)
{
    vpi_rational r;

    if (track->frame_rate_num || t->done_samples == 0) return;
    r = vpi_reduce((int64_t)VPI_MIN(t->done_samples, (uint64_t)UINT32_MAX) * t->setup.timescale,
                   (int64_t)vpi_ptrack_ticks(track));
    if (r.num > INT32_MAX || r.den > INT32_MAX) {
        r = (vpi_rational){ vpi_rescale(r.num, 1000, r.den, VPI_NEAREST), 1000 };
    }
    if (r.num < 1 || r.num > INT32_MAX) return;
    track->frame_rate_num = (uint32_t)r.num;
    track->frame_rate_den = (uint32_t)r.den;
}

static vp_status finish_track(vp_packager *pk, const vpi_pk_track *t, size_t index, vp_error *err)
{
    vpi_ptrack *track;

    if (index == VPI_PK_NONE) return VP_OK;
    track = &pk->presentation->p.tracks[index];
    if (track->segment_count == 0) {
        vpi_error_key(err, t->name);
        return vpi_fail(err, VP_E_DATA, "INPUT_CORRUPT", "track %s has no samples beside the picture",
                        t->name);
    }
    if (track->kind == VP_TRACK_VIDEO) fill_rate(t, track);
    return track->single_file ? vpi_pk_join(pk, t, track, err) : VP_OK;
}

static vp_status finish(vp_packager *pk, vp_error *err)
{
    if (!pk->started) return vpi_fail(err, VP_E_ARG, NULL, "no samples were written");
    VPI_TRY(vpi_pk_close(pk, err));
    VPI_TRY(write_ready(pk, true, err));
    for (size_t i = 0; i < pk->track_count; i++) {
        VPI_TRY(finish_track(pk, &pk->tracks[i], pk->tracks[i].cmaf, err));
        VPI_TRY(finish_track(pk, &pk->tracks[i], pk->tracks[i].ts, err));
    }
    VPI_TRY(vp_sink_flush(pk->sink, err));
    return vpi_presentation_finish(&pk->presentation->p, err);
}

vp_status vp_packager_finish(vp_packager *packager, vp_presentation **out, vp_error *err)
{
    vp_error_init(err);
    if (!out) return vpi_fail(err, VP_E_ARG, NULL, "nowhere to put the presentation");
    *out = NULL;
    VPI_TRY(check_state(packager, err));
    VPI_TRY(keep(packager, finish(packager, err), err));
    vpi_pk_remove_parts(packager);
    packager->finished = true;
    *out = packager->presentation;
    packager->presentation = NULL;
    return VP_OK;
}

vp_packager *vp_packager_unref(vp_packager *packager)
{
    if (!packager) return NULL;
    if (packager->presentation) vpi_pk_remove_parts(packager);
    for (size_t i = 0; i < packager->track_count; i++) vpi_pk_track_dispose(&packager->tracks[i]);
    vpi_free(packager->tracks);
    vpi_free(packager->marks);
    vpi_free(packager->prefix);
    vp_presentation_unref(packager->presentation);
    vp_store_unref(packager->store);
    vp_sink_unref(packager->sink);
    vp_context_unref(packager->context);
    vpi_free(packager);
    return NULL;
}
