# SPDX-License-Identifier: LGPL-2.1-or-later
"""Times: rows I01-I09, I26, I36, I37, I42."""
import json
import os
import subprocess

import inputs
import sync
from inputs_clips import EDITED, EDITS_LONG
from inputs import case, close, continuous, entries, equal, lumas, names_of, quiet, tone
from test_publish import same_times
from titles import BIN, FAST, audios, check, clip, ladder, picture, difference, tool, videos

inputs.group[0] = "times"


def master_rates(t):
    return sorted({v["a"]["FRAME-RATE"][0] for m in t.c.masters for v in m.variants})


def segments(t):
    return [float(e.duration) for e in videos(t.c)[0].playlist.entries]


@case("I01", "variable rate, Matroska", "each picture keeps its time, timing is named")
def _(t):
    p = t.probe(clip("vfr.mkv"))
    equal(p["video"][0]["variable_frame_rate"], True, "variable_frame_rate")
    t.publish(clip("vfr.mkv"), warns=["VARIABLE_FRAME_RATE"])
    t.c.result, t.c.source = t.result, t.source
    same_times(t.c, t.folder)
    t.lasts(8, 0.1)
    return "times of all pictures as in the source, VARIABLE_FRAME_RATE"


@case("I01", "variable rate, flash and beep for 10 s", "no drift at the last second")
def _(t):
    t.publish(clip("sync_vfr.mkv")).in_sync(sync.measure(clip("sync_vfr.mkv")))
    return "beep within 20 ms of its flash, drift under 1 ms"


@case("I02", "ticks of 1/600 s, variable", "no rate from r_frame_rate, at most 60 fps")
def _(t):
    source = clip("vfr600.mov")
    t.publish(source)
    at = t.times()
    there = len(lumas(source))
    assert there <= len(at) <= there + 4, "%d pictures out of %d" % (len(at), there)
    assert all(float(r) <= 60 for r in master_rates(t)), "FRAME-RATE %s" % master_rates(t)
    close(segments(t)[0], 6, 0.1, "length of the first segment")
    return "as many pictures as the source has, FRAME-RATE below 60, segments of 6 s"


@case("I02", "29.97 fps in ticks of 1 ms", "the true rate")
def _(t):
    source = clip("r2997.mkv")
    equal(t.probe(source)["video"][0]["frame_rate"], "30000/1001", "frame_rate")
    t.publish(source)
    t.pictures(210, 30000 / 1001)
    equal(master_rates(t), ["29.970"], "FRAME-RATE")
    return "30000/1001, 210 pictures of 210"


@case("I03", "every tenth picture has its predecessor's time", "no two pictures share a time, the count is told")
def _(t):
    t.publish(clip("dup_pts.mkv"), warns=["TIMELINE_REPAIRED"])
    at = t.times()
    t.lasts(2, 0.08)
    assert 54 <= len(at) <= 60, "%d pictures" % len(at)
    continuous(at, 0.07)
    assert "6" in t.notes["TIMELINE_REPAIRED"], t.notes
    return "times rise, 2 s, TIMELINE_REPAIRED with the count"


@case("I03", "every tenth picture has no time", "all pictures are shown, each at its time")
def _(t):
    t.publish(clip("no_pts.ts"))
    t.pictures(60)
    return "60 pictures at 30 fps"


def joined_recordings(t, name, drift=sync.DRIFT_MS):
    # The second part is what the first is: eight flashes a second apart, and their beeps.
    t.publish(clip(name), warns=["TIMELINE_REPAIRED"])
    at = t.times()
    close(t.seconds(), 8, 0.2, "length")
    continuous(at, 0.1)
    flashes = sync.flashes(t.video)
    equal(len(flashes), 8, "flashes")
    for by_tracks in (False, True):
        sync.check(t.master, by_tracks, drift=drift)
    return "8 s without a gap, beep within 20 ms of its flash in both parts, TIMELINE_REPAIRED"


@case("I04", "times jump ahead by 5000 s", "one timeline, both tracks moved alike, told where")
def _(t):
    return joined_recordings(t, "sync_jump.ts")


@case("I04", "times fall back by 5000 s", "one timeline, both tracks moved alike, told where")
def _(t):
    return joined_recordings(t, "sync_restart.ts")


@case("I04", "two WebM recordings of one recorder, joined", "one timeline, both tracks moved alike, told where")
def _(t):
    return joined_recordings(t, "joined.webm", 2)      # both tracks in ticks of 1 ms


