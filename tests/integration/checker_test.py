#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Spoils good titles in many ways and demands that checker.py names the rule.

    checker_test.py DIR      DIR holds good titles: cmaf, ts, ts-packed, single, two-languages
    checker_test.py --make TEST_PUBLISHED      that test of tests/unit/verify makes them first
"""
import glob
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
CASES = []


def case(title, rule):
    def add(fn):
        CASES.append((title, rule, fn))
        return fn
    return add


class Title:
    def __init__(self, root):
        self.root = root

    def path(self, pattern):
        found = sorted(glob.glob(os.path.join(self.root, pattern)))
        assert found, "no %s in %s" % (pattern, self.root)
        return found[0]

    def edit(self, pattern, change, fix_crc=True):
        """fix_crc: presentation.json gets the new CRC and size, so that only the rule in question breaks."""
        path = self.path(pattern)
        old = open(path, "rb").read()
        new = change(old)
        assert new != old, "nothing changed in " + path
        open(path, "wb").write(new)
        if fix_crc:
            sys.path.insert(0, HERE)
            from checker_media import crc32c
            doc = os.path.join(self.root, "presentation.json")
            text = open(doc).read()
            text = text.replace('"%08x"' % crc32c(old), '"%08x"' % crc32c(new))
            open(doc, "w").write(text)

    def sub(self, pattern, a, b, count=1):
        self.edit(pattern, lambda d: re.sub(a.encode(), b.encode(), d, count=count), False)


def patch(fourcc, offset, by, nth=0):
    """Adds to the byte at offset behind the nth occurrence of the four characters."""
    def change(data):
        at = -1
        for _ in range(nth + 1):
            at = data.index(fourcc, at + 1)
        out = bytearray(data)
        out[at + 4 + offset] = (out[at + 4 + offset] + by) & 255
        return bytes(out)
    return change


def packet(pid, nth, offset, by):
    def change(data):
        left = nth
        for n in range(0, len(data), 188):
            if (data[n + 1] & 31) << 8 | data[n + 2] == pid:
                if left == 0:
                    out = bytearray(data)
                    out[n + offset] = (out[n + offset] + by) & 255
                    return bytes(out)
                left -= 1
        raise AssertionError("no such packet")
    return change


SEGMENT, INIT, LIST = "*/video/192p/00001.m4s", "*/video/192p/init.mp4", "*/video/192p/playlist.m3u8"
IFRAMES, MASTER, MPD, TS = "*/video/192p/iframes.m3u8", "master.m3u8", "manifest.mpd", "*/ts/192p/00001.ts"
EDTS = (b"\0\0\0\x24edts\0\0\0\x1celst" + b"\0" * 4 + b"\0\0\0\1" + b"\0\0\0\x50" + b"\0" * 4 + b"\0\1\0\0")


def add_edit_list(data):
    out = bytearray(data)
    for name in (b"moov", b"trak"):
        at = out.index(name) - 4
        out[at:at + 4] = (int.from_bytes(out[at:at + 4], "big") + len(EDTS)).to_bytes(4, "big")
    at = out.index(b"mdia") - 4
    return bytes(out[:at] + EDTS + out[at:])


for _rule, _pattern, _change in (
        ("P23", "*/video/192p/00002.m4s", patch(b"tfdt", 11, 1)),
        ("P24", SEGMENT, patch(b"tfdt", 0, -1)),
        ("P09", SEGMENT, patch(b"trun", 0, -1)),
        ("CMAF", SEGMENT, patch(b"trun", 11, 1)),
        ("CMAF", SEGMENT, patch(b"tfhd", 1, -2)),
        ("CMAF", "*/video/192p/00002.m4s", patch(b"mfhd", 7, -3)),
        ("P04", SEGMENT, patch(b"mdat", 4, -0x24)),
        ("STRUCTURE", SEGMENT, patch(b"moof", -5, 1)),
        ("CMAF", INIT, patch(b"mvhd", 19, 1)),
        ("CMAF", INIT, patch(b"tkhd", 23, 1)),
        ("CMAF", INIT, patch(b"mvex", -1, 1)),
        ("P13", INIT, patch(b"avcC", 3, 1)),
        ("P07", INIT, add_edit_list),
        ("P05", "*/audio/en-stereo/00002.m4s", patch(b"tfdt", 10, 9))):
    case("cmaf", _rule)(lambda t, p=_pattern, c=_change: t.edit(p, c))
for _rule, _pattern, _a, _b in (
        ("P01", LIST, "#EXTINF:2.0", "#EXTINF:2.1"), ("P02", LIST, "DURATION:2", "DURATION:1"),
        ("P02", LIST, "DURATION:2", "DURATION:3"), ("HLS", LIST, "#EXT-X-ENDLIST\n", ""),
        ("HLS", LIST, ":VOD", ":EVENT"), ("HLS", LIST, "VERSION:6", "VERSION:4"), ("X04", LIST, "00002.m4s", "00012.m4s"),
        ("P26", LIST, "00001.m4s\n", "00001.m4s\n#EXT-X-DISCONTINUITY\n"), ("HLS", LIST, "00002.m4s", "https:x.m4s"),
        ("HLS", LIST, r"#EXTINF:2.000000,", "#EXTINF:2.000000"), ("HLS", LIST, r"#EXTINF:2.000000", "#EXTINF:1.9999"),
        ("P29", IFRAMES, "BYTERANGE:2", "BYTERANGE:1"), ("P29", IFRAMES, "#EXTINF:1.0", "#EXTINF:1.1"),
        ("P14", MASTER, ":BANDWIDTH=", ":BANDWIDTH=1"), ("P14", MASTER, "AVERAGE-BANDWIDTH=", "AVERAGE-BANDWIDTH=1"),
        ("P13", MASTER, "avc1.4d001e", "avc1.4d0028"), ("P13", MASTER, ",mp4a.40.2", ""),
        ("P13", MASTER, "RESOLUTION=320x192", "RESOLUTION=320x190"), ("P16", MASTER, ',AUDIO="', ',AUDIO="x'),
        ("P16", MASTER, 'LANGUAGE="en",', ""),
        ("HLS", MASTER, r"FRAME-RATE=25.000", 'FRAME-RATE="25.000"'), ("HLS", MASTER, "FRAME-RATE=25.000", "FRAME-RATE=25"),
        ("P13", MASTER, "FRAME-RATE=25.000", "FRAME-RATE=29.970"), ("HLS", MASTER, r",RESOLUTION=\d+x\d+", ""),
        ("P29", MASTER, "#EXT-X-I-FRAME-STREAM-INF:", '#EXT-X-I-FRAME-STREAM-INF:AUDIO="a",'),
        ("P22", MPD, r'mediaPresentationDuration="[^"]*"', 'mediaPresentationDuration="PT9S"'),
        ("P22", MPD, ' r="1"', ' r="2"'), ("P23", MPD, 't="0"', 't="90"'), ("DASH", MPD, 'minBufferTime="[^"]*" ', ""),
        ("DASH", MPD, "AdaptationSet", "AdaptatiomSet"), ("P13", MPD, "avc1.4d001e", "avc1.4d001f"),
        ("P14", MPD, ' bandwidth="[0-9]*"', ' bandwidth="10"'), ("CRC", "presentation.json", r'"crc32c":\s*"[0-9a-f]{4}',
                                                                 '"crc32c": "0123'),
        ("X04", "presentation.json", r'"bytes":\s*[0-9]', '"bytes": 9')):
    case("cmaf", _rule)(lambda t, p=_pattern, a=_a, b=_b: t.sub(p, a, b))
for _rule, _change in (("P17", packet(0, 1, 3, 1)), ("P17", packet(0x100, 3, 3, 1)), ("P17", packet(0x100, 0, 5, -0x40)),
                       ("P18", packet(0x100, 0, 8, 40)), ("STRUCTURE", packet(0, 0, 9, 1)),
                       ("STRUCTURE", packet(0x101, 0, 2, 0x20)), ("P06", packet(0x100, 0, 25, 20)),
                       ("P03", packet(0x100, 0, 25, 200)),
                       ("P13", lambda d: d.replace(b"\x67\x4d\0\x1e", b"\x67\x4d\0\x1f"))):
    case("ts", _rule)(lambda t, c=_change: t.edit(TS, c))


@case("cmaf", "X04")
def _(t):
    os.unlink(t.path("*/video/96p/00002.m4s"))


@case("cmaf", "CRC")
def _(t):
    t.edit(SEGMENT, lambda d: d[:-1] + bytes([d[-1] ^ 1]), False)


@case("cmaf", "NAMES")
def _(t):
    open(os.path.join(os.path.dirname(t.path(SEGMENT)), "stray.bin"), "w").close()


@case("cmaf", "NAMES")
def _(t):
    os.unlink(t.path("*/.vodpipe-version"))


@case("cmaf", "P20")
def _(t):
    shutil.copy(t.path("*/audio/en-stereo/playlist.m3u8"), t.path(SEGMENT))


@case("cmaf", "P03")
def _(t):
    # The small rung gets the other cuts of a file of its own: two segments swapped for one.
    t.sub("*/video/96p/playlist.m3u8", r"#EXTINF:2.000000,\n00002.m4s\n", "")


@case("cmaf", "P10")
def _(t):
    t.sub("*/video/96p/playlist.m3u8", r"#EXTINF:1.000000,\n00003.m4s\n", "")


@case("two-languages", "P16")
def _(t):
    t.sub(MASTER, 'NAME="French"', 'NAME="English"')


@case("two-languages", "P16")
def _(t):
    t.sub(MASTER, "DEFAULT=NO", "DEFAULT=YES")


@case("single", "P19")
def _(t):
    t.sub(LIST, r"BYTERANGE:(\d+)@\d+", r"BYTERANGE:\1")


@case("single", "P19")
def _(t):
    t.sub(LIST, r"(#EXTINF.*\n)(#EXT-X-BYTERANGE.*\n)", r"\2\1")


@case("single", "P19")
def _(t):
    t.edit("*/video/192p/media.mp4", patch(b"sidx", 35, 1))


@case("single", "P19")
def _(t):
    t.sub(MPD, r'indexRange="(\d+)-(\d+)"', r'indexRange="\1-1\2"')


@case("ts-packed", "P05")
def _(t):
    t.edit("*/ts/en-stereo/00002.aac", patch(b"estamp\0", 7 + 3, 9))


@case("cmaf", "P14")
def _(t):
    t.sub(MPD, r'(<Representation [^>]*bandwidth="\d+)\d"', r'\1"')


def main():
    if sys.argv[1] != "--make":
        return check(sys.argv[1])
    with tempfile.TemporaryDirectory() as made:
        made_by = subprocess.run([sys.argv[2]], env=dict(os.environ, VODPIPE_TITLE_DUMP=made), stdout=subprocess.DEVNULL)
        return made_by.returncode or check(made)


def check(source):
    bad = 0
    for name in sorted({c[0] for c in CASES}):
        run = subprocess.run([sys.executable, os.path.join(HERE, "checker.py"), os.path.join(source, name)],
                             stdout=subprocess.PIPE, text=True, stderr=subprocess.DEVNULL)
        if run.returncode:
            print("the good title %s fails:\n%s" % (name, run.stdout))
            return 1
    for n, (name, rule, spoil) in enumerate(CASES):
        with tempfile.TemporaryDirectory() as tmp:
            root = os.path.join(tmp, "t")
            shutil.copytree(os.path.join(source, name), root)
            spoil(Title(root))
            run = subprocess.run([sys.executable, os.path.join(HERE, "checker.py"), root, "--json"],
                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            found = {f["rule"] for f in json.loads(run.stdout)["failed"]} if run.stdout else run.stderr
            if run.returncode != 1 or rule not in found:
                bad += 1
                print("case %d of %s: %s was not found, but %s" % (n, name, rule, found))
    print("%d cases, %d bad" % (len(CASES), bad))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.dont_write_bytecode = True
    sys.exit(main())
