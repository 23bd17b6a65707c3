# SPDX-License-Identifier: LGPL-2.1-or-later
"""Rules by which the scripted S3 server fails. A rule is a JSON object; the first that matches a request decides:

    which requests   "op": name, list of names or "*" (default); "key": pattern as of a shell; "bucket"; "method";
                     "header": {name: regular expression}; "query": {name: regular expression}; "part": number
    which of these   "nth": number or list (the first is 1), "first": N, "after": N (from the N-th on), "every": K,
                     "p": probability with "seed", "for_s": seconds since the rule's first match, "times": at most so often.
                     Counted over all matching requests, with "per": "key" for each operation, key and part alone
    what then        "action" with its parameters, or "any": [{"action": ...}, ...], one of them by the seed

    error            "code" (SlowDown, InternalError, ...), "status", "message", "retry_after"; "when": "headers" (the body
                     is not read, the connection ends), "body" (default) or "applied" (done, then denied: NoSuchUpload)
    error200         200 with <Error> of "code"; "ws": N spaces before, one each "interval" seconds; "drop": end behind them;
                     "applied": true: done none the less
    ws               the true answer behind "ws" spaces, one each "interval" seconds
    reset            RST after "received" bytes of the request's body, or "sent" bytes of the answer's (then it was done)
    drop             the connection ends without answer, nothing done; "rst": true
    apply_drop       done, then the connection ends without answer; "rst": true
    late             the connection ends without answer ("hang": true: it stays, silent); done right before the next "until"
                     (CompleteMultipartUpload) of this key, or the "nth_until"; "cut": a part then lacks so many bytes
    close_after      the true answer, and the connection ends "delay" seconds (0) later without having said so
    hang             no answer; "when" as above; "delay": ends after so many seconds
    slow_first       the true answer after "delay" seconds
    drip             "rate" bytes a second (1) of the true answer's body; "head": true: of its head too
    slow_read        the request's body is read with "rate" bytes a second (100000)
    permanent_redirect  301 without Location: "region", "endpoint"; "bare": true: only x-amz-bucket-region
    redirect         307 ("status") with Location: "to" and the path; "when": "headers" by default
    malformed_region 400 AuthorizationHeaderMalformed with "region"
    expect417        417, where the request has Expect
    never100         no 100 Continue, the body is waited for
    html             "size" bytes (10 MB) of a page with "status" (200)
    garbage          "body" (broken XML) with "status" (200)
    short            the true answer without its last "missing" bytes (1), then the end; "rst": true
    etag             the true answer with another ETag ("value")
    replace          another object, of the same bytes, has been put there just before
    whole            as if there were no Range: 200
    wrong_range      206 that tells of another range, a byte later
    no_length        the true answer in chunks; "close": true: until the end of the connection
    reject_checksum  x-amz-checksum-* and the like are refused: "status" 400 (default), 403, 501
    delay_body       reads no further for "delay" seconds after "received" bytes
    ok               nothing: keeps later rules away
"""
import fnmatch
import random
import re
import time

STATUS = {"SlowDown": 503, "ServiceUnavailable": 503, "InternalError": 500, "TooManyRequests": 429, "Throttling": 400,
          "RequestTimeout": 400, "ExpiredToken": 400, "InvalidToken": 400, "InvalidAccessKeyId": 403, "AccessDenied": 403,
          "SignatureDoesNotMatch": 403, "RequestTimeTooSkewed": 403, "NoSuchUpload": 404, "NoSuchKey": 404,
          "NoSuchBucket": 404, "PreconditionFailed": 412, "ConditionalRequestConflict": 409, "OperationAborted": 409,
          "EntityTooSmall": 400, "InvalidPart": 400, "BadDigest": 400, "NotImplemented": 501, "BadGateway": 502,
          "GatewayTimeout": 504, "InsufficientStorage": 507, "QuotaExceeded": 403}
ACTIONS = ("error", "error200", "ws", "reset", "drop", "apply_drop", "late", "close_after", "hang", "slow_first", "drip",
           "permanent_redirect", "redirect", "malformed_region", "expect417", "never100", "html", "garbage", "short",
           "etag", "no_length", "reject_checksum", "delay_body", "slow_read", "replace", "whole", "wrong_range",
           "ok")
FIELDS = {"op", "key", "bucket", "method", "header", "query", "part", "nth", "first", "after", "every", "p", "seed", "for_s",
          "times", "per", "any", "action", "name"}


def checksum_headers(request):
    return [n for n in request.headers if n.startswith("x-amz-checksum-") or n == "x-amz-trailer"
            or n == "x-amz-sdk-checksum-algorithm"]


class Rule:
    def __init__(self, spec):
        self.spec = spec
        actions = spec.get("any", [spec])
        for one in actions:
            if one.get("action") not in ACTIONS:
                raise ValueError("no action %r in %r" % (one.get("action"), spec))
        self.ops = spec.get("op", "*")
        self.ops = None if self.ops == "*" else set([self.ops] if isinstance(self.ops, str) else self.ops)
        self.key = re.compile(fnmatch.translate(spec["key"])) if "key" in spec else None
        self.headers = {n.lower(): re.compile(v) for n, v in spec.get("header", {}).items()}
        self.query = {n: re.compile(v) for n, v in spec.get("query", {}).items()}
        nth = spec.get("nth")
        self.nth = None if nth is None else set([nth] if isinstance(nth, int) else nth)
        self.random = random.Random(spec.get("seed", 1))
        self.counts, self.matches, self.fired, self.since = {}, 0, 0, None

    def matches_request(self, request):
        spec = self.spec
        if self.ops is not None and request.op not in self.ops:
            return False
        if self.key is not None and not self.key.match(request.key or ""):
            return False
        if spec.get("bucket", request.bucket) != request.bucket or spec.get("method", request.method) != request.method:
            return False
        if "part" in spec and request.query.get("partNumber") != str(spec["part"]):
            return False
        for name, pattern in self.headers.items():
            if name not in request.headers or not pattern.search(request.headers[name][0]):
                return False
        for name, pattern in self.query.items():
            if name not in request.query or not pattern.search(request.query[name]):
                return False
        action = spec.get("action")
        if action in ("expect417", "never100") and "expect" not in request.headers:
            return False
        return action != "reject_checksum" or bool(checksum_headers(request))

    def take(self, request):
        """The action for this request, or None."""
        if not self.matches_request(request):
            return None
        spec = self.spec
        self.matches += 1
        which = (request.op, request.key, request.query.get("partNumber")) if spec.get("per") == "key" else None
        n = self.counts[which] = self.counts.get(which, 0) + 1
        now = time.monotonic()
        self.since = self.since or now
        if ((self.nth is not None and n not in self.nth) or n > spec.get("first", n) or n < spec.get("after", 1)
                or n % spec.get("every", 1) or self.fired >= spec.get("times", self.fired + 1)
                or now - self.since > spec.get("for_s", now)
                or ("p" in spec and self.random.random() >= spec["p"])):
            return None
        self.fired += 1
        return self.random.choice(spec["any"]) if "any" in spec else spec


class Rules:
    def __init__(self):
        self.rules = []

    def add(self, specs):
        self.rules.extend([Rule(spec) for spec in ([specs] if isinstance(specs, dict) else specs)])

    def take(self, request):
        for rule in self.rules:
            found = rule.take(request)
            if found is not None:
                return None if found["action"] == "ok" else found
        return None

    def report(self):
        return [{"rule": r.spec, "matched": r.matches, "fired": r.fired} for r in self.rules]
