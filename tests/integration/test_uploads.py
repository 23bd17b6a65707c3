#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""examples/upload-server from outside: its protocol byte by byte, clients that are not ours, kills, many at a time, titles.

    test_uploads.py wire|clients|kill|load|titles [case...]

CI_FULL=1: 500 kills, 2,000 slow uploads. Exit 77 where there is no upload-server.
"""
import base64
import concurrent.futures
import contextlib
import glob
import hashlib
import http.client
import json
import os
import random
import re
import shlex
import shutil
import socket
import struct
import subprocess
import sys
import threading
import time
import zlib

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from clips import AAC, X264, clip as define, lavfi, run as make_clip  # noqa: E402
from titles import BUILD, FULL, SANITIZED, Cases, Skip, check, clip  # noqa: E402
from uploads import SERVER, TYPE, Client, Server, eventually, noise, path_of, sha256  # noqa: E402

NO_PUBLISH = "--no-publish"
MIB = 1 << 20


def server(folder, *options, **more):
    return Server(os.path.join(folder, "data"), *(options or (NO_PUBLISH,)), **more)


# ---- wire: what each answer is, on a socket ----

def whole(folder):
    data = noise(3 * MIB + 17)
    with server(folder) as s:
        c = s.client()
        a = c.ask("OPTIONS", "/files/", version=None)
        assert a.status in (200, 204) and a["Tus-Version"] == "1.0.0" and a["Tus-Max-Size"] is None, a
        for word in ("creation", "creation-with-upload", "creation-defer-length", "checksum", "checksum-trailer", "termination",
                     "concatenation", "concatenation-unfinished"):
            assert word in a["Tus-Extension"].split(","), a
        path = path_of(c.create(len(data), {"filename": b"a b.mp4", "empty": b""}))
        assert c.head(path).offset == 0
        cut = MIB + 5
        a = c.patch(path, 0, data[:cut])
        assert a.status == 204 and a.offset == cut and not a.body, a
        a = c.head(path)
        assert a.offset == cut and a["Upload-Length"] == str(len(data)) and "no-store" in a["Cache-Control"], a
        assert a["Upload-Metadata"] == "filename YSBiLm1wNA==,empty", a
        for wrong in (cut - 1, cut + 1):
            a = c.patch(path, wrong, b"x")
            assert a.status == 409, a
        assert c.head(path).offset == cut
        assert c.get(path).status in (403, 404, 409, 425), "an unfinished upload was given out"
        a = c.patch(path, cut, data[cut:])
        assert a.status == 204 and a.offset == len(data), a
        a = c.patch(path, len(data), b"")        # the answer was lost: asked again
        assert a.status == 204 and a.offset == len(data), a
        a = c.get(path)
        assert a.status == 200 and a.body == data, a
        a = c.get(path, {"Range": "bytes=5-99"})
        assert a.status == 206 and a.body == data[5:100] and a["Content-Range"] == "bytes 5-99/%d" % len(data), a
        a = c.delete(path)
        assert a.status == 204, a
        assert c.head(path).status in (404, 410)
        assert s.stop() == 0, s.tail()


def lengths(folder):
    """U03, U16: what a body brings counts, not what headers say."""
    with server(folder, NO_PUBLISH, "--max-size", str(2 * MIB)) as s:
        c = s.client()
        assert c.ask("OPTIONS", "/files/", version=None)["Tus-Max-Size"] == str(2 * MIB)
        assert c.create(2 * MIB + 1).status == 413
        path = path_of(c.create(1000))
        a = c.patch(path, 0, iter([noise(900), noise(900, 1)]), chunked=True, headers={"Transfer-Encoding": "chunked"})
        assert a.status == 413, a
        assert c.head(path).offset <= 1000
        path = path_of(c.create())                          # told later
        a = c.head(path)
        assert a["Upload-Defer-Length"] == "1" and not a["Upload-Length"], a
        assert c.patch(path, 0, b"abc").status == 204
        assert c.patch(path, 3, b"de", {"Upload-Length": "4"}).status in (400, 413)
        assert c.patch(path, 3, b"d", {"Upload-Length": "4"}).offset == 4
        assert c.get(path).body == b"abcd"
        a = c.create(0)
        assert a.status == 201 and c.get(path_of(a)).body == b"", a
        a = c.create(6, body=b"abc")
        assert a.status == 201 and a.offset == 3, a
        assert c.patch(path_of(a), 3, b"def").offset == 6
        for name, value in (("Upload-Length", "-1"), ("Upload-Length", "1x"), ("Upload-Length", "99999999999999999999"),
                            ("Upload-Defer-Length", "2")):
            assert c.ask("POST", "/files/", {name: value}).status == 400, (name, value)
        assert c.ask("POST", "/files/", {"Upload-Length": "1"}, version="0.2.2").status == 412
        assert c.ask("PATCH", path, {"Upload-Offset": "4", "Content-Type": "text/plain"}, body=b"").status == 415


def started(folder):
    """Where nothing can be written the start fails, not each upload."""
    s = Server(os.path.join(folder, "a", "b"), NO_PUBLISH)
    s.log = os.path.join(folder, "upload-server.log")       # beside a folder that is not there yet it cannot be
    with s:
        assert s.client().create(0).status == 201
        done = subprocess.run([SERVER, "--listen", "127.0.0.1:%d" % s.port, "--data", os.path.join(folder, "other")],
                              stdin=subprocess.DEVNULL, timeout=60, capture_output=True, text=True, check=False)
        assert done.returncode == 1 and not done.stdout and "Address already in use" in done.stderr, done
        assert s.stop() == 0, s.tail()
    for data in ("/proc/none", os.path.join(folder, "file")):
        with open(os.path.join(folder, "file"), "w", encoding="ascii"):
            done = subprocess.run([SERVER, "--listen", "127.0.0.1:0", "--data", data], stdin=subprocess.DEVNULL, timeout=60,
                                  capture_output=True, text=True, check=False)
        assert done.returncode == 1 and not done.stdout and data in done.stderr, done


def hangs(folder):
    """U05, U14: a connection that hangs does not hold its upload, and what it brought counts."""
    data = noise(6 * MIB)
    with server(folder) as s:
        c = s.client()
        path = path_of(c.create(len(data)))

        def begin(size):
            sock = socket.create_connection(("127.0.0.1", s.port))
            sock.sendall(("PATCH %s HTTP/1.1\r\nHost: x\r\nTus-Resumable: 1.0.0\r\nUpload-Offset: 0\r\nContent-Type: %s\r\n"
                          "Content-Length: %d\r\n\r\n" % (path, TYPE, len(data))).encode() + data[:size])
            return sock
        old = begin(2 * MIB)
        with eventually() as again:
            # HEAD takes the upload over: what was read until then is told, and stays
            while again():
                offset = c.head(path).offset
                if offset:
                    break
        assert offset <= 2 * MIB
        a = c.patch(path, offset, data[offset:3 * MIB])
        assert a.status == 204 and a.offset == 3 * MIB, a
        old.sendall(b"\0" * MIB)                            # late bytes of the old one count for nothing
        old.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        old.close()
        assert c.head(path).offset == 3 * MIB
        a = c.patch(path, 3 * MIB, data[3 * MIB:])
        assert a.offset == len(data) and c.get(path).body == data, a
        # a client that is gone in the middle of a body
        path = path_of(c.create(len(data)))
        gone = begin(MIB)
        time.sleep(0.2)
        gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        gone.close()
        with eventually() as again:
            while again():
                offset = c.head(path).offset
                if offset:
                    break
        assert c.patch(path, offset, data[offset:]).offset == len(data)
        assert c.get(path).body == data


def leaves(folder):
    """U14: the end of a connection that comes with its last bytes is seen at once, and not when it times out."""
    with server(folder) as s:
        c = s.client()
        path = path_of(c.create(500000))
        with socket.create_connection(("127.0.0.1", s.port), timeout=30) as sock:
            sock.sendall(("PATCH %s HTTP/1.1\r\nHost: x\r\nTus-Resumable: 1.0.0\r\nUpload-Offset: 0\r\nContent-Type: %s\r\n"
                          "Content-Length: 500000\r\n\r\n" % (path, TYPE)).encode() + noise(1000))
            sock.shutdown(socket.SHUT_WR)
            assert not sock.recv(65536)
        assert c.head(path).offset == 1000
        # what is whole is answered all the same
        for framed in (b"Content-Length: 3\r\n\r\nabc", b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"):
            path = path_of(c.create(3))
            with socket.create_connection(("127.0.0.1", s.port), timeout=60) as sock:
                sock.sendall(("PATCH %s HTTP/1.1\r\nHost: x\r\nTus-Resumable: 1.0.0\r\nUpload-Offset: 0\r\n"
                              "Content-Type: %s\r\n" % (path, TYPE)).encode() + framed)
                sock.shutdown(socket.SHUT_WR)
                assert sock.recv(65536).startswith(b"HTTP/1.1 204")
            assert c.get(path).body == b"abc"
        with contextlib.ExitStack() as socks:               # and its connection is closed soon; many, as it is a race
            many = [socks.enter_context(socket.create_connection(("127.0.0.1", s.port), timeout=30)) for _ in range(100)]
            for sock in many:
                sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                sock.shutdown(socket.SHUT_WR)
            for sock in many:
                back = b""
                while piece := sock.recv(65536):
                    back += piece
                assert back.startswith(b"HTTP/1.1 200") and back.endswith(b"</html>\n"), back[-200:]


def checksums(folder):
    """U08, with a trailer as well."""
    with server(folder) as s:
        c = s.client()
        data = noise(300000)

        def sums(name, of):
            digest = {"sha1": hashlib.sha1, "sha256": hashlib.sha256, "md5": hashlib.md5}[name](of).digest()
            return "%s %s" % (name, base64.b64encode(digest).decode())
        path = path_of(c.create(len(data)))
        a = c.patch(path, 0, data[:1000], {"Upload-Checksum": sums("sha1", b"other")})
        assert a.status == 460 and c.head(path).offset == 0, a
        assert c.patch(path, 0, data[:1000], {"Upload-Checksum": "sha3 AAAA"}).status == 400
        at = 0
        for name in ("sha1", "sha256", "md5"):
            a = c.patch(path, at, data[at:at + 50000], {"Upload-Checksum": sums(name, data[at:at + 50000])})
            at += 50000
            assert a.status == 204 and a.offset == at, a

        def trailed(right):
            sock = socket.create_connection(("127.0.0.1", s.port))
            piece = data[at:]
            sock.sendall(("PATCH %s HTTP/1.1\r\nHost: x\r\nTus-Resumable: 1.0.0\r\nUpload-Offset: %d\r\nContent-Type: %s\r\n"
                          "Transfer-Encoding: chunked\r\nTrailer: Upload-Checksum\r\n\r\n%x\r\n"
                          % (path, at, TYPE, len(piece))).encode() + piece +
                         ("\r\n0\r\nUpload-Checksum: %s\r\n\r\n" % sums("sha1", piece if right else b"")).encode())
            response = http.client.HTTPResponse(sock)
            response.begin()
            response.read()
            sock.close()
            return response.status
        assert trailed(False) == 460
        assert c.head(path).offset == at
        assert trailed(True) == 204
        assert c.get(path).body == data


def parts(folder):
    """U18."""
    with server(folder) as s:
        c = s.client()
        pieces = [noise(70000), noise(MIB, 1), noise(3, 2)]
        paths = [path_of(c.create(len(p), headers={"Upload-Concat": "partial"})) for p in pieces]
        assert c.patch(paths[0], 0, pieces[0]).status == 204
        assert c.patch(paths[2], 0, pieces[2]).status == 204
        assert c.patch(paths[1], 0, pieces[1][:5]).status == 204

        def final(of, **more):
            return c.ask("POST", "/files/", {"Upload-Concat": "final;" + " ".join(of), **more})
        early = final(paths)                                # waits for its parts
        assert early.status == 201, early
        assert not c.head(path_of(early))["Upload-Offset"]
        assert c.patch(paths[1], 5, pieces[1][5:]).status == 204
        with eventually() as again:
            while again():
                if c.head(path_of(early))["Upload-Offset"] == str(sum(len(p) for p in pieces)):
                    break
        assert c.get(path_of(early)).body == b"".join(pieces)
        a = final([paths[2], "http://127.0.0.1:%d%s" % (s.port, paths[0]), paths[2]])
        path = path_of(a)
        assert c.get(path).body == pieces[2] + pieces[0] + pieces[2]
        a = c.head(path)
        assert a["Upload-Concat"].startswith("final;") and a["Upload-Length"] == str(70006), a
        assert c.patch(path, 0, b"x").status == 403
        for wrong in (["/files/../../etc/passwd"], ["/files/%2e%2e/x"], ["/other/" + a["Upload-Concat"][-32:]], ["/files/none"]):
            assert 400 <= final(wrong).status < 500, (wrong, final(wrong))
        whole_file = path_of(c.create(3))
        assert c.patch(whole_file, 0, b"abc").status == 204
        assert 400 <= final([whole_file]).status < 500      # no part


def refusals(folder):
    """U02, U04, U19, U21."""
    with server(folder) as s:
        c = s.client()
        path = path_of(c.create(5))
        for target in ("/files/../main.c", "/files/%2e%2e/x", "/files/a/b", "/files/" + "a" * 65, "/files/a%00b", "/files/.x"):
            assert c.head(target).status in (400, 404), target
        a = c.ask("POST", path, {"X-HTTP-Method-Override": "PATCH", "Upload-Offset": "0", "Content-Type": TYPE}, body=b"abcde")
        assert a.status == 204 and a.offset == 5, a
        a = c.ask("PATCH", path, {"Upload-Offset": "5", "Content-Type": TYPE}, body=b"", version=None)
        assert a.status == 412 and a["Tus-Version"] == "1.0.0", a
        bad = base64.b64encode(b"a\r\nX-Evil: 1\0../../x").decode()
        a = c.ask("POST", "/files/", {"Upload-Length": "1", "Upload-Metadata": "filename " + bad})
        assert a.status == 201 and not a["X-Evil"], a
        a2 = c.head(path_of(a))
        assert a2["Upload-Metadata"] == "filename " + bad and not a2["X-Evil"], a2
        assert c.ask("POST", "/files/", {"Upload-Length": "1", "Upload-Metadata": "name not!base64"}).status == 400
        a = c.ask("OPTIONS", "/files/", {"Origin": "https://a.example", "Access-Control-Request-Method": "PATCH",
                                         "Access-Control-Request-Headers": "upload-offset"}, version=None)
        assert a["Access-Control-Allow-Origin"] in ("*", "https://a.example"), a
        assert "PATCH" in a["Access-Control-Allow-Methods"] and "upload-offset" in a["Access-Control-Allow-Headers"].lower(), a
        a = c.head(path, headers=None)
        assert c.ask("HEAD", path, {"Origin": "https://a.example"})["Access-Control-Expose-Headers"], a
        assert sorted(os.listdir(folder)) == ["data", "upload-server.log"], os.listdir(folder)


LAST = "GET /files/last HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


def raw(port, text):
    """Statuses of all that comes back on a connection of its own, which LAST ends if nothing did before."""
    back = b""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as sock:
        sock.sendall((text + LAST).encode())
        with contextlib.suppress(ConnectionError):          # closed with bytes that nobody read
            while piece := sock.recv(65536):
                back += piece
    return statuses(back)


def statuses(back):
    return [int(n) for n in re.findall(rb"HTTP/1\.1 (\d+)", back)]


def framing(folder):
    """U19: no body is taken for a request, whatever becomes of it, and connections stay where they can."""
    inner = "GET / HTTP/1.1\r\nHost: x\r\n\r\n"     # 200, and LAST is 404
    chunked = "0\r\n\r\n" + inner
    common = "Host: x\r\nTus-Resumable: 1.0.0\r\n"
    patch = common + "Content-Type: %s\r\nUpload-Offset: 7\r\n" % TYPE
    with server(folder) as s:
        c = s.client()
        path = path_of(c.create(1000))
        for line, headers in (("PATCH " + path, patch), ("POST /files/", common), ("DELETE /files/none", common),
                              ("GET /files/none", common), ("HEAD " + path, common), ("OPTIONS /files/", common),
                              ("GET /", common), ("PUT /", common), ("GET /titles/a/b", common)):
            back = raw(s.port, "%s HTTP/1.1\r\n%sContent-Length: %d\r\n\r\n%s" % (line, headers, len(inner), inner))
            # LAST is answered where the body was read, else the connection is over
            assert len(back) <= 2 and back[1:] in ([], [404]), (line, back)
        for line in ("PATCH " + path, "HEAD " + path, "GET /"):
            for doubt in ("Content-Length: %d\r\nTransfer-Encoding: chunked" % len(chunked), "Transfer-Encoding: gzip, chunked",
                          "Content-Length: 0\r\nContent-Length: %d" % len(chunked), "Content-Length : %d" % len(chunked),
                          "Content-Length:\r\n %d" % len(chunked), "Content-Length: 0\r\n %d" % len(chunked),
                          "X: a\rContent-Length: %d" % len(chunked), "Transfer-Encoding : chunked",
                          "Transfer-Encoding:\r\n\tchunked", "Transfer-Encoding: chunked\r\nTransfer-Encoding: gzip"):
                back = raw(s.port, "%s HTTP/1.1\r\n%s%s\r\n\r\n%s" % (line, patch, doubt, chunked))
                # libmicrohttpd 1.0 understands a folded line: then what follows the body is answered
                behind = [200, 404] if "coding" in doubt else [404]
                known = "\r\n" in doubt and back[1:] in ([], behind)
                assert back == [400] or known, (line, doubt, back)
            back = raw(s.port, "%s HTTP/1.0\r\n%sTransfer-Encoding: chunked\r\nConnection: keep-alive\r\n\r\n%s" % (line, patch, chunked))
            assert back == [400], (line, back)
            for hosts in ("", "Host: x\r\nHost: x\r\n"):       # RFC 9112 3.2
                assert raw(s.port, "%s HTTP/1.1\r\n%sTus-Resumable: 1.0.0\r\n\r\n" % (line, hosts)) == [400], (line, hosts)
        assert raw(s.port, "GET / HTTP/1.0\r\n\r\n") == [200]
        # what is answered without a body leaves the connection as it is
        for line in ("GET /", "OPTIONS /files/", "HEAD " + path, "POST /files/", "DELETE /files/none"):
            back = raw(s.port, ("%s HTTP/1.1\r\n%sUpload-Length: 5\r\n\r\n" % (line, common)) * 3)
            assert len(back) == 4, (line, back)
        # and so does a refused body, which its client may send to the end, also where nobody knows how far that is
        back = raw(s.port, "PATCH %s HTTP/1.1\r\n%sTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n"
                   % (path, patch, len(inner), inner))
        assert back == [409, 404], back
        sock = socket.create_connection(("127.0.0.1", s.port))
        for _ in range(2):
            sock.sendall(("PATCH %s HTTP/1.1\r\n%sContent-Length: %d\r\n\r\n" % (path, patch, 24 * MIB)).encode() + bytes(24 * MIB))
            response = http.client.HTTPResponse(sock)
            response.begin()
            response.read()
            assert response.status == 409 and not response.will_close, response.status
        sock.close()
        assert c.head(path).offset == 0


def stands(folder):
    """A refused body that stands still is answered all the same, and what its client sends then is no error of its."""
    size, piece = 32 * MIB, bytes(MIB)
    with server(folder) as s:
        path = path_of(s.client().create(1000 * MIB))

        def begin(size):
            sock = socket.create_connection(("127.0.0.1", s.port), timeout=60)
            sock.sendall(("PATCH %s HTTP/1.1\r\nHost: x\r\nTus-Resumable: 1.0.0\r\nUpload-Offset: 7\r\nContent-Type: %s\r\n%s\r\n\r\n"
                          % (path, TYPE, "Content-Length: %d" % size if size else "Transfer-Encoding: chunked")).encode())
            return sock

        def told(sock):
            back = b""
            while b"\r\n\r\n" not in back:
                more = sock.recv(65536)
                assert more, "the end, and no answer: %r" % back
                back += more
            assert statuses(back) == [409] and b"Connection: close" in back and b"Tus-Resumable: 1.0.0" in back, back
            assert re.search(rb"\r\nDate: \w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT\r\n", back), back
        sock = begin(size)
        sock.sendall(piece)
        told(sock)
        sock.sendall(4 * piece)
        sock.close()
        # one that will not be read to its end hears at once, and may go on a while, and so does one without an end
        sock = begin(None)
        for _ in range(16):
            sock.sendall(b"%x\r\n%s\r\n" % (len(piece), piece))
        told(sock)
        sock.sendall(b"%x\r\n%s\r\n" % (len(piece), piece))
        sock.close()
        sock = begin(500 * MIB)
        for _ in range(16):
            sock.sendall(piece)
        told(sock)
        sock.sendall(piece)
        sock.close()
        assert s.client().head(path).offset == 0
        assert s.stop() == 0, s.tail()


def forms(folder):
    """RFC 9112 3.2.2: a target may be a whole URL."""
    with server(folder) as s:
        c = s.client()
        for base in ("http://127.0.0.1:%d" % s.port, "HTTP://other.example", "https://x"):
            a = c.ask("POST", base + "/files/", {"Upload-Length": "3"})
            path = path_of(a)
            assert c.patch(base + path, 0, b"abc").offset == 3
            assert c.head(base + path).offset == 3 and c.get(base + path).body == b"abc"
            assert c.get(base + "/").status == 200 and c.get(base).status == 200 and c.get(base + "/none").status == 404
            assert c.delete(base + path).status == 204
        assert c.head("ftp://x/files/a").status == 404
        a = c.ask("PUT", "/", body=b"x")
        assert a.status == 405 and a["Allow"] == "GET, HEAD", a
        assert c.ask("OPTIONS", "*", version=None)["Tus-Version"] == "1.0.0"


def drips(folder):
    """U15: a body that drips is answered 503, what it brought counts; so it goes when it is thrown away."""
    with server(folder) as s:
        c = s.client()
        path = path_of(c.create(1000))
        sock = socket.create_connection(("127.0.0.1", s.port))
        sock.sendall(("PATCH %s HTTP/1.1\r\nHost: x\r\nTus-Resumable: 1.0.0\r\nUpload-Offset: 0\r\nContent-Type: %s\r\n"
                      "Content-Length: 1000\r\n\r\n" % (path, TYPE)).encode())
        sock.settimeout(1)
        back, sent = b"", 0
        with eventually(300, 0) as again:
            while again():
                try:
                    if not back:
                        sock.sendall(b"x")
                        sent += 1
                    piece = sock.recv(65536)
                    if not piece:
                        break
                    back += piece
                except TimeoutError:
                    assert sent < 290, "nobody minds"
        assert statuses(back) == [503] and b"Connection: close" in back and b"Tus-Resumable: 1.0.0" in back, back
        assert 0 < c.head(path).offset <= sent
        sock.close()


def expiry(folder):
    """U17."""
    with server(folder, NO_PUBLISH, "--expire", "3") as s:
        c = s.client()
        old, kept = path_of(c.create(10)), path_of(c.create(10))
        assert "expiration" in c.ask("OPTIONS", "/files/", version=None)["Tus-Extension"].split(",")
        a = c.patch(old, 0, b"abc")
        assert a["Upload-Expires"].endswith(" GMT"), a
        done = path_of(c.create(3, body=b"abc"))
        at = 0
        with eventually(120) as again:
            while again():
                if at < 9:
                    time.sleep(0.9)
                    a = c.patch(kept, at, b"x")             # one that is written stays
                    if a.status == 410:
                        raise AssertionError("an upload that grew expired: %s" % a)
                    at += 1
                if c.head(old).status in (404, 410):
                    break
        assert c.head(old).status == 410
        assert c.get(done).body == b"abc", "a finished upload expired"


# A machine whose clock is put back while the file BACK is there; the store asks another function for it.
CLOCK = """#define _GNU_SOURCE
#include <time.h>
#include <unistd.h>
time_t time(time_t *to)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    if (access(BACK, F_OK) == 0) t.tv_sec -= 7200;
    if (to) *to = t.tv_sec;
    return t.tv_sec;
}
"""


def clock_back(folder):
    """Old uploads go also after the clock of the machine was put back."""
    with open(SERVER, "rb") as f:
        binary = f.read()
    if b"__asan_init" in binary or b"__tsan_init" in binary:
        raise Skip("a sanitizer wants to be the first library")
    shim, back = os.path.join(folder, "clock.so"), os.path.join(folder, "back")
    with open(shim[:-2] + "c", "w", encoding="ascii") as f:
        f.write(CLOCK)
    subprocess.run([*shlex.split(os.environ.get("CC", "cc")), "-shared", "-fPIC", '-DBACK="%s"' % back, "-o", shim,
                    shim[:-2] + "c"], check=True)
    with server(folder, NO_PUBLISH, "--expire", "2", env={"LD_PRELOAD": shim}) as s:
        for _ in range(2):                                  # before, and with the clock two hours back
            path_of(s.client().create(10 * MIB, body=noise(MIB)))
            with eventually() as again:
                while again():
                    if not glob.glob(os.path.join(s.data, "uploads/uploads/*/*.data")):
                        break
            with open(back, "w", encoding="ascii"):
                pass


def disk_full(folder):
    """U13: a file system of 3 MiB; what was confirmed stays, and the rest goes in when there is room."""
    small = os.path.join(folder, "small")
    os.mkdir(small)
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "none", small], capture_output=True, check=False)
    if done.returncode:
        raise Skip("no mount: %s" % done.stderr.decode().strip())
    try:
        with Server(os.path.join(small, "data"), NO_PUBLISH) as s:
            c = s.client()
            ballast = path_of(c.create(MIB, body=noise(MIB, 9)))
            data = noise(2 * MIB + MIB // 2)
            assert c.create(len(data), body=data).status == 507     # its client was told no url: nothing stays
            path = path_of(c.create(len(data)))
            a = c.patch(path, 0, data)
            assert a.status == 507, a
            offset = c.head(path).offset
            assert 0 < offset < len(data), offset
            assert c.delete(ballast).status == 204
            a = c.patch(path, offset, data[offset:])
            assert a.status == 204 and c.get(path).body == data, a
    finally:
        subprocess.run(["umount", "-l", small], check=False)


# ---- clients that are not ours ----

def tuspy(folder):
    try:
        from tusclient import client as tusclient  # noqa: PLC0415
    except ImportError:
        raise Skip("no tuspy") from None
    data = noise(5 * MIB + 3)
    path = os.path.join(folder, "file")
    with open(path, "wb") as f:
        f.write(data)
    with server(folder) as s:
        up = tusclient.TusClient(s.url + "/files/").uploader(path, chunk_size=MIB, metadata={"filename": "é.mp4"},
                                                             upload_checksum=True)
        up.upload(stop_at=2 * MIB)
        assert up.get_offset() == 2 * MIB
        more = tusclient.TusClient(s.url + "/files/").uploader(path, chunk_size=MIB, url=up.url)
        more.upload()
        assert s.client().get(up.url[len(s.url):]).body == data


NODE_SCRIPT = r"""
const tus = require('tus-js-client'), fs = require('fs');
const [endpoint, path, size, parallel] = process.argv.slice(2);
let stopped = false;
const options = {
  endpoint, chunkSize: 700001, ...(Number(parallel) > 1 ? {} : { uploadSize: Number(size) }), retryDelays: [0, 100, 500, 1000, 3000],
  metadata: { filename: 'x.mp4', filetype: 'video/mp4' }, parallelUploads: Number(parallel),
  onError: e => { console.error(String(e)); process.exit(1); },
  onSuccess: () => { console.log(upload.url); },
  onProgress: (sent, total) => {
    if (stopped || Number(parallel) > 1 || sent < total / 3) return;
    stopped = true;
    upload.abort().then(() => { console.error('aborted at ' + sent); upload.start(); });
  },
};
const upload = new tus.Upload(fs.createReadStream(path), options);
upload.start();
"""


def node_modules():
    """tus-js-client from npm, kept in the build folder."""
    if not shutil.which("node") or not shutil.which("npm"):
        raise Skip("no node or npm")
    at = os.path.join(BUILD, "node-uploads")
    if not os.path.isdir(os.path.join(at, "node_modules/tus-js-client")):
        os.makedirs(at, exist_ok=True)
        done = subprocess.run(["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", at, "tus-js-client@4.3.1"],
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300, check=False)
        if done.returncode:
            raise Skip("tus-js-client cannot be had: %s" % done.stderr[-200:])
    return at


def node(folder, parallel):
    at = node_modules()
    data = noise(6 * MIB + 11, parallel)
    path, script = os.path.join(folder, "file"), os.path.join(at, "upload-%d.js" % os.getpid())
    with open(path, "wb") as f:
        f.write(data)
    with open(script, "w", encoding="ascii") as f:
        f.write(NODE_SCRIPT)
    try:
        with server(folder) as s:
            done = subprocess.run(["node", script, s.url + "/files/", path, str(len(data)), str(parallel)], text=True,
                                  capture_output=True, timeout=120, check=False)
            assert done.returncode == 0 and done.stdout.strip(), done.stderr[-800:]
            assert parallel > 1 or "aborted at" in done.stderr, done.stderr
            assert s.client().get(done.stdout.strip()[len(s.url):]).body == data
    finally:
        os.unlink(script)


def draft(folder):
    """The IETF's draft, with curl."""
    data = noise(2 * MIB + 1)
    head, rest = os.path.join(folder, "head"), os.path.join(folder, "rest")
    for path, piece in ((head, data[:MIB]), (rest, data[MIB:])):
        with open(path, "wb") as f:
            f.write(piece)

    def curl(*args):
        done = subprocess.run(["curl", "-sS", "-i", "--http1.1", "-H", "Expect:", "-H", "Upload-Draft-Interop-Version: 9", *args],
                              capture_output=True, timeout=60, check=True)
        text = done.stdout.partition(b"\r\n\r\n")
        lines = text[0].decode().split("\r\n")
        return int(lines[0].split()[1]), {k.lower(): v.strip() for k, _, v in (x.partition(":") for x in lines[1:])}, text[2]
    with server(folder) as s:
        for more in ([], ["-H", "Upload-Draft-Interop-Version;"]):
            status, h, _ = curl("-X", "OPTIONS", s.url + "/files/", *more)
            assert status == 204 and "application/partial-upload" in h["accept-patch"], (status, h)
        status, h, _ = curl("-X", "POST", "-H", "Upload-Complete: ?0", "-H", "Upload-Length: %d" % len(data),
                            "--data-binary", "@" + head, s.url + "/files/")
        assert status == 201 and h["upload-complete"] == "?0" and h["upload-offset"] == str(MIB), (status, h)
        url = h["location"] if "://" in h["location"] else s.url + h["location"]
        for more in (["-H", "Upload-Draft-Interop-Version;"], ["-H", "Upload-Draft-Interop-Version:"], []):
            status, h, _ = curl("-I", url, *more)           # a HEAD has nothing else that tells
            assert status == 204 and h["upload-offset"] == str(MIB) and h["upload-complete"] == "?0", (status, h)
            assert h["upload-length"] == str(len(data)) and h["upload-limit"] and "no-store" in h["cache-control"], h
        patch = ["-X", "PATCH", "-H", "Content-Type: application/partial-upload", "-H", "Upload-Complete: ?1"]
        status, h, body = curl(*patch, "-H", "Upload-Offset: 7", "--data-binary", "@" + rest, url)
        assert status == 409 and h["content-type"].startswith("application/problem+json"), (status, h)
        problem = json.loads(body)
        assert problem["expected-offset"] == MIB and problem["provided-offset"] == 7, problem
        status, h, body = curl(*patch, "-H", "Upload-Offset: %d" % MIB, "--data-binary", "@" + rest, url)
        assert status in (200, 201, 204) and h["upload-complete"] == "?1", (status, h, body)
        assert s.client().get(url[len(s.url):]).body == data
        done = s.client().ask("HEAD", url, version=None)
        assert done.status == 204 and done["Upload-Complete"] == "?1" and done.offset == len(data), done
        other = s.client().ask("POST", "/files/", {"Upload-Complete": "?0"}, body=b"abc", version=None)
        assert s.client().ask("DELETE", path_of(other), version=None).status == 204
        assert s.client().ask("HEAD", path_of(other), version=None).status == 404


