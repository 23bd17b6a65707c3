/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VODPIPE_CLI_JOB_FILE_H
#define VODPIPE_CLI_JOB_FILE_H

#include "session.h"

/* job.json in the work store: where INPUT and OUT are, and their server; no part of the plan, and nothing secret. */

#define JOB_NAME "job.json"

typedef struct job_file {
    char *input, *output, *endpoint, *region; /* NULL: not there */
    bool cut;                                 /* input lacks what was secret in it */
    bool path_style, gzip, player, prune, force;
} job_file;

char *job_file_text(const session *s); /* NULL: no memory */
/* An exit status; after any of them job_file_free() is due. */
int job_file_parse(const cli_options *o, const vp_bytes *text, job_file *j);
void job_file_free(job_file *j);

#endif
