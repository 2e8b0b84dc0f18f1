package import TopGunModel

// Writes of clients: judged, merged, logged and published in the order in which they came (protocol.md 3.7, 9.4).

extension GroupState {
    /// Judges and merges operations of one client, in order; the effects say what came of it.
    ///
    /// Every view of an operation must be valid until it returns; `keyHash` must be filled in. An operation that carries
    /// a refusal keeps it. Removals must have the value `c0`. A partition not hosted or not open answers `NOT_READY`;
    /// OR-Map operations, which this version does not keep, `BAD_REQUEST`.
    package func apply(
        _ operations: UnsafeBufferPointer<OperationView>, author: UInt64, nameSpace: ByteString, rules: IngressRules,
        wallMillis: Int64
    ) {
        outcomes.removeAll(keepingCapacity: true)
        guard let base = operations.baseAddress, operations.count > 0 else { return }
        outcomes.append(contentsOf: repeatElement(.merged, count: operations.count))
        nameSpace.bytes.withUnsafeBytes { nameSpace in
            let frame = Frame(author: author, nameSpace: nameSpace, rules: rules, wallMillis: wallMillis)
            outcomes.withUnsafeMutableBufferPointer { outcomes in
                var start = 0
                while start < operations.count {
                    let count = min(PartitionLimits.passOperations, operations.count - start)
                    prepare(base + start, count: count, nameSpace: nameSpace, wallMillis: wallMillis)
                    passes.touch(base + start, count: count, states: partitions.states)
                    prepareItems(base + start, count: count)
                    merge(base + start, count: count, frame, into: outcomes.baseAddress! + start)
                    start += count
                }
            }
        }
    }

    /// What the operations of one call share.
    struct Frame {
        var author: UInt64
        var nameSpace: UnsafeRawBufferPointer
        var rules: IngressRules
        var wallMillis: Int64
    }
}

// MARK: - First pass

extension GroupState {
    private func prepare(
        _ operations: UnsafePointer<OperationView>, count: Int, nameSpace: UnsafeRawBufferPointer, wallMillis: Int64
    ) {
        let latest = wallMillis &+ ModelLimits.clientAheadMillisMax
        let mayRepeatRestamped = restamps.count > 0
        for index in 0..<count {
            let operation = operations + index
            let prepared = passes.prepared + index
            if let refusal = refusal(for: operation) {
                refuse(prepared, refusal)
                continue
            }
            let partition = Int(PartitionID(hash: operation.pointee.keyHash).rawValue)
            guard partitions.states[partition].isOpen else {
                refuse(prepared, .notReady)
                continue
            }
            guard
                maps.isMap(passes.lastMap, named: operation.pointee.map, in: nameSpace)
                    || findMap(operation.pointee.map, in: nameSpace, or: prepared)
            else { continue }
            guard
                nodes.isName(operation.pointee.node, at: passes.lastNode)
                    || findNode(operation.pointee.node, or: prepared)
            else { continue }
            judge(operation, prepared, in: partition, latest: latest, mayRepeatRestamped: mayRepeatRestamped)
        }
    }

    /// What is known of an operation once its map and its writer, the last ones met, have their numbers.
    @inline(__always)
    private func judge(
        _ operation: UnsafePointer<OperationView>, _ prepared: UnsafeMutablePointer<Passes.Prepared>,
        in partition: Int, latest: Int64, mayRepeatRestamped: Bool
    ) {
        prepared.pointee.mixed = 0
        prepared.pointee.map = passes.lastMap
        prepared.pointee.node = passes.lastNode
        prepared.pointee.partition = Int32(truncatingIfNeeded: partition)
        prepared.pointee.hash = hasher.hash(operation.pointee.key, salt: passes.lastMap)
        #if MUTANTS
        if Mutant.serverRestamps.isOn {
            prepared.pointee.verdict = .ahead
            return
        }
        if Mutant.futureAccepted.isOn {
            prepared.pointee.verdict = .merge
            return
        }
        #endif
        if operation.pointee.millis > latest {
            prepared.pointee.verdict = .ahead
        } else if mayRepeatRestamped, wasRestamped(passes.lastNode) {
            prepared.pointee.verdict = .maybeRestamped
        } else {
            prepared.pointee.verdict = .merge
        }
    }

    @inline(__always)
    private func refuse(_ prepared: UnsafeMutablePointer<Passes.Prepared>, _ refusal: Refusal) {
        prepared.pointee.verdict = .refuse
        prepared.pointee.refusal = refusal
    }

