#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Test clips, made by ffmpeg (and a little Python) into a cache directory.

    from clips import make, NAMES
    path = make("vfr.mkv", "/var/tmp/clips")        made once, then found

    clips.py DIR [NAME ...]     makes all, or those named, and prints their paths

WHY says what each is for; the mean ones are inputs that the product must refuse or repair.
"""
import os
import random
import struct
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True

FF = ["nice", "ffmpeg", "-v", "error", "-nostdin", "-y", "-threads", "1"]
X264 = "-c:v libx264 -preset ultrafast -threads 1".split()
AAC = "-c:a aac -b:a 96k".split()
KEY = "0123456789abcdef0123456789abcdef"

NAMES, WHY = {}, {}


def clip(name, why):
    def add(fn):
        NAMES[name], WHY[name] = fn, why
        return fn
    return add


def run(args, to):
    """ffmpeg with the output's own extension kept, so that the format follows from it."""
    subprocess.run(FF + args + [to], check=True)


def lavfi(video=None, audio=None):
    out = []
    for x in (video, audio):
        if x:
            out += ["-f", "lavfi", "-i", x]
    return out


def test_video(size="128x72", rate="30", d="2", more=""):
    return "testsrc2=s=%s:r=%s:d=%s%s" % (size, rate, d, more)


def colours(primaries, transfer, matrix, tv_or_pc="tv"):
    """A filter for -vf that names the colours of what passes. FFmpeg 7.1 does not heed an encoder's -color_primaries and
    -color_trc, 5.1 not what a source of lavfi says."""
    return "setparams=range=%s:color_primaries=%s:color_trc=%s:colorspace=%s" % (tv_or_pc, primaries, transfer, matrix)


def sync_sources(d, rate="30", period="1"):
    """A flash and a beep of one frame's length each second (period: a whole number of frames)."""
    return lavfi("color=black:s=160x90:r=%s:d=%s,drawbox=c=white:t=fill:enable='lt(mod(t+0.0001,%s),0.03)'"
                 % (rate, d, period),
                 "aevalsrc='sin(2*PI*1000*t)*lt(mod(t+0.000001,%s),0.03)':d=%s:s=48000" % (period, d))


# ---- plain ----

@clip("base.mp4", "the clip that others are cut from: 2 s, 30 fps, a keyframe each second, sine")
def _(to, dep):
    run(lavfi(test_video(), "sine=1000:d=2:r=48000") + X264 + ["-g", "30"] + AAC, to)


@clip("base.mkv", "the same in Matroska")
def _(to, dep):
    run(["-i", dep("base.mp4"), "-c", "copy"], to)


@clip("base.ts", "the same in MPEG-TS, start time 1.4 s")
def _(to, dep):
    run(["-i", dep("base.mp4"), "-c", "copy"], to)


@clip("faststart.mp4", "moov in front")
def _(to, dep):
    run(["-i", dep("base.mp4"), "-c", "copy", "-movflags", "+faststart"], to)


@clip("motion.mp4", "12 s of 640x360 with B-frames: two segments, three small rungs")
def _(to, dep):
    run(lavfi(test_video("640x360", "25", "12"), "sine=300:d=12:r=48000") + X264 + ["-bf", "3", "-g", "50"] + AAC
        + ["-ac", "2"], to)


for _seconds in (4, 30):
    for _ext, _codec in (("mp4", X264 + ["-g", "60"] + AAC), ("mkv", X264 + ["-g", "60"] + AAC),
                         ("ts", X264 + ["-g", "60", "-bf", "2"] + AAC),
                         ("webm", "-c:v libvpx -deadline realtime -cpu-used 8 -g 60 -c:a libvorbis".split())):
        @clip("sync%d.%s" % (_seconds, _ext), "flash and beep each second, %d s (FAILURES: SYNC)" % _seconds)
        def _(to, dep, d=_seconds, codec=_codec):
            run(sync_sources(str(d)) + codec, to)


@clip("sync_2398.mp4", "flash and beep at 23.976 fps, 10 s")
def _(to, dep):
    run(sync_sources("10", "24000/1001", "1.001") + X264 + ["-g", "48"] + AAC, to)


@clip("sync_late_audio.mp4", "SYNC whose audio track begins 1.5 s late by an empty edit")
def _(to, dep):
    src = dep("sync4.mp4")
    run(["-i", src, "-ss", "1.5", "-i", src, "-filter_complex", "[1:a]asetpts=PTS-STARTPTS+1.5/TB[a]", "-map", "0:v",
         "-map", "[a]", "-c:v", "copy"] + AAC, to)


# ---- frame rates (P01, I01, I02, I36, I37) ----

