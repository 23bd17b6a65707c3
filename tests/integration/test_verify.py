#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Damages good titles, each in one place, and demands that `vodpipe verify` finds it and names the fitting rule.

    test_verify.py good|bytes|texts|decode|source|late ...     groups of cases (default: all)
"""
import json
import os
import shutil
import subprocess
import sys

sys.dont_write_bytecode = True

from clips import colours  # noqa: E402
from titles import Cases, FF, Skip, ladder, publish, tool  # noqa: E402
from verify_cases import CASES, Title  # noqa: E402
import verify_ac3  # noqa: E402 (it adds to CASES, as the next)
import verify_closed  # noqa: E402
import verify_more  # noqa: E402,F401

PREFIX = "v1"
BEEPS = "aevalsrc=0.3*sin(2*PI*440*t)*lt(mod(t\\,1.1)\\,0.5)|0.3*sin(2*PI*660*t)*lt(mod(t\\,1.3)\\,0.7):s=48000:d=5"


# ---- good titles ----

def make_clip(folder, name, *options):
    path = os.path.join(folder, name)
    run = subprocess.run(FF[:1] + ["ffmpeg", "-v", "error", "-nostdin", "-y", "-threads", "1",
                                   "-f", "lavfi", "-i", "testsrc2=s=320x180:r=25:d=5", "-f", "lavfi", "-i", BEEPS,
                                   "-f", "lavfi", "-i", "sine=660:d=5:r=48000", "-map", "0:v", *options,
                                   "-vf", "format=yuv420p," + colours("bt709", "bt709", "bt709"),
                                   "-c:v", "libx264", "-preset", "ultrafast", "-threads", "1",
                                   "-c:a", "aac", "-b:a", "160k",
                                   "-metadata:s:a:0", "language=eng", "-metadata:s:a:1", "language=fra", path],
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if run.returncode:
        raise Skip("ffmpeg: %s" % run.stdout.decode("utf-8", "replace")[-200:])
    return path


def make_titles(folder):
    """{name: (folder, source)} of the titles that the cases damage copies of."""
    one = make_clip(folder, "one.mp4", "-map", "1:a")
    two = make_clip(folder, "two.mp4", "-map", "1:a", "-map", "2:a")
    surround = make_clip(folder, "six.mp4", "-map", "1:a", "-map", "2:a", "-ac", "6")
    common = ["--ladder", ladder(folder, ("180p", 180, 300), ("96p", 96, 100)), "--segment", "2", "--gop", "1",
              "--prefix", PREFIX, "--preset", "veryfast"]
    titles = {}
    for name, source, options in (("cmaf", two, []), ("ts", one, ["--format", "ts"]),
                                  ("single", one, ["--single-file"]), ("packed", two, ["--format", "ts"]),
                                  ("surround", surround, [])):
        titles[name] = (os.path.join(folder, name), source)
        publish(source, titles[name][0], *common, *options)
    closed = True
    try:
        titles.update(verify_closed.make(folder, one, *common))
    except AssertionError as error:
        if "FEATURE_DISABLED" not in str(error): # built without encryption
            raise
        closed = False
    titles.update(verify_ac3.make(folder, one, closed))
    return titles


LONG = "%s*lt(mod(t+0.2*sin(t)\\,1.1)\\,0.5)"


def make_long(folder):
    """(title, source) of 2 minutes, a small picture."""
    path = os.path.join(folder, "long.mp4")
    run = subprocess.run(FF[:1] + ["ffmpeg", "-v", "error", "-nostdin", "-y", "-threads", "1",
                                   "-f", "lavfi", "-i", "testsrc2=s=96x54:r=15:d=120",
                                   "-f", "lavfi", "-i", "aevalsrc=" + LONG % "0.3*sin(2*PI*440*t)" + ":s=48000:d=120",
                                   "-c:v", "libx264", "-preset", "veryfast", "-g", "250", "-threads", "1", "-c:a", "aac",
                                   path], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if run.returncode:
        raise Skip("ffmpeg: %s" % run.stdout.decode("utf-8", "replace")[-200:])
    publish(path, os.path.join(folder, "long"), "--ladder", ladder(folder, ("54p", 54, 60)))
    return os.path.join(folder, "long"), path


# ---- sources ----

# Sources that the title was not made of: (name, rule or None, title, options of ffmpeg; {} is the true source).
SOURCES = (
    ("the source itself", None, "ts", None),
    ("the source with two languages", None, "cmaf", None),
    ("copied in another container", None, "ts", ["-i", "{}", "-map", "0", "-c", "copy", "x.mkv"]),
    ("sound 100 ms later", "SYNC", "ts",
     ["-i", "{}", "-itsoffset", "0.1", "-i", "{}", "-map", "0:v", "-map", "1:a", "-c", "copy", "x.mp4"]),
    ("sound one AAC priming later", "SYNC", "single",
     ["-i", "{}", "-itsoffset", "0.0213", "-i", "{}", "-map", "0:v", "-map", "1:a", "-c", "copy", "x.mkv"]),
    ("picture 120 ms later", "SYNC", "single",
     ["-itsoffset", "0.12", "-i", "{}", "-i", "{}", "-map", "0:v", "-map", "1:a", "-c", "copy", "x.mp4"]),
    ("4 dB louder", "LOUDNESS", "ts", ["-i", "{}", "-c:v", "copy", "-af", "volume=4dB", "-c:a", "aac", "x.mp4"]),
    ("half a second shorter", "FRAMES", "ts", ["-i", "{}", "-t", "4.5", "-c", "copy", "x.mp4"]),
    ("a second longer", "FRAMES", "single",
     ["-stream_loop", "1", "-i", "{}", "-t", "6", "-c:v", "libx264", "-preset", "ultrafast", "-threads", "1",
      "x.mp4"]))

# Of the long title; what is wrong is wrong at its end.
LATE = (
    ("the source itself", None, None),
    ("sound that runs 0.05 % fast", "SYNC",
     ["-i", "{}", "-c:v", "copy", "-af", "asetrate=48024,aresample=48000,apad", "-t", "120", "-c:a", "aac", "x.mp4"]),
    ("sound that is 150 ms late from 80 s on", "SYNC",
     ["-i", "{}", "-c:v", "copy", "-filter_complex",
      "[0:a]asplit[a][b];[a]atrim=0:80,apad=pad_dur=0.15[c];[b]atrim=80,asetpts=PTS-STARTPTS[d];"
      "[c][d]concat=v=0:a=1,atrim=0:120[e]", "-map", "0:v", "-map", "[e]", "-c:a", "aac", "x.mp4"]),
    ("sound that is 1.2 s late from 80 s on", "SYNC",
     ["-i", "{}", "-c:v", "copy", "-filter_complex",
      "[0:a]asplit[a][b];[a]atrim=0:80,apad=pad_dur=1.2[c];[b]atrim=80,asetpts=PTS-STARTPTS[d];"
      "[c][d]concat=v=0:a=1,atrim=0:120[e]", "-map", "0:v", "-map", "[e]", "-c:a", "aac", "x.mp4"]))


# Titles of other sources than they are checked against: (name, rule, options of ffmpeg that make the other one of {}).
COPY = ["-c:v", "libx264", "-preset", "ultrafast", "-crf", "16", "-threads", "1"]
MADE = (
    ("a picture that stands still", "FRAMES", ["-i", "{}", "-vf", "select=not(eq(n\\,60)),fps=25", *COPY, "-c:a", "copy"]),
    ("half a second that stands still", "FRAMES",
     ["-i", "{}", "-vf", "select=not(between(n\\,60\\,71)),fps=25", *COPY, "-c:a", "copy"]),
    ("a picture that is not there", "FRAMES",
     ["-i", "{}", "-vf", "select=not(eq(n\\,60))", "-fps_mode", "passthrough", *COPY, "-c:a", "copy"]),
    ("sound 50 ms later from the middle on", "SYNC",
     ["-i", "{}", "-filter_complex", "[0:a]asplit[a][b];[a]atrim=0:2.5[c];[b]atrim=2.5,asetpts=PTS-STARTPTS[d];"
      "anullsrc=r=48000:cl=stereo:d=0.05[s];[c][s][d]concat=n=3:v=0:a=1[x]", "-map", "0:v", "-map", "[x]", "-c:v", "copy",
      "-t", "5"]),
    ("sound 50 ms earlier from the middle on", "SYNC",
     ["-i", "{}", "-filter_complex", "[0:a]asplit[a][b];[a]atrim=0:2.5[c];[b]atrim=2.55,asetpts=PTS-STARTPTS[d];"
      "[c][d]concat=n=2:v=0:a=1[x]", "-map", "0:v", "-map", "[x]", "-c:v", "copy"]),
    ("half as loud", "LOUDNESS", ["-i", "{}", "-c:v", "copy", "-af", "volume=0.5"]),
    ("half as loud from the middle on", "LOUDNESS",
     ["-i", "{}", "-c:v", "copy", "-af", "volume='if(lt(t,2.5),1,0.5)':eval=frame"]),
    ("a channel is silent", "LOUDNESS", ["-i", "{}", "-c:v", "copy", "-af", "pan=stereo|c0=c0|c1=0*c1"]),
    ("other sound", "CONTENT", ["-i", "{}", "-f", "lavfi", "-i", "aevalsrc=0.3*sin(2*PI*440*t)*lt(mod(t\\,0.7)\\,0.2):s=48000:"
                                "d=5", "-map", "0:v", "-map", "1:a", "-ac", "2", "-c:v", "copy"]),
    ("other pictures", "CONTENT", ["-f", "lavfi", "-i", "mandelbrot=s=320x180:r=25:end_scale=0.01", "-i", "{}", "-map", "0:v",
                                   "-map", "1:a", "-t", "5", *COPY, "-c:a", "copy"]),
    ("mirrored", "CONTENT", ["-i", "{}", "-vf", "hflip", *COPY, "-c:a", "copy"]),
    ("upside down", "CONTENT", ["-i", "{}", "-vf", "vflip", *COPY, "-c:a", "copy"]))


def other(folder, source, rule, options):
    """A title of another source."""
    path, out = os.path.join(folder, "other.mp4"), os.path.join(folder, "out")
    run = subprocess.run(FF[:1] + ["ffmpeg", "-v", "error", "-nostdin", "-y", "-threads", "1"] +
                         [o.replace("{}", source) for o in options] + [path], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if run.returncode:
        raise Skip("ffmpeg: %s" % run.stdout.decode("utf-8", "replace")[-200:])
    publish(path, out, "--ladder", ladder(folder, ("180p", 180, 300)), "--segment", "2", "--gop", "1", "--preset", "veryfast")
    r, rules, lines = verify(out, "--decode", "--source", path)
    assert r.code == 0, "against its own source: %s" % "; ".join(lines[:4])
    r, rules, lines = verify(out, "--decode", "--source", source)
    assert r.code == 1 and rule in rules, "exit %d: %s" % (r.code, "; ".join(lines[:4]))


def two_languages(folder):
    """English and French sound in each other's place."""
    paths = [os.path.join(folder, n) for n in ("one.mp4", "other.mp4")]
    out = os.path.join(folder, "out")
    french = "aevalsrc=0.3*sin(2*PI*550*t)*lt(mod(t\\,0.8)\\,0.3):s=48000:d=5"
    subprocess.run(FF[:1] + ["ffmpeg", "-v", "error", "-nostdin", "-y", "-f", "lavfi", "-i", "testsrc2=s=320x180:r=25:d=5", "-f",
                             "lavfi", "-i", BEEPS, "-f", "lavfi", "-i", french, "-map", "0", "-map", "1", "-map", "2", *COPY, "-ac",
                             "2", "-metadata:s:a:0", "language=eng", "-metadata:s:a:1", "language=fra", paths[0]], check=True)
    subprocess.run(FF[:1] + ["ffmpeg", "-v", "error", "-nostdin", "-y", "-i", paths[0], "-map", "0:v", "-map", "0:a:1", "-map",
                             "0:a:0", "-c", "copy", "-metadata:s:a:0", "language=eng", "-metadata:s:a:1", "language=fra",
                             paths[1]], check=True)
    publish(paths[1], out, "--ladder", ladder(folder, ("96p", 96, 100)), "--segment", "2", "--gop", "1")
    r, rules, lines = verify(out, "--decode", "--source", paths[1])
    assert r.code == 0, "; ".join(lines[:4])
    r, rules, lines = verify(out, "--decode", "--source", paths[0])
    assert r.code == 1 and rules == {"P16"}, "exit %d: %s" % (r.code, "; ".join(lines[:4]))


