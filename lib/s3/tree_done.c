/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Which files of a tree are in, as lines "size mtime ctime path" of values `s3/HASH/done-00001` and so on. A value is
 * written every half second, so what a killed process has to send again is what half a second sends, of small files.
 * With "?MARKER " before it: a large one that may be in, by its parts, which the object's own marker tells. At the end
 * they go one by one; `done-all`, a digest of all files, stands for them meanwhile.
 */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/hash.h"
#include "tree.h"

#define ALL "done-all"
#define WRITE_US 500000
#define WRITE_BYTES ((size_t)256 << 10)
#define VALUE_MAX (UINT64_C(8) << 20)

static vp_status write_down(vpi_tree_done *d, vp_store *work, vp_error *err)
{
    char name[VPI_S3_JOURNAL + 16];
    vp_status st;

    if (!d->lines.size) return VP_OK;
    if (vpi_buf_failed(&d->lines)) return vpi_fail_nomem(err);
    do { /* numbers of a process that runs beside, or did */
        snprintf(name, sizeof(name), "%s/done-%05u", d->name, (unsigned)++d->number);
        st = vp_store_put(work, name, d->lines.data, d->lines.size, err);
    } while (st == VP_END && d->number < 99999);
    vpi_buf_clear(&d->lines);
    d->written_us = vpi_now_us();
    return st == VP_END ? vpi_fail(err, VP_E_LIMIT, NULL, "the journal is full") : st;
}

static void add_line(vpi_tree_done *d, const vpi_tree_file *f)
{
    vpi_buf_printf(&d->lines, "%" PRIu64 " %" PRId64 " %" PRId64 " %s\n", f->size, f->mtime_ns, f->ctime_ns,
                   f->path);
}

vp_status vpi_tree_done_ends(vpi_tree_done *d, vp_store *work, const vpi_tree_file *f, const char *marker,
                             vp_error *err)
{
    if (strchr(f->path, '\n')) return VP_OK;
    vpi_buf_printf(&d->lines, "?%s ", marker);
    add_line(d, f);
    return write_down(d, work, err);
}

vp_status vpi_tree_done_add(vpi_tree_done *d, vp_store *work, const vpi_tree_file *f, bool now, vp_error *err)
{
    if (!d->written_us) d->written_us = vpi_now_us();
    /* a line break in a name would be another line: such files are sent again */
    if (f && !strchr(f->path, '\n')) add_line(d, f);
    if (!now && d->lines.size < WRITE_BYTES && vpi_now_us() - d->written_us < WRITE_US) return VP_OK;
    return write_down(d, work, err);
}

/* ---- an earlier try ---- */

typedef struct loading {
    char (*names)[VPI_S3_JOURNAL + 16];
    size_t count, cap;
} loading;

static vp_status on_value(void *user, const vp_object_info *info)
{
    loading *l = user;

    if (!strstr(info->key, "/done-") || strlen(info->key) >= sizeof(l->names[0])) return VP_OK;
    if (!VPI_GROW(l->names, l->count, l->cap)) return VP_E_NOMEM;
    vpi_strlcpy(l->names[l->count++], info->key, sizeof(l->names[0]));
    return VP_OK;
}

static void take_line(vpi_tree_done *d, vpi_tree *tree, char *line)
{
    char *marker = *line == '?' ? line + 1 : NULL, *end;
    uint64_t size;
    int64_t mtime, ctime;
    vpi_tree_file *f;

    if (marker) {
        if (strspn(marker, "0123456789abcdef") != VPI_S3_MARKER - 1 || marker[VPI_S3_MARKER - 1] != ' ')
            return;
        marker[VPI_S3_MARKER - 1] = 0;
        line = marker + VPI_S3_MARKER;
    }
    size = strtoull(line, &end, 10);
    mtime = strtoll(end, &end, 10);
    ctime = strtoll(end, &end, 10);
    f = *end == ' ' ? vpi_tree_find(tree, end + 1) : NULL;
    if (!f || f->size != size || f->mtime_ns != mtime || f->ctime_ns != ctime || f->known) return;
    if (marker) {
        if (!f->marker[0]) d->markers++;
        vpi_strlcpy(f->marker, marker, sizeof(f->marker)); /* the last one counts */
        return;
    }
    f->known = true;
    d->matches++;
}

