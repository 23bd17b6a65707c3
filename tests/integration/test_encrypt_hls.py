#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""HLS under AES-128 and SAMPLE-AES. AES-128 is undone by `openssl enc` with nothing but the playlist and the keys that
its URIs name, and gives exactly the clear title's segments; players: ffmpeg, with keys as files.

    test_encrypt_hls.py GROUP...     groups: aes128 play sample-aes
"""
import base64
import glob
import os
import re
import shutil
import subprocess
import sys

sys.dont_write_bytecode = True

from test_encrypt import (CUTS, SEGMENTS, attributes, clear_title, encrypted, entry, frames, key_of,  # noqa: E402
                          keys_file, kid_of, made, need_aes, playlist, read, title, verified, run_groups)
from test_package_codecs import source  # noqa: E402
from test_encrypt_ts import same  # noqa: E402
from titles import Skip, ffmpeg, picky, tool  # noqa: E402

URI = "https://keys.example.com/t/1?sig=a%2Fb&n={n}&kid={kid}"
PLAIN = {"cmaf": (), "ts": ("--format", "ts"), "both": ("--format", "both"), "single": ("--single-file",)}


def openssl():
    if not shutil.which("openssl"):
        raise Skip("no openssl")


def opened(data, key, iv):
    """One AES-128 segment by openssl; None: the padding is wrong."""
    run = subprocess.run(["openssl", "enc", "-d", "-aes-128-cbc", "-K", key.hex(), "-iv", iv], input=data,
                         capture_output=True)
    return run.stdout if run.returncode == 0 else None


# ---- AES-128 ----

def walk(out, served, clear, periods=1, each=SEGMENTS, clear_segments=0, ivs=()):
    """Every segment of every rendition, from its playlist alone. served: {URI: key}."""
    tracks, full, count, seen = title(out), 0, 0, set()
    assert sorted(tracks) == sorted(clear), "tracks %s" % sorted(tracks)
    for name, track in tracks.items():
        assert len(track.segments) == len(clear[name].segments) == SEGMENTS, "%s: segments" % name
        if track.header is not None:
            assert track.header == clear[name].header, "%s: init is not the clear one" % name
            assert not track.entries[0].header[2], "%s: KEY before MAP" % name
        for n, (e, data, want) in enumerate(zip(track.entries, track.segments, clear[name].segments)):
            where = "%s segment %d" % (name, n)
            if n < clear_segments:
                assert not e.keys and data == want, "%s is to be clear" % where
                continue
            assert list(e.keys) == ["identity"] and e.key["METHOD"] == "AES-128", "%s: keys %s" % (where, e.keys)
            assert set(e.key) == {"METHOD", "URI", "IV"}, "%s: %s" % (where, e.key)
            iv = re.fullmatch(r"0x([0-9a-f]{32})", e.key["IV"]).group(1)
            assert e.key["URI"] == list(served)[n // each % periods], "%s: URI %s" % (where, e.key["URI"])
            if ivs:
                assert iv == ivs[n // each], "%s: IV %s" % (where, iv)
            else:
                assert (e.key["URI"], iv) not in seen, "%s: an IV that was before" % where
                seen.add((e.key["URI"], iv))
            got = opened(data, served[e.key["URI"]], iv)
            assert got == want, "%s: openssl gives %s bytes, the clear segment has %d" % (
                where, got and len(got), len(want))
            assert len(data) == len(want) // 16 * 16 + 16, "%s: padding" % where
            count, full = count + 1, full + (len(want) % 16 == 0)
            wrong = opened(data, made("wrong"), iv)
            assert wrong != want, "%s: opened by a wrong key" % where
    print("   %d segments of %d tracks by openssl; %d of a multiple of 16" % (count, len(tracks), full))
    return full


def only_hls(out):
    assert not os.path.exists(os.path.join(out, "manifest.mpd")), "there is an MPD"
    assert not glob.glob(out + "/*/*/*/iframes.m3u8"), "there are I-frame playlists"
    for master in glob.glob(out + "/master*.m3u8"):
        text = read(master).decode()
        assert "I-FRAME" not in text, text


def aes128(folder, form, periods=1, each=SEGMENTS, lead=0, own_iv=False):
    openssl()
    keys = [entry("*", "period %d" % n, **({"iv": made("iv %d" % n).hex().upper()} if own_iv else {}))
            for n in range(periods)]
    served = {URI.replace("{n}", str(n)).replace("{kid}", k["kid"]): key_of(k) for n, k in enumerate(keys)}
    options = (["--key-rotation", each] if periods > 1 else []) + (["--clear-lead", lead] if lead else [])
    out, result = encrypted(folder, "aes128", keys, *PLAIN[form], *options, more={"uri": URI})
    assert ("NO_MPD_FOR_AES128" in result.warnings) == (form != "ts"), "warnings %s" % result.warnings
    only_hls(out)
    full = walk(out, served, clear_title(*PLAIN[form]), periods, each, -(-lead // 2),
                [made("iv %d" % n).hex() for n in range(periods)] if own_iv else ())
    assert form != "ts" or full, "no segment of a multiple of 16 bytes"
    verified(out)


# ---- players ----

def played(path, kind="v", which=0):
    """Frames that ffmpeg gets out of a playlist."""
    return frames(path, kind, ["-allowed_extensions", "ALL", "-protocol_whitelist", "file,crypto,data", *picky()], which)


def play(folder, form, *more):
    """The key lies where the playlist says; then another one lies there."""
    keys = [entry("*", "period %d" % n) for n in range(4)]
    at = os.path.join(folder, "keys")
    os.mkdir(at)
    out, _ = encrypted(folder, "aes128", keys, *PLAIN[form], *more, "--key-rotation", "2", "--write-key-file",
                       at + "/key-{n}.bin", more={"uri": "../../../../keys/key-{n}.bin"})
    assert sorted(os.listdir(at)) == ["key-%d.bin" % n for n in range(4)], os.listdir(at)
    for n, k in enumerate(keys):
        path = os.path.join(at, "key-%d.bin" % n)
        assert read(path) == key_of(k), "%s holds something else" % path
        assert os.stat(path).st_mode & 0o777 == 0o600, "mode %o of %s" % (os.stat(path).st_mode & 0o777, path)
    lists = sorted(glob.glob(out + "/*/*/*/playlist.m3u8"))
    clear = {"/".join(p.split("/")[-3:-1]): p for p in clear_lists(form)}
    total = 0
    for path in lists:
        name = "/".join(path.split("/")[-3:-1])
        for kind in "a" if name.startswith("audio") else "va" if name.startswith("ts") else "v":
            a, b = played(path, kind), played(clear[name], kind)
            assert a == b, "%s: %d frames, %d in clear" % (name, len(a), len(b))
            total += len(a)
    print("   %d frames of %d playlists equal" % (total, len(lists)))
    for n in range(4):
        with open(os.path.join(at, "key-%d.bin" % n), "wb") as f:
            f.write(made("wrong"))
    try:
        got = played(lists[-1])
    except AssertionError:
        return
    assert not set(got) & set(played(clear["/".join(lists[-1].split("/")[-3:-1])])), "a wrong key gives pictures"


def clear_lists(form):
    found = clear_title(*PLAIN[form])
    return sorted({os.path.join(os.path.dirname(t.entries[0].path), "playlist.m3u8") for t in found.values()})


# ---- SAMPLE-AES ----

def longer(path):
    """The playlist with its last segment twice: some versions of ffmpeg decrypt what they still hold of a segment as if
    it belonged to the one after it."""
    text = read(path).decode()
    last = [line for line in text.split("\n") if line and not line.startswith("#")][-1]
    to = path.replace(".m3u8", "-longer.m3u8")
    with open(to, "w", encoding="utf-8") as f:
        f.write(text.replace("#EXT-X-ENDLIST", "#EXT-X-DISCONTINUITY\n#EXTINF:2.0,\n%s\n#EXT-X-ENDLIST" % last))
    return to


def longer_master(out):
    """The master that names them: of packed AC-3 ffmpeg wants to know from the master that it is sound."""
    to = os.path.join(out, "master-longer.m3u8")
    path = glob.glob(out + "/master-ts.m3u8") or [os.path.join(out, "master.m3u8")]
    with open(to, "w", encoding="utf-8") as f:
        f.write(read(path[0]).decode().replace("playlist.m3u8", "playlist-longer.m3u8"))
    return to


def undone(out, clear_out, served, clear_segments=0):
    """Units of all segments against those of the clear title. served: {URI: key}."""
    units, hidden, lists = 0, 0, sorted(glob.glob(out + "/*/ts/*/playlist.m3u8"))
    for path in lists:
        name = "/".join(path.split("/")[-3:-1])
        pairs = list(zip(playlist(path), playlist(glob.glob(os.path.join(clear_out, "*", name, "playlist.m3u8"))[0])))
        for n, (e, c) in enumerate(pairs):
            key = iv = None
            if n >= clear_segments:
                assert list(e.keys) == ["identity"] and e.key["METHOD"] == "SAMPLE-AES", "%s segment %d: %s" % (
                    name, n, e.keys)
                key, iv = served[e.key["URI"]], bytes.fromhex(re.fullmatch("0x([0-9a-f]{32})", e.key["IV"]).group(1))
            else:
                assert not e.keys, "%s segment %d: %s" % (name, n, e.keys)
            got = same(read(e.path), read(c.path), key, iv, "%s segment %d" % (name, n))
            assert bool(got[1]) == bool(key), "%s segment %d: %d units under encryption" % (name, n, got[1])
            units, hidden = units + got[0], hidden + got[1]
    print("   %d units of %d playlists equal, %d were under encryption" % (units, len(lists), hidden))
    assert hidden


def by_ffmpeg(out, clear_out, kinds):
    total, lists = 0, sorted(glob.glob(out + "/*/ts/*/playlist.m3u8"))
    for path in lists:
        name = "/".join(path.split("/")[-3:-1])
        clear = glob.glob(os.path.join(clear_out, "*", name, "playlist.m3u8"))[0]
        for kind in kinds(name):
            b = played(clear, kind)
            if glob.glob(os.path.dirname(path) + "/*.ac3") + glob.glob(os.path.dirname(path) + "/*.ec3"):
                for p in lists:
                    longer(p)
                master = longer_master(out)
                uris = re.findall('TYPE=AUDIO.*URI="([^"]*)"', read(master).decode())
                a = played(master, kind, [os.path.dirname(u).split("/", 1)[1] for u in uris].index(name))
            else:
                a = played(longer(path), kind)
            differ = [n for n, (x, y) in enumerate(zip(a, b)) if x != y]
            assert len(a) > len(b) and not differ, "%s %s: frames %s of %d differ" % (name, kind, differ[:4], len(b))
            total += len(b)
    print("   %d frames of %d playlists by ffmpeg equal" % (total, len(lists)))


def sample_aes(folder, form, periods=1, each=SEGMENTS, lead=0):
    need_aes()
    keys = [entry("*", "period %d" % n) for n in range(periods)]
    options = (["--key-rotation", each] if periods > 1 else []) + (["--clear-lead", lead] if lead else [])
    out, _ = encrypted(folder, "cbcs", keys, *PLAIN[form], *options, more={"uri": folder + "/key-{n}.bin"})
    verified(out)
    served = {}
    for n, k in enumerate(keys):
        at = os.path.join(folder, "key-%d.bin" % n)
        served[at] = key_of(k)
        with open(at, "wb") as f:
            f.write(key_of(k))
    clear = clear_title(*PLAIN[form])
    root = os.path.join(os.path.dirname(next(iter(clear.values())).entries[0].path), "../../..")
    undone(out, root, served, -(-lead // 2))
    if periods == 1 and not lead: # see longer()
        by_ffmpeg(out, root, lambda name: "va")


def sample_aes_package(folder, video, audio, tracks=1, ffmpeg_can=True):
    """Ready-made renditions; several audio tracks: packed audio. ffmpeg_can: it cannot several slices, of which it
    moves one over another when it has taken bytes out of the first."""
    need_aes()
    path, outs = source(video, audio), {}
    if tracks > 1:
        two = os.path.join(folder, "two.mkv")
        ffmpeg(["-i", path, "-i", path, "-map", "0:v", "-map", "0:a", "-map", "1:a", "-c", "copy", "-metadata:s:a:0",
                "language=eng", "-metadata:s:a:1", "language=fre", two])
        path = two
    key, at = entry(), os.path.join(folder, "key.bin")
    with open(at, "wb") as f:
        f.write(key_of(key))
    keys = keys_file(folder, [key], uri=at)
    for name, more in (("clear", []), ("out", ["--encrypt", "cbcs", "--keys", keys])):
        outs[name] = os.path.join(folder, name)
        r = tool("package", path, outs[name], "--format", "ts", *CUTS, *more, "--progress", "none")
        assert r.code == 0, r.err[-500:]
        verified(outs[name])
    alone = glob.glob(outs["out"] + "/*/ts/*-stereo*/playlist.m3u8")
    assert bool(alone) == (tracks > 1), "packed audio: %s" % alone
    undone(outs["out"], outs["clear"], {at: key_of(key)})
    if ffmpeg_can:
        by_ffmpeg(outs["out"], outs["clear"], lambda name: "a" if "stereo" in name else "v" if alone else "va")


# ---- what players are told (FEATURES 24 to 27) ----

SYSTEMS = {"widevine": "edef8ba979d64acea3c827dcd51d21ed", "playready": "9a04f07998404286ab92e65be0885f95"}
DRM = [{"system": "widevine"}, {"system": "playready", "laurl": "https://pr.example.com/"},
       {"system": "fairplay", "uri": "skd://{kid}"}, {"system": "clearkey", "laurl": "https://ck.example.com/"}]


def signalling(folder, scheme):
    keys = [entry("audio"), entry("*")]
    out, _ = encrypted(folder, scheme, keys, more={"drm": DRM})
    verified(out)
    for name, track in title(out).items():
        kid = kid_of(keys[0 if name.startswith("audio") else 1])
        for e in track.entries:
            told_hls(name, scheme, e.keys, kid)
    with open(os.path.join(out, "master.m3u8"), encoding="utf-8") as f:
        session = [attributes(line) for line in f if line.startswith("#EXT-X-SESSION-KEY:")]
    media = [a for t in title(out).values() for a in t.entries[0].keys.values()]
    assert session and all(a in media for a in session), "SESSION-KEYs that no playlist has"
    text = read(os.path.join(out, "manifest.mpd")).decode()
    boxes = [base64.b64decode(x) for x in re.findall(r"<cenc:pssh>\s*([^<\s]*)", text)]
    assert {b[12:28].hex() for b in boxes} >= set(SYSTEMS.values()), "pssh in the MPD"
    for b in boxes:
        assert int.from_bytes(b[:4], "big") == len(b) and b[4:8] == b"pssh", b[:8]
        both = (kid_of(keys[0]), kid_of(keys[1]))
        spelt = both + tuple(base64.b64encode(swapped(k)).decode().encode("utf-16-le") for k in both)
        assert any(k in b for k in spelt), "pssh without a KID"
    print("   %d SESSION-KEYs, %d pssh boxes" % (len(session), len(boxes)))


def swapped(kid):
    """A KID as PlayReady writes it."""
    return kid[3::-1] + kid[5:3:-1] + kid[7:5:-1] + kid[8:]


def told_hls(name, scheme, keys, kid):
    method = {"cenc": "SAMPLE-AES-CTR", "cbcs": "SAMPLE-AES"}[scheme]
    assert all(a["METHOD"] == method for a in keys.values()), "%s: %s" % (name, keys)
    wanted = {"urn:uuid:edef8ba9-79d6-4ace-a3c8-27dcd51d21ed", "com.microsoft.playready"} | (
        {"com.apple.streamingkeydelivery"} if scheme == "cbcs" else set())
    assert wanted <= set(keys), "%s: key formats %s" % (name, sorted(keys))
    if scheme == "cbcs":
        fair = keys["com.apple.streamingkeydelivery"]
        assert fair["URI"].startswith("skd://") and "IV" not in fair and fair["KEYFORMATVERSIONS"] == "1", fair
        assert kid.hex() in fair["URI"].replace("-", ""), fair
    else:
        assert "com.apple.streamingkeydelivery" not in keys, "FairPlay cannot have cenc"
    box = base64.b64decode(keys["urn:uuid:edef8ba9-79d6-4ace-a3c8-27dcd51d21ed"]["URI"].split("base64,")[1])
    assert box[4:8] == b"pssh" and box[12:28].hex() == SYSTEMS["widevine"] and kid in box, "%s: Widevine" % name
    head, pro = keys["com.microsoft.playready"]["URI"].split("base64,")
    pro = base64.b64decode(pro)
    assert head == "data:text/plain;charset=UTF-16;" and int.from_bytes(pro[:4], "little") == len(pro), "%s: PRO" % name
    assert base64.b64encode(swapped(kid)).decode() in pro[10:].decode("utf-16-le"), "%s: KID of PlayReady" % name


# ---- groups ----

def aes128_group(cases):
    for form in ("cmaf", "ts", "single"):
        cases.run("aes128 " + form, aes128, form)
    cases.run("aes128 cmaf rotated, clear lead", aes128, "cmaf", 4, 2, 3)
    cases.run("aes128 both rotated, own iv", aes128, "both", 3, 3, 0, True)
    cases.run("aes128 single rotated, clear lead", aes128, "single", 3, 3, 2)


def play_group(cases):
    cases.run("played cmaf", play, "cmaf")
    cases.run("played ts", play, "ts")


def sample_aes_group(cases):
    cases.run("sample-aes muxed", sample_aes, "ts")
    cases.run("sample-aes both", sample_aes, "both")
    cases.run("sample-aes rotated, clear lead", sample_aes, "ts", 3, 3, 2)
    cases.run("sample-aes slices", sample_aes_package, "h264_slices", "aac", 1, False)
    cases.run("sample-aes small slices", sample_aes_package, "h264_rich", "aac", 1, False)
    cases.run("sample-aes ac3", sample_aes_package, "h264", "ac3")
    cases.run("sample-aes eac3", sample_aes_package, "h264", "eac3")
    cases.run("sample-aes packed aac", sample_aes_package, "h264", "aac", 2)
    cases.run("sample-aes packed ac3", sample_aes_package, "h264", "ac3", 2)
    cases.run("sample-aes packed eac3", sample_aes_package, "h264", "eac3", 2)
    # ffmpeg takes each frame of one block for a unit of its own, and with it starts the chain anew
    cases.run("sample-aes eac3 short", sample_aes_package, "h264", "eac3_short", 1, False)
    cases.run("sample-aes packed eac3 short", sample_aes_package, "h264", "eac3_short", 2, False)
    for scheme in ("cenc", "cbcs"):
        cases.run("signalling " + scheme, signalling, scheme)


GROUPS = {"aes128": aes128_group, "play": play_group, "sample-aes": sample_aes_group}


if __name__ == "__main__":
    sys.exit(run_groups(GROUPS))
