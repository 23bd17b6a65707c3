# SPDX-License-Identifier: LGPL-2.1-or-later
"""Files: rows I27-I31, I38-I41."""
import os
import subprocess

import inputs
import sync
from inputs import case, equal, tone
from clips import HOSTILE, make
from titles import BIN, CLIPS, FAST, check, clip, picture_times, joined, videos

inputs.group[0] = "files"


def refusals(row, rows):
    for name, what, *reasons in rows:
        @case(row, what, " or ".join(reasons))
        def _(t, name=name, reasons=reasons):
            return t.refused(clip(name), *reasons)


refusals("I27", [("zero.mp4", "no bytes", "INPUT_EMPTY"), ("random.mp4", "random bytes", "INPUT_UNRECOGNISED"),
                 ("zeros.mp4", "zeros", "INPUT_UNRECOGNISED")])


@case("I28", "moov at the end", "works, told")
def _(t):
    t.publish(clip("base.mp4"), warns=["MOOV_AT_END"])
    equal(len(t.times()), 60, "pictures")
    return "60 pictures, MOOV_AT_END"


@case("I28", "moov in front", "no warning")
def _(t):
    t.publish(clip("faststart.mp4"))
    equal(t.result.warnings, [], "warnings")
    return "no warning"


refusals("I29", [("no_moov.mp4", "MP4 cut before its moov", "INPUT_NO_MOOV")])
refusals("I30", [("cut.mkv", "Matroska cut at 60 %", "INPUT_TRUNCATED"),
                 ("cut.webm", "WebM cut at 60 %", "INPUT_TRUNCATED"),
                 ("cut_faststart.mp4", "MP4 with moov in front, cut at 60 %", "INPUT_TRUNCATED"),
                 ("cut_frag.mp4", "fragmented MP4 cut at 60 %", "INPUT_TRUNCATED"),
                 ("cut.avi", "AVI cut at 60 %", "INPUT_TRUNCATED")]
         + [(name, "%s cut at 97 %%" % what, "INPUT_TRUNCATED") for name, what in (
             ("cut_end.mp4", "MP4"), ("cut_end.mkv", "Matroska"), ("cut.flv", "FLV"), ("cut.wav", "WAV"),
             ("cut.aiff", "AIFF"), ("cut.caf", "CAF"), ("cut.ogg", "Ogg"), ("cut.flac", "FLAC"), ("cut.gif", "GIF"),
             ("cut.wmv", "ASF"), ("cut.mxf", "MXF"))]
         + [("joined." + ext, "%s with another one behind it" % what, "INPUT_CORRUPT") for ext, what in (
             ("mp4", "MP4"), ("avi", "AVI"), ("flv", "FLV"), ("wmv", "ASF"), ("mkv", "Matroska"))]
         + [("other_pids.ts", "TS whose picture goes on in another codec", "INPUT_CORRUPT"),
            ("cut_live.webm", "WebM of a browser (without sizes) cut at 60 %", "INPUT_TRUNCATED"),
            ("cut.apng", "APNG cut between two pictures", "INPUT_TRUNCATED")])
refusals("I32", [("two_codecs.mp4", "MP4 that changes from H.264 to HEVC", "CODEC_UNSUPPORTED")])


for _name in ("base.flv", "base.wmv", "base.mxf", "base.avi", "tone.wav", "tone.aiff", "tone.caf", "tone.ogg",
              "tone.flac", "anim.gif", "live.webm"):
    @case("I30", "%s whole" % _name.rpartition(".")[2].upper(), "accepted")
    def _(t, name=_name):
        equal(t.probe(clip(name))["complete"], True, "complete")
        return "complete"


@case("I30", "MP4 with padding and a tag behind it", "accepted")
def _(t):
    t.publish(clip("padded.mp4"))
    t.pictures(60)
    return "60 pictures"


for _name in ("pipe.wav", "pipe.caf"):
    @case("I30", "%s written into a pipe, without its size" % _name.rpartition(".")[2].upper(), "accepted")
    def _(t, name=_name):
        t.publish(clip(name)).lasts(2.01)
        tone(t.sound(), 1000, 0.2, 1.9)
        return "all of the tone"


@case("I31", "one picture in sixty damaged", "concealed and counted")
def _(t):
    t.publish(clip("scratched.mp4"), warns=["FRAMES_CONCEALED"])
    equal(len(t.times()), 300, "pictures")
    t.lasts(12)
    assert any(c.isdigit() for c in t.notes["FRAMES_CONCEALED"]), t.notes
    tone(t.sound(), 300, 0.3, 11.7)
    return "300 pictures of 300, FRAMES_CONCEALED with the count"


@case("I31", "most pictures damaged", "INPUT_CORRUPT")
def _(t):
    return t.refused(clip("ruined.mp4"), "INPUT_CORRUPT", publish_only=True)


@case("I31", "one frame of sound in forty damaged", "concealed and counted")
def _(t):
    t.publish(clip("sound_scratched.mp4"), warns=["FRAMES_CONCEALED"])
    equal(len(t.times()), 300, "pictures")
    t.lasts(12)
    s = t.sound()
    # Damage begins at the 21st frame, and what is concealed keeps its place.
    tone(s, 300, 0.05, 0.4)
    for at in (2.6, 6.0, 9.4):
        assert s.level(at, at + 0.3) > -35, "no sound at %.1f s" % at
    return "300 pictures, sound of full length, FRAMES_CONCEALED"


for _name, _what in (("sound_lost.mp4", "MP4"), ("sound_lost.ts", "MPEG-TS")):
    @case("I31", "two packets of sound lost, " + _what, "what follows is in sync at once")
    def _(t, name=_name):
        t.publish(clip(name)).in_sync(sync.measure(clip(name)))
        return "beep within 2 ms of where the source has it"


