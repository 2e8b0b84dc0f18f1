/// The limits of this target.
enum Limits {
    /// How long a thread looks for more work before it sleeps: a lone client's next write comes 60 to 100 us after it was told
    /// that the last one is durable.
    static let threadSpinMicros: Int64 = 120
    /// How often at most a thread goes to sleep at once after it looked for work in vain, before it looks again.
    static let threadSleepsBetweenLooksMax = 15
    /// What the kernel keeps of a thread's name.
    static let threadNameBytes = 15

    /// The longest page that is read, and how long reaching it may take is ``connectMillisMax``.
    static let pageBytesMax = 64 << 10

    // MARK: The WebSocket client

    /// How long reaching a server may take: name, TCP, TLS and the WebSocket upgrade together.
    static let connectMillisMax: Int64 = 5000
    /// The largest message that is accepted. The protocol sends a query answer or a leaf of a hash tree in one piece.
    static let clientMessageBytesMax = 64 << 20
    /// How long a server may take to answer our goodbye before the socket is closed without one.
    static let closeAnswerMillisMax: Int64 = 2000
    /// Header fields of an upgrade answer, all together.
    static let upgradeAnswerBytesMax = 16 << 10
    /// A message at most this long shares the buffer of its neighbours; a longer one is masked into one of its own size.
    static let sharedFrameBytes = 64 << 10
    /// The longest header of a frame: 2 bytes, 8 of length, 4 of mask.
    static let frameHeaderBytesMax = 14
}
