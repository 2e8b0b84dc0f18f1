package import TopGunModel

// Full-text, vector and hybrid search (protocol.md 7.7 to 7.9).

/// A number with a name: the weight of a field, the score of a method.
package struct NamedNumber: Hashable, Sendable {
    package var name: ByteString
    package var number: Double

    package init(name: ByteString, number: Double) {
        self.name = name
        self.number = number
    }
}

extension Fields {
    fileprivate func namedNumbers(_ name: StaticString) throws(WireError) -> [NamedNumber] {
        try optionalPairs(name) { (key, reader) throws(WireError) in
            do throws(MessagePackError) {
                return NamedNumber(name: ByteString(copying: key), number: try reader.readDouble())
            } catch {
                throw WireError(error, field: name)
            }
        } ?? []
    }
}

extension FieldWriter {
    fileprivate mutating func namedNumbers(_ name: StaticString, _ numbers: [NamedNumber]) {
        pairs(name, numbers) { named, out in
            out.write(named.name)
            out.write(number: named.number)
        }
    }
}

// MARK: - Full text

package struct SearchOptions: Hashable, Sendable {
    package var limit: Int64?
    package var minScore: Double?
    package var boost: [NamedNumber]

    package init(limit: Int64? = nil, minScore: Double? = nil, boost: [NamedNumber] = []) {
        self.limit = limit
        self.minScore = minScore
        self.boost = boost
    }

    init(_ fields: Fields) throws(WireError) {
        limit = try fields.optionalInteger("limit")
        minScore = try fields.optionalNumber("minScore")
        boost = try fields.namedNumbers("boost")
    }

    func write(into map: inout FieldWriter) {
        map.integer("limit", limit)
        map.number("minScore", minScore)
        if !boost.isEmpty { map.namedNumbers("boost", boost) }
    }
}

/// SEARCH (`id` is the request id) and SEARCH_SUB (`id` is the subscription id).
package struct SearchRequest: Hashable, Sendable {
    package var id: ByteString
    package var mapName: ByteString
    package var query: String
    package var options: SearchOptions?

    package init(id: ByteString, mapName: ByteString, query: String, options: SearchOptions? = nil) {
        self.id = id
        self.mapName = mapName
        self.query = query
        self.options = options
    }

    init(_ fields: Fields, id name: StaticString) throws(WireError) {
        id = try fields.text(name)
        mapName = try fields.text("mapName")
        query = try fields.string("query")
        options = try fields.optionalFields("options").map { (fields) throws(WireError) in try SearchOptions(fields) }
    }

    func write(into map: inout FieldWriter, id name: StaticString) {
        map.text(name, id)
        map.text("mapName", mapName)
        map.string("query", query)
        if let options { map.fields("options") { options.write(into: &$0) } }
    }
}

/// One hit.
package struct SearchHit: Hashable, Sendable {
    package var key: ByteString
    package var value: Payload
    package var score: Double
    package var matchedTerms: [ByteString]

    package init(key: ByteString, value: Payload, score: Double, matchedTerms: [ByteString]) {
        self.key = key
        self.value = value
        self.score = score
        self.matchedTerms = matchedTerms
    }

    init(_ fields: Fields) throws(WireError) {
        key = try fields.text("key")
        value = try fields.optionalPayload("value") ?? .tombstone
        score = try fields.number("score")
        matchedTerms =
            try fields.optionalTexts("matchedTerms", shortListMax: WireLimits.shortInnerListMax) ?? []
    }

    func write(into map: inout FieldWriter) {
        map.text("key", key)
        map.payload("value", value)
        map.number("score", score)
        map.texts("matchedTerms", matchedTerms)
    }
}

/// SEARCH_RESP; for a subscription, `requestID` is the subscription id.
package struct SearchResponse: Hashable, Sendable {
    package var requestID: ByteString
    package var results: [SearchHit]
    package var totalCount: Int64
    package var error: String?

    package init(requestID: ByteString, results: [SearchHit], totalCount: Int64, error: String? = nil) {
        self.requestID = requestID
        self.results = results
        self.totalCount = totalCount
        self.error = error
    }

    init(_ fields: Fields) throws(WireError) {
        requestID = try fields.text("requestId")
        results = try fields.list("results") { (hit) throws(WireError) in try SearchHit(hit) }
        totalCount = try fields.integer("totalCount")
        error = try fields.optionalString("error")
    }

    func write(into map: inout FieldWriter) {
        map.text("requestId", requestID)
        map.list("results", results) { hit, map in hit.write(into: &map) }
        map.integer("totalCount", totalCount)
        map.string("error", error)
    }
}

