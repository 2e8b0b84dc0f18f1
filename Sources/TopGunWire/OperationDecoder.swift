package import TopGunModel

/// What kind of frame was decoded.
package enum FrameKind: UInt8, Sendable {
    /// OP_BATCH or CLIENT_OP; its operations are in the list.
    case operations
    /// Anything else, to be given to ``ClientMessage/decode(_:)``.
    case other
}

/// Reads the operations of a frame straight into views, without building a message.
///
/// ```
/// {type, payload: {ops: [{id, mapName, opType, key, record: {value, timestamp: {millis, counter, nodeId}, ttlMs}}]}}
///                 └ OP_BATCH; in a CLIENT_OP the payload is the operation
/// ```
///
/// One pass over the bytes and no allocation but the growth of the list. What is wrong with one operation becomes its
/// ``OperationView/refusal`` and leaves the others alone (protocol.md 3.6); only a frame that cannot be walked to its end
/// throws, and then nothing was appended. Names and keys are known to be UTF-8 without NUL, values to nest at most
/// ``ModelLimits/valueDepthMax`` deep. The views live as long as the frame.
package enum OperationDecoder {
    package static func decode(
        _ frame: UnsafeRawBufferPointer, into operations: inout [OperationView]
    ) throws(WireError) -> FrameKind {
        var hasTimeouts = false
        return try decode(frame, into: &operations, hasTimeouts: &hasTimeouts)
    }

    /// The same; `hasTimeouts` is set if any of the operations has a time limit.
    package static func decode(
        _ frame: UnsafeRawBufferPointer, into operations: inout [OperationView], hasTimeouts: inout Bool
    ) throws(WireError) -> FrameKind {
        let first = operations.count
        var walk = FrameWalk(frame, first: first)
        do throws(WireError) {
            let kind = try walk.run(into: &operations)
            hasTimeouts = walk.hasTimeouts
            return kind
        } catch {
            operations.removeLast(operations.count &- first)
            throw error
        }
    }
}

/// The walk over the outer maps of one frame.
private struct FrameWalk {
    enum FrameType {
        case single
        case batch
    }

    private var reader: MessagePackReader
    private let first: Int
    private var type: FrameType?
    private var payload: Int?
    /// By what the list was filled; a duplicate field that comes later makes it void.
    private var filledType: FrameType?
    private var filledPayload: Int?
    /// Whether any operation has a time limit, or had one in a field that is void.
    private(set) var hasTimeouts = false

    init(_ frame: UnsafeRawBufferPointer, first: Int) {
        self.reader = MessagePackReader(frame)
        self.first = first
    }

    mutating func run(into operations: inout [OperationView]) throws(WireError) -> FrameKind {
        let count = try reader.mapCount()
        for _ in 0..<count {
            switch try reader.fieldKey() {
            case .type:
                type = try frameType()
                // Frames of other types are walked by who knows them.
                if type == nil { return .other }
            case .payload:
                payload = reader.offset
                if let type { try fill(&operations, type) } else { try reader.skipAny() }
            default: try reader.skipAny()
            }
        }
        guard let type else { return .other }
        guard let payload else { throw WireError(.missingField, field: "payload") }
        guard reader.isAtEnd else { throw WireError(.malformed) }
        if filledType != type || filledPayload != payload {
            reader = MessagePackReader(reader.bytes, offset: payload)
            try fill(&operations, type)
        }
        return .operations
    }

    private mutating func frameType() throws(WireError) -> FrameType? {
        guard let word = try reader.tryString() else { return nil }
        switch FieldName(word) {
        case "OP_BATCH": return .batch
        case "CLIENT_OP": return .single
        default: return nil
        }
    }

    /// Reads the payload that stands here; what an earlier one brought is void.
    private mutating func fill(_ operations: inout [OperationView], _ type: FrameType) throws(WireError) {
        operations.removeLast(operations.count &- first)
        filledType = type
        filledPayload = reader.offset
        switch type {
        case .single: try fill(&operations, count: 1)
        case .batch: try fillBatch(&operations)
        }
    }

    private mutating func fillBatch(_ operations: inout [OperationView]) throws(WireError) {
        var concern: WriteConcern?
        var timeoutMillis: Int64?
        // A batch-level word that nobody knows refuses the operations that it would hold for, one by one: an official
        // client would send a frame that is refused as a whole again for ever.
        var isConcernBad = false
        var isTimeoutBad = false
        var hasOperations = false
        let count = try reader.mapCount()
        for _ in 0..<count {
            switch try reader.fieldKey() {
            case .ops:
                operations.removeLast(operations.count &- first)
                try fillOperations(&operations)
                hasOperations = true
            case .writeConcern:
                (concern, isConcernBad) = (nil, false)
                guard !reader.tryReadNil() else { continue }
                concern = try reader.tryString().flatMap { WriteConcern(FieldName($0)) }
                isConcernBad = concern == nil
            case .timeout:
                (timeoutMillis, isTimeoutBad) = (nil, false)
                guard !reader.tryReadNil() else { continue }
                timeoutMillis = try reader.tryInteger().flatMap { $0 >= 0 ? $0 : nil }
                isTimeoutBad = timeoutMillis == nil
            default: try reader.skipAny()
            }
        }
        guard hasOperations else { throw WireError(.missingField, field: "ops") }
        guard concern != nil || timeoutMillis != nil || isConcernBad || isTimeoutBad else { return }
        if timeoutMillis != nil { hasTimeouts = true }
        for index in first..<operations.count {
            let isBad =
                isConcernBad && operations[index].concern == nil
                || isTimeoutBad && operations[index].timeoutMillis == nil
            if isBad, operations[index].refusal == nil { operations[index].refusal = .badRequest }
            if operations[index].concern == nil { operations[index].concern = concern }
            if operations[index].timeoutMillis == nil { operations[index].timeoutMillis = timeoutMillis }
        }
    }

    private mutating func fillOperations(_ operations: inout [OperationView]) throws(WireError) {
        let count = try reader.arrayCount()
        // So that a list of empty operations does not make views of many times its size.
        guard count <= reader.remaining / WireLimits.operationBytesMin else {
            throw WireError(.malformed, field: "ops")
        }
        try fill(&operations, count: count)
    }

    /// Reads that many operations into views at the end of the list.
    private mutating func fill(_ operations: inout [OperationView], count: Int) throws(WireError) {
        operations.reserveCapacity(first &+ count)
        operations.append(contentsOf: repeatElement(OperationView(), count: count))
        var reader = self.reader
        var hasTimeouts = self.hasTimeouts
        try operations.withUnsafeMutableBufferPointer { (views) throws(WireError) in
            guard let start = views.baseAddress else { return }
            for index in first..<first &+ count {
                try OperationWalk.read(&reader, into: start + index, hasTimeouts: &hasTimeouts)
            }
        }
        self.reader = reader
        self.hasTimeouts = hasTimeouts
    }
}
