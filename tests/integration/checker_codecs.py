#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Readers of checker.py for HEVC, AV1, VP9, AC-3, E-AC-3, Opus and FLAC in CMAF, written from the standards alone."""
import struct

from checker_media import Bits, Broken, unescape

UNTOLD = (2, 2, 2)


# ---- HEVC (H.265 7.3.2.2, annex E) ----

def _scaling_lists(b):
    for size in range(4):
        for _ in range(0, 6, 3 if size == 3 else 1):
            if not b.u(1):
                b.ue()
                continue
            if size > 1:
                b.se()
            for _ in range(min(64, 1 << (4 + 2 * size))):
                b.se()


def _reference_sets(b):
    before = 0
    for i in range(b.ue()):
        if i and b.u(1):
            b.u(1)
            b.ue()
            count = 0
            for _ in range(before + 1):
                count += 1 if b.u(1) or b.u(1) else 0
        else:
            count = b.ue()
            count += b.ue()
            for _ in range(count):
                b.ue()
                b.u(1)
        before = count


def hevc_sps(nal):
    """Profile bytes, size after cropping, depth and colour."""
    b = Bits(unescape(nal[2:]))
    b.u(4)
    layers = b.u(3)
    b.u(1)
    out = {"ptl": bytes(b.u(8) for _ in range(12))}
    flags = [(b.u(1), b.u(1)) for _ in range(8)][:layers] if layers else []
    for profile, level in flags:
        b.u(88 if profile else 0)
        b.u(8 if level else 0)
    b.ue()
    chroma = b.ue()
    planes = b.u(1) if chroma == 3 else 0
    width, height = b.ue(), b.ue()
    crop = [b.ue() for _ in range(4)] if b.u(1) else [0] * 4
    x, y = (1, 1) if planes else {0: (1, 1), 1: (2, 2), 2: (2, 1), 3: (1, 1)}[chroma]
    out["width"], out["height"] = width - x * (crop[0] + crop[1]), height - y * (crop[2] + crop[3])
    out["chroma"], out["depth"] = chroma, 8 + b.ue()
    b.ue()
    poc = b.ue() + 4
    for _ in range(layers + 1 if b.u(1) else 1):
        b.ue(), b.ue(), b.ue()
    for _ in range(6):
        b.ue()
    if b.u(1) and b.u(1):
        _scaling_lists(b)
    b.u(2)
    if b.u(1):
        b.u(8), b.ue(), b.ue(), b.u(1)
    _reference_sets(b)
    if b.u(1):
        for _ in range(b.ue()):
            b.u(poc + 1)
    b.u(2)
    if b.u(1):
        if b.u(1) and b.u(8) == 255:
            b.u(32)
        if b.u(1):
            b.u(1)
        if b.u(1):
            b.u(4)
            if b.u(1):
                out["colour"] = (b.u(8), b.u(8), b.u(8))
    return out


def hevc_point(types):
    """Is the picture of these NAL types one that decoding can begin at, and an IDR?"""
    first = next((t for t in types if t < 32), None)
    return first is not None and 16 <= first <= 21, first in (19, 20)


def hvcc_arrays(data):
    """(type, complete, sets) of each array."""
    out, at = [], 23
    for _ in range(data[22]):
        kind, count = data[at], struct.unpack_from(">H", data, at + 1)[0]
        at, sets = at + 3, []
        for _ in range(count):
            size = struct.unpack_from(">H", data, at)[0]
            sets.append(data[at + 2:at + 2 + size])
            at += 2 + size
        out.append((kind & 63, kind >> 7, sets))
    if at != len(data):
        raise Broken("hvcC: %d bytes behind its arrays" % (len(data) - at))
    return out


# ---- AV1 (5.3 to 5.5, 5.9.2) ----

def obus(data):
    """(type, payload) of each OBU."""
    out, at = [], 0
    while at < len(data):
        head = data[at]
        if head & 0x81:
            raise Broken("AV1: OBU header %02x" % head)
        at += 2 if head & 4 else 1
        size = len(data) - at
        if head & 2:
            size = shift = 0
            while True:
                size |= (data[at] & 127) << shift
                shift, at = shift + 7, at + 1
                if not data[at - 1] & 128:
                    break
        if at + size > len(data):
            raise Broken("AV1: OBU reaches past the sample")
        out.append((head >> 3 & 15, data[at:at + size]))
        at += size
    return out


