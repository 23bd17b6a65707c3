/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Init segments and the index of a single-file track (ISO/IEC 23000-19, ISO/IEC 14496-12; RFC 8216 3.3). */
#include <stdio.h>

#include "model/media.h"
#include "verify/verify_int.h"

enum {
    UNSPECIFIED = 2,  /* ISO/IEC 23091-2 */
    OBJECT_AAC = 0x40 /* ISO/IEC 14496-1 table 5: ISO/IEC 14496-3 */
};

bool vpi_codecs_hold(const char *list, const char *one)
{
    size_t n = strlen(one);

    while (*list) {
        size_t part = strcspn(list, ",");

        if (part == n && strncmp(list, one, n) == 0) return true;
        list += part + (list[part] == ',');
    }
    return false;
}

void vpi_verify_sps(vpi_verifier *v, const vpi_ptrack *t, const char *where, const vpi_nal *nal)
{
    vp_error cause = VP_ERROR_INIT;
    char text[VPI_CODECS_SIZE];
    vpi_rational rate = { t->frame_rate_num, t->frame_rate_den };
    vpi_h264_sps sps;
    unsigned level;

    if (vpi_h264_sps_parse(nal, &sps, &cause) < 0) {
        vpi_check(v, false, "P13", where, "%s", cause.message);
        return;
    }
    snprintf(text, sizeof(text), "avc1.%02x%02x%02x", sps.profile_idc, sps.constraints, sps.level_idc);
    vpi_check(v, vpi_codecs_hold(t->codecs, text), "P13", where, "the SPS says %s, the presentation %s", text,
              t->codecs);
    vpi_check(v, sps.width == t->width && sps.height == t->height, "P13", where,
              "the SPS says %ux%u, the presentation %ux%u", sps.width, sps.height, t->width, t->height);
    if (sps.has_vui && sps.primaries != UNSPECIFIED && t->primaries) {
        vpi_check(v, sps.primaries == t->primaries && sps.transfer == t->transfer && sps.matrix == t->matrix,
                  "COLOUR", where, "the SPS says %u/%u/%u, the presentation %u/%u/%u", sps.primaries,
                  sps.transfer, sps.matrix, t->primaries, t->transfer, t->matrix);
    }
    level = vpi_h264_level(sps.width, sps.height, rate, 0, 0, sps.max_ref_frames, sps.profile_idc >= 100);
    /* 9 is level 1b of the High profiles (A.3.4.2): the sizes and rates of level 1, twice its bits */
    vpi_check(v, level != 0 && level <= (sps.level_idc == 9 ? 10u : sps.level_idc), "P13", where,
              "level %u is too low for %ux%u at %u/%u frames/s", sps.level_idc, sps.width, sps.height,
              t->frame_rate_num, t->frame_rate_den);
}

/* ---- sample entry ---- */

static void fourcc_text(uint32_t type, char out[5])
{
    for (int i = 0; i < 4; i++) out[i] = (char)(type >> (24 - 8 * i));
    out[4] = 0;
}

static vp_status codec_string(const vpi_media_state *s, char out[VPI_CODECS_SIZE], vp_error *err)
{
    const vpi_init_info *i = &s->init;

    switch (s->format) {
    case VPI_FOURCC('a', 'v', 'c', '1'):
        return vpi_codecs_avc(i->codec_config, i->codec_config_size, out, err);
    case VPI_FOURCC('h', 'v', 'c', '1'):
        return vpi_codecs_hevc(i->codec_config, i->codec_config_size, out, err);
    case VPI_FOURCC('a', 'v', '0', '1'):
        return vpi_codecs_av1(i->codec_config, i->codec_config_size, out, err);
    case VPI_FOURCC('v', 'p', '0', '9'):
        return vpi_codecs_vp9(i->codec_config, i->codec_config_size, out, err);
    case VPI_FOURCC('m', 'p', '4', 'a'):
        return vpi_codecs_aac(i->codec_config, i->codec_config_size, out, err);
    default:
        fourcc_text(s->format, out);
        return VP_OK;
    }
}

/* Full or limited range: colr and the SPS say the same. */
static void check_full_range(vpi_verifier *v, const vpi_media_state *s, const vpi_nal *nal)
{
    vpi_h264_sps sps;

    if (!s->init.has_colr || vpi_h264_sps_parse(nal, &sps, NULL) < 0) return;
    vpi_check(v, sps.full_range == s->init.colr_full_range, "COLOUR", s->where,
              "colr and the SPS disagree about the range");
}

