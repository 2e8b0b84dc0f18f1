import Configuration
import Foundation
import SystemPackage

/// Where settings come from, the first that has one wins: flags, environment, file.
package struct SettingSources: Sendable {
    /// One place, with the name that people know a setting by there.
    private struct Source: Sendable {
        var provider: any ConfigProvider
        var key: @Sendable (Setting) -> AbsoluteConfigKey
        var name: @Sendable (Setting) -> String
    }

    private var sources: [Source]

    /// Reads the file, if there is one, and stops at the first word that nobody knows.
    package init(
        flags: [Setting: String], environment: [String: String], file: String?
    ) async throws(ServerError) {
        try Self.check(environment)
        // Flags are texts, like variables, and are taken apart the same way.
        let flagValues = Dictionary(uniqueKeysWithValues: flags.map { ($0.key.variable, $0.value) })
        // `TOPGUN_DATA_DIR` to the provider of variables, `data-dir` to that of files.
        let inVariables: @Sendable (Setting) -> AbsoluteConfigKey = { AbsoluteConfigKey(["topgun", $0.rawValue]) }
        sources = [
            Source(
                provider: EnvironmentVariablesProvider(environmentVariables: flagValues), key: inVariables,
                name: { $0.flag }),
            Source(
                provider: EnvironmentVariablesProvider(environmentVariables: environment), key: inVariables,
                name: { $0.variable }),
        ]
        if let file {
            sources.append(
                Source(
                    provider: try await Self.read(file), key: { AbsoluteConfigKey([$0.rawValue]) },
                    name: { "\"\($0.rawValue)\" in \(file)" }))
        }
        for setting in Setting.allCases {
            guard let missing = setting.missing, let name = nameOf(setting) else { continue }
            throw ServerError(.configuration, "\(name) is set, but this version of topgund has no \(missing).")
        }
    }

    private static func check(_ environment: [String: String]) throws(ServerError) {
        let known = Set(Setting.allCases.map(\.variable)).union(Setting.clientVariables).union(
            Setting.upstreamVariables)
        let unknown = environment.keys.filter {
            $0.uppercased().hasPrefix(Setting.variablePrefix) && !known.contains($0.uppercased())
        }
        if let first = unknown.min() {
            throw ServerError(
                .configuration,
                "The environment variable \(first) is no setting of topgund: unset it, or mend its name.")
        }
    }

    private static func read(_ file: String) async throws(ServerError) -> any ConfigProvider {
        let keys: [String]
        do {
            let data = try Data(contentsOf: URL(fileURLWithPath: file))
            guard let object = try JSONSerialization.jsonObject(with: data) as? [String: Any] else {
                throw ServerError(.configuration, "\(file) must hold one JSON object with the settings.")
            }
            keys = object.keys.sorted()
        } catch let error as ServerError {
            throw error
        } catch let error as CocoaError where error.code == .propertyListReadCorrupt {
            throw ServerError(.configuration, "\(file) is not JSON.")
        } catch {
            throw ServerError(.configuration, "Cannot read the configuration file \(file): is it there, and readable?")
        }
        if let unknown = keys.first(where: { Setting(rawValue: $0) == nil }) {
            throw ServerError(.configuration, "\"\(unknown)\" in \(file) is no setting of topgund.")
        }
        do {
            return try await FileProvider<JSONSnapshot>(filePath: FilePath(file))
        } catch {
            throw ServerError(.configuration, "\(file) is not JSON that settings can be read from.")
        }
    }
}

// MARK: - Values

extension SettingSources {
    func text(_ setting: Setting) throws(ServerError) -> String? {
        guard case .string(let value) = try content(setting, .string, "a text") else { return nil }
        return value
    }

    func number(_ setting: Setting, in range: ClosedRange<Int>) throws(ServerError) -> Int? {
        guard case .int(let value) = try content(setting, .int, "a whole number") else { return nil }
        guard range.contains(value) else {
            throw ServerError(
                .configuration,
                "\(nameOf(setting) ?? setting.flag) must be between \(range.lowerBound) and \(range.upperBound).")
        }
        return value
    }

    func yesOrNo(_ setting: Setting) throws(ServerError) -> Bool? {
        guard case .bool(let value) = try content(setting, .bool, "true or false") else { return nil }
        return value
    }

    func list(_ setting: Setting) throws(ServerError) -> [String]? {
        guard case .stringArray(let value) = try content(setting, .stringArray, "a list") else { return nil }
        return value.map { $0.trimmingCharacters(in: .whitespaces) }.filter { !$0.isEmpty }
    }

    /// How the source that decides calls the setting; `nil` if none has it.
    func nameOf(_ setting: Setting) -> String? {
        sources.first { has($0, setting) }.map { $0.name(setting) }
    }

    private func has(_ source: Source, _ setting: Setting) -> Bool {
        do {
            return try source.provider.value(forKey: source.key(setting), type: Self.type(setting)).value != nil
        } catch {
            // There, and of the wrong type.
            return true
        }
    }

    private func content(
        _ setting: Setting, _ type: ConfigType, _ kind: String
    ) throws(ServerError) -> ConfigContent? {
        for source in sources {
            do {
                if let value = try source.provider.value(forKey: source.key(setting), type: type).value {
                    return value.content
                }
            } catch {
                throw ServerError(.configuration, "\(source.name(setting)) must be \(kind).")
            }
        }
        return nil
    }

    private static func type(_ setting: Setting) -> ConfigType {
        switch setting.kind {
        case .text: .string
        case .number: .int
        case .yesOrNo: .bool
        case .list: .stringArray
        }
    }
}
