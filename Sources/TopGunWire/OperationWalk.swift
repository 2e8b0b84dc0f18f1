import TopGunModel

/// The walk over one operation (protocol.md 3.1).
///
/// Fields come in any order, of duplicate ones the last counts, and the kind may be known only at the end: `record` and
/// `orRecord` are read where they stand, into the same place, and read again in the rare case that the wrong one was
/// read last.
struct OperationWalk {
    /// Where the view lies: an untouched element of the list that is being filled, so that nothing is copied.
    private let operation: UnsafeMutablePointer<OperationView>
    private var kind: OperationView.Kind?
    private var record = Presence.absent
    private var orRecord = Presence.absent
    private var orTag = UnsafeRawBufferPointer(start: nil, count: 0)
    private var hasTag = false
    private var hasMap = false
    private var hasKey = false
    /// Which of the two records is in `operation`, and what is wrong with it.
    private var readRecord = -1
    private var recordRefusal: Refusal?
    private var hasValue = false
    private var hasStamp = false
    /// Where the operation's own stamp stands; official clients repeat the record's there.
    private var stampOffset = -1

    private enum Presence: Equatable {
        case absent
        case null
        case map(Int)
        case wrong
    }

    private init(_ operation: UnsafeMutablePointer<OperationView>) {
        self.operation = operation
    }

    /// Reads the operation that stands here into a fresh view and moves the reader behind it.
    static func read(
        _ reader: inout MessagePackReader, into operation: UnsafeMutablePointer<OperationView>, hasTimeouts: inout Bool
    ) throws(WireError) {
        guard reader.isAtMap else {
            try reader.skipAny()
            operation.pointee.refusal = .badRequest
            return
        }
        var walk = OperationWalk(operation)
        let count = try reader.mapCount()
        for _ in 0..<count { try walk.readField(&reader, &hasTimeouts) }
        try walk.finish(reader.bytes)
    }

    private mutating func refuse(_ refusal: Refusal) {
        if operation.pointee.refusal == nil { operation.pointee.refusal = refusal }
    }
}

// MARK: - Fields

extension OperationWalk {
    @inline(__always)
    private mutating func readField(
        _ reader: inout MessagePackReader, _ hasTimeouts: inout Bool
    ) throws(WireError) {
        switch try reader.fieldKey() {
        case .mapName:
            guard let name = try reader.tryString() else { return refuse(.badRequest) }
            operation.pointee.map = name
            hasMap = true
        case .key:
            guard let key = try reader.tryString() else { return refuse(.badRequest) }
            operation.pointee.key = key
            hasKey = true
        case .opType:
            kind = nil
            guard !reader.tryReadNil() else { return }
            guard let word = try reader.tryString() else { return refuse(.badRequest) }
            kind = OperationView.Kind(FieldName(word))
        case .id:
            operation.pointee.id = nil
            guard !reader.tryReadNil() else { return }
            guard let text = try reader.tryString(), let id = decimalNumber(text) else { return refuse(.badRequest) }
            operation.pointee.id = id
        case .record:
            record = try presence(&reader)
            if case .map = record { try readRecord(&reader, 0) }
        case .orRecord:
            orRecord = try presence(&reader)
            if case .map = orRecord { try readRecord(&reader, 1) }
        case .orTag:
            hasTag = false
            guard !reader.tryReadNil() else { return }
            guard let tag = try reader.tryString() else { return refuse(.badRequest) }
            orTag = tag
            hasTag = true
        case .timestamp:
            stampOffset = reader.offset
            try reader.skipAny()
        case .writeConcern:
            operation.pointee.concern = nil
            guard !reader.tryReadNil() else { return }
            guard let word = try reader.tryString(), let concern = WriteConcern(FieldName(word)) else {
                return refuse(.badRequest)
            }
            operation.pointee.concern = concern
        case .timeout:
            operation.pointee.timeoutMillis = try readOptionalInteger(&reader)
            hasTimeouts = true
        case .fencingToken: operation.pointee.fencingToken = try readOptionalInteger(&reader)
        default: try reader.skipAny()
        }
    }

    /// A whole number that must not be negative.
    private mutating func readOptionalInteger(_ reader: inout MessagePackReader) throws(WireError) -> Int64? {
        guard !reader.tryReadNil() else { return nil }
        guard let number = try reader.tryInteger(), number >= 0 else {
            refuse(.badRequest)
            return nil
        }
        return number
    }

