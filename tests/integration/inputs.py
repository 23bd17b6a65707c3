# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the cases of test_inputs.py share: a title made of one input, what players see and hear of it, the table.

    @case("I08", "audio 1.5 s late", "silence before it, in sync", "AUDIO_STARTS_LATE")
    def _(t):
        t.publish(clip("sync_late_audio.mp4"))
        ...asserts...
        return "what was seen"      a text that is the same on every machine

A case of GAPS is known not to hold yet: it counts as a gap while it fails, and as a failure once it does not.
"""
import json
import math
import os
import re
import subprocess

import sync
from titles import (BIN, FAST, Sound, audios, check, ffmpeg, good, joined, ladder, picture_times, tool, videos)

GROUPS = {}     # name -> [(row, input, expected, function)]
GAPS = {}       # (row, input) -> what happens instead
ONE = [("72p", 72, 300)]
group = [None]


def case(row, what, expected):
    def add(fn):
        GROUPS.setdefault(group[0], []).append((row, what, expected, fn))
        return fn
    return add


def equal(got, want, what):
    assert got == want, "%s is %r, not %r" % (what, got, want)


def close(got, want, slack, what):
    assert abs(got - want) <= slack, "%s is %.3f, not %.3f" % (what, got, want)


class Title:
    """One input, probed and published. CMAF, one small rung, unless asked for more."""

    def __init__(self, folder):
        self.folder, self.out, self.n = folder, None, 0

    def probe(self, source, *more):
        r = tool("probe", "--json", *(more or ["--full"]), "--", source)
        equal(r.code, 0, "exit status of probe (%s)" % r.err[-300:])
        return json.loads(r.out)

    def publish(self, source, *more, rungs=None, warns=()):
        self.n += 1
        self.out = os.path.join(self.folder, "title%d" % self.n)
        self.source = source
        at = ["--ladder", ladder(self.folder, *(rungs or ONE))] if "--ladder" not in more else []
        self.result = good("publish", source, self.out, *FAST, *at, *more)
        self.c = check(self.out, decode=False)
        for name in warns:
            assert name in self.result.warnings, "no warning %s, but %s" % (name, self.result.warnings)
        self.notes = dict(re.findall(r"warning: ([A-Z0-9_]+)(.*)", self.result.err))
        return self

    # ---- what a player gets ----

    @property
    def master(self):
        return os.path.join(self.out, "master.m3u8")

    @property
    def video(self):
        return joined(self.c, videos(self.c)[0], self.folder)

    def audio(self, which=0):
        return joined(self.c, audios(self.c)[which], self.folder)

    def times(self):
        """Times of all pictures, which must rise and begin at 0."""
        at = picture_times(self.video)
        assert at == sorted(set(at)), "picture times do not rise"
        close(at[0], 0, 0.001, "time of the first picture")
        return at

    def pictures(self, count, rate=30):
        """As many as the source has. Where its sound begins before, the first one is held from there: to the grid."""
        starts = {x["codec_type"]: float(x["start_time"]) for x in entries(self.source, "stream=codec_type,start_time")
                  if x["codec_type"] in ("audio", "video")}
        lead = starts["video"] - starts.get("audio", starts["video"])
        held = math.ceil(round(lead * rate, 3)) if lead > 0.01 else 0
        at = self.times()
        equal(len(at), count + held, "pictures")
        continuous(at, 1.001 / rate)
        return at

    def seconds(self):
        return float(max(t.end for t in self.c.tracks.values() if t and t.kind in ("video", "audio")))

    def lasts(self, seconds, slack=0.05):
        for t in videos(self.c) + audios(self.c):
            close(float(t.end - t.start), seconds, slack, "length of " + t.kind)

    def sound(self, which=0):
        return Sound(self.audio(which))

    def in_sync(self, before=None):
        """Beep and flash, in the playlist and in the tracks alone; before: offset that the source has itself."""
        for by_tracks in (False, True):
            first, last = sync.check(self.master, by_tracks)
            if before:
                close(first, before[0], 2, "first beep minus flash, ms")
                close(last, before[1], 2, "last beep minus flash, ms")

    def lumas(self):
        return lumas(self.video)

    # ---- refusals ----

    def refused(self, source, *reasons, publish_only=False, more=()):
        """By probe and by publish, as a lasting failure, with nothing left behind."""
        out = os.path.join(self.folder, "refused")
        if not publish_only:
            r = tool("probe", "--json", "--full", "--", source, limit=120)
            equal(r.code, 1, "exit status of probe (%s)" % r.out[:300])
            said = json.loads(r.out)["refused"]["reason"]
            assert said in reasons, "probe says %s: %s" % (said, r.text)
        run = subprocess.run(["nice", BIN, "publish", *FAST, "--progress", "json", *more, "--", source, out],
                             stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=120,
                             encoding="utf-8", errors="replace")
        equal(run.returncode, 1, "exit status of publish (%s)" % run.stderr[-300:])
        last = json.loads(run.stdout.strip().split("\n")[-1])
        equal(last["event"], "failed", "last event")
        assert last["reason"] in reasons, "publish says %s: %s" % (last["reason"], last["text"])
        equal(last["retryable"], False, "retryable")
        left = [n for _, _, names in os.walk(out) for n in names if not publish_only or n.endswith((".m3u8", ".mpd"))]
        assert not left, "a refused publish leaves %s" % left[:5]
        return last["reason"]


# ---- measures that are not our code ----

def lumas(path, options=()):
    """[(time, mean luma 16..235)] of all pictures."""
    out = ffmpeg([*options, "-copyts", "-i", path, "-map", "0:v:0", "-vf",
                  "format=yuv420p,signalstats,metadata=print:key=lavfi.signalstats.YAVG:file=-", "-f", "null", "-"])
    at = re.findall(r"pts_time:(\S+)\nlavfi\.signalstats\.YAVG=(\S+)", out)
    return [(float(a), float(b)) for a, b in at]


def rgb(path, at=0, size=(16, 9)):
    """[(r, g, b)] of the first picture at or after a time, as BT.709 or whatever the file's tags say, scaled."""
    pick = "select=gte(t\\,%s),scale=%d:%d:flags=area:in_range=auto,format=rgb24" % (at, *size)
    data = ffmpeg(["-i", path, "-map", "0:v:0", "-vf", pick, "-frames:v", "1", "-pix_fmt", "rgb24", "-f",
                   "rawvideo", "-"], text=False)
    assert len(data) == size[0] * size[1] * 3, "no picture at %s" % at
    return [tuple(data[n:n + 3]) for n in range(0, len(data), 3)]


