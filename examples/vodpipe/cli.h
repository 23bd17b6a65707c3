/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VODPIPE_CLI_H
#define VODPIPE_CLI_H

/*
 * vodpipe, the command-line tool: a host of the public API like any other. main.c chooses the command, options.c
 * reads the command line, report.c speaks (stdout: results and JSON, stderr: everything else), the other files
 * hold the commands.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>
#include <vodpipe/vodpipe.h>

enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_CANCELED = 3 };

/* Commands, as bits: the table of options says which ones take what. */
#define CMD_PROBE 0x01u
#define CMD_PUBLISH 0x02u
#define CMD_PACKAGE 0x04u
#define CMD_PLAN 0x08u
#define CMD_RUN 0x10u
#define CMD_FINISH 0x20u
#define CMD_VERIFY 0x40u
#define CMD_PUT 0x80u
#define CMD_PRESIGN 0x100u

typedef struct cli_options {
    const char *command; /* "publish" */
    uint32_t command_bit;
    bool help;
    bool json, full, decode, single_file, player, prune, force;
    const char *format, *ladder, *vcodec, *preset, *rate, *audio, *prefix, *timeline; /* NULL: not given */
    const char *work, *task, *input, *output, *progress, *source;
    const char *encrypt, *keys, *write_key_file;
    const char *endpoint, *region, *profile;
    bool path_style, gzip_manifests, unsigned_payload;
    uint32_t expires_s;
    uint32_t key_rotation, clear_lead_ms;
    uint32_t segment_ms, gop_ms, crf_milli, audio_kbps, max_fps, jobs, memory_mb,
        max_input_mb; /* 0: not given */
    char **args;      /* what is no option, in order */
    int arg_count;
} cli_options;

/* ---- options.c ---- */

