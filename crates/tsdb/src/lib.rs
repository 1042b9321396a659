//! The head, its write-ahead log, mapped head chunks and replay.
