/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VPT_INGEST_GATHER_TOOLS_H
#define VPT_INGEST_GATHER_TOOLS_H

/* Uploads that are gathered in blocks of BUFFER bytes. */

#include "workers.h"

#define BUFFER 8192u
#define LENGTH 200000u

static inline void path_of(const room *r, const char *id, char path[256])
{
    snprintf(path, 256, "%s/uploads/%02x/%s.data", r->path, vpi_crc32c(0, id, strlen(id)) % 16, id);
}

/* Bytes in the file. */
static inline uint64_t written(const room *r, const char *id)
{
    char path[256];
    struct stat s;

    path_of(r, id, path);
    return stat(path, &s) == 0 ? (uint64_t)s.st_size : 0;
}

static inline void finish(room *r, vp_upload *u, uint64_t length)
{
    vp_upload_info info = VP_UPLOAD_INFO_INIT;
    vp_source *s = NULL;
    char hex[65];

    if (vp_upload_offset(u) < length)
        assert_int_equal(append(u, (size_t)(length - vp_upload_offset(u)), SEED, &r->err), VP_OK);
    assert_int_equal(vp_upload_finish(u, &s, &info, &r->err), VP_OK);
    assert_content(s, length, SEED);
    content_sha256(length, SEED, hex);
    assert_string_equal(info.sha256, hex);
    vp_source_unref(s);
    vp_upload_close(u);
}

#endif
