/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VPI_INGEST_RECORD_H
#define VPI_INGEST_RECORD_H

/* What is durable about an upload besides its bytes, and its form in a back end. */

#include <vodpipe/ingest.h>

#include "base/buf.h"
#include "base/error.h"
#include "ingest/digest.h"

#define VPI_RECORD_MAX (256u << 10)
#define VPI_TOKEN_MAX (192u << 10)
#define VPI_RANGES_MAX 4096u
#define VPI_SCOPE_MAX 1024u

/* Only in records: expired; the id is remembered. */
#define VPI_UPLOAD_GONE 5

typedef struct vpi_range {
    uint64_t from, to; /* to: exclusive */
} vpi_range;

/* Ranges in rising order that neither touch nor overlap. */
typedef struct vpi_ranges {
    vpi_range *at;
    size_t count, cap;
} vpi_ranges;

typedef struct vpi_record {
    int32_t state;  /* VP_UPLOAD_*, VPI_UPLOAD_GONE */
    uint32_t flags; /* VP_UPLOADF_* */
    bool shared;
    uint64_t length, offset;
    int64_t created_us, expires_us; /* GONE: when the id is forgotten */
    uint64_t expire_ms;             /* 0: never */
    uint64_t writes;
    uint64_t reserved; /* bytes of the quota that are set apart */
    char id[VP_UPLOAD_ID_MAX + 1];
    char *scope;        /* NULL: "" */
    char *parts;        /* ids between single spaces; NULL: none */
    vp_bytes *metadata; /* NULL: none */
    uint8_t want_algorithm, want[VPI_DIGEST_MAX];
    bool has_sha256;
    uint8_t sha256[32];
    vpi_digest hash;     /* SHA-256; its length is how far it came */
    vpi_digest declared; /* of want_algorithm, where that is not SHA-256 */
    vpi_buf token;       /* of the back end */
    vpi_ranges ranges;   /* with ANY_ORDER: all that is there */
} vpi_record;

void vpi_record_dispose(vpi_record *r); /* accepts an empty one; leaves an empty one */
/* Appends; the buffer's failure is the caller's to see. */
void vpi_record_write(const vpi_record *r, vpi_buf *b);
/* DATA UPLOAD_CORRUPT; VERSION when a newer library wrote it. id: whose it must be, or NULL. */
vp_status vpi_record_read(vpi_record *r, const char *id, const void *data, size_t size, vp_error *err);
/* How many bytes a record of vpi_record_write confirms; 0 also when they are gone. */
uint64_t vpi_record_confirms(const void *data, size_t size);
/* The largest that this record can become, without a token. */
size_t vpi_record_room(const vpi_record *r);

/* Its time begins now; it is over. */
void vpi_record_renew(vpi_record *r, int64_t now_us);
bool vpi_record_due(const vpi_record *r, int64_t now_us);
bool vpi_upload_id_valid(const char *id, size_t length);

/* False: no memory or too many (then nothing changed). */
bool vpi_ranges_add(vpi_ranges *r, uint64_t from, uint64_t to);
bool vpi_ranges_copy(vpi_ranges *to, const vpi_ranges *from);
void vpi_ranges_dispose(vpi_ranges *r);
/* End of the range that begins at 0; 0: none. */
uint64_t vpi_ranges_prefix(const vpi_ranges *r);
uint64_t vpi_ranges_sum(const vpi_ranges *r);
/* The first bytes of [from, to) that are missing; false: none. */
bool vpi_ranges_gap(const vpi_ranges *r, uint64_t from, uint64_t to, vpi_range *gap);

#endif
