#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Parsers for checker.py: H.264 parameter sets, ISO-BMFF, MPEG-TS, ADTS, codec strings, CRC32C.

Written from the standards alone and sharing no code with the library, so that a misreading there shows up here.
A file that breaks a syntax rule raises Broken.
"""
import socket
import struct
from fractions import Fraction


class Broken(Exception):
    """The bytes are not what the format demands."""


# ---- CRC32C ----

def _crc_table():
    table = []
    for n in range(256):
        c = n
        for _ in range(8):
            c = (c >> 1) ^ (0x82F63B78 if c & 1 else 0)
        table.append(c)
    return table


_CRC = _crc_table()
# Two bytes a step: the table of the low byte runs through the table once more.
_CRC16 = None
_KERNEL = None


def _crc_slow(data):
    global _CRC16
    if _CRC16 is None:
        _CRC16 = [_CRC[(_CRC[n & 255] ^ (n >> 8)) & 255] ^ (_CRC[n & 255] >> 8) for n in range(65536)]
    crc, t16 = 0xFFFFFFFF, _CRC16
    for v in memoryview(data[:len(data) & ~1]).cast("H"):
        crc = t16[(crc ^ v) & 0xFFFF] ^ (crc >> 16)
    if len(data) & 1:
        crc = _CRC[(crc ^ data[-1]) & 255] ^ (crc >> 8)
    return crc ^ 0xFFFFFFFF


def _crc_kernel(data):
    with socket.socket(socket.AF_ALG, socket.SOCK_SEQPACKET, 0) as s:
        s.bind(("hash", "crc32c"))
        op, _ = s.accept()
        with op:
            view = memoryview(data)
            while len(view) > 65536:
                op.send(view[:65536], socket.MSG_MORE)
                view = view[65536:]
            op.send(view)
            return struct.unpack("<I", op.recv(4))[0]


def crc32c(data):
    """CRC32C of bytes; by the kernel where it offers that, else by a table."""
    global _KERNEL
    data = bytes(data)
    if _KERNEL is None:
        try:
            _KERNEL = _crc_kernel(b"123456789") == 0xE3069283
        except (OSError, AttributeError, struct.error):
            _KERNEL = False
    if _KERNEL and data:
        try:
            return _crc_kernel(data)
        except OSError:
            _KERNEL = False
    return _crc_slow(data)


# ---- H.264 ----

def unescape(nal):
    return nal.replace(b"\0\0\3", b"\0\0") if b"\0\0\3" in nal else nal


class Bits:
    def __init__(self, data):
        self.value = int.from_bytes(data, "big")
        self.left = len(data) * 8

    def u(self, n):
        if n > self.left:
            raise Broken("bit stream too short")
        self.left -= n
        return (self.value >> self.left) & ((1 << n) - 1)

    def ue(self):
        zeros = 0
        while self.u(1) == 0:
            zeros += 1
            if zeros > 32:
                raise Broken("Exp-Golomb code too long")
        return (1 << zeros) - 1 + self.u(zeros)

    def se(self):
        v = self.ue()
        return (v + 1) // 2 if v & 1 else -(v // 2)


def h264_sps(nal):
    """Profile, constraints, level, size after cropping, colour of a sequence parameter set (7.3.2.1.1)."""
    b = Bits(unescape(nal[1:]))
    out = {"profile": b.u(8), "constraints": b.u(8), "level": b.u(8)}
    b.ue()
    chroma = 1
    if out["profile"] in (100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135):
        chroma = b.ue()
        if chroma == 3:
            b.u(1)
        out["depth"] = 8 + b.ue()
        b.ue()
        b.u(1)
        if b.u(1):
            for i in range(12 if chroma == 3 else 8):
                if b.u(1):
                    last = following = 8
                    for _ in range(16 if i < 6 else 64):
                        if following:
                            following = (last + b.se()) & 255
                        last = following or last
    b.ue()
    poc = b.ue()
    if poc == 0:
        b.ue()
    elif poc == 1:
        b.u(1)
        b.se()
        b.se()
        for _ in range(b.ue()):
            b.se()
    out["refs"] = b.ue()
    b.u(1)
    mb_w, map_h = b.ue() + 1, b.ue() + 1
    frame_only = b.u(1)
    if not frame_only:
        b.u(1)
    b.u(1)
    crop = [0, 0, 0, 0]
    if b.u(1):
        crop = [b.ue() for _ in range(4)]
    cw = 2 if chroma in (1, 2) else 1
    ch = (2 if chroma == 1 else 1) * (2 - frame_only)
    mb_h = map_h * (2 - frame_only)
    out["mbs"] = mb_w * mb_h
    out["width"] = mb_w * 16 - cw * (crop[0] + crop[1])
    out["height"] = mb_h * 16 - ch * (crop[2] + crop[3])
    out["chroma"] = chroma
    if b.u(1):
        if b.u(1):
            idc = b.u(8)
            out["sar"] = (b.u(16), b.u(16)) if idc == 255 else SHAPES[idc] if idc < len(SHAPES) else (1, 1)
        if b.u(1):
            b.u(1)
        if b.u(1):
            b.u(3)
            out["full_range"] = b.u(1)
            if b.u(1):
                out["colour"] = (b.u(8), b.u(8), b.u(8))
    return out


# Table A-1: level_idc -> (MaxMBPS, MaxFS)
# ITU-T H.264 table E-1.
SHAPES = [(1, 1), (1, 1), (12, 11), (10, 11), (16, 11), (40, 33), (24, 11), (20, 11), (32, 11), (80, 33), (18, 11),
          (15, 11), (64, 33), (160, 99), (4, 3), (3, 2), (2, 1)]
H264_LEVELS = {10: (1485, 99), 9: (1485, 99), 11: (3000, 396), 12: (6000, 396), 13: (11880, 396), 20: (11880, 396),
               21: (19800, 792), 22: (20250, 1620), 30: (40500, 1620), 31: (108000, 3600), 32: (216000, 5120),
               40: (245760, 8192), 41: (245760, 8192), 42: (522240, 8704), 50: (589824, 22080),
               51: (983040, 36864), 52: (2073600, 36864), 60: (4177920, 139264), 61: (8355840, 139264),
               62: (16711680, 139264)}


def annexb(data):
    """NAL units between start codes."""
    out, at = [], data.find(b"\0\0\1")
    while at >= 0:
        end = data.find(b"\0\0\1", at + 3)
        nal = data[at + 3:end if end >= 0 else len(data)].rstrip(b"\0")
        if nal:
            out.append(nal)
        at = end
    return out


def length_prefixed(data, size):
    out, at = [], 0
    while at < len(data):
        n = int.from_bytes(data[at:at + size], "big")
        at += size
        if at + n > len(data) or n == 0:
            raise Broken("NAL length reaches past the sample")
        out.append(data[at:at + n])
        at += n
    return out


def nal_type(codec, nal):
    return (nal[0] >> 1) & 63 if codec == "hevc" else nal[0] & 31


def is_idr(codec, types):
    if codec == "hevc":
        return any(t in (19, 20) for t in types)
    return 5 in types


# ---- AAC ----

AAC_RATES = [96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350]


def asc(data):
    b = Bits(data)

    def aot():
        v = b.u(5)
        return 32 + b.u(6) if v == 31 else v

    def rate():
        i = b.u(4)
        if i == 15:
            return b.u(24)
        if i >= len(AAC_RATES):
            raise Broken("AAC sample rate index %d" % i)
        return AAC_RATES[i]
    kind = aot()
    out = {"aot": kind, "rate": rate(), "config": b.u(4)}
    if kind in (5, 29):
        out["ext_rate"] = rate()
        out["core"] = aot()
    out["channels"] = {7: 8}.get(out["config"], out["config"])
    if out.get("core", kind) not in (1, 2, 3, 4):
        return out
    b.u(1)
    if b.u(1):
        b.u(14)
    b.u(1)
    if out["config"] == 0:
        out["channels"] = program_config(b)
    if kind not in (5, 29) and b.left >= 17 and b.u(11) == 0x2B7 and aot() == 5 and b.u(1):
        out["ext_rate"], out["aot"] = rate(), 5
        if b.left >= 12 and b.u(11) == 0x548 and b.u(1):
            out["aot"] = 29
    if out["aot"] == 29 and out["channels"] == 1:
        out["channels"] = 2
    return out


def program_config(b):
    """Channels of a program_config_element (ISO/IEC 14496-3 4.4.1.1) in an ASC."""
    b.u(10)
    speakers, lfe, data, coupling = b.u(4) + b.u(4) + b.u(4), b.u(2), b.u(3), b.u(4)
    for width in (4, 4, 3):
        if b.u(1):
            b.u(width)
    channels = lfe
    for _ in range(speakers):
        channels += 1 + b.u(1)
        b.u(4)
    b.u(4 * lfe + 4 * data + 5 * coupling)
    b.u(b.left % 8)
    b.u(8 * b.u(8))
    return channels


def adts_frames(data):
    """(config, payload size) of each ADTS frame; the frames must fill data exactly."""
    out, at = [], 0
    while at < len(data):
        h = data[at:at + 7]
        if len(h) < 7 or h[0] != 0xFF or (h[1] & 0xF6) != 0xF0:
            raise Broken("no ADTS header at %d" % at)
        size = ((h[3] & 3) << 11) | (h[4] << 3) | (h[5] >> 5)
        if size < 7 or at + size > len(data):
            raise Broken("ADTS frame at %d reaches past the end" % at)
        index = (h[2] >> 2) & 15
        if index >= len(AAC_RATES):
            raise Broken("ADTS sample rate index")
        out.append({"aot": (h[2] >> 6) + 1, "rate": AAC_RATES[index],
                    "channels": {7: 8}.get(((h[2] & 1) << 2) | (h[3] >> 6), ((h[2] & 1) << 2) | (h[3] >> 6)),
                    "size": size, "blocks": (h[6] & 3) + 1})
        at += size
    return out


# ---- ISO base media file format ----

class Box:
    def __init__(self, kind, at, size, data):
        self.kind, self.at, self.size, self.data = kind, at, size, data

    def children(self, skip=0):
        return boxes(self.data[skip:], 0)

    def all(self, kind, skip=0):
        return [c for c in self.children(skip) if c.kind == kind]

    def one(self, kind, skip=0):
        found = self.all(kind, skip)
        if len(found) != 1:
            raise Broken("%s holds %d %s boxes, not 1" % (self.kind, len(found), kind))
        return found[0]

    def full(self):
        if len(self.data) < 4:
            raise Broken("%s is too short" % self.kind)
        return self.data[0], int.from_bytes(self.data[1:4], "big"), self.data[4:]


def boxes(data, base=0):
    out, at = [], 0
    while at < len(data):
        if at + 8 > len(data):
            raise Broken("%d stray bytes after the last box" % (len(data) - at))
        size, kind = struct.unpack_from(">I4s", data, at)
        head = 8
        if size == 1:
            if at + 16 > len(data):
                raise Broken("large box header cut off")
            size, head = struct.unpack_from(">Q", data, at + 8)[0], 16
        elif size == 0:
            size = len(data) - at
        name = kind.decode("latin-1")
        if size < head or at + size > len(data):
            raise Broken("box %r at %d has size %d, %d are left" % (name, base + at, size, len(data) - at))
        out.append(Box(name, base + at, size, data[at + head:at + size]))
        at += size
    return out


def descriptor(data, at):
    """MPEG-4 descriptor at: tag, payload, next position (ISO/IEC 14496-1 8.3.3)."""
    if at + 2 > len(data):
        raise Broken("descriptor cut off")
    tag, n, at = data[at], 0, at + 1
    while True:
        byte = data[at]
        n, at = (n << 7) | (byte & 127), at + 1
        if not byte & 128:
            break
    if at + n > len(data):
        raise Broken("descriptor reaches past its box")
    return tag, data[at:at + n], at + n


def esds_asc(data):
    tag, es, _ = descriptor(data, 0)
    if tag != 3:
        raise Broken("esds holds no ES descriptor")
    flags, at = es[2], 3
    at += (2 if flags & 0x80 else 0) + (1 + es[3] if flags & 0x40 else 0) + (2 if flags & 0x20 else 0)
    while at < len(es):
        tag, config, at = descriptor(es, at)
        if tag == 4:
            if config[0] != 0x40:
                raise Broken("esds object type 0x%02x, not AAC" % config[0])
            sub = 13
            while sub < len(config):
                tag, info, sub = descriptor(config, sub)
                if tag == 5:
                    return info
    raise Broken("esds holds no AudioSpecificConfig")


def parse_init(data):
    """Everything that the rules look at in an init segment. Lists of names where order matters."""
    top = boxes(data)
    out = {"top": [b.kind for b in top]}
    ftyp = next((b for b in top if b.kind == "ftyp"), None)
    if ftyp is None or len(ftyp.data) < 8:
        raise Broken("no ftyp")
    out["major"] = ftyp.data[:4].decode("latin-1")
    out["brands"] = [ftyp.data[i:i + 4].decode("latin-1") for i in range(8, len(ftyp.data) - 3, 4)]
    moov = [b for b in top if b.kind == "moov"]
    if len(moov) != 1:
        raise Broken("%d moov boxes" % len(moov))
    moov = moov[0]
    out["moov"] = [b.kind for b in moov.children()]
    v, _, d = moov.one("mvhd").full()
    out["movie_scale"], out["mvhd_duration"] = struct.unpack_from(">IQ" if v else ">II", d, 16 if v else 8)
    traks = moov.all("trak")
    out["traks"] = len(traks)
    trak = traks[0] if traks else None
    if trak is None:
        raise Broken("no trak")
    out["trak"] = [b.kind for b in trak.children()]
    out["elst"] = any(e.all("elst") for t in traks for e in t.all("edts"))
    v, flags, d = trak.one("tkhd").full()
    out["track_id"] = struct.unpack_from(">I", d, 16 if v else 8)[0]
    out["tkhd_duration"] = struct.unpack_from(">Q" if v else ">I", d, 24 if v else 16)[0]
    out["tkhd_width"], out["tkhd_height"] = (x / 65536 for x in struct.unpack_from(">II", d, len(d) - 8))
    mdia = trak.one("mdia")
    v, _, d = mdia.one("mdhd").full()
    out["timescale"], out["mdhd_duration"] = struct.unpack_from(">IQ" if v else ">II", d, 16 if v else 8)
    out["handler"] = mdia.one("hdlr").full()[2][4:8].decode("latin-1")
    stbl = mdia.one("minf").one("stbl")
    counts = 0
    for kind in ("stts", "stsc", "stco", "co64", "ctts"):
        for b in stbl.all(kind):
            counts += struct.unpack_from(">I", b.full()[2])[0]
    for b in stbl.all("stsz"):
        counts += struct.unpack_from(">I", b.full()[2], 4)[0]
    out["samples"] = counts
    out["stbl"] = [b.kind for b in stbl.children()]
    stsd = stbl.one("stsd").full()[2]
    entries = boxes(stsd[4:])
    if struct.unpack_from(">I", stsd)[0] != 1 or len(entries) != 1:
        raise Broken("stsd holds %d sample entries" % len(entries))
    e = entries[0]
    out["entry"] = e.kind
    out["children"] = []
    if out["handler"] == "vide":
        out["width"], out["height"] = struct.unpack_from(">HH", e.data, 24)
        kids = boxes(e.data[78:])
    elif out["handler"] == "soun":
        out["channels"] = struct.unpack_from(">H", e.data, 16)[0]
        out["rate"] = struct.unpack_from(">I", e.data, 24)[0] >> 16
        out["bits"] = struct.unpack_from(">H", e.data, 18)[0]
        kids = boxes(e.data[28:])
    else:
        kids = []
    out["children"] = [k.kind for k in kids]
    for k in kids:
        if k.kind in ("avcC", "hvcC", "av1C", "dac3", "dec3"):
            out["config"], out["config_box"] = k.data, k.kind
        elif k.kind in ("vpcC", "dOps", "dfLa"):
            out["config"], out["config_box"] = (k.data[4:] if k.kind != "dOps" else k.data), k.kind
        elif k.kind == "esds":
            out["config"], out["config_box"] = esds_asc(k.full()[2]), "esds"
        elif k.kind == "colr":
            out["colr"] = (k.data[:4].decode("latin-1"),) + (struct.unpack_from(">HHH", k.data, 4)
                                                          if k.data[:4] == b"nclx" else ())
        elif k.kind == "pasp":
            out["pasp"] = struct.unpack_from(">II", k.data)
    mvex = moov.all("mvex")
    out["mvex"] = len(mvex)
    out["trex"] = {}
    if mvex:
        for t in mvex[0].all("trex"):
            out["trex"][struct.unpack_from(">I", t.data, 4)[0]] = struct.unpack_from(">IIII", t.data, 8)
    return out


def avcc(data):
    """length size, SPS list, PPS list of an AVCDecoderConfigurationRecord."""
    if len(data) < 7 or data[0] != 1:
        raise Broken("bad avcC")
    out, at = [[], []], 6
    n = data[5] & 31
    for which in (0, 1):
        if which == 1:
            n, at = data[at], at + 1
        for _ in range(n):
            size = struct.unpack_from(">H", data, at)[0]
            out[which].append(data[at + 2:at + 2 + size])
            if len(out[which][-1]) != size or size == 0:
                raise Broken("parameter set reaches past avcC")
            at += 2 + size
    return (data[4] & 3) + 1, out[0], out[1]


def hvcc_sets(data):
    if len(data) < 23:
        raise Broken("bad hvcC")
    out, at = [], 23
    for _ in range(data[22]):
        n = struct.unpack_from(">H", data, at + 1)[0]
        at += 3
        for _ in range(n):
            size = struct.unpack_from(">H", data, at)[0]
            out.append(data[at + 2:at + 2 + size])
            at += 2 + size
    return (data[21] & 3) + 1, out


def codec_string(init):
    """RFC 6381 string that the sample entry's configuration gives."""
    kind, entry, c = init.get("config_box"), init["entry"], init.get("config")
    if kind == "avcC":
        return "%s.%02x%02x%02x" % (entry, c[1], c[2], c[3])
    if kind == "hvcC":
        space = ["", "A", "B", "C"][c[1] >> 6]
        compat = int("{:032b}".format(struct.unpack_from(">I", c, 2)[0])[::-1], 2)
        text = "%s.%s%d.%X.%s%d" % (entry, space, c[1] & 31, compat, "H" if c[1] & 32 else "L", c[12])
        rest = c[6:12].rstrip(b"\0")
        return text + "".join(".%X" % x for x in rest)
    if kind in ("av1C", "vpcC"):
        import checker_codecs
        return checker_codecs.av1_string(c) if kind == "av1C" else checker_codecs.vp9_string(c)
    if kind == "esds":
        return "mp4a.40.%d" % asc(c)["aot"]
    return {"ac-3": "ac-3", "ec-3": "ec-3", "Opus": "Opus", "fLaC": "fLaC"}.get(entry, entry)


