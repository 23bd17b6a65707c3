#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The scripted S3 server that other tests trust (tests/support/s3_fault_server.py), driven by boto3 and by a client that is
wrong on purpose.

    test_s3_server.py signatures|objects|multipart|faults
"""
import base64
import collections
import contextlib
import glob
import hashlib
import http.client
import io
import json
import os
import re
import socket
import sys
import threading
import time
import urllib.parse
import xml.etree.ElementTree as ET
import zlib

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "support"))

import s3_crc  # noqa: E402
import s3_sigv4  # noqa: E402
from s3_client import Client  # noqa: E402
from s3_servers import S3F  # noqa: E402
from titles import SHARED, Cases, Skip  # noqa: E402

MIB = 1 << 20
KEYS = ["a+b c~@(\u00e9)/../%", "plain", "two//slashes", "trailing/", "./dot", "100%", "\u65e5\u672c/\U0001f3ac.m4s",
        "a&b=c;d?e#f", "quote'\"<>", "%2F", "~tilde_-.", "sp  ace", "*'()!"]
CRCS = {"crc32": b"\xcb\xf4\x39\x26", "crc32c": b"\xe3\x06\x92\x83", "crc64nvme": bytes.fromhex("ae8b14860a799888")}


def boto(endpoint, **config):
    try:
        return endpoint.boto(**config)
    except ImportError:
        raise Skip("no boto3 (tests/support/requirements.txt)") from None


def refused(code, fn, *args, **named):
    from botocore.exceptions import ClientError
    try:
        fn(*args, **named)
    except ClientError as error:
        assert error.response["Error"]["Code"] == code, "%s, not %s" % (error.response["Error"], code)
        return error.response
    raise AssertionError("%s was expected" % code)


def code_of(answer):
    """Code of an error document."""
    found = re.search(rb"<Code>(\w+)</Code>", answer[1])
    return "%d %s" % (answer[0], found[1].decode() if found else "")


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def b64(data):
    return base64.b64encode(data).decode()


def crc(name, data):
    return b64(s3_crc.to_bytes(name, s3_crc.update(name, 0, data)))


# ---- signatures ----

def vectors(_):
    """Canonical request and signature of AWS's own cases, as far as their paths are as S3 wants them."""
    checked = 0
    for folder in sorted(glob.glob(os.path.join(SHARED, "vectors/sigv4/*"))):
        if not os.path.isdir(folder) or (folder.endswith("-normalized") and "get-unreserved" not in folder):
            continue
        for form in ("header", "query"):
            def part(name, folder=folder, form=form):
                with open("%s/%s-%s.txt" % (folder, form, name), encoding="utf-8", newline="") as f:
                    return f.read().replace("\r\n", "\n")
            head, _, body = part("signed-request").partition("\n\n")
            lines = re.sub(r"\n[ \t]+", " ", head).split("\n")
            method, target = lines[0].split(" ")[0], " ".join(lines[0].split(" ")[1:-1])
            headers = {}
            for line in lines[1:]:
                name, _, value = line.partition(":")
                headers.setdefault(name.lower(), []).append(value)
            path, _, query = target.partition("?")
            items = [tuple(s3_sigv4.unquote(p) for p in pair.partition("=")[::2]) for pair in query.split("&") if pair]
            with open(folder + "/context.json", encoding="utf-8") as f:
                context = json.load(f)
            if form == "header":
                signed, given = s3_sigv4.AUTHORIZATION.match(headers["authorization"][0]).group(2, 3)
            else:
                signed, given = (dict(items)[n].decode() for n in (b"X-Amz-SignedHeaders", b"X-Amz-Signature"))
                items = [i for i in items if i[0] != b"X-Amz-Signature"]
                if context.get("omit_session_token"):
                    items = [i for i in items if i[0] != b"X-Amz-Security-Token"]
            payload = sha256(body.encode())
            text = s3_sigv4.canonical(method, urllib.parse.unquote_to_bytes(path), items, signed.split(";"), headers, payload)
            assert text == part("canonical-request"), "%s, %s:\n%s" % (folder, form, text)
            key = s3_sigv4.signing_key(context["credentials"]["secret_access_key"], "20150830", context["region"],
                                       context["service"])
            scope = "20150830/%s/%s/aws4_request" % (context["region"], context["service"])
            to_sign = "\n".join((s3_sigv4.ALGORITHM, "20150830T123600Z", scope, sha256(text.encode())))
            assert s3_sigv4.hexmac(key, to_sign) == given == part("signature").strip(), folder
            checked += 1
    if not checked:
        raise Skip("no vectors/sigv4 in " + SHARED)
    assert checked >= 50, checked


def checksums(_):
    """The CRCs by their check values, in one go, in pieces, joined, and without the compiler."""
    digits, long = b"123456789", os.urandom(10007)
    for name, want in CRCS.items():
        assert s3_crc.to_bytes(name, s3_crc.update(name, 0, digits)) == want, name
        whole = s3_crc.update(name, 0, long)
        assert s3_crc.update(name, s3_crc.update(name, 0, long[:3333]), bytearray(long[3333:])) == whole
        second = s3_crc.update(name, 0, long[3333:])
        assert s3_crc.combine(name, s3_crc.update(name, 0, long[:3333]), second, len(long) - 3333) == whole
        assert s3_crc.combine(name, whole, 0, 0) == whole
        found, s3_crc._library = s3_crc._library, False
        assert s3_crc.update(name, 0, long) == whole
        s3_crc._library = found
    assert s3_crc.update("crc32", 0, long) == zlib.crc32(long)


