#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Headless Chromium sends files straight to the bucket of a real server, which is another origin: by forms with a policy, by one
signed PUT, in parts that the host completes. The CORS rules are those of docs/storage.md.

    test_bucket_upload.py S3_HOST [versitygw|minio...]

Exit 77 where there is no browser, no boto3 or none of the servers.
"""
import hashlib
import json
import os
import sys

sys.dont_write_bytecode = True
S3_HOST = sys.argv[1]
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(HERE)), "support"))
sys.argv[2:2] = [S3_HOST]  # where test_s3_faults looks for it

import cdp  # noqa: E402
import documents  # noqa: E402
from s3_servers import S3F, Missing, real_server  # noqa: E402
from server import Server  # noqa: E402
from test_bucket import SHOTS, Tab, answers, cors  # noqa: E402
from test_s3_faults import host  # noqa: E402
from titles import Cases  # noqa: E402

MIB = 1 << 20
# bytes(from, size): the same in both places. An answer that the page may not read is [0, the error].
PAGE = """
const U = {
    bytes(from, size) {
        const out = new Uint8Array(size);
        for (let i = 0; i < size; i++) out[i] = (i + from) * 31 + ((i + from) >> 8) & 255;
        return out;
    },
    send(url, method, body) {
        return fetch(url, {method, body}).then(async r => [r.status, r.headers.get('ETag'), await r.text()],
            e => [0, String(e), '']);
    },
    form(made, size, name, type, changes) {
        const f = new FormData();
        for (const [k, v] of Object.entries({...made.fields, 'Content-Type': type, ...changes})) f.append(k, v);
        f.append('file', new File([U.bytes(0, size)], name, {type}));
        return U.send(made.url, 'POST', f);
    },
};
"""


def pattern(first, size):
    return bytes(((i + first) * 31 + ((i + first) >> 8)) & 255 for i in range(size))


def stored(s3, key):
    return s3.boto().get_object(Bucket=s3.bucket, Key=key)["Body"].read()


def missing(s3, key):
    client = s3.boto()
    try:
        client.head_object(Bucket=s3.bucket, Key=key)
    except client.exceptions.ClientError as error:
        return error.response["ResponseMetadata"]["HTTPStatusCode"] == 404
    return False


def rules(server, expose=True):
    """Of the document, with the one origin of this page; without what a page may read of an answer."""
    given = json.loads(json.dumps(documents.blocks("storage.md")["cors-upload"]).replace("https://app.example.com", server.url))
    if not expose:
        del given["CORSRules"][0]["ExposeHeaders"]
    return given


def post(_folder, browser, server, s3):
    """What the policy allows comes in; what is larger, smaller, of another name, type or signature does not."""
    url = "%s/%s" % (s3.url, s3.bucket)
    made = host(s3, "type=video/", "post", url, s3.bucket, "incoming/film.mp4", "1000").value()
    with Tab(browser, server, s3.name + "-post") as page:
        page.js(PAGE + "window.U = U; 0")
        page.js("window.made = %s; 0" % json.dumps(made))
        for size, changes, kind, want in (
                (1001, {}, "video/mp4", 400), (900, {"key": "other/film.mp4"}, "video/mp4", 403), (900, {}, "text/html", 403),
                (900, {"x-amz-signature": "0" * 64}, "video/mp4", 403), (900, {"acl": "public-read"}, "video/mp4", 403)):
            before = len(answers(page, url))
            page.js("U.form(made, %d, 'film.mp4', '%s', %s)" % (size, kind, json.dumps(changes)))
            got = answers(page, url)[before:]
            assert got == [want], "%d bytes, %s, %s: %s" % (size, kind, changes, got)
            assert missing(s3, "incoming/film.mp4") and missing(s3, "other/film.mp4")
        got = page.js("U.form(made, 1000, 'film.mp4', 'video/mp4', {})")
        assert got[0] in (200, 201, 204), got
        assert stored(s3, "incoming/film.mp4") == pattern(0, 1000)
        kind = s3.boto().head_object(Bucket=s3.bucket, Key="incoming/film.mp4")["ContentType"]
        assert kind == "video/mp4", kind


def plain_form(folder, browser, server, s3):
    """<form> and a file of the disk, without a script and without CORS rules."""
    url, path = "%s/%s" % (s3.url, s3.bucket), os.path.join(folder, "from disk.mp4")
    with open(path, "wb") as f:
        f.write(pattern(7, 300000))
    made = host(s3, "type=video/", "headers=success_action_status: 201", "post", url, s3.bucket, "incoming/disk.mp4",
                "300000").value()
    fields = "".join('<input type=hidden name="%s" value="%s">' % x for x in dict(made["fields"], **{
        "Content-Type": "video/mp4"}).items())
    cors(s3, None)
    try:
        with Tab(browser, server, s3.name + "-form") as page:
            page.js("document.body.innerHTML = %s; 0" % json.dumps(
                '<iframe name="to"></iframe><form method="post" enctype="multipart/form-data" target="to" action="%s">%s'
                '<input id="file" type="file" name="file"></form>' % (made["url"], fields)))
            page.call("DOM.enable")
            root = page.call("DOM.getDocument")["root"]["nodeId"]
            node = page.call("DOM.querySelector", {"nodeId": root, "selector": "#file"})["nodeId"]
            page.call("DOM.setFileInputFiles", {"files": [path], "nodeId": node})
            page.js("document.querySelector('form').submit()")
            page.until("document.querySelector('iframe').contentDocument === null")  # what is in it is foreign now
            assert stored(s3, "incoming/disk.mp4") == pattern(7, 300000)
    finally:
        cors(s3, rules(server))


def put(_folder, browser, server, s3):
    """One signed PUT; to another name, or without rules of the bucket, it does not come in or tells nothing."""
    url = host(s3, "presign", "PUT", s3.bucket, "incoming/one.bin").out.strip()
    with Tab(browser, server, s3.name + "-put") as page:
        page.js(PAGE + "window.U = U; 0")
        got = page.js("U.send(%s, 'PUT', U.bytes(3, 70000))" % json.dumps(url))
        assert got[0] == 200 and got[1], got
        assert stored(s3, "incoming/one.bin") == pattern(3, 70000)
        page.js("U.send(%s, 'PUT', U.bytes(0, 9))" % json.dumps(url.replace("one.bin", "two.bin")))
        assert answers(page, url.replace("one.bin", "two.bin").split("?")[0])[-1] == 403 and missing(s3, "incoming/two.bin")
        cors(s3, None)
        try:
            got = page.js("U.send(%s, 'PUT', U.bytes(0, 9))" % json.dumps(url))
            assert got[0] == 0, "without rules: %s" % got
        finally:
            cors(s3, rules(server))


def parts(folder, browser, server, s3):
    """A file in parts beside each other; the host hears of ETags, asks the server itself, and completes."""
    size, token = 11 * MIB + 77, os.path.join(folder, "token")
    host(s3, "token=" + token, "part=%d" % (5 * MIB), "type=video/mp4", "begin", s3.bucket, "incoming/parts.mp4", str(size))
    with open(token, encoding="ascii") as f:
        given = json.load(f)
    step = given["part_size"]
    assert step == 5 * MIB, given
    numbers = range(1, -(-size // step) + 1)
    urls = {n: host(s3, "token=" + token, "address", str(n)).out.strip() for n in (*numbers, 4)}
    with Tab(browser, server, s3.name + "-parts") as page:
        page.js(PAGE + "window.U = U; 0")

        def send(*what):
            """[number, first byte, size]..."""
            return page.js("Promise.all(%s.map(([u, first, size]) => U.send(u, 'PUT', U.bytes(first, size))))" % json.dumps(
                [[urls[n], first, many] for n, first, many in what]))
        for n, good in ((2, urls[2].replace("partNumber=2", "partNumber=3")), (2, urls[2].replace("parts.mp4", "other.mp4"))):
            page.js("U.send(%s, 'PUT', U.bytes(0, 9))" % json.dumps(good))
            assert answers(page, good)[-1] == 403, good
        # in any order; part 4 and a first part of another size were not asked for
        got = send((3, 2 * step, size - 2 * step), (2, step, step), (1, 0, step - 1), (4, 0, 1000))
        assert [g[0] for g in got] == [200] * 4 and all(g[1] for g in got), got
        assert "no part of the upload is in" in host(s3, "token=" + token, "complete", good=False).err
        host(s3, "token=" + token, "adopt")
        assert "part 1 of the upload is missing" in host(s3, "token=" + token, "complete", good=False).err
        first = send((1, 0, step))[0]
        tags = [first[1], got[1][1], got[0][1]]
    host(s3, "token=" + token, "adopt")
    with open(token, encoding="ascii") as f:
        known = json.load(f)["parts"]
    assert [p[0] for p in known] == [step, step, size - 2 * step] and all(len(p) == 2 for p in known), known
    assert [p[1].strip('"') for p in known] == [t.strip('"') for t in tags], (known, tags)
    done = host(s3, "token=" + token, "complete").value()
    assert done["size"] == size, done
    data = stored(s3, "incoming/parts.mp4")
    assert hashlib.sha256(data).digest() == hashlib.sha256(pattern(0, size)).digest()
    assert s3.boto().head_object(Bucket=s3.bucket, Key="incoming/parts.mp4")["ContentType"] == "video/mp4"
    assert not s3.boto().list_multipart_uploads(Bucket=s3.bucket).get("Uploads")


def exposed(_folder, browser, server):
    """The page gets the ETag by ExposeHeaders of the document alone (the real servers tell it always)."""
    with S3F() as s3, Tab(browser, server, "exposed") as page:
        page.js(PAGE + "window.U = U; 0")
        for expose in (True, False):
            s3.config(cors=[{"origins": r["AllowedOrigins"], "methods": r["AllowedMethods"], "headers": r["AllowedHeaders"],
                             "expose": r.get("ExposeHeaders", [])} for r in rules(server, expose)["CORSRules"]])
            url = host(s3, "presign", "PUT", s3.bucket, "incoming/%d" % expose).out.strip()
            got = page.js("U.send(%s, 'PUT', U.bytes(0, 9))" % json.dumps(url))
            assert got[0] == 200 and bool(got[1]) == expose, got
            assert s3.get("incoming/%d" % expose) == pattern(0, 9)


def main():
    if cdp.find() is None:
        print("skipped: no chromium here (Debian package chromium)")
        return 77
    try:
        import boto3  # noqa: F401
    except ImportError as why:
        print("skipped: %s" % why)
        return 77
    os.makedirs(SHOTS, exist_ok=True)
    cases, used = Cases("bucket upload"), 0
    with Server(page=HERE) as server, cdp.Browser(os.path.join(SHOTS, "chromium-upload.log")) as browser:
        cases.run("exposed", exposed, browser, server)
        for name in sys.argv[3:] or ["versitygw", "minio"]:
            try:
                with real_server(name) as s3:
                    cors(s3, rules(server))
                    for case in (post, plain_form, put, parts):
                        cases.run("%s: %s" % (name, case.__name__.replace("_", " ")), case, browser, server, s3)
                    used += 1
            except Missing as why:
                print("skipped: %s: %s" % (name, why))
    return cases.end() if used else 77


if __name__ == "__main__":
    sys.exit(main())
