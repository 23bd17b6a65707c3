/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Roles: the Security Token Service gives temporary credentials for a token of an identity provider
 * (AssumeRoleWithWebIdentity) or for other credentials (AssumeRole). Facts: docs.aws.amazon.com, "AWS Security Token
 * Service API Reference".
 */

#include <stdio.h>
#include <stdlib.h>

#include "base/hash.h"
#include "credentials.h"

#define TIMEOUT_MS 5000u
#define ATTEMPTS 3u
#define ARN_MAX 2048u
#define FORM "Content-Type: application/x-www-form-urlencoded\n"

/* ---- where ---- */

/* Last parts of host names by what regions begin with ("AWS partitions"). */
static const char *domain_of(const char *region)
{
    static const char *const table[][2] = {
        { "cn-", "amazonaws.com.cn" },   { "eusc-", "amazonaws.eu" },      { "us-iso-", "c2s.ic.gov" },
        { "us-isob-", "sc2s.sgov.gov" }, { "us-isof-", "csp.hci.ic.gov" }, { "eu-isoe-", "cloud.adc-e.uk" },
    };

    for (size_t i = 0; i < VPI_COUNT(table); i++)
        if (strncmp(region, table[i][0], strlen(table[i][0])) == 0) return table[i][1];
    return "amazonaws.com";
}

static bool region_valid(const char *region)
{
    size_t n = strspn(region, "abcdefghijklmnopqrstuvwxyz0123456789-");

    return n > 0 && n <= 40 && !region[n];
}

/* Without a region the global endpoint, whose signatures are for us-east-1. */
static vp_status find_url(vpi_s3_chain *chain, char **url, const char **region, vp_error *err)
{
    const char *endpoint, *host;

    VPI_TRY(vpi_s3_region(chain, region, err));
    VPI_TRY(vpi_s3_endpoint(chain, "sts", &endpoint, err));
    if (*region && !region_valid(*region))
        return vpi_fail(err, VP_E_AUTH, "CREDENTIALS_MISSING", "the region is no name of one");
    if (endpoint) {
        /* as it is, as the AWS CLI does; a path there must be */
        host = strstr(endpoint, "://");
        host = host ? host + 3 : endpoint;
        *url = vpi_asprintf("%s%s", endpoint, strchr(host, '/') ? "" : "/");
    } else if (*region) {
        *url = vpi_asprintf("https://sts.%s.%s/", *region, domain_of(*region));
    } else {
        *url = vpi_strdup("https://sts.amazonaws.com/");
    }
    if (!*region) *region = "us-east-1";
    return *url ? VP_OK : vpi_fail_nomem(err);
}

/* ---- what ---- */

static void field(vpi_buf *form, const char *name, const char *value)
{
    vpi_buf_printf(form, "&%s=", name);
    vpi_s3_encode(form, value, false);
}

/* STS takes letters, digits and _ + = , . @ - ; 2 to 64 of them. */
static bool session_valid(const char *name)
{
    size_t n = strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_+=,.@-");

    return n >= 2 && n <= 64 && !name[n];
}

static vp_status role_fields(vpi_buf *form, const char *action, const vpi_s3_role *role, vp_error *err)
{
    char session[40];

    if (!role->arn) return vpi_fail(err, VP_E_AUTH, "CREDENTIALS_MISSING", "no role is named");
    if (strlen(role->arn) > ARN_MAX)
        return vpi_fail(err, VP_E_AUTH, "CREDENTIALS_MISSING", "the role's name is too long");
    if (role->session && !session_valid(role->session))
        return vpi_fail(err, VP_E_AUTH, "CREDENTIALS_MISSING",
                        "the role's session has a name that STS does not take");
    snprintf(session, sizeof(session), "vodpipe-%lld", (long long)(vpi_s3_time_us() / 1000000));
    vpi_buf_printf(form, "Action=%s&Version=2011-06-15", action);
    field(form, "RoleArn", role->arn);
    field(form, "RoleSessionName", role->session ? role->session : session);
    if (role->external_id) field(form, "ExternalId", role->external_id);
    if (role->duration && strspn(role->duration, "0123456789") == strlen(role->duration) &&
        strlen(role->duration) < 7)
        field(form, "DurationSeconds", role->duration);
    return VP_OK;
}

/* ---- asking ---- */

/* In what follows the session token of the source: so both are wiped. */
static vp_status sign(const char *url, const char *region, const vpi_buf *form, const vpi_s3_secret *source,
                      char **headers, vp_error *err)
{
    vp_s3_request r = VP_S3_REQUEST_INIT;
    vp_s3_credentials c = vpi_s3_secret_view(source);
    vp_bytes *lines = NULL;
    vpi_sha256 hash;
    char hex[65];

    vpi_sha256_init(&hash);
    vpi_sha256_add(&hash, form->data, form->size);
    vpi_sha256_hex(&hash, hex);
    r.flags = VP_S3_SIGN_NORMALIZE | VP_S3_SIGN_ENCODE_TWICE | VP_S3_SIGN_NO_BODY_HEADER;
    r.method = "POST";
    r.url = url;
    r.headers = FORM;
    r.region = region;
    r.service = "sts";
    r.payload_sha256 = hex;
    VPI_TRY(vp_s3_sign(&r, &c, &lines, err));
    *headers = vpi_asprintf("%s%s", FORM, (const char *)vp_bytes_data(lines));
    vpi_s3_wipe((void *)vp_bytes_data(lines), (size_t)vp_bytes_size(lines)); /* nobody else has a reference */
    vp_bytes_unref(lines);
    return *headers ? VP_OK : vpi_fail_nomem(err);
}

