# SPDX-License-Identifier: LGPL-2.1-or-later
"""More clips for test_inputs.py, by the recipes of each row; they join those of clips.py."""
import os
import struct
import subprocess
import tempfile

from clips import AAC, FF, X264, clip, colours, lavfi, run, sync_sources, test_video, write

RAMP = "color=white:s=160x90:r=30:d=%s,format=yuv420p,fade=in:st=0:d=%s"
PCM = "-c:a pcm_s16le".split()


def join(to, parts):
    """Byte after byte, as people join recordings."""
    joined = b""
    with tempfile.TemporaryDirectory() as tmp:
        for n, args in enumerate(parts):
            part = os.path.join(tmp, "%d%s" % (n, os.path.splitext(to)[1]))
            run(args, part)
            joined += open(part, "rb").read()
    write(to, joined)


# ---- times ----

@clip("ramp.mp4", "6 s: mean luma rises evenly from black to white, the tone by 100 Hz each second: both tell the time")
def _(to, dep):
    run(lavfi(RAMP % (6, 6), "aevalsrc='0.4*sin(2*PI*(400+100*floor(t))*t)':d=6:s=48000") + X264
        + ["-crf", "10", "-g", "30"] + AAC, to)


for _name, _offsets in (("sync_jump.ts", ("0", "5000")), ("sync_restart.ts", ("5000", "0"))):
    @clip(_name, "two SYNC recordings of 4 s, one after the other; times begin at %s s" % " and ".join(_offsets))
    def _(to, dep, offsets=_offsets):
        join(to, [["-i", dep("sync4.ts"), "-c", "copy", "-output_ts_offset", o] for o in offsets])


PIDS = "-mpegts_pmt_start_pid 0x200 -mpegts_start_pid 0x300".split()
for _name, _options in (("sync_pids.ts", PIDS), ("sync_program.ts", PIDS + ["-mpegts_service_id", "7"]),
                        ("sync_sound_pid.ts", ["-streamid", "1:768"])):
    @clip(_name, "two SYNC recordings of 4 s, the second one with %s" % " ".join(_options))
    def _(to, dep, options=_options):
        join(to, [["-i", dep("sync4.ts"), "-c", "copy"] + o for o in ([], options)])


@clip("other_pids.ts", "a recording in H.264 and one in MPEG-2 with other PIDs behind it")
def _(to, dep):
    join(to, [["-i", dep("base.mp4"), "-c", "copy"], ["-i", dep("base.mp4"), "-c:v", "mpeg2video", "-c:a", "copy"] + PIDS])


@clip("programs.ts", "two programmes: base.mp4 with 1000 Hz, motion.mp4 with 300 Hz")
def _(to, dep):
    run(["-i", dep("base.mp4"), "-t", "2", "-i", dep("motion.mp4")] + "-map 0 -map 1 -c copy".split()
        + ["-program", "program_num=1:st=0:st=1", "-program", "program_num=2:st=2:st=3"], to)


for _name, _codec, _lengths in (("chain.opus", "libopus", (2, 0.8, 2)), ("chain.ogg", "libvorbis", (2, 0.8, 2)),
                                ("chain.webm", "libopus", (2, 0.8, 2)), ("chain_two.webm", "libopus", (2, 2))):
    @clip(_name, "recordings one after the other: a beep 0.4 s into each second of each")
    def _(to, dep, codec=_codec, lengths=_lengths):
        beep = "aevalsrc='sin(2*PI*1000*t)*between(mod(t,1),0.4,0.43)':d=%s:s=48000"
        join(to, [lavfi(None, beep % d) + ["-c:a", codec, "-b:a", "96k"] for d in lengths])


@clip("chain_av.ogv", "two recordings of picture and sound in Ogg, one after the other")
def _(to, dep):
    join(to, [lavfi(test_video(d="2"), "sine=1000:d=2:r=48000") + "-c:v libtheora -c:a libvorbis".split()] * 2)


@clip("sync_wrap.ts", "SYNC with B-frames whose 33-bit times wrap after about a second")
def _(to, dep):
    run(["-i", dep("sync4.ts"), "-c", "copy", "-output_ts_offset", "95441.3"], to)


@clip("no_pts.ts", "every tenth picture has no time")
def _(to, dep):
    run(["-i", dep("base.mp4"), "-c", "copy", "-bsf:v", "setts=pts='if(eq(mod(N,10),5),NOPTS,PTS)'"], to)


@clip("b_frames.avi", "MPEG-4 with B-frames in AVI, which has no presentation times")
def _(to, dep):
    run(["-i", dep("base.mp4"), "-c:v", "mpeg4", "-bf", "2", "-c:a", "libmp3lame"], to)


