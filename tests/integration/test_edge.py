#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""docs/edge/nginx.conf on a real nginx, between a bucket and players: what it keeps and for how long, ranges, CORS, links that
end, what it does not tell.

    test_edge.py [CASE...]
"""
import base64
import contextlib
import gzip
import hashlib
import http.client
import os
import re
import shutil
import subprocess
import sys
import time

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "support"))

from s3_client import Client  # noqa: E402
from s3_servers import S3F, Missing, die_with_parent, free_port, real_server  # noqa: E402
from titles import SRC, Cases, Skip  # noqa: E402

SECRET = "a secret of tests"
IMMUTABLE, SHORT = "public, max-age=31536000, immutable", "public, max-age=60"
HOST = "my-bucket.s3.eu-central-1.amazonaws.com"
SEGMENT, LONG = os.urandom(300000), os.urandom((10 << 20) + 12345)
MAIN = """daemon off;
worker_processes 1;
{user}
pid {folder}/nginx.pid;
error_log {folder}/error.log notice;
events {{ worker_connections 256; }}
http {{
    default_type application/octet-stream;
    access_log off;
    client_body_temp_path {folder}/t1;
    proxy_temp_path {folder}/t2;
    fastcgi_temp_path {folder}/t3;
    uwsgi_temp_path {folder}/t4;
    scgi_temp_path {folder}/t5;
    include {folder}/vod.conf;
}}
"""


def find_nginx():
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/local/nginx/sbin")
    if not program:
        raise Skip("no nginx here (Debian: nginx)")
    told = subprocess.run([program, "-V"], capture_output=True, text=True, check=False).stderr
    for module in ("http_slice_module", "http_secure_link_module", "http_gunzip_module"):
        if "--with-" + module not in told:
            raise Skip("nginx without " + module)
    return program


def configured(folder, port, origin, host, path, ca):
    """The template with the values of a test; every one must be there. Without an authority of the bucket's server: no TLS."""
    with open(os.path.join(SRC, "docs/edge/nginx.conf"), encoding="utf-8") as f:
        text = f.read()
    for old, new in (("server %s:443;" % HOST, "server %s;" % origin), ("listen 80;", "listen 127.0.0.1:%d;" % port),
                     ("proxy_pass https://vod_bucket/;", "proxy_pass %s://vod_bucket/%s;" % ("https" if ca else "http", path)),
                     ("/etc/ssl/certs/ca-certificates.crt", ca or "/etc/ssl/certs/ca-certificates.crt"),
                     (HOST, host), ("/var/cache/nginx/vod", folder + "/cache"), ("CHANGE-this-secret", SECRET)):
        assert old in text, "docs/edge/nginx.conf has no %r" % old
        text = text.replace(old, new)
    return text


class Nginx:
    """with Nginx(folder, address of the bucket's server, its Host, "" or "BUCKET/") as edge"""

    def __init__(self, folder, origin, host, path="", ca=None):
        self.program, self.folder, self.port = find_nginx(), os.path.join(folder, "nginx"), free_port()
        os.makedirs(self.folder)
        with open(self.folder + "/vod.conf", "w", encoding="utf-8") as f:
            f.write(configured(self.folder, self.port, origin, host, path, ca))
        with open(self.folder + "/nginx.conf", "w", encoding="utf-8") as f:
            f.write(MAIN.format(folder=self.folder, user="user root;" if os.getuid() == 0 else ""))

    def __enter__(self):
        command = [self.program, "-c", self.folder + "/nginx.conf", "-e", self.folder + "/error.log"]
        checked = subprocess.run(command + ["-t"], capture_output=True, text=True, check=False)
        assert checked.returncode == 0, checked.stderr
        assert "[warn]" not in checked.stderr, checked.stderr
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL, preexec_fn=die_with_parent)
        end = time.monotonic() + 30
        while True:
            try:
                self.get("/")
                return self
            except OSError:
                assert self.process.poll() is None and time.monotonic() < end, self.errors()
                time.sleep(0.05)

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def errors(self):
        with open(self.folder + "/error.log", encoding="utf-8", errors="replace") as f:
            return f.read()[-3000:]

    def get(self, path, method="GET", **headers):
        """(status, headers in lower case, body)"""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, path, headers={n.replace("_", "-"): v for n, v in headers.items()})
            answer = connection.getresponse()
            found = {}
            for name, value in answer.getheaders():
                assert name.lower() not in found or answer.status == 416 and name != "Access-Control-Allow-Origin", name
                found[name.lower()] = value
            return answer.status, found, answer.read()
        finally:
            connection.close()


