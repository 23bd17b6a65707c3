/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VODPIPE_TESTS_S3_PLACES_H
#define VODPIPE_TESTS_S3_PLACES_H

/* places.py, an environment that is empty, and what a chain gives then. After <cmocka.h>. */

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "s3/credentials.h"
#include "unit/http/server.h"

static char folder[] = "/tmp/vodpipe-creds-XXXXXX";
static int port;
static vp_context *context;
static char home[64], logged[4096];

static void log_line(void *user, int32_t level, const char *module, const char *line)
{
    (void)user, (void)level, (void)module;
    strncat(logged, line, sizeof(logged) - strlen(logged) - 1);
}

static int start(void **state)
{
    vp_context_options o = VP_CONTEXT_OPTIONS_INIT;
    int ports[3];

    (void)state;
    if (server_start(folder, ports) != 3) return -1;
    port = ports[0];
    o.log = log_line;
    o.log_level = VP_LOG_DEBUG;
    return vp_context_new(&o, &context, NULL);
}

static int stop(void **state)
{
    (void)state;
    vp_context_unref(context);
    return server_stop(folder);
}

static char *in_folder(const char *name)
{
    static char paths[8][96];
    static unsigned next;
    char *path = paths[next++ % VPI_COUNT(paths)];

    snprintf(path, sizeof(paths[0]), "%s/%s", folder, name);
    return path;
}

static char *here(const char *path)
{
    static char urls[4][160];
    static unsigned next;
    char *url = urls[next++ % VPI_COUNT(urls)];

    snprintf(url, sizeof(urls[0]), "http://127.0.0.1:%d%s", port, path);
    return url;
}

static const char *write_file(const char *name, const char *text)
{
    char *path = in_folder(name);
    FILE *f = fopen(path, "w");

    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
    return path;
}

/* Nothing is set but a home without files, and no instance metadata. */
static int fresh(void **state)
{
    static const char *const names[] = {
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "AWS_SECURITY_TOKEN",
        "AWS_CREDENTIAL_EXPIRATION",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "AWS_ROLE_ARN",
        "AWS_ROLE_SESSION_NAME",
        "AWS_PROFILE",
        "AWS_SHARED_CREDENTIALS_FILE",
        "AWS_CONFIG_FILE",
        "AWS_REGION",
        "AWS_DEFAULT_REGION",
        "AWS_ENDPOINT_URL",
        "AWS_ENDPOINT_URL_S3",
        "AWS_ENDPOINT_URL_STS",
        "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
        "AWS_EC2_METADATA_SERVICE_ENDPOINT",
        "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE",
        "http_proxy",
    };

    (void)state;
    for (size_t i = 0; i < VPI_COUNT(names); i++) unsetenv(names[i]);
    setenv("AWS_EC2_METADATA_DISABLED", "true", 1);
    snprintf(home, sizeof(home), "%s/home", folder);
    setenv("HOME", home, 1);
    logged[0] = 0;
    return 0;
}

static void config(const char *text)
{
    setenv("AWS_CONFIG_FILE", write_file("config", text), 1);
}

static vp_status get_as(const char *profile, vp_cancel *cancel, vpi_s3_secret *s, vp_error *err)
{
    vpi_s3_chain *chain;
    vp_status st;

    vp_error_init(err);
    st = vpi_s3_chain_new(context, profile, NULL, &chain, err);
    if (st >= 0) st = vpi_s3_chain_get(chain, cancel, s, err);
    vpi_s3_chain_free(chain);
    assert_null(strstr(err->message, "/secret"));
    assert_null(strstr(logged, "/secret"));
    assert_null(strstr(err->message, "AKID"));
    return st;
}

static void gives_as(const char *profile, const char *access, const char *secret, const char *token,
                     bool expires)
{
    vpi_s3_secret s = { 0 };
    vp_error err;

    if (get_as(profile, NULL, &s, &err) != VP_OK) fail_msg("%s: %s %s", access, err.reason, err.message);
    assert_string_equal(s.access_key, access);
    assert_string_equal(s.secret_key, secret);
    if (!vpi_streq(s.session_token, token)) fail_msg("%s: token %s", access, s.session_token);
    assert_int_equal(s.expires_us != 0, expires);
    vpi_s3_secret_wipe(&s);
}

static void gives(const char *access, const char *secret, const char *token)
{
    gives_as(NULL, access, secret, token, false);
}

static void fails_as(const char *profile, vp_status status, const char *reason, const char *text)
{
    vpi_s3_secret s = { 0 };
    vp_error err;
    vp_status st = get_as(profile, NULL, &s, &err);

    if (st != status || strcmp(err.reason, reason) != 0 || !strstr(err.message, text))
        fail_msg("wanted %d %s %s, got %d %s: %s", (int)status, reason, text, (int)st, err.reason,
                 err.message);
    assert_null(s.access_key);
    assert_string_equal(err.op, "s3.credentials");
}

static void misses(const char *text)
{
    fails_as(NULL, VP_E_AUTH, "CREDENTIALS_MISSING", text);
}
#define FAILS(profile, text) fails_as(profile, VP_E_AUTH, "CREDENTIALS_MISSING", text)

#endif
