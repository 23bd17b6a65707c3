/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VODPIPE_TESTS_MEMORY_H
#define VODPIPE_TESTS_MEMORY_H

/* What is left of a secret in the memory of this process. After <cmocka.h>. */

#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#ifndef __has_feature
#define __has_feature(name) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || __has_feature(address_sanitizer) ||     \
    __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define SHADOWED 1 /* memory of a sanitizer is terabytes to look through, and holds what was freed */
#else
#define SHADOWED 0
#endif

/* How often the bytes, which must lie in memory that cannot be written, lie in memory that can. */
static size_t search_memory(const char *wanted, size_t size, bool tell)
{
    static uint8_t chunk[(1 << 20) + 64];
    FILE *maps = fopen("/proc/self/maps", "r");
    int mem = open("/proc/self/mem", O_RDONLY);
    char line[512];
    size_t found = 0;

    assert_non_null(maps);
    while (fgets(line, sizeof(line), maps)) {
        unsigned long from, to;
        char mode[5];

        if (sscanf(line, "%lx-%lx %4s", &from, &to, mode) != 3 || mode[1] != 'w') continue;
        for (unsigned long at = from; at < to; at += 1 << 20) {
            size_t want = to - at < sizeof(chunk) ? to - at : sizeof(chunk);
            ssize_t n;

            memset(chunk, 0, sizeof(chunk)); /* what was read is not looked at again */
            if (at <= (unsigned long)chunk + sizeof(chunk) && at + sizeof(chunk) >= (unsigned long)chunk)
                continue;
            n = pread(mem, chunk, want, (off_t)at);
            for (const uint8_t *p = chunk; n > 0 && (p = memmem(p, (size_t)(chunk + n - p), wanted, size));
                 p++) {
                if (tell) print_message("%lx in %s", at + (unsigned long)(p - chunk), line);
                found++;
            }
        }
    }
    fclose(maps);
    close(mem);
    memset(chunk, 0, sizeof(chunk));
    return found;
}

#endif
