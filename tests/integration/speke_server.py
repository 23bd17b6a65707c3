#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""speke_server.py DIR: a key server of SPEKE 2.0 over http and https on free ports of the loopback, until stdin ends.

Makes DIR/ca.pem, and DIR/recipient.pem with DIR/recipient.key for encrypted answers; prints the two ports. Each request
is checked as "SPEKE API v2 - Standard payload components" and "- Encryption contract" ask for it, and leaves a line of
JSON in DIR/requests: path, content, kid, scheme, type, period, wrong. The key of a KID is SHA-256("speke" + its text),
the first 16 bytes. Keys are encrypted where the request has DeliveryDataList. The first part of the path:

    keys       answers                              flaky/N    500 for the first N requests of a KID
    status/N   that status                          slow/MS    waits before
    none       ContentKey without a key             plain      never encrypts
    override   another KID in place of the asked    other      keys of another label
    garbage    200 with what is no XML              auth       401 without "Authorization: Bearer token"
    iv         with an explicitIV
"""
import base64
import hashlib
import hmac
import http.server
import json
import os
import pathlib
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import uuid
import xml.etree.ElementTree as ET

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "unit" / "http"))
import server as plain_server  # noqa: E402

CPIX, PSKC = "urn:dashif:org:cpix", "urn:ietf:params:xml:ns:keyprov:pskc"
ENC, DS = "http://www.w3.org/2001/04/xmlenc#", "http://www.w3.org/2000/09/xmldsig#"
ORDER = ["DeliveryDataList", "ContentKeyList", "DRMSystemList", "ContentKeyPeriodList", "ContentKeyUsageRuleList"]
WIDEVINE, PLAYREADY = "edef8ba9-79d6-4ace-a3c8-27dcd51d21ed", "9a04f079-9840-4286-ab92-e65be0885f95"
FAIRPLAY, BY_ADDRESS = "94ce86fb-07ff-4f43-adb8-93d2fa968ca2", "81376844-f976-481e-a84e-cc25d39b0b33"
for prefix, space in (("cpix", CPIX), ("pskc", PSKC), ("enc", ENC), ("ds", DS)):
    ET.register_namespace(prefix, space)


def c(name):
    return "{%s}%s" % (CPIX, name)


def key_of(kid):
    return hashlib.sha256(b"speke" + kid.encode()).digest()[:16]


def is_uuid(text):
    try:
        return str(uuid.UUID(text)) == text
    except (ValueError, TypeError, AttributeError):
        return False


# ---- the request ----

def check_system(system, kid, wrong):
    names = [child.tag for child in system]
    lines = [child.get("playlist") for child in system if child.tag == c("HLSSignalingData")]
    if system.get("kid") != kid or not is_uuid(system.get("systemId")):
        wrong.append("DRMSystem")
    if not names or [n for n in names if n not in (c("PSSH"), c("ContentProtectionData"), c("HLSSignalingData"))]:
        wrong.append("elements of DRMSystem")
    if lines and sorted(lines) != ["master", "media"]:
        wrong.append("HLSSignalingData")
    if system.get("systemId") in (FAIRPLAY, BY_ADDRESS) and (c("PSSH") in names or not lines):
        wrong.append("FairPlay with PSSH, or without HLSSignalingData")


def check_rule(rule, kid, periods, wrong):
    filters = [child for child in rule if child.tag in (c("VideoFilter"), c("AudioFilter"))]
    wanted = [child.get("periodId") for child in rule if child.tag == c("KeyPeriodFilter")]
    kind = rule.get("intendedTrackType")
    if rule.get("kid") != kid or not kind or len(filters) != len(kind.split("+")):
        wrong.append("ContentKeyUsageRule")
    elif (filters[0].tag == c("AudioFilter")) != (kind == "AUDIO"):
        wrong.append("filter of " + kind)
    if wanted != list(periods):
        wrong.append("KeyPeriodFilter")


def check(root, headers):
    """What is asked for, and what is wrong with it."""
    wrong = []
    if headers.get("X-Speke-Version") != "2.0":
        wrong.append("Unsupported SPEKE version")
    if headers.get("Content-Type") != "application/xml":
        wrong.append("Content-Type")
    if root.tag != c("CPIX") or root.get("version") != "2.3" or not root.get("contentId") or root.get("id"):
        wrong.append("CPIX")
    lists = [child.tag.split("}")[1] for child in root]
    if lists != [name for name in ORDER if name in lists] or not set(lists) >= {ORDER[1], ORDER[2], ORDER[4]}:
        wrong.append("lists")
    keys = root.findall("./%s/%s" % (c("ContentKeyList"), c("ContentKey")))
    kid = keys[0].get("kid") if len(keys) == 1 else None
    if not is_uuid(kid) or len(keys[0]) or keys[0].get("commonEncryptionScheme") not in ("cenc", "cbcs"):
        wrong.append("ContentKey")
    systems = root.findall("./%s/%s" % (c("DRMSystemList"), c("DRMSystem")))
    for system in systems:
        check_system(system, kid, wrong)
    if not systems or len({s.get("systemId") for s in systems}) != len(systems):
        wrong.append("DRMSystemList")
    periods = {p.get("id"): p.get("index")
               for p in root.findall("./%s/%s" % (c("ContentKeyPeriodList"), c("ContentKeyPeriod")))}
    rules = root.findall("./%s/%s" % (c("ContentKeyUsageRuleList"), c("ContentKeyUsageRule")))
    if len(rules) != 1 or len(periods) > 1 or [i for i in periods.values() if not (i or "").isdigit()]:
        wrong.append("ContentKeyUsageRuleList or ContentKeyPeriodList")
    for rule in rules:
        check_rule(rule, kid, periods, wrong)
    return {"content": root.get("contentId"), "kid": kid, "wrong": wrong,
            "scheme": keys[0].get("commonEncryptionScheme") if keys else None,
            "type": rules[0].get("intendedTrackType") if rules else None,
            "period": int(list(periods.values())[0]) if periods else 0,
            "systems": [s.get("systemId") for s in systems]}


# ---- the answer ----

def b64(data):
    return base64.b64encode(data).decode()


def openssl(data, *args):
    return subprocess.run(["openssl", *args], input=data, stdout=subprocess.PIPE, check=True).stdout


def value(parent, space, name, data, algorithm):
    at = ET.SubElement(parent, "{%s}%s" % (space, name))
    ET.SubElement(at, "{%s}EncryptionMethod" % ENC, Algorithm=algorithm)
    ET.SubElement(ET.SubElement(at, "{%s}CipherData" % ENC), "{%s}CipherValue" % ENC).text = b64(data)


def encrypt(root, keys):
    """Document key and MAC key to the certificate of the request, content keys under them (CPIX "Key Encryption")."""
    delivery = root.find("./%s/%s" % (c("DeliveryDataList"), c("DeliveryData")))
    der = base64.b64decode(delivery.find(".//{%s}X509Certificate" % DS).text)
    document, mac = os.urandom(32), os.urandom(64)
    oaep = "http://www.w3.org/2001/04/xmlenc#rsa-oaep-mgf1p"
    with tempfile.TemporaryDirectory() as d:
        pem = openssl(der, "x509", "-inform", "DER", "-outform", "PEM")
        pathlib.Path(d, "to.pem").write_bytes(pem)
        wrapped = [openssl(k, "pkeyutl", "-encrypt", "-certin", "-inkey", d + "/to.pem", "-pkeyopt",
                           "rsa_padding_mode:oaep") for k in (document, mac)]
    secret = ET.SubElement(ET.SubElement(ET.SubElement(delivery, c("DocumentKey"), Algorithm=ENC + "aes256-cbc"),
                                         c("Data")), "{%s}Secret" % PSKC)
    value(secret, PSKC, "EncryptedValue", wrapped[0], oaep)
    value(ET.SubElement(delivery, c("MACMethod"), Algorithm="http://www.w3.org/2001/04/xmldsig-more#hmac-sha512"),
          CPIX, "Key", wrapped[1], oaep)
    for node, key in keys:
        iv = os.urandom(16)
        data = iv + openssl(key, "enc", "-aes-256-cbc", "-K", document.hex(), "-iv", iv.hex())
        secret = ET.SubElement(ET.SubElement(node, c("Data")), "{%s}Secret" % PSKC)
        value(secret, PSKC, "EncryptedValue", data, ENC + "aes256-cbc")
        ET.SubElement(secret, "{%s}ValueMAC" % PSKC).text = b64(hmac.new(mac, data, "sha512").digest())


def fill_system(system):
    kid, name = system.get("kid"), system.get("systemId")
    data = b"\x12\x10" + uuid.UUID(kid).bytes
    box = b"pssh" + bytes(4) + uuid.UUID(name).bytes + len(data).to_bytes(4, "big") + data
    address = "https://keys.example/" + kid if name == BY_ADDRESS else "skd://" + kid
    method = "AES-128" if name == BY_ADDRESS else "SAMPLE-AES"
    for child in system:
        if child.tag == c("PSSH"):
            child.text = b64((len(box) + 4).to_bytes(4, "big") + box)
        elif child.tag == c("ContentProtectionData"):
            child.text = b64(b"<dashif:laurl>https://licence.example/%s</dashif:laurl>" % name[:4].encode())
        else:
            tag = "EXT-X-KEY" if child.get("playlist") == "media" else "EXT-X-SESSION-KEY"
            child.text = b64(('#%s:METHOD=%s,URI="%s"' % (tag, method, address)).encode())


def answer(root, mode, asked):
    if mode == "override":
        other = str(uuid.uuid5(uuid.NAMESPACE_URL, asked["kid"]))
        for node in root.iter():
            if node.get("kid"):
                node.set("kid", other)
    if mode == "other":
        for rule in root.iter(c("ContentKeyUsageRule")):
            rule.set("intendedTrackType", "AUDIO")
            for child in list(rule):
                if child.tag == c("VideoFilter"):
                    child.tag = c("AudioFilter")
                    child.attrib.clear()
        for node in root.iter():
            if node.get("kid"):
                node.set("kid", str(uuid.UUID(int=7)))
    if mode == "plain":
        for lists in root.findall(c("DeliveryDataList")):
            root.remove(lists)
    keys = [(node, key_of(node.get("kid"))) for node in root.iter(c("ContentKey"))]
    if mode == "iv":
        for node, _ in keys:
            node.set("explicitIV", b64(bytes(range(16))))
    if root.find(c("DeliveryDataList")) is not None:
        encrypt(root, keys)
    elif mode != "none":
        for node, key in keys:
            secret = ET.SubElement(ET.SubElement(node, c("Data")), "{%s}Secret" % PSKC)
            ET.SubElement(secret, "{%s}PlainValue" % PSKC).text = b64(key)
    for system in root.iter(c("DRMSystem")):
        fill_system(system)
    return ET.tostring(root, encoding="utf-8", xml_declaration=True)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    folder, lock, seen = None, threading.Lock(), {}

    def log_message(self, *args):
        pass

    def send(self, status, body):
        self.send_response(status)
        self.send_header("Content-Type", "application/xml")
        self.send_header("X-Speke-Version", "2.0")
        self.send_header("X-Speke-User-Agent", "test")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def answer(self):
        mode, number = (self.path.split("?")[0].split("/")[1:] + [None])[:2]
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        root = ET.fromstring(body)
        asked = check(root, self.headers)
        with self.lock:
            with open(self.folder + "/requests", "a", encoding="utf-8") as f:
                f.write(json.dumps(dict(asked, path=self.path)) + "\n")
            before = self.seen.get((self.path, asked["kid"]), 0)
            self.seen[(self.path, asked["kid"])] = before + 1
        if asked["wrong"]:
            return self.send(422, ", ".join(asked["wrong"]).encode())
        if mode == "status":
            return self.send(int(number), b"refused")
        if mode == "flaky" and before < int(number):
            return self.send(500, b"later")
        if mode == "auth" and self.headers.get("Authorization") != "Bearer token":
            return self.send(401, b"who are you")
        if mode == "slow":
            time.sleep(int(number) / 1000)
        return self.send(200, b"no document" if mode == "garbage" else answer(root, mode, asked))

    def do_POST(self):
        try:
            self.answer()
        except OSError:
            self.close_connection = True


def serve(tls):
    server = plain_server.Server(("127.0.0.1", 0), Handler)
    if tls:
        server.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server.tls.load_cert_chain(Handler.folder + "/server.pem")
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_address[1]


def main():
    Handler.folder = sys.argv[1]
    plain_server.certificates(Handler.folder)
    plain_server.openssl("req", "-x509", "-newkey", "rsa:2048", "-days", "2", "-subj", "/CN=vodpipe", "-passout",
                         "pass:word", "-keyout", Handler.folder + "/recipient.key", "-out",
                         Handler.folder + "/recipient.pem")
    print(serve(False), serve(True), flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
