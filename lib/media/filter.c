/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "media/filter_int.h"

#include "base/buf.h"
#include "media/libav_int.h"
#include "media/turn_int.h"

/*
 * accurate_rnd and bitexact: the same bytes on every CPU. full_chroma: RGB gets its chroma from all pixels.
 */
#define SCALE_FLAGS "bicubic+accurate_rnd+bitexact+full_chroma_int+full_chroma_inp"
#define ROUGH_FLAGS "fast_bilinear+bitexact"
/* Nominal peak that HDR is mapped down from, in units of the 100 cd/m2 that become white. */
#define HDR_NPL 100
#define HDR_PEAK 10
/* bwdif refuses less. */
#define DEINTERLACE_MIN_SIDE 3
/* Pictures whose times are remembered: a deinterlacer holds back one. */
#define TIMES 4u

/* What a graph was built for. */
typedef struct vpi_filter_input {
    int width, height, format, matrix, range, transfer, primaries, siting;
    int sar_num, sar_den;
    vpi_turn turn;
} vpi_filter_input;

struct vpi_filter {
    vpi_filter_options o;
    vpi_filter_input input;
    bool known, pass; /* input is valid; it needs no graph */
    AVFilterGraph *graph;
    AVFilterContext *source, *sink;
    bool closed;      /* the graph gets no more */
    bool ended;       /* nor does the filter */
    AVFrame *waiting; /* sent, not in the graph yet */
    uint64_t sent;
    struct {
        int64_t pts, duration;
    } times[TIMES]; /* of the last pictures sent, by their numbers */
};

/* Where a picture goes in the box, before it is turned. */
typedef struct vpi_filter_place {
    uint32_t box_width, box_height, width, height, x, y;
} vpi_filter_place;

vp_status vpi_filter_new(const vpi_filter_options *options, vpi_filter **out, vp_error *err)
{
    vpi_filter *f = vpi_calloc(1, sizeof(*f));

    *out = NULL;
    if (!f) return vpi_fail_nomem(err);
    f->o = *options;
    *out = f;
    return VP_OK;
}

vpi_filter *vpi_filter_free(vpi_filter *f)
{
    if (!f) return NULL;
    av_frame_free(&f->waiting);
    avfilter_graph_free(&f->graph);
    vpi_free(f);
    return NULL;
}

bool vpi_filter_is_hdr(int transfer)
{
    return transfer == AVCOL_TRC_SMPTE2084 || transfer == AVCOL_TRC_ARIB_STD_B67;
}

/* ---- what the picture is ---- */

/*
 * Formats that mean full range by themselves become the plain ones: of a stream that changes between the ranges some
 * decoders change the range of pictures and not their format.
 */
static void settle_format(AVFrame *av)
{
    static const enum AVPixelFormat twins[][2] = {
        { AV_PIX_FMT_YUVJ420P, AV_PIX_FMT_YUV420P }, { AV_PIX_FMT_YUVJ422P, AV_PIX_FMT_YUV422P },
        { AV_PIX_FMT_YUVJ444P, AV_PIX_FMT_YUV444P }, { AV_PIX_FMT_YUVJ440P, AV_PIX_FMT_YUV440P },
        { AV_PIX_FMT_YUVJ411P, AV_PIX_FMT_YUV411P },
    };

    for (size_t i = 0; i < VPI_COUNT(twins); i++) {
        if (av->format != (int)twins[i][0]) continue;
        av->format = twins[i][1];
        if (av->color_range == AVCOL_RANGE_UNSPECIFIED) av->color_range = AVCOL_RANGE_JPEG;
    }
}

static bool is_grey(const AVFrame *av)
{
    const AVPixFmtDescriptor *d = av_pix_fmt_desc_get((enum AVPixelFormat)av->format);

    return d && d->nb_components < 3 && !(d->flags & (AV_PIX_FMT_FLAG_PAL | AV_PIX_FMT_FLAG_RGB));
}

static bool full_range(const vpi_filter *f, const AVFrame *av)
{
    if (av->color_range != AVCOL_RANGE_UNSPECIFIED) return av->color_range == AVCOL_RANGE_JPEG;
    return f->o.full_range || (f->o.full_grey && is_grey(av));
}

/* Decoders leave 2 (unspecified), some 0 or 3 (reserved). */
static int tag_or(int tag, int otherwise)
{
    return tag == AVCOL_PRI_UNSPECIFIED || tag == AVCOL_PRI_RESERVED ? otherwise : tag;
}

