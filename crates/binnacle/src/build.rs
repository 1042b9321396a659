//! What this build is.

/// Version of binnacle.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The processor, by the name that Go has for it.
pub(crate) fn go_arch() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        "powerpc64" => "ppc64le",
        other => other,
    }
}

/// What `build_info` metrics and endpoints say.
pub(crate) fn info() -> api::BuildInfo {
    api::BuildInfo {
        version: VERSION.to_owned(),
        revision: option_env!("BINNACLE_REVISION").unwrap_or("").to_owned(),
        branch: option_env!("BINNACLE_BRANCH").unwrap_or("").to_owned(),
        compiler: concat!("rust", env!("CARGO_PKG_RUST_VERSION")).to_owned(),
    }
}
