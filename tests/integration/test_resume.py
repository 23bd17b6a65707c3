#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A job that is broken off anywhere goes on when the same command is run again: by kill -9, by signals, beside others,
with another source, in pieces of many processes. CI_FULL=1 kills two hundred times.

    test_resume.py GROUP...     groups: kill place pieces
"""
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time

sys.dont_write_bytecode = True

from clips import AAC, X264, clip as define, lavfi, run as make_clip, test_video  # noqa: E402
from titles import BIN, FAST, FULL, Cases, clip, good, tool, tree  # noqa: E402

KILLS = 200 if FULL else 12
SHORT = FAST + ["--segment", "1", "--gop", "1"]
# One time in three as a person or a service manager does it; two signals: at once.
STOPS = [(signal.SIGKILL,)] * 6 + [(signal.SIGINT,), (signal.SIGTERM,), (signal.SIGINT, signal.SIGINT)]
TWO = ["--rate", "2pass"]
FORMS = {"abr": ["--format", "both"], "2pass": TWO, "2pass-single": TWO + ["--single-file"]}


@define("minute.mp4", "50 s, small: four spans that take no time")
def _(to, dep):
    make_clip(lavfi(test_video("128x72", "12", "50"), "sine=d=50:r=48000") + X264 + ["-g", "24"] + AAC, to)


@define("noise36.mp4", "36 s of noise, three spans: each long enough to be stopped in its middle")
def _(to, dep):
    make_clip(lavfi(test_video("320x180", "25", "36", ",noise=alls=20:allf=t"), "sine=d=36:r=48000") + X264
              + ["-g", "100"] + AAC, to)


def equal(got, want, what="value"):
    assert got == want, "%s is %r, not %r" % (what, got, want)


def same_tree(out, whole, what=""):
    a, b = tree(out), tree(whole)
    differ = sorted(k for k in a.keys() | b.keys() if a.get(k) != b.get(k))
    assert b and not differ, "%s: differs, or is left: %s" % (what, differ[:8])


def recorded(work):
    """Tasks whose record is in the work store."""
    folder = os.path.join(work, "result")
    return {n for n in os.listdir(folder) if not n.startswith(".")} if os.path.isdir(folder) else set()


def begun(log):
    return re.findall(r"^vodpipe: info: transcode: (\S+) begins$", log, re.M)


def start(*args, env=None):
    return subprocess.Popen([BIN] + [str(a) for a in args], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, encoding="utf-8", env=env)


def wait_for(condition, what, process=None, limit=120):
    until = time.monotonic() + limit
    while not condition():
        assert process is None or process.poll() is None, "it ended before %s" % what
        assert time.monotonic() < until, "no %s within %d s" % (what, limit)
        time.sleep(0.005)


def named_plan(work):
    return os.path.isfile(os.path.join(work, "plan.json"))


# ---- kill -9 ----

class Killer:
    """Runs one command over and over, kills it at random times, and counts what was lost."""

    def __init__(self, folder, out, args):
        self.out, self.work, self.args, self.lost = out, os.path.join(out, ".vodpipe"), args, 0
        self.temp = os.path.join(folder, "temp")
        os.makedirs(self.temp, exist_ok=True)
        self.env = dict(os.environ, TMPDIR=self.temp, VODPIPE_LOG="info")
        self.log = os.path.join(folder, "log")

    def once(self, seconds, signals=(signal.SIGKILL,)):
        """True when it was stopped. Checks that no finished task runs again."""
        before = recorded(self.work)
        with open(self.log, "w", encoding="utf-8") as log:
            p = subprocess.Popen([BIN, *self.args, "--jobs", "2", "--progress", "none"], stdin=subprocess.DEVNULL,
                                 stdout=subprocess.DEVNULL, stderr=log, env=self.env)
            try:
                p.wait(seconds)
            except subprocess.TimeoutExpired:
                for number in signals:
                    p.send_signal(number)
            p.wait()
        with open(self.log, encoding="utf-8") as log:
            text = log.read().strip()
        ran = begun(text)
        again = sorted(before & set(ran))
        assert not again, "done, and run again: %s" % again
        if p.returncode == 3:
            last = text.split("\n")[-1]
            assert re.match(r"vodpipe: \w+: CANCELED: ", last), last
            # before the library began, there is no work yet
            assert not named_plan(self.work) or (self.work in last and "the same command goes on" in last), last
        if p.returncode == 3 or -p.returncode in signals:
            # With the title published, its records are of no use and go.
            if not os.path.exists(os.path.join(self.out, "master.m3u8")):
                lost = [t for t in ran if t not in recorded(self.work)]
                # one span, one track of sound, two pieces of analysis at a time
                assert len(lost) <= 3, "lost at once: %s" % lost
                self.lost += len(lost)
            return True
        equal(p.returncode, 0, "exit status (%s)" % text[-400:])
        return False

    def ended(self):
        assert not os.path.exists(self.work), "work is left: %s" % sorted(tree(self.work))
        assert not os.listdir(self.temp), "left: %s" % os.listdir(self.temp)


def killed(folder, form):
    source, whole = clip("minute.mp4"), os.path.join(folder, "whole")
    args = [*SHORT, *FORMS[form]]
    began = time.monotonic()
    good("publish", source, whole, *args)
    took, rng, kills, titles = time.monotonic() - began, random.Random(11), 0, 0
    while kills < KILLS:
        out = os.path.join(folder, "out")
        killer = Killer(folder, out, ["publish", source, out, *args])
        began, before, until = time.monotonic(), kills, took * 0.7
        while killer.once(rng.uniform(0.02, until), rng.choice(STOPS)):
            kills += 1
            until *= 1.1 # what one task takes is longer at another time: each title comes to its end
        if kills == before: # the machine has become faster
            took = time.monotonic() - began
        killer.ended()
        same_tree(out, whole, "after %d kills" % kills)
        assert "ALREADY_DONE" in good("publish", source, out, *args).err
        same_tree(out, whole, "published again")
        shutil.rmtree(out)
        titles += 1
    print("  %d kills in %d titles, %d tasks lost" % (kills, titles, killer.lost))


def killed_package(folder):
    """Packaging begins anew, with nothing of the killed run in it; also not when that was of other renditions."""
    source, other = clip("minute.mp4"), clip("noise36.mp4")
    whole, out = (os.path.join(folder, n) for n in ("whole", "out"))
    began = time.monotonic()
    good("package", source, whole, "--single-file")
    took, rng, kills = time.monotonic() - began, random.Random(5), 0
    while kills < KILLS:
        kills += Killer(folder, out, ["package", other, out, "--single-file"]).once(rng.uniform(0.005, took))
        killer, until = Killer(folder, out, ["package", source, out, "--single-file", "--prune"]), took
        while killer.once(rng.uniform(0.005, until)):
            kills += 1
            until *= 1.1
        killer.ended()
        same_tree(out, whole, "after %d kills" % kills)
        shutil.rmtree(out)


def killed_at_marker(folder):
    """Killed while the first thing of a version was written: no run of other settings would ever look into its folder."""
    source, whole, out = clip("base.mp4"), os.path.join(folder, "whole"), os.path.join(folder, "out")
    left = os.path.join(out, "0123456789ab")
    good("publish", source, whole, *FAST)
    os.makedirs(left)
    with open(os.path.join(left, "..vodpipe-version.tmp-1-0-1"), "w", encoding="utf-8") as f:
        f.write("half")
    good("publish", source, out, *FAST)
    same_tree(out, whole, "over a folder without a marker")
    assert not os.path.exists(left), "left: %s" % os.listdir(left)


# ---- places ----

def other_source(folder):
    """Another source under the same name is another title; with --prune nothing of the broken-off one stays."""
    src, out, whole = (os.path.join(folder, n) for n in ("in.mp4", "out", "whole"))
    work = os.path.join(out, ".vodpipe")
    shutil.copy(clip("noise36.mp4"), src)
    p = start("publish", src, out, *SHORT, "--preset", "medium")
    wait_for(lambda: len(recorded(work)) > 0, "record", p)
    p.kill()
    p.communicate()
    shutil.copy(clip("minute.mp4"), src)
    good("publish", src, whole, *SHORT)
    good("publish", src, out, *SHORT, "--prune")
    same_tree(out, whole)
    assert not os.path.exists(work)


def touched_source(folder):
    """A source that changes while it is read: SOURCE_CHANGED, and what was made of it is not used."""
    src, out, whole = (os.path.join(folder, n) for n in ("in.mp4", "out", "whole"))
    work = os.path.join(out, ".vodpipe")
    shutil.copy(clip("noise36.mp4"), src)
    p = start("publish", src, out, *SHORT, "--preset", "medium", "--progress", "none")
    wait_for(lambda: named_plan(work), "plan", p)
    os.utime(src, (1, 1))
    _, err = p.communicate(timeout=300)
    equal(p.returncode, 1, "exit status (%s)" % err[-300:])
    assert ": SOURCE_CHANGED: " in err.strip().split("\n")[-1], err[-300:]
    assert not os.path.exists(os.path.join(out, "master.m3u8"))
    equal(recorded(work), set(), "records of what was made of two sources")
    good("publish", src, out, *SHORT, "--preset", "medium")
    good("publish", src, whole, *SHORT, "--preset", "medium")
    same_tree(out, whole)


def two_at_once(folder, command):
    """Two processes on one work folder: the second is told so, and takes nothing from the first."""
    src, out, whole = clip("noise36.mp4"), os.path.join(folder, "out"), os.path.join(folder, "whole")
    args = [*SHORT, "--preset", "medium"] if command == "publish" else []
    p = start(command, src, out, *args, "--progress", "none")
    lease = os.path.join(out, ".vodpipe", "lease", "job.lease")
    wait_for(lambda: os.path.exists(lease) and os.path.getsize(lease) > 0, "lease", p)
    p.send_signal(signal.SIGSTOP)
    for _ in range(2):
        r = tool(command, src, out, *args, "--progress", "none")
        equal((r.code, r.reason), (1, "ALREADY_RUNNING"), "the second (%s)" % r.err[-200:])
    p.send_signal(signal.SIGCONT)
    _, err = p.communicate(timeout=300)
    equal(p.returncode, 0, "the first (%s)" % err[-300:])
    good(command, src, whole, *args)
    same_tree(out, whole)


def piped(folder):
    """A pipe, killed and fed again; as plan, run and finish; too long; and a signal while it is silent."""
    src, whole, out = clip("noise36.mp4"), os.path.join(folder, "whole"), os.path.join(folder, "out")
    work, temp = os.path.join(out, ".vodpipe"), os.path.join(folder, "plan")
    args = [*SHORT, "--preset", "medium", "--progress", "none"]
    good("publish", src, whole, *args)
    done = set()
    for end in (signal.SIGKILL, signal.SIGTERM):
        with open(src, "rb") as f:
            p = subprocess.Popen([BIN, "publish", "-", out, *args], stdin=f, stderr=subprocess.PIPE)
        wait_for(lambda: len(recorded(work)) > len(done), "record", p)
        done = recorded(work)
        p.send_signal(end)
        p.communicate()
        assert os.path.exists(os.path.join(work, "source")) == (end == signal.SIGKILL)
        assert done <= recorded(work), "records are lost"
    end, fd = os.pipe()
    p = subprocess.Popen([BIN, "publish", "/dev/fd/%d" % end, out, *args], pass_fds=[end], stderr=subprocess.PIPE,
                         stdout=subprocess.DEVNULL, encoding="utf-8")
    os.close(end)
    with open(fd, "wb") as to, open(src, "rb") as f: # in drops, with a pause
        data = f.read()
        for at in range(0, len(data), 100000):
            to.write(data[at:at + 100000])
            to.flush()
            time.sleep(0.01)
    _, err = p.communicate(timeout=300)
    equal(p.returncode, 0, "exit status (%s)" % err[-300:])
    same_tree(out, whole)
    assert not os.path.exists(work), "work is left: %s" % sorted(tree(work))
    shutil.rmtree(out)
    with open(src, "rb") as f:
        r = subprocess.run([BIN, "plan", "-", out, "--work", temp, *args], stdin=f, capture_output=True, check=False)
    equal(r.returncode, 0, r.stderr[-200:])
    run_rest(temp)
    good("finish", "--work", temp, "--progress", "none")
    same_tree(out, whole)
    assert not os.path.exists(temp), "work is left: %s" % sorted(tree(temp))
    shutil.rmtree(out)
    with open(src, "rb") as f:
        r = subprocess.run([BIN, "publish", "-", out, "--max-input", "1", *args], stdin=f, capture_output=True, check=False)
    assert r.returncode == 1 and b": INPUT_LIMIT: " in r.stderr, r.stderr[-200:]
    assert not os.path.exists(out), "left: %s" % sorted(tree(out))
    p = subprocess.Popen([BIN, "publish", "-", out, *args], stdin=subprocess.PIPE, stderr=subprocess.PIPE)
    time.sleep(0.3) # nobody writes
    p.send_signal(signal.SIGINT)
    p.wait(5)
    err = p.stderr.read().decode()
    p.stdin.close()
    assert p.returncode == 3 and ": CANCELED: " in err, err[-200:]
    assert not os.path.exists(out), "left: %s" % sorted(tree(out))


def damaged_work(folder):
    """Whatever becomes of the work folder's files: a second run needs no help."""
    src, whole = clip("minute.mp4"), os.path.join(folder, "whole")
    args = [*SHORT, "--rate", "2pass", "--single-file"]
    good("publish", src, whole, *args)
    for turn, damage in enumerate(("cut", "flip", "empty", "remove")):
        out = os.path.join(folder, "out%d" % turn)
        work = os.path.join(out, ".vodpipe")
        p = start("publish", src, out, *args)
        wait_for(lambda: any(t.startswith("video") for t in recorded(work)), "record", p)
        p.kill()
        p.communicate()
        for name in sorted(tree(work)):
            path = os.path.join(work, name)
            if name.endswith(".lease"):
                continue
            if damage == "remove" and not name.startswith("result/"):
                os.unlink(path)
            elif damage != "remove":
                with open(path, "r+b") as f:
                    data = bytearray(f.read())
                    if data and damage == "flip":
                        data[len(data) // 2] ^= 0x20
                        f.seek(0)
                        f.write(data)
                    else:
                        f.truncate(0 if damage == "empty" else len(data) // 2)
        for _ in range(8): # one loss after another may come to light
            r = tool("publish", src, out, *args, "--progress", "none")
            if r.code == 0:
                break
            assert r.reason in ("CHECKSUM_MISMATCH", "TASKS_MISSING"), r.err[-300:]
        equal(r.code, 0, "%s: exit status (%s)" % (damage, r.err[-300:]))
        same_tree(out, whole, damage)
        assert not os.path.exists(work), damage


# ---- plan, run, finish ----

def plan(source, out, work, *args):
    r = good("plan", source, out, "--work", work, *args)
    return [t["task"] for t in json.loads(r.out)["tasks"]]


def run_rest(work):
    ran = []
    while True:
        name = good("run", "--work", work, "--task", "next").out.strip()
        if name == "none":
            return ran
        ran.append(name)


def killed_workers(folder, form):
    """Processes that take tasks are killed now and then; what is left is named until all is in."""
    source, out, work, whole = clip("minute.mp4"), *(os.path.join(folder, n) for n in ("out", "work", "whole"))
    args = [*SHORT, *FORMS[form]]
    good("publish", source, whole, *args)
    names, rng, kills = set(plan(source, out, work, *args)), random.Random(3), 0
    while len(recorded(work)) < len(names):
        crew = [start("run", "--work", work, "--task", "next", "--jobs", "1") for _ in range(3)]
        for p in crew:
            try:
                p.communicate(timeout=rng.uniform(0.01, 0.6))
            except subprocess.TimeoutExpired:
                if kills < KILLS:
                    p.kill()
                    kills += 1
                p.communicate()
        there = recorded(work)
        if len(there) < len(names):
            r = tool("finish", "--work", work)
            equal((r.code, r.reason), (1, "TASKS_MISSING"), r.err[-200:])
            equal(set(r.out.split()), names - recorded(work), "what finish names")
            assert not os.path.exists(os.path.join(out, "master.m3u8"))
    assert kills, "none was killed"
    again = sorted(names)
    rng.shuffle(again)
    for name in again[:3]: # delivered twice
        equal(good("run", "--work", work, "--task", name).out.strip(), name)
    good("finish", "--work", work)
    assert not os.path.exists(work), "work is left: %s" % sorted(tree(work))
    same_tree(out, whole)


def two_finish(folder):
    """finish, delivered many times at once: one does it, the others are told so or that it is done."""
    source, out, work, whole = clip("minute.mp4"), *(os.path.join(folder, n) for n in ("out", "work", "whole"))
    plan(source, out, work, *SHORT)
    run_rest(work)
    crew = [start("finish", "--work", work, "--progress", "none") for _ in range(4)]
    ends = [(p.communicate(timeout=300)[1].strip().split("\n")[-1], p.returncode) for p in crew]
    assert any(code == 0 for _, code in ends), ends
    for line, code in ends: # who comes after the end finds no work
        assert code == 0 or re.search(r": (ALREADY_RUNNING|IO_ERROR): ", line), line
    good("publish", source, whole, *SHORT)
    same_tree(out, whole)
    assert not os.path.exists(work)


def late_worker(folder, finished):
    """Stopped past the end of its lease; others do the task (and finish). Then it goes on, and changes nothing."""
    source, out, work, whole = clip("noise36.mp4"), *(os.path.join(folder, n) for n in ("out", "work", "whole"))
    args = ["--segment", "1", "--gop", "1", "--preset", "medium", "--rate", "abr"]
    names = plan(source, out, work, *args)
    p = start("run", "--work", work, "--task", "video-0002", "--progress", "none")
    wait_for(lambda: any(re.search(r"video/.*/000(1[3-9]|2\d)\.m4s$", n) for n in tree(out)), "segment", p)
    p.send_signal(signal.SIGSTOP)
    r = tool("run", "--work", work, "--task", "video-0002", "--progress", "none")
    equal((r.code, r.reason), (1, "ALREADY_RUNNING"), "while the lease lasts")
    equal(sorted(run_rest(work)), sorted(set(names) - {"video-0002"}), "what others may take")
    r = tool("finish", "--work", work)
    equal((r.code, r.reason, r.out.split()), (1, "TASKS_MISSING", ["video-0002"]), "finish")
    os.unlink(os.path.join(work, "lease", "video-0002.lease")) # as when it ends by itself
    equal(run_rest(work), ["video-0002"])
    if finished:
        good("finish", "--work", work)
    good("publish", source, whole, *args)
    before = {n: crc for n, crc in tree(out).items() if ".tmp-" not in n} # what it was writing goes with it
    p.send_signal(signal.SIGCONT)
    _, err = p.communicate(timeout=300)
    equal(p.returncode, 1, "exit status of the late one (%s)" % err[-300:])
    assert ": ALREADY_RUNNING: " in err, err[-300:]
    equal(tree(out), before, "the output")
    if not finished:
        good("finish", "--work", work)
    same_tree(out, whole)
    assert not os.path.exists(work), "work is left: %s" % sorted(tree(work))


GROUPS = {
    "kill": [("kill -9, " + f, killed, f) for f in FORMS] + [("kill -9, package", killed_package)],
    "place": [("another source", other_source), ("source touched", touched_source),
              ("killed at the marker", killed_at_marker),
              ("two at once, publish", two_at_once, "publish"), ("two at once, package", two_at_once, "package"),
              ("a pipe", piped), ("damaged work", damaged_work)],
    "pieces": [("killed workers, abr", killed_workers, "abr"),
               ("killed workers, 2pass", killed_workers, "2pass-single"),
               ("finish, often", two_finish), ("late worker", late_worker, False),
               ("late worker, after finish", late_worker, True)],
}


def main():
    status = []
    for group in sys.argv[1:] or list(GROUPS):
        cases = Cases("resume-" + group)
        for name, fn, *args in GROUPS[group]:
            cases.run(name, fn, *args)
        status.append(cases.end())
    sys.exit(1 if 1 in status else max(status))


main()
