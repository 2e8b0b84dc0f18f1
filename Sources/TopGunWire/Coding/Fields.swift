import TopGunModel

/// The fields of one map of the protocol, found in one pass and read by name.
///
/// Unknown fields are ignored, of duplicate ones the last wins, and a field that is nil counts as absent unless it is
/// asked for as a value. Every value was stepped over, so lengths and depth are known to be sound. Views, not copies:
/// valid as long as the frame is.
struct Fields {
    private struct Entry {
        var nameStart: UInt32
        var nameCount: UInt32
        var start: UInt32
        var count: UInt32
    }

    private let bytes: UnsafeRawBufferPointer
    private var entries: [Entry] = []

    /// Reads a map and moves the reader behind it.
    init(_ reader: inout MessagePackReader, field: StaticString? = nil) throws(WireError) {
        bytes = reader.bytes
        do throws(MessagePackError) {
            let count = try reader.readMapCount()
            entries.reserveCapacity(min(count, WireLimits.fieldsMax))
            for _ in 0..<count {
                guard try reader.peekKind() == .string else {
                    try reader.skipValue(depthLimit: WireLimits.frameDepthMax)
                    try reader.skipValue(depthLimit: WireLimits.frameDepthMax)
                    continue
                }
                let name = try reader.readString().count
                let start = reader.offset
                try reader.skipValue(depthLimit: WireLimits.frameDepthMax)
                guard entries.count < WireLimits.fieldsMax else { throw .tooDeep }
                entries.append(
                    Entry(
                        nameStart: UInt32(truncatingIfNeeded: start - name),
                        nameCount: UInt32(truncatingIfNeeded: name),
                        start: UInt32(truncatingIfNeeded: start),
                        count: UInt32(truncatingIfNeeded: reader.offset - start)
                    ))
            }
        } catch {
            if entries.count == WireLimits.fieldsMax { throw WireError(.tooLarge, field: field) }
            throw WireError(error, field: field)
        }
    }

    /// Reads a whole frame: one map and nothing behind it.
    init(frame: UnsafeRawBufferPointer) throws(WireError) {
        guard UInt64(frame.count) <= UInt64(UInt32.max) else { throw WireError(.tooLarge) }
        var reader = MessagePackReader(frame)
        try self.init(&reader)
        guard reader.isAtEnd else { throw WireError(.malformed) }
    }
}

// MARK: - Whole values

extension Fields {
    /// The bytes of a value; `nil` if there is no such field.
    func raw(_ name: StaticString) -> UnsafeRawBufferPointer? {
        for entry in entries.reversed() {
            let start = Int(truncatingIfNeeded: entry.nameStart)
            let end = start + Int(truncatingIfNeeded: entry.nameCount)
            guard FieldName(UnsafeRawBufferPointer(rebasing: bytes[start..<end])) == name else { continue }
            let valueStart = Int(truncatingIfNeeded: entry.start)
            return UnsafeRawBufferPointer(
                rebasing: bytes[valueStart..<valueStart + Int(truncatingIfNeeded: entry.count)])
        }
        return nil
    }

    /// A reader at the value; `nil` if the field is absent or nil.
    private func reader(_ name: StaticString) -> MessagePackReader? {
        guard let raw = raw(name), raw[0] != 0xc0 else { return nil }
        return MessagePackReader(raw)
    }

    func has(_ name: StaticString) -> Bool { reader(name) != nil }

    /// A user's value, nil included.
    func payload(_ name: StaticString) throws(WireError) -> Payload {
        guard let payload = try optionalPayload(name) else { throw WireError(.missingField, field: name) }
        return payload
    }

    func optionalPayload(_ name: StaticString) throws(WireError) -> Payload? {
        guard let raw = raw(name) else { return nil }
        return try Self.payload(raw, name)
    }

    private static func payload(_ raw: UnsafeRawBufferPointer, _ name: StaticString) throws(WireError) -> Payload {
        var reader = MessagePackReader(raw)
        do throws(MessagePackError) {
            return Payload(copying: try reader.skipValue(depthLimit: ModelLimits.valueDepthMax))
        } catch {
            throw WireError(error, field: name)
        }
    }
}

// MARK: - Scalars

extension Fields {
    /// A text as a view over the frame.
    func optionalView(_ name: StaticString) throws(WireError) -> UnsafeRawBufferPointer? {
        guard var reader = reader(name) else { return nil }
        do throws(MessagePackError) {
            return try reader.readText()
        } catch {
            throw WireError(error, field: name)
        }
    }