static vp_status take_value(vpi_tree_done *d, vp_store *work, const char *name, vpi_tree *tree, vp_error *err)
{
    vp_bytes *bytes = NULL;
    char *text, *line;
    vp_status st;

    VPI_TRY(st = vp_store_get(work, name, VALUE_MAX, &bytes, err));
    if (st != VP_OK) return VP_OK;
    text = vpi_strndup(vp_bytes_data(bytes), (size_t)vp_bytes_size(bytes));
    vp_bytes_unref(bytes);
    if (!text) return vpi_fail_nomem(err);
    for (line = text; *line;) {
        char *end = strchr(line, '\n');

        if (!end) break; /* a value is whole or not there, so this is none of ours */
        *end = 0;
        take_line(d, tree, line);
        line = end + 1;
    }
    vpi_free(text);
    return VP_OK;
}

static vp_status list_values(const vpi_tree_done *d, vp_store *work, loading *l, vp_error *err)
{
    char prefix[VPI_S3_JOURNAL + 16];

    snprintf(prefix, sizeof(prefix), "%s/done-", d->name);
    return vp_store_list(work, prefix, on_value, l, err);
}

static void digest_of(const vpi_tree *tree, char hex[65])
{
    vpi_sha256 s;

    vpi_sha256_init(&s);
    for (size_t i = 0; i < tree->count; i++) {
        const vpi_tree_file *f = &tree->files[i];
        char numbers[80];

        snprintf(numbers, sizeof(numbers), "%" PRIu64 " %" PRId64 " %" PRId64, f->size, f->mtime_ns,
                 f->ctime_ns);
        vpi_sha256_add_str(&s, numbers);
        vpi_sha256_add_str(&s, f->path);
    }
    vpi_sha256_hex(&s, hex);
}

static void name_all(const vpi_tree_done *d, char name[VPI_S3_JOURNAL + 16])
{
    snprintf(name, VPI_S3_JOURNAL + 16, "%s/" ALL, d->name);
}

/* All was in, and a process was killed while it took its words of that away. */
static vp_status take_all(vpi_tree_done *d, vp_store *work, vpi_tree *tree, vp_error *err)
{
    char name[VPI_S3_JOURNAL + 16], hex[65];
    vp_bytes *bytes = NULL;
    vp_status st;
    bool same;

    name_all(d, name);
    VPI_TRY(st = vp_store_get(work, name, sizeof(hex), &bytes, err));
    if (st != VP_OK) return VP_OK;
    digest_of(tree, hex);
    same = vp_bytes_size(bytes) == 64 && memcmp(vp_bytes_data(bytes), hex, 64) == 0;
    vp_bytes_unref(bytes);
    if (!same) return vp_store_remove(work, name, err);
    for (size_t i = 0; i < tree->count; i++) tree->files[i].known = true;
    d->matches = tree->count;
    return VP_OK;
}

vp_status vpi_tree_done_load(vpi_tree_done *d, vp_store *work, const char *bucket, const char *prefix,
                             vpi_tree *tree, vp_error *err)
{
    loading l = { 0 };
    vp_status st;

    vpi_s3_journal_name(bucket, prefix, d->name);
    VPI_GO(take_all(d, work, tree, err));
    VPI_GO(list_values(d, work, &l, err));
    for (size_t i = 0; i < l.count; i++) VPI_GO(take_value(d, work, l.names[i], tree, err));
    d->number = (uint32_t)l.count;
done:
    vpi_free(l.names);
    return st;
}

vp_status vpi_tree_done_end(vpi_tree_done *d, vp_store *work, const vpi_tree *tree, vp_error *err)
{
    char all[VPI_S3_JOURNAL + 16], hex[65];
    loading l = { 0 };
    vp_status st;

    vpi_buf_clear(&d->lines);
    name_all(d, all);
    VPI_GO(list_values(d, work, &l, err));
    if (l.count > 1) {
        digest_of(tree, hex);
        VPI_GO(vp_store_put(work, all, hex, 64, err));
    }
    for (size_t i = 0; i < l.count; i++)
        if (strcmp(l.names[i], all) != 0) VPI_GO(vp_store_remove(work, l.names[i], err));
    if (l.count > 1 || (l.count && strcmp(l.names[0], all) == 0)) st = vp_store_remove(work, all, err);
done:
    vpi_free(l.names);
    return st;
}

void vpi_tree_done_dispose(vpi_tree_done *d)
{
    vpi_buf_dispose(&d->lines);
}
