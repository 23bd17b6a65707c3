#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Sound of all kinds of inputs: what is heard, where and when (FAILURES.md I07, I08, I18 to I24; docs/formats.md).

    test_sound.py GROUP...     groups: surround passed tracks time

Each input is made by ffmpeg, published with two tiny rungs, checked by checker.py and decoded.
"""
import json
import os
import re
import struct
import sys
import tempfile

sys.dont_write_bytecode = True

from clips import AAC, X264, clip as define, lavfi, run as make_clip, test_video, write  # noqa: E402
from titles import (Cases, Sound, audios, check, clip, ffmpeg, good, joined, ladder, publish, tool, tree,
                    videos)  # noqa: E402

TINY = [("72p", 72, 200), ("48p", 48, 100)]
# One tone for each speaker: an exchange of any two is heard.
TONES51 = [300, 400, 500, 60, 700, 800]
TONES71 = [300, 400, 500, 60, 700, 800, 900, 1000]
SPEAKERS = ["front left", "front right", "centre", "LFE", "rear left", "rear right"]
BEEP = "sin(2*PI*1000*t)*lt(mod(t+0.000001,1),0.03)"


def tones(hz, layout, d=8, rate=48000, level=0.3):
    return "aevalsrc='%s':c=%s:d=%s:s=%d" % ("|".join("%s*sin(2*PI*%d*t)" % (level, f) for f in hz), layout, d, rate)


def surround_clip(name, why, codec, sound=None, d=8, more=()):
    @define(name, why)
    def _(to, dep):
        make_clip(lavfi(test_video(d=str(d)), sound or tones(TONES51, "5.1", d)) + X264 + ["-g", "30"] + codec.split()
                  + list(more), to)


surround_clip("tones51.mp4", "AAC 5.1, a tone for each speaker (I21)", "-c:a aac -b:a 384k")
surround_clip("tones51.mkv", "AC-3 5.1, a tone for each speaker (I21)", "-c:a ac3 -b:a 384k")
surround_clip("tones51_eac3.mp4", "E-AC-3 5.1 behind an edit list of 256 samples (I21, I07)", "-c:a eac3 -b:a 256k")
surround_clip("tones51.ts", "AC-3 5.1 in MPEG-TS at 44.1 kHz", "-c:a ac3 -b:a 384k", tones(TONES51, "5.1", 8, 44100))
surround_clip("tones71.mkv", "FLAC 7.1, a tone for each speaker (I21)", "-c:a flac", tones(TONES71, "7.1"))
surround_clip("beeps51.mp4", "AC-3 5.1 with SYNC's beeps behind an edit list (I07)", "-c:a ac3 -b:a 384k",
              "aevalsrc='%s':c=5.1:d=8:s=48000" % "|".join([BEEP] * 6))
surround_clip("ac3_20.mkv", "AC-3 stereo", "-c:a ac3 -b:a 192k", "sine=440:d=4:r=48000", 4, ["-ac", "2"])


@define("beeps51_late.mkv", "AC-3 5.1 that begins 1.5 s after the picture (I08)")
def _(to, dep):
    src = dep("beeps51.mp4")
    make_clip(["-i", src, "-itsoffset", "1.5", "-i", src, "-map", "0:v", "-map", "1:a", "-c", "copy"], to)


@define("beeps51_hole.mkv", "AC-3 5.1 with a hole from 2.2 to 3.2 s")
def _(to, dep):
    make_clip(["-i", dep("beeps51.mp4"), "-c", "copy", "-bsf:a", "noise=amount=0:drop='gte(n,69)*lt(n,100)'"], to)


@define("beeps51_short.mkv", "AC-3 5.1 that ends after 2.9 s of 8 (I24)")
def _(to, dep):
    src = dep("beeps51.mp4")
    make_clip(["-i", src, "-t", "2.9", "-i", src, "-map", "0:v", "-map", "1:a", "-c", "copy"], to)


@define("languages51.mkv", "English AC-3 5.1 and French AAC stereo: no group of one codec without encoding (I20, P16)")
def _(to, dep):
    make_clip(lavfi(test_video(d="8"), tones(TONES51, "5.1")) + lavfi(None, "sine=880:d=8:r=48000")
              + ["-map", "0:v", "-map", "1:a", "-map", "2:a", "-metadata:s:a:0", "language=eng", "-metadata:s:a:1",
                 "language=fre", "-c:a:0", "ac3", "-b:a:0", "384k", "-c:a:1", "aac", "-ac:a:1", "2"] + X264, to)


@define("dubs51.mkv", "English and German AC-3 5.1, German the default (I20)")
def _(to, dep):
    make_clip(lavfi(test_video(d="8"), tones(TONES51, "5.1")) + lavfi(None, tones(TONES51[::-1], "5.1"))
              + ["-map", "0:v", "-map", "1:a", "-map", "2:a", "-metadata:s:a:0", "language=eng", "-metadata:s:a:1",
                 "language=ger", "-disposition:a:0", "0", "-disposition:a:1", "default", "-c:a", "ac3", "-b:a", "384k"]
              + X264, to)


@define("five_tracks.mkv", "eng, eng, fre, pt-BR and one without a language; the second is the default (I20)")
def _(to, dep):
    args, maps = lavfi(test_video(d="4")), ["-map", "0:v"]
    for n, (hz, language) in enumerate(((300, "eng"), (400, "eng"), (500, "fre"), (600, "por"), (700, None))):
        args += lavfi(None, "sine=%d:d=4:r=48000" % hz)
        maps += ["-map", "%d:a" % (n + 1)] + (["-metadata:s:a:%d" % n, "language=" + language] if language else [])
        maps += ["-disposition:a:%d" % n, "default" if n == 1 else "0"]
    make_clip(args + maps + X264 + ["-c:a", "flac"], to)


@define("tones_unknown51.mkv", "six channels of PCM without a layout, a tone in each (I22)")
def _(to, dep):
    with tempfile.TemporaryDirectory() as tmp:
        raw = os.path.join(tmp, "raw")
        make_clip(lavfi(None, tones(TONES51, "5.1", 4)) + ["-f", "s16le"], raw)
        make_clip(lavfi(test_video(d="4")) + ["-f", "s16le", "-ar", "48000", "-ac", "6", "-i", raw, "-map", "0:v", "-map",
                                             "1:a"] + X264 + ["-c:a", "pcm_s16le"], to)


@define("tones16.mov", "sixteen channels of PCM, a tone in each (I22)")
def _(to, dep):
    make_clip(lavfi(test_video(d="4"), tones([300 + 50 * n for n in range(16)], "hexadecagonal", 4)) + X264
              + ["-c:a", "pcm_s16le"], to)


def changing(parts):
    def make(to, dep):
        data = b""
        with tempfile.TemporaryDirectory() as tmp:
            for n, (sound, codec) in enumerate(parts):
                part = os.path.join(tmp, "%d.ts" % n)
                make_clip(lavfi(test_video(d="4"), sound) + X264 + ["-g", "30"] + codec.split()
                          + ["-muxdelay", "0", "-output_ts_offset", str(4 * n)], part)
                data += open(part, "rb").read()
        write(to, data)
    return make


define("change_rate.ts", "44.1 kHz mono, then 48 kHz stereo (I23)")(
    changing([("sine=500:d=4:r=44100", "-c:a aac -ac 1"), ("sine=500:d=4:r=48000", "-c:a aac -ac 2")]))
define("change_51.ts", "AC-3 5.1, then AC-3 stereo, as TV does (I23)")(
    changing([(tones([0, 0, 500, 0, 0, 0], "5.1", 4), "-c:a ac3 -b:a 384k"),
              ("sine=500:d=4:r=48000", "-c:a ac3 -b:a 192k -ac 2")]))

for _rate in (22050, 32000, 44100, 48000, 96000):
    @define("rate%d.mkv" % _rate, "sound at %d Hz" % _rate)
    def _(to, dep, rate=_rate):
        make_clip(lavfi(test_video(d="3"), "sine=440:d=3:r=%d" % rate) + X264 + ["-c:a", "flac"], to)


for _name, _codec, _seconds in (("tail_alac.mka", "alac", 4), ("tail_alac.caf", "alac", 4), ("tail_wv.mka", "wavpack", 4),
                                ("tail_one.mka", "wavpack", 0.4)):
    @define(_name, "%s that does not tell how long its last packet is" % _codec)
    def _(to, dep, codec=_codec, seconds=_seconds):
        make_clip(lavfi(None, "sine=440:d=%s:r=48000" % seconds) + ["-c:a", codec], to)


@define("s64.wav", "PCM of 64 bits")
def _(to, dep):
    make_clip(lavfi(None, "sine=440:d=4:r=48000") + ["-c:a", "pcm_s64le"], to)


@define("webp_cover.mp3", "cover art in WebP (I18)")
def _(to, dep):
    with tempfile.TemporaryDirectory() as tmp:
        art = os.path.join(tmp, "c.webp")
        make_clip(lavfi(test_video("64x64", "1", "1")) + ["-frames:v", "1"], art)
        make_clip(lavfi(None, "sine=440:d=4:r=48000") + ["-id3v2_version", "0", "-write_xing", "0"], to)
        # ffmpeg knows no type for it: ID3v2.3 with an APIC frame of a front cover.
        body = b"\0image/webp\0\3\0" + open(art, "rb").read()
        frame = b"APIC" + struct.pack(">IH", len(body), 0) + body
        size = bytes((len(frame) >> shift) & 127 for shift in (21, 14, 7, 0))
        write(to, b"ID3\3\0\0" + size + frame + open(to, "rb").read())


# ---- what a title has ----

class Title:
    def __init__(self, folder, source, *options, rungs=True):
        self.out, self.folder, self.source = os.path.join(folder, "out"), folder, source
        more = ["--ladder", ladder(folder, *TINY)] if rungs else []
        self.result = publish(source, self.out, *more, *options)
        self.read()

    def read(self):
        self.checked = check(self.out)
        with open(os.path.join(self.out, "presentation.json"), encoding="utf-8") as f:
            self.tracks = {(t["container"], t["name"]): t for t in json.load(f)["tracks"]}

    def names(self, container="cmaf"):
        return [name for (where, name), t in self.tracks.items() if where == container and t["kind"] == "audio"]

    def track(self, name, container="cmaf"):
        found = [t for t in audios(self.checked, container) if os.path.basename(os.path.dirname(t.key)) == name]
        assert len(found) == 1, "no track %s among %s" % (name, [t.key for t in audios(self.checked)])
        return found[0]

    def file(self, name, container="cmaf"):
        return joined(self.checked, self.track(name, container), self.folder)

    def sound(self, name, channels=2, container="cmaf"):
        return Sound(self.file(name, container), 48000, channels)

    def groups(self, master=0):
        """{group: [(name, language, default, channels, folder)]} of a master playlist."""
        out = {}
        for x in self.checked.masters[master].media:
            a = x["a"]
            out.setdefault(a["GROUP-ID"][0], []).append(
                (a["NAME"][0], a["LANGUAGE"][0], a["DEFAULT"][0] == "YES", int(a["CHANNELS"][0]),
                 os.path.basename(os.path.dirname(x["key"]))))
        return out


def same(got, want, what):
    assert got == want, "%s: %s, not %s" % (what, got, want)


def heard(sound, hz, channel, what, start=0.5, end=3.5, level=-30):
    loud = sound.level(start, end, channel)
    assert loud > level, "%s: %.1f dB" % (what, loud)
    pitch = sound.pitch(start, end, channel)
    assert abs(pitch - hz) < max(4, hz * 0.01), "%s: %.1f Hz, not %d" % (what, pitch, hz)


def positions(sound, want=TONES51, **named):
    """Each speaker has its own tone, at the level of the source (-13.5 dB)."""
    for channel, hz in enumerate(want):
        heard(sound, hz, channel, SPEAKERS[channel], level=-15, **named)


def share(sound, hz, channel, start=1.0, end=3.0):
    """Level of one tone in a mix, dB below full scale."""
    import math
    x = sound.channels[channel][int(start * sound.rate):int(end * sound.rate)]
    w = 2 * math.pi * hz / sound.rate
    c = sum(v * math.cos(w * n) for n, v in enumerate(x))
    s = sum(v * math.sin(w * n) for n, v in enumerate(x))
    peak = 2 * math.hypot(c, s) / len(x) / 32768
    return 20 * math.log10(max(peak, 1e-9) / math.sqrt(2))


def mixed(sound):
    """The stereo mix has the centre in both channels, and each side on its own."""
    for channel in (0, 1):
        centre, own, other = (share(sound, hz, channel) for hz in (500, TONES51[channel], TONES51[1 - channel]))
        assert centre > -30, "centre at %.1f dB in channel %d" % (centre, channel)
        assert abs(own - centre - 3) < 1.5, "front at %.1f dB, centre at %.1f" % (own, centre)
        assert other < -50, "the other side is at %.1f dB in channel %d" % (other, channel)
        assert share(sound, TONES51[4 + channel], channel) > -30, "no rear in channel %d" % channel


def beeps(sound, late=0.0, channel=0):
    """Onsets of the beeps, seconds from the start of the title."""
    x, out, quiet = sound.channels[channel], [], sound.rate
    for n, v in enumerate(x):
        if abs(v) > 3000:
            if quiet > sound.rate // 4:
                out.append(n / sound.rate + late)
            quiet = 0
        else:
            quiet += 1
    return out


def beep_times(got, want, what, slack=0.004):
    assert len(got) == len(want) and all(abs(a - b) <= slack for a, b in zip(got, want)), \
        "%s: beeps at %s, not %s" % (what, ["%.4f" % x for x in got], want)


def packets(path):
    """Digests of the packets of the first audio track."""
    out = ffmpeg(["-i", path, "-map", "0:a:0", "-c", "copy", "-f", "framehash", "-hash", "md5", "-"])
    return [line.split(",")[5].strip() for line in out.split("\n") if line.startswith("0,")]


def identical(t, name, container="cmaf"):
    """Every frame of the rendition is the source's, in its order: but for one that begins before the title, what is
    behind its end, and one of silence that covers the end."""
    source, got = packets(t.source), packets(t.file(name, container))
    if got[-1] not in source:
        got.pop()
    assert got[0] in source[:2], "the first frame is none of the source's first two"
    first = source.index(got[0])
    same(got, source[first:first + len(got)], "frames")
    assert len(source) - first - len(got) <= 2, "frames %d to %d of %d are there" % (first, first + len(got), len(source))


# ---- surround, encoded here ----

def surround(cases):
    def aac51(folder, name, *options, containers=("cmaf",)):
        t = Title(folder, clip(name), *options)
        for container in containers:
            same(t.names(container), ["und-stereo", "und-5.1"], "renditions")
            same(t.tracks[container, "und-5.1"]["channels"], 6, "channels")
            same(t.tracks[container, "und-5.1"]["codecs"], "mp4a.40.2", "codecs")
            same(t.track("und-5.1", container).channels, 6, "channels of the configuration")
            mixed(t.sound("und-stereo", 2, container))
            positions(t.sound("und-5.1", 6, container))
        for n in range(len(t.checked.masters)):
            same(t.groups(n), {"stereo": [("Undetermined", "und", True, 2, "und-stereo")],
                               "surround": [("Undetermined", "und", True, 6, "und-5.1")]}, "groups")
            variants = t.checked.masters[n].variants
            same(len(variants), 4, "variants")
            same(variants[0]["a"]["AUDIO"][0], "stereo", "group of the first variant")
        return t

    cases.run("AAC 5.1", aac51, "tones51.mp4", "--format", "both", containers=("cmaf", "packed"))
    cases.run("AAC 5.1 single file", aac51, "tones51.mp4", "--single-file")
    cases.run("AAC 5.1, TS only", aac51, "tones51.mp4", "--format", "ts", containers=("packed",))

    def wide(folder):
        t = aac51_71(folder)
        s = t.sound("und-5.1", 6)
        for channel, hz in enumerate(TONES71[:4]):
            heard(s, hz, channel, SPEAKERS[channel], level=-15)
        for channel, pair in ((4, (700, 900)), (5, (800, 1000))):
            for hz in pair:
                level = share(s, hz, channel)
                assert abs(level + 13.5 + 3) < 1, "%s: %d Hz at %.1f dB" % (SPEAKERS[channel], hz, level)
            assert share(s, pair[0] + (100 if channel == 4 else -100), channel) < -50, "sides are mixed up"

    def aac51_71(folder):
        t = Title(folder, clip("tones71.mkv"))
        same(t.names(), ["und-stereo", "und-5.1"], "renditions")
        stereo = t.sound("und-stereo")
        for channel in (0, 1):
            assert share(stereo, 500, channel) > -32, "centre is at %.1f dB" % share(stereo, 500, channel)
        return t

    cases.run("7.1 to 5.1", wide)

    def dash(folder):
        t = Title(folder, clip("tones51.mp4"))
        with open(os.path.join(t.out, "manifest.mpd"), encoding="utf-8") as f:
            text = f.read()
        sets = [s for s in re.findall(r"<AdaptationSet.*?</AdaptationSet>", text, re.S) if 'contentType="audio"' in s]
        same(len(sets), 2, "audio sets")
        for s, name, channels in zip(sets, ("und-stereo", "und-5.1"), "26"):
            assert 'id="%s"' % name in s, "no %s in %s" % (name, s)
            same(re.findall(r'ChannelConfiguration" value="(\d+)"', s), [channels], "channel configuration of " + name)
            assert 'role:2011" value="main"' in s, "role of " + name
        assert 'selectionPriority="2"' in sets[0] and "selectionPriority" not in sets[1], "stereo is not preferred"

    cases.run("DASH sets", dash)

    def jobs(folder):
        trees = []
        for n in (1, 4):
            out = os.path.join(folder, "out%d" % n)
            publish(clip("tones51.mkv"), out, "--ladder", ladder(folder, *TINY), "--jobs", str(n))
            trees.append(tree(out))
        same(trees[0], trees[1], "bytes with one job and with four")

    cases.run("same bytes with any jobs", jobs)

    def by_plan(folder):
        """The plan's JSON holds all of it: tasks in processes of their own give the same title."""
        for source in ("tones51.mkv", "tones51.mp4"):
            out, work = os.path.join(folder, source + ".out"), os.path.join(folder, source + ".work")
            rungs = ["--ladder", ladder(folder, *TINY), "--preset", "ultrafast"]
            good("plan", clip(source), out, "--work", work, *rungs)
            while good("run", "--work", work, "--task", "next").out.strip() != "none":
                pass
            good("finish", "--work", work)
            straight = os.path.join(folder, source + ".straight")
            good("publish", clip(source), straight, *rungs)
            same(tree(out), tree(straight), "%s: bytes of plan, run and finish" % source)

    cases.run("plan, run, finish", by_plan)


