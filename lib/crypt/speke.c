/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Keys from a key server that speaks SPEKE 2.0: asked one by one, kept as long as the handle. */
#include <stdlib.h>
#include <time.h>

#include <openssl/crypto.h>
#include <openssl/decoder.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "base/context.h"
#include "crypt/key_int.h"
#include "crypt/speke_int.h"
#include "crypt/xml_int.h"
#include "http/http.h"

#define TIMEOUT_MS 60000u
#define ATTEMPTS 3
#define FIRST_PAUSE_MS 500
#define LONGEST_PAUSE_MS 10000
#define MAX_ANSWER ((size_t)1 << 20)
#define KEPT_MAX ((size_t)8192)
#define MAX_CONTENT_ID 1024u
#define ORIGIN 300

/* An answer. Each has its own memory, so that no growing array leaves keys behind. */
typedef struct kept_key {
    uint8_t asked[16]; /* the KID of the request */
    vpi_key key;
} kept_key;

typedef struct speke {
    vpi_http *http;
    vp_context *context;
    vp_cancel *cancel;
    uint32_t timeout_ms;
    char *url, *content_id;
    vpi_speke_form form;
    uint8_t *private_key;
    size_t private_key_size;
    char *passphrase;
    pthread_mutex_t lock;
    struct {
        kept_key **kept;
        size_t count, cap;
    } synced;
} speke;

void vp_speke_options_init(vp_speke_options *options, size_t size)
{
    static const vp_speke_options init = VP_SPEKE_OPTIONS_INIT;

    vpi_struct_init(options, size, &init, sizeof(init));
}

/* ---- what was answered ---- */

static void drop_kept(speke *s)
{
    for (size_t i = 0; i < s->synced.count; i++) {
        vpi_key_dispose(&s->synced.kept[i]->key);
        vpi_free(s->synced.kept[i]);
    }
    s->synced.count = 0;
}

static vp_status tell(const vpi_key *key, vp_key_reply *reply, vp_error *err)
{
    const vpi_key_info *k = &key->info;

    VPI_TRY(vp_key_reply_set(reply, k->kid, key->key, k->has_iv ? k->iv : NULL, err));
    if (k->uri) VPI_TRY(vp_key_reply_uri(reply, k->uri, err));
    for (size_t i = 0; i < k->drm_count; i++) {
        const vpi_drm *d = &k->drm[i];

        VPI_TRY(vp_key_reply_drm(reply, d->system, d->pssh, (uint32_t)d->pssh_size, d->uri, d->laurl, err));
    }
    return VP_OK;
}

/* VP_END: it was not asked for yet. */
static vp_status tell_kept(speke *s, const uint8_t kid[16], vp_key_reply *reply, vp_error *err)
{
    vp_status st = VP_END;

    pthread_mutex_lock(&s->lock);
    for (size_t i = 0; i < s->synced.count && st == VP_END; i++)
        if (memcmp(s->synced.kept[i]->asked, kid, 16) == 0) st = tell(&s->synced.kept[i]->key, reply, err);
    pthread_mutex_unlock(&s->lock);
    return st;
}

/* Takes what is in *key. Two threads may have asked for the same one: it is kept twice, and is the same. */
static vp_status keep(speke *s, const uint8_t kid[16], vpi_key *key, vp_error *err)
{
    kept_key *k = vpi_calloc(1, sizeof(*k));
    vp_status st = VP_OK;

    if (!k) return vpi_fail_nomem(err);
    pthread_mutex_lock(&s->lock);
    if (s->synced.count == KEPT_MAX) drop_kept(s);
    if (VPI_GROW(s->synced.kept, s->synced.count, s->synced.cap)) {
        memcpy(k->asked, kid, 16);
        k->key = *key;
        OPENSSL_cleanse(key, sizeof(*key));
        s->synced.kept[s->synced.count++] = k;
    } else {
        vpi_free(k);
        st = vpi_fail_nomem(err);
    }
    pthread_mutex_unlock(&s->lock);
    return st;
}

/* ---- one request ---- */

static vp_status refused(const speke *s, int status, vp_error *err)
{
    char origin[ORIGIN];
    bool later = vpi_http_retryable(status);

    vpi_http_origin(s->url, origin, sizeof(origin));
    if (later)
        vpi_fail(err, VP_E_IO, "CONNECTION_FAILED", "the key server %s answers %d", origin, status);
    else
        vpi_fail(err, VP_E_AUTH, "KEY_MISSING", "the key server %s refuses: it answers %d%s", origin, status,
                 status == 401   ? " (Unauthorized)"
                 : status == 403 ? " (Forbidden)"
                                 : "");
    if (err) {
        err->native = status;
        err->domain = VP_DOM_HTTP;
        if (later) err->flags |= VP_ERRF_RETRYABLE;
    }
    return later ? VP_E_IO : VP_E_AUTH;
}

