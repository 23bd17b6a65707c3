# SPDX-License-Identifier: LGPL-2.1-or-later
"""Clips for test_inputs.py that are damaged, cut or built to do harm."""
import os
import struct
import tempfile

from clips import AAC, X264, clip, cut, lavfi, run, test_video, write
from inputs_clips import find, patch_edits, u32

LONG = lavfi(test_video("160x90", "25", "20"), "sine=300:d=20:r=48000")
HOLED = {"holed.mkv": X264 + ["-g", "25"] + AAC, "holed.webm": "-c:v libvpx -deadline realtime -cpu-used 8 -g 25 -c:a "
         "libvorbis".split(), "holed.flv": X264 + ["-g", "25"] + AAC,
         "holed_frag.mp4": X264 + ["-g", "25"] + AAC + ["-movflags", "frag_keyframe+empty_moov+default_base_moof"]}
for _name, _codec in HOLED.items():
    for _prefix, _percent in (("", 5), ("half_", 30)):
        @clip(_prefix + _name, "20 s, of which %d %% in the middle are zeros" % _percent)
        def _(to, dep, codec=_codec, percent=_percent):
            run(LONG + codec, to)
            data = bytearray(open(to, "rb").read())
            at, size = len(data) * 2 // 5, len(data) * percent // 100
            data[at:at + size] = bytes(size)
            write(to, bytes(data))


for _name, _more, _thousandth in (("holed.avi", "-c:v mpeg4 -g 25 -c:a libmp3lame", 10),
                                  ("half_holed.mxf", "-c:v mpeg2video -c:a pcm_s16le", 200)):
    @clip(_name, "20 s, of which %d in a thousand bytes in the middle are zeros" % _thousandth)
    def _(to, dep, more=_more, thousandth=_thousandth):
        run(LONG + more.split(), to)
        data = bytearray(open(to, "rb").read())
        at, size = len(data) * 2 // 5, len(data) * thousandth // 1000
        data[at:at + size] = bytes(size)
        write(to, bytes(data))


@clip("pauses.ts", "10 s of little, with two pauses of 2 s in picture and sound: nothing is lost")
def _(to, dep):
    shown = "select='lt(mod(t,4),2)'"
    run(lavfi("color=gray:s=64x64:r=25:d=10", "sine=300:d=10:r=48000") + ["-vf", shown, "-af", "a" + shown, "-fps_mode", "vfr"]
        + X264 + ["-crf", "51", "-g", "250"] + AAC + ["-b:a", "16k"], to)


@clip("held.avi", "4 s, of which the last one is 25 chunks without content: the picture before is repeated")
def _(to, dep):
    run(lavfi(test_video("160x90", "25", "4"), "sine=300:d=4:r=48000") + "-c:v mpeg4 -g 25 -c:a libmp3lame".split(), to)
    data, movi, n = open(to, "rb").read(), b"movi", 0
    at = begin = data.index(b"movi")
    end, at = begin + struct.unpack_from("<I", data, begin - 4)[0], at + 4
    while at < end:
        size = struct.unpack_from("<I", data, at + 4)[0]
        n += data[at:at + 4] == b"00dc"
        empty = data[at:at + 4] == b"00dc" and n > 75
        movi += data[at:at + 4] + bytes(4) if empty else data[at:at + 8 + size + size % 2]
        at += 8 + size + size % 2
    head = data[:begin - 4] + struct.pack("<I", len(movi))
    write(to, head[:4] + struct.pack("<I", len(head) - 8 + len(movi)) + head[8:] + movi)   # no index: it may lack


@clip("leap.flv", "the time of one picture, 4 s from the start, is 9 hours off")
def _(to, dep):
    run(LONG + X264 + ["-g", "25"] + AAC, to)
    data, at = bytearray(open(to, "rb").read()), 13
    while at < len(data):
        if data[at] == 9 and int.from_bytes(data[at + 4:at + 7], "big") > 4000:
            data[at + 7] = 2        # bits 24 to 31 of the time
            break
        at += 11 + int.from_bytes(data[at + 1:at + 4], "big") + 4
    write(to, bytes(data))


@clip("live.webm", "WebM of unknown sizes, as browsers record it")
def _(to, dep):
    run(lavfi(test_video(), "sine=d=2:r=48000") + "-c:v libvpx -deadline realtime -cpu-used 8 -c:a libvorbis -live 1".split(),
        to)


@clip("cut_live.webm", "the same, cut at 60 %")
def _(to, dep):
    cut(to, dep("live.webm"), 60)


@clip("cut.apng", "APNG of 20 pictures, cut before the tenth one")
def _(to, dep):
    with tempfile.TemporaryDirectory() as tmp:
        whole = os.path.join(tmp, "x.apng")
        run(lavfi(test_video("64x64", "10", "2")) + ["-plays", "0"], whole)
        data, at = open(whole, "rb").read(), 0
    for _ in range(10):
        at = data.index(b"fcTL", at + 4)
    write(to, data[:at - 4])


@clip("two_codecs.mp4", "MP4 of which the last pictures are said to be HEVC")
def _(to, dep):
    data = bytearray(open(dep("base.mp4"), "rb").read())
    stsd = find(data, b"stsd") - 4
    entry = data[stsd + 16:stsd + u32(data, stsd)]
    entry[4:8] = b"hvc1"
    at = stsd + u32(data, stsd)
    data[at:at] = entry
    for name in (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd"):
        here = find(data, name) - 4
        struct.pack_into(">I", data, here, u32(data, here) + len(entry))
    struct.pack_into(">I", data, stsd + 12, 2)
    stsc = find(data, b"stsc") + 4
    struct.pack_into(">I", data, stsc + 8 + 12 * u32(data, stsc + 4) - 4, 2)
    write(to, bytes(data))


@clip("edits_bomb.mp4", "600000 edits, each of which shows all pictures again")
def _(to, dep):
    patch_edits(to, dep("base.mp4"), [(0.001, 0, 1)] * 600000)
