//! The one outbound HTTP client: TLS, authentication, limits.
