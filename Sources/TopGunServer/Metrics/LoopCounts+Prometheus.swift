extension LoopCounts {
    /// Every counter with its name in `/metrics` and a sentence for people; the one list that adding and showing use.
    static let table: [(name: String, help: String, field: any WritableKeyPath<Self, Int> & Sendable)] = [
        ("connections_opened", "Client connections whose handshake ended well.", \.connectionsOpened),
        ("connections_closed", "Client connections that are gone.", \.connectionsClosed),
        ("connections_refused", "Connections and handshakes turned away.", \.connectionsRefused),
        ("received_bytes", "Bytes read from client sockets.", \.bytesReceived),
        ("sent_bytes", "Bytes handed to client sockets.", \.bytesSent),
        ("messages_received", "Whole messages from clients.", \.messagesReceived),
        ("messages_sent", "Messages to clients.", \.messagesSent),
        ("protocol_errors", "Connections closed for breaking the WebSocket protocol.", \.protocolErrors),
        ("flushes", "Writes handed to sockets.", \.flushes),
        ("authentications_accepted", "Tokens found good.", \.authenticationsAccepted),
        ("authentications_refused", "Tokens found bad.", \.authenticationsRefused),
        ("frames_refused", "Messages answered with an error as a whole.", \.framesRefused),
        ("reading_paused", "Times a connection was not read for a while.", \.readingPaused),
        ("slow_readers_closed", "Connections closed because they did not read.", \.slowReadersClosed),
        ("events_sent", "Changes told to clients.", \.eventsSent),
        ("events_dropped", "Changes not told to slow clients, which then resync.", \.eventsDropped),
        ("queries_answered", "First answers to queries.", \.queriesAnswered),
        ("merkle_answers", "Answers to synchronisation walks.", \.merkleAnswers),
        ("deltas_sent", "Synchronisations that told what changed instead of a walk.", \.deltasSent),
        ("records_pulled", "Records that only clients had after a restore.", \.recordsPulled),
        ("operations_received", "Operations that clients sent.", \.operationsReceived),
        ("operations_merged", "Operations that changed a record.", \.operationsMerged),
        ("operations_repeated", "Operations that were known already.", \.operationsRepeated),
        ("operations_superseded", "Operations older than what stands.", \.operationsSuperseded),
        ("operations_restamped", "Operations from the future that got the server's stamp.", \.operationsRestamped),
        ("operations_refused", "Operations refused for good.", \.operationsRefused),
        ("operations_busy", "Operations refused for now.", \.operationsBusy),
        ("operations_forwarded", "Operations handed to another event loop.", \.operationsForwarded),
        ("operations_late", "Operations not on disk in the time that their clients gave them.", \.operationsLate),
        ("acknowledgements_sent", "Acknowledgements to clients.", \.acknowledgementsSent),
        ("log_tickets", "Groups of records handed to the log.", \.logTickets),
        ("log_written_bytes", "Bytes handed to the log.", \.logBytes),
        ("records_expired", "Records removed when their time was over.", \.recordsExpired),
        ("partitions_rebuilt", "Partitions torn down and rebuilt.", \.partitionsRebuilt),
        ("partitions_broken", "Partitions whose memory was found broken.", \.partitionsBroken),
        ("merkle_leaves_released", "Maps whose Merkle leaves were found broken and are built anew.", \.leavesReleased),
        ("checkpoints_written", "Checkpoints of partitions.", \.checkpointsWritten),
    ]

    mutating func add(_ other: LoopCounts) {
        for row in Self.table { self[keyPath: row.field] += other[keyPath: row.field] }
    }
}
