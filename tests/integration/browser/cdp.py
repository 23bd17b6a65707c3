# SPDX-License-Identifier: LGPL-2.1-or-later
"""Headless Chromium, driven through its debugging pipe: nothing beside the browser is needed, no port is opened."""
import base64
import json
import os
import select
import shutil
import signal
import subprocess
import tempfile
import time

FLAGS = """--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking
--disable-component-update --disable-sync --disable-default-apps --disable-extensions --disable-dev-shm-usage
--disable-domain-reliability --disable-client-side-phishing-detection --no-default-browser-check --no-pings
--disable-background-timer-throttling --disable-renderer-backgrounding --disable-backgrounding-occluded-windows
--autoplay-policy=no-user-gesture-required --mute-audio --window-size=960,640 --force-device-scale-factor=1
--remote-debugging-pipe""".split() + ["--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"]


# Seconds. These end what hangs: on a busy machine a browser may need many for what takes it none elsewhere.
LIMIT = 120


class BrowserError(Exception):
    pass


def find():
    """Path of a browser, or None."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        path = shutil.which(name)
        if path:
            return path
    return None


class Browser:
    """with Browser(log) as b: page = b.page(); page.open(url); page.js("1 + 1")"""

    def __init__(self, log=None):
        self.log, self.events, self.last, self.data = log, [], 0, b""
        self.process = self.profile = None

    def __enter__(self):
        self.profile = tempfile.mkdtemp(prefix="vodpipe-browser-")
        to_read, self.to = os.pipe()        # the browser reads its fd 3 and writes its fd 4
        self.fro, to_write = os.pipe()

        def fds():
            high = [os.dup(to_read), os.dup(to_write)]
            while min(high) <= 4:
                high = [os.dup(fd) for fd in high]
            os.dup2(high[0], 3)
            os.dup2(high[1], 4)

        env = dict(os.environ, HOME=self.profile, XDG_CONFIG_HOME=self.profile, XDG_CACHE_HOME=self.profile,
                   DBUS_SESSION_BUS_ADDRESS="disabled:")
        sink = open(self.log, "ab") if self.log else subprocess.DEVNULL
        try:
            self.process = subprocess.Popen([find()] + FLAGS + ["--user-data-dir=" + self.profile, "about:blank"],
                                            stdin=subprocess.DEVNULL, stdout=sink, stderr=sink, preexec_fn=fds,
                                            close_fds=False, start_new_session=True, env=env)
        finally:
            os.close(to_read)
            os.close(to_write)
            if self.log:
                sink.close()
        self.version = self.call("Browser.getVersion")["product"]
        return self

    def __exit__(self, *_):
        try:
            self.call("Browser.close", limit=5)
            self.process.wait(5)
        except (BrowserError, OSError, subprocess.TimeoutExpired):
            pass
        try:
            os.killpg(self.process.pid, signal.SIGKILL)     # the session this class started, with its children
        except ProcessLookupError:
            pass
        self.process.wait()
        os.close(self.to)
        os.close(self.fro)
        shutil.rmtree(self.profile, ignore_errors=True)

    def receive(self, until):
        """The next message, or None when there is none by then."""
        while b"\0" not in self.data:
            left = until - time.monotonic()
            if left <= 0 or not select.select([self.fro], [], [], left)[0]:
                return None
            more = os.read(self.fro, 1 << 20)
            if not more:
                raise BrowserError("the browser went away, exit %s" % self.process.poll())
            self.data += more
        one, _, self.data = self.data.partition(b"\0")
        return json.loads(one)

    def call(self, method, params=None, session=None, limit=LIMIT):
        self.last += 1
        message = {"id": self.last, "method": method, "params": params or {}}
        if session:
            message["sessionId"] = session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self.to, data):]
        until = time.monotonic() + limit
        while True:
            answer = self.receive(until)
            if answer is None:
                raise BrowserError("%s: no answer within %d s" % (method, limit))
            if answer.get("id") == message["id"]:
                if "error" in answer:
                    raise BrowserError("%s: %s" % (method, answer["error"].get("message")))
                return answer["result"]
            if "method" in answer:
                self.events.append(answer)

    def page(self):
        target = self.call("Target.createTarget", {"url": "about:blank"})["targetId"]
        return Page(self, target, self.call("Target.attachToTarget", {"targetId": target, "flatten": True})["sessionId"])


class Page:
    def __init__(self, browser, target, session):
        self.browser, self.target, self.session = browser, target, session
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(domain + ".enable")

    def call(self, method, params=None, limit=LIMIT):
        return self.browser.call(method, params, self.session, limit)

    def open(self, url):
        answer = self.call("Page.navigate", {"url": url})
        if answer.get("errorText"):
            raise BrowserError("%s: %s" % (url, answer["errorText"]))
        self.until("document.readyState === 'complete'")

    def js(self, code, limit=LIMIT):
        """Value of an expression; a promise is awaited."""
        answer = self.call("Runtime.evaluate", {"expression": code, "awaitPromise": True, "returnByValue": True}, limit)
        if "exceptionDetails" in answer:
            details = answer["exceptionDetails"]
            raise BrowserError(details.get("exception", {}).get("description") or details.get("text"))
        return answer["result"].get("value")

    def until(self, code, limit=LIMIT, moves="0"):
        """Value of an expression once it is true. The limit starts anew when the value of `moves` is another."""
        last, end = None, 0
        while True:
            value, now = self.js("[%s, %s]" % (code, moves))
            if value:
                return value
            if now != last:
                last, end = now, time.monotonic() + limit
            if time.monotonic() > end:
                raise BrowserError("nothing new within %d s, waiting for: %s" % (limit, code))
            time.sleep(0.05)

    def screenshot(self, path):
        data = self.call("Page.captureScreenshot", {"format": "png"})["data"]
        with open(path, "wb") as f:
            f.write(base64.b64decode(data))

    def complaints(self):
        """Errors that the page or the browser told about since the last call: text."""
        self.js("0")    # what happened before is in events after this
        out = []
        for e in self.browser.events:
            p = e.get("params", {})
            if e.get("sessionId") != self.session:
                continue
            if e["method"] == "Runtime.exceptionThrown":
                d = p["exceptionDetails"]
                out.append("exception: " + str(d.get("exception", {}).get("description") or d.get("text")))
            elif e["method"] == "Log.entryAdded" and p["entry"]["level"] == "error":
                out.append("log: %s %s" % (p["entry"]["text"], p["entry"].get("url", "")))
            elif e["method"] == "Runtime.consoleAPICalled" and p["type"] in ("error", "assert"):
                out.append("console: " + " ".join(str(a.get("value", a.get("description"))) for a in p["args"]))
        self.browser.events = [e for e in self.browser.events if e.get("sessionId") != self.session]
        return out

    def close(self):
        self.browser.call("Target.closeTarget", {"targetId": self.target})
