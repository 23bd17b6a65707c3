/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the profile of the shared files says. What a profile that has several ways in it means is decided as botocore
 * does: role, web identity, SSO, keys of the credentials file, process, keys of the config file.
 */

#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <unistd.h>

#include "credentials.h"

#define SOURCES_MAX 8u /* profiles in a row that name each other */
#define HOME_ROOM 4096

/* ---- files ---- */

static char *below_home(const char *path)
{
    const char *home = vpi_s3_env("HOME");
    struct passwd entry, *found = NULL;
    char room[HOME_ROOM];

    if (!home && getpwuid_r(geteuid(), &entry, room, sizeof(room), &found) == 0 && found)
        home = found->pw_dir;
    return home && home[0] ? vpi_asprintf("%s%s", home, path) : NULL;
}

/* path NULL: no memory, or no home; *home_missing tells. */
static char *path_of(const char *variable, const char *usual, bool *home_missing)
{
    const char *given = vpi_s3_env(variable);
    char *path;

    *home_missing = false;
    if (given && given[0] != '~') return vpi_strdup(given);
    if (given && given[1] && given[1] != '/')
        return vpi_strdup(given); /* homes of other users: not looked up */
    path = below_home(given ? given + 1 : usual);
    *home_missing = !path && !vpi_s3_env("HOME");
    return path;
}

/* A file that cannot be read is one that is not there, and the text says why. */
static vp_status load(vpi_s3_file *file, const char *variable, const char *usual, bool credentials,
                      vp_error *err)
{
    vp_error own = VP_ERROR_INIT;
    vpi_buf text = { 0 };
    bool home_missing;
    vp_status st;

    file->path = path_of(variable, usual, &home_missing);
    if (!file->path && home_missing) {
        snprintf(file->why, sizeof(file->why), "no HOME");
        return VP_OK;
    }
    if (!file->path) return vpi_fail_nomem(err);
    st = vpi_s3_read_file(file->path, &text, &own);
    if (st == VP_E_IO && (own.native == ENOENT || own.native == ENOTDIR)) {
        snprintf(file->why, sizeof(file->why), "not there");
        return VP_OK;
    }
    if (st == VP_E_IO) {
        size_t n = strlen(file->path) + 2;

        vpi_strlcpy(file->why, strlen(own.message) > n ? own.message + n : "unreadable", sizeof(file->why));
        return VP_OK;
    }
    if (st >= 0) {
        st = vpi_s3_ini_parse(&file->ini, text.data, text.size, credentials, &own);
        vpi_s3_buf_wipe(&text);
        if (st < 0) st = vpi_s3_where(err, &own, "%s", file->path);
    } else {
        st = vpi_s3_where(err, &own, "%s", credentials ? "credentials file" : "config file");
    }
    return st;
}

static const char *name_of(const vpi_s3_file *file)
{
    return file->path ? file->path : "~/.aws";
}

static vp_status tell_missing(const vpi_s3_chain *chain, const char *what, const char *profile, vp_error *err)
{
    const vpi_s3_file *a = &chain->credentials, *b = &chain->config;

    return vpi_fail(err, VP_E_AUTH, "CREDENTIALS_MISSING", "%s %s is neither in %s%s%s%s nor in %s%s%s%s",
                    what, profile, name_of(a), a->why[0] ? " (" : "", a->why, a->why[0] ? ")" : "",
                    name_of(b), b->why[0] ? " (" : "", b->why, b->why[0] ? ")" : "");
}

static bool has(const vpi_s3_chain *chain, const char *profile)
{
    return vpi_s3_ini_has(&chain->credentials.ini, VPI_S3_PROFILE, profile) ||
           vpi_s3_ini_has(&chain->config.ini, VPI_S3_PROFILE, profile);
}

vp_status vpi_s3_profile_load(vpi_s3_chain *chain, vp_error *err)
{
    if (chain->loaded) return VP_OK;
    VPI_TRY(load(&chain->credentials, "AWS_SHARED_CREDENTIALS_FILE", "/.aws/credentials", true, err));
    VPI_TRY(load(&chain->config, "AWS_CONFIG_FILE", "/.aws/config", false, err));
    if (chain->named && !has(chain, chain->profile))
        return tell_missing(chain, "profile", chain->profile, err);
    chain->loaded = true;
    return VP_OK;
}

