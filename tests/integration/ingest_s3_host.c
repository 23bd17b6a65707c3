/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A process with a store of uploads in a bucket, driven by test_ingest_s3.py: lines on stdin, one line of answer each
 * on stdout. Bytes are those of FILE, so that nobody but the test knows what they should be.
 *
 *     ingest_s3_host [part=BYTES] [checksum=N] [sync=BYTES] [attempts=N] [flags=N] FILE BUCKET PREFIX
 *
 *     create ID LENGTH|- [SCOPE [partial]] | join ID ID,ID | open ID | append ID FROM SIZE | sync ID | length ID N
 *     | check ID ALGORITHM | checkend ID HEX | finish ID | close ID | stat ID | read ID | peek ID FROM SIZE | remove ID
 *     | list | expire | tidy SECONDS | many COUNT SIZE PREFIX SCOPE | memory | counts | closing MS | quit
 *     | fail N | tus METHOD TARGET FROM SIZE[!] [HEADERS]
 *
 * fail: the N-th allocation from then on fails, once; 0 ends that, and tells how many were left.
 * tus: a request by tus with these bytes as its body, which breaks off behind them where a ! stands; the lines of its
 * headers have '_' for a space and '|' between them. Its answer: "ok STATUS Name=value ..." and, for GET, "SIZE SHA".
 *
 * Answers begin with ok, end, again, or "fail STATUS REASON MESSAGE". Credentials and endpoint come from the
 * environment.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <vodpipe/tus.h>

#include "base/fault.h"
#include "base/hash.h"
#include "s3/ingest_s3.h"

#define HANDLES 64
#define THREADS_MAX 64
#define PIECE 100000u

static vp_s3_options options = VP_S3_OPTIONS_INIT;
static vp_ingest_options store_options = VP_INGEST_OPTIONS_INIT;
static vp_context *context;
static vp_s3 *s3;
static vp_ingest *store;
static vpi_hold *hold;
static vp_tus *tus;
static const uint8_t *file;
static size_t file_size;
static struct {
    char id[80];
    vp_upload *upload;
} handles[HANDLES];

static void say(vp_status st, const vp_error *err, const char *more)
{
    if (st < 0)
        printf("fail %s %s %s: %s\n", vp_status_name(st), err->reason[0] ? err->reason : "-", err->op,
               err->message);
    else
        printf("%s%s%s\n", st == VP_END ? "end" : st == VP_AGAIN ? "again" : "ok", more[0] ? " " : "", more);
    fflush(stdout);
}

static vp_upload **handle(const char *id)
{
    for (int i = 0; i < HANDLES; i++)
        if (handles[i].upload && strcmp(handles[i].id, id) == 0) return &handles[i].upload;
    return NULL;
}

static vp_status keep(const char *id, vp_upload *u)
{
    for (int i = 0; i < HANDLES; i++) {
        if (handles[i].upload) continue;
        snprintf(handles[i].id, sizeof(handles[i].id), "%s", id);
        handles[i].upload = u;
        return VP_OK;
    }
    return VP_E_LIMIT;
}

static vp_status create(const char *id, const char *length, const char *scope, const char *how, vp_error *err)
{
    vp_upload_options o = VP_UPLOAD_OPTIONS_INIT;
    vp_upload *u = NULL;
    vp_status st;

    o.id = id;
    o.scope = scope;
    if (length[0] != '-') o.length = strtoull(length, NULL, 10);
    if (strcmp(how, "partial") == 0) o.flags = VP_UPLOADF_PARTIAL;
    st = vp_ingest_create(store, &o, &u, err);
    return st == VP_OK ? keep(id, u) : st;
}

static vp_status join(const char *id, char *parts, vp_error *err)
{
    vp_upload_options o = VP_UPLOAD_OPTIONS_INIT;
    vp_upload *u = NULL;
    vp_status st;

    for (char *p = parts; *p; p++)
        if (*p == ',') *p = ' ';
    o.id = id;
    o.parts = parts;
    st = vp_ingest_create(store, &o, &u, err);
    return st == VP_OK ? keep(id, u) : st;
}

