import NIOCore
package import NIOPosix

/// Event loops of NIO, real threads, and unstructured tasks.
package final class LiveSpawner: Spawner {
    /// The group behind ``loops``, for listeners and clients that need NIO's own types.
    package let group: MultiThreadedEventLoopGroup
    /// The same loops as ``loops``, by their concrete type.
    package let eventLoops: [NIOLoop]

    /// Starts that many event loops, each on a thread of its own. They live as long as the process: a job given to a
    /// stopped loop would be dropped and its task would hang.
    package convenience init(loops: Int) {
        precondition(loops > 0, "a process needs at least one event loop")
        self.init(group: MultiThreadedEventLoopGroup(numberOfThreads: loops))
    }

    package init(group: MultiThreadedEventLoopGroup) {
        self.group = group
        self.eventLoops = group.makeIterator().map { NIOLoop($0) }
    }

    package var loops: [any Loop] { eventLoops }

    package func thread(named name: String) -> any Loop {
        ThreadLoop(name: name)
    }

    package func spawn(_ name: StaticString, _ operation: @escaping @Sendable () async -> Void) {
        Task.detached(name: String(describing: name)) { await operation() }
    }
}

extension Environment {
    /// The real world.
    package static func live(loops: Int, network: any Network) -> Environment {
        live(spawner: LiveSpawner(loops: loops), network: network)
    }

    package static func live(spawner: LiveSpawner, network: any Network) -> Environment {
        Environment(
            clock: SystemClock(), disk: PosixDisk(), network: network, entropy: SystemEntropy(), spawner: spawner)
    }
}

/// A network with no way out: every connection is closed at once. For processes that only listen, and for tests.
package struct ClosedNetwork: Network {
    package init() {}

    package func connect(to address: String, on loop: any Loop, receiver: any MessageReceiver) {
        loop.execute { receiver.closed(reason: "this process opens no connections") }
    }
}