@clip("no_rate.hevc", "raw HEVC without timing information")
def _(to, dep):
    run(lavfi(test_video()) + "-c:v libx265 -preset ultrafast -x265-params "
        "log-level=none:pools=1:vui-timing-info=0:keyint=30".split(), to)


def patch_edits(to, source, *lists, shift=False):
    """Replaces what the edit list of each track says: (duration s, media time s or None, rate). lists: one for each
    track, or one for all; shift: media times count from where the track's list of before begins (priming, delay of
    reordering), so that tracks cut alike stay together."""
    data = bytearray(open(source, "rb").read())
    movie = u32(data, find(data, b"mvhd") + 16)
    at = find(data, b"moov") - 4
    # Tables may grow: the moov of these clips stands at the end.
    for n in range(2):
        entries = lists[min(n, len(lists) - 1)]
        at = data.index(b"elst", at) - 4
        media = u32(data, data.index(b"mdhd", at) + 16)
        size, first = u32(data, at), u32(data, at + 20) if shift else 0
        table = b"".join(struct.pack(">IiI", round(d * movie), -1 if m is None else first + round(m * media),
                                     round(r * 65536)) for d, m, r in entries)
        new = struct.pack(">I4sII", 16 + len(table), b"elst", 0, len(entries)) + table
        grow = len(new) - size
        for parent in (b"edts", b"trak", b"moov"):
            p = data.rindex(parent, 0, at) - 4
            struct.pack_into(">I", data, p, u32(data, p) + grow)
        data[at:at + size] = new
        at += len(new)
    write(to, bytes(data))


@clip("sync_half.mp4", "12 s with a flash and a beep each half second, B-frames, a keyframe each 2 s")
def _(to, dep):
    run(sync_sources("12", period="0.5") + "-c:v libx264 -preset veryfast -bf 3 -g 60 -threads 1".split() + AAC, to)


# Of picture and sound; in seconds of sync_half.mp4.
EDITED = {
    "edits_between.mp4": [[(1.7, 1.013, 1), (2.21, 4.777, 1), (1.3, 9.111, 1)]],
    "edits_many.mp4": [[(0.35, 0.1 + 0.537 * n, 1) for n in range(20)]],
    "edits_pause.mp4": [[(2, 1, 1), (0.731, None, 1), (2, 5.1, 1)]],
    "edits_picture.mp4": [[(1.5, 1.213, 1), (2.5, 3, 1)], [(4, 1.213, 1)]],
    "edits_sound.mp4": [[(4, 1, 1)], [(2, 1, 1), (0.25, None, 1), (1.75, 3.25, 1)]],
    "edit_between.mp4": [[(3, 2.517, 1)]],
    "edits_to_end.mp4": [[(1, 2, 1), (0, 9, 1)]],
    "edits_again.mp4": [[(1, 5, 1), (1, 2, 1)]],
}
for _name, _lists in EDITED.items():
    @clip(_name, "sync_half.mp4 with the edits %s" % _lists[0][:3])
    def _(to, dep, lists=_lists):
        patch_edits(to, dep("sync_half.mp4"), *lists, shift=True)


@clip("edits_long.mp4", "70 s of SYNC in three edits of 130 s, a keyframe each 8 s: more than one span of work")
def _(to, dep):
    run(sync_sources("130", period="0.5") + "-c:v libx264 -preset veryfast -bf 3 -g 250 -threads 1".split() + AAC,
        to + ".mp4")
    patch_edits(to, to + ".mp4", EDITS_LONG, shift=True)
    os.unlink(to + ".mp4")


EDITS_LONG = [(25, 10.3, 1), (30, 50.1, 1), (15, 100.7, 1)]


@clip("rare.mp4", "12 s that rise from black to white, in pictures that are up to 1.7 s apart, with B-frames")
def _(to, dep):
    run(lavfi(RAMP % (12, 12), "sine=d=12")
        + ["-vf", "select='eq(n,0)+eq(n,50)+gt(n,90)*not(mod(n,11))+eq(n,200)'", "-fps_mode", "vfr"]
        + "-c:v libx264 -crf 8 -bf 3 -g 30 -threads 1".split() + AAC, to)


for _name, _at in (("rare_early.mp4", 0.7), ("rare_late.mp4", 7.77)):
    @clip(_name, "3 s of rare.mp4 from %s s on" % _at)
    def _(to, dep, at=_at):
        patch_edits(to, dep("rare.mp4"), [(3, at, 1)], shift=True)


def u32(data, at):
    return struct.unpack_from(">I", data, at)[0]


