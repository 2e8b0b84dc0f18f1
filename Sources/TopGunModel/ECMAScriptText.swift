/// Values as ECMAScript prints them: the part of `JSON.stringify` and of number formatting that the protocol's hashes
/// are made of (protocol.md 9.7).
///
/// A container is printed with a **property list** made of the top-level value's own keys: at every depth only
/// properties named in it are kept, in its order. An array's own keys are its indices.
package enum ECMAScriptText {
    /// Appends the text of a top-level value; a string stands as it is, without quotes.
    package static func append(value bytes: UnsafeRawBufferPointer, to text: inout [UInt8]) {
        guard let value = PayloadValue(bytes) else { return text.append(ascii: "null") }
        switch value {
        case .null: text.append(ascii: "null")
        case .bool(let bool): text.append(ascii: bool ? "true" : "false")
        case .number(let number): append(number: number, to: &text)
        case .string(let string): text.append(contentsOf: string)
        case .array(let elements):
            append(json: value, properties: .indices(below: elements.count), depth: 0, to: &text)
        case .binary(let binary):
            append(json: value, properties: .indices(below: binary.count), depth: 0, to: &text)
        case .map(let elements):
            append(json: value, properties: .names(PropertyList(of: elements)), depth: 0, to: &text)
        case .extended: text.append(ascii: "{}")
        }
    }

    // MARK: JSON

    private enum Properties {
        case names(PropertyList)
        /// The decimal numbers from 0 on; never listed, as every text can tell whether it is one of them.
        case indices(below: Int)

        func contains(_ name: UnsafeRawBufferPointer) -> Bool {
            switch self {
            case .names(let list): list.contains(name)
            case .indices(let count): index(name).map { $0 < count } ?? false
            }
        }
    }

    /// The names of a map's entries, ascending by UTF-16 units, each once.
    private struct PropertyList {
        var names: [UnsafeRawBufferPointer] = []

        init(of map: PayloadElements) {
            names = entries(of: map) { _ in true }.map { $0.name }
        }

        func contains(_ name: UnsafeRawBufferPointer) -> Bool {
            var (low, high) = (0, names.count)
            while low < high {
                let middle = (low + high) / 2
                if UTF16Order.precedes(names[middle], name) { low = middle + 1 } else { high = middle }
            }
            return low < names.count && VersionOrder.equal(names[low], name)
        }
    }

    private struct Entry {
        var name: UnsafeRawBufferPointer
        var value: PayloadValue
    }

    /// The entries of a map that are kept, ascending by name; of a name that occurs twice the last.
    private static func entries(
        of map: PayloadElements, keeping isKept: (UnsafeRawBufferPointer) -> Bool
    ) -> [Entry] {
        var entries: [Entry] = []
        var reader = PayloadReader(map.bytes)
        for _ in 0..<map.count {
            var keyReader = reader
            guard let rawKey = reader.skipValue(), let value = reader.read() else { break }
            let name = keyReader.readString() ?? rawKey
            if isKept(name) { entries.append(Entry(name: name, value: value)) }
        }
        let order = entries.indices.sorted { left, right in
            if UTF16Order.precedes(entries[left].name, entries[right].name) { return true }
            return left < right && VersionOrder.equal(entries[left].name, entries[right].name)
        }
        var kept: [Entry] = []
        for index in order {
            if let last = kept.last, VersionOrder.equal(last.name, entries[index].name) { kept.removeLast() }
            kept.append(entries[index])
        }
        return kept
    }

    private static func append(json value: PayloadValue, properties: Properties, depth: Int, to text: inout [UInt8]) {
        guard depth <= ModelLimits.valueDepthMax else { return text.append(ascii: "null") }
        switch value {
        case .null: text.append(ascii: "null")
        case .bool(let bool): text.append(ascii: bool ? "true" : "false")
        case .number(let number):
            if number.double.isFinite { append(number: number, to: &text) } else { text.append(ascii: "null") }
        case .string(let string): append(quoted: string, to: &text)
        case .extended: text.append(ascii: "{}")
        case .array(let elements):
            text.append(UInt8(ascii: "["))
            var reader = PayloadReader(elements.bytes)
            for index in 0..<elements.count {
                guard let element = reader.read() else { break }
                if index > 0 { text.append(UInt8(ascii: ",")) }
                append(json: element, properties: properties, depth: depth + 1, to: &text)
            }
            text.append(UInt8(ascii: "]"))
        case .map(let elements):
            text.append(UInt8(ascii: "{"))
            var isFirst = true
            for entry in entries(of: elements, keeping: { properties.contains($0) }) {
                if !isFirst { text.append(UInt8(ascii: ",")) }
                isFirst = false
                append(quoted: entry.name, to: &text)
                text.append(UInt8(ascii: ":"))
                append(json: entry.value, properties: properties, depth: depth + 1, to: &text)
            }
            text.append(UInt8(ascii: "}"))
        case .binary(let binary): append(binary: binary, properties: properties, to: &text)
        }
    }

    /// A byte array prints as a map of its indices, of which the property list keeps what it names, in its order.
    private static func append(binary: UnsafeRawBufferPointer, properties: Properties, to text: inout [UInt8]) {
        let kept: [(name: [UInt8], byte: UInt8)] = binary.indices.compactMap { index in
            var name: [UInt8] = []
            name.append(decimal: Int64(index))
            return name.withUnsafeBytes { properties.contains($0) } ? (name, binary[index]) : nil
        }
        text.append(UInt8(ascii: "{"))
        for (position, entry) in kept.sorted(by: { $0.name.lexicographicallyPrecedes($1.name) }).enumerated() {
            if position > 0 { text.append(UInt8(ascii: ",")) }
            text.append(UInt8(ascii: "\""))
            text.append(contentsOf: entry.name)
            text.append(ascii: "\":")
            text.append(decimal: Int64(entry.byte))
        }
        text.append(UInt8(ascii: "}"))
    }

    private static func append(quoted string: UnsafeRawBufferPointer, to text: inout [UInt8]) {
        text.append(UInt8(ascii: "\""))
        for byte in string {
            switch byte {
            case UInt8(ascii: "\""): text.append(ascii: "\\\"")
            case UInt8(ascii: "\\"): text.append(ascii: "\\\\")
            case 0x08: text.append(ascii: "\\b")
            case 0x09: text.append(ascii: "\\t")
            case 0x0a: text.append(ascii: "\\n")
            case 0x0c: text.append(ascii: "\\f")
            case 0x0d: text.append(ascii: "\\r")
            case 0..<0x20:
                text.append(ascii: "\\u00")
                text.append(MerklePath.digit(Int(byte >> 4)))
                text.append(MerklePath.digit(Int(byte & 15)))
            default: text.append(byte)
            }
        }
        text.append(UInt8(ascii: "\""))
    }

    /// The array index that a text names in its only decimal form.
    private static func index(_ name: UnsafeRawBufferPointer) -> Int? {
        guard let first = name.first, name.count <= 9, first != UInt8(ascii: "0") || name.count == 1 else { return nil }
        var index = 0
        for digit in name {
            guard digit >= UInt8(ascii: "0"), digit <= UInt8(ascii: "9") else { return nil }
            index = index * 10 + Int(digit - UInt8(ascii: "0"))
        }
        return index
    }

    // MARK: Numbers

    /// Appends a number as `Number::toString` does; integers beyond 2^53 as the double that the official client has.
    package static func append(number: PayloadNumber, to text: inout [UInt8]) {
        if case .integer(let integer) = number, integer.magnitude <= 1 << 53 {
            text.append(decimal: integer)
            return
        }
        append(double: number.double, to: &text)
    }

    private static func append(double: Double, to text: inout [UInt8]) {
        guard !double.isNaN else { return text.append(ascii: "NaN") }
        if double < 0 { text.append(UInt8(ascii: "-")) }
        guard double.isFinite else { return text.append(ascii: "Infinity") }
        guard double != 0 else { return text.append(UInt8(ascii: "0")) }
        let (digits, point) = shortestDigits(of: double.magnitude)
        let zero = UInt8(ascii: "0")
        switch point {
        case digits.count...21:
            text.append(contentsOf: digits)
            text.append(contentsOf: repeatElement(zero, count: point - digits.count))
        case 1...21:
            text.append(contentsOf: digits[..<point])
            text.append(UInt8(ascii: "."))
            text.append(contentsOf: digits[point...])
        case -5...0:
            text.append(ascii: "0.")
            text.append(contentsOf: repeatElement(zero, count: -point))
            text.append(contentsOf: digits)
        default:
            text.append(digits[0])
            if digits.count > 1 {
                text.append(UInt8(ascii: "."))
                text.append(contentsOf: digits[1...])
            }
            text.append(ascii: point > 0 ? "e+" : "e-")
            text.append(decimal: Int64((point - 1).magnitude))
        }
    }

    /// The fewest decimal digits that give the number back, and where its point stands: 0.digits times 10^point.
    ///
    /// The standard library prints exactly these digits, in a layout of its own, which is taken apart here.
    private static func shortestDigits(of number: Double) -> (digits: [UInt8], point: Int) {
        var digits: [UInt8] = []
        var point: Int?
        var exponent = 0
        var exponentSign = 0
        for byte in number.description.utf8 {
            switch byte {
            case UInt8(ascii: "."): point = digits.count
            case UInt8(ascii: "e"): exponentSign = 1
            case UInt8(ascii: "-"): exponentSign = -1
            case UInt8(ascii: "+"): break
            default:
                if exponentSign == 0 {
                    digits.append(byte)
                } else {
                    exponent = exponent * 10 + Int(byte - UInt8(ascii: "0"))
                }
            }
        }
        var position = (point ?? digits.count) + exponentSign * exponent
        let leading = digits.prefix { $0 == UInt8(ascii: "0") }.count
        digits.removeFirst(leading)
        position -= leading
        while digits.last == UInt8(ascii: "0") { digits.removeLast() }
        return (digits, position)
    }
}