def av1_sequence(payload):
    b = Bits(payload)
    out = {"profile": b.u(3)}
    b.u(1)
    if b.u(1):
        raise Broken("AV1: still picture header")
    model = delay = 0
    if b.u(1):
        b.u(64)
        if b.u(1):
            b.ue()
        model = b.u(1)
        if model:
            delay = b.u(5) + 1
            b.u(42)
    display = b.u(1)
    for i in range(b.u(5) + 1):
        b.u(12)
        level = b.u(5)
        tier = b.u(1) if level > 7 else 0
        if i == 0:
            out["level"], out["tier"] = level, tier
        if model and b.u(1):
            b.u(2 * delay + 1)
        if display and b.u(1):
            b.u(4)
    wide, high = b.u(4) + 1, b.u(4) + 1
    out["width"], out["height"] = b.u(wide) + 1, b.u(high) + 1
    if b.u(1):
        b.u(7)
    b.u(3 + 4)
    hint = b.u(1)
    if hint:
        b.u(2)
    screen = 2 if b.u(1) else b.u(1)
    if screen and not b.u(1):
        b.u(1)
    if hint:
        b.u(3)
    b.u(3)
    high = b.u(1)
    twelve = b.u(1) if out["profile"] == 2 and high else 0
    out["depth"] = 12 if twelve else 10 if high else 8
    mono = out["mono"] = b.u(1) if out["profile"] != 1 else 0
    out["told"] = b.u(1)
    out["colour"] = (b.u(8), b.u(8), b.u(8)) if out["told"] else UNTOLD
    out["position"] = 0
    if mono:
        out["full"], out["sub"] = b.u(1), (1, 1)
    elif out["colour"] == (1, 13, 0):
        out["full"], out["sub"] = 1, (0, 0)
    else:
        out["full"] = b.u(1)
        x = 1 if out["profile"] != 1 else 0
        y = 1 if out["profile"] == 0 else 0
        if twelve:
            x = b.u(1)
            y = b.u(1) if x else 0
        out["sub"] = (x, y)
        if x and y:
            out["position"] = b.u(2)
    return out


def av1_string(config):
    """Long form where the colour is described or not that of the short one (binding 5)."""
    s = av1_sequence(next(p for t, p in obus(config[4:]) if t == 1))
    text = "av01.%d.%02d%s.%02d" % (s["profile"], s["level"], "MH"[s["tier"]], s["depth"])
    if not s["told"] and not s["mono"] and not s["full"] and s["sub"] == (1, 1):
        return text
    return text + ".%d.%d%d%d.%02d.%02d.%02d.%d" % ((s["mono"],) + s["sub"] + (s["position"],) + s["colour"] + (s["full"],))


def av1_sync(found):
    """A shown key frame first, behind a sequence header."""
    sequence = False
    for kind, payload in found:
        sequence = sequence or kind == 1
        if kind in (3, 6):
            return sequence and payload[0] >> 4 == 1
    return False


# ---- VP9 (6.2, annex B) ----

def vp9_frames(data):
    """The frames of a superframe."""
    last = data[-1]
    if last & 0xE0 == 0xC0:
        count, width = (last & 7) + 1, (last >> 3 & 3) + 1
        size = 2 + count * width
        if len(data) >= size and data[-size] == last:
            out, at = [], 0
            for i in range(count):
                n = int.from_bytes(data[len(data) - size + 1 + i * width:len(data) - size + 1 + (i + 1) * width], "little")
                out.append(data[at:at + n])
                at += n
            if at + size != len(data):
                raise Broken("VP9: superframe of %d bytes, index says %d" % (len(data), at + size))
            return out
    return [data]


def vp9_head(data):
    b = Bits(data[:16])
    if b.u(2) != 2:
        raise Broken("VP9: frame marker")
    low, high = b.u(1), b.u(1)
    out = {"profile": high * 2 + low}
    if out["profile"] == 3:
        b.u(1)
    out["existing"] = b.u(1)
    if out["existing"]:
        out["key"], out["show"] = False, 1
        return out
    out["key"], out["show"] = b.u(1) == 0, b.u(1)
    b.u(1)
    if out["key"]:
        if b.u(24) != 0x498342:
            raise Broken("VP9: sync code")
        out["depth"] = 8 if out["profile"] < 2 else 12 if b.u(1) else 10
        space = b.u(3)
        out["full"], out["sub"] = 1, (0, 0)
        if space != 7:
            out["full"] = b.u(1)
            out["sub"] = (b.u(1), b.u(1)) if out["profile"] & 1 else (1, 1)
        if out["profile"] & 1:
            b.u(1)
        out["width"], out["height"] = b.u(16) + 1, b.u(16) + 1
    return out


def vp9_string(c):
    text = "vp09.%02d.%02d.%02d" % (c[0], c[1], c[2] >> 4)
    chroma, full = c[2] >> 1 & 7, c[2] & 1
    if chroma <= 1 and not full and all(x in (1, 2) for x in c[3:6]):
        return text
    return text + ".%02d.%02d.%02d.%02d.%02d" % (chroma, c[3], c[4], c[5], full)


# ---- sound: length of a sample, and what configurations tell ----

AC3_RATES, AC3_CHANNELS, AC3_KBPS = (48000, 44100, 32000), (2, 1, 2, 3, 3, 4, 4, 5), (
    32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 576, 640)


