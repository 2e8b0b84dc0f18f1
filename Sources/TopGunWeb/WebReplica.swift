import TopGunModel
import TopGunReplica

/// A replica behind the C interface, with the bytes that the last call returned.
final class WebReplica {
    var state: ReplicaState
    /// What the last call returned; JavaScript copies it before it calls again.
    let answer = ByteSink()

    init(node: ByteString, seed: (UInt64, UInt64)) {
        state = ReplicaState(
            ReplicaConfiguration(), identity: StoredIdentity(node: node), role: .leader, seed: seed)
    }

    /// Every replica of this module, by handle. A WebAssembly module has one thread, so nothing meets here.
    nonisolated(unsafe) static var all: [WebReplica?] = []

    static func with(_ handle: Int32) -> WebReplica? {
        let index = Int(handle)
        return all.indices.contains(index) ? all[index] : nil
    }
}

/// What the entry points return beside handles and ids, which are not negative.
enum WebStatus {
    static let done: Int32 = 0
    static let noSuchReplica: Int32 = -1
    static let refused: Int32 = -2
}

extension ReplicaTime {
    /// Milliseconds as JavaScript has them.
    init(_ wallMillis: Double, _ steadyMillis: Double) {
        self.init(wallMillis: Self.whole(wallMillis), steadyMillis: Self.whole(steadyMillis))
    }

    private static func whole(_ millis: Double) -> Int64 {
        guard millis > 0 else { return 0 }
        guard millis < Double(ModelLimits.millisMax) else { return ModelLimits.millisMax }
        return Int64(millis)
    }
}

extension ByteString {
    init(_ start: UnsafeRawPointer?, _ count: Int32) {
        self.init(copying: UnsafeRawBufferPointer(start: start, count: Int(count)))
    }
}
