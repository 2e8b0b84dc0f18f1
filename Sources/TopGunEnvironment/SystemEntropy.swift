/// Randomness from the operating system; fit for secrets and ids.
package struct SystemEntropy: Entropy {
    package init() {}

    package func next() -> UInt64 {
        var generator = SystemRandomNumberGenerator()
        return generator.next()
    }
}
