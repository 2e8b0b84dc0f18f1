// swift-tools-version: 6.2
import PackageDescription

/// What every target of the house is compiled with; `style.md` gives the reasons.
var house: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
    .enableUpcomingFeature("InferIsolatedConformances"),
    .treatAllWarnings(as: .error),
]

/// Set by `Fuzz/run.sh`: the house is compiled for libFuzzer, with its counters in our own targets and in nothing that they
/// use, and the tests in `Fuzz` become a program.
let isFuzzing = Context.environment["FUZZING"] != nil
if isFuzzing {
    house += [
        .define("FUZZING"), .unsafeFlags(["-enable-testing", "-Xfrontend", "-sanitize=address,fuzzer"]),
    ]
}

extension Target.Dependency {
    static let argumentParser = product(name: "ArgumentParser", package: "swift-argument-parser")
    static let collections = product(name: "Collections", package: "swift-collections")
    static let configuration = product(name: "Configuration", package: "swift-configuration")
    static let crypto = product(name: "Crypto", package: "swift-crypto")
    static let grdb = product(name: "GRDB", package: "GRDB.swift")
    static let hummingbirdCore = product(name: "HummingbirdCore", package: "hummingbird")
    static let hummingbird = product(name: "Hummingbird", package: "hummingbird")
    static let hummingbirdTesting = product(name: "HummingbirdTesting", package: "hummingbird")
    static let jwt = product(name: "JWTKit", package: "jwt-kit")
    static let logging = product(name: "Logging", package: "swift-log")
    static let nioCore = product(name: "NIOCore", package: "swift-nio")
    static let nioEmbedded = product(name: "NIOEmbedded", package: "swift-nio")
    static let nioHTTP1 = product(name: "NIOHTTP1", package: "swift-nio")
    static let nioPosix = product(name: "NIOPosix", package: "swift-nio")
    static let nioSSL = product(name: "NIOSSL", package: "swift-nio-ssl")
    static let nioWebSocket = product(name: "NIOWebSocket", package: "swift-nio")
    static let serviceLifecycle = product(name: "ServiceLifecycle", package: "swift-service-lifecycle")
}

