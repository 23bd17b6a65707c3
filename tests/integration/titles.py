# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the tests of whole titles share: the tool, clips, the checker, measures by ffmpeg, and a runner of cases.

Environment: VODPIPE_BIN, VODPIPE_SHARED, VODPIPE_BUILD; VODPIPE_ARTEFACTS (default BUILD/artefacts) keeps titles that
failed; CI_FULL=1 asks for the long form.
"""
import argparse
import array
import functools
import glob
import hashlib
import json
import math
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True

from checker import Checker  # noqa: E402
from clips import FF, Unavailable, make  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
SRC = os.environ.get("VODPIPE_SRC") or os.path.join(HERE, "../..")
BUILD = os.environ.get("VODPIPE_BUILD") or os.path.join(SRC, "build")
BIN = os.environ.get("VODPIPE_BIN") or os.path.join(BUILD, "examples/vodpipe/vodpipe")
SHARED = os.environ.get("VODPIPE_SHARED") or os.path.join(SRC, "../shared")
ARTEFACTS = os.environ.get("VODPIPE_ARTEFACTS") or os.path.join(BUILD, "artefacts")
CLIPS = os.path.join(BUILD, "clips")
FULL = os.environ.get("CI_FULL") == "1"
FAST = ["--preset", "ultrafast"]
SANITIZED = os.path.isfile(BIN) and b"__asan_init" in open(BIN, "rb").read() # needs more memory and time


class Skip(Exception):
    pass


def clip(name):
    """Path of a generated clip."""
    try:
        return make(name, CLIPS)
    except Unavailable as error:
        raise Skip(str(error)) from None


def real(name):
    """Path of a real clip."""
    path = os.path.join(SHARED, "media", name)
    if not os.path.isfile(path):
        raise Skip("no %s" % path)
    return path


# ---- the tool ----

class Result:
    def __init__(self, run):
        self.code, self.out, self.err = run.returncode, run.stdout, run.stderr.strip()
        last = self.err.split("\n")[-1]
        m = re.match(r"vodpipe: \w+: ([A-Z][A-Z0-9_]+): (.*)", last)
        self.reason, self.text = (m.group(1), m.group(2)) if m and self.code == 1 else (None, last)
        self.warnings = re.findall(r"warning: ([A-Z][A-Z0-9_]+)", self.err)


def tool(*args, limit=600):
    run = subprocess.run(["nice", BIN] + [str(a) for a in args], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                         stderr=subprocess.PIPE, encoding="utf-8", errors="replace", timeout=limit)
    if run.returncode < 0 or run.returncode > 3:
        raise AssertionError("vodpipe exits %d: %s" % (run.returncode, run.stderr[-2000:]))
    return Result(run)


def good(*args, limit=600):
    r = tool(*args, "--progress", "none", limit=limit)
    assert r.code == 0, "exit %d: %s" % (r.code, r.err[-800:])
    return r


def publish(source, out, *args, limit=600):
    preset = [] if "--preset" in args else FAST
    return good("publish", source, out, *preset, *args, limit=limit)


def ladder(folder, *rungs):
    """A ladder file with rungs (name, height, kbit/s)."""
    path = os.path.join(folder, "ladder-%s.json" % "-".join(r[0] for r in rungs))
    with open(path, "w", encoding="utf-8") as f:
        json.dump({"vodpipe": 1, "rungs": [{"name": n, "height": h, "kbps": k} for n, h, k in rungs]}, f)
    return path


def check(out, decode=True, maxrates=None):
    """The title, checked here and by `vodpipe verify`; AssertionError with the rules that failed."""
    r = tool("verify", out)
    assert r.code == 0, "verify: exit %d: %s" % (r.code, (r.out + r.err)[-800:])
    c = Checker(out, argparse.Namespace(decode=decode, shared=os.path.join(SHARED, "vectors"), maxrates=maxrates or {}))
    report = c.run()
    if report.failed:
        raise AssertionError("%d rules fail: %s" % (len(report.failed), "; ".join("%s %s %s" % x
                                                                                  for x in report.failed[:6])))
    return c


def videos(c, container=None):
    return [t for t in c.tracks.values() if t and t.kind == "video" and container in (None, t.container)]


def audios(c, container=None):
    return [t for t in c.tracks.values() if t and t.kind == "audio" and container in (None, t.container)]


def tree(folder):
    """{path: digest} of all files below a folder, but those that a running process takes away meanwhile."""
    out = {}
    for at, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(at, name)
            try:
                with open(path, "rb") as f:
                    out[os.path.relpath(path, folder)] = hashlib.sha256(f.read()).hexdigest()
            except FileNotFoundError:
                pass
    return out


# ---- measures by ffmpeg ----

def ffmpeg(args, text=True):
    run = subprocess.run(FF[:1] + ["ffmpeg", "-v", "error", "-nostdin", "-threads", "1"] + args, stdout=subprocess.PIPE,
                         stderr=subprocess.PIPE)
    if run.returncode:
        raise AssertionError("ffmpeg %s: %s" % (" ".join(args), run.stderr.decode("utf-8", "replace")[-400:]))
    return run.stdout.decode("latin-1") if text else run.stdout


@functools.cache
def picky():
    """Options without which some versions of ffmpeg, which know them, do not take .ec3 for E-AC-3."""
    run = subprocess.run(["ffmpeg", "-hide_banner", "-h", "demuxer=hls"], capture_output=True, encoding="utf-8", check=True)
    return ("-extension_picky", "0") if "-extension_picky" in run.stdout else ()


def joined(c, t, folder):
    """One file with init and all segments of a track: what a player has in its buffer."""
    ext = {"ts": ".ts", "packed": os.path.splitext(t.segments[0].key)[1]}.get(t.container, ".mp4")
    path = os.path.join(folder, re.sub(r"\W", "-", t.key) + ext)
    if not os.path.exists(path):
        with open(path, "wb") as f:
            f.write(t.init_bytes if t.init else b"")
            for n, s in enumerate(t.segments):
                data = c.loader.read(s.key, s.offset, s.size)
                # of AC-3 ffmpeg knows the first tag only
                tag = 10 + (data[6] << 21 | data[7] << 14 | data[8] << 7 | data[9]) if data[:3] == b"ID3" else 0
                f.write(data[tag:] if n and ext != ".aac" else data)
    return path


@functools.cache
def time_base_of_input():
    """The word for it, which newer versions have a new one for (and take the old one no more)."""
    run = subprocess.run(["ffmpeg", "-version"], capture_output=True, encoding="utf-8", check=True)
    m = re.match(r"ffmpeg version n?(\d+)", run.stdout)
    return "-1" if m and int(m.group(1)) < 7 else "demux"


def picture_times(path, options=()):
    """Presentation times of all decoded pictures, seconds."""
    out = ffmpeg([*options, "-copyts", "-i", path, "-map", "0:v:0", "-fps_mode", "passthrough",
                  "-enc_time_base", time_base_of_input(), "-f", "framecrc", "-"])
    base = [int(x) for x in re.search(r"#tb 0: (\d+)/(\d+)", out).groups()]
    return [int(line.split(",")[2]) * base[0] / base[1] for line in out.split("\n") if line.startswith("0,")]


def picture_hashes(path, options=()):
    out = ffmpeg([*options, "-i", path, "-map", "0:v:0", "-fps_mode", "passthrough", "-f", "framehash", "-hash", "md5", "-"])
    return [line.split(",")[5].strip() for line in out.split("\n") if line.startswith("0,")]


def picture(path, width, height, at=0):
    """RGB bytes of the first picture at or after a time from the start, turned upright as a player would and scaled."""
    data = ffmpeg(["-i", path, "-map", "0:v:0", "-vf", "select=gte(t\\,%s),format=rgb24,scale=%d:%d:flags=area"
                   % (at, width, height),
                   "-frames:v", "1", "-pix_fmt", "rgb24", "-f", "rawvideo", "-"], text=False)
    assert len(data) == width * height * 3, "%s: no picture at %s" % (path, at)
    return data


def difference(a, b):
    """Mean absolute difference of two pictures, of 255."""
    return sum(abs(x - y) for x, y in zip(a, b)) / len(a)


class Sound:
    """Decoded audio as 16-bit samples, one array a channel."""

    def __init__(self, path, rate=48000, channels=2, options=()):
        data = array.array("h", ffmpeg([*options, "-i", path, "-map", "0:a:0", "-ac", str(channels), "-ar", str(rate),
                                        "-f", "s16le", "-"], text=False))
        self.rate, self.channels = rate, [data[n::channels] for n in range(channels)]

    @property
    def seconds(self):
        return len(self.channels[0]) / self.rate

    def level(self, start=0.0, end=None, channel=0):
        """RMS in dB below full scale (-200: silence)."""
        x = self.channels[channel][int(start * self.rate):None if end is None else int(end * self.rate)]
        assert x, "no samples from %s to %s" % (start, end)
        mean = sum(v * v for v in x) / len(x)
        return 10 * math.log10(mean / 32768 ** 2) if mean else -200.0

    def pitch(self, start=0.0, end=None, channel=0):
        """Hz of a pure tone, by its rises through zero that go on to half of its peak. The peak is told by the level, as
        libavcodec's AAC has pure tones louder for a frame now and then."""
        x = self.channels[channel][int(start * self.rate):None if end is None else int(end * self.rate)]
        floor, rises, at, below = 0.7 * (sum(v * v for v in x) / max(len(x), 1)) ** 0.5, [], 0, False
        for n, v in enumerate(x):
            if v < -floor:
                below = True
            elif v < 0:
                at = n + 1
            elif v > floor and below:
                below = False
                rises.append(at)
        assert len(rises) > 2, "no tone"
        return (len(rises) - 1) * self.rate / (rises[-1] - rises[0])


