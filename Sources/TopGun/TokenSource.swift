/// Where a client gets the token from that it shows to servers which demand one.
public struct TokenSource: Sendable {
    enum Kind: Sendable {
        case fixed(String)
        case provider(@Sendable () async throws -> String)
    }

    let kind: Kind

    /// This token, until ``TopGunClient/setToken(_:)`` gives another one. When it was refused, it is not shown again: the
    /// client goes on trying without a token, and where the servers demand one it waits for ``TopGunClient/setToken(_:)``.
    public static func fixed(_ token: String) -> TokenSource {
        TokenSource(kind: .fixed(token))
    }

    /// Asked for a token whenever a server wants one: at the first connection that demands it, and again when one was
    /// refused, for instance because it had expired. One call at a time; after an error, and with a token that is refused
    /// again and again, the next attempt is 1 to 30 seconds later.
    public static func provider(_ provider: @escaping @Sendable () async throws -> String) -> TokenSource {
        TokenSource(kind: .provider(provider))
    }
}
