#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Rows S01 to S25 of object storage, each provoked on the scripted server (tests/support/s3_fault_server.py), which checks
every signature by itself.

    test_s3_faults.py GROUP S3_HOST
"""
import hashlib
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "support"))

from s3_servers import S3F  # noqa: E402
from titles import SANITIZED, Cases, Skip  # noqa: E402

MIB = 1 << 20
HOST = sys.argv[2] if len(sys.argv) > 2 else ""
PATH_STYLE, VIRTUAL_HOST, ENVIRONMENT = 1, 2, 4


class Run:
    def __init__(self, done):
        self.code, self.out, self.err = done.returncode, done.stdout, done.stderr
        lines = [line for line in self.err.split("\n") if line.startswith('{"requests"')]
        self.counts = json.loads(lines[-1]) if lines else None

    def value(self):
        return json.loads(self.out.strip().split("\n")[-1])


def environment(server, **more):
    env = {k: v for k, v in os.environ.items() if not k.startswith("AWS_")}
    env.update(server.env())
    env.update(more)
    return env


def host(server, *args, good=True, timeout=120, env=None):
    done = subprocess.run([HOST, *args], env=env or environment(server), text=True, capture_output=True, timeout=timeout,
                          check=False)
    run = Run(done)
    if good is not None:
        assert (run.code == 0) == good, "%s: exit %d: %s %s" % (" ".join(args), run.code, run.out[-300:], run.err[-600:])
    if good is False:
        assert run.code == 1, "exit %d: %s" % (run.code, run.err[-600:])
    return run


class Folder:
    """Files of random bytes, each with its SHA-256."""

    def __init__(self):
        self.temporary = tempfile.TemporaryDirectory(prefix="vodpipe-s3-")
        self.path, self.random = self.temporary.name, random.Random(7)

    def file(self, name, size):
        path = os.path.join(self.path, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        data = self.random.randbytes(size)
        with open(path, "wb") as f:
            f.write(data)
        return path, hashlib.sha256(data).hexdigest()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.temporary.cleanup()


def put(server, size, rules=(), args=(), key="k", good=True, **named):
    """One object under these rules; afterwards it is exact and nothing is left over, or it is not there."""
    with Folder() as folder:
        path, sha = folder.file("f", size)
        server.rules(*rules)
        run = host(server, *args, "put", "b", key, path, good=good, **named)
        server.rules()
        found = server.objects().get(key)
        assert not server.uploads(), "parts are left: %s" % server.uploads()
        assert set(server.denied()) <= {"AuthorizationHeaderMalformed"}, server.denied()
        if good:
            assert found and found["sha256"] == sha and found["size"] == size, found
        return run


# ---- the table ----

def s01_complete_says_error_in_200():
    with S3F() as s3:
        rule = {"op": "CompleteMultipartUpload", "nth": [1, 2], "action": "error200", "code": "InternalError"}
        run = put(s3, 20 * MIB, [rule])
        assert run.counts["retries"] == 2
        rule = {"op": "CompleteMultipartUpload", "nth": 1, "action": "error200", "code": "InternalError", "ws": 3,
                "interval": 0.05, "drop": True}
        put(s3, 20 * MIB, [rule], key="spaces")
        put(s3, 20 * MIB, [{"op": "CompleteMultipartUpload", "action": "ws", "ws": 4, "interval": 0.05}], key="true")
        put(s3, 20 * MIB, [{"op": "PutObject", "action": "error200", "code": "SlowDown", "nth": 1}], args=["from=41943040"],
            key="single")
        run = put(s3, 20 * MIB, [{"op": "CompleteMultipartUpload", "action": "error200", "code": "InternalError"}],
                  args=["attempts=3"], key="never", good=False)
        assert "S3_ERROR" in run.err and "InternalError" in run.err and "never" not in s3.objects(), run.err


def s02_answer_of_complete_is_lost():
    with S3F() as s3:
        put(s3, 20 * MIB, [{"op": "CompleteMultipartUpload", "nth": 1, "action": "apply_drop"}])
        put(s3, 20 * MIB, [{"op": "CompleteMultipartUpload", "nth": 1, "action": "error", "code": "InternalError",
                            "when": "applied"}], key="denied")
        aborts = [r for r in s3.log() if r["op"] == "AbortMultipartUpload"]
        assert not aborts, "an upload that was complete was aborted"
        # whoever stands between may answer 200 to a HEAD: that tells nothing
        put(s3, 20 * MIB, [{"op": "CompleteMultipartUpload", "nth": 1, "action": "apply_drop"},
                           {"op": "HeadObject", "nth": [1, 2], "action": "error200", "code": "InternalError"}], key="looked")
        # somebody else's object of that name is no success
        s3.put("other", b"x" * 100)
        run = put(s3, 20 * MIB, [{"op": "CompleteMultipartUpload", "action": "error", "code": "NoSuchUpload"}], key="other",
                  good=False)
        assert s3.objects()["other"]["size"] == 100 and "NoSuchUpload" in run.err


def s03_s04_parts():
    with S3F() as s3:
        for size in (5 * MIB - 1, 5 * MIB, 5 * MIB + 1, 10 * MIB, 8 * MIB - 1, 8 * MIB, 8 * MIB + 1):
            put(s3, size, args=["part=%d" % (5 * MIB), "from=%d" % (5 * MIB)], key="k%d" % size)
        parts = [r for r in s3.log() if r["op"] == "UploadPart"]
        assert parts and not [r for r in s3.log() if r.get("code") == "EntityTooSmall"]
        # an unknown size goes through the sink in the same way: see test_s3_cli


def parts_hashed_together():
    """Few parts while connections wait, then as many as the processor hashes at a time, what is left, and its end."""
    part = 5 * MIB + 3
    with S3F() as s3:
        for checksum, parts in ((4, 21), (2, 7), (3, 2)):
            seen = len(s3.log())
            put(s3, parts * part + 1000, args=["part=%d" % part, "from=%d" % part, "connections=2", "checksum=%d" % checksum],
                key="k%d" % checksum)
            sent = [r for r in s3.log(seen) if r["op"] == "UploadPart"]
            assert len(sent) == parts + 1 and {r["status"] for r in sent} == {200}, sent


def s05_slow_down():
    with S3F() as s3, Folder() as folder:
        for i in range(200):
            folder.file("%03d" % i, 2000)
        s3.rules({"op": "*", "for_s": 4, "action": "error", "code": "SlowDown"})
        run = host(s3, "attempts=30", "tree", "b", "t", folder.path)
        stamps = [r["t"] for r in s3.log()]
        slow = [t for t in stamps if t - stamps[0] < 4]
        assert run.counts["slow_downs"] >= 3, run.counts
        assert len(slow) < 60, "%d requests in 4 s of SlowDown" % len(slow)
        assert len(s3.objects()) == 200
        run = put(s3, 1000, [{"op": "*", "action": "error", "code": "SlowDown"}], args=["attempts=3"], key="never", good=False)
        assert "S3_SLOW_DOWN" in run.err, run.err


def s06_s07_clock():
    for offset in (3600, -3600):
        with S3F() as s3:
            s3.config(clock_offset=offset)
            run = host(s3, "head", "b", "none")
            assert abs(run.counts["skew_us"] / 1e6 - offset) < 5, run.counts
            with Folder() as folder:
                path, sha = folder.file("f", 20 * MIB)
                run = host(s3, "put", "b", "k", path)
                assert run.counts["retries"] <= 8 and s3.objects()["k"]["sha256"] == sha
    with S3F() as s3: # a retry after a second is signed anew
        s3.config(window=5) # a busy machine takes a second or two from signing to sending
        put(s3, 1000, [{"op": "PutObject", "first": 2, "action": "slow_first", "delay": 7}], args=["stall=6000"])


def s08_credentials_end_in_mid_upload():
    with S3F(access_key="first", secret_key="one", token="tok1") as s3, Folder() as folder:
        path, sha = folder.file("f", 40 * MIB)
        keys = os.path.join(folder.path, "keys.json")
        script = os.path.join(folder.path, "give")
        with open(script, "w", encoding="ascii") as f:
            f.write("#!/bin/sh\ncat %s\n" % keys)
        os.chmod(script, 0o700)
        config = os.path.join(folder.path, "config")
        with open(config, "w", encoding="ascii") as f:
            f.write("[default]\ncredential_process = %s\n" % script)

        def give(access, secret, token):
            with open(keys + ".new", "w", encoding="ascii") as f:
                json.dump({"Version": 1, "AccessKeyId": access, "SecretAccessKey": secret, "SessionToken": token}, f)
            os.rename(keys + ".new", keys)

        give("first", "one", "tok1")
        env = environment(s3, AWS_CONFIG_FILE=config)
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
            env.pop(name, None)
        s3.rules({"op": "UploadPart", "part": 3, "first": 1, "action": "slow_first", "delay": 1})
        child = subprocess.Popen([HOST, "connections=1", "part=%d" % (5 * MIB), "put", "b", "k", path], env=env,
                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        deadline = time.monotonic() + 60
        while not [r for r in s3.log() if r["op"] == "UploadPart"] and time.monotonic() < deadline:
            time.sleep(0.05)
        give("second", "two", "tok2")
        s3.set_keys("second", "two", "tok2", others={"first": {"secret": "one", "token": "tok1", "expired": True}})
        out, err = child.communicate(timeout=120)
        assert child.returncode == 0, err[-600:]
        ids = {r["query"].get("uploadId") if isinstance(r.get("query"), dict) else None for r in s3.log()
               if r["op"] == "UploadPart"}
        assert s3.objects()["k"]["sha256"] == sha and len(ids) == 1 and not s3.uploads(), ids
        for secret in ("one", "two", "tok1", "tok2"):
            assert '"%s"' % secret not in out + err and " %s " % secret not in out + err


def s09_regions():
    shapes = [{"action": "permanent_redirect", "region": "eu-west-3", "endpoint": "b.s3.eu-west-3.amazonaws.com"},
              {"action": "permanent_redirect", "region": "eu-west-3", "bare": True},
              {"action": "malformed_region", "region": "eu-west-3"}]
    for n, shape in enumerate(shapes):
        for size in (1000, 20 * MIB):
            with S3F(region="eu-west-3") as s3:
                rule = dict(shape, op="*", first=1)
                run = put(s3, size, [rule], key="k%d" % n, env=environment(s3, AWS_REGION="us-east-1"))
                scopes = [r for r in s3.log() if "eu-west-3" in json.dumps(r["headers"])]
                assert scopes, "the region was not learned: %s" % s3.log()[-1]["headers"]
                assert run.counts["retries"] == 1, run.counts


def s09_endpoint_of_another_region():
    """An endpoint of AWS that names a region, and a bucket elsewhere. The server is asked as a proxy, under these names."""
    domains = ["s3.%seu-west-3.amazonaws.com" % more for more in ("", "dualstack.")] + \
        ["s3.%sus-east-1.amazonaws.com" % more for more in ("", "dualstack.")] + ["s3.amazonaws.com"]
    shapes = [{"action": "permanent_redirect", "region": "eu-west-3"},
              {"action": "permanent_redirect", "region": "eu-west-3", "bare": True},
              {"action": "malformed_region", "region": "eu-west-3"}]
    for n, start in enumerate(("s3.us-east-1.amazonaws.com", "s3.dualstack.us-east-1.amazonaws.com", "s3.amazonaws.com")):
        with S3F(region="eu-west-3", buckets=["bucket"]) as s3:
            s3.config(domains=domains)
            env = environment(s3, AWS_ENDPOINT_URL="http://" + start, http_proxy=s3.url)
            env.pop("AWS_REGION"), env.pop("AWS_DEFAULT_REGION"), env.pop("no_proxy", None)
            s3.rules(dict(shapes[n], op="*", header={"host": "us-east-1|s3.amazonaws"}))
            with Folder() as folder:
                for size, flags in ((1000, 0), (20 * MIB, 0), (1000, PATH_STYLE)):
                    seen = len(s3.log())
                    path, sha = folder.file("f", size)
                    run = host(s3, "flags=%d" % flags, "put", "bucket", "k%d" % size, path, env=env)
                    assert run.counts["retries"] == 1 and s3.objects()["k%d" % size]["sha256"] == sha, run.counts
                    hosts = [r["headers"]["host"] for r in s3.log(seen)]
                    there = start.replace("us-east-1", "eu-west-3").replace("s3.amazon", "s3.eu-west-3.amazon")
                    style = "" if flags else "bucket."
                    assert hosts[0] == style + start and set(hosts[1:]) == {style + there}, hosts
            assert set(s3.denied()) <= {"AuthorizationHeaderMalformed"}, s3.denied()
            # a name that is no region, nor a host of AWS's, is not gone to
            s3.config(region="us-east-1")
            s3.rules({"op": "*", "action": "permanent_redirect", "region": "x.example.org/", "endpoint": "x.example.org"})
            seen = len(s3.log())
            assert "PermanentRedirect" in host(s3, "get", "bucket", "k1000", good=False, env=env).err
            assert [r["headers"]["host"] for r in s3.log(seen)] == ["bucket." + start], s3.log(seen)


def s10_no_redirect_with_credentials():
    with S3F() as s3:
        run = put(s3, 1000, [{"op": "*", "action": "redirect", "to": s3.second_url}], good=False)
        seen = s3.log()
        assert seen and all(r["port"] == s3.port for r in seen), "credentials went to another port"
        assert "S3_ERROR" in run.err, run.err


def s11_styles():
    with S3F() as s3:
        put(s3, 100)
        put(s3, 100, args=["flags=%d" % PATH_STYLE], key="p")
        assert s3.log()[-1]["path"].startswith("/b/")
        env = environment(s3, AWS_ENDPOINT_URL="http://localhost:%d" % s3.port)
        with Folder() as folder:
            path, _ = folder.file("f", 100)
            host(s3, "flags=%d" % VIRTUAL_HOST, "put", "b", "v", path, env=env)
        last = s3.log()[-1]
        assert last["path"] == "/v" and "v" in s3.objects(), last


KEYS = ["a+b c~@(\u00e9)/../%", "plain", "two//slashes", "trailing/", "./dot", "100%", "\u65e5\u672c/\U0001f3ac.m4s",
        "a&b=c;d?e#f", "quote'\"<>", "%2F", "~tilde_-.", "*'()!", "-dash", "x" * 1024]


def s12_keys():
    with S3F() as s3, Folder() as folder:
        path, sha = folder.file("f", 300)
        big, big_sha = folder.file("g", 12 * MIB)
        for key in KEYS:
            host(s3, "put", "b", key, path)
            assert s3.objects()[key]["sha256"] == sha, key
            assert json.loads(host(s3, "head", "b", key).out)["size"] == 300
        host(s3, "put", "b", KEYS[0], big)
        assert s3.objects()[KEYS[0]]["sha256"] == big_sha
        listed = [line.split(" ", 1)[1] for line in host(s3, "list", "b", "").out.strip().split("\n")]
        assert sorted(listed) == sorted(KEYS), listed
        host(s3, "copy", "b", KEYS[0], "b", KEYS[0] + "2")
        assert s3.objects()[KEYS[0] + "2"]["sha256"] == big_sha and not s3.denied()
        for key in KEYS:
            host(s3, "delete-prefix", "b", key)
        assert not s3.objects(), list(s3.objects())


def s14_s15_checksums():
    with S3F() as s3:
        for kind, size in ((2, 1000), (3, 1000), (4, 1000), (2, 20 * MIB), (3, 20 * MIB), (4, 20 * MIB)):
            put(s3, size, args=["checksum=%d" % kind], key="k%d-%d" % (kind, size))
        named = [r for r in s3.log() if any(h.lower().startswith("x-amz-checksum-crc64nvme") for h in r["headers"])]
        assert len(named) >= 5, "CRC-64 was hardly sent"
    for status in (400, 403, 501):
        for size in (1000, 20 * MIB):
            with S3F() as s3:
                run = put(s3, size, [{"op": "*", "action": "reject_checksum", "status": status}], args=["checksum=3"])
                assert run.counts["retries"] <= 3, run.counts


def s16_etags():
    with S3F() as s3: # the server's are no MD5 anyway
        put(s3, 20 * MIB)
        # one that is not what was told is asked for
        put(s3, 20 * MIB, [{"op": "UploadPart", "nth": 2, "action": "etag", "value": '"wrong"'}], key="e")
        assert [r["op"] for r in s3.log()][-3:] == ["HeadObject", "ListParts", "CompleteMultipartUpload"], s3.log()[-3:]


def s17_expect():
    with S3F() as s3:
        put(s3, 20 * MIB, [{"op": "UploadPart", "action": "never100"}])
        assert any("expect" in {h.lower() for h in r["headers"]} for r in s3.log()), "100-continue was never asked for"
        put(s3, 20 * MIB, [{"op": "UploadPart", "action": "expect417"}], key="417")
        run = put(s3, 20 * MIB, [{"op": "UploadPart", "action": "error", "code": "AccessDenied", "when": "headers"}],
                  key="early", good=False)
        assert "S3_ACCESS_DENIED" in run.err, run.err


def s18_idle_connections():
    with S3F() as s3:
        put(s3, 30 * MIB, [{"op": "*", "action": "close_after", "every": 2}], args=["connections=1"])
        put(s3, 30 * MIB, [{"op": "UploadPart", "nth": [1, 3], "action": "reset", "received": 3 * MIB}], key="reset")


def s18_connections_are_kept():
    """As many connections as may be, whatever there is to send; those that the server closed are left, not failed on."""
    with S3F() as s3, Folder() as folder:
        for i in range(300):
            folder.file("%03d" % i, 2000)
        s3.rules({"op": "PutObject", "first": 8, "action": "slow_first", "delay": 0.3})  # so that all of them are wanted
        run = host(s3, "connections=4", "tree", "b", "t", folder.path)
        seen = s3.dump()
        assert run.counts["requests"] >= 300 and run.counts["retries"] == 0, run.counts
        assert seen["connections"] == seen["most_open"] == 4, (seen["connections"], seen["most_open"])
        served = {}
        for r in s3.log():
            served[r["conn"]] = served.get(r["conn"], 0) + 1
        assert len(served) == 4 and sum(served.values()) >= 300, served
    # each request on a connection that the server has closed since the last one, or closes right now
    for rule in ({"action": "close_after"}, {"action": "close_after", "rst": True}):
        with S3F() as s3, Folder() as folder:
            for i in range(40):
                folder.file("%03d" % i, 2000)
            s3.rules(dict(rule, op="*"))
            host(s3, "connections=2", "attempts=1", "tree", "b", "t", folder.path)
            assert len(s3.objects()) == 40 and s3.dump()["connections"] >= 20, (rule, s3.dump()["connections"])


def deadlines():
    """Of one operation with all its tries; not of all that a call does."""
    with S3F() as s3, Folder() as folder:
        path, _ = folder.file("one/f", 1000)
        s3.rules({"op": "*", "action": "error", "code": "InternalError"})
        seen = len(s3.log())
        run = host(s3, "deadline=2500", "attempts=100000", "put", "b", "k", path, good=False)
        assert "InternalError" in run.err or "TIMEOUT" in run.err, run.err
        stamps = [r["t"] for r in s3.log(seen)]
        assert len(stamps) >= 2 and stamps[-1] - stamps[0] < 2.6, stamps
        s3.rules({"op": "*", "action": "hang"})
        run = host(s3, "deadline=1000", "stall=60000", "put", "b", "k", path, good=False)
        assert "TIMEOUT" in run.err and run.counts["requests"] == 1, (run.err, run.counts)
        for i in range(20):
            folder.file("many/%d" % i, 1000)
        s3.rules({"op": "PutObject", "action": "slow_first", "delay": 0.4})
        host(s3, "deadline=4000", "connections=1", "tree", "b", "t", os.path.join(folder.path, "many"))
        stamps = [r["t"] for r in s3.log() if (r["key"] or "").startswith("t/")]
        assert len(s3.objects()) == 20 and stamps[-1] - stamps[0] > 4, "all of it was done in one deadline"


def s19_stalled():
    with S3F() as s3:
        started = time.monotonic()
        put(s3, 20 * MIB, [{"op": "UploadPart", "nth": 1, "action": "hang"}], args=["stall=700"])
        put(s3, 20 * MIB, [{"op": "UploadPart", "nth": 1, "action": "delay_body", "received": 100000, "delay": 20}],
            args=["stall=700"], key="body")
        assert time.monotonic() - started < 60
        # Complete may take its time, and is not sent a second time meanwhile
        put(s3, 20 * MIB, [{"op": "CompleteMultipartUpload", "action": "slow_first", "delay": 2.5}], args=["stall=500"],
            key="assembled")
        assert sum(r["op"] == "CompleteMultipartUpload" and r["key"] == "assembled" for r in s3.log()) == 1
        # of one that was sent twice the object is looked at, by those who may
        denied = [{"op": op, "action": "error", "status": 403, "code": "AccessDenied"} for op in ("HeadObject", "GetObject")]
        for n, rules in enumerate(([], denied)):
            key = "twice%d" % n
            put(s3, 20 * MIB, [{"op": "CompleteMultipartUpload", "nth": 1, "action": "error", "code": "InternalError"}]
                + rules, key=key)
            # the refusal of a HEAD has no text: a GET of one byte asks for it
            ops = [r["op"] for r in s3.log() if r["key"] == key]
            want = ["CompleteMultipartUpload", "CompleteMultipartUpload", "HeadObject"] + ["GetObject"] * n
            assert ops[-len(want):] == want, ops
        run = put(s3, 1000, [{"op": "*", "action": "hang"}], args=["stall=300", "attempts=2"], key="never", good=False)
        assert "TIMEOUT" in run.err, run.err


def s19_trickles():
    """Bytes that come now and then are no silence: such a try is given up long before the operation's end."""
    short = ["stall=1500", "deadline=60000", "attempts=4"]
    with S3F() as s3:
        text = "0123456789" * 2000
        s3.put("k", text.encode())
        for rule in ({"op": "GetObject", "nth": 1, "action": "drip", "rate": 20},
                     {"op": "GetObject", "nth": 1, "action": "drip", "rate": 20, "head": True}):
            s3.rules(rule)
            run = host(s3, *short, "get", "b", "k")
            assert run.counts["retries"] == 1 and run.out == text and s3.fired() == [1], run.counts
        s3.rules({"op": "ListObjectsV2", "nth": 1, "action": "drip", "rate": 20})
        assert host(s3, *short, "list", "b", "").counts["retries"] == 1
        run = put(s3, 20 * MIB, [{"op": "UploadPart", "nth": 1, "action": "drip", "rate": 20, "head": True}], args=short,
                  key="answer")
        assert run.counts["retries"] == 1, run.counts
        # what the server takes trickles: a rate that the window of a socket on the loopback can show
        run = put(s3, 20 * MIB, [{"op": "UploadPart", "nth": 1, "action": "slow_read", "rate": 150000}],
                  args=["stall=4000", "slow=500000", "deadline=60000"], key="body")
        assert run.counts["retries"] >= 1, run.counts
        # a server that works is none that trickles: AWS sends spaces for minutes
        run = put(s3, 20 * MIB, [{"op": "CompleteMultipartUpload", "action": "ws", "ws": 25, "interval": 0.2}],
                  args=["stall=1500"], key="complete")
        assert run.counts["retries"] == 0, run.counts
        run = put(s3, 20000, [{"op": "*", "action": "drip", "rate": 20, "head": True}],
                  args=["stall=700", "attempts=2", "deadline=60000"], key="never", good=False)
        assert "TIMEOUT" in run.err and s3.log()[-1]["aborted"], run.err