def tree(client, bucket):
    def put(key, data, kind, cache, **more):
        headers = {"content-type": kind, "x-amz-meta-vodpipe-upload": "token", "x-amz-meta-other": "1",
                   "x-amz-storage-class": "STANDARD"}
        if cache:
            headers["cache-control"] = cache
        headers.update({n.replace("_", "-"): v for n, v in more.items()})
        answer = client.call("PUT", bucket, key, headers=headers, body=data)
        assert answer[0] == 200, answer
    for title in ("film", "other"):
        put(title + "/master.m3u8", b"#EXTM3U\n", "application/vnd.apple.mpegurl", SHORT)
        put(title + "/short.m3u8", b"#EXTM3U\n#1\n", "application/vnd.apple.mpegurl", "public, max-age=1")
        put(title + "/manifest.mpd", gzip.compress(b"<MPD/>"), "application/dash+xml", SHORT, content_encoding="gzip")
        put(title + "/video/1.m4s", SEGMENT, "video/iso.segment", IMMUTABLE)
        put(title + "/video/long.mp4", LONG, "video/mp4", IMMUTABLE)
        put(title + "/plain.vtt", b"WEBVTT\n", "text/vtt", None)
        put(title + "/k.key", b"0123456789abcdef", "application/octet-stream", "no-store")
    return put


@contextlib.contextmanager
def edge(folder):
    """(nginx, bucket): behind it the scripted server."""
    find_nginx()
    with S3F() as s3:
        s3.config(public=True)
        tree(Client(s3), "b")
        with Nginx(folder, "127.0.0.1:%d" % s3.port, "b.localhost") as nginx:
            s3.seen = len(s3.log())
            yield nginx, s3


def asked(s3):
    """Requests that came to the bucket since the last call."""
    log = s3.log(s3.seen)
    s3.seen += len(log)
    return [(r["op"], r["key"]) for r in log]


def segments(folder):
    with edge(folder) as (nginx, s3):
        for want in ("MISS", "HIT", "HIT"):
            status, headers, body = nginx.get("/v/film/video/1.m4s")
            assert (status, headers["x-cache"], body) == (200, want, SEGMENT), (status, headers)
            assert headers["cache-control"] == IMMUTABLE and headers["content-type"] == "video/iso.segment", headers
            assert headers["content-length"] == str(len(SEGMENT)) and headers["accept-ranges"] == "bytes", headers
        assert asked(s3) == [("GetObject", "film/video/1.m4s")]
        tag = headers["etag"]
        assert nginx.get("/v/film/video/1.m4s", If_None_Match=tag)[0] == 304
        status, headers, body = nginx.get("/v/film/video/1.m4s", "HEAD")
        assert (status, headers["content-length"], body) == (200, str(len(SEGMENT)), b"")
        assert nginx.get("/v/film/plain.vtt")[1]["x-cache"] == "MISS" and nginx.get("/v/film/plain.vtt")[1]["x-cache"] == "HIT"
        assert asked(s3) == [("GetObject", "film/plain.vtt")]
        for _ in range(2):
            status, headers, body = nginx.get("/v/film/k.key")
            assert (status, headers["x-cache"], body) == (200, "MISS", b"0123456789abcdef"), headers
            assert headers["cache-control"] == "no-store", headers
        assert len(asked(s3)) == 2
        s3.delete("film/video/1.m4s")
        assert nginx.get("/v/film/video/1.m4s")[2] == SEGMENT, "a year, whatever the bucket has"


