import TopGunModel
import TopGunPartition

/// What a client gives back to hear what changed in a map since it compared it: the moment at which each loop read its
/// part of the root (protocol.md 16, `delta`).
///
/// ```
///  "5f3c09a1b2d4e6f8-0.12-0.9-1.4"     incarnation, then generation and revision of every loop
/// ```
///
/// Moments mean nothing outside the process that told them, and none to a client: it may only give them back. A cursor of
/// another incarnation, or one that nobody made, is no cursor, and the client walks the tree instead.
struct SyncCursor: Equatable, Sendable {
    var marks: [LeafMark]

    init(marks: [LeafMark]) {
        self.marks = marks
    }

    /// Reads what ``text(incarnation:)`` of this process wrote; `nil` for anything else.
    init?(_ text: ByteString, incarnation: UInt64, loops: Int) {
        let parts = text.string.split(separator: "-", omittingEmptySubsequences: false)
        guard parts.count == loops + 1, parts[0] == String(incarnation, radix: 16) else { return nil }
        var marks: [LeafMark] = []
        for part in parts.dropFirst() {
            let numbers = part.split(separator: ".", omittingEmptySubsequences: false)
            guard numbers.count == 2, let generation = UInt32(numbers[0]), let revision = UInt32(numbers[1]) else {
                return nil
            }
            marks.append(LeafMark(generation: generation, revision: revision))
        }
        self.marks = marks
    }

    func text(incarnation: UInt64) -> ByteString {
        ByteString(
            ([String(incarnation, radix: 16)] + marks.map { "\($0.generation).\($0.revision)" }).joined(separator: "-"))
    }
}
