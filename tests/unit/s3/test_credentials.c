/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The chain: environment, profiles, roles. argv is the Python to run places.py with and its path. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sys/stat.h>

#include "unit/s3/places.h"

/* ---- environment ---- */

static void environment(void **state)
{
    (void)state;
    setenv("AWS_ACCESS_KEY_ID", "AKIDENV", 1);
    misses("environment: AWS_ACCESS_KEY_ID without AWS_SECRET_ACCESS_KEY");
    setenv("AWS_SECRET_ACCESS_KEY", "env/secret", 1);
    gives("AKIDENV", "env/secret", NULL);
    assert_non_null(strstr(logged, "the environment"));
    setenv("AWS_SESSION_TOKEN", "", 1);
    gives("AKIDENV", "env/secret", NULL);
    setenv("AWS_SECURITY_TOKEN", "old", 1);
    gives("AKIDENV", "env/secret", "old");
    setenv("AWS_SESSION_TOKEN", "new", 1);
    gives("AKIDENV", "env/secret", "new");
    setenv("AWS_CREDENTIAL_EXPIRATION", "2099-01-01T00:00:00Z", 1);
    gives_as(NULL, "AKIDENV", "env/secret", "new", true);
    setenv("AWS_CREDENTIAL_EXPIRATION", "2009-01-01T00:00:00Z", 1);
    misses("environment: the credentials have expired");
    setenv("AWS_CREDENTIAL_EXPIRATION", "soon", 1);
    misses("environment: when they expire is not a time");
    unsetenv("AWS_CREDENTIAL_EXPIRATION");
    setenv("AWS_SECRET_ACCESS_KEY", "env/secret\n", 1);
    misses("environment: the secret key is empty or not printable");
    /* files are not looked at, a profile that the host names goes first */
    setenv("AWS_SECRET_ACCESS_KEY", "env/secret", 1);
    config("[profile p]\naws_access_key_id=AKIDP\naws_secret_access_key=p/secret\n[");
    gives("AKIDENV", "env/secret", "new");
    config("[profile p]\naws_access_key_id=AKIDP\naws_secret_access_key=p/secret\n");
    gives_as("p", "AKIDP", "p/secret", NULL, false);
    gives_as("", "AKIDENV", "env/secret", "new", false);
    setenv("AWS_PROFILE", "p", 1);
    gives("AKIDENV", "env/secret", "new");
    unsetenv("AWS_ACCESS_KEY_ID");
    gives("AKIDP", "p/secret", NULL);
}

static void nowhere(void **state)
{
    (void)state;
    misses("no credentials: environment: no AWS_ACCESS_KEY_ID; profile default: none in ");
    misses("/home/.aws/credentials (not there), ");
    misses(
        "/home/.aws/config (not there); container: no AWS_CONTAINER_CREDENTIALS_RELATIVE_URI or _FULL_URI; "
        "instance metadata: AWS_EC2_METADATA_DISABLED is set");
    unsetenv("HOME"); /* then it is that of the user, of whose files we know nothing */
    setenv("AWS_CONFIG_FILE", "/nowhere/config", 1);
    setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere/credentials", 1);
    misses("none in /nowhere/credentials (not there), /nowhere/config (not there)");
}

/* ---- files ---- */

static void static_keys(void **state)
{
    (void)state;
    setenv("AWS_SHARED_CREDENTIALS_FILE",
           write_file("credentials",
                      "[default]\naws_access_key_id = AKIDC\naws_secret_access_key = c/secret\n"
                      "aws_session_token = t\n[old]\naws_access_key_id = AKIDO\n"
                      "aws_secret_access_key = o/secret\naws_security_token = s\n[half]\n"
                      "aws_access_key_id = AKIDH\n[other]\naws_secret_access_key = x/secret\n"),
           1);
    gives("AKIDC", "c/secret", "t");
    gives_as("default", "AKIDC", "c/secret", "t", false);
    gives_as("old", "AKIDO", "o/secret", "s", false);
    /* of one file only, the credentials file first */
    config("[default]\naws_access_key_id = AKIDD\naws_secret_access_key = d/secret\n[profile half]\n"
           "aws_secret_access_key = h/secret\n[profile bare]\nregion = x\n[profile bad]\naws_access_key_id = "
           "AKIDB\n"
           "aws_secret_access_key = b/secret x\n");
    gives("AKIDC", "c/secret", "t");
    fails_as("half", VP_E_AUTH, "CREDENTIALS_MISSING",
             "profile half: aws_access_key_id without aws_secret_access_key (");
    fails_as("other", VP_E_AUTH, "CREDENTIALS_MISSING", "aws_secret_access_key without aws_access_key_id");
    fails_as("bare", VP_E_AUTH, "CREDENTIALS_MISSING", "no credentials: profile bare: none in ");
    fails_as("gone", VP_E_AUTH, "CREDENTIALS_MISSING", "profile gone is neither in ");
    unsetenv("AWS_SHARED_CREDENTIALS_FILE");
    gives("AKIDD", "d/secret", NULL);
    assert_non_null(strstr(logged, "the profile"));
    setenv("AWS_PROFILE", "gone", 1);
    misses("profile gone is neither in ");
    misses("/config");
}

