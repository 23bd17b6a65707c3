/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a host does with vp_s3, one operation a line of arguments, for the tests:
 *
 *     s3_host [OPTION=VALUE ...] OPERATION ARGUMENT...
 *
 * Credentials, endpoint and region come from the environment. The last line on stdout is JSON; a failure is told on
 * stderr
 * as "STATUS REASON MESSAGE" and makes the exit status 1.
 */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include <vodpipe/vodpipe.h>
#include <vodpipe/s3.h>

static vp_s3_options options = VP_S3_OPTIONS_INIT;
static vp_s3_object object = VP_S3_OBJECT_INIT;
static const char *token_file, *work_folder;
static vp_s3_progress last = VP_S3_PROGRESS_INIT;
static uint32_t stop_after; /* parts; 0: none */
static uint64_t expires = 60;
static unsigned headers_asked;
static int held; /* sources are in memory */
static int show; /* others get the address of a part */
static vp_http_options http = VP_HTTP_OPTIONS_INIT;

static unsigned life_s, credentials_asked; /* of what the callback gives */

/* Takes its time, as a vault does. */
static vp_status give_credentials(void *user, vp_s3_reply *reply, vp_error *err)
{
    vp_s3_credentials c = VP_S3_CREDENTIALS_INIT;
    struct timespec now, nap = { .tv_nsec = 700000000 };

    (void)user;
    credentials_asked++;
    if (credentials_asked > 1) nanosleep(&nap, NULL);
    clock_gettime(CLOCK_REALTIME, &now);
    c.access_key = getenv("AWS_ACCESS_KEY_ID");
    c.secret_key = getenv("AWS_SECRET_ACCESS_KEY");
    c.expires_us = ((int64_t)now.tv_sec + life_s) * 1000000;
    return vp_s3_reply_set(reply, &c, err);
}

static int set_option(const char *text)
{
    const char *value = strchr(text, '=');
    size_t n;

    if (!value || strchr(text, '/') < value) {
        if (!value || (strchr(text, '/') && strchr(text, '/') < value)) return 0;
    }
    n = (size_t)(value++ - text);
#define IS(name) (n == strlen(name) && strncmp(text, name, n) == 0)
    if (IS("flags"))
        options.flags |= (uint32_t)strtoul(value, NULL, 0);
    else if (IS("vendor"))
        options.vendor = atoi(value);
    else if (IS("checksum"))
        options.checksum = atoi(value);
    else if (IS("connections"))
        options.connections = (uint32_t)atoi(value);
    else if (IS("attempts"))
        options.attempts = (uint32_t)atoi(value);
    else if (IS("stall"))
        options.stall_ms = (uint32_t)atoi(value);
    else if (IS("slow"))
        options.slow_rate = (uint32_t)strtoul(value, NULL, 0);
    else if (IS("deadline"))
        options.deadline_ms = (uint32_t)atoi(value);
    else if (IS("memory"))
        options.memory = strtoull(value, NULL, 0);
    else if (IS("part"))
        options.part_size = strtoull(value, NULL, 0);
    else if (IS("from"))
        options.multipart_from = strtoull(value, NULL, 0);
    else if (IS("profile"))
        options.profile = value;
    else if (IS("type"))
        object.content_type = value;
    else if (IS("cache"))
        object.cache_control = value;
    else if (IS("tags"))
        object.tags = value;
    else if (IS("class"))
        object.storage_class = value;
    else if (IS("sse"))
        object.sse = value;
    else if (IS("sse_key"))
        object.sse_key = value;
    else if (IS("acl"))
        object.acl = value;
    else if (IS("encoding"))
        object.content_encoding = value;
    else if (IS("disposition"))
        object.content_disposition = value;
    else if (IS("headers"))
        object.headers = value;
    else if (IS("absent"))
        object.flags = VP_S3_IF_ABSENT;
    else if (IS("ca"))
        http.ca_file = value, options.http = &http;
    else if (IS("callback"))
        life_s = (unsigned)atoi(value), options.get_credentials = give_credentials;
    else if (IS("token"))
        token_file = value;
    else if (IS("work"))
        work_folder = value;
    else if (IS("stop"))
        stop_after = (uint32_t)atoi(value);
    else if (IS("held"))
        held = atoi(value);
    else if (IS("show"))
        show = atoi(value);
    else if (IS("expires"))
        expires = strtoull(value, NULL, 0);
    else
        return 0;
#undef IS
    return 1;
}

