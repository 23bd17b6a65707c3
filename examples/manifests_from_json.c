/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * manifests_from_json PRESENTATION.JSON: manifests are pure text made from a presentation alone, also from one that
 * was kept in a database. The same presentation gives the same bytes. Prints the HLS master and the MPD.
 */
#include <stdio.h>

#include <vodpipe/io.h>
#include <vodpipe/manifest.h>

static vp_status print(vp_status st, vp_bytes *text)
{
    if (st >= 0) fwrite(vp_bytes_data(text), 1, (size_t)vp_bytes_size(text), stdout);
    vp_bytes_unref(text);
    return st;
}

/* The whole of a file; any vp_source can be read like this. */
static vp_status read_all(vp_context *context, const char *path, char *data, size_t capacity, size_t *size,
                          vp_error *err)
{
    vp_source *source = NULL;
    vp_status st = vp_source_file(context, path, &source, err);
    if (st >= 0) st = vp_source_read_at(source, 0, data, capacity, size, err);
    vp_source_unref(source);
    return st;
}

int main(int argc, char **argv)
{
    static char json[4 << 20];
    vp_error err = VP_ERROR_INIT;
    vp_context *context = NULL;
    vp_presentation *presentation = NULL;
    vp_bytes *text = NULL;
    size_t size = 0;

    if (argc != 2) {
        fprintf(stderr, "usage: %s PRESENTATION.JSON\n", argv[0]);
        return 2;
    }
    vp_status st = vp_context_new(NULL, &context, &err);
    if (st >= 0) st = read_all(context, argv[1], json, sizeof(json), &size, &err);
    if (st >= 0) st = vp_presentation_parse(json, size, &presentation, &err);

    /* ARG says that the title has no tracks of that kind: then it is a title of MPEG-TS only. */
    if (st >= 0) {
        st = vp_manifest_hls_master(presentation, VP_HLS_CMAF, &text, &err);
        if (st == VP_E_ARG) st = vp_manifest_hls_master(presentation, VP_HLS_TS, &text, &err);
        st = print(st, text);
    }
    if (st >= 0) {
        st = vp_manifest_dash(presentation, &text, &err);
        st = print(st, text);
        if (st == VP_E_ARG) st = VP_OK;
    }
    if (st < 0) fprintf(stderr, "%s: %s\n", err.reason, err.message);

    vp_presentation_unref(presentation);
    vp_context_unref(context);
    return st < 0;
}