static void odd_files(void **state)
{
    char path[96];
    size_t size = VPI_S3_FILE_MAX + 1;

    (void)state;
    config("[default]\nx/secret");
    misses("/config: line 2: neither a section nor");
    setenv("AWS_CONFIG_FILE", folder, 1);
    misses(" (Is a directory)");
    setenv("AWS_CONFIG_FILE", "/dev/null", 1); /* how people say that there is none */
    misses("/dev/null; container:");
    assert_int_equal(mkfifo(in_folder("fifo"), 0600), 0);
    setenv("AWS_CONFIG_FILE", in_folder("fifo"), 1);
    misses("/fifo: not a regular file");
    config("");
    assert_int_equal(truncate(in_folder("config"), (off_t)size), 0);
    misses("larger than 1 MiB");
    config("[default]\naws_access_key_id=AKIDD\naws_secret_access_key=d/secret");
    gives("AKIDD", "d/secret", NULL);
    assert_int_equal(chmod(in_folder("config"), 0), 0);
    if (geteuid() != 0) misses("(Permission denied)");
    assert_int_equal(chmod(in_folder("config"), 0600), 0);
    snprintf(path, sizeof(path), "%s/round", folder);
    assert_int_equal(symlink(path, path), 0);
    setenv("AWS_CONFIG_FILE", path, 1);
    misses("(Too many levels of symbolic links)");
    /* "~" and where files lie by themselves */
    assert_int_equal(mkdir(home, 0700), 0);
    assert_int_equal(mkdir(in_folder("home/.aws"), 0700), 0);
    write_file("home/.aws/config", "[default]\naws_access_key_id=AKIDH\naws_secret_access_key=h/secret");
    unsetenv("AWS_CONFIG_FILE");
    gives("AKIDH", "h/secret", NULL);
    setenv("AWS_CONFIG_FILE", "~/.aws/config", 1);
    gives("AKIDH", "h/secret", NULL);
    setenv("AWS_CONFIG_FILE", "~nobody/.aws/config", 1);
    misses("~nobody/.aws/config (not there)");
    assert_int_equal(unlink(in_folder("home/.aws/config")), 0);
}

