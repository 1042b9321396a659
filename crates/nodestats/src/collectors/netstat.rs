//! `netstat`: counters of the network protocols, from `/proc/net/netstat`, `snmp` and `snmp6`.

use exposition::{Family, MetricKind};

use crate::collector::{CollectError, Collector, single};
use crate::filter::FieldFilter;
use crate::options::{Options, OptionsError};
use crate::proc_file::{ProcFile, lines, number, words};

struct Netstat {
    netstat: (ProcFile, FieldFilter),
    snmp: (ProcFile, FieldFilter),
    snmp6: (ProcFile, FieldFilter),
}

pub(super) fn new(options: &Options) -> Result<Box<dyn Collector>, OptionsError> {
    let file = |name| -> Result<_, OptionsError> {
        let filter = FieldFilter::new(&options.netstat_fields, "netstat.fields")?;
        Ok((ProcFile::new(options.procfs.join("net").join(name)), filter))
    };
    Ok(Box::new(Netstat { netstat: file("netstat")?, snmp: file("snmp")?, snmp6: file("snmp6")? }))
}

impl Collector for Netstat {
    fn collect(&mut self, out: &mut Vec<Family>) -> Result<(), CollectError> {
        for (file, fields) in [&mut self.netstat, &mut self.snmp] {
            file.read()?;
            read_pairs_of_lines(file, fields, out)?;
        }
        let (file, fields) = &mut self.snmp6;
        match file.read() {
            Ok(()) => read_lines(file, fields, out),
            Err(error) if error.is_missing_file() => Ok(()), // no IPv6
            Err(error) => Err(error),
        }
    }
}

/// `TcpExt: A B` followed by `TcpExt: 1 2`.
fn read_pairs_of_lines(
    file: &ProcFile,
    fields: &mut FieldFilter,
    out: &mut Vec<Family>,
) -> Result<(), CollectError> {
    let mut place = 0;
    let mut lines = lines(file.text());
    while let Some(names) = lines.next() {
        let mut names = words(names);
        let mut values = words(lines.next().unwrap_or_default()).skip(1);
        let protocol = names.next().and_then(|word| word.strip_suffix(b":"));
        let protocol = protocol.ok_or_else(|| file.malformed("a line without a protocol"))?;
        for name in names {
            let value = values.next().ok_or_else(|| file.malformed("fewer values than names"))?;
            push_wanted(file, fields, place, (protocol, name), value, out)?;
            place += 1;
        }
        if values.next().is_some() {
            return Err(file.malformed("more values than names"));
        }
    }
    Ok(())
}

/// `Ip6InReceives 12`: the protocol ends with the 6. Lines without one are not for us.
fn read_lines(file: &ProcFile, fields: &mut FieldFilter, out: &mut Vec<Family>) -> Result<(), CollectError> {
    for (place, line) in lines(file.text()).enumerate() {
        let mut words = words(line);
        let (field, value) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let end_of_protocol = field.iter().position(|&b| b == b'6').map_or(field.len(), |six| six + 1);
        push_wanted(file, fields, place, field.split_at(end_of_protocol), value, out)?;
    }
    Ok(())
}

fn push_wanted(
    file: &ProcFile,
    fields: &mut FieldFilter,
    place: usize,
    (protocol, name): (&[u8], &[u8]),
    value: &[u8],
    out: &mut Vec<Family>,
) -> Result<(), CollectError> {
    if let Some(field) = fields.wanted(place, protocol, name) {
        let value = number(value).ok_or_else(|| file.malformed("a value that is no number"))?;
        let help = format!("Statistic {}.", field.replacen('_', "", 1));
        out.push(single(format!("node_netstat_{field}"), help, MetricKind::Untyped, value));
    }
    Ok(())
}
