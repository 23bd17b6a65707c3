#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""`vodpipe package`: ready-made renditions into a title, no picture changed (DESIGN 5 "package")."""
import os
import re
import subprocess
import sys

sys.dont_write_bytecode = True

import sync  # noqa: E402
from clips import AAC, X264, clip as define, cut, lavfi, run as make_clip, test_video, turned, write  # noqa: E402
from titles import (BIN, FULL, Cases, Sound, audios, check, clip, ffmpeg, good, joined, picture_hashes,  # noqa: E402
                    picture_times, tool, videos)

SIZES = {"a": ("320x180", 300), "b": ("192x108", 150), "c": ("128x72", 80)}
GRID = ["-bf", "2", "-g", "50", "-keyint_min", "50", "-sc_threshold", "0"]


def rendition(name, why, key="a", seconds="13", rate="25", grid=GRID, audio=True, hz=440, more=()):
    size, kbps = SIZES[key]

    @define(name, why)
    def _(to, dep):
        source = lavfi(test_video("320x180", rate, seconds), "sine=%d:d=%s:r=48000" % (hz, seconds) if audio else None)
        make_clip(source + ["-vf", "scale=" + size.replace("x", ":")] + "-c:v libx264 -preset veryfast -threads 1".split()
                  + ["-b:v", "%dk" % kbps, "-flags", "+cgop"] + grid + (AAC + ["-ac", "2"] if audio else []) + list(more), to)


for _ext in ("mp4", "ts", "mkv"):
    for _key in SIZES:
        if _ext == "mp4":
            rendition("pk_%s.mp4" % _key, "ready rendition, IDR each 2 s", _key, hz={"a": 440, "b": 880, "c": 660}[_key])
        else:
            @define("pk_%s.%s" % (_key, _ext), "the same in another container")
            def _(to, dep, key=_key):
                make_clip(["-i", dep("pk_%s.mp4" % key), "-c", "copy"], to)

rendition("pk_2398.mp4", "23.976, IDR each 48 pictures", rate="24000/1001", grid=["-bf", "3", "-g", "48", "-keyint_min",
                                                                                 "48", "-sc_threshold", "0"])
rendition("pk_2398_b.mp4", "its smaller sister", "b", rate="24000/1001", grid=["-bf", "0", "-g", "24", "-keyint_min", "24",
                                                                              "-sc_threshold", "0"])
rendition("pk_dense.mp4", "IDR each second: more than its sisters have", "b",
          grid=["-g", "25", "-keyint_min", "25", "-sc_threshold", "0"])
rendition("pk_odd.mp4", "IDR each 1.72 s: never together with 2 s, but at 0", "b",
          grid=["-g", "43", "-keyint_min", "43", "-sc_threshold", "0"])
rendition("pk_scene.mp4", "a scene cut at 3.2 s beside an IDR each 4 s", "a",
          grid=["-g", "250", "-sc_threshold", "0", "-force_key_frames", "0,3.2,4,8,12"])
rendition("pk_forced.mp4", "its sister without the scene cut; High profile of level 1b", "c",
          grid=["-g", "250", "-sc_threshold", "0", "-force_key_frames", "0,4,8,12"])
rendition("pk_longer.mp4", "one picture longer", "b", seconds="13.04")
rendition("pk_one.mp4", "one IDR", "b", grid=["-g", "9999", "-keyint_min", "9999", "-sc_threshold", "0"])
rendition("pk_silent.mp4", "no audio", "b", audio=False)
rendition("pk_short.mp4", "ends 3 s early", "b", seconds="10")
rendition("pk_open.mp4", "open GOPs", "b",
          grid=["-bf", "3", "-g", "50", "-sc_threshold", "0", "-flags", "-cgop", "-x264opts", "open-gop=1"])


@define("pk_mpeg4.mp4", "MPEG-4 part 2: not H.264")
def _(to, dep):
    make_clip(lavfi(test_video(d="4"), "sine=d=4:r=48000") + "-c:v mpeg4 -g 50".split() + AAC, to)


@define("pk_mp3.mkv", "H.264 with MP3")
def _(to, dep):
    make_clip(lavfi(test_video(d="4"), "sine=d=4:r=48000") + X264 + ["-g", "60", "-c:a", "libmp3lame"], to)


@define("pk_cut.mkv", "cut at 60 %")
def _(to, dep):
    cut(to, dep("pk_b.mkv"), 60)