static void order_in_profile(void **state)
{
    (void)state;
    config(
        "[profile sso]\nsso_session = s\nsso_account_id = 1\nsso_role_name = r\naws_access_key_id = AKIDX\n"
        "aws_secret_access_key = x/secret\n[sso-session s]\nsso_region = r\n"
        "[profile login]\nlogin_session = arn\n"
        "[profile token]\nweb_identity_token_file = /t\n"
        "[profile both]\nrole_arn = arn\nsource_profile = a\ncredential_source = b\n"
        "[profile neither]\nrole_arn = arn\n"
        "[profile mfa]\nrole_arn = arn\nsource_profile = a\nmfa_serial = 1\n"
        "[profile gone]\nrole_arn = arn\nsource_profile = nobody\n"
        "[profile source]\nrole_arn = arn\ncredential_source = Nowhere\n"
        "[profile env]\nrole_arn = arn\ncredential_source = Environment\n"
        "[profile ec2]\nrole_arn = arn\ncredential_source = Ec2InstanceMetadata\n"
        "[profile box]\nrole_arn = arn\ncredential_source = EcsContainer\n"
        "[profile empty]\nrole_arn = arn\nsource_profile = bare\n[profile bare]\nregion = r\n"
        "[profile self]\nrole_arn = arn\nsource_profile = self\n"
        "[profile a]\nrole_arn = arn\nsource_profile = b\n[profile b]\nrole_arn = arn\nsource_profile = a\n"
        "[profile 1]\nrole_arn = a\nsource_profile = 2\n[profile 2]\nrole_arn = a\nsource_profile = 3\n"
        "[profile 3]\nrole_arn = a\nsource_profile = 4\n[profile 4]\nrole_arn = a\nsource_profile = 5\n"
        "[profile 5]\nrole_arn = a\nsource_profile = 6\n[profile 6]\nrole_arn = a\nsource_profile = 7\n"
        "[profile 7]\nrole_arn = a\nsource_profile = 8\n[profile 8]\nrole_arn = a\nsource_profile = 9\n"
        "[profile 9]\nrole_arn = a\nsource_profile = bare\n");
    FAILS("sso", "profile sso: it signs in through SSO, which is not built in");
    FAILS("sso", "credential_process = aws configure export-credentials --profile sso --format process");
    FAILS("login", "credential_process = aws configure export-credentials --profile login --format process");
    FAILS("token", "profile token: web_identity_token_file without role_arn");
    FAILS("both", "role_arn with both source_profile and credential_source");
    FAILS("neither", "role_arn with neither source_profile nor credential_source");
    FAILS("mfa", "profile mfa: mfa_serial asks for a code");
    FAILS("gone", "profile gone: source_profile nobody is neither in");
    FAILS("source", "credential_source is none of Environment, EcsContainer, Ec2InstanceMetadata");
    FAILS("env", "credential_source Environment has none: environment: no AWS_ACCESS_KEY_ID");
    FAILS("ec2", "has none: instance metadata: AWS_EC2_METADATA_DISABLED is set");
    FAILS("box", "has none: container: no AWS_CONTAINER");
    FAILS("empty", "profile empty: source_profile bare has no credentials");
    FAILS("self", "source_profile self has no credentials");
    FAILS("a", "source_profile a goes round in a circle");
    FAILS("1", "more than 8 source profiles in a row");
}

/* ---- STS ---- */

static void web_identity(void **state)
{
    const char *token = write_file("token", "web+token/1\n");

    (void)state;
    setenv("AWS_WEB_IDENTITY_TOKEN_FILE", in_folder("no-token"), 1);
    misses("AWS_WEB_IDENTITY_TOKEN_FILE without AWS_ROLE_ARN");
    setenv("AWS_ROLE_ARN", "arn:aws:iam::1:role/a b&c", 1);
    misses("environment: AWS_WEB_IDENTITY_TOKEN_FILE: ");
    misses("No such file");
    setenv("AWS_WEB_IDENTITY_TOKEN_FILE", token, 1);
    setenv("AWS_ENDPOINT_URL_STS", here("/sts/ok"), 1);
    gives_as(NULL, "AKIDSTS", "sts/secret", "arn:aws:iam::1:role/ab&c||", true);
    setenv("AWS_ROLE_SESSION_NAME", "me@host", 1);
    gives_as(NULL, "AKIDSTS", "sts/secret", "arn:aws:iam::1:role/ab&c|||me@host", true);
    setenv("AWS_ROLE_SESSION_NAME", "me and you", 1);
    misses("the role's session has a name that STS does not take");
    unsetenv("AWS_ROLE_SESSION_NAME");
    write_file("token", "\n");
    misses("the file with the token is empty");
    write_file("token", "web+token/2");
    misses("answers 403 (Wrongtoken)");
    write_file("token", "web+token/1");
    config("[profile w]\nrole_arn = arn:w\nweb_identity_token_file = /none\nrole_session_name = xy\n");
    FAILS("w", "profile w: web_identity_token_file: /none: No such file");
}

