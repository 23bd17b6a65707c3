/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

/* What begins exactly so is an address; anything else is a path, also ./s3:/name. */
#define S3 "s3://"
#define S3_LENGTH (sizeof(S3) - 1)

static bool begins(const char *text, const char *with)
{
    return !strncmp(text, with, strlen(with));
}

place_kind place_of(const char *place)
{
    if (begins(place, S3)) return PLACE_S3;
    return begins(place, "https://") || begins(place, "http://") ? PLACE_WEB : PLACE_PATH;
}

bool place_split(const char *place, char **bucket, char **key)
{
    const char *name = place + S3_LENGTH;
    size_t n = strcspn(name, "/");
    const char *rest = name[n] ? name + n + 1 : name + n;
    size_t length = strlen(rest);
    while (length && rest[length - 1] == '/') length--;
    *bucket = strndup(name, n);
    *key = strndup(rest, length);
    if (*bucket && *key) return true;
    free(*bucket);
    free(*key);
    *bucket = *key = NULL;
    return false;
}

char *place_shown(const char *place)
{
    char *copy = strdup(place), *host;
    if (!copy || place_of(place) != PLACE_WEB) return copy;
    copy[strcspn(copy, "?#")] = 0;
    host = strstr(copy, "://") + 3;
    char *slash = host + strcspn(host, "/"), *at = NULL;
    for (char *p = host; p < slash; p++)
        if (*p == '@') at = p;
    if (at) memmove(host, at + 1, strlen(at + 1) + 1);
    return copy;
}

char *place_absolute(const char *place)
{
    return place_of(place) == PLACE_PATH ? absolute_path(place) : strdup(place);
}

char *place_join(const char *place, const char *name)
{
    char *whole = NULL;
    size_t n = strlen(place), query;
    if (place_of(place) == PLACE_PATH) return join_path(place, name);
    query = place_of(place) == PLACE_WEB ? strcspn(place, "?#") : n;
    size_t base = query;
    while (base && place[base - 1] == '/') base--;
    return asprintf(&whole, "%.*s/%s%s", (int)base, place, name, place + query) < 0 ? NULL : whole;
}

bool place_check(const cli_options *o, const char *what, const char *place, unsigned takes)
{
    static const char *const words[] = { "a path", "a path, s3:// or https://", "a path or s3://",
                                         "s3://bucket/key", "s3://bucket/prefix" };
    const char *want = takes & TAKES_WEB      ? words[1]
                       : takes == TAKES_PATH  ? words[0]
                       : takes & TAKES_PATH   ? words[2]
                       : takes & TAKES_OBJECT ? words[3]
                                              : words[4];
    place_kind kind = place_of(place);
    unsigned given = kind == PLACE_PATH  ? TAKES_PATH
                     : kind == PLACE_WEB ? TAKES_WEB
                                         : TAKES_PREFIX | TAKES_OBJECT;
    char *shown;
    if (!*place) return usage_error(o, "%s: a path is empty", what) == EXIT_DONE;
    if (takes & given) {
        const char *name = place + S3_LENGTH, *slash = kind == PLACE_S3 ? strchr(name, '/') : NULL;
        if (kind != PLACE_S3) return true;
        if (!*name || slash == name) return usage_error(o, "%s: no bucket in '%s'", what, place) == EXIT_DONE;
        if (takes & TAKES_PREFIX || (slash && slash[1] && name[strlen(name) - 1] != '/')) return true;
        return usage_error(o, "%s: no object is named by '%s'", what, place) == EXIT_DONE;
    }
    shown = place_shown(place);
    usage_error(o, "%s is %s, not '%s'", what, want, shown ? shown : "");
    free(shown);
    return false;
}

/* ---- of the environment ---- */

static const char *variable(const char *name)
{
    const char *value = getenv(name);
    return value && *value ? value : NULL;
}

/* What the library finds by itself, to be written down for other machines. */
const char *chosen_endpoint(const cli_options *o)
{
    const char *ignore = variable("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"), *found;
    if (o->endpoint) return o->endpoint;
    if (ignore && !strcasecmp(ignore, "true")) return NULL;
    found = variable("AWS_ENDPOINT_URL_S3");
    return found ? found : variable("AWS_ENDPOINT_URL");
}

const char *chosen_region(const cli_options *o)
{
    const char *found = o->region ? o->region : variable("AWS_REGION");
    return found ? found : variable("AWS_DEFAULT_REGION");
}

/* ---- where work lies ---- */

static uint64_t hash_text(uint64_t hash, const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++) hash = (hash ^ (unsigned char)text[i]) * UINT64_C(0x100000001b3);
    return (hash ^ 0xff) * UINT64_C(0x100000001b3); /* no text holds this byte alone: ends are told apart */
}

/* One folder for each OUT at each endpoint; what `put` does there is another work than that of `publish`. */
char *default_work(const cli_options *o, const char *out, bool *homeless)
{
    const char *state = variable("XDG_STATE_HOME"), *home = variable("HOME"), *endpoint = chosen_endpoint(o);
    size_t n = strlen(out);
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    char *path = NULL;
    while (n && out[n - 1] == '/') n--;
    hash = hash_text(hash, out, n);
    hash = hash_text(hash, endpoint ? endpoint : "", endpoint ? strlen(endpoint) : 0);
    *homeless = !(state && *state == '/') && !home; /* a relative one counts as none (XDG) */
    if (*homeless) return NULL;
    if (state && *state == '/') home = state;
    return asprintf(&path, "%s%s/vodpipe/%s%016" PRIx64, home, home == state ? "" : "/.local/state",
                    o->command_bit == CMD_PUT ? "put-" : "", hash) < 0
               ? NULL
               : path;
}
