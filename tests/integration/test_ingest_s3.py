#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Uploads in a bucket, vp_ingest_s3, from several processes (ingest_s3_host.c).

    test_ingest_s3.py ways|kills|takeover|share|memory|tus|versitygw|minio HOST
"""
import base64
import hashlib
import os
import random
import re
import signal
import sys
import threading
import time

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "support"))

import s3_servers  # noqa: E402
from test_s3_store import CARELESS  # noqa: E402
from line_host import LineHost  # noqa: E402
from s3_servers import S3F, Missing, real_server  # noqa: E402
from titles import SANITIZED, Cases, Skip  # noqa: E402

HOST = sys.argv[2] if len(sys.argv) > 2 else None
MIB = 1 << 20
PART = "part=%d" % (5 * MIB)
NOW = -5  # for tidy: all that is older than five seconds from now
FAULTS = [{"action": "error", "code": "SlowDown"}, {"action": "error", "code": "InternalError"},
          {"action": "error", "code": "InternalError", "when": "applied"}, {"action": "apply_drop"},
          {"action": "drop"}, {"action": "reset", "received": 50}, {"action": "short"},
          {"action": "slow_first", "delay": 0.05}]


class Host(LineHost):
    """A process with the store."""

    def __init__(self, s3, path, *options, prefix="in"):
        super().__init__(s3, [HOST, *options, path, s3.bucket, prefix])


class Bytes:
    """The file that the hosts take their bytes from."""

    def __init__(self, folder, size, seed):
        self.data = random.Random(seed).randbytes(size)
        self.path = os.path.join(folder, "bytes-%d" % seed)
        with open(self.path, "wb") as f:
            f.write(self.data)

    def sha(self, start, end):
        return hashlib.sha256(self.data[start:end]).hexdigest()


class Bucket:
    """What is in it, by another client."""

    def __init__(self, s3):
        try:
            self.client = s3.boto(retries={"max_attempts": 1, "mode": "standard"})
        except ImportError:
            raise Skip("boto3 is not here") from None
        self.name = s3.bucket

    def keys(self, prefix="in/"):
        found = []
        for page in self.client.get_paginator("list_objects_v2").paginate(Bucket=self.name, Prefix=prefix):
            found += [o["Key"] for o in page.get("Contents", [])]
        return found

    def get(self, key):
        return self.client.get_object(Bucket=self.name, Key=key)["Body"].read()

    def parts(self, prefix="in/"):
        """Uploads in parts that are under way."""
        found = self.client.list_multipart_uploads(Bucket=self.name, Prefix=prefix)
        return [u["Key"] for u in found.get("Uploads", [])]


def data_of(bucket, name):
    keys = bucket.keys("in/data/%s/" % name)
    assert len(keys) == 1, keys
    return bucket.get(keys[0])


def write(host, name, start, size):
    """Appended, synced; what may be told to the client."""
    host.ok("append", name, start, size)
    return int(host.ok("sync", name)[0])


# ---- one upload ----

def ways_on(s3, folder, *options):
    b = Bytes(folder, 30 * MIB, 1)
    bucket = Bucket(s3)
    with Host(s3, b.path, PART, *options) as a, Host(s3, b.path, PART, *options) as other:
        # all at once; with syncs in between; in parts; in parts without a length; nothing; little, without one
        for start, (name, length, steps) in enumerate((("one", 300000, [300000]),
                                                       ("few", 300000, [1, 99999, 0, 200000]),
                                    ("edge", 5 * MIB, [5 * MIB]), ("over", 5 * MIB + 1, [5 * MIB, 1]),
                                    ("parts", 17 * MIB + 5, [7 * MIB + 1, 3, 9 * MIB, MIB + 1]),
                                    ("later", None, [6 * MIB, 100, 11 * MIB, 5]), ("empty", 0, []),
                                    ("short", None, [1000, 2000, 3]))):
            size = sum(steps)
            sha = b.sha(start, start + size)
            a.ok("create", name, "-" if length is None else length)
            a.fails("CONFLICT ALREADY_EXISTS", "create", name, 5)
            at = 0
            for step in steps:
                told = write(a, name, start + at, step)
                at += step
                assert told == at, (name, told, at)
                assert other.ok("stat", name)[1] == str(at), name
            if length is None:
                a.fails("CONFLICT LENGTH_MISMATCH", "finish", name)
                a.ok("length", name, size)
            assert a.ok("finish", name) == ["0", sha], name
            assert a.ok("finish", name) == ["0", sha], name
            a.ok("close", name)
            assert other.ok("read", name) == [str(size), sha], name
            assert other.ok("stat", name)[0] == "4", name
            if size:
                assert hashlib.sha256(data_of(bucket, name)).hexdigest() == sha, name
        names = ("one", "few", "edge", "over", "parts", "later", "empty", "short")
        assert sorted(other.ok("list")) == sorted(n + "=4" for n in names)
        left = [k for k in bucket.keys() if not k.startswith(("in/data/", "in/shared/")) and not k.endswith(".rec")]
        assert not left and not bucket.parts(), (left, bucket.parts())
        for name in names + ("never",):
            other.ok("remove", name)
            assert a.ask("stat", name).startswith("end"), name
        left = [k for k in bucket.keys() if not k.startswith("in/shared/")]
        assert not left, left
        a.quit()
        other.quit()


def each_process_goes_on(s3, folder, *options):
    """As behind a balancer that knows nothing: each chunk comes to another process."""
    b = Bytes(folder, 24 * MIB, 2)
    bucket = Bucket(s3)
    with Host(s3, b.path, PART, *options) as one, Host(s3, b.path, PART, *options) as two:
        one.ok("create", "u", 23 * MIB)
        one.ok("create", "v", "-")
        one.ok("close", "u")
        one.ok("close", "v")
        at = 0
        for i in range(23):
            host = (one, two)[i % 2]
            for name in ("u", "v"):
                assert host.ok("open", name) == [str(at)], (i, name)
                assert write(host, name, at, MIB) == at + MIB
                host.ok("close", name)
            at += MIB
        for name in ("u", "v"):
            two.ok("open", name)
        two.ok("length", "v", at)
        assert two.ok("finish", "u") == ["0", b.sha(0, at)]
        assert two.ok("finish", "v") == ["1", b.sha(0, at)]
        assert one.ok("read", "u") == one.ok("read", "v") == [str(at), b.sha(0, at)]
        two.ok("close", "u")
        two.ok("close", "v")
        left = [k for k in bucket.keys("in/uploads/") if not k.endswith(".rec")]
        assert not left and not bucket.parts(), (left, bucket.parts())


def checks_on(s3, folder, *options):
    b = Bytes(folder, 16 * MIB, 3)
    with Host(s3, b.path, PART, *options) as a:
        a.ok("create", "c", 13 * MIB)
        write(a, "c", 0, 1000)
        for good in (False, True):
            a.ok("check", "c", "sha256")
            a.ok("append", "c", 1000, 11 * MIB)
            if good:
                a.ok("checkend", "c", b.sha(1000, 1000 + 11 * MIB))
            else:
                a.fails("DATA CHECKSUM_MISMATCH", "checkend", "c", "00" * 32)
                assert a.ok("sync", "c") == ["1000"]
        assert write(a, "c", 1000 + 11 * MIB, 2 * MIB - 1000) == 13 * MIB
        assert a.ok("finish", "c") == ["0", b.sha(0, 13 * MIB)]
        assert a.ok("read", "c") == [str(13 * MIB), b.sha(0, 13 * MIB)]
        a.quit()


def peeks_on(s3, folder, *options):
    b = Bytes(folder, 30 * MIB, 4)
    with Host(s3, b.path, PART, *options) as a, Host(s3, b.path) as other:
        a.ok("create", "p", 13 * MIB)
        write(a, "p", 0, 1000)
        assert other.ok("peek", "p", 0, 1000) == ["1000", b.sha(0, 1000)]
        answer = other.ask("peek", "p", 0, 2000)
        assert answer == "again 1000 " + b.sha(0, 1000), answer
        write(a, "p", 1000, 12 * MIB)
        at = 1000 + 12 * MIB
        assert other.ok("peek", "p", 0, 5 * MIB) == [str(5 * MIB), b.sha(0, 5 * MIB)]
        assert other.ok("peek", "p", 11 * MIB, at - 11 * MIB) == [str(at - 11 * MIB), b.sha(11 * MIB, at)]
        assert other.ask("peek", "p", 6 * MIB, 10).startswith("again 0 "), "a part in the middle"
        other.fails("STATE", "read", "p")
        write(a, "p", at, 13 * MIB - at)
        assert other.ok("peek", "p", 0, 13 * MIB) == [str(13 * MIB), b.sha(0, 13 * MIB)]
        a.ok("create", "q", "-")
        write(a, "q", 0, 12 * MIB)
        other.fails("UNSUPPORTED", "peek", "q", 6 * MIB, 10)
        a.quit()


def joins_on(s3, folder, *options):
    """Concatenation: through us, and the last step of a part that is whole comes early."""
    b = Bytes(folder, 14 * MIB, 16)
    with Host(s3, b.path, PART, *options) as a:
        for name, start, size in (("p1", 0, 6 * MIB), ("p2", 6 * MIB, 1000), ("p3", 6 * MIB + 1000, 7 * MIB)):
            a.ok("create", name, size, "x", "partial")
            write(a, name, start, size)
            a.ok("close", name)
        a.ok("join", "j", "p1,p2,p3")
        size = 13 * MIB + 1000
        assert a.ok("finish", "j") == ["0", b.sha(0, size)]
        for name in ("p1", "p2", "p3"):
            a.ok("remove", name)
        assert a.ok("read", "j") == [str(size), b.sha(0, size)]
        a.ok("remove", "j")
        left = [k for k in Bucket(s3).keys() if not k.startswith("in/shared/")]
        assert not left, left
        a.quit()


def ends(folder):
    """A context that closes ends what waits for the server."""
    b = Bytes(folder, 6 * MIB, 17)
    with S3F() as s3:
        for op, words in (("UploadPart", ("append", "e", 0, 5 * MIB)), ("PutObject", ("sync", "e")),
                          ("GetObject", ("stat", "e"))):
            s3.rules()
            with Host(s3, b.path, PART) as a:
                if not a.ask("create", "e", 6 * MIB).startswith("ok"):
                    a.ok("open", "e")
                if op == "PutObject":
                    a.ok("append", "e", 0, 1000)
                s3.rules({"op": op, "action": "hang"})
                a.ok("closing", 300)
                answer = a.ask(*words)
                assert answer.startswith("fail CANCELED"), (op, answer)


def a_day_later(folder):
    """What killed processes left goes after a day, what records name stays."""
    b = Bytes(folder, 30 * MIB, 18)
    with S3F() as s3:
        bucket = Bucket(s3)
        with Host(s3, b.path, PART) as a:
            a.ok("create", "rests", 14 * MIB)
            write(a, "rests", 0, 11 * MIB)
            a.ok("create", "done", 1000, "s")
            write(a, "done", 0, 1000)
            a.ok("finish", "done")
        kept = set(bucket.keys())
        with Host(s3, b.path, PART) as a:
            a.ok("create", "killed", 14 * MIB)
            a.ok("append", "killed", 0, 7 * MIB)  # below sync_bytes: its part is in no record
            a.ok("open", "rests")
            a.ok("append", "rests", 0, 1000)
            s3.rules({"op": "PutObject", "key": "*.rec", "action": "hang"})
            a.send("sync", "rests")  # its piece goes in, its record does not
            while len(set(bucket.keys("in/uploads/rests.tail")) - kept) < 1:
                time.sleep(0.05)
        s3.rules()
        s3.put("in/data/nobody/0123456789abcdef-00000001-01234567", b"x" * 10)
        s3.put("in/uploads/nobody.tail-0123456789abcdef", b"x" * 10)
        assert len(bucket.parts()) == 2
        with Host(s3, b.path, PART) as a:
            a.ok("expire")
            assert len(bucket.parts()) == 2 and "in/uploads/nobody.tail-0123456789abcdef" in bucket.keys(), "too early"
            s3.config(clock_offset=2 * 86400)
            a.ok("expire")
            left = [u["key"] for u in s3.uploads()]  # boto3 does not get on with such a clock
            assert len(left) == 1 and "rests" in left[0], left
            pieces = [k for k in s3.objects() if ".tail-" in k]
            assert len(pieces) == 1 and set(pieces) <= kept, pieces
            assert not [k for k in s3.objects() if "nobody" in k]
            assert a.ok("open", "rests") == [str(11 * MIB)]
            write(a, "rests", 11 * MIB, 3 * MIB)
            assert a.ok("finish", "rests") == ["0", b.sha(0, 14 * MIB)]
            a.ok("close", "rests")
            a.ok("open", "killed")
            write(a, "killed", 0, 14 * MIB)
            assert a.ok("finish", "killed")[1] == b.sha(0, 14 * MIB)
            a.ok("close", "killed")
            a.ok("remove", "rests")
            assert a.ok("read", "killed") == [str(14 * MIB), b.sha(0, 14 * MIB)]
            a.ok("remove", "killed")
            # A shared record that nobody is in is not taken up again in its second half day, and goes after that.
            s3.config(clock_offset=0)  # objects have their times by the true clock
            record = next(k for k in s3.objects() if "/%s" % b.sha(0, 1000) in k)
            a.ok("remove", "done")
            s3.config(clock_offset=50000)
            a.ok("create", "late", 1000, "s")
            write(a, "late", 0, 1000)
            assert a.ok("finish", "late")[0] == "0"
            assert b'"ids":[]' in s3.get(record), s3.get(record)
            a.ok("expire")
            assert record in s3.objects(), "too early"
            s3.config(clock_offset=100000)
            a.ok("expire")
            assert record not in s3.objects(), s3.get(record)
            assert a.ok("read", "late") == ["1000", b.sha(0, 1000)]
            a.ok("close", "late")
            a.ok("remove", "late")
            a.quit()
        left = [k for k in s3.objects() if "/shared/" not in k]
        assert not left and not s3.uploads(), (left, s3.uploads())


def careless(folder):
    """A server that takes a write whatever its conditions say, or that does not know them, is no place for uploads."""
    b = Bytes(folder, 1000, 5)
    true = s3_servers.HERE
    for name in ("if-match", "if-none-match"):
        with open(folder + "/s3_fault_server.py", "w", encoding="utf-8") as f:
            f.write(CARELESS % (true, name))
        s3_servers.HERE = folder
        try:
            with S3F() as s3, Host(s3, b.path) as a:
                answer = a.ask("create", "x", 5)
                assert answer.startswith("fail UNSUPPORTED") and name in answer.lower(), answer
                a.quit()
                assert not s3.objects(), list(s3.objects())
        finally:
            s3_servers.HERE = true
    with S3F() as s3:
        s3.rules({"op": "PutObject", "header": {"if-match": "."}, "action": "error", "code": "NotImplemented"})
        with Host(s3, b.path) as a:
            a.fails("UNSUPPORTED", "create", "x", 5)
            a.quit()
        assert not s3.objects(), list(s3.objects())


def denied(folder):
    """What is not allowed is said, and what was told before stays."""
    b = Bytes(folder, 20 * MIB, 20)
    with S3F() as s3, Host(s3, b.path, PART) as a:
        a.ok("create", "most", 24000 << 30)
        a.fails("LIMIT UPLOAD_TOO_LARGE", "create", "more", (24000 << 30) + 1)  # than an object can hold
        a.ok("remove", "most")
        a.ok("create", "x", 12 * MIB)
        write(a, "x", 0, 1000)
        part = ("append", "x", 1000, 6 * MIB)
        for op, words in (("CreateMultipartUpload", part), ("UploadPart", part), ("PutObject", ("sync", "x"))):
            s3.rules({"op": op, "action": "error", "code": "AccessDenied"})
            if op == "PutObject":
                a.ok("append", "x", 1000, 1000)
            a.fails("AUTH S3_ACCESS_DENIED", *words)
            s3.rules()
            a.ok("close", "x")
            assert a.ok("open", "x") == ["1000"], op
        write(a, "x", 1000, 12 * MIB - 1000)
        assert a.ok("finish", "x") == ["0", b.sha(0, 12 * MIB)]
        a.ok("close", "x")
        a.ok("remove", "x")
        a.ok("tidy", NOW)
        left = [k for k in s3.objects() if "/shared/" not in k]
        assert not left and not s3.uploads(), (left, s3.uploads())
        a.quit()


def ended_by_the_bucket(folder):
    """Parts that a rule of the bucket has ended are told to be lost, once and again, and nothing is left in the end."""
    b = Bytes(folder, 20 * MIB, 25)
    with S3F() as s3, Host(s3, b.path, PART) as a:
        bucket = Bucket(s3)
        for name, size in (("append", 11 * MIB), ("rest", 11 * MIB), ("finish", 20 * MIB)):
            a.ok("create", name, "-" if name == "rest" else 20 * MIB)
            write(a, name, 0, size)
            for u in bucket.client.list_multipart_uploads(Bucket=bucket.name)["Uploads"]:
                bucket.client.abort_multipart_upload(Bucket=bucket.name, Key=u["Key"], UploadId=u["UploadId"])
            words = ("append", name, size, 9 * MIB) if name == "append" else ("finish", name)
            for _ in range(2):
                if name == "rest":
                    a.ok("length", name, size)
                answer = a.ask(*words)
                assert answer.startswith("fail DATA UPLOAD_CORRUPT") and "the bucket has ended" in answer, (name, answer)
                a.ok("close", name)
                assert a.ok("open", name) == [str(size)]
            a.ok("close", name)
            a.ok("remove", name)
        left = [k for k in s3.objects() if "/shared/" not in k]
        assert not left and not s3.uploads(), (left, s3.uploads())
        a.quit()


def proxy_without_server(folder):
    """It says 404 to all: nothing is called unknown or removed by that, nor tidied away."""
    b = Bytes(folder, 1000, 26)
    page = {"action": "garbage", "status": 404, "body": "404 page not found\n"}
    with S3F() as s3, Host(s3, b.path, "attempts=2") as a:
        for name in ("done", "twin"):  # the bytes of the second one are those of the first
            a.ok("create", name, 1000, "s")
            write(a, name, 0, 1000)
            a.ok("finish", name)
            a.ok("close", name)
        a.ok("create", "open", 1000)
        write(a, "open", 0, 500)
        a.ok("close", "open")
        a.ok("remove", "done")
        before = sorted(s3.objects())
        s3.rules(dict(page, op="*"))
        for words in (("stat", "open"), ("open", "open"), ("create", "new", 5), ("remove", "open"), ("read", "twin")):
            a.fails("IO S3_ERROR", *words)
        for rule in ({"op": "*"}, {"op": "GetObject", "key": "*.rec"}, {"op": "GetObject", "key": "*.kept-*"}):
            s3.rules(dict(page, **rule))
            a.fails("IO S3_ERROR", "tidy", NOW)
            assert sorted(s3.objects()) == before, rule
        s3.rules({"op": "GetObject", "key": "*.tail-*", "nth": 1, "action": "html", "size": 2000})
        assert a.ok("open", "open") == ["500"]
        write(a, "open", 500, 500)
        assert s3.fired() == [1]
        assert a.ok("finish", "open") == ["0", b.sha(0, 1000)]
        s3.rules()
        assert a.ok("read", "twin") == ["1000", b.sha(0, 1000)]
        a.quit()


def corrupt(folder):
    """What stands in a record's place and is none is told, and harms nobody else."""
    b = Bytes(folder, 1000, 6)
    with S3F() as s3, Host(s3, b.path) as a:
        a.ok("create", "good", 5)
        for i, body in enumerate((b"", b"VPR1", b"x" * 100, b"VPR1" + bytes(200))):
            s3.put("in/uploads/bad%d.rec" % i, body)
            a.fails("DATA UPLOAD_CORRUPT", "stat", "bad%d" % i)
            a.fails("DATA UPLOAD_CORRUPT", "open", "bad%d" % i)
        a.ok("expire")
        assert a.ok("stat", "good")[0] == "1"
        a.quit()