static void *closing_main(void *arg)
{
    usleep((useconds_t)(uintptr_t)arg * 1000);
    vp_context_close(context, NULL);
    return NULL;
}

static vp_status closing(unsigned ms)
{
    pthread_t t;

    if (pthread_create(&t, NULL, closing_main, (void *)(uintptr_t)ms) != 0) return VP_E_NOMEM;
    pthread_detach(t);
    return VP_OK;
}

static vp_status append(vp_upload *u, size_t from, size_t size, vp_error *err)
{
    if (from > file_size || size > file_size - from) return VP_E_ARG;
    for (size_t at = 0; at < size;) {
        size_t n = VPI_MIN(size - at, PIECE);
        vp_status st = vp_upload_append(u, vp_upload_offset(u), file + from + at, n, err);

        if (st < 0) return st;
        at += n;
    }
    return VP_OK;
}

static vp_status with_handle(const char *word, vp_upload **u, const char *a, const char *b, char *more,
                             size_t room, vp_error *err)
{
    vp_upload_info info = VP_UPLOAD_INFO_INIT;
    vp_status st = VP_E_ARG;
    unsigned char digest[64];
    size_t n = 0;

    if (!u) return st;
    if (strcmp(word, "append") == 0) {
        st = append(*u, strtoull(a, NULL, 10), strtoull(b, NULL, 10), err);
    } else if (strcmp(word, "sync") == 0) {
        st = vp_upload_sync(*u, err);
    } else if (strcmp(word, "length") == 0) {
        st = vp_upload_set_length(*u, strtoull(a, NULL, 10), err);
    } else if (strcmp(word, "check") == 0) {
        st = vp_upload_check_begin(*u, a, err);
    } else if (strcmp(word, "checkend") == 0) {
        for (; a[2 * n] && n < sizeof(digest); n++) {
            char hex[3] = { a[2 * n], a[2 * n + 1], 0 };

            digest[n] = (unsigned char)strtoul(hex, NULL, 16);
        }
        st = vp_upload_check_end(*u, digest, n, err);
    } else if (strcmp(word, "finish") == 0) {
        st = vp_upload_finish(*u, NULL, &info, err);
        if (st == VP_OK) snprintf(more, room, "%u %s", (unsigned)info.shared, info.sha256);
        return st;
    } else if (strcmp(word, "close") == 0) {
        *u = vp_upload_close(*u);
        return VP_OK;
    }
    snprintf(more, room, "%" PRIu64, vp_upload_offset(*u));
    return st;
}

static vp_status read_all(vp_source *source, uint64_t from, uint64_t to, char *more, size_t room,
                          vp_error *err)
{
    uint8_t *piece = malloc(PIECE);
    vpi_sha256 sha;
    char hex[65];
    vp_status st = VP_OK;
    uint64_t at = from;

    vpi_sha256_init(&sha);
    while (at < to) {
        size_t got = 0;

        st = vp_source_read_at(source, at, piece, (size_t)VPI_MIN(PIECE, to - at), &got, err);
        if (st < 0 || !got) break;
        vpi_sha256_add(&sha, piece, got);
        at += got;
        if (st != VP_OK) break;
    }
    vpi_sha256_hex(&sha, hex);
    snprintf(more, room, "%" PRIu64 " %s", at - from, hex);
    free(piece);
    return st;
}

