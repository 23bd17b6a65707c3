/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * CMAF header: ftyp and moov of one track (ISO/IEC 14496-12, 14496-15, 23000-19 7.3, 23001-7 for protection).
 */

#include "package/package.h"

#include "bmff/bmff.h"

/* A decoder configuration is a few hundred bytes; parameter sets in avcC and hvcC may reach 64 KiB each. */
#define CONFIG_MAX (1u << 20)

typedef struct entry_type {
    vpi_codec codec;
    vpi_kind kind;
    uint32_t entry, config;
    int full; /* version of the configuration when it is a full box, else -1 */
} entry_type;

static const entry_type entry_types[] = {
    { VPI_CODEC_H264, VPI_KIND_VIDEO, VPI_FOURCC('a', 'v', 'c', '1'), VPI_FOURCC('a', 'v', 'c', 'C'), -1 },
    { VPI_CODEC_HEVC, VPI_KIND_VIDEO, VPI_FOURCC('h', 'v', 'c', '1'), VPI_FOURCC('h', 'v', 'c', 'C'), -1 },
    { VPI_CODEC_AV1, VPI_KIND_VIDEO, VPI_FOURCC('a', 'v', '0', '1'), VPI_FOURCC('a', 'v', '1', 'C'), -1 },
    { VPI_CODEC_VP9, VPI_KIND_VIDEO, VPI_FOURCC('v', 'p', '0', '9'), VPI_FOURCC('v', 'p', 'c', 'C'), 1 },
    { VPI_CODEC_AAC, VPI_KIND_AUDIO, VPI_FOURCC('m', 'p', '4', 'a'), VPI_FOURCC('e', 's', 'd', 's'), 0 },
    { VPI_CODEC_AC3, VPI_KIND_AUDIO, VPI_FOURCC('a', 'c', '-', '3'), VPI_FOURCC('d', 'a', 'c', '3'), -1 },
    { VPI_CODEC_EAC3, VPI_KIND_AUDIO, VPI_FOURCC('e', 'c', '-', '3'), VPI_FOURCC('d', 'e', 'c', '3'), -1 },
    { VPI_CODEC_OPUS, VPI_KIND_AUDIO, VPI_FOURCC('O', 'p', 'u', 's'), VPI_FOURCC('d', 'O', 'p', 's'), -1 },
    { VPI_CODEC_FLAC, VPI_KIND_AUDIO, VPI_FOURCC('f', 'L', 'a', 'C'), VPI_FOURCC('d', 'f', 'L', 'a'), 0 },
};

static const entry_type *find_type(const vpi_track_setup *setup)
{
    for (size_t i = 0; i < VPI_COUNT(entry_types); i++) {
        if (entry_types[i].codec == setup->codec && entry_types[i].kind == setup->kind)
            return &entry_types[i];
    }
    return NULL;
}

static void add_zeros(vpi_buf *b, size_t count)
{
    (void)vpi_buf_space(b, count);
}

static void add_matrix(vpi_buf *b)
{
    static const uint32_t unity[9] = { 0x00010000, 0, 0, 0, 0x00010000, 0, 0, 0, 0x40000000 };

    for (size_t i = 0; i < VPI_COUNT(unity); i++) vpi_buf_be32(b, unity[i]);
}

static void add_ftyp(vpi_buf *b)
{
    /* cmf2: no edit list, signed composition offsets, and no fragment that relies on trex (23000-19 7.7). */
    size_t at = vpi_box_begin(b, VPI_FOURCC('f', 't', 'y', 'p'));

    vpi_buf_str(b, "iso6");
    vpi_buf_be32(b, 0);
    vpi_buf_str(b, "iso6cmfccmf2dash");
    vpi_box_end(b, at);
}

static void add_mvhd(vpi_buf *b, uint32_t timescale)
{
    size_t at = vpi_fullbox_begin(b, VPI_FOURCC('m', 'v', 'h', 'd'), 0, 0);

    add_zeros(b, 8); /* creation and modification time: none, equal input gives equal bytes */
    vpi_buf_be32(b, timescale);
    vpi_buf_be32(b, 0);          /* duration: RFC 8216 3.3 */
    vpi_buf_be32(b, 0x00010000); /* rate */
    vpi_buf_be16(b, 0x0100);     /* volume */
    add_zeros(b, 10);
    add_matrix(b);
    add_zeros(b, 24);
    vpi_buf_be32(b, 2); /* next_track_ID */
    vpi_box_end(b, at);
}

