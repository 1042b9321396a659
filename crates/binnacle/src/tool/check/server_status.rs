//! `check healthy` and `check ready`: what a server says of itself.

use std::process::ExitCode;
use std::time::Duration;

use httpclient::{Bytes, HeaderMap, Method};

use super::arguments::ServerStatusArgs;
use crate::tool::Failure;
use crate::tool::client::{Question, ToolClient};
use crate::tool::failure::tell;

const TIMEOUT: Duration = Duration::from_secs(10);

pub(super) fn run(args: &ServerStatusArgs, path: &str) -> Result<ExitCode, Failure> {
    let client = ToolClient::new(args.config_file.as_deref(), Some(&args.url))?;
    let server = args.url.clone().with_scheme();
    let question = Question {
        method: Method::GET,
        url: &server.join(path),
        headers: &HeaderMap::new(),
        content: Bytes::new(),
        timeout: TIMEOUT,
    };
    let (head, body) = client.ask(&question).map_err(|no| Failure::Told(no.text))?;
    if head.status.as_u16() != 200 {
        let (url, status) = (server.text(), head.status.as_u16());
        return Err(Failure::Told(format!("check failed: URL={url}, status={status}")));
    }
    tell(&format!("  SUCCESS:  {}", String::from_utf8_lossy(&body)));
    Ok(ExitCode::SUCCESS)
}
