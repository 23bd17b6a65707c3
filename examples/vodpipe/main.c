/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef __GLIBC__
#include <malloc.h>
#endif

#include "cli.h"

vp_cancel *cli_cancel;

typedef struct command {
    const char *name;
    uint32_t bit;
    int (*run)(const cli_options *o);
    const char *text;
} command;

static const command commands[] = {
    { "probe", CMD_PROBE, cmd_probe, "what is it, is it safe, is it whole" },
    { "publish", CMD_PUBLISH, cmd_publish, "a video in, a playable HLS and DASH ladder out" },
    { "package", CMD_PACKAGE, cmd_package, "ready-made renditions, without transcoding" },
    { "plan", CMD_PLAN, cmd_plan, "write the plan of a publish and its tasks, run none" },
    { "run", CMD_RUN, cmd_run, "run one task of a plan, anywhere" },
    { "finish", CMD_FINISH, cmd_finish, "when all tasks are in: manifests, and the title is visible" },
    { "verify", CMD_VERIFY, cmd_verify, "check a published title against the rules" },
    { "put", CMD_PUT, cmd_put, "a file, or a folder with all that is in it, into a bucket" },
    { "presign", CMD_PRESIGN, cmd_presign, "an address of an object that others may use for a while" },
};
#define COMMAND_COUNT (sizeof(commands) / sizeof(commands[0]))

static void print_help(FILE *to)
{
    fputs("usage: vodpipe COMMAND ...\n\n", to);
    for (size_t i = 0; i < COMMAND_COUNT; i++) fprintf(to, "  %-9s %s\n", commands[i].name, commands[i].text);
    fputs("\nvodpipe COMMAND --help lists what a command takes; vodpipe --version says what was built.\n",
          to);
}

static void print_version(void)
{
    printf("vodpipe %s (ABI %u)\n", vp_version_string(), (unsigned)vp_abi_version());
    printf("licence of the whole as built: %s\n", vp_build_license());
    printf("features:%s%s\n", vp_feature("media") ? " media" : " none", vp_feature("h264") ? " h264" : "");
    fputs(vp_build_info(), stdout);
}

/* The first signal lets the work be kept; the same or the other one once more ends the process at once. */
static void on_signal(int number)
{
    (void)number;
    signal(SIGINT, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
    vp_cancel_fire(cli_cancel);
}

static void catch_signals(void)
{
    static const int numbers[] = { SIGINT, SIGTERM };
    struct sigaction act = { 0 }, old;
    act.sa_handler = on_signal;
    act.sa_flags = SA_RESTART;
    sigemptyset(&act.sa_mask);
    for (size_t i = 0; i < 2; i++) {
        /* A shell that starts us in the background ignores SIGINT for us; that is kept. */
        if (sigaction(numbers[i], NULL, &old) == 0 && old.sa_handler != SIG_IGN)
            sigaction(numbers[i], &act, NULL);
    }
    signal(SIGPIPE, SIG_IGN); /* a reader of stdout that went away is an error of writing, not the end */
}

static bool log_level(const cli_options *o, int32_t *level)
{
    static const struct {
        const char *name;
        int32_t level;
    } levels[] = { { "debug", VP_LOG_DEBUG }, { "info", VP_LOG_INFO }, { "warn", VP_LOG_WARN } };
    const char *text = getenv("VODPIPE_LOG");
    *level = VP_LOG_NONE;
    if (!text || !*text) return true;
    for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++)
        if (!strcmp(levels[i].name, text)) *level = levels[i].level;
    if (*level != VP_LOG_NONE) return true;
    usage_error(o, "VODPIPE_LOG is debug, info or warn, not '%s'", text);
    return false;
}

static int32_t chosen_log_level;

vp_status context_open(const cli_options *o, vp_context **out, vp_error *err)
{
    vp_context_options c = VP_CONTEXT_OPTIONS_INIT;
    c.threads = o->jobs;
    c.memory_bytes = (uint64_t)o->memory_mb * 1000000;
    if (chosen_log_level != VP_LOG_NONE) {
        c.log = log_line;
        c.log_level = chosen_log_level;
    }
    vp_status st = vp_context_new(&c, out, err);
    if (st >= 0) vp_libav_log_redirect(*out); /* no lines of FFmpeg's own on stderr */
    return st;
}

static int run_command(const command *c, int argc, char **argv)
{
    cli_options o = { .command = c->name, .command_bit = c->bit };
    vp_error err = VP_ERROR_INIT;
    int status = EXIT_USAGE;
    if (options_parse(&o, argc, argv)) {
        if (o.help) {
            options_help(&o);
            status = EXIT_DONE;
        } else if (log_level(&o, &chosen_log_level)) {
            vp_status st = vp_cancel_new(&cli_cancel, &err);
            if (st >= 0) catch_signals();
            vp_cancel_scope(
                cli_cancel); /* also where a call takes none: a server may be silent for minutes */
            status = st < 0 ? fail(&o, st, &err) : c->run(&o);
            vp_cancel_scope(NULL);
            /* After the last use by the handler: a signal from here on ends the process. */
            signal(SIGINT, SIG_DFL);
            signal(SIGTERM, SIG_DFL);
            cli_cancel = vp_cancel_unref(cli_cancel);
            vp_libav_log_redirect(NULL);
        }
    }
    free(o.args);
    return output_close(&o, status);
}

int main(int argc, char **argv)
{
    cli_options none = { .command = "vodpipe" };
#ifdef __GLIBC__
    /* fixed, where glibc lets it grow to 32 MiB: pictures go back to the system as soon as they are done */
    mallopt(M_MMAP_THRESHOLD, 1 << 20);
#endif
    if (vp_abi_version() != VP_ABI_VERSION) {
        fprintf(stderr, "vodpipe: the library has ABI %u, this tool needs %u\n", (unsigned)vp_abi_version(),
                (unsigned)VP_ABI_VERSION);
        return EXIT_FAILED;
    }
    if (argc < 2) {
        print_help(stderr);
        return EXIT_USAGE;
    }
    if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h")) {
        print_help(stdout);
        return output_close(&none, EXIT_DONE);
    }
    if (!strcmp(argv[1], "--version")) {
        print_version();
        return output_close(&none, EXIT_DONE);
    }
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        if (!strcmp(argv[1], commands[i].name)) return run_command(&commands[i], argc - 2, argv + 2);
    fprintf(stderr, "vodpipe: unknown command '%s'; vodpipe --help lists them\n", argv[1]);
    return EXIT_USAGE;
}
