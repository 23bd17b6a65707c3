# SPDX-License-Identifier: LGPL-2.1-or-later
"""Ways to damage a good title, each with the rules that have to be named: what test_verify.py runs."""
import json
import os
import re
import shutil

from checker_media import crc32c

V, SMALL, A = "v1/video/180p/", "v1/video/96p/", "v1/audio/en-stereo/"
T = "v1/ts/180p/"


# ---- damage ----

class Title:
    """A copy of a good title."""

    def __init__(self, root):
        self.root = root

    def path(self, name):
        return os.path.join(self.root, name)

    def read(self, name):
        with open(self.path(name), "rb") as f:
            return f.read()

    def write(self, name, data):
        with open(self.path(name), "wb") as f:
            f.write(data)

    def edit(self, name, change, fix=True):
        """fix: presentation.json gets the new size and CRC, so that only the rule in question breaks."""
        old = self.read(name)
        new = change(old)
        assert new != old, "nothing changed in " + name
        self.write(name, new)
        if fix:
            self.fix(name)

    def fix(self, name):
        data = self.read(name)
        doc = self.doc()
        for t in doc["tracks"]:
            for part in [t.get("init")] + t["segments"]:
                if part and part.get("key") == name and "crc32c" in part:
                    part["bytes"], part["crc32c"] = len(data), "%08x" % crc32c(data)
            if "object" in t and t["segments"][0]["key"] == name:
                t["object"]["bytes"], t["object"]["crc32c"] = len(data), "%08x" % crc32c(data)
        self.put(doc)

    def sub(self, name, a, b, count=1):
        self.edit(name, lambda d: re.sub(a.encode(), b.encode(), d, count=count), False)

    def doc(self):
        return json.loads(self.read("presentation.json"))

    def put(self, doc):
        self.write("presentation.json", json.dumps(doc).encode())

    def track(self, doc, name):
        return next(t for t in doc["tracks"] if t["name"] == name)


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
    """The same in the nth packet of a PID."""
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


def sample(nth, field, by):
    """The same in a field (duration, size, flags or cts) of the nth sample of the first trun."""
    def change(data):
        at = data.index(b"trun") + 4
        flags = int.from_bytes(data[at:at + 4], "big")
        names = [x for n, x in enumerate(("duration", "size", "flags", "cts")) if flags & 0x100 << n]
        at += 8 + 4 * bool(flags & 1) + 4 * bool(flags & 4) + 4 * (nth * len(names) + names.index(field))
        value = int.from_bytes(data[at:at + 4], "big") + by
        return data[:at] + (value & 0xffffffff).to_bytes(4, "big") + data[at + 4:]
    return change


def flip(at):
    def change(data):
        out = bytearray(data)
        out[at] ^= 0x55
        return bytes(out)
    return change


EDTS = b"\0\0\0\x24edts\0\0\0\x1celst" + b"\0" * 4 + b"\0\0\0\1" + b"\0\0\0\x50" + b"\0" * 4 + b"\0\1\0\0"


def insert_box(box, before, parents):
    def change(data):
        out = bytearray(data)
        for name in parents:
            at = out.index(name) - 4
            out[at:at + 4] = (int.from_bytes(out[at:at + 4], "big") + len(box)).to_bytes(4, "big")
        at = out.index(before) - 4
        return bytes(out[:at] + box + out[at:])
    return change


CASES = {"bytes": [], "texts": [], "decode": []}


def case(group, name, title, *rules):
    """rules: each of them has to be named."""
    def add(fn):
        CASES[group].append((name, title, rules, fn))
        return fn
    return add


def edits(group, title, *rows):
    for name, rule, path, change in rows:
        case(group, name, title, *rule.split())(lambda t, p=path, c=change: t.edit(p, c))


def subs(title, *rows):
    for name, rule, path, a, b in rows:
        case("texts", name, title, *rule.split())(lambda t, p=path, x=a, y=b: t.sub(p, x, y))


# ---- cases: media ----

