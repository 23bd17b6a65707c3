/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VPT_API_HOST_H
#define VPT_API_HOST_H

/* What the tests that see the library as a host share: a clip made by ffmpeg, a room with handles, helpers. */

#include <dirent.h>
#include <dlfcn.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include <vodpipe/vodpipe.h>

#define SKIPPED 77
/* Small and quick: one rung, segments of one second. */
#define QUICK "{\"preset\":\"ultrafast\",\"ladder\":\"240p\",\"segment\":1,\"gop\":1}"

#define assert_ok(call) assert_status(VP_OK, call)
#define assert_status(want, call) assert_status_at((want), (call), #call, __FILE__, __LINE__)

static inline void assert_status_at(vp_status want, vp_status got, const char *call, const char *file,
                                    int line)
{
    if (got == want) return;
    print_error("%s: %s, not %s\n", call, vp_status_name(got), vp_status_name(want));
    _fail(file, line);
}

static inline void assert_no_error_at(vp_status want, vp_status got, const vp_error *err, const char *file,
                                      int line)
{
    if (got == want && (got >= 0 || err->status == got)) return;
    print_error("%s (%s %s), not %s (op %s, key %s): %s\n", vp_status_name(got), vp_status_name(err->status),
                err->reason, vp_status_name(want), err->op, err->key, err->message);
    _fail(file, line);
}
/* The same for a call that fills err, which has to say the same, and says what is in it. */
#define assert_end(want, call, err) assert_no_error_at((want), (call), (err), __FILE__, __LINE__)

/*
 * A function of libavutil as a host has it that uses FFmpeg itself: the library's own copy is loaded locally. NULL as
 * the handle is RTLD_DEFAULT: of what the process is linked with.
 */
static inline void *av_symbol(const char *name)
{
    const char *soname = getenv("VODPIPE_AVUTIL");
    return dlsym(soname && *soname ? dlopen(soname, RTLD_NOW | RTLD_GLOBAL) : NULL, name);
}

static inline bool full_run(void)
{
    const char *full = getenv("CI_FULL");
    return full && *full && strcmp(full, "0") != 0;
}

static inline int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static inline void sleep_ms(int64_t ms)
{
    struct timespec t = { ms / 1000, (long)(ms % 1000) * 1000000 };
    nanosleep(&t, NULL);
}

/* ---- the clip ---- */

typedef struct clip {
    uint8_t *data;
    size_t size;
} clip;

static clip the_clip, long_clip;

static inline bool clip_load(const char *path, clip *to)
{
    FILE *f = fopen(path, "rb");
    struct stat s;
    bool ok = f && fstat(fileno(f), &s) == 0 && s.st_size > 0;
    if (ok) {
        to->size = (size_t)s.st_size;
        to->data = malloc(to->size);
        ok = to->data && fread(to->data, 1, to->size, f) == to->size;
    }
    if (f) fclose(f);
    return ok;
}

static inline bool clip_make(int seconds, clip *to)
{
    char path[] = "/tmp/vpt-clip-XXXXXX", command[640];
    int fd = mkstemp(path);
    if (fd < 0) return false;
    close(fd);
    snprintf(
        command, sizeof(command),
        "ffmpeg -nostdin -v error -y -f lavfi -i testsrc2=s=320x180:r=25:d=%d -f lavfi -i "
        "sine=f=440:r=48000:d=%d "
        "-c:v libx264 -preset ultrafast -g 25 -c:a aac -b:a 64k -map_metadata -1 -fflags +bitexact -f mp4 %s",
        seconds, seconds, path);
    bool ok = system(command) == 0 && clip_load(path, to);
    unlink(path);
    return ok;
}

/*
 * Makes the clips of three and twelve seconds; 77 with a reason on stderr where they cannot be had, for the main
 * function of a test to return.
 */
static inline int clips_open(void)
{
    if (!vp_feature("media") || !vp_feature("h264")) {
        fprintf(stderr, "skipped: the library is built without media\n");
        return SKIPPED;
    }
    if (system("command -v ffmpeg >/dev/null 2>&1") != 0) {
        fprintf(stderr, "skipped: no ffmpeg to make a clip with\n");
        return SKIPPED;
    }
    if (!clip_make(3, &the_clip) || !clip_make(12, &long_clip)) {
        fprintf(stderr, "ffmpeg could not make the clip\n");
        return 1;
    }
    return 0;
}

static inline int clips_close(int rc)
{
    free(the_clip.data);
    free(long_clip.data);
    the_clip = long_clip = (clip){ 0 };
    return rc;
}

/* ---- a room ---- */

typedef struct room {
    vp_context *context;
    vp_source *source;
    vp_sink *sink;
    vp_store *work;
    vp_queue *queue;
    vp_job *job;
    vp_error err;
} room;

static inline void room_source(room *r, const clip *c)
{
    vp_source_unref(r->source);
    assert_ok(vp_source_memory(r->context, c->data, c->size, &r->source, &r->err));
}

