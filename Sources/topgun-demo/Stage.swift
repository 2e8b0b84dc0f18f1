import Foundation
import Synchronization
import TopGunEnvironment

/// Where the story is told: prints the steps, waits, and knows how long that may take.
final class Stage: Sendable {
    private let spawner = LiveSpawner(loops: 1)
    private let clock = SystemClock()
    private let startedNanos: Int64
    private let steps = Mutex(0)
    private let processes = Mutex<[Int32]>([])

    init(timeoutSeconds: Int64) {
        startedNanos = clock.monotonicNanos()
        spawner.loops[0].schedule(afterMillis: timeoutSeconds * 1000) { [self] in
            fail("the story did not end within \(timeoutSeconds) seconds")
        }
    }

    func step(_ what: String, _ proof: String) {
        let number = steps.withLock { steps in
            steps += 1
            return steps
        }
        let seconds = Double((clock.monotonicNanos() - startedNanos) / 10_000_000) / 100
        print("\(number). \(what)\n     \(proof)  [\(seconds) s]")
        fflush(nil)
    }

    func check(_ isTrue: Bool, _ what: String) {
        if !isTrue { fail("not true: \(what)") }
    }

    func fail(_ message: String) -> Never {
        print("FAILED: \(message)")
        leave(1)
    }

    func end() -> Never {
        print("Done: nothing diverged and nothing was lost.")
        leave(0)
    }

    private func leave(_ code: Int32) -> Never {
        fflush(nil)
        for process in processes.withLock({ $0 }) { kill(process, SIGKILL) }
        // At once: event loops are running, and must not see the library's memory go.
        _exit(code)
    }

    /// A process that must not outlive the story.
    func own(_ process: Int32) {
        processes.withLock { $0.append(process) }
    }

    func disown(_ process: Int32) {
        processes.withLock { $0.removeAll { $0 == process } }
    }

    /// Waits until something has become true; the whole story's timeout is its limit.
    func until(_ what: String, _ isTrue: @escaping @Sendable () -> Bool) async {
        while !isTrue() {
            await withCheckedContinuation { continuation in
                spawner.loops[0].schedule(afterMillis: 2) { continuation.resume() }
            }
        }
    }

    /// Lets the clock go on a little.
    func pauseMillis(_ millis: Int64) {
        let end = clock.wallMillis() + millis
        while clock.wallMillis() < end { sched_yield() }
    }
}
