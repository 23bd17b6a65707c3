#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""vp_s3 beside what others wrote: boto3 on versitygw and MinIO. What one writes or signs the other reads.

    test_s3_others.py versitygw|minio S3_HOST [CASE...]
"""
import base64
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import uuid

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "support"))

from s3_servers import Missing, real_server  # noqa: E402
from test_s3_faults import HOST, Folder, environment, host  # noqa: E402
from test_s3_server import crc  # noqa: E402
from titles import FULL, Cases  # noqa: E402

MIB = 1 << 20


def sha(data):
    return hashlib.sha256(data).hexdigest()


def stored(client, s3, key):
    return client.get_object(Bucket=s3.bucket, Key=key)["Body"].read()


def they_read_ours(s3):
    """Every checksum, single and in parts, odd names; what boto3 reads is what was sent, and is as it was told."""
    client = s3.boto()
    with Folder() as folder:
        for checksum in range(5):
            for size in (0, 1000, 20 * MIB + 5):
                path, digest = folder.file("f%d" % size, size)
                key = "c%d/a+b c~@(\u00e9)=%d" % (checksum, size)
                host(s3, "checksum=%d" % checksum, "type=video/mp4", "cache=no-cache", "headers=x-amz-meta-title: one", "put",
                     s3.bucket, key, path)
                answer = client.get_object(Bucket=s3.bucket, Key=key)
                assert sha(answer["Body"].read()) == digest, key
                assert answer["ContentType"] == "video/mp4" and answer["CacheControl"] == "no-cache", answer
                assert answer["Metadata"]["title"] == "one", answer["Metadata"]
        listed = {line.split(" ", 1)[1] for line in host(s3, "list", s3.bucket, "").out.strip().split("\n")}
        theirs = {o["Key"] for o in client.list_objects_v2(Bucket=s3.bucket)["Contents"]}
        assert listed == theirs and len(listed) == 15, listed ^ theirs


def we_read_theirs(s3):
    """Objects and addresses of boto3, by s3:// and by https://."""
    client, data = s3.boto(), os.urandom(9 * MIB + 77)
    client.put_object(Bucket=s3.bucket, Key="theirs/a b.mp4", Body=data)
    for args in ((s3.bucket, "theirs/a b.mp4"),
                 (client.generate_presigned_url("get_object", {"Bucket": s3.bucket, "Key": "theirs/a b.mp4"}),)):
        done = subprocess.run([HOST, "read", *args], env=environment(s3), capture_output=True, timeout=120, check=False)
        assert done.returncode == 0 and done.stdout == data, done.stderr[-300:]
    host(s3, "copy", s3.bucket, "theirs/a b.mp4", s3.bucket, "ours/copy")
    assert stored(client, s3, "ours/copy") == data
    assert host(s3, "delete-prefix", s3.bucket, "ours/").value()["count"] == 1


def request(url, data=None, method="GET", headers=None):
    """Status and body."""
    r = urllib.request.Request(url, data=data, method=method, headers=headers or {})
    try:
        with urllib.request.urlopen(r, timeout=60) as answer:
            return answer.status, answer.read(), answer.headers
    except urllib.error.HTTPError as error:
        return error.code, error.read(), error.headers


def addresses(s3):
    """GET, PUT and UploadPart by addresses of ours; altered and late ones are refused."""
    client = s3.boto()
    url = host(s3, "presign", "PUT", s3.bucket, "p/a+b c").out.strip()
    assert request(url, b"hello", "PUT", {"Content-Type": ""})[0] == 200
    get = host(s3, "presign", "GET", s3.bucket, "p/a+b c").out.strip()
    assert request(get)[:2] == (200, b"hello")
    assert request(get.replace("p/a%2Bb", "p/b"))[0] == 403
    short = host(s3, "expires=1", "presign", "GET", s3.bucket, "p/a+b c").out.strip()
    time.sleep(2.5)
    assert request(short)[0] == 403
    upload = client.create_multipart_upload(Bucket=s3.bucket, Key="p/parts")["UploadId"]
    parts = []
    for number in (1, 2):
        part = host(s3, "presign-part", s3.bucket, "p/parts", upload, str(number)).out.strip()
        status, _, headers = request(part, bytes([number]) * (5 * MIB), "PUT", {"Content-Type": ""})
        assert status == 200
        parts.append({"PartNumber": number, "ETag": headers["ETag"]})
    client.complete_multipart_upload(Bucket=s3.bucket, Key="p/parts", UploadId=upload, MultipartUpload={"Parts": parts})
    assert stored(client, s3, "p/parts") == b"\x01" * (5 * MIB) + b"\x02" * (5 * MIB)


