#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Pictures of all kinds: what is published looks as the source does, has the right rate and true tags (FAILURES.md
I10-I18, I32, I36, I37).

    test_picture.py GROUP...     groups: interlaced formats hdr shapes rates
"""
import os
import re
import struct
import subprocess
import sys

sys.dont_write_bytecode = True

from clips import AAC, FF, X264, clip as define, colours as colour_tags, dolby, lavfi, run as make_clip  # noqa: E402
from titles import (Cases, Skip, check, clip, ffmpeg, good, joined, ladder, picture_times, publish, tool, tree,  # noqa: E402
                    videos)

SMALL = [("144p", 144, 400), ("96p", 96, 200)]


# ---- what is made ----

# Everything moves, by a pixel and a half from field to field.
MOVING = "testsrc2=s=%s:r=%s:d=%s,scroll=h=0.005"
FIELDS = ["-flags", "+ildct+ilme"]
WEAVE = {"top": "tinterlace=interleave_top,", "bottom": "tinterlace=interleave_bottom,"}


def fields(size="288x288", rate="50", seconds="5", order="top", flag="tff", more="", sound=False):
    """Input and filter of pictures woven of two fields each."""
    out = lavfi(MOVING % (size, rate, seconds), "sine=440:d=%s:r=48000" % seconds if sound else None)
    return out + ["-vf", WEAVE[order] + "setfield=%s%s" % (flag, more)] + (AAC if sound else [])


@define("i50_flagged.ts", "50i by flag, top field first, H.264 (I13)")
def _(to, dep):
    make_clip(fields() + FIELDS + X264, to)


@define("i50_mpeg2.ts", "50i, MPEG-2 with B-frames (I13)")
def _(to, dep):
    make_clip(fields() + FIELDS + "-c:v mpeg2video -bf 2 -g 15 -q:v 3".split(), to)


@define("i50_bare.mp4", "50i whose flag was lost (I13)")
def _(to, dep):
    make_clip(fields(flag="prog") + X264, to)


@define("i50_wrong.ts", "50i, top field first, flagged as bottom first (I13)")
def _(to, dep):
    make_clip(fields(flag="bff") + FIELDS + X264, to)


@define("i5994.mp4", "59.94i, bottom field first (I13)")
def _(to, dep):
    make_clip(fields(rate="60000/1001", order="bottom", flag="bff") + FIELDS + X264, to)


@define("i50_422.mov", "50i, ProRes 4:2:2 of 10 bits (I13, I14)")
def _(to, dep):
    make_clip(fields(seconds="3") + FIELDS + "-c:v prores_ks -profile:v 1".split(), to)


@define("i50_ticker.ts", "film of 25 pictures a second above, a ticker of 50 fields below (I13)")
def _(to, dep):
    ticker = ("nullsrc=s=360x48:r=50:d=5,format=yuv420p,"
              "geq=lum='if(gt(mod((X+3*N)/14+floor(Y/12)*3.3\\,3)\\,1.4)\\,220\\,30)':cb=128:cr=128")
    make_clip(lavfi("testsrc2=s=360x288:r=25:d=5,scroll=h=0.01,fps=50,format=yuv420p")
              + ["-f", "lavfi", "-i", ticker, "-filter_complex", "[0:v][1:v]overlay=0:240,%ssetfield=tff" % WEAVE["top"]]
              + FIELDS + X264, to)


@define("i50_long.ts", "50i, 40 s: several spans (I13)")
def _(to, dep):
    make_clip(fields(seconds="40") + FIELDS + X264 + "-bf 2 -g 60".split(), to)


@define("i50_gaps.mkv", "50i with pictures missing all the time: variable (I13, I01)")
def _(to, dep):
    make_clip(fields(more=",select='mod(n\\,5)*mod(n\\,7)'") + ["-fps_mode", "vfr"] + FIELDS + X264, to)


@define("psf.ts", "whole pictures flagged as fields: PsF (I13)")
def _(to, dep):
    make_clip(lavfi(MOVING % ("288x288", "25", "5")) + ["-vf", "setfield=tff"] + FIELDS + X264, to)


@define("telecine.mp4", "film at 23.976 as 29.97i by 3:2 pulldown (I13)")
def _(to, dep):
    make_clip(lavfi(MOVING % ("288x240", "24000/1001", "5")) + ["-vf", "telecine=pattern=23,setfield=tff"] + FIELDS + X264,
              to)


# Red, green and blue of the bars, and of a nearly black and a nearly white one.
BARS = [(191, 191, 191), (191, 191, 0), (0, 191, 191), (0, 191, 0), (191, 0, 191), (191, 0, 0), (0, 0, 191), (16, 16, 16),
        (240, 240, 240)]
LUMA = {"bt709": (0.2126, 0.0722), "bt470bg": (0.299, 0.114), "smpte170m": (0.299, 0.114), "bt2020nc": (0.2627, 0.0593)}


def code(rgb, matrix):
    """8-bit limited Y, Cb, Cr of a colour (ITU-T H.273 8.3)."""
    kr, kb = LUMA[matrix]
    r, g, b = (x / 255 for x in rgb)
    y = kr * r + (1 - kr - kb) * g + kb * b
    return 16 + 219 * y, 128 + 112 * (b - y) / (1 - kb), 128 + 112 * (r - y) / (1 - kr)


def bars(to, width, height, matrix, codec, tags=True, pixels="yuv420p", full=False, seconds=1):
    """The bars as a video of 25 pictures a second in a given matrix, range and format, tagged as such or not at all."""
    row = b"".join(bytes(BARS[x * len(BARS) // width]) for x in range(width))
    scale = "scale=flags=accurate_rnd+full_chroma_int:out_color_matrix=%s:out_range=%s,format=%s" \
        % (matrix.replace("bt470bg", "bt601").replace("smpte170m", "bt601").replace("bt2020nc", "bt2020"),
           "pc" if full else "tv", pixels)
    names = ["unknown"] * 3
    if tags:
        names = [matrix.replace("nc", ""), {"bt470bg": "smpte170m", "bt2020nc": "bt2020-10"}.get(matrix, matrix), matrix]
    names.append("pc" if full else "tv" if tags else "unknown")
    subprocess.run(FF + ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", "%dx%d" % (width, height), "-r", "25", "-i", "-",
                         "-vf", scale + "," + colour_tags(*names)] + codec + [to],
                   input=row * height * 25 * seconds, check=True)


# ---- what is looked at ----

def made(folder, source, *options, rungs=SMALL, decode=True):
    out = os.path.join(folder, "out")
    more = ["--ladder", ladder(folder, *rungs)] if rungs else []
    r = publish(source, out, *more, *options)
    c = check(out, decode=decode)
    c.result, c.source = r, source
    return c


def stream(path, *names):
    out = ffmpeg_probe(path, ",".join(names))
    return [out.get(n, "unknown") for n in names]


def ffmpeg_probe(path, names):
    run = subprocess.run(["ffprobe", "-v", "error", "-select_streams", "v:0", "-show_entries", "stream=" + names, "-of",
                          "default=nw=1", path], stdout=subprocess.PIPE, encoding="utf-8", check=True)
    return dict(line.split("=", 1) for line in run.stdout.split())


def tags_are(path, matrix, primaries, transfer):
    got = stream(path, "pix_fmt", "color_range", "color_space", "color_primaries", "color_transfer", "profile")
    assert got[:5] == ["yuv420p", "tv", matrix, primaries, transfer], "%s: %s" % (os.path.basename(path), got)
    assert "10" not in got[5] and "4:" not in got[5], got


def luma(path, size, chain=None, options=()):
    """All pictures of a video as small grey ones."""
    w, h = size
    data = ffmpeg([*options, "-i", path, "-map", "0:v:0", "-vf", (chain + "," if chain else "")
                   + "scale=%d:%d:flags=bicubic,format=gray" % (w, h), "-fps_mode", "passthrough", "-f", "rawvideo", "-"],
                  text=False)
    return [data[n:n + w * h] for n in range(0, len(data), w * h)]


def apart(a, b):
    return sum(abs(x - y) for x, y in zip(a, b)) / len(a)


def codes(path, at=0.5, count=len(BARS)):
    """Mean Y, Cb, Cr in the middle of each bar, as coded."""
    w, h = (int(x) for x in stream(path, "width", "height"))
    data = ffmpeg(["-i", path, "-vf", "select=gte(t\\,%s)" % at, "-frames:v", "1", "-f", "rawvideo", "-"], text=False)
    assert len(data) == w * h * 3 // 2, path
    out = []
    for n in range(count):
        values = []
        for plane, pw, ph, base in ((0, w, h, 0), (1, w // 2, h // 2, w * h), (2, w // 2, h // 2, w * h * 5 // 4)):
            middle, reach = (2 * n + 1) * pw // (2 * count), max(pw // count // 6, 1)
            samples = [data[base + y * pw + x] for y in range(ph * 4 // 10, ph * 6 // 10)
                       for x in range(middle - reach, middle + reach)]
            values.append(sum(samples) / len(samples))
        out.append(tuple(values))
    return out


def bars_are(path, matrix, slack=2.5):
    for n, got in enumerate(codes(path)):
        want = code(BARS[n], matrix)
        away = max(abs(a - b) for a, b in zip(got, want))
        assert away <= slack, "%s, bar %s: Y, Cb, Cr are %s, not %s" \
            % (os.path.basename(path), BARS[n], ["%.1f" % x for x in got], ["%.1f" % x for x in want])


# ---- interlaced (I13) ----

def not_combed(path):
    run = subprocess.run(FF[:1] + ["ffmpeg", "-nostdin", "-v", "info", "-i", path, "-vf", "idet", "-f", "null", "-"],
                         stderr=subprocess.PIPE, encoding="utf-8", errors="replace", check=True)
    # The last ones: ffmpeg 7 has a filter of zeros before, from when it looked at the graph.
    found = re.findall(r"Multi frame detection: TFF:\s*(\d+) BFF:\s*(\d+) Progressive:\s*(\d+)", run.stderr)
    top, bottom, whole = (int(x) for x in found[-1])
    assert whole > 20 * (top + bottom), "%s: idet sees %d, %d combed and %d whole pictures" \
        % (os.path.basename(path), top, bottom, whole)


def same_pictures(c, folder, chain, count, rate, combed=True):
    """Each picture is the one that ffmpeg makes of the source, and no neighbour of it; times are on the grid."""
    t = max(videos(c), key=lambda t: t.height)
    path = joined(c, t, folder)
    size = (72, 72 * t.height // t.width)
    got, want = luma(path, size), luma(c.source, size, chain)
    times = picture_times(path)
    assert len(got) == len(times) == count, "%d pictures, not %d" % (len(got), count)
    assert abs(len(want) - count) <= 1, "ffmpeg makes %d pictures, we %d" % (len(want), count)
    wrong = [n for n in range(count) if abs(times[n] - times[0] - n / rate) > 0.0006]
    assert not wrong, "picture %d comes at %.4f" % (wrong[0], times[wrong[0]])
    away = {-1: 0, 0: 0, 1: 0}
    for n in range(2, min(count, len(want)) - 2):
        near = {k: apart(got[n], want[n + k]) for k in (-1, 0, 1)}
        # Pulldown shows some pictures nearly twice: what the encoder took away decides between those.
        assert near[0] < min(near.values()) + 0.5 and near[0] < 6, "picture %d is %.1f from ffmpeg's, its neighbours %.1f, %.1f" \
            % (n, near[0], near[-1], near[1])
        away = {k: away[k] + near[k] for k in away}
    assert away[0] == min(away.values()), "pictures are nearer to their neighbours: %s" % away
    for t in videos(c) if combed else ():
        not_combed(joined(c, t, folder))


def field_rate(folder, name, count, rate, parity="tff", warnings=("INTERLACED",), most=None, combed=True):
    """A title of the fields' rate, or of the pictures' where that is asked for."""
    c = made(folder, clip(name), *(["--max-fps", most] if most else []))
    said = {e["a"]["FRAME-RATE"][0] for m in c.masters for e in m.variants}
    assert {float(x) for x in said} == {round(rate, 3)}, "FRAME-RATE %s" % said
    for w in warnings:
        assert w in c.result.warnings, "no warning %s: %s" % (w, c.result.warnings)
    same_pictures(c, folder, "bwdif=mode=%s:parity=%s:deint=all" % ("send_frame" if most else "send_field", parity), count,
                  rate, combed)


def whole_pictures(folder):
    c = made(folder, clip("psf.ts"))
    assert "INTERLACED" not in c.result.warnings, c.result.warnings
    same_pictures(c, folder, "null", 125, 25)


def same_bytes(folder):
    """Spans begin in the middle of the title: their pictures are those of a decode from the start; no matter who runs."""
    one, four = os.path.join(folder, "1"), os.path.join(folder, "4")
    rungs = ["--ladder", ladder(folder, *SMALL)]
    for out, jobs in ((one, "1"), (four, "4")):
        publish(clip("i50_long.ts"), out, *rungs, "--jobs", jobs)
    assert tree(one) == tree(four), "--jobs changes bytes"
    c = check(one, decode=False)
    c.source = clip("i50_long.ts")
    same_pictures(c, folder, "bwdif=mode=send_field:parity=tff:deint=all", 2000, 50)


def planned(folder):
    """The decision is in the plan."""
    work, out = os.path.join(folder, "work"), os.path.join(folder, "out")
    for name, most, mode, bottom in (("i50_flagged.ts", "60", "fields", False), ("i5994.mp4", "60", "fields", True),
                                     ("i50_bare.mp4", "30", "frames", False), ("psf.ts", "60", "none", False)):
        here = os.path.join(work, name)
        good("plan", clip(name), out, "--work", here, "--max-fps", most, "--ladder", ladder(folder, *SMALL))
        text = ""
        for at, _, files in os.walk(here):
            for f in files:
                if f == "plan.json" or f.startswith("plan.json"):
                    with open(os.path.join(at, f), encoding="utf-8", errors="replace") as h:
                        text = h.read()
        got = re.search(r'"deinterlace":\s*"(\w+)",\s*"bottom_first":\s*(\w+)', text)
        assert got and got.groups() == (mode, str(bottom).lower()), "%s: %s" % (name, got and got.groups())


def gaps(folder):
    c = made(folder, clip("i50_gaps.mkv"))
    want = picture_times(clip("i50_gaps.mkv"))
    for t in videos(c):
        path = joined(c, t, folder)
        times = picture_times(path)
        steps = [b - a for a, b in zip(times, times[1:])]
        assert min(steps) > 0.012, "two pictures %.4f s apart" % min(steps)
        first = [n for n in want if not any(abs(n - want[0] - x) < 0.0015 for x in times)]
        assert len(first) <= len(want) // 20, "%d of %d source pictures have no place" % (len(first), len(want))
        assert len(times) > 1.8 * len(want), "%d pictures of %d" % (len(times), len(want))
        not_combed(path)


def interlaced(cases):
    cases.run("50i by flag", field_rate, "i50_flagged.ts", 250, 50)
    cases.run("50i, at most 30", field_rate, "i50_flagged.ts", 125, 25, most="30")
    cases.run("50i MPEG-2", field_rate, "i50_mpeg2.ts", 250, 50)
    cases.run("a ticker of fields below a film", field_rate, "i50_ticker.ts", 250, 50, combed=False)
    cases.run("50i without its flag", field_rate, "i50_bare.mp4", 250, 50)
    cases.run("50i with the wrong order flagged", field_rate, "i50_wrong.ts", 250, 50)
    cases.run("59.94i bottom first", field_rate, "i5994.mp4", 300, 60000 / 1001, parity="bff")
    cases.run("59.94i, at most 30", field_rate, "i5994.mp4", 150, 30000 / 1001, parity="bff", most="30")
    cases.run("50i ProRes 4:2:2", field_rate, "i50_422.mov", 150, 50)
    cases.run("PsF", whole_pictures)
    cases.run("telecine", field_rate, "telecine.mp4", 300, 60000 / 1001,
              warnings=("INTERLACED", "TELECINE_SUSPECTED"))
    cases.run("40 s in spans, --jobs 1 and 4", same_bytes)
    cases.run("50i with gaps", gaps)
    cases.run("the plan says so", planned)


# ---- formats and colours (I14, I16) ----

LOSSLESS = "-c:v ffv1 -level 3".split()
NEAR = X264 + ["-qp", "2"]
LIMITED = {"bt709": ("bt709", "bt709", "bt709"), "bt470bg": ("bt470bg", "bt470bg", "smpte170m"),
           "smpte170m": ("smpte170m", "smpte170m", "smpte170m"), "bt2020nc": ("bt2020nc", "bt2020", "bt2020-10")}
RICH = [("288p", 288, 2000), ("144p", 144, 800), ("96p", 96, 600)]


def colours(folder, matrix, width=512, height=288, ext="mkv", codec=None, rungs=RICH, want=None, **named):
    source = os.path.join(folder, "in." + ext)
    bars(source, width, height, matrix, codec or NEAR, **named)
    c = made(folder, source, "--preset", "veryfast", rungs=rungs)
    want = want or matrix
    assert len(videos(c)) == len(rungs), "rungs"
    for t in videos(c):
        path = joined(c, t, folder)
        tags_are(path, *LIMITED[want])
        bars_are(path, want)


def alpha(folder, codec, ext, pixels, more=()):
    """Left half of a bar of half transparent red, right of white that is not there, on black."""
    source = os.path.join(folder, "in." + ext)
    make_clip(["-f", "lavfi", "-i", "color=red@0.5:s=288x144:r=25:d=1,format=%s" % pixels, *codec, *more], source)
    half = made(folder, source, rungs=[("144p", 144, 400)])
    hidden = os.path.join(folder, "hidden." + ext)
    make_clip(["-f", "lavfi", "-i", "color=white@0.0:s=288x144:r=25:d=1,format=%s" % pixels, *codec, *more], hidden)
    got = codes(joined(half, videos(half)[0], folder), count=1)[0]
    want = code((128, 0, 0), "bt470bg")
    assert max(abs(a - b) for a, b in zip(got, want)) < 4, "half red is %s, not %s" % (got, want)
    out = os.path.join(folder, "none")
    publish(hidden, out, "--ladder", ladder(folder, ("144p", 144, 400)))
    c = check(out)
    os.makedirs(os.path.join(folder, "h"))
    got = codes(joined(c, videos(c)[0], os.path.join(folder, "h")), count=1)[0]
    assert max(abs(a - b) for a, b in zip(got, (16, 128, 128))) < 2, "hidden white is %s" % (got,)


def palette(folder):
    """The palette comes with the first packet alone: also a reader that seeks needs it."""
    source = os.path.join(folder, "in.mov")
    make_clip(lavfi("testsrc2=s=288x144:r=10:d=2") + "-c:v qtrle -pix_fmt gray".split(), source)
    c = made(folder, source, rungs=[("144p", 144, 2000)])
    got, want = luma(joined(c, videos(c)[0], folder), (72, 36)), luma(source, (72, 36))
    assert len(got) == len(want) == 20, "%d pictures of %d" % (len(got), len(want))
    away = [apart(a, b) for a, b in zip(got, want)]
    assert max(away) < 6, "a picture is %.1f from the source's" % max(away)


def formats(cases):
    def one(name, *args, **named):
        cases.run(name, colours, *args, **named)

    one("BT.601 tagged, 625 lines", "bt470bg", width=720, height=576, rungs=RICH)
    one("BT.601 tagged, 525 lines", "smpte170m", width=720, height=480, rungs=RICH)
    one("SD untagged, 525 lines", "smpte170m", width=720, height=480, tags=False)
    one("SD untagged, 625 lines", "bt470bg", width=720, height=576, tags=False)
    one("HD untagged", "bt709", width=1280, height=720, tags=False, rungs=[("720p", 720, 4000), ("144p", 144, 600)])
    one("SD tagged BT.709", "bt709", width=720, height=480)
    one("HD tagged BT.601", "smpte170m", width=1280, height=720, rungs=[("720p", 720, 4000), ("144p", 144, 600)])
    one("BT.2020 SDR 10 bits", "bt2020nc", pixels="yuv420p10le", codec=LOSSLESS)
    one("4:2:0 10 bits", "bt709", pixels="yuv420p10le", codec=LOSSLESS)
    one("4:2:2", "bt709", pixels="yuv422p", ext="mp4")
    one("4:2:2 10 bits", "bt470bg", pixels="yuv422p10le", codec="-c:v prores_ks -profile:v 2".split(), ext="mov",
        tags=False)
    one("4:4:4", "bt709", pixels="yuv444p", ext="mp4")
    one("4:4:4 12 bits", "bt709", pixels="yuv444p12le", codec=LOSSLESS)
    one("RGB", "bt470bg", pixels="gbrp", codec=LOSSLESS, tags=False)
    one("full range tagged", "bt709", pixels="yuvj420p", full=True, ext="mp4")
    one("full range 10 bits", "bt709", pixels="yuv420p10le", full=True, codec=LOSSLESS)
    one("full range MJPEG", "bt470bg", pixels="yuvj422p", full=True, tags=False, ext="avi",
        codec="-c:v mjpeg -q:v 1".split())
    cases.run("palette", palette)
    cases.run("alpha qtrle", alpha, ["-c:v", "qtrle"], "mov", "argb")
    cases.run("alpha ProRes 4444", alpha, ["-c:v", "prores_ks"], "mov", "yuva444p10le")
    cases.run("alpha VP9", alpha, "-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -auto-alt-ref 0".split(), "webm",
              "yuva420p", ["-metadata:s:v:0", "alpha_mode=1"])


# ---- HDR (I15) ----

TONE = ("zscale=t=linear:npl=100,format=gbrpf32le,zscale=p=bt709,tonemap=tonemap=hable:desat=0,"
        "zscale=t=bt709:m=bt709:r=tv:p=bt709,format=yuv420p")
RAMP = "nullsrc=s=288x160:r=25:d=1,format=yuv420p10le,geq=lum='64+876*floor(X/32)/8':cb='512+%s':cr='512-%s'"


def ramp(to, transfer, tint="0", codec="libx265"):
    make_clip(lavfi(RAMP % (tint, tint)) + ["-vf", colour_tags("bt2020", transfer, "bt2020nc")]
              + ["-c:v", codec, "-preset", "ultrafast", "-x265-params", "log-level=none:pools=none:qp=2",
                 "-tag:v", "hvc1"], to)


def zscale():
    names = subprocess.run(["ffmpeg", "-v", "error", "-filters"], stdout=subprocess.PIPE, encoding="utf-8").stdout
    if " zscale " not in names or " tonemap " not in names:
        raise Skip("this ffmpeg has no zscale or tonemap")


def tone_mapped(folder, transfer, tint, dv=None):
    zscale()
    source = plain = os.path.join(folder, "in.mp4")
    ramp(plain, transfer, tint)
    if dv:
        source = os.path.join(folder, "dv.mp4")
        dolby(plain, source, *dv)
        assert re.search(r'"hdr":\s*"dolbyvision"', tool("probe", source, "--json").out), "not seen as Dolby Vision"
    c = made(folder, source, "--preset", "veryfast", rungs=[("160p", 160, 1500), ("96p", 96, 800)])
    assert "HDR_TONE_MAPPED" in c.result.warnings, c.result.warnings
    wanted = os.path.join(folder, "want.mkv")
    make_clip(["-i", plain, "-vf", TONE, "-c:v", "ffv1"], wanted)
    want = codes(wanted, count=9)
    for t in videos(c):
        path = joined(c, t, folder)
        tags_are(path, "bt709", "bt709", "bt709")
        got = codes(path, count=9)
        for n in range(9):
            # zscale's own conversion does not clip what is above white, nor colours that BT.709 does not have
            away = abs(got[n][0] - min(want[n][0], 235))
            tint = max(abs(a - b) for a, b in zip(got[n][1:], want[n][1:])) if n > 2 and want[n][0] < 215 else 0
            assert away <= 4 and tint <= 5, "%s, step %d: %s, ffmpeg's zscale and tonemap give %s" \
                % (t.key, n, ["%.1f" % x for x in got[n]], ["%.1f" % x for x in want[n]])
        assert [g[0] for g in got] == sorted(g[0] for g in got), "a brighter step is darker"
        assert got[0][0] < 18 and got[8][0] > 190, "from %.0f to %.0f" % (got[0][0], got[8][0])


def no_base(folder, profile, transfer, ext="mp4"):
    """Dolby Vision whose base layer has colours of its own, whatever it is tagged as."""
    plain, source = os.path.join(folder, "in.mp4"), os.path.join(folder, "dv.mp4")
    if transfer:
        ramp(plain, transfer)
    else:
        make_clip(lavfi(RAMP % (0, 0)) + "-c:v libx265 -preset ultrafast -x265-params log-level=none:pools=none "
                  "-tag:v hvc1".split(), plain)
    dolby(plain, source, profile, 0)
    if ext != "mp4":
        make_clip(["-i", source, "-c", "copy", "-strict", "unofficial"], os.path.join(folder, "dv." + ext))
        source = os.path.join(folder, "dv." + ext)
    r = tool("publish", source, os.path.join(folder, "out"), "--progress", "none")
    assert (r.code, r.reason) == (1, "CODEC_UNSUPPORTED"), "exit %d %s" % (r.code, r.reason)
    assert not os.path.exists(os.path.join(folder, "out", "master.m3u8")), "a title of wrong colours"


def hdr(cases):
    cases.run("PQ", tone_mapped, "smpte2084", "0")
    cases.run("PQ tinted", tone_mapped, "smpte2084", "16")
    cases.run("HLG", tone_mapped, "arib-std-b67", "0")
    cases.run("HLG tinted", tone_mapped, "arib-std-b67", "16")
    cases.run("Dolby Vision 8.1", tone_mapped, "smpte2084", "8", dv=(8, 1))
    cases.run("Dolby Vision 8.4", tone_mapped, "arib-std-b67", "8", dv=(8, 4))
    cases.run("Dolby Vision 5", no_base, 5, None)
    cases.run("Dolby Vision 5 tagged as PQ", no_base, 5, "smpte2084")
    cases.run("Dolby Vision 5 tagged as PQ, Matroska", no_base, 5, "smpte2084", "mkv")
    cases.run("Dolby Vision 8 that names no base", no_base, 8, "smpte2084")


# ---- shapes that change (I32), cover art (I18), SAR (I12) ----

def quarter(to, size, colour, offset, more=(), codec=X264):
    make_clip(lavfi("color=%s:s=%s:r=25:d=3" % (colour, size)) + codec + ["-g", "25", "-output_ts_offset", str(offset)]
              + list(more), to)


def changes(folder, second, more, bars_at):
    """White of one size, then red of another or of another format: fitted, never green, the size of the title fixed."""
    first, then, source = (os.path.join(folder, n) for n in ("a.ts", "b.ts", "in.ts"))
    quarter(first, "256x144", "white", 0)
    quarter(then, second, "red", 3.1, more)
    with open(source, "wb") as f:
        for path in (first, then):
            f.write(open(path, "rb").read())
    c = made(folder, source)
    for t in videos(c):
        path = joined(c, t, folder)
        assert t.width * 9 == t.height * 16 or abs(t.width - t.height * 16 / 9) <= 2, "%dx%d" % (t.width, t.height)
        early, late = codes(path, at=1, count=5), codes(path, at=4.5, count=5)
        white, red = code((255, 255, 255), "smpte170m"), code((255, 0, 0), "smpte170m")
        for got in early:
            assert max(abs(a - b) for a, b in zip(got, white)) < 4, "%s: white is %s" % (t.key, got)
        for n, got in enumerate(late):
            want = (16, 128, 128) if n in bars_at else red
            assert max(abs(a - b) for a, b in zip(got, want)) < 6, "%s: fifth %d is %s, not %s" % (t.key, n, got, want)


def cover(folder, ext):
    """Cover art is not the picture of a title, whatever it is coded in."""
    art, source = os.path.join(folder, "art." + ext), os.path.join(folder, "in.m4a" if ext != "webp" else "in.mka")
    make_clip(lavfi("testsrc2=s=300x300") + ["-frames:v", "1"], art)
    tone = os.path.join(folder, "tone.m4a")
    make_clip(lavfi(None, "sine=440:d=3:r=48000") + AAC, tone)
    if ext == "webp":
        make_clip(["-i", tone, "-c", "copy", "-attach", art, "-metadata:s:t", "mimetype=image/webp"], source)
    else:
        make_clip(["-i", tone, "-i", art, "-map", "0:a", "-map", "1", "-c", "copy", "-disposition:v:0", "attached_pic"],
                  source)
    c = made(folder, source, rungs=None)
    assert not videos(c), "cover art became a video"


def two_shapes(folder):
    """The container says 16:11, the bitstream 1:1: one shape on all rungs, that of the container."""
    plain, source = os.path.join(folder, "a.mp4"), os.path.join(folder, "in.mp4")
    make_clip(lavfi("testsrc2=s=288x288:r=25:d=2") + X264, plain)
    make_clip(["-i", plain, "-c", "copy", "-aspect", "16:11"], source)
    c = made(folder, source, rungs=[("288p", 288, 600), ("144p", 144, 300)])
    for t in videos(c):
        assert abs(t.width / t.height - 16 / 11) < 0.02, "%dx%d" % (t.width, t.height)


def still(folder):
    for ext in ("png", "jpg", "gif", "webp"):
        path = os.path.join(folder, "x." + ext)
        make_clip(lavfi("testsrc2=s=64x64") + ["-frames:v", "1"], path)
        r = tool("publish", path, os.path.join(folder, ext), "--progress", "none")
        assert (r.code, r.reason) == (1, "NOT_A_VIDEO"), "%s: exit %d %s %s" % (ext, r.code, r.reason, r.text)


def shapes(cases):
    cases.run("another size in mid-stream", changes, "144x144", (), (0, 4))
    cases.run("another format in mid-stream", changes, "256x144", ("-pix_fmt", "yuv444p"), ())
    cases.run("size and format in mid-stream", changes, "160x160", ("-pix_fmt", "yuv422p10le"), (0, 4))
    for ext in ("jpg", "png", "webp"):
        cases.run("cover art " + ext, cover, ext)
    cases.run("two shapes", two_shapes)
    cases.run("still images", still)


# ---- rates (I17, I36, I37) ----

def capped(folder, rate, most, want):
    source = os.path.join(folder, "in.mp4")
    make_clip(lavfi(MOVING % ("288x144", rate, "3")) + X264, source)
    c = made(folder, source, *(["--max-fps", str(most)] if most else []), rungs=[("144p", 144, 4000), ("96p", 96, 300)])
    said = {float(v["a"]["FRAME-RATE"][0]) for m in c.masters for v in m.variants}
    assert said == {want}, "FRAME-RATE %s" % said
    same_pictures(c, folder, "select='not(mod(n\\,%d))'" % (rate // want), 3 * want, want, combed=False)


def slides(folder):
    """9 pictures of a second each: IDRs by time, the last one's length kept, no empty segment."""
    source = os.path.join(folder, "in.mp4")
    make_clip(lavfi("testsrc2=s=288x144:r=1:d=9", "sine=d=9:r=48000") + X264 + ["-g", "4"] + AAC, source)
    c = made(folder, source, "--segment", "4", "--gop", "2")
    for t in videos(c):
        lengths = [float(s.end - s.start) for s in t.segments]
        assert len(lengths) == 3 and abs(sum(lengths) - 9) < 0.001, lengths
        assert max(abs(a - b) for a, b in zip(lengths, (4, 4, 1))) < 0.001, lengths
        assert [s.frames for s in t.segments] == [4, 4, 1], [s.frames for s in t.segments]


