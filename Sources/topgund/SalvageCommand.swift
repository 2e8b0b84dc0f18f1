import ArgumentParser
import TopGunServer

/// Keeps what can still be read of a damaged data directory, and says what cannot.
struct SalvageCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "salvage",
        abstract: "Makes a damaged data directory usable again, and says what is lost.",
        discussion: """
            For a directory that topgund refuses because acknowledged data in it is damaged. Every record that can \
            still be read is kept; the old files stay beside the new ones. Clients learn from the higher restore epoch \
            that they have to offer their own writes again.
            """)

    @Option(help: ArgumentHelp("The directory.", valueName: "dir"))
    var dataDir: String

    func run() async {
        ProcessSetup.harden()
        do throws(ServerError) {
            for line in try SalvageRun.run(dataDirectory: dataDir) { print(line) }
        } catch {
            Complaint(error).end()
        }
    }
}
