#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Lays out the rooms: for each folder of lib/ an include directory that holds what it may include, no more.

    rooms.py SOURCE_ROOT OUT    makes OUT/<room>/ and prints one line a room: name|rooms it sees|third parties

A room is a directory of symbolic links: folders of lib/ by name, and vodpipe/ with single public headers.
Headers of third parties are found by compilers without being asked (/usr/include), so OUT/poison-<name>/
holds headers of the same names that only say #error; they stand on the path of each room that may not use
that third party.
"""
import os
import re
import subprocess
import sys

# Room -> rooms whose headers it may include, and third parties. Order: a room comes after all that it sees.
ROOMS = {
    "base": ("", ""),
    "bitstream": ("base", ""),
    "bmff": ("base", ""),
    "io": ("base", ""),
    "model": ("base bitstream", "jansson"),
    "media": ("base io model bitstream", "av"),
    "ladder": ("base model", "jansson"),
    "package": ("base io model bitstream bmff", ""),
    "http": ("base io", "curl"),
    "crypt": ("base io model bitstream bmff http", "jansson openssl expat"),
    "ingest": ("base io", "openssl"),
    "s3": ("base io http ingest", "jansson openssl expat zlib"),
    "manifest": ("base model", ""),
    "verify": ("base io model bitstream bmff manifest media", "jansson"),
    "transcode": ("base io model bitstream media ladder package", "jansson"),
    "job": ("base bitstream bmff io model media ladder package http crypt manifest verify transcode", "jansson"),
}

# Public headers by the room that implements them.
HEADERS = {
    "base": "version base event",
    "io": "io",
    "model": "media presentation",
    "media": "probe",
    "ladder": "ladder",
    "package": "package",
    "http": "http",
    "crypt": "crypt",
    "ingest": "ingest tus",
    "s3": "s3",
    "manifest": "manifest",
    "verify": "verify",
    "transcode": "transcode",
    "job": "job vodpipe",
}

# Third party -> where its headers lie, as path below an include directory.
THIRD = {
    "av": ["libavcodec/", "libavformat/", "libavutil/", "libavfilter/", "libavdevice/", "libswscale/",
           "libswresample/", "x264.h", "x264_config.h"],
    "jansson": ["jansson.h", "jansson_config.h"],
    "openssl": ["openssl/"],
    "expat": ["expat.h"],
    "curl": ["curl/"],
    "zlib": ["zlib.h"],
}

# Poisoned also where the third party is not installed.
ALWAYS = {
    "av": ["libavcodec/avcodec.h", "libavformat/avformat.h", "libavformat/avio.h", "libavutil/avutil.h",
           "libavutil/frame.h", "libavutil/opt.h", "libswscale/swscale.h", "libswresample/swresample.h",
           "libavfilter/avfilter.h", "x264.h"],
    "jansson": ["jansson.h"],
    "openssl": ["openssl/evp.h", "openssl/crypto.h", "openssl/rand.h"],
    "expat": ["expat.h"],
    "curl": ["curl/curl.h", "curl/easy.h", "curl/multi.h"],
    "zlib": ["zlib.h"],
}

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"][^>"]+[>"])', re.M)


def sees(room):
    """The room itself and the rooms it may include."""
    return [room] + ROOMS[room][0].split()


def includes(path):
    """What a file includes, each with its quotes or angles; what does not exist includes nothing."""
    try:
        with open(path, encoding="utf-8", errors="replace") as f:
            return INCLUDE.findall(f.read())
    except FileNotFoundError:
        return []


def public_headers(root, room):
    """Names of the public headers a room sees: those of its rooms, and what these include themselves."""
    found, todo = set(), [h for r in sees(room) for h in HEADERS.get(r, "").split()]
    while todo:
        header = todo.pop()
        if header in found:
            continue
        found.add(header)
        for inc in includes(os.path.join(root, "include", "vodpipe", header + ".h")):
            if inc.startswith("<vodpipe/"):
                todo.append(inc[len("<vodpipe/"):-len(".h>")])
    return sorted(found)


def third_party_headers(name):
    """Names to poison: the fixed ones and what is installed below the usual include directories."""
    names = set(ALWAYS[name])
    dirs = ["/usr/include", "/usr/local/include"]
    for package in {"av": ["libavcodec", "x264"], "openssl": ["libcrypto"], "curl": ["libcurl"]}.get(name, [name]):
        try:
            out = subprocess.run([os.environ.get("PKG_CONFIG", "pkg-config"), "--variable=includedir", package],
                                 stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
            dirs += out.stdout.split()
        except OSError:
            pass
    for d in dirs:
        for place in THIRD[name]:
            path = os.path.join(d, place)
            if place.endswith("/") and os.path.isdir(path):
                names.update(place + n for n in os.listdir(path) if n.endswith(".h"))
            elif os.path.isfile(path):
                names.add(place)
    return sorted(names)


def make_poison(out, name):
    for header in third_party_headers(name):
        path = os.path.join(out, "poison-" + name, header)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        text = '#error "<%s> is not for this folder: see the table in lib/rooms.py"\n' % header
        if not os.path.exists(path):
            with open(path, "w", encoding="utf-8") as f:
                f.write(text)


def link(target, path):
    if os.path.islink(path):
        if os.readlink(path) == target:
            return
        os.unlink(path)
    os.symlink(target, path)


def make_room(root, out, room):
    top = os.path.join(out, room)
    wanted = {name: os.path.join(root, "lib", name) for name in sees(room)}
    wanted.update({"vodpipe/%s.h" % h: os.path.join(root, "include", "vodpipe", h + ".h")
                   for h in public_headers(root, room)})
    os.makedirs(os.path.join(top, "vodpipe"), exist_ok=True)
    for d in ("", "vodpipe"):
        for name in os.listdir(os.path.join(top, d)):
            path = os.path.join(top, d, name)
            if os.path.islink(path) and os.path.join(d, name) not in wanted:
                os.unlink(path)
    for name, target in wanted.items():
        link(target, os.path.join(top, name))


def include_path(out, room):
    """Include directories of a room, in order."""
    third = ROOMS[room][1].split()
    return [os.path.join(out, room)] + [os.path.join(out, "poison-" + t) for t in THIRD if t not in third]


def main():
    root, out = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
    for name in THIRD:
        make_poison(out, name)
    for room in ROOMS:
        make_room(root, out, room)
        print("|".join([room, ROOMS[room][0], ROOMS[room][1]]))


if __name__ == "__main__":
    main()