static vpi_filter_input describe(const vpi_filter *f, const AVFrame *av)
{
    vpi_filter_input in = { 0 };
    int transfer = tag_or(av->color_trc, f->o.tags.transfer);

    in.width = av->width;
    in.height = av->height;
    in.format = av->format;
    in.range = full_range(f, av);
    in.transfer = vpi_filter_is_hdr(transfer) ? transfer : 0;
    /* What is untagged throughout is what the output is tagged as; HDR what ITU-R BT.2100 has. */
    in.matrix = tag_or(tag_or(av->colorspace, f->o.tags.matrix),
                       in.transfer ? AVCOL_SPC_BT2020_NCL : f->o.colour.matrix);
    if (in.transfer)
        in.primaries = tag_or(tag_or(av->color_primaries, f->o.tags.primaries), AVCOL_PRI_BT2020);
    in.siting = av->chroma_location;
    in.sar_num = av->sample_aspect_ratio.num;
    in.sar_den = av->sample_aspect_ratio.den;
    in.turn = f->o.by_picture ? vpi_turn_of_frame(av) : (vpi_turn){ f->o.rotation, f->o.flipped };
    return in;
}

static bool same_input(const vpi_filter_input *a, const vpi_filter_input *b)
{
    return a->width == b->width && a->height == b->height && a->format == b->format &&
           a->matrix == b->matrix && a->range == b->range && a->transfer == b->transfer &&
           a->primaries == b->primaries && a->siting == b->siting && a->sar_num == b->sar_num &&
           a->sar_den == b->sar_den && a->turn.rotation == b->turn.rotation &&
           a->turn.flipped == b->turn.flipped;
}

/* Numbers of ISO/IEC 23091-2 with equal coefficients: 5 and 6; 9 and 10 for what libswscale can do. */
static int matrix_family(int matrix)
{
    switch (matrix) {
    case AVCOL_SPC_SMPTE170M:
        return AVCOL_SPC_BT470BG;
    case AVCOL_SPC_BT2020_CL:
        return AVCOL_SPC_BT2020_NCL;
    default:
        return matrix;
    }
}

static const char *matrix_name(int matrix)
{
    switch (matrix_family(matrix)) {
    case AVCOL_SPC_FCC:
        return "fcc";
    case AVCOL_SPC_BT470BG:
        return "bt601";
    case AVCOL_SPC_SMPTE240M:
        return "smpte240m";
    case AVCOL_SPC_BT2020_NCL:
        return "bt2020";
    default:
        return "bt709";
    }
}

/* Of HDR: BT.2020, or what a display of the studio had. */
static const char *primaries_name(int primaries)
{
    switch (primaries) {
    case AVCOL_PRI_BT709:
        return "bt709";
    case AVCOL_PRI_SMPTE431:
        return "smpte431";
    case AVCOL_PRI_SMPTE432:
        return "smpte432";
    default:
        return "bt2020";
    }
}

static uint32_t nearest_even(uint64_t num, uint64_t den)
{
    uint64_t n = (num + den) / (2 * den) * 2;

    return (uint32_t)VPI_CLAMP(n, (uint64_t)2, (uint64_t)INT16_MAX - 1);
}

/* Fits the picture into the box; a picture within two pixels of filling it fills it. */
static vpi_filter_place place(const vpi_filter *f, const vpi_filter_input *in)
{
    bool turned = in->turn.rotation % 180 != 0;
    vpi_filter_place p = { 0 };
    uint64_t w = (uint64_t)in->width, h = (uint64_t)in->height;

    p.box_width = turned ? f->o.height : f->o.width;
    p.box_height = turned ? f->o.width : f->o.height;
    p.width = p.box_width;
    p.height = p.box_height;
    if (w == f->o.nominal_width && h == f->o.nominal_height && turned == (f->o.rotation % 180 != 0)) return p;
    if (in->sar_num > 0 && in->sar_den > 0 && in->sar_num < INT16_MAX && in->sar_den < INT16_MAX) {
        w *= (uint64_t)in->sar_num;
        h *= (uint64_t)in->sar_den;
    }
    if (w * p.box_height > h * p.box_width) {
        p.height = nearest_even(h * p.box_width, w);
        if (p.height + 2 >= p.box_height) p.height = p.box_height;
    } else {
        p.width = nearest_even(w * p.box_height, h);
        if (p.width + 2 >= p.box_width) p.width = p.box_width;
    }
    p.x = (p.box_width - p.width) / 4 * 2;
    p.y = (p.box_height - p.height) / 4 * 2;
    return p;
}

