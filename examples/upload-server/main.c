/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * upload-server --listen 127.0.0.1:PORT --data DIR [--max-size N] [--expire SECONDS] [--no-publish] [--refuse-early]
 *               [--sync BYTES] [--url URL] [--volatile]
 *
 * Takes uploads at /files/ (tus 1.0, and the IETF's draft), publishes each, and shows it: the page is at /.
 */

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server.h"

#define LOOK_FROM                                                                                            \
    (1u << 20) /* so many bytes of an upload are looked at, once they are durable, while the rest comes */
#define BEAT_MS 15000  /* between two signs of life to who reads events */
#define SWEEP_MS 60000 /* between two removals of old uploads */

static int usage(void)
{
    fprintf(stderr,
            "usage: upload-server --listen HOST:PORT --data DIR [--max-size BYTES] [--expire SECONDS]\n"
            "                     [--no-publish] [--refuse-early] [--sync BYTES] [--url URL] [--volatile]\n");
    return 2;
}

static bool read_number(const char *text, uint64_t *to)
{
    char *end;

    errno = 0;
    *to = strtoull(text, &end, 10);
    return text[0] >= '0' && text[0] <= '9' && !*end && !errno;
}

static bool read_listen(const char *text, settings *set)
{
    const char *colon = strrchr(text, ':');
    size_t n = colon ? (size_t)(colon - text) : 0;
    uint64_t port;

    if (!colon || n >= sizeof(set->host) || !read_number(colon + 1, &port) || port > 65535) return false;
    if (n > 2 && text[0] == '[' && text[n - 1] == ']') {
        text++;
        n -= 2;
    }
    memcpy(set->host, text, n);
    set->host[n] = 0;
    set->port = (uint16_t)port;
    return n > 0;
}

static bool read_arguments(int argc, char **argv, settings *set)
{
    *set = (settings){ .publish = true };
    for (int i = 1; i < argc; i++) {
        const char *name = argv[i], *value = i + 1 < argc ? argv[i + 1] : NULL;

        if (strcmp(name, "--no-publish") == 0) {
            set->publish = false;
        } else if (strcmp(name, "--refuse-early") == 0) {
            set->refuse = true;
        } else if (strcmp(name, "--volatile") == 0) {
            set->quick = true;
        } else if (!value) {
            return false;
        } else {
            i++;
            if (strcmp(name, "--listen") == 0 && read_listen(value, set)) continue;
            if (strcmp(name, "--max-size") == 0 && read_number(value, &set->max_size)) continue;
            if (strcmp(name, "--sync") == 0 && read_number(value, &set->sync) && set->sync > 0) continue;
            if (strcmp(name, "--expire") == 0 && read_number(value, &set->expire_s) &&
                set->expire_s <= UINT64_MAX / 1000)
                continue;
            if (strcmp(name, "--data") == 0)
                set->data = value;
            else if (strcmp(name, "--url") == 0)
                set->url = value;
            else
                return false;
        }
    }
    return set->data && set->host[0];
}

/* ---- the store and what goes with it ---- */

/* Where nothing can be written the start fails, not each upload. */
static bool make_folder(const char *data)
{
    char path[4096];
    size_t n = strlen(data);
    int why = 0;

    if (n >= sizeof(path)) {
        errno = ENAMETOOLONG;
        return false;
    }
    for (size_t i = 1; i <= n; i++) {
        if (data[i] && data[i] != '/') continue;
        memcpy(path, data, i);
        path[i] = 0;
        why = mkdir(path, 0777) == 0 || errno == EEXIST ? 0 : errno;
    }
    if (access(data, R_OK | W_OK | X_OK) == 0) return true;
    if (why) errno = why;
    return false;
}

static vp_status open_store(server *s, vp_error *err)
{
    vp_ingest_options o = VP_INGEST_OPTIONS_INIT;
    vp_tus_options t = VP_TUS_OPTIONS_INIT;
    char uploads[4096], outcomes[4096];
    vp_status st = vp_context_new(NULL, &s->context, err);

    if (!path_of(s, "uploads", NULL, uploads, sizeof(uploads)) ||
        !path_of(s, "outcomes", NULL, outcomes, sizeof(outcomes)))
        return vp_error_set(err, VP_E_ARG, "ARG", 0, "--data is too long");
    if (st >= 0) st = vp_queue_new(&s->queue, err);
    if (st >= 0) st = vp_cancel_new(&s->stop, err);
    if (st >= 0) st = vp_store_directory(s->context, outcomes, &s->outcomes, err);
    o.flags = s->set.quick ? VP_INGESTF_VOLATILE : 0;
    o.max_size = s->set.max_size;
    o.expire_ms = s->set.expire_s * 1000;
    /* Sooner durable than by itself, and so sooner refused. */
    o.sync_bytes = s->set.sync ? s->set.sync : s->set.refuse ? LOOK_FROM : 0;
    o.queue = s->set.publish ? s->queue : NULL; /* what grows is looked at */
    if (st >= 0) st = vp_ingest_directory(s->context, uploads, &o, &s->ingest, err);
    t.base_url = s->set.url;
    t.flags = VP_TUSF_CONCAT_EARLY | VP_TUSF_DRAFT;
    t.origins = "*"; /* whose page may upload: a host with users names its own */
    if (st >= 0) st = vp_tus_new(s->ingest, &t, &s->tus, err);
    return st;
}

static void close_store(server *s)
{
    vp_tus_unref(s->tus);
    vp_ingest_unref(s->ingest);
    vp_store_unref(s->outcomes);
    vp_cancel_unref(s->stop);
    vp_queue_unref(s->queue);
    vp_context_unref(s->context);
    titles_free(s);
    free(s->tus_script);
    free(s->player_script);
}

/* ---- events ---- */

static bool is_stopping(server *s)
{
    bool stopping;

    pthread_mutex_lock(&s->lock);
    stopping = s->stopping;
    pthread_mutex_unlock(&s->lock);
    return stopping;
}

/* Uploads that grow are looked at. Once a minute old ones are removed. */
static void *event_thread(void *user)
{
    server *s = user;
    int64_t pause = s->set.expire_s * 1000 < SWEEP_MS ? 1000 : SWEEP_MS;
    int64_t beat = now_ms(), swept = beat - pause; /* not of the clock, which may be put back */
    vp_event e;

    while (!is_stopping(s)) {
        vp_event_init(&e, sizeof(e));
        if (vp_queue_next(s->queue, 200, &e, NULL) == VP_OK) {
            if (e.kind == VP_EVENT_UPLOAD_PROGRESS && e.done >= LOOK_FROM && s->set.publish)
                titles_look(s, e.key);
        }
        requests_watch(s);
        if (now_ms() - beat >= BEAT_MS) {
            beat = now_ms();
            beat_listeners(s);
        }
        if (s->set.expire_s && now_ms() - swept >= pause) {
            swept = now_ms();
            vp_ingest_expire(s->ingest, s->stop, NULL, NULL);
        }
    }
    return NULL;
}

/* ---- HTTP ---- */

/* RFC 9112 3.2.2: a whole URL is to be taken as well; whose, nobody asks here. */
static const char *path_of_target(const char *target)
{
    size_t n = strncasecmp(target, "http://", 7) == 0 ? 7 : strncasecmp(target, "https://", 8) == 0 ? 8 : 0;

    if (!n) return target;
    target += n + strcspn(target + n, "/");
    return *target ? target : "/";
}

static bool is_upload(const char *target, const char *method)
{
    if (strcmp(target, "*") == 0) return strcmp(method, "OPTIONS") == 0;
    return strncmp(target, "/files", 6) == 0 && (target[6] == '/' || !target[6]);
}

/* *state of a request for a page, whose first call is over. */
static char page_begun;

enum MHD_Result on_request(void *user, struct MHD_Connection *c, const char *target, const char *method,
                           const char *version, const char *data, size_t *size, void **state)
{
    const char *unclear = *state ? NULL : request_unclear(c, version);

    if (unclear) return answer_text(c, 400, "text/plain", unclear);
    target = path_of_target(target);
    if (is_upload(target, method))
        return upload_request(user, c, target, method, data, size, (request **)state);
    /* An answer in the first call closes the connection: right where there is a body, which nobody wants. */
    if (!*state && request_size(c) == 0) {
        *state = &page_begun;
        return MHD_YES;
    }
    *size = 0;
    return page_request(user, c, target, method);
}

void on_end(void *user, struct MHD_Connection *c, void **state, enum MHD_RequestTerminationCode why)
{
    (void)user;
    if (*state != &page_begun) upload_request_end(*state, why);
    if (why == MHD_REQUEST_TERMINATED_COMPLETED_OK) close_soon_if_over(c);
    *state = NULL;
}

/* ---- from start to end ---- */

/* Blocked before any thread begins, so that sigwait here is the only one who gets them. */
static void block_signals(sigset_t *set)
{
    sigemptyset(set);
    sigaddset(set, SIGINT);
    sigaddset(set, SIGTERM);
    pthread_sigmask(SIG_BLOCK, set, NULL);
    signal(SIGPIPE, SIG_IGN);
}

/* Each connection and each upload under way has descriptors of its own. */
static void allow_descriptors(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

static void stop(server *s)
{
    vp_cancel_fire(s->stop);
    pthread_mutex_lock(&s->lock);
    s->stopping = true;
    pthread_cond_broadcast(&s->more);
    drop_listeners(s); /* libmicrohttpd does not stop with connections asleep */
    pthread_mutex_unlock(&s->lock);
}

static int serve(server *s, const sigset_t *signals)
{
    vp_error err = VP_ERROR_INIT;
    pthread_t events, titles[2];
    bool have_events = false, have_titles = false;
    int sig, status = 1;

    if (!make_folder(s->set.data)) {
        fprintf(stderr, "upload-server: cannot write to %s: %s\n", s->set.data, strerror(errno));
        return 1;
    }
    if (open_store(s, &err) < 0) goto done;
    if (s->set.publish) {
        have_titles = publish_start(s, titles, &err);
        if (!have_titles) goto done;
    }
    have_events = pthread_create(&events, NULL, event_thread, s) == 0;
    if (have_events) s->http = http_start(s);
    if (s->http) {
        sigwait(signals, &sig);
        status = 0;
    }
    stop(s);
    http_stop(s->http);
done:
    if (err.status < 0) fprintf(stderr, "upload-server: %s: %s\n", err.reason, err.message);
    if (have_events) pthread_join(events, NULL);
    for (int i = 0; have_titles && i < 2; i++) pthread_join(titles[i], NULL);
    return status;
}

int main(int argc, char **argv)
{
    static server s;
    pthread_condattr_t monotonic;
    sigset_t signals;
    int status;

    if (!read_arguments(argc, argv, &s.set)) return usage();
    block_signals(&signals);
    allow_descriptors();
    pthread_mutex_init(&s.lock, NULL);
    pthread_mutex_init(&s.refusals_lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&s.more, &monotonic);
    pthread_condattr_destroy(&monotonic);
    s.tus_script = read_beside("tus.js");
    s.player_script = read_beside("../player/hls.min.js");
    status = s.tus_script && s.player_script ? serve(&s, &signals) : 1;
    close_store(&s);
    pthread_cond_destroy(&s.more);
    pthread_mutex_destroy(&s.lock);
    pthread_mutex_destroy(&s.refusals_lock);
    return status;
}
