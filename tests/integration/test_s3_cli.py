#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The vodpipe tool with s3:// and https:// (docs/cli.md), on the scripted server and on real ones.

    test_s3_cli.py publish|web|tasks|put|resume|refusals|versitygw|minio
"""
import functools
import hashlib
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "support"))

from clips import AAC, X264, clip as define, lavfi, run as make_clip, test_video  # noqa: E402
from s3_servers import S3F, Missing, real_server  # noqa: E402
from titles import BIN, FAST, SRC, Cases, Result, Skip, clip, tree  # noqa: E402

TOKEN = "to/ken+of=the==session"
SECRET = "s3cret/Key+which=nobody/may/see"
LADDER = ["--ladder", "240p"]
SEGMENT, MANIFEST = "public, max-age=31536000, immutable", "public, max-age=60"
TYPES = {".m4s": "video/iso.segment", ".ts": "video/mp2t", ".m3u8": "application/vnd.apple.mpegurl",
         ".mpd": "application/dash+xml", ".json": "application/json", ".html": "text/html"}
MASTERS = {"master.m3u8", "master-ts.m3u8", "manifest.mpd", "presentation.json", "player.html"}


@define("bucket.mp4", "3 s of a moving picture with a tone")
def _(to, dep):
    make_clip(lavfi(test_video("426x240", "25", "3"), "sine=440:d=3:r=48000") + X264 + AAC
              + ["-movflags", "+faststart"], to)


@define("bucket_long.mp4", "36 s of noise, three spans")
def _(to, dep):
    make_clip(lavfi(test_video("426x240", "25", "36", ",noise=alls=20:allf=t"), "sine=d=36:r=48000") + X264
              + ["-g", "100"] + AAC, to)


@define("bucket_large.mp4", "6 s of noise, some 60 MB")
def _(to, dep):
    make_clip(lavfi(test_video("1280x720", "25", "6", ",noise=alls=100:allf=t"), "sine=d=6:r=48000")
              + ["-c:v", "libx264", "-preset", "ultrafast", "-qp", "21", "-g", "50", "-pix_fmt", "yuv420p"] + AAC, to)


def equal(got, want, what="value"):
    assert got == want, "%s is %r, not %r" % (what, got, want)


class Host:
    """The tool beside a server. Nothing secret is in what it prints."""

    def __init__(self, s3, folder, **more):
        self.s3, self.state = s3, os.path.join(folder, "state")
        self.env = dict(os.environ, **s3.env(), XDG_STATE_HOME=self.state, HOME=folder, VODPIPE_LOG="debug")
        self.env.update(more)

    def start(self, *args, **more):
        env = {k: v for k, v in dict(self.env, **more).items() if v is not None}
        return subprocess.Popen(["nice", BIN] + [str(a) for a in args], env=env, stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8", errors="replace")

    def end(self, process, signs=False):
        out, err = process.communicate(timeout=600)
        for secret in (SECRET, self.s3.secret_key) + (() if signs else (TOKEN, urllib.parse.quote(TOKEN, safe=""))):
            assert secret not in out + err, "%r is in what %s prints" % (secret, process.args)
        err = "\n".join(line for line in err.split("\n") if not line.startswith("vodpipe: debug: "))
        return Result(subprocess.CompletedProcess(process.args, process.returncode, out, err))

    def run(self, *args, code=0, signs=False, **more):
        r = self.end(self.start(*args, **more), signs)
        assert r.code == code, "%s: exit %d: %s" % (" ".join(map(str, args)), r.code, r.err[-800:])
        return r

    def fails(self, reason, *args, **more):
        r = self.run(*args, code=1, **more)
        equal(r.reason, reason, "reason of %s (%s)" % (" ".join(map(str, args)), r.err[-300:]))
        return r

    def work_left(self):
        """Files of work that the tool chose the place of."""
        return sorted(tree(self.state)) if os.path.isdir(self.state) else []

    def no_secrets(self, folder):
        for path in tree(folder):
            try:
                with open(os.path.join(folder, path), "rb") as f:
                    data = f.read()
            except FileNotFoundError: # of a process that still runs
                continue
            for secret in (SECRET, TOKEN, self.s3.secret_key):
                assert secret.encode() not in data, "%s holds a secret" % path


def scripted(**more):
    return S3F(buckets=["b"], secret_key=SECRET, token=TOKEN, **more)


def on_scripted(fn):
    @functools.wraps(fn)
    def case(folder, *args):
        with scripted() as s3:
            fn(folder, s3, Host(s3, folder), *args)
            denied = {k: v for k, v in s3.denied().items() if v}
            assert not denied, "requests were denied: %s" % denied
    return case


def below(s3, prefix):
    """{name: digest} of the bucket, as titles.tree() has it of a folder."""
    return {k[len(prefix):]: v["sha256"] for k, v in s3.objects().items() if k.startswith(prefix)}


def sent(s3, start=0):
    """Keys of what was stored since, in the order in which it was there."""
    log = [r for r in s3.log() if r["n"] > start and r["status"] == 200
           and r["op"] in ("PutObject", "CompleteMultipartUpload")]
    return [r["key"] for r in sorted(log, key=lambda r: r["t"] + r["ms"] / 1000)]


def last(s3):
    return max([r["n"] for r in s3.log()] or [0])


def settled(s3, host):
    """Nothing is left over anywhere."""
    equal(s3.uploads(), type(s3.uploads())(), "uploads that were not ended")
    equal(host.work_left(), [], "work that is left")


# ---- publish ----

def check_headers(s3, prefix):
    kinds = set()
    for key, o in s3.objects().items():
        if not key.startswith(prefix):
            continue
        name, (_, end) = key[len(prefix):], os.path.splitext(key)
        got = (o["headers"].get("content-type"), o["headers"].get("cache-control"))
        if end == ".mp4":
            equal(got[0], "audio/mp4" if "/audio/" in key else "video/mp4", "type of " + key)
        elif end in TYPES:
            equal(got[0], TYPES[end], "type of " + key)
        if name in MASTERS:
            equal(got[1], MANIFEST, "Cache-Control of " + key)
        elif end in (".m4s", ".ts", ".mp4"):
            equal(got[1], SEGMENT, "Cache-Control of " + key)
        kinds.add(end)
    assert {".m4s", ".ts", ".mp4", ".m3u8", ".mpd", ".json"} <= kinds, kinds


def in_order(keys, prefix):
    """Manifests come after all that they name, the first that players ask for is the last."""
    roots = [k[len(prefix):] in MASTERS for k in keys]
    assert roots == sorted(roots), "not last: %s" % [k for k, r in zip(keys, roots) if r]
    equal(keys[-1], prefix + "master.m3u8", "the last object")
    for at, key in enumerate(keys):
        if key.endswith(("playlist.m3u8", "iframes.m3u8")):
            folder = os.path.dirname(key) + "/"
            late = [k for k in keys[at:] if k.startswith(folder) and k.endswith((".m4s", ".ts", ".mp4"))]
            assert not late, "%s is there before %s" % (key, late)


@on_scripted
def publish(folder, s3, host):
    """Both formats; as in a directory; run again; other settings; verify."""
    src, out = clip("bucket.mp4"), os.path.join(folder, "o")
    args = ["--format", "both", "--player", "--segment", "2", *FAST, *LADDER]
    r = host.run("publish", src, "s3://b/titles/42/", *args)
    equal(r.out.split(), ["s3://b/titles/42/" + n
                          for n in ("master.m3u8", "master-ts.m3u8", "manifest.mpd", "player.html")])
    host.run("publish", src, out, *args)
    equal(below(s3, "titles/42/"), tree(out), "objects and the same title in a folder")
    check_headers(s3, "titles/42/")
    in_order(sent(s3), "titles/42/")
    settled(s3, host)
    a, b = (host.run("verify", place, "--decode") for place in ("s3://b/titles/42", out))
    equal(a.out, b.out, "what verify says of both")
    at = last(s3)
    again = host.run("publish", src, "s3://b/titles/42", *args)
    assert "ALREADY_DONE" in again.err, again.err[-300:]
    equal(sent(s3, at), [], "what is written although the title is there")
    host.run("publish", src, "s3://b/titles/42", "--preset", "superfast", *LADDER)
    versions = {k.split("/")[0] for k in below(s3, "titles/42/") if "/" in k}
    equal(len(versions), 2, "versions")
    host.run("publish", src, "s3://b/titles/42", "--preset", "superfast", *LADDER, "--format", "ts", "--prune")
    versions = {k.split("/")[0] for k in below(s3, "titles/42/") if "/" in k}
    equal(len(versions), 1, "versions after --prune")
    assert "manifest.mpd" not in below(s3, "titles/42/")
    host.run("verify", "s3://b/titles/42")
    settled(s3, host)


FAULTS = [{"action": "error", "code": "SlowDown"}, {"action": "error", "code": "InternalError"},
          {"action": "error200", "code": "InternalError"}, {"action": "reset", "received": 3000}, {"action": "apply_drop"},
          {"action": "drop", "rst": True}, {"action": "close_after"}, {"action": "short"}, {"action": "wrong_range"},
          {"action": "slow_first", "delay": 0.05}, {"action": "error", "code": "RequestTimeout"}]


@on_scripted
def in_faults(folder, s3, host):
    """A fifth of all requests fails, of reading as of writing: the same title as in a folder."""
    src, out = clip("bucket.mp4"), os.path.join(folder, "o")
    with open(src, "rb") as f:
        s3.put("in.mp4", f.read())
    for more in (["--format", "both", "--segment", "2"], ["--single-file"]):
        args, to = [*more, *FAST, *LADDER], "t%d" % len(more)
        s3.rules({"op": "*", "p": 0.2, "seed": 31, "any": FAULTS})
        host.run("publish", "s3://b/in.mp4", "s3://b/" + to, *args)
        fired = s3.fired()[0]
        s3.rules()
        assert fired >= 4, "%d faults" % fired
        host.run("publish", src, out + to, *args)
        equal(below(s3, to + "/"), tree(out + to), "objects and the same title in a folder")
        host.run("verify", "s3://b/" + to)
        settled(s3, host)


@on_scripted
def large_killed(folder, s3, host, *form):
    """kill -9 in the middle of one large object of a title: its parts that are in are not sent again."""
    s3.config(etag="md5")
    src, out = clip("bucket_large.mp4"), os.path.join(folder, "o")
    command = killed(s3, host, ["package", src, "s3://b/t", *form], lambda log: len(parts(log)) >= 4,
                     {"op": ["UploadPart", "PutObject"], "action": "slow_first", "delay": 0.3})
    first, at = parts(s3.log()), last(s3)
    host.no_secrets(host.state)
    assert len(s3.uploads()) == 1 and "t/master.m3u8" not in s3.objects(), s3.uploads()
    host.run(*command)
    again = parts(s3.log(), at)
    host.run("package", src, out, *form)
    equal(below(s3, "t/"), tree(out), "objects and the same title in a folder")
    settled(s3, host)
    key = first[0]["key"]
    whole = -(-s3.objects()[key]["size"] // (8 << 20))
    # those in flight at the kill are not known to be in: memory holds two, and one more was just being answered
    assert whole >= 6 and len(first) + len(again) <= whole + 3, "%d of %d parts, then %d" % (len(first), whole, len(again))
    assert len(again) < whole, "all parts were sent again"
    ids = {urllib.parse.parse_qs(r["path"].partition("?")[2])["uploadId"][0] for r in first + again if r["key"] == key}
    equal(len(ids), 1, "uploads of the object")


@on_scripted
def in_the_way(folder, s3, host):
    src = clip("bucket.mp4")
    s3.put("o/photos/a.jpg", b"mine")
    host.fails("OUTPUT_EXISTS", "publish", src, "s3://b/o", *FAST)
    equal(sorted(s3.objects()), ["o/photos/a.jpg"])
    host.run("publish", src, "s3://b/o", "--force", *FAST, *LADDER)
    equal(s3.get("o/photos/a.jpg"), b"mine")
    # what consoles make where a folder is to be seen
    s3.put("p/", b"")
    host.run("publish", src, "s3://b/p", *FAST, *LADDER)
    host.run("verify", "s3://b/p")
    for work in ("s3://b/o", os.path.join(folder)):
        host.fails("OUTPUT_EXISTS", "publish", src, "s3://b/q", "--work", work, *FAST)
    assert not any(k.startswith("q/") for k in s3.objects())
    settled(s3, host)


@on_scripted
def encrypted(folder, s3, host):
    keys = os.path.join(folder, "keys.json")
    with open(keys, "w", encoding="ascii") as f:
        json.dump({"keys": [{"label": "*", "kid": "11111111-2222-3333-4444-555555555555", "key": "0f" * 16}]}, f)
    host.run("publish", clip("bucket.mp4"), "s3://b/e", "--encrypt", "cbcs", "--keys", keys, "--single-file", *FAST,
             *LADDER)
    out = os.path.join(folder, "copy")
    download(s3, "e/", out)
    a, b = (host.run("verify", place) for place in ("s3://b/e", out))
    equal(a.out, b.out, "what verify says of both")
    for key in s3.objects():
        assert bytes.fromhex("0f" * 16) not in s3.get(key), "the key is in " + key
    settled(s3, host)


@on_scripted
def compressed(folder, s3, host):
    import gzip
    src, out = clip("bucket.mp4"), os.path.join(folder, "o")
    host.run("publish", src, out, *FAST, *LADDER)
    for _ in range(2):
        r = host.run("publish", src, "s3://b/z", "--gzip-manifests", *FAST, *LADDER)
    assert "ALREADY_DONE" in r.err, r.err[-300:]
    for name in tree(out):
        data, manifest = s3.get("z/" + name), name.endswith((".m3u8", ".mpd")) or name in MASTERS
        equal(s3.objects()["z/" + name]["headers"].get("content-encoding"), "gzip" if manifest else None, name)
        with open(os.path.join(out, name), "rb") as f:
            equal(gzip.decompress(data) if manifest else data, f.read(), name)
    host.run("verify", "s3://b/z")


@on_scripted
def from_bucket(folder, s3, host):
    """No local copy of the source, and the same title."""
    src, out = clip("bucket.mp4"), os.path.join(folder, "o")
    with open(src, "rb") as f:
        s3.put("in/a b+\u00e9.mp4", f.read())
    p = host.run("probe", "--json", "--full", "s3://b/in/a b+\u00e9.mp4")
    equal(p.out, host.run("probe", "--json", "--full", src).out)
    host.run("publish", "s3://b/in/a b+\u00e9.mp4", "s3://b/o", *FAST, *LADDER)
    host.run("publish", src, out, *FAST, *LADDER)
    equal(below(s3, "o/"), tree(out))
    reads = [r for r in s3.log() if r["op"] == "GetObject" and r["key"].startswith("in/")]
    assert reads and all("range" in r["headers"] for r in reads), "the source is read as a whole"
    host.run("package", "s3://b/in/a b+\u00e9.mp4", "s3://b/packed")
    host.run("verify", "--decode", "--source", "s3://b/in/a b+\u00e9.mp4", "s3://b/o")
    host.fails("NOT_FOUND", "probe", "s3://b/in/none.mp4")
    settled(s3, host)
    # what begins otherwise is a path
    os.chdir(folder)
    os.makedirs("s3:/b")
    with open("s3:/b/x.mp4", "wb") as f, open(src, "rb") as g:
        f.write(g.read())
    equal(host.run("probe", "--json", "--full", "./s3://b/x.mp4").out, p.out)


# ---- https:// ----

def served(folder):
    """examples/serve.py on a folder: process and address."""
    p = subprocess.Popen([sys.executable, os.path.join(SRC, "examples", "serve.py"), folder], stdout=subprocess.PIPE,
                         stderr=subprocess.DEVNULL, encoding="utf-8")
    return p, re.search(r"http://[\d.:]+", p.stdout.readline())[0]


def web(folder):
    src, out = clip("bucket.mp4"), os.path.join(folder, "o")
    with scripted() as s3:
        host = Host(s3, folder)
        host.run("publish", src, out, *FAST, *LADDER)
        files = os.path.join(folder, "files")
        os.makedirs(os.path.join(files, "t"))
        for name in tree(out):
            to = os.path.join(files, "t", name)
            os.makedirs(os.path.dirname(to), exist_ok=True)
            os.link(os.path.join(out, name), to)
        os.link(src, os.path.join(files, "a b.mp4")) if os.stat(src).st_dev == os.stat(files).st_dev else \
            open(os.path.join(files, "a b.mp4"), "wb").write(open(src, "rb").read())
        server, address = served(files)
        try:
            film = address + "/a%20b.mp4"
            equal(host.run("probe", "--json", "--full", film).out, host.run("probe", "--json", "--full", src).out)
            r = host.run("verify", "--decode", address + "/t/")
            assert re.fullmatch(r"\d{3,} checks, 0 failed\n", r.out), r.out
            host.run("publish", film + "?sig=S3CR3T", "s3://b/o", *FAST, *LADDER)
            equal(below(s3, "o/"), tree(out))
            host.fails("NOT_FOUND", "probe", address + "/none.mp4")
            host.fails("IO_ERROR", "verify", address + "/none")
            secret_address(folder, host, film)
            os.remove(next(os.path.join(files, "t", n) for n in sorted(tree(out)) if n.endswith(".m4s")))
            host.fails("VERIFY_FAILED", "verify", address + "/t")
        finally:
            server.kill()
            server.communicate()


def secret_address(folder, host, film):
    """What is secret in the address of INPUT is not kept."""
    work = os.path.join(folder, "w")
    host.run("plan", film + "?sig=S3CR3T", "s3://b/p", "--work", work, *FAST, *LADDER)
    with open(os.path.join(work, "job.json"), encoding="utf-8") as f:
        job = json.load(f)
    equal((job["input"], job["input_cut"]), (film, True))
    for path in tree(work):
        with open(os.path.join(work, path), "rb") as f:
            assert b"S3CR3T" not in f.read(), path
    assert "--input" in host.run("run", "--work", work, "--task", "next", code=2).err
    while host.run("run", "--work", work, "--task", "next", "--input", film + "?sig=S3CR3T").out != "none\n":
        pass
    host.run("finish", "--work", work)
    host.run("verify", "s3://b/p")


# ---- plan, run, finish ----

@on_scripted
def tasks(folder, s3, host, form):
    """Nothing is shared but the bucket."""
    src, out = clip("bucket.mp4"), os.path.join(folder, "o")
    with open(src, "rb") as f:
        s3.put("in.mp4", f.read())
    r = host.run("plan", "s3://b/in.mp4", "s3://b/t", "--work", "s3://b/w", *FAST, *LADDER, *form)
    names = [t["task"] for t in json.loads(r.out)["tasks"]]
    job = json.loads(s3.get("w/job.json"))
    equal({k: job[k] for k in ("input", "output", "endpoint", "region")},
          {"input": "s3://b/in.mp4", "output": "s3://b/t", "endpoint": s3.url, "region": s3.region})
    missing = host.fails("TASKS_MISSING", "finish", "--work", "s3://b/w")
    equal(sorted(missing.out.split()), sorted(names))
    crew, ran = [host.start("run", "--work", "s3://b/w", "--task", "next") for _ in range(2)], []
    while crew:
        r = host.end(crew.pop(0))
        equal(r.code, 0, r.err[-500:])
        if r.out != "none\n":
            ran.append(r.out.strip())
            crew.append(host.start("run", "--work", "s3://b/w", "--task", "next"))
    equal(sorted(ran), sorted(names), "tasks that were run")
    assert not any(k == "t/master.m3u8" for k in s3.objects())
    host.run("finish", "--work", "s3://b/w")
    equal(below(s3, "w"), {}, "what is left of the work")
    host.run("publish", src, out, *FAST, *LADDER, *form)
    equal(below(s3, "t/"), tree(out))
    settled(s3, host)


@on_scripted
def told_by_job(folder, s3, host):
    """With a work folder at hand run and finish need nothing else: the plan says where the server is."""
    src, work = clip("bucket.mp4"), os.path.join(folder, "w")
    nowhere = {"AWS_ENDPOINT_URL": None, "AWS_REGION": None, "AWS_DEFAULT_REGION": None}
    host.run("plan", src, "s3://b/t", "--work", work, "--endpoint", s3.url, "--region", s3.region, "--path-style",
             *FAST, *LADDER, **nowhere)
    with open(os.path.join(work, "job.json"), encoding="utf-8") as f:
        job = json.load(f)
    equal((job["input"], job["output"], job["endpoint"], job["path_style"]), (src, "s3://b/t", s3.url, True))
    host.no_secrets(work)
    while host.run("run", "--work", work, "--task", "next", **nowhere).out != "none\n":
        pass
    host.run("finish", "--work", work, **nowhere)
    assert not os.path.exists(work), sorted(tree(work))
    host.run("verify", "s3://b/t")


@on_scripted
def stopped_in_silence(folder, s3, host):
    """SIGINT while the server says nothing at all: each of the three ends soon, not when its requests have given up."""
    src = clip("bucket.mp4")

    def silent(command, ops, code=3):
        seen = last(s3)
        s3.rules({"op": ops, "action": "hang"})
        p = host.start(*command)
        until = time.monotonic() + 120
        while not s3.fired()[0]:
            assert p.poll() is None and time.monotonic() < until, "it ended before it could be stopped"
            time.sleep(0.05)
        p.send_signal(signal.SIGINT)
        out, err = p.communicate(timeout=60)  # requests are tried for ten minutes
        equal(p.returncode, code, "exit of %s: %s" % (command[0], err[-400:]))
        s3.rules()
        assert last(s3) >= seen

    work = ["--work", "s3://b/w"]
    plan = ["plan", src, "s3://b/t", *work, *FAST, *LADDER]
    silent(plan, ["GetObject", "HeadObject", "ListObjectsV2", "PutObject"])
    silent(plan, "PutObject")
    host.run(*plan)
    silent(["run", *work, "--task", "next"], ["GetObject", "HeadObject", "ListObjectsV2"])
    silent(["run", *work, "--task", "next"], "PutObject")
    while host.run("run", *work, "--task", "next").out != "none\n":
        pass
    silent(["finish", *work], ["GetObject", "HeadObject", "ListObjectsV2"])
    silent(["finish", *work], "PutObject")
    until = time.monotonic() + 120
    while (r := host.end(host.start("finish", *work))).code:  # a lease of one that was stopped ends by its time
        assert r.reason in ("ALREADY_RUNNING", "TASKS_MISSING") and time.monotonic() < until, r.err[-300:]
        time.sleep(0.5)
        host.run("run", *work, "--task", "next")
    host.run("verify", "s3://b/t")


@on_scripted
def stopped(folder, s3, host, number):
    """The work is kept; the same command goes on."""
    src, out = clip("bucket_long.mp4"), os.path.join(folder, "o")
    slow = ["--preset", "medium", "--ladder", "240p", "--jobs", "1"]
    p = host.start("publish", src, "s3://b/t", *slow)
    until = time.monotonic() + 120
    while not any("result/video" in n and ".tmp" not in n for n in host.work_left()):
        assert p.poll() is None and time.monotonic() < until, "it ended before it could be stopped"
        time.sleep(0.02)
    p.send_signal(number)
    r = host.end(p)
    equal(r.code, 3 if number == signal.SIGINT else -signal.SIGKILL, r.err[-500:])
    assert number == signal.SIGKILL or (host.state in r.text and "same command" in r.text), r.text
    assert "t/master.m3u8" not in s3.objects()
    host.no_secrets(host.state)
    at = last(s3)
    done = [k for k in s3.objects() if k.endswith(".m4s")]
    host.run("publish", src, "s3://b/t", *slow)
    again = set(sent(s3, at))
    assert [k for k in done if k not in again], "all segments were sent again"
    settled(s3, host)
    host.run("publish", src, out, *slow[:-2])
    equal(below(s3, "t/"), tree(out))


# ---- put ----

def make_tree(folder, count, large=0, most=60000):
    """A title's folder without a title: small files, one large, playlists and a master."""
    rng, root = random.Random(count), os.path.join(folder, "tree")
    os.makedirs(root + "/v1/video")
    for i in range(count):
        with open("%s/v1/video/%05d.m4s" % (root, i), "wb") as f:
            f.write(rng.randbytes(rng.randrange(1, most)))
    for name in ("v1/.vodpipe-version", "v1/video/playlist.m3u8", "v1/z+ \u00e9.json", "manifest.mpd", "master.m3u8"):
        with open(os.path.join(root, name), "w", encoding="ascii") as f:
            f.write(name.encode("ascii", "replace").decode())
    os.makedirs(root + "/.vodpipe")
    with open(root + "/.vodpipe/plan.json", "w", encoding="ascii") as f:
        f.write("unfinished work, which is not sent")
    if large:
        with open("%s/v1/video/%05d-large.mp4" % (root, count // 2), "wb") as f:
            f.write(rng.randbytes(large))
    return root


def shown(root):
    return {k: v for k, v in tree(root).items() if not k.startswith(".vodpipe/")}


@on_scripted
def put(folder, s3, host):
    root = make_tree(folder, 60, 9 << 20)
    r = host.run("put", root, "s3://b/t/7")
    count, size = len(shown(root)), sum(os.path.getsize(os.path.join(root, n)) for n in shown(root))
    equal(r.out, "%d objects, %d bytes, 0 of them were there\n" % (count, size))
    equal(below(s3, "t/7/"), shown(root))
    keys = sent(s3)
    equal(keys[-2:], ["t/7/manifest.mpd", "t/7/master.m3u8"], "the last objects")
    equal(keys[-3], "t/7/v1/video/playlist.m3u8")
    settled(s3, host)
    r = host.run("put", root, "s3://b/json", "--progress", "json")
    events = [json.loads(line) for line in r.out.splitlines()]
    equal([(e["event"], e.get("stage")) for e in events if e["event"] != "progress"], [("stage", "upload"), ("done", None)])
    equal({e["stage"] for e in events if e["event"] == "progress"}, {"upload"})
    equal((events[-1]["objects"], events[-1]["bytes"]), (count, size))
    permille = [e["permille"] for e in events if e["event"] == "progress"]
    assert permille == sorted(permille) and permille[-1] == 1000, permille
    work = os.path.join(folder, "w")
    host.run("put", root, "s3://b/again", "--work", work)
    assert not os.path.exists(work), "the work folder is left"
    host.run("put", root, "s3://b/third", "--work", "s3://b/w")
    equal(below(s3, "w"), {}, "what is left of the work")
    equal(below(s3, "third/"), shown(root))
    # what is said of the bytes: signed, as the server is reached without TLS, or not
    at = last(s3)
    host.run("put", root, "s3://b/signed")
    host.run("put", root, "s3://b/unsigned", "--unsigned-payload")
    equal(below(s3, "unsigned/"), shown(root))
    for prefix, signed in (("signed/", True), ("unsigned/", False)):
        sent_as = [dict(r["headers"]) for r in s3.log() if r["n"] > at and r["key"] and r["key"].startswith(prefix)
                   and r["op"] in ("PutObject", "UploadPart")]
        assert len(sent_as) > count, "%d requests" % len(sent_as)
        for headers in sent_as:
            full = headers["content-length"] != "0"
            equal(headers["x-amz-content-sha256"] == "UNSIGNED-PAYLOAD", full and not signed, "unsigned")
            equal("x-amz-checksum-crc32c" in headers, full and not signed, "a checksum")


@on_scripted
def put_file(folder, s3, host):
    src = clip("bucket.mp4")
    with open(src, "rb") as f:
        data = hashlib.sha256(f.read()).hexdigest()
    for target, key in (("s3://b/x/film.mp4", "x/film.mp4"), ("s3://b/y/", "y/bucket.mp4"), ("s3://b", "bucket.mp4")):
        equal(host.run("put", src, target).out, "1 objects, %d bytes, 0 of them were there\n" % os.path.getsize(src))
        equal((s3.objects()[key]["sha256"], s3.objects()[key]["headers"]["content-type"]), (data, "video/mp4"), key)
    equal(len(s3.objects()), 3)
    large = os.path.join(folder, "large.mp4")
    with open(large, "wb") as f:
        f.write(random.Random(5).randbytes(40 << 20))
    # all five are on their way at a time: two that never end
    p = killed(s3, host, ["put", large, "s3://b/large.mp4"], lambda log: noted(host) >= 3,
               {"op": "UploadPart", "after": 4, "action": "hang"})
    first = parts(s3.log())
    host.no_secrets(host.state)
    at = last(s3)
    r = host.run(*p)
    with open(large, "rb") as f:
        equal(s3.objects()["large.mp4"]["sha256"], hashlib.sha256(f.read()).hexdigest())
    again = parts(s3.log(), at)
    equal((len(first), len(again)), (3, 2), "parts sent, and then")
    settled(s3, host)
    assert r.out.startswith("1 objects, %d bytes" % (40 << 20)), r.out


# Between the test, whose memory a child begins with, and the tool: the peak of the tool alone, in KiB.
PEAK = """import os, sys
pid = os.spawnvp(os.P_NOWAIT, sys.argv[1], sys.argv[1:])
_, status, use = os.wait4(pid, 0)
print(use.ru_maxrss)
sys.exit(os.waitstatus_to_exitcode(status))
"""


@on_scripted
def put_memory(folder, s3, host):
    """Neither FFmpeg nor what is sent lies in memory: many small files, and one of 96 MB whose parts go side by side."""
    with open(BIN, "rb") as f:
        if b"__asan_" in f.read() or not os.environ.get("VODPIPE_AVUTIL"):
            raise Skip("with AddressSanitizer or a linked FFmpeg memory says nothing")
    root = make_tree(folder, 200, 96 << 20, 400000)
    s3.rules({"op": "UploadPart", "first": 8, "action": "slow_first", "delay": 0.3},
             {"op": "UploadPart", "action": "slow_first", "delay": 2})
    run = subprocess.run([sys.executable, "-I", "-S", "-c", PEAK, BIN, "put", root, "s3://b/t", "--progress", "json"],
                         env=host.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=600)
    assert run.returncode == 0, run.stderr[-800:]
    equal(below(s3, "t/"), shown(root))
    sent = parts(s3.log())
    together = max(sum(p["t"] <= q["t"] < p["t"] + p["ms"] / 1000 for p in sent) for q in sent)
    assert together >= 6, "only %d parts at a time" % together
    lines = run.stdout.splitlines()
    done = [e["done"] for e in map(json.loads, lines[:-1]) if e["event"] == "progress"]
    total = sum(os.path.getsize(os.path.join(root, name)) for name in shown(root))
    assert done == sorted(done) and any(total - (48 << 20) <= n < total for n in done), "%s of %d" % (done[-9:], total)
    peak = int(lines[-1])
    assert 4 << 10 < peak <= 32 << 10, "%d KiB at the peak" % peak


SLOW_S = 0.15


def noted(host):
    """Parts that the work of a killed process knows of."""
    count = 0
    for path in host.work_left():
        if re.search(r"/[0-9]{5}$", path):
            with open(os.path.join(host.state, path), encoding="ascii") as f:
                count += len(f.readlines())
    return count


def parts(log, start=0):
    return [r for r in log if r["op"] == "UploadPart" and r["status"] == 200 and r["n"] > start]


def killed(s3, host, command, enough, *rules):
    """Runs it until enough of it is there and kills it; the command again."""
    s3.rules(*(rules or [{"op": ["UploadPart", "PutObject"], "action": "slow_first", "delay": SLOW_S}]))
    p = host.start(*command)
    until = time.monotonic() + 120
    while not enough(s3.log()):
        assert p.poll() is None and time.monotonic() < until, "it ended before it could be killed"
        time.sleep(0.05)
    p.kill()
    host.end(p)
    s3.rules()
    return command


@on_scripted
def resume(folder, s3, host, how):
    """kill -9, or a signal, in the middle of 400 small files and one of 60 MB: what is in is not sent again."""
    root, large = make_tree(folder, 400, 60 << 20, 20000), "t/v1/video/00200-large.mp4"
    command = ["put", root, "s3://b/t"]
    p = None
    # four of the eight parts that are on their way at a time never end
    rules = [{"op": "UploadPart", "after": 5, "action": "hang"},
             {"op": ["UploadPart", "PutObject"], "action": "slow_first", "delay": SLOW_S}]

    def enough(log):
        return noted(host) >= 4 and sum(r["op"] == "PutObject" for r in log) >= 120
    if how == "kill":
        killed(s3, host, command, enough, *rules)
    else:
        s3.rules(*rules)
        p = host.start(*command)
        while not enough(s3.log()):
            assert p.poll() is None
            time.sleep(0.05)
        p.send_signal(signal.SIGTERM)
        r = host.end(p)
        equal(r.code, 3, r.err[-300:])
        assert host.state in r.text, r.text
        s3.rules()
    time.sleep(0.3)
    before, at = s3.log(), last(s3)
    ended = max(r["t"] for r in before)
    host.no_secrets(host.state)
    assert not any(k.endswith(("m3u8", "mpd")) for k in s3.objects()), "manifests are there before all the rest"
    # a file that is another one now is sent again
    with open(root + "/v1/video/00001.m4s", "ab") as f:
        f.write(b"more")
    r = host.run(*command)
    equal(below(s3, "t/"), shown(root))
    again = [x for x in s3.log() if x["n"] > at]
    known = {x["key"] for x in before if x["op"] == "PutObject" and x["status"] == 200 and x["t"] < ended - 1.5}
    twice = [x["key"] for x in again if x["op"] == "PutObject" and x["key"] in known]
    equal(twice, ["t/v1/video/00001.m4s"], "what was sent twice of %d that were in" % len(known))
    first, second = len(parts(before)), len(parts(s3.log(), at))
    equal((first, second), (4, 4), "parts of 60 MB, before and after")
    skipped = int(re.search(r"(\d+) of them were there", r.out)[1])
    assert skipped >= len(known) - 1, (skipped, len(known))
    assert large in [x["key"] for x in again if x["op"] == "CompleteMultipartUpload"]
    settled(s3, host)


# ---- refusals ----

def credentials(folder):
    root = make_tree(folder, 3)
    with scripted() as s3:
        host = Host(s3, folder)
        none = {"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None, "AWS_SESSION_TOKEN": None}
        wrong = {"AWS_SECRET_ACCESS_KEY": "not/the/one"}
        commands = (["publish", clip("bucket.mp4"), "s3://b/t", *FAST], ["put", root, "s3://b/t"],
                    ["plan", clip("bucket.mp4"), "s3://b/t", "--work", os.path.join(folder, "w"), *FAST])
        for command in commands:
            began = time.monotonic()
            r = host.fails("S3_BAD_CREDENTIALS", *command, **wrong)
            assert "not/the/one" not in r.err
            host.fails("S3_BAD_CREDENTIALS", *command, AWS_ACCESS_KEY_ID="AKIANOBODY")
            host.fails("CREDENTIALS_MISSING", *command, **none)
            nobucket = [a.replace("s3://b/", "s3://nobody/") for a in command]
            r = host.fails("S3_ERROR", *nobucket)
            assert "NoSuchBucket" in r.err, r.err[-300:]
            assert time.monotonic() - began < 60, "it is tried again"
        host.fails("CREDENTIALS_MISSING", "presign", "get", "s3://b/x", **none)
        for command in (["verify", "s3://b/t"], ["probe", "s3://b/t.mp4"], ["finish", "--work", "s3://b/w"]):
            host.fails("CREDENTIALS_MISSING", *command, **none)
        host.fails("CONNECTION_FAILED", "put", root, "s3://b/t", "--endpoint", "http://127.0.0.1:1")
        equal((sorted(s3.objects()), host.work_left(), sorted(os.listdir(folder))), ([], [], ["tree"]), "what is left")
        # from a file, by a profile
        with open(os.path.join(folder, "credentials"), "w", encoding="ascii") as f:
            f.write("[other]\naws_access_key_id=%s\naws_secret_access_key=%s\naws_session_token=%s\n"
                    % (s3.access_key, SECRET, TOKEN))
        host.run("put", root, "s3://b/t", "--profile", "other",
                 **dict(none, AWS_SHARED_CREDENTIALS_FILE=os.path.join(folder, "credentials")))
        equal(below(s3, "t/"), shown(root))


USAGE = [
    (["publish", "a", "s3://"], "bucket"), (["publish", "a", "s3:///x"], "bucket"),
    (["publish", "a", "https://h/x"], "OUT"), (["publish", "s3://b", "o"], "object"),
    (["publish", "s3://b/x/", "o"], "object"), (["probe", "s3://b"], "object"),
    (["publish", "a", "o", "--work", "https://h/w"], "--work"),
    (["publish", "a", "o", "--endpoint", "http://h"], "s3://"), (["publish", "a", "o", "--path-style"], "s3://"),
    (["publish", "a", "o", "--unsigned-payload"], "s3://"), (["presign", "get", "s3://b/k", "--unsigned-payload"], "presign"),
    (["probe", "a", "--region", "r"], "s3://"), (["publish", "a", "o", "--gzip-manifests"], "s3://"),
    (["put", "d", "o"], "OUT"), (["put", "s3://b/x", "s3://b/y"], "DIR"),
    (["put", "https://h/x", "s3://b/y"], "DIR"), (["put", "d"], "usage"),
    (["put", "d", "s3://b", "--ladder", "auto"], "--ladder"),
    (["put", "d", "s3://b", "--gzip-manifests"], "gzip-manifests"), (["presign", "get", "x"], "s3://"),
    (["presign", "list", "s3://b/x"], "get or put"), (["presign", "get", "s3://b"], "object"),
    (["presign", "get"], "usage"), (["presign", "get", "s3://b/x", "--expires", "0"], "range"),
    (["presign", "get", "s3://b/x", "--expires", "604801"], "range"),
    (["publish", "a", "s3://b/x", "--keys", "s3://b/k", "--encrypt", "cbcs"], "--keys"),
    (["verify", "s3://b/x", "--profile", ""], "--profile"),
    (["publish", "a", "s3://b/x", "--endpoint", "ftp://h"], "endpoint"), (["publish", "a", "s3://B@D/x"], "bucket"),
]


def usage(folder):
    os.chdir(folder)
    env = dict(os.environ, XDG_STATE_HOME=os.path.join(folder, "state"), AWS_EC2_METADATA_DISABLED="true")
    for args, word in USAGE:
        r = subprocess.run([BIN] + args, env=env, capture_output=True, encoding="utf-8")
        equal(r.returncode, 2, "exit status of %r (%s)" % (args, r.stderr))
        assert r.stdout == "" and word in r.stderr, "%r says %r" % (args, r.stderr)
    r = subprocess.run([BIN, "put", ".", "s3://b/x"], env={"PATH": os.environ["PATH"]}, capture_output=True,
                       encoding="utf-8")
    equal(r.returncode, 2)
    assert "--work is needed" in r.stderr, r.stderr
    equal(os.listdir(folder), [], "what wrong usage leaves")


def fetch(url, data=None):
    request = urllib.request.Request(url, data=data, method="PUT" if data is not None else "GET")
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def presign(s3, host, bucket):
    key = "up/a b+\u00e9&.bin"
    put_url = host.run("presign", "put", "s3://%s/%s" % (bucket, key), "--expires", "300", signs=True).out
    assert re.fullmatch(r"https?://\S+\n", put_url) and "X-Amz-Expires=300&" in put_url, put_url
    equal(fetch(put_url.strip(), b"some bytes")[0], 200, "PUT")
    get_url = host.run("presign", "get", "s3://%s/%s" % (bucket, key), signs=True).out.strip()
    equal(fetch(get_url), (200, b"some bytes"), "GET")
    equal(fetch(get_url, b"other")[0], 403, "PUT to an address to get from")
    equal(fetch(get_url[:-1] + ("0" if get_url[-1] != "0" else "1"))[0], 403, "a changed address")


def presigned(folder):
    with scripted() as s3:
        presign(s3, Host(s3, folder), "b")


# ---- real servers ----

def download(s3, prefix, folder):
    """All below prefix, by boto3."""
    try:
        client = s3.boto()
    except ImportError:
        raise Skip("no boto3 (tests/support/requirements.txt)") from None
    headers = {}
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=s3.bucket, Prefix=prefix):
        for o in page.get("Contents", []):
            to = os.path.join(folder, o["Key"][len(prefix):])
            os.makedirs(os.path.dirname(to), exist_ok=True)
            got = client.get_object(Bucket=s3.bucket, Key=o["Key"])
            with open(to, "wb") as f:
                f.write(got["Body"].read())
            headers[o["Key"]] = (got["ContentType"], got.get("CacheControl"))
    return headers


def real(folder, name):
    try:
        server = real_server(name)
    except Missing as why:
        raise Skip(str(why)) from None
    with server as s3:
        host, at, src, out = Host(s3, folder), "s3://" + s3.bucket, clip("bucket.mp4"), os.path.join(folder, "o")
        args = ["--format", "both", *FAST, *LADDER]
        host.run("publish", src, out, *args)
        host.run("publish", src, at + "/t", *args)
        headers = download(s3, "t/", os.path.join(folder, "copy"))
        equal(tree(os.path.join(folder, "copy")), tree(out), "what boto3 reads and the same title in a folder")
        equal(headers["t/master.m3u8"], (TYPES[".m3u8"], MANIFEST))
        equal({v for k, v in headers.items() if k.endswith(".m4s")}, {(TYPES[".m4s"], SEGMENT)})
        equal(host.run("verify", at + "/t").out, host.run("verify", out).out)
        assert "ALREADY_DONE" in host.run("publish", src, at + "/t", *args).err
        root = make_tree(folder, 40, 20 << 20)
        host.run("put", root, at + "/tree")
        download(s3, "tree/", os.path.join(folder, "copy2"))
        equal(tree(os.path.join(folder, "copy2")), shown(root))
        host.run("put", src, at + "/in/film.mp4")
        host.run("plan", at + "/in/film.mp4", at + "/p", "--work", at + "/w", *args)
        while host.run("run", "--work", at + "/w", "--task", "next").out != "none\n":
            pass
        host.run("finish", "--work", at + "/w")
        download(s3, "p/", os.path.join(folder, "copy3"))
        equal(tree(os.path.join(folder, "copy3")), tree(out))
        client = s3.boto()
        left = [o["Key"] for o in client.list_objects_v2(Bucket=s3.bucket, Prefix="w/").get("Contents", [])]
        equal(left, [], "what is left of the work")
        assert not client.list_multipart_uploads(Bucket=s3.bucket).get("Uploads"), "uploads that were not ended"
        equal(host.work_left(), [])
        presign(s3, host, s3.bucket)


GROUPS = {
    "publish": [("publish", publish), ("in the way", in_the_way), ("encrypted", encrypted), ("compressed", compressed),
                ("from a bucket", from_bucket)],
    "faults": [("publish", in_faults), ("package --single-file, kill -9", large_killed, "--single-file")],
    "web": [("https", web)],
    "tasks": [("all in the bucket", tasks, []), ("single file", tasks, ["--single-file"]),
              ("told by job.json", told_by_job), ("SIGINT in silence", stopped_in_silence), ("SIGINT", stopped, signal.SIGINT),
              ("kill -9", stopped, signal.SIGKILL)],
    "put": [("put", put), ("one file", put_file), ("memory", put_memory)],
    "resume": [("kill -9", resume, "kill"), ("SIGTERM", resume, "term")],
    "refusals": [("credentials", credentials), ("usage", usage), ("presign", presigned)],
    "versitygw": [("versitygw", real, "versitygw")],
    "minio": [("minio", real, "minio")],
}


def main():
    status = []
    for group in sys.argv[1:] or list(GROUPS):
        cases = Cases("s3-cli-" + group)
        for name, fn, *args in GROUPS[group]:
            os.chdir("/")
            cases.run(name, fn, *args)
        status.append(cases.end())
    sys.exit(1 if 1 in status else max(status))


if __name__ == "__main__":
    main()
