# SPDX-License-Identifier: LGPL-2.1-or-later
"""Tracks and sound: rows I18-I25, I33-I35."""
import inputs
from inputs import case, close, entries, equal, names_of, quiet, tone
from test_publish import languages, no_audio, only_audio
from titles import audios, clip, difference, ffmpeg, picture, videos

inputs.group[0] = "tracks"


@case("I18", "AAC with cover art", "the art is never the picture: an audio title")
def _(t):
    p = t.probe(clip("cover.m4a"))
    equal((p["video"], len(p["audio"]), [o["codec"] for o in p["other"]]), ([], 1, ["png"]), "tracks")
    t.publish(clip("cover.m4a"))
    only_audio(t.c, t.folder)
    tone(t.sound(), 440, 0.3, 3.7)
    return "audio only, the tone"


@case("I18", "MP3 with cover art in WebP", "the job does not fail")
def _(t):
    t.publish(clip("cover_webp.mp3"))
    only_audio(t.c, t.folder)
    tone(t.sound(), 440, 0.3, 3.7)
    return "audio only, the tone"


@case("I18", "a film with cover art as first stream", "the film")
def _(t):
    t.publish(clip("cover_video.mp4"))
    t.pictures(60)
    tone(t.sound(), 1000, 0.3, 1.7)
    return "all pictures, the tone"


@case("I19", "audio only", "variants without RESOLUTION")
def _(t):
    t.publish(clip("audio_only.m4a"))
    only_audio(t.c, t.folder)
    t.lasts(8)
    return "8 s, no RESOLUTION, mp4a only"


@case("I19", "video only", "no audio group, no mp4a in CODECS")
def _(t):
    t.publish(clip("video_only.mp4"))
    no_audio(t.c, t.folder)
    t.lasts(8)
    return "8 s, no AUDIO, no mp4a"


@case("I20", "English and French", "both kept, languages as BCP-47, one default")
def _(t):
    t.publish(clip("two_languages.mp4"))
    languages("en", "fr")(t.c, t.folder)
    tone(t.sound(0), 440, 0.3, 3.7)
    tone(t.sound(1), 880, 0.3, 3.7)
    return "en and fr, each with its tone, one DEFAULT"


@case("I20", "English, French, English", "all kept, names unique, one default")
def _(t):
    t.publish(clip("three_tracks.mp4"))
    languages("en", "fr", "en")(t.c, t.folder)
    for n, hz in enumerate((440, 880, 660)):
        tone(t.sound(n), hz, 0.3, 1.7)
    return "en, fr, en with their tones, names unique, one DEFAULT"


def centre(t, name):
    t.publish(clip(name))
    for n, a in enumerate(audios(t.c)):
        if a.init and n == 0:
            equal(entries(t.audio(n), "stream=channels", "a:0")[0]["channels"], 2, "channels of the first group")
    tone(t.sound(), 440, 0.3, 1.7)
    both = [t.sound().level(0.3, 1.7, c) for c in (0, 1)]
    close(both[0], both[1], 0.5, "left against right, dB")


for _name, _what in (("centre51.mkv", "AC-3 5.1"), ("centre51.mp4", "AAC 5.1"), ("centre71.mp4", "AAC 7.1")):
    @case("I21", _what + ", sound in the centre only", "stereo in which the centre is heard")
    def _(t, name=_name):
        centre(t, name)
        return "stereo, the tone at the same level on both sides"


for _name, _what in (("centre51.mkv", "AC-3 5.1"), ("centre51.mp4", "AAC 5.1")):
    @case("I21", _what, "surround is a group of its own")
    def _(t, name=_name):
        t.publish(clip(name))
        counts = sorted(entries(t.audio(n), "stream=channels", "a:0")[0]["channels"] for n in range(len(audios(t.c))))
        equal(counts, [2, 6], "channels of the groups")
        return "groups of 2 and of 6 channels"


@case("I22", "six channels of PCM without a layout", "the usual layout of six: the third is the centre")
def _(t):
    equal(t.probe(clip("unknown51.mkv"))["audio"][0].get("layout", "unknown"), "unknown", "layout")
    t.publish(clip("unknown51.mkv"))
    tone(t.sound(), 440, 0.3, 1.7)
    return "stereo, the tone on both sides"


@case("I23", "44.1 kHz mono, then 48 kHz stereo", "goes on without a glitch")
def _(t):
    t.publish(clip("rate_change.ts"))
    close(t.seconds(), 4, 0.15, "length")
    s = t.sound()
    for start, end in ((0.2, 1.8), (2.2, 3.7)):
        tone(s, 500, start, end, -30)
    return "4 s, the tone at its pitch in both parts"


@case("I24", "audio ends after 1 s of 8", "silence to the end, tracks end together")
def _(t):
    t.publish(clip("early_audio.mp4"), warns=["AUDIO_ENDS_EARLY"])
    t.lasts(8)
    quiet(t.sound(), 1.2, 7.9)
    return "8 s, silence after 1 s, AUDIO_ENDS_EARLY"


@case("I24", "audio of 6 s, video of 2 s", "tracks end together, what is cut is told")
def _(t):
    t.publish(clip("long_audio.mp4"), warns=["VIDEO_ENDS_EARLY"])
    assert "4000 ms" in t.notes["VIDEO_ENDS_EARLY"] and "cut" in t.notes["VIDEO_ENDS_EARLY"], t.notes
    ends = [float(x.end) for x in videos(t.c) + audios(t.c)]
    assert max(ends) - min(ends) <= 1024 / 48000 + 1 / 30, "ends at %s" % ends
    assert min(ends) >= 1.95, "ends at %s" % ends
    return "all tracks end within one frame, VIDEO_ENDS_EARLY: 4 s, cut"


