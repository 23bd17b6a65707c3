#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# nomedia_test.sh SOURCE: -Dmedia=disabled builds, exports the same names, needs neither libav* nor x264.
set -eu
src=$1
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
trap 'exit 1' INT TERM

if ! { meson setup "$tmp/build" "$src" -Dmedia=disabled -Dcrypt=disabled -Dtests=false -Dbuildtype=plain &&
    ninja -C "$tmp/build"; } >"$tmp/log" 2>&1; then
    tail -n 60 "$tmp/log"
    exit 1
fi
lib=$tmp/build/lib/libvodpipe.so
readelf -d "$lib" | grep NEEDED
if readelf -d "$lib" | grep -Eq 'NEEDED.*(libav|libsw|libpostproc|x264|crypto|expat)'; then
    echo "a library without media and encryption needs their libraries"
    exit 1
fi
if grep -Eq 'libav|libsw|x264|crypto|expat' "$tmp/build/meson-private/vodpipe.pc"; then
    echo "vodpipe.pc without media names media libraries"
    exit 1
fi
grep -qx 'features=none' "$tmp/build/meson-private/vodpipe.pc" || { echo "vodpipe.pc names features"; exit 1; }
python3 "$src/tests/abi/exports.py" check "$src/include" "$lib" "$tmp/build/lib/libvodpipe.a"