# ---- kills ----

def kill_on(s3, folder, count, faults=None, seed=7):
    """Hosts are killed at any time. No acknowledged byte is lost, no byte is another's, nothing is left."""
    b = Bytes(folder, 40 * MIB, seed)
    dice = random.Random(seed)
    bucket = Bucket(s3)
    sizes = {"k%d" % i: [400000, 4 * MIB, 12 * MIB, 23 * MIB][i % 4] + dice.randrange(MIB) for i in range(6)}
    starts = {name: dice.randrange(40 * MIB - sizes[name]) for name in sizes}
    acked, finished, removing, killed = {name: None for name in sizes}, set(), set(), []
    if faults:
        s3.rules(*faults)
    for round_ in range(count):
        last = round_ == count - 1
        kill_at = time.monotonic() + (dice.random() * 0.6 if not last else 1e9)
        with Host(s3, b.path, PART, "attempts=40", "sync=%d" % (2 * MIB)) as a:

            def ask(*words):
                """None: it was killed while it worked."""
                timer = threading.Timer(max(0, kill_at - time.monotonic()), a.process.kill) if not last else None
                if timer:
                    timer.start()
                try:
                    a.send(*words)
                    answer = a.answer(600)
                except (AssertionError, BrokenPipeError):
                    if a.process.poll() is None and a.process.wait(30) is None:
                        raise
                    if a.process.returncode != -signal.SIGKILL:
                        raise
                    killed.append(words[0])
                    return None
                finally:
                    if timer:
                        timer.cancel()
                assert answer.split()[0] in ("ok", "fail", "end"), answer
                return answer

            def one(name):
                size, start = sizes[name], starts[name]
                # The same id again, with other bytes. expire ends what a kill left half removed.
                if name in removing or (name in finished and not last):
                    if name in removing and ask("expire") is None:
                        return False
                    removing.add(name)
                    finished.discard(name)
                    if ask("remove", name) is None:
                        return False
                    removing.discard(name)
                    acked[name] = None
                    starts[name] = start = dice.randrange(40 * MIB - size)
                if acked[name] is None:
                    length = "-" if name in ("k4", "k5") else size
                    answer = ask("create", name, length, "scope")
                    if answer and answer.startswith("fail CONFLICT ALREADY_EXISTS"):
                        answer = ask("open", name)
                    if answer is None:
                        return False
                    assert answer.startswith("ok"), answer
                    acked[name] = 0
                    at = int(answer.split()[1]) if " " in answer else 0
                else:
                    answer = ask("open", name)
                    if answer is None:
                        return False
                    assert answer.startswith("ok "), answer
                    at = int(answer.split()[1])
                assert at >= acked[name], "%s: %d bytes were told, %d are there" % (name, acked[name], at)
                while at < size:
                    step = min(size - at, dice.randrange(1, 3 * MIB))
                    if ask("append", name, start + at, step) is None:
                        return False
                    answer = ask("sync", name)
                    if answer is None:
                        return False
                    assert answer == "ok %d" % (at + step), answer
                    at = acked[name] = at + step
                    if not last and dice.random() < 0.2:
                        return ask("close", name) is not None
                if name in ("k4", "k5") and ask("length", name, size) is None:
                    return False
                answer = ask("finish", name)
                if answer is None:
                    return False
                assert re.match(r"ok [01] " + b.sha(start, start + size), answer), answer
                finished.add(name)
                return ask("close", name) is not None

            names = list(sizes)
            dice.shuffle(names)
            for name in names:
                if not one(name):
                    break
            if last:
                assert finished == set(sizes), finished
                for name in sizes:
                    sha = b.sha(starts[name], starts[name] + sizes[name])
                    assert a.ok("read", name) == [str(sizes[name]), sha], name
                if faults:
                    s3.rules()
                for name in sizes:
                    sha = b.sha(starts[name], starts[name] + sizes[name])
                    assert hashlib.sha256(data_of(bucket, name)).hexdigest() == sha, name
                a.ok("tidy", NOW)
                left = [k for k in bucket.keys("in/uploads/") if not k.endswith(".rec")]
                assert not left and not bucket.parts(), (left, bucket.parts())
                for name in sizes:
                    a.ok("remove", name)
                a.ok("tidy", NOW)
                left = [k for k in bucket.keys() if not k.startswith("in/shared/")]
                assert not left and not bucket.parts(), (left, bucket.parts())
                a.quit()
    print("%d kills: %s" % (len(killed), ", ".join("%d in %s" % (killed.count(w), w) for w in sorted(set(killed)))))