# ---- cases ----

class Cases:
    """Runs named cases, one title folder each; the folder of one that failed is kept among the artefacts."""

    def __init__(self, title):
        self.title, self.failed, self.why, self.skipped, self.ran = title, [], {}, [], 0

    def run(self, name, fn, *args, **named):
        started = time.monotonic()
        folder = tempfile.mkdtemp(prefix="vodpipe-test-")
        try:
            fn(folder, *args, **named)
            word = "ok"
        except Skip as why:
            self.skipped.append(name)
            word = "skipped (%s)" % why
        except (AssertionError, subprocess.SubprocessError, OSError, ValueError, KeyError, IndexError) as error:
            self.failed.append(name)
            self.why[name] = " ".join(str(error).split())[:200]
            word = "FAILED: %s%s" % ("" if isinstance(error, AssertionError) else type(error).__name__ + ": ", error)
            word += " [%s]" % self.keep(folder, name)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        self.ran += 1
        print("%-44s %5.1f s  %s" % (name, time.monotonic() - started, word), flush=True)

    def keep(self, folder, name):
        to = os.path.join(ARTEFACTS, "failed", re.sub(r"[^\w.-]", "-", self.title + "-" + name))
        shutil.rmtree(to, ignore_errors=True)
        try:
            os.makedirs(os.path.dirname(to), exist_ok=True)
            size = sum(os.path.getsize(p) for p in glob.glob(folder + "/**", recursive=True) if os.path.isfile(p))
            if size > 100 << 20:
                return "too large to keep"
            shutil.copytree(folder, to, symlinks=True)
        except OSError as error:
            return str(error)
        return to

    def end(self):
        """Exit status: 77 when all were skipped."""
        print("%s: %d cases, %d failed, %d skipped" % (self.title, self.ran, len(self.failed), len(self.skipped)))
        for name in self.failed:
            print("  failed: %s: %s" % (name, self.why[name]))
        if self.failed or not self.ran:
            return 1
        return 77 if len(self.skipped) == self.ran else 0
