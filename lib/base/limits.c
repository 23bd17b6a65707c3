/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <unistd.h>

#include "base/limits.h"

#define PATH_ROOM 1024
#define FILE_ROOM 4096
#define CPUS_MAX 65536
/* Version 1 writes "no limit" as the largest page multiple of an int64_t. */
#define NO_LIMIT_V1 (INT64_MAX / 2)

/* Reads a small file whole, with a NUL; false when it is not there. */
static bool read_text(const char *path, char text[FILE_ROOM])
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    size_t have = 0;
    ssize_t n = 1;

    if (fd < 0) return false;
    while (have < FILE_ROOM - 1 && n > 0) {
        n = read(fd, text + have, FILE_ROOM - 1 - have);
        if (n > 0) have += (size_t)n;
    }
    close(fd);
    text[have] = 0;
    return n >= 0 && have > 0;
}

/* Decimal digits at the start of text; 0 for anything else, such as "max" or "-1". */
static uint64_t number(const char *text, const char **end)
{
    uint64_t v = 0;

    while (*text == ' ') text++;
    for (; *text >= '0' && *text <= '9'; text++) {
        if (!vpi_mul_u64(v, 10, &v) || !vpi_add_u64(v, (uint64_t)(*text - '0'), &v)) return 0;
    }
    if (end) *end = text;
    return v;
}

static uint64_t read_number(const char *folder, const char *name)
{
    char path[PATH_ROOM], text[FILE_ROOM];
    int n = snprintf(path, sizeof(path), "%s/%s", folder, name);

    if (n < 0 || (size_t)n >= sizeof(path) || !read_text(path, text)) return 0;
    return number(text, NULL);
}

static void lower_cpus(vpi_limits *l, uint64_t quota, uint64_t period)
{
    uint64_t cpus;

    if (quota == 0 || period == 0) return;
    cpus = quota / period + (quota % period ? 1 : 0);
    if (cpus > CPUS_MAX) return;
    if (l->cpus == 0 || cpus < l->cpus) l->cpus = (uint32_t)cpus;
}

static void lower_memory(vpi_limits *l, uint64_t bytes)
{
    if (bytes == 0 || bytes >= NO_LIMIT_V1) return;
    if (l->memory == 0 || bytes < l->memory) l->memory = bytes;
}

static void read_group(vpi_limits *l, const char *folder)
{
    char path[PATH_ROOM], text[FILE_ROOM];
    int n = snprintf(path, sizeof(path), "%s/cpu.max", folder);

    if (n > 0 && (size_t)n < sizeof(path) && read_text(path, text)) {
        const char *rest = text;
        uint64_t quota = number(text, &rest);

        lower_cpus(l, quota, number(rest, NULL));
    }
    lower_cpus(l, read_number(folder, "cpu.cfs_quota_us"), read_number(folder, "cpu.cfs_period_us"));
    lower_memory(l, read_number(folder, "memory.max"));
    lower_memory(l, read_number(folder, "memory.limit_in_bytes"));
}

/*
 * A limit of any parent holds too, and inside a container the path of /proc may begin outside of what is
 * mounted: so every prefix of the path is tried, down to the mount itself.
 */
static void read_groups(vpi_limits *l, const char *mount, const char *group)
{
    char path[PATH_ROOM];
    size_t base = strlen(mount);
    int n = snprintf(path, sizeof(path), "%s%s", mount, group);

    if (n < 0 || (size_t)n >= sizeof(path)) return;
    for (;;) {
        char *slash;

        read_group(l, path);
        slash = strrchr(path + base, '/');
        if (!slash) return;
        *slash = 0;
    }
}

/* One line "number:controllers:path" of /proc/self/cgroup. */
static void read_line(vpi_limits *l, const char *root, char *line)
{
    char *controllers = strchr(line, ':'), *group, mount[PATH_ROOM];
    static const char *const folders[] = { "", "/unified", NULL };
    const char *const *f;
    char *group_end;

    if (!controllers) return;
    *controllers++ = 0;
    group = strchr(controllers, ':');
    if (!group) return;
    *group++ = 0;
    group_end = group + strlen(group);
    if (group_end > group && group_end[-1] == '/') group_end[-1] = 0;
    if (!controllers[0]) {
        for (f = folders; *f; f++) {
            snprintf(mount, sizeof(mount), "%s/sys/fs/cgroup%s", root, *f);
            read_groups(l, mount, group);
        }
        return;
    }
    if (!strstr(controllers, "cpu") && !strstr(controllers, "memory")) return;
    snprintf(mount, sizeof(mount), "%s/sys/fs/cgroup/%s", root, controllers);
    read_groups(l, mount, group);
    if (strchr(controllers, ',')) {
        snprintf(mount, sizeof(mount), "%s/sys/fs/cgroup/cpu", root);
        read_groups(l, mount, group);
    }
}

vpi_limits vpi_cgroup_limits(const char *root)
{
    vpi_limits l = { 0, 0 };
    char path[PATH_ROOM], text[FILE_ROOM];
    char *line = text, *next;

    snprintf(path, sizeof(path), "%s/proc/self/cgroup", root);
    if (!read_text(path, text)) return l;
    for (; line && *line; line = next) {
        next = strchr(line, '\n');
        if (next) *next++ = 0;
        read_line(&l, root, line);
    }
    return l;
}

static uint32_t affinity(void)
{
    int cpus;

    for (cpus = 1024; cpus <= CPUS_MAX; cpus *= 4) {
        cpu_set_t *set = CPU_ALLOC((size_t)cpus);
        size_t size = CPU_ALLOC_SIZE((size_t)cpus);
        int count = 0;

        if (!set) break;
        if (sched_getaffinity(0, size, set) == 0) count = CPU_COUNT_S(size, set);
        CPU_FREE(set);
        if (count > 0) return (uint32_t)count;
    }
    cpus = (int)sysconf(_SC_NPROCESSORS_ONLN);
    return cpus > 0 ? (uint32_t)cpus : 1;
}

uint32_t vpi_usable_cpus(void)
{
    uint32_t cpus = affinity(), limit = vpi_cgroup_limits("").cpus;

    return limit > 0 ? VPI_MIN(cpus, limit) : cpus;
}

uint64_t vpi_usable_memory(void)
{
    long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    uint64_t limit = vpi_cgroup_limits("").memory;
    uint64_t all = pages > 0 && page > 0 ? (uint64_t)pages * (uint64_t)page : UINT64_C(1) << 30;

    return limit > 0 ? VPI_MIN(all, limit) : all;
}