for _name, _what in (("holed.mkv", "Matroska"), ("holed.webm", "WebM"), ("holed.flv", "FLV")):
    @case("I31", "%s, 5 %% of it zeros" % _what, "what is missing is told, the rest is in its place")
    def _(t, name=_name):
        t.publish(clip(name), warns=["FRAMES_CONCEALED"])
        t.lasts(20, 0.1)
        tone(t.sound(), 300, 0.3, 7)
        tone(t.sound(), 300, 13, 19.7)
        return "20 s, FRAMES_CONCEALED"


@case("I31", "AVI, 1 % of it zeros", "what is missing is told")
def _(t):
    t.publish(clip("holed.avi"), warns=["FRAMES_CONCEALED"])
    t.lasts(20, 0.3)
    assert "are early" in t.result.err, t.result.err
    return "FRAMES_CONCEALED"


@case("I31", "TS that pauses, with nothing unread", "told, not refused")
def _(t):
    t.publish(clip("pauses.ts"), warns=["FRAMES_CONCEALED"])
    t.lasts(10, 0.1)
    return "10 s, FRAMES_CONCEALED"


@case("I31", "AVI that ends with chunks without content", "nothing is missing: that repeats a picture")
def _(t):
    t.publish(clip("held.avi"))
    assert "FRAMES_CONCEALED" not in t.notes, t.notes
    return "no FRAMES_CONCEALED"


refusals("I31", [("half_holed.mxf", "MXF, 20 % of it zeros", "INPUT_CORRUPT")])
refusals("I31", [("half_" + name, "%s, 30 %% of it zeros" % what, "INPUT_CORRUPT") for name, what in (
    ("holed.mkv", "Matroska"), ("holed.webm", "WebM"), ("holed.flv", "FLV"), ("holed_frag.mp4", "fragmented MP4"))]
         + [("holed_frag.mp4", "fragmented MP4, 5 % of it zeros", "INPUT_CORRUPT"),
            ("leap.flv", "FLV, the time of one picture 9 hours off", "INPUT_CORRUPT")])


@case("I31", "all of the sound damaged", "INPUT_CORRUPT")
def _(t):
    return t.refused(clip("sound_ruined.mp4"), "INPUT_CORRUPT", publish_only=True)


refusals("I38", [("bomb.gif", "35 bytes that declare 16000x16000", "INPUT_LIMIT"),
                 ("wide.mp4", "an MP4 that declares 30000x20000", "INPUT_LIMIT"),
                 ("streams.mkv", "71 streams", "INPUT_LIMIT"), ("weeks.mp4", "100 hours", "INPUT_LIMIT"),
                 ("edits_bomb.mp4", "600000 edits of all pictures", "INPUT_LIMIT")])


@case("I38", "a header of 35 bytes that declares 16000x16000", "refused before a picture is allocated")
def _(t):
    run = subprocess.Popen([BIN, "probe", clip("bomb.gif")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, use = os.wait4(run.pid, 0)
    run.returncode = os.waitstatus_to_exitcode(status)
    equal(run.returncode, 1, "exit status")
    assert use.ru_maxrss < 200 << 10, "%d KiB of memory" % use.ru_maxrss
    return "less than 200 MiB used"


refusals("I39", [("disguised_hls.mp4", "a playlist named .mp4", "INPUT_FORBIDDEN_FORMAT"),
                 ("disguised_concat.mp4", "an ffconcat script named .mp4", "INPUT_FORBIDDEN_FORMAT"),
                 ("disguised_dash.mp4", "an MPD named .mp4", "INPUT_FORBIDDEN_FORMAT")])


@case("I39", "a playlist that names a pipe", "the pipe is never opened")
def _(t):
    pipe = os.path.join(t.folder, "pipe")
    os.mkfifo(pipe)
    made = []
    for n, text in enumerate(("#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nfile://%s\n#EXT-X-ENDLIST\n" % pipe,
                              "ffconcat version 1.0\nfile pipe\n", "#EXTM3U\n#EXTINF:2,\npipe\n")):
        made.append(os.path.join(t.folder, "%d.mp4" % n))
        with open(made[-1], "w") as f:
            f.write(text)
    # Whoever opens it waits for a writer, until the tool's time limit here ends the test.
    for path in made:
        t.refused(path, "INPUT_FORBIDDEN_FORMAT")
    return "INPUT_FORBIDDEN_FORMAT, at once"


for _key, _name in HOSTILE.items():
    @case("I40", "a file named %r" % _name.decode("latin-1"), "opened as the file it is")
    def _(t, key=_key):
        make(key, CLIPS)
        out = os.path.join(os.fsencode(t.folder), b"title")
        for args in ([b"probe", b"--", HOSTILE[key]],
                     [b"publish", *(x.encode() for x in FAST), b"--progress", b"none", b"--", HOSTILE[key], out]):
            run = subprocess.run([b"nice", os.fsencode(BIN)] + args, cwd=CLIPS, capture_output=True, timeout=120)
            equal(run.returncode, 0, "exit status of %r (%r)" % (args, run.stderr))
        c = check(os.fsdecode(out), decode=False)
        equal(len(picture_times(joined(c, videos(c)[0], t.folder))), 60, "pictures")
        return "60 pictures"


refusals("I41", [("encrypted.mp4", "CENC", "INPUT_ENCRYPTED"), ("cbcs.mp4", "cbcs", "INPUT_ENCRYPTED"),
                 ("scrambled.ts", "scrambled TS", "INPUT_ENCRYPTED")])