edits("bytes", "cmaf",
      ("tfdt of the second segment", "P23", V + "00002.m4s", patch(b"tfdt", 11, 1)),
      ("tfdt of version 0", "P24", V + "00001.m4s", patch(b"tfdt", 0, -1)),
      ("trun of version 0", "P09", V + "00001.m4s", patch(b"trun", 0, -1)),
      ("data_offset of trun", "CMAF", V + "00001.m4s", patch(b"trun", 11, 1)),
      ("a sample that lasts longer", "P01", V + "00001.m4s", sample(3, "duration", 1)),
      ("a sample that is larger", "STRUCTURE", V + "00001.m4s", sample(0, "size", 1)),
      ("a composition time that goes up", "P09", V + "00002.m4s", sample(2, "cts", 90000)),
      ("a picture that is no sync sample any more", "P04", V + "00001.m4s", patch(b"trun", 13, 1)),
      ("tfhd without default-base-is-moof", "CMAF", V + "00001.m4s", patch(b"tfhd", 1, -2)),
      ("track number of a fragment", "CMAF", V + "00001.m4s", patch(b"tfhd", 7, 1)),
      ("sequence number that falls", "CMAF", V + "00002.m4s", patch(b"mfhd", 7, -3)),
      ("size of moof", "STRUCTURE", V + "00001.m4s", patch(b"moof", -5, 1)),
      ("mdat called otherwise", "STRUCTURE", V + "00001.m4s", patch(b"mdat", -4, 1)),
      ("an IDR picture that is none", "P04", V + "00001.m4s", patch(b"mdat", 4, -0x24)),
      ("duration in mvhd", "CMAF", V + "init.mp4", patch(b"mvhd", 19, 1)),
      ("duration in tkhd", "CMAF", V + "init.mp4", patch(b"tkhd", 23, 1)),
      ("no mvex", "CMAF", V + "init.mp4", patch(b"mvex", -1, 1)),
      ("timescale in mdhd", "P23", V + "init.mp4", patch(b"mdhd", 15, 1)),
      ("language in mdhd", "P16", A + "init.mp4", patch(b"mdhd", 21, 1)),
      ("profile in avcC", "P13", V + "init.mp4", patch(b"avcC", 1, 1)),
      ("level in avcC", "P13", V + "init.mp4", patch(b"avcC", 3, 1)),
      ("width of the sample entry", "P13", V + "init.mp4", patch(b"avc1", 25, 2)),
      ("primaries in colr", "COLOUR", V + "init.mp4", patch(b"colr", 5, 8)),
      ("range in colr", "COLOUR", V + "init.mp4", patch(b"colr", 10, 0x80)),
      ("sample rate in the ASC", "P13", A + "init.mp4", lambda d: d.replace(b"\x11\x90", b"\x12\x10")),
      ("trex of another track", "CMAF", V + "init.mp4", patch(b"trex", 7, 1)),
      ("a track that is not enabled", "CMAF", V + "init.mp4", patch(b"tkhd", 3, -1)),
      ("a track that is turned", "CMAF", V + "init.mp4", patch(b"tkhd", 45, 1)),
      ("width in tkhd", "CMAF", V + "init.mp4", patch(b"tkhd", 77, 80)),
      ("channels of the sample entry", "P13", A + "init.mp4", patch(b"mp4a", 17, 4)),
      ("sample rate of the sample entry", "P13", A + "init.mp4", patch(b"mp4a", 24, 1)),
      ("an edit list", "P07", V + "init.mp4", insert_box(EDTS, b"mdia", (b"moov", b"trak"))),
      ("a file-level udta", "CMAF", V + "init.mp4", insert_box(b"\0\0\0\x08udta", b"trak", (b"moov",))),
      ("audio that is late by 3 s", "P23", A + "00002.m4s", patch(b"tfdt", 9, 2)),
      ("segment that is a transport stream", "P20", V + "00001.m4s",
       lambda d: ((b"\x47\0\0\x10" + b"\xff" * 184) * (len(d) // 188 + 1))[:len(d)]))
edits("bytes", "ts",
      ("a counter of the PAT", "P17", T + "00001.ts", packet(0, 1, 3, 1)),
      ("a counter of the video PID", "P17", T + "00001.ts", packet(0x100, 3, 3, 1)),
      ("a counter of the second segment's first packet", "P17", T + "00002.ts", packet(0x100, 0, 3, 5)),
      ("IDR without random_access_indicator", "P17", T + "00001.ts", packet(0x100, 0, 5, -0x40)),
      ("PCR that jumps", "P18", T + "00001.ts", packet(0x100, 0, 8, 40)),
      ("CRC of the PAT", "STRUCTURE", T + "00001.ts", packet(0, 0, 9, 1)),
      ("a packet of an unknown PID", "STRUCTURE", T + "00001.ts", packet(0x101, 0, 2, 0x20)),
      ("a packet without sync byte", "STRUCTURE", T + "00001.ts", packet(0x100, 2, 0, 1)),
      ("a scrambled packet", "STRUCTURE", T + "00001.ts", packet(0x100, 4, 3, 0x80)),
      ("a PES packet of a private stream", "STRUCTURE", T + "00001.ts", lambda d: d.replace(b"\0\0\1\xe0", b"\0\0\1\xbd", 1)),
      ("no PAT", "P17", T + "00001.ts", lambda d: d[188:] + d[:188]),
      ("no PAT before a later IDR", "P17", T + "00001.ts", packet(0, 1, 2, 0x20)),
      ("PES of the first picture is late", "P01", T + "00001.ts", packet(0x100, 0, 25, 20)),
      ("level in the SPS", "P13", T + "00001.ts", lambda d: re.sub(b"(?s)(\0\0\x01\x67..).", b"\\1\x1f", d)),
      ("a segment cut off in a packet", "STRUCTURE", T + "00003.ts", lambda d: d[:-100]),
      ("an access unit delimiter that is none", "TS", T + "00001.ts",
       lambda d: d.replace(b"\0\0\0\x01\x09\xf0", b"\0\0\0\x01\x06\xf0", 1)))
edits("bytes", "packed",
      ("ID3 timestamp that is off by 2^16", "P06", "v1/ts/en-stereo/00002.aac", patch(b"stamp\0", 2 + 5, 1)),
      ("no ID3 timestamp", "STRUCTURE", "v1/ts/en-stereo/00001.aac", lambda d: d.replace(b"com.apple", b"com.appel")),
      ("an ADTS frame that is none", "STRUCTURE", "v1/ts/en-stereo/00001.aac", flip(73)),
      ("channels that change", "P13", "v1/ts/en-stereo/00002.aac", patch(b"\xff\xf1", -1, -0x40)),
      ("ID3 timestamp of more than 33 bits", "P06", "v1/ts/en-stereo/00001.aac", patch(b"stamp\0", 2, 1)))


@case("bytes", "a byte of mdat, by its CRC", "cmaf", "CRC")
def _(t):
    t.edit(V + "00001.m4s", flip(-40), False)


@case("bytes", "a byte of a single file, by its CRC", "single", "CRC")
def _(t):
    t.edit(V + "media.mp4", flip(-40), False)


@case("bytes", "a segment is missing", "cmaf", "X04")
def _(t):
    os.unlink(t.path(SMALL + "00002.m4s"))


@case("bytes", "a segment is cut off", "cmaf", "X04")
def _(t):
    t.edit(V + "00002.m4s", lambda d: d[:-7], False)


@case("bytes", "a segment is empty", "cmaf", "X04")
def _(t):
    t.write(V + "00002.m4s", b"")


@case("bytes", "an unknown file in the version folder", "cmaf", "NAMES")
def _(t):
    t.write(V + "00009.m4s", b"x")


@case("bytes", "no .vodpipe-version", "cmaf", "NAMES")
def _(t):
    os.unlink(t.path("v1/.vodpipe-version"))


@case("bytes", "two segments in each other's place", "cmaf", "P23")
def _(t):
    one, two = t.read(V + "00001.m4s"), t.read(V + "00002.m4s")
    t.write(V + "00001.m4s", two)
    t.write(V + "00002.m4s", one)
    doc = t.doc()
    a, b = t.track(doc, "180p")["segments"][:2]
    for name in ("bytes", "crc32c", "fragments"):
        a[name], b[name] = b[name], a[name]
    t.put(doc)


@case("bytes", "a segment of the other rung", "cmaf", "X04")
def _(t):
    t.edit(V + "00002.m4s", lambda d: t.read(SMALL + "00002.m4s"), False)


@case("bytes", "the init segment of the other rung", "cmaf", "P13")
def _(t):
    t.edit(V + "init.mp4", lambda d: t.read(SMALL + "init.mp4"))


@case("bytes", "sound that is cut a frame before", "cmaf", "P01")
def _(t):
    doc = t.doc()
    a, b = t.track(doc, "en-stereo")["segments"][:2]
    for s, by in ((a, -1024), (b, 1024)):
        s["ticks"] += by
        s["fragments"][0]["ticks"] += by
    b["start"] = str(int(b["start"]) - 1024)
    t.put(doc)


@case("bytes", "sound that ends a segment earlier", "cmaf", "P10", "P11")
def _(t):
    doc = t.doc()
    t.track(doc, "en-stereo")["segments"].pop()
    t.put(doc)


@case("bytes", "all sound starts late", "cmaf", "P06")
def _(t):
    doc = t.doc()
    for s in t.track(doc, "en-stereo")["segments"]:
        s["start"] = str(int(s["start"]) + 4096)
        t.edit(s["key"], patch(b"tfdt", 10, 16))
        doc2 = t.doc()
        next(x for x in t.track(doc2, "en-stereo")["segments"] if x["key"] == s["key"])["start"] = s["start"]
        t.put(doc2)


@case("bytes", "a short last segment", "cmaf", "P10")
def _(t):
    doc = t.doc()
    for name in ("180p", "96p"):
        last = t.track(doc, name)["segments"][-1]
        last["ticks"], last["fragments"][-1]["ticks"] = 36000, 36000
    t.put(doc)


@case("bytes", "IDR pictures of the rungs at other times", "cmaf", "P03")
def _(t):
    doc = t.doc()
    a, b = t.track(doc, "96p")["segments"][0]["fragments"]
    a["ticks"], b["ticks"] = a["ticks"] + 3600, b["ticks"] - 3600
    t.put(doc)


@case("bytes", "the peak in presentation.json", "cmaf", "P14")
def _(t):
    doc = t.doc()
    t.track(doc, "180p")["bandwidth"] *= 2
    t.put(doc)


@case("bytes", "the frame rate in presentation.json", "cmaf", "P13")
def _(t):
    doc = t.doc()
    t.track(doc, "180p")["frame_rate"] = "30/1"
    t.put(doc)


@case("bytes", "a language that is no tag", "cmaf", "STRUCTURE")
def _(t):
    doc = t.doc()
    t.track(doc, "en-stereo")["language"] = "english_US"
    t.put(doc)


@case("bytes", "two defaults in presentation.json", "cmaf", "P16")
def _(t):
    doc = t.doc()
    t.track(doc, "fr-stereo")["default"] = True
    t.put(doc)


@case("bytes", "bytes of an IDR picture in presentation.json", "cmaf", "P29")
def _(t):
    doc = t.doc()
    t.track(doc, "180p")["segments"][0]["fragments"][0]["idr_bytes"] -= 10
    t.put(doc)


@case("bytes", "the title's length in presentation.json", "cmaf", "P11")
def _(t):
    doc = t.doc()
    doc["duration"]["ticks"] = str(int(doc["duration"]["ticks"]) * 2)
    t.put(doc)


@case("bytes", "presentation.json cut off", "cmaf", "STRUCTURE")
def _(t):
    t.edit("presentation.json", lambda d: d[:len(d) // 2], False)


@case("bytes", "no presentation.json", "cmaf", "X04")
def _(t):
    os.unlink(t.path("presentation.json"))


@case("bytes", "a sidx that says other sizes", "single", "P19")
def _(t):
    t.edit(V + "media.mp4", patch(b"sidx", 35, 1))


@case("bytes", "a sidx that says other times", "single", "P23")
def _(t):
    t.edit(V + "media.mp4", patch(b"sidx", 39, 1))


@case("bytes", "a sidx of version 0", "single", "P24")
def _(t):
    t.edit(V + "media.mp4", patch(b"sidx", 0, -1))


@case("bytes", "a muxed segment without its sound", "ts", "P12")
def _(t):
    def change(data):
        out = bytearray(data)
        for n in range(0, len(out), 188):
            if (out[n + 1] & 31) << 8 | out[n + 2] == 0x101:
                out[n + 1], out[n + 2] = 0x1F, 0xFF
        return bytes(out)
    t.edit(T + "00002.ts", change)


@case("bytes", "an MPD of an earlier title", "ts", "S22")
def _(t):
    t.write("manifest.mpd", b"<MPD/>")


# ---- cases: manifests ----

LIST, IFRAMES, MASTER, MPD = V + "playlist.m3u8", V + "iframes.m3u8", "master.m3u8", "manifest.mpd"
subs("cmaf",
     ("EXTINF too long", "P01", LIST, "#EXTINF:2.0", "#EXTINF:2.1"),
     ("TARGETDURATION too small", "P02", LIST, "DURATION:2", "DURATION:1"),
     ("TARGETDURATION too large", "P02", LIST, "DURATION:2", "DURATION:3"),
     ("no ENDLIST", "HLS", LIST, "#EXT-X-ENDLIST\n", ""),
     ("not VOD", "HLS", LIST, ":VOD", ":EVENT"),
     ("VERSION too low", "HLS", LIST, "VERSION:6", "VERSION:4"),
     ("a segment that does not exist", "X04", LIST, "00002.m4s", "00012.m4s"),
     ("a segment left out", "X04", LIST, r"#EXTINF:2.000000,\n00002.m4s\n", ""),
     ("a segment twice", "X04", LIST, r"(#EXTINF:2.000000,\n00002.m4s\n)", r"\1\1"),
     ("a discontinuity", "P26", LIST, "00001.m4s\n", "00001.m4s\n#EXT-X-DISCONTINUITY\n"),
     ("a URI that leaves the title", "HLS", LIST, "00002.m4s", "https://example.com/x.m4s"),
     ("EXTINF without comma", "HLS", LIST, "#EXTINF:2.000000,", "#EXTINF:2.000000"),
     ("EXTINF with few decimals", "HLS", LIST, "#EXTINF:2.000000", "#EXTINF:2.00"),
     ("MAP of another rung", "X04", LIST, 'URI="init.mp4"', 'URI="../96p/init.mp4"'),
     ("no MAP", "CMAF", LIST, "#EXT-X-MAP:[^\n]*\n", ""),
     ("no EXTM3U", "HLS", LIST, "#EXTM3U\n", ""),
     ("Windows line ends", "HLS", LIST, "\n", "\r\n"),
     ("I-frame range that is short", "P29", IFRAMES, r"BYTERANGE:(\d+)\d@", r"BYTERANGE:\1@"),
     ("I-frame EXTINF", "P29", IFRAMES, "#EXTINF:1.0", "#EXTINF:1.1"),
     ("no I-FRAMES-ONLY", "P29", IFRAMES, "#EXT-X-I-FRAMES-ONLY\n", ""),
     ("BANDWIDTH too large", "P14", MASTER, ":BANDWIDTH=", ":BANDWIDTH=1"),
     ("BANDWIDTH too small", "P14", MASTER, r":BANDWIDTH=\d", ":BANDWIDTH="),
     ("AVERAGE-BANDWIDTH", "P14", MASTER, "AVERAGE-BANDWIDTH=", "AVERAGE-BANDWIDTH=1"),
     ("CODECS of another level", "P13", MASTER, r"avc1\.(....)..", r"avc1.\g<1>28"),
     ("CODECS without the sound", "P16", MASTER, ",mp4a.40.2", ""),
     ("CODECS with a stranger", "P13", MASTER, "mp4a.40.2", "mp4a.40.2,ac-3"),
     ("RESOLUTION", "P13", MASTER, "RESOLUTION=320x180", "RESOLUTION=320x178"),
     ("FRAME-RATE", "P13", MASTER, "FRAME-RATE=25.000", "FRAME-RATE=29.970"),
     ("no FRAME-RATE", "HLS", MASTER, "FRAME-RATE=25.000,", ""),
     ("VIDEO-RANGE of HDR", "COLOUR", MASTER, "FRAME-RATE=", "VIDEO-RANGE=PQ,FRAME-RATE="),
     ("no INDEPENDENT-SEGMENTS", "P04", MASTER, "#EXT-X-INDEPENDENT-SEGMENTS\n", ""),
     ("a group that does not exist", "P16", MASTER, ',AUDIO="', ',AUDIO="x'),
     ("no LANGUAGE", "P16", MASTER, 'LANGUAGE="en",', ""),
     ("LANGUAGE of another", "P16", MASTER, 'LANGUAGE="en"', 'LANGUAGE="de"'),
     ("two of one NAME", "P16", MASTER, 'NAME="French"', 'NAME="English"'),
     ("two defaults", "P16", MASTER, "DEFAULT=NO", "DEFAULT=YES"),
     ("no default", "P16", MASTER, "DEFAULT=YES", "DEFAULT=NO"),
     ("CHANNELS", "P13", MASTER, 'CHANNELS="2"', 'CHANNELS="6"'),
     ("a rung left out", "X04", MASTER, r"#EXT-X-STREAM-INF:[^\n]*\nv1/video/96p[^\n]*\n", ""),
     ("a playlist that does not exist", "X04", MASTER, "v1/video/96p/playlist", "v1/video/97p/playlist"),
     ("AUDIO in an I-frame variant", "P29", MASTER, "I-FRAME-STREAM-INF:",
      'I-FRAME-STREAM-INF:AUDIO="a",'),
     ("an I-frame variant left out", "P29", MASTER, r"#EXT-X-I-FRAME-STREAM-INF:[^\n]*\n", ""),
     ("BANDWIDTH of an I-frame variant", "P29", MASTER, "I-FRAME-STREAM-INF:BANDWIDTH=",
      "I-FRAME-STREAM-INF:BANDWIDTH=9"),
     ("MPD: longer than the media", "P22", MPD, r'PresentationDuration="[^"]*"',
      'PresentationDuration="PT9S"'),
     ("MPD: a Period that is longer", "P22", MPD, r' duration="[^"]*"', ' duration="PT5.5S"'),
     ("MPD: one segment more", "P22", MPD, ' r="1"', ' r="2"'),
     ("MPD: one segment less", "P22", MPD, '<S d="90000"/>', ""),
     ("MPD: S@d", "P22", MPD, 'd="90000"', 'd="90001"'),
     ("MPD: S@t", "P23", MPD, 't="0"', 't="90"'),
     ("MPD: startNumber", "P22", MPD, 'startNumber="1"', 'startNumber="0"'),
     ("MPD: media template", "P22", MPD, r"\$Number%05d\$", "$Number%04d$"),
     ("MPD: initialization template", "X04", MPD, r"RepresentationID\$/init.mp4", "RepresentationID$/init.m4s"),
     ("MPD: timescale", "P23", MPD, 'timescale="90000"', 'timescale="90001"'),
     ("MPD: presentationTimeOffset", "P23", MPD, "<SegmentTemplate ", '<SegmentTemplate presentationTimeOffset="7" '),
     ("MPD: no minBufferTime", "DASH", MPD, 'minBufferTime="[^"]*" ', ""),
     ("MPD: dynamic", "DASH", MPD, 'type="static"', 'type="dynamic"'),
     ("MPD: alignment not stated", "DASH", MPD, 'segmentAlignment="true" ', ""),
     ("MPD: an element that is not closed", "DASH", MPD, "</AdaptationSet>", ""),
     ("MPD: a second Period", "P26", MPD, "</Period>", '</Period><Period id="1"/>'),
     ("MPD: codecs", "P13", MPD, r"avc1\.(....)..", r"avc1.\g<1>28"),
     ("MPD: width", "P13", MPD, 'width="320"', 'width="322"'),
     ("MPD: frameRate", "P13", MPD, ' frameRate="25"', ' frameRate="24"'),
     ("MPD: audioSamplingRate", "P13", MPD, 'audioSamplingRate="48000"', 'audioSamplingRate="44100"'),
     ("MPD: lang", "P16", MPD, 'lang="fr"', 'lang="en"'),
     ("MPD: mimeType", "P20", MPD, 'mimeType="audio/mp4"', 'mimeType="audio/mpeg"'),
     ("MPD: bandwidth too small", "P14", MPD, ' bandwidth="[0-9]*"', ' bandwidth="10"'),
     ("MPD: bandwidth too large", "P14", MPD, r' bandwidth="(\d*)"', r' bandwidth="9\1"'),
     ("MPD: a Representation left out", "X04", MPD, r'<Representation id="96p"[^>]*/>', ""),
     ("MPD: a language left out", "X04", MPD, r'(?s)<AdaptationSet id="2".*?</AdaptationSet>', ""),
     ("MPD: two sets of the role main", "P16", MPD, 'value="alternate"', 'value="main"'))
subs("single",
     ("a byte range without offset", "P19", LIST, r"BYTERANGE:(\d+)@\d+", r"BYTERANGE:\1"),
     ("BYTERANGE before EXTINF", "P19", LIST, r"(#EXTINF.*\n)(#EXT-X-BYTERANGE.*\n)", r"\2\1"),
     ("a byte range that is off by one", "P19", LIST, r"BYTERANGE:(\d+)@(\d+)\n", r"BYTERANGE:\1@1\2\n"),
     ("no byte range", "P19", LIST, r"#EXT-X-BYTERANGE:[^\n]*\n", ""),
     ("byte range of the MAP", "P19", LIST, r'BYTERANGE="(\d+)@', r'BYTERANGE="1\1@'),
     ("MAP without byte range", "P19", LIST, r',BYTERANGE="[^"]*"', ""),
     ("MPD: indexRange", "P19", MPD, r'indexRange="(\d+)-(\d+)"', r'indexRange="\1-1\2"'),
     ("MPD: range of the init segment", "P19", MPD, r'Initialization range="0-', 'Initialization range="1-'),
     ("MPD: BaseURL", "X04", MPD, "180p/media.mp4", "180p/nedia.mp4"),
     ("MPD: no SegmentBase", "DASH", MPD, r"(?s)<SegmentBase.*?</SegmentBase>", ""))
subs("packed",
     ("an audio playlist's EXTINF", "P01", "v1/ts/en-stereo/playlist.m3u8", r"#EXTINF:2\.", "#EXTINF:1."),
     ("a master without one language", "X04", MASTER, r"#EXT-X-MEDIA:[^\n]*fr-stereo[^\n]*\n", ""))


@case("texts", "no I-frame playlist", "cmaf", "X04")
def _(t):
    os.unlink(t.path(IFRAMES))


@case("texts", "no MPD", "cmaf", "X04")
def _(t):
    os.unlink(t.path(MPD))


@case("texts", "no master", "cmaf", "X04")
def _(t):
    os.unlink(t.path(MASTER))


@case("texts", "the playlist of the other rung", "cmaf", "P29")
def _(t):
    shutil.copy(t.path(SMALL + "iframes.m3u8"), t.path(IFRAMES))


@case("texts", "one word of an EXT-X-MEDIA that no rule reads", "cmaf", "MANIFEST")
def _(t):
    t.sub(MASTER, 'NAME="French"', 'NAME="Francais"')


# ---- cases: what only decoding shows ----

def garble(at, n, behind=b"mdat"):
    """Other bytes, but none that end a NAL unit."""
    def change(data):
        out = bytearray(data)
        start = out.index(behind) + at
        for i in range(start, min(start + n, len(out))):
            out[i] = (out[i] ^ 0x5a) | 0x10
        return bytes(out)
    return change


edits("decode", "cmaf",
      ("slices of a segment", "P04", V + "00002.m4s", garble(200, 600)),
      ("an IDR picture", "P29", SMALL + "00003.m4s", garble(60, 400)),
      ("frames of sound", "P04", A + "00002.m4s", garble(100, 4000)))
edits("decode", "single", ("slices in a single file", "P04", V + "media.mp4", garble(300, 600)))


@case("decode", "slices of a transport stream", "ts", "P04")
def _(t):
    def change(data):
        out = bytearray(data)
        picture = [n for n in range(0, len(out), 188) if (out[n + 1] & 31) << 8 | out[n + 2] == 0x100]
        for n in picture[len(picture) // 2:][:4]:
            for i in range(n + 40, n + 188):
                out[i] = (out[i] ^ 0x5a) | 0x10
        return bytes(out)
    t.edit(T + "00001.ts", change)
