//! Values as Go's `fmt` prints them: `print`, `println`, `printf`.

use std::fmt::Write as _;

use crate::value::Value;

/// `fmt.Sprint`: a space between neighbours of which neither is a string.
pub(crate) fn sprint(values: &[Value]) -> String {
    let mut out = String::new();
    let mut after_string = true;
    for value in values {
        let is_string = value.as_str().is_some();
        if !out.is_empty() && !after_string && !is_string {
            out.push(' ');
        }
        after_string = is_string;
        Directive::default().push_value(&mut out, value, 'v', 0);
    }
    out
}

/// `fmt.Sprintln`
pub(crate) fn sprintln(values: &[Value]) -> String {
    let mut out = String::new();
    for (i, value) in values.iter().enumerate() {
        if i > 0 {
            out.push(' ');
        }
        Directive::default().push_value(&mut out, value, 'v', 0);
    }
    out.push('\n');
    out
}

/// What one value prints as.
pub(crate) fn text(value: &Value) -> String {
    sprint(std::slice::from_ref(value))
}

/// What one value prints as when a pointer is followed.
pub(crate) fn followed(value: &Value) -> String {
    let printed = text(value);
    match value {
        Value::Struct(shape, fields) if shape.pointer && fields.text.is_none() => {
            printed.strip_prefix('&').map_or(printed.clone(), str::to_owned)
        }
        _ => printed,
    }
}

/// Widths and precisions beyond this are refused, as Go does.
const TOO_LARGE: i64 = 1_000_000;

/// `fmt.Sprintf`, with its complaints in the text: `%!d(string=x)`, `%!(EXTRA int=1)`.
pub(crate) fn sprintf(format: &str, values: &[Value]) -> String {
    let mut printer = Printer { out: String::with_capacity(format.len()), values, next: 0, reordered: false };
    let mut rest = format;
    while let Some((before, after)) = rest.split_once('%') {
        printer.out.push_str(before);
        rest = printer.directive(after);
    }
    printer.out.push_str(rest);
    if !printer.reordered && printer.next < values.len() {
        printer.push_extra();
    }
    printer.out
}

struct Printer<'a> {
    out: String,
    values: &'a [Value],
    next: usize,
    /// Whether an index like `[2]` was used; then arguments may be left over.
    reordered: bool,
}

/// Flags, width and precision of one verb.
#[derive(Debug, Clone, Copy, Default)]
struct Directive {
    plus: bool,
    minus: bool,
    sharp: bool,
    space: bool,
    zero: bool,
    names_fields: bool,
    width: Option<usize>,
    precision: Option<usize>,
}

