import GoldenVectors
import TopGunModel

// How the model's values are written in the vector files.

extension Timestamp {
    init(_ json: JSON) {
        self.init(
            millis: json["millis"].int, counter: json["counter"].uint32, node: ByteString(json["nodeId"].text))
    }
}

extension LWWRecord {
    init(_ json: JSON) {
        self.init(
            value: Payload(json["value"].messagePack()), timestamp: Timestamp(json["timestamp"]),
            ttlMillis: json.member("ttlMs")?.int ?? 0)
    }
}

extension ORMapRecord {
    init(_ json: JSON) {
        var value = json["value"].messagePack()
        if json.member("valueNote")?.text == "negative zero" { value = [0xcb, 0x80, 0, 0, 0, 0, 0, 0, 0] }
        self.init(
            value: Payload(value), timestamp: Timestamp(json["timestamp"]), tag: ByteString(json["tag"].text),
            ttlMillis: json.member("ttlMs")?.int ?? 0)
    }
}

extension MerklePath {
    init(_ text: String) {
        self.init(text: ByteString(text))!
    }
}
