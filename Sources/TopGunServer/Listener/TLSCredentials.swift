import NIOSSL
import Synchronization

/// The certificate and the key that the listener shows to clients, as read last.
///
/// Whoever connects gets what was read last; connections that are there keep what they have. TLS 1.2 is the least that is
/// spoken.
package final class TLSCredentials: Sendable {
    private let files: TLSFiles
    private let current: Mutex<NIOSSLContext>

    package init(_ files: TLSFiles) throws(ServerError) {
        self.files = files
        current = Mutex(try Self.load(files))
    }

    /// Reads both files again. On an error the old ones stay.
    package func reload() throws(ServerError) {
        let fresh = try Self.load(files)
        current.withLock { $0 = fresh }
    }

    var context: NIOSSLContext { current.withLock { $0 } }

    private static func load(_ files: TLSFiles) throws(ServerError) -> NIOSSLContext {
        let chain: [NIOSSLCertificate]
        do {
            chain = try NIOSSLCertificate.fromPEMFile(files.certificate)
        } catch {
            throw refusal("The file \(files.certificate) of --tls-cert holds no readable certificates in PEM form.")
        }
        guard !chain.isEmpty else {
            throw refusal("The file \(files.certificate) of --tls-cert holds no certificate.")
        }
        let key: NIOSSLPrivateKey
        do {
            key = try NIOSSLPrivateKey(file: files.key, format: .pem)
        } catch {
            throw refusal("The file \(files.key) of --tls-key holds no readable private key in PEM form.")
        }
        var configuration = TLSConfiguration.makeServerConfiguration(
            certificateChain: chain.map { .certificate($0) }, privateKey: .privateKey(key))
        configuration.minimumTLSVersion = .tlsv12
        do {
            return try NIOSSLContext(configuration: configuration)
        } catch {
            throw refusal(
                "The key of --tls-key (\(files.key)) does not belong to the first certificate of --tls-cert (\(files.certificate)): give the two that were made together, the server's certificate before those of its authorities."
            )
        }
    }

    private static func refusal(_ message: String) -> ServerError {
        ServerError(.configuration, message)
    }
}
