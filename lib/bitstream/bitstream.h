/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VPI_BITSTREAM_H
#define VPI_BITSTREAM_H

/*
 * Readers of elementary stream headers. Bounded: they never read outside the bytes given, refuse with DATA and
 * reason INPUT_CORRUPT what breaks a syntax rule or a named limit, and allocate nothing unless said. What is
 * parsed goes to *out, which holds no promise after a failure.
 */

#include "base/common.h"
#include "base/error.h"

/* ---- bits ---- */

/* MSB first; reading past the end sets failed and gives zeros. */
typedef struct vpi_bits {
    const uint8_t *data;
    size_t size;     /* bytes */
    size_t position; /* bits */
    bool failed;
} vpi_bits;
void vpi_bits_init(vpi_bits *b, const void *data, size_t size);
uint32_t vpi_bits_read(vpi_bits *b, unsigned count); /* 0..32 */
void vpi_bits_skip(vpi_bits *b, size_t count);
uint32_t vpi_bits_ue(vpi_bits *b); /* H.264 9.1; values over 2^32-2 fail */
int32_t vpi_bits_se(vpi_bits *b);
size_t vpi_bits_left(const vpi_bits *b);
/* H.264 7.2 more_rbsp_data(): false when only rbsp_trailing_bits and cabac_zero_words are left. */
bool vpi_bits_more_rbsp(const vpi_bits *b);

/* ---- NAL units ---- */

typedef struct vpi_nal {
    const uint8_t *data; /* from the NAL header on, no start code or length */
    size_t size;
} vpi_nal;

/* Next NAL of an Annex B stream; *at is the read position (start at 0). False at the end. Trailing zeros are cut. */
bool vpi_annexb_next(const uint8_t *data, size_t size, size_t *at, vpi_nal *nal);
/* Next NAL of a length-prefixed sample, possibly empty. False at the end; *bad: a length reaches past the end. */
bool vpi_avcc_next(const uint8_t *data, size_t size, unsigned length_size, size_t *at, vpi_nal *nal,
                   bool *bad);
/* Takes emulation prevention bytes out (7.4.1). to has room for nal.size bytes; returns the bytes written. */
size_t vpi_nal_unescape(const vpi_nal *nal, uint8_t *to);

/* ---- H.264 (ITU-T H.264, 7.3) ---- */

enum {
    VPI_H264_SLICE = 1,
    VPI_H264_IDR = 5,
    VPI_H264_SEI = 6,
    VPI_H264_SPS = 7,
    VPI_H264_PPS = 8,
    VPI_H264_AUD = 9,
    VPI_H264_EOSEQ = 10,
    VPI_H264_EOSTREAM = 11,
    VPI_H264_FILLER = 12
};
static inline unsigned vpi_h264_type(const vpi_nal *nal)
{
    return nal->size ? nal->data[0] & 31u : 0;
}

typedef struct vpi_h264_sps {
    uint8_t profile_idc, constraints, level_idc; /* the three bytes of the codec string */
    uint8_t id, chroma_format_idc, bit_depth_luma, bit_depth_chroma;
    bool separate_colour_planes, frame_mbs_only, mb_adaptive;
    uint32_t width, height;       /* after cropping */
    uint32_t mb_width, mb_height; /* of a frame */
    uint8_t log2_max_frame_num, poc_type, log2_max_poc_lsb;
    bool delta_pic_order_always_zero;
    uint32_t max_ref_frames;
    bool has_vui;
    uint32_t sar_num, sar_den; /* 0/0: not given */
    bool full_range;
    uint8_t primaries, transfer, matrix;    /* ISO/IEC 23091-2 numbers; 2: unspecified */
    uint32_t num_units_in_tick, time_scale; /* 0: not given */
    bool fixed_frame_rate;
    bool has_reorder;
    uint32_t max_reorder_frames, max_dec_frame_buffering;
} vpi_h264_sps;

