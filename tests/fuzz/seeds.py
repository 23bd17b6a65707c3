#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Writes the seeds of tests/fuzz/corpus anew: small files of ffmpeg, a published title taken apart, and words.

    seeds.py VODPIPE    VODPIPE: the tool as built. Files that begin with "fault-" are inputs that were faults
                        once; they and all others that this script does not know are left alone.
"""
import json
import pathlib
import struct
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent / "corpus"
LIMIT = 8192
TOOL = sys.argv[1]

VIDEO = ["-f", "lavfi", "-i", "testsrc2=size=64x48:rate=10:duration=0.5"]
AUDIO = ["-f", "lavfi", "-i", "sine=frequency=500:sample_rate=44100:duration=0.4"]
X264 = ["-c:v", "libx264", "-preset", "ultrafast", "-crf", "45", "-g", "3", "-pix_fmt", "yuv420p", "-threads", "1"]
AAC = ["-c:a", "aac", "-b:a", "24k", "-ac", "1"]

# name: inputs, arguments
CLIPS = {
    "h264-aac.mp4": (VIDEO + AUDIO, X264 + AAC),
    "start.mp4": (VIDEO, X264 + ["-movflags", "+faststart", "-bf", "2"]),
    "fragments.mp4": (VIDEO + AUDIO, X264 + AAC + ["-movflags", "frag_keyframe+empty_moov+default_base_moof"]),
    "edits.mov": (VIDEO + AUDIO, X264 + AAC + ["-ss", "0.15"]),
    "mpeg4-ac3.mov": (VIDEO + AUDIO, ["-c:v", "mpeg4", "-q:v", "20", "-c:a", "ac3", "-b:a", "32k", "-ac", "1"]),
    "mjpeg.mov": (VIDEO, ["-c:v", "mjpeg", "-q:v", "31", "-frames:v", "2", "-pix_fmt", "yuvj420p"]),
    "h264-aac.mkv": (VIDEO + AUDIO, X264 + AAC),
    "vp9-opus.webm": (VIDEO + AUDIO, ["-c:v", "libvpx-vp9", "-b:v", "20k", "-c:a", "libopus", "-b:a", "16k"]),
    "vp8-vorbis.webm": (VIDEO, ["-c:v", "libvpx", "-b:v", "20k"]),
    "hevc.mp4": (VIDEO, ["-c:v", "libx265", "-preset", "ultrafast", "-crf", "45", "-x265-params", "info=0:pools=1",
                         "-frames:v", "2"]),
    "hevc.ts": (VIDEO, ["-c:v", "libx265", "-preset", "ultrafast", "-crf", "45", "-x265-params", "info=0:pools=1",
                        "-frames:v", "2"]),
    "h264-aac.ts": (VIDEO + AUDIO, X264 + AAC + ["-muxdelay", "0"]),
    "mpeg2-mp2.ts": (VIDEO + AUDIO, ["-c:v", "mpeg2video", "-r", "25", "-q:v", "31", "-frames:v", "4",
                                     "-c:a", "mp2", "-b:a", "32k", "-ac", "1"]),
    "mpeg2.vob": (VIDEO, ["-c:v", "mpeg2video", "-r", "25", "-q:v", "31", "-frames:v", "2", "-f", "vob"]),
    "mpeg4-mp3.avi": (VIDEO + AUDIO, ["-c:v", "mpeg4", "-q:v", "31", "-c:a", "libmp3lame", "-b:a", "32k",
                                      "-ac", "1", "-t", "0.2"]),
    "wmv.asf": (VIDEO, ["-c:v", "msmpeg4", "-q:v", "31", "-frames:v", "3"]),
    "flv1.flv": (VIDEO, ["-c:v", "flv", "-q:v", "31"]),
    "h264.flv": (VIDEO + AUDIO, X264 + AAC),
    "theora.ogv": (VIDEO, ["-c:v", "libtheora", "-q:v", "0", "-frames:v", "2"]),
    "opus.ogg": (AUDIO, ["-c:a", "libopus", "-b:a", "12k"]),
    "pcm.wav": (AUDIO, ["-c:a", "pcm_u8", "-ar", "8000", "-ac", "1"]),
    "mp3.mp3": (AUDIO, ["-c:a", "libmp3lame", "-b:a", "32k", "-ac", "1", "-metadata", "title=t"]),
    "adts.aac": (AUDIO, AAC),
    "flac.flac": (AUDIO, ["-c:a", "flac", "-ar", "8000", "-ac", "1", "-t", "0.2"]),
    "ac3.ac3": (AUDIO, ["-c:a", "ac3", "-b:a", "32k", "-ac", "1"]),
    "eac3.eac3": (AUDIO, ["-c:a", "eac3", "-b:a", "32k", "-ac", "1"]),
    "h264.h264": (VIDEO, X264 + ["-bsf:v", "h264_metadata=aud=insert"]),
    "vp9.ivf": (VIDEO, ["-c:v", "libvpx-vp9", "-b:v", "20k", "-frames:v", "3"]),
    "gif.gif": (VIDEO, ["-vf", "scale=16:16", "-frames:v", "3"]),
    "apng.apng": (VIDEO, ["-vf", "scale=16:16", "-frames:v", "3", "-f", "apng"]),
    "aiff.aiff": (AUDIO, ["-ar", "8000", "-ac", "1", "-t", "0.2"]),
    "alac.caf": (AUDIO, ["-c:a", "alac", "-ar", "8000", "-ac", "1"]),
    "av1.mp4": (VIDEO, ["-c:v", "libaom-av1", "-cpu-used", "8", "-crf", "63", "-frames:v", "2"]),
}


def run(*command):
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)


def put(target, name, data):
    if isinstance(data, str):
        data = data.encode()
    if len(data) > LIMIT:
        print("seeds.py: %s/%s: cut to %d of %d bytes" % (target, name, LIMIT, len(data)))
        data = data[:LIMIT]
    (ROOT / target).mkdir(parents=True, exist_ok=True)
    (ROOT / target / name).write_bytes(data)


def clip(inputs, arguments, path):
    run("ffmpeg", "-v", "error", "-y", *inputs, "-fflags", "+bitexact", "-flags:v", "+bitexact", "-flags:a", "+bitexact",
        *arguments, str(path))
    return path.read_bytes()


def boxes(data, at=0, end=None):
    """Every box below this level, containers first: type, whole bytes."""
    end = len(data) if end is None else end
    while at + 8 <= end:
        size, kind = struct.unpack(">I4s", data[at:at + 8])
        if size < 8:
            return
        yield kind.decode("latin-1"), data[at:at + size]
        if kind in (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"edts", b"udta"):
            yield from boxes(data, at + 8, at + size)
        elif kind == b"stsd":
            yield from boxes(data, at + 16, at + size)
        elif kind in (b"avc1", b"hvc1", b"hev1", b"av01", b"vp09"):
            yield from boxes(data, at + 86, at + size)
        elif kind == b"mp4a":
            yield from boxes(data, at + 36, at + size)
        at += size


def box(data, wanted):
    return next((whole[8:] for kind, whole in boxes(data) if kind == wanted), b"")


def be16(n):
    return struct.pack(">H", n)


def media(work):
    """Files for the demuxers; what lies in them for the readers of headers."""
    clips = {}
    for name, (inputs, arguments) in CLIPS.items():
        clips[name] = clip(inputs, arguments, work / name)
        if name == "edits.mov":  # turned by a quarter: its matrix is written here, as options for it differ by version
            at = clips[name].index(b"tkhd") + 44
            clips[name] = clips[name][:at] + struct.pack(">5i", 0, -1 << 16, 0, 1 << 16, 0) + clips[name][at + 20:]
        put("media", name, clips[name])
    put("media", "playlist.m3u8", "#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1/a.ts\n")
    put("media", "cut.mp4", clips["start.mp4"][:-300])
    for name in ("h264-aac.mp4", "start.mp4", "edits.mov", "mpeg4-ac3.mov", "hevc.mp4", "av1.mp4"):
        put("movie", name, clips[name])
    put("h264", "stream", clips["h264.h264"][:3000])
    put("h264", "avcc", box(clips["h264-aac.mp4"], "avcC"))
    put("nal", "annexb", clips["h264.h264"][:1500])
    put("nal", "lengths", b"".join(struct.pack(">I", len(n)) + n for n in clips["h264.h264"][:800].split(b"\0\0\1")))
    put("codecs", "hvcc", box(clips["hevc.mp4"], "hvcC"))
    put("codecs", "hevc-sps", hevc_sps(box(clips["hevc.mp4"], "hvcC")))
    put("codecs", "av1c", box(clips["av1.mp4"], "av1C"))
    put("codecs", "vpcc", bytes.fromhex("000a820202020000"))
    put("audio", "asc", bytes.fromhex("1210"))
    put("audio", "asc-he", bytes.fromhex("2b8a0800"))
    put("audio", "asc-sync", bytes.fromhex("139056e5a0"))
    put("audio", "asc-pce", bytes.fromhex("100004c844000020c4"))
    for name in ("adts.aac", "ac3.ac3", "eac3.eac3"):
        put("audio", name, clips[name][:1200])
    put("boxes", "moov", next(whole for kind, whole in boxes(clips["h264-aac.mp4"]) if kind == "moov"))
    put("boxes", "fragments.mp4", clips["fragments.mp4"])


def hevc_sps(hvcc):
    at, arrays = 23, hvcc[22]
    for _ in range(arrays):
        kind, count = hvcc[at] & 63, struct.unpack(">H", hvcc[at + 1:at + 3])[0]
        at += 3
        for _ in range(count):
            size = struct.unpack(">H", hvcc[at:at + 2])[0]
            if kind == 33:
                return hvcc[at + 2:at + 2 + size]
            at += 2 + size
    return b""


def renamed(text, out):
    """A manifest with the names that fuzz_playlist.c has."""
    version = next(p.parent.name for p in out.glob("*/.vodpipe-version"))
    for old, new in ((version, "a1b2c3d4e5f6"), ("64p", "192p"), ("und-stereo", "en-stereo")):
        text = text.replace(old.encode(), new.encode())
    return text


KEYS = {"keys": [{"label": "*", "kid": "%02x" % n * 16, "key": "%02x" % (n + 1) * 16} for n in (0x11, 0x33)],
        "uri": "https://k.example/{n}",
        "drm": [{"system": "widevine"}, {"system": "playready"}, {"system": "fairplay", "uri": "skd://{kid}"}]}


def fragments(work):
    """fuzz_cenc.c: how, an init segment, a segment."""
    x264 = X264 + ["-frames:v", "3"]
    for how, name, inputs, arguments, flags in (
            (0, "h264", VIDEO, x264, ""), (3, "h264-keys", VIDEO, x264, ""), (13, "h264-lead", VIDEO, x264, ""),
            (1, "h264-sidx", VIDEO, x264, "+dash+default_base_moof"),
            (1, "hevc", VIDEO, ["-c:v", "libx265", "-preset", "ultrafast", "-crf", "45", "-x265-params",
                                "info=0:pools=1", "-tag:v", "hvc1", "-frames:v", "2"], ""),
            (0, "av1", VIDEO, ["-c:v", "libaom-av1", "-cpu-used", "8", "-frames:v", "2", "-crf", "60"], "+delay_moov"),
            (0, "aac", AUDIO, AAC, ""), (1, "aac-cenc", AUDIO, AAC, ""),
            (9, "opus", AUDIO, ["-c:a", "libopus", "-b:a", "16k"], "+delay_moov"),
            (2, "flac", AUDIO, ["-c:a", "flac", "-ar", "8000", "-t", "0.2"], "+delay_moov")):
        data = clip(inputs, [*arguments, "-strict", "-2", "-movflags", "cmaf" + flags], work / (name + "-cenc.mp4"))
        at = end = 0
        while at < len(data):  # no mfra behind
            size, kind = struct.unpack(">I4s", data[at:at + 8])
            at += size
            if kind == b"moov":
                init = at
            if kind == b"mdat":
                end = at
        put("cenc", name, bytes([how]) + be16(init) + data[:end])


def closed(work, source):
    """The same under keys; what fuzz_segment.c takes for encrypted, 7 kinds in each way."""
    keys = work / "keys.json"
    keys.write_text(json.dumps(KEYS))
    for way, name, scheme, *extra in ((1, "cenc", "cenc"), (2, "cbcs", "cbcs"), (0, "aes128", "aes128"),
                                      (3, "cbcs-lead", "cbcs", "--clear-lead", "1"), (2, "cbcs-ts", "cbcs", "--format", "ts")):
        out = work / ("closed-" + name)
        run(TOOL, "publish", str(source), str(out), "--segment", "1", "--gop", "1", "--audio-bitrate", "16", "--encrypt", scheme,
            "--keys", str(keys), "--key-rotation", "2", *extra)
        put("presentation", out.name + ".json", (out / "presentation.json").read_bytes())
        if scheme == "aes128":
            continue
        if name == "cbcs-ts":
            put("segment", "closed-ts", bytes([3 + 7 * way]) + next(out.glob("*/ts/*/00001.ts")).read_bytes()[:188 * 40])
            continue
        for kind, folder in ((0, next(out.glob("*/video/*"))), (1, next(out.glob("*/audio/*")))):
            init, segment = (folder / "init.mp4").read_bytes(), (folder / "00003.m4s").read_bytes()
            put("segment", "closed-%d-%d" % (way, kind), bytes([kind + 7 * way]) + be16(len(init)) + init + segment)
            put("init", "closed-%d-%d.mp4" % (way, kind), init)
            put("boxes", "closed-%d-%d.m4s" % (way, kind), segment)


def title(work):
    """A published title: its documents, its segments with what fuzz_segment.c wants in front."""
    source = work / "title.mp4"
    run("ffmpeg", "-v", "error", "-y", "-f", "lavfi", "-i", "testsrc2=size=64x64:rate=10:duration=2.5", "-f", "lavfi",
        "-i", "anullsrc=r=8000:cl=mono:d=2.5", "-c:v", "libx264", "-threads", "1", "-crf", "40", "-pix_fmt", "yuv420p",
        "-c:a", "aac", str(source))
    for kind in ("cmaf", "ts", "both", "single"):
        out = work / kind
        extra = ["--single-file"] if kind == "single" else ["--format", kind]
        run(TOOL, "publish", str(source), str(out), "--segment", "1", "--gop", "1", "--audio-bitrate", "16", *extra)
        for path in sorted(out.rglob("*")):
            data = path.read_bytes() if path.is_file() else b""
            end = path.suffix
            if path.name == "presentation.json":
                put("presentation", kind + ".json", data)
            elif end in (".m3u8", ".mpd"):
                put("playlist", "%s-%s-%s" % (kind, path.parent.name[:3], path.name), renamed(data, out))
    cmaf = next((work / "cmaf").glob("*/video"))
    for way, folder in ((0, next(cmaf.iterdir())), (1, next((cmaf.parent / "audio").iterdir()))):
        init, segment = (folder / "init.mp4").read_bytes(), (folder / "00001.m4s").read_bytes()
        put("segment", "cmaf-%d" % way, bytes([way]) + be16(len(init)) + init + segment)
        put("init", "%s.mp4" % ("video", "audio")[way], init)
        put("boxes", "segment-%d.m4s" % way, segment)
    put("segment", "ts", b"\x03" + next((work / "ts").glob("*/ts/*/00001.ts")).read_bytes()[:188 * 40])
    single = next((work / "single").glob("*/video/*/media.mp4")).read_bytes()
    init = single.index(b"sidx") - 4
    index = struct.unpack(">I", single[init:init + 4])[0]
    put("segment", "single", b"\x06" + be16(init) + be16(index) + single)
    put("boxes", "sidx", single[init:init + index])
    closed(work, source)
    run(TOOL, "plan", str(source), str(work / "planned"), "--work", str(work / "plan"))
    put("plan", "plan.json", next((work / "plan").rglob("plan.json")).read_bytes())


def words():
    stamp = b"com.apple.streaming.transportStreamTimestamp\0" + struct.pack(">Q", 900000)
    frame = b"PRIV" + struct.pack(">I", len(stamp)) + b"\0\0" + stamp
    tag = b"ID3\4\0\0" + bytes([0, 0, 0, len(frame)]) + frame
    put("segment", "packed", b"\5" + tag + (ROOT / "media" / "adts.aac").read_bytes()[:600])
    put("segment", "ts-audio", b"\4" + (ROOT / "segment" / "ts").read_bytes()[1:1 + 188 * 12])
    for n, text in enumerate(("en", "deu", "zh-Hant-TW", "en_us", "x-klingon", "sr-Latn-RS-x-a", "und", "fr-")):
        put("language", "tag%d" % n, text)
    put("ladder", "list", "1080p,720p,360p")
    put("ladder", "short.json", json.dumps({"rungs": [{"name": "a", "height": 400, "kbps": 900}]}))
    put("ladder", "long.json", json.dumps({"vodpipe": 1, "audio_kbps": 96, "rungs": [
        {"name": "x", "width": 1280, "height": 720, "kbps": 2000, "maxrate_kbps": 3000, "bufsize_kbit": 3000}]}))
    put("settings", "all.json", json.dumps({
        "format": "both", "ladder": "720p", "segment": 4, "gop": 1.5, "single_file": False, "preset": "fast", "rate": "crf",
        "crf": 21.5, "audio_bitrate": 96, "audio": "en,fr", "max_fps": 30, "prefix": "none", "player": True, "prune": True,
        "force": False}))
    put("settings", "ladder.json", json.dumps({"ladder": {"rungs": [{"name": "a", "height": 400, "kbps": 900}]}}))
    samples()
    places()


def places():
    """fuzz_s3_profile.c: a byte for the kind, then the text."""
    for kind, name, text in (
            (0, "config", "[default]\nregion = eu-x-1 # here\n[profile \"a b\"]\nrole_arn = arn\nsource_profile=default\n"
                          "services = s\n[services s]\ns3 =\n  endpoint_url = http://h\n  x = y\n[sso-session z]\nc = d\n"),
            (0, "continued", "; x\n[profile default]\n  a = 1\n  B = two\n    three ; four\n[default]\nc\t=#d\r\n"),
            (0, "refused", "[default]\nno setting\n"),
            (1, "credentials", "[default]\naws_access_key_id = AKID\naws_secret_access_key = a/b+c\n[x]\ny=z"),
            (2, "command", "\"/opt/a b\" --c 'd \\ e' f\\ g \"h \\\" i\""),
            (3, "process.json", '{"Version":1,"AccessKeyId":"AKID","SecretAccessKey":"a\\/b\\u002b","SessionToken":"t",'
                                '"Expiration":"2099-01-01T00:00:00.5+01:00"}'),
            (4, "metadata.json", '{"Code":"Success","AccessKeyId":"AKID","SecretAccessKey":"s","Token":"t","x":[1,{}]}'),
            (4, "refusal.json", '{"code":"Nothing","message":"none"}'),
            (5, "answer.xml", "<?xml version='1.0'?><R xmlns='x'><Credentials><AccessKeyId>A</AccessKeyId><SecretAccessKey>"
                              "b&amp;c</SecretAccessKey><Expiration>2099-01-01T00:00:00Z</Expiration></Credentials></R>"),
            (5, "error.xml", "<E><Error><Code>AccessDenied</Code></Error></E>")):
        put("s3_profile", name, bytes([kind]) + text.encode())


def samples():
    """fuzz_package.c: a configuration and samples."""
    movie = (ROOT / "media" / "h264-aac.mp4").read_bytes()
    avcc = box(movie, "avcC")
    stream = (ROOT / "media" / "h264.h264").read_bytes()
    nals = [n.rstrip(b"\0") for n in stream.split(b"\0\0\1") if n and n[0] & 31 in (1, 5)]
    data = b""
    for nal in nals:
        sample = struct.pack(">I", len(nal)) + nal
        data += be16(len(sample)) + bytes([0x30 | (nal[0] & 31 == 5)]) + sample
    for formats in (1, 2, 3):
        put("package", "h264-%d" % formats, bytes([formats << 1]) + be16(len(avcc)) + avcc + data)
    adts = (ROOT / "media" / "adts.aac").read_bytes()
    data, at = b"", 0
    while at + 7 < len(adts) and len(data) < 1500:
        size = (adts[at + 3] & 3) << 11 | adts[at + 4] << 3 | adts[at + 5] >> 5
        data += be16(size - 7) + b"\x01" + adts[at + 7:at + size]
        at += size
    for formats in (1, 2):
        put("package", "aac-%d" % formats, bytes([formats << 1 | 1]) + be16(2) + b"\x12\x08" + data)


def main():
    with tempfile.TemporaryDirectory() as name:
        media(pathlib.Path(name))
        title(pathlib.Path(name))
        fragments(pathlib.Path(name))
    words()


if __name__ == "__main__":
    main()
