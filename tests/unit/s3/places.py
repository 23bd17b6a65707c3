#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""places.py DIR: instance metadata, a container's endpoint and STS on a free port of the loopback, until stdin ends.

Prints "HTTP 0 0". Writes DIR/memory.ini and DIR/memory.json, whose secret no program has in its own files.

    /imds/MODE/...        instance metadata; MODE: ok, v1 (no token), none (no role), refused, empty, junk, flaky (each
                          second request 500), slow (3 s), old (expired), odd (a role that is none)
    /container/MODE       ok, token (wants "token-1"), 404, 500, junk, partial, memory, big
    /sts/MODE/            ok, 400, 500, junk, doctype, throttle (once), deep, code (an odd one), partial, memory
    /count                requests since it was asked last
"""
import hashlib
import hmac
import html
import http.server
import json
import sys
import threading
import time
import urllib.parse

LATER, BEFORE = "2099-01-02T03:04:05Z", "2001-01-01T00:00:00Z"
MEMORY = "".join(chr(ord(c) + 1) for c in "KdesNudqHmLdlnqxCdsdbsdcHeHsHr")  # "LeftOver..."
SOURCES = {"AKIDSOURCE": "source/secret", "AKIDENV": "env/secret", "AKIDEC2": "ec2/secret", "AKIDBOX": "box/secret",
           "AKIDSTS": "sts/secret"}
count, flaky, throttled = 0, 0, 0


def credentials(name, **more):
    key = {"AccessKeyId": "AKID" + name.upper(), "SecretAccessKey": name + "/secret", "Token": name + "-token==",
           "Expiration": LATER, "Type": "AWS-HMAC"}
    key.update(more)
    return json.dumps(key).replace("/", "\\/")


def signed(headers, path, body, form):
    """Checks the signature anew; the secret is that of the source. What is wrong, or ""."""
    auth = headers["Authorization"]
    if not auth.startswith("AWS4-HMAC-SHA256 "):
        return "algorithm"
    fields = dict(f.strip().split("=", 1) for f in auth[17:].split(","))
    key, date, region, service, last = fields["Credential"].split("/")
    if key not in SOURCES or service != "sts" or last != "aws4_request" or not headers["X-Amz-Date"].startswith(date):
        return "scope"
    names = fields["SignedHeaders"].split(";")
    if not {"host", "x-amz-date"} <= set(names):
        return "headers"
    if key != "AKIDSOURCE" and "x-amz-security-token" not in names and key not in ("AKIDENV",):
        return "token"
    canonical = "\n".join(["POST", path, "", *("%s:%s" % (n, " ".join(headers[n].split())) for n in names), "",
                           ";".join(names), hashlib.sha256(body).hexdigest()])
    scope = "/".join((date, region, service, last))
    text = "\n".join(("AWS4-HMAC-SHA256", headers["X-Amz-Date"], scope, hashlib.sha256(canonical.encode()).hexdigest()))
    k = ("AWS4" + SOURCES[key]).encode()
    for part in (date, region, service, last):
        k = hmac.digest(k, part.encode(), "sha256")
    return "" if hmac.digest(k, text.encode(), "sha256").hex() == fields["Signature"] else "signature"


def sts_xml(action, access, secret, token):
    return ('<?xml version="1.0"?>\n<%sResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><%sResult>'
            "<AssumedRoleUser><Arn>arn</Arn></AssumedRoleUser><Credentials><SessionToken>%s</SessionToken>"
            "<SecretAccessKey>%s</SecretAccessKey><Expiration>%s</Expiration><AccessKeyId>%s</AccessKeyId></Credentials>"
            "</%sResult></%sResponse>" % (action, action, html.escape(token), secret, LATER, access, action, action))


def sts_error(code):
    return ('<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type><Code>%s</Code>'
            "<Message>not for you</Message></Error><RequestId>1</RequestId></ErrorResponse>" % code)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def send(self, status, body):
        body = body.encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def imds(self, mode, path):
        global flaky
        flaky += 1
        if mode == "slow":
            time.sleep(3)
        if mode == "flaky" and flaky % 2:
            self.send(500, "later")
        elif path == "latest/api/token":
            put = self.command == "PUT" and self.headers["X-aws-ec2-metadata-token-ttl-seconds"] == "21600"
            self.send(*((403, "") if mode == "v1" else (200, "metadata-token") if put else (400, "")))
        elif self.command != "GET" or self.headers["X-aws-ec2-metadata-token"] != "metadata-token":
            self.send(401, "")
        elif path == "latest/meta-data/iam/security-credentials/":
            self.send(*((404, "") if mode == "none" else (200, "<html> no role") if mode == "odd" else (200, "my-role")))
        elif path == "latest/meta-data/iam/security-credentials/my-role":
            self.send(200, {"refused": '{"Code":"AssumeRoleUnauthorizedAccess","Message":"no"}', "empty": "",
                            "junk": "AKIDEC2", "old": credentials("ec2", Code="Success", Expiration=BEFORE)}.get(
                                mode, credentials("ec2", Code="Success")))
        else:
            self.send(404, "")

    def container(self, mode):
        global flaky
        if mode == "token" and self.headers["Authorization"] != "token-1":
            self.send(401, '{"code":"AccessDenied","message":"no"}')
        elif mode in ("404", "500"):
            self.send(int(mode), '{"code":"Nothing"}')
        elif mode == "junk":
            self.send(200, "box/secret")
        elif mode == "refused":
            self.send(200, '{"code":"Nothing","message":"box/secret"}')
        elif mode == "partial":
            self.send(200, '{"AccessKeyId":"AKIDBOX","Token":null}')
        elif mode == "big":
            self.send(200, credentials("box", Token="x" * 70000))
        elif mode == "memory":
            self.send(200, credentials("box", SecretAccessKey=MEMORY))
        else:
            self.send(200, credentials("box"))

    def sts(self, mode, body):
        global throttled
        form = dict(urllib.parse.parse_qsl(body.decode(), strict_parsing=True))
        action = form.get("Action")
        wrong = ""
        if not self.headers["Content-Type"].startswith("application/x-www-form-urlencoded") or \
                form.get("Version") != "2011-06-15":
            wrong = "form"
        elif action == "AssumeRole":
            wrong = signed(self.headers, self.path, body, form)
        elif action != "AssumeRoleWithWebIdentity" or form.get("WebIdentityToken") != "web+token/1":
            wrong = "token"
        name = "|".join((form.get("RoleArn", ""), form.get("ExternalId", ""), form.get("DurationSeconds", "")))
        if wrong:
            self.send(403, sts_error("Wrong" + wrong))
        elif mode == "400":
            self.send(400, sts_error("ExpiredTokenException"))
        elif mode == "500":
            self.send(500, "<html>")
        elif mode == "code":
            self.send(400, sts_error("web+token/1"))
        elif mode == "junk":
            self.send(200, "web+token/1 is not XML")
        elif mode == "doctype":
            self.send(200, '<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>')
        elif mode == "deep":
            self.send(200, "<a>" * 50 + "</a>" * 50)
        elif mode == "partial":
            self.send(200, "<a><Credentials><AccessKeyId>AKIDSTS</AccessKeyId></Credentials></a>")
        elif mode == "throttle" and not throttled:
            throttled = 1
            self.send(400, sts_error("Throttling"))
        elif mode == "memory":
            self.send(200, sts_xml(action, "AKIDSTS", MEMORY, "sts-token=="))
        else:
            session = form["RoleSessionName"]
            if not session.startswith("vodpipe-"):
                name += "|" + session
            self.send(200, sts_xml(action, "AKIDSTS", "sts/secret", name.replace(" ", "") or "sts-token=="))

    def do_GET(self):
        global count
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = self.path[1:].split("/", 2)
        count += parts[0] != "count"
        try:
            if parts[0] == "count":
                self.send(200, str(count))
                count = 0
            elif parts[0] == "imds":
                self.imds(parts[1], parts[2])
            elif parts[0] == "container":
                self.container(parts[1])
            elif parts[0] == "sts" and self.command == "POST" and parts[2:] in ([], [""]):
                self.sts(parts[1], body)
            else:
                self.send(404, "")
        except OSError:
            self.close_connection = True

    do_PUT = do_POST = do_GET


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        pass


def main():
    folder = sys.argv[1]
    with open(folder + "/memory.ini", "w", encoding="ascii") as f:
        f.write("[default]\naws_access_key_id = AKIDFILE\naws_secret_access_key = %s\n" % MEMORY)
    with open(folder + "/memory.json", "w", encoding="ascii") as f:
        f.write('{"Version": 1, "AccessKeyId": "AKIDPROC", "SecretAccessKey": "%s"}' % MEMORY)
    server = Server(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_address[1], 0, 0, flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
