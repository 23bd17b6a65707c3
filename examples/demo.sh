#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# sh examples/demo.sh [--no-serve] [VIDEO]
#
# Installs what is missing, builds, publishes VIDEO (or a clip that it makes) and serves it on 127.0.0.1 with a page
# that plays it and switches between rungs. --no-serve stops before serving. Folders of its own, kept between runs:
# build-demo (VODPIPE_BUILD) and demo-out (VODPIPE_DEMO_OUT).
set -eu
serve=1 video=""
while [ $# -gt 0 ]; do
    case $1 in
    --no-serve) serve=0 ;;
    --) shift && break ;;
    -h | --help)
        sed -n '3,8s/^# \{0,1\}//p' "$0"
        exit 0
        ;;
    -*)
        echo "demo.sh: unknown option $1; usage: sh examples/demo.sh [--no-serve] [VIDEO]" >&2
        exit 2
        ;;
    *) break ;;
    esac
    shift
done
[ $# -le 1 ] || {
    echo "demo.sh: one VIDEO at a time" >&2
    exit 2
}
absolute() {
    case $1 in /*) printf '%s\n' "$1" ;; *) printf '%s/%s\n' "$(pwd)" "$1" ;; esac
}
[ $# = 0 ] || video=$(absolute "$1")
out=${VODPIPE_DEMO_OUT:+$(absolute "$VODPIPE_DEMO_OUT")}
build=${VODPIPE_BUILD:+$(absolute "$VODPIPE_BUILD")}
cd "$(dirname "$0")/.."
out=${out:-$(pwd)/demo-out}
build=${build:-$(pwd)/build-demo}
. tests/support/deps.sh

if [ -n "$video" ] && [ ! -f "$video" ]; then
    deps_die "$video: no such file"
fi
need_packages build
[ -n "$video" ] || need_packages demo
want_packages player || true # without npm the page plays where the browser itself plays HLS

echo "demo.sh: building in $build"
mkdir -p "$build"
if [ ! -f "$build/build.ninja" ]; then
    meson setup "$build" -Dbuildtype=release -Dtests=false -Dbindings=false -Dmedia=enabled \
        >"$build/setup.log" 2>&1 || {
        cat "$build/setup.log" >&2
        deps_die "meson setup failed"
    }
fi
ninja -C "$build" >"$build/ninja.log" 2>&1 || {
    tail -n 40 "$build/ninja.log" >&2
    deps_die "the build failed"
}

# 30 s of 720p: a moving picture with its time burnt in; each second a white flash of one frame and a beep.
if [ -z "$video" ]; then
    video=$build/demo.mp4
    if [ ! -s "$video" ]; then
        echo "demo.sh: making a clip of 30 s, $video"
        font=/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf
        ffmpeg -v error -nostdin -y \
            -f lavfi -i "testsrc2=size=1280x720:rate=30:duration=30" \
            -f lavfi -i "aevalsrc=exprs='0.5*sin(2*PI*1000*t)*lt(mod(t,1),0.033)':duration=30:sample_rate=48000" \
            -vf "drawbox=color=white:t=fill:enable='lt(mod(t+0.001,1),0.033)',drawtext=fontfile=$font:text='%{pts\:hms}':\
fontsize=96:fontcolor=white:box=1:boxcolor=black@0.6:boxborderw=16:x=(w-tw)/2:y=h-th-60" \
            -c:v libx264 -preset veryfast -crf 20 -pix_fmt yuv420p -c:a aac -b:a 128k -ac 2 -movflags +faststart \
            "$build/demo.part.mp4" || deps_die "ffmpeg could not make the clip"
        mv "$build/demo.part.mp4" "$video"
    fi
fi

echo "demo.sh: publishing $video to $out"
"$build/examples/vodpipe/vodpipe" publish --player -- "$video" "$out"
echo "demo.sh: the title is in $out (master.m3u8 for HLS, manifest.mpd for DASH)"
[ "$serve" = 1 ] || exit 0
echo "demo.sh: serving until Ctrl-C; open this address in a browser:"
exec python3 examples/serve.py "$out"
