#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Files whose clock lies (FAILURES I04 to I06, I09): one timeline, sound with its picture, only what edits show."""
import os
import struct
import subprocess
import sys

sys.dont_write_bytecode = True

import sync  # noqa: E402
from clips import AAC, X264, clip as define, run as make_clip  # noqa: E402
from titles import (FULL, Cases, check, clip, difference, ffmpeg, good, joined, picture, picture_times, publish,  # noqa: E402
                    tool, tree, videos)


@define("clock_5000.ts", "SYNC whose clock begins at 5000 s")
def _(to, dep):
    make_clip(["-i", dep("sync4.ts"), "-c", "copy", "-output_ts_offset", "5000"], to)


@define("clock_wrap.ts", "SYNC in which the 33-bit clock wraps")
def _(to, dep):
    make_clip(["-i", dep("sync4.ts"), "-c", "copy", "-output_ts_offset", "95441.3"], to)


def joined_clip(name, why, *parts):
    @define(name, why)
    def _(to, dep):
        with open(to, "wb") as f:
            for part in parts:
                with open(dep(part), "rb") as g:
                    f.write(g.read())


joined_clip("clock_ahead.ts", "the clock jumps ahead by 5000 s", "sync4.ts", "clock_5000.ts")
joined_clip("clock_back.ts", "and back", "clock_5000.ts", "sync4.ts")
joined_clip("clock_twice.ts", "the clock begins again", "sync4.ts", "sync4.ts")
joined_clip("clock_many.ts", "all of it", "sync4.ts", "sync4.ts", "clock_5000.ts", "clock_wrap.ts", "sync4.ts")
joined_clip("clock_late_sound.ts", "then one whose sound begins a second late", "sync4.ts", "late_sound.ts")


@define("late_sound.ts", "SYNC whose sound begins a second late")
def _(to, dep):
    make_clip(["-i", dep("sync4.ts"), "-itsoffset", "1", "-i", dep("sync4.ts"), "-map", "0:v", "-map", "1:a", "-c", "copy"],
              to)


@define("raw.h264", "H.264 without times, 30 fps in its VUI")
def _(to, dep):
    make_clip(["-i", dep("sync4.mp4"), "-an", "-c", "copy", "-bsf:v", "h264_mp4toannexb"], to)


@define("raw.m2v", "MPEG-2 video without times, 25 fps")
def _(to, dep):
    make_clip("-f lavfi -i testsrc2=s=160x90:r=25:d=4 -c:v mpeg2video -bf 2 -g 12".split(), to)


@define("decode_times.avi", "AVI with B-pictures: decoding times alone")
def _(to, dep):
    make_clip(["-i", dep("sync4.mp4")] + X264 + ["-g", "60", "-bf", "2", "-c:a", "pcm_s16le"], to)


@define("edits_base.mp4", "SYNC of 6 s with an access point each 1.5 s")
def _(to, dep):
    import clips
    make_clip(clips.sync_sources("6") + X264 + ["-bf", "2", "-g", "45", "-sc_threshold", "0"] + AAC, to)


@define("sync_frag.mp4", "fragments, the priming frame of sound apart from the others by 45 ms")
def _(to, dep):
    make_clip(["-i", dep("sync4.mp4")] + X264 + ["-g", "60", "-bf", "2"] + AAC
              + ["-movflags", "frag_keyframe+empty_moov+default_base_moof"], to)


def children(data, at, end):
    while at + 8 <= end:
        size, kind = struct.unpack(">I4s", data[at:at + 8])
        yield at, size, kind
        at += size


def find(data, at, end, *path):
    for x, size, kind in children(data, at, end):
        if kind == path[0]:
            if len(path) == 1:
                yield x, size
            else:
                yield from find(data, x + 8, x + size, *path[1:])


