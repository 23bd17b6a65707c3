#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# sh tests/support/style.sh [--fix]: the C files as clang-format 14 (Debian 12) lays them out by .clang-format.
# Other versions differ in details; exit 77 where there is only such a one.
set -eu
cd "$(dirname "$0")/../.."
tool=""
for name in clang-format-14 clang-format; do
    if command -v "$name" >/dev/null && "$name" --version | grep -q 'version 14\.'; then
        tool=$name
        break
    fi
done
[ -n "$tool" ] || { echo "style.sh: clang-format 14 is not here"; exit 77; }
if [ "${1:-}" = --fix ]; then
    mode=-i
else
    mode="--dry-run --Werror --ferror-limit=3"
fi
# shellcheck disable=SC2086
find include lib examples tests -name '*.[ch]' -print0 | sort -z | xargs -0 -r "$tool" $mode || {
    echo "style.sh: to lay the files out: sh tests/support/style.sh --fix"
    exit 1
}
