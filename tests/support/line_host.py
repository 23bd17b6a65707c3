# SPDX-License-Identifier: LGPL-2.1-or-later
"""A process that is told lines on its stdin and answers each with one line on its stdout."""
import fcntl
import os
import select
import signal
import subprocess
import time

from s3_servers import die_with_parent

NO_FILES = {"AWS_CONFIG_FILE": "/nonexistent", "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent"}


class LineHost:
    """It says ok when it is ready. ask() waits for the answer, send() and answer() apart do not."""

    def __init__(self, s3, command, env=None):
        self.process = subprocess.Popen(["nice", *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, bufsize=0, preexec_fn=die_with_parent,
                                        env=dict(os.environ, **dict(s3.env(), **NO_FILES), **(env or {})))
        fcntl.fcntl(self.process.stderr, fcntl.F_SETFL, os.O_NONBLOCK)
        self.rest, self.said = b"", b""
        assert self.answer() == "ok", self.log()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()

    def send(self, *words):
        self.process.stdin.write((" ".join(str(w) for w in words) + "\n").encode())

    def answer(self, limit=300):
        end = time.monotonic() + limit
        while b"\n" not in self.rest:
            if not select.select([self.process.stdout], [], [], max(0, end - time.monotonic()))[0]:
                raise AssertionError("no answer in %d s; %s" % (limit, self.log()))
            data = os.read(self.process.stdout.fileno(), 65536)
            assert data, "the host ended: " + self.log()
            self.rest += data
        line, self.rest = self.rest.split(b"\n", 1)
        return line.decode()

    def ask(self, *words, limit=300):
        self.send(*words)
        return self.answer(limit)

    def ok(self, *words):
        answer = self.ask(*words)
        assert answer == "ok" or answer.startswith("ok "), "%s: %s" % (" ".join(map(str, words)), answer)
        return answer.split()[1:]

    def fails(self, how, *words):
        answer = self.ask(*words)
        assert answer.startswith("fail " + how), "%s: %s" % (" ".join(map(str, words)), answer)

    def log(self):
        try:
            self.said += self.process.stderr.read() or b""
        except OSError:
            pass
        return self.said.decode("utf-8", "replace")[-1500:]

    def quit(self):
        self.send("quit")
        code = self.process.wait(120)
        assert code == 0, "exit %d: %s" % (code, self.log())

    def kill(self, how=signal.SIGKILL):
        if self.process.poll() is None:
            self.process.send_signal(how)
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            pipe.close()