def ranges(folder):
    with edge(folder) as (nginx, s3):
        size = len(LONG)
        for n in range(2):
            for start, end in ((0, 0), (0, 99), (5 << 20, (5 << 20) + 999), ((4 << 20) - 10, (4 << 20) + 9),
                               (size - 7, size - 1)):
                status, headers, body = nginx.get("/v/film/video/long.mp4", Range="bytes=%d-%d" % (start, end))
                assert status == 206 and body == LONG[start:end + 1], (status, headers)
                assert headers["content-range"] == "bytes %d-%d/%d" % (start, end, size), headers
                assert headers["content-length"] == str(end + 1 - start) and headers["content-type"] == "video/mp4"
                assert n == 0 or headers["x-cache"] == "HIT", headers
            got = asked(s3)
            assert len(got) == (3 if n == 0 else 0), got
        status, headers, body = nginx.get("/v/film/video/long.mp4")
        assert status == 200 and body == LONG and headers["content-length"] == str(size), headers
        assert not asked(s3), "all slices are here"
        assert nginx.get("/v/film/video/long.mp4", Range="bytes=-5")[2] == LONG[-5:]
        assert nginx.get("/v/film/video/long.mp4", Range="bytes=%d-" % (size - 3))[2] == LONG[-3:]
        status, headers, _ = nginx.get("/v/film/video/long.mp4", Range="bytes=%d-" % size)
        assert status == 416 and headers["content-range"] == "bytes */%d" % size, (status, headers)
        assert headers["access-control-allow-origin"] == "*", headers
        status, headers, _ = nginx.get("/v/film/video/long.mp4", Range="bytes=%d-" % (size * 10))
        assert status == 416 and headers["access-control-allow-origin"] == "*", (status, headers)
        asked(s3)
        status, headers, body = nginx.get("/v/other/video/long.mp4", Range="bytes=100-199")
        assert (status, headers["x-cache"], body) == (206, "MISS", LONG[100:200]), "the first is one already"
        assert len(asked(s3)) == 1
        status, headers, body = nginx.get("/v/other/master.m3u8", Range="bytes=1-3")
        assert (status, body) == (206, b"EXT"), status


def manifests(folder):
    with edge(folder) as (nginx, s3):
        client = Client(s3)
        for want in ("MISS", "HIT"):
            status, headers, body = nginx.get("/v/film/master.m3u8")
            assert (status, headers["x-cache"], headers["cache-control"], body) == (200, want, SHORT, b"#EXTM3U\n"), headers
        assert nginx.get("/v/film/short.m3u8")[2] == b"#EXTM3U\n#1\n"
        kind = {"content-type": "application/vnd.apple.mpegurl"}
        client.call("PUT", "b", "film/short.m3u8", headers=dict(kind, **{"cache-control": "public, max-age=1"}), body=b"#2\n")
        client.call("PUT", "b", "film/master.m3u8", headers=dict(kind, **{"cache-control": SHORT}), body=b"#2\n")
        time.sleep(2.1)
        assert nginx.get("/v/film/short.m3u8")[2] == b"#2\n", "after its second"
        assert nginx.get("/v/film/master.m3u8")[2] == b"#EXTM3U\n", "within its minute"
        time.sleep(2.1)
        asked(s3)
        status, headers, body = nginx.get("/v/film/short.m3u8")
        assert (headers["x-cache"], body) == ("REVALIDATED", b"#2\n"), headers
        assert [r["status"] for r in s3.log(s3.seen)] == [304]
        time.sleep(2.1)
        s3.rules({"op": "GetObject", "action": "error", "code": "InternalError"})
        status, headers, body = nginx.get("/v/film/short.m3u8")
        assert (status, headers["x-cache"], body) == (200, "STALE", b"#2\n"), "while the bucket fails"
        s3.rules()
        status, headers, body = nginx.get("/v/film/manifest.mpd", Accept_Encoding="gzip")
        assert headers["content-encoding"] == "gzip" and gzip.decompress(body) == b"<MPD/>"
        status, headers, body = nginx.get("/v/film/manifest.mpd")
        assert "content-encoding" not in headers and body == b"<MPD/>" and headers["x-cache"] == "HIT", headers


