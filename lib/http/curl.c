/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What all that speaks through libcurl has in common: safe settings, what comes in, how a failure is told. */

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <strings.h>
#include <time.h>

#include "http_int.h"

#define MAX_HEADERS ((size_t)64 << 10)

/* ---- signals ---- */

void vpi_calm_begin(vpi_calm *calm)
{
    sigset_t set;

    calm->pipe_pending = sigpending(&set) == 0 && sigismember(&set, SIGPIPE) == 1;
    sigfillset(&set);
    pthread_sigmask(SIG_SETMASK, &set, &calm->mask);
}

void vpi_calm_end(const vpi_calm *calm)
{
    const struct timespec now = { 0 };
    sigset_t pipe;

    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    while (!calm->pipe_pending && sigtimedwait(&pipe, NULL, &now) == -1 && errno == EINTR) {}
    pthread_sigmask(SIG_SETMASK, &calm->mask, NULL);
}

/* ---- headers that go out ---- */

bool vpi_http_headers_valid(const char *p)
{
    for (; p && *p; p += *p == '\n') {
        size_t name = strcspn(p, ":\n"), length = strcspn(p, "\n");

        if (length && (!name || name == length)) return false;
        for (size_t i = 0; i < length; i++)
            if ((unsigned char)p[i] < 0x20 && p[i] != '\t') return false;
        p += length;
    }
    return true;
}

bool vpi_http_named(const char *lines, const char *name)
{
    size_t n = strlen(name);

    for (const char *p = lines; p && *p; p = strchr(p, '\n') ? strchr(p, '\n') + 1 : NULL)
        if (strncasecmp(p, name, n) == 0 && p[n] == ':') return true;
    return false;
}

static void add_lines(vpi_http_lines *l, const char *lines)
{
    for (const char *p = lines; p && *p; p += *p == '\n') {
        size_t n = strcspn(p, "\n");

        if (n) {
            vpi_buf_add(&l->text, p, n);
            vpi_buf_u8(&l->text, 0);
            l->count++;
        }
        p += n;
    }
}

bool vpi_http_lines_set(vpi_http_lines *l, const char *first, const char *second, bool expect,
                        struct curl_slist **list)
{
    static const char no_type[] = "Content-Type:", no_expect[] = "Expect:", await[] = "Expect: 100-continue";
    size_t room = sizeof(no_type) + sizeof(await) + 4;
    char *p;

    *list = NULL;
    vpi_http_lines_clear(l);
    room += (first ? strlen(first) : 0) + (second ? strlen(second) : 0);
    vpi_buf_reserve(&l->text, room); /* in one piece: growing would leave copies behind */
    add_lines(l, first);
    add_lines(l, second);
    /* libcurl's own: a form, and a second of waiting for 100 Continue that many servers never send */
    if (!vpi_http_named(first, "Content-Type") && !vpi_http_named(second, "Content-Type"))
        add_lines(l, no_type);
    add_lines(l, expect ? await : no_expect);
    if (vpi_buf_failed(&l->text)) return false;
    /* The nodes are ours, libcurl only reads them: two pieces of memory for any number of lines. */
    if (l->count > l->capacity) {
        struct curl_slist *nodes = vpi_realloc(l->nodes, l->count, sizeof(*nodes));

        if (!nodes) return false;
        l->nodes = nodes;
        l->capacity = l->count;
    }
    p = (char *)l->text.data;
    for (size_t i = 0; i < l->count; i++) {
        l->nodes[i].data = p;
        l->nodes[i].next = i + 1 < l->count ? &l->nodes[i + 1] : NULL;
        p += strlen(p) + 1;
    }
    *list = l->nodes;
    return true;
}

void vpi_http_lines_clear(vpi_http_lines *l)
{
    if (l->text.data) memset(l->text.data, 0, l->text.size);
    vpi_buf_clear(&l->text);
    l->count = 0;
}

void vpi_http_lines_dispose(vpi_http_lines *l)
{
    static void *(*const volatile set)(void *, int, size_t) = memset;

    if (l->text.data) set(l->text.data, 0, l->text.size);
    vpi_buf_dispose(&l->text);
    vpi_free(l->nodes);
    *l = (vpi_http_lines){ 0 };
}

/* ---- what comes in ---- */

static bool room_for(const vpi_http_intake *t, size_t size)
{
    if (t->straight) return size <= t->to_capacity - t->to_size;
    return size <= t->max_body - t->answer->body.size;
}

