/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VPI_VERIFY_MPD_INT_H
#define VPI_VERIFY_MPD_INT_H

/* Between the tags of an MPD (xml.c) and what they say about the tracks (mpd.c, mpd_set.c). Views into the text. */

#include "verify/hls_int.h"

typedef enum vpi_tag_kind { VPI_TAG_OPEN, VPI_TAG_EMPTY, VPI_TAG_CLOSE } vpi_tag_kind;

typedef struct vpi_tag {
    vpi_view name, attributes; /* name without its prefix */
    vpi_tag_kind kind;
    const char *after; /* first byte behind the tag */
} vpi_tag;

typedef struct vpi_tag_walk {
    const char *at, *end;
    bool broken; /* what came is no XML */
} vpi_tag_walk;
/* Next tag; comments, declarations and text are left out. False at the end, and where it is broken. */
bool vpi_tag_next(vpi_tag_walk *w, vpi_tag *tag);
/* Value of an attribute as written; false when there is none. */
bool vpi_tag_attribute(const vpi_tag *tag, const char *name, vpi_view *value);
/* Text up to the next tag. */
vpi_view vpi_tag_text(const vpi_tag_walk *w, const vpi_tag *tag);
/* The five entities of XML; false when it does not fit or holds another one. */
bool vpi_xml_plain(vpi_view from, char *to, size_t capacity);
/* "PT1H2M3.5S" in nanoseconds. */
bool vpi_xml_duration(vpi_view v, uint64_t *ns);

/* How a Representation's bytes are named: of its own, or of its AdaptationSet. */
typedef struct vpi_address {
    bool is_template, is_base;
    vpi_tag element; /* SegmentTemplate or SegmentBase */
    bool has_timeline;
    const char *timeline; /* behind <SegmentTimeline> */
    bool has_init_range;  /* of <Initialization> in a SegmentBase */
    vpi_view init_range;
} vpi_address;

typedef struct vpi_mpd {
    vpi_verifier *v;
    const char *key;
    const char *end; /* of the text */
    vpi_tag set, representation;
    bool in_set, in_representation;
    vpi_address of_set, own;
    vpi_view base_url; /* of the Representation */
    vpi_view channels; /* of its AudioChannelConfiguration */
    vpi_view profiles;
    vpi_view colour[3];     /* of the set's properties: primaries, transfer, matrix */
    vpi_view scheme, kid;   /* of the set's ContentProtection; no data: there is none */
    bool closed, switching; /* the set has one; it names others to switch to */
    size_t periods, sets;
    bool main_role;
    const vpi_ptrack *of_track; /* what the set's last Representation stands for */
    uint64_t buffer_ns;         /* minBufferTime */
    uint64_t longest_ns;
    bool *seen;     /* tracks that are named */
    bool *mains;    /* tracks of sets with the role main */
    bool *switches; /* tracks of sets that name others */
} vpi_mpd;
/* A Representation that is read to its end, against the track that it stands for. */
void vpi_mpd_representation(vpi_mpd *m);
/* manifest.mpd against the presentation. */
vp_status vpi_verify_mpd(vpi_verifier *v, const char *key, const char *text, size_t size, vp_error *err);

#endif
