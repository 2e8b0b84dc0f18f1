import TopGunModel
import TopGunReplica

// The C interface of the WebAssembly module: what the JavaScript shell calls.
//
// Texts and bytes are passed as address and length in the module's memory (`topgun_allocate`). Times are milliseconds:
// `wall` as `Date.now()`, `steady` as `performance.now()`. After every call that changes something the shell takes the
// effects (`topgun_take_effects`), a MessagePack map as ``EffectsWriter`` describes, whose length is `topgun_answer_bytes`.

// MARK: - Memory

@_cdecl("topgun_allocate")
@_expose(wasm, "topgun_allocate")
func allocate(_ bytes: Int32) -> UnsafeMutableRawPointer? {
    bytes < 0 ? nil : UnsafeMutableRawPointer.allocate(byteCount: Int(bytes), alignment: 16)
}

@_cdecl("topgun_free")
@_expose(wasm, "topgun_free")
func release(_ address: UnsafeMutableRawPointer?) {
    address?.deallocate()
}

@_cdecl("topgun_answer_bytes")
@_expose(wasm, "topgun_answer_bytes")
func answerBytes(_ handle: Int32) -> Int32 {
    Int32(truncatingIfNeeded: WebReplica.with(handle)?.answer.count ?? 0)
}

// MARK: - Life

