# SPDX-License-Identifier: LGPL-2.1-or-later
"""Scripts of the real players, from npm into a cache; nothing of them is kept in this tree."""
import os
import shutil
import subprocess
import tarfile
import tempfile

# package, version, file in it, licence
PLAYERS = {"hls.js": ("hls.js", "1.7.4", "dist/hls.min.js"),                                # Apache-2.0
           "shaka": ("shaka-player", "5.2.12", "dist/shaka-player.compiled.js"),            # Apache-2.0
           "dash.js": ("dashjs", "5.2.1", "dist/modern/umd/dash.all.min.js")}               # BSD-3-Clause


class Unavailable(Exception):
    pass


def fetch(player, folder):
    """Path of the script of a player."""
    package, version, member = PLAYERS[player]
    path = os.path.join(folder, "%s-%s.js" % (package, version))
    if os.path.isfile(path):
        return path
    npm = shutil.which("npm")
    if npm is None:
        raise Unavailable("no npm")
    os.makedirs(folder, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as tmp:
        try:
            subprocess.run([npm, "pack", "--silent", "--prefer-offline", "--fetch-retries=1", "--fetch-timeout=60000",
                            "%s@%s" % (package, version)], cwd=tmp, check=True, timeout=240, stdin=subprocess.DEVNULL,
                           stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
            archive = next(n for n in os.listdir(tmp) if n.endswith(".tgz"))
            with tarfile.open(os.path.join(tmp, archive)) as tar:
                text = tar.extractfile("package/" + member).read()
        except (OSError, subprocess.SubprocessError, StopIteration, KeyError, tarfile.TarError) as error:
            why = (getattr(error, "stderr", None) or str(error).encode()).decode("utf-8", "replace").strip()
            raise Unavailable("%s@%s could not be had from npm: %s" % (package, version,
                                                                      why.replace("\n", " ")[-200:])) from None
        part = os.path.join(tmp, "script")
        with open(part, "wb") as f:
            f.write(text.split(b"\n//# sourceMappingURL=")[0] + b"\n")
        os.rename(part, path)
    return path