/* ---- the chain ---- */

/* Fields are lines of their own times: before anything mixes lines. */
static void add_deinterlacer(vpi_buf *b, const vpi_filter *f)
{
    bool flagged = f->o.deinterlace == VPI_DEINTERLACE_FLAGGED;

    vpi_buf_printf(b, "bwdif=mode=%s:parity=%s:deint=%s,",
                   f->o.deinterlace == VPI_DEINTERLACE_FIELDS ? "send_field" : "send_frame",
                   flagged             ? "auto"
                   : f->o.bottom_first ? "bff"
                                       : "tff",
                   flagged ? "interlaced" : "all");
}

static bool deinterlaces(const vpi_filter *f, const vpi_filter_input *in)
{
    return f->o.deinterlace != VPI_DEINTERLACE_NONE && in->width >= DEINTERLACE_MIN_SIDE &&
           in->height >= DEINTERLACE_MIN_SIDE;
}

/* Composed over black, which is what multiplying by alpha gives. */
static void add_alpha(vpi_buf *b, const AVPixFmtDescriptor *desc)
{
    bool rgb = (desc->flags & (AV_PIX_FMT_FLAG_RGB | AV_PIX_FMT_FLAG_PAL)) != 0 || desc->nb_components < 3;
    bool deep = desc->comp[0].depth > 8;

    vpi_buf_str(b, "scale=flags=" SCALE_FLAGS ",format=pix_fmts=");
    vpi_buf_str(b, rgb ? (deep ? "gbrap16le" : "gbrap") : (deep ? "yuva444p16le" : "yuva444p"));
    vpi_buf_str(b, ",premultiply=inplace=1,");
}

/* Position of chroma in 1/256 luma steps, for subsampled formats. */
static void chroma_position(int siting, int *x, int *y)
{
    *x = siting == AVCHROMA_LOC_CENTER || siting == AVCHROMA_LOC_TOP || siting == AVCHROMA_LOC_BOTTOM ? 128
                                                                                                      : 0;
    *y = siting == AVCHROMA_LOC_TOPLEFT || siting == AVCHROMA_LOC_TOP         ? 0
         : siting == AVCHROMA_LOC_BOTTOMLEFT || siting == AVCHROMA_LOC_BOTTOM ? 256
                                                                              : 128;
}

static void add_scale(vpi_buf *b, const vpi_filter *f, const vpi_filter_input *in, const vpi_filter_place *p,
                      const AVPixFmtDescriptor *desc)
{
    int x, y;

    chroma_position(in->siting, &x, &y);
    vpi_buf_printf(b, "scale=w=%u:h=%u:flags=%s", p->width, p->height,
                   f->o.rough ? ROUGH_FLAGS : SCALE_FLAGS);
    vpi_buf_printf(b, ":in_range=%s:out_range=tv", in->range ? "pc" : "tv");
    vpi_buf_printf(b, ":in_color_matrix=%s:out_color_matrix=%s", matrix_name(in->matrix),
                   matrix_name(f->o.colour.matrix));
    if (desc->log2_chroma_w) vpi_buf_printf(b, ":in_h_chr_pos=%d", x);
    if (desc->log2_chroma_h) vpi_buf_printf(b, ":in_v_chr_pos=%d", y);
    vpi_buf_str(b, ":out_h_chr_pos=0:out_v_chr_pos=128,format=pix_fmts=yuv420p");
}

