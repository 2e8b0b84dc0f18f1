/// Why bytes are not the MessagePack value that was asked for.
package enum MessagePackError: UInt8, Error, Equatable, Sendable {
    /// The value ends before its declared length, or the bytes do.
    case truncated
    /// A value of another kind stands there.
    case wrongKind
    /// A number that has a fraction, is not finite, or does not fit 64 signed bits.
    case notAnInteger
    /// Text that is not well-formed UTF-8.
    case notUTF8
    /// More containers inside each other than allowed.
    case tooDeep
    /// The one head byte that MessagePack never uses, `0xc1`.
    case reserved
}
