/// Holds what reading costs against what was read.
enum Memory {
    /// What an input of any size may cost: a list's first capacity, a type's metadata.
    private static let allowance = 128 * 1024

    /// Ends the process if what `body` returns takes more than eight times the input. Measured only by the fuzzer, whose
    /// allocator counts.
    static func bounded<Result>(_ count: Int, _ what: StaticString, _ body: () -> Result) -> Result {
        #if FUZZING
        let before = allocatedBytes()
        let result = body()
        let growth = allocatedBytes() - before
        expect(growth <= 8 * count + allowance, "\(what): \(growth) bytes kept of an input of \(count)")
        return result
        #else
        return body()
        #endif
    }
}

#if FUZZING
@_silgen_name("__sanitizer_get_current_allocated_bytes")
private func allocatedBytes() -> Int
#endif