static vp_status look(const char *word, const char *id, const char *a, const char *b, char *more, size_t room,
                      vp_error *err)
{
    vp_upload_info info = VP_UPLOAD_INFO_INIT;
    vp_source *source = NULL;
    uint64_t size = 0;
    vp_status st;

    if (strcmp(word, "stat") == 0) {
        st = vp_ingest_stat(store, id, &info, NULL, err);
        if (st == VP_OK)
            snprintf(more, room, "%d %" PRIu64 " %" PRId64 " %u", (int)info.state, info.offset,
                     (int64_t)info.length, (unsigned)info.shared);
        return st;
    }
    if (strcmp(word, "read") == 0) {
        st = vp_ingest_source(store, id, &source, err);
        if (st == VP_OK) st = vp_source_size(source, &size, err);
        if (st == VP_OK) st = read_all(source, 0, size, more, room, err);
    } else {
        st = vp_ingest_peek(store, id, &source, err);
        size = strtoull(a, NULL, 10);
        if (st == VP_OK) st = read_all(source, size, size + strtoull(b, NULL, 10), more, room, err);
    }
    vp_source_unref(source);
    return st;
}

/* ---- by tus ---- */

static vp_status tus_body(vp_tus_request *r, size_t from, size_t size, vp_error *err)
{
    for (size_t at = 0; at < size && vp_tus_state(r) == VP_TUS_BODY;) {
        size_t n = VPI_MIN(size - at, PIECE);
        vp_status st = vp_tus_body(r, file + from + at, n, err);

        if (st < 0) return st;
        at += n;
    }
    return VP_OK;
}

static vp_status tus_answer(vp_tus_request *r, char *more, size_t room, vp_error *err)
{
    const char *name, *value;
    vp_source *source = NULL;
    uint64_t from, size;
    vp_status st = VP_OK;
    size_t n = (size_t)snprintf(more, room, "%d", (int)vp_tus_status(r));

    for (uint32_t i = 0; vp_tus_answer_header(r, i, &name, &value, NULL) == VP_OK && n < room; i++)
        n += (size_t)snprintf(more + n, room - n, "|%s=%s", name, value);
    for (char *p = more; *p; p++) *p = *p == ' ' ? '_' : *p == '|' ? ' ' : *p;
    if (n < room && vp_tus_answer_source(r, &source, &from, &size, NULL) == VP_OK) {
        more[n++] = ' ';
        st = read_all(source, from, from + size, more + n, room - n, err);
        vp_source_unref(source);
    }
    return st;
}

static vp_status by_tus(char *const words[6], char *more, size_t room, vp_error *err)
{
    size_t from = strtoull(words[3], NULL, 10), size = strtoull(words[4], NULL, 10);
    bool breaks = strchr(words[4], '!') != NULL;
    vp_tus_request *r = NULL;
    vp_status st;

    if (from > file_size || size > file_size - from) return VP_E_ARG;
    for (char *p = words[5]; *p; p++) *p = *p == '_' ? ' ' : *p == '|' ? '\n' : *p;
    st = vp_tus_begin(tus, words[1], words[2], words[5], 0, &r, err);
    while (st >= 0 && vp_tus_state(r) != VP_TUS_ANSWER) {
        if (vp_tus_state(r) == VP_TUS_ASK) {
            st = vp_tus_accept(r, NULL, err);
        } else {
            st = tus_body(r, from, size, err);
            if (st >= 0 && breaks) break;
            if (st >= 0 && vp_tus_state(r) == VP_TUS_BODY) st = vp_tus_end(r, NULL, err);
        }
    }
    if (st >= 0 && vp_tus_state(r) == VP_TUS_ANSWER) st = tus_answer(r, more, room, err);
    vp_tus_close(r);
    return st;
}

/* ---- many at once ---- */

static struct {
    const char *prefix, *scope;
    size_t size;
    pthread_mutex_t lock;
    int next, shared, failed;
} many = { .lock = PTHREAD_MUTEX_INITIALIZER };

