#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Tries of parts that were given up and that the server carries out later, where its ETags are no MD5: Complete then says
InvalidPart, as the part has an ETag that nobody was told.

    test_s3_late.py parts|uploads S3_HOST INGEST_S3_HOST
"""
import os
import re
import subprocess
import sys
import time
from collections import Counter

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "support")]

INGEST = sys.argv.pop(3) if len(sys.argv) > 3 else None

from s3_servers import S3F  # noqa: E402
from test_s3_faults import HOST, Folder, environment, host, put  # noqa: E402
from titles import Cases  # noqa: E402
import test_ingest_s3  # noqa: E402
from test_ingest_s3 import Bytes, write  # noqa: E402

MIB = 1 << 20
test_ingest_s3.HOST = INGEST
CHECKSUMS = range(5)  # the server's list has those of 3 and 4; of the others it tells size and ETag alone


def late(nth, **more):
    return dict({"op": "UploadPart", "nth": nth, "action": "late"}, **more)


def of(s3, key, start=0):
    return Counter(r["op"] for r in s3.log(start) if r["key"] == key)


def numbers(s3, key, start=0):
    """Of parts that the server took, in the order of their coming; of one that came in late the second time."""
    return [int(re.search(r"partNumber=(\d+)", r["path"])[1]) for r in s3.log(start)
            if r["op"] == "UploadPart" and r["key"] == key and r["applied"]]


def put_again(server, size, rules, args=(), key="k", good=True):
    """What it asked for."""
    at = len(server.log())
    run = put(server, size, rules, args, key, good)
    return run, of(server, key, at)


# ---- parts of a writer ----

def comes_in_late():
    """The part is ours, whatever its ETag is: nothing is sent again, nothing is lost."""
    for checksum in CHECKSUMS:
        for rules in ([late(1)], [late([1, 3])], [late(2, hang=True)]):
            with S3F() as s3:
                run, seen = put_again(s3, 20 * MIB, rules, ["checksum=%d" % checksum, "stall=700"])
                parts = 3 + len(rules[0]["nth"] if isinstance(rules[0]["nth"], list) else [1])
                assert seen == {"CreateMultipartUpload": 1, "UploadPart": parts, "CompleteMultipartUpload": 2,
                                "HeadObject": 1, "ListParts": 1}, seen
                assert run.counts["retries"] == parts - 3, run.counts
    with S3F() as s3:  # with ETags that are the MD5 the part is the one that it was
        s3.config(etag="md5")
        _, seen = put_again(s3, 20 * MIB, [late(1)])
        assert seen["CompleteMultipartUpload"] == 1 and not seen["ListParts"], seen
    with S3F() as s3:  # a list of several pages
        s3.config(max_keys=2)
        _, seen = put_again(s3, 43 * MIB, [late(6)], ["part=%d" % (5 * MIB)])
        assert seen["ListParts"] == 5 and seen["CompleteMultipartUpload"] == 2, seen


def again_and_again():
    """One after the other, each behind the list that was made for the one before; not without end."""
    with S3F() as s3:
        _, seen = put_again(s3, 20 * MIB, [late(1), late(1, nth_until=2), late(1, nth_until=3)])
        assert seen["CompleteMultipartUpload"] == 4 and seen["ListParts"] == 3 and seen["UploadPart"] == 6, seen
        run, seen = put_again(s3, 20 * MIB, [late(1, nth_until=n) for n in (1, 2, 3, 4)], key="e", good=False)
        assert seen["CompleteMultipartUpload"] == 4 and seen["AbortMultipartUpload"] == 1, seen
        assert "InvalidPart" in run.err and "e" not in s3.objects(), run.err


def the_list_explains_nothing():
    """InvalidPart for what is no late part, as R2 says it of parts of several sizes; InvalidPartOrder is asked nothing."""
    for code, lists in (("InvalidPart", 1), ("InvalidPartOrder", 0)):
        with S3F() as s3:
            rule = {"op": "CompleteMultipartUpload", "action": "error", "code": code, "status": 400}
            run, seen = put_again(s3, 20 * MIB, [rule], key="e", good=False)
            assert seen["CompleteMultipartUpload"] == 1 and seen["ListParts"] == lists, seen
            assert seen["AbortMultipartUpload"] == 1 and code in run.err and "later" not in run.err, run.err
    with S3F() as s3:
        rules = [late(1), {"op": "ListParts", "action": "error", "code": "AccessDenied"}]
        run, seen = put_again(s3, 20 * MIB, rules, key="e", good=False)
        assert "InvalidPart" in run.err and seen["AbortMultipartUpload"] == 1, run.err


def other_bytes():
    """What came in late is not what was sent: the part goes again, from a file or from another source."""
    for more in ([], ["held=1"], ["checksum=3"], ["checksum=4"]):
        for nth, part in ((2, 2), (3, 3)):
            with S3F() as s3:
                rule = dict(late(None, part=part, cut=1000), nth=1)
                _, seen = put_again(s3, 20 * MIB, [rule], more)
                assert seen["UploadPart"] == 5 and numbers(s3, "k").count(part) == 2, (more, seen)
                assert seen["CompleteMultipartUpload"] == 2 and not seen["AbortMultipartUpload"], seen
    with S3F() as s3:  # and no end of it
        rules = [dict(late(n, cut=1000, nth_until=n), part=2) for n in (1, 1, 1, 1)]
        for n, rule in enumerate(rules):
            rule.update(nth=1, nth_until=n + 1)
        run, seen = put_again(s3, 20 * MIB, rules, key="e", good=False)
        assert "InvalidPart" in run.err and "may work later" in run.err, run.err
        assert seen["CompleteMultipartUpload"] == 4 and seen["AbortMultipartUpload"] == 1, seen


def of_a_tree():
    """The same of the large files of a tree, and what is behind them waits (S21)."""
    for cut in (0, 1000):
        for work in (False, True):
            with S3F() as s3, Folder() as folder:
                sums = {"t/" + name: folder.file("in/" + name, size)[1]
                        for name, size in (("a.mp4", 20 * MIB), ("b.mp4", 20 * MIB + 1), ("master.m3u8", 300))}
                s3.rules(late(1, key="*a.mp4", cut=cut), late(2, key="*b.mp4", cut=cut))
                more = ["work=" + os.path.join(folder.path, "work")] if work else []
                host(s3, *more, "tree", "b", "t", os.path.join(folder.path, "in"))
                assert s3.fired() == [1, 1] and not s3.uploads(), s3.uploads()
                assert {k: o["sha256"] for k, o in s3.objects().items()} == sums
                order = [r["key"] for r in s3.log() if r["op"] in ("PutObject", "CompleteMultipartUpload") and r["applied"]]
                assert order[-1] == "t/master.m3u8", order
                sent = sum(r["op"] == "UploadPart" for r in s3.log())
                assert sent == (8 if cut == 0 else 10), sent


def of_an_earlier_process():
    """Nobody knows what a process that was killed had on its way: such a part goes again, unless a sum tells."""
    for checksum, again in ((1, [1]), (3, []), (4, [])):
        with S3F() as s3, Folder() as folder:
            path, sha = folder.file("film.mp4", 28 * MIB)
            command = ["checksum=%d" % checksum, "work=" + os.path.join(folder.path, "work"), "tree", "b",
                       "k", path]
            s3.rules(dict(late(1), part=1), {"op": "UploadPart", "part": 3, "nth": 1, "action": "hang", "when": "headers"})
            had = {1, 2, 4}
            child = subprocess.Popen([HOST, *command], env=environment(s3), stdout=subprocess.DEVNULL,
                                     stderr=subprocess.DEVNULL)
            while set(numbers(s3, "k")) != had:
                assert child.poll() is None, "it ended before it could be killed"
                time.sleep(0.02)
            time.sleep(0.5)  # the first parts are written down
            child.kill()
            child.wait()
            at = len(s3.log())
            host(s3, *command)
            assert s3.objects()["k"]["sha256"] == sha and not s3.uploads(), s3.uploads()
            assert [n for n in numbers(s3, "k", at) if n != 3] == again, (checksum, numbers(s3, "k", at))


def of_a_sink():
    """Its bytes are gone. What can be told is taken; else the object fails, may be tried again, and nothing is left."""
    for checksum in CHECKSUMS:
        for cut in (0, 1000):
            with S3F() as s3, Folder() as folder:
                path, sha = folder.file("f", 20 * MIB)
                command = ["checksum=%d" % checksum, "work=" + os.path.join(folder.path, "work"), "sink", "b", "t",
                           "film.mp4=" + path]
                s3.rules(late(1, cut=cut))
                run = host(s3, *command, good=not cut)
                assert not s3.uploads() and s3.fired() == [1], s3.uploads()
                if cut:
                    assert "InvalidPart" in run.err and "may work later" in run.err, run.err
                    assert not s3.objects()
                    host(s3, *command)
                assert s3.objects()["t/film.mp4"]["sha256"] == sha
                assert of(s3, "t/film.mp4")["UploadPart"] == (4 if not cut else 7)


def in_the_hosts_hands():
    """Where others have the token, or the address of a part, only a sum tells. The host has the bytes."""
    for checksum in CHECKSUMS:
        for cut, shown in ((0, ""), (0, "token"), (0, "show"), (1000, "token")):
            with S3F() as s3, Folder() as folder:
                path, sha = folder.file("f", 20 * MIB)
                token = ["token=" + os.path.join(folder.path, "token")] if shown == "token" else []
                command = ["checksum=%d" % checksum, *token, "show=%d" % (shown == "show"), "upload", "b", "k", path]
                s3.rules(late(1, cut=cut))
                good = not cut and (not shown or checksum >= 3)
                run = host(s3, *command, good=good)
                if good:
                    assert s3.objects()["k"]["sha256"] == sha and not s3.uploads(), s3.uploads()
                    continue
                # the parts stay, and a new process, or vp_s3_upload_has, tells which one is missing
                assert "InvalidPart" in run.err and "may work later" in run.err and s3.uploads(), run.err
                if token:
                    assert host(s3, *command).out.startswith("sent 1\n")
                    assert s3.objects()["k"]["sha256"] == sha and not s3.uploads(), s3.uploads()


# ---- uploads in a bucket ----

def uploads(folder):
    """Its bytes are in the bucket alone."""
    b = Bytes(folder, 30 * MIB, 1)
    for checksum in CHECKSUMS:
        with S3F() as s3, test_ingest_s3.Host(s3, b.path, test_ingest_s3.PART, "checksum=%d" % checksum) as a, \
                test_ingest_s3.Host(s3, b.path, test_ingest_s3.PART, "checksum=%d" % checksum) as other:
            for n, (name, length) in enumerate((("x", 17 * MIB), ("y", 17 * MIB), ("z", None))):
                a.ok("create", name, length or "-")
                s3.rules(late(n + 1))
                assert write(a, name, n, 17 * MIB) == 17 * MIB
                assert s3.fired() == [1]
                if length is None:
                    a.ok("length", name, 17 * MIB)
                if name == "y":  # by another process
                    a.ok("close", name)
                    assert other.ok("open", name) == [str(17 * MIB)]
                assert (other if name == "y" else a).ok("finish", name) == ["0", b.sha(n, n + 17 * MIB)]
                assert a.ok("read", name) == [str(17 * MIB), b.sha(n, n + 17 * MIB)]
            assert not s3.uploads()


def uploads_that_are_lost(folder):
    """Confirmed bytes that are there no more: this is told, of each try, and what is there stays."""
    b = Bytes(folder, 30 * MIB, 1)
    for checksum in (0, 3, 4):
        with S3F() as s3, test_ingest_s3.Host(s3, b.path, test_ingest_s3.PART, "checksum=%d" % checksum) as a:
            a.ok("create", "x", 17 * MIB)
            s3.rules(late(1, cut=1000))
            assert write(a, "x", 0, 17 * MIB) == 17 * MIB
            for _ in range(2):
                a.fails("DATA UPLOAD_CORRUPT", "finish", "x")
                assert len(s3.uploads()[0]["parts"]) == 4, s3.uploads()
            a.ok("close", "x")
            a.ok("remove", "x")
            assert not s3.uploads()


def uploads_of_many_owners(folder):
    """Once the classes of numbers have come round a part may be of an owner long before: then only a sum tells."""
    b = Bytes(folder, 30 * MIB, 1)
    for checksum in (1, 3):
        options = (test_ingest_s3.PART, "checksum=%d" % checksum)
        with S3F() as s3, test_ingest_s3.Host(s3, b.path, *options) as a, test_ingest_s3.Host(s3, b.path, *options) as other:
            a.ok("create", "x", 17 * MIB)
            s3.rules(late(1))
            assert write(a, "x", 0, 16 * MIB) == 16 * MIB
            for n in range(10):
                (other if n % 2 else a).ok("close", "x")
                assert (a if n % 2 else other).ok("open", "x") == [str(16 * MIB)]
            write(a, "x", 16 * MIB, MIB)
            if checksum == 1:
                a.fails("DATA UPLOAD_CORRUPT", "finish", "x")
            else:
                assert a.ok("finish", "x") == ["0", b.sha(0, 17 * MIB)]


def the_rest_has_a_number_of_its_own(folder):
    """A part that failed, whose bytes were not confirmed, comes in late: not in place of the last one."""
    b = Bytes(folder, 40 * MIB, 1)
    with S3F() as s3, test_ingest_s3.Host(s3, b.path, test_ingest_s3.PART, "attempts=1") as a:
        a.ok("create", "x", "-")
        assert write(a, "x", 0, 6 * MIB) == 6 * MIB
        s3.rules(late(1))
        a.fails("", "append", "x", 20 * MIB, 5 * MIB)
        assert s3.fired() == [1]
        a.ok("close", "x")
        assert a.ok("open", "x") == [str(6 * MIB)]
        assert write(a, "x", 6 * MIB, MIB) == 7 * MIB
        a.ok("length", "x", 7 * MIB)
        assert a.ok("finish", "x") == ["0", b.sha(0, 7 * MIB)]
        assert a.ok("read", "x") == [str(7 * MIB), b.sha(0, 7 * MIB)]


GROUPS = {
    "parts": [comes_in_late, again_and_again, the_list_explains_nothing, other_bytes, of_a_tree, of_an_earlier_process,
              of_a_sink, in_the_hosts_hands],
    "uploads": [uploads, uploads_that_are_lost, uploads_of_many_owners, the_rest_has_a_number_of_its_own],
}


def main():
    group = sys.argv[1] if len(sys.argv) > 1 else "parts"
    cases = Cases("s3 late " + group)
    for case in GROUPS[group]:
        name = case.__name__.replace("_", " ")
        cases.run(name, case if group == "uploads" else lambda _, case=case: case())
    return cases.end()


if __name__ == "__main__":
    sys.exit(main())
