#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""MPD reader of checker.py: ISO/IEC 23009-1 with the rules of DASH-IF for static content."""
import os
import re
import shutil
import subprocess
import tempfile
import xml.etree.ElementTree as ET
from fractions import Fraction

from checker_hls import resolve
from checker_media import Broken

NS = "{urn:mpeg:dash:schema:mpd:2011}"


def duration(text):
    m = re.fullmatch(r"P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?)?", text or "")
    if not m:
        raise Broken("duration %r" % text)
    d, h, mi, s = (Fraction(x or 0) for x in m.groups())
    return d * 86400 + h * 3600 + mi * 60 + s


def expand(template, values):
    def one(m):
        if not m.group(1):
            return "$"
        name, fmt = m.group(1), m.group(2)
        if name not in values:
            raise Broken("$%s$ is not allowed here" % name)
        return (fmt % values[name]) if fmt else str(values[name])
    return re.sub(r"\$(?:(RepresentationID|Number|Time|Bandwidth)(%0\d+d)?)?\$", one, template)


class Representation:
    """What one Representation names: init (key, offset, size), segments (key, offset, size, t, d in ticks)."""


def validate(path, shared, ck, key):
    """Against the schema, where xmllint and the schema are there. The xlink import is pointed at the local copy."""
    folder = os.path.join(shared, "dash")
    if not shutil.which("xmllint") or not os.path.isfile(os.path.join(folder, "DASH-MPD.xsd")):
        ck.warn("DASH", key, "schema not checked: no xmllint or no schema")
        return
    with tempfile.TemporaryDirectory() as tmp:
        text = open(os.path.join(folder, "DASH-MPD.xsd"), encoding="utf-8").read()
        text = re.sub(r'schemaLocation="[^"]*xlink\.xsd"', 'schemaLocation="xlink.xsd"', text)
        with open(os.path.join(tmp, "DASH-MPD.xsd"), "w", encoding="utf-8") as f:
            f.write(text)
        shutil.copy(os.path.join(folder, "xlink.xsd"), tmp)
        run = subprocess.run(["xmllint", "--nonet", "--noout", "--schema", os.path.join(tmp, "DASH-MPD.xsd"), path],
                             stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        ck.check(run.returncode == 0, "DASH", key, "not valid: " + " | ".join(
            line.split(path)[-1] for line in run.stderr.strip().split("\n")[:5]))


class Mpd:
    def __init__(self, path, key, ck, shared):
        self.key, self.ck = key, ck
        self.representations = []
        self.named = set()
        validate(path, shared, ck, key)
        try:
            root = ET.parse(path).getroot()
        except ET.ParseError as e:
            raise Broken("not well-formed: %s" % e)
        ck.check(root.tag == NS + "MPD", "DASH", key, "root element " + root.tag)
        self.total = self._top(root)
        periods = root.findall(NS + "Period")
        ck.check(len(periods) == 1, "DASH", key, "%d Periods" % len(periods))
        base = self._base(root, "")
        for p in periods:
            self._period(p, self._base(p, base))

    def _base(self, node, base):
        found = node.findall(NS + "BaseURL")
        self.ck.check(len(found) <= 1, "DASH", self.key, "several BaseURLs")
        return base + (found[0].text or "").strip() if found else base

    def _top(self, root):
        ck, key = self.ck, self.key
        ck.check(root.get("type", "static") == "static", "DASH", key, "type is not static")
        for name in ("minimumUpdatePeriod", "timeShiftBufferDepth", "availabilityStartTime"):
            ck.check(root.get(name) is None, "DASH", key, name + " in a static MPD")
        for name in ("mediaPresentationDuration", "minBufferTime", "profiles"):
            ck.check(root.get(name) is not None, "DASH", key, "no MPD@" + name)
        self.profiles = (root.get("profiles") or "").split(",")
        self.min_buffer = duration(root.get("minBufferTime", "PT2S"))
        return duration(root.get("mediaPresentationDuration", "PT0S"))

    def _period(self, p, base):
        ck, key = self.ck, self.key
        ck.check(duration(p.get("start", "PT0S")) == 0, "DASH", key, "first Period does not start at 0")
        ck.check(p.get("duration") is None or duration(p.get("duration")) == self.total, "DASH", key,
                 "Period@duration is not mediaPresentationDuration")
        sets = p.findall(NS + "AdaptationSet")
        ck.check(sets, "DASH", key, "no AdaptationSet")
        ids = [a.get("id") for a in sets if a.get("id") is not None]
        ck.check(len(set(ids)) == len(ids), "DASH", key, "AdaptationSet@id twice")
        names = [r.get("id") for a in sets for r in a.findall(NS + "Representation")]
        ck.check(len(set(names)) == len(names), "DASH", key, "Representation@id twice")
        videos = [a for a in sets if self._kind(a) == "video"]
        if len(videos) > 1:
            main = [a for a in videos if any(r.get("value") == "main" for r in a.findall(NS + "Role"))]
            ck.check(len(main) == 1, "DASH", key, "several video sets need one Role main")
        for a in sets:
            self._set(a, self._base(a, base))

    @staticmethod
    def _kind(a):
        kind = a.get("contentType") or (a.get("mimeType") or "").split("/")[0]
        if not kind:
            r = a.find(NS + "Representation")
            kind = ((r.get("mimeType") if r is not None else "") or "").split("/")[0]
        return kind

    def _set(self, a, base):
        ck, key = self.ck, self.key
        kind = self._kind(a)
        ck.check(kind in ("video", "audio", "text", "image"), "DASH", key, "AdaptationSet of kind %r" % kind)
        reps = a.findall(NS + "Representation")
        ck.check(reps, "DASH", key, "AdaptationSet without Representation")

        def has(node, name):
            return node.get(name) is not None or a.get(name) is not None
        if kind == "audio":
            ck.check(a.get("lang") is not None, "DASH", key, "audio set without lang")
        if kind == "video" and len(reps) > 1:
            for name in ("maxWidth", "maxHeight", "maxFrameRate", "par"):
                ck.check(a.get(name) is not None, "DASH", key, "video set without @" + name)
        modes = set()
        for r in reps:
            where = "%s#%s" % (key, r.get("id"))
            for name in ("id", "bandwidth"):
                ck.check(r.get(name) is not None, "DASH", where, "no @" + name)
            for name in ("codecs", "mimeType") + {"video": ("width", "height", "frameRate", "sar"),
                                                  "audio": ("audioSamplingRate",)}.get(kind, ()):
                ck.check(has(r, name), "DASH", where, "no @" + name)
            if kind == "audio":
                ck.check(r.find(NS + "AudioChannelConfiguration") is not None
                         or a.find(NS + "AudioChannelConfiguration") is not None, "DASH", where,
                         "no AudioChannelConfiguration")
            modes.add(self._representation(a, r, kind, self._base(r, base), where))
        ck.check(len(modes) == 1, "DASH", key, "addressing modes mixed in a set: %s" % sorted(map(str, modes)))
        if modes == {"SegmentTemplate"}:
            ck.check(a.get("segmentAlignment") == "true", "DASH", key, "no segmentAlignment")
            ck.check(kind != "video" or a.get("startWithSAP") in ("1", "2"), "DASH", key, "no startWithSAP")
        elif modes == {"SegmentBase"}:
            ck.check(a.get("subsegmentAlignment") == "true", "DASH", key, "no subsegmentAlignment")
            ck.check(a.get("subsegmentStartsWithSAP") in ("1", "2"), "DASH", key, "no subsegmentStartsWithSAP")

    def _representation(self, a, r, kind, base, where):
        ck, rep = self.ck, Representation()
        rep.where, rep.kind, rep.id = where, kind, r.get("id", "")
        get = lambda name: r.get(name) or a.get(name)
        rep.bandwidth = int(r.get("bandwidth") or 0)
        rep.codecs, rep.mime = get("codecs") or "", get("mimeType") or ""
        rep.width, rep.height = int(get("width") or 0), int(get("height") or 0)
        rep.rate, rep.sampling = get("frameRate"), get("audioSamplingRate")
        rep.max_width, rep.max_height = int(a.get("maxWidth") or 0), int(a.get("maxHeight") or 0)
        rep.lang = a.get("lang")
        rep.channels = next((c.get("value") for n in (r, a) for c in n.findall(NS + "AudioChannelConfiguration")
                             if c.get("schemeIdUri") == "urn:mpeg:mpegB:cicp:ChannelConfiguration"), None)
        rep.segments, rep.sidx = [], None
        found = {}
        for mode in ("SegmentTemplate", "SegmentBase", "SegmentList"):
            nodes = [n.find(NS + mode) for n in (a, r) if n.find(NS + mode) is not None]
            if nodes:
                found[mode] = nodes
        ck.check(len(found) == 1, "DASH", where, "addressing modes: %s" % sorted(found))
        mode = next(iter(found), None)
        if mode is None:
            return None
        nodes = found[mode]

        def value(name):
            return next((n.get(name) for n in reversed(nodes) if n.get(name) is not None), None)
        ck.check(value("timescale") is not None, "DASH", where, "no timescale")
        rep.timescale = int(value("timescale") or 1)
        rep.offset = int(value("presentationTimeOffset") or 0)
        if mode == "SegmentTemplate":
            self._template(rep, nodes, value, base, where)
        elif mode == "SegmentBase":
            ck.check(base != "", "DASH", where, "SegmentBase without BaseURL")
            rng = value("indexRange")
            ck.check(rng is not None, "DASH", where, "no indexRange")
            init = nodes[-1].find(NS + "Initialization")
            ck.check(init is not None and init.get("range"), "DASH", where, "no Initialization@range")
            name = resolve(self.key, base)
            self.named.add(name)
            span = lambda t: (int(t.split("-")[0]), int(t.split("-")[1]) - int(t.split("-")[0]) + 1)
            rep.sidx = (name,) + span(rng) if rng else None
            rep.init = (name,) + span(init.get("range")) if init is not None and init.get("range") else None
        else:
            self._list(rep, nodes, value, base, where)
        self.representations.append(rep)
        return mode

    @staticmethod
    def _timeline(nodes):
        return next((n.find(NS + "SegmentTimeline") for n in reversed(nodes)
                     if n.find(NS + "SegmentTimeline") is not None), None)

    def _spans(self, timeline, where):
        """(start, duration) of each segment, in ticks."""
        t = 0
        for i, s in enumerate(timeline.findall(NS + "S") if timeline is not None else []):
            if s.get("t") is not None:
                self.ck.check(i == 0 or int(s.get("t")) == t, "P22", where, "gap or overlap at S@t=%s" % s.get("t"))
                t = int(s.get("t"))
            d, repeat = int(s.get("d")), int(s.get("r") or 0)
            self.ck.check(d > 0 and repeat >= 0, "P22", where, "S@d=%d r=%d" % (d, repeat))
            self.ck.check(s.get("n") is None, "DASH", where, "S@n is not used")
            for _ in range(repeat + 1):
                yield t, d
                t += d

    def _list(self, rep, nodes, value, base, where):
        ck, node = self.ck, nodes[-1]
        ck.check(value("duration") is None, "DASH", where, "@duration beside a SegmentTimeline")
        init = node.find(NS + "Initialization")
        rep.init = None
        if ck.check(init is not None and init.get("sourceURL"), "DASH", where, "no Initialization@sourceURL"):
            rep.init = (resolve(self.key, base + init.get("sourceURL")), None, None)
            self.named.add(rep.init[0])
        keys = [resolve(self.key, base + (u.get("media") or "")) for u in node.findall(NS + "SegmentURL")]
        spans = list(self._spans(self._timeline(nodes), where))
        ck.check(len(keys) == len(spans), "P22", where, "%d SegmentURLs, timeline of %d" % (len(keys), len(spans)))
        self.named.update(keys)
        rep.segments = [(k, t, d) for k, (t, d) in zip(keys, spans)]

    def _template(self, rep, nodes, value, base, where):
        ck = self.ck
        ck.check(value("duration") is None, "DASH", where, "@duration beside a SegmentTimeline")
        values = {"RepresentationID": rep.id, "Bandwidth": rep.bandwidth}
        ck.check(value("initialization") is not None, "DASH", where, "no initialization")
        name = resolve(self.key, base + expand(value("initialization") or "", values))
        rep.init = (name, None, None)
        self.named.add(name)
        timeline = self._timeline(nodes)
        ck.check(timeline is not None, "DASH", where, "no SegmentTimeline")
        number = int(value("startNumber") or 1)
        for number, (t, d) in enumerate(self._spans(timeline, where), number):
            key = resolve(self.key, base + expand(value("media") or "", dict(values, Number=number, Time=t)))
            self.named.add(key)
            rep.segments.append((key, t, d))
