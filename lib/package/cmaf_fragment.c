/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* CMAF fragments: moof + mdat (ISO/IEC 14496-12 8.8, 23000-19 7.3.2; senc, saiz, saio of 23001-7 7). */

#include "package/package_int.h"

#include "bmff/bmff.h"

/* sample_flags (14496-12 8.8.3.1) */
#define FLAGS_SYNC 0x02000000u     /* depends on no other */
#define FLAGS_NON_SYNC 0x01010000u /* depends on others, is not a sync sample */

enum { MDAT_HEADER = 8, PIECES = 64 };

typedef struct fragment_job {
    const vpi_segment_in *in;
    const vpi_protect *protect;     /* NULL: the samples are clear */
    bool second;                    /* sample entry: that of the clear part */
    const uint64_t *times, *starts; /* of decoding; of fragments */
    vpi_out *out;
    vpi_buf head;      /* moof and the mdat header */
    vpi_buf aux;       /* sample auxiliary information of the fragment */
    vpi_buf aux_sizes; /* one byte a sample */
    uint8_t *scratch;  /* protected samples of the fragment */
    size_t scratch_size;
} fragment_job;

/* ---- protection ---- */

static vp_status add_aux(fragment_job *job, const vpi_protect_out *p, size_t size, vp_error *err)
{
    bool video = job->in->setup->kind == VPI_KIND_VIDEO;
    size_t before = job->aux.size;

    if (p->iv_size != job->protect->per_sample_iv_size || p->subsample_count > VPI_SUBSAMPLES_MAX ||
        (!video && p->subsample_count)) {
        return vpi_fail(err, VP_E_INTERNAL, NULL, "protection of a sample contradicts its track");
    }
    vpi_buf_add(&job->aux, p->iv, p->iv_size);
    if (video) {
        /* One form for the whole fragment: a sample protected as a whole is one subsample. */
        vpi_buf_be16(&job->aux, p->subsample_count ? p->subsample_count : 1);
        for (uint32_t i = 0; i < p->subsample_count; i++) {
            vpi_buf_be16(&job->aux, p->subsamples[i].clear);
            vpi_buf_be32(&job->aux, p->subsamples[i].protected_bytes);
        }
        if (p->subsample_count == 0) {
            vpi_buf_be16(&job->aux, 0);
            vpi_buf_be32(&job->aux, (uint32_t)size);
        }
    }
    if (job->aux.size - before > UINT8_MAX) { /* saiz has 8 bits */
        return vpi_fail(err, VP_E_LIMIT, "INPUT_LIMIT", "picture of %u protected parts",
                        (unsigned)p->subsample_count);
    }
    vpi_buf_u8(&job->aux_sizes, (unsigned)(job->aux.size - before));
    return VP_OK;
}

/* The auxiliary information stands before the samples it speaks of, so a fragment is protected as a whole. */
static vp_status protect_fragment(fragment_job *job, size_t first, size_t end, vp_error *err)
{
    const vpi_segment_in *in = job->in;
    vpi_protect_out p;
    size_t total = 0, at = 0;
    uint8_t *to;

    vpi_buf_clear(&job->aux);
    vpi_buf_clear(&job->aux_sizes);
    for (size_t i = first; i < end; i++) {
        if (in->samples[i].size > UINT32_MAX - total) {
            return vpi_fail(err, VP_E_LIMIT, "INPUT_LIMIT", "fragment of more than 4 GiB");
        }
        total += in->samples[i].size;
    }
    if (in->samples[first].data && !in->writable && total > job->scratch_size) {
        uint8_t *grown = vpi_realloc(job->scratch, total, 1);

        if (!grown) return vpi_fail_nomem(err);
        job->scratch = grown;
        job->scratch_size = total;
    }
    for (size_t i = first; i < end; i++) {
        p.iv_size = 0;
        p.subsample_count = 0;
        memset(p.iv, 0, sizeof(p.iv));
        to = !in->samples[i].data ? NULL
             : in->writable       ? (uint8_t *)(uintptr_t)in->samples[i].data
                                  : job->scratch + at;
        VPI_TRY(job->protect->sample(job->protect->user, in->first_sample + i, in->samples[i].data,
                                     in->samples[i].size, to, &p, err));
        VPI_TRY(add_aux(job, &p, in->samples[i].size, err));
        at += in->samples[i].size;
    }
    if (vpi_buf_failed(&job->aux) || vpi_buf_failed(&job->aux_sizes)) return vpi_fail_nomem(err);
    return VP_OK;
}