    /// What stands where a record is expected; anything but a map is stepped over.
    @inline(__always)
    private func presence(_ reader: inout MessagePackReader) throws(WireError) -> Presence {
        if reader.isAtMap { return .map(reader.offset) }
        if reader.tryReadNil() { return .null }
        try reader.skipAny()
        return .wrong
    }
}

// MARK: - Records

extension OperationWalk {
    /// Reads a record's fields into the operation, in place of what another record brought.
    private mutating func readRecord(_ reader: inout MessagePackReader, _ which: Int) throws(WireError) {
        readRecord = which
        recordRefusal = nil
        hasValue = false
        hasStamp = false
        operation.pointee.ttlMillis = 0
        operation.pointee.tag = UnsafeRawBufferPointer(start: nil, count: 0)
        let count = try reader.mapCount()
        for _ in 0..<count {
            switch try reader.fieldKey() {
            case .value:
                hasValue = true
                if let value = try reader.value() { operation.pointee.value = value } else { recordRefusal = .tooLarge }
            case .timestamp:
                hasStamp = true
                if let refusal = try readStamp(&reader) { recordRefusal = recordRefusal ?? refusal }
            case .ttlMs:
                operation.pointee.ttlMillis = 0
                guard !reader.tryReadNil() else { continue }
                guard let ttl = try reader.tryInteger(), ttl >= 0, ttl <= ModelLimits.millisMax else {
                    recordRefusal = recordRefusal ?? .badRequest
                    continue
                }
                operation.pointee.ttlMillis = ttl
            case .tag:
                guard let tag = try reader.tryString() else {
                    recordRefusal = recordRefusal ?? .badRequest
                    continue
                }
                operation.pointee.tag = tag
            default: try reader.skipAny()
            }
        }
    }

    /// Reads a stamp into the operation and returns what is wrong with it.
    @inline(__always)
    private mutating func readStamp(_ reader: inout MessagePackReader) throws(WireError) -> Refusal? {
        guard reader.isAtMap else {
            try reader.skipAny()
            return .badStamp
        }
        var parts: UInt8 = 0
        var isBad = false
        let count = try reader.mapCount()
        for _ in 0..<count {
            switch try reader.fieldKey() {
            case .millis:
                parts |= 1
                let millis = try reader.tryInteger() ?? -1
                isBad = isBad || millis < 0 || millis > ModelLimits.millisMax
                operation.pointee.millis = millis
            case .counter:
                parts |= 2
                let counter = try reader.tryInteger() ?? -1
                isBad = isBad || counter < 0 || counter > Int64(UInt32.max)
                operation.pointee.counter = UInt32(truncatingIfNeeded: counter)
            case .nodeId:
                parts |= 4
                guard let node = try reader.tryString() else {
                    isBad = true
                    continue
                }
                operation.pointee.node = node
                isBad = isBad || !isNodeID(node)
            default: try reader.skipAny()
            }
        }
        guard parts == 7, !isBad else {
            clearStamp()
            return .badStamp
        }
        return nil
    }

    private mutating func clearStamp() {
        operation.pointee.millis = 0
        operation.pointee.counter = 0
        operation.pointee.node = UnsafeRawBufferPointer(start: nil, count: 0)
    }
}

// MARK: - The end

extension OperationWalk {
    /// Decides the kind and checks what it needs.
    @inline(__always)
    private mutating func finish(_ bytes: UnsafeRawBufferPointer) throws(WireError) {
        operation.pointee.kind = kind ?? kindByContent
        switch operation.pointee.kind {
        case .put, .remove: try takeRecord(bytes)
        case .orAdd: try takeORRecord(bytes)
        case .orRemove: try takeTag(bytes)
        }
        checkNames()
    }

    /// The kind of an operation that names none, or one that is not known (protocol.md 3.1).
    private var kindByContent: OperationView.Kind {
        if record == .null { return .remove }
        if case .map = orRecord { return .orAdd }
        return hasTag && orRecord == .absent ? .orRemove : .put
    }

