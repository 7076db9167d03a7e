//! How values are written. An `Err` is the rest of the sentence `invalid value "…" for flag --x: `.

use orlop::container::PageServer;
use std::time::Duration;

/// A number of decimal digits only: no sign, no space.
pub(super) fn decimal(text: &str) -> Option<u32> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

/// A number that may be negative.
pub(super) fn signed(text: &str) -> Result<i64, String> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let valid = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    valid.then(|| text.parse().ok()).flatten().ok_or_else(|| "must be a whole number".into())
}

/// A number of decimal digits only, of 64 bits.
pub(super) fn unsigned(text: &str) -> Result<u64, String> {
    let valid = text.bytes().all(|b| b.is_ascii_digit());
    valid.then(|| text.parse().ok()).flatten().ok_or_else(|| "must be a whole number from 0".into())
}

/// A size such as `50M`: a number, which may have a fraction, and a power of 1024. `-1` is unlimited.
pub(super) fn size(text: &str) -> Result<i64, String> {
    const MISTAKE: &str = "must be a number of bytes such as 1048576 or 50M, or -1 for no limit";
    if text == "-1" {
        return Ok(-1);
    }
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit = unit.trim_start().to_ascii_lowercase();
    let unit = unit.strip_suffix("ib").or(unit.strip_suffix('b')).unwrap_or(&unit);
    let power = match unit {
        "" => 0,
        "k" => 1,
        "m" => 2,
        "g" => 3,
        "t" => 4,
        "p" => 5,
        _ => return Err(MISTAKE.into()),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() || fraction.len() > 9 || (number.contains('.') && fraction.is_empty()) {
        return Err(MISTAKE.into());
    }
    let scale = 1_i128 << (10 * power);
    let whole: i128 = whole.parse().map_err(|_| MISTAKE)?;
    let part: i128 = if fraction.is_empty() { 0 } else { fraction.parse().map_err(|_| MISTAKE)? };
    let bytes = whole.checked_mul(scale).map(|w| w + part * scale / 10_i128.pow(fraction.len() as u32));
    bytes.and_then(|b| i64::try_from(b).ok()).ok_or_else(|| "is too large".into())
}

/// A time such as `100ms`, `1.5s` or `1m30s`: numbers with units, as Go writes them.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    const MISTAKE: &str = "must be a time such as 100ms, 5s or 1m30s";
    let mut rest = text;
    let mut nanos: u128 = 0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or(MISTAKE)?;
        let (number, tail) = rest.split_at(digits);
        let end = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(end);
        let scale: u128 = match unit {
            "ns" => 1,
            "us" | "\u{b5}s" | "\u{3bc}s" => 1000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            _ => return Err(MISTAKE.into()),
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let part = |digits: &str| if digits.is_empty() { Ok(0) } else { digits.parse::<u64>() };
        if (whole.is_empty() && fraction.is_empty()) || fraction.len() > 18 {
            return Err(MISTAKE.into());
        }
        let (whole, part) = (part(whole).map_err(|_| MISTAKE)?, part(fraction).map_err(|_| MISTAKE)?);
        nanos += u128::from(whole) * scale + u128::from(part) * scale / 10_u128.pow(fraction.len() as u32);
        rest = tail;
    }
    if text.is_empty() {
        return Err(MISTAKE.into());
    }
    u64::try_from(nanos).map(Duration::from_nanos).map_err(|_| "is too long".into())
}

/// `UID` or `UID:GID`, as numbers.
pub(super) fn user(text: &str) -> Result<(u32, Option<u32>), String> {
    let number = |s: &str| decimal(s).ok_or_else(|| "must be UID or UID:GID, as numbers".to_owned());
    match text.split_once(':') {
        None => Ok((number(text)?, None)),
        Some((uid, gid)) => Ok((number(uid)?, Some(number(gid)?))),
    }
}

/// `ADDRESS:PORT`; an IPv6 address is in brackets.
pub(super) fn page_server(text: &str) -> Option<PageServer> {
    let (address, port) = text.rsplit_once(':')?;
    let address = match address.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']')?,
        None if address.contains(':') => return None,
        None => address,
    };
    let port = decimal(port).and_then(|port| u16::try_from(port).ok()).filter(|port| *port != 0)?;
    (!address.is_empty()).then(|| PageServer { address: address.to_owned(), port })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_a_fraction_and_a_unit() {
        for (text, bytes) in [
            ("0", 0),
            ("-1", -1),
            ("1048576", 1 << 20),
            ("50M", 50 << 20),
            ("50m", 50 << 20),
            ("1.5G", 3 << 29),
            ("2KiB", 2048),
            ("3 kb", 3072),
            ("7b", 7),
            ("1T", 1 << 40),
            ("8191P", 8191 << 50),
        ] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for text in ["", "-2", "M", "1X", "1.M", ".5M", "1..5M", "1M5", "+5", "8192P", "0x10", "1e3", "50MM"]
        {
            assert!(size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn durations_are_written_as_in_go() {
        for (text, nanos) in [
            ("100ms", 100_000_000),
            ("5s", 5_000_000_000),
            ("1m30s", 90_000_000_000),
            ("1.5h", 5_400_000_000_000),
            (".5s", 500_000_000),
            ("2us", 2000),
            ("2\u{b5}s", 2000),
            ("7ns", 7),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_nanos(nanos)), "{text}");
        }
        for text in ["", "5", "s", "5 s", "5x", "-5s", ".s", "1s5", "99999999999h", "1.2.3s"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_page_server_has_an_address_and_a_port() {
        let server = |address: &str, port| Some(PageServer { address: address.to_owned(), port });
        assert_eq!(page_server("10.0.0.1:80"), server("10.0.0.1", 80));
        assert_eq!(page_server("[::1]:65535"), server("::1", 65535));
        for wrong in ["", ":80", "host", "host:", "host:0", "host:65536", "::1:80", "[::1:80", "host:+1"] {
            assert_eq!(page_server(wrong), None, "{wrong}");
        }
    }
}
