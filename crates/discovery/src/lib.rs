//! Providers of target groups: static, file, http.
