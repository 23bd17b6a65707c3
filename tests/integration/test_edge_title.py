#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""docs/edge/nginx.conf before a real server over TLS, as a bucket's host name and certificate are there, with titles that
`vodpipe publish` wrote.

    test_edge_title.py versitygw|minio
"""
import base64
import json
import os
import re
import struct
import subprocess
import sys
import time

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "support"))

import documents  # noqa: E402
from s3_servers import Authority, Missing, real_server  # noqa: E402
from test_edge import HOST, IMMUTABLE, SHORT, Nginx, find_nginx, link  # noqa: E402
from test_s3_cli import Host  # noqa: E402
from titles import FAST, Cases, Skip, clip, tree  # noqa: E402

BUCKET, DOMAIN = HOST.split(".", 1)
# Nothing else of the bucket's server: its Strict-Transport-Security would be the edge's.
TOLD = {"server", "date", "content-type", "content-length", "connection", "etag", "cache-control", "last-modified", "accept-ranges",
        "access-control-allow-origin", "access-control-expose-headers", "timing-allow-origin", "x-cache"}
MANIFEST = (".m3u8", ".mpd", ".json")
POLICY = documents.blocks("edge/README.md")["edge-policy"]


class Site:
    """A server over TLS, a title in it and in a folder, an edge before it."""

    def __init__(self, folder, name):
        self.folder, self.at = folder, os.path.join(folder, "local")
        self.tls = Authority(os.path.join(folder, "tls"), "localhost", "*." + DOMAIN)
        self.s3 = real_server(name, bucket=BUCKET, domain=DOMAIN, tls=self.tls)

    def allow(self, address):
        """The policy of docs/edge/README.md with another address."""
        text = json.dumps(POLICY)
        assert "192.0.2.7/32" in text
        self.s3.boto().put_bucket_policy(Bucket=BUCKET, Policy=text.replace("192.0.2.7/32", address))

    def fill(self):
        self.allow("127.0.0.1/32")
        self.s3.host = Host(self.s3, self.folder, VODPIPE_LOG="")
        rules = documents.blocks("storage.md")["cors-play"]
        try:  # both speak of CORS then, and one answer must be heard
            self.s3.boto().put_bucket_cors(Bucket=BUCKET, CORSConfiguration=rules)
        except self.s3.boto().exceptions.ClientError as error:
            assert error.response["Error"]["Code"] == "NotImplemented", error
        for title, more in (("film", []), ("single", ["--single-file"])):
            for out in ("s3://%s/%s" % (BUCKET, title), os.path.join(self.at, title)):
                self.s3.host.run("publish", clip("bucket.mp4"), out, "--ladder", "240p", "--segment", "2", *FAST, *more)

    def edge(self, folder, **more):
        return Nginx(folder, "127.0.0.1:%d" % self.s3.port, HOST, ca=more.get("ca", self.tls.ca))

    def files(self, title, *ends):
        """{path below the title: bytes}"""
        found = {}
        for name in sorted(tree(os.path.join(self.at, title))):
            if name.endswith(ends):
                with open(os.path.join(self.at, title, name), "rb") as f:
                    found[name] = f.read()
        assert found, "no %s in %s" % (ends, title)
        return found


def kept(nginx):
    """{key: seconds for which it is good} of nginx's cache: version, valid_sec, ... in front of "KEY: "."""
    found = {}
    for name in tree(nginx.folder + "/cache"):
        with open(os.path.join(nginx.folder, "cache", name), "rb") as f:
            head = f.read(4096)
        version, valid = struct.unpack_from("=Qq", head)
        assert version in (3, 4, 5), "nginx has another form of its cache: %d" % version
        found[re.search(rb"\nKEY: ([^\n]*)\n", head)[1].decode()] = valid - time.time()
    return found


def segments(folder, site):
    with site.edge(folder) as nginx:
        for name, data in site.files("film", ".m4s", ".mp4").items():
            for want in ("MISS", "HIT"):
                status, headers, body = nginx.get("/v/film/" + name, Origin="https://player.example")
                assert (status, headers["x-cache"], headers["cache-control"]) == (200, want, IMMUTABLE), (name, headers)
                assert body == data and headers["content-length"] == str(len(data)), name
                assert headers["content-type"] in ("video/mp4", "audio/mp4", "video/iso.segment"), headers
                assert set(headers) <= TOLD, set(headers) - TOLD
        good = kept(nginx)
        assert good and all(31535000 < s <= 31536000 for s in good.values()), good


