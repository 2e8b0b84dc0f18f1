package import TopGunModel

// Whether a record meets a predicate. Depth is bounded by the compiler of the predicate.

extension Predicate {
    package func matches(_ record: RecordView) -> Bool {
        nodes.isEmpty || holds(0, record)
    }

    private func holds(_ index: Int, _ record: RecordView) -> Bool {
        let node = nodes[index]
        switch node.content {
        case .never: return false
        case .leaf(let leaf): return leaf.holds(for: record)
        case .not: return node.end == index + 1 || !holds(index + 1, record)
        case .and:
            var child = index + 1
            while child < node.end {
                guard holds(child, record) else { return false }
                child = nodes[child].end
            }
            return true
        case .or:
            var child = index + 1
            while child < node.end {
                if holds(child, record) { return true }
                child = nodes[child].end
            }
            return false
        }
    }
}

extension Predicate.Operand {
    /// Calls `body` with the value, which is never nil; false where there is none.
    fileprivate func test(in record: RecordView, _ body: (PayloadValue) -> Bool) -> Bool {
        switch self {
        case .constant(let payload):
            return payload.bytes.withUnsafeBytes { PayloadValue($0).map(body) ?? false }
        case .field(let path):
            guard let value = path.value(in: record) else { return false }
            if case .null = value { return false }
            return body(value)
        }
    }
}

extension Predicate.Leaf {
    fileprivate func holds(for record: RecordView) -> Bool {
        let value = field.value(in: record)
        guard let value, !value.isNull else {
            if case .isNull = test { return true }
            return false
        }
        switch test {
        case .isNull: return false
        case .isNotNull: return true
        case .equal(let operand): return operand.test(in: record) { PayloadEquality.equal(value, $0) }
        case .notEqual(let operand): return operand.test(in: record) { !PayloadEquality.equal(value, $0) }
        case .compare(let comparison, let operand):
            return operand.test(in: record) { other in
                value.order(to: other).map { comparison.holds(for: $0) } ?? false
            }
        case .between(let operand): return operand.test(in: record) { value.isBetween($0) }
        case .isIn(let operand): return operand.test(in: record) { value.isIn($0) }
        case .contains(let operand, let needles):
            return operand.test(in: record) { other in
                switch value {
                case .string(let text):
                    guard case .string = other else { return false }
                    return (needles ?? Needles(other)).areAll(in: text)
                case .array(let elements): return elements.mayMeet(other) && elements.contains(other)
                default: return false
                }
            }
        case .containsAll(let operand, let needles):
            return operand.test(in: record) { other in
                switch value {
                case .string(let text): (needles ?? Needles(other)).areAll(in: text)
                case .array(let elements): elements.mayMeet(other) && other.allElements { elements.contains($0) }
                default: false
                }
            }
        case .containsAny(let operand, let needles):
            return operand.test(in: record) { other in
                switch value {
                case .string(let text): (needles ?? Needles(other)).isAny(in: text)
                case .array(let elements): elements.mayMeet(other) && !other.allElements { !elements.contains($0) }
                default: false
                }
            }
        case .startsWith(let operand): return operand.test(in: record) { value.hasAffix($0, atEnd: false) }
        case .endsWith(let operand): return operand.test(in: record) { value.hasAffix($0, atEnd: true) }
        case .like(let operand, let pattern):
            guard case .string(let text) = value else { return false }
            return operand.test(in: record) { (pattern ?? LikePattern($0))?.matches(text) ?? false }
        case .regex(let operand, let compiler, let prepared):
            guard case .string(let text) = value else { return false }
            if let prepared { return prepared.matcher?(text) ?? false }
            return operand.test(in: record) { other in
                guard case .string(let pattern) = other else { return false }
                return compiler(pattern)?(text) ?? false
            }
        case .match(let words):
            return value.hasWords(words.count) { found in
                !words.isEmpty && words.allSatisfy { found.contains($0) }
            }
        case .matchPhrase(let words): return value.hasWords(words.count) { $0.hasSequence(words) }
        case .matchPrefix(let prefix):
            return value.hasWords(1) { found in !prefix.isEmpty && found.contains { $0.starts(with: prefix) } }
        }
    }
}

