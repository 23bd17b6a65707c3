/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * CPIX 2.3, ContentKeyPeriodList and ContentKeyUsageRuleList: which key is for which label and period. A rule that
 * cannot be understood stops the import: the document says that no key may be mapped then ("Usage Rules Filters").
 */
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "crypt/cpix_int.h"

/* Pixels of pictures; borders between labels as in docs/encryption.md. Services part uhd at 4096x2160. */
#define SD_PIXELS UINT64_C(442368)
#define HD_PIXELS UINT64_C(2073600)
#define UHD1_PIXELS UINT64_C(8294400)
#define UHD2_PIXELS UINT64_C(8847361)
#define STEREO 2u
#define MAX_COPIED ((size_t)64 << 20)
#define MAX_KEYS ((size_t)6 * VPI_KEY_PERIODS_MAX)

enum { AUDIO = 1, SD = 2, HD = 4, UHD1 = 8, UHD2 = 16, TRICK = 32 };
enum { UHD = UHD1 | UHD2, VIDEO = SD | HD | UHD | TRICK, ALL = AUDIO | VIDEO };

typedef struct period {
    const char *id;
    uint32_t number;
} period;

/* One ContentKeyUsageRule, read. */
typedef struct rule {
    const vpi_xml_node *node; /* its KeyPeriodFilters are read when keys are given out */
    const vpi_key *key;
    unsigned labels; /* bits above */
} rule;

typedef struct rules {
    period *periods; /* sorted by id */
    size_t period_count, period_cap;
    rule *list;
    size_t count, cap;
    vpi_key_list *out;
    size_t copied; /* bytes, so that a small document cannot become a large one */
} rules;

/* ---- words ---- */

/* Bits of a word of intendedTrackType, as DASH-IF, SPEKE and packagers use them; 0: not known. */
static unsigned word_bits(const char *word, size_t size)
{
    static const struct {
        const char *word;
        unsigned bits;
    } words[] = {
        { "audio", AUDIO },
        { "stereo_audio", AUDIO },
        { "multichannel_audio", AUDIO },
        { "video", VIDEO },
        { "sd", SD },
        { "hd", HD },
        { "hd1", HD },
        { "hd2", HD },
        { "uhd", UHD },
        { "uhd1", UHD1 },
        { "uhd2", UHD2 },
        { "trick", TRICK },
        { "all", ALL },
    };

    for (size_t i = 0; i < VPI_COUNT(words); i++) {
        if (strlen(words[i].word) == size && strncasecmp(words[i].word, word, size) == 0)
            return words[i].bits;
    }
    return 0;
}

/* "SD+HD": words joined; 0 when one of them is not known. */
static unsigned type_bits(const char *type)
{
    unsigned bits = 0;

    while (*type) {
        size_t n = strcspn(type, "+");
        unsigned one = word_bits(type, n);

        if (!one) return 0;
        bits |= one;
        type += n;
        if (*type == '+') type++;
    }
    return bits;
}

/* ---- filters ---- */

typedef struct filters {
    unsigned type; /* of intendedTrackType; 0: none, or not known */
    bool typed;
    bool video, audio, label;
    unsigned video_bits, label_bits;
} filters;

/*
 * Labels whose pictures the filter takes whole; *partly: those of which it takes some. What lies between the two uhd is
 * with neither.
 */
static void pixel_bits(uint64_t min, uint64_t max, unsigned *whole, unsigned *partly)
{
    static const struct {
        unsigned bit;
        uint64_t low, high;
    } ranges[] = { { SD, 1, SD_PIXELS },
                   { HD, SD_PIXELS + 1, HD_PIXELS },
                   { UHD1, HD_PIXELS + 1, UHD1_PIXELS },
                   { UHD2, UHD2_PIXELS, UHD2_PIXELS } };

    for (size_t i = 0; i < VPI_COUNT(ranges); i++) {
        if (min > ranges[i].high || max < ranges[i].low) continue;
        *partly |= ranges[i].bit;
        if (min <= ranges[i].low && max >= ranges[i].high) *whole |= ranges[i].bit;
    }
}

