#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""server.py DIR: two HTTPS servers and an HTTP one on free ports of the loopback, until stdin ends.

Makes DIR/ca.pem, DIR/other.pem (an authority that signed nothing here) and DIR/client.pem with openssl, then prints
"HTTP HTTPS HTTPS2", the ports. HTTPS2 asks for a client certificate.

    /echo           the request: method, path, headers, an empty line, body
    /wait/MS        200 after so many milliseconds
    /drip           a byte each 50 ms, without end
    /bytes/N        N bytes with Content-Length; /chunks/N without
    /status/N       that status
    /cut            closes in the middle of the body
    /to/STATUS/URL  a redirect
    /sum            size and CRC-32 of the body
    /early/STATUS   answers without reading the body, and closes; /early/STATUS/MS after so long
    /allowed/STATUS the same when the body has begun: the client heard "100 Continue"
    /hang           reads all and never answers; /deaf does not read the body either
    /no100          heeds no Expect; /417 refuses it
    /bye            closes the connection behind the answer, without a word of it
    /once           as /sum, but a connection that was used before is reset in the middle of the body
    /reset/N        a connection reset after N bytes of a body
    /headers/N      N header lines of 1,000 bytes
    /file/NAME?size=N&plan=a,b&tag=T  a file for ranges; byte i is i % 251. What its n-th request meets is the n-th of
                    plan, then "ok": a status; cut, reset, hang; short (fewer bytes than asked for, rightly told);
                    whole; wrong (another range); new (another ETag from here on), newer (the same, heeding no If-Match); slow.
                    tag: weak, none, date
    /log/NAME       a line for each request of that file: Range, If-Match, X-Api-Key
    /most           how many requests of /wait there were at a time since it was asked last