/* Reads argv after the command's name. false: it was wrong, and the line was printed. */
bool options_parse(cli_options *o, int argc, char **argv);
void options_help(const cli_options *o); /* of one command, on stdout */
/* Prints a line of wrong usage and returns EXIT_USAGE. */
int usage_error(const cli_options *o, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* ---- place.c: INPUT, OUT and W as they are written ---- */

typedef enum {
    PLACE_PATH,
    PLACE_S3, /* begins with s3:// */
    PLACE_WEB /* with https:// or http:// */
} place_kind;

place_kind place_of(const char *place);
/* Of s3://bucket/key; key "" where there is none, without '/' at its end. Both to free. false: no memory. */
bool place_split(const char *place, char **bucket, char **key);
/* A copy without what may be secret in an address: user, password, query. NULL: no memory. */
char *place_shown(const char *place);
/* A copy that means the same in another folder. */
char *place_absolute(const char *place);
/* place and name of something in it. */
char *place_join(const char *place, const char *name);
/* What a word may be; false, and a line where it is something else. */
#define TAKES_PATH 0x1u
#define TAKES_PREFIX 0x2u /* s3://bucket, with more or not */
#define TAKES_OBJECT 0x4u /* s3://bucket/key */
#define TAKES_WEB 0x8u
bool place_check(const cli_options *o, const char *what, const char *place, unsigned takes);
/* The endpoint and region that hold here: of the command line, else of the environment; NULL: neither says one. */
const char *chosen_endpoint(const cli_options *o);
const char *chosen_region(const cli_options *o);
/* Where unfinished work of an s3:// OUT lies unless --work says so. NULL: no memory, or no HOME (*homeless). */
char *default_work(const cli_options *o, const char *out, bool *homeless);

/* ---- remote.c: handles for places ---- */

/* One client for all that is s3://, made with the first of them. */
typedef struct remote {
    const cli_options *options;
    vp_context *context;     /* borrowed */
    char *endpoint, *region; /* what job.json says, where the command line says nothing; NULL */
    bool path_style;
    vp_s3 *s3;
} remote;

void remote_init(remote *r, const cli_options *o, vp_context *context);
void remote_close(remote *r);
vp_status remote_s3(remote *r, vp_s3 **out, vp_error *err); /* *out is borrowed */
vp_status remote_source(remote *r, const char *place, vp_source **out, vp_error *err);
/* work (may be NULL) keeps uploads in parts. */
vp_status remote_sink(remote *r, const char *place, vp_store *work, bool gzip, vp_sink **out, vp_error *err);
vp_status remote_store(remote *r, const char *place, vp_store **out, vp_error *err);
/* web.c: a title below an address, to read. */
vp_status web_sink(vp_context *context, const char *address, const vp_http_options *http, vp_sink **out,
                   vp_error *err);
void fill_http(vp_http_options *http);

/* ---- report.c ---- */

typedef enum { SHOW_NONE, SHOW_BAR, SHOW_JSON } show_mode;

/* What is told while a command works. Callbacks of the library bring it here from their threads. */
typedef struct reporter {
    const cli_options *options;
    show_mode mode;
    const char *work; /* how the work store is called in events; NULL: none */
    bool ended;       /* an event that ends the stream went out */
    uint64_t objects, bytes;
    int64_t started_us;
} reporter;

/* From now on fail() and fail_text() tell this reporter too. */
void reporter_init(reporter *r, const cli_options *o);
/* vp_event_fn; user is a reporter. */
int32_t reporter_event(void *user, const vp_event *event);
void reporter_stage(reporter *r, int32_t stage);
/* permille of done and total. */
void reporter_progress(reporter *r, int32_t stage, const char *unit, uint64_t done, uint64_t total,
                       int64_t eta_us);
void reporter_warning(reporter *r, const char *name, int64_t time_us, const char *text);
/* The event that ends a stream in which the library did not end it. */
void reporter_done(reporter *r, const char *version, bool before);
/* Takes the bar off the terminal. */
void reporter_close(reporter *r);

/* Whole lines, safe beside the bar and from any thread. The text of note() gets "vodpipe: <command>: " before it. */
void note(const cli_options *o, const char *format, ...) __attribute__((format(printf, 2, 3)));
void print_line(const char *format, ...) __attribute__((format(printf, 1, 2)));
void print_bytes(vp_bytes *bytes); /* and a line break unless they end with one */
/* Flushes stdout; the status, or EXIT_FAILED with a line where it could not be written. */
int output_close(const cli_options *o, int status);

/* Ends the event stream where the library did not, prints the last line, returns the exit status. */
int fail(const cli_options *o, vp_status status, const vp_error *err);
int fail_text(const cli_options *o, const char *reason, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void log_line(void *user, int32_t level, const char *module, const char *line); /* vp_log_fn */
/* A copy in UTF-8: what is none becomes U+FFFD. NULL: no memory. */
char *utf8_copy(const char *text);

/* ---- settings.c ---- */

/* What the command line says about the title, in the two forms the library takes. */
typedef struct settings {
    char *json;              /* vp_job_options.settings_json */
    json_t *ladder_document; /* NULL: not a FILE */
    vp_transcode_options transcode;
    char *player_script;   /* text of hls.js, NULL */
    struct key_ring *keys; /* NULL: none */
} settings;

/* An exit status; EXIT_DONE: filled. */
int settings_load(settings *s, const cli_options *o);
void settings_free(settings *s);
/* Text of hls.js from where it is installed or built; NULL: there is none. */
char *player_script_load(void);

/* ---- keys.c ---- */

/* Keys of --keys, and which of them were used: for --write-key-file. */
typedef struct key_ring key_ring;
/* An exit status; *out NULL: no --keys. */
int keys_load(const cli_options *o, key_ring **out);
vp_keys *keys_provider(key_ring *ring); /* borrowed; NULL for NULL */
/* Writes what --write-key-file asks for. An exit status. */
int keys_write(const cli_options *o, key_ring *ring);
void keys_free(key_ring *ring); /* accepts NULL; zeroises */

/* ---- files.c ---- */

/* A whole file, at most limit bytes, with a NUL after it; NULL and errno. */
char *read_file(const char *path, size_t limit, size_t *size);
char *join_path(const char *folder, const char *name);
char *absolute_path(const char *path);
/* Whether this is how something in a work store is called, up to the first '/'. */
bool is_work(const char *name, size_t length);
/* NULL: the folder may be used for work; else the name of what is in it and not ours (to free). */
char *work_stranger(const char *path);
/* Takes away what an empty work store leaves behind: leases nobody holds, temporary files, folders. */
void work_remove(const char *path);

/* ---- main.c ---- */

/* Fires with SIGINT and SIGTERM; the second signal ends the process. */
extern vp_cancel *cli_cancel;
vp_status context_open(const cli_options *o, vp_context **out, vp_error *err);

/* ---- commands: an exit status ---- */

int cmd_probe(const cli_options *o);
int cmd_publish(const cli_options *o);
int cmd_package(const cli_options *o);
int cmd_plan(const cli_options *o);
int cmd_run(const cli_options *o);
int cmd_finish(const cli_options *o);
int cmd_verify(const cli_options *o);
int cmd_put(const cli_options *o);
int cmd_presign(const cli_options *o);

#endif
