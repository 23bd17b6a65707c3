#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""CMAF under cenc and cbcs (ISO/IEC 23001-7), judged by a decryptor of our own that was written from the specification,
by Shaka Packager and by ffmpeg: what comes out is the clear title, sample by sample and picture by picture.

    test_encrypt_cmaf.py GROUP...     groups: samples rotation package
"""
import os
import re
import subprocess
import sys

sys.dont_write_bytecode = True

from clips import clip as define, lavfi, run as make_clip, test_video  # noqa: E402
from decrypt import Init, decrypt, fragments  # noqa: E402
from test_encrypt import (CUTS, SEGMENTS, TRACKS, clear_title, encrypted, entry, frames, keys_file,  # noqa: E402
                          kid_of, known, made, need_aes, read, shaka, shaka_keys, title, verified, run_groups)
from test_package_codecs import source  # noqa: E402
from titles import FAST, FULL, Skip, clip, ladder, tool, tree  # noqa: E402

SCHEMES = ("cenc", "cbcs")
ONE = [entry()]
LABELS = [entry(x) for x in ("audio", "sd", "hd", "uhd")]
@define("crypt_labels.mp4", "2 s for rungs of all labels")
def _(to, dep):
    make_clip(lavfi(test_video("2048x1152", "5", "2"), "sine=d=2:r=48000")
              + "-c:v libx264 -preset ultrafast -c:a aac".split(), to)


# ---- what must hold for every protected track ----

def facts(name, track, scheme, clear_segments=0):
    """Sample entries, IVs, subsamples and boxes; gives [(kid, IV, blocks)] of all samples."""
    init, out = track.init, []
    audio = name.startswith("audio")
    e = init.entries[0]
    assert e.scheme == scheme.encode() and e.params.protected, "%s: %s" % (name, e.scheme)
    assert len(init.entries) == (2 if clear_segments else 1), "%s: %d sample entries" % (name, len(init.entries))
    if clear_segments:
        assert init.entries[1].type == e.original and not init.entries[1].params, "%s: second entry" % name
    assert not init.pssh, "%s: moov/pssh" % name
    for n, data in enumerate(track.segments):
        for f in fragments(init, data):
            if n < clear_segments:
                assert f.entry == 1 and not {b"senc", b"saiz", b"saio", b"sgpd", b"sbgp"} & set(f.boxes), \
                    "%s: segment %d is to be clear" % (name, n)
                continue
            assert f.entry == 0 and all(s.params.protected for s in f.samples), "%s: clear samples in segment %d" % (
                name, n)
            assert len({s.params for s in f.samples}) == 1, "%s: a fragment of two keys" % name
            sample_facts(name, f, scheme, audio)
            out += [(s.params.kid, s.iv or s.params.constant_iv,
                     -(-sum(y for _, y in s.subsamples or [(0, s.size)]) // 16)) for s in f.samples]
    return out


def sample_facts(name, f, scheme, audio):
    p = f.samples[0].params
    if scheme == "cenc":
        assert p.iv_size == 8 and (p.crypt, p.skip) == (0, 0), "%s: %s" % (name, p)
        assert f.init.entries[0].tenc_version == 0, "%s: tenc version" % name
        assert {b"senc", b"saiz", b"saio"} <= set(f.boxes), "%s: %s" % (name, f.boxes)
    else:
        assert p.iv_size == 0 and len(p.constant_iv) == 16, "%s: %s" % (name, p)
        assert (p.crypt, p.skip) in ([(0, 0)] if audio else [(1, 9)]), "%s: pattern %d:%d" % (name, p.crypt, p.skip)
        assert f.init.entries[0].tenc_version == 1, "%s: tenc version" % name
    for s in f.samples:
        if audio:
            assert s.subsamples is None, "%s: subsamples" % name
            continue
        assert s.subsamples and sum(a + b for a, b in s.subsamples) == s.size, "%s: subsamples" % name
        if scheme == "cenc":
            assert all(b % 16 == 0 for _, b in s.subsamples), "%s: ranges that are not whole blocks" % name
        assert s.subsamples[0][0] >= 5, "%s: NAL header under encryption" % name
        hidden = sum(b for _, b in s.subsamples)
        assert hidden >= s.size - 128, "%s: only %d of %d bytes under encryption" % (name, hidden, s.size)


def disjoint(ranges):
    """No counter block of a key serves twice (E08); 8-byte IVs: the rest counts blocks from zero."""
    seen = set()
    for kid, iv, blocks in ranges:
        assert len(iv) == 8 and 0 < blocks < 1 << 32, "IV %s, %d blocks" % (iv.hex(), blocks)
        assert (kid, iv) not in seen, "IV %s serves twice under %s" % (iv.hex(), kid.hex())
        seen.add((kid, iv))
    return len(seen)


def rows(track):
    """What the headers say of samples, apart from protection."""
    return [(f.time, [s[1:5] for s in f.samples]) for data in track.segments for f in fragments(track.init, data)]


def same_as_clear(tracks, keys, scheme, *args, clear_segments=0, names=TRACKS):
    clear, total, ranges = clear_title(*args), 0, []
    assert sorted(tracks) == sorted(clear) == sorted(names), "tracks %s" % sorted(tracks)
    for name, track in tracks.items():
        want = clear[name].samples({})
        assert len(track.segments) == len(clear[name].segments), name
        for by in ("senc", "saio", "both"):
            got = track.samples(keys, by)
            bad = [n for n, (a, b) in enumerate(zip(got, want)) if a != b]
            assert len(got) == len(want) and not bad, "%s by %s: samples %s of %d differ" % (
                name, by, bad[:4], len(want))
        assert rows(track) == rows(clear[name]), "%s: times, sizes or flags differ" % name
        ranges += facts(name, track, scheme, clear_segments)
        total += len(want)
    if scheme == "cenc":
        assert disjoint(ranges) == len(ranges)
    return total


def default_kids(out):
    """{kind: default_KID of MPD, all forms of one set}."""
    text = read(os.path.join(out, "manifest.mpd")).decode()
    found = {}
    for body in re.findall(r"<AdaptationSet(.*?)</AdaptationSet>", text, re.S):
        kids = re.findall(r'value="(cenc|cbcs)" cenc:default_KID="([^"]*)"', body)
        assert len(kids) == 1 and kids[0][1] == kids[0][1].lower(), "default_KIDs %s" % kids
        for name in re.findall(r'<Representation id="([^"]*)"', body):
            found[name] = kids[0]
    return found


def same_kids(out, tracks, scheme):
    """MPD and tenc name the same (E13)."""
    said = default_kids(out)
    for name, track in tracks.items():
        kid = track.init.entries[0].params.kid.hex()
        text = "-".join((kid[:8], kid[8:12], kid[12:16], kid[16:20], kid[20:]))
        assert said[os.path.basename(name)] == (scheme, text), "%s: MPD says %s, tenc %s" % (name, said, text)


# ---- samples ----

def samples(folder, scheme, *args):
    need_aes()
    out, _ = encrypted(folder, scheme, ONE, *args)
    verified(out)
    tracks = title(out)
    n = same_as_clear(tracks, known(ONE), scheme, *args)
    same_kids(out, tracks, scheme)
    hidden = [x for t in tracks.values() for d in t.segments for f in fragments(t.init, d) for x in f.samples]
    print("   %d samples of %d tracks equal the clear ones by senc, by saiz and saio" % (n, len(tracks)))
    assert hidden
    wrong_key(folder, tracks["video/144p"])
    if "--single-file" in args and scheme == "cenc":
        with_ffmpeg(tracks)


def wrong_key(folder, track):
    wrong = {kid: made("wrong") for kid in known(ONE)}
    clear = track.samples(known(ONE))
    got = track.samples(wrong)
    assert all(a != b for a, b in zip(got, clear)), "samples come out right under a wrong key"
    path = os.path.join(folder, "wrong.mp4")
    with open(path, "wb") as f:
        f.write(track.clear(wrong))
    run = subprocess.run(["ffmpeg", "-v", "error", "-nostdin", "-i", path, "-f", "null", "-"], capture_output=True,
                         text=True)
    assert run.stderr, "ffmpeg decodes pictures of a wrong key without an error"


def with_ffmpeg(tracks):
    for name, track in tracks.items():
        kind = name[0]
        path = track.entries[0].path
        want = clear_title("--single-file")[name].entries[0].path
        got = frames(path, kind, ["-decryption_key", ONE[0]["key"]])
        assert got == frames(want, kind), "%s: what ffmpeg decrypts differs" % name
        print("   %s: %d frames by ffmpeg -decryption_key equal" % (name, len(got)))


def with_shaka(folder, scheme):
    out, _ = encrypted(folder, scheme, LABELS)
    clear = clear_title()
    for name, track in title(out).items():
        kind = "audio" if name.startswith("audio") else "video"
        path, to, want = (os.path.join(folder, "%s-%s.mp4" % (name.replace("/", "-"), x))
                          for x in ("in", "out", "clear"))
        shaka("in=%s,stream=%s,output=%s" % (track.write(path), kind, to), "--enable_raw_key_decryption",
              shaka_keys(LABELS))
        a, b = frames(to, kind[0]), frames(clear[name].write(want), kind[0])
        assert a == b, "%s: %d of %d frames differ" % (name, sum(x != y for x, y in zip(a, b)), len(b))
        print("   %s: %d frames by Shaka Packager equal" % (name, len(a)))


def labels(folder, scheme):
    need_aes()
    out = os.path.join(folder, "out")
    rungs = ladder(folder, ("1152p", 1152, 900), ("576p", 576, 300), ("144p", 144, 80))
    keys = keys_file(folder, LABELS)
    r = tool("publish", clip("crypt_labels.mp4"), out, *FAST, "--ladder", rungs, "--encrypt", scheme, "--keys", keys,
             "--progress", "none")
    assert r.code == 0, r.err
    verified(out)
    tracks, seen = title(out), {}
    for name, label in (("audio/und-stereo", "audio"), ("video/1152p", "uhd"), ("video/576p", "hd"),
                        ("video/144p", "sd")):
        kid, own = tracks[name].init.entries[0].params.kid, next(e for e in LABELS if e["label"] == label)
        assert kid == kid_of(own), "%s is under %s" % (name, kid.hex())
        seen[name] = tracks[name].samples(known([own]))
        facts(name, tracks[name], scheme)
    same_kids(out, tracks, scheme)
    text = read(os.path.join(out, "manifest.mpd")).decode()
    sets = len(re.findall("<AdaptationSet ", text))
    assert sets == 4 and text.count("urn:mpeg:dash:adaptation-set-switching:2016") == 3, "%d adaptation sets" % sets
    # `*` serves labels that have no key of their own.
    out, some = os.path.join(folder, "some"), [entry(), entry("hd")]
    r = tool("publish", clip("crypt_labels.mp4"), out, *FAST, "--ladder", rungs, "--encrypt", scheme, "--keys",
             keys_file(folder, some, "some.json"), "--progress", "none")
    assert r.code == 0, r.err
    for name, track in title(out).items():
        want = some[1 if name == "video/576p" else 0]
        assert track.init.entries[0].params.kid == kid_of(want), name
        assert track.samples(known([want])) == seen[name], "%s differs under other keys" % name


# ---- rotation, clear lead ----

def rotation(folder, scheme, periods, lead, *args):
    """Segments under `periods` keys in turn; those that begin before `lead` s are clear."""
    need_aes()
    keys = [entry("*", "period %d" % n) for n in range(periods)]
    each = -(-SEGMENTS // periods)
    options = (["--key-rotation", each] if periods > 1 else []) + (["--clear-lead", lead] if lead else [])
    out, _ = encrypted(folder, scheme, keys, *options, *args)
    verified(out)
    tracks = title(out)
    clear_segments = -(-lead // 2)
    n = same_as_clear(tracks, known(keys), scheme, *args, clear_segments=clear_segments)
    for name, track in tracks.items():
        for number, data in enumerate(track.segments):
            want = None if number < clear_segments else kid_of(keys[number // each])
            got = {s.params and s.params.kid for f in fragments(track.init, data) for s in f.samples}
            assert got == {want}, "%s: segment %d is under %s" % (name, number, got)
            if want:
                assert decrypt(track.init, data, known([keys[number // each]]))
        seig = [f.seig for d in track.segments for f in fragments(track.init, d)]
        assert any(seig) == (periods > 1), "%s: seig in %s" % (name, seig)
    same_kids(out, tracks, scheme)
    print("   %d samples; %d periods of %d segments, %d clear" % (n, periods, each, clear_segments))


def too_new(folder):
    """Every publish has IVs of its own; plain samples are the same (E08)."""
    need_aes()
    ranges, plain, ivs = [], [], []
    for n in range(2):
        out, _ = encrypted(folder, "cenc", ONE, name="out%d" % n)
        tracks = title(out)
        ranges += [r for name, t in tracks.items() for r in facts(name, t, "cenc")]
        plain.append({name: t.samples(known(ONE)) for name, t in tracks.items()})
    assert plain[0] == plain[1], "samples differ"
    assert disjoint(ranges) == len(ranges)
    for n in range(2):
        out, _ = encrypted(folder, "cbcs", ONE, name="cbcs%d" % n)
        ivs.append({t.init.entries[0].params.constant_iv for t in title(out).values()})
    assert not ivs[0] & ivs[1], "two publishes under one constant IV"
    own = [dict(entry(), iv=made("iv").hex())]
    out, _ = encrypted(folder, "cbcs", own, name="own")
    for name, t in title(out).items():
        assert t.init.entries[0].params.constant_iv == made("iv"), "%s: IV of the key file" % name
        assert t.samples(known(own)) == plain[0][name], name
    print("   %d counter ranges of two publishes, none twice" % len(ranges))


# ---- ready-made renditions ----

def package(folder, scheme, video, audio):
    need_aes()
    path, paths = source(video, audio), {}
    keys = keys_file(folder, LABELS)
    for name, more in (("clear", []), (scheme, ["--encrypt", scheme, "--keys", keys])):
        paths[name] = os.path.join(folder, name)
        r = tool("package", path, paths[name], *CUTS, *more, "--progress", "none")
        if r.reason == "CODEC_UNSUPPORTED" and more:
            raise Skip("package answers " + r.err.strip().split("\n")[-1])
        assert r.code == 0, r.err[-500:]
        verified(paths[name])
    clear, tracks, total = title(paths["clear"]), title(paths[scheme]), 0
    for name, track in tracks.items():
        for by in ("senc", "saio", "both"):
            assert track.samples(known(LABELS), by) == clear[name].samples({}), "%s by %s: samples differ" % (name, by)
        assert rows(track) == rows(clear[name]), "%s: times, sizes or flags differ" % name
        total += len(track.samples(known(LABELS)))
        sizes = [(s.size, sum(b for _, b in s.subsamples or [(0, s.size)]))
                 for d in track.segments for f in fragments(track.init, d) for s in f.samples]
        covered = sum(b for _, b in sizes) / sum(a for a, _ in sizes)
        assert covered > 0.7 or video == "h264_sei", "%s: only %.2f under encryption" % (name, covered)
        if scheme == "cenc":
            disjoint([(s.params.kid, s.iv, 1) for d in track.segments for f in fragments(track.init, d)
                      for s in f.samples])
    print("   %d samples of %s equal" % (total, sorted(tracks)))
    maps(folder, scheme, clear, tracks)


def maps(folder, scheme, clear, tracks):
    """Shaka Packager encrypts the same samples: ours decrypts them (so the decryptor is right), and both leave the same
    bytes of each sample clear."""
    for name, track in clear.items():
        kind, at = ("audio" if name.startswith("audio") else "video"), os.path.join(folder, name.replace("/", "-"))
        try:
            shaka("in=%s,stream=%s,init_segment=%s-init.mp4,segment_template=%s-$Number%%05d$.m4s"
                  % (track.write(at + ".mp4"), kind, at, at), "--segment_duration", "2", "--clear_lead", "0",
                  "--enable_raw_key_encryption", shaka_keys([entry()]), "--protection_scheme", scheme,
                  "--fragment_duration", "1")
        except Skip as why:
            print("   skipped: %s" % why)
            return
        init, names = Init(read(at + "-init.mp4")), sorted(x for x in os.listdir(folder) if x.startswith(
            os.path.basename(at)) and x.endswith(".m4s"))
        theirs = [read(os.path.join(folder, x)) for x in names]
        want = track.samples({})
        for by in ("senc", "saio"):
            got = [s for d in theirs for s in decrypt(init, d, known([entry()]), by)[1]]
            assert got == want, "%s: Shaka Packager's by %s: %d of %d samples differ" % (
                name, by, sum(a != b for a, b in zip(got, want)), len(want))
        a, b = ([hidden(s) for d in x for f in fragments(i, d) for s in f.samples]
                for i, x in ((init, theirs), (tracks[name].init, tracks[name].segments)))
        whole = kind == "video" and (scheme == "cenc" or init.entries[0].original == b"av01")
        differ = [n for n, (x, y) in enumerate(zip(a, b)) if not alike(y, x, whole)]
        assert not differ, "%s: sample %d of %d and %d: ours leaves other bytes clear: %s; Shaka Packager %s" % (
            name, differ[0], len(b), len(a), b[differ[0]], a[differ[0]])
        print("   %s: %d samples of Shaka Packager decrypted; the same bytes (up to %d ranges) are under encryption" % (
            name, len(want), max(len(x) for x in b)))


def hidden(s):
    """Encrypted ranges: (bytes from the start of the sample, size)."""
    at, out = 0, []
    for clear, size in s.subsamples if s.subsamples is not None else [(0, s.size)]:
        out, at = out + ([(at + clear, size)] if size else []), at + clear + size
    return out


def alike(ours, theirs, whole):
    """The same ranges, but for those that have no block. Of whole blocks: Shaka Packager leaves what is left of a block
    clear at the end (and in cbcs of AV1 counts it in), ours at the start, as the binding of AV1 wants it (to the last
    byte of the tile)."""
    if not whole:
        return [x for x in ours if x[1] >= 16] == [x for x in theirs if x[1] >= 16]
    theirs = [(at, size // 16 * 16) for at, size in theirs if size >= 16]
    return len(ours) == len(theirs) and all(s == t and 0 <= a - b < 16 for (a, s), (b, t) in zip(ours, theirs))


def not_vp9(folder):
    keys = keys_file(folder, ONE)
    r = tool("package", source("vp9", "opus"), folder + "/out", *CUTS, "--encrypt", "cbcs", "--keys", keys)
    assert r.code == 1 and r.reason == "CODEC_UNSUPPORTED", "exit %d, %s" % (r.code, r.err)
    assert not os.path.exists(folder + "/out"), "something was written"


def nothing_left(folder):
    keys = keys_file(folder, ONE)
    for n in range(2):
        r = tool("package", source("h264", "aac"), folder + "/out", *CUTS, "--encrypt", "cenc", "--keys", keys)
        assert r.code == 0 and ("ALREADY_DONE" in r.err) == bool(n), "exit %d, %s" % (r.code, r.err)
        assert not os.path.exists(folder + "/out/.vodpipe"), "the work folder is left: %s" % sorted(
            p for p in tree(folder + "/out") if p.startswith(".vodpipe"))


# ---- groups ----

def samples_group(cases):
    for scheme in SCHEMES:
        for args in ((), ("--single-file",)):
            cases.run("%s %s" % (scheme, args and "single" or "cmaf"), samples, scheme, *args)
        cases.run(scheme + " by Shaka Packager", with_shaka, scheme)
        cases.run(scheme + " labels", labels, scheme)


def rotation_group(cases):
    for scheme, periods, lead, args in (("cenc", 3, 0, ()), ("cbcs", 4, 0, ("--single-file",)), ("cenc", 7, 3, ()),
                                        ("cbcs", 2, 4, ()), ("cenc", 1, 4, ("--single-file",))):
        cases.run("%s %d keys, %d s clear%s" % (scheme, periods, lead, " single" if args else ""), rotation, scheme,
                  periods, lead, *args)
    cases.run("IVs of two publishes", too_new)


def package_group(cases):
    def run(video, audio, *schemes):
        for scheme in schemes:
            name = " ".join(x for x in (video, audio, scheme) if x)
            cases.run("package " + name, package, scheme, video, audio)

    for video, audio in (("h264", "aac"), ("hevc", "ac3"), ("av1", "eac3"), (None, "opus"), (None, "flac")):
        run(video, audio, *SCHEMES)
    run("h264_sei", None, *SCHEMES)
    cases.run("package vp9", not_vp9)
    cases.run("package leaves nothing", nothing_left)
    for n, video in enumerate(("h264_slices", "h264_refs", "h264_rich", "hevc_slices", "hevc_rows", "av1_tiles",
                               "av1_good", "h264_fields", "hevc_hev1")):
        run(video, None, *(SCHEMES if FULL else [SCHEMES[n % 2]]))


GROUPS = {"samples": samples_group, "rotation": rotation_group, "package": package_group}


if __name__ == "__main__":
    sys.exit(run_groups(GROUPS))
