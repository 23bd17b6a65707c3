#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""page.py HTML OUT: the page as a C string."""
import pathlib
import sys

lines = pathlib.Path(sys.argv[1]).read_text(encoding="utf-8").splitlines()
quoted = ['    "%s\\n"' % line.replace("\\", "\\\\").replace('"', '\\"') for line in lines]
pathlib.Path(sys.argv[2]).write_text("static const char page_html[] =\n" + "\n".join(quoted) + ";\n", encoding="utf-8")
