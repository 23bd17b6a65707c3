#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The work store in a bucket, vp_store_s3, from several processes (s3_store_host.c).

    test_s3_store.py values|race|lease|pause|faults|real HOST
"""
import os
import re
import shlex
import signal
import subprocess
import sys
import time

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "support"))

import s3_servers  # noqa: E402
from line_host import LineHost  # noqa: E402
from s3_client import Client  # noqa: E402
from s3_servers import S3F, Missing, real_server  # noqa: E402
from titles import Cases, Skip  # noqa: E402

HOST = sys.argv[2] if len(sys.argv) > 2 else None
MIB = 1 << 20
NAMES = 200
# Times of tests; whole seconds of Date and Last-Modified leave no shorter ones.
SHORT = ("life=5", "renew=1000")


class Host(LineHost):
    """A process with the store."""

    def __init__(self, s3, *options, prefix="work", env=None):
        super().__init__(s3, [HOST, *options, s3.bucket, prefix], env)


def lost(answer):
    return answer.startswith("fail CONFLICT ALREADY_RUNNING")


def wait_for_lease(host, name, limit):
    """(seconds until it was taken over, fence)"""
    began = time.monotonic()
    while True:
        answer = host.ask("lease", name)
        if answer != "again":
            assert answer.startswith("ok "), answer
            return time.monotonic() - began, int(answer.split()[1])
        assert time.monotonic() - began < limit, "still held after %d s" % limit
        time.sleep(0.2)


def listing(s3):
    import xml.etree.ElementTree as ET
    status, body = Client(s3).call("GET", s3.bucket, query="list-type=2")[:2]
    assert status == 200, body
    return [e.text for e in ET.fromstring(body).iter() if e.tag.endswith("}Key") or e.tag == "Key"]


def content(s3, key):
    status, body = Client(s3).call("GET", s3.bucket, key)[:2]
    assert status == 200, (key, status, body[:200])
    return body


# ---- values ----

def values_on(s3):
    with Host(s3) as a, Host(s3) as b, Host(s3, prefix="") as top:
        assert a.ask("get", "plan") == "end 0 00000000"
        assert a.ask("list") == "ok"
        assert a.ask("remove", "plan") == "ok"
        assert a.ask("put", "plan", "first") == "ok"
        assert b.ask("put", "plan", "second") == "end"
        assert content(s3, "work/plan") == b"first"
        for name, size in (("empty", 0), ("stats/0001", 200000), ("edge", MIB), ("parts", 17 * MIB + 5)):
            made = a.ask("fill", name, size, 7)
            assert made.startswith("ok %d " % size), made
            assert b.ask("fill", name, size, 8).startswith("end"), name
            if size <= MIB:
                assert b.ask("get", name) == made, name
        assert len(content(s3, "work/parts")) == 17 * MIB + 5
        large = b.ask("get", "parts")
        assert large == made == a.ask("get", "parts"), large
        assert a.ask("abort", "gone/x", 1000).startswith("ok")
        assert a.ask("abort", "gone/y", 18 * MIB).startswith("ok")
        assert a.ask("get", "gone/x") == a.ask("get", "gone/y") == "end 0 00000000"
        assert a.ask("lease", "run") == "ok 1"
        assert a.ask("list") == "ok edge=%d empty=0 parts=%d plan=5 stats/0001=200000 " % (MIB, 17 * MIB + 5)
        assert a.ask("list", "stats/") == "ok stats/0001=200000 "
        assert a.ask("list", "sta") == "ok stats/0001=200000 "
        assert a.ask("list", "none/") == "ok"
        assert top.ask("list", "work/st") == "ok work/stats/0001=200000 "
        assert a.ask("put", "stop", "x") == "ok" and a.ask("put", "stop2", "x") == "ok"
        assert a.ask("list", "st") == "end stats/0001=200000 stop=1 "
        for name in ("run.lease", "../plan", "a//b"):
            assert a.ask("put", name, "x").startswith("fail ARG "), name
        for what in ("get", "remove", "lease"):
            assert a.ask(what, "run.lease").startswith("fail ARG "), what
        for name in ("plan", "parts", "plan"):
            assert a.ask("remove", name) == "ok"
        assert b.ask("put", "plan", "third") == "ok"
        assert content(s3, "work/plan") == b"third"
        assert a.ask("unlease", "run") == "ok"
        for host in (a, b, top):
            host.quit()


def values(_):
    with S3F() as s3:
        values_on(s3)
        assert not s3.uploads(), s3.uploads()
        assert not s3.denied(), s3.denied()


def requests(_):
    """What things cost: one request where one will do."""
    with S3F() as s3, Host(s3) as a:
        def count(*words):
            before = len(s3.log())
            assert a.ask(*words).split()[0] in ("ok", "end"), words
            return [e["op"] for e in s3.log()[before:]]
        assert count("put", "plan", "x") == ["PutObject"]
        assert count("get", "plan") == count("get", "none") == ["GetObject"]
        assert count("lease", "run") == ["GetObject", "PutObject", "GetObject", "PutObject", "PutObject"] # proved
        assert count("lease", "run2") == ["GetObject", "PutObject"]
        assert count("renew", "run2") == count("renew", "run2") == ["HeadObject"]
        assert count("unlease", "run2") == ["PutObject"]
        assert count("lease", "run2") == ["GetObject", "PutObject"]
        a.quit()
        assert not s3.denied()


def idle(_):
    """Connections that the server closed while nobody used them are no failure, nor a retry."""
    with S3F() as s3, Host(s3, "attempts=1") as a:
        for n in range(5):
            assert a.ask("put", "v%d" % n, "x") == "ok"
        assert s3.dump()["connections"] == 1, s3.dump()["connections"]  # kept
        for n in range(5, 10):
            assert s3.close_idle() == 1
            assert a.ask("put", "v%d" % n, "x") == "ok"
        assert a.ask("counts") == "ok 10 0", a.ask("counts")
        assert s3.dump()["connections"] == 6 and s3.dump()["open"] == 1, s3.dump()["connections"]
        s3.config(idle_close=1)
        assert a.ask("put", "last", "x") == "ok"
        until = time.monotonic() + 60
        while s3.dump()["open"]:
            assert time.monotonic() < until, "the server closes nothing"
            time.sleep(0.1)
        assert a.ask("get", "last").startswith("ok") and a.ask("counts") == "ok 12 0"
        a.quit()


def ends(_):
    """Interrupt, close and fork: calls return soon, nothing is left that waits."""
    with S3F() as s3:
        with Host(s3) as a, Host(s3) as b:
            assert a.ask("lease", "run") == "ok 1"
            assert a.ask("fork", "run") == "ok"
            assert b.ask("lease", "run") == "again"
            assert a.ask("renew", "run") == "ok"
            s3.rules({"op": ["PutObject", "HeadObject", "GetObject", "ListObjectsV2"], "action": "hang"})
            for words in (("put", "a", "x"), ("get", "a"), ("list",), ("renew", "run"), ("lease", "other")):
                a.ask("interrupt", 500)
                began = time.monotonic()
                answer = a.ask(*words)
                assert answer.startswith("fail CANCELED"), (words, answer)
                assert 0.3 < time.monotonic() - began < 3, words
            for words in (("put", "c", "x"), ("get", "a"), ("list",), ("renew", "run"), ("lease", "third"),
                          ("fill", "d", 900000, 1)):
                assert a.ask("scope", 700) == "ok"  # of a caller that has a deadline, which these calls do not take
                answer = a.ask(*words)
                assert answer.startswith("fail LIMIT TIMEOUT"), (words, answer)
            assert a.ask("scope", 0) == "ok"
            s3.rules()
            assert a.ask("put", "a", "x") == "ok"
            assert a.ask("renew", "run") == "ok"
            s3.rules({"op": "PutObject", "action": "hang"})
            began = time.monotonic()
            assert a.ask("unlease", "run") == "ok"
            assert 3 < time.monotonic() - began < 8, "giving back does not wait for ever"
            s3.rules()
            a.quit()
        with Host(s3) as a:
            assert a.ask("lease", "closed") == "ok 1"
            began = time.monotonic()
            assert a.ask("close") == "ok"
            assert a.ask("renew", "closed").startswith("fail STATE")
            assert a.ask("unlease", "closed") == "ok"
            assert time.monotonic() - began < 3
            a.quit()


def lease_among_many(_):
    """All connections are busy with parts that go nowhere, or the server asks to slow down: a lease is renewed."""
    for rule in ({"op": "UploadPart", "action": "hang"},
                 {"op": "UploadPart", "action": "error", "code": "SlowDown", "retry_after": 20}):
        with S3F() as s3, Host(s3, "connections=1", *SHORT) as a, Host(s3, *SHORT) as b:
            assert a.ask("lease", "run") == "ok 1"
            s3.rules(rule)
            a.send("fill", "large", 17 * MIB, 1)
            until = time.monotonic() + 60
            while not s3.fired()[0]:
                assert time.monotonic() < until, "no part was sent"
                time.sleep(0.05)
            writes = [r for r in s3.log() if r["key"] == "work/run.lease" and r["op"] == "PutObject"]
            while len([r for r in s3.log() if r["key"] == "work/run.lease" and r["op"] == "PutObject"]) < len(writes) + 7:
                assert b.ask("lease", "run") == "again", "the lease ended while parts were under way"
                assert time.monotonic() < until, "the lease is not renewed"
                time.sleep(0.3)


# ---- races ----

def race_on(s3, rounds=1, *options):
    """Two processes, four threads each, put the same names: one wins each, and what is there is the winner's."""
    for n in range(rounds):
        prefix = "w%d" % n
        with Host(s3, *options, prefix=prefix) as a, Host(s3, *options, prefix=prefix) as b:
            for host, word in ((a, "by-A"), (b, "by-B")):
                host.send("race", NAMES, word)
            told = [host.answer(300)[3:] for host in (a, b)]
            for i, (one, two) in enumerate(zip(*told)):
                assert sorted(one + two) == ["l", "w"], "name %d: %s%s; %s%s" % (i, one, two, a.log(), b.log())
                value = content(s3, "%s/race/%03d" % (prefix, i))
                word = b"by-A" if one == "w" else b"by-B"
                assert value.startswith(word) and value.endswith(word) and len(value) == 18 + i * 7919 % 20000, i
            assert len(told[0]) == NAMES
            print("  won: %d and %d" % (told[0].count("w"), told[1].count("w")))
            a.quit()
            b.quit()