void vpi_s3_profile_unload(vpi_s3_chain *chain)
{
    vpi_s3_file *files[] = { &chain->credentials, &chain->config };

    for (size_t i = 0; i < VPI_COUNT(files); i++) {
        vpi_s3_ini_dispose(&files[i]->ini);
        vpi_free(files[i]->path);
        *files[i] = (vpi_s3_file){ 0 };
    }
    chain->loaded = false;
}

const char *vpi_s3_profile_get(const vpi_s3_chain *chain, const char *profile, const char *name)
{
    const char *value = vpi_s3_ini_get(&chain->credentials.ini, VPI_S3_PROFILE, profile, name, NULL);

    return value ? value : vpi_s3_ini_get(&chain->config.ini, VPI_S3_PROFILE, profile, name, NULL);
}

static const char *file_of(const vpi_s3_chain *chain, const char *profile, const char *name)
{
    bool first = vpi_s3_ini_get(&chain->credentials.ini, VPI_S3_PROFILE, profile, name, NULL) != NULL;

    return name_of(first ? &chain->credentials : &chain->config);
}

/* ---- region and endpoint ---- */

vp_status vpi_s3_region(vpi_s3_chain *chain, const char **out, vp_error *err)
{
    *out = vpi_s3_env("AWS_REGION");
    if (!*out) *out = vpi_s3_env("AWS_DEFAULT_REGION");
    if (*out) return VP_OK;
    VPI_TRY(vpi_s3_profile_load(chain, err));
    *out = vpi_s3_profile_get(chain, chain->profile, "region");
    return VP_OK;
}

static bool is_true(const char *text)
{
    return text && strcasecmp(text, "true") == 0;
}

/* docs.aws.amazon.com/sdkref, "Service-specific endpoints": environment, then profile; the service's own first. */
vp_status vpi_s3_endpoint(vpi_s3_chain *chain, const char *service, const char **out, vp_error *err)
{
    const char *services;

    *out = NULL;
    if (vpi_s3_env_true("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS")) return VP_OK;
    VPI_TRY(vpi_s3_profile_load(chain, err));
    if (!vpi_s3_env("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS") &&
        is_true(vpi_s3_profile_get(chain, chain->profile, "ignore_configured_endpoint_urls")))
        return VP_OK;
    *out = vpi_s3_env(strcmp(service, "s3") == 0 ? "AWS_ENDPOINT_URL_S3" : "AWS_ENDPOINT_URL_STS");
    if (!*out) *out = vpi_s3_env("AWS_ENDPOINT_URL");
    services = vpi_s3_profile_get(chain, chain->profile, "services");
    if (!*out && services)
        *out = vpi_s3_ini_get(&chain->config.ini, VPI_S3_SERVICES, services, service, "endpoint_url");
    if (!*out) *out = vpi_s3_profile_get(chain, chain->profile, "endpoint_url");
    return VP_OK;
}

/* ---- one profile ---- */

typedef struct walk {
    vpi_s3_chain *chain;
    const char *seen[SOURCES_MAX];
    unsigned depth;
} walk;

static vp_status resolve(walk *w, const char *name, vpi_s3_secret *out, vp_error *err);

static vp_status keys(const vpi_s3_file *file, const char *name, vpi_s3_secret *out, vp_error *err)
{
    const vpi_s3_ini *ini = &file->ini;
    const char *access = vpi_s3_ini_get(ini, VPI_S3_PROFILE, name, "aws_access_key_id", NULL);
    const char *secret = vpi_s3_ini_get(ini, VPI_S3_PROFILE, name, "aws_secret_access_key", NULL);
    const char *token = vpi_s3_ini_get(ini, VPI_S3_PROFILE, name, "aws_session_token", NULL);
    vp_error own = VP_ERROR_INIT;
    vp_status st;

    if (!access && !secret) return VP_END;
    if (!access || !secret)
        return vpi_fail(err, VP_E_AUTH, "CREDENTIALS_MISSING", "%s without %s (%s)",
                        access ? "aws_access_key_id" : "aws_secret_access_key",
                        access ? "aws_secret_access_key" : "aws_access_key_id", name_of(file));
    if (!token) token = vpi_s3_ini_get(ini, VPI_S3_PROFILE, name, "aws_security_token", NULL);
    st = vpi_s3_secret_make(out, access, secret, token, NULL, &own);
    return st < 0 ? vpi_s3_where(err, &own, "%s", name_of(file)) : VP_OK;
}

