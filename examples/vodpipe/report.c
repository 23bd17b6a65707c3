/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "cli.h"

/* Both streams are written under one lock: log lines, warnings and the bar come from several threads. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static bool bar_shown;    /* the bar stands on the terminal's last line */
static int stdout_error;  /* errno of the first failed write */
static reporter *current; /* of this run's command */
static bool failed;       /* the last line is out: nothing of the library's threads comes after it */

#define BAR_COLUMNS 512

/* ---- lines ---- */

static void bar_clear_locked(void)
{
    if (bar_shown) fputs("\r\033[K", stderr);
    bar_shown = false;
}

/* One line whatever is in the text: names of files may hold line breaks and worse. */
static void put_safe(FILE *to, const char *text)
{
    for (const unsigned char *p = (const unsigned char *)text; *p; p++)
        fputc(*p < 0x20 || *p == 0x7f ? '?' : *p, to);
}

static void err_line_locked(const cli_options *o, const char *text)
{
    bar_clear_locked();
    fputs("vodpipe: ", stderr);
    if (o) fprintf(stderr, "%s: ", o->command);
    put_safe(stderr, text);
    fputc('\n', stderr);
    fflush(stderr);
}

void note(const cli_options *o, const char *format, ...)
{
    char text[2048];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof(text), format, list);
    va_end(list);
    pthread_mutex_lock(&lock);
    err_line_locked(o, text);
    pthread_mutex_unlock(&lock);
}

void log_line(void *user, int32_t level, const char *module, const char *line)
{
    static const char *const names[] = { "", "error", "warning", "info", "debug" };
    (void)user;
    pthread_mutex_lock(&lock);
    if (!failed) {
        bar_clear_locked();
        fprintf(stderr, "vodpipe: %s: %s: ", level > 0 && level < 5 ? names[level] : "log", module);
        put_safe(stderr, line);
        fputc('\n', stderr);
    }
    pthread_mutex_unlock(&lock);
}

static void out_flush_locked(void)
{
    if ((fflush(stdout) != 0 || ferror(stdout)) && !stdout_error) stdout_error = errno ? errno : EIO;
}

void print_line(const char *format, ...)
{
    va_list list;
    pthread_mutex_lock(&lock);
    bar_clear_locked();
    va_start(list, format);
    vprintf(format, list);
    va_end(list);
    putchar('\n');
    out_flush_locked();
    pthread_mutex_unlock(&lock);
}

void print_bytes(vp_bytes *bytes)
{
    const char *data = vp_bytes_data(bytes);
    size_t size = (size_t)vp_bytes_size(bytes);
    pthread_mutex_lock(&lock);
    bar_clear_locked();
    fwrite(data, 1, size, stdout);
    if (!size || data[size - 1] != '\n') putchar('\n');
    out_flush_locked();
    pthread_mutex_unlock(&lock);
}

int output_close(const cli_options *o, int status)
{
    pthread_mutex_lock(&lock);
    out_flush_locked();
    int error = stdout_error;
    pthread_mutex_unlock(&lock);
    if (!error || status != EXIT_DONE) return status;
    note(o, "IO_ERROR: writing to standard output failed: %s", strerror(error));
    return EXIT_FAILED;
}

/* Bytes of one well-formed UTF-8 character; 0: it is none. */
static size_t utf8_length(const unsigned char *p)
{
    static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
    size_t n = *p < 0x80                 ? 1
               : *p >= 0xc2 && *p < 0xe0 ? 2
               : *p >= 0xe0 && *p < 0xf0 ? 3
               : *p >= 0xf0 && *p < 0xf5 ? 4
                                         : 0;
    uint32_t code = n == 2 ? *p & 0x1fu : n == 3 ? *p & 0x0fu : n == 4 ? *p & 0x07u : *p;
    for (size_t i = 1; i < n; i++) {
        if ((p[i] & 0xc0) != 0x80) return 0;
        code = code << 6 | (p[i] & 0x3fu);
    }
    return n && code >= least[n] && code <= 0x10ffff && (code < 0xd800 || code > 0xdfff) ? n : 0;
}

char *utf8_copy(const char *text)
{
    char *copy = malloc(3 * strlen(text) + 1), *to = copy;
    if (!copy) return NULL;
    for (const unsigned char *p = (const unsigned char *)text; *p;) {
        size_t n = utf8_length(p);
        memcpy(to, n ? (const char *)p : "\xef\xbf\xbd", n ? n : 3);
        to += n ? n : 3;
        p += n ? n : 1;
    }
    *to = 0;
    return copy;
}

