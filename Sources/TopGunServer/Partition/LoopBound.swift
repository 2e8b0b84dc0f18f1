import TopGunEnvironment

/// A reference that may only be followed on one loop.
///
/// The fast door of design.md section 3: an actor whose executor is a loop hands out what it owns to other code of the
/// same loop, so that a read, a merge and an answer are plain calls inside one job. Following it elsewhere stops the
/// process, as breaking an actor's isolation would.
struct LoopBound<Value> {
    let loop: any Loop
    private let held: Value

    /// Callable where the value may be used: on its loop, or anywhere while nobody else knows the value yet.
    init(_ value: Value, on loop: any Loop) {
        self.loop = loop
        self.held = value
    }

    var value: Value {
        precondition(loop.isCurrent, "a value of one loop was followed from another")
        return held
    }
}

// The value is reached on its loop only, which `value` checks at every use.
extension LoopBound: @unchecked Sendable {}
