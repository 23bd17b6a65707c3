/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A process with a work store in a bucket, driven by test_s3_store.py: lines on stdin, one line of answer each on
 * stdout.
 *
 *     s3_store_host [life=S] [renew=MS] [attempts=N] [from=BYTES] BUCKET PREFIX
 *
 *     put NAME TEXT | fill NAME SIZE SEED | get NAME | list PREFIX | remove NAME | abort NAME SIZE | race COUNT TEXT
 *     | lease NAME | renew NAME | unlease NAME | fork NAME | interrupt MS | scope MS | close | counts | quit
 *
 * Answers begin with ok, end, again, or "fail STATUS REASON MESSAGE". Credentials and endpoint come from the
 * environment.
 */
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/hash.h"
#include "io/io.h"
#include "s3/store.h"

#define THREADS 4
#define LEASES 32

static vp_s3_options options = VP_S3_OPTIONS_INIT;
static uint32_t life_s, renew_ms;
static vp_context *context;
static vp_s3 *s3;
static vp_store *store;
static vp_cancel *within;
static struct {
    char name[64];
    vp_lease *lease;
} leases[LEASES];

static void say(vp_status st, const vp_error *err, const char *more)
{
    if (st < 0)
        printf("fail %s %s %s\n", vp_status_name(st), err->reason, err->message);
    else
        printf("%s%s%s\n", st == VP_END ? "end" : st == VP_AGAIN ? "again" : "ok", more[0] ? " " : "", more);
    fflush(stdout);
}

/* The same bytes for the same seed in every process. */
static void fill(uint8_t *data, size_t size, uint64_t seed)
{
    uint64_t x = seed * UINT64_C(0x9E3779B97F4A7C15) + 1;

    for (size_t i = 0; i < size; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        data[i] = (uint8_t)x;
    }
}

/* "ok SIZE CRC32C" */
static vp_status put_filled(const char *name, size_t size, uint64_t seed, bool give_up, char *more,
                            size_t room, vp_error *err)
{
    uint8_t *data = calloc(1, size + 1);
    vp_value *v = NULL;
    vp_status st;

    fill(data, size, seed);
    snprintf(more, room, "%zu %08x", size, (unsigned)vpi_crc32c(0, data, size));
    st = vp_store_begin(store, name, &v, err);
    for (size_t at = 0; st >= 0 && at < size; at += 100000)
        st = vp_value_write(v, data + at, VPI_MIN(size - at, 100000), err);
    free(data);
    if (st < 0 || give_up) {
        vp_value_abort(v);
        return st;
    }
    return v ? vp_value_commit(v, err) : st;
}

/* "ok SIZE CRC32C" */
static vp_status get(const char *name, char *more, size_t room, vp_error *err)
{
    static uint8_t piece[300000];
    vp_source *source = NULL;
    uint64_t size = 0, at = 0;
    uint32_t crc = 0;
    vp_status st = vp_store_open(store, name, &source, err);

    if (st == VP_OK) st = vp_source_size(source, &size, err);
    while (st == VP_OK && at < size) {
        size_t got = 0;

        st = vp_source_read_at(source, at, piece, sizeof(piece), &got, err);
        if (!got) break;
        crc = vpi_crc32c(crc, piece, got);
        at += got;
    }
    vp_source_unref(source);
    snprintf(more, room, "%" PRIu64 " %08x", at, (unsigned)crc);
    return st;
}

/* ---- races ---- */

static struct {
    const char *text;
    int next, count;
    int outcome[1000]; /* status of each name */
    pthread_mutex_t lock;
} race = { .lock = PTHREAD_MUTEX_INITIALIZER };

