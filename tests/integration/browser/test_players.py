#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""hls.js, Shaka Player and dash.js in headless Chromium play titles from start to end, switch rungs and seek.

    test_players.py [CASE...]       default: all

Screenshots are kept in VODPIPE_ARTEFACTS (default BUILD/artefacts) as players/*.png. Exit 77 where there is no browser
or no player to be had.
"""
import os
import shutil
import sys
import tempfile
import time

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))

import cdp  # noqa: E402
import scripts  # noqa: E402
from clips import AAC, X264, clip as define, lavfi, run as make_clip  # noqa: E402
from server import Server  # noqa: E402
from titles import ARTEFACTS, BUILD, FULL, Cases, check, clip, difference, good, ladder, picture  # noqa: E402

SECONDS, RATE = 14, 2.5
RUNGS = [("360p", 360, 700), ("180p", 180, 250), ("90p", 90, 100)]
SHOTS = os.path.join(ARTEFACTS, "players")
FORMS = {"both": ["--format", "both", "--player"], "single": ["--single-file"], "audio": [], "surround": []}
#        name: (player, kind in harness.js, title, manifest)
CASES = {"hls.js-fmp4": ("hls.js", "hls", "both", "master.m3u8"),
         "hls.js-ts": ("hls.js", "hls", "both", "master-ts.m3u8"),
         "hls.js-single": ("hls.js", "hls", "single", "master.m3u8"),
         "shaka-dash": ("shaka", "shaka", "both", "manifest.mpd"),
         "shaka-hls": ("shaka", "shaka", "both", "master.m3u8"),
         "shaka-hls-ts": ("shaka", "shaka", "both", "master-ts.m3u8"),
         "shaka-dash-single": ("shaka", "shaka", "single", "manifest.mpd"),
         "dash.js": ("dash.js", "dash", "both", "manifest.mpd"),
         "dash.js-single": ("dash.js", "dash", "single", "manifest.mpd"),
         # AC-3, which Chromium does not play, beside stereo
         "hls.js-surround": ("hls.js", "hls", "surround", "master.m3u8"),
         "shaka-surround": ("shaka", "shaka", "surround", "master.m3u8"),
         "dash.js-surround": ("dash.js", "dash", "surround", "manifest.mpd")}


@define("players.mp4", "what the players play: seconds burnt in, colour bars, a tone")
def _(to, dep):
    make_clip(lavfi("testsrc=s=640x360:r=25:d=%d" % SECONDS, "sine=440:d=%d:r=48000" % SECONDS) + X264 + ["-g", "50"]
              + AAC + ["-ac", "2"], to)


@define("players51.mkv", "the same with AC-3 5.1")
def _(to, dep):
    make_clip(["-i", dep("players.mp4"), "-map", "0:v", "-map", "0:a", "-c:v", "copy", "-c:a", "ac3", "-b:a", "384k", "-af",
               "pan=5.1|FC=FL"], to)


SOURCES = {"audio": "audio_only.m4a", "surround": "players51.mkv"}


class Title:
    """Titles are made once for all cases."""

    def __init__(self, folder):
        self.folder, self.made = folder, {}

    def get(self, form):
        if form not in self.made:
            out = os.path.join(self.folder, form)
            source = clip(SOURCES.get(form, "players.mp4"))
            good("publish", source, out, *FORMS[form], "--preset", "veryfast",
                 *([] if form == "audio" else ["--ladder", ladder(self.folder, *RUNGS)]))
            check(out, decode=False)
            self.made[form] = out
        return self.made[form]


def quiet(page, server, state=None):
    """No error of the player, the page or the browser, and nothing that was asked for in vain."""
    state = state or page.js("T.state()")
    assert not state["errors"], "errors: %s" % state["errors"][:4]
    told = page.complaints()
    assert not told, "the browser complains: %s" % told[:4]
    assert not server.missing, "asked for what does not exist: %s" % server.missing[:4]


def shown(page, at, source, slack=14):
    """The picture that is shown is that of the source at this time, with its colours."""
    page.until("!video.seeking && video.readyState >= 2", 20)
    time.sleep(0.3)     # the compositor
    got = page.js("T.colours(16, 9)")
    away = min(difference(got, picture(source, 16, 9, at=at + late)) for late in (0, -0.04))
    assert away < slack, "colours at %.2f s differ by %.1f from the source's" % (at, away)


def at_end(page, player, before, timeout):
    """State when it ended once more. On a busy machine dash.js at times sets the clock back by half a second behind the
    end, and pauses: it plays on then."""
    page.until("T.ended > %d" % before, timeout)
    state = page.js("T.state()")
    if player == "dash.js" and not state["over"] and state["paused"] and state["duration"] - state["time"] <= 0.6:
        page.js("video.play()")
        page.until("T.ended > %d" % state["ended"], 20)
        state = page.js("T.state()")
    return state


def play(folder, browser, server, name, source):
    player, kind, form, manifest = CASES[name]
    page = browser.page()
    try:
        page.open("%s/page/page.html" % server.url)
        script = os.path.basename(scripts.fetch(player, os.path.join(BUILD, "players")))
        page.js("T.load('%s', '%s/players/%s', '%s/%s/%s')" % (kind, server.url, script, server.url, form, manifest), 40)
        assert page.js("T.levels().map(l => l[0])") == [90, 180, 360], "rungs %s" % page.js("T.levels().map(l => l[0])")
        start = page.js("T.state()")
        assert abs(start["duration"] - SECONDS) <= 0.1, "duration %.3f" % start["duration"]
        # From the lowest rung to the highest and down again, each seen at its size.
        page.js("T.force(90)")
        page.js("video.playbackRate = %s; video.play()" % RATE)
        page.until("video.videoHeight === 90 && video.currentTime > 0.5", 20)
        page.js("T.force(360)")
        page.until("video.videoHeight === 360", 20)
        page.until("video.currentTime > 6", 20)
        page.screenshot(os.path.join(SHOTS, name + "-high.png"))
        page.js("T.force(180)")
        page.until("video.videoHeight === 180", 20)
        page.screenshot(os.path.join(SHOTS, name + "-middle.png"))
        end = at_end(page, player, 0, 40)
        assert end["over"] and abs(end["time"] - end["duration"]) <= 0.2, "ended at %.3f of %.3f" % (end["time"],
                                                                                                   end["duration"])
        assert end["back"] == 0, "time went back %d times" % end["back"]
        assert end["audio"] > 20000, "%s bytes of audio decoded" % end["audio"]
        assert end["frames"] > 0.6 * SECONDS * 25, "%d pictures" % end["frames"]
        quiet(page, server, end)
        # Seeking: exact pictures on both sides of a segment's edge, at the highest rung, and on to the end again.
        page.js("video.pause()")
        page.js("T.seek(3)", 20)
        page.js("T.force(360)")
        # What is forced is loaded first; a picture that stands still need not be drawn anew before the next seek.
        time.sleep(0.3)
        page.until("!video.seeking && video.readyState >= 3", 20)
        for at in (7.52, 1.04, 11.96, 12.04):
            page.js("T.seek(%s)" % at, 20)
            page.until("video.videoHeight === 360 && video.readyState >= 2", 20)
            shown(page, at, source)
            assert abs(page.js("video.currentTime") - at) < 0.1, "seek to %s" % at
        page.screenshot(os.path.join(SHOTS, name + "-seek.png"))
        page.js("video.play()")
        state = at_end(page, player, end["ended"], 20)
        assert abs(state["time"] - state["duration"]) <= 0.2, "ended again at %.3f" % state["time"]
        quiet(page, server, state)
        print("   %d pictures, %d dropped, %d waits, sizes %s" % (end["frames"], end["dropped"], end["waits"],
                                                                 state["heights"]))
    except (cdp.BrowserError, AssertionError) as error:
        try:
            page.screenshot(os.path.join(SHOTS, name + "-failed.png"))
            print("   state:", page.js("T.state()"), page.complaints()[:5], server.asked[-5:])
        except cdp.BrowserError:
            pass
        raise AssertionError(str(error)) from None
    finally:
        page.close()
        server.missing.clear()


def player_page(folder, browser, server):
    """player.html, with hls.js inside or found by the tool."""
    page = browser.page()
    try:
        page.open("%s/both/player.html" % server.url)
        page.until("window.hls && hls.levels && hls.levels.length === 3", 20)
        page.js("window.bad = []; hls.on(Hls.Events.ERROR, (_, d) => bad.push(d.details)); video.playbackRate = %s; "
                "video.play()" % RATE)
        page.until("video.currentTime > 0.5", 20)
        names = page.js("[...document.querySelectorAll('#rungs button')].map(b => b.textContent)")
        assert sorted(names) == ["180p", "360p", "90p", "automatic"], names
        page.js("[...document.querySelectorAll('#rungs button')].find(b => b.textContent === '90p').click()")
        page.until("video.videoHeight === 90", 30)
        assert page.js("document.querySelector('#rungs .on').textContent") == "90p", "the button of the chosen rung"
        page.js("[...document.querySelectorAll('#rungs button')].find(b => b.textContent === '360p').click()")
        page.until("video.videoHeight === 360 && document.getElementById('state').textContent.includes('640x360')", 30)
        assert page.js("document.querySelector('#rungs .on').textContent") == "360p", "the button of the chosen rung"
        page.screenshot(os.path.join(SHOTS, "player-page.png"))
        page.until("video.ended", 30)
        assert page.js("Math.abs(video.currentTime - video.duration)") <= 0.2, "end"
        told = page.complaints()
        assert not page.js("bad") and not told and not server.missing, (page.js("bad"), told, server.missing)
    except cdp.BrowserError as error:
        try:
            page.screenshot(os.path.join(SHOTS, "player-page-failed.png"))
        except cdp.BrowserError:
            pass
        raise AssertionError(str(error)) from None
    finally:
        page.close()
        server.missing.clear()


def audio_only(folder, browser, server, player, kind, manifest):
    """A title without pictures plays to its end."""
    page = browser.page()
    try:
        page.open("%s/page/page.html" % server.url)
        script = os.path.basename(scripts.fetch(player, os.path.join(BUILD, "players")))
        page.js("T.load('%s', '%s/players/%s', '%s/audio/%s')" % (kind, server.url, script, server.url, manifest), 40)
        page.js("video.playbackRate = %s; video.play()" % RATE)
        page.until("T.ended", 30)
        state = page.js("T.state()")
        assert abs(state["time"] - state["duration"]) <= 0.2 and abs(state["duration"] - 8) < 0.1, state
        quiet(page, server, state)
    except cdp.BrowserError as error:
        raise AssertionError(str(error)) from None
    finally:
        page.close()
        server.missing.clear()


def main():
    if cdp.find() is None:
        print("skipped: no chromium here (Debian package chromium)")
        return 77
    players = os.path.join(BUILD, "players")
    wanted = sys.argv[1:] or list(CASES) + ["audio-hls.js", "audio-shaka", "audio-dash.js", "player-page"]
    try:
        for player in sorted({CASES[n][0] for n in wanted if n in CASES} | {"hls.js"}):
            scripts.fetch(player, players)
    except scripts.Unavailable as why:
        print("skipped: %s" % why)
        return 77
    os.makedirs(SHOTS, exist_ok=True)
    os.environ.setdefault("VODPIPE_PLAYER_SCRIPT", scripts.fetch("hls.js", players))
    cases, folder = Cases("players"), tempfile.mkdtemp(prefix="vodpipe-players-")
    title = Title(folder)
    try:
        forms = {CASES[n][2] for n in wanted if n in CASES} | ({"audio"} if any("audio" in n for n in wanted) else set()) \
            | ({"both"} if "player-page" in wanted else set())
        roots = {form: title.get(form) for form in sorted(forms)}
        source = clip("players.mp4")
        log = os.path.join(SHOTS, "chromium.log")
        with Server(page=HERE, players=players, **roots) as server, cdp.Browser(log) as browser:
            print(browser.version)
            for name in wanted:
                if name in CASES:
                    cases.run(name, play, browser, server, name, source)
                elif name == "player-page":
                    cases.run(name, player_page, browser, server)
                else:
                    player = name.partition("-")[2]
                    kind, manifest = {"hls.js": ("hls", "master.m3u8"), "shaka": ("shaka", "master.m3u8"),
                                      "dash.js": ("dash", "manifest.mpd")}[player]
                    cases.run(name, audio_only, browser, server, player, kind, manifest)
    except cdp.BrowserError as error:
        print("the browser does not work:", error)
        return 1
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return cases.end()


if __name__ == "__main__":
    sys.exit(main())
