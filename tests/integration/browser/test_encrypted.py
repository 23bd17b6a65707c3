#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""hls.js, Shaka Player and dash.js in headless Chromium play encrypted titles: ClearKey, SAMPLE-AES and AES-128.

    test_encrypted.py [CASE...]       default: all but those of MORE, with CI_FULL=1 all

Licences and keys come from the test's own server, whose addresses stand in the manifests. A key that is wrong or
refused must end in an error of the player, without a picture. Exit 77 where there is no browser, no ClearKey or no
player.
"""
import base64
import functools
import hashlib
import json
import os
import re
import shutil
import sys
import tempfile
import time
import urllib.parse

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))

import cdp  # noqa: E402
import scripts  # noqa: E402
from clips import AAC, X264, clip as define, lavfi, run as make_clip  # noqa: E402
from server import Handler, Server  # noqa: E402
from test_players import all_there, at_end, force, looks_right, quiet, reach, wait, went_wrong  # noqa: E402
from titles import ARTEFACTS, BUILD, FULL, Cases, clip, good, ladder, picture  # noqa: E402

SECONDS, SEGMENT, RATE = 9, 2, 2.5
SHOTS = os.path.join(ARTEFACTS, "players-encrypted")


# ---- keys ----

def kid_of(name):
    """Hex. The first byte makes base64url differ from base64."""
    return "fbf" + hashlib.md5(("kid " + name).encode()).hexdigest()[3:]


def key_of(kid):
    return hashlib.md5(("key " + kid).encode()).digest()


class KeyHandler(Handler):
    """Beside files: POST /licence/TITLE answers ClearKey's JSON (W3C EME 9.1.3 and 9.1.4), GET /key/KID a key.

    A licence has the keys that were asked for. Where keys change it has all of them, as an MPD names the first only;
    /licence/TITLE?only has not.
    """

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        request = json.loads(body)
        title, _, only = self.path.rsplit("/", 1)[-1].partition("?")
        asked = [base64.urlsafe_b64decode(k + "==").hex() for k in request["kids"]]
        self.server.licences.append((asked, request.get("type")))
        known = self.server.kids.get(title, [])
        if self.server.mode == "refuse" or request.get("type") != "temporary" or any(k not in known for k in asked):
            return self.head(403, 0)
        keys = [{"kty": "oct", "kid": text64(bytes.fromhex(k)), "k": text64(self.server.key(k))}
                for k in (known if title.startswith("rotate") and not only else asked)]
        self.answer(json.dumps({"keys": keys, "type": "temporary"}).encode(), "application/json")

    def do_GET(self, body=True):
        parts = urllib.parse.urlsplit(self.path).path.strip("/").split("/")
        if parts[0] != "key":
            return super().do_GET(body)
        self.server.keys_asked.append(parts[1])
        if self.server.mode == "refuse":
            return self.head(403, 0)
        self.answer(self.server.key(parts[1]), "application/octet-stream")

    def answer(self, data, kind):
        self.head(200, len(data), kind)
        self.wfile.write(data)


class KeyServer(Server):
    def __init__(self, **roots):
        super().__init__(**roots)
        self.RequestHandlerClass = KeyHandler
        self.kids, self.mode, self.licences, self.keys_asked = {}, "right", [], []

    def key(self, kid):
        return key_of(kid if self.mode == "right" else "another " + kid)

    def forget(self):
        for what in (self.missing, self.asked, self.licences, self.keys_asked):
            what.clear()
        self.mode = "right"


def text64(data):
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


# ---- titles ----

ROTATION = ["*", "*", "*"]
# What a key file tells beside the keys. In playlists hls.js reads clear keys of the format "org.w3.clearkey" only,
# Shaka Player of "identity" only, which "uri" stands for.
DRM, URI, BOTH, ALL = "drm", "uri", "both", "all"
# Systems that this browser has not, around the one that it has.
BEFORE = [{"system": "widevine"}, {"system": "playready", "laurl": "http://127.0.0.1:1/"},
          {"system": "fairplay", "uri": "skd://title"}]
AFTER = [{"system": "common"}]
#         name: (scheme, labels of the keys, what is told, heights of what is packaged; None: publish, options)
TITLES = {"cenc": ("cenc", ["*"], DRM, None, []),
          "cbcs": ("cbcs", ["*"], ALL, None, []),
          "aes": ("aes128", ROTATION, URI, None, ["--format", "both", "--key-rotation", "2"]),
          "cenc-uri": ("cenc", ["*"], URI, [360, 180], []),
          "cbcs-uri": ("cbcs", ["*"], URI, [360, 180], []),
          "both": ("cbcs", ["*"], BOTH, [360, 180], []),
          "ts": ("cbcs", ["*"], URI, [360, 180], ["--format", "ts"]),
          "lead-cenc": ("cenc", ["*"], DRM, [360, 180], ["--clear-lead", "4"]),
          "lead-cbcs": ("cbcs", ["*"], DRM, [360, 180], ["--clear-lead", "4"]),
          "lead-uri": ("cbcs", ["*"], URI, [360, 180], ["--clear-lead", "4"]),
          "rotate-cenc": ("cenc", ROTATION, DRM, [360, 180], ["--key-rotation", "2"]),
          "rotate-cbcs": ("cbcs", ROTATION, DRM, [360, 180], ["--key-rotation", "2"]),
          "labels-cenc": ("cenc", ["audio", "sd", "hd"], DRM, [720, 360], []),
          "labels-cbcs": ("cbcs", ["audio", "sd", "hd"], DRM, [720, 360], []),
          "labels-uri": ("cbcs", ["audio", "sd", "hd"], URI, [720, 360], []),
          "single": ("cbcs", ["*"], DRM, [360, 180], ["--single-file"])}


def rendition(height):
    @define("encrypted%d.mp4" % height, "what players decrypt: seconds burnt in, colour bars, a tone")
    def _(to, dep):
        make_clip(lavfi("testsrc=s=1280x720:r=25:d=%d" % SECONDS, "sine=440:d=%d:r=48000" % SECONDS)
                  + ["-vf", "scale=-2:%d,format=yuv420p" % height] + X264 + ["-g", "50", "-sc_threshold", "0"]
                  + AAC + ["-ac", "2"], to)


for h in (720, 360, 180):
    rendition(h)


class Titles:
    """Made once for all cases, with the addresses of the server in their manifests."""

    def __init__(self, folder, server):
        self.folder, self.server = folder, server

    def get(self, name):
        if name in self.server.kids:
            return os.path.join(self.folder, name)
        scheme, labels, told, heights, more = TITLES[name]
        kids = [kid_of("%s %d" % (name, n)) for n in range(len(labels))]
        document = {"keys": [{"label": label, "kid": k, "key": key_of(k).hex()} for label, k in zip(labels, kids)]}
        if told in (URI, BOTH):
            document["uri"] = self.server.url + "/key/{kid}"
        if told != URI:
            own = [{"system": "clearkey", "laurl": "%s/licence/%s" % (self.server.url, name)}]
            document["drm"] = BEFORE + own + AFTER if told == ALL else own
        keys, out = os.path.join(self.folder, name + ".json"), os.path.join(self.folder, name)
        with open(keys, "w", encoding="utf-8") as f:
            json.dump(document, f)
        made = ["publish", clip("encrypted360.mp4"), out, "--preset", "ultrafast", "--ladder", ladder(
            self.folder, ("360p", 360, 500), ("180p", 180, 200))] if heights is None else \
            ["package", *[clip("encrypted%d.mp4" % h) for h in heights], out]
        good(*made, "--segment", SEGMENT, "--encrypt", scheme, "--keys", keys, *more)
        self.server.roots[name], self.server.kids[name] = out, kids
        return out


# ---- cases ----

HLS_EME, SHAKA_KEYS = "hls-eme", "shaka-keys"    # see options()
#        name: (player, kind in harness.js, title, manifest, what the player must be told beside the manifest)
CASES = {"shaka-dash-cenc": ("shaka", "shaka", "cenc", "manifest.mpd", None),
         "shaka-dash-cbcs": ("shaka", "shaka", "cbcs", "manifest.mpd", None),
         "dash.js-cenc": ("dash.js", "dash", "cenc", "manifest.mpd", None),
         "dash.js-cbcs": ("dash.js", "dash", "cbcs", "manifest.mpd", None),
         "hls.js-cenc": ("hls.js", "hls", "cenc", "master.m3u8", HLS_EME),
         "hls.js-cbcs": ("hls.js", "hls", "cbcs", "master.m3u8", HLS_EME),
         # with a line of the format "identity" hls.js would take no other
         "hls.js-both": ("hls.js", "hls", "both", "master.m3u8", HLS_EME),
         "shaka-hls-cenc": ("shaka", "shaka", "cenc-uri", "master.m3u8", None),
         "shaka-hls-cbcs": ("shaka", "shaka", "cbcs-uri", "master.m3u8", None),
         # AES-128, with three keys
         "hls.js-aes-ts": ("hls.js", "hls", "aes", "master-ts.m3u8", None),
         "hls.js-aes-fmp4": ("hls.js", "hls", "aes", "master.m3u8", None),
         "shaka-hls-aes-ts": ("shaka", "shaka", "aes", "master-ts.m3u8", None),
         "shaka-hls-aes-fmp4": ("shaka", "shaka", "aes", "master.m3u8", None),
         # SAMPLE-AES in transport streams, which Shaka Player does not play
         "hls.js-ts": ("hls.js", "hls", "ts", "master.m3u8", None),
         # two segments in the clear
         "shaka-dash-lead": ("shaka", "shaka", "lead-cenc", "manifest.mpd", None),
         "dash.js-lead": ("dash.js", "dash", "lead-cenc", "manifest.mpd", None),
         "hls.js-lead": ("hls.js", "hls", "lead-cbcs", "master.m3u8", HLS_EME),
         "shaka-hls-lead": ("shaka", "shaka", "lead-uri", "master.m3u8", None),
         # three keys, of which an MPD names the first and a playlist all
         "shaka-dash-rotate-cenc": ("shaka", "shaka", "rotate-cenc", "manifest.mpd", None),
         "shaka-dash-rotate-cbcs": ("shaka", "shaka", "rotate-cbcs", "manifest.mpd", None),
         "dash.js-rotate-cenc": ("dash.js", "dash", "rotate-cenc", "manifest.mpd", None),
         "dash.js-rotate-cbcs": ("dash.js", "dash", "rotate-cbcs", "manifest.mpd", None),
         "hls.js-rotate-cenc": ("hls.js", "hls", "rotate-cenc", "master.m3u8", HLS_EME),
         "hls.js-rotate-cbcs": ("hls.js", "hls", "rotate-cbcs", "master.m3u8", HLS_EME),
         "shaka-hls-rotate-cbcs": ("shaka", "shaka", "rotate-cbcs", "master.m3u8", SHAKA_KEYS),
         # a key each for sound, SD and HD
         "shaka-dash-labels": ("shaka", "shaka", "labels-cenc", "manifest.mpd", None),
         "dash.js-labels": ("dash.js", "dash", "labels-cenc", "manifest.mpd", None),
         "hls.js-labels": ("hls.js", "hls", "labels-cbcs", "master.m3u8", HLS_EME),
         "shaka-hls-labels": ("shaka", "shaka", "labels-uri", "master.m3u8", None),
         # byte ranges
         "shaka-dash-single": ("shaka", "shaka", "single", "manifest.mpd", None),
         "hls.js-single": ("hls.js", "hls", "single", "master.m3u8", HLS_EME)}
# Nothing but more of the same: with CI_FULL=1.
MORE = ["shaka-hls-cenc", "shaka-hls-aes-ts", "shaka-hls-lead", "shaka-dash-rotate-cbcs", "dash.js-rotate-cenc",
        "hls.js-rotate-cenc", "shaka-hls-labels", "shaka-dash-single", "hls.js-single"]
# The same with keys that are wrong, and without keys.
WRONG = ["shaka-dash-cenc", "shaka-dash-cbcs", "dash.js-cenc", "dash.js-cbcs", "hls.js-cenc", "hls.js-cbcs",
         "shaka-hls-cbcs", "hls.js-aes-ts", "hls.js-aes-fmp4", "shaka-hls-aes-fmp4", "hls.js-ts"]
REFUSE = ["shaka-dash-cenc", "dash.js-cbcs", "hls.js-cbcs", "hls.js-aes-fmp4", "shaka-hls-cbcs"]

# What players then say, by the begin of the name.
ERRORS = {"wrong": [("shaka-hls-aes", "^shaka: "),                      # a DOMException of WebCrypto, without a code
                    ("shaka", "^shaka: 3016 "),                         # VIDEO_ERROR
                    ("dash.js", "^dash.js: 3 MEDIA_ERR_DECODE"),
                    ("hls.js-aes", "^hls.js: mediaError fragParsingError .*fatal"),
                    ("hls.js", "^hls.js: mediaError .*fatal")],
          "refuse": [("shaka-hls", "^shaka load: 1001 "),               # BAD_HTTP_STATUS
                     ("shaka", "^shaka: 6007 "),                        # LICENSE_REQUEST_FAILED
                     ("dash.js", "^dash.js: 114 "),
                     ("hls.js-aes", "^hls.js: networkError keyLoadError"),
                     ("hls.js", "^hls.js: keySystemError keySystemLicenseRequestFailed .*fatal")]}


def options(server, title, told):
    """What a player cannot read in a manifest, as a JavaScript expression."""
    if told == HLS_EME:     # the address of the licence server: see encrypted.js
        return "E.hls('%s/licence/%s?only')" % (server.url, title)
    if told == SHAKA_KEYS:
        # In playlists Shaka Player knows clear keys by the format "identity" only, and takes each for a key of the KID
        # that the init segment names: of several keys it must be told by configuration.
        keys = {kid: key_of(kid).hex() for kid in server.kids[title]}
        return json.dumps({"manifest": {"ignoreDrmInfo": True}, "drm": {"clearKeys": keys}})
    return "{}"


def opened(browser, server, name):
    player, kind, title, manifest, told = CASES[name]
    page = browser.page()
    page.open("%s/page/encrypted.html" % server.url)
    script = os.path.basename(scripts.fetch(player, os.path.join(BUILD, "players")))
    page.js("T.options = " + options(server, title, told))
    return page, "'%s', '%s/players/%s', '%s/%s/%s'" % (kind, server.url, script, server.url, title, manifest)


def right_keys(server, title, told):
    """Players asked for the keys that they need, each by its own name."""
    kids, asked = set(server.kids[title]), {kid for kids, _ in server.licences for kid in kids}
    if TITLES[title][2] == URI:
        assert not asked and set(server.keys_asked) == kids, "keys asked for: %s of %s" % (server.keys_asked, kids)
    elif told == SHAKA_KEYS:
        assert not asked, "a licence was asked for"
    else:
        assert {kind for _, kind in server.licences} == {"temporary"}, server.licences
        if title.startswith("rotate") and told is None:
            kids = {server.kids[title][0]}
        assert asked == kids and not server.keys_asked, "KIDs asked for: %s of %s" % (asked, kids)


@functools.cache
def source_picture(at):
    return picture(clip("encrypted360.mp4"), 16, 9, at=at)


def shown(page, at, folder):
    """What the screen shows is the source's picture of this time. Protected pictures cannot be painted on a canvas."""
    wait(page, "!video.seeking && video.readyState >= 2")

    def look():
        where = {"x": 0, "y": 0, "width": 640, "height": 360, "scale": 1}
        data = page.call("Page.captureScreenshot", {"format": "png", "clip": where})
        path = os.path.join(folder, "%.2f.png" % at)
        with open(path, "wb") as f:
            f.write(base64.b64decode(data["data"]))
        return picture(path, 16, 9)

    looks_right(look, [source_picture(at)], at)


