/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>

#include "model/language_int.h"
#include "model/media.h"

#define TAG_SIZE 36
#define PRIMARY_MAX 3
#define SUBTAG_MAX 8

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

static char upper(char c)
{
    return c >= 'a' && c <= 'z' ? (char)(c - ('a' - 'A')) : c;
}

/* Length of the language subtag. */
static size_t primary_length(const char *tag)
{
    size_t n = 0;

    while (is_letter(tag[n])) n++;
    return n;
}

static const vpi_language *find(const char *code, size_t length)
{
    size_t i;

    if (length != 2 && length != 3) return NULL;
    for (i = 0; i < vpi_language_count; i++) {
        const vpi_language *l = &vpi_languages[i];

        if (length == 2 && memcmp(l->two, code, 2) == 0) return l;
        if (length == 3 && (memcmp(l->three, code, 3) == 0 || memcmp(l->biblio, code, 3) == 0)) return l;
    }
    return NULL;
}

/* RFC 5646 2.1.1: regions in upper case, scripts with a capital, the rest in lower case. */
static void write_subtag(char *to, const char *from, size_t n, bool extension)
{
    bool letters = true;
    size_t i;

    for (i = 0; i < n; i++) letters = letters && is_letter(from[i]);
    for (i = 0; i < n; i++) {
        to[i] = lower(from[i]);
        if (!extension && letters && (n == 2 || (n == 4 && i == 0))) to[i] = upper(from[i]);
    }
}

/* Subtags after the language, each with its hyphen. False when they break the grammar or the room. */
static bool copy_subtags(const char *from, char to[TAG_SIZE], size_t at)
{
    bool extension = false;

    while (*from) {
        size_t n = 0;

        if (*from != '-' && *from != '_') return false;
        from++;
        while (is_letter(from[n]) || is_digit(from[n])) n++;
        if (n == 0 || n > SUBTAG_MAX || at + 1 + n >= TAG_SIZE) return false;
        to[at++] = '-';
        write_subtag(to + at, from, n, extension);
        /* A single letter begins an extension or private use, where case has no meaning. */
        extension = extension || n == 1;
        at += n;
        from += n;
    }
    to[at] = 0;
    return true;
}

void vpi_language_bcp47(const char *from, char to[36])
{
    char primary[PRIMARY_MAX + 1] = { 0 };
    const vpi_language *known;
    size_t n, i;

    vpi_strlcpy(to, "und", TAG_SIZE);
    if (!from) return;
    n = primary_length(from);
    if (n != 2 && n != 3) return;
    for (i = 0; i < n; i++) primary[i] = lower(from[i]);
    known = find(primary, n);
    if (known) vpi_strlcpy(primary, known->two[0] ? known->two : known->three, sizeof(primary));
    /* "und" and what writers put where they know nothing. */
    if (strcmp(primary, "und") == 0 || strcmp(primary, "unk") == 0) return;
    vpi_strlcpy(to, primary, TAG_SIZE);
    if (!copy_subtags(from + n, to, strlen(primary))) {
        /* A readable language with unreadable rest, for example cut by a fixed field. */
        vpi_strlcpy(to, from[n] == '-' || from[n] == '_' ? primary : "und", TAG_SIZE);
    }
}

void vpi_language_iso639(const char *bcp47, char to[4])
{
    char tag[TAG_SIZE];
    const vpi_language *known;
    size_t n;

    vpi_language_bcp47(bcp47, tag);
    n = primary_length(tag);
    known = find(tag, n);
    vpi_strlcpy(to, "und", 4);
    if (known) {
        vpi_strlcpy(to, known->three, 4);
    } else if (n == 3) {
        memcpy(to, tag, 3);
    }
}

void vpi_language_name(const char *bcp47, char *to, size_t capacity)
{
    char tag[TAG_SIZE], text[96];
    const vpi_language *known;
    size_t n;

    vpi_language_bcp47(bcp47, tag);
    n = primary_length(tag);
    known = find(tag, n);
    if (strcmp(tag, "und") == 0) {
        vpi_strlcpy(to, "Undetermined", capacity);
    } else if (!known) {
        vpi_strlcpy(to, tag, capacity);
    } else if (tag[n]) {
        snprintf(text, sizeof(text), "%s (%s)", known->name, tag + n + 1);
        vpi_strlcpy(to, text, capacity);
    } else {
        vpi_strlcpy(to, known->name, capacity);
    }
}