@define("pk_audio.m4a", "audio of another language alone")
def _(to, dep):
    make_clip(lavfi(None, "sine=770:d=13:r=48000") + AAC + ["-ac", "2", "-metadata:s:a:0", "language=fre"], to)


@define("pk_a.mov", "the same in QuickTime")
def _(to, dep):
    make_clip(["-i", dep("pk_a.mp4"), "-c", "copy"], to)


@define("pk_b_frag.mp4", "the same in fragments")
def _(to, dep):
    make_clip(["-i", dep("pk_b.mp4"), "-c", "copy", "-movflags", "frag_keyframe+empty_moov"], to)


@define("pk_c_fast.mp4", "the same with moov at the start")
def _(to, dep):
    make_clip(["-i", dep("pk_c.mp4"), "-c", "copy", "-movflags", "faststart"], to)


@define("pk_c_cut.mp4", "moov at the start, cut at 60 %")
def _(to, dep):
    cut(to, dep("pk_c_fast.mp4"), 60)


for _ext in ("mkv", "mp4"):
    @define("pk_marked." + _ext, "English and French, French is marked as the default")
    def _(to, dep):
        make_clip(["-i", dep("pk_silent.mp4"), "-i", dep("pk_audio.m4a"), "-i", dep("pk_audio.m4a"), "-map", "0:v", "-map", "1",
                   "-map", "2", "-c", "copy", "-metadata:s:a:0", "language=eng", "-disposition:a:0", "0", "-disposition:a:1",
                   "default"], to)


for _channels in (1, 2, 6):
    @define("pk_late_%d.mp4" % _channels, "SYNC with %d channels that begin a second after the picture" % _channels)
    def _(to, dep, n=_channels):
        make_clip(["-i", dep("sync4.mp4"), "-itsoffset", "1", "-i", dep("sync4.mp4"), "-map", "0:v", "-map", "1:a"] + X264
                  + "-g 60 -sc_threshold 0 -c:a aac".split() + ["-ac", str(n)], to)


for _name, _codec, _from, _to in (("pk_hole.mkv", "aac", 52, 88), ("pk_hole_one.mkv", "aac", 60, 62),
                                  ("pk_hole_ac3.mkv", "ac3", 35, 58), ("pk_hole_ac3_one.mkv", "ac3", 40, 41),
                                  ("pk_hole_eac3_one.mkv", "eac3", 40, 41), ("pk_hole_ac3_two.mkv", "ac3", 40, 42),
                                  ("pk_hole_flac.mkv", "flac -frame_size 1152", 60, 61)):
    @define(_name, "SYNC whose sound lacks frames %d to %d" % (_from, _to - 1))
    def _(to, dep, codec=_codec, first=_from, last=_to):
        whole = to + ".whole.mkv"
        make_clip(["-i", dep("sync4.mp4"), "-c:a"] + codec.split() + X264 + "-g 60 -sc_threshold 0".split(), whole)
        make_clip(["-i", whole, "-c", "copy", "-bsf:a", "noise=amount=0:drop='gte(n,%d)*lt(n,%d)'" % (first, last)], to)
        os.remove(whole)


for _name, _codec, _frame in (("pk_again.mkv", "aac", 64 / 3), ("pk_again_ac3.mkv", "ac3", 32)):
    @define(_name, "SYNC whose sound has three frames twice, crowded where the fourth is due")
    def _(to, dep, codec=_codec, frame=_frame):
        whole, sound, listing = to + ".whole.mkv", to + ".sound.mkv", to + ".txt"
        make_clip(["-i", dep("sync4.mp4"), "-vn", "-c:a", codec], whole)
        with open(listing, "w", encoding="utf-8") as f:
            # between frames: some versions of ffmpeg begin such a sound with its priming, before zero
            f.write("file '%s'\noutpoint %.3f\nfile '%s'\ninpoint %.3f\n"
                    % (whole, 59.5 * frame / 1000, whole, 57.25 * frame / 1000))
        make_clip(["-f", "concat", "-safe", "0", "-i", listing, "-vn", "-c", "copy", "-bsf:a",
                   "setts=ts='if(gte(N,60)*lt(N,63),PREV_OUTPTS+1,if(gte(N,63),PTS-%d,PTS))'" % (2.25 * frame)], sound)
        make_clip(["-i", dep("sync4.mp4"), "-i", sound, "-map", "0:v", "-map", "1:a", "-c:a", "copy"] + X264
                  + "-g 60 -sc_threshold 0".split(), to)
        for path in (whole, sound, listing):
            os.remove(path)


