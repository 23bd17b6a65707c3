/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VODPIPE_VERIFY_H
#define VODPIPE_VERIFY_H

/*
 * Checks a published title against the rules. Each rule has a name: those of docs/rules.md ("P01", ...), or a word
 * ("STRUCTURE") where no numbered rule fits. Tier 3.
 */

#include <vodpipe/io.h>
#include <vodpipe/presentation.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct vp_verify_options {
    uint32_t struct_size;
    uint32_t decode; /* 1: also decode every segment, alone, and compare what comes out (needs media) */
    /*
     * What should be there, for a title that is not yet published; its manifests are not read. NULL: read
     * presentation.json, the manifests and everything they name from the sink.
     */
    const vp_presentation *presentation;
    uint32_t read_objects; /* with presentation: 1 reads segments back where the sink has open, 0 only stat */
    uint32_t reserved;
    /*
     * With decode: what the title was made of, borrowed for the call. Numbers of pictures, sync and loudness are
     * compared with it; it is read once for its packets, once for pictures of 90 s (all, or of its begin, middle and
     * end), and once for each audio track. One that cannot be read or is refused is an error, without a report.
     * NULL: not compared.
     */
    vp_source *source;
} vp_verify_options;
#define VP_VERIFY_OPTIONS_INIT                                                                               \
    {                                                                                                        \
        (uint32_t)sizeof(vp_verify_options), 0, NULL, 0, 0, NULL                                             \
    }
VP_API void vp_verify_options_init(vp_verify_options *options, size_t size);

/* Immutable, may be shared between threads. */
typedef struct vp_report vp_report;
VP_API vp_report *vp_report_ref(vp_report *report);
VP_API vp_report *vp_report_unref(vp_report *report);
VP_API uint64_t vp_report_checks(const vp_report *report); /* checks made */
VP_API uint32_t vp_report_failed(const vp_report *report); /* failed ones, at most 1000 are kept */
VP_API uint32_t vp_report_warnings(const vp_report *report);
/* Rule of a failed check; where (object key) and text may be NULL. Borrowed. NULL for an index too high. */
VP_API const char *vp_report_failure(const vp_report *report, uint32_t index, const char **where,
                                     const char **text);
VP_API const char *vp_report_warning(const vp_report *report, uint32_t index, const char **where,
                                     const char **text);
/* The document of `vodpipe verify --json`. */
VP_API vp_status vp_report_json(const vp_report *report, vp_bytes **out, vp_error *err);

/*
 * Reads on the calling thread from a sink that has open, stat and list (UNSUPPORTED otherwise; with presentation
 * stat is enough). VP_OK with a report without failures; VP_E_DATA, VERIFY_FAILED with a report that names them;
 * other errors without a report (*out NULL). A title that is not there at all is IO, IO_ERROR.
 */
VP_API vp_status vp_verify(vp_context *context, vp_sink *sink, const vp_verify_options *options,
                           vp_cancel *cancel, vp_report **out, vp_error *err);

#ifdef __cplusplus
}
#endif

#endif
