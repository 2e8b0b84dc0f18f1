package import TopGunModel

// The partition map (protocol.md 8.1).

/// A node as clients see it.
package struct ClusterNode: Hashable, Sendable {
    package var nodeID: ByteString
    /// The very text that clients dial.
    package var webSocketURL: String
    package var httpURL: String?
    /// ACTIVE, JOINING, LEAVING, SUSPECTED, FAILED.
    package var status: ByteString

    package init(nodeID: ByteString, webSocketURL: String, httpURL: String? = nil, status: ByteString) {
        self.nodeID = nodeID
        self.webSocketURL = webSocketURL
        self.httpURL = httpURL
        self.status = status
    }

    init(_ fields: Fields) throws(WireError) {
        nodeID = try fields.text("nodeId")
        let endpoints = try fields.fields("endpoints")
        webSocketURL = try endpoints.string("websocket")
        httpURL = try endpoints.optionalString("http")
        status = try fields.text("status")
    }

    func write(into map: inout FieldWriter) {
        map.text("nodeId", nodeID)
        map.fields("endpoints") { map in
            map.string("websocket", webSocketURL)
            map.string("http", httpURL)
        }
        map.text("status", status)
    }
}

package struct PartitionOwnership: Hashable, Sendable {
    package var partition: Int64
    package var owner: ByteString
    package var backups: [ByteString]

    package init(partition: Int64, owner: ByteString, backups: [ByteString]) {
        self.partition = partition
        self.owner = owner
        self.backups = backups
    }

    init(_ fields: Fields) throws(WireError) {
        partition = try fields.integer("partitionId")
        owner = try fields.text("ownerNodeId")
        backups = try fields.optionalTexts("backupNodeIds", shortListMax: WireLimits.shortInnerListMax) ?? []
    }

    func write(into map: inout FieldWriter) {
        map.integer("partitionId", partition)
        map.text("ownerNodeId", owner)
        map.texts("backupNodeIds", backups)
    }
}

/// PARTITION_MAP.
package struct PartitionMap: Hashable, Sendable {
    package var version: Int64
    package var partitionCount: Int64
    package var nodes: [ClusterNode]
    package var partitions: [PartitionOwnership]
    package var generatedAt: Int64

    package init(
        version: Int64, partitionCount: Int64, nodes: [ClusterNode], partitions: [PartitionOwnership],
        generatedAt: Int64
    ) {
        self.version = version
        self.partitionCount = partitionCount
        self.nodes = nodes
        self.partitions = partitions
        self.generatedAt = generatedAt
    }

    init(_ fields: Fields) throws(WireError) {
        version = try fields.integer("version")
        partitionCount = try fields.integer("partitionCount")
        nodes = try fields.list("nodes") { (node) throws(WireError) in try ClusterNode(node) }
        partitions = try fields.list("partitions") { (owner) throws(WireError) in try PartitionOwnership(owner) }
        generatedAt = try fields.integer("generatedAt")
    }

    func write(into map: inout FieldWriter) {
        map.integer("version", version)
        map.integer("partitionCount", partitionCount)
        map.list("nodes", nodes) { node, map in node.write(into: &map) }
        map.list("partitions", partitions) { owner, map in owner.write(into: &map) }
        map.integer("generatedAt", generatedAt)
    }
}

/// PARTITION_MAP_DELTA.
package struct PartitionMapDelta: Hashable, Sendable {
    package struct Change: Hashable, Sendable {
        package var partition: Int64
        package var previousOwner: ByteString
        package var newOwner: ByteString
        package var reason: ByteString

        package init(partition: Int64, previousOwner: ByteString, newOwner: ByteString, reason: ByteString) {
            self.partition = partition
            self.previousOwner = previousOwner
            self.newOwner = newOwner
            self.reason = reason
        }

        init(_ fields: Fields) throws(WireError) {
            partition = try fields.integer("partitionId")
            previousOwner = try fields.text("previousOwner")
            newOwner = try fields.text("newOwner")
            reason = try fields.text("reason")
        }

        func write(into map: inout FieldWriter) {
            map.integer("partitionId", partition)
            map.text("previousOwner", previousOwner)
            map.text("newOwner", newOwner)
            map.text("reason", reason)
        }
    }

    package var version: Int64
    package var previousVersion: Int64
    package var changes: [Change]
    package var timestamp: Int64

    package init(version: Int64, previousVersion: Int64, changes: [Change], timestamp: Int64) {
        self.version = version
        self.previousVersion = previousVersion
        self.changes = changes
        self.timestamp = timestamp
    }

    init(_ fields: Fields) throws(WireError) {
        version = try fields.integer("version")
        previousVersion = try fields.integer("previousVersion")
        changes = try fields.list("changes") { (change) throws(WireError) in try Change(change) }
        timestamp = try fields.integer("timestamp")
    }

    func write(into map: inout FieldWriter) {
        map.integer("version", version)
        map.integer("previousVersion", previousVersion)
        map.list("changes", changes) { change, map in change.write(into: &map) }
        map.integer("timestamp", timestamp)
    }
}
