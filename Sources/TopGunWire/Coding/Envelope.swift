import TopGunModel

// Where the fields of a message stand (protocol.md 1.4).

/// Writes a message whose fields stand beside its type.
func flat(_ type: StaticString, _ sink: ByteSink, _ content: (inout FieldWriter) -> Void) {
    FieldWriter.write(into: sink) { map in
        map.word("type", type)
        content(&map)
    }
}

/// Writes a message whose fields stand in `payload`.
func payloadEnvelope(_ type: StaticString, _ sink: ByteSink, _ content: (inout FieldWriter) -> Void) {
    flat(type, sink) { $0.fields("payload", content) }
}

/// Writes the one message whose fields stand in `event`.
func eventEnvelope(_ type: StaticString, _ sink: ByteSink, _ content: (inout FieldWriter) -> Void) {
    flat(type, sink) { $0.fields("event", content) }
}

extension WireError {
    /// The same error with what its sender can know the answer by.
    func about(_ type: ByteString, _ fields: Fields) -> WireError {
        var error = self
        error.requestType = type
        do throws(WireError) {
            let inner = try fields.optionalFields("payload") ?? fields
            for name in ["requestId", "queryId", "subscriptionId", "id"] as [StaticString] {
                guard let id = try inner.optionalText(name) else { continue }
                error.requestID = id
                break
            }
        } catch {
            // An unreadable id is no id; the error is about something else already.
        }
        return error
    }
}
