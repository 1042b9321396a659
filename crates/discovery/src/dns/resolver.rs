//! Asks the servers of `resolv.conf` for the records of a name: search domains, one server after the other, UDP and
//! for long answers TCP.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

use super::message::{self, Answer, DnsRecordType, Record, UDP_SIZE};

/// How long a server may take.
const PATIENCE: Duration = Duration::from_secs(2);
const SUCCESS: u16 = 0;
const NO_SUCH_NAME: u16 = 3;

/// What `resolv.conf` says.
#[derive(Debug, PartialEq, Eq)]
struct Resolv {
    servers: Vec<String>,
    search: Vec<String>,
    /// A name with as many dots is tried as it is first.
    ndots: usize,
}

impl Resolv {
    fn parse(text: &str) -> Self {
        let mut resolv = Resolv { servers: Vec::new(), search: Vec::new(), ndots: 1 };
        for line in text.lines() {
            let mut words = line.split_whitespace();
            match words.next() {
                Some("nameserver") => resolv.servers.extend(words.next().map(str::to_owned)),
                Some("domain") => resolv.search = words.next().map(str::to_owned).into_iter().collect(),
                Some("search") => resolv.search = words.map(str::to_owned).collect(),
                Some("options") => {
                    for number in words.filter_map(|word| word.strip_prefix("ndots:")) {
                        resolv.ndots = number.parse::<i64>().unwrap_or_default().clamp(0, 15) as usize;
                    }
                }
                _ => {}
            }
        }
        resolv
    }

    /// The names that `name` may stand for, in the order in which they are tried; each ends with a dot.
    fn candidates(&self, name: &str) -> Vec<String> {
        if name.ends_with('.') {
            return vec![name.to_owned()];
        }
        let absolute = format!("{name}.");
        let searched = self.search.iter().map(|domain| {
            let dot = if domain.ends_with('.') { "" } else { "." };
            format!("{absolute}{domain}{dot}")
        });
        if name.matches('.').count() >= self.ndots {
            std::iter::once(absolute.clone()).chain(searched).collect()
        } else {
            searched.chain([absolute.clone()]).collect()
        }
    }
}

/// The records of the first candidate that exists; none if all servers agree that none does.
pub(super) async fn look_up(
    name: &str,
    kind: DnsRecordType,
    resolv_conf: &Path,
    port: u16,
) -> Result<Vec<Record>, String> {
    let text = tokio::fs::read(resolv_conf)
        .await
        .map_err(|err| format!("could not load {}: {err}", resolv_conf.display()))?;
    let resolv = Resolv::parse(&String::from_utf8_lossy(&text));
    let mut all_answered = true;
    for candidate in resolv.candidates(name) {
        match ask_servers(&candidate, kind, &resolv.servers, port).await {
            Some(answer) if answer.code == SUCCESS => return Ok(answer.records),
            Some(_) => {}
            None => all_answered = false,
        }
    }
    if all_answered {
        return Ok(Vec::new());
    }
    Err(format!(
        "could not resolve {}: all servers responded with errors to at least one search domain",
        model::number::quote(name)
    ))
}

/// The answer of the first server that knows whether the name exists.
async fn ask_servers(name: &str, kind: DnsRecordType, servers: &[String], port: u16) -> Option<Answer> {
    for server in servers {
        match ask(name, kind, server, port).await {
            Ok(answer) if matches!(answer.code, SUCCESS | NO_SUCH_NAME) => return Some(answer),
            Ok(_) => {}
            Err(err) => {
                tracing::warn!(component = "discovery manager", discovery = "dns", server, name, %err, "DNS resolution failed");
            }
        }
    }
    None
}

async fn ask(name: &str, kind: DnsRecordType, server: &str, port: u16) -> Result<Answer, String> {
    let io = |err: std::io::Error| err.to_string();
    let id = random();
    let question = message::question(id, name, kind, true).map_err(|err| err.to_string())?;
    let answer = timeout(PATIENCE, over_udp(id, &question, server, port)).await;
    let answer = answer.map_err(|_| "i/o timeout".to_owned())?.map_err(io)?;
    let answer = message::answer(&answer).map_err(|err| err.to_string())?;
    if !answer.truncated {
        return Ok(answer);
    }
    let question = message::question(id, name, kind, false).map_err(|err| err.to_string())?;
    let answer = timeout(PATIENCE, over_tcp(&question, server, port)).await;
    let answer = answer.map_err(|_| "i/o timeout".to_owned())?.map_err(io)?;
    let answer = message::answer(&answer).map_err(|err| err.to_string())?;
    if answer.id != id {
        return Err("the answer is to another question".to_owned());
    }
    if answer.truncated {
        return Err("got truncated message on TCP (64kiB limit exceeded?)".to_owned());
    }
    Ok(answer)
}

/// The first datagram that answers the question.
async fn over_udp(id: u16, question: &[u8], server: &str, port: u16) -> std::io::Result<Vec<u8>> {
    let address = tokio::net::lookup_host((server, port)).await?.next();
    let address = address.ok_or(std::io::ErrorKind::AddrNotAvailable)?;
    let socket = UdpSocket::bind(if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" }).await?;
    socket.connect(address).await?;
    socket.send(question).await?;
    let mut buffer = vec![0; usize::from(UDP_SIZE)];
    loop {
        let length = socket.recv(&mut buffer).await?;
        if buffer.get(..2) == Some(id.to_be_bytes().as_slice()) {
            buffer.truncate(length);
            return Ok(buffer);
        }
    }
}

async fn over_tcp(question: &[u8], server: &str, port: u16) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect((server, port)).await?;
    let mut framed = (question.len() as u16).to_be_bytes().to_vec();
    framed.extend(question);
    stream.write_all(&framed).await?;
    let mut answer = vec![0; usize::from(stream.read_u16().await?)];
    stream.read_exact(&mut answer).await?;
    Ok(answer)
}

/// Nobody who does not see the question can guess it.
fn random() -> u16 {
    RandomState::new().build_hasher().finish() as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_searched_as_resolv_conf_says() {
        let resolv = Resolv::parse(
            "# comment\nnameserver 10.0.0.1\nnameserver ::1 ignored\ndomain old\nsearch ns.svc.local svc.local.\noptions ndots:2 timeout:1\n",
        );
        assert_eq!(resolv.servers, ["10.0.0.1", "::1"]);
        let cases: [(&str, &[&str]); 4] = [
            ("a", &["a.ns.svc.local.", "a.svc.local.", "a."]),
            ("a.b", &["a.b.ns.svc.local.", "a.b.svc.local.", "a.b."]),
            ("a.b.c", &["a.b.c.", "a.b.c.ns.svc.local.", "a.b.c.svc.local."]),
            ("a.", &["a."]),
        ];
        for (name, want) in cases {
            assert_eq!(resolv.candidates(name), want);
        }
        let empty = Resolv::parse("options ndots:-4\n");
        assert_eq!((empty.ndots, empty.candidates("x")), (0, vec!["x.".to_owned()]));
    }
}