@case("I24", "audio of 14 s, video of 2 s", "the last picture held to the end of the sound, told")
def _(t):
    t.publish(clip("longer_audio.mp4"), warns=["VIDEO_ENDS_EARLY"])
    assert "12000 ms" in t.notes["VIDEO_ENDS_EARLY"] and "held" in t.notes["VIDEO_ENDS_EARLY"], t.notes
    t.lasts(14)
    tone(t.sound(), 440, 2.2, 13.8)
    last = picture(clip("longer_audio.mp4"), 16, 9, at=1.95)
    assert difference(picture(t.video, 16, 9, at=13.5), last) < 6, "not the last picture at the end"
    return "14 s, sound to the end, the last picture held, VIDEO_ENDS_EARLY"


for _name, _what, _count in (("one_frame.mp4", "one picture", 1), ("frame_and_sound.mp4", "0.04 s", 1),
                             ("short.mp4", "0.4 s", 12)):
    @case("I25", _what, "one segment")
    def _(t, name=_name, count=_count):
        t.publish(clip(name))
        equal(len(t.times()), count, "pictures")
        for x in videos(t.c) + audios(t.c):
            equal(len(x.segments), 1, "segments")
            assert x.playlist.entries[0].duration > 0 and x.playlist.target >= 1, "EXTINF, TARGETDURATION"
        return "one segment, EXTINF above 0, TARGETDURATION 1 or more"


@case("I33", "a timecode track", "listed, left out")
def _(t):
    p = t.probe(clip("timecode.mov"))
    assert [o.get("codec") for o in p["other"]] in (["tmcd"], ["unknown"]), p["other"]
    t.publish(clip("timecode.mov"))
    t.pictures(60)
    tone(t.sound(), 1000, 0.3, 1.7)
    return "tmcd under other, all pictures and the tone"


@case("I33", "a font attached", "listed, left out")
def _(t):
    p = t.probe(clip("attachment.mkv"))
    equal([o.get("codec") for o in p["other"]], ["ttf"], "other")
    t.publish(clip("attachment.mkv"))
    t.pictures(60)
    return "ttf under other, all pictures"


@case("I33", "private data in TS", "listed, left out")
def _(t):
    p = t.probe(clip("private.ts"))
    equal([o.get("codec") for o in p["other"]], ["bin_data"], "other")
    t.publish(clip("private.ts"))
    t.pictures(60)
    return "bin_data under other, all pictures"


@case("I33", "a second audio track in a codec that is not accepted", "left out with a warning")
def _(t):
    t.publish(clip("dropped.mkv"), warns=["TRACK_DROPPED"])
    equal(len(audios(t.c)), 1, "audio tracks")
    tone(t.sound(), 1000, 0.3, 1.7)
    return "TRACK_DROPPED, the first track's tone"


@case("I33", "a second picture", "the first one, told")
def _(t):
    t.publish(clip("two_pictures.mp4"), warns=["TRACK_DROPPED"])
    t.pictures(60)
    equal([(v.width, v.height) for v in videos(t.c)], [(128, 72)], "sizes")
    return "TRACK_DROPPED, all pictures of the first"


def captions_dropped(t, name):
    source = clip(name)
    assert "GA94" in ffmpeg_sei(source), "the clip has no captions"
    p = t.probe(source)
    assert "CAPTIONS_DROPPED" in names_of(p), names_of(p)
    assert "CAPTIONS_DROPPED" in names_of(t.probe(source, "--json")), "a short probe does not see them"
    t.publish(source, warns=["CAPTIONS_DROPPED"])
    text = open(t.master, encoding="utf-8").read()
    variants = [x for x in text.split("\n") if x.startswith("#EXT-X-STREAM-INF")]
    assert variants and all("CLOSED-CAPTIONS=NONE" in x for x in variants), "CLOSED-CAPTIONS=NONE is not said"
    assert "GA94" not in ffmpeg_sei(t.video), "half of the captions are still there"
    return "CAPTIONS_DROPPED, CLOSED-CAPTIONS=NONE, none in the pictures"


def ffmpeg_sei(path):
    return ffmpeg(["-i", path, "-map", "0:v:0", "-c", "copy", "-bsf:v", "h264_mp4toannexb", "-f", "h264", "-"])


for _name, _what in (("captions608.ts", "CEA-608 in TS"), ("captions608.mp4", "CEA-608 in MP4"),
                     ("captions708.mp4", "CEA-708 in MP4")):
    @case("I34", _what, "CAPTIONS_DROPPED and CLOSED-CAPTIONS=NONE, never half")
    def _(t, name=_name):
        return captions_dropped(t, name)


@case("I34", "no captions", "no warning")
def _(t):
    equal(names_of(t.probe(clip("faststart.mp4"))), [], "warnings")
    return "no warning"


for _name, _codec, _what in (("mov_text.mp4", "mov_text", "text (mov_text)"), ("srt.mkv", "subrip", "text (SubRip)"),
                             ("ass.mkv", "ass", "text (ASS)"), ("pgs.mkv", "hdmv_pgs_subtitle", "bitmaps (PGS)")):
    @case("I35", "subtitles as " + _what, "SUBTITLE_UNSUPPORTED, the job goes on")
    def _(t, name=_name, codec=_codec):
        p = t.probe(clip(name))
        equal([x["codec"] for x in p["text"]], [codec], "text")
        assert "SUBTITLE_UNSUPPORTED" in names_of(p), names_of(p)
        t.publish(clip(name), warns=["SUBTITLE_UNSUPPORTED"])
        t.pictures(60)
        tone(t.sound(), 1000, 0.3, 1.7)
        return "%s under text, SUBTITLE_UNSUPPORTED, picture and tone as ever" % codec
