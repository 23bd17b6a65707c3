#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The policies, CORS and lifecycle rules of docs/storage.md on real servers: a user who has nothing but one of the policies can
do what it is for, no more, and not without any line of it.

    test_s3_rights.py versitygw|minio S3_HOST INGEST_S3_HOST
"""
import copy
import json
import os
import secrets
import subprocess
import sys
import time

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "support"))

import documents  # noqa: E402
import test_ingest_s3  # noqa: E402
from s3_servers import Endpoint, Missing, real_server  # noqa: E402
from test_s3_cli import Host, LADDER, make_tree  # noqa: E402
from test_s3_faults import environment  # noqa: E402
from titles import BIN, FAST, Cases, clip  # noqa: E402

BUCKET, HOST = "my-bucket", sys.argv[2]
test_ingest_s3.HOST = sys.argv[3]
DOCS = documents.blocks("storage.md")


# ---- a user with one policy ----

class User(Endpoint):
    def __init__(self, s3, access_key, secret_key, token=None):
        self.name, self.url, self.region, self.bucket = s3.name, s3.url, s3.region, s3.bucket
        self.access_key, self.secret_key, self.token = access_key, secret_key, token


def without(policy, action):
    """A copy that does not allow it."""
    policy = copy.deepcopy(policy)
    for statement in policy["Statement"]:
        actions = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
        statement["Action"] = [a for a in actions if a != action]
    policy["Statement"] = [s for s in policy["Statement"] if s["Action"]]
    return policy


def actions(policy):
    return [a for s in policy["Statement"] for a in (s["Action"] if isinstance(s["Action"], list) else [s["Action"]])]


def user_of(s3, policy):
    """MinIO: a session that may do no more than the policy. versitygw: a user whom the policy of the bucket names."""
    if s3.name == "minio":
        import boto3
        sts = boto3.client("sts", endpoint_url=s3.url, region_name=s3.region, aws_access_key_id=s3.access_key,
                           aws_secret_access_key=s3.secret_key)
        got = sts.assume_role(RoleArn="arn:aws:iam::123456789012:role/one", RoleSessionName="one", DurationSeconds=3600,
                              Policy=json.dumps(policy, separators=(",", ":")))["Credentials"]
        return User(s3, got["AccessKeyId"], got["SecretAccessKey"], got["SessionToken"])
    name, secret = "user" + secrets.token_hex(4), secrets.token_hex(16)
    made = subprocess.run([s3.program, "admin", "--access", s3.access_key, "--secret", s3.secret_key, "--endpoint-url", s3.url,
                           "create-user", "--access", name, "--secret", secret, "--role", "user"], capture_output=True,
                          text=True, timeout=60, check=False)
    assert made.returncode == 0, made.stderr
    named = copy.deepcopy(policy)
    for statement in named["Statement"]:
        statement["Principal"] = {"AWS": [name]}
    s3.boto().put_bucket_policy(Bucket=BUCKET, Policy=json.dumps(named))
    return User(s3, name, secret)


class Denied(AssertionError):
    pass


def done(run, *args):
    """Denied where rights were missing; AssertionError for any other end."""
    if run.returncode == 0:
        return run.stdout
    if "ACCESS_DENIED" in run.stderr or "S3_BAD_CREDENTIALS" in run.stderr:
        raise Denied(args)
    raise AssertionError("%s: exit %d: %s" % (" ".join(args), run.returncode, run.stderr[-600:]))


class Use:
    """What a user does."""

    def __init__(self, user, folder):
        self.user, self.folder = user, folder
        self.env = dict(Host(user, folder).env, VODPIPE_LOG="", AWS_SESSION_TOKEN=user.token or "")
        if not user.token:
            del self.env["AWS_SESSION_TOKEN"]

    def tool(self, *args):
        args = [str(a) for a in args]
        return done(subprocess.run([BIN, *args], env=self.env, capture_output=True, text=True, timeout=600, check=False), *args)

    def host(self, *args):
        return done(subprocess.run([HOST, *args], env=environment(self.user), capture_output=True, text=True, timeout=600,
                                   check=False), *args)


def send(s3, use, prefix):
    """A tree with a large file; one that was killed goes on; the end of one that nobody wants; a lost answer is looked up."""
    root = make_tree(use.folder, 5, 12 << 20)
    use.tool("put", root, "s3://%s/%s/a" % (BUCKET, prefix))
    path, token = os.path.join(use.folder, "film"), os.path.join(use.folder, "token")
    with open(path, "wb") as f:
        f.write(os.urandom(20 << 20))
    for n in ("complete", "abort"):
        if os.path.exists(token):
            os.remove(token)
        stopped = subprocess.run([HOST, "token=" + token, "stop=1", "upload", BUCKET, prefix + "/" + n, path],
                                 env=environment(use.user), capture_output=True, text=True, timeout=600, check=False)
        assert stopped.returncode == 9, stopped.stderr[-300:]
        if n == "complete":
            use.host("token=" + token, "upload", BUCKET, prefix + "/" + n, path)
        else:
            use.host("token=" + token, "abort")
    assert not s3.boto().list_multipart_uploads(Bucket=BUCKET).get("Uploads"), "parts are left"
    use.host("head", BUCKET, prefix + "/complete")  # what is asked where an answer was lost


def publish(s3, use, prefix):
    """Anew, again, with other settings; old versions go. Then as with files."""
    at = "s3://%s/%s/p" % (BUCKET, prefix)
    for more in ([], [], ["--format", "ts", "--prune"]):
        use.tool("publish", clip("bucket.mp4"), at, *FAST, *LADDER, *more)
    left = {o["Key"].split("/")[2] for o in s3.boto().list_objects_v2(Bucket=BUCKET, Prefix=prefix + "/p/")["Contents"]}
    assert len([n for n in left if "." not in n]) == 1 and "manifest.mpd" not in left, left
    send(s3, use, prefix)


def work(s3, use, prefix):
    """plan, run, finish with nothing shared but the bucket, then nothing is left; a value too large for one request."""
    store = "s3://%s/%s/w" % (BUCKET, prefix)
    use.tool("plan", clip("bucket.mp4"), os.path.join(use.folder, "out"), "--work", store, *FAST, *LADDER)
    while use.tool("run", "--work", store, "--task", "next") != "none\n":
        pass
    use.tool("finish", "--work", store)
    left = [o["Key"] for o in s3.boto().list_objects_v2(Bucket=BUCKET, Prefix=prefix + "/w/").get("Contents", [])]
    assert not left, left
    use.host("abort", BUCKET, prefix + "/large", str(20 << 20))


def read(s3, use, prefix):
    with open(clip("bucket.mp4"), "rb") as f:
        s3.boto().put_object(Bucket=BUCKET, Key=prefix + "/film.mp4", Body=f.read())
    at = "s3://%s/%s/film.mp4" % (BUCKET, prefix)
    use.tool("probe", at)
    assert use.host("list", BUCKET, prefix + "/").endswith(" %s/film.mp4\n" % prefix)
    import urllib.request
    with urllib.request.urlopen(use.tool("presign", "get", at).strip(), timeout=60) as answer:
        assert len(answer.read()) == os.path.getsize(clip("bucket.mp4"))
    assert use.host("head", BUCKET, prefix + "/none") == "{}\n"


def sweep(s3, use, prefix):
    for key in (prefix + "/0", prefix + "/a/1", "elsewhere/2"):
        s3.boto().create_multipart_upload(Bucket=BUCKET, Key=key)
    count, until = 0, time.monotonic() + 60
    while count < 2:  # what began in this second of the server's clock is not older than it
        count += json.loads(use.host("sweep", BUCKET, prefix + "/", "0"))["count"]
        assert time.monotonic() < until, "%d uploads were swept" % count
    assert [u["Key"] for u in s3.boto().list_multipart_uploads(Bucket=BUCKET)["Uploads"]] == ["elsewhere/2"]


def ingest(s3, use, prefix):
    """Small and large uploads of one scope, in the hands of two processes, seen, shared, given up, removed and tidied away."""
    b = test_ingest_s3.Bytes(use.folder, 13 << 20, 1)
    size = len(b.data)

    def ask(host, *words):
        answer = host.ask(*words)
        if "S3_ACCESS_DENIED" in answer:
            raise Denied(words)
        assert answer.startswith(("ok", "again")), "%s: %s" % (" ".join(map(str, words)), answer)
        return answer.split()[1:]
    with test_ingest_s3.Host(use.user, b.path, test_ingest_s3.PART, prefix=prefix) as one, \
            test_ingest_s3.Host(use.user, b.path, test_ingest_s3.PART, prefix=prefix) as two:
        for name in ("a", "b"):
            ask(one, "create", name, size, "scope")
            ask(one, "append", name, 0, 6 << 20)
            ask(one, "sync", name)
            ask(one, "close", name)
            ask(two, "peek", name, 0, 1000)
            ask(two, "open", name)
            ask(two, "append", name, 6 << 20, size - (6 << 20))
            assert ask(two, "finish", name) == ["1" if name == "b" else "0", b.sha(0, size)]
            ask(two, "close", name)
            assert ask(one, "read", name) == [str(size), b.sha(0, size)]
        ask(one, "create", "small", 1000, "scope")
        ask(one, "append", "small", 0, 1000)
        ask(one, "finish", "small")
        ask(one, "create", "half", size)
        ask(one, "append", "half", 0, 7 << 20)  # a part that no record names
        ask(one, "sync", "half")
        ask(one, "create", "killed", size)
        ask(one, "append", "killed", 0, 7 << 20)
        one.kill()
        assert len(ask(two, "list")) == 5
        for name in ("a", "b", "small", "half"):
            ask(two, "remove", name)
        time.sleep(2)  # the server tells whole seconds
        ask(two, "tidy", test_ingest_s3.NOW)
        ask(two, "expire")
        ask(two, "remove", "killed")
    left = [o["Key"] for o in s3.boto().list_objects_v2(Bucket=BUCKET, Prefix=prefix + "/").get("Contents", [])]
    assert not [k for k in left if "/shared/" not in k], left
    assert not s3.boto().list_multipart_uploads(Bucket=BUCKET).get("Uploads"), "parts are left"


USES = {"iam-put": (send, "titles"), "iam-publish": (publish, "titles"), "iam-work": (work, "work"), "iam-read": (read, "titles"),
        "iam-sweep": (sweep, "titles"), "iam-ingest": (ingest, "uploads")}


# What a server gives away, and AWS does not.
HIDDEN = {"minio": {}, "versitygw": {}}


def empty(s3):
    client = s3.boto()
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET):
        for o in page.get("Contents", []):
            client.delete_object(Bucket=BUCKET, Key=o["Key"])
    for u in client.list_multipart_uploads(Bucket=BUCKET).get("Uploads", []):
        client.abort_multipart_upload(Bucket=BUCKET, Key=u["Key"], UploadId=u["UploadId"])


def rights(folder, s3, name):
    fn, prefix = USES[name]
    policy = DOCS[name]

    def attempt(policy, at, what):
        empty(s3)
        place = os.path.join(folder, what.replace(":", "-"))
        os.makedirs(place)
        fn(s3, Use(user_of(s3, policy), place), at)
    attempt(policy, prefix, "all")

    def denied(*args):
        try:
            attempt(*args)
        except Denied:
            return True
        return False
    assert denied(policy, "other", "other"), "it is not kept to its prefix"
    needless = [a for a in actions(policy) if not denied(without(policy, a), prefix, a)]
    assert needless == HIDDEN[s3.name].get(name, []), "not needed: %s" % needless


# ---- rules of the bucket ----

def rules(_folder, s3):
    """What the server has of CORS and lifecycle rules is as it was told; what it has not is said in the document."""
    client = s3.boto()

    def code_of(fn, **named):
        try:
            fn(Bucket=BUCKET, **named)
            return None
        except client.exceptions.ClientError as error:
            return error.response["Error"]["Code"]
    both = {"CORSRules": DOCS["cors-play"]["CORSRules"] + DOCS["cors-upload"]["CORSRules"]}
    got = code_of(client.put_bucket_cors, CORSConfiguration=both)
    if s3.name == "versitygw":
        assert got is None, got
        assert client.get_bucket_cors(Bucket=BUCKET)["CORSRules"] == both["CORSRules"]
    else:
        assert got == "NotImplemented", got
    parts = DOCS["lifecycle-parts"]
    got = code_of(client.put_bucket_lifecycle_configuration, LifecycleConfiguration=parts)
    assert got == {"minio": "InvalidArgument", "versitygw": "NotImplemented"}[s3.name], got


def main():
    name = sys.argv[1]
    cases = Cases("s3 rights, " + name)
    try:
        import boto3  # noqa: F401
        with real_server(name, bucket=BUCKET) as s3:
            for use in USES:
                cases.run(use, rights, s3, use)
            cases.run("rules", rules, s3)
    except (Missing, ImportError) as why:
        print("skipped: %s" % why)
        return 77
    return cases.end()


if __name__ == "__main__":
    sys.exit(main())
