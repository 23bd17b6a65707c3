/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VPI_TRANSCODE_RECORD_INT_H
#define VPI_TRANSCODE_RECORD_INT_H

/*
 * The journal of a title: beside the plan, one record for each finished task, as the value "result/<task>" of the work
 * store. Records are put once, the first one wins, and are durable after all that they name is. A record is one line
 * of JSON,
 *
 *     {"vodpipe":1,"plan":"<hash>","task":"video-0003","tracks":[...],"values":[...],...,"crc32c":"1f2e3d4c"}
 *
 * whose last field is the checksum of all bytes before it. `tracks` is the task's part of the presentation: the objects
 * in the sink with sizes and checksums; `values` are those in the work store: pieces of single files, statistics,
 * frames of sound. A record that is torn, damaged, of another plan, or names what is not there counts as none: its
 * task is done again. Nothing else says that a task is done.
 */

#include "plan_int.h"

/* A value of the work store that a task made. */
typedef struct vpi_value_note {
    char name[160];
    uint64_t bytes;
    uint32_t crc32c;
} vpi_value_note;

struct vpi_key_size;
typedef struct vpi_keys {
    struct vpi_key_size *list; /* in order of keys */
    size_t count, cap;
    bool listed;
} vpi_keys;

/* Where the things lie that records name. Dispose of it. */
typedef struct vpi_place {
    vp_context *context; /* for the log; NULL: none */
    const vp_plan *plan;
    vp_store *work;
    vp_sink *sink; /* NULL: what records name is not looked for */
    bool stale;    /* the last task was found not done although it has a record */
    vpi_keys objects, values;
} vpi_place;

/* Lists sink and store, for who asks for many tasks; without it each thing is asked for by its name. */
vp_status vpi_place_list(vpi_place *place, vp_error *err);
void vpi_place_dispose(vpi_place *place);

/* VP_OK: the task is done, *out (may be NULL) becomes its record, which the caller drops. VP_END: it is not. */
vp_status vpi_record_load(vpi_place *place, const char *task, json_t **out, vp_error *err);
/* The same by checksum, plan and name alone. */
vp_status vpi_record_check(const vp_plan *plan, vp_store *work, const char *task, vp_error *err);
/* The n-th value that a record names; VP_END: there are no more. */
vp_status vpi_record_value(const json_t *record, const char *task, size_t n, vpi_value_note *out,
                           vp_error *err);
/* record gets its last field. VP_END: another process was quicker, and its record stays. */
vp_status vpi_record_put(vp_store *work, const char *task, const json_t *record, vp_error *err);
/*
 * Before a task that is not done is begun: takes away a record that counts as none, and values of earlier attempts,
 * which would keep new ones out. The caller has the task's lease.
 */
vp_status vpi_record_clear(const vp_plan *plan, uint32_t index, vp_store *work, vp_error *err);
/* A record turned out to be wrong: its task is to be done again. Takes the lease; who has it does it already. */
vp_status vpi_record_drop(vp_store *work, const char *task, vp_error *err);
/* "lease/<task>" */
void vpi_record_lease_name(const char *task, char to[64]);

#endif
