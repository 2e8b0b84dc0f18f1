#!/bin/sh
# Builds all tests with a sanitizer and runs those on real sockets and threads: Fuzz/sanitize.sh thread|address [FILTER].
#
# Nothing is suppressed. Linux needs one thing told to the thread sanitizer; `tsan-mutex.c` says what and why.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
sanitizer=${1:?Fuzz/sanitize.sh thread|address [FILTER]}
filter=${2:-}
[ -n "$filter" ] || filter='^(TopGunServerTests|TopGunTests)\.'
# Is about how fast a machine can be, which a sanitizer changes tenfold: connections end before all of them are there.
skipped='ten thousand idle connections'
# Needs a library that must come before everything else, as the sanitizer must.
skipped="$skipped|a server that starts with its clock"
# Gives a server so much memory and no more; a sanitizer takes a multiple of what the server does.
skipped="$skipped|a server that the kernel kills for its memory"
swift=${SWIFT:-swift}
scratch=$root/.build/sanitize-$sanitizer
reports=$scratch/reports
export SWIFT_BACKTRACE=enable=no

cd "$root"
$swift build --build-tests --sanitize "$sanitizer" --scratch-path "$scratch"
rm -rf "$reports"
mkdir -p "$reports"
case $sanitizer in
thread)
    export TSAN_OPTIONS="log_path=$reports/report history_size=5"
    if [ "$(uname -s)" = Linux ]; then
        clang -Wall -Wextra -Werror -O2 -shared -fPIC "$root/Fuzz/tsan-mutex.c" -o "$scratch/tsan-mutex.so"
        export LD_PRELOAD="$scratch/tsan-mutex.so"
    fi
    ;;
address)
    # What was freed is kept for a while, which is no memory of the server's own.
    skipped="$skipped|a hundred thousand offline writes"
    # Memory that is still reachable when a test process ends is no fault of ours; what is freed twice or too early is.
    export ASAN_OPTIONS="log_path=$reports/report detect_leaks=0"
    ;;
*)
    echo "no sanitizer $sanitizer" >&2
    exit 2
    ;;
esac
status=0
$swift test --skip-build --sanitize "$sanitizer" --scratch-path "$scratch" --no-parallel --filter "$filter" \
    --skip "$skipped" || status=$?
unset LD_PRELOAD
count=$(find "$reports" -type f | wc -l)
if [ "$count" != 0 ]; then
    status=1
    cat "$reports"/*
    echo "$count processes reported something; see $reports" >&2
fi
exit $status
