#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A tree of 2,000 objects and one of 4 GB to the same server: vodpipe put, rclone, mc and s5cmd where they are on PATH."""
import argparse
import json
import os
import random
import shutil
import statistics
import sys
import tempfile

import measure

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from s3_servers import Authority, Missing, real_server  # noqa: E402

MIB = 1 << 20


def make_tree(cache, megabytes, objects):
    """Files of half to one and a half times their mean, none like another."""
    folder = os.path.join(cache, f"tree-{megabytes}-{objects}")
    if os.path.isdir(folder):
        return folder
    making, r = folder + ".making", random.Random(3)
    shutil.rmtree(making, ignore_errors=True)
    os.makedirs(os.path.join(making, "v1"))
    noise, mean = r.randbytes(4 * MIB), megabytes * MIB // objects
    for i in range(objects):
        size = min(r.randrange(mean // 2, mean * 3 // 2), len(noise) - 1)
        start = r.randrange(len(noise) - size)
        with open(os.path.join(making, "v1", f"{i:05}.m4s"), "wb") as f:
            f.write(i.to_bytes(8, "big") + noise[start:start + size])
    with open(os.path.join(making, "master.m3u8"), "w", encoding="ascii") as f:
        f.write("#EXTM3U\n")
    open(os.path.join(making, "v1", ".vodpipe-version"), "wb").close()
    os.rename(making, folder)
    return folder


def make_large(cache, megabytes):
    folder = os.path.join(cache, f"large-{megabytes}")
    path = os.path.join(folder, "film.mp4")
    if os.path.exists(path):
        return folder
    os.makedirs(folder, exist_ok=True)
    noise = random.Random(4).randbytes(16 * MIB)
    with open(path + ".making", "wb") as f:
        for i in range(megabytes // 16):
            f.write(i.to_bytes(8, "big") + noise[8:])
    os.rename(path + ".making", path)
    return folder


OURS, UNSIGNED = "vodpipe put", "vodpipe put --unsigned-payload"


def names(chosen):
    """What is compared: ours, and of the others those that are here, or that were chosen."""
    others = [UNSIGNED] + [name for name in ("mc", "rclone", "s5cmd") if shutil.which(name)]
    for name in chosen or []:
        if name not in others:
            raise SystemExit(f"{name} is not here")
    return [OURS] + (chosen or others)


def command(name, binary, server, folder, state):
    """Command and environment that send the folder below "x"."""
    to = f"{server.bucket}/x"
    env = dict({k: v for k, v in os.environ.items() if not k.startswith("AWS_")}, **server.env(), XDG_STATE_HOME=state)
    if server.ca:
        env["SSL_CERT_FILE"] = server.ca  # of all that are written in Go
    if name in (OURS, UNSIGNED):
        return [binary, "put", folder, f"s3://{to}", "--progress", "none"] + name.split()[2:], env
    if name == "rclone":
        return ["rclone", "--config", "/dev/null", "--s3-provider", "Other", "--s3-endpoint", server.url, "--s3-env-auth",
                "--s3-no-check-bucket", "--transfers", "8", "copy", folder, f":s3:{to}"], env
    if name == "mc":
        host = server.url.replace("://", f"://{server.access_key}:{server.secret_key}@")
        return (["mc", "--quiet", "cp", "--recursive", folder + "/", f"b/{to}/"],
                dict(env, MC_HOST_b=host, MC_CONFIG_DIR=os.path.join(state, "mc")))
    return ["s5cmd", "--log", "error", "--endpoint-url", server.url, "cp", folder + "/", f"s3://{to}/"], env


def check(server, prefix, folder):
    """All names and sizes are there."""
    client = server.boto()
    there = {}
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=server.bucket, Prefix=prefix + "/"):
        there.update({o["Key"][len(prefix) + 1:]: o["Size"] for o in page.get("Contents", [])})
    for path, _, names in os.walk(folder):
        for name in names:
            full = os.path.join(path, name)
            if there.get(os.path.relpath(full, folder)) != os.path.getsize(full):
                raise SystemExit(f"{prefix}: {name} is not what was sent: {there.get(os.path.relpath(full, folder))} bytes, not {os.path.getsize(full)}")


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--bin")
    p.add_argument("--cache")
    p.add_argument("--server", default="versitygw", choices=["versitygw", "minio"])
    p.add_argument("--tree-megabytes", type=int, default=1024)
    p.add_argument("--objects", type=int, default=2000)
    p.add_argument("--large-megabytes", type=int, default=4096)
    p.add_argument("--runs", type=int, default=3)
    p.add_argument("--peers", help="besides vodpipe put, of mc, rclone, s5cmd and 'vodpipe put --unsigned-payload'")
    p.add_argument("--kinds", default="tree,large", help="what is sent: tree,large")
    p.add_argument("--tls", action="store_true", help="over TLS, with an authority of its own")
    p.add_argument("--json", action="store_true")
    args = p.parse_args()
    binary, cache = measure.vodpipe(args.bin), measure.cache_folder(args.cache)
    make = {"tree": lambda: make_tree(cache, args.tree_megabytes, args.objects),
            "large": lambda: make_large(cache, args.large_megabytes)}
    kinds = {what: make[what]() for what in args.kinds.split(",")}
    peers = args.peers.split(",") if args.peers else None
    conditions, seen = measure.conditions(), {}
    state = tempfile.mkdtemp(prefix="vodpipe-bench-state-")
    authority = Authority(os.path.join(state, "tls"), "localhost") if args.tls else None
    try:
        for n in range(args.runs):
            for what, folder in kinds.items():
                for name in names(peers):
                    with real_server(args.server, tls=authority) as server:  # a new one each time: a full one is slower
                        argv, env = command(name, binary, server, folder, state)
                        seen.setdefault(f"{what}, {name}", []).append(measure.run(argv, env=env))
                        check(server, "x", folder)
    except Missing as why:
        print(f"no server: {why}")
        return 77
    finally:
        shutil.rmtree(state, ignore_errors=True)
    rows, figures = [("", "wall s", "CPU s", "peak MB", "CPU x", "wall x")], {}
    for name, runs in seen.items():
        wall, cpu, peak = (statistics.median(r[k] for r in runs) for k in ("wall_s", "cpu_s", "peak_mb"))
        figures[name] = {"wall_s": wall, "cpu_s": cpu, "peak_mb": peak}
    for name, f in figures.items():
        base = figures[name.split(", ")[0] + ", vodpipe put"]
        rows.append((name, f"{f['wall_s']:.1f}", f"{f['cpu_s']:.2f}", f"{f['peak_mb']:.0f}",
                     f"{base['cpu_s'] / f['cpu_s']:.2f}", f"{base['wall_s'] / f['wall_s']:.2f}"))
    if args.json:
        print(json.dumps({"conditions": conditions, "server": args.server, "figures": figures}))
    else:
        print(f"{args.server}; x: vodpipe put to that row; " + measure.conditions_line(conditions))
        measure.print_table(rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
