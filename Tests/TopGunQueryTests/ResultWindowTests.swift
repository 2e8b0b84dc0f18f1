import GoldenVectors
import Testing
import TopGunModel
import TopGunQuery

@Suite struct ResultWindowTests {
    private static func value(_ number: Int) -> [UInt8] { JSON(#"{"n":\#(number)}"#).messagePack() }

    private static let byNumber = SortOrder([SortOrder.Field(FieldPath("n"))])

    @Test func `a row enters, is updated and leaves`() {
        var window = ResultWindow(order: Self.byNumber, limit: nil)
        #expect(window.update("a", Self.value(1)) == [.init(.enter, "a")])
        #expect(window.update("a", Self.value(2)) == [.init(.update, "a")])
        #expect(window.update("a", Self.value(2), valueChanged: false) == [])
        #expect(window.update("a", nil) == [.init(.leave, "a")])
        #expect(window.update("a", nil) == [])
        #expect(window.matchCount == 0)
    }

    @Test func `a full window pushes its last row out, and a gap promotes the next`() {
        var window = ResultWindow(order: Self.byNumber, limit: 2)
        #expect(window.update("a", Self.value(1)) == [.init(.enter, "a")])
        #expect(window.update("c", Self.value(3)) == [.init(.enter, "c")])
        #expect(window.update("d", Self.value(4)) == [], "behind the window")
        #expect(window.update("b", Self.value(2)) == [.init(.leave, "c"), .init(.enter, "b")])
        #expect(window.shownKeys == ["a", "b"] && window.hasMore)
        #expect(window.update("a", Self.value(9)) == [.init(.leave, "a"), .init(.enter, "c")])
        #expect(window.update("b", nil) == [.init(.leave, "b"), .init(.enter, "d")])
        #expect(window.update("d", nil) == [.init(.leave, "d"), .init(.enter, "a")])
        #expect(window.update("c", nil) == [.init(.leave, "c")], "nothing is left to promote")
        #expect(!window.hasMore)
    }

    @Test func `a window of no rows shows nothing and says that there are some`() {
        var window = ResultWindow(order: .byKey, limit: 0)
        #expect(window.update("a", Self.value(1)) == [])
        #expect(window.shownKeys.isEmpty && window.hasMore)
    }

    @Test func `a row without a window follows its matches`() {
        #expect(ResultWindow.change(matchedBefore: false, matchesNow: true, valueChanged: true) == .enter)
        #expect(ResultWindow.change(matchedBefore: true, matchesNow: true, valueChanged: true) == .update)
        #expect(ResultWindow.change(matchedBefore: true, matchesNow: true, valueChanged: false) == nil)
        #expect(ResultWindow.change(matchedBefore: true, matchesNow: false, valueChanged: true) == .leave)
        #expect(ResultWindow.change(matchedBefore: false, matchesNow: false, valueChanged: true) == nil)
    }

    @Test(arguments: [nil, 0, 1, 3, 10])
    func `a reader that applies the changes always shows the rows of the query run anew`(limit: Int?) throws {
        let seed = UInt64.random(in: 0...(.max))
        var generator = SeededGenerator(state: seed)
        let filter = try JSON(#"{"op":"lt","attribute":"n","value":7}"#).messagePack().withUnsafeBytes {
            try QueryFilter(whereMap: nil, predicate: $0)
        }
        for descending in [false, true] {
            let order = SortOrder([SortOrder.Field(FieldPath("n"), isDescending: descending)])
            var window = ResultWindow(order: order, limit: limit)
            var content: [ByteString: Int] = [:]
            var shown: Set<ByteString> = []
            for _ in 0..<2_000 {
                let key = ByteString("k\(Int.random(in: 0..<15, using: &generator))")
                let number = Bool.random(using: &generator) ? Int.random(in: 0..<10, using: &generator) : nil
                content[key] = number
                for change in window.update(key, number.map(Self.value), if: filter) {
                    switch change.kind {
                    case .enter: #expect(shown.insert(change.key).inserted, "seed \(seed)")
                    case .update: #expect(shown.contains(change.key), "seed \(seed)")
                    case .leave: #expect(shown.remove(change.key) != nil, "seed \(seed)")
                    }
                }
                let rows = content.filter { $0.value < 7 }.sorted { left, right in
                    if left.value != right.value { return (left.value < right.value) != descending }
                    return left.key < right.key
                }.map(\.key)
                let expected = Array(rows.prefix(limit ?? .max))
                #expect(window.shownKeys == expected, "seed \(seed)")
                #expect(shown == Set(expected), "seed \(seed)")
                #expect(window.hasMore == (rows.count > expected.count), "seed \(seed)")
            }
        }
    }
}
