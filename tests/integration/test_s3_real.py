#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Real S3 servers (versitygw, MinIO: tests/support/s3_servers.py) under boto3, and a table of what they know.

    test_s3_real.py versitygw|minio
"""
import hashlib
import io
import json
import os
import re
import sys
import time
import xml.etree.ElementTree as ET

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "support"))

import s3_sigv4  # noqa: E402
from s3_client import Client  # noqa: E402
from s3_servers import Endpoint, Missing, real_server  # noqa: E402
from test_s3_server import CRCS, KEYS, MIB, b64, boto, chunks, code_of, crc, quoted, sha256  # noqa: E402
from titles import Cases, Skip  # noqa: E402


def real(_, name):
    try:
        server = real_server(name)
    except Missing as why:
        raise Skip(str(why)) from None
    with server as s3:
        client, data = boto(s3), os.urandom(11 * MIB)
        client.put_object(Bucket=s3.bucket, Key="a+b c~(\u00e9)/x", Body=data, ContentType="video/mp4",
                          CacheControl="no-store", Metadata={"a": "1"})
        got = client.get_object(Bucket=s3.bucket, Key="a+b c~(\u00e9)/x")
        assert got["Body"].read() == data and (got["ContentType"], got["CacheControl"], got["Metadata"]) == (
            "video/mp4", "no-store", {"a": "1"})
        assert client.get_object(Bucket=s3.bucket, Key="a+b c~(\u00e9)/x", Range="bytes=5-9")["Body"].read() == data[5:10]
        from boto3.s3.transfer import TransferConfig
        client.upload_fileobj(io.BytesIO(data), s3.bucket, "parts",
                              Config=TransferConfig(multipart_threshold=5 * MIB, multipart_chunksize=5 * MIB))
        assert client.get_object(Bucket=s3.bucket, Key="parts")["Body"].read() == data
        assert [c["Key"] for c in client.list_objects_v2(Bucket=s3.bucket)["Contents"]] == ["a+b c~(\u00e9)/x", "parts"]
        assert not client.list_multipart_uploads(Bucket=s3.bucket).get("Uploads")
        for line in capabilities(s3):
            print("  %s: %s" % (name, line))


def capabilities(s3):
    """Lines "what: how it is answered"."""
    client, bucket, data = Client(s3), s3.bucket, b"some bytes"

    def put(key="cap", headers=None, **named):
        return client.call("PUT", bucket, key, headers=headers, body=data, **named)
    yield "If-None-Match: * on a key that is there: put %s, on one that is not: %s" % (
        code_of((put(), put(headers={"if-none-match": "*"}))[1]), code_of(put("cap2", {"if-none-match": "*"})))
    for name in ("crc32", "crc32c", "crc64nvme", "sha256", "sha1"):
        right, wrong = ((crc(name, d) if name in CRCS else b64(hashlib.new(name, d).digest())) for d in (data, b"x"))
        kept = put(headers={"x-amz-checksum-" + name: right})
        shown = client.call("HEAD", bucket, "cap", headers={"x-amz-checksum-mode": "ENABLED"})[2]
        yield "x-amz-checksum-%s: right %s, wrong %s, kept %s" % (
            name, code_of(kept), code_of(put(headers={"x-amz-checksum-" + name: wrong})),
            shown.get("x-amz-checksum-" + name) == right)
    yield "Content-MD5 wrong: " + code_of(put(headers={"content-md5": b64(hashlib.md5(b"x").digest())}))
    yield "UNSIGNED-PAYLOAD over http: " + code_of(put(payload="UNSIGNED-PAYLOAD"))
    headers = {"content-encoding": "aws-chunked", "x-amz-decoded-content-length": str(len(data)),
               "x-amz-trailer": "x-amz-checksum-crc32c"}
    payload = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
    headers = client.sign("PUT", "/%s/cap" % bucket, headers, payload)
    body = chunks(client, headers, data, payload, None)
    yield "%s: %s" % (payload, code_of(client.send("PUT", "/%s/cap" % bucket, headers, body)))
    put("tagged", {"x-amz-tagging": "a=1"})
    yield "x-amz-tagging: " + code_of(client.call("GET", bucket, "tagged", "tagging="))
    for header, value in (("x-amz-storage-class", "STANDARD_IA"), ("x-amz-server-side-encryption", "AES256"),
                          ("x-amz-acl", "public-read")):
        yield "%s: %s %s" % (header, value, code_of(put("k-" + header, {header: value})))
    yield "unsigned GET of a public-read object: " + code_of(client.send("GET", "/%s/k-x-amz-acl" % bucket))
    yield from more_capabilities(s3, client, bucket, data)


def more_capabilities(s3, client, bucket, data):
    for algorithm, kind in (("CRC32C", "COMPOSITE"), ("CRC32C", "FULL_OBJECT"), ("CRC64NVME", "FULL_OBJECT")):
        answer = client.call("POST", bucket, "mp", "uploads=",
                             {"x-amz-checksum-algorithm": algorithm, "x-amz-checksum-type": kind})
        said = [code_of(answer)]
        if answer[0] == 200:
            name = ET.fromstring(answer[1]).findtext("{*}UploadId")
            value = crc(algorithm.lower(), data)
            part = client.call("PUT", bucket, "mp", "partNumber=1&uploadId=" + quoted(name),
                               {"x-amz-checksum-" + algorithm.lower(): value}, data)
            said.append("part " + code_of(part))
            listed = client.call("GET", bucket, "mp", "uploadId=" + quoted(name))
            said.append("ListParts tells it: %s" % (value.encode() in listed[1]))
            body = ("<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>%s</ETag><Checksum%s>%s</Checksum%s>"
                    "</Part></CompleteMultipartUpload>" % (part[2].get("etag"), algorithm, value, algorithm)).encode()
            done = client.call("POST", bucket, "mp", "uploadId=" + quoted(name), {"x-amz-checksum-type": kind}, body)
            said.append("Complete %s, tells %s" % (code_of(done), re.findall(rb"<ChecksumType>(\w+)<", done[1])))
            again = client.call("POST", bucket, "mp", "uploadId=" + quoted(name), {"x-amz-checksum-type": kind}, body)
            said.append("again %s" % code_of(again))
        yield "multipart %s %s: %s" % (algorithm, kind, ", ".join(said))
    answer = client.call("POST", bucket, "mp2", "uploads=")
    name = ET.fromstring(answer[1]).findtext("{*}UploadId")
    part = client.call("PUT", bucket, "mp2", "partNumber=1&uploadId=" + quoted(name), body=data)
    body = ("<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>%s</ETag></Part></CompleteMultipartUpload>"
            % part[2]["etag"]).encode()
    client.call("PUT", bucket, "mp2", body=b"there")
    yield "If-None-Match: * on Complete: " + code_of(client.call("POST", bucket, "mp2", "uploadId=" + quoted(name),
                                                                {"if-none-match": "*"}, body))
    client.call("DELETE", bucket, "mp2", "uploadId=" + quoted(name))
    yield "ETag is the MD5: %s" % (client.call("HEAD", bucket, "cap")[2]["etag"].strip('"') == hashlib.md5(data).hexdigest())
    yield "HeadBucket x-amz-bucket-region: %s" % client.call("HEAD", bucket)[2].get("x-amz-bucket-region")
    yield "GetBucketLocation: " + code_of(client.call("GET", bucket, query="location="))
    answer = client.call("GET", bucket, "cap", region="eu-west-1")
    yield "another region in the scope: %s, tells %s" % (code_of(answer), re.findall(rb"<Region>(.*?)</Region>", answer[1]))
    yield "date 20 minutes old: " + code_of(client.call("GET", bucket, "cap", now=time.time() - 1200))
    yield "presigned GET: %s, altered: %s" % (
        code_of(client.send("GET", client.presign("GET", "/%s/cap" % bucket))),
        code_of(client.send("GET", client.presign("GET", "/%s/cap" % bucket).replace("/cap?", "/cap2?"))))
    copied = client.call("PUT", bucket, "copy", headers={"x-amz-copy-source": "/%s/cap" % bucket})
    yield "CopyObject: " + code_of(copied)
    body = b"<Delete><Object><Key>cap</Key></Object><Object><Key>none</Key></Object></Delete>"
    for header, value in (("content-md5", b64(hashlib.md5(body).digest())), ("x-amz-checksum-crc32c", crc("crc32c", body)),
                          (None, None)):
        yield "DeleteObjects with %s: %s" % (header, code_of(client.call("POST", bucket, query="delete=", body=body, headers={
            header: value} if header else None)))
    cors = b"<CORSConfiguration><CORSRule><AllowedOrigin>*</AllowedOrigin><AllowedMethod>GET</AllowedMethod>" \
           b"<AllowedHeader>*</AllowedHeader></CORSRule></CORSConfiguration>"
    yield "PutBucketCors: " + code_of(client.call("PUT", bucket, query="cors=", body=cors, headers={
        "content-md5": b64(hashlib.md5(cors).digest())}))
    status, _, headers = client.send("OPTIONS", "/%s/mp" % bucket, {"origin": "https://a.example",
                                                                   "access-control-request-method": "GET",
                                                                   "access-control-request-headers": "range"})
    yield "preflight: %d, allows %s" % (status, headers.get("access-control-allow-origin"))
    policy = json.dumps({"Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Principal": {"AWS": ["*"]}, "Action": ["s3:GetObject"],
        "Resource": ["arn:aws:s3:::%s/*" % bucket]}]}).encode()
    made = client.call("PUT", bucket, query="policy=", body=policy)
    yield "PutBucketPolicy (public read): %s, then unsigned GET: %s" % (
        code_of(made), code_of(client.send("GET", "/%s/mp" % bucket)))
    yield "virtual-host style: " + virtual(s3, bucket)
    yield "keys: " + odd_keys(client, bucket)
    yield "AssumeRole at /: " + assume_role(s3)


def virtual(s3, bucket):
    client = Client(s3)
    given, client.host = client.host, "%s.localhost:%d" % (bucket, s3.port)
    headers = client.sign("GET", "/mp", {}, s3_sigv4.EMPTY_SHA256)
    client.host = given
    return code_of(client.send("GET", "/mp", headers))


def odd_keys(client, bucket):
    """Which of KEYS come back as they were put."""
    wrong = []
    for key in KEYS:
        put = client.call("PUT", bucket, "odd/" + key, body=key.encode())
        if put[0] != 200 or client.call("GET", bucket, "odd/" + key)[1] != key.encode():
            wrong.append("%r (%s)" % (key, code_of(put)))
    return "all" if not wrong else "all but " + ", ".join(wrong)


def assume_role(s3):
    body = b"Action=AssumeRole&Version=2011-06-15&DurationSeconds=900"
    date = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    host, scope = s3.url.split("://")[1], "%s/%s/sts/aws4_request" % (date[:8], s3.region)
    lines = "content-type:application/x-www-form-urlencoded\nhost:%s\nx-amz-date:%s\n" % (host, date)
    text = "\n".join(["POST", "/", "", lines, "content-type;host;x-amz-date", sha256(body)])
    to_sign = "\n".join(["AWS4-HMAC-SHA256", date, scope, sha256(text.encode())])
    key = s3_sigv4.signing_key(s3.secret_key, date[:8], s3.region, "sts")
    signature = s3_sigv4.hexmac(key, to_sign)
    answer = Client(s3).send("POST", "/", {
        "content-type": "application/x-www-form-urlencoded", "x-amz-date": date,
        "authorization": "AWS4-HMAC-SHA256 Credential=%s/%s, SignedHeaders=content-type;host;x-amz-date, Signature=%s" % (
            s3.access_key, scope, signature)}, body)
    found = [re.search(rb"<%s>(.*?)</" % n, answer[1]) for n in (b"AccessKeyId", b"SecretAccessKey", b"SessionToken")]
    if not all(found):
        return code_of(answer)
    other = Endpoint()
    other.url, other.region = s3.url, s3.region
    other.access_key, other.secret_key, other.token = (f[1].decode() for f in found)
    return "%s, its keys: put %s" % (code_of(answer), code_of(Client(other).call("PUT", s3.bucket, "sts", body=b"1")))


def main():
    cases = Cases("s3-real")
    for name in sys.argv[1:] or ("versitygw", "minio"):
        cases.run(name, real, name)
    return cases.end()


if __name__ == "__main__":
    sys.exit(main())
