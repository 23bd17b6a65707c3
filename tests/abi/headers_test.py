#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""headers_test.py INCLUDE_DIR [padded]: each public header compiles alone, twice over, as C99, C11 and C++17
without any warning, by every compiler there is. With "padded": no public struct has hidden padding."""
import concurrent.futures
import pathlib
import shutil
import subprocess
import sys

INCLUDE = pathlib.Path(sys.argv[1])
PADDED = sys.argv[2:] == ["padded"]
WARN = ["-pedantic", "-Wall", "-Wextra", "-Werror"]
KINDS = [("c", "c99"), ("c", "c11"), ("c++", "c++17")] if not PADDED else [("c", "c11")]


def compile_text(cc, language, standard, text, more=()):
    return subprocess.run([cc, "-x", language, "-std=" + standard, "-fsyntax-only", "-I", str(INCLUDE), *WARN,
                           *more, "-"], input=text, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def main():
    # clang says nothing of padding unless it lays out code.
    compilers = [cc for cc in (("gcc",) if PADDED else ("gcc", "clang")) if shutil.which(cc)]
    headers = sorted((INCLUDE / "vodpipe").glob("*.h"))
    todo, bad = [], 0
    for cc in compilers:
        for language, standard in KINDS:
            if compile_text(cc, language, standard, "int x;\n").returncode:
                print("%s cannot compile %s" % (cc, standard))
                continue
            # The check itself can fail: a header that is not alone, or has padding, is seen.
            wrong = "struct s { char a; long long b; } x;\n" if PADDED else "uint32_t x;\n"
            if not compile_text(cc, language, standard, wrong, ["-Wpadded"] if PADDED else []).returncode:
                print("%s sees nothing wrong in: %s" % (cc, wrong))
                bad += 1
            for header in headers:
                text = "#include <vodpipe/%s>\n#include <vodpipe/%s>\nint x;\n" % (header.name, header.name)
                todo.append((cc, language, standard, text, ["-Wpadded"] if PADDED else []))
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for job, done in zip(todo, pool.map(lambda job: compile_text(*job), todo)):
            if done.returncode:
                bad += 1
                print("%s -std=%s:\n%s%s" % (job[0], job[2], job[3].split("\n")[0] + "\n", done.stdout))
    print("%d headers, %d compilations, %d failed" % (len(headers), len(todo), bad))
    return 1 if bad or not todo else 0


sys.exit(main())
