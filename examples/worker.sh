#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# worker.sh WORK: runs tasks of the title that `vodpipe plan` left in WORK until none is free, then tries to publish. For
# batch systems, which start a command many times over and again when it failed: start as many as you like, the last one
# publishes. Exit 0: nothing is left to do here. 1: something failed, start it again. 3: stopped between two tasks.
set -u
work=${1:?"usage: worker.sh WORK"}
vodpipe=${VODPIPE:-vodpipe}
trap 'exit 3' TERM INT

# Once a title is published its plan is gone, whoever did it.
open() { [ -e "$work/plan.json" ]; }

asked=
while open; do
    task=$("$vodpipe" run --work "$work" --task next --progress none) || { open && exit 1; exit 0; }
    if [ "$task" != none ]; then
        echo "$task"
        asked=
        continue
    fi
    [ -z "$asked" ] || exit 0 # others run what is missing, and publish
    said=$("$vodpipe" finish --work "$work" --progress none 2>&1) && break
    case $said in
    *TASKS_MISSING*) asked=yes ;; # what was lost may be run again now
    *ALREADY_RUNNING*) sleep 1 ;; # another one looks just now, perhaps a moment too early
    *) open && { echo "$said" >&2; exit 1; } ;;
    esac
done
exit 0 # published, by this one or another