def manifests(folder, site):
    with site.edge(folder) as nginx:
        names = site.files("film", *MANIFEST)
        roots = [n for n in names if "/" not in n]
        assert {"master.m3u8", "manifest.mpd"} <= set(roots), roots
        for name, data in names.items():
            for want in ("MISS", "HIT"):
                status, headers, body = nginx.get("/v/film/" + name)
                assert (status, headers["x-cache"], body) == (200, want, data), (name, headers)
                assert headers["cache-control"] == SHORT, (name, headers)
        good = kept(nginx)
        assert len(good) == len(names) and all(-900 < s <= 60 for s in good.values()), good
        # one that was asked for with HEAD first is whole for GET
        for path, data in (("single/master.m3u8", site.files("single", "master.m3u8")["master.m3u8"]),
                           next(("single/" + k, v) for k, v in site.files("single", ".mp4").items())):
            status, headers, body = nginx.get("/v/" + path, "HEAD")
            assert (status, body, headers["content-length"]) == (200, b"", str(len(data))), (path, headers)
            assert nginx.get("/v/" + path)[2] == data, path


def ranges(folder, site):
    """What byte-range playlists name, as players ask for it; all from the same slices."""
    with site.edge(folder) as nginx:
        count, files = 0, site.files("single", ".mp4")
        for name, text in site.files("single", ".m3u8").items():
            if "EXT-X-BYTERANGE" not in text.decode():
                continue
            for size, start, uri in re.findall(r'#EXT-X-BYTERANGE:(\d+)@(\d+)\n(?:#[^\n]*\n)*([^#\n]+)', text.decode()):
                path = os.path.normpath(os.path.join(os.path.dirname(name), uri))
                first, end = int(start), int(start) + int(size)
                status, headers, body = nginx.get("/v/single/" + path, Range="bytes=%d-%d" % (first, end - 1),
                                                  Origin="https://player.example")
                assert status == 206 and body == files[path][first:end], (path, status)
                assert headers["content-range"] == "bytes %d-%d/%d" % (first, end - 1, len(files[path])), headers
                assert headers["access-control-allow-origin"] == "*" and "vary" not in headers, headers
                assert "Content-Range" in headers["access-control-expose-headers"], headers
                count += 1
        assert count > 4, "%d ranges in the playlists" % count
        slices = [k for k in kept(nginx) if k.endswith("bytes=0-4194303")]
        assert len(slices) == len(kept(nginx)) == len(files), kept(nginx)
        name, data = next(iter(files.items()))
        status, headers, body = nginx.get("/v/single/" + name)
        assert (status, headers["x-cache"], body) == (200, "HIT", data), headers
        for wanted, part in (("bytes=-9", data[-9:]), ("bytes=%d-" % (len(data) - 3), data[-3:]),
                             ("bytes=1-%d" % (len(data) * 2), data[1:])):
            assert nginx.get("/v/single/" + name, Range=wanted)[::2] == (206, part), wanted
        tag = nginx.get("/v/single/" + name)[1]["etag"]
        assert nginx.get("/v/single/" + name, Range="bytes=0-3", If_Range=tag)[::2] == (206, data[:4])
        assert nginx.get("/v/single/" + name, Range="bytes=0-3", If_Range='"another"')[::2] == (200, data)
        status, headers, _ = nginx.get("/v/single/" + name, Range="bytes=%d-" % len(data))
        assert status == 416 and headers["access-control-allow-origin"] == "*", (status, headers)