typedef struct vpi_h264_pps {
    uint8_t id, sps_id; /* ids are 0..255 and 0..31 */
    bool cabac, bottom_field_order, weighted_pred, deblocking_control, redundant_pic_cnt;
    uint8_t weighted_bipred_idc, slice_groups;
    uint32_t refs_l0, refs_l1;
    uint8_t slice_group_map_type;     /* with slice_groups > 1 */
    uint32_t slice_group_change_rate; /* in map units, for types 3 to 5 */
} vpi_h264_pps;

typedef struct vpi_h264_slice {
    uint32_t first_mb, type; /* type 0..9 as coded; %5: 0 P 1 B 2 I 3 SP 4 SI */
    uint8_t pps_id;
    uint32_t frame_num, idr_pic_id, poc_lsb;
    bool field_pic, bottom_field, idr;
    size_t header_bits; /* size of the slice header in the unescaped NAL, NAL header included */
    /* bytes of the NAL as coded up to the last byte that holds header bits, inclusive */
    size_t header_bytes_escaped;
} vpi_h264_slice;

vp_status vpi_h264_sps_parse(const vpi_nal *nal, vpi_h264_sps *out, vp_error *err);
/* sps NULL: what follows redundant_pic_cnt (needs the chroma format, gives nothing here) is not read. */
vp_status vpi_h264_pps_parse(const vpi_nal *nal, const vpi_h264_sps *sps, vpi_h264_pps *out, vp_error *err);
/* The parameter set that a slice names, to choose what goes into vpi_h264_slice_parse. */
vp_status vpi_h264_slice_pps_id(const vpi_nal *nal, uint8_t *pps_id, vp_error *err);
vp_status vpi_h264_slice_parse(const vpi_nal *nal, const vpi_h264_sps *sps, const vpi_h264_pps *pps,
                               vpi_h264_slice *out, vp_error *err);

/* AVCDecoderConfigurationRecord (ISO/IEC 14496-15 5.3.3.1). Views into the record. */
#define VPI_AVCC_MAX_SETS 32
typedef struct vpi_avcc {
    uint8_t profile_idc, constraints, level_idc, length_size; /* length_size 1, 2 or 4 */
    size_t sps_count, pps_count;
    vpi_nal sps[VPI_AVCC_MAX_SETS], pps[VPI_AVCC_MAX_SETS];
} vpi_avcc;
vp_status vpi_avcc_parse(const void *data, size_t size, vpi_avcc *out, vp_error *err);
struct vpi_buf;
/* From one or more parameter sets; length_size 4; writes the chroma/bit depth extension for High profiles. */
vp_status vpi_avcc_write(const vpi_nal *sps, size_t sps_count, const vpi_nal *pps, size_t pps_count,
                         struct vpi_buf *out, vp_error *err);

/* ---- AAC (ISO/IEC 14496-3 1.6.2.1) ---- */

typedef struct vpi_asc {
    /*
     * As coded first: 2 LC, 5 SBR, 29 PS, 42 xHE. Signalling that old decoders do not see (a sync extension at the
     * end) leaves 2 here and sets sbr and ps.
     */
    uint8_t object_type;
    uint8_t core_object_type;
    uint32_t sample_rate;     /* of the core */
    uint32_t ext_sample_rate; /* with SBR; else 0 */
    uint8_t channel_config;   /* 0: given by a PCE */
    uint8_t channels;         /* 0 when only the PCE tells and it is broken */
    bool sbr, ps;
    uint32_t frame_samples; /* of the core: 1024 or 960; LD and ELD 512 or 480; xHE 768 to 4096; else 0 */
} vpi_asc;
vp_status vpi_asc_parse(const void *data, size_t size, vpi_asc *out, vp_error *err);
/* Plain LC config of 2 bytes. False for a rate or count that has no index. */
bool vpi_asc_write_lc(uint32_t sample_rate, unsigned channels, uint8_t out[2]);
/*
 * LC config of 5 or 7 bytes that signals SBR, and PS, so that decoders of LC alone do not mind (1.6.5.3). False where
 * rate, twice it, or channel_config has no index, or frames are not of 1024 samples.
 */