def s20_killed_before_the_upload_has_a_name():
    """The server began an upload, and who asked for it was killed before the answer was written down."""
    for how in ("tree", "sink"):
        with S3F() as s3, Folder() as folder, tempfile.TemporaryDirectory(prefix="vodpipe-s3-work-") as work:
            path, sha = folder.file("big.mp4", 20 * MIB)
            args = ["work=" + work, how, "b", "t", folder.path if how == "tree" else "big.mp4=" + path]
            s3.put("other", b"x")
            s3.rules({"op": "CreateMultipartUpload", "nth": 1, "action": "hang", "when": "applied"})
            child = subprocess.Popen([HOST, *args], env=environment(s3), stdout=subprocess.DEVNULL,
                                     stderr=subprocess.DEVNULL)
            deadline = time.monotonic() + 60
            while not s3.uploads() and time.monotonic() < deadline:
                time.sleep(0.05)
            child.kill()
            child.wait()
            assert len(s3.uploads()) == 1, s3.uploads()
            host(s3, *args)
            assert s3.objects()["t/big.mp4"]["sha256"] == sha and not s3.uploads(), s3.uploads()
            left = [name for _, _, names in os.walk(work) for name in names if name in ("begin", "upload")]
            assert not left, left


def s20_begin_is_lost():
    """On a connection that served others before: libcurl would send it again by itself, and nobody would know."""
    for fault in ({"action": "apply_drop"}, {"action": "error", "code": "ServiceUnavailable", "when": "applied"},
                  {"action": "error200", "code": "SlowDown", "applied": True}):
        with S3F() as s3, Folder() as folder:
            for i in range(20):
                folder.file("v1/%02d.m4s" % i, 1000)
                folder.file("v1/big%02d.mp4" % i, 8 * MIB + 1 if i < 4 else 1)
            s3.rules(dict(fault, op="CreateMultipartUpload", every=2))
            host(s3, "attempts=9", "connections=2", "from=%d" % (8 * MIB), "tree", "b", "t", folder.path)
            assert not s3.uploads(), (fault, s3.uploads())
            assert s3.fired()[0] >= 2 and len(s3.objects()) == 40


