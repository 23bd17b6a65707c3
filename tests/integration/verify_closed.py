# SPDX-License-Identifier: LGPL-2.1-or-later
"""Ways to damage an encrypted title: see verify_cases.py. Keys are made up, the titles are those of make()."""
import json
import os

from titles import publish
from verify_cases import A, LIST, MASTER, MPD, SMALL, T, V, case, edits, patch, subs

IFRAMES = V + "iframes.m3u8"
DRM = [{"system": "widevine", "laurl": "https://wv.example/"}, {"system": "playready"},
       {"system": "fairplay", "uri": "skd://{kid}"}, {"system": "clearkey", "laurl": "https://ck.example/"},
       {"system": "common"}]


def key(label, first, n):
    kid = bytes([first + n] + list(range(15)))
    return {"label": label, "kid": kid.hex(), "key": bytes((first + n + 7 * i) & 255 for i in range(16)).hex()}


def make(folder, source, *common):
    """{name: (folder, source)} of encrypted titles."""
    path = os.path.join(folder, "keys.json")
    with open(path, "w", encoding="utf-8") as f:
        json.dump({"keys": [key(label, first, n) for label, first in (("*", 0x20), ("audio", 0x60)) for n in range(3)],
                   "uri": "https://k.example/{n}", "drm": DRM}, f)
    titles = {}
    for name, *options in (("cenc", "--encrypt", "cenc", "--clear-lead", "2"),
                           ("cbcs", "--encrypt", "cbcs", "--key-rotation", "1"),
                           ("aes", "--encrypt", "aes128", "--clear-lead", "2"),
                           ("aes-single", "--encrypt", "aes128", "--single-file"),
                           ("sample-aes", "--encrypt", "cbcs", "--format", "ts")):
        titles[name] = (os.path.join(folder, name), source)
        publish(source, titles[name][0], *common, *options, "--keys", path)
    return titles


# ---- init segments and fragments ----

edits("bytes", "cenc",
      ("KID in tenc", "E13", V + "init.mp4", patch(b"tenc", 8, 1)),
      ("IVs of 16 bytes in tenc", "E09", V + "init.mp4", patch(b"tenc", 7, 8)),
      ("samples that are not protected, says tenc", "E14", V + "init.mp4", patch(b"tenc", 6, -1)),
      ("another scheme in schm", "E11", V + "init.mp4", patch(b"schm", 4, 1)),
      ("another format in frma", "P13", V + "init.mp4", patch(b"frma", 3, 2)),
      ("a sample entry that is not encrypted", "E14", V + "init.mp4", lambda d: d.replace(b"encv", b"avc1", 1)),
      ("no entry for what is clear", "CMAF", V + "init.mp4", patch(b"stsd", 7, -1)),
      ("another size in the clear entry", "CMAF", V + "init.mp4", patch(b"avc1", 25, 2, 1)),
      ("the encrypted entry for a clear fragment", "E07", V + "00001.m4s", patch(b"tfhd", 11, -1)),
      ("saiz counts other samples", "E12", V + "00002.m4s", patch(b"saiz", 8, 1)),
      ("saio points elsewhere", "E12", V + "00002.m4s", patch(b"saio", 11, 1)),
      ("senc counts other samples", "E12", V + "00002.m4s", patch(b"senc", 7, 1)),
      ("no senc", "E12", V + "00002.m4s", patch(b"senc", -1, 1)),
      ("subsamples that do not add up", "E10", V + "00002.m4s", patch(b"senc", 19, 1)),
      ("encrypted bytes that are no blocks", "E10", V + "00002.m4s", patch(b"senc", 23, 1)),
      ("an IV twice", "E08", A + "00002.m4s",
       lambda d: d[:d.index(b"senc") + 12] + d[d.index(b"senc") + 20:d.index(b"senc") + 28] + d[d.index(b"senc") + 20:]))


@case("bytes", "IVs of another rung of the same key", "cenc", "E08")
def _(t):
    """The first IV of a fragment is put into the other rung's."""
    iv = t.read(V + "00002.m4s")
    at = iv.index(b"senc") + 12
    t.edit(SMALL + "00002.m4s", lambda d: d[:d.index(b"senc") + 12] + iv[at:at + 8] + d[d.index(b"senc") + 20:])


edits("bytes", "cbcs",
      ("pattern in tenc", "E11", V + "init.mp4", patch(b"tenc", 5, 1)),
      ("a pattern for sound", "E11", A + "init.mp4", patch(b"tenc", 5, 0x19)),
      ("constant IV in tenc", "E11", V + "init.mp4", patch(b"tenc", 25, 1)),
      ("tenc of version 0", "E11", V + "init.mp4", patch(b"tenc", 0, -1)),
      ("KID of the sample group", "E07", V + "00002.m4s", patch(b"sgpd", 20, 1)),
      ("constant IV of the sample group", "E11", V + "00002.m4s", patch(b"sgpd", 37, 1)),
      ("a group of fewer samples", "E07", V + "00002.m4s", patch(b"sbgp", 15, -1)),
      ("no sample group", "E07", V + "00003.m4s", lambda d: d.replace(b"sbgp", b"free").replace(b"sgpd", b"free")),
      ("no sample group for sound", "E07", A + "00003.m4s", lambda d: d.replace(b"sbgp", b"free").replace(b"sgpd", b"free")),
      ("a box for a DRM system that is not of the key", "E13", V + "00002.m4s", patch(b"pssh", 30, 1)))
