# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the scripted S3 server stores: blobs in memory or, larger ones, in files; objects, uploads in parts, buckets, and the
checksums of all these."""
import base64
import bisect
import hashlib
import os
import time

import s3_crc
from s3_sigv4 import S3Error

IN_MEMORY = 256 << 10
ALGORITHMS = ("crc32", "crc32c", "crc64nvme", "sha1", "sha256")
CHECKSUM_HEADERS = {"x-amz-checksum-" + name: name for name in ALGORITHMS}
XML_NAME = {"crc32": "ChecksumCRC32", "crc32c": "ChecksumCRC32C", "crc64nvme": "ChecksumCRC64NVME",
            "sha1": "ChecksumSHA1", "sha256": "ChecksumSHA256"}


def b64(data):
    return base64.b64encode(data).decode()


class Blob:
    """Bytes that do not change; a file goes with the last reference."""
    __slots__ = ("data", "path", "fd", "size")

    def __init__(self, size, data=None, path=None, fd=-1):
        self.size, self.data, self.path, self.fd = size, data, path, fd

    def read(self, start, count):
        if self.data is not None:
            return self.data[start:start + count]
        return os.pread(self.fd, count, start)

    def __del__(self):
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1
            if self.path:
                try:
                    os.unlink(self.path)
                except OSError:
                    pass


class Body:
    """Takes what comes: hashes it, keeps it. hashes: names of ALGORITHMS or "md5"."""
    names = 0

    def __init__(self, folder, hashes, keep=True):
        self.folder, self.keep, self.size = folder, keep, 0
        self.data, self.fd, self.path = bytearray(), -1, None
        self.crcs = {name: 0 for name in hashes if name in s3_crc.POLY}
        self.hashes = {name: hashlib.new(name) for name in hashes if name not in s3_crc.POLY}

    def write(self, data):
        self.size += len(data)
        for one in self.hashes.values():
            one.update(data)
        for name in self.crcs:
            self.crcs[name] = s3_crc.update(name, self.crcs[name], data)
        if not self.keep:
            return
        if self.fd < 0:
            if self.size <= IN_MEMORY:
                self.data += data
                return
            Body.names += 1
            self.path = os.path.join(self.folder, "blob-%d" % Body.names)
            self.fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            if self.data:
                os.write(self.fd, self.data)
                self.data = None
        while data:
            data = data[os.write(self.fd, data):]

    def digest(self, name):
        if name in self.crcs:
            return s3_crc.to_bytes(name, self.crcs[name])
        return self.hashes[name].digest()

    def has(self, name):
        return name in self.crcs or name in self.hashes

    def blob(self):
        if self.fd < 0:
            return Blob(self.size, bytes(self.data))
        found = Blob(self.size, None, self.path, self.fd)
        self.fd = -1
        return found

    def drop(self):
        if self.fd >= 0:
            Blob(self.size, None, self.path, self.fd)
            self.fd = -1


def whole(blob):
    return [(blob, 0, blob.size)] if blob.size else []


def pieces(chunks, start, count):
    """The same bytes as chunks[start:start + count]."""
    for blob, at, size in chunks:
        if count <= 0:
            return
        if start >= size:
            start -= size
            continue
        n = min(size - start, count)
        yield blob, at + start, n
        count -= n
        start = 0


def read_all(chunks, step=1 << 20):
    for blob, at, size in chunks:
        while size:
            data = blob.read(at, min(size, step))
            if not data:
                raise OSError("a blob is shorter than it was")
            yield data
            at += len(data)
            size -= len(data)


class Object:
    __slots__ = ("chunks", "size", "etag", "headers", "meta", "checksums", "checksum_type", "mtime", "acl", "tags",
                 "hash", "upload", "parts")

    def __init__(self, chunks, etag, headers, meta):
        self.chunks, self.etag, self.headers, self.meta = chunks, etag, headers, meta
        self.size = sum(size for _, _, size in chunks)
        self.checksums, self.checksum_type, self.mtime = {}, "FULL_OBJECT", time.time()
        self.acl, self.tags, self.hash, self.upload, self.parts = "private", "", None, None, 0

    def sha256(self):
        if self.hash is None:
            found = hashlib.sha256()
            for data in read_all(self.chunks):
                found.update(data)
            self.hash = found.hexdigest()
        return self.hash


class Part:
    __slots__ = ("chunks", "size", "etag", "checksums", "mtime")

    def __init__(self, chunks, etag, checksums):
        self.chunks, self.etag, self.checksums = chunks, etag, checksums
        self.size, self.mtime = sum(size for _, _, size in chunks), time.time()


class Upload:
    def __init__(self, name, key, headers, meta):
        self.id, self.key, self.headers, self.meta = name, key, headers, meta
        self.parts, self.algorithm, self.checksum_type = {}, None, None
        self.acl, self.tags, self.began = "private", "", time.time()


class Bucket:
    def __init__(self, name, region):
        self.name, self.region, self.began, self.cors = name, region, time.time(), None
        self.objects, self.uploads, self.done = {}, {}, {}
        self.sorted = []
        self.dirty = False

    def put(self, key, thing):
        if key not in self.objects:
            self.dirty = True
        self.objects[key] = thing

    def delete(self, key):
        if self.objects.pop(key, None) is not None:
            self.dirty = True

    def keys(self, prefix, after):
        """In the order of their UTF-8 bytes, from the first that is >= prefix and > after."""
        if self.dirty:
            self.sorted = sorted((key.encode(), key) for key in self.objects)
            self.dirty = False
        start = bisect.bisect_left(self.sorted, (prefix.encode(), ""))
        if after:
            start = max(start, bisect.bisect_right(self.sorted, (after.encode(), after)))
        for n in range(start, len(self.sorted)):
            key = self.sorted[n][1]
            if not key.startswith(prefix):
                return
            yield key


def etag_of(body, style):
    if style == "md5":
        return '"%s"' % body.digest("md5").hex()
    return '"%s"' % os.urandom(16).hex()


def asked_checksums(headers):
    """name -> value of the x-amz-checksum-* headers."""
    return {CHECKSUM_HEADERS[n]: v[0] for n, v in headers.items() if n in CHECKSUM_HEADERS}


def check_checksums(body, asked, md5):
    """What is told of a body against what came."""
    if md5 is not None:
        try:
            want = base64.b64decode(md5, validate=True)
        except ValueError:
            want = b""
        if len(want) != 16:
            raise S3Error(400, "InvalidDigest", "The Content-MD5 you specified was invalid.")
        if want != body.digest("md5"):
            raise S3Error(400, "BadDigest", "The Content-MD5 you specified did not match what we received.")
    if len(asked) > 1:
        raise S3Error(400, "InvalidRequest", "Expecting a single x-amz-checksum- header. Multiple checksum Types are not "
                      "allowed.")
    for name, value in asked.items():
        try:
            want = base64.b64decode(value, validate=True)
        except ValueError:
            want = b""
        if len(want) != len(body.digest(name)):
            raise S3Error(400, "InvalidRequest", "Value for x-amz-checksum-%s header is invalid." % name)
        if want != body.digest(name):
            raise S3Error(400, "BadDigest", "The %s you specified did not match the calculated checksum." % name.upper())


def composite(name, parts):
    """The checksum of checksums, "value-N"."""
    joined = b"".join(base64.b64decode(p.checksums[name]) for p in parts)
    if name in s3_crc.POLY:
        digest = s3_crc.to_bytes(name, s3_crc.update(name, 0, joined))
    else:
        digest = hashlib.new(name, joined).digest()
    return "%s-%d" % (b64(digest), len(parts))


def full_object(name, parts):
    crc = 0
    for p in parts:
        crc = s3_crc.combine(name, crc, int.from_bytes(base64.b64decode(p.checksums[name]), "big"), p.size)
    return b64(s3_crc.to_bytes(name, crc))


def checksum_of(name, chunks):
    """Of bytes that are stored already."""
    body = Body("", [name], keep=False)
    for data in read_all(chunks):
        body.write(data)
    return b64(body.digest(name))
