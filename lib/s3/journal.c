/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Uploads in parts, written down in a work store: `s3/HASH/upload` is the token as it was at the begin, `s3/HASH/00001`
 * and so on lines of the parts that came in later; `s3/HASH/begin` is there before, and goes when the token is in;
 * `s3/HASH/end` is written before Complete. HASH is of bucket and key. Values are put once: of a part that is in
 * several of them the last one counts.
 */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/hash.h"
#include "upload.h"

#define ROOT "s3/"
#define BEGIN "begin-1"
#define END "end-1"
#define TOKEN_MAX (UINT64_C(1) << 20)
#define VALUES_MAX 99999u

void vpi_s3_journal_name(const char *bucket, const char *key, char name[VPI_S3_JOURNAL])
{
    vpi_sha256 s;
    char hex[65];

    vpi_sha256_init(&s);
    vpi_sha256_add_str(&s, bucket);
    vpi_sha256_add_str(&s, key);
    vpi_sha256_hex(&s, hex);
    snprintf(name, VPI_S3_JOURNAL, ROOT "%.32s", hex);
}

static void entry(char *to, size_t capacity, const char *name, const char *what)
{
    snprintf(to, capacity, "%s/%s", name, what);
}

vp_status vpi_s3_journal_begin(vp_store *store, vp_s3_upload *u, vp_error *err)
{
    char name[VPI_S3_JOURNAL], path[VPI_S3_JOURNAL + 16];
    vpi_buf token = { 0 };
    vp_status st;

    vpi_s3_journal_name(u->bucket, u->key, name);
    entry(path, sizeof(path), name, "upload");
    st = vpi_s3_token_write(u, &token, err);
    if (st >= 0) st = vp_store_put(store, path, token.data, token.size, err);
    vpi_buf_dispose(&token);
    if (st == VP_END)
        return vpi_fail(err, VP_E_CONFLICT, "ALREADY_RUNNING", "another process sends this object");
    VPI_TRY(st);
    entry(path, sizeof(path), name, "begin");
    return vp_store_remove(store, path, err);
}

vp_status vpi_s3_journal_intend(vp_store *store, const char *bucket, const char *key, vp_error *err)
{
    char name[VPI_S3_JOURNAL], path[VPI_S3_JOURNAL + 16], *text;
    vp_status st;

    VPI_TRY(vpi_s3_journal_clear(store, bucket, key, err));
    vpi_s3_journal_name(bucket, key, name);
    entry(path, sizeof(path), name, "begin");
    text = vpi_asprintf("%s %lld %s %s", BEGIN, (long long)vpi_s3_time_us(), bucket, key);
    if (!text) return vpi_fail_nomem(err);
    st = vp_store_put(store, path, text, strlen(text), err);
    vpi_free(text);
    return st == VP_END ? VP_OK : st;
}

/* "NUMBER [...]": a line for each part that is in and not in the journal. */
static void take_news(vp_s3_upload *u, vpi_buf *lines)
{
    pthread_mutex_lock(&u->lock);
    for (size_t i = 0; i < u->synced.count; i++) {
        vpi_s3_part *p = &u->synced.parts[i];

        if (!p->in || p->noted) continue;
        p->noted = true;
        vpi_buf_printf(lines, "%zu ", i + 1);
        vpi_s3_part_text(lines, p);
        vpi_buf_u8(lines, '\n');
    }
    pthread_mutex_unlock(&u->lock);
}

/* All of them in one value, as each is written to the disk for good: on many disks that takes longer than a part. */
vp_status vpi_s3_journal_parts(vp_store *store, vp_s3_upload *u, vp_error *err)
{
    char name[VPI_S3_JOURNAL], path[VPI_S3_JOURNAL + 16], what[16];
    vpi_buf lines = { 0 };
    vp_status st = VP_OK;

    take_news(u, &lines);
    if (vpi_buf_failed(&lines)) st = vpi_fail_nomem(err);
    vpi_s3_journal_name(u->bucket, u->key, name);
    while (st >= 0 && lines.size &&
           u->values < VALUES_MAX) { /* others are of a process that runs beside, or did */
        u->values++;
        snprintf(what, sizeof(what), "%05u", (unsigned)u->values);
        entry(path, sizeof(path), name, what);
        st = vp_store_put(store, path, lines.data, lines.size, err);
        if (st == VP_OK) break;
    }
    vpi_buf_dispose(&lines);
    return st < 0 ? st : VP_OK;
}

