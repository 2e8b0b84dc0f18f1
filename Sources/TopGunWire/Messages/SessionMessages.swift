package import TopGunModel

// Who is who, and whether the other side is there (protocol.md 2).

/// AUTH.
package struct Authentication: Hashable, Sendable {
    package var token: String
    package var protocolVersion: Int64?
    package var deviceToken: String?
    package var features: FeatureSet

    package init(
        token: String, protocolVersion: Int64? = nil, deviceToken: String? = nil, features: FeatureSet = []
    ) {
        self.token = token
        self.protocolVersion = protocolVersion
        self.deviceToken = deviceToken
        self.features = features
    }

    init(_ fields: Fields) throws(WireError) {
        token = try fields.string("token")
        protocolVersion = try fields.optionalInteger("protocolVersion")
        deviceToken = try fields.optionalString("deviceToken")
        features = try fields.features()
    }

    func write(into map: inout FieldWriter) {
        map.string("token", token)
        map.integer("protocolVersion", protocolVersion)
        map.string("deviceToken", deviceToken)
        map.features(features)
    }
}

/// DEVICE_HELLO.
package struct DeviceHello: Hashable, Sendable {
    package var deviceToken: String?
    package var protocolVersion: Int64?
    package var features: FeatureSet

    package init(deviceToken: String? = nil, protocolVersion: Int64? = nil, features: FeatureSet = []) {
        self.deviceToken = deviceToken
        self.protocolVersion = protocolVersion
        self.features = features
    }

    init(_ fields: Fields) throws(WireError) {
        deviceToken = try fields.optionalString("deviceToken")
        protocolVersion = try fields.optionalInteger("protocolVersion")
        features = try fields.features()
    }

    func write(into map: inout FieldWriter) {
        map.string("deviceToken", deviceToken)
        map.integer("protocolVersion", protocolVersion)
        map.features(features)
    }
}

/// AUTH_ACK and DEVICE_ACK.
package struct Greeting: Hashable, Sendable {
    package var protocolVersion: Int64?
    /// Only in AUTH_ACK.
    package var userID: String?
    package var deviceID: String?
    package var deviceToken: String?
    /// What the server tells a client that announced features; see protocol.md 16.
    package var server: ServerIdentity?

    package init(
        protocolVersion: Int64? = nil, userID: String? = nil, deviceID: String? = nil, deviceToken: String? = nil,
        server: ServerIdentity? = nil
    ) {
        self.protocolVersion = protocolVersion
        self.userID = userID
        self.deviceID = deviceID
        self.deviceToken = deviceToken
        self.server = server
    }

    init(_ fields: Fields) throws(WireError) {
        protocolVersion = try fields.optionalInteger("protocolVersion")
        userID = try fields.optionalString("userId")
        deviceID = try fields.optionalString("deviceId")
        deviceToken = try fields.optionalString("deviceToken")
        server = fields.has("clusterId") ? try ServerIdentity(fields) : nil
    }

    func write(into map: inout FieldWriter) {
        map.integer("protocolVersion", protocolVersion)
        map.string("userId", userID)
        map.string("deviceId", deviceID)
        map.string("deviceToken", deviceToken)
        server?.write(into: &map)
    }
}