def uploads_of_nobody(folder):
    """Of a process that was killed before it wrote down which one it had begun; MinIO lists them by whole keys only."""
    for whole in (False, True):
        with S3F() as s3:
            s3.config(whole_key_prefix=whole)
            try:
                client = s3.boto()
            except ImportError:
                raise Skip("no boto3 (tests/support/requirements.txt)") from None
            for key in ("in/data/x/1", "in/data/y/2", "other/data/x/1", "in2/data/x"):
                client.create_multipart_upload(Bucket="b", Key=key)
            b = Bytes(folder, 1000, 15)
            with Host(s3, b.path) as a:
                a.ok("tidy", NOW)
                assert sorted(u["key"] for u in s3.uploads()) == ["in2/data/x", "other/data/x/1"], (whole, s3.uploads())
                a.quit()


def kills(folder):
    with S3F() as s3:
        kill_on(s3, folder, 60)
        assert not s3.denied()


def kills_and_faults(folder):
    with S3F() as s3:
        kill_on(s3, folder, 40, [{"op": "*", "p": 0.2, "seed": 3, "any": FAULTS}], seed=8)
        assert not s3.denied()


# ---- two processes ----

def takeover_on(s3, folder, *options):
    """The newest writes. What the one before had told stays, what it had not is gone."""
    b = Bytes(folder, 40 * MIB, 9)
    with Host(s3, b.path, PART, *options) as a, Host(s3, b.path, PART, *options) as other:
        for name, size, first, second in (("s", 400000, 100000, 50000), ("l", 16 * MIB, 6 * MIB, 5 * MIB + 77)):
            a.ok("create", name, size)
            assert write(a, name, 0, first) == first
            a.ok("append", name, first, second)
            assert other.ok("open", name) == [str(first)]
            # Other bytes than those that the first one had: what is not told may change.
            a.fails("CONFLICT TAKEN_OVER", "sync", name)
            other.ok("append", name, first + 20 * MIB, size - first)
            a.fails("CONFLICT TAKEN_OVER", "finish", name)
            assert other.ok("sync", name) == [str(size)]
            a.ok("close", name)
            sha = hashlib.sha256(b.data[:first] + b.data[first + 20 * MIB:size + 20 * MIB]).hexdigest()
            assert other.ok("finish", name) == ["0", sha]
            assert a.ok("read", name) == [str(size), sha]
            assert a.ok("open", name) == [str(size)]
            assert a.ok("finish", name) == ["0", sha]
        a.quit()
        other.quit()


