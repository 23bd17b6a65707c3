/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>

#include "io/io.h"
#include "model/json.h"
#include "transcode/transcode.h"

/* The file that says that a version folder is ours, and of which request. */

#define MARKER_MAX 65536u

static bool marker_key(const char *folder, char to[1024])
{
    int n = snprintf(to, 1024, "%s%s%s", folder, *folder ? "/" : "", VPI_MARKER);
    return n > 0 && n < 1024;
}

vp_status vpi_marker_check(vp_sink *sink, const char *folder, const char *request, vp_error *err)
{
    char key[1024];
    vp_bytes *text = NULL;
    json_t *json = NULL;
    if (!(vp_sink_has(sink) & VP_SINK_HAS_OPEN)) return VP_END;
    if (!marker_key(folder, key)) return vpi_fail(err, VP_E_ARG, NULL, "key too long");
    vp_status st = vp_sink_get(sink, key, MARKER_MAX, &text, err);
    if (st != VP_OK) return st;
    st = vpi_json_parse(vp_bytes_data(text), (size_t)vp_bytes_size(text), key, &json, NULL);
    if (st == VP_E_NOMEM) { /* not a word about the marker */
        vp_bytes_unref(text);
        return vpi_fail_nomem(err);
    }
    bool same = st >= 0 && vpi_streq(json_string_value(json_object_get(json, "request")), request);
    json_decref(json);
    vp_bytes_unref(text);
    if (same) return VP_OK;
    return vpi_fail(err, VP_E_CONFLICT, "OUTPUT_EXISTS", "%s holds another title or other settings",
                    *folder ? folder : "the output");
}

vp_status vpi_marker_write(vp_sink *sink, const char *folder, const char *request, vp_object_info *info,
                           char key[1024], vp_error *err)
{
    vpi_buf text = { 0 };
    json_t *json = json_object();
    bool ok = json && vpi_json_set_u64(json, "vodpipe", 1) && vpi_json_set_str(json, "request", request);
    vp_status st = ok ? vpi_json_dump_pretty(json, &text, err) : vpi_fail_nomem(err);
    json_decref(json);
    vp_object_info_init(info, sizeof(*info));
    info->kind = VP_OBJECT_MARKER;
    info->key = key;
    info->content_type = "application/json";
    info->cache_control = VPI_CACHE_SHORT;
    info->size = text.size;
    if (st >= 0 && !marker_key(folder, key)) st = vpi_fail(err, VP_E_ARG, NULL, "key too long");
    if (st >= 0) st = vpi_sink_put(sink, info, text.data, text.size, &info->size, &info->crc32c, err);
    /* A folder with objects and without a marker would be taken for a stranger's. */
    if (st >= 0) st = vp_sink_flush(sink, err);
    info->has_crc32c = 1;
    vpi_buf_dispose(&text);
    return st;
}