/* 16.16, in square pixels. */
static uint32_t shown_width(const vpi_track_setup *setup)
{
    int64_t width = (int64_t)setup->width << 16;

    if (setup->sar_num && setup->sar_den)
        width = vpi_rescale(width, setup->sar_num, setup->sar_den, VPI_NEAREST);
    return (uint32_t)VPI_MIN(width, (int64_t)UINT32_MAX);
}

static void add_tkhd(vpi_buf *b, const vpi_track_setup *setup)
{
    bool video = setup->kind == VPI_KIND_VIDEO;
    size_t at =
        vpi_fullbox_begin(b, VPI_FOURCC('t', 'k', 'h', 'd'), 0, 7); /* enabled, in movie, in preview */

    add_zeros(b, 8);
    vpi_buf_be32(b, 1); /* track_ID */
    add_zeros(b, 4);
    vpi_buf_be32(b, 0); /* duration */
    add_zeros(b, 8);
    vpi_buf_be16(b, 0); /* layer */
    vpi_buf_be16(b, 0); /* alternate_group */
    vpi_buf_be16(b, video ? 0 : 0x0100);
    add_zeros(b, 2);
    add_matrix(b);
    vpi_buf_be32(b, video ? shown_width(setup) : 0);
    vpi_buf_be32(b, video ? setup->height << 16 : 0);
    vpi_box_end(b, at);
}

static void add_mdhd(vpi_buf *b, const vpi_track_setup *setup)
{
    char code[4];
    unsigned packed = 0;
    size_t at = vpi_fullbox_begin(b, VPI_FOURCC('m', 'd', 'h', 'd'), 0, 0);

    vpi_language_iso639(setup->language[0] ? setup->language : "und", code);
    for (int i = 0; i < 3; i++) packed = (packed << 5) | ((unsigned)(uint8_t)code[i] - 0x60u);
    add_zeros(b, 8);
    vpi_buf_be32(b, setup->timescale);
    vpi_buf_be32(b, 0);
    vpi_buf_be16(b, packed & 0x7FFFu);
    add_zeros(b, 2);
    vpi_box_end(b, at);
}

static void add_hdlr(vpi_buf *b, bool video)
{
    size_t at = vpi_fullbox_begin(b, VPI_FOURCC('h', 'd', 'l', 'r'), 0, 0);

    add_zeros(b, 4);
    vpi_buf_str(b, video ? "vide" : "soun");
    add_zeros(b, 12);
    vpi_buf_str(b, video ? "Video" : "Sound");
    vpi_buf_u8(b, 0);
    vpi_box_end(b, at);
}

static void add_media_header(vpi_buf *b, bool video)
{
    size_t at;

    if (video) {
        at = vpi_fullbox_begin(b, VPI_FOURCC('v', 'm', 'h', 'd'), 0, 1);
        add_zeros(b, 8);
    } else {
        at = vpi_fullbox_begin(b, VPI_FOURCC('s', 'm', 'h', 'd'), 0, 0);
        add_zeros(b, 4);
    }
    vpi_box_end(b, at);
}

static void add_dinf(vpi_buf *b)
{
    size_t dinf = vpi_box_begin(b, VPI_FOURCC('d', 'i', 'n', 'f'));
    size_t dref = vpi_fullbox_begin(b, VPI_FOURCC('d', 'r', 'e', 'f'), 0, 0);
    size_t url;

    vpi_buf_be32(b, 1);
    url = vpi_fullbox_begin(b, VPI_FOURCC('u', 'r', 'l', ' '), 0, 1); /* media is in this file */
    vpi_box_end(b, url);
    vpi_box_end(b, dref);
    vpi_box_end(b, dinf);
}

/* Size of an MPEG-4 descriptor body in 7-bit groups (14496-1 8.3.3), no longer than it has to be. */
static size_t descriptor_head(size_t body)
{
    return body < 128 ? 2 : body < 16384 ? 3 : body < 2097152 ? 4 : 5;
}

