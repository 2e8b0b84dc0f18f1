import TopGunModel

/// How one map is being compared with the server's: down its tree, from the root to the leaves that differ.
///
/// ```
///           SYNC_INIT          root differs         nothing left to ask
/// idle ──────────────> asked ───────────────> walking ───────────────> compared
///                        └──────── root equal ───────────────────────────^
/// ```
///
/// Answers may come in any order, unasked, or in more pieces than asked for; each only ever adds questions about paths
/// that differ, and no path is asked for twice at once, so a walk ends and its memory has a bound.
struct MerkleWalk: Sendable {
    enum Phase: UInt8, Sendable {
        case idle
        case asked
        case walking
        case compared
    }

    private(set) var phase = Phase.idle
    /// The server's clock when it read the root that is being compared with.
    private(set) var rootMillis: Int64 = 0
    /// The root that is being compared with; `nil` if none came.
    private(set) var root: UInt32?
    /// The content's root beside it, where the server told one.
    private(set) var contentRoot: Digest128?
    /// The cursor that came with it.
    private(set) var cursor: ByteString?
    /// When the last answer came.
    private(set) var progressMillis: Int64 = 0
    private var outstanding: Set<MerklePath> = []
    /// Paths to ask for, in the order in which they came up; from ``start`` on.
    private var waiting: [MerklePath] = []
    private var start = 0
    private var isWaiting: Set<MerklePath> = []

    var isBusy: Bool {
        switch phase {
        case .asked, .walking: true
        case .idle, .compared: false
        }
    }

    mutating func ask(steadyMillis: Int64) {
        self = MerkleWalk()
        phase = .asked
        progressMillis = steadyMillis
    }

    /// The server told its root, asked or not; `isEqual` if it is ours.
    mutating func rootArrived(
        _ root: UInt32, content: Digest128?, rootMillis: Int64, cursor: ByteString?, isEqual: Bool,
        steadyMillis: Int64
    ) {
        self = MerkleWalk()
        self.root = root
        self.contentRoot = content
        self.cursor = cursor
        self.rootMillis = rootMillis
        progressMillis = steadyMillis
        phase = isEqual ? .compared : .walking
        if !isEqual { wait(for: .root) }
    }

    /// The server told the hashes below a path; `differing` are those children that are not as ours.
    mutating func bucketsArrived(at path: MerklePath, differing: [MerklePath], steadyMillis: Int64) {
        progressMillis = steadyMillis
        outstanding.remove(path)
        for child in differing { wait(for: child) }
        if hasWaiting { phase = .walking }
        finish()
    }

    mutating func leafArrived(at path: MerklePath, steadyMillis: Int64) {
        progressMillis = steadyMillis
        outstanding.remove(path)
        finish()
    }

    /// The next path to ask for, while the window has room.
    mutating func nextRequest() -> MerklePath? {
        guard phase == .walking, outstanding.count < ReplicaLimits.walkRequestsMax else { return nil }
        guard hasWaiting else { return nil }
        let path = waiting[start]
        start += 1
        if !hasWaiting {
            waiting.removeAll(keepingCapacity: true)
            start = 0
        }
        isWaiting.remove(path)
        outstanding.insert(path)
        return path
    }

    /// Whether no answer came for too long.
    func isStalled(steadyMillis: Int64) -> Bool {
        isBusy && steadyMillis - progressMillis >= ReplicaLimits.walkStallMillis
    }

    private var hasWaiting: Bool { start < waiting.count }

    private mutating func wait(for path: MerklePath) {
        guard !outstanding.contains(path), isWaiting.insert(path).inserted else { return }
        waiting.append(path)
    }

    private mutating func finish() {
        if phase == .walking, outstanding.isEmpty, !hasWaiting { phase = .compared }
    }
}