impl<'a> Printer<'a> {
    /// Prints what the directive after a percent sign asks for, and returns what follows it.
    fn directive<'f>(&mut self, format: &'f str) -> &'f str {
        let mut directive = Directive::default();
        let flags = format.len() - format.trim_start_matches(['+', '-', '#', ' ', '0']).len();
        let (set, mut rest) = format.split_at(flags);
        for flag in set.chars() {
            match flag {
                '+' => directive.plus = true,
                '-' => directive.minus = true,
                '#' => directive.sharp = true,
                ' ' => directive.space = true,
                _ => directive.zero = true,
            }
        }
        let mut good_index = true;
        let mut indexed;
        (rest, indexed) = self.index(rest, &mut good_index);
        if let Some(after) = rest.strip_prefix('*') {
            rest = after;
            match self.count() {
                Some(width) => {
                    directive.minus |= width < 0;
                    directive.width = usize::try_from(width.unsigned_abs()).ok();
                }
                None => self.out.push_str("%!(BADWIDTH)"),
            }
            indexed = false;
        } else {
            let (width, after) = number(rest);
            if width.is_some() && indexed {
                good_index = false;
            }
            directive.width = width;
            rest = after;
        }
        if let Some(after) = rest.strip_prefix('.') {
            if indexed {
                good_index = false;
            }
            (rest, indexed) = self.index(after, &mut good_index);
            if let Some(after) = rest.strip_prefix('*') {
                rest = after;
                match self.count().map(usize::try_from) {
                    Some(Ok(precision)) => directive.precision = Some(precision),
                    // A negative precision is none.
                    Some(Err(_)) => {}
                    None => self.out.push_str("%!(BADPREC)"),
                }
                indexed = false;
            } else {
                let (precision, after) = number(rest);
                directive.precision = Some(precision.unwrap_or(0));
                rest = after;
            }
        }
        if !indexed {
            (rest, _) = self.index(rest, &mut good_index);
        }
        let Some(verb) = rest.chars().next() else {
            self.out.push_str("%!(NOVERB)");
            return rest;
        };
        self.verb(directive, verb, good_index);
        rest.get(verb.len_utf8()..).unwrap_or_default()
    }

    fn verb(&mut self, directive: Directive, verb: char, good_index: bool) {
        if verb == '%' {
            return self.out.push('%');
        }
        let value = if good_index { self.values.get(self.next) } else { None };
        match value {
            Some(value) => {
                self.next += 1;
                directive.push_value(&mut self.out, value, verb, 0);
            }
            None => {
                let why = if good_index { "MISSING" } else { "BADINDEX" };
                let _ = write!(self.out, "%!{verb}({why})");
            }
        }
    }

    /// `[n]`: the next argument is the n-th. Whether one was there.
    fn index<'f>(&mut self, format: &'f str, good: &mut bool) -> (&'f str, bool) {
        let Some(inside) = format.strip_prefix('[') else {
            return (format, false);
        };
        self.reordered = true;
        let Some((digits, after)) = inside.split_once(']') else {
            *good = false;
            return (inside, false);
        };
        match digits.parse::<usize>() {
            Ok(n) if n >= 1 && n <= self.values.len() => {
                self.next = n - 1;
                (after, true)
            }
            _ => {
                *good = false;
                (after, false)
            }
        }
    }

    /// An argument for `*`.
    fn count(&mut self) -> Option<i64> {
        let value = self.values.get(self.next)?;
        self.next += 1;
        let number = match value {
            Value::Int(number) => *number,
            Value::Uint(number) => i64::try_from(*number).ok()?,
            _ => return None,
        };
        (number.abs() <= TOO_LARGE).then_some(number)
    }

    fn push_extra(&mut self) {
        self.out.push_str("%!(EXTRA ");
        for (i, value) in self.values.iter().enumerate().skip(self.next) {
            if i > self.next {
                self.out.push_str(", ");
            }
            if value.is_nil() {
                self.out.push_str("<nil>");
            } else {
                let _ = write!(self.out, "{}=", value.type_name());
                Directive::default().push_value(&mut self.out, value, 'v', 0);
            }
        }
        self.out.push(')');
    }
}

/// Decimal digits at the start of `text`, as a number that is not too large.
fn number(text: &str) -> (Option<usize>, &str) {
    let after = text.trim_start_matches(|c: char| c.is_ascii_digit());
    let digits = text.get(..text.len() - after.len()).unwrap_or_default();
    match digits.parse::<i64>() {
        Ok(number) if number <= TOO_LARGE => (usize::try_from(number).ok(), after),
        _ => (None, after),
    }
}