/// SEARCH_UPDATE.
package struct SearchUpdate: Hashable, Sendable {
    package var subscriptionID: ByteString
    package var hit: SearchHit
    package var change: ChangeType

    package init(subscriptionID: ByteString, hit: SearchHit, change: ChangeType) {
        self.subscriptionID = subscriptionID
        self.hit = hit
        self.change = change
    }

    init(_ fields: Fields) throws(WireError) {
        subscriptionID = try fields.text("subscriptionId")
        hit = try SearchHit(fields)
        change = try fields.word("changeType") { ChangeType($0) }
    }

    func write(into map: inout FieldWriter) {
        map.text("subscriptionId", subscriptionID)
        hit.write(into: &map)
        map.word("changeType", change.wireName)
    }
}

// MARK: - Vectors

/// VECTOR_SEARCH.
package struct VectorSearch: Hashable, Sendable {
    package var id: ByteString
    package var mapName: ByteString
    package var indexName: ByteString?
    package var vector: QueryVector
    package var k: Int64
    package var efSearch: Int64?
    package var includesValue: Bool?
    package var includesVectors: Bool?
    package var minScore: Double?
    package var filter: Payload?

    package init(
        id: ByteString, mapName: ByteString, indexName: ByteString? = nil, vector: QueryVector, k: Int64,
        efSearch: Int64? = nil, includesValue: Bool? = nil, includesVectors: Bool? = nil, minScore: Double? = nil,
        filter: Payload? = nil
    ) {
        self.id = id
        self.mapName = mapName
        self.indexName = indexName
        self.vector = vector
        self.k = k
        self.efSearch = efSearch
        self.includesValue = includesValue
        self.includesVectors = includesVectors
        self.minScore = minScore
        self.filter = filter
    }

    init(_ fields: Fields) throws(WireError) {
        id = try fields.text("id")
        mapName = try fields.text("mapName")
        indexName = try fields.optionalText("indexName")
        guard let vector = try fields.optionalVector("queryVector") else {
            throw WireError(.missingField, field: "queryVector")
        }
        self.vector = vector
        k = try fields.integer("k")
        efSearch = try fields.optionalInteger("efSearch")
        guard let options = try fields.optionalFields("options") else { return }
        includesValue = try options.optionalBool("includeValue")
        includesVectors = try options.optionalBool("includeVectors")
        minScore = try options.optionalNumber("minScore")
        filter = options.has("filter") ? try options.payload("filter") : nil
    }

    private var hasOptions: Bool {
        includesValue != nil || includesVectors != nil || minScore != nil || filter != nil
    }

    func write(into map: inout FieldWriter) {
        map.text("id", id)
        map.text("mapName", mapName)
        map.vector("queryVector", vector)
        map.integer("k", k)
        map.text("indexName", indexName)
        map.integer("efSearch", efSearch)
        guard hasOptions else { return }
        map.fields("options") { map in
            map.bool("includeValue", includesValue)
            map.bool("includeVectors", includesVectors)
            map.number("minScore", minScore)
            map.payload("filter", filter)
        }
    }
}

package struct VectorHit: Hashable, Sendable {
    package var key: ByteString
    package var score: Double
    package var value: Payload?
    /// Little-endian `float32` bytes.
    package var vector: [UInt8]?

    package init(key: ByteString, score: Double, value: Payload? = nil, vector: [UInt8]? = nil) {
        self.key = key
        self.score = score
        self.value = value
        self.vector = vector
    }

    init(_ fields: Fields) throws(WireError) {
        key = try fields.text("key")
        score = try fields.number("score")
        value = try fields.optionalPayload("value")
        vector = try fields.optionalBinary("vector")
    }

    func write(into map: inout FieldWriter) {
        map.text("key", key)
        map.number("score", score)
        map.payload("value", value)
        map.binary("vector", vector)
    }
}

/// VECTOR_SEARCH_RESP.
package struct VectorSearchResponse: Hashable, Sendable {
    package var id: ByteString
    package var results: [VectorHit]
    package var totalCandidates: Int64
    package var searchTimeMillis: Double
    package var error: String?

    package init(
        id: ByteString, results: [VectorHit], totalCandidates: Int64, searchTimeMillis: Double, error: String? = nil
    ) {
        self.id = id
        self.results = results
        self.totalCandidates = totalCandidates
        self.searchTimeMillis = searchTimeMillis
        self.error = error
    }

    init(_ fields: Fields) throws(WireError) {
        id = try fields.text("id")
        results = try fields.list("results") { (hit) throws(WireError) in try VectorHit(hit) }
        totalCandidates = try fields.optionalInteger("totalCandidates") ?? 0
        searchTimeMillis = try fields.optionalNumber("searchTimeMs") ?? 0
        error = try fields.optionalString("error")
    }

    func write(into map: inout FieldWriter) {
        map.text("id", id)
        map.list("results", results) { hit, map in hit.write(into: &map) }
        map.integer("totalCandidates", totalCandidates)
        map.number("searchTimeMs", searchTimeMillis)
        map.string("error", error)
    }
}

// MARK: - Hybrid

