//! Extended headers, in which a record is its own length, a name and a value; see pax(1).

use std::io;

use nix::sys::time::TimeSpec;

/// The records of an extended header. A value may have any bytes in it.
///
/// # Errors
/// When there is something else.
pub(crate) fn records(mut bytes: &[u8]) -> io::Result<Vec<(Vec<u8>, Vec<u8>)>> {
    let mut found = Vec::new();
    while bytes.iter().any(|byte| *byte != 0) {
        let (record, rest) = split(bytes).ok_or_else(broken)?;
        found.push(record);
        bytes = rest;
    }
    Ok(found)
}

type Record = (Vec<u8>, Vec<u8>);

fn split(bytes: &[u8]) -> Option<(Record, &[u8])> {
    let blank = bytes.iter().position(|byte| *byte == b' ')?;
    let length: usize = std::str::from_utf8(&bytes[..blank]).ok()?.parse().ok()?;
    let record = bytes.get(blank + 1..length)?.strip_suffix(b"\n")?;
    let equals = record.iter().position(|byte| *byte == b'=')?;
    let (name, value) = (record[..equals].to_vec(), record[equals + 1..].to_vec());
    Some(((name, value), &bytes[length..]))
}

fn broken() -> io::Error {
    io::Error::other("an extended header is broken")
}

/// A number, as records have it.
///
/// # Errors
/// When it is none.
pub(crate) fn number(value: &[u8]) -> io::Result<u64> {
    std::str::from_utf8(value).ok().and_then(|text| text.parse().ok()).ok_or_else(broken)
}

/// A time, as records have it: seconds since 1970, before it with a sign, and parts of one.
pub(crate) fn time(value: &[u8]) -> Option<TimeSpec> {
    let text = std::str::from_utf8(value).ok()?;
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    if !part.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let (seconds, nanos) = (whole.parse::<i64>().ok()?, format!("{part:0<9.9}").parse().ok()?);
    Some(match whole.starts_with('-') && nanos > 0 {
        true => TimeSpec::new(seconds.checked_sub(1)?, 1_000_000_000 - nanos),
        false => TimeSpec::new(seconds, nanos),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_value_of_a_record_may_have_any_bytes() {
        let bytes = b"12 path=a\nb\n";
        let found = records(bytes).expect("one");
        assert_eq!(found, [(b"path".to_vec(), b"a\nb".to_vec())]);
        for wrong in [&b"9 a=b\n"[..], b"x", b"5 a=b\n", b"6 a b\n", b"99999999999999999999 a=b\n"]
        {
            assert!(records(wrong).is_err(), "{wrong:?}");
        }
        assert_eq!(records(b"6 a=b\n6 c=d\n\0\0").expect("two").len(), 2);
    }

    #[test]
    fn a_time_can_be_before_1970_and_a_part_of_a_second() {
        for (text, seconds, nanos) in [
            ("1.5", 1, 500_000_000),
            ("-1.5", -2, 500_000_000),
            ("-0.25", -1, 750_000_000),
            ("-3", -3, 0),
            ("7.", 7, 0),
            ("1.0000000019", 1, 1),
        ] {
            assert_eq!(time(text.as_bytes()), Some(TimeSpec::new(seconds, nanos)), "{text}");
        }
        assert_eq!(time(b"x"), None);
        assert_eq!(time(b"1.-5"), None);
    }
}
