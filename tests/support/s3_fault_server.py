#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""s3_fault_server.py [OPTIONS]: an S3 server on the loopback that really stores, checks every signature by itself, fails by
rules and tells all it saw. Prints {"port": ..., "control": ..., "second": ...} when it listens; ends on SIGTERM or when stdin
does. What is in which file: s3_connection HTTP, s3_sigv4 signatures, s3_ops operations, s3_store objects, s3_faults rules
(the list is there); s3_servers.S3F starts it.

    --port N --control N --second N   0 (default): free ones; the second port is the same server, for redirects
    --keys AK:SK[:TOKEN]              may be repeated; default testkey:testsecret
    --bucket NAME[=REGION]            may be repeated
    --region R                        us-east-1
    --domain D                        hosts BUCKET.D are of virtual-host style; default localhost
    --dir D                           large bodies lie here (default: a temporary folder)
    --log L                           a line of JSON for each request (default: in --dir)
    --raw D                           all bytes of each connection in D/N.in and D/N.out
    --tls PEM                         key and certificate: port and second speak TLS

Control port, HTTP with JSON:
    GET /rules   POST /rules [RULE...] (in place of all)   POST /rules/add   DELETE /rules
    GET /config  POST /config {NAME: VALUE}: see class Settings; "bucket_cors": {"BUCKET": [RULE...]}
    GET /dump    objects, uploads, counts   GET /log[?from=N]   POST /reset: objects, uploads, rules, counts, not the log
    GET, PUT, DELETE /object?bucket=B&key=K: an object's bytes, past signatures, log and rules
    POST /close_idle: ends connections that wait