/* Codes after which the same request may work ("Common errors"; the second: STS could not reach the provider). */
static bool again_later(const char *code)
{
    return vpi_streq(code, "Throttling") || vpi_streq(code, "IDPCommunicationError");
}

static vp_status post(vpi_s3_chain *chain, const char *url, const char *headers, const vpi_buf *form,
                      vpi_s3_secret *out, vp_error *err)
{
    vpi_http_request r = { .method = "POST",
                           .url = url,
                           .headers = headers,
                           .body = form->data,
                           .body_size = form->size,
                           .max_body = VPI_S3_ANSWER_MAX,
                           .timeout_ms = TIMEOUT_MS,
                           .secret = true };
    vpi_http_answer a = { 0 };
    vp_error own = VP_ERROR_INIT;
    char code[64] = "";
    vp_status st = VP_OK;

    for (unsigned left = ATTEMPTS; left > 0; left--) {
        vpi_http_answer_dispose(&a);
        vp_error_init(&own);
        st = vpi_s3_ask(chain, chain->remote, &r, left, &a, err);
        if (st < 0) break;
        st = vpi_s3_sts_answer(a.body.data, a.body.size, out, code, &own);
        if (a.status == 200 || !again_later(code) || left == 1) break;
        st = vpi_s3_pause(chain, 200, &own);
        if (st < 0) break;
    }
    if (st >= 0 && (a.status != 200 || code[0])) {
        vpi_s3_secret_wipe(out);
        st = vpi_s3_refused(err, url, &a, code);
    } else if (st < 0 && own.status < 0) {
        st = a.status == 200 || !vpi_s3_fault_of_place(own.status)
                 ? vpi_s3_where(err, &own, "%s", "the answer of STS")
                 : vpi_s3_refused(err, url, &a, "");
    }
    vpi_http_answer_dispose(&a);
    return st;
}

/* source NULL: nothing is signed. */
static vp_status ask(vpi_s3_chain *chain, const vpi_buf *form, const vpi_s3_secret *source,
                     vpi_s3_secret *out, vp_error *err)
{
    const char *region;
    char *url, *headers = NULL;
    vp_status st;

    VPI_TRY(find_url(chain, &url, &region, err));
    st = source ? sign(url, region, form, source, &headers, err) : VP_OK;
    if (st >= 0) st = post(chain, url, headers ? headers : FORM, form, out, err);
    vpi_s3_text_free(headers);
    vpi_free(url);
    return st;
}

vp_status vpi_s3_from_web_identity(vpi_s3_chain *chain, const vpi_s3_role *role, const char *token_file,
                                   vpi_s3_secret *out, vp_error *err)
{
    vpi_buf token = { 0 }, form = { 0 };
    const char *name;
    vp_status st;
    size_t n;

    VPI_TRY(vpi_s3_read_file(token_file, &token, err));
    name = (const char *)token.data;
    n = strlen(name);
    while (n && (name[n - 1] == '\n' || name[n - 1] == '\r' || name[n - 1] == ' ')) n--;
    token.data[n] = 0;
    /* in one piece, see vpi_s3_encode: growing would leave copies behind */
    if (!vpi_buf_reserve(&form, n * 3 + ARN_MAX * 4 + 1024)) VPI_GO(vpi_fail_nomem(err));
    if (!n) VPI_GO(vpi_fail(err, VP_E_AUTH, "CREDENTIALS_MISSING", "the file with the token is empty"));
    VPI_GO(role_fields(&form, "AssumeRoleWithWebIdentity", role, err));
    field(&form, "WebIdentityToken", name);
    if (vpi_buf_failed(&form)) VPI_GO(vpi_fail_nomem(err));
    st = ask(chain, &form, NULL, out, err);
done:
    vpi_s3_buf_wipe(&token);
    vpi_s3_buf_wipe(&form);
    return st;
}

vp_status vpi_s3_assume_role(vpi_s3_chain *chain, const vpi_s3_role *role, const vpi_s3_secret *source,
                             vpi_s3_secret *out, vp_error *err)
{
    vpi_buf form = { 0 };
    vp_status st = role_fields(&form, "AssumeRole", role, err);

    if (st >= 0 && vpi_buf_failed(&form)) st = vpi_fail_nomem(err);
    if (st >= 0) st = ask(chain, &form, source, out, err);
    vpi_s3_buf_wipe(&form);
    return st;
}
