//! SOCKS 5 (RFC 1928) with user names (RFC 1929): asking a proxy for a TCP connection. Names are looked up by the proxy.

use std::net::IpAddr;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::error::io_text;

const VERSION: u8 = 5;
const NO_AUTHENTICATION: u8 = 0;
const USER_AND_PASSWORD: u8 = 2;
const NO_ACCEPTABLE_METHOD: u8 = 0xff;
const USER_VERSION: u8 = 1;
const CONNECT: u8 = 1;
const IPV4: u8 = 1;
const NAME: u8 = 3;
const IPV6: u8 = 4;

/// Has the proxy at the other end of `stream` connect to `host` and `port`.
///
/// # Errors
/// Go's sentences.
pub(crate) async fn connect<S>(
    stream: &mut S,
    host: &str,
    port: u16,
    user: Option<(&str, &str)>,
) -> Result<(), String>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let greeting: &[u8] = match user {
        None => &[VERSION, 1, NO_AUTHENTICATION],
        Some(_) => &[VERSION, 2, NO_AUTHENTICATION, USER_AND_PASSWORD],
    };
    send(stream, greeting).await?;
    let [version, method] = receive(stream).await?;
    check_version(version)?;
    match (method, user) {
        (NO_AUTHENTICATION, _) => {}
        (USER_AND_PASSWORD, Some((user, password))) => authenticate(stream, user, password).await?,
        (NO_ACCEPTABLE_METHOD, _) => return Err("no acceptable authentication methods".to_owned()),
        (other, _) => return Err(format!("unsupported authentication method {other}")),
    }
    let mut request = vec![VERSION, CONNECT, 0];
    match host.parse::<IpAddr>() {
        Ok(IpAddr::V4(v4)) => {
            request.push(IPV4);
            request.extend(v4.octets());
        }
        Ok(IpAddr::V6(v6)) => {
            request.push(IPV6);
            request.extend(v6.octets());
        }
        Err(_) => {
            let length = u8::try_from(host.len()).map_err(|_| "FQDN too long".to_owned())?;
            request.extend([NAME, length]);
            request.extend(host.as_bytes());
        }
    }
    request.extend(port.to_be_bytes());
    send(stream, &request).await?;
    let [version, reply, reserved, kind] = receive(stream).await?;
    check_version(version)?;
    if reply != 0 {
        return Err(format!("unknown error {}", reason(reply)));
    }
    if reserved != 0 {
        return Err("non-zero reserved field".to_owned());
    }
    let address = match kind {
        IPV4 => 4,
        IPV6 => 16,
        NAME => {
            let [length] = receive(stream).await?;
            usize::from(length)
        }
        other => return Err(format!("unknown address type {other}")),
    };
    // The address and port that the proxy uses are of no interest.
    let mut bound = vec![0; address + 2];
    stream.read_exact(&mut bound).await.map_err(|err| io_text(&err))?;
    Ok(())
}

async fn authenticate<S>(stream: &mut S, user: &str, password: &str) -> Result<(), String>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let length = |text: &str| u8::try_from(text.len()).map_err(|_| "invalid username/password".to_owned());
    let mut request = vec![USER_VERSION, length(user)?];
    request.extend(user.as_bytes());
    request.push(length(password)?);
    request.extend(password.as_bytes());
    send(stream, &request).await?;
    match receive(stream).await? {
        [USER_VERSION, 0] => Ok(()),
        [USER_VERSION, _] => Err("username/password authentication failed".to_owned()),
        _ => Err("invalid username/password version".to_owned()),
    }
}

fn check_version(version: u8) -> Result<(), String> {
    if version == VERSION { Ok(()) } else { Err(format!("unexpected protocol version {version}")) }
}

fn reason(reply: u8) -> String {
    let known = [
        "general SOCKS server failure",
        "connection not allowed by ruleset",
        "network unreachable",
        "host unreachable",
        "connection refused",
        "TTL expired",
        "command not supported",
        "address type not supported",
    ];
    let at = usize::from(reply).wrapping_sub(1);
    known.get(at).map_or_else(|| format!("unknown code: {reply}"), |&reason| reason.to_owned())
}

async fn send<S: AsyncWrite + Unpin>(stream: &mut S, bytes: &[u8]) -> Result<(), String> {
    stream.write_all(bytes).await.map_err(|err| io_text(&err))?;
    stream.flush().await.map_err(|err| io_text(&err))
}

async fn receive<S: AsyncRead + Unpin, const N: usize>(stream: &mut S) -> Result<[u8; N], String> {
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes).await.map_err(|err| io_text(&err))?;
    Ok(bytes)
}
