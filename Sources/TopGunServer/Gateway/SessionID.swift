extension SessionID {
    /// Names a connection for as long as the process runs: its loop, its slot there, and how often the slot was used.
    init(loop: Int, generation: UInt32, slot: Int) {
        self.init(
            number: UInt64(loop) << 56 | UInt64(generation & 0xff_ffff) << 32 | UInt64(UInt32(truncatingIfNeeded: slot))
        )
    }

    /// No connection at all: what a change that the server made itself has as its author.
    static let none = SessionID(number: 0)

    var loop: Int { Int(number >> 56) }
    var slot: Int { Int(number & 0xffff_ffff) }
}