static vp_status video_filter(const vpi_xml_node *n, const char *where, filters *f, vp_error *err)
{
    static const char *const unknown[] = { "hdr", "wcg", "minFps", "maxFps" };
    unsigned whole = 0, partly = 0;
    uint64_t min = 0, max = UINT64_MAX;

    for (size_t i = 0; i < VPI_COUNT(unknown); i++) {
        if (vpi_xml_attribute(n, unknown[i])) {
            return vpi_key_invalid(err, "%s: %s of VideoFilter is not supported", where, unknown[i]);
        }
    }
    VPI_TRY(vpi_cpix_number(n, where, "minPixels", UINT64_MAX, &min, err));
    VPI_TRY(vpi_cpix_number(n, where, "maxPixels", UINT64_MAX, &max, err));
    if (min > max) return vpi_key_invalid(err, "%s: minPixels is above maxPixels", where);
    pixel_bits(min, max, &whole, &partly);
    /*
     * A type that names sd, hd or uhd says enough: services draw the border of sd at 1024x576 too. Without one a filter
     * that cuts through a label would leave pictures of it without a key.
     */
    if (f->type && f->type != ALL && f->type != VIDEO) {
        whole = partly & f->type;
    } else if (whole != partly) {
        return vpi_key_invalid(err, "%s: pixels of VideoFilter do not end at %u or %u", where,
                               (unsigned)SD_PIXELS, (unsigned)HD_PIXELS);
    }
    f->video = true;
    f->video_bits |= min <= 1 && max >= UHD2_PIXELS ? VIDEO : whole;
    return VP_OK;
}

static vp_status audio_filter(const vpi_xml_node *n, const char *where, filters *f, vp_error *err)
{
    uint64_t min = 0, max = UINT64_MAX;

    VPI_TRY(vpi_cpix_number(n, where, "minChannels", UINT64_MAX, &min, err));
    VPI_TRY(vpi_cpix_number(n, where, "maxChannels", UINT64_MAX, &max, err));
    if (min > STEREO || max < STEREO) {
        return vpi_key_invalid(err, "%s: AudioFilter without two channels is not supported", where);
    }
    f->audio = true;
    return VP_OK;
}

static vp_status label_filter(const vpi_xml_node *n, const char *where, filters *f, vp_error *err)
{
    const char *label = vpi_xml_attribute(n, "label");
    unsigned bits = label ? word_bits(label, strlen(label)) : 0;

    if (!bits) return vpi_key_invalid(err, "%s: LabelFilter is not of a known label", where);
    f->label = true;
    f->label_bits |= bits;
    return VP_OK;
}

static vp_status read_filters(const vpi_xml_node *n, const char *where, filters *f, vp_error *err)
{
    for (n = n->first; n; n = n->next) {
        if (strcmp(n->name, "VideoFilter") == 0) {
            VPI_TRY(video_filter(n, where, f, err));
        } else if (strcmp(n->name, "AudioFilter") == 0) {
            VPI_TRY(audio_filter(n, where, f, err));
        } else if (strcmp(n->name, "LabelFilter") == 0) {
            VPI_TRY(label_filter(n, where, f, err));
        } else if (strcmp(n->name, "KeyPeriodFilter") != 0) {
            return vpi_key_invalid(err, "%s: a filter that is not supported", where);
        }
    }
    return VP_OK;
}

/* Filters of one kind are joined by "or" before, kinds by "and" here; the type agrees with them. */
static vp_status combine(const filters *f, const char *where, unsigned *labels, vp_error *err)
{
    unsigned bits = ALL;

    if (f->typed && !f->type && !f->video && !f->audio && !f->label) {
        return vpi_key_invalid(err, "%s: intendedTrackType is not known, and there is no filter", where);
    }
    if (f->video) bits &= f->video_bits;
    if (f->audio) bits &= AUDIO;
    if (f->label) bits &= f->label_bits;
    if (f->type) {
        unsigned both = bits & f->type;

        if (f->type == ALL || f->type == VIDEO) {
            bits = both;
        } else {
            /* uhd may be one of its halves, the others are there or not. */
            bits = (f->type & ~(unsigned)UHD) == (both & ~(unsigned)UHD) ? both : 0;
            if ((f->type & UHD) && !(both & UHD)) bits = 0;
        }
    }
    if (!bits)
        return vpi_key_invalid(err, "%s: intendedTrackType and filters do not agree, or match nothing",
                               where);
    *labels = bits;
    return VP_OK;
}

/* ---- periods ---- */

static int compare_periods(const void *a, const void *b)
{
    return strcmp(((const period *)a)->id, ((const period *)b)->id);
}

