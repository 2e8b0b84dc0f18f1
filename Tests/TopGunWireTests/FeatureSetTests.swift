import Testing
import TopGunModel
import TopGunWire

struct FeatureSetTests {
    @Test func `words that nobody knows are left out`() {
        let features = FeatureSet(names: ["clock", "telepathy", "results", "clock"])
        #expect(features == [.results, .clock])
        #expect(features.names == ["results", "clock"])
    }

    @Test func `a client with features greets and is told who answers`() throws {
        let hello = ClientMessage.deviceHello(DeviceHello(protocolVersion: 3, features: [.results, .seq]))
        #expect(try ClientMessage(hello.encoded) == hello)
        let server = ServerIdentity(
            features: [.results], clusterID: "c", serverID: "s", restoreEpoch: 2, serverTime: 5, connectionID: "x",
            lastSeenOperationID: UInt64.max)
        let greeting = ServerMessage.authenticationAcknowledged(
            Greeting(protocolVersion: 3, userID: "u", server: server))
        #expect(try ServerMessage(greeting.encoded) == greeting)
    }

    @Test func `the messages of the extensions come back`() throws {
        let record = KeyedRecord(
            key: "k", record: LWWRecord(value: Payload([0x01]), timestamp: Timestamp(millis: 1, counter: 0, node: "n")))
        let path = try #require(MerklePath(text: "a1"))
        let client: [ClientMessage] = [
            .merklePush(SyncLeaf(mapName: "m", path: path, records: [record])),
            .syncStart(SyncStart(mapName: "m", lastSyncTimestamp: 5, syncCursor: "c")),
            .lockRequest(LockRequest(requestID: "r", name: "l", ttlMillis: 5, waitMillis: 9)),
            .unregisterResolver(requestID: "r", mapName: "m", resolverName: "x"),
            .listResolvers(requestID: "r", mapName: nil),
            .partitionMapRequest(currentVersion: nil), .partitionMapRequest(currentVersion: 4),
            .registerResolver(ResolverRegistration(requestID: "r", mapName: "m", name: "n", code: "c", priority: 1)),
            .orMapDifferenceRequest(mapName: "m", keys: ["a", "b"]),
            .operation(
                ClientOperation(
                    id: 1, mapName: "m", key: "k", change: .orRemove(tag: "t"), concern: .persisted, timeoutMillis: 3,
                    fencingToken: 8)),
        ]
        for message in client { #expect(try ClientMessage(message.encoded) == message) }
        var root = SyncRoot(mapName: "m", rootHash: 7, timestamp: record.record.timestamp)
        root.rootHash128 = [UInt8](repeating: 9, count: 16)
        root.syncCursor = "c"
        let buckets = SyncBuckets(
            mapName: "m", path: path, buckets: [.init(digit: 10, hash: 5)],
            buckets128: [.init(digit: 15, hash: [1, 2])])
        let server: [ServerMessage] = [
            .levelUp([LevelUp(id: 1, level: .persisted)]), .resync(mapName: "m"),
            .merklePull(MapPath(mapName: "m", path: path)),
            .lockDenied(LockDenial(requestID: "r", name: "l", refusal: .busy, retryAfterMillis: 5)),
            .lockLost(name: "l", fencingToken: 5), .syncRoot(root), .syncBuckets(buckets),
            .error(
                ErrorMessage(
                    code: 429, message: "slow down",
                    details: ErrorDetails(requestType: "OP_BATCH", refusal: .busy, retryAfterMillis: 20))),
        ]
        for message in server { #expect(try ServerMessage(message.encoded) == message) }
    }
}
