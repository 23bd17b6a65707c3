/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VODPIPE_CLI_SESSION_H
#define VODPIPE_CLI_SESSION_H

#include "cli.h"

/* What the commands that work long have in common: where to write, where to work, how to tell. */
typedef struct session {
    const cli_options *options;
    reporter report;
    char *out, *work_path;
    bool made_out; /* OUT was not there before */
    bool spooled;  /* INPUT is a copy in the work folder */
    bool opened;   /* the work may be taken away when nothing is in it */
    vp_context *context;
    remote remote;
    vp_sink *sink;
    vp_store *work;
} session;

void session_init(session *s, const cli_options *o);
/* An exit status; after any of these session_close() is due. First the work; NULL: the place that goes with out. */
int session_open_work(session *s, const char *out, const char *work);
/* gzip: of playlists and manifests in a bucket. */
int session_open_out(session *s, const char *out, bool gzip);
int session_open(session *s, const char *out, const char *work);
/* Ends uploads in parts that nobody goes on with. Then the work may go. */
void session_abandon(session *s);
/* Takes an empty work folder away, and OUT if we made it and nothing came into it. */
void session_close(session *s);
/* INPUT: a file or an object, or a pipe ("-": stdin), which is copied into the work folder first. */
vp_status session_input(session *s, const char *place, vp_source **out, vp_error *err);
/* Removes the copy of a pipe. */
void session_forget_input(session *s);
#define SPOOL_NAME "source" /* in the work folder */
/* The last words of a good end; st: VP_OK, or VP_END for ALREADY_DONE. */
int session_done(session *s, vp_status st, const vp_presentation *presentation);

#endif
