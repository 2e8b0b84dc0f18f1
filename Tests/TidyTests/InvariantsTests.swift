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

@Suite struct ReadmeTests {
    @Test func `the example in the README is the one that a test compiles and runs`() throws {
        let readme = try Tree.text("README.md")
        let test = try Tree.text("Tests/TopGunTests/ReadmeExampleTests.swift")
        let example = try #require(
            test.firstMatch(of: /(?s)\/\/ README example begins\n(.*?)[ ]*\/\/ README example ends/)?.1)
        let code = example.split(separator: "\n").map { $0.trimmingPrefix(/\s+/) }
        let block = try #require(readme.firstMatch(of: /(?s)```swift\n(.*?)```/)?.1)
        let shown = block.split(separator: "\n").map { $0.trimmingPrefix(/\s+/) }
        #expect(code == shown)
    }
}
