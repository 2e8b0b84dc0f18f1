package import TopGunModel

/// What a query needs from the house that runs it.
package struct QueryContext: Sendable {
    /// Makes a matcher of a pattern, `nil` if the pattern is invalid. The matcher must bound its own time.
    package typealias RegexCompiler =
        @Sendable (_ pattern: UnsafeRawBufferPointer) -> (@Sendable (_ text: UnsafeRawBufferPointer) -> Bool)?

    /// The principal on whose behalf the query runs, a map with `id`, `roles` and so on; `nil` when nobody is known.
    package var principal: Payload?
    /// Without one, a query with `regex` is refused as unsupported.
    package var regex: RegexCompiler?

    package init(principal: Payload? = nil, regex: RegexCompiler? = nil) {
        self.principal = principal
        self.regex = regex
    }

    package static let anonymous = QueryContext()
}
