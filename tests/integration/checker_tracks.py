#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Reads all segments of one media playlist into exact numbers and checks what one track can break by itself."""
import os
from fractions import Fraction

import checker_codecs as codecs
import checker_media as m
from checker_media import Broken

BASE = 900000   # PTS of title time 0 in TS and packed audio
# Stream types of sound: codec string, stream_id of its PES, registration (ATSC A/52 A.4.1, G.3.2)
SOUND = {0x0F: ("mp4a", range(0xC0, 0xE0), b""), 0x81: ("ac-3", (0xBD,), b"\x05\x04AC-3"),
         0x87: ("ec-3", (0xBD,), b"\x05\x04EAC3")}
PACKED = {"mp4a": ".aac", "ac-3": ".ac3", "ec-3": ".ec3"}
EXTENSIONS = {"ts": (".ts",), "cmaf": (".m4s", ".mp4", ".cmfv", ".cmfa"), "packed": (".aac", ".ac3", ".ec3"), "vtt": (".vtt",)}


class Segment:
    key = offset = size = start = end = None

    def __init__(self):
        self.fragments = []     # (offset in object, size, start, end, end of the IDR picture in the object)
        self.frames = 0


class Track:
    def __init__(self, playlist):
        self.playlist, self.key = playlist, playlist.key
        self.kind = self.container = None
        self.segments, self.init = [], None
        self.codecs = []            # true ones
        self.width = self.height = self.shown = 0 # coded size; width in square pixels
        self.frame = None           # usual duration of a frame or audio frame, seconds
        self.last_frame = None
        self.audio = None           # in muxed TS: a Track of the audio
        self.sample_rate = self.channels = 0
        self.ac3 = None             # what dac3 or dec3 says
        self.rates = set()
        self.sets = []              # parameter sets, for decoding alone
        self.last_sync = False      # HEVC: the last picture to begin at is a sync sample

    @property
    def start(self):
        return self.segments[0].start

    @property
    def end(self):
        return self.segments[-1].end


def h264_level_fits(sps, fps):
    limits = m.H264_LEVELS.get(sps["level"])
    return limits is None or (sps["mbs"] <= limits[1] and (not fps or sps["mbs"] * fps <= limits[0] * Fraction(101, 100)))


