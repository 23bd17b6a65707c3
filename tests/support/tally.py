#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""tally.py LOG...: counts the tests of meson's testlog.json files and prints "N passed, N failed, N skipped".
Exit 1 when one failed or none ran."""
import json
import sys

GOOD, SKIPPED = ("OK", "EXPECTEDFAIL"), ("SKIP", "IGNORED")


def main():
    passed, failed, skipped = 0, [], []
    for name in sys.argv[1:]:
        with open(name, encoding="utf-8") as f:
            for line in f:
                row = json.loads(line)
                test = row["name"].rpartition(" / ")[2]
                if row["result"] in GOOD:
                    passed += 1
                elif row["result"] in SKIPPED:
                    skipped.append(test)
                else:
                    failed.append("%s (%s)" % (test, row["result"]))
    if skipped:
        print("skipped: " + ", ".join(skipped))
    if failed:
        print("failed: " + ", ".join(failed))
    print("%d passed, %d failed, %d skipped" % (passed, len(failed), len(skipped)))
    return 1 if failed or not passed else 0


sys.exit(main())
