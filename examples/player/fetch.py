#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""fetch.py NPM PACKAGE@VERSION MEMBER OUT MODE: a script for a page (hls.js, Apache-2.0; tus-js-client, MIT) from npm;
nothing of it is kept in this tree. MODE "auto": where it cannot be had, OUT is left empty, which stands for "none";
"enabled": that fails the build."""
import pathlib
import subprocess
import sys
import tarfile
import tempfile


def fetch(npm, package, member):
    with tempfile.TemporaryDirectory() as tmp:
        subprocess.run([npm, "pack", "--silent", "--prefer-offline", "--fetch-retries=1", "--fetch-timeout=30000",
                        package], cwd=tmp, check=True, timeout=120, stdin=subprocess.DEVNULL,
                       stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        archive = next(pathlib.Path(tmp).glob("*.tgz"))
        with tarfile.open(archive) as tar:
            text = tar.extractfile(member).read()
    # The page holds the script inline; it must not end with a pointer to a map that is not there.
    return text.split(b"\n//# sourceMappingURL=")[0] + b"\n"


def main():
    npm, package, member, out, mode = sys.argv[1:]
    try:
        text = fetch(npm, package, member)
    except (OSError, subprocess.SubprocessError, StopIteration, KeyError, tarfile.TarError) as error:
        why = (getattr(error, "stderr", None) or str(error).encode()).decode("utf-8", "replace").strip()
        print(package + " could not be had from npm: " + why.replace("\n", " ")[-300:], file=sys.stderr)
        if mode == "enabled":
            return 1
        text = b""
    pathlib.Path(out).write_bytes(text)
    return 0


sys.exit(main())
