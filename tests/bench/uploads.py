#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Uploads by tus to examples/upload-server, @tus/server with @tus/file-store (npm), and tusd where one is on PATH, one after
the other, on the same disk and by the same client (upload_client.c).

    uploads.py [--megabytes 1024] [--small 10000] [--peers NAME,...] [--runs 1]

Durable: each answer 204 of ours comes behind fdatasync and with SHA-256 made; the peers sync and hash nothing. With several
runs all take turns, as a machine changes while it is measured: a virtual one gets slower when it has to ask its host for
memory that it never used, a file system when many files were removed. Medians are told, and ratios to tusd of the same
run: of the rate, and of the server's CPU with the digest taken off ours.
"""
import argparse
import hashlib
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
BUILD = os.environ.get("VODPIPE_BUILD") or os.path.join(HERE, "../../build")
SERVER = os.environ.get("VODPIPE_UPLOAD_SERVER") or os.path.join(BUILD, "examples/upload-server/upload-server")
CLIENT = os.path.join(BUILD, "tests/bench/upload_client")
MIB = 1 << 20

NODE = r"""
const { Server } = require('@tus/server'), { FileStore } = require('@tus/file-store');
const server = new Server({ path: '/files', datastore: new FileStore({ directory: process.argv[2] }) });
const http = server.listen({ host: '127.0.0.1', port: 0 }, () => console.log('listening http://127.0.0.1:' + http.address().port));
"""


def node_server():
    """Folder with @tus/server, or None."""
    at = os.path.join(BUILD, "node-tus-server")
    if not shutil.which("npm"):
        return None
    if not os.path.isdir(os.path.join(at, "node_modules/@tus/server")):
        os.makedirs(at, exist_ok=True)
        done = subprocess.run(["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", at, "@tus/server@2",
                               "@tus/file-store@2"], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        if done.returncode:
            print("no @tus/server: " + done.stderr[-200:])
            return None
    with open(os.path.join(at, "server.js"), "w", encoding="ascii") as f:
        f.write(NODE)
    return at


def servers(data):
    """name -> command, and the path of its endpoint."""
    found = {"upload-server": ([SERVER, "--listen", "127.0.0.1:0", "--data", data, "--no-publish"], "/files/"),
             "upload-server volatile": ([SERVER, "--listen", "127.0.0.1:0", "--data", data, "--no-publish", "--volatile"],
                                         "/files/")}
    at = node_server()
    if at:
        found["@tus/server"] = (["node", os.path.join(at, "server.js"), data], "/files")
    if shutil.which("tusd"):
        found["tusd"] = (["tusd", "-host", "127.0.0.1", "-port", "0", "-upload-dir", data, "-show-greeting=false"], "/files/")
    return found


def usage(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as f:
        fields = f.read().rpartition(")")[2].split()
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        peak = int(re.search(r"VmHWM:\s+(\d+)", f.read()).group(1)) / 1024
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"), peak


def port_of(process):
    for line in process.stdout:
        m = re.search(r"http://127\.0\.0\.1:(\d+)", line)
        if m:
            return int(m.group(1))
    raise RuntimeError("the server says no port")


def measure(command, path, uploads, size, chunk, connections):
    """wall, server's CPU seconds, its peak MiB, client's CPU seconds."""
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        port = port_of(process)
        threading.Thread(target=process.stdout.read, daemon=True).start()     # tusd tells every request
        before, _ = usage(process.pid)
        done = subprocess.run([CLIENT, str(port), path, str(uploads), str(size), str(chunk), str(connections)],
                              capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(done.stderr[-400:])
        wall, mine = (float(x) for x in done.stdout.split())
        cpu, peak = usage(process.pid)
        return wall, cpu - before, peak, mine
    finally:
        process.kill()
        process.wait()


def disk(folder):
    """MB/s of writing with one sync at the end, and syncs of 4 KiB a second: what the disk itself can."""
    path = os.path.join(folder, "disk")
    block = os.urandom(8 * MIB)
    fd = os.open(path, os.O_CREAT | os.O_WRONLY, 0o600)
    began = time.monotonic()
    for _ in range(64):
        os.write(fd, block)
    os.fdatasync(fd)
    rate = 64 * 8 * MIB / 1e6 / (time.monotonic() - began)
    began = time.monotonic()
    for i in range(200):
        os.pwrite(fd, block[:4096], i * 4096)
        os.fdatasync(fd)
    syncs = 200 / (time.monotonic() - began)
    os.close(fd)
    os.unlink(path)
    return rate, syncs


def sha_seconds(size):
    block, h = b"\x5a" * MIB, hashlib.sha256()
    began = time.process_time()
    for _ in range(256):
        h.update(block)
    return (time.process_time() - began) * size / (256 * MIB)


def in_turn(names, top, runs, work):
    """name -> a row (wall, CPU, peak, client's CPU) for each run."""
    rows = {name: [] for name in names}
    for _ in range(runs):
        for name in names:
            data = tempfile.mkdtemp(prefix="data-", dir=top)
            command, path = servers(data)[name]
            rows[name].append(measure(command, path, *work))
            # Not removed before the end: ext4 looks long for inodes where many were freed a moment ago.
            os.sync()
    return rows


def ratios(mine, peer, digest):
    """Of rates (more is better), and of CPU besides the digest (less is): run by run, then the median."""
    rate = statistics.median(p[0] / m[0] for m, p in zip(mine, peer))
    cpu = statistics.median((m[1] - digest) / p[1] for m, p in zip(mine, peer))
    return f"{rate:7.2f} x {cpu:7.2f} x"


def tell(rows, uploads, size, digest):
    print(f"  {'':26} {'wall s':>8} {'MB/s':>7} {'up/s':>7} {'CPU s':>7} {'MiB':>6} {'client CPU':>10}   rate and CPU to tusd")
    for name, mine in rows.items():
        wall, cpu, peak, client = (statistics.median(r[i] for r in mine) for i in range(4))
        to = ratios(mine, rows["tusd"], digest) if "tusd" in rows and name.startswith("upload-server") else ""
        print(f"  {name:26} {wall:8.2f} {uploads * size / 1e6 / wall:7.0f} {uploads / wall:7.0f} {cpu:7.2f} {peak:6.0f} "
              f"{client:10.2f} {to}", flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--megabytes", type=int, default=1024)
    parser.add_argument("--small", type=int, default=10000)
    parser.add_argument("--connections", type=int, default=4)
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--peers", help="names between commas; default: all there are")
    parser.add_argument("--folder", help="on the disk that is measured; default: the build folder")
    args = parser.parse_args()
    top = tempfile.mkdtemp(prefix="uploads-", dir=args.folder or BUILD)
    try:
        total = args.megabytes * MIB
        names = [n for n in servers(top) if not args.peers or n in args.peers.split(",")]
        rate, syncs = disk(top)
        large, small = sha_seconds(total), sha_seconds(args.small * 65536)
        print(f"disk: {rate:.0f} MB/s with one sync, {syncs:.0f} syncs/s; SHA-256 of {args.megabytes} MiB: {large:.2f} s, "
              f"of {args.small} x 64 KiB: {small:.2f} s")
        kinds = {"large": (args.connections, total // args.connections, 8 * MIB, args.connections, large),
                 "small": (args.small, 65536, 65536, 32, small)}
        for kind, (uploads, size, chunk, connections, digest) in kinds.items():
            print(f"{kind}: {uploads} uploads of {size} bytes in chunks of {chunk} over {connections} connections", flush=True)
            rows = in_turn(names, top, args.runs, (uploads, size, chunk, connections))
            tell(rows, uploads, size, digest)
    finally:
        shutil.rmtree(top, ignore_errors=True)


if __name__ == "__main__":
    main()