def header_signatures(_):
    with S3F(token="to/ken+==") as s3:
        client = Client(s3)
        body = b"body"
        for key in KEYS:
            assert client.call("PUT", "b", key, body=key.encode())[0] == 200, key
            assert client.call("GET", "b", key)[1] == key.encode(), key
        assert sorted(s3.objects()) == sorted(KEYS)
        assert client.call("GET", "b", query="list-type=2&prefix=a%2B")[0] == 200
        assert client.call("GET", "b", query="prefix=a%2B&list-type=2&delimiter=")[0] == 200
        assert client.call("PUT", "b", "u", body=body, payload="UNSIGNED-PAYLOAD")[0] == 200
        s3.config(unsigned="never")
        assert code_of(client.call("PUT", "b", "u", body=body, payload="UNSIGNED-PAYLOAD")) == "400 InvalidRequest"
        assert not s3.denied().get("SignatureDoesNotMatch")

        def spoilt(change, target="/b/k", method="PUT", body=body, **named):
            headers = client.sign(method, target, {"x-amz-meta-a": "1  2"}, sha256(body), **named)
            change(headers)
            return code_of(client.send(method, target, headers, body))
        wrong = "403 SignatureDoesNotMatch"
        assert spoilt(lambda h: None) == "200 "
        malformed = "400 AuthorizationHeaderMalformed"
        assert spoilt(lambda h: h.update({"authorization": h["authorization"][:-1] + "g"})) == malformed
        flipped = {"0": "1"}
        assert spoilt(lambda h: h.update({"authorization": h["authorization"][:-1]
                                          + flipped.get(h["authorization"][-1], "0")})) == wrong
        assert spoilt(lambda h: h.update({"x-amz-meta-a": "1 3"})) == wrong
        assert spoilt(lambda h: h.update({"x-amz-meta-b": "1"})) == "403 AccessDenied"
        assert spoilt(lambda h: h.pop("x-amz-meta-a")) == wrong
        assert spoilt(lambda h: h.pop("x-amz-content-sha256")) == "400 InvalidRequest"
        assert spoilt(lambda h: h.pop("x-amz-security-token")) == "403 InvalidAccessKeyId"
        assert spoilt(lambda h: h.update({"x-amz-security-token": "other"})) == "400 InvalidToken"
        assert spoilt(lambda h: h.update({"host": "127.0.0.1"})) == wrong
        assert spoilt(lambda h: h.update({"authorization": h["authorization"].replace("testkey", "nokey")})) \
            == "403 InvalidAccessKeyId"
        assert spoilt(lambda h: None, region="eu-west-1") == malformed
        assert spoilt(lambda h: None, now=time.time() - 880) == "200 "
        assert spoilt(lambda h: None, now=time.time() - 920) == "403 RequestTimeTooSkewed"
        assert spoilt(lambda h: None, now=time.time() + 920) == "403 RequestTimeTooSkewed"
        assert spoilt(lambda h: h.pop("authorization")) == "403 AccessDenied"
        headers = client.sign("PUT", "/b/k", {}, sha256(body))
        assert code_of(client.send("PUT", "/b/k", headers, b"BODY")) == "400 XAmzContentSHA256Mismatch"
        assert code_of(client.send("PUT", "/b/k2", client.sign("PUT", "/b/k", {}, sha256(body)), body)) == wrong
        # the path must be encoded once, and all of it
        for raw in ("/b/a+b", "/b/a%7Eb", "/b/a@b", "/b/a%2bb"):
            assert code_of(client.send("GET", raw, client.sign("GET", raw, {}, s3_sigv4.EMPTY_SHA256))) == wrong, raw
        s3.config(clock_offset=3600)
        answer = client.call("GET", "b", "k")
        assert code_of(answer) == "403 RequestTimeTooSkewed" and b"<ServerTime>" in answer[1], answer
        assert client.call("GET", "b", "k", now=time.time() + 3600)[0] == 200
        s3.set_keys("testkey", "testsecret", "to/ken+==", expired=True)
        assert code_of(client.call("GET", "b", "k", now=time.time() + 3600)) == "400 ExpiredToken"


def query_signatures(_):
    with S3F(token="to/ken+==") as s3:
        client = Client(s3)
        put = client.presign("PUT", "/b/a%20b", headers={"content-type": "text/plain"})
        assert client.send("PUT", put, {"content-type": "text/plain"}, b"1")[0] == 200
        assert code_of(client.send("PUT", put, {"content-type": "text/html"}, b"1")) == "403 SignatureDoesNotMatch"
        assert code_of(client.send("PUT", put, {"content-type": "text/plain", "x-amz-acl": "public-read"}, b"1")) \
            == "403 AccessDenied"
        get = client.presign("GET", "/b/a%20b?response-content-type=a%2Fb")
        answer = client.send("GET", get)
        assert answer[:2] == (200, b"1") and answer[2]["content-type"] == "a/b", answer
        assert code_of(client.send("GET", get.replace("a%20b", "a%20c"))) == "403 SignatureDoesNotMatch"
        assert code_of(client.send("GET", get.replace("a%2Fb", "a%2Fc"))) == "403 SignatureDoesNotMatch"
        assert code_of(client.send("GET", get + "&x=1")) == "403 SignatureDoesNotMatch"
        assert code_of(client.send("DELETE", get)) == "403 SignatureDoesNotMatch"
        assert client.send("HEAD", client.presign("HEAD", "/b/a%20b"))[0] == 200
        for seconds, want in ((0, "400 AuthorizationQueryParametersError"), (604801, "400 AuthorizationQueryParametersError"),
                              (604800, "200 ")):
            assert code_of(client.send("GET", client.presign("GET", "/b/a%20b", seconds))) == want, seconds
        late = client.presign("GET", "/b/a%20b", 10, now=time.time() - 11)
        assert code_of(client.send("GET", late)) == "403 AccessDenied"
        answer = client.send("GET", "/b/a%20b")
        assert code_of(answer) == "403 AccessDenied"
        s3.config(public=True)
        assert client.send("GET", "/b/a%20b")[:2] == (200, b"1")


@contextlib.contextmanager
def names_below_localhost():
    """BUCKET.localhost is the loopback, whatever the machine's resolver thinks."""
    found = socket.getaddrinfo

    def ours(host, *args, **named):
        return found("127.0.0.1" if str(host).endswith("localhost") else host, *args, **named)
    socket.getaddrinfo = ours
    try:
        yield
    finally:
        socket.getaddrinfo = found


def boto_signatures(_):
    """Those that others make: headers, presigned, forms; both styles of address."""
    with names_below_localhost(), S3F(token="token/+=", buckets=["b", "second"]) as s3:
        for style in ("path", "virtual"):
            if style == "virtual":
                s3.url = "http://localhost:%d" % s3.port
            client = boto(s3, s3={"addressing_style": style})
            for key in KEYS:
                if "../" in key or key.startswith("./"):
                    continue  # urllib3 makes another path of it
                client.put_object(Bucket="b", Key=key, Body=key.encode())
                assert client.get_object(Bucket="b", Key=key)["Body"].read() == key.encode()
                url = client.generate_presigned_url("get_object", {"Bucket": "b", "Key": key}, 60)
                parts = urllib.parse.urlsplit(url)
                connection = http.client.HTTPConnection("127.0.0.1", s3.port)
                connection.putrequest("GET", parts.path + "?" + parts.query, skip_host=True)
                connection.putheader("Host", parts.netloc)
                connection.endheaders()
                assert connection.getresponse().read() == key.encode(), url
                connection.close()
        raw = Client(s3)
        raw.host = "second.localhost:%d" % s3.port
        headers = raw.sign("PUT", "/a/b", {}, sha256(b"1"))
        raw.host = "127.0.0.1:%d" % s3.port
        assert raw.send("PUT", "/a/b", headers, b"1")[0] == 200
        assert list(s3.objects("second")) == ["a/b"]
        form = boto(s3).generate_presigned_post("b", "in/${filename}", {"x-amz-meta-a": "1", "success_action_status": "201"},
                                                [{"x-amz-meta-a": "1"}, {"success_action_status": "201"},
                                                 ["content-length-range", 2, 10], ["starts-with", "$Content-Type", "video/"]])
        form["fields"]["Content-Type"] = "video/mp4"
        assert post(s3, form, b"film") == "201 "
        stored = s3.objects()["in/f.mp4"]
        assert (stored["size"], stored["meta"], stored["headers"]["content-type"]) == (4, {"x-amz-meta-a": "1"}, "video/mp4")
        assert post(s3, form, b"f") == "400 EntityTooSmall" and post(s3, form, bytes(11)) == "400 EntityTooLarge"
        assert post(s3, form, b"film", key="out/f") == "403 AccessDenied"
        assert post(s3, form, b"film", **{"Content-Type": "text/html"}) == "403 AccessDenied"
        assert post(s3, form, b"film", acl="public-read") == "403 AccessDenied"
        assert post(s3, form, b"film", policy=form["fields"]["policy"][:-4] + "AAAA") == "403 SignatureDoesNotMatch"
        s3.config(clock_offset=7200)
        assert post(s3, form, b"film") == "403 AccessDenied"


