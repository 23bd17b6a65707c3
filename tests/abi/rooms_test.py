#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""rooms_test.py SOURCE_ROOT ROOMS_DIR: what a room may include compiles in it, all else does not.

Each case is a file of one include, compiled with the include path that the room's library is built with: every
room with the headers of every other room, every public header, and the headers of third parties.
"""
import concurrent.futures
import os
import pathlib
import shlex
import subprocess
import sys

sys.dont_write_bytecode = True
ROOT, OUT = pathlib.Path(sys.argv[1]), sys.argv[2]
sys.path.insert(0, str(ROOT / "lib"))
import rooms  # noqa: E402

CC = shlex.split(os.environ.get("CC", "cc"))
# Third party header, and the names that pkg-config knows it by.
THIRD = [("av", "<libavcodec/avcodec.h>", "libavcodec"), ("av", "<libavformat/avformat.h>", "libavformat"),
         ("av", "<libavutil/frame.h>", "libavutil"), ("av", "<libswscale/swscale.h>", "libswscale"),
         ("av", "<libavfilter/avfilter.h>", "libavfilter"), ("av", "<x264.h>", "x264"),
         ("jansson", "<jansson.h>", "jansson"), ("openssl", "<openssl/evp.h>", "libcrypto"),
         ("expat", "<expat.h>", "expat"), ("curl", "<curl/curl.h>", "libcurl")]


def pkg_config(name):
    done = subprocess.run([os.environ.get("PKG_CONFIG", "pkg-config"), "--cflags", name],
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    return shlex.split(done.stdout) if done.returncode == 0 else None


def compiles(room, include, flags=()):
    paths = ["-I" + p for p in rooms.include_path(OUT, room)]
    text = "#include <stdint.h>\n#include %s\nint x;\n" % include
    done = subprocess.run(CC + ["-std=c11", "-D_GNU_SOURCE", "-fsyntax-only", *paths, *flags, "-x", "c", "-"],
                          input=text, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return done.returncode == 0, done.stdout


def cases():
    """(room, include, flags, expected, text that a refusal must contain)"""
    for room in rooms.ROOMS:
        seen = rooms.sees(room)
        public = rooms.public_headers(str(ROOT), room)
        for path in sorted((ROOT / "include" / "vodpipe").glob("*.h")):
            yield room, "<vodpipe/%s>" % path.name, (), path.stem in public, "No such file|file not found"
        for other in rooms.ROOMS:
            for path in sorted((ROOT / "lib" / other).glob("*.h")):
                if other == room:
                    yield room, '"%s/%s"' % (other, path.name), "own", True, ""
                elif other not in seen:
                    yield room, '"%s/%s"' % (other, path.name), (), False, "No such file|file not found"
        for party, include, package in THIRD:
            flags = pkg_config(package)
            if flags is None:
                continue
            yield room, include, flags, party in rooms.ROOMS[room][1].split(), "is not for this folder"
    # A neighbour's headers are there; its private ones may need more than this room sees.
    for room in rooms.ROOMS:
        for other in rooms.ROOMS[room][0].split():
            names = [p.name for p in sorted((ROOT / "lib" / other).glob("*.h")) if not p.stem.endswith("_int")]
            if names:
                yield room, ['"%s/%s"' % (other, n) for n in names], (), True, ""


def run(case):
    room, include, flags, expected, why = case
    if flags == "own":
        names = {"av": ["libavcodec", "x264"], "openssl": ["libcrypto"], "curl": ["libcurl"]}
        flags = [f for third in rooms.ROOMS[room][1].split() for p in names.get(third, [third])
                 for f in pkg_config(p) or []]
    if isinstance(include, list):
        if not any(compiles(room, one, flags)[0] for one in include):
            return "%s: none of %s compiles" % (room, " ".join(include))
        return None
    ok, out = compiles(room, include, flags)
    if ok != expected:
        return "%s: #include %s %s\n%s" % (room, include, "compiles" if ok else "does not compile", out)
    if not ok and not any(w in out for w in why.split("|")):
        return "%s: #include %s fails for another reason\n%s" % (room, include, out)
    return None


def main():
    todo = list(cases())
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        wrong = [w for w in pool.map(run, todo) if w]
    for w in wrong:
        print(w)
    good = sum(1 for c in todo if c[3])
    print("%d includes that must compile, %d that must not, %d wrong" % (good, len(todo) - good, len(wrong)))
    return 1 if wrong or not good or good == len(todo) else 0


sys.exit(main())
