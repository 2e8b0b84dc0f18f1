package import NIOCore

/// An event loop of NIO, seen as a ``Loop``.
///
/// The executor is taken from the event loop once and shared by every actor that lives here: two executor objects for
/// one loop would make each call between their actors a full thread hop.
package final class NIOLoop: Loop {
    package let eventLoop: any EventLoop
    package let executor: UnownedSerialExecutor

    package init(_ eventLoop: any EventLoop) {
        self.eventLoop = eventLoop
        self.executor = eventLoop.executor.asUnownedSerialExecutor()
    }

    /// For an event loop that is no executor, as that of NIO's embedded channel; whoever lives here runs on `executor`,
    /// which must be the same thread.
    package init(_ eventLoop: any EventLoop, executor: UnownedSerialExecutor) {
        self.eventLoop = eventLoop
        self.executor = executor
    }

    package var isCurrent: Bool { eventLoop.inEventLoop }

    package func execute(_ job: @escaping @Sendable () -> Void) {
        eventLoop.execute(job)
    }

    @discardableResult
    package func schedule(afterMillis delay: Int64, _ job: @escaping @Sendable () -> Void) -> any ScheduledJob {
        NIOScheduledJob(scheduled: eventLoop.scheduleTask(in: .milliseconds(max(delay, 0)), job))
    }
}

private struct NIOScheduledJob: ScheduledJob {
    let scheduled: Scheduled<Void>

    func cancel() {
        scheduled.cancel()
    }
}
