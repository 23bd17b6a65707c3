#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""hls.js, Shaka Player and dash.js in headless Chromium play titles from start to end, switch rungs and seek.

    test_players.py [CASE...]       default: all

Nothing here is measured by the clock, as tests beside this one take the machine's time: what is waited for must come
while something still moves, and the video stands still while it is looked at. Screenshots are kept in VODPIPE_ARTEFACTS
(default BUILD/artefacts) as players/*.png. Exit 77 where there is no browser or no player to be had.
"""
import functools
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


def wait(page, code, limit=60):
    """Until it is so. Ends when a player tells an error, or when nothing has moved for long."""
    page.until("(%s) || T.errors.length" % code, limit, "T.moves()")
    assert not page.js("T.errors.length"), "errors: %s, waiting for: %s" % (page.js("T.errors")[:4], code)


def asked_for(server, height, since):
    """A player wants media of a rung."""
    end = time.monotonic() + 60
    while not any("/%dp/" % height in path and ".m3u8" not in path for path, _ in server.asked[since:]):
        assert time.monotonic() < end, "%dp is wanted, and nothing of it asked for" % height
        time.sleep(0.05)


def force(page, server, height):
    """A rung from here on, of a paused video: until there is something of it to play. Players go on with what they have
    decoded of the other one else, on a busy machine to the end."""
    wait(page, "T.filled()")
    before, asked = page.js("T.rung()"), len(server.asked)
    page.js("T.force(%d)" % height)
    if before != height:
        asked_for(server, height, asked)
    wait(page, "T.filled()")


def reach(page, height, time_):
    """Plays until a rung is shown after this time; the video is paused then."""
    page.js("T.reach(%d, %s)" % (height, time_))
    wait(page, "!T.goal || video.ended")
    assert not page.js("T.goal"), "it ended, and %dp was not shown after %s s" % (height, time_)


def went_wrong(page, server, what, shot):
    """Tells all there is to tell about a player that failed."""
    print("   FAILED: %s; load of the machine %s" % (what, os.getloadavg()))
    try:
        print("   state:", page.js("typeof T === 'object' ? T.state() : [video.currentTime, video.videoHeight, video.readyState]"))
        for line in page.js("typeof T === 'object' ? T.told.slice(-40) : []"):
            print("     ", line)
        print("   the browser:", page.complaints()[:5])
        page.screenshot(shot)
    except cdp.BrowserError as error:
        print("   nothing more:", error)
    print("   asked for last:", server.asked[-8:], "in vain:", server.missing[:4], flush=True)


def quiet(page, server, state=None):
    """No error of the player, the page or the browser, and nothing that was asked for in vain."""
    state = state or page.js("T.state()")
    assert not state["errors"], "errors: %s" % state["errors"][:4]
    told = page.complaints()
    assert not told, "the browser complains: %s" % told[:4]
    assert not server.missing, "asked for what does not exist: %s" % server.missing[:4]


@functools.cache
def source_picture(source, at):
    return picture(source, 16, 9, at=at)


def looks_right(look, wanted, at, slack=14):
    """A video that stands still comes to show one of these pictures: the screen may have it later than the element."""
    end = time.monotonic() + 20
    while True:
        got = look()
        away = min(difference(got, one) for one in wanted)
        if away < slack:
            return
        assert time.monotonic() < end, "colours at %.2f s differ by %.1f from the source's" % (at, away)
        time.sleep(0.1)


def seek(page, at, height):
    """To a time of a paused video. What was forced before may still be on its way: the picture of another rung is then
    not drawn anew by itself, so that the place is sought again; this is told."""
    end, again = time.monotonic() + 60, 0
    while True:
        page.js("T.seek(%s)" % at)
        wait(page, "!video.seeking && video.readyState >= 2")
        try:
            page.until("video.videoHeight === %d" % height, 2)
        except cdp.BrowserError:
            assert time.monotonic() < end, "%sp at %s s and not %dp" % (page.js("video.videoHeight"), at, height)
            again += 1
            continue
        if again:
            print("   %s s sought %d times until %dp was shown" % (at, again + 1, height))
        return


def at_end(page, player, before):
    """State when it ended once more. On a busy machine dash.js at times sets the clock back by half a second at the end or
    behind it, and pauses: it plays on then."""
    for _ in range(6):
        wait(page, "T.ended > %d && video.ended || video.paused && !video.ended" % before)
        state = page.js("T.state()")
        if state["over"] or player != "dash.js" or state["duration"] - state["time"] > 0.6:
            break
        print("   dash.js went back to %.2f" % state["time"])
        page.js("video.play()")
    return state


def all_there(before, end):
    """Of what was played between two states no picture is missing that the decoder was given. A forced rung begins to be
    shown at its next keyframe only, so that no whole title can be counted."""
    pictures, wanted = end["frames"] - before["frames"], (end["time"] - before["time"]) * 25
    assert pictures > 0.8 * wanted - 5, "%d pictures of %d from %.2f s on" % (pictures, wanted, before["time"])


def play(folder, browser, server, name, source):
    player, kind, form, manifest = CASES[name]
    page = browser.page()
    try:
        page.open("%s/page/page.html" % server.url)
        script = os.path.basename(scripts.fetch(player, os.path.join(BUILD, "players")))
        page.js("T.load('%s', '%s/players/%s', '%s/%s/%s')" % (kind, server.url, script, server.url, form, manifest))
        assert page.js("T.levels().map(l => l[0])") == [90, 180, 360], "rungs %s" % page.js("T.levels().map(l => l[0])")
        start = page.js("T.state()")
        assert abs(start["duration"] - SECONDS) <= 0.1, "duration %.3f" % start["duration"]
        # From the lowest rung to the highest and down again, each seen at its size.
        page.js("video.playbackRate = %s" % RATE)
        force(page, server, 90)
        reach(page, 90, 0.5)
        force(page, server, 360)
        reach(page, 360, 6)
        page.screenshot(os.path.join(SHOTS, name + "-high.png"))
        force(page, server, 180)
        reach(page, 180, 6)
        page.screenshot(os.path.join(SHOTS, name + "-middle.png"))
        middle = page.js("T.state()")
        page.js("video.play()")
        end = at_end(page, player, 0)
        assert end["over"] and abs(end["time"] - end["duration"]) <= 0.2, "ended at %.3f of %.3f" % (end["time"],
                                                                                                   end["duration"])
        assert end["back"] == 0, "time went back %d times" % end["back"]
        assert end["audio"] > 20000, "%s bytes of audio decoded" % end["audio"]
        all_there(middle, end)
        quiet(page, server, end)
        # Seeking: exact pictures on both sides of a segment's edge, at the highest rung, and on to the end again.
        page.js("video.pause()")
        page.js("T.seek(3)")
        force(page, server, 360)
        reach(page, 360, 3)
        for at in (7.52, 1.04, 11.96, 12.04):
            seek(page, at, 360)
            looks_right(lambda: page.js("T.colours(16, 9)"), [source_picture(source, t) for t in (at, at - 0.04)], at)
            assert abs(page.js("video.currentTime") - at) < 0.1, "seek to %s" % at
        page.screenshot(os.path.join(SHOTS, name + "-seek.png"))
        page.js("video.play()")
        state = at_end(page, player, end["ended"])
        assert abs(state["time"] - state["duration"]) <= 0.2, "ended again at %.3f" % state["time"]
        quiet(page, server, state)
        print("   %d pictures, %d dropped, %d waits, %d stalls, sizes %s" % (end["frames"], end["dropped"], end["waits"],
                                                                            state["stalls"], state["heights"]))
    except (cdp.BrowserError, AssertionError) as error:
        went_wrong(page, server, "%s (%s, %s of title %s): %s" % (name, player, manifest, form, error),
                   os.path.join(SHOTS, name + "-failed.png"))
        raise AssertionError(str(error)) from None
    finally:
        page.close()
        server.missing.clear()


def choose(page, server, height):
    """A rung by its button, of a paused video: plays until the rung is shown, and pauses soon behind. hls.js has it from
    the next segment on, of a video that plays from where it thinks it can have it. A busy machine shows its first picture
    when the clock is not there yet, and for hls.js the clock counts."""
    asked = len(server.asked)
    page.js("[...document.querySelectorAll('#rungs button')].find(b => b.textContent === '%dp').click()" % height)
    asked_for(server, height, asked)
    page.until("video.buffered.length && video.buffered.end(video.buffered.length - 1) > video.duration - 0.5")
    page.js("window.shown = null; video.ontimeupdate = () => { if (video.videoHeight !== %d) return; "
            "if (shown === null) shown = video.currentTime; else if (video.currentTime > shown + 0.1) "
            "{ video.ontimeupdate = null; video.pause(); } }; video.play()" % height)
    page.until("video.paused", 60, "video.currentTime")
    assert page.js("video.videoHeight") == height and not page.js("video.ended"), "%dp was not shown" % height


def player_page(folder, browser, server):
    """player.html, with hls.js inside or found by the tool."""
    page = browser.page()
    try:
        page.open("%s/both/player.html" % server.url)
        page.until("window.hls && hls.levels && hls.levels.length === 3")
        # Standing still for a moment is no error, see harness.js.
        page.js("window.bad = []; hls.on(Hls.Events.ERROR, (_, d) => (d.fatal || d.details !== 'bufferStalledError') && "
                "bad.push(d.details)); video.playbackRate = %s; video.ontimeupdate = () => video.currentTime > 0.5 && "
                "(video.ontimeupdate = null, video.pause()); video.play()" % RATE)
        page.until("video.currentTime > 0.5 && video.paused", moves="video.currentTime")
        names = page.js("[...document.querySelectorAll('#rungs button')].map(b => b.textContent)")
        assert sorted(names) == ["180p", "360p", "90p", "automatic"], names
        choose(page, server, 90)
        assert page.js("document.querySelector('#rungs .on').textContent") == "90p", "the button of the chosen rung"
        choose(page, server, 360)
        page.until("document.getElementById('state').textContent.includes('640x360')")
        assert page.js("document.querySelector('#rungs .on').textContent") == "360p", "the button of the chosen rung"
        page.screenshot(os.path.join(SHOTS, "player-page.png"))
        page.js("video.play()")
        page.until("video.ended", 60, "video.currentTime")
        assert page.js("Math.abs(video.currentTime - video.duration)") <= 0.2, "end"
        told = page.complaints()
        assert not page.js("bad") and not told and not server.missing, (page.js("bad"), told, server.missing)
    except (cdp.BrowserError, AssertionError) as error:
        went_wrong(page, server, "player-page: %s" % error, os.path.join(SHOTS, "player-page-failed.png"))
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
        page.js("T.load('%s', '%s/players/%s', '%s/audio/%s')" % (kind, server.url, script, server.url, manifest))
        page.js("video.playbackRate = %s; video.play()" % RATE)
        wait(page, "T.ended")
        state = page.js("T.state()")
        assert abs(state["time"] - state["duration"]) <= 0.2 and abs(state["duration"] - 8) < 0.1, state
        quiet(page, server, state)
    except (cdp.BrowserError, AssertionError) as error:
        went_wrong(page, server, "audio-%s: %s" % (player, error), os.path.join(SHOTS, "audio-%s-failed.png" % player))
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
