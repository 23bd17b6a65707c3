/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "test.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/limits.h"

static char root[64];

static void put(const char *path, const char *text)
{
    char full[512], *at;
    FILE *f;

    snprintf(full, sizeof(full), "%s/%s", root, path);
    for (at = full + strlen(root) + 1; (at = strchr(at, '/')) != NULL; at++) {
        *at = 0;
        mkdir(full, 0755);
        *at = '/';
    }
    f = fopen(full, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static int setup(void **state)
{
    (void)state;
    snprintf(root, sizeof(root), "/tmp/vpt-limits-XXXXXX");
    return mkdtemp(root) ? 0 : -1;
}

static int teardown(void **state)
{
    char command[128];

    (void)state;
    snprintf(command, sizeof(command), "rm -rf %s", root);
    return system(command);
}

static void expect(uint32_t cpus, uint64_t memory)
{
    vpi_limits l = vpi_cgroup_limits(root);

    assert_int_equal(l.cpus, cpus);
    assert_int_equal(l.memory, memory);
}

static void nothing(void **state)
{
    (void)state;
    expect(0, 0);
    put("proc/self/cgroup", "garbage\n::\n0::\n1:cpu\n");
    expect(0, 0);
}

static void version2(void **state)
{
    (void)state;
    put("proc/self/cgroup", "0::/a/b\n");
    put("sys/fs/cgroup/a/b/cpu.max", "max 100000\n");
    put("sys/fs/cgroup/a/b/memory.max", "max\n");
    expect(0, 0);
    /* The limit of a parent holds; half a CPU more is rounded up. */
    put("sys/fs/cgroup/a/cpu.max", "250000 100000\n");
    put("sys/fs/cgroup/a/memory.max", "1073741824\n");
    expect(3, 1073741824);
    put("sys/fs/cgroup/a/b/cpu.max", "10000 100000\n");
    put("sys/fs/cgroup/a/b/memory.max", "2147483648\n");
    expect(1, 1073741824);
}

/* In a container the path may be the host's, of which only the mount itself is to be seen. */
static void version2_namespace(void **state)
{
    (void)state;
    put("proc/self/cgroup", "0::/docker/0123\n");
    put("sys/fs/cgroup/cpu.max", "200000 100000\n");
    expect(2, 0);
}

static void version1(void **state)
{
    (void)state;
    put("proc/self/cgroup", "12:pids:/x\n4:memory:/m\n3:cpu,cpuacct:/c\n");
    put("sys/fs/cgroup/memory/m/memory.limit_in_bytes", "9223372036854771712\n");
    put("sys/fs/cgroup/cpu,cpuacct/c/cpu.cfs_quota_us", "-1\n");
    put("sys/fs/cgroup/cpu,cpuacct/c/cpu.cfs_period_us", "100000\n");
    expect(0, 0);
    put("sys/fs/cgroup/memory/m/memory.limit_in_bytes", "536870912\n");
    put("sys/fs/cgroup/cpu,cpuacct/c/cpu.cfs_quota_us", "400000\n");
    expect(4, 536870912);
}

static void real(void **state)
{
    (void)state;
    assert_true(vpi_usable_cpus() >= 1);
    assert_true(vpi_usable_cpus() <= (uint32_t)sysconf(_SC_NPROCESSORS_CONF));
    assert_true(vpi_usable_memory() > 1 << 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(version2, setup, teardown),
        cmocka_unit_test_setup_teardown(version2_namespace, setup, teardown),
        cmocka_unit_test_setup_teardown(version1, setup, teardown),
        cmocka_unit_test(real),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
