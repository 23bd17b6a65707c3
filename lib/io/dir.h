/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VPI_IO_DIR_H
#define VPI_IO_DIR_H

/*
 * Files under one directory by key. Every step below the root is an openat of one part with O_NOFOLLOW, so
 * that a key cannot leave the root whatever links lie in it. Functions that answer an int give a descriptor
 * (or 0) or a negative errno. Thread-safe.
 */

#include "io/io_int.h"

typedef struct vpi_dir vpi_dir;

/* Keeps the path, made absolute; touches nothing. */
vp_status vpi_dir_new(const char *path, vpi_dir **out, vp_error *err);
vpi_dir *vpi_dir_free(vpi_dir *dir); /* also in a forked child */

/*
 * The folder that key is in; *name is its last part. With made, missing folders are made, also the root, and *made
 * becomes true when one below the root was.
 */
int vpi_dir_parent(vpi_dir *dir, const char *key, bool *made, const char **name);

#define VPI_TEMP_ROOM 256
/*
 * A new file beside name, created exclusively, and locked as long as it is open: so its lock tells whether the process
 * that writes it still lives. (Where the file system has no locks, nobody finds one free either.)
 */
int vpi_dir_temp(int parent, const char *name, char temp[VPI_TEMP_ROOM]);
bool vpi_dir_is_temp(const char *name);
/* Length of the (perhaps shortened) name, from name + 1 on, that a file called so was made for; 0: not by us. */
size_t vpi_dir_temp_of(const char *name);
/* A lock of the open file, not of the process: F_WRLCK, F_UNLCK. Does not wait: -EAGAIN or -EACCES, another has it. */
int vpi_fd_lock(int fd, short type);
/* Last part of a key. */
const char *vpi_key_name(const char *key);

/* Parent and temporary file in one, again when somebody prunes the parent in between. */
typedef struct vpi_dir_file {
    int parent, fd;
    bool made; /* folders were made for it */
    char temp[VPI_TEMP_ROOM];
    const char *name; /* inside the key given */
} vpi_dir_file;
#define VPI_DIR_FILE_NONE                                                                                    \
    {                                                                                                        \
        -1, -1, false, { 0 }, NULL                                                                           \
    }
int vpi_dir_file_create(vpi_dir *dir, const char *key, vpi_dir_file *f);
/* The data are durable. After a failure the kernel may have dropped them: the file is lost, never tried again. */
int vpi_dir_file_sync(const vpi_dir_file *f);
/* Gives it its name. replace: whatever has that name; else -EEXIST. */
int vpi_dir_file_name(const vpi_dir_file *f, bool replace);
/* Closes what is open; with unlink the temporary file goes too. */
void vpi_dir_file_close(vpi_dir_file *f, bool unlink);
/* The file is not wanted: it goes, and folders that were made for it, when they are empty. Also after fork(). */
void vpi_dir_file_abort(vpi_dir *dir, const char *key, vpi_dir_file *f);

/* All bytes or a negative errno. writev changes iov. */
int vpi_fd_write(int fd, const void *data, size_t size);
int vpi_fd_writev(int fd, struct iovec *iov, int count);

/* fsync of a folder: "" is the root, else a key. With above, of all folders above it too. */
int vpi_dir_sync(vpi_dir *dir, const char *folder, bool above);
/* Removes empty folders above key, not the root. */
void vpi_dir_prune(vpi_dir *dir, const char *key);

/* VP_END when there is no regular file of that key. */
vp_status vpi_dir_stat(vpi_dir *dir, const char *key, vp_object_info *info, vp_error *err);
vp_status vpi_dir_source(vpi_dir *dir, vp_context *context, const char *key, vp_source **out, vp_error *err);
/* VP_OK also when there is none. */
vp_status vpi_dir_remove(vpi_dir *dir, const char *key, vp_error *err);
/* In order of names; leaves out temporary files and what hidden (may be NULL) says yes to. */
vp_status vpi_dir_list(vpi_dir *dir, const char *prefix, bool (*hidden)(const char *name), vp_list_fn fn,
                       void *user, vp_error *err);
/*
 * Removes temporary files of keys that begin with prefix, where no process writes them any more, and folders that are
 * empty then. As far as it goes: what cannot be read or removed stays. With `only` not NULL those for files of this
 * name in the folders of the root, and of the folders those that it was the last of.
 */
void vpi_dir_tidy(vpi_dir *dir, const char *prefix, const char *only);
/* For vpi_dir_list: the root, a borrowed descriptor. Where it was removed from outside it is opened or made again. */
int vpi_dir_root(vpi_dir *dir, bool create);
/* Whether all its names are gone: what is written to it, or made in it, nobody finds again. */
bool vpi_fd_is_removed(int fd);
/* From now on a kept descriptor is for what fd (or an error, which is given back) is for; who uses it goes on there. */
int vpi_folder_keep(atomic_int *kept, int fd);

#endif