static void sts_answers(void **state)
{
    static const struct {
        const char *mode;
        vp_status status;
        const char *reason, *text;
    } cases[] = {
        { "/sts/400/", VP_E_AUTH, "CREDENTIALS_MISSING", "answers 400 (ExpiredTokenException)" },
        { "/sts/code", VP_E_AUTH, "CREDENTIALS_MISSING", "answers 400 (unknown)" },
        { "/sts/500", VP_E_IO, "CONNECTION_FAILED", "answers 500" },
        { "/sts/junk", VP_E_AUTH, "CREDENTIALS_MISSING", "the answer of STS: not XML as STS sends it" },
        { "/sts/doctype", VP_E_AUTH, "CREDENTIALS_MISSING", "not XML as STS sends it" },
        { "/sts/deep", VP_E_AUTH, "CREDENTIALS_MISSING", "not XML as STS sends it" },
        { "/sts/partial", VP_E_AUTH, "CREDENTIALS_MISSING", "no credentials in it" },
        { "/nothing", VP_E_AUTH, "CREDENTIALS_MISSING", "answers 404" },
    };

    (void)state;
    setenv("AWS_WEB_IDENTITY_TOKEN_FILE", write_file("token", "web+token/1"), 1);
    setenv("AWS_ROLE_ARN", "arn", 1);
    for (size_t i = 0; i < VPI_COUNT(cases); i++) {
        setenv("AWS_ENDPOINT_URL_STS", here(cases[i].mode), 1);
        fails_as(NULL, cases[i].status, cases[i].reason, cases[i].text);
    }
    setenv("AWS_ENDPOINT_URL_STS", here("/sts/throttle"), 1);
    gives_as(NULL, "AKIDSTS", "sts/secret", "arn||", true);
    setenv("AWS_ENDPOINT_URL_STS", "http://127.0.0.1:1", 1);
    fails_as(NULL, VP_E_IO, "CONNECTION_FAILED",
             "environment: AWS_WEB_IDENTITY_TOKEN_FILE: http://127.0.0.1:1");
    setenv("AWS_ENDPOINT_URL_STS", "ftp://u/secret", 1);
    misses("not an address of http or https");
    unsetenv("AWS_ENDPOINT_URL_STS");
    setenv("AWS_REGION", "bad/../region", 1);
    misses("the region is no name of one");
}

static void roles(void **state)
{
    (void)state;
    setenv("AWS_ENDPOINT_URL", here("/sts/ok/"), 1);
    setenv("AWS_SHARED_CREDENTIALS_FILE",
           write_file("credentials",
                      "[keys]\naws_access_key_id=AKIDSOURCE\naws_secret_access_key=source/secret\n"),
           1);
    config("[profile a]\nrole_arn = arn:a\nsource_profile = keys\nexternal_id = e/1\nduration_seconds = 900\n"
           "role_session_name = me\nregion = eu-x-1\n"
           "[profile chain]\nrole_arn = arn:c\nsource_profile = a\n"
           "[profile self]\nrole_arn = arn:s\nsource_profile = self\naws_access_key_id = AKIDSOURCE\n"
           "aws_secret_access_key = source/secret\n"
           "[profile over]\nrole_arn = arn:o\nsource_profile = self\n"
           "[profile env]\nrole_arn = arn:e\ncredential_source = Environment\nduration_seconds = long\n"
           "[profile ec2]\nrole_arn = arn:i\ncredential_source = Ec2InstanceMetadata\n"
           "[profile box]\nrole_arn = arn:b\ncredential_source = EcsContainer\n"
           "[profile wrong]\nrole_arn = arn:x\nsource_profile = bad\n[profile bad]\naws_access_key_id = "
           "AKIDSOURCE\n"
           "aws_secret_access_key = bad/secret\n");
    gives_as("a", "AKIDSTS", "sts/secret", "arn:a|e/1|900|me", true);
    gives_as("chain", "AKIDSTS", "sts/secret", "arn:c||", true);
    gives_as("self", "AKIDSTS", "sts/secret", "arn:s||", true);
    gives_as("over", "AKIDSTS", "sts/secret", "arn:o||", true);
    setenv("AWS_ACCESS_KEY_ID", "AKIDENV", 1);
    setenv("AWS_SECRET_ACCESS_KEY", "env/secret", 1);
    gives_as("env", "AKIDSTS", "sts/secret", "arn:e||", true);
    setenv("AWS_EC2_METADATA_DISABLED", "false", 1);
    setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", here("/imds/ok"), 1);
    gives_as("ec2", "AKIDSTS", "sts/secret", "arn:i||", true);
    setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", here("/container/ok"), 1);
    gives_as("box", "AKIDSTS", "sts/secret", "arn:b||", true);
    FAILS("wrong", "profile wrong: http://127.0.0.1:");
    FAILS("wrong", "answers 403 (Wrongsignature)");
    setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", here("/container/404"), 1);
    FAILS("box", "profile box: credential_source EcsContainer: container endpoint http://127.0.0.1:");
}
/* ---- region and endpoint ---- */