static void print_info(const vp_s3_info *info)
{
    printf("{\"size\":%" PRIu64 ",\"mtime_us\":%" PRId64 ",\"type\":\"%s\",\"upload\":\"%s\",\"etag\":%s}\n",
           info->size, info->mtime_us, info->content_type, info->upload,
           info->etag[0] == '"' ? info->etag : "\"\"");
}

static vp_status on_listed(void *user, const vp_object_info *info)
{
    (void)user;
    printf("%" PRIu64 " %s\n", info->size, info->key);
    return VP_OK;
}

static vp_status read_file(vp_context *context, const char *path, vp_source **out, vp_error *err)
{
    vp_source *file = NULL;
    uint64_t size = 0;
    size_t got = 0;
    char *data;
    vp_status st = vp_source_file(context, path, held ? &file : out, err);

    if (!held || st < 0) return st;
    st = vp_source_size(file, &size, err);
    data = malloc((size_t)size + 1);
    if (st >= 0) st = vp_source_read_at(file, 0, data, (size_t)size, &got, err);
    if (st >= 0) st = vp_source_memory(context, data, got, out, err);
    free(data);
    vp_source_unref(file);
    return st;
}

static void save_token(vp_s3_upload *upload, vp_error *err)
{
    vp_bytes *token = NULL;
    FILE *f = token_file ? fopen(token_file, "wb") : NULL;

    if (f && vp_s3_upload_token(upload, &token, err) >= 0)
        fwrite(vp_bytes_data(token), 1, vp_bytes_size(token), f);
    if (f) fclose(f);
    vp_bytes_unref(token);
}

/* upload BUCKET KEY FILE: part by part, the token kept after each; goes on where there is one. */
static vp_status upload(vp_context *context, vp_s3 *s3, char **a, vp_error *err)
{
    vp_s3_upload *u = NULL;
    vp_source *source = NULL;
    vp_bytes *url = NULL;
    vp_s3_info info = VP_S3_INFO_INIT;
    char text[1 << 16];
    uint64_t size = 0, part, at = 0;
    uint32_t sent = 0;
    uint8_t *data = NULL;
    FILE *f = token_file ? fopen(token_file, "rb") : NULL;
    vp_status st = read_file(context, a[2], &source, err);

    if (st >= 0) st = vp_source_size(source, &size, err);
    if (st >= 0 && f) {
        size_t n = fread(text, 1, sizeof(text), f);

        st = vp_s3_upload_resume(s3, text, n, NULL, &u, err);
    } else if (st >= 0) {
        st = vp_s3_upload_begin(s3, a[0], a[1], size, &object, NULL, &u, err);
    }
    if (f) fclose(f);
    part = vp_s3_upload_part_size(u);
    data = malloc(part + 1);
    for (uint32_t n = 1; st >= 0 && at < size; n++, at += part) {
        size_t got = 0;
        uint64_t had = 0;

        if (vp_s3_upload_has(u, n, &had, NULL) == VP_OK) continue;
        st = vp_source_read_at(source, at, data, part, &got, err);
        if (st >= 0) st = vp_s3_upload_part(u, n, data, got, NULL, err);
        if (st >= 0) save_token(u, err);
        if (st >= 0 && ++sent == stop_after) exit(9);
    }
    if (st >= 0 && show) st = vp_s3_upload_presign(u, 1, 60, NULL, &url, err);
    vp_bytes_unref(url);
    if (st >= 0) st = vp_s3_upload_complete(u, NULL, &info, err);
    if (st >= 0) printf("sent %u\n", sent);
    if (st >= 0) print_info(&info);
    free(data);
    vp_s3_upload_unref(u);
    vp_source_unref(source);
    return st;
}

