# SPDX-License-Identifier: LGPL-2.1-or-later
"""Decrypts CMAF by ISO/IEC 23001-7 ('cenc', 'cbcs'), written for the tests from the specification alone.

    init = Init(bytes)                      sample entries, 'tenc', defaults, sample groups of the header
    parts = fragments(init, bytes)          what each 'moof' of a segment says of its samples
    clear, samples = decrypt(init, bytes, {kid: key}, by="both")

`by`: what tells IVs and subsamples: "senc", "saio" ('saiz' + 'saio'), or "both", which must agree. `clear` is the
segment with decrypted samples and its protection boxes turned into 'free'; Init.clear is the header in the same way.
"""
import collections
import ctypes
import ctypes.util
import struct

CONTAINERS = {b"moov", b"trak", b"mdia", b"minf", b"stbl", b"mvex", b"moof", b"traf", b"sinf", b"schi"}
ENTRY_HEADS = {b"vide": 78, b"soun": 28}


class Malformed(AssertionError):
    """The file breaks the format."""


def need(condition, text, *args):
    if not condition:
        raise Malformed(text % args)


# ---- AES ----

class Aes:
    """AES-128 of libcrypto, without padding."""
    lib = None

    @classmethod
    def load(cls):
        for name in ("libcrypto.so.3", ctypes.util.find_library("crypto"), "libcrypto.so.1.1"):
            try:
                lib = ctypes.CDLL(name) if name else None
            except OSError:
                continue
            if lib:
                break
        else:
            return None
        for name in ("EVP_CIPHER_CTX_new", "EVP_aes_128_ctr", "EVP_aes_128_cbc"):
            getattr(lib, name).restype = ctypes.c_void_p
        pointer, text, number = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int
        lib.EVP_CipherInit_ex.argtypes = [pointer, pointer, pointer, text, text, number]
        lib.EVP_CIPHER_CTX_set_padding.argtypes = [pointer, number]
        lib.EVP_CipherUpdate.argtypes = [pointer, text, ctypes.POINTER(number), text, number]
        lib.EVP_CIPHER_CTX_free.argtypes = [pointer]
        return lib

    def __init__(self):
        Aes.lib = Aes.lib or self.load()
        if not Aes.lib:
            raise OSError("no libcrypto")
        self.ctx = Aes.lib.EVP_CIPHER_CTX_new()
        self.modes = {"ctr": Aes.lib.EVP_aes_128_ctr(), "cbc": Aes.lib.EVP_aes_128_cbc()}

    def __del__(self):
        if getattr(self, "ctx", None):
            Aes.lib.EVP_CIPHER_CTX_free(self.ctx)

    def decrypt(self, mode, key, iv, data):
        need(len(key) == 16 and len(iv) == 16, "key of %d, IV of %d bytes", len(key), len(iv))
        if not data:
            return b""
        ok = Aes.lib.EVP_CipherInit_ex(self.ctx, self.modes[mode], None, key, iv, 0)
        Aes.lib.EVP_CIPHER_CTX_set_padding(self.ctx, 0)
        to, n = ctypes.create_string_buffer(len(data) + 16), ctypes.c_int()
        ok = ok and Aes.lib.EVP_CipherUpdate(self.ctx, to, ctypes.byref(n), bytes(data), len(data))
        need(ok == 1 and n.value == len(data), "AES fails")
        return to.raw[:len(data)]


# ---- boxes ----

Box = collections.namedtuple("Box", "type start body end")


def boxes(data, start=0, end=None):
    end, out = len(data) if end is None else end, []
    while start < end:
        need(start + 8 <= end, "box cut off at %d", start)
        size, kind = struct.unpack_from(">I4s", data, start)
        body = start + 8
        if size == 1:
            size, body = struct.unpack_from(">Q", data, body)[0], body + 8
        need(size >= body - start and start + size <= end, "box %s at %d: size %d", kind, start, size)
        out.append(Box(kind, start, body, start + size))
        start += size
    return out


def children(data, box, skip=0):
    return boxes(data, box.body + skip, box.end)


def find(data, box, path):
    """First box at a path below another; None where there is none."""
    for name in path.split("/"):
        box = next((b for b in children(data, box) if b.type == name.encode()), None)
        if box is None:
            return None
    return box


def one(data, box, path):
    found = find(data, box, path)
    need(found, "no %s", path)
    return found


def full(data, box):
    """Version, flags, where the rest begins."""
    v = struct.unpack_from(">I", data, box.body)[0]
    return v >> 24, v & 0xFFFFFF, box.body + 4


class Reader:
    def __init__(self, data, at, end):
        self.data, self.at, self.end = data, at, end

    def bytes(self, n):
        need(self.at + n <= self.end, "read past the end of a box at %d", self.at)
        self.at += n
        return bytes(self.data[self.at - n:self.at])

    def u(self, size):
        return int.from_bytes(self.bytes(size), "big")