bool vpi_asc_write_sbr(const vpi_asc *core, bool ps, uint8_t out[7], size_t *size);
/*
 * Plain LC config for the ADTS frame at data, with its program_config_element where the header leaves the layout to
 * that (channel configuration 0). 0: the frame is damaged, not LC, or its element too long.
 */
#define VPI_ASC_MAX 64
size_t vpi_adts_config(const uint8_t *data, size_t size, uint8_t out[VPI_ASC_MAX]);
/* 7-byte ADTS header without CRC (1.A.2) for a frame of payload bytes. False when it does not fit 13 bits, or ASC
 * cannot be carried in ADTS. */
bool vpi_adts_write(const vpi_asc *asc, size_t payload, uint8_t out[7]);
/* Header at data; *header 7 or 9, *frame the whole frame's size. UNSUPPORTED for several blocks in a frame. */
vp_status vpi_adts_parse(const void *data, size_t size, vpi_asc *out, size_t *header, size_t *frame,
                         vp_error *err);

/* ---- HEVC (ITU-T H.265; ISO/IEC 14496-15 8) ---- */

enum { /* NAL unit types, table 7-1 */
       VPI_HEVC_RADL_N = 6,
       VPI_HEVC_RASL_R = 9,
       VPI_HEVC_BLA_W_LP = 16,
       VPI_HEVC_IDR_W_RADL = 19,
       VPI_HEVC_IDR_N_LP = 20,
       VPI_HEVC_CRA = 21,
       VPI_HEVC_VCL_LAST = 31,
       VPI_HEVC_VPS = 32,
       VPI_HEVC_SPS = 33,
       VPI_HEVC_PPS = 34,
       VPI_HEVC_AUD = 35,
       VPI_HEVC_EOS = 36,
       VPI_HEVC_EOB = 37,
       VPI_HEVC_FILLER = 38,
       VPI_HEVC_SEI = 39,    /* before the picture */
       VPI_HEVC_DV_RPU = 62, /* unspecified in H.265: metadata of Dolby Vision, its enhancement layer */
       VPI_HEVC_DV_LAYER = 63
};
static inline unsigned vpi_hevc_type(const vpi_nal *nal)
{
    return nal->size ? nal->data[0] >> 1 & 63u : 63;
}

typedef struct vpi_hevc_ptl { /* profile_tier_level and what else is told, from hvcC or SPS */
    uint8_t profile_space, tier, profile_idc, level_idc, constraints[6];
    uint32_t compatibility;
    uint8_t chroma_format_idc, bit_depth;
    uint32_t width, height;
    /* Of an SPS; 0 where it ends before them. */
    uint8_t bit_depth_chroma, sub_layers;
    bool nested, has_colour, full_range;
    uint8_t primaries, transfer, matrix; /* with has_colour; ISO/IEC 23091-2 numbers */
    uint32_t sar_num, sar_den;           /* 0/0: not given */
    uint32_t reorder;                    /* pictures, of the highest sub-layer */
} vpi_hevc_ptl;
vp_status vpi_hvcc_parse(const void *data, size_t size, vpi_hevc_ptl *out, uint8_t *length_size,
                         vp_error *err);
vp_status vpi_hevc_sps_parse(const vpi_nal *nal, vpi_hevc_ptl *out, vp_error *err);

/* Does a picture carry Dolby Vision's metadata, whatever its container says? length_size 0: Annex B. */
bool vpi_hevc_has_rpu(const uint8_t *data, size_t size, unsigned length_size);

/* The NAL units of all arrays of an HEVCDecoderConfigurationRecord (8.3.3.1). Views into the record. */
#define VPI_HVCC_MAX_SETS 64
typedef struct vpi_hvcc {
    uint8_t length_size; /* 1, 2 or 4 */
    size_t count;
    vpi_nal sets[VPI_HVCC_MAX_SETS];
} vpi_hvcc;
vp_status vpi_hvcc_sets(const void *data, size_t size, vpi_hvcc *out, vp_error *err);
/* From parameter sets in any order; length_size 4, complete arrays. VP_AGAIN unless there is one of each kind. */
vp_status vpi_hvcc_write(const vpi_nal *sets, size_t count, struct vpi_buf *out, vp_error *err);
/* Marks the arrays of parameter sets as complete, as 'hvc1' demands (8.4.1). The record is one that parses. */
void vpi_hvcc_complete(uint8_t *data, size_t size);

