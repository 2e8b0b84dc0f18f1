import TopGunModel
import TopGunPartition

/// What the writer of a write that does not stand as it was sent has to hear after its acknowledgement: the record that
/// stands instead (protocol.md 3.6, 3.9).
///
/// A copy, because it outlives the frame: the record is looked up on the loop that has it, which may be another one.
struct Correction: Sendable {
    let map: ByteString
    let key: ByteString
    let keyHash: UInt32
    /// The latest stamp of a refused write, which what is sent has to beat: an official client keeps its own value
    /// otherwise. `nil` where the record is sent as it is.
    fileprivate(set) var refused: Version?
    /// Whether nothing else tells the writer of what stands: one that knows features hears of it as every reader does.
    var isOnlyWord = false

    /// A stamp without its node.
    struct Version: Comparable, Sendable {
        var millis: Int64
        var counter: UInt32

        /// Nobody knows what the client shows: its stamp cannot be read.
        static let unreadable = Version(millis: .max, counter: .max)

        /// The next stamp; the counter rolls over into the next millisecond.
        var successor: Version {
            counter == .max ? Version(millis: millis + 1, counter: 0) : Version(millis: millis, counter: counter + 1)
        }

        static func < (left: Version, right: Version) -> Bool {
            (left.millis, left.counter) < (right.millis, right.counter)
        }
    }

    /// `nil` where there is nothing to put right: the write stands, is to be tried again, or names no record.
    init?(_ operation: OperationView, _ outcome: Outcome) {
        switch operation.kind {
        case .put, .remove: break
        case .orAdd, .orRemove: return nil
        }
        // An empty key is a key; one that was not in the operation has no address.
        guard operation.map.count > 0, operation.key.baseAddress != nil else { return nil }
        switch outcome {
        case .merged, .repeated: return nil
        case .superseded, .restamped: break
        case .refused(let refusal):
            guard refusal.isFinal else { return nil }
            refused =
                refusal == .badStamp
                ? .unreadable : Version(millis: operation.millis, counter: operation.counter)
        }
        map = ByteString(copying: operation.map)
        key = ByteString(copying: operation.key)
        keyHash = operation.keyHash
    }
}

/// The corrections of one batch: one for each key, which beats every refused write of the key.
struct CorrectionList {
    /// In the order in which the keys were met.
    private(set) var entries: [Correction] = []
    private var places: [Name: Int] = [:]

    private struct Name: Hashable {
        var map: ByteString
        var key: ByteString
    }

    var isEmpty: Bool { entries.isEmpty }

    mutating func add(_ correction: Correction) {
        let name = Name(map: correction.map, key: correction.key)
        guard let place = places[name] else {
            places[name] = entries.count
            entries.append(correction)
            return
        }
        entries[place].isOnlyWord = entries[place].isOnlyWord || correction.isOnlyWord
        guard let refused = correction.refused else { return }
        entries[place].refused = max(entries[place].refused ?? refused, refused)
    }
}
