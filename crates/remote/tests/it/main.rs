//! What is sent arrives: sender and receiver over real sockets, stores on real disks.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

mod destination;
mod reading_from;
mod receiving;
mod sending;
mod store;
