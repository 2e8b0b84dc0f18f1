import Foundation

/// How far a long run is, said on standard error once in a while, so that standard output is the result's alone.
struct Progress {
    private static let everySeconds = 20.0

    private let total: Int
    private let start = DispatchTime.now()
    private var lastSeconds = 0.0

    init(total: Int) {
        self.total = total
    }

    var seconds: Double { Double(DispatchTime.now().uptimeNanoseconds - start.uptimeNanoseconds) / 1e9 }

    /// Says something if it is time to.
    mutating func note(done: Int, failed: Int) {
        let now = seconds
        guard done > 0, done < total, now - lastSeconds >= Self.everySeconds else { return }
        lastSeconds = now
        let rate = Double(done) / now
        let left = Int(Double(total - done) / rate)
        let text = String(
            format: "%d of %d seeds, %d failed, %.1f seeds/s, %d:%02d:%02d left\n", done, total, failed, rate,
            left / 3_600, left / 60 % 60, left % 60)
        FileHandle.standardError.write(Data(text.utf8))
    }
}

/// A result for machines, beside the one for people.
enum Report {
    static func print(_ value: some Encodable) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        var line = try encoder.encode(value)
        line.append(UInt8(ascii: "\n"))
        FileHandle.standardOutput.write(line)
    }
}