def rare(folder):
    """A picture in 5 seconds: one is held at each IDR."""
    source = os.path.join(folder, "in.mp4")
    make_clip(lavfi("testsrc2=s=288x144:r=1/5:d=30") + X264, source)
    c = made(folder, source)
    for t in videos(c):
        assert abs(float(t.end - t.start) - 30) < 0.01, float(t.end - t.start)
        assert all(s.frames >= 3 for s in t.segments), [s.frames for s in t.segments]


def gif(folder):
    """Delays of 0.5 s, none (shown for 0.1 s) and 1 s: kept, also the last one."""
    source = os.path.join(folder, "in.gif")
    make_clip(lavfi("testsrc2=s=144x144:r=10:d=0.3"), source)
    data = bytearray(open(source, "rb").read())
    at, delays = -1, [50, 0, 100]
    for d in delays:
        at = data.index(b"\x21\xf9\x04", at + 1)
        data[at + 4:at + 6] = struct.pack("<H", d)
    with open(source, "wb") as f:
        f.write(data)
    c = made(folder, source)
    for t in videos(c):
        times = picture_times(joined(c, t, folder))
        got = sorted({round(x - times[0], 2) for x in times})
        assert got[:3] == [0, 0.5, 0.6], got
        assert abs(float(t.end - t.start) - 1.6) < 0.05, "lasts %.2f s" % float(t.end - t.start)


def rates(cases):
    cases.run("120 to 60", capped, 120, None, 60)
    cases.run("240 to 60", capped, 240, None, 60)
    cases.run("120, at most 120", capped, 120, 120, 120)
    cases.run("50, at most 30", capped, 50, 30, 25)
    cases.run("slides", slides)
    cases.run("a picture in 5 s", rare)
    cases.run("GIF delays", gif)


GROUPS = {"interlaced": interlaced, "formats": formats, "hdr": hdr, "shapes": shapes, "rates": rates}


def main():
    names = sys.argv[1:] or list(GROUPS)
    if any(n not in GROUPS for n in names):
        print(__doc__, file=sys.stderr)
        return 2
    cases = Cases("picture-" + "-".join(names))
    for name in names:
        GROUPS[name](cases)
    return cases.end()


if __name__ == "__main__":
    sys.exit(main())
