/// Why a query cannot be run as it was asked.
package struct QueryError: Error, Equatable, Sendable {
    package enum Code: Sendable {
        /// A part of the query is not what the protocol says it is.
        case malformed
        /// An operator that this server does not have; the answer is `QUERY_UNSUPPORTED`.
        case unsupported
        /// More conditions, fields or levels than a query may have.
        case tooLarge
    }

    package var code: Code
    /// Which part, in words that reveal no data.
    package var message: StaticString

    package init(code: Code, message: StaticString) {
        self.code = code
        self.message = message
    }

    /// The protocol's word in `QUERY_RESP.code`.
    package var wireName: StaticString {
        switch code {
        case .malformed: "BAD_REQUEST"
        case .unsupported: "QUERY_UNSUPPORTED"
        case .tooLarge: "TOO_LARGE"
        }
    }

    package static func == (left: QueryError, right: QueryError) -> Bool {
        left.code == right.code
    }
}