static vp_status read_token(vp_s3 *s3, vp_s3_upload **out, vp_error *err)
{
    char text[1 << 16];
    FILE *f = token_file ? fopen(token_file, "rb") : NULL;
    size_t n = f ? fread(text, 1, sizeof(text), f) : 0;

    if (f) fclose(f);
    return vp_s3_upload_resume(s3, text, n, NULL, out, err);
}

/*
 * begin BUCKET KEY SIZE: for others who send the parts; the token is kept and printed. complete, abort, adopt and
 * address NUMBER: of the token; or
 * abort BUCKET KEY SIZE: of one that was just begun.
 */
static vp_status upload_step(vp_s3 *s3, const char *what, int n, char **a, vp_error *err)
{
    vp_s3_upload *u = NULL;
    vp_s3_info info = VP_S3_INFO_INIT;
    vp_bytes *token = NULL;
    int number = 0;
    vp_status st;

    if (n == 1 && !strcmp(what, "address")) number = atoi(a[0]), n = 0;
    if (n != 3 && (n || !strcmp(what, "begin")))
        return vp_error_set(err, VP_E_ARG, NULL, 0, "BUCKET KEY SIZE");
    if (n)
        st = vp_s3_upload_begin(s3, a[0], a[1], strtoull(a[2], NULL, 10), &object, NULL, &u, err);
    else
        st = read_token(s3, &u, err);
    if (st >= 0 && !strcmp(what, "begin")) {
        save_token(u, err);
        st = vp_s3_upload_token(u, &token, err);
        if (st >= 0) printf("%s\n", (const char *)vp_bytes_data(token));
    } else if (st >= 0 && !strcmp(what, "address")) {
        st = vp_s3_upload_presign(u, (uint32_t)number, (uint32_t)expires, NULL, &token, err);
        if (st >= 0) printf("%s\n", (const char *)vp_bytes_data(token));
    } else if (st >= 0 && !strcmp(what, "adopt")) {
        st = vp_s3_upload_adopt(u, NULL, err);
        if (st >= 0) save_token(u, err);
    } else if (st >= 0 && !strcmp(what, "complete")) {
        st = vp_s3_upload_complete(u, NULL, &info, err);
        if (st >= 0) print_info(&info);
    } else if (st >= 0) {
        st = vp_s3_upload_abort(u, NULL, err);
    }
    vp_bytes_unref(token);
    vp_s3_upload_unref(u);
    return st;
}

static void on_progress(void *user, const vp_s3_progress *progress)
{
    (void)user;
    last = *progress;
}

/* In order, then some of it at random, compared; what was read goes to stdout. */
static vp_status read_source(vp_source *source, vp_error *err)
{
    char before[256], after[256];
    uint64_t size = 0, at = 0;
    uint8_t *all, piece[5000];
    size_t got = 1;
    vp_status st = vp_source_identity(source, before, sizeof(before), err);

    if (st >= 0) st = vp_source_size(source, &size, err);
    all = malloc((size_t)size + 1);
    while (st >= 0 && at < size && got) {
        size_t want = size - at < 100000 ? (size_t)(size - at) : 100000;

        st = vp_source_read_at(source, at, all + at, want, &got, err);
        at += got;
    }
    for (uint64_t i = 0; st >= 0 && size && i < 40; i++) {
        uint64_t from = (i * i * 7919 * 131) % size;

        st = vp_source_read_at(source, from, piece, sizeof(piece), &got, err);
        if (st >= 0 && (got != (size - from < sizeof(piece) ? size - from : sizeof(piece)) ||
                        memcmp(piece, all + from, got)))
            st = vp_error_set(err, VP_E_HOST, "DIFFERENT", 0, "a piece is not what it was");
    }
    if (st >= 0) st = vp_source_identity(source, after, sizeof(after), err);
    if (st >= 0 && strcmp(before, after) != 0)
        st = vp_error_set(err, VP_E_CONFLICT, "SOURCE_CHANGED", 0, "it has changed");
    if (st >= 0) fwrite(all, 1, (size_t)at, stdout);
    free(all);
    return st;
}