# ---- kills ----

class Uploader(threading.Thread):
    """Sends one file over whatever happens, and watches that no confirmed byte is ever lost."""

    def __init__(self, port, number, done):
        super().__init__(daemon=True)
        self.random = random.Random(number)
        self.data = noise(self.random.choice((1, 5000, 65536, 700000, 3 * MIB, 12 * MIB)), number)
        self.port, self.done, self.acked, self.error, self.path, self.tries = port, done, 0, None, None, 0

    def step(self, c):
        if not self.path:
            self.path = path_of(c.create(len(self.data), {"filename": b"x"}))
        a = c.head(self.path)
        assert a.status == 200, "confirmed and gone: %s" % a
        assert a.offset >= self.acked, "HEAD says %d after %d were confirmed" % (a.offset, self.acked)
        at = self.acked = a.offset
        while at < len(self.data):
            piece = self.data[at:at + self.random.choice((1, 4096, 65536, MIB, 20 * MIB))]
            a = c.patch(self.path, at, piece)
            assert a.status == 204 and a.offset == at + len(piece), a
            at = self.acked = a.offset

    def run(self):
        c = Client(self.port)
        while not self.done.is_set():
            try:
                self.step(c)
                break
            except (OSError, http.client.HTTPException, ValueError):
                self.tries += 1
                time.sleep(0.02)                            # killed: it comes again
            except AssertionError as error:
                self.error = str(error)
                break
        c.close()


