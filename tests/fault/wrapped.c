/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What our code asks libav*, x264 and jansson for can fail as well. Linked with --wrap: each call of ours to one of
 * these counts as an allocation of vpi_alloc_fail_at, and the n-th is answered as on a machine without memory.
 */
#include <libavcodec/avcodec.h>
#include <libavfilter/avfilter.h>
#include <libavfilter/buffersink.h>
#include <libavfilter/buffersrc.h>
#include <libavformat/avformat.h>
#include <libavutil/audio_fifo.h>
#include <libavutil/buffer.h>
#include <libswresample/swresample.h>
#include <libswscale/swscale.h>
#include <x264.h>

#include "base/fault.h"

#define POINTER(type, name, parameters, arguments)                                                           \
    type *__real_##name parameters;                                                                          \
    type *__wrap_##name parameters;                                                                          \
    type *__wrap_##name parameters                                                                           \
    {                                                                                                        \
        return vpi_fault_hit() ? NULL : __real_##name arguments;                                             \
    }
#define NUMBER(name, parameters, arguments)                                                                  \
    int __real_##name parameters;                                                                            \
    int __wrap_##name parameters;                                                                            \
    int __wrap_##name parameters                                                                             \
    {                                                                                                        \
        return vpi_fault_hit() ? AVERROR(ENOMEM) : __real_##name arguments;                                  \
    }

POINTER(void, av_malloc, (size_t size), (size))
POINTER(char, av_strdup, (const char *s), (s))
POINTER(AVPacket, av_packet_alloc, (void), ())
POINTER(AVFrame, av_frame_alloc, (void), ())
POINTER(AVCodecContext, avcodec_alloc_context3, (const AVCodec *codec), (codec))
POINTER(AVFormatContext, avformat_alloc_context, (void), ())
POINTER(AVIOContext, avio_alloc_context,
        (unsigned char *buffer, int size, int write, void *user, int (*read)(void *, uint8_t *, int),
         int (*put)(void *, uint8_t *, int), int64_t (*seek)(void *, int64_t, int)),
        (buffer, size, write, user, read, put, seek))
POINTER(AVFilterGraph, avfilter_graph_alloc, (void), ())
POINTER(AVFilterInOut, avfilter_inout_alloc, (void), ())
POINTER(AVFilterContext, avfilter_graph_alloc_filter,
        (AVFilterGraph * graph, const AVFilter *filter, const char *name), (graph, filter, name))
POINTER(AVBufferSrcParameters, av_buffersrc_parameters_alloc, (void), ())
POINTER(struct SwsContext, sws_alloc_context, (void), ())
POINTER(AVAudioFifo, av_audio_fifo_alloc, (enum AVSampleFormat format, int channels, int samples),
        (format, channels, samples))
POINTER(AVBufferRef, av_buffer_allocz, (size_t size), (size))
POINTER(AVBufferRef, av_buffer_pool_get, (AVBufferPool * pool), (pool))
POINTER(AVBufferPool, av_buffer_pool_init, (size_t size, AVBufferRef *(*alloc)(size_t)), (size, alloc))

NUMBER(av_dict_set, (AVDictionary * *d, const char *key, const char *value, int flags),
       (d, key, value, flags))
NUMBER(av_frame_get_buffer, (AVFrame * frame, int align), (frame, align))
NUMBER(av_channel_layout_copy, (AVChannelLayout * to, const AVChannelLayout *from), (to, from))
NUMBER(avcodec_parameters_to_context, (AVCodecContext * c, const AVCodecParameters *p), (c, p))
NUMBER(avcodec_open2, (AVCodecContext * c, const AVCodec *codec, AVDictionary **options), (c, codec, options))
NUMBER(avcodec_send_packet, (AVCodecContext * c, const AVPacket *packet), (c, packet))
NUMBER(avcodec_receive_frame, (AVCodecContext * c, AVFrame *frame), (c, frame))
NUMBER(avcodec_send_frame, (AVCodecContext * c, const AVFrame *frame), (c, frame))
NUMBER(avcodec_receive_packet, (AVCodecContext * c, AVPacket *packet), (c, packet))
NUMBER(avformat_find_stream_info, (AVFormatContext * c, AVDictionary **options), (c, options))
NUMBER(av_read_frame, (AVFormatContext * c, AVPacket *packet), (c, packet))
NUMBER(avfilter_init_str, (AVFilterContext * c, const char *arguments), (c, arguments))
NUMBER(avfilter_graph_config, (AVFilterGraph * graph, void *log), (graph, log))
NUMBER(av_buffersrc_parameters_set, (AVFilterContext * c, AVBufferSrcParameters *p), (c, p))
NUMBER(av_buffersrc_add_frame, (AVFilterContext * c, AVFrame *frame), (c, frame))
NUMBER(av_buffersink_get_frame, (AVFilterContext * c, AVFrame *frame), (c, frame))
NUMBER(swr_init, (struct SwrContext * c), (c))
NUMBER(sws_init_context, (struct SwsContext * c, SwsFilter *from, SwsFilter *to), (c, from, to))
