package import TopGunModel

/// Why a frame is not a message of the protocol.
///
/// Its description names the field and never shows content.
package struct WireError: Error, Equatable, Sendable {
    package enum Code: UInt8, Sendable {
        /// Not MessagePack, not a map, a length that lies, bytes left over.
        case malformed
        /// More containers inside each other than ``WireLimits/frameDepthMax``.
        case tooDeep
        /// No `type`, or one that this side does not take.
        case unknownType
        case missingField
        /// A field of another kind, or out of range.
        case badField
        /// More messages, operations or names than the limits allow.
        case tooLarge
    }

    package var code: Code
    /// The field that is to blame.
    package var field: StaticString?
    /// The type of the message, as far as it was read.
    package var requestType: ByteString?
    /// What the sender would know the answer by: a request, query, subscription or vector search id.
    package var requestID: ByteString?

    package init(_ code: Code, field: StaticString? = nil) {
        self.code = code
        self.field = field
    }

    init(_ error: MessagePackError, field: StaticString? = nil) {
        switch error {
        case .tooDeep: self.init(Code.tooDeep, field: field)
        case .truncated, .reserved: self.init(Code.malformed, field: field)
        case .wrongKind, .notAnInteger, .notUTF8: self.init(field == nil ? Code.malformed : Code.badField, field: field)
        }
    }

    package static func == (left: WireError, right: WireError) -> Bool {
        left.code == right.code && left.fieldName == right.fieldName && left.requestType == right.requestType
            && left.requestID == right.requestID
    }

    private var fieldName: ByteString? {
        field.map { ByteString(copying: UnsafeRawBufferPointer(start: $0.utf8Start, count: $0.utf8CodeUnitCount)) }
    }

    /// The number that the ERROR message carries (protocol.md 1.7).
    package var protocolCode: Int {
        switch code {
        case .malformed, .tooDeep, .unknownType, .missingField, .badField: 400
        case .tooLarge: 413
        }
    }

    /// The code of protocol.md 16.
    package var refusal: Refusal {
        code == .tooLarge ? .tooLarge : .badRequest
    }

    /// One sentence for people.
    package var description: String {
        let reason =
            switch code {
            case .malformed: "the frame is malformed"
            case .tooDeep: "the frame nests too deep"
            case .unknownType: "unknown message type"
            case .missingField: "a field is missing"
            case .badField: "a field is malformed"
            case .tooLarge: "the frame holds too much"
            }
        guard let fieldName else { return reason }
        return reason + ": " + fieldName.string
    }
}

extension WireError: CustomStringConvertible {}
