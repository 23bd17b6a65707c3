# SPDX-License-Identifier: LGPL-2.1-or-later
"""SAMPLE-AES in transport streams and packed audio undone, written for the tests from Apple's "MPEG-2 Stream Encryption
Format for HTTP Live Streaming". Not a test by itself.

    units(data) -> Stream types, descriptors and elementary streams of a segment
    undone(stream, key, iv) -> its units in clear: NAL units as their coder wrote them, frames of audio
"""
import re

from decrypt import Aes, need

# Of a program under SAMPLE-AES, and in clear.
H264, AAC, AC3, EAC3 = (0xDB, 0x1B), (0xCF, 0x0F), (0xC1, 0x81), (0xC2, 0x87)


class Stream:
    """An elementary stream: type of the PMT, its descriptors, payload of each PES packet, PTS field of each."""

    def __init__(self, kind, descriptors):
        self.kind, self.descriptors, self.packets, self.heads = kind, descriptors, [], []


def streams(data):
    """{PID: Stream} of a segment of a transport stream."""
    out, pmt, building = {}, None, {}
    for at in range(0, len(data), 188):
        p = data[at:at + 188]
        need(len(p) == 188 and p[0] == 0x47, "packet at %d", at)
        pid, start = (p[1] & 31) << 8 | p[2], p[1] & 0x40
        need(not p[3] & 0xC0, "transport_scrambling_control")
        payload = p[4 + (1 + p[4] if p[3] & 0x20 else 0):] if p[3] & 0x10 else b""
        if pid == 0:
            section = payload[1 + payload[0]:]
            pmt = (section[10] & 31) << 8 | section[11]
        elif pid == pmt and start and not out:
            out = program(payload[1 + payload[0]:])
        elif pid in out:
            if start:
                building[pid] = [payload]
                out[pid].packets.append(building[pid])
            elif payload:
                building[pid].append(payload)
    for s in out.values():
        whole = [b"".join(x) for x in s.packets]
        need(all(x[:3] == b"\0\0\1" for x in whole), "PES start code")
        s.heads, s.packets = [x[9:9 + x[8]] for x in whole], [x[9 + x[8]:] for x in whole]
    return out


def program(section):
    end = 3 + ((section[1] & 15) << 8 | section[2]) - 4
    at = 12 + ((section[10] & 15) << 8 | section[11])
    out = {}
    while at < end:
        size = (section[at + 3] & 15) << 8 | section[at + 4]
        out[(section[at + 1] & 31) << 8 | section[at + 2]] = Stream(section[at], section[at + 5:at + 5 + size])
        at += 5 + size
    return out


# ---- units ----

def nal_units(packet):
    """NAL units of an access unit. Zeros before a start code are not theirs."""
    return [x.rstrip(b"\0") for x in re.split(b"\0\0\1", packet)[1:]]


def adts_frames(data):
    out = []
    while data:
        need(len(data) >= 7 and data[0] == 0xFF and data[1] & 0xF6 == 0xF0, "ADTS sync")
        size = (data[3] & 3) << 11 | data[4] << 3 | data[5] >> 5
        need(7 <= size <= len(data), "ADTS frame of %d bytes", size)
        out, data = out + [data[:size]], data[size:]
    return out


AC3_RATES = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 576, 640)


