#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""list.py DIR PATTERN: names of the files in DIR that match, sorted, one a line; for folders where each file
is one program of its own and meson lists them when it configures."""
import pathlib
import sys

for path in sorted(pathlib.Path(sys.argv[1]).glob(sys.argv[2])):
    print(path.name)
