# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=sh
# Installs what is missing; sourced by tests/run.sh, examples/demo.sh and .ci/run, from the root of the tree.
#
#   need_packages GROUP...   ends the script with one line when something cannot be had
#   want_packages GROUP...   says what is left out, returns 1
#   want_venv DIR            a Python environment with tests/support/requirements.txt, in the same way
#
# Groups: build test demo player bindings browser uploads kafka edge bench ci. Only what is not there is installed, from Debian's or
# Ubuntu's packages and without recommended extras; a tool that was installed in another way is taken as it is.

deps_die() {
    echo "${0##*/}: $*" >&2
    exit 1
}

# One line a need: check, Debian package, oldest version of the package that will do.
#   c:NAME[|NAME] a command    p:NAME:VERSION a pkg-config module    f:PATH a file    y:MODULE a Python module
deps_list() {
    case $1 in
    build)
        cat <<'LIST'
c:cc|gcc gcc
f:/usr/include/stdio.h libc6-dev
c:pkg-config pkg-config
c:python3 python3
c:meson meson 1.0
c:ninja ninja-build
p:libavformat:59.27 libavformat-dev 7:5.1
p:libavcodec:59.37 libavcodec-dev 7:5.1
p:libavfilter:8.44 libavfilter-dev 7:5.1
p:libswscale:6.7 libswscale-dev 7:5.1
p:libswresample:4.7 libswresample-dev 7:5.1
p:libavutil:57.28 libavutil-dev 7:5.1
p:x264:0.157 libx264-dev
p:jansson:2.14 libjansson-dev 2.14
p:libcrypto:3.0 libssl-dev 3.0
p:expat:2.4 libexpat1-dev
p:libcurl:7.84 libcurl4-openssl-dev 7.84
p:zlib:1.2.11 zlib1g-dev
LIST
        ;;
    test)
        cat <<'LIST'
p:cmocka:1.1.5 libcmocka-dev
c:g++ g++
c:ffmpeg ffmpeg
c:ffprobe ffmpeg
c:strace strace
c:xmllint libxml2-utils
c:openssl openssl
c:curl curl
y:pytest python3-pytest
y:ensurepip python3-venv
LIST
        ;;
    demo)
        cat <<'LIST'
c:ffmpeg ffmpeg
f:/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf fonts-dejavu-core
LIST
        ;;
    player) echo "c:npm npm" ;;
    uploads) echo "p:libmicrohttpd:0.9.75 libmicrohttpd-dev 0.9.75" ;;
    bindings) echo "c:go golang-go" ;;
    browser)
        cat <<'LIST'
c:chromium|google-chrome chromium
c:node nodejs
c:npm npm
LIST
        ;;
    kafka)
        cat <<'LIST'
p:rdkafka:1.9 librdkafka-dev 1.9
c:java default-jre-headless
c:mvn maven
LIST
        ;;
    edge) echo "c:nginx|/usr/sbin/nginx nginx" ;;
    bench)
        cat <<'LIST'
c:ffmpeg ffmpeg
y:ensurepip python3-venv
LIST
        ;;
    ci)
        cat <<'LIST'
c:clang clang
c:clang-format clang-format
LIST
        ;;
    *) deps_die "no package group '$1'" ;;
    esac
}

deps_have() {
    case $1 in
    c:*)
        for deps_name in $(echo "${1#c:}" | tr '|' ' '); do
            command -v "$deps_name" >/dev/null 2>&1 && return 0
        done
        return 1
        ;;
    p:*)
        deps_name=${1#p:}
        pkg-config --atleast-version="${deps_name#*:}" "${deps_name%%:*}" 2>/dev/null
        ;;
    f:*) [ -e "${1#f:}" ] ;;
    y:*) python3 -c "import ${1#y:}" 2>/dev/null ;;
    esac
}

# Sets deps_missing (packages) and deps_floors (package=version).
deps_find() {
    deps_missing="" deps_floors=""
    for deps_group in "$@"; do
        while read -r deps_check deps_package deps_floor; do
            deps_have "$deps_check" && continue
            case " $deps_missing " in *" $deps_package "*) continue ;; esac
            deps_missing="$deps_missing${deps_missing:+ }$deps_package"
            [ -n "$deps_floor" ] && deps_floors="$deps_floors $deps_package=$deps_floor"
        done <<END