def form(fields, data, name="film.mp4", kind="video/mp4"):
    """A body of multipart/form-data as browsers make it, the file last."""
    mark = uuid.uuid4().hex
    text = "".join('--%s\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n' % (mark, k, v) for k, v in fields.items())
    text += '--%s\r\nContent-Disposition: form-data; name="file"; filename="%s"\r\nContent-Type: %s\r\n\r\n' % (mark, name, kind)
    return text.encode() + data + ("\r\n--%s--\r\n" % mark).encode(), {"Content-Type": "multipart/form-data; boundary=" + mark}


def forms(s3):
    """A browser uploads straight to the bucket; a larger file, another name or a late form is refused."""
    client, url = s3.boto(), "%s/%s" % (s3.url, s3.bucket)
    # versitygw takes ${filename} for a name as any other
    key = "incoming/${filename}" if s3.name == "minio" else "incoming/film.mp4"
    made = host(s3, "type=video/", "post", url, s3.bucket, key, "1000").value()
    fields = dict(made["fields"], **{"Content-Type": "video/mp4"})
    body, headers = form(fields, b"x" * 900)
    status, text, _ = request(made["url"], body, "POST", headers)
    assert status in (200, 201, 204), (status, text[:300])
    assert stored(client, s3, "incoming/film.mp4") == b"x" * 900
    for wrong, data in ((dict(fields), b"x" * 1100), (dict(fields, key="other/${filename}"), b"x"),
                        (dict(fields, **{"Content-Type": "text/html"}), b"x"),
                        (dict(fields, **{"x-amz-signature": "0" * 64}), b"x")):
        body, headers = form(wrong, data)
        status, text, _ = request(made["url"], body, "POST", headers)
        assert 400 <= status < 500, (status, wrong, text[:200])
    late = host(s3, "expires=1", "post", url, s3.bucket, "incoming/late", "1000").value()
    time.sleep(2.5)
    body, headers = form(late["fields"], b"x")
    assert 400 <= request(late["url"], body, "POST", headers)[0] < 500


# Of what an object is given, what the server has; None: the server keeps no such thing.
KEEPS = {"versitygw": {"StorageClass": None, "ServerSideEncryption": None},
         "minio": {"StorageClass": "REDUCED_REDUNDANCY", "ServerSideEncryption": "AES256"}}
GIVEN = {"type": "video/mp4", "cache": "public, max-age=7", "encoding": "identity", "disposition": 'attachment; filename="a b.mp4"',
         "tags": "title=42&a%20b=c%2Bd", "class": "REDUCED_REDUNDANCY", "sse": "AES256",
         "headers": "x-amz-meta-title: one, two\nx-amz-meta-Other: 2\nContent-Language: de\nExpires: Wed, 21 Oct 2065 07:28:00 GMT"}


def is_as_given(client, s3, key, data):
    """What boto3 sees of an object is all that it was given, and nothing else of it. The answer to HEAD."""
    head = client.head_object(Bucket=s3.bucket, Key=key, ChecksumMode="ENABLED")
    want = {"ContentType": "video/mp4", "CacheControl": "public, max-age=7", "ContentEncoding": "identity",
            "ContentDisposition": 'attachment; filename="a b.mp4"', "ContentLanguage": "de", "ContentLength": len(data)}
    for name, value in dict(want, **KEEPS[s3.name]).items():
        assert value is None or head.get(name) == value, "%s: %s is %r, not %r" % (key, name, head.get(name), value)
    assert head["ExpiresString"] == "Wed, 21 Oct 2065 07:28:00 GMT", head
    mark = head["Metadata"].pop("vodpipe-upload", None)
    assert head["Metadata"] == {"title": "one, two", "other": "2"} and (mark is None or len(mark) == 32), head["Metadata"]
    tags = client.get_object_tagging(Bucket=s3.bucket, Key=key)["TagSet"]
    assert sorted((t["Key"], t["Value"]) for t in tags) == [("a b", "c+d"), ("title", "42")], tags
    got = client.get_object(Bucket=s3.bucket, Key=key)
    assert sha(got["Body"].read()) == sha(data) and got["ContentType"] == "video/mp4", key
    listed = client.list_objects_v2(Bucket=s3.bucket, Prefix=key)["Contents"]
    assert [(o["Key"], o["Size"]) for o in listed] == [(key, len(data))] and listed[0]["ETag"] == head["ETag"], listed
    return head


