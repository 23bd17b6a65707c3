#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Every C block of README.md and docs/ is a program: "```c file=NAME". Compiles each against the public headers as
# strict C99 and runs it as NAME CLIP OUT. Every block of JSON is read.
set -eu
command -v ffmpeg >/dev/null || {
    echo "no ffmpeg here"
    exit 77
}
src=$VODPIPE_SRC
python3 -B "$src/tests/support/documents.py"
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
trap 'exit 1' INT TERM
mkdir "$tmp/c"

for file in "$src/README.md" "$src"/docs/*.md; do
    awk -v to="$tmp/c" -v file="$file" '
        /^```c$/ { print file ":" NR ": a C block without file=NAME"; bad = 1 }
        /^```c file=/ { out = to "/" substr($2, 6); next }
        /^```/ && out { close(out); out = "" }
        out { print >out }
        END { exit bad }' "$file"
done
ls "$tmp"/c/*.c >/dev/null 2>&1 || { echo "no program in the documents"; exit 1; }

cd "$tmp"
nice ffmpeg -v error -nostdin -f lavfi -i "testsrc2=size=128x72:rate=25:duration=2" -f lavfi \
    -i "sine=440:duration=2:sample_rate=48000" -c:v libx264 -preset ultrafast -c:a aac clip.mp4
# A program beside a library with a sanitizer needs its runtime too.
flags=""
for one in asan:address tsan:thread; do
    if nm -D "$VODPIPE_LIB" | grep -q "U __${one%:*}_init"; then flags="-fsanitize=${one#*:}"; fi
done
libdir=$(dirname "$VODPIPE_LIB")
for file in c/*.c; do
    name=$(basename "$file" .c)
    echo "== $name"
    # shellcheck disable=SC2086
    ${CC:-cc} -std=c99 -pedantic -Wall -Wextra -Werror $flags -I "$src/include" "$file" -o "$name" -L "$libdir" \
        -Wl,-rpath,"$libdir" -lvodpipe
    "./$name" clip.mp4 "out-$name" >stdout 2>stderr || {
        cat stdout stderr
        echo "$name failed"
        exit 1
    }
    cat stdout
done
