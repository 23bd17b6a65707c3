/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VPI_MODEL_LANGUAGE_INT_H
#define VPI_MODEL_LANGUAGE_INT_H

#include <stddef.h>

/* ISO 639: two letters ("": none), terminology code, bibliographic code ("": the same), English name. */
typedef struct vpi_language {
    char two[3], three[4], biblio[4];
    const char *name;
} vpi_language;

extern const vpi_language vpi_languages[];
extern const size_t vpi_language_count;

#endif
