#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Measures flash against beep in a playing form of a SYNC clip (clips.py).

    first, last = measure("out/master.m3u8")     beep minus flash in ms: first and last pair; also .mpd and plain files
    check("out/master.m3u8")                     raises AssertionError unless |d| <= 20 ms and the drift is <= 1 ms

    sync.py PATH [--tracks]

--tracks (an .mpd or a master playlist of CMAF): init + segments of one video and one audio track, put together by our
own parsers, in place of ffmpeg's HLS or DASH demuxer.

A flash is the time of the first bright frame: exact, what the player shows. A beep is the middle of its energy less half
its length, which AAC's pre-echo does not move. The pair at 0 is left out: dropping the priming packet fades it in.
"""
import argparse
import array
import os
import re
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True

RATE = 16000
BEEP = 0.030        # seconds that a beep lasts
FF = ["nice", "ffmpeg", "-nostdin", "-hide_banner", "-threads", "1"]
LIMIT_MS = 20.0
DRIFT_MS = 1.0 + 1000.0 / 48000     # one sample of rounding


def place(path):
    """Folder to run in and name to open: ffmpeg's DASH demuxer loses the folder of a relative path."""
    if not path.endswith(".mpd"):
        return None, path
    return os.path.dirname(os.path.abspath(path)), os.path.basename(path)


def flashes(path, options=()):
    """Times of the first bright frame of each flash, seconds."""
    folder, name = place(path)
    run = subprocess.run(FF + ["-v", "error", "-copyts"] + list(options) + ["-i", name, "-map", "0:v:0", "-vf",
                               "signalstats,metadata=print:key=lavfi.signalstats.YAVG:file=-", "-f", "null", "-"],
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=folder)
    if run.returncode:
        raise AssertionError("%s does not play: %s" % (path, run.stderr.strip()))
    out, bright, at = [], False, None
    for line in run.stdout.split("\n"):
        m = re.match(r"frame:\d+\s+pts:\S+\s+pts_time:(\S+)", line)
        if m:
            at = float(m.group(1))
        elif line.startswith("lavfi.signalstats.YAVG="):
            now = float(line.split("=")[1]) > 120
            if now and not bright:
                out.append(at)
            bright = now
    return out


def samples(path, options=()):
    """Blocks (time of the first sample, samples) of the audio as mono at RATE."""
    folder, name = place(path)
    run = subprocess.run(FF + ["-v", "info", "-copyts"] + list(options) + ["-i", name, "-map", "0:a:0", "-af",
                               "aresample=%d,aformat=sample_fmts=s16:channel_layouts=mono,ashowinfo" % RATE, "-f", "s16le",
                               "-"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=folder)
    if run.returncode:
        raise AssertionError("%s does not play" % path)
    data, at = array.array("h", run.stdout), 0
    for m in re.finditer(r"pts_time:(\S+) .*?nb_samples:(\d+)", run.stderr.decode("utf-8", "replace")):
        n = int(m.group(2))
        yield float(m.group(1)), data[at:at + n]
        at += n


def beeps(path, options=()):
    """Start of each beep, seconds."""
    loud, peak = [], 0
    blocks = list(samples(path, options))
    for _, block in blocks:
        peak = max(peak, max(block, default=0))
    for t, block in blocks:
        for n, v in enumerate(block):
            if abs(v) * 50 > peak:
                loud.append((t + n / RATE, v * v))
    out, group = [], []
    for t, e in loud + [(float("inf"), 0)]:
        if group and t - group[0][0] > 0.3:
            energy = sum(x for _, x in group)
            if energy > 0:
                out.append((sum(a * x for a, x in group) / energy - BEEP / 2, energy))
            group = []
        group.append((t, e))
    loudest = max((e for _, e in out), default=0)
    return [t for t, e in out if e * 10 > loudest]


def tracks(path, folder):
    """One file for the first video and one for the first audio track of an MPD or CMAF master."""
    from checker import Report
    from checker_dash import Mpd
    from checker_hls import Master, Playlist
    root, ck, out = os.path.dirname(os.path.abspath(path)), Report(), {}
    name = os.path.basename(path)
    if name.endswith(".mpd"):
        mpd = Mpd(path, name, ck, "")
        for r in mpd.representations:
            out.setdefault(r.kind, [r.init[0]] + ([s[0] for s in r.segments] if not r.sidx else []))
    else:
        master = Master(name, open(path, encoding="utf-8").read(), ck)
        lists = [("video", master.variants[0]["key"])] + [("audio", x["key"]) for x in master.media if x["key"]][:1]
        for kind, key in lists:
            p = Playlist(key, open(os.path.join(root, key), encoding="utf-8").read(), ck)
            keys = [e.map[0] for e in p.entries[:1] if e.map] + [e.key for e in p.entries]
            out[kind] = list(dict.fromkeys(keys))
    made = {}
    for kind, keys in out.items():
        made[kind] = os.path.join(folder, kind + (os.path.splitext(keys[-1])[1] if keys[-1].endswith(".ts") else ".mp4"))
        with open(made[kind], "wb") as f:
            for key in keys:
                with open(os.path.join(root, key), "rb") as g:
                    f.write(g.read())
    return made["video"], made.get("audio", made["video"])


def pairs(path, use_tracks=False):
    """[(flash time, beep minus flash in ms)] of all pairs after the first half second."""
    options = ["-allowed_extensions", "ALL"] if path.endswith(".m3u8") and not use_tracks else []
    with tempfile.TemporaryDirectory() as tmp:
        video, audio = tracks(path, tmp) if use_tracks else (path, path)
        seen, heard = flashes(video, options), beeps(audio, options)
    if not seen:
        raise AssertionError("%s: no flash" % path)
    # TS carries an offset that video and audio share: the title's zero is where its first flash is.
    out = []
    for f in seen:
        if f - seen[0] < 0.5 or (heard and f < heard[0] - 0.5):
            continue    # a source whose audio begins late has no beep there
        near = [b for b in heard if abs(b - f) < 0.5]
        if not near:
            raise AssertionError("%s: no beep near the flash at %.3f" % (path, f))
        out.append((f, min(((b - f) * 1000 for b in near), key=abs)))
    if not out:
        raise AssertionError("%s: no second flash with a beep" % path)
    return out


def measure(path, use_tracks=False):
    found = pairs(path, use_tracks)
    return found[0][1], found[-1][1]


def check(path, use_tracks=False, limit=LIMIT_MS, drift=DRIFT_MS):
    first, last = measure(path, use_tracks)
    assert abs(first) <= limit and abs(last) <= limit, "%s: beep %.2f ms and %.2f ms from flash" % (path, first, last)
    assert abs(last - first) <= drift, "%s: drift of %.2f ms" % (path, last - first)
    return first, last


def main():
    p = argparse.ArgumentParser(description="Flash against beep.")
    p.add_argument("path")
    p.add_argument("--tracks", action="store_true")
    options = p.parse_args()
    try:
        first, last = check(options.path, options.tracks)
    except AssertionError as error:
        print(error)
        return 1
    print("beep minus flash: first %.2f ms, last %.2f ms" % (first, last))
    return 0


if __name__ == "__main__":
    sys.exit(main())
