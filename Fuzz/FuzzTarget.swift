import GoldenVectors
import TopGunModel

/// Something that reads bytes from strangers, and what must hold whatever they are.
///
/// A target may be run any number of times in one process and keeps nothing from one input to the next, so that a file
/// that broke a promise breaks it again. ``body`` ends the process where a promise is broken.
struct FuzzTarget: Sendable {
    var name: String
    /// Bytes of the longest input that is tried.
    var lengthMax = 1 << 16
    /// Valid inputs, and nearly valid ones, to start from.
    var seeds: @Sendable () throws -> [[UInt8]]
    /// What the fuzzer would hardly find by itself.
    var words: [[UInt8]] = []
    var body: @Sendable (UnsafeRawBufferPointer) -> Void

    static let all: [FuzzTarget] = [
        .frames, .messagePack, .query, .webSocket, .upgrade, .clientSocket, .token, .log, .checkpoint, .replica,
        .gateway,
    ]

    static func named(_ name: String) -> FuzzTarget? {
        all.first { $0.name == name }
    }

    func run(_ bytes: [UInt8]) {
        bytes.withUnsafeBytes { body($0) }
    }
}

/// Ends the process if a promise does not hold; libFuzzer then keeps the input.
func expect(_ holds: Bool, _ broken: @autoclosure () -> String) {
    guard !holds else { return }
    fatalError(broken())
}

extension [UInt8] {
    init(ascii text: StaticString) {
        self.init(UnsafeBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
    }
}

extension FuzzTarget {
    /// Texts of a protocol as words for the fuzzer.
    static func words(_ texts: String...) -> [[UInt8]] {
        texts.map { Array($0.utf8) }
    }

    /// A file of the golden vectors.
    static func document(_ name: String) throws -> JSON {
        // They are looked for from a source file of the tests upwards.
        let parts = #filePath.split(separator: "/", omittingEmptySubsequences: false)
        return try JSON.vectors(name, from: (parts.dropLast(2) + ["Tests", parts.last ?? ""]).joined(separator: "/"))
    }

    /// The frames of a file of the golden vectors.
    static func vectors(_ name: String) throws -> [[UInt8]] {
        try document(name)["frames"].elements.map { bytes(hex: $0["hex"].text) }
    }

    static func bytes(hex: String) -> [UInt8] {
        let digits = Array(hex.utf8).map { UInt8($0 < 0x3a ? $0 - 0x30 : ($0 | 0x20) - 0x57) }
        return stride(from: 0, to: digits.count - 1, by: 2).map { digits[$0] << 4 | digits[$0 + 1] }
    }
}
