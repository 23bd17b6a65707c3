/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "session.h"

/* put: what is on disk into a bucket; what a journal in the work store says is in already is not sent again. */

typedef struct putting {
    reporter *report;
    vp_s3_progress last;
    uint64_t first; /* bytes that were there at the beginning */
    int64_t started_us;
} putting;

static int64_t now_us(void)
{
    struct timespec t = { 0 };
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static void on_progress(void *user, const vp_s3_progress *p)
{
    putting *put = user;
    int64_t now = now_us(), eta = -1;
    if (!put->started_us) {
        put->started_us = now;
        put->first = p->bytes;
    }
    uint64_t sent = p->bytes - put->first;
    if (sent)
        eta = (int64_t)((double)(now - put->started_us) * (double)(p->bytes_total - p->bytes) / (double)sent);
    put->last = *p;
    put->report->objects = p->objects;
    put->report->bytes = p->bytes;
    reporter_progress(put->report, VP_STAGE_UPLOAD, "bytes", p->bytes, p->bytes_total, eta);
}

/* Where it goes: of a file "s3://bucket" and "s3://bucket/folder/" name what it is put into, under its own name. */
static vp_status split_target(const cli_options *o, char **bucket, char **key, vp_error *err)
{
    const char *file = o->args[0], *target = o->args[1], *slash = strrchr(file, '/');
    struct stat info;
    char *whole = NULL;
    bool done = place_split(target, bucket, key);
    if (done && (!**key || target[strlen(target) - 1] == '/') && stat(file, &info) == 0 &&
        S_ISREG(info.st_mode)) {
        done = asprintf(&whole, "%s%s%s", *key, **key ? "/" : "", slash ? slash + 1 : file) >= 0;
        free(*key);
        *key = done ? whole : NULL;
    }
    return done ? VP_OK : vp_error_set(err, VP_E_NOMEM, "NOMEM", 0, "out of memory");
}

int cmd_put(const cli_options *o)
{
    vp_error err = VP_ERROR_INIT;
    vp_sink_s3_options sink = VP_SINK_S3_OPTIONS_INIT;
    session s = { 0 };
    char *bucket = NULL, *key = NULL;
    vp_s3 *s3 = NULL;
    session_init(&s, o);
    putting put = { .report = &s.report, .last = VP_S3_PROGRESS_INIT };
    int status = session_open_work(&s, o->args[1], o->work);
    if (status == EXIT_DONE) {
        s.opened = true;
        s.report.work = s.work_path;
        vp_status st = remote_s3(&s.remote, &s3, &err);
        if (st >= 0) st = split_target(o, &bucket, &key, &err);
        sink.bucket = bucket;
        sink.prefix = key && *key ? key : NULL;
        if (st >= 0) reporter_stage(&s.report, VP_STAGE_UPLOAD);
        if (st >= 0) st = vp_s3_put_tree(s3, o->args[0], &sink, s.work, on_progress, &put, cli_cancel, &err);
        if (st < 0) {
            status = fail(o, st, &err);
        } else {
            reporter_done(&s.report, NULL, false);
            reporter_close(&s.report);
            if (s.report.mode != SHOW_JSON)
                print_line("%" PRIu64 " objects, %" PRIu64 " bytes, %" PRIu64 " of them were there",
                           put.last.objects, put.last.bytes, put.last.skipped);
            session_abandon(&s);
        }
    }
    free(bucket);
    free(key);
    session_close(&s);
    return status;
}
