/// Why a call on a replica was refused; nothing has changed.
package struct ReplicaError: Error, Equatable, Sendable {
    package enum Code: Sendable {
        /// Empty, too long, holds `:` or NUL, or starts with a prefix kept for the system.
        case badMapName
        case keyTooLong
        /// Holds NUL, which no server takes.
        case badKey
        case valueTooLarge
        /// Not exactly one MessagePack value, or nested deeper than servers take.
        case badValue
        /// A lifetime that is negative or beyond what stamps can hold.
        case badLifetime
        case tooManyMaps
        case tooManyQueries
        /// The filter is no map of fields, or has too many.
        case badQuery
        case unknownMap
        /// The clock cannot go further: a server sent a stamp at the end of time.
        case clockExhausted
    }

    package var code: Code

    package init(_ code: Code) {
        self.code = code
    }
}