impl Directive {
    fn push_value(self, out: &mut String, value: &Value, verb: char, depth: usize) {
        if verb == 'T' {
            return self.pad(out, if value.is_nil() { "<nil>" } else { value.type_name() });
        }
        let go_syntax = verb == 'v' && self.sharp;
        if verb == 'v' && self.plus && !self.names_fields {
            // Here the flag asks for the names of fields, not for signs.
            return Directive { plus: false, names_fields: true, ..self }.push_value(out, value, verb, depth);
        }
        match value {
            Value::Nil | Value::NilInterface => match verb {
                'v' => self.pad(out, "<nil>"),
                _ if depth > 0 => out.push_str("<nil>"),
                _ => {
                    let _ = write!(out, "%!{verb}(<nil>)");
                }
            },
            Value::Bool(value) if matches!(verb, 't' | 'v') => {
                self.pad(out, if *value { "true" } else { "false" });
            }
            Value::Int(number) => self.push_integer(out, *number < 0, number.unsigned_abs(), verb, value),
            Value::Uint(number) if go_syntax => {
                let _ = write!(out, "{number:#x}");
            }
            Value::Uint(number) => self.push_integer(out, false, *number, verb, value),
            Value::Float(number) => self.push_float(out, *number, verb, value),
            Value::String(text) | Value::Safe(_, text) => self.push_string(out, text, verb, value),
            Value::Named(shape, number) => match verb {
                'v' | 's' if !go_syntax => self.pad(out, &(shape.text)(*number)),
                'q' => self.push_string(out, &(shape.text)(*number), verb, value),
                _ => self.push_integer(out, *number < 0, number.unsigned_abs(), verb, value),
            },
            Value::Time(..) if matches!(verb, 'v' | 's' | 'q' | 'x' | 'X') => {
                self.push_string(out, &crate::time::text(value), verb, value);
            }
            Value::Struct(_, fields)
                if fields.text.is_some() && matches!(verb, 'v' | 's' | 'q' | 'x' | 'X') =>
            {
                self.push_string(out, fields.text.as_deref().unwrap_or_default(), verb, value);
            }
            Value::Struct(shape, fields) => {
                if shape.pointer && depth > 0 {
                    // Go prints the address; what it points to stays as unknown here.
                    return self.pad(out, "0xc000000000");
                }
                self.push_struct(out, shape.name, &fields.fields, verb, depth);
            }
            Value::List(shape, items) => {
                let (open, between, close) = if go_syntax { ("{", ", ", "}") } else { ("[", " ", "]") };
                out.push_str(if go_syntax { shape.name } else { "" });
                out.push_str(open);
                for (i, item) in items.iter().enumerate() {
                    out.push_str(if i > 0 { between } else { "" });
                    self.push_value(out, item, verb, depth + 1);
                }
                out.push_str(close);
            }
            Value::Map(shape, entries) => {
                let (open, between, close) = if go_syntax { ("{", ", ", "}") } else { ("[", " ", "]") };
                out.push_str(if go_syntax { shape.name } else { "map" });
                out.push_str(open);
                for (i, (name, item)) in entries.iter().enumerate() {
                    out.push_str(if i > 0 { between } else { "" });
                    self.push_value(out, &Value::from(name.as_str()), verb, depth + 1);
                    out.push(':');
                    self.push_value(out, item, verb, depth + 1);
                }
                out.push_str(close);
            }
            Value::Bool(_) | Value::Time(..) => self.bad_verb(out, verb, value),
        }
    }

    fn bad_verb(self, out: &mut String, verb: char, value: &Value) {
        let _ = write!(out, "%!{verb}({}=", value.type_name());
        match value {
            Value::Named(shape, number) if !shape.pointer => {
                self.push_value(out, &Value::Int(*number), 'v', 0);
            }
            _ => self.push_value(out, value, 'v', 0),
        }
        out.push(')');
    }

    fn push_struct(self, out: &mut String, name: &str, fields: &[(&str, Value)], verb: char, depth: usize) {
        let go_syntax = verb == 'v' && self.sharp;
        if let Some(pointed) = name.strip_prefix('*') {
            out.push('&');
            out.push_str(if go_syntax { pointed } else { "" });
        } else if go_syntax {
            out.push_str(name);
        }
        out.push('{');
        for (i, (field, value)) in fields.iter().enumerate() {
            out.push_str(match (i, go_syntax) {
                (0, _) => "",
                (_, true) => ", ",
                (_, false) => " ",
            });
            if self.names_fields || go_syntax {
                let _ = write!(out, "{field}:");
            }
            self.push_value(out, value, verb, depth + 1);
        }
        out.push('}');
    }

    fn pad(self, out: &mut String, text: &str) {
        let missing = self.width.unwrap_or(0).saturating_sub(text.chars().count());
        if self.minus {
            out.push_str(text);
            out.extend(std::iter::repeat_n(' ', missing));
        } else {
            out.extend(std::iter::repeat_n(if self.zero { '0' } else { ' ' }, missing));
            out.push_str(text);
        }
    }

    fn push_string(self, out: &mut String, text: &str, verb: char, value: &Value) {
        let cut = match self.precision {
            Some(characters) => text.char_indices().nth(characters).map_or(text, |(at, _)| &text[..at]),
            None => text,
        };
        match verb {
            'v' if self.sharp => self.pad(out, &model::number::quote(cut)),
            'v' | 's' => self.pad(out, cut),
            'q' if self.sharp
                && !cut.contains(['`', '\u{feff}'])
                && !cut.contains(|c: char| c < ' ' && c != '\t') =>
            {
                self.pad(out, &format!("`{cut}`"));
            }
            'q' if self.plus => self.pad(out, &model::number::quote_ascii(cut)),
            'q' => self.pad(out, &model::number::quote(cut)),
            'x' | 'X' => self.pad(out, &self.hexadecimal(text, verb)),
            _ => self.bad_verb(out, verb, value),
        }
    }