for _name, _what in (("sync_pids.ts", "PIDs"), ("sync_program.ts", "PIDs and program number"),
                     ("sync_sound_pid.ts", "PID of its sound")):
    @case("I04", "a second recording with other " + _what, "one timeline, both tracks go on")
    def _(t, name=_name):
        return joined_recordings(t, name)


@case("I04", "times jump ahead by 5000 s, --timeline fail", "refused")
def _(t):
    t.refused(clip("sync_jump.ts"), "INPUT_CORRUPT", publish_only=True, more=["--timeline", "fail"])
    return "INPUT_CORRUPT"


for _name, _what in (("chain.opus", "chained Ogg Opus"), ("chain.ogg", "chained Ogg Vorbis"),
                     ("chain_two.webm", "Opus in WebM, two files one after the other")):
    @case("I04", _what, "each part where the one before ends, without its priming")
    def _(t, name=_name):
        t.publish(clip(name), warns=["TIMELINE_REPAIRED"])
        whole = [0.4, 1.4, 2.4, 3.2, 4.2] if name.startswith("chain.o") else [0.4, 1.4, 2.4, 3.4]
        heard = sync.beeps(t.audio())
        equal(len(heard), len(whole), "beeps (at %s)" % heard)
        for at, want in zip(heard, whole):
            close(at, want, 0.004, "time of a beep")
        return "each beep within 4 ms of its place"


@case("I04", "three WebM files one after the other, of which libavformat reads two", "no half of a title")
def _(t):
    r = tool("probe", "--full", clip("chain.webm"))
    if r.code == 0:
        t.publish(clip("chain.webm"), warns=["TIMELINE_REPAIRED"]).lasts(4.8, 0.1)
    else:
        t.refused(clip("chain.webm"), "INPUT_CORRUPT")
    return "whole, or INPUT_CORRUPT"


@case("I04", "chained Ogg with pictures, of which libavformat reads the first part", "no half of a title")
def _(t):
    r = tool("probe", "--full", clip("chain_av.ogv"))
    if r.code == 0:    # a libavformat that reads all of it
        t.publish(clip("chain_av.ogv"), warns=["TIMELINE_REPAIRED"]).lasts(4, 0.2)
    else:
        t.refused(clip("chain_av.ogv"), "INPUT_CORRUPT")
    return "whole, or INPUT_CORRUPT"


@case("I05", "raw H.264, rate in its headers", "the rate of the headers")
def _(t):
    t.publish(clip("no_times.h264"), warns=["TIMELINE_REPAIRED"])
    at = t.times()
    equal(len(at), 60, "pictures")
    t.lasts(2)
    continuous(at, 0.034)
    return "60 pictures in 2 s, TIMELINE_REPAIRED"


@case("I05", "raw HEVC without a rate", "25 fps and a warning")
def _(t):
    t.publish(clip("no_rate.hevc"), warns=["TIMELINE_REPAIRED"])
    equal(len(t.times()), 60, "pictures")
    t.lasts(2.4)
    assert "25" in t.notes["TIMELINE_REPAIRED"], t.notes
    return "60 pictures at 25 fps, TIMELINE_REPAIRED"


@case("I05", "AVI with B-frames, no presentation times", "all pictures, in order")
def _(t):
    t.publish(clip("b_frames.avi"))
    at = t.times()
    assert 59 <= len(at) <= 62, "%d pictures" % len(at)
    continuous(at, 0.034)
    like = clip("base.mp4")
    away = [difference(picture(t.video, 32, 18, at=x), picture(like, 32, 18, at=x)) for x in (0, 0.5, 1, 1.5)]
    assert max(away) < 14, "pictures differ by %s" % away
    tone(t.sound(), 1000, 0.2, 1.8)
    return "the pictures at their times, the tone"


@case("I05", "AVI with B-frames, ten packets are no pictures", "what follows keeps its time")
def _(t):
    t.publish(clip("missing.avi"), warns=["FRAMES_CONCEALED"])
    for at, x in ramp_times(t):
        close(x, at, 0.1 if at > 3 else 0.5, "time of the picture shown at %.2f s" % at)
    return "pictures at their times, FRAMES_CONCEALED"


