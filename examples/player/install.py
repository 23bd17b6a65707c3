#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""install.py SCRIPT FOLDER: installs the player's script below the prefix, unless it could not be had."""
import os
import pathlib
import sys

script, folder = pathlib.Path(sys.argv[1]), sys.argv[2]
if script.is_file() and script.stat().st_size:
    to = pathlib.Path(os.environ["MESON_INSTALL_DESTDIR_PREFIX"]) / folder
    to.mkdir(parents=True, exist_ok=True)
    (to / script.name).write_bytes(script.read_bytes())