/* A word of the host for each object, by its kind. */
static vp_status add_headers(void *user, const vp_object_info *info, vp_bytes **lines, vp_error *err)
{
    (void)user, (void)info, (void)lines, (void)err;
    headers_asked++;
    return VP_OK;
}

static vp_status write_object(vp_sink *sink, const char *key, const char *path, int32_t kind, vp_error *err)
{
    vp_object_info info = VP_OBJECT_INFO_INIT;
    vp_object *made = NULL;
    char piece[100000];
    FILE *f = fopen(path, "rb");
    vp_status st;
    size_t n;

    if (!f) return vp_error_set(err, VP_E_IO, NULL, 0, path);
    info.key = key;
    info.kind = kind;
    info.content_type = kind == VP_OBJECT_PLAYLIST ? "application/vnd.apple.mpegurl" : "video/mp4";
    st = vp_sink_begin(sink, &info, &made, err);
    while (st >= 0 && (n = fread(piece, 1, sizeof(piece), f)) > 0) st = vp_object_write(made, piece, n, err);
    fclose(f);
    if (st >= 0) return vp_object_commit(made, NULL, NULL, err);
    vp_object_abort(made);
    return st;
}

/* sink BUCKET PREFIX KEY=FILE...: objects of a size that is not told, as a job writes them. */
static vp_status write_sink(vp_context *context, vp_s3 *s3, int n, char **a, vp_error *err)
{
    vp_sink_s3_options o = VP_SINK_S3_OPTIONS_INIT;
    vp_store *work = NULL;
    vp_sink *sink = NULL;
    vp_status st = work_folder ? vp_store_directory(context, work_folder, &work, err) : VP_OK;

    o.bucket = a[0];
    o.prefix = a[1];
    o.object = &object;
    o.flags = VP_SINK_S3_GZIP;
    o.headers = add_headers;
    o.work = work;
    if (st >= 0) st = vp_sink_s3(s3, &o, &sink, err);
    for (int i = 2; st >= 0 && i < n; i++) {
        char *file = strchr(a[i], '=');

        *file++ = 0;
        st = write_object(sink, a[i], file, strstr(a[i], ".m3u8") ? VP_OBJECT_PLAYLIST : VP_OBJECT_SEGMENT,
                          err);
    }
    if (st >= 0) st = vp_sink_flush(sink, err);
    for (int i = 2; st >= 0 && i < n; i++) { /* and read as the job's gate reads them */
        vp_bytes *bytes = NULL;
        vp_object_info info = VP_OBJECT_INFO_INIT;

        st = vp_sink_stat(sink, a[i], &info, err);
        if (st >= 0 && info.size < 1000000) st = vp_sink_get(sink, a[i], 0, &bytes, err);
        if (st >= 0) printf("%s %" PRIu64 " %" PRIu64 "\n", a[i], info.size, vp_bytes_size(bytes));
        vp_bytes_unref(bytes);
    }
    if (st >= 0) printf("{\"headers\":%u}\n", headers_asked);
    vp_sink_unref(sink);
    vp_store_unref(work);
    return st;
}