static void add_protection_boxes(fragment_job *job, size_t moof, size_t count)
{
    vpi_tenc tenc;

    if (job->protect->group) { /* what init does not say of these samples: their key is another one */
        vpi_protect_tenc(job->protect, &tenc);
        vpi_seig_write(&job->head, &tenc, (uint32_t)count);
    }
    vpi_senc_write(&job->head, moof, &job->aux_sizes, &job->aux, job->in->setup->kind == VPI_KIND_VIDEO);
}

/* ---- moof ---- */

typedef struct run_form {
    bool durations, flags, first_flags, offsets;
    uint32_t default_duration, default_flags;
    uint64_t bytes;
} run_form;

static uint32_t sample_flags(const vpi_sample *s)
{
    return s->sync ? FLAGS_SYNC : FLAGS_NON_SYNC;
}

static uint64_t duration_of(const fragment_job *job, size_t i, size_t end, uint64_t fragment_end)
{
    return (i + 1 < end ? job->times[i + 1] : fragment_end) - job->times[i];
}

/* What all samples have in common goes to tfhd. */
static vp_status choose_form(const fragment_job *job, size_t first, size_t end, uint64_t fragment_end,
                             run_form *form, vp_error *err)
{
    const vpi_sample *samples = job->in->samples;

    memset(form, 0, sizeof(*form));
    form->default_flags = sample_flags(&samples[end - 1]);
    form->first_flags = sample_flags(&samples[first]) != form->default_flags;
    for (size_t i = first; i < end; i++) {
        uint64_t duration = duration_of(job, i, end, fragment_end);
        int64_t offset = samples[i].pts - (int64_t)job->times[i];

        if (duration > UINT32_MAX || offset > INT32_MAX || offset < INT32_MIN) {
            return vpi_fail(err, VP_E_DATA, "INPUT_CORRUPT", "gap of more than 2^31 ticks at %lld",
                            (long long)samples[i].pts);
        }
        if (samples[i].size > UINT32_MAX) {
            return vpi_fail(err, VP_E_LIMIT, "INPUT_LIMIT", "sample of %zu bytes", samples[i].size);
        }
        if (i == first) form->default_duration = (uint32_t)duration;
        if (duration != form->default_duration) form->durations = true;
        if (i > first && sample_flags(&samples[i]) != form->default_flags) form->flags = true;
        if (offset != 0) form->offsets = true;
        form->bytes += samples[i].size; /* no overflow: below 2^32 each, and they were in memory or counted */
    }
    if (form->flags) form->first_flags = false;
    if (form->bytes > UINT32_MAX - MDAT_HEADER) {
        return vpi_fail(err, VP_E_LIMIT, "INPUT_LIMIT", "fragment of %llu bytes",
                        (unsigned long long)form->bytes);
    }
    return VP_OK;
}

static void add_tfhd(vpi_buf *b, const run_form *form, bool second)
{
    uint32_t flags = 0x020000; /* default-base-is-moof */
    size_t at;

    if (second) flags |= 0x02;
    if (!form->durations) flags |= 0x08;
    if (!form->flags) flags |= 0x20;
    at = vpi_fullbox_begin(b, VPI_FOURCC('t', 'f', 'h', 'd'), 0, flags);
    vpi_buf_be32(b, 1);             /* track_ID */
    if (second) vpi_buf_be32(b, 2); /* sample_description_index */
    if (!form->durations) vpi_buf_be32(b, form->default_duration);
    if (!form->flags) vpi_buf_be32(b, form->default_flags);
    vpi_box_end(b, at);
}

