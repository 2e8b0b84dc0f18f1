import TopGunModel
import TopGunPartition

/// What a client is to be told of one operation.
struct OperationAnswer {
    var id: UInt64?
    var concern: WriteConcern
    var outcome: Outcome

    init(id: UInt64?, concern: WriteConcern, outcome: Outcome) {
        self.id = id
        self.concern = concern
        self.outcome = outcome
    }

    init(_ operation: OperationView, _ outcome: Outcome) {
        self.id = operation.id
        self.concern = operation.concern ?? .replicated
        self.outcome = outcome
    }

    /// How an answer leaves.
    enum Way {
        /// Success that needs no disk: at once.
        case early
        /// Success that is true once it is on disk.
        case durable
        /// Success that nobody asked to hear of.
        case silent
        case refused
        /// Not taken for what stands in its partition or for its stamp, to be tried again.
        case later
        /// Not taken because the server cannot take anything of the kind at present, to be tried again: at once.
        case away
    }

    var way: Way {
        switch outcome {
        case .merged, .repeated, .superseded, .restamped:
            switch concern {
            case .fireAndForget: .silent
            case .memory: .early
            case .applied, .replicated, .persisted: .durable
            }
        case .refused(.busy), .refused(.nodeFull), .refused(.notReady): .away
        case .refused(let refusal): refusal.isFinal ? .refused : .later
        }
    }

    /// The level reached once it is on this disk: on a single node without a database every level there is. A client that
    /// knows levels is told so, for nothing will be said later; an official one hears of the level that it asked for.
    func durableLevel(knowsLevels: Bool) -> WriteConcern { knowsLevels ? .persisted : max(concern, .replicated) }
}
