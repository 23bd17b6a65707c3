#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""run.py python|go NAME: runs one binding test on a clip made by ffmpeg. 77: something is not here."""
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
LIB = pathlib.Path(os.environ["VODPIPE_LIB"])
SRC = pathlib.Path(os.environ["VODPIPE_SRC"])


def skip(why):
    print("skipped:", why)
    sys.exit(77)


def make_clip(path):
    if not shutil.which("ffmpeg"):
        skip("no ffmpeg to make a clip with")
    command = ["ffmpeg", "-nostdin", "-v", "error", "-y", "-f", "lavfi", "-i", "testsrc2=s=320x180:r=25:d=3", "-f",
               "lavfi", "-i", "sine=f=440:r=48000:d=3", "-c:v", "libx264", "-preset", "ultrafast", "-c:a", "aac"]
    subprocess.run(command + [str(path)], check=True)


def go(*args):
    """Runs go where the module is; nothing is fetched, other caches are left alone."""
    env = dict(os.environ, CGO_ENABLED="1", GOTOOLCHAIN="local", GOPROXY="off", GOFLAGS="-mod=mod", GOWORK="off",
               CGO_CFLAGS=f"-g -O1 -I{SRC / 'include'}",
               CGO_LDFLAGS=f"-L{LIB.parent} -lvodpipe -Wl,-rpath,{LIB.parent}")
    # Go gives the flags it tries to the first word of CC.
    env["CC"] = re.sub(r"^\S*ccache\s+", "", env.get("CC", "cc"))
    if "GOCACHE" not in env and not env.get("HOME"):
        env["GOCACHE"] = str(pathlib.Path(os.environ["VODPIPE_BUILD"]) / "go-cache")
    return subprocess.run(["go", *args], cwd=HERE / "go", env=env, check=False).returncode


def expect_title(folder):
    for name in "master.m3u8", "manifest.mpd", "presentation.json":
        if not (folder / name).is_file():
            sys.exit(f"{name} was not published")


def expect_refusal(script, arguments):
    wrong = subprocess.run(arguments + ["4711"], capture_output=True, text=True, check=False)
    if wrong.returncode == 0 or "ABI" not in wrong.stderr:
        sys.exit(f"{script} took a library of another ABI")


def run_python(name, room):
    script = HERE / f"{name}.py"
    lines = len(script.read_text().splitlines())
    if lines >= 80:
        sys.exit(f"{script.name} has {lines} lines: under 80 is the promise")
    arguments = [sys.executable, str(script), str(LIB), str(room / "clip.mp4")]
    if name == "publish_queue":
        arguments.append(str(room / "out"))
    subprocess.run(arguments, check=True, timeout=120)
    if name == "publish_queue":
        expect_title(room / "out")
        expect_refusal(name, arguments)


def run_go(name, room):
    if not shutil.which("go"):
        skip("no go")
    if go("build", "-race", "-o", str(room / "program"), f"./{name}") != 0:
        # -race needs a C compiler and a platform that has it; anything else is an error of ours
        if go("build", "-o", str(room / "program"), f"./{name}") != 0:
            sys.exit("go build failed")
        skip("this go cannot build with -race")
    arguments = [str(room / "program"), str(room / "clip.mp4")]
    if name == "publish_queue":
        arguments.append(str(room / "out"))
    env = dict(os.environ, GORACE="halt_on_error=1")
    subprocess.run(arguments, check=True, timeout=120, env=env)
    if name == "publish_queue":
        expect_title(room / "out" / "1")
        expect_title(room / "out" / "2")


def main(language, name):
    with tempfile.TemporaryDirectory() as folder:
        room = pathlib.Path(folder)
        make_clip(room / "clip.mp4")
        {"python": run_python, "go": run_go}[language](name, room)


if __name__ == "__main__":
    main(*sys.argv[1:])
