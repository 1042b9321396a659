//! The program as its users meet it: the real binary, its flags, files and signals, over real sockets.
//!
//! With `BINNACLE_TEST_PROMETHEUS=/path/to/prometheus` the tests of what both programs share run against Prometheus
//! instead, which shows that they ask for what it does.

// What a helper of a test cannot do fails the test.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

mod agent;
mod alertmanagers;
mod api;
mod backfill;
mod bad_input;
mod blocks;
mod budget;
mod config_errors;
mod consoles;
mod crash;
mod crowd;
mod drop_in;
mod federate;
mod http;
mod kill;
mod kube_recipes;
mod kubernetes;
mod lifecycle;
mod metrics_page;
mod mixed;
mod otlp;
mod recorded;
mod reload;
mod remote_peers;
mod remote_sent;
mod remote_write;
mod round_trip;
mod rules;
mod scraping;
mod scraping_peer;
mod security;
mod site;
mod stub;
mod ten_thousand;
mod tls;
mod tools;
mod up;
mod web;