/* Values of 10 bytes to 20 kB that begin with the text, so that it is seen whose they are, and end with it. */
static void *race_main(void *arg)
{
    char name[32], *value = malloc(20100);

    (void)arg;
    for (;;) {
        vp_error err = VP_ERROR_INIT;
        size_t n = strlen(race.text), size;
        int i;

        pthread_mutex_lock(&race.lock);
        i = race.next < race.count ? race.next++ : -1;
        pthread_mutex_unlock(&race.lock);
        if (i < 0) break;
        if (race.text[n - 1] & 1)
            i ^= 7; /* from the other end of each eight: so both win some, and they meet */
        size = 10 + 2 * n + (size_t)i * 7919 % 20000;
        memset(value, '.', size);
        memcpy(value, race.text, n);
        memcpy(value + size - n, race.text, n);
        snprintf(name, sizeof(name), "race/%03d", i);
        race.outcome[i] = vp_store_put(store, name, value, size, &err);
        if (race.outcome[i] < 0) fprintf(stderr, "%s: %s %s\n", name, err.reason, err.message);
    }
    free(value);
    return NULL;
}

static void run_race(int count, const char *text)
{
    pthread_t threads[THREADS];

    race.text = text;
    race.next = 0;
    race.count = count;
    for (int i = 0; i < THREADS; i++) pthread_create(&threads[i], NULL, race_main, NULL);
    for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    printf("ok ");
    for (int i = 0; i < count; i++) {
        int st = race.outcome[i];

        putchar(st == VP_OK ? 'w' : st == VP_END ? 'l' : 'f');
    }
    putchar('\n');
    fflush(stdout);
}

/* ---- the rest ---- */

static int find(const char *name)
{
    for (int i = 0; i < LEASES; i++)
        if (leases[i].lease && strcmp(leases[i].name, name) == 0) return i;
    return -1;
}

static vp_status take(const char *name, char *more, size_t room, vp_error *err)
{
    uint64_t fence = 0;
    vp_lease *lease = NULL;
    vp_status st = vp_store_lease(store, name, &lease, &fence, err);

    if (st != VP_OK) return st;
    for (int i = 0; i < LEASES; i++) {
        if (leases[i].lease) continue;
        snprintf(leases[i].name, sizeof(leases[i].name), "%.*s", (int)sizeof(leases[i].name) - 1, name);
        leases[i].lease = lease;
        break;
    }
    snprintf(more, room, "%" PRIu64, fence);
    return VP_OK;
}

static vp_status on_listed(void *user, const vp_object_info *info)
{
    vpi_buf *text = user;

    vpi_buf_printf(text, "%s=", info->key);
    vpi_buf_printf(text, "%llu ", (unsigned long long)info->size);
    return strcmp(info->key, "stop") == 0 ? VP_END : VP_OK;
}

static vp_status list(const char *prefix, char *more, size_t room, vp_error *err)
{
    vpi_buf text = { 0 };
    vp_status st = vp_store_list(store, prefix, on_listed, &text, err);

    vpi_buf_u8(&text, 0);
    snprintf(more, room, "%s", (const char *)text.data);
    vpi_buf_dispose(&text);
    return st;
}

static void *interrupt_main(void *arg)
{
    usleep((useconds_t)(uintptr_t)arg * 1000);
    vpi_store_interrupt(store);
    return NULL;
}

/* A child that lets go of all that it inherited must not end the lease, nor wait for threads that it has not. */
static vp_status in_child(const char *name)
{
    int status = -1, at = find(name);
    pid_t pid = fork();

    if (pid == 0) {
        vp_error err = VP_ERROR_INIT;
        vp_value *v = NULL;
        bool good = vp_lease_renew(leases[at].lease, &err) == VP_E_STATE &&
                    vp_store_begin(store, "x", &v, &err) == VP_E_STATE;

        alarm(20); /* one that hangs ends, and fails */
        for (int i = 0; i < LEASES; i++) vp_lease_release(leases[i].lease);
        vp_store_unref(store);
        vp_s3_unref(s3);
        vp_context_unref(context);
        _exit(good ? 0 : 1);
    }
    waitpid(pid, &status, 0);
    return status == 0 ? VP_OK : VP_END;
}

static void counts(char *more, size_t room)
{
    vp_s3_counts c = VP_S3_COUNTS_INIT;

    vp_s3_get_counts(s3, &c, NULL);
    snprintf(more, room, "%" PRIu64 " %" PRIu64, c.requests, c.retries);
}