def late_parts(folder):
    """Parts of the one before arrive after those of the next one, and replace none of them."""
    b = Bytes(folder, 42 * MIB, 10)
    with S3F() as s3, Host(s3, b.path, PART) as a, Host(s3, b.path, PART) as other:
        a.ok("create", "x", 21 * MIB)
        assert write(a, "x", 0, 6 * MIB) == 6 * MIB
        s3.rules({"op": "UploadPart", "nth": 1, "action": "delay_body", "received": 1000, "delay": 6})
        a.send("append", "x", 6 * MIB, 5 * MIB)  # its part hangs on the way
        while not any(s3.fired()):
            time.sleep(0.02)
        assert other.ok("open", "x") == [str(6 * MIB)]
        assert int(other.ok("append", "x", 26 * MIB, 15 * MIB)[0]) == 21 * MIB
        assert other.ok("sync", "x") == [str(21 * MIB)]
        a.answer()
        a.fails("CONFLICT TAKEN_OVER", "sync", "x")
        sha = hashlib.sha256(b.data[:6 * MIB] + b.data[26 * MIB:26 * MIB + 15 * MIB]).hexdigest()
        assert other.ok("finish", "x") == ["0", sha]
        assert other.ok("read", "x") == [str(21 * MIB), sha]
        assert not s3.uploads(), s3.uploads()


