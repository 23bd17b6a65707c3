/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which demuxer a file is for, and its outer structure, read without libav*. */
#include "fuzz.h"

#include "media/reader_int.h"

static vp_context *context;

static void look(vp_source *source, const AVInputFormat *format, size_t size)
{
    vpi_window *w = vpi_calloc(1, sizeof(*w));
    vp_error err = VP_ERROR_INIT;
    vpi_structure structure;

    if (!w) abort();
    for (int all = 0; all < 2; all++) {
        vp_status st;

        memset(w, 0, sizeof(*w));
        w->source = source;
        w->size = size;
        st = vpi_structure_check(w, format, all, &structure, &err);
        FUZZ_REFUSAL(st, err);
        FUZZ_CHECK(memchr(structure.name, 0, sizeof(structure.name)));
        vpi_structure_dispose(&structure);
    }
    vpi_free(w);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const names[] = { "mov", "matroska", "avi",  "ogg",  "asf",  "mpegts",
                                         "flv", "ivf",      "apng", "flac", "aiff", "caf" };
    const AVInputFormat *format = NULL;
    vp_source *source = NULL;
    vp_error err = VP_ERROR_INIT;
    uint8_t *head;
    vp_status st;

    if (!context && vp_context_new(NULL, &context, NULL) < 0) abort();
    vp_libav_log_redirect(context);
    if (vp_source_memory(context, data, size, &source, NULL) < 0) abort();
    head = calloc(1, size + AVPROBE_PADDING_SIZE);
    if (!head) abort();
    if (size) memcpy(head, data, size);
    st = vpi_formats_choose(head, size, true, &format, &err);
    FUZZ_REFUSAL(st, err);
    FUZZ_ACCEPTED(st == VP_OK);
    if (st == VP_OK) look(source, format, size);
    /* All of them: which one is chosen depends on a few bytes that are hard to guess. */
    for (size_t i = 0; i < VPI_COUNT(names); i++) {
        format = av_find_input_format(names[i]);
        if (format) look(source, format, size);
    }
    free(head);
    vp_source_unref(source);
    return 0;
}
