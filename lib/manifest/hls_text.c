/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "manifest/drm.h"
#include "manifest/hls_int.h"
#include "manifest/uri.h"
#include "model/utf8.h"

#define FOLDER_SIZE 1024

bool vpi_hls_has_iframes(const vpi_ptrack *t)
{
    size_t i, k;

    if (t->kind != VP_TRACK_VIDEO || t->segment_count == 0 || vpi_whole_segments(t)) return false;
    for (i = 0; i < t->segment_count; i++) {
        const vpi_segment *s = &t->segments[i];

        if (s->fragment_count == 0) return false;
        for (k = 0; k < s->fragment_count; k++) {
            if (s->fragments[k].idr_bytes == 0) return false;
        }
    }
    return true;
}

void vpi_hls_playlist_key(const vpi_ptrack *t, bool iframes, vpi_buf *b)
{
    char folder[FOLDER_SIZE];

    vpi_ptrack_folder(t, folder);
    vpi_buf_str(b, folder);
    if (folder[0]) vpi_buf_u8(b, '/');
    vpi_buf_str(b, iframes ? VPI_IFRAMES_NAME : VPI_PLAYLIST_NAME);
}

void vpi_hls_playlist_uri(const vpi_ptrack *t, bool iframes, vpi_buf *b)
{
    vpi_buf key = { 0 };

    vpi_hls_playlist_key(t, iframes, &key);
    if (vpi_buf_failed(&key)) b->failed = true;
    vpi_uri_add(b, (const char *)key.data, key.size);
    vpi_buf_dispose(&key);
}

void vpi_hls_quoted(vpi_buf *b, bool first, const char *name, const char *text)
{
    const uint8_t *s = (const uint8_t *)text;

    if (!first) vpi_buf_u8(b, ',');
    vpi_buf_str(b, name);
    vpi_buf_str(b, "=\"");
    while (*s) {
        size_t n = vpi_utf8_sequence(s);

        if (n == 0) {
            vpi_buf_str(b, VPI_UTF8_REPLACEMENT);
            n = 1;
        } else if (*s == '"' || *s < 0x20) {
            vpi_buf_u8(b, *s == '"' ? '\'' : ' ');
        } else {
            vpi_buf_add(b, s, n);
        }
        s += n;
    }
    vpi_buf_u8(b, '"');
}

static bool is_audio(const char *codec, size_t n)
{
    static const char *const names[] = { "mp4a", "ac-3", "ec-3", "ac-4", "Opus",
                                         "opus", "fLaC", "flac", "alac" };
    size_t i;

    for (i = 0; i < VPI_COUNT(names); i++) {
        if (n >= 4 && memcmp(codec, names[i], 4) == 0) return true;
    }
    return false;
}

static bool lists(const vpi_buf *list, const char *codec, size_t n)
{
    size_t at = 0;

    while (at < list->size) {
        const uint8_t *comma = memchr(list->data + at, ',', list->size - at);
        size_t length = comma ? (size_t)(comma - list->data) - at : list->size - at;

        if (length == n && memcmp(list->data + at, codec, n) == 0) return true;
        at += length + 1;
    }
    return false;
}

void vpi_hls_merge_codecs(vpi_buf *to, const char *codecs, bool audio)
{
    while (*codecs) {
        size_t n = strcspn(codecs, ",");

        if (n > 0 && (audio || !is_audio(codecs, n)) && !lists(to, codecs, n)) {
            if (to->size > 0) vpi_buf_u8(to, ',');
            vpi_buf_add(to, codecs, n);
        }
        codecs += n + (codecs[n] == ',');
    }
}