/* cloudfront url|cookies KEY_FILE NAME=VALUE...: id, url, expires, starts, ip, flags, address, passphrase. */
static vp_status sign_cloudfront(int n, char **a, vp_bytes **out, vp_error *err)
{
    vp_cloudfront c = VP_CLOUDFRONT_INIT;
    const char *address = NULL;
    char key[1 << 14];
    FILE *f = fopen(a[1], "rb");

    if (!f) return vp_error_set(err, VP_E_IO, NULL, 0, a[1]);
    c.private_key_size = fread(key, 1, sizeof(key), f);
    c.private_key = key;
    fclose(f);
    for (int i = 2; i < n; i++) {
        char *value = strchr(a[i], '=');

        if (!value) return vp_error_set(err, VP_E_ARG, NULL, 0, a[i]);
        *value++ = 0;
        if (!strcmp(a[i], "id")) c.key_pair_id = value;
        if (!strcmp(a[i], "url")) c.url = value;
        if (!strcmp(a[i], "expires")) c.expires_s = strtoll(value, NULL, 10);
        if (!strcmp(a[i], "starts")) c.starts_s = strtoll(value, NULL, 10);
        if (!strcmp(a[i], "ip")) c.ip = value;
        if (!strcmp(a[i], "flags")) c.flags = (uint32_t)strtoul(value, NULL, 0);
        if (!strcmp(a[i], "address")) address = value;
        if (!strcmp(a[i], "passphrase")) c.passphrase = value;
    }
    return strcmp(a[0], "url") == 0 ? vp_cloudfront_sign_url(&c, address, out, err)
                                    : vp_cloudfront_sign_cookies(&c, out, err);
}

static vp_status put_text(FILE *to, vp_bytes *text)
{
    fwrite(vp_bytes_data(text), 1, (size_t)vp_bytes_size(text), to);
    vp_bytes_unref(text);
    return VP_OK;
}

/*
 * chunks WORD CHUNK_SIZE URL FILE BODY HEADERS TRAILER: PUT of a file in signed chunks, its body into BODY; the
 * headers and the size that was told before are printed.
 */
static vp_status make_chunks(char **a, vp_error *err)
{
    vp_s3_request request = VP_S3_REQUEST_INIT;
    vp_s3_credentials credentials = VP_S3_CREDENTIALS_INIT;
    vp_s3_chunks *chunks = NULL;
    vp_bytes *lines = NULL, *text = NULL;
    const char *trailer = *a[6] ? a[6] : NULL;
    uint64_t size = 0, step = strtoull(a[1], NULL, 10), wanted = 0;
    FILE *in = fopen(a[3], "rb"), *out = fopen(a[4], "wb");
    char *piece = malloc((size_t)step);
    size_t n;
    vp_status st;

    request.method = "PUT";
    request.url = a[2];
    request.headers = a[5];
    request.payload_sha256 = a[0];
    request.region = getenv("AWS_REGION");
    credentials.access_key = getenv("AWS_ACCESS_KEY_ID");
    credentials.secret_key = getenv("AWS_SECRET_ACCESS_KEY");
    credentials.session_token = getenv("AWS_SESSION_TOKEN");
    st = in && out && piece ? vp_s3_chunks_begin(&request, &credentials, &lines, &chunks, err) : VP_E_IO;
    while (st >= 0 && (n = fread(piece, 1, (size_t)step, in)) > 0) {
        st = vp_s3_chunks_next(chunks, piece, n, &text, err);
        if (st >= 0) put_text(out, text);
        fwrite(piece, 1, n, out);
        size += n;
    }
    if (st >= 0) st = vp_s3_chunks_end(chunks, trailer, &text, err);
    if (st >= 0) put_text(out, text);
    if (st >= 0) st = vp_s3_chunks_size(a[0], size, step, trailer, &wanted, err);
    if (st >= 0) printf("%sContent-Length: %" PRIu64 "\n", (const char *)vp_bytes_data(lines), wanted);
    if (in) fclose(in);
    if (out) fclose(out);
    free(piece);
    vp_bytes_unref(lines);
    vp_s3_chunks_unref(chunks);
    return st;
}

