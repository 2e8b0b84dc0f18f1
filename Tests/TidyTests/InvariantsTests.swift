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

    @Test func `the list of what is not enforced only shrinks`() throws {
        let open = try Tree.text(Self.page).matches(of: /(?m)^\| ([A-Z][.\d]\d[^|]*)\| [^|]*\| not yet/).map { $0.1 }
        #expect(open.count <= 12, "\(open)")
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