def play(folder, browser, server, name, titles):
    player, _, title, _, told = CASES[name]
    titles.get(title)
    low, high = (360, 720) if title.startswith("labels") else (180, 360)
    page, what = opened(browser, server, name)
    try:
        page.js("E.attempt(%s)" % what)
        wait(page, "E.ready")
        assert page.js("T.levels().map(l => l[0])") == [low, high], "rungs %s" % page.js("T.levels().map(l => l[0])")
        start = page.js("T.state()")
        assert abs(start["duration"] - SECONDS) <= 0.1, "duration %.3f" % start["duration"]
        # Over every edge of segments: the lower rung first, then the higher one. hls.js at times leaves gaps where it
        # has to throw away what it still loads.
        wait(page, "video.buffered.length && video.buffered.end(0) > %s" % (SECONDS - 0.5))
        page.js("video.playbackRate = %s" % RATE)
        force(page, server, low)
        reach(page, low, 4.2)
        force(page, server, high)
        reach(page, high, 4.2)
        middle = page.js("T.state()")
        page.js("video.play()")
        end = at_end(page, player, 0)
        assert end["over"] and end["back"] == 0, "ended at %.3f, back %d times" % (end["time"], end["back"])
        assert abs(end["time"] - end["duration"]) <= 0.2, "ended at %.3f of %.3f" % (end["time"], end["duration"])
        assert (end["width"], end["height"]) == (high * 16 // 9, high), "%(width)d x %(height)d" % end
        all_there(middle, end)
        assert end["audio"] > 20000, "%s bytes of audio decoded" % end["audio"]
        # Seeking, with the pictures of the source; where keys change, in the period of each.
        for at in (8.52, 1.04, 6.04) if len(server.kids[title]) > 1 else (8.52, 1.04):
            page.js("T.seek(%s)" % at)
            shown(page, at, folder)
        quiet(page, server)
        right_keys(server, title, told)
        print("   %d pictures, %d dropped, %d waits, %d stalls, sizes %s, %d licences, %d keys" % (
            end["frames"], end["dropped"], end["waits"], end["stalls"], end["heights"], len(server.licences), len(server.keys_asked)))
    except (cdp.BrowserError, AssertionError) as error:
        went_wrong(page, server, "%s (%s of title %s): %s" % (name, CASES[name][3], title, error),
                   os.path.join(SHOTS, name + "-failed.png"))
        print("   licences:", server.licences[:5], "keys:", server.keys_asked[:5], flush=True)
        raise AssertionError(str(error)) from None
    finally:
        page.close()
        server.forget()


def fails(folder, browser, server, name, mode, titles):
    """With no key, or a wrong one: the player says so, and nothing is shown."""
    titles.get(CASES[name][2])
    server.mode = mode
    page, what = opened(browser, server, name)
    wanted = next(e for n, e in ERRORS[mode] if name.startswith(n))
    try:
        page.js("E.attempt(%s); video.play().catch(() => 0); 0" % what)
        page.until("T.errors.some(e => /%s/.test(e))" % wanted, 60)
        state = page.js("T.state()")
        # A picture or two of noise may pass the decoder before it gives up.
        assert state["frames"] < 3 and state["time"] < 0.2, "%(frames)d pictures, %(time)s s" % state
        assert server.licences or server.keys_asked, "no key was asked for"
        print("   " + next(e for e in state["errors"] if re.search(wanted, e))[:110])
    except (cdp.BrowserError, AssertionError) as error:
        went_wrong(page, server, "%s-%s (%s of title %s): %s" % (mode, name, CASES[name][3], CASES[name][2], error),
                   os.path.join(SHOTS, "%s-%s-failed.png" % (mode, name)))
        print("   licences:", server.licences[:5], "keys:", server.keys_asked[:5], flush=True)
        raise AssertionError(str(error)) from None
    finally:
        page.close()
        server.forget()


def main():
    if cdp.find() is None:
        print("skipped: no chromium here (Debian package chromium)")
        return 77
    wanted = sys.argv[1:] or [n for n in CASES if FULL or n not in MORE] + ["wrong-" + n for n in WRONG] + \
        ["refuse-" + n for n in REFUSE]
    players = os.path.join(BUILD, "players")
    try:
        for player in sorted({case[0] for case in CASES.values()}):
            scripts.fetch(player, players)
    except scripts.Unavailable as why:
        print("skipped: %s" % why)
        return 77
    os.makedirs(SHOTS, exist_ok=True)
    cases, folder = Cases("players-encrypted"), tempfile.mkdtemp(prefix="vodpipe-encrypted-")
    try:
        with KeyServer(page=HERE, players=players) as server, \
                cdp.Browser(os.path.join(SHOTS, "chromium.log")) as browser:
            print(browser.version)
            titles = Titles(folder, server)
            page = browser.page()
            page.open("%s/page/encrypted.html" % server.url)
            lacks = page.js("E.missing()")
            page.close()
            if lacks:
                print("skipped: this browser does not decrypt: %s" % lacks)
                return 77
            for name in wanted:
                mode, _, base = name.partition("-")
                if mode in ERRORS:
                    cases.run(name, fails, browser, server, base, mode, titles)
                else:
                    cases.run(name, play, browser, server, name, titles)
    except cdp.BrowserError as error:
        print("the browser does not work:", error)
        return 1
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return cases.end()


if __name__ == "__main__":
    sys.exit(main())
