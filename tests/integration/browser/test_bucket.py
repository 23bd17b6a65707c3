#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Headless Chromium and a bucket of a real server, which is another origin: hls.js and Shaka Player play a title that
`vodpipe publish` wrote there while it was made, by public and by signed addresses, with the CORS rules of docs/storage.md and not
without them; a film by one signed address.

    test_bucket.py [versitygw|minio...]

Exit 77 where there is no browser, no player, no boto3 or none of the servers.
"""
import json
import os
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(HERE)), "support"))

import cdp  # noqa: E402
import documents  # noqa: E402
import scripts  # noqa: E402
from clips import AAC, X264, clip as define, lavfi, run as make_clip  # noqa: E402
from s3_servers import Missing, real_server  # noqa: E402
from server import Server  # noqa: E402
from test_edge import Nginx, find_nginx, link  # noqa: E402
from test_players import at_end, quiet, wait, went_wrong  # noqa: E402
from titles import ARTEFACTS, BIN, BUILD, Cases, clip, ladder  # noqa: E402

SECONDS = 40
SHOTS = os.path.join(ARTEFACTS, "players")
PLAYERS = {"hls.js": ("hls", "master.m3u8"), "shaka": ("shaka", "manifest.mpd")}
CORS = documents.blocks("storage.md")["cors-play"]
# Before it loads: each address is signed by what the host gave for it.
SIGNED = {"hls.js": "T.options = {xhrSetup: (xhr, url) => xhr.open('GET', T.signed[url.split('?')[0]], true)}",
          "shaka": "T.prepare = p => p.getNetworkingEngine().registerRequestFilter((kind, request) => {"
                   "  request.uris = request.uris.map(u => T.signed[u.split('?')[0]]) })"}


@define("bucket_play40.mp4", "40 s: seconds burnt in, colour bars, a tone; its index at the end")
def _(to, dep):
    make_clip(lavfi("testsrc=s=640x360:r=25:d=%d" % SECONDS, "sine=440:d=%d:r=48000" % SECONDS) + X264 + ["-g", "50"]
              + AAC + ["-ac", "2"], to)


# ---- the bucket ----

def environment(s3, folder):
    env = {k: v for k, v in os.environ.items() if not k.startswith("AWS_")}
    env.update(s3.env(), XDG_STATE_HOME=os.path.join(folder, "state"))
    return env


def vodpipe(s3, folder, *args):
    done = subprocess.run([BIN, *args], env=environment(s3, folder), text=True, capture_output=True, timeout=600, check=False)
    assert done.returncode == 0, "%s: exit %d: %s" % (" ".join(args), done.returncode, done.stderr[-800:])
    return done.stdout.strip()


def keys(s3, prefix):
    return [o["Key"] for page in s3.boto().get_paginator("list_objects_v2").paginate(Bucket=s3.bucket, Prefix=prefix)
            for o in page.get("Contents", [])]


def publish(folder, s3):
    """Segments are there for all to see long before the title is made, and no manifest is before its end."""
    args = ["publish", clip("bucket_play40.mp4"), "s3://%s/titles/1" % s3.bucket, "--preset", "veryfast", "--jobs", "1",
            "--ladder", ladder(folder, ("360p", 360, 700), ("180p", 180, 250)), "--progress", "none"]
    with open(os.path.join(folder, "told"), "w+", encoding="utf-8") as told:
        child = subprocess.Popen([BIN, *args], env=environment(s3, folder), stdin=subprocess.DEVNULL,
                                 stdout=subprocess.DEVNULL, stderr=told)
        early = []
        try:
            while not early and child.poll() is None:
                early = [k for k in keys(s3, "titles/1/") if k.endswith(".m4s")]
            assert early and child.poll() is None, "no segment was there before its end"
            assert not [k for k in keys(s3, "titles/1/") if k.endswith((".m3u8", ".mpd"))] or child.poll() is not None
            child.wait(600)
        finally:
            if child.poll() is None:
                child.kill()
                child.wait()
        told.seek(0)
        assert child.returncode == 0, told.read()[-800:]
    there = keys(s3, "titles/1/")
    print("   %d of %d objects were there while it was made" % (len(early), len(there)))
    assert "titles/1/master.m3u8" in there and set(early) <= set(there)


def make_public(s3):
    s3.boto().put_bucket_policy(Bucket=s3.bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::%s/*" % s3.bucket}]}))


def make_private(s3):
    s3.boto().delete_bucket_policy(Bucket=s3.bucket)


def cors(s3, rules):
    """As docs/storage.md has it, or None: no page of another origin. MinIO has one rule for all buckets, of its environment."""
    client = s3.boto()
    if s3.name == "minio":
        origins = {",".join(r["AllowedOrigins"]) for r in rules["CORSRules"]} if rules else {"https://nobody.example"}
        s3.again(MINIO_API_CORS_ALLOW_ORIGIN=origins.pop())
    elif rules:
        client.put_bucket_cors(Bucket=s3.bucket, CORSConfiguration=rules)
    else:
        client.delete_bucket_cors(Bucket=s3.bucket)


# ---- pages ----

class Tab:
    """with Tab(browser, server, what) as page: what goes wrong is told with all that there is to tell."""

    def __init__(self, browser, server, what):
        self.browser, self.server, self.what = browser, server, what

    def __enter__(self):
        self.page = self.browser.page()
        self.page.call("Network.setCacheDisabled", {"cacheDisabled": True})  # what was public once would stay so for a year
        self.page.open("%s/page/page.html" % self.server.url)
        return self.page

    def __exit__(self, kind, error, trace):
        try:
            if kind and issubclass(kind, (cdp.BrowserError, AssertionError)):
                went_wrong(self.page, self.server, "%s: %s" % (self.what, error),
                           os.path.join(SHOTS, "bucket-%s.png" % self.what))
        finally:
            self.page.close()
            self.server.missing.clear()
        if kind and issubclass(kind, cdp.BrowserError):
            raise AssertionError(str(error)) from None


def load(server, s3, player, title, base=None):
    kind, manifest = PLAYERS[player]
    script = os.path.basename(scripts.fetch(player, os.path.join(BUILD, "players")))
    return "T.load('%s', '%s/players/%s', '%s/%s/%s')" % (
        kind, server.url, script, base or "%s/%s" % (s3.url, s3.bucket), title, manifest)


def answers(page, url):
    """Statuses of what servers said to requests of the page below an address, also where no page may read it."""
    page.js("0")
    mine = [e for e in page.browser.events if e.get("sessionId") == page.session]
    ids = {e["params"]["requestId"] for e in mine if e["method"] == "Network.requestWillBeSent"
           and e["params"]["request"]["url"].startswith(url)}
    return [e["params"]["statusCode"] for e in mine if e["method"] == "Network.responseReceivedExtraInfo"
            and e["params"]["requestId"] in ids]


def plays(_folder, browser, server, s3, player, title="titles/1", signed=None, base=None):
    base = base or "%s/%s" % (s3.url, s3.bucket)
    with Tab(browser, server, "%s-%s-%s" % (s3.name, player, "signed" if signed else os.path.basename(title))) as page:
        if signed:
            page.js("T.signed = %s" % json.dumps(signed))
            page.js(SIGNED[player])
        page.js(load(server, s3, player, title, base))
        assert page.js("T.levels().map(l => l[0])") == [180, 360], page.js("T.levels().map(l => l[0])")
        page.js("video.playbackRate = 2; T.seek(%d)" % (SECONDS - 12))
        page.js("video.play()")
        end = at_end(page, player, 0)
        assert abs(end["time"] - end["duration"]) <= 0.2 and abs(end["duration"] - SECONDS) <= 0.1, end
        assert end["audio"] > 10000 and end["frames"] > 50, "%(audio)s bytes of audio, %(frames)s pictures" % end
        page.js("video.pause()")
        page.js("T.seek(1)")
        wait(page, "Math.abs(video.currentTime - 1) < 0.3 && video.readyState >= 2")
        got = answers(page, base + "/")
        assert len(got) > 4 and set(got) == ({200, 206} if title.endswith("2") else {200}), got
        quiet(page, server)


def plays_not(_folder, browser, server, s3, player, status, word):
    """The player tells an error and the browser why, whatever the server said; nothing is shown."""
    with Tab(browser, server, "%s-%s-not" % (s3.name, player)) as page:
        page.js("void %s.catch(e => T.errors.push(String(e)))" % load(server, s3, player, "titles/1"))
        page.until("T.errors.length")
        got, told = answers(page, s3.url), page.complaints()
        assert got and set(got) == {status}, "the server said %s" % got
        assert [t for t in told if word in t], "the browser says %s, nothing of %r" % (told, word)
        assert page.js("[video.readyState, video.webkitVideoDecodedByteCount, T.buffered().length]") == [0, 0, 0]


def film(folder, browser, server, s3, rules):
    """<video> with the signed address of one file: ranges, no rule of the bucket; not when altered, not when it has ended."""
    source = clip("bucket_play40.mp4")
    vodpipe(s3, folder, "put", source, "s3://%s/films/a b.mp4" % s3.bucket)
    address = "s3://%s/films/a b.mp4" % s3.bucket
    url = vodpipe(s3, folder, "presign", "get", address, "--expires", "600")
    late = vodpipe(s3, folder, "presign", "get", address, "--expires", "1")
    with Tab(browser, server, s3.name + "-film") as page:
        page.js("video.src = %s" % json.dumps(url))
        wait(page, "video.readyState >= 2")
        got = page.js("T.seek(%d)" % (SECONDS - 4)) and page.js("video.duration")
        assert abs(got - SECONDS) <= 0.1, got
        page.js("video.play()")
        end = at_end(page, "film", 0)
        assert abs(end["time"] - SECONDS) <= 0.2 and end["frames"] > 20 and end["audio"] > 1000, end
        statuses = answers(page, url)
        assert len(statuses) >= 2 and set(statuses) == {206}, "its index is at its end, asked for were %s" % statuses
        quiet(page, server)
        # pixels are another matter: they need what a player needs
        page.js("T.taken = src => new Promise(done => { const v = document.createElement('video'); v.crossOrigin = 'anonymous';"
                " v.onloadeddata = () => done(true); v.onerror = () => done(false); v.src = src })")
        assert page.js("T.taken(%s)" % json.dumps(url)) == rules, "with crossorigin"
        page.complaints()
    altered = url[:-1] + ("0" if url[-1] != "0" else "1")
    until = time.time() + 2.5  # the end of one is waited for, not raced against
    while time.time() < until:
        time.sleep(0.1)
    for wrong in (altered, url.replace("a%20b", "titles"), url.split("?")[0], late):
        with Tab(browser, server, s3.name + "-film-not") as page:
            page.js("video.src = %s" % json.dumps(wrong))
            page.until("T.errors.length")
            assert page.js("[video.readyState, video.webkitVideoDecodedByteCount]") == [0, 0], wrong
            statuses = answers(page, wrong)
            assert statuses and set(statuses) == {403}, "%s: %s" % (wrong, statuses)


def edge(folder, browser, server, s3):
    """The nginx of docs/edge before it: a link that ends plays the title, in ranges too; one that is altered does not."""
    find_nginx()
    origin = "127.0.0.1:%d" % s3.port
    with Nginx(folder, origin, origin, s3.bucket + "/") as nginx:
        for n, player in enumerate(PLAYERS):
            path = link("titles", int(time.time()) + 900)
            plays(folder, browser, server, s3, player, "%d" % (n + 1), base="http://127.0.0.1:%d%s" % (nginx.port, path))
        path = link("titles", int(time.time()) + 900, "guess")
        with Tab(browser, server, s3.name + "-edge-not") as page:
            page.js("void %s.catch(e => T.errors.push(String(e)))" % load(
                server, s3, "shaka", "1", "http://127.0.0.1:%d%s" % (nginx.port, path)))
            page.until("T.errors.length")
            assert set(answers(page, "http://127.0.0.1:%d" % nginx.port)) == {403}
            assert page.js("[video.readyState, T.buffered().length]") == [0, 0]


def signatures(folder, s3, title):
    """{address: signed}, by the tool, as a host gives them to its page."""
    return {"%s/%s/%s" % (s3.url, s3.bucket, k): vodpipe(s3, folder, "presign", "get", "s3://%s/%s" % (s3.bucket, k),
                                                        "--expires", "900") for k in keys(s3, title + "/")}


def on_server(cases, browser, server, s3, folder):
    where = (browser, server, s3)
    cases.run(s3.name + ": published while it is made", publish, s3)
    vodpipe(s3, folder, "publish", clip("bucket_play40.mp4"), "s3://%s/titles/2" % s3.bucket, "--preset", "ultrafast",
            "--single-file", "--ladder", ladder(folder, ("360p", 360, 700), ("180p", 180, 250)), "--progress", "none")
    cors(s3, CORS)
    signed = signatures(folder, s3, "titles/1")
    for player in PLAYERS:
        cases.run("%s-%s: private" % (s3.name, player), plays_not, *where, player, 403, "")
        cases.run("%s-%s: private, signed" % (s3.name, player), plays, *where, player, signed=signed)
    cases.run("%s: a film by its address" % s3.name, film, *where, True)
    make_public(s3)
    for player in PLAYERS:
        cases.run("%s-%s: public" % (s3.name, player), plays, *where, player)
        cases.run("%s-%s: public, in ranges" % (s3.name, player), plays, *where, player, "titles/2")
    cors(s3, None)
    cases.run("%s: by links of an edge" % s3.name, edge, *where)
    for player in PLAYERS:
        cases.run("%s-%s: public without CORS" % (s3.name, player), plays_not, *where, player, 200, "CORS policy")
    make_private(s3)
    cases.run("%s: a film without CORS" % s3.name, film, *where, False)


def main():
    if cdp.find() is None:
        print("skipped: no chromium here (Debian package chromium)")
        return 77
    players = os.path.join(BUILD, "players")
    try:
        import boto3  # noqa: F401
        for player in PLAYERS:
            scripts.fetch(player, players)
    except (ImportError, scripts.Unavailable) as why:
        print("skipped: %s" % why)
        return 77
    os.makedirs(SHOTS, exist_ok=True)
    cases, used = Cases("bucket"), 0
    with tempfile.TemporaryDirectory(prefix="vodpipe-bucket-") as folder, Server(page=HERE, players=players) as server, \
            cdp.Browser(os.path.join(SHOTS, "chromium-bucket.log")) as browser:
        for name in sys.argv[1:] or ["versitygw", "minio"]:
            try:
                with real_server(name) as s3:
                    on_server(cases, browser, server, s3, folder)
                    used += 1
            except Missing as why:
                print("skipped: %s: %s" % (name, why))
    return cases.end() if used else 77


if __name__ == "__main__":
    sys.exit(main())
