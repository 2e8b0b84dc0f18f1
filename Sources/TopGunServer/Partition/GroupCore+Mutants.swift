#if MUTANTS
import TopGunModel

extension GroupCore {
    /// Past the gate: the mutant `fanOutBeforeSync`.
    func showEarly(_ author: UInt64, to watcher: Watcher, offset: Int, length: Int) {
        let entry = GateEntry(
            kind: .event, loop: watcher.loop, target: watcher.map, number: author, offset: offset, length: length)
        gateway.deliver(
            entry, bytes: UnsafeRawBufferPointer(rebasing: gate.open.bytes.bytes[offset..<offset + length]))
    }
}
#endif
