# SPDX-License-Identifier: LGPL-2.1-or-later
"""JSON that docs/ tells people to copy: blocks "```json name=NAME". Tests take it from there, so that what is told is what
works."""
import glob
import json
import os
import re

DOCS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "docs")


def blocks(name):
    """{NAME: value} of one document; each name once, each block whole JSON."""
    with open(os.path.join(DOCS, name), encoding="utf-8") as f:
        text = f.read()
    found = {}
    for label, body in re.findall(r"^```json(?: name=(\S+))?\n(.*?)^```$", text, re.M | re.S):
        assert label not in found, "%s: two blocks named %s" % (name, label)
        value = json.loads(body)
        if label:
            found[label] = value
    return found


if __name__ == "__main__":  # all of them are JSON
    found = 0
    for path in sorted(glob.glob(os.path.join(DOCS, "**", "*.md"), recursive=True)):
        found += len(blocks(os.path.relpath(path, DOCS)))
    assert found, "no block with a name"
    print("%d named blocks of JSON" % found)