@define("pk_sync_v.ts", "SYNC's picture alone; both files begin at 1.4 s")
def _(to, dep):
    make_clip(["-i", dep("sync4.mp4"), "-an"] + X264 + "-g 60 -sc_threshold 0".split(), to)


@define("pk_sync_a.ts", "SYNC's sound alone")
def _(to, dep):
    make_clip(["-i", dep("sync4.mp4"), "-vn", "-c:a", "copy"], to)


rendition("pk_wide.mp4", "pixels of 16:11", "b", more=["-vf", "scale=192:108,setsar=16/11"])
rendition("pk_aud.mp4", "access unit delimiters", "b", more=["-x264-params", "aud=1"])


@define("pk_trimmed.mp4", "an edit list that leaves out the first 0.6 s")
def _(to, dep):
    make_clip(["-ss", "2.6", "-i", dep("pk_b.mp4"), "-c", "copy"], to)


for _ext, _codec in (("mp4", "mov_text"), ("mkv", "srt")):
    @define("pk_titles." + _ext, "with subtitles")
    def _(to, dep, codec=_codec):
        srt = to + ".srt"
        with open(srt, "w", encoding="utf-8") as f:
            f.write("1\n00:00:01,000 --> 00:00:02,000\nhello\n")
        make_clip(["-i", dep("pk_b.mp4"), "-i", srt, "-map", "0", "-map", "1", "-c", "copy", "-c:s", codec], to)
        os.remove(srt)


@define("pk_turned.mp4", "turned by its display matrix")
def _(to, dep):
    write(to, turned(dep("pk_b.mp4"), 90))


@define("pk_short_lengths.mp4", "NAL units with lengths of two bytes")
def _(to, dep):
    with open(dep("pk_aud.mp4"), "rb") as f:
        data = bytearray(f.read())
    at = data.index(b"avcC") + 8
    assert data[at] == 0xFF
    data[at] = 0xFD
    out = ffprobe_lines(dep("pk_aud.mp4"), "packet=pos,size")
    for size, pos in (map(int, line.split(",")[:2]) for line in out):
        units, i = [], pos
        while i < pos + size:
            n = int.from_bytes(data[i:i + 4], "big")
            units.append(bytes(data[i + 4:i + 4 + n]))
            i += 4 + n
        room = 2 * len(units) - 2  # filler data takes the room of the bytes that are saved
        units.append(b"\x0c" + b"\xff" * (room - 2) + b"\x80")
        data[pos:pos + size] = b"".join(len(u).to_bytes(2, "big") + u for u in units)
    with open(to, "wb") as f:
        f.write(data)


@define("pk_long.mp4", "two hours in 24 MB")
def _(to, dep):
    short = to + ".short.mp4"
    make_clip(lavfi("color=s=64x36:r=25:d=12") + "-c:v libx264 -preset ultrafast -bf 2 -g 50".split(), short)
    make_clip(["-stream_loop", "599", "-i", short, "-c", "copy"], to)
    os.remove(short)


def ffprobe_lines(path, entries):
    run = subprocess.run(["ffprobe", "-v", "error", "-select_streams", "v", "-show_entries", entries, "-of", "csv=p=0", path],
                         stdout=subprocess.PIPE, text=True, check=True)
    return [line for line in run.stdout.split("\n") if line]


FORMS = {"cmaf": [], "both": ["--format", "both"], "ts": ["--format", "ts"], "single": ["--single-file"]}


def aligned(folder, names, form, first_hz=440, decode=True, more=()):
    inputs, out = [clip(n) for n in names], os.path.join(folder, form)
    good("package", *inputs, out, *FORMS[form], *more)
    c = check(out, decode=decode)
    kinds = {"cmaf": ["cmaf"], "single": ["cmaf"], "ts": ["ts"], "both": ["cmaf", "ts"]}[form]
    with_video = [(n, p) for n, p in zip(names, inputs) if not n.endswith("m4a")]
    for kind in kinds:
        tracks = videos(c, kind)
        assert len(tracks) == len(with_video), "%d video tracks of %d inputs" % (len(tracks), len(with_video))
        # By size, as the inputs are: "a" is the largest.
        for t, (name, path) in zip(sorted(tracks, key=lambda t: -t.height), sorted(with_video, key=lambda x: -size_of(x[1])[1])):
            assert (t.width, t.height) == size_of(path), "%s: %dx%d" % (name, t.width, t.height)
            assert "%dp" % t.height in t.key, "%s: named %s" % (name, t.key)
            whole = joined(c, t, folder)
            a, b = picture_hashes(path), picture_hashes(whole)
            assert a == b, "%s: %d of %d pictures differ after packaging" % (
                name, sum(x != y for x, y in zip(a, b)) + abs(len(a) - len(b)), len(a))
            same_gaps(picture_times(path), picture_times(whole), name)
    if first_hz:
        sounds = audios(c, "cmaf") or videos(c, "ts")
        got = Sound(joined(c, sounds[0], folder)).pitch(0.5, 8)
        assert abs(got - first_hz) < 5, "audio of %.0f Hz, not that of the first input" % got
    return c


