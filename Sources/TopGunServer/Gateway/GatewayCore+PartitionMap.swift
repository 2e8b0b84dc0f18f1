import TopGunEnvironment
import TopGunModel
import TopGunWire

// The partition map, for clients in cluster mode (protocol.md 8): one node that owns everything, at the very URL that the
// client dialed, or it would drop the connection and dial another.

extension GatewayCore {
    /// Answers a request, at once or with the acceptance of the client's token. It is always answered, whatever the client
    /// has: a refresh waits for that.
    func takeMapRequest(_ shell: SessionShell) {
        shell.asksForMaps = true
        guard shell.identity != nil else {
            shell.isOwedMap = true
            return
        }
        sendMap(shell)
    }

    func sendOwedMap(_ shell: SessionShell) {
        guard shell.isOwedMap else { return }
        shell.isOwedMap = false
        sendMap(shell)
    }

    private func sendMap(_ shell: SessionShell) {
        let url = terms.advertisedURL ?? shell.peer.dialedURL ?? terms.listeningURL
        let partitions = (0..<PartitionID.count).map { partition in
            PartitionOwnership(partition: Int64(partition), owner: terms.serverID, backups: [])
        }
        send(
            shell,
            .partitionMap(
                PartitionMap(
                    version: terms.mapVersion, partitionCount: Int64(PartitionID.count),
                    nodes: [ClusterNode(nodeID: terms.serverID, webSocketURL: url, status: "ACTIVE")],
                    partitions: partitions, generatedAt: clock.wallMillis())))
    }

    /// Answers a heartbeat. The connection pool of an official client in cluster mode swallows PONG and passes on what it
    /// cannot read, so that client gets the same once more inside a `bin` (protocol.md 8.4).
    func pong(_ shell: SessionShell, timestamp: Int64) {
        let pong = ServerMessage.pong(timestamp: timestamp, serverTime: clock.wallMillis())
        send(shell, pong)
        guard shell.asksForMaps, !shell.core.isAnnounced else { return }
        let encoded = ByteSink(capacity: 64)
        pong.encode(into: encoded)
        scratch.removeAll()
        MessagePackWriter(scratch).writeBinary(encoded.bytes)
        answer(shell, frame: scratch.bytes)
    }
}