def post(s3, form, data, **changed):
    mark, body = "xxBOUNDARYxx", b""
    for name, value in dict(form["fields"], **changed).items():
        body += ('--%s\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n' % (mark, name, value)).encode()
    body += ('--%s\r\nContent-Disposition: form-data; name="file"; filename="f.mp4"\r\nContent-Type: video/mp4\r\n\r\n'
             % mark).encode() + data + b"\r\n--" + mark.encode() + b"--\r\n"
    connection = http.client.HTTPConnection("127.0.0.1", s3.port)
    connection.request("POST", "/b", body, {"Content-Type": "multipart/form-data; boundary=" + mark})
    answer = connection.getresponse()
    return code_of((answer.status, answer.read()))


def chunked_signatures(_):
    """aws-chunked bodies: signed pieces, signed and unsigned trailers."""
    with S3F() as s3:
        client = Client(s3)
        data = os.urandom(200000)
        for payload in s3_sigv4.STREAMING:
            for spoil in (None, "chunk", "trailer"):
                if spoil == "chunk" and "UNSIGNED" in payload:
                    continue
                if spoil == "trailer" and "TRAILER" not in payload:
                    continue
                headers = {"content-encoding": "aws-chunked,gzip", "x-amz-decoded-content-length": str(len(data))}
                if "TRAILER" in payload:
                    headers["x-amz-trailer"] = "x-amz-checksum-crc32c"
                headers = client.sign("PUT", "/b/chunks", headers, payload)
                body = chunks(client, headers, data, payload, spoil)
                got = code_of(client.send("PUT", "/b/chunks", dict(headers, **{"content-length": str(len(body))}), body))
                want = {None: "200 ", "chunk": "403 SignatureDoesNotMatch",
                        "trailer": "400 BadDigest" if "UNSIGNED" in payload else "403 SignatureDoesNotMatch"}[spoil]
                assert got == want, (payload, spoil, got)
        stored = s3.objects()["chunks"]
        assert stored["sha256"] == sha256(data) and stored["headers"]["content-encoding"] == "gzip", stored
        s3.config(chunked=False)
        headers = client.sign("PUT", "/b/c", {"x-amz-decoded-content-length": "1"}, "STREAMING-UNSIGNED-PAYLOAD-TRAILER")
        assert code_of(client.send("PUT", "/b/c", headers, b"1\r\na\r\n0\r\n\r\n")) == "501 NotImplemented"


def chunks(client, headers, data, payload, spoil):
    signed, previous = "UNSIGNED" not in payload, headers["authorization"].split("Signature=")[1]
    date, region = headers["x-amz-date"], client.endpoint.region
    key, scope = client.key(date[:8], region), "%s/%s/s3/aws4_request" % (date[:8], region)
    out = b""
    for at in range(0, len(data) + 65536, 65536):
        piece = data[at:at + 65536]
        if at >= len(data):
            piece = b""
        line = b"%x" % len(piece)
        if signed:
            previous = s3_sigv4.hexmac(key, "\n".join(("AWS4-HMAC-SHA256-PAYLOAD", date, scope, previous,
                                                       s3_sigv4.EMPTY_SHA256, sha256(piece))))
            line += b";chunk-signature=" + previous.encode()
        if spoil == "chunk" and at == 65536:
            piece = bytes(len(piece))
        out += line + b"\r\n" + piece + (b"\r\n" if piece else b"")
        if not piece:
            break
    if "TRAILER" in payload:
        line = "x-amz-checksum-crc32c:" + crc("crc32c", data)
        if signed:
            previous = s3_sigv4.hexmac(key, "\n".join(("AWS4-HMAC-SHA256-TRAILER", date, scope, previous,
                                                       sha256(line.encode() + b"\n"))))
        if spoil == "trailer":
            line = "x-amz-checksum-crc32c:" + crc("crc32c", data + b"1")
        out += line.encode() + b"\r\n" + (b"x-amz-trailer-signature:" + previous.encode() + b"\r\n" if signed else b"")
    return out + b"\r\n"


# ---- objects ----

def put_and_get(_):
    with S3F() as s3:
        client, data = boto(s3), os.urandom(3 * MIB)
        sent = client.put_object(
            Bucket="b", Key="k", Body=data, CacheControl="no-store", ContentType="video/mp4", ContentEncoding="gzip",
            ContentDisposition="inline", Metadata={"a": "1"}, Tagging="x=1&y=a%20b", StorageClass="STANDARD_IA",
            ServerSideEncryption="AES256", ACL="public-read", ChecksumSHA256=b64(hashlib.sha256(data).digest()))
        got = client.get_object(Bucket="b", Key="k", ChecksumMode="ENABLED")
        assert got["Body"].read() == data and got["ETag"] == sent["ETag"] != '"%s"' % hashlib.md5(data).hexdigest()
        assert (got["CacheControl"], got["ContentType"], got["ContentEncoding"], got["ContentDisposition"], got["Metadata"],
                got["StorageClass"], got["ServerSideEncryption"], got["TagCount"], got["ChecksumSHA256"]) == (
                "no-store", "video/mp4", "gzip", "inline", {"a": "1"}, "STANDARD_IA", "AES256", 2,
                b64(hashlib.sha256(data).digest()))
        assert client.get_object_tagging(Bucket="b", Key="k")["TagSet"] == [{"Key": "x", "Value": "1"},
                                                                            {"Key": "y", "Value": "a b"}]
        assert len(client.get_object_acl(Bucket="b", Key="k")["Grants"]) == 2
        assert client.head_object(Bucket="b", Key="k")["ContentLength"] == len(data)
        stored = s3.objects()["k"]
        assert (stored["size"], stored["sha256"], stored["acl"]) == (len(data), sha256(data), "public-read")
        assert Client(s3).send("GET", "/b/k")[1] == data, "public-read"
        for given, part in (("bytes=0-0", data[:1]), ("bytes=5-", data[5:]), ("bytes=-7", data[-7:]),
                            ("bytes=100-9999999", data[100:])):
            got = client.get_object(Bucket="b", Key="k", Range=given)
            assert got["Body"].read() == part and got["ResponseMetadata"]["HTTPStatusCode"] == 206, given
        refused("InvalidRange", client.get_object, Bucket="b", Key="k", Range="bytes=%d-" % len(data))
        assert client.get_object(Bucket="b", Key="k", IfMatch=sent["ETag"])["Body"].read() == data
        refused("PreconditionFailed", client.get_object, Bucket="b", Key="k", IfMatch='"other"')
        refused("304", client.head_object, Bucket="b", Key="k", IfNoneMatch=sent["ETag"])
        refused("PreconditionFailed", client.put_object, Bucket="b", Key="k", Body=b"1", IfNoneMatch="*")
        client.put_object(Bucket="b", Key="new", Body=b"1", IfNoneMatch="*")
        got = client.get_object(Bucket="b", Key="k", ResponseContentType="a/b", ResponseCacheControl="max-age=1")
        assert (got["ContentType"], got["CacheControl"]) == ("a/b", "max-age=1")
        refused("404", client.head_object, Bucket="b", Key="none")
        refused("NoSuchKey", client.get_object, Bucket="b", Key="none")
        refused("NoSuchBucket", client.get_object, Bucket="none", Key="none")
        client.delete_object(Bucket="b", Key="k")
        assert list(s3.objects()) == ["new"]
        client.put_object(Bucket="b", Key="empty", Body=b"")
        assert client.get_object(Bucket="b", Key="empty")["Body"].read() == b""
        assert not s3.denied()