def size_of(path):
    out = ffmpeg(["-i", path, "-map", "0:v:0", "-frames:v", "1", "-f", "framecrc", "-"])
    return tuple(int(x) for x in re.search(r"#dimensions 0: (\d+)x(\d+)", out).groups())


def same_gaps(a, b, name):
    """Times relative to the first picture, to a tick of 90 kHz or of Matroska's milliseconds."""
    a, b = [x - a[0] for x in a], [x - b[0] for x in b]
    worst = max(abs(x - y) for x, y in zip(a, b))
    assert worst <= 0.0011, "%s: a picture is %.2f ms from its time" % (name, worst * 1000)


def refused(folder, reason, names, *words, more=()):
    out = os.path.join(folder, "out")
    r = tool("package", *[clip(n) for n in names], out, "--progress", "none", *more)
    assert r.code == 1 and r.reason == reason, "exit %d, %s; %s is wanted" % (r.code, r.err[-300:], reason)
    for word in words:
        assert re.search(word, r.text), "%r is not in %r" % (word, r.text)
    left = [os.path.join(at, n) for at, _, found in os.walk(out) for n in found]
    masters = [p for p in left if p.endswith((".m3u8", ".mpd"))]
    assert not masters, "half published: %s" % masters


def counts(folder):
    """Two segments of 6 s and one of 1 s; each holds three fragments of 2 s."""
    c = aligned(folder, ["pk_a.mp4", "pk_b.ts", "pk_c.mkv"], "both")
    for t in videos(c):
        assert [round(float(s.end - s.start), 2) for s in t.segments] == [6.0, 6.0, 1.0], t.key
        assert [len(s.fragments) for s in t.segments] == [3, 3, 1], "%s: fragments" % t.key
    assert len(audios(c, "cmaf")) == 1, "audio of more than the first input"


def mp3(folder):
    out = os.path.join(folder, "out")
    r = tool("package", clip("pk_mp3.mkv"), out, "--progress", "none")
    if r.code == 0:
        check(out)
    else:
        assert r.reason == "CODEC_UNSUPPORTED", r.err


def opened(folder):
    """Pictures before an I frame that need the GOP before: a title whose segments decode alone, or a reason."""
    out = os.path.join(folder, "out")
    r = tool("package", clip("pk_open.mp4"), out, "--progress", "none")
    if r.code == 0:
        check(out)
    else:
        assert r.reason in ("RENDITIONS_NOT_ALIGNED", "CODEC_UNSUPPORTED"), r.err


def long_title(folder):
    """Memory that does not grow with the length: four renditions of two hours (180,000 pictures each)."""
    name, out = clip("pk_long.mp4"), os.path.join(folder, "out")
    run = subprocess.Popen([BIN, "package", name, name, name, name, out, "--progress", "none"])
    _, status, used = os.wait4(run.pid, 0)
    run.returncode = os.waitstatus_to_exitcode(status)
    assert run.returncode == 0, "exit %d" % run.returncode
    with open(BIN, "rb") as f:
        if b"__asan_" in f.read():
            print("     skipped: memory is not measured with AddressSanitizer in it")
            return
    assert used.ru_maxrss <= 64 << 10, "%d KiB at the peak" % used.ru_maxrss


def in_sync(folder, names, within=20, forms=("cmaf", "ts"), told=None):
    """Flash and beep stay together (within ms), in each form; told: what standard error has to say."""
    for form, master in (("cmaf", "master.m3u8"), ("ts", "master.m3u8"), ("cmaf", "manifest.mpd")):
        if form not in forms:
            continue
        out = os.path.join(folder, form)
        r = good("package", *[clip(n) for n in names], out, *FORMS[form])
        assert not told or "ALREADY_DONE" in r.err or re.search(told, r.err), r.err
        check(out, decode=FULL)
        first, last = sync.measure(os.path.join(out, master))
        assert max(abs(first), abs(last)) <= within and abs(first - last) <= 1, "%.1f and %.1f ms" % (first, last)
        print("     %s %s: %.1f ms, %.1f ms" % (form, master, first, last))


