#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""How the vodpipe tool behaves (docs/cli.md): usage, exit statuses, streams, refusals, events, stopping and going on,
plan/run/finish, leftovers.

    test_cli.py GROUP...     groups: usage refusals results events stop tasks names
"""
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time

sys.dont_write_bytecode = True

from clips import AAC, HOSTILE, X264, clip as define, lavfi, make, run as make_clip, test_video  # noqa: E402
from titles import BIN, BUILD, CLIPS, FAST, FULL, SHARED, Cases, Skip, clip, good, tool, tree  # noqa: E402

LADDER = ["--ladder", "240p"]


@define("spans.mp4", "36 s of noise: long enough to be stopped in its middle, three spans")
def _(to, dep):
    make_clip(lavfi(test_video("426x240", "25", "36", ",noise=alls=20:allf=t"), "sine=d=36:r=48000") + X264
              + ["-g", "100"] + AAC, to)


def equal(got, want, what="value"):
    assert got == want, "%s is %r, not %r" % (what, got, want)


def fails(code, reason, *args):
    r = tool(*args)
    equal(r.code, code, "exit status of %s (%s)" % (" ".join(map(str, args)), r.err[-300:]))
    if reason:
        equal(r.reason, reason, "reason of %s" % " ".join(map(str, args)))
    return r


def unchanged(folder, before):
    now = tree(folder) if isinstance(before, dict) and all(isinstance(v, str) for v in before.values()) else times(folder)
    differ = sorted(k for k in set(now) | set(before) if now.get(k) != before.get(k))
    assert not differ, "changed: %s" % ", ".join(differ[:8])


def times(folder):
    return {p: os.stat(os.path.join(folder, p)).st_mtime_ns for p in tree(folder)}


def same_tree(a, b):
    assert tree(a), "nothing in " + a
    unchanged(b, tree(a))


def nothing_left(out):
    assert not os.path.exists(os.path.join(out, ".vodpipe")), "the work folder is still there: %s" % sorted(
        tree(os.path.join(out, ".vodpipe")))
    left = [p for p in tree(out) if ".tmp-" in p]
    assert not left, "temporary files are left: %s" % left


# ---- usage ----

def help_and_version(folder):
    r = tool("--help")
    equal(r.code, 0)
    for name in ("probe", "publish", "package", "plan", "run", "finish", "verify", "put", "presign"):
        assert name in r.out, "--help does not name %s" % name
        h = tool(name, "--help")
        equal(h.code, 0)
        assert h.out.startswith("usage: vodpipe " + name) and not h.err, h.out[:80]
        for hidden in ("hevc", "av1"):
            assert hidden not in h.out, "%s --help names %s, which is not built" % (name, hidden)
        for line in h.out.splitlines()[2:]:
            assert line.startswith("  --"), line
    v = tool("--version")
    equal(v.code, 0)
    assert re.match(r"vodpipe \d+\.\d+\.\d+ \(ABI \d+\)\n", v.out), v.out


USAGE = [
    ([], "usage"), (["nonsense"], "nonsense"), (["--nonsense"], "nonsense"), (["put", "a", "b"], "s3://"),
    (["presign", "get", "x"], "s3://"), (["probe"], "usage"), (["probe", "a", "b"], "usage"),
    (["publish", "a"], "usage"), (["publish", "a", "b", "c"], "usage"), (["package", "a"], "usage"),
    (["verify"], "usage"), (["run", "--work", "w"], "--task"), (["run", "--task", "next"], "--work"),
    (["finish"], "--work"), (["plan", "a", "b"], "--work"), (["publish", "a", "b", "--nonsense"], "--nonsense"),
    (["publish", "a", "b", "-x"], "'-x'"), (["probe", "a", "--ladder", "auto"], "--ladder"),
    (["publish", "a", "b", "--segment"], "needs a value"), (["publish", "a", "b", "--segment", "0"], "out of range"),
    (["publish", "a", "b", "--segment", "6s"], "not a number"), (["publish", "a", "b", "--segment", "-6"], "not a number"),
    (["publish", "a", "b", "--segment", "1e1"], "not a number"), (["publish", "a", "b", "--segment", ""], "not a number"),
    (["publish", "a", "b", "--gop", "99999999999999999999"], "not a number"),
    (["publish", "a", "b", "--gop", "4"], "multiple"), (["publish", "a", "b", "--segment", "5"], "multiple"),
    (["publish", "a", "b", "--format", "mkv"], "--format"), (["publish", "a", "b", "--format", ""], "--format"),
    (["publish", "a", "b", "--format", "cmaf|ts"], "--format"),
    (["publish", "a", "b", "--player=1"], "takes no value"), (["publish", "a", "b", "--crf", "23"], "--rate crf"),
    (["publish", "a", "b", "--rate", "crf", "--crf", "52"], "out of range"),
    (["publish", "a", "b", "--single-file", "--format", "ts"], "--single-file"),
    (["publish", "a", "b", "--max-fps", "0"], "out of range"), (["publish", "a", "b", "--jobs", "two"], "not a number"),
    (["publish", "a", "b", "--audio-bitrate", "1"], "out of range"),
    (["publish", "a", "b", "--ladder", "nonsense"], "--ladder"), (["publish", "a", "b", "--progress", "loud"], "--progress"),
    (["publish", "", "b"], "empty"), (["publish", "a", "b", "--work", ""], "--work"),
    (["publish", "a", "b", "--encrypt", "cenc", "--keys", "k", "--format", "both"], "cmaf only"),
    (["publish", "a", "b", "--encrypt", "all"], "encrypt"), (["publish", "a", "b", "--keys=k"], "with --encrypt"),
    (["package", "a", "b", "--clear-lead", "6"], "with --encrypt"), (["verify", "a", "--keys", "k"], "keys"),
    (["plan", "a", "b", "--work", "w", "--encrypt", "cbcs", "--key-rotation", "0"], "key-rotation"),
    # designed, not built
    (["publish", "a", "b", "--vcodec", "hevc"], "not built yet"), (["publish", "a", "b", "--vcodec", "av1"], "not built yet"),
    # more of these in test_s3_cli.py
    (["publish", "a", "b", "--endpoint", "x"], "s3://"), (["publish", "a", "https://h/b"], "OUT"),
    (["finish", "--work", "https://h/w"], "--work"),
]


def wrong_usage(folder):
    os.chdir(folder)
    for args, word in USAGE:
        r = tool(*args)
        equal(r.code, 2, "exit status of %r" % args)
        assert r.out == "", "%r prints on stdout: %s" % (args, r.out)
        assert word in r.err, "%r says %r" % (args, r.err)
        assert r.err.split("\n")[0].startswith(("vodpipe: ", "usage: vodpipe")), r.err
    equal(os.listdir(folder), [], "what wrong usage leaves")


def wrong_settings(folder):
    """Settings that only the library can judge are wrong usage too, and leave nothing."""
    src, out = clip("base.mp4"), os.path.join(folder, "o")
    for args in (["--ladder", "1081p"], ["--ladder", "360p,360p"], ["--preset", "nonsense"], ["--prefix", "../x"],
                 ["--prefix", "a/b"]):
        for command in (["publish", src, out], ["plan", src, out, "--work", os.path.join(folder, "w")]):
            fails(2, None, *command, *args)
            equal(os.listdir(folder), [], "what %s leaves" % args)
    bad = os.path.join(folder, "bad.json")
    for text in ("", "[]", "{", '{"rungs":[]}', '{"rungs":[{"name":"a","height":100}]}', '{"vodpipe":1,"rung":[]}',
                 '{"rungs":[{"name":"a","height":100,"kbps":100,"colour":1}]}',
                 '{"rungs":[{"name":"../a","height":100,"kbps":100}]}', '{"vodpipe":2,"rungs":[]}'):
        with open(bad, "w") as f:
            f.write(text)
        r = fails(1, None, "publish", src, out, "--ladder", bad)
        assert r.reason in ("INPUT_CORRUPT", "VERSION"), (text, r.err)
        assert not os.path.exists(out), text
    fails(1, "IO_ERROR", "publish", src, out, "--ladder", folder)
    env = dict(os.environ, VODPIPE_LOG="loud")
    equal(subprocess.run([BIN, "probe", src], env=env, capture_output=True).returncode, 2, "VODPIPE_LOG=loud")


def no_standard_output(folder):
    src = clip("base.mp4")
    with open("/dev/full", "w") as full:
        for args in (["probe", "--json", src], ["--help"], ["publish", src, os.path.join(folder, "o")] + FAST):
            r = subprocess.run([BIN] + args, stdout=full, stderr=subprocess.PIPE, encoding="utf-8")
            equal(r.returncode, 1, "exit status with a full disk")
            assert "IO_ERROR" in r.stderr.strip().split("\n")[-1], r.stderr


# ---- refusals ----

REFUSED = [("zero.mp4", "INPUT_EMPTY"), ("random.mp4", "INPUT_UNRECOGNISED"), ("no_moov.mp4", "INPUT_NO_MOOV"),
           ("cut.mkv", "INPUT_TRUNCATED"), ("cut_faststart.mp4", "INPUT_TRUNCATED"),
           ("disguised_hls.mp4", "INPUT_FORBIDDEN_FORMAT"), ("disguised_concat.mp4", "INPUT_FORBIDDEN_FORMAT"),
           ("disguised_dash.mp4", "INPUT_FORBIDDEN_FORMAT"), ("encrypted.mp4", "INPUT_ENCRYPTED"),
           ("still.png", "NOT_A_VIDEO"), ("bomb.gif", None)]


def refused(folder, name, reason):
    src = clip(name)
    out, work = os.path.join(folder, "o"), os.path.join(folder, "w")
    r = tool("probe", "--full", "--json", src)
    equal(r.code, 1, "exit status of probe (%s)" % r.out)
    answer = json.loads(r.out)
    equal(list(answer), ["vodpipe", "refused"])
    equal(sorted(answer["refused"]), ["reason", "text"])
    equal(answer["refused"]["reason"], r.reason, "reason in JSON")
    if reason:
        equal(r.reason, reason)
    for command in (["publish", src, out], ["plan", src, out, "--work", work], ["package", src, out]):
        got = fails(1, None, *command)
        if command[0] != "package":
            equal(got.reason, r.reason, "reason of " + command[0])
        equal(os.listdir(folder), [], "what %s leaves" % command[0])


def refused_places(folder):
    src = clip("base.mp4")
    out = os.path.join(folder, "o")
    fails(1, "IO_ERROR", "publish", os.path.join(folder, "none.mp4"), out)
    fails(1, "IO_ERROR", "probe", os.path.join(folder, "none.mp4"))
    equal(os.listdir(folder), [])
    pipe = os.path.join(folder, "pipe")
    os.mkfifo(pipe)
    s = socket.socket(socket.AF_UNIX)
    s.bind(os.path.join(folder, "sock"))
    for path in (pipe, os.path.join(folder, "sock"), folder, "/dev/null", "/dev/zero"):
        r = tool("probe", path, limit=10)
        assert r.code in (1, 2) and r.out == "", (path, r.code)
        r = tool("publish", path, out, limit=10)
        assert r.code in (1, 2) and not os.path.exists(out), (path, r.code, r.err)
    fails(1, "IO_ERROR", "verify", out)
    assert not os.path.exists(out)
    fails(1, "IO_ERROR", "finish", "--work", out)
    fails(1, "IO_ERROR", "run", "--task", "next", "--work", out)
    assert not os.path.exists(out)
    # a file where a folder should be
    plain = os.path.join(folder, "plain")
    open(plain, "w").write("x")
    r = tool("publish", src, plain, *FAST)
    assert r.code in (1, 2), r.err
    equal(open(plain).read(), "x")


def foreign_output(folder):
    src, out = clip("base.mp4"), os.path.join(folder, "o")
    os.makedirs(os.path.join(out, "photos"))
    open(os.path.join(out, "photos", "a.jpg"), "w").write("mine")
    before = tree(out)
    fails(1, "OUTPUT_EXISTS", "publish", src, out, *FAST)
    unchanged(out, before)
    equal(sorted(os.listdir(out)), ["photos"])
    fails(1, "OUTPUT_EXISTS", "plan", src, out, "--work", os.path.join(folder, "w"), *FAST)
    unchanged(out, before)
    assert not os.path.exists(os.path.join(folder, "w")), "a refused plan leaves its work folder"
    good("publish", src, out, "--force", *FAST)
    equal(open(os.path.join(out, "photos", "a.jpg")).read(), "mine")


def foreign_work(folder):
    """--work must never cost a file that is not work."""
    src, out = clip("base.mp4"), os.path.join(folder, "o")
    docs = os.path.join(folder, "docs")
    os.mkdir(docs)
    open(os.path.join(docs, "thesis.txt"), "w").write("mine")
    for command in (["publish", src, out], ["plan", src, out]):
        fails(1, "OUTPUT_EXISTS", *command, "--work", docs, *FAST)
        equal(open(os.path.join(docs, "thesis.txt")).read(), "mine")
        assert not os.path.exists(out)
    good("publish", src, out, *FAST)
    before = tree(out)
    fails(1, "OUTPUT_EXISTS", "publish", src, out, "--work", out, "--preset", "superfast")
    unchanged(out, before)


def same_prefix(folder):
    out = os.path.join(folder, "o")
    good("publish", clip("base.mp4"), out, "--prefix", "v1", *FAST)
    before = tree(out)
    fails(1, "OUTPUT_EXISTS", "publish", clip("base.mp4"), out, "--prefix", "v1", "--preset", "superfast")
    unchanged(out, before)
    good("publish", clip("base.mp4"), out, "--prefix", "v1", "--preset", "superfast", "--force")


# ---- results ----

PROBE_FIELDS = {"vodpipe", "format", "size", "duration_us", "bit_rate", "video", "audio", "text", "other",
                "start_skew_us", "complete", "warnings"}


def probe_result(folder):
    src = clip("motion.mp4")
    r = good_probe(src, "--full", "--json")
    assert r.out.count("\n") == 1 and r.err == "", r.err
    p = json.loads(r.out)
    assert set(p) <= PROBE_FIELDS, sorted(set(p) - PROBE_FIELDS)
    equal((p["vodpipe"], p["format"], p["size"], p["complete"]), (1, "mp4", os.path.getsize(src), True))
    v = p["video"][0]
    equal((v["codec"], v["width"], v["height"], v["frame_rate"], v["frames"], v["variable_frame_rate"]),
          ("h264", 640, 360, "25/1", 300, False))
    head = json.loads(good_probe(src, "--json").out)
    assert "complete" not in head and "frames" not in head["video"][0], "a probe without --full claims too much"
    equal(head["video"][0].get("variable_frame_rate", False), False, "variable_frame_rate without --full")
    equal(head["video"][0].get("frame_rate", "25/1"), "25/1", "frame_rate without --full")
    text = good_probe(src).out
    assert "640x360" in text and "h264" in text and "48000 Hz" in text, text


def good_probe(*args):
    r = tool("probe", *args)
    equal(r.code, 0, "exit status of probe (%s)" % r.err)
    return r


def publish_result(folder):
    src, out = clip("base.mp4"), os.path.join(folder, "o")
    r = good("publish", src, out, "--player", "--format", "both", *FAST)
    equal(r.out.split(), [os.path.join(out, n) for n in ("master.m3u8", "master-ts.m3u8", "manifest.mpd", "player.html")])
    nothing_left(out)
    page = open(os.path.join(out, "player.html"), encoding="utf-8").read()
    assert "<video" in page and "master.m3u8" in page
    before = times(out)
    again = good("publish", src, out, "--player", "--format", "both", *FAST)
    assert "ALREADY_DONE" in again.err, again.err
    unchanged(out, before)
    nothing_left(out)
    shutil.copy(src, os.path.join(folder, "copy.mp4"))
    assert "ALREADY_DONE" in good("publish", os.path.join(folder, "copy.mp4"), out, "--player", "--format", "both",
                                  *FAST).err, "a copy of the source is the same source"
    good("publish", src, out, "--preset", "superfast")
    versions = [d for d in os.listdir(out) if os.path.isdir(os.path.join(out, d))]
    equal(len(versions), 2, "versions after other settings")
    equal(sorted(n for n in os.listdir(out) if n not in versions), ["manifest.mpd", "master.m3u8", "presentation.json"])
    good("publish", src, out, "--prune", "--preset", "faster")
    equal(len([d for d in os.listdir(out) if os.path.isdir(os.path.join(out, d))]), 1, "versions after --prune")


def verify_result(folder):
    out = os.path.join(folder, "o")
    good("publish", clip("base.mp4"), out, *FAST)
    r = tool("verify", out)
    equal(r.code, 0, r.out + r.err)
    assert re.search(r"^\d+ checks, 0 failed$", r.out, re.M), r.out
    j = tool("verify", out, "--json", "--decode")
    equal(j.code, 0, j.out + j.err)
    report = json.loads(j.out)
    equal(set(report), {"vodpipe", "checks", "failed", "warnings"})
    assert report["checks"] > 10 and not report["failed"]
    segment = next(p for p in sorted(tree(out)) if p.endswith(".m4s"))
    with open(os.path.join(out, segment), "r+b") as f:
        f.truncate(os.path.getsize(os.path.join(out, segment)) // 2)
    bad = fails(1, "VERIFY_FAILED", "verify", out, "--json")
    report = json.loads(bad.out)
    assert any(segment in f["where"] for f in report["failed"]), report
    for f in report["failed"]:
        equal(set(f), {"rule", "where", "text"})
    assert segment in fails(1, "VERIFY_FAILED", "verify", out).out


def ladder_file(folder):
    path, out = os.path.join(folder, "l.json"), os.path.join(folder, "o")
    with open(path, "w") as f:
        json.dump({"rungs": [{"name": "big", "height": 72, "kbps": 300}, {"name": "small", "height": 36, "kbps": 90}],
                   "audio": [{"codec": "aac", "channels": 2, "kbps": 64}]}, f)
    good("publish", clip("base.mp4"), out, "--ladder", path, *FAST)
    tracks = {t["name"]: t for t in json.load(open(os.path.join(out, "presentation.json")))["tracks"]}
    equal((tracks["big"]["height"], tracks["small"]["height"]), (72, 36))
    work = os.path.join(folder, "w")
    plan = tool("plan", clip("base.mp4"), out, "--work", work, "--ladder", path, *FAST)
    equal(plan.code, 0, plan.err)
    equal(json.loads(plan.out)["version"], json.load(open(os.path.join(out, "presentation.json")))["version"])


def options_reach(folder):
    """Each setting changes what it should."""
    src, out = clip("two_languages.mp4"), os.path.join(folder, "o")
    good("publish", src, out, "--audio", "fr", "--audio-bitrate", "64", "--max-fps", "15", "--segment=2", "--gop=1", "--prefix",
         "none", "--vcodec", "h264", "--rate", "crf", "--crf", "30.5", "--jobs", "1", "--memory", "2000", *FAST)
    p = json.load(open(os.path.join(out, "presentation.json")))
    audio = [t for t in p["tracks"] if t["kind"] == "audio"]
    video = [t for t in p["tracks"] if t["kind"] == "video"]
    equal([t["language"] for t in audio], ["fr"])
    equal([t["frame_rate"] for t in video], ["15/1"])
    equal(len(video[0]["segments"]), 2)
    assert os.path.isdir(os.path.join(out, "video")) and p["version"] == "" or "version" not in p or p["version"]
    assert os.path.isdir(os.path.join(out, "video")), os.listdir(out)


# ---- events ----

STAGES = ["scan", "analyse", "solve", "audio", "encode", "package", "manifest", "finish"]
FIELDS = {
    "stage": ({"stage"}, set()),
    "progress": ({"stage", "done", "total", "unit", "permille"}, {"fps", "eta_us", "rungs"}),
    "warning": ({"reason", "text"}, {"time_us"}),
    "object": ({"key", "kind", "bytes", "crc32c"}, set()),
    "done": ({"version", "objects", "bytes", "cpu_us", "wall_us"}, {"reason"}),
    "failed": ({"reason", "op", "text", "retryable"}, set()),
    "suspended": (set(), {"work"}),
    "canceled": (set(), set()),
}
KINDS = {"init", "segment", "playlist", "master", "image", "key", "marker", "other"}


def read_events(text, last=None):
    events = [json.loads(line) for line in text.splitlines()]
    permille, stage = 0, -1
    for i, e in enumerate(events):
        assert e["event"] in FIELDS, e
        must, may = FIELDS[e["event"]]
        names = set(e) - {"event"}
        assert must <= names <= must | may, "fields of %r" % e
        if "stage" in e:
            assert STAGES.index(e["stage"]) >= stage or e["event"] == "progress", "stages run back: %r" % e
            if e["event"] == "stage":
                stage = STAGES.index(e["stage"])
        if e["event"] == "progress":
            assert permille <= e["permille"] <= 1000, "permille falls: %r" % e
            permille = e["permille"]
            for r in e.get("rungs", []):
                equal(set(r), {"name", "kbps", "bytes"})
        if e["event"] == "object":
            assert e["kind"] in KINDS and re.fullmatch(r"[0-9a-f]{8}", e["crc32c"]) and e["bytes"] >= 0, e
        ends = e["event"] in ("done", "failed", "suspended", "canceled")
        equal(ends, i == len(events) - 1, "only the last event ends the stream; event %d %r" % (i, e))
    if last:
        equal(events[-1]["event"], last)
    return events


def publish_events(folder):
    src, out = clip("motion.mp4"), os.path.join(folder, "o")
    r = tool("publish", src, out, "--progress", "json", *FAST)
    equal(r.code, 0, r.err)
    events = read_events(r.out, "done")
    stages = [e["stage"] for e in events if e["event"] == "stage"]
    equal(stages, ["scan", "analyse", "solve", "audio", "encode", "manifest", "finish"])
    objects = {e["key"]: e["bytes"] for e in events if e["event"] == "object"}
    files = {p: os.path.getsize(os.path.join(out, p)) for p in tree(out)}
    equal(objects, files, "objects of the events and files")
    equal(events[-1]["objects"], len(files))
    equal(events[-1]["bytes"], sum(files.values()))
    equal([e["key"] for e in events if e["event"] == "object"][-1], "master.m3u8", "the last object")
    rungs = [e["rungs"] for e in events if e.get("rungs")]
    assert rungs and {r["name"] for r in rungs[-1]} == {"360p", "240p"}, rungs[-1:]
    again = tool("publish", src, out, "--progress", "json", *FAST)
    equal(read_events(again.out, "done")[-1]["reason"], "ALREADY_DONE")
    bad = tool("publish", clip("zero.mp4"), os.path.join(folder, "p"), "--progress", "json")
    equal(bad.code, 1)
    end = read_events(bad.out, "failed")[-1]
    equal((end["reason"], end["retryable"]), ("INPUT_EMPTY", False))
    none = tool("publish", os.path.join(folder, "no"), os.path.join(folder, "p"), "--progress", "json")
    equal(read_events(none.out, "failed")[-1]["reason"], "IO_ERROR")


def package_events(folder):
    src, out = clip("motion.mp4"), os.path.join(folder, "o")
    r = tool("package", src, out, "--progress", "json", "--format", "both")
    equal(r.code, 0, r.err)
    events = read_events(r.out, "done")
    assert "package" in [e["stage"] for e in events if e["event"] == "stage"]
    equal({e["key"] for e in events if e["event"] == "object"}, set(tree(out)))
    nothing_left(out)


def task_events(folder):
    src, out, work = clip("motion.mp4"), os.path.join(folder, "o"), os.path.join(folder, "w")
    r = tool("plan", src, out, "--work", work, "--progress", "json", *FAST)
    equal(r.code, 0, r.err)
    lines = r.out.splitlines()
    tasks = [t["task"] for t in json.loads(lines[-1])["tasks"]]
    equal([json.loads(x)["event"] for x in lines[:-1] if json.loads(x)["event"] != "warning"], ["stage", "stage"])
    for name in tasks:
        r = tool("run", "--work", work, "--task", "next", "--progress", "json")
        equal(r.code, 0, r.err)
        *events, last = r.out.splitlines()
        assert last in tasks, last
        read_events("\n".join(events), "done")
    equal(tool("run", "--work", work, "--task", "next").out, "none\n")
    r = tool("finish", "--work", work, "--progress", "json")
    equal(r.code, 0, r.err)
    events = read_events(r.out, "done")
    equal(events[-1]["version"], os.listdir(out)[0] if len(os.listdir(out)) == 1 else events[-1]["version"])
    equal([e["key"] for e in events if e["event"] == "object"][-1], "master.m3u8")


# ---- stopping and going on ----

def start(*args, **named):
    return subprocess.Popen([BIN] + [str(a) for a in args], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, encoding="utf-8", **named)


def finished(work):
    folder = os.path.join(work, "result")
    return [n for n in os.listdir(folder) if ".tmp-" not in n] if os.path.isdir(folder) else []


def stop_when(process, condition, number, limit=300):
    """Seconds from the signal to the end, once condition holds."""
    until = time.monotonic() + limit
    while not condition():
        assert process.poll() is None, "it ended before it could be stopped"
        assert time.monotonic() < until, "nothing to stop within %d s" % limit
        time.sleep(0.01)
    process.send_signal(number)
    began = time.monotonic()
    out, err = process.communicate(timeout=60)
    return time.monotonic() - began, out, err.strip()


SLOW = ["--preset", "medium", "--ladder", "240p", "--jobs", "1"]


def suspend(folder, number):
    src, out = clip("spans.mp4"), os.path.join(folder, "o")
    work = os.path.join(out, ".vodpipe")
    p = start("publish", src, out, "--progress", "json", *SLOW)
    took, text, err = stop_when(p, lambda: any(n.startswith("video") for n in finished(work)), number)
    equal(p.returncode, 3, "exit status (%s)" % err)
    assert took < 3 * (1 if not os.environ.get("ASAN_OPTIONS") else 5), "stopping took %.1f s" % took
    last = err.split("\n")[-1]
    assert re.match(r"vodpipe: publish: CANCELED: ", last) and work in last and "same command" in last, last
    before = read_events(text, "suspended")
    equal(before[-1], {"event": "suspended", "work": work})
    done = finished(work)
    assert done and not any(os.path.exists(os.path.join(out, n)) for n in ("master.m3u8", "manifest.mpd")), "half a title"
    stamps = {p: os.stat(os.path.join(out, p)).st_mtime_ns for p in tree(out) if p.endswith(".m4s")}
    r = tool("publish", src, out, "--progress", "json", *SLOW)
    equal(r.code, 0, r.err)
    events = read_events(r.out, "done")
    reached = [e["permille"] for e in before if e["event"] == "progress"]
    first = [e["permille"] for e in events if e["event"] == "progress"][0]
    assert first > 0, "progress begins at 0 again after %d" % max(reached)
    again = {e["key"] for e in events if e["event"] == "object"}
    version = events[-1]["version"]
    for name in done:
        if name.startswith("video-"):
            kept = [k for k in stamps if k not in again]
            assert kept, "all segments were made again"
    nothing_left(out)
    assert os.path.isdir(os.path.join(out, version))
    if number == signal.SIGINT or FULL:
        whole = os.path.join(folder, "whole")
        good("publish", src, whole, *SLOW[:-2])
        same_tree(out, whole)


def second_signal(folder):
    """A second signal ends the process at once; nothing is visible, and the next run goes on."""
    src, out = clip("spans.mp4"), os.path.join(folder, "o")
    p = start("publish", src, out, "--progress", "json", *SLOW)
    until = time.monotonic() + 60
    while not os.path.isdir(os.path.join(out, ".vodpipe")) and time.monotonic() < until:
        time.sleep(0.01)
    time.sleep(0.3)
    p.send_signal(signal.SIGINT)
    p.send_signal(signal.SIGTERM)
    _, err = p.communicate(timeout=20)
    assert p.returncode in (3, -signal.SIGTERM, -signal.SIGINT), (p.returncode, err)
    assert not os.path.exists(os.path.join(out, "master.m3u8"))
    good("publish", src, out, *SLOW)
    nothing_left(out)
    equal(tool("verify", out).code, 0)


def stop_others(folder):
    """Commands without work to keep stop too."""
    src = clip("spans.mp4")
    work = os.path.join(folder, "w")
    equal(tool("plan", src, os.path.join(folder, "o"), "--work", work, *SLOW[:-2]).code, 0)
    p = start("run", "--work", work, "--task", "video-0001" if FULL else "next")
    began = time.monotonic()
    while time.monotonic() < began + 30 and not os.path.isdir(os.path.join(work, "lease")):
        time.sleep(0.01)
    time.sleep(0.5)
    if p.poll() is None:
        took, _, err = stop_when(p, lambda: True, signal.SIGTERM)
        assert p.returncode in (0, 3), (p.returncode, err)
        assert took < 15, took
    equal(tool("run", "--work", work, "--task", "next").code, 0)


def already_running(folder):
    src, out = clip("spans.mp4"), os.path.join(folder, "o")
    p = start("publish", src, out, *SLOW)
    try:
        until = time.monotonic() + 60
        while not os.path.isdir(os.path.join(out, ".vodpipe", "lease")) and time.monotonic() < until:
            time.sleep(0.01)
        time.sleep(0.3)
        fails(1, "ALREADY_RUNNING", "publish", src, out, *SLOW)
        assert p.poll() is None, "the first run ended"
        assert os.path.isdir(os.path.join(out, ".vodpipe")), "the second run took the first one's work away"
    finally:
        p.kill()
        p.communicate()
    # the lease ends with its holder
    good("publish", src, out, "--preset", "ultrafast", *LADDER)
    nothing_left(out)


# ---- plan, run, finish ----

def two_rungs(folder):
    path = os.path.join(folder, "ladder.json")
    with open(path, "w") as f:
        json.dump({"rungs": [{"name": "big", "height": 144, "kbps": 300}, {"name": "small", "height": 72, "kbps": 90}]}, f)
    return path


def in_order(tasks):
    """Last tasks first, as far as their needs allow."""
    done, left = [], list(reversed(tasks))
    while left:
        t = next(t for t in left if all(n in done for n in t.get("needs", [])))
        done.append(t["task"])
        left.remove(t)
    return done


def tasks_equal_publish(folder, form):
    src = clip("spans.mp4")
    out, work, whole = (os.path.join(folder, n) for n in ("o", "w", "whole"))
    args = FAST + ["--ladder", two_rungs(folder)] + form
    r = tool("plan", src, out, "--work", work, *args)
    equal(r.code, 0, r.err)
    left = [n for n in tree(out) if os.path.basename(n) != ".vodpipe-version"]
    assert not left, "plan wrote into OUT: %s" % left
    plan = json.loads(r.out)
    equal(set(plan), {"vodpipe", "plan", "version", "tasks"})
    names = [t["task"] for t in plan["tasks"]]
    assert len(names) > 2 and len(set(names)) == len(names), names
    for t in plan["tasks"]:
        assert {"vodpipe", "plan", "task", "kind", "estimate"} <= set(t) <= {"vodpipe", "plan", "task", "kind", "needs",
                                                                             "estimate"}, t
        equal(set(t["estimate"]), {"cpu_us", "memory_bytes", "threads"})
    job = json.load(open(os.path.join(work, "job.json")))
    equal((job["input"], job["output"]), (os.path.abspath(src), out))
    equal(tool("plan", src, out, "--work", work, *args).out, r.out, "the plan made twice")
    missing = fails(1, "TASKS_MISSING", "finish", "--work", work)
    equal(sorted(missing.out.split()), sorted(names))
    fails(2, None, "run", "--work", work, "--task", "nonsense")
    for t in plan["tasks"]:
        if t.get("needs"):
            fails(1, "TASKS_MISSING", "run", "--work", work, "--task", t["task"])
    # backwards, one of them twice, from another folder
    os.chdir("/")
    for name in in_order(plan["tasks"]):
        equal(tool("run", "--work", work, "--task", name).out, name + "\n")
    equal(tool("run", "--work", work, "--task", names[0]).out, names[0] + "\n")
    equal(tool("run", "--work", work, "--task", "next").out, "none\n")
    assert not os.path.exists(os.path.join(out, "master.m3u8")), "visible before finish"
    r = tool("finish", "--work", work)
    equal(r.code, 0, r.err)
    assert os.path.join(out, "master.m3u8") in r.out
    assert not os.path.exists(work), "the work folder is left: %s" % sorted(tree(work))
    good("publish", src, whole, *args)
    same_tree(out, whole)
    equal(tool("verify", out).code, 0)


def moved_mounts(folder):
    src = clip("base.mp4")
    work, out, here = (os.path.join(folder, n) for n in ("w", "o", "here"))
    moved = os.path.join(folder, "moved.mp4")
    shutil.copy(src, moved)
    equal(tool("plan", moved, out, "--work", work, *FAST).code, 0)
    os.rename(moved, os.path.join(folder, "elsewhere.mp4"))
    fails(1, "IO_ERROR", "run", "--work", work, "--task", "next")
    fails(1, "SOURCE_CHANGED", "run", "--work", work, "--task", "next", "--input", clip("motion.mp4"), "--output", here)
    while True:
        r = tool("run", "--work", work, "--task", "next", "--input", os.path.join(folder, "elsewhere.mp4"), "--output", here)
        equal(r.code, 0, r.err)
        if r.out == "none\n":
            break
    equal(tool("finish", "--work", work, "--output", here).code, 0)
    assert not os.path.exists(os.path.join(out, "master.m3u8")) and os.path.exists(os.path.join(here, "master.m3u8"))


def plan_mismatch(folder):
    work, out = os.path.join(folder, "w"), os.path.join(folder, "o")
    equal(tool("plan", clip("base.mp4"), out, "--work", work, *FAST).code, 0)
    before, place = tree(work), tree(out)
    fails(1, "PLAN_MISMATCH", "plan", clip("motion.mp4"), out, "--work", work, *FAST)
    unchanged(work, before)
    unchanged(out, place)
    job = os.path.join(work, "job.json")
    text = open(job).read()
    for bad in ("", "[]", "{}", text.replace('"vodpipe": 1', '"vodpipe": 2'), text.replace('"input"', '"inputs"')):
        with open(job, "w") as f:
            f.write(bad)
        r = fails(1, None, "run", "--work", work, "--task", "next")
        assert r.reason in ("INPUT_CORRUPT", "VERSION"), (bad, r.err)
    with open(job, "w") as f:
        f.write(text)
    with open(os.path.join(work, "plan.json"), "r+") as f:
        f.truncate(100)
    fails(1, "INPUT_CORRUPT", "run", "--work", work, "--task", "next")
    # planning again mends it, and only the same source and settings find their tasks done
    equal(tool("plan", clip("base.mp4"), out, "--work", work, *FAST).code, 0)
    good("run", "--work", work, "--task", "next")


def any_jobs(folder):
    src = clip("spans.mp4")
    outs = []
    for jobs in ("1", "4"):
        outs.append(os.path.join(folder, jobs))
        good("publish", src, outs[-1], "--jobs", jobs, "--ladder", two_rungs(folder), "--format", "both", *FAST)
    same_tree(*outs)


def shared_tasks(folder):
    """Several processes take tasks of one work folder."""
    src = clip("spans.mp4")
    work, out, whole = (os.path.join(folder, n) for n in ("w", "o", "whole"))
    names = [t["task"] for t in json.loads(tool("plan", src, out, "--work", work, *FAST, *LADDER).out)["tasks"]]
    loop = 'while t=$("$0" run --work "$1" --task next --jobs 1) && [ "$t" != none ]; do echo "$t"; done'
    crew = [subprocess.Popen(["sh", "-c", loop, BIN, work], stdout=subprocess.PIPE, encoding="utf-8") for _ in range(3)]
    ran = sum((p.communicate(timeout=300)[0].split() for p in crew), [])
    equal(sorted(ran), sorted(names), "tasks that were run")
    equal(tool("finish", "--work", work).code, 0)
    good("publish", src, whole, *FAST, *LADDER)
    same_tree(out, whole)


# ---- names ----

def hostile_name(folder, key):
    """A path is a path, whatever it looks like; and what it looks like does not reach the title."""
    source = os.path.join(os.fsencode(CLIPS), HOSTILE[key])
    make(key, CLIPS)
    os.chdir(CLIPS)
    out = os.path.join(os.fsencode(folder), HOSTILE[key])
    for args in ([b"probe", b"--json", b"--", HOSTILE[key]], [b"probe", b"--full", source],
                 [b"publish", b"--preset", b"ultrafast", b"--progress", b"json", b"--", HOSTILE[key], out],
                 [b"verify", b"--json", out]):
        r = subprocess.run([os.fsencode(BIN)] + args, capture_output=True, timeout=120)
        equal(r.returncode, 0, "exit status of %r (%r)" % (args, r.stderr))
        if b"json" in args or b"--json" in args:
            for line in r.stdout.decode("utf-8").splitlines():
                json.loads(line)
    work = os.path.join(os.fsencode(folder), b"w" + HOSTILE[key])
    other = os.path.join(os.fsencode(folder), b"o" + HOSTILE[key])
    for args in ([b"plan", b"--preset", b"ultrafast", b"--work", work, b"--", HOSTILE[key], other],
                 *[[b"run", b"--task", b"next", b"--work", work]] * 3,
                 [b"finish", b"--work", work]):
        r = subprocess.run([os.fsencode(BIN)] + args, capture_output=True, timeout=120)
        equal(r.returncode, 0, "exit status of %r (%r)" % (args, r.stderr))
    same_tree(os.fsdecode(out), os.fsdecode(other))
    gone = subprocess.run([os.fsencode(BIN), b"probe", b"--json", b"--", HOSTILE[key] + b"-not-there"], capture_output=True)
    equal(gone.returncode, 1)
    json.loads(gone.stdout.decode("utf-8"))
    equal(gone.stderr.count(b"\n"), 1, "lines of one failure")


def libav_is_quiet(folder):
    """FFmpeg's own lines come only when they are asked for, and the last line stays ours."""
    src, out = clip("corrupt.mp4"), os.path.join(folder, "o")
    r = tool("publish", src, out, *FAST)
    for line in r.err.splitlines():
        assert line.startswith("vodpipe: "), line
    env = dict(os.environ, VODPIPE_LOG="debug")
    loud = subprocess.run([BIN, "probe", "--full", src], env=env, capture_output=True, encoding="utf-8")
    for line in loud.stderr.splitlines():
        assert line.startswith("vodpipe: "), line


