//! Counters of network devices by rtnetlink: one request for all devices, where sysfs would take two dozen files for each.
//!
//! The layouts (`nlmsghdr`, `ifinfomsg`, `rtattr`, `rtnl_link_stats64`) are those of Linux' `uapi` headers, in the machine's byte order.

use std::io;
use std::time::Duration;

use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, bind, netlink, recv, sendto, socket_with,
    sockopt,
};

const RTM_NEWLINK: u16 = 16;
const RTM_GETLINK: u16 = 18;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLM_F_REQUEST_DUMP: u16 = 0x301;
const IFLA_IFNAME: u16 = 3;
const IFLA_STATS: u16 = 7;
const IFLA_STATS64: u16 = 23;

const HEADER: usize = 16;
const IFINFOMSG: usize = 16;

/// The kernel fills at most 32 KiB for a reader with a large buffer.
const BUFFER: usize = 64 << 10;

/// More than a dump of thousands of devices takes; a bound all the same.
const MOST_MESSAGES: usize = 100_000;

/// The counters of a device: `rtnl_link_stats64` up to and with `rx_nohandler`, in its order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct LinkCounters([u64; 24]);

/// The counters that are read, by their places in `rtnl_link_stats64`.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Counter {
    RxPackets = 0,
    TxPackets = 1,
    RxBytes = 2,
    TxBytes = 3,
    RxErrors = 4,
    TxErrors = 5,
    RxDropped = 6,
    TxDropped = 7,
    Multicast = 8,
    Collisions = 9,
    RxLengthErrors = 10,
    RxOverErrors = 11,
    RxCrcErrors = 12,
    RxFrameErrors = 13,
    RxFifoErrors = 14,
    RxMissedErrors = 15,
    TxAbortedErrors = 16,
    TxCarrierErrors = 17,
    TxFifoErrors = 18,
    TxHeartbeatErrors = 19,
    TxWindowErrors = 20,
    RxCompressed = 21,
    TxCompressed = 22,
    RxNoHandler = 23,
}

impl LinkCounters {
    pub(crate) fn get(&self, counter: Counter) -> u64 {
        self.0[counter as usize]
    }

    /// From an attribute's bytes, words of `width` bytes each; counters that an older kernel does not have stay 0.
    fn from_bytes(bytes: &[u8], width: usize) -> Self {
        let mut counters = LinkCounters::default();
        for (counter, word) in counters.0.iter_mut().zip(bytes.chunks_exact(width)) {
            *counter = match *word {
                [a, b, c, d] => u64::from(u32::from_ne_bytes([a, b, c, d])),
                [a, b, c, d, e, f, g, h] => u64::from_ne_bytes([a, b, c, d, e, f, g, h]),
                _ => 0,
            };
        }
        counters
    }
}

/// Asks the kernel for every device of this network namespace and calls `device` for each.
///
/// # Errors
/// When the kernel refuses, does not answer within a second, or answers with something else.
pub(crate) fn for_each_device(mut device: impl FnMut(&[u8], LinkCounters)) -> io::Result<()> {
    let route = None; // NETLINK_ROUTE is protocol 0, the default
    let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, route)?;
    sockopt::set_socket_timeout(&socket, sockopt::Timeout::Recv, Some(Duration::from_secs(1)))?;
    let kernel = netlink::SocketAddrNetlink::new(0, 0);
    bind(&socket, &kernel)?;
    sendto(&socket, &dump_request(), SendFlags::empty(), &kernel)?;

    let mut buffer = vec![0; BUFFER];
    let mut messages = 0;
    loop {
        let (_, len) = recv(&socket, &mut buffer[..], RecvFlags::TRUNC)?;
        let datagram = buffer.get(..len).ok_or_else(|| invalid("longer than the buffer"))?;
        if read_datagram(datagram, &mut device)? {
            return Ok(());
        }
        messages += 1;
        if messages > MOST_MESSAGES {
            return Err(invalid("no end of devices"));
        }
    }
}

fn dump_request() -> [u8; HEADER + IFINFOMSG] {
    let mut request = [0; HEADER + IFINFOMSG];
    request[0..4].copy_from_slice(&((HEADER + IFINFOMSG) as u32).to_ne_bytes());
    request[4..6].copy_from_slice(&RTM_GETLINK.to_ne_bytes());
    request[6..8].copy_from_slice(&NLM_F_REQUEST_DUMP.to_ne_bytes());
    request[8..12].copy_from_slice(&1u32.to_ne_bytes());
    request
}

