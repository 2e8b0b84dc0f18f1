/// The limits of this target.
enum Limits {
    /// How long a thread looks for more work before it sleeps.
    static let threadSpinMicros: Int64 = 60
    /// What the kernel keeps of a thread's name.
    static let threadNameBytes = 15
}