    @inline(__always)
    private mutating func takeRecord(_ bytes: UnsafeRawBufferPointer) throws(WireError) {
        operation.pointee.tag = UnsafeRawBufferPointer(start: nil, count: 0)
        if case .map(let offset) = record {
            if readRecord != 0 { try readAgain(bytes, offset, 0) }
            guard hasStamp else { return refuse(recordRefusal ?? .badStamp) }
            if let recordRefusal { refuse(recordRefusal) }
        } else if operation.pointee.kind == .remove, record == .null, stampOffset >= 0 {
            // A removal without a record: its stamp stands beside it.
            clear()
            if let refusal = try readStamp(bytes) { refuse(refusal) }
        } else {
            clear()
            return refuse(.badRequest)
        }
        if operation.pointee.kind == .remove || !hasValue || isNil(operation.pointee.value) {
            operation.pointee.kind = .remove
            operation.pointee.value = nilValue
            operation.pointee.ttlMillis = 0
        }
    }

    private mutating func takeORRecord(_ bytes: UnsafeRawBufferPointer) throws(WireError) {
        guard case .map(let offset) = orRecord else {
            clear()
            return refuse(.badRequest)
        }
        if readRecord != 1 { try readAgain(bytes, offset, 1) }
        guard hasStamp else { return refuse(recordRefusal ?? .badStamp) }
        if let recordRefusal { refuse(recordRefusal) }
        if !hasValue { operation.pointee.value = nilValue }
        checkTag()
    }

    private mutating func takeTag(_ bytes: UnsafeRawBufferPointer) throws(WireError) {
        clear()
        guard hasTag else { return refuse(.badRequest) }
        operation.pointee.tag = orTag
        operation.pointee.value = nilValue
        checkTag()
        // The stamp of a removal decides nothing: the tag does. One that cannot be read is left at zero.
        if stampOffset >= 0, try readStamp(bytes) != nil { clearStamp() }
    }

    private mutating func readAgain(
        _ bytes: UnsafeRawBufferPointer, _ offset: Int, _ which: Int
    ) throws(WireError) {
        clear()
        var reader = MessagePackReader(bytes, offset: offset)
        try readRecord(&reader, which)
    }

    /// Reads the operation's own stamp.
    private mutating func readStamp(_ bytes: UnsafeRawBufferPointer) throws(WireError) -> Refusal? {
        var reader = MessagePackReader(bytes, offset: stampOffset)
        return try readStamp(&reader)
    }

    /// Forgets what a record of the other kind brought.
    private mutating func clear() {
        clearStamp()
        operation.pointee.ttlMillis = 0
        operation.pointee.value = nilValue
        operation.pointee.tag = UnsafeRawBufferPointer(start: nil, count: 0)
        hasValue = false
        hasStamp = false
    }

    private mutating func checkTag() {
        let tag = operation.pointee.tag
        if tag.count == 0 || !isPlainText(tag) { return refuse(.badRequest) }
        if tag.count > WireLimits.tagBytesMax { refuse(.tooLarge) }
    }

    @inline(__always)
    private mutating func checkNames() {
        guard hasMap, hasKey, operation.pointee.map.count > 0, isPlainText(operation.pointee.map),
            isPlainText(operation.pointee.key)
        else {
            return refuse(.badRequest)
        }
        if operation.pointee.map.count > WireLimits.mapNameBytesMax
            || operation.pointee.key.count > WireLimits.keyBytesMax
        {
            refuse(.tooLarge)
        }
        if operation.pointee.map[0] == UInt8(ascii: "_"), ReservedNames.contain(operation.pointee.map) {
            refuse(.forbidden)
        }
    }
}

// MARK: - Bytes

@inline(__always)
private func isNil(_ value: UnsafeRawBufferPointer) -> Bool {
    value.count == 1 && value[0] == 0xc0
}

/// The one byte `0xc0`, for removals whose frame has no nil to point at.
private var nilValue: UnsafeRawBufferPointer { UnsafeRawBufferPointer(NilByte.shared) }

private enum NilByte {
    // Written once, before anyone can see it, and never freed: a constant that a view can point at.
    nonisolated(unsafe) static let shared: UnsafeMutableRawBufferPointer = {
        let byte = UnsafeMutableRawBufferPointer.allocate(byteCount: 1, alignment: 1)
        byte[0] = 0xc0
        return byte
    }()
}
