#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Headless Chromium and examples/upload-server: its page takes a file, over whatever happens to the network, the page and the
server, and plays what became of it; a page of another origin uploads by CORS.

    test_upload.py [case...]

Exit 77 where there is no browser, no upload-server or no tus-js-client.
"""
import contextlib
import glob
import json
import os
import re
import shutil
import sys
import time

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))

import cdp  # noqa: E402
import uploads  # noqa: E402
from clips import AAC, X264, clip as define, lavfi, run as make_clip  # noqa: E402
from proxy import Proxy  # noqa: E402
from server import Server as WebServer  # noqa: E402
from titles import ARTEFACTS, Cases, clip  # noqa: E402
from uploads import eventually, noise  # noqa: E402

SECONDS, RATE = 5, 25
MIB = 1 << 20
SIZE = 5 * MIB + 4321       # of files that are no videos
LIMIT = 700000              # of a connection; the network is bad behind
HEADERS = 32768             # no requests of a connection have more of them
TUS = os.path.join(os.path.dirname(uploads.SERVER), "tus.js")
SHOTS = os.path.join(ARTEFACTS, "players")
# All that the page ever says.
NOTES = """window.notes = []; new MutationObserver(() => notes.push(document.getElementById('state').textContent))
    .observe(document.getElementById('state'), {childList: true, characterData: true, subtree: true}); 0"""
STATE = "document.getElementById('state').textContent"
PAUSE = "document.getElementById('pause')"


@define("upload_browser.mp4", "pictures that do not compress well, a tone; its index at the end")
def _(to, dep):
    make_clip(lavfi("testsrc=s=640x360:r=%d:d=%d,noise=alls=30:allf=t" % (RATE, SECONDS), "sine=440:d=%d:r=48000" % SECONDS)
              + X264 + ["-g", "50"] + AAC + ["-ac", "2"], to)


def read(path):
    with open(path, "rb") as f:
        return f.read()


def file_of(folder, data, name="noise.mp4"):
    path = os.path.join(folder, name)
    with open(path, "wb") as f:
        f.write(data)
    return path


class Place:
    """A server, a network before it, and a page of that."""

    def __init__(self, server, proxy, page):
        self.server, self.proxy, self.page, self.asked = server, proxy, page, []

    def open(self, url=None):
        self.page.open(url or self.proxy.url + "/")
        self.page.js(NOTES)

    def choose(self, path):
        self.page.call("DOM.enable")
        root = self.page.call("DOM.getDocument")["root"]["nodeId"]
        node = self.page.call("DOM.querySelector", {"nodeId": root, "selector": "#file"})["nodeId"]
        self.page.call("DOM.setFileInputFiles", {"files": [path], "nodeId": node})

    def requests(self):
        """(method, path, offset of a PATCH) of all that the page sent to /files/, in their order."""
        self.page.js("0")
        for e in self.page.browser.events:
            if e.get("sessionId") != self.page.session or e["method"] != "Network.requestWillBeSent":
                continue
            r = e["params"]["request"]
            m = re.match(r"http://[^/]+(/files/.*)", r["url"])
            if m and r["method"] != "OPTIONS":
                offset = {k.lower(): v for k, v in r["headers"].items()}.get("upload-offset")
                self.asked.append((r["method"], m.group(1), None if offset is None else int(offset)))
        self.page.browser.events = [e for e in self.page.browser.events
                                    if e.get("sessionId") != self.page.session or e["method"] != "Network.requestWillBeSent"]
        return self.asked

    def offsets(self):
        return [offset for method, _, offset in self.requests() if method == "PATCH"]

    def path(self):
        """Of the one upload that the page made."""
        made = {path for method, path, _ in self.requests() if method in ("PATCH", "HEAD")}
        assert len(made) == 1 and [x[0] for x in self.asked].count("POST") == 1, self.asked
        return made.pop()

    def stored(self):
        """Bytes that the server has. A HEAD would take the upload over."""
        name = self.path().rpartition("/")[2] + ".data"
        return sum(os.path.getsize(f) for f in glob.glob(os.path.join(self.server.data, "uploads/uploads/*", name)))

    def until_it_stands(self, before=0):
        """All that the network let through is stored, but for HEADERS at most, and nothing more comes: how much that is."""
        limit = self.proxy.limit
        with eventually(cdp.LIMIT) as again:    # Chromium may send a PATCH again by itself, which is refused and goes
            while not (self.proxy.standing() == 1
                       and before + limit - HEADERS <= self.stored() <= before + limit + HEADERS):
                again()
        return self.stored()

    def whole(self, data):
        answer = self.server.client().get(self.path())
        assert answer.status == 200 and answer.body == data, "%d, %d bytes" % (answer.status, len(answer.body))

    def went_on_from(self, offset):
        """The last PATCH did, and none begins anew but the first."""
        offsets = self.offsets()
        assert offsets[0] == 0 and offset <= offsets[-1] <= offset + HEADERS and offsets == sorted(offsets), (offset, offsets)
        assert offsets.count(0) == 1, offsets

    def ends(self, text="uploaded"):
        self.page.until("%s === %s" % (STATE, json.dumps(text)), moves=STATE)

    def quiet(self):
        told = [t for t in self.page.complaints() if t.startswith(("exception", "console"))]
        assert not told, told[:4]


@contextlib.contextmanager
def place(browser, folder, *options, limit=None):
    name = os.path.basename(folder)
    # Little is gathered or waits for a sync, so that what has come is seen in the files.
    with uploads.Server(os.path.join(folder, "data"), "--sync", "262144", *options) as server, Proxy(server.port, limit) as proxy:
        page = browser.page()
        p = Place(server, proxy, page)
        try:
            p.open()
            yield p
        except (cdp.BrowserError, AssertionError) as error:
            tell(p, os.path.join(SHOTS, "upload-%s.png" % name))
            raise AssertionError(str(error)) from None
        finally:
            page.close()
            browser.events.clear()


def tell(p, shot):
    print("   FAILED; load of the machine %s" % (os.getloadavg(),))
    try:
        print("   the page:", p.page.js("[%s, window.notes ? notes.slice(-12) : []]" % STATE))
        print("   asked:", p.requests()[-12:], "links:", len(p.proxy.links), "standing:", p.proxy.standing())
        print("   the browser:", p.page.complaints()[-6:])
        p.page.screenshot(shot)
    except cdp.BrowserError as error:
        print("   nothing more:", error)
    print("   the server:", p.server.tail()[-400:], flush=True)


# ---- cases ----

def plays(page):
    """The frame of the player, to its end."""
    page.until("frames.length && frames[0].document.getElementById('video')"
               " && frames[0].document.getElementById('video').readyState >= 2")
    page.js("window.video = frames[0].document.getElementById('video'); void video.play()")
    page.until("video.ended || video.error", moves="video.currentTime")
    duration, at, error, frames, audio, says = page.js(
        "[video.duration, video.currentTime, video.error && video.error.message, video.getVideoPlaybackQuality().totalVideoFrames,"
        " video.webkitAudioDecodedByteCount, frames[0].document.getElementById('state').textContent]")
    assert not error and "error" not in says, "%s; %s" % (error, says)
    assert abs(duration - SECONDS) <= 0.2 and abs(at - duration) <= 0.2, (duration, at)
    assert frames >= 0.8 * SECONDS * RATE and audio > 10000, "%d pictures, %d bytes of audio" % (frames, audio)


def title(folder, browser):
    """A clip, uploaded, published with its progress shown, and played."""
    source = clip("upload_browser.mp4")
    with place(browser, folder) as p:
        p.choose(source)
        p.ends("published")
        notes = p.page.js("notes")
        assert [n for n in notes if re.fullmatch(r"\d+\.\d of \d+\.\d MB", n)], notes
        shown = [float(n.split()[-2]) for n in notes if re.fullmatch(r"[\w -]+, \d+\.\d %", n)]
        assert len(shown) > 2 and shown == sorted(shown) and [x for x in shown if 0 < x < 100], notes
        assert p.page.js("document.getElementById('bar').value") == 1000, "the bar is not full"
        p.whole(read(source))
        assert p.offsets() == [0]
        plays(p.page)
        told = p.page.complaints()
        assert not told, told


def cuts(folder, browser):
    """A network that breaks again and again, in all ways, and loses the last answer."""
    source = clip("upload_browser.mp4")
    data = read(source)
    with place(browser, folder, limit=len(data) // 8) as p:
        p.choose(source)
        at = 0
        for order in ("reset", "half", "end", "reset", "half"):
            at = p.until_it_stands(at)
            p.proxy.lost_answers = order == "half" and at > len(data) // 2
            p.proxy.tell(order, None if p.proxy.lost_answers else p.proxy.limit)
        p.ends("published")
        assert p.proxy.lost_answers == 0
        assert len(p.offsets()) >= 6
        p.went_on_from(at)
        p.whole(data)
        plays(p.page)
        p.quiet()


def offline(folder, browser):
    """The browser knows that it is offline, longer than tus-js-client tries, and online again."""
    data = noise(SIZE, 2)
    network = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
    with place(browser, folder, "--no-publish", limit=LIMIT) as p:
        p.choose(file_of(folder, data))
        at = 0
        for n in (1, 2):
            at = p.until_it_stands(at)
            p.page.call("Network.emulateNetworkConditions", dict(network, offline=True))
            p.proxy.tell("reset", LIMIT if n == 1 else None)     # what was open is not closed by that
            p.page.until("notes.some(n => n.startsWith('no connection')) && !navigator.onLine")
            if n == 2:          # all that tus-js-client does by itself is over
                p.page.js("upload.abort(); upload.options.onError({originalRequest: {}, originalResponse: null, message: ''})")
            p.page.js("notes.length = 0")
            p.page.call("Network.emulateNetworkConditions", network)
        p.ends()
        p.went_on_from(at)
        p.whole(data)
        p.quiet()


def pause(folder, browser):
    """The button: the connection goes, nothing is sent, and then the rest."""
    data = noise(SIZE, 3)
    with place(browser, folder, "--no-publish", limit=LIMIT) as p:
        p.choose(file_of(folder, data))
        at = p.until_it_stands()
        p.page.until("!%s.hidden && %s.textContent === 'pause'" % (PAUSE, PAUSE))
        p.page.js(PAUSE + ".click()")
        assert p.page.js(PAUSE + ".textContent") == "go on"
        links = [x for x in p.proxy.links if x.stands]
        p.proxy.tell("swallow")
        with eventually(cdp.LIMIT) as again:
            while links[0] in p.proxy.links:    # until the browser has closed it
                again()
        asked, passed = len(p.requests()), p.proxy.passed
        time.sleep(2)                           # longer than it waits before it would try again
        assert len(p.requests()) == asked and p.proxy.passed - passed < HEADERS, p.requests()[asked:]
        assert at <= p.stored() <= at + HEADERS, (at, p.stored())
        p.page.js(PAUSE + ".click()")
        p.ends()
        p.went_on_from(at)
        assert p.page.js(PAUSE + ".hidden")
        p.whole(data)
        p.quiet()


def reload(folder, browser):
    """The page is loaded again in mid-upload: the same file goes on, another one does not."""
    data = noise(SIZE, 4)
    path = file_of(folder, data)
    with place(browser, folder, "--no-publish", limit=LIMIT) as p:
        p.choose(path)
        at = p.until_it_stands()
        p.open()
        p.proxy.tell("reset")
        assert p.page.js(STATE) == "choose a file"
        p.choose(path)
        p.ends()
        p.went_on_from(at)
        p.whole(data)
        p.asked = []
        other = noise(SIZE, 5)
        p.choose(file_of(folder, other, "other.mp4"))
        p.page.until("upload.file.name === 'other.mp4' && upload.url")
        p.ends()
        p.whole(other)
        assert p.offsets() == [0]
        p.quiet()


def killed(folder, browser):
    """kill -9, several times: the upload goes on in each next process, from what was durable in the one before."""
    data = noise(70 * MIB + 1, 6)
    with place(browser, folder, "--no-publish", limit=20 * MIB) as p:
        p.choose(file_of(folder, data))
        begun = 0
        for n in range(3):
            with eventually(cdp.LIMIT) as again:
                while len(p.offsets()) == begun:
                    again()
            p.until_it_stands(p.offsets()[-1])
            begun = len(p.offsets())
            p.server.kill()
            p.proxy.tell("reset", p.proxy.limit if n < 2 else None)
            p.page.until("notes.some(n => n.startsWith('no connection'))")
            p.page.js("notes.length = 0")
            p.server.start()
        p.ends()
        offsets = p.offsets()
        assert len(offsets) >= 4 and offsets == sorted(offsets) and offsets[-1] > 0, offsets
        print("   went on from %s" % offsets[1:])
        p.whole(data)
        p.quiet()


def refused(folder, browser):
    """
    What is no video is refused in its middle, and the page says why and ends. How much was taken until then is the
    server's affair. An answer in the middle of a body is a connection that closes: where Chromium has not read it by then
    it sends the PATCH once more by itself, and the page hears the reason from that.
    """
    data = b"this is a text and will stay one\n" * 1200000
    with place(browser, folder, "--refuse-early", limit=17 * MIB) as p:
        p.choose(file_of(folder, data, "text.mp4"))
        why = "this file cannot become a title: INPUT_UNRECOGNISED"
        p.ends(why)
        p.page.js("notes.length = 0")
        p.proxy.tell("go")
        p.page.until(PAUSE + ".hidden")
        p.ends(why)
        assert set(p.page.js("notes")) <= {why, "no connection, trying again"}, p.page.js("notes")
        assert p.offsets()[0] == 0 and len(p.offsets()) <= 2, p.requests()
        head = p.server.client().head(p.path())
        assert head.status != 200 or head.offset < len(data), head
        p.quiet()


OTHER_PAGE = """<!doctype html><meta charset="utf-8"><title>elsewhere</title><input type="file" id="file"><p id="state"></p>
<script src="tus.js"></script><script>
const say = text => { document.getElementById('state').textContent = text; };
document.getElementById('file').onchange = e => {
  window.upload = new tus.Upload(e.target.files[0], {endpoint: new URLSearchParams(location.search).get('to'),
    retryDelays: [0, 500, 1000, 2000, 4000, 8000, 16000], metadata: {filename: 'x.mp4'},
    onError: error => say('failed: ' + error.message), onSuccess: () => say('uploaded')});
  upload.start();
};
</script>
"""


def elsewhere(folder, browser):
    """A page of another origin, by CORS: it reads where the upload is and how far, also after a reset."""
    data = noise(SIZE, 7)
    pages = os.path.join(folder, "pages")
    os.mkdir(pages)
    file_of(pages, OTHER_PAGE.encode(), "page.html")
    shutil.copy(TUS, os.path.join(pages, "tus.js"))
    with WebServer(page=pages) as web, place(browser, folder, "--no-publish", limit=LIMIT) as p:
        p.open("%s/page/page.html?to=%s/files/" % (web.url, p.proxy.url))
        p.choose(file_of(folder, data))
        at = p.until_it_stands()
        p.proxy.tell("reset")
        p.ends()
        p.went_on_from(at)
        p.whole(data)
        got = p.page.js("fetch(upload.url).then(r => r.arrayBuffer()).then(b => b.byteLength)")
        assert got == len(data), got
        p.quiet()


CASES = [title, cuts, offline, pause, reload, killed, refused, elsewhere]


def main():
    why = None if cdp.find() else "no chromium here (Debian package chromium)"
    if not os.path.isfile(uploads.SERVER):
        why = "no upload-server: built without libmicrohttpd"
    elif not os.path.isfile(TUS) or not os.path.getsize(TUS):
        why = "no tus-js-client: built without npm"
    if why:
        print("skipped: " + why)
        return 77
    os.makedirs(SHOTS, exist_ok=True)
    cases = Cases("browser-upload")
    with cdp.Browser(os.path.join(SHOTS, "chromium-upload.log")) as browser:
        for case in CASES:
            if not sys.argv[1:] or case.__name__ in sys.argv[1:]:
                cases.run(case.__name__, case, browser)
    return cases.end()


if __name__ == "__main__":
    sys.exit(main())
