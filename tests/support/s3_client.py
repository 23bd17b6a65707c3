# SPDX-License-Identifier: LGPL-2.1-or-later
"""A plain S3 client for tests of servers, where boto3 hides too much: one connection, headers and query as given, signed by
Signature Version 4, every part of it open to be spoilt."""
import hashlib
import hmac
import http.client
import socket
import ssl
import time
from urllib.parse import quote


def mac(key, text):
    return hmac.digest(key, text.encode(), "sha256")


def connect(endpoint, timeout):
    """Not open yet."""
    scheme, _, host = endpoint.url.partition("://")
    if scheme == "https":
        context = ssl.create_default_context(cafile=endpoint.ca)
        return http.client.HTTPSConnection(host, timeout=timeout, context=context)
    return http.client.HTTPConnection(host, timeout=timeout)


class Client:
    """endpoint: s3_servers.Endpoint, or anything with url, access_key, secret_key, token and region."""

    def __init__(self, endpoint, timeout=30):
        self.endpoint, self.timeout, self.connection = endpoint, timeout, None
        self.host = endpoint.url.split("://")[1]

    def close(self):
        if self.connection:
            self.connection.close()
            self.connection = None

    def key(self, day, region):
        key = ("AWS4" + self.endpoint.secret_key).encode()
        for part in (day, region, "s3", "aws4_request"):
            key = mac(key, part)
        return key

    def sign(self, method, target, headers, payload, now=None, region=None):
        """Adds what is missing to headers; target: raw path and query."""
        e, date = self.endpoint, time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
        region = region or e.region
        headers.setdefault("host", self.host)
        headers.update({"x-amz-date": date, "x-amz-content-sha256": payload})
        if e.token:
            headers["x-amz-security-token"] = e.token
        path, _, query = target.partition("?")
        pairs = sorted(p if "=" in p else p + "=" for p in query.split("&") if p)
        names = sorted(n.lower() for n in headers)
        lower = {n.lower(): v for n, v in headers.items()}
        text = "\n".join([method, path, "&".join(pairs), "".join("%s:%s\n" % (n, " ".join(str(lower[n]).split()))
                                                                 for n in names), ";".join(names), payload])
        scope = "%s/%s/s3/aws4_request" % (date[:8], region)
        to_sign = "\n".join(["AWS4-HMAC-SHA256", date, scope, hashlib.sha256(text.encode("latin-1")).hexdigest()])
        headers["authorization"] = "AWS4-HMAC-SHA256 Credential=%s/%s, SignedHeaders=%s, Signature=%s" % (
            e.access_key, scope, ";".join(names), mac(self.key(date[:8], region), to_sign).hex())
        return headers

    def presign(self, method, target, expires=60, headers=None, now=None):
        """The raw path and query with a signature in it."""
        e, date = self.endpoint, time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
        scope = "%s/%s/s3/aws4_request" % (date[:8], e.region)
        lower = dict({n.lower(): v for n, v in (headers or {}).items()}, host=self.host)
        names = sorted(lower)
        path, _, query = target.partition("?")
        pairs = [p if "=" in p else p + "=" for p in query.split("&") if p]
        pairs += ["X-Amz-Algorithm=AWS4-HMAC-SHA256", "X-Amz-Credential=" + quote(e.access_key + "/" + scope, safe=""),
                  "X-Amz-Date=" + date, "X-Amz-Expires=%d" % expires, "X-Amz-SignedHeaders=" + "%3B".join(names)]
        if e.token:
            pairs.append("X-Amz-Security-Token=" + quote(e.token, safe=""))
        text = "\n".join([method, path, "&".join(sorted(pairs)), "".join("%s:%s\n" % (n, lower[n]) for n in names),
                          ";".join(names), "UNSIGNED-PAYLOAD"])
        to_sign = "\n".join(["AWS4-HMAC-SHA256", date, scope, hashlib.sha256(text.encode("latin-1")).hexdigest()])
        return "%s?%s&X-Amz-Signature=%s" % (path, "&".join(pairs), mac(self.key(date[:8], e.region), to_sign).hex())

    def send(self, method, target, headers=None, body=b""):
        """(status, body, headers in lower case), as it is, nothing signed."""
        for again in (False, True):
            fresh = self.connection is None
            if fresh:
                self.connection = connect(self.endpoint, self.timeout)
                self.connection.connect()
                self.connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            try:
                self.connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
                given = dict(headers or {})
                if "host" not in {n.lower() for n in given}:
                    given["host"] = self.host
                if (body or method in ("PUT", "POST")) and "content-length" not in {n.lower() for n in given}:
                    given["content-length"] = str(len(body))
                for name, value in given.items():
                    self.connection.putheader(name, value)
                self.connection.endheaders(body or None)
                answer = self.connection.getresponse()
                data = answer.read()
            except (OSError, http.client.HTTPException):
                self.close()
                if fresh or again:
                    raise
                continue
            if answer.will_close:
                self.close()
            return answer.status, data, {n.lower(): v for n, v in answer.getheaders()}
        raise AssertionError("never here")

    def call(self, method, bucket, key=None, query="", headers=None, body=b"", payload=None, now=None, region=None):
        """Signed; query as it goes out, encoded."""
        target = "/" + bucket + ("/" + quote(key, safe="/~") if key is not None else "") + ("?" + query if query else "")
        payload = payload or hashlib.sha256(body).hexdigest()
        return self.send(method, target, self.sign(method, target, dict(headers or {}), payload, now, region), body)