"""
import argparse
import asyncio
import hashlib
import json
import os
import re
import shutil
import signal
import ssl
import sys
import tempfile
import time
from urllib.parse import parse_qsl, urlsplit

sys.dont_write_bytecode = True

import s3_faults  # noqa: E402
import s3_ops  # noqa: E402
import s3_store  # noqa: E402
from s3_connection import Connection  # noqa: E402


class Settings:
    """What POST /config changes."""

    def __init__(self, args, folder):
        self.region, self.domains, self.folder = args.region, args.domain or ["localhost"], folder
        self.keys = {}  # access key -> {"secret", "token", "expired"}
        for text in args.keys or ["testkey:testsecret"]:
            name, secret, *token = text.split(":", 2)
            self.keys[name] = {"secret": secret, "token": token[0] if token else None}
        self.window = 900           # seconds that a date may be off
        self.clock_offset = 0       # seconds that this server's clock is ahead
        self.unsigned = "always"    # UNSIGNED-PAYLOAD: "always", "tls" or "never"
        self.public = False         # all objects may be read without signature
        self.cors = None            # [{"origins", "methods", "headers", "expose", "max_age"}] of buckets without own
        self.etag = "random"        # or "md5"
        self.hash = True            # SHA-256 of every body, for log and dump
        self.min_part = 5 << 20
        self.max_put = 5 << 30
        self.max_keys = 1000        # of one page
        self.equal_parts = False    # as R2
        self.strict_checksums = True    # parts must have the checksum that CreateMultipartUpload told
        self.complete_twice = False     # a repeated Complete succeeds, as with AWS
        self.whole_key_prefix = False   # of ListMultipartUploads, as MinIO
        self.idle_close = 0         # seconds after which waiting connections are ended
        self.rate = 0               # requests a second; more are 503 SlowDown
        self.chunked = True         # aws-chunked bodies are known
        self.done = {}

    def change(self, values):
        for name, value in values.items():
            if name not in self.__dict__ or name in ("done", "folder"):
                raise ValueError("no setting %r" % name)
            setattr(self, name, value)


class Server:
    def __init__(self, args):
        self.own = None if args.dir else tempfile.mkdtemp(prefix="vodpipe-s3f-")
        folder = os.path.abspath(args.dir or self.own)
        os.makedirs(folder, exist_ok=True)
        self.args, self.settings, self.rules, self.raw = args, Settings(args, folder), s3_faults.Rules(), args.raw
        if self.raw:
            os.makedirs(self.raw, exist_ok=True)
        self.operations = s3_ops.Operations(self.settings)
        self.log_path = args.log or os.path.join(folder, "requests.jsonl")
        self.log_file = open(self.log_path, "a", encoding="utf-8")
        self.open, self.connections, self.flushing = set(), 0, False
        self.stamp = (0, "")
        self.clear()
        self.add_buckets()

    def clear(self):
        self.requests, self.most_open, self.bytes_in, self.bytes_out = 0, len(self.open), 0, 0
        self.per_second, self.denied, self.bucket = {}, {}, (0, time.time())
        self.late = []
        self.settings.done.clear()

    def add_buckets(self):
        for text in self.args.bucket or []:
            name, _, region = text.partition("=")
            self.operations.buckets[name] = s3_store.Bucket(name, region or self.settings.region)

    def date(self):
        now = int(time.time() + self.settings.clock_offset)
        if self.stamp[0] != now:
            self.stamp = (now, s3_ops.http_date(now))
        return self.stamp[1]

    def log(self, record):
        self.log_file.write(json.dumps(record) + "\n")
        if not self.flushing:
            self.flushing = True
            self.loop.call_later(0.1, self.flush)

    def flush(self):
        self.flushing = False
        self.log_file.flush()

    # ---- control ----

    def dump(self):
        buckets = {}
        for name, b in self.operations.buckets.items():
            objects = {}
            for key, o in b.objects.items():
                objects[key] = {"size": o.size, "sha256": o.sha256(), "etag": o.etag, "headers": o.headers, "meta": o.meta,
                                "checksums": o.checksums, "checksum_type": o.checksum_type, "acl": o.acl, "tags": o.tags,
                                "parts": o.parts, "mtime": o.mtime}
            uploads = [{"id": u.id, "key": u.key, "began": u.began, "algorithm": u.algorithm, "parts": {
                n: {"size": p.size, "etag": p.etag, "checksums": p.checksums} for n, p in u.parts.items()}}
                for u in b.uploads.values()]
            buckets[name] = {"objects": objects, "uploads": uploads, "region": b.region}
        return {"buckets": buckets, "requests": self.requests, "connections": self.connections, "open": len(self.open),
                "most_open": self.most_open, "bytes_in": self.bytes_in, "bytes_out": self.bytes_out,
                "per_second": self.per_second, "denied": self.denied, "rules": self.rules.report(),
                "twice": {n: c for n, c in self.settings.done.items() if c > 1}, "log": self.log_path}

    def control(self, method, target, body):
        """(status, JSON value or bytes)"""
        parts = urlsplit(target)
        query, path = dict(parse_qsl(parts.query, keep_blank_values=True)), parts.path
        value = json.loads(body) if body and path != "/object" else {}
        if path == "/object":
            return self.control_object(method, query, body)
        if path.startswith("/rules"):
            if method == "DELETE" or (method == "POST" and path == "/rules"):
                self.rules.rules.clear()
            if method == "POST":
                self.rules.add(value)
            return 200, self.rules.report()
        if path == "/config":
            if method == "POST":
                for name, rules in value.pop("bucket_cors", {}).items():
                    self.operations.buckets[name].cors = rules
                self.settings.change(value)
            return 200, {n: v for n, v in self.settings.__dict__.items() if n != "done"}
        if path == "/dump":
            return 200, self.dump()
        if path == "/log":
            self.log_file.flush()
            with open(self.log_path, encoding="utf-8") as f:
                lines = f.read().splitlines()
            return 200, ("[%s]" % ",".join(lines[int(query.get("from", 0)):])).encode()
        if path == "/reset":
            self.operations.buckets.clear()
            self.rules.rules.clear()
            self.clear()
            self.add_buckets()
            return 200, {}
        if path == "/close_idle":
            idle = [c for c in self.open if c.state == "head" and not c.pending]
            for c in idle:
                c.close()
            return 200, len(idle)
        return 404, "no " + path

    def control_object(self, method, query, body):
        bucket = self.operations.buckets[query["bucket"]]
        if method == "DELETE":
            bucket.delete(query["key"])
        elif method == "PUT":
            stored = s3_store.Body(self.settings.folder, ["sha256", "md5"])
            stored.write(body)
            headers = {"content-type": query.get("type", "binary/octet-stream")}
            thing = s3_store.Object(s3_store.whole(stored.blob()), s3_store.etag_of(stored, self.settings.etag), headers, {})
            thing.hash = hashlib.sha256(body).hexdigest()
            bucket.put(query["key"], thing)
        else:
            thing = bucket.objects[query["key"]]
            return 200, b"".join(s3_store.read_all(thing.chunks))
        return 200, {}

    async def serve_control(self, reader, writer):
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                method, target, _ = head.split("\r\n")[0].split(" ")
                length = re.search(r"(?im)^content-length: *(\d+)", head)
                body = await reader.readexactly(int(length[1])) if length else b""
                try:
                    status, value = self.control(method, target, body)
                except (ValueError, KeyError, TypeError, OSError, re.error) as error:
                    status, value = 400, "%s: %s" % (type(error).__name__, error)
                data = value if isinstance(value, bytes) else json.dumps(value).encode()
                writer.write(b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n" % (status, len(data)) + data)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, ValueError):
            pass
        finally:
            writer.close()

    async def run(self):
        args, self.loop = self.args, asyncio.get_running_loop()
        stop, tls = asyncio.Event(), None
        if args.tls:
            tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            tls.load_cert_chain(args.tls)
        listening = []
        for port in (args.port, args.second):
            listening.append(await self.loop.create_server(lambda: Connection(self, tls is not None), "127.0.0.1", port,
                                                           ssl=tls, backlog=1024))
        listening.append(await asyncio.start_server(self.serve_control, "127.0.0.1", args.control, limit=1 << 20))
        ports = [s.sockets[0].getsockname()[1] for s in listening]
        self.loop.add_signal_handler(signal.SIGTERM, stop.set)
        self.loop.add_signal_handler(signal.SIGINT, stop.set)
        try:
            self.loop.add_reader(0, lambda: os.read(0, 4096) or stop.set())
        except (PermissionError, ValueError):
            pass  # stdin is a file or /dev/null
        print(json.dumps({"port": ports[0], "second": ports[1], "control": ports[2]}), flush=True)
        await stop.wait()
        for s in listening:
            s.close()
        for c in list(self.open):
            c.transport.abort()
        self.log_file.close()
        self.log_file = open(os.devnull, "w", encoding="ascii")

    def remove(self):
        self.operations.buckets.clear()
        if self.own:
            shutil.rmtree(self.own, ignore_errors=True)


def main():
    parser = argparse.ArgumentParser()
    for name in ("port", "control", "second"):
        parser.add_argument("--" + name, type=int, default=0)
    for name in ("keys", "bucket", "domain"):
        parser.add_argument("--" + name, action="append")
    for name in ("dir", "log", "raw", "tls"):
        parser.add_argument("--" + name)
    parser.add_argument("--region", default="us-east-1")
    server = Server(parser.parse_args())
    try:
        asyncio.run(server.run())
    finally:
        server.remove()


if __name__ == "__main__":
    main()
