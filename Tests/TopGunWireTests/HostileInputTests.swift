import GoldenVectors
import Testing
import TopGunModel
import TopGunWire

/// Whatever comes in gives a value or a typed error (M05 to M08, N07). The fuzz targets look for more of the same.
struct HostileInputTests {
    /// Gives a frame to everything that reads frames; that it returns is the test.
    private func feed(_ frame: [UInt8]) {
        do { _ = try operations(frame) } catch {}
        do {
            let message = try ClientMessage(frame)
            #expect(try ClientMessage(message.encoded).encoded == message.encoded)
        } catch {}
        do {
            let message = try ServerMessage(frame)
            #expect(try ServerMessage(message.encoded).encoded == message.encoded)
        } catch {}
    }

    @Test(arguments: GoldenFrame.fromClient + GoldenFrame.fromServer)
    func `a frame cut at any byte is refused, N07`(_ frame: GoldenFrame) {
        for length in 0..<frame.bytes.count {
            let cut = Array(frame.bytes.prefix(length))
            #expect(throws: WireError.self) { try ClientMessage(cut) }
            #expect(throws: WireError.self) { try ServerMessage(cut) }
            do { #expect(try operations(cut) == nil) } catch {}
        }
        #expect(throws: WireError.self) { try ClientMessage(frame.bytes + [0xc0]) }
        #expect(throws: WireError.self) { try ServerMessage(frame.bytes + [0xc0]) }
    }

    @Test func `flipped bits and foreign bytes never trap`() {
        let seed: UInt64 = 0x5eed_0001
        var generator = SeededGenerator(state: seed)
        for frame in GoldenFrame.fromClient + GoldenFrame.fromServer {
            for _ in 0..<200 {
                var bytes = frame.bytes
                for _ in 0...Int.random(in: 0..<3, using: &generator) {
                    let place = Int.random(in: 0..<bytes.count, using: &generator)
                    if Bool.random(using: &generator) {
                        bytes[place] ^= 1 << UInt8.random(in: 0..<8, using: &generator)
                    } else {
                        bytes[place] = heads.randomElement(using: &generator) ?? 0
                    }
                }
                feed(bytes)
            }
        }
    }

    private let heads: [UInt8] = [
        0xc0, 0xc1, 0xc6, 0xc9, 0xcb, 0xcf, 0xd3, 0xd8, 0xdb, 0xdd, 0xdf, 0x80, 0x8f, 0x90, 0x9f, 0xff,
    ]

    @Test(arguments: [0xdb, 0xc6, 0xc9, 0xdd, 0xdf] as [UInt8])
    func `a length that lies is found out before anything is allocated, M06`(_ head: UInt8) {
        let lie: [UInt8] = [head, 0xff, 0xff, 0xff, 0xff, 0x01]
        feed(lie)
        #expect(throws: WireError.self) { try ClientMessage([0x81] + text(Array("type".utf8)) + lie) }
        for frame in GoldenFrame.fromClient {
            for place in 0..<frame.bytes.count {
                feed(Array(frame.bytes[..<place]) + lie + frame.bytes[place...].dropFirst())
            }
        }
    }

    @Test(arguments: [[0x91], [0x81, 0xa0], [0xdd, 0, 0, 0, 1], [0xdf, 0, 0, 0, 1, 0xa0]] as [[UInt8]])
    func `half a million containers inside each other are too deep, not a crash, M05`(_ head: [UInt8]) throws {
        var nested: [UInt8] = []
        for _ in 0..<500_000 { nested += head }
        nested.append(0xc0)
        feed(nested)
        let payload =
            [0x82] + text(Array("type".utf8)) + text(Array("TOPIC_PUB".utf8)) + text(Array("payload".utf8)) + nested
        #expect(throws: WireError.self) { try ClientMessage(payload) }
        do throws(WireError) { _ = try ClientMessage(payload) } catch { #expect(error.code == .tooDeep) }
    }

    @Test func `more than half a million values in a flat list are no problem`() throws {
        let list: [UInt8] = [0xdd, 0, 0x0f, 0xff, 0xff] + [UInt8](repeating: 0xc0, count: 0x0f_ffff)
        var frame = JSON(#"{"type": "TOPIC_PUB", "payload": {"topic": "t", "data": 1}}"#).messagePack()
        frame.removeLast()
        guard case .topicPublish(_, let data) = try ClientMessage(frame + list) else {
            Issue.record("another message")
            return
        }
        #expect(data.bytes == list)
    }

    @Test func `lists of nothing do not grow far beyond their frame`() {
        let count = 1 << 20
        let list: [UInt8] = [0xdd, 0, 0x10, 0, 0] + [UInt8](repeating: 0xa0, count: count)
        var frame = JSON(#"{"type": "ORMAP_DIFF_REQUEST", "payload": {"mapName": "m", "keys": 1}}"#).messagePack()
        frame.removeLast()
        #expect(throws: WireError(.tooLarge, field: "keys")) {
            do throws(WireError) { _ = try ClientMessage(frame + list) } catch {
                throw WireError(error.code, field: error.field)
            }
        }
        var batch = JSON(#"{"type": "OP_BATCH", "payload": {"ops": 1}}"#).messagePack()
        batch.removeLast()
        let maps: [UInt8] = [0xdd, 0, 0x10, 0, 0] + [UInt8](repeating: 0x80, count: count)
        #expect(throws: WireError(.malformed, field: "ops")) { try operations(batch + maps) }
    }

    @Test func `an error names the request it is about`() {
        let frame = JSON(
            #"{"type": "QUERY_SUB", "payload": {"queryId": "q7", "mapName": "m", "query": {"limit": 1.5}}}"#)
        do throws(WireError) {
            _ = try ClientMessage(frame.messagePack())
            Issue.record("accepted")
        } catch {
            #expect(error.code == .badField)
            #expect(error.requestType == "QUERY_SUB")
            #expect(error.requestID == "q7")
            #expect(error.description == "a field is malformed: limit")
        }
    }

    @Test func `a type that nobody knows is named as such`() {
        for text in [#"{"type": "CLUSTER_SUB_REGISTER"}"#, #"{"type": "?"}"#, #"{"payload": {}}"#, "{}"] {
            do throws(WireError) {
                _ = try ClientMessage(JSON(text).messagePack())
                Issue.record("accepted")
            } catch {
                #expect(error.code == .unknownType)
            }
        }
    }
}