/* Returns the position of data_offset. */
static size_t add_trun(fragment_job *job, size_t first, size_t end, uint64_t fragment_end,
                       const run_form *form)
{
    const vpi_sample *samples = job->in->samples;
    vpi_buf *b = &job->head;
    uint32_t flags = 0x201; /* data offset, sizes */
    size_t at, data_offset;

    if (form->first_flags) flags |= 0x004;
    if (form->durations) flags |= 0x100;
    if (form->flags) flags |= 0x400;
    if (form->offsets) flags |= 0x800;
    at = vpi_fullbox_begin(b, VPI_FOURCC('t', 'r', 'u', 'n'), 1, flags);
    vpi_buf_be32(b, (uint32_t)(end - first));
    data_offset = b->size;
    vpi_buf_be32(b, 0);
    if (form->first_flags) vpi_buf_be32(b, sample_flags(&samples[first]));
    for (size_t i = first; i < end; i++) {
        if (form->durations) vpi_buf_be32(b, (uint32_t)duration_of(job, i, end, fragment_end));
        vpi_buf_be32(b, (uint32_t)samples[i].size);
        if (form->flags) vpi_buf_be32(b, sample_flags(&samples[i]));
        if (form->offsets) vpi_buf_be32(b, (uint32_t)(int32_t)(samples[i].pts - (int64_t)job->times[i]));
    }
    vpi_box_end(b, at);
    return data_offset;
}

static vp_status build_head(fragment_job *job, size_t f, size_t first, size_t end, vp_error *err)
{
    uint64_t fragment_end = job->starts[f + 1];
    uint64_t sequence = job->in->first_fragment + f + 1;
    vpi_buf *b = &job->head;
    run_form form;
    size_t moof, traf, at, data_offset;

    if (sequence > UINT32_MAX || end - first > UINT32_MAX) {
        return vpi_fail(err, VP_E_LIMIT, "INPUT_LIMIT", "more than 2^32-1 fragments or samples");
    }
    VPI_TRY(choose_form(job, first, end, fragment_end, &form, err));
    vpi_buf_clear(b);
    moof = vpi_box_begin(b, VPI_FOURCC('m', 'o', 'o', 'f'));
    at = vpi_fullbox_begin(b, VPI_FOURCC('m', 'f', 'h', 'd'), 0, 0);
    vpi_buf_be32(b, (uint32_t)sequence);
    vpi_box_end(b, at);
    if (job->protect && f == 0) vpi_buf_add(b, job->protect->pssh, job->protect->pssh_size);
    traf = vpi_box_begin(b, VPI_FOURCC('t', 'r', 'a', 'f'));
    add_tfhd(b, &form, job->second);
    at = vpi_fullbox_begin(b, VPI_FOURCC('t', 'f', 'd', 't'), 1, 0);
    vpi_buf_be64(b, job->times[first]);
    vpi_box_end(b, at);
    data_offset = add_trun(job, first, end, fragment_end, &form);
    if (job->protect) add_protection_boxes(job, moof, end - first);
    vpi_box_end(b, traf);
    vpi_box_end(b, moof);
    if (b->size > INT32_MAX - MDAT_HEADER) b->failed = true; /* data_offset is signed */
    if (!vpi_buf_failed(b)) vpi_buf_patch_be32(b, data_offset, (uint32_t)(b->size + MDAT_HEADER));
    vpi_buf_be32(b, (uint32_t)(form.bytes + MDAT_HEADER));
    vpi_buf_str(b, "mdat");
    return vpi_buf_failed(b) ? vpi_fail_nomem(err) : VP_OK;
}

