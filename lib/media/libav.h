/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VPI_MEDIA_LIBAV_H
#define VPI_MEDIA_LIBAV_H

/*
 * The only file that includes headers of libav* and x264. Their functions are called through a table: a process that
 * never touches media does without some hundred libraries, which cost it 33 MB each time it starts. load.c fills the
 * table when media is first used, linked.c (-Dlibav=linked, and tests of what lies within) while linking; the rest of
 * the folder is compiled once for both.
 *
 * A function that is not in the lists below is still declared, but the shared library does not link (-z defs): add it
 * to its library's list and to the names at the end. Inline functions of these headers that call others are the same.
 */

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include <libavcodec/avcodec.h>
#include <libavcodec/bsf.h>
#include <libavfilter/avfilter.h>
#include <libavfilter/buffersink.h>
#include <libavfilter/buffersrc.h>
#include <libavformat/avformat.h>
#include <libavutil/audio_fifo.h>
#include <libavutil/avstring.h>
#include <libavutil/avutil.h>
#include <libavutil/buffer.h>
#include <libavutil/channel_layout.h>
#include <libavutil/display.h>
#include <libavutil/dovi_meta.h>
#include <libavutil/frame.h>
#include <libavutil/intreadwrite.h>
#include <libavutil/log.h>
#include <libavutil/mastering_display_metadata.h>
#include <libavutil/mathematics.h>
#include <libavutil/mem.h>
#include <libavutil/opt.h>
#include <libavutil/pixdesc.h>
#include <libavutil/pixfmt.h>
#include <libavutil/version.h>
#include <libswresample/swresample.h>
#include <libswscale/swscale.h>
#include <x264.h>

#include "media/demux.h"

/* Stream side data: with the codec parameters since libavformat 60.15. */
#if LIBAVFORMAT_VERSION_INT >= AV_VERSION_INT(60, 15, 100)
#define VPI_SIDE_DATA_CODEC(X) X(av_packet_side_data_get)
#define VPI_SIDE_DATA_FORMAT(X)
#else
#define VPI_SIDE_DATA_CODEC(X)
#define VPI_SIDE_DATA_FORMAT(X) X(av_stream_get_side_data)
#endif

/* clang-format off */
#define VPI_LIST_AVUTIL(X)                                                                           \
    X(av_audio_fifo_alloc) X(av_audio_fifo_free) X(av_audio_fifo_read) X(av_audio_fifo_size)         \
    X(av_audio_fifo_write) X(av_buffer_allocz) X(av_buffer_pool_get) X(av_buffer_pool_init)          \
    X(av_buffer_pool_uninit) X(av_buffer_unref) X(av_channel_layout_channel_from_index)              \
    X(av_channel_layout_compare) X(av_channel_layout_copy) X(av_channel_layout_default)              \
    X(av_channel_layout_describe) X(av_channel_layout_from_mask) X(av_channel_layout_uninit)         \
    X(av_color_primaries_name) X(av_color_space_name) X(av_color_transfer_name) X(av_dict_free)      \
    X(av_dict_get) X(av_dict_set) X(av_dict_set_int) X(av_display_rotation_get)                      \
    X(av_fourcc_make_string) X(av_frame_alloc) X(av_frame_free) X(av_frame_get_buffer)               \
    X(av_frame_get_side_data) X(av_frame_new_side_data) X(av_frame_unref) X(av_free) X(av_freep)     \
    X(av_get_bytes_per_sample) X(av_get_packed_sample_fmt) X(av_log_default_callback)                \
    X(av_log_format_line) X(av_log_set_callback) X(av_malloc) X(av_opt_set_double) X(av_opt_set_int) \
    X(av_pix_fmt_desc_get) X(av_rescale_q) X(av_sample_fmt_is_planar) X(av_strdup) X(av_strerror)    \
    X(av_strnstr) X(avutil_version)
#define VPI_LIST_AVCODEC(X)                                                                          \
    X(av_bsf_alloc) X(av_bsf_free) X(av_bsf_get_by_name) X(av_bsf_init) X(av_bsf_receive_packet)     \
    X(av_bsf_send_packet) X(av_codec_is_decoder) X(av_codec_iterate) X(av_get_audio_frame_duration2) \
    X(av_get_bits_per_sample) X(av_packet_alloc) X(av_packet_free) X(av_packet_get_side_data)        \
    X(av_packet_new_side_data) X(av_packet_unref) X(avcodec_alloc_context3)                          \
    X(avcodec_descriptor_get) X(avcodec_find_decoder) X(avcodec_find_decoder_by_name)                \
    X(avcodec_find_encoder_by_name) X(avcodec_flush_buffers) X(avcodec_free_context)                 \
    X(avcodec_get_name) X(avcodec_open2) X(avcodec_parameters_copy) X(avcodec_parameters_to_context) \
    X(avcodec_receive_frame) X(avcodec_receive_packet) X(avcodec_send_frame) X(avcodec_send_packet)  \
    X(avcodec_version) VPI_SIDE_DATA_CODEC(X)