    /// What is wrong with an operation by itself.
    @inline(__always)
    private func refusal(for operation: UnsafePointer<OperationView>) -> Refusal? {
        if let refusal = operation.pointee.refusal { return refusal }
        switch operation.pointee.kind {
        case .put, .remove: break
        case .orAdd, .orRemove: return .badRequest
        }
        if operation.pointee.key.count > limits.keyBytesMax || operation.pointee.value.count > limits.valueBytesMax {
            return .tooLarge
        }
        if operation.pointee.millis < 0 || operation.pointee.millis > ModelLimits.millisMax { return .badStamp }
        if operation.pointee.ttlMillis < 0 || operation.pointee.ttlMillis > PartitionLimits.ttlMillisMax
            || operation.pointee.value.count == 0
        {
            return .badRequest
        }
        return nil
    }

    @inline(never)
    private func findMap(
        _ name: UnsafeRawBufferPointer, in nameSpace: UnsafeRawBufferPointer,
        or prepared: UnsafeMutablePointer<Passes.Prepared>
    ) -> Bool {
        guard let map = maps.find(name, in: nameSpace) else {
            prepared.pointee.verdict = .newName
            return false
        }
        passes.lastMap = map
        return true
    }

    @inline(never)
    private func findNode(_ name: UnsafeRawBufferPointer, or prepared: UnsafeMutablePointer<Passes.Prepared>) -> Bool {
        guard let node = nodes.find(name) else {
            prepared.pointee.verdict = .newName
            return false
        }
        passes.lastNode = node
        return true
    }

    /// The number of a node id, a new one if it has none.
    func intern(node name: UnsafeRawBufferPointer, limit: Int) -> Result<UInt32, PartitionError> {
        if let known = nodes.find(name) { return .success(known) }
        guard name.count > 0, name.count <= PartitionLimits.nodeBytesMax, !name.contains(UInt8(ascii: ":")) else {
            return .failure(PartitionError(code: .malformed))
        }
        guard nodes.count < limit else { return .failure(PartitionError(code: .full)) }
        return .success(nodes.add(name))
    }
}

// MARK: - Merkle items

extension GroupState {
    /// Takes the items of the new records ahead where maps have leaves, four at a time; what is left over is taken when it
    /// is stored.
    @inline(__always)
    private func prepareItems(_ operations: UnsafePointer<OperationView>, count: Int) {
        var quad = LeafItem.Quad()
        var waiting = (0, 0, 0)
        for index in 0..<count {
            let prepared = passes.prepared + index
            guard prepared.pointee.verdict == .merge,
                maps.cells[Int(prepared.pointee.map)].leavesBuilt > prepared.pointee.partition
            else { continue }
            let operation = operations + index
            quad.add(
                LeafItem.beforeNode(
                    operation.pointee.keyHash, operation.pointee.millis, operation.pointee.counter),
                node: operation.pointee.node)
            switch quad.count {
            case 1: waiting.0 = index
            case 2: waiting.1 = index
            case 3: waiting.2 = index
            default:
                guard let mixed = quad.finish() else { continue }
                passes.prepared[waiting.0].mixed = mixed.0
                passes.prepared[waiting.1].mixed = mixed.1
                passes.prepared[waiting.2].mixed = mixed.2
                prepared.pointee.mixed = mixed.3
            }
        }
    }
}

// MARK: - Last pass

extension GroupState {
    private func merge(
        _ operations: UnsafePointer<OperationView>, count: Int, _ frame: Frame,
        into outcomes: UnsafeMutablePointer<Outcome>
    ) {
        var latest = Latest()
        for index in 0..<count {
            let prepared = passes.prepared + index
            switch prepared.pointee.verdict {
            case .merge:
                outcomes[index] = merge(operations + index, prepared, frame, &latest)
            case .ahead, .maybeRestamped:
                outcomes[index] = mergeUnlessRestamped(operations + index, prepared, frame, &latest)
            case .refuse:
                outcomes[index] = .refused(prepared.pointee.refusal)
            case .newName:
                outcomes[index] = mergeUnderNewName(operations + index, prepared, frame, &latest)
            }
        }
        observe(&latest, wallMillis: frame.wallMillis)
    }

    /// The latest stamp accepted since the clock was last told.
    struct Latest {
        var millis: Int64 = -1
        var counter: UInt32 = 0