/* Sleeps; in pieces, so that a cancel and the end of the context are seen. */
static vp_status pause_ms(const speke *s, int64_t ms, vp_error *err)
{
    int64_t until = vpi_now_us() + ms * 1000;

    for (;;) {
        int64_t left = until - vpi_now_us();
        struct timespec t = { 0 };

        VPI_TRY(vpi_cancel_check(s->cancel, err));
        VPI_TRY(vpi_cancel_check(vpi_context_cancel(s->context), err));
        if (left <= 0) return VP_OK;
        t.tv_nsec = (long)VPI_MIN(left, 100000) * 1000;
        nanosleep(&t, NULL);
    }
}

/* What the server wishes, in seconds, or twice as long each time. */
static int64_t pause_after(const vpi_http_answer *a, int attempt)
{
    int64_t ms = (int64_t)FIRST_PAUSE_MS << attempt;
    char text[16];

    if (vpi_http_header(a, "Retry-After", text, sizeof(text)) && text[0] >= '0' && text[0] <= '9')
        ms = VPI_MAX(ms, strtol(text, NULL, 10) * 1000);
    return VPI_MIN(ms, LONGEST_PAUSE_MS);
}

static vp_status post(const speke *s, const vpi_buf *document, vpi_http_answer *a, vp_error *err)
{
    int64_t deadline = vpi_now_us() + (int64_t)s->timeout_ms * 1000;
    vpi_http_request r = { .method = "POST",
                           .url = s->url,
                           .headers = "Content-Type: application/xml\nX-Speke-Version: 2.0\n",
                           .body = document->data,
                           .body_size = document->size,
                           .max_body = MAX_ANSWER,
                           .max_redirect = 3,
                           .secret = true };

    for (int attempt = 0;; attempt++) {
        vp_error own = VP_ERROR_INIT;
        int64_t left = (deadline - vpi_now_us()) / 1000, wait;
        vp_status st;

        r.timeout_ms = (uint32_t)VPI_MAX(left, 1);
        st = vpi_http_request_run(s->http, &r, s->cancel, a, &own);
        if (st >= 0 && a->status == 200) return VP_OK;
        if (st >= 0) st = refused(s, a->status, &own);
        wait = pause_after(a, attempt);
        vpi_http_answer_dispose(a);
        if (!(own.flags & VP_ERRF_RETRYABLE) || attempt + 1 == ATTEMPTS ||
            vpi_now_us() + wait * 1000 >= deadline) {
            vpi_error_copy(err, &own);
            return st;
        }
        VPI_TRY(pause_ms(s, wait, err));
    }
}

/* ---- reading the answer ---- */

/* Are there keys, and are some in the clear? What is no XML is left to the reader of CPIX. */
static vp_status look(const vpi_http_answer *a, bool *any, bool *clear, vp_error *err)
{
    const vpi_xml_node *root, *n;
    vpi_xml *xml = NULL;
    vp_status st = vpi_xml_parse(a->body.data, a->body.size, NULL, &xml, NULL);

    *any = *clear = false;
    if (st < 0) {
        *any = true;
        return st == VP_E_NOMEM ? vpi_fail_nomem(err) : VP_OK;
    }
    root = vpi_xml_root(xml);
    for (n = root; n; n = vpi_xml_walk(root, n)) {
        bool plain = strcmp(n->name, "PlainValue") == 0 && n->text_size > 0;

        *any = *any || plain || strcmp(n->name, "EncryptedValue") == 0;
        *clear = *clear || plain;
    }
    vpi_xml_free(xml);
    return VP_OK;
}

/* By its KID; a server may put another one in its place ("Overriding the key identifier"), then by what it is for. */
static vpi_key *find(vpi_key_list *list, const vp_key_request *request, const uint8_t kid[16])
{
    for (size_t i = 0; i < list->count; i++)
        if (memcmp(list->keys[i].info.kid, kid, 16) == 0) return &list->keys[i];
    for (size_t i = 0; i < list->count; i++) {
        vpi_key *k = &list->keys[i];

        if (k->period == request->period && (vpi_streq(k->label, request->label) || vpi_streq(k->label, "*")))
            return k;
    }
    return NULL;
}

