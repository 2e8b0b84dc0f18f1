package import TopGunModel
package import TopGunWire

/// What the owner of a replica decides.
package struct ReplicaConfiguration: Sendable {
    /// The level at which an operation leaves the log, whatever level is awaited (promises.md B.1).
    package var retireLevel: WriteConcern = .replicated
    /// What every operation asks for; on a connection that does not tell of the levels behind it, ``retireLevel`` at least.
    package var concern: WriteConcern = .replicated
    /// What the client offers to do beyond the official one; with none of it, it greets as that one does. What it offers on
    /// a connection may be less.
    package var features: FeatureSet = [.results, .levels, .clock, .delta, .seq, .pull, .binary, .flow, .hash128]
    /// Operations of one batch, operations in flight and bytes of both; see ``ReplicaLimits``.
    package var batchOperations = ReplicaLimits.batchOperationsMax
    package var batchBytes = ReplicaLimits.batchBytesMax
    package var windowOperations = ReplicaLimits.windowOperationsMax
    package var windowBytes = ReplicaLimits.windowBytesMax

    package init() {}
}
