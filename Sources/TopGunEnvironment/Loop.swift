/// One thread of execution that runs jobs in the order they were given: an event loop, or a thread for blocking work.
///
/// An actor that belongs to a loop returns ``executor`` as its `unownedExecutor` and keeps the loop in a stored
/// property, because the executor reference does not. Loops outlive everything that runs on them.
package protocol Loop: AnyObject, Sendable {
    /// The one executor object of this loop; actors that share it call each other without changing thread.
    var executor: UnownedSerialExecutor { get }

    /// Whether the caller runs on this loop.
    var isCurrent: Bool { get }

    /// Runs the job after every job given before it; callable from anywhere. A job given by a job of the same loop
    /// runs after it, never inside it.
    func execute(_ job: @escaping @Sendable () -> Void)

    /// Runs the job on this loop once the time has passed. Dropped without running when cancelled in time.
    @discardableResult
    func schedule(afterMillis delay: Int64, _ job: @escaping @Sendable () -> Void) -> any ScheduledJob
}

package protocol ScheduledJob: Sendable {
    func cancel()
}

/// Where threads of execution and top-level tasks come from.
package protocol Spawner: Sendable {
    /// The event loops of this process; fixed for its life. At least one.
    var loops: [any Loop] { get }

    /// A thread of its own for calls that block, such as `fdatasync`; lives as long as the returned loop is held.
    func thread(named name: String) -> any Loop

    /// Starts a task that belongs to no other task. The only way to do so; the name is for people and traces.
    func spawn(_ name: StaticString, _ operation: @escaping @Sendable () async -> Void)
}