# ---- header ----

# iv_size: of each sample; 0 with a constant IV. Sample entries and groups ('seig') say the same things.
Params = collections.namedtuple("Params", "protected iv_size kid constant_iv crypt skip")


def read_params(r, version):
    r.bytes(1)
    pattern = r.u(1)
    need(version >= 1 or pattern == 0, "a pattern in tenc of version 0")
    protected, iv_size, kid = r.u(1), r.u(1), r.bytes(16)
    constant = b""
    need(protected in (0, 1) and iv_size in (0, 8, 16), "isProtected %d, IV size %d", protected, iv_size)
    if protected and not iv_size:
        constant = r.bytes(r.u(1))
        need(len(constant) in (8, 16), "constant IV of %d bytes", len(constant))
    return Params(bool(protected), iv_size, kid, constant, pattern >> 4, pattern & 15)


class Entry:
    """A sample entry; params None: clear."""

    def __init__(self, data, box, head):
        self.box, self.type, self.original = box, box.type, box.type
        self.scheme = self.params = self.sinf = None
        self.tenc_version = None
        sinf = next((b for b in children(data, box, head) if b.type == b"sinf"), None)
        need((box.type in (b"encv", b"enca")) == (sinf is not None), "entry %s, sinf %s", box.type, sinf)
        if not sinf:
            return
        self.sinf = sinf
        self.original = bytes(data[one(data, sinf, "frma").body:][:4])
        _, _, at = full(data, one(data, sinf, "schm"))
        self.scheme = bytes(data[at:at + 4])
        need(data[at + 4:at + 8] == b"\0\1\0\0", "scheme version")
        tenc = one(data, sinf, "schi/tenc")
        self.tenc_version, _, at = full(data, tenc)
        r = Reader(data, at, tenc.end)
        self.params = read_params(r, self.tenc_version)
        need(r.at == tenc.end, "tenc is %d bytes too long", tenc.end - r.at)


class Init:
    """The header of one track."""

    def __init__(self, data):
        self.data = bytes(data)
        top = {b.type: b for b in boxes(data)}
        moov = top[b"moov"]
        self.pssh = [bytes(data[b.start:b.end]) for b in children(data, moov) if b.type == b"pssh"]
        self.track = one(data, moov, "trak")
        need(sum(b.type == b"trak" for b in children(data, moov)) == 1, "more than one track")
        tkhd = one(data, self.track, "tkhd")
        version, _, at = full(data, tkhd)
        self.track_id = struct.unpack_from(">I", data, at + (16 if version else 8))[0]
        mdhd = one(data, self.track, "mdia/mdhd")
        version, _, at = full(data, mdhd)
        self.timescale = struct.unpack_from(">I", data, at + (16 if version else 8))[0]
        self.kind = bytes(data[one(data, self.track, "mdia/hdlr").body + 8:][:4])
        stbl = one(data, self.track, "mdia/minf/stbl")
        self.entries = [Entry(data, b, ENTRY_HEADS[self.kind]) for b in children(data, one(data, stbl, "stsd"), 8)]
        self.groups = read_groups(data, stbl)[0]
        trex = one(data, moov, "mvex/trex")
        self.defaults = struct.unpack_from(">IIII", data, trex.body + 8) # entry, duration, size, flags

    @property
    def clear(self):
        out = bytearray(self.data)
        for e in self.entries:
            out[e.box.start + 4:e.box.start + 8] = e.original
            if e.sinf:
                out[e.sinf.start + 4:e.sinf.start + 8] = b"free"
        for box in boxes(out):
            for inner in children(out, box) if box.type == b"moov" else []:
                if inner.type == b"pssh":
                    out[inner.start + 4:inner.start + 8] = b"free"
        return bytes(out)


def read_groups(data, box):
    """Descriptions and runs of the sample groups 'seig' in a 'stbl' or 'traf'."""
    descriptions, runs = [], []
    for b in children(data, box):
        if b.type not in (b"sgpd", b"sbgp") or data[b.body + 4:b.body + 8] != b"seig":
            continue
        version, _, at = full(data, b)
        r = Reader(data, at + 4, b.end)
        if b.type == b"sgpd":
            need(version in (1, 2), "sgpd of version %d", version)
            length = r.u(4) if version == 1 else r.u(4) and 0
            for _ in range(r.u(4)):
                size = length if version == 1 and length else r.u(4) if version == 1 else None
                before = r.at
                descriptions.append(read_params(r, 1))
                need(size is None or r.at - before == size, "seig of %d bytes, not %s", r.at - before, size)
        else:
            if version == 1:
                r.u(4)
            runs += [(r.u(4), r.u(4)) for _ in range(r.u(4))]
        need(r.at == b.end, "%s is too long", b.type)
    return descriptions, runs


