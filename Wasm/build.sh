#!/bin/sh
# Builds the browser module: Model, Query, Wire, Replica and Web as one Embedded Swift module for wasm32.
#
# The five targets are compiled as one module, because Embedded Swift for WebAssembly links nothing else; so their imports
# of each other are taken out first. Prints the sizes. usage: Wasm/build.sh [output folder]
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
out=${1:-$root/.build/wasm}
toolchain=$(dirname "$(readlink -f "$(command -v "${SWIFTC:-swiftc}")")")
module=TopGunWeb
target=wasm32-unknown-none-wasm

rm -rf "$out/sources"
mkdir -p "$out/sources"
for room in TopGunModel TopGunQuery TopGunWire TopGunReplica TopGunWeb; do
    find "$root/Sources/$room" -name '*.swift' | while read -r file; do
        name=$(printf '%s' "${file#"$root/Sources/"}" | tr '/' '-')
        sed -E -e '/^((package|internal|public) )?import TopGun[A-Za-z]+$/d' \
            -e "s/(^|[^A-Za-z.])TopGun(Model|Query|Wire|Replica)\./\1$module./g" "$file" >"$out/sources/$name"
    done
done

"$toolchain/swiftc" -swift-version 6 -warnings-as-errors \
    -enable-upcoming-feature ExistentialAny -enable-upcoming-feature InternalImportsByDefault \
    -enable-upcoming-feature MemberImportVisibility -enable-upcoming-feature NonisolatedNonsendingByDefault \
    -enable-upcoming-feature InferIsolatedConformances \
    -enable-experimental-feature Extern \
    -target "$target" -enable-experimental-feature Embedded -wmo -parse-as-library -Osize \
    -package-name topgun -module-name "$module" -Xfrontend -disable-stack-protector \
    -c "$out"/sources/*.swift -o "$out/topgun.o"

"$toolchain/clang" --target=wasm32-unknown-none -Oz -mbulk-memory -nostdlib -ffreestanding -fno-builtin \
    -Wall -Wextra -Werror -c "$root/Wasm/stubs.c" -o "$out/stubs.o"

"$toolchain/wasm-ld" --no-entry --gc-sections --strip-all --stack-first -z stack-size=1048576 \
    "$out/topgun.o" "$out/stubs.o" \
    "$toolchain/../lib/swift/embedded/$target/libswiftUnicodeDataTables.a" -o "$out/topgun.wasm"

echo "topgun.wasm: $(wc -c <"$out/topgun.wasm") bytes, $(gzip -9 -c "$out/topgun.wasm" | wc -c) gzipped"