@case("I31", "HEVC that begins between two random access points", "no grey: the first whole picture is held")
def _(t):
    t.publish(clip("headless.ts"))
    shown = ramp_times(t)
    for at, x in shown:
        close(x, max(at, 1), 0.07, "time of the picture shown at %.2f s" % at)
    ramp_tones(t, (0.5, 0), (2.5, 2), (5.5, 5))
    t.lasts(6, 0.1)
    return "the picture of 1 s is held up to there, each other at its time"


@case("I06", "33-bit times wrap after 1 s", "one timeline, in sync")
def _(t):
    t.publish(clip("sync_wrap.ts"))
    close(t.seconds(), 4, 0.1, "length")
    t.pictures(120)
    t.in_sync()
    return "120 pictures in 4 s, beep within 20 ms of its flash"


@case("I07", "priming in the source (first audio packet at -1024)", "priming is skipped once")
def _(t):
    source = clip("sync4.mp4")
    first = entries(source, "packet=pts", "a:0", ["-read_intervals", "%+#1"])[0]
    equal(int(first["pts"]), -1024, "first audio packet of the source")
    t.publish(source).in_sync(sync.measure(source))
    at = sync.beeps(t.audio())
    close(at[1] - at[0], 1, 0.02, "first to second beep")
    return "beep within 2 ms of where the source has it"


@case("I08", "audio 1.5 s late by an empty edit", "silence from 0, in sync, told")
def _(t):
    t.publish(clip("sync_late_audio.mp4"), warns=["AUDIO_STARTS_LATE"])
    quiet(t.sound(), 0, 1.4)
    close(float(audios(t.c)[0].start), 0, 0.001, "start of audio")
    t.in_sync()
    return "silence to 1.4 s, beep within 20 ms of its flash, AUDIO_STARTS_LATE"


@case("I08", "video 1.5 s late", "the first picture held from 0, told")
def _(t):
    t.publish(clip("late_video.mp4"), warns=["VIDEO_STARTS_LATE"])
    at = t.times()
    continuous(at, 2.01)
    tone(t.sound(), 1000, 0.2, 1.8)
    first = picture(clip("base.mp4"), 16, 9)
    assert difference(picture(t.video, 16, 9, at=0), first) < 6, "not the first picture at 0"
    moves = [x for x in at if 1.4 < x < 1.6]
    close(moves[0] if 1.47 < moves[0] else moves[1], 1.5, 0.04, "second picture")
    later = picture(clip("base.mp4"), 16, 9, at=1)
    assert difference(picture(t.video, 16, 9, at=2.5), later) < 6, "pictures moved against the sound"
    return "first picture from 0, the others 1.5 s later, sound from 0, VIDEO_STARTS_LATE"


def ramp_times(t):
    """Times in ramp.mp4 that the pictures of the title show."""
    source = lumas(clip("ramp.mp4"))
    low, high = source[0][1], source[-1][1]
    return [(at, (y - low) / (high - low) * 6) for at, y in t.lumas()]


def ramp_tones(t, *want):
    """Seconds of ramp.mp4 that are heard at (title time, second)."""
    s = t.sound()
    for at, second in want:
        close(s.pitch(at - 0.15, at + 0.15), 400 + 100 * second, 12, "pitch at %.1f s" % at)


@case("I09", "an edit list that plays 2.5 to 4.5 s", "nothing outside is published")
def _(t):
    t.publish(clip("trim.mp4"))
    shown = ramp_times(t)
    t.lasts(2)
    close(shown[0][1], 2.5, 0.1, "source time of the first picture")
    assert all(2.4 <= x <= 4.6 for _, x in shown), "pictures of %.2f to %.2f s" % (shown[0][1], shown[-1][1])
    for at, x in shown:
        close(x - at, 2.5, 0.1, "source time less title time")
    ramp_tones(t, (0.25, 2), (1.0, 3), (1.75, 4))
    return "2 s, pictures and tones of 2.5 to 4.5 s only"


@case("I09", "two edits: 1 to 2 s, then 4 to 5 s", "nothing outside is published")
def _(t):
    t.publish(clip("edits.mp4"))
    shown = ramp_times(t)
    outside = [x for _, x in shown if not (0.9 <= x <= 2.1 or 3.9 <= x <= 5.1)]
    assert not outside, "%d pictures outside, the first of %.2f s" % (len(outside), outside[0])
    t.lasts(2, 0.1)
    ramp_tones(t, (0.2, 1), (0.8, 1), (1.2, 4), (1.8, 4))
    return "2 s, pictures and tones of both ranges only"