"""
import http.server
import os
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time
import urllib.parse
import zlib


def openssl(*args):
    subprocess.run(["openssl", *args], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def certificates(d):
    # With all that a strict reader of RFC 5280 asks for, as Python's from 3.13 on.
    def authority(name):
        openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=" + name, "-addext",
                "keyUsage=critical,keyCertSign,cRLSign", "-keyout", "%s/%s.key" % (d, name), "-out", "%s/%s.pem" % (d, name))

    def leaf(name, extension):
        with open("%s/%s.ext" % (d, name), "w", encoding="ascii") as f:
            f.write(extension + "authorityKeyIdentifier=keyid\n")
        openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=" + name, "-keyout", "%s/%s.key" % (d, name),
                "-out", "%s/%s.csr" % (d, name))
        openssl("x509", "-req", "-in", "%s/%s.csr" % (d, name), "-CA", d + "/ca.pem", "-CAkey", d + "/ca.key",
                "-CAcreateserial", "-days", "2", "-extfile", "%s/%s.ext" % (d, name), "-out", "%s/%s.crt" % (d, name))
        with open("%s/%s.pem" % (d, name), "w", encoding="ascii") as f:
            for part in ("key", "crt"):
                with open("%s/%s.%s" % (d, name, part), encoding="ascii") as g:
                    f.write(g.read())

    authority("ca")
    authority("other")
    leaf("server", "subjectAltName=DNS:localhost\n")
    leaf("client", "extendedKeyUsage=clientAuth\n")


class Waits:
    lock = threading.Lock()
    now = most = 0

    @classmethod
    def step(cls, by):
        with cls.lock:
            cls.now += by
            cls.most = max(cls.most, cls.now)


class Files:
    """What was asked of each file of /file so far."""
    lock = threading.Lock()
    logs = {}
    new = set()

    @classmethod
    def note(cls, name, line):
        with cls.lock:
            log = cls.logs.setdefault(name, [])
            log.append(line)
            return len(log)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    served = 0

    def log_message(self, *args):
        pass

    def send(self, status, body, headers=()):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def handle_expect_100(self):
        if self.path == "/417":
            self.send(417, b"")
            return False
        return self.path == "/no100" or super().handle_expect_100()

    def reset(self):
        self.wfile.flush()
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.close_connection = True

    def before_body(self, parts):
        """Answers that do not wait for it; True: that was all."""
        if parts[0] == "early":
            if len(parts) > 2:
                time.sleep(int(parts[2]) / 1000)
            self.send(int(parts[1]), b"early")
            self.close_connection = True
        elif parts[0] == "allowed":
            self.rfile.read(1)
            self.send(int(parts[1]), b"early")
            self.close_connection = True
        elif parts[0] == "deaf":
            time.sleep(5)
            self.close_connection = True
        elif parts[0] == "once" and self.served > 1:
            self.rfile.read(min(1000, int(self.headers.get("Content-Length") or 0)))
            self.reset()
        else:
            return False
        return True

    def file(self, name):
        query = dict(urllib.parse.parse_qsl(self.path.partition("?")[2]))
        size = int(query.get("size", "0"))
        asked = self.headers.get("Range") or ""
        n = Files.note(name, " ".join(self.headers.get(h) or "-" for h in ("Range", "If-Match", "X-Api-Key")))
        plan = query.get("plan", "").split(",")
        fate = plan[n - 1] if n <= len(plan) and plan[n - 1] else "ok"
        if fate in ("new", "newer"):
            Files.new.add(name)
        version = "v2" if name in Files.new else "v1"
        tag = {"weak": ("ETag", 'W/"%s"' % version), "none": None,
               "date": ("Last-Modified", "Sun, 0%s Nov 2026 00:00:00 GMT" % version[1])}.get(
                   query.get("tag"), ("ETag", '"%s"' % version))
        wanted = self.headers.get("If-Match")
        if fate.isdigit():
            self.send(int(fate), b"why", [("Retry-After", "0")])
        elif fate == "hang":
            time.sleep(5)
            self.close_connection = True
        elif fate != "newer" and wanted and wanted != tag[1]:
            self.send(412, b"changed")
        else:
            self.serve(fate, size, asked, [tag] if tag else [])

    def serve(self, fate, size, asked, headers):
        first, last = (int(x) for x in asked[len("bytes="):].split("-"))
        if fate == "slow":
            time.sleep(0.1)
        if fate == "whole":
            first, last = 0, size - 1
        elif first >= size:
            self.send(416, b"", headers + [("Content-Range", "bytes */%d" % size)])
            return
        last = min(last, size - 1)
        if fate == "short":
            last = (first + last) // 2
        if fate == "wrong":
            first, last = first + 1, last + 1
        body = (bytes(range(251)) * ((last - first) // 251 + 2))[first % 251:][:last - first + 1]
        if fate != "whole":
            headers = headers + [("Content-Range", "bytes %d-%d/%d" % (first, last, size))]
        self.send_response(200 if fate == "whole" else 206)
        for name, value in headers + [("Content-Length", str(len(body)))]:
            self.send_header(name, value)
        self.end_headers()
        if fate in ("cut", "reset"):
            body = body[:len(body) // 2]
        self.wfile.write(body)
        if fate == "cut":
            self.close_connection = True
        elif fate == "reset":
            time.sleep(0.2) # else what was sent is lost with it
            self.reset()

    def answer(self):
        self.served += 1
        size = int(self.headers.get("Content-Length") or 0)
        parts = self.path.split("?")[0].split("/", 3)[1:]
        if self.before_body(parts):
            return
        body = self.rfile.read(size)
        if parts[0] == "echo":
            peer = self.connection.getpeercert() if isinstance(self.connection, ssl.SSLSocket) else None
            lines = ["%s %s" % (self.command, self.path), "peer: %s" % bool(peer)]
            lines += ["%s: %s" % (k.lower(), v) for k, v in self.headers.items()]
            self.send(200, "\n".join(lines + ["", ""]).encode() + body, [("X-Port", str(self.client_address[1]))])
        elif parts[0] == "wait":
            Waits.step(1)
            time.sleep(int(parts[1]) / 1000)
            Waits.step(-1)
            self.send(200, b"late")
        elif parts[0] == "most":
            self.send(200, b"%d" % Waits.most)
            Waits.most = 0
        elif parts[0] in ("sum", "once", "no100", "417"):
            self.send(200, b"%s %d %08x %s" % (self.command.encode(), len(body), zlib.crc32(body),
                                               self.headers.get("Expect", "-").encode()))
        elif parts[0] == "hang":
            time.sleep(5)
            self.close_connection = True
        elif parts[0] == "file":
            self.file(parts[1])
        elif parts[0] == "log":
            self.send(200, "\n".join(Files.logs.get(parts[1], [])).encode())
        elif parts[0] == "bye":
            self.send(200, b"bye")
            self.close_connection = True
        elif parts[0] == "reset":
            self.send_response(200)
            self.send_header("Content-Length", "1000000")
            self.end_headers()
            self.wfile.write(bytes(int(parts[1])))
            self.reset()
        elif parts[0] == "headers":
            self.send(200, b"", [("X-%d" % i, "v" * 1000) for i in range(int(parts[1]))])
        elif parts[0] == "drip":
            self.send_response(200)
            self.send_header("Content-Length", "100000")
            self.end_headers()
            while True:
                self.wfile.write(b".")
                self.wfile.flush()
                time.sleep(0.05)
        elif parts[0] == "bytes":
            self.send(200, bytes(int(parts[1])))
        elif parts[0] == "chunks":
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            left = int(parts[1])
            while left:
                n = min(left, 1000)
                self.wfile.write(b"%x\r\n" % n + bytes(n) + b"\r\n")
                left -= n
            self.wfile.write(b"0\r\n\r\n")
        elif parts[0] == "status":
            self.send(int(parts[1]), b"why", [("Retry-After", "7")])
        elif parts[0] == "cut":
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(b"half")
            self.close_connection = True
        elif parts[0] == "to":
            self.send(int(parts[1]), b"moved", [("Location", self.path.split("/", 3)[3])])
        else:
            self.send(404, b"no")

    def do_GET(self):
        try:
            self.answer()
        except OSError:
            self.close_connection = True

    do_POST = do_PUT = do_DELETE = do_HEAD = do_GET


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    tls = None

    def finish_request(self, request, client_address):
        try: # the handshake on the thread of the connection, so that a bad one stops nothing
            if self.tls:
                request = self.tls.wrap_socket(request, server_side=True)
            super().finish_request(request, client_address)
            if self.tls: # says goodbye, so that what comes too late is written to a closed connection
                request.close()
        except OSError:
            pass


def serve(d, tls, client):
    server = Server(("127.0.0.1", 0), Handler)
    if tls:
        server.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server.tls.load_cert_chain(d + "/server.pem")
        if client:
            server.tls.load_verify_locations(d + "/ca.pem")
            server.tls.verify_mode = ssl.CERT_OPTIONAL
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_address[1]


def main():
    d = sys.argv[1]
    certificates(d)
    print(serve(d, False, False), serve(d, True, False), serve(d, True, True), flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