/// Makes a replica over an empty store; `seed` is two random 64-bit numbers as bytes.
@_cdecl("topgun_create")
@_expose(wasm, "topgun_create")
func create(_ node: UnsafeRawPointer?, _ nodeBytes: Int32, _ seed: UnsafeRawPointer?, _ seedBytes: Int32) -> Int32 {
    guard let seed, seedBytes == 16, nodeBytes > 0 else { return WebStatus.refused }
    let words = (seed.loadUnaligned(as: UInt64.self), seed.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
    WebReplica.all.append(WebReplica(node: ByteString(node, nodeBytes), seed: words))
    return Int32(truncatingIfNeeded: WebReplica.all.count - 1)
}

@_cdecl("topgun_destroy")
@_expose(wasm, "topgun_destroy")
func destroy(_ handle: Int32) {
    guard WebReplica.with(handle) != nil else { return }
    WebReplica.all[Int(handle)] = nil
}

@_cdecl("topgun_start")
@_expose(wasm, "topgun_start")
func start(_ handle: Int32, _ token: UnsafeRawPointer?, _ tokenBytes: Int32, _ wall: Double, _ steady: Double) -> Int32
{
    guard let replica = WebReplica.with(handle) else { return WebStatus.noSuchReplica }
    let text = tokenBytes > 0 ? ByteString(token, tokenBytes).string : nil
    replica.state.start(token: text, storeSequence: 0, at: ReplicaTime(wall, steady))
    return WebStatus.done
}

// MARK: - Maps

/// Opens a map and returns its number; what the store has of it is handed in by `topgun_loaded`.
@_cdecl("topgun_open")
@_expose(wasm, "topgun_open")
func open(_ handle: Int32, _ name: UnsafeRawPointer?, _ nameBytes: Int32, _ wall: Double, _ steady: Double) -> Int32 {
    guard let replica = WebReplica.with(handle) else { return WebStatus.noSuchReplica }
    do throws(ReplicaError) {
        let map = try replica.state.open(ByteString(name, nameBytes), at: ReplicaTime(wall, steady))
        return Int32(truncatingIfNeeded: map.index)
    } catch {
        return WebStatus.refused
    }
}

/// Everything that the store has of the map is handed in.
@_cdecl("topgun_loaded")
@_expose(wasm, "topgun_loaded")
func loaded(_ handle: Int32, _ map: Int32, _ wall: Double, _ steady: Double) -> Int32 {
    guard let replica = WebReplica.with(handle) else { return WebStatus.noSuchReplica }
    replica.state.loaded(
        map: MapID(index: Int(map)), entries: [], isLast: true, at: ReplicaTime(wall, steady))
    return WebStatus.done
}

/// Hands in one record that the store has.
@_cdecl("topgun_load")
@_expose(wasm, "topgun_load")
func load(
    _ handle: Int32, _ map: Int32, _ key: UnsafeRawPointer?, _ keyBytes: Int32, _ value: UnsafeRawPointer?,
    _ valueBytes: Int32, _ millis: Double, _ counter: UInt32, _ node: UnsafeRawPointer?, _ nodeBytes: Int32,
    _ ttlMillis: Double, _ isOwn: Bool, _ wall: Double, _ steady: Double
) -> Int32 {
    guard let replica = WebReplica.with(handle) else { return WebStatus.noSuchReplica }
    let times = ReplicaTime(millis, ttlMillis)
    let record = LWWRecord(
        value: Payload(copying: UnsafeRawBufferPointer(start: value, count: Int(valueBytes))),
        timestamp: Timestamp(millis: times.wallMillis, counter: counter, node: ByteString(node, nodeBytes)),
        ttlMillis: times.steadyMillis)
    let entry = StoredEntry(map: ByteString([]), key: ByteString(key, keyBytes), record: record, isOwn: isOwn)
    replica.state.loaded(
        map: MapID(index: Int(map)), entries: [entry], isLast: false, at: ReplicaTime(wall, steady))
    return WebStatus.done
}

/// The address of a key's visible value, 0 if it has none.
@_cdecl("topgun_get")
@_expose(wasm, "topgun_get")
func get(
    _ handle: Int32, _ map: Int32, _ key: UnsafeRawPointer?, _ keyBytes: Int32, _ wall: Double
) -> UnsafeMutableRawPointer? {
    guard let replica = WebReplica.with(handle) else { return nil }
    replica.answer.removeAll()
    let value = replica.state.value(
        of: ByteString(key, keyBytes), in: MapID(index: Int(map)), at: ReplicaTime(wall, 0))
    guard let value else { return nil }
    replica.answer.append(value.bytes)
    return replica.answer.base
}

/// Writes a value (MessagePack; no bytes for a removal) and returns the number of the write.
@_cdecl("topgun_set")
@_expose(wasm, "topgun_set")
func set(
    _ handle: Int32, _ map: Int32, _ key: UnsafeRawPointer?, _ keyBytes: Int32, _ value: UnsafeRawPointer?,
    _ valueBytes: Int32, _ ttlMillis: Double, _ wall: Double, _ steady: Double
) -> Double {
    guard let replica = WebReplica.with(handle) else { return Double(WebStatus.noSuchReplica) }
    let (key, map, now) = (ByteString(key, keyBytes), MapID(index: Int(map)), ReplicaTime(wall, steady))
    do throws(ReplicaError) {
        if valueBytes == 0 { return Double(try replica.state.remove(key, in: map, at: now).number) }
        let payload = Payload(copying: UnsafeRawBufferPointer(start: value, count: Int(valueBytes)))
        let ttl = ReplicaTime(ttlMillis, 0).wallMillis
        return Double(try replica.state.set(payload, for: key, in: map, ttlMillis: ttl, at: now).number)
    } catch {
        return Double(WebStatus.refused)
    }
}

/// The root of the Merkle tree over a map.
@_cdecl("topgun_root")
@_expose(wasm, "topgun_root")
func root(_ handle: Int32, _ map: Int32) -> UInt32 {
    WebReplica.with(handle)?.state.merkleRoot(of: MapID(index: Int(map))) ?? 0
}

// MARK: - Connection and store

@_cdecl("topgun_connected")
@_expose(wasm, "topgun_connected")
func connected(_ handle: Int32, _ wall: Double, _ steady: Double) {
    WebReplica.with(handle)?.state.connected(at: ReplicaTime(wall, steady))
}

@_cdecl("topgun_disconnected")
@_expose(wasm, "topgun_disconnected")
func disconnected(_ handle: Int32, _ wall: Double, _ steady: Double) {
    WebReplica.with(handle)?.state.disconnected(at: ReplicaTime(wall, steady))
}

@_cdecl("topgun_received")
@_expose(wasm, "topgun_received")
func received(_ handle: Int32, _ frame: UnsafeRawPointer?, _ frameBytes: Int32, _ wall: Double, _ steady: Double) {
    let bytes = UnsafeRawBufferPointer(start: frame, count: Int(frameBytes))
    WebReplica.with(handle)?.state.received(bytes, at: ReplicaTime(wall, steady))
}

@_cdecl("topgun_tick")
@_expose(wasm, "topgun_tick")
func tick(_ handle: Int32, _ wall: Double, _ steady: Double) {
    WebReplica.with(handle)?.state.tick(at: ReplicaTime(wall, steady))
}

/// The transaction is durable; its first new operation got this id.
@_cdecl("topgun_committed")
@_expose(wasm, "topgun_committed")
func committed(_ handle: Int32, _ firstOperation: Double, _ sequence: Double, _ wall: Double, _ steady: Double) {
    let numbers = ReplicaTime(firstOperation, sequence)
    WebReplica.with(handle)?.state.committed(
        CommitOutcome(firstOperationID: UInt64(numbers.wallMillis), sequence: numbers.steadyMillis),
        at: ReplicaTime(wall, steady))
}

@_cdecl("topgun_commit_failed")
@_expose(wasm, "topgun_commit_failed")
func commitFailed(_ handle: Int32, _ wall: Double, _ steady: Double) {
    WebReplica.with(handle)?.state.commitFailed(
        StoreError(code: .full, message: "the browser's store"), at: ReplicaTime(wall, steady))
}

/// The address of everything that is to be done since the last call.
@_cdecl("topgun_take_effects")
@_expose(wasm, "topgun_take_effects")
func takeEffects(_ handle: Int32, _ wall: Double, _ steady: Double) -> UnsafeMutableRawPointer? {
    guard let replica = WebReplica.with(handle) else { return nil }
    replica.answer.removeAll()
    EffectsWriter(replica.answer).write(replica.state.takeEffects(at: ReplicaTime(wall, steady)))
    return replica.answer.base
}