/// HYBRID_SEARCH (`id` is the request id) and HYBRID_SEARCH_SUB (`id` is the subscription id).
package struct HybridSearch: Hashable, Sendable {
    package enum Method: UInt8, Sendable {
        case exact
        case fullText
        case semantic

        package var wireName: StaticString {
            switch self {
            case .exact: "exact"
            case .fullText: "fullText"
            case .semantic: "semantic"
            }
        }

        init?(_ word: FieldName) {
            switch word {
            case "exact": self = .exact
            case "fullText": self = .fullText
            case "semantic": self = .semantic
            default: return nil
            }
        }
    }

    package var id: ByteString
    package var mapName: ByteString
    package var queryText: String
    package var methods: [Method]
    package var k: Int64
    package var vector: QueryVector?
    package var predicate: Payload?
    package var includesValue: Bool?
    package var minScore: Double?

    package init(
        id: ByteString, mapName: ByteString, queryText: String, methods: [Method], k: Int64,
        vector: QueryVector? = nil, predicate: Payload? = nil, includesValue: Bool? = nil, minScore: Double? = nil
    ) {
        self.id = id
        self.mapName = mapName
        self.queryText = queryText
        self.methods = methods
        self.k = k
        self.vector = vector
        self.predicate = predicate
        self.includesValue = includesValue
        self.minScore = minScore
    }

    init(_ fields: Fields, id name: StaticString) throws(WireError) {
        id = try fields.text(name)
        mapName = try fields.text("mapName")
        queryText = try fields.string("queryText")
        methods = []
        for word in try fields.texts("methods") {
            guard let method = word.bytes.withUnsafeBytes({ Method(FieldName($0)) }) else {
                throw WireError(.badField, field: "methods")
            }
            methods.append(method)
        }
        k = try fields.integer("k")
        vector = try fields.optionalVector("queryVector")
        predicate = fields.has("predicate") ? try fields.payload("predicate") : nil
        includesValue = try fields.optionalBool("includeValue")
        minScore = try fields.optionalNumber("minScore")
    }

    func write(into map: inout FieldWriter, id name: StaticString) {
        map.text(name, id)
        map.text("mapName", mapName)
        map.string("queryText", queryText)
        map.value("methods") { out in
            out.writeArrayHead(methods.count)
            for method in methods { out.write(method.wireName) }
        }
        map.integer("k", k)
        map.vector("queryVector", vector)
        map.payload("predicate", predicate)
        map.bool("includeValue", includesValue)
        map.number("minScore", minScore)
    }
}

package struct HybridHit: Hashable, Sendable {
    package var key: ByteString
    package var score: Double
    package var methodScores: [NamedNumber]
    package var value: Payload?

    package init(key: ByteString, score: Double, methodScores: [NamedNumber], value: Payload? = nil) {
        self.key = key
        self.score = score
        self.methodScores = methodScores
        self.value = value
    }

    init(_ fields: Fields) throws(WireError) {
        key = try fields.text("key")
        score = try fields.number("score")
        methodScores = try fields.namedNumbers("methodScores")
        value = try fields.optionalPayload("value")
    }

    func write(into map: inout FieldWriter) {
        map.text("key", key)
        map.number("score", score)
        map.namedNumbers("methodScores", methodScores)
        map.payload("value", value)
    }
}

/// HYBRID_SEARCH_RESP; for a subscription, `requestID` is the subscription id.
package struct HybridSearchResponse: Hashable, Sendable {
    package var requestID: ByteString
    package var results: [HybridHit]
    package var searchTimeMillis: Double
    package var error: String?

    package init(requestID: ByteString, results: [HybridHit], searchTimeMillis: Double, error: String? = nil) {
        self.requestID = requestID
        self.results = results
        self.searchTimeMillis = searchTimeMillis
        self.error = error
    }

    init(_ fields: Fields) throws(WireError) {
        requestID = try fields.text("requestId")
        results = try fields.list("results") { (hit) throws(WireError) in try HybridHit(hit) }
        searchTimeMillis = try fields.optionalNumber("searchTimeMs") ?? 0
        error = try fields.optionalString("error")
    }

    func write(into map: inout FieldWriter) {
        map.text("requestId", requestID)
        map.list("results", results) { hit, map in hit.write(into: &map) }
        map.number("searchTimeMs", searchTimeMillis)
        map.string("error", error)
    }
}

/// HYBRID_SEARCH_UPDATE.
package struct HybridSearchUpdate: Hashable, Sendable {
    package var subscriptionID: ByteString
    package var hit: HybridHit
    package var change: ChangeType

    package init(subscriptionID: ByteString, hit: HybridHit, change: ChangeType) {
        self.subscriptionID = subscriptionID
        self.hit = hit
        self.change = change
    }

    init(_ fields: Fields) throws(WireError) {
        subscriptionID = try fields.text("subscriptionId")
        hit = try HybridHit(fields)
        change = try fields.word("changeType") { ChangeType($0) }
    }

    func write(into map: inout FieldWriter) {
        map.text("subscriptionId", subscriptionID)
        hit.write(into: &map)
        map.word("changeType", change.wireName)
    }
}
