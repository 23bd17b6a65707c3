#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""m3u8 parser of checker.py and the rules that a playlist can break by itself (RFC 8216, Apple's authoring rules)."""
import posixpath
import re
from fractions import Fraction
from urllib.parse import unquote

from checker_media import Broken

ATTRIBUTE = re.compile(r'([A-Z0-9-]+)=("[^"\r\n]*"|[^",\s]+)(?:,(?=[A-Z0-9-])|$)')
KNOWN = {"EXTM3U", "EXT-X-VERSION", "EXT-X-INDEPENDENT-SEGMENTS", "EXT-X-START", "EXT-X-DEFINE", "EXT-X-MEDIA",
         "EXT-X-CONTENT-STEERING", "EXT-X-SESSION-DATA", "EXT-X-SESSION-KEY", "EXT-X-STREAM-INF",
         "EXT-X-I-FRAME-STREAM-INF", "EXT-X-IMAGE-STREAM-INF", "EXT-X-TARGETDURATION", "EXT-X-MEDIA-SEQUENCE",
         "EXT-X-PLAYLIST-TYPE", "EXT-X-I-FRAMES-ONLY", "EXT-X-IMAGES-ONLY", "EXT-X-TILES", "EXT-X-MAP", "EXT-X-KEY",
         "EXT-X-DISCONTINUITY", "EXT-X-PROGRAM-DATE-TIME", "EXT-X-DATERANGE", "EXT-X-BITRATE", "EXT-X-GAP",
         "EXT-X-BYTERANGE", "EXTINF", "EXT-X-ENDLIST", "EXT-X-DISCONTINUITY-SEQUENCE"}

REPEATED = {"EXT-X-PROGRAM-DATE-TIME", "EXT-X-DATERANGE", "EXT-X-BITRATE", "EXT-X-GAP", "EXT-X-TILES"}


def attributes(text):
    """Attribute list -> {name: (value, was quoted)}."""
    out, at = {}, 0
    while at < len(text):
        m = ATTRIBUTE.match(text, at)
        if not m:
            raise Broken("attribute list %r" % text)
        if m.group(1) in out:
            raise Broken("attribute %s twice" % m.group(1))
        value = m.group(2)
        out[m.group(1)] = (value[1:-1], True) if value[0] == '"' else (value, False)
        at = m.end()
    return out


def resolve(base, uri):
    """Object key that a URI in the playlist `base` names; only relative references stay inside a title."""
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]*:", uri) or uri.startswith("/") or "\\" in uri:
        raise Broken("URI %r is not relative" % uri)
    if "?" in uri or "#" in uri:
        raise Broken("URI %r has a query or fragment" % uri)
    key = posixpath.normpath(posixpath.join(posixpath.dirname(base), unquote(uri)))
    if key.startswith("../") or key == "..":
        raise Broken("URI %r leaves the title" % uri)
    return key


def byterange(text):
    m = re.fullmatch(r"(\d+)@(\d+)", text)
    if not m:
        raise Broken("byte range %r is not n@o" % text)
    return int(m.group(2)), int(m.group(1))


class Entry:
    key = offset = size = duration = text = map = tag = None


