# SPDX-License-Identifier: LGPL-2.1-or-later
"""More ways to damage a good title: see verify_cases.py."""
import re

from verify_cases import (A, CASES, IFRAMES, LIST, MASTER, MPD, SMALL, T, V, case, edits, insert_box, packet, patch, sample,
                          subs)

F = "v1/audio/fr-stereo/"


def swapped(a, b):
    """Two strings in each other's place, everywhere."""
    def change(data):
        return data.replace(a, b"\0\1").replace(b, a).replace(b"\0\1", b)
    return change


def lines(*order):
    """The URI lines of a media playlist in another order."""
    def change(data):
        names = re.findall(rb"^[^#\n]+$", data, re.M)
        it = iter(names[n] for n in order)
        return re.sub(rb"^[^#\n]+$", lambda _: next(it), data, flags=re.M)
    return change


def texts(title, *rows):
    for name, rule, path, change in rows:
        case("texts", name, title, *rule.split())(lambda t, p=path, c=change: t.edit(p, c, False))


# ---- playlists ----

texts("cmaf",
      ("two segments in each other's place in a playlist", "X04", LIST, lines(1, 0, 2)),
      ("two rungs in each other's place", "P13", MASTER, swapped(b"video/180p/playlist", b"video/96p/playlist")),
      ("two languages in each other's place", "P16", MASTER, swapped(b"en-stereo/pl", b"fr-stereo/pl")),
      ("I-frame playlists in each other's place", "P29", MASTER, swapped(b"180p/iframes", b"96p/iframes")))
subs("cmaf",
     ("an I-frame entry left out", "P29", IFRAMES, r"#EXTINF:1.000000,\n#EXT-X-BYTERANGE:[^\n]*\n00002.m4s\n", ""),
     ("an I-frame entry of another segment", "X04", IFRAMES, r"(@[1-9]\d{4,}\n)00001", r"\g<1>00002"),
     ("EXT-X-MEDIA-SEQUENCE", "MANIFEST", LIST, "SEQUENCE:1", "SEQUENCE:7"),
     ("a key for clear segments", "HLS", LIST, "#EXT-X-MAP", '#EXT-X-KEY:METHOD=AES-128,URI="k"\n#EXT-X-MAP'),
     ("a start in the middle", "MANIFEST", LIST, "#EXT-X-MAP", "#EXT-X-START:TIME-OFFSET=3\n#EXT-X-MAP"),
     ("a gap", "HLS", LIST, "00002.m4s", "#EXT-X-GAP\n00002.m4s"),
     ("a second MAP", "HLS", LIST, "(#EXTINF:2.000000,\n00002)", r'#EXT-X-MAP:URI="../96p/init.mp4"\n\1'),
     ("a byte range of a whole segment", "P19", LIST, "(00002.m4s)", r"#EXT-X-BYTERANGE:1000@0\n\1"),
     ("one more word behind ENDLIST", "MANIFEST", LIST, "ENDLIST\n", "ENDLIST\n# the end\n"),
     ("EXT-X-VERSION of the master twice", "HLS", MASTER, "(#EXT-X-VERSION:6\n)", r"\1\1"),
     ("no CLOSED-CAPTIONS", "MANIFEST", MASTER, ",CLOSED-CAPTIONS=NONE", ""),
     ("a rung twice", "X04", MASTER, "video/96p/playlist", "video/180p/playlist"),
     ("CODECS of an I-frame variant", "P29", MASTER, r'(I-FRAME[^\n]*CODECS="avc1.)6400', r"\g<1>4d40"),
     ("RESOLUTION of an I-frame variant", "P29", MASTER, r"(I-FRAME[^\n]*RESOLUTION=)320x180", r"\g<1>640x360"),
     ("no AUTOSELECT", "MANIFEST", MASTER, "AUTOSELECT=YES,", ""),
     ("a rung that needs HDCP", "MANIFEST", MASTER, "FRAME-RATE=", "HDCP-LEVEL=TYPE-1,FRAME-RATE="),
     ("a quoted number", "HLS", MASTER, r"BANDWIDTH=(\d+)", r'BANDWIDTH="\1"'),
     ("an attribute twice", "HLS", MASTER, r"(FRAME-RATE=25.000,)", r"\1\1"))

# ---- MPD ----

