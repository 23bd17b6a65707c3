/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VPI_VERIFY_HLS_INT_H
#define VPI_VERIFY_HLS_INT_H

/* Reading playlists (RFC 8216 4). Views into the text, which must outlive them. */

#include "verify/verify_int.h"

/* A piece of the text, no NUL. */
typedef struct vpi_view {
    const char *data;
    size_t size;
} vpi_view;
bool vpi_view_is(vpi_view v, const char *text);
bool vpi_view_begins(vpi_view v, const char *text);
/* All of it a decimal number that fits. */
bool vpi_view_u64(vpi_view v, uint64_t *out);
/* "6.006000" in nanoseconds; at most 9 decimals. */
bool vpi_view_ns(vpi_view v, uint64_t *out);
/* "n@o" */
bool vpi_view_range(vpi_view v, uint64_t *size, uint64_t *offset);

typedef struct vpi_line_walk {
    const char *at, *end;
} vpi_line_walk;
/* Next line that is not empty and no comment; *tag says whether it is a tag. */
bool vpi_next_line(vpi_line_walk *w, vpi_view *line, bool *tag);
/* Splits "#NAME:VALUE" (or "#NAME"). */
void vpi_split_tag(vpi_view line, vpi_view *name, vpi_view *value);

/* Attribute list (4.2): value of an attribute without its quotes; false when there is none. */
bool vpi_attribute(vpi_view list, const char *name, vpi_view *value, bool *quoted);
/*
 * Every attribute has the form NAME=value and is there once; values are quoted strings where they are strings, else
 * they hold neither comma nor blank.
 */
bool vpi_attributes_valid(vpi_view list);

/* Key of the object that a URI names, relative to the playlist's own key. False when it leaves the title. */
bool vpi_resolve(const char *playlist, vpi_view uri, char out[1100]);

/* ---- keys (key_tags.c) ---- */

/* EXT-X-KEY tags while a playlist is read; zeros at the begin. */
typedef struct vpi_key_tags {
    const vpi_key_info *force; /* whose tags are in force; NULL: none */
    const vpi_segment *of;     /* AES-128: the segment whose IV they have */
    bool any;                  /* there was a tag */
    unsigned version;          /* that the tags need */
} vpi_key_tags;
/* A tag before segment number `next` of the track. */
void vpi_read_key(vpi_verifier *v, const char *where, const vpi_ptrack *t, size_t next, vpi_view list,
                  vpi_key_tags *k);
/* What is in force for segment number n is what it is encrypted with. */
void vpi_check_key(vpi_verifier *v, const char *where, const vpi_ptrack *t, size_t n, const vpi_key_tags *k);
/* EXT-X-SESSION-KEY of a master over the tracks of one kind of container (VP_HLS_*). */
void vpi_check_session_key(vpi_verifier *v, const char *where, int32_t container, vpi_view list);

/* Begins with #EXTM3U, ends with a newline, holds no CR and no NUL, and tags of the whole once. */
bool vpi_m3u8_frame(vpi_verifier *v, const char *key, const char *text, size_t size);

/* A media or I-frame playlist of track number `track` against the presentation. */
void vpi_verify_playlist(vpi_verifier *v, size_t track, bool iframes, const char *key, const char *text,
                         size_t size);
/* A master playlist over the tracks of one kind of container (VP_HLS_*). */
vp_status vpi_verify_master(vpi_verifier *v, int32_t container, const char *key, const char *text,
                            size_t size, vp_error *err);
/* The number that TARGETDURATION has to be. */
uint32_t vpi_verify_target(const vpi_verifier *v);

#endif