static void check_avcc(vpi_verifier *v, vpi_media_state *s)
{
    vp_error cause = VP_ERROR_INIT;
    vpi_avcc avcc;

    if (vpi_avcc_parse(s->init.codec_config, s->init.codec_config_size, &avcc, &cause) < 0) {
        vpi_check(v, false, "P13", s->where, "%s", cause.message);
        return;
    }
    s->nal_length = avcc.length_size;
    vpi_check(v, avcc.sps_count > 0 && avcc.pps_count > 0, "P04", s->where, "no parameter sets");
    for (size_t i = 0; i < avcc.sps_count; i++) {
        const vpi_nal *n = &avcc.sps[i];

        vpi_check(v,
                  n->size >= 4 && n->data[1] == avcc.profile_idc && n->data[2] == avcc.constraints &&
                      n->data[3] == avcc.level_idc,
                  "P13", s->where, "avcC and its SPS disagree");
        vpi_verify_sps(v, s->t, s->where, n);
        check_full_range(v, s, n);
    }
}

static void check_entry(vpi_verifier *v, vpi_media_state *s)
{
    const vpi_init_info *i = &s->init;
    char text[VPI_CODECS_SIZE] = "", name[5];
    vp_error cause = VP_ERROR_INIT;
    vpi_hevc_ptl ptl;
    uint8_t length;

    fourcc_text(s->format, name);
    if (codec_string(s, text, &cause) < 0) {
        vpi_check(v, false, "P13", s->where, "%s", cause.message);
        return;
    }
    vpi_check(v, strcmp(s->t->codecs, text) == 0, "P13", s->where,
              "sample entry %s is %s, the presentation says %s", name, text, s->t->codecs);
    if (s->format == VPI_FOURCC('a', 'v', 'c', '1')) check_avcc(v, s);
    if (s->format == VPI_FOURCC('h', 'v', 'c', '1') &&
        vpi_hvcc_parse(i->codec_config, i->codec_config_size, &ptl, &length, &cause) == VP_OK) {
        s->nal_length = length;
        s->hevc = true;
    }
}

/* ---- boxes ---- */

static vp_status top_boxes(vpi_verifier *v, const vpi_media_state *s, const uint8_t *data, size_t size,
                           vp_error *err)
{
    static const uint32_t order[] = { VPI_FOURCC('f', 't', 'y', 'p'), VPI_FOURCC('m', 'o', 'o', 'v') };
    vp_error cause = VP_ERROR_INIT;
    vpi_box box;
    size_t at = 0, n = 0;
    vp_status st;

    for (;;) {
        st = vpi_box_next(data, size, 0, &at, &box, &cause);
        if (st < 0) return vpi_caught(v, st, &cause, "STRUCTURE", s->where, err);
        if (st == VP_END) break;
        vpi_check(v, n < VPI_COUNT(order) && box.type == order[n], "CMAF", s->where,
                  "box %zu of the init segment is not what belongs there", n + 1);
        n++;
    }
    vpi_check(v, n == VPI_COUNT(order), "CMAF", s->where, "%zu boxes, not ftyp and moov", n);
    st = vpi_box_path(data, size, "moov/udta", &box, &cause);
    vpi_check(v, st == VP_END, "CMAF", s->where, "file-level udta");
    return VP_OK;
}

