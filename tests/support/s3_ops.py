# SPDX-License-Identifier: LGPL-2.1-or-later
"""The operations of the scripted S3 server: a request whose signature holds and whose body is here -> an answer."""
import base64
import email.utils
import os
import re
import time
import xml.etree.ElementTree as ET
from urllib.parse import quote, unquote_to_bytes
from xml.sax.saxutils import escape

import s3_sigv4
import s3_store
from s3_sigv4 import S3Error
from s3_store import XML_NAME, Object, Part, Upload, asked_checksums, pieces, whole

XMLNS = "http://s3.amazonaws.com/doc/2006-03-01/"
KEPT = ("content-type", "cache-control", "content-encoding", "content-disposition", "content-language", "expires",
        "x-amz-storage-class", "x-amz-server-side-encryption", "x-amz-server-side-encryption-aws-kms-key-id",
        "x-amz-server-side-encryption-bucket-key-enabled", "x-amz-website-redirect-location")
TITLE = {n: "-".join(p.capitalize() for p in n.split("-")) for n in KEPT if not n.startswith("x-amz")}
STORAGE = {"STANDARD", "STANDARD_IA", "ONEZONE_IA", "INTELLIGENT_TIERING", "GLACIER", "GLACIER_IR", "DEEP_ARCHIVE",
           "REDUCED_REDUNDANCY", "EXPRESS_ONEZONE"}
ACLS = {"private", "public-read", "public-read-write", "authenticated-read", "aws-exec-read", "bucket-owner-read",
        "bucket-owner-full-control"}
MAX_PUT = 5 << 30
SUBRESOURCES = ("acl", "tagging", "cors", "location", "uploads", "delete", "uploadId", "policy", "versioning", "lifecycle",
                "attributes")


class Answer:
    """body: bytes, or chunks of blobs."""
    __slots__ = ("status", "headers", "body", "size")

    def __init__(self, status=200, headers=(), body=b"", size=None):
        self.status, self.headers, self.body = status, list(headers), body
        self.size = len(body) if size is None else size


def xml(name, inner, status=200, headers=()):
    text = '<?xml version="1.0" encoding="UTF-8"?>\n<%s xmlns="%s">%s</%s>' % (name, XMLNS, inner, name)
    return Answer(status, [("Content-Type", "application/xml"), *headers], text.encode())


def tag(name, value):
    return "<%s>%s</%s>" % (name, escape(str(value)), name)


def error_answer(error, request_id, resource=""):
    inner = tag("Code", error.code) + tag("Message", error.message or error.code)
    inner += "".join(tag(n, v) for n, v in error.extra) + tag("Resource", resource)
    text = '<?xml version="1.0" encoding="UTF-8"?>\n<Error>%s%s%s</Error>' % (
        inner, tag("RequestId", request_id), tag("HostId", "s3f+" + request_id))
    return Answer(error.status, [("Content-Type", "application/xml"), *error.headers], text.encode("utf-8", "replace"))


def stamp(seconds):
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + ".%03dZ" % (seconds % 1 * 1000)


def http_date(seconds):
    return email.utils.formatdate(seconds, usegmt=True)


def operation(request):
    """The name of the operation as AWS calls it."""
    method, query, key = request.method, request.query, request.key
    sub = next((s for s in SUBRESOURCES if s in query), None)
    if method == "OPTIONS":
        return "Preflight"
    if not request.bucket:
        return "ListBuckets" if method == "GET" else "Unknown"
    if not key:
        if method == "GET":
            return {"location": "GetBucketLocation", "uploads": "ListMultipartUploads", "cors": "GetBucketCors",
                    "acl": "GetBucketAcl", None: "ListObjectsV2" if query.get("list-type") == "2" else "ListObjects"
                    }.get(sub, "Unknown")
        if method == "POST":
            return "DeleteObjects" if sub == "delete" else "PostObject"
        table = {"PUT": "CreateBucket", "HEAD": "HeadBucket", "DELETE": "DeleteBucket"}
        if sub == "cors":
            return method.capitalize() + "BucketCors"
        return table.get(method, "Unknown") if sub is None else "Unknown"
    copied = "x-amz-copy-source" in request.headers
    table = {("PUT", None): "CopyObject" if copied else "PutObject", ("GET", None): "GetObject", ("HEAD", None): "HeadObject",
             ("DELETE", None): "DeleteObject", ("PUT", "uploadId"): "UploadPartCopy" if copied else "UploadPart",
             ("POST", "uploads"): "CreateMultipartUpload", ("POST", "uploadId"): "CompleteMultipartUpload",
             ("DELETE", "uploadId"): "AbortMultipartUpload", ("GET", "uploadId"): "ListParts",
             ("GET", "acl"): "GetObjectAcl", ("PUT", "acl"): "PutObjectAcl", ("GET", "tagging"): "GetObjectTagging",
             ("PUT", "tagging"): "PutObjectTagging"}
    return table.get((method, sub), "Unknown")


