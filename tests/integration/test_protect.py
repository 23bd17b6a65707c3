#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""CMAF that ffmpeg made, protected by examples/protect, opened by the decryptor of these tests, Shaka Packager, ffmpeg.

    test_protect.py GROUP...     groups: formats others host
"""
import filecmp
import json
import os
import struct
import subprocess
import sys

sys.dont_write_bytecode = True

from clips import lavfi, run as make_clip, test_video  # noqa: E402
from decrypt import Init, decrypt  # noqa: E402
from test_encrypt import entry, frames, keys_file, need_aes, read, shaka, shaka_keys  # noqa: E402
from titles import BUILD, Cases  # noqa: E402

HOST = os.path.join(BUILD, "examples/protect/protect")
KEYS = [entry(what="key %d" % n) for n in range(3)]
X264 = "-c:v libx264 -preset ultrafast -g 25 "
CMAF = "-movflags cmaf+delay_moov+frag_keyframe"
SOUND = "-movflags cmaf+delay_moov -frag_duration 1000000"
FORMATS = {
    "h264": X264 + "-bf 2 " + CMAF,
    "h264 slices": X264 + "-x264-params slices=4 " + CMAF,
    "h264 sidx": X264 + "-movflags dash+frag_keyframe+empty_moov+default_base_moof",
    "hevc": "-c:v libx265 -preset ultrafast -x265-params keyint=25:min-keyint=25:log-level=error -tag:v hvc1 " + CMAF,
    "av1": "-c:v libaom-av1 -cpu-used 8 -usage realtime -g 25 -keyint_min 25 " + CMAF,
    "aac": "-c:a aac " + SOUND, "ac3": "-c:a ac3 " + SOUND, "eac3": "-c:a eac3 " + SOUND,
    "opus": "-c:a libopus " + SOUND, "flac": "-c:a flac " + SOUND,
}


def is_sound(name):
    return "-c:a" in FORMATS[name]


def boxes(data):
    at = 0
    while at + 8 <= len(data):
        size, kind = struct.unpack(">I4s", data[at:at + 8])
        yield kind.decode("latin-1"), data[at:at + size]
        at += size


def material(folder, name, fragments=1):
    """A folder with init.mp4 and segments of so many fragments."""
    path, to = os.path.join(folder, "clip.mp4"), os.path.join(folder, "clear")
    make_clip(lavfi("sine=f=440:r=48000:d=4" if is_sound(name) else test_video("320x180", "25", "4"))
              + FORMATS[name].split() + ["-strict", "-2", "-f", "mp4"], path)
    os.makedirs(to)
    init, segments, now = b"", [], b""
    for kind, data in boxes(read(path)):
        if kind in ("ftyp", "moov"):
            init += data
            continue
        now += data
        if kind == "mdat" and now.count(b"mdat") >= fragments and now.count(b"moof") >= fragments:
            segments.append(now)
            now = b""
    for n, data in enumerate([init] + segments):
        with open(os.path.join(to, "%05d.m4s" % n if n else "init.mp4"), "wb") as f:
            f.write(data)
    return to


def protect(folder, clear, *args, name="out", code=0):
    out = os.path.join(folder, name)
    os.makedirs(out, exist_ok=True)
    r = subprocess.run(["nice", HOST, *args, keys_file(folder, KEYS, drm=[{"system": "widevine"}]), clear, out],
                       stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert r.returncode == code, "protect %s: exit %d: %s" % (" ".join(args), r.returncode, r.stderr[-400:])
    return out, r


def names(folder):
    return ["init.mp4"] + sorted(n for n in os.listdir(folder) if n.endswith(".m4s"))


def joined(folder, to, only=None):
    with open(to, "wb") as f:
        for name in names(folder):
            if only in (None, name) or name == "init.mp4":
                f.write(read(os.path.join(folder, name)))
    return to


def by_ours(out, clear):
    """Segment by segment, the samples of ffmpeg."""
    keys = {bytes.fromhex(k["kid"]): bytes.fromhex(k["key"]) for k in KEYS}
    init = Init(read(os.path.join(out, "init.mp4")))
    plain = Init(read(os.path.join(clear, "init.mp4")))
    for name in names(out)[1:]:
        _, got = decrypt(init, read(os.path.join(out, name)), keys, by="both")
        _, want = decrypt(plain, read(os.path.join(clear, name)), keys, by="both")
        assert got == want, "%s: other samples" % name


def by_ffmpeg(folder, out, clear, kind):
    """One segment at a time: of a file it may look through ffmpeg takes the last fragment's IVs for all."""
    for name in names(out)[1:]:
        got = frames(joined(out, os.path.join(folder, "a.mp4"), name), kind, ["-decryption_key", KEYS[0]["key"]])
        want = frames(joined(clear, os.path.join(folder, "b.mp4"), name), kind)
        assert got == want, "%s: ffmpeg sees other frames" % name