    func optionalText(_ name: StaticString) throws(WireError) -> ByteString? {
        try optionalView(name).map { ByteString(copying: $0) }
    }

    func text(_ name: StaticString) throws(WireError) -> ByteString {
        guard let text = try optionalText(name) else { throw WireError(.missingField, field: name) }
        return text
    }

    /// Text for people.
    func optionalString(_ name: StaticString) throws(WireError) -> String? {
        try optionalText(name)?.string
    }

    func string(_ name: StaticString) throws(WireError) -> String {
        try text(name).string
    }

    func optionalInteger(_ name: StaticString) throws(WireError) -> Int64? {
        guard var reader = reader(name) else { return nil }
        do throws(MessagePackError) {
            return try reader.readInteger()
        } catch {
            throw WireError(error, field: name)
        }
    }

    func integer(_ name: StaticString) throws(WireError) -> Int64 {
        guard let integer = try optionalInteger(name) else { throw WireError(.missingField, field: name) }
        return integer
    }

    func optionalHash(_ name: StaticString) throws(WireError) -> UInt32? {
        guard let integer = try optionalInteger(name) else { return nil }
        guard let hash = UInt32(exactly: integer) else { throw WireError(.badField, field: name) }
        return hash
    }

    /// A 32-bit hash.
    func hash(_ name: StaticString) throws(WireError) -> UInt32 {
        guard let hash = try optionalHash(name) else { throw WireError(.missingField, field: name) }
        return hash
    }

    /// A number that travels as decimal text, because it may need all 64 bits.
    func optionalDecimal(_ name: StaticString) throws(WireError) -> UInt64? {
        guard let text = try optionalView(name) else { return nil }
        guard let number = decimalNumber(text) else { throw WireError(.badField, field: name) }
        return number
    }

    func decimal(_ name: StaticString) throws(WireError) -> UInt64 {
        guard let number = try optionalDecimal(name) else { throw WireError(.missingField, field: name) }
        return number
    }

    /// Any finite number.
    func optionalNumber(_ name: StaticString) throws(WireError) -> Double? {
        guard var reader = reader(name) else { return nil }
        do throws(MessagePackError) {
            let number = try reader.readDouble()
            guard number.isFinite else { throw MessagePackError.notAnInteger }
            return number
        } catch {
            throw WireError(error, field: name)
        }
    }

    func number(_ name: StaticString) throws(WireError) -> Double {
        guard let number = try optionalNumber(name) else { throw WireError(.missingField, field: name) }
        return number
    }

    func optionalBool(_ name: StaticString) throws(WireError) -> Bool? {
        guard var reader = reader(name) else { return nil }
        do throws(MessagePackError) {
            return try reader.readBool()
        } catch {
            throw WireError(error, field: name)
        }
    }

    func bool(_ name: StaticString) throws(WireError) -> Bool {
        guard let bool = try optionalBool(name) else { throw WireError(.missingField, field: name) }
        return bool
    }

    func optionalBinary(_ name: StaticString) throws(WireError) -> [UInt8]? {
        guard var reader = reader(name) else { return nil }
        do throws(MessagePackError) {
            return Array(try reader.readBinary())
        } catch {
            throw WireError(error, field: name)
        }
    }

    /// One of the protocol's words.
    func optionalWord<Word>(_ name: StaticString, _ known: (FieldName) -> Word?) throws(WireError) -> Word? {
        guard var reader = reader(name) else { return nil }
        do throws(MessagePackError) {
            guard let word = known(FieldName(try reader.readString())) else { throw MessagePackError.wrongKind }
            return word
        } catch {
            throw WireError(error, field: name)
        }
    }

    func word<Word>(_ name: StaticString, _ known: (FieldName) -> Word?) throws(WireError) -> Word {
        guard let word = try optionalWord(name, known) else { throw WireError(.missingField, field: name) }
        return word
    }
}

// MARK: - Containers

extension Fields {
    func optionalFields(_ name: StaticString) throws(WireError) -> Fields? {
        guard var reader = reader(name) else { return nil }
        return try Fields(&reader, field: name)
    }

    func fields(_ name: StaticString) throws(WireError) -> Fields {
        guard let fields = try optionalFields(name) else { throw WireError(.missingField, field: name) }
        return fields
    }

