/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Packets as the packager reads them: MP4 samples and decoder configurations out of any file. */
#include <vodpipe/probe.h>

#include "fuzz.h"
#include "media/demux.h"

#define PACKETS 2000
#define STREAMS 8u

static void read_all(vpi_demux *demux)
{
    size_t streams = VPI_MIN(vpi_demux_stream_count(demux), STREAMS), size = 0;
    vp_error err = VP_ERROR_INIT;
    vp_status st = VP_OK;

    for (size_t i = 0; i < streams; i++) {
        const uint8_t *config = NULL;

        st = vpi_demux_config(demux, (int32_t)i, &config, &size, &err);
        FUZZ_REFUSAL(st, err);
        if (st == VP_OK) {
            FUZZ_CHECK(config || size == 0);
            st = vpi_demux_as_mp4(demux, (int32_t)i, &err);
            FUZZ_REFUSAL(st, err);
        }
    }
    for (unsigned n = 0; n < PACKETS; n++) {
        vpi_packet packet = { 0 };

        st = vpi_demux_read(demux, &packet, &err);
        FUZZ_REFUSAL(st, err);
        FUZZ_ACCEPTED(st == VP_OK);
        if (st == VP_OK) {
            FUZZ_CHECK(packet.stream >= 0 && (size_t)packet.stream < vpi_demux_stream_count(demux));
            FUZZ_CHECK(packet.data || packet.size == 0);
        }
        vpi_packet_dispose(&packet);
        if (st != VP_OK) break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static vp_context *context;
    vp_probe_options o = VP_PROBE_OPTIONS_INIT;
    vp_error err = VP_ERROR_INIT;
    vp_source *source = NULL;
    vpi_demux *demux = NULL;
    vp_status st;

    if (!context) {
        if (vp_context_new(NULL, &context, NULL) < 0) abort();
        vp_libav_log_redirect(context); /* silent */
    }
    if (vp_source_memory(context, data, size, &source, NULL) < 0) abort();
    o.timeout_ms = 10000;
    st = vpi_demux_open(context, source, &o, NULL, &demux, &err);
    FUZZ_REFUSAL(st, err);
    if (st == VP_OK) read_all(demux);
    vpi_demux_close(demux);
    vp_source_unref(source);
    return 0;
}
