/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protect.h"

static FILE *open_file(const char *folder, const char *name, const char *mode)
{
    char path[4096];
    int n = folder ? snprintf(path, sizeof(path), "%s/%s", folder, name)
                   : snprintf(path, sizeof(path), "%s", name);
    FILE *f = n > 0 && (size_t)n < sizeof(path) ? fopen(path, mode) : NULL;
    if (!f) perror(name);
    return f;
}

void *file_read(const char *folder, const char *name, size_t *size)
{
    FILE *f = open_file(folder, name, "rb");
    uint8_t *data = NULL;
    long length = -1;
    if (!f) return NULL;
    setvbuf(f, NULL, _IONBF, 0); /* keys leave no copy in a buffer */
    if (fseek(f, 0, SEEK_END) == 0) length = ftell(f);
    if (length >= 0 && fseek(f, 0, SEEK_SET) == 0) data = malloc((size_t)length + 1);
    if (data && fread(data, 1, (size_t)length, f) != (size_t)length) {
        free(data);
        data = NULL;
    }
    if (!data) perror(name);
    fclose(f);
    *size = data ? (size_t)length : 0;
    return data;
}

int file_write(const char *folder, const char *name, const void *data, size_t size)
{
    FILE *f = open_file(folder, name, "wb");
    if (!f) return -1;
    int failed = fwrite(data, 1, size, f) != size;
    failed |= fclose(f) != 0;
    if (failed) perror(name);
    return failed ? -1 : 0;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

char **file_list(const char *folder, const char *end, uint32_t *count)
{
    DIR *d = opendir(folder);
    char **list = calloc(1, sizeof(*list));
    struct dirent *e;
    *count = 0;
    while (d && list && (e = readdir(d))) {
        size_t length = strlen(e->d_name), tail = strlen(end);
        if (length < tail || strcmp(e->d_name + length - tail, end) != 0) continue;
        char **grown = realloc(list, (*count + 2) * sizeof(*list));
        if (grown) list = grown;
        if (grown) grown[*count] = strdup(e->d_name);
        if (!grown || !grown[*count]) {
            perror(folder);
            break; /* out of memory: what follows fails too */
        }
        ++*count;
    }
    if (!d) perror(folder);
    if (d) closedir(d);
    if (list) qsort(list, *count, sizeof(*list), by_name);
    return d ? list : NULL;
}
