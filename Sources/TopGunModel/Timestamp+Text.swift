// The text form of a stamp, `millis:counter:node`, which is also what an OR-Map tag looks like by habit.

extension Timestamp {
    /// `millis:counter:node`, decimal without padding.
    package var text: ByteString {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(node.count + 26)
        bytes.append(decimal: millis)
        bytes.append(UInt8(ascii: ":"))
        bytes.append(decimal: Int64(counter))
        bytes.append(UInt8(ascii: ":"))
        bytes.append(contentsOf: node.bytes)
        return ByteString(bytes)
    }

    /// Reads the text form; `nil` unless it has exactly three parts and both numbers are decimal and in range.
    package init?(text: ByteString) {
        let parts = text.bytes.split(separator: UInt8(ascii: ":"), omittingEmptySubsequences: false)
        guard parts.count == 3, let millis = Int64(decimal: parts[0]), millis <= ModelLimits.millisMax,
            let counter = Int64(decimal: parts[1]), counter <= Int64(UInt32.max)
        else { return nil }
        self.init(millis: millis, counter: UInt32(truncatingIfNeeded: counter), node: ByteString(Array(parts[2])))
    }
}

extension [UInt8] {
    /// Appends the decimal digits of a number.
    package mutating func append(decimal number: Int64) {
        if number < 0 { append(UInt8(ascii: "-")) }
        append(decimal: number.magnitude)
    }

    package mutating func append(decimal number: UInt64) {
        let start = count
        var magnitude = number
        repeat {
            append(UInt8(ascii: "0") + UInt8(truncatingIfNeeded: magnitude % 10))
            magnitude /= 10
        } while magnitude > 0
        self[start...].reverse()
    }
}

extension Int64 {
    /// The number that a run of nothing but decimal digits stands for.
    fileprivate init?(decimal digits: ArraySlice<UInt8>) {
        guard !digits.isEmpty else { return nil }
        var number: Int64 = 0
        for digit in digits {
            guard digit >= UInt8(ascii: "0"), digit <= UInt8(ascii: "9") else { return nil }
            let (product, productOverflow) = number.multipliedReportingOverflow(by: 10)
            let (sum, sumOverflow) = product.addingReportingOverflow(Int64(digit - UInt8(ascii: "0")))
            guard !productOverflow, !sumOverflow else { return nil }
            number = sum
        }
        self = number
    }
}
