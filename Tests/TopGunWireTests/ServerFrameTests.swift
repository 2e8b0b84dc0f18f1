import GoldenVectors
import Testing
import TopGunModel
import TopGunWire

/// Frames from views are the frames of the messages, byte for byte.
struct ServerFrameTests {
    private func frame(_ body: (ByteSink) -> Void) -> [UInt8] {
        let sink = ByteSink(capacity: 64)
        body(sink)
        return Array(sink.bytes)
    }

    @Test func `every golden event, update and acknowledgement is encoded alike from views`() throws {
        for golden in GoldenFrame.fromServer {
            switch try ServerMessage(golden.bytes) {
            case .event(let event): #expect(hex(encode(event)) == hex(golden.bytes))
            case .queryUpdate(let update): #expect(hex(encode(update)) == hex(golden.bytes))
            case .acknowledgement(let acknowledgement):
                let bytes = frame {
                    ServerFrame.acknowledgement(
                        lastID: acknowledgement.lastID ?? 0, level: acknowledgement.level,
                        results: acknowledgement.results ?? [], into: $0)
                }
                #expect(hex(bytes) == hex(golden.bytes))
            case .syncLeaf(let leaf): #expect(hex(encode(leaf)) == hex(golden.bytes))
            default: break
            }
        }
    }

    @Test func `texts and numbers of every length are encoded alike from views`() throws {
        let seed: UInt64 = 0x5eed_0003
        var generator = SeededGenerator(state: seed)
        for length in [0, 1, 31, 32, 255, 256, 4096, 65_535, 65_536] {
            let text = ByteString([UInt8](repeating: 0x61, count: length))
            let stamp = Timestamp(
                millis: Int64.random(in: 0...ModelLimits.millisMax, using: &generator),
                counter: UInt32.random(in: 0...UInt32.max, using: &generator), node: "node")
            let record = LWWRecord(value: Payload([0x01]), timestamp: stamp, ttlMillis: Int64(length))
            let event = ServerEvent(mapName: text, kind: .put, key: text, record: record)
            #expect(encode(event) == ServerMessage.event(event).encoded, "\(length), seed \(seed)")
            let added = ORMapRecord(value: Payload([0x02]), timestamp: stamp, tag: text, ttlMillis: Int64(length))
            let add = ServerEvent(mapName: "m", kind: .orAdd, key: "k", orRecord: added)
            #expect(encode(add) == ServerMessage.event(add).encoded)
            let update = QueryUpdate(
                queryID: text, key: text, value: Payload([0x03]), change: .enter, sequence: Int64(length))
            #expect(encode(update) == ServerMessage.queryUpdate(update).encoded)
        }
    }

    @Test func `numbering an event gives the numbered event`() {
        let stamp = Timestamp(millis: 1, counter: 0, node: "n")
        for sequence in [0, 127, 128, 1 << 40] as [Int64] {
            var event = ServerEvent(
                mapName: "m", kind: .put, key: "k", record: LWWRecord(value: Payload([0x01]), timestamp: stamp))
            let plain = encode(event)
            event.sequence = sequence
            let numbered = frame { sink in
                plain.withUnsafeBytes { ServerFrame.number($0, sequence: sequence, into: sink) }
            }
            #expect(numbered == ServerMessage.event(event).encoded)
        }
    }

    @Test func `results of every kind are encoded as their message is`() {
        var superseded = OperationResult(id: 1)
        superseded.isSuperseded = true
        var refused = OperationResult(id: UInt64.max, level: .fireAndForget)
        refused.refusal = .clockAhead
        refused.serverTime = 1_700_000_000_000
        let results = [OperationResult(id: 0, level: .persisted), superseded, refused]
        for count in [1, 15, 16, 70_000] {
            let many = (0..<count).map { results[$0 % 3] }
            let bytes = frame { ServerFrame.acknowledgement(lastID: 10, level: .applied, results: many, into: $0) }
            let message = ServerMessage.acknowledgement(Acknowledgement(lastID: 10, level: .applied, results: many))
            #expect(bytes == message.encoded)
        }
    }

