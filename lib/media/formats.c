/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "media/reader_int.h"

#include "base/buf.h"

/* Demuxers that take part. None of them opens another file when io_open refuses. */
static const char *const allowed[] = {
    "mov,mp4,m4a,3gp,3g2,mj2",
    "matroska,webm",
    "mpegts",
    "mpeg",
    "avi",
    "flv",
    "asf",
    "ogg",
    "wav",
    "w64",
    "mp3",
    "aac",
    "flac",
    "ac3",
    "eac3",
    "dts",
    "h264",
    "hevc",
    "m4v",
    "mpegvideo",
    "obu",
    "av1",
    "ivf",
    "mxf",
    "gif",
    "apng",
    "aiff",
    "caf",
    "au",
    "dv",
    "nut",
    "amr",
    "yuv4mpegpipe",
    "vc1",
    "dnxhd",
    "tta",
    "wv",
};

/* Elementary streams: no times of their own. */
static const char *const raw[] = {
    "h264", "hevc", "m4v", "mpegvideo", "obu", "av1", "vc1", "dnxhd", "aac", "ac3", "eac3", "dts",
};

/* Names other files or addresses, or is a program: what makes a reader open things. */
static const char *const forbidden[] = {
    "hls",        "hls,applehttp", "applehttp",   "concat", "dash",    "webm_dash_manifest",
    "imf",        "sdp",           "rtp",         "rtsp",   "sap",     "image2",
    "lavfi",      "ffmetadata",    "tedcaptions", "iss",    "vividas", "avs",
    "libopenmpt", "libgme",        "vapoursynth",
};

static const char *const images[] = {
    "mjpeg", "mjpeg_2000", "webp_pipe", "svg_pipe",    "ico",
    "mpo",   "xbm_pipe",   "fits",      "brender_pix", "jpegxl_anim",
};

static const char *const subtitles[] = {
    "srt",       "webvtt",     "ass",     "microdvd", "mpl2",   "jacosub", "sami", "realtext",
    "subviewer", "subviewer1", "stl",     "scc",      "mcc",    "lrc",     "sup",  "vobsub",
    "vplayer",   "pjs",        "aqtitle", "mpsub",    "dvbsub", "dvbtxt",
};

/* Begins of playlists, manifests and scripts, in lower case, after a byte order mark and blanks. */
static const char *const scripts[] = {
    "#extm3u",     "#extinf",
    "ffconcat",    "[playlist]",
    "[reference]", "<asx",
    "<smil",       "<mpd",
    "<assetmap",   "<?wpl",
    "rtsptext",    "<composition",
    "#!",          "v=0\no=",
    "v=0\r\no=",   "<smoothstreamingmedia",
    "<playlist",   "<mediapresentation",
    ";ffmetadata", "rtsp://",
    "http://",     "https://",
    "file:",       "# ffconcat",
    "#ffconcat",
};
/* Elements whose documents name other files, where an XML declaration or comment comes first. */
static const char *const xml_roots[] = {
    "<mpd",      "<smil",        "<asx", "<assetmap", "<compositionplaylist", "<smoothstreamingmedia",
    "<playlist", "<packinglist",
};