/* "end-1 PARTS", then for each "SIZE CRC32C CRC64". */
vp_status vpi_s3_journal_end(vp_store *store, vp_s3_upload *u, vp_error *err)
{
    char name[VPI_S3_JOURNAL], path[VPI_S3_JOURNAL + 16];
    vpi_buf text = { 0 };
    vp_status st;

    vpi_s3_journal_name(u->bucket, u->key, name);
    entry(path, sizeof(path), name, "end");
    pthread_mutex_lock(&u->lock);
    vpi_buf_printf(&text, END " %zu\n", u->synced.count);
    for (size_t i = 0; i < u->synced.count; i++) {
        const vpi_s3_part *p = &u->synced.parts[i];

        vpi_buf_printf(&text, "%" PRIu64 " %08x %016" PRIx64 "\n", p->size, (unsigned)p->crc32c, p->crc64);
    }
    pthread_mutex_unlock(&u->lock);
    VPI_GO(vpi_buf_failed(&text) ? vpi_fail_nomem(err) : VP_OK);
    VPI_GO(vp_store_remove(store, path, err)); /* of a process before, which may have had other bytes */
    st = vp_store_put(store, path, text.data, text.size, err);
done:
    vpi_buf_dispose(&text);
    return st < 0 ? st : VP_OK;
}

typedef struct names {
    char **list;
    size_t count, cap;
} names;

static vp_status on_name(void *user, const vp_object_info *info)
{
    names *n = user;

    if (!VPI_GROW(n->list, n->count, n->cap)) return VP_E_NOMEM;
    n->list[n->count] = vpi_strdup(info->key);
    return n->list[n->count++] ? VP_OK : VP_E_NOMEM;
}

