import TopGunEnvironment
import TopGunStorage

/// Makes a damaged data directory usable again; what `topgund salvage` does.
package enum SalvageRun {
    /// Returns the report for people, one fact a line.
    package static func run(dataDirectory: String) throws(ServerError) -> [String] {
        do {
            return try Salvage.run(
                path: dataDirectory, disk: PosixDisk(), entropy: SystemEntropy(), nowMillis: SystemClock().wallMillis()
            ).lines
        } catch {
            throw ServerError(error)
        }
    }
}
