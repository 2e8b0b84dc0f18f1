import Foundation
import Testing
import TopGun

/// The example of README.md, compiled and run. A tidy test compares the lines between the markers with the page.
@Suite(.timeLimit(.minutes(1))) struct ReadmeExampleTests {
    @Test func `the example of the README does what it says`() async throws {
        let folder = try TemporaryFolder()
        let path = folder.path("shopping.db")
        let lines = try await example(path)
        #expect(lines == ["milk: 2", "stored on this device"])
    }

    /// The example with its surroundings: where it keeps its file, and what it prints.
    private func example(_ path: String) async throws -> [String] {
        var lines: [String] = []
        func print(_ line: String) { lines.append(line) }

        // README example begins
        struct Item: Codable, Sendable { var amount: Int }

        let client = try await TopGunClient(server: "ws://localhost:8080/ws", store: .file(path))
        let shopping = try await client.map("shopping", of: Item.self)

        let receipt = try shopping.set(Item(amount: 2), for: "milk")  // no waiting, online or not
        for (key, item) in shopping.entries { print("\(key): \(item.amount)") }

        try await receipt.reaches(.stored)  // or .applied, .replicated, .persisted: on the servers
        print("stored on this device")
        // README example ends
        return lines
    }
}