static vp_status named_source(walk *w, const char *source, vpi_s3_secret *out, vp_error *err)
{
    vp_error own = VP_ERROR_INIT;
    vp_status st;

    if (strcmp(source, "Environment") == 0) {
        st = vpi_s3_from_environment(w->chain, out, &own);
    } else if (strcmp(source, "EcsContainer") == 0) {
        st = vpi_s3_from_container(w->chain, out, &own);
    } else if (strcmp(source, "Ec2InstanceMetadata") == 0) {
        st = vpi_s3_from_imds(w->chain, out, &own);
    } else {
        return vpi_fail(err, VP_E_AUTH, "CREDENTIALS_MISSING",
                        "credential_source is none of Environment, EcsContainer, Ec2InstanceMetadata");
    }
    if (st == VP_END)
        return vpi_fail(err, VP_E_AUTH, "CREDENTIALS_MISSING", "credential_source %s has none: %s", source,
                        w->chain->notes);
    return st < 0 ? vpi_s3_where(err, &own, "credential_source %s", source) : VP_OK;
}

static vp_status profile_source(walk *w, const char *name, const char *source, vpi_s3_secret *out,
                                vp_error *err)
{
    vp_status st;

    if (!has(w->chain, source)) return tell_missing(w->chain, "source_profile", source, err);
    if (strcmp(source, name) == 0) { /* a role and the keys for it in one */
        st = keys(&w->chain->credentials, name, out, err);
        if (st == VP_END) st = keys(&w->chain->config, name, out, err);
    } else {
        st = resolve(w, source, out, err);
    }
    return st == VP_END ? vpi_fail(err, VP_E_AUTH, "CREDENTIALS_MISSING",
                                   "source_profile %s has no credentials", source)
                        : st;
}

static vp_status assume(walk *w, const char *name, const vpi_s3_role *role, vpi_s3_secret *out, vp_error *err)
{
    const char *profile = vpi_s3_profile_get(w->chain, name, "source_profile");
    const char *source = vpi_s3_profile_get(w->chain, name, "credential_source");
    vpi_s3_secret with = { 0 };
    vp_status st;

    if (!profile == !source)
        return vpi_fail(err, VP_E_AUTH, "CREDENTIALS_MISSING",
                        "role_arn with %s source_profile %s credential_source (%s)",
                        source ? "both" : "neither", source ? "and" : "nor",
                        file_of(w->chain, name, "role_arn"));
    if (vpi_s3_profile_get(w->chain, name, "mfa_serial"))
        return vpi_fail(err, VP_E_AUTH, "CREDENTIALS_MISSING",
                        "mfa_serial asks for a code, which nobody can be asked for here (%s)",
                        file_of(w->chain, name, "mfa_serial"));
    st = source ? named_source(w, source, &with, err) : profile_source(w, name, profile, &with, err);
    if (st >= 0) st = vpi_s3_assume_role(w->chain, role, &with, out, err);
    vpi_s3_secret_wipe(&with);
    return st;
}

/* Sessions of people, which the AWS CLI signs in; it also gives them away. */
static vp_status signed_in(const vpi_s3_chain *chain, const char *name, vp_error *err)
{
    static const char *const settings[] = { "sso_account_id", "sso_role_name" };

    for (size_t i = 0; i < VPI_COUNT(settings); i++)
        if (vpi_s3_profile_get(chain, name, settings[i]))
            return vpi_fail(
                err, VP_E_AUTH, "CREDENTIALS_MISSING",
                "it signs in through SSO, which is not built in; another profile may have "
                "credential_process = aws configure export-credentials --profile %s --format process",
                name);
    return VP_END;
}

static vp_status login(const vpi_s3_chain *chain, const char *name, vp_error *err)
{
    if (!vpi_s3_profile_get(chain, name, "login_session")) return VP_END;
    return vpi_fail(err, VP_E_AUTH, "CREDENTIALS_MISSING",
                    "it has a session of \"aws login\", which is not built in; another profile may have "
                    "credential_process = aws configure export-credentials --profile %s --format process",
                    name);
}