def s20_no_parts_are_left():
    with S3F() as s3, Folder() as folder:
        put(s3, 20 * MIB, [{"op": "UploadPart", "part": 2, "action": "error", "code": "AccessDenied"}], key="denied", good=False)
        # kill -9, then a new start that goes on, or sweeps
        path, sha = folder.file("v1/big.mp4", 60 * MIB)
        open(os.path.join(folder.path, "v1", ".vodpipe-version"), "wb").close()
        work = tempfile.mkdtemp(prefix="vodpipe-s3-work-", dir=folder.path.rstrip("/") + "/..")
        s3.rules({"op": "UploadPart", "after": 5, "action": "hang"})
        args = ["connections=2", "work=" + work, "tree", "b", "t", folder.path]
        child = subprocess.Popen([HOST, *args], env=environment(s3), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        while len([r for r in s3.log() if r["op"] == "UploadPart"]) < 5 and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(0.5)
        child.send_signal(signal.SIGKILL)
        child.wait()
        s3.rules()
        held = s3.uploads()
        assert len(held) == 1, held
        before = s3.log()
        host(s3, *args)
        again = [r for r in s3.log()[len(before):] if r["op"] == "UploadPart"]
        assert s3.objects()["t/v1/big.mp4"]["sha256"] == sha and not s3.uploads()
        assert len(again) <= 8 - 2, "%d of 8 parts were sent again" % len(again)
        client = s3.boto() if has_boto() else None
        if client:
            client.create_multipart_upload(Bucket="b", Key="stale/1")
            assert host(s3, "sweep", "b", "stale/", "3600").value()["count"] == 0
            assert host(s3, "sweep", "b", "stale/", "0").value()["count"] == 1 and not s3.uploads()
        subprocess.run(["rm", "-rf", work], check=True)


def has_boto():
    try:
        import boto3  # noqa: F401
        return True
    except ImportError:
        return False


def s21_order():
    with Folder() as folder:
        for i in range(30):
            folder.file("v1/%03d.m4s" % i, 3000)
        for name in ("v1/video.m3u8", "v1/audio.m3u8", "master.m3u8", "manifest.mpd", "v1/.vodpipe-version"):
            folder.file(name, 100)
        ranks = {"m4s": 0, "vodpipe-version": 0}

        def rank(key):
            name = key.rsplit("/", 1)[-1]
            return 2 if name in ("master.m3u8", "manifest.mpd") else 1 if name.endswith(".m3u8") else ranks[name.split(".")[-1]]

        with S3F() as s3:
            host(s3, "tree", "b", "t", folder.path)
            order = [rank(r["key"]) for r in s3.log() if r["op"] == "PutObject"]
            assert order == sorted(order) and len(order) == 35, order
        for k in range(1, 36, 5): # whatever fails: nothing that is there names what is not
            with S3F() as s3:
                s3.rules({"op": "PutObject", "after": k, "action": "error", "code": "AccessDenied"})
                host(s3, "tree", "b", "t", folder.path, good=False)
                there = [rank(key) for key in s3.objects()]
                counts = [there.count(n) for n in range(3)]
                assert not counts[1] or counts[0] == 31, counts
                assert not counts[2] or counts[1] == 2, counts


def s23_headers():
    with S3F() as s3, Folder() as folder:
        for name in ("v1/.vodpipe-version", "v1/a.m4s", "v1/a.ts", "v1/a.m3u8", "master.m3u8", "manifest.mpd", "k.key",
                     "loose.m4s", "v1/a.vtt", "v1/a.jpg"):
            folder.file(name, 10)
        host(s3, "tree", "b", "", folder.path)
        wanted = {"v1/a.m4s": ("video/iso.segment", "public, max-age=31536000, immutable"),
                  "v1/a.ts": ("video/mp2t", "public, max-age=31536000, immutable"),
                  "v1/a.m3u8": ("application/vnd.apple.mpegurl", "public, max-age=60"),
                  "master.m3u8": ("application/vnd.apple.mpegurl", "public, max-age=60"),
                  "manifest.mpd": ("application/dash+xml", "public, max-age=60"),
                  "v1/a.vtt": ("text/vtt", "public, max-age=31536000, immutable"),
                  "v1/a.jpg": ("image/jpeg", "public, max-age=31536000, immutable"),
                  "loose.m4s": ("video/iso.segment", "public, max-age=60"), "k.key": (None, "no-store")}
        for key, (kind, cache) in wanted.items():
            headers = {k.lower(): v for k, v in s3.objects()[key]["headers"].items()}
            assert kind in (None, headers["content-type"]) and headers["cache-control"] == cache, (key, headers)
        path, _ = folder.file("x", 10)
        host(s3, "type=video/mp4", "cache=no-cache", "tags=a=1&b=2", "class=STANDARD_IA", "sse=AES256",
             "headers=x-amz-meta-title: one", "put", "b", "dressed", path)
        sent = {k.lower(): v for k, v in s3.log()[-1]["headers"].items()} if isinstance(s3.log()[-1]["headers"], dict) \
            else {k.lower(): v for k, v in s3.log()[-1]["headers"]}
        assert sent["x-amz-tagging"] == "a=1&b=2" and sent["x-amz-storage-class"] == "STANDARD_IA" \
            and sent["x-amz-server-side-encryption"] == "AES256" and sent["x-amz-meta-title"] == "one", sent


def s24_source_changes():
    with S3F() as s3, Folder() as folder:
        for cut in (True, False):
            path, _ = folder.file("f", 40 * MIB)
            s3.rules({"op": "UploadPart", "action": "slow_first", "delay": 0.7})
            seen = len(s3.log())
            child = subprocess.Popen([HOST, "connections=1", "part=%d" % (5 * MIB), "memory=%d" % (10 * MIB), "put", "b",
                                      "k", path], env=environment(s3), stderr=subprocess.PIPE, text=True)
            deadline = time.monotonic() + 60
            while not [r for r in s3.log(seen) if r["op"] == "UploadPart"] and time.monotonic() < deadline:
                time.sleep(0.02)
            if cut:
                os.truncate(path, 12 * MIB)
            else:
                with open(path, "r+b") as f:
                    f.write(b"other")
            err = child.communicate(timeout=60)[1]
            assert child.returncode == 1 and "SOURCE_CHANGED" in err, err[-300:]
            assert "k" not in s3.objects() and not s3.uploads()


def s25_hostile_answers():
    with S3F() as s3:
        for n, action in enumerate(({"action": "html"}, {"action": "garbage"}, {"action": "short"},
                                    {"action": "html", "status": 500, "size": 2000}, {"action": "no_length"},
                                    {"action": "no_length", "close": True})):
            for size in (1000, 20 * MIB):
                put(s3, size, [dict(action, op="*", first=1)], key="k%d-%d" % (n, size))
        run = put(s3, 1000, [{"op": "*", "action": "html"}], args=["attempts=2"], key="never", good=False)
        assert "never" not in s3.objects() and run.code == 1
        entities = '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "bbbbbbbbbb">]><ListBucketResult><Name>&b;</Name>'
        s3.rules({"op": "*", "action": "garbage", "body": entities})
        assert "S3_ERROR" in host(s3, "attempts=2", "list", "b", "", good=False).err


PAGE = '<?xml version="1.0"?><html xmlns="http://www.w3.org/1999/xhtml"><body>Sign in, please</body></html>'


def pages_of_portals():
    """Well-formed ones, with 200, in the place of each answer: none is taken for it, all is asked for again."""
    page = {"nth": 1, "action": "garbage", "body": PAGE}
    with S3F() as s3, Folder() as folder:
        for op in ("CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload", "PutObject"):
            run = put(s3, 1000 if op == "PutObject" else 20 * MIB, [dict(page, op=op)], key="k" + op)
            assert run.counts["retries"] >= 1, (op, run.counts)
        # for ever: neither an object nor its parts
        run = put(s3, 20 * MIB, [{"op": "CompleteMultipartUpload", "action": "garbage", "body": PAGE}], args=["attempts=2"],
                  key="never", good=False)
        assert "S3_ERROR" in run.err and "never" not in s3.objects(), run.err
        s3.put("x", b"0123456789")
        for op, key in (("CopyObject", "y"), ("HeadObject", "z")):
            s3.rules(dict(page, op=op))
            host(s3, "copy", "b", "x", "b", key)
            assert s3.fired() == [1] and s3.get(key) == b"0123456789", op
        for what in ("get", "read"):
            s3.rules(dict(page, op="GetObject"))
            run = host(s3, what, "b", "x")
            assert run.out == "0123456789" and s3.fired() == [1], (what, run.out)
        for key in TITLE:
            s3.put(key, b"x")
        s3.rules(dict(page, op="ListObjectsV2"))
        assert len(host(s3, "list", "b", "t/").out.strip().split("\n")) == len(TITLE) and s3.fired() == [1]
        s3.rules(dict(page, op="DeleteObjects"), dict(page, op="ListObjectsV2", nth=[1, 3]))
        assert host(s3, "delete-prefix", "b", "t/").value()["count"] == len(TITLE)
        assert s3.fired() == [1, 2] and not [k for k in s3.objects() if k.startswith("t/")], list(s3.objects())
        s3.rules()
        host(s3, "begin", "b", "left", str(20 * MIB))
        s3.rules(dict(page, op="ListMultipartUploads"), dict(page, op="AbortMultipartUpload"))
        assert host(s3, "sweep", "b", "", "0").value()["count"] == 1 and s3.fired() == [1, 1] and not s3.uploads()
        # a list of parts that is none is no list without parts
        path, sha = folder.file("f", 20 * MIB)
        token = os.path.join(folder.path, "token")
        subprocess.run([HOST, "token=" + token, "stop=2", "upload", "b", "goes-on", path], env=environment(s3), check=False)
        s3.rules(dict(page, op="ListParts"))
        assert host(s3, "token=" + token, "upload", "b", "goes-on", path).out.startswith("sent 1\n") and s3.fired() == [1]
        assert s3.objects()["goes-on"]["sha256"] == sha


def complete_is_lost_then_denied():
    """The answer is lost, and then the credentials end: it is there all the same."""
    with S3F() as s3:
        put(s3, 20 * MIB, [{"op": "CompleteMultipartUpload", "nth": 1, "action": "apply_drop"},
                           {"op": "CompleteMultipartUpload", "action": "error", "code": "AccessDenied"}])
        put(s3, 20 * MIB, [{"op": "CompleteMultipartUpload", "action": "error", "code": "AccessDenied"}], key="no", good=False)
        assert "no" not in s3.objects()


def refusals():
    with S3F() as s3:
        env = environment(s3, AWS_SECRET_ACCESS_KEY="wrong")
        s3.put("there", b"x" * 100)
        s3.put("empty", b"")
        for key in ("none", "there"):  # an answer to HEAD has no body
            run = host(s3, "head", "b", key, good=False, env=env)
            assert "S3_BAD_CREDENTIALS" in run.err and "SignatureDoesNotMatch" in run.err, run.err
            run = host(s3, "head", "b", key, good=False, env=environment(s3, AWS_ACCESS_KEY_ID="nobody"))
            assert "S3_BAD_CREDENTIALS" in run.err and "InvalidAccessKeyId" in run.err, run.err
        s3.rules({"op": ["HeadObject", "GetObject"], "action": "error", "code": "AccessDenied"})
        run = host(s3, "head", "b", "there", good=False)
        assert "S3_ACCESS_DENIED" in run.err and "AccessDenied" in run.err, run.err
        for key, size in (("there", 100), ("empty", 0)):  # what passes is tried again
            s3.rules({"op": "HeadObject", "nth": 1, "action": "error", "code": "RequestTimeout"})
            run = host(s3, "head", "b", key)
            assert run.value()["size"] == size and run.counts["retries"] == 2, run.counts
        s3.rules()
        with Folder() as folder:
            path, _ = folder.file("f", 10)
            assert "S3_BAD_CREDENTIALS" in host(s3, "put", "b", "k", path, good=False, env=env).err
            run = host(s3, "put", "nosuch", "k", path, good=False)
            assert "NoSuchBucket" in run.err and "S3_ERROR" in run.err, run.err
            for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
                env.pop(name)
            run = host(s3, "put", "b", "k", path, good=False, env=env)
            assert "CREDENTIALS_MISSING" in run.err and run.err.count("s3: credentials: no credentials") == 1, run.err
            gone = environment(s3, AWS_ENDPOINT_URL="http://127.0.0.1:1")
            run = host(s3, "attempts=2", "put", "b", "k", path, good=False, env=gone)
            assert "CONNECTION_FAILED" in run.err, run.err
            host(s3, "put", "b", "k", path)
            run = host(s3, "absent=1", "put", "b", "k", path, good=False)
            assert "CONFLICT" in run.err, run.err
            s3.rules({"op": "PutObject", "nth": 1, "action": "apply_drop"})
            host(s3, "absent=1", "put", "b", "new", path) # our own first try was the one that was there


# ---- many at once ----

def many(count=None):
    """Every object exact, no orphan, whatever a fifth of the requests meets; nothing secret in any log."""
    count = count or (10000 if os.environ.get("CI_FULL") else 1500)
    kinds = [{"action": "error", "code": "SlowDown"}, {"action": "error", "code": "InternalError"},
             {"action": "error200", "code": "InternalError"}, {"action": "reset", "received": 50}, {"action": "apply_drop"},
             {"action": "drop"}, {"action": "close_after"}, {"action": "short"},
             {"action": "error", "code": "RequestTimeout"}, {"action": "slow_first", "delay": 0.05},
             {"action": "expect417"}]
    with S3F(access_key="AKIDMANY", secret_key="sEcReTsEcReT0123456789", token="ToKeNToKeN0123456789") as s3, \
            Folder() as folder:
        sums = {}
        for i in range(count):
            name = "v1/%02d/%05d.m4s" % (i % 50, i)
            sums[name] = folder.file(name, folder.random.randrange(1, 3000))[1]
        for i in range(3):
            name = "v1/big%d.mp4" % i
            sums[name] = folder.file(name, 17 * MIB + i)[1]
        s3.rules({"op": "*", "p": 0.2, "seed": 11, "any": kinds})
        began = time.monotonic()
        done = subprocess.run(["/usr/bin/env", HOST, "attempts=40", "connections=16", "tree", "b", "t", folder.path],
                              env=environment(s3), text=True, capture_output=True, timeout=1500, check=False)
        assert done.returncode == 0, done.stderr[-600:]
        wall, fired = time.monotonic() - began, s3.fired()[0]
        s3.rules()
        objects = s3.objects()
        assert len(objects) == count + 3, len(objects)
        bad = [name for name, sha in sums.items() if objects["t/" + name]["sha256"] != sha]
        left = s3.uploads()
        assert not bad and not left, (bad[:3], left, done.stderr[-2000:],
                                      [entry for entry in s3.log() for u in left if entry.get("key") == u["key"]])
        assert set(s3.denied()) <= set(), s3.denied()
        counts = Run(done).counts
        print("  %d objects: %d requests, %d faults, %d sent again, %d slow downs, %.0f s, %.1f s of CPU, %.1f MB at most" %
              (count + 3, counts["requests"], fired, counts["retries"], counts["slow_downs"], wall, counts["cpu_ms"] / 1e3,
               counts["peak_kb"] / 1024))
        # Bodies hold 20 MiB, whatever there is to send, connections up to 0.4; what the libraries take a second run
        # tells. Sanitizers have memory of their own.
        least = host(s3, "head", "b", "none").counts["peak_kb"]
        assert SANITIZED or counts["peak_kb"] - least < 36 << 10, (counts, least)
        assert counts["retries"] > count / 10
        for secret in ("sEcReTsEcReT0123456789", "ToKeNToKeN0123456789"):
            assert secret not in done.stdout + done.stderr


def presigned():
    import urllib.error
    import urllib.request
    with S3F() as s3:
        for key in ("k", KEYS[0], "a b+c"):
            url = host(s3, "presign", "PUT", "b", key).out.strip()
            urllib.request.urlopen(urllib.request.Request(url, data=b"hello", method="PUT", headers={"Content-Type": ""})).read()
            assert s3.get(key) == b"hello"
            url = host(s3, "presign", "GET", "b", key).out.strip()
            assert urllib.request.urlopen(url).read() == b"hello"
            try:
                urllib.request.urlopen(url[:-1] + ("0" if url[-1] != "0" else "1")).read()
                raise AssertionError("an altered signature was taken")
            except urllib.error.HTTPError as error:
                assert error.code == 403
        url = host(s3, "expires=1", "presign", "GET", "b", "k").out.strip()
        time.sleep(2.5)
        try:
            urllib.request.urlopen(url).read()
            raise AssertionError("an address that has expired was taken")
        except urllib.error.HTTPError as error:
            assert error.code == 403
        for bad in ("604801", "4294967295"):
            host(s3, "expires=" + bad, "presign", "GET", "b", "k", good=False)


def large_copies():
    """In parts, which carry no checksum of ours: the server reads the bytes, not we."""
    if not has_boto():
        raise Skip("no boto3 (tests/support/requirements.txt)")
    with S3F() as s3:
        client = s3.boto()
        s3.put("piece", bytes(64 * MIB))
        upload = client.create_multipart_upload(Bucket="b", Key="large")["UploadId"]
        parts = [{"PartNumber": n, "ETag": client.upload_part_copy(
            Bucket="b", Key="large", UploadId=upload, PartNumber=n, CopySource="b/piece")["CopyPartResult"]["ETag"]}
            for n in range(1, 84)]
        client.complete_multipart_upload(Bucket="b", Key="large", UploadId=upload, MultipartUpload={"Parts": parts})
        for checksum in range(5):
            host(s3, "checksum=%d" % checksum, "copy", "b", "large", "b", "copy%d" % checksum)
            assert host(s3, "head", "b", "copy%d" % checksum).value()["size"] == 83 * 64 * MIB


def tokens():
    """Multipart in the host's hands: parts that are in are not sent again."""
    with S3F() as s3, Folder() as folder:
        path, sha = folder.file("f", 37 * MIB)
        token = os.path.join(folder.path, "token")
        assert host(s3, "token=" + token, "stop=3", "upload", "b", "k", path, good=None).code == 9
        with open(token, encoding="utf-8") as f:
            text = f.read()
        assert "testsecret" not in text and json.loads(text)["key"] == "k"
        run = host(s3, "token=" + token, "upload", "b", "k", path)
        assert "sent 2" in run.out and s3.objects()["k"]["sha256"] == sha and not s3.uploads()
        # again, when it is the object already
        host(s3, "token=" + token, "upload", "b", "k", path)
        s3.delete("k")
        assert "CONFLICT" in host(s3, "token=" + token, "upload", "b", "k", path, good=False).err
        for text in ("", "{}", "[1]", '{"vodpipe_upload":1,"bucket":"b","key":"k"}', "x" * 100):
            with open(token, "w", encoding="ascii") as f:
                f.write(text)
            assert "ARG" in host(s3, "token=" + token, "upload", "b", "k", path, good=False).err


def sinks():
    """As a job writes: sizes are not told, large objects go in parts while they are made; exact under a fifth of faults."""
    kinds = [{"action": "error", "code": "SlowDown"}, {"action": "error", "code": "InternalError"}, {"action": "apply_drop"},
             {"action": "reset", "received": 70000}, {"action": "short"}]
    for rules in ([], [{"op": "*", "p": 0.2, "seed": 5, "any": kinds}]):
        with S3F() as s3, Folder() as folder:
            files = {"v1/%d.m4s" % n: folder.file("f%d" % n, n) for n in (0, 1, 70000, 5 * MIB, 8 * MIB, 8 * MIB + 1, 19 * MIB)}
            files["v1/list.m3u8"] = folder.file("list", 50000)
            s3.rules(*rules)
            run = host(s3, "tags=a=1", "sink", "b", "t/1", *["%s=%s" % (k, v[0]) for k, v in files.items()])
            s3.rules()
            assert run.value()["headers"] == len(files) and not s3.uploads() and not s3.denied()
            objects = s3.objects()
            for key, (path, digest) in files.items():
                if key.endswith(".m3u8"):
                    import gzip
                    assert hashlib.sha256(gzip.decompress(s3.get("t/1/" + key))).hexdigest() == digest
                    headers = {k.lower(): v for k, v in objects["t/1/" + key]["headers"].items()}
                    assert headers["content-encoding"] == "gzip" and headers["cache-control"] == "public, max-age=60", headers
                    assert "%s 50000 50000" % key in run.out, run.out
                else:
                    assert objects["t/1/" + key]["sha256"] == digest, key
            if not rules:
                parts = [r for r in s3.log() if r["op"] == "UploadPart"]
                assert len(parts) == 2 + 3, len(parts)  # 8 MiB and a byte, 19 MiB


def certificate(folder):
    """Key and certificate of localhost in one file, trusted by whoever is given it."""
    path = os.path.join(folder, "localhost.pem")
    parts = [os.path.join(folder, name) for name in ("key.pem", "crt.pem")]
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                    "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", parts[0], "-out", parts[1]],
                   check=True, capture_output=True)
    with open(path, "w", encoding="ascii") as to:
        for part in parts:
            with open(part, encoding="ascii") as f:
                to.write(f.read())
    return path