def ac3_samples(data):
    """Samples of the frames that fill a sample exactly; of substream 0 in E-AC-3."""
    at = samples = 0
    while at < len(data):
        if data[at:at + 2] != b"\x0b\x77":
            raise Broken("AC-3: no sync word at %d" % at)
        if data[at + 5] >> 3 <= 10:
            code, rate = data[at + 4] & 63, data[at + 4] >> 6
            kbps = AC3_KBPS[code >> 1]
            at += (kbps * 4, (kbps * 320 // 147 + (code & 1)) * 2, kbps * 6)[rate]
            samples += 1536
        else:
            b = Bits(data[at + 2:at + 6])
            kind, substream, size = b.u(2), b.u(3), (b.u(11) + 1) * 2
            blocks = 6 if b.u(2) == 3 else (1, 2, 3, 6)[b.u(2)]
            if kind != 1 and substream == 0:
                samples += blocks * 256
            at += size
    if at != len(data):
        raise Broken("AC-3: frames of %d bytes in a sample of %d" % (at, len(data)))
    return samples


def ac3_channel_map(f):
    """Channels that a dependent substream has beyond those of substream 0 (table E.1.4): its chanmap, if it has one."""
    b = Bits(f[2:18])
    b.u(2 + 3 + 11)
    rate = b.u(2)
    b.u(2)
    acmod = b.u(3)
    b.u(1 + 5)
    for _ in range(2 if acmod == 0 else 1):
        b.u(5)
        if b.u(1):
            b.u(8)
    places = b.u(16) if b.u(1) else 0
    return sum(n for bit, n in ((5, 2), (6, 2), (7, 1), (8, 1), (9, 2), (10, 2), (11, 2), (12, 1), (14, 1))
               if places >> (15 - bit) & 1) if rate < 3 else 0


def ac3_units(data):
    """Frames as they follow each other in packed audio and transport streams: of substream 0 with what depends on it.
    [codec string, rate, channels, samples] of each."""
    out, at = [], 0
    while at < len(data):
        f = data[at:at + 18]
        if f[:2] != b"\x0b\x77" or len(f) < 8:
            raise Broken("no AC-3 frame at %d" % at)
        if f[5] >> 3 <= 8:
            rate, code, acmod = f[4] >> 6, f[4] & 63, f[6] >> 5
            kbps = AC3_KBPS[code >> 1]
            at += (kbps * 4, (kbps * 320 // 147 + (code & 1)) * 2, kbps * 6)[rate]
            skip = 3 + 2 * (acmod in (3, 5, 7)) + 2 * (acmod >= 4) + 2 * (acmod == 2)
            lfe = (f[6] << 8 | f[7]) >> (15 - skip) & 1
            out.append(["ac-3", AC3_RATES[rate], AC3_CHANNELS[acmod] + lfe, 1536])
            continue
        b = Bits(f[2:6])
        kind, substream, size, rate, blocks, acmod, lfe = b.u(2), b.u(3), b.u(11), b.u(2), b.u(2), b.u(3), b.u(1)
        at += 2 * (size + 1)
        if kind == 1:
            if not out:
                raise Broken("begins with a dependent substream")
            out[-1][2] += ac3_channel_map(f)
        elif substream == 0:
            true = AC3_RATES[rate] if rate < 3 else AC3_RATES[blocks] // 2
            out.append(["ec-3", true, AC3_CHANNELS[acmod] + lfe, 256 * (6 if rate == 3 else (1, 2, 3, 6)[blocks])])
    if at != len(data):
        raise Broken("AC-3 frames of %d bytes in %d" % (at, len(data)))
    return out


def opus_samples(data):
    toc = data[0] >> 3
    size = (480, 960, 1920, 2880)[toc & 3] if toc < 12 else (480, 960)[toc & 1] if toc < 16 else 120 << (toc & 3)
    return size * (1, 2, 2, data[1] & 63 if data[0] & 3 == 3 else 0)[data[0] & 3]


def flac_samples(data):
    if data[:1] != b"\xff" or data[1] & 0xFE != 0xF8:
        raise Broken("FLAC: no sync code")
    code, first = data[2] >> 4, data[4]
    number = 1
    while first & (0x80 >> number) and first & 0x80:
        number += 1
    if code in (6, 7):
        return int.from_bytes(data[4 + number:4 + number + code - 5], "big") + 1
    return 192 if code == 1 else 576 << (code - 2) if code <= 5 else 256 << (code - 8)


def sound_config(box, c):
    """(rate, channels) by the configuration."""
    if box == "dOps":
        if c[0] != 0:
            raise Broken("dOps version %d" % c[0])
        return 48000, c[1]
    if box == "dfLa":
        if c[0] & 127 or int.from_bytes(c[1:4], "big") != 34:
            raise Broken("dfLa does not begin with STREAMINFO")
        n = int.from_bytes(c[14:22], "big")
        return n >> 44, (n >> 41 & 7) + 1
    b = Bits(c)
    if box == "dac3":
        rate = b.u(2)
        b.u(8)
        return AC3_RATES[rate], AC3_CHANNELS[b.u(3)] + b.u(1)
    b.u(16)
    rate = b.u(2)
    b.u(10)
    channels = AC3_CHANNELS[b.u(3)] + b.u(1)
    b.u(3)
    if b.u(4):
        places = b.u(9)
        channels += sum((2 if i in (0, 1, 4, 5, 6) else 1) for i in range(9) if places >> i & 1)
    return AC3_RATES[rate], channels


SAMPLES = {"dOps": opus_samples, "dfLa": flac_samples, "dac3": ac3_samples, "dec3": ac3_samples}
