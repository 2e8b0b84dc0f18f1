/// Map names that clients may not touch: those that start with `_topgun_` or `__topgun_`, in any case (protocol.md 1.5).
package enum ReservedNames {
    package static func contain(_ name: UnsafeRawBufferPointer) -> Bool {
        starts(name, at: 0) || (name.count > 0 && name[0] == UInt8(ascii: "_") && starts(name, at: 1))
    }

    private static func starts(_ name: UnsafeRawBufferPointer, at start: Int) -> Bool {
        let prefix: StaticString = "_topgun_"
        guard name.count - start >= prefix.utf8CodeUnitCount else { return false }
        for index in 0..<prefix.utf8CodeUnitCount {
            var byte = name[start + index]
            if byte >= UInt8(ascii: "A"), byte <= UInt8(ascii: "Z") { byte |= 0x20 }
            guard byte == prefix.utf8Start[index] else { return false }
        }
        return true
    }
}