static void add_descriptor(vpi_buf *b, unsigned tag, size_t body)
{
    vpi_buf_u8(b, tag);
    for (size_t left = descriptor_head(body) - 1; left > 0; left--) {
        unsigned group = (unsigned)(body >> (7 * (left - 1))) & 0x7Fu;
        vpi_buf_u8(b, left > 1 ? group | 0x80u : group);
    }
}

static void add_esds(vpi_buf *b, const vpi_track_setup *setup)
{
    size_t specific = descriptor_head(setup->config_size) + setup->config_size;
    size_t decoder = 13 + specific;
    size_t stream = 3 + descriptor_head(decoder) + decoder + 3;
    uint32_t rate = setup->kbps > UINT32_MAX / 1000 ? UINT32_MAX : setup->kbps * 1000;

    add_descriptor(b, 3, stream); /* ES_Descriptor */
    vpi_buf_be16(b, 0);
    vpi_buf_u8(b, 0);
    add_descriptor(b, 4, decoder);                               /* DecoderConfigDescriptor */
    vpi_buf_u8(b, 0x40);                                         /* ISO/IEC 14496-3 */
    vpi_buf_u8(b, 0x15);                                         /* audio stream */
    vpi_buf_be24(b, 768u * VPI_CLAMP(setup->channels, 1u, 64u)); /* 6144 bits for each channel */
    vpi_buf_be32(b, rate);
    vpi_buf_be32(b, rate);
    add_descriptor(b, 5, setup->config_size);
    vpi_buf_add(b, setup->config, setup->config_size);
    add_descriptor(b, 6, 1); /* SLConfigDescriptor */
    vpi_buf_u8(b, 2);
}

static void add_config(vpi_buf *b, const vpi_track_setup *setup, const entry_type *type)
{
    size_t at = type->full >= 0 ? vpi_fullbox_begin(b, type->config, (unsigned)type->full, 0)
                                : vpi_box_begin(b, type->config);

    if (setup->codec == VPI_CODEC_AAC) {
        add_esds(b, setup);
    } else {
        vpi_buf_add(b, setup->config, setup->config_size);
    }
    vpi_box_end(b, at);
}

void vpi_protect_tenc(const vpi_protect *protect, vpi_tenc *out)
{
    *out = (vpi_tenc){ .version = protect->scheme == VPI_FOURCC('c', 'b', 'c', 's') ||
                                  protect->scheme == VPI_FOURCC('c', 'e', 'n', 's'),
                       .crypt_blocks = protect->crypt_blocks,
                       .skip_blocks = protect->skip_blocks,
                       .is_protected = 1,
                       .iv_size = protect->per_sample_iv_size,
                       .constant_iv_size = protect->constant_iv_size };
    memcpy(out->kid, protect->kid, sizeof(out->kid));
    memcpy(out->constant_iv, protect->constant_iv, sizeof(out->constant_iv));
}

static void add_video_entry(vpi_buf *b, const vpi_track_setup *setup, const entry_type *type)
{
    bool square = setup->sar_num == 0 || setup->sar_den == 0;
    size_t at;

    add_zeros(b, 16);
    vpi_buf_be16(b, setup->width);
    vpi_buf_be16(b, setup->height);
    vpi_buf_be32(b, 0x00480000); /* 72 dpi */
    vpi_buf_be32(b, 0x00480000);
    add_zeros(b, 4);
    vpi_buf_be16(b, 1); /* frame_count */
    add_zeros(b, 32);   /* compressorname */
    vpi_buf_be16(b, 24);
    vpi_buf_be16(b, 0xFFFF);
    add_config(b, setup, type);
    if (setup->primaries || setup->transfer || setup->matrix) {
        at = vpi_box_begin(b, VPI_FOURCC('c', 'o', 'l', 'r'));
        vpi_buf_str(b, "nclx");
        vpi_buf_be16(b, setup->primaries);
        vpi_buf_be16(b, setup->transfer);
        vpi_buf_be16(b, setup->matrix);
        vpi_buf_u8(b, setup->full_range ? 0x80 : 0);
        vpi_box_end(b, at);
    }
    if (setup->mastering.has_volume) {
        at = vpi_box_begin(b, VPI_FOURCC('m', 'd', 'c', 'v'));
        vpi_buf_add(b, setup->mastering.volume, sizeof(setup->mastering.volume));
        vpi_box_end(b, at);
    }
    if (setup->mastering.has_light) {
        at = vpi_box_begin(b, VPI_FOURCC('c', 'l', 'l', 'i'));
        vpi_buf_add(b, setup->mastering.light, sizeof(setup->mastering.light));
        vpi_box_end(b, at);
    }
    at = vpi_box_begin(b, VPI_FOURCC('p', 'a', 's', 'p'));
    vpi_buf_be32(b, square ? 1 : setup->sar_num);
    vpi_buf_be32(b, square ? 1 : setup->sar_den);
    vpi_box_end(b, at);
}