def edited_times(edits, end):
    """[(title time, whole)] of the flashes of a SYNC clip with one each half second; whole: none of it is cut."""
    out, at = [], 0
    for length, media, _ in edits:
        length = length or end - media
        for k in range(0 if media is None else 2 * end):
            if media - 0.04 < k / 2 < media + length:
                out.append((at + max(k / 2 - media, 0), media <= k / 2 < media + length - 0.04))
        at += length
    return out


def edited(t, name, lists, end=12):
    """Each flash and each beep of the edited ranges is where the edits put it, and there is no other."""
    t.publish(clip(name))
    assert "EDIT_LIST_APPROXIMATED" not in t.result.warnings, t.result.warnings
    pictures, sound = sync.tracks(t.master, t.folder)
    for what, found, edits in (("flash", sync.flashes(pictures), lists[0]), ("beep", sync.beeps(sound), lists[-1])):
        due = edited_times(edits, end)
        for at, whole in due:
            assert not whole or any(abs(x - at) <= 0.02 for x in found), "no %s at %.3f: %s" % (what, at, found)
        for x in found:
            assert any(abs(x - at) <= 0.03 for at, _ in due), "a %s at %.3f: %s" % (what, x, due)
    return "each flash and each beep within 20 ms of its place, no others"


for _name, _what in (("edits_between.mp4", "three edits that begin between pictures"),
                     ("edits_many.mp4", "twenty edits of 0.35 s"),
                     ("edits_pause.mp4", "an empty edit between two others"),
                     ("edits_picture.mp4", "two edits of the picture alone"),
                     ("edits_sound.mp4", "a part of the sound alone left out"),
                     ("edit_between.mp4", "one edit that begins between two pictures"),
                     ("edits_to_end.mp4", "a last edit without a length")):
    @case("I09", _what, "nothing outside is published, in sync everywhere")
    def _(t, name=_name):
        return edited(t, name, EDITED[name])


@case("I09", "edits of 70 s in all, keyframes 8 s apart", "the same where several spans begin within them")
def _(t):
    return edited(t, "edits_long.mp4", [EDITS_LONG], 130)


@case("I09", "edits that go back", "EDIT_LIST_APPROXIMATED")
def _(t):
    t.publish(clip("edits_again.mp4"), warns=["EDIT_LIST_APPROXIMATED"])
    t.lasts(2, 0.1)
    return "EDIT_LIST_APPROXIMATED, 2 s"


for _name, _at in (("rare_early.mp4", 0.7), ("rare_late.mp4", 7.77)):
    @case("I09", "an edit at %s s between pictures up to 1.7 s apart" % _at, "each moment shows what it did in the source")
    def _(t, name=_name, at=_at):
        t.publish(clip(name))
        assert "EDIT_LIST_APPROXIMATED" not in t.result.warnings, t.result.warnings
        source, shown = lumas(clip("rare.mp4")), t.lumas()
        for k in range(295):
            x = 0.01 * k + 0.005
            due = {[y for a, y in source if a - at <= x + late][-1] for late in (-0.02, 0, 0.02)}
            got = [y for a, y in shown if a <= x][-1]
            assert min(abs(got - y) for y in due) < 3, "luma %.1f at %.3f, not %s" % (got, x, sorted(due))
        return "the picture of each moment within 20 ms"


@case("I09", "an edit at half speed", "EDIT_LIST_APPROXIMATED")
def _(t):
    p = t.probe(clip("edit_rate.mp4"))
    assert "EDIT_LIST_APPROXIMATED" in names_of(p), names_of(p)
    t.publish(clip("edit_rate.mp4"), warns=["EDIT_LIST_APPROXIMATED"])
    shown = [x for _, x in ramp_times(t)]
    assert min(shown) > 0.9, "pictures before the edit, of %.2f s" % min(shown)
    return "EDIT_LIST_APPROXIMATED, nothing before the edit"