class Playlist:
    """A media or I-frame playlist."""

    def __init__(self, key, text, ck):
        self.key, self.ck = key, ck
        self.tags, self.entries, self.maps = {}, [], []
        self.version = 1
        self._parse(text)

    def _parse(self, text):
        key, ck = self.key, self.ck
        lines = text.split("\n")
        ck.check(lines[0] == "#EXTM3U", "HLS", key, "does not begin with #EXTM3U")
        ck.check(lines[-1] == "", "HLS", key, "does not end with a newline")
        ck.check("\r" not in text, "HLS", key, "holds carriage returns")
        duration = extinf = span = range_seen = None
        current_map, current_key = None, None
        for n, line in enumerate(lines[1:], 2):
            where = "%s:%d" % (key, n)
            if not line:
                continue
            if not line.startswith("#"):
                e = Entry()
                if duration is None:
                    raise Broken("line %d: URI without EXTINF" % n)
                e.key, e.duration, e.text, e.map, e.tag = resolve(key, line), duration, extinf, current_map, current_key
                e.offset, e.size = span if span else (None, None)
                self.entries.append(e)
                duration = extinf = span = range_seen = None
                continue
            if not line.startswith("#EXT"):
                continue
            name, _, value = line[1:].partition(":")
            ck.check(name in KNOWN, "HLS", where, "unknown tag " + name)
            if name == "EXTINF":
                ck.check(not range_seen, "P19", where, "EXT-X-BYTERANGE before EXTINF")
                m = re.fullmatch(r"(\d+(?:\.(\d+))?),(.*)", value)
                if not m:
                    raise Broken("line %d: EXTINF %r" % (n, value))
                duration, extinf = Fraction(m.group(1)), m.group(1)
                ck.check(len(m.group(2) or "") >= 5 or Fraction(m.group(1)).denominator == 1, "HLS", where,
                         "EXTINF %s has under 5 decimals" % extinf)
                ck.check(duration > 0, "P10", where, "EXTINF is zero")
            elif name == "EXT-X-BYTERANGE":
                if not re.fullmatch(r"\d+@\d+", value):
                    ck.fail("P19", where, "BYTERANGE %r has no explicit offset" % value)
                    raise Broken("line %d: BYTERANGE" % n)
                span, range_seen = byterange(value), True
            elif name == "EXT-X-MAP":
                a = attributes(value)
                ck.check("URI" in a and a["URI"][1], "HLS", where, "MAP without quoted URI")
                rng = a.get("BYTERANGE")
                ck.check(rng is None or rng[1], "P19", where, "MAP BYTERANGE is not quoted")
                off = byterange(rng[0]) if rng else (None, None)
                current_map = (resolve(key, a["URI"][0]),) + off
                self.maps.append(current_map)
            elif name == "EXT-X-KEY":
                current_key = attributes(value)
            elif name == "EXT-X-DISCONTINUITY":
                ck.fail("P26", where, "discontinuity in a title of one piece")
            else:
                ck.check(name not in self.tags or name in REPEATED, "HLS", where, "%s twice" % name)
                self.tags[name] = value
        if "EXT-X-VERSION" in self.tags:
            self.version = int(self.tags["EXT-X-VERSION"])
        self.iframes = "EXT-X-I-FRAMES-ONLY" in self.tags
        target = self.tags.get("EXT-X-TARGETDURATION", "")
        ck.check(re.fullmatch(r"\d+", target), "P02", key, "TARGETDURATION is missing or no integer")
        self.target = int(target) if target.isdigit() else 0

    def rules(self):
        """What a VOD media playlist owes, whatever it lists."""
        ck, key, tags = self.ck, self.key, self.tags
        ck.check(tags.get("EXT-X-PLAYLIST-TYPE") == "VOD", "HLS", key, "PLAYLIST-TYPE is not VOD")
        ck.check("EXT-X-ENDLIST" in tags, "HLS", key, "no ENDLIST")
        ck.check(self.entries, "HLS", key, "lists no segment")
        need = 3 if any("." in e.text for e in self.entries) else 1
        if self.iframes or any(e.size is not None for e in self.entries):
            need = max(need, 4)
        if self.maps:
            need = max(need, 5 if self.iframes else 6)
        ck.check(self.version >= need, "HLS", key, "VERSION %d, needed is %d" % (self.version, need))
        for e in self.entries:
            rounded = int(e.duration + Fraction(1, 2))
            ck.check(self.target >= rounded, "P02", key, "TARGETDURATION %d, %s lasts %s"
                     % (self.target, e.key, e.text))
        ck.check(self.target >= 1, "P02", key, "TARGETDURATION 0")
        seq = tags.get("EXT-X-MEDIA-SEQUENCE", "0")
        ck.check(seq.isdigit(), "HLS", key, "MEDIA-SEQUENCE %r" % seq)


