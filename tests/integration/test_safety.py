#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Input that means harm: which files the tool opens (seen by strace), names, bombs, tracks that appear late.

    test_safety.py GROUP...     groups: opens names bombs late
"""
import os
import re
import resource
import struct
import subprocess
import sys
import time

sys.dont_write_bytecode = True

from clips import AAC, FF, X264, clip as define, lavfi, make, run as make_clip, test_video  # noqa: E402
from titles import BIN, BUILD, CLIPS, FAST, Cases, Skip, Sound, audios, check, clip, good, joined, tool, tree  # noqa: E402

SANITIZED = b"__asan_init" in open(BIN, "rb").read()


def equal(got, want, what="value"):
    assert got == want, "%s is %r, not %r" % (what, got, want)


# ---- boxes ----

def box(kind, *parts):
    data = b"".join(parts)
    return struct.pack(">I4s", len(data) + 8, kind) + data


def boxes(data):
    """[(type, body)] of one level."""
    out, at = [], 0
    while at + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        head = 8
        if size == 1:
            size, head = struct.unpack_from(">Q", data, at + 8)[0], 16
        assert size >= head and at + size <= len(data), kind
        out.append((kind, data[at + head:at + size]))
        at += size
    return out


def change(data, path, fn):
    """The boxes with the body of those at path (a list of types) replaced by fn(body); b"" of fn leaves them out."""
    out = b""
    for kind, body in boxes(data):
        if kind == path[0]:
            body = change(body, path[1:], fn) if path[1:] else fn(body)
        out += box(kind, body)
    return out


def base():
    with open(clip("base.mp4"), "rb") as f:
        data = f.read()
    assert data.rfind(b"moov") > data.rfind(b"mdat"), "moov at the end: nothing moves when it grows"
    return data


def write(path, data):
    with open(path, "wb") as f:
        f.write(data)


@define("late_pid8.ts", "the audio PID appears after 8 s of video (I42)")
def _(to, dep):
    # The head has no audio in its PMT; the second half brings it, at the times that follow.
    folder = os.path.dirname(to)
    head, tail = os.path.join(folder, "head.ts"), os.path.join(folder, "tail.ts")
    key = X264 + ["-g", "30", "-bf", "0"]
    muxer = ["-muxdelay", "0", "-muxpreload", "0", "-mpegts_copyts", "1", "-mpegts_start_pid", "0x100"]
    make_clip(lavfi(test_video("128x72", "30", "8")) + key + muxer, head)
    make_clip(lavfi(test_video("128x72", "30", "4"), "sine=1000:d=4:r=48000") + key + AAC + ["-output_ts_offset", "8"]
              + muxer, tail)
    with open(to, "wb") as f:
        for part in (head, tail):
            with open(part, "rb") as g:
                f.write(g.read())


# ---- opens ----

ALLOWED = re.compile(r"(/usr)?/lib(64|/|32)|/etc/ld\.so|/usr/local/lib|/etc/(localtime|locale)|/usr/share/(locale|zoneinfo)|"
                     r"/proc/(self|\d+|cpuinfo|meminfo|stat|sys/|filesystems)|/sys/(devices/system|fs/cgroup|kernel/mm)|"
                     r"/dev/(null|urandom|random|shm/)")
OPEN = re.compile(r"(?:openat2?|open|creat)\((.*)\) += (\d+)<(.*)>$")
CHANGE = re.compile(r"(rename\w*|unlink\w*|mkdir\w*|rmdir|symlink\w*|link\w*|mknod\w*|truncate|chmod|chown\w*)\((.*)\) += 0$")


def temporary(folder):
    """Where the tool may write beside the output."""
    return folder + ".temporary"


def traced(folder, *args):
    """Runs the tool under strace: its Result of (code, stderr) and the lines of the trace, threads joined."""
    log, temp = os.path.join(folder, "trace"), temporary(folder)
    os.makedirs(temp, exist_ok=True)
    try:
        run = subprocess.run(["strace", "-f", "-y", "-qq", "-s", "4096", "-e", "trace=%file,%network,%process", "-o", log,
                              BIN] + list(args), stdin=subprocess.DEVNULL, capture_output=True, encoding="utf-8",
                             errors="replace", timeout=300,
                             env=dict(os.environ, ASAN_OPTIONS="detect_leaks=0", TMPDIR=temp))
    except FileNotFoundError:
        raise Skip("no strace") from None
    if "ptrace" in run.stderr and "Operation not permitted" in run.stderr:
        raise Skip("no process may be traced here")
    lines, open_calls = [], {}
    with open(log, encoding="utf-8", errors="replace") as f:
        for line in f:
            pid, _, text = line.rstrip("\n").partition(" ")
            text = text.strip()
            if text.endswith("<unfinished ...>"):
                open_calls[pid] = text[:-len("<unfinished ...>")].rstrip()
                continue
            m = re.match(r"<\.\.\. \w+ resumed>(.*)", text)
            lines.append(open_calls.pop(pid, "") + m.group(1).lstrip() if m else text)
    os.unlink(log)
    os.rmdir(temp) # nothing is left in it
    assert len(lines) > 20, "strace saw nothing: %s" % run.stderr[-300:]
    return run, lines


def inside(path, folder):
    return path == folder or path.startswith(folder + "/")


def judge(lines, read, written):
    """Every file that was opened is among those to read, or below those to write to; nothing else happens."""
    executed, seen = 0, set()
    for line in lines:
        if re.match(r"(socket|connect|bind|listen|accept|sendto|sendmsg|socketpair)\w*\(", line):
            raise AssertionError("a socket: " + line[:300])
        if re.match(r"(execve\w*|fork|vfork)\(", line):
            executed += 1
            assert executed == 1, "another program: " + line[:300]
        m = OPEN.match(line)
        if m:
            path, writes = os.path.normpath(m.group(3)), re.search(r"O_(WRONLY|RDWR|CREAT|TRUNC)|^creat", m.group(1))
            library = ALLOWED.match(path) or inside(path, os.path.join(os.path.realpath(BUILD), "lib"))
            if any(inside(path, w) for w in written) or (not writes and (path in read or library)):
                seen.add(path)
                continue
            parents = not writes and "O_DIRECTORY" in m.group(1) + line and any(inside(w, path) for w in written)
            assert parents or path == "/dev/null", "opens %s: %s" % (path, line[:300])
        m = CHANGE.match(line)
        if m and written:
            for at, name in re.findall(r'(?:(AT_FDCWD|\d+)<([^>]*)>, )?"((?:[^"\\]|\\.)*)"', m.group(2)) and [
                    (a or b, c) for _, a, c in re.findall(r'(?:(AT_FDCWD|\d+)<([^>]*)>, )?"((?:[^"\\]|\\.)*)"',
                                                         m.group(2)) for b in [os.getcwd()]]:
                path = os.path.normpath(os.path.join(at, name))
                # The folders above may be made (mkdir -p), nothing else.
                above = m.group(1).startswith("mkdir") and any(inside(w, path) for w in written)
                assert above or any(inside(path, w) for w in written), "changes %s: %s" % (path, line[:300])
        elif m:
            raise AssertionError("changes files: " + line[:300])
    return seen


def opens_of_publish(folder, name):
    """A good file: read alone; all that is written lies in the output."""
    src, out = clip(name), os.path.join(folder, "a", "out")
    run, lines = traced(folder, "probe", "--full", "--json", src)
    equal(run.returncode, 0, run.stderr)
    assert src in judge(lines, {src}, [])
    run, lines = traced(folder, "publish", src, out, "--progress", "none", "--format", "both", *FAST)
    equal(run.returncode, 0, run.stderr)
    seen = judge(lines, {src}, [out, temporary(folder)])
    assert src in seen and any(p.endswith(".m4s") or ".m4s" in p for p in seen), sorted(seen)[:20]
    run, lines = traced(folder, "verify", "--decode", out)
    equal(run.returncode, 0, run.stderr)
    judge(lines, {os.path.join(out, p) for p in tree(out)} | {out}, [out])
    out = os.path.join(folder, "b")
    run, lines = traced(folder, "package", src, out, "--progress", "none")
    if name != "base.webm":
        equal(run.returncode, 0, run.stderr)
    judge(lines, {src}, [out])


def opens_of_disguise(folder, name):
    """A file that names others, which lie there and could be read: none is touched, and nothing is written."""
    src, out = clip(name), os.path.join(folder, "out")
    for args in (["probe", "--full", src], ["probe", src], ["publish", src, out], ["package", src, out]):
        run, lines = traced(folder, *args)
        equal(run.returncode, 1, "exit status of %s" % args)
        judge(lines, {src}, [] if args[0] == "probe" else [out]) # the lease comes and goes
        equal(os.listdir(folder), [], "what %s leaves" % args[0])


def alias(path):
    """A dref entry of QuickTime that names a file elsewhere, absolute and relative."""
    name = os.path.basename(path).encode()
    body = struct.pack(">I", 0) + b"\0" * 10 + bytes([4]) + b"disk".ljust(27, b"\0") + b"\0" * 12
    body += bytes([len(name)]) + name.ljust(63, b"\0") + b"\0" * 16 + struct.pack(">HH", 1, 1) + b"\0" * 16
    for kind, text in ((2, b"disk:" + path.encode().replace(b"/", b":")), (18, path.encode())):
        text += b"\0" * (len(text) % 2)
        body += struct.pack(">hH", kind, len(text)) + text
    return box(b"alis", body + struct.pack(">hH", -1, 0))


def opens_of_reference(folder):
    """An MP4 whose samples are said to lie in another file (I39): that file is never opened."""
    other = os.path.join(folder, "secret.mp4")
    write(other, base())
    src, out = os.path.join(folder, "in.mov"), os.path.join(folder, "out")
    for entry in (alias(other), box(b"url ", b"\0\0\0\0", b"file://" + other.encode() + b"\0"),
                  box(b"url ", b"\0\0\0\0", b"http://127.0.0.1:9/x.mp4\0")):
        write(src, change(base(), [b"moov", b"trak", b"mdia", b"minf", b"dinf", b"dref"],
                          lambda body: struct.pack(">II", 0, 1) + entry))
        for args in (["probe", "--full", src], ["publish", src, out, "--progress", "none", *FAST], ["package", src, out]):
            run, lines = traced(folder, *args)
            assert run.returncode in (0, 1), run.stderr
            judge(lines, {src}, [out, temporary(folder)] if args[0] == "publish" else [out] if args[0] == "package" else [])


def opens_of_names(folder):
    """Names that look like addresses, patterns and options (I40), as input and as output, also of `package`."""
    plain = os.path.join(folder, "plain")
    good("package", clip("base.mp4"), plain)
    os.chdir(folder)
    for name in ("a:b.mp4", "x%03d.mp4", "-x", "http:", "concat:a|b", "data:,x", "new\nline.mp4", "\udcff\udcfe.mp4"):
        write(os.path.join(folder, name), base())
        out = os.path.join(folder, "out-" + name)
        run, lines = traced(folder, "package", "--progress", "none", "--", name, out)
        equal(run.returncode, 0, "%r: %s" % (name, run.stderr))
        if name.isprintable():
            judge(lines, {os.path.join(folder, name)}, [out])
        equal(tree(out), tree(plain), "title from %r" % name)
        run, _ = traced(folder, "package", "--progress", "none", "--", clip("base.mp4"), name + "-out")
        equal(run.returncode, 0, "%r: %s" % (name, run.stderr))
        equal(tree(os.path.join(folder, name + "-out")), tree(plain), "title in %r" % name)
    os.chdir("/")


# ---- bombs ----

def bounded(*args, seconds=10, megabytes=700):
    """Runs the tool with little memory and time: (exit status, reason or last line)."""
    def limit():
        if not SANITIZED: # it maps terabytes
            resource.setrlimit(resource.RLIMIT_AS, (megabytes << 20, megabytes << 20))
    started = time.monotonic()
    run = subprocess.run([BIN] + list(args), stdin=subprocess.DEVNULL, capture_output=True, encoding="utf-8",
                         errors="replace", timeout=seconds * 12, preexec_fn=limit)
    took = time.monotonic() - started
    assert run.returncode in (0, 1), "%s exits %d: %s" % (args, run.returncode, run.stderr[-1500:])
    assert took < seconds * (8 if SANITIZED else 3), "%s takes %.1f s" % (args, took)
    last = run.stderr.strip().split("\n")[-1]
    m = re.match(r"vodpipe: \w+: ([A-Z][A-Z0-9_]+): ", last)
    return run.returncode, m.group(1) if m else last


def refused(folder, path, *reasons):
    for args in (["probe", path], ["probe", "--full", path], ["publish", path, os.path.join(folder, "out"), *FAST],
                 ["package", path, os.path.join(folder, "out")]):
        code, reason = bounded(*args)
        equal(code, 1, "exit status of %s of %s" % (args[0], path))
        if args[0] != "package":
            assert reason in reasons, "%s of %s: %s, not %s" % (args[0], path, reason, " or ".join(reasons))
        else:
            assert reason not in ("INTERNAL", "STATE", "ARG"), reason
        assert not os.path.exists(os.path.join(folder, "out")), "%s leaves an output" % args[0]


def bomb_dimensions(folder):
    refused(folder, clip("bomb.gif"), "INPUT_LIMIT")
    path = os.path.join(folder, "large.mp4")

    def large(body):
        at = body.index(b"avc1") + 4 + 24
        return body[:at] + struct.pack(">HH", 65535, 65535) + body[at + 4:]
    write(path, change(base(), [b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd"],
                       lambda b: large(b) if b"avc1" in b else b))
    code, reason = bounded("probe", "--full", path)
    # The sample entry lies, the parameter sets of 128x72 are what is decoded: both answers are safe.
    assert code == 0 or reason == "INPUT_LIMIT", reason


def bomb_tracks(folder):
    path = os.path.join(folder, "tracks.mp4")

    def many(body):
        parts = boxes(body)
        trak = [b for k, b in parts if k == b"trak"][0]
        return b"".join(box(k, b) for k, b in parts) + box(b"trak", trak) * 2000
    write(path, change(base(), [b"moov"], many))
    refused(folder, path, "INPUT_LIMIT")


def bomb_nesting(folder):
    for depth, kinds in ((20000, [b"moov", b"trak", b"mdia", b"minf"]), (20000, [b"moof", b"traf"]),
                         (20000, [b"moov", b"udta", b"meta"])):
        inner = b""
        sizes = [8 * (depth - n) for n in range(depth)]
        for n in range(depth):
            inner += struct.pack(">I4s", sizes[n], kinds[n % len(kinds)])
        path = os.path.join(folder, "deep-%s.mp4" % kinds[-1].decode())
        write(path, box(b"ftyp", b"isom\0\0\2\0isom") + inner)
        refused(folder, path, "INPUT_NO_MOOV", "INPUT_CORRUPT", "INPUT_NO_VIDEO_OR_AUDIO", "INPUT_LIMIT",
                "INPUT_UNRECOGNISED", "INPUT_TRUNCATED")


def bomb_matroska(folder):
    head = bytes.fromhex("1a45dfa3") + b"\x9f" + bytes.fromhex("428681014 2f7810142f2810442f381084282886d6174726f736b61"
                                                               .replace(" ", "")) + bytes.fromhex("42878104") + bytes.fromhex(
                                                                   "42858102")
    head = bytes.fromhex("1a45dfa3") + bytes([0x80 | (len(head) - 5)]) + head[5:]
    huge, unknown = b"\x01\xff\xff\xff\xff\xff\xff\xfe", b"\x01" + b"\xff" * 7
    tracks = bytes.fromhex("1654ae6b")
    for n, (name, body) in enumerate((
            ("segment of 2^56-2 bytes", b"\x18\x53\x80\x67" + huge),
            ("tracks of 2^56-2 bytes", b"\x18\x53\x80\x67" + unknown + tracks + huge),
            ("codec private of 2^56-2 bytes", b"\x18\x53\x80\x67" + unknown + tracks + unknown + b"\xae" + unknown
             + b"\x63\xa2" + huge),
            ("codec private of 1 GB", b"\x18\x53\x80\x67" + unknown + tracks + unknown + b"\xae" + unknown
             + b"\x63\xa2" + b"\x08\x40\0\0\0"[:1] + b"\x40\0\0\0"),
            ("a name of 2 GB", b"\x18\x53\x80\x67" + unknown + b"\x15\x49\xa9\x66" + unknown + b"\x7b\xa9\x08\x7f\xff\xff\xf0"),
            ("segments in segments", (b"\x18\x53\x80\x67" + unknown) * 20000),
            ("clusters in clusters", b"\x18\x53\x80\x67" + unknown + (b"\x1f\x43\xb6\x75" + unknown) * 20000),
            ("tags in tags", b"\x18\x53\x80\x67" + unknown + b"\x12\x54\xc3\x67" + unknown + b"\x73\x73" + unknown
             + (b"\x67\xc8" + unknown) * 20000))):
        path = os.path.join(folder, "ebml%d.mkv" % n)
        write(path, head + body + b"\0" * 2000)
        try:
            refused(folder, path, "INPUT_CORRUPT", "INPUT_TRUNCATED", "INPUT_NO_VIDEO_OR_AUDIO", "INPUT_LIMIT",
                    "INPUT_UNRECOGNISED")
        except AssertionError as error:
            raise AssertionError("%s: %s" % (name, error)) from None


def bomb_tables(folder):
    """Tables that declare 2^32-1 entries, and say they are of that size."""
    for kind in (b"stsz", b"stts", b"ctts", b"stsc", b"stco", b"stss"):
        path = os.path.join(folder, "table-%s.mp4" % kind.decode())

        def lie(body):
            at = 8 if kind == b"stsz" else 4
            return body[:at] + b"\xff\xff\xff\xff" + body[at + 4:]
        data = change(base(), [b"moov", b"trak", b"mdia", b"minf", b"stbl", kind], lie)
        write(path, data)
        for args in (["probe", path], ["probe", "--full", path], ["package", path, os.path.join(folder, "out")]):
            bounded(*args)


def bomb_samples(folder):
    """A table of a few bytes that says 200 million samples of one byte, all in one chunk."""
    count = 200000000
    tables = {b"stsz": struct.pack(">III", 0, 1, count), b"stts": struct.pack(">IIII", 0, 1, count, 2),
              b"stsc": struct.pack(">IIIII", 0, 1, 1, count, 1), b"stco": struct.pack(">III", 0, 1, 48)}
    data = base()
    for kind, body in tables.items():
        data = change(data, [b"moov", b"trak", b"mdia", b"minf", b"stbl", kind], lambda _, b=body: b)
    path = os.path.join(folder, "samples.mp4")
    write(path, data)
    bounded("probe", path)
    equal(bounded("probe", "--full", path), (1, "INPUT_CORRUPT"))
    equal(bounded("package", path, os.path.join(folder, "out")), (1, "INPUT_CORRUPT"))
    equal(sorted(os.listdir(folder)), ["samples.mp4"])


def bomb_compressed(folder):
    """A compressed moov (QuickTime cmov) that unpacks to a gigabyte of nothing."""
    import zlib
    pack = zlib.compressobj(9)
    data = pack.compress(b"\0" * (1 << 20))
    for _ in range(1023):
        data += pack.compress(b"\0" * (1 << 20))
    data += pack.flush()
    path = os.path.join(folder, "cmov.mov")
    write(path, box(b"ftyp", b"qt  \0\0\2\0qt  ") + box(b"mdat", b"\0" * 64) + box(
        b"moov", box(b"cmov", box(b"dcom", b"zlib"), box(b"cmvd", struct.pack(">I", 1 << 30), data))))
    refused(folder, path, "INPUT_FORBIDDEN_FORMAT")


def bomb_duration(folder):
    path = os.path.join(folder, "days.mp4")
    make_clip(["-i", clip("base.mp4"), "-map", "0:v", "-c", "copy", "-bsf:v", "setts=ts=TS*100000"], path)
    refused(folder, path, "INPUT_LIMIT") # 55 hours


def bomb_bytes(folder):
    """Files in which nothing is ever found: no more is read than the limit of a probe."""
    path = os.path.join(folder, "zeros.mp4")
    with open(path, "wb") as f:
        f.truncate(20 << 30)
    refused(folder, path, "INPUT_UNRECOGNISED", "INPUT_LIMIT", "INPUT_CORRUPT")
    path = os.path.join(folder, "nulls.ts")
    write(path, (b"\x47\x1f\xff\x10" + b"\xff" * 184) * 400000)
    started = time.monotonic()
    refused(folder, path, "INPUT_NO_VIDEO_OR_AUDIO")
    assert time.monotonic() - started < 120


# ---- late ----

def late_track(folder, name, ends):
    """Sound that appears at 8 s of 12: said, and in its place in the title, silence before it (I42, I08)."""
    src, out = clip(name), os.path.join(folder, "o")
    r = tool("publish", src, out, *FAST)
    equal(r.code, 0, r.err)
    c = check(out)
    tracks = audios(c)
    equal(len(tracks), 1, "audio tracks (%s)" % r.warnings)
    sound = Sound(joined(c, tracks[0], folder))
    assert abs(sound.seconds - ends) < 0.1, "%.3f s of sound" % sound.seconds
    assert sound.level(0, 7.9) < -70, "it is not silent before: %.1f dB" % sound.level(0, 7.9)
    assert sound.level(8.1, ends - 0.1) > -40, "no sound after: %.1f dB" % sound.level(8.1)
    assert abs(sound.pitch(8.2, ends - 0.2) - 1000) < 20, "%.0f Hz" % sound.pitch(8.2, ends - 0.2)
    assert "AUDIO_STARTS_LATE" in r.warnings, "no warning: %s" % r.warnings


GROUPS = {
    "opens": [("opens of " + n, opens_of_publish, n) for n in ("base.mp4", "base.mkv", "base.ts")] + [
        ("opens of " + n, opens_of_disguise, n) for n in ("disguised_hls.mp4", "disguised_concat.mp4", "disguised_dash.mp4")] + [
            ("opens of an external reference", opens_of_reference)],
    "names": [("names", opens_of_names)],
    "bombs": [("dimensions", bomb_dimensions), ("2000 tracks", bomb_tracks), ("nesting", bomb_nesting),
              ("matroska sizes", bomb_matroska), ("tables", bomb_tables), ("samples", bomb_samples),
              ("compressed moov", bomb_compressed),
              ("duration", bomb_duration), ("bytes", bomb_bytes)],
    "late": [("audio PID at 8 s", late_track, "late_pid8.ts", 12)],
}


def main():
    status = []
    for group in sys.argv[1:] or list(GROUPS):
        cases = Cases("safety-" + group)
        for name, fn, *args in GROUPS[group]:
            os.chdir("/")
            cases.run(name, fn, *args)
        status.append(cases.end())
    sys.exit(1 if 1 in status else max(status))


main()
