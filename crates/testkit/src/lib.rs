//! Fixtures, virtual clock, reference evaluator (for tests only).