GROUPS = {
    "usage": [("help and version", help_and_version), ("wrong usage", wrong_usage), ("wrong settings", wrong_settings),
              ("stdout cannot be written", no_standard_output)],
    "refusals": [("refused " + n, refused, n, r) for n, r in REFUSED] + [
        ("places", refused_places), ("foreign output", foreign_output), ("foreign work folder", foreign_work),
        ("same prefix", same_prefix)],
    "results": [("probe", probe_result), ("publish", publish_result), ("verify", verify_result),
                ("ladder file", ladder_file), ("options", options_reach), ("libav is quiet", libav_is_quiet)],
    "events": [("publish", publish_events), ("package", package_events), ("tasks", task_events)],
    "stop": [("SIGINT", suspend, signal.SIGINT), ("SIGTERM", suspend, signal.SIGTERM), ("twice", second_signal),
             ("run", stop_others), ("already running", already_running)],
    "tasks": [("as publish, cmaf", tasks_equal_publish, []), ("as publish, both", tasks_equal_publish, ["--format", "both"]),
              ("as publish, single file", tasks_equal_publish, ["--single-file"]), ("other mounts", moved_mounts),
              ("another plan", plan_mismatch), ("any --jobs", any_jobs), ("three processes", shared_tasks)],
    "names": [(k, hostile_name, k) for k in HOSTILE],
}


def main():
    status = []
    for group in sys.argv[1:] or list(GROUPS):
        cases = Cases("cli-" + group)
        for name, fn, *args in GROUPS[group]:
            os.chdir("/")
            cases.run(name, fn, *args)
        status.append(cases.end())
    sys.exit(1 if 1 in status else max(status))


main()