def checksum_headers(_):
    with S3F() as s3:
        client, data = Client(s3), b"some bytes"

        def put(**headers):
            given = {n.replace("_", "-"): v for n, v in headers.items()}
            return code_of(client.call("PUT", "b", "k", headers=given, body=data))
        assert put(content_md5=b64(hashlib.md5(data).digest())) == "200 "
        assert put(content_md5=b64(hashlib.md5(b"").digest())) == "400 BadDigest"
        assert put(content_md5="short") == "400 InvalidDigest"
        for name in ("crc32", "crc32c", "crc64nvme", "sha1", "sha256"):
            right = crc(name, data) if name in CRCS else b64(hashlib.new(name, data).digest())
            wrong = crc(name, b"x") if name in CRCS else b64(hashlib.new(name, b"x").digest())
            assert put(**{"x_amz_checksum_" + name: right}) == "200 ", name
            assert s3.objects()["k"]["checksums"] == {name: right}
            assert put(**{"x_amz_checksum_" + name: wrong}) == "400 BadDigest", name
            assert put(**{"x_amz_checksum_" + name: "AAAA"}) == "400 InvalidRequest", name
        assert put(x_amz_storage_class="WOODEN") == "400 InvalidStorageClass"
        assert put(x_amz_meta_a="x" * 3000) == "400 MetadataTooLarge"
        s3.config(max_put=4)
        assert put() == "400 EntityTooLarge"


def lists(_):
    with S3F() as s3:
        client = boto(s3)
        names = ["a/%03d" % n for n in range(25)] + ["b/x", "b/y/z", "c", "c d+e", "\u00e9"]
        for name in names:
            s3.put(name, name.encode())
        found, token, pages = [], None, 0
        while True:
            page = client.list_objects_v2(Bucket="b", MaxKeys=10, **({"ContinuationToken": token} if token else {}))
            found += [c["Key"] for c in page["Contents"]]
            pages += 1
            if not page["IsTruncated"]:
                break
            token = page["NextContinuationToken"]
        assert found == sorted(names, key=str.encode) and pages == 3, found
        page = client.list_objects_v2(Bucket="b", Delimiter="/", MaxKeys=2)
        assert [p["Prefix"] for p in page["CommonPrefixes"]] == ["a/", "b/"] and page["IsTruncated"]
        page = client.list_objects_v2(Bucket="b", Delimiter="/", ContinuationToken=page["NextContinuationToken"])
        assert [c["Key"] for c in page["Contents"]] == ["c", "c d+e", "\u00e9"] and "CommonPrefixes" not in page
        page = client.list_objects_v2(Bucket="b", Prefix="b/", Delimiter="/")
        assert ([c["Key"] for c in page["Contents"]], page["CommonPrefixes"]) == (["b/x"], [{"Prefix": "b/y/"}])
        page = client.list_objects_v2(Bucket="b", StartAfter="b/y/z")
        assert [c["Key"] for c in page["Contents"]] == ["c", "c d+e", "\u00e9"]
        assert "Contents" not in client.list_objects_v2(Bucket="b", Prefix="none")
        done = client.delete_objects(Bucket="b", Delete={"Objects": [{"Key": n} for n in names[:20] + ["none"]]})
        assert len(done["Deleted"]) == 21 and len(s3.objects()) == 10
        body = b"<Delete><Object><Key>c</Key></Object><Quiet>true</Quiet></Delete>"
        assert code_of(Client(s3).call("POST", "b", query="delete=", body=body)) == "400 InvalidRequest"
        assert code_of(Client(s3).call("POST", "b", query="delete", body=body,
                                       headers={"content-md5": b64(hashlib.md5(body).digest())})) == "200 "
        assert "c" not in s3.objects()


def buckets(_):
    with S3F("--bucket", "far=eu-west-1") as s3:
        client = boto(s3)
        client.create_bucket(Bucket="made")
        refused("BucketAlreadyOwnedByYou", client.create_bucket, Bucket="made")
        assert client.head_bucket(Bucket="made")["BucketRegion"] == "us-east-1"
        assert client.get_bucket_location(Bucket="b")["LocationConstraint"] is None
        assert [b["Name"] for b in client.list_buckets()["Buckets"]] == ["b", "far", "made"]
        answer = Client(s3).call("GET", "far", "k")
        assert code_of(answer) == "301 PermanentRedirect" and answer[2]["x-amz-bucket-region"] == "eu-west-1"
        assert b"<Region>eu-west-1</Region>" in answer[1] and "location" not in answer[2]
        raw = Client(s3)

        def preflight(origin, method="GET", headers=""):
            given = {"origin": origin, "access-control-request-method": method, "access-control-request-headers": headers}
            return raw.send("OPTIONS", "/b/k", {n: v for n, v in given.items() if v})
        assert preflight("https://a.example")[0] == 403
        client.put_bucket_cors(Bucket="b", CORSConfiguration={"CORSRules": [{
            "AllowedOrigins": ["https://*.example"], "AllowedMethods": ["GET", "PUT"], "AllowedHeaders": ["range"],
            "ExposeHeaders": ["ETag"], "MaxAgeSeconds": 60}]})
        status, _, headers = preflight("https://a.example", "GET", "Range")
        assert (status, headers["access-control-allow-origin"], headers["access-control-allow-headers"],
                headers["access-control-max-age"]) == (200, "https://a.example", "range", "60")
        assert preflight("https://a.other")[0] == preflight("https://a.example", "DELETE")[0] == 403
        assert preflight("https://a.example", "GET", "x-other")[0] == 403
        s3.put("k", b"1")
        answer = raw.call("GET", "b", "k", headers={"origin": "https://a.example"})
        assert answer[2]["access-control-expose-headers"] == "ETag"


