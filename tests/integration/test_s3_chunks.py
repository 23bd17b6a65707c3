#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Bodies in signed chunks (vp_s3_chunks_*): what a server takes and what it refuses, and beside botocore's.

    test_s3_chunks.py scripted|versitygw|minio S3_HOST
"""
import base64
import io
import os
import sys

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "support"))

from s3_client import Client  # noqa: E402
from s3_servers import S3F, Missing, real_server  # noqa: E402
from test_s3_faults import host  # noqa: E402
from test_s3_server import crc  # noqa: E402
from titles import Cases, Skip  # noqa: E402

SIGNED, UNSIGNED, TRAILER = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", "STREAMING-UNSIGNED-PAYLOAD-TRAILER", "-TRAILER"
WORDS = [SIGNED, SIGNED + TRAILER, UNSIGNED]
STEP = 65536


class Made:
    """Headers and body of one PUT."""

    def __init__(self, s3, folder, word, key, data, step=STEP, sums=("crc32c",), wrong=False):
        source, to = os.path.join(folder, "in"), os.path.join(folder, "out")
        with open(source, "wb") as f:
            f.write(data)
        given = {"x-amz-decoded-content-length": str(len(data)), "content-type": "video/mp4"}
        if getattr(s3, "name", None) != "versitygw":  # which keeps it with the object
            given["content-encoding"] = "aws-chunked"
        trailer = ""
        if word.endswith(TRAILER):
            given["x-amz-trailer"] = ",".join("x-amz-checksum-" + n for n in sums)
            trailer = "".join("x-amz-checksum-%s: %s\n" % (n, crc(n, data + b"!" if wrong else data)) for n in sums)
        self.target = "/%s/%s" % (s3.bucket, key)
        told = host(s3, "chunks", word, str(step), s3.url + self.target, source, to,
                    "".join("%s: %s\n" % x for x in given.items()), trailer).out
        self.headers = dict(given, **dict(line.split(": ", 1) for line in told.strip().split("\n")))
        with open(to, "rb") as f:
            self.body = f.read()
        assert self.headers["Content-Length"] == str(len(self.body)), (self.headers["Content-Length"], len(self.body))

    def put(self, s3, body=None):
        return Client(s3).send("PUT", self.target, self.headers, self.body if body is None else body)


def got(s3, key):
    return Client(s3).call("GET", s3.bucket, key)


def taken(folder, s3):
    """Every word, around each edge of a chunk; the bytes and the type are what was sent."""
    for word in WORDS:
        for size in (1, STEP - 1, STEP, STEP + 1, 300000, 0):
            data = os.urandom(size)
            made = Made(s3, folder, word, "k%d" % size, data)
            status, body, _ = made.put(s3)
            assert status == 200, "%s, %d bytes: %d %s" % (word, size, status, body[:300])
            status, body, headers = got(s3, "k%d" % size)
            assert (status, body, headers["content-type"]) == (200, data, "video/mp4"), (word, size, status)
            assert "aws-chunked" not in headers.get("content-encoding", ""), headers
        status = Made(s3, folder, word, "small", os.urandom(100000), step=8192).put(s3)[0]
        assert status == 200, (word, status)


def sums(folder, s3):
    """Each CRC in the trailer is compared with the bytes."""
    for word in WORDS[1:]:
        for name in ("crc32", "crc32c", "crc64nvme"):
            key, data = "%s-%s" % (word, name), os.urandom(200001)
            status, body, _ = Made(s3, folder, word, key, data, sums=(name,)).put(s3)
            assert status == 200, (word, name, status, body[:300])
            head = Client(s3).call("HEAD", s3.bucket, key, headers={"x-amz-checksum-mode": "ENABLED"})[2]
            assert head.get("x-amz-checksum-" + name) == crc(name, data), (name, head)
            status, body, _ = Made(s3, folder, word, key + "-wrong", data, sums=(name,), wrong=True).put(s3)
            assert 400 <= status < 500, (word, name, status)
            assert got(s3, key + "-wrong")[0] == 404


def spoilt(folder, s3):
    """A byte, a signature, the order of chunks, the signature of the trailer: none of it comes in."""
    data = os.urandom(3 * STEP)
    for word in WORDS[:2]:
        key = "spoilt" + word
        made = Made(s3, folder, word, key, data)
        head = len(b"10000;chunk-signature=") + 64 + 2
        one = head + STEP + 2
        body = made.body
        assert body[:8] == b"10000;ch" and body[one:one + 8] == b"10000;ch"
        ways = {"byte": body[:one - 100] + bytes([body[one - 100] ^ 1]) + body[one - 99:],
                "signature": body[:22] + (b"0" if body[22:23] != b"0" else b"1") + body[23:],
                "order": body[one:2 * one] + body[:one] + body[2 * one:],
                "end": body[:3 * one + 18] + (b"0" if body[3 * one + 18:3 * one + 19] != b"0" else b"1") + body[3 * one + 19:]}
        if word.endswith(TRAILER):
            at = body.index(b"x-amz-trailer-signature:") + 24
            ways["trailer"] = body[:at] + (b"0" if body[at:at + 1] != b"0" else b"1") + body[at + 1:]
        for way, wrong in ways.items():
            assert len(wrong) == len(body) and wrong != body, way
            status, text, _ = made.put(s3, wrong)
            assert 400 <= status < 500, "%s, %s: %d %s" % (word, way, status, text[:200])
            assert got(s3, key)[0] == 404, way
        assert made.put(s3)[0] == 200 and got(s3, key)[1] == data


def botocores(folder, s3):
    """The same bytes on the wire as botocore's, where it has the form (unsigned, with a trailer)."""
    try:
        from botocore.httpchecksum import AwsChunkedWrapper, Crc32Checksum
    except ImportError:
        raise Skip("no botocore (tests/support/requirements.txt)") from None
    for size in (1, STEP, 2 * STEP + 5, 0):
        data = os.urandom(size)
        wrapper = AwsChunkedWrapper(io.BytesIO(data), checksum_cls=Crc32Checksum, checksum_name="x-amz-checksum-crc32",
                                    chunk_size=STEP)
        theirs = b""
        while True:
            more = wrapper.read()
            if not more:
                break
            theirs += more
        made = Made(s3, folder, UNSIGNED, "theirs", data, sums=("crc32",))
        assert made.body == theirs, (size, made.body[-80:], theirs[-80:])
        assert base64.b64decode(crc("crc32", data)) in base64.b64decode(theirs.split(b"x-amz-checksum-crc32:")[1].strip())


def main():
    name = sys.argv[1]
    cases = Cases("s3 chunks, " + name)
    try:
        with S3F() if name == "scripted" else real_server(name) as s3:
            for case in (taken, sums, spoilt) + ((botocores,) if name == "scripted" else ()):
                cases.run(case.__name__, case, s3)
    except Missing as why:
        print("skipped: %s" % why)
        return 77
    return cases.end()


if __name__ == "__main__":
    sys.exit(main())