static vp_status run(vp_context *context, vp_s3 *s3, const char *what, int n, char **a, vp_error *err)
{
    vp_s3_info info = VP_S3_INFO_INIT;
    vp_source *source = NULL;
    vp_bytes *bytes = NULL;
    uint64_t count = 0;
    vp_status st = VP_E_ARG;

    if (!strcmp(what, "put") && n == 3) {
        st = read_file(context, a[2], &source, err);
        if (st >= 0) st = vp_s3_put(s3, a[0], a[1], source, &object, NULL, &info, err);
        if (st >= 0) print_info(&info);
    } else if (!strcmp(what, "head") && n == 2) {
        st = vp_s3_head(s3, a[0], a[1], NULL, &info, err);
        if (st == VP_OK) print_info(&info);
        if (st == VP_END) puts("{}");
    } else if (!strcmp(what, "get") && n == 2) {
        st = vp_s3_get(s3, a[0], a[1], 0, NULL, &bytes, err);
        if (st == VP_OK) fwrite(vp_bytes_data(bytes), 1, vp_bytes_size(bytes), stdout);
        if (st == VP_END) puts("{}");
    } else if (!strcmp(what, "list") && n == 2) {
        st = vp_s3_list(s3, a[0], a[1], on_listed, NULL, NULL, err);
    } else if (!strcmp(what, "delete") && n == 2) {
        st = vp_s3_delete(s3, a[0], a[1], NULL, err);
    } else if (!strcmp(what, "delete-prefix") && n == 2) {
        st = vp_s3_delete_prefix(s3, a[0], a[1], NULL, &count, err);
        if (st >= 0) printf("{\"count\":%" PRIu64 "}\n", count);
    } else if (!strcmp(what, "sweep") && n == 3) {
        st = vp_s3_sweep(s3, a[0], a[1], atoi(a[2]), NULL, &count, err);
        if (st >= 0) printf("{\"count\":%" PRIu64 "}\n", count);
    } else if (!strcmp(what, "copy") && n == 4) {
        st = vp_s3_copy(s3, a[0], a[1], a[2], a[3], object.content_type ? &object : NULL, NULL, err);
    } else if (!strcmp(what, "presign") && n == 3) {
        st = vp_s3_presign_object(s3, a[0], a[1], a[2], NULL, NULL, (uint32_t)expires, NULL, &bytes, err);
        if (st >= 0) printf("%s\n", (const char *)vp_bytes_data(bytes));
    } else if (!strcmp(what, "read") && (n == 1 || n == 2)) {
        st = n == 1 ? vp_source_http(context, a[0], NULL, &source, err)
                    : vp_source_s3(s3, a[0], a[1], &source, err);
        if (st >= 0) st = read_source(source, err);
    } else if (!strcmp(what, "sink") && n >= 3) {
        st = write_sink(context, s3, n, a, err);
    } else if (!strcmp(what, "tree") && n == 3) {
        vp_sink_s3_options sink = VP_SINK_S3_OPTIONS_INIT;
        vp_store *work = NULL;

        sink.bucket = a[0];
        sink.prefix = a[1];
        st = work_folder ? vp_store_directory(context, work_folder, &work, err) : VP_OK;
        if (st >= 0) st = vp_s3_put_tree(s3, a[2], &sink, work, on_progress, NULL, NULL, err);
        if (st >= 0)
            printf("{\"objects\":%" PRIu64 ",\"skipped\":%" PRIu64 "}\n", last.objects, last.skipped);
        vp_store_unref(work);
    } else if (!strcmp(what, "presign-part") && n == 4) { /* BUCKET KEY UPLOAD NUMBER */
        char query[1500];

        snprintf(query, sizeof(query), "partNumber=%s&uploadId=%s", a[3], a[2]);
        st = vp_s3_presign_object(s3, "PUT", a[0], a[1], query, NULL, (uint32_t)expires, NULL, &bytes, err);
        if (st >= 0) printf("%s\n", (const char *)vp_bytes_data(bytes));
    } else if (!strcmp(what, "post") && n == 4) { /* URL BUCKET KEY MAX */
        vp_s3_post post = VP_S3_POST_INIT;
        vp_s3_credentials credentials = VP_S3_CREDENTIALS_INIT;

        post.url = a[0];
        post.bucket = a[1];
        post.key = a[2];
        post.max_size = strtoull(a[3], NULL, 10);
        post.region = getenv("AWS_REGION");
        post.content_type = object.content_type;
        post.fields = object.headers;
        post.expires_s = (uint32_t)expires;
        credentials.access_key = getenv("AWS_ACCESS_KEY_ID");
        credentials.secret_key = getenv("AWS_SECRET_ACCESS_KEY");
        st = vp_s3_post_policy(&post, &credentials, &bytes, err);
        if (st >= 0) printf("%s\n", (const char *)vp_bytes_data(bytes));
    } else if (!strcmp(what, "chunks") && n == 7) {
        st = make_chunks(a, err);
    } else if (!strcmp(what, "cloudfront") && n >= 2) {
        st = sign_cloudfront(n, a, &bytes, err);
        if (st >= 0) printf("%s\n", (const char *)vp_bytes_data(bytes));
    } else if (!strcmp(what, "begin") || !strcmp(what, "complete") || !strcmp(what, "abort") ||
               !strcmp(what, "adopt") || !strcmp(what, "address")) {
        st = upload_step(s3, what, n, a, err);
    } else if (!strcmp(what, "upload") && n == 3) {
        st = upload(context, s3, a, err);
    } else {
        vp_error_set(err, VP_E_ARG, NULL, 0, "no such operation");
    }
    vp_bytes_unref(bytes);
    vp_source_unref(source);
    return st;
}

