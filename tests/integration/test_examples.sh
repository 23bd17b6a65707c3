#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# The small hosts of examples/ do what their first comment says; the clips and half of the judging are ffmpeg's.
set -eu
command -v ffmpeg >/dev/null && command -v ffprobe >/dev/null || {
    echo "no ffmpeg here"
    exit 77
}
src=$VODPIPE_SRC
at=$VODPIPE_BUILD/examples
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
trap 'exit 1' INT TERM
cd "$tmp"

die() {
    echo "test_examples.sh: $*" >&2
    exit 1
}
run() { # name of the host, arguments
    name=$1
    shift
    echo "== $name"
    nice "$at/example_$name" "$@" >"$tmp/stdout" 2>"$tmp/stderr" || {
        cat "$tmp/stdout" "$tmp/stderr"
        die "$name failed"
    }
}
fails() { # status, name, arguments
    want=$1 name=$2
    shift 2
    status=0
    "$at/example_$name" "$@" >"$tmp/stdout" 2>"$tmp/stderr" || status=$?
    [ "$status" = "$want" ] || die "$name $* exits $status, not $want"
}
says() { grep -q -- "$1" "$tmp/stdout" "$tmp/stderr" || { cat "$tmp/stdout" "$tmp/stderr"; die "not said: $1"; }; }
# Every host says how it is used, and leaves nothing then.
for file in "$src"/examples/*.c; do
    fails 2 "$(basename "$file" .c)"
    says usage:
done

encode() { # size, file
    nice ffmpeg -v error -nostdin -y -f lavfi -i "testsrc2=size=$1:rate=25:duration=8" -f lavfi \
        -i "sine=440:duration=8:sample_rate=48000" -c:v libx264 -preset ultrafast -threads 1 -bf 0 -g 50 -keyint_min 50 \
        -sc_threshold 0 -x264-params aud=1 -c:a aac -b:a 96k "$2"
}
encode 320x180 big.mp4
encode 160x90 small.mp4
ffmpeg -v error -nostdin -i big.mp4 -map 0:v -c copy -bsf:v h264_mp4toannexb big.h264 -map 0:a -c copy big.aac
head -c 100000 /dev/urandom >junk.mp4

# Pictures that a player finds in a title's best rung.
pictures() {
    ffprobe -v error -select_streams v:0 -count_frames -show_entries stream=nb_read_frames -of csv=p=0 "$1" | head -n 1
}
has_pictures() {
    got=$(pictures "$tmp/$1" | tr -d ",")
    [ "$got" = "$2" ] || die "$1 has $got pictures, not $2"
}
whole() { "$VODPIPE_BIN" verify --decode "$1" >"$tmp/report" || { cat "$tmp/report"; die "$1 breaks rules"; }; }

run probe_file big.mp4
says 'mov\|mp4'
says 'video 0: h264 320x180, 25/1 fps'
says 'audio 1: aac 48000 Hz'
fails 1 probe_file junk.mp4
says '^refused: INPUT_UNRECOGNISED'

run publish_file big.mp4 title
says published
whole title
has_pictures title/master.m3u8 200
has_pictures title/manifest.mpd 200
run publish_file big.mp4 title
says 'was there already'
fails 1 publish_file junk.mp4 other
says INPUT_UNRECOGNISED

# The listing is what the tool makes of the same clip.
run callbacks big.mp4
sort -k 2 stdout >listing
"$VODPIPE_BIN" publish big.mp4 plain --prefix none >/dev/null 2>&1 || die "publish --prefix none"
(cd plain && find . -type f | sed 's|^\./||' | sort) >want
awk '{ print $2 }' listing | sort >have
diff want have || die "callbacks keeps other objects than a directory does"
# presentation.json and the like hold no time or path: sizes are equal too
awk '{ print $1, $2 }' listing | while read -r size key; do
    [ "$size" = "$(wc -c <"plain/$key")" ] || die "$key has $size bytes"
done

run push_packager big.h264 25 big.aac pushed
whole pushed
has_pictures pushed/master.m3u8 200
has_pictures pushed/manifest.mpd 200

run package_renditions packaged big.mp4 small.mp4
says '^180p '
says '^90p '
whole packaged
has_pictures packaged/master.m3u8 200
has_pictures packaged/master-ts.m3u8 200

run manifests_from_json title/presentation.json
cat title/master.m3u8 title/manifest.mpd | cmp - stdout || die "manifests differ from the published ones"
fails 1 manifests_from_json big.mp4

run own_threads big.mp4 threads 3
whole threads
rm -rf title/.vodpipe
diff -r title threads || die "own threads make other bytes than a job"

# Three at once, one of them killed and started again, as a batch system does; then one that comes too late.
echo "== worker.sh"
VODPIPE=$VODPIPE_BIN
export VODPIPE
"$VODPIPE" plan big.mp4 "$tmp/many" --work "$tmp/w" >/dev/null 2>&1 || die "plan"
setsid sh "$src/examples/worker.sh" "$tmp/w" >one.log 2>&1 &
one=$!
until [ -d "$tmp/w/lease" ] || ! kill -0 "$one" 2>/dev/null; do sleep 0.05; done # it runs a task
sh "$src/examples/worker.sh" "$tmp/w" >two.log 2>&1 &
two=$!
kill -9 "-$one" 2>/dev/null || true # with what it runs, as a container goes
wait "$one" 2>/dev/null || sh "$src/examples/worker.sh" "$tmp/w" >one.log 2>&1 || { cat one.log; die "worker.sh, again"; }
wait "$two" || { cat two.log; die "worker.sh"; }
sh "$src/examples/worker.sh" "$tmp/w" || die "worker.sh of a title that is out"
[ ! -e "$tmp/w/plan.json" ] || { cat one.log two.log; die "three workers do not publish"; }
find many -name '.*.tmp-*' -delete # what the killed one was writing
diff -r title many || die "workers make other bytes than a job"

# The first host is C++ too.
if command -v "${CXX:-c++}" >/dev/null; then
    "${CXX:-c++}" -std=c++17 -pedantic -Wall -Wextra -Werror -I "$src/include" -fsyntax-only -x c++ \
        "$src/examples/publish_file.c" || die "publish_file.c is no C++"
fi
echo "all hosts work"
