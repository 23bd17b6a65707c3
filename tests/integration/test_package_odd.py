#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""`vodpipe package` of what is rare but legal: signalling of SBR and PS, layouts of their own, substreams and object audio,
samples of 24 bits, parameter sets and sequence headers that come again or change, interlaced pictures."""
import os
import re
import shutil
import struct
import subprocess
import sys

sys.dont_write_bytecode = True

from clips import AAC, X264, clip as define, lavfi, run as make_clip, write  # noqa: E402
from test_package_codecs import CUTS, HAVE, boxes_of, dump, refused  # noqa: E402
from titles import Cases, Skip, Sound, audios, check, clip, ffmpeg, good, joined, picture_hashes, tool, videos  # noqa: E402

PICTURE = "testsrc2=s=160x96:r=25:d=4"
GRID = "-g 25 -keyint_min 25 -sc_threshold 0".split()


def bits(*fields):
    """Bytes of (width, value) pairs."""
    return packed("".join(format(value, "0%db" % width) for width, value in fields))


def packed(text):
    text += "0" * (-len(text) % 8)
    return bytes(int(text[i:i + 8], 2) for i in range(0, len(text), 8))


def unpacked(data):
    return "".join(format(x, "08b") for x in data)


def tones(channels, rate=48000, layout=None):
    """A source of another tone in each channel."""
    text = "|".join("0.1*sin(2*PI*%d*t)" % (300 + 50 * n) for n in range(channels))
    return "aevalsrc='%s'%s:d=4:s=%d" % (text, ":c=" + layout if layout else "", rate)


def rendition(to, picture, sound, channels=1, rate=48000, layout=None):
    """A picture and sound that is coded as told, in one file."""
    make_clip(lavfi(PICTURE, tones(channels, rate, layout)) + picture + sound + ["-strict", "-2"], to)


def packaged(folder, path, *options):
    out = os.path.join(folder, "out")
    shutil.rmtree(out, ignore_errors=True)
    r = good("package", path, out, *CUTS, *options)
    c = check(out, decode=False)
    v = tool("verify", out, "--decode")
    assert v.code == 0, v.out
    return c, r


def same_samples(c, folder, path):
    """The packaged sound is that of the file, where both have it."""
    a, b = (ffmpeg(["-i", p, "-map", "0:a", "-f", "framemd5", "-"]) for p in (path, joined(c, audios(c)[0], folder)))
    want, got = ([line.split(",")[5].strip() for line in x.split("\n") if line.startswith("0,")] for x in (a, b))
    # the priming frame is left out, a silent one may cover the end; decoders begin without what was before
    assert set(got[3:-3]) <= set(want), "%d of %d frames differ" % (len(set(got[3:-3]) - set(want)), len(got))


def true_string(c, folder, want):
    t, = audios(c)
    assert t.codecs == [want], "%s, not %s" % (t.codecs, want)
    info = dump(joined(c, t, folder), "audio")
    if info:
        assert info["codec_string"].strip().lower() == want.lower(), "Shaka Packager says " + info["codec_string"]
    return t


# ---- AAC ----

@define("po_24k.mp4", "AAC of 24 kHz, mono")
def _(to, dep):
    rendition(to, X264 + GRID, AAC, rate=24000)


def with_asc(path, asc, to):
    """The file with another AudioSpecificConfig."""
    data = bytearray(open(path, "rb").read())
    moov = data.rfind(b"moov")
    entry = data.index(b"mp4a", data.index(b"soun", moov)) - 4
    at = data.index(b"esds", entry) - 4

    def descriptor(tag, body):
        return bytes([tag, 0x80, 0x80, 0x80, len(body)]) + body
    decoder = b"\x40\x15\0\0\0" + struct.pack(">II", 64000, 64000) + descriptor(5, asc)
    body = b"\0\0\0\0" + descriptor(3, b"\0\2\0" + descriptor(4, decoder) + descriptor(6, b"\2"))
    box = struct.pack(">I4s", len(body) + 8, b"esds") + body
    old = struct.unpack(">I", data[at:at + 4])[0]
    data[at:at + old] = box
    for name in (b"mp4a", b"stsd", b"stbl", b"minf", b"mdia", b"trak", b"moov"):
        n = data.rfind(name, 0, entry + 8) - 4
        data[n:n + 4] = struct.pack(">I", struct.unpack(">I", data[n:n + 4])[0] + len(box) - old)
    write(to, data)


# index 6: 24 kHz, 3: 48 kHz
CORE = ((5, 2), (4, 6), (4, 1), (3, 0))
CONFIGS = {
    "LC": (bits(*CORE), "mp4a.40.2", 24000, 1),
    "SBR first": (bits((5, 5), (4, 6), (4, 1), (4, 3), (5, 2), (3, 0)), "mp4a.40.5", 48000, 1),
    "PS first": (bits((5, 29), (4, 6), (4, 1), (4, 3), (5, 2), (3, 0)), "mp4a.40.29", 48000, 2),
    "SBR behind": (bits(*CORE, (11, 0x2b7), (5, 5), (1, 1), (4, 3)), "mp4a.40.5", 48000, 1),
    "PS behind": (bits(*CORE, (11, 0x2b7), (5, 5), (1, 1), (4, 3), (11, 0x548), (1, 1)), "mp4a.40.29", 48000, 2),
    "no SBR": (bits(*CORE, (11, 0x2b7), (5, 5), (1, 0)), "mp4a.40.2", 24000, 1),
}


def signalled(folder, name, ext):
    asc, codec, rate, channels = CONFIGS[name]
    path = os.path.join(folder, "in.mp4")
    with_asc(clip("po_24k.mp4"), asc, path)
    if ext != "mp4":
        make_clip(["-i", path, "-c", "copy"], os.path.join(folder, "in." + ext))
        path = os.path.join(folder, "in." + ext)
    c, _ = packaged(folder, path)
    t = true_string(c, folder, codec)
    assert (t.sample_rate, t.channels) == (rate, channels), (t.sample_rate, t.channels)
    same_samples(c, folder, path)


def hidden_sbr(folder, channels, ext):
    """SBR that only the frames show: each has a fill element with such an extension (an empty one) before its end."""
    plain, adts, path = (os.path.join(folder, n) for n in ("plain.mp4", "x.aac", "in." + ext))
    rendition(plain, X264 + GRID, AAC, channels, 24000)
    make_clip(["-i", plain, "-vn", "-c", "copy"], adts)
    data, out, at = open(adts, "rb").read(), b"", 0
    while at < len(data):
        head = bytearray(data[at:at + 7])
        size = (head[3] & 3) << 11 | head[4] << 3 | head[5] >> 5
        text = unpacked(data[at + 7:at + size]).rstrip("0")
        assert text.endswith("111"), "ID_END"
        body = packed(text[:-3] + "110" + "0011" + "1101" + "0" * 20 + "111")
        at, size = at + size, len(body) + 7
        head[3:6] = head[3] & 0xFC | size >> 11, size >> 3 & 255, (size & 7) << 5 | head[5] & 31
        out += bytes(head) + body
    write(adts, out)
    make_clip(["-i", plain, "-i", adts, "-map", "0:v", "-map", "1:a", "-c", "copy"], path)
    c, _ = packaged(folder, path)
    # libavcodec takes mono with SBR for parametric stereo until it knows better
    t = true_string(c, folder, "mp4a.40.5" if channels == 2 else "mp4a.40.29")
    assert (t.sample_rate, t.channels) == (48000, 2), (t.sample_rate, t.channels)
    same_samples(c, folder, path)
    out = os.path.join(folder, "ts")
    good("package", path, out, "--format", "ts", *CUTS)
    with open(os.path.join(out, "master.m3u8"), encoding="utf-8") as f:
        assert t.codecs[0] in f.read(), "CODECS of the transport stream"
    v = tool("verify", out, "--decode")
    assert v.code == 0, v.out


def layouts(folder, layout, channels, ext, name):
    """Also those that AAC has no number for: a program_config_element tells them."""
    path = os.path.join(folder, "in." + ext)
    rendition(path, X264 + GRID, ["-c:a", "aac", "-b:a", "256k", "-aac_pns", "0"], channels, layout=layout)
    c, _ = packaged(folder, path)
    t = true_string(c, folder, "mp4a.40.2")
    assert t.channels == channels and "und-%s/" % name in t.key, (t.channels, t.key)
    same_samples(c, folder, path)


def xhe_aac(folder):
    path = os.path.join(folder, "in.mp4")
    with_asc(clip("po_24k.mp4"), bits((5, 31), (6, 10), (4, 6), (4, 1), (5, 6), (3, 1), (25, 0)), path)
    if "mp4a.40.42" not in tool("probe", path).out:
        raise Skip("this libavcodec decodes xHE-AAC, and there is none behind the made configuration")
    refused(folder, "CODEC_UNSUPPORTED", [path], ["xHE-AAC"])


# ---- E-AC-3, Opus, FLAC ----

BSI = 51  # bits of a frame of libavcodec before mixmdate: syncinfo to compre


def frames_of(data):
    at = 0
    while at < len(data):
        size = (((data[at + 2] & 7) << 8 | data[at + 3]) + 1) * 2
        yield data[at:at + size]
        at += size


def crc16(data):
    """x^16 + x^15 + x^2 + 1 (ATSC A/52 6.1.7)."""
    crc = 0
    for byte in data:
        crc ^= byte << 8
        for _ in range(8):
            crc = (crc << 1 ^ (0x18005 if crc & 0x8000 else 0)) & 0xFFFF
    return crc


def frame_of(text):
    """With its size and crc2, which newer versions of ffmpeg look at."""
    data = bytearray(packed(text) + bytes(2))
    data += bytes(len(data) % 2)
    words = len(data) // 2 - 1
    data[2], data[3] = data[2] & 0xF8 | words >> 8, words & 255
    data[-2:] = struct.pack(">H", crc16(data[2:-2]))
    return bytes(data)


def dependent(frame):
    """As a dependent substream of the pair Lrs/Rrs (channel map 0x0200)."""
    text = unpacked(frame)
    return frame_of(text[:16] + "01000" + text[21:BSI] + "1" + format(0x0200, "016b") + text[BSI:])


def with_objects(frame, complexity):
    """With flag_ec3_extension_type_a in its addbsi."""
    text, at = unpacked(frame), BSI + 1
    assert text[BSI] == "0", "mixmdate"
    if text[at] == "1":
        at += 1 + 3 + 2 + 2  # of 3/2: dsurexmod
        at += 9 if text[at] == "1" else 1
    at += 1
    assert text[at] == "0", "addbsie"
    return frame_of(text[:at] + "1" + format(1, "06b") + format(1, "08b") + format(complexity, "08b") + text[at + 1:])


def eac3_frames(folder, channels, layout):
    path = os.path.join(folder, "x%d.eac3" % channels)
    make_clip(lavfi(None, tones(channels, layout=layout)) + ["-c:a", "eac3", "-b:a", "%dk" % (64 * channels)], path)
    return list(frames_of(open(path, "rb").read()))


def eac3(folder, ext, more, channels, dec3):
    raw, path = os.path.join(folder, "in.eac3"), os.path.join(folder, "in." + ext)
    frames = eac3_frames(folder, 6, "5.1")
    if more == "dependent":
        write(raw, b"".join(a + dependent(b) for a, b in zip(frames, eac3_frames(folder, 2, "stereo"))))
    else:
        write(raw, b"".join(with_objects(f, 16) for f in frames))
    make_clip(lavfi(PICTURE) + ["-i", raw] + X264 + GRID + ["-c:a", "copy"], path)
    out = os.path.join(folder, "out")
    good("package", path, out, *CUTS)
    c = check(out, decode=False)
    t = true_string(c, folder, "ec-3")
    data = open(joined(c, t, folder), "rb").read()
    at = data.index(b"dec3")
    got = data[at + 4:at + struct.unpack(">I", data[at - 4:at])[0] - 4].hex()
    assert re.fullmatch(dec3, got), "dec3 %s" % got
    with open(os.path.join(out, "master.m3u8"), encoding="utf-8") as f:
        assert 'CHANNELS="%d"' % channels in f.read(), "CHANNELS"


def opus(folder, layout, channels, ext, family):
    path = os.path.join(folder, "in." + ext)
    rendition(path, X264 + GRID, ["-c:a", "libopus", "-mapping_family", "1" if family else "0"], channels, layout=layout)
    c, _ = packaged(folder, path)
    t = true_string(c, folder, "Opus")
    assert t.channels == channels, t.channels
    data = open(joined(c, t, folder), "rb").read()
    at = data.index(b"dOps") + 4
    assert data[at + 10] == family and data[at + 1] == channels, data[at:at + 13].hex()
    assert not family or max(data[at + 13:at + 13 + channels]) == channels - 1, "channel mapping"


def flac(folder, fmt, depth, rate, entry, ext):
    path = os.path.join(folder, "in." + ext)
    rendition(path, X264 + GRID, ["-c:a", "flac", "-sample_fmt", fmt, "-bits_per_raw_sample", str(depth)], 2, rate)
    c, _ = packaged(folder, path)
    t, = audios(c)
    data = open(joined(c, t, folder), "rb").read()
    at = data.index(b"fLaC") + 4
    assert struct.unpack(">HH", data[at + 16:at + 20]) == (2, depth), "channels and samplesize"
    assert struct.unpack(">I", data[at + 24:at + 28])[0] == entry << 16, "samplerate"
    want, got = (Sound(p, rate).channels[0] for p in (path, joined(c, t, folder)))
    assert want[:len(got)] == got[:len(want)], "samples differ"


def sound(cases):
    run = cases.run
    for name in CONFIGS:
        for ext in ("mp4", "mkv"):
            run("AAC, %s, in %s" % (name, ext), signalled, name, ext)
    for ext in ("mp4", "mkv", "ts"):
        for channels in (1, 2):
            run("AAC, SBR in its frames alone, %d channels in %s" % (channels, ext), hidden_sbr, channels, ext)
    run("xHE-AAC", xhe_aac)
    for layout, channels, name in (("5.1", 6, "5.1"), ("7.1", 8, "7.1"), ("7.1(wide)", 8, "7.1"), ("6.1", 7, "7ch"),
                                   ("quad", 4, "4ch"), ("2.1", 3, "3ch")):
        for ext in ("mp4", "ts"):
            run("AAC %s in %s" % (layout, ext), layouts, layout, channels, ext, name)
    for ext in ("mp4", "mkv", "ts"):
        run("E-AC-3 with a dependent substream in " + ext, eac3, ext, "dependent", 8, "....200f0202")
        run("E-AC-3 with objects in " + ext, eac3, ext, "objects", 6, "....20(0f|4f)000110")
    for layout, channels in (("mono", 1), ("quad", 4), ("5.1", 6), ("7.1", 8)):
        for ext in ("mp4", "mkv", "ts"):
            run("Opus %s in %s" % (layout, ext), opus, layout, channels, ext, 0 if channels == 1 else 1)
    for row in (("s32", 24, 96000, 48000), ("s32", 24, 88200, 44100), ("s16", 16, 192000, 48000), ("s16", 16, 44100, 44100)):
        for ext in ("mp4", "mkv"):
            run("FLAC %d bits, %d Hz in %s" % (row[1], row[2], ext), flac, *row, ext)


# ---- pictures ----

X264_SETS = "-c:v libx264 -preset ultrafast -threads 1 -x264-params repeat-headers=1".split()
AOM = "-c:v libaom-av1 -usage realtime -cpu-used 8".split()
VPX = "-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -b:v 200k".split()


def need(encoder):
    if encoder not in HAVE:
        raise Skip("this ffmpeg has no encoder " + encoder)


def joined_files(folder, ext, *parts, options=("-c", "copy")):
    """The files one after another."""
    listing, path = os.path.join(folder, "list.txt"), os.path.join(folder, "joined." + ext)
    with open(listing, "w", encoding="utf-8") as f:
        f.writelines("file '%s'\n" % p for p in parts)
    make_clip(["-f", "concat", "-safe", "0", "-i", listing, *options], path)
    return path


def same_pictures(c, folder, path):
    t, = videos(c)
    a, b = picture_hashes(path), picture_hashes(joined(c, t, folder))
    assert a == b, "%d and %d pictures, not the same" % (len(a), len(b))
    return t


def sets_within(folder, ext, entry=None):
    """Parameter sets before each IDR picture, the same ones: taken out of the samples."""
    path = os.path.join(folder, "in." + ext)
    make_clip(lavfi(PICTURE) + X264_SETS + GRID, path)
    if entry:
        data = bytearray(open(path, "rb").read())
        at = data.rfind(b"avcC") + 4
        data[at + 5:at + 7] = b"\xe0\x00"  # no sets in it
        data[data.rfind(b"avc1"):][:4] = entry
        data = data.replace(b"avc1", entry)
        write(path, data)
    for options in ([], ["--format", "ts"]):
        c, _ = packaged(folder, path, *options)
        t = same_pictures(c, folder, path)
        assert t.codecs[0].startswith("avc1."), t.codecs


def sets_late(folder):
    """A file that says 'avc1' and has other parameter sets in its middle."""
    parts = []
    for n, more in enumerate((["-crf", "30"], ["-crf", "30", "-refs", "3", "-level", "2.0"])):
        parts.append(os.path.join(folder, "%d.ts" % n))
        make_clip(lavfi(PICTURE) + X264_SETS + GRID + more, parts[-1])
    both = b"".join(open(p, "rb").read() for p in parts)
    write(os.path.join(folder, "both.ts"), both)
    refused(folder, "CODEC_UNSUPPORTED", [os.path.join(folder, "both.ts")], ["parameter sets"])
    path = joined_files(folder, "mp4", *parts)
    refused(folder, "CODEC_UNSUPPORTED", [path], ["parameter sets"])


def hidden_sets(folder):
    """'avc1' whose last IDR picture alone brings a parameter set: found while it is written."""
    path = os.path.join(folder, "in.mp4")
    # a filler of the size of a set is put before each picture, and becomes one
    make_clip(lavfi(PICTURE) + X264 + GRID + ["-x264-params", "aud=1", "-bsf:v", "h264_metadata=aud=insert"], path)
    data = bytearray(open(path, "rb").read())
    out = subprocess.run(["ffprobe", "-v", "error", "-show_entries", "packet=pos,flags", "-of", "csv=p=0", path],
                         stdout=subprocess.PIPE, text=True, check=True).stdout
    at = [int(line.split(",")[0]) for line in out.split() if ",K" in line]
    assert len(at) == 4 or len(at) > 4, at
    position = at[-1]
    assert data[position + 4] & 31 == 9, "an access unit delimiter comes first"
    data[position + 4] = 0x68
    write(path, data)
    refused(folder, "CODEC_UNSUPPORTED", [path], ["parameter sets"], ["--segment", "1"])


def interlaced(folder, ext):
    path = os.path.join(folder, "in." + ext)
    make_clip(lavfi(PICTURE) + ["-vf", "tinterlace=interleave_top,setfield=tff", "-flags", "+ildct+ilme"] + X264 + GRID, path)
    c, r = packaged(folder, path)
    same_pictures(c, folder, path)
    assert "INTERLACED" in r.warnings, r.err
    c, r = packaged(folder, clip("base.mp4"))
    assert "INTERLACED" not in r.warnings, r.err


def pyramid(folder, ext):
    path = os.path.join(folder, "in." + ext)
    make_clip(lavfi(PICTURE) + "-c:v libx264 -preset veryfast -threads 1 -bf 7 -b_strategy 0".split() + GRID
              + ["-x264-params", "b-pyramid=normal:ref=4"], path)
    for options in ([], ["--format", "ts"]):
        c, _ = packaged(folder, path, *options)
        same_pictures(c, folder, path)


def av1_headers(folder, ext):
    """A sequence header before each key frame is as it should be; another one is another stream."""
    need("libaom-av1")
    parts = []
    for n, size in enumerate(("160x96", "160x96", "128x64")):
        parts.append(os.path.join(folder, "%d.mkv" % n))
        make_clip(lavfi(PICTURE.replace("160x96", size).replace("d=4", "d=2")) + AOM + GRID, parts[-1])
    path = joined_files(folder, ext, *parts[:2])
    c, _ = packaged(folder, path)
    same_pictures(c, folder, path)
    shutil.rmtree(os.path.join(folder, "out"))
    refused(folder, "CODEC_UNSUPPORTED", [joined_files(folder, ext, *parts[1:])], ["change within the stream"])


def vp9_sizes(folder, ext):
    need("libvpx-vp9")
    parts = []
    for n, size in enumerate(("160x96", "128x64")):
        parts.append(os.path.join(folder, "%d.mkv" % n))
        make_clip(lavfi(PICTURE.replace("160x96", size).replace("d=4", "d=2")) + VPX + GRID, parts[-1])
    refused(folder, "CODEC_UNSUPPORTED", [joined_files(folder, ext, *parts)], ["change within the stream"])


def vp9_profile(folder, profile, fmt, codec, ext):
    need("libvpx-vp9")
    path = os.path.join(folder, "in." + ext)
    make_clip(lavfi(PICTURE) + VPX + GRID + ["-pix_fmt", fmt], path)
    c, _ = packaged(folder, path)
    t = same_pictures(c, folder, path)
    assert re.fullmatch(codec, t.codecs[0]), t.codecs
    info = dump(joined(c, t, folder), "video")
    assert not info or info["codec_string"].strip().startswith(t.codecs[0]), info["codec_string"]
    assert boxes_of(joined(c, t, folder), b"vp09")[b"vpcC"][4] == profile, "vpcC"


def picture(cases):
    run = cases.run
    for ext in ("mp4", "mkv", "ts"):
        run("parameter sets in each GOP, " + ext, sets_within, ext)
    run("parameter sets in the samples alone (avc3)", sets_within, "mp4", b"avc3")
    run("parameter sets that change", sets_late)
    run("parameter sets of a later picture", hidden_sets)
    for ext in ("mp4", "mov", "ts"):
        run("interlaced, " + ext, interlaced, ext)
        run("B pyramid, " + ext, pyramid, ext)
    for ext in ("mp4", "mkv"):
        run("sequence headers of AV1, " + ext, av1_headers, ext)
        run("VP9 changes its size, " + ext, vp9_sizes, ext)
        for row in ((0, "yuv420p", r"vp09\.00\.10\.08"), (1, "yuv444p", r"vp09\.01\.10\.08\.03\..*"),
                    (1, "gbrp", r"vp09\.01\.10\.08\.03\.02\.02\.00\.01"), (2, "yuv420p12le", r"vp09\.02\.10\.12"),
                    (3, "yuv422p10le", r"vp09\.03\.10\.10\.02\..*")):
            run("VP9 profile %d, %s in %s" % (row[0], row[1], ext), vp9_profile, *row, ext)


def main():
    groups = sys.argv[1:] or ["sound", "picture"]
    cases = Cases("package-odd")
    for group in groups:
        globals()[group](cases)
    return cases.end()


if __name__ == "__main__":
    sys.exit(main())