def with_edits(source, to, edits):
    """The file with another edit list: (start, length, speed) in seconds of its content. moov is its last box."""
    with open(source, "rb") as f:
        data = bytearray(f.read())
    (moov, size), = find(data, 0, len(data), b"moov")
    end = moov + size
    (mvhd, _), = find(data, moov + 8, end, b"mvhd")
    movie, = struct.unpack(">I", data[mvhd + 20:mvhd + 24])
    for trak, length in reversed(list(find(data, moov + 8, end, b"trak"))):
        (mdhd, _), = find(data, trak + 8, trak + length, b"mdia", b"mdhd")
        scale, = struct.unpack(">I", data[mdhd + 20:mdhd + 24])
        (edts, old), = find(data, trak + 8, trak + length, b"edts")
        (elst, _), = find(data, trak + 8, trak + length, b"edts", b"elst")
        base, = struct.unpack(">i", data[elst + 20:elst + 24])
        body = struct.pack(">II", 0, len(edits))
        for start, seconds, speed in edits:
            body += struct.pack(">Iii", round(seconds * movie), round(start * scale) + base, round(speed * 65536))
        body = struct.pack(">I4s", 8 + len(body), b"elst") + body
        data[edts:edts + old] = struct.pack(">I4s", 8 + len(body), b"edts") + body
        for box in (trak, moov):
            struct.pack_into(">I", data, box, struct.unpack(">I", data[box:box + 4])[0] + 8 + len(body) - old)
    with open(to, "wb") as f:
        f.write(data)


EDITS = {"sync_edit_cut.mp4": [(1.4, 2, 1)], "sync_edit_two.mp4": [(0.5, 2, 1), (3.5, 2, 1)],
         "sync_edit_back.mp4": [(3.5, 2, 1), (0.5, 2, 1)], "sync_edit_speed.mp4": [(0.5, 2, 1), (3.5, 1, 2)]}
for _name in EDITS:
    @define(_name, "edits %s" % EDITS[_name])
    def _(to, dep, name=_name):
        with_edits(dep("edits_base.mp4"), to, EDITS[name])


SEAM = 4   # length of sync4.ts
ALL = ["-allowed_extensions", "ALL"]

FORMS = {"both": ["--format", "both"], "single": ["--single-file"]}


def whole(folder, name, seconds, warning=None, within=20, drift=1, forms=("both",)):
    """Published, checked, of that length, in sync in every form."""
    for form in forms:
        out = os.path.join(folder, form)
        r = publish(clip(name), out, *FORMS[form])
        assert (warning is None) != (warning in r.warnings), "warnings: %s" % r.warnings
        c = check(out, decode=FULL)
        for t in videos(c):
            assert abs(float(t.end - t.start) - seconds) < 0.035, "%s: %.3f s" % (t.key, t.end - t.start)
        masters = [m.key for m in c.masters] + (["manifest.mpd"] if c.mpd else [])
        for key in masters:
            pairs = sync.pairs(os.path.join(out, key), False)
            assert len(pairs) >= seconds // 1 - 1.01, "%s: only %d flashes with a beep" % (key, len(pairs))
            # The beep that a recording begins with fades in: its first frame lacks the one before.
            first = sync.flashes(os.path.join(out, key), ALL if key.endswith(".m3u8") else [])[0]
            off = [d for at, d in pairs if abs((at - first + 1) % SEAM - 1) > 0.1]
            assert max(map(abs, off)) <= within, "%s: %.1f ms" % (key, max(off, key=abs))
            assert max(off) - min(off) <= drift, "%s: %.2f to %.2f ms" % (key, min(off), max(off))
    return c


def jump(folder, name, seconds):
    whole(folder, name, seconds, "TIMELINE_REPAIRED", forms=("both", "single"))


def without_sound(folder, name):
    """A second without beeps in the middle, and no drift behind it."""
    publish(clip(name), os.path.join(folder, "out"))
    check(os.path.join(folder, "out"), decode=FULL)
    master = os.path.join(folder, "out", "master.m3u8")
    heard = sync.beeps(master, ALL)
    seen = sync.flashes(master, ALL)
    off = [(f, min(((b - f) * 1000 for b in heard), key=abs)) for f in seen[1:]]
    silent = [f for f, d in off if abs(d) > 500]
    assert len(silent) == 1 and abs(silent[0] - seen[0] - SEAM) < 0.1, "no beep at %s" % silent
    # the late sound's first beep fades in; in that recording sound is a frame of AAC late
    off = [(f > silent[0], d) for f, d in off if f not in silent and abs(f - silent[0] - 1) > 0.1]
    assert len(off) >= 5 and all(abs(d - (20.96 if late else -0.4)) < 1 for late, d in off), off


