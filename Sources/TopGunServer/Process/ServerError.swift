/// Why the server cannot start or go on: one clear sentence, and the exit code that goes with it.
package struct ServerError: Error, CustomStringConvertible {
    package enum Code: Sendable {
        /// Unknown, malformed or contradictory settings, or a file among them that cannot be read.
        case configuration
        /// The address cannot be listened on.
        case address
        /// The data directory is in use by another process.
        case locked
        /// The data directory belongs to another node, is newer than this version, or cannot be read at all.
        case foreignData
        /// Data that was acknowledged is damaged; `topgund salvage` is the way on.
        case damagedData
        /// The disk failed to sync, or to write where nothing may be lost. Never to be restarted by itself.
        case disk
        /// No room on the disk, or no file descriptors left, for a start; may pass.
        case shortage
        /// A fault of the program.
        case software
    }

    package var code: Code
    /// A sentence for the operator: what is wrong, and what to do about it.
    package var message: String

    package init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }

    package var description: String { message }
}

/// How the process ends; the numbers of `sysexits.h`. `Deploy/topgund.service` names those that a restart cannot mend.
package enum ExitCode {
    /// Stopped as told.
    package static let done: Int32 = 0
    /// Wrong arguments.
    package static let usage: Int32 = 64
    /// Data that this version or node must not touch, or that is damaged.
    package static let data: Int32 = 65
    /// The address is taken or not allowed.
    package static let address: Int32 = 69
    /// A fault of the program.
    package static let software: Int32 = 70
    /// The system lacks what a start needs; another try may go better.
    package static let shortage: Int32 = 71
    /// The disk failed: what it holds is uncertain, and only a person can decide.
    package static let disk: Int32 = 74
    /// Another process uses the data directory.
    package static let locked: Int32 = 75
    /// Settings that cannot be obeyed.
    package static let configuration: Int32 = 78
}

extension ServerError {
    package var exitCode: Int32 {
        switch code {
        case .configuration: ExitCode.configuration
        case .address: ExitCode.address
        case .locked: ExitCode.locked
        case .foreignData, .damagedData: ExitCode.data
        case .disk: ExitCode.disk
        case .shortage: ExitCode.shortage
        case .software: ExitCode.software
        }
    }
}