for _name, _rate in (("r2398", "24000/1001"), ("r2997", "30000/1001"), ("r50", "50"), ("r5994", "60000/1001"),
                     ("r60", "60"), ("r120", "120")):
    @clip(_name + ".mp4", _rate + " fps, 7 s with audio")
    def _(to, dep, rate=_rate):
        run(lavfi(test_video("128x72", rate, "7"), "sine=500:d=7:r=48000") + X264 + AAC, to)


@clip("r1.mp4", "1 fps, 9 s: slides (I36)")
def _(to, dep):
    run(lavfi(test_video("128x72", "1", "9"), "sine=500:d=9:r=48000") + X264 + ["-g", "4"] + AAC, to)


@clip("vfr.mkv", "variable frame rate: r_frame_rate says 30, average is 13 (I01)")
def _(to, dep):
    run(lavfi(test_video("128x72", "30", "8"), "sine=500:d=8:r=48000")
        + ["-vf", "select='eq(mod(n\\,7)\\,0)+eq(mod(n\\,3)\\,0)'", "-fps_mode", "vfr"] + X264 + AAC, to)


@clip("vfr.mp4", "the same in MP4")
def _(to, dep):
    run(["-i", dep("vfr.mkv"), "-c", "copy"], to)


@clip("vfr600.mov", "variable, in ticks of 1/600 s: r_frame_rate 600 (I02)")
def _(to, dep):
    run(["-i", dep("vfr.mkv"), "-c", "copy", "-video_track_timescale", "600"], to)


@clip("sync_vfr.mkv", "SYNC at a variable rate; the frames of the flashes stay")
def _(to, dep):
    run(sync_sources("10") + ["-vf", "select='lt(mod(n\\,30)\\,2)+eq(mod(n\\,3)\\,0)'", "-fps_mode", "vfr"] + X264 + AAC, to)


@clip("dup_pts.mkv", "every tenth picture has its predecessor's time (I03)")
def _(to, dep):
    run(["-i", dep("base.mp4"), "-c", "copy", "-bsf:v", "setts=ts='if(eq(mod(N,10),5),PREV_OUTPTS,TS)'"], to)


@clip("long.mp4", "9.8 hours out of 60 pictures (I26)")
def _(to, dep):
    run(["-i", dep("base.mp4"), "-map", "0:v", "-c", "copy", "-bsf:v", "setts=ts=TS*18000"], to)


@clip("no_times.h264", "raw H.264: no timestamps at all (I05)")
def _(to, dep):
    run(["-i", dep("base.mp4"), "-map", "0:v", "-c", "copy", "-bsf:v", "h264_mp4toannexb"], to)


@clip("wrap.ts", "33-bit timestamps wrap inside (I06)")
def _(to, dep):
    run(["-i", dep("base.mp4"), "-c", "copy", "-output_ts_offset", "95441.3"], to)


@clip("jump.ts", "two recordings in one file, times jump by 5000 s (I04)")
def _(to, dep):
    joined = b""
    with tempfile.TemporaryDirectory() as tmp:
        for n, offset in enumerate(("0", "5000")):
            part = os.path.join(tmp, "%d.ts" % n)
            run(["-i", dep("base.mp4"), "-c", "copy", "-output_ts_offset", offset], part)
            joined += open(part, "rb").read()
    write(to, joined)


# ---- picture shapes (I10, I11, I12) ----

def turned(path, degrees):
    """The file with its first track, the video, turned counter-clockwise by its display matrix. Written here: FFmpeg 7
    has no tag "rotate", 5.1 no "-display_rotation"."""
    data = bytearray(open(path, "rb").read())
    at = data.index(b"tkhd") + 44
    a, b, c, d = {90: (0, -1, 1, 0), 180: (-1, 0, 0, -1), 270: (0, 1, -1, 0)}[degrees]
    data[at:at + 36] = struct.pack(">9i", a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30)
    return data


for _turn in (90, 180, 270):
    @clip("rot%d.mp4" % _turn, "display matrix of %d degrees (I10)" % _turn)
    def _(to, dep, turn=_turn):
        write(to, turned(dep("base.mp4"), turn))


@clip("portrait.mp4", "72x128 as coded")
def _(to, dep):
    run(lavfi(test_video("72x128"), "sine=d=2:r=48000") + X264 + AAC, to)


@clip("sar.mp4", "anamorphic, SAR 16:11 (I12)")
def _(to, dep):
    run(lavfi(test_video("128x96"), "sine=d=2:r=48000") + ["-vf", "setsar=16/11"] + X264 + AAC, to)