# ---- AC-3 and E-AC-3 (ETSI TS 102 366) ----

AC3_KBPS = [32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 576, 640]
AC3_RATES = [48000, 44100, 32000]
AC3_CHANNELS = [2, 1, 2, 3, 3, 4, 4, 5]     # by acmod, without LFE


def ac3_config(kind, c):
    """What dac3 (F.4) or dec3 (F.6) says: (rate, bsid, acmod, lfe), dependent substreams."""
    if kind == "dac3":
        v = int.from_bytes(c[:3], "big")
        if len(c) != 3:
            raise Broken("dac3 of %d bytes" % len(c))
        fscod, bsid, acmod, lfe, more = v >> 22, v >> 17 & 31, v >> 11 & 7, v >> 10 & 1, 0
    else:
        if len(c) < 5:
            raise Broken("dec3 of %d bytes" % len(c))
        v = int.from_bytes(c[2:5], "big")
        fscod, bsid, acmod, lfe, more = v >> 22, v >> 17 & 31, v >> 9 & 7, v >> 8 & 1, v >> 1 & 15
    if fscod > 2:
        raise Broken("%s: fscod 3" % kind)
    return (AC3_RATES[fscod], bsid, acmod, lfe), more


def ac3_frames(data):
    """The sync frames of a sample: (rate, bsid, acmod, lfe), samples, is dependent."""
    out, at = [], 0
    while at < len(data):
        f = data[at:at + 8]
        if len(f) < 8 or f[:2] != b"\x0b\x77":
            raise Broken("no AC-3 frame at byte %d of a sample" % at)
        bsid, dependent = f[5] >> 3, False
        if bsid <= 8:
            fscod, code = f[4] >> 6, f[4] & 63
            if fscod == 3 or code // 2 >= len(AC3_KBPS):
                raise Broken("AC-3: rate or frame size code")
            kbps, acmod, samples = AC3_KBPS[code // 2], f[6] >> 5, 1536
            size = {0: kbps * 4, 1: (kbps * 320 // 147 + (code & 1)) * 2, 2: kbps * 6}[fscod]
            bit = 3 + 2 * bool(acmod & 1 and acmod != 1) + 2 * bool(acmod & 4) + 2 * (acmod == 2)
            lfe = int.from_bytes(f[6:8], "big") >> (15 - bit) & 1
        else:
            fscod = f[4] >> 6
            if fscod == 3:
                raise Broken("E-AC-3 at half a rate")
            dependent, size = f[2] >> 6 == 1, (((f[2] & 7) << 8 | f[3]) + 1) * 2
            samples, acmod, lfe = 256 * [1, 2, 3, 6][f[4] >> 4 & 3], f[4] >> 1 & 7, f[4] & 1
        if at + size > len(data):
            raise Broken("AC-3 frame of %d bytes reaches past its sample" % size)
        out.append(((AC3_RATES[fscod], bsid, acmod, lfe), samples, dependent))
        at += size
    return out


def parse_fragment(moof, mdat, trex):
    """One moof + mdat: decode time, samples (duration, size, flags, cts), versions; what cmfc demands is kept."""
    out = {"moof": [b.kind for b in moof.children()], "trafs": len(moof.all("traf")), "at": moof.at,
           "size": moof.size + mdat.size}
    out["sequence"] = struct.unpack_from(">I", moof.one("mfhd").full()[2])[0]
    traf = moof.all("traf")[0] if out["trafs"] else None
    if traf is None:
        raise Broken("moof without traf")
    out["traf"] = [b.kind for b in traf.children()]
    _, flags, d = traf.one("tfhd").full()
    out["tfhd_flags"], at = flags, 4
    out["track_id"] = struct.unpack_from(">I", d)[0]
    default = list(trex.get(out["track_id"], (1, 0, 0, 0)))
    at += 8 if flags & 1 else 0
    for bit, index in ((2, 0), (8, 1), (0x10, 2), (0x20, 3)):
        if flags & bit:
            default[index] = struct.unpack_from(">I", d, at)[0]
            at += 4
    tfdt = traf.all("tfdt")
    out["tfdts"] = len(tfdt)
    if len(tfdt) == 1:
        out["tfdt_version"], _, d = tfdt[0].full()
        out["tfdt"] = struct.unpack_from(">Q" if out["tfdt_version"] else ">I", d)[0]
    else:
        raise Broken("traf with %d tfdt boxes" % len(tfdt))
    truns = traf.all("trun")
    out["truns"] = len(truns)
    out["trun_version"], samples = set(), []
    out["data_offset"] = None
    for trun in truns:
        version, flags, d = trun.full()
        out["trun_version"].add(version)
        count, at = struct.unpack_from(">I", d)[0], 4
        if count * 4 > len(d) and flags & 0xF00:
            raise Broken("trun count %d is larger than its box" % count)
        first = None
        if flags & 1:
            offset = struct.unpack_from(">i", d, at)[0]
            out["data_offset"] = offset if out["data_offset"] is None else out["data_offset"]
            at += 4
        if flags & 4:
            first = struct.unpack_from(">I", d, at)[0]
            at += 4
        for i in range(count):
            s = [default[1], default[2], first if first is not None and i == 0 else default[3], 0]
            for bit, index in ((0x100, 0), (0x200, 1), (0x400, 2), (0x800, 3)):
                if flags & bit:
                    s[index] = struct.unpack_from(">i" if index == 3 and version else ">I", d, at)[0]
                    at += 4
            samples.append(s)
        if at != len(d):
            raise Broken("trun has %d bytes that its flags do not explain" % (len(d) - at))
    out["samples"] = samples
    out["mdat_at"], out["mdat_head"] = mdat.at, mdat.size - len(mdat.data)
    out["mdat_data"] = len(mdat.data)
    return out


def parse_segment(data, trex):
    """(list of box kinds, fragments) of a media segment."""
    top = boxes(data)
    out, i = [], 0
    while i < len(top):
        if top[i].kind == "moof":
            if i + 1 >= len(top) or top[i + 1].kind != "mdat":
                raise Broken("moof at %d without mdat behind it" % top[i].at)
            out.append(parse_fragment(top[i], top[i + 1], trex))
            i += 1
        elif top[i].kind not in ("styp", "sidx", "emsg", "prft"):
            raise Broken("unexpected box %r in a segment" % top[i].kind)
        i += 1
    if not out:
        raise Broken("no moof")
    return [b.kind for b in top], out


def parse_sidx(box):
    version, _, d = box.full()
    out = {"version": version, "timescale": struct.unpack_from(">I", d, 4)[0]}
    out["earliest"], out["first_offset"] = struct.unpack_from(">QQ" if version else ">II", d, 8)
    at = 24 if version else 16
    count = struct.unpack_from(">HH", d, at)[1]
    at += 4
    out["refs"] = []
    for _ in range(count):
        a, dur, sap = struct.unpack_from(">III", d, at)
        out["refs"].append({"sidx": a >> 31, "size": a & 0x7FFFFFFF, "duration": dur, "starts": sap >> 31,
                            "sap": (sap >> 28) & 7})
        at += 12
    if at != len(d):
        raise Broken("sidx has stray bytes")
    return out


# ---- MPEG transport stream ----

def crc_mpeg(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte << 24
        for _ in range(8):
            crc = ((crc << 1) ^ 0x04C11DB7 if crc & 0x80000000 else crc << 1) & 0xFFFFFFFF
    return crc


def _time(d, at):
    return ((d[at] >> 1) & 7) << 30 | d[at + 1] << 22 | (d[at + 2] >> 1) << 15 | d[at + 3] << 7 | d[at + 4] >> 1


class Pes:
    def __init__(self, pid, at, packet):
        self.pid, self.at, self.first_packet = pid, at, packet
        self.data = bytearray()
        self.pts = self.dts = self.random_access = None
        self.end = at
        self.last_pcr = None
        self.psi_before = False

    def finish(self):
        d = bytes(self.data)
        if len(d) < 9 or d[:3] != b"\0\0\1":
            raise Broken("PES on PID 0x%x at %d has no start code" % (self.pid, self.at))
        length, flags, head = struct.unpack_from(">H", d, 4)[0], d[7] >> 6, d[8]
        if flags & 2:
            self.pts = self.dts = _time(d, 9)
        if flags == 3:
            self.dts = _time(d, 14)
        if length and length + 6 != len(d):
            raise Broken("PES on PID 0x%x at %d says %d bytes, has %d" % (self.pid, self.at, length + 6, len(d)))
        self.stream_id = d[3]
        self.payload = d[9 + head:]


class Ts:
    """One segment. cc carries the counters from one segment to the next."""

    def __init__(self, data, cc=None):
        self.problems = []      # (rule, text)
        self.pcr = []           # (byte offset, 27 MHz)
        self.pcr_pid = None
        self.pmt_pid = None
        self.streams = {}       # pid -> stream type
        self.descriptors = {}   # pid -> its descriptors
        self.pes = []
        self.order = []         # pids of packets
        self.psi_at = []        # packet numbers of PAT
        if len(data) % 188 or not data:
            raise Broken("%d bytes are no whole number of TS packets" % len(data))
        cc = {} if cc is None else cc
        open_pes = {}
        last_psi = {}
        for n in range(len(data) // 188):
            self._packet(data[n * 188:n * 188 + 188], n, cc, open_pes, last_psi)
        for p in open_pes.values():
            p.finish()
        self.pes.sort(key=lambda p: p.at)
        if self.pmt_pid is None or not self.streams:
            raise Broken("no PAT or PMT")

    def _packet(self, d, n, cc, open_pes, last_psi):
        if d[0] != 0x47:
            raise Broken("no sync byte at %d" % (n * 188))
        if d[1] & 0x80:
            raise Broken("transport error bit at %d" % (n * 188))
        pid, start = (d[1] & 31) << 8 | d[2], d[1] & 0x40
        control, counter = (d[3] >> 4) & 3, d[3] & 15
        self.order.append(pid)
        if pid == 0x1FFF:
            return
        at, random_access, pcr = 4, False, None
        if control & 2:
            size = d[4]
            if size > 183 or (control == 3 and size > 182):
                raise Broken("adaptation field of %d bytes at %d" % (size, n * 188))
            if size:
                random_access = bool(d[5] & 0x40)
                if d[5] & 0x80:
                    self.problems.append(("P17", "discontinuity_indicator at %d" % (n * 188)))
                if d[5] & 0x10:
                    pcr = (int.from_bytes(d[6:12], "big") >> 15) * 300 + (int.from_bytes(d[10:12], "big") & 511)
                    self.pcr.append((n * 188, pcr, pid))
            at = 5 + size
        if control & 1:
            want = (cc[pid] + 1) & 15 if pid in cc else None
            if want is not None and counter != want:
                self.problems.append(("P17", "PID 0x%x at %d: continuity counter %d, not %d"
                                      % (pid, n * 188, counter, want)))
            cc[pid] = counter
        elif pid in cc and counter != cc[pid]:
            self.problems.append(("P17", "PID 0x%x at %d: counter of a packet without payload moved"
                                  % (pid, n * 188)))
        if not control & 1:
            return
        body = d[at:]
        if pid == 0 or pid == self.pmt_pid:
            if not start:
                raise Broken("section over several packets at %d" % (n * 188))
            self._section(pid, body[1 + body[0]:], n)
            last_psi[pid] = n
            return
        if pid < 0x20:
            return  # SDT and other tables: allowed, of no use to players
        if pid not in self.streams:
            raise Broken("PID 0x%x at %d is in no PMT" % (pid, n * 188))
        if start:
            if pid in open_pes:
                open_pes[pid].finish()
            p = Pes(pid, n * 188, n)
            p.random_access = random_access
            p.last_pcr = self.pcr[-1][1] if self.pcr else None
            p.own_pcr = pcr
            p.psi_before = last_psi.get(0) == n - 2 and last_psi.get(self.pmt_pid) == n - 1
            open_pes[pid] = p
            self.pes.append(p)
        elif pid not in open_pes:
            raise Broken("PID 0x%x at %d goes on with a PES that did not start in this segment" % (pid, n * 188))
        open_pes[pid].data += body
        open_pes[pid].end = n * 188 + 188

    def _section(self, pid, d, n):
        size = 3 + ((d[1] & 15) << 8 | d[2])
        if size > len(d) or crc_mpeg(d[:size]) != 0:
            raise Broken("PSI section at %d is cut off or its CRC is wrong" % (n * 188))
        if pid == 0:
            self.psi_at.append(n)
            programs = [(struct.unpack_from(">HH", d, i)) for i in range(8, size - 4, 4)]
            programs = [p for p in programs if p[0]]
            if len(programs) != 1:
                raise Broken("PAT names %d programs" % len(programs))
            self.pmt_pid = programs[0][1] & 0x1FFF
            return
        self.pcr_pid = struct.unpack_from(">H", d, 8)[0] & 0x1FFF
        at = 12 + (struct.unpack_from(">H", d, 10)[0] & 0xFFF)
        streams = {}
        while at + 5 <= size - 4:
            kind, es, info = struct.unpack_from(">BHH", d, at)
            streams[es & 0x1FFF] = kind
            self.descriptors[es & 0x1FFF] = d[at + 5:at + 5 + (info & 0xFFF)]
            at += 5 + (info & 0xFFF)
        if self.streams and streams != self.streams:
            raise Broken("PMT changes inside the segment")
        self.streams = streams


def id3_timestamp(data):
    """(33-bit timestamp, bytes of the tag) of packed audio (RFC 8216 3.4)."""
    if data[:3] != b"ID3":
        raise Broken("no ID3 tag at the start")
    size = 10 + ((data[6] & 127) << 21 | (data[7] & 127) << 14 | (data[8] & 127) << 7 | (data[9] & 127))
    at, major = 10, data[3]
    while at + 10 <= min(size, len(data)):
        kind, n = data[at:at + 4], data[at + 4:at + 8]
        n = ((n[0] & 127) << 21 | (n[1] & 127) << 14 | (n[2] & 127) << 7 | (n[3] & 127)) if major >= 4 \
            else int.from_bytes(n, "big")
        body = data[at + 10:at + 10 + n]
        if kind == b"PRIV" and body.startswith(b"com.apple.streaming.transportStreamTimestamp\0"):
            value = body.split(b"\0", 1)[1]
            if len(value) != 8:
                raise Broken("timestamp of %d bytes in the ID3 tag" % len(value))
            value = int.from_bytes(value, "big")
            if value >> 33:
                raise Broken("ID3 timestamp has more than 33 bits")
            return value, size
        at += 10 + n
    raise Broken("ID3 tag holds no timestamp")


def unwrap(value, near):
    """The time nearest to `near` that equals value modulo 2^33."""
    if near is None:
        return value
    return value + ((near - value + (1 << 32)) >> 33 << 33)


def seconds(ticks, scale):
    return Fraction(ticks, scale)
