import TopGunEnvironment
import TopGunModel

// When a query is asked: a few of one connection at a time, and none while the connection does not take what it was
// answered before. An answer may be large, a client may ask for a thousand, and a window is answered anew as a whole with
// every change; without this the memory for all of that would be the client's to choose.
//
//   ask ──► a turn is free and the queue short? ──yes──► out ──► answered ──► the next that waits
//                        │ no                                                      ▲
//                        └──► waits; what changes meanwhile is in its answer ── drained

/// The queries of one connection that are being asked, and those that wait for that.
struct QueryTurns {
    /// Asked, and not answered yet.
    fileprivate(set) var out = 0
    /// In order of waiting; `true` for those that are asked for the first time.
    fileprivate var waiting: [(queryID: ByteString, isFirst: Bool)] = []

    var waitingCount: Int { waiting.count }

    mutating func begin(_ queryID: ByteString) {
        for index in waiting.indices where waiting[index].queryID == queryID { waiting[index].isFirst = true }
    }

    mutating func forget(_ queryID: ByteString) {
        waiting.removeAll { $0.queryID == queryID }
    }
}

extension GatewayCore {
    /// Whether a query may be asked now; if not it waits, and will be.
    func takeTurn(_ shell: SessionShell, _ queryID: ByteString, isFirst: Bool) -> Bool {
        guard let query = shell.queries[queryID] else { return false }
        guard !query.isWaiting else {
            // One that nobody tells of changes yet is told of them with its turn.
            if isFirst { shell.queryTurns.begin(queryID) }
            return false
        }
        guard shell.queryTurns.waiting.isEmpty, mayAskQuery(shell) else {
            shell.queries[queryID]?.isWaiting = true
            shell.queryTurns.waiting.append((queryID, isFirst))
            return false
        }
        shell.queryTurns.out += 1
        return true
    }

    /// A query is answered, or will never be.
    func endTurn(_ shell: SessionShell) {
        shell.queryTurns.out -= 1
        takeTurns(shell)
    }

    /// Asks what waits, as far as it may.
    func takeTurns(_ shell: SessionShell) {
        guard let nameSpace = shell.identity?.nameSpace else { return }
        while !shell.queryTurns.waiting.isEmpty, !shell.isClosing, mayAskQuery(shell) {
            let (queryID, isFirst) = shell.queryTurns.waiting.removeFirst()
            shell.queries[queryID]?.isWaiting = false
            shell.queryTurns.out += 1
            askNow(shell, queryID, nameSpace, subscribing: isFirst)
        }
    }

    private func mayAskQuery(_ shell: SessionShell) -> Bool {
        guard shell.connection.queuedBytes <= Limits.answerQueueBytesMax else {
            congest(shell)
            return false
        }
        return shell.queryTurns.out < Limits.queriesAskedMax
    }
}
