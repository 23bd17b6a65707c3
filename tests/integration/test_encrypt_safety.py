#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Keys leak nowhere (E05), what should be encrypted is never in the clear (E14), keys that do not fit are refused, and
a publish under encryption goes on where it was broken off.

    test_encrypt_safety.py GROUP...     groups: leaks refusals again
"""
import json
import os
import random
import secrets
import shutil
import signal
import subprocess
import sys

sys.dont_write_bytecode = True

from decrypt import fragments  # noqa: E402
from test_encrypt import (arguments, clear_title, encrypted, entry, key_of, keys_file, known, made,  # noqa: E402
                          need_aes, read, scratch, spellings, title, verified, run_groups)
from test_encrypt_memory import build, scan  # noqa: E402
from titles import BIN, FULL, SANITIZED, Skip, clip, tool, tree  # noqa: E402

DRM = [{"system": "widevine"}, {"system": "playready"}, {"system": "fairplay", "uri": "skd://{kid}"}]
URI = "https://keys.example.com/{n}"


def fresh(label="*"):
    """A key that nobody has seen."""
    return {"label": label, "kid": secrets.token_hex(16), "key": secrets.token_hex(16)}


# ---- leaks ----

def found(folder, entries, but=()):
    """[(file, which spelling)] of keys below a folder."""
    out = []
    for at, dirs, names in os.walk(folder):
        for name in names:
            path = os.path.join(at, name)
            data = read(path) + path.encode()
            out += [(path, s) for e in entries for s in spellings(key_of(e)) if path not in but and s in data]
    return out


def clean(where, entries, *texts, but=()):
    hits = found(where, entries, but)
    assert not hits, "a key in %s as %r" % hits[0]
    for text in texts:
        hit = [s for e in entries for s in spellings(key_of(e)) if s in text.encode("utf-8", "replace")]
        assert not hit, "a key in what the tool says: %r" % hit


def run(*args, stop=None, after=0.0, log="debug", temp=None):
    """(Exit status, all that is said). stop: a signal after some seconds."""
    env = dict(os.environ, VODPIPE_LOG=log, **({"TMPDIR": temp} if temp else {}))
    p = subprocess.Popen(["nice", BIN, *map(str, args)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                         stderr=subprocess.STDOUT, encoding="utf-8", errors="replace", env=env)
    try:
        text, _ = p.communicate(timeout=after if stop else 600)
    except subprocess.TimeoutExpired:
        p.send_signal(stop)
        text, _ = p.communicate(timeout=60)
    return p.returncode, text


def places(folder):
    """(Folder for all that the tool writes, folder for temporary files, folder of keys, which is not looked at)."""
    out = [os.path.join(folder, x) for x in ("written", "written/temp", "keys")]
    for path in out:
        os.makedirs(path)
    return out


def leaks(folder, scheme, *args):
    """Whole publish with logs and events; aes128 with key files."""
    at, temp, safe = places(folder)
    keys = [fresh("audio"), fresh()]
    path = keys_file(safe, keys, drm=DRM, uri=URI)
    files = os.path.join(at, "key-{kid}.bin")
    code, text = run(*arguments(folder, at + "/out", "--encrypt", scheme, "--keys", path, "--write-key-file", files,
                                "--progress", "json", *args), temp=temp)
    assert code == 0, text[-500:]
    assert "debug" in text or "info" in text, "nothing logged"
    names = [files.replace("{kid}", k["kid"]) for k in keys]
    if "ts" in args:
        names = names[1:] # the sound is under the picture's key
    for name, k in zip(names, keys[-len(names):]):
        assert read(name) == key_of(k) and os.stat(name).st_mode & 0o777 == 0o600, "%s, mode %o" % (
            name, os.stat(name).st_mode)
    clean(at, keys, text, but=names)
    found_at = [p for p, _ in found(at, keys)]
    assert sorted(found_at) == sorted(names), found_at
    print("   %d files, %d bytes of log without a key" % (len(tree(at)), len(text)))


def old_key_file(folder):
    """A file that was readable by others is not when there is a key in it."""
    path = os.path.join(folder, "key.bin")
    with open(path, "w", encoding="utf-8"):
        os.chmod(path, 0o644)
    out, _ = encrypted(folder, "aes128", [entry()], "--write-key-file", path, more={"uri": URI})
    assert read(path) == key_of(entry())
    mode = os.stat(path).st_mode & 0o777
    assert mode == 0o600, "mode %o of a key file that was there" % mode


def leaks_stopped(folder, scheme, how, *args):
    """Broken off at random, looked through each time, then ended."""
    at, temp, safe = places(folder)
    keys, rng = [fresh("audio"), fresh()], random.Random(scheme + str(how))
    path = keys_file(safe, keys, drm=DRM, uri=URI)
    words = arguments(folder, at + "/out", "--encrypt", scheme, "--keys", path, "--progress", "none", *args)
    stopped = 0
    for _ in range(20 if FULL else 3):
        code, text = run(*words, stop=how, after=rng.uniform(0.2, 0.9), temp=temp)
        assert code in (0, 3, -how), text[-400:]
        stopped += code != 0
        clean(at, keys, text)
        if code == 0:
            break
    code, text = run(*words, temp=temp)
    assert code == 0, text[-400:]
    clean(at, keys, text)
    left = [p for p in tree(at) if ".tmp" in p or p.startswith("temp/")]
    assert not left and not os.path.exists(at + "/out/.vodpipe"), "left: %s %s" % (left, sorted(tree(at + "/out"))[:3])
    print("   stopped %d times" % stopped)


def leaks_tasks(folder, scheme, *args):
    """Plan, tasks and finish: other keys and none, then the right ones (KEY_MISSING, KEY_INVALID)."""
    at, temp, safe = places(folder)
    keys, other = [fresh("audio"), fresh()], [fresh("audio"), fresh()]
    for a, b in zip(keys, other):
        b["kid"] = a["kid"]
    good_keys, bad_keys = (keys_file(safe, k, n, drm=DRM, uri=URI) for k, n in ((keys, "a.json"), (other, "b.json")))
    words = arguments(folder, at + "/out", "--encrypt", scheme, "--keys", good_keys, *args)
    words = ["plan"] + words[1:words.index("--jobs")] + words[words.index("--jobs") + 2:]
    code, text = run(*words, "--work", at + "/work", temp=temp)
    assert code == 0, text[-400:]
    said, reasons, refused = text, set(), []
    tasks = [t["task"] for t in json.loads(next(x for x in text.split("\n") if x.startswith("{")))["tasks"]]
    for task in tasks:
        for more, want in (([], "KEY_MISSING"), (["--keys", bad_keys], "KEY_INVALID")):
            if task.startswith("analyse"):
                continue
            code, text = run("run", "--work", at + "/work", "--task", task, *more, temp=temp)
            said += text
            assert code == 1 and want + ":" in text, "%s %s: exit %d: %s" % (task, more, code, text[-300:])
            refused.append(task)
        code, text = run("run", "--work", at + "/work", "--task", task, "--keys", good_keys, temp=temp)
        assert code == 0, text[-300:]
        said += text
        clean(at, keys + other, said)
    code, text = run("finish", "--work", at + "/work", "--keys", good_keys, temp=temp)
    assert code == 0, text[-300:]
    clean(at, keys + other, said + text)
    verified(at + "/out")
    print("   %d tasks, %d times refused" % (len(tasks), len(refused)))


def memory(folder):
    """No key in the memory of a host that let go of everything."""
    if SANITIZED:
        raise Skip("the maps of sanitizers are too large")
    program, keys = build(folder), [fresh("audio"), fresh()]
    path = keys_file(folder, keys, drm=DRM, uri=URI)
    patterns = [s for k in keys for s in sorted(spellings(key_of(k)))]
    json_of = '{"segment":2,"gop":1,"ladder":{"vodpipe":1,"rungs":[{"name":"72p","height":72,"kbps":80}]}%s}'
    total = 0
    jobs = ((1, "", 0), (2, "", 0), (3, "", 0), (3, ',"format":"ts"', 0), (2, "", 150))
    for n, (scheme, more, cancel) in enumerate(jobs):
        held, after, lines = scan(program, clip("crypt.mp4"), os.path.join(folder, "out%d" % n), path, scheme,
                                  json_of % more, patterns, cancel)
        # else the scan sees nothing
        assert held, "the keys are not in memory even while they are in use"
        assert not after, "scheme %d %s: %s" % (scheme, more, [x for x in lines if x.startswith("after")][:4])
        total += held
    print("   %d hits while keys were held, none after" % total)


# ---- nothing in the clear (E14) ----

def probes(scheme, count=150):
    """Clear bytes of samples that have to be under encryption: 16 where a protected range begins."""
    folder, out = scratch(), []
    made_title, _ = encrypted(folder, scheme, [entry()])
    clear = clear_title()
    for name, track in title(made_title).items():
        for data, plain in zip(track.segments, clear[name].segments):
            for f, g in zip(fragments(track.init, data), fragments(clear[name].init, plain)):
                for s, t in zip(f.samples, g.samples):
                    at = t.offset + (s.subsamples[0][0] if s.subsamples else 0)
                    if len(set(plain[at:at + 16])) > 8 and s.size > 64:
                        out.append(plain[at:at + 16])
    assert len(out) > count
    return random.Random(5).sample(out, count)


def in_clear(out, known_bytes):
    hits = []
    for path in tree(out):
        if path.startswith(".vodpipe/"):
            continue
        data = read(os.path.join(out, path))
        hits += [path for p in known_bytes if p in data]
    return hits


def broken_off(folder, scheme):
    """Killed anywhere: nothing in the clear; the end decrypts to the clear title."""
    need_aes()
    known_bytes, rng, keys = probes(scheme), random.Random(scheme), [entry()]
    clear, stopped = clear_title(), 0
    assert in_clear(os.path.join(os.path.dirname(clear["video/144p"].entries[0].path), "../../.."), known_bytes), \
        "the probes do not find what is clear"
    for n in range(6 if FULL else 1):
        out = os.path.join(folder, "out%d" % n)
        words = arguments(folder, out, "--encrypt", scheme, "--keys", keys_file(folder, keys), "--progress", "none")
        for _ in range(6):
            code, text = run(*words, stop=rng.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGINT]),
                             after=rng.uniform(0.2, 0.8), log="warn")
            hits = in_clear(out, known_bytes) if os.path.isdir(out) else []
            assert not hits, "in the clear: %s" % hits[:3]
            if code == 0:
                break
            stopped += 1
        code, text = run(*words, log="warn")
        assert code == 0, text[-400:]
        assert not in_clear(out, known_bytes) and not os.path.exists(out + "/.vodpipe")
        verified(out)
        for name, track in title(out).items():
            assert track.samples(known(keys)) == clear[name].samples({}), "%s: samples differ" % name
    print("   stopped %d times; %d places of the clear title are nowhere" % (stopped, len(known_bytes)))


def other_key_goes_on(folder):
    """What was broken off under one key is not gone on with under another."""
    need_aes()
    out, clear = os.path.join(folder, "out"), clear_title()
    first, second = [entry("*", "first")], [dict(entry("*", "first"), key=made("second").hex())]
    for keys, stop in ((first, signal.SIGKILL), (second, None)):
        words = arguments(folder, out, "--encrypt", "cenc", "--keys", keys_file(folder, keys), "--progress", "none")
        code, text = run(*words, stop=stop, after=0.7, log="warn")
        assert code in (0, -9), text[-400:]
    verified(out)
    for name, track in title(out).items():
        assert track.samples(known(second)) == clear[name].samples({}), "%s: samples differ" % name


# ---- again ----

def again(folder):
    need_aes()
    keys = [entry()]
    out, first = encrypted(folder, "cbcs", keys)
    before = tree(out)
    out, second = encrypted(folder, "cbcs", keys)
    assert "ALREADY_DONE" in second.err and tree(out) == before, "the same again: %s" % second.err
    versions = {json.loads(read(out + "/presentation.json"))["version"]}
    for change in ([dict(entry(), key=made("other").hex())], [entry("*", "other kid")]):
        out, r = encrypted(folder, "cbcs", change)
        assert "ALREADY_DONE" not in r.err, "another key, and nothing is done"
        versions.add(json.loads(read(out + "/presentation.json"))["version"])
        for name, t in title(out).items():
            assert t.samples(known(change)) == clear_title()[name].samples({}), name
    assert len(versions) == 3, "versions %s" % versions
    kept = [k for k, v in before.items() if "/" in k and tree(out).get(k) == v]
    assert len(kept) == sum("/" in k for k in before), "files of the old version are gone"


def new_ivs(folder):
    need_aes()
    seen = []
    for _ in range(2):
        out, _ = encrypted(folder, "cenc", [entry()])
        seen.append({s.iv for t in title(out).values() for d in t.segments for f in fragments(t.init, d)
                     for s in f.samples})
        shutil.rmtree(out)
    assert len(seen[0]) == len(seen[1]) > 1000 and not seen[0] & seen[1], "IVs come again"
    print("   %d IVs, none again" % len(seen[0]))


def twice_from_one_plan(folder, scheme, *args):
    """The same plan run by two: same bytes."""
    keys = keys_file(folder, [entry("audio"), entry()], uri=URI)
    words = arguments(folder, folder + "/a", "--encrypt", scheme, "--keys", keys, *args)
    words = ["plan"] + words[1:words.index("--jobs")] + words[words.index("--jobs") + 2:]
    r = tool(*words, "--work", folder + "/wa")
    assert r.code == 0, r.err
    tasks = [t["task"] for t in json.loads(r.out.strip().split("\n")[-1])["tasks"]]
    shutil.copytree(folder + "/wa", folder + "/wb")
    # The sound of transport streams is needed by the pictures' tasks.
    kinds = ("analyse", "audio", "video")
    orders = {"a": tasks, "b": [t for k in kinds for t in tasks[::-1] if t.startswith(k)]}
    for name, order in orders.items():
        at = ["--work", folder + "/w" + name, "--output", os.path.join(folder, name)]
        for task in order:
            r = tool("run", "--task", task, "--keys", keys, *at)
            assert r.code == 0, r.err
        r = tool("finish", "--keys", keys, *at)
        assert r.code == 0, r.err
    a, b = tree(folder + "/a"), tree(folder + "/b")
    differ = sorted(k for k in a.keys() | b.keys() if a.get(k) != b.get(k))
    assert a and not differ, "%d of %d files differ, %s" % (len(differ), len(a), differ[:4])
    print("   %d files the same" % len(a))


# ---- refusals ----

NEAR = "0f0e0d0c0b0a09080706050403020100"


def refused(folder, name, scheme, document, reason, *args, code=1, words=()):
    out, path = os.path.join(folder, "out"), os.path.join(folder, "keys.json")
    with open(path, "w", encoding="utf-8") as f:
        f.write(document if isinstance(document, str) else json.dumps(document))
    keys = ["--keys", path] if document else []
    r = tool(*arguments(folder, out, "--encrypt", scheme, *keys, *args))
    assert r.code == code and (code == 2 or r.reason == reason), "%s: exit %d, %s" % (name, r.code, r.err[-300:])
    left = tree(out) if os.path.isdir(out) else {}
    assert not left, "%s: left %s" % (name, sorted(left))
    said = (r.out + r.err).lower()
    assert NEAR[:30] not in said, "%s: the key is told: %s" % (name, r.err)
    for word in words:
        assert word in said, "%s: %r is not in %s" % (name, word, r.err[-300:])


def refusals(folder):
    one = {"label": "*", "kid": made("kid").hex(), "key": NEAR}

    def doc(**more):
        return dict({"keys": [one], "uri": "https://k.example.com/"}, **more)

    def item(**more):
        return doc(keys=[{k: v for k, v in dict(one, **more).items() if v is not None}])

    invalid, missing = "KEY_INVALID", "KEY_MISSING"
    cases = [
        ("no --keys", "cenc", None, missing, ()), ("no --keys", "aes128", None, missing, ()),
        ("iv with cenc", "cenc", item(iv=made("iv").hex()), invalid, ()),
        ("one key for seven periods", "cbcs", doc(), missing, ("--key-rotation", "1")),
        ("no uri", "aes128", {"keys": [one]}, invalid, ()),
        ("no kid", "cenc", item(kid=None), invalid, ()), ("no key", "cenc", item(key=None), invalid, ()),
        ("key of 31 digits", "cenc", item(key=NEAR[:31]), invalid, ()),
        ("key of 33 digits", "cenc", item(key=NEAR + "a"), invalid, ()),
        ("key in text", "cenc", item(key=NEAR[:30] + "zz"), invalid, ()),
        ("key with 0x", "aes128", item(key="0x" + NEAR), invalid, ()),
        ("key in base64", "cenc", item(key="Dw4NDAsKCQgHBgUEAwIBAA=="), invalid, ()),
        ("key is a number", "cenc", item(key=17), invalid, ()),
        ("kid of 30 digits", "cenc", item(kid="0" * 30), invalid, ()),
        ("short iv", "cbcs", item(iv="00"), invalid, ()),
        ("unknown field", "cenc", doc(more=1), invalid, ()),
        ("unknown field of a key", "cenc", item(more=1), invalid, ()),
        ("unknown label", "cenc", item(label="4k"), invalid, ()), ("no keys", "cenc", doc(keys=[]), None, ()),
        ("only audio", "cenc", item(label="audio"), missing, ()),
        ("quote in uri", "aes128", doc(uri='https://k/"x'), invalid, ()),
        ("newline in uri", "aes128", doc(uri="https://k/\nx"), invalid, ()),
        ("CR in uri", "aes128", doc(uri="https://k/\r"), invalid, ()),
        ("not ASCII in uri", "aes128", doc(uri="https://k/\u00e9"), invalid, ()),
        ("quote in skd", "cbcs", doc(drm=[{"system": "fairplay", "uri": 'skd://"'}]), invalid, ()),
        ("unknown system", "cenc", doc(drm=[{"system": "acme"}]), invalid, ()),
        ("pssh that is none", "cenc", doc(drm=[{"system": "widevine", "pssh": "AAAA"}]), invalid, ()),
        ("pssh not base64", "cenc", doc(drm=[{"system": "widevine", "pssh": "!"}]), invalid, ()),
        ("unknown field of drm", "cenc", doc(drm=[{"system": "widevine", "x": 1}]), invalid, ()),
        ("not JSON", "cenc", '{"keys":[{"key":"' + NEAR + '"', invalid, ()), ("a list", "cenc", "[]", invalid, ()),
    ]
    for n, (name, scheme, document, reason, args) in enumerate(cases):
        at = os.path.join(folder, str(n))
        os.mkdir(at)
        refused(at, name, scheme, document, reason or missing, *args)
    for n, (scheme, args) in enumerate((("cenc", ("--format", "ts")), ("cenc", ("--format", "both")),
                                        ("rot13", ()), ("cbcs", ("--key-rotation", "-1")),
                                        ("cbcs", ("--clear-lead", "x")))):
        at = os.path.join(folder, "usage%d" % n)
        os.mkdir(at)
        refused(at, scheme + " " + " ".join(args), scheme, doc(), None, *args, code=2)
    at = os.path.join(folder, "names")
    os.mkdir(at)
    r = tool(*arguments(at, at + "/out", "--encrypt", "cenc", "--keys", at + "/none.json"))
    assert r.code == 1 and r.reason == "IO_ERROR", r.err
    print("   %d refusals" % (len(cases) + 6))


def refusals_others(folder):
    """The other commands refuse in the same way."""
    bad = keys_file(folder, [dict(entry(), iv=made("iv").hex())])
    for words in (["package", clip("crypt.mp4"), folder + "/out"],
                  ["plan", clip("crypt.mp4"), folder + "/out", "--work", folder + "/work"]):
        for more, want in ((["--encrypt", "cenc"], "KEY_MISSING"),
                           (["--encrypt", "cenc", "--keys", bad], "KEY_INVALID")):
            r = tool(*words, *more)
            assert r.code == 1 and r.reason == want, "%s: exit %d, %s" % (words[0], r.code, r.err[-300:])
            left = [p for x in ("/out", "/work") if os.path.isdir(folder + x) for p in tree(folder + x)]
            assert not left, "%s: left %s" % (words[0], left)
        r = tool(*words, "--encrypt", "cenc", "--format", "ts", "--keys", bad)
        assert r.code == 2, "%s: exit %d" % (words[0], r.code)


# ---- groups ----

def leaks_group(cases):
    cases.run("leaks cenc", leaks, "cenc")
    cases.run("leaks cbcs both", leaks, "cbcs", "--format", "both")
    cases.run("leaks aes128 ts", leaks, "aes128", "--format", "ts")
    cases.run("leaks killed cbcs", leaks_stopped, "cbcs", signal.SIGKILL)
    cases.run("leaks killed aes128", leaks_stopped, "aes128", signal.SIGKILL, "--format", "both")
    cases.run("leaks suspended cenc", leaks_stopped, "cenc", signal.SIGINT, "--single-file")
    cases.run("leaks tasks cenc", leaks_tasks, "cenc")
    cases.run("leaks tasks aes128", leaks_tasks, "aes128")
    cases.run("key file that was there", old_key_file)
    cases.run("memory", memory)


def refusals_group(cases):
    cases.run("refusals", refusals)
    cases.run("refusals of package and plan", refusals_others)


def again_group(cases):
    cases.run("broken off cenc", broken_off, "cenc")
    cases.run("broken off cbcs", broken_off, "cbcs")
    cases.run("goes on under another key", other_key_goes_on)
    cases.run("again", again)
    cases.run("new IVs", new_ivs)
    for scheme, args in (("cenc", ()), ("cbcs", ("--format", "both")), ("aes128", ("--format", "ts"))):
        cases.run("one plan twice " + scheme, twice_from_one_plan, scheme, *args)


GROUPS = {"leaks": leaks_group, "refusals": refusals_group, "again": again_group}


if __name__ == "__main__":
    sys.exit(run_groups(GROUPS))