static void *many_main(void *arg)
{
    vp_error err = VP_ERROR_INIT;
    vp_upload_options o = VP_UPLOAD_OPTIONS_INIT;
    vp_upload_info info = VP_UPLOAD_INFO_INIT;
    vp_upload *u = NULL;
    char id[80];
    vp_status st;

    (void)arg;
    pthread_mutex_lock(&many.lock);
    snprintf(id, sizeof(id), "%s%d", many.prefix, many.next++);
    pthread_mutex_unlock(&many.lock);
    o.id = id;
    o.scope = many.scope;
    o.length = many.size;
    st = vp_ingest_create(store, &o, &u, &err);
    if (st == VP_OK) st = append(u, 0, many.size, &err);
    if (st == VP_OK) st = vp_upload_finish(u, NULL, &info, &err);
    if (st != VP_OK) fprintf(stderr, "%s: %s %s\n", id, err.reason, err.message);
    vp_upload_close(u);
    pthread_mutex_lock(&many.lock);
    many.failed += st != VP_OK;
    many.shared += info.shared != 0;
    pthread_mutex_unlock(&many.lock);
    return NULL;
}

static void run_many(int count, size_t size, const char *prefix, const char *scope, char *more, size_t room)
{
    pthread_t threads[THREADS_MAX];
    int n = VPI_MIN(count, THREADS_MAX);

    many.prefix = prefix;
    many.scope = scope;
    many.size = size;
    many.next = many.shared = many.failed = 0;
    for (int i = 0; i < n; i++)
        if (pthread_create(&threads[i], NULL, many_main, NULL) != 0) abort();
    for (int i = 0; i < n; i++) pthread_join(threads[i], NULL);
    snprintf(more, room, "%d %d", many.shared, many.failed);
}

/* ---- lines ---- */

static vp_status on_upload(void *user, const vp_upload_info *info)
{
    vpi_buf *b = user;

    vpi_buf_printf(b, "%s=%d ", info->id, (int)info->state);
    return VP_OK;
}

/* Of this process, in kB: of now and the most. */
static void memory(char *more, size_t room)
{
    FILE *f = fopen("/proc/self/status", "r");
    unsigned long now = 0, most = 0;
    char line[256];

    while (f && fgets(line, sizeof(line), f)) {
        if (strncmp(line, "VmRSS:", 6) == 0) now = strtoul(line + 6, NULL, 10);
        if (strncmp(line, "VmHWM:", 6) == 0) most = strtoul(line + 6, NULL, 10);
    }
    if (f) fclose(f);
    snprintf(more, room, "%lu %lu", now, most);
}

static vp_status of_store(const char *word, char *const words[6], char *more, size_t room, vp_error *err)
{
    vp_s3_counts counts = VP_S3_COUNTS_INIT;
    vpi_buf b = { 0 };
    uint64_t count = 0;
    vp_status st = VP_OK;

    if (strcmp(word, "list") == 0) {
        st = vp_ingest_list(store, on_upload, &b, err);
        snprintf(more, room, "%.*s", (int)b.size, b.size ? (const char *)b.data : "");
        vpi_buf_dispose(&b);
    } else if (strcmp(word, "expire") == 0) {
        st = vp_ingest_expire(store, NULL, &count, err);
        snprintf(more, room, "%" PRIu64, count);
    } else if (strcmp(word, "tidy") == 0) {
        st = vpi_hold_tidy_older(hold, strtoll(words[1], NULL, 10), NULL, err);
    } else if (strcmp(word, "many") == 0) {
        run_many(atoi(words[1]), strtoull(words[2], NULL, 10), words[3], words[4], more, room);
    } else if (strcmp(word, "memory") == 0) {
        memory(more, room);
    } else if (strcmp(word, "counts") == 0) {
        st = vp_s3_get_counts(s3, &counts, err);
        snprintf(more, room, "%" PRIu64 " %" PRIu64, counts.requests, counts.retries);
    } else {
        st = VP_E_ARG;
    }
    return st;
}

