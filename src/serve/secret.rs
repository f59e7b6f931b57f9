//! Secrets: drawn from the kernel, and compared so that how long it takes tells nothing.

use rustix::rand::{GetRandomFlags, getrandom};
use subtle::ConstantTimeEq;

/// Whether two secrets are the same.
pub(super) fn same(a: &str, b: &str) -> bool {
    a.as_bytes().ct_eq(b.as_bytes()).into()
}

/// So many random bytes, as hexadecimal digits.
pub(super) fn random(digits: usize) -> String {
    let mut bytes = vec![0; digits / 2];
    fill(&mut bytes);
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Something to write on a blackboard: 60 random bits, without letters that look alike.
pub(super) fn password() -> String {
    const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    let mut bytes = [0; 12];
    fill(&mut bytes);
    let letters: Vec<char> =
        bytes.iter().map(|byte| char::from(LETTERS[usize::from(byte % 32)])).collect();
    letters.chunks(4).map(|four| four.iter().collect::<String>()).collect::<Vec<_>>().join("-")
}

/// See getrandom(2).
fn fill(bytes: &mut [u8]) {
    let mut filled = 0;
    while filled < bytes.len() {
        filled += getrandom(&mut bytes[filled..], GetRandomFlags::empty()).unwrap_or(0);
    }
}
