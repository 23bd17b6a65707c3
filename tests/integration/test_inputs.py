#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Every kind of input that goes wrong in production (rows I01-I42): made by its recipe, published, the result measured.

    test_inputs.py [--update] GROUP...     groups: times picture tracks files codecs more-codecs; none: all

What was seen goes into a table, BUILD/artefacts/inputs.md, and must be what INPUTS.md beside this file says; --update
writes INPUTS.md anew. A case of inputs_gaps.py is known not to hold yet: it fails here once it does.
"""
import os
import re
import sys

sys.dont_write_bytecode = True

import inputs  # noqa: E402
import inputs_clips  # noqa: E402,F401
import inputs_damage  # noqa: E402,F401
import inputs_times  # noqa: E402,F401
import inputs_picture  # noqa: E402,F401
import inputs_sound  # noqa: E402,F401
import inputs_files  # noqa: E402,F401
import inputs_codecs  # noqa: E402,F401
import inputs_found  # noqa: E402,F401
from inputs_gaps import GAPS  # noqa: E402
from titles import ARTEFACTS, HERE, SRC, Cases, Skip  # noqa: E402

TABLE = os.path.join(HERE, "INPUTS.md")
ROWS = ["I%02d" % n for n in range(1, 43)]


def run_case(cases, row, what, expected, fn, lines):
    """Adds the case's line of the table. A gap is a failure that is known."""
    name = "%s %s" % (row, what)
    seen = {}

    def body(folder):
        try:
            seen["text"] = fn(inputs.Title(folder))
        except Skip:
            raise
        except Exception as error:     # of any kind: what a wrong title breaks is not known beforehand
            if (row, what) not in GAPS:
                raise
            seen["gap"] = "%s" % error
            print("   gap: %s; seen: %s" % (GAPS[row, what], seen["gap"][:300]))
            return
        assert (row, what) not in GAPS, "a gap that is none any more: take it out of inputs_gaps.py (%s)" \
            % GAPS[row, what]

    before = len(cases.failed), len(cases.skipped)
    cases.run(name, body)
    if len(cases.skipped) > before[1]:
        return
    if "gap" in seen:
        lines.append(inputs.line(row, what, expected, GAPS[row, what], "gap"))
    elif len(cases.failed) > before[0]:
        lines.append(inputs.line(row, what, expected, "", "FAILED"))
    else:
        lines.append(inputs.line(row, what, expected, seen["text"], "ok"))


def read(path):
    if not os.path.exists(path):
        return []
    with open(path, encoding="utf-8") as f:
        return [x for x in f if re.match(r"\| (I\d\d|codec) ", x)]


def merge(path, lines):
    """Replaces the lines of the same cases, keeps the others, in the order in which the cases are written down."""
    order = {(row, what): n for n, (row, what) in enumerate(sorted(
        ((row, what) for g in inputs.GROUPS.values() for row, what, _, _ in g), key=lambda x: x[0]))}
    key = lambda x: tuple(c.strip().replace("\\|", "|") for c in re.split(r"(?<!\\)\|", x)[1:3])
    kept = {key(x): x for x in read(path) + lines if key(x) in order}
    os.makedirs(os.path.dirname(path), exist_ok=True)
    temporary = "%s.%d" % (path, os.getpid())
    with open(temporary, "w", encoding="utf-8") as f:
        f.write(inputs.HEAD + "".join(kept[k] for k in sorted(kept, key=order.get)))
    os.replace(temporary, path)


def same_as_committed(lines):
    there = set(read(TABLE))
    for x in lines:
        assert x in there or "| FAILED |" in x, "INPUTS.md has not this line (--update writes it): " + x.strip()
    here = {(row, what) for g in inputs.GROUPS.values() for row, what, _, _ in g}
    for x in there:
        cells = tuple(c.strip().replace("\\|", "|") for c in re.split(r"(?<!\\)\|", x)[1:3])
        assert cells in here, "INPUTS.md has a line of no case: " + x.strip()
    assert len(there) == len(here), "INPUTS.md has %d lines, there are %d cases" % (len(there), len(here))


def complete(_):
    have = [row for g in inputs.GROUPS.values() for row, _, _, _ in g]
    missing = [row for row in ROWS if row not in have]
    assert not missing, "rows without a case: %s" % missing
    names = [(row, what) for g in inputs.GROUPS.values() for row, what, _, _ in g]
    assert len(set(names)) == len(names), "two cases of one name"
    stale = [k for k in GAPS if k not in names]
    assert not stale, "gaps of no case: %s" % stale


def documented(_):
    """docs/inputs.md and docs/reasons.md name every warning of the library and every reason to refuse a file."""
    found = set()
    for folder, _, files in os.walk(os.path.join(SRC, "lib")):
        if os.path.basename(folder) == "verify":
            continue    # its warnings are rules
        for name in files:
            if name.endswith(".c"):
                with open(os.path.join(folder, name), encoding="utf-8") as f:
                    text = f.read()
                found |= set(re.findall(r'(?:vpi_media_warn|vpi_emit_warning|warn)\([^"();]*"([A-Z][A-Z0-9_]+)"', text))
                found |= set(re.findall(r'"(INPUT_[A-Z_]+|NOT_A_VIDEO|CODEC_UNSUPPORTED)"', text))
    assert len(found) > 15, "only %s" % sorted(found)
    for name in ("inputs.md", "reasons.md"):
        with open(os.path.join(SRC, "docs", name), encoding="utf-8") as f:
            text = f.read()
        missing = sorted(x for x in found if not re.search(r"\b%s\b" % x, text))
        assert not missing, "docs/%s does not explain %s" % (name, missing)


def main():
    names = [x for x in sys.argv[1:] if x != "--update" and not re.match(r"I\d\d", x)] or list(inputs.GROUPS)
    only = [x for x in sys.argv[1:] if re.match(r"I\d\d", x)]
    status = 0
    for name in names:
        cases, lines = Cases("inputs-" + name), []
        for row, what, expected, fn in inputs.GROUPS[name]:
            if not only or any(("%s %s" % (row, what)).startswith(o) for o in only):
                run_case(cases, row, what, expected, fn, lines)
        if only and not cases.ran:
            continue
        cases.run("every row has a case", complete)
        cases.run("every name is explained", documented)
        merge(os.path.join(ARTEFACTS, "inputs.md"), lines)
        if "--update" in sys.argv:
            merge(TABLE, [x for x in lines if "| FAILED |" not in x])
        else:
            cases.run("INPUTS.md says so", lambda _: same_as_committed(lines))
        status = max(status, cases.end())
    return status


if __name__ == "__main__":
    sys.exit(main())
