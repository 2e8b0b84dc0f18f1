/// What the way between one host and everybody else is like at the moment.
package struct Weather: Sendable, Equatable {
    /// How long a message travels at most.
    package var latencyNanosMax: Int64 = 2_000_000
    /// A narrow path; `nil` for one without end.
    package var bytesPerSecond: Int64?
    /// Nothing gets out, or in: messages wait below the connection, as in a kernel that sends them again and again.
    package var isUpBlocked = false
    package var isDownBlocked = false
    /// How many of a million packets get lost. A connection hides that, as TCP does: what was lost is sent again after
    /// longer and longer pauses, everything behind it waits, and in the end the connection breaks.
    package var lossMillionths = 0
    /// Messages are lost, repeated and change places: harsher than any socket.
    package var isChaotic = false

    package init() {}
}