def late_whole(folder):
    """So does the object of one that fits into a part, ending in other bytes than were told."""
    b = Bytes(folder, 2 * MIB, 24)
    with S3F() as s3, Host(s3, b.path, PART) as a, Host(s3, b.path, PART) as other:
        a.ok("create", "x", 400000)
        assert write(a, "x", 0, 100000) == 100000
        s3.rules({"op": "PutObject", "key": "in/data/*", "nth": 1, "action": "delay_body", "received": 1000, "delay": 3})
        a.ok("append", "x", 100000, 300000)
        a.send("sync", "x")
        while not any(s3.fired()):
            time.sleep(0.02)
        assert other.ok("open", "x") == ["100000"]
        other.ok("append", "x", MIB, 300000)
        assert other.ok("sync", "x") == ["400000"]
        sha = hashlib.sha256(b.data[:100000] + b.data[MIB:MIB + 300000]).hexdigest()
        assert other.ok("finish", "x") == ["0", sha]
        assert a.answer().startswith("fail CONFLICT TAKEN_OVER")
        assert other.ok("read", "x") == ["400000", sha]
        other.ok("close", "x")
        other.ok("remove", "x")
        left = [k for k in s3.objects() if "/shared/" not in k]
        assert not left and not s3.uploads(), (left, s3.uploads())


def late_complete(folder):
    """The one before comes to the end while the next one is still sending the last part for that."""
    b = Bytes(folder, 8 * MIB, 27)
    size = 5 * MIB + 100000
    with S3F() as s3, Host(s3, b.path, PART) as a, Host(s3, b.path, PART) as other:
        a.ok("create", "x", "-")
        write(a, "x", 0, size)
        a.ok("length", "x", size)
        s3.rules({"op": "CompleteMultipartUpload", "nth": 1, "action": "late", "hang": True, "until": "UploadPart"})
        a.send("finish", "x")
        while not s3.fired()[0]:
            time.sleep(0.02)
        assert other.ok("open", "x") == [str(size)]
        assert other.ok("finish", "x") == ["0", b.sha(0, size)]
        assert other.ok("read", "x") == [str(size), b.sha(0, size)]
        left = [k for k in s3.objects() if k.startswith("in/uploads/") and not k.endswith(".rec")]
        assert not left and not s3.uploads(), (left, s3.uploads())


