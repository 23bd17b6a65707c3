# SPDX-License-Identifier: LGPL-2.1-or-later
"""One connection of the scripted S3 server: HTTP/1.1 by hand, so that a rule can break it at any byte."""
import asyncio
import copy
import os
import re
import socket
import struct
import time
from urllib.parse import unquote_to_bytes

import s3_faults
import s3_ops
import s3_sigv4
import s3_store
from s3_ops import Answer, error_answer
from s3_sigv4 import S3Error

REASON = {100: "Continue", 200: "OK", 204: "No Content", 206: "Partial Content", 301: "Moved Permanently", 303: "See Other",
          304: "Not Modified", 307: "Temporary Redirect", 400: "Bad Request", 403: "Forbidden", 404: "Not Found",
          409: "Conflict", 411: "Length Required", 412: "Precondition Failed", 416: "Requested Range Not Satisfiable",
          417: "Expectation Failed", 429: "Too Many Requests", 500: "Internal Server Error", 501: "Not Implemented",
          503: "Slow Down"}
MAX_HEAD, WRITE, MAX_FORM = 32 << 10, 256 << 10, 256 << 20
LINGER = struct.pack("ii", 1, 0)


class Request:
    __slots__ = ("order", "began", "method", "target", "path", "items", "query", "headers", "bucket", "key", "op", "tls",
                 "identity", "body", "checksums", "fields", "file", "filename", "length", "error", "fault", "received",
                 "chunks", "applied", "auth")

    def __init__(self, method, target, headers, domains, tls):
        self.method, self.target, self.headers, self.tls = method, target, headers, tls
        path, _, query = target.partition("?")
        self.path = unquote_to_bytes(path.replace("+", " "))
        self.items = []
        for part in query.split("&") if query else ():
            if part:
                name, _, value = part.partition("=")
                self.items.append((s3_sigv4.unquote(name), s3_sigv4.unquote(value)))
        self.query = {n.decode("latin-1"): v.decode("utf-8", "replace") for n, v in self.items}
        host = re.sub(r":\d+$", "", headers.get("host", [""])[0])
        domain = next((d for d in domains if host.endswith("." + d)), None)
        try:
            whole = self.path[1:].decode()
        except UnicodeDecodeError:
            raise S3Error(400, "InvalidURI", "Couldn't parse the specified URI.") from None
        if domain:
            self.bucket, self.key = host[:-len(domain) - 1], whole
        else:
            self.bucket, _, self.key = whole.partition("/")
        self.op = s3_ops.operation(self)
        self.identity, self.body, self.checksums, self.length, self.error = s3_sigv4.Identity("none"), None, {}, 0, None
        self.fault, self.received, self.chunks, self.applied, self.auth = None, 0, None, False, ""

    def data(self):
        blob = self.body.blob()
        return blob.read(0, blob.size)