def cors(folder):
    with edge(folder) as (nginx, s3):
        s3.config(cors=[{"origins": ["*"], "methods": ["GET"], "headers": ["*"], "expose": ["x-bucket"]}])
        for path in ("/v/film/master.m3u8", "/v/film/video/1.m4s", "/v/film/none.m4s", "/p/x/1/film/x.m4s"):
            for n in range(2):
                headers = nginx.get(path, Origin="https://player.example", Range="bytes=0-3")[1]
                assert headers["access-control-allow-origin"] == "*", (path, headers)
                exposed = [h.strip().lower() for h in headers["access-control-expose-headers"].split(",")]
                assert {"content-length", "content-range", "date", "etag"} <= set(exposed), headers
                assert "access-control-allow-methods" not in headers and "vary" not in headers, (n, headers)
        status, headers, body = nginx.get("/v/film/video/1.m4s", "OPTIONS", Origin="https://player.example",
                                          Access_Control_Request_Method="GET", Access_Control_Request_Headers="range")
        assert (status, body, headers["access-control-allow-origin"]) == (204, b"", "*"), (status, headers)
        assert "range" in headers["access-control-allow-headers"].lower(), headers
        assert "GET" in headers["access-control-allow-methods"] and headers["access-control-max-age"] == "86400"
        assert not [r for r in s3.log(s3.seen) if r["method"] == "OPTIONS" or "origin" in r["headers"]]


def link(title, until, secret=SECRET):
    made = hashlib.md5(("%d/%s %s" % (until, title, secret)).encode()).digest()
    return "/p/%s/%d/%s" % (base64.urlsafe_b64encode(made).decode().rstrip("="), until, title)


def links(folder):
    with edge(folder) as (nginx, s3):
        until = int(time.time()) + 600
        good = link("film", until)
        for name, body in (("master.m3u8", b"#EXTM3U\n"), ("video/1.m4s", SEGMENT)):
            assert nginx.get("%s/%s" % (good, name))[::2] == (200, body), name
        assert nginx.get("/v/film/video/1.m4s")[1]["x-cache"] == "HIT", "one copy for all links"
        assert nginx.get(good + "/video/1.m4s", Range="bytes=5-9")[2] == SEGMENT[5:10]
        asked(s3)
        md5 = good.split("/")[2]
        other = ("A" if md5[0] != "A" else "B") + md5[1:]
        for what, path in (("md5", good.replace(md5, other)), ("time", good.replace(str(until), str(until + 1))),
                           ("title", good.replace("/film", "/other")), ("secret", link("film", until, "guess")),
                           ("dots", good + "/../other"), ("encoded dots", good + "/%2e%2e/other"),
                           ("encoded slash", good + "%2f..%2fother"), ("none", "/p/film"), ("short", good.replace(md5, "x"))):
            status = nginx.get(path + "/master.m3u8")[0]
            assert status in (403, 404), "%s: %d" % (what, status)
            if what in ("md5", "time", "title", "secret"):
                assert status == 403, "%s: %d" % (what, status)
        assert nginx.get(link("film", int(time.time()) - 5) + "/master.m3u8")[0] == 410
        assert not asked(s3), "nothing of that came to the bucket"


