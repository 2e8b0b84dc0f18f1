import TopGunModel

/// What runs must have come to, taken together: a fault that never struck and a branch that was never taken prove nothing.
///
/// Names are counted by the world; the list says which of them must not stay at zero.
package enum Reach {
    package static var wanted: [String] {
        FaultKind.allCases.map { "fault.\($0.rawValue)" } + network + disk + node + client + codes
    }

    private static let network = NetworkEvent.allCases.map { "network.\($0.rawValue)" }

    private static let disk = ["disk.noSpace", "disk.inputOutput", "disk.misread"]

    private static let node = [
        "node.serving", "node.stopped", "node.failed.disk", "node.refused.shortage", "node.refused.damagedData",
        "node.refused.disk", "node.superseded",
        "node.repeated", "node.checkpoint", "node.expired", "node.forwarded", "node.merkle", "node.delta",
        "node.eventDropped", "node.late", "node.partitionRebuilt", "node.pulled", "late.none", "late.memory",
        "recovery.misreadRefused", "recovery.misreadHarmless", "recovery.tailMisread", "operator.salvage",
        "operator.salvageWithLoss",
    ]

    private static let client = [
        "level.memory", "level.replicated", "level.persisted", "client.plain", "client.storeFailed", "client.restamped",
        "client.notStored", "client.clockAhead", "client.sharesNodeID",
    ]

    /// Codes of refused operations, that of the protocol's own word for it, and numbers of ERROR.
    private static let codes =
        Refusal.allCases.filter { !unheard.contains($0) }.map { "refusal.\($0.wireName)" } + ["refusal.REJECTED"]
        + [400, 403, 413, 429, 501, 503, 507].map { "error.\($0)" }

    /// Worlds have no tokens, and what makes an operation wait for room between loops is more than a world holds; nothing of
    /// a single node has the others yet.
    private static let unheard: Set<Refusal> = [
        .unauthenticated, .busy, .tooOld, .fenced, .concernUnavailable, .upgradeRequired,
    ]

    package static func add(_ counts: [String: Int], to total: inout [String: Int]) {
        total.merge(counts) { $0 + $1 }
    }

    /// Wanted and never reached.
    package static func missing(in counts: [String: Int]) -> [String] {
        wanted.filter { counts[$0, default: 0] == 0 }
    }
}
