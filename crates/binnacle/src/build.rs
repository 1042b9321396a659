//! What this build is.

/// Version of binnacle.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What `build_info` metrics and endpoints say.
pub(crate) fn info() -> api::BuildInfo {
    api::BuildInfo {
        version: VERSION.to_owned(),
        revision: option_env!("BINNACLE_REVISION").unwrap_or("").to_owned(),
        branch: option_env!("BINNACLE_BRANCH").unwrap_or("").to_owned(),
        compiler: concat!("rust", env!("CARGO_PKG_RUST_VERSION")).to_owned(),
    }
}
