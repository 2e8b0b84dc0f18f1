import TopGunEnvironment

extension Loop {
    /// A tick every so often, until the task that waits for them is cancelled. Ticks that nobody waited for are one.
    func ticks(everyMillis interval: Int64) -> AsyncStream<Void> {
        let (stream, sink) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
        tick(interval, sink)
        return stream
    }

    private func tick(_ interval: Int64, _ sink: AsyncStream<Void>.Continuation) {
        schedule(afterMillis: interval) { [self] in
            switch sink.yield() {
            case .terminated: break
            default: tick(interval, sink)
            }
        }
    }
}
