/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VPI_S3_CREDENTIALS_H
#define VPI_S3_CREDENTIALS_H

/*
 * What the places that credentials come from know of each other. Each answers VP_OK (there they are), VP_END (it has
 * none, and has said why in the chain's notes) or a failure: it is set up, and does not work.
 */

#include "s3_int.h"

#define VPI_S3_FILE_MAX ((size_t)1 << 20)
#define VPI_S3_LINE_MAX ((size_t)16 << 10)
#define VPI_S3_ANSWER_MAX ((size_t)64 << 10)
#define VPI_S3_ORIGIN 300

/* ---- secrets (credentials.c) ---- */

/* Overwritten, then freed; NULL is allowed. */
void vpi_s3_text_free(char *text);
/* "2026-07-31T12:00:00Z", with a fraction, with an offset. */
bool vpi_s3_time_parse(const char *text, int64_t *us);
/* Takes the texts by copying; token NULL or "": none. expires: as above, NULL or "": never. DATA, NOMEM. */
vp_status vpi_s3_secret_make(vpi_s3_secret *to, const char *access_key, const char *secret_key,
                             const char *token, const char *expires, vp_error *err);
bool vpi_s3_secret_expired(const vpi_s3_secret *secret);

/* ---- answers in JSON (credentials_json.c) ---- */

typedef enum vpi_s3_form {
    VPI_S3_FORM_PROCESS, /* Version 1, SessionToken */
    VPI_S3_FORM_METADATA /* Token; Code where it is a refusal */
} vpi_s3_form;
/* DATA for what is none; no text of the document is in an error, but a Code. */
vp_status vpi_s3_json(const void *text, size_t size, vpi_s3_form form, vpi_s3_secret *out, vp_error *err);

/* ---- shared config and credentials files (profile.c) ---- */

typedef enum vpi_s3_section {
    VPI_S3_OTHER,
    VPI_S3_PROFILE,
    VPI_S3_SSO_SESSION,
    VPI_S3_SERVICES
} vpi_s3_section;

typedef struct vpi_s3_setting {
    vpi_s3_section section;
    const char *in;         /* name of the section */
    const char *name, *sub; /* in lower case; NULL: the section itself; sub NULL: the setting itself */
    const char *value;
} vpi_s3_setting;

/* Zeroed: an empty file. */
typedef struct vpi_s3_ini {
    char *text; /* cut into pieces, which the settings point to */
    size_t size;
    vpi_s3_setting *settings;
    size_t count, cap;
} vpi_s3_ini;
/*
 * AWS's dialect (docs.aws.amazon.com/sdkref, "Shared config and credentials files"). credentials: section names are
 * names of profiles as they are. DATA with the line.
 */
vp_status vpi_s3_ini_parse(vpi_s3_ini *ini, const void *text, size_t size, bool credentials, vp_error *err);
void vpi_s3_ini_dispose(vpi_s3_ini *ini); /* wipes */
bool vpi_s3_ini_has(const vpi_s3_ini *ini, vpi_s3_section section, const char *in);
/* The last one of that name; NULL: none, or it is empty. */
const char *vpi_s3_ini_get(const vpi_s3_ini *ini, vpi_s3_section section, const char *in, const char *name,
                           const char *sub);

/* ---- the chain (chain.c) ---- */

typedef struct vpi_s3_file {
    char *path;   /* NULL: there is no home directory */
    char why[64]; /* it could not be read; "": it was */
    vpi_s3_ini ini;
} vpi_s3_file;

struct vpi_s3_chain {
    vp_context *context;
    char *given;      /* the profile that the host named; NULL: none */
    vpi_http *remote; /* STS */
    vpi_http *near;   /* what stands on this machine or its link: answers at once or not at all */
    /* of one call */
    vp_cancel *cancel;
    int64_t deadline_us;
    char *profile;
    bool named; /* by the host or by AWS_PROFILE: has to be there */
    bool loaded;
    vpi_s3_file credentials, config;
    char notes[1024];
};

