#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Quality over bitrate: `vodpipe publish` against one ffmpeg command, at three rates for each rung, as BD-rate: how many
percent more (or, negative, fewer) bits the first needs for what the second shows (ITU-T VCEG-M33, with a monotone
cubic in place of the polynomial)."""
import argparse
import json
import math
import os
import sys
import tempfile
from fractions import Fraction

import ladder
import measure

RATES = (0.6, 1.0, 1.6)   # times the ladder's own
STEPS = 200


def slopes(x, y):
    """Fritsch and Carlson: a cubic through all points that rises where they do."""
    d = [(y[i + 1] - y[i]) / (x[i + 1] - x[i]) for i in range(len(x) - 1)]
    m = [d[0]] + [0 if a * b <= 0 else 2 * a * b / (a + b) for a, b in zip(d, d[1:])] + [d[-1]]
    return m


def at(x, y, m, where):
    i = max(k for k in range(len(x) - 1) if x[k] <= where or k == 0)
    h = x[i + 1] - x[i]
    t = (where - x[i]) / h
    return ((1 + 2 * t) * (1 - t) ** 2 * y[i] + t * (1 - t) ** 2 * h * m[i]
            + t * t * (3 - 2 * t) * y[i + 1] + t * t * (t - 1) * h * m[i + 1])


def bd_rate(ours, theirs):
    """Points (kbit/s, quality); None where the two have no quality in common or one does not rise."""
    curves = []
    for points in (ours, theirs):
        points = sorted(points, key=lambda p: p[1])
        q, rate = [p[1] for p in points], [math.log(p[0]) for p in points]
        if any(b <= a for a, b in zip(q, q[1:])):
            return None
        curves.append((q, rate, slopes(q, rate)))
    low, high = max(c[0][0] for c in curves), min(c[0][-1] for c in curves)
    if high <= low:
        return None
    steps = [low + (high - low) * i / STEPS for i in range(STEPS + 1)]
    gaps = [at(*curves[0], s) - at(*curves[1], s) for s in steps]
    mean = (sum(gaps) - (gaps[0] + gaps[-1]) / 2) / STEPS
    return (math.exp(mean) - 1) * 100


def ladder_file(plan, times, path):
    rungs = [{"name": r["name"], "width": r["width"], "height": r["height"], "kbps": round(r["kbps"] * times)}
             for r in plan["rungs"]]
    with open(path, "w", encoding="utf-8") as f:
        json.dump({"vodpipe": 1, "rungs": rungs}, f)
    return path


def main():
    a = argparse.ArgumentParser(description=__doc__)
    a.add_argument("input", nargs="?")
    a.add_argument("--seconds", type=float)
    a.add_argument("--bin")
    a.add_argument("--cache")
    a.add_argument("--preset", default="medium", help="of ffmpeg; \"same\": the settings of our plan, in one pass")
    a.add_argument("--options", default="", help="further options of vodpipe publish, as \"--preset faster\"")
    o = a.parse_args()
    binary, cache = measure.vodpipe(o.bin), measure.cache_folder(o.cache)
    source = os.path.abspath(o.input) if o.input else ladder.default_input(cache)
    preset = None if o.preset == "same" else o.preset
    points, cpu = {}, {"vodpipe": [], "ffmpeg": []}
    with tempfile.TemporaryDirectory(prefix="vodpipe-curves-", dir=cache) as work:
        if o.seconds:
            source = ladder.cut_input(source, o.seconds, os.path.join(work, "cut.mp4"))
        info, vmaf = ladder.describe(source), ladder.with_vmaf(cache)
        default = ladder.settings(binary, source, work, ladder.RUNGS)
        for times in RATES:
            rungs = ladder_file(default, times, os.path.join(work, f"ladder-{times}.json"))
            plan = ladder.settings(binary, source, work, rungs)
            plan["grid"]["per_fragment_s"] = Fraction(int(plan["grid"]["fragment"]), plan["grid"]["timescale"])
            for name in cpu:
                out = os.path.join(work, f"{name}-{times}")
                if name == "vodpipe":
                    done = ladder.run_vodpipe(binary, source, out, plan, None, rungs, o.options.split())
                else:
                    done = ladder.run_ffmpeg(source, out, plan, info, None, preset)
                cpu[name].append(done["cpu_s"])
                ladder.examine(done, plan, source, info, work, True, vmaf)
                for rung, found in done["rungs"].items():
                    points.setdefault((rung, name), []).append(found)
                    print(f"{name} {rung} x{times}: {found['kbps']:.0f} kbit/s, {found['ssim_db']:.2f} dB"
                          + (f", VMAF {found['vmaf']:.2f}" if vmaf else ""), file=sys.stderr)
    print(f"{measure.conditions_line(measure.conditions())}; {info['seconds']:.1f} s; CPU-s at each rate: "
          + "; ".join(f"{n} " + ", ".join(f"{c:.1f}" for c in cpu[n]) for n in cpu))
    rows = [["rung", f"BD-rate against ffmpeg {o.preset}, SSIM %", "VMAF %"]]
    for rung in [r["name"] for r in default["rungs"]]:
        row = [rung]
        for what in ("ssim_db", "vmaf"):
            both = [[(p["kbps"], p[what]) for p in points[rung, n] if what in p] for n in cpu]
            value = bd_rate(*both) if all(len(b) == len(RATES) for b in both) else None
            row.append("-" if value is None else f"{value:+.1f}")
        rows.append(row)
    measure.print_table(rows)


if __name__ == "__main__":
    main()
