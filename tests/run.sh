#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# sh tests/run.sh [arguments of meson test]
#
# Installs what is missing, builds into ${VODPIPE_BUILD:-build} and runs all tests. The last line is
# "N passed, N failed, N skipped"; exit 0 when none failed. With CI_FULL=1 the long tests run in full, with
# CI=true a warning of the compiler is an error.
set -eu
cd "$(dirname "$0")/.."
. tests/support/deps.sh

build=${VODPIPE_BUILD:-build}
case $build in /*) ;; *) build=$(pwd)/$build ;; esac
need_packages build test
want_packages bindings || true
want_packages browser || true
want_packages kafka || true
want_packages uploads || true
# Where systemd runs, Debian's package starts a server on port 80, which nobody asked for.
if [ "${CI:-}" = true ] || [ ! -d /run/systemd/system ]; then want_packages edge || true; fi
VODPIPE_VENV=${VODPIPE_VENV:-$build/venv}
export VODPIPE_VENV
want_venv "$VODPIPE_VENV" || true

again=""
[ -f "$build/meson-private/coredata.dat" ] && again=--reconfigure
werror=false
[ "${CI:-}" = true ] && werror=true
echo "run.sh: configuring and building in $build"
mkdir -p "$build"
meson setup $again "$build" -Dwerror=$werror >"$build/setup.log" 2>&1 || {
    cat "$build/setup.log"
    deps_die "meson setup failed"
}
ninja -C "$build" || deps_die "the build failed"

log=$build/meson-logs/testlog.json
rm -f "$log"
status=0
meson test -C "$build" --no-rebuild --print-errorlogs "$@" || status=$?
[ -f "$log" ] || deps_die "no test ran"
python3 tests/support/tally.py "$log" || status=1
exit "$status"
