#!/bin/sh
# Builds the fuzzer and runs its targets: Fuzz/run.sh SECONDS [TARGET], or Fuzz/run.sh TARGET --replay FILE. Linux.
#
# What is found stays in .build/fuzz/TARGET/found, what was learnt in .build/fuzz/TARGET/corpus. At the end stands a
# table; the exit code is 1 if a target found anything.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
work=${FUZZ_WORK:-$root/.build/fuzz}
scratch=${FUZZ_SCRATCH:-$root/.build/fuzz/build}
swift=${SWIFT:-swift}
export SWIFT_BACKTRACE=enable=no FUZZING=1

# libFuzzer without its own `main`; the Swift driver links it only together with that.
runtime=$(dirname "$($swift -print-target-info | sed -n 's/.*"runtimeResourcePath": *"\(.*\)".*/\1/p')")
fuzzer=$(find "$runtime" -name "libclang_rt.fuzzer_no_main-$(uname -m).a" 2>/dev/null | head -n 1)
[ -n "$fuzzer" ] || { echo "This Swift toolchain has no libFuzzer." >&2; exit 2; }

build() (
    cd "$root"
    $swift build -c release --sanitize address --scratch-path "$scratch" --product topgun-fuzz \
        -Xswiftc -use-ld=lld -Xlinker "$fuzzer" -Xlinker -lstdc++ "$@"
)

build >&2
program=$(build --show-bin-path)/topgun-fuzz
# Memory that is still reachable from a pool is no leak, and Swift's runtime keeps some; growth is measured by the targets.
export ASAN_OPTIONS=detect_leaks=0

if [ "${2:-}" = --replay ]; then
    exec "$program" run "$1" "$3"
fi

seconds=${1:-60}
targets=${2:-$("$program" list)}
summary=$work/summary
mkdir -p "$work"
printf '%-14s %12s %10s %10s %9s\n' target runs 'runs/s' coverage findings >"$summary"
status=0
for target in $targets; do
    folder=$work/$target
    mkdir -p "$folder/corpus" "$folder/found"
    rm -rf "$folder/seeds"
    "$program" prepare "$target" "$folder"
    echo "$target for $seconds seconds; its log is $folder/log" >&2
    before=$(find "$folder/found" -type f | wc -l)
    result=0
    left=$seconds
    rm -f "$folder/log"
    # A process for twenty seconds: a simulated node that is killed leaves its unfinished tasks behind, for good.
    while [ "$left" -gt 0 ] && [ "$result" = 0 ]; do
        slice=$((left < 20 ? left : 20))
        left=$((left - slice))
        "$program" run "$target" -max_total_time="$slice" -timeout=10 -malloc_limit_mb=256 -rss_limit_mb=4096 \
            -dict="$folder/words" -artifact_prefix="$folder/found/" -print_final_stats=1 -reload=0 \
            "$folder/corpus" "$folder/seeds" >>"$folder/log" 2>&1 || result=$?
    done
    runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$folder/log" | awk '{ sum += $1 } END { print sum + 0 }')
    speed=$((runs / (seconds - left > 0 ? seconds - left : 1)))
    coverage=$(sed -n 's/.* cov: \([0-9]*\).*/\1/p' "$folder/log" | tail -n 1)
    findings=$(($(find "$folder/found" -type f | wc -l) - before))
    printf '%-14s %12s %10s %10s %9s\n' "$target" "${runs:--}" "${speed:--}" "${coverage:--}" "$findings" >>"$summary"
    if [ "$result" != 0 ] || [ "$findings" != 0 ]; then
        status=1
        grep -m 3 -E 'Fatal error|ERROR: |SUMMARY: ' "$folder/log" >&2 || true
        for file in $(find "$folder/found" -type f -newer "$folder/words"); do
            echo "found: $file" >&2
            echo "  replay it with: Fuzz/run.sh $target --replay $file" >&2
        done
    fi
done
cat "$summary"
exit $status
