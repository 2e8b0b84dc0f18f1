import Crypto
import TopGunEnvironment
import TopGunModel
import TopGunPartition
import TopGunStorage
import TopGunWire

/// The actors of every event loop, introduced to each other.
struct Crew {
    let groups: [PartitionGroup]
    let gateways: [Gateway]
    let partitions: [Partition]
    private let groupDoors: [LoopBound<GroupCore>]
    private let gatewayDoors: [LoopBound<GatewayCore>]

    /// The extensions of protocol.md 16 that this server has.
    static let features: FeatureSet = [.results, .levels, .clock, .delta, .seq, .pull, .hash128, .binary, .flow]

    init(context: NodeContext, options: NodeOptions, recovered: RecoveredNode, log: WriteAheadLog) {
        let loops = context.environment.spawner.loops
        let terms = Self.terms(context, options, recovered.directory.identity)
        var groups: [PartitionGroup] = []
        var gateways: [Gateway] = []
        for (index, loop) in loops.enumerated() {
            let group = GroupCore(
                index: index, loop: loop, loops: loops.count, state: recovered.states[index].value, log: log,
                clock: context.environment.clock, metrics: context.metrics.loops[index],
                checkVisitsPerTurn: options.checkVisitsPerTurn, acknowledgesEarly: options.acknowledgesEarly)
            let gateway = GatewayCore(
                index: index, loop: loop, loops: loops.count, terms: terms, group: group,
                metrics: context.metrics.loops[index], clock: context.environment.clock)
            groups.append(PartitionGroup(LoopBound(group, on: loop)))
            gateways.append(Gateway(LoopBound(gateway, on: loop)))
        }
        let groupDoors = groups.map(\.door)
        self.groups = groups
        self.gateways = gateways
        self.groupDoors = groupDoors
        self.gatewayDoors = gateways.map(\.door)
        self.partitions = (0..<PartitionID.count).map { number in
            let id = PartitionID(number)
            return Partition(id, in: groupDoors[PartitionPlacement.loop(of: id, loops: loops.count)])
        }
    }

    /// Introduces the loops to each other, each on itself; returns when all know all.
    func join() async {
        for index in groupDoors.indices {
            let (group, gateway) = (groupDoors[index], gatewayDoors[index])
            await withCheckedContinuation { (continuation: CheckedContinuation<Void, Never>) in
                group.loop.execute { [groupDoors, gatewayDoors] in
                    group.value.join(gatewayDoors)
                    gateway.value.join(groups: groupDoors)
                    continuation.resume()
                }
            }
        }
    }

    private static func listeningURL(_ configuration: ServerConfiguration) -> String {
        let host = configuration.host.contains(":") ? "[\(configuration.host)]" : configuration.host
        return (configuration.tls == nil ? "ws://" : "wss://") + "\(host):\(configuration.port)/ws"
    }

    private static func terms(_ context: NodeContext, _ options: NodeOptions, _ identity: Identity) -> GatewayTerms {
        let configuration = context.configuration
        let requiresAuthentication: Bool
        var leewaySeconds: Int64 = 0
        switch configuration.authentication {
        case .none: requiresAuthentication = false
        case .token(let rules):
            requiresAuthentication = true
            leewaySeconds = rules.leewaySeconds
        }
        return GatewayTerms(
            session: ClientSession.Terms(requiresAuthentication: requiresAuthentication, features: features),
            anonymous: ClientSession.Identity(
                userID: nil, nameSpace: ByteString([]), mayRead: true, mayWrite: true, expiresAtMillis: nil),
            mayByDefault: configuration.defaultAccess == .allow, tokenLeewayMillis: leewaySeconds * 1_000,
            operationsPerSecond: configuration.operationsPerSecond, operationsBurst: configuration.operationsBurst,
            tokens: context.tokens, spawner: context.environment.spawner, entropy: context.environment.entropy,
            devices: DeviceMemory(),
            devicesPerLoopMax: options.devicesPerLoopMax, advertisedURL: configuration.advertisedURL,
            listeningURL: listeningURL(configuration), mapVersion: Int64(clamping: identity.incarnation),
            cursorKey: SymmetricKey(data: context.environment.entropy.bytes(32)),
            broadcastQueueBytesMax: options.broadcastQueueBytesMax,
            clusterID: identity.clusterID, serverID: identity.nodeID,
            restoreEpoch: Int64(clamping: identity.restoreEpoch), incarnation: context.environment.entropy.next(),
            log: context.log)
    }
}
