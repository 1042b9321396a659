//! `--http.config.file`: how a tool reaches a server.

use std::path::Path;

use httpclient::ClientOptions;

use crate::decode::{Issues, Keys, decode_section};
use crate::error::of_reading;
use crate::sections::HttpClient;
use crate::yaml::{parse, text};

/// Reads a file with the keys of an HTTP client. Redirects are followed whatever it says, as promtool does.
///
/// # Errors
/// In promtool's words.
pub fn read_http_client(path: &str) -> Result<ClientOptions, String> {
    let content = std::fs::read(path).map_err(|err| of_reading(path, &err))?;
    let text = text(&content).map_err(|err| err.message)?;
    let mut client = HttpClient::default();
    if let Some(root) = parse(&text).map_err(|err| err.message)?.filter(|root| !root.is_null()) {
        let mut issues = Issues::default();
        let read = decode_section::<HttpClient>(&root, &mut issues).map_err(|stop| stop.line)?;
        if let Some((line, _)) = issues.finish() {
            return Err(line);
        }
        client = read.unwrap_or_default();
    }
    Keys::set_directories(&mut client, Path::new(path).parent().unwrap_or(Path::new("")));
    Ok(ClientOptions { follow_redirects: true, ..client.to_options() })
}
