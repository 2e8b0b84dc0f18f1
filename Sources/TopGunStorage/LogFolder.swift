import TopGunEnvironment

/// The names of files in the folder of a log.
///
/// ```
///   segment-0000000000000007.log   a segment, or the next one, whose header is still blank
///   spare-0000000000000003.log     a retired segment, kept to be used again
///   reserve.log                    what is kept for removals on a full disk: zeros, a segment when it is needed
///   preparing.log                  a segment or the reserve while it is being filled with zeros
/// ```
struct LogFolder: Sendable {
    let path: String

    var preparing: String { "\(path)/preparing.log" }
    var reserve: String { "\(path)/reserve.log" }

    func segment(_ sequence: UInt64) -> String { "\(path)/\(Self.segmentName(sequence))" }
    func spare(_ sequence: UInt64) -> String { "\(path)/spare-\(Self.digits(sequence)).log" }

    static func segmentName(_ sequence: UInt64) -> String { "segment-\(digits(sequence)).log" }

    /// Sequence numbers of segments and spares, ascending.
    func list(_ disk: any Disk) throws(DiskError) -> (segments: [UInt64], spares: [UInt64]) {
        var found: (segments: [UInt64], spares: [UInt64]) = ([], [])
        for name in try disk.list(path) {
            if let sequence = Self.sequence(in: name, after: "segment-") { found.segments.append(sequence) }
            if let sequence = Self.sequence(in: name, after: "spare-") { found.spares.append(sequence) }
        }
        return found
    }

    private static func sequence(in name: String, after prefix: String) -> UInt64? {
        guard name.hasPrefix(prefix), name.hasSuffix(".log") else { return nil }
        let digits = name.utf8.dropFirst(prefix.utf8.count).dropLast(4)
        guard digits.count == 16, let sequence = UInt64(Substring(digits), radix: 16) else { return nil }
        // The first segment is number 1; a stray file with another name of this form is none of ours.
        return sequence > 0 && sequence <= UInt64(Limits.countMax) ? sequence : nil
    }

    private static func digits(_ sequence: UInt64) -> String {
        let digits = String(sequence, radix: 16)
        return String(repeating: "0", count: 16 - digits.utf8.count) + digits
    }
}