def race(_):
    with S3F() as s3:
        race_on(s3)
        assert not s3.denied()


# ---- leases ----

def lease_on(s3):
    with Host(s3, prefix="lease/on") as a, Host(s3, prefix="lease/on/") as b:
        assert a.ask("lease", "run") == "ok 1"
        assert b.ask("lease", "run") == a.ask("lease", "run") == "again"
        assert a.ask("lease", "tasks/1") == "ok 1"
        assert a.ask("renew", "run") == a.ask("renew", "run") == "ok"
        assert a.ask("unlease", "run") == "ok"
        assert b.ask("lease", "run") == "ok 2"
        assert a.ask("lease", "run") == "again"
        b.quit() # with its leases
        assert a.ask("lease", "run") == "ok 3"
        assert a.ask("list") == "ok"
        a.quit()


def lease_races_on(s3):
    """Of many that ask for one lease at the same time one has it, and fences rise whoever had it."""
    hosts = [Host(s3, prefix="lease/races") for _ in range(4)]
    fence = 0
    try:
        for _ in range(15):
            for host in hosts:
                host.send("lease", "one")
            answers = [host.answer() for host in hosts]
            won = [i for i, answer in enumerate(answers) if answer.startswith("ok")]
            assert len(won) == 1 and answers.count("again") == 3, answers
            number = int(answers[won[0]].split()[1])
            assert number > fence, (number, fence)
            fence = number
            assert hosts[won[0]].ask("renew", "one") == "ok"
            assert hosts[won[0]].ask("unlease", "one") == "ok"
    finally:
        for host in hosts:
            host.kill()