def copies(_):
    with S3F("--bucket", "to") as s3:
        client, data = boto(s3), os.urandom(12 * MIB)
        client.put_object(Bucket="b", Key="a b+c", Body=data, ContentType="video/mp4", Metadata={"x": "1"}, Tagging="t=1")
        client.copy_object(Bucket="to", Key="k", CopySource={"Bucket": "b", "Key": "a b+c"})
        got = s3.objects("to")["k"]
        assert (got["sha256"], got["meta"], got["headers"]["content-type"], got["tags"]) == (
            sha256(data), {"x-amz-meta-x": "1"}, "video/mp4", "t=1")
        client.copy_object(Bucket="to", Key="k", CopySource={"Bucket": "b", "Key": "a b+c"}, MetadataDirective="REPLACE",
                           ContentType="a/b")
        assert s3.objects("to")["k"]["headers"] == {"content-type": "a/b"} and not s3.objects("to")["k"]["meta"]
        refused("InvalidRequest", client.copy_object, Bucket="b", Key="a b+c", CopySource={"Bucket": "b", "Key": "a b+c"})
        name = client.create_multipart_upload(Bucket="to", Key="parts")["UploadId"]
        parts = []
        for n, (start, end) in enumerate(((0, 6 * MIB - 1), (6 * MIB, 12 * MIB - 1)), 1):
            part = client.upload_part_copy(Bucket="to", Key="parts", UploadId=name, PartNumber=n, CopySourceRange="bytes=%d-%d"
                                           % (start, end), CopySource={"Bucket": "b", "Key": "a b+c"})
            parts.append({"PartNumber": n, "ETag": part["CopyPartResult"]["ETag"]})
        client.complete_multipart_upload(Bucket="to", Key="parts", UploadId=name, MultipartUpload={"Parts": parts})
        assert s3.objects("to")["parts"]["sha256"] == sha256(data)
        assert s3.get("parts", "to") == data


# ---- multipart ----

def boto_multipart(_):
    from_boto = {"crc32": "CRC32", "sha256": "SHA256"}
    with S3F() as s3:
        client, data = boto(s3), os.urandom(13 * MIB + 5)
        from boto3.s3.transfer import TransferConfig
        plan = TransferConfig(multipart_threshold=5 * MIB, multipart_chunksize=5 * MIB)
        for name in (None, *from_boto):
            client.upload_fileobj(io.BytesIO(data), "b", "k", Config=plan,
                                  ExtraArgs={"ChecksumAlgorithm": from_boto[name]} if name else {})
            assert s3.objects()["k"]["sha256"] == sha256(data) and not s3.uploads()
            assert not name or list(s3.objects()["k"]["checksums"]) == [name]
        got = io.BytesIO()
        client.download_fileobj("b", "k", got, Config=plan)
        assert got.getvalue() == data
        assert not s3.denied(), s3.denied()


def multipart(_):
    with S3F() as s3:
        client = Client(s3)

        def begin(key="k", **headers):
            answer = client.call("POST", "b", key, "uploads=", {n.replace("_", "-"): v for n, v in headers.items()})
            return ET.fromstring(answer[1]).findtext("{*}UploadId") if answer[0] == 200 else code_of(answer)

        def part(upload, number, data, key="k", **headers):
            return client.call("PUT", "b", key, "partNumber=%d&uploadId=%s" % (number, quoted(upload)),
                               {n.replace("_", "-"): v for n, v in headers.items()}, data)

        def complete(upload, parts, extra=None, key="k", **headers):
            body = "<CompleteMultipartUpload>%s</CompleteMultipartUpload>" % "".join(
                "<Part><PartNumber>%d</PartNumber><ETag>%s</ETag>%s</Part>" % (n, e, extra[n] if extra else "")
                for n, e in parts)
            return client.call("POST", "b", key, "uploadId=" + quoted(upload),
                               {n.replace("_", "-"): v for n, v in headers.items()}, body.encode())
        five, tail = os.urandom(5 * MIB), b"tail"
        upload = begin(x_amz_meta_a="1", cache_control="no-store")
        etags = [(1, part(upload, 1, five)[2]["etag"]), (2, part(upload, 2, b"small")[2]["etag"]),
                 (4, part(upload, 4, tail)[2]["etag"])]
        assert code_of(part(upload, 0, tail)) == code_of(part(upload, 10001, tail)) == "400 InvalidArgument"
        assert code_of(part("none", 1, tail)) == code_of(part(upload, 1, tail, key="other")) == "404 NoSuchUpload"
        assert code_of(complete(upload, etags)) == "400 EntityTooSmall"
        etags[1] = (2, part(upload, 2, five)[2]["etag"])
        assert code_of(complete(upload, etags[::-1])) == "400 InvalidPartOrder"
        assert code_of(complete(upload, [(1, '"other"')])) == "400 InvalidPart"
        assert code_of(complete(upload, [(9, etags[0][1])])) == "400 InvalidPart"
        assert code_of(complete(upload, [])) == "400 MalformedXML"
        listed = ET.fromstring(client.call("GET", "b", "k", "uploadId=%s&max-parts=2" % quoted(upload))[1])
        assert listed.findtext("{*}IsTruncated") == "true" and listed.findtext("{*}NextPartNumberMarker") == "2"
        listed = ET.fromstring(client.call("GET", "b", "k", "uploadId=%s&part-number-marker=2" % quoted(upload))[1])
        assert [p.findtext("{*}PartNumber") for p in listed.findall(".//{*}Part")] == ["4"]
        assert len(s3.uploads()) == 1 and not s3.objects()
        assert code_of(complete(upload, etags, x_amz_mp_object_size="1")) == "400 InvalidRequest"
        assert complete(upload, etags)[0] == 200
        stored = s3.objects()["k"]
        assert stored["sha256"] == sha256(five + five + tail) and stored["etag"].endswith('-3"') and stored["parts"] == 3
        assert stored["meta"] == {"x-amz-meta-a": "1"} and stored["headers"]["cache-control"] == "no-store"
        assert code_of(complete(upload, etags)) == "404 NoSuchUpload"
        s3.config(complete_twice=True)
        assert complete(upload, etags)[0] == 200
        many = [begin("m/%d" % n) for n in range(5)]
        listed = ET.fromstring(client.call("GET", "b", query="uploads=&prefix=m%2F&max-uploads=2")[1])
        marker = "&key-marker=%s&upload-id-marker=%s" % tuple(quoted(listed.findtext("{*}Next" + n)) for n in (
            "KeyMarker", "UploadIdMarker"))
        rest = ET.fromstring(client.call("GET", "b", query="uploads=&prefix=m%2F" + marker)[1])
        assert [u.findtext("{*}Key") for u in rest.findall(".//{*}Upload")] == ["m/2", "m/3", "m/4"]
        for n, name in enumerate(many):
            assert client.call("DELETE", "b", "m/%d" % n, "uploadId=" + quoted(name))[0] == 204
        assert not s3.uploads()
        upload = begin()
        etag = part(upload, 1, tail)[2]["etag"]
        assert code_of(client.call("POST", "b", "k", "uploadId=" + quoted(upload), {"if-none-match": "*"}, (
            "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>%s</ETag></Part></CompleteMultipartUpload>"
            % etag).encode())) == "412 PreconditionFailed"
        checksummed(begin, part, complete, s3, five, tail)


