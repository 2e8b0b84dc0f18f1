import Crypto
import TopGunEnvironment
import TopGunModel

/// What a device shows to be known again: a public id and a secret, `"<uuid v4>.<64 hex digits>"` (protocol.md 2.4).
///
/// The server tells the secret once and keeps only its ``digest``.
struct DeviceCredential: Equatable, Sendable {
    /// The public id: a lower-case UUID of version 4.
    let id: String
    private let secret: [UInt8]

    private static let idBytes = 36
    private static let secretBytes = 32

    /// Makes a new one.
    init(using entropy: any Entropy) {
        id = entropy.uuid()
        secret = entropy.bytes(Self.secretBytes)
    }

    /// Reads one; `nil` if the text is none.
    init?(_ text: String) {
        let text = Array(text.utf8)
        guard text.count == Self.idBytes + 1 + 2 * Self.secretBytes, text[Self.idBytes] == UInt8(ascii: "."),
            Self.isIdentifier(text[..<Self.idBytes])
        else { return nil }
        var secret: [UInt8] = []
        for index in stride(from: Self.idBytes + 1, to: text.count, by: 2) {
            guard let high = Self.digit(text[index]), let low = Self.digit(text[index + 1]) else { return nil }
            secret.append(high << 4 | low)
        }
        self.id = String(decoding: text[..<Self.idBytes], as: UTF8.self)
        self.secret = secret
    }

    /// As the client stores and presents it.
    var text: String {
        let digits = Array("0123456789abcdef".utf8)
        return id + "."
            + String(decoding: secret.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
    }

    /// SHA-256 of the secret: all that the server keeps.
    var digest: [UInt8] {
        var hash = SHA256()
        secret.withUnsafeBytes { hash.update(bufferPointer: $0) }
        return Array(hash.finalize())
    }

    private static func isIdentifier(_ text: ArraySlice<UInt8>) -> Bool {
        text.enumerated().allSatisfy { index, byte in
            switch index {
            case 8, 13, 18, 23: byte == UInt8(ascii: "-")
            case 14: byte == UInt8(ascii: "4")
            case 19: [UInt8(ascii: "8"), UInt8(ascii: "9"), UInt8(ascii: "a"), UInt8(ascii: "b")].contains(byte)
            default: digit(byte) != nil && !(UInt8(ascii: "A")...UInt8(ascii: "F") ~= byte)
            }
        }
    }

    private static func digit(_ byte: UInt8) -> UInt8? {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - UInt8(ascii: "A") + 10
        default: nil
        }
    }
}

/// How credentials lie among the records: one for each device, in a map that no client reaches (its name is reserved).
///
/// The key is the device's id, followed by the principal it belongs to; the value is the digest as MessagePack bytes.
enum DeviceRecords {
    static let map: ByteString = "_topgun_devices"

    static func key(of credential: DeviceCredential, principal: String?) -> ByteString {
        // An id is 36 characters long, so no two pairs of id and principal make the same key.
        ByteString(credential.id + (principal.map { ":" + $0 } ?? ""))
    }

    static func value(_ digest: [UInt8]) -> [UInt8] {
        [0xc4, UInt8(digest.count)] + digest
    }

    /// Compares in a time that says nothing of where they differ.
    static func holds(_ value: UnsafeRawBufferPointer, _ digest: [UInt8]) -> Bool {
        let expected = Self.value(digest)
        guard value.count == expected.count else { return false }
        var difference: UInt8 = 0
        for index in expected.indices { difference |= value[index] ^ expected[index] }
        return difference == 0
    }
}
