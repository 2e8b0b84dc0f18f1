import Testing

/// `make demo` keeps telling the truth.
@Suite(.timeLimit(.minutes(3))) struct DemoTests {
    @Test func `the demo's story ends well`() async throws {
        let story = try await Programs.run("topgun-demo")
        #expect(story.code == 0, "\(story.output)\(story.error)")
        #expect(story.lines.last == "Done: nothing diverged and nothing was lost.")
    }
}
