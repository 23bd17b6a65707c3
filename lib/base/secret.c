/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdint.h>
#include <string.h>

#include "base/common.h"
#include "base/secret.h"

typedef union block {
    size_t size;
    max_align_t align;
} block;

_Thread_local bool vpi_secret_failed;

void *vpi_secret_alloc(size_t size)
{
    block *b = size > SIZE_MAX - sizeof(*b) ? NULL : vpi_alloc(sizeof(*b) + size);

    if (!b) {
        vpi_secret_failed = true;
        return NULL;
    }
    b->size = size;
    return b + 1;
}

void vpi_secret_free(void *p)
{
    block *b = p;

    if (!b) return;
    b--;
    explicit_bzero(p, b->size);
    vpi_free(b);
}

void *vpi_secret_realloc(void *p, size_t size)
{
    size_t old = p ? ((block *)p - 1)->size : 0;
    void *bigger = vpi_secret_alloc(size);

    if (!bigger) return NULL;
    if (p) memcpy(bigger, p, VPI_MIN(old, size));
    vpi_secret_free(p);
    return bigger;
}