class Connection(asyncio.BufferedProtocol):
    space = memoryview(bytearray(WRITE))  # of all: what comes is used up before the next is read

    def __init__(self, server, tls):
        self.server, self.tls = server, tls
        self.pending, self.state, self.request, self.task, self.idle = bytearray(), "head", None, None, None
        self.writable, self.keep, self.raw, self.served, self.cut, self.sent = None, True, None, 0, None, 0
        self.hold = None

    # ---- the transport ----

    def connection_made(self, transport):
        server = self.server
        self.transport = transport
        server.connections += 1
        self.number = server.connections
        server.open.add(self)
        server.most_open = max(server.most_open, len(server.open))
        self.port = transport.get_extra_info("sockname")[1]
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        transport.set_write_buffer_limits(1 << 20)
        if server.raw:
            self.raw = [open("%s/%d.%s" % (server.raw, self.number, way), "wb") for way in ("in", "out")]
        self.wait_idle()

    def connection_lost(self, error):
        self.server.open.discard(self)
        if self.request is not None:
            self.log(None, aborted=True)
        self.state = "closed"
        if self.task:
            self.task.cancel()
        if self.writable and not self.writable.done():
            self.writable.cancel()
        if self.idle:
            self.idle.cancel()
        for f in self.raw or ():
            f.close()
        self.raw = None

    def eof_received(self):
        return False

    def pause_writing(self):
        self.writable = self.server.loop.create_future()

    def resume_writing(self):
        if self.writable and not self.writable.done():
            self.writable.set_result(None)
        self.writable = None

    def get_buffer(self, _hint):
        return self.space

    def buffer_updated(self, count):
        data = self.space[:count]
        self.server.bytes_in += count
        if self.raw:
            self.raw[0].write(data)
            self.raw[0].flush()
        if self.state == "body" and not self.pending:
            used = self.take_body(data)
            data = data[used:]
        elif self.state in ("dead", "closed"):
            return
        if len(data):
            self.pending += data
            data.release()
            self.advance()

    def write(self, data):
        self.server.bytes_out += len(data)
        if self.raw:
            self.raw[1].write(data)
            self.raw[1].flush()
        self.transport.write(data)

    def reset(self):
        """RST: what is unsent is lost."""
        self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER)
        self.state = "dead"
        self.transport.abort()

    def close(self, rst=False):
        if rst:
            self.reset()
        else:
            self.state = "dead"
            self.transport.close()

    def wait_idle(self):
        if self.server.settings.idle_close:
            self.idle = self.server.loop.call_later(self.server.settings.idle_close, self.close)

    # ---- what comes ----

    def advance(self):
        while self.pending and self.state in ("head", "body"):
            if self.state == "head":
                end = self.pending.find(b"\r\n\r\n")
                if end < 0:
                    if len(self.pending) > MAX_HEAD:
                        self.close()
                    return
                head = bytes(self.pending[:end])
                del self.pending[:end + 4]
                if self.idle:
                    self.idle.cancel()
                    self.idle = None
                self.begin(head)
            else:
                data = bytes(self.pending)
                used = self.take_body(memoryview(data))
                del self.pending[:used]

    def begin(self, head):
        server = self.server
        server.requests += 1
        now = time.time()
        second = int(now)
        server.per_second[second] = server.per_second.get(second, 0) + 1
        self.keep = True
        try:
            request = self.parse(head)
        except (S3Error, ValueError) as error:
            self.keep = False
            if not isinstance(error, S3Error):
                error = S3Error(400, "BadRequest", str(error))
            server.log({"n": server.requests, "t": now, "conn": self.number, "port": self.port, "op": "Unparsed", "method": "",
                        "path": "", "bucket": "", "key": "", "headers": {}, "bytes": 0, "auth": error.code, "fault": "",
                        "status": error.status, "code": error.code, "message": head[:2000].decode("latin-1"), "sha256": "",
                        "applied": False, "aborted": False})
            return self.send(error_answer(error, "0"))
        self.request = request
        request.order, request.began = server.requests, now
        self.served += 1
        self.check_head(request, now)
        if self.early(request):
            return None
        request.body = s3_store.Body(server.settings.folder, s3_ops.checksum_hashes(request, server.settings),
                                     keep=request.error is None)
        if request.identity.payload in s3_sigv4.STREAMING and request.error is None:
            request.chunks = s3_sigv4.Chunks(request.identity, request.body.write)
        delays = request.fault and request.fault["action"] == "delay_body"
        self.hold = request.fault.get("received", 0) if delays else None
        if request.length == 0:
            return self.finish()
        self.state = "body"
        return None

    def parse(self, head):
        lines = head.decode("latin-1").split("\r\n")
        method, target, version = lines[0].split(" ")
        headers = {}
        for line in lines[1:]:
            name, colon, value = line.partition(":")
            if not colon or name != name.strip():
                raise ValueError("a header line: %r" % line)
            headers.setdefault(name.lower(), []).append(value.strip())
        if version != "HTTP/1.1" or headers.get("connection", [""])[0].lower() == "close":
            self.keep = False
        target = re.sub(r"^http://[^/]+", "", target)  # as a proxy is asked
        if not target.startswith("/"):
            raise ValueError("the request's target")
        if len(headers.get("host", ())) != 1:
            raise ValueError("Host")
        return Request(method, target, headers, self.server.settings.domains, self.tls)

    def check_head(self, request, now):
        """Length, signature, fault; what is wrong is kept in request.error."""
        settings, headers = self.server.settings, request.headers
        request.fault = self.server.rules.take(request)
        length = headers.get("content-length", ["0"])[0]
        try:
            if not length.isdigit() or len(headers.get("content-length", ())) > 1:
                raise S3Error(400, "BadRequest", "Content-Length")
            request.length = int(length)
            if "transfer-encoding" in headers:
                self.keep = False
                raise S3Error(501, "NotImplemented", "A header you provided implies functionality that is not implemented",
                              [("Header", "Transfer-Encoding")])
            if request.op != "Preflight" and request.op != "PostObject":
                request.identity = s3_sigv4.verify(request, settings, now + settings.clock_offset)
            request.auth = request.identity.kind
            self.check_more(request, settings, now)
        except S3Error as error:
            request.error = error
            if not request.auth:
                request.auth = error.code
                self.server.denied[error.code] = self.server.denied.get(error.code, 0) + 1

    def check_more(self, request, settings, now):
        headers = request.headers
        if request.op == "Unknown":
            raise S3Error(405, "MethodNotAllowed", "The specified method is not allowed against this resource.")
        if request.auth == "none" and request.op not in ("GetObject", "HeadObject", "Preflight", "PostObject"):
            raise S3Error(403, "AccessDenied", "Access Denied")
        if len(request.key.encode()) > 1024:
            raise S3Error(400, "KeyTooLongError", "Your key is too long")
        if request.method == "PUT" and "content-length" not in headers and request.op in ("PutObject", "UploadPart"):
            raise S3Error(411, "MissingContentLength", "You must provide the Content-Length HTTP header.")
        if request.length > settings.max_put:
            raise S3Error(400, "EntityTooLarge", "Your proposed upload exceeds the maximum allowed size",
                          [("ProposedSize", request.length), ("MaxSizeAllowed", settings.max_put)])
        if request.op == "PostObject" and request.length > MAX_FORM:
            raise S3Error(400, "EntityTooLarge", "forms are held in memory here")
        for name, values in headers.items():
            if name.startswith("x-amz-") and not values[0].isascii():
                raise S3Error(400, "InvalidArgument", "a header that is not ASCII: " + name)
        streaming = request.identity.payload in s3_sigv4.STREAMING
        if streaming and (not settings.chunked or "x-amz-decoded-content-length" not in headers):
            raise S3Error(501 if not settings.chunked else 411, "NotImplemented" if not settings.chunked
                          else "MissingContentLength", "aws-chunked")
        if settings.rate:
            bucket = self.server.bucket
            left = min(settings.rate, bucket[0] + (now - bucket[1]) * settings.rate)
            self.server.bucket = (max(left - 1, 0), now)
            if left < 1:
                raise S3Error(503, "SlowDown", "Please reduce your request rate.")

    def early(self, request):
        """What happens before the body is read; True: nothing more."""
        fault, expect = request.fault, request.headers.get("expect", [""])[0].lower() == "100-continue"
        action = fault["action"] if fault else ""
        when = fault.get("when", "headers" if action == "redirect" else "body") if fault else ""
        if action == "reset" and fault.get("received") is not None:
            self.cut = min(fault["received"], request.length)
            if self.cut == 0:
                self.log(None, aborted=True)
                self.reset()
                return True
        elif action == "expect417":
            self.answer_fault(request, S3Error(417, "ExpectationFailed", "Expect"), close=not request.length == 0)
            return True
        elif when == "headers" and action == "hang":
            self.state = "dead"
            self.hang(fault)
            return True
        elif when == "headers" and request.length and (not request.error or action == "error"):
            error = self.fault_error(request, fault)
            if error is not None:
                self.answer_fault(request, error, close=True)
                return True
        if expect and request.length and action != "never100":
            if request.error is not None:
                self.answer_fault(request, request.error, close=True)
                return True
            self.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        return False

    def answer_fault(self, request, error, close=False):
        if close:
            self.keep = False
        self.send(self.of_error(request, error))

    def read_on(self):
        if not self.transport.is_closing():
            self.transport.resume_reading()

    def take_body(self, data):
        """Bytes of the body; how many it took."""
        request = self.request
        n = min(len(data), request.length - request.received)
        if self.cut is not None and request.received + n >= self.cut:
            self.log(None, aborted=True)
            self.cut = None
            self.reset()
            return len(data)
        if self.hold is not None and request.received + n >= self.hold:
            self.hold = None
            self.transport.pause_reading()
            self.server.loop.call_later(request.fault.get("delay", 1), self.transport.resume_reading)
        if request.fault and request.fault["action"] == "slow_read":
            self.transport.pause_reading()
            self.server.loop.call_later(n / request.fault.get("rate", 100000), self.read_on)
        request.received += n
        part = data[:n]
        if request.chunks is not None and request.error is None:
            try:
                request.chunks.feed(part)
            except S3Error as error:
                request.error = error
        else:
            request.body.write(part)
        part.release()
        if request.received == request.length:
            self.finish()
        return n

    # ---- what is done ----

    def finish(self):
        """All of the request is here."""
        request, self.cut = self.request, None
        self.state = "answer"
        if request.error is None:
            try:
                self.check_body(request)
            except S3Error as error:
                request.error = error
                if error.code in ("SignatureDoesNotMatch", "XAmzContentSHA256Mismatch"):
                    request.auth = error.code
                    self.server.denied[error.code] = self.server.denied.get(error.code, 0) + 1
        if request.fault is None:
            answer = self.apply(request)
            if answer.body.__class__ is bytes or answer.size == 0:
                self.send(answer)
            else:
                self.task = self.server.loop.create_task(self.send_slow(answer))
            return
        self.task = self.server.loop.create_task(self.act(request, request.fault))

    def check_body(self, request):
        headers, body, asked = request.headers, request.body, s3_store.asked_checksums(request.headers)
        payload = request.identity.payload
        if request.identity.kind in ("header", "query") and len(payload) == 64 and body.digest("sha256").hex() != payload:
            raise S3Error(400, "XAmzContentSHA256Mismatch", "The provided 'x-amz-content-sha256' header does not match what "
                          "was computed.", [("ClientComputedContentSHA256", payload),
                                            ("S3ComputedContentSHA256", body.digest("sha256").hex())])
        if request.chunks is not None:
            if not request.chunks.done or body.size != int(headers["x-amz-decoded-content-length"][0]):
                raise S3Error(400, "IncompleteBody", "The request body terminated unexpectedly")
            told = headers.get("x-amz-trailer", [None])[0]
            if told is not None and told.strip().lower() not in request.chunks.trailer:
                raise S3Error(400, "MalformedTrailerError", "no trailer " + told)
            asked.update(s3_store.asked_checksums({n: [v] for n, v in request.chunks.trailer.items()}))
        if request.op in ("CompleteMultipartUpload", "CopyObject", "UploadPartCopy"):
            asked = {}
        s3_store.check_checksums(body, asked, headers.get("content-md5", [None])[0])
        request.checksums = asked
        if request.op == "PostObject":
            s3_ops.parse_form(request)
            request.fields["bucket"] = request.bucket
            request.identity = s3_sigv4.verify_post(request.fields, len(request.file), self.server.settings,
                                                    time.time() + self.server.settings.clock_offset)
            request.auth = request.identity.kind
            if request.auth == "none":
                raise S3Error(403, "AccessDenied", "Access Denied")

    def apply(self, request):
        if request.error is not None:
            return self.of_error(request, request.error)
        self.apply_late(request)
        try:
            answer = self.server.operations.table[request.op](request)
            request.applied = True
        except S3Error as error:
            request.error = error
            answer = self.of_error(request, error)
        except (ValueError, KeyError, AttributeError) as error:
            request.error = S3Error(400, "InvalidArgument", "%s: %s" % (type(error).__name__, error))
            answer = self.of_error(request, request.error)
        if "origin" in request.headers and request.method != "OPTIONS":
            answer.headers += self.server.operations.cors(request) or []
        return answer

    def put_off(self, request, fault):
        """What has come of it is kept, for later; who sent it hears nothing."""
        late = copy.copy(request)
        request.body = None
        self.server.late.append([fault.get("until", "CompleteMultipartUpload"), fault.get("nth_until", 1), fault.get("cut", 0),
                                 late])
        if fault.get("hang"):
            self.state = "dead"
            return
        self.log(None, aborted=True)
        self.close()

    def apply_late(self, request):
        for one in list(self.server.late):
            until, _, cut, late = one
            if until != request.op or (late.bucket, late.key) != (request.bucket, request.key):
                continue
            one[1] -= 1
            if one[1] > 0:
                continue
            self.server.late.remove(one)
            try:
                self.server.operations.table[late.op](late)
            except S3Error:
                continue
            if cut:
                part = self.server.operations.upload(late).parts[int(late.query["partNumber"])]
                part.chunks = list(s3_store.pieces(part.chunks, 0, part.size - cut))
                part.size -= cut

    def of_error(self, request, error):
        request.error = error
        answer = error_answer(error, "%016X" % request.order, request.target.split("?")[0])
        if error.status == 304:
            answer.headers, answer.body = list(error.headers), b""
        answer.size = len(answer.body)
        return answer

    def fault_error(self, request, fault):
        """The S3Error of a fault that is one, else None."""
        action, now = fault["action"], time.time() + self.server.settings.clock_offset
        if action in ("error", "error200"):
            code = fault.get("code", "InternalError")
            extra, headers = [], []
            if code == "RequestTimeTooSkewed":
                extra = [("ServerTime", s3_sigv4.iso(now + fault.get("offset", 0))), ("MaxAllowedSkewMilliseconds", 900000)]
            if "retry_after" in fault:
                headers.append(("Retry-After", fault["retry_after"]))
            return S3Error(fault.get("status", s3_faults.STATUS.get(code, 400)), code, fault.get("message", "by rule"), extra,
                           headers)
        if action == "permanent_redirect":
            region = fault.get("region", "eu-west-1")
            extra = [("Endpoint", fault.get("endpoint", "s3.%s.amazonaws.com" % region)), ("Bucket", request.bucket),
                     ("Region", region)]
            return S3Error(301, "PermanentRedirect", "The bucket you are attempting to access must be addressed using the "
                           "specified endpoint.", [] if fault.get("bare") else extra, [("x-amz-bucket-region", region)])
        if action == "redirect":
            return S3Error(fault.get("status", 307), "TemporaryRedirect", "Please re-send this request to the specified "
                           "temporary endpoint.", [("Endpoint", fault["to"]), ("Bucket", request.bucket)],
                           [("Location", fault["to"].rstrip("/") + request.target)])
        if action == "malformed_region":
            region = fault.get("region", "eu-west-1")
            return S3Error(400, "AuthorizationHeaderMalformed", "The authorization header is malformed; the region '%s' is "
                           "wrong; expecting '%s'" % (self.server.settings.region, region), [("Region", region)],
                           [] if fault.get("bare") else [("x-amz-bucket-region", region)])
        if action == "reject_checksum":
            name, status = s3_faults.checksum_headers(request)[0], fault.get("status", 400)
            code = {400: "InvalidArgument", 403: "Unauthorized", 501: "NotImplemented"}.get(status, "InvalidRequest")
            text = "Unauthorized" if status == 403 else "Unsupported header '%s' received for this API call." % name
            return S3Error(status, fault.get("code", code), text)
        return None

    async def act(self, request, fault):
        try:
            await self.act_now(request, fault)
        except asyncio.CancelledError:
            pass

    async def act_now(self, request, fault):
        action = fault["action"]
        if action == "late" and request.error is None:
            return self.put_off(request, fault)
        error = self.fault_error(request, fault)
        if action == "hang":
            if fault.get("when") == "applied":
                self.apply(request)
            self.state = "dead"
            return self.hang(fault)
        if action in ("html", "garbage"):
            html = action == "html"
            broken = fault.get("body", '<?xml version="1.0"?><Err<or>').encode()
            body = self.page(fault.get("size", 10 << 20)) if html else broken
            kind = fault.get("type", "text/html" if html else "application/xml")
            return await self.send_slow(Answer(fault.get("status", 200), [("Content-Type", kind)], body))
        if action == "drop":
            self.log(None, aborted=True)
            return self.close(fault.get("rst"))
        if error is not None and action != "error200":
            if fault.get("when") == "applied":
                self.apply(request)
            elif request.error is not None and request.auth == request.error.code:
                error = request.error  # a wrong signature stays one
            return await self.send_slow(self.of_error(request, error))
        if action == "error200":
            if fault.get("applied"):
                self.apply(request)
            answer = self.of_error(request, error)
            answer.status = 200
            return await self.spaces(answer, fault)
        if action == "whole":
            request.headers.pop("range", None)
        elif action == "replace":
            objects = self.server.operations.buckets[request.bucket].objects
            objects[request.key] = copy.copy(objects[request.key])
            objects[request.key].etag = '"%s"' % os.urandom(16).hex()
        answer = self.apply(request)
        if action == "ws":
            return await self.spaces(answer, fault)
        if action == "apply_drop":
            self.log(None, aborted=True)
            return self.close(fault.get("rst"))
        if action == "slow_first":
            await asyncio.sleep(fault.get("delay", 1))
        elif action == "etag":
            value = fault.get("value", '"%s"' % os.urandom(16).hex())
            answer.headers = [(n, value if n == "ETag" else v) for n, v in answer.headers]
        elif action == "wrong_range":
            answer.headers = [(n, re.sub(r"\d+", lambda m: str(int(m[0]) + 1), v) if n == "Content-Range" else v)
                              for n, v in answer.headers]
        return await self.send_slow(answer, fault)

    def hang(self, fault):
        if "delay" in fault:
            self.server.loop.call_later(fault["delay"], self.close)

    @staticmethod
    def page(size):
        text = b"<html><head><title>Gateway</title></head><body>" + b"<p>Please wait.</p>\n" * (size // 20 + 1)
        return text[:size - 14] + b"</body></html>"

    # ---- what goes out ----

    def head(self, answer, length, keep):
        server = self.server
        lines = ["HTTP/1.1 %d %s" % (answer.status, REASON.get(answer.status, "Status")),
                 "x-amz-id-2: s3f", "x-amz-request-id: %016X" % server.requests, "Date: " + server.date(), "Server: AmazonS3"]
        lines += ["%s: %s" % pair for pair in answer.headers]
        if length is not None and answer.status not in (204, 304):
            lines.append("Content-Length: %s" % length if length != "chunked" else "Transfer-Encoding: chunked")
        if not keep:
            lines.append("Connection: close")
        return ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8")

    def send(self, answer):
        """A small answer, at once."""
        request = self.request
        head = self.head(answer, answer.size, self.keep)
        if (request is not None and request.method == "HEAD") or answer.status in (204, 304) or not answer.size:
            self.write(head)
        else:
            self.write(head + answer.body)
            self.sent = answer.size
        self.done(answer)

    async def out(self, data):
        if self.transport.is_closing():
            raise asyncio.CancelledError
        self.write(data)
        if self.writable:
            await self.writable

    async def send_slow(self, answer, fault=None):
        """Any answer, piece by piece, with what the fault makes of it."""
        try:
            await self.send_pieces(answer, fault or {"action": ""})
        except asyncio.CancelledError:
            pass

    async def send_pieces(self, answer, fault):
        action, size = fault["action"], answer.size
        if self.request.method == "HEAD" or answer.status in (204, 304):
            size = 0
            answer.body = b""
        length, limit = answer.size, size
        if action == "short":
            limit = max(0, size - fault.get("missing", 1))
        elif action == "reset":
            limit = min(size, fault.get("sent", 0))
        elif action == "no_length" and size:
            length = None if fault.get("close") else "chunked"
            self.keep = self.keep and not fault.get("close")
        step = WRITE if action != "drip" else 1
        head = self.head(answer, length, self.keep)
        if action == "drip" and fault.get("head"):
            for at in range(len(head)):
                await self.out(head[at:at + 1])
                await asyncio.sleep(1 / fault.get("rate", 1))
        else:
            await self.out(head)
        for data in self.pieces(answer.body, limit, step):
            self.sent += len(data)
            await self.out(data if length != "chunked" else b"%x\r\n%s\r\n" % (len(data), data))
            if action == "drip":
                await asyncio.sleep(1 / fault.get("rate", 1))
        if length == "chunked":
            self.write(b"0\r\n\r\n")
        if action in ("reset", "short"):
            self.log(answer, aborted=True)
            await asyncio.sleep(0.05)  # what was written shall arrive before the RST
            return self.close(action == "reset" or fault.get("rst"))
        if action == "close_after":
            self.done(answer, more=False)
            await asyncio.sleep(fault.get("delay", 0))
            if self.state == "head":
                self.close(fault.get("rst"))
            return None
        self.task = None
        return self.done(answer)

    @staticmethod
    def pieces(body, limit, step):
        if isinstance(body, bytes):
            for at in range(0, limit, step):
                yield body[at:min(at + step, limit)]
            return
        for data in s3_store.read_all(s3_store.pieces(body, 0, limit), step):
            yield data

    async def spaces(self, answer, fault):
        """As AWS does in long Completes: the status first, spaces, then the document."""
        await self.out(self.head(answer, "chunked", self.keep))
        for _ in range(fault.get("ws", 0)):
            await self.out(b"1\r\n \r\n")
            if fault.get("interval"):
                await asyncio.sleep(fault["interval"])
        if fault.get("drop"):
            self.log(answer, aborted=True)
            return self.close(fault.get("rst"))
        await self.out(b"%x\r\n%s\r\n0\r\n\r\n" % (len(answer.body), answer.body))
        self.task = None
        return self.done(answer)

    def done(self, answer, more=True):
        if self.request is not None:
            self.log(answer)
        self.state = "head"
        if not self.keep:
            self.close_gently()
            return
        self.wait_idle()
        if more and self.pending:
            self.server.loop.call_soon(self.advance)

    def close_gently(self):
        """Not at once: with bytes unread in the socket the answer would be lost to a RST."""
        if self.transport.is_closing():
            return
        self.state = "dead"
        if self.request is None and not self.tls:
            try:
                self.transport.write_eof()
            except (OSError, RuntimeError):
                pass
        self.server.loop.call_later(0.2, self.transport.close)

    def log(self, answer, aborted=False):
        request, self.request = self.request, None
        if request is None:
            return
        body = request.body
        record = {"n": request.order, "t": round(request.began, 6), "ms": round((time.time() - request.began) * 1000, 2),
                  "conn": self.number, "nth_on_conn": self.served, "port": self.port, "method": request.method,
                  "path": request.target, "op": request.op, "bucket": request.bucket, "key": request.key,
                  "headers": {n: v[0] if len(v) == 1 else v for n, v in request.headers.items()},
                  "bytes": request.received, "auth": request.auth, "status": answer.status if answer else 0,
                  "code": request.error.code if request.error else "",
                  "message": request.error.message if request.error else "",
                  "fault": request.fault.get("name", request.fault["action"]) if request.fault else "",
                  "applied": request.applied, "aborted": aborted, "sent": self.sent,
                  "sha256": body.digest("sha256").hex() if body and body.has("sha256") else ""}
        self.sent = 0
        if body is not None:
            body.drop()
        self.server.log(record)
