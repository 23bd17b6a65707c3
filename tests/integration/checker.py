#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Independent checker of a published title directory.

    checker.py OUT [--decode] [--json] [--shared DIR] [--maxrate NAME=KBPS ...]

Own m3u8, MPD, ISO-BMFF and MPEG-TS parsers; nothing of the code under test is used. Prints `RULE where text` for each
failed rule (docs/rules.md has the names) and exits 1 when there is one. --decode also decodes every segment, and each
range of the I-frame playlists, alone (ffmpeg). --maxrate: a rung's promise for P15.
"""
import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from fractions import Fraction

sys.dont_write_bytecode = True

import checker_media as m  # noqa: E402
from checker_dash import Mpd  # noqa: E402
from checker_hls import Master, Playlist  # noqa: E402
from checker_media import Broken  # noqa: E402
from checker_tracks import Loader, h264_level_fits  # noqa: E402

ROOT_NAMES = {"master.m3u8", "master-ts.m3u8", "manifest.mpd", "presentation.json", "player.html"}
MS = Fraction(1, 1000)
HERE = os.path.dirname(os.path.abspath(__file__))


class Report:
    def __init__(self):
        self.failed, self.warnings, self.checks = [], [], 0

    def check(self, good, rule, where, text, warn=False):
        self.checks += 1
        if not good:
            (self.warn if warn else self.fail)(rule, where, text)
        return bool(good)

    def fail(self, rule, where, text):
        self.failed.append((rule, where, text))

    def warn(self, rule, where, text):
        self.warnings.append((rule, where, text))


def peak_rate(sizes, durations, target):
    """RFC 8216 4.1: bits a second, over runs of contiguous segments of 0.5 to 1.5 target durations."""
    best = Fraction(0)
    for i in range(len(sizes)):
        size = span = 0
        for j in range(i, len(sizes)):
            size, span = size + sizes[j], span + durations[j]
            if span * 2 > target * 3:
                break
            if span * 2 >= target:
                best = max(best, Fraction(size * 8) / span)
    return best or max(Fraction(s * 8) / d for s, d in zip(sizes, durations))


class Checker:
    def __init__(self, root, options):
        self.root, self.options, self.ck = os.path.abspath(root), options, Report()
        self.loader = Loader(self.root, self.ck)
        self.playlists, self.tracks, self.named = {}, {}, set()
        self.masters = []
        self.mpd = self.presentation = None

    def text(self, key):
        with open(os.path.join(self.root, key), encoding="utf-8", newline="") as f:
            return f.read()

    # ---- reading ----

    def playlist(self, key, where):
        if key in self.playlists:
            return self.playlists[key]
        self.playlists[key] = None
        self.named.add(key)
        if self.loader.exists(key, where) is False:
            return None
        self.ck.check(key.endswith(".m3u8"), "P20", key, "extension of a playlist")
        try:
            p = Playlist(key, self.text(key), self.ck)
        except (Broken, ValueError) as error:
            self.ck.fail("HLS", key, str(error))
            return None
        p.rules()
        self.playlists[key] = p
        for e in p.entries:
            self.named.add(e.key)
            if e.map:
                self.named.add(e.map[0])
        return p

    def track(self, key, where):
        if key not in self.tracks:
            p = self.playlist(key, where)
            self.tracks[key] = self.loader.load(p) if p else None
        return self.tracks[key]

    def read_master(self, name):
        self.named.add(name)
        try:
            master = Master(name, self.text(name), self.ck)
        except (Broken, ValueError) as error:
            self.ck.fail("HLS", name, str(error))
            return
        master.rules()
        self.masters.append(master)
        for item in master.variants + [x for x in master.media if x["key"]]:
            item["track"] = self.track(item["key"], item["where"])
        for item in master.iframes:
            item["playlist"] = self.playlist(item["key"], item["where"]) if item["key"] else None

    def run(self):
        if not os.path.isdir(self.root):
            self.ck.fail("X04", self.root, "is no directory")
            return self.ck
        for name in ("master.m3u8", "master-ts.m3u8"):
            if os.path.isfile(os.path.join(self.root, name)):
                self.read_master(name)
        self.ck.check(any(x.key == "master.m3u8" for x in self.masters), "X04", "master.m3u8", "does not exist")
        if os.path.isfile(os.path.join(self.root, "manifest.mpd")):
            self.named.add("manifest.mpd")
            try:
                self.mpd = Mpd(os.path.join(self.root, "manifest.mpd"), "manifest.mpd", self.ck, self.options.shared)
                self.named |= self.mpd.named
            except (Broken, ValueError, TypeError, KeyError) as error:
                self.ck.fail("DASH", "manifest.mpd", str(error))
        for t in self.tracks.values():
            if t:
                self.one_track(t)
        for master in self.masters:
            self.one_master(master)
        for p in self.playlists.values():
            if p and p.iframes:
                self.iframe_playlist(p)
        if self.mpd:
            self.dash()
        self.read_presentation()
        self.files()
        if self.options.decode:
            self.decode()
        return self.ck

    # ---- rules of one track ----

    def one_track(self, t):
        ck, p, total = self.ck, t.playlist, Fraction(0)
        for s, e in zip(t.segments, p.entries):
            true = s.end - s.start
            ck.check(abs(e.duration - true) <= MS, "P01", s.key, "EXTINF %s, true span %.6f" % (e.text, float(true)))
            ck.check(abs(total - (s.start - t.start)) <= MS, "P01", s.key, "EXTINFs before sum to %.6f, it starts at "
                     "%.6f" % (float(total), float(s.start - t.start)))
            total += e.duration
            ck.check(true > 0, "P10", s.key, "is empty")
        ck.check(abs(total - (t.end - t.start)) <= MS, "P01", t.key, "EXTINFs sum to %.6f, the track lasts %.6f"
                 % (float(total), float(t.end - t.start)))
        if len(t.segments) > 1:
            last = t.segments[-1].end - t.segments[-1].start
            ck.check(last >= Fraction(1, 2) or t.frame > Fraction(1, 2), "P10", t.segments[-1].key,
                     "last segment lasts %.3f s" % float(last))
        if t.container == "cmaf":
            # What audio lacks at the start is at most a frame: copied audio may begin late, with exact tfdt.
            ck.check(0 <= t.start <= (t.frame if t.kind == "audio" else 0), "P06", t.key, "starts at %s s"
                     % float(t.start))
        names = [os.path.basename(s.key) for s in t.segments if s.whole]
        if names:
            for n, name in enumerate(names, 1):
                ck.check(re.fullmatch(r"%05d\.[a-z0-9]+" % n, name), "NAMES", t.segments[n - 1].key,
                         "is not named by its number %05d" % n)
        else:
            spans = sorted((s.offset, s.offset + s.size) for s in t.segments)
            ck.check(all(a[1] == b[0] for a, b in zip(spans, spans[1:])), "P19", t.key, "ranges leave gaps or overlap")
            size = os.path.getsize(os.path.join(self.root, t.segments[0].key))
            ck.check(spans[-1][1] == size, "P19", t.key, "ranges end at %d, the file at %d" % (spans[-1][1], size))
        if getattr(t, "sps", None):
            rate = max(t.rates) if len(t.rates) == 1 else None
            ck.check(h264_level_fits(t.sps, rate), "P13", t.key, "level %d is too low for %dx%d at %s fps"
                     % (t.sps["level"], t.width, t.height, rate))
        self.peaks(t)
        if t.audio:
            frame = t.audio.frame
            for sv, sa in zip(t.segments, t.audio.segments):
                ck.check(abs(sv.start - sa.start) <= frame + MS / 10, "P05", sv.key, "audio starts %.1f ms from the video"
                         % float((sa.start - sv.start) * 1000))
            ck.check(abs(t.end - t.audio.end) <= max(frame, t.frame) + MS, "P11", t.key,
                     "video ends at %.3f, audio at %.3f" % (float(t.end), float(t.audio.end)))

    def peaks(self, t):
        name = os.path.basename(os.path.dirname(t.key))
        sizes, durations = [s.size for s in t.segments], [s.end - s.start for s in t.segments]
        t.peak = peak_rate(sizes, durations, t.playlist.target)
        t.mean = Fraction(sum(sizes) * 8) / sum(durations)
        t.peak = max(t.peak, t.mean)
        if name in self.options.maxrates:
            promise = self.options.maxrates[name] * 1100
            self.ck.check(t.peak <= promise, "P15", t.key, "peak %d bit/s, promised %d" % (t.peak, promise))

    # ---- rules over tracks ----

    def one_master(self, master):
        ck = self.ck
        videos = [v["track"] for v in master.variants if v.get("track") and v["track"].kind == "video"]
        audios = {x["key"]: x["track"] for x in master.media
                  if x.get("track") and x["a"].get("TYPE", ("",))[0] == "AUDIO"}
        audios.update({v["key"]: v["track"] for v in master.variants if v.get("track") and v["track"].kind == "audio"})
        every = videos + list(audios.values())
        targets = {t.key: t.playlist.target for t in every}
        ck.check(len(set(targets.values())) <= 1, "P02", master.key, "TARGETDURATIONs differ: %s" % targets)
        if every:
            longest = max(int(e.duration + Fraction(1, 2)) for t in every for e in t.playlist.entries)
            right = max(1, longest)
            for t in every:
                ck.check(t.playlist.target == right, "P02", t.key, "TARGETDURATION %d, right is %d"
                         % (t.playlist.target, right))
        self.aligned(master.key, videos, list(audios.values()))
        independent = "EXT-X-INDEPENDENT-SEGMENTS" in master.tags or \
            all("EXT-X-INDEPENDENT-SEGMENTS" in t.playlist.tags for t in videos)
        ck.check(independent, "P04", master.key, "no EXT-X-INDEPENDENT-SEGMENTS")
        seen = set()
        for v in master.variants:
            pair = (v["key"], v["a"].get("AUDIO"))
            ck.check(pair not in seen, "HLS", v["where"], "variant twice")
            seen.add(pair)
            if v.get("track"):
                self.variant(master, v)
        sounds = [x for x in master.media if x.get("track") and x["track"].kind == "audio"]
        counts = {x["track"].channels for x in sounds}
        for x in sounds:
            ck.check(len(counts) <= 1 or "CHANNELS" in x["a"], "P16", x["where"], "no CHANNELS, and there are %s"
                     % sorted(counts))
        ck.check(not videos or master.iframes or videos[0].container == "packed", "P29", master.key,
                 "no I-frame playlists")
        for item in master.iframes:
            if item.get("playlist"):
                self.iframe_variant(item)

    def aligned(self, where, videos, audios):
        ck = self.ck
        for t in videos[1:]:
            first = videos[0]
            ck.check([s.start for s in t.segments] == [s.start for s in first.segments], "P03", t.key,
                     "segments do not start when those of %s do" % first.key)
            ck.check(len(t.segments) == len(first.segments), "P10", t.key, "%d segments, %s has %d"
                     % (len(t.segments), first.key, len(first.segments)))
            a, b = [[f[2] for s in x.segments for f in s.fragments] for x in (t, first)]
            ck.check(a == b, "P03", t.key, "IDR times differ from those of " + first.key)
            ck.check(abs(t.end - first.end) <= MS, "P11", t.key, "ends at %.4f, %s at %.4f"
                     % (float(t.end), first.key, float(first.end)))
        for t in audios:
            if not videos:
                first = audios[0]
                ck.check(len(t.segments) == len(first.segments), "P10", t.key, "segment counts of audio differ")
                ck.check(abs(t.end - first.end) <= max(t.frame, first.frame), "P11", t.key, "audio tracks end apart")
                continue
            first = videos[0]
            ck.check(len(t.segments) == len(first.segments), "P10", t.key, "%d segments, %s has %d"
                     % (len(t.segments), first.key, len(first.segments)))
            for sa, sv in zip(t.segments, first.segments):
                ck.check(abs(sa.start - sv.start) <= t.frame, "P05", sa.key, "starts %.2f ms from its video segment"
                         % float((sa.start - sv.start) * 1000))
            ck.check(abs(t.end - first.end) <= max(t.frame, first.frame), "P11", t.key, "ends at %.4f, video at %.4f"
                     % (float(t.end), float(first.end)))
            ck.check(abs(t.start - first.start) <= t.frame, "P06", t.key, "starts %.4f s from the video"
                     % float(t.start - first.start))

    def near(self, said, true, rule, where, what):
        self.ck.check(abs(Fraction(said) - true) <= true / 10, rule, where, "%s %d, measured %d" % (what, said, true))

    def variant(self, master, v):
        ck, t, a, where = self.ck, v["track"], v["a"], v["where"]
        group = a.get("AUDIO", (None,))[0]
        members = [x for x in master.media if x["a"].get("GROUP-ID", ("",))[0] == group
                   and x["a"].get("TYPE", ("",))[0] == "AUDIO"] if group else []
        sounds = [x["track"] for x in members if x.get("track")]
        codecs = set(a.get("CODECS", ("",))[0].split(","))
        true = set(t.codecs)
        for s in sounds:
            true |= set(s.codecs)
        ck.check(codecs == true, "P13", where, "CODECS %s, the media are %s" % (sorted(codecs), sorted(true)))
        kinds = {c.split(".")[0] for s in sounds for c in s.codecs}
        ck.check(len(kinds) <= 1, "P16", where, "codecs %s in one audio group" % sorted(kinds))
        channels = {s.channels for s in sounds}
        for x in members:
            if x.get("track") and "CHANNELS" in x["a"]:
                ck.check(x["a"]["CHANNELS"][0].split("/")[0] == str(x["track"].channels), "P16", x["where"],
                         "CHANNELS %s, the track has %d" % (x["a"]["CHANNELS"][0], x["track"].channels))
            ck.check(len(channels) <= 1 or "CHANNELS" in x["a"], "P16", x["where"], "no CHANNELS")
        peak = t.peak + max([s.peak for s in sounds if s is not t], default=0)
        mean = t.mean + max([s.mean for s in sounds if s is not t], default=0)
        self.near(int(a["BANDWIDTH"][0]) if "BANDWIDTH" in a else 0, peak, "P14", where, "BANDWIDTH")
        if "AVERAGE-BANDWIDTH" in a:
            self.near(int(a["AVERAGE-BANDWIDTH"][0]), mean, "P14", where, "AVERAGE-BANDWIDTH")
        if t.kind != "video":
            return
        if "RESOLUTION" in a:
            ck.check(a["RESOLUTION"][0] == "%dx%d" % (t.shown, t.height), "P13", where, "RESOLUTION %s, media %dx%d"
                     % (a["RESOLUTION"][0], t.shown, t.height))
        if "FRAME-RATE" in a:
            self.frame_rate(t, Fraction(a["FRAME-RATE"][0]), where)
        # Apple 9.16: on all variants unless all are SDR.
        ranges = [{16: "PQ", 18: "HLG"}.get((x["track"].init or {}).get("colr", (0,) * 4)[2], "SDR")
                  for x in master.variants if x.get("track")]
        want = {16: "PQ", 18: "HLG"}.get((t.init or {}).get("colr", (0,) * 4)[2], "SDR") if set(ranges) != {"SDR"} else None
        said = a.get("VIDEO-RANGE", (None,))[0]
        ck.check(said == want or (want is None and said == "SDR"), "P13", where, "VIDEO-RANGE %s, the media are %s"
                 % (said, want))

    def frame_rate(self, t, said, where, exact=False):
        """Of a steady track the rate itself; of one with variable rate something between its mean and its fastest."""
        frames = sum(s.frames for s in t.segments)
        if frames < 2:
            return
        mean = frames / (t.end - t.start)
        # In TS times are rounded to 90 kHz, and the last frame of a CMAF track may be cut.
        steady = max(t.rates) - min(t.rates) <= max(t.rates) / 100 and t.container != "ts" or \
            t.container == "ts" and max(t.rates) - min(t.rates) <= max(t.rates) ** 2 * Fraction(2, 90000)
        if steady:
            slack = Fraction(1, 1000) if t.container != "ts" else mean / 1000
            self.ck.check(abs(said - 1 / t.frame) <= slack or abs(said - mean) <= slack, "P13", where,
                          "frame rate %.3f, media %.3f" % (float(said), float(1 / t.frame)))
        else:
            self.ck.check(mean * Fraction(9, 10) <= said <= max(t.rates) * Fraction(11, 10), "P13", where,
                          "frame rate %.3f, media %.3f on average" % (float(said), float(mean)))

    # ---- I-frame playlists ----

    def owner(self, p):
        """The track whose segments an I-frame playlist cuts."""
        keys = {e.key for e in p.entries}
        return next((t for t in self.tracks.values() if t and t.kind == "video" and keys & {s.key for s in t.segments}),
                    None)

    def iframe_playlist(self, p):
        ck, t = self.ck, self.owner(p)
        if not ck.check(t is not None, "P29", p.key, "cuts no video track of the title"):
            return
        p.track = t
        fragments = {}
        for s in t.segments:
            for f in s.fragments:
                fragments[(s.key, f[0])] = f
        ck.check(t.container != "cmaf" or p.maps, "P29", p.key, "no MAP")
        ck.check(not p.maps or {x for x in p.maps} == {t.init_at}, "P29", p.key, "another MAP than the segments'")
        total = Fraction(0)
        p.idr = []
        for e in p.entries:
            where = "%s@%s" % (e.key, e.offset)
            if not ck.check(e.size is not None, "P29", where, "no BYTERANGE"):
                continue
            f = fragments.get((e.key, e.offset))
            if not ck.check(f is not None, "P29", where, "range does not begin at a fragment"):
                continue
            ck.check(e.offset + e.size >= f[4], "P29", where, "range ends %d bytes before its I frame"
                     % (f[4] - e.offset - e.size))
            ck.check(e.offset + e.size <= f[0] + f[1], "P29", where, "range reaches past its fragment")
            ck.check(abs(total - (f[2] - t.start)) <= MS, "P29", where, "EXTINFs before sum to %.4f, the picture is at %.4f"
                     % (float(total), float(f[2] - t.start)))
            total += e.duration
            p.idr.append((e, f))
        ck.check(len(p.entries) == len(fragments), "P29", p.key, "%d entries, %d IDR pictures"
                 % (len(p.entries), len(fragments)), warn=len(p.entries) < len(fragments))
        ck.check(abs(total - (t.end - t.start)) <= MS, "P29", p.key, "EXTINFs sum to %.4f, the track lasts %.4f"
                 % (float(total), float(t.end - t.start)))

    def iframe_variant(self, item):
        ck, p, a = self.ck, item["playlist"], item["a"]
        ck.check(p.iframes, "P29", p.key, "no EXT-X-I-FRAMES-ONLY")
        t = self.owner(p)
        if t is None or not p.entries or any(e.size is None for e in p.entries):
            return
        want = [c for c in t.codecs if not c.startswith(("mp4a", "ac-3", "ec-3"))]
        ck.check(a.get("CODECS", ("",))[0].split(",") == want, "P13", item["where"], "CODECS %s, the media are %s"
                 % (a.get("CODECS", ("",))[0], want))
        ck.check(a.get("RESOLUTION", ("",))[0] == "%dx%d" % (t.shown, t.height), "P29", item["where"], "RESOLUTION")
        sizes, durations = [e.size for e in p.entries], [e.duration for e in p.entries]
        mean = Fraction(sum(sizes) * 8) / sum(durations)
        self.near(int(a.get("BANDWIDTH", ("0",))[0]), max(mean, peak_rate(sizes, durations, p.target)), "P29",
                  item["where"], "BANDWIDTH")
        if "AVERAGE-BANDWIDTH" in a:
            self.near(int(a["AVERAGE-BANDWIDTH"][0]), mean, "P29", item["where"], "AVERAGE-BANDWIDTH")

    # ---- DASH ----

    def dash(self):
        ck, mpd = self.ck, self.mpd
        by_init = {t.init_at: t for t in self.tracks.values() if t and t.container == "cmaf"}
        offsets = {Fraction(r.offset, r.timescale) for r in mpd.representations}
        ck.check(len(offsets) <= 1, "P23", mpd.key, "presentationTimeOffsets differ")
        tracks = []
        for r in mpd.representations:
            t = by_init.get(r.init) or next((x for k, x in by_init.items() if r.init and k[0] == r.init[0]), None)
            if r.init and self.loader.exists(r.init[0], r.where) is False:
                continue
            if not ck.check(t is not None, "P22", r.where, "init segment %s is of no HLS track" % (r.init,)):
                continue
            tracks.append(t)
            self.representation(r, t)
        videos = {r.where: (r.max_width, r.max_height, r.width, r.height) for r in mpd.representations
                  if r.kind == "video" and r.max_width}
        for where, v in videos.items():
            ck.check(v[2] <= v[0] and v[3] <= v[1], "DASH", where, "larger than maxWidth, maxHeight")
        if tracks:
            longest = max(t.end for t in tracks)
            ck.check(mpd.total <= longest + MS / 1000, "P22", mpd.key, "mediaPresentationDuration %.4f, media %.4f"
                     % (float(mpd.total), float(longest)))
            for t in tracks:
                ck.check(t.end >= mpd.total - max(t.frame, MS), "P22", t.key, "ends at %.4f, the Period at %.4f"
                         % (float(t.end), float(mpd.total)))
        missing = {t.key for t in by_init.values()} - {t.key for t in tracks}
        ck.check(not missing, "DASH", mpd.key, "tracks of the master that the MPD lacks: %s" % sorted(missing))
        ck.check(any("cmaf" in p for p in mpd.profiles) or not tracks, "DASH", mpd.key, "no CMAF profile", warn=True)

    def representation(self, r, t):
        ck = self.ck
        ck.check(r.timescale == t.timescale, "P23", r.where, "timescale %d, mdhd %d" % (r.timescale, t.timescale))
        ck.check(r.kind == t.kind and r.mime == "%s/mp4" % t.kind, "P20", r.where, "mimeType %s for %s"
                 % (r.mime, t.kind))
        ck.check([r.codecs] == t.codecs, "P13", r.where, "codecs %s, the media are %s" % (r.codecs, t.codecs))
        if t.kind == "video":
            ck.check((r.width, r.height) == (t.width, t.height), "P13", r.where, "%dx%d, the media are %dx%d"
                     % (r.width, r.height, t.width, t.height))
            if r.rate:
                n, _, d = r.rate.partition("/")
                self.frame_rate(t, Fraction(int(n), int(d or 1)), r.where)
        elif r.sampling:
            ck.check(r.sampling == str(t.sample_rate), "P13", r.where, "audioSamplingRate %s, media %d"
                     % (r.sampling, t.sample_rate))
        if t.kind == "audio":
            # ISO/IEC 23091-3, usual layouts: the count up to 5.1, then 6.1 is 11 and 7.1 is 12.
            want = {7: 11, 8: 12}.get(t.channels, t.channels)
            ck.check(r.channels in (None, str(want)), "P13", r.where, "AudioChannelConfiguration %s of %d channels"
                     % (r.channels, t.channels))
        if r.sidx:
            self.sidx(r, t)
        else:
            ck.check(len(r.segments) == len(t.segments), "P22", r.where, "%d segments, %d files"
                     % (len(r.segments), len(t.segments)))
            ck.check(r.offset == 0, "P23", r.where, "presentationTimeOffset %d, tfdt begins at 0" % r.offset)
            for (key, at, d), s in zip(r.segments, t.segments):
                ck.check(key == s.key, "P22", r.where, "asks for %s, the media playlist for %s" % (key, s.key))
                ck.check(Fraction(at, r.timescale) == s.start, "P23", key, "S@t %d, tfdt %s" % (at, s.start * r.timescale))
                ck.check(Fraction(at + d, r.timescale) == s.end, "P23", key, "S@d ends at %d, media at %s"
                         % (at + d, s.end * r.timescale))
            for key, _, _ in r.segments[len(t.segments):]:
                self.loader.exists(key, r.where)
        # ISO/IEC 23009-1 5.3.5.2: with minBufferTime at this rate in the buffer playback never starves.
        debt = 0    # the most bits that any run of segments up to here is behind
        for s in t.segments:
            debt = max(debt, 0) + s.size * 8 - r.bandwidth * (s.end - s.start)
            if debt > r.bandwidth * self.mpd.min_buffer:
                ck.fail("P14", r.where, "bandwidth %d starves %s: %d bits too late" % (
                    r.bandwidth, s.key, debt - r.bandwidth * self.mpd.min_buffer))
                return
        ck.check(r.bandwidth <= 3 * t.peak + 20000, "P14", r.where, "bandwidth %d, peak %d" % (r.bandwidth, t.peak))

    def sidx(self, r, t):
        ck = self.ck
        key, off, size = r.sidx
        if self.loader.exists(key, r.where) is False:
            return
        try:
            found = m.boxes(self.loader.read(key, off, size))
            ck.check([b.kind for b in found] == ["sidx"], "P19", r.where, "indexRange holds %s" % [b.kind for b in found])
            x = m.parse_sidx(found[0])
        except Broken as error:
            ck.fail("P19", r.where, "sidx: %s" % error)
            return
        ck.check(r.init == (t.init_at[0], t.init_at[1] or 0, t.init_at[2]), "P19", r.where, "Initialization %s, MAP %s"
                 % (r.init, t.init_at))
        ck.check(x["version"] == 1, "P24", key, "sidx version %d" % x["version"])
        ck.check(x["timescale"] == r.timescale, "P23", key, "sidx timescale %d" % x["timescale"])
        ck.check(Fraction(x["earliest"], x["timescale"]) == t.start, "P23", key, "sidx begins at %d" % x["earliest"])
        at, time = off + size + x["first_offset"], t.start
        fragments = [f for s in t.segments for f in s.fragments]
        ck.check(len(x["refs"]) == len(fragments), "P19", key, "sidx has %d references, %d fragments"
                 % (len(x["refs"]), len(fragments)))
        for n, (ref, f) in enumerate(zip(x["refs"], fragments), 1):
            ck.check(not ref["sidx"] and ref["starts"] and ref["sap"] in (1, 2), "DASH", key, "reference %d: type, SAP" % n)
            ck.check((at, ref["size"]) == (f[0], f[1]), "P19", key, "reference %d is %d+%d, the fragment %d+%d"
                     % (n, at, ref["size"], f[0], f[1]))
            ck.check(time == f[2], "P23", key, "reference %d starts at %.5f, its tfdt is %.5f"
                     % (n, float(time), float(f[2])))
            at, time = at + ref["size"], time + Fraction(ref["duration"], x["timescale"])

    # ---- presentation.json, files ----

    def read_presentation(self):
        ck, key = self.ck, "presentation.json"
        path = os.path.join(self.root, key)
        if not ck.check(os.path.isfile(path), "X04", key, "does not exist"):
            return
        self.named.add(key)
        try:
            with open(path, encoding="utf-8") as f:
                p = self.presentation = json.load(f)
        except ValueError as error:
            ck.fail("STRUCTURE", key, str(error))
            return
        ck.check(p.get("vodpipe") == 1, "STRUCTURE", key, "no \"vodpipe\": 1")
        sums, listed = {}, {}
        for t in p.get("tracks", []):
            parts = list(t.get("segments", [])) + [t[x] for x in ("init", "index") if t.get(x)]
            for s in parts:
                self.named.add(s["key"])
                end = int(s.get("offset", 0)) + int(s["bytes"])
                listed[s["key"]] = max(listed.get(s["key"], 0), end)
                if s.get("crc32c"):
                    sums[s["key"]] = s["crc32c"]
            whole = t.get("object") if isinstance(t.get("object"), dict) else t
            for field in ("object_crc32c", "crc32c"):
                if whole.get(field) and t.get("segments"):
                    sums[t["segments"][0]["key"]] = whole[field]
            self.presentation_track(t)
        for name, size in sorted(listed.items()):
            have = self.loader.exists(name, key)
            if have is not False:
                ck.check(have == size, "X04", name, "has %d bytes, presentation.json says %d" % (have, size))
        for name, said in sorted(sums.items()):
            path = os.path.join(self.root, name)
            if os.path.isfile(path):
                with open(path, "rb") as f:
                    true = m.crc32c(f.read())
                said = int(said, 16) if isinstance(said, str) else said
                ck.check(true == said, "CRC", name, "CRC32C %08x, presentation.json says %08x" % (true, said))
        ck.check(sums or not listed, "CRC", key, "holds no CRC32C")
        # Objects of a track without one of its own are left unguarded.
        ck.check(set(listed) <= set(sums), "CRC", key, "no CRC32C for %s" % sorted(set(listed) - set(sums))[:3])
        media = {s.key for t in self.tracks.values() if t for s in t.segments}
        ck.check(media <= set(listed), "X04", key, "lacks %s" % sorted(media - set(listed))[:3])

    def presentation_track(self, j):
        keys = [s["key"] for s in j.get("segments", [])]
        where = "presentation.json#" + str(j.get("name"))
        t = next((x for x in self.tracks.values() if x and keys and x.segments[0].key == keys[0]), None)
        if not self.ck.check(t is not None or j.get("kind") not in ("video", "audio"), "X04", where,
                             "is in no master playlist") or t is None:
            return
        scale = j["timescale"]
        self.ck.check(len(keys) == len(t.segments), "X04", where, "%d segments, the playlist has %d"
                      % (len(keys), len(t.segments)))
        if j.get("codecs"):
            self.ck.check(set(j["codecs"].split(",")) == set(t.codecs), "P13", where, "codecs %s, the media are %s"
                          % (j["codecs"], t.codecs))
        for s, x in zip(j["segments"], t.segments):
            slack = Fraction(1, 1000) if t.container != "cmaf" else 0
            self.ck.check(abs(Fraction(int(s["start"]), scale) - x.start) <= slack, "P01", x.key,
                          "presentation.json says start %s/%d, the media %s" % (s["start"], scale, float(x.start)))
            self.ck.check(abs(Fraction(int(s["ticks"]), scale) - (x.end - x.start)) <= 2 * slack, "P01", x.key,
                          "presentation.json says %s/%d s, the media %.6f" % (s["ticks"], scale, float(x.end - x.start)))
            self.ck.check(int(s["bytes"]) == x.size, "X04", x.key, "presentation.json says %s bytes, it has %d"
                          % (s["bytes"], x.size))

    def files(self):
        ck = self.ck
        version = (self.presentation or {}).get("version") or ""
        if version:
            marker = version + "/.vodpipe-version"
            ck.check(os.path.isfile(os.path.join(self.root, marker)), "NAMES", marker, "does not exist")
            self.named.add(marker)
            for name in sorted(self.named - ROOT_NAMES):
                ck.check(name.startswith(version + "/"), "S22", name, "does not lie under the version folder")
        for folder, dirs, names in os.walk(self.root):
            rel = os.path.relpath(folder, self.root)
            rel = "" if rel == "." else rel + "/"
            if not rel:
                dirs[:] = [d for d in dirs if d != ".vodpipe" and (
                    d == version or not os.path.isfile(os.path.join(folder, d, ".vodpipe-version")))]
            for name in names:
                key = rel + name
                ck.check(key in self.named or key in ROOT_NAMES or key == ".vodpipe-version", "NAMES", key,
                         "is named by nothing")
        for name in sorted(self.named):
            ck.check(re.fullmatch(r"[A-Za-z0-9._/-]+", name), "NAMES", name, "holds characters that need escaping",
                     warn=True)

    # ---- decoding ----

    def alone(self, files, *options):
        """What each file decodes to by itself: [(framecrc, errors)]. Many are inputs of one process, as to start one takes
        longer than to decode a segment; when that says anything, each has a process of its own."""
        def ffmpeg(some):
            args = [x for path in some for x in ("-threads", "1", *options, "-i", path)]
            for n, path in enumerate(some):
                args += ["-map", str(n), "-fps_mode", "passthrough", "-f", "framecrc", path + ".crc"]
            run = subprocess.run(["nice", "ffmpeg", "-v", "error", "-nostdin", "-y"] + args, stdin=subprocess.DEVNULL,
                                 stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            return run.returncode, run.stdout.decode("utf-8", "replace").strip()

        def told(path):
            if not os.path.exists(path + ".crc"):
                return ""
            with open(path + ".crc", encoding="latin-1") as f:
                return f.read()

        out = []
        for some in (files[at:at + 16] for at in range(0, len(files), 16)):
            if ffmpeg(some) == (0, ""):
                out += [(told(path), "") for path in some]
                continue
            for path in some:
                if os.path.exists(path + ".crc"):
                    os.unlink(path + ".crc")
                status, errors = ffmpeg([path])
                out.append((told(path), errors or (status and "ffmpeg exits %d" % status) or ""))
        return out

    def frames(self, text, which=0):
        return sum(1 for line in text.split("\n") if line.startswith("%d," % which))

    def decode(self):
        for t in self.tracks.values():
            if t and t.kind in ("video", "audio"):
                with tempfile.TemporaryDirectory() as tmp:
                    self.decode_track(t, tmp)
        for p in self.playlists.values():
            if p and p.iframes and getattr(p, "track", None):
                with tempfile.TemporaryDirectory() as tmp:
                    self.decode_iframes(p, tmp)

    def decode_track(self, t, tmp):
        ck, paths = self.ck, []
        for n, s in enumerate(t.segments):
            ending = {"ts": ".ts", "packed": os.path.splitext(s.key)[1]}.get(t.container, ".mp4")
            paths.append(os.path.join(tmp, "%d%s" % (n, ending)))
            with open(paths[-1], "wb") as f:
                f.write(t.init_bytes if t.init else b"")
                f.write(self.loader.read(s.key, s.offset, s.size))
        for s, (out, err) in zip(t.segments, self.alone(paths)):
            ck.check(not err, "P04", s.key, "alone: " + " | ".join(err.split("\n")[:3]))
            if t.kind == "video":
                streams = re.findall(r"#media_type (\d+): video", out)
                got = self.frames(out, int(streams[0])) if streams else 0
                ck.check(got == s.frames, "P04", s.key, "alone it decodes to %d pictures, it has %d" % (got, s.frames))

    def decode_iframes(self, p, tmp):
        t, ck, entries, paths = p.track, self.ck, [], []
        if t.codec not in ("h264", "hevc"):
            return
        for e, _ in p.idr:
            data = self.loader.read(e.key, e.offset, e.size)
            try:
                picture = self.first_picture(t, data)
            except Broken as error:
                ck.fail("P29", "%s@%d" % (e.key, e.offset), str(error))
                continue
            entries.append(e)
            paths.append(os.path.join(tmp, "%d" % len(paths)))
            with open(paths[-1], "wb") as f:
                f.write(picture)
        for e, (out, err) in zip(entries, self.alone(paths, "-f", t.codec)):
            ck.check(not err and self.frames(out) == 1, "P29", "%s@%d" % (e.key, e.offset),
                     "decodes to %d pictures alone: %s" % (self.frames(out), err[:200]))

    def first_picture(self, t, data):
        if t.container == "ts":
            # Only packets of the first video PES are whole in a range that ends with it.
            ts = m.Ts(data)
            p = next((p for p in ts.pes if ts.streams[p.pid] in (0x1B, 0x24)), None)
            if p is None:
                raise Broken("range holds no picture")
            return p.payload
        moof = m.boxes(data[:int.from_bytes(data[:4], "big")])[0]
        # The mdat may be cut off behind the I frame (RFC 8216 3.3), so its size is not believed here.
        mdat = m.Box("mdat", moof.size, len(data) - moof.size, data[moof.size + 8:])
        f = m.parse_fragment(moof, mdat, t.init["trex"])
        at, size = f["data_offset"], f["samples"][0][1]
        if at + size > len(data):
            raise Broken("range ends inside its I frame")
        return b"".join(b"\0\0\0\1" + n for n in t.sets + m.length_prefixed(data[at:at + size], t.length_size))


def main():
    p = argparse.ArgumentParser(description="Checks a published title directory.")
    p.add_argument("out")
    p.add_argument("--decode", action="store_true")
    p.add_argument("--json", action="store_true")
    p.add_argument("--shared", default=os.environ.get("VODPIPE_SHARED") or os.path.join(HERE, "../../../shared"))
    p.add_argument("--maxrate", action="append", default=[], metavar="NAME=KBPS")
    options = p.parse_args()
    options.shared = os.path.join(options.shared, "vectors")
    options.maxrates = {x.split("=")[0]: int(x.split("=")[1]) for x in options.maxrate}
    ck = Checker(options.out, options).run()
    if options.json:
        doc = lambda rows: [{"rule": r, "where": w, "text": t} for r, w, t in rows]
        print(json.dumps({"checks": ck.checks, "failed": doc(ck.failed), "warnings": doc(ck.warnings)}, indent=1))
    else:
        for r, w, t in ck.failed:
            print(r, w, t)
        for r, w, t in ck.warnings:
            print("warning:", r, w, t, file=sys.stderr)
        print("%d checks, %d failed" % (ck.checks, len(ck.failed)), file=sys.stderr)
    return 1 if ck.failed else 0


if __name__ == "__main__":
    sys.exit(main())
