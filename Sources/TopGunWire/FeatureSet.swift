package import TopGunModel

/// Extensions that one side or both can do (protocol.md 16).
package struct FeatureSet: OptionSet, Hashable, Sendable {
    package let rawValue: UInt16

    package init(rawValue: UInt16) {
        self.rawValue = rawValue
    }

    /// OP_ACK carries a result for every operation.
    package static let results = FeatureSet(rawValue: 1 << 0)
    /// LEVEL_UP when an operation reaches a higher level later.
    package static let levels = FeatureSet(rawValue: 1 << 1)
    /// A stamp too far ahead is answered, not replaced.
    package static let clock = FeatureSet(rawValue: 1 << 2)
    /// Operations carry fencing tokens.
    package static let fencing = FeatureSet(rawValue: 1 << 3)
    /// 128-bit Merkle hashes beside the 32-bit ones.
    package static let hash128 = FeatureSet(rawValue: 1 << 4)
    /// Cursors that spare the walk of the tree.
    package static let delta = FeatureSet(rawValue: 1 << 5)
    /// Numbered events and query updates.
    package static let seq = FeatureSet(rawValue: 1 << 6)
    /// The server asks for what only the client has.
    package static let pull = FeatureSet(rawValue: 1 << 7)
    /// Locks that say no.
    package static let locks = FeatureSet(rawValue: 1 << 8)
    /// `bin` inside values.
    package static let binary = FeatureSet(rawValue: 1 << 9)
    /// Errors that say when to try again, and RESYNC.
    package static let flow = FeatureSet(rawValue: 1 << 10)

    /// The version of the protocol that has features.
    package static let protocolVersion: Int64 = 3

    /// Every feature with its word, in the order of protocol.md.
    private static var words: [(FeatureSet, StaticString)] {
        [
            (.results, "results"), (.levels, "levels"), (.clock, "clock"), (.fencing, "fencing"), (.hash128, "hash128"),
            (.delta, "delta"), (.seq, "seq"), (.pull, "pull"), (.locks, "locks"), (.binary, "binary"), (.flow, "flow"),
        ]
    }

    /// The features that the words name; words that nobody here knows are left out.
    package init(names: [ByteString]) {
        var features: FeatureSet = []
        for name in names {
            for (feature, word) in Self.words where name.equals(word) { features.insert(feature) }
        }
        self = features
    }

    package var names: [ByteString] {
        Self.words.compactMap { contains($0.0) ? ByteString($0.1) : nil }
    }
}

extension ByteString {
    init(_ text: StaticString) {
        self.init(copying: UnsafeRawBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
    }

    func equals(_ text: StaticString) -> Bool {
        bytes.withUnsafeBytes { FieldName($0) == text }
    }
}