let package = Package(
    name: "topgun",
    platforms: [.macOS(.v15), .iOS(.v18)],
    products: [
        .library(name: "TopGun", targets: ["TopGun"]),
        .library(name: "TopGunTesting", targets: ["TopGunTesting"]),
        .executable(name: "topgund", targets: ["topgund"]),
        .executable(name: "topgun", targets: ["topgun-cli"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", exact: "1.8.2"),
        .package(url: "https://github.com/apple/swift-collections", exact: "1.6.0"),
        .package(url: "https://github.com/apple/swift-configuration", exact: "1.4.0"),
        .package(url: "https://github.com/apple/swift-crypto", exact: "4.5.2"),
        .package(url: "https://github.com/apple/swift-log", exact: "1.16.2"),
        .package(url: "https://github.com/apple/swift-nio", exact: "2.101.2"),
        .package(url: "https://github.com/apple/swift-nio-ssl", exact: "2.37.6"),
        .package(url: "https://github.com/groue/GRDB.swift", exact: "7.10.0"),
        .package(url: "https://github.com/hummingbird-project/hummingbird", exact: "2.28.1"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle", exact: "2.13.0"),
        .package(url: "https://github.com/vapor/jwt-kit", exact: "5.7.1"),
    ],
    targets: [
        // Cores: no I/O, no clock; the first four also compile as Embedded Swift for wasm32.
        .target(name: "TopGunModel", swiftSettings: house),
        .target(name: "TopGunQuery", dependencies: ["TopGunModel"], swiftSettings: house),
        .target(name: "TopGunWire", dependencies: ["TopGunModel", "TopGunQuery"], swiftSettings: house),
        .target(
            name: "TopGunReplica", dependencies: ["TopGunModel", "TopGunQuery", "TopGunWire"], swiftSettings: house),
        .target(
            name: "TopGunPartition", dependencies: ["TopGunModel", "TopGunQuery", .collections], swiftSettings: house),

        // The doors to the world, and what stands behind them.
        .target(
            name: "TopGunEnvironment",
            dependencies: [.nioCore, .nioPosix, .nioHTTP1, .nioWebSocket, .nioSSL],
            swiftSettings: house),
        .target(name: "TopGunStorage", dependencies: ["TopGunModel", "TopGunEnvironment"], swiftSettings: house),
        .target(
            name: "TopGunSimulation",
            dependencies: [
                "TopGunModel", "TopGunWire", "TopGunReplica", "TopGunPartition", "TopGunStorage", "TopGunEnvironment",
                "TopGunServer", .logging, .nioCore,
            ],
            swiftSettings: house),
        .executableTarget(
            name: "topgun-sim", dependencies: ["TopGunSimulation", .argumentParser], swiftSettings: house),
        .systemLibrary(name: "CSystemd", pkgConfig: "libsystemd", providers: [.apt(["libsystemd-dev"])]),

        // The server.
        .target(
            name: "TopGunServer",
            dependencies: [
                "TopGunModel", "TopGunQuery", "TopGunWire", "TopGunPartition", "TopGunEnvironment", "TopGunStorage",
                .target(name: "CSystemd", condition: .when(platforms: [.linux])),
                .configuration, .crypto, .hummingbird, .hummingbirdCore, .jwt, .logging, .nioCore, .nioHTTP1, .nioPosix,
                .nioSSL, .nioWebSocket, .serviceLifecycle,
            ],
            swiftSettings: house),
        .executableTarget(
            name: "topgund",
            dependencies: [
                "TopGunServer", "TopGunStorage", "TopGunEnvironment", .argumentParser, .logging, .serviceLifecycle,
            ],
            swiftSettings: house),

        // What app developers import, and the command line built on it.
        .target(
            name: "TopGun",
            dependencies: [
                "TopGunModel", "TopGunQuery", "TopGunWire", "TopGunReplica", "TopGunEnvironment", .grdb, .logging,
                .nioCore,
            ],
            swiftSettings: house),
        // What app developers import in their tests: a server and devices in virtual time.
        .target(
            name: "TopGunTesting",
            dependencies: [
                "TopGun", "TopGunSimulation", "TopGunReplica", "TopGunEnvironment", "TopGunServer", .logging,
            ],
            swiftSettings: house),
        // Not a folder `topgun`: it would be the same as `TopGun` where file names ignore case.
        .executableTarget(
            name: "topgun-cli", dependencies: ["TopGun", "TopGunEnvironment", .argumentParser, .jwt, .logging],
            swiftSettings: house),

        .executableTarget(
            name: "topgun-demo", dependencies: ["TopGun", "TopGunEnvironment"], swiftSettings: house),

        .executableTarget(
            name: "topgun-bench", dependencies: ["TopGun", .argumentParser], path: "Benchmarks/topgun-bench",
            swiftSettings: house),

        // What reads Tests/Vectors, for tests only.
        .target(name: "GoldenVectors", path: "Tests/GoldenVectors", swiftSettings: house),
        .testTarget(name: "TopGunModelTests", dependencies: ["TopGunModel", "GoldenVectors"], swiftSettings: house),
        .testTarget(
            name: "TopGunQueryTests", dependencies: ["TopGunQuery", "TopGunModel", "GoldenVectors"],
            swiftSettings: house),
        .testTarget(
            name: "TopGunWireTests", dependencies: ["TopGunWire", "TopGunModel", "GoldenVectors"], swiftSettings: house),
        .testTarget(
            name: "TopGunPartitionTests", dependencies: ["TopGunPartition", "TopGunModel", "TopGunQuery"],
            swiftSettings: house),
        .testTarget(
            name: "TopGunStorageTests",
            dependencies: ["TopGunStorage", "TopGunSimulation", "TopGunEnvironment", "TopGunModel", .nioCore],
            swiftSettings: house),
        .testTarget(
            name: "TopGunReplicaTests", dependencies: ["TopGunReplica", "TopGunWire", "TopGunModel", "GoldenVectors"],
            swiftSettings: house),
        .testTarget(
            name: "TopGunSimulationTests",
            dependencies: ["TopGunSimulation", "TopGunServer", "TopGunEnvironment", .nioCore],
            swiftSettings: house),
        .testTarget(
            name: "TopGunServerTests",
            dependencies: [
                "TopGunServer", "TopGunWire", "TopGunModel", "TopGunStorage", "TopGunEnvironment", "TopGunSimulation",
                "TopGunPartition", "TopGunReplica", "TopGun", "GoldenVectors", .crypto, .logging, .nioCore, .nioHTTP1,
                .nioPosix,
                .nioSSL,
                .serviceLifecycle,
            ],
            swiftSettings: house),
        .testTarget(
            name: "TopGunTests",
            dependencies: [
                "TopGun", "TopGunReplica", "TopGunModel", "TopGunWire", "TopGunEnvironment", .grdb, .logging, .nioCore,
                .nioEmbedded,
                .nioPosix, .nioHTTP1, .nioWebSocket, .nioSSL,
            ],
            swiftSettings: house),
        // Without the settings of the house: as an application has it.
        .testTarget(
            name: "TopGunTestingTests", dependencies: ["TopGunTesting", "TopGun"],
            swiftSettings: [.swiftLanguageMode(.v6), .treatAllWarnings(as: .error)]),
        .testTarget(name: "TidyTests", swiftSettings: house),
    ]
)

// Hostile input for everything that reads it: a test that gives each target some, or with `FUZZING` the fuzzer itself.
let fuzzDependencies: [Target.Dependency] = [
    "TopGunModel", "TopGunQuery", "TopGunWire", "TopGunReplica", "TopGunEnvironment", "TopGunStorage", "TopGunServer",
    "TopGunSimulation", "GoldenVectors", .crypto, .logging, .hummingbirdCore, .nioCore, .nioEmbedded,
]
let notFuzzSources = ["run.sh", "sanitize.sh", "tsan-mutex.c"]
package.targets.append(
    isFuzzing
        ? .executableTarget(
            name: "topgun-fuzz", dependencies: fuzzDependencies, path: "Fuzz",
            exclude: notFuzzSources + ["FuzzTests.swift"], swiftSettings: house)
        : .testTarget(
            name: "FuzzTests", dependencies: fuzzDependencies, path: "Fuzz",
            exclude: notFuzzSources + ["Fuzzer.swift"], swiftSettings: house))
