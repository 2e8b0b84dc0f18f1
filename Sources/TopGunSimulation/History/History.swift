package import Foundation

/// What happened in a run, in order: the only thing that checkers look at.
package struct History: Sendable, Equatable {
    package private(set) var events: [HistoryEvent] = []

    package init(_ events: [HistoryEvent] = []) {
        self.events = events
    }

    package mutating func append(_ event: HistoryEvent) {
        events.append(event)
    }

    /// A fixed hash over everything in it.
    package var fingerprint: UInt64 {
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        for event in events { event.mix(into: &hash) }
        return hash
    }

    // MARK: - Lines

    /// One JSON object for each event, keys in alphabetic order: equal histories are equal bytes.
    package func lines() throws -> Data {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        var data = Data()
        for event in events {
            data.append(try encoder.encode(event))
            data.append(UInt8(ascii: "\n"))
        }
        return data
    }

    package init(lines: Data) throws {
        let decoder = JSONDecoder()
        events = try lines.split(separator: UInt8(ascii: "\n")).map { try decoder.decode(HistoryEvent.self, from: $0) }
    }
}