        @inline(__always)
        mutating func note(_ millis: Int64, _ counter: UInt32) {
            if millis > self.millis || millis == self.millis && counter > self.counter {
                self.millis = millis
                self.counter = counter
            }
        }
    }

    private func observe(_ latest: inout Latest, wallMillis: Int64) {
        guard latest.millis >= 0 else { return }
        #if MUTANTS
        if Mutant.futureAccepted.isOn { return latest = Latest() }
        #endif
        do {
            try clock.observe(
                millis: latest.millis, counter: latest.counter, wallMillis: wallMillis, from: .client)
        } catch {
            preconditionFailure("the stamp was within the client's bound when it was accepted")
        }
        latest = Latest()
    }

    @inline(__always)
    private func merge(
        _ operation: UnsafePointer<OperationView>, _ prepared: UnsafePointer<Passes.Prepared>, _ frame: Frame,
        _ latest: inout Latest
    ) -> Outcome {
        let incoming = Incoming(
            hash: prepared.pointee.hash, keyHash: operation.pointee.keyHash, map: prepared.pointee.map,
            node: prepared.pointee.node, counter: operation.pointee.counter, millis: operation.pointee.millis,
            ttlMillis: operation.pointee.ttlMillis, kind: StoredRecord.Kind.lww.rawValue, key: operation.pointee.key,
            tail: UnsafeRawBufferPointer(start: nil, count: 0), value: operation.pointee.value,
            mixed: prepared.pointee.mixed)
        let partition = Int(prepared.pointee.partition)
        let place = partitions.states[partition].table.find(
            hash: incoming.hash, map: incoming.map, key: incoming.key)
        if place.isFound, let stored = partitions.states[partition].table.block(at: place.slot) {
            // The line that says so was just read: the check costs nothing.
            guard stored.keyHash == incoming.keyHash else {
                noteBroken(partition, .key)
                return .refused(.notReady)
            }
            switch compareVersions(incoming, stored) {
            case .newer: break
            case .older:
                #if MUTANTS
                if Mutant.removeIgnoresVersion.isOn, incoming.value.count == 1 { break }
                #endif
                return .superseded
            case .same:
                #if MUTANTS
                if Mutant.conflictIsRepeat.isOn { return .repeated }
                #endif
                let isRepeat =
                    !frame.rules.contains(.reportsReplicaConflict)
                    || incoming.ttlMillis == stored.ttlMillis && VersionOrder.equal(incoming.value, stored.value)
                return isRepeat ? .repeated : .refused(.replicaIDConflict)
            }
        }
        guard accept(incoming, at: place, in: partition, author: frame.author, wallMillis: frame.wallMillis) else {
            return .refused(.nodeFull)
        }
        latest.note(incoming.millis, incoming.counter)
        return .merged
    }

    /// How a record relates to the stored one by stamp.
    @inline(__always)
    func compareVersions(_ incoming: Incoming, _ stored: RecordBlock) -> VersionOrder.Result {
        let millis = stored.millis
        if incoming.millis != millis { return incoming.millis < millis ? .older : .newer }
        let counter = stored.counter
        if incoming.counter != counter { return incoming.counter < counter ? .older : .newer }
        if incoming.node == stored.node { return .same }
        #if MUTANTS
        if Mutant.tieBreakMissing.isOn { return .older }
        #endif
        return VersionOrder.compare(bytes: nodes[incoming.node], to: nodes[stored.node])
    }
}

// MARK: - Names without a number

extension GroupState {
    /// Merges an operation whose map or writer had no number when its pass began. Numbers are for ever, and so are given
    /// to those that leave a record only: what is refused or superseded takes back the ones that it brought.
    @inline(never)
    private func mergeUnderNewName(
        _ operation: UnsafePointer<OperationView>, _ prepared: UnsafeMutablePointer<Passes.Prepared>, _ frame: Frame,
        _ latest: inout Latest
    ) -> Outcome {
        let (knownMaps, knownNodes) = (maps.count, nodes.count)
        let outcome = mergeWithNumbers(operation, prepared, frame, &latest)
        switch outcome {
        case .merged, .restamped: break
        case .repeated, .superseded, .refused:
            if nodes.count > knownNodes { nodes.removeLast() }
            if maps.count > knownMaps { removeLastMap() }
        }
        return outcome
    }

