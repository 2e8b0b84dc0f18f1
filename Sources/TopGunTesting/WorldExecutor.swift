import TopGunSimulation

/// Where the test and what it calls run: a loop of the world like any other.
final class WorldExecutor: TaskExecutor {
    private let driver: WorldDriver

    init(_ driver: WorldDriver) {
        self.driver = driver
    }

    func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        driver.testLoop.execute { [self] in
            driver.testActs()
            job.runSynchronously(on: asUnownedTaskExecutor())
        }
    }
}
