/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef PROTECT_H
#define PROTECT_H

#include <stddef.h>
#include <stdint.h>

/* files.c: each says on stderr what went wrong. */
void *file_read(const char *folder, const char *name,
                size_t *size); /* free(); NULL: failed. folder may be NULL */
int file_write(const char *folder, const char *name, const void *data, size_t size); /* 0: done */
/* Names in a folder that end so, sorted; free() them and the list. NULL: failed. */
char **file_list(const char *folder, const char *end, uint32_t *count);

#endif
