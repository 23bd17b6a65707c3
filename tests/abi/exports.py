#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""exports.py check INCLUDE_DIR LIB.so [LIB.a]
    Names exported by the shared library and names declared VP_API in the headers are the same; every name is
    of a version node; the static library defines no global name without one of our prefixes.

exports.py references INCLUDE_DIR
    Prints a C file that refers to every public function."""
import pathlib
import re
import subprocess
import sys


def declared(include):
    names = set()
    for path in sorted((pathlib.Path(include) / "vodpipe").glob("*.h")):
        text = re.sub(r"/\*.*?\*/|//[^\n]*", " ", path.read_text(encoding="utf-8"), flags=re.S)
        text = re.sub(r"^[ \t]*#(?:[^\n]*\\\n)*[^\n]*$", " ", text, flags=re.M)
        for declaration in re.findall(r"\bVP_API\b([^;]*);", text):
            # The name is the first that is followed by a parenthesis: types of callbacks are typedefs.
            names.add(re.search(r"\b(\w+)\s*\(", declaration).group(1))
    return names


def nm(*arguments):
    out = subprocess.run(["nm", *arguments], check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    return [line.split() for line in out.stdout.splitlines() if len(line.split()) >= 3]


def check(include, shared, static=None):
    bad = []
    want = declared(include)
    have, unversioned = set(), []
    for row in nm("-D", "--defined-only", shared):
        name, _, version = row[2].partition("@")
        if row[1] == "A":
            continue    # the version node itself
        if row[1] not in ("T", "W", "i"):
            bad.append("exported data: %s" % row[2])
        if not version:
            unversioned.append(name)
        have.add(name)
    bad += ["declared in a header, not exported: %s" % n for n in sorted(want - have)]
    bad += ["exported, in no header: %s" % n for n in sorted(have - want)]
    bad += ["no version node: %s" % n for n in unversioned]
    if static:
        for row in nm("-g", "--defined-only", static):
            name = row[2]
            if not name.startswith(("vp_", "vpi_")):
                bad.append("global name of the static library without prefix: %s" % name)
    for line in bad:
        print(line)
    print("%d declared, %d exported, %d wrong" % (len(want), len(have), len(bad)))
    return 1 if bad or not want else 0


def references(include):
    names = sorted(declared(include))
    for path in sorted((pathlib.Path(include) / "vodpipe").glob("*.h")):
        print("#include <vodpipe/%s>" % path.name)
    print("typedef void (*function)(void);\nextern const function every_function[];")
    print("const function every_function[] = {\n    %s,\n    0\n};" % ",\n    ".join("(function)%s" % n for n in names))
    return 0


if __name__ == "__main__":
    if sys.argv[1] == "check":
        sys.exit(check(*sys.argv[2:]))
    sys.exit(references(sys.argv[2]))