def checksummed(begin, part, complete, s3, five, tail):
    assert begin(x_amz_checksum_algorithm="CRC64NVME", x_amz_checksum_type="COMPOSITE") == "400 InvalidRequest"
    assert begin(x_amz_checksum_algorithm="SHA256", x_amz_checksum_type="FULL_OBJECT") == "400 InvalidRequest"
    for name, kind in (("crc32c", "COMPOSITE"), ("crc32c", "FULL_OBJECT"), ("crc64nvme", "FULL_OBJECT"),
                       ("sha256", "COMPOSITE")):
        header = "x_amz_checksum_" + name
        made = (lambda d, name=name: crc(name, d)) if name in CRCS else (lambda d: b64(hashlib.sha256(d).digest()))
        upload = begin(x_amz_checksum_algorithm=name.upper(), x_amz_checksum_type=kind)
        assert code_of(part(upload, 1, five, **{header: made(tail)})) == "400 BadDigest"
        assert code_of(part(upload, 1, five)) == "400 InvalidRequest", "a part without"
        etags = [(n, part(upload, n, d, **{header: made(d)})[2]["etag"]) for n, d in ((1, five), (2, tail))]
        tag = "Checksum" + name.upper()
        extra = {n: "<%s>%s</%s>" % (tag, made(d), tag) for n, d in ((1, five), (2, tail))}
        other = "COMPOSITE" if kind == "FULL_OBJECT" else "FULL_OBJECT"
        assert code_of(complete(upload, etags, extra, x_amz_checksum_type=other)) == "400 InvalidRequest"
        if kind == "COMPOSITE":
            assert code_of(complete(upload, etags)) == "400 InvalidRequest", "Complete without"
            joined = base64.b64decode(made(five)) + base64.b64decode(made(tail))
            want = made(joined) + "-2"
        else:
            want = made(five + tail)
            assert code_of(complete(upload, etags, extra, **{header: made(five)})) == "400 BadDigest"
        answer = complete(upload, etags, extra, x_amz_checksum_type=kind, **{header: want})
        assert answer[0] == 200 and want.encode() in answer[1], answer
        stored = s3.objects()["k"]
        assert (stored["checksums"], stored["checksum_type"]) == ({name: want}, kind), stored


def quoted(text):
    return urllib.parse.quote(text, safe="")


def large(folder):
    """More than memory is asked for: 600 MB in a part and out, the server stays small."""
    with S3F(folder=folder) as s3:
        client = Client(s3, timeout=300)
        block, total = os.urandom(MIB), 600

        class Blocks:
            left = total

            def read(self, _):
                self.left -= 1
                return block if self.left >= 0 else b""
        whole = hashlib.sha256()
        for _ in range(total):
            whole.update(block)
        headers = client.sign("PUT", "/b/large", {"content-length": str(total * MIB)}, whole.hexdigest())
        connection = http.client.HTTPConnection(client.host, timeout=300, blocksize=MIB)
        connection.request("PUT", "/b/large", Blocks(), headers)
        assert connection.getresponse().read() == b""
        got = hashlib.sha256()
        connection.request("GET", "/b/large", headers=client.sign("GET", "/b/large", {}, s3_sigv4.EMPTY_SHA256))
        answer = connection.getresponse()
        while data := answer.read(MIB):
            got.update(data)
        assert got.digest() == whole.digest()
        with open("/proc/%d/status" % s3.process.pid, encoding="ascii") as f:
            peak = int(re.search(r"VmHWM:\s+(\d+)", f.read())[1])
        assert peak < 150 << 10, "%d KiB" % peak
        client.call("DELETE", "b", "large")
        assert not glob.glob(folder + "/blob-*")


# ---- faults ----

def error_faults(_):
    with S3F() as s3:
        client = Client(s3)
        s3.rules({"op": "PutObject", "key": "a*", "nth": [1, 3], "action": "error", "code": "SlowDown", "retry_after": 7},
                 {"op": "PutObject", "key": "late", "action": "error", "code": "NoSuchUpload", "when": "applied"},
                 {"op": "HeadObject", "action": "error", "code": "InternalError"},
                 {"op": "GetObject", "key": "page", "action": "html", "size": 1 << 20},
                 {"op": "GetObject", "key": "xml", "action": "garbage"},
                 {"op": "GetObject", "key": "move", "action": "redirect", "to": s3.second_url},
                 {"op": "GetObject", "key": "gone", "action": "permanent_redirect", "region": "eu-central-1"},
                 {"op": "GetObject", "key": "region", "action": "malformed_region", "region": "eu-central-1"},
                 {"key": "sum", "action": "reject_checksum", "status": 403},
                 {"op": "DeleteObject", "action": "error200", "code": "InternalError", "ws": 3},
                 {"op": "GetObject", "key": "skew", "action": "error", "code": "RequestTimeTooSkewed", "offset": 4000})
        got = [code_of(client.call("PUT", "b", "a%d" % n, body=b"1")) for n in range(4)]
        assert got == ["503 SlowDown", "200 ", "503 SlowDown", "200 "], got
        assert sorted(s3.objects()) == ["a1", "a3"]
        assert code_of(client.call("PUT", "b", "late", body=b"1")) == "404 NoSuchUpload" and "late" in s3.objects()
        assert client.call("HEAD", "b", "a1")[0] == 500
        answer = client.call("GET", "b", "page")
        assert answer[0] == 200 and len(answer[1]) == 1 << 20 and answer[1].startswith(b"<html>")
        assert client.call("GET", "b", "xml")[1].startswith(b"<?xml")
        answer = client.call("GET", "b", "move")
        assert answer[0] == 307 and answer[2]["location"] == s3.second_url + "/b/move"
        answer = client.call("GET", "b", "gone")
        assert code_of(answer) == "301 PermanentRedirect" and answer[2]["x-amz-bucket-region"] == "eu-central-1"
        assert b"<Region>eu-central-1</Region>" in client.call("GET", "b", "region")[1]
        assert client.call("PUT", "b", "sum", body=b"1")[0] == 200
        assert code_of(client.call("PUT", "b", "sum", body=b"1", headers={"x-amz-checksum-crc32c": crc("crc32c", b"1")})) \
            == "403 Unauthorized"
        answer = client.call("DELETE", "b", "a1")
        assert answer[0] == 200 and answer[1].startswith(b"   <?xml") and code_of(answer) == "200 InternalError"
        assert "a1" in s3.objects()
        assert b"ServerTime" in client.call("GET", "b", "skew")[1]
        assert s3.fired() == [2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1], s3.fired()
        log = s3.log()
        assert [r["n"] for r in log] == list(range(1, len(log) + 1))
        assert log[0]["fault"] == "error" and not log[0]["applied"] and log[0]["sha256"] == sha256(b"1")
        assert log[0]["path"] == "/b/a0" and log[0]["auth"] == "header" and log[0]["conn"] == log[1]["conn"]
        s3.rules({"p": 0.2, "seed": 7, "any": [{"action": "error", "code": "SlowDown"}, {"action": "error"}]})
        got = collections.Counter(client.call("GET", "b", "a1")[0] for _ in range(300))
        assert got[503] > 10 < got[500] and 200 < got[200] < 270, got
        s3.rules({"op": "GetObject", "first": 1, "per": "key", "action": "error"})
        assert [client.call("GET", "b", k)[0] for k in ("a1", "a1", "a3", "a3")] == [500, 200, 500, 200]
        s3.rules()
        s3.config(rate=5)
        got = collections.Counter(client.call("GET", "b", "a1")[0] for _ in range(30))
        assert got[503] >= 10, got


