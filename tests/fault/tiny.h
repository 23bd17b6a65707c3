/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VPT_FAULT_TINY_H
#define VPT_FAULT_TINY_H

/* A clip so small that a publish of it takes some hundredths of a second, for tests that do many. */

#include "api/host.h"

/* Makes the_clip; 0, or what main returns. */
static inline int tiny_clip(void)
{
    char path[] = "/tmp/vpt-clip-XXXXXX", command[512];
    int fd;
    bool ok;

    if (system("command -v ffmpeg >/dev/null 2>&1") != 0 || !vp_feature("h264")) {
        fprintf(stderr, "skipped: no ffmpeg, or built without media\n");
        return SKIPPED;
    }
    fd = mkstemp(path);
    if (fd < 0) return 1;
    close(fd);
    snprintf(command, sizeof(command),
             "ffmpeg -nostdin -v error -y -f lavfi -i testsrc2=s=64x36:r=8:d=2 -f lavfi -i sine=r=48000:d=2 "
             "-c:v libx264 -preset ultrafast -g 8 -c:a aac -ac 2 -b:a 64k -map_metadata -1 -fflags +bitexact "
             "-f mp4 %s",
             path);
    ok = system(command) == 0 && clip_load(path, &the_clip);
    unlink(path);
    return ok ? 0 : 1;
}

static inline unsigned count_entries(const char *path)
{
    unsigned n = 0;
    DIR *d = opendir(path);

    assert_non_null(d);
    while (readdir(d)) n++;
    closedir(d);
    return n;
}

static inline unsigned count_files(void)
{
    return count_entries("/proc/self/fd");
}

#endif
