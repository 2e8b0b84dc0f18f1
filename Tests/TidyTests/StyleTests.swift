import Testing

/// A line that must not stand in the sources, with the one place that may have it and an example that must be found.
struct LineRule: CustomTestStringConvertible, Sendable {
    let what: String
    /// Path prefixes that are exempt.
    let exempt: [String]
    let planted: String
    let finds: @Sendable (Tree.File) -> [Finding]

    var testDescription: String { what }

    init(_ what: String, _ pattern: @escaping @Sendable () -> Regex<Substring>, exempt: [String] = [], planted: String)
    {
        self.what = what
        self.exempt = exempt
        self.planted = planted
        self.finds = { $0.findings(of: pattern(), what) }
    }

    static let all = [
        LineRule(
            "reads a clock past the environment",
            { /\bDate\(\)|\bDate\.now\b|ContinuousClock\(\)|SuspendingClock\(\)|\bclock_gettime\b/ },
            exempt: ["Sources/TopGunEnvironment/"], planted: "let now = Date()"),
        LineRule(
            "sleeps", { /\bTask\.sleep|\busleep\(|\bThread\.sleep/ }, exempt: ["Sources/TopGunEnvironment/"],
            planted: "try await Task.sleep(for: .seconds(1))"),
        LineRule(
            "lets a task loose", { /\bTask\.detached|\bTask(?:\([^)]*\))?\s*\{/ },
            exempt: [
                "Sources/TopGunEnvironment/LiveSpawner.swift", "Sources/TopGunSimulation/World/SimulatedSpawner.swift",
            ],
            planted: "Task { await work() }"),
        LineRule(
            "draws a random number past the environment",
            { /\.random\(in:(?!.*using)|SystemRandomNumberGenerator|\bUUID\(\)|\barc4random/ },
            exempt: ["Sources/TopGunEnvironment/"], planted: "let die = Int.random(in: 1...6)"),
        LineRule(
            "depends on the seed of Hasher", { /\bHasher\(\)|\.hashValue\b/ }, planted: "let slot = key.hashValue"),
        LineRule(
            "prints", { /(?:^|[^.\w])(?:print|debugPrint|dump)\(/ }, exempt: ["Sources/topgun"],
            planted: "    print(record)"),
    ]
}

@Suite struct StyleTests {
    private static let sources = Result { try Tree.swiftFiles(below: "Sources") }

    @Test(arguments: LineRule.all) func `no line breaks the rule`(_ rule: LineRule) throws {
        let planted = Tree.File(path: "Sources/Planted.swift", text: rule.planted)
        #expect(rule.finds(planted).count == 1, "the rule does not find its own example")
        let findings = try Self.sources.get().filter { file in
            !rule.exempt.contains { file.path.hasPrefix($0) }
        }.flatMap { rule.finds($0) }
        #expect(findings.isEmpty, "\(findings)")
    }

    @Test func `every limit is named in a Limits file`() throws {
        let limits = try Self.sources.get().filter { $0.name == "Limits.swift" }
        #expect(!limits.isEmpty)
        let findings = try Self.sources.get().filter { $0.name != "Limits.swift" }.flatMap {
            $0.findings(of: /\bstatic let \w*(Limit|Maximum|Max)\b[^(]*= *[\d(]/, "a limit outside Limits.swift")
        }
        #expect(findings.isEmpty, "\(findings)")
    }

    @Test func `no file has grown into two concepts`() throws {
        let files = try ["Tests", "Benchmarks", "Fuzz"].reduce(into: Self.sources.get()) { files, folder in
            files += try Tree.swiftFiles(below: folder)
        }
        let long = files.filter { $0.lines.count > 600 }.map { "\($0.path): \($0.lines.count) lines" }
        #expect(long.isEmpty, "\(long)")
    }

    @Test func `what the compiler cannot check says why it is safe`() throws {
        var findings: [Finding] = []
        let risky = /@unchecked Sendable|nonisolated\(unsafe\)|\bunowned\b|\btry\?/
        for file in try Self.sources.get() {
            let lines = file.lines
            for finding in file.findings(of: risky, "no comment beside it") {
                let around = lines[max(0, finding.line - 4)...finding.line - 1]
                if !around.contains(where: { $0.contains("//") }) { findings.append(finding) }
            }
        }
        #expect(findings.isEmpty, "\(findings)")
    }

    @Test func `nothing unfinished is called done`() throws {
        let marks = /\b(TODO|FIXME|XXX)\b|fatalError\("(un|not )implemented/
        let findings = try Self.sources.get().flatMap { file in
            file.lines.enumerated().compactMap { index, line in
                line.firstMatch(of: marks) == nil
                    ? nil : Finding(path: file.path, line: index + 1, what: "marks an unfinished part")
            }
        }
        #expect(findings.isEmpty, "\(findings)")
    }

    @Test func `every dependency is pinned to one version`() throws {
        let packages = try Tree.text("Package.swift").split(separator: "\n").filter { $0.contains(".package(url") }
        #expect(packages.count > 5)
        #expect(packages.filter { !$0.contains("exact:") }.isEmpty)
    }

    @Test func `every test file asserts something`() throws {
        let silent = try (Tree.swiftFiles(below: "Tests") + Tree.swiftFiles(below: "Fuzz"))
            .filter { $0.name.hasSuffix("Tests.swift") }
            .filter { $0.text.firstMatch(of: /#expect|#require|Issue\.record/) == nil }
            .map(\.path)
        #expect(silent.isEmpty, "\(silent)")
    }
}