# ---- segments ----

# entry: of the header (0-based); params: what holds for the sample, None or not protected: clear.
Sample = collections.namedtuple("Sample", "offset size duration shift flags entry params iv subsamples")


class Fragment:
    """One moof. samples' iv and subsamples come from `by`."""

    def __init__(self, init, data, moof, by):
        self.moof, self.init = moof, init
        self.pssh = [bytes(data[b.start:b.end]) for b in children(data, moof) if b.type == b"pssh"]
        need(sum(b.type == b"traf" for b in children(data, moof)) == 1, "more than one traf")
        self.traf = traf = one(data, moof, "traf")
        self.boxes = [b.type for b in children(data, traf)]
        self.read_head(data, traf)
        descriptions, runs = read_groups(data, traf)
        groups = [index for count, index in runs for _ in range(count)]
        need(len(groups) <= len(self.table), "sbgp of %d samples of %d", len(groups), len(self.table))
        groups += [0] * (len(self.table) - len(groups))
        params = [self.params_of(init, descriptions, g) for g in groups]
        self.seig = bool(descriptions)
        told = self.auxiliary(data, traf, params, by)
        self.samples = [Sample(*row, self.entry, p, *(told[n] if told else (b"", None)))
                        for n, (row, p) in enumerate(zip(self.table, params))]

    def read_head(self, data, traf):
        version, flags, at = full(data, one(data, traf, "tfhd"))
        r = Reader(data, at, traf.end)
        need(r.u(4) == self.init.track_id, "track id of tfhd")
        entry, duration, size, sample_flags = self.init.defaults
        self.base = self.moof.start
        need(flags & 0x20000 or flags & 1, "tfhd without default-base-is-moof")
        if flags & 1:
            self.base = r.u(8)
        entry = r.u(4) if flags & 2 else entry
        duration = r.u(4) if flags & 8 else duration
        size = r.u(4) if flags & 0x10 else size
        sample_flags = r.u(4) if flags & 0x20 else sample_flags
        need(1 <= entry <= len(self.init.entries), "sample_description_index %d", entry)
        self.entry = entry - 1
        version, _, at = full(data, one(data, traf, "tfdt"))
        self.time = int.from_bytes(data[at:at + (8 if version else 4)], "big")
        self.table, where, self.runs = [], None, []
        for b in children(data, traf):
            if b.type != b"trun":
                continue
            version, flags, at = full(data, b)
            r, count = Reader(data, at + 4, b.end), int.from_bytes(data[at:at + 4], "big")
            if flags & 1:
                where = self.base + int.from_bytes(r.bytes(4), "big", signed=True)
            first = r.u(4) if flags & 4 else None
            self.runs.append(count)
            for n in range(count):
                d = r.u(4) if flags & 0x100 else duration
                s = r.u(4) if flags & 0x200 else size
                f = r.u(4) if flags & 0x400 else first if n == 0 and first is not None else sample_flags
                c = int.from_bytes(r.bytes(4), "big", signed=version > 0) if flags & 0x800 else 0
                self.table.append((where, s, d, c, f))
                where += s
            need(r.at == b.end, "trun is too long")

    def params_of(self, init, descriptions, group):
        entry = init.entries[self.entry].params
        if not group:
            return entry
        need(entry, "seig in a fragment of a clear sample entry")
        if group > 0x10000:
            need(group - 0x10001 < len(descriptions), "group %#x", group)
            return descriptions[group - 0x10001]
        need(group - 1 < len(init.groups), "group %d", group)
        return init.groups[group - 1]

    def auxiliary(self, data, traf, params, by):
        """(IV, subsamples or None) of each sample; None: there is nothing to be told."""
        found = {}
        if by in ("senc", "both"):
            found["senc"] = self.by_senc(data, traf, params)
        if by in ("saio", "both"):
            found["saio"] = self.by_saio(data, traf, params)
        # Boxes that say nothing of any sample are as good as none.
        told = [x if x and any(iv or sub for iv, sub in x) else None for x in found.values()]
        need(len(told) == 1 or told[0] == told[1], "senc and saio disagree at %d", self.moof.start)
        if told[0] is None:
            need(all(not p or not p.protected or not p.iv_size for p in params), "no IVs by %s", by)
        return told[0]

    def by_senc(self, data, traf, params):
        b = find(data, traf, "senc")
        if not b:
            return None
        _, flags, at = full(data, b)
        r = Reader(data, at, b.end)
        need(r.u(4) == len(params), "senc is not of all samples")
        out = [read_auxiliary(r, p, flags & 2) for p in params]
        need(r.at == b.end, "senc is %d bytes too long", b.end - r.at)
        return out

    def by_saio(self, data, traf, params):
        saiz, saio = find(data, traf, "saiz"), find(data, traf, "saio")
        need(bool(saiz) == bool(saio), "saiz without saio")
        if not saiz:
            return None
        _, flags, at = full(data, saiz)
        r = Reader(data, at + (8 if flags & 1 else 0), saiz.end)
        default, count = r.u(1), r.u(4)
        need(count == len(params), "saiz of %d samples", count)
        sizes = [default] * count if default else [r.u(1) for _ in range(count)]
        need(r.at == saiz.end, "saiz is too long")
        version, flags, at = full(data, saio)
        r = Reader(data, at + (8 if flags & 1 else 0), saio.end)
        offsets = [r.u(8 if version else 4) for _ in range(r.u(4))]
        need(r.at == saio.end and len(offsets) in (1, len(self.runs)), "saio of %d places", len(offsets))
        starts, n = {}, 0
        for count, offset in zip(self.runs, offsets):
            starts[n], n = offset, n + count
        out, where = [], None
        for n, (size, p) in enumerate(zip(sizes, params)):
            where = self.base + starts[n] if n in starts else where
            r = Reader(data, where, min(where + size, self.moof.end))
            out.append(read_auxiliary(r, p, size > (p.iv_size if p else 0)))
            need(r.at == where + size, "saiz says %d bytes at %d", size, where)
            where += size
        return out