def over_tls():
    """Verified; bodies are not signed then, but have their MD5."""
    with Folder() as folder, tempfile.TemporaryDirectory() as place:
        pem = certificate(place)
        with S3F(tls=pem, ca=pem) as s3:
            s3.config(unsigned="tls")
            for size in (0, 1000, 900000, 20 * MIB):
                path, digest = folder.file("f%d" % size, size)
                host(s3, "ca=" + pem, "put", "b", "k%d" % size, path)
                assert s3.objects()["k%d" % size]["sha256"] == digest
            bodies = [r for r in s3.log() if r["op"] in ("PutObject", "UploadPart") and r["bytes"]]
            assert bodies and all(r["headers"]["x-amz-content-sha256"] == "UNSIGNED-PAYLOAD" and "content-md5" in r["headers"]
                                  for r in bodies), bodies[0]["headers"]
            assert "TLS_FAILED" in host(s3, "attempts=2", "put", "b", "no", path, good=False).err
            wrong = environment(s3, AWS_SECRET_ACCESS_KEY="wrong")
            assert "S3_BAD_CREDENTIALS" in host(s3, "ca=" + pem, "put", "b", "no", path, good=False, env=wrong).err
            s3.rules({"op": "*", "p": 0.2, "seed": 3, "any": [{"action": "error", "code": "InternalError"},
                                                             {"action": "apply_drop"}, {"action": "short"}]})
            host(s3, "ca=" + pem, "tree", "b", "t", folder.path)
            s3.rules()
            assert not s3.uploads() and len([k for k in s3.objects() if k.startswith("t/")]) == 4


