/// The clock that stamps writes: wall time where it moves forward, a counter where it does not.
///
/// ```
///              issued stamps            reserve
/// ─────────────────────────────┬──────────────────┬───────> millis
///                            last               bound (durable)
/// ```
///
/// It never stamps past its **bound**. Whoever owns the clock keeps the bound on disk: it makes a higher one durable
/// first and only then calls ``raiseBound(to:)``. After a restart the clock goes on above the bound that was stored, so
/// no stamp is ever issued twice, however far back the wall clock was set meanwhile (promises.md B.3, K04, K05).
///
/// A value type without a source of time: every call is given the wall clock.
package struct HybridLogicalClock: Sendable {
    package let node: ByteString
    /// The highest time stamped or seen.
    package private(set) var millis: Int64
    package private(set) var counter: UInt32
    /// The highest millisecond that may be stamped; what is on disk is never less.
    package private(set) var bound: Int64

    /// Whose stamp is offered to the clock; decides how far ahead of the wall it may lie.
    package enum Source: Sendable {
        /// A client's write, after its clock offset was corrected for.
        case client
        /// The stamp of a node's own clock.
        case node
        /// A record that a peer of this epoch has admitted.
        case peer
        /// Our own store, or in a client the server it belongs to: no bound but the range of stamps.
        case trusted

        package var aheadMillisMax: Int64 {
            switch self {
            case .client: ModelLimits.clientAheadMillisMax
            case .node: ModelLimits.nodeAheadMillisMax
            case .peer: ModelLimits.peerAheadMillisMax
            case .trusted: ModelLimits.millisMax
            }
        }
    }

    /// A clock that was never used, or one that need not survive a restart.
    package init(node: ByteString) {
        self.node = node
        self.millis = 0
        self.counter = 0
        self.bound = ModelLimits.millisMax
    }

    /// The clock of a store, going on after a restart above everything that may have been stamped before; `bound` is
    /// what the store holds, 0 in a fresh one.
    package init(node: ByteString, restoredBound bound: Int64) {
        self.node = node
        self.millis = max(bound, 0)
        // The next stamp of this millisecond would overflow, so it goes to the next one.
        self.counter = bound > 0 ? .max : 0
        self.bound = max(bound, 0)
    }
}

// MARK: - Stamps

extension HybridLogicalClock {
    /// The next stamp, later than every stamp made or observed before.
    ///
    /// Throws ``ClockError/Code/boundReached`` and changes nothing if the stamp would lie past the bound: make
    /// `error.millis` durable, raise the bound, ask again.
    package mutating func now(wallMillis: Int64) throws(ClockError) -> Timestamp {
        let wall = min(wallMillis, ModelLimits.millisMax)
        let next = wall > millis ? (millis: wall, counter: 0) : Self.successor(millis, counter)
        guard next.millis <= ModelLimits.millisMax else { throw ClockError(code: .exhausted, millis: next.millis) }
        // What a store holds before anything was stamped is no bound, not even of the first millisecond there is.
        guard next.millis <= bound, bound > 0 else {
            throw ClockError(code: .boundReached, millis: Self.bound(for: next.millis))
        }
        (millis, counter) = next
        return Timestamp(millis: millis, counter: counter, node: node)
    }

    /// Moves the clock past a stamp made elsewhere; one out of range or too far ahead is refused and changes nothing.
    package mutating func observe(_ remote: Timestamp, wallMillis: Int64, from source: Source) throws(ClockError) {
        try observe(millis: remote.millis, counter: remote.counter, wallMillis: wallMillis, from: source)
    }

    package mutating func observe(
        millis remoteMillis: Int64, counter remoteCounter: UInt32, wallMillis: Int64, from source: Source
    ) throws(ClockError) {
        try Self.check(millis: remoteMillis, wallMillis: wallMillis, from: source)
        let wall = min(wallMillis, ModelLimits.millisMax)
        let latest = max(millis, wall, remoteMillis)
        if latest == millis {
            let seen = latest == remoteMillis ? max(counter, remoteCounter) : counter
            (millis, counter) = Self.successor(latest, seen)
        } else if latest == remoteMillis {
            (millis, counter) = Self.successor(latest, remoteCounter)
        } else {
            (millis, counter) = (latest, 0)
        }
    }

    /// Whether a stamp from that source may be taken at all; the check that comes before any clock is touched.
    package static func check(millis: Int64, wallMillis: Int64, from source: Source) throws(ClockError) {
        guard millis >= 0, millis <= ModelLimits.millisMax else { throw ClockError(code: .outOfRange, millis: millis) }
        let (latest, overflow) = wallMillis.addingReportingOverflow(source.aheadMillisMax)
        guard overflow || millis <= latest else { throw ClockError(code: .ahead, millis: millis &- wallMillis) }
    }

    /// The next version after one; the 32-bit counter rolls over into the next millisecond (K06).
    private static func successor(_ millis: Int64, _ counter: UInt32) -> (millis: Int64, counter: UInt32) {
        counter == .max ? (millis + 1, 0) : (millis, counter + 1)
    }
}

// MARK: - The durable bound

extension HybridLogicalClock {
    /// The bound to make durable next, or `nil` while more than half of the reserve is left.
    ///
    /// Asked before a batch of stamps, so that raising it takes place in the background and ``now(wallMillis:)`` never
    /// has to fail.
    package func boundToReserve(wallMillis: Int64) -> Int64? {
        let needed = max(min(wallMillis, ModelLimits.millisMax), millis)
        guard bound < ModelLimits.millisMax, needed > bound - ModelLimits.clockReserveMillis / 2 else { return nil }
        return Self.bound(for: needed)
    }

    /// Allows stamps up to `durable`, which is on disk now. A lower one than before changes nothing.
    package mutating func raiseBound(to durable: Int64) {
        bound = max(bound, min(durable, ModelLimits.millisMax))
    }

    private static func bound(for millis: Int64) -> Int64 {
        min(millis + ModelLimits.clockReserveMillis, ModelLimits.millisMax)
    }
}

/// Why a clock refused a stamp.
package struct ClockError: Error, Equatable, Sendable {
    package enum Code: Sendable {
        /// The stamp lies too far ahead of the wall clock; `millis` is by how much.
        case ahead
        /// The stamp is negative or beyond 2^53 - 1.
        case outOfRange
        /// A higher bound must be durable first; `millis` is the one to store.
        case boundReached
        /// The clock has stamped the last millisecond there is.
        case exhausted
    }

    package var code: Code
    package var millis: Int64

    package init(code: Code, millis: Int64) {
        self.code = code
        self.millis = millis
    }
}

extension Refusal {
    /// What a client is told whose stamp the clock refused.
    package init(_ error: ClockError) {
        switch error.code {
        case .ahead: self = .clockAhead
        case .outOfRange: self = .badStamp
        case .boundReached, .exhausted: self = .busy
        }
    }
}