static size_t on_body(char *data, size_t one, size_t size, void *user)
{
    vpi_http_intake *t = user;
    long status = 0;

    (void)one;
    if (!t->begun) {
        t->begun = true;
        t->straight = t->to && curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status) == CURLE_OK &&
                      (status == 200 || status == 206);
    }
    if (!room_for(t, size)) {
        t->too_large = true;
        return 0;
    }
    if (t->straight) {
        memcpy((uint8_t *)t->to + t->to_size, data, size);
        t->to_size += size;
        return size;
    }
    vpi_buf_add(&t->answer->body, data, size);
    /* libcurl's own receive buffer, which it gives back to malloc as it is */
    if (t->secret) memset(data, 0, size);
    return vpi_buf_failed(&t->answer->body) ? 0 : size;
}

/* "HTTP/1.1 100 Continue": the answer itself is still to come. */
static bool is_interim(const char *line, size_t size)
{
    const char *gap = memchr(line, ' ', size);

    return gap && (size_t)(gap - line) + 1 < size && gap[1] == '1';
}

static size_t on_header(char *data, size_t one, size_t size, void *user)
{
    vpi_http_intake *t = user;
    vpi_buf *b = &t->answer->headers;
    size_t n = size;

    (void)one;
    t->answered = true;
    if (size >= 5 && memcmp(data, "HTTP/", 5) == 0) { /* of 100 Continue and the like nothing is kept */
        t->interim = is_interim(data, size);
        vpi_buf_clear(b);
        return size;
    }
    while (n && (data[n - 1] == '\r' || data[n - 1] == '\n')) n--;
    if (!n) return size;
    if (n + 1 > MAX_HEADERS - b->size) {
        t->too_large = true;
        return 0;
    }
    vpi_buf_add(b, data, n);
    vpi_buf_u8(b, '\n');
    return vpi_buf_failed(b) ? 0 : size;
}

void vpi_http_intake_begin(vpi_http_intake *t, vpi_http_answer *answer, size_t max_body)
{
    vpi_buf_clear(&answer->headers);
    vpi_buf_clear(&answer->body);
    answer->status = 0;
    t->answer = answer;
    t->max_body = max_body ? max_body : VPI_HTTP_MAX_BODY;
    t->to_size = 0;
    t->begun = t->answered = t->interim = t->straight = t->too_large = false;
    t->why[0] = 0;
}

/* ---- settings ---- */

/* Programs that the host starts do not inherit connections. */
static int on_socket(void *user, curl_socket_t fd, curlsocktype type)
{
    (void)user, (void)type;
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    return CURL_SOCKOPT_OK;
}

/*
 * Has OpenSSL wipe what it deciphered when it was read: else the last record lies in the memory that it gives back. The
 * function is looked up where libcurl has brought it in: this room does not link libssl, and libcurl may use another
 * library.
 */
static CURLcode on_tls(CURL *easy, void *context, void *user)
{
    const uint64_t cleanse_plaintext = UINT64_C(1) << 1; /* SSL_OP_CLEANSE_PLAINTEXT, OpenSSL 3.0 */
    const char *library = curl_version_info(CURLVERSION_NOW)->ssl_version;
    uint64_t (*set)(void *context, uint64_t options);

    (void)easy, (void)user;
    if (!library || strncmp(library, "OpenSSL/", 8) != 0 || library[8] < '3' || library[8] > '9')
        return CURLE_OK;
    /* POSIX has functions from dlsym, ISO C no conversion to them */
    *(void **)&set = dlsym(RTLD_DEFAULT, "SSL_CTX_set_options");
    if (set) set(context, cleanse_plaintext);
    return CURLE_OK;
}

bool vpi_http_set_safety(const vpi_http *http, vpi_http_intake *t, bool certificate)
{
    bool ok = true;

#define SET(option, value) VPI_CURL_SET(ok, t->easy, option, value)
    SET(CURLOPT_NOSIGNAL, 1L);
#if LIBCURL_VERSION_NUM >= 0x075500
    SET(CURLOPT_PROTOCOLS_STR, "http,https");
#else
    SET(CURLOPT_PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS));
#endif
#if LIBCURL_VERSION_NUM >= 0x075700
    /*
     * Without it the end of a request waits for a resolver thread that hangs in getaddrinfo(), after a cancel too. The
     * thread is left to end by itself.
     */
    SET(CURLOPT_QUICK_EXIT, 1L);
