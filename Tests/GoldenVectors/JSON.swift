import Foundation

/// JSON as it is written: numbers keep their text, objects keep their order, and names that look alike stay apart.
///
/// Foundation's parser would turn `5.0` into `5`, forget the order of names and merge names that differ only in their
/// normalisation; the vectors hold such rows on purpose.
package enum JSON: Sendable {
    case null
    case bool(Bool)
    case number(String)
    case string(String)
    case array([JSON])
    case object([Member])

    package struct Member: Sendable {
        package var name: String
        package var value: JSON

        package init(name: String, value: JSON) {
            self.name = name
            self.value = value
        }
    }
}

// MARK: - Reading

extension JSON {
    /// The content of a vector file, `Tests/Vectors/<name>.json`.
    package static func vectors(_ name: String, from file: String = #filePath) throws -> JSON {
        var folder = URL(fileURLWithPath: file).deletingLastPathComponent()
        while folder.path != "/" {
            let candidate = folder.appendingPathComponent("Vectors/\(name).json")
            if let data = FileManager.default.contents(atPath: candidate.path) { return JSON(Array(data)) }
            folder = folder.deletingLastPathComponent()
        }
        throw CocoaError(.fileNoSuchFile)
    }

    /// Parses a document; it must be well-formed.
    package init(_ text: [UInt8]) {
        var parser = Parser(text: text)
        self = parser.value()
    }

    package init(_ text: String) {
        self.init(Array(text.utf8))
    }

    private struct Parser {
        var text: [UInt8]
        var index = 0

        mutating func skipSpace() {
            while index < text.count, [0x20, 0x09, 0x0a, 0x0d].contains(text[index]) { index += 1 }
        }

        mutating func next() -> UInt8 {
            defer { index += 1 }
            return text[index]
        }

        mutating func expect(_ character: Character) {
            skipSpace()
            precondition(next() == character.asciiValue, "expected \(character) at \(index)")
        }

        mutating func value() -> JSON {
            skipSpace()
            switch text[index] {
            case UInt8(ascii: "{"): return object()
            case UInt8(ascii: "["): return array()
            case UInt8(ascii: "\""): return .string(string())
            case UInt8(ascii: "n"): return word("null", .null)
            case UInt8(ascii: "t"): return word("true", .bool(true))
            case UInt8(ascii: "f"): return word("false", .bool(false))
            default: return number()
            }
        }

        mutating func word(_ word: String, _ value: JSON) -> JSON {
            precondition(Array(text[index..<index + word.utf8.count]) == Array(word.utf8), "bad word at \(index)")
            index += word.utf8.count
            return value
        }

        mutating func number() -> JSON {
            let start = index
            while index < text.count, "+-.eE0123456789".utf8.contains(text[index]) { index += 1 }
            precondition(index > start, "no value at \(index)")
            return .number(String(decoding: text[start..<index], as: UTF8.self))
        }

        mutating func string() -> String {
            expect("\"")
            var units: [UInt16] = []
            var run: [UInt8] = []
            func decoded() -> [UInt16] { Array(String(decoding: run, as: UTF8.self).utf16) }
            while true {
                let byte = next()
                if byte == UInt8(ascii: "\"") { break }
                guard byte == UInt8(ascii: "\\") else {
                    run.append(byte)
                    continue
                }
                units += decoded()
                run = []
                let escape = next()
                switch escape {
                case UInt8(ascii: "b"): units.append(8)
                case UInt8(ascii: "f"): units.append(12)
                case UInt8(ascii: "n"): units.append(10)
                case UInt8(ascii: "r"): units.append(13)
                case UInt8(ascii: "t"): units.append(9)
                case UInt8(ascii: "u"):
                    units.append(UInt16(String(decoding: text[index..<index + 4], as: UTF8.self), radix: 16)!)
                    index += 4
                default: units.append(UInt16(escape))
                }
            }
            return String(decoding: units + decoded(), as: UTF16.self)
        }

        mutating func array() -> JSON {
            expect("[")
            var elements: [JSON] = []
            skipSpace()
            if text[index] == UInt8(ascii: "]") {
                index += 1
                return .array([])
            }
            while true {
                elements.append(value())
                skipSpace()
                if next() == UInt8(ascii: "]") { return .array(elements) }
            }
        }

        mutating func object() -> JSON {
            expect("{")
            var members: [Member] = []
            skipSpace()
            if text[index] == UInt8(ascii: "}") {
                index += 1
                return .object([])
            }
            while true {
                skipSpace()
                let name = string()
                expect(":")
                members.append(Member(name: name, value: value()))
                skipSpace()
                if next() == UInt8(ascii: "}") { return .object(members) }
            }
        }
    }
}

// MARK: - Looking inside

extension JSON {
    package var isNull: Bool { if case .null = self { true } else { false } }

    package var members: [Member] {
        guard case .object(let members) = self else { preconditionFailure("not an object: \(self)") }
        return members
    }

    package var elements: [JSON] {
        guard case .array(let elements) = self else { preconditionFailure("not an array: \(self)") }
        return elements
    }

    package var text: String {
        guard case .string(let text) = self else { preconditionFailure("not a string: \(self)") }
        return text
    }

    package var bool: Bool {
        guard case .bool(let bool) = self else { preconditionFailure("not a boolean: \(self)") }
        return bool
    }

    package var int: Int64 {
        guard case .number(let digits) = self, let int = Int64(digits) else {
            preconditionFailure("not a whole number: \(self)")
        }
        return int
    }

    package var double: Double {
        guard case .number(let digits) = self, let double = Double(digits) else {
            preconditionFailure("not a number: \(self)")
        }
        return double
    }

    package var uint32: UInt32 { UInt32(int) }

    /// The member with that name, if the object has one.
    package func member(_ name: String) -> JSON? {
        members.last { Array($0.name.utf8) == Array(name.utf8) }?.value
    }

    /// The member with that name, which must be there.
    package subscript(name: String) -> JSON {
        guard let value = member(name) else { preconditionFailure("no \(name) in \(self)") }
        return value
    }
}
