# SPDX-License-Identifier: LGPL-2.1-or-later
"""A host of the library that publishes under keys, lets go of everything, and looks through its own memory for them.
Not a test by itself.

    scan(folder, clip, keys, spellings, settings) -> ([hits while the keys are held], [hits after])
"""
import os
import re
import subprocess

from titles import BUILD, SRC, Skip

LIB = os.environ.get("VODPIPE_LIB") or os.path.join(BUILD, "lib/libvodpipe.so")
# The program never holds what it looks for: patterns come masked, and are compared masked.
MASK = 0x5A
PROGRAM = r"""
#define _GNU_SOURCE
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <vodpipe/vodpipe.h>

static unsigned char patterns[16][64];
static size_t sizes[16], pattern_count;
static unsigned char first[256]; /* a pattern begins so */

static void die(const char *what, const vp_error *err)
{
    fprintf(stderr, "%s: %s\n", what, err ? err->message : "failed");
    exit(1);
}

/* Addresses of all writable maps, found before anything is compared. */
static int scan(const char *when)
{
    static char line[4096];
    uintptr_t from[512], to[512];
    char names[512][48];
    size_t count = 0;
    int hits = 0;
    FILE *f = fopen("/proc/self/maps", "r");

    while (f && count < 512 && fgets(line, sizeof(line), f)) {
        char rights[5], name[48] = "";

        if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " %4s %*s %*s %*s %47s", &from[count], &to[count], rights, name) < 3)
            continue;
        if (rights[0] != 'r' || rights[1] != 'w' || !strncmp(name, "[v", 2)) continue;
        strcpy(names[count++], name);
    }
    if (!f) die("/proc/self/maps", NULL);
    fclose(f);
    for (size_t m = 0; m < count; m++) {
        const volatile unsigned char *p = (const volatile unsigned char *)from[m];

        for (size_t i = 0, n = to[m] - from[m]; i < n; i++) {
            if (!first[p[i] ^ MASK]) continue;
            for (size_t k = 0; k < pattern_count; k++) {
                size_t j = 0;

                while (j < sizes[k] && i + j < n && (unsigned char)(p[i + j] ^ MASK) == patterns[k][j]) j++;
                if (j < sizes[k]) continue;
                printf("%s: pattern %zu at %p in %s\n", when, k, (void *)(from[m] + i), names[m]);
                hits++;
            }
        }
    }
    printf("%s: %d hits in %zu maps\n", when, hits, count);
    return hits;
}

static vp_keys *load(const char *path)
{
    vp_error err = VP_ERROR_INIT;
    vp_keys *keys = NULL;
    char *text = malloc(65536);
    int fd = open(path, O_RDONLY);
    ssize_t size = fd < 0 || !text ? -1 : read(fd, text, 65536);

    if (size < 0) die(path, NULL);
    close(fd);
    if (vp_keys_parse(text, (uint64_t)size, &keys, &err) < 0) die(path, &err);
    explicit_bzero(text, 65536);
    free(text);
    return keys;
}

/* INPUT OUT KEYS SCHEME SETTINGS_JSON [CANCEL_MS] */
static void publish(char **arg)
{
    vp_error err = VP_ERROR_INIT;
    vp_context *context = NULL;
    vp_source *source = NULL;
    vp_sink *sink = NULL;
    vp_job *job = NULL;
    vp_job_options options = VP_JOB_OPTIONS_INIT;
    vp_transcode_options transcode = VP_TRANSCODE_OPTIONS_INIT;
    vp_status st = vp_context_new(NULL, &context, &err);

    if (st >= 0) st = vp_source_file(context, arg[0], &source, &err);
    if (st >= 0) st = vp_sink_directory(context, arg[1], &sink, &err);
    transcode.preset = "ultrafast";
    transcode.encrypt = (uint32_t)atoi(arg[3]);
    transcode.keys = load(arg[2]);
    options.source = source;
    options.sink = sink;
    options.transcode = &transcode;
    options.settings_json = arg[4];
    if (st >= 0) st = vp_job_new(context, &options, &job, &err);
    if (st >= 0) st = vp_job_start(job, &err);
    if (st < 0) die("vp_job_new", &err);
    if (atoi(arg[5])) {
        st = vp_job_wait(job, atoi(arg[5]), &err);
        vp_job_cancel(job, NULL);
        (void)vp_job_wait(job, -1, &err);
    } else if ((st = vp_job_wait(job, -1, &err)) != VP_OK) {
        die("vp_job_wait", &err);
    }
    scan("held");
    vp_job_unref(job);
    vp_keys_unref(transcode.keys);
    vp_sink_unref(sink);
    vp_source_unref(source);
    vp_context_unref(context);
}

int main(int argc, char **argv)
{
    if (argc < 8) return 2;
    for (int i = 7; i < argc && pattern_count < 16; i++) {
        size_t size = strlen(argv[i]) / 2;

        for (size_t k = 0; k < size && k < 64; k++) {
            unsigned byte = 0;

            sscanf(argv[i] + 2 * k, "%2x", &byte);
            patterns[pattern_count][k] = (unsigned char)byte;
        }
        first[patterns[pattern_count][0]] = 1;
        sizes[pattern_count++] = size;
    }
    publish(argv + 1);
    scan("after");
    return 0;
}
"""


def build(folder):
    source, to = os.path.join(folder, "memory.c"), os.path.join(folder, "memory")
    if not os.path.isfile(LIB):
        raise Skip("no library at " + LIB)
    with open(source, "w", encoding="utf-8") as f:
        f.write(PROGRAM.replace("MASK", "0x%x" % MASK))
    at = os.path.dirname(LIB)
    try:
        run = subprocess.run([*os.environ.get("CC", "cc").split(), "-std=gnu11", "-O2", "-Wall", "-Wextra", "-I",
                              os.path.join(SRC, "include"), source, "-o", to, "-L", at, "-Wl,-rpath," + at,
                              "-lvodpipe"], capture_output=True, text=True)
    except FileNotFoundError as error:
        raise Skip("no compiler: %s" % error) from None
    assert run.returncode == 0, run.stderr[-800:]
    return to


def masked(pattern):
    return bytes(b ^ MASK for b in pattern).hex()


def scan(program, source, out, keys, scheme, settings, patterns, cancel_ms=0):
    """(Hits while the keys are held, hits after, [lines])."""
    env = {k: v for k, v in os.environ.items() if k != "MALLOC_PERTURB_"} # which would wipe what is freed
    run = subprocess.run([program, source, out, keys, str(scheme), settings, str(cancel_ms), *map(masked, patterns)],
                         capture_output=True, text=True, env=env)
    assert run.returncode == 0, "exit %d: %s" % (run.returncode, (run.stdout + run.stderr)[-600:])
    counts = {k: int(n) for k, n in re.findall(r"^(held|after): (\d+) hits", run.stdout, re.M)}
    return counts["held"], counts["after"], run.stdout.strip().split("\n")
