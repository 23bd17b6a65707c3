#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Packaging ready renditions against reading and writing their bytes once, and against ffmpeg -c copy."""
import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile

import measure

# height, width, Mbit/s: 15 in all
RUNGS = [(1080, 1920, 8), (720, 1280, 4), (480, 854, 2), (360, 640, 1)]
CLIP_S = 12


def ffmpeg(*args):
    return ["ffmpeg", "-v", "error", "-nostdin", "-y", *map(str, args)]


# ---- renditions ----

def make_clips(folder):
    """Short clips with noise enough to need their rate; IDRs every two seconds on all of them."""
    for height, width, mbit in RUNGS:
        measure.tool(["nice"] + ffmpeg(
            "-f", "lavfi", "-i", f"testsrc2=size={width}x{height}:rate=25:duration={CLIP_S}",
            "-vf", "noise=alls=20:allf=t", "-c:v", "libx264", "-preset", "ultrafast", "-bf", "2", "-pix_fmt",
            "yuv420p", "-b:v", f"{mbit}M", "-minrate", f"{mbit}M", "-maxrate", f"{mbit}M", "-bufsize", f"{mbit}M",
            "-x264-params", "keyint=50:min-keyint=50:scenecut=0:nal-hrd=cbr",
            os.path.join(folder, f"clip-{height}.mp4")))


def renditions(cache, megabytes, container):
    """Paths of the renditions; made once per size, by repeating the clips."""
    seconds = megabytes * 8 / sum(mbit for _, _, mbit in RUNGS)
    folder = os.path.join(cache, f"renditions-{megabytes}-{container}")
    names = [os.path.join(folder, f"{height}.{container}") for height, _, _ in RUNGS]
    if os.path.isdir(folder):
        return names
    print(f"making {megabytes} MB of renditions ...", file=sys.stderr)
    making = folder + ".making"
    shutil.rmtree(making, ignore_errors=True)
    os.makedirs(making)
    make_clips(making)
    loops = max(1, round(seconds / CLIP_S))
    for i, name in enumerate(names):
        clip = os.path.join(making, f"clip-{RUNGS[i][0]}.mp4")
        sound = ["-f", "lavfi", "-i", f"sine=frequency=440:sample_rate=48000:duration={loops * CLIP_S}",
                 "-c:a", "aac", "-b:a", "128k", "-ac", "2"] if i == 0 else []
        measure.tool(["nice"] + ffmpeg("-stream_loop", loops - 1, "-i", clip, *sound, "-c:v", "copy",
                                       os.path.join(making, os.path.basename(name))))
        os.remove(clip)
    os.rename(making, folder)
    return names


def into_cache(paths):
    """Reads them once, so that all start from the page cache."""
    block = bytearray(1 << 20)
    for path in paths:
        with open(path, "rb", buffering=0) as f:
            while f.readinto(block):
                pass


# ---- the three ----

def floor(paths, out):
    os.makedirs(out)
    target = os.path.join(out, "x")
    return ["sh", "-c", 'x=$1; shift; cat "$@" >"$x" && sync -f "$x"', "floor", target, *paths]


def ours(binary, paths, out, extra):
    return [binary, "package", *paths, out, "--progress", "none", *extra]


def peer(paths, out):
    argv, streams = ffmpeg(), []
    for path in paths:
        argv += ["-i", path]
    for i, (height, _, _) in enumerate(RUNGS):
        argv += ["-map", f"{i}:v:0"]
        streams.append(f"v:{i},name:{height},agroup:a")
    os.makedirs(out)
    return argv + ["-map", "0:a:0", "-c", "copy", "-f", "hls", "-hls_time", "6", "-hls_playlist_type", "vod",
                   "-hls_segment_type", "fmp4", "-hls_fmp4_init_filename", "init.mp4",
                   "-hls_segment_filename", f"{out}/%v/%05d.m4s", "-master_pl_name", "master.m3u8",
                   "-var_stream_map", " ".join(streams + ["a:0,name:audio,agroup:a"]), f"{out}/%v/index.m3u8"]


def once(name, commands, work, number):
    """One run on a quiet disk, into a folder of its own. Old output is emptied but stays: ext4 looks for long at
    inodes that were freed a moment ago."""
    out = os.path.join(work, f"{number}-{name}")
    os.sync()
    result = measure.run(commands[name](out))
    for folder, _, files in os.walk(out):
        for file in files:
            os.truncate(os.path.join(folder, file), 0)
    return result


KEYS = {"keys": [{"label": "*", "kid": "0123456789abcdef0123456789abcdef", "key": "00112233445566778899aabbccddeeff"}],
        "uri": "https://keys.example.com/1", "drm": [{"system": "widevine"}, {"system": "playready"}]}


