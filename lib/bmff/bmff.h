/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VPI_BMFF_H
#define VPI_BMFF_H

/*
 * ISO base media file format (ISO/IEC 14496-12) boxes: a bounded reader over memory and a writer over vpi_buf.
 * The reader never reads outside the bytes given and allocates nothing unless said.
 */

#include "base/buf.h"
#include "base/common.h"
#include "base/error.h"

#define VPI_FOURCC(a, b, c, d)                                                                               \
    (((uint32_t)(uint8_t)(a) << 24) | ((uint32_t)(uint8_t)(b) << 16) | ((uint32_t)(uint8_t)(c) << 8) |       \
     (uint32_t)(uint8_t)(d))

/* ---- writer: boxes nest; begin returns the position to give to end, which patches the size ---- */

size_t vpi_box_begin(vpi_buf *b, uint32_t type);
size_t vpi_fullbox_begin(vpi_buf *b, uint32_t type, unsigned version, uint32_t flags);
void vpi_box_end(vpi_buf *b, size_t at); /* sets failed when the box is over 2^32-1 bytes */

/* ---- reader ---- */

typedef struct vpi_box {
    uint32_t type;
    uint8_t usertype[16]; /* for type 'uuid' */
    uint64_t offset;      /* of the box, from the start of the bytes first given */
    uint64_t size;        /* whole box, header included */
    const uint8_t *data;  /* payload after the (large size, uuid) header */
    size_t data_size;
} vpi_box;

/*
 * Next child at *at inside data (base: offset of data[0] in the file). VP_OK, VP_END at the end, DATA
 * INPUT_CORRUPT for a size below its header or past the end. Size 0 (to the end) is resolved. Fewer than 8
 * bytes at the end that are all zero are VP_END: QuickTime's terminator.
 */
vp_status vpi_box_next(const uint8_t *data, size_t size, uint64_t base, size_t *at, vpi_box *out,
                       vp_error *err);
/* First child of that type; VP_END when there is none; DATA beyond 100000 children. */
vp_status vpi_box_find(const uint8_t *data, size_t size, uint32_t type, vpi_box *out, vp_error *err);
/* Path of types, "moov/trak/mdia"; first of each. */
vp_status vpi_box_path(const uint8_t *data, size_t size, const char *path, vpi_box *out, vp_error *err);
/*
 * Header only, for files whose payload is not in memory: needs 8 to 32 bytes. VP_AGAIN: more bytes are needed.
 * *box_size 0: the box reaches to the end of the file. VP_E_DATA: the size is below the header.
 */
vp_status vpi_box_header(const uint8_t *data, size_t size, uint32_t *type, uint64_t *box_size,
                         size_t *header);

/* Version and flags of a full box; moves payload behind them. False when too short. */
bool vpi_fullbox(const vpi_box *box, uint8_t *version, uint32_t *flags, const uint8_t **data, size_t *size);

/* ---- parsed boxes that verify, packager tests and probe read ---- */

typedef struct vpi_tfhd {
    uint32_t flags, track_id;
    uint64_t base_data_offset; /* 0 unless present */
    uint32_t description_index, default_duration, default_size, default_flags;
} vpi_tfhd;
typedef struct vpi_trun_sample {
    uint32_t duration, size, flags;
    int32_t cts; /* version 0 offsets over INT32_MAX are refused */
} vpi_trun_sample;
/* samples: owned by the caller (vpi_free), NULL when count is 0. limit: most samples accepted. */
typedef struct vpi_fragment_info {
    uint32_t sequence, track_id, default_duration, default_size, default_flags;
    uint32_t description_index; /* 0: that of trex */
    bool empty;                 /* duration-is-empty */
    uint8_t trun_version;
    bool default_base_is_moof, has_tfdt;
    uint8_t tfdt_version;
    uint64_t tfdt;
    int32_t data_offset; /* from the start of moof */
    vpi_trun_sample *samples;
    size_t count;
} vpi_fragment_info;
/*
 * One moof with one traf and one trun (CMAF); others are DATA, more samples than limit LIMIT with INPUT_LIMIT.
 * Defaults of trex are the caller's: zero here. Other boxes (senc, saiz, sbgp ...) are passed over.
 */
