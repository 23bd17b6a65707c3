#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# sh tests/fuzz/run.sh SECONDS [TARGET...]
#
# Builds the targets with libFuzzer, AddressSanitizer and UBSan in ${VODPIPE_FUZZ_BUILD:-build-fuzz} (needs clang and
# its compiler-rt: libclang-rt-14-dev in Debian 12) and runs each one that long, one after another. What it learns
# stays in the build folder (corpus/TARGET), so that the next run goes on from there; inputs that crash, hang or take
# too much memory go to tests/fuzz/found/TARGET/. One line a target: executions, coverage, crashes; exit 1 when
# there was a crash, 77 without clang. A run goes on after a crash until its time is up.
set -eu
cd "$(dirname "$0")/../.."
seconds=${1:?usage: run.sh SECONDS [TARGET...]}
shift
build=${VODPIPE_FUZZ_BUILD:-build-fuzz}
case $build in /*) ;; *) build=$PWD/$build ;; esac
found=$PWD/tests/fuzz/found
corpus=$PWD/tests/fuzz/corpus

mkdir -p "$build"
printf '#include <stddef.h>\nint LLVMFuzzerTestOneInput(const char *d, size_t n);\n%s\n' \
    'int LLVMFuzzerTestOneInput(const char *d, size_t n) { return !d && n; }' >"$build/try.c"
if ! clang -fsanitize=fuzzer,address,undefined "$build/try.c" -o "$build/try" 2>"$build/try.log"; then
    echo "run.sh: clang with libFuzzer and AddressSanitizer is not here (libclang-rt-14-dev)"
    exit 77
fi
if [ ! -f "$build/meson-private/coredata.dat" ]; then
    CC=clang meson setup "$build" -Dfuzzing=libfuzzer -Db_lundef=false -Dbindings=false -Dexamples=false \
        >"$build/setup.log" 2>&1 || { cat "$build/setup.log"; exit 1; }
fi
ninja -C "$build" fuzzers >"$build/build.log" 2>&1 || { tail -n 40 "$build/build.log"; exit 1; }

if [ $# = 0 ]; then
    for file in tests/fuzz/fuzz_*.c; do
        name=${file##*/fuzz_}
        set -- "$@" "${name%.c}"
    done
fi
export UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1
status=0
for name in "$@"; do
    program=$build/tests/fuzz/fuzz_$name
    [ -x "$program" ] || { echo "$name: not built"; status=1; continue; }
    seeds=$corpus/$name
    case $name in structure | probe | scan | demux) seeds="$corpus/media $seeds" ;; esac
    mkdir -p "$build/corpus/$name" "$found/$name"
    dirs=$build/corpus/$name
    for dir in $seeds; do
        [ ! -d "$dir" ] || dirs="$dirs $dir"
    done
    log=$build/$name.log
    : >"$log"
    end=$(($(date +%s) + seconds))
    execs=0
    before=$(find "$found/$name" -type f | wc -l)
    # libFuzzer ends with the first crash: again with the time that is left.
    while left=$((end - $(date +%s))) && [ "$left" -gt 0 ]; do
        ok=0
        # shellcheck disable=SC2086
        "$program" -max_total_time="$left" -timeout=20 -rss_limit_mb=2048 -malloc_limit_mb=1024 -max_len=16384 \
            -artifact_prefix="$found/$name/" -print_final_stats=1 $dirs >"$build/$name.part" 2>&1 || ok=$?
        cat "$build/$name.part" >>"$log"
        n=$(sed -n 's/^stat::number_of_executed_units: *//p' "$build/$name.part" | tail -n 1)
        execs=$((execs + ${n:-0}))
        [ "$ok" != 0 ] || break
    done
    crashes=$(($(find "$found/$name" -type f | wc -l) - before))
    cover=$(sed -n 's/.* cov: \([0-9]*\) .*/\1/p' "$log" | tail -n 1)
    echo "$name: $execs executions, coverage ${cover:-0}, $crashes crashes"
    rmdir "$found/$name" 2>/dev/null || true
    [ "$crashes" = 0 ] || status=1
done
rmdir "$found" 2>/dev/null || true
exit "$status"
