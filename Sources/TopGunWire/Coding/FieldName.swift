/// A name in a frame, as a view; made to be switched over.
struct FieldName {
    let bytes: UnsafeRawBufferPointer

    init(_ bytes: UnsafeRawBufferPointer) {
        self.bytes = bytes
    }

    static func == (name: FieldName, text: StaticString) -> Bool {
        guard name.bytes.count == text.utf8CodeUnitCount else { return false }
        var index = 0
        while index < name.bytes.count {
            guard name.bytes[index] == text.utf8Start[index] else { return false }
            index &+= 1
        }
        return true
    }

    static func ~= (text: StaticString, name: FieldName) -> Bool { name == text }
}