def read_auxiliary(r, params, with_subsamples):
    if not params or not params.protected:
        return b"", None
    iv = r.bytes(params.iv_size)
    return iv, [(r.u(2), r.u(4)) for _ in range(r.u(2))] if with_subsamples else None


def fragments(init, data, by="both"):
    return [Fragment(init, data, b, by) for b in boxes(data) if b.type == b"moof"]


# ---- samples ----

def decrypt_cbcs(aes, key, iv, data, crypt, skip):
    """One protected range: whole blocks, `crypt` of each `crypt + skip`; CBC runs on over those that are skipped."""
    whole = len(data) // 16 * 16
    if not crypt or not skip:
        return aes.decrypt("cbc", key, iv, data[:whole]) + bytes(data[whole:])
    out, step, run = bytearray(data), (crypt + skip) * 16, crypt * 16
    spans = [(at, min(at + run, whole)) for at in range(0, whole, step)]
    got = aes.decrypt("cbc", key, iv, b"".join(data[a:b] for a, b in spans))
    at = 0
    for a, b in spans:
        out[a:b] = got[at:at + b - a]
        at += b - a
    return bytes(out)


def decrypt_sample(aes, scheme, sample, key, data):
    p = sample.params
    ranges, at = [], 0
    for clear, size in sample.subsamples if sample.subsamples is not None else [(0, len(data))]:
        ranges.append((at + clear, at + clear + size))
        at += clear + size
    need(at == len(data), "subsamples sum to %d of %d bytes", at, len(data))
    out = bytearray(data)
    if scheme == b"cenc":
        iv = sample.iv if p.iv_size else p.constant_iv
        need(len(iv) == 8 or int.from_bytes(iv[8:], "big") + len(data) // 16 + 1 < 1 << 64, "counter overflow")
        got = aes.decrypt("ctr", key, iv.ljust(16, b"\0"), b"".join(data[a:b] for a, b in ranges))
        at = 0
        for a, b in ranges:
            out[a:b] = got[at:at + b - a]
            at += b - a
        return bytes(out)
    need(scheme == b"cbcs", "scheme %s", scheme)
    iv = (sample.iv if p.iv_size else p.constant_iv).ljust(16, b"\0")
    for a, b in ranges:
        out[a:b] = decrypt_cbcs(aes, key, iv, data[a:b], p.crypt, p.skip)
    return bytes(out)


def decrypt(init, data, keys, by="both"):
    """(Clear segment, [bytes of each sample]). keys: {kid: key}, 16 bytes each; KeyError for one that is missing."""
    aes, out, samples = Aes(), bytearray(data), []
    for fragment in fragments(init, data, by):
        scheme = init.entries[fragment.entry].scheme
        for s in fragment.samples:
            got = bytes(data[s.offset:s.offset + s.size])
            need(len(got) == s.size, "sample past the end of the file")
            if s.params and s.params.protected:
                got = decrypt_sample(aes, scheme, s, keys[s.params.kid], got)
                out[s.offset:s.offset + s.size] = got
            samples.append(got)
        for b in children(data, fragment.moof) + children(data, fragment.traf):
            seig = b.type in (b"sgpd", b"sbgp") and data[b.body + 4:b.body + 8] == b"seig"
            if b.type in (b"senc", b"saiz", b"saio", b"pssh") or seig:
                out[b.start + 4:b.start + 8] = b"free"
    return bytes(out), samples
