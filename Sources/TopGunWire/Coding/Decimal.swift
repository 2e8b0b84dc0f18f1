/// The number that a run of nothing but decimal digits stands for; `nil` if it is none or needs more than 64 bits.
func decimalNumber(_ digits: UnsafeRawBufferPointer) -> UInt64? {
    guard digits.count >= 1, digits.count <= 20 else { return nil }
    var number: UInt64 = 0
    if digits.count < 20 {
        // Nineteen digits always fit.
        for digit in digits {
            let value = digit &- 0x30
            guard value <= 9 else { return nil }
            number = number &* 10 &+ UInt64(value)
        }
        return number
    }
    for digit in digits {
        let value = digit &- 0x30
        guard value <= 9 else { return nil }
        let (product, productOverflow) = number.multipliedReportingOverflow(by: 10)
        let (sum, sumOverflow) = product.addingReportingOverflow(UInt64(value))
        guard !productOverflow, !sumOverflow else { return nil }
        number = sum
    }
    return number
}
