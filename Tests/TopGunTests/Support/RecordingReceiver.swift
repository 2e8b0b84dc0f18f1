import NIOCore
import TopGunEnvironment

/// Keeps what a connection brings, and hands it to the test in order.
final class RecordingReceiver: MessageReceiver {
    enum Event: Sendable {
        case connected(any MessageConnection)
        case message([UInt8])
        case closed(String)

        var message: [UInt8]? {
            guard case .message(let bytes) = self else { return nil }
            return bytes
        }

        var closed: String? {
            guard case .closed(let reason) = self else { return nil }
            return reason
        }
    }

    let events: AsyncStream<Event>
    private let continuation: AsyncStream<Event>.Continuation

    init() {
        (events, continuation) = AsyncStream.makeStream(of: Event.self)
    }

    func connected(_ connection: any MessageConnection) {
        continuation.yield(.connected(connection))
    }

    func received(_ message: ByteBuffer) {
        continuation.yield(.message(Array(buffer: message)))
    }

    func closed(reason: String) {
        continuation.yield(.closed(reason))
        continuation.finish()
    }
}
