//! HTTP API v1, web configuration, and the embedded page.