edits("bytes", "aes", ("an object that is no whole blocks", "E03", V + "00002.m4s", lambda d: d + b"x"))
edits("bytes", "sample-aes",
      ("stream type of clear pictures", "STRUCTURE", T + "00001.ts", lambda d: d.replace(b"\xdb\xe1\0", b"\x1b\xe1\0", 1)))

# ---- playlists and MPD ----

subs("aes",
     ("no IV", "E01", LIST, r",IV=0x[0-9a-f]{32}", ""),
     ("another IV", "E01", LIST, r"IV=0x[0-9a-f]{4}", "IV=0x0000"),
     ("another key URI", "E07", LIST, "k.example/0", "k.example/1"),
     ("a key too early", "E07", LIST, r"(#EXTINF:2.000000,\n00001.m4s\n)(#EXT-X-KEY[^\n]*\n)", r"\2\1"),
     ("a key too late", "E07 E01", LIST, r"(#EXT-X-KEY[^\n]*\n)(#EXTINF:2.000000,\n00002.m4s\n)", r"\2\1"),
     ("a key that is taken back", "E07", LIST, r"(#EXTINF:[0-9.]*,\n00003)", r"#EXT-X-KEY:METHOD=NONE\n\1"),
     ("another method", "HLS", LIST, "METHOD=AES-128", "METHOD=SAMPLE-AES"),
     ("the init segment behind a key", "E02", LIST, r"(#EXT-X-MAP[^\n]*\n)((?:.|\n)*?)(#EXT-X-KEY[^\n]*\n)", r"\2\3\1"),
     ("an I-frame variant", "X04", MASTER, "$",
      '#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=1000,CODECS="avc1",RESOLUTION=320x180,URI="v1/video/180p/i.m3u8"\n'))
subs("aes-single", ("a byte range without its padding", "P19", LIST, r"BYTERANGE:(\d+)@", r"BYTERANGE:1@"))
subs("cbcs",
     ("a key of another period", "E13", LIST, r"(#EXT-X-KEY[^\n]*\n)((?:.|\n)*?00001.m4s\n)(#EXT-X-KEY[^\n]*\n)", r"\3\2\1"),
     ("FairPlay's key of another period", "E07", LIST, "skd://20", "skd://21"),
     ("no key for the second period", "E07", A + "playlist.m3u8", r"(00001.m4s\n)(?:#EXT-X-KEY[^\n]*\n)+", r"\1"),
     ("no key in the I-frame playlist", "E07", IFRAMES, r"(?:#EXT-X-KEY[^\n]*\n)+", ""),
     ("FairPlay with an IV", "HLS", LIST, r"(URI=\"skd[^\"]*\",)", r"\1IV=0x00000000000000000000000000000000,"),
     ("KEYID", "E13", LIST, "KEYID=0x2", "KEYID=0x3"),
     ("KEYID of a session key", "E13", MASTER, "KEYID=0x2", "KEYID=0x3"),
     ("a session key twice", "HLS", MASTER, r"(#EXT-X-SESSION-KEY[^\n]*\n)", r"\1\1"),
     ("a session key of no method", "E13", MASTER, r"(#EXT-X-SESSION-KEY:METHOD=)SAMPLE-AES", r"\1NONE"),
     ("a version that knows no key formats", "HLS", IFRAMES, "VERSION:5", "VERSION:4"),
     ("default_KID", "E13", MPD, 'default_KID="2', 'default_KID="3'),
     ("default_KID in capitals", "E13", MPD, r"default_KID=\"20000102-0304-0506-0708-090a0b0c0d0e",
      'default_KID="20000102-0304-0506-0708-090A0B0C0D0E'),
     ("scheme", "DASH", MPD, 'value="cbcs"', 'value="cenc"'),
     ("no ContentProtection", "DASH", MPD, r"<ContentProtection (?:.|\n)*</ContentProtection>", ""),
     ("what Widevine is told", "MANIFEST", MPD, "<cenc:pssh>AAAA", "<cenc:pssh>AAAB"))


# ---- presentation.json ----

def keys(name, title, rules, change):
    """change gets the keys of the 180p track."""
    @case("texts", name, title, *rules.split())
    def _(t):
        doc = t.doc()
        change(t.track(doc, "180p")["protection"])
        t.put(doc)


keys("another KID in presentation.json", "cenc", "E13", lambda p: p["keys"][0].update(kid="ff" * 16))
keys("another IV in presentation.json", "cbcs", "E11", lambda p: p["keys"][0].update(iv="ff" * 16))
keys("another clear start in presentation.json", "cenc", "E07", lambda p: p.update(clear_segments=2))
keys("keys that stay, says presentation.json", "cbcs", "E07", lambda p: p.pop("rotation"))


@case("texts", "clear, says presentation.json", "cenc", "E14", "E07")
def _(t):
    doc = t.doc()
    for track in doc["tracks"]:
        track["protection"] = None
    t.put(doc)


@case("texts", "an MPD of a title that has none", "aes", "S22")
def _(t):
    t.write("manifest.mpd", b"<MPD/>")


@case("texts", "a key file beside the segments", "aes", "NAMES")
def _(t):
    t.write("v1/key.bin", b"0123456789abcdef")