def kill_on(s3, limit=31, options=()):
    """A holder that is killed is over after its life, not before."""
    with Host(s3, *options, prefix="kill") as a, Host(s3, *options, prefix="kill") as b:
        assert a.ask("lease", "run") == "ok 1"
        assert a.ask("renew", "run") == "ok"
        time.sleep(1.5)
        a.kill()
        took, fence = wait_for_lease(b, "run", limit)
        print("  taken over after %.1f s" % took)
        assert fence == 2 and b.ask("renew", "run") == "ok"
        b.quit()


def kept(_):
    """As long as its holder lives a lease lasts, whatever it does meanwhile."""
    with S3F() as s3, Host(s3, *SHORT) as a, Host(s3, *SHORT) as b:
        assert a.ask("lease", "run") == "ok 1" and a.ask("lease", "run2") == "ok 1"
        end = time.monotonic() + 12
        while time.monotonic() < end:
            assert b.ask("lease", "run") == b.ask("lease", "run2") == "again"
            time.sleep(0.3)
        assert a.ask("renew", "run") == a.ask("renew", "run2") == "ok"
        puts = [e for e in s3.log() if e["op"] == "PutObject"]
        assert 20 < len(puts) < 40, len(puts)


SHIM = """
#define _GNU_SOURCE
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
int clock_gettime(clockid_t id, struct timespec *t)
{
    int rc = (int)syscall(SYS_clock_gettime, id, t);
    if (rc == 0 && id == CLOCK_REALTIME) t->tv_sec += AHEAD;
    return rc;
}
"""


