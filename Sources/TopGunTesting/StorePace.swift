import Synchronization
import TopGunSimulation

/// How long the store of a device takes for a call.
final class StorePace: Sendable {
    private let scheduler: SimulatedScheduler
    private let state: Mutex<State>

    private struct State {
        var generator: SeededGenerator
        var nanosMax = Limits.commitNanosMax
    }

    init(seed: UInt64, scheduler: SimulatedScheduler) {
        self.scheduler = scheduler
        state = Mutex(State(generator: SeededGenerator(seed: seed)))
    }

    var nanosMax: Int64 {
        get { state.withLock { $0.nanosMax } }
        set { state.withLock { $0.nanosMax = newValue } }
    }

    /// On the thread of the store, which does nothing else meanwhile.
    func spend() {
        let nanos = state.withLock { state in
            let half = max(state.nanosMax / 2, 0)
            return half + Int64(state.generator.below(Int(half) + 1))
        }
        scheduler.block(forNanos: nanos)
    }
}
