/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VPI_BASE_COMMON_H
#define VPI_BASE_COMMON_H

/* Checked maths, exact rationals, memory and strings. Everything here is thread-safe and without state. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <vodpipe/base.h>

#define VPI_COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define VPI_MIN(a, b) ((a) < (b) ? (a) : (b))
#define VPI_MAX(a, b) ((a) > (b) ? (a) : (b))
#define VPI_CLAMP(x, lo, hi) VPI_MIN(VPI_MAX(x, lo), hi)
#if defined(__GNUC__)
#define VPI_PRINTF(f, a) __attribute__((format(printf, f, a)))
#else
#define VPI_PRINTF(f, a)
#endif

/* malloc family; zero sizes are allowed and give a pointer to free. Arrays check count * size. */
void *vpi_alloc(size_t size);
void *vpi_calloc(size_t count, size_t size);
void *vpi_realloc(void *p, size_t count, size_t size); /* p stays valid on failure */
void vpi_free(void *p);
/*
 * Makes room for one more element in a growing array: *p holds count elements of the given size and has room
 * for *cap. False on no memory; *p stays valid.
 */
bool vpi_grow(void **p, size_t count, size_t *cap, size_t size);
#define VPI_GROW(p, count, cap) vpi_grow((void **)&(p), (count), &(cap), sizeof(*(p)))

/* NULL in, NULL out for the first; the second cuts at size bytes. NULL on no memory. */
char *vpi_strdup(const char *s);
char *vpi_strndup(const char *s, size_t size);
char *vpi_asprintf(const char *format, ...) VPI_PRINTF(1, 2);
/* Copies with a NUL, cut at a UTF-8 border. */
void vpi_strlcpy(char *to, const char *from, size_t capacity);
bool vpi_streq(const char *a, const char *b); /* NULLs are equal to each other only */
/* Key and name rule of io.h: relative, no empty, "." or ".." part, no NUL, backslash or control byte, <= 1024. */
bool vpi_key_valid(const char *key);

static inline bool vpi_add_u64(uint64_t a, uint64_t b, uint64_t *r)
{
    return !__builtin_add_overflow(a, b, r);
}
static inline bool vpi_mul_u64(uint64_t a, uint64_t b, uint64_t *r)
{
    return !__builtin_mul_overflow(a, b, r);
}
static inline bool vpi_add_i64(int64_t a, int64_t b, int64_t *r)
{
    return !__builtin_add_overflow(a, b, r);
}

/* Exact a * b / c with 128-bit middle; c > 0. Saturates at the ends of int64_t. */
typedef enum vpi_round { VPI_FLOOR, VPI_CEIL, VPI_NEAREST /* half away from zero */ } vpi_round;
int64_t vpi_rescale(int64_t a, int64_t b, int64_t c, vpi_round how);

typedef struct vpi_rational {
    int64_t num, den; /* den > 0 in a valid one; 0/0 or x/0: unknown */
} vpi_rational;
vpi_rational vpi_reduce(int64_t num, int64_t den);
int vpi_rational_cmp(vpi_rational a, vpi_rational b); /* -1 0 1; both valid */

/* For vp_x_init(): a caller's struct of `size` bytes, zeroed, then as much of init as fits. p NULL: nothing. */
void vpi_struct_init(void *p, size_t size, const void *init, size_t init_size);
/* Clamp-copies a caller's struct (first member uint32_t struct_size) into ours, which holds defaults.
 * VP_E_VERSION when its unknown tail is not zero, VP_E_ARG when struct_size is below 4. from NULL: nothing. */
vp_status vpi_copy_struct(void *to, size_t to_size, const void *from, vp_error *err);

/* Monotonic clock, CPU clocks of the process and of this thread; microseconds. */
int64_t vpi_now_us(void);
int64_t vpi_cpu_us(void);
int64_t vpi_thread_cpu_us(void);

#endif
