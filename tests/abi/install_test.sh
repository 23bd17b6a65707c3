#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# install_test.sh SOURCE BUILD: installs into a temporary directory and builds a program outside the tree against
# the installed copy, shared and static, with nothing but pkg-config.
set -eu
src=$1 build=$2
here=$src/tests/abi
cc=${CC:-cc}
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
trap 'exit 1' INT TERM

meson install -C "$build" --no-rebuild --destdir "$tmp/dest" >"$tmp/install.log" 2>&1 || {
    cat "$tmp/install.log"
    exit 1
}
pc=$(find "$tmp/dest" -name vodpipe.pc)
[ -n "$pc" ] || { echo "no vodpipe.pc was installed"; exit 1; }
# The copy lies below DESTDIR: point its prefix there, as a package does that is moved.
prefix=$(sed -n 's/^prefix=//p' "$pc")
sed -i "s|^prefix=.*|prefix=$tmp/dest$prefix|" "$pc"
PKG_CONFIG_PATH=$(dirname "$pc")
export PKG_CONFIG_PATH
libdir=$(pkg-config --variable=libdir vodpipe)
abi=$(pkg-config --variable=abi vodpipe)
features=$(pkg-config --variable=features vodpipe)
license=$(pkg-config --variable=license vodpipe)
echo "abi=$abi features=$features license=$license version=$(pkg-config --modversion vodpipe)"

# Exactly the headers of the tree, the tool, both libraries under their names.
(cd "$src/include/vodpipe" && ls ./*.h) >"$tmp/want"
(cd "$tmp/dest$prefix/include/vodpipe" && ls ./*.h) >"$tmp/have"
diff "$tmp/want" "$tmp/have" || { echo "installed headers differ from include/vodpipe"; exit 1; }
for f in libvodpipe.so "libvodpipe.so.$abi" libvodpipe.a; do
    [ -e "$libdir/$f" ] || { echo "$f was not installed"; exit 1; }
done
readelf -d "$libdir/libvodpipe.so" | grep -q "SONAME.*\[libvodpipe.so.$abi\]" || { echo "wrong soname"; exit 1; }

# FFmpeg and x264: named in a note where they are loaded ($VODPIPE_AVUTIL says so), else linked, if there is media at all.
needs_media() { readelf -d "$1" | grep -Eq 'NEEDED.*(libav|libsw|x264)'; }
names_media() { # the note is sound, and each library is there under the name that is loaded
    readelf -nW "$1" 2>&1 | grep -q 'Corrupt' && return 1
    for name in avutil avcodec avformat avfilter swscale swresample x264; do
        readelf -p .note.dlopen "$1" | grep -Eq "\"lib$name\\.so\\.[0-9]+\"" || return 1
    done
    readelf -p .note.dlopen "$1" | grep -q "\"$VODPIPE_AVUTIL\""
}
if [ -n "${VODPIPE_AVUTIL:-}" ]; then
    if needs_media "$libdir/libvodpipe.so"; then echo "FFmpeg is linked though it is loaded"; exit 1; fi
    names_media "$libdir/libvodpipe.so" || { echo ".note.dlopen does not name what is loaded"; exit 1; }
    if pkg-config --static --libs vodpipe | grep -Eq 'avcodec|x264'; then
        echo "pkg-config --static links FFmpeg though it is loaded"
        exit 1
    fi
elif echo "$features" | grep -q media; then
    needs_media "$libdir/libvodpipe.so" || { echo "FFmpeg is not linked"; exit 1; }
fi

mkdir "$tmp/host" "$tmp/static"
cp "$here/consumer.c" "$tmp/host/"
python3 "$here/exports.py" references "$tmp/dest$prefix/include" >"$tmp/host/every.c"
cd "$tmp/host"
run() { # kind, program
    echo "$1:"
    "$2" "$abi" "$features" "$license"
}

# shellcheck disable=SC2046
$cc -std=c99 -pedantic -Wall -Wextra -Werror consumer.c every.c -o shared $(pkg-config --cflags --libs vodpipe)
LD_LIBRARY_PATH=$libdir run shared ./shared
readelf -d shared | grep -q "NEEDED.*libvodpipe.so.$abi" || { echo "not linked to the shared library"; exit 1; }
if readelf -d shared | grep -Eq 'NEEDED.*(libav|libsw|x264|jansson)'; then
    echo "a shared host needs our dependencies itself"
    exit 1
fi

# Static: a directory where only the archive is, so that -lvodpipe can mean nothing else.
cp "$libdir/libvodpipe.a" "$tmp/static/"
# shellcheck disable=SC2046
$cc -std=c99 -pedantic -Wall -Wextra -Werror consumer.c every.c -o static $(pkg-config --cflags vodpipe) \
    $(pkg-config --static --libs vodpipe | sed "s|-L$libdir|-L$tmp/static|")
run static ./static
if [ -n "${VODPIPE_AVUTIL:-}" ]; then
    names_media static || { echo "the static host does not name what it loads"; exit 1; }
fi
if readelf -d static | grep -q 'NEEDED.*vodpipe'; then
    echo "the static host needs libvodpipe.so"
    exit 1
fi