def ac3_size(data):
    rate, code = data[4] >> 6, data[4] & 63
    kbps = AC3_RATES[code >> 1]
    return kbps * 4 if rate == 0 else 2 * (kbps * 320 // 147 + (code & 1)) if rate == 1 else kbps * 6


def access_units(data):
    """Lists of sync frames: one frame of AC-3; of E-AC-3 those of all substreams for 1536 samples (A/52 E.1.3.1)."""
    out, samples = [], 1536
    while data:
        need(data[:2] == b"\x0b\x77", "AC-3 sync")
        enhanced = data[5] >> 3 > 10
        size = 2 * (1 + ((data[2] & 7) << 8 | data[3])) if enhanced else ac3_size(data)
        need(len(data) >= size, "AC-3 frame of %d bytes", size)
        if not enhanced or data[2] & 0xF8 in (0, 0x80):
            if samples >= 1536:
                out.append([])
                samples = 0
            samples += 256 * (1, 2, 3, 6)[data[4] >> 4 & 3] if enhanced else 1536
        out[-1].append(data[:size])
        data = data[size:]
    return out


def pattern(unit, clear, skip):
    """Where encrypted blocks of a unit lie."""
    spans, at = [], clear
    while len(unit) - at > (16 if skip else 15):
        spans.append(at)
        at += 16
        at += min(skip, len(unit) - at)
    return spans


def open_unit(aes, unit, spans, key, iv):
    out = bytearray(unit)
    got = aes.decrypt("cbc", key, iv, b"".join(unit[a:a + 16] for a in spans))
    for n, a in enumerate(spans):
        out[a:a + 16] = got[n * 16:n * 16 + 16]
    return bytes(out)


def open_nal(aes, unit, key, iv):
    """The outer emulation prevention off, one block in ten behind 32 clear bytes, none at the very end."""
    plain = re.sub(b"\0\0\3", b"\0\0", unit)
    if unit[0] & 31 not in (1, 5) or len(plain) <= 48:
        return unit
    return open_unit(aes, plain, pattern(plain, 32, 144), key, iv)


def open_frame(aes, unit, clear, key, iv):
    return open_unit(aes, unit, pattern(unit, clear, 0), key, iv)


def open_access_unit(aes, frames, key, iv):
    """16 bytes of each sync frame are clear; the IV is that of the access unit, the chain goes on in its next frame."""
    spans, at = [], 0
    for f in frames:
        spans += [at + x for x in pattern(f, 16, 0)]
        at += len(f)
    return open_unit(aes, b"".join(frames), spans, key, iv)


def audio_units(kind, data, aes=None, key=None, iv=None):
    if kind in AAC:
        return [open_frame(aes, f, (7 if f[1] & 1 else 9) + 16, key, iv) if key else f for f in adts_frames(data)]
    return [open_access_unit(aes, u, key, iv) if key else b"".join(u) for u in access_units(data)]


def undone(stream, key=None, iv=None):
    """Units of each PES packet; without a key as they are."""
    aes = Aes()
    if stream.kind in H264:
        return [[open_nal(aes, n, key, iv) if key else n for n in nal_units(p)] for p in stream.packets]
    return [audio_units(stream.kind, p, aes, key, iv) for p in stream.packets]


def packed(data, key=None, iv=None):
    """(ID3 tag, units) of a segment of packed audio."""
    need(data[:3] == b"ID3", "packed audio begins with an ID3 tag")
    size = 10 + (data[6] << 21 | data[7] << 14 | data[8] << 7 | data[9])
    kind = 0x0F if data[size] == 0xFF else 0x87 if data[size + 5] >> 3 > 10 else 0x81
    return data[:size], audio_units(kind, data[size:], Aes(), key, iv)


# ---- comparison ----

def same(data, clear, key, iv, name):
    """A segment against the clear one; gives how many units are the same, and how many were under encryption."""
    if data[:3] == b"ID3":
        tag, got = packed(data, key, iv)
        raw, want = packed(data)[1], packed(clear)[1]
        need(got == want, "%s: frames differ", name)
        owner = b"com.apple.streaming.audioDescription\0"
        need((owner in tag) == bool(key), "%s: audioDescription in its ID3 tag", name)
        if key:
            setup_fits(tag[tag.index(owner) + len(owner):], want[0], name)
        return len(got), sum(a != b for a, b in zip(raw, want))
    a, b, units, hidden = streams(data), streams(clear), 0, 0
    need(sorted(a) == sorted(b), "%s: PIDs %s and %s", name, sorted(a), sorted(b))
    for pid, s in a.items():
        raw, got, want = undone(s), undone(s, key, iv), undone(b[pid])
        told(s, b[pid], bool(key), want[0][0], "%s, PID %#x" % (name, pid))
        bad = [n for n, (x, y) in enumerate(zip(got, want)) if x != y]
        need(len(got) == len(want) and not bad, "%s, PID %#x: PES packets %s of %d differ", name, pid, bad[:4],
             len(want))
        need([h[:5] for h in s.heads] == [h[:5] for h in b[pid].heads], "%s, PID %#x: times differ", name, pid)
        units += sum(len(x) for x in got)
        hidden += sum(u != v for x, y in zip(raw, want) for u, v in zip(x, y))
    return units, hidden


def told(s, clear, protected, first, name):
    """Stream types and descriptors of the PMT (chapter 3). first: the first unit of the clear segment."""
    kinds = next(k for k in (H264, AAC, AC3, EAC3) if s.kind in k)
    need(s.kind == kinds[0 if protected else 1] and clear.kind == kinds[1], "%s: stream type %#x", name, s.kind)
    registration = {AC3: b"\x05\x04AC-3", EAC3: b"\x05\x04EAC3"}.get(kinds, b"")
    need(registration in clear.descriptors, "%s: descriptors %s of the clear stream", name, clear.descriptors.hex())
    if not protected:
        return
    word = {H264: b"zavc", AAC: b"aacd", AC3: b"ac3d", EAC3: b"ec3d"}[kinds]
    need(b"\x0f\x04" + word in s.descriptors, "%s: descriptors %s", name, s.descriptors.hex())
    if kinds != H264:
        at = s.descriptors.index(b"apad")
        need(s.descriptors[at - 2] == 5 and s.descriptors[at - 1] == 12 + s.descriptors[at + 11], "%s: registration", name)
        setup_fits(s.descriptors[at + 4:], first, name)


SETUPS = {}     # of a track of AC-3: that of its first segment


def setup_fits(setup, first, name):
    """Type, priming, version, setup data (2.3.2): of AC-3 the first bytes of the track, of E-AC-3 what dec3 says."""
    kind, data = setup[:4], setup[8:8 + setup[7]]
    need(setup[4:7] == b"\0\0\1" and len(data) == setup[7] > 1, "%s: audio setup %s", name, setup[:24].hex())
    if first[0] == 0xFF:
        need(kind in (b"zaac", b"zach", b"zacp"), "%s: audio type %s", name, kind)
    elif first[5] >> 3 <= 10:
        track = name.rsplit(" segment ", 1)[0]
        if " segment 0" in name:
            SETUPS[track] = first[:10]
        need(kind == b"zac3" and data == SETUPS[track], "%s: %s %s, the track begins with %s", name, kind, data.hex(),
             SETUPS[track].hex())
    else:
        v, f = int.from_bytes(data[2:5], "big"), first
        need(kind == b"zec3" and (v >> 22, v >> 17 & 31, v >> 9 & 7, v >> 8 & 1) ==
             (f[4] >> 6, f[5] >> 3, f[4] >> 1 & 7, f[4] & 1), "%s: %s %s", name, kind, data.hex())