class Loader:
    def __init__(self, root, ck):
        self.root, self.ck, self.files = root, ck, {}

    def read(self, key, offset=None, size=None):
        with open(os.path.join(self.root, key), "rb") as f:
            if offset is None:
                return f.read()
            f.seek(offset)
            data = f.read(size)
        if len(data) != size:
            raise Broken("%s: %d bytes at %d are wanted, %d are there" % (key, size, offset, len(data)))
        return data

    def exists(self, key, where):
        path = os.path.join(self.root, key)
        good = os.path.isfile(path) and not os.path.islink(path)
        self.ck.check(good, "X04", where, "names %s, which does not exist" % key)
        return good and os.path.getsize(path)

    def load(self, playlist):
        """A Track, or None when something is too broken to go on."""
        ck, t = self.ck, Track(playlist)
        if not playlist.entries:
            return None
        if not all([self.exists(e.key, playlist.key) for e in playlist.entries]):
            return None
        head = self.read(playlist.entries[0].key, playlist.entries[0].offset or 0,
                         min(16, playlist.entries[0].size or os.path.getsize(os.path.join(self.root,
                                                                                         playlist.entries[0].key))))
        t.container = "ts" if head[:1] == b"\x47" else "packed" if head[:3] == b"ID3" or head[:2] in (b"\xff\xf1",
                                                                                                 b"\xff\xf9") \
            else "vtt" if head.startswith(b"WEBVTT") else "cmaf" if head[4:8] in (b"styp", b"moof", b"ftyp", b"sidx") \
            else None
        if t.container is None:
            ck.fail("P20", playlist.entries[0].key, "is no fMP4, TS, packed audio or WebVTT")
            return None
        for e in playlist.entries:
            ext = os.path.splitext(e.key)[1]
            ck.check(ext in EXTENSIONS[t.container], "P20", e.key, "extension of a %s segment" % t.container)
        try:
            getattr(self, "_" + t.container)(t)
        except (Broken, IndexError, ValueError) as error:
            ck.fail("STRUCTURE", playlist.key, "%s: %s" % (type(error).__name__, error))
            return None
        except __import__("struct").error as error:
            ck.fail("STRUCTURE", playlist.key, "cut off: %s" % error)
            return None
        for s in t.segments:
            ck.check(s.size <= 20 << 20, "P21", s.key, "%d bytes" % s.size, warn=True)
        return t

    def segment(self, e):
        s = Segment()
        s.key, s.offset = e.key, e.offset or 0
        s.size = e.size if e.size is not None else os.path.getsize(os.path.join(self.root, e.key))
        s.whole = e.size is None
        s.entry = e
        return s

    # ---- WebVTT: only that it is there ----

    def _vtt(self, t):
        t.kind, at = "text", Fraction(0)
        for e in t.playlist.entries:
            s = self.segment(e)
            s.start, at = at, at + e.duration
            s.end = at
            t.segments.append(s)
            self.ck.check(self.read(e.key).startswith(b"WEBVTT"), "P25", e.key, "no WEBVTT header")

    # ---- CMAF ----

    def _init(self, t):
        ck, playlist = self.ck, t.playlist
        maps = {e.map for e in playlist.entries}
        ck.check(len(maps) == 1 and None not in maps, "CMAF", playlist.key, "not one MAP for all segments")
        if None in maps:
            raise Broken("fMP4 without MAP")
        key, off, size = t.init_at = playlist.entries[0].map
        if not self.exists(key, playlist.key):
            raise Broken("no init segment")
        data = self.read(key, off, size)
        t.init_bytes, t.init = data, m.parse_init(data)
        i = t.init
        where = key
        ck.check(os.path.splitext(key)[1] in (".mp4", ".m4s", ".m4i"), "P20", key, "extension of an init segment")
        order = [k for k in i["top"] if k not in ("free", "skip")]
        ck.check(order[:2] == ["ftyp", "moov"], "CMAF", where, "boxes %s, not ftyp moov" % order)
        ck.check(order == ["ftyp", "moov"], "P19" if off is not None else "CMAF", where,
                 "init holds boxes %s" % order)
        ck.check(any(b in ("iso6", "iso7", "iso8", "iso9", "cmfc", "cmf2") for b in i["brands"] + [i["major"]]), "CMAF",
                 where, "no brand iso6 or later: %s" % i["brands"])
        ck.check("cmfc" in i["brands"] or i["major"] == "cmfc" or "cmf2" in i["brands"], "CMAF", where, "no brand cmfc")
        ck.check(i["traks"] == 1, "CMAF", where, "%d tracks in one file" % i["traks"])
        ck.check(i["samples"] == 0, "CMAF", where, "sample tables are not empty")
        ck.check(i["mvhd_duration"] == 0 and i["tkhd_duration"] == 0, "CMAF", where, "mvhd duration %d, tkhd %d"
                 % (i["mvhd_duration"], i["tkhd_duration"]))
        ck.check(i["mdhd_duration"] == 0, "CMAF", where, "mdhd duration %d" % i["mdhd_duration"])
        ck.check(i["mvex"] == 1, "CMAF", where, "%d mvex boxes" % i["mvex"])
        if i["mvex"]:
            last_trak = max(n for n, k in enumerate(i["moov"]) if k == "trak")
            ck.check(i["moov"].index("mvex") > last_trak, "CMAF", where, "mvex before the last trak")
        ck.check(i["track_id"] in i["trex"], "CMAF", where, "no trex for the track")
        ck.check(not i["elst"], "P07", where, "edit list")
        ck.check("udta" not in i["moov"] and "meta" not in i["top"] and "udta" not in i["top"], "CMAF", where,
                 "file-level meta or udta")
        t.kind = {"vide": "video", "soun": "audio"}.get(i["handler"], "text")
        if t.kind == "video":
            ck.check("colr" not in i or i["colr"][0] == "nclx", "CMAF", where, "colr is not nclx")
            ck.check("pasp" in i, "CMAF", where, "no pasp box")
        if t.kind != "text":
            t.codecs = [m.codec_string(i)]
        self._config(t, where)

    def _config(self, t, where):
        ck, i = self.ck, t.init
        t.length_size, t.codec = 4, {"avcC": "h264", "hvcC": "hevc", "av1C": "av1", "vpcC": "vp9"}.get(
            i.get("config_box"))
        if t.kind == "video":
            t.width, t.height = i["width"], i["height"]
            par = i.get("pasp", (1, 1))
            t.shown = int(i["width"] * par[0] / par[1] + 0.5)
            ck.check(round(i["tkhd_height"]) == i["height"] and
                     abs(i["tkhd_width"] - i["width"] * par[0] / par[1]) <= 1, "CMAF", where,
                     "tkhd says %gx%g, sample entry %dx%d" % (i["tkhd_width"], i["tkhd_height"], i["width"], i["height"]))
        if t.codec == "h264":
            t.length_size, sps, pps = m.avcc(i["config"])
            t.sets = sps + pps
            ck.check(sps and pps, "P04", where, "avcC without parameter sets")
            for s in sps:
                ck.check(s[1:4] == i["config"][1:4], "P13", where, "avcC header %s, SPS %s"
                         % (i["config"][1:4].hex(), s[1:4].hex()))
                t.sps = p = m.h264_sps(s)
                ck.check((p["width"], p["height"]) == (t.width, t.height), "P13", where,
                         "SPS says %dx%d, sample entry %dx%d" % (p["width"], p["height"], t.width, t.height))
                colour = p.get("colour", (2, 2, 2))
                ck.check(colour == (2, 2, 2) or i.get("colr", ())[1:] == colour, "CMAF", where, "colr %s, SPS %s"
                         % (i.get("colr"), colour))
        elif t.codec == "hevc":
            t.length_size, t.sets = m.hvcc_sets(i["config"])
            self._hevc_config(t, where)
        elif t.codec == "av1":
            found = [p for kind, p in codecs.obus(i["config"][4:]) if kind == 1]
            if ck.check(len(found) == 1, "P04", where, "av1C holds %d sequence headers" % len(found)):
                s = codecs.av1_sequence(found[0])
                c = i["config"]
                ck.check((c[0], c[1], c[2] >> 7) == (0x81, s["profile"] << 5 | s["level"], s["tier"]), "P13", where,
                         "av1C %s, its sequence header %s" % (c[:4].hex(), s))
                self._picture_config(t, s, where)
        elif t.codec == "vp9":
            t.vpcc = i["config"]
        elif i.get("config_box") == "esds":
            a = m.asc(i["config"])
            t.sample_rate, t.channels = a.get("ext_rate", a["rate"]), a["channels"]
            ck.check(i["rate"] in (a["rate"], a.get("ext_rate")), "P13", where, "sample entry %d Hz, ASC %d Hz"
                     % (i["rate"], a["rate"]))
        elif i.get("config_box") in ("dac3", "dec3"):
            t.ac3, more = m.ac3_config(i["config_box"], i["config"])
            t.sample_rate, t.channels = t.ac3[0], m.AC3_CHANNELS[t.ac3[2]] + t.ac3[3] if not more else i["channels"]
            ck.check((i["rate"], i["channels"]) == (t.sample_rate, t.channels), "P13", where, "sample entry %d Hz and %d "
                     "channels, %s %d and %d" % (i["rate"], i["channels"], i["config_box"], t.sample_rate, t.channels))
        elif t.kind == "audio":
            t.sample_rate, t.channels = codecs.sound_config(i["config_box"], i["config"])
            rate = t.sample_rate
            while rate > 65535:
                rate //= 2
            ck.check((i["rate"], i["channels"]) == (rate, t.channels), "P13", where,
                     "sample entry %d Hz, %d channels; its configuration %d Hz, %d channels"
                     % (i["rate"], i["channels"], t.sample_rate, t.channels))
            if i["config_box"] == "dfLa":
                bits = (int.from_bytes(i["config"][14:22], "big") >> 36 & 31) + 1
                ck.check(i["bits"] == bits, "P13", where, "samplesize %d of FLAC of %d bits" % (i["bits"], bits))
            ck.check(i["timescale"] == t.sample_rate, "P13", where, "timescale %d of %d Hz" % (i["timescale"], t.sample_rate))

    def _picture_config(self, t, head, where):
        """Size and colour that the bitstream tells, against the sample entry."""
        i = t.init
        self.ck.check((head["width"], head["height"]) == (t.width, t.height), "P13", where,
                      "the bitstream says %dx%d, the sample entry %dx%d" % (head["width"], head["height"], t.width, t.height))
        colour = head.get("colour", codecs.UNTOLD)
        self.ck.check(colour == codecs.UNTOLD or i.get("colr", ())[1:] == colour, "CMAF", where,
                      "colr %s, the bitstream %s" % (i.get("colr"), colour))

    def _hevc_config(self, t, where):
        ck, arrays = self.ck, codecs.hvcc_arrays(t.init["config"])
        ck.check(t.init["entry"] in ("hvc1", "encv"), "P13", where, "sample entry " + t.init["entry"])
        ck.check({32, 33, 34} <= {kind for kind, _, sets in arrays if sets}, "P04", where, "hvcC without parameter sets")
        ck.check(all(whole for kind, whole, _ in arrays if kind in (32, 33, 34)), "P13", where,
                 "hvc1 with arrays that are not complete")
        for s in (x for kind, _, sets in arrays if kind == 33 for x in sets):
            head = codecs.hevc_sps(s)
            ck.check(head["ptl"] == t.init["config"][1:13], "P13", where, "hvcC header %s, SPS %s"
                     % (t.init["config"][1:13].hex(), head["ptl"].hex()))
            self._picture_config(t, head, where)

    def _cmaf(self, t):
        self._init(t)
        ck, i = self.ck, t.init
        scale, expect, durations, last_dts = i["timescale"], None, {}, None
        sequence = 0
        for e in t.playlist.entries:
            s = self.segment(e)
            data = self.read(e.key, e.offset, e.size) if e.size is not None else self.read(e.key)
            try:
                kinds, fragments = m.parse_segment(data, i["trex"])
            except Broken as error:
                ck.fail("P19" if e.size is not None else "STRUCTURE", e.key, str(error))
                raise
            if e.size is not None:
                ck.check(kinds[0] == "moof", "P19", "%s@%d" % (e.key, e.offset), "range does not begin with moof")
            for n, f in enumerate(fragments):
                where = "%s fragment %d" % (e.key, n + 1)
                ck.check(f["sequence"] > sequence, "CMAF", where, "mfhd sequence %d after %d" % (f["sequence"], sequence))
                sequence = f["sequence"]
                self._fragment_rules(t, f, where)
                dts, start = f["tfdt"], f["tfdt"]
                if expect is not None:
                    ck.check(dts == expect, "P01", where, "tfdt %d, previous samples end at %d" % (dts, expect))
                pts, at = [], f["at"] + (f["data_offset"] or 0)
                for k, (duration, size, flags, cts) in enumerate(f["samples"]):
                    pts.append(dts + cts)
                    ck.check(duration > 0, "P09", where, "sample %d has no duration" % (k + 1))
                    ck.check(last_dts is None or dts > last_dts, "P09", where, "decode times do not rise")
                    if t.kind == "video":
                        self._picture(t, data[at:at + size], k, flags, where)
                    elif t.ac3 and i["entry"] != "enca":
                        self._ac3(t, data[at:at + size], duration, where)
                    elif i.get("config_box") in codecs.SAMPLES and i["entry"] != "enca":
                        true = codecs.SAMPLES[i["config_box"]](data[at:at + size])
                        ck.check(true == duration, "P05", where, "sample %d lasts %d, its frame %d" % (k + 1, duration, true))
                        ck.check(not flags & 0x10000, "P04", where, "sound that is no sync sample")
                    last_dts, dts, at = dts, dts + duration, at + size
                    durations[duration] = durations.get(duration, 0) + 1
                    t.last_frame = Fraction(duration, scale)
                if not f["samples"]:
                    ck.fail("CMAF", where, "no samples")
                    continue
                ck.check(min(pts) == start, "P07", where, "first picture is shown at %d, tfdt is %d" % (min(pts), start))
                ck.check(pts[0] == min(pts), "P03", where, "open GOP: a picture is shown before the IDR")
                ck.check(max(pts) < dts and len(set(pts)) == len(pts), "P09", where,
                         "presentation times are doubled or reach into the next fragment")
                base = s.offset
                s.fragments.append((base + f["at"], f["size"], Fraction(start, scale), Fraction(dts, scale),
                                    base + f["at"] + (f["data_offset"] or 0) + f["samples"][0][1]))
                s.frames += len(f["samples"])
                expect = dts
            if not s.fragments:
                raise Broken(e.key + " holds no samples")
            s.start, s.end = s.fragments[0][2], s.fragments[-1][3]
            t.segments.append(s)
        usual = max(durations, key=lambda d: durations[d])
        t.frame = Fraction(usual, scale)
        if i.get("config_box") in ("dOps", "dfLa"):
            t.frame = Fraction(max(durations), scale)
        t.rates = {Fraction(scale, d) for d in durations}
        t.timescale = scale
        if t.kind == "audio" and i.get("config_box") not in ("dOps", "dfLa"):  # theirs vary, and were looked at
            odd = sum(n for d, n in durations.items() if d != usual)
            ck.check(odd <= 1, "P05", t.key, "audio frames of different lengths: %s" % durations)

    def _fragment_rules(self, t, f, where):
        ck = self.ck
        ck.check(f["trafs"] == 1 and f["truns"] == 1, "CMAF", where, "%d traf, %d trun" % (f["trafs"], f["truns"]))
        ck.check(f["tfdt_version"] == 1, "P24", where, "tfdt version %d" % f["tfdt_version"])
        ck.check(f["trun_version"] == {1}, "P09", where, "trun version %s" % f["trun_version"])
        ck.check(f["tfhd_flags"] & 0x20000 and not f["tfhd_flags"] & 1, "CMAF", where,
                 "tfhd flags %06x: no default-base-is-moof" % f["tfhd_flags"])
        ck.check(f["track_id"] == t.init["track_id"], "CMAF", where, "track %d, init has %d"
                 % (f["track_id"], t.init["track_id"]))
        head = f["mdat_at"] - f["at"] + f["mdat_head"]
        ck.check(f["data_offset"] == head, "CMAF", where, "data_offset %s, mdat payload is at %d"
                 % (f["data_offset"], head))
        total = sum(s[1] for s in f["samples"])
        ck.check(total == f["mdat_data"], "CMAF", where, "samples have %d bytes, mdat %d" % (total, f["mdat_data"]))

    def _ac3(self, t, data, duration, where):
        """A sample is six blocks of each substream (TS 102 366 F.3, F.5), as dac3 or dec3 say."""
        frames = m.ac3_frames(data)
        own = [f for f in frames if not f[2]]
        self.ck.check(sum(f[1] for f in own) == duration == 1536, "P05", where, "AC-3 sample of %d ticks with %d samples"
                      % (duration, sum(f[1] for f in own)))
        self.ck.check({f[0] for f in own} == {t.ac3}, "P13", where, "AC-3 frames %s, the configuration says %s"
                      % ({f[0] for f in own}, t.ac3))

    def _picture(self, t, data, index, flags, where):
        ck = self.ck
        if t.codec is None or t.init["entry"] == "encv":
            ck.check(index or not flags & 0x10000, "P03", where, "does not begin with a sync sample")
            return
        if t.codec in ("av1", "vp9"):
            self._other_picture(t, data, index, flags, where)
            return
        types = [m.nal_type(t.codec, n) for n in m.length_prefixed(data, t.length_size)]
        point, idr = codecs.hevc_point(types) if t.codec == "hevc" else (m.is_idr(t.codec, types),) * 2
        sync = not flags & 0x10000
        if index == 0:
            ck.check(point, "P04", where, "does not begin with an IDR picture (NAL types %s)" % types[:6])
        ck.check(point if sync else not idr, "P04", where, "sample %d: sync flag and NAL types %s disagree"
                 % (index + 1, types[:6]))
        if t.codec == "hevc":
            # RASL pictures may need what is before their CRA: never behind one that says that decoding begins there.
            ck.check(point or not {8, 9} & set(types) or not t.last_sync, "P04", where,
                     "sample %d: RASL picture behind a sync sample" % (index + 1))
            if point:
                t.last_sync = sync
        sets = {7, 8} if t.codec == "h264" else {32, 33, 34}
        ck.check(not sets & set(types), "P13", where, "parameter sets inside samples of %s" % t.init["entry"])

    def _other_picture(self, t, data, index, flags, where):
        ck, sync = self.ck, not flags & 0x10000
        if t.codec == "av1":
            found = codecs.obus(data)
            point = codecs.av1_sync(found)
            ck.check(not any(kind == 2 for kind, _ in found), "CMAF", where, "sample %d: temporal delimiter" % (index + 1))
            for kind, payload in found:
                if kind == 1:
                    a, b = codecs.av1_sequence(payload), codecs.av1_sequence(codecs.obus(t.init["config"][4:])[0][1])
                    ck.check(a == b, "P13", where, "sample %d: another sequence header than av1C" % (index + 1))
        else:
            frames = [codecs.vp9_head(f) for f in codecs.vp9_frames(data)]
            head, point = frames[0], frames[0]["key"]
            ck.check([f["show"] for f in frames] == [0] * (len(frames) - 1) + [1], "CMAF", where,
                     "sample %d: %d frames, shown %s" % (index + 1, len(frames), [f["show"] for f in frames]))
            if point:
                c, (x, y) = t.vpcc, head["sub"]
                told = (head["profile"], head["depth"], head["full"], 3 if not x else 1 if y else 2)
                ck.check((c[0], c[2] >> 4, c[2] & 1, max(c[2] >> 1 & 7, 1)) == told, "P13", where, "vpcC %s, the frame %s"
                         % (c.hex(), told))
                self._picture_config(t, head, where)
        if index == 0:
            ck.check(point, "P04", where, "does not begin with a key frame")
        ck.check(point == sync, "P04", where, "sample %d: sync flag %d, key frame %d" % (index + 1, sync, point))

    # ---- MPEG-TS ----

    def _ts(self, t):
        ck, cc = self.ck, {}
        state = {"dts": {}, "pcr": None, "pts": None, "audio_next": None}
        sound = Track(t.playlist)
        sound.kind, sound.container = "audio", "ts"
        for e in t.playlist.entries:
            s = self.segment(e)
            data = self.read(e.key, e.offset, e.size) if e.size is not None else self.read(e.key)
            ts = m.Ts(data, cc)
            for rule, text in ts.problems:
                ck.fail(rule, e.key, text)
            ck.check(ts.order[:2] == [0, ts.pmt_pid], "P17", e.key, "does not begin with PAT and PMT")
            video = [pid for pid, kind in ts.streams.items() if kind in (0x1B, 0x24)]
            audio = [pid for pid, kind in ts.streams.items() if kind in (0x0F, 0x11, 0x81, 0x87, 0x03)]
            ck.check(len(video) <= 1 and len(audio) <= 1, "STRUCTURE", e.key, "streams %s" % ts.streams)
            t.kind = "video" if video else "audio"
            self._ts_pcr(ts, (video or audio)[0], state, e.key)
            sa = self.segment(e)
            for p in ts.pes:
                self._ts_pes(p, ts, state, e.key)
                if p.pid in video:
                    self._ts_picture(t, s, p, ts, e.key)
                else:
                    self._ts_audio(sound, sa, p, ts, state, e.key)
            for name, pids, seg in (("video", video, s), ("audio", audio, sa)):
                ck.check(not pids or seg.frames, "P12", e.key, "no %s in a muxed segment" % name)
            if video and s.frames:
                t.segments.append(s)
            if audio and sa.frames:
                sound.segments.append(sa)
        if t.kind == "audio":
            sound.playlist = t.playlist
            t.__dict__.update(sound.__dict__)
        else:
            self._ts_finish(t)
            t.audio = sound if sound.segments else None
            t.codecs = t.codecs + sound.codecs
        if not t.segments:
            raise Broken("no frames")
        for x in [t] + ([t.audio] if t.audio else []):
            want = Fraction(BASE, 90000)
            late = x.frame if x.kind == "audio" else 0
            ck.check(0 <= x.start <= late, "P06", t.key, "%s starts at PTS %s, not %d"
                     % (x.kind, (x.start + want) * 90000, BASE))

    def _ts_pcr(self, ts, pid, state, key):
        ck = self.ck
        ck.check(ts.pcr_pid == pid, "P18", key, "PCR is on PID 0x%x" % (ts.pcr_pid or 0))
        ck.check(ts.pcr and all(p[2] == ts.pcr_pid for p in ts.pcr), "P18", key, "no PCR, or PCR on another PID")
        for _, pcr, _ in ts.pcr:
            last = state["pcr"]
            value = m.unwrap(pcr // 300, last // 300 if last is not None else None) * 300 + pcr % 300
            if last is not None:
                ck.check(value > last, "P18", key, "PCR goes back to %d" % value)
                ck.check(value - last <= 2700000, "P18", key, "%d ms between PCRs" % ((value - last) // 27000))
            state["pcr"] = value

    def _ts_pes(self, p, ts, state, key):
        ck = self.ck
        if p.pts is None:
            raise Broken("PES at %d has no PTS" % p.at)
        p.dts = m.unwrap(p.dts, state["pts"])
        p.pts = m.unwrap(p.pts, p.dts)
        state["pts"] = p.dts
        where = "%s@%d" % (key, p.at)
        ck.check(p.dts <= p.pts, "P18", where, "DTS %d after PTS %d" % (p.dts, p.pts))
        last = state["dts"].get(p.pid)
        ck.check(last is None or p.dts > last, "P09", where, "DTS %d after %s on PID 0x%x" % (p.dts, last, p.pid))
        state["dts"][p.pid] = p.dts
        if p.last_pcr is not None:
            pcr = m.unwrap(p.last_pcr // 300, p.dts)
            ck.check(pcr <= p.dts, "P18", where, "PCR %d after DTS %d" % (pcr, p.dts))
        else:
            ck.fail("P18", where, "PES before the first PCR")

    def _ts_picture(self, t, s, p, ts, key):
        ck = self.ck
        t.codec = "hevc" if ts.streams[p.pid] == 0x24 else "h264"
        nals = m.annexb(p.payload)
        types = [m.nal_type(t.codec, n) for n in nals]
        idr = m.is_idr(t.codec, types)
        where = "%s@%d" % (key, p.at)
        ck.check(types and types[0] == (35 if t.codec == "hevc" else 9), "TS", where, "no access unit delimiter first")
        if not s.frames:
            ck.check(idr, "P04", where, "segment does not begin with an IDR picture (NAL types %s)" % types[:6])
        if idr:
            sets = [n for n, k in zip(nals, types) if k in ((32, 33, 34) if t.codec == "hevc" else (7, 8))]
            ck.check(len(sets) >= (3 if t.codec == "hevc" else 2), "P04", where, "IDR without parameter sets")
            # An IDR inside of a fragment needs neither: a short last fragment is merged into the one before.
            inner = s.frames > 0 and not p.random_access and not p.psi_before
            ck.check(inner or p.random_access, "P17", where, "IDR without random_access_indicator")
            ck.check(inner or p.psi_before, "P17", where, "no PAT and PMT before the IDR")
            t.sets = sets
            if t.codec == "h264":
                for n in sets:
                    if n[0] & 31 == 7:
                        sps = m.h264_sps(n)
                        text = "avc1.%02x%02x%02x" % (sps["profile"], sps["constraints"], sps["level"])
                        ck.check(not t.codecs or t.codecs == [text], "P13", where, "parameter sets change")
                        t.codecs, t.sps = [text], sps
                        t.width, t.height = sps["width"], sps["height"]
                        par = sps.get("sar", (1, 1))
                        t.shown = int(t.width * par[0] / par[1] + 0.5)
            s.idr_pts = p.pts
            if not inner:
                tables = max([188 * x for x in ts.psi_at if 188 * x <= p.at], default=p.at)
                s.fragments.append([tables + s.offset, 0, p.pts, None, p.end + s.offset])
        elif s.fragments:
            ck.check(p.pts > s.idr_pts, "P03", where, "open GOP: a picture is shown before its IDR")
        s.pts = getattr(s, "pts", [])
        s.pts.append(p.pts)
        s.frames += 1

    def _ts_finish(self, t):
        pts = sorted(x for s in t.segments for x in s.pts)
        deltas = [b - a for a, b in zip(pts, pts[1:])]
        self.ck.check(all(d > 0 for d in deltas), "P09", t.key, "two pictures share a time")
        usual = sorted(deltas)[len(deltas) // 2] if deltas else 0
        entries = [s.entry for s in t.segments]
        for a, b in zip(t.segments, t.segments[1:]):
            self.ck.check(max(a.pts) < min(b.pts), "P03", b.key, "pictures of two segments overlap in time")
        # A TS does not say how long its last picture lasts: believe EXTINF where it is possible at all.
        last = t.segments[-1]
        shown = Fraction(max(last.pts) - min(last.pts), 90000)
        said = entries[-1].duration
        longest = Fraction(2 * max(deltas or [90000]), 90000)
        self.ck.check(shown < said <= shown + longest + Fraction(1, 1000), "P01", last.key,
                      "EXTINF %s, pictures span %.6f s" % (entries[-1].text, float(shown)))
        usual = Fraction(usual, 90000) if deltas else said
        t.frame = t.last_frame = usual
        t.rates = {Fraction(90000, d) for d in deltas} if deltas else set()
        for n, s in enumerate(t.segments):
            s.start = Fraction(min(s.pts) - BASE, 90000)
        for a, b in zip(t.segments, t.segments[1:]):
            a.end = b.start
        end = shown + usual
        last.end = last.start + (said if abs(said - end) <= longest else end)
        self._ts_fragments(t)

    @staticmethod
    def _ts_fragments(t):
        every = [f for s in t.segments for f in s.fragments]
        for a, b in zip(every, every[1:]):
            a[3] = Fraction(b[2] - BASE, 90000)
        if every:
            every[-1][3] = t.segments[-1].end
        for s in t.segments:
            for f, n in zip(s.fragments, s.fragments[1:] + [[s.offset + s.size]]):
                f[1] = n[0] - f[0]
            s.fragments = [(f[0], f[1], Fraction(f[2] - BASE, 90000), f[3], f[4]) for f in s.fragments]

    def _sound_frames(self, t, s, payload, pts, key, state):
        ck, at = self.ck, pts
        units = codecs.ac3_units(payload) if payload[:1] == b"\x0b" else \
            [("mp4a.40.%d" % f["aot"], f["rate"], f["channels"], 1024) for f in m.adts_frames(payload)]
        for text, rate, channels, samples in units:
            if not t.codecs:
                t.codecs, t.sample_rate, t.channels = [text], rate, channels
                t.frame = t.last_frame = Fraction(1024 if text.startswith("mp4a") else 1536, rate)
            ck.check([text] == t.codecs and rate == t.sample_rate and channels == t.channels, "P13", key,
                     "the sound's format changes")
            expect = state["audio_next"]
            ck.check(expect is None or abs(at - expect) <= 2, "P05", key,
                     "audio frame at PTS %.1f, the one before ends at %.1f" % (at, expect or 0))
            if s.frames == 0:
                s.start = Fraction(at - BASE) / 90000
            # The grid of the samples, not of the rounded times, carries on.
            state["audio_samples"] = state.get("audio_samples", 0) + samples
            state.setdefault("audio_first", at)
            at = state["audio_first"] + Fraction(state["audio_samples"] * 90000, t.sample_rate)
            state["audio_next"] = at
            s.frames += 1
            s.end = (Fraction(at) - BASE) / 90000
        return at

    def _ts_audio(self, t, s, p, ts, state, key):
        ck, where = self.ck, "%s@%d" % (key, p.at)
        codec, ids, registration = SOUND.get(ts.streams[p.pid], ("?", (), b""))
        ck.check(p.stream_id in ids, "STRUCTURE", where, "stream_id %#x of stream type %#x" % (p.stream_id,
                                                                                            ts.streams[p.pid]))
        ck.check(registration in ts.descriptors[p.pid], "TS", key, "no registration of " + codec)
        expect = state["audio_next"]
        ck.check(expect is None or abs(p.pts - expect) <= 2, "P05", where,
                 "audio PTS %d, the frames before end at %.1f" % (p.pts, expect or 0))
        self._sound_frames(t, s, p.payload, expect if expect is not None else p.pts, key, state)
        ck.check(t.codecs[0].startswith(codec), "P13", key, "%s in a stream of type %#x" % (t.codecs[0],
                                                                                           ts.streams[p.pid]))

    # ---- packed audio ----

    def _packed(self, t):
        ck, state, near = self.ck, {"audio_next": None}, None
        t.kind = "audio"
        for e in t.playlist.entries:
            s = self.segment(e)
            data = self.read(e.key, e.offset, e.size) if e.size is not None else self.read(e.key)
            stamp, size = m.id3_timestamp(data)
            stamp = near = m.unwrap(stamp, near)
            expect = state["audio_next"]
            ck.check(expect is None or abs(stamp - expect) <= 2, "P05", e.key,
                     "ID3 timestamp %d, the frames before end at %.1f" % (stamp, expect or 0))
            self._sound_frames(t, s, data[size:], expect if expect is not None else stamp, e.key, state)
            ck.check(e.key.endswith(PACKED[t.codecs[0][:4]]), "P20", e.key, "extension of packed " + t.codecs[0])
            t.segments.append(s)
        ck.check(0 <= t.start <= t.frame, "P06", t.key, "starts at timestamp %s, not %d"
                 % (t.start * 90000 + BASE, BASE))