def usage(_, title, source):
    r = tool("verify", title, "--source", source)
    assert r.code == 2 and "--decode" in r.err, "exit %d: %s" % (r.code, r.err)
    r = tool("verify", title, "--decode", "--source", title + "/none.mp4")
    assert r.code == 1 and r.reason == "IO_ERROR", "exit %d: %s" % (r.code, r.err)
    r = tool("verify", title, "--decode", "--source", os.path.join(title, "presentation.json"))
    assert r.code == 1 and r.reason.startswith("INPUT_"), "exit %d: %s" % (r.code, r.err)


def against(folder, title, source, rule, options):
    if options:
        run = subprocess.run(FF[:1] + ["ffmpeg", "-v", "error", "-nostdin", "-y", "-threads", "1"] +
                             [o.replace("{}", source) for o in options[:-1]] + [os.path.join(folder, options[-1])],
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if run.returncode:
            raise Skip("ffmpeg: %s" % run.stdout.decode("utf-8", "replace")[-200:])
        source = os.path.join(folder, options[-1])
    r, rules, lines = verify(title, "--decode", "--source", source)
    assert r.code == (1 if rule else 0), "exit %d: %s" % (r.code, "; ".join(lines[:4]))
    assert rules == ({rule} if rule else set()), "; ".join(lines[:4])


# ---- running ----

def verify(root, *options):
    """(exit status, reason, rules that failed, lines)"""
    r = tool("verify", root, "--json", *options)
    doc = json.loads(r.out)
    return r, {f["rule"] for f in doc["failed"]}, ["%s %s %s" % (f["rule"], f.get("where"), f.get("text"))
                                                   for f in doc["failed"]]


def good_title(_, title, *options):
    r, rules, lines = verify(title, *options)
    assert r.code == 0 and not rules, "exit %d: %s" % (r.code, "; ".join(lines[:4]))


def damaged(folder, title, rules, spoil, options):
    root = os.path.join(folder, "t")
    shutil.copytree(title, root)
    spoil(Title(root))
    r, found, lines = verify(root, *options)
    assert r.code == 1 and r.reason == "VERIFY_FAILED", "exit %d %s: %s" % (r.code, r.reason, r.err[-300:])
    missing = set(rules) - found
    assert not missing, "%s was not found, but: %s" % (", ".join(sorted(missing)), "; ".join(lines[:4]))


def main():
    groups = sys.argv[1:] or ["good", *CASES, "source", "late"]
    cases = Cases("verify")
    made = {}
    folder = os.path.join(os.environ.get("TMPDIR", "/tmp"), "vodpipe-verify-%d" % os.getpid())
    os.makedirs(folder)
    try:
        if groups != ["late"]:
            cases.run("making the titles", lambda _: made.update(make_titles(folder)))
        for name, (title, source) in made.items() if "good" in groups else ():
            cases.run("%s is good" % name, good_title, title)
            cases.run("%s is good, decoded" % name, good_title, title, "--decode")
        for group in [g for g in CASES if g in groups]:
            for name, title, rules, spoil in CASES[group]:
                if title in made:
                    cases.run("%s: %s" % (title, name), damaged, made[title][0], rules, spoil,
                              ["--decode"] if group == "decode" else [])
        if "source" in groups and made:
            cases.run("usage of --source", usage, *made["ts"])
        for name, rule, title, options in SOURCES if "source" in groups and made else ():
            cases.run("%s against %s" % (title, name), against, *made[title], rule, options)
        for name, rule, options in MADE if "source" in groups and made else ():
            cases.run("made of: " + name, other, made["ts"][1], rule, options)
        if "source" in groups:
            cases.run("made of: two languages", two_languages)
        if "late" in groups:
            long = {}
            cases.run("making the long title", lambda _: long.update(it=make_long(folder)))
            for name, rule, options in LATE if long else ():
                cases.run("long against %s" % name, against, *long["it"], rule, options)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return cases.end()


if __name__ == "__main__":
    sys.exit(main())
