import Foundation
import Synchronization

/// A port on which connections are taken and never answered.
final class SilentPort: Sendable {
    let port: Int
    private let descriptor: Int32
    private let callers: [Int32]

    /// - Parameter isFull: whether as many connections wait to be taken as may, so that another one gets no answer at all.
    init(address host: UInt32 = 0x7f00_0001, port wanted: Int = 0, isFull: Bool = false) throws {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = in_port_t(wanted).bigEndian
        address.sin_addr.s_addr = in_addr_t(host).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let isListening = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, length) == 0 && listen(descriptor, isFull ? 0 : 8) == 0
                    && getsockname(descriptor, $0, &length) == 0
            }
        }
        self.descriptor = descriptor
        port = Int(UInt16(bigEndian: address.sin_port))
        // One more than there is room for: the last of them waits, as everybody after it does.
        callers = (0..<(isFull ? 3 : 0)).map { _ in
            let caller = socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue), 0)
            withUnsafePointer(to: address) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { _ = connect(caller, $0, length) }
            }
            return caller
        }
        guard isListening else { throw Unexpected(what: "no port to be silent on") }
    }

    deinit {
        for caller in callers { close(caller) }
        close(descriptor)
    }
}

/// Raised once.
final class Flag: Sendable {
    private let raised = Atomic(false)

    var isSet: Bool { raised.load(ordering: .acquiring) }

    func set() { raised.store(true, ordering: .releasing) }
}