# ---- surround, passed through ----

def passed(cases):
    def frames(folder, name, codec, *options, rate=48000, containers=("cmaf",)):
        t = Title(folder, clip(name), *options)
        for container in containers:
            same(t.names(container), ["und-stereo", "und-5.1"], "renditions")
            entry = t.tracks[container, "und-5.1"]
            same((entry["codecs"], entry["channels"], entry["sample_rate"]), (codec, 6, rate), "the rendition")
            if container == "cmaf":
                init = t.track("und-5.1").init
                same(init["entry"], codec, "sample entry")
                same(init["config_box"], {"ac-3": "dac3", "ec-3": "dec3"}[codec], "its configuration")
            else:
                keys = [s["key"] for s in entry["segments"]]
                assert all(k.endswith("." + codec.replace("-", "")) for k in keys), keys
            identical(t, "und-5.1", container)
            mixed(t.sound("und-stereo", 2, container))
            positions(t.sound("und-5.1", 6, container))
        for n in range(len(t.checked.masters)):
            same(t.groups(n)["surround"], [("Undetermined", "und", True, 6, "und-5.1")], "group")
            same(t.checked.masters[n].variants[0]["a"]["AUDIO"][0], "stereo", "group of the first variant")
        return t

    cases.run("AC-3 in Matroska", frames, "tones51.mkv", "ac-3")
    cases.run("AC-3 in Matroska, single file", frames, "tones51.mkv", "ac-3", "--single-file")
    cases.run("E-AC-3 in MP4", frames, "tones51_eac3.mp4", "ec-3")
    cases.run("AC-3 in TS, 44.1 kHz", frames, "tones51.ts", "ac-3", rate=44100)
    cases.run("AC-3 into both", frames, "tones51.mkv", "ac-3", "--format", "both", containers=("cmaf", "packed"))
    cases.run("E-AC-3 into TS", frames, "tones51_eac3.mp4", "ec-3", "--format", "ts", containers=("packed",))
    cases.run("AC-3 of 44.1 kHz into TS", frames, "tones51.ts", "ac-3", "--format", "ts", rate=44100, containers=("packed",))

    def configuration(folder):
        """dac3 and dec3 are what ffmpeg's own muxer writes for the same frames."""
        for name in ("tones51.mkv", "tones51_eac3.mp4"):
            path = os.path.join(folder, "reference.mp4")
            make_clip(["-i", clip(name), "-map", "0:a", "-c", "copy"], path)
            data = open(path, "rb").read()
            sub = os.path.join(folder, name)
            os.mkdir(sub)
            init = Title(sub, clip(name)).track("und-5.1").init
            at = data.index(init["config_box"].encode())
            size = int.from_bytes(data[at - 4:at], "big") - 8
            same(bytes(init["config"]).hex(), data[at + 4:at + 4 + size].hex(), init["config_box"])

    cases.run("dac3 and dec3", configuration)

    def placed(folder, name, want, silent=()):
        t = Title(folder, clip(name))
        for rendition, channels in (("und-stereo", 2), ("und-5.1", 6)):
            s = t.sound(rendition, channels)
            late = float(t.track(rendition).start)
            same(t.tracks["cmaf", rendition]["codecs"], "ac-3" if channels == 6 else "mp4a.40.2", "codecs")
            for channel in range(channels):
                if channel == 3:
                    continue    # the LFE filter takes the beep's edges
                got = [x for x in beeps(s, late, channel) if x > 0.5]
                beep_times(got, want, "%s channel %d" % (rendition, channel),
                           0.004 if channels == 2 else 0.006)
            for start, end in silent:
                assert s.level(start, end) < -70, "%s: %.1f dB from %s s" % (rendition, s.level(start, end), start)

    first = [float(n) for n in range(1, 8)]
    # ffmpeg's first frame is dropped: it begins 256 samples before the title.
    cases.run("priming behind an edit list", placed, "beeps51.mp4", first)
    cases.run("late", placed, "beeps51_late.mkv", [x + 1.5 for x in [0.0] + first[:6]], [(0.1, 1.4)])
    cases.run("hole", placed, "beeps51_hole.mkv", [1.0, 2.0] + first[3:], [(2.3, 3.1)])
    cases.run("ends early", placed, "beeps51_short.mkv", [1.0, 2.0], [(3.0, 7.9)])

    def languages(folder):
        t = Title(folder, clip("dubs51.mkv"))
        same(t.names(), ["en-stereo", "de-stereo", "en-5.1", "de-5.1"], "renditions")
        for group, channels, kind in (("stereo", 2, "stereo"), ("surround", 6, "5.1")):
            same(t.groups()[group], [("English", "en", False, channels, "en-" + kind),
                                     ("German", "de", True, channels, "de-" + kind)], group)
        same({t.tracks["cmaf", n]["codecs"] for n in ("en-5.1", "de-5.1")}, {"ac-3"}, "codecs of the group")
        positions(t.sound("en-5.1", 6))
        heard(t.sound("de-5.1", 6), 800, 0, "front left of German", level=-15)

    cases.run("two languages", languages)

    def not_all(folder):
        t = Title(folder, clip("languages51.mkv"))
        same(t.names(), ["en-stereo", "fr-stereo", "en-5.1"], "renditions")
        same(t.tracks["cmaf", "en-5.1"]["codecs"], "mp4a.40.2", "codec of the group")
        same(t.groups()["surround"], [("English", "en", True, 6, "en-5.1"), ("French", "fr", False, 2, "fr-stereo")],
             "surround group")
        positions(t.sound("en-5.1", 6))
        t = Title(os.path.join(folder, "."), clip("languages51.mkv"), "--audio", "en", "--force")
        same(t.names(), ["en-stereo", "en-5.1"], "renditions of English alone")
        same(t.tracks["cmaf", "en-5.1"]["codecs"], "ac-3", "codec of English alone")

    cases.run("one language in stereo only", not_all)

    def stereo_only(folder):
        t = Title(folder, clip("ac3_20.mkv"))
        same(t.names(), ["und-stereo"], "renditions")
        heard(t.sound("und-stereo"), 440, 0, "left")

    cases.run("AC-3 stereo is no surround", stereo_only)

    def changes(folder):
        t = Title(folder, clip("change_51.ts"))
        for name in t.names():
            same(t.tracks["cmaf", name]["codecs"], "mp4a.40.2", "codecs of " + name)
        stereo = t.sound("und-stereo")
        for start in (0.5, 4.5):
            heard(stereo, 500, 0, "left", start, start + 3, -35)
        if "und-5.1" in t.names():
            s = t.sound("und-5.1", 6)
            heard(s, 500, 2, "centre", 0.5, 3.5)
            heard(s, 500, 0, "front left", 4.5, 7.5, -35)

    cases.run("5.1 that becomes stereo", changes)