    /// Bytes of a text; the precision is how many of them.
    fn hexadecimal(self, text: &str, verb: char) -> String {
        let mut digits = String::new();
        let shown = self.precision.unwrap_or(usize::MAX);
        for (i, byte) in text.bytes().take(shown).enumerate() {
            if self.space && i > 0 {
                digits.push(' ');
            }
            if self.sharp && (self.space || i == 0) {
                digits.push_str(if verb == 'x' { "0x" } else { "0X" });
            }
            let _ = if verb == 'x' { write!(digits, "{byte:02x}") } else { write!(digits, "{byte:02X}") };
        }
        digits
    }

    fn push_integer(self, out: &mut String, negative: bool, magnitude: u64, verb: char, value: &Value) {
        let as_character = || {
            if negative {
                '\u{fffd}'
            } else {
                u32::try_from(magnitude).ok().and_then(char::from_u32).unwrap_or('\u{fffd}')
            }
        };
        let (digits, prefix) = match verb {
            'v' | 'd' => (magnitude.to_string(), ""),
            'b' => (format!("{magnitude:b}"), if self.sharp { "0b" } else { "" }),
            'o' => (format!("{magnitude:o}"), if self.sharp && magnitude != 0 { "0" } else { "" }),
            'O' => (format!("{magnitude:o}"), "0o"),
            'x' => (format!("{magnitude:x}"), if self.sharp { "0x" } else { "" }),
            'X' => (format!("{magnitude:X}"), if self.sharp { "0X" } else { "" }),
            'c' => return self.pad(out, as_character().encode_utf8(&mut [0; 4])),
            'q' => {
                let quoted = model::number::quote(as_character().encode_utf8(&mut [0; 4]));
                let inside = quoted.trim_start_matches('"').trim_end_matches('"');
                let inside = match as_character() {
                    '\'' => "\\'",
                    '"' => "\"",
                    _ => inside,
                };
                return self.pad(out, &format!("'{inside}'"));
            }
            'U' => {
                let mut text = format!("U+{magnitude:04X}");
                if self.sharp && model::number::is_print(as_character()) {
                    let _ = write!(text, " '{}'", as_character());
                }
                return self.pad(out, &text);
            }
            _ => return self.bad_verb(out, verb, value),
        };
        // A zero with precision 0 has no digits.
        let digits = if self.precision == Some(0) && magnitude == 0 { String::new() } else { digits };
        let sign = self.sign(negative);
        let wanted = match (self.precision, self.width) {
            (Some(precision), _) => precision,
            (None, Some(width)) if self.zero && !self.minus => width.saturating_sub(sign.len()),
            _ => 0,
        };
        let zeros = "0".repeat(wanted.saturating_sub(digits.len()));
        Directive { zero: false, ..self }.pad(out, &format!("{sign}{prefix}{zeros}{digits}"));
    }

    fn sign(self, negative: bool) -> &'static str {
        match (negative, self.plus, self.space) {
            (true, ..) => "-",
            (false, true, _) => "+",
            (false, false, true) => " ",
            (false, false, false) => "",
        }
    }

    fn push_float(self, out: &mut String, number: f64, verb: char, value: &Value) {
        let magnitude = number.abs();
        let digits = match verb {
            _ if number.is_nan() => "NaN".into(),
            _ if number.is_infinite() => "Inf".into(),
            'v' => general(magnitude, self.precision),
            'g' | 'G' if self.sharp => {
                with_point(&general(magnitude, self.precision), self.precision.unwrap_or(6))
            }
            'g' | 'G' => general(magnitude, self.precision),
            'e' | 'E' => exponent(magnitude, self.precision.unwrap_or(6)),
            'f' | 'F' => format!("{magnitude:.*}", self.precision.unwrap_or(6)),
            'x' | 'X' if self.precision.is_none() => hexadecimal(magnitude),
            _ => return self.bad_verb(out, verb, value),
        };
        let digits = if matches!(verb, 'E' | 'G' | 'X') { digits.to_uppercase() } else { digits };
        let digits = if number.is_infinite() { "Inf".to_owned() } else { digits };
        let negative = number.is_sign_negative() && !number.is_nan();
        // An infinity always has its sign.
        let sign = if number.is_infinite() && !negative { "+" } else { self.sign(negative) };
        if self.zero && !self.minus && number.is_finite() {
            let zeros = self.width.unwrap_or(0).saturating_sub(sign.len() + digits.len());
            return out.extend([sign, &"0".repeat(zeros), &digits]);
        }
        Directive { zero: false, ..self }.pad(out, &format!("{sign}{digits}"));
    }
}

