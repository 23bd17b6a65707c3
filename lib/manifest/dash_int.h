/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VPI_MANIFEST_DASH_INT_H
#define VPI_MANIFEST_DASH_INT_H

#include "manifest/xml.h"
#include "model/presentation.h"

typedef unsigned __int128 vpi_u128;

/* How a Representation's segments are addressed; one way for all of an AdaptationSet (DASH-IF Timing 22). */
typedef enum vpi_addressing {
    VPI_DASH_TEMPLATE, /* SegmentTemplate with SegmentTimeline */
    VPI_DASH_BASE,     /* SegmentBase: one object with a sidx */
    VPI_DASH_LIST      /* SegmentList with SegmentTimeline, for all else */
} vpi_addressing;

/* What is common to the whole MPD. */
typedef struct vpi_dash_time {
    uint64_t end, timescale; /* presentation duration: the end of the track that ends first */
    uint64_t buffer_us;      /* minBufferTime: the longest segment, rounded up */
} vpi_dash_time;

vpi_addressing vpi_dash_addressing(const vpi_ptrack *t);
/* Segments that begin before the end; what lies behind it would never be played. */
size_t vpi_dash_segments(const vpi_ptrack *t, const vpi_dash_time *time);
/* The element below a Representation (BaseURL included). */
void vpi_dash_address(vpi_xml *x, const vpi_ptrack *t, vpi_addressing how, const vpi_dash_time *time);
/*
 * A SegmentTemplate that serves all tracks by way of $RepresentationID$: written, and true, when their
 * timelines are equal and their keys differ in the folder named like the track only.
 */
bool vpi_dash_shared_template(vpi_xml *x, const vpi_ptrack *const *tracks, size_t count,
                              const vpi_dash_time *time);

/*
 * Smallest bit rate, 1 to 2^32-1, with which playback from the start of any segment never starves when it
 * begins buffer_us after the first bit (ISO/IEC 23009-1 5.3.5.2); a segment is needed whole at its start.
 */
uint32_t vpi_dash_bandwidth(const vpi_ptrack *t, size_t segments, uint64_t buffer_us);

/* ---- protection (dash_protection.c) ---- */

/* May be in one AdaptationSet: both clear, or of one scheme and default KID. */
bool vpi_dash_same_key(const vpi_ptrack *a, const vpi_ptrack *b);
enum { VPI_DASH_NS_CENC = 1, VPI_DASH_NS_MSPR = 2, VPI_DASH_NS_DASHIF = 4 };
/* Namespaces that its descriptors need. */
unsigned vpi_dash_namespaces(const vpi_ptrack *t);
/* The descriptors; nothing for a clear track. */
void vpi_dash_protection(vpi_xml *x, const vpi_ptrack *t);

#endif