def skewed(folder):
    """Clocks of machines that are hours apart: only the server's counts."""
    with open(HOST, "rb") as f:
        if b"__asan_init" in f.read() or b"__tsan_init" in f.read():
            raise Skip("a sanitizer wants to be the first library")
    env = {}
    for ahead in (3600, -7200):
        made = "%s/ahead%d.so" % (folder, ahead)
        with open(folder + "/shim.c", "w", encoding="ascii") as f:
            f.write(SHIM)
        compiler = shlex.split(os.environ.get("CC", "cc"))
        subprocess.run([*compiler, "-shared", "-fPIC", "-DAHEAD=%d" % ahead, "-o", made, folder + "/shim.c"],
                       check=True)
        env[ahead] = {"LD_PRELOAD": made}
    with S3F() as s3, Host(s3, *SHORT, env=env[3600]) as a, Host(s3, *SHORT, env=env[-7200]) as b, \
            Host(s3, *SHORT) as c:
        assert a.ask("lease", "run") == "ok 1"
        assert b.ask("lease", "run2") == "ok 1"
        end = time.monotonic() + 8
        while time.monotonic() < end:
            assert b.ask("lease", "run") == c.ask("lease", "run") == "again"
            assert a.ask("lease", "run2") == c.ask("lease", "run2") == "again"
            time.sleep(0.3)
        assert a.ask("renew", "run") == b.ask("renew", "run2") == "ok"
        a.kill()
        took, fence = wait_for_lease(b, "run", 6)
        assert took > 1.5 and fence == 2, (took, fence)


def paused_on(s3, life, options):
    """A holder that was stopped for longer than its lease lasts is none any more, and learns it before it writes on."""
    with Host(s3, *options, prefix="paused") as a, Host(s3, *options, prefix="paused") as b:
        assert a.ask("lease", "run") == "ok 1" and a.ask("lease", "other") == "ok 1"
        a.process.send_signal(signal.SIGSTOP)
        took, fence = wait_for_lease(b, "run", life + 1)
        assert fence == 2 and took > life - 3.5, (took, fence)
        time.sleep(1)
        a.send("renew", "run") # waits in the pipe: the first that it does
        a.process.send_signal(signal.SIGCONT)
        answer = a.answer()
        assert lost(answer), answer
        assert lost(a.ask("renew", "run"))
        assert b.ask("renew", "run") == "ok"
        # what nobody has taken is still its own
        assert a.ask("renew", "other") == "ok"
        assert b.ask("lease", "other") == "again"
        assert a.ask("unlease", "run") == "ok" # changes nothing
        assert a.ask("lease", "run") == "again"
        assert b.ask("renew", "run") == "ok"
        a.quit()
        b.quit()


def paused(_):
    with S3F() as s3:
        paused_on(s3, 5, SHORT)
        assert not s3.denied()


