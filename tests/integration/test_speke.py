#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Titles under keys of a key server (speke_server.py): published by speke_host, opened with the keys that the server knows
to have given, and nothing of these keys in what the host heard or what lies on the disk.

    test_speke.py HOST
"""
import glob
import json
import os
import subprocess
import sys
import uuid

sys.dont_write_bytecode = True

from speke_server import BY_ADDRESS, FAIRPLAY, PLAYREADY, WIDEVINE, key_of  # noqa: E402
from test_encrypt import (RUNGS, SEGMENTS, clear_title, need_aes, read, scratch, spellings, title, verified)  # noqa: E402
from test_encrypt_hls import openssl  # noqa: E402
from titles import HERE, Cases, clip, ladder  # noqa: E402

HOST = sys.argv[1]
LABELS = {"audio": "AUDIO", "video/144p": "SD", "video/72p": "SD"}


class KeyServer:
    def __init__(self):
        self.folder = scratch()
        self.process = subprocess.Popen([sys.executable, os.path.join(HERE, "speke_server.py"), self.folder],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.port = int(self.process.stdout.readline().split()[0])

    def __enter__(self):
        return self

    def __exit__(self, *why):
        self.process.stdin.close()
        self.process.wait(10)

    def requests(self):
        path = self.folder + "/requests"
        if not os.path.exists(path):
            return []
        with open(path, encoding="utf-8") as f:
            return [json.loads(line) for line in f]


def publish(server, folder, path, **settings):
    """(folder of the title, what was heard, exit status)."""
    out = os.path.join(folder, "out")
    with open(ladder(folder, *RUNGS), encoding="utf-8") as f:
        settings.update(ladder=json.load(f), segment=2, gop=1, preset="ultrafast")
    run = subprocess.run([HOST, clip("crypt.mp4"), out, "http://127.0.0.1:%d%s" % (server.port, path), json.dumps(settings)],
                         capture_output=True, text=True, timeout=600)
    return out, run.stdout + run.stderr, run.returncode


def silent(out, text, keys):
    """No key in what was heard, nor in any file."""
    files = [p for p in glob.glob(out + "/**", recursive=True, include_hidden=True) if os.path.isfile(p)]
    assert len(files) > 10, files
    for key in keys:
        for s in spellings(key):
            assert s not in text.encode(), "a key was told"
            for p in files:
                assert s not in read(p), "a key in " + p


def asked_well(requests, scheme, periods, systems, types=("AUDIO", "SD")):
    """One request for each label and period."""
    assert not [r for r in requests if r["wrong"]], [r["wrong"] for r in requests]
    asked = sorted((r["type"], r["period"]) for r in requests)
    assert asked == [(t, n) for t in types for n in range(periods)], asked
    assert {r["scheme"] for r in requests} == {scheme} and {r["content"] for r in requests} == {"movie-7"}
    assert all(r["systems"] == systems for r in requests), requests[0]["systems"]
    assert len({r["kid"] for r in requests}) == len(requests)


def cmaf(folder, scheme):
    need_aes()
    with KeyServer() as server:
        out, text, status = publish(server, folder, "/keys", encrypt=scheme, key_rotation=3)
        assert status == 0 and text.endswith("published\n"), text
        requests = server.requests()
    asked_well(requests, scheme, 3, [WIDEVINE, PLAYREADY] + ([FAIRPLAY] if scheme == "cbcs" else []))
    keys = {uuid.UUID(r["kid"]).bytes: key_of(r["kid"]) for r in requests}
    clear, used = clear_title(), set()
    for name, track in title(out).items():
        assert len(track.segments) == SEGMENTS
        assert track.samples(keys) == clear[name].samples({}), "%s: differs from the clear one" % name
        label = LABELS[name if name in LABELS else name.split("/")[0]]
        for n, entry in enumerate(track.entries):
            kid = next(r["kid"] for r in requests if (r["type"], r["period"]) == (label, n // 3))
            used.add(kid)
            if scheme == "cbcs":
                fairplay = entry.keys["com.apple.streamingkeydelivery"]["URI"]
                assert fairplay == "skd://" + kid, "%s segment %d: %s" % (name, n, fairplay)
    assert used == {r["kid"] for r in requests}
    mpd = read(out + "/manifest.mpd").decode()
    for r in requests:
        assert r["period"] or r["kid"] in mpd.lower(), "no KID of %s in the MPD" % r["type"]
    assert "https://licence.example/" in mpd
    silent(out, text, keys.values())
    verified(out)


def aes128(folder):
    openssl()
    with KeyServer() as server:
        out, text, status = publish(server, folder, "/keys", encrypt="aes128", format="ts", key_rotation=3)
        assert status == 0, text
        requests = server.requests()
    asked_well(requests, "cbcs", 3, [BY_ADDRESS], ["SD"]) # sound is in the same segments
    for name, track in title(out).items():
        for n, (entry, data) in enumerate(zip(track.entries, track.segments)):
            kid = next(r["kid"] for r in requests if r["period"] == n // 3)
            assert entry.key["URI"] == "https://keys.example/" + kid, entry.key
            run = subprocess.run(["openssl", "enc", "-d", "-aes-128-cbc", "-K", key_of(kid).hex(), "-iv", entry.key["IV"][2:]],
                                 input=data, capture_output=True, check=False)
            want = clear_title("--format", "ts")[name].segments[n]
            assert run.stdout == want, "%s segment %d" % (name, n)
    silent(out, text, [key_of(r["kid"]) for r in requests])
    verified(out)


def later(folder):
    """The first requests fail."""
    with KeyServer() as server:
        _, text, status = publish(server, folder, "/flaky/1", encrypt="cbcs")
        assert status == 0, text
        assert len(server.requests()) == 4, server.requests()


def refused(folder, path, reason):
    with KeyServer() as server:
        out, text, status = publish(server, folder, path, encrypt="cbcs")
        assert status == 1 and text.split("\n")[-2].startswith(reason + ": "), text
        assert "Bearer" not in text and "secret" not in text, text
        assert not os.path.exists(out + "/master.m3u8")


def main():
    cases = Cases("speke")
    cases.run("cbcs", cmaf, "cbcs")
    cases.run("cenc", cmaf, "cenc")
    cases.run("aes128", aes128)
    cases.run("500, then keys", later)
    cases.run("403", refused, "/status/403?token=secret", "KEY_MISSING")
    cases.run("500", refused, "/status/500?token=secret", "CONNECTION_FAILED")
    cases.run("no key", refused, "/none", "KEY_MISSING")
    return cases.end()


if __name__ == "__main__":
    sys.exit(main())
