import Foundation

/// The program that `Fuzz/run.sh` builds and runs.
///
/// ```
/// topgun-fuzz list                    the names of the targets
/// topgun-fuzz prepare TARGET FOLDER   writes seeds into FOLDER/seeds and words into FOLDER/words
/// topgun-fuzz run TARGET …            hands the rest of the arguments to libFuzzer
/// ```
@main
enum Fuzzer {
    static func main() throws {
        let arguments = CommandLine.arguments
        switch arguments.dropFirst().first {
        case "list":
            for target in FuzzTarget.all { print(target.name) }
        case "prepare" where arguments.count == 4:
            try prepare(target, in: URL(fileURLWithPath: arguments[3], isDirectory: true))
        case "run" where arguments.count > 2:
            run()
        default:
            fatalError("usage: topgun-fuzz list | prepare TARGET FOLDER | run TARGET [libFuzzer options]")
        }
    }

    private static func prepare(_ target: FuzzTarget, in folder: URL) throws {
        let seeds = folder.appendingPathComponent("seeds", isDirectory: true)
        try FileManager.default.createDirectory(at: seeds, withIntermediateDirectories: true)
        for (index, seed) in try target.seeds().enumerated() where seed.count <= target.lengthMax {
            try Data(seed).write(to: seeds.appendingPathComponent("seed-\(index)"))
        }
        let words = target.words.map { word in
            "\"" + word.map { "\\x" + String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined() + "\"\n"
        }
        try Data(words.joined().utf8).write(to: folder.appendingPathComponent("words"))
    }

    private static func run() {
        // libFuzzer takes the name of the target for the name of the program.
        var count = CommandLine.argc - 2
        var rest: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?> = CommandLine.unsafeArgv + 2
        var length = Array("-max_len=\(target.lengthMax)".utf8CString)
        length.withUnsafeMutableBufferPointer { length in
            var all = (0..<Int(count)).map { rest[$0] }
            all.insert(length.baseAddress, at: 1)
            all.append(nil)
            all.withUnsafeMutableBufferPointer { all in
                guard let base = all.baseAddress else { return }
                rest = base
                count += 1
                exit(
                    runLibFuzzer(&count, &rest) { start, count in
                        target.body(UnsafeRawBufferPointer(start: start, count: count))
                        return 0
                    })
            }
        }
    }
}

/// What the process was started for; a callback of C cannot be told.
private let target: FuzzTarget = {
    let name = CommandLine.arguments.count > 2 ? CommandLine.arguments[2] : ""
    guard let target = FuzzTarget.named(name) else { fatalError("no target \(name)") }
    return target
}()

@_silgen_name("LLVMFuzzerRunDriver")
private func runLibFuzzer(
    _ count: UnsafeMutablePointer<CInt>,
    _ arguments: UnsafeMutablePointer<UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>>,
    _ body: @convention(c) (UnsafePointer<UInt8>?, Int) -> CInt
) -> CInt