def removed(_):
    with S3F() as s3, Host(s3, *SHORT) as a:
        assert a.ask("lease", "run") == "ok 1"
        assert Client(s3).call("DELETE", s3.bucket, "work/run.lease")[0] == 204
        assert lost(a.ask("renew", "run"))
        assert a.ask("unlease", "run") == "ok"
        for text in ("what?", "{}", '{"vodpipe_lease":2,"owner":"%s","fence":1,"serial":1,"held":false}' % ("0" * 32),
                     '{"vodpipe_lease":1,"owner":"%s","fence":-1,"serial":1,"held":false}' % ("0" * 32)):
            Client(s3).call("PUT", s3.bucket, "work/run.lease", body=text.encode())
            assert a.ask("lease", "run").startswith("fail IO S3_ERROR"), text
        text = '{"vodpipe_lease":1,"owner":"%s","fence":41,"serial":1,"held":false}' % ("0" * 32)
        Client(s3).call("PUT", s3.bucket, "work/run.lease", body=text.encode())
        assert a.ask("lease", "run") == "ok 42"
        a.quit()


# ---- faults ----

def lost_answers(_):
    """Done, and the answer lost: one's own success is known as such."""
    for rst in (False, True):
        with S3F() as s3:
            drop = {"op": "PutObject", "per": "key", "nth": 1, "action": "apply_drop", "rst": rst}
            s3.rules(dict(drop, key="work/race/*"))
            with Host(s3) as a:
                assert a.ask("race", NAMES, "alone") == "ok " + "w" * NAMES, a.log()
            s3.rules(dict(drop, key="w0/race/*"))
            race_on(s3)
            s3.rules({"op": "CompleteMultipartUpload", "nth": 1, "action": "apply_drop", "rst": rst})
            with Host(s3) as a:
                assert a.ask("fill", "large", 17 * MIB, 3).startswith("ok "), a.log()
                assert a.ask("fill", "large", 17 * MIB, 4).startswith("end "), a.log()
            assert not s3.uploads()
            assert not s3.denied()


def lost_lease_answers(_):
    with S3F() as s3:
        s3.rules({"op": "PutObject", "key": "*.lease", "every": 2, "action": "apply_drop"})
        with Host(s3, *SHORT) as a, Host(s3, *SHORT) as b:
            fence = 0
            for _ in range(12):
                answer = a.ask("lease", "run")
                assert answer.startswith("ok ") and int(answer.split()[1]) > fence, answer + a.log()
                fence = int(answer.split()[1])
                assert b.ask("lease", "run") == "again"
                time.sleep(0.3)
                assert a.ask("renew", "run") == "ok", a.log()
                assert a.ask("unlease", "run") == "ok"
                a, b = b, a
            assert a.ask("lease", "run").startswith("ok")
            for _ in range(14):
                time.sleep(0.5)
                assert b.ask("lease", "run") == "again"
                assert a.ask("renew", "run") == "ok"


def trouble(_):
    """503 and resets in the middle of a race and under leases that are held."""
    faults = [{"op": "PutObject", "p": 0.1, "seed": 4, "action": "error", "code": "ConditionalRequestConflict"},
              {"op": "*", "p": 0.15, "seed": 5, "any": [
                  {"action": "error", "code": "InternalError"},
                  {"action": "error", "code": "ServiceUnavailable", "status": 500},
                  {"action": "drop"}, {"action": "drop", "rst": True}, {"action": "apply_drop"},
                  {"action": "apply_drop", "rst": True}, {"action": "reset", "received": 5}]}]
    with S3F() as s3:
        s3.rules(*faults)
        with Host(s3, *SHORT) as a, Host(s3, *SHORT) as b:
            assert a.ask("lease", "run").startswith("ok ")
            a.send("race", NAMES, "by-A")
            b.send("race", NAMES, "by-B")
            told = [host.answer(300)[3:] for host in (a, b)]
            assert b.ask("lease", "run") == "again"
            assert a.ask("renew", "run") == "ok", a.log()
            s3.rules()
            for i, (one, two) in enumerate(zip(*told)):
                assert sorted(one + two) == ["l", "w"], "name %d: %s%s; %s%s" % (i, one, two, a.log(), b.log())
                assert content(s3, "work/race/%03d" % i).startswith(b"by-A" if one == "w" else b"by-B"), i
        s3.rules({"op": "*", "p": 0.2, "seed": 6, "action": "error", "code": "SlowDown"})
        with Host(s3, *SHORT) as a, Host(s3, *SHORT) as b:
            took, _ = wait_for_lease(a, "slow", 20)
            answer = a.ask("race", 24, "slow")
            assert answer == "ok " + "l" * 24, answer + a.log()
            assert b.ask("lease", "slow") == "again"
            assert a.ask("renew", "slow") == "ok"
        assert not s3.denied()