def mended(folder, name, lost, twice, forms=("cmaf", "ts"), within=20):
    """Frames that are missing are silent, those that come twice are left out, and both are told."""
    in_sync(folder, [name], within, forms, r"FRAMES_CONCEALED.*: %d frames were missing and are silent, %d came" % (lost, twice))


def anamorphic(folder, form):
    """Pixels that are not square: told in 'pasp', RESOLUTION, @sar and @par."""
    out = os.path.join(folder, "out")
    good("package", clip("pk_wide.mp4"), out, *FORMS[form])
    c = check(out, decode=FULL)
    for t in videos(c):
        assert (t.width, t.height, t.shown) == (192, 108, 279), (t.width, t.height, t.shown)
        seen = ffprobe_lines(joined(c, t, folder), "stream=sample_aspect_ratio")
        assert "16:11" in seen[0], seen
    if form == "ts":
        return
    text = open(os.path.join(out, "manifest.mpd"), encoding="utf-8").read()
    assert 'sar="16:11"' in text and 'par="31:12"' in text, text[:2000]


def short_lengths(folder, form):
    path, out = clip("pk_short_lengths.mp4"), os.path.join(folder, "out")
    good("package", path, out, *FORMS[form])
    c = check(out, decode=FULL)
    for t in videos(c):
        assert picture_hashes(joined(c, t, folder)) == picture_hashes(clip("pk_aud.mp4")), "pictures differ"


def marked(folder, name):
    out = os.path.join(folder, "out")
    good("package", clip(name), out)
    c = check(out, decode=False)
    got = [(x["a"]["LANGUAGE"][0], x["a"]["DEFAULT"][0]) for x in c.masters[0].media]
    assert got == [("en", "NO"), ("fr", "YES")], got


def trimmed(folder):
    """Pictures are not cut: whoever trimmed them is told."""
    for name, wanted in (("pk_trimmed.mp4", True), ("pk_b.mp4", False)):
        r = good("package", clip(name), os.path.join(folder, name))
        assert ("EDIT_LIST_APPROXIMATED" in r.warnings) == wanted, "%s: %s" % (name, r.warnings)
    check(os.path.join(folder, "pk_trimmed.mp4"), decode=False)


def subtitles(folder, name):
    r = good("package", clip(name), os.path.join(folder, "out"))
    assert "SUBTITLE_UNSUPPORTED" in r.warnings, r.warnings
    check(os.path.join(folder, "out"), decode=False)


def again(folder):
    """ALREADY_DONE, and the same bytes in another folder with other jobs."""
    from titles import tree
    names, trees = [clip(n) for n in ("pk_a.mp4", "pk_b.mp4")], []
    for n, jobs in enumerate(("1", "4")):
        out = os.path.join(folder, "o%d" % n)
        good("package", *names, out, "--format", "both", "--jobs", jobs)
        trees.append(tree(out))
    assert trees[0] == trees[1], "bytes differ"
    r = good("package", *names, os.path.join(folder, "o0"), "--format", "both")
    assert "ALREADY_DONE" in r.err and tree(os.path.join(folder, "o0")) == trees[0], r.err