static void check_shape(vpi_verifier *v, const vpi_media_state *s)
{
    const vpi_init_info *i = &s->init;
    const char *where = s->where;

    vpi_check(v, i->brand_iso6, "CMAF", where, "no brand iso6 or later");
    vpi_check(v, i->brand_cmfc, "CMAF", where, "no brand cmfc");
    vpi_check(v, i->mvhd_duration == 0 && i->tkhd_duration == 0, "CMAF", where,
              "mvhd duration %llu, tkhd %llu", (unsigned long long)i->mvhd_duration,
              (unsigned long long)i->tkhd_duration);
    vpi_check(v, i->mdhd_duration == 0, "CMAF", where, "mdhd duration %llu",
              (unsigned long long)i->mdhd_duration);
    vpi_check(v, !i->samples_in_stbl, "CMAF", where, "sample tables are not empty");
    vpi_check(v, i->has_mvex && i->moov_before_mvex_end, "CMAF", where, "no mvex behind the last trak");
    vpi_check(v, i->has_trex && i->trex_description_index == 1, "CMAF", where,
              "no trex of the track and its first sample entry");
    vpi_check(v, i->data_reference == 1 && !i->elsewhere, "CMAF", where, "the data are in another file");
    vpi_check(v, i->enabled && !i->turned, "CMAF", where, "tkhd hides or turns the track");
    vpi_check(v, !i->has_edit_list, "P07", where, "edit list");
    vpi_check(v, i->timescale == s->t->timescale, "P23", where, "timescale %u, the presentation says %u",
              i->timescale, s->t->timescale);
}

static void check_picture(vpi_verifier *v, const vpi_media_state *s)
{
    const vpi_init_info *i = &s->init;
    const vpi_ptrack *t = s->t;

    vpi_check(
        v, i->handler == VPI_FOURCC('v', 'i', 'd', 'e') && i->media_header == VPI_FOURCC('v', 'm', 'h', 'd'),
        "CMAF", s->where, "handler and media header are not those of pictures");
    vpi_check(v, i->width == t->width && i->height == t->height, "P13", s->where,
              "sample entry says %ux%u, the presentation %ux%u", i->width, i->height, t->width, t->height);
    vpi_check(v, i->tkhd_height == t->height << 16, "CMAF", s->where, "tkhd height %u/65536", i->tkhd_height);
    vpi_check(v,
              i->tkhd_width >> 16 <= vpi_ptrack_shown_width(t) &&
                  (i->tkhd_width >> 16) + 1 >= vpi_ptrack_shown_width(t),
              "CMAF", s->where, "tkhd width %u/65536", i->tkhd_width);
    vpi_check(v, i->has_pasp && i->pasp_h > 0 && i->pasp_v > 0, "CMAF", s->where, "no pasp");
    vpi_check(v,
              (uint64_t)i->pasp_h * (t->sar_num ? t->sar_den : 1) ==
                  (uint64_t)i->pasp_v * (t->sar_num ? t->sar_num : 1),
              "P13", s->where, "pasp %u:%u, the presentation says %u:%u", i->pasp_h, i->pasp_v,
              t->sar_num ? t->sar_num : 1, t->sar_num ? t->sar_den : 1);
    vpi_check(v, i->has_colr || !t->primaries, "CMAF", s->where, "no colr");
    if (i->has_colr && t->primaries) {
        vpi_check(v,
                  i->colr_primaries == t->primaries && i->colr_transfer == t->transfer &&
                      i->colr_matrix == t->matrix,
                  "COLOUR", s->where, "colr says %u/%u/%u, the presentation %u/%u/%u", i->colr_primaries,
                  i->colr_transfer, i->colr_matrix, t->primaries, t->transfer, t->matrix);
    }
}

static void check_sound(vpi_verifier *v, const vpi_media_state *s)
{
    const vpi_init_info *i = &s->init;
    const vpi_ptrack *t = s->t;
    vp_error cause = VP_ERROR_INIT;
    char language[4];
    vpi_asc asc;

    vpi_language_iso639(t->language ? t->language : "und", language);
    vpi_check(v, strcmp(i->language, language) == 0, "P16", s->where, "mdhd says %s, the track is %s",
              i->language, language);
    vpi_check(
        v, i->handler == VPI_FOURCC('s', 'o', 'u', 'n') && i->media_header == VPI_FOURCC('s', 'm', 'h', 'd'),
        "CMAF", s->where, "handler and media header are not those of sound");
    if (s->format != VPI_FOURCC('m', 'p', '4', 'a')) return;
    vpi_check(v, i->object_type == OBJECT_AAC, "P13", s->where, "esds is of object type 0x%02x, not of AAC",
              i->object_type);
    if (vpi_asc_parse(i->codec_config, i->codec_config_size, &asc, &cause) < 0) {
        vpi_check(v, false, "P13", s->where, "%s", cause.message);
        return;
    }
    vpi_check(v, t->sample_rate == asc.sample_rate || t->sample_rate == asc.ext_sample_rate, "P13", s->where,
              "ASC says %u Hz, the presentation %u", asc.sample_rate, t->sample_rate);
    /* Parametric stereo: one coded channel, two heard. */
    vpi_check(v,
              i->channels == t->channels && (i->sample_rate == t->sample_rate || t->sample_rate > UINT16_MAX),
              "P13", s->where, "the sample entry says %u channels at %u Hz", i->channels, i->sample_rate);
    vpi_check(v, asc.channels == t->channels || (asc.ps && t->channels == 2), "P13", s->where,
              "ASC says %u channels, the presentation %u", asc.channels, t->channels);
}

