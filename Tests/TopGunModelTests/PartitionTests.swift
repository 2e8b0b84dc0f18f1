import GoldenVectors
import Testing
import TopGunModel

@Suite struct PartitionTests {
    @Test func `every key of the vectors falls into its partition`() throws {
        let vectors = try JSON.vectors("partition")
        #expect(PartitionID.count == Int(vectors["partitionCount"].int))
        for row in vectors["keys"].elements {
            let key = ByteString(row["key"].text)
            #expect(KeyHash.of(key) == row["hash"].uint32)
            #expect(PartitionID(of: key).rawValue == UInt16(row["partition"].int))
            #expect(PartitionID(hash: row["hash"].uint32) == PartitionID(Int(row["partition"].int)))
        }
    }

    @Test func `the reference assignment gives the published owners and backups`() throws {
        for example in try JSON.vectors("partition")["assignment"]["examples"].elements {
            let nodes = example["nodes"].elements.map(\.text)
            for (index, partition) in example["pids"].elements.enumerated() {
                let holders = PartitionID(Int(partition.int)).referenceHolders(among: nodes.count)
                #expect(nodes[holders.owner] == example["owners"].elements[index].text)
                #expect(
                    [holders.backup].compactMap(\.self).map { nodes[$0] }
                        == example["backups"].elements[index].elements.map(\.text))
            }
        }
    }

    @Test func `every hash has a partition`() {
        #expect(PartitionID(hash: 0).index == 0)
        #expect(PartitionID(hash: .max).index == Int(UInt32.max % 271))
        #expect(PartitionID(270) == PartitionID(hash: 270))
    }
}
