package import TopGunModel

/// What the owner of a replica decides.
package struct ReplicaConfiguration: Sendable {
    /// The level at which an operation leaves the log, whatever level is awaited (promises.md B.1).
    package var retireLevel: WriteConcern = .replicated
    /// What every operation asks for; never below ``retireLevel``, or it could not leave the log.
    package var concern: WriteConcern = .replicated
    /// Operations of one batch, operations in flight and bytes of both; see ``ReplicaLimits``.
    package var batchOperations = ReplicaLimits.batchOperationsMax
    package var batchBytes = ReplicaLimits.batchBytesMax
    package var windowOperations = ReplicaLimits.windowOperationsMax
    package var windowBytes = ReplicaLimits.windowBytesMax

    package init() {}
}
