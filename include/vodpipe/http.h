/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VODPIPE_HTTP_H
#define VODPIPE_HTTP_H

/*
 * How the library speaks HTTP where it has to (key servers, sources): through libcurl, TLS always verified. Tier 2.
 *
 * Of libcurl's own settings its defaults hold, so http_proxy, https_proxy and no_proxy of the environment are heeded;
 * no file of the user (.netrc, .curlrc) is read, no cookie is kept.
 */

#include <vodpipe/io.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Strings are copied by whoever takes the struct; NULL: the default. */
typedef struct vp_http_options {
    uint32_t struct_size;
    uint32_t connect_timeout_ms; /* name, connection and TLS; 0: 10 s */
    uint32_t timeout_ms;         /* of one request as a whole; 0: 30 s */
    uint32_t reserved;
    const char *ca_file;   /* PEM, the only authorities to trust; NULL: those of the system */
    const char *cert_file; /* PEM, certificate to show to the server; NULL: none */
    const char *key_file;  /* PEM, its private key; NULL: in cert_file */
    const char *key_passphrase;
    const char *headers; /* lines "Name: value", sent with each request to the host that was asked; secret */
    const char *user_agent; /* NULL: "vodpipe/VERSION" */
} vp_http_options;
#define VP_HTTP_OPTIONS_INIT                                                                                 \
    {                                                                                                        \
        (uint32_t)sizeof(vp_http_options), 0, 0, 0, NULL, NULL, NULL, NULL, NULL, NULL                       \
    }
VP_API void vp_http_options_init(vp_http_options *options, size_t size);

/*
 * A file on a web server that serves ranges; https, or http where the url says so. A presigned url is fine: only GET
 * is sent. No I/O here: the first use asks for size and identity, and pins them: a file that is replaced later is
 * CONFLICT SOURCE_CHANGED. Its identity is the ETag, else the date; asking for it again asks the server.
 *
 * Thread-safe. Blocks of 1 MiB; whoever reads on is read ahead for, by up to four blocks and over several connections;
 * at most 17 MiB of memory, and a thread of its own. What breaks off goes on from there; five tries in vain fail (IO
 * CONNECTION_FAILED, native: the HTTP status where there was one). timeout_ms is that of one try. Redirects go from
 * https to https, up to five; headers of the options stay with the host of url, and a redirect to another one is not
 * followed where a certificate is set. Other failures: IO NOT_FOUND, IO TLS_FAILED, AUTH for 401 and 403, UNSUPPORTED
 * where the server serves no ranges (unless the file has no more than 1 MiB) or without libcurl. Texts name scheme,
 * host and port only.
 */
VP_API vp_status vp_source_http(vp_context *context, const char *url, const vp_http_options *options,
                                vp_source **out, vp_error *err);

#ifdef __cplusplus
}
#endif

#endif