def entries(path, what, stream=None, more=()):
    """What ffprobe says: [{name: value}] of the sections that were asked for (stream=..., packet=...)."""
    out = subprocess.run(["nice", "ffprobe", "-v", "error", *more, *(["-select_streams", stream] if stream else []),
                          "-show_entries", what, "-of", "json", path], stdout=subprocess.PIPE, check=True).stdout
    doc = json.loads(out)
    return doc.get(what.split("=")[0].split(":")[0] + "s", doc)


def tone(sound, hz, start, end, level=-35.0):
    """A pure tone on both channels."""
    for channel in (0, 1):
        loud = sound.level(start, end, channel)
        assert loud >= level, "channel %d is at %.1f dB from %.1f to %.1f s" % (channel, loud, start, end)
        close(sound.pitch(start, end, channel), hz, 5, "pitch from %.1f to %.1f s" % (start, end))


def quiet(sound, start, end):
    loud = sound.level(start, end)
    assert loud < -60, "%.1f dB from %.1f to %.1f s" % (loud, start, end)


def continuous(times, longest, what="gap between pictures"):
    gaps = [b - a for a, b in zip(times, times[1:])]
    assert max(gaps, default=0) <= longest, "%s of %.3f s" % (what, max(gaps))


def names_of(doc):
    return sorted({w["name"] for w in doc["warnings"]})


# ---- the table ----

HEAD = """# What becomes of each kind of input

One line for each case of `test_inputs.py`; rows are those of the list of inputs that go wrong in production. The tests
make the inputs, publish them, and measure the titles with ffmpeg and ffprobe. `gap`: known not to hold yet.
`python3 test_inputs.py --update` writes this file.

| row | input | expected | seen | |
|---|---|---|---|---|
"""


def line(row, what, expected, seen, word):
    return "| %s | %s | %s | %s | %s |\n" % tuple(str(x).replace("|", "\\|").replace("\n", " ")
                                                 for x in (row, what, expected, seen, word))