/* ---- the bar ---- */

static size_t terminal_columns(void)
{
    struct winsize size;
    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col < 20) return 80;
    return size.ws_col < BAR_COLUMNS ? size.ws_col : BAR_COLUMNS - 1;
}

typedef struct text_line {
    char data[BAR_COLUMNS];
    size_t size, limit;
} text_line;

/* Adds a whole piece or, where it does not fit, nothing. */
static void add_piece(text_line *line, const char *format, ...)
{
    char piece[128];
    va_list list;
    va_start(list, format);
    int n = vsnprintf(piece, sizeof(piece), format, list);
    va_end(list);
    if (n < 0 || (size_t)n >= sizeof(piece) || line->size + (size_t)n > line->limit) return;
    memcpy(line->data + line->size, piece, (size_t)n + 1);
    line->size += (size_t)n;
}

static void bar_draw(const vp_event *e)
{
    text_line left = { .limit = 40 }, right = { 0 };
    size_t columns = terminal_columns() - 1, width, full;
    add_piece(&left, "%-8s %3u.%u %%", vp_stage_name(e->stage), e->permille / 10, e->permille % 10);
    right.limit = columns > left.size + 12 ? columns - left.size - 12 : 0;
    if (e->eta_us >= 0) {
        unsigned long long s = (unsigned long long)(e->eta_us / 1000000);
        add_piece(&right, s >= 3600 ? " ETA %llu:%02llu:%02llu" : " ETA %.0llu%llu:%02llu", s / 3600,
                  s / 60 % 60, s % 60);
    }
    if (e->fps_milli) add_piece(&right, " %u.%u fps", e->fps_milli / 1000, e->fps_milli / 100 % 10);
    for (uint32_t i = 0; i < e->rung_count && i < VP_EVENT_RUNGS; i++)
        if (e->rung_kbps[i]) add_piece(&right, " %s %uk", e->rung_name[i], e->rung_kbps[i]);
    width = columns - left.size - right.size;
    width = width > 3 ? (width - 3 < 40 ? width - 3 : 40) : 0;
    full = width * e->permille / 1000;
    pthread_mutex_lock(&lock);
    fprintf(stderr, "\r%s", left.data);
    if (width) {
        fputs(" [", stderr);
        for (size_t i = 0; i < width; i++) fputc(i < full ? '=' : ' ', stderr);
        fputc(']', stderr);
    }
    fprintf(stderr, "%s\033[K", right.data);
    fflush(stderr);
    bar_shown = true;
    pthread_mutex_unlock(&lock);
}

/* ---- events ---- */