/* To linear light, BT.709 primaries, tone curve, back to a BT.709 signal. */
static vp_status add_tone_map(vpi_buf *b, const vpi_filter_input *in, const vpi_filter_place *p,
                              const AVPixFmtDescriptor *desc, vp_error *err)
{
    bool hlg = in->transfer == AVCOL_TRC_ARIB_STD_B67;
    const char *primaries = primaries_name(in->primaries);

    if (!avfilter_get_by_name("zscale") || !avfilter_get_by_name("tonemap")) {
        return vpi_fail(
            err, VP_E_UNSUPPORTED, "CODEC_UNSUPPORTED",
            "HDR pictures need libavfilter with zscale and tonemap, which this build does not have");
    }
    /* zscale wants whole chroma samples. */
    if ((in->width | in->height) & 1) {
        vpi_buf_printf(b, "scale=flags=" SCALE_FLAGS ",format=pix_fmts=%s,",
                       desc->flags & AV_PIX_FMT_FLAG_RGB ? "gbrp16le" : "yuv444p16le");
    }
    /* Primaries are named on both sides: the next zscale goes by the picture's tags, which may be missing. */
    vpi_buf_printf(b, "zscale=w=%u:h=%u:filter=bicubic:tin=%s:pin=%s:min=%s:rin=%s:t=linear:p=%s:npl=%d,",
                   p->width, p->height, hlg ? "arib-std-b67" : "smpte2084", primaries,
                   desc->flags & AV_PIX_FMT_FLAG_RGB                   ? "gbr"
                   : matrix_family(in->matrix) == AVCOL_SPC_BT2020_NCL ? "bt2020nc"
                   : in->matrix == AVCOL_SPC_ICTCP                     ? "ictcp"
                                                                       : "bt709",
                   in->range ? "full" : "limited", primaries, HDR_NPL);
    /* What is brighter than the peak comes out above one: 16-bit RGB cuts it, so that white stays at 235. */
    vpi_buf_printf(b,
                   "format=pix_fmts=gbrpf32le,zscale=p=bt709,tonemap=tonemap=hable:desat=0:peak=%d,"
                   "zscale=t=bt709:p=bt709:r=full,format=pix_fmts=gbrp16le,"
                   "scale=flags=" SCALE_FLAGS ":in_range=pc:out_range=tv:out_color_matrix=bt709"
                   ":out_h_chr_pos=0:out_v_chr_pos=128,format=pix_fmts=yuv420p",
                   HDR_PEAK);
    return VP_OK;
}

static vp_status describe_chain(const vpi_filter *f, const vpi_filter_input *in, vpi_buf *b, vp_error *err)
{
    const AVPixFmtDescriptor *desc = av_pix_fmt_desc_get((enum AVPixelFormat)in->format);
    vpi_filter_place p = place(f, in);

    if (!desc || desc->flags & (AV_PIX_FMT_FLAG_HWACCEL | AV_PIX_FMT_FLAG_BITSTREAM)) {
        return vpi_fail(err, VP_E_UNSUPPORTED, "CODEC_UNSUPPORTED", "pictures of the format %s",
                        desc ? desc->name : "unknown");
    }
    if (deinterlaces(f, in)) {
        if (!avfilter_get_by_name("bwdif")) {
            return vpi_fail(
                err, VP_E_UNSUPPORTED, "CODEC_UNSUPPORTED",
                "interlaced pictures need libavfilter with bwdif, which this build does not have");
        }
        add_deinterlacer(b, f);
    }
    if (desc->flags & AV_PIX_FMT_FLAG_ALPHA) add_alpha(b, desc);
    if (in->transfer) {
        VPI_TRY(add_tone_map(b, in, &p, desc, err));
    } else {
        add_scale(b, f, in, &p, desc);
    }
    if (p.width != p.box_width || p.height != p.box_height) {
        vpi_buf_printf(b, ",pad=w=%u:h=%u:x=%u:y=%u:color=black", p.box_width, p.box_height, p.x, p.y);
    }
    /* Turned last: the small picture. */
    if (in->turn.flipped) vpi_buf_str(b, ",hflip");
    if (in->turn.rotation == 90) vpi_buf_str(b, ",transpose=dir=clock");
    if (in->turn.rotation == 180) vpi_buf_str(b, ",hflip,vflip");
    if (in->turn.rotation == 270) vpi_buf_str(b, ",transpose=dir=cclock");
    return VP_OK;
}

/* ---- the graph ---- */