/* ---- AV1 (AV1 bitstream 5; AV1 codec ISO media file format binding) ---- */

enum {
    VPI_OBU_SEQUENCE = 1,
    VPI_OBU_DELIMITER = 2,
    VPI_OBU_HEADER = 3,
    VPI_OBU_METADATA = 5,
    VPI_OBU_FRAME = 6,
    VPI_OBU_PADDING = 15
};
typedef struct vpi_obu {
    unsigned type;
    const uint8_t *data; /* header included */
    size_t size;
    const uint8_t *payload;
    size_t payload_size;
} vpi_obu;
/* Next OBU at *at. VP_END at the end; DATA where one reaches past it. */
vp_status vpi_obu_next(const uint8_t *data, size_t size, size_t *at, vpi_obu *out, vp_error *err);

/* What a sequence header tells. */
typedef struct vpi_av1_colour {
    bool found, described, full_range, mono, subsampling_x, subsampling_y;
    uint8_t primaries, transfer, matrix, sample_position;
    uint8_t profile, level, tier; /* of operating point 0 */
    bool high_depth, twelve;
    uint32_t width, height; /* largest frame */
} vpi_av1_colour;
/* The first sequence header in size bytes of OBUs; found is false where there is none. */
vp_status vpi_av1_colour_parse(const uint8_t *obus, size_t size, vpi_av1_colour *out, vp_error *err);
/* The first sequence header in the OBUs; type 0 where there is none. */
vpi_obu vpi_av1_sequence(const uint8_t *obus, size_t size);
/* av1C with the sequence header that is found in the OBUs of a sample; VP_AGAIN where there is none. */
vp_status vpi_av1c_write(const uint8_t *obus, size_t size, struct vpi_buf *out, vp_error *err);
/*
 * Is a temporal unit a sync sample (binding 2.5): a shown key frame first, with its sequence header? The first
 * few hundred bytes are enough.
 */
bool vpi_av1_sync(const uint8_t *data, size_t size);

/* ---- what of a sample may be encrypted (ISO/IEC 23001-7 9.5.2; AV1 binding 4.3) ---- */

typedef struct vpi_range {
    size_t at, size; /* of the sample */
} vpi_range;
typedef enum vpi_slicer_codec { VPI_SLICER_H264, VPI_SLICER_HEVC, VPI_SLICER_AV1 } vpi_slicer_codec;
/* Parameter sets, and for AV1 what pictures before a frame left. One thread at a time. */
typedef struct vpi_slicer vpi_slicer;
/*
 * config: the payload of avcC, hvcC or av1C. UNSUPPORTED, CODEC_UNSUPPORTED for tools whose headers are not read:
 * extensions for 3D video, data partitions, lists of tiles.
 */
vp_status vpi_slicer_new(vpi_slicer_codec codec, const void *config, size_t size, vpi_slicer **out,
                         vp_error *err);
void vpi_slicer_free(vpi_slicer *s); /* accepts NULL */
/*
 * The ranges of a sample, appended to *ranges (a growing array, VPI_GROW) in rising order: of every VCL NAL unit what
 * lies behind the last byte that holds a bit of its slice header; of AV1 the bytes of each tile (decode_tile). None is
 * empty. Those of NAL units are apart; a tile may touch the one before, as the last of a tile group has no size field.
 * All else stays clear: lengths, NAL headers, slice headers, SEI, parameter sets, OBU headers, frame headers, tile
 * sizes; NAL units of other layers than the base one too. Samples come in decode order, the first is a sync sample;
 * another sync sample (AV1: shown key frame) starts afresh. After a failure *count is what it was. DATA, INPUT_CORRUPT
 * for what cannot be read.
 */
