# SPDX-License-Identifier: LGPL-2.1-or-later
"""Signature Version 4 as an S3 server checks it, from the request as it came: headers, query, POST policies and chunks of
aws-chunked bodies. Written from AWS's documents, shares nothing with lib/s3."""
import base64
import calendar
import functools
import hashlib
import hmac
import json
import re
import time
from urllib.parse import quote_from_bytes, unquote_to_bytes

EMPTY_SHA256 = hashlib.sha256(b"").hexdigest()
ALGORITHM = "AWS4-HMAC-SHA256"
AUTHORIZATION = re.compile(r"AWS4-HMAC-SHA256 +Credential=([^, ]+), *SignedHeaders=([^, ]+), *Signature=([0-9a-f]+)$")
DATE = re.compile(r"\d{8}T\d{6}Z$")
STREAMING = {"STREAMING-AWS4-HMAC-SHA256-PAYLOAD": (True, False),  # signed, with a trailer
             "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER": (True, True),
             "STREAMING-UNSIGNED-PAYLOAD-TRAILER": (False, True)}


class S3Error(Exception):
    def __init__(self, status, code, message="", extra=(), headers=()):
        super().__init__("%d %s: %s" % (status, code, message))
        self.status, self.code, self.message = status, code, message
        self.extra, self.headers = list(extra), list(headers)


class Identity:
    """Who a request is from, and how it was signed: kind "header", "query", "post" or "none"."""
    __slots__ = ("kind", "access_key", "payload", "date", "scope", "key", "signature")

    def __init__(self, kind, access_key="", payload="UNSIGNED-PAYLOAD", date="", scope="", key=b"", signature=""):
        self.kind, self.access_key, self.payload, self.date = kind, access_key, payload, date
        self.scope, self.key, self.signature = scope, key, signature


def unquote(text):
    return unquote_to_bytes(text.replace("+", " "))


def quote(data, safe=""):
    return quote_from_bytes(data, safe=safe)


def hexmac(key, text):
    return hmac.digest(key, text.encode(), "sha256").hex()