# ---- which tracks ----

def tracks(cases):
    def five(folder):
        t = Title(folder, clip("five_tracks.mkv"))
        same(t.names(), ["en-stereo", "en-stereo-2", "fr-stereo", "pt-stereo", "und-stereo"], "renditions")
        got = t.groups()["stereo"]
        same([x[1] for x in got], ["en", "en", "fr", "pt", "und"], "LANGUAGEs")
        same([x[2] for x in got], [False, True, False, False, False], "DEFAULTs")
        same(len({x[0] for x in got}), 5, "different NAMEs")
        for name, hz in zip(t.names(), (300, 400, 500, 600, 700)):
            heard(t.sound(name), hz, 0, name)
        defaults = [x for x in t.tracks.values() if x["kind"] == "audio" and x.get("default")]
        same([x["name"] for x in defaults], ["en-stereo-2"], "default of presentation.json")

    cases.run("five tracks", five)

    def chosen(folder):
        t = Title(folder, clip("five_tracks.mkv"), "--audio", "fr,pt")
        same(t.names(), ["fr-stereo", "pt-stereo"], "renditions")
        same(sum(x[2] for x in t.groups()["stereo"]), 1, "DEFAULTs")

    cases.run("two of them chosen", chosen)

    def unknown(folder):
        t = Title(folder, clip("tones_unknown51.mkv"))
        same(t.names(), ["und-stereo", "und-5.1"], "renditions")
        mixed(t.sound("und-stereo"))
        positions(t.sound("und-5.1", 6))

    cases.run("layout unknown", unknown)

    def sixteen(folder):
        t = Title(folder, clip("tones16.mov"))
        same(t.names(), ["und-stereo"], "renditions")
        s = t.sound("und-stereo")
        for n in range(16):
            level = share(s, 300 + 50 * n, n % 2)
            assert level > -40, "channel %d of 16 is at %.1f dB" % (n + 1, level)

    cases.run("sixteen channels", sixteen)

    def only_sound(folder, name):
        t = Title(folder, clip(name), rungs=False)
        assert not videos(t.checked), "a picture out of " + name
        for v in t.checked.masters[0].variants:
            assert "RESOLUTION" not in v["a"] and v["a"]["CODECS"][0] == "mp4a.40.2", "%s: %s" % (v["where"], v["a"])
        heard(t.sound("und-stereo"), 440, 0, "left")

    for name in ("audio_only.m4a", "cover.m4a", "webp_cover.mp3"):
        cases.run("only sound: " + name, only_sound, name)

    def only_surround(folder):
        path = os.path.join(folder, "sound.ac3")
        make_clip(["-i", clip("tones51.mkv"), "-map", "0:a", "-c", "copy"], path)
        t = Title(folder, path, rungs=False)
        same(t.names(), ["und-stereo", "und-5.1"], "renditions")
        same(t.tracks["cmaf", "und-5.1"]["codecs"], "ac-3", "codec")
        identical(t, "und-5.1")
        positions(t.sound("und-5.1", 6))

    cases.run("only sound: raw AC-3", only_surround)

    def no_sound(folder):
        t = Title(folder, clip("video_only.mp4"))
        assert not audios(t.checked), "sound out of nothing"
        for v in t.checked.masters[0].variants:
            assert "AUDIO" not in v["a"] and "mp4a" not in v["a"]["CODECS"][0], v["a"]

    cases.run("only pictures", no_sound)