static int64_t clock_us(clockid_t id)
{
    struct timespec t = { 0 };
    clock_gettime(id, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

void reporter_init(reporter *r, const cli_options *o)
{
    const char *mode = o->progress ? o->progress : "auto", *term = getenv("TERM");
    bool terminal = isatty(STDERR_FILENO) && term && strcmp(term, "dumb");
    *r = (reporter){ .options = o, .started_us = clock_us(CLOCK_MONOTONIC) };
    current = r;
    if (!strcmp(mode, "json"))
        r->mode = SHOW_JSON;
    else if (!strcmp(mode, "bar") || (!strcmp(mode, "auto") && terminal))
        r->mode = SHOW_BAR;
}

static void event_json(reporter *r, const vp_event *event)
{
    vp_bytes *line = NULL;
    char *work = r->work ? utf8_copy(r->work) : NULL;
    if (vp_event_json(event, work, &line, NULL) >= 0) print_bytes(line);
    vp_bytes_unref(line);
    free(work);
}

int32_t reporter_event(void *user, const vp_event *event)
{
    reporter *r = user;
    if (event->kind == VP_EVENT_OBJECT) {
        r->objects++;
        r->bytes += event->bytes;
    }
    if (event->kind >= VP_EVENT_DONE) r->ended = true;
    if (r->mode == SHOW_JSON)
        event_json(r, event);
    else if (event->kind == VP_EVENT_WARNING)
        note(r->options, "warning: %s: %s", event->reason, event->text);
    else if (r->mode == SHOW_BAR && (event->kind == VP_EVENT_PROGRESS || event->kind == VP_EVENT_STAGE))
        bar_draw(event);
    return 0;
}

void reporter_stage(reporter *r, int32_t stage)
{
    vp_event e;
    vp_event_init(&e, sizeof(e));
    e.kind = VP_EVENT_STAGE;
    e.stage = stage;
    reporter_event(r, &e);
}

void reporter_progress(reporter *r, int32_t stage, const char *unit, uint64_t done, uint64_t total,
                       int64_t eta_us)
{
    vp_event e;
    vp_event_init(&e, sizeof(e));
    e.kind = VP_EVENT_PROGRESS;
    e.stage = stage;
    e.done = done;
    e.total = total;
    e.permille = total ? (uint32_t)((double)done / (double)total * 1000) : 1000;
    e.eta_us = eta_us;
    snprintf(e.unit, sizeof(e.unit), "%s", unit);
    reporter_event(r, &e);
}

void reporter_warning(reporter *r, const char *name, int64_t time_us, const char *text)
{
    vp_event e;
    vp_event_init(&e, sizeof(e));
    e.kind = VP_EVENT_WARNING;
    e.time_us = time_us;
    snprintf(e.reason, sizeof(e.reason), "%s", name ? name : "");
    snprintf(e.text, sizeof(e.text), "%s", text ? text : "");
    reporter_event(r, &e);
}

void reporter_done(reporter *r, const char *version, bool before)
{
    vp_event e;
    if (r->ended) return;
    vp_event_init(&e, sizeof(e));
    e.kind = VP_EVENT_DONE;
    e.permille = 1000;
    e.objects = r->objects;
    e.bytes = r->bytes;
    e.cpu_us = clock_us(CLOCK_PROCESS_CPUTIME_ID);
    e.wall_us = clock_us(CLOCK_MONOTONIC) - r->started_us;
    snprintf(e.version, sizeof(e.version), "%s", version ? version : "");
    if (before) snprintf(e.reason, sizeof(e.reason), "ALREADY_DONE");
    reporter_event(r, &e);
}

void reporter_close(reporter *r)
{
    (void)r;
    pthread_mutex_lock(&lock);
    bar_clear_locked();
    fflush(stderr);
    pthread_mutex_unlock(&lock);
}

/* ---- failure ---- */

static void end_event(vp_status status, const vp_error *err)
{
    vp_event e;
    reporter *r = current;
    if (!r || r->ended || r->mode != SHOW_JSON) return;
    vp_event_init(&e, sizeof(e));
    e.kind = status == VP_E_CANCELED ? VP_EVENT_CANCELED : VP_EVENT_FAILED;
    if (status == VP_E_CANCELED && r->work) e.kind = VP_EVENT_SUSPENDED;
    e.status = status;
    e.retryable = err->flags & VP_ERRF_RETRYABLE ? 1 : 0;
    snprintf(e.reason, sizeof(e.reason), "%s", err->reason[0] ? err->reason : vp_status_name(status));
    snprintf(e.op, sizeof(e.op), "%s", err->op);
    snprintf(e.text, sizeof(e.text), "%s", err->message);
    reporter_event(r, &e);
}

int fail(const cli_options *o, vp_status status, const vp_error *err)
{
    const char *reason = err->reason[0] ? err->reason : vp_status_name(status);
    const char *text = err->message[0] ? err->message : "no more is known";
    end_event(status, err);
    if (current) reporter_close(current);
    pthread_mutex_lock(&lock);
    failed = true;
    pthread_mutex_unlock(&lock);
    if (status == VP_E_CANCELED) {
        if (current && current->work)
            note(o, "CANCELED: stopped; the work is kept in %s, the same command goes on from there",
                 current->work);
        else
            note(o, "CANCELED: stopped");
        return EXIT_CANCELED;
    }
    /* A name that the text does not hold is worth telling. */
    if (err->key[0] && !strstr(text, err->key))
        note(o, "%s: %s (%s)", reason, text, err->key);
    else
        note(o, "%s: %s", reason, text);
    return status == VP_E_ARG ? EXIT_USAGE : EXIT_FAILED;
}

int fail_text(const cli_options *o, const char *reason, const char *format, ...)
{
    vp_error err = VP_ERROR_INIT;
    char text[1024];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof(text), format, list);
    va_end(list);
    return fail(o, vp_error_set(&err, VP_E_IO, reason, 0, text), &err);
}
