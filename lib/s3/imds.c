/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Instance metadata of EC2, version 2 alone (docs.aws.amazon.com/sdkref, "IMDS credential provider"): a token by PUT,
 * which no proxy and no request forged through a server of ours gets, then the role, then its credentials. What goes
 * wrong here is a note, never a failure: most machines are no instances.
 */

#include <stdio.h>
#include <strings.h>

#include "credentials.h"

#define IPV4 "http://169.254.169.254"
#define IPV6 "http://[fd00:ec2::254]"
#define ROLES "/latest/meta-data/iam/security-credentials/"
#define TIMEOUT_MS 1000u
#define ATTEMPTS 3u
#define TOKEN_MAX 1024u
/* While an instance gets no new ones it goes on telling the old ones, and AWS goes on taking them; as botocore does. */
#define GRACE_US (INT64_C(15) * 60 * 1000000)

static vp_status find_base(vpi_s3_chain *chain, char **base)
{
    const char *mode = vpi_s3_env("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE");
    const char *url = vpi_s3_env("AWS_EC2_METADATA_SERVICE_ENDPOINT");
    size_t n;

    if (!url) url = vpi_s3_profile_get(chain, chain->profile, "ec2_metadata_service_endpoint");
    if (!mode) mode = vpi_s3_profile_get(chain, chain->profile, "ec2_metadata_service_endpoint_mode");
    if (!url) url = mode && strcasecmp(mode, "ipv6") == 0 ? IPV6 : IPV4;
    n = strlen(url);
    while (n && url[n - 1] == '/') n--;
    *base = vpi_strndup(url, n);
    return *base ? VP_OK : VP_E_NOMEM;
}

/* A request below base; 200 with a body, or a failure. */
static vp_status get(vpi_s3_chain *chain, const char *base, const char *path, const char *method,
                     const char *headers, vpi_http_answer *a, vp_error *err)
{
    vpi_http_request r = { .method = method,
                           .headers = headers,
                           .max_body = VPI_S3_ANSWER_MAX,
                           .timeout_ms = TIMEOUT_MS,
                           .secret = true,
                           .direct = true };
    char *url = vpi_asprintf("%s%s", base, path);
    vp_status st;

    vpi_http_answer_dispose(a);
    if (!url) return vpi_fail_nomem(err);
    r.url = url;
    st = vpi_s3_ask(chain, chain->near, &r, ATTEMPTS, a, err);
    if (st >= 0 && a->status != 200) st = vpi_s3_refused(err, url, a, "");
    if (st >= 0 && !a->body.size) st = vpi_fail(err, VP_E_DATA, NULL, "an empty answer");
    vpi_free(url);
    return st;
}

/* The first line of an answer, if it is printable. */
static vp_status line_of(const vpi_http_answer *a, const char *what, char **out, vp_error *err)
{
    size_t n = 0;

    while (n < a->body.size && a->body.data[n] > 0x20 && a->body.data[n] < 0x7F) n++;
    if (!n || n > TOKEN_MAX || (n < a->body.size && a->body.data[n] != '\n' && a->body.data[n] != '\r'))
        return vpi_fail(err, VP_E_DATA, NULL, "what it tells is no %s", what);
    *out = vpi_strndup((const char *)a->body.data, n);
    return *out ? VP_OK : vpi_fail_nomem(err);
}

static vp_status fetch(vpi_s3_chain *chain, const char *base, vpi_s3_secret *out, vp_error *err)
{
    vpi_http_answer a = { 0 };
    char *token = NULL, *header = NULL, *role = NULL, *path = NULL;
    vp_status st;

    VPI_GO(get(chain, base, "/latest/api/token", "PUT", "X-aws-ec2-metadata-token-ttl-seconds: 21600\n", &a,
               err));
    VPI_GO(line_of(&a, "token", &token, err));
    header = vpi_asprintf("X-aws-ec2-metadata-token: %s\n", token);
    if (!header) VPI_GO(vpi_fail_nomem(err));
    st = get(chain, base, ROLES, "GET", header, &a, err);
    if (st < 0 && a.status == 404) {
        vp_error_init(err);
        vpi_fail(err, VP_E_AUTH, "CREDENTIALS_MISSING", "no role is attached to the instance");
    }
    VPI_GO(st);
    VPI_GO(line_of(&a, "role", &role, err));
    path = vpi_asprintf("%s%s", ROLES, role);
    if (!path) VPI_GO(vpi_fail_nomem(err));
    VPI_GO(get(chain, base, path, "GET", header, &a, err));
    st = vpi_s3_json(a.body.data, a.body.size, VPI_S3_FORM_METADATA, out, err);
done:
    vpi_http_answer_dispose(&a);
    vpi_s3_text_free(token);
    vpi_s3_text_free(header);
    vpi_free(role);
    vpi_free(path);
    return st;
}

vp_status vpi_s3_from_imds(vpi_s3_chain *chain, vpi_s3_secret *out, vp_error *err)
{
    vp_error own = VP_ERROR_INIT;
    char origin[VPI_S3_ORIGIN], *base;
    vp_status st;

    if (vpi_s3_env_true("AWS_EC2_METADATA_DISABLED"))
        return vpi_s3_note(chain, "instance metadata: AWS_EC2_METADATA_DISABLED is set");
    if (find_base(chain, &base) < 0) return vpi_fail_nomem(err);
    st = fetch(chain, base, out, &own);
    vpi_http_origin(base, origin, sizeof(origin));
    vpi_free(base);
    if (st < 0 && !vpi_s3_fault_of_place(st)) return vpi_s3_where(err, &own, "%s", "instance metadata");
    if (st < 0) {
        const char *text = own.message;

        /* most texts begin with the origin */
        if (strncmp(text, origin, strlen(origin)) == 0)
            text += strlen(origin) + (text[strlen(origin)] == ':');
        return vpi_s3_note(chain, "instance metadata %s:%s%s", origin, text[0] == ' ' ? "" : " ", text);
    }
    if (out->expires_us) out->expires_us = VPI_MAX(out->expires_us, vpi_s3_time_us() + GRACE_US);
    return VP_OK;
}