static void place_is(const char *profile, const char *region, const char *endpoint)
{
    vp_error err = VP_ERROR_INIT;
    vpi_s3_chain *chain;
    char *r, *e;

    assert_int_equal(vpi_s3_chain_new(context, profile, NULL, &chain, &err), VP_OK);
    if (vpi_s3_chain_place(chain, &r, &e, &err) != VP_OK) fail_msg("%s", err.message);
    if (!vpi_streq(r, region) || !vpi_streq(e, endpoint)) fail_msg("%s %s", r, e);
    vpi_free(r);
    vpi_free(e);
    vpi_s3_chain_free(chain);
}

static void places(void **state)
{
    vp_error err = VP_ERROR_INIT;
    vpi_s3_chain *chain;
    char *r, *e;

    (void)state;
    place_is(NULL, NULL, NULL);
    config("[default]\nregion = r1\nendpoint_url = http://all\n[profile s]\nservices = x\nendpoint_url = "
           "http://all\n"
           "[services x]\nsts =\n  endpoint_url = http://sts\ns3 =\n  endpoint_url = http://s3\n"
           "[profile t]\nservices = y\n[profile i]\nendpoint_url = "
           "http://all\nignore_configured_endpoint_urls = True\n");
    place_is(NULL, "r1", "http://all");
    place_is("s", NULL, "http://s3");
    place_is("t", NULL, NULL);
    place_is("i", NULL, NULL);
    setenv("AWS_DEFAULT_REGION", "r2", 1);
    setenv("AWS_ENDPOINT_URL", "http://e1", 1);
    place_is("s", "r2", "http://e1");
    setenv("AWS_REGION", "r3", 1);
    setenv("AWS_ENDPOINT_URL_S3", "http://e2", 1);
    place_is(NULL, "r3", "http://e2");
    setenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true", 1);
    place_is(NULL, "r3", NULL);
    setenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "false", 1);
    place_is("i", "r3", "http://e2");
    assert_int_equal(vpi_s3_chain_new(context, "gone", NULL, &chain, &err), VP_OK);
    assert_int_equal(vpi_s3_chain_place(chain, &r, &e, &err), VP_E_AUTH);
    assert_string_equal(err.reason, "CREDENTIALS_MISSING");
    assert_non_null(strstr(err.message, "profile gone"));
    assert_null(r);
    assert_null(e);
    vpi_s3_chain_free(chain);
}
/* ---- what must not go wrong ---- */

static void handles(void **state)
{
    vp_http_options o = VP_HTTP_OPTIONS_INIT;
    vpi_s3_secret s = { 0 };
    vp_error err = VP_ERROR_INIT;
    vpi_s3_chain *chain;
    vp_context *own;

    (void)state;
    assert_int_equal(vpi_s3_chain_new(NULL, NULL, NULL, &chain, &err), VP_E_ARG);
    assert_null(chain);
    assert_null(vpi_s3_chain_free(NULL));
    o.headers = "X-Other: of the storage"; /* goes to nobody else, so it need not be one */
    o.ca_file = "/none";
    assert_int_equal(vp_context_new(NULL, &own, NULL), VP_OK);
    assert_int_equal(vpi_s3_chain_new(own, NULL, &o, &chain, NULL), VP_OK);
    vp_context_close(own, NULL);
    vp_error_init(&err);
    assert_int_equal(vpi_s3_chain_get(chain, NULL, &s, &err), VP_E_STATE);
    vpi_s3_chain_free(chain);
    vp_context_unref(own);
}

int main(int argc, char **argv)
{
#define TEST(name) cmocka_unit_test_setup(name, fresh)
    const struct CMUnitTest tests[] = {
        TEST(environment),  TEST(nowhere),     TEST(static_keys), TEST(odd_files), TEST(order_in_profile),
        TEST(web_identity), TEST(sts_answers), TEST(roles),       TEST(places),    TEST(handles),
    };

    if (argc != 3) return 77;
    arguments = argv;
    return cmocka_run_group_tests(tests, start, stop);
}