/* NULL where it is not set, or empty. */
const char *vpi_s3_env(const char *name);
bool vpi_s3_env_true(const char *name);
/* Why a place has none; returns VP_END. */
vp_status vpi_s3_note(vpi_s3_chain *chain, const char *format, ...) VPI_PRINTF(2, 3);
/*
 * "WHERE: text of from". What may work later keeps its status and reason, all else is AUTH CREDENTIALS_MISSING; what is
 * no fault of the place (cancel, memory, closed context) is told as it is.
 */
vp_status vpi_s3_where(vp_error *err, const vp_error *from, const char *format, ...) VPI_PRINTF(3, 4);
/* False for cancel, memory and what else ends the search. */
bool vpi_s3_fault_of_place(vp_status status);
/* Sleeps; sees cancel and the end of the context. */
vp_status vpi_s3_pause(vpi_s3_chain *chain, int ms, vp_error *err);
/* A regular file as a whole, with a NUL behind that size counts not; for vpi_s3_buf_wipe. IO with errno, LIMIT. */
vp_status vpi_s3_read_file(const char *path, vpi_buf *out, vp_error *err);
/* Tried up to attempts times, within the chain's time. VP_OK with any status, the last try's. */
vp_status vpi_s3_ask(vpi_s3_chain *chain, vpi_http *http, const vpi_http_request *request, unsigned attempts,
                     vpi_http_answer *out, vp_error *err);
/* For a status that is not 200; native is the status. */
vp_status vpi_s3_refused(vp_error *err, const char *url, const vpi_http_answer *answer, const char *code);

/* ---- profiles (chain_profile.c) ---- */

/* Reads both files, once a call. AUTH CREDENTIALS_MISSING for bad files, and where a named profile is not there. */
vp_status vpi_s3_profile_load(vpi_s3_chain *chain, vp_error *err);
void vpi_s3_profile_unload(vpi_s3_chain *chain);
/* Of the credentials file, else of the config file. */
const char *vpi_s3_profile_get(const vpi_s3_chain *chain, const char *profile, const char *name);
vp_status vpi_s3_from_profile(vpi_s3_chain *chain, vpi_s3_secret *out, vp_error *err);
/* service: "s3", "sts". Borrowed, NULL: none. Needs the files where the environment says nothing. */
vp_status vpi_s3_endpoint(vpi_s3_chain *chain, const char *service, const char **out, vp_error *err);
vp_status vpi_s3_region(vpi_s3_chain *chain, const char **out, vp_error *err);

/* ---- places ---- */

vp_status vpi_s3_from_environment(vpi_s3_chain *chain, vpi_s3_secret *out, vp_error *err); /* chain.c */
vp_status vpi_s3_from_process(vpi_s3_chain *chain, const char *command, vpi_s3_secret *out, vp_error *err);
vp_status vpi_s3_from_container(vpi_s3_chain *chain, vpi_s3_secret *out, vp_error *err);
vp_status vpi_s3_from_imds(vpi_s3_chain *chain, vpi_s3_secret *out, vp_error *err);

/* Texts are borrowed; NULL: none. */
typedef struct vpi_s3_role {
    const char *arn, *session, *external_id, *duration;
} vpi_s3_role;
vp_status vpi_s3_from_web_identity(vpi_s3_chain *chain, const vpi_s3_role *role, const char *token_file,
                                   vpi_s3_secret *out, vp_error *err);
vp_status vpi_s3_assume_role(vpi_s3_chain *chain, const vpi_s3_role *role, const vpi_s3_secret *source,
                             vpi_s3_secret *out, vp_error *err);
/*
 * Credentials of an answer of STS; code: of an error, "" where there is none, letters and digits only. DATA where there
 * is neither. All memory is wiped.
 */
vp_status vpi_s3_sts_answer(const void *xml, size_t size, vpi_s3_secret *out, char code[64], vp_error *err);

/* A command as words, without a shell: blanks, '...', "...", \. NULL-terminated, all in one for vpi_free. */
vp_status vpi_s3_words(const char *command, char ***out, vp_error *err); /* process.c */

#endif