static inline int room_open(void **state)
{
    room *r = calloc(1, sizeof(*r));
    vp_context_options o = VP_CONTEXT_OPTIONS_INIT;
    *state = r;
    if (!r) return -1;
    o.threads = 2;
    vp_error_init(&r->err);
    return vp_context_new(&o, &r->context, NULL) == VP_OK &&
                   vp_sink_memory(r->context, &r->sink, NULL) == VP_OK &&
                   vp_store_memory(r->context, &r->work, NULL) == VP_OK &&
                   vp_queue_new(&r->queue, NULL) == VP_OK &&
                   (!the_clip.size ||
                    vp_source_memory(r->context, the_clip.data, the_clip.size, &r->source, NULL) == VP_OK)
               ? 0
               : -1;
}

static inline int room_close(void **state)
{
    room *r = *state;
    vp_job_unref(r->job);
    vp_source_unref(r->source);
    vp_sink_unref(r->sink);
    vp_store_unref(r->work);
    vp_queue_unref(r->queue);
    vp_context_unref(r->context);
    free(r);
    return 0;
}

/* A new job of the room's handles, started. The room owns it. */
static inline void room_start(room *r, const char *settings)
{
    r->job = vp_job_unref(r->job);
    assert_end(
        VP_OK,
        vp_job_new_json(r->context, r->source, r->sink, r->work, r->queue, 0, settings, &r->job, &r->err),
        &r->err);
    assert_end(VP_OK, vp_job_start(r->job, &r->err), &r->err);
}

static inline void room_publish(room *r, const char *settings, vp_status want)
{
    room_start(r, settings);
    assert_end(want, vp_job_wait(r->job, -1, &r->err), &r->err);
}

/* Reads the queue until it gives one of the terminal events, which is returned in *e. */
static inline bool is_terminal(const vp_event *e)
{
    return e->kind >= VP_EVENT_DONE;
}

static inline void read_until_end(vp_queue *queue, vp_event *e)
{
    do {
        vp_event_init(e, sizeof(*e));
        assert_ok(vp_queue_next(queue, 60000, e, NULL));
    } while (!is_terminal(e));
}

/* ---- listings ---- */

static inline vp_status count_key(void *user, const vp_object_info *info)
{
    (void)info;
    ++*(unsigned *)user;
    return VP_OK;
}

static inline unsigned sink_count(vp_sink *sink)
{
    unsigned n = 0;
    assert_ok(vp_sink_list(sink, "", count_key, &n, NULL));
    return n;
}

static inline vp_status count_value(void *user, const vp_object_info *info)
{
    if (strncmp(info->key, "lease/", 6) != 0) ++*(unsigned *)user;
    return VP_OK;
}

/* Values of a store without its leases. */
static inline unsigned store_count(vp_store *store)
{
    unsigned n = 0;
    assert_ok(vp_store_list(store, "", count_value, &n, NULL));
    return n;
}

static inline bool sink_holds(vp_sink *sink, const char *key)
{
    vp_object_info info = VP_OBJECT_INFO_INIT;
    vp_status st = vp_sink_stat(sink, key, &info, NULL);
    assert_true(st == VP_OK || st == VP_END);
    return st == VP_OK;
}

typedef struct comparison {
    vp_sink *from, *with;
    unsigned different, count;
} comparison;

static inline vp_status compare_key(void *user, const vp_object_info *info)
{
    comparison *c = user;
    vp_bytes *ours = NULL, *theirs = NULL;
    bool same = vp_sink_get(c->from, info->key, 0, &ours, NULL) == VP_OK &&
                vp_sink_get(c->with, info->key, 0, &theirs, NULL) == VP_OK &&
                vp_bytes_size(ours) == vp_bytes_size(theirs) &&
                memcmp(vp_bytes_data(ours), vp_bytes_data(theirs), (size_t)vp_bytes_size(ours)) == 0;
    if (!same) print_error("%s differs\n", info->key);
    c->count++;
    c->different += !same;
    vp_bytes_unref(ours);
    vp_bytes_unref(theirs);
    return VP_OK;
}

/* Both sinks hold the same objects. */
static inline void assert_same_title(vp_sink *a, vp_sink *b)
{
    comparison c = { a, b, 0, 0 };
    assert_ok(vp_sink_list(a, "", compare_key, &c, NULL));
    assert_int_equal(c.different, 0);
    assert_true(c.count > 0);
    assert_int_equal(sink_count(b), c.count);
}

/* Threads of this process; retries a little, because a joined thread may be listed for a moment. */
static inline unsigned thread_count(void)
{
    unsigned n = 0;
    DIR *d = opendir("/proc/self/task");
    if (!d) return 0;
    while (readdir(d)) n++;
    closedir(d);
    return n - 2;
}

static inline unsigned thread_count_settled(unsigned want)
{
    unsigned n = thread_count();
    for (int i = 0; i < 100 && n > want; i++) {
        sleep_ms(10);
        n = thread_count();
    }
    return n;
}

#endif
