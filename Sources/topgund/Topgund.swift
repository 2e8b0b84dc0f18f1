import ArgumentParser
import Foundation
import TopGunServer

/// The server: `topgund` runs a node, `topgund salvage` makes a damaged data directory usable again.
@main
struct Topgund: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "topgund",
        abstract: "Runs a TopGun node.",
        discussion: """
            Without arguments: one node for clients of this machine at ws://127.0.0.1:8080/ws, with its data in \
            ./topgun-data and no authentication. Once it serves it prints one line, PORT=<n>; its log goes to standard \
            error. SIGTERM lets clients go, syncs and stops; SIGHUP reads the key and the log level again.

            Every setting can also come from the environment (--data-dir is TOPGUN_DATA_DIR, and JWT_SECRET holds a \
            key) or from the JSON object in the file of --config ("data-dir": "/var/lib/topgun"); flags win over the \
            environment, and that over the file. Without --listen, PORT and TOPGUN_BIND_ADDR give the address.

            Exit codes: 0 stopped as told, 64 wrong arguments, 65 data damaged or not this node's, 69 address not to be \
            had, 70 fault of the program, 74 the disk failed, 75 data directory in use, 78 settings that cannot be obeyed.
            """,
        version: StatusReport.version,
        subcommands: [SalvageCommand.self])

    @OptionGroup var flags: Flags

    func run() async {
        do throws(ServerError) {
            try await NodeCommand(flags: flags.settings, file: flags.config).run()
        } catch {
            Complaint(error).end()
        }
    }
}

/// What goes to standard error when there is nothing more to do.
struct Complaint {
    let error: ServerError

    init(_ error: ServerError) {
        self.error = error
    }

    func end() -> Never {
        FileHandle.standardError.write(Data("topgund: \(error.message)\n".utf8))
        ProcessSetup.end(error.exitCode)
    }
}