def outage():
    """A server that is away for a while: with the defaults everything arrives after it is back."""
    with S3F() as s3, Folder() as folder:
        for i in range(150):
            folder.file("%03d" % i, 2000)
        s3.rules({"op": "*", "after": 20, "for_s": 15, "action": "drop", "rst": True})
        host(s3, "tree", "b", "t", folder.path)
        assert len(s3.objects()) == 150
        s3.rules({"op": "*", "first": 3, "action": "error", "code": "SlowDown", "retry_after": 2})
        began = time.monotonic()
        host(s3, "head", "b", "t/001")
        assert time.monotonic() - began >= 2, "Retry-After was not heeded"


def stale_clock_sweeps_nothing():
    """What just began is not old, however far off this machine's clock is."""
    if not has_boto():
        raise Skip("no boto3 (tests/support/requirements.txt)")
    with S3F() as s3:
        s3.config(clock_offset=-7200, window=100000)
        s3.boto().create_multipart_upload(Bucket="b", Key="live")
        assert host(s3, "sweep", "b", "live", "3600").value()["count"] == 0 and len(s3.uploads()) == 1
        endless = "<ListMultipartUploadsResult><IsTruncated>true</IsTruncated><NextKeyMarker>a</NextKeyMarker>" \
                  "<NextUploadIdMarker>b</NextUploadIdMarker></ListMultipartUploadsResult>"
        s3.rules({"op": "ListMultipartUploads", "action": "garbage", "body": endless})
        assert "does not go on" in host(s3, "sweep", "b", "live", "0", good=False).err