static void add_audio_entry(vpi_buf *b, const vpi_track_setup *setup, const entry_type *type)
{
    uint32_t rate = setup->sample_rate, bits = 16;
    vpi_sound flac;

    /* FLAC in ISOBMFF 3.3.1: samplesize is STREAMINFO's; others have 16 always. */
    if (setup->codec == VPI_CODEC_FLAC &&
        vpi_dfla_parse(setup->config, setup->config_size, &flac, NULL) == VP_OK)
        bits = flac.bits;
    if (setup->codec == VPI_CODEC_OPUS) rate = 48000; /* Opus in ISOBMFF 4.3.1 */
    /*
     * 16 bits hold no higher rate: FLAC in ISOBMFF 3.3.1 asks for the greatest regular division, others for
     * 0.
     */
    while (setup->codec == VPI_CODEC_FLAC && rate > 65535) rate /= 2;
    add_zeros(b, 8);
    vpi_buf_be16(b, setup->channels);
    vpi_buf_be16(b, bits);
    add_zeros(b, 4);
    vpi_buf_be32(b, rate > 65535 ? 0 : rate << 16);
    add_config(b, setup, type);
}

static void add_entry(vpi_buf *b, const vpi_track_setup *setup, const vpi_protect *protect,
                      const entry_type *type)
{
    bool video = setup->kind == VPI_KIND_VIDEO;
    size_t at;

    if (protect) {
        at = vpi_box_begin(b, video ? VPI_FOURCC('e', 'n', 'c', 'v') : VPI_FOURCC('e', 'n', 'c', 'a'));
    } else {
        at = vpi_box_begin(b, type->entry);
    }
    add_zeros(b, 6);
    vpi_buf_be16(b, 1); /* data_reference_index */
    if (video) {
        add_video_entry(b, setup, type);
    } else {
        add_audio_entry(b, setup, type);
    }
    if (protect) {
        vpi_tenc tenc;

        vpi_protect_tenc(protect, &tenc);
        vpi_sinf_write(b, type->entry, protect->scheme, &tenc);
    }
    vpi_box_end(b, at);
}

/*
 * A title that begins clear has a second entry for that part: players that know no sample groups understand it too
 * (ISO/IEC 23001-7 6 would have them say it with 'seig').
 */
static void add_stsd(vpi_buf *b, const vpi_track_setup *setup, const vpi_protect *protect,
                     const entry_type *type)
{
    bool both = protect && protect->clear;
    size_t stsd = vpi_fullbox_begin(b, VPI_FOURCC('s', 't', 's', 'd'), 0, 0);

    vpi_buf_be32(b, both ? 2 : 1);
    add_entry(b, setup, protect, type);
    if (both) add_entry(b, setup, NULL, type);
    vpi_box_end(b, stsd);
}

static void add_stbl(vpi_buf *b, const vpi_track_setup *setup, const vpi_protect *protect,
                     const entry_type *type)
{
    size_t stbl = vpi_box_begin(b, VPI_FOURCC('s', 't', 'b', 'l'));
    size_t at;

    add_stsd(b, setup, protect, type);
    at = vpi_fullbox_begin(b, VPI_FOURCC('s', 't', 't', 's'), 0, 0);
    vpi_buf_be32(b, 0);
    vpi_box_end(b, at);
    at = vpi_fullbox_begin(b, VPI_FOURCC('s', 't', 's', 'c'), 0, 0);
    vpi_buf_be32(b, 0);
    vpi_box_end(b, at);
    at = vpi_fullbox_begin(b, VPI_FOURCC('s', 't', 's', 'z'), 0, 0);
    vpi_buf_be32(b, 0);
    vpi_buf_be32(b, 0);
    vpi_box_end(b, at);
    at = vpi_fullbox_begin(b, VPI_FOURCC('s', 't', 'c', 'o'), 0, 0);
    vpi_buf_be32(b, 0);
    vpi_box_end(b, at);
    vpi_box_end(b, stbl);
}

