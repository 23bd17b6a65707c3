#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""serve.py DIR [PORT]: serves a published title on 127.0.0.1 (PORT 0, the default: any free one) and prints its
address. What a real server needs too: the content types of segments and manifests, ranges (single files, I-frame
playlists), CORS for players on other pages, and the caching that fits: manifests short, the rest for ever."""
import http.server
import os
import re
import sys
import urllib.parse

TYPES = {".m3u8": "application/vnd.apple.mpegurl", ".mpd": "application/dash+xml", ".m4s": "video/iso.segment",
         ".mp4": "video/mp4", ".ts": "video/mp2t", ".aac": "audio/aac", ".ac3": "audio/ac3", ".ec3": "audio/eac3",
         ".vtt": "text/vtt", ".json": "application/json", ".html": "text/html; charset=utf-8", ".jpg": "image/jpeg", ".png": "image/png"}
ROOT_FILES = {"master.m3u8", "master-ts.m3u8", "manifest.mpd", "presentation.json", "player.html"}
RANGE = re.compile(r"bytes=(\d*)-(\d*)$")
PIECE = 256 * 1024


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def find(self):
        """The file that is asked for, never one outside the folder; None: there is none."""
        path = urllib.parse.unquote(urllib.parse.urlsplit(self.path).path).lstrip("/")
        if path == "":
            path = "player.html"
        real = os.path.realpath(os.path.join(self.folder, path))
        inside = real.startswith(self.folder + os.sep) and "\0" not in path
        return (path, real) if inside and os.path.isfile(real) else None

    def common(self, status, length):
        self.send_response(status)
        self.send_header("Access-Control-Allow-Origin", "*")
        self.send_header("Access-Control-Allow-Headers", "Range")
        self.send_header("Access-Control-Expose-Headers", "Content-Length, Content-Range")
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(length))

    def refuse(self, status, size=None):
        self.common(status, 0)
        if size is not None:
            self.send_header("Content-Range", "bytes */%d" % size)
        self.end_headers()

    def wanted(self, size):
        """First byte and one after the last; None: not satisfiable. What is not understood is ignored (RFC 9110)."""
        found = RANGE.match(self.headers.get("Range", ""))
        if not found or found.groups() == ("", ""):
            return 0, size
        first, last = found.groups()
        if first == "":
            begin, end = max(0, size - int(last)), size
        else:
            begin, end = int(first), min(size, int(last) + 1) if last else size
            if last and int(last) < begin:
                return 0, size
        return (begin, end) if begin < end else None

    def do_OPTIONS(self):
        self.common(204, 0)
        self.send_header("Access-Control-Allow-Methods", "GET, HEAD, OPTIONS")
        self.end_headers()

    def do_HEAD(self):
        self.do_GET(body=False)

    def do_GET(self, body=True):
        found = self.find()
        if not found:
            return self.refuse(404)
        name, real = found
        with open(real, "rb") as f:
            size = os.fstat(f.fileno()).st_size
            span = self.wanted(size)
            if span is None:
                return self.refuse(416, size)
            begin, end = span
            partial = (begin, end) != (0, size)
            self.common(206 if partial else 200, end - begin)
            if partial:
                self.send_header("Content-Range", "bytes %d-%d/%d" % (begin, end - 1, size))
            self.send_header("Content-Type", TYPES.get(os.path.splitext(name)[1], "application/octet-stream"))
            short = name in ROOT_FILES
            self.send_header("Cache-Control", "no-cache" if short else "public, max-age=31536000, immutable")
            self.end_headers()
            f.seek(begin)
            while body and begin < end:
                piece = f.read(min(PIECE, end - begin))
                if not piece:
                    self.close_connection = True
                    break
                self.wfile.write(piece)
                begin += len(piece)

    def log_message(self, *args):
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, address):
        """A player that breaks a download off is nothing to report."""
        if not isinstance(sys.exc_info()[1], (ConnectionError, TimeoutError)):
            super().handle_error(request, address)


def main():
    if len(sys.argv) not in (2, 3):
        print(__doc__, file=sys.stderr)
        return 2
    folder = os.path.realpath(sys.argv[1])
    if not os.path.isdir(folder):
        print("serve.py: no folder %s" % sys.argv[1], file=sys.stderr)
        return 1
    handler = type("Served", (Handler,), {"folder": folder})
    try:
        server = Server(("127.0.0.1", int(sys.argv[2]) if len(sys.argv) == 3 else 0), handler)
    except (OSError, ValueError, OverflowError) as error:
        print("serve.py: %s" % error, file=sys.stderr)
        return 1
    print("http://127.0.0.1:%d/%s" % (server.server_port,
          "player.html" if os.path.isfile(os.path.join(folder, "player.html")) else ""), flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass
    return 0


sys.exit(main())