#endif
    SET(CURLOPT_FOLLOWLOCATION, 0L);
    SET(CURLOPT_SSL_VERIFYPEER, 1L);
    SET(CURLOPT_SSL_VERIFYHOST, 2L);
    SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    if (http->ca_file) {
        SET(CURLOPT_CAINFO, http->ca_file);
        SET(CURLOPT_CAPATH, NULL); /* else the system's authorities are trusted besides */
    }
    if (http->cert_file && certificate) {
        SET(CURLOPT_SSLCERT, http->cert_file);
        SET(CURLOPT_SSLKEY, http->key_file ? http->key_file : http->cert_file);
        if (http->key_passphrase) SET(CURLOPT_KEYPASSWD, http->key_passphrase);
    }
    SET(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    SET(CURLOPT_SOCKOPTFUNCTION, on_socket);
    SET(CURLOPT_CONNECTTIMEOUT_MS, (long)http->connect_timeout_ms);
    SET(CURLOPT_USERAGENT, http->user_agent);
    SET(CURLOPT_ERRORBUFFER, t->why);
    SET(CURLOPT_HEADERFUNCTION, on_header);
    SET(CURLOPT_HEADERDATA, t);
    SET(CURLOPT_WRITEFUNCTION, on_body);
    SET(CURLOPT_WRITEDATA, t);
    return ok;
}

void vpi_http_set_wiping(CURL *easy)
{
    curl_easy_setopt(easy, CURLOPT_SSL_CTX_FUNCTION, on_tls); /* some TLS libraries have no such thing */
}

/* Bodies as POSTFIELDS, also of PUT: small ones leave together with the head, and libcurl rewinds by itself. */
bool vpi_http_set_method(CURL *easy, const char *method, const void *body, size_t size)
{
    bool ok = true;

#define SET_EASY(option, value) VPI_CURL_SET(ok, easy, option, value)
    if (vpi_streq(method, "HEAD")) {
        SET_EASY(CURLOPT_CUSTOMREQUEST, NULL);
        SET_EASY(CURLOPT_NOBODY, 1L);
    } else if (body || vpi_streq(method, "POST") || vpi_streq(method, "PUT")) {
        SET_EASY(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)(body ? size : 0));
        SET_EASY(CURLOPT_POSTFIELDS, body ? body : "");
        SET_EASY(CURLOPT_POST, 1L); /* also takes NOBODY of an earlier request away */
        SET_EASY(CURLOPT_CUSTOMREQUEST, vpi_streq(method, "POST") ? NULL : method);
    } else {
        SET_EASY(CURLOPT_HTTPGET, 1L);
        SET_EASY(CURLOPT_CUSTOMREQUEST, vpi_streq(method, "GET") ? NULL : method);
    }
    return ok;
}

/* ---- what went wrong ---- */

static bool is_tls(CURLcode code)
{
    switch (code) {
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CIPHER:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_CRL_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_ENGINE_INITFAILED:
    case CURLE_SSL_ENGINE_NOTFOUND:
    case CURLE_SSL_ENGINE_SETFAILED:
    case CURLE_SSL_INVALIDCERTSTATUS:
    case CURLE_SSL_PINNEDPUBKEYNOTMATCH:
    case CURLE_SSL_CLIENTCERT:
    case CURLE_USE_SSL_FAILED:
        return true;
    default:
        return false;
    }
}

/* Texts of libcurl name hosts and what OpenSSL says; for an address that it cannot read they may name all of it. */
vp_status vpi_http_fail(const vpi_http_intake *t, const char *url, CURLcode code, vp_error *err)
{
    bool malformed = code == CURLE_URL_MALFORMAT || code == CURLE_UNSUPPORTED_PROTOCOL;
    const char *why = t->why[0] && !malformed ? t->why : curl_easy_strerror(code);
    char origin[VPI_HTTP_ORIGIN];
    long number = 0;
    vp_status st;

    vpi_http_origin(url, origin, sizeof(origin));
    if (code == CURLE_OUT_OF_MEMORY || vpi_buf_failed(&t->answer->body) ||
        vpi_buf_failed(&t->answer->headers))
        return vpi_fail_nomem(err);
    if (t->too_large || code == CURLE_FILESIZE_EXCEEDED)
        return vpi_fail(err, VP_E_LIMIT, "INPUT_LIMIT", "%s answers with more than is read", origin);
    /* else it is the Location of an answer, which libcurl reads also where it does not go there */
    if (malformed && strcmp(origin, "?") == 0)
        return vpi_fail(err, VP_E_ARG, NULL, "not an address of http or https");
    if (is_tls(code)) return vpi_fail(err, VP_E_IO, "TLS_FAILED", "%s: %s", origin, why);
    if (code == CURLE_OPERATION_TIMEDOUT) {
        st = vpi_fail(err, VP_E_LIMIT, "TIMEOUT", "%s does not answer in time", origin);
    } else {
        st = vpi_fail(err, VP_E_IO, "CONNECTION_FAILED", "%s: %s", origin, why);
        if (err && curl_easy_getinfo(t->easy, CURLINFO_OS_ERRNO, &number) == CURLE_OK && number > 0) {
            err->native = (int32_t)number;
            err->domain = VP_DOM_ERRNO;
        }
    }
    if (err) err->flags |= VP_ERRF_RETRYABLE;
    return st;
}
