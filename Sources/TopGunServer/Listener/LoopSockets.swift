import NIOCore
import TopGunEnvironment

/// What the client connections of one event loop share: memory for reading and writing, and the one flush per tick.
///
/// Unchecked because everything in it is confined to its loop; only ``loop`` and ``metrics`` are looked at from elsewhere.
final class LoopSockets: @unchecked Sendable {
    let loop: any Loop
    let eventLoop: any EventLoop
    let metrics: LoopMetrics
    let scratch = ReadScratch()
    let receiveBuffer = SharedReceiveBuffer()
    /// Memory of all messages that have come in part.
    var heldBytes = 0
    var heldBytesMax = Limits.heldMessagesBytesMax

    private var connections: [ObjectIdentifier: ClientChannelHandler] = [:]
    private var toFlush: [ClientChannelHandler] = []
    private var flushing: [ClientChannelHandler] = []
    private var outBuffers: [ByteBuffer] = []

    init(loop: NIOLoop, metrics: LoopMetrics) {
        self.loop = loop
        self.eventLoop = loop.eventLoop
        self.metrics = metrics
    }

    func add(_ connection: ClientChannelHandler) {
        connections[ObjectIdentifier(connection)] = connection
    }

    func remove(_ connection: ClientChannelHandler) {
        connections[ObjectIdentifier(connection)] = nil
    }

    /// Ends every connection without a word.
    func cut() {
        for connection in Array(connections.values) { connection.cut() }
    }

    // MARK: Flushing

    /// Flushes the connection once what is running on the loop now has run.
    func flushSoon(_ connection: ClientChannelHandler) {
        toFlush.append(connection)
        if toFlush.count == 1 {
            eventLoop.execute { self.flushAll() }
        }
    }

    private func flushAll() {
        // Two lists, because a flush may end in another connection wanting one.
        swap(&toFlush, &flushing)
        metrics.counts.flushes += flushing.count
        for connection in flushing { connection.flushNow() }
        flushing.removeAll(keepingCapacity: true)
    }

    // MARK: Outgoing memory

    func takeOutBuffer(_ allocator: ByteBufferAllocator) -> ByteBuffer {
        outBuffers.popLast() ?? allocator.buffer(capacity: Limits.outBufferBytesMin)
    }

    /// Keeps the memory for the next tick, unless the socket still needs it; returns whether it was free.
    func recycle(_ buffer: inout ByteBuffer) -> Bool {
        let wasFree = buffer.modifyIfUniquelyOwned { $0.clear() } != nil
        if wasFree, outBuffers.count < Limits.outBuffersKept, buffer.capacity <= Limits.outBufferBytesKept {
            outBuffers.append(buffer)
        }
        buffer = ByteBuffer()
        return wasFree
    }
}

/// One receive buffer for all connections of an event loop, lent to the channel that reads at the moment.
///
/// NIO keeps a receive buffer for each channel; for 10,000 idle connections that would be 640 MB, and none of it in the
/// cache. So ``SharedReceiveAllocator`` gives no size hint and always claims that the buffer may grow, which makes NIO ask
/// for a buffer at each read. If NIO should ever hold on to one, the next read allocates another: slower, never wrong.
final class SharedReceiveBuffer {
    private var buffer: ByteBuffer?

    func take(_ allocator: ByteBufferAllocator) -> ByteBuffer {
        defer { buffer = nil }
        return buffer ?? allocator.buffer(capacity: Limits.receiveBufferBytes)
    }

    /// The read is over. The channel still refers to the buffer, so it must not be cleared: that would allocate.
    func giveBack(_ buffer: ByteBuffer) {
        guard buffer.capacity >= Limits.receiveBufferBytes else { return }
        var empty = buffer
        empty.moveReaderIndex(to: 0)
        empty.moveWriterIndex(to: 0)
        self.buffer = empty
    }
}

/// Unchecked because the buffer is confined to the loop of the channel that this is an option of.
struct SharedReceiveAllocator: RecvByteBufferAllocator, @unchecked Sendable {
    let shared: SharedReceiveBuffer

    func buffer(allocator: ByteBufferAllocator) -> ByteBuffer {
        shared.take(allocator)
    }

    mutating func record(actualReadBytes: Int) -> Bool { true }
}
