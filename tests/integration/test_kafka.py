#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""examples/kafka-worker on a real broker: workers that die, stop, stall; messages that come twice, too early, or can never be
done. What comes out is byte for byte what one `vodpipe publish` makes.

    test_kafka.py [CASE...]
"""
import fcntl
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time

sys.dont_write_bytecode = True

import kafka_broker  # noqa: E402
from clips import AAC, X264, clip as define, lavfi, run as make_clip, test_video  # noqa: E402
from titles import BUILD, Cases, Skip, clip, good, tree  # noqa: E402

WORKER = os.path.join(BUILD, "examples/kafka-worker/kafka_worker")
SETTINGS = ["--preset", "medium", "--ladder", "240p"]
ONE_PASS, TWO_PASSES = ("--rate", "abr"), ("--rate", "2pass")
SESSION = ["-X", "session.timeout.ms=6000", "-X", "heartbeat.interval.ms=1000"]
PARTITIONS = 6
OVER = "^(done|put off|give up|suspended) "
LIMIT = 600  # seconds that a test waits for anything; nothing is judged by time


@define("kafka.mp4", "40 s of noise in a moving picture: four spans, each slow enough to be stopped in its middle")
def _(to, dep):
    make_clip(lavfi(test_video("426x240", "25", "40", ",noise=alls=20:allf=t"), "sine=d=40:r=48000") + X264
              + ["-g", "100"] + AAC, to)


class Program:
    """kafka_worker in the background; its lines as they come."""

    def __init__(self, name, *args):
        self.name, self.lines, self.changed = name, [], threading.Condition()
        self.process = subprocess.Popen(["nice", WORKER, *args], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT, text=True,
                                        preexec_fn=kafka_broker.die_with_parent)
        threading.Thread(target=self.read, daemon=True).start()
        RUNNING.append(self)

    def read(self):
        for line in self.process.stdout:
            with self.changed:
                self.lines.append(line.rstrip())
                self.changed.notify_all()
        with self.changed:
            self.lines.append(None)
            self.changed.notify_all()

    def said(self, pattern):
        with self.changed:
            return [line for line in self.lines if line and re.search(pattern, line)]

    def wait_for(self, pattern):
        """The first line that matches."""
        end = time.monotonic() + LIMIT
        with self.changed:
            while True:
                for line in self.lines:
                    if line and re.search(pattern, line):
                        return line
                left = end - time.monotonic()
                assert left > 0 and None not in self.lines, "%s never says %r: %s" % (self.name, pattern, self.lines[-12:])
                self.changed.wait(left)

    def ends(self):
        code = self.process.wait(LIMIT)
        self.process.stdout.close()
        return code

    def kill(self, number=signal.SIGKILL):
        self.process.send_signal(number)


RUNNING = []


def first_of(programs, pattern):
    """The program that says it first, and its line."""
    end = time.monotonic() + LIMIT
    while time.monotonic() < end:
        for p in programs:
            lines = p.said(pattern)
            if lines:
                return p, lines[0]
        time.sleep(0.02)
    raise AssertionError("nobody says %r: %s" % (pattern, [(p.name, p.lines[-6:]) for p in programs]))


class Group:
    """Topics of a name of their own, and what runs on them."""
    count = 0

    def __init__(self, broker):
        Group.count += 1
        self.broker, self.name = broker, "t%d" % Group.count
        self.common = ["--brokers", broker.address, "--name", self.name]
        self.call("topics", "--partitions", str(PARTITIONS))

    def call(self, command, *args):
        run = subprocess.run(["nice", WORKER, command, *args, *self.common], stdin=subprocess.DEVNULL,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=LIMIT)
        assert run.returncode == 0, "%s: exit %d: %s" % (command, run.returncode, run.stderr[-500:])
        return run.stdout

    def plan(self, source, folder, rate=ONE_PASS):
        """Plans into folder/out and folder/work."""
        return self.call("plan", source, os.path.join(folder, "out"), os.path.join(folder, "work"), *SETTINGS, *rate)

    def progress(self, folder):
        return self.call("progress", os.path.join(folder, "work")).strip()

    def start(self, command, *args):
        return Program("%s %d" % (command, len(RUNNING)), command, *self.common, *SESSION, "--retry-ms", "500",
                       "--jobs", "1", *args)

    # With a client that is not librdkafka.

    def send(self, topic, *bodies):
        producer = kafka.KafkaProducer(bootstrap_servers=self.broker.address, acks="all")
        for n, body in enumerate(bodies):
            text = body if isinstance(body, bytes) else json.dumps(body).encode()
            producer.send("%s.%s" % (self.name, topic), text, partition=n % PARTITIONS).get(LIMIT)
        producer.close()

    def read(self, topic):
        """All messages of a topic, (body, headers)."""
        name, found = "%s.%s" % (self.name, topic), []
        consumer = kafka.KafkaConsumer(bootstrap_servers=self.broker.address, auto_offset_reset="earliest",
                                       enable_auto_commit=False)
        parts = [kafka.TopicPartition(name, p) for p in consumer.partitions_for_topic(name)]
        consumer.assign(parts)
        for p in parts:
            consumer.seek(p, 0)
        count, end = sum(consumer.end_offsets(parts).values()), time.monotonic() + LIMIT
        while len(found) < count:
            assert time.monotonic() < end, "%d of %d messages of %s" % (len(found), count, name)
            for records in consumer.poll(500).values():
                found += [(r.value, {k: v.decode() for k, v in r.headers}) for r in records]
        consumer.close()
        return found

    def left(self):
        """How many messages of tasks and their retries no worker has committed."""
        consumer = kafka.KafkaConsumer(bootstrap_servers=self.broker.address, group_id=self.name + ".workers",
                                       enable_auto_commit=False)
        count = 0
        for topic in ("tasks", "tasks.retry"):
            name = "%s.%s" % (self.name, topic)
            parts = [kafka.TopicPartition(name, p) for p in consumer.partitions_for_topic(name)]
            ends = consumer.end_offsets(parts)
            count += sum(ends[p] - (consumer.committed(p) or 0) for p in parts)
        consumer.close()
        return count

    def all_committed(self):
        end = time.monotonic() + LIMIT
        while self.left():
            assert time.monotonic() < end, "messages that nobody commits: %d" % self.left()
            time.sleep(0.3)


def reference(rate):
    """What one process makes of the clip."""
    if rate not in REFERENCES:
        out = os.path.join(FOLDER, "reference-%d" % len(REFERENCES))
        good("publish", clip("kafka.mp4"), out, *SETTINGS, *rate)
        REFERENCES[rate] = tree(out)
    return REFERENCES[rate]


REFERENCES = {}


def published(group, folder, finisher, rate=ONE_PASS):
    """Waits for the title, and compares it with that of one process."""
    out = os.path.join(folder, "out")
    finisher.wait_for("^published " + re.escape(out))
    want = reference(rate)
    # A killed process leaves what it was writing just then under a temporary name; no listing of a sink shows it.
    got = {k: v for k, v in tree(out).items() if ".tmp-" not in k}
    assert got == want, "bytes differ: %s" % sorted(k for k in got.keys() | want.keys() if got.get(k) != want.get(k))[:8]
    titles = [json.loads(body) for body, _ in group.read("titles")]
    assert {"output": out, "status": "published"}.items() <= titles[-1].items(), titles


def wait_for_lease(folder, task):
    """Until a worker holds the lease of the task."""
    path, end = os.path.join(folder, "work", "lease", task + ".lease"), time.monotonic() + LIMIT
    while time.monotonic() < end:
        if os.path.exists(path):
            with open(path, "r+b") as f:
                try:
                    fcntl.lockf(f, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    return
        time.sleep(0.02)
    raise AssertionError("nobody takes the lease of " + task)


def nothing_dead(group):
    dead = group.read("dead")
    assert not dead, "given up: %s" % dead


# ---- cases ----

def killed_and_stopped(folder, broker):
    """Three workers; one is killed in the middle of a span, one is told to stop at once; two passes, all messages twice."""
    group = Group(broker)
    group.plan(clip("kafka.mp4"), folder, TWO_PASSES)
    group.plan(clip("kafka.mp4"), folder, TWO_PASSES)  # a producer that is not sure whether it did
    assert len(group.read("tasks")) == 10, "four spans of analysis and one of sound, twice"
    finisher = group.start("finish")
    workers = [group.start("work", "--grace", "0", "--tasks", tasks) for tasks in "112"]
    killed, line = first_of(workers, "^start video")
    killed.kill(signal.SIGSTOP)
    task = line.split()[1]
    killed.kill()
    assert killed.ends() == -signal.SIGKILL
    assert not killed.said(OVER + task), "%s was over already: %s" % (task, killed.lines)
    others = [w for w in workers if w != killed]
    stopped, line = first_of(others, "^start video")
    stopped.kill(signal.SIGTERM)
    stopped.wait_for("^suspended " + line.split()[1])
    assert stopped.ends() == 0
    published(group, folder, finisher, TWO_PASSES)
    last = next(w for w in others if w != stopped)
    for name in (task, line.split()[1]):
        assert last.said("^done " + name), "%s was done by nobody: %s" % (name, last.lines)
    group.all_committed()
    nothing_dead(group)
    last.kill(signal.SIGTERM)
    finisher.kill(signal.SIGTERM)
    assert (last.ends(), finisher.ends()) == (0, 0), (last.lines, finisher.lines)


def drained(folder, broker):
    """SIGTERM with grace: the running task ends, its offset is committed, and the next worker does not see it."""
    group = Group(broker)
    group.plan(clip("kafka.mp4"), folder)
    first = group.start("work", "--grace", "200")
    task = first.wait_for("^start video").split()[1]
    first.kill(signal.SIGTERM)
    assert first.ends() == 0
    assert first.said("^done " + task) and first.said("^left"), first.lines
    ran = len(first.said("^start "))
    assert group.left() == 5 - ran, "%d left of 5 after %s" % (group.left(), first.lines)
    second, finisher = group.start("work"), group.start("finish")
    published(group, folder, finisher)
    assert not second.said(task), "%s came again: %s" % (task, second.lines)


def stalled(folder, broker):
    """A worker that the group takes for dead goes on in the end: its task has a lease, which is waited for, not broken."""
    group = Group(broker)
    group.plan(clip("kafka.mp4"), folder)
    finisher, first = group.start("finish"), group.start("work")
    task = first.wait_for("^start video").split()[1]
    wait_for_lease(folder, task)
    first.kill(signal.SIGSTOP)
    second = group.start("work")
    second.wait_for("^put off " + task)
    first.kill(signal.SIGCONT)
    published(group, folder, finisher)
    assert first.said("^done " + task), first.lines
    group.all_committed()
    nothing_dead(group)


def too_early(folder, broker):
    """A task whose needs are not done waits beside the others, and counts no attempt."""
    plan, group = Group(broker), Group(broker)
    plan.plan(clip("kafka.mp4"), folder, TWO_PASSES)
    first = [json.loads(body) for body, _ in plan.read("tasks")]
    early = dict(first[0], task="video-0002", kind="video")
    group.send("tasks", early)
    worker, finisher = group.start("work", "--attempts", "1"), group.start("finish")
    worker.wait_for("^put off video-0002 .*TASKS_MISSING")
    group.send("tasks", *first)
    published(group, folder, finisher, TWO_PASSES)
    nothing_dead(group)
    # All of them once more, and the last one's news too: the title is out, and nothing is touched.
    out = os.path.join(folder, "out")
    before = {p: os.stat(os.path.join(out, p)).st_mtime_ns for p in tree(out)}
    begun = len(worker.said("^start"))
    group.send("tasks", *first, early)
    group.send("done", early)
    group.all_committed()
    assert before == {p: os.stat(os.path.join(out, p)).st_mtime_ns for p in tree(out)}, "objects were written again"
    assert begun == len(worker.said("^start")), "a task of a published title was run again: %s" % worker.lines
    nothing_dead(group)
    left = [p for p in tree(os.path.join(folder, "work")) if not p.endswith(".lease")]
    assert not left, "in the work store: %s" % left


def lost(folder, broker):
    """What tasks made is lost or damaged before the title is out: they are run again, without an operator."""
    group = Group(broker)
    group.plan(clip("kafka.mp4"), folder, TWO_PASSES)
    worker = group.start("work")
    for name in ("audio-0001", "analyse-0001", "analyse-0002", "analyse-0003", "analyse-0004"):
        worker.wait_for("^done " + name)
    work, out = os.path.join(folder, "work"), os.path.join(folder, "out")
    assert re.fullmatch(r"[0-9.]+ %, 5 of 9 tasks", group.progress(folder)), group.progress(folder)
    sound = [p for p in tree(out) if "/audio/" in p]
    os.unlink(os.path.join(out, sorted(sound)[1]))
    stats = sorted(p for p in tree(work) if p.startswith("stats/"))
    with open(os.path.join(work, stats[0]), "r+b") as f:
        f.write(b"x" * 16)
    finishers = [group.start("finish", "--tasks", "4") for _ in range(2)]
    finisher, _ = first_of(finishers, "^published")
    published(group, folder, finisher, TWO_PASSES)
    assert worker.said("^put off video-.* CHECKSUM_MISMATCH"), worker.lines
    sent = [json.loads(body)["task"] for body, _ in group.read("tasks")]
    assert sent.count("video-0004") == 1, "sent for the news of each task that it needs: %s" % sent
    for name in ("audio-0001", "analyse-0001"):
        assert len(worker.said("^start " + name)) >= 2, "%s was not run again: %s" % (name, worker.lines)
    group.all_committed()
    nothing_dead(group)
    assert "not planned, or published" in group.progress(folder)
    # A task that was sent twice may be run by a second worker until after the end: its result is late, and harmless.
    late = {"result/" + task for task in sent if sent.count(task) > 1}
    left = [p for p in tree(work) if not p.endswith(".lease") and p not in late]
    assert not left, "in the work store: %s" % left


def poison(folder, broker):
    """What can never be done is set aside with its reason, and stops nothing else."""
    group = Group(broker)
    bad = os.path.join(folder, "bad")
    os.mkdir(bad)
    source = os.path.join(bad, "gone.mp4")
    with open(clip("kafka.mp4"), "rb") as f, open(source, "wb") as to:
        to.write(f.read())
    group.plan(source, bad, ("--rate", "crf"))  # another plan than the good one
    os.unlink(source)
    wrong = json.loads(group.read("tasks")[0][0])
    group.send("tasks", b"not json", dict(wrong, task="video-9999"), dict(wrong, work=os.path.join(folder, "nowhere")),
               dict(wrong, plan="0" * 64), dict(wrong, task="../../x"))
    group.plan(clip("kafka.mp4"), folder)
    workers = [group.start("work", "--attempts", "2") for _ in range(2)]
    finisher = group.start("finish")
    published(group, folder, finisher)
    group.all_committed()
    dead = group.read("dead")
    reasons = {}
    for body, headers in dead:
        name = json.loads(body)["task"] if body.startswith(b"{") else "-"
        reasons.setdefault(name, set()).add(headers["vodpipe-reason"])
        assert headers["vodpipe-error"] and headers["vodpipe-from"].startswith(group.name), headers
    tasks = {"audio-0001", "video-0001", "video-0002", "video-0003", "video-0004"}
    assert {t for t in reasons if "IO_ERROR" in reasons[t]} >= tasks, reasons
    assert reasons["-"] == {"INPUT_CORRUPT"}, reasons
    assert {"PLAN_MISSING", "PLAN_MISMATCH"} <= reasons[wrong["task"]], reasons
    assert "video-9999" in reasons and "../../x" in reasons, reasons
    # At least once: a message may be given up twice when workers join just then.
    assert len({body for body, _ in dead}) == 10, "%d dead letters: %s" % (len(dead), reasons)
    for t in tasks - {wrong["task"]}:
        tries = [line for w in workers for line in w.said("^start %s %s" % (t, wrong["plan"][:12]))]
        assert len(tries) >= 2, "%s was tried %d times" % (t, len(tries))


def deadly(folder, broker):
    """A task that takes its worker down each time is set aside by the next one."""
    group = Group(broker)
    group.plan(clip("kafka.mp4"), folder)
    first = group.start("work", "--attempts", "1")
    task = first.wait_for("^start video").split()[1]
    first.kill()
    first.ends()
    second = group.start("work", "--attempts", "1")
    second.wait_for("^give up %s .*WORKER_LOST" % task)
    group.all_committed()
    assert {(json.loads(b)["task"], h["vodpipe-reason"]) for b, h in group.read("dead")} == {(task, "WORKER_LOST")}
    # Sent again, as an operator does when the cause is gone, it has all its attempts.
    finisher = group.start("finish")
    group.send("tasks", group.read("dead")[0][0])
    published(group, folder, finisher)


def crowd(folder, broker):
    """Workers that come, stall and go over many short messages: each is dealt with once or more, none is passed over."""
    group, sent = Group(broker), []

    def feed(worker):
        """Sends until this worker has something."""
        end = time.monotonic() + LIMIT
        while not worker.said("^give up"):
            assert time.monotonic() < end, "%s gets nothing: %s" % (worker.name, worker.lines)
            sent.extend(range(len(sent), len(sent) + 60))
            group.send("tasks", *[b"%d" % n for n in sent[-60:]])

    first, second = [group.start("work", "--tasks", "4") for _ in range(2)]
    feed(first)
    feed(second)
    second.kill(signal.SIGSTOP)
    third, fourth = group.start("work"), group.start("work", "--tasks", "8")
    first.kill(signal.SIGTERM)
    assert first.ends() == 0, first.lines
    feed(third)
    second.kill(signal.SIGCONT)
    feed(fourth)
    group.all_committed()
    dead = [int(body) for body, _ in group.read("dead")]
    assert set(dead) == set(sent), "%d of %d came" % (len(set(dead)), len(sent))


def usage(folder, broker):
    for args in ([], ["nonsense"], ["work", "more"], ["plan", "a", "b"], ["work", "--attempts", "0"], ["work", "-X", "y"]):
        run = subprocess.run([WORKER, *args], stdin=subprocess.DEVNULL, capture_output=True, text=True)
        assert run.returncode == 2 and run.stderr.count("usage:") == 1, (args, run)
    run = subprocess.run([WORKER, "work", "-X", "no.such=1"], stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert run.returncode == 1 and "no.such" in run.stderr, run


CASES = [usage, crowd, killed_and_stopped, drained, stalled, too_early, lost, poison, deadly]


def alone(case):
    """A case that ends all programs it started."""
    def run(folder, broker):
        RUNNING.clear()
        try:
            case(folder, broker)
        except BaseException:  # also when it is stopped
            for p in RUNNING:
                print("---- %s\n%s" % (p.name, "\n".join(line or "(ended)" for line in p.lines)))
            raise
        finally:
            for p in RUNNING:
                if p.process.poll() is None:
                    p.kill(signal.SIGKILL)
                    p.ends()
    return run


def main():
    global kafka, FOLDER
    try:
        kafka_broker.need()
        if not os.path.exists(WORKER):
            raise kafka_broker.Missing("built without librdkafka (Debian: librdkafka-dev)")
        try:
            import kafka
        except ImportError:
            raise kafka_broker.Missing("no kafka-python (tests/support/requirements.txt)") from None
        clip("kafka.mp4")
        kafka_broker.jars(os.path.join(BUILD, "kafka"))
    except (kafka_broker.Missing, Skip) as why:
        print("skipped:", why)
        return 77
    wanted = [c for c in CASES if not sys.argv[1:] or c.__name__ in sys.argv[1:]]
    cases = Cases("kafka")
    with tempfile.TemporaryDirectory(prefix="vodpipe-kafka-") as FOLDER:
        os.environ["TMPDIR"] = FOLDER  # of the programs: what they leave when killed goes with it
        with kafka_broker.Broker(os.path.join(BUILD, "kafka"), FOLDER) as broker:
            for case in wanted:
                cases.run(case.__name__.replace("_", " "), alone(case), broker)
    return cases.end()


if __name__ == "__main__":
    sys.exit(main())
