//! libcrypto's BIGNUM and exponentiation, which takes the same time whatever the numbers are. In a key scope all of it is in the key heap.
#![allow(unsafe_code)] // BIGNUM through aws-lc-sys

use std::ptr::{NonNull, null_mut};

use aws_lc_sys as ffi;
use zeroize::Zeroizing;

use super::pkey::done;
use crate::error::{Error, Result};

/// The most limbs that a number here has: the modulus of RSA-4096.
pub(super) const MAX_LIMBS: usize = 64;

/// A whole number. Wiped when dropped.
pub(super) struct Bignum(NonNull<ffi::BIGNUM>);

impl Bignum {
    fn zero() -> Result<Bignum> {
        // SAFETY: no preconditions.
        NonNull::new(unsafe { ffi::BN_new() }).map(Bignum).ok_or(NO_MEMORY)
    }

    /// A number of little-endian limbs, [`MAX_LIMBS`] at most.
    pub(super) fn from_limbs(limbs: &[u64]) -> Result<Bignum> {
        let mut bytes = Zeroizing::new([0; MAX_LIMBS * 8]);
        let bytes = bytes.get_mut(..limbs.len() * 8).ok_or(Error::Internal("a number's length"))?;
        for (place, limb) in bytes.chunks_exact_mut(8).zip(limbs) {
            place.copy_from_slice(&limb.to_le_bytes());
        }
        // SAFETY: pointer and length come from a slice; a new number comes back, or null.
        NonNull::new(unsafe { ffi::BN_le2bn(bytes.as_ptr(), bytes.len(), null_mut()) }).map(Bignum).ok_or(NO_MEMORY)
    }

    /// The number if it fits a limb.
    pub(super) fn to_word(&self) -> Option<u64> {
        let mut word = 0;
        // SAFETY: a live number, and a place for one limb.
        (unsafe { ffi::BN_get_u64(self.as_ptr(), &mut word) } == 1).then_some(word)
    }

    pub(super) fn as_ptr(&self) -> *mut ffi::BIGNUM {
        self.0.as_ptr()
    }
}

impl Drop for Bignum {
    fn drop(&mut self) {
        // SAFETY: owned, freed once.
        unsafe { ffi::BN_clear_free(self.0.as_ptr()) };
    }
}

/// Room for libcrypto's intermediate results.
pub(super) struct Room(NonNull<ffi::BN_CTX>);

impl Room {
    pub(super) fn new() -> Result<Room> {
        // SAFETY: no preconditions.
        NonNull::new(unsafe { ffi::BN_CTX_new() }).map(Room).ok_or(NO_MEMORY)
    }

    /// The greatest common divisor, in constant time.
    pub(super) fn common_divisor(&mut self, a: &Bignum, b: &Bignum) -> Result<Bignum> {
        let divisor = Bignum::zero()?;
        // SAFETY: live numbers and room that is ours alone.
        done(unsafe { ffi::BN_gcd(divisor.as_ptr(), a.as_ptr(), b.as_ptr(), self.0.as_ptr()) }, "a common divisor")?;
        Ok(divisor)
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        // SAFETY: owned, freed once.
        unsafe { ffi::BN_CTX_free(self.0.as_ptr()) };
    }
}

/// An odd modulus that may be secret, with what Montgomery's multiplication needs.
pub(super) struct Modulus<'a> {
    montgomery: NonNull<ffi::BN_MONT_CTX>,
    value: &'a Bignum,
    room: &'a mut Room,
}

impl<'a> Modulus<'a> {
    pub(super) fn new(value: &'a Bignum, room: &'a mut Room) -> Result<Modulus<'a>> {
        // SAFETY: a live number, and room that is ours alone. It refuses even numbers by null.
        let montgomery = NonNull::new(unsafe { ffi::BN_MONT_CTX_new_consttime(value.as_ptr(), room.0.as_ptr()) });
        Ok(Modulus { montgomery: montgomery.ok_or(Error::Internal("a modulus"))?, value, room })
    }

    /// base^exponent, for a base below the modulus.
    pub(super) fn power(&mut self, base: &Bignum, exponent: &Bignum) -> Result<Bignum> {
        let power = Bignum::zero()?;
        // SAFETY: live numbers, the modulus' own context, room that is ours alone.
        let returned = unsafe {
            ffi::BN_mod_exp_mont_consttime(
                power.as_ptr(),
                base.as_ptr(),
                exponent.as_ptr(),
                self.value.as_ptr(),
                self.room.0.as_ptr(),
                self.montgomery.as_ptr(),
            )
        };
        done(returned, "an exponentiation")?;
        Ok(power)
    }

    /// A number below the modulus in Montgomery's form.
    pub(super) fn encoded(&mut self, number: &Bignum) -> Result<Bignum> {
        let encoded = Bignum::zero()?;
        // SAFETY: as above.
        let returned =
            unsafe { ffi::BN_to_montgomery(encoded.as_ptr(), number.as_ptr(), self.montgomery.as_ptr(), self.room.0.as_ptr()) };
        done(returned, "Montgomery's form")?;
        Ok(encoded)
    }

    /// Squares a number in Montgomery's form.
    pub(super) fn square(&mut self, number: &mut Bignum) -> Result<()> {
        let n = number.as_ptr();
        // SAFETY: as above; libcrypto allows the result to be an operand.
        let returned = unsafe { ffi::BN_mod_mul_montgomery(n, n, n, self.montgomery.as_ptr(), self.room.0.as_ptr()) };
        done(returned, "a square")
    }
}

impl Drop for Modulus<'_> {
    fn drop(&mut self) {
        // SAFETY: owned, freed once.
        unsafe { ffi::BN_MONT_CTX_free(self.montgomery.as_ptr()) };
    }
}

/// All ones where two numbers are the same, else 0; in constant time.
pub(super) fn same(a: &Bignum, b: &Bignum) -> u64 {
    // SAFETY: live numbers.
    let equal = unsafe { ffi::BN_equal_consttime(a.as_ptr(), b.as_ptr()) };
    0u64.wrapping_sub(u64::from(equal.unsigned_abs()))
}

const NO_MEMORY: Error = Error::Internal("memory for a number");
