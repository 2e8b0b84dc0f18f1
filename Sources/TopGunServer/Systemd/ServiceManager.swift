#if canImport(CSystemd)
import CSystemd
#endif

/// The service manager that started this process, if one did. Everything here does nothing without one.
package struct ServiceManager: Sendable {
    package init() {}

    /// The node serves.
    func ready(_ status: String) {
        notify("READY=1\nSTATUS=\(Self.line(status))")
    }

    /// One line for `systemctl status`.
    func status(_ status: String) {
        notify("STATUS=\(Self.line(status))")
    }

    func stopping(_ status: String) {
        notify("STOPPING=1\nSTATUS=\(Self.line(status))")
    }

    /// A sign of life: the service manager restarts a process that gives none for the time it was promised.
    func feedWatchdog(_ status: String) {
        notify("WATCHDOG=1\nSTATUS=\(Self.line(status))")
    }

    /// How often the watchdog wants to be fed at least; `nil` if nobody watches.
    var watchdogMillis: Int64? {
        #if canImport(CSystemd)
        var micros: UInt64 = 0
        return sd_watchdog_enabled(0, &micros) > 0 ? Int64(clamping: micros / 1_000) : nil
        #else
        return nil
        #endif
    }

    private func notify(_ state: String) {
        #if canImport(CSystemd)
        sd_notify(0, state)
        #endif
    }

    /// A status is one line, whatever is in an error's text.
    private static func line(_ text: String) -> String {
        text.replacing("\n", with: " ")
    }
}
