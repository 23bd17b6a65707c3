# SPDX-License-Identifier: LGPL-2.1-or-later
"""Codecs that are accepted: each decoded to the right pictures and the right tone."""
import os
import subprocess

import inputs
from clips import AAC, FF, X264, clip as define, lavfi, run, test_video
from inputs import case, close, equal, tone
from titles import Skip, clip, difference, picture

os.environ.setdefault("SVT_LOG", "1")     # it talks on its own

# container, video (what ffmpeg calls it, options), audio
MATRIX = [
    ("mp4", X264, AAC), ("mkv", X264 + ["-bf", "2"], "-c:a flac".split()),
    ("mp4", "-c:v libx265 -preset ultrafast -tag:v hvc1 -x265-params log-level=none:pools=1", "-c:a alac"),
    ("webm", "-c:v libvpx -deadline realtime -cpu-used 8", "-c:a libvorbis"),
    ("webm", "-c:v libvpx-vp9 -deadline realtime -cpu-used 8", "-c:a libopus"),
    ("mp4", "-c:v libsvtav1 -preset 12 -svtav1-params lp=1", "-c:a ac3"),
    ("ts", "-c:v mpeg2video -b:v 4M", "-c:a mp2"), ("mpg", "-c:v mpeg1video -b:v 4M", "-c:a mp2"),
    ("avi", "-c:v mpeg4 -q:v 2", "-c:a libmp3lame"), ("mov", "-c:v prores_ks", "-c:a pcm_s16be"),
    ("mov", "-c:v dnxhd -profile:v dnxhr_sq -s 256x144", "-c:a pcm_s24le"),
    ("mov", "-c:v mjpeg -q:v 2", "-c:a pcm_s16le"),
    ("mkv", "-c:v ffv1", "-c:a eac3"), ("avi", "-c:v huffyuv", "-c:a pcm_u8"), ("avi", "-c:v utvideo", "-c:a adpcm_ms"),
    ("mov", "-c:v qtrle", "-c:a pcm_f32le"), ("mkv", "-c:v rawvideo", "-c:a dca -strict -2"),
    ("flv", "-c:v flv -q:v 2", "-c:a libmp3lame -ar 44100"), ("wmv", "-c:v wmv2 -b:v 4M", "-c:a wmav2"),
    ("mxf", "-c:v mpeg2video -b:v 4M", "-c:a pcm_s16le"), ("ogg", "-c:v libtheora -q:v 9", "-c:a libvorbis"),
    ("mkv", "-c:v snow -q:v 2 -strict -2", "-c:a wavpack"), ("mov", "-c:v jpeg2000", "-c:a adpcm_ima_qt"),
    ("mkv", "-c:v magicyuv", "-c:a truehd -strict -2"), ("mkv", "-c:v cfhd -s 256x144", "-c:a tta"),
    ("avi", "-c:v mpeg4 -q:v 2", "-c:a dca -strict -2"),
]


def words(x):
    return x.split() if isinstance(x, str) else x


for _n, (_ext, _video, _audio) in enumerate(MATRIX):
    inputs.group[0] = "codecs" if _n < len(MATRIX) // 2 else "more-codecs"
    _v, _a = words(_video), words(_audio)
    _name = "codec_%s_%s.%s" % (_v[1], _a[1], _ext)

    @define(_name, "%s and %s" % (_v[1], _a[1]))
    def _(to, dep, v=_v, a=_a):
        run(lavfi(test_video("256x144", "25", "1.2"), "sine=1000:d=1.2:r=48000") + v + a + ["-ac", "2"], to)

    @case("codec", "%s and %s in %s" % (_v[1], _a[1], _ext), "decoded")
    def _(t, name=_name, v=_v[1], a=_a[1]):
        known = subprocess.run(FF[1:2] + ["-hide_banner", "-v", "error", "-encoders"], stdout=subprocess.PIPE, text=True
                               ).stdout.split()
        for x in (v, a):
            if x not in known:
                raise Skip("this ffmpeg has no encoder " + x)
        t.publish(clip(name), rungs=[("144p", 144, 900)])
        at = t.times()
        assert 29 <= len(at) <= 33, "%d pictures" % len(at)
        close(t.seconds(), 1.2, 0.15, "length")
        for x in (0, 0.6):
            # With the frame before and after: containers begin with up to one frame of priming.
            got, like = picture(t.video, 32, 18, at=x), clip("codec_libx264_aac.mp4")
            away = min(difference(got, picture(like, 32, 18, at=x + d)) for d in (0, -0.04, 0.04) if x + d >= 0)
            assert away < 8, "pictures at %.1f s differ by %.1f" % (x, away)
        tone(t.sound(), 1000, 0.2, 1.0)
        equal(len(t.probe(t.source)["video"]), 1, "video tracks")
        return "pictures and tone"
