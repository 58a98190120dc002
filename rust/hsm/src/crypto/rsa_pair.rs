//! RSA key pairs: two primes (FIPS 186-5, A.1.3) and the numbers that RFC 8017, 3.2 computes of them.
#![allow(unsafe_code)] // RSA and EVP_PKEY through aws-lc-sys

use std::ptr::NonNull;

use aws_lc_sys as ffi;
use aws_lc_sys::EVP_PKEY;
use zeroize::Zeroizing;

use super::bignum::{Bignum, MAX_LIMBS, Modulus, Room};
use super::limbs::{divide_exactly, less, multiply, multiply_word_plus_one, remainders, shift_right};
use super::primes::{EXPONENT, MAX_PRIME_LIMBS, Prime, find};
use crate::error::{Error, Result};

/// A key pair with a modulus of `bits` and the public exponent 65,537. `go_on` is asked before each exponentiation, and ends the search by an
/// error.
pub(super) fn generate(bits: usize, go_on: &mut dyn FnMut() -> Result<()>) -> Result<NonNull<EVP_PKEY>> {
    loop {
        let p = find(bits / 2, None, go_on)?;
        let q = find(bits / 2, Some(&p), go_on)?;
        let (p, q) = if less(p.limbs(), q.limbs()) == 0 { (p, q) } else { (q, p) };
        if let Some(pair) = assemble(&p, &q)? {
            return Ok(pair);
        }
    }
}

/// The pair of p > q. None where FIPS 186-5, A.1.1 wants other primes: the private exponent would be short.
fn assemble(p: &Prime, q: &Prime) -> Result<Option<NonNull<EVP_PKEY>>> {
    let len = p.limbs().len();
    let mut room = Room::new()?;
    let mut modulus = Zeroizing::new([0; MAX_LIMBS]);
    let modulus = &mut modulus[..2 * len];
    multiply(p.limbs(), q.limbs(), modulus);

    let (p_less_one, q_less_one) = (p.less_one(), q.less_one());
    let common = room.common_divisor(&Bignum::from_limbs(p_less_one.limbs())?, &Bignum::from_limbs(q_less_one.limbs())?)?;
    let Some(common) = common.to_word().filter(|common| *common < 1 << 32) else { return Ok(None) };
    // lcm(p - 1, q - 1)
    let mut order = Zeroizing::new([0; MAX_LIMBS]);
    let order = &mut order[..2 * len];
    multiply(p_less_one.limbs(), q_less_one.limbs(), order);
    let twos = common.trailing_zeros();
    shift_right(order, twos);
    divide_exactly(order, common >> twos);

    let d = inverse_of_exponent(order)?;
    let d = &d[..2 * len];
    if d[len..].iter().fold(0, |any, limb| any | limb) == 0 {
        return Ok(None); // 2^(bits / 2) or below
    }
    let d_p = inverse_of_exponent(p_less_one.limbs())?;
    let d_q = inverse_of_exponent(q_less_one.limbs())?;

    // 1/q modulo p is q^(p - 2), p being prime
    let mut exponent = Zeroizing::new([0; MAX_PRIME_LIMBS]);
    let exponent = &mut exponent[..len];
    exponent.copy_from_slice(p_less_one.limbs());
    subtract_one(exponent);
    let (p, q) = (Bignum::from_limbs(p.limbs())?, Bignum::from_limbs(q.limbs())?);
    let coefficient = Modulus::new(&p, &mut room)?.power(&q, &Bignum::from_limbs(exponent)?)?;

    let numbers = [
        Bignum::from_limbs(modulus)?,
        Bignum::from_limbs(&[EXPONENT.value()])?,
        Bignum::from_limbs(d)?,
        p,
        q,
        Bignum::from_limbs(&d_p[..len])?,
        Bignum::from_limbs(&d_q[..len])?,
        coefficient,
    ];
    let [n, e, d, p, q, d_p, d_q, coefficient] = numbers.each_ref().map(Bignum::as_ptr);
    // SAFETY: live numbers, which libcrypto copies, and checks against each other (RSA_check_key). What it makes is freed, or handed over once.
    unsafe {
        let rsa = ffi::RSA_new_private_key(n, e, d, p, q, d_p, d_q, coefficient);
        let pair = ffi::EVP_PKEY_new();
        if !rsa.is_null() && !pair.is_null() && ffi::EVP_PKEY_assign_RSA(pair, rsa) == 1 {
            return Ok(NonNull::new(pair));
        }
        ffi::RSA_free(rsa);
        ffi::EVP_PKEY_free(pair);
    }
    Err(Error::Internal("making an RSA key"))
}

/// 1/e modulo an even `order` that e does not divide: (1 + k · order) / e with the k in [1, e) for which e divides that.
fn inverse_of_exponent(order: &[u64]) -> Result<Zeroizing<[u64; MAX_LIMBS + 1]>> {
    let [rest] = remainders(order, &[EXPONENT]);
    let factor = EXPONENT.negative(EXPONENT.inverse(rest));
    let mut inverse = Zeroizing::new([0; MAX_LIMBS + 1]);
    let sum = inverse.get_mut(..=order.len()).ok_or(Error::Internal("a number's length"))?;
    multiply_word_plus_one(order, factor, sum);
    divide_exactly(sum, EXPONENT.value());
    Ok(inverse)
}

fn subtract_one(number: &mut [u64]) {
    let mut borrow = 1;
    for limb in number {
        let (rest, under) = limb.overflowing_sub(borrow);
        *limb = rest;
        borrow = u64::from(under);
    }
}