def openssl_speed():
    """Bytes a second of AES-128-CBC, one core, blocks of 16 KiB: what encryption cannot go below."""
    text = measure.tool(["openssl", "speed", "-elapsed", "-seconds", "2", "-bytes", "16384", "-evp", "aes-128-cbc"])
    line = [x for x in text.splitlines() if x.lower().startswith("aes-128-cbc")][-1]
    return float(line.split()[-1].rstrip("k")) * 1000


def report_encryption(results, total, speed):
    """CPU of each scheme against clear; of AES-128 what it adds, in units of what openssl needs for the bytes."""
    clear = results["vodpipe"]["median"]
    rows = [["scheme", "CPU / clear", "wall / clear", "added CPU-s", "of openssl's"]]
    for scheme in ("cbcs", "cenc", "aes128"):
        if scheme not in results:
            continue
        m = results[scheme]["median"]
        added = m["cpu_s"] - clear["cpu_s"]
        rows.append([scheme, f"{m['cpu_s'] / clear['cpu_s']:.2f}", f"{m['wall_s'] / clear['wall_s']:.2f}",
                     f"{added:.2f}", f"{added / (total / speed):.2f}" if scheme == "aes128" else "-"])
    measure.print_table(rows)
    print(f"openssl speed, AES-128-CBC: {speed / 1e9:.2f} GB/s; {total / speed:.2f} CPU-s for these bytes")


def medians(runs):
    return {k: statistics.median(r[k] for r in runs) for k in runs[0]}


def report(results, runs):
    rows = [["median of " + str(runs), "CPU-s", "user", "system", "wall s", "peak MB", "wall / floor",
             "CPU / ffmpeg", "wall s of each run"]]
    for name, r in results.items():
        m = r["median"]
        rows.append([name] + [f"{m[k]:.2f}" for k in ("cpu_s", "user_s", "system_s", "wall_s")]
                    + [f"{m['peak_mb']:.0f}", f"{m['wall_s'] / results['floor']['median']['wall_s']:.2f}"]
                    + ([f"{m['cpu_s'] / results['ffmpeg']['median']['cpu_s']:.2f}"] if "ffmpeg" in results else ["-"])
                    + [" ".join(f"{x['wall_s']:.2f}" for x in r["runs"])])
    measure.print_table(rows)


def main():
    a = argparse.ArgumentParser(description=__doc__)
    a.add_argument("renditions", nargs="*", help="default: made ones, kept in the cache")
    a.add_argument("--megabytes", type=int, default=1200, help="of the made renditions, all together (1200)")
    a.add_argument("--container", choices=["mp4", "ts"], default="mp4", help="of the made renditions")
    a.add_argument("--runs", type=int, default=5, help="alternating runs of each (5)")
    a.add_argument("--bin", help="vodpipe (VODPIPE_BIN)")
    a.add_argument("--cache", help="folder of made renditions (VODPIPE_BENCH_CACHE)")
    a.add_argument("--skip-ffmpeg", action="store_true")
    a.add_argument("--json", action="store_true", help="JSON on standard output instead of the table")
    a.add_argument("--option", action="append", default=[], help="a further option of vodpipe package, as --option=X")
    a.add_argument("--encrypt", action="store_true", help="also with cbcs, cenc and aes128 (mp4 renditions)")
    o = a.parse_args()
    binary, cache = measure.vodpipe(o.bin), measure.cache_folder(o.cache)
    paths = [os.path.abspath(p) for p in o.renditions] or renditions(cache, o.megabytes, o.container)
    total = sum(map(os.path.getsize, paths))
    commands = {"floor": lambda out: floor(paths, out), "vodpipe": lambda out: ours(binary, paths, out, o.option),
                "ffmpeg": lambda out: peer(paths, out)}
    if o.skip_ffmpeg:
        del commands["ffmpeg"]
    keys = os.path.join(cache, "keys.json")
    for scheme in ("cbcs", "cenc", "aes128") if o.encrypt else ():
        with open(keys, "w", encoding="utf-8") as f:
            json.dump(KEYS, f)
        options = o.option + ["--encrypt", scheme, "--keys", keys]
        commands[scheme] = lambda out, options=options: ours(binary, paths, out, options)
    results = {name: {"runs": []} for name in commands}
    with tempfile.TemporaryDirectory(prefix="vodpipe-package-", dir=cache) as work:
        into_cache(paths)
        conditions = measure.conditions()
        for number in range(o.runs):
            for name in commands:
                results[name]["runs"].append(once(name, commands, work, number))
    for r in results.values():
        r["median"] = medians(r["runs"])
    if o.json:
        print(json.dumps({"conditions": conditions, "bytes": total, "results": results}, indent=2))
        return
    print(f"packaging {total / 1e9:.2f} GB in page cache, {len(paths)} renditions; "
          + measure.conditions_line(conditions))
    report(results, o.runs)
    if o.encrypt:
        report_encryption(results, total, openssl_speed())


if __name__ == "__main__":
    main()