def stopped(folder):
    """A process that stands still for a while and goes on harms nobody."""
    b = Bytes(folder, 20 * MIB, 11)
    with S3F() as s3, Host(s3, b.path, PART) as other:
        for i, delay in enumerate((0.0, 0.01, 0.03, 0.1, 0.2)):
            name = "z%d" % i
            with Host(s3, b.path, PART) as a:
                a.ok("create", name, 7 * MIB)
                write(a, name, 0, MIB)
                a.send("append", name, MIB, 5 * MIB)
                a.send("sync", name)
                a.send("append", name, 6 * MIB, MIB)
                a.send("finish", name)
                time.sleep(delay)
                a.process.send_signal(signal.SIGSTOP)
                at = int(other.ok("open", name)[0])
                assert at in (MIB, 6 * MIB, 7 * MIB), at
                if at < 7 * MIB:
                    write(other, name, at, 7 * MIB - at)
                other.ok("finish", name)
                a.process.send_signal(signal.SIGCONT)
                for _ in range(4):
                    a.answer()
                assert other.ok("read", name) == [str(7 * MIB), b.sha(0, 7 * MIB)]
                other.ok("close", name)
                a.quit()


# ---- sharing ----

def share_on(s3, folder, size):
    b = Bytes(folder, size, 12)
    bucket = Bucket(s3)
    with Host(s3, b.path, PART) as one, Host(s3, b.path, PART) as two:
        one.send("many", 20, size, "a", "mine")
        two.send("many", 20, size, "b", "mine")
        got = [h.answer(900).split() for h in (one, two)]
        assert all(g[0] == "ok" and g[2] == "0" for g in got), (got, one.log(), two.log())
        assert sum(int(g[1]) for g in got) == 39, got
        assert one.ok("many", 1, size, "c", "yours") == ["0", "0"]
        full = [k for k in bucket.keys("in/data/") if len(bucket.get(k)) == size]
        assert len(full) == 2, full
        names = ["%s%d" % (x, i) for x in "ab" for i in range(20)]
        owner = next(n for n in names if two.ok("stat", n)[3] == "0")
        for name in [owner] + [n for n in names if n != owner][:-1]:
            (one if name[1:] in ("1", "5", "9") else two).ok("remove", name)
        last = [n for n in names if n != owner][-1]
        assert one.ok("read", last) == [str(size), b.sha(0, size)]
        one.ok("tidy", NOW)
        assert one.ok("read", last) == [str(size), b.sha(0, size)], "its first owner is gone, and all is tidied"
        one.ok("remove", last)
        assert not [k for k in bucket.keys("in/data/") if "/c0/" not in k], bucket.keys()
        assert two.ok("read", "c0") == [str(size), b.sha(0, size)]
        # Again: the place of the first ones is taken up.
        assert one.ok("many", 3, size, "d", "mine") == ["2", "0"]
        for name in ("c0", "d0", "d1", "d2"):
            two.ok("remove", name)
        left = [k for k in bucket.keys() if not k.startswith("in/shared/")]
        assert not left and not bucket.parts(), (left, bucket.parts())
        one.quit()
        two.quit()


def share(folder, size):
    with S3F() as s3:
        share_on(s3, folder, size)


def share_faults(folder):
    with S3F() as s3:
        b = Bytes(folder, 70000, 13)
        bucket = Bucket(s3)
        with Host(s3, b.path, "attempts=40") as one, Host(s3, b.path, "attempts=40") as two:
            s3.rules({"op": "*", "p": 0.2, "seed": 5, "any": FAULTS})
            one.send("many", 20, 70000, "a", "")
            two.send("many", 20, 70000, "b", "")
            got = [h.answer(900).split() for h in (one, two)]
            assert all(g[0] == "ok" and g[2] == "0" for g in got), (got, one.log(), two.log())
            assert sum(int(g[1]) for g in got) >= 30, got  # one whose owner takes long is not waited for
            for x in "ab":
                for i in range(20):
                    one.ok("remove", "%s%d" % (x, i))
            s3.rules()
            one.ok("tidy", NOW)
            left = [k for k in bucket.keys() if not k.startswith("in/shared/")]
            assert not left and not bucket.parts(), (left, bucket.parts())


def share_killed(folder):
    """Killed while they share and leave: who is left has its bytes, and when all are gone nothing is left."""
    b = Bytes(folder, 50000, 14)
    dice = random.Random(14)
    with S3F() as s3:
        bucket = Bucket(s3)
        for round_ in range(12):
            with Host(s3, b.path) as a:
                a.send("many", 6, 50000, "r%d-" % round_, "")
                time.sleep(dice.random() * 0.25)
                a.kill()
        with Host(s3, b.path) as a:
            names = [n.split("=")[0] for n in a.ok("list")]
            for name in names:
                at = int(a.ok("open", name)[0])
                if at < 50000:
                    a.ok("append", name, at, 50000 - at)
                a.ok("finish", name)
                a.ok("close", name)
            dice.shuffle(names)
        for i in range(0, len(names), 5):
            with Host(s3, b.path) as a:
                for name in names[i:i + 5]:
                    a.send("remove", name)
                time.sleep(dice.random() * 0.05)
                a.kill()
        with Host(s3, b.path) as a:
            for name in a.ok("list"):
                name, state = name.split("=")
                if state == "4":
                    assert a.ok("read", name) == ["50000", b.sha(0, 50000)], name
            for name in names:
                a.ok("remove", name)
            a.ok("expire")
            a.ok("tidy", NOW)
            left = [k for k in bucket.keys() if not k.startswith("in/shared/")]
            assert not left, left
            a.quit()


def finish_killed(s3, host, name, seen):
    """Killed when the bytes are shared and the record does not say so yet."""
    s3.rules({"op": "PutObject", "key": "in/uploads/%s.rec" % name, "action": "hang"})
    host.send("finish", name)
    end = time.monotonic() + 60
    while not seen():
        assert time.monotonic() < end
        time.sleep(0.02)
    host.kill()
    s3.rules()


