import Foundation

/// The golden data in `Tests/Vectors`.
enum Vectors {
    struct Frame: Decodable {
        var name: String
        var hex: String

        var bytes: [UInt8] {
            stride(from: 0, to: hex.utf8.count, by: 2).compactMap {
                let start = hex.index(hex.startIndex, offsetBy: $0)
                return UInt8(hex[start..<hex.index(start, offsetBy: 2)], radix: 16)
            }
        }
    }

    private struct File: Decodable {
        var frames: [Frame]
    }

    static func frames(_ name: String) throws -> [Frame] {
        try JSONDecoder().decode(File.self, from: Data(contentsOf: url(name))).frames
    }

    /// Walks up from this file until a folder of vectors is found.
    private static func url(_ name: String) throws -> URL {
        var folder = URL(fileURLWithPath: #filePath)
        while folder.path != "/" {
            folder.deleteLastPathComponent()
            for place in ["Vectors", "Tests/Vectors"] {
                let file = folder.appendingPathComponent("\(place)/\(name).json")
                if FileManager.default.fileExists(atPath: file.path) { return file }
            }
        }
        throw Unexpected(what: "no vectors above \(#filePath)")
    }
}