def composite(parts):
    """A checksum of checksums: CRC32C of what the parts have, and how many they are."""
    return "%s-%d" % (crc("crc32c", b"".join(base64.b64decode(crc("crc32c", p)) for p in parts)), len(parts))


def properties(s3):
    """In one request, in parts, in the host's hands, copied: as given; with the checksums that the bytes have."""
    client, part = s3.boto(), 5 * MIB
    given = ["%s=%s" % x for x in GIVEN.items()]
    with Folder() as folder:
        for name, size in (("one", 70000), ("parts", part + 1000)):
            path, _ = folder.file(name, size)
            with open(path, "rb") as f:
                data = f.read()
            pieces = [data[i:i + part] for i in range(0, size, part)]
            for checksum, told, kind in ((1, None, None), (2, None, None),
                                         (3, "ChecksumCRC32C", crc("crc32c", data) if len(pieces) == 1 else composite(pieces)),
                                         (4, "ChecksumCRC64NVME", crc("crc64nvme", data))):
                key = "given/%s-%d" % (name, checksum)
                host(s3, "checksum=%d" % checksum, "part=%d" % part, "from=%d" % part, *given, "put", s3.bucket, key, path)
                head = is_as_given(client, s3, key, data)
                assert told is None or head.get(told) == kind, (key, told, head.get(told), kind)
                assert head["ETag"].strip('"').endswith("-2") == (len(pieces) == 2), head["ETag"]
        host(s3, "part=%d" % part, *given, "token=" + os.path.join(folder.path, "token"), "upload", s3.bucket, "given/hands", path)
        is_as_given(client, s3, "given/hands", data)
        host(s3, *given, "copy", s3.bucket, "given/one-1", s3.bucket, "given/copy")
        is_as_given(client, s3, "given/copy", stored(client, s3, "given/one-1"))


def they_sign(s3):
    """Addresses that boto3 signed for what we wrote are sources to us; altered and late ones are not, nor those of others."""
    client = s3.boto()
    with Folder() as folder:
        path, _ = folder.file("film", 9 * MIB + 5)
        with open(path, "rb") as f:
            data = f.read()
        for key in ("film.mp4", "a b/c+d~(\u00e9)'&=.mp4"):
            host(s3, "put", s3.bucket, key, path)
            for more in ({}, {"ResponseContentType": "text/plain", "ResponseCacheControl": "no-store"}):
                url = client.generate_presigned_url("get_object", dict(more, Bucket=s3.bucket, Key=key), ExpiresIn=300)
                done = subprocess.run([HOST, "read", url], env=environment(s3), capture_output=True, timeout=120, check=False)
                assert done.returncode == 0 and done.stdout == data, (key, done.stderr[-300:])
        late = client.generate_presigned_url("get_object", {"Bucket": s3.bucket, "Key": "film.mp4"}, ExpiresIn=1)
        time.sleep(2.5)
        for wrong in (late, url.replace("X-Amz-Signature=", "X-Amz-Signature=0"), url.split("?")[0],
                      client.generate_presigned_url("put_object", {"Bucket": s3.bucket, "Key": "film.mp4"})):
            failed = host(s3, "read", wrong, good=False).err
            assert "HTTP 403" in failed or "403" in failed, failed[-300:]
            assert wrong.split("Signature=")[-1] not in failed or "Signature=" not in wrong, "a signature is in what is told"


