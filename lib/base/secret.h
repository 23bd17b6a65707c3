/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Memory that is zeroised when it is given back, in the form that expat's XML_Memory_Handling_Suite wants. */
#ifndef VPI_BASE_SECRET_H
#define VPI_BASE_SECRET_H

#include <stdbool.h>
#include <stddef.h>

void *vpi_secret_alloc(size_t size);
void *vpi_secret_realloc(void *p, size_t size);
void vpi_secret_free(void *p);

/*
 * Whether memory failed in this thread since the flag was last set to false by who asks: expat's allocators get no
 * context, and some of its failures of memory come back as errors of the document.
 */
extern _Thread_local bool vpi_secret_failed;

#endif