static vp_status read_answer(const speke *s, const vpi_http_answer *a, const vp_key_request *request,
                             const uint8_t kid[16], vpi_key *out, vp_error *err)
{
    vpi_key_list list = { 0 };
    bool any, clear;
    vpi_key *found;

    VPI_TRY(look(a, &any, &clear, err));
    if (!any)
        return vpi_fail(err, VP_E_AUTH, "KEY_MISSING", "the key server gives no key for label %s, period %u",
                        request->label, (unsigned)request->period);
    if (clear && s->form.certificate)
        return vpi_key_invalid(err, "the key server answers with a clear key, although it was to encrypt it");
    VPI_TRY(vpi_cpix_parse(a->body.data, a->body.size, s->private_key, s->private_key_size, s->passphrase,
                           &list, err));
    found = find(&list, request, kid);
    if (found) {
        *out = *found;
        /* what it points to has moved; the key is zeroised with the list */
        memset(&found->info, 0, sizeof(found->info));
    }
    vpi_key_list_dispose(&list);
    return found ? VP_OK
                 : vpi_fail(err, VP_E_AUTH, "KEY_MISSING",
                            "the key server answers with a key, but not for label %s, period %u",
                            request->label, (unsigned)request->period);
}

static vp_status fetch(speke *s, const char *content_id, const vp_key_request *request, const uint8_t kid[16],
                       vp_key_reply *reply, vp_error *err)
{
    vpi_scheme scheme = (vpi_scheme)request->scheme;
    vpi_buf document = { 0 };
    vpi_http_answer answer = { 0 };
    vpi_key key = { 0 };
    vp_status st;

    vpi_speke_document(&s->form, content_id, scheme, request->label, request->period, kid, &document);
    if (vpi_buf_failed(&document))
        st = vpi_fail_nomem(err);
    else
        st = post(s, &document, &answer, err);
    if (st >= 0) st = read_answer(s, &answer, request, kid, &key, err);
    vpi_http_answer_dispose(&answer);
    vpi_buf_dispose(&document);
    if (st >= 0) st = tell(&key, reply, err);
    if (st >= 0) st = keep(s, kid, &key, err);
    vpi_key_dispose(&key);
    return st;
}

static vp_status get_key(void *user, const vp_key_request *request, vp_key_reply *reply, vp_error *err)
{
    speke *s = user;
    const char *content_id = s->content_id ? s->content_id : request->title;
    uint8_t kid[16];
    vp_status st;

    if (!content_id[0])
        return vpi_fail(err, VP_E_ARG, NULL, "neither a content id nor a title for the key server");
    if (strlen(content_id) > MAX_CONTENT_ID)
        return vpi_fail(err, VP_E_ARG, NULL, "the content id is too long");
    for (const char *p = content_id; *p; p++)
        if ((unsigned char)*p < 0x20)
            return vpi_fail(err, VP_E_ARG, NULL, "a control character in the content id");
    vpi_speke_kid(content_id, (vpi_scheme)request->scheme, request->label, request->period, kid);
    st = tell_kept(s, kid, reply, err);
    if (st == VP_END) st = fetch(s, content_id, request, kid, reply, err);
    if (st < 0) vpi_error_op(err, "keys.speke");
    return st;
}

/* ---- handle ---- */

static void wipe(void *data, size_t size)
{
    if (data) OPENSSL_cleanse(data, size);
    vpi_free(data);
}

static void release(void *user)
{
    speke *s = user;

    drop_kept(s);
    vpi_free(s->synced.kept);
    vpi_http_free(s->http);
    vp_context_unref(s->context);
    vp_cancel_unref(s->cancel);
    vpi_free(s->url);
    vpi_free(s->content_id);
    vpi_free(s->form.certificate);
    wipe(s->private_key, s->private_key_size);
    wipe(s->passphrase, s->passphrase ? strlen(s->passphrase) : 0);
    pthread_mutex_destroy(&s->lock);
    OPENSSL_cleanse(s, sizeof(*s));
    vpi_free(s);
}

static int no_passphrase(char *to, int size, int writing, void *user)
{
    (void)to, (void)size, (void)writing, (void)user;
    return -1; /* never asks a terminal */
}

static X509 *load_certificate(const void *data, size_t size)
{
    const unsigned char *p = data;
    X509 *x = d2i_X509(NULL, &p, (long)size);

    if (!x) {
        BIO *bio = BIO_new_mem_buf(data, (int)size);

        if (bio) x = PEM_read_bio_X509(bio, NULL, no_passphrase, NULL);
        BIO_free(bio);
    }
    return x;
}

static EVP_PKEY *load_private(const speke *s)
{
    const unsigned char *p = s->private_key;
    size_t n = s->private_key_size;
    EVP_PKEY *key = NULL;
    OSSL_DECODER_CTX *ctx =
        OSSL_DECODER_CTX_new_for_pkey(&key, NULL, NULL, "RSA", EVP_PKEY_KEYPAIR, NULL, NULL);

    if (!ctx) return NULL;
    if (s->passphrase)
        OSSL_DECODER_CTX_set_passphrase(ctx, (const unsigned char *)s->passphrase, strlen(s->passphrase));
    if (OSSL_DECODER_from_data(ctx, &p, &n) != 1) key = NULL;
    OSSL_DECODER_CTX_free(ctx);
    return key;
}

