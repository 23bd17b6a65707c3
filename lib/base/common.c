/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/common.h"
#include "base/error.h"
#include "base/fault.h"

#define KEY_MAX 1024

_Atomic long vpi_alloc_fail_at;
_Atomic long vpi_disk_fail_at;
_Atomic int vpi_disk_fail_with;

void (*_Atomic vpi_disk_hook)(void);

int vpi_fault_disk(void)
{
    void (*hook)(void) = atomic_load_explicit(&vpi_disk_hook, memory_order_relaxed);
    int number;

    if (hook) hook();
    if (atomic_load_explicit(&vpi_disk_fail_at, memory_order_relaxed) <= 0) return 0;
    if (atomic_fetch_sub_explicit(&vpi_disk_fail_at, 1, memory_order_relaxed) != 1) return 0;
    number = atomic_load(&vpi_disk_fail_with);
    if (number == 0) {
        kill(getpid(), SIGKILL);
        pause();
    }
    return -number;
}

/* ---- memory ---- */

void *vpi_alloc(size_t size)
{
    if (vpi_fault_hit()) return NULL;
    return malloc(size ? size : 1);
}

void *vpi_calloc(size_t count, size_t size)
{
    if (vpi_fault_hit()) return NULL;
    return count && size ? calloc(count, size) : calloc(1, 1);
}

void *vpi_realloc(void *p, size_t count, size_t size)
{
    size_t bytes;

    if (__builtin_mul_overflow(count, size, &bytes) || vpi_fault_hit()) return NULL;
    return realloc(p, bytes ? bytes : 1);
}

void vpi_free(void *p)
{
    free(p);
}

bool vpi_grow(void **p, size_t count, size_t *cap, size_t size)
{
    size_t want;
    void *bigger;

    if (count < *cap) return true;
    if (__builtin_mul_overflow(*cap, (size_t)2, &want)) return false;
    if (want <= count && __builtin_add_overflow(count, (size_t)1, &want)) return false;
    want = VPI_MAX(want, (size_t)8);
    bigger = vpi_realloc(*p, want, size);
    if (!bigger) return false;
    *p = bigger;
    *cap = want;
    return true;
}

/* ---- strings ---- */

char *vpi_strdup(const char *s)
{
    return s ? vpi_strndup(s, strlen(s)) : NULL;
}

char *vpi_strndup(const char *s, size_t size)
{
    size_t n = strnlen(s, size);
    char *copy = vpi_alloc(n + 1);

    if (!copy) return NULL;
    memcpy(copy, s, n);
    copy[n] = 0;
    return copy;
}

char *vpi_asprintf(const char *format, ...)
{
    va_list args;
    char *text = NULL;
    int n;

    va_start(args, format);
    n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (n < 0) return NULL;
    text = vpi_alloc((size_t)n + 1);
    if (!text) return NULL;
    va_start(args, format);
    vsnprintf(text, (size_t)n + 1, format, args);
    va_end(args);
    return text;
}

/* Length of the longest prefix of the first n bytes that does not end inside a UTF-8 sequence. */
static size_t utf8_border(const char *s, size_t n)
{
    size_t at = n, back = 0;
    uint8_t lead;
    size_t need;

    while (at > 0 && back < 3 && ((uint8_t)s[at - 1] & 0xC0u) == 0x80u) {
        at--;
        back++;
    }
    if (at == 0) return n;
    lead = (uint8_t)s[at - 1];
    need = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : lead >= 0xC0 ? 2 : 1;
    return need > back + 1 ? at - 1 : n;
}

void vpi_strlcpy(char *to, const char *from, size_t capacity)
{
    size_t n;

    if (capacity == 0) return;
    n = from ? strnlen(from, capacity) : 0;
    if (n == capacity) n = utf8_border(from, capacity - 1);
    if (n > 0) memmove(to, from, n);
    to[n] = 0;
}