#define VPI_LIST_AVFORMAT(X)                                                              \
    X(av_find_program_from_stream) X(av_index_search_timestamp) X(av_probe_input_format3) \
    X(av_read_frame) X(av_seek_frame) X(avformat_alloc_context) X(avformat_close_input)   \
    X(avformat_find_stream_info) X(avformat_index_get_entry) X(avformat_license)          \
    X(avformat_open_input) X(avformat_version) X(avio_alloc_context) X(avio_context_free) \
    X(avio_feof) X(avio_seek) VPI_SIDE_DATA_FORMAT(X)
#define VPI_LIST_AVFILTER(X)                                                                        \
    X(av_buffersink_get_frame) X(av_buffersink_get_time_base) X(av_buffersrc_add_frame)             \
    X(av_buffersrc_parameters_alloc) X(av_buffersrc_parameters_set) X(avfilter_get_by_name)         \
    X(avfilter_graph_alloc) X(avfilter_graph_alloc_filter) X(avfilter_graph_config)                 \
    X(avfilter_graph_free) X(avfilter_graph_parse_ptr) X(avfilter_init_str) X(avfilter_inout_alloc) \
    X(avfilter_inout_free) X(avfilter_version)
#define VPI_LIST_SWSCALE(X)                                                                     \
    X(sws_alloc_context) X(sws_freeContext) X(sws_init_context) X(sws_scale) X(swscale_version)
#define VPI_LIST_SWRESAMPLE(X)                                                      \
    X(swr_alloc_set_opts2) X(swr_close) X(swr_convert) X(swr_free) X(swr_get_delay) \
    X(swr_get_out_samples) X(swr_init) X(swr_set_compensation) X(swr_set_matrix)    \
    X(swresample_version)
#define VPI_LIST_X264(X)                                                                          \
    X(x264_encoder_close) X(x264_encoder_delayed_frames) X(x264_encoder_encode)                   \
    X(x264_encoder_headers) X(x264_encoder_parameters) X(x264_levels) X(x264_param_apply_profile) \
    X(x264_param_default_preset) X(x264_picture_init)
/* clang-format on */

/* One table. x264_encoder_open is a macro that names the build number: the member has a name of its own. */
#define VPI_LIBAV_MEMBER(name) __typeof__(name) *name;
struct vpi_libav_table {
    VPI_LIST_AVUTIL(VPI_LIBAV_MEMBER)
    VPI_LIST_AVCODEC(VPI_LIBAV_MEMBER)
    VPI_LIST_AVFORMAT(VPI_LIBAV_MEMBER)
    VPI_LIST_AVFILTER(VPI_LIBAV_MEMBER)
    VPI_LIST_SWSCALE(VPI_LIBAV_MEMBER)
    VPI_LIST_SWRESAMPLE(VPI_LIBAV_MEMBER)
    VPI_LIST_X264(VPI_LIBAV_MEMBER)
    __typeof__(x264_encoder_open) *vpi_x264_open;
};
#undef VPI_LIBAV_MEMBER

/*
 * Empty until vpi_media_load() answered VP_OK. Every function that needs no handle of this folder and calls one of
 * these asks it first; tests/unit/media/test_unloaded.c calls them all where nothing can be loaded.
 */
extern struct vpi_libav_table vpi_libav;

/* Whether a call of vpi_media_load() has answered VP_OK; loads nothing. */
bool vpi_libav_ready(void);
/* Called once, when the table is full: lets av_log know of a redirection that was asked for before. */
void vpi_libav_log_apply(void);

