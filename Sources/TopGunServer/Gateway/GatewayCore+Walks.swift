import TopGunModel

// How many walks one connection has: those that the groups are being asked about, and the records of earlier ones that
// wait to be sent. Who asks faster than it is answered is not read for a while.

extension GatewayCore {
    /// Takes one more walk; `false`, and the client was told, if it has as many as can be.
    func beginWalk(_ shell: SessionShell, _ map: ByteString, request: ByteString) -> Bool {
        guard shell.walksOut + shell.streams.count < Limits.walksMax else {
            sendError(
                shell, code: 429, message: "too many requests at once", refusal: .busy, request: request, map: map)
            return false
        }
        shell.walksOut += 1
        paceWalks(shell)
        return true
    }

    /// The groups have answered; what came of it is among the streams.
    func endWalk(_ id: SessionID) {
        guard let shell = shell(id) else { return }
        shell.walksOut -= 1
        paceWalks(shell)
    }

    /// Stops reading a connection with many walks, and goes on once half of them are done.
    func paceWalks(_ shell: SessionShell) {
        let count = shell.walksOut + shell.streams.count
        if count > Limits.walksPause, !shell.pauses.contains(.walks) {
            metrics.counts.readingPaused += 1
            shell.pause(.walks, true)
        } else if count <= Limits.walksPause / 2, shell.pauses.contains(.walks) {
            shell.pause(.walks, false)
        }
    }
}