extension PayloadValue {
    package var isNull: Bool {
        if case .null = self { true } else { false }
    }

    /// The order of two numbers or of two texts by bytes; any other pairing has none.
    fileprivate func order(to other: PayloadValue) -> VersionOrder.Result? {
        switch (self, other) {
        case (.number(let left), .number(let right)): PayloadNumber.compare(left, right)
        case (.string(let left), .string(let right)): VersionOrder.compare(bytes: left, to: right)
        default: nil
        }
    }

    fileprivate func isBetween(_ bounds: PayloadValue) -> Bool {
        guard case .array(let elements) = bounds, elements.count == 2 else { return false }
        var reader = PayloadReader(elements.bytes)
        guard let low = reader.read(), let high = reader.read(), let toLow = order(to: low),
            let toHigh = order(to: high)
        else { return false }
        return toLow != .older && toHigh != .newer
    }

    /// Whether the value is an element of an array, or is an array that has a scalar as an element.
    fileprivate func isIn(_ other: PayloadValue) -> Bool {
        if case .array(let elements) = other { return elements.mayMeet(self) && elements.contains(self) }
        guard case .array(let elements) = self else { return false }
        if case .map = other { return false }
        return elements.mayMeet(other) && elements.contains(other)
    }

    fileprivate func hasAffix(_ affix: PayloadValue, atEnd: Bool) -> Bool {
        guard case .string(let text) = self, case .string(let affix) = affix, affix.count <= text.count else {
            return false
        }
        let part = atEnd ? text[(text.count - affix.count)...] : text[..<affix.count]
        return VersionOrder.equal(UnsafeRawBufferPointer(rebasing: part), affix)
    }

    /// Whether all elements pass; a scalar counts as an array of itself.
    fileprivate func allElements(_ test: (PayloadValue) -> Bool) -> Bool {
        guard case .array(let elements) = self else { return test(self) }
        return elements.allSatisfy(test)
    }

    /// Whether the words of a text pass a test that may hold each of them against `count` others.
    fileprivate func hasWords(_ count: Int, _ test: ([[UInt8]]) -> Bool) -> Bool {
        guard case .string(let text) = self, QueryLimits.mayCompare(count, text.count) else { return false }
        return test(FoldedText.words(of: text))
    }

    /// How many values it is, as the contains family sees it, and how many bytes.
    fileprivate var extent: (count: Int, bytes: Int) {
        switch self {
        case .null, .bool, .number: (1, 9)
        case .string(let bytes), .binary(let bytes), .extended(_, let bytes): (1, bytes.count)
        case .array(let elements): (elements.count, elements.bytes.count)
        case .map(let elements): (1, elements.bytes.count)
        }
    }
}

extension QueryLimits {
    /// Whether so many times so many bytes may be compared.
    static func mayCompare(_ times: Int, _ bytes: Int) -> Bool {
        let (product, overflow) = times.multipliedReportingOverflow(by: bytes)
        return !overflow && product <= comparedBytesMax
    }
}

extension PayloadElements {
    /// Whether each element may be compared with each of another value.
    fileprivate func mayMeet(_ other: PayloadValue) -> Bool {
        let (otherCount, otherBytes) = other.extent
        return QueryLimits.mayCompare(otherCount, bytes.count) && QueryLimits.mayCompare(count, otherBytes)
    }

    /// Whether all elements of an array pass.
    fileprivate func allSatisfy(_ test: (PayloadValue) -> Bool) -> Bool {
        var reader = PayloadReader(bytes)
        for _ in 0..<count {
            guard let element = reader.read() else { return false }
            if !test(element) { return false }
        }
        return true
    }

    fileprivate func contains(_ value: PayloadValue) -> Bool {
        !allSatisfy { !PayloadEquality.equal($0, value) }
    }
}

extension [[UInt8]] {
    /// Whether the words stand somewhere one after another.
    fileprivate func hasSequence(_ words: [[UInt8]]) -> Bool {
        guard !words.isEmpty, count >= words.count else { return false }
        return (0...count - words.count).contains { start in
            words.indices.allSatisfy { self[start + $0] == words[$0] }
        }
    }
}