def share_half(folder):
    b = Bytes(folder, 300000, 19)
    with S3F() as s3:
        def record(start):
            keys = [k for k in s3.objects() if k.startswith("in/shared/") and k.endswith(b.sha(start, start + 50000))]
            return s3.get(keys[0]).decode() if keys else ""

        def put(host, name, start):
            host.ok("create", name, 50000)
            write(host, name, start, 50000)

        with Host(s3, b.path) as a:
            put(a, "a", 0)
            finish_killed(s3, a, "a", lambda: record(0))
        with Host(s3, b.path) as a:  # who never ended takes its bytes away, nobody else's
            put(a, "b", 0)
            assert a.ok("finish", "b")[0] == "0"
            a.ok("remove", "a")
            assert a.ok("read", "b") == ["50000", b.sha(0, 50000)]
            put(a, "c", 0)
            assert a.ok("finish", "c")[0] == "1"
            put(a, "d", 1000)
            finish_killed(s3, a, "d", lambda: record(1000))
        with Host(s3, b.path) as a:  # the same, ended later
            a.ok("open", "d")
            assert a.ok("finish", "d")[0] == "0"
            put(a, "e", 1000)
            assert a.ok("finish", "e")[0] == "1"
            put(a, "f", 1000)
            finish_killed(s3, a, "f", lambda: '"f"' in record(1000))
        with Host(s3, b.path) as a:
            put(a, "g", 2000)
            finish_killed(s3, a, "g", lambda: record(2000))
        with Host(s3, b.path) as a:
            for name in "bcedf":
                a.ok("remove", name)
            assert '"ids":["f"]' in record(1000) and '"ids":["g"]' in record(2000) and '"ids":[]' in record(0)
            a.ok("expire")
            assert '"ids":["f"]' in record(1000)
            s3.config(clock_offset=90000)
            a.ok("expire")
            assert '"ids":[]' in record(1000) and '"ids":[]' in record(2000) and not record(0)
            a.ok("open", "g")  # it had come to its end but for one word, and rested for a day
            assert a.ok("finish", "g")[0] == "0"
            assert a.ok("read", "g") == ["50000", b.sha(2000, 52000)]
            a.ok("close", "g")
            a.ok("remove", "g")
            s3.config(clock_offset=190000)
            a.ok("expire")
            assert not s3.objects() and not s3.uploads(), (list(s3.objects()), s3.uploads())
            a.quit()


# ---- memory ----

