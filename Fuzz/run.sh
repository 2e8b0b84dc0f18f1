#!/bin/sh
# Builds a fuzz target and runs it: Fuzz/run.sh TARGET SECONDS. Linux; what it finds stays in .build/fuzz/TARGET.
#
# The sources and the target become one module, so that the sanitizer's counters are in all of them and the target can
# reach everything; their imports of each other are taken out of the copies.
set -eu
target=${1:?Fuzz/run.sh TARGET SECONDS}
seconds=${2:-60}
here=$(cd "$(dirname "$0")" && pwd)
root=$(dirname "$here")
work=${FUZZ_WORK:-$root/.build/fuzz}/$target
export SWIFT_BACKTRACE=enable=no

rm -rf "$work/sources"
mkdir -p "$work/sources" "$work/corpus" "$work/found"
number=0
find "$root/Sources/TopGunModel" "$root/Sources/TopGunWire" -name '*.swift' | sort | while read -r file; do
    number=$((number + 1))
    # Two modules may have a Limits.swift each.
    sed -E '/^(package |public )?import TopGun[A-Za-z]*$/d' "$file" \
        >"$work/sources/$number-$(basename "$file")"
done
cp "$here/$target.swift" "$work/sources/"

swiftc -swift-version 6 -O -enforce-exclusivity=checked -sanitize=fuzzer,address -parse-as-library -package-name topgun \
    -module-name TopGunFuzz -enable-upcoming-feature ExistentialAny -o "$work/fuzz" "$work"/sources/*.swift
python3 "$here/corpus.py" "$root/Tests/Vectors" "$work/seeds"
exec "$work/fuzz" -max_total_time="$seconds" -max_len=65536 -timeout=5 -malloc_limit_mb=64 -rss_limit_mb=1024 \
    -artifact_prefix="$work/found/" -print_final_stats=1 "$work/corpus" "$work/seeds"