def by_shaka(folder, out, want, kind):
    whole, to = joined(out, os.path.join(folder, "whole.mp4")), os.path.join(folder, "open.mp4")
    shaka("in=%s,stream=%s,output=%s" % (whole, "audio" if kind == "a" else "video", to), "--enable_raw_key_decryption",
          shaka_keys(KEYS[:1]))
    assert frames(to, kind) == want, "Shaka Packager gives other frames"


def one(folder, name, scheme, args, fragments, others=False):
    """others: by Shaka Packager, which knows one key a track, and ffmpeg, which knows cenc alone and no clear lead."""
    clear = material(folder, name, fragments)
    out, _ = protect(folder, clear, "-s", scheme, *args)
    kind = "a" if is_sound(name) else "v"
    told = json.loads(read(os.path.join(out, "protection.json")))
    assert told["scheme"] == scheme and told["label"] == ("audio" if kind == "a" else "sd"), told
    if not others:
        need_aes()
        by_ours(out, clear)
        return
    if scheme == "cenc" and "-c" not in args and fragments == 1:
        by_ffmpeg(folder, out, clear, kind)
    by_shaka(folder, out, frames(joined(clear, os.path.join(folder, "clear.mp4")), kind), kind)


def formats_group(cases):
    for n, name in enumerate(FORMATS):
        for scheme in ("cenc", "cbcs"):
            cases.run("%s %s" % (name, scheme), one, name, scheme, [[], ["-p"]][n % 2], 1 + n % 2)
        cases.run(name + " rotation", one, name, ("cbcs", "cenc")[n % 2], ["-r", "2", "-c", str(n % 3)], 1)


def others_group(cases):
    for name in FORMATS:
        for scheme in ("cenc", "cbcs"):
            cases.run("%s %s by others" % (name, scheme), one, name, scheme, [], 1, others=True)
        cases.run(name + " clear lead by others", one, name, "cenc", ["-c", "1"], 2, others=True)


def seeds(folder):
    """The seed that is printed gives the same bytes again, another run gives others."""
    clear = material(folder, "aac")
    a, said = protect(folder, clear, "-s", "cenc", name="a")
    seed = said.stdout.split()[1]
    b, _ = protect(folder, clear, "-s", "cenc", "-i", seed, name="b")
    c, _ = protect(folder, clear, "-s", "cenc", name="c")
    d, _ = protect(folder, clear, "-s", "cenc", "-i", seed, "-t", "1", name="d")
    for name in names(clear)[1:]:
        same = [filecmp.cmp(os.path.join(a, name), os.path.join(x, name), shallow=False) for x in (b, c, d)]
        assert same == [True, False, False], "%s: %s" % (name, same)


def refusals(folder):
    clear = material(folder, "aac")
    protect(folder, clear, "-s", "other", code=2)
    assert "KEY_MISSING" in protect(folder, clear, "-r", "1", code=1)[1].stderr
    out, _ = protect(folder, clear)
    assert "INPUT_ENCRYPTED" in protect(folder, out, name="twice", code=1)[1].stderr
    os.remove(os.path.join(out, "init.mp4"))
    protect(folder, out, name="none", code=1)


def host_group(cases):
    cases.run("seeds", seeds)
    cases.run("refusals", refusals)


GROUPS = {"formats": formats_group, "others": others_group, "host": host_group}


def main():
    status = 0
    for name in sys.argv[1:] or list(GROUPS):
        cases = Cases("protect-" + name)
        GROUPS[name](cases)
        status = max(status, cases.end())
    return status


if __name__ == "__main__":
    sys.exit(main())
