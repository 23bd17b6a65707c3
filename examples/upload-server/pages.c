/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The page, its scripts, what was published, and the events of a title as they come. */

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "page.h" /* page_html, made from page.html */
#include "server.h"

enum MHD_Result answer_text(struct MHD_Connection *c, unsigned status, const char *type, const char *text)
{
    struct MHD_Response *r =
        MHD_create_response_from_buffer(strlen(text), (void *)text, MHD_RESPMEM_MUST_COPY);
    enum MHD_Result result;

    if (!r) return MHD_NO;
    MHD_add_response_header(r, "Content-Type", type);
    MHD_add_response_header(r, "X-Content-Type-Options", "nosniff");
    if (status == MHD_HTTP_METHOD_NOT_ALLOWED) MHD_add_response_header(r, "Allow", "GET, HEAD");
    result = MHD_queue_response(c, status, r);
    MHD_destroy_response(r);
    return result;
}

static enum MHD_Result not_found(struct MHD_Connection *c)
{
    return answer_text(c, 404, "text/plain", "not found\n");
}

/* ---- files of titles ---- */

static const char *type_of(const char *path)
{
    static const char *const types[][2] = {
        { ".m3u8", "application/vnd.apple.mpegurl" },
        { ".mpd", "application/dash+xml" },
        { ".m4s", "video/iso.segment" },
        { ".mp4", "video/mp4" },
        { ".ts", "video/mp2t" },
        { ".html", "text/html; charset=utf-8" },
        { ".json", "application/json" },
        { ".vtt", "text/vtt" },
        { ".jpg", "image/jpeg" },
    };
    const char *dot = strrchr(path, '.');

    for (size_t i = 0; dot && i < sizeof(types) / sizeof(types[0]); i++)
        if (strcmp(dot, types[i][0]) == 0) return types[i][1];
    return "application/octet-stream";
}

/* The names of a title have no part that begins with a dot but the marker, which nobody needs. */
static bool path_safe(const char *path)
{
    return path[0] && path[0] != '/' && path[0] != '.' && !strstr(path, "/.") && !strstr(path, "//") &&
           !strchr(path, '\\');
}

/* A number at *at, which moves behind it; UINT64_MAX beyond 64 bits. */
static bool read_digits(const char **at, uint64_t *to)
{
    char *end;

    if (**at < '0' || **at > '9') return false;
    *to = strtoull(*at, &end, 10);
    *at = end;
    return true;
}

/* RFC 9110 14.2: one range; 200, all, for others. I-frame playlists name parts of segments. */
static unsigned range_of(const char *value, uint64_t total, uint64_t *from, uint64_t *size)
{
    uint64_t a = 0, b = 0;
    bool first, last;

    *from = 0;
    *size = total;
    if (!value || strncasecmp(value, "bytes=", 6) != 0) return MHD_HTTP_OK;
    value += 6;
    first = read_digits(&value, &a);
    if (*value++ != '-') return MHD_HTTP_OK;
    last = read_digits(&value, &b);
    if (*value || !(first || last) || (first && last && b < a)) return MHD_HTTP_OK;
    if (first ? a >= total : b == 0 || total == 0) return MHD_HTTP_RANGE_NOT_SATISFIABLE;
    if (first) {
        *from = a;
        *size = (last && b < total ? b + 1 : total) - a;
    } else { /* the last b bytes */
        *size = b < total ? b : total;
        *from = total - *size;
    }
    return MHD_HTTP_PARTIAL_CONTENT;
}

/* The descriptor is the response's. */
static struct MHD_Response *file_response(int fd, uint64_t total, unsigned status, uint64_t from,
                                          uint64_t size)
{
    char text[80];
    struct MHD_Response *r = status == MHD_HTTP_RANGE_NOT_SATISFIABLE
                                 ? MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT)
                                 : MHD_create_response_from_fd_at_offset64(size, fd, from);

    if (!r || status == MHD_HTTP_RANGE_NOT_SATISFIABLE) close(fd);
    if (!r) return NULL;
    if (status == MHD_HTTP_PARTIAL_CONTENT)
        snprintf(text, sizeof(text), "bytes %llu-%llu/%llu", (unsigned long long)from,
                 (unsigned long long)(from + size - 1), (unsigned long long)total);
    else
        snprintf(text, sizeof(text), "bytes */%llu", (unsigned long long)total);
    if (status != MHD_HTTP_OK) MHD_add_response_header(r, "Content-Range", text);
    MHD_add_response_header(r, "Accept-Ranges", "bytes");
    return r;
}

static enum MHD_Result answer_file(server *s, struct MHD_Connection *c, const char *name, bool head)
{
    char path[4096];
    const char *range = head ? NULL : MHD_lookup_connection_value(c, MHD_HEADER_KIND, "Range");
    struct MHD_Response *r;
    uint64_t from, size;
    unsigned status;
    enum MHD_Result result;
    const char *slash = strchr(name, '/');
    struct stat info;
    int fd = -1;

    if (slash && path_safe(name) && path_of(s, "titles", name, path, sizeof(path)))
        fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 || fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) {
        if (fd >= 0) close(fd);
        return not_found(c);
    }
    /* Nothing here has a validator that If-Range could name. */
    if (MHD_lookup_connection_value(c, MHD_HEADER_KIND, "If-Range")) range = NULL;
    status = range_of(range, (uint64_t)info.st_size, &from, &size);
    r = file_response(fd, (uint64_t)info.st_size, status, from, size);
    if (!r) return MHD_NO;
    MHD_add_response_header(r, "Content-Type", type_of(name));
    MHD_add_response_header(r, "X-Content-Type-Options", "nosniff");
    /* What lies below a version never changes. */
    MHD_add_response_header(r, "Cache-Control",
                            strchr(slash + 1, '/') ? "public, max-age=31536000, immutable" : "no-cache");
    result = MHD_queue_response(c, status, r);
    MHD_destroy_response(r);
    return result;
}

