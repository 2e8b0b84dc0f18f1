import Crypto
import TopGunEnvironment
import TopGunModel
import TopGunWire

/// Where the next page of a query begins: behind a row, by the order of one query and no other (protocol.md 6.4).
///
/// ```
///  version u8 | made at i64 | question, 16 bytes | sort key of the last row | HMAC-SHA256 of all before, 32 bytes
/// ```
///
/// In hexadecimal digits. Signed with a key that this run of the process alone has, so that nobody makes one up; after a
/// restart, or for another question, it is `invalid`, and after ten minutes `expired`.
struct QueryCursor: Equatable {
    /// Rows of the page have a greater sort key.
    let after: ByteString
    let madeMillis: Int64

    private static let version: UInt8 = 1
    private static let questionBytes = 16
    private static let headBytes = 1 + 8 + questionBytes
    private static let tagBytes = 32

    /// What one cursor is good for: the map, the filter and the order, not the limit.
    struct Question: Equatable {
        fileprivate let digest: [UInt8]

        init(_ map: ByteString, in nameSpace: ByteString, _ query: QueryRequest) {
            var hash = SHA256()
            func add(_ bytes: [UInt8]) {
                withUnsafeBytes(of: UInt64(bytes.count).littleEndian) { hash.update(bufferPointer: $0) }
                hash.update(data: bytes)
            }
            add(nameSpace.bytes)
            add(map.bytes)
            add(query.equals?.bytes ?? [])
            add(query.predicate?.bytes ?? [])
            for order in query.sort {
                add(order.field.bytes)
                add([order.isDescending ? 1 : 0])
            }
            digest = Array(hash.finalize().prefix(QueryCursor.questionBytes))
        }
    }

    /// `nil` where the key of the row is too long to be carried around.
    init?(after sortKey: ByteString, madeMillis: Int64) {
        guard sortKey.count <= Limits.cursorKeyBytesMax else { return nil }
        self.after = sortKey
        self.madeMillis = madeMillis
    }

    func text(for question: Question, signedWith key: SymmetricKey) -> ByteString {
        var bytes: [UInt8] = [Self.version]
        withUnsafeBytes(of: madeMillis.littleEndian) { bytes.append(contentsOf: $0) }
        bytes += question.digest
        bytes += after.bytes
        bytes += HMAC<SHA256>.authenticationCode(for: bytes, using: key)
        let digits = Array("0123456789abcdef".utf8)
        return ByteString(bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] })
    }

    /// Reads what ``text(for:signedWith:)`` of this process made for the same question; `nil` for anything else.
    init?(_ text: ByteString, for question: Question, signedWith key: SymmetricKey) {
        guard text.count <= 2 * (Self.headBytes + Limits.cursorKeyBytesMax + Self.tagBytes),
            let bytes = Self.bytes(text), bytes.count >= Self.headBytes + Self.tagBytes
        else { return nil }
        let signed = bytes.dropLast(Self.tagBytes)
        guard
            HMAC<SHA256>.isValidAuthenticationCode(
                bytes.suffix(Self.tagBytes), authenticating: signed, using: key),
            signed[0] == Self.version, signed[9..<Self.headBytes].elementsEqual(question.digest)
        else { return nil }
        madeMillis = signed[1..<9].reversed().reduce(0) { $0 << 8 | Int64($1) }
        after = ByteString(Array(signed[Self.headBytes...]))
    }

    private static func bytes(_ text: ByteString) -> [UInt8]? {
        guard text.count % 2 == 0 else { return nil }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(text.count / 2)
        for index in stride(from: 0, to: text.count, by: 2) {
            guard let high = digit(text.bytes[index]), let low = digit(text.bytes[index + 1]) else { return nil }
            bytes.append(high << 4 | low)
        }
        return bytes
    }

    private static func digit(_ byte: UInt8) -> UInt8? {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
        default: nil
        }
    }
}

/// What a query asks for besides what its rows must be like: which of them, and how its answer speaks of that.
struct QueryPage {
    /// As many rows; `nil` for all.
    var limit: Int?
    /// Only rows with a greater sort key.
    var after: ByteString?
    var status = QueryResponse.CursorStatus.none
    var question: QueryCursor.Question
}

extension GatewayCore {
    /// The page that a query asks for. A cursor that is not good any more begins anew, and its answer says why.
    func page(of query: QueryRequest, map: ByteString, in nameSpace: ByteString) -> QueryPage {
        var page = QueryPage(
            limit: query.limit.map { Int(clamping: $0) },
            question: QueryCursor.Question(map, in: nameSpace, query))
        guard let text = query.cursor else { return page }
        guard let cursor = QueryCursor(text, for: page.question, signedWith: terms.cursorKey) else {
            page.status = .invalid
            return page
        }
        guard clock.wallMillis() - cursor.madeMillis <= Limits.cursorMillisMax else {
            page.status = .expired
            return page
        }
        page.status = .valid
        page.after = cursor.after
        return page
    }

    /// Where the page after these rows begins; `nil` where there is none, or nobody asked for pages.
    func nextCursor(behind last: ScannedRow?, of page: QueryPage) -> ByteString? {
        guard page.limit != nil, let last else { return nil }
        return QueryCursor(after: last.sortKey, madeMillis: clock.wallMillis())?
            .text(for: page.question, signedWith: terms.cursorKey)
    }
}
