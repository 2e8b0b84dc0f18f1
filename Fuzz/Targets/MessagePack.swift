import GoldenVectors
import TopGunModel

extension FuzzTarget {
    /// Any bytes as MessagePack.
    ///
    /// The reader of frames and the reader of payloads see the same values. A value that is written anew is the same
    /// content, and writing it once more changes nothing. Equality is that of a naive model.
    static let messagePack = FuzzTarget(
        name: "messagepack",
        seeds: {
            let record = try document("predicates")["record"]
            let rows = try document("query-order")["records"].members.map(\.value)
            let values = [record] + rows
            let texts = [#"{"a":[1,-1,1.5,"x",null,true,{"b":{}}]}"#, "[[[[[]]]]]", "9007199254740993", "-0.5"]
            let documents = values + texts.map { JSON($0) }
            return JSON.Form.allCases.flatMap { form in documents.map { $0.messagePack(form) } }
                + documents.map { $0.messagePack(.shortest) + $0.messagePack(.widest) }
                + [
                    [0xc4, 2, 1, 2], [0xd4, 5, 9], [0xc7, 3, 1, 1, 2, 3], [0xca, 0x7f, 0xc0, 0, 0],
                    [0xcb, 0x80] + zeros,
                ]
                + [Array(repeating: 0x91, count: 66) + [0xc0], Array(repeating: 0x81, count: 20)]
        },
        words: [[0xdf, 0xff, 0xff, 0xff, 0xff], [0xdd, 0xff, 0xff, 0xff, 0xff], [0xc9, 0xff, 0xff, 0xff, 0xff]],
        body: { MessagePackReading.check($0) })

    private static let zeros = [UInt8](repeating: 0, count: 7)
}

private enum MessagePackReading {
    static func check(_ bytes: UnsafeRawBufferPointer) {
        checkSkipping(bytes)
        checkScalar(bytes)
        expect(isUTF8(bytes) == (String(validating: bytes, as: UTF8.self) != nil), "UTF-8 is judged in two ways")
        guard let first = whole(bytes) else { return }
        checkText(first)
        guard depth(first) <= ModelLimits.valueDepthMax else { return }
        checkRewriting(first)
        let rest = UnsafeRawBufferPointer(rebasing: bytes[first.count...])
        guard let second = whole(rest), depth(second) <= ModelLimits.valueDepthMax else { return }
        checkEquality(first, second)
    }