/* ---- events as they come ("Server-sent events", HTML standard 9.2) ---- */

struct listener {
    listener *next;
    server *s;
    struct MHD_Connection *connection;
    char id[68];
    uint64_t seen;
    bool suspended, beat, ended;
};

void wake_listeners(server *s, const title *t)
{
    for (listener *l = s->listeners; l; l = l->next) {
        if (!l->suspended || strcmp(l->id, t->id) != 0) continue;
        l->suspended = false;
        MHD_resume_connection(l->connection);
    }
}

/* A connection that sleeps is watched by nobody: without this one whose client is gone would stay for ever. */
void beat_listeners(server *s)
{
    pthread_mutex_lock(&s->lock);
    for (listener *l = s->listeners; l; l = l->next) {
        l->beat = true;
        if (l->suspended) MHD_resume_connection(l->connection);
        l->suspended = false;
    }
    pthread_mutex_unlock(&s->lock);
}

void drop_listeners(server *s)
{
    for (listener *l = s->listeners; l; l = l->next) {
        l->ended = true;
        if (l->suspended) MHD_resume_connection(l->connection);
        l->suspended = false;
    }
}

static ssize_t read_events(void *user, uint64_t at, char *to, size_t capacity)
{
    listener *l = user;
    const title *t;
    ssize_t n = 0;

    (void)at;
    pthread_mutex_lock(&l->s->lock);
    t = titles_find(l->s, l->id);
    if (t && t->number != l->seen && !l->ended) {
        n = snprintf(to, capacity, "data: %s\n\n", t->line ? t->line : "");
        if ((size_t)n >= capacity) n = MHD_CONTENT_READER_END_WITH_ERROR;
        l->seen = t->number;
        l->ended = t->ended;
    } else if (l->ended) {
        n = MHD_CONTENT_READER_END_OF_STREAM;
    } else if (l->beat) {
        n = snprintf(to, capacity, ":\n\n"); /* a comment */
        l->beat = false;
    } else {
        l->suspended = true;
        MHD_suspend_connection(l->connection);
    }
    pthread_mutex_unlock(&l->s->lock);
    return n;
}

static void end_events(void *user)
{
    listener *l = user;
    listener **at = &l->s->listeners;

    pthread_mutex_lock(&l->s->lock);
    while (*at && *at != l) at = &(*at)->next;
    if (*at) *at = l->next;
    pthread_mutex_unlock(&l->s->lock);
    free(l);
}

/* An upload, or what became of one. */
static bool is_known(server *s, const char *id)
{
    vp_upload_info info = VP_UPLOAD_INFO_INIT;
    bool found;

    if (!id_valid(id, strlen(id))) return false;
    pthread_mutex_lock(&s->lock);
    found = titles_find(s, id) != NULL;
    pthread_mutex_unlock(&s->lock);
    return found || publish_recall(s, id) || vp_ingest_stat(s->ingest, id, &info, NULL, NULL) == VP_OK;
}

static enum MHD_Result answer_events(server *s, struct MHD_Connection *c, const char *id, bool head)
{
    struct MHD_Response *r;
    enum MHD_Result result;
    listener *l;

    if (!is_known(s, id)) return not_found(c);
    l = calloc(1, sizeof(*l));
    if (!l) return MHD_NO;
    l->s = s;
    l->connection = c;
    memcpy(l->id, id, strlen(id) + 1);
    r = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, 2048, read_events, l, end_events);
    if (!r) {
        free(l);
        return MHD_NO;
    }
    pthread_mutex_lock(&s->lock);
    l->ended = s->stopping;
    l->next = s->listeners;
    s->listeners = l;
    pthread_mutex_unlock(&s->lock);
    MHD_add_response_header(r, "Content-Type", "text/event-stream");
    MHD_add_response_header(r, "Cache-Control", "no-store");
    MHD_add_response_header(r, "X-Accel-Buffering", "no");
    /* Of chunks libmicrohttpd would send the last one even here, where the next answer begins: so without any. */
    if (head) MHD_set_response_options(r, MHD_RF_HTTP_1_0_COMPATIBLE_STRICT, MHD_RO_END);
    result = MHD_queue_response(c, 200, r);
    MHD_destroy_response(r);
    return result;
}

static const char *below(const char *target, const char *folder)
{
    size_t n = strlen(folder);

    return strncmp(target, folder, n) == 0 ? target + n : NULL;
}

enum MHD_Result page_request(server *s, struct MHD_Connection *c, const char *target, const char *method)
{
    const char *name;

    if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0)
        return answer_text(c, 405, "text/plain", "GET only\n");
    if (strcmp(target, "/") == 0) return answer_text(c, 200, "text/html; charset=utf-8", page_html);
    if (strcmp(target, "/tus.js") == 0) return answer_text(c, 200, "text/javascript", s->tus_script);
    name = below(target, "/titles/");
    if (name) return answer_file(s, c, name, strcmp(method, "HEAD") == 0);
    name = below(target, "/events/");
    if (name) return answer_events(s, c, name, strcmp(method, "HEAD") == 0);
    return not_found(c);
}