    /// A list of maps of the protocol.
    func optionalList<Element>(
        _ name: StaticString, _ element: (Fields) throws(WireError) -> Element
    ) throws(WireError) -> [Element]? {
        guard var reader = reader(name) else { return nil }
        let count = try Self.count(of: &reader, name)
        var list: [Element] = []
        for _ in 0..<count { list.append(try element(try Fields(&reader, field: name))) }
        return list
    }

    func list<Element>(
        _ name: StaticString, _ element: (Fields) throws(WireError) -> Element
    ) throws(WireError) -> [Element] {
        guard let list = try optionalList(name, element) else { throw WireError(.missingField, field: name) }
        return list
    }

    /// A list of texts; a long one of very short texts is refused, see ``WireLimits/longListTextBytesMin``.
    func optionalTexts(
        _ name: StaticString, shortListMax: Int = WireLimits.shortListMax
    ) throws(WireError) -> [ByteString]? {
        guard var reader = reader(name) else { return nil }
        let count = try Self.count(of: &reader, name)
        guard count <= shortListMax || count <= reader.remaining / WireLimits.longListTextBytesMin else {
            throw WireError(.tooLarge, field: name)
        }
        var texts: [ByteString] = []
        texts.reserveCapacity(count)
        do throws(MessagePackError) {
            for _ in 0..<count { texts.append(ByteString(copying: try reader.readText())) }
        } catch {
            throw WireError(error, field: name)
        }
        return texts
    }

    func texts(_ name: StaticString, shortListMax: Int = WireLimits.shortListMax) throws(WireError) -> [ByteString] {
        guard let texts = try optionalTexts(name, shortListMax: shortListMax) else {
            throw WireError(.missingField, field: name)
        }
        return texts
    }

    /// A list of values, each as its bytes.
    func values(_ name: StaticString) throws(WireError) -> [Payload] {
        guard var reader = reader(name) else { throw WireError(.missingField, field: name) }
        let count = try Self.count(of: &reader, name)
        guard count <= WireLimits.shortListMax || count <= reader.remaining / WireLimits.longListTextBytesMin else {
            throw WireError(.tooLarge, field: name)
        }
        var values: [Payload] = []
        values.reserveCapacity(count)
        do throws(MessagePackError) {
            for _ in 0..<count { values.append(Payload(copying: try reader.skipValue())) }
        } catch {
            throw WireError(error, field: name)
        }
        return values
    }

    /// A map whose keys are not the protocol's, in the order of the frame; keys that are no text are left out.
    func optionalPairs<Value>(
        _ name: StaticString,
        _ value: (UnsafeRawBufferPointer, inout MessagePackReader) throws(WireError) -> Value?
    ) throws(WireError) -> [Value]? {
        guard var reader = reader(name) else { return nil }
        var values: [Value] = []
        let count = try Self.mapCount(of: &reader, name)
        guard count <= WireLimits.shortListMax || count <= reader.remaining / WireLimits.longListTextBytesMin else {
            throw WireError(.tooLarge, field: name)
        }
        for _ in 0..<count {
            guard let (key, raw) = try Self.pair(of: &reader, name) else { continue }
            var inner = MessagePackReader(raw)
            if let value = try value(key, &inner) { values.append(value) }
        }
        return values
    }

    /// The next key and value; `nil` if the key is no text.
    private static func pair(
        of reader: inout MessagePackReader, _ name: StaticString
    ) throws(WireError) -> (key: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer)? {
        do throws(MessagePackError) {
            guard try reader.peekKind() == .string else {
                try reader.skipValue(depthLimit: WireLimits.frameDepthMax)
                try reader.skipValue(depthLimit: WireLimits.frameDepthMax)
                return nil
            }
            return (try reader.readText(), try reader.skipValue(depthLimit: WireLimits.frameDepthMax))
        } catch {
            throw WireError(error, field: name)
        }
    }

    private static func mapCount(of reader: inout MessagePackReader, _ name: StaticString) throws(WireError) -> Int {
        do throws(MessagePackError) {
            return try reader.readMapCount()
        } catch {
            throw WireError(error, field: name)
        }
    }

    private static func count(of reader: inout MessagePackReader, _ name: StaticString) throws(WireError) -> Int {
        do throws(MessagePackError) {
            return try reader.readArrayCount()
        } catch {
            throw WireError(error, field: name)
        }
    }
}