/* Said now: else it would be the answer of a server that nobody understands. */
static vp_status take_certificate(speke *s, const vp_speke_options *o, vp_error *err)
{
    X509 *x;
    EVP_PKEY *key = NULL;
    vp_status st = VP_OK;
    int size;

    if (!o->certificate) return VP_OK;
    if (!s->private_key) return vpi_fail(err, VP_E_ARG, NULL, "a certificate without its private key");
    if (o->certificate_size > (64u << 10)) return vpi_key_invalid(err, "certificate: too large");
    ERR_set_mark();
    x = load_certificate(o->certificate, (size_t)o->certificate_size);
    key = load_private(s);
    if (!x || !EVP_PKEY_is_a(X509_get0_pubkey(x), "RSA")) {
        st = vpi_key_invalid(err, "certificate: not one of an RSA key in PEM or DER");
    } else if (!key) {
        st = vpi_key_invalid(err, "private key: not an RSA key in PEM or DER, or the passphrase is wrong");
    } else if (EVP_PKEY_eq(X509_get0_pubkey(x), key) != 1) {
        st = vpi_key_invalid(err, "private key: not that of the certificate");
    } else {
        uint8_t *p = NULL;

        size = i2d_X509(x, NULL);
        if (size > 0) p = s->form.certificate = vpi_alloc((size_t)size);
        if (p) s->form.certificate_size = (size_t)i2d_X509(x, &p);
        if (!p) st = vpi_fail_nomem(err);
    }
    EVP_PKEY_free(key);
    X509_free(x);
    ERR_pop_to_mark();
    return st;
}

/* Keys never go over a network in the clear; a proxy on this machine that signs requests may take them so. */
static bool url_allowed(const char *url)
{
    static const char *const local[] = { "http://localhost", "http://127.0.0.1", "http://[::1]" };
    char origin[ORIGIN];

    vpi_http_origin(url, origin, sizeof(origin));
    if (strncmp(origin, "https://", 8) == 0) return true;
    for (size_t i = 0; i < VPI_COUNT(local); i++) {
        size_t n = strlen(local[i]);

        if (strncmp(origin, local[i], n) == 0 && (!origin[n] || origin[n] == ':')) return true;
    }
    return false;
}

static bool copy_text(char **to, const char *from)
{
    *to = vpi_strdup(from);
    return *to || !from;
}

static vp_status fill(speke *s, const vp_speke_options *o, vp_error *err)
{
    if (!copy_text(&s->url, o->url) || !copy_text(&s->content_id, o->content_id) ||
        !copy_text(&s->passphrase, o->passphrase))
        return vpi_fail_nomem(err);
    if (o->private_key) {
        if (o->private_key_size > (64u << 10)) return vpi_key_invalid(err, "private key: too large");
        s->private_key = vpi_alloc((size_t)o->private_key_size);
        if (!s->private_key) return vpi_fail_nomem(err);
        s->private_key_size = (size_t)o->private_key_size;
        memcpy(s->private_key, o->private_key, s->private_key_size);
    }
    s->timeout_ms = o->timeout_ms ? o->timeout_ms : TIMEOUT_MS;
    VPI_TRY(vpi_speke_systems(o->systems, &s->form, err));
    VPI_TRY(take_certificate(s, o, err));
    return vpi_http_new(s->context, o->http, &s->http, err);
}

vp_status vp_keys_speke(vp_context *context, const vp_speke_options *options, vp_keys **out, vp_error *err)
{
    vp_speke_options o = VP_SPEKE_OPTIONS_INIT;
    vp_status st;
    speke *s;

    vpi_error_reset(err);
    if (out) *out = NULL;
    if (!out || !options) return vpi_fail(err, VP_E_ARG, NULL, "no options, or nowhere to put the keys");
    VPI_TRY(vpi_context_check(context, err));
    VPI_TRY(vpi_copy_struct(&o, sizeof(o), options, err));
    if (!o.url || !url_allowed(o.url))
        return vpi_fail(err, VP_E_ARG, NULL, "url: not of https, nor of http on this machine");
    s = vpi_calloc(1, sizeof(*s));
    if (!s) return vpi_fail_nomem(err);
    pthread_mutex_init(&s->lock, NULL);
    s->context = vp_context_ref(context);
    s->cancel = vp_cancel_ref(o.cancel);
    st = fill(s, &o, err);
    if (st >= 0) st = vpi_keys_new_internal(get_key, release, s, out, err);
    if (st < 0) release(s);
    return st;
}
