import TopGunEnvironment
import TopGunModel
import TopGunPartition

// 128-bit hashes of maps, under the key of one connection (protocol.md 16, `hash128`).
//
// Each key means hashing every record once, so it is done for maps of bounded size, in slices, and paid for by whoever
// asks. What was hashed is kept for the connections that asked last: a leaf is hashed again only if it changed, and the
// hashes that leave are those of one moment.

/// The hashes of one map's part on this loop under the key of one connection.
final class KeyedContent {
    let session: SessionID
    let map: MapID
    fileprivate(set) var tree: ContentTree
    /// Leaves below are hashed as they were at `mark` or later.
    fileprivate var nextLeaf = 0
    fileprivate var mark: LeafMark
    /// Records hashed since somebody paid for them.
    fileprivate var unpaidRecords = 0

    fileprivate init(session: SessionID, map: MapID, key: SipHash128.Key, mark: LeafMark) {
        self.session = session
        self.map = map
        self.tree = ContentTree(key: key)
        self.mark = mark
    }

    func takeUnpaid() -> Int {
        defer { unpaidRecords = 0 }
        return unpaidRecords
    }
}

extension GroupCore {
    /// What a connection wants its hashes to be keyed by.
    struct ContentKey: Sendable {
        var session: SessionID
        var key: SipHash128.Key
    }

    /// The map's tree and, for a connection with a key, its content as of the same moment; `nil` where the map is too
    /// large here to be hashed for every connection.
    func withTrees(
        of name: ByteString, in nameSpace: ByteString, under key: ContentKey?,
        _ body: @escaping (MerkleTree32, KeyedContent?) -> Void, orElse refuse: @escaping (Refusal) -> Void
    ) {
        withLeaves(of: name, in: nameSpace) { [self] tree in
            guard let key, let map = state.existingMap(name, in: nameSpace),
                state.leafSummary(of: map, at: .root).bytes <= Limits.contentBytesMax
            else { return body(tree, nil) }
            hash(content(of: map, under: key), turn: 0, then: body, orElse: refuse)
        } orElse: {
            refuse($0)
        }
    }

    private func content(of map: MapID, under key: ContentKey) -> KeyedContent {
        if let index = contents.firstIndex(where: { $0.session == key.session && $0.map == map }) {
            let known = contents.remove(at: index)
            if state.knowsChanges(of: map, since: known.mark), known.tree.key == key.key {
                contents.append(known)
                return known
            }
        }
        let made = KeyedContent(session: key.session, map: map, key: key.key, mark: state.mark(map))
        contents.append(made)
        if contents.count > Limits.contentsKeptMax { contents.removeFirst() }
        return made
    }

    /// Hashes what is not hashed yet, then what changed meanwhile; goes on in another turn where it takes long.
    private func hash(
        _ content: KeyedContent, turn: Int, then body: @escaping (MerkleTree32, KeyedContent?) -> Void,
        orElse refuse: @escaping (Refusal) -> Void
    ) {
        var bytes = 0
        while content.nextLeaf < ModelLimits.merkleLeafCount, bytes < Limits.hashedBytesPerTurn {
            bytes += hash(content, content.nextLeaf)
            content.nextLeaf += 1
        }
        if content.nextLeaf == ModelLimits.merkleLeafCount, bytes < Limits.hashedBytesPerTurn || turn > 64 {
            let since = content.mark
            content.mark = state.mark(content.map)
            var leaf = 0
            while let changed = state.nextLeaf(of: content.map, from: leaf, changedSince: since) {
                _ = hash(content, changed)
                leaf = changed + 1
            }
            return body(state.merkleTree(of: content.map), content)
        }
        let job = LoopBound((content: content, body: body, refuse: refuse), on: loop)
        loop.execute { [door = LoopBound(self, on: loop)] in
            let group = door.value
            let (content, body, refuse) = job.value
            group.whenWhole(
                { group.hash(content, turn: turn + 1, then: body, orElse: refuse) }, orElse: refuse)
        }
    }

    private func hash(_ content: KeyedContent, _ leaf: Int) -> Int {
        let hashed = state.contentDigest(ofLeaf: leaf, of: content.map, under: content.tree.key)
        content.tree.set(hashed.digest, at: leaf)
        content.unpaidRecords += hashed.records
        return hashed.bytes
    }

    /// Forgets what was hashed for a connection that is gone.
    func forgetContents(of session: SessionID) {
        contents.removeAll { $0.session == session }
    }
}
