/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Runs a fuzz target over files and folders, without libFuzzer: every seed, every input that was a fault once. */
#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fuzz.h"

#define INPUT_MAX ((long)16 << 20)
#define NAME_MAX_ALL 4096
#define SECONDS 60u /* of one input, under any sanitizer and load */

static unsigned long count;

static int compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static int run_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    uint8_t *data = NULL;
    long size = 0;
    int bad =
        !f || fseek(f, 0, SEEK_END) || (size = ftell(f)) < 0 || size > INPUT_MAX || fseek(f, 0, SEEK_SET);

    if (!bad) data = malloc(size ? (size_t)size : 1);
    bad = bad || !data || fread(data, 1, (size_t)size, f) != (size_t)size;
    if (f) fclose(f);
    if (bad) {
        fprintf(stderr, "%s: cannot be read\n", path);
    } else {
        /* The last line before a crash, or before the alarm ends the program, names the input. */
        fprintf(stderr, "%s\n", path);
        alarm(SECONDS);
        LLVMFuzzerTestOneInput(data, (size_t)size);
        alarm(0);
        count++;
    }
    free(data);
    return bad;
}

static int run(const char *path);

static int run_folder(const char *path)
{
    DIR *d = opendir(path);
    char **names = NULL, full[NAME_MAX_ALL];
    size_t n = 0, cap = 0;
    struct dirent *e;
    int bad = !d;

    while (d && (e = readdir(d))) {
        if (e->d_name[0] == '.') continue;
        if (n == cap) {
            char **more = realloc(names, (cap = cap ? 2 * cap : 64) * sizeof(*names));
            if (!more) abort();
            names = more;
        }
        names[n] = strdup(e->d_name);
        if (!names[n++]) abort();
    }
    if (d) closedir(d);
    if (n) qsort(names, n, sizeof(*names), compare); /* the same order everywhere */
    for (size_t i = 0; i < n; i++) {
        int length = snprintf(full, sizeof(full), "%s/%s", path, names[i]);

        bad |= length < 0 || (size_t)length >= sizeof(full) || run(full);
        free(names[i]);
    }
    free(names);
    return bad;
}

static int run(const char *path)
{
    struct stat s;

    if (stat(path, &s)) {
        fprintf(stderr, "%s: does not exist\n", path);
        return 1;
    }
    return S_ISDIR(s.st_mode) ? run_folder(path) : run_file(path);
}

int main(int argc, char **argv)
{
    static const uint8_t nothing[1];
    int bad = 0;

    LLVMFuzzerTestOneInput(nothing, 0);
    for (int i = 1; i < argc; i++) bad |= run(argv[i]);
    printf("%lu inputs, accepted %lu times\n", count, fuzz_accepted);
    /* A test without good inputs proves nothing. */
    return bad || count == 0 || fuzz_accepted == 0;
}