/* By index where the document has them, else in the order of the list. */
static vp_status read_periods(const vpi_xml_node *root, rules *r, vp_error *err)
{
    const vpi_xml_node *list = vpi_xml_child(root, "ContentKeyPeriodList");
    char where[VPI_CPIX_WHERE];
    size_t indexed = 0;

    for (const vpi_xml_node *n = list ? list->first : NULL; n; n = n->next) {
        uint64_t number = r->period_count;
        const char *id = vpi_xml_attribute(n, "id");

        if (strcmp(n->name, "ContentKeyPeriod") != 0) continue;
        snprintf(where, sizeof(where), "ContentKeyPeriod[%zu]", r->period_count);
        if (vpi_xml_attribute(n, "index")) indexed++;
        VPI_TRY(vpi_cpix_number(n, where, "index", VPI_KEY_PERIODS_MAX - 1, &number, err));
        if (!VPI_GROW(r->periods, r->period_count, r->period_cap)) return vpi_fail_nomem(err);
        r->periods[r->period_count++] = (period){ id ? id : "", (uint32_t)number };
    }
    if (indexed > 0 && indexed < r->period_count) {
        return vpi_key_invalid(err, "ContentKeyPeriodList: some periods have an index, others do not");
    }
    if (r->period_count > 0) qsort(r->periods, r->period_count, sizeof(*r->periods), compare_periods);
    for (size_t i = 1; i < r->period_count; i++) {
        if (r->periods[i].id[0] && compare_periods(&r->periods[i - 1], &r->periods[i]) == 0) {
            return vpi_key_invalid(err, "ContentKeyPeriodList: an id is there twice");
        }
    }
    return VP_OK;
}

/* ---- giving out ---- */

static size_t weight(const vpi_key_info *k)
{
    size_t n = sizeof(vpi_key) + (k->uri ? strlen(k->uri) : 0);

    for (size_t i = 0; i < k->drm_count; i++) {
        const vpi_drm *d = &k->drm[i];

        n += sizeof(*d) + d->pssh_size + (d->uri ? strlen(d->uri) : 0) + (d->laurl ? strlen(d->laurl) : 0);
    }
    return n;
}

static vp_status give(rules *r, const vpi_key *from, const char *label, uint32_t number, vp_error *err)
{
    vpi_key *k;

    r->copied += weight(&from->info);
    if (r->copied > MAX_COPIED || r->out->count == MAX_KEYS) {
        return vpi_key_invalid(err, "ContentKeyUsageRuleList: its rules make too much of the document");
    }
    k = vpi_key_list_add(r->out);
    if (!k) return vpi_fail_nomem(err);
    vpi_strlcpy(k->label, label, sizeof(k->label));
    k->period = number;
    memcpy(k->key, from->key, sizeof(k->key));
    return vpi_key_info_copy(&k->info, &from->info, err);
}

static vp_status give_labels(rules *r, const rule *of, unsigned labels, uint32_t number, vp_error *err)
{
    static const struct {
        unsigned bits;
        const char *label;
    } names[] = { { AUDIO, "audio" }, { SD, "sd" }, { HD, "hd" }, { UHD, "uhd" }, { TRICK, "trick" } };

    if (labels == ALL) return give(r, of->key, "*", number, err);
    for (size_t i = 0; i < VPI_COUNT(names); i++) {
        if (labels & names[i].bits) VPI_TRY(give(r, of->key, names[i].label, number, err));
    }
    return VP_OK;
}

/* Without a filter: all periods that there are. */
static vp_status give_periods(rules *r, const rule *of, unsigned labels, vp_error *err)
{
    bool filtered = false;

    for (const vpi_xml_node *n = of->node->first; n; n = n->next) {
        period wanted = { vpi_xml_attribute(n, "periodId"), 0 };
        const period *p = NULL;

        if (strcmp(n->name, "KeyPeriodFilter") != 0) continue;
        filtered = true;
        if (wanted.id && wanted.id[0] && r->period_count > 0) {
            p = bsearch(&wanted, r->periods, r->period_count, sizeof(*r->periods), compare_periods);
        }
        if (!p) return vpi_key_invalid(err, "KeyPeriodFilter: there is no ContentKeyPeriod of its periodId");
        VPI_TRY(give_labels(r, of, labels, p->number, err));
    }
    if (filtered) return VP_OK;
    if (r->period_count == 0) return give_labels(r, of, labels, 0, err);
    for (size_t i = 0; i < r->period_count; i++) {
        VPI_TRY(give_labels(r, of, labels, r->periods[i].number, err));
    }
    return VP_OK;
}

