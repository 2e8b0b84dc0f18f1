import Foundation
import NIOSSL

/// A certificate for `127.0.0.1` that was made for the test and signs itself.
struct TestCertificate {
    /// In PEM form.
    let certificateText: String
    let keyText: String
    let certificate: NIOSSLCertificate
    private let key: NIOSSLPrivateKey

    static func make() throws -> TestCertificate {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("topgun-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let (keyFile, certificateFile) = (folder.appendingPathComponent("key"), folder.appendingPathComponent("cert"))
        let openssl = Process()
        openssl.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        openssl.arguments = [
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
            "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost",
            "-keyout", keyFile.path, "-out", certificateFile.path,
        ]
        openssl.standardError = FileHandle.nullDevice
        try openssl.run()
        openssl.waitUntilExit()
        return TestCertificate(
            certificateText: try String(contentsOf: certificateFile, encoding: .utf8),
            keyText: try String(contentsOf: keyFile, encoding: .utf8),
            certificate: try NIOSSLCertificate.fromPEMFile(certificateFile.path)[0],
            key: try NIOSSLPrivateKey(file: keyFile.path, format: .pem))
    }

    func serverContext() throws -> NIOSSLContext {
        try NIOSSLContext(
            configuration: .makeServerConfiguration(
                certificateChain: [.certificate(certificate)], privateKey: .privateKey(key)))
    }
}
