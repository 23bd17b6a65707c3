/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VPI_S3_SIGN_H
#define VPI_S3_SIGN_H

/*
 * Signature Version 4 by its parts (docs.aws.amazon.com, "Create a signed AWS API request"; for S3 "Authenticating
 * Requests (AWS Signature Version 4)"). Private to lib/s3. Nothing here does I/O or keeps state but vpi_s3_day.
 */

#include "s3_int.h"

/* ---- canonical.c ---- */

/* Views into a url. Port and path may be empty; query without its '?'. */
typedef struct vpi_s3_url {
    const char *host; /* as it goes into Host: with the port where it is not the scheme's */
    const char *path, *query;
    size_t host_size, path_size, query_size;
    bool tls, has_query;
} vpi_s3_url;
/* ARG for what is no http or https url, has user info, a fragment, control bytes or '%' without two digits. */
vp_status vpi_s3_url_split(const char *url, vpi_s3_url *out, vp_error *err);

/* Names and values, each in its canonical form, that are sorted before they are written. Zeroed: none. */
typedef struct vpi_s3_field {
    size_t name, name_size, value, value_size; /* in text */
    const char *text;                          /* valid once sorted */
} vpi_s3_field;
typedef struct vpi_s3_fields {
    vpi_buf text;
    vpi_s3_field *list;
    size_t count, cap;
} vpi_s3_fields;
void vpi_s3_fields_dispose(vpi_s3_fields *fields); /* zeroises: a session token may be among them */
vp_status vpi_s3_fields_add(vpi_s3_fields *fields, const char *name, const char *value, size_t value_size,
                            vp_error *err);
/* "a=b&c": encoded anew, strictly. ARG for raw '+' (a space to some servers) and for names that a signature adds. */
vp_status vpi_s3_fields_query(vpi_s3_fields *fields, const char *query, size_t size, vp_error *err);
/* Lines "Name: value", folded or not: names in lower case, values without needless blanks. */
vp_status vpi_s3_fields_headers(vpi_s3_fields *fields, const char *lines, vp_error *err);
/* Value encoded for a query. */
vp_status vpi_s3_fields_encoded(vpi_s3_fields *fields, const char *name, const char *value, vp_error *err);
/* Query: by name, then by value. Headers: by name; those of one name in the order in which they came. */
void vpi_s3_fields_sort(vpi_s3_fields *fields, bool by_value);
void vpi_s3_put_query(vpi_buf *out, const vpi_s3_fields *sorted);
void vpi_s3_put_headers(vpi_buf *out, const vpi_s3_fields *sorted); /* "name:value\n", one for each name */
void vpi_s3_put_names(vpi_buf *out, const vpi_s3_fields *sorted);   /* "a;b" */
/* flags: VP_S3_SIGN_NORMALIZE, VP_S3_SIGN_ENCODE_TWICE */
void vpi_s3_put_path(vpi_buf *out, const char *path, size_t size, uint32_t flags);
/* One byte, percent-encoded where it is not of A-Z a-z 0-9 - . _ ~ */
void vpi_s3_put_byte(vpi_buf *out, unsigned c);
/* Bytes that a url cannot have as they are are encoded, all others copied. */
void vpi_s3_put_url(vpi_buf *out, const char *text, size_t size);
bool vpi_s3_token(const char *text, size_t size); /* RFC 9110 5.6.2: names of methods and headers */

/* ---- sign.c ---- */

/* Where a signature is good. */
typedef struct vpi_s3_scope {
    char stamp[17]; /* "20130524T000000Z" */
    char text[160]; /* "20130524/us-east-1/s3/aws4_request" */
    const char *region, *service;
    int64_t time_s; /* since 1970 */
} vpi_s3_scope;
/* service NULL: "s3"; time_us 0: now. */
vp_status vpi_s3_scope_make(const char *region, const char *service, int64_t time_us, vpi_s3_scope *out,
                            vp_error *err);

/* The key of a scope, so that it is not made for each request. Zeroed: none; its owner guards and wipes it. */
typedef struct vpi_s3_day {
    uint8_t key[32], mark[32]; /* mark: by which its secret and scope are known again */
    bool have;
} vpi_s3_day;
/* day may be NULL. */
vp_status vpi_s3_scope_sign(const vpi_s3_scope *scope, const char *secret_key, vpi_s3_day *day,
                            const void *data, size_t size, char hex[65], vp_error *err);

/* By the key of a day that was made before; false: no HMAC in this OpenSSL. */
bool vpi_s3_day_sign(const vpi_s3_day *day, const void *data, size_t size, char hex[65]);
bool vpi_s3_sha256_hex(const void *data, size_t size, char hex[65]);
/* Copies the struct and checks it: ARG for flags that are none. */
vp_status vpi_s3_take_request(const vp_s3_request *from, vp_s3_request *to, vp_error *err);

/* Copies the struct and checks it: ARG where a field is missing, empty or cannot be in a header. */
vp_status vpi_s3_take_credentials(const vp_s3_credentials *from, vp_s3_credentials *to, vp_error *err);
/* 0: 3600; ARG over 604800. */
vp_status vpi_s3_take_expires(uint32_t expires_s, uint32_t *out, vp_error *err);

/* A signature and what it was made of. Zeroed before; dispose zeroises. */
typedef struct vpi_s3_signature {
    vpi_s3_scope scope;
    vpi_s3_url url;
    const char *payload; /* the word of the canonical request; may point to hash */
    char hash[65];
    vpi_buf canonical, to_sign, names;
    char hex[65];
} vpi_s3_signature;
/* in_query: for an address that is good for expires seconds; else for headers. day may be NULL. */
vp_status vpi_s3_signature_make(const vp_s3_request *request, const vp_s3_credentials *credentials,
                                bool in_query, vpi_s3_day *day, vpi_s3_signature *out, vp_error *err);
void vpi_s3_signature_dispose(vpi_s3_signature *signature);

/*
 * What the public functions do, for the client: request and credentials were checked or are its own, and the key of the
 * day is kept. Appends; after a failure the buffer is as it was, or has failed itself.
 */
vp_status vpi_s3_sign_lines(const vp_s3_request *request, const vp_s3_credentials *credentials,
                            vpi_s3_day *day, vpi_buf *lines, vp_error *err);
/* The lines of a signature that was made for headers. */
vp_status vpi_s3_signature_lines(const vp_s3_request *request, const vp_s3_credentials *credentials,
                                 const vpi_s3_signature *signature, vpi_buf *lines, vp_error *err);
vp_status vpi_s3_sign_url(const vp_s3_request *request, const vp_s3_credentials *credentials, vpi_s3_day *day,
                          vpi_buf *url, vp_error *err);

#endif