static int compare_places(const void *a, const void *b)
{
    const vpi_key *const *x = a, *const *y = b;
    int c = strcmp((*x)->label, (*y)->label);

    return c ? c : ((*x)->period > (*y)->period) - ((*x)->period < (*y)->period);
}

/* "A set of rules that would match multiple Content Keys to a single Content Key Context is invalid." */
static vp_status check_places(const vpi_key_list *out, vp_error *err)
{
    const vpi_key **sorted = vpi_calloc(out->count, sizeof(*sorted));
    vp_status st = VP_OK;

    if (!sorted) return vpi_fail_nomem(err);
    for (size_t i = 0; i < out->count; i++) sorted[i] = &out->keys[i];
    qsort(sorted, out->count, sizeof(*sorted), compare_places);
    for (size_t i = 1; i < out->count && st == VP_OK; i++) {
        const vpi_key *a = sorted[i - 1], *b = sorted[i];

        if (compare_places(&a, &b) != 0 || memcmp(a->info.kid, b->info.kid, sizeof(a->info.kid)) == 0)
            continue;
        st = vpi_key_invalid(err, "ContentKeyUsageRuleList: two keys for label %s, period %u", a->label,
                             a->period);
    }
    vpi_free(sorted);
    return st;
}

/* ---- the list ---- */

static vp_status read_rule(const vpi_xml_node *n, const char *where, vpi_key *const *by_kid, size_t key_count,
                           rule *to, vp_error *err)
{
    const char *type = vpi_xml_attribute(n, "intendedTrackType");
    filters f = { .type = type ? type_bits(type) : 0, .typed = type != NULL };
    uint8_t kid[16];

    VPI_TRY(vpi_cpix_uuid(n, where, "kid", kid, err));
    to->node = n;
    to->key = vpi_cpix_find(by_kid, key_count, kid);
    if (!to->key) return vpi_key_invalid(err, "%s: there is no ContentKey of its kid", where);
    VPI_TRY(read_filters(n, where, &f, err));
    return combine(&f, where, &to->labels, err);
}

static vp_status read_rules(const vpi_xml_node *list, vpi_key *const *by_kid, size_t key_count, rules *r,
                            vp_error *err)
{
    char where[VPI_CPIX_WHERE];

    for (const vpi_xml_node *n = list ? list->first : NULL; n; n = n->next) {
        if (strcmp(n->name, "ContentKeyUsageRule") != 0) continue;
        if (!VPI_GROW(r->list, r->count, r->cap)) return vpi_fail_nomem(err);
        snprintf(where, sizeof(where), "ContentKeyUsageRule[%zu]", r->count);
        VPI_TRY(read_rule(n, where, by_kid, key_count, &r->list[r->count], err));
        r->count++;
    }
    return VP_OK;
}

/* Where uhd is parted, its lower half is what titles have. */
static vp_status give_all(rules *r, vp_error *err)
{
    bool lower = false;

    for (size_t i = 0; i < r->count; i++) lower = lower || (r->list[i].labels & UHD1);
    for (size_t i = 0; i < r->count; i++) {
        unsigned labels = r->list[i].labels;

        if (lower && !(labels & UHD1)) labels &= ~(unsigned)UHD2;
        if (labels) VPI_TRY(give_periods(r, &r->list[i], labels, err));
    }
    return check_places(r->out, err);
}

vp_status vpi_cpix_rules(const vpi_xml_node *root, const vpi_key_list *keys, vpi_key *const *by_kid,
                         vpi_key_list *out, vp_error *err)
{
    rules r = { .out = out };
    vp_status st;

    VPI_GO(read_periods(root, &r, err));
    VPI_GO(read_rules(vpi_xml_child(root, "ContentKeyUsageRuleList"), by_kid, keys->count, &r, err));
    if (r.count > 0) {
        VPI_GO(give_all(&r, err));
    } else if (keys->count == 1) {
        /* One key and no rule: it is for everything. */
        st = give(&r, &keys->keys[0], "*", 0, err);
    } else {
        st = vpi_key_invalid(err, "ContentKeyUsageRuleList: missing, and there are %zu keys", keys->count);
    }
done:
    vpi_free(r.periods);
    vpi_free(r.list);
    return st;
}