    private func mergeWithNumbers(
        _ operation: UnsafePointer<OperationView>, _ prepared: UnsafeMutablePointer<Passes.Prepared>, _ frame: Frame,
        _ latest: inout Latest
    ) -> Outcome {
        switch intern(map: operation.pointee.map, in: frame.nameSpace, limit: limits.mapsMax) {
        case .success(let map): passes.lastMap = map
        case .failure(let error): return .refused(error.code == .full ? .nodeFull : .tooLarge)
        }
        switch intern(node: operation.pointee.node, limit: limits.nodesMax) {
        case .success(let node): passes.lastNode = node
        case .failure(let error): return .refused(error.code == .full ? .nodeFull : .badRequest)
        }
        judge(
            operation, prepared, in: PartitionID(hash: operation.pointee.keyHash).index,
            latest: frame.wallMillis &+ ModelLimits.clientAheadMillisMax, mayRepeatRestamped: restamps.count > 0)
        return prepared.pointee.verdict == .merge
            ? merge(operation, prepared, frame, &latest)
            : mergeUnlessRestamped(operation, prepared, frame, &latest)
    }
}

// MARK: - Stamps from the future

extension GroupState {
    func wasRestamped(_ node: UInt32) -> Bool {
        let word = Int(node >> 6)
        return word < restampedNodes.count && restampedNodes[word] & 1 << UInt64(node & 63) != 0
    }

    func markRestamped(_ node: UInt32) {
        while restampedNodes.count <= Int(node >> 6) { restampedNodes.append(0) }
        restampedNodes[Int(node >> 6)] |= 1 << UInt64(node & 63)
    }

    /// Merges an operation whose stamp is ahead, or whose writer had stamps replaced before: the second answer to the
    /// same operation is the first one.
    @inline(never)
    private func mergeUnlessRestamped(
        _ operation: UnsafePointer<OperationView>, _ prepared: UnsafePointer<Passes.Prepared>, _ frame: Frame,
        _ latest: inout Latest
    ) -> Outcome {
        let origin = RestampMemory.Origin(
            map: prepared.pointee.map, key: ByteString(copying: operation.pointee.key), node: prepared.pointee.node,
            millis: operation.pointee.millis, counter: operation.pointee.counter)
        if let assigned = restamps.assigned(to: origin) {
            return .restamped(millis: assigned.millis, counter: assigned.counter)
        }
        guard prepared.pointee.verdict == .ahead else { return merge(operation, prepared, frame, &latest) }
        #if MUTANTS
        let reportsClockAhead = frame.rules.contains(.reportsClockAhead) && !Mutant.serverRestamps.isOn
        #else
        let reportsClockAhead = frame.rules.contains(.reportsClockAhead)
        #endif
        #if MUTANTS
        if Mutant.refusesWhatItStored.isOn {
            var unobserved = latest
            _ = merge(operation, prepared, frame, &unobserved)
        }
        #endif
        guard !reportsClockAhead else { return .refused(.clockAhead) }
        guard restamps.count < limits.restampsMax else { return .refused(.busy) }
        observe(&latest, wallMillis: frame.wallMillis)
        let stamp: Timestamp
        do {
            stamp = try clock.now(wallMillis: frame.wallMillis)
        } catch {
            return .refused(Refusal(error))
        }
        scratch.removeAll()
        RestampMemory.appendTail(
            millis: origin.millis, counter: origin.counter, node: operation.pointee.node, to: scratch)
        let incoming = Incoming(
            hash: prepared.pointee.hash, keyHash: operation.pointee.keyHash, map: prepared.pointee.map, node: ownNode,
            counter: stamp.counter, millis: stamp.millis, ttlMillis: operation.pointee.ttlMillis,
            kind: StoredRecord.Kind.lww.rawValue, key: operation.pointee.key, tail: scratch.bytes,
            value: operation.pointee.value)
        let partition = Int(prepared.pointee.partition)
        let place = partitions.states[partition].table.find(
            hash: incoming.hash, map: incoming.map, key: incoming.key)
        guard accept(incoming, at: place, in: partition, author: frame.author, wallMillis: frame.wallMillis) else {
            return .refused(.nodeFull)
        }
        restamps.remember(
            origin, as: .init(millis: stamp.millis, counter: stamp.counter, node: ownNode), partition: partition,
            keyHash: operation.pointee.keyHash)
        markRestamped(prepared.pointee.node)
        return .restamped(millis: stamp.millis, counter: stamp.counter)
    }
}
