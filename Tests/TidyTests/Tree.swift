import Foundation

/// The checkout that these tests were compiled from, as text.
struct Tree {
    struct File {
        /// Path from the root of the checkout.
        var path: String
        var text: String

        var lines: [Substring] { text.split(separator: "\n", omittingEmptySubsequences: false) }
        var name: String { String(path.split(separator: "/").last ?? "") }

        /// The target a source file belongs to: the folder below `Sources` or `Tests`.
        var target: String { String(path.split(separator: "/").dropFirst().first ?? "") }
    }

    static let root: URL = {
        var folder = URL(fileURLWithPath: #filePath)
        while folder.path != "/", !FileManager.default.fileExists(atPath: folder.appending(path: "Package.swift").path)
        {
            folder = folder.deletingLastPathComponent()
        }
        return folder
    }()

    static func text(_ path: String) throws -> String {
        try String(contentsOf: root.appending(path: path), encoding: .utf8)
    }

    /// The Swift files below a folder, in a fixed order.
    static func swiftFiles(below folder: String) throws -> [File] {
        let paths = FileManager.default.subpaths(atPath: root.appending(path: folder).path) ?? []
        guard !paths.isEmpty else { throw NothingToCheck(folder: folder) }
        return try paths.filter { $0.hasSuffix(".swift") }.sorted().map {
            File(path: "\(folder)/\($0)", text: try text("\(folder)/\($0)"))
        }
    }
}

/// A rule over no files would always hold.
struct NothingToCheck: Error {
    var folder: String
}

/// A place in the tree that breaks a rule; printed as `path:line`.
struct Finding: CustomStringConvertible {
    var path: String
    var line: Int
    var what: String

    var description: String { "\(path):\(line): \(what)" }
}

extension Tree.File {
    /// One finding for each line that matches, comments aside.
    func findings(of pattern: some RegexComponent, _ what: String) -> [Finding] {
        lines.enumerated().compactMap { index, line in
            let code = line.firstRange(of: "//").map { line[..<$0.lowerBound] } ?? line
            return code.firstMatch(of: pattern) == nil ? nil : Finding(path: path, line: index + 1, what: what)
        }
    }
}
