/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * upload_client PORT PATH UPLOADS SIZE CHUNK CONNECTIONS: sends so many uploads by tus, each a POST and PATCHes of
 * CHUNK bytes, over connections that stay open, a thread each. Prints seconds and its own CPU seconds. No two uploads
 * are alike. Built so that a server is the slower one: one send and few recv a request.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

static const char *path;
static int port;
static uint64_t uploads, size, chunk;
static atomic_ullong next_upload;
static atomic_bool failed;
static char *noise;

typedef struct connection {
    int fd;
    char in[8192];
    char location[512];
} connection;

static double seconds(clockid_t clock)
{
    struct timespec t;

    clock_gettime(clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static bool dial(connection *c)
{
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
    int one = 1;

    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&to, sizeof(to)) != 0) return false;
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    return true;
}

static bool send_all(int fd, struct iovec *v, int count)
{
    while (count) {
        ssize_t n = writev(fd, v, count);

        if (n < 0) return false;
        while (count && (size_t)n >= v->iov_len) {
            n -= (ssize_t)v->iov_len;
            v++;
            count--;
        }
        if (count) {
            v->iov_base = (char *)v->iov_base + n;
            v->iov_len -= (size_t)n;
        }
    }
    return true;
}

/* The status of an answer without a body, and where its Location points to. */
static int answer(connection *c)
{
    size_t have = 0;
    char *end, *at;

    do {
        ssize_t n = recv(c->fd, c->in + have, sizeof(c->in) - 1 - have, 0);

        if (n <= 0 || have + (size_t)n >= sizeof(c->in) - 1) return -1;
        have += (size_t)n;
        c->in[have] = 0;
        end = strstr(c->in, "\r\n\r\n");
    } while (!end);
    for (at = c->in; at < end; at = strchr(at, '\n') + 1) {
        if (strncasecmp(at, "Location:", 9) != 0) continue;
        at += 9 + strspn(at + 9, " ");
        if (strncmp(at, "http://", 7) == 0) at = strchr(at + 7, '/');
        snprintf(c->location, sizeof(c->location), "%.*s", (int)strcspn(at, "\r\n"), at);
        break;
    }
    return atoi(c->in + 9);
}

static bool one_upload(connection *c, uint64_t number)
{
    char head[1024], mark[16];
    struct iovec v[3];
    int n =
        snprintf(head, sizeof(head),
                 "POST %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nTus-Resumable: 1.0.0\r\nUpload-Length: %llu\r\n"
                 "Content-Length: 0\r\n\r\n",
                 path, port, (unsigned long long)size);

    v[0] = (struct iovec){ head, (size_t)n };
    if (!send_all(c->fd, v, 1) || answer(c) != 201) return false;
    for (uint64_t at = 0; at < size; at += chunk) {
        uint64_t bytes = size - at < chunk ? size - at : chunk;
        uint64_t marked = bytes < sizeof(mark) ? bytes : sizeof(mark);

        n = snprintf(
            head, sizeof(head),
            "PATCH %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nTus-Resumable: 1.0.0\r\nUpload-Offset: %llu\r\n"
            "Content-Type: application/offset+octet-stream\r\nContent-Length: %llu\r\n\r\n",
            c->location, port, (unsigned long long)at, (unsigned long long)bytes);
        memcpy(mark, &number, sizeof(number));
        memcpy(mark + sizeof(number), &at, sizeof(at));
        v[0] = (struct iovec){ head, (size_t)n };
        v[1] = (struct iovec){ mark, marked };
        v[2] = (struct iovec){ noise, bytes - marked };
        if (!send_all(c->fd, v, 3) || answer(c) != 204) return false;
    }
    return true;
}

static void *run(void *user)
{
    connection *c = user;

    if (!dial(c)) atomic_store(&failed, true);
    while (!atomic_load(&failed)) {
        uint64_t number = atomic_fetch_add(&next_upload, 1);

        if (number >= uploads) break;
        if (!one_upload(c, number)) {
            fprintf(stderr, "upload_client: upload %llu: %s, %.200s\n", (unsigned long long)number,
                    strerror(errno), c->in);
            atomic_store(&failed, true);
        }
    }
    if (c->fd >= 0) close(c->fd);
    return NULL;
}

int main(int argc, char **argv)
{
    if (argc != 7) return 2;
    port = atoi(argv[1]);
    path = argv[2];
    uploads = strtoull(argv[3], NULL, 10);
    size = strtoull(argv[4], NULL, 10);
    chunk = strtoull(argv[5], NULL, 10);

    int count = atoi(argv[6]);
    connection *all = calloc((size_t)count, sizeof(*all));
    pthread_t *threads = calloc((size_t)count, sizeof(*threads));
    double began = seconds(CLOCK_MONOTONIC);

    noise = malloc(chunk);
    if (!all || !threads || !noise || !chunk) return 1;
    for (uint64_t i = 0; i < chunk; i++) noise[i] = (char)(i * 2654435761u >> 13);
    for (int i = 0; i < count; i++)
        if (pthread_create(&threads[i], NULL, run, &all[i]) != 0) return 1;
    for (int i = 0; i < count; i++) pthread_join(threads[i], NULL);
    printf("%.3f %.3f\n", seconds(CLOCK_MONOTONIC) - began, seconds(CLOCK_PROCESS_CPUTIME_ID));
    return atomic_load(&failed);
}