def tasks(folder):
    """The repaired timeline is part of the plan: other processes give the same bytes."""
    source, out, one = clip("clock_many.ts"), os.path.join(folder, "o"), os.path.join(folder, "p")
    work = os.path.join(folder, "w")
    publish(source, one, "--format", "both", "--jobs", "4")
    good("plan", source, out, "--work", work, "--preset", "ultrafast", "--format", "both")
    while "none" not in tool("run", "--work", work, "--task", "next").out:
        pass
    good("finish", "--work", work)
    a, b = tree(one), tree(out)
    assert a == b, "%s differ" % [k for k in a if a[k] != b.get(k)][:4]


def untimed(folder, name, rate, seconds, warning=None):
    """As many pictures as the file has, at its rate, each where it belongs."""
    out = os.path.join(folder, "out")
    r = publish(clip(name), out, "--format", "both")
    assert (warning is None) != (warning in r.warnings), r.warnings
    c = check(out, decode=FULL)
    for t in videos(c):
        assert abs(float(t.end - t.start) - seconds) < 0.001, "%s: %.3f s" % (t.key, t.end - t.start)
    t = videos(c, "cmaf")[0]
    times = picture_times(joined(c, t, folder))
    assert len(times) == round(rate * seconds), "%d pictures" % len(times)
    assert all(abs(b - a - 1 / rate) < 0.0005 for a, b in zip(times, times[1:])), "uneven"


def first_picture(folder, name, at):
    """What the edit hides is not in any picture: the first one is that of the content's time `at`."""
    publish(clip(name), os.path.join(folder, "out"))
    got = picture(os.path.join(folder, "out", "master.m3u8"), 16, 9)
    away = difference(got, picture(clip("numbers.mp4"), 16, 9, at=at - 0.001))
    others = [difference(got, picture(clip("numbers.mp4"), 16, 9, at=at + d)) for d in (-0.101, 0.099)]
    assert away < 3 and away < min(others), "%.1f from the right picture, %s from its neighbours" % (away, others)


@define("numbers.mp4", "every picture another grey and bar, an access point each 1.5 s")
def _(to, dep):
    make_clip(["-f", "lavfi", "-i", "nullsrc=s=160x90:r=30:d=4,geq=lum='mod(N*13\\,220)+X/8':cb=128:cr=mod(N*29\\,200)+20"]
              + X264 + ["-bf", "2", "-g", "45", "-sc_threshold", "0"], to)


@define("numbers_cut.mp4", "the same from 1.4 s on by an edit list")
def _(to, dep):
    with_edits(dep("numbers.mp4"), to, [(1.4, 2, 1)])


# ---- streams whose times are not those of showing ----

def from_numbers(name, why, *args):
    @define(name, why)
    def _(to, dep):
        make_clip(["-i", dep("numbers.mp4"), *args], to)


from_numbers("numbers.avi", "MPEG-4 with B-pictures in AVI: a parser's times for some", "-c:v", "mpeg4", "-q:v", "2", "-bf", "2")
from_numbers("numbers.m2v", "MPEG-2 with B-pictures, raw", "-c:v", "mpeg2video", "-q:v", "2", "-bf", "2")
from_numbers("numbers.mxf", "H.264 with B-pictures, shown at decoding times in MXF", *X264, "-qp", "8", "-bf", "2", "-g", "15")
from_numbers("numbers.mov", "the same by a MOV without ctts", "-c", "copy", "-bsf:v", "setts=pts=DTS",
             "-use_editlist", "0")
from_numbers("numbers.mpg", "MPEG-1 whose last picture has no time of showing", "-c:v", "mpeg1video", "-q:v", "2", "-bf", "2")


def small(path):
    data = ffmpeg(["-i", path, "-map", "0:v:0", "-fps_mode", "passthrough", "-vf", "scale=16:9:flags=area,format=rgb24", "-f",
                   "rawvideo", "-"], text=False)
    return [data[n:n + 432] for n in range(0, len(data), 432)]


def all_in_order(folder, name):
    """Each picture of the source once, in the order of showing, evenly."""
    publish(clip(name), os.path.join(folder, "out"))
    c = check(os.path.join(folder, "out"), decode=FULL)
    t = videos(c, "cmaf")[0]
    got, want = small(joined(c, t, folder)), small(clip(name))
    assert len(got) == len(want), "%d pictures of %d" % (len(got), len(want))
    for n, now in enumerate(got):
        near = range(max(n - 4, 0), min(n + 5, len(want)))
        best = min(near, key=lambda k: difference(now, want[k]))
        assert best == n, "picture %d is that of %d" % (n, best)
    times = picture_times(joined(c, t, folder))
    assert all(abs(b - a - 1 / 30) < 0.0005 for a, b in zip(times, times[1:])), "uneven"


