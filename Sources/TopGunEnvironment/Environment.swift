/// Everything a part of TopGun may touch of the world outside its own memory.
///
/// Product code has no other door: it is handed one of these and reads no clock, draws no random number, opens no file
/// and no socket past it. The real one is ``Environment/live``; the simulator makes one from a seed.
package struct Environment: Sendable {
    package var clock: any Clock
    package var disk: any Disk
    package var network: any Network
    package var entropy: any Entropy
    package var spawner: any Spawner

    package init(
        clock: any Clock, disk: any Disk, network: any Network, entropy: any Entropy, spawner: any Spawner
    ) {
        self.clock = clock
        self.disk = disk
        self.network = network
        self.entropy = entropy
        self.spawner = spawner
    }
}