def find(data, name):
    return bytes(data).index(name)


for _name, _edits in (("trim.mp4", [(2, 2.5, 1)]), ("edits.mp4", [(1, 1, 1), (1, 4, 1)]),
                      ("edit_rate.mp4", [(2, 1, 0.5)])):
    @clip(_name, "ramp.mp4 with the edit list %s" % _edits)
    def _(to, dep, edits=_edits):
        patch_edits(to, dep("ramp.mp4"), edits)


WHITE_LAST = "color=black:s=128x72:r=%d:d=%d,format=yuv420p,geq=lum='if(lt(N,%d),16,235)':cb=128:cr=128"


@clip("end_card.mp4", "black, now and then a new picture; the last one is white, and lasts for 8 ms")
def _(to, dep):
    run(lavfi(WHITE_LAST % (125, 4, 499)) + ["-vf", "select='not(mod(n,13))+eq(n,499)'", "-fps_mode", "vfr"] + X264, to)


@clip("last_tick.mp4", "25 pictures a second, of which the last one lasts a tick")
def _(to, dep):
    run(lavfi(WHITE_LAST % (25, 2, 49)) + X264 + ["-bsf:v", "setts=duration='if(eq(N,49),1,DURATION)'"], to)


@clip("slides.mp4", "three slides of 5 s")
def _(to, dep):
    run(lavfi(test_video("128x72", "0.2", "15"), "sine=500:d=15:r=48000") + X264 + AAC, to)


@clip("r240.mp4", "240 fps, 2 s")
def _(to, dep):
    run(lavfi(test_video("128x72", "240", "2"), "sine=500:d=2:r=48000") + X264 + AAC, to)


@clip("late_pid.ts", "an audio PID whose first packet comes after 8 s")
def _(to, dep):
    run(["-i", dep("late_audio8.mp4"), "-c", "copy"], to)


@clip("r2997.mkv", "29.97 fps in ticks of 1 ms")
def _(to, dep):
    run(["-i", dep("r2997.mp4"), "-c", "copy"], to)


# ---- picture ----

@clip("flip.mp4", "display matrix that mirrors left and right")
def _(to, dep):
    data = bytearray(open(dep("base.mp4"), "rb").read())
    at = find(data, b"tkhd") + 4 + 40
    w = u32(data, find(data, b"tkhd") + 4 + 76)
    struct.pack_into(">9i", data, at, -65536, 0, 0, 0, 65536, 0, w, 0, 0x40000000)
    write(to, bytes(data))


@clip("tiny.mkv", "6x4 pixels")
def _(to, dep):
    run(lavfi("color=red:s=32x32:d=1:r=25,format=rgb24,crop=6:4") + ["-c:v", "ffv1"], to)


@clip("sar_two.mp4", "SAR 1:1 in the bitstream, 16:11 in the container")
def _(to, dep):
    run(lavfi(test_video("128x96")) + ["-vf", "setsar=1"] + X264, to + ".mp4")
    run(["-i", to + ".mp4", "-c", "copy", "-aspect", "%d:%d" % (128 * 16, 96 * 11)], to)
    os.unlink(to + ".mp4")


@clip("sar_near.mp4", "SAR 200:199: a rounding")
def _(to, dep):
    run(lavfi(test_video("128x72")) + ["-vf", "setsar=200/199"] + X264, to)


INTERLACED = ["-vf", "tinterlace=interleave_top,setfield=tff", "-x264opts", "tff=1", "-flags", "+ildct+ilme"]


@clip("fields.mp4", "25 interlaced pictures of 50 fields, a bar that moves with each field")
def _(to, dep):
    run(moving(50) + INTERLACED + X264 + ["-crf", "10"], to)


@clip("fields_unflagged.mkv", "the same fields, said to be progressive")
def _(to, dep):
    run(moving(50) + ["-vf", "tinterlace=interleave_top,setfield=prog"] + ["-c:v", "ffv1"], to)


@clip("psf.mp4", "progressive pictures, said to be interlaced")
def _(to, dep):
    run(moving(25) + ["-vf", "setfield=tff", "-x264opts", "tff=1", "-flags", "+ildct+ilme"] + X264 + ["-crf", "10"], to)


@clip("some_fields.ts", "0.8 s of interlaced pictures, flagged so, in 4.8 s of progressive ones")
def _(to, dep):
    whole = moving(25) + X264 + ["-crf", "10"]
    join(to, [whole + ["-output_ts_offset", "0"],
              moving(50) + INTERLACED + X264 + ["-crf", "10", "-t", "0.8", "-output_ts_offset", "2"],
              whole + ["-output_ts_offset", "2.8"]])