class Operations:
    """settings: what a test may change; the state is in buckets."""

    def __init__(self, settings):
        self.settings = settings
        self.buckets = {}
        self.table = {n[3:]: getattr(self, n) for n in dir(self) if n.startswith("op_")}

    # ---- what is common ----

    def bucket(self, request):
        found = self.buckets.get(request.bucket)
        if found is None:
            raise S3Error(404, "NoSuchBucket", "The specified bucket does not exist", [("BucketName", request.bucket)])
        if found.region != self.settings.region and request.identity.kind != "none":
            raise S3Error(301, "PermanentRedirect", "The bucket you are attempting to access must be addressed using the "
                          "specified endpoint. Please send all future requests to this endpoint.",
                          [("Endpoint", "s3.%s.amazonaws.com" % found.region), ("Bucket", found.name),
                           ("Region", found.region)], [("x-amz-bucket-region", found.region)])
        return found

    def object(self, request):
        found = self.bucket(request).objects.get(request.key)
        if found is None:
            raise S3Error(404, "NoSuchKey", "The specified key does not exist.", [("Key", request.key)])
        return found

    def upload(self, request):
        found = self.bucket(request).uploads.get(request.query.get("uploadId"))
        if found is None or found.key != request.key:
            raise S3Error(404, "NoSuchUpload", "The specified upload does not exist. The upload ID may be invalid, or the "
                          "upload may have been aborted or completed.", [("UploadId", request.query.get("uploadId"))])
        return found

    def kept(self, request):
        """(headers, meta, acl, tags) that an object is stored with."""
        found, meta, size = {}, {}, 0
        for name, values in request.headers.items():
            if name in KEPT:
                found[name] = values[0]
            elif name.startswith("x-amz-meta-"):
                meta[name] = ",".join(values)
                size += len(name) - 11 + len(meta[name])
        if size > 2048:
            raise S3Error(400, "MetadataTooLarge", "Your metadata headers exceed the maximum allowed metadata size")
        if "aws-chunked" in found.get("content-encoding", ""):
            rest = ",".join(p for p in found.pop("content-encoding").split(",") if p.strip() != "aws-chunked")
            if rest:
                found["content-encoding"] = rest
        if found.get("x-amz-storage-class", "STANDARD") not in STORAGE:
            raise S3Error(400, "InvalidStorageClass", "The storage class you specified is not valid")
        if found.get("x-amz-server-side-encryption", "AES256") not in ("AES256", "aws:kms", "aws:kms:dsse"):
            raise S3Error(400, "InvalidArgument", "The encryption method specified is not supported")
        acl = request.headers.get("x-amz-acl", ["private"])[0]
        if acl not in ACLS:
            raise S3Error(400, "InvalidArgument", "acl")
        tags = request.headers.get("x-amz-tagging", [""])[0]
        if len(tags.split("&")) > 10:
            raise S3Error(400, "BadRequest", "Object tags cannot be greater than 10")
        return found, meta, acl, tags

    def check_absent(self, request, bucket):
        there = bucket.objects.get(request.key)
        none, match = (request.headers.get(n, [None])[0] for n in ("if-none-match", "if-match"))
        if none is not None and none != "*":
            raise S3Error(501, "NotImplemented", "A header you provided implies functionality that is not implemented",
                          [("Header", "If-None-Match")])
        if none and there is not None:
            raise S3Error(412, "PreconditionFailed", "At least one of the pre-conditions you specified did not hold",
                          [("Condition", "If-None-Match")])
        if match is not None and (there is None or there.etag.strip('"') != match.strip('"')):
            raise S3Error(404 if there is None else 412, "NoSuchKey" if there is None else "PreconditionFailed", "If-Match")

    def applied(self, request):
        """Counts what was done, to find what was done twice."""
        which = "%s %s/%s %s" % (request.op, request.bucket, request.key, request.query.get("partNumber", ""))
        done = self.settings.done
        done[which] = done.get(which, 0) + 1

    # ---- buckets ----

    def op_ListBuckets(self, request):
        inner = "".join("<Bucket>%s%s</Bucket>" % (tag("Name", b.name), tag("CreationDate", stamp(b.began)))
                        for b in self.buckets.values())
        return xml("ListAllMyBucketsResult", "<Owner><ID>s3f</ID></Owner><Buckets>%s</Buckets>" % inner)

    def op_CreateBucket(self, request):
        region = self.settings.region
        if request.data():
            found = ET.fromstring(request.data()).findtext("{*}LocationConstraint")
            region = found or region
        if request.bucket in self.buckets:
            raise S3Error(409, "BucketAlreadyOwnedByYou", "Your previous request to create the named bucket succeeded and "
                          "you already own it.")
        if not re.fullmatch(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", request.bucket):
            raise S3Error(400, "InvalidBucketName", "The specified bucket is not valid.")
        self.buckets[request.bucket] = s3_store.Bucket(request.bucket, region)
        return Answer(200, [("Location", "/" + request.bucket)])

    def op_HeadBucket(self, request):
        return Answer(200, [("x-amz-bucket-region", self.bucket(request).region)])

    def op_DeleteBucket(self, request):
        if self.bucket(request).objects:
            raise S3Error(409, "BucketNotEmpty", "The bucket you tried to delete is not empty")
        del self.buckets[request.bucket]
        return Answer(204)

    def op_GetBucketLocation(self, request):
        region = self.bucket(request).region
        return xml("LocationConstraint", "" if region == "us-east-1" else escape(region))

    def op_PutBucketCors(self, request):
        bucket, rules = self.bucket(request), []
        for rule in ET.fromstring(request.data()).findall(".//{*}CORSRule"):
            def texts(name, rule=rule):
                return [e.text for e in rule.findall("{*}" + name)]
            rules.append({"origins": texts("AllowedOrigin"), "methods": texts("AllowedMethod"),
                          "headers": texts("AllowedHeader"), "expose": texts("ExposeHeader"),
                          "max_age": int((texts("MaxAgeSeconds") or ["0"])[0])})
        bucket.cors = rules
        return Answer()

    def op_GetBucketCors(self, request):
        rules = self.bucket(request).cors
        if not rules:
            raise S3Error(404, "NoSuchCORSConfiguration", "The CORS configuration does not exist")
        names = (("origins", "AllowedOrigin"), ("methods", "AllowedMethod"), ("headers", "AllowedHeader"),
                 ("expose", "ExposeHeader"))
        return xml("CORSConfiguration", "".join("<CORSRule>%s</CORSRule>" % "".join(
            tag(name, v) for field, name in names for v in rule.get(field, ())) for rule in rules))

    def op_DeleteBucketCors(self, request):
        self.bucket(request).cors = None
        return Answer(204)

    def cors(self, request):
        """Headers for a request with Origin, or None where no rule allows it."""
        origin = request.headers["origin"][0]
        method = request.headers.get("access-control-request-method", [request.method])[0]
        asked = request.headers.get("access-control-request-headers", [""])[0] if request.method == "OPTIONS" else ""
        bucket = self.buckets.get(request.bucket)
        for rule in (bucket.cors if bucket and bucket.cors is not None else self.settings.cors) or ():
            def fits(value, patterns):
                return any(re.fullmatch(re.escape(p).replace(r"\*", ".*"), value, re.I) for p in patterns)
            wanted = [h.strip() for h in asked.split(",") if h.strip()]
            if not fits(origin, rule["origins"]) or method not in rule["methods"]:
                continue
            if not all(fits(h, rule.get("headers", ())) for h in wanted):
                continue
            found = [("Access-Control-Allow-Origin", "*" if "*" in rule["origins"] else origin),
                     ("Access-Control-Allow-Methods", ", ".join(rule["methods"])),
                     ("Vary", "Origin, Access-Control-Request-Headers, Access-Control-Request-Method")]
            if wanted:
                found.append(("Access-Control-Allow-Headers", ", ".join(wanted).lower()))
            if rule.get("expose"):
                found.append(("Access-Control-Expose-Headers", ", ".join(rule["expose"])))
            if rule.get("max_age") and request.method == "OPTIONS":
                found.append(("Access-Control-Max-Age", str(rule["max_age"])))
            return found
        return None

    def op_Preflight(self, request):
        if "origin" not in request.headers or "access-control-request-method" not in request.headers:
            raise S3Error(400, "BadRequest", "Insufficient information. Origin request header needed.")
        found = self.cors(request)
        if found is None:
            raise S3Error(403, "AccessForbidden", "CORSResponse: This CORS request is not allowed.")
        return Answer(200, found)

    # ---- objects ----

    def stored_headers(self, thing):
        found = [("ETag", thing.etag)]
        for name, value in thing.headers.items():
            if name.startswith("x-amz-server-side"):
                found.append((name, value))
        found += [("x-amz-checksum-" + n, v) for n, v in thing.checksums.items()]
        if thing.checksums:
            found.append(("x-amz-checksum-type", thing.checksum_type))
        return found

    def op_PutObject(self, request):
        bucket, body = self.bucket(request), request.body
        self.check_absent(request, bucket)
        headers, meta, acl, tags = self.kept(request)
        headers.setdefault("content-type", "binary/octet-stream")
        thing = Object(whole(body.blob()), s3_store.etag_of(body, self.settings.etag), headers, meta)
        thing.acl, thing.tags, thing.checksums = acl, tags, request.checksums
        thing.hash = body.digest("sha256").hex() if body.has("sha256") else None
        bucket.put(request.key, thing)
        self.applied(request)
        return Answer(200, self.stored_headers(thing))

    def conditions(self, request, thing):
        one = {n: v[0] for n, v in request.headers.items() if n.startswith("if-")}

        def same(value):
            return value.strip() == "*" or thing.etag in [v.strip() for v in value.split(",")] or \
                thing.etag.strip('"') == value.strip()

        def when(name):
            found = email.utils.parsedate_to_datetime(one[name])
            return found.timestamp()
        if "if-match" in one and not same(one["if-match"]):
            raise S3Error(412, "PreconditionFailed", "At least one of the pre-conditions you specified did not hold",
                          [("Condition", "If-Match")])
        if "if-none-match" in one and same(one["if-none-match"]):
            raise S3Error(304, "NotModified", "", (), [("ETag", thing.etag)])
        if "if-unmodified-since" in one and "if-match" not in one and int(thing.mtime) > when("if-unmodified-since"):
            raise S3Error(412, "PreconditionFailed", "If-Unmodified-Since")
        if "if-modified-since" in one and "if-none-match" not in one and int(thing.mtime) <= when("if-modified-since"):
            raise S3Error(304, "NotModified", "", (), [("ETag", thing.etag)])

    def op_GetObject(self, request):
        thing = self.object(request)
        if request.identity.kind == "none" and not self.settings.public and not thing.acl.startswith("public-read"):
            raise S3Error(403, "AccessDenied", "Access Denied")
        self.conditions(request, thing)
        headers = [("Accept-Ranges", "bytes"), ("Last-Modified", http_date(thing.mtime)), ("ETag", thing.etag)]
        shown = {n: v for n, v in thing.headers.items() if v != "STANDARD"}
        for name, value in request.query.items():
            if name.startswith("response-"):
                if request.identity.kind == "none":
                    raise S3Error(400, "InvalidRequest", "Request specific response headers cannot be used for anonymous GET "
                                  "requests.")
                shown[name[len("response-"):]] = value
        headers += [(TITLE.get(n, n), v) for n, v in shown.items()] + list(thing.meta.items())
        if thing.tags:
            headers.append(("x-amz-tagging-count", str(len(thing.tags.split("&")))))
        if thing.parts and "partNumber" in request.query:
            headers.append(("x-amz-mp-parts-count", str(thing.parts)))
        start, count, status = 0, thing.size, 200
        given = request.headers.get("range", [""])[0]
        found = re.fullmatch(r"bytes=(\d*)-(\d*)", given)
        if found and found[0] != "bytes=-" and self.if_range(request, thing):
            if not found[1]:
                start = max(0, thing.size - int(found[2]))
                count = thing.size - start
            else:
                start = int(found[1])
                count = min(int(found[2]) + 1 if found[2] else thing.size, thing.size) - start
            if count <= 0 and (not found[2] or start <= int(found[2] or 0) or not found[1]):
                raise S3Error(416, "InvalidRange", "The requested range is not satisfiable", [
                    ("RangeRequested", given), ("ActualObjectSize", thing.size)],
                    [("Content-Range", "bytes */%d" % thing.size)])
            if count > 0:
                status = 206
                headers.append(("Content-Range", "bytes %d-%d/%d" % (start, start + count - 1, thing.size)))
            else:
                start, count = 0, thing.size
        if request.headers.get("x-amz-checksum-mode", [""])[0].upper() == "ENABLED" and status == 200:
            headers += [("x-amz-checksum-" + n, v) for n, v in thing.checksums.items()]
            if thing.checksums:
                headers.append(("x-amz-checksum-type", thing.checksum_type))
        return Answer(status, headers, list(pieces(thing.chunks, start, count)), count)

    def if_range(self, request, thing):
        given = request.headers.get("if-range", [None])[0]
        return given is None or given == thing.etag

    op_HeadObject = op_GetObject

    def op_DeleteObject(self, request):
        self.bucket(request).delete(request.key)
        self.applied(request)
        return Answer(204)

    def op_DeleteObjects(self, request):
        bucket = self.bucket(request)
        if "content-md5" not in request.headers and not asked_checksums(request.headers):
            raise S3Error(400, "InvalidRequest", "Missing required header for this request: Content-MD5 OR x-amz-checksum-*")
        root = self.document(request, "Delete")
        keys = [e.findtext("{*}Key") for e in root.findall("{*}Object")]
        if not keys or len(keys) > 1000 or None in keys:
            raise S3Error(400, "MalformedXML", "The XML you provided was not well-formed or did not validate against our "
                          "published schema")
        quiet = (root.findtext("{*}Quiet") or "").lower() == "true"
        inner = ""
        for key in keys:
            bucket.delete(key)
            if not quiet:
                inner += "<Deleted>%s</Deleted>" % tag("Key", key)
        self.applied(request)
        return xml("DeleteResult", inner)

    def document(self, request, name):
        try:
            root = ET.fromstring(request.data())
        except ET.ParseError:
            root = None
        if root is None or root.tag.split("}")[-1] != name:
            raise S3Error(400, "MalformedXML", "The XML you provided was not well-formed or did not validate against our "
                          "published schema")
        return root

    def op_GetObjectAcl(self, request):
        acl = self.object(request).acl
        owner = ('<Grant><Grantee xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="CanonicalUser"><ID>s3f</ID>'
                 "</Grantee><Permission>FULL_CONTROL</Permission></Grant>")
        group = ('<Grant><Grantee xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="Group"><URI>'
                 "http://acs.amazonaws.com/groups/global/AllUsers</URI></Grantee><Permission>READ</Permission></Grant>")
        return xml("AccessControlPolicy", "<Owner><ID>s3f</ID></Owner><AccessControlList>%s</AccessControlList>" % (
            owner + (group if acl.startswith("public-read") else "")), headers=[("x-s3f-acl", acl)])

    def op_PutObjectAcl(self, request):
        self.object(request).acl = request.headers.get("x-amz-acl", ["private"])[0]
        return Answer()

    def op_GetObjectTagging(self, request):
        inner = ""
        for pair in filter(None, self.object(request).tags.split("&")):
            name, _, value = pair.partition("=")
            inner += "<Tag>%s%s</Tag>" % (tag("Key", s3_sigv4.unquote(name).decode()),
                                          tag("Value", s3_sigv4.unquote(value).decode()))
        return xml("Tagging", "<TagSet>%s</TagSet>" % inner)

    def op_PutObjectTagging(self, request):
        root = self.document(request, "Tagging")
        self.object(request).tags = "&".join("%s=%s" % (quote(e.findtext("{*}Key"), safe=""),
                                                        quote(e.findtext("{*}Value") or "", safe=""))
                                             for e in root.findall(".//{*}Tag"))
        return Answer()

    # ---- copies ----

    def source(self, request):
        given = request.headers["x-amz-copy-source"][0].split("?")[0].lstrip("/")
        name, _, key = unquote_to_bytes(given).decode().partition("/")
        bucket = self.buckets.get(name)
        thing = bucket and bucket.objects.get(key)
        if not thing:
            raise S3Error(404, "NoSuchKey" if bucket else "NoSuchBucket", "of x-amz-copy-source", [("Key", key)])
        for header, want in (("x-amz-copy-source-if-match", True), ("x-amz-copy-source-if-none-match", False)):
            if header in request.headers and (request.headers[header][0].strip('"') == thing.etag.strip('"')) != want:
                raise S3Error(412, "PreconditionFailed", header)
        return (name, key), thing

    def op_CopyObject(self, request):
        bucket = self.bucket(request)
        name, thing = self.source(request)
        replace = request.headers.get("x-amz-metadata-directive", ["COPY"])[0] == "REPLACE"
        if thing.size > MAX_PUT:
            raise S3Error(400, "InvalidRequest", "The specified copy source is larger than the maximum allowable size for a "
                          "copy source: 5368709120")
        headers, meta, acl, tags = self.kept(request)
        if name == (request.bucket, request.key) and not replace and "x-amz-storage-class" not in headers:
            raise S3Error(400, "InvalidRequest", "This copy request is illegal because it is trying to copy an object to "
                          "itself without changing the object's metadata, storage class, website redirect location or "
                          "encryption attributes.")
        if not replace:
            meta = thing.meta
            headers = dict({n: v for n, v in thing.headers.items() if not n.startswith("x-amz-")},
                           **{n: v for n, v in headers.items() if n.startswith("x-amz-")})
        made = Object(thing.chunks, '"%s"' % os.urandom(16).hex(), headers, meta)
        made.hash, made.acl = thing.hash, acl
        made.tags = tags if request.headers.get("x-amz-tagging-directive", ["COPY"])[0] == "REPLACE" else thing.tags
        made.checksums, made.checksum_type = thing.checksums, thing.checksum_type
        bucket.put(request.key, made)
        self.applied(request)
        return xml("CopyObjectResult", tag("ETag", made.etag) + tag("LastModified", stamp(made.mtime)))

    def op_UploadPartCopy(self, request):
        upload, (_, thing) = self.upload(request), self.source(request)
        number = self.part_number(request)
        start, count = 0, thing.size
        given = request.headers.get("x-amz-copy-source-range", [None])[0]
        if given is not None:
            found = re.fullmatch(r"bytes=(\d+)-(\d+)", given)
            if not found or not int(found[1]) <= int(found[2]) < thing.size:
                raise S3Error(400, "InvalidArgument", "Range specified is not valid for source object of size: %d"
                              % thing.size)
            start, count = int(found[1]), int(found[2]) + 1 - int(found[1])
        if count > MAX_PUT:
            raise S3Error(400, "InvalidRequest", "part of more than 5 GiB")
        chunks = list(pieces(thing.chunks, start, count))
        part = Part(chunks, '"%s"' % os.urandom(16).hex(), {})
        if upload.algorithm:
            part.checksums = {upload.algorithm: s3_store.checksum_of(upload.algorithm, chunks)}
        upload.parts[number] = part
        self.applied(request)
        return xml("CopyPartResult", tag("ETag", part.etag) + tag("LastModified", stamp(part.mtime))
                   + "".join(tag(XML_NAME[n], v) for n, v in part.checksums.items()))

    # ---- multipart ----

    def op_CreateMultipartUpload(self, request):
        bucket = self.bucket(request)
        headers, meta, acl, tags = self.kept(request)
        headers.setdefault("content-type", "binary/octet-stream")
        made = Upload("%s.%s" % (base64.urlsafe_b64encode(os.urandom(24)).decode(), "s3f~-_"), request.key, headers, meta)
        made.acl, made.tags = acl, tags
        given = request.headers.get("x-amz-checksum-algorithm", [None])[0]
        kind = request.headers.get("x-amz-checksum-type", [None])[0]
        answer = []
        if given is not None:
            made.algorithm = given.lower()
            if made.algorithm not in XML_NAME:
                raise S3Error(400, "InvalidRequest", "Checksum algorithm provided is unsupported. Please try again with any "
                              "of the valid types: [CRC32, CRC32C, CRC64NVME, SHA1, SHA256]")
            default = "FULL_OBJECT" if made.algorithm == "crc64nvme" else "COMPOSITE"
            made.checksum_type = kind or default
            wrong = {"crc64nvme": "COMPOSITE", "sha1": "FULL_OBJECT", "sha256": "FULL_OBJECT"}.get(made.algorithm)
            if made.checksum_type not in ("FULL_OBJECT", "COMPOSITE") or made.checksum_type == wrong:
                raise S3Error(400, "InvalidRequest", "The %s checksum type cannot be used with the %s checksum algorithm."
                              % (kind, made.algorithm))
            answer = [("x-amz-checksum-algorithm", made.algorithm.upper()), ("x-amz-checksum-type", made.checksum_type)]
        elif kind is not None:
            raise S3Error(400, "InvalidRequest", "x-amz-checksum-type without x-amz-checksum-algorithm")
        bucket.uploads[made.id] = made
        self.applied(request)
        return xml("InitiateMultipartUploadResult", tag("Bucket", request.bucket) + tag("Key", request.key)
                   + tag("UploadId", made.id), headers=answer)

    def part_number(self, request):
        text = request.query.get("partNumber", "")
        if not re.fullmatch(r"\d{1,9}", text) or not 1 <= int(text) <= 10000:
            raise S3Error(400, "InvalidArgument", "Part number must be an integer between 1 and 10000, inclusive",
                          [("ArgumentName", "partNumber"), ("ArgumentValue", text)])
        return int(text)

    def op_UploadPart(self, request):
        upload, body = self.upload(request), request.body
        number = self.part_number(request)
        got = next(iter(request.checksums), None)
        if upload.algorithm and got != upload.algorithm and self.settings.strict_checksums:
            raise S3Error(400, "InvalidRequest", "Checksum Type mismatch occurred, expected checksum Type: %s, actual "
                          "checksum Type: %s" % (upload.algorithm, got or "null"))
        part = Part(whole(body.blob()), s3_store.etag_of(body, self.settings.etag), request.checksums)
        upload.parts[number] = part
        self.applied(request)
        return Answer(200, [("ETag", part.etag)] + [("x-amz-checksum-" + n, v) for n, v in part.checksums.items()])

    def op_CompleteMultipartUpload(self, request):
        bucket, root = self.bucket(request), self.document(request, "CompleteMultipartUpload")
        listed = [(int(e.findtext("{*}PartNumber") or 0), e.findtext("{*}ETag") or "", e) for e in root.findall("{*}Part")]
        name, same = request.query.get("uploadId"), tuple((n, e) for n, e, _ in listed)
        thing = bucket.objects.get(request.key)
        if not (self.settings.complete_twice and thing and thing.upload == name and bucket.done.get(name) == same):
            upload = self.upload(request)
            self.check_absent(request, bucket)
            thing = self.join(request, upload, listed)
            del bucket.uploads[upload.id]
            bucket.put(request.key, thing)
            bucket.done[upload.id] = same
            self.applied(request)
        inner = tag("Location", "http://%s/%s" % (request.headers["host"][0], quote("%s/%s" % (request.bucket, request.key))))
        inner += tag("Bucket", request.bucket) + tag("Key", request.key) + tag("ETag", thing.etag)
        inner += "".join(tag(XML_NAME[n], v) for n, v in thing.checksums.items())
        if thing.checksums:
            inner += tag("ChecksumType", thing.checksum_type)
        return xml("CompleteMultipartUploadResult", inner)

    def join(self, request, upload, listed):
        if not listed or len(listed) > 10000:
            raise S3Error(400, "MalformedXML", "The XML you provided was not well-formed or did not validate against our "
                          "published schema")
        if any(a[0] >= b[0] for a, b in zip(listed, listed[1:])):
            raise S3Error(400, "InvalidPartOrder", "The list of parts was not in ascending order. Parts must be ordered by "
                          "part number.")
        parts, name = [], upload.algorithm
        for n, (number, etag, element) in enumerate(listed):
            part = upload.parts.get(number)
            told = name and element.findtext("{*}" + XML_NAME[name])
            if part is None or part.etag.strip('"') != etag.strip('"') or (told and told != part.checksums.get(name)):
                raise S3Error(400, "InvalidPart", "One or more of the specified parts could not be found. The part may not "
                              "have been uploaded, or the specified entity tag may not match the part's entity tag.",
                              [("PartNumber", number), ("ETag", etag)])
            if name and not told and upload.checksum_type == "COMPOSITE":
                raise S3Error(400, "InvalidRequest", "The upload was created using a %s checksum. The complete request must "
                              "include the checksum for each part. It was missing for part %d in the request."
                              % (name, number))
            if part.size < self.settings.min_part and n < len(listed) - 1:
                raise S3Error(400, "EntityTooSmall", "Your proposed upload is smaller than the minimum allowed size",
                              [("ProposedSize", part.size), ("MinSizeAllowed", self.settings.min_part),
                               ("PartNumber", number), ("ETag", etag)])
            if self.settings.equal_parts and n < len(listed) - 1 and part.size != upload.parts[listed[0][0]].size:
                raise S3Error(400, "InvalidPart", "All non-trailing parts must have the same length.")
            parts.append(part)
        thing = Object([c for p in parts for c in p.chunks], '"%s-%d"' % (os.urandom(16).hex(), len(parts)),
                       upload.headers, upload.meta)
        thing.acl, thing.tags, thing.upload, thing.parts = upload.acl, upload.tags, upload.id, len(parts)
        size = request.headers.get("x-amz-mp-object-size", [None])[0]
        if size is not None and size != str(thing.size):
            raise S3Error(400, "InvalidRequest", "The provided 'x-amz-mp-object-size' header value %s does not match what "
                          "was computed: %d" % (size, thing.size))
        self.joined_checksum(request, upload, parts, thing)
        return thing

    def joined_checksum(self, request, upload, parts, thing):
        kind, name = request.headers.get("x-amz-checksum-type", [None])[0], upload.algorithm
        told = asked_checksums(request.headers)
        if kind is not None and kind != upload.checksum_type:
            raise S3Error(400, "InvalidRequest", "The upload was created using the %s checksum mode. The complete request "
                          "must use the same checksum mode." % upload.checksum_type)
        if not name:
            if told:
                raise S3Error(400, "InvalidRequest", "The upload was created without a checksum algorithm")
            return
        if not all(name in p.checksums for p in parts):
            return
        value = (s3_store.composite if upload.checksum_type == "COMPOSITE" else s3_store.full_object)(name, parts)
        if name in told and told[name].split("-")[0] != value.split("-")[0]:
            raise S3Error(400, "BadDigest", "The %s you specified did not match the calculated checksum." % name)
        thing.checksums, thing.checksum_type = {name: value}, upload.checksum_type

    def op_AbortMultipartUpload(self, request):
        del self.bucket(request).uploads[self.upload(request).id]
        return Answer(204)

    def op_ListParts(self, request):
        upload = self.upload(request)
        after, most = int(request.query.get("part-number-marker") or 0), int(request.query.get("max-parts") or 1000)
        numbers = sorted(n for n in upload.parts if n > after)
        page = numbers[:min(most, self.settings.max_keys)]
        inner = tag("Bucket", request.bucket) + tag("Key", request.key) + tag("UploadId", upload.id)
        inner += tag("PartNumberMarker", after) + tag("MaxParts", most)
        inner += tag("IsTruncated", str(len(page) < len(numbers)).lower())
        if upload.algorithm:
            inner += tag("ChecksumAlgorithm", upload.algorithm.upper()) + tag("ChecksumType", upload.checksum_type)
        if page:
            inner += tag("NextPartNumberMarker", page[-1])
        for n in page:
            p = upload.parts[n]
            inner += "<Part>%s%s%s%s%s</Part>" % (
                tag("PartNumber", n), tag("LastModified", stamp(p.mtime)), tag("ETag", p.etag), tag("Size", p.size),
                "".join(tag(XML_NAME[c], v) for c, v in p.checksums.items()))
        return xml("ListPartsResult", inner)

    def op_ListMultipartUploads(self, request):
        query = request.query
        prefix, most = query.get("prefix", ""), min(int(query.get("max-uploads") or 1000), 1000)
        after = (query.get("key-marker", ""), query.get("upload-id-marker", ""))
        whole = self.settings.whole_key_prefix and prefix
        found = sorted((u for u in self.bucket(request).uploads.values()
                        if (u.key == prefix if whole else u.key.startswith(prefix))),
                       key=lambda u: (u.key.encode(), u.id))
        if after[0]:
            found = [u for u in found if (u.key > after[0] if not after[1] else (u.key, u.id) > after)]
        page = found[:most]
        name = (lambda k: quote(k, safe="/")) if query.get("encoding-type") == "url" else (lambda k: k)
        inner = tag("Bucket", request.bucket) + tag("KeyMarker", name(after[0])) + tag("UploadIdMarker", after[1])
        inner += tag("Prefix", name(prefix)) + tag("MaxUploads", most)
        if len(page) < len(found):
            inner += tag("NextKeyMarker", name(page[-1].key)) + tag("NextUploadIdMarker", page[-1].id)
        if query.get("encoding-type"):
            inner += tag("EncodingType", "url")
        inner += tag("IsTruncated", str(len(page) < len(found)).lower())
        for u in page:
            inner += "<Upload>%s%s%s%s</Upload>" % (tag("Key", name(u.key)), tag("UploadId", u.id), tag(
                "StorageClass", u.headers.get("x-amz-storage-class", "STANDARD")), tag("Initiated", stamp(u.began)))
        return xml("ListMultipartUploadsResult", inner)

    # ---- lists ----

    def page(self, bucket, prefix, delimiter, after, most):
        """([key], [common prefix], last or None): in the order of bytes."""
        keys, folders, last, n = [], [], None, 0
        for key in bucket.keys(prefix, after):
            folder = None
            if delimiter:
                cut = key.find(delimiter, len(prefix))
                folder = key[:cut + len(delimiter)] if cut >= 0 else None
                if folder and ((folders and folders[-1] == folder) or (after and after.startswith(folder))):
                    continue
            if n == most:
                return keys, folders, last
            n += 1
            last = folder + "\U0010ffff" if folder else key
            (folders if folder else keys).append(folder or key)
        return keys, folders, None

    def op_ListObjectsV2(self, request):
        query, bucket = request.query, self.bucket(request)
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
        most, token = query.get("max-keys", "1000"), query.get("continuation-token")
        if not most.isdigit():
            raise S3Error(400, "InvalidArgument", "Provided max-keys not an integer or within integer range")
        most, after = min(int(most), self.settings.max_keys), query.get("start-after", "")
        if token is not None:
            try:
                after = base64.urlsafe_b64decode(token).decode()
            except ValueError:
                raise S3Error(400, "InvalidArgument", "The continuation token provided is incorrect") from None
        keys, folders, last = self.page(bucket, prefix, delimiter, after, most)
        if most == 0:
            last = None
        name = (lambda k: quote(k, safe="/")) if query.get("encoding-type") == "url" else (lambda k: k)
        inner = tag("Name", request.bucket) + tag("Prefix", name(prefix)) + tag("KeyCount", len(keys) + len(folders))
        inner += tag("MaxKeys", most) + tag("IsTruncated", str(last is not None).lower())
        if delimiter:
            inner += tag("Delimiter", name(delimiter))
        if query.get("encoding-type"):
            inner += tag("EncodingType", "url")
        if token is not None:
            inner += tag("ContinuationToken", token)
        if last is not None:
            inner += tag("NextContinuationToken", base64.urlsafe_b64encode(last.encode()).decode())
        return xml("ListBucketResult", inner + self.entries(bucket, keys, folders, name))

    def op_ListObjects(self, request):
        query, bucket = request.query, self.bucket(request)
        prefix, delimiter, after = (query.get(n, "") for n in ("prefix", "delimiter", "marker"))
        most = min(int(query.get("max-keys", "1000")), self.settings.max_keys)
        keys, folders, last = self.page(bucket, prefix, delimiter, after, most)
        name = (lambda k: quote(k, safe="/")) if query.get("encoding-type") == "url" else (lambda k: k)
        inner = tag("Name", request.bucket) + tag("Prefix", name(prefix)) + tag("Marker", name(after))
        inner += tag("MaxKeys", most) + tag("IsTruncated", str(last is not None).lower())
        if last is not None and delimiter:
            inner += tag("NextMarker", name(last))
        return xml("ListBucketResult", inner + self.entries(bucket, keys, folders, name))

    def entries(self, bucket, keys, folders, name):
        lines = []
        for key in keys:
            o = bucket.objects[key]
            lines.append("<Contents>%s%s%s%s%s%s</Contents>" % (
                tag("Key", name(key)), tag("LastModified", stamp(o.mtime)), tag("ETag", o.etag), tag("Size", o.size),
                "".join("<ChecksumAlgorithm>%s</ChecksumAlgorithm>" % n.upper() for n in o.checksums),
                tag("StorageClass", o.headers.get("x-amz-storage-class", "STANDARD"))))
        lines += ["<CommonPrefixes>%s</CommonPrefixes>" % tag("Prefix", name(f)) for f in folders]
        return "".join(lines)

    # ---- forms of browsers ----

    def op_PostObject(self, request):
        bucket, fields, data = self.bucket(request), request.fields, request.file
        key = fields["key"].replace("${filename}", request.filename)
        headers = {n: v for n, v in fields.items() if n in KEPT}
        headers.setdefault("content-type", "binary/octet-stream")
        meta = {n: v for n, v in fields.items() if n.startswith("x-amz-meta-")}
        body = s3_store.Body(self.settings.folder, ["sha256", "md5"])
        body.write(data)
        thing = Object(whole(body.blob()), s3_store.etag_of(body, self.settings.etag), headers, meta)
        thing.acl, thing.hash = fields.get("acl", "private"), body.digest("sha256").hex()
        bucket.put(key, thing)
        request.key = key
        self.applied(request)
        place = "http://%s/%s" % (request.headers["host"][0], quote("%s/%s" % (request.bucket, key)))
        status = fields.get("success_action_status", "204")
        found = [("ETag", thing.etag), ("Location", place)]
        if fields.get("success_action_redirect", "").startswith("http"):
            return Answer(303, [("Location", fields["success_action_redirect"])])
        if status == "201":
            return xml("PostResponse", tag("Location", place) + tag("Bucket", bucket.name) + tag("Key", key)
                       + tag("ETag", thing.etag), 201, found)
        return Answer(200 if status == "200" else 204, found)


def parse_form(request):
    """Fields and the file of multipart/form-data into the request; nothing behind the file counts."""
    found = re.match(r'multipart/form-data;.*boundary="?([^";]+)"?', request.headers.get("content-type", [""])[0])
    if not found:
        raise S3Error(412, "PreconditionFailed", "Bucket POST must be of the enclosure-type multipart/form-data")
    mark, fields, file, filename = b"--" + found[1].encode("latin-1"), {}, None, ""
    for piece in (b"\r\n" + request.data()).split(b"\r\n" + mark)[1:]:
        if piece.startswith(b"--"):
            break
        head, _, value = piece.partition(b"\r\n\r\n")
        text = head.decode("utf-8", "replace")
        name = re.search(r'[; ]name="([^"]*)"', text)
        if not name:
            raise S3Error(400, "MalformedPOSTRequest", "The body of your POST request is not well-formed")
        if name[1].lower() == "file":
            given = re.search(r'filename="([^"]*)"', text)
            file, filename = value, os.path.basename(given[1]) if given else ""
            break
        fields[name[1].lower()] = value.decode("utf-8", "replace")
    if file is None or "key" not in fields:
        raise S3Error(400, "InvalidArgument", "POST requires exactly one file upload per request, and a key before it.")
    request.fields, request.file, request.filename = fields, file, filename


def checksum_hashes(request, settings):
    """What must be computed of a body while it comes."""
    names = set(asked_checksums(request.headers))
    trailer = request.headers.get("x-amz-trailer", [""])[0].strip().lower()
    if trailer in s3_store.CHECKSUM_HEADERS:
        names.add(s3_store.CHECKSUM_HEADERS[trailer])
    if "content-md5" in request.headers or settings.etag == "md5":
        names.add("md5")
    if settings.hash or re.fullmatch("[0-9a-f]{64}", request.identity.payload or ""):
        names.add("sha256")
    return names