/// `%g`: the shortest digits that read back the same, or as many as `precision` says.
pub(crate) fn general(number: f64, precision: Option<usize>) -> String {
    let Some(precision) = precision else {
        return model::number::format_g(number);
    };
    if !number.is_finite() {
        return model::number::format_g(number);
    }
    let precision = precision.max(1);
    let scientific = format!("{:.*e}", precision - 1, number.abs());
    let Some((mantissa, power)) = scientific.split_once('e') else {
        return scientific;
    };
    let power: i32 = power.parse().unwrap_or(0);
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    let digits = match digits.trim_end_matches('0') {
        "" => "0",
        digits => digits,
    };
    let sign = if number.is_sign_negative() { "-" } else { "" };
    let count = digits.len() as i32;
    // Whole numbers of few digits do not need an exponent sooner.
    let most = if precision as i32 > count && count > power { count } else { precision as i32 };
    if power < -4 || power >= most {
        let fraction =
            digits.get(1..).filter(|rest| !rest.is_empty()).map_or(String::new(), |rest| format!(".{rest}"));
        let letter = if power < 0 { '-' } else { '+' };
        return format!("{sign}{}{fraction}e{letter}{:02}", &digits[..1], power.abs());
    }
    let decimals = usize::try_from(count - 1 - power).unwrap_or(0);
    // Rounded already: the digits stand for themselves.
    let rounded: f64 = scientific.parse().unwrap_or(number);
    format!("{sign}{rounded:.decimals$}")
}

/// `%#g` keeps a decimal point and trailing zeros up to `digits`.
fn with_point(text: &str, digits: usize) -> String {
    let (mantissa, tail) = match text.find('e') {
        Some(at) => text.split_at(at),
        None => (text, ""),
    };
    let point = if mantissa.contains('.') { "" } else { "." };
    let significant =
        mantissa.trim_start_matches(['0', '.']).chars().filter(char::is_ascii_digit).count().max(1);
    format!("{mantissa}{point}{}{tail}", "0".repeat(digits.saturating_sub(significant)))
}

/// `%e`: an exponent of at least two digits.
fn exponent(number: f64, precision: usize) -> String {
    let text = format!("{number:.precision$e}");
    let Some((mantissa, power)) = text.split_once('e') else {
        return text;
    };
    let power: i32 = power.parse().unwrap_or(0);
    format!("{mantissa}e{}{:02}", if power < 0 { '-' } else { '+' }, power.abs())
}

/// `%x`: the mantissa in hexadecimal digits, a power of two.
fn hexadecimal(number: f64) -> String {
    const MANTISSA_BITS: u32 = 52;
    let bits = number.to_bits();
    let (mut mantissa, mut power) =
        (bits & ((1 << MANTISSA_BITS) - 1), (bits >> MANTISSA_BITS) as i32 - 1023);
    if number == 0.0 {
        return "0x0p+00".into();
    }
    if power == -1023 {
        // Below the smallest normal number the leading digit is not implied.
        let shift = mantissa.leading_zeros() - (u64::BITS - 1 - MANTISSA_BITS);
        mantissa = (mantissa << shift) & ((1 << MANTISSA_BITS) - 1);
        power = -1022 - shift as i32;
    }
    let digits = format!("{mantissa:013x}");
    let digits = digits.trim_end_matches('0');
    let point = if digits.is_empty() { "" } else { "." };
    format!("0x1{point}{digits}p{}{:02}", if power < 0 { '-' } else { '+' }, power.abs())
}
