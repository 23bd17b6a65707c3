#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""lint.py ROOT: rules of the tree that no compiler checks. Prints each breach, exit 1 if there is one.

    ROOT/lib/<room>    includes by the table of lib/rooms.py, no private header of another room, third parties
                       only in their rooms, every .c file named in its meson.build, a README.md
    ROOT/include       only the C library and headers of a lower tier
    lib, examples      no banned function, functions of at most 150 lines
    lib/media          headers of libav* and x264 in libav.h only; each function that needs no handle is called by
                       tests/unit/media/test_unloaded.c, where the libraries cannot be loaded
    every C file       no "../" include, at most 1200 lines, LF, no tabs or trailing blanks, licence line
"""
import pathlib
import re
import sys

sys.dont_write_bytecode = True
ROOT = pathlib.Path(sys.argv[1]).resolve()
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "lib"))
import rooms  # noqa: E402

MAX_FILE, MAX_FUNCTION, MAX_COLUMNS = 1200, 150, 120
BANNED = re.compile(r"\b(strcpy|strcat|v?sprintf|gets|setlocale|system|popen)\s*\(")
# name of a third party -> how its headers begin
THIRD = {"av": re.compile(r"<(libav|libsw|x264)"), "jansson": re.compile(r"<jansson"),
         "openssl": re.compile(r"<openssl/"), "expat": re.compile(r"<expat"), "curl": re.compile(r"<curl/"),
         "zlib": re.compile(r"<(zlib|zconf)"),
         "none": re.compile(r"<cmocka")}
TIERS = [["version"], ["base"], ["io", "media", "presentation", "event"], ["probe", "ladder", "package", "manifest", "http"],
         ["verify", "crypt", "transcode", "ingest", "tus", "s3"], ["job"], ["vodpipe"]]
TIER = {name: tier for tier, names in enumerate(TIERS) for name in names}
# presentation.h speaks of tracks in the words of media.h; both are plain data of lib/model. tus.h stands on ingest.h,
# for which s3.h has a back end.
SAME_TIER = {("presentation", "media"), ("tus", "ingest"), ("s3", "ingest")}
SPDX = "SPDX-License-Identifier: LGPL-2.1-or-later"

breaches = []


def breach(path, line, text):
    breaches.append("%s:%d: %s" % (path.relative_to(ROOT), line, text))


def strip(text):
    """Blanks comments and the inside of strings, keeps line breaks."""
    def blank(match):
        return re.sub(r"[^\n]", " ", match.group(0))
    return re.sub(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', blank, text, flags=re.S)


def check_text(path, text):
    lines = text.split("\n")
    if SPDX not in lines[0]:
        breach(path, 1, "the first line is not the licence line")
    if len(lines) - 1 > MAX_FILE:
        breach(path, 1, "%d lines, the limit is %d" % (len(lines) - 1, MAX_FILE))
    if not text.endswith("\n"):
        breach(path, len(lines), "no line break at the end")
    for n, line in enumerate(lines, 1):
        if "\r" in line:
            breach(path, n, "CR")
        if "\t" in line:
            breach(path, n, "tab")
        if line != line.rstrip():
            breach(path, n, "trailing blank")
        if len(line) > MAX_COLUMNS:
            breach(path, n, "%d columns, the limit is %d" % (len(line), MAX_COLUMNS))
        if re.match(r'\s*#\s*include\s*["<](\.\./|.*/\.\./)', line):
            breach(path, n, 'include with "../"')


def check_code(path, text):
    code = strip(text)
    start = None
    for n, line in enumerate(code.split("\n"), 1):
        found = BANNED.search(line)
        if found:
            breach(path, n, "%s() is banned" % found.group(1))
        if line.startswith("{"):
            start = n
        if line.startswith("}") and start:
            if n - start > MAX_FUNCTION:
                breach(path, start, "function of %d lines, the limit is %d" % (n - start, MAX_FUNCTION))
            start = None


def numbered_includes(text):
    for n, line in enumerate(text.split("\n"), 1):
        found = rooms.INCLUDE.match(line)
        if found:
            yield n, found.group(1)


def check_room_includes(path, text, room):
    public = rooms.public_headers(str(ROOT), room)
    third = rooms.ROOMS[room][1].split()
    for n, inc in numbered_includes(text):
        name = inc[1:-1]
        if inc.startswith('"'):
            folder = name.split("/")[0] if "/" in name else room
            if folder not in rooms.sees(room):
                breach(path, n, "%s may not include %s" % (room, inc))
            elif folder != room and name.endswith("_int.h"):
                breach(path, n, "%s is private to %s" % (inc, folder))
        elif name.startswith("vodpipe/"):
            if name[len("vodpipe/"):-2] not in public:
                breach(path, n, "%s may not include %s" % (room, inc))
        else:
            for party, pattern in THIRD.items():
                if pattern.match(inc) and party not in third:
                    breach(path, n, "%s may not include %s" % (room, inc))
                elif pattern.match(inc) and party == "av" and path.name != "libav.h":
                    breach(path, n, "only libav.h includes %s: its functions are called through a table" % inc)


def check_public_includes(path, text):
    own = path.stem
    if own not in TIER:
        breach(path, 1, "public header without a tier in tests/abi/lint.py")
        return
    for n, inc in numbered_includes(text):
        other = inc[len("<vodpipe/"):-len(".h>")] if inc.startswith("<vodpipe/") else None
        if other is not None:
            if TIER.get(other, 99) >= TIER[own] and (own, other) not in SAME_TIER:
                breach(path, n, "%s is not of a lower tier" % inc)
        elif inc not in ("<stddef.h>", "<stdint.h>"):
            breach(path, n, "a public header includes only stddef.h, stdint.h and <vodpipe/...>")


def check_named(folder, pattern):
    """Each .c file that meson shall build is named in the meson.build beside it."""
    files = sorted(folder.glob(pattern))
    build = folder / "meson.build"
    text = build.read_text(encoding="utf-8") if build.exists() else ""
    for path in files:
        if "'%s'" % path.name not in text:
            breach(path, 1, "not named in %s" % build.relative_to(ROOT))


def check_unloaded(stubs, test):
    """What answers FEATURE_DISABLED without media, and is not called with a handle, answers it without libav* too."""
    if not stubs.exists():
        return
    called = test.read_text(encoding="utf-8") if test.exists() else ""
    code = strip(stubs.read_text(encoding="utf-8"))
    for found in re.finditer(r"^vp_status (\w+)\(.*?^\}", code, re.M | re.S):
        name, first = found.group(1), found.group(0).split("(", 1)[1]
        handle = re.match(r"vpi_(demux|video_reader|scaler|h264enc|audio|audio_copy|ear) \*\w", first)
        if not handle and not re.search(r"\b%s\(" % name, called):
            breach(stubs, code[:found.start()].count("\n") + 1, "%s is not called by %s" % (name, test.name))


def c_files(*tops):
    for top in tops:
        for path in sorted((ROOT / top).rglob("*")):
            if path.suffix in (".c", ".h") and path.is_file():
                yield path


def main():
    for path in c_files("lib", "include", "examples", "tests", "bindings", "pkgconfig"):
        text = path.read_bytes().decode("utf-8", "replace")
        top = path.relative_to(ROOT).parts
        check_text(path, text)
        if top[0] in ("lib", "include", "examples"):
            check_code(path, text)
        if top[0] == "lib" and len(top) > 2:
            if top[1] in rooms.ROOMS:
                check_room_includes(path, text, top[1])
            else:
                breach(path, 1, "folder without a row in lib/rooms.py")
        if top[0] == "include":
            check_public_includes(path, text)
        if top[0] == "examples":
            for n, inc in numbered_includes(text):
                if inc.startswith('"') and inc[1:-1].split("/")[0] in rooms.ROOMS and "/" in inc:
                    breach(path, n, "an example uses public headers only")
    for room in rooms.ROOMS:
        folder = ROOT / "lib" / room
        if folder.is_dir():
            check_named(folder, "*.c")
            if not (folder / "README.md").is_file():
                breach(folder, 1, "no README.md")
        if (ROOT / "tests" / "unit" / room).is_dir():
            check_named(ROOT / "tests" / "unit" / room, "test_*.c")
    check_unloaded(ROOT / "lib/media/stubs.c", ROOT / "tests/unit/media/test_unloaded.c")
    for line in breaches:
        print(line)
    return 1 if breaches else 0


if __name__ == "__main__":
    sys.exit(main())
