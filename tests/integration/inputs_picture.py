# SPDX-License-Identifier: LGPL-2.1-or-later
"""Picture: rows I10-I17, I32."""
import os

import inputs
from clips import run as make_clip
from inputs import case, close, continuous, entries, equal, rgb
from test_picture import TONE, zscale
from test_publish import shape, upright
from titles import clip, ffmpeg, videos

inputs.group[0] = "picture"


def looks(t, width, height):
    """Pixels where ffmpeg's own rotation puts them, the shape, and no matrix that a player would apply again."""
    t.c.source = t.source
    shape(width, height)(t.c, t.folder)
    upright(t.c, t.folder)
    side = entries(t.video, "stream_side_data=side_data_type,rotation", "v:0")
    assert "otation" not in str(side) and "matrix" not in str(side), "the title has a matrix: %s" % side


for _turn, _size in ((90, (72, 128)), (180, (128, 72)), (270, (72, 128))):
    @case("I10", "display matrix of %d degrees" % _turn, "upright pixels, ladder from the display size, no matrix")
    def _(t, turn=_turn, size=_size):
        p = t.probe(clip("rot%d.mp4" % turn))["video"][0]
        equal((p["display_width"], p["display_height"]), size, "display size")
        t.publish(clip("rot%d.mp4" % turn), "--ladder", "auto")
        looks(t, *size)
        return "%dx%d, upright, no matrix" % (videos(t.c)[0].width, videos(t.c)[0].height)


def alike(a, b):
    equal(len(a), len(b), "pixels")
    away = sum(abs(x - y) for p, q in zip(a, b) for x, y in zip(p, q)) / len(a) / 3
    assert away < 18, "pictures differ by %.1f" % away


@case("I10", "turned by a message in the bitstream", "upright pixels, ladder from the display size")
def _(t):
    p = t.probe(clip("turned.ts"))["video"][0]
    equal((p["display_width"], p["display_height"]), (72, 128), "display size")
    t.publish(clip("turned.ts"), "--ladder", "auto")
    equal((videos(t.c)[0].width, videos(t.c)[0].height), (72, 128), "size")
    for at in (0, 0.5):
        alike(rgb(t.video, at, (72, 128)), rgb(clip("turned_by_hand.mp4"), at, (72, 128)))
    return "72x128, upright"


@case("I10", "mirrored by the display matrix", "upright pixels, no matrix")
def _(t):
    t.publish(clip("flip.mp4"), "--ladder", "auto")
    looks(t, 128, 72)
    return "mirrored as ffmpeg does, no matrix"


@case("I10", "portrait as coded", "portrait rungs")
def _(t):
    t.publish(clip("portrait.mp4"), "--ladder", "auto")
    looks(t, 72, 128)
    return "72x128"


for _name, _what in (("odd.mkv", "127x71, FFV1"), ("odd.mp4", "127x71, H.264 4:4:4")):
    @case("I11", _what, "even, by one pixel at most")
    def _(t, name=_name):
        t.publish(clip(name), "--ladder", "auto")
        v = videos(t.c)[0]
        assert abs(v.width - 127) <= 1 and abs(v.height - 71) <= 1, "%dx%d" % (v.width, v.height)
        for r, g, b in rgb(t.video):
            assert r > 230 and g < 25 and b < 25, "a pixel of %d %d %d: no plain red" % (r, g, b)
        return "%dx%d, red to the edges" % (v.width, v.height)


@case("I11", "6x4 pixels", "a title")
def _(t):
    t.publish(clip("tiny.mkv"), "--ladder", "auto")
    equal(len(t.times()), 25, "pictures")
    v = videos(t.c)[0]
    assert v.width % 2 == 0 and v.height % 2 == 0 and v.width <= 64, "%dx%d" % (v.width, v.height)
    return "%dx%d, 25 pictures" % (v.width, v.height)


@case("I12", "SAR 16:11", "square pixels, same shape on every rung")
def _(t):
    t.publish(clip("sar.mp4"), rungs=[("96p", 96, 400), ("48p", 48, 200)])
    equal(len(videos(t.c)), 2, "rungs")
    t.c.source = t.source
    shape(186, 96)(t.c, t.folder)
    upright(t.c, t.folder)
    return "square pixels, 186:96 on both rungs"