/// What a server with features says about itself.
package struct ServerIdentity: Hashable, Sendable {
    /// The features both sides have.
    package var features: FeatureSet
    package var clusterID: ByteString
    package var serverID: ByteString
    package var restoreEpoch: Int64
    package var serverTime: Int64
    package var connectionID: ByteString?
    package var lastSeenOperationID: UInt64?
    /// What the 128-bit hashes of this connection are keyed by, sixteen bytes.
    package var hashKey: [UInt8]?

    package init(
        features: FeatureSet, clusterID: ByteString, serverID: ByteString, restoreEpoch: Int64, serverTime: Int64,
        connectionID: ByteString? = nil, lastSeenOperationID: UInt64? = nil, hashKey: [UInt8]? = nil
    ) {
        self.features = features
        self.clusterID = clusterID
        self.serverID = serverID
        self.restoreEpoch = restoreEpoch
        self.serverTime = serverTime
        self.connectionID = connectionID
        self.lastSeenOperationID = lastSeenOperationID
        self.hashKey = hashKey
    }

    init(_ fields: Fields) throws(WireError) {
        features = try fields.features()
        clusterID = try fields.text("clusterId")
        serverID = try fields.text("serverId")
        restoreEpoch = try fields.integer("restoreEpoch")
        serverTime = try fields.integer("serverTime")
        connectionID = try fields.optionalText("connectionId")
        lastSeenOperationID = try fields.optionalDecimal("lastSeenOpId")
        hashKey = try fields.optionalBinary("hashKey")
    }

    func write(into map: inout FieldWriter) {
        map.texts("features", features.names)
        map.text("clusterId", clusterID)
        map.text("serverId", serverID)
        map.integer("restoreEpoch", restoreEpoch)
        map.integer("serverTime", serverTime)
        map.text("connectionId", connectionID)
        map.decimal("lastSeenOpId", lastSeenOperationID)
        map.binary("hashKey", hashKey)
    }
}

/// ERROR.
package struct ErrorMessage: Hashable, Sendable {
    package var code: Int64
    package var message: String
    package var details: ErrorDetails?

    package init(code: Int64, message: String, details: ErrorDetails? = nil) {
        self.code = code
        self.message = message
        self.details = details
    }

    init(_ fields: Fields) throws(WireError) {
        code = try fields.integer("code")
        message = try fields.string("message")
        // Any value may stand here; only a map says something that we understand.
        if let raw = fields.raw("details"), raw[0] & 0xf0 == 0x80 || raw[0] == 0xde || raw[0] == 0xdf {
            details = ErrorDetails(try fields.fields("details"))
        }
    }

    func write(into map: inout FieldWriter) {
        map.integer("code", code)
        map.string("message", message)
        if let details { map.fields("details") { details.write(into: &$0) } }
    }
}

/// What an ERROR is about.
package struct ErrorDetails: Hashable, Sendable {
    package var requestType: ByteString?
    package var requestID: ByteString?
    package var operationID: UInt64?
    package var mapName: ByteString?
    /// A code of protocol.md 16.
    package var code: ByteString?
    package var retryAfterMillis: Int64?

    package init(
        requestType: ByteString? = nil, requestID: ByteString? = nil, operationID: UInt64? = nil,
        mapName: ByteString? = nil, refusal: Refusal? = nil, retryAfterMillis: Int64? = nil
    ) {
        self.requestType = requestType
        self.requestID = requestID
        self.operationID = operationID
        self.mapName = mapName
        self.code = refusal.map { ByteString($0.wireName) }
        self.retryAfterMillis = retryAfterMillis
    }

    /// The refusal that ``code`` names.
    package var refusal: Refusal? { code.flatMap { Refusal(code: $0) } }

    /// Reads what it can: details never make an ERROR unreadable.
    init(_ fields: Fields) {
        func attempt<Value>(_ read: () throws(WireError) -> Value?) -> Value? {
            do throws(WireError) { return try read() } catch { return nil }
        }
        requestType = attempt { () throws(WireError) in try fields.optionalText("requestType") }
        requestID = attempt { () throws(WireError) in try fields.optionalText("requestId") }
        operationID = attempt { () throws(WireError) in try fields.optionalDecimal("opId") }
        mapName = attempt { () throws(WireError) in try fields.optionalText("mapName") }
        code = attempt { () throws(WireError) in try fields.optionalText("code") }
        retryAfterMillis = attempt { () throws(WireError) in try fields.optionalInteger("retryAfterMs") }
    }

    func write(into map: inout FieldWriter) {
        map.text("requestType", requestType)
        map.text("requestId", requestID)
        map.decimal("opId", operationID)
        map.text("mapName", mapName)
        map.text("code", code)
        map.integer("retryAfterMs", retryAfterMillis)
    }
}

extension Fields {
    func features() throws(WireError) -> FeatureSet {
        FeatureSet(names: try optionalTexts("features") ?? [])
    }
}

extension FieldWriter {
    /// Features that a client announces; an official client has no such field.
    mutating func features(_ features: FeatureSet) {
        if !features.isEmpty { texts("features", features.names) }
    }
}