def kills(folder):
    rounds = 500 if FULL else 25
    killed, number, chance = 0, 0, random.Random(7)
    done = threading.Event()
    s = server(folder)
    try:
        s.start()
        finished = []
        while killed < rounds:
            batch = [Uploader(s.port, number + i, done) for i in range(6)]
            number += len(batch)
            for u in batch:
                u.start()
            while any(u.is_alive() for u in batch):
                time.sleep(chance.choice((0.005, 0.03, 0.1, 0.3)))
                if killed < rounds:
                    s.kill()
                    s.start()
                    killed += 1
            assert all(u.error is None for u in batch), [u.error for u in batch if u.error]
            finished += batch
        c = s.client()
        for u in finished:
            assert sha256(c.get(u.path).body) == sha256(u.data), "%s differs" % u.path
        assert s.stop() == 0, s.tail()
        print("    %d kills, %d uploads, %d broken requests" % (killed, len(finished), sum(u.tries for u in finished)))
    finally:
        done.set()
        s.__exit__()


# ---- many ----

def load(folder):
    """Slow uploads on connections that stay, and fast ones beside them."""
    slow, fast = (2000, 50) if FULL else (300, 20)
    piece, pieces = noise(200, 3), 20
    os.environ.pop("MALLOC_PERTURB_", None)     # meson's: it makes memory that nothing was ever written to resident
    with server(folder) as s:
        idle = s.memory()
        c = s.client()
        paths = [path_of(c.create(len(piece) * pieces)) for _ in range(slow)]
        socks = []
        for path in paths:
            sock = socket.create_connection(("127.0.0.1", s.port))
            sock.sendall(("PATCH %s HTTP/1.1\r\nHost: x\r\nTus-Resumable: 1.0.0\r\nUpload-Offset: 0\r\nContent-Type: %s\r\n"
                          "Content-Length: %d\r\n\r\n" % (path, TYPE, len(piece) * pieces)).encode())
            socks.append(sock)

        def quick(n):
            data = noise(2 * MIB, n)
            q = s.client()
            path = path_of(q.create(len(data)))
            assert q.patch(path, 0, data).offset == len(data)
            good = q.get(path).body == data
            q.close()
            return good
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            results = [pool.submit(quick, n) for n in range(fast)]
            for _ in range(pieces):
                for sock in socks:
                    sock.sendall(piece)
            assert all(r.result() for r in results)
        for sock in socks:
            response = http.client.HTTPResponse(sock)
            response.begin()
            response.read()
            assert response.status == 204, response.status
            sock.close()
        for path in paths[:: max(1, slow // 100)]:
            assert c.get(path).body == piece * pieces
        peak = s.memory()
        print("    %d slow and %d fast: %.1f MiB at rest, %.1f at most, %.1f KiB an upload"
              % (slow, fast, idle / MIB, peak / MIB, (peak - idle) / 1024 / (slow + fast)))
        # stated in examples/upload-server/README.md
        assert SANITIZED or peak - idle <= (slow + fast) * 96 * 1024 + 16 * MIB, (idle, peak)


# ---- titles ----

@define("upload_small.mp4", "6 s: a picture that moves, a tone")
def _(to, dep):
    make_clip(lavfi("testsrc=s=640x360:r=25:d=6", "sine=440:d=6:r=48000") + X264 + ["-g", "50"] + AAC + ["-ac", "2"], to)


def events(port, upload, until, limit=300):
    """Lines of /events/ID until one is of that kind."""
    sock = socket.create_connection(("127.0.0.1", port), timeout=limit)
    sock.sendall(("GET /events/%s HTTP/1.1\r\nHost: x\r\n\r\n" % upload).encode())
    response = http.client.HTTPResponse(sock)
    response.begin()
    assert response.status == 200 and response.getheader("Content-Type") == "text/event-stream"
    seen = []
    try:
        for line in response:
            if line.startswith(b"data: "):
                seen.append(json.loads(line[6:]))
                if seen[-1]["event"] in until:
                    return seen
    finally:
        response.close()
        sock.close()
    raise AssertionError("events end: %s" % seen[-3:])


def send(s, path):
    with open(path, "rb") as f:
        data = f.read()
    c = s.client()
    a = c.create(len(data), {"filename": b"a.mp4"})
    b = c.patch(path_of(a), 0, data)
    assert b.status == 204 and b.offset == len(data), b
    return a.id


def ranges(c, at, url):
    """Parts of a title's files: an I-frame playlist consists of them."""
    names = [os.path.relpath(os.path.join(f, n), at) for f, _, ns in os.walk(at) for n in ns if n == "iframes.m3u8"]
    with open(os.path.join(at, names[0]), encoding="ascii") as f:
        size, start, name = re.search(r"#EXT-X-BYTERANGE:(\d+)@(\d+)\n(.*)\n", f.read()).groups()
    first, size, path = int(start), int(size), os.path.normpath(os.path.join(os.path.dirname(names[0]), name))
    with open(os.path.join(at, path), "rb") as f:
        data = f.read()
    all_of = len(data)
    for asked, part in (("%d-%d" % (first, first + size - 1), data[first:first + size]), ("7-", data[7:]), ("-9", data[-9:]),
                        ("0-%d" % (1 << 70), data), ("-%d" % (all_of + 1), data)):
        a = c.get(url + path, {"Range": "bytes=" + asked})
        assert a.status == 206 and a.body == part and a["Accept-Ranges"] == "bytes", (asked, a)
        start = all_of - len(part) if asked[0] == "-" else int(asked.partition("-")[0])
        assert a["Content-Range"] == "bytes %d-%d/%d" % (start, start + len(part) - 1, all_of), (asked, a)
    for asked in ("%d-" % all_of, "-0"):
        a = c.get(url + path, {"Range": "bytes=" + asked})
        assert a.status == 416 and a["Content-Range"] == "bytes */%d" % all_of and not a.body, (asked, a)
    for asked in ("bytes=5-4", "bytes=-", "bytes=0-1,3-4", "bytes=x", "lines=0-1", "bytes=1-2x"):
        a = c.get(url + path, {"Range": asked})
        assert a.status == 200 and a.body == data, (asked, a)
    a = c.get(url + path, {"Range": "bytes=0-1", "If-Range": '"x"'})
    assert a.status == 200 and a.body == data, a
    a = c.head(url + path, headers={"Range": "bytes=0-1"})
    assert a.status == 200 and a["Content-Length"] == str(all_of), a


def title(folder):
    """The last answer comes before the title, events tell its way, the title is right, a second start leaves it alone."""
    with server(folder, "--expire", "86400") as s:
        upload = send(s, clip("upload_small.mp4"))
        seen = events(s.port, upload, ("done", "failed"))
        assert seen[-1]["event"] == "done", seen[-1]
        assert any(e["event"] == "progress" for e in seen), seen
        at = os.path.join(s.data, "titles", upload)
        check(at)
        c = s.client()
        a = c.get("/titles/%s/master.m3u8" % upload)
        assert a.status == 200 and b"#EXTM3U" in a.body, a
        assert c.get(seen[-1]["player"]).status == 200
        ranges(c, at, "/titles/%s/" % upload)
        for wrong in ("/titles/%s/../../x" % upload, "/titles/../outcomes/x", "/titles/%s/.vodpipe/x" % upload, "/titles/x/y"):
            assert c.get(wrong).status == 404, wrong
        assert s.stop() == 0, s.tail()
        before = {n: os.stat(os.path.join(at, n)).st_mtime_ns for n in os.listdir(at)}
        s.start()
        assert events(s.port, upload, ("done",))[-1]["player"] == seen[-1]["player"]
        assert before == {n: os.stat(os.path.join(at, n)).st_mtime_ns for n in os.listdir(at)}
        bad = send(s, os.path.abspath(__file__))            # no video at all
        last = events(s.port, bad, ("done", "failed"))[-1]
        assert last["event"] == "failed" and last["reason"].startswith("INPUT_"), last


def title_killed(folder):
    """Killed while it publishes, and stopped: the next start goes on."""
    with server(folder, "--expire", "86400") as s:
        upload = send(s, clip("upload_small.mp4"))
        for how in ("kill", "stop"):
            events(s.port, upload, ("progress", "done"))
            getattr(s, how)()
            s.start()
        assert events(s.port, upload, ("done", "failed"))[-1]["event"] == "done", s.tail()
        check(os.path.join(s.data, "titles", upload))
        # as if killed when all of it was published, and nobody had been told
        s.kill()
        os.unlink(os.path.join(s.data, "outcomes", upload + ".done"))
        s.start()
        assert events(s.port, upload, ("done", "failed"))[-1]["event"] == "done", s.tail()
        check(os.path.join(s.data, "titles", upload))


def title_later(folder):
    """What fails for a passing reason is tried again, also by the next start; what the file is guilty of is not."""
    with server(folder, "--expire", "86400") as s:
        at, outcomes = os.path.join(s.data, "titles"), os.path.join(s.data, "outcomes")
        os.makedirs(s.data, exist_ok=True)
        with open(at, "w", encoding="ascii"):               # a file where the folder should be
            upload = send(s, clip("upload_small.mp4"))
        seen = events(s.port, upload, ("waiting", "done", "failed"))[-1]
        assert seen["event"] == "waiting" and seen["reason"] == "IO_ERROR" and seen["seconds"] > 0, seen
        with eventually() as again:                         # each time later
            while again():
                more = events(s.port, upload, ("waiting", "done", "failed"))[-1]
                assert more["event"] == "waiting", more
                if more["seconds"] >= 2 * seen["seconds"]:
                    break
        bad = send(s, os.path.abspath(__file__))
        assert events(s.port, bad, ("waiting", "done", "failed"))[-1]["event"] == "failed"
        assert os.listdir(outcomes) == [bad + ".failed"], os.listdir(outcomes)
        s.kill()
        s.start()
        assert events(s.port, upload, ("waiting", "done", "failed"))[-1]["event"] == "waiting"
        os.unlink(at)
        assert events(s.port, upload, ("done", "failed"))[-1]["event"] == "done", s.tail()
        check(os.path.join(at, upload))
        assert events(s.port, bad, ("waiting", "done", "failed"))[-1]["event"] == "failed"
        assert sorted(os.listdir(outcomes)) == sorted([upload + ".done", bad + ".failed"]), os.listdir(outcomes)
        assert s.stop() == 0, s.tail()


def titles_kept(folder):
    """More titles than memory holds: each is known, also one that was forgotten meanwhile."""
    with server(folder, "--expire", "86400") as s:
        outcomes = os.path.join(s.data, "outcomes")
        os.makedirs(outcomes)
        for n in range(5000):                               # above TITLES_KEPT
            with open(os.path.join(outcomes, "t%d.failed" % n), "w", encoding="ascii") as f:
                f.write('{"event":"failed","reason":"N%d"}' % n)
        c = s.client()
        for n in list(range(5000)) + [0, 1, 4999]:
            a = c.get("/events/t%d" % n)
            assert a.status == 200 and b'"N%d"' % n in a.body, (n, a)
        assert c.get("/events/t5000").status == 404
        assert s.stop() == 0, s.tail()


def title_gone(folder):
    """An upload that is removed before its turn is no title, and the server does not try it for ever."""
    with server(folder, "--expire", "86400") as s:
        os.makedirs(s.data, exist_ok=True)
        with open(os.path.join(s.data, "titles"), "w", encoding="ascii"):
            upload = send(s, clip("upload_small.mp4"))
        assert events(s.port, upload, ("waiting",))
        assert s.client().delete("/files/" + upload).status == 204
        last = events(s.port, upload, ("done", "failed"))[-1]
        assert last == {"event": "failed", "reason": "UPLOAD_UNKNOWN"}, last
        assert not os.path.exists(os.path.join(s.data, "outcomes", upload + ".failed")), "kept for nobody"


def title_left(folder):
    """Of a title that is published no work stays, of one that failed nothing, nor of one whose upload was removed."""
    with server(folder, "--expire", "86400") as s:
        at, work = os.path.join(s.data, "titles"), os.path.join(s.data, "work")

        def only(*ids):
            with eventually() as again:
                while again():
                    if sorted(os.listdir(at)) == sorted(ids) and os.listdir(work) == []:
                        break
        good = send(s, clip("upload_small.mp4"))
        assert events(s.port, good, ("done", "failed"))[-1]["event"] == "done", s.tail()
        only(good)
        bad = send(s, clip("corrupt.mp4"))                  # found out when some of it is written
        last = events(s.port, bad, ("done", "failed"))[-1]
        assert last == {"event": "failed", "reason": "INPUT_CORRUPT"}, last
        only(good)
        # killed in between, and then the upload goes: the next start finds it out
        gone = send(s, clip("upload_small.mp4"))
        seen = events(s.port, gone, ("progress", "done"))
        assert seen[-1]["event"] == "progress", seen
        assert s.client().delete("/files/" + gone).status == 204
        s.kill()
        os.makedirs(os.path.join(work, good, "lease"))      # what an older version left
        assert gone in os.listdir(work)
        s.start()
        only(good)
        check(os.path.join(at, good))
        assert s.stop() == 0, s.tail()


def early(folder):
    """With --refuse-early the rest of what is no video is not taken."""
    with server(folder, "--refuse-early") as s:
        c = s.client()
        data = b"this is a text and will stay one\n" * 400000
        a = c.create(len(data))
        path, offset = path_of(a), 0
        while offset < len(data):
            b = c.patch(path, offset, data[offset:offset + 2 * MIB])
            if b.status != 204:
                break
            offset = b.offset
            if offset >= 4 * MIB:
                assert events(s.port, a.id, ("refused",))[-1]["reason"] == "INPUT_UNRECOGNISED"
        assert b.status == 415 and offset < len(data), b
        # and of one request, before what is made durable at once without that option has come
        a = c.create(len(data))
        sock = socket.create_connection(("127.0.0.1", s.port), timeout=60)
        sock.sendall(("PATCH %s HTTP/1.1\r\nHost: x\r\nTus-Resumable: 1.0.0\r\nUpload-Offset: 0\r\nContent-Type: %s\r\n"
                      "Content-Length: %d\r\n\r\n" % (path_of(a), TYPE, len(data))).encode() + data[:2 * MIB])
        assert events(s.port, a.id, ("refused",), 60)[-1]["reason"] == "INPUT_UNRECOGNISED"
        sock.sendall(data[2 * MIB:4 * MIB])
        response = http.client.HTTPResponse(sock)
        response.begin()
        assert response.status == 415, response.status
        sock.close()
        # and of a creation that brings all: its client learns no url, nothing of it stays
        ids = {n for _, _, names in os.walk(os.path.join(s.data, "uploads")) for n in names}
        sock = socket.create_connection(("127.0.0.1", s.port), timeout=60)
        sock.sendall(("POST /files/ HTTP/1.1\r\nHost: x\r\nTus-Resumable: 1.0.0\r\nUpload-Length: %d\r\nContent-Type: %s\r\n"
                      "Content-Length: %d\r\n\r\n" % (len(data), TYPE, len(data))).encode() + data[:2 * MIB])
        time.sleep(1)
        sock.sendall(data[2 * MIB:4 * MIB])
        response = http.client.HTTPResponse(sock)
        response.begin()
        assert response.status == 415, response.status
        sock.close()
        with eventually() as again:
            while again():
                if ids == {n for _, _, names in os.walk(os.path.join(s.data, "uploads")) for n in names}:
                    break


def listeners(folder):
    """Who is gone is not waited for; nobody listens to what is not there; all end when the server does."""
    with server(folder, "--expire", "86400") as s:
        c = s.client()
        upload = c.create(5).id
        assert c.get("/events/none").status == 404
        back = b""                                          # of the answer to HEAD the next one begins with nothing
        with socket.create_connection(("127.0.0.1", s.port), timeout=60) as sock:
            sock.sendall(("HEAD /events/%s HTTP/1.1\r\nHost: x\r\n\r\n%s" % (upload, LAST)).encode())
            while piece := sock.recv(65536):
                back += piece
        first, _, rest = back.partition(b"\r\n\r\n")
        assert first.startswith(b"HTTP/1.1 200") and (not rest or rest.startswith(b"HTTP/1.1 404")), back

        def listen():
            sock = socket.create_connection(("127.0.0.1", s.port), timeout=120)
            sock.sendall(("GET /events/%s HTTP/1.1\r\nHost: x\r\n\r\n" % upload).encode())
            assert sock.recv(65536).startswith(b"HTTP/1.1 200"), "no events"
            return sock

        def descriptors():
            return len(os.listdir("/proc/%d/fd" % s.process.pid))
        stays = listen()
        before = descriptors()
        for sock in [listen() for _ in range(40)]:
            sock.close()
        with eventually(180) as again:
            while again():
                if descriptors() <= before + 4:
                    break
        assert stays.recv(65536)                            # a sign of life
        assert s.stop() == 0, s.tail()
        with contextlib.suppress(ConnectionError):
            while stays.recv(65536):
                pass
        stays.close()


GROUPS = {
    "wire": [started, whole, lengths, hangs, leaves, checksums, parts, refusals, framing, stands, forms, drips, expiry, clock_back,
             disk_full],
    "clients": [tuspy, (node, 1), (node, 3), draft],
    "kill": [kills],
    "load": [load],
    "titles": [title, title_killed, title_later, titles_kept, title_gone, title_left, early, listeners],
}


def main():
    group, wanted = sys.argv[1], sys.argv[2:]
    cases = Cases("uploads-" + group)
    for case in GROUPS[group]:
        fn, *args = case if isinstance(case, tuple) else (case,)
        name = " ".join([fn.__name__] + [str(a) for a in args])
        if not wanted or fn.__name__ in wanted:
            cases.run(name, fn, *args)
    return cases.end()


if __name__ == "__main__":
    sys.exit(main())
