#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a title costs, and how many machines a stream of titles needs (docs/many-machines.md).

Measures the tasks of a clip one after another (`vodpipe plan`, `run`, `finish`), or takes what was measured before, and
simulates a queue of workers: titles come at random times, each is planned, its spans wait for a free worker, the last one
publishes. Two queues: one that all workers take from (SQS, AWS Batch, a database), and partitions that workers own (Kafka).

    fleet.py [INPUT] --bin vodpipe [--seconds S] [--rate abr|2pass] [--save FILE]
    fleet.py --costs FILE [--titles-per-hour N] [--median-s S] [--sigma X] [--cores N] ...
"""
import argparse
import collections
import heapq
import json
import math
import os
import random
import shutil
import subprocess
import sys
import tempfile

import measure
from ladder import cut_input, default_input, describe

RUNGS = ["1080p", "720p", "480p", "360p"]
TITLE_SPANS, SPAN_MIN_S, SPAN_MAX_S = 8, 12, 60  # as plans cut titles: an eighth, within these


# ---- measuring ----

def run(argv):
    """CPU seconds and bytes read and written by one command."""
    child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    said = child.stderr.read()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # its counters are there until it is waited for
    with open(f"/proc/{child.pid}/io", encoding="ascii") as f:
        io = dict(line.split(": ") for line in f.read().splitlines())
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        sys.exit(f"failed with {child.returncode}: {' '.join(argv)}\n{said[-2000:].decode('utf-8', 'replace')}")
    return {"cpu": usage.ru_utime + usage.ru_stime, "read": int(io["rchar"]), "written": int(io["wchar"])}


def add(total, one):
    for name, value in one.items():
        total[name] = total.get(name, 0) + value


def run_tasks(binary, source, folder, rungs, rate, kinds=None):
    """{"plan", "audio", "video", "analyse", "finish"} -> what they took; kinds: only these tasks, and no finish."""
    work, out = os.path.join(folder, "work"), os.path.join(folder, "out")
    for path in (work, out):
        shutil.rmtree(path, ignore_errors=True)
    base = ["--work", work]
    took = {"plan": run([binary, "plan", source, out, *base, "--ladder", ",".join(rungs), "--rate", rate])}
    with open(os.path.join(work, "plan.json"), encoding="utf-8") as f:
        made = [r["name"] for r in json.load(f)["rungs"]]
    if made != rungs:
        sys.exit(f"the source has rungs {made}, not {rungs}")
    tasks = json.loads(measure.tool([binary, "plan", source, out, *base, "--ladder", ",".join(rungs), "--rate", rate])
                       .split("\n")[0])["tasks"]
    for task in tasks:
        if kinds is None or task["kind"] in kinds:
            add(took.setdefault(task["kind"], {}), run([binary, "run", *base, "--task", task["task"]]))
    if kinds is None:
        took["finish"] = run([binary, "finish", *base])
        took["made"] = sum(os.path.getsize(os.path.join(at, n)) for at, _, names in os.walk(out) for n in names)
    return took


def measure_costs(options):
    binary = measure.vodpipe(options.bin)
    before = measure.conditions()
    cache = measure.cache_folder(None)
    with tempfile.TemporaryDirectory(prefix="vodpipe-fleet-") as folder:
        source = cut_input(options.input or default_input(cache), options.seconds, os.path.join(folder, "source.mp4"))
        minutes = describe(source)["seconds"] / 60
        all_rungs = run_tasks(binary, source, folder, RUNGS, options.rate)
        alone = {r: run_tasks(binary, source, folder, [r], "abr", ["video"])["video"]["cpu"] for r in RUNGS}
        size = os.path.getsize(source)
    video = all_rungs["video"]["cpu"]
    # Each rung alone decodes too: n runs hold n decodes, the one of all rungs holds one.
    decode = max(0.0, (sum(alone.values()) - video) / (len(RUNGS) - 1))
    per = {k: all_rungs.get(k, {"cpu": 0})["cpu"] / minutes for k in ("plan", "analyse", "audio", "finish")}
    scale = (video - decode) / sum(a - decode for a in alone.values())
    return {"vodpipe_costs": 1, "conditions": measure.conditions_line(before), "seconds": round(minutes * 60, 1),
            "rate": options.rate, "cpu_s_per_minute":
            {**{k: round(v, 3) for k, v in per.items()}, "decode": round(decode / minutes, 2),
             "rungs": {r: round((a - decode) * scale / minutes, 2) for r, a in alone.items()}},
            "mb_per_minute": {"source": round(size / minutes / 1e6, 1),
                              "read": round(sum(v["read"] for v in all_rungs.values() if isinstance(v, dict))
                                            / minutes / 1e6, 1),
                              "title": round(all_rungs["made"] / minutes / 1e6, 1)}}


def print_costs(costs):
    cpu, mb = costs["cpu_s_per_minute"], costs["mb_per_minute"]
    total = sum(cpu[k] for k in ("plan", "analyse", "audio", "finish", "decode")) + sum(cpu["rungs"].values())
    print(f"{costs['seconds']:g} s of source, {costs['rate']}; {costs['conditions']}\n")
    rows = [["of a title-minute", "CPU-s", "%"]]
    names = [("plan (scan)", cpu["plan"]), ("analysis", cpu["analyse"]), ("sound", cpu["audio"]), ("decoding, scaling",
             cpu["decode"]), *[("encoding " + r, s) for r, s in cpu["rungs"].items()], ("finish", cpu["finish"])]
    rows += [[n, f"{s:.1f}", f"{100 * s / total:.0f}"] for n, s in names if s]
    measure.print_table(rows + [["all", f"{total:.1f}", "100"]])
    print(f"\nbytes of a title-minute: source {mb['source']} MB, read {mb['read']} MB, title {mb['title']} MB\n")


# ---- simulating ----

class Times:
    """How long a worker is busy with the tasks of a title of so many seconds."""

    def __init__(self, costs, cores, overhead):
        self.cpu, self.cores, self.overhead = costs["cpu_s_per_minute"], cores, overhead
        rungs = self.cpu["rungs"].values()
        self.video_cpu = self.cpu["decode"] + sum(rungs)
        # A task's encoders have a thread each: it cannot be quicker than the slowest of them.
        self.video = max(self.video_cpu / cores, max(rungs), self.cpu["decode"])

    def spans(self, seconds):
        want = min(max(seconds / TITLE_SPANS, SPAN_MIN_S), SPAN_MAX_S)
        count = max(1, round(seconds / want))
        return [seconds / count] * count

    def alone(self, kind, seconds):
        return self.cpu[kind] * seconds / 60 + self.overhead

    def stages(self, seconds):
        """Tasks that may run side by side, stage after stage: (length, the stage that is not over without it)."""
        spans = self.spans(seconds)
        stages = [[self.alone("plan", seconds)]]
        if self.cpu["analyse"]:
            stages.append([self.alone("analyse", s) for s in spans])
        stages += [[self.video * s / 60 + self.overhead for s in spans], [self.alone("finish", seconds)]]
        stages = [[(length, n) for length in stage] for n, stage in enumerate(stages)]
        # Nothing but the end waits for the sound.
        stages[1].append((self.alone("audio", seconds), len(stages) - 2))
        return stages


class Title:
    def __init__(self, start, stages):
        self.start, self.stages, self.at = start, stages, 0
        self.left = collections.Counter(holds for stage in stages for _, holds in stage)

    def done(self, holds):
        """A task of it; stages that may begin now."""
        self.left[holds] -= 1
        before = self.at
        while self.at < len(self.stages) and not self.left[self.at]:
            self.at += 1
        return self.stages[before + 1:self.at + 1]

    def work(self):
        return sum(length for stage in self.stages for length, _ in stage)

    def alone(self):
        """How long it takes with a free worker for each task."""
        ends, now = [0.0] * len(self.stages), 0.0
        for n, stage in enumerate(self.stages):
            for length, holds in stage:
                ends[holds] = max(ends[holds], now + length)
            now = ends[n]
        return now


class Central:
    """All workers take from one queue, first come, first served."""

    def __init__(self, workers):
        self.free, self.queue = workers, collections.deque()

    def put(self, task):
        """The worker that begins it now, or None: it waits."""
        if not self.free:
            self.queue.append(task)
            return None
        self.free -= 1
        return 0

    def done(self, worker):
        if self.queue:
            return self.queue.popleft()
        self.free += 1
        return None


class Partitioned:
    """Machines with partitions of their own, so many tasks at a time; keys choose a machine at random."""

    def __init__(self, workers, rng, slots):
        self.rng, self.machines = rng, [Central(slots) for _ in range(math.ceil(workers / slots))]

    def put(self, task):
        machine = self.rng.randrange(len(self.machines))
        return None if self.machines[machine].put(task) is None else machine

    def done(self, machine):
        return self.machines[machine].done(machine)


def simulate(queue, titles, until, warm):
    """titles in the order of their coming. Returns the waits of tasks and the times of titles that came after `warm`."""
    waits, times, count = [], [], len(titles)
    work = 0.0
    events = [(t.start, n, None, t, None) for n, t in enumerate(titles)]
    heapq.heapify(events)

    def start(now, worker, task):
        nonlocal count, work
        ready, length, holds, title = task
        if ready >= warm:
            waits.append(now - ready)
        work += max(0.0, min(now + length, until) - max(now, warm))
        heapq.heappush(events, (now + length, count, worker, title, holds))
        count += 1

    while events:
        now, _, worker, title, holds = heapq.heappop(events)
        ready = title.stages[:1]
        if worker is not None:
            following = queue.done(worker)
            if following:
                start(now, worker, following)
            ready = title.done(holds)
            if title.at == len(title.stages) and title.start >= warm:
                times.append(now - title.start)
        for stage in ready:
            for length, holds in stage:
                task = (now, length, holds, title)
                to = queue.put(task)
                if to is not None:
                    start(now, to, task)
    return sorted(waits), sorted(times), work / (until - warm)


def percentile(values, p):
    return values[min(len(values) - 1, int(p / 100 * len(values)))] if values else 0.0


def make_titles(options, times, rng):
    now, out, minutes = 0.0, [], 0.0
    while True:
        now += rng.expovariate(options.titles_per_hour / 3600)
        if now >= options.hours * 3600:
            return out, minutes
        seconds = min(max(rng.lognormvariate(math.log(options.median_s), options.sigma), 5), options.longest_s)
        minutes += seconds / 60
        out.append(Title(now, times.stages(seconds)))


def hms(seconds):
    return f"{seconds:.1f} s" if seconds < 100 else f"{seconds / 60:.1f} min"


def print_fleet(options, costs):
    rng = random.Random(options.seed)
    times = Times(costs, options.cores, options.overhead)
    titles, minutes = make_titles(options, times, rng)
    span = options.hours * 3600
    load = sum(t.work() for t in titles) / span  # workers that are busy on average
    idle = sorted(t.alone() for t in titles)
    best = percentile(idle, 95)
    tasks = sum(len(stage) for t in titles for stage in t.stages)
    print(f"{options.titles_per_hour} titles an hour, {minutes / len(titles):.1f} min each on average (lognormal, median "
          f"{hms(options.median_s)}, sigma {options.sigma}, at most {options.longest_s / 3600:g} h);")
    print(f"{tasks / len(titles):.1f} tasks a title; workers of {options.cores} cores, {options.overhead} s around a task; "
          f"{load:.0f} of them are busy on average.")
    mb, per_second = costs["mb_per_minute"], minutes / span / 1000  # GB a second of 1 MB a title-minute
    print(f"They read {mb['read'] * per_second:.1f} GB/s and leave {mb['title'] * per_second:.1f} GB/s of titles.")
    print(f"Without waiting a title is out after {hms(percentile(idle, 50))} (median), {hms(best)} (95 %).\n")
    rows = [["queue", "cores", "of need", "busy %", "wait 50 %", "wait 99 %", "out 50 %", "out 95 %", "out 99 %", "enough"]]
    warm, enough = span / 3, {}
    for slots, shares in ((0, (95, 90, 80)), (32, (90, 80, 70)), (8, (80, 70, 60)), (1, (70, 50, 30))):
        name = f"Kafka, {slots} at a time" if slots else "one queue"
        for share in shares:
            workers = math.ceil(load * 100 / share)
            queue = Partitioned(workers, random.Random(options.seed + 1), slots) if slots else Central(workers)
            waits, out, busy = simulate(queue, [Title(t.start, t.stages) for t in titles], span, warm)
            good = percentile(out, 95) <= options.slack * best
            if good and name not in enough:
                enough[name] = workers
            rows.append([name, workers * options.cores, f"{workers / load:.2f}", f"{100 * busy / workers:.0f}",
                         *[hms(percentile(waits, p)) for p in (50, 99)],
                         *[hms(percentile(out, p)) for p in (50, 95, 99)], "yes" if good else ""])
    measure.print_table(rows)
    print(f"\n\"of need\": cores by those that are busy. \"enough\": 95 % of titles are out within {options.slack} times what "
          "takes no waiting.")
    for name, workers in enough.items():
        print(f"{name}: {workers / load:.2f} of need is enough, {workers / enough.get('one queue', workers):.2f} x one queue")


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("input", nargs="?", help="1080p or larger; default: made from the shared clips")
    p.add_argument("--bin")
    p.add_argument("--seconds", type=float, default=20)
    p.add_argument("--rate", choices=["abr", "2pass"], default="2pass")
    p.add_argument("--save", metavar="FILE", help="where to keep what was measured")
    p.add_argument("--costs", metavar="FILE", help="take what was measured before")
    p.add_argument("--titles-per-hour", type=int, default=10000)
    p.add_argument("--median-s", type=float, default=180)
    p.add_argument("--sigma", type=float, default=1.2)
    p.add_argument("--longest-s", type=float, default=3 * 3600)
    p.add_argument("--cores", type=int, default=2, help="of a worker")
    p.add_argument("--overhead", type=float, default=0.2, help="seconds of fetching, leasing, committing around a task")
    p.add_argument("--slack", type=float, default=1.25)
    p.add_argument("--hours", type=float, default=1.5, help="simulated; the first third is not counted")
    p.add_argument("--seed", type=int, default=1)
    options = p.parse_args()
    if options.costs:
        with open(options.costs, encoding="utf-8") as f:
            costs = json.load(f)
    else:
        costs = measure_costs(options)
    if options.save:
        with open(options.save, "w", encoding="utf-8") as f:
            json.dump(costs, f, indent=1)
            f.write("\n")
    print_costs(costs)
    print_fleet(options, costs)


if __name__ == "__main__":
    main()
