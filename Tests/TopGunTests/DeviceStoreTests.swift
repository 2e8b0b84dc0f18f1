import Synchronization
import Testing
import TopGun
import TopGunModel
import TopGunReplica

/// What a device's store has beside the contract of all stores, which `ReplicaStoreTests` hold it to.
@Suite struct DeviceStoreTests {
    private final class Calls: Sendable {
        private let calls = Mutex(0)
        var count: Int { calls.withLock { $0 } }

        func note() {
            calls.withLock { $0 += 1 }
        }
    }

    private static func write(_ node: ByteString) -> StoreTransaction {
        var transaction = StoreTransaction()
        transaction.identity = StoredIdentity(node: node)
        return transaction
    }

    @Test func `what was committed outlives the client, and one at a time has it open`() throws {
        let device = DeviceStore {}
        var opened: DeviceStore.Opened? = try device.open()
        #expect(device.isOpen)
        #expect(throws: TopGunError.self) { try device.open() }
        // The failed attempt has not closed it.
        #expect(device.isOpen)
        _ = try opened?.commit(Self.write("n1"))
        opened = nil
        #expect(!device.isOpen)
        opened = try device.open()
        #expect(try opened?.identity()?.node == "n1")
    }

    @Test func `a failure is every commit's, and no read's, until it is taken away`() throws {
        let device = DeviceStore {}
        let opened = try device.open()
        _ = try opened.commit(Self.write("n1"))
        let full = StoreError(code: .full, message: "full")
        device.failure = full
        #expect(throws: full) { try opened.commit(Self.write("n2")) }
        #expect(try opened.identity()?.node == "n1")
        device.failure = nil
        _ = try opened.commit(Self.write("n2"))
        #expect(try opened.identity()?.node == "n2")
    }

    @Test func `what is erased is gone, and a failure stays`() throws {
        let device = DeviceStore {}
        do {
            let opened = try device.open()
            _ = try opened.commit(Self.write("n1"))
        }
        let full = StoreError(code: .full, message: "full")
        device.failure = full
        device.erase()
        let opened = try device.open()
        #expect(try opened.identity() == nil)
        #expect(throws: full) { try opened.commit(Self.write("n2")) }
    }

    @Test func `every call is announced before it is made`() throws {
        let calls = Calls()
        let device = DeviceStore { calls.note() }
        let opened = try device.open()
        #expect(calls.count == 0)
        _ = try opened.identity()
        _ = try opened.commit(Self.write("n1"))
        _ = try opened.entries(ofMap: "m", after: nil, limit: 1)
        #expect(calls.count == 3)
    }
}
