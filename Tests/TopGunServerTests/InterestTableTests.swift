import Testing
import TopGunModel
import TopGunWire

@testable import TopGunServer

@Suite struct InterestTableTests {
    private func shell(_ slot: Int) -> SessionShell {
        let nobody = ClientSession.Identity(
            userID: nil, nameSpace: "", mayRead: true, mayWrite: true, expiresAtMillis: nil)
        return SessionShell(
            id: SessionID(loop: 0, generation: 1, slot: slot), connection: TestConnection(),
            peer: PeerInfo(address: "test"),
            core: ClientSession(
                terms: ClientSession.Terms(requiresAuthentication: false, features: []), anonymous: nobody,
                nowMillis: 0), bucket: TokenBucket(perSecond: 1, burst: 1, nowNanos: 0))
    }

    @Test func `what nobody is interested in any more takes no room, and its number names no other map`() {
        var table = InterestTable()
        let (first, second) = (shell(1), shell(2))
        let (kept, isFirst) = table.add(first, to: "kept", in: "")
        #expect(isFirst)
        var numbers: Set<Int32> = [kept]
        for round in 0..<1_000 {
            let (number, isNew) = table.add(first, to: "map", in: "")
            #expect(isNew && numbers.insert(number).inserted, "round \(round)")
            let (same, isFirst) = table.add(second, to: "map", in: "")
            #expect(same == number && !isFirst)
            #expect(table.entry(of: number)?.sessions.count == 2)
            #expect(table.remove(first, from: number) == nil)
            #expect(table.entry(of: number)?.sessions.map(\.id) == [second.id])
            #expect(table.remove(second, from: number)?.name == "map")
            #expect(table.entry(of: number) == nil)
            #expect(table.remove(second, from: number) == nil)
        }
        #expect(table.count == 1)
        #expect(table.entry(of: kept)?.name == "kept")
    }
}