vp_status vpi_verify_init(vpi_verifier *v, vpi_media_state *s, const uint8_t *data, size_t size,
                          vp_error *err)
{
    vp_error cause = VP_ERROR_INIT;
    vp_status st;

    vpi_buf_clear(&s->init_bytes);
    vpi_buf_add(&s->init_bytes, data, size);
    if (vpi_buf_failed(&s->init_bytes)) return vpi_fail_nomem(err);
    VPI_TRY(top_boxes(v, s, data, size, err));
    st = vpi_init_parse(s->init_bytes.data, s->init_bytes.size, &s->init, &cause);
    if (st < 0) return vpi_caught(v, st, &cause, "STRUCTURE", s->where, err);
    st = vpi_verify_entries(v, s, err);
    if (st != VP_OK) return st < 0 ? st : VP_OK;
    s->has_init = true;
    check_shape(v, s);
    check_entry(v, s);
    if (s->t->kind == VP_TRACK_VIDEO) check_picture(v, s);
    if (s->t->kind == VP_TRACK_AUDIO) check_sound(v, s);
    return VP_OK;
}

/* ---- index ---- */

static void check_references(vpi_verifier *v, const vpi_ptrack *t, const vpi_sidx *x)
{
    const char *where = t->index.key;
    size_t n = 0;

    for (size_t i = 0; i < t->segment_count; i++) {
        for (size_t k = 0; k < t->segments[i].fragment_count; k++, n++) {
            const vpi_fragment *f = &t->segments[i].fragments[k];
            const vpi_sidx_ref *r = n < x->count ? &x->refs[n] : NULL;

            if (!r) continue;
            vpi_check(v, !r->type_sidx && r->starts_with_sap && (r->sap_type == 1 || r->sap_type == 2),
                      "DASH", where, "reference %zu is of a wrong type or SAP", n + 1);
            vpi_check(v, r->size == f->bytes, "P19", where, "reference %zu has %u bytes, its fragment %llu",
                      n + 1, r->size, (unsigned long long)f->bytes);
            vpi_check(v, r->duration == f->ticks, "P23", where, "reference %zu lasts %u, its fragment %llu",
                      n + 1, r->duration, (unsigned long long)f->ticks);
        }
    }
    vpi_check(v, n == x->count, "P19", where, "%zu references, %zu fragments", x->count, n);
}

vp_status vpi_verify_index(vpi_verifier *v, const vpi_ptrack *t, const uint8_t *data, size_t size,
                           vp_error *err)
{
    const char *where = t->index.key;
    vp_error cause = VP_ERROR_INIT;
    vpi_sidx x = { 0 };
    vpi_box box;
    vp_status st;

    st = vpi_box_find(data, size, VPI_FOURCC('s', 'i', 'd', 'x'), &box, &cause);
    if (st == VP_END) {
        vpi_check(v, false, "P19", where, "no sidx where the index should be");
        return VP_OK;
    }
    if (st == VP_OK) st = vpi_sidx_parse(&box, &x, &cause);
    if (st < 0) return vpi_caught(v, st, &cause, "P19", where, err);
    vpi_check(v, box.offset == 0 && box.size == size, "P19", where, "the index is not exactly one sidx");
    vpi_check(v, x.version == 1, "P24", where, "sidx version %u", x.version);
    vpi_check(v, x.timescale == t->timescale && x.earliest == t->segments[0].start, "P23", where,
              "sidx begins at %llu/%u", (unsigned long long)x.earliest, x.timescale);
    vpi_check(v, x.first_offset == 0, "P19", where, "first_offset %llu", (unsigned long long)x.first_offset);
    check_references(v, t, &x);
    vpi_sidx_dispose(&x);
    return VP_OK;
}
