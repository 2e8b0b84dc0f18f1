import Testing
import TopGunModel

@testable import TopGun

/// What waits for readers: bounded, each key once, nothing dropped unseen.
@Suite struct InboxTests {
    @Test func `changes hold as many keys as wait, however long a reader stays one behind`() {
        var changes = ChangedKeys()
        changes.push(ByteString("first"), false)
        for number in 0..<100_000 {
            changes.push(ByteString(String(number)), true)
            #expect(changes.pop() != nil)
        }
        #expect(changes.heldCount <= 2 * Limits.readKeysMax)
        #expect(changes.pop()?.key == ByteString("99999"))
        #expect(changes.pop() == nil)
    }

    @Test func `a key that changes again while it waits is read once, in its first place`() {
        var changes = ChangedKeys()
        for key in ["a", "b", "a"] { changes.push(ByteString(key), key == "a") }
        #expect(changes.pop()?.isLocal == true)
        #expect(changes.pop()?.key == "b")
        #expect(changes.pop() == nil)
        changes.push("a", false)
        #expect(changes.pop()?.isLocal == false)
    }

    @Test func `a reader that is cancelled gets nothing, and one after it all that waited`() async {
        let inbox = Inbox([1, 2])
        let reader = Task { await inbox.next { $0.popLast() } }
        #expect(await reader.value == 2)
        let cancelled = Task {
            withUnsafeCurrentTask { $0?.cancel() }
            return await inbox.next { $0.popLast() }
        }
        #expect(await cancelled.value == nil)
        #expect(await inbox.next { $0.popLast() } == 1)
        inbox.finish()
        #expect(await inbox.next { $0.popLast() } == nil)
    }
}
