/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VPI_S3_INT_H
#define VPI_S3_INT_H

/* Private to lib/s3: what its files know of each other. */

#include <vodpipe/s3.h>

#include "base/buf.h"
#include "base/context.h"
#include "base/error.h"
#include "http/http.h"

/* ---- credentials (credentials.c and its chain) ---- */

/* A copy of credentials. Zeroed: none. */
typedef struct vpi_s3_secret {
    char *access_key, *secret_key, *session_token; /* token NULL: none */
    int64_t expires_us;                            /* since 1970; 0: never */
} vpi_s3_secret;
/* All fields or none; ARG for empty or unprintable ones. */
vp_status vpi_s3_secret_copy(vpi_s3_secret *to, const vp_s3_credentials *from, vp_error *err);
void vpi_s3_secret_wipe(vpi_s3_secret *secret);                    /* zeroises and frees; leaves none */
vp_s3_credentials vpi_s3_secret_view(const vpi_s3_secret *secret); /* borrowed */

struct vp_s3_reply {
    vpi_s3_secret secret;
};

/*
 * Where AWS's tools look, in their order (docs/storage.md): environment, web identity of the environment, the profile
 * of
 * the shared config and credentials files (keys, credential_process, web identity, role with source_profile), container
 * endpoint, instance metadata (IMDSv2). Blocks: files, processes, requests through its own vpi_http. Thread-safe for
 * one
 * caller at a time.
 */
typedef struct vpi_s3_chain vpi_s3_chain;
/* profile NULL: AWS_PROFILE, else "default". No I/O. */
vp_status vpi_s3_chain_new(vp_context *context, const char *profile, const vp_http_options *http,
                           vpi_s3_chain **out, vp_error *err);
vpi_s3_chain *vpi_s3_chain_free(vpi_s3_chain *chain);
/* AUTH CREDENTIALS_MISSING, the text naming the places that were looked at and why each had none. */
vp_status vpi_s3_chain_get(vpi_s3_chain *chain, vp_cancel *cancel, vpi_s3_secret *out, vp_error *err);
/*
 * Region and endpoint for S3 from the environment (AWS_REGION, AWS_DEFAULT_REGION; AWS_ENDPOINT_URL_S3,
 * AWS_ENDPOINT_URL) and the profile (region, endpoint_url, services); instance metadata is not asked. Each out is NULL
 * where there is none, else the caller's to free. Reads files.
 */
vp_status vpi_s3_chain_place(vpi_s3_chain *chain, char **region, char **endpoint, vp_error *err);

/* ---- small pieces (text.c) ---- */

/* Percent encoding of RFC 3986: all but A-Z a-z 0-9 - . _ ~ ; keep_slash for paths. */
void vpi_s3_encode(vpi_buf *out, const char *text, bool keep_slash);
/* Wall clock, microseconds since 1970. */
int64_t vpi_s3_time_us(void);
void vpi_s3_wipe(void *data, size_t size);
void vpi_s3_buf_wipe(vpi_buf *buf); /* zeroises and disposes */

#endif