def credentials_of_the_host():
    """Asked for early, on a thread that moves no bytes, and not again and again where they live but a minute."""
    with S3F() as s3, Folder() as folder:
        for i in range(200):
            folder.file("%03d" % i, 3000)
        for life, most in ((3600, 1), (60, 3), (2, 12)):
            s3.rules({"op": "*", "action": "slow_first", "delay": 0.1})
            run = host(s3, "callback=%d" % life, "tree", "b", "t%d" % life, folder.path)
            asked = int(re.search(r"asked for (\d+) times", run.err)[1])
            assert 1 <= asked <= most, "%d times for a life of %d s" % (asked, life)
            stamps = sorted(r["t"] for r in s3.log() if (r["key"] or "").startswith("t%d/" % life))
            gaps = max(b - a for a, b in zip(stamps, stamps[1:]))
            assert life < 60 or gaps < 0.6, "nothing was sent for %.1f s" % gaps


# ---- sources ----

READ_FAULTS = [{"action": "error", "code": "SlowDown"}, {"action": "error", "code": "InternalError"},
               {"action": "reset", "sent": 70000}, {"action": "short", "missing": 1000}, {"action": "drop", "rst": True},
               {"action": "wrong_range"}, {"action": "whole"}, {"action": "slow_first", "delay": 1},
               {"action": "drip", "rate": 30}, {"action": "hang"}]


