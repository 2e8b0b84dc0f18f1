import TopGunModel

/// The named limits of the protocol's codec.
package enum WireLimits {
    /// Containers inside each other in a frame; a value may use ``ModelLimits/valueDepthMax`` of them. Beyond it the
    /// frame is refused before anything is built (M05).
    package static let frameDepthMax = ModelLimits.valueDepthMax + 8

    /// Names in one map of the protocol; beyond it the frame is refused. Maps whose keys are the user's are not counted.
    package static let fieldsMax = 64

    /// Bytes of a record's key; beyond it the operation is refused as too large (M08).
    package static let keyBytesMax = 4096

    /// Bytes of a map name; beyond it the operation is refused as too large.
    package static let mapNameBytesMax = 256

    /// Bytes of the node id in a stamp; beyond it the stamp is bad.
    package static let nodeBytesMax = 128

    /// Bytes of an OR-Map tag; beyond it the operation is refused as too large.
    package static let tagBytesMax = 256

    /// Bytes that no operation can do with less; a batch that declares more operations than could be there is refused.
    package static let operationBytesMin = 24

    /// Messages in one BATCH (protocol.md 1.5).
    package static let batchMessagesMax = 8192

    /// Texts in a list whose average length is not looked at.
    package static let shortListMax = 1024

    /// The same for lists that lie inside lists.
    package static let shortInnerListMax = 4

    /// What the texts of a longer list take at least on average; so no list of empty texts grows far beyond its frame.
    package static let longListTextBytesMin = 8

    /// Characters of a topic's, lock's or counter's name (protocol.md 7.1).
    package static let topicBytesMax = 256

    /// Components of a query vector.
    package static let vectorComponentsMax = 65_536
}
