//! Keys that are known to a test and to the process that it looks into, without standing in that process's memory anywhere else.
#![allow(dead_code, unreachable_pub, missing_docs)] // the driver and the tests use parts

/// Byte `at` of known key `number`: computed where it is needed, never a constant of the program.
#[inline(always)]
pub fn byte(number: u64, at: usize) -> u8 {
    let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (at as u64).wrapping_mul(0xd6e8_feb8_6659_fd93);
    state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    state.to_le_bytes()[3]
}

/// The root key's number; imported backing keys have the numbers from 1.
pub const ROOT: u64 = 0;

/// Writes a known key in place.
#[inline(never)]
pub fn write(number: u64, out: &mut [u8; 32]) {
    for (at, byte_out) in out.iter_mut().enumerate() {
        // Byte by byte and volatile: no vector register and no stack slot holds the key afterwards.
        *byte_out = std::hint::black_box(byte(number, at));
    }
}

pub fn key(number: u64) -> [u8; 32] {
    let mut key = [0; 32];
    write(number, &mut key);
    key
}