def memory(folder):
    b = Bytes(folder, 200 * MIB, 15)
    with S3F() as s3, Host(s3, b.path, PART) as a:
        a.ok("create", "warm", 11 * MIB)
        write(a, "warm", 0, 11 * MIB)
        a.ok("finish", "warm")
        a.ok("close", "warm")

        def private():
            with open("/proc/%d/status" % a.process.pid, encoding="ascii") as f:
                return int(re.search(r"^RssAnon:\s+(\d+)", f.read(), re.M).group(1))

        before, most, run = private(), 0, True

        def watch():
            nonlocal most
            while run:
                most = max(most, private())
                time.sleep(0.005)
        watcher = threading.Thread(target=watch)
        watcher.start()
        a.ok("create", "big", 200 * MIB)
        for at in range(0, 200 * MIB, 20 * MIB):
            write(a, "big", at, 20 * MIB)
        a.ok("finish", "big")
        run = False
        watcher.join()
        more = most - before
        assert SANITIZED or more < 12 * 1024, "%d kB more for one upload with parts of 5 MiB" % more
        before = private()
        for i in range(30):
            a.ok("create", "m%d" % i, 10 * MIB)
            write(a, "m%d" % i, 0, MIB)
        grown = private() - before
        assert SANITIZED or grown < 30 * 2.5 * 1024, "%d kB for 30 uploads of 1 MiB so far" % grown
        print("one upload of 200 MiB: %d kB; each of 30 at 1 MiB: %d kB" % (more, grown // 30))


# ---- without memory ----

def allocations(folder):
    """The n-th allocation of a flow fails: NOMEM, or done none the less, and what was told stays; then it goes on."""
    b = Bytes(folder, 12 * MIB, 23)
    size = 6 * MIB + 100000
    flow = (("create", "a", size, "s"), ("append", "a", 0, 100000), ("sync", "a"), ("append", "a", 100000, size - 100000),
            ("sync", "a"), ("close", "a"), ("open", "a"), ("finish", "a"), ("close", "a"), ("stat", "a"), ("peek", "a", 0, 1000),
            ("read", "a"), ("list",), ("expire",), ("remove", "a"))
    with S3F() as s3, Host(s3, b.path, PART) as a:
        a.ok("create", "other", size, "s")  # who shares has more to do
        write(a, "other", 0, size)
        a.ok("finish", "other")
        at, failed, count = 1, 0, 0
        while True:
            a.ok("fail", at)
            for words in flow:
                answer = a.ask(*words)
                if answer.startswith("fail"):
                    assert answer.startswith("fail NOMEM"), (at, words, answer)
                    failed += 1
                    break
            left = int(a.ok("fail", 0)[0])
            a.ask("close", "a")
            answer = a.ask("open", "a")  # END where it was never made, or is removed
            if answer.startswith("ok"):
                now = int(answer.split()[1])
                a.ok("append", "a", now, size - now)
                assert a.ok("finish", "a")[1] == b.sha(0, size), at
                a.ok("close", "a")
                assert a.ok("read", "a") == [str(size), b.sha(0, size)], at
                a.ok("remove", "a")
            else:
                assert answer.startswith("end") or "NO_SUCH" in answer or "NOT_FOUND" in answer, (at, answer)
                a.ok("remove", "a")
            count += 1
            if left > 0:
                break
            at += 1 if os.environ.get("CI_FULL") or at < 40 else 1 + at // 12
        assert count > 20 and failed > 10, (count, failed)
        a.ok("remove", "other")
        a.ok("tidy", NOW)
        kept = [k for k in s3.objects() if "/shared/" not in k]
        assert not kept and not s3.uploads(), (kept, s3.uploads())
        a.quit()
        print("%d allocations, %d of %d flows failed" % (at - left, failed, count))


# ---- by tus ----

TUS = "Tus-Resumable:_1.0.0"
PATCH = TUS + "|Content-Type:_application/offset+octet-stream|Upload-Offset:_%d|Content-Length:_%d"


class Answer:
    def __init__(self, words):
        self.status, self.headers, self.body = int(words[0]), {}, []
        for word in words[1:]:
            name, equals, value = word.partition("=")
            if equals:
                self.headers[name.lower()] = value
            else:
                self.body.append(word)

    def offset(self):
        return int(self.headers["upload-offset"])


def tus(host, method, target, start=0, size=0, headers=TUS, status=None):
    answer = Answer(host.ok("tus", method, target, start, size, headers))
    assert status is None or answer.status == status, (method, target, answer.status, answer.headers)
    return answer


def tus_new(host, length, more=""):
    head = "Upload-Length:_%d" % length if length is not None else "Upload-Defer-Length:_1"
    return tus(host, "POST", "/files/", headers="%s|%s|Content-Length:_0%s" % (TUS, head, more), status=201).headers["location"]


def tus_on(s3, folder, *options):
    """Each request comes to another process; bodies break off, owners are killed; a checksum, a late length, a concatenation."""
    b = Bytes(folder, 30 * MIB, 21)
    bucket, size = Bucket(s3), 23 * MIB + 5
    hosts = [Host(s3, b.path, PART, *options) for _ in range(2)]
    try:
        one, two = hosts
        at = tus_new(one, size)
        assert tus(two, "HEAD", at, status=200).offset() == 0
        assert tus(two, "PATCH", at, 0, 7 * MIB, PATCH % (0, 7 * MIB), 204).offset() == 7 * MIB
        assert tus(one, "HEAD", at, status=200).offset() == 7 * MIB
        tus(one, "PATCH", at, 0, MIB, PATCH % (0, MIB), 409)
        one.ok("tus", "PATCH", at, 7 * MIB, "%d!" % (6 * MIB), PATCH % (7 * MIB, 9 * MIB))  # it breaks off
        now = tus(two, "HEAD", at, status=200).offset()
        assert 7 * MIB <= now <= 13 * MIB, now
        two.send("tus", "PATCH", at, now, size - now, PATCH % (now, size - now))
        time.sleep(random.Random(21).random() * 0.2)
        two.kill()
        told = tus(one, "HEAD", at, status=200).offset()
        assert now <= told <= size, (now, told)
        sha = hashlib.sha256(b.data[told:size]).digest()
        tus(one, "PATCH", at, told, size - told, PATCH % (told, size - told) + "|Upload-Checksum:_sha1_AAAA", 400)
        if told < size:
            wrong = "|Upload-Checksum:_sha256_" + base64.b64encode(bytes(32)).decode()
            tus(one, "PATCH", at, told, size - told, PATCH % (told, size - told) + wrong, 460)
        right = "|Upload-Checksum:_sha256_" + base64.b64encode(sha).decode()
        assert tus(one, "PATCH", at, told, size - told, PATCH % (told, size - told) + right, 204).offset() == size
        hosts[1] = two = Host(s3, b.path, PART, *options)
        assert tus(two, "GET", at, status=200).body == [str(size), b.sha(0, size)]
        assert hashlib.sha256(data_of(bucket, at.split("/")[-1])).hexdigest() == b.sha(0, size)
        tus(two, "DELETE", at, status=204)
        assert tus(one, "HEAD", at).status in (404, 410)

        late = tus_new(one, None)
        tus(two, "PATCH", late, 0, MIB, PATCH % (0, MIB), 204)
        tus(one, "PATCH", late, MIB, 5 * MIB, PATCH % (MIB, 5 * MIB) + "|Upload-Length:_%d" % (6 * MIB), 204)
        assert tus(two, "GET", late, status=200).body == [str(6 * MIB), b.sha(0, 6 * MIB)]

        parts = []
        for i in range(3):
            parts.append(tus_new(hosts[i % 2], 4 * MIB, "|Upload-Concat:_partial"))
            tus(two, "PATCH", parts[i], i * 4 * MIB, 4 * MIB, PATCH % (0, 4 * MIB), 204)
        head = "%s|Content-Length:_0|Upload-Concat:_final;%s" % (TUS, "_".join(parts))
        whole = tus(one, "POST", "/files/", headers=head, status=201).headers["location"]
        assert tus(two, "GET", whole, status=200).body == [str(12 * MIB), b.sha(0, 12 * MIB)]
        for where in (*parts, whole, late):
            tus(one, "DELETE", where, status=204)
        one.ok("tidy", NOW)  # what the killed one left
        left = [k for k in bucket.keys() if "/shared/" not in k]
        assert not left and not bucket.parts(), (left, bucket.parts())
        one.quit()
        two.quit()
    finally:
        for host in hosts:
            host.kill()


def tus_faults(folder):
    with S3F() as s3:
        s3.rules({"op": "*", "p": 0.1, "seed": 8, "any": FAULTS})
        b = Bytes(folder, 16 * MIB, 22)
        with Host(s3, b.path, PART, "attempts=30") as one, Host(s3, b.path, PART, "attempts=30") as two:
            at = tus_new(one, 16 * MIB)
            for i in range(0, 16, 2):
                host = (one, two)[i // 2 % 2]
                assert tus(host, "HEAD", at, status=200).offset() == i * MIB
                tus(host, "PATCH", at, i * MIB, 2 * MIB, PATCH % (i * MIB, 2 * MIB), 204)
            assert tus(one, "GET", at, status=200).body == [str(16 * MIB), b.sha(0, 16 * MIB)]
            one.quit()
            two.quit()


# ---- real servers ----

def real(folder, name, case, *args):
    try:
        server = real_server(name)
    except Missing as why:
        raise Skip(str(why)) from None
    with server as s3:
        case(s3, folder, *args)


def main():
    group = sys.argv[1]
    cases = Cases("ingest-s3-" + group)
    on = {"ways": [ways_on, each_process_goes_on, checks_on, peeks_on, joins_on], "takeover": [takeover_on], "tus": [tus_on]}
    for case in on.get(group, []):
        for what in ((), ("checksum=3",), ("checksum=4",)):
            def one(folder, case=case, what=what):
                with S3F() as s3:
                    case(s3, folder, *what)
                    assert not s3.denied()
            cases.run(case.__name__ + "".join(" " + w for w in what), one)
    for case in {"ways": [careless, denied, ended_by_the_bucket, proxy_without_server, corrupt, ends, a_day_later, uploads_of_nobody],
                 "kills": [kills, kills_and_faults], "takeover": [late_parts, late_whole, late_complete, stopped],
                 "share": [share_faults, share_killed, share_half], "memory": [memory, allocations], "tus": [tus_faults]}.get(group, []):
        cases.run(case.__name__, case)
    if group == "share":
        cases.run("small", share, 70000)
        cases.run("parts", share, 6 * MIB)
    if group in ("versitygw", "minio"):
        for case, args in ((ways_on, ()), (each_process_goes_on, ()), (checks_on, ()), (peeks_on, ()), (joins_on, ()), (takeover_on, ()), (tus_on, ()),
                           (share_on, (70000,)), (share_on, (6 * MIB,)), (kill_on, (8,))):
            cases.run(case.__name__ + "".join(" %d" % a for a in args), real, group, case, *args)
    return cases.end()


if __name__ == "__main__":
    sys.exit(main())