def unreachable(_):
    """A holder without its server is not sure any more, and says so; with it again it is."""
    with S3F() as s3, Host(s3, *SHORT, "attempts=2") as a:
        assert a.ask("lease", "run") == "ok 1"
        s3.rules({"op": "*", "action": "drop"})
        time.sleep(2)
        assert a.ask("renew", "run").startswith("fail IO CONNECTION_FAILED"), a.log()
        assert a.ask("put", "x", "y").startswith("fail IO CONNECTION_FAILED")
        s3.rules()
        assert a.ask("renew", "run") == "ok"
        assert a.ask("put", "x", "y") == "ok"
        a.quit()


def denied(_):
    with S3F() as s3, Host(s3) as a:
        s3.rules({"op": "PutObject", "action": "error", "code": "AccessDenied"})
        assert a.ask("put", "x", "y").startswith("fail AUTH S3_ACCESS_DENIED")
        assert a.ask("lease", "run").startswith("fail AUTH S3_ACCESS_DENIED")
        s3.rules({"op": "PutObject", "header": {"if-match": "."}, "action": "error", "code": "NotImplemented"})
        assert a.ask("lease", "run").startswith("fail UNSUPPORTED UNSUPPORTED"), a.log()
        s3.rules()
        a.quit()


CARELESS = """
import sys
sys.path.insert(0, %r)
import s3_fault_server, s3_ops
def check(self, request, bucket):
    for name in (%r,):
        request.headers = {n: v for n, v in request.headers.items() if n != name}
    return right(self, request, bucket)
right = s3_ops.Operations.check_absent
s3_ops.Operations.check_absent = check
sys.exit(s3_fault_server.main())
"""


def careless(folder):
    """A server that takes a write whatever its conditions say gives no lease."""
    true = s3_servers.HERE
    for name in ("if-match", "if-none-match"):
        with open(folder + "/s3_fault_server.py", "w", encoding="utf-8") as f:
            f.write(CARELESS % (true, name))
        s3_servers.HERE = folder
        try:
            with S3F() as s3, Host(s3) as a:
                answer = a.ask("lease", "run")
                assert answer.startswith("fail UNSUPPORTED") and name in answer.lower(), answer
                a.quit()
        finally:
            s3_servers.HERE = true
    with S3F() as s3, Host(s3) as a: # its objects get other times than its clock says
        s3.config(clock_offset=600)
        answer = a.ask("lease", "run")
        assert answer.startswith("fail IO S3_ERROR") and re.search(r"of now is (599|600|601) s old", answer), answer
        a.quit()


# ---- real servers ----

def real(_, name):
    try:
        server = real_server(name)
    except Missing as why:
        raise Skip(str(why)) from None
    with server as s3:
        lease_on(s3)
        lease_races_on(s3)
        race_on(s3, 3)
        kill_on(s3, 7, SHORT)
        paused_on(s3, 5, SHORT)
    with real_server(name) as s3:
        values_on(s3)


def main():
    group = sys.argv[1]
    cases = Cases("s3-store-" + group)
    table = {"values": [values, requests, idle, ends], "race": [race], "pause": [paused, kept, skewed, removed],
             "faults": [lost_answers, lost_lease_answers, trouble, unreachable, denied, careless]}
    for case in table.get(group, []):
        cases.run(case.__name__, case)
    if group == "lease":
        cases.run("lease_among_many", lease_among_many)
        for case in (lease_on, lease_races_on, kill_on):
            def one(_, case=case):
                with S3F() as s3:
                    case(s3)
                    assert not s3.denied()
            cases.run(case.__name__, one)
    if group == "real":
        for name in ("versitygw", "minio"):
            cases.run(name, real, name)
    return cases.end()


if __name__ == "__main__":
    sys.exit(main())
