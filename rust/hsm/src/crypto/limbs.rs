//! Numbers as little-endian limbs of 64 bits: what making an RSA key computes beside exponentiation. A number's value changes neither the
//! branches taken nor the memory read nor the instructions used (x86 divides fast or slowly, as the operands are); its length is public.
#![allow(clippy::cast_possible_truncation)] // the low limb of two is meant

/// A divisor that is odd and below 2^32, with its reciprocal: remainders by multiplication.
#[derive(Clone, Copy, Debug)]
pub(super) struct Divisor {
    value: u64,
    /// ⌊2^64 / value⌋
    reciprocal: u64,
}

impl Divisor {
    /// Of an odd value above 1.
    pub(super) const fn new(value: u32) -> Divisor {
        debug_assert!(value > 1 && value % 2 == 1);
        let value = value as u64;
        Divisor { value, reciprocal: u64::MAX / value }
    }

    /// `dividend` modulo the divisor.
    #[inline(always)]
    pub(super) fn remainder(self, dividend: u64) -> u64 {
        // The estimated quotient is at most one too small (the reciprocal is less than one too small, and so is its product over 2^64).
        let quotient = high(dividend, self.reciprocal);
        let rest = dividend.wrapping_sub(quotient.wrapping_mul(self.value));
        let less = rest.wrapping_sub(self.value);
        let negative = 0u64.wrapping_sub(less >> 63); // rest is below 2^33
        (rest & negative) | (less & !negative)
    }

    /// 1/x modulo the divisor, a prime: x^(value - 2) (Fermat).
    pub(super) fn inverse(self, x: u64) -> u64 {
        let exponent = self.value - 2; // public
        let mut power = 1;
        for bit in (0..u64::BITS - exponent.leading_zeros()).rev() {
            power = self.remainder(power * power);
            if exponent >> bit & 1 == 1 {
                power = self.remainder(power * x);
            }
        }
        power
    }

    /// What stands for -x modulo the divisor, x being neither 0 nor above it.
    pub(super) fn negative(self, x: u64) -> u64 {
        self.value - x
    }

    pub(super) fn value(self) -> u64 {
        self.value
    }
}

/// `number` modulo each of the divisors: several at once, since each step waits for the last.
#[inline(always)]
pub(super) fn remainders<const N: usize>(number: &[u64], divisors: &[Divisor; N]) -> [u64; N] {
    let mut rests = [0; N];
    for limb in number.iter().rev() {
        for half in [limb >> 32, limb & 0xffff_ffff] {
            for (rest, divisor) in rests.iter_mut().zip(divisors) {
                *rest = divisor.remainder((*rest << 32) | half);
            }
        }
    }
    rests
}

/// a · b. `product` has as many limbs as both.
pub(super) fn multiply(a: &[u64], b: &[u64], product: &mut [u64]) {
    debug_assert_eq!(product.len(), a.len() + b.len());
    product.fill(0);
    for (at, x) in a.iter().enumerate() {
        let mut carry = 0;
        for (y, out) in b.iter().zip(&mut product[at..]) {
            (*out, carry) = multiply_add(*x, *y, *out, carry);
        }
        product[at + b.len()] = carry;
    }
}

/// a · factor + 1. `sum` has a limb more than `a`.
pub(super) fn multiply_word_plus_one(a: &[u64], factor: u64, sum: &mut [u64]) {
    debug_assert_eq!(sum.len(), a.len() + 1);
    let mut carry = 1;
    for (x, out) in a.iter().zip(sum.iter_mut()) {
        (*out, carry) = multiply_add(*x, factor, 0, carry);
    }
    sum[a.len()] = carry;
}

/// number / divisor, of an odd divisor that divides it: from the lowest limb, by the divisor's inverse modulo 2^64 (Jebelean 1993).
pub(super) fn divide_exactly(number: &mut [u64], divisor: u64) {
    debug_assert_eq!(divisor % 2, 1);
    let mut inverse = divisor; // right to 3 bits; each step doubles them
    for _ in 0..5 {
        inverse = inverse.wrapping_mul(2u64.wrapping_sub(divisor.wrapping_mul(inverse)));
    }
    let mut borrow = 0;
    for limb in number {
        let (rest, under) = limb.overflowing_sub(borrow);
        *limb = rest.wrapping_mul(inverse);
        borrow = high(*limb, divisor).wrapping_add(u64::from(under));
    }
}

