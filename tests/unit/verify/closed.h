/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VPT_VERIFY_CLOSED_H
#define VPT_VERIFY_CLOSED_H

/* A small encrypted title: its cipher changes bits only, all that is written around is as it should be. */

#include "title.h"

typedef struct closed_options {
    vpi_scheme scheme;
    int32_t container; /* VP_CONTAINER_CMAF or VP_CONTAINER_TS */
    uint32_t clear_segments, rotation;
    uint64_t
        iv_step; /* cenc: from sample to sample, 0: one; else the rungs share their key, and take turns */
    /* mistakes of a packager */
    bool same_ivs;     /* cenc: every track begins with the same one */
    bool headers;      /* encrypts slice headers */
    bool odd_bytes;    /* cenc: parts that are no whole blocks */
    bool open;         /* encrypts nothing */
    bool never_group;  /* another key, but no sample group */
    bool never_second; /* no sample entry for what is clear */
} closed_options;

/*
 * Rungs 192p and 96p, each with keys of its own, and en-stereo in CMAF; 192p alone, with its sound inside, in TS. Three
 * segments of two seconds.
 */
void closed_make(title *t, const closed_options *o);

#endif
