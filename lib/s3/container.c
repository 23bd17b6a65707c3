/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Containers' own endpoint: ECS, EKS Pod Identity (docs.aws.amazon.com/sdkref, "Container credential provider"). */

#include <arpa/inet.h>
#include <stdio.h>

#include "credentials.h"

#define ECS "http://169.254.170.2"
#define TIMEOUT_MS 2000u
#define ATTEMPTS 3u
#define TOKEN_MAX ((size_t)16 << 10)

/* This machine, or the addresses of ECS and EKS: whoever may set the variable must not send the token elsewhere. */
static bool host_allowed(const char *origin)
{
    static const uint8_t eks[16] = { 0xfd, 0, 0x0e, 0xc2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x23 };
    static const uint8_t loopback[16] = { [15] = 1 };
    char host[VPI_S3_ORIGIN];
    uint8_t a[16];
    size_t n;

    if (strncmp(origin, "https://", 8) == 0) return true;
    if (strncmp(origin, "http://", 7) != 0) return false;
    origin += 7;
    if (*origin == '[') {
        n = strcspn(++origin, "]");
    } else {
        n = strcspn(origin, ":");
    }
    snprintf(host, sizeof(host), "%.*s", (int)n, origin);
    if (origin[-1] == '[')
        return inet_pton(AF_INET6, host, a) == 1 && (memcmp(a, eks, 16) == 0 || memcmp(a, loopback, 16) == 0);
    if (strcmp(host, "localhost") == 0) return true;
    if (inet_pton(AF_INET, host, a) != 1) return false;
    return a[0] == 127 || (a[0] == 169 && a[1] == 254 && a[2] == 170 && (a[3] == 2 || a[3] == 23));
}

static vp_status find_url(char **url, vp_error *err)
{
    const char *relative = vpi_s3_env("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
    const char *full = vpi_s3_env("AWS_CONTAINER_CREDENTIALS_FULL_URI");
    char origin[VPI_S3_ORIGIN];

    *url = NULL;
    if (!relative && !full) return VP_END;
    if (relative) {
        /* else it could go on with the host's name */
        if (relative[0] != '/')
            return vpi_fail(err, VP_E_AUTH, "CREDENTIALS_MISSING",
                            "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI does not begin with \"/\"");
        *url = vpi_asprintf("%s%s", ECS, relative);
    } else {
        vpi_http_origin(full, origin, sizeof(origin));
        if (!host_allowed(origin))
            return vpi_fail(
                err, VP_E_AUTH, "CREDENTIALS_MISSING",
                "AWS_CONTAINER_CREDENTIALS_FULL_URI: %s is neither https nor this machine, ECS or EKS",
                origin);
        *url = vpi_strdup(full);
    }
    return *url ? VP_OK : vpi_fail_nomem(err);
}

/* *header: with the token, or NULL. */
static vp_status authorization(char **header, vp_error *err)
{
    const char *file = vpi_s3_env("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
    const char *token = vpi_s3_env("AWS_CONTAINER_AUTHORIZATION_TOKEN");
    const char *from = file ? "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE" : "AWS_CONTAINER_AUTHORIZATION_TOKEN";
    vp_error own = VP_ERROR_INIT;
    vpi_buf text = { 0 };
    vp_status st = VP_OK;
    size_t n;

    *header = NULL;
    if (file) {
        st = vpi_s3_read_file(file, &text, &own);
        if (st < 0) return vpi_s3_where(err, &own, "%s", from);
        token = (const char *)text.data;
    }
    if (!token) return VP_OK;
    n = strlen(token);
    while (n && (token[n - 1] == '\n' || token[n - 1] == '\r' || token[n - 1] == ' ')) n--;
    for (size_t i = 0; i < n && st >= 0; i++)
        if (token[i] < 0x20 || token[i] > 0x7E) st = VP_E_AUTH;
    if (st < 0 || !n || n > TOKEN_MAX) {
        st = vpi_fail(err, VP_E_AUTH, "CREDENTIALS_MISSING", "%s: no token that could be in a header", from);
    } else {
        *header = vpi_asprintf("Authorization: %.*s\nAccept: application/json\n", (int)n, token);
        if (!*header) st = vpi_fail_nomem(err);
    }
    vpi_s3_buf_wipe(&text);
    return st;
}

static vp_status fetch(vpi_s3_chain *chain, const char *url, vpi_s3_secret *out, vp_error *err)
{
    vpi_http_request r = { .method = "GET",
                           .url = url,
                           .max_body = VPI_S3_ANSWER_MAX,
                           .timeout_ms = TIMEOUT_MS,
                           .secret = true,
                           .direct = true };
    vpi_http_answer a = { 0 };
    char *header;
    vp_status st;

    VPI_TRY(authorization(&header, err));
    r.headers = header ? header : "Accept: application/json\n";
    st = vpi_s3_ask(chain, chain->near, &r, ATTEMPTS, &a, err);
    if (st >= 0)
        st = a.status == 200 ? vpi_s3_json(a.body.data, a.body.size, VPI_S3_FORM_METADATA, out, err)
                             : vpi_s3_refused(err, url, &a, "");
    vpi_http_answer_dispose(&a);
    vpi_s3_text_free(header);
    return st;
}

vp_status vpi_s3_from_container(vpi_s3_chain *chain, vpi_s3_secret *out, vp_error *err)
{
    vp_error own = VP_ERROR_INIT;
    char origin[VPI_S3_ORIGIN], *url;
    vp_status st = find_url(&url, err);

    if (st == VP_END)
        return vpi_s3_note(chain, "container: no AWS_CONTAINER_CREDENTIALS_RELATIVE_URI or _FULL_URI");
    if (st < 0) return st;
    st = fetch(chain, url, out, &own);
    vpi_http_origin(url, origin, sizeof(origin));
    vpi_free(url);
    return st < 0 ? vpi_s3_where(err, &own, "container endpoint %s", origin) : VP_OK;
}
