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
    /// Messages are lost, repeated and swapped (B21).
    case frameChaos

    // The node's process and machine (P01, P03, B03).
    case kill, powerCut, pause

    // The node's disk (promises.md C.2).
    case diskFull, diskSlow, diskHang, syncFailure, writeFailure
    /// The process dies in the middle of a call of the disk.
    case deathInCall
    /// A bit of a closed segment turns over while the node is down (B16, D06).
    case rot

    // Clocks (promises.md C.4).
    case clientClockOffset, clientClockJump, clockDrift, nodeClockJump

    // Clients (promises.md C.7).
    case clientCrash, clientPause, storeFull, storeSlow
}
