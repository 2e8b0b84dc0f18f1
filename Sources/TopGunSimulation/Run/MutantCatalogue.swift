import TopGunModel

/// A mistake that a run is made with, and the checker that must find it: promises.md D.6.
package struct SimulationMutant: Sendable, Equatable {
    package var name: String
    /// Its number in the list of the promises, if it is there.
    package var number: Int?
    package var checker: Checker
    /// What is wrong, for people.
    package var summary: String

    /// Those of the list that concern one node, its log, its clients and their clocks.
    package static let all: [SimulationMutant] = [
        SimulationMutant("acknowledgeBeforeSync", 1, .ackHonesty, "acknowledges before the sync"),
        SimulationMutant("syncFailureIgnored", 2, .ackHonesty, "tries a failed sync again and believes it"),
        SimulationMutant("replayStopsAtDamage", 6, .ackSurvival, "starts with what stands before damage in the log"),
        // On one node the log stands in for the database: what it lets go must be in the checkpoint of each partition.
        SimulationMutant("watermarkIsMaximum", 7, .ackSurvival, "lets log go that one partition's checkpoint covers"),
        SimulationMutant("removeIgnoresVersion", 9, .ackSurvival, "removes without comparing versions"),
        SimulationMutant("tieBreakMissing", 10, .convergence, "lets the first of two equal stamps stand"),
        SimulationMutant("merkleOmitsTombstones", 11, .convergence, "leaves removals out of the tree"),
        SimulationMutant("merkleTruncated", 12, .convergence, "hashes records to sixteen bits"),
        SimulationMutant("cursorAdvancesOnReceipt", 15, .noResurrection, "counts as compared before it has compared"),
        SimulationMutant("futureAccepted", 21, .clockSanity, "takes stamps from any future"),
        SimulationMutant("clockNotPersisted", 22, .clockSanity, "forgets how far stamps may have gone"),
        SimulationMutant("serverRestamps", 23, .onceEffects, "stamps what clients wrote anew"),
        // The write itself survives as long as its author does, who offers it again when trees are compared.
        SimulationMutant("cumulativeAcknowledgement", 25, .ackHonesty, "lets go of everything up to a number"),
        SimulationMutant("refusalCountsAsSynced", 25, .ackSurvival, "takes a refusal for success"),
        SimulationMutant("retireAtMemory", 26, .ackSurvival, "lets go of a write at the level the app awaited"),
        SimulationMutant("fanOutBeforeSync", 27, .noPhantom, "shows a write before it is on disk"),
        SimulationMutant(
            "awaitBetweenReadAndWrite", 30, .ackSurvival, "says what a checkpoint covers after others had their turns"),
        SimulationMutant("slowReaderKeepsAll", 31, .bounds, "keeps events for a reader that does not read"),
        SimulationMutant("ledgerSkipsGaps", 25, .ackHonesty, "covers with a number what is not decided"),
        SimulationMutant("transientRefusalIsFinal", nil, .ackHonesty, "gives up what may be tried again"),
        SimulationMutant("levelUpBeforeSync", nil, .ackHonesty, "tells of a higher level before the sync"),
        SimulationMutant(
            "supersededIsGuessed", nil, .ackHonesty, "says that something newer stands where nothing does"),
        SimulationMutant("logNeverShrinks", nil, .bounds, "keeps what checkpoints cover"),
        SimulationMutant("refusesWhatItStored", nil, .clockSanity, "stores a stamp from the future and refuses it"),
        SimulationMutant("expiryStampsNow", nil, .noPhantom, "ends a value later than its author wanted"),
        SimulationMutant("lifetimeNotLogged", nil, .noResurrection, "forgets over a restart that a value ends"),
        SimulationMutant("overwriteKeepsTail", nil, .noPhantom, "writes over a value in part"),
        SimulationMutant("conflictIsRepeat", nil, .ackHonesty, "takes another write under a known stamp for a repeat"),
    ]

    private init(_ name: String, _ number: Int?, _ checker: Checker, _ summary: String) {
        self.name = name
        self.number = number
        self.checker = checker
        self.summary = summary
    }

    package static func named(_ name: String) -> SimulationMutant? {
        all.first { $0.name == name }
    }

    /// Whether this build has it: those inside the product are compiled into the simulator's own build only.
    package var isBuiltIn: Bool {
        if isOfTheWorld { return true }
        #if MUTANTS
        return Mutant(rawValue: name) != nil
        #else
        return false
        #endif
    }

    /// Made at the seams of the product, by the simulator itself.
    private var isOfTheWorld: Bool { SimulatedMutants(name) != SimulatedMutants() }

    /// Makes the process a mutant for good, and says what worlds are to be made with.
    package func activate() -> SimulatedMutants {
        #if MUTANTS
        Mutant.active = Mutant(rawValue: name)
        #endif
        return SimulatedMutants(name)
    }
}

/// What runs in place of the product's own behaviour at the seams of the environment.
package struct SimulatedMutants: Sendable, Equatable {
    package var acknowledgesBeforeSync = false
    package var ignoresSyncFailures = false
    package var forgetsClockBound = false

    package init() {}

    init(_ name: String) {
        acknowledgesBeforeSync = name == "acknowledgeBeforeSync"
        ignoresSyncFailures = name == "syncFailureIgnored"
        forgetsClockBound = name == "clockNotPersisted"
    }
}