static const enum AVCodecID codecs[] = {
    AV_CODEC_ID_H264,        AV_CODEC_ID_HEVC,         AV_CODEC_ID_AV1,           AV_CODEC_ID_VP9,
    AV_CODEC_ID_VP8,         AV_CODEC_ID_MPEG1VIDEO,   AV_CODEC_ID_MPEG2VIDEO,    AV_CODEC_ID_MPEG4,
    AV_CODEC_ID_MSMPEG4V1,   AV_CODEC_ID_MSMPEG4V2,    AV_CODEC_ID_MSMPEG4V3,     AV_CODEC_ID_H263,
    AV_CODEC_ID_H263P,       AV_CODEC_ID_FLV1,         AV_CODEC_ID_VP6,           AV_CODEC_ID_VP6F,
    AV_CODEC_ID_VP6A,        AV_CODEC_ID_THEORA,       AV_CODEC_ID_PRORES,        AV_CODEC_ID_DNXHD,
    AV_CODEC_ID_MJPEG,       AV_CODEC_ID_MJPEGB,       AV_CODEC_ID_DVVIDEO,       AV_CODEC_ID_CFHD,
    AV_CODEC_ID_FFV1,        AV_CODEC_ID_HUFFYUV,      AV_CODEC_ID_FFVHUFF,       AV_CODEC_ID_UTVIDEO,
    AV_CODEC_ID_MAGICYUV,    AV_CODEC_ID_QTRLE,        AV_CODEC_ID_PNG,           AV_CODEC_ID_APNG,
    AV_CODEC_ID_GIF,         AV_CODEC_ID_RAWVIDEO,     AV_CODEC_ID_V210,
#if LIBAVCODEC_VERSION_MAJOR < 62 /* later these are raw video */
    AV_CODEC_ID_V410,        AV_CODEC_ID_V308,         AV_CODEC_ID_V408,
#endif
    AV_CODEC_ID_R210,        AV_CODEC_ID_YUV4,         AV_CODEC_ID_SVQ1,          AV_CODEC_ID_SVQ3,
    AV_CODEC_ID_CINEPAK,     AV_CODEC_ID_RPZA,         AV_CODEC_ID_WMV1,          AV_CODEC_ID_WMV2,
    AV_CODEC_ID_WMV3,        AV_CODEC_ID_VC1,          AV_CODEC_ID_JPEG2000,      AV_CODEC_ID_HAP,
    AV_CODEC_ID_FLASHSV,     AV_CODEC_ID_FLASHSV2,     AV_CODEC_ID_MSRLE,         AV_CODEC_ID_MSVIDEO1,
    AV_CODEC_ID_LAGARITH,    AV_CODEC_ID_SNOW,         AV_CODEC_ID_DIRAC,         AV_CODEC_ID_TSCC,
    AV_CODEC_ID_TSCC2,       AV_CODEC_ID_ZMBV,         AV_CODEC_ID_SPEEDHQ,       AV_CODEC_ID_AAC,
    AV_CODEC_ID_AAC_LATM,    AV_CODEC_ID_MP1,          AV_CODEC_ID_MP2,           AV_CODEC_ID_MP3,
    AV_CODEC_ID_AC3,         AV_CODEC_ID_EAC3,         AV_CODEC_ID_OPUS,          AV_CODEC_ID_VORBIS,
    AV_CODEC_ID_FLAC,        AV_CODEC_ID_ALAC,         AV_CODEC_ID_DTS,           AV_CODEC_ID_TRUEHD,
    AV_CODEC_ID_MLP,         AV_CODEC_ID_WMAV1,        AV_CODEC_ID_WMAV2,         AV_CODEC_ID_WMAPRO,
    AV_CODEC_ID_WMALOSSLESS, AV_CODEC_ID_WMAVOICE,     AV_CODEC_ID_AMR_NB,        AV_CODEC_ID_AMR_WB,
    AV_CODEC_ID_SPEEX,       AV_CODEC_ID_NELLYMOSER,   AV_CODEC_ID_GSM,           AV_CODEC_ID_GSM_MS,
    AV_CODEC_ID_QDM2,        AV_CODEC_ID_QDMC,         AV_CODEC_ID_TTA,           AV_CODEC_ID_WAVPACK,
    AV_CODEC_ID_S302M,       AV_CODEC_ID_ADPCM_MS,     AV_CODEC_ID_ADPCM_IMA_WAV, AV_CODEC_ID_ADPCM_IMA_QT,
    AV_CODEC_ID_ADPCM_SWF,   AV_CODEC_ID_ADPCM_YAMAHA, AV_CODEC_ID_ADPCM_G726,    AV_CODEC_ID_MACE3,
    AV_CODEC_ID_MACE6,       AV_CODEC_ID_PCM_S16LE,    AV_CODEC_ID_PCM_S16BE,     AV_CODEC_ID_PCM_U16LE,
    AV_CODEC_ID_PCM_U16BE,   AV_CODEC_ID_PCM_S8,       AV_CODEC_ID_PCM_U8,        AV_CODEC_ID_PCM_MULAW,
    AV_CODEC_ID_PCM_ALAW,    AV_CODEC_ID_PCM_S32LE,    AV_CODEC_ID_PCM_S32BE,     AV_CODEC_ID_PCM_S24LE,
    AV_CODEC_ID_PCM_S24BE,   AV_CODEC_ID_PCM_F32LE,    AV_CODEC_ID_PCM_F32BE,     AV_CODEC_ID_PCM_F64LE,
    AV_CODEC_ID_PCM_F64BE,   AV_CODEC_ID_PCM_BLURAY,   AV_CODEC_ID_PCM_DVD,       AV_CODEC_ID_PCM_S64LE,
};