def quiet(folder):
    """What it does not tell, and does not pass on."""
    with edge(folder) as (nginx, s3):
        for path in ("/v/film/master.m3u8", "/v/film/video/1.m4s", "/v/film/none.m4s", "/v/film/none.m3u8"):
            for _ in range(2):
                status, headers, body = nginx.get(path + "?versionId=1&acl", Cookie="a=1", Authorization="Bearer x")
                told = [h for h in headers if h.startswith("x-amz-") and h != "x-amz-meta-other"]
                assert not told, told
                assert status == 200 or (status == 404 and body == b"not found\n"), (status, body)
        log = s3.log(s3.seen)
        assert log and not [r for r in log if "?" in r["path"] or {"cookie", "authorization"} & set(r["headers"])]
        assert not [r for r in log if r["headers"]["host"] != "b.localhost"]
        assert len([r for r in log if "none" in r["path"]]) == 2, "a miss is kept for seconds"
        asked(s3)
        for path in ("/segment/film/video/1.m4s", "/manifest/film/master.m3u8", "/film/master.m3u8", "/", "/v/",
                     "/v/../segment/film/video/1.m4s"):
            assert nginx.get(path)[0] == 404, path
        for method in ("PUT", "POST", "DELETE"):
            assert nginx.get("/v/film/master.m3u8", method)[0] == 405, method
        assert not asked(s3)
        s3.rules({"op": "GetObject", "action": "drop"})
        status, headers, body = nginx.get("/v/other/video/1.m4s")
        assert (status, body) == (502, b"try again\n") and headers["access-control-allow-origin"] == "*", (status, body)
        s3.rules({"op": "GetObject", "action": "error", "code": "SlowDown"})
        assert nginx.get("/v/other/master.m3u8")[::2] == (502, b"try again\n")


def real(folder):
    """Before a server that others wrote, its bucket in the path and open by a policy."""
    find_nginx()
    try:
        server = real_server("versitygw")
    except Missing as why:
        raise Skip(str(why)) from None
    with server as s3:
        client = Client(s3)
        tree(client, s3.bucket)
        policy = ('{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"s3:GetObject",'
                  '"Resource":"arn:aws:s3:::%s/*"}]}' % s3.bucket).encode()
        assert client.call("PUT", s3.bucket, query="policy=", body=policy)[0] in (200, 204)
        with Nginx(folder, "127.0.0.1:%d" % s3.port, "127.0.0.1:%d" % s3.port, s3.bucket + "/") as nginx:
            for want in ("MISS", "HIT"):
                for path, body in (("/v/film/video/1.m4s", SEGMENT), ("/v/film/master.m3u8", b"#EXTM3U\n")):
                    status, headers, got = nginx.get(path)
                    assert (status, headers["x-cache"], got) == (200, want, body), (status, headers)
                    assert not [h for h in headers if h.startswith("x-amz-") and h != "x-amz-meta-other"], headers
            assert nginx.get("/v/film/video/long.mp4", Range="bytes=%d-%d" % (len(LONG) - 9, len(LONG) - 5))[2] == LONG[-9:-4]
            assert nginx.get("/v/film/video/long.mp4")[2] == LONG
            assert nginx.get("/v/film/none.m4s")[::2] == (404, b"not found\n")


def page(_):
    """The commands of docs/edge/README.md make links that hold."""
    with open(os.path.join(SRC, "docs/edge/README.md"), encoding="utf-8") as f:
        text = f.read()
    shell = re.search(r"```sh\n(.*?)```", text, re.S)[1]
    run = subprocess.run(["sh", "-euc", shell], capture_output=True, text=True, check=False,
                         env=dict(os.environ, SECRET=SECRET, TITLE="film", UNTIL="2000000000"))
    assert run.returncode == 0 and run.stdout.strip() == link("film", 2000000000) + "/master.m3u8", (run.stdout, run.stderr)


CASES = [segments, ranges, manifests, cors, links, quiet, real, page]


def main():
    cases = Cases("edge")
    for case in CASES:
        if not sys.argv[1:] or case.__name__ in sys.argv[1:]:
            cases.run(case.__name__, case)
    return cases.end()


if __name__ == "__main__":
    sys.exit(main())
