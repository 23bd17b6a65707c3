/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VPI_INGEST_TUS_TEXT_H
#define VPI_INGEST_TUS_TEXT_H

/*
 * The words of requests, read without any state: header lines, numbers, metadata, lists of parts, checksums, ranges,
 * structured fields (RFC 9651). Functions that answer an int give 0 or the HTTP status of the refusal, or
 * VPI_TUS_NOMEM. Everything read here comes from strangers.
 */

#include "base/base64.h"
#include "base/buf.h"

#define VPI_TUS_NOMEM (-1)
#define VPI_TUS_HEADER_BYTES ((size_t)64 << 10) /* of all header lines of a request: 431 */
#define VPI_TUS_HEADER_LINES 128u               /* 431 */
#define VPI_TUS_PAIRS_MAX 256u                  /* pairs of Upload-Metadata: 400 */

/* ---- header lines ---- */

typedef struct vpi_tus_field {
    const char *name, *value; /* in text; no blanks at either end of the value */
} vpi_tus_field;

typedef struct vpi_tus_fields {
    vpi_tus_field *field; /* one allocation, the text behind the array */
    size_t count;
} vpi_tus_fields;

/* lines NULL: none. Leaves an empty one on refusal. */
int vpi_tus_fields_read(vpi_tus_fields *f, const char *lines);
void vpi_tus_fields_dispose(vpi_tus_fields *f);
/* The first of that name in any case, or NULL. */
const char *vpi_tus_field_get(const vpi_tus_fields *f, const char *name);
/* One of the headers that decide what a request is came twice with two values. */
bool vpi_tus_fields_conflict(const vpi_tus_fields *f);
/* name is among the comma-separated tokens of a value, in any case. value NULL: no. */
bool vpi_tus_listed(const char *value, const char *name);
bool vpi_tus_same(const char *a, const char *b); /* without regard to case, ASCII */
/* A value may stand in a header of an answer: no control bytes. */
bool vpi_tus_printable(const char *value);

/* ---- values ---- */

/* Digits only, at most INT64_MAX. */
bool vpi_tus_number(const char *text, uint64_t *out);
/* The media type before parameters, in any case. value NULL: no. */
bool vpi_tus_type_is(const char *value, const char *type);
/* An upload's id: unreserved bytes may come percent-encoded. False: not one. */
bool vpi_tus_id(const char *text, size_t size, char id[68]);
/*
 * What follows base_path in a target (or base_url in a url), up to its query: *rest and its size. "/files" is the same
 * as "/files/". False: elsewhere. Where base_url is NULL or a path, any authority will do, the path decides.
 */
bool vpi_tus_below(const char *target, size_t target_size, const char *base_path, const char *base_url,
                   const char **rest, size_t *size);

typedef struct vpi_tus_pair {
    const char *name;
    const uint8_t *value; /* a NUL after it */
    size_t size;
} vpi_tus_pair;

typedef struct vpi_tus_metadata {
    vpi_tus_pair *pair; /* one allocation */
    uint32_t count;
} vpi_tus_metadata;

/* Upload-Metadata; NULL or "": none. */
int vpi_tus_metadata_read(vpi_tus_metadata *m, const char *text);
void vpi_tus_metadata_dispose(vpi_tus_metadata *m);
/* "name base64,name": as it is kept and given back. */
void vpi_tus_metadata_write(const vpi_tus_metadata *m, vpi_buf *to);
const vpi_tus_pair *vpi_tus_metadata_get(const vpi_tus_metadata *m, const char *name); /* or NULL */

/*
 * Upload-Concat: *parts NULL for "partial", else the ids between single spaces, to be freed. Urls that do not lead to
 * an upload of ours are 400.
 */
int vpi_tus_concat_read(const char *value, const char *base_path, const char *base_url, char **parts);

typedef struct vpi_tus_sum {
    const char *algorithm; /* static; NULL: none */
    uint8_t digest[32];
    size_t size;
} vpi_tus_sum;

#define VPI_TUS_ALGORITHMS "sha1,sha256,md5,crc32c"
int vpi_tus_sum_read(const char *value, vpi_tus_sum *out); /* Upload-Checksum */

/* One byte range of RFC 9110 14.2: 206 with *from and *size, 416, or 200: all (also where there are several). */
int vpi_tus_range(const char *value, uint64_t total, uint64_t *from, uint64_t *size);
/* IMF-fixdate of RFC 9110 5.6.7. */
void vpi_tus_date(int64_t us, char out[32]);
/* "attachment", with file names of only harmless bytes when there is one. */
void vpi_tus_disposition(const vpi_tus_pair *filename, vpi_buf *to);
/* A media type that a browser may be told of an upload: video, audio, pictures without scripts; else NULL. */
const char *vpi_tus_safe_type(const vpi_tus_pair *type);

/* ---- structured fields (draft_text.c) ---- */

bool vpi_draft_integer(const char *text, uint64_t *out); /* not negative, at most 15 digits */
bool vpi_draft_boolean(const char *text, bool *out);
/* The byte sequence under a key of a dictionary (Content-Digest, Repr-Digest), exactly size bytes. False: not there. */
bool vpi_draft_bytes(const char *text, const char *key, uint8_t *to, size_t size);
/* The name out of Content-Disposition, decoded; nothing is added where there is none. */
void vpi_draft_filename(const char *value, vpi_buf *to);

/* ---- what is kept with an upload ---- */

typedef struct vpi_tus_kept {
    char *text; /* the others point into it */
    const char *metadata, *concat;
    uint64_t max_size; /* 0: none */
} vpi_tus_kept;

/* Lines that begin with a letter. */
bool vpi_tus_kept_write(const char *metadata, const char *concat, uint64_t max_size, vpi_buf *to);
/* Of an upload that was not made by a request nothing is read. */
int vpi_tus_kept_read(const void *data, size_t size, vpi_tus_kept *out);
void vpi_tus_kept_dispose(vpi_tus_kept *k);

#endif