    /// The bytes of the first value, if one stands there.
    private static func whole(_ bytes: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer? {
        var reader = PayloadReader(bytes)
        return reader.skipValue()
    }

    // MARK: Two readers

    private static func checkSkipping(_ bytes: UnsafeRawBufferPointer) {
        let length = whole(bytes)?.count
        var anyDepth = MessagePackReader(bytes)
        do throws(MessagePackError) {
            try anyDepth.skipValueOfAnyDepth()
            expect(anyDepth.offset == length, "one reader steps \(anyDepth.offset) bytes, the other \(length ?? -1)")
        } catch {
            expect(anyDepth.offset == 0, "a read that throws moved the cursor")
            expect(length == nil, "one reader throws \(error) at a value of the other")
        }
        var limited = MessagePackReader(bytes)
        do throws(MessagePackError) {
            let view = try limited.skipValue()
            expect(view.count == length, "a limit of depth changes the length")
        } catch {
            expect(limited.offset == 0, "a read that throws moved the cursor")
            expect((error == .tooDeep) || length == nil, "\(error) at a value that can be read")
        }
    }

    private static func checkScalar(_ bytes: UnsafeRawBufferPointer) {
        let value = PayloadValue(bytes)
        var reader = MessagePackReader(bytes)
        var integer: Int64?
        var double: Double?
        do throws(MessagePackError) { integer = try reader.readInteger() } catch {}
        expect(integer != nil || reader.offset == 0, "a read that throws moved the cursor")
        reader = MessagePackReader(bytes)
        do throws(MessagePackError) { double = try reader.readDouble() } catch {}
        guard case .number(let number)? = value else {
            expect(integer == nil && double == nil, "a number where there is none")
            return
        }
        expect(integer == number.wholeNumber, "\(String(describing: integer)) is not \(number)")
        expect(double?.bitPattern == number.double.bitPattern || number.isNaN, "\(double ?? 0) is not \(number)")
    }

    /// What hashes are made of is never much longer than the value; the longest are bytes, each printed with its index.
    private static func checkText(_ value: UnsafeRawBufferPointer) {
        var text: [UInt8] = []
        ECMAScriptText.append(value: value, to: &text)
        expect(text.count <= 16 * value.count + 64, "a text of \(text.count) bytes for a value of \(value.count)")
    }

    private static func depth(_ value: UnsafeRawBufferPointer) -> Int {
        var reader = MessagePackReader(value)
        do throws(MessagePackError) {
            try reader.skipValue()
            return 0
        } catch {
            return .max
        }
    }

    // MARK: Writing

    private static func checkRewriting(_ value: UnsafeRawBufferPointer) {
        guard let tree = Tree(value) else { fatalError("a value that one reader takes is none for the other") }
        let once = Payload(tree.written)
        expect(once.bytes.count <= 2 * value.count + 16, "the shortest form is longer")
        guard !tree.hasNaN else { return }
        expect(PayloadEquality.sameContent(Payload(copying: value), once), "a value is not what was written of it")
        let twice = once.bytes.withUnsafeBytes { Tree($0)?.written }
        expect(twice == once.bytes, "writing is not stable")
    }

    // MARK: Equality

    private static func checkEquality(_ left: UnsafeRawBufferPointer, _ right: UnsafeRawBufferPointer) {
        guard let leftValue = PayloadValue(left), let rightValue = PayloadValue(right) else { return }
        let isEqual = PayloadEquality.equal(leftValue, rightValue)
        expect(isEqual == PayloadEquality.equal(rightValue, leftValue), "equality depends on the side")
        guard left.count + right.count < 512, let leftTree = Tree(left), let rightTree = Tree(right) else { return }
        expect(isEqual == leftTree.equals(rightTree), "equality is not that of the model")
    }
}

/// A value as a tree, read with the reader of frames: the naive model.
private indirect enum Tree {
    case null
    case bool(Bool)
    case number(PayloadNumber)
    case string([UInt8])
    case binary([UInt8])
    case array([Tree])
    case map([(key: Tree, raw: [UInt8], value: Tree)])
    case extended([UInt8])

    init?(_ bytes: UnsafeRawBufferPointer) {
        var reader = MessagePackReader(bytes)
        do throws(MessagePackError) {
            self = try Self.read(&reader)
        } catch {
            return nil
        }
    }

    private static func read(_ reader: inout MessagePackReader) throws(MessagePackError) -> Tree {
        switch try reader.peekKind() {
        case .null:
            expect(reader.tryReadNil(), "a nil that is none")
            return .null
        case .bool: return .bool(try reader.readBool())
        case .integer:
            if reader.bytes[reader.offset] == 0xcf { return .number(PayloadNumber(try reader.readUnsigned())) }
            return .number(.integer(try reader.readInteger()))
        case .float: return .number(.double(try reader.readDouble()))
        case .string: return .string(Array(try reader.readString()))
        case .binary: return .binary(Array(try reader.readBinary()))
        case .extension: return .extended(Array(try reader.skipValue()))
        case .array:
            var elements: [Tree] = []
            for _ in 0..<(try reader.readArrayCount()) { elements.append(try read(&reader)) }
            return .array(elements)
        case .map:
            var entries: [(key: Tree, raw: [UInt8], value: Tree)] = []
            for _ in 0..<(try reader.readMapCount()) {
                let start = reader.offset
                let key = try read(&reader)
                let raw = Array(reader.bytes[start..<reader.offset])
                entries.append((key, raw, try read(&reader)))
            }
            return .map(entries)
        }
    }

    var hasNaN: Bool {
        switch self {
        case .number(let number): number.isNaN
        case .array(let elements): elements.contains { $0.hasNaN }
        case .map(let entries): entries.contains { $0.value.hasNaN || $0.key.hasNaN }
        case .null, .bool, .string, .binary, .extended: false
        }
    }

    /// The value as our writer writes it; keys that are no texts stay as they are, as they are compared by their bytes.
    var written: [UInt8] {
        let sink = ByteSink()
        write(MessagePackWriter(sink))
        return withExtendedLifetime(sink) { Array(sink.bytes) }
    }

    private func write(_ writer: MessagePackWriter) {
        switch self {
        case .null: writer.writeNil()
        case .bool(let bool): writer.write(bool)
        case .number(.integer(let number)): writer.write(number)
        case .number(.unsigned(let number)): writer.write(unsigned: number)
        case .number(.double(let number)): writer.write(number)
        case .string(let text): text.withUnsafeBytes { writer.writeString($0) }
        case .binary(let binary): binary.withUnsafeBytes { writer.writeBinary($0) }
        case .extended(let raw): raw.withUnsafeBytes { writer.writeRaw($0) }
        case .array(let elements):
            writer.writeArrayHead(elements.count)
            for element in elements { element.write(writer) }
        case .map(let entries):
            writer.writeMapHead(entries.count)
            for entry in entries {
                if case .string = entry.key {
                    entry.key.write(writer)
                } else {
                    entry.raw.withUnsafeBytes { writer.writeRaw($0) }
                }
                entry.value.write(writer)
            }
        }
    }

    func equals(_ other: Tree) -> Bool {
        switch (self, other) {
        case (.null, .null): return true
        case (.bool(let left), .bool(let right)): return left == right
        case (.number(let left), .number(let right)): return left == right
        case (.string(let left), .string(let right)), (.binary(let left), .binary(let right)): return left == right
        case (.extended(let left), .extended(let right)): return Self.content(left) == Self.content(right)
        case (.array(let left), .array(let right)):
            return left.count == right.count && zip(left, right).allSatisfy { $0.equals($1) }
        case (.map(let left), .map(let right)):
            let (left, right) = (Self.lastOfEach(left), Self.lastOfEach(right))
            return left.count == right.count
                && left.allSatisfy { key, value in right.first { $0.key == key }?.value.equals(value) ?? false }
        default: return false
        }
    }

    /// The type and the bytes of an extension, without the length, which has several forms.
    private static func content(_ raw: [UInt8]) -> [UInt8] {
        switch raw[0] {
        case 0xc7: Array(raw[2...])
        case 0xc8: Array(raw[3...])
        case 0xc9: Array(raw[5...])
        default: Array(raw[1...])
        }
    }

    /// Of a key that occurs twice the last one counts; a text is a text in whatever form.
    private static func lastOfEach(
        _ entries: [(key: Tree, raw: [UInt8], value: Tree)]
    ) -> [(key: [UInt8], value: Tree)] {
        var kept: [(key: [UInt8], value: Tree)] = []
        for entry in entries {
            let key: [UInt8] = if case .string(let text) = entry.key { [0xa0] + text } else { [0] + entry.raw }
            kept.removeAll { $0.key == key }
            kept.append((key, entry.value))
        }
        return kept
    }
}
