/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* kafka_worker COMMAND: the command line; what the commands do is in plan.c, work.c and finish.c. */
#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kafka_worker.h"

void say(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    flockfile(stdout);
    vprintf(format, args);
    putchar('\n');
    fflush(stdout);
    funlockfile(stdout);
    va_end(args);
}

int complain(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    flockfile(stderr);
    fputs("kafka_worker: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    funlockfile(stderr);
    va_end(args);
    return 1;
}

static int usage(const char *program)
{
    fprintf(
        stderr,
        "usage: %s topics [--partitions N] [--replicas N]\n"
        "       %s plan INPUT OUT WORK [--ladder LIST] [--rate abr|crf|2pass] [--preset P] [--segment-ms N]\n"
        "             [--gop-ms N]\n"
        "       %s work   [--tasks N] [--attempts N] [--retry-ms N] [--grace S] [--jobs N]\n"
        "       %s finish [the same]\n"
        "       %s progress WORK\n"
        "each:  [--brokers HOST:PORT,...] [--name NAME] [-X librdkafka-name=value]...\n",
        program, program, program, program, program);
    return 2;
}

static bool number(const char *text, uint32_t least, uint32_t most, uint32_t *to)
{
    char *end;
    errno = 0;
    unsigned long value = strtoul(text, &end, 10);
    if (errno || end == text || *end || *text == '-' || value < least || value > most) return false;
    *to = (uint32_t)value;
    return true;
}

static bool rate(const char *text, uint32_t *to)
{
    *to = !strcmp(text, "abr") ? VP_RATE_ABR : !strcmp(text, "crf") ? VP_RATE_CRF : 0;
    if (!strcmp(text, "2pass")) *to = VP_RATE_2PASS;
    return *to != 0;
}

/* One option; false: its value is wrong. */
static bool take(options *o, int which, const char *value)
{
    switch (which) {
    case 'b':
        o->brokers = value;
        return true;
    case 'n':
        o->name = value;
        return *value && strlen(value) < 100;
    case 'X':
        o->extra[o->extra_count++] = value;
        return o->extra_count < 32 && strchr(value, '=');
    case 'p':
        return number(value, 1, 10000, &o->partitions);
    case 'r':
        return number(value, 1, 100, &o->replicas);
    case 't':
        return number(value, 1, 256, &o->tasks);
    case 'a':
        return number(value, 1, 1000, &o->attempts);
    case 'y':
        return number(value, 1, 3600000, &o->retry_ms);
    case 'g':
        return number(value, 0, 86400, &o->grace_s);
    case 'j':
        return number(value, 1, 1024, &o->jobs);
    case 'l':
        o->ladder = value;
        return true;
    case 'P':
        o->transcode.preset = value;
        return true;
    case 'R':
        return rate(value, &o->transcode.rate);
    case 's':
        return number(value, 500, 60000, &o->transcode.segment_ms);
    case 'G':
        return number(value, 250, 60000, &o->transcode.gop_ms);
    default:
        return false;
    }
}

int main(int argc, char **argv)
{
    static const struct option longs[] = {
        { "brokers", 1, NULL, 'b' },    { "name", 1, NULL, 'n' },     { "partitions", 1, NULL, 'p' },
        { "replicas", 1, NULL, 'r' },   { "attempts", 1, NULL, 'a' }, { "retry-ms", 1, NULL, 'y' },
        { "tasks", 1, NULL, 't' },      { "grace", 1, NULL, 'g' },    { "jobs", 1, NULL, 'j' },
        { "ladder", 1, NULL, 'l' },     { "preset", 1, NULL, 'P' },   { "rate", 1, NULL, 'R' },
        { "segment-ms", 1, NULL, 's' }, { "gop-ms", 1, NULL, 'G' },   { NULL, 0, NULL, 0 },
    };
    static const struct {
        const char *name;
        int args;
        int (*run)(const options *o);
    } commands[] = { { "topics", 0, cmd_topics },
                     { "plan", 3, cmd_plan },
                     { "progress", 1, cmd_progress },
                     { "work", 0, cmd_work },
                     { "finish", 0, cmd_finish } };
    options o = { .brokers = "localhost:9092",
                  .name = "vodpipe",
                  .partitions = 12,
                  .replicas = 1,
                  .tasks = 1,
                  .attempts = 5,
                  .retry_ms = 5000,
                  .grace_s = 20,
                  .transcode = VP_TRANSCODE_OPTIONS_INIT };
    int c;
    while ((c = getopt_long(argc, argv, "X:", longs, NULL)) != -1)
        if (!take(&o, c, optarg)) return usage(argv[0]);
    o.args = argv + optind + 1;
    o.arg_count = argc - optind - 1;
    for (size_t i = 0; optind < argc && i < sizeof(commands) / sizeof(commands[0]); i++) {
        if (strcmp(argv[optind], commands[i].name) != 0) continue;
        return o.arg_count == commands[i].args ? commands[i].run(&o) : usage(argv[0]);
    }
    return usage(argv[0]);
}
