/// One client write as views over the frame it arrived in: the form an operation has between socket and merge.
///
/// The views point into memory owned by whoever decoded the frame and are valid only until the call that was given the
/// operation returns. Nothing here may be stored; what is stored is copied once, by the merge.
package struct OperationView {
    package enum Kind: UInt8, Sendable {
        case put
        case remove
        case orAdd
        case orRemove
    }

    package var kind: Kind = .put
    /// The client's operation number; `nil` when the operation carries none.
    package var id: UInt64?
    package var map = UnsafeRawBufferPointer(start: nil, count: 0)
    package var key = UnsafeRawBufferPointer(start: nil, count: 0)
    /// The protocol's hash of the key; filled in by whoever routes the operation.
    package var keyHash: UInt32 = 0
    /// MessagePack bytes of the value, already checked for depth and length; the single byte `0xc0` for a removal.
    package var value = UnsafeRawBufferPointer(start: nil, count: 0)
    package var millis: Int64 = 0
    package var counter: UInt32 = 0
    package var node = UnsafeRawBufferPointer(start: nil, count: 0)
    /// Lifetime from `millis` on; 0 means it never expires.
    package var ttlMillis: Int64 = 0
    /// The OR-Map tag of an `orAdd` or `orRemove`.
    package var tag = UnsafeRawBufferPointer(start: nil, count: 0)
    package var concern: WriteConcern?
    package var timeoutMillis: Int64?
    package var fencingToken: Int64?
    /// Set when a field of this operation, and only of this one, cannot be accepted.
    package var refusal: Refusal?

    package init() {}
}

/// Why an operation is not taken; the names are the protocol's codes (protocol.md 16).
package enum Refusal: UInt8, Error, Sendable, CaseIterable {
    case badRequest
    case badStamp
    case clockAhead
    case unauthenticated
    case forbidden
    case tooLarge
    case tooOld
    case fenced
    case replicaIDConflict
    case concernUnavailable
    case busy
    case nodeFull
    case notReady
    case upgradeRequired

    package var wireName: StaticString {
        switch self {
        case .badRequest: "BAD_REQUEST"
        case .badStamp: "BAD_STAMP"
        case .clockAhead: "CLOCK_AHEAD"
        case .unauthenticated: "UNAUTHENTICATED"
        case .forbidden: "FORBIDDEN"
        case .tooLarge: "TOO_LARGE"
        case .tooOld: "TOO_OLD"
        case .fenced: "FENCED"
        case .replicaIDConflict: "REPLICA_ID_CONFLICT"
        case .concernUnavailable: "CONCERN_UNAVAILABLE"
        case .busy: "BUSY"
        case .nodeFull: "NODE_FULL"
        case .notReady: "NOT_READY"
        case .upgradeRequired: "UPGRADE_REQUIRED"
        }
    }

    /// The number that an `ERROR` message carries for it.
    package var errorCode: Int {
        switch self {
        case .badRequest, .badStamp, .clockAhead: 400
        case .unauthenticated: 401
        case .forbidden: 403
        case .tooOld, .fenced, .replicaIDConflict: 409
        case .tooLarge: 413
        case .concernUnavailable: 422
        case .upgradeRequired: 426
        case .busy: 429
        case .notReady: 503
        case .nodeFull: 507
        }
    }

    /// Whether the client must give the operation up; otherwise it keeps it and acts on the code.
    package var isFinal: Bool {
        switch self {
        case .clockAhead, .replicaIDConflict, .busy, .nodeFull, .notReady: false
        case .badRequest, .badStamp, .unauthenticated, .forbidden, .tooLarge, .tooOld, .fenced, .concernUnavailable,
            .upgradeRequired:
            true
        }
    }
}
