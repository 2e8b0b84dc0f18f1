import TopGunModel

// Texts compared without regard to case: what `like`, the `contains` family and the word operators are made of.

/// Lower-case forms of texts.
package enum FoldedText {
    /// The text with every scalar mapped to lower case, as UTF-8.
    package static func fold(_ text: UnsafeRawBufferPointer) -> [UInt8] {
        var folded: [UInt8] = []
        folded.reserveCapacity(text.count)
        guard text.contains(where: { $0 >= 0x80 }) else {
            for byte in text { folded.append(lowercase(ascii: byte)) }
            return folded
        }
        for scalar in String(decoding: text, as: UTF8.self).unicodeScalars {
            if scalar.isASCII {
                folded.append(lowercase(ascii: UInt8(truncatingIfNeeded: scalar.value)))
            } else {
                folded.append(contentsOf: scalar.properties.lowercaseMapping.utf8)
            }
        }
        return folded
    }

    /// The words of a text in lower case: runs of letters and digits.
    package static func words(of text: UnsafeRawBufferPointer) -> [[UInt8]] {
        var words: [[UInt8]] = []
        var word: [UInt8] = []
        for scalar in String(decoding: fold(text), as: UTF8.self).unicodeScalars {
            if scalar.properties.isAlphabetic || scalar.properties.numericType != nil {
                word.append(contentsOf: UTF8.encode(scalar)!)
            } else if !word.isEmpty {
                words.append(word)
                word = []
            }
        }
        if !word.isEmpty { words.append(word) }
        return words
    }

    private static func lowercase(ascii byte: UInt8) -> UInt8 {
        byte >= UInt8(ascii: "A") && byte <= UInt8(ascii: "Z") ? byte | 0x20 : byte
    }
}

/// Texts to be found in a field, folded and ready to be searched for.
struct Needles: Sendable {
    /// `nil` for an element that is no text, which is in no text.
    private var needles: [Needle?]

    private struct Needle: Sendable {
        var bytes: [UInt8]
        /// For every prefix, how long the longest proper prefix is that also ends it (Knuth, Morris and Pratt): what
        /// keeps the search linear for any pair of texts.
        var borders: [Int32]

        init(_ text: UnsafeRawBufferPointer) {
            bytes = FoldedText.fold(text)
            borders = Array(repeating: 0, count: bytes.count)
            var border = 0
            for index in bytes.indices.dropFirst() {
                while border > 0, bytes[index] != bytes[border] { border = Int(borders[border - 1]) }
                if bytes[index] == bytes[border] { border += 1 }
                borders[index] = Int32(truncatingIfNeeded: border)
            }
        }

        func isIn(_ text: [UInt8]) -> Bool {
            guard !bytes.isEmpty else { return true }
            var matched = 0
            for byte in text {
                while matched > 0, byte != bytes[matched] { matched = Int(borders[matched - 1]) }
                if byte == bytes[matched] { matched += 1 }
                if matched == bytes.count { return true }
            }
            return false
        }
    }

    /// The elements of an array, or one scalar as if it were an array of itself.
    init(_ operand: PayloadValue) {
        guard case .array(let elements) = operand else {
            needles = [Self.needle(operand)]
            return
        }
        needles = []
        var reader = PayloadReader(elements.bytes)
        for _ in 0..<elements.count {
            guard let element = reader.read() else { break }
            needles.append(Self.needle(element))
        }
    }

    private static func needle(_ value: PayloadValue) -> Needle? {
        guard case .string(let text) = value else { return nil }
        return Needle(text)
    }

    func areAll(in text: UnsafeRawBufferPointer) -> Bool {
        guard QueryLimits.mayCompare(needles.count, text.count) else { return false }
        let folded = FoldedText.fold(text)
        return needles.allSatisfy { $0?.isIn(folded) ?? false }
    }

    func isAny(in text: UnsafeRawBufferPointer) -> Bool {
        guard QueryLimits.mayCompare(needles.count, text.count) else { return false }
        let folded = FoldedText.fold(text)
        return needles.contains { $0?.isIn(folded) ?? false }
    }
}

/// A pattern of `like`: `%` stands for any run and `_` for one character, neither for a line break.
struct LikePattern: Sendable {
    private var tokens: [Token] = []

    private enum Token: Equatable, Sendable {
        case anyRun
        case anyCharacter
        case byte(UInt8)
    }

    /// `nil` if the operand is no text.
    init?(_ operand: PayloadValue) {
        guard case .string(let text) = operand else { return nil }
        for byte in FoldedText.fold(text) {
            switch byte {
            case UInt8(ascii: "%"): if tokens.last != .anyRun { tokens.append(.anyRun) }
            case UInt8(ascii: "_"): tokens.append(.anyCharacter)
            default: tokens.append(.byte(byte))
            }
        }
    }

    /// Whether the whole text fits, whatever its case.
    ///
    /// Only the last run is ever widened, which suffices: a run that could be wider ends before the first place where
    /// what follows it fits. The steps are limited all the same, since their number is the product of both lengths.
    func matches(_ text: UnsafeRawBufferPointer) -> Bool {
        let text = FoldedText.fold(text)
        var (position, token) = (0, 0)
        /// Where to go on when what follows the last run does not fit.
        var retry: (position: Int, token: Int)?
        for _ in 0..<QueryLimits.likeStepsMax {
            if token < tokens.count, tokens[token] == .anyRun {
                token += 1
                retry = (position, token)
                continue
            }
            if token == tokens.count, position == text.count { return true }
            if token < tokens.count, position < text.count {
                switch tokens[token] {
                case .byte(let byte) where byte == text[position]:
                    position += 1
                    token += 1
                    continue
                case .anyCharacter:
                    if let next = Self.next(after: position, in: text) {
                        position = next
                        token += 1
                        continue
                    }
                case .byte, .anyRun: break
                }
            }
            guard let last = retry, let wider = Self.next(after: last.position, in: text) else { return false }
            retry = (wider, last.token)
            (position, token) = (wider, last.token)
        }
        return false
    }

    /// The position behind the character at a position; `nil` at the end and at a line break.
    private static func next(after position: Int, in text: [UInt8]) -> Int? {
        guard position < text.count else { return nil }
        let first = text[position]
        if first == 0x0a || first == 0x0d { return nil }
        let length = first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4
        // U+2028 and U+2029 are line breaks too.
        let isSeparator =
            first == 0xe2 && position + 2 < text.count && text[position + 1] == 0x80
            && (text[position + 2] == 0xa8 || text[position + 2] == 0xa9)
        return isSeparator ? nil : min(position + length, text.count)
    }
}
