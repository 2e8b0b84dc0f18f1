import TopGunEnvironment
import TopGunModel
import TopGunPartition

// The 128-bit hashes of a map over all loops, for a connection that has a key for them (protocol.md 16, `hash128`).

/// What one group has of the 128-bit hashes that were asked for.
struct ContentPart: Sendable {
    /// `nil` where there are none; empty where there is no map, which adds nothing.
    var digests: [Digest128]?
    var records = 0

    init(_ content: KeyedContent?, hasMap: Bool, _ pick: (ContentTree) -> [Digest128]) {
        digests = content.map { pick($0.tree) } ?? (hasMap ? nil : [])
        records = content?.takeUnpaid() ?? 0
    }
}

extension GatewayCore {
    func contentKey(of shell: SessionShell) -> GroupCore.ContentKey? {
        shell.hashKey.map { GroupCore.ContentKey(session: shell.id, key: $0) }
    }

    /// The sums over all groups, if all have them; whoever asked pays for what was hashed.
    func pay(_ shell: SessionShell, for parts: [ContentPart]) -> [Digest128]? {
        guard shell.hashKey != nil else { return nil }
        let records = parts.reduce(0) { $0 + $1.records }
        charge(shell, records / Limits.hashedRecordsPerToken, nowNanos: clock.monotonicNanos())
        var sums: [Digest128] = []
        for part in parts {
            guard let digests = part.digests else { return nil }
            if sums.isEmpty {
                sums = digests
            } else {
                for (index, digest) in digests.enumerated() { sums[index] = sums[index] &+ digest }
            }
        }
        return sums.isEmpty ? Array(repeating: .zero, count: 16) : sums
    }

    /// Forgets what was hashed for a connection that is gone.
    func forgetContents(of shell: SessionShell) {
        guard shell.hashKey != nil else { return }
        for target in crew.indices {
            if target == index {
                group.forgetContents(of: shell.id)
            } else {
                crew[target].loop.execute { [door = crew[target], id = shell.id] in door.value.forgetContents(of: id) }
            }
        }
    }
}

extension GroupCore {
    func hasMap(_ name: ByteString, in nameSpace: ByteString) -> Bool {
        state.existingMap(name, in: nameSpace) != nil
    }
}