subs("cmaf",
     ("MPD: par", "P13", MPD, 'par="16:9"', 'par="4:3"'),
     ("MPD: sar", "P13", MPD, 'sar="1:1"', 'sar="4:3"'),
     ("MPD: maxWidth too small", "P13", MPD, 'maxWidth="320"', 'maxWidth="160"'),
     ("MPD: profile", "DASH", MPD, "isoff-live", "isoff-on-demand"),
     ("MPD: an id twice", "DASH", MPD, '<Representation id="96p"', '<Representation id="180p"'),
     ("MPD: channels", "P13", MPD, r'(ChannelConfiguration" value=)"2"', r'\1"6"'),
     ("MPD: a Period that starts later", "P06", MPD, 'start="PT0S"', 'start="PT1S"'),
     ("MPD: a BaseURL of another host", "X04", MPD, "<Period ", "<BaseURL>https://example.com/</BaseURL><Period "),
     ("MPD: contentType", "DASH", MPD, 'contentType="audio"', 'contentType="video"'),
     ("MPD: startWithSAP", "DASH", MPD, 'startWithSAP="1"', 'startWithSAP="3"'),
     ("MPD: minBufferTime of a moment", "P14", MPD, 'minBufferTime="[^"]*"', 'minBufferTime="PT0.01S"'),
     ("MPD: a segment that repeats to the end", "P22", MPD, 'd="180000" r="1"', 'd="180000" r="-1"'),
     ("MPD: a label of another", "MANIFEST", MPD, "<Label>French", "<Label>German"),
     ("MPD: an essential property that nobody knows", "DASH", MPD, "<Role ", '<EssentialProperty schemeIdUri="urn:x"/><Role '),
     ("MPD: namespace", "DASH", MPD, "schema:mpd:2011", "schema:mpd:2099"))

# ---- presentation.json ----


def field(track, name, value):
    def change(t):
        doc = t.doc()
        t.track(doc, track)[name] = value
        t.put(doc)
    return change


for _name, _rule, _track, _field, _value in (
        ("the size of pictures", "P13", "180p", "width", 640),
        ("the transfer characteristics", "COLOUR", "180p", "transfer", 16),
        ("the number of channels", "P13", "en-stereo", "channels", 6),
        ("the sample rate", "P13", "en-stereo", "sample_rate", 44100),
        ("the codec of sound", "P13", "en-stereo", "codecs", "mp4a.40.5"),
        ("the group of sound", "MANIFEST", "fr-stereo", "group", "mono"),
        ("a name", "STRUCTURE", "96p", "name", "180p"),
        ("a label", "MANIFEST", "fr-stereo", "label", "English"),
        ("a container", "P20", "96p", "container", "ts"),
        ("the shape of pixels", "P13", "180p", "sar", "4:3")):
    case("bytes", "in presentation.json: " + _name, "cmaf", _rule)(field(_track, _field, _value))


@case("bytes", "in presentation.json: a field that nobody knows", "cmaf", "STRUCTURE")
def _(t):
    doc = t.doc()
    doc["colour"] = "red"
    t.put(doc)


@case("bytes", "in presentation.json: another version", "cmaf", "S22")
def _(t):
    doc = t.doc()
    doc["version"] = "v2"
    t.put(doc)


@case("bytes", "in presentation.json: a rung left out", "cmaf", "X04")
def _(t):
    doc = t.doc()
    doc["tracks"] = [x for x in doc["tracks"] if x["name"] != "96p"]
    t.put(doc)


# ---- boxes ----

edits("bytes", "cmaf",
      ("colr without its SPS", "COLOUR", V + "init.mp4", patch(b"colr", 9, 4)),
      ("pasp of 4:3", "P13", V + "init.mp4", patch(b"pasp", 3, 3)),
      ("handler of sound", "STRUCTURE", V + "init.mp4", lambda d: d.replace(b"vide", b"soun")),
      ("data reference", "CMAF", V + "init.mp4", patch(b"avc1", 7, 1)),
      ("a data reference that lies elsewhere", "CMAF", V + "init.mp4", patch(b"url ", 3, -1)),
      ("no sample description", "STRUCTURE", V + "init.mp4", patch(b"stsd", 7, -1)),
      ("two sample descriptions", "CMAF", V + "init.mp4", patch(b"stsd", 7, 1)),
      ("another kind of object in esds", "P13", A + "init.mp4", lambda d: d.replace(b"\x40\x15", b"\x6b\x15")),
      ("media header of sound", "CMAF", V + "init.mp4", lambda d: d.replace(b"vmhd", b"smhd")),
      ("another brand", "CMAF", V + "init.mp4", lambda d: d.replace(b"cmfc", b"mp41").replace(b"cmf2", b"mp42")),
      ("lengths of NAL units", "STRUCTURE", V + "init.mp4", patch(b"avcC", 4, -2)),
      ("trex of another description", "CMAF", V + "init.mp4", patch(b"trex", 11, 1)),
      ("a fragment of another description", "CMAF", V + "00001.m4s",
       lambda d: d.replace(b"tfhd\0\x02\0", b"tfhd\0\x03\0")),
      ("a box behind the last fragment", "STRUCTURE", V + "00002.m4s", lambda d: d + b"\0\0\0\x10free" + b"\0" * 8),
      ("no styp but an ftyp", "STRUCTURE", V + "00001.m4s", lambda d: d.replace(b"styp", b"ftyp", 1)),
      ("a segment that ends a fragment early", "STRUCTURE", V + "00001.m4s", lambda d: d[:d.index(b"moof", 100) - 4]),
      ("a segment with another behind it", "P19", V + "00003.m4s", lambda d: d + d[28:]),
      ("composition times that are all later", "P07", V + "00001.m4s", lambda d: later(d)),
      ("two samples in each other's place", "P04", V + "00001.m4s", lambda d: exchange(d)))