bool vpi_streq(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

bool vpi_key_valid(const char *key)
{
    size_t i, part = 0;

    if (!key) return false;
    for (i = 0;; i++) {
        uint8_t c = (uint8_t)key[i];
        size_t length = i - part;

        if (i > KEY_MAX || c == '\\' || c == 0x7F || (c != 0 && c < 0x20)) return false;
        if (c != '/' && c != 0) continue;
        if (length == 0 || (length == 1 && key[part] == '.')) return false;
        if (length == 2 && key[part] == '.' && key[part + 1] == '.') return false;
        if (c == 0) return true;
        part = i + 1;
    }
}

/* ---- numbers ---- */

int64_t vpi_rescale(int64_t a, int64_t b, int64_t c, vpi_round how)
{
    __int128 product = (__int128)a * b;
    __int128 quotient = product / c, rest = product % c;

    if (rest != 0) {
        if (how == VPI_FLOOR && rest < 0) quotient--;
        if (how == VPI_CEIL && rest > 0) quotient++;
        if (how == VPI_NEAREST) {
            __int128 twice = (rest < 0 ? -rest : rest) * 2;

            if (twice >= c) quotient += rest < 0 ? -1 : 1;
        }
    }
    if (quotient > INT64_MAX) return INT64_MAX;
    if (quotient < INT64_MIN) return INT64_MIN;
    return (int64_t)quotient;
}

static uint64_t magnitude(int64_t v)
{
    return v < 0 ? ~(uint64_t)v + 1 : (uint64_t)v;
}

vpi_rational vpi_reduce(int64_t num, int64_t den)
{
    uint64_t a = magnitude(num), b = magnitude(den), n = a, d = b;
    bool negative = (num < 0) != (den < 0);
    vpi_rational r;

    if (den == 0) return (vpi_rational){ num, 0 };
    while (b) {
        uint64_t t = a % b;

        a = b;
        b = t;
    }
    n /= a;
    d /= a;
    /* Only -2^63 over one or over minus one leaves the range: halving both keeps the ratio near enough. */
    while (d > INT64_MAX || n > (uint64_t)INT64_MAX + (negative ? 1 : 0)) {
        n >>= 1;
        d = d > 1 ? d >> 1 : 1;
    }
    r.num = negative ? (int64_t)(~n + 1) : (int64_t)n;
    r.den = (int64_t)d;
    return r;
}

int vpi_rational_cmp(vpi_rational a, vpi_rational b)
{
    __int128 left = (__int128)a.num * b.den, right = (__int128)b.num * a.den;

    return left < right ? -1 : left > right ? 1 : 0;
}

/* ---- structs of the caller ---- */

void vpi_struct_init(void *p, size_t size, const void *init, size_t init_size)
{
    uint32_t own = (uint32_t)VPI_MIN(size, (size_t)UINT32_MAX);

    if (!p || size < sizeof(own)) return;
    memset(p, 0, size);
    if (init) memcpy(p, init, VPI_MIN(size, init_size));
    memcpy(p, &own, sizeof(own));
}

vp_status vpi_copy_struct(void *to, size_t to_size, const void *from, vp_error *err)
{
    uint32_t size, ours = (uint32_t)to_size;
    const uint8_t *tail = from;
    size_t i;

    if (!from) return VP_OK;
    memcpy(&size, from, sizeof(size));
    if (size < sizeof(size)) return vpi_fail(err, VP_E_ARG, NULL, "struct_size is not set");
    for (i = to_size; i < size; i++) {
        if (tail[i]) return vpi_fail(err, VP_E_VERSION, NULL, "the struct is of a newer version");
    }
    memcpy(to, from, VPI_MIN((size_t)size, to_size));
    memcpy(to, &ours, sizeof(ours));
    return VP_OK;
}

/* ---- clocks ---- */

static int64_t clock_us(clockid_t clock)
{
    struct timespec t;

    if (clock_gettime(clock, &t) != 0) return 0;
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

int64_t vpi_now_us(void)
{
    return clock_us(CLOCK_MONOTONIC);
}

int64_t vpi_cpu_us(void)
{
    return clock_us(CLOCK_PROCESS_CPUTIME_ID);
}

int64_t vpi_thread_cpu_us(void)
{
    return clock_us(CLOCK_THREAD_CPUTIME_ID);
}