@clip("odd.mkv", "127x71, FFV1 (I11)")
def _(to, dep):
    run(lavfi("color=red:s=200x200:d=2:r=30,format=rgb24,crop=127:71") + ["-c:v", "ffv1"], to)


@clip("odd.mp4", "127x71, H.264 4:4:4: odd size in the codec everybody uses")
def _(to, dep):
    run(lavfi("color=red:s=200x200:d=2:r=30,format=rgb24,crop=127:71,format=yuv444p") + X264, to)


for _fmt in ("yuv420p10le", "yuv422p", "yuv444p", "yuvj420p"):
    @clip("pix_%s.mp4" % _fmt, "H.264 in %s (I14)" % _fmt)
    def _(to, dep, fmt=_fmt):
        run(lavfi(test_video()) + X264 + ["-pix_fmt", fmt], to)


@clip("noise.mp4", "noise, which costs all the bits there are (P15)")
def _(to, dep):
    run(lavfi(test_video("320x180", "25", "8", ",noise=alls=100:allf=t")) + X264 + ["-crf", "18"], to)


@clip("black.mp4", "8 s of black and silence: almost no bits")
def _(to, dep):
    run(lavfi("color=black:s=320x180:r=25:d=8", "anullsrc=r=48000:cl=stereo:d=8") + X264 + AAC, to)


@clip("gop_long.mp4", "20 s with one keyframe")
def _(to, dep):
    run(lavfi(test_video("128x72", "30", "20"), "sine=d=20:r=48000") + X264
        + ["-g", "9999", "-keyint_min", "9999", "-sc_threshold", "0"] + AAC, to)


@clip("open_gop.mp4", "open GOPs: pictures before the I frame need the GOP before")
def _(to, dep):
    run(lavfi(test_video("128x72", "30", "6"), "sine=d=6:r=48000") + "-c:v libx264 -preset veryfast -threads 1 -bf 3 -g 30 "
        "-x264opts open-gop=1:scenecut=0".split() + AAC, to)


# ---- what is there and when (I08, I18, I19, I20, I21, I22, I24, I25) ----

@clip("audio_only.m4a", "no video")
def _(to, dep):
    run(lavfi(None, "sine=440:d=8:r=48000") + AAC, to)


@clip("video_only.mp4", "no audio")
def _(to, dep):
    run(lavfi(test_video("128x72", "30", "8")) + X264, to)


@clip("short.mp4", "0.4 s")
def _(to, dep):
    run(lavfi(test_video(d="0.4"), "sine=d=0.4:r=48000") + X264 + AAC, to)


@clip("one_frame.mp4", "a single frame")
def _(to, dep):
    run(lavfi(test_video()) + X264 + ["-frames:v", "1"], to)


@clip("late_audio.mp4", "audio begins 1.5 s after the video, empty edit (I08)")
def _(to, dep):
    src = dep("base.mp4")
    run(["-i", src, "-itsoffset", "1.5", "-i", src, "-map", "0:v", "-map", "1:a", "-c", "copy"], to)


@clip("late_audio8.mp4", "audio begins 8 s late, after the first segment (P12)")
def _(to, dep):
    src = dep("motion.mp4")
    run(["-i", src, "-itsoffset", "8", "-i", src, "-map", "0:v", "-map", "1:a", "-t", "12", "-c", "copy"], to)


@clip("late_video.mp4", "video begins 1.5 s after the audio")
def _(to, dep):
    src = dep("base.mp4")
    run(["-i", src, "-itsoffset", "1.5", "-i", src, "-map", "1:v", "-map", "0:a", "-c", "copy"], to)


@clip("early_audio.mp4", "audio ends after 1 s of 8 (I24)")
def _(to, dep):
    run(lavfi(test_video(d="8"), "sine=d=1:r=48000") + X264 + AAC, to)


@clip("long_audio.mp4", "audio lasts 6 s, video 2 s (I24)")
def _(to, dep):
    run(lavfi(test_video(d="2"), "sine=d=6:r=48000") + X264 + AAC, to)


@clip("longer_audio.mp4", "audio lasts 14 s, video 2 s: more than is cut (I24)")
def _(to, dep):
    run(lavfi(test_video(d="2"), "sine=d=14:r=48000") + X264 + AAC, to)


@clip("centre51.mkv", "5.1 with sound in the centre only: a downmix must hear it (I21)")
def _(to, dep):
    run(lavfi(test_video(d="4"), "aevalsrc='0|0|0.5*sin(2*PI*440*t)|0|0|0':c=5.1:d=4:s=48000") + X264
        + ["-c:a", "ac3", "-b:a", "384k"], to)


