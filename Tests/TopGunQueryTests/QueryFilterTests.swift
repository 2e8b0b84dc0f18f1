import GoldenVectors
import Testing
import TopGunModel
import TopGunQuery

@Suite struct QueryFilterTests {
    @Test(arguments: JSON.Form.allCases)
    func `every where of the vectors lets through what is published`(form: JSON.Form) throws {
        let vectors = try JSON.vectors("predicates")
        let value = vectors["record"].messagePack(form)
        for row in vectors["where"].elements {
            for whereForm in JSON.Form.allCases {
                let filter = try row["where"].messagePack(whereForm).withUnsafeBytes { (bytes) throws(QueryError) in
                    try QueryFilter(whereMap: bytes)
                }
                #expect(filter.matches("k", value) == row["expect"].bool, "\(row)")
                #expect(filter.matchesEverything == row["where"].members.isEmpty)
            }
        }
    }
}

extension QueryFilter {
    func matches(_ key: ByteString, _ value: [UInt8]) -> Bool {
        key.bytes.withUnsafeBytes { key in value.withUnsafeBytes { matches(key: key, value: $0) } }
    }
}