@clip("half_fields.ts", "2 s of interlaced pictures, flagged so, then 2 s of progressive ones")
def _(to, dep):
    join(to, [moving(50) + INTERLACED + X264 + ["-crf", "10", "-output_ts_offset", "0"],
              moving(25) + X264 + ["-crf", "10", "-output_ts_offset", "2"]])


def moving(rate):
    # A ramp of luma runs through the picture, 2 pixels a field at 50: combs where fields of two times are woven.
    bars = "geq=lum='if(lt(mod(X+160-N*%d,160),80),40,200)'" % (100 // rate * 2)
    return lavfi("color=black:s=160x96:r=%d:d=2,format=gray,%s,format=yuv420p" % (rate, bars))


for _name, _trc in (("hlg.mp4", "arib-std-b67"), ("pq.mp4", "smpte2084")):
    @clip(_name, "10-bit grey steps, BT.2020, " + _trc)
    def _(to, dep, trc=_trc):
        run(lavfi("color=black:s=160x90:r=25:d=1,format=yuv420p10le,geq=lum='64+876*floor(X/10)/16':cb=512:cr=512")
            + ["-vf", colours("bt2020", trc, "bt2020nc")] + "-c:v libx265 -preset ultrafast -crf 8 -tag:v hvc1".split()
            + ["-x265-params", "log-level=none:pools=1:colorprim=bt2020:transfer=%s:colormatrix=bt2020nc" % trc], to)


for _name, _more, _why in (("pq_bare.ts", "", "names its transfer only"),
                           ("pq_p3.ts", ":colorprim=smpte432:colormatrix=bt2020nc", "in the primaries of P3 with D65")):
    @clip(_name, "10-bit PQ, a patch of red and one of grey, that " + _why)
    def _(to, dep, more=_more):
        run(lavfi("color=black:s=160x90:r=25:d=1,format=yuv420p10le,geq=lum='if(lt(X,80),400,450)':"
                  "cb='if(lt(X,40),440,512)':cr='if(lt(X,40),640,512)'")
            + "-c:v libx265 -preset ultrafast -crf 4 -x265-params".split()
            + ["log-level=none:pools=1:transfer=smpte2084" + more], to)


@clip("alpha.mov", "qtrle: red at half, and white under an alpha of 0 in the right half")
def _(to, dep):
    run(lavfi("color=red:s=128x72:r=25:d=1,format=argb,geq=r='255':g='if(lt(X,64),0,255)':b='if(lt(X,64),0,255)':"
              "a='if(lt(X,64),128,0)'") + ["-c:v", "qtrle"], to)


@clip("hold.gif", "GIF of 10 pictures of 0.1 s, the last one held for 1.5 s")
def _(to, dep):
    patch_gif(to, dep, lambda n: 150 if n == 9 else 10)


@clip("zero_delay.gif", "GIF of 10 pictures with a delay of 0")
def _(to, dep):
    patch_gif(to, dep, lambda n: 0)


def patch_gif(to, dep, delay, seconds="1"):
    with tempfile.TemporaryDirectory() as tmp:
        gif = os.path.join(tmp, "x.gif")
        run(lavfi(test_video("64x64", "10", seconds)), gif)
        data = bytearray(open(gif, "rb").read())
    at = n = 0
    while True:
        at = data.find(b"\x21\xf9\x04", at)
        if at < 0:
            break
        struct.pack_into("<H", data, at + 4, delay(n))
        at, n = at + 8, n + 1
    write(to, bytes(data))


@clip("two.gif", "GIF of two pictures, the first for 1 s, the second with a delay of 0")
def _(to, dep):
    patch_gif(to, dep, lambda n: 100 if n == 0 else 0, "0.2")


@clip("one.gif", "GIF of one picture")
def _(to, dep):
    run(lavfi(test_video("64x64", "1", "1")) + ["-frames:v", "1"], to)


@clip("still.jpg", "a photograph")
def _(to, dep):
    run(lavfi(test_video("64x64", "1", "1")) + ["-frames:v", "1"], to)


for _name, _second in (("pixfmt.ts", ["-pix_fmt", "yuv422p"]), ("depth.ts", ["-pix_fmt", "yuv420p10le"])):
    @clip(_name, "%s from the middle on" % _second[1])
    def _(to, dep, second=_second):
        join(to, [lavfi(test_video()) + X264 + ["-output_ts_offset", "0"],
                  lavfi(test_video()) + X264 + second + ["-output_ts_offset", "2"]])


for _name, _ranges in (("full_first.ts", ("pc", "tv")), ("limited_first.ts", ("tv", "pc"))):
    @clip(_name, "H.264 of range %s, from the middle on %s" % _ranges)
    def _(to, dep, ranges=_ranges):
        scale = "scale=out_range=%s:out_color_matrix=bt709,format=yuv420p,"
        join(to, [lavfi("smptebars=s=128x72:r=30:d=2") + ["-vf", scale % r + colours("bt709", "bt709", "bt709", r)]
                  + X264 + ["-color_range", r, "-output_ts_offset", str(2 * n)] for n, r in enumerate(ranges)])


@clip("grey.avi", "raw grey pictures, as cameras of laboratories write them: black is 0, white is 255")
def _(to, dep):
    run(lavfi("color=black:s=160x90:r=25:d=1,format=gray,geq=lum='X*255/159'") + "-c:v rawvideo -pix_fmt gray".split(),
        to)


# ---- sound and tracks ----

@clip("cover_webp.mp3", "MP3 with cover art in WebP")
def _(to, dep):
    # An APIC frame by hand: the muxer refuses this type in some versions.
    with tempfile.TemporaryDirectory() as tmp:
        art, mp3 = os.path.join(tmp, "a.webp"), os.path.join(tmp, "a.mp3")
        run(lavfi(test_video("64x64", "1", "1")) + ["-frames:v", "1", "-c:v", "libwebp"], art)
        run(lavfi(None, "sine=440:d=4:r=48000") + "-c:a libmp3lame -id3v2_version 0 -write_xing 0".split(), mp3)
        body = b"\0image/webp\0\x03\0" + open(art, "rb").read()
        frame = b"APIC" + struct.pack(">IH", len(body), 0) + body
        size = bytes((len(frame) >> s) & 0x7F for s in (21, 14, 7, 0))
        write(to, b"ID3\x03\0\0" + size + frame + open(mp3, "rb").read())


@clip("cover_video.mp4", "a film with cover art")
def _(to, dep):
    with tempfile.TemporaryDirectory() as tmp:
        png = os.path.join(tmp, "c.png")
        run(lavfi(test_video("64x64", "1", "1")) + ["-frames:v", "1"], png)
        run(["-i", png, "-i", dep("base.mp4")] + "-map 0 -map 1 -c copy -disposition:v:0 attached_pic".split(), to)


@clip("three_tracks.mp4", "English, French, English")
def _(to, dep):
    args = lavfi(test_video(d="2"))
    for hz in (440, 880, 660):
        args += lavfi(None, "sine=%d:d=2:r=48000" % hz)
    run(args + "-map 0 -map 1 -map 2 -map 3 -metadata:s:a:0 language=eng -metadata:s:a:1 language=fre".split()
        + ["-metadata:s:a:2", "language=eng"] + X264 + AAC, to)


for _name, _layout, _n in (("centre51.mp4", "5.1", 6), ("centre71.mp4", "7.1", 8)):
    @clip(_name, "AAC %s with sound in the centre only" % _layout)
    def _(to, dep, layout=_layout, n=_n):
        channels = "|".join("0.5*sin(2*PI*440*t)" if c == 2 else "0" for c in range(n))
        run(lavfi(test_video(), "aevalsrc='%s':c=%s:d=2:s=48000" % (channels, layout)) + X264 + ["-c:a", "aac", "-b:a",
                                                                                                   "256k"], to)


@clip("unknown51.mkv", "six channels of PCM without a layout, a tone in the third")
def _(to, dep):
    with tempfile.TemporaryDirectory() as tmp:
        pcm = os.path.join(tmp, "a.raw")
        run(lavfi(None, "aevalsrc='0|0|0.5*sin(2*PI*440*t)|0|0|0':c=5.1:d=2:s=48000") + ["-f", "s16le"], pcm)
        run(lavfi(test_video()) + "-f s16le -ar 48000 -ac 6 -i".split() + [pcm, "-map", "0", "-map", "1"]
            + X264 + PCM, to)


@clip("rate_change.ts", "500 Hz, 44.1 kHz mono, from the middle on 48 kHz stereo")
def _(to, dep):
    join(to, [lavfi(test_video(), "sine=500:d=2:r=44100") + X264 + AAC + ["-ac", "1", "-output_ts_offset", "0"],
              lavfi(test_video(), "sine=500:d=2:r=48000") + X264 + AAC + ["-ac", "2", "-output_ts_offset", "2"]])


@clip("frame_and_sound.mp4", "0.04 s of picture and sound")
def _(to, dep):
    run(lavfi(test_video(rate="25", d="0.04"), "sine=d=0.04:r=48000") + X264 + AAC, to)


@clip("attachment.mkv", "a font beside picture and sound")
def _(to, dep):
    with tempfile.TemporaryDirectory() as tmp:
        font = os.path.join(tmp, "x.ttf")
        write(font, b"\0\1\0\0" + bytes(60))
        run(["-i", dep("base.mp4"), "-c", "copy", "-attach", font, "-metadata:s:t",
             "mimetype=application/x-truetype-font"], to)


@clip("private.ts", "a stream of private data")
def _(to, dep):
    with tempfile.TemporaryDirectory() as tmp:
        data = os.path.join(tmp, "x.bin")
        write(data, bytes(range(256)) * 4)
        run(["-i", dep("base.mp4"), "-f", "data", "-i", data, "-map", "0", "-map", "1", "-c", "copy"], to)


@clip("dropped.mkv", "a second audio track in a codec that is not on the list (RealAudio 1.0)")
def _(to, dep):
    run(["-i", dep("base.mp4")] + "-map 0 -map 0:a -c copy -c:a:1 real_144 -ar:a:1 8000 -ac:a:1 1".split(), to)


@clip("two_pictures.mp4", "two video tracks: a camera to the front and one to the rear")
def _(to, dep):
    run(["-i", dep("base.mp4"), "-i", dep("portrait.mp4")] + "-map 0 -map 1:v -c copy".split(), to)


for _ext in ("mp4", "avi", "flv", "wmv"):
    @clip("joined." + _ext, "base.%s twice: readers stop at the second header, or read on out of step" % _ext)
    def _(to, dep, name="base." + _ext):
        write(to, open(dep(name), "rb").read() * 2)


@clip("joined.webm", "two WebM recordings of one recorder")
def _(to, dep):
    write(to, open(dep("sync4.webm"), "rb").read() * 2)


@clip("joined.mkv", "two Matroska files whose tracks differ")
def _(to, dep):
    write(to, open(dep("base.mkv"), "rb").read() + open(dep("sync4.webm"), "rb").read())


@clip("padded.mp4", "an MP4, zeros and an ID3 tag behind it")
def _(to, dep):
    write(to, open(dep("faststart.mp4"), "rb").read() + bytes(1 << 20) + b"TAG" + bytes(125))


def captions(field, pairs):
    """SEI of ATSC A/53 part 4 6.2.3: cc_data of one picture. field 0: CEA-608, 3: CEA-708."""
    cc = b"".join(bytes((0xFC | field, a, b)) for a, b in pairs)
    body = b"\xb5\0\x31GA94\x03" + bytes((0xC0 | len(pairs), 0xFF)) + cc + b"\xff"
    sei, size = b"\x04", len(body)
    while size >= 255:
        sei, size = sei + b"\xff", size - 255
    raw, out, zeros = sei + bytes((size,)) + body + b"\x80", bytearray(), 0
    for b in raw:       # emulation prevention (H.264 7.4.1)
        if zeros >= 2 and b <= 3:
            out.append(3)
            zeros = 0
        out.append(b)
        zeros = zeros + 1 if b == 0 else 0
    return b"\0\0\0\1\x06" + bytes(out)


def parity(c):
    return c | (0x80 if bin(c).count("1") % 2 == 0 else 0)


def with_captions(data, field):
    """Annex B with captions before the first slice of each picture: text on every picture, and null pairs."""
    out, at, n = bytearray(), 0, 0
    starts = []
    while True:
        at = data.find(b"\0\0\1", at)
        if at < 0:
            break
        starts.append(at)
        at += 3
    text = "HELLO CAPTIONS WORLD "
    roll = [(0x14, 0x25), (0x14, 0x25), (0x14, 0x2D), (0x14, 0x2D)]
    last = 0
    for s in starts:
        kind = data[s + 3] & 31
        if kind in (1, 5) and data[s + 4] & 0x80:
            begin = s - 1 if s and data[s - 1] == 0 else s
            out += data[last:begin]
            a, b = roll[n] if n < 4 else (ord(text[2 * n % 20]), ord(text[(2 * n + 1) % 20]))
            out += captions(field, [(parity(a), parity(b)) if field == 0 else (a, b)])
            last, n = begin, n + 1
    return bytes(out + data[last:])


def caption_clip(name, field):
    @clip(name, "CEA-%d captions in SEI" % (608 if field == 0 else 708))
    def _(to, dep):
        with tempfile.TemporaryDirectory() as tmp:
            raw = os.path.join(tmp, "x.h264")
            run(["-i", dep("base.mp4"), "-map", "0:v", "-c", "copy", "-bsf:v", "h264_mp4toannexb"], raw)
            data = open(raw, "rb").read()
            write(raw, with_captions(data, field))
            run(["-r", "30", "-i", raw, "-i", dep("base.mp4"), "-map", "0:v", "-map", "1:a", "-c", "copy"], to)


caption_clip("captions608.ts", 0)
caption_clip("captions608.mp4", 0)
caption_clip("captions708.mp4", 3)

SRT = "1\n00:00:00,200 --> 00:00:01,500\nHello\n"


for _name, _codec in (("mov_text.mp4", "mov_text"), ("srt.mkv", "srt"), ("ass.mkv", "ass")):
    @clip(_name, "subtitles as text, " + _codec)
    def _(to, dep, codec=_codec):
        with tempfile.TemporaryDirectory() as tmp:
            srt = os.path.join(tmp, "x.srt")
            write(srt, SRT.encode())
            run(["-i", dep("base.mp4"), "-i", srt, "-map", "0", "-map", "1", "-c", "copy", "-c:s", codec,
                 "-metadata:s:s:0", "language=ger"], to)


@clip("pgs.mkv", "subtitles as bitmaps")
def _(to, dep):
    def segment(time, kind, body):
        return b"PG" + struct.pack(">IIBH", time, 0, kind, len(body)) + body
    def show(n):
        return struct.pack(">HHBHBBBB", 128, 72, 0x10, n, 0x80 if n == 0 else 0, 0, 0, 0)
    shows = b"".join(segment(t, 0x16, show(n)) + segment(t, 0x80, b"") for n, t in enumerate((18000, 90000)))
    with tempfile.TemporaryDirectory() as tmp:
        sup = os.path.join(tmp, "x.sup")
        write(sup, shows)
        run(["-i", dep("base.mp4"), "-i", sup, "-map", "0", "-map", "1", "-c", "copy"], to)


# ---- mean ones ----

@clip("zeros.mp4", "64 KiB of zeros")
def _(to, dep):
    write(to, bytes(65536))


for _name, _source, _share in (("cut.webm", "sync4.webm", 60), ("cut_frag.mp4", "frag.mp4", 60),
                               ("cut.avi", "base.avi", 60), ("cut_end.mp4", "faststart.mp4", 97),
                               ("cut_end.mkv", "base.mkv", 97),
                               ("cut.flv", "base.flv", 97), ("cut.wav", "tone.wav", 97), ("cut.aiff", "tone.aiff", 97),
                               ("cut.caf", "tone.caf", 97), ("cut.ogg", "tone.ogg", 97), ("cut.gif", "anim.gif", 97),
                               ("cut.flac", "tone.flac", 97), ("cut.wmv", "base.wmv", 97), ("cut.mxf", "base.mxf", 97)):
    @clip(_name, "%s cut at %d %%" % (_source, _share))
    def _(to, dep, source=_source, share=_share):
        data = open(dep(source), "rb").read()
        write(to, data[:len(data) * share // 100])


for _ext in ("mp4", "ts"):
    @clip("sound_lost.%s" % _ext, "SYNC without two packets of sound at 1.6 s")
    def _(to, dep, source="sync4.%s" % _ext):
        run(["-i", dep(source), "-c", "copy", "-bsf:a", "noise=amount=0:drop='eq(n,75)+eq(n,76)'"], to)


for _name, _args in (("pipe.wav", "-c:a pcm_s24le"), ("pipe.caf", "-c:a pcm_s16le")):
    @clip(_name, "sound written into a pipe: its size is unknown")
    def _(to, dep, args=_args):
        pipe = subprocess.run(FF + lavfi(None, "sine=1000:d=2.01:r=48000") + args.split()
                              + ["-f", to.rpartition(".")[2], "-"], stdout=subprocess.PIPE, check=True)
        write(to, pipe.stdout)


for _name, _args in (("base.flv", "-c copy"), ("tone.wav", "-vn"), ("tone.aiff", "-vn"),
                     ("tone.caf", "-vn -c:a pcm_s16le"), ("tone.ogg", "-vn -c:a libopus"),
                     ("tone.flac", "-vn -frame_size 960"),
                     ("base.wmv", "-c:v wmv2 -c:a wmav2"),
                     ("base.mxf", "-c:v mpeg2video -c:a pcm_s16le -ar 48000")):
    @clip(_name, "base.mp4 as " + _name.rpartition(".")[2])
    def _(to, dep, args=_args):
        run(["-i", dep("base.mp4")] + args.split(), to)


@clip("frag.mp4", "MP4 in fragments")
def _(to, dep):
    run(["-i", dep("base.mp4"), "-c", "copy", "-movflags", "+frag_keyframe+empty_moov"], to)


@clip("base.avi", "MPEG-4 part 2 and MP3")
def _(to, dep):
    run(["-i", dep("base.mp4"), "-c:v", "mpeg4", "-c:a", "libmp3lame"], to)


@clip("scratched.mp4", "one picture in sixty damaged")
def _(to, dep):
    run(["-i", dep("motion.mp4"), "-c", "copy", "-bsf:v", "noise=amount=if(eq(mod(n\\,60)\\,45)\\,20\\,0)"], to)


@clip("ruined.mp4", "most pictures damaged")
def _(to, dep):
    run(["-i", dep("motion.mp4"), "-c", "copy", "-bsf:v", "noise=amount=15"], to)


@clip("sound_scratched.mp4", "one frame of sound in forty damaged")
def _(to, dep):
    run(["-i", dep("motion.mp4"), "-c", "copy", "-bsf:a", "noise=amount=if(eq(mod(n\\,40)\\,20)\\,8\\,0)"], to)


@clip("sound_ruined.mp4", "all of the sound damaged")
def _(to, dep):
    run(["-i", dep("motion.mp4"), "-c", "copy", "-bsf:a", "noise=amount=6"], to)


@clip("wide.mp4", "a sample entry that declares 30000x20000")
def _(to, dep):
    data = bytearray(open(dep("base.mp4"), "rb").read())
    struct.pack_into(">HH", data, find(data, b"avc1\0\0\0\0\0\0") + 28, 30000, 20000)
    write(to, bytes(data))


@clip("streams.mkv", "70 audio streams")
def _(to, dep):
    run(["-i", dep("base.mp4")] + ["-map", "0:v"] + ["-map", "0:a"] * 70 + ["-c", "copy"], to)


@clip("weeks.mp4", "100 hours out of 60 pictures")
def _(to, dep):
    run(["-i", dep("base.mp4"), "-map", "0:v", "-c", "copy", "-bsf:v", "setts=ts=TS*180000"], to)


@clip("cbcs.mp4", "a track renamed encv, as a packager of cbcs writes it")
def _(to, dep):
    data = open(dep("encrypted.mp4"), "rb").read()
    write(to, data.replace(b"cenc", b"cbcs"))


@clip("upright.ts", "no rotation; offset so that the turned one goes behind it")
def _(to, dep):
    run(lavfi(test_video("128x72")) + X264 + ["-g", "15", "-bf", "0"], to)


@clip("turned.ts", "turned by a message in the bitstream, a quarter counter-clockwise (I10)")
def _(to, dep):
    run(["-i", dep("upright.ts"), "-c", "copy", "-output_ts_offset", "2", "-bsf:v",
         "h264_metadata=display_orientation=insert:rotate=90"], to)


@clip("turned_by_hand.mp4", "the same with turned pixels")
def _(to, dep):
    run(["-i", dep("upright.ts"), "-vf", "transpose=cclock"] + X264, to)


@clip("turns.ts", "the rotation changes mid-stream (I32)")
def _(to, dep):
    write(to, open(dep("upright.ts"), "rb").read() + open(dep("turned.ts"), "rb").read())


@clip("scrambled.ts", "transport_scrambling_control set on all media packets")
def _(to, dep):
    data = bytearray(open(dep("base.ts"), "rb").read())
    for at in range(0, len(data), 188):
        if ((data[at + 1] & 31) << 8 | data[at + 2]) in (0x100, 0x101):
            data[at + 3] |= 0x80
    write(to, bytes(data))


# ---- damage ----

@clip("headless.ts", "HEVC whose first 13 pictures are missing: it begins between two random access points")
def _(to, dep):
    with tempfile.TemporaryDirectory() as tmp:
        whole = os.path.join(tmp, "x.ts")
        run(["-i", dep("ramp.mp4")] + "-c:v libx265 -preset ultrafast -crf 10 -x265-params".split()
            + ["log-level=none:pools=1:keyint=30:scenecut=0", "-c:a", "copy"], whole)
        run(["-i", whole, "-c", "copy", "-bsf:v", "noise=drop='lt(n,13)'"], to)


@clip("missing.avi", "MPEG-4 in AVI with B-frames, ten packets of which are no pictures")
def _(to, dep):
    run(["-i", dep("ramp.mp4")] + "-c:v mpeg4 -bf 2 -g 30 -q:v 2 -c:a libmp3lame".split(), to)
    data, at = bytearray(open(to, "rb").read()), 0
    for n in range(80):
        at = data.index(b"00dc", at + 4)
        if n >= 70:
            data[at + 8:at + 8 + struct.unpack_from("<I", data, at + 4)[0]] = bytes(struct.unpack_from("<I", data, at + 4)[0])
    write(to, bytes(data))
