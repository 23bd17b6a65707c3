# SPDX-License-Identifier: LGPL-2.1-or-later
"""Ways to damage titles with AC-3 in transport streams and packed audio: see verify_cases.py."""
import json
import os

from clips import run as make_clip
from titles import good, ladder, publish
from verify_cases import T, edits, patch

PACKED = "v1/ts/en-5.1/"
KEY = {"label": "*", "kid": "00" * 15 + "01", "key": "000102030405060708090a0b0c0d0e0f"}


def make(folder, source, closed):
    """{name: (folder, source)}: H.264 and AC-3 packaged, the same under SAMPLE-AES, 5.1 that publish passes through."""
    ready, six, keys = (os.path.join(folder, n) for n in ("ac3.mp4", "ac3-six.mp4", "ac3-keys.json"))
    make_clip(["-i", source, "-c:v", "libx264", "-preset", "ultrafast", "-g", "25", "-bf", "0", "-threads", "1", "-c:a",
               "ac3", "-b:a", "192k"], ready)
    make_clip(["-i", source, "-c:v", "copy", "-c:a", "ac3", "-b:a", "384k", "-ac", "6"], six)
    with open(keys, "w", encoding="utf-8") as f:
        json.dump({"keys": [KEY], "uri": "https://k.example/{n}"}, f)
    cuts = ["--format", "ts", "--segment", "2", "--gop", "1", "--prefix", "v1"]
    titles = {"ac3": (os.path.join(folder, "ac3"), ready)}
    good("package", ready, titles["ac3"][0], *cuts)
    if closed:
        titles["ac3-closed"] = (os.path.join(folder, "ac3-closed"), ready)
        good("package", ready, titles["ac3-closed"][0], *cuts, "--encrypt", "cbcs", "--keys", keys)
        titles["ac3-packed"] = (os.path.join(folder, "ac3-packed"), six)
        publish(six, titles["ac3-packed"][0], "--ladder", ladder(folder, ("96p", 96, 100)), *cuts, "--preset",
                "veryfast", "--encrypt", "cbcs", "--keys", keys)
    return titles


def crc(data):
    """ISO/IEC 13818-1 annex A."""
    c = 0xFFFFFFFF
    for byte in data:
        c ^= byte << 24
        for _ in range(8):
            c = (c << 1 ^ 0x04C11DB7) & 0xFFFFFFFF if c & 0x80000000 else c << 1
    return c.to_bytes(4, "big")


def table(old, new):
    """Other bytes in every PMT, with the CRC that fits."""
    def change(data):
        out, done = b"", 0
        for at in range(0, len(data), 188):
            p = data[at:at + 188]
            if p[1] & 31 == 0x10 and p[2] == 0 and old in p:
                end = 5 + 3 + ((p[6] & 15) << 8 | p[7]) - 4
                section = p[5:end].replace(old, new)
                p, done = p[:5] + section + crc(section) + p[end + 4:], done + 1
            out += p
        assert done, "no table with %r" % old
        return out
    return change


edits("bytes", "ac3",
      ("the type of E-AC-3", "P13", T + "00001.ts", table(b"\x81\xe1\x01", b"\x87\xe1\x01")),
      ("the type of encrypted AC-3", "E07", T + "00001.ts", table(b"\x81\xe1\x01", b"\xc1\xe1\x01")),
      ("no registration of AC-3", "TS", T + "00002.ts", table(b"AC-3", b"AC-4")),
      ("a PES packet of MPEG's own sound", "STRUCTURE", T + "00001.ts",
       lambda d: d.replace(b"\0\0\1\xbd", b"\0\0\1\xc0", 1)),
      ("a sync word that is none", "STRUCTURE", T + "00002.ts", lambda d: d.replace(b"\x0b\x77", b"\x0b\x78", 1)),
      ("one channel", "P13", T + "00001.ts", patch(b"\x0b\x77", 2, -0x20)),
      ("channels that change", "P13", T + "00002.ts", patch(b"\x0b\x77", 2, -0x20)))
edits("bytes", "ac3-closed",
      ("the type of clear AC-3", "E14", T + "00001.ts", table(b"\xc1\xe1\x01", b"\x81\xe1\x01")),
      ("another private data indicator", "TS", T + "00001.ts", table(b"ac3d", b"ec3d")),
      ("the setup of E-AC-3", "TS", T + "00001.ts", table(b"zac3", b"zec3")),
      ("a setup that is no AC-3", "TS", T + "00001.ts", table(b"\x0a\x0b\x77", b"\x0a\x0b\x78")))
edits("bytes", "ac3-packed",
      ("no audio description", "TS", PACKED + "00001.ac3",
       lambda d: d.replace(b"audioDescription", b"audioDescriptiom")),
      ("the audio description of AAC", "TS", PACKED + "00002.ac3", lambda d: d.replace(b"zac3", b"zaac")),
      ("an AC-3 frame that is none", "STRUCTURE", PACKED + "00001.ac3", lambda d: d.replace(b"\x0b\x77", b"\x0b\x78")))