vp_status vpi_moof_parse(const vpi_box *moof, size_t limit, vpi_fragment_info *out, vp_error *err);
void vpi_fragment_info_dispose(vpi_fragment_info *info);

typedef struct vpi_init_info { /* one track's init segment */
    uint32_t major_brand;
    bool brand_iso6, brand_cmfc; /* iso6 or later compatible brand present */
    uint32_t track_id, timescale, movie_timescale;
    uint64_t mvhd_duration, tkhd_duration, mdhd_duration; /* UINT64_MAX: all ones, unknown */
    uint32_t handler;                                     /* 'vide', 'soun', 'text' ... */
    char language[4];
    uint32_t sample_entry;            /* 'avc1', 'mp4a', 'encv' ... */
    uint32_t descriptions;            /* sample entries; sample_entry is the first one */
    uint16_t data_reference;          /* of the sample entry */
    bool elsewhere;                   /* the first data reference is not this file */
    uint32_t media_header;            /* 'vmhd', 'smhd' ...; 0: none */
    uint8_t object_type;              /* of esds (ISO/IEC 14496-1 table 5); 0: there is none */
    uint16_t width, height;           /* of the sample entry */
    uint32_t tkhd_width, tkhd_height; /* 16.16 */
    bool turned;                      /* tkhd's matrix turns or mirrors the picture */
    bool enabled;                     /* tkhd's flag: of alternate tracks the one to play */
    uint16_t channels;
    uint32_t sample_rate;
    /*
     * Payload of avcC, hvcC, av1C, vpcC, dfLa, dOps, dac3, dec3 (behind version and flags where the box has
     * them: vpcC, dfLa); the ASC for esds. A view into the data given. NULL for text and what has none.
     */
    const uint8_t *codec_config;
    size_t codec_config_size;
    /* Payload of mdcv, of clli or CoLL, of SmDm: 24, 4, 24 bytes; views into the data, NULL where there is none. */
    const uint8_t *mdcv, *clli, *smdm;
    bool dolby_vision; /* a configuration record of it is there */
    bool has_edit_list, has_mvex, has_colr, has_pasp, samples_in_stbl;
    uint32_t pasp_h, pasp_v;
    uint16_t colr_primaries, colr_transfer, colr_matrix;
    bool colr_full_range;
    uint32_t trex_description_index, trex_duration, trex_size, trex_flags;
    bool has_trex;             /* of this track */
    bool moov_before_mvex_end; /* mvex comes after the last trak */
} vpi_init_info;
/* Reads ftyp and moov of exactly one track; INPUT_NO_MOOV without moov. What follows moov is not looked at. */
vp_status vpi_init_parse(const uint8_t *data, size_t size, vpi_init_info *out, vp_error *err);

typedef struct vpi_sidx_ref {
    uint32_t size, duration;
    bool type_sidx, starts_with_sap;
    uint8_t sap_type;
} vpi_sidx_ref;
typedef struct vpi_sidx {
    uint8_t version;
    uint32_t reference_id, timescale;
    uint64_t earliest, first_offset;
    vpi_sidx_ref *refs; /* vpi_free */
    size_t count;
} vpi_sidx;
vp_status vpi_sidx_parse(const vpi_box *box, vpi_sidx *out, vp_error *err);
void vpi_sidx_dispose(vpi_sidx *sidx);

/* ---- common encryption (ISO/IEC 23001-7); nothing of it allocates, all are views into the data given ---- */

typedef struct vpi_tenc { /* also a description of the sample group 'seig', whose version counts as 1 */
    uint8_t version, crypt_blocks, skip_blocks;
    uint8_t is_protected, iv_size, constant_iv_size; /* sizes: 0, 8 or 16 */
    uint8_t kid[16], constant_iv[16];
} vpi_tenc;
vp_status vpi_tenc_parse(const vpi_box *box, vpi_tenc *out, vp_error *err);

