#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""kill -9 at random moments, again and again: no part that the server has is sent a second time, whether the process that was
killed had written it down or not. Counted by what the server did, on the scripted one; by its answers, on others.

    test_s3_resume.py scripted|versitygw|minio S3_HOST [SEED]
"""
import hashlib
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "support")]

from s3_servers import S3F, Missing, real_server  # noqa: E402
from test_s3_faults import HOST, Folder, environment, host  # noqa: E402
from titles import BIN, FULL, Cases, Skip, clip, tree  # noqa: E402
import test_s3_cli  # noqa: E402,F401  clips

MIB = 1 << 20
SEED = int(sys.argv[3]) if len(sys.argv) > 3 else 1
KILLS = 12 if FULL else 4
SLOW = {"op": "UploadPart", "any": [{"action": "slow_first", "delay": d} for d in (0.05, 0.3, 0.8)]}


def part_of(record):
    found = re.search(r"partNumber=(\d+)", record["path"])
    return record["key"], int(found[1])


def done(s3, op="UploadPart"):
    return [r for r in s3.log() if r["op"] == op and r["applied"]]


def quiet(s3):
    """What the killed process still had on its way has ended."""
    while s3.dump()["open"]:
        time.sleep(0.01)


def killed(s3, rng, command, env, before):
    """Runs it and kills it, some moment after the server has so many parts more; whether it ended by itself before that."""
    child = subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    enough, deadline = before + rng.randrange(0, 4), time.monotonic() + 120
    while child.poll() is None and len(done(s3)) < enough:
        assert time.monotonic() < deadline, "nothing moves"
        time.sleep(0.01)
    time.sleep(rng.random() * 0.2)
    ended = child.poll()
    child.kill()
    err = child.communicate()[1]
    assert ended in (None, 0), err[-600:]
    quiet(s3)
    return ended == 0


def noted(work):
    """Parts that the journal knows."""
    count = 0
    for top, _, names in os.walk(work):
        for name in names:
            if re.fullmatch("[0-9]{5}", name):
                with open(os.path.join(top, name), encoding="ascii") as f:
                    count += len(f.readlines())
    return count


def until_done(s3, rng, command, env, work):
    """Killed some times, then to its end. How many parts no journal had a word of."""
    unknown, kills, left = 0, 0, []
    while True:
        if kills == KILLS:
            run = subprocess.run(command, env=env, text=True, capture_output=True, timeout=300, check=False)
            assert run.returncode == 0, run.stderr[-600:]
            break
        if killed(s3, rng, command, env, len(done(s3))):
            break
        kills += 1
        left = [n for _, _, names in os.walk(work) for n in names if ".tmp-" not in n]
        if done(s3) and not left:
            break # it had put all away, and was about to end: of this nothing can be known
        there = sum(len(u["parts"]) for u in s3.uploads())
        unknown += max(there - noted(work), 0)
    twice = {k: n for k, n in Counter(part_of(r) for r in done(s3)).items() if n > 1}
    assert not twice, "parts that were sent again after %d kills, %s: %s" % (kills, left, twice)
    left = [n for _, _, names in os.walk(work) for n in names if ".tmp-" not in n]
    assert not left, "work is left: %s" % left
    assert not s3.uploads(), "parts are left: %s" % s3.uploads()
    return unknown


def on(seed, make, settings):
    """One folder: make(folder) -> command, {key: sha256}"""
    with S3F() as s3, Folder() as folder:
        s3.config(**settings)
        s3.rules(dict(SLOW, seed=seed))
        folder.random = random.Random(seed)
        work = os.path.join(folder.path, "work")
        command, sums = make(folder, work)
        unknown = until_done(s3, random.Random(seed), command, environment(s3), work)
        for key, sha in sums.items():
            assert s3.objects()[key]["sha256"] == sha, "%s has other bytes" % key
        return unknown


def a_file(folder, work, *args):
    path, sha = folder.file("in/film.mp4", 50 * MIB + 11)
    return [BIN, "put", path, "s3://b/film.mp4", "--work", work, *args], {"film.mp4": sha}


def a_tree(folder, work, *options):
    sums = {}
    for name, size in [("a/%02d.m4s" % i, 3000) for i in range(20)] + [("a/big%d.mp4" % i, 23 * MIB + i) for i in range(3)]:
        sums["t/" + name] = folder.file("in/" + name, size)[1]
    return [HOST, "connections=3", "part=%d" % (5 * MIB), "work=" + work, *options, "tree", "b", "t",
            os.path.join(folder.path, "in")], sums


def a_title(folder, work, *options):
    """Its objects are compared with those of a run that nobody kills."""
    out = os.path.join(folder.path, "out")
    command = [BIN, "package", clip("bucket_large.mp4")]
    subprocess.run([*command, out, "--single-file"], check=True, capture_output=True)
    return [*command, "s3://b/t", "--single-file", "--work", work, *options], {"t/" + k: v for k, v in tree(out).items()}


def a_sink(folder, work, *options):
    path, sha = folder.file("in/grows.mp4", 33 * MIB + 7)
    return [HOST, "connections=3", "memory=%d" % (30 * MIB), "part=%d" % (5 * MIB), "work=" + work, *options, "sink", "b",
            "t", "grows.mp4=" + path], {"t/grows.mp4": sha}


MD5, SUMS = {"etag": "md5"}, {"max_keys": 2}  # the latter lists in pages


def many(_, ways):
    """Killed again and again. ways: (make, settings of the server)"""
    unknown = 0
    for n in range(6 if FULL else 2):
        for make, settings in ways:
            unknown += on(SEED * 100 + n, make, settings)
    assert unknown, "at each kill the journal had a word of all parts"


# By the ETag, which is the MD5; by what the server lists, where its ETags say nothing.
PUT = [(a_file, MD5), (lambda f, w: a_file(f, w, "--unsigned-payload"), SUMS)]
TREE = [(a_tree, MD5), (lambda f, w: a_tree(f, w, "checksum=2"), MD5), (lambda f, w: a_tree(f, w, "checksum=3"), SUMS),
        (lambda f, w: a_tree(f, w, "checksum=4"), SUMS)]

SINK = [(a_sink, MD5), (lambda f, w: a_sink(f, w, "checksum=3"), SUMS)]
TITLE = [(a_title, MD5), (lambda f, w: a_title(f, w, "--unsigned-payload"), SUMS)]


def in_complete(_, make):
    """kill -9 while the server makes the object of its parts, which it does none the less: nothing of it is sent again."""
    with S3F() as s3, Folder() as folder:
        s3.config(etag="md5")
        s3.rules({"op": "CompleteMultipartUpload", "first": 1, "action": "slow_first", "delay": 60})
        command, sums = make(folder, os.path.join(folder.path, "work"))
        child = subprocess.Popen(command, env=environment(s3), stdout=subprocess.DEVNULL)
        while not done(s3, "CompleteMultipartUpload") and not any(re.search("big|film|grows", k) for k in s3.objects()):
            assert child.poll() is None, "it ended before it could be killed"
            time.sleep(0.01)
        child.kill()
        child.wait()
        whole, at = len(done(s3)), len(s3.log())
        run = subprocess.run(command, env=environment(s3), text=True, capture_output=True, timeout=300, check=False)
        assert run.returncode == 0, run.stderr[-600:]
        for key, sha in sums.items():
            assert s3.objects()[key]["sha256"] == sha, "%s has other bytes" % key
        again = [part_of(r) for r in s3.log(at) if r["op"] == "UploadPart"]
        first = {part_of(r) for r in s3.log()[:at] if r["op"] == "UploadPart" and r["applied"]}
        assert whole and not first & set(again), "parts that were sent again: %s" % again
        assert not s3.uploads(), s3.uploads()


def in_complete_of_a_sink(_, options, settings):
    """The same, of bytes that come once: other ones are sent, those before them are copied where they are."""
    for change, sent, copied in (("same", [], []), ("middle", [3, 4, 5, 6, 7], [1, 2]), ("last", [7], [1, 2, 3, 4, 5, 6]),
                                 ("longer", [7, 8], [1, 2, 3, 4, 5, 6]), ("shorter", [4], [1, 2, 3]),
                                 ("cut", [], [1, 2, 3]), ("replaced", [1, 2, 3, 4, 5, 6, 7], [])):
        with S3F() as s3, Folder() as folder:
            s3.config(**settings)
            s3.rules({"op": "CompleteMultipartUpload", "first": 1, "action": "slow_first", "delay": 60})
            work = os.path.join(folder.path, "work")
            command, sums = a_sink(folder, work, *options)
            child = subprocess.Popen(command, env=environment(s3), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            while "t/grows.mp4" not in s3.objects():
                assert child.poll() is None, "it ended before it could be killed"
                time.sleep(0.01)
            child.kill()
            child.wait()
            path = os.path.join(folder.path, "in/grows.mp4")
            with open(path, "r+b") as f:
                if change == "replaced":
                    s3.put("t/grows.mp4", f.read())
                f.seek({"middle": 12 * MIB, "last": 33 * MIB, "longer": 33 * MIB + 7}.get(change, 0))
                if change in ("middle", "last"):
                    f.write(b"other")
                elif change == "longer":
                    f.write(folder.random.randbytes(4 * MIB))
                elif change in ("shorter", "cut"):
                    f.truncate(15 * MIB + (99 if change == "shorter" else 0))
            with open(path, "rb") as f:
                sums["t/grows.mp4"] = hashlib.sha256(f.read()).hexdigest()
            at = len(s3.log())
            run = subprocess.run(command, env=environment(s3), text=True, capture_output=True, timeout=300, check=False)
            assert run.returncode == 0, (change, run.stderr[-600:])
            assert s3.objects()["t/grows.mp4"]["sha256"] == sums["t/grows.mp4"], change
            seen = {op: sorted(part_of(r)[1] for r in s3.log(at) if r["op"] == op and r["applied"])
                    for op in ("UploadPart", "UploadPartCopy")}
            assert seen == {"UploadPart": sent, "UploadPartCopy": copied}, (change, seen)
            begun = [r for r in s3.log(at) if r["op"] == "CreateMultipartUpload"]
            assert not copied or "x-amz-checksum-algorithm" not in begun[-1]["headers"], begun
            left = [n for _, _, names in os.walk(work) for n in names if ".tmp-" not in n]
            assert not s3.uploads() and not left, (change, s3.uploads(), left)


def in_complete_of_another(_):
    """The same, and the file is another one of the same size: it is sent."""
    with S3F() as s3, Folder() as folder:
        s3.rules({"op": "CompleteMultipartUpload", "first": 1, "action": "slow_first", "delay": 60})
        work = os.path.join(folder.path, "work")
        command, _ = a_file(folder, work)
        child = subprocess.Popen(command, env=environment(s3), stdout=subprocess.DEVNULL)
        while "film.mp4" not in s3.objects():
            assert child.poll() is None, "it ended before it could be killed"
            time.sleep(0.01)
        child.kill()
        child.wait()
        command, sums = a_file(folder, work)
        run = subprocess.run(command, env=environment(s3), text=True, capture_output=True, timeout=300, check=False)
        assert run.returncode == 0, run.stderr[-600:]
        assert s3.objects()["film.mp4"]["sha256"] == sums["film.mp4"] and not s3.uploads()


def putting_away(_):
    """kill -9 while the words of what is done are taken away, one by one: nothing is sent again, and no word stays."""
    for key, nth in (("*/done-0*", 1), ("*/done-0*", 2), ("*/done-all", 1)):
        with S3F() as s3, Folder() as folder:
            _, sums = a_tree(folder, "")
            command = [BIN, "put", os.path.join(folder.path, "in"), "s3://b/t", "--work", "s3://b/w"]
            s3.rules({"op": "DeleteObject", "key": key, "nth": nth, "action": "hang"})
            child = subprocess.Popen(command, env=environment(s3), stdout=subprocess.DEVNULL)
            while s3.fired() != [1]:
                assert child.poll() is None, "it ended before it could be killed"
                time.sleep(0.01)
            child.kill()
            child.wait()
            s3.rules()
            at = len(s3.log())
            run = subprocess.run(command, env=environment(s3), text=True, capture_output=True, timeout=300, check=False)
            assert run.returncode == 0, run.stderr[-600:]
            again = [r["key"] for r in s3.log(at) if r["op"] in ("PutObject", "UploadPart") and r["key"].startswith("t/")]
            assert not again, (key, nth, again)
            assert {k: o["sha256"] for k, o in s3.objects().items()} == sums, (key, nth, list(s3.objects()))


def nothing_under_way(_):
    """Neither a list of parts nor a look at an object where no earlier process left a word."""
    with S3F() as s3:
        for make in (a_file, a_tree, a_sink):
            with Folder() as folder:
                command, _ = make(folder, os.path.join(folder.path, "work"))
                subprocess.run(command, env=environment(s3), check=True, capture_output=True, timeout=300)
        found = Counter(r["op"] for r in s3.log())
        extra = {op: n for op, n in found.items() if op not in ("UploadPart", "PutObject")}
        assert extra == {"CreateMultipartUpload": 5, "CompleteMultipartUpload": 5, "HeadObject": 1}, extra


def in_the_hosts_hands(_):
    """vp_s3_upload_part after a token that is older than the last parts: they are taken, unless nothing says whose they are."""
    for settings, args, taken in ((MD5, [], True), (SUMS, ["checksum=3"], True), (SUMS, ["checksum=4"], True),
                                  (SUMS, ["checksum=1"], False)):
        for same in (True, False):
            with S3F() as s3, Folder() as folder:
                s3.config(**settings)
                path, sha = folder.file("f", 18 * MIB)
                token = os.path.join(folder.path, "token")
                command = [HOST, *args, "part=%d" % (5 * MIB), "token=" + token]
                last = ["upload", "b", "k", path]
                subprocess.run([*command, "stop=1", *last], env=environment(s3), stderr=subprocess.DEVNULL, check=False)
                with open(token, "rb") as f:
                    old = f.read()
                subprocess.run([*command, "stop=2", *last], env=environment(s3), stderr=subprocess.DEVNULL, check=False)
                assert len(done(s3)) == 3, done(s3)
                with open(token, "wb") as f:
                    f.write(old)
                if not same:
                    with open(path, "r+b") as f:
                        f.seek(5 * MIB)
                        f.write(folder.random.randbytes(13 * MIB))
                    with open(path, "rb") as f:
                        sha = hashlib.sha256(f.read()).hexdigest()
                host(s3, *command[1:], *last)
                again = sorted(part_of(r)[1] for r in done(s3)[3:])
                assert again == ([4] if taken and same else [2, 3, 4]), (args, same, again)
                assert s3.objects()["k"]["sha256"] == sha and not s3.uploads()


def others(s3, name):
    """On a server of others: what is not sent is told by the bytes that are."""
    client, size, adopted = s3.boto(), 43 * MIB + 5, 0
    for n in range(KILLS):
        for checksum in (0, 1, 2, 3, 4):
            with Folder() as folder:
                folder.random = rng = random.Random(SEED * 1000 + n * 10 + checksum)
                path, sha = folder.file("film.mp4", size)
                work = os.path.join(folder.path, "work")
                command = [HOST, "connections=2", "part=%d" % (5 * MIB), "checksum=%d" % checksum, "work=" + work, "tree",
                           s3.bucket, "k", path]
                child = subprocess.Popen(command, env=environment(s3), stdout=subprocess.DEVNULL,
                                         stderr=subprocess.DEVNULL)
                while child.poll() is None and not client.list_multipart_uploads(Bucket=s3.bucket).get("Uploads"):
                    time.sleep(0.005)
                time.sleep(rng.random() * 0.3)
                child.kill()
                child.wait()
                time.sleep(0.2)
                had = []
                for u in client.list_multipart_uploads(Bucket=s3.bucket).get("Uploads", []):
                    had += client.list_parts(Bucket=s3.bucket, Key="k", UploadId=u["UploadId"]).get("Parts", [])
                if had and n == 0:
                    print("  %s, checksum %d: %s" % (name, checksum, sorted(set(had[0]) - {"LastModified"})), had[0]["ETag"])
                there = sum(p["Size"] for p in had)
                adopted += len(had) > noted(work)
                run = host(s3, *command[1:])
                if had:
                    assert run.counts["sent"] < size - there + 100000, (checksum, there, run.counts["sent"])
                assert hashlib.sha256(client.get_object(Bucket=s3.bucket, Key="k")["Body"].read()).hexdigest() == sha
                assert not client.list_multipart_uploads(Bucket=s3.bucket).get("Uploads")
                client.delete_object(Bucket=s3.bucket, Key="k")
    assert adopted, "at each kill the journal had a word of all parts"


def in_complete_on_others(s3):
    """As if a sink had been killed while the server made the object: the journal is put back to what it was then."""
    client = s3.boto()
    for checksum in (0, 3, 4):
        for change in ("same", "middle", "shorter"):
            with Folder() as folder:
                path, _ = folder.file("grows.mp4", 33 * MIB + 7)
                work, then = os.path.join(folder.path, "work"), os.path.join(folder.path, "then")
                args = ["part=%d" % (5 * MIB), "checksum=%d" % checksum, "work=" + work, "sink", s3.bucket, "t",
                        "grows.mp4=" + path]
                child = subprocess.Popen([HOST, *args], env=environment(s3), stdout=subprocess.DEVNULL,
                                         stderr=subprocess.DEVNULL)
                while not os.path.exists(then):
                    assert child.poll() is None, "it ended before its journal could be read"
                    if any("end" in names for _, _, names in os.walk(work)):
                        child.send_signal(signal.SIGSTOP)
                        shutil.copytree(work, then)
                        child.send_signal(signal.SIGCONT)
                    time.sleep(0.001)
                assert child.wait() == 0
                shutil.rmtree(work)
                os.rename(then, work)
                with open(path, "r+b") as f:
                    if change == "middle":
                        f.seek(22 * MIB)
                        f.write(b"other")
                    elif change == "shorter":
                        f.truncate(22 * MIB)
                with open(path, "rb") as f:
                    sha = hashlib.sha256(f.read()).hexdigest()
                run = host(s3, *args)
                most = {"same": 0, "middle": 14 * MIB, "shorter": 2 * MIB}[change]
                assert run.counts["sent"] < most + 100000, (checksum, change, run.counts["sent"])
                found = client.get_object(Bucket=s3.bucket, Key="t/grows.mp4")["Body"].read()
                assert hashlib.sha256(found).hexdigest() == sha, (checksum, change)
                assert not client.list_multipart_uploads(Bucket=s3.bucket).get("Uploads")
                client.delete_object(Bucket=s3.bucket, Key="t/grows.mp4")


def on_others(_, name):
    try:
        server = real_server(name)
    except Missing as why:
        raise Skip(str(why)) from None
    with server as s3:
        others(s3, name)
        in_complete_on_others(s3)


GROUPS = {
    "scripted": [("put", many, PUT), ("tree", many, TREE), ("sink", many, SINK),
                 ("package", many, TITLE), ("in complete, a file", in_complete, a_file),
                 ("in complete, a tree", in_complete, a_tree), ("in complete, another file", in_complete_of_another),
                 ("in complete, a sink", in_complete, a_sink), ("in complete, a sink, MD5", in_complete_of_a_sink, [], MD5),
                 ("in complete, a sink, CRC-32C", in_complete_of_a_sink, ["checksum=3"], {}),
                 ("in complete, a sink, CRC-64", in_complete_of_a_sink, ["checksum=4"], {}),
                 ("putting away", putting_away), ("nothing under way", nothing_under_way), ("in the host's hands", in_the_hosts_hands)],
    "versitygw": [("versitygw", on_others, "versitygw")],
    "minio": [("minio", on_others, "minio")],
}


def main():
    group = sys.argv[1] if len(sys.argv) > 1 else "scripted"
    cases = Cases("s3-resume-" + group)
    for name, case, *args in GROUPS[group]:
        cases.run(name, case, *args)
    return cases.end()


if __name__ == "__main__":
    sys.exit(main())
