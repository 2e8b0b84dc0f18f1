import TopGunEnvironment

/// The actor that owns the client connections of one event loop; a shell around ``GatewayCore``.
///
/// Its executor is the loop, so the listener enters it without changing thread, once per read.
package actor Gateway: ClientConnectionOwner {
    private nonisolated let loop: any Loop
    nonisolated let door: LoopBound<GatewayCore>

    package nonisolated var unownedExecutor: UnownedSerialExecutor { loop.executor }

    init(_ door: LoopBound<GatewayCore>) {
        self.loop = door.loop
        self.door = door
    }

    package func opened(_ connection: any ClientConnection, peer: PeerInfo) -> SessionID {
        door.value.opened(connection, peer: peer)
    }

    package func received(_ session: SessionID, messages: UnsafeBufferPointer<UnsafeRawBufferPointer>) {
        door.value.received(session, messages: messages)
    }

    package func drained(_ session: SessionID) {
        door.value.drained(session)
    }

    package func closed(_ session: SessionID) {
        door.value.closed(session)
    }

    package func drain() async {
        await withCheckedContinuation { continuation in
            door.value.drain { continuation.resume() }
        }
    }

    var openConnections: Int { door.value.openCount }
}
