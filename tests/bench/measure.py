# SPDX-License-Identifier: LGPL-2.1-or-later
"""Runs one command and measures it: CPU seconds of all its processes, wall time, peak memory of the process tree."""
import datetime
import os
import platform
import subprocess
import sys
import tempfile
import threading
import time

POLL_S = 0.05
PAGE = os.sysconf("SC_PAGE_SIZE")


def processes():
    """pid -> parent of every process."""
    parents = {}
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", encoding="latin-1") as f:
                parents[int(name)] = int(f.read().rpartition(")")[2].split()[1])
        except (OSError, ValueError):
            pass
    return parents


def tree(root):
    parents = processes()
    found, grown = {root}, True
    while grown:
        more = {pid for pid, parent in parents.items() if parent in found} - found
        found |= more
        grown = bool(more)
    return found


def tree_memory(root):
    """Resident bytes of a process and its descendants. One process: its RSS. Several: PSS, so that what they
    share counts once; it is slower to ask for."""
    total, pids = 0, tree(root)
    for pid in pids:
        try:
            if len(pids) == 1:
                with open(f"/proc/{pid}/statm", encoding="ascii") as f:
                    total += int(f.read().split()[1]) * PAGE
            else:
                with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as f:
                    total += next(int(line.split()[1]) for line in f if line.startswith("Pss:")) * 1024
        except (OSError, ValueError, StopIteration):
            pass
    return total


class Watch(threading.Thread):
    def __init__(self, pid):
        super().__init__(daemon=True)
        self.pid, self.peak, self.over = pid, 0, threading.Event()

    def run(self):
        while not self.over.wait(POLL_S):
            self.peak = max(self.peak, tree_memory(self.pid))


# Starts the command and tells what it used. Our own process is large by then, and the peak of a child begins with what
# its parent had when it was made.
LAUNCHER = """import os, sys
to = os.fdopen(int(sys.argv[1]), "w")
os.set_inheritable(to.fileno(), False)
pid = os.posix_spawnp(sys.argv[2], sys.argv[2:], os.environ)
print(pid, file=to, flush=True)
_, status, use = os.wait4(pid, 0)
print(os.waitstatus_to_exitcode(status), use.ru_utime, use.ru_stime, use.ru_maxrss, file=to)
"""


def run(argv, cwd=None, env=None):
    """Sequential, with the caller's niceness. SystemExit with the command's words when it fails."""
    told, to = os.pipe()
    with tempfile.TemporaryFile() as log, os.fdopen(told) as told:
        started = time.monotonic()
        launcher = subprocess.Popen([sys.executable, "-I", "-S", "-c", LAUNCHER, str(to), *map(str, argv)], cwd=cwd,
                                    env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log, pass_fds=[to])
        os.close(to)
        pid = told.readline()
        if pid:
            started = time.monotonic()
            watch = Watch(int(pid))
            watch.start()
            used = told.readline().split()
            wall = time.monotonic() - started
            watch.over.set()
            watch.join()
        launcher.wait()
        if not pid or used[0] != "0":
            log.seek(0)
            tail = log.read()[-2000:].decode("utf-8", "replace")
            sys.exit(f"failed with {used[0] if pid else 'no start'}: {' '.join(map(str, argv))}\n{tail}")
    user, system, largest = float(used[1]), float(used[2]), int(used[3]) * 1024
    return {"cpu_s": user + system, "user_s": user, "system_s": system, "wall_s": wall,
            "peak_mb": max(watch.peak, largest) / 1e6, "largest_process_mb": largest / 1e6}


def tool(argv):
    """A helper that is not measured; its standard output and error as text."""
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"failed with {done.returncode}: {' '.join(map(str, argv))}\n{done.stderr[-2000:]}")
    return done.stdout + done.stderr


def vodpipe(given):
    path = given or os.environ.get("VODPIPE_BIN") or "vodpipe"
    return os.path.abspath(path) if os.sep in path else path


def cache_folder(given):
    path = given or os.environ.get("VODPIPE_BENCH_CACHE") or os.path.join(tempfile.gettempdir(), "vodpipe-bench")
    os.makedirs(path, exist_ok=True)
    return os.path.abspath(path)


def shared_folder():
    here = os.path.dirname(os.path.abspath(__file__))
    return os.environ.get("VODPIPE_SHARED") or os.path.join(here, "..", "..", "..", "shared")


def conditions():
    load = os.getloadavg()
    return {"date": datetime.date.today().isoformat(), "cores": len(os.sched_getaffinity(0)),
            "machine": platform.machine(), "load_before": round(load[0], 2)}


def conditions_line(c):
    return f"{c['date']}, {c['cores']} cores ({c['machine']}), load before {c['load_before']}"


def print_table(rows):
    """The first row is the head; its first column is text, the others numbers."""
    widths = [max(len(str(row[i])) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        cells = [str(c).ljust(w) if i == 0 else str(c).rjust(w) for i, (c, w) in enumerate(zip(row, widths))]
        print("  ".join(cells).rstrip())