vp_status vpi_slicer_sample(vpi_slicer *s, const uint8_t *data, size_t size, vpi_range **ranges,
                            size_t *count, size_t *cap, vp_error *err);

/* ---- VP9 (VP9 bitstream 6.2; VP codec ISO media file format binding) ---- */

typedef struct vpi_vp9 { /* uncompressed header of the first frame of a packet */
    uint8_t profile;
    bool key, show, show_existing;
    /* key frames only */
    uint8_t bit_depth, colour_space;
    bool full_range, subsampling_x, subsampling_y;
    uint32_t width, height;
} vpi_vp9;
vp_status vpi_vp9_parse(const uint8_t *data, size_t size, vpi_vp9 *out, vp_error *err);
/* Does a packet (a frame or a superframe, annex B) give a picture? Alternate references of their own do not. */
bool vpi_vp9_shows(const uint8_t *data, size_t size);
/* The same of VP8, which has no superframes (RFC 6386 9.1). */
bool vpi_vp8_shows(const uint8_t *data, size_t size);
/* Smallest level (10..62) for a picture size and rate (annex A); 0/x: the rate is not known. */
unsigned vpi_vp9_level(uint64_t pixels, vpi_rational frame_rate);

/* ---- Opus and FLAC ---- */

typedef struct vpi_sound { /* what a decoder configuration tells of the sound */
    uint32_t sample_rate, channels;
    uint32_t frame_samples; /* of a frame; the usual ones where it may vary; 0: not told */
    uint32_t pre_skip;      /* Opus: samples at 48 kHz */
    uint32_t bits;          /* FLAC: of a sample */
    uint8_t family;         /* Opus: channel mapping */
    /* AC-3 and E-AC-3: of the first substream; bit/s and the number of substreams are of all */
    uint8_t acmod, lfe, substreams;
    uint32_t bit_rate;
} vpi_sound;
/* Payload of dOps (Encapsulation of Opus in ISOBMFF 4.3.2). */
vp_status vpi_dops_parse(const void *data, size_t size, vpi_sound *out, vp_error *err);
/* Payload of dfLa behind version and flags (Encapsulation of FLAC in ISOBMFF 3.3.2). */
vp_status vpi_dfla_parse(const void *data, size_t size, vpi_sound *out, vp_error *err);
/* Samples at 48 kHz of an Opus packet (RFC 6716 3.1), of a FLAC frame (RFC 9639 9.1); 0: damaged. */
uint32_t vpi_opus_samples(const uint8_t *data, size_t size);
uint32_t vpi_flac_samples(const uint8_t *data, size_t size);

/* ---- codec strings (RFC 6381, ISO/IEC 14496-15 annex E, AV1 ISOBMFF 5) ---- */

#define VPI_CODECS_SIZE 64
/* "avc1.64001f" from avcC. */
vp_status vpi_codecs_avc(const void *avcc, size_t size, char out[VPI_CODECS_SIZE], vp_error *err);
/* "hvc1.1.6.L93.B0" from hvcC: compatibility bits reversed, all six constraint bytes less trailing zero ones. */
vp_status vpi_codecs_hevc(const void *hvcc, size_t size, char out[VPI_CODECS_SIZE], vp_error *err);
/* "av01.0.04M.08" or the long form when colour is signalled, from av1C (with its configOBUs). */
vp_status vpi_codecs_av1(const void *av1c, size_t size, char out[VPI_CODECS_SIZE], vp_error *err);
/* "vp09.00.10.08" from vpcC (the box's payload after version and flags). */
vp_status vpi_codecs_vp9(const void *vpcc, size_t size, char out[VPI_CODECS_SIZE], vp_error *err);
/* "mp4a.40.2" from an ASC. */
vp_status vpi_codecs_aac(const void *asc, size_t size, char out[VPI_CODECS_SIZE], vp_error *err);