def broken(s3, method, key, body=b"", query="", **named):
    """What a client sees: an answer or the name of what went wrong."""
    client = Client(s3, timeout=3)
    target = "/b/%s" % key + ("?" + query if query else "")
    headers = client.sign(method, target, {}, sha256(body))
    connection = http.client.HTTPConnection(client.host, timeout=named.get("timeout", 3))
    try:
        connection.request(method, target, body or None, headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    except http.client.IncompleteRead as error:
        return "short", error.partial
    except (BrokenPipeError, http.client.RemoteDisconnected):
        return "closed"
    except ConnectionResetError:
        return "reset"
    except TimeoutError:
        return "nothing"
    finally:
        connection.close()


def broken_connections(_):
    big = os.urandom(4 * MIB)
    with S3F() as s3:
        s3.put("k", big)
        s3.rules({"key": "r", "action": "reset", "received": 100000}, {"key": "d", "action": "drop"},
                 {"key": "a", "action": "apply_drop"}, {"key": "h", "action": "hang"},
                 {"op": "GetObject", "nth": 1, "action": "reset", "sent": 1000},
                 {"op": "GetObject", "nth": 1, "action": "short", "missing": 5},
                 {"op": "GetObject", "nth": 1, "action": "no_length"},
                 {"op": "GetObject", "nth": 1, "action": "no_length", "close": True},
                 {"op": "GetObject", "nth": 1, "action": "etag", "value": '"x"'},
                 {"op": "GetObject", "nth": 1, "action": "slow_first", "delay": 0.5},
                 {"op": "HeadObject", "nth": 1, "action": "reset", "received": 0})
        assert broken(s3, "PUT", "r", big) in ("reset", "closed")
        assert broken(s3, "PUT", "d", big) == "closed" and broken(s3, "PUT", "a", big) == "closed"
        assert broken(s3, "PUT", "h", b"1", timeout=0.5) == "nothing"
        assert sorted(s3.objects()) == ["a", "k"], sorted(s3.objects())
        got = broken(s3, "GET", "k")
        assert got == "reset" or got[0] == "short", got
        got = broken(s3, "GET", "k")
        assert got == ("short", big[:-5]), got[0]
        assert broken(s3, "GET", "k") == (200, big) and broken(s3, "GET", "k") == (200, big)
        client = Client(s3)
        assert client.call("GET", "b", "k")[2]["etag"] == '"x"'
        started = time.monotonic()
        assert broken(s3, "GET", "k") == (200, big) and time.monotonic() - started >= 0.5
        assert broken(s3, "HEAD", "k") == "reset"
        assert all(s3.fired()), s3.fired()
        log = s3.log()
        assert [r["aborted"] for r in log[:4]] == [True] * 4 and log[2]["applied"]
        connections_that_end(s3, client, big)


def connections_that_end(s3, client, big):
    s3.put("small", b"0123456789")
    s3.rules({"key": "small", "nth": 1, "action": "close_after"}, {"key": "small", "nth": 1, "action": "drip", "rate": 20})
    client.close()
    assert client.call("GET", "b", "small")[1] == b"0123456789"
    time.sleep(0.2)
    assert client.connection.sock.recv(1) == b"", "closed without having said so"
    client.close()
    started = time.monotonic()
    assert client.call("GET", "b", "small")[1] == b"0123456789" and time.monotonic() - started >= 0.45
    s3.config(idle_close=0.3)
    client.close()
    assert client.call("GET", "b", "small")[0] == 200
    client.connection.sock.settimeout(3)
    assert client.connection.sock.recv(1) == b"", "idle"
    client.close()
    s3.config(idle_close=0)
    client.call("GET", "b", "small")
    assert s3.close_idle() >= 1
    time.sleep(0.1)
    assert client.call("GET", "b", "small")[0] == 200
    s3.reset()
    assert not s3.objects() and client.call("PUT", "b", "again", body=big)[0] == 200


def expectations(_):
    """Expect: 100-continue, and answers before the body."""
    body = b"x" * MIB
    with S3F() as s3:
        client = Client(s3)

        def ask(key, wait, headers=None):
            """(first status line, final status line), each None where none came in time; the body goes after the first."""
            given = client.sign("PUT", "/b/" + key, dict(headers or {"expect": "100-continue"}), sha256(body))
            given["content-length"] = str(len(body))
            with socket.create_connection(("127.0.0.1", s3.port), 5) as sock:
                lines = ["PUT /b/%s HTTP/1.1" % key] + ["%s: %s" % i for i in given.items()] + ["", ""]
                sock.sendall("\r\n".join(lines).encode())
                sock.settimeout(wait)
                try:
                    first = sock.recv(65536).split(b"\r\n")[0]
                except TimeoutError:
                    first = None
                if first and b" 100 " not in first:
                    return first, None
                sock.settimeout(5)
                sock.sendall(body)
                return first, sock.recv(65536).split(b"\r\n")[0]
        assert ask("k", 2) == (b"HTTP/1.1 100 Continue", b"HTTP/1.1 200 OK")
        s3.rules({"key": "never", "action": "never100"}, {"key": "no", "action": "expect417"},
                 {"key": "early", "action": "error", "code": "AccessDenied", "when": "headers"},
                 {"key": "hang", "action": "hang", "when": "headers"},
                 {"key": "moved", "action": "redirect", "to": s3.second_url})
        assert ask("never", 0.5) == (None, b"HTTP/1.1 200 OK")
        assert ask("no", 2)[0] == b"HTTP/1.1 417 Expectation Failed"
        assert ask("early", 2)[0] == b"HTTP/1.1 403 Forbidden"
        assert ask("early", 2, {"x-amz-meta-a": "1"})[0] == b"HTTP/1.1 403 Forbidden"
        assert ask("moved", 2)[0] == b"HTTP/1.1 307 Temporary Redirect"
        client.endpoint.secret_key = "wrong"
        assert ask("k", 2)[0] == b"HTTP/1.1 403 Forbidden", "a wrong signature, before the body"
        assert sorted(s3.objects()) == ["k", "never"]
        assert code_of(client.send("PUT", "/b/k", {"transfer-encoding": "chunked"}, b"0\r\n\r\n")) == "501 NotImplemented"


def lost_answers(_):
    """What rows S01 and S02 need."""
    with S3F() as s3:
        client = Client(s3)

        def upload(key):
            name = ET.fromstring(client.call("POST", "b", key, "uploads=")[1]).findtext("{*}UploadId")
            etag = client.call("PUT", "b", key, "partNumber=1&uploadId=" + quoted(name), body=b"1")[2]["etag"]
            return "uploadId=" + quoted(name), (
                "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>%s</ETag></Part></CompleteMultipartUpload>"
                % etag).encode()
        s3.rules({"op": "CompleteMultipartUpload", "key": "a", "nth": 1, "action": "error200", "ws": 2, "interval": 0.1},
                 {"op": "CompleteMultipartUpload", "key": "b", "nth": 1, "action": "apply_drop"},
                 {"op": "CompleteMultipartUpload", "key": "c", "nth": 1, "action": "error", "code": "NoSuchUpload",
                  "when": "applied"},
                 {"op": "CompleteMultipartUpload", "key": "d", "nth": 1, "action": "error200", "ws": 3, "drop": True,
                  "applied": True},
                 {"op": "CompleteMultipartUpload", "key": "e", "nth": 1, "action": "ws", "ws": 5, "interval": 0.05})
        query, body = upload("a")
        assert code_of(client.call("POST", "b", "a", query, body=body)) == "200 InternalError" and len(s3.uploads()) == 1
        assert client.call("POST", "b", "a", query, body=body)[0] == 200
        query, body = upload("b")
        assert broken(s3, "POST", "b", body, query) == "closed"
        assert code_of(client.call("POST", "b", "b", query, body=body)) == "404 NoSuchUpload"
        query, body = upload("c")
        assert code_of(client.call("POST", "b", "c", query, body=body)) == "404 NoSuchUpload"
        query, body = upload("d")
        assert broken(s3, "POST", "d", body, query)[0] == "short"
        query, body = upload("e")
        answer = client.call("POST", "b", "e", query, body=body)
        assert answer[0] == 200 and answer[1].startswith(b"     <?xml"), answer
        assert sorted(s3.objects()) == ["a", "b", "c", "d", "e"] and not s3.uploads()


def encrypted(folder):
    """TLS, and all bytes kept for greps."""
    import ssl
    sys.path.insert(0, os.path.join(HERE, "..", "unit", "http"))
    import server as plain_server
    plain_server.certificates(folder)
    with S3F(raw=folder + "/raw", tls=folder + "/server.pem", ca=folder + "/ca.pem") as s3:
        s3.config(unsigned="tls")
        client, data = Client(s3), b"needle-in-the-body" + os.urandom(MIB)
        context = ssl.create_default_context(cafile=folder + "/ca.pem")
        s3.rules({"key": "cut", "action": "reset", "received": 1000}, {"key": "once", "nth": 1, "action": "drop", "rst": True},
                 {"key": "wait", "nth": 1, "action": "delay_body", "received": 1000, "delay": 0.5})

        def ask(method, key, body=b"", payload=None):
            connection = http.client.HTTPSConnection(client.host, timeout=10, context=context)
            try:
                connection.request(method, "/b/" + key, body or None, client.sign(method, "/b/" + key, {},
                                                                                  payload or sha256(body)))
                answer = connection.getresponse()
                return answer.status, answer.read()
            except (OSError, http.client.HTTPException):
                return "broken"
            finally:
                connection.close()
        assert ask("PUT", "k", data, "UNSIGNED-PAYLOAD") == (200, b"") and ask("GET", "k") == (200, data)
        assert ask("PUT", "cut", data) == "broken" and ask("PUT", "once", data) == "broken" and ask("GET", "once")[0] == 404
        started = time.monotonic()
        assert ask("PUT", "wait", data)[0] == 200 and time.monotonic() - started > 0.5
        assert sorted(s3.objects()) == ["k", "wait"] and not s3.denied()
        kept = b""
        for path in glob.glob(folder + "/raw/*.in"):
            with open(path, "rb") as f:
                kept += f.read()
        assert kept.count(b"needle-in-the-body") >= 3 and b"x-amz-content-sha256: UNSIGNED-PAYLOAD" in kept
        assert s3.secret_key.encode() not in kept


def throughput(_):
    """Objects at 20 % faults, as the tests of the client do it; the server must not be what is slow."""
    count = 2000
    with S3F() as s3:
        s3.rules({"p": 0.2, "seed": 3, "any": [{"action": "error", "code": "SlowDown"}, {"action": "error"},
                                               {"action": "apply_drop"}, {"action": "drop", "rst": True}]})
        failed = []

        def work(numbers):
            client = Client(s3)
            for n in numbers:
                for _ in range(20):
                    try:
                        if client.call("PUT", "b", "k/%d" % n, body=b"%d" % n * 100)[0] == 200:
                            break
                    except (OSError, http.client.HTTPException):
                        client.close()
                else:
                    failed.append(n)
        started = time.monotonic()
        threads = [threading.Thread(target=work, args=(range(k, count, 8),)) for k in range(8)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        took = time.monotonic() - started
        dump = s3.dump()
        objects = dump["buckets"]["b"]["objects"]
        assert not failed and len(objects) == count and not dump["denied"], (failed, len(objects), dump["denied"])
        assert all(objects["k/%d" % n]["sha256"] == sha256(b"%d" % n * 100) for n in range(count))
        with open("/proc/%d/stat" % s3.process.pid, encoding="ascii") as f:
            spent = sum(int(x) for x in f.read().rsplit(")", 1)[1].split()[11:13]) / os.sysconf("SC_CLK_TCK")
        print("  %d requests, %.1f s, %.2f ms of the server's processor each, %d done twice"
              % (dump["requests"], took, spent * 1000 / dump["requests"], len(dump["twice"])))


GROUPS = {"signatures": [vectors, checksums, header_signatures, query_signatures, boto_signatures, chunked_signatures],
          "objects": [put_and_get, checksum_headers, lists, buckets, copies],
          "multipart": [boto_multipart, multipart, large],
          "faults": [error_faults, broken_connections, expectations, lost_answers, encrypted, throughput]}


def main():
    group = sys.argv[1] if len(sys.argv) > 1 else "signatures"
    cases = Cases("s3-server " + group)
    for case in GROUPS[group]:
        cases.run(case.__name__.replace("_", " "), case)
    return cases.end()


if __name__ == "__main__":
    sys.exit(main())