static void on_log(void *user, int32_t level, const char *module, const char *line)
{
    (void)user;
    fprintf(stderr, "log %d %s: %s\n", (int)level, module, line);
}

/* Of this program: ru_maxrss has what it was forked from in it. */
static long peak_kb(void)
{
    char line[200];
    long kb = 0;
    FILE *f = fopen("/proc/self/status", "r");

    while (f && fgets(line, sizeof(line), f))
        if (!strncmp(line, "VmHWM:", 6)) kb = strtol(line + 6, NULL, 10);
    if (f) fclose(f);
    return kb;
}

int main(int argc, char **argv)
{
    vp_context_options o = VP_CONTEXT_OPTIONS_INIT;
    vp_error err = VP_ERROR_INIT;
    vp_s3_counts counts = VP_S3_COUNTS_INIT;
    struct rusage used = { 0 };
    vp_context *context = NULL;
    vp_s3 *s3 = NULL;
    int i = 1;
    vp_status st;

    options.flags = VP_S3_FROM_ENVIRONMENT;
    while (i < argc && set_option(argv[i])) i++;
    if (i >= argc) return 2;
    o.log = on_log;
    o.log_level = VP_LOG_DEBUG;
    st = vp_context_new(&o, &context, &err);
    if (st >= 0) st = vp_s3_new(context, &options, &s3, &err);
    if (st >= 0) st = run(context, s3, argv[i], argc - i - 1, argv + i + 1, &err);
    if (st < 0)
        fprintf(stderr, "%d %s %s%s\n", (int)st, err.reason, err.message,
                err.flags & VP_ERRF_RETRYABLE ? " (may work later)" : "");
    if (credentials_asked) fprintf(stderr, "credentials were asked for %u times\n", credentials_asked);
    getrusage(RUSAGE_SELF, &used);
    if (s3 && vp_s3_get_counts(s3, &counts, NULL) >= 0)
        fprintf(stderr,
                "{\"requests\":%" PRIu64 ",\"retries\":%" PRIu64 ",\"slow_downs\":%" PRIu64
                ",\"sent\":%" PRIu64 ",\"connections\":%u,\"skew_us\":%" PRId64
                ",\"peak_kb\":%ld,\"cpu_ms\":%ld}\n",
                counts.requests, counts.retries, counts.slow_downs, counts.sent, (unsigned)counts.connections,
                counts.skew_us, peak_kb(),
                (used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1000 +
                    (used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1000);
    vp_s3_unref(s3);
    vp_context_unref(context);
    return st < 0 ? 1 : 0;
}