@case("I26", "9.8 hours", "constant memory, 64-bit times, progress that moves")
def _(t):
    source, t.out = clip("long.mp4"), os.path.join(t.folder, "title1")
    args = ["nice", BIN, "publish", *FAST, "--segment", "60", "--gop", "60", "--ladder",
            ladder(t.folder, ("36p", 36, 20)), "--progress", "json", source, t.out]
    with open(os.path.join(t.folder, "events"), "w") as events:
        run = subprocess.Popen(args, stdout=events, stderr=subprocess.DEVNULL)
        _, status, use = os.wait4(run.pid, 0)
        run.returncode = os.waitstatus_to_exitcode(status)
    equal(run.returncode, 0, "exit status")
    t.c = check(t.out, decode=False)
    close(t.seconds(), 35400, 700, "length")
    assert use.ru_maxrss < 400 << 10, "%d KiB of memory" % use.ru_maxrss
    said = [json.loads(x) for x in open(os.path.join(t.folder, "events"))]
    permille = [e["permille"] for e in said if e["event"] == "progress"]
    assert permille == sorted(permille) and len(set(permille)) >= 5, "permille %s" % permille
    last = videos(t.c)[0].segments[-1]
    assert float(last.start) * 90000 > 2 ** 31, "last segment at %s" % last.start
    return "all of it, less than 400 MiB, permille rises"


@case("I36", "1 fps, 9 s", "IDR by time, last picture's length kept")
def _(t):
    t.publish(clip("r1.mp4"))
    equal(len(t.times()), 9, "pictures")
    t.lasts(9, 0.05)
    lengths = segments(t)
    equal(len(lengths), 2, "segments")
    close(lengths[0], 6, 0.01, "first segment")
    return "9 pictures, 9 s, segments of 6 and 3 s"


@case("I36", "three slides of 5 s", "IDR by time, last picture's length kept, no empty segment")
def _(t):
    t.publish(clip("slides.mp4"))
    t.lasts(15, 0.1)
    shown, at = t.lumas(), t.times()
    assert min(segments(t)) >= 0.5, segments(t)
    for want in (0, 5, 10):
        assert any(abs(x - want) < 0.01 for x in at), "no picture at %d s: %s" % (want, at[:9])
    continuous(at, 2.01)
    assert len(shown) <= 12, "%d pictures" % len(shown)
    return "15 s, slides at 0, 5 and 10 s, a picture in each fragment"


for _name, _what, _more, _seconds in (
        ("last_tick.mp4", "25 fps, the last picture lasts a tick", (), 2),
        ("end_card.mp4", "variable rate, the last picture lasts 8 ms", (), 4),
        ("end_card.mp4", "the same, --max-fps 10", ("--max-fps", "10"), 4)):
    @case("I36", _what, "the last picture is shown")
    def _(t, name=_name, more=_more, seconds=_seconds):
        t.publish(clip(name), *more)
        shown = t.lumas()
        close(shown[-1][1], 235, 8, "luma of the last picture")
        close(shown[0][1], 16, 4, "luma of the first picture")
        close(shown[-1][0], seconds - 0.04, 0.06, "time of the last picture")
        t.lasts(seconds)
        return "it is there"


def fast(t, name, seconds, source_rate):
    p = t.probe(clip(name))
    equal(p["video"][0]["frame_rate"], "%d/1" % source_rate, "frame_rate of the source")
    t.publish(clip(name))
    equal(len(t.times()), seconds * 60, "pictures")
    equal(master_rates(t), ["60.000"], "FRAME-RATE")
    t.lasts(seconds, 0.05)
    return "60 fps, FRAME-RATE 60, level by the checker's rule P13"


@case("I37", "120 fps", "60 fps, level and CODECS agree")
def _(t):
    return fast(t, "r120.mp4", 7, 120)


@case("I37", "240 fps", "60 fps, level and CODECS agree")
def _(t):
    return fast(t, "r240.mp4", 2, 240)


@case("I42", "TS with two programmes", "picture and sound of the first one, told")
def _(t):
    t.publish(clip("programs.ts"), warns=["TRACK_DROPPED"])
    equal(len(audios(t.c)), 1, "audio tracks")
    t.pictures(60)
    tone(t.sound(), 1000, 0.2, 1.8)
    return "60 pictures and the tone of the first programme, TRACK_DROPPED"


@case("I42", "TS whose audio PID begins after 8 s", "found within the deadline, silence before it")
def _(t):
    source = clip("late_pid.ts")
    equal(len(t.probe(source, "--full")["audio"]), 1, "audio tracks found")
    equal(len(t.probe(source, "--json")["audio"]), 1, "audio tracks found by a short probe")
    t.publish(source, warns=["AUDIO_STARTS_LATE"])
    t.lasts(12, 0.1)
    quiet(t.sound(), 0.1, 7.9)
    tone(t.sound(), 300, 8.2, 11.8)
    return "silence to 8 s, the tone from there, AUDIO_STARTS_LATE"