static vp_status write_samples(fragment_job *job, size_t first, size_t end, vp_error *err)
{
    struct iovec pieces[PIECES];
    size_t used = 0, at = 0;

    pieces[used++] = (struct iovec){ job->head.data, job->head.size };
    for (size_t i = first; i < end; i++) {
        const vpi_sample *s = &job->in->samples[i];
        const uint8_t *data = job->protect && s->data && !job->in->writable ? job->scratch + at : s->data;

        if (used == PIECES) {
            VPI_TRY(vpi_out_add(job->out, pieces, used, err));
            used = 0;
        }
        pieces[used++] = (struct iovec){ (void *)(uintptr_t)data, s->size };
        at += s->size;
    }
    return vpi_out_add(job->out, pieces, used, err);
}

static vp_status write_fragment(fragment_job *job, size_t f, vpi_segment *entry, vp_error *err)
{
    const vpi_segment_in *in = job->in;
    size_t first = in->fragments[f];
    size_t end = f + 1 < in->fragment_count ? in->fragments[f + 1] : in->count;
    vpi_fragment *fragment;

    if (job->protect) VPI_TRY(protect_fragment(job, first, end, err));
    VPI_TRY(build_head(job, f, first, end, err));
    fragment = vpi_segment_add_fragment(entry);
    if (!fragment) return vpi_fail_nomem(err);
    fragment->offset = job->out->bytes;
    VPI_TRY(write_samples(job, first, end, err));
    fragment->bytes = job->out->bytes - fragment->offset;
    fragment->ticks = job->starts[f + 1] - job->starts[f];
    if (in->setup->kind == VPI_KIND_VIDEO) fragment->idr_bytes = job->head.size + in->samples[first].size;
    return VP_OK;
}

/* ---- segment ---- */

static vp_status add_styp(vpi_out *out, vp_error *err)
{
    static const char styp[] = "\0\0\0\x1cstypmsdh\0\0\0\0msdhcmfscmf2";

    return vpi_out_add(out, &(struct iovec){ (void *)(uintptr_t)styp, sizeof(styp) - 1 }, 1, err);
}

vp_status vpi_cmaf_segment_out(const vpi_segment_in *in, const vpi_protect *protect, bool styp, vpi_out *out,
                               vpi_segment *entry, vp_error *err)
{
    fragment_job job = { .in = in,
                         .protect = protect && !protect->clear ? protect : NULL,
                         .second = protect && protect->clear,
                         .out = out };
    uint64_t *times = NULL, *starts = NULL;
    vp_status st;

    VPI_GO(vpi_segment_in_check(in, err));
    times = vpi_calloc(in->count, sizeof(*times));
    starts = vpi_calloc(in->fragment_count + 1, sizeof(*starts));
    if (!times || !starts) {
        st = vpi_fail_nomem(err);
        goto done;
    }
    VPI_GO(vpi_segment_times(in, times, starts, err));
    for (size_t f = 0; f < in->fragment_count; f++) {
        size_t end = f + 1 < in->fragment_count ? in->fragments[f + 1] : in->count;

        vpi_decode_times(in->samples + in->fragments[f], end - in->fragments[f], times + in->fragments[f]);
    }
    job.times = times;
    job.starts = starts;
    vpi_entry_begin(entry, in);
    if (styp) VPI_GO(add_styp(out, err));
    for (size_t f = 0; f < in->fragment_count; f++) VPI_GO(write_fragment(&job, f, entry, err));
    entry->bytes = out->bytes;
done:
    vpi_buf_dispose(&job.head);
    vpi_buf_dispose(&job.aux);
    vpi_buf_dispose(&job.aux_sizes);
    vpi_free(job.scratch);
    vpi_free(times);
    vpi_free(starts);
    return st;
}

vp_status vpi_cmaf_segment(const vpi_segment_in *in, const vpi_protect *protect, bool styp, vp_object *object,
                           vpi_segment *entry, vp_error *err)
{
    vpi_out out = { .object = object };

    return vpi_cmaf_segment_out(in, protect, styp, &out, entry, err);
}

vp_status vpi_cmaf_segment_size(const vpi_segment_in *in, const vpi_protect *protect, bool styp,
                                vpi_segment *entry, vp_error *err)
{
    vpi_out out = { 0 };

    return vpi_cmaf_segment_out(in, protect, styp, &out, entry, err);
}