static vp_status from_role(walk *w, const char *name, vpi_s3_secret *out, vp_error *err)
{
    vpi_s3_chain *chain = w->chain;
    const vpi_s3_role role = { .arn = vpi_s3_profile_get(chain, name, "role_arn"),
                               .session = vpi_s3_profile_get(chain, name, "role_session_name"),
                               .external_id = vpi_s3_profile_get(chain, name, "external_id"),
                               .duration = vpi_s3_profile_get(chain, name, "duration_seconds") };
    const char *token = vpi_s3_profile_get(chain, name, "web_identity_token_file");
    vp_error own = VP_ERROR_INIT;
    vp_status st;

    if (token) {
        if (!role.arn)
            return vpi_fail(err, VP_E_AUTH, "CREDENTIALS_MISSING",
                            "web_identity_token_file without role_arn (%s)",
                            file_of(chain, name, "web_identity_token_file"));
        st = vpi_s3_from_web_identity(chain, &role, token, out, &own);
        return st < 0 ? vpi_s3_where(err, &own, "web_identity_token_file") : VP_OK;
    }
    if (!role.arn) return VP_END;
    /* Named as the source of another one, a profile with keys gives these (botocore). */
    if (w->depth > 1 && (vpi_s3_profile_get(chain, name, "aws_access_key_id") ||
                         vpi_s3_profile_get(chain, name, "aws_secret_access_key")))
        return VP_END;
    return assume(w, name, &role, out, err);
}

static vp_status from_process(vpi_s3_chain *chain, const char *name, vpi_s3_secret *out, vp_error *err)
{
    const char *command = vpi_s3_profile_get(chain, name, "credential_process");
    vp_error own = VP_ERROR_INIT;
    vp_status st;

    if (!command) return VP_END;
    st = vpi_s3_from_process(chain, command, out, &own);
    return st < 0 ? vpi_s3_where(err, &own, "credential_process (%s)",
                                 file_of(chain, name, "credential_process"))
                  : VP_OK;
}

static vp_status ways(walk *w, const char *name, vpi_s3_secret *out, vp_error *err)
{
    vp_status st = from_role(w, name, out, err);

    if (st == VP_END) st = signed_in(w->chain, name, err);
    if (st == VP_END) st = keys(&w->chain->credentials, name, out, err);
    if (st == VP_END) st = login(w->chain, name, err);
    if (st == VP_END) st = from_process(w->chain, name, out, err);
    if (st == VP_END) st = keys(&w->chain->config, name, out, err);
    return st;
}

static vp_status resolve(walk *w, const char *name, vpi_s3_secret *out, vp_error *err)
{
    vp_error own = VP_ERROR_INIT;
    vp_status st;

    for (unsigned i = 0; i < w->depth; i++)
        if (strcmp(w->seen[i], name) == 0)
            return vpi_fail(err, VP_E_AUTH, "CREDENTIALS_MISSING", "source_profile %s goes round in a circle",
                            name);
    if (w->depth == SOURCES_MAX)
        return vpi_fail(err, VP_E_AUTH, "CREDENTIALS_MISSING", "more than %u source profiles in a row",
                        SOURCES_MAX);
    w->seen[w->depth++] = name;
    st = ways(w, name, out, &own);
    w->depth--;
    return st < 0 ? vpi_s3_where(err, &own, "profile %s", name) : st;
}

vp_status vpi_s3_from_profile(vpi_s3_chain *chain, vpi_s3_secret *out, vp_error *err)
{
    const vpi_s3_file *a = &chain->credentials, *b = &chain->config;
    walk w = { .chain = chain };
    vp_status st = resolve(&w, chain->profile, out, err);

    if (st != VP_END) return st;
    return vpi_s3_note(chain, "profile %s: none in %s%s%s%s, %s%s%s%s", chain->profile, name_of(a),
                       a->why[0] ? " (" : "", a->why, a->why[0] ? ")" : "", name_of(b), b->why[0] ? " (" : "",
                       b->why, b->why[0] ? ")" : "");
}
