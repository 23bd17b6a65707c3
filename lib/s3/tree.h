/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VPI_S3_TREE_H
#define VPI_S3_TREE_H

/* The files of a directory, in the order in which they go, and which of them are in. Private to lib/s3. */

#include "upload.h"

typedef struct vpi_tree_file {
    char *path; /* below the directory, '/' between parts */
    uint64_t size;
    int64_t mtime_ns, ctime_ns;
    int32_t kind; /* VP_OBJECT_* by its name */
    int rank;     /* 0 what others name, 1 playlists, 2 masters */
    bool known;   /* the journal has it as it is now */
    bool there;   /* the bucket has a key of its name and size */
    bool skip;
    char marker[VPI_S3_MARKER]; /* all of its parts were in, and were to become the object; "": not so */
} vpi_tree_file;

typedef struct vpi_tree {
    int root;
    bool open;
    bool single;          /* of one file, which becomes the object of the prefix's name */
    vpi_tree_file *files; /* by rank, then by path */
    size_t count, cap;
    uint64_t bytes;
    char **versions; /* folders with a .vodpipe-version: their names are never used for other content */
    size_t version_count, version_cap;
} vpi_tree;
/*
 * Regular files; links and other kinds are ARG. .vodpipe (unfinished work) and temporary names are left out. directory
 * may also be one regular file.
 */
vp_status vpi_tree_read(vpi_tree *tree, const char *directory, vp_cancel *cancel, vp_error *err);
void vpi_tree_dispose(vpi_tree *tree);
vp_status vpi_tree_open(const vpi_tree *tree, vp_context *context, const vpi_tree_file *file, vp_source **out,
                        vp_error *err);
vpi_tree_file *vpi_tree_find(const vpi_tree *tree, const char *path); /* NULL: none */
void vpi_tree_there(vpi_tree *tree, const char *path, uint64_t size);
int vpi_tree_rank(const char *path);         /* as of a file of that name */
const char *vpi_tree_type(const char *path); /* content type, static */
const char *vpi_tree_cache(const vpi_tree *tree, const vpi_tree_file *file,
                           const vp_sink_s3_options *options);

/* What is done, in a work store: values of many lines each, so that small files cost no sync of their own. */
typedef struct vpi_tree_done {
    char name[VPI_S3_JOURNAL];
    vpi_buf lines; /* not written down yet */
    uint32_t number;
    int64_t written_us;
    size_t matches, markers;
} vpi_tree_done;
vp_status vpi_tree_done_load(vpi_tree_done *done, vp_store *work, const char *bucket, const char *prefix,
                             vpi_tree *tree, vp_error *err);
/* file NULL: none is added. now: what is waiting is written down. */
vp_status vpi_tree_done_add(vpi_tree_done *done, vp_store *work, const vpi_tree_file *file, bool now,
                            vp_error *err);
/* The parts of a large file become the object with this marker, if the process lives or not. Written down at once. */
vp_status vpi_tree_done_ends(vpi_tree_done *done, vp_store *work, const vpi_tree_file *file,
                             const char *marker, vp_error *err);
/* All is in: forgotten. */
vp_status vpi_tree_done_end(vpi_tree_done *done, vp_store *work, const vpi_tree *tree, vp_error *err);
void vpi_tree_done_dispose(vpi_tree_done *done);

#endif