def parts_of_others(s3):
    """A part of ours and parts that others sent by our addresses become one object; not with CRC32C, not of another size."""
    client, size, part = s3.boto(), 11 * MIB, 5 * MIB
    with Folder() as folder:
        path, digest = folder.file("film", size)
        with open(path, "rb") as f:
            data = f.read()
        for checksum in (1, 2) + ((4,) if s3.name != "minio" else ()):  # MinIO wants it with each part then
            key, token = "mixed/%d" % checksum, os.path.join(folder.path, "token%d" % checksum)
            given = ["checksum=%d" % checksum, "part=%d" % part, "token=" + token]
            # ours is the first, after which it "crashes"
            stopped = host(s3, *given, "stop=1", "upload", s3.bucket, key, path, good=None)
            assert stopped.code == 9, stopped.err[-300:]
            for number, piece in ((2, data[part:2 * part]), (3, data[2 * part:2 * part + 1000])):
                url = host(s3, *given, "address", str(number)).out.strip()
                assert request(url, piece, "PUT", {"Content-Type": ""})[0] == 200
            host(s3, *given, "adopt")
            with open(token, encoding="ascii") as f:
                known = json.load(f)["parts"]
            assert [p[0] for p in known] == [part, part], "a part of another size is taken: %s" % known
            url = host(s3, *given, "address", "3").out.strip()
            assert request(url, data[2 * part:], "PUT", {"Content-Type": ""})[0] == 200
            host(s3, *given, "adopt")
            info = host(s3, *given, "complete").value()
            assert info["size"] == size and sha(stored(client, s3, key)) == digest, key
        token = "token=" + os.path.join(folder.path, "token3")
        host(s3, "checksum=3", token, "begin", s3.bucket, "mixed/3", str(size))
        assert "CRC32C" in host(s3, "checksum=3", token, "adopt", good=False).err
        host(s3, "checksum=3", token, "abort")
        left = client.list_multipart_uploads(Bucket=s3.bucket).get("Uploads")
        assert not left, left


def parts_in(client, s3):
    """Of the one upload that there is."""
    uploads = client.list_multipart_uploads(Bucket=s3.bucket).get("Uploads", [])
    return sum(len(client.list_parts(Bucket=s3.bucket, Key=u["Key"], UploadId=u["UploadId"]).get("Parts", []))
               for u in uploads)


def killed(s3):
    """kill -9 in the middle of a large file, three times; what goes on sends only what is missing, and nothing is left."""
    megabytes = 2048 if FULL else 300
    client, noise = s3.boto(), os.urandom(8 * MIB)
    with Folder() as folder:
        path, digest = os.path.join(folder.path, "film.mp4"), hashlib.sha256()
        with open(path, "wb") as f:
            for i in range(megabytes // 8):
                block = i.to_bytes(8, "big") + noise[8:]
                digest.update(block)
                f.write(block)
        work = tempfile.mkdtemp(prefix="vodpipe-s3-killed-")
        args = [HOST, "connections=2", "work=" + work, "tree", s3.bucket, "big", folder.path]
        try:
            for n in (1, 2, 3):
                child = subprocess.Popen(args, env=environment(s3), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                while parts_in(client, s3) * 8 < megabytes * n // 5:
                    assert child.poll() is None, "it ended before it was killed"
                child.send_signal(signal.SIGKILL)
                child.wait()
            # two connections, and what was in while its note was being written
            left = megabytes - parts_in(client, s3) * 8
            run = host(s3, *args[1:], timeout=600)
            assert run.counts["sent"] <= (left + 4 * 8) * MIB, "%d MB were sent, %d were missing" % (run.counts["sent"] // MIB,
                                                                                                    left)
            answer, seen = client.get_object(Bucket=s3.bucket, Key="big/film.mp4"), hashlib.sha256()
            for block in answer["Body"].iter_chunks(MIB):
                seen.update(block)
            assert seen.hexdigest() == digest.hexdigest()
            assert not client.list_multipart_uploads(Bucket=s3.bucket).get("Uploads"), "parts are left"
            print("  %d MB: the last run sent %d MB" % (megabytes, run.counts["sent"] // MIB))
        finally:
            shutil.rmtree(work, ignore_errors=True)


def main():
    name = sys.argv[1]
    try:
        import boto3  # noqa: F401
    except ImportError:
        print("skipped: no boto3 (tests/support/requirements.txt)")
        return 77
    cases = Cases("s3 others, " + name)
    try:
        for case in (they_read_ours, we_read_theirs, properties, they_sign, parts_of_others, addresses, forms, killed):
            if sys.argv[3:] and case.__name__ not in sys.argv[3:]:
                continue
            server = real_server(name)
            if case is properties:  # without a key of its own MinIO encrypts nothing
                server.more = {"MINIO_KMS_SECRET_KEY": "tests:" + base64.b64encode(os.urandom(32)).decode()}
            with server as s3:
                cases.run(case.__name__.replace("_", " "), lambda _, case=case, s3=s3: case(s3))
    except Missing as why:
        print("skipped: %s" % why)
        return 77
    return cases.end()


if __name__ == "__main__":
    sys.exit(main())