$(deps_list "$deps_group")
END
    done
    return 0
}

deps_candidate() {
    apt-cache policy "$1" 2>/dev/null | sed -n 's/^  Candidate: //p' | grep -v '(none)'
}

deps_apt() {
    DEBIAN_FRONTEND=noninteractive $deps_sudo apt-get -qq -o DPkg::Lock::Timeout=300 "$@" </dev/null
}

# Installs deps_missing. On failure deps_why holds one line and the return value is 1.
deps_install() {
    deps_why="" deps_sudo=""
    if ! command -v apt-get >/dev/null 2>&1; then
        deps_why="missing: $deps_missing (names of Debian packages); there is no apt-get here, install them by hand"
        return 1
    fi
    if [ "$(id -u)" != 0 ]; then
        if command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
            deps_sudo="sudo -n env DEBIAN_FRONTEND=noninteractive"
        else
            deps_why="missing: $deps_missing; as root run: apt-get install --no-install-recommends $deps_missing"
            return 1
        fi
    fi
    deps_fresh=""
    for deps_package in $deps_missing; do
        if [ -z "$(deps_candidate "$deps_package")" ] && [ -z "$deps_fresh" ]; then
            deps_fresh=1
            echo "deps: apt-get update"
            deps_apt update || true
        fi
        if [ -z "$(deps_candidate "$deps_package")" ]; then
            deps_why="no package $deps_package in this system's package lists"
            return 1
        fi
    done
    for deps_pair in $deps_floors; do
        deps_version=$(deps_candidate "${deps_pair%%=*}")
        if ! dpkg --compare-versions "$deps_version" ge "${deps_pair#*=}"; then
            deps_why="this system offers ${deps_pair%%=*} $deps_version, ${deps_pair#*=} or newer is needed \
(Debian 12, Ubuntu 24.04 and newer have it)"
            return 1
        fi
    done
    echo "deps: installing with apt-get: $deps_missing"
    deps_log=$(mktemp)
    # shellcheck disable=SC2086
    if ! deps_apt install -y --no-install-recommends $deps_missing >"$deps_log" 2>&1; then
        # An old list names packages that the mirror has replaced.
        if [ -n "$deps_fresh" ] || ! deps_apt update ||
            ! deps_apt install -y --no-install-recommends $deps_missing >"$deps_log" 2>&1; then
            deps_why="apt-get could not install $deps_missing: $(grep -m1 '^E:' "$deps_log" || tail -n 1 "$deps_log")"
            rm -f "$deps_log"
            return 1
        fi
    fi
    rm -f "$deps_log"
    return 0
}

need_packages() {
    deps_find "$@"
    [ -z "$deps_missing" ] && return 0
    deps_install || deps_die "$deps_why"
    deps_wanted=$deps_missing
    deps_find "$@"
    [ -z "$deps_missing" ] || deps_die "still missing after installing $deps_wanted: $deps_missing"
}

want_packages() {
    deps_find "$@"
    [ -z "$deps_missing" ] && return 0
    deps_install && return 0
    echo "deps: going on without $*: $deps_why"
    return 1
}

want_venv() {
    deps_want=tests/support/requirements.txt
    cmp -s "$deps_want" "$1/requirements.txt" && return 0
    deps_names=$(grep -v '^#' "$deps_want" | tr '\n' ' ')
    echo "deps: installing with pip into $1: $deps_names"
    mkdir -p "$(dirname "$1")"
    deps_log=$(mktemp)
    if python3 -m venv --clear --system-site-packages "$1" >"$deps_log" 2>&1 &&
        "$1/bin/python3" -m pip install --quiet --disable-pip-version-check -r "$deps_want" >>"$deps_log" 2>&1; then
        cp "$deps_want" "$1/requirements.txt"
        rm -f "$deps_log"
        return 0
    fi
    echo "deps: going on without $deps_names: $(tail -n 1 "$deps_log")"
    rm -rf "$deps_log" "$1"
    return 1
}
