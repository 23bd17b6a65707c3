#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What cutting a title into spans costs: `vodpipe publish` with spans of a fifth of the title against one span of the
same GOPs (a segment as long as the title), CPU and bits; and how much of the machine stands idle."""
import argparse
import glob
import json
import os
import tempfile

import ladder
import measure

SEGMENT_MAX = 60


def bits(out):
    """Bytes of each rung's objects."""
    found = {}
    for path in glob.glob(os.path.join(out, "*", "video", "*", "*")):
        if path.endswith((".m4s", ".mp4")):
            rung = os.path.basename(os.path.dirname(path))
            found[rung] = found.get(rung, 0) + os.path.getsize(path)
    return found


def publish(tool, source, folder, segment, jobs):
    out = os.path.join(folder, f"{segment}-{jobs}")
    argv = [tool, "publish", source, out, "--segment", str(segment), "--gop", "2", "--jobs", str(jobs), "--progress", "none"]
    got = measure.run(argv)
    got["bits"] = bits(out)
    got["idle"] = 1 - got["cpu_s"] / (got["wall_s"] * jobs)
    return got


def main():
    ap = argparse.ArgumentParser(description=__doc__)
    ap.add_argument("source", nargs="?", help="at most 60 s")
    ap.add_argument("--bin")
    ap.add_argument("--cache")
    ap.add_argument("--seconds", type=int, default=55)
    ap.add_argument("--jobs", type=int, nargs="*", default=[1, 2])
    ap.add_argument("--json", action="store_true")
    o = ap.parse_args()
    tool, cache = measure.vodpipe(o.bin), measure.cache_folder(o.cache)
    source = os.path.abspath(o.source) if o.source else ladder.default_input(cache)
    conditions = measure.conditions()
    with tempfile.TemporaryDirectory(prefix="vodpipe-spans-", dir=cache) as folder:
        source = ladder.cut_input(source, min(o.seconds, SEGMENT_MAX - 2), os.path.join(folder, "cut.mp4"))
        whole = publish(tool, source, folder, SEGMENT_MAX, 1)
        cut = {jobs: publish(tool, source, folder, 6, jobs) for jobs in o.jobs}
    if o.json:
        print(json.dumps({"conditions": conditions, "whole": whole, "cut": cut}))
        return
    print(measure.conditions_line(conditions))
    rows = [["", "jobs", "CPU s", "ratio", "wall s", "idle", "peak MB"]]
    for name, jobs, got in [("one span", 1, whole)] + [("spans", n, got) for n, got in cut.items()]:
        rows.append([name, jobs, f"{got['cpu_s']:.1f}", f"{got['cpu_s'] / whole['cpu_s']:.3f}", f"{got['wall_s']:.1f}",
                     f"{got['idle'] * 100:.1f} %", f"{got['peak_mb']:.0f}"])
    measure.print_table(rows)
    one = next(iter(cut.values()))
    print()
    measure.print_table([["rung", "one span, bytes", "spans, bytes", "ratio"]] + [
        [r, n, one["bits"][r], f"{one['bits'][r] / n:.4f}"] for r, n in sorted(whole["bits"].items())])


if __name__ == "__main__":
    main()