@define("numbers_open.mp4", "the same with open GOPs of 45 pictures")
def _(to, dep):
    make_clip(["-i", dep("numbers.mp4")] + X264 + "-qp 12 -bf 3 -x264opts open-gop=1:scenecut=0:keyint=45".split(), to)


@define("numbers_open_cut.mp4", "from 1.4 s on: the first picture that is decoded is not the first one shown")
def _(to, dep):
    with_edits(dep("numbers_open.mp4"), to, [(1.4, 2, 1)])


@define("numbers_rare.mov", "a picture each 0.3 s, from 1.4 s on: between two of them")
def _(to, dep):
    plain = to + ".plain.mov"
    make_clip(["-i", dep("numbers.mp4"), "-vf", "select='not(mod(n,9))*lt(n,60)+gt(n,60)*not(mod(n,7))'", "-fps_mode", "vfr"]
              + X264, plain)
    with_edits(plain, to, [(1.4, 2, 1)])
    os.unlink(plain)


def open_cut(folder):
    publish(clip("numbers_open_cut.mp4"), os.path.join(folder, "out"))
    c = check(os.path.join(folder, "out"), decode=FULL)
    got, want = small(joined(c, videos(c)[0], folder)), small(clip("numbers_open.mp4"))[42:102]
    assert len(got) == len(want), "%d pictures of %d" % (len(got), len(want))
    away = [difference(a, b) for a, b in zip(got, want)]
    assert max(away) < 5, "picture %d is %.1f from the source's" % (away.index(max(away)), max(away))


def rare_cut(folder):
    for name in ("numbers_rare.mov", "numbers_cut.mp4", "numbers_open_cut.mp4"):
        assert "EDIT_LIST_APPROXIMATED" not in publish(clip(name), os.path.join(folder, name)).warnings, name
    # the picture of 1.2 s is on the screen at 1.4 s, those of 1.5 and 1.8 s follow
    c = check(os.path.join(folder, "numbers_rare.mov"), decode=FULL)
    times = picture_times(joined(c, videos(c)[0], folder))
    assert [round(t, 2) for t in times[:3]] == [0, 0.1, 0.4], times


def edits(folder, name, seconds, warning, within):
    c = whole(folder, name, seconds, warning, within, drift=within)
    assert c


def main():
    cases = Cases("timeline")
    run = cases.run
    run("I04 ahead", jump, "clock_ahead.ts", 8)
    run("I04 back", jump, "clock_back.ts", 8)
    run("I04 again", jump, "clock_twice.ts", 8)
    run("I04 many", jump, "clock_many.ts", 20)
    run("I04 late sound", without_sound, "clock_late_sound.ts")
    run("I04 tasks", tasks)
    run("I05 raw H.264", untimed, "raw.h264", 30, 4, "TIMELINE_REPAIRED")
    run("I05 raw MPEG-2", untimed, "raw.m2v", 25, 4)
    run("I05 AVI", whole, "decode_times.avi", 4)
    for name in ("numbers.avi", "numbers.m2v", "numbers.mxf", "numbers.mov", "numbers.mpg"):
        run("I05 " + name, all_in_order, name)
    run("I07 fragments", whole, "sync_frag.mp4", 4.067, within=5)
    run("I06 wrap", whole, "clock_wrap.ts", 4)
    run("I09 first picture", first_picture, "numbers_cut.mp4", 1.4)
    run("I09 cut within an open GOP", open_cut)
    run("I09 cut between rare pictures", rare_cut)
    run("I09 cut", edits, "sync_edit_cut.mp4", 2, "MOOV_AT_END", 20)
    run("I09 two", edits, "sync_edit_two.mp4", 4, "MOOV_AT_END", 20)
    # libavformat moves the sound of later edits to whole frames: up to 21.3 ms, which the warning says.
    for name, seconds in (("sync_edit_back.mp4", 4), ("sync_edit_speed.mp4", 3)):
        run("I09 " + name, edits, name, seconds, "EDIT_LIST_APPROXIMATED", 21.4)
    return cases.end()


if __name__ == "__main__":
    sys.exit(main())