@functools.lru_cache(maxsize=256)
def signing_key(secret, date, region, service):
    key = ("AWS4" + secret).encode()
    for part in (date, region, service, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key


def iso(seconds):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


@functools.lru_cache(maxsize=64)
def seconds_of(date):
    if not DATE.match(date):
        raise S3Error(403, "AccessDenied", "AWS authentication requires a valid Date or x-amz-date header")
    return calendar.timegm(time.strptime(date, "%Y%m%dT%H%M%SZ"))


def canonical_query(items):
    return "&".join("%s=%s" % pair for pair in sorted((quote(n), quote(v)) for n, v in items))


def canonical(method, path, items, signed, headers, payload):
    """path: decoded; headers: the name in lower case -> the list of values."""
    lines = "".join("%s:%s\n" % (name, ",".join(" ".join(v.split()) for v in headers[name])) for name in signed)
    return "\n".join((method, quote(path, "/"), canonical_query(items), lines, ";".join(signed), payload))


def check_credential(text, date, settings, malformed):
    """(access key, secret, scope) of a Credential."""
    parts = text.split("/")
    if len(parts) < 5 or parts[-1] != "aws4_request":
        raise S3Error(400, malformed, "the Credential is mal-formed; expecting "
                      "\"<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request\".")
    name, (day, region, service) = "/".join(parts[:-4]), parts[-4:-1]
    key = settings.keys.get(name)
    if key is None:
        raise S3Error(403, "InvalidAccessKeyId", "The AWS Access Key Id you provided does not exist in our records.",
                      [("AWSAccessKeyId", name)])
    if region != settings.region:
        raise S3Error(400, malformed, "the region '%s' is wrong; expecting '%s'" % (region, settings.region),
                      [("Region", settings.region)], [("x-amz-bucket-region", settings.region)])
    if service != "s3":
        raise S3Error(400, malformed, "incorrect service \"%s\". This endpoint belongs to \"s3\"." % service)
    if day != date[:8]:
        raise S3Error(400, malformed, "Invalid credential date \"%s\". This date is not the same as X-Amz-Date." % day)
    return name, key, "/".join(parts[-4:])


def check_token(key, token):
    if key.get("expired"):
        raise S3Error(400, "ExpiredToken", "The provided token has expired.", [("Token-0", token or "")])
    if key.get("token") is None and token is not None:
        raise S3Error(400, "InvalidToken", "The provided token is malformed or otherwise invalid.")
    if key.get("token") is not None and token is None:
        raise S3Error(403, "InvalidAccessKeyId", "The AWS Access Key Id you provided does not exist in our records.")
    if key.get("token") != token:
        raise S3Error(400, "InvalidToken", "The provided token is malformed or otherwise invalid.")


def check_signed_headers(text, headers):
    signed = text.split(";")
    if signed != sorted(set(signed)) or text != text.lower() or "host" not in signed:
        raise S3Error(403, "SignatureDoesNotMatch", "SignedHeaders are not sorted, lower case and with host")
    missing = [n for n in signed if n not in headers]
    if missing:
        raise S3Error(403, "SignatureDoesNotMatch", "signed but not sent: " + ", ".join(missing))
    unsigned = [n for n in headers if n.startswith("x-amz-") and n not in signed]
    if unsigned:
        raise S3Error(403, "AccessDenied", "There were headers present in the request which were not signed",
                      [("HeadersNotSigned", ", ".join(unsigned))])
    return signed


def check_signature(request, items, signed, payload, date, scope, key, given):
    text = canonical(request.method, request.path, items, signed, request.headers, payload)
    to_sign = "\n".join((ALGORITHM, date, scope, hashlib.sha256(text.encode("latin-1")).hexdigest()))
    if not hmac.compare_digest(hexmac(key, to_sign), given):
        raise S3Error(403, "SignatureDoesNotMatch", "The request signature we calculated does not match the signature "
                      "you provided. Check your key and signing method.",
                      [("StringToSign", to_sign), ("SignatureProvided", given), ("CanonicalRequest", text)])


def verify(request, settings, now):
    """request: method, path (bytes, decoded), items (of the query, decoded), headers (lower case -> list). Raises S3Error."""
    given = request.headers.get("authorization")
    query = dict(request.items)
    if given is None and b"X-Amz-Signature" not in query:
        if b"Signature" in query:
            raise S3Error(400, "InvalidRequest", "Please use AWS4-HMAC-SHA256.")
        return Identity("none")
    if given is not None and b"X-Amz-Algorithm" in query:
        raise S3Error(400, "InvalidArgument", "Only one auth mechanism allowed")
    return by_query(request, query, settings, now) if given is None else by_header(request, given[0], settings, now)


def by_header(request, given, settings, now):
    headers = request.headers
    found = AUTHORIZATION.match(given)
    if not found or len(headers["authorization"]) != 1:
        raise S3Error(400, "AuthorizationHeaderMalformed" if given.startswith(ALGORITHM) else "InvalidRequest",
                      "The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256.")
    date = (headers.get("x-amz-date") or headers.get("date") or [""])[0]
    sent = seconds_of(date)
    name, key, scope = check_credential(found[1], date, settings, "AuthorizationHeaderMalformed")
    check_token(key, headers.get("x-amz-security-token", [None])[0])
    if abs(now - sent) > settings.window:
        raise S3Error(403, "RequestTimeTooSkewed", "The difference between the request time and the current time is too "
                      "large.", [("RequestTime", date), ("ServerTime", iso(now)),
                                 ("MaxAllowedSkewMilliseconds", str(int(settings.window * 1000)))])
    payload = headers.get("x-amz-content-sha256", [None])[0]
    if payload is None:
        raise S3Error(400, "InvalidRequest", "Missing required header for this request: x-amz-content-sha256")
    check_payload(payload, settings, request.tls)
    signed = check_signed_headers(found[2], headers)
    secret = signing_key(key["secret"], date[:8], scope.split("/")[1], "s3")
    check_signature(request, request.items, signed, payload, date, scope, secret, found[3])
    return Identity("header", name, payload, date, scope, secret, found[3])


def check_payload(payload, settings, tls):
    if re.fullmatch("[0-9a-f]{64}", payload):
        return
    if payload == "UNSIGNED-PAYLOAD" or payload == "STREAMING-UNSIGNED-PAYLOAD-TRAILER":
        if settings.unsigned == "always" or (settings.unsigned == "tls" and tls):
            return
        raise S3Error(400, "InvalidRequest", "unsigned payloads are not allowed here")
    if payload not in STREAMING:
        raise S3Error(400, "InvalidArgument", "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, "
                      "STREAMING-AWS4-HMAC-SHA256-PAYLOAD, or a valid sha256 value.")


def by_query(request, query, settings, now):
    wrong = "AuthorizationQueryParametersError"

    def need(name):
        value = query.get(name.encode())
        if value is None:
            raise S3Error(400, wrong, "Query-string authentication version 4 requires the X-Amz-Algorithm, "
                          "X-Amz-Credential, X-Amz-Signature, X-Amz-Date, X-Amz-SignedHeaders, and X-Amz-Expires "
                          "parameters.")
        return value.decode("latin-1")
    if len(query) != len(request.items):
        raise S3Error(400, wrong, "a parameter twice")
    if need("X-Amz-Algorithm") != ALGORITHM:
        raise S3Error(400, wrong, "X-Amz-Algorithm only supports \"AWS4-HMAC-SHA256\"")
    date, expires = need("X-Amz-Date"), need("X-Amz-Expires")
    if not expires.isdigit() or not 1 <= int(expires) <= 604800:
        raise S3Error(400, wrong, "X-Amz-Expires must be between 1 and 604800 seconds")
    sent = seconds_of(date)
    name, key, scope = check_credential(need("X-Amz-Credential"), date, settings, wrong)
    token = query.get(b"X-Amz-Security-Token")
    check_token(key, token.decode("latin-1") if token is not None else None)
    if now > sent + int(expires):
        raise S3Error(403, "AccessDenied", "Request has expired", [("X-Amz-Expires", expires), ("Expires",
                      iso(sent + int(expires))), ("ServerTime", iso(now))])
    if sent > now + settings.window:
        raise S3Error(403, "AccessDenied", "Request is not yet valid", [("ServerTime", iso(now))])
    signed = check_signed_headers(need("X-Amz-SignedHeaders"), request.headers)
    payload = request.headers.get("x-amz-content-sha256", [None])[0]
    if payload is None:
        payload = query.get(b"X-Amz-Content-Sha256", b"UNSIGNED-PAYLOAD").decode("latin-1")
    secret = signing_key(key["secret"], date[:8], scope.split("/")[1], "s3")
    items = [item for item in request.items if item[0] != b"X-Amz-Signature"]
    given = need("X-Amz-Signature")
    check_signature(request, items, signed, payload, date, scope, secret, given)
    return Identity("query", name, payload, date, scope, secret, given)


# ---- forms of browsers ----

def verify_post(fields, size, settings, now):
    """fields: names in lower case -> text; the policy's conditions hold for them and for the size of the file."""
    if "policy" not in fields:
        return Identity("none")
    if fields.get("x-amz-algorithm") != ALGORITHM:
        raise S3Error(400, "InvalidArgument", "x-amz-algorithm must be AWS4-HMAC-SHA256")
    date = fields.get("x-amz-date", "")
    seconds_of(date)
    name, key, scope = check_credential(fields.get("x-amz-credential", ""), date, settings, "InvalidArgument")
    check_token(key, fields.get("x-amz-security-token"))
    secret = signing_key(key["secret"], date[:8], scope.split("/")[1], "s3")
    if not hmac.compare_digest(hexmac(secret, fields["policy"]), fields.get("x-amz-signature", "")):
        raise S3Error(403, "SignatureDoesNotMatch", "of the policy", [("StringToSign", fields["policy"])])
    check_policy(fields, size, now)
    return Identity("post", name)


def check_policy(fields, size, now):
    def denied(text):
        return S3Error(403, "AccessDenied", "Invalid according to Policy: " + text)
    try:
        policy = json.loads(base64.b64decode(fields["policy"], validate=True))
        until = calendar.timegm(time.strptime(re.sub(r"\.\d+", "", policy["expiration"]), "%Y-%m-%dT%H:%M:%SZ"))
        conditions = list(policy["conditions"])
    except (ValueError, KeyError, TypeError) as error:
        raise S3Error(400, "InvalidPolicyDocument", str(error)) from None
    if now > until:
        raise denied("Policy expired.")
    covered = {"policy", "x-amz-signature", "file", "bucket"}
    for condition in conditions:
        if isinstance(condition, dict):
            condition = ["eq", "$" + next(iter(condition)), next(iter(condition.values()))]
        kind, name, want = condition
        if kind == "content-length-range":
            if not int(name) <= size <= int(want):
                raise S3Error(400, "EntityTooLarge" if size > int(want) else "EntityTooSmall",
                              "Your proposed upload is out of the range of the policy")
            continue
        name = name.lstrip("$").lower()
        covered.add(name)
        value = fields.get(name, "")
        if not (value == want if kind == "eq" else value.startswith(want)):
            raise denied("Policy Condition failed: %s" % json.dumps(condition))
    extra = [n for n in fields if n not in covered and not n.startswith("x-ignore-")]
    if extra:
        raise denied("Extra input fields: " + ", ".join(extra))


# ---- bodies in chunks ----

class Chunks:
    """An aws-chunked body: feed() gives what is in it on, done is set behind its end; a wrong signature raises."""
    LINE = re.compile(rb"([0-9a-fA-F]+)(?:;chunk-signature=([0-9a-f]{64}))?$")

    def __init__(self, identity, sink):
        self.identity, self.sink = identity, sink
        self.signed, self.trailing = STREAMING[identity.payload]
        self.line, self.left, self.state, self.done = bytearray(), 0, "size", False
        self.previous, self.given, self.hash = identity.signature, "", None
        self.trailer = {}

    def feed(self, data):
        at = 0
        while at < len(data):
            if self.done:
                raise S3Error(400, "InvalidRequest", "bytes behind the last chunk")
            if self.state == "data":
                n = min(self.left, len(data) - at)
                self.sink(data[at:at + n])
                self.hash.update(data[at:at + n])
                at += n
                self.left -= n
                if not self.left:
                    self.check_chunk()
                    self.state = "end"
                continue
            byte = data[at]
            at += 1
            self.line.append(byte)
            if byte == 10:
                line = bytes(self.line)
                self.line.clear()
                if not line.endswith(b"\r\n"):
                    raise S3Error(400, "IncompleteBody", "a line of a chunk without CR LF")
                self.take(line[:-2])

    def take(self, line):
        if self.state == "end":
            if line:
                raise S3Error(400, "IncompleteBody", "a chunk is longer than told")
            self.state = "size"
        elif self.state == "size":
            found = self.LINE.match(line)
            if not found or bool(found[2]) != self.signed:
                raise S3Error(400, "IncompleteBody", "the head of a chunk")
            self.left, self.given = int(found[1], 16), (found[2] or b"").decode()
            self.hash = hashlib.sha256()
            self.state = "data"
            if not self.left:
                self.check_chunk()
                self.state = "trailer"
        elif line:
            name, _, value = line.decode("latin-1").partition(":")
            if name == "x-amz-trailer-signature":
                self.check_trailer(value.strip())
            elif not self.trailing:
                raise S3Error(400, "MalformedTrailerError", "a trailer that was not told")
            else:
                self.trailer[name.lower()] = value.strip()
        else:
            if self.signed and self.trailing and self.previous is not None:
                raise S3Error(403, "SignatureDoesNotMatch", "no x-amz-trailer-signature")
            self.done = True

    def compare(self, kind, parts, given):
        one = self.identity
        want = hexmac(one.key, "\n".join((kind, one.date, one.scope, self.previous) + parts))
        if not hmac.compare_digest(want, given):
            raise S3Error(403, "SignatureDoesNotMatch", "of a chunk")
        self.previous = want

    def check_chunk(self):
        if self.signed:
            self.compare("AWS4-HMAC-SHA256-PAYLOAD", (EMPTY_SHA256, self.hash.hexdigest()), self.given)

    def check_trailer(self, given):
        if self.signed:
            lines = "".join("%s:%s\n" % pair for pair in self.trailer.items())
            self.compare("AWS4-HMAC-SHA256-TRAILER", (hashlib.sha256(lines.encode()).hexdigest(),), given)
            self.previous = None