/// Walks the messages of one datagram; whether it held the end of the dump.
fn read_datagram(mut rest: &[u8], device: &mut impl FnMut(&[u8], LinkCounters)) -> io::Result<bool> {
    while !rest.is_empty() {
        let len = u32_at(rest, 0).ok_or_else(|| invalid("cut in a header"))? as usize;
        let kind = u16_at(rest, 4).ok_or_else(|| invalid("cut in a header"))?;
        let body = rest.get(HEADER..len).ok_or_else(|| invalid("cut in a message"))?;
        match kind {
            NLMSG_DONE => return Ok(true),
            NLMSG_ERROR => {
                let errno = u32_at(body, 0).unwrap_or_default() as i32;
                return Err(io::Error::from_raw_os_error(errno.wrapping_neg()));
            }
            RTM_NEWLINK => read_link(body, device),
            _ => {}
        }
        rest = rest.get(aligned(len)..).unwrap_or_default();
    }
    Ok(false)
}

/// One device; it is passed over if it has no name or no counters.
fn read_link(body: &[u8], device: &mut impl FnMut(&[u8], LinkCounters)) {
    let mut rest = body.get(IFINFOMSG..).unwrap_or_default();
    let (mut name, mut stats, mut stats64) = (None, None, None);
    while let (Some(len), Some(kind)) = (u16_at(rest, 0), u16_at(rest, 2)) {
        let Some(value) = rest.get(4..len.into()) else { break };
        match kind {
            IFLA_IFNAME => name = Some(value.split(|&b| b == 0).next().unwrap_or_default()),
            IFLA_STATS => stats = Some(LinkCounters::from_bytes(value, 4)),
            IFLA_STATS64 => stats64 = Some(LinkCounters::from_bytes(value, 8)),
            _ => {}
        }
        rest = rest.get(aligned(len.into())..).unwrap_or_default();
    }
    if let (Some(name), Some(counters)) = (name, stats64.or(stats)) {
        device(name, counters);
    }
}

fn aligned(len: usize) -> usize {
    len.next_multiple_of(4)
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn invalid(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
        let mut bytes = ((value.len() + 4) as u16).to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(value);
        bytes.resize(aligned(bytes.len()), 0);
        bytes
    }

    fn message(kind: u16, body: &[u8]) -> Vec<u8> {
        let mut bytes = ((HEADER + body.len()) as u32).to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.extend([0; 10]);
        bytes.extend(body);
        bytes.resize(aligned(bytes.len()), 0);
        bytes
    }

    fn read(datagram: &[u8]) -> (Vec<(String, u64, u64)>, io::Result<bool>) {
        let mut found = Vec::new();
        let end = read_datagram(datagram, &mut |name: &[u8], counters: LinkCounters| {
            let name = String::from_utf8_lossy(name).into_owned();
            found.push((name, counters.get(Counter::RxPackets), counters.get(Counter::RxNoHandler)));
        });
        (found, end)
    }

    #[test]
    fn devices_of_a_dump_are_read_with_wide_counters_before_narrow_ones() {
        let wide: Vec<u8> = (1..=25u64).flat_map(u64::to_ne_bytes).collect();
        let narrow: Vec<u8> = (101..=123u32).flat_map(u32::to_ne_bytes).collect();
        let link = |attributes: &[Vec<u8>]| {
            message(RTM_NEWLINK, &[vec![0; IFINFOMSG], attributes.concat()].concat())
        };
        let datagram = [
            link(&[
                attribute(IFLA_IFNAME, b"lo\0"),
                attribute(IFLA_STATS, &narrow),
                attribute(IFLA_STATS64, &wide),
            ]),
            link(&[attribute(99, b"x"), attribute(IFLA_IFNAME, b"eth0\0"), attribute(IFLA_STATS, &narrow)]),
            link(&[attribute(IFLA_IFNAME, b"bare\0")]),
            message(NLMSG_DONE, &[0; 4]),
        ]
        .concat();
        let (found, end) = read(&datagram);
        assert_eq!(found, [("lo".to_owned(), 1, 24), ("eth0".to_owned(), 101, 0)]);
        assert!(end.unwrap());
    }

    #[test]
    fn the_kernels_refusal_is_an_error() {
        let (_, end) = read(&message(NLMSG_ERROR, &(-1i32).to_ne_bytes()));
        assert_eq!(end.unwrap_err().raw_os_error(), Some(1));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(datagram in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&datagram);
        }
    }
}
