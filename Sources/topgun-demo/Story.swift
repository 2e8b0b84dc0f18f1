import Foundation
import Synchronization
import TopGun

struct Story {
    let stage: Stage

    /// Notes that Anna writes while she is offline, so that sending them takes a while.
    private let offlineNotes = 20_000

    func tell() async throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("topgun-demo-\(getpid())")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }  // Left-overs in a temporary folder harm nobody.
        let data = folder.appendingPathComponent("server").path

        var server = try await ServerProcess.start(stage: stage, dataFolder: data, port: 0)
        stage.step("A server starts", "process \(server.pid), port \(server.port), data in \(data)")
        let anna = try await Person("anna", server: server.url, folder: folder)
        let ben = try await Person("ben", server: server.url, folder: folder)
        await stage.until("both are connected") { anna.isLive && ben.isLive }
        stage.step("Anna and Ben connect, each with a replica in SQLite", "no setup: the first connection is enough")

        try await meet(anna, ben)
        try await goOffline(anna, ben)
        let acknowledged = try await crashInTheMiddle(anna, server)
        try writeWithoutServer(anna, ben)

        server = try await ServerProcess.start(stage: stage, dataFolder: data, port: server.port)
        stage.step(
            "The server is started again on its data", "process \(server.pid); it reads its log before it serves")
        try await converge(anna, ben, acknowledged)

        let expected = anna.content
        await ben.client.close()
        server.kill()
        let reopened = try await Person("ben", server: server.url, folder: folder)
        stage.check(reopened.content == expected, "Ben's reopened store holds what it held")
        stage.step(
            "Ben's app is closed and opened again, with no server running",
            "\(reopened.notes.count) notes are there at once: the replica is the database, the network is optional")
        await reopened.client.close()
        await anna.client.close()
    }

    private func meet(_ anna: Person, _ ben: Person) async throws {
        try await anna.write("Hello Ben", on: "hello").reaches(.replicated)
        await stage.until("Ben sees Anna's note") { ben.notes["hello"]?.author == "anna" }
        try await ben.write("Hello Anna", on: "answer").reaches(.replicated)
        await stage.until("Anna sees Ben's note") { anna.notes["answer"]?.author == "ben" }
        stage.step(
            "Each writes a note and sees the other's",
            "writes are read back at once, acknowledged when they are on the server's disk, and pushed to the other")
    }

    private func goOffline(_ anna: Person, _ ben: Person) async throws {
        anna.client.setOnline(false)
        ben.client.setOnline(false)
        await stage.until("both are offline") {
            if case .offline = anna.client.syncState.current, case .offline = ben.client.syncState.current {
                return true
            }
            return false
        }
        try ben.write("Ben's plan", on: "plan")
        try ben.write("only Ben's", on: "ben's own")
        // Later than Ben's edit of the same key, by Anna's clock.
        stage.pauseMillis(5)
        try anna.write("Anna's plan", on: "plan")
        for number in 0..<offlineNotes { try anna.write("draft \(number)", on: "draft \(number)") }
        stage.check(anna.notes["plan"]?.text == "Anna's plan", "Anna reads her own plan")
        stage.check(ben.notes["plan"]?.text == "Ben's plan", "Ben reads his own plan")
        stage.check(anna.notes["ben's own"] == nil, "Anna cannot see what Ben wrote offline")
        stage.step(
            "Both go offline and edit: the same note \"plan\", and different ones",
            "Anna has \(anna.client.pendingCount) writes waiting, Ben \(ben.client.pendingCount); both read and write as ever"
        )
    }

    /// Returns the keys whose writes were acknowledged before the crash.
    private func crashInTheMiddle(_ anna: Person, _ server: ServerProcess) async throws -> [String] {
        let total = anna.client.pendingCount
        anna.client.setOnline(true)
        await stage.until("a part of Anna's writes has arrived") {
            anna.client.pendingCount < total * 3 / 4
        }
        server.kill()
        await stage.until("Anna's device has noticed") {
            if case .offline = anna.client.syncState.current { true } else { false }
        }
        let left = anna.client.pendingCount
        stage.check(left > 0 && left < total, "the crash came in the middle of the sync")
        stage.step(
            "Anna comes back, and the server is killed with SIGKILL in the middle of her sync",
            "\(total - left) of her writes were acknowledged, \(left) were not: those are still in her log")
        // The log is sent in order, so what is acknowledged are the oldest.
        return (0..<max(0, total - left - 1)).map { "draft \($0)" }
    }

    private func writeWithoutServer(_ anna: Person, _ ben: Person) throws {
        try anna.write("written while the server was dead", on: "anna's late note")
        try ben.write("written while the server was dead", on: "ben's late note")
        stage.check(anna.notes["anna's late note"] != nil, "Anna reads what she wrote with the server dead")
        stage.step("Both go on writing while there is no server", "no call failed and none waited")
    }

    private func converge(_ anna: Person, _ ben: Person, _ acknowledged: [String]) async throws {
        var lost = ben.client.lostWrites.makeAsyncIterator()
        ben.client.setOnline(true)
        anna.client.setOnline(true)
        await stage.until("both are in step with the server, with nothing left to send") {
            anna.isLive && ben.isLive && anna.client.pendingCount == 0 && ben.client.pendingCount == 0
        }
        await stage.until("both show the same number of notes") { anna.notes.count == ben.notes.count }
        await stage.until("both show the same notes") { anna.content == ben.content }
        let content = ben.content
        stage.check(content.count == offlineNotes + 6, "\(content.count) notes, \(offlineNotes + 6) were written")
        for key in acknowledged where content[key] == nil { stage.fail("\(key) was acknowledged and is gone") }
        stage.step(
            "Both converge: \(content.count) notes, equal on both devices",
            "nothing acknowledged before the SIGKILL is missing (\(acknowledged.count) checked), and nothing else either"
        )

        stage.check(content["plan"]?.author == "anna", "the later edit of \"plan\" won on both devices")
        let setback = await lost.next()
        stage.check(setback?.key == "plan" && setback?.reason == .superseded, "Ben is told that his plan lost")
        let own = try setback?.value(as: Note.self)
        stage.check(own?.text == "Ben's plan", "Ben gets his own text back")
        stage.step(
            "\"plan\" was edited by both: Anna's later edit stands everywhere",
            "Ben's app was told, with his text (\"\(own?.text ?? "")\") to keep or merge: no edit vanishes silently")
    }
}
