import TopGunModel
import TopGunPartition

/// The first harness level: what partitions are made of, driven directly, without actors, scheduler, log or codec.
///
/// ```
///   seed ──> writes ──apply──> GroupState 0 ── log ──load──> GroupState 1 ... the same for each
///               │                   │ outcomes, records, trees
///               v                   v
///            NaiveMap  ═══════ must be equal after every step
/// ```
///
/// Each group stands for a server with all partitions; what one logs is loaded by the others late, in pieces, out of
/// order and more than once. Every outcome is compared with what a dictionary says, records and trees now and then and at
/// the end. A step is one operation judged, one record loaded or one record read.
package final class CoreRun {
    package struct Outcome: Sendable {
        package var steps: Int
        package var violations: [Violation]
        package var fingerprint: UInt64
    }

    private let names: CoreNames
    private let groups: [GroupState]
    private var models: [NaiveMap]
    /// What each group logged, whole; who has loaded how much of it.
    private var logs: [[ByteSink]]
    private var loaded: [[Int]]
    private var dice: SeededGenerator
    private let authors: Int
    private let keys: Int
    private let graceMillis: Int64
    private var wallMillis: Int64 = 1_800_000_000_000
    private var lastValue: UInt32 = 0
    private var steps = 0
    private var fingerprint: UInt64 = 0xcbf2_9ce4_8422_2325
    private var violations: [Violation] = []
    /// Operations of the present batch: their views, what they mean, and the bytes of their values.
    private var views: [OperationView] = []
    private var writes: [(place: Int, version: NaiveVersion)] = []
    private let values: UnsafeMutableRawBufferPointer
    /// Operations of before, to be sent again.
    private var memory: [(place: Int, version: NaiveVersion)] = []

    private static let rules: IngressRules = [.reportsClockAhead, .reportsReplicaConflict]
    private static let valueBytes = 5

    package init(seed: UInt64) {
        dice = SeededGenerator(seed: seed &* 0x2545_f491_4f6c_dd1d &+ 11)
        let servers = 2 + dice.below(2)
        authors = 1 + dice.below(8)
        keys = 1 + dice.below(dice.chance(1, in: 2) ? 8 : 300)
        names = CoreNames(maps: 1 + dice.below(3), keys: keys, authors: authors, servers: servers)
        var limits = GroupLimits()
        limits.expiryGraceMillis = Int64(dice.below(2_000))
        graceMillis = limits.expiryGraceMillis
        groups = (0..<servers).map { [names, authors] server in
            GroupState(
                partitions: (0..<PartitionID.count).map { PartitionID($0) },
                clock: HybridLogicalClock(node: names.writerNames[authors + server]),
                hashSeed: seed &+ UInt64(server) &* 77, limits: limits)
        }
        models = Array(repeating: NaiveMap(places: names.maps.count * keys), count: servers)
        logs = Array(repeating: [], count: servers)
        loaded = Array(repeating: Array(repeating: 0, count: servers), count: servers)
        values = .allocate(byteCount: Limits.coreBatchOperations * Self.valueBytes, alignment: 8)
        views.reserveCapacity(Limits.coreBatchOperations)
    }

    deinit {
        values.deallocate()
    }

    package func run(steps wanted: Int) -> Outcome {
        while steps < wanted, violations.isEmpty {
            wallMillis += Int64(dice.below(200))
            let server = dice.below(groups.count)
            switch dice.below(64) {
            case ..<44: write(to: server)
            case ..<54: exchange(to: server)
            case ..<60: read(from: server)
            case 60: expire(server)
            case 61: rebuild(server)
            case 62: compareTrees(server)
            default: wallMillis += Int64(dice.below(20_000))
            }
        }
        finish()
        return Outcome(steps: steps, violations: violations, fingerprint: fingerprint)
    }

    private func found(_ checker: Checker, _ message: String) {
        if violations.count < 5 { violations.append(checker.violation("cores: \(message)")) }
    }

    // MARK: - Writing

    private func write(to server: Int) {
        let count = 1 + dice.below(dice.chance(1, in: 2) ? 4 : Limits.coreBatchOperations)
        views.removeAll(keepingCapacity: true)
        writes.removeAll(keepingCapacity: true)
        for index in 0..<count { draw(index) }
        views.withUnsafeBufferPointer {
            groups[server].apply(
                $0, author: 1, nameSpace: ByteString([]), rules: Self.rules, wallMillis: wallMillis)
        }
        steps += count
        for (index, write) in writes.enumerated() {
            let expected = judge(write.version, at: write.place, on: server)
            let outcome = groups[server].outcomes[index]
            if outcome != expected {
                found(.onceEffects, "\(write.version) at \(write.place) is \(outcome), should be \(expected)")
            }
            fingerprint = (fingerprint ^ UInt64(bitPattern: write.version.millis)) &* 0x0000_0100_0000_01b3
            if expected == .merged { fingerprint ^= UInt64(write.place) }
        }
        if groups[server].log.count > Limits.coreLogBytes { takeLog(server) }
    }

    private func draw(_ index: Int) {
        let write = !memory.isEmpty && dice.chance(1, in: 8) ? memory[dice.below(memory.count)] : newWrite()
        if memory.count < 256 { memory.append(write) } else { memory[dice.below(256)] = write }
        writes.append(write)
        var view = OperationView()
        let (map, key) = (write.place / keys, write.place % keys)
        view.kind = write.version.value == nil ? .remove : .put
        view.map = names.maps[map]
        view.key = names.keys[key]
        view.keyHash = names.keyHashes[key]
        view.node = names.writers[write.version.writer]
        view.millis = write.version.millis
        view.counter = write.version.counter
        view.ttlMillis = write.version.ttlMillis
        view.value = names.removal
        if let value = write.version.value {
            let bytes = UnsafeMutableRawBufferPointer(
                rebasing: values[index * Self.valueBytes..<(index + 1) * Self.valueBytes])
            bytes[0] = 0xce
            bytes.storeBytes(of: value.bigEndian, toByteOffset: 1, as: UInt32.self)
            view.value = UnsafeRawBufferPointer(bytes)
        }
        views.append(view)
    }

    /// Mostly of now, by clocks that are off by less than allowed; sometimes of long ago, sometimes of the far future.
    private func newWrite() -> (place: Int, version: NaiveVersion) {
        lastValue += 1
        let offset: Int64 =
            switch dice.below(32) {
            case 0: -Int64(dice.below(10_000_000))
            case 1: 60_000 - Int64(dice.below(3))
            case 2: 60_001 + Int64(dice.below(1_000_000))
            default: Int64(dice.below(50)) - 25
            }
        let isRemoval = dice.chance(1, in: 5)
        return (
            dice.below(names.maps.count * keys),
            NaiveVersion(
                millis: wallMillis + offset, counter: UInt32(dice.below(3)), writer: dice.below(authors),
                value: isRemoval ? nil : lastValue,
                ttlMillis: !isRemoval && dice.chance(1, in: 10) ? 1 + Int64(dice.below(5_000)) : 0)
        )
    }

    /// What a dictionary says to a write, and does with it.
    private func judge(_ version: NaiveVersion, at place: Int, on server: Int) -> TopGunPartition.Outcome {
        if version.millis > wallMillis + Limits.aheadMillisMax { return .refused(.clockAhead) }
        guard let stored = models[server][place] else {
            models[server][place] = version
            return .merged
        }
        switch version.order(to: stored) {
        case .newer:
            models[server][place] = version
            return .merged
        case .older: return .superseded
        case .same:
            let isRepeat = version.value == stored.value && version.ttlMillis == stored.ttlMillis
            return isRepeat ? .repeated : .refused(.replicaIDConflict)
        }
    }

    // MARK: - Between servers

    private func takeLog(_ server: Int) {
        logs[server].append(groups[server].takeLog(replacingWith: ByteSink(capacity: Limits.coreLogBytes)).log)
    }

    /// Loads pieces of what others logged: any of those that are there, those that it has included.
    private func exchange(to server: Int) {
        for source in groups.indices where source != server && !logs[source].isEmpty {
            let piece = dice.below(logs[source].count)
            load(logs[source][piece], into: server)
        }
    }

    /// Every piece, in order, once it is over.
    private func exchangeAll() {
        for source in groups.indices {
            takeLog(source)
            for server in groups.indices where server != source {
                for piece in logs[source] { load(piece, into: server) }
            }
        }
    }

    private func load(_ log: ByteSink, into server: Int) {
        var offset = 0
        while let record = StoredRecord(in: log.bytes, at: &offset) {
            do throws(PartitionError) {
                try groups[server].load(record)
            } catch {
                return found(.convergence, "a record of a log is not taken: \(error.code)")
            }
            if let (place, version) = naive(record) { models[server].load(version, at: place) }
            steps += 1
        }
    }

    private func naive(_ record: StoredRecord) -> (Int, NaiveVersion)? {
        guard let map = index(of: record.map, in: names.maps), let key = index(of: record.key, in: names.keys),
            let writer = index(of: record.node, in: names.writers)
        else {
            found(.noPhantom, "a log names what nobody wrote")
            return nil
        }
        return (
            map * keys + key,
            NaiveVersion(
                millis: record.millis, counter: record.counter, writer: writer, value: Self.value(record.value),
                ttlMillis: record.ttlMillis)
        )
    }

    /// Names end in their number, and are as long as they are.
    private func index(of name: UnsafeRawBufferPointer, in all: [UnsafeRawBufferPointer]) -> Int? {
        var number = 0
        var scale = 1
        for byte in name.reversed() {
            guard byte >= UInt8(ascii: "0"), byte <= UInt8(ascii: "9") else { break }
            number += Int(byte - UInt8(ascii: "0")) * scale
            scale *= 10
        }
        for guess in [number, number - 10, number + authors] where all.indices.contains(guess) {
            if VersionOrder.equal(all[guess], name) { return guess }
        }
        return nil
    }

    private static func value(_ bytes: UnsafeRawBufferPointer) -> UInt32? {
        guard bytes.count == valueBytes, bytes[0] == 0xce else { return nil }
        return UInt32(bigEndian: bytes.loadUnaligned(fromByteOffset: 1, as: UInt32.self))
    }

    // MARK: - Looking

    private func read(from server: Int) {
        for _ in 0..<8 { check(dice.below(names.maps.count * keys), on: server) }
        steps += 8
    }

    private func check(_ place: Int, on server: Int) {
        let held = version(at: place, on: server)
        if held != models[server][place] {
            found(
                .convergence,
                "server \(server) holds \(String(describing: held)) at \(place), should hold \(String(describing: models[server][place]))"
            )
        }
    }

    private func version(at place: Int, on server: Int) -> NaiveVersion? {
        let (map, key) = (place / keys, place % keys)
        guard let id = groups[server].existingMap(names.mapNames[map], in: ByteString([])),
            let record = groups[server].record(in: id, key: names.keys[key], keyHash: names.keyHashes[key])
        else { return nil }
        return NaiveVersion(
            millis: record.millis, counter: record.counter,
            writer: index(of: record.node, in: names.writers) ?? -1, value: Self.value(record.value),
            ttlMillis: record.ttlMillis)
    }

    private func expire(_ server: Int) {
        groups[server].expire(wallMillis: wallMillis, limit: .max)
        for place in models[server].versions.indices {
            guard let version = models[server][place],
                let buried = version.buried(by: authors + server, wallMillis: wallMillis, graceMillis: graceMillis)
            else { continue }
            models[server][place] = buried
            check(place, on: server)
            steps += 1
        }
    }

    /// A partition is torn down and filled again from its checkpoint: nothing is different.
    private func rebuild(_ server: Int) {
        let partition = PartitionID(of: ByteString("k\(dice.below(keys))"))
        let sink = ByteSink()
        var cursor: CheckpointCursor?
        repeat {
            cursor = groups[server].slice(partition, from: cursor, bytesLimit: 1 + dice.below(4_096), into: sink)
        } while cursor != nil
        groups[server].drop(partition)
        load(sink, into: server)
        groups[server].open(partition)
    }

    /// Trees are equal exactly if contents are: to the tree that a dictionary's content has, and to each other's.
    private func compareTrees(_ server: Int) {
        for map in names.maps.indices {
            let own = root(of: map, on: server)
            if own != naiveRoot(of: map, on: server) {
                found(.convergence, "the tree of server \(server) over map \(map) is not that of its content")
            }
            let other = (server + 1) % groups.count
            let isSame = stamps(of: map, on: server) == stamps(of: map, on: other)
            if isSame != (own == root(of: map, on: other)) {
                found(
                    .convergence, "the trees of \(server) and \(other) over map \(map) do not say whether they differ")
            }
        }
    }

    private func root(of map: Int, on server: Int) -> UInt32 {
        guard let id = groups[server].existingMap(names.mapNames[map], in: ByteString([])) else { return 0 }
        return groups[server].merkleTree(of: id).root
    }

    private func naiveRoot(of map: Int, on server: Int) -> UInt32 {
        var tree = MerkleTree32()
        for key in 0..<keys {
            guard let version = models[server][map * keys + key] else { continue }
            let item = MerkleTree32.item(
                keyHash: names.keyHashes[key], millis: version.millis, counter: version.counter,
                node: names.writers[version.writer])
            tree.add(item: item, keyHash: names.keyHashes[key])
        }
        return tree.root
    }

    private func stamps(of map: Int, on server: Int) -> [NaiveVersion?] {
        (0..<keys).map { key in
            models[server][map * keys + key].map {
                NaiveVersion(millis: $0.millis, counter: $0.counter, writer: $0.writer)
            }
        }
    }

    // MARK: - The end

    /// Everything reaches everybody; then all hold the same, and what they hold is what a dictionary holds.
    private func finish() {
        exchangeAll()
        for server in groups.indices {
            for place in models[server].versions.indices { check(place, on: server) }
            compareTrees(server)
            if models[server] != models[0] { found(.convergence, "servers 0 and \(server) do not hold the same") }
            for place in models[server].versions.indices {
                if let version = models[server][place] {
                    fingerprint =
                        (fingerprint ^ UInt64(bitPattern: version.millis) ^ UInt64(place)) &* 0x0000_0100_0000_01b3
                }
            }
        }
    }
}
