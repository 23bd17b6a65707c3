/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copies of credentials, and what becomes of them. */

#include <stdio.h>

#include "credentials.h"

void vpi_s3_text_free(char *text)
{
    if (text) vpi_s3_wipe(text, strlen(text));
    vpi_free(text);
}

/* They stand in a header as they are. */
static bool printable(const char *text)
{
    const char *p = text;

    while (*p > 0x20 && *p < 0x7F) p++;
    return p > text && !*p;
}

static const char *fault(const vp_s3_credentials *c)
{
    if (!c->access_key || !printable(c->access_key)) return "the access key is empty or not printable ASCII";
    if (!c->secret_key || !printable(c->secret_key)) return "the secret key is empty or not printable ASCII";
    if (c->session_token && !printable(c->session_token))
        return "the session token is empty or not printable ASCII";
    return c->expires_us < 0 ? "they expire before 1970" : NULL;
}

static vp_status take(vpi_s3_secret *to, const vp_s3_credentials *c, vp_error *err)
{
    vpi_s3_secret s = { .expires_us = c->expires_us };

    s.access_key = vpi_strdup(c->access_key);
    s.secret_key = vpi_strdup(c->secret_key);
    s.session_token = vpi_strdup(c->session_token);
    if (!s.access_key || !s.secret_key || (c->session_token && !s.session_token)) {
        vpi_s3_secret_wipe(&s);
        return vpi_fail_nomem(err);
    }
    vpi_s3_secret_wipe(to);
    *to = s;
    return VP_OK;
}

vp_status vpi_s3_secret_copy(vpi_s3_secret *to, const vp_s3_credentials *from, vp_error *err)
{
    vp_s3_credentials c = VP_S3_CREDENTIALS_INIT;
    const char *why;

    if (!from) return vpi_fail(err, VP_E_ARG, NULL, "no credentials");
    VPI_TRY(vpi_copy_struct(&c, sizeof(c), from, err));
    why = fault(&c);
    if (why) return vpi_fail(err, VP_E_ARG, NULL, "credentials: %s", why);
    return take(to, &c, err);
}

void vpi_s3_secret_wipe(vpi_s3_secret *secret)
{
    if (!secret) return;
    vpi_s3_text_free(secret->access_key);
    vpi_s3_text_free(secret->secret_key);
    vpi_s3_text_free(secret->session_token);
    *secret = (vpi_s3_secret){ 0 };
}

vp_s3_credentials vpi_s3_secret_view(const vpi_s3_secret *secret)
{
    vp_s3_credentials c = VP_S3_CREDENTIALS_INIT;

    c.access_key = secret->access_key;
    c.secret_key = secret->secret_key;
    c.session_token = secret->session_token;
    c.expires_us = secret->expires_us;
    return c;
}

vp_status vp_s3_reply_set(vp_s3_reply *reply, const vp_s3_credentials *credentials, vp_error *err)
{
    vpi_error_reset(err);
    if (!reply) return vpi_fail(err, VP_E_ARG, NULL, "no reply");
    if (reply->secret.access_key) return vpi_fail(err, VP_E_STATE, NULL, "the reply has been set already");
    return vpi_s3_secret_copy(&reply->secret, credentials, err);
}

/* ---- what places tell ---- */

/* Days since 1970 of a date of the Gregorian calendar: years counted from March, so that a leap day is the last. */
static int64_t days(int year, int month, int day)
{
    int64_t y = month <= 2 ? year - 1 : year, m = month <= 2 ? month + 9 : month - 3;

    return y * 365 + y / 4 - y / 100 + y / 400 + (m * 153 + 2) / 5 + day - 1 - 719468;
}

static bool digits(const char **p, int count, int *value)
{
    *value = 0;
    for (; count > 0; count--, (*p)++) {
        if (**p < '0' || **p > '9') return false;
        *value = *value * 10 + (**p - '0');
    }
    return true;
}

static bool literal(const char **p, char c)
{
    if (**p != c) return false;
    (*p)++;
    return true;
}

/* "Z", "+01:00", "-0130"; nothing: UTC. */
static bool zone(const char *p, int *minutes)
{
    int hour, minute, sign = *p == '-' ? -1 : 1;

    *minutes = 0;
    if (!*p) return true;
    if (*p == 'Z' || *p == 'z') return !p[1];
    if (*p != '+' && *p != '-') return false;
    p++;
    if (!digits(&p, 2, &hour)) return false;
    if (*p == ':') p++;
    if (!digits(&p, 2, &minute) || *p || hour > 23 || minute > 59) return false;
    *minutes = sign * (hour * 60 + minute);
    return true;
}

bool vpi_s3_time_parse(const char *text, int64_t *us)
{
    int year, month, day, hour, minute, second, offset;
    const char *p = text;

    if (!digits(&p, 4, &year) || !literal(&p, '-') || !digits(&p, 2, &month) || !literal(&p, '-') ||
        !digits(&p, 2, &day) || (*p != 'T' && *p != 't' && *p != ' '))
        return false;
    p++;
    if (!digits(&p, 2, &hour) || !literal(&p, ':') || !digits(&p, 2, &minute) || !literal(&p, ':') ||
        !digits(&p, 2, &second))
        return false;
    if (*p == '.') p += 1 + strspn(p + 1, "0123456789");
    if (!zone(p, &offset) || year < 1970 || month < 1 || month > 12 || day < 1 || day > 31 || hour > 23 ||
        minute > 59 || second > 60)
        return false;
    *us = (((days(year, month, day) * 24 + hour) * 60 + minute - offset) * 60 + second) * 1000000;
    return *us > 0;
}

vp_status vpi_s3_secret_make(vpi_s3_secret *to, const char *access_key, const char *secret_key,
                             const char *token, const char *expires, vp_error *err)
{
    vp_s3_credentials c = VP_S3_CREDENTIALS_INIT;
    const char *why;

    c.access_key = access_key;
    c.secret_key = secret_key;
    c.session_token = token && token[0] ? token : NULL;
    if (expires && expires[0] && !vpi_s3_time_parse(expires, &c.expires_us))
        return vpi_fail(err, VP_E_DATA, NULL, "when they expire is not a time of ISO 8601");
    why = fault(&c);
    if (why) return vpi_fail(err, VP_E_DATA, NULL, "%s", why);
    return take(to, &c, err);
}

bool vpi_s3_secret_expired(const vpi_s3_secret *secret)
{
    return secret->expires_us && secret->expires_us <= vpi_s3_time_us();
}
