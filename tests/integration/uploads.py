# SPDX-License-Identifier: LGPL-2.1-or-later
"""examples/upload-server as a process, and a client of tus that tells all it sees: no library in between.

Environment: VODPIPE_UPLOAD_SERVER (default BUILD/examples/upload-server/upload-server).
"""
import base64
import contextlib
import hashlib
import http.client
import os
import random
import re
import select
import signal
import subprocess
import sys
import time

sys.dont_write_bytecode = True

from titles import BUILD, Skip  # noqa: E402

SERVER = os.environ.get("VODPIPE_UPLOAD_SERVER") or os.path.join(BUILD, "examples/upload-server/upload-server")
START = 60      # seconds, also on a busy machine
TYPE = "application/offset+octet-stream"


class Server:
    """`with Server(folder, "--no-publish") as s`; s.kill() and s.start() in between."""

    def __init__(self, data, *options, port=0, env=None, command=()):
        if not os.path.isfile(SERVER):
            raise Skip("no upload-server: built without libmicrohttpd")
        self.data, self.options, self.port, self.env, self.command = data, options, port, env, list(command)
        self.process = None
        self.log = os.path.join(os.path.dirname(os.path.abspath(data)), "upload-server.log")

    def start(self):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                self.command + [SERVER, "--listen", "127.0.0.1:%d" % self.port, "--data", self.data, *self.options],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, env=self.env and {**os.environ, **self.env})
        ready, _, _ = select.select([self.process.stdout], [], [], START)
        line = self.process.stdout.readline().decode() if ready else ""
        m = re.fullmatch(r"listening (http://127\.0\.0\.1:(\d+))\n", line)
        assert m, "no line \"listening\" but %r; %s" % (line, self.tail())
        self.url, self.port = m.group(1), int(m.group(2))   # the next start has the same port
        return self

    def tail(self):
        with open(self.log, encoding="utf-8", errors="replace") as f:
            return f.read()[-2000:]

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    def stop(self):
        """As an operator does; its exit status."""
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(timeout=START)
        self.process.stdout.close()
        return code

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        if self.process and not self.process.stdout.closed:
            self.process.stdout.close()

    def memory(self):
        """Resident bytes, most of them ever."""
        with open("/proc/%d/status" % self.process.pid, encoding="ascii") as f:
            return int(re.search(r"VmHWM:\s+(\d+) kB", f.read()).group(1)) * 1024

    def cpu(self):
        """Seconds, of user and system."""
        with open("/proc/%d/stat" % self.process.pid, encoding="ascii") as f:
            fields = f.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def client(self, **options):
        return Client(self.port, **options)


class Answer:
    def __init__(self, response, body):
        self.status, self.body = response.status, body
        self.headers = {k.lower(): v for k, v in response.getheaders()}

    def __getitem__(self, name):
        return self.headers.get(name.lower())

    @property
    def offset(self):
        return int(self["Upload-Offset"])

    @property
    def id(self):
        return self["Location"].rstrip("/").rpartition("/")[2]

    def __repr__(self):
        return "%d %r %r" % (self.status, self.headers, self.body[:200])


class Client:
    """One connection, opened again when it is gone."""

    def __init__(self, port, limit=60, host="127.0.0.1"):
        self.host, self.port, self.limit, self.connection = host, port, limit, None

    def close(self):
        if self.connection:
            self.connection.close()
        self.connection = None

    def ask(self, method, path, headers=None, body=None, version="1.0.0", chunked=False):
        h = {} if version is None else {"Tus-Resumable": version}
        h.update(headers or {})
        if not self.connection:
            self.connection = http.client.HTTPConnection(self.host, self.port, timeout=self.limit)
        try:
            self.connection.request(method, path, body=body, headers=h, encode_chunked=chunked)
            response = self.connection.getresponse()
            answer = Answer(response, response.read())
            if response.will_close:
                self.close()
            return answer
        except (OSError, http.client.HTTPException):
            self.close()
            raise

    def create(self, size=None, metadata=None, headers=None, body=None):
        h = {"Upload-Length": str(size)} if size is not None else {"Upload-Defer-Length": "1"}
        if metadata:
            h["Upload-Metadata"] = ",".join("%s %s" % (k, base64.b64encode(v).decode()) for k, v in metadata.items())
        if body is not None:
            h["Content-Type"] = TYPE
        h.update(headers or {})
        return self.ask("POST", "/files/", h, body=body)

    def patch(self, path, offset, data, headers=None, **more):
        h = {"Content-Type": TYPE, "Upload-Offset": str(offset)}
        h.update(headers or {})
        return self.ask("PATCH", path, h, body=data, **more)

    def head(self, path, **more):
        return self.ask("HEAD", path, **more)

    def get(self, path, headers=None):
        return self.ask("GET", path, headers, version=None)

    def delete(self, path):
        return self.ask("DELETE", path)


def path_of(answer):
    """Of the upload that a creation made."""
    assert answer.status == 201, answer
    return re.sub(r"^https?://[^/]+", "", answer["Location"])


def noise(size, seed=0):
    return random.Random(seed * 1000003 + size).randbytes(size)


def sha256(data):
    return hashlib.sha256(data).hexdigest()


@contextlib.contextmanager
def eventually(limit=60, step=0.05):
    """`with eventually() as again: while again(): ...` gives up loudly."""
    end = time.monotonic() + limit

    def again():
        assert time.monotonic() < end, "waited %d s in vain" % limit
        time.sleep(step)
        return True
    yield again
