import Foundation
import TopGun

/// The story of `make demo`: a server, two clients, a crash, and everything still there.
///
/// Real processes and real files. Every step prints what it did and what that proves; anything that is not as it must be
/// ends the program with exit code 1.
@main
struct Demo {
    static func main() async {
        let stage = Stage(timeoutSeconds: 120)
        do {
            try await Story(stage: stage).tell()
        } catch {
            stage.fail("\(error)")
        }
        stage.end()
    }
}

/// A note as both clients write it.
struct Note: Codable, Sendable, Equatable {
    var text: String
    var author: String
}

/// One of the two people of the story, with their device.
struct Person: Sendable {
    var name: String
    var client: TopGunClient
    var notes: TopGunMap<Note>

    init(_ name: String, server: String, folder: URL) async throws {
        self.name = name
        client = try await TopGunClient(
            server: server, store: .file(folder.appendingPathComponent("\(name).db").path))
        notes = try await client.map("notes", of: Note.self)
    }

    @discardableResult
    func write(_ text: String, on key: String) throws -> WriteReceipt {
        try notes.set(Note(text: text, author: name), for: key)
    }

    var isLive: Bool { client.syncState.current == .live }

    /// Everything this device shows.
    var content: [String: Note] {
        Dictionary(uniqueKeysWithValues: notes.keys.compactMap { key in notes[key].map { (key, $0) } })
    }
}