static void add_mvex(vpi_buf *b)
{
    size_t mvex = vpi_box_begin(b, VPI_FOURCC('m', 'v', 'e', 'x'));
    size_t trex = vpi_fullbox_begin(b, VPI_FOURCC('t', 'r', 'e', 'x'), 0, 0);

    vpi_buf_be32(b, 1); /* track_ID */
    vpi_buf_be32(b, 1); /* default_sample_description_index */
    vpi_buf_be32(b, 0); /* every fragment has its own defaults */
    vpi_buf_be32(b, 0);
    vpi_buf_be32(b, 0);
    vpi_box_end(b, trex);
    vpi_box_end(b, mvex);
}

static vp_status check_setup(const vpi_track_setup *setup, const vpi_protect *protect, vp_error *err)
{
    bool video = setup->kind == VPI_KIND_VIDEO;

    if (!find_type(setup)) {
        return vpi_fail(err, VP_E_UNSUPPORTED, "CODEC_UNSUPPORTED", "codec %d cannot be put into CMAF",
                        (int)setup->codec);
    }
    if (setup->timescale == 0 || setup->timescale > INT32_MAX) {
        return vpi_fail(err, VP_E_ARG, NULL, "timescale %u is not within 1..2^31-1",
                        (unsigned)setup->timescale);
    }
    if (!setup->config || setup->config_size == 0 || setup->config_size > CONFIG_MAX) {
        return vpi_fail(err, VP_E_ARG, NULL, "decoder configuration of %zu bytes", setup->config_size);
    }
    if (video && (setup->width == 0 || setup->height == 0 || setup->width > 65535 || setup->height > 65535)) {
        return vpi_fail(err, VP_E_ARG, NULL, "picture of %ux%u", (unsigned)setup->width,
                        (unsigned)setup->height);
    }
    if (!video && (setup->channels == 0 || setup->channels > 255 || setup->sample_rate == 0)) {
        return vpi_fail(err, VP_E_ARG, NULL, "audio of %u channels and %u Hz", (unsigned)setup->channels,
                        (unsigned)setup->sample_rate);
    }
    if (protect && (protect->constant_iv_size > 16 || protect->per_sample_iv_size > 16)) {
        return vpi_fail(err, VP_E_INTERNAL, NULL, "initialisation vector of more than 16 bytes");
    }
    return VP_OK;
}

vp_status vpi_cmaf_init(const vpi_track_setup *setup, const vpi_protect *protect, vpi_buf *out, vp_error *err)
{
    bool video = setup->kind == VPI_KIND_VIDEO;
    size_t moov, trak, mdia, minf;

    VPI_TRY(check_setup(setup, protect, err));
    add_ftyp(out);
    moov = vpi_box_begin(out, VPI_FOURCC('m', 'o', 'o', 'v'));
    add_mvhd(out, setup->timescale);
    trak = vpi_box_begin(out, VPI_FOURCC('t', 'r', 'a', 'k'));
    add_tkhd(out, setup);
    mdia = vpi_box_begin(out, VPI_FOURCC('m', 'd', 'i', 'a'));
    add_mdhd(out, setup);
    add_hdlr(out, video);
    minf = vpi_box_begin(out, VPI_FOURCC('m', 'i', 'n', 'f'));
    add_media_header(out, video);
    add_dinf(out);
    add_stbl(out, setup, protect, find_type(setup));
    vpi_box_end(out, minf);
    vpi_box_end(out, mdia);
    vpi_box_end(out, trak);
    add_mvex(out);
    vpi_box_end(out, moov);
    return vpi_buf_failed(out) ? vpi_fail_nomem(err) : VP_OK;
}