static void line(char *text)
{
    vp_error err = VP_ERROR_INIT;
    char *words[6] = { "", "", "", "", "", "" }, *more = calloc(1, 65536), *at = NULL;
    vp_upload *u = NULL;
    vp_status st;

    for (int i = 0; i < 6; i++) {
        char *word = strtok_r(i ? NULL : text, " \n", &at);

        if (!word) break;
        words[i] = word;
    }
    if (strcmp(words[0], "create") == 0) {
        st = create(words[1], words[2], words[3], words[4], &err);
    } else if (strcmp(words[0], "join") == 0) {
        st = join(words[1], words[2], &err);
    } else if (strcmp(words[0], "closing") == 0) {
        st = closing((unsigned)atoi(words[1]));
    } else if (strcmp(words[0], "open") == 0) {
        st = vp_ingest_open(store, words[1], &u, &err);
        if (st == VP_OK) st = keep(words[1], u);
        if (u) snprintf(more, 65536, "%" PRIu64, vp_upload_offset(u));
    } else if (strcmp(words[0], "remove") == 0) {
        st = vp_ingest_remove(store, words[1], &err);
    } else if (strcmp(words[0], "stat") == 0 || strcmp(words[0], "read") == 0 ||
               strcmp(words[0], "peek") == 0) {
        st = look(words[0], words[1], words[2], words[3], more, 65536, &err);
    } else if (strcmp(words[0], "fail") == 0) {
        snprintf(more, 65536, "%ld", atomic_exchange(&vpi_alloc_fail_at, atol(words[1])));
        st = VP_OK;
    } else if (strcmp(words[0], "tus") == 0) {
        st = by_tus(words, more, 65536, &err);
    } else if (handle(words[1])) {
        st = with_handle(words[0], handle(words[1]), words[2], words[3], more, 65536, &err);
    } else {
        st = of_store(words[0], words, more, 65536, &err);
    }
    say(st, &err, more);
    free(more);
}

static bool setting(const char *arg)
{
    if (sscanf(arg, "part=%" SCNu64, &options.part_size) == 1) return true;
    if (sscanf(arg, "checksum=%d", &options.checksum) == 1) return true;
    if (sscanf(arg, "attempts=%u", &options.attempts) == 1) return true;
    if (sscanf(arg, "sync=%" SCNu64, &store_options.sync_bytes) == 1) return true;
    return sscanf(arg, "flags=%u", &store_options.flags) == 1;
}

static int map_file(const char *path)
{
    struct stat s;
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0 || fstat(fd, &s) != 0) return -1;
    file_size = (size_t)s.st_size;
    file = mmap(NULL, file_size, PROT_READ, MAP_SHARED, fd, 0);
    close(fd);
    return file == MAP_FAILED ? -1 : 0;
}

int main(int argc, char **argv)
{
    vp_error err = VP_ERROR_INIT;
    char *text = NULL;
    size_t capacity = 0;
    int i = 1;

    options.flags = VP_S3_FROM_ENVIRONMENT;
    while (i < argc && strchr(argv[i], '=') && setting(argv[i])) i++;
    if (argc - i != 3 || map_file(argv[i]) != 0) return 2;
    if (vp_context_new(NULL, &context, &err) < 0 || vp_s3_new(context, &options, &s3, &err) < 0 ||
        vpi_hold_ingest(s3, argv[i + 1], argv[i + 2], &store_options, &store, &hold, &err) < 0) {
        say(err.status, &err, "");
        return 1;
    }
    if (vp_tus_new(store, NULL, &tus, &err) < 0) return 1;
    say(VP_OK, NULL, "");
    while (getline(&text, &capacity, stdin) > 0 && strncmp(text, "quit", 4) != 0) line(text);
    free(text);
    for (int k = 0; k < HANDLES; k++) vp_upload_close(handles[k].upload);
    vp_tus_unref(tus);
    vp_ingest_unref(store);
    vp_s3_unref(s3);
    vp_context_unref(context);
    return 0;
}
