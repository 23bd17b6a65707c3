#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""CloudFront's signed addresses and cookies beside those of botocore (CloudFrontSigner, RSA with SHA-1); what it does not know
(SHA-256, ECDSA, cookies) by `openssl dgst -verify`.

    test_cloudfront.py S3_HOST
"""
import base64
import datetime
import json
import os
import re
import shutil
import subprocess
import sys

sys.dont_write_bytecode = True
from titles import Cases, Skip  # noqa: E402

HOST = sys.argv[1]
ID, UNTIL, SINCE = "K2JCJMDEHXQW5F", 1893456000, 1767225600
BASE = "https://d111111abcdef8.cloudfront.net"
URL = BASE + "/films/42/master.m3u8"
SHA256, CUSTOM = 1, 2
KEYS = {"rsa": ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
        "ec": ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"]}


def openssl(*args, data=None, good=True):
    run = subprocess.run(["openssl", *args], input=data, capture_output=True, check=False)
    assert not good or run.returncode == 0, run.stderr.decode()
    return run.stdout if good else run.returncode == 0


class Key:
    def __init__(self, folder, kind):
        self.path, self.public = (os.path.join(folder, kind + end) for end in (".pem", ".pub"))
        if not os.path.exists(self.path):
            openssl("genpkey", *KEYS[kind], "-out", self.path)
            openssl("pkey", "-in", self.path, "-pubout", "-out", self.public)
        self.folder = folder

    def sign(self, message):
        return openssl("dgst", "-sha1", "-sign", self.path, data=message)

    def verifies(self, digest, signature, message):
        at = os.path.join(self.folder, "signature")
        with open(at, "wb") as f:
            f.write(signature)
        return openssl("dgst", "-" + digest, "-verify", self.public, "-signature", at, data=message, good=False)


def ours(what, key, **named):
    env = dict(os.environ, AWS_ACCESS_KEY_ID="none", AWS_SECRET_ACCESS_KEY="none")
    named.setdefault("id", ID)
    named.setdefault("url", URL)
    named.setdefault("expires", UNTIL)
    done = subprocess.run([HOST, "cloudfront", what, key.path] + ["%s=%s" % x for x in named.items()], env=env, text=True,
                          capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.rstrip("\n")


def theirs(key):
    try:
        from botocore.signers import CloudFrontSigner
    except ImportError:
        raise Skip("no botocore (tests/support/requirements.txt)") from None
    return CloudFrontSigner(ID, key.sign)


def date(seconds):
    return datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc)


def decoded(text):
    return base64.b64decode(text.replace("-", "+").replace("_", "=").replace("~", "/"), validate=True)


def fields(text):
    """Of an address or of cookies, without the beginning that cookies have."""
    if "\n" in text:
        return dict(re.fullmatch(r"CloudFront-([A-Za-z-]+)=(\S+)", line).groups() for line in text.split("\n"))
    return dict(p.split("=", 1) for p in text.split("?", 1)[1].split("&"))


def canned(folder):
    """Byte by byte."""
    key = Key(folder, "rsa")
    signer = theirs(key)
    for url in (URL, BASE + "/a%20b/c.mp4?quality=hd", BASE + "/", "http://cdn.example.com/x?a=1&b=2", BASE + "/%C3%A9/~x-1.m4s"):
        for until in (UNTIL, 2000000000, 1):
            want = signer.generate_presigned_url(url, date_less_than=date(until))
            got = ours("url", key, url=url, expires=until)
            assert got == want, "\n%s\n%s" % (got, want)


def custom(folder):
    """Byte by byte where the order of conditions is one; with both dates and an address ours, signed by them."""
    key = Key(folder, "rsa")
    signer = theirs(key)
    for url, address in ((URL, None), (BASE + "/films/42/*", URL), ("https://*.cloudfront.net/films/4?/*", URL),
                         (BASE + "/films/42/*", URL + "?a=1&b=%20"), (BASE + "/*", BASE + "/a~b/c_d-e.ts")):
        for more in ({}, {"ip": "192.0.2.0/24"}, {"ip": "192.0.2.7"}, {"starts": SINCE}, {"ip": "192.0.2.7", "starts": SINCE}):
            policy = signer.build_policy(url, date(UNTIL), date(SINCE) if "starts" in more else None, more.get("ip"))
            named = dict(more, url=url, flags=CUSTOM, **({"address": address} if address else {}))
            got = ours("url", key, **named)
            mine = decoded(fields(got)["Policy"]).decode()
            assert json.loads(mine) == json.loads(policy), (mine, policy)
            if len(more) < 2:
                assert mine == policy, (mine, policy)
            assert got == signer.generate_presigned_url(address or url, policy=mine), got
            assert key.verifies("sha1", decoded(fields(got)["Signature"]), mine.encode())


def cookies(folder):
    """The same values under the names of cookies; ready for Set-Cookie."""
    key = Key(folder, "rsa")
    for more, names in (({}, {"Expires", "Signature", "Key-Pair-Id"}),
                        ({"flags": CUSTOM}, {"Policy", "Signature", "Key-Pair-Id"}),
                        ({"flags": SHA256}, {"Expires", "Signature", "Key-Pair-Id", "Hash-Algorithm"})):
        got = fields(ours("cookies", key, **more))
        assert got == fields(ours("url", key, **more)) and set(got) == names, got
        assert all(re.fullmatch(r"[A-Za-z0-9_~-]+", v) for v in got.values()), got
    wide = fields(ours("cookies", key, url=BASE + "/films/42/*"))
    policy = decoded(wide["Policy"])
    assert json.loads(policy)["Statement"][0]["Resource"] == BASE + "/films/42/*" and key.verifies(
        "sha1", decoded(wide["Signature"]), policy)


def newer(folder):
    """SHA-256 and ECDSA, by openssl; each by its own digest and key, and none other."""
    made = json.dumps({"Statement": [{"Resource": URL, "Condition": {"DateLessThan": {"AWS:EpochTime": UNTIL}}}]},
                      separators=(",", ":")).encode()
    keys = {kind: Key(folder, kind) for kind in KEYS}
    for kind, key in keys.items():
        for flags in (0, SHA256, CUSTOM, SHA256 | CUSTOM):
            got = fields(ours("url", key, flags=flags))
            digest, other = ("sha256", "sha1") if flags & SHA256 else ("sha1", "sha256")
            assert got.get("Hash-Algorithm") == ("SHA256" if flags & SHA256 else None), got
            policy = decoded(got["Policy"]) if flags & CUSTOM else made
            assert policy == made, policy
            signature = decoded(got["Signature"])
            assert key.verifies(digest, signature, policy), (kind, flags)
            assert not key.verifies(other, signature, policy)
            assert not key.verifies(digest, signature, policy.replace(b"/42/", b"/43/"))
            assert not keys["ec" if kind == "rsa" else "rsa"].verifies(digest, signature, policy)


def main():
    if not shutil.which("openssl"):
        print("skipped: no openssl")
        return 77
    cases = Cases("cloudfront")
    for case in (canned, custom, cookies, newer):
        cases.run(case.__name__, case)
    return cases.end()


if __name__ == "__main__":
    sys.exit(main())
