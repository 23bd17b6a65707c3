/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <inttypes.h>
#include <stdio.h>

#include "model/presentation_int.h"

#define WHERE_SIZE 64

/* Whom to blame: shared by all checks of one track. */
typedef struct blame {
    const char *where, *reason;
    vp_status status;
    vp_error *err;
} blame;

static vp_status refuse(const blame *b, const char *name, const char *what)
{
    return vpi_fail(b->err, b->status, b->reason, "%s.%s: %s", b->where, name, what);
}

static vp_status refuse_segment(const blame *b, size_t n, const char *what)
{
    return vpi_fail(b->err, b->status, b->reason, "%s.segments[%zu]: %s", b->where, n, what);
}

/* Printable, without blanks, quotes and commas: usable as an XML id and inside quoted attributes. */
static bool word_valid(const char *text, bool commas)
{
    size_t i;

    if (!text || !text[0]) return false;
    for (i = 0; text[i]; i++) {
        uint8_t c = (uint8_t)text[i];

        if (c <= 0x20 || c == 0x7F || c == '"' || (c == ',' && !commas)) return false;
    }
    return true;
}

static bool language_valid(const char *text)
{
    size_t i, run = 0;

    for (i = 0; text[i]; i++) {
        char c = text[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');

        if (c == '-') {
            if (run == 0) return false;
            run = 0;
        } else if (!letter && !(c >= '0' && c <= '9' && strchr(text, '-') && text + i > strchr(text, '-'))) {
            return false;
        } else if (++run > 8) {
            return false;
        }
    }
    return run > 0;
}

static vp_status check_words(const vpi_ptrack *t, const blame *b)
{
    if (!word_valid(t->name, false)) return refuse(b, "name", "not a name");
    if (!word_valid(t->group, false)) return refuse(b, "group", "not a name");
    if (!word_valid(t->codecs, true)) return refuse(b, "codecs", "not a list of codecs");
    if (t->language && !language_valid(t->language)) return refuse(b, "language", "not a BCP-47 tag");
    if (t->label && !t->label[0]) return refuse(b, "label", "empty");
    if (!vpi_kind_word(t->kind)) return refuse(b, "kind", "not known");
    if (!vpi_container_word(t->container)) return refuse(b, "container", "not known");
    if (t->timescale == 0) return refuse(b, "timescale", "zero");
    return VP_OK;
}

static vp_status check_part(const vpi_part *part, const char *name, const blame *b)
{
    if (!part->key) return VP_OK;
    if (!vpi_key_valid(part->key)) return refuse(b, name, "not a key");
    if (part->bytes == 0) return refuse(b, name, "no bytes");
    if (part->offset > VPI_MAX_QUANTITY || part->bytes > VPI_MAX_QUANTITY)
        return refuse(b, name, "too large");
    return VP_OK;
}

static vp_status check_fragments(const vpi_segment *s, size_t n, const blame *b)
{
    uint64_t ticks = 0, at = 0;
    size_t i;

    if (s->fragment_count == 0) return VP_OK;
    if (s->fragment_count > VPI_MAX_FRAGMENTS) return refuse_segment(b, n, "too many fragments");
    for (i = 0; i < s->fragment_count; i++) {
        const vpi_fragment *f = &s->fragments[i];

        if (f->offset < at || f->offset > s->bytes || f->bytes == 0 || f->bytes > s->bytes - f->offset) {
            return refuse_segment(b, n, "a fragment outside its place");
        }
        if (f->idr_bytes > f->bytes) return refuse_segment(b, n, "an IDR picture larger than its fragment");
        if (f->ticks == 0 || f->ticks > s->ticks - ticks)
            return refuse_segment(b, n, "fragments and time differ");
        at = f->offset + f->bytes;
        ticks += f->ticks;
    }
    if (ticks != s->ticks) return refuse_segment(b, n, "fragments and time differ");
    return VP_OK;
}

static vp_status check_segments(const vpi_ptrack *t, const blame *b)
{
    uint64_t bytes = 0, end = 0;
    size_t i;

    if (t->segment_count == 0) return refuse(b, "segments", "none");
    if (t->segment_count > VPI_MAX_SEGMENTS) return refuse(b, "segments", "too many");
    for (i = 0; i < t->segment_count; i++) {
        const vpi_segment *s = &t->segments[i];

        if (!vpi_key_valid(s->key)) return refuse_segment(b, i, "not a key");
        if (s->start > VPI_MAX_QUANTITY || s->ticks > VPI_MAX_QUANTITY || s->offset > VPI_MAX_QUANTITY ||
            s->bytes > VPI_MAX_QUANTITY - bytes) {
            return refuse_segment(b, i, "too large");
        }
        if (s->ticks == 0) return refuse_segment(b, i, "no duration");
        if (s->bytes == 0) return refuse_segment(b, i, "no bytes");
        if (i > 0 && s->start != end) {
            return refuse_segment(b, i, s->start > end ? "a gap before it" : "it overlaps the one before");
        }
        end = s->start + s->ticks;
        bytes += s->bytes;
        VPI_TRY(check_fragments(s, i, b));
    }
    return VP_OK;
}

/* ---- protection ---- */

static bool by_kid(vpi_scheme scheme)
{
    return scheme == VPI_SCHEME_CENC || scheme == VPI_SCHEME_CBCS;
}

/* A key for each period that the segments reach into, each with what its scheme cannot do without. */
static vp_status check_keys(const vpi_ptrack *t, const blame *b)
{
    const vpi_protection *p = &t->protection;
    uint64_t periods = p->rotation ? (t->segment_count - 1) / p->rotation + 1 : 1;
    size_t i;

    if (p->key_count < periods) return refuse(b, "protection", "fewer keys than periods");
    for (i = 0; i < p->key_count; i++) {
        const vpi_key_info *k = &p->keys[i];

        if (by_kid(p->scheme) && !k->has_kid) return refuse(b, "protection", "a key without its KID");
        if (p->scheme == VPI_SCHEME_CBCS && !k->has_iv)
            return refuse(b, "protection", "a key without its IV");
        if (p->scheme == VPI_SCHEME_AES128 && !k->uri) return refuse(b, "protection", "a key without a URI");
    }
    return VP_OK;
}

static vp_status check_protection(const vpi_ptrack *t, const blame *b)
{
    const vpi_protection *p = &t->protection;
    size_t i;

    if (p->scheme != VPI_SCHEME_NONE) VPI_TRY(check_keys(t, b));
    /* Samples of a transport stream have no counters (ISO/IEC 23001-7 is about ISO base media files). */
    if (p->scheme == VPI_SCHEME_CENC && t->container != VP_CONTAINER_CMAF)
        return refuse(b, "protection", "cenc in another container than CMAF");
    for (i = 0; i < t->segment_count; i++) {
        bool due = p->scheme == VPI_SCHEME_AES128 && i >= p->clear_segments;

        if (t->segments[i].has_iv == due) continue;
        return refuse_segment(b, i, due ? "no IV" : "an IV, but it is not encrypted as a whole");
    }
    return VP_OK;
}

vp_status vpi_ptrack_check(const vpi_ptrack *t, const char *where, vp_status status, const char *reason,
                           vp_error *err)
{
    blame b = { where, reason, status, err };

    VPI_TRY(check_words(t, &b));
    VPI_TRY(check_part(&t->init, "init", &b));
    VPI_TRY(check_part(&t->index, "index", &b));
    VPI_TRY(check_segments(t, &b));
    return check_protection(t, &b);
}

vp_status vpi_presentation_check(const vpi_presentation *p, vp_status status, const char *reason,
                                 vp_error *err)
{
    char where[WHERE_SIZE];
    size_t i, k;

    if (p->version && p->version[0] && (!vpi_key_valid(p->version) || strchr(p->version, '/'))) {
        return vpi_fail(err, status, reason, "presentation.version: not the name of a folder");
    }
    for (i = 0; i < p->track_count; i++) {
        const vpi_ptrack *t = &p->tracks[i];

        snprintf(where, sizeof(where), "presentation.tracks[%zu]", i);
        VPI_TRY(vpi_ptrack_check(t, where, status, reason, err));
        for (k = 0; k < i; k++) {
            if (t->container == p->tracks[k].container && strcmp(t->name, p->tracks[k].name) == 0) {
                return vpi_fail(err, status, reason, "%s.name: %s is taken", where, t->name);
            }
        }
    }
    return VP_OK;
}