def reads(s3, good=True):
    """The same object through vp_source_s3 and vp_source_http: which of them, and what came of it."""
    for args in (["stall=1500", "read", "b", "k"], ["read", "%s/b/k" % s3.url]):
        yield "s3" if len(args) == 4 else "http", host(s3, *args, good=good)


def sources_in_faults():
    text = hashlib.sha512(b"0").hexdigest() * (9 * MIB // 128 + 3)
    with S3F() as s3:
        s3.config(public=True)
        s3.put("k", text.encode())
        for nth in (1, 4):
            for fault in READ_FAULTS:
                if nth == 1 and fault["action"] == "whole":
                    continue
                for way in ("s3", "http"):
                    if way == "http" and fault["action"] in ("hang", "drip") and nth == 4:
                        continue  # 10 s and more, which are not to be set
                    s3.rules(dict(fault, op="GetObject", nth=nth))
                    args = ["stall=1500", "read", "b", "k"] if way == "s3" else ["read", "%s/b/k" % s3.url]
                    run = host(s3, *args)
                    assert run.out == text, "%s: other bytes after %s" % (way, fault)
                    assert s3.fired() == [1], (way, fault)
        s3.rules({"op": "GetObject", "p": 0.2, "seed": 21, "any": READ_FAULTS[:8]})
        for way, run in reads(s3):
            assert run.out == text, way
        # a small one has one range; what answers with all of it answers that, too
        s3.put("k", b"0123456789")
        s3.rules({"op": "GetObject", "action": "whole"})
        for way, run in reads(s3):
            assert run.out == "0123456789", way
        # and for ever
        s3.put("k", text.encode())
        for rule, reasons in (({"action": "error", "code": "SlowDown"}, ("S3_SLOW_DOWN", "CONNECTION_FAILED")),
                              ({"action": "wrong_range"}, ("S3_ERROR", "CONNECTION_FAILED")),
                              ({"action": "short"}, ("CONNECTION_FAILED", "CONNECTION_FAILED")),
                              ({"action": "whole"}, ("S3_ERROR", "serves no ranges"))):
            s3.rules(dict(rule, op="GetObject"))
            args = ["attempts=3", "read", "b", "k"]
            assert reasons[0] in host(s3, *args, good=False).err, rule
            assert reasons[1] in host(s3, "read", "%s/b/k" % s3.url, good=False).err, rule


def sources_that_change():
    """A server that heeds If-Match says 412; one that does not shows another ETag. Nothing of two objects is mixed."""
    text = hashlib.sha512(b"0").hexdigest() * (9 * MIB // 128)
    with S3F() as s3:
        s3.config(public=True)
        for rule in ({"action": "replace", "nth": 3}, {"action": "etag", "nth": 3},
                     {"action": "etag", "after": 2, "value": '"other"'}):
            for way in ("s3", "http"):
                s3.put("k", text.encode())
                s3.rules(dict(rule, op="GetObject"))
                seen = len(s3.log())
                args = ["read", "b", "k"] if way == "s3" else ["read", "%s/b/k" % s3.url]
                run = host(s3, *args, good=False)
                assert "SOURCE_CHANGED" in run.err, (way, rule, run.err)
                gets = [r for r in s3.log(seen) if r["op"] == "GetObject"]
                assert rule["action"] != "replace" or [r for r in gets if r["status"] == 412], (way, gets)


# ---- vendors ----

VENDORS = (("aws", 1), ("minio", 2), ("r2", 3), ("gcs", 4), ("b2", 5))


def vendor_sends(s3, name, number, more, tls):
    """One object in one request, one in parts, one of a size that is not told: what went with them."""
    s3.reset()
    s3.config(equal_parts=name == "r2")
    if name != "aws":
        s3.rules({"op": "*", "action": "reject_checksum"})
    seen = len(s3.log())
    with Folder() as folder:
        small, big = folder.file("small", 1000), folder.file("big", 21 * MIB)
        args = ["vendor=%d" % number, *more]
        host(s3, *args, "put", "b", "small", small[0])
        host(s3, *args, "put", "b", "big", big[0])
        host(s3, *args, "sink", "b", "t", "grows.mp4=" + big[0])
        found = s3.objects()
        assert [found[k]["sha256"] for k in ("small", "big", "t/grows.mp4")] == [small[1], big[1], big[1]], name
    log = s3.log(seen)
    bodies = [r for r in log if r["op"] in ("PutObject", "UploadPart") and r["bytes"]]
    sums = {h for r in bodies for h in r["headers"] if h.startswith("x-amz-checksum-") or h == "content-md5"}
    wanted = {"x-amz-checksum-crc64nvme"} if name == "aws" else {"content-md5"} if tls else set()
    assert sums == wanted, (name, tls, sums)
    assert all(wanted <= set(r["headers"]) for r in bodies), name
    signed = {r["headers"]["x-amz-content-sha256"] == "UNSIGNED-PAYLOAD" for r in bodies}
    assert signed == {tls}, (name, signed)
    begun = [r for r in log if r["op"] == "CreateMultipartUpload"]
    kinds = {r["headers"].get("x-amz-checksum-algorithm") for r in begun}
    assert kinds == ({"CRC64NVME"} if name == "aws" else {None}), kinds
    ends = {r["headers"].get("x-amz-checksum-type") for r in log if r["op"] == "CompleteMultipartUpload"}
    assert ends == ({"FULL_OBJECT"} if name == "aws" else {None}), ends
    for key in ("big", "t/grows.mp4"):
        sizes = sorted(r["bytes"] for r in log if r["op"] == "UploadPart" and r["key"] == key)
        assert sizes == [5 * MIB, 8 * MIB, 8 * MIB], (name, key, sizes)
    assert not s3.denied() and not s3.uploads() and not [r for r in log if r["status"] >= 400], name


def vendors():
    with S3F() as s3:
        for name, number in VENDORS:
            vendor_sends(s3, name, number, [], False)
    with tempfile.TemporaryDirectory() as place:
        pem = certificate(place)
        with S3F(tls=pem, ca=pem) as s3:
            s3.config(unsigned="tls")
            for name, number in VENDORS:
                vendor_sends(s3, name, number, ["ca=" + pem], True)


TITLE = ["t/a/00001.m4s", "t/a/init.mp4", "t/a/playlist.m3u8", "t/manifest.mpd", "t/master.m3u8", "t/z.m4s", "t/z.m3u8"]


def deleting():
    """Masters, then playlists, then the rest; one by one where many at once are not known."""
    for rule in (None, ("NotImplemented", 501), ("InvalidArgument", 400), ("MethodNotAllowed", 405), ("InvalidRequest", 400),
                 ("MalformedXML", 400)):
        with S3F() as s3:
            for key in TITLE + ["u/other"]:
                s3.put(key, b"x")
            s3.rules(*[{"op": "DeleteObjects", "action": "error", "code": c, "status": n} for c, n in [rule] if rule]
                     if rule else [])
            assert host(s3, "attempts=2", "delete-prefix", "b", "t/").value()["count"] == len(TITLE)
            assert list(s3.objects()) == ["u/other"], (rule, list(s3.objects()))
            if rule:
                gone = [r["key"] for r in s3.log() if r["op"] == "DeleteObject"]
                ranks = [0 if k.endswith(("master.m3u8", ".mpd")) else 1 if k.endswith(".m3u8") else 2 for k in gone]
                assert len(gone) == len(TITLE) and ranks == sorted(ranks), gone
    with S3F() as s3: # cut off in the middle there is nothing that leads to what is gone
        for key in TITLE:
            s3.put(key, b"x")
        s3.rules({"op": "DeleteObjects", "nth": 3, "action": "error", "code": "AccessDenied"})
        assert "S3_ACCESS_DENIED" in host(s3, "delete-prefix", "b", "t/", good=False).err
        assert sorted(s3.objects()) == ["t/a/00001.m4s", "t/a/init.mp4", "t/z.m4s"], list(s3.objects())
        # some are to be tried again, as the answer tells
        for code in ("InternalError", "SlowDown"):
            for key in TITLE:
                s3.put("again/" + key, b"x")
            later = "<DeleteResult><Error><Key>again/t/z.m4s</Key><Code>%s</Code></Error></DeleteResult>" % code
            s3.rules({"op": "DeleteObjects", "nth": 1, "action": "garbage", "body": later})
            assert host(s3, "delete-prefix", "b", "again/").value()["count"] == len(TITLE)
            assert not [k for k in s3.objects() if k.startswith("again/")], list(s3.objects())
        # some were not deleted, and never will be
        denied = "<DeleteResult><Error><Key>t/z.m4s</Key><Code>AccessDenied</Code></Error></DeleteResult>"
        s3.rules({"op": "DeleteObjects", "action": "garbage", "body": denied})
        assert "S3_ACCESS_DENIED" in host(s3, "delete-prefix", "b", "t/", good=False).err


GROUPS = {
    "vendors": [vendors, deleting],
    "sources": [sources_in_faults, sources_that_change],
    "answers": [s01_complete_says_error_in_200, s02_answer_of_complete_is_lost, s16_etags, s25_hostile_answers,
                pages_of_portals, complete_is_lost_then_denied],
    "requests": [s03_s04_parts, parts_hashed_together, s09_regions, s09_endpoint_of_another_region, s10_no_redirect_with_credentials, s11_styles, s12_keys, s14_s15_checksums,
                 s17_expect, refusals, presigned, tokens, large_copies],
    "time": [s05_slow_down, s06_s07_clock, s08_credentials_end_in_mid_upload, s18_idle_connections, s18_connections_are_kept, deadlines, s19_stalled,
             s19_trickles],
    "trees": [s20_no_parts_are_left, s20_begin_is_lost, s20_killed_before_the_upload_has_a_name, s21_order, s23_headers, s24_source_changes],
    "many": [many],
    "sinks": [sinks, over_tls, outage, stale_clock_sweeps_nothing,
              credentials_of_the_host],
}


def main():
    group = sys.argv[1] if len(sys.argv) > 1 else "answers"
    cases = Cases("s3 " + group)
    for case in GROUPS[group]:
        cases.run(case.__name__.replace("_", " "), lambda _, case=case: case())
    return cases.end()


if __name__ == "__main__":
    sys.exit(main())