static vp_status make_source(vpi_filter *f, const vpi_filter_input *in, vp_error *err)
{
    AVBufferSrcParameters *par = NULL;
    vp_status st = VP_OK;
    int r;

    f->source = avfilter_graph_alloc_filter(f->graph, avfilter_get_by_name("buffer"), "in");
    par = av_buffersrc_parameters_alloc();
    if (!f->source || !par) {
        st = vpi_fail_nomem(err);
        goto done;
    }
    par->format = in->format;
    par->width = in->width;
    par->height = in->height;
    par->time_base = (AVRational){ 1, 1 };
    par->sample_aspect_ratio = (AVRational){ 1, 1 };
#if LIBAVFILTER_VERSION_INT >= AV_VERSION_INT(10, 0, 100)
    par->color_range = in->range ? AVCOL_RANGE_JPEG : AVCOL_RANGE_MPEG;
    par->color_space = (enum AVColorSpace)in->matrix;
#endif
    r = av_buffersrc_parameters_set(f->source, par);
    if (r >= 0) r = avfilter_init_str(f->source, NULL);
    if (r < 0) st = vpi_libav_error(err, r, "filter");
done:
    av_freep(&par);
    return st;
}

static vp_status link_chain(vpi_filter *f, const char *chain, vp_error *err)
{
    AVFilterInOut *from = avfilter_inout_alloc(), *to = avfilter_inout_alloc();
    vp_status st = VP_OK;
    int r;

    f->sink = avfilter_graph_alloc_filter(f->graph, avfilter_get_by_name("buffersink"), "out");
    if (!from || !to || !f->sink) {
        st = vpi_fail_nomem(err);
        goto done;
    }
    r = avfilter_init_str(f->sink, NULL);
    from->name = av_strdup("in");
    from->filter_ctx = f->source;
    to->name = av_strdup("out");
    to->filter_ctx = f->sink;
    if (!from->name || !to->name) {
        st = vpi_fail_nomem(err);
        goto done;
    }
    if (r >= 0) r = avfilter_graph_parse_ptr(f->graph, chain, &to, &from, NULL);
    if (r >= 0) r = avfilter_graph_config(f->graph, NULL);
    if (r == AVERROR(ENOMEM)) {
        st = vpi_fail_nomem(err);
    } else if (r < 0) {
        st = vpi_libav_fail(err, VP_E_UNSUPPORTED, "CODEC_UNSUPPORTED", r, "filter");
    }
done:
    avfilter_inout_free(&from);
    avfilter_inout_free(&to);
    return st;
}

static vp_status build(vpi_filter *f, const vpi_filter_input *in, vp_error *err)
{
    vpi_buf chain = { 0 };
    char *text = NULL;
    vp_status st;

    avfilter_graph_free(&f->graph);
    f->source = f->sink = NULL;
    VPI_GO(describe_chain(f, in, &chain, err));
    text = vpi_buf_steal_string(&chain);
    f->graph = avfilter_graph_alloc();
    if (!text || !f->graph) {
        st = vpi_fail_nomem(err);
        goto done;
    }
    f->graph->nb_threads = 1;
    f->graph->scale_sws_opts = av_strdup("flags=" SCALE_FLAGS);
    if (!f->graph->scale_sws_opts) {
        st = vpi_fail_nomem(err);
        goto done;
    }
    VPI_GO(make_source(f, in, err));
    st = link_chain(f, text, err);
done:
    vpi_buf_dispose(&chain);
    vpi_free(text);
    return st;
}

static bool passes(const vpi_filter *f, const vpi_filter_input *in)
{
    return !deinterlaces(f, in) && in->format == AV_PIX_FMT_YUV420P && !in->range && !in->transfer &&
           !in->turn.rotation && !in->turn.flipped && (uint32_t)in->width == f->o.width &&
           (uint32_t)in->height == f->o.height &&
           matrix_family(in->matrix) == matrix_family(f->o.colour.matrix);
}

static vp_status prepare(vpi_filter *f, const vpi_filter_input *in, vp_error *err)
{
    f->known = false;
    f->pass = passes(f, in);
    f->closed = false;
    avfilter_graph_free(&f->graph);
    if (!f->pass) VPI_TRY(build(f, in, err));
    f->input = *in;
    f->known = true;
    return VP_OK;
}

/* ---- pictures through it ---- */

static uint64_t waiting_number(const vpi_filter *f)
{
    return f->sent - 1;
}

/* Takes av over. half: twice the number of the picture that it is made of, one more for its second field. */
static void give(const vpi_filter *f, AVFrame *av, uint64_t half, vpi_filter_picture *out)
{
    uint64_t n = half / 2;

    out->av = av;
    out->number = n;
    out->field = (uint32_t)(half % 2);
    out->pts = f->times[n % TIMES].pts;
    out->duration = f->times[n % TIMES].duration;
    if (n + 1 < f->sent && f->times[(n + 1) % TIMES].pts > out->pts)
        out->duration = f->times[(n + 1) % TIMES].pts - out->pts;
}

