import Synchronization
package import TopGunEnvironment

/// What one event loop counted since the process began. Every field only grows, except the last group.
package struct LoopCounts: Sendable, Hashable {
    // Sockets.
    package var connectionsOpened = 0
    package var connectionsClosed = 0
    package var connectionsRefused = 0
    package var bytesReceived = 0
    package var bytesSent = 0
    package var messagesReceived = 0
    package var messagesSent = 0
    package var protocolErrors = 0
    package var flushes = 0

    // Sessions.
    package var authenticationsAccepted = 0
    package var authenticationsRefused = 0
    package var framesRefused = 0
    package var readingPaused = 0
    package var slowReadersClosed = 0
    package var eventsSent = 0
    package var eventsDropped = 0
    package var queriesAnswered = 0
    package var merkleAnswers = 0
    package var deltasSent = 0
    package var recordsPulled = 0

    // Operations.
    package var operationsReceived = 0
    package var operationsMerged = 0
    package var operationsRepeated = 0
    package var operationsSuperseded = 0
    package var operationsRestamped = 0
    package var operationsRefused = 0
    package var operationsBusy = 0
    package var operationsForwarded = 0
    package var operationsLate = 0
    package var acknowledgementsSent = 0

    // Durability.
    package var logTickets = 0
    package var logBytes = 0
    package var recordsExpired = 0
    package var partitionsRebuilt = 0
    package var partitionsBroken = 0
    package var leavesReleased = 0
    package var checkpointsWritten = 0

    package init() {}
}

/// The counters of one event loop: plain integers, touched on that loop only.
///
/// Unchecked because `counts` is confined to its loop; what others read is `published`, which a timer on the loop
/// renews.
package final class LoopMetrics: @unchecked Sendable {
    /// Change it on the loop only.
    package var counts = LoopCounts()
    /// The most that was queued for a connection when a change was added to it; on the loop only, and for no page.
    package var broadcastQueueBytesPeak = 0
    private let published = Mutex(LoopCounts())

    fileprivate init() {}

    /// On the loop.
    fileprivate func publish() {
        let counts = counts
        published.withLock { $0 = counts }
    }

    fileprivate var last: LoopCounts { published.withLock { $0 } }
}

/// The counters of the process: one set for each event loop, summed for whoever asks.
package final class ServerMetrics: Sendable {
    /// In the order of the spawner's loops.
    package let loops: [LoopMetrics]

    package init(loops: Int) {
        self.loops = (0..<loops).map { _ in LoopMetrics() }
    }

    /// Publishes the counters of each loop from now on, once a second.
    package func start(on loops: [any Loop]) {
        precondition(loops.count == self.loops.count, "counters for \(self.loops.count) loops, not \(loops.count)")
        for (loop, metrics) in zip(loops, self.loops) {
            loop.execute { Self.tick(loop, metrics) }
        }
    }

    /// The sum of what was last published.
    package var total: LoopCounts {
        loops.reduce(into: LoopCounts()) { $0.add($1.last) }
    }

    private static func tick(_ loop: any Loop, _ metrics: LoopMetrics) {
        metrics.publish()
        loop.schedule(afterMillis: Limits.metricsPublishMillis) { tick(loop, metrics) }
    }
}