# ---- times and rates ----

def time(cases):
    def rate(folder, source, want):
        t = Title(folder, clip("rate%d.mkv" % source))
        same(t.track("und-stereo").sample_rate, want, "sample rate")
        heard(t.sound("und-stereo"), 440, 0, "left", 0.3, 2.7)

    for source, want in ((22050, 44100), (32000, 48000), (44100, 44100), (48000, 48000), (96000, 48000)):
        cases.run("%d Hz" % source, rate, source, want)

    def change(folder):
        t = Title(folder, clip("change_rate.ts"), "--format", "both")
        for container in ("cmaf",):
            s = t.sound("und-stereo", 2, container)
            for channel in (0, 1):
                for start in (0.3, 4.3):
                    heard(s, 500, channel, "channel %d from %s s" % (channel, start), start, start + 3.4, -26)
            quietest = min(s.level(x / 100, x / 100 + 0.05) for x in range(380, 430, 2))
            assert quietest > -30, "a hole of %.1f dB where the rate changes" % quietest

    cases.run("rate and channels change", change)

    def ends(folder, name, length):
        t = Title(folder, clip(name))
        ends = {x.key: float(x.end) for x in videos(t.checked) + audios(t.checked)}
        frame = max(float(x.frame) for x in videos(t.checked) + audios(t.checked))
        assert max(ends.values()) - min(ends.values()) <= frame, "ends %s" % ends
        assert abs(max(ends.values()) - length) < 0.1, "ends %s, not %s" % (ends, length)
        for x in audios(t.checked):
            path = joined(t.checked, x, folder)
            got = Sound(path, x.sample_rate, x.channels).seconds + float(x.start)
            assert abs(got - length) <= frame + 0.002, "%s: %.4f s are heard of %s" % (x.key, got, length)

    cases.run("ends with the picture", ends, "tones51.mp4", 8)
    cases.run("AC-3 ends with the picture", ends, "tones51.mkv", 8)
    cases.run("sound ends early", ends, "early_audio.mp4", 8)
    cases.run("AC-3 ends early", ends, "beeps51_short.mkv", 8)
    cases.run("late sound", ends, "late_audio.mp4", 2)

    def tail(folder, name, length):
        """To the last sample, whether the file tells how long its last packet is or not."""
        t = Title(folder, clip(name), rungs=False)
        s = t.sound("und-stereo")
        assert length <= s.seconds <= length + 0.11, "%.3f s" % s.seconds
        level = s.level(length - 0.07, length - 0.01)
        assert level > -25, "%.1f dB at the end" % level
        r = tool("verify", t.out, "--decode", "--source", t.source)
        assert r.code == 0, r.out + r.err

    for name, length in (("tail_alac.mka", 4), ("tail_alac.caf", 4), ("tail_wv.mka", 4), ("tail_one.mka", 0.4),
                         ("s64.wav", 4)):
        cases.run("to the end: " + name, tail, name, length)

    def priming(folder, name):
        """Beeps of a source with priming are where a player of the source hears them (I07)."""
        t = Title(folder, clip(name))
        want = [x for x in beeps(Sound(clip(name))) if x > 0.5]
        got = [x for x in beeps(t.sound("und-stereo")) if x > 0.5]
        assert len(want) >= 3, "beeps of the source: %s" % want
        beep_times(got, want, name)

    for name in ("sync4.mp4", "sync4.webm"):
        cases.run("priming of " + name, priming, name)


GROUPS = {"surround": surround, "passed": passed, "tracks": tracks, "time": time}


def main():
    names = sys.argv[1:] or list(GROUPS)
    if not set(names) <= set(GROUPS):
        print(__doc__, file=sys.stderr)
        return 2
    cases = Cases("sound " + " ".join(names))
    for name in names:
        GROUPS[name](cases)
    return cases.end()


if __name__ == "__main__":
    sys.exit(main())
