/// The two clocks, as read by the shell just before it calls a core.
package struct ReplicaTime: Sendable, Equatable {
    /// Milliseconds since 1970; may jump. For stamps.
    package var wallMillis: Int64
    /// Milliseconds since an arbitrary start; never goes back. For deadlines.
    package var steadyMillis: Int64

    package init(wallMillis: Int64, steadyMillis: Int64) {
        self.wallMillis = wallMillis
        self.steadyMillis = steadyMillis
    }
}