@clip("unknown_layout.mkv", "six channels of PCM without a layout (I22)")
def _(to, dep):
    run(lavfi(test_video()) + ["-t", "2", "-f", "s16le", "-ar", "48000", "-ac", "6", "-i", "/dev/zero", "-map", "0:v",
                              "-map", "1:a"] + X264 + ["-c:a", "pcm_s16le"], to)


@clip("mono.mp4", "mono, 44.1 kHz")
def _(to, dep):
    run(lavfi(test_video(d="4"), "sine=440:d=4:r=44100") + X264 + AAC + ["-ac", "1"], to)


@clip("two_languages.mp4", "English and French (I20)")
def _(to, dep):
    run(lavfi(test_video(d="4"), "sine=440:d=4:r=48000") + lavfi(None, "sine=880:d=4:r=48000")
        + ["-map", "0:v", "-map", "1:a", "-map", "2:a", "-metadata:s:a:0", "language=eng", "-metadata:s:a:1",
           "language=fre"] + X264 + AAC, to)


@clip("cover.m4a", "cover art as a video stream (I18)")
def _(to, dep):
    with tempfile.TemporaryDirectory() as tmp:
        png = os.path.join(tmp, "c.png")
        run(lavfi(test_video("64x64", "1", "1")) + ["-frames:v", "1"], png)
        run(lavfi(None, "sine=d=4:r=48000") + ["-i", png, "-map", "0:a", "-map", "1", "-disposition:v:0",
                                              "attached_pic", "-c:v", "copy"] + AAC, to)


@clip("still.png", "a picture (I17)")
def _(to, dep):
    run(lavfi(test_video("64x64", "1", "1")) + ["-frames:v", "1"], to)


@clip("anim.gif", "GIF (I17)")
def _(to, dep):
    run(lavfi(test_video("64x64", "10", "2")), to)


@clip("timecode.mov", "a data track (I33)")
def _(to, dep):
    run(["-i", dep("base.mp4"), "-c", "copy", "-timecode", "01:00:00:00"], to)


@clip("resize.ts", "picture size changes mid-stream (I32)")
def _(to, dep):
    joined = b""
    with tempfile.TemporaryDirectory() as tmp:
        for n, size in enumerate(("128x72", "96x128")):
            part = os.path.join(tmp, "%d.ts" % n)
            run(lavfi(test_video(size)) + X264 + ["-output_ts_offset", str(2 * n)], part)
            joined += open(part, "rb").read()
    write(to, joined)


# ---- other codecs ----

@clip("hevc.mp4", "HEVC; where ffmpeg has libx265")
def _(to, dep):
    run(lavfi(test_video(d="4"), "sine=d=4:r=48000") + "-c:v libx265 -preset ultrafast -tag:v hvc1 -x265-params "
        "log-level=none:pools=1 -g 30".split() + AAC, to)


@clip("vp9.webm", "VP9 and Opus")
def _(to, dep):
    run(lavfi(test_video(d="4"), "sine=d=4:r=48000") + "-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -g 30 -c:a "
        "libopus".split(), to)


# ---- mean ones ----

def write(to, data):
    with open(to, "wb") as f:
        f.write(data)


