// swift-tools-version: 6.2
// The micro benchmarks: a package of their own, so that nobody who builds TopGun builds the benchmark library. It compiles
// the rooms it measures through links, because they show themselves only within one package.
import PackageDescription

let house: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
    .enableUpcomingFeature("InferIsolatedConformances"),
    .treatAllWarnings(as: .error),
]

let package = Package(
    name: "topgun",
    platforms: [.macOS(.v15)],
    dependencies: [
        .package(url: "https://github.com/apple/swift-collections", exact: "1.6.0"),
        .package(url: "https://github.com/ordo-one/benchmark", exact: "1.38.1", traits: []),
    ],
    targets: [
        .target(name: "AllocationCounter"),
        .target(name: "TopGunModel", swiftSettings: house),
        .target(name: "TopGunQuery", dependencies: ["TopGunModel"], swiftSettings: house),
        .target(name: "TopGunWire", dependencies: ["TopGunModel", "TopGunQuery"], swiftSettings: house),
        .target(
            name: "TopGunPartition",
            dependencies: [
                "TopGunModel", "TopGunQuery", .product(name: "Collections", package: "swift-collections"),
            ],
            swiftSettings: house),
        .executableTarget(
            name: "Hot",
            dependencies: [
                "AllocationCounter", "TopGunModel", "TopGunWire", "TopGunPartition",
                .product(name: "Benchmark", package: "benchmark"),
            ],
            path: "Benchmarks/Hot",
            swiftSettings: house,
            plugins: [.plugin(name: "BenchmarkPlugin", package: "benchmark")]),
    ]
)