edits("bytes", "single",
      ("a sidx of other sidx boxes", "DASH", V + "media.mp4", patch(b"sidx", 32, 0x80)),
      ("a sidx without SAP", "DASH", V + "media.mp4", patch(b"sidx", 40, -0x80)),
      ("a sidx of another timescale", "P23", V + "media.mp4", patch(b"sidx", 11, 1)),
      ("a sidx that begins later", "P19", V + "media.mp4", patch(b"sidx", 27, 8)))


def run_of(data):
    """(offset of the first entry, entry size, fields, count) of the first trun."""
    at = data.index(b"trun") + 4
    flags = int.from_bytes(data[at:at + 4], "big")
    names = [x for n, x in enumerate(("duration", "size", "flags", "cts")) if flags & 0x100 << n]
    count = int.from_bytes(data[at + 4:at + 8], "big")
    return at + 8 + 4 * bool(flags & 1) + 4 * bool(flags & 4), 4 * len(names), names, count


def later(data):
    at, size, names, count = run_of(data)
    for n in range(count):
        data = sample(n, "cts", 3600)(data)
    return data


def exchange(data):
    """The first two samples, with their sizes, but not their times."""
    at, size, names, count = run_of(data)
    place = at + 4 * names.index("size")
    a, b = (int.from_bytes(data[place + size * n:place + size * n + 4], "big") for n in (0, 1))
    start = data.index(b"mdat") + 4
    return (data[:place] + b.to_bytes(4, "big") + data[place + 4:place + size] + a.to_bytes(4, "big")
            + data[place + size + 4:start] + data[start + a:start + a + b] + data[start:start + a] + data[start + a + b:])


# ---- transport streams ----

def pmt(change):
    def edit(data):
        out = bytearray(data)
        for n in range(0, len(out), 188):
            if (out[n + 1] & 31) << 8 | out[n + 2] == 0x1000:
                change(out, n + 5)
                size = (out[n + 6] & 15) << 8 | out[n + 7]
                out[n + 5 + size + 3 - 4:n + 5 + size + 3] = crc_mpeg(out[n + 5:n + 5 + size - 1]).to_bytes(4, "big")
        return bytes(out)
    return edit


def crc_mpeg(data):
    crc = 0xffffffff
    for x in data:
        crc ^= x << 24
        for _ in range(8):
            crc = (crc << 1 ^ (0x04c11db7 if crc & 0x80000000 else 0)) & 0xffffffff
    return crc


def stream_type(out, at):
    out[at + 12] = 0x24


def pcr_pid(out, at):
    out[at + 9] = 1


def packets_of(pid, data):
    return [n for n in range(0, len(data), 188) if (data[n + 1] & 31) << 8 | data[n + 2] == pid]


def times(pid, by, first, last):
    """PTS (and DTS) of the PES packets first to last of a PID, later by 90 kHz ticks."""
    def change(data):
        out, count = bytearray(data), 0
        for n in packets_of(pid, data):
            if not out[n + 1] & 0x40:
                continue
            at = n + 4 + (1 + out[n + 4] if out[n + 3] & 0x20 else 0)
            if first <= count < last:
                for k in range(2 if out[at + 7] & 0x40 else 1):
                    p = at + 9 + 5 * k
                    v = (out[p] >> 1 & 7) << 30 | out[p + 1] << 22 | (out[p + 2] >> 1) << 15 | out[p + 3] << 7 | out[p + 4] >> 1
                    v += by
                    out[p:p + 5] = (out[p] & 0xF1 | v >> 29 & 14, v >> 22 & 255, v >> 14 & 254 | 1, v >> 7 & 255, v << 1 & 254 | 1)
            count += 1
        return bytes(out)
    return change


def without(pid, nth):
    def change(data):
        out, n = bytearray(data), packets_of(pid, data)[nth]
        out[n + 1:n + 3] = b"\x1f\xff"
        return bytes(out)
    return change


def doubled(pid, nth):
    def change(data):
        n = packets_of(pid, data)[nth]
        return data[:n] + data[n:n + 188] + data[n:]
    return change


edits("bytes", "ts",
      ("PMT: another kind of stream", "TS", T + "00001.ts", pmt(stream_type)),
      ("PMT: PCR on the PID of the sound", "P18", T + "00001.ts", pmt(pcr_pid)),
      ("a packet with an error", "STRUCTURE", T + "00001.ts", packet(0x100, 5, 1, 0x80)),
      ("a packet is missing", "P17", T + "00001.ts", without(0x100, 7)),
      ("a packet comes twice", "P17", T + "00001.ts", doubled(0x100, 7)),
      ("sound 50 ms later from the middle on", "P05", T + "00002.ts", times(0x101, 4500, 3, 999)),
      ("a picture a frame later", "P09", T + "00001.ts", times(0x100, 3600, 8, 9)),
      ("a discontinuity is told", "P17", T + "00002.ts", packet(0x100, 0, 5, 0x80)),
      ("the sound's PES packets called video", "STRUCTURE", T + "00001.ts", lambda d: d.replace(b"\0\0\1\xc0", b"\0\0\1\xe0", 1)),
      ("the PAT names another PMT", "STRUCTURE", T + "00001.ts", lambda d: d.replace(b"\x47\x50\x00", b"\x47\x50\x01")))
