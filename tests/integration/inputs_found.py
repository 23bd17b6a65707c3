# SPDX-License-Identifier: LGPL-2.1-or-later
"""Files of other people's collections that were taken wrongly once, made anew."""
import os
import tempfile

import inputs
from clips import clip as define, lavfi, run, test_video, write
from inputs import case, entries, equal, tone
from titles import Skip, clip

inputs.group[0] = "files"


@define("altref.webm", "VP8 in two passes: alternate references are packets of their own")
def _(to, dep):
    # libvpx makes them where a noisy picture hardly moves
    video = ["-f", "lavfi", "-i", "testsrc=s=160x90:r=25:d=4,gblur=sigma=2,noise=alls=4:allf=t"]
    with tempfile.TemporaryDirectory() as room:
        for n in "12":
            run(video + "-c:v libvpx -b:v 200k -auto-alt-ref 1 -lag-in-frames 25 -arnr-maxframes 7".split()
                + ["-arnr-strength", "5", "-pass", n, "-passlogfile", os.path.join(room, "log")], to)


@case("I03", "VP8 with pictures that are not shown", "as many as are shown, at a steady rate, no warning")
def _(t):
    packets = len(entries(clip("altref.webm"), "packet=pts"))
    if packets <= 100:
        raise Skip("this libvpx makes no alternate reference of it")
    p = t.probe(clip("altref.webm"))
    equal((p["video"][0]["frames"], p["video"][0]["variable_frame_rate"], p["warnings"]), (100, False, []), "probe")
    t.publish(clip("altref.webm"), warns=[])
    t.pictures(100, 25)
    return "100 pictures of 100, 25 fps"


@define("silent.amr", "AMR of 2 s, by hand: few libavcodec have an encoder")
def _(to, dep):
    write(to, b"#!AMR\n" + (b"\x3c" + bytes(31)) * 100)


@case("codec", "AMR by itself, which begins like a script", "decoded")
def _(t):
    t.publish(clip("silent.amr")).lasts(2)
    return "2 s"


@define("cover.flac", "FLAC behind an ID3 tag with a picture")
def _(to, dep):
    with tempfile.TemporaryDirectory() as room:
        flac = os.path.join(room, "a.flac")
        run(lavfi(None, "sine=1000:d=2:r=48000") + ["-c:a", "flac"], flac)
        body = b"APIC" + (9000).to_bytes(4, "big") + b"\0\0" + b"\0image/png\0\3\0" + bytes(9000 - 13)
        size = len(body)
        head = b"ID3\3\0\0" + bytes(size >> s & 127 for s in (21, 14, 7, 0))
        write(to, head + body + open(flac, "rb").read())


@case("I30", "FLAC behind a tag with a picture", "accepted")
def _(t):
    t.publish(clip("cover.flac")).lasts(2)
    tone(t.sound(), 1000, 0.2, 1.9)
    return "all of the tone"


@define("all_ones.mp4", "fragments; the headers say that the duration is not known")
def _(to, dep):
    run(["-i", dep("base.mp4"), "-c", "copy", "-movflags", "+frag_keyframe+empty_moov"], to)
    data = bytearray(open(to, "rb").read())
    for kind, at in ((b"mvhd", 20), (b"mdhd", 20), (b"tkhd", 24)):
        place = data.find(kind)
        while 0 < place < data.find(b"moof"):
            data[place + at:place + at + 4] = b"\xff" * 4
            place = data.find(kind, place + 4)
    write(to, bytes(data))


@case("I30", "fragmented MP4 of unknown duration, all ones", "accepted")
def _(t):
    t.publish(clip("all_ones.mp4"))
    t.lasts(2.02)
    return "2 s"