/* load.c and linked.c take the names as they are. */
#ifndef VPI_LIBAV_NAMES
#define av_audio_fifo_alloc vpi_libav.av_audio_fifo_alloc
#define av_audio_fifo_free vpi_libav.av_audio_fifo_free
#define av_audio_fifo_read vpi_libav.av_audio_fifo_read
#define av_audio_fifo_size vpi_libav.av_audio_fifo_size
#define av_audio_fifo_write vpi_libav.av_audio_fifo_write
#define av_buffer_allocz vpi_libav.av_buffer_allocz
#define av_buffer_pool_get vpi_libav.av_buffer_pool_get
#define av_buffer_pool_init vpi_libav.av_buffer_pool_init
#define av_buffer_pool_uninit vpi_libav.av_buffer_pool_uninit
#define av_buffer_unref vpi_libav.av_buffer_unref
#define av_channel_layout_channel_from_index vpi_libav.av_channel_layout_channel_from_index
#define av_channel_layout_compare vpi_libav.av_channel_layout_compare
#define av_channel_layout_copy vpi_libav.av_channel_layout_copy
#define av_channel_layout_default vpi_libav.av_channel_layout_default
#define av_channel_layout_describe vpi_libav.av_channel_layout_describe
#define av_channel_layout_from_mask vpi_libav.av_channel_layout_from_mask
#define av_channel_layout_uninit vpi_libav.av_channel_layout_uninit
#define av_color_primaries_name vpi_libav.av_color_primaries_name
#define av_color_space_name vpi_libav.av_color_space_name
#define av_color_transfer_name vpi_libav.av_color_transfer_name
#define av_dict_free vpi_libav.av_dict_free
#define av_dict_get vpi_libav.av_dict_get
#define av_dict_set vpi_libav.av_dict_set
#define av_dict_set_int vpi_libav.av_dict_set_int
#define av_display_rotation_get vpi_libav.av_display_rotation_get
#define av_fourcc_make_string vpi_libav.av_fourcc_make_string
#define av_frame_alloc vpi_libav.av_frame_alloc
#define av_frame_free vpi_libav.av_frame_free
#define av_frame_get_buffer vpi_libav.av_frame_get_buffer
#define av_frame_get_side_data vpi_libav.av_frame_get_side_data
#define av_frame_new_side_data vpi_libav.av_frame_new_side_data
#define av_frame_unref vpi_libav.av_frame_unref
#define av_free vpi_libav.av_free
#define av_freep vpi_libav.av_freep
#define av_get_bytes_per_sample vpi_libav.av_get_bytes_per_sample
#define av_get_packed_sample_fmt vpi_libav.av_get_packed_sample_fmt
#define av_log_default_callback vpi_libav.av_log_default_callback
#define av_log_format_line vpi_libav.av_log_format_line
#define av_log_set_callback vpi_libav.av_log_set_callback
#define av_malloc vpi_libav.av_malloc
#define av_opt_set_double vpi_libav.av_opt_set_double
#define av_opt_set_int vpi_libav.av_opt_set_int
#define av_pix_fmt_desc_get vpi_libav.av_pix_fmt_desc_get
#define av_rescale_q vpi_libav.av_rescale_q
#define av_sample_fmt_is_planar vpi_libav.av_sample_fmt_is_planar
#define av_strdup vpi_libav.av_strdup
#define av_strerror vpi_libav.av_strerror
#define av_strnstr vpi_libav.av_strnstr
#define avutil_version vpi_libav.avutil_version
#define av_bsf_alloc vpi_libav.av_bsf_alloc
#define av_bsf_free vpi_libav.av_bsf_free
#define av_bsf_get_by_name vpi_libav.av_bsf_get_by_name
#define av_bsf_init vpi_libav.av_bsf_init
#define av_bsf_receive_packet vpi_libav.av_bsf_receive_packet
#define av_bsf_send_packet vpi_libav.av_bsf_send_packet
#define av_codec_is_decoder vpi_libav.av_codec_is_decoder
#define av_codec_iterate vpi_libav.av_codec_iterate
#define av_get_audio_frame_duration2 vpi_libav.av_get_audio_frame_duration2
#define av_get_bits_per_sample vpi_libav.av_get_bits_per_sample
#define av_packet_alloc vpi_libav.av_packet_alloc
#define av_packet_free vpi_libav.av_packet_free
#define av_packet_get_side_data vpi_libav.av_packet_get_side_data
#define av_packet_new_side_data vpi_libav.av_packet_new_side_data
#define av_packet_unref vpi_libav.av_packet_unref
#define avcodec_alloc_context3 vpi_libav.avcodec_alloc_context3
#define avcodec_descriptor_get vpi_libav.avcodec_descriptor_get
#define avcodec_find_decoder vpi_libav.avcodec_find_decoder
#define avcodec_find_decoder_by_name vpi_libav.avcodec_find_decoder_by_name
#define avcodec_find_encoder_by_name vpi_libav.avcodec_find_encoder_by_name
#define avcodec_flush_buffers vpi_libav.avcodec_flush_buffers
#define avcodec_free_context vpi_libav.avcodec_free_context
#define avcodec_get_name vpi_libav.avcodec_get_name
#define avcodec_open2 vpi_libav.avcodec_open2
#define avcodec_parameters_copy vpi_libav.avcodec_parameters_copy
#define avcodec_parameters_to_context vpi_libav.avcodec_parameters_to_context
#define avcodec_receive_frame vpi_libav.avcodec_receive_frame
#define avcodec_receive_packet vpi_libav.avcodec_receive_packet
#define avcodec_send_frame vpi_libav.avcodec_send_frame
#define avcodec_send_packet vpi_libav.avcodec_send_packet
#define avcodec_version vpi_libav.avcodec_version
#define av_packet_side_data_get vpi_libav.av_packet_side_data_get
#define av_find_program_from_stream vpi_libav.av_find_program_from_stream
#define av_index_search_timestamp vpi_libav.av_index_search_timestamp
#define av_probe_input_format3 vpi_libav.av_probe_input_format3
#define av_read_frame vpi_libav.av_read_frame
#define av_seek_frame vpi_libav.av_seek_frame
#define avformat_alloc_context vpi_libav.avformat_alloc_context
#define avformat_close_input vpi_libav.avformat_close_input
#define avformat_find_stream_info vpi_libav.avformat_find_stream_info
#define avformat_index_get_entry vpi_libav.avformat_index_get_entry
#define avformat_license vpi_libav.avformat_license
#define avformat_open_input vpi_libav.avformat_open_input
#define avformat_version vpi_libav.avformat_version
#define avio_alloc_context vpi_libav.avio_alloc_context
#define avio_context_free vpi_libav.avio_context_free
#define avio_feof vpi_libav.avio_feof
#define avio_seek vpi_libav.avio_seek
#define av_stream_get_side_data vpi_libav.av_stream_get_side_data
#define av_buffersink_get_frame vpi_libav.av_buffersink_get_frame
#define av_buffersink_get_time_base vpi_libav.av_buffersink_get_time_base
#define av_buffersrc_add_frame vpi_libav.av_buffersrc_add_frame
#define av_buffersrc_parameters_alloc vpi_libav.av_buffersrc_parameters_alloc
#define av_buffersrc_parameters_set vpi_libav.av_buffersrc_parameters_set
#define avfilter_get_by_name vpi_libav.avfilter_get_by_name
#define avfilter_graph_alloc vpi_libav.avfilter_graph_alloc
#define avfilter_graph_alloc_filter vpi_libav.avfilter_graph_alloc_filter
#define avfilter_graph_config vpi_libav.avfilter_graph_config
#define avfilter_graph_free vpi_libav.avfilter_graph_free
#define avfilter_graph_parse_ptr vpi_libav.avfilter_graph_parse_ptr
#define avfilter_init_str vpi_libav.avfilter_init_str
#define avfilter_inout_alloc vpi_libav.avfilter_inout_alloc
#define avfilter_inout_free vpi_libav.avfilter_inout_free
#define avfilter_version vpi_libav.avfilter_version
#define sws_alloc_context vpi_libav.sws_alloc_context
#define sws_freeContext vpi_libav.sws_freeContext
#define sws_init_context vpi_libav.sws_init_context
#define sws_scale vpi_libav.sws_scale
#define swscale_version vpi_libav.swscale_version
#define swr_alloc_set_opts2 vpi_libav.swr_alloc_set_opts2
#define swr_close vpi_libav.swr_close
#define swr_convert vpi_libav.swr_convert
#define swr_free vpi_libav.swr_free
#define swr_get_delay vpi_libav.swr_get_delay
#define swr_get_out_samples vpi_libav.swr_get_out_samples
#define swr_init vpi_libav.swr_init
#define swr_set_compensation vpi_libav.swr_set_compensation
#define swr_set_matrix vpi_libav.swr_set_matrix
#define swresample_version vpi_libav.swresample_version
#define x264_encoder_close vpi_libav.x264_encoder_close
#define x264_encoder_delayed_frames vpi_libav.x264_encoder_delayed_frames
#define x264_encoder_encode vpi_libav.x264_encoder_encode
#define x264_encoder_headers vpi_libav.x264_encoder_headers
#define x264_encoder_parameters vpi_libav.x264_encoder_parameters
#define x264_levels (*vpi_libav.x264_levels)
#define x264_param_apply_profile vpi_libav.x264_param_apply_profile
#define x264_param_default_preset vpi_libav.x264_param_default_preset
#define x264_picture_init vpi_libav.x264_picture_init
#undef x264_encoder_open
#define x264_encoder_open vpi_libav.vpi_x264_open
/* inline in avio.h */
#define avio_tell(io) avio_seek(io, 0, SEEK_CUR)
#endif

#endif