/// number / 2^count, for a count below 64.
pub(super) fn shift_right(number: &mut [u64], count: u32) {
    debug_assert!(count < 64);
    let mut above = 0;
    for limb in number.iter_mut().rev() {
        let lower = *limb;
        *limb = (lower >> count) | ((above << 1) << (63 - count));
        above = lower;
    }
}

/// All ones if a < b, else 0. Both have the same length.
pub(super) fn less(a: &[u64], b: &[u64]) -> u64 {
    debug_assert_eq!(a.len(), b.len());
    let mut borrow = 0;
    for (x, y) in a.iter().zip(b) {
        let (difference, under) = x.overflowing_sub(*y);
        let (_, under_borrow) = difference.overflowing_sub(borrow);
        borrow = u64::from(under) | u64::from(under_borrow);
    }
    0u64.wrapping_sub(borrow)
}

#[inline(always)]
fn high(a: u64, b: u64) -> u64 {
    ((u128::from(a) * u128::from(b)) >> 64) as u64
}

/// a · b + c + d, the low limb first: it fits two limbs.
#[inline(always)]
fn multiply_add(a: u64, b: u64, c: u64, d: u64) -> (u64, u64) {
    let sum = u128::from(a) * u128::from(b) + u128::from(c) + u128::from(d);
    (sum as u64, (sum >> 64) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Limbs that are no pattern, and the corners.
    fn samples() -> Vec<u64> {
        let mut state = 0x9e37_79b9_7f4a_7c15u64;
        let mut drawn: Vec<u64> = (0..200)
            .map(|_| {
                state = state.wrapping_mul(0xd134_2543_de82_ef95).wrapping_add(1);
                state ^ state >> 31
            })
            .collect();
        drawn.extend([0, 1, 2, u64::MAX, u64::MAX - 1, 1 << 63, (1 << 63) - 1, 1 << 32, (1 << 32) - 1]);
        drawn
    }

    #[test]
    fn remainders_are_those_of_the_division() {
        for value in [3u32, 5, 65_537, 0x8000_0001, u32::MAX] {
            let divisor = Divisor::new(value);
            for x in samples() {
                assert_eq!(divisor.remainder(x), x % u64::from(value), "{x} mod {value}");
                for y in [0, 1, x, u64::MAX] {
                    let whole = (u128::from(x) << 64 | u128::from(y)) % u128::from(value);
                    assert_eq!(u128::from(remainders(&[y, x], &[divisor; 4])[3]), whole);
                }
            }
        }
    }

    #[test]
    fn inverses_multiply_to_one() {
        for prime in [3u32, 17, 65_537] {
            let divisor = Divisor::new(prime);
            for x in (1..u64::from(prime)).step_by(13) {
                assert_eq!(x * divisor.inverse(x) % u64::from(prime), 1);
                assert_eq!((x + divisor.negative(x)) % u64::from(prime), 0);
            }
        }
    }

    #[test]
    fn products_divide_back() {
        for x in samples() {
            for y in samples().into_iter().step_by(17) {
                let mut product = [0; 3];
                multiply(&[x, y], &[y], &mut product);
                let low = u128::from(x) * u128::from(y);
                assert_eq!(product[0], low as u64);
                let upper = u128::from(y) * u128::from(y) + (low >> 64);
                assert_eq!((product[1], product[2]), (upper as u64, (upper >> 64) as u64));
                divide_exactly(&mut product, y | 1);
                if y % 2 == 1 {
                    assert_eq!(product, [x, y, 0]);
                }
            }
            let mut sum = [0; 2];
            multiply_word_plus_one(&[x], x, &mut sum);
            assert_eq!(u128::from(sum[0]) | u128::from(sum[1]) << 64, u128::from(x) * u128::from(x) + 1);
        }
    }

    #[test]
    fn shifts_and_comparisons_are_those_of_whole_numbers() {
        let samples = samples();
        for pair in samples.windows(4) {
            let (a, b) = (u128::from(pair[0]) << 64 | u128::from(pair[1]), u128::from(pair[2]) << 64 | u128::from(pair[3]));
            for (x, y) in [(a, b), (a, a), (a, a ^ 1), (a, a & u128::from(u64::MAX))] {
                let limbs = |n: u128| [n as u64, (n >> 64) as u64];
                assert_eq!(less(&limbs(x), &limbs(y)), if x < y { u64::MAX } else { 0 });
            }
            for count in [0, 1, 31, 63] {
                let mut shifted = [a as u64, (a >> 64) as u64];
                shift_right(&mut shifted, count);
                assert_eq!(u128::from(shifted[0]) | u128::from(shifted[1]) << 64, a >> count);
            }
        }
    }
}