/* VP_AGAIN: the graph wants a picture; VP_END: it was closed and is empty now. */
static vp_status pull(vpi_filter *f, vpi_filter_picture *out, vp_error *err)
{
    AVFrame *av = av_frame_alloc();
    int64_t half;
    int r;

    if (!av) return vpi_fail_nomem(err);
    r = av_buffersink_get_frame(f->sink, av);
    if (r >= 0) {
        half = av_rescale_q(av->pts, av_buffersink_get_time_base(f->sink), (AVRational){ 1, 2 });
        give(f, av, (uint64_t)VPI_CLAMP(half, (int64_t)0, (int64_t)(2 * f->sent) - 1), out);
        return VP_OK;
    }
    av_frame_free(&av);
    if (r == AVERROR(EAGAIN) && !f->closed) return VP_AGAIN;
    return r == AVERROR_EOF ? VP_END : vpi_libav_error(err, r, "filter");
}

static vp_status close_graph(vpi_filter *f, vp_error *err)
{
    int r = av_buffersrc_add_frame(f->source, NULL);

    f->closed = true;
    return r < 0 ? vpi_libav_error(err, r, "filter") : VP_OK;
}

/* Newer libswscale scales the fields of flagged pictures apart. Here they are whole or become so. */
static void as_progressive(AVFrame *in)
{
#if LIBAVUTIL_VERSION_INT >= AV_VERSION_INT(58, 7, 100)
    in->flags &= ~AV_FRAME_FLAG_INTERLACED;
#else
    in->interlaced_frame = 0;
#endif
}

static vp_status push(vpi_filter *f, vp_error *err)
{
    AVFrame *in = f->waiting;
    int r;

    in->sample_aspect_ratio = (AVRational){ 1, 1 };
    in->pts = (int64_t)waiting_number(f);
    if (f->o.deinterlace != VPI_DEINTERLACE_FLAGGED || !deinterlaces(f, &f->input)) as_progressive(in);
#if LIBAVFILTER_VERSION_INT >= AV_VERSION_INT(10, 0, 100)
    in->color_range = f->input.range ? AVCOL_RANGE_JPEG : AVCOL_RANGE_MPEG;
    in->colorspace = (enum AVColorSpace)f->input.matrix;
#endif
    r = av_buffersrc_add_frame(f->source, in);
    av_frame_free(&f->waiting);
    return r < 0 ? vpi_libav_error(err, r, "filter") : VP_OK;
}

/* What waits goes into the graph. One of another kind first waits for the old graph to give out what it holds. */
static vp_status advance(vpi_filter *f, vp_error *err)
{
    vpi_filter_input in = describe(f, f->waiting);

    if (f->graph && !same_input(&in, &f->input)) return close_graph(f, err);
    if (!f->known || !same_input(&in, &f->input)) VPI_TRY(prepare(f, &in, err));
    return f->graph ? push(f, err) : VP_OK;
}

void vpi_filter_send(vpi_filter *f, AVFrame **in, int64_t pts, int64_t duration)
{
    av_frame_free(&f->waiting);
    f->waiting = *in;
    *in = NULL;
    settle_format(f->waiting);
    f->times[f->sent % TIMES].pts = pts;
    f->times[f->sent % TIMES].duration = duration;
    f->sent++;
}

void vpi_filter_end(vpi_filter *f)
{
    f->ended = true;
}

vp_status vpi_filter_receive(vpi_filter *f, vpi_filter_picture *out, vp_error *err)
{
    vp_status st;

    for (;;) {
        st = f->graph ? pull(f, out, err) : VP_AGAIN;
        if (st == VP_END) {
            avfilter_graph_free(&f->graph);
            f->known = false;
        } else if (st != VP_AGAIN) {
            return st;
        }
        if (f->waiting) {
            VPI_TRY(advance(f, err));
            if (f->waiting && !f->graph) {
                give(f, f->waiting, 2 * waiting_number(f), out);
                f->waiting = NULL;
                return VP_OK;
            }
        } else if (f->ended && f->graph) {
            VPI_TRY(close_graph(f, err));
        } else {
            return f->ended ? VP_END : VP_AGAIN;
        }
    }
}
