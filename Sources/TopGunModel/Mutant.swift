#if MUTANTS
/// A mistake that the product might have been built with. The simulator is, one at a time, to show that its checkers would
/// notice.
///
/// Only `make sim` compiles with `MUTANTS`; no program that anybody is given has this type, or a branch on it.
package enum Mutant: String, CaseIterable, Sendable {
    /// A removal takes the place of whatever stands there.
    case removeIgnoresVersion
    /// Of two versions of one millisecond and counter the first stays.
    case tieBreakMissing
    /// The tree of a map leaves removals out.
    case merkleOmitsTombstones
    /// Items of the tree have sixteen bits.
    case merkleTruncated
    /// A stamp from any future is taken.
    case futureAccepted
    /// The server's clock stamps what clients wrote.
    case serverRestamps
    /// Subscribers hear of a write before it is on disk.
    case fanOutBeforeSync
    /// A start goes on with what stands before the first damage in the log.
    case replayStopsAtDamage
    /// An acknowledgement lets go of everything up to its number.
    case cumulativeAcknowledgement
    /// A refusal counts as success.
    case refusalCountsAsSynced
    /// A client takes itself for compared as soon as a root has come.
    case cursorAdvancesOnReceipt
    /// What a checkpoint covers is asked after others had their turns, and not when its records were read.
    case awaitBetweenReadAndWrite
    /// The newest checkpoint of any partition decides what the log may let go.
    case watermarkIsMaximum
    /// Events are kept for a reader however slow it is.
    case slowReaderKeepsAll
    /// A write leaves the client's log at the level that the application awaited.
    case retireAtMemory
    /// What may be tried again is given up.
    case transientRefusalIsFinal
    /// The removal at the end of a lifetime has the time of whoever removes.
    case expiryStampsNow
    /// The log does not know that a value ends.
    case lifetimeNotLogged
    /// A record that is written over keeps the end of the old value.
    case overwriteKeepsTail
    /// The server takes another write under a stamp that stands for a repeat.
    case conflictIsRepeat
    /// What checkpoints cover stays in the log.
    case logNeverShrinks
    /// A stamp from the future is stored and then refused.
    case refusesWhatItStored
    /// What was merged is said to be superseded.
    case supersededIsGuessed
    /// A level above `MEMORY` is told before the sync.
    case levelUpBeforeSync
    /// The number of an acknowledgement covers what waits for its outcome.
    case ledgerSkipsGaps

    // Set before the first world of a process is made and never after; worlds run on one thread.
    nonisolated(unsafe) package static var active: Mutant?

    package var isOn: Bool { Mutant.active == self }
}
#endif