static vp_status command(const char *what, const char *name, const char *value, const char *third, char *more,
                         size_t room, vp_error *err)
{
    pthread_t thread;
    int at = find(name);

    if (!strcmp(what, "put")) return vp_store_put(store, name, value, strlen(value), err);
    if (!strcmp(what, "fill"))
        return put_filled(name, (size_t)atoll(value), (uint64_t)atoll(third), false, more, room, err);
    if (!strcmp(what, "abort")) return put_filled(name, (size_t)atoll(value), 1, true, more, room, err);
    if (!strcmp(what, "get")) return get(name, more, room, err);
    if (!strcmp(what, "list")) return list(name, more, room, err);
    if (!strcmp(what, "remove")) return vp_store_remove(store, name, err);
    if (!strcmp(what, "lease")) return take(name, more, room, err);
    if (!strcmp(what, "renew") && at >= 0) return vp_lease_renew(leases[at].lease, err);
    if (!strcmp(what, "unlease") && at >= 0) leases[at].lease = vp_lease_release(leases[at].lease);
    if (!strcmp(what, "fork") && at >= 0) return in_child(name);
    if (!strcmp(what, "close")) return vp_context_close(context, err);
    if (!strcmp(what, "counts")) counts(more, room);
    if (!strcmp(what, "interrupt")) {
        pthread_create(&thread, NULL, interrupt_main, (void *)(uintptr_t)atoi(name));
        pthread_detach(thread);
    }
    if (!strcmp(what, "scope")) { /* of all that follows; 0: none */
        vp_cancel_scope(NULL);
        within = vp_cancel_unref(within);
        if (atoi(name) == 0) return VP_OK;
        if (vp_cancel_new(&within, err) < 0) return VP_E_NOMEM;
        vp_cancel_deadline(within, (uint64_t)atoi(name));
        vp_cancel_scope(within);
    }
    return VP_OK;
}

static void serve(void)
{
    static char line[1 << 16], more[1 << 16];
    char what[32], name[1100], value[1100], third[100];

    while (fgets(line, sizeof(line), stdin)) {
        vp_error err = VP_ERROR_INIT;

        what[0] = name[0] = value[0] = third[0] = more[0] = 0;
        sscanf(line, "%31s %1099s %1099s %99s", what, name, value, third);
        if (!strcmp(what, "quit")) break;
        if (!strcmp(what, "race")) {
            run_race(atoi(name), value);
            continue;
        }
        say(command(what, name, value, third, more, sizeof(more), &err), &err, more);
    }
}

static void on_log(void *user, int32_t level, const char *module, const char *line)
{
    (void)user;
    fprintf(stderr, "log %d %s: %s\n", (int)level, module, line);
}

int main(int argc, char **argv)
{
    vp_context_options o = VP_CONTEXT_OPTIONS_INIT;
    vp_error err = VP_ERROR_INIT;
    int i = 1;
    vp_status st;

    options.flags = VP_S3_FROM_ENVIRONMENT;
    for (; i < argc && strchr(argv[i], '='); i++) {
        const char *value = strchr(argv[i], '=') + 1;

        if (!strncmp(argv[i], "life=", 5)) life_s = (uint32_t)atoi(value);
        if (!strncmp(argv[i], "renew=", 6)) renew_ms = (uint32_t)atoi(value);
        if (!strncmp(argv[i], "connections=", 12)) options.connections = (uint32_t)atoi(value);
        if (!strncmp(argv[i], "attempts=", 9)) options.attempts = (uint32_t)atoi(value);
        if (!strncmp(argv[i], "from=", 5)) options.multipart_from = strtoull(value, NULL, 0);
    }
    if (argc - i != 2) return 2;
    o.log = on_log;
    st = vp_context_new(&o, &context, &err);
    if (st >= 0) st = vp_s3_new(context, &options, &s3, &err);
    if (st >= 0) st = vpi_s3_store_new(s3, argv[i], argv[i + 1], life_s, renew_ms, &store, &err);
    say(st, &err, "");
    if (st >= 0) serve();
    vp_cancel_scope(NULL);
    vp_cancel_unref(within);
    for (i = 0; i < LEASES; i++) vp_lease_release(leases[i].lease);
    vp_store_unref(store);
    vp_s3_unref(s3);
    vp_context_unref(context);
    return st < 0 ? 1 : 0;
}