    @Test func `a stored record becomes the event of its kind`() throws {
        let tail: [UInt8] = [2, 1, 0, 9, 6, 2, 0, 0x74, 0x31]
        for (kind, expected) in [(.lww, .put), (.orAdd, .orAdd), (.orRemove, .orRemove)]
            as [(StoredRecord.Kind, OperationView.Kind)]
        {
            let bytes = frame { sink in
                withBytes("m", "k", "n", Payload([0x05]), Payload(tail)) { map, key, node, value, tail in
                    ServerFrame.event(
                        of: StoredRecord(
                            kind: kind, nameSpace: map, map: map, key: key, node: node, millis: 5, counter: 1,
                            ttlMillis: 0,
                            value: value, tail: tail), into: sink)
                }
            }
            guard case .event(let event) = try ServerMessage(bytes) else { return }
            #expect(event.kind == expected)
            #expect(event.orTag ?? event.orRecord?.tag == (kind == .lww ? nil : "t1"))
        }
    }

    // MARK: From views

    private func withBytes(
        _ a: ByteString, _ b: ByteString, _ c: ByteString, _ d: Payload, _ e: Payload,
        _ body: (
            UnsafeRawBufferPointer, UnsafeRawBufferPointer, UnsafeRawBufferPointer, UnsafeRawBufferPointer,
            UnsafeRawBufferPointer
        ) -> Void
    ) {
        a.bytes.withUnsafeBytes { a in
            b.bytes.withUnsafeBytes { b in
                c.bytes.withUnsafeBytes { c in
                    d.bytes.withUnsafeBytes { d in e.bytes.withUnsafeBytes { body(a, b, c, d, $0) } }
                }
            }
        }
    }

    private func encode(_ event: ServerEvent) -> [UInt8] {
        let stamp = event.record?.timestamp ?? event.orRecord?.timestamp ?? Timestamp(millis: 0, counter: 0, node: "")
        let value = event.record?.value ?? event.orRecord?.value ?? .tombstone
        let tag = event.orTag ?? event.orRecord?.tag ?? ""
        return frame { sink in
            withBytes(event.mapName, event.key, stamp.node, value, Payload(tag.bytes)) { map, key, node, value, tag in
                switch event.kind {
                case .put, .remove:
                    ServerFrame.event(
                        map: map, key: key, value: value, millis: stamp.millis, counter: stamp.counter, node: node,
                        ttlMillis: event.record?.ttlMillis ?? 0, into: sink)
                case .orAdd:
                    ServerFrame.orAddEvent(
                        map: map, key: key, value: value, millis: stamp.millis, counter: stamp.counter, node: node,
                        tag: tag, ttlMillis: event.orRecord?.ttlMillis ?? 0, into: sink)
                case .orRemove: ServerFrame.orRemoveEvent(map: map, key: key, tag: tag, into: sink)
                }
            }
        }
    }

    private func encode(_ update: QueryUpdate) -> [UInt8] {
        frame { sink in
            withBytes(update.queryID, update.key, "", update.value, Payload([])) { queryID, key, _, value, _ in
                ServerFrame.queryUpdate(
                    queryID: queryID, key: key, value: value, change: update.change, sequence: update.sequence,
                    into: sink)
            }
        }
    }

    private func encode(_ leaf: SyncLeaf) -> [UInt8] {
        frame { sink in
            leaf.mapName.bytes.withUnsafeBytes {
                ServerFrame.leafHead(map: $0, path: leaf.path, count: leaf.records.count, into: sink)
            }
            for keyed in leaf.records {
                let stamp = keyed.record.timestamp
                withBytes(keyed.key, stamp.node, "", keyed.record.value, Payload([])) { key, node, _, value, _ in
                    ServerFrame.leafRecord(
                        key: key, value: value, millis: stamp.millis, counter: stamp.counter, node: node,
                        ttlMillis: keyed.record.ttlMillis, into: sink)
                }
            }
        }
    }
}