static void free_names(names *n)
{
    for (size_t i = 0; i < n->count; i++) vpi_free(n->list[i]);
    vpi_free(n->list);
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* A line that is none is left out: then the part is sent again. */
static vp_status add_lines(vp_s3_upload *u, const char *text, size_t size, vp_error *err)
{
    for (const char *end = text + size, *next; text < end; text = next) {
        const char *stop = memchr(text, '\n', (size_t)(end - text)), *space;
        vpi_s3_part part = { 0 };
        unsigned long number;

        if (!stop) break;
        next = stop + 1;
        space = memchr(text, ' ', (size_t)(stop - text));
        if (!space || space - text > 5 || strspn(text, "0123456789") != (size_t)(space - text)) continue;
        number = strtoul(text, NULL, 10);
        if (number < 1 || number > VPI_S3_PARTS_MAX ||
            !vpi_s3_part_parse(space + 1, (size_t)(stop - space - 1), &part))
            continue;
        part.noted = true;
        VPI_TRY(vpi_s3_part_note_whole(u, (uint32_t)number, &part, err));
    }
    return VP_OK;
}

/* The token goes first: parts without one are nothing. */
static vp_status clear_name(vp_store *store, const char *name, vp_error *err)
{
    char path[VPI_S3_JOURNAL + 16];
    names found = { 0 };
    vp_status st;

    entry(path, sizeof(path), name, "upload");
    VPI_TRY(vp_store_remove(store, path, err));
    entry(path, sizeof(path), name, "");
    VPI_GO(vp_store_list(store, path, on_name, &found, err));
    for (size_t i = 0; i < found.count; i++) VPI_GO(vp_store_remove(store, found.list[i], err));
done:
    free_names(&found);
    return st;
}

vp_status vpi_s3_journal_clear(vp_store *store, const char *bucket, const char *key, vp_error *err)
{
    char name[VPI_S3_JOURNAL];

    vpi_s3_journal_name(bucket, key, name);
    return clear_name(store, name, err);
}

/* ---- going on ---- */

static vp_status read_value(vp_store *store, const char *path, vp_bytes **out, vp_error *err)
{
    return vp_store_get(store, path, TOKEN_MAX, out, err);
}

static vp_status add_parts(vp_store *store, const char *name, vp_s3_upload *u, vp_error *err)
{
    char path[VPI_S3_JOURNAL + 16];
    names found = { 0 };
    vp_bytes *bytes = NULL;
    vp_status st;

    entry(path, sizeof(path), name, "");
    VPI_GO(vp_store_list(store, path, on_name, &found, err));
    if (found.count) qsort(found.list, found.count, sizeof(*found.list), by_text);
    for (size_t i = 0; i < found.count; i++) {
        const char *what = found.list[i] + strlen(path);

        if (strlen(what) != 5 || strspn(what, "0123456789") != 5) continue;
        u->values = (uint32_t)strtoul(what, NULL, 10);
        VPI_GO(read_value(store, found.list[i], &bytes, err));
        if (st == VP_OK) VPI_GO(add_lines(u, vp_bytes_data(bytes), (size_t)vp_bytes_size(bytes), err));
        bytes = vp_bytes_unref(bytes);
    }
    st = VP_OK;
done:
    vp_bytes_unref(bytes);
    free_names(&found);
    return st;
}

/* "begin-1 TIME BUCKET KEY": no bucket has a space in its name, and a key may have any. */
static bool parse_intent(char *text, int64_t *began_us, const char **bucket, const char **key)
{
    char *at = text + sizeof(BEGIN) - 1, *space;

    if (strncmp(text, BEGIN " ", sizeof(BEGIN)) != 0) return false;
    *began_us = strtoll(at + 1, &at, 10);
    space = *at == ' ' ? strchr(at + 1, ' ') : NULL;
    if (!space || *began_us <= 0 || *began_us > INT64_MAX / 2) return false;
    *space = 0;
    *bucket = at + 1;
    *key = space + 1;
    return vpi_s3_bucket_check(*bucket, *key, NULL) >= 0;
}

/*
 * The word that an upload was about to begin: its process was killed before it could write down which. Those that the
 * server began for it in that time are ended, but one.
 */
static vp_status end_intended(vp_s3 *s3, vp_store *store, const char *name, const char *but,
                              vp_cancel *cancel, vp_error *err)
{
    char path[VPI_S3_JOURNAL + 16];
    const char *bucket, *key;
    vp_bytes *bytes = NULL;
    char *text = NULL;
    int64_t began;
    vp_status st;

    entry(path, sizeof(path), name, "begin");
    VPI_GO(read_value(store, path, &bytes, err));
    if (st != VP_OK) {
        st = VP_OK;
        goto done;
    }
    text = vpi_strndup(vp_bytes_data(bytes), (size_t)vp_bytes_size(bytes));
    if (!text) {
        st = vpi_fail_nomem(err);
        goto done;
    }
    if (parse_intent(text, &began, &bucket, &key))
        vpi_s3_sweep_lost(s3, bucket, key, but, began, began + (int64_t)s3->o.deadline_ms * 1000, cancel);
    VPI_GO(vpi_cancel_check(cancel, err));
    st = vp_store_remove(store, path, err);
done:
    vpi_free(text);
    vp_bytes_unref(bytes);
    return st;
}

static vp_status load(vp_s3 *s3, vp_store *store, const char *name, vp_s3_upload **out, vp_error *err)
{
    char path[VPI_S3_JOURNAL + 16];
    vp_bytes *bytes = NULL;
    vp_status st;

    *out = NULL;
    entry(path, sizeof(path), name, "upload");
    VPI_TRY(st = read_value(store, path, &bytes, err));
    if (st != VP_OK) return VP_END;
    st = vpi_s3_token_read(s3, vp_bytes_data(bytes), (size_t)vp_bytes_size(bytes), out, NULL);
    vp_bytes_unref(bytes);
    if (st == VP_E_NOMEM) return vpi_fail_nomem(err);
    if (st < 0) return VP_END; /* not of this version: a new upload is begun */
    st = add_parts(store, name, *out, err);
    if (st < 0) *out = vp_s3_upload_unref(*out);
    return st;
}

/* The parts of the object that an upload was about to become; VP_END: these are none. */
static vp_status parse_end(vp_s3_upload *u, char *text, uint64_t *size, vp_error *err)
{
    char *at = text + sizeof(END) - 1;
    unsigned long count;

    *size = 0;
    if (strncmp(text, END " ", sizeof(END)) != 0) return VP_END;
    count = strtoul(at, &at, 10);
    if (count < 1 || count > VPI_S3_PARTS_MAX) return VP_END;
    for (uint32_t n = 1; n <= count; n++) {
        vpi_s3_part part = { .in = true, .noted = true };

        if (*at != '\n') return VP_END;
        part.size = strtoull(at + 1, &at, 10);
        part.crc32c = (uint32_t)strtoul(at, &at, 16);
        part.crc64 = strtoull(at, &at, 16);
        if (!part.size || part.size > VPI_S3_PART_MAX) return VP_END;
        *size += part.size;
        VPI_TRY(vpi_s3_part_note_whole(u, n, &part, err));
    }
    u->synced.count = count;
    return VP_OK;
}

/*
 * The upload is gone: it may have become the object already, without anybody who heard of it. VP_END: it has not, or
 * that cannot be told.
 */
static vp_status completed(vp_store *store, const char *name, vp_s3_upload *u, vp_cancel *cancel,
                           vp_error *err)
{
    char path[VPI_S3_JOURNAL + 16], *text = NULL;
    vp_s3_info info = VP_S3_INFO_INIT;
    vp_bytes *bytes = NULL;
    uint64_t size;
    vp_status st;

    entry(path, sizeof(path), name, "end");
    VPI_GO(read_value(store, path, &bytes, err));
    if (st != VP_OK) goto done;
    text = vpi_strndup(vp_bytes_data(bytes), (size_t)vp_bytes_size(bytes));
    VPI_GO(text ? VP_OK : vpi_fail_nomem(err));
    VPI_GO(parse_end(u, text, &size, err));
    if (st != VP_OK) goto done;
    st = vp_s3_head(u->s3, u->bucket, u->key, cancel, &info, NULL);
    if (st < 0) VPI_GO(vpi_cancel_check(cancel, err)); /* who may write need not be one who may read */
    u->synced.complete = st == VP_OK && strcmp(info.upload, u->marker) == 0 && info.size == size;
    st = u->synced.complete ? VP_OK : VP_END;
done:
    vpi_free(text);
    vp_bytes_unref(bytes);
    return st;
}

vp_status vpi_s3_journal_load(vp_s3 *s3, vp_store *store, const char *bucket, const char *key, uint64_t size,
                              vp_cancel *cancel, vp_s3_upload **out, vp_error *err)
{
    char name[VPI_S3_JOURNAL];
    vp_s3_upload *u;
    vp_status st;

    *out = NULL;
    vpi_s3_journal_name(bucket, key, name);
    VPI_TRY(st = load(s3, store, name, &u, err));
    if (st != VP_OK) {
        VPI_TRY(end_intended(s3, store, name, NULL, cancel, err));
        return VP_END;
    }
    st = end_intended(s3, store, name, u->id, cancel, err);
    if (st < 0) {
        vp_s3_upload_unref(u);
        return st;
    }
    if (u->size != size || u->part_size != vpi_s3_part_size(s3, size) || strcmp(u->bucket, bucket) != 0 ||
        strcmp(u->key, key) != 0) {
        /* another size: another content; its parts are of no use */
        vp_s3_upload_abort(u, cancel, NULL);
        st = VP_END;
    } else {
        st = vpi_s3_upload_check(u, cancel, err);
        if (st == VP_END) st = completed(store, name, u, cancel, err);
    }
    if (st == VP_OK)
        *out = u;
    else
        vp_s3_upload_unref(u);
    if (st == VP_END) VPI_TRY(clear_name(store, name, err));
    return st;
}

/* Names of uploads that the store knows. */
static vp_status list_uploads(vp_store *store, names *out, vp_error *err)
{
    names found = { 0 };
    vp_status st;

    VPI_GO(vp_store_list(store, ROOT, on_name, &found, err));
    for (size_t i = 0; i < found.count; i++) {
        char *end = strrchr(found.list[i], '/');

        if (!end || (strcmp(end, "/upload") != 0 && strcmp(end, "/begin") != 0) ||
            (size_t)(end - found.list[i]) >= VPI_S3_JOURNAL)
            continue;
        *end = 0;
        if (!VPI_GROW(out->list, out->count, out->cap) ||
            !(out->list[out->count] = vpi_strdup(found.list[i]))) {
            st = vpi_fail_nomem(err);
            goto done;
        }
        out->count++;
    }
done:
    free_names(&found);
    return st;
}

vp_status vp_s3_abandon(vp_s3 *s3, vp_store *work, vp_cancel *cancel, uint64_t *count, vp_error *err)
{
    names uploads = { 0 };
    vp_status st;

    vpi_error_reset(err);
    if (count) *count = 0;
    if (!s3 || !work) return vpi_fail(err, VP_E_ARG, NULL, "an argument is NULL");
    VPI_TRY(vpi_s3_ready(s3, cancel, err));
    VPI_GO(list_uploads(work, &uploads, err));
    for (size_t i = 0; i < uploads.count; i++) {
        vp_s3_upload *u = NULL;

        VPI_GO(load(s3, work, uploads.list[i], &u, err));
        if (count && st == VP_OK) ++*count;
        if (st == VP_OK) st = vp_s3_upload_abort(u, cancel, err);
        if (st >= 0) st = end_intended(s3, work, uploads.list[i], NULL, cancel, err);
        vp_s3_upload_unref(u);
        if (st < 0) goto done;
        VPI_GO(clear_name(work, uploads.list[i], err));
    }
    st = VP_OK;
done:
    free_names(&uploads);
    vpi_error_op(err, "s3.abandon");
    return st;
}