def with_box(path, entry, box):
    """The bytes of an MP4 with a box more at the end of its sample entry."""
    data = bytearray(open(path, "rb").read())
    moov = data.rfind(b"moov")
    assert moov > data.find(b"mdat"), "moov is at the end, so that no offset moves"
    start = data.find(entry, data.find(b"stsd", moov)) - 4
    at = start + struct.unpack(">I", data[start:start + 4])[0]
    data[at:at] = box
    for name in (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd", entry):
        n = data.find(name, start if name == entry else moov) - 4
        data[n:n + 4] = struct.pack(">I", struct.unpack(">I", data[n:n + 4])[0] + len(box))
    return data


def dolby(path, to, profile, compatible, entry=b"hvc1"):
    """The file with a Dolby Vision configuration record (dvcC, dvvC from profile 8 on) in its sample entry."""
    record = struct.pack(">BBHB", 1, 0, profile << 9 | 1 << 3 | 1 << 2 | 1, compatible << 4) + bytes(19)
    write(to, with_box(path, entry, struct.pack(">I4s", 8 + len(record), b"dvvC" if profile >= 8 else b"dvcC") + record))


def cut(to, path, percent):
    data = open(path, "rb").read()
    write(to, data[:len(data) * percent // 100])


@clip("zero.mp4", "empty file: INPUT_EMPTY (I27)")
def _(to, dep):
    write(to, b"")


@clip("random.mp4", "random bytes: INPUT_UNRECOGNISED (I27)")
def _(to, dep):
    write(to, random.Random(7).randbytes(65536))


@clip("no_moov.mp4", "cut before its moov: INPUT_NO_MOOV (I29)")
def _(to, dep):
    cut(to, dep("base.mp4"), 60)


@clip("cut.mkv", "Matroska cut at 60 %: INPUT_TRUNCATED (I30)")
def _(to, dep):
    cut(to, dep("base.mkv"), 60)


@clip("cut_faststart.mp4", "MP4 with moov in front, cut at 60 %: INPUT_TRUNCATED (I30)")
def _(to, dep):
    cut(to, dep("faststart.mp4"), 60)


@clip("corrupt.mp4", "damaged pictures (I31)")
def _(to, dep):
    run(["-i", dep("motion.mp4"), "-c", "copy", "-bsf:v", "noise=amount=200"], to)


@clip("disguised_hls.mp4", "an m3u8 that names a local file: INPUT_FORBIDDEN_FORMAT (I39)")
def _(to, dep):
    write(to, ("#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nfile://%s\n#EXT-X-ENDLIST\n" % dep("base.ts")).encode())


@clip("disguised_concat.mp4", "an ffconcat script that names a sibling (I39)")
def _(to, dep):
    write(to, ("ffconcat version 1.0\nfile %s\n" % os.path.basename(dep("base.ts"))).encode())


@clip("disguised_dash.mp4", "an MPD that names a local file (I39)")
def _(to, dep):
    write(to, ('<?xml version="1.0"?>\n<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" minBufferTime="PT2S" '
               'mediaPresentationDuration="PT2S" profiles="urn:mpeg:dash:profile:isoff-on-demand:2011"><Period>'
               '<AdaptationSet mimeType="video/mp4"><Representation id="1" bandwidth="1"><BaseURL>file://%s</BaseURL>'
               '<SegmentBase indexRange="0-1"/></Representation></AdaptationSet></Period></MPD>\n'
               % dep("base.mp4")).encode())


@clip("encrypted.mp4", "CENC: INPUT_ENCRYPTED (I41)")
def _(to, dep):
    run(["-i", dep("base.mp4"), "-c", "copy", "-encryption_scheme", "cenc-aes-ctr", "-encryption_key", KEY,
         "-encryption_kid", KEY], to)


@clip("bomb.gif", "35 bytes that declare 16000x16000 (I38)")
def _(to, dep):
    write(to, b"GIF89a" + struct.pack("<HHBBB", 16000, 16000, 0, 0, 0) + b"," + struct.pack("<HHHHB", 0, 0, 16000, 16000, 0)
          + b"\x02\x02\x44\x01\x00;")


# Names that a careless program takes for URLs, options or patterns (I40); all hold base.mp4.
HOSTILE = {"hostile_colon": b"a:b.mp4", "hostile_pattern": b"x%03d.mp4", "hostile_dash": b"-x.mp4",
           "hostile_newline": b"new\nline.mp4", "hostile_bytes": b"\xff\xfe.mp4", "hostile_url": b"file:base.mp4"}
for _name, _file in HOSTILE.items():
    WHY[_name] = "base.mp4 named %r (I40)" % _file
    NAMES[_name] = None


class Unavailable(Exception):
    """The clip cannot be made here (an encoder that this ffmpeg lacks)."""


def make(name, folder):
    """Path of the clip, made on first use. Bytes for hostile names. Safe for several processes at once."""
    os.makedirs(folder, exist_ok=True)
    if name in HOSTILE:
        path = os.path.join(os.fsencode(folder), HOSTILE[name])
        if not os.path.exists(path):
            data = open(make("base.mp4", folder), "rb").read()
            with tempfile.NamedTemporaryFile(dir=folder, delete=False) as f:
                f.write(data)
            os.rename(os.fsencode(f.name), path)
        return path
    path = os.path.join(os.path.abspath(folder), name)
    if os.path.exists(path):
        return path
    with tempfile.TemporaryDirectory(dir=folder) as tmp:
        part = os.path.join(tmp, name)
        try:
            NAMES[name](part, lambda other: make(other, folder))
        except subprocess.CalledProcessError as error:
            raise Unavailable("%s: ffmpeg exits %d" % (name, error.returncode)) from None
        os.rename(part, path)
    return path


def main():
    folder, names = sys.argv[1], sys.argv[2:] or list(NAMES)
    bad = 0
    for name in names:
        try:
            print(os.fsdecode(os.fsencode(make(name, folder))).encode("unicode_escape").decode())
        except Unavailable as error:
            bad += 1
            print("unavailable:", error, file=sys.stderr)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