class Master:
    def __init__(self, key, text, ck):
        self.key, self.ck = key, ck
        self.variants, self.iframes, self.media = [], [], []
        self.tags, self.version = {}, 1
        self._parse(text)

    def _parse(self, text):
        ck, key = self.ck, self.key
        lines = text.split("\n")
        ck.check(lines[0] == "#EXTM3U", "HLS", key, "does not begin with #EXTM3U")
        ck.check(lines[-1] == "", "HLS", key, "does not end with a newline")
        pending = None
        for n, line in enumerate(lines[1:], 2):
            where = "%s:%d" % (key, n)
            if not line:
                continue
            if not line.startswith("#"):
                if pending is None:
                    raise Broken("line %d: URI without STREAM-INF" % n)
                pending["key"] = resolve(key, line)
                self.variants.append(pending)
                pending = None
                continue
            if not line.startswith("#EXT"):
                continue
            name, _, value = line[1:].partition(":")
            ck.check(name in KNOWN, "HLS", where, "unknown tag " + name)
            if name == "EXT-X-STREAM-INF":
                pending = {"a": attributes(value), "where": where}
            elif name in ("EXT-X-I-FRAME-STREAM-INF", "EXT-X-MEDIA"):
                a = attributes(value)
                item = {"a": a, "where": where}
                item["key"] = resolve(key, a["URI"][0]) if "URI" in a else None
                (self.iframes if "I-FRAME" in name else self.media).append(item)
            else:
                self.tags[name] = value
        ck.check(pending is None, "HLS", key, "STREAM-INF without URI")
        if "EXT-X-VERSION" in self.tags:
            self.version = int(self.tags["EXT-X-VERSION"])
        ck.check(self.variants, "HLS", key, "lists no variant")

    def rules(self):
        self._variant_rules()
        self._iframe_rules()
        self._group_rules()

    def _numbers(self, item, quoted, plain):
        for name in quoted:
            if name in item["a"]:
                self.ck.check(item["a"][name][1], "HLS", item["where"], name + " is not quoted")
        for name in plain:
            if name in item["a"]:
                self.ck.check(not item["a"][name][1], "HLS", item["where"], name + " is quoted")
        for name in ("BANDWIDTH", "AVERAGE-BANDWIDTH"):
            if name in item["a"]:
                self.ck.check(item["a"][name][0].isdigit() and int(item["a"][name][0]) > 0, "P14", item["where"],
                              "%s %r" % (name, item["a"][name][0]))

    def _variant_rules(self):
        ck = self.ck
        for v in self.variants:
            a, where = v["a"], v["where"]
            for name in ("BANDWIDTH", "AVERAGE-BANDWIDTH", "CODECS"):
                ck.check(name in a, "HLS", where, "no " + name)
            self._numbers(v, ("CODECS", "AUDIO", "SUBTITLES", "VIDEO"),
                          ("BANDWIDTH", "AVERAGE-BANDWIDTH", "RESOLUTION", "FRAME-RATE", "VIDEO-RANGE"))
            codecs = a.get("CODECS", ("", True))[0].split(",")
            video = any(c.split(".")[0] in ("avc1", "avc3", "hvc1", "hev1", "av01", "vp09", "dvh1") for c in codecs)
            v["video"] = video
            ck.check(("RESOLUTION" in a) == video, "HLS", where,
                     "RESOLUTION is for variants with video" if not video else "no RESOLUTION")
            ck.check(("FRAME-RATE" in a) == video, "HLS", where,
                     "FRAME-RATE is for variants with video" if not video else "no FRAME-RATE")
            if "FRAME-RATE" in a:
                ck.check(re.fullmatch(r"\d+\.\d{3}", a["FRAME-RATE"][0]), "HLS", where,
                         "FRAME-RATE %r has not 3 decimals" % a["FRAME-RATE"][0])
            if "RESOLUTION" in a:
                ck.check(re.fullmatch(r"\d+x\d+", a["RESOLUTION"][0]), "HLS", where, "RESOLUTION")
            for c in codecs:
                ck.check(c.split(".")[0] not in ("avc3", "hev1", "dvhe"), "P13", where, "codec " + c)
            if "AVERAGE-BANDWIDTH" in a and "BANDWIDTH" in a:
                ck.check(int(a["AVERAGE-BANDWIDTH"][0]) <= int(a["BANDWIDTH"][0]), "P14", where,
                         "AVERAGE-BANDWIDTH above BANDWIDTH")
            ck.check("PROGRAM-ID" not in a, "HLS", where, "PROGRAM-ID was removed in version 6")
        captions = ["CLOSED-CAPTIONS" in v["a"] for v in self.variants]
        ck.check(all(captions) or not any(captions), "HLS", self.key, "CLOSED-CAPTIONS on some variants only")

    def _iframe_rules(self):
        for v in self.iframes:
            for name in ("BANDWIDTH", "URI", "CODECS", "RESOLUTION"):
                self.ck.check(name in v["a"], "P29", v["where"], "no " + name)
            for name in ("FRAME-RATE", "AUDIO", "SUBTITLES", "CLOSED-CAPTIONS"):
                self.ck.check(name not in v["a"], "P29", v["where"], name + " is not allowed here")
            self._numbers(v, ("CODECS", "URI"), ("BANDWIDTH", "AVERAGE-BANDWIDTH", "RESOLUTION"))
            if "AVERAGE-BANDWIDTH" in v["a"] and "BANDWIDTH" in v["a"]:
                self.ck.check(int(v["a"]["AVERAGE-BANDWIDTH"][0]) <= int(v["a"]["BANDWIDTH"][0]), "P29", v["where"],
                              "AVERAGE-BANDWIDTH above BANDWIDTH")

    def _group_rules(self):
        ck, groups = self.ck, {}
        for m in self.media:
            a, where = m["a"], m["where"]
            kind = a.get("TYPE", ("", False))[0]
            ck.check(kind in ("AUDIO", "VIDEO", "SUBTITLES", "CLOSED-CAPTIONS"), "P16", where, "TYPE %r" % kind)
            for name in ("GROUP-ID", "NAME"):
                ck.check(name in a and a[name][1], "P16", where, "no quoted " + name)
            ck.check("LANGUAGE" in a or kind == "VIDEO", "P16", where, "no LANGUAGE")
            ck.check(a.get("DEFAULT", ("NO",))[0] != "YES" or a.get("AUTOSELECT", ("YES",))[0] == "YES", "P16", where,
                     "DEFAULT=YES with AUTOSELECT=NO")
            ck.check("FORCED" not in a or kind == "SUBTITLES", "P16", where, "FORCED outside SUBTITLES")
            ck.check("URI" in a or kind not in ("SUBTITLES",), "P16", where, "SUBTITLES without URI")
            ck.check(kind != "CLOSED-CAPTIONS" or ("URI" not in a and "INSTREAM-ID" in a), "P16", where,
                     "CLOSED-CAPTIONS has no URI but an INSTREAM-ID")
            groups.setdefault((kind, a.get("GROUP-ID", ("",))[0]), []).append(m)
        for (kind, group), members in groups.items():
            names = [m["a"].get("NAME", ("",))[0] for m in members]
            ck.check(len(set(names)) == len(names), "P16", self.key, "group %s: NAME twice" % group)
            defaults = [m for m in members if m["a"].get("DEFAULT", ("NO",))[0] == "YES"]
            ck.check(len(defaults) <= 1, "P16", self.key, "group %s: %d DEFAULTs" % (group, len(defaults)))
        for kind in {k for k, _ in groups}:
            sets = [sorted((m["a"].get("NAME", ("",))[0], m["a"].get("LANGUAGE", ("",))[0]) for m in members)
                    for (k, _), members in groups.items() if k == kind]
            ck.check(all(s == sets[0] for s in sets), "P16", self.key,
                     "groups of %s have different members" % kind)
        attribute = {"AUDIO": "AUDIO", "SUBTITLES": "SUBTITLES", "VIDEO": "VIDEO"}
        for v in self.variants:
            for kind, name in attribute.items():
                group = v["a"].get(name, (None,))[0]
                ck.check(group is None or (kind, group) in groups, "P16", v["where"],
                         "%s group %r does not exist" % (kind, group))
        used = {(k, v["a"][n][0]) for v in self.variants for k, n in attribute.items() if n in v["a"]}
        for k in groups:
            ck.check(k[0] == "CLOSED-CAPTIONS" or k in used, "P16", self.key, "group %s %s is used by no variant" % k)
        self.groups = groups
