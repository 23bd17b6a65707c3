/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <jansson.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>

#include "model/json.h"
#include "verify/verify_int.h"

#define KEPT_MAX 1000u
#define TEXT_MAX 512

typedef struct finding {
    const char *rule; /* static */
    char *where, *text;
} finding;

typedef struct findings {
    finding *items;
    size_t count, cap;
} findings;

struct vp_report {
    _Atomic uint32_t refs;
    uint64_t checks;
    findings failed, warnings;
    bool no_memory;
};

vp_report *vpi_verify_report_new(void)
{
    vp_report *r = vpi_calloc(1, sizeof(*r));

    if (r) atomic_init(&r->refs, 1);
    return r;
}

vp_report *vp_report_ref(vp_report *report)
{
    if (report) atomic_fetch_add_explicit(&report->refs, 1, memory_order_relaxed);
    return report;
}

static void dispose(findings *f)
{
    for (size_t i = 0; i < f->count; i++) {
        vpi_free(f->items[i].where);
        vpi_free(f->items[i].text);
    }
    vpi_free(f->items);
}

vp_report *vp_report_unref(vp_report *report)
{
    if (report && atomic_fetch_sub_explicit(&report->refs, 1, memory_order_acq_rel) == 1) {
        dispose(&report->failed);
        dispose(&report->warnings);
        vpi_free(report);
    }
    return NULL;
}

static void keep(vp_report *r, findings *f, const char *rule, const char *where, const char *format,
                 va_list args)
{
    char text[TEXT_MAX], cut[TEXT_MAX];
    finding *n;

    if (f->count >= KEPT_MAX) return;
    if (!VPI_GROW(f->items, f->count, f->cap)) {
        r->no_memory = true;
        return;
    }
    vsnprintf(text, sizeof(text), format, args);
    vpi_strlcpy(cut, text, sizeof(cut));
    n = &f->items[f->count];
    n->rule = rule;
    n->where = vpi_strdup(where);
    n->text = vpi_strdup(cut);
    if ((where && !n->where) || !n->text) {
        vpi_free(n->where);
        vpi_free(n->text);
        r->no_memory = true;
        return;
    }
    f->count++;
}

bool vpi_check(vpi_verifier *v, bool good, const char *rule, const char *where, const char *format, ...)
{
    va_list args;

    v->report->checks++;
    if (good) return true;
    va_start(args, format);
    keep(v->report, &v->report->failed, rule, where, format, args);
    va_end(args);
    return false;
}

void vpi_warn(vpi_verifier *v, const char *rule, const char *where, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    keep(v->report, &v->report->warnings, rule, where, format, args);
    va_end(args);
}

vp_status vpi_verify_report_status(const vp_report *report, vp_error *err)
{
    return report->no_memory ? vpi_fail_nomem(err) : VP_OK;
}

vp_status vpi_caught(vpi_verifier *v, vp_status status, const vp_error *cause, const char *rule,
                     const char *where, vp_error *err)
{
    if (status >= 0) return VP_OK;
    if (status == VP_E_DATA || (status == VP_E_LIMIT && strcmp(cause->reason, "INPUT_LIMIT") == 0)) {
        vpi_check(v, false, rule, where, "%s", cause->message);
        return VP_OK;
    }
    vpi_error_copy(err, cause);
    vpi_error_key(err, where);
    return status;
}

uint64_t vp_report_checks(const vp_report *report)
{
    return report ? report->checks : 0;
}

uint32_t vp_report_failed(const vp_report *report)
{
    return report ? (uint32_t)report->failed.count : 0;
}

uint32_t vp_report_warnings(const vp_report *report)
{
    return report ? (uint32_t)report->warnings.count : 0;
}

static const char *get(const findings *f, uint32_t index, const char **where, const char **text)
{
    bool there = f && index < f->count;

    if (where) *where = there ? f->items[index].where : NULL;
    if (text) *text = there ? f->items[index].text : NULL;
    return there ? f->items[index].rule : NULL;
}

const char *vp_report_failure(const vp_report *report, uint32_t index, const char **where, const char **text)
{
    return get(report ? &report->failed : NULL, index, where, text);
}

const char *vp_report_warning(const vp_report *report, uint32_t index, const char **where, const char **text)
{
    return get(report ? &report->warnings : NULL, index, where, text);
}

/* ---- JSON (docs: verify --json) ---- */

/* Texts quote what was read, which need not be UTF-8. */
static int set_text(json_t *o, const char *name, const char *text)
{
    size_t i, n = strlen(text);
    char *copy;
    json_t *s = json_string(text);
    int bad;

    if (!s) {
        copy = vpi_strdup(text);
        for (i = 0; copy && i < n; i++) {
            if ((uint8_t)copy[i] >= 0x80) copy[i] = '?';
        }
        s = copy ? json_string(copy) : NULL;
        vpi_free(copy);
    }
    bad = s ? json_object_set_new(o, name, s) : -1;
    return bad;
}

static int add_findings(json_t *root, const char *name, const findings *f)
{
    json_t *list = json_array();

    if (json_object_set_new(root, name, list) != 0) return -1;
    for (size_t i = 0; i < f->count; i++) {
        json_t *o = json_object();

        if (json_array_append_new(list, o) != 0) return -1;
        if (set_text(o, "rule", f->items[i].rule) != 0) return -1;
        if (f->items[i].where && set_text(o, "where", f->items[i].where) != 0) return -1;
        if (set_text(o, "text", f->items[i].text) != 0) return -1;
    }
    return 0;
}

vp_status vp_report_json(const vp_report *report, vp_bytes **out, vp_error *err)
{
    vpi_buf text = { 0 };
    vp_status st = VP_E_NOMEM;
    json_t *root;

    vpi_error_reset(err);
    if (!report || !out) return vpi_fail(err, VP_E_ARG, NULL, "report or out is NULL");
    *out = NULL;
    root = json_object();
    if (root && json_object_set_new(root, "vodpipe", json_integer(1)) == 0 &&
        json_object_set_new(root, "checks", json_integer((json_int_t)report->checks)) == 0 &&
        add_findings(root, "failed", &report->failed) == 0 &&
        add_findings(root, "warnings", &report->warnings) == 0) {
        st = vpi_json_dump(root, &text, err);
    }
    if (st == VP_OK) st = vpi_bytes_from_buf(&text, out, err);
    if (st == VP_E_NOMEM) vpi_fail_nomem(err);
    vpi_buf_dispose(&text);
    json_decref(root);
    return st;
}
