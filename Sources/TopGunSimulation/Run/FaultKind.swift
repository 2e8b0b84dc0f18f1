/// What can go wrong in a simulated world. A run has some of them, drawn by its seed.
package enum FaultKind: String, Codable, Sendable, CaseIterable, Hashable {
    // The network (promises.md C.3).
    /// A connection ends in the middle of something, and both ends are told (N07).
    case cut
    /// A connection ends and one end or none is told (N08).
    case halfOpen
    /// Nothing gets from a client to the node, or back, for a while (N01, N02).
    case oneWay, partition
    /// A slow or a narrow path for a while (N06).
    case slowNetwork, narrowNetwork
    /// Packets are lost and sent again, until the connection breaks of it (N06).
    case packetLoss
    /// Messages are lost, repeated, swapped and overtaken (B21).
    case frameChaos

    // The node's process and machine (P01, P03, B03).
    case kill, powerCut, pause
    /// It is asked to end, and starts with another number of loops (P08).
    case stop

    // The node's disk (promises.md C.2).
    case diskFull, diskSlow, diskHang, syncFailure, writeFailure
    /// File descriptors run out for a moment.
    case fileShortage
    /// The process dies in the middle of a call of the disk.
    case deathInCall
    /// A bit of a closed segment turns over while the node is down (B16, D06).
    case rot
    /// A read of a start brings a wrong bit, a sector from before, or another sector, and nobody says so.
    case wrongBit, staleRead, misdirectedRead
    /// A write to the log goes to another place.
    case misdirectedWrite
    /// The whole disk is set back to a backup (B17, O04).
    case rollback
    /// A partition is torn down and rebuilt while the others go on (P05).
    case partitionRestart

    // Clocks (promises.md C.4).
    case clientClockOffset, clientClockJump, clockDrift, nodeClockJump

    // Clients (promises.md C.7).
    case clientCrash, clientPause, storeFull, storeSlow
    /// A device is set up from another one's backup, and both go on with the same store and the same node id (C06).
    case storeCopied
    /// Somebody connects and says what nobody should.
    case stranger
}

extension FaultKind {
    /// Whether each time it strikes the node ends and somebody has to look after its disk.
    var takesTheNodeDown: Bool { Self.lies.contains(self) }

    /// Whether an operator may have to put together what is left of the node's data.
    var leadsToSalvage: Bool { self == .rot || Self.lies.contains(self) }

    var isOfClocks: Bool { Self.clocks.contains(self) }

    private static let lies: Set = [wrongBit, staleRead, misdirectedRead, misdirectedWrite, rollback]
    private static let clocks: Set = [clientClockOffset, clientClockJump, clockDrift, nodeClockJump]
}
