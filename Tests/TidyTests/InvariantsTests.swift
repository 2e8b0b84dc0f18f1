import Testing

/// `Invariants.md` says which test enforces each promise; here the map is held against the tests that exist.
@Suite struct InvariantsTests {
    private static let page = "Sources/TopGunServer/TopGunServer.docc/Invariants.md"

    @Test func `every test that Invariants names exists`() throws {
        let names = try Tree.text(Self.page).matches(of: /“([^”]+)”/).map { String($0.1) }
        #expect(names.count >= 20, "the map has lost its rows")
        let tests = try (Tree.swiftFiles(below: "Tests") + Tree.swiftFiles(below: "Fuzz")).map(\.text).joined()
        let missing = names.filter { !tests.contains("func `\($0)`(") }
        #expect(missing.isEmpty, "\(missing)")
    }

    @Test func `every mutant that Invariants names exists`() throws {
        let lists = try Tree.text(Self.page).matches(of: /mutants? (`[a-zA-Z]+`(?:, `[a-zA-Z]+`)*)/).map {
            String($0.1)
        }
        let names = Set(lists.flatMap { $0.matches(of: /`([a-zA-Z]+)`/).map { String($0.1) } })
        #expect(names.count >= 5, "the map has lost its mutants")
        let catalogue = try Tree.text("Sources/TopGunSimulation/Run/MutantCatalogue.swift")
        let missing = names.filter { !catalogue.contains("\"\($0)\"") }
        #expect(missing.isEmpty, "\(missing.sorted())")
    }

    @Test func `every promise and every fault that concerns one node and its clients has its place`() throws {
        let page = try Page()
        let known = Set(page.enforced + page.open)
        let missing = Self.applicable.filter { !known.contains($0) }
        #expect(missing.isEmpty, "neither enforced nor listed as not enforced: \(missing)")
        let invented = known.filter { !Self.applicable.contains($0) }
        #expect(invented.isEmpty, "not in promises.md, or of no concern to one node: \(invented)")
    }

    @Test func `a row that enforces something names what does`() throws {
        let rows = try Page().rows.filter { !$0.isOpen }
        #expect(rows.count >= 100, "the map has lost its rows")
        // The targets of the fuzzer have a test of their own, which the page names above their rows.
        let idle = rows.filter { !$0.text.contains("“") && !$0.text.contains("`make fuzz`, target") }.map(\.text)
        #expect(idle.isEmpty, "\(idle)")
    }

    /// A promise that cannot be kept any more, or not yet, is written down here too: the list does not grow by itself.
    @Test func `the list of what is not enforced is exactly this one`() throws {
        let open = try Page().open
        #expect(open == ["B17", "P05", "P06", "D09", "N13", "M15", "M23", "O07", "O08", "V03", "B.5", "B.7"])
        #expect(Set(open).count == open.count)
    }

    /// The ids of promises.md B.2 and C, and of its sections, that mean something for one node and its clients. What
    /// needs peers, a control store, PostgreSQL, locks or an upgrade of a cluster comes with the parts that build them.
    private static let applicable: Set<String> = {
        let groups: [Set<String>] = [
            ids("B", 1...4), ids("B", [7]), ids("B", 13...21), ["B.1", "B.5", "B.7"], ids("P", 1...16),
            ids("D", 1...10), ids("D", 12...14), ids("N", 6...9), ids("N", [13]), ids("K", 1...8), ids("C", 1...15),
            ids("M", 1...23), ids("O", [1, 4, 6, 7, 8, 9]), ids("V", [2, 3, 5, 6]),
        ]
        return groups.reduce(into: []) { $0.formUnion($1) }
    }()

    private static func ids(_ letter: String, _ numbers: some Sequence<Int>) -> Set<String> {
        Set(numbers.map { letter + ($0 < 10 ? "0" : "") + String($0) })
    }

    /// The tables of the page.
    private struct Page {
        struct Row {
            var ids: [String]
            var text: String
            var isOpen: Bool
        }

        let rows: [Row]

        init() throws {
            let text = try Tree.text(InvariantsTests.page)
            rows = text.split(separator: "\n").compactMap { line in
                guard let match = line.firstMatch(of: /^\| ([^|]+) \| [^|]+ \| (.*) \|$/), match.1 != "id",
                    match.1 != "---"
                else { return nil }
                let ids = match.1.matches(of: /[A-Z]\d\d|B\.\d+/).map { String($0.0) }
                return Row(ids: ids, text: String(line), isOpen: match.2.hasPrefix("not yet"))
            }
        }

        var enforced: [String] { rows.filter { !$0.isOpen }.flatMap(\.ids) }
        var open: [String] { rows.filter(\.isOpen).flatMap(\.ids) }
    }
}

/// Examples on pages are those that tests compile and run.
@Suite struct ExampleTests {
    @Test(arguments: [
        ("README.md", "Tests/TopGunTests/ReadmeExampleTests.swift", "README example"),
        (
            "Sources/TopGunTesting/TopGunTesting.docc/TestingYourApp.md", "Tests/TopGunTestingTests/ExampleTests.swift",
            "Example"
        ),
    ])
    func `the example on a page is the one that a test compiles and runs`(
        page: String, test: String, marker: String
    ) throws {
        let test = try Tree.text(test)
        let begin = try #require(test.firstRange(of: "// \(marker) begins\n"))
        let end = try #require(test.firstRange(of: "// \(marker) ends"))
        let example = Self.lines(test[begin.upperBound..<end.lowerBound])
        let blocks = try Tree.text(page).matches(of: /(?s)```swift\n(.*?)```/).map { Self.lines($0.1) }
        #expect(example.count > 5)
        #expect(blocks.contains(example))
    }

    private static func lines(_ text: Substring) -> [Substring] {
        text.split(separator: "\n").map { $0.trimmingPrefix(/\s+/) }.filter { !$0.isEmpty }
    }
}