/* Sample entries of an init segment: the first two. */
typedef struct vpi_entry_info {
    uint32_t type;
    const uint8_t *data; /* behind size and type */
    size_t size;
    bool has_sinf;
    size_t sinf_at, sinf_size;                 /* in data */
    uint32_t original, scheme, scheme_version; /* of frma and schm */
    vpi_tenc tenc;
} vpi_entry_info;
typedef struct vpi_entries {
    uint32_t count; /* that stsd says; data is NULL for one that is not there, more than two are not told */
    vpi_entry_info entries[2];
    bool has_pssh; /* in moov */
} vpi_entries;
vp_status vpi_entries_parse(const uint8_t *data, size_t size, vpi_entries *out, vp_error *err);

/* Of the traf of a moof. */
typedef struct vpi_moof_protection {
    bool has_saiz, has_saio, has_senc, has_sbgp, has_sgpd; /* the last two of 'seig' */
    uint8_t saiz_default;                                  /* 0: saiz_count sizes follow each other in saiz */
    uint32_t saiz_count;
    const uint8_t *saiz;
    uint32_t saio_count;
    uint64_t saio; /* the first offset */
    uint32_t senc_count;
    bool senc_subsamples;
    const uint8_t *senc; /* behind the count */
    size_t senc_size;
    uint64_t senc_at;     /* of senc, from the begin of moof */
    uint32_t group_index; /* of the first entry of sbgp */
    bool groups_differ;
    uint64_t group_samples;
    uint32_t group_descriptions;
    vpi_tenc seig; /* the first description */
} vpi_moof_protection;
vp_status vpi_moof_protection_parse(const vpi_box *moof, vpi_moof_protection *out, vp_error *err);
typedef struct vpi_senc_sample {
    const uint8_t *iv;
    const uint8_t *subsamples;
    size_t count; /* subsamples */
    size_t size;  /* of all this */
} vpi_senc_sample;
/* Next sample of senc, *at from 0; false when it is cut off. */
bool vpi_senc_next(const vpi_moof_protection *p, unsigned iv_size, size_t *at, vpi_senc_sample *out);
void vpi_senc_subsample(const vpi_senc_sample *s, size_t n, uint32_t *clear, uint32_t *protected_bytes);

/* ---- rewriting: protection is added to what exists (rewrite.c) ---- */

/* The box that begins here grows: its size anew, where it tells one. False: its field is too small. */
bool vpi_box_grow(uint8_t *box, uint64_t by);

/* Where things are in a moof of one traf with one run; positions count from its first byte. */
typedef struct vpi_moof_places {
    size_t traf, traf_end;    /* its first byte; behind its last box */
    size_t tfhd, description; /* description: where the index of the sample entry is, or would be */
    uint32_t tfhd_flags, trun_flags;
    size_t data_offset; /* the field of trun, where trun_flags has it (1) */
    bool is_protected;  /* there are senc, saiz, saio, PIFF's box, or groups of 'seig' */
} vpi_moof_places;
/* For what vpi_moof_parse took. DATA with a base-data-offset, which CMAF has not. */
vp_status vpi_moof_places_find(const vpi_box *moof, vpi_moof_places *out, vp_error *err);
#define VPI_TFHD_DESCRIPTION 0x2u
#define VPI_TFHD_SIZE 0x10u
#define VPI_TRUN_OFFSET 0x1u
#define VPI_TRUN_SIZE 0x200u

/* sinf with frma, schm, schi and tenc. */
void vpi_sinf_write(vpi_buf *b, uint32_t original, uint32_t scheme, const vpi_tenc *tenc);
/* sbgp and sgpd: all samples of a fragment are of this key. */
void vpi_seig_write(vpi_buf *b, const vpi_tenc *tenc, uint32_t samples);
/* saiz, saio, senc; the moof begins at `moof` of b. sizes: one byte for each sample, aux: what senc holds of them. */
void vpi_senc_write(vpi_buf *b, size_t moof, const vpi_buf *sizes, const vpi_buf *aux, bool subsamples);

#endif
