# SPDX-License-Identifier: LGPL-2.1-or-later
"""A web server on loopback as a title needs it: byte ranges, CORS, the right media types. It notes what was asked."""
import http.server
import os
import re
import threading
import urllib.parse

TYPES = {".m3u8": "application/vnd.apple.mpegurl", ".mpd": "application/dash+xml", ".m4s": "video/iso.segment",
         ".mp4": "video/mp4", ".ts": "video/mp2t", ".aac": "audio/aac", ".json": "application/json", ".js": "text/javascript",
         ".html": "text/html; charset=utf-8", ".vtt": "text/vtt"}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def file(self):
        """Below one of the folders that are served, by the first part of the path; None: no such thing."""
        parts = urllib.parse.unquote(urllib.parse.urlsplit(self.path).path).strip("/").split("/")
        root = self.server.roots.get(parts[0])
        if root is None or any(p in ("", ".", "..") for p in parts):
            return None
        path = os.path.join(root, *parts[1:])
        return path if os.path.isfile(path) else None

    def head(self, status, length, kind=None, more=()):
        self.send_response(status)
        self.send_header("Access-Control-Allow-Origin", "*")
        self.send_header("Access-Control-Expose-Headers", "Content-Length, Content-Range")
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Cache-Control", "no-store")
        self.send_header("Content-Length", str(length))
        if kind:
            self.send_header("Content-Type", kind)
        for name, value in more:
            self.send_header(name, value)
        self.end_headers()

    def do_OPTIONS(self):
        self.head(204, 0, more=[("Access-Control-Allow-Headers", "Range"), ("Access-Control-Allow-Methods", "GET, HEAD")])

    def do_HEAD(self):
        self.do_GET(body=False)

    def do_GET(self, body=True):
        if self.path == "/favicon.ico":
            return self.head(204, 0)
        path = self.file()
        if path is None:
            self.server.missing.append(self.path)
            return self.head(404, 0)
        size, wanted = os.path.getsize(path), self.headers.get("Range")
        first, last, status, more = 0, size - 1, 200, []
        m = re.fullmatch(r"bytes=(\d+)-(\d*)", wanted or "")
        if m:
            first, last = int(m.group(1)), min(int(m.group(2) or size - 1), size - 1)
            if first > last:
                return self.head(416, 0, more=[("Content-Range", "bytes */%d" % size)])
            status, more = 206, [("Content-Range", "bytes %d-%d/%d" % (first, last, size))]
        self.server.asked.append((urllib.parse.urlsplit(self.path).path, status))
        try:
            self.head(status, last - first + 1, TYPES.get(os.path.splitext(path)[1], "application/octet-stream"), more)
            if body:
                with open(path, "rb") as f:
                    f.seek(first)
                    self.wfile.write(f.read(last - first + 1))
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True    # a player that changes its mind


class Server(http.server.ThreadingHTTPServer):
    """with Server(title=DIR, players=DIR) as s: s.url + "/title/master.m3u8" """
    daemon_threads = True

    def __init__(self, **roots):
        super().__init__(("127.0.0.1", 0), Handler)
        self.roots, self.asked, self.missing = roots, [], []
        self.url = "http://127.0.0.1:%d" % self.server_port

    def handle_error(self, *_):
        pass

    def __enter__(self):
        self.thread = threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.shutdown()
        self.thread.join()
        self.server_close()