static bool in_list(const char *name, const char *const *list, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (strcmp(name, list[i]) == 0) return true;
    }
    return false;
}
#define IN(name, list) in_list((name), (list), VPI_COUNT(list))

static bool begins(const char *text, size_t size, const char *with)
{
    size_t n = strlen(with);

    return size >= n && memcmp(text, with, n) == 0;
}

/* Is it a text that a reader could take for instructions what to open? libav* does not see all of them as
 * such. */
static bool is_script(const uint8_t *head, size_t size)
{
    char text[4096];
    size_t n = 0, at = 0;
    bool utf16 = size >= 2 && ((head[0] == 0xFF && head[1] == 0xFE) || (head[0] == 0xFE && head[1] == 0xFF));

    if (size >= 3 && memcmp(head, "\xEF\xBB\xBF", 3) == 0) at = 3;
    if (utf16) at = 2;
    for (; at < size && n < sizeof(text) - 1; at++) {
        uint8_t c = head[at];

        if (c == 0) {
            if (utf16) continue;
            break;
        }
        if (n == 0 && (c == ' ' || c == '\t' || c == '\r' || c == '\n')) continue;
        text[n++] = (char)(c >= 'A' && c <= 'Z' ? c + 32 : c);
    }
    text[n] = 0;
    if (begins(text, n, "#!amr\n") || begins(text, n, "#!amr-wb\n")) return false; /* RFC 4867 5 */
    for (size_t i = 0; i < VPI_COUNT(scripts); i++) {
        if (begins(text, n, scripts[i])) return true;
    }
    if (!begins(text, n, "<?xml") && !begins(text, n, "<!--")) return false;
    for (size_t i = 0; i < VPI_COUNT(xml_roots); i++) {
        if (strstr(text, xml_roots[i])) return true;
    }
    return false;
}

size_t vpi_id3_size(const uint8_t *head, size_t size)
{
    if (size < 10 || memcmp(head, "ID3", 3) != 0 || head[3] == 0xFF) return 0;
    if ((head[6] | head[7] | head[8] | head[9]) & 0x80) return 0;
    return 10 + (((size_t)head[6] << 21) | ((size_t)head[7] << 14) | ((size_t)head[8] << 7) | head[9]);
}

/* ID3v2 tags with pictures are larger than any head: the format stands behind them. */
static const uint8_t *behind_id3(const uint8_t *head, size_t *size)
{
    size_t tag;

    while ((tag = vpi_id3_size(head, *size)) > 0) {
        if (tag >= *size) break;
        head += tag;
        *size -= tag;
    }
    return head;
}

static const char *still_image(const uint8_t *head, size_t size)
{
    if (size >= 8 && memcmp(head, "\x89PNG\r\n\x1a\n", 8) == 0) return "png";
    if (size >= 3 && memcmp(head, "\xFF\xD8\xFF", 3) == 0) return "jpeg";
    if (size >= 12 && memcmp(head, "RIFF", 4) == 0 && memcmp(head + 8, "WEBP", 4) == 0) return "webp";
    if (size >= 4 && (memcmp(head, "II*\0", 4) == 0 || memcmp(head, "MM\0*", 4) == 0)) return "tiff";
    if (size >= 12 && memcmp(head, "\0\0\0\x0CjP  \r\n\x87\n", 12) == 0) return "jpeg2000";
    if (size >= 12 && memcmp(head, "\0\0\0\x0CJXL \r\n\x87\n", 12) == 0) return "jpegxl";
    return NULL;
}

static vp_status refuse(const char *name, vp_error *err)
{
    if (IN(name, forbidden)) {
        return vpi_fail(err, VP_E_UNSUPPORTED, "INPUT_FORBIDDEN_FORMAT",
                        "the file is a '%s', which makes a reader open other files", name);
    }
    if (IN(name, images) || av_strnstr(name, "_pipe", strlen(name))) {
        return vpi_fail(err, VP_E_DATA, "NOT_A_VIDEO", "the file is a still image (%s)", name);
    }
    if (IN(name, subtitles)) {
        return vpi_fail(err, VP_E_DATA, "INPUT_NO_VIDEO_OR_AUDIO", "the file is a subtitle text (%s)", name);
    }
    return vpi_fail(err, VP_E_DATA, "INPUT_UNRECOGNISED", "the file looks like '%s', which is not accepted",
                    name);
}

