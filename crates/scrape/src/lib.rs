//! Targets, schedule, fetch, staleness, append.