@case("I12", "SAR 16:11 in the container, 1:1 in the bitstream", "the container's, square pixels")
def _(t):
    t.publish(clip("sar_two.mp4"), "--ladder", "auto")
    t.c.source = t.source
    shape(186, 96)(t.c, t.folder)
    return "186:96, square pixels"


@case("I12", "SAR 200:199", "taken as square")
def _(t):
    p = t.probe(clip("sar_near.mp4"))["video"][0]
    equal((p["sar"], p["display_width"], p["display_height"]), ("1:1", 128, 72), "shape")
    t.publish(clip("sar_near.mp4"), "--ladder", "auto")
    equal((videos(t.c)[0].width, videos(t.c)[0].height), (128, 72), "size")
    return "1:1, 128x72"


def combs(path, each=5):
    """Share of pixels where a line differs from both its neighbours, which agree: fields of two times woven."""
    w, h = (entries(path, "stream=width,height", "v:0")[0][k] for k in ("width", "height"))
    data = ffmpeg(["-i", path, "-map", "0:v:0", "-fps_mode", "passthrough", "-pix_fmt", "gray", "-f", "rawvideo", "-"],
                         text=False)
    bad = 0
    for f in range(0, len(data) // (w * h) * w * h, w * h * each):
        for y in range(8, h - 8, 6):
            row = f + y * w
            for x in range(0, w, 3):
                a, b, c = data[row + x - w], data[row + x], data[row + x + w]
                bad += abs(a - c) < 24 and abs(a - b) > 60
    return bad


@case("I13", "interlaced, top field first", "50 pictures a second, no combs, INTERLACED")
def _(t):
    assert combs(clip("fields.mp4")) > 50, "the clip has no combs"
    t.publish(clip("fields.mp4"), rungs=[("96p", 96, 800)], warns=["INTERLACED"])
    equal(len(t.times()), 100, "pictures")
    n = combs(t.video)
    assert n < 10, "%d combed pixels" % n
    return "100 pictures in 2 s, no combs, INTERLACED"


@case("I13", "interlaced, --max-fps 30", "25 pictures a second, no combs")
def _(t):
    t.publish(clip("fields.mp4"), "--max-fps", "30", rungs=[("96p", 96, 800)], warns=["INTERLACED"])
    equal(len(t.times()), 50, "pictures")
    n = combs(t.video)
    assert n < 10, "%d combed pixels" % n
    return "50 pictures in 2 s, no combs"


@case("I13", "0.8 s of 4.8 interlaced", "25 pictures a second, no combs, INTERLACED")
def _(t):
    t.publish(clip("some_fields.ts"), rungs=[("96p", 96, 800)], warns=["INTERLACED"])
    equal(len(t.times()), 120, "pictures")
    n = combs(t.video, 1)
    assert n < 10, "%d combed pixels" % n
    return "120 pictures in 4.8 s, no combs, INTERLACED"


@case("I13", "interlaced, then progressive", "50 pictures a second, no combs, INTERLACED")
def _(t):
    t.publish(clip("half_fields.ts"), rungs=[("96p", 96, 800)], warns=["INTERLACED"])
    equal(len(t.times()), 200, "pictures")
    n = combs(t.video, 1)
    assert n < 10, "%d combed pixels" % n
    return "200 pictures in 4 s, no combs, INTERLACED"


@case("I13", "interlaced, flagged as progressive", "found by looking")
def _(t):
    t.publish(clip("fields_unflagged.mkv"), rungs=[("96p", 96, 800)], warns=["INTERLACED"])
    n = combs(t.video)
    assert n < 10, "%d combed pixels" % n
    return "no combs, INTERLACED"


@case("I13", "progressive, flagged as interlaced", "left as it is")
def _(t):
    t.publish(clip("psf.mp4"), rungs=[("96p", 96, 800)])
    equal(len(t.times()), 50, "pictures")
    assert "INTERLACED" not in t.result.warnings, t.result.warnings
    return "50 pictures in 2 s as in the source"


for _fmt in ("yuv420p10le", "yuv422p", "yuv444p", "yuvj420p"):
    @case("I14", _fmt, "8-bit 4:2:0 limited, tags that agree, same colours")
    def _(t, fmt=_fmt):
        t.publish(clip("pix_%s.mp4" % fmt), "--ladder", "auto")
        v = entries(t.video, "stream=pix_fmt,color_range,profile", "v:0")[0]
        equal(v["pix_fmt"], "yuv420p", "pixel format")
        equal(v.get("color_range", "tv"), "tv", "range")
        assert not any(x in v["profile"] for x in ("10", "4:2:2", "4:4:4")), v["profile"]
        t.c.source = t.source
        upright(t.c, t.folder)
        return "yuv420p, limited, colours as in the source"


@case("I14", "grey in AVI, without a range", "full range: black to white")
def _(t):
    t.publish(clip("grey.avi"), "--ladder", "auto")
    row = [p[1] for p in rgb(t.video, size=(16, 9))[64:80]]
    away = max(abs(y - (n + 0.5) * 255 / 16) for n, y in enumerate(row))
    assert away < 6, "a ramp of %s" % row
    return "a ramp from black to white"


for _name, _want in (("hlg.mp4", "hlg"), ("pq.mp4", "pq")):
    @case("I15", "10-bit " + _want.upper() + ", BT.2020", "tone-mapped and tagged BT.709, HDR_TONE_MAPPED")
    def _(t, name=_name, want=_want):
        equal(t.probe(clip(name))["video"][0]["hdr"], want, "hdr")
        t.publish(clip(name), "--ladder", "auto", warns=["HDR_TONE_MAPPED"])
        v = entries(t.video, "stream=pix_fmt,color_range,color_space,color_transfer,color_primaries", "v:0")[0]
        equal([v[k] for k in ("pix_fmt", "color_space", "color_transfer", "color_primaries")],
              ["yuv420p", "bt709", "bt709", "bt709"], "tags")
        steps = [p[0] for p in rgb(t.video, size=(16, 9))[64:80]]
        assert steps == sorted(steps), "grey steps %s do not rise" % steps
        assert steps[0] < 12 and steps[-1] > 200 and 40 < steps[8] < 235, "grey steps %s" % steps
        return "BT.709 with rising greys from black to white, HDR_TONE_MAPPED"


for _name, _what, _primaries in (("pq_bare.ts", "PQ that names neither primaries nor matrix", "bt2020"),
                                 ("pq_p3.ts", "PQ in the primaries of P3", "smpte432")):
    @case("I15", _what, "mapped from %s" % ("BT.2020" if _primaries == "bt2020" else "those"))
    def _(t, name=_name, primaries=_primaries):
        zscale()
        t.publish(clip(name), "--ladder", "auto", warns=["HDR_TONE_MAPPED"])
        want = os.path.join(t.folder, "want.mkv")
        said = "setparams=color_primaries=%s:color_trc=smpte2084:colorspace=bt2020nc:range=tv," % primaries
        make_clip(["-i", clip(name), "-vf", said + TONE, "-c:v", "ffv1"], want)
        for x in (1, 12):
            ours, theirs = rgb(t.video)[4 * 16 + x], rgb(want)[4 * 16 + x]
            assert max(abs(a - b) for a, b in zip(ours, theirs)) < 8, "%s, ffmpeg's zscale gives %s" % (ours, theirs)
        return "red and grey as ffmpeg's zscale maps them"


@case("I16", "half-transparent red; hidden white", "composited on black")
def _(t):
    t.publish(clip("alpha.mov"), "--ladder", "auto")
    pixels = rgb(t.video, size=(16, 9))
    left, right = pixels[4 * 16 + 3], pixels[4 * 16 + 12]
    assert abs(left[0] - 128) < 12 and left[1] < 12 and left[2] < 12, "half red is %s" % (left,)
    assert max(right) < 12, "hidden white is %s" % (right,)
    return "half red is dark red, hidden pixels are black"


@case("I17", "GIF, 10 fps", "a title with its delays")
def _(t):
    t.publish(clip("anim.gif"), "--ladder", "auto")
    equal(len(t.times()), 20, "pictures")
    t.lasts(2)
    return "20 pictures, 2 s"


@case("I17", "GIF whose last picture stays for 1.5 s", "the delays, that of the last picture too")
def _(t):
    t.publish(clip("hold.gif"), "--ladder", "auto")
    at = t.times()
    close(at[9], 0.9, 0.02, "time of the tenth picture")
    t.lasts(2.4, 0.05)
    return "2.4 s"


@case("I17", "GIF with delays of 0", "0.1 s each")
def _(t):
    t.publish(clip("zero_delay.gif"), "--ladder", "auto")
    equal(len(t.times()), 10, "pictures")
    t.lasts(1, 0.05)
    return "10 pictures, 1 s"


@case("I17", "GIF of two pictures, 1 s and a delay of 0", "both, for 1 s and 0.1 s")
def _(t):
    t.publish(clip("two.gif"), "--ladder", "auto")
    equal([round(x, 2) for x in t.times()], [0, 1], "times")
    t.lasts(1.1, 0.01)
    return "pictures at 0 and 1 s, 1.1 s"


for _name in ("still.png", "still.jpg", "one.gif"):
    @case("I17", _name, "NOT_A_VIDEO")
    def _(t, name=_name):
        return t.refused(clip(name), "NOT_A_VIDEO")


@case("I32", "128x72, then 96x128", "one size, fitted and padded, no green")
def _(t):
    t.publish(clip("resize.ts"), "--ladder", "auto")
    at = t.times()
    equal(len(at), 120, "pictures")
    continuous(at, 0.1)
    equal((videos(t.c)[0].width, videos(t.c)[0].height), (128, 72), "size")
    second = rgb(t.video, at=3, size=(128, 72))
    edge = [second[y * 128 + x] for y in (10, 36, 60) for x in (4, 12, 115, 123)]
    assert all(max(p) < 24 for p in edge), "not padded with black: %s" % edge[:4]
    middle = [second[y * 128 + x] for y in range(5, 70, 5) for x in range(45, 85, 5)]
    assert max(max(p) for p in middle) > 120, "no picture in the middle"
    return "120 pictures of 128x72, the second part between black bars"


for _name, _what in (("pixfmt.ts", "4:2:0, then 4:2:2"), ("depth.ts", "8 bits, then 10"),
                     ("full_first.ts", "full range, then limited"), ("limited_first.ts", "limited range, then full")):
    @case("I32", _what, "the same picture all through")
    def _(t, name=_name, what=_what):
        t.publish(clip(name), "--ladder", "auto")
        at = t.times()
        equal(len(at), 120, "pictures")
        one, two = rgb(t.video, at=0.5), rgb(t.video, at=2.5)
        away = sum(abs(a - b) for p, q in zip(one, two) for a, b in zip(p, q)) / len(one) / 3
        # The same pictures; but for one where they move.
        assert away < (3 if "range" in what else 9), "colours change by %.1f" % away
        return "120 pictures, same colours in both parts"


@case("I32", "upright, then turned by a message in the bitstream", "one size, fitted and padded")
def _(t):
    t.publish(clip("turns.ts"), "--ladder", "auto")
    equal(len(t.times()), 120, "pictures")
    equal((videos(t.c)[0].width, videos(t.c)[0].height), (128, 72), "size")
    alike(rgb(t.video, 0, (128, 72)), rgb(clip("upright.ts"), 0, (128, 72)))
    for at in (2.3, 2.48, 2.5, 2.52, 2.98, 3, 3.02): # each around a random access point
        fitted = rgb(t.video, at, (128, 72))
        edge = [fitted[y * 128 + x] for y in range(72) for x in (2, 20, 38, 90, 110, 125)]
        assert max(map(max, edge)) < 40, "not padded with black at %s" % at
    top, bottom = fitted[3 * 128 + 60], fitted[68 * 128 + 80]
    assert top[0] < 60 < 180 < min(top[1:]) and bottom[0] > 180 > 60 > max(bottom[1:]), "not upright: %s %s" % (top, bottom)
    return "120 pictures of 128x72, the second part upright between black bars"
