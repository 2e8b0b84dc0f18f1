/// A point of hybrid logical time: the version of every write.
///
/// Ordered by milliseconds, then counter, then the bytes of the node id; two writes with all three equal are the same
/// write (protocol.md 9.1).
package struct Timestamp: Hashable, Sendable {
    /// Milliseconds since 1970 by the clock of the writer.
    package var millis: Int64
    /// Tells writes of one millisecond apart.
    package var counter: UInt32
    /// The replica that made the stamp; never contains `:`.
    package var node: ByteString

    package init(millis: Int64, counter: UInt32, node: ByteString) {
        self.millis = millis
        self.counter = counter
        self.node = node
    }
}

extension Timestamp: Comparable {
    package static func < (left: Timestamp, right: Timestamp) -> Bool {
        if left.millis != right.millis { return left.millis < right.millis }
        if left.counter != right.counter { return left.counter < right.counter }
        return left.node < right.node
    }
}