/* ---- AC-3 and E-AC-3 (ETSI TS 102 366): sync frame header ---- */
typedef struct vpi_ac3 {
    bool eac3;
    uint32_t sample_rate, frame_bytes, samples, bit_rate;
    uint8_t bsid, bsmod, acmod, lfe, fscod, bit_rate_code, channels;
    uint8_t stream_type, substream; /* E-AC-3: type 1 is dependent */
    uint16_t channel_map;           /* of a dependent substream; 0: not given */
    uint8_t joc;                    /* E-AC-3: complexity index of object audio; 0: none */
} vpi_ac3;
vp_status vpi_ac3_parse(const void *data, size_t size, vpi_ac3 *out, vp_error *err);
/* Samples of the whole frames of substream 0 in data: what a sample of 'ac-3' or 'ec-3' lasts. 0: damaged. */
uint32_t vpi_ac3_samples(const uint8_t *data, size_t size);
/* Payload of dac3 (3 bytes), or of dec3 (5) for one independent substream, from a header alone (F.4, F.6): its size. */
size_t vpi_ac3_config(const vpi_ac3 *ac3, uint8_t out[5]);
/* Payload of dac3, dec3 (annex F) from the frames of one sample. */
vp_status vpi_dac3_write(const uint8_t *data, size_t size, struct vpi_buf *out, vp_error *err);
vp_status vpi_dec3_write(const uint8_t *data, size_t size, struct vpi_buf *out, vp_error *err);
vp_status vpi_dac3_parse(const void *data, size_t size, vpi_sound *out, vp_error *err);
vp_status vpi_dec3_parse(const void *data, size_t size, vpi_sound *out, vp_error *err);

/* ---- SEI messages, static metadata of HDR ---- */

typedef struct vpi_sei {
    uint32_t type;
    const uint8_t *data;
    size_t size;
    bool whole; /* else it goes on behind what is given */
} vpi_sei;
/* Next message at *at of an unescaped SEI behind its NAL header (start at 0). False at the end. */
bool vpi_sei_next(const uint8_t *data, size_t size, size_t *at, vpi_sei *out);

/* Payload of the boxes mdcv and clli (ISO/IEC 14496-12 12.1.6, 12.1.7). */
typedef struct vpi_mastering {
    bool has_volume, has_light;
    uint8_t volume[24], light[4];
} vpi_mastering;
/* x and y of red, green, blue, white in 0.00002; cd/m2 in 0.0001. */
void vpi_mastering_set_volume(vpi_mastering *m, const uint32_t points[8], uint32_t brightest,
                              uint32_t darkest);
void vpi_mastering_set_light(vpi_mastering *m, uint32_t most, uint32_t average); /* cd/m2 */
/* From x, y of 0.16 bits and luminance of 24.8 and 18.14 bits (AV1 bitstream 5.8.4; SmDm of VP9). */
void vpi_mastering_fixed(const uint8_t bytes[24], vpi_mastering *out);
/* What *m lacks, from the other. */
void vpi_mastering_merge(vpi_mastering *m, const vpi_mastering *other);
/* Adds what the messages of a picture, or the OBUs of a sample or of av1C, say before its first slice or frame. */
void vpi_mastering_h26x(const uint8_t *data, size_t size, unsigned length_size, bool hevc,
                        vpi_mastering *out);
void vpi_mastering_hvcc(const uint8_t *hvcc, size_t size, vpi_mastering *out); /* of its arrays */
void vpi_mastering_av1(const uint8_t *obus, size_t size, vpi_mastering *out);

/*
 * Closed captions (CEA-608, CEA-708) in one coded picture, before its first slice; null pairs do not count.
 * length_size 0: Annex B.
 */
bool vpi_captions_h26x(const uint8_t *data, size_t size, unsigned length_size, bool hevc);
bool vpi_captions_mpeg2(const uint8_t *data, size_t size);

/* H.264 level limits (table A-1): smallest level_idc (10..62) for which this fits; 0 when none does. */
unsigned vpi_h264_level(uint32_t width, uint32_t height, vpi_rational frame_rate, uint32_t maxrate_kbps,
                        uint32_t bufsize_kbit, uint32_t ref_frames, bool high_profile);

#endif