def main():
    cases = Cases("package")
    run = cases.run
    run("mp4, ts, mkv", counts)
    run("mkv first", aligned, ["pk_a.mkv", "pk_b.mp4", "pk_c.ts"], "cmaf", decode=FULL)
    run("ts first", aligned, ["pk_a.ts", "pk_b.mkv", "pk_c.mp4"], "ts", decode=FULL)
    run("order of sizes", aligned, ["pk_c.mp4", "pk_a.mp4", "pk_b.mp4"], "cmaf", first_hz=660, decode=FULL)
    run("single file", aligned, ["pk_a.mp4", "pk_b.mkv", "pk_c.ts"], "single")
    run("23.976", aligned, ["pk_2398.mp4", "pk_2398_b.mp4"], "both")
    run("IDRs that not all have", aligned, ["pk_a.mp4", "pk_dense.mp4"], "both", decode=FULL)
    for form in FORMS:
        run("a scene cut that one has, " + form, aligned, ["pk_scene.mp4", "pk_forced.mp4"], form)
    run("one input", aligned, ["pk_b.mp4"], "both", first_hz=880, decode=FULL)
    run("audio from the second", aligned, ["pk_silent.mp4", "pk_a.mp4"], "cmaf", decode=FULL)
    run("a second language", aligned, ["pk_a.mp4", "pk_audio.m4a"], "cmaf", decode=FULL)
    run("segment 4 gop 2", aligned, ["pk_a.mp4", "pk_b.mp4"], "both", decode=FULL, more=["--segment", "4", "--gop", "2"])
    run("mov, fragments, moov first", aligned, ["pk_a.mov", "pk_b_frag.mp4", "pk_c_fast.mp4"], "both", decode=FULL)
    for n in (1, 2, 6):
        run("late sound, %d channels" % n, in_sync, ["pk_late_%d.mp4" % n])
    for name, lost, twice in (("pk_hole.mkv", 36, 0), ("pk_hole_one.mkv", 2, 0)):
        run("sound with a hole: " + name, mended, name, lost, twice)
    # joined with its priming, a frame of 21.3 ms
    run("frames that come twice", mended, "pk_again.mkv", 0, 3, within=22)
    for name, lost, twice in (("pk_hole_ac3.mkv", 23, 0), ("pk_hole_ac3_one.mkv", 1, 0), ("pk_hole_ac3_two.mkv", 2, 0),
                              ("pk_hole_eac3_one.mkv", 1, 0), ("pk_again_ac3.mkv", 0, 3)):
        run("sound with a hole: " + name, mended, name, lost, twice, ("cmaf",))
    run("FLAC with a hole", refused, "INPUT_CORRUPT", ["pk_hole_flac.mkv"], r"24 ms of sound are missing at 14\d\d ms")
    # Sound that was put alone into a transport stream begins there with its priming: a frame of 21.3 ms.
    run("picture and sound in two files", in_sync, ["pk_sync_v.ts", "pk_sync_a.ts"], 22)
    for form in ("cmaf", "ts"):
        run("pixels that are not square, " + form, anamorphic, form)
        run("NAL lengths of two bytes, " + form, short_lengths, form)
    run("turned", refused, "CODEC_UNSUPPORTED", ["pk_a.mp4", "pk_turned.mp4"], r"pk_turned\.mp4")
    for ext in ("mkv", "mp4"):
        run("the default that the file marks, " + ext, marked, "pk_marked." + ext)
    run("trimmed by an edit list", trimmed)
    for ext in ("mp4", "mkv"):
        run("subtitles, " + ext, subtitles, "pk_titles." + ext)
    run("two hours", long_title)
    run("the same again", again)
    run("not aligned", refused, "RENDITIONS_NOT_ALIGNED", ["pk_a.mp4", "pk_odd.mp4"], r"pk_odd\.mp4|pk_a\.mp4", r"\d")
    run("one IDR of another", refused, "RENDITIONS_NOT_ALIGNED", ["pk_a.mp4", "pk_one.mp4"], r"pk_one\.mp4", r"\d")
    run("lengths differ", refused, "RENDITIONS_NOT_ALIGNED", ["pk_a.mp4", "pk_short.mp4"], r"pk_(short|a)\.mp4", r"\d")
    run("one picture longer", refused, "RENDITIONS_NOT_ALIGNED", ["pk_a.mp4", "pk_longer.mp4"], r"pk_longer\.mp4", r"13040")
    run("not H.264", refused, "CODEC_UNSUPPORTED", ["pk_a.mp4", "pk_mpeg4.mp4"], r"pk_mpeg4\.mp4")
    run("MP3", mp3)
    run("cut off", refused, "INPUT_TRUNCATED", ["pk_a.mp4", "pk_cut.mkv"], r"pk_cut\.mkv")
    run("cut off mp4", refused, "INPUT_TRUNCATED", ["pk_a.mp4", "pk_c_cut.mp4"], r"pk_c_cut\.mp4")
    run("open GOPs", opened)
    run("no moov", refused, "INPUT_NO_MOOV", ["pk_a.mp4", "no_moov.mp4"], r"no_moov\.mp4")
    run("empty", refused, "INPUT_EMPTY", ["zero.mp4"], r"zero\.mp4")
    run("random", refused, "INPUT_UNRECOGNISED", ["pk_a.mp4", "random.mp4"], r"random\.mp4")
    run("playlist in disguise", refused, "INPUT_FORBIDDEN_FORMAT", ["pk_a.mp4", "disguised_hls.mp4"], r"disguised_hls\.mp4")
    run("encrypted", refused, "INPUT_ENCRYPTED", ["encrypted.mp4"], r"encrypted\.mp4")
    return cases.end()


if __name__ == "__main__":
    sys.exit(main())
