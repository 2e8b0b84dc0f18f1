import Testing

/// Which target may import what: the house as `design.md` draws it.
@Suite struct ImportTests {
    private static let standard: Set<String> = ["Swift", "Synchronization", "_Concurrency"]
    private static let nio: Set<String> = ["NIOCore", "NIOPosix", "NIOHTTP1", "NIOWebSocket", "NIOSSL"]

    private static let allowed: [String: Set<String>] = [
        "TopGunModel": [],
        "TopGunQuery": ["TopGunModel"],
        "TopGunWire": ["TopGunModel", "TopGunQuery"],
        "TopGunReplica": ["TopGunModel", "TopGunQuery", "TopGunWire"],
        "TopGunPartition": ["TopGunModel", "TopGunQuery", "Collections", "HeapModule"],
        "TopGunEnvironment": nio.union(["Glibc", "Darwin", "Musl", "Foundation"]),
        "TopGunStorage": ["TopGunModel", "TopGunEnvironment"],
        "TopGunSimulation": [
            "TopGunModel", "TopGunWire", "TopGunReplica", "TopGunPartition", "TopGunStorage", "TopGunEnvironment",
            "TopGunServer", "Logging", "NIOCore",
            // For histories as JSON.
            "Foundation",
        ],
        "TopGunServer": nio.union([
            "TopGunModel", "TopGunQuery", "TopGunWire", "TopGunPartition", "TopGunEnvironment", "TopGunStorage",
            "CSystemd",
            "Configuration", "Crypto", "Hummingbird", "HummingbirdCore", "HTTPTypes", "JWTKit", "Logging",
            "ServiceLifecycle",
            "SystemPackage", "NIOHTTPTypes", "NIOHTTPTypesHTTP1", "AsyncAlgorithms", "UnixSignals",
            // Only at the edge, which the next test watches.
            "Foundation", "Glibc", "Darwin",
        ]),
        "TopGun": [
            "TopGunModel", "TopGunQuery", "TopGunWire", "TopGunReplica", "TopGunEnvironment", "GRDB", "Logging",
            "NIOCore",
            "Foundation", "Observation",
        ],
        "TopGunTesting": [
            "TopGun", "TopGunSimulation", "TopGunReplica", "TopGunEnvironment", "TopGunServer", "Logging",
        ],
        "TopGunWeb": ["TopGunModel", "TopGunQuery", "TopGunWire", "TopGunReplica"],
    ]

    /// Targets that only start others, and may use what they need for it.
    private static let mains: Set<String> = ["topgund", "topgun-cli", "topgun-demo", "topgun-sim"]

    @Test func `every target imports only what its room may know`() throws {
        var findings: [Finding] = []
        for file in try Tree.swiftFiles(below: "Sources") where !Self.mains.contains(file.target) {
            let mayImport = try #require(Self.allowed[file.target], "no rule for target \(file.target)")
            for (index, line) in file.lines.enumerated() {
                let pattern =
                    /^\s*(?:@[\w()]+\s+)*(?:(?:public|package|internal|private|fileprivate)\s+)?import\s+(?:struct\s+|func\s+|class\s+|enum\s+)?(\w+)/
                guard let match = line.firstMatch(of: pattern) else { continue }
                let module = String(match.1)
                if !mayImport.contains(module), !Self.standard.contains(module) {
                    findings.append(Finding(path: file.path, line: index + 1, what: "imports \(module)"))
                }
            }
        }
        #expect(findings.isEmpty, "\(findings)")
    }

    @Test func `in the server Foundation and the C library stay at the edge`() throws {
        let edge = ["Listener", "HTTP", "Auth", "Configuration", "Systemd", "Metrics", "Process"]
        let findings = try Tree.swiftFiles(below: "Sources/TopGunServer").filter { file in
            !edge.contains { file.path.contains("/TopGunServer/\($0)/") }
        }.flatMap { $0.findings(of: /^\s*(\w+\s+)?import (Foundation|Glibc|Darwin)/, "imports the system") }
        #expect(findings.isEmpty, "\(findings)")
    }

    @Test func `cores that become WebAssembly use no existential, no Codable and no untyped throws`() throws {
        let cores = ["TopGunModel", "TopGunQuery", "TopGunWire", "TopGunReplica"]
        var findings: [Finding] = []
        for file in try cores.flatMap({ try Tree.swiftFiles(below: "Sources/\($0)") }) {
            findings += file.findings(of: /[ (<\[:]any [A-Z]/, "an existential")
            findings += file.findings(of: /\b(Codable|Encodable|Decodable|Mirror)\b/, "needs reflection")
            findings += file.findings(of: /\bthrows(?!\()\b/, "throws without a type")
            findings += file.findings(of: /\b(async|await|Task)\b/, "concurrency in a core")
        }
        #expect(findings.isEmpty, "\(findings)")
    }
}