vp_status vpi_formats_choose(const uint8_t *head, size_t size, bool last, const AVInputFormat **out,
                             vp_error *err)
{
    AVProbeData data = { 0 };
    const AVInputFormat *format;
    const char *image;
    int score = 0;

    *out = NULL;
    if (is_script(head, size)) {
        return vpi_fail(err, VP_E_UNSUPPORTED, "INPUT_FORBIDDEN_FORMAT",
                        "the file is a playlist or script, which makes a reader open other files");
    }
    head = behind_id3(head, &size);
    data.filename = "";
    data.buf = (unsigned char *)head;
    data.buf_size = (int)size;
    format = av_probe_input_format3(&data, 1, &score);
    image = still_image(head, size);
    if (image && (!format || strcmp(format->name, "apng") != 0)) {
        return vpi_fail(err, VP_E_DATA, "NOT_A_VIDEO", "the file is a still image (%s)", image);
    }
    /* Below a quarter of the scale a guess is chance: more bytes decide, at the end of them it is no
     * format. */
    if (!format || score < AVPROBE_SCORE_RETRY - (last ? 1 : 0)) {
        if (!last) return VP_AGAIN;
        return vpi_fail(err, VP_E_DATA, "INPUT_UNRECOGNISED", "the content is of no known media format");
    }
    if (!IN(format->name, allowed)) {
        if (!last && score <= AVPROBE_SCORE_MAX / 2) return VP_AGAIN;
        return refuse(format->name, err);
    }
    *out = format;
    return VP_OK;
}

bool vpi_formats_raw(const AVInputFormat *format)
{
    return IN(format->name, raw);
}

bool vpi_formats_trimmed(const AVInputFormat *format)
{
    return strcmp(format->name, "ogg") == 0;
}

static bool codec_allowed(enum AVCodecID id)
{
    for (size_t i = 0; i < VPI_COUNT(codecs); i++) {
        if (codecs[i] == id) return true;
    }
    return false;
}

const AVCodec *vpi_libav_decoder(enum AVCodecID id)
{
    return codec_allowed(id) ? avcodec_find_decoder(id) : NULL;
}

/* avformat_find_stream_info opens those of text too, and says so loudly where it may not. */
static bool is_text(enum AVCodecID id)
{
    return id == AV_CODEC_ID_MOV_TEXT || id == AV_CODEC_ID_SUBRIP || id == AV_CODEC_ID_ASS ||
           id == AV_CODEC_ID_TEXT || id == AV_CODEC_ID_WEBVTT || id == AV_CODEC_ID_DVD_SUBTITLE ||
           id == AV_CODEC_ID_DVB_SUBTITLE || id == AV_CODEC_ID_HDMV_PGS_SUBTITLE;
}

char *vpi_formats_codec_list(void)
{
    vpi_buf b = { 0 };
    void *state = NULL;
    const AVCodec *codec;
    char *list = NULL, *own;

    while ((codec = av_codec_iterate(&state)) != NULL) {
        if (!av_codec_is_decoder(codec) || !(codec_allowed(codec->id) || is_text(codec->id))) continue;
        if ((codec->capabilities & (AV_CODEC_CAP_HARDWARE | AV_CODEC_CAP_AVOID_PROBING)) &&
            codec != avcodec_find_decoder(codec->id)) {
            continue;
        }
        if (b.size) vpi_buf_u8(&b, ',');
        vpi_buf_str(&b, codec->name);
    }
    own = vpi_buf_steal_string(&b);
    if (own) list = av_strdup(own);
    vpi_free(own);
    return list;
}

vpi_codec vpi_libav_codec(enum AVCodecID id)
{
    switch (id) {
    case AV_CODEC_ID_NONE:
        return VPI_CODEC_UNKNOWN;
    case AV_CODEC_ID_H264:
        return VPI_CODEC_H264;
    case AV_CODEC_ID_HEVC:
        return VPI_CODEC_HEVC;
    case AV_CODEC_ID_AV1:
        return VPI_CODEC_AV1;
    case AV_CODEC_ID_VP9:
        return VPI_CODEC_VP9;
    case AV_CODEC_ID_AAC:
        return VPI_CODEC_AAC;
    case AV_CODEC_ID_AC3:
        return VPI_CODEC_AC3;
    case AV_CODEC_ID_EAC3:
        return VPI_CODEC_EAC3;
    case AV_CODEC_ID_OPUS:
        return VPI_CODEC_OPUS;
    case AV_CODEC_ID_FLAC:
        return VPI_CODEC_FLAC;
    case AV_CODEC_ID_MP3:
        return VPI_CODEC_MP3;
    default:
        return VPI_CODEC_OTHER;
    }
}