def links(folder, site):
    """The whole title by one link; nothing by one that is altered or has ended, and nothing of it is kept."""
    with site.edge(folder) as nginx:
        until = int(time.time()) + 600
        good = link("film", until)
        report = site.s3.host.run("verify", "http://127.0.0.1:%d%s/" % (nginx.port, good)).out
        assert re.fullmatch(r"\d{2,} checks, 0 failed\n", report), report
        before = set(kept(nginx))
        assert before and not any(good.split("/")[2] in k for k in before), before
        name = next(iter(site.files("single", ".mp4")))
        mine = link("single", until)
        _, _, md5, ends, title = mine.split("/")
        raw = base64.urlsafe_b64decode(md5 + "==")
        turned = base64.urlsafe_b64encode(bytes([raw[0] ^ 1]) + raw[1:]).decode().rstrip("=")
        for path, want in (("/p/%s/%s/%s/" % (turned, ends, title), 403), ("/p/%s/%d/%s/" % (md5, until + 1, title), 403),
                           (good.replace("/film", "/single") + "/", 403), (link("single", until, "guess") + "/", 403),
                           (link("single", int(time.time()) - 5) + "/", 410)):
            status, headers, body = nginx.get(path + name, Origin="https://player.example")
            assert status == want and headers["access-control-allow-origin"] == "*", (path, status, headers)
            assert site.files("single", name)[name][:64] not in body, path
        assert set(kept(nginx)) == before, "what a wrong link asked for is kept"
        assert nginx.get(mine + "/" + name)[::2] == (200, site.files("single", name)[name])


def errors(folder, site):
    """What fails is not kept; what is kept goes on while the bucket is away."""
    with site.edge(folder) as nginx:
        (here, data), (other, more) = list(site.files("film", ".m4s").items())[:2]
        assert nginx.get("/v/film/" + here)[::2] == (200, data)
        site.s3.end()
        try:
            for _ in range(2):
                status, headers, body = nginx.get("/v/film/" + other)
                assert (status, body) == (502, b"try again\n"), (status, body)
                assert headers["access-control-allow-origin"] == "*", headers
            assert nginx.get("/v/film/" + here)[::2] == (200, data)
        finally:
            site.s3.start(site.s3.port)
        until = time.monotonic() + 60  # nginx leaves a server that failed alone for 10 s
        while True:
            status, headers, body = nginx.get("/v/film/" + other)
            if status == 200:
                break
            assert status == 502 and time.monotonic() < until, (status, nginx.errors())
            time.sleep(0.2)
        assert (headers["x-cache"], body) == ("MISS", more), headers
        assert nginx.get("/v/film/late.bin")[0] == 404
        site.s3.boto().put_object(Bucket=BUCKET, Key="film/late.bin", Body=b"late")
        until = time.monotonic() + 60
        while nginx.get("/v/film/late.bin")[0] != 200:
            assert time.monotonic() < until, "a 404 is kept"
            time.sleep(0.2)
        assert nginx.get("/v/film/late.bin")[2] == b"late"


def trust(folder, site):
    """The bucket's server is verified, and only who the policy names is let in."""
    name, data = next(iter(site.files("film", ".m4s").items()))
    other = Authority(os.path.join(folder, "other"), "localhost")
    for n, ca in enumerate((other.ca, site.tls.ca)):
        os.makedirs(os.path.join(folder, str(n)))
        with site.edge(os.path.join(folder, str(n)), ca=ca) as nginx:
            status, _, body = nginx.get("/v/film/" + name)
            if ca == other.ca:
                assert (status, body) == (502, b"try again\n"), status
                assert "certificate verify error" in nginx.errors(), nginx.errors()
                continue
            assert (status, body) == (200, data)
            site.allow("192.0.2.7/32")
            try:
                another = list(site.files("film", ".m4s"))[1]
                status, _, body = nginx.get("/v/film/" + another)
                assert (status, body) == (404, b"not found\n"), (status, body)
            finally:
                site.allow("127.0.0.1/32")


def main():
    name = sys.argv[1]
    cases = Cases("edge title, " + name)
    try:
        find_nginx()
        import tempfile
        with tempfile.TemporaryDirectory(prefix="vodpipe-edge-") as folder:
            site = Site(folder, name)
            with site.s3:
                site.fill()
                for case in (segments, manifests, ranges, links, errors, trust):
                    cases.run(case.__name__, case, site)
    except (Missing, Skip, ImportError, subprocess.CalledProcessError) as why:
        print("skipped: %s" % why)
        return 77
    return cases.end()


if __name__ == "__main__":
    sys.exit(main())
