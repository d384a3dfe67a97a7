//! A key, and the check of a signature.

use std::fmt;
use std::sync::{Arc, LazyLock, RwLock};

use curve25519_dalek::constants::ED25519_BASEPOINT_POINT;
use curve25519_dalek::edwards::{CompressedEdwardsY, EdwardsPoint};
use curve25519_dalek::scalar::Scalar;
use curve25519_dalek::traits::IsIdentity;
use sha2::{Digest, Sha512};

use crate::multiples::{Multiples, nothing};
use crate::tables::Tables;

/// The encoding of the neutral element.
const NEUTRAL: [u8; 32] = {
    let mut encoded = [0; 32];
    encoded[0] = 1;
    encoded
};

static OF_BASE: LazyLock<Option<Multiples>> = LazyLock::new(|| Multiples::of(&ED25519_BASEPOINT_POINT));
static OF_KEYS: Tables = Tables::new();

/// These bytes are not a key to verify with.
#[derive(Debug, PartialEq, Eq)]
pub struct UnsoundKey;

impl fmt::Display for UnsoundKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("not the canonical encoding of a point of the prime-order group")
    }
}

impl std::error::Error for UnsoundKey {}

/// A sound Ed25519 public key.
pub struct VerifyingKey {
    encoded: [u8; 32],
    negated: EdwardsPoint,
    multiples: RwLock<Option<Arc<Multiples>>>,
}

impl VerifyingKey {
    /// Read the 32 bytes of a key (RFC 8032, 5.1.2).
    ///
    /// # Errors
    ///
    /// The bytes are not the canonical encoding of a point, or the point is neutral or outside the prime-order group.
    pub fn new(raw: &[u8]) -> Result<Self, UnsoundKey> {
        let encoded: [u8; 32] = raw.try_into().map_err(|_| UnsoundKey)?;
        let point = CompressedEdwardsY(encoded).decompress().ok_or(UnsoundKey)?;
        // In this group only the neutral element has small order, `verify` relies on that. No point of it but the
        // neutral element has a second encoding.
        if point.is_identity() || !point.is_torsion_free() {
            return Err(UnsoundKey);
        }
        Ok(Self {
            encoded,
            negated: -point,
            multiples: RwLock::new(None),
        })
    }

    /// Return whether `signature` is this key's signature of `message` (RFC 8032, 5.1.7, without the cofactor).
    #[must_use]
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        let Ok(signature) = <&[u8; 64]>::try_from(signature) else {
            return false;
        };
        let (r, s) = signature.split_at(32);
        let Some(s) = reduced(s) else {
            return false;
        };
        let hash = Sha512::new()
            .chain_update(r)
            .chain_update(self.encoded)
            .chain_update(message)
            .finalize();
        let k = Scalar::from_bytes_mod_order_wide(&hash.into());
        r != NEUTRAL && self.difference(&s, &k).compress().as_bytes() == r
    }

    /// Return `s` times the base point minus `k` times this key.
    fn difference(&self, s: &Scalar, k: &Scalar) -> EdwardsPoint {
        match (self.multiples(), &*OF_BASE) {
            (Some(of_key), Some(of_base)) => of_key.add_product(k, of_base.add_product(s, nothing())),
            _ => EdwardsPoint::vartime_double_scalar_mul_basepoint(k, &self.negated, s),
        }
    }

    /// Return the tables of this key; none without memory, while too many other keys have some, or while a lock is held.
    ///
    /// This never waits, for the reasons given at `Tables::of`.
    fn multiples(&self) -> Option<Arc<Multiples>> {
        if let Some(multiples) = self.multiples.try_read().ok()?.as_ref() {
            return Some(Arc::clone(multiples));
        }
        let multiples = OF_KEYS.of(&self.negated, self.encoded)?;
        if let Ok(mut own) = self.multiples.try_write() {
            *own = Some(Arc::clone(&multiples));
        }
        Some(multiples)
    }
}

fn reduced(s: &[u8]) -> Option<Scalar> {
    Scalar::from_canonical_bytes(s.try_into().ok()?).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MESSAGE: &[u8] = b"a message";

    /// A key with a secret scalar, and what it signs.
    struct Signer {
        secret: Scalar,
        encoded: [u8; 32],
    }

    impl Signer {
        fn new(number: u64) -> Self {
            let secret = Scalar::from(number) * Scalar::from(0x9e37_79b9_7f4a_7c15_u64) + Scalar::ONE;
            let encoded = (ED25519_BASEPOINT_POINT * secret).compress().0;
            Self { secret, encoded }
        }

        fn sign(&self, nonce: Scalar) -> [u8; 64] {
            let r = (ED25519_BASEPOINT_POINT * nonce).compress().0;
            let hash = Sha512::new()
                .chain_update(r)
                .chain_update(self.encoded)
                .chain_update(MESSAGE)
                .finalize();
            let k = Scalar::from_bytes_mod_order_wide(&hash.into());
            let mut signature = [0; 64];
            signature[..32].copy_from_slice(&r);
            signature[32..].copy_from_slice((nonce + k * self.secret).as_bytes());
            signature
        }
    }

    #[test]
    fn a_signature_is_accepted_and_refused_with_any_bit_changed() {
        let signer = Signer::new(1);
        let key = VerifyingKey::new(&signer.encoded).unwrap();
        let signature = signer.sign(Scalar::from(7u64));
        assert!(key.verify(MESSAGE, &signature));
        assert!(!key.verify(b"another message", &signature));
        assert!(!key.verify(MESSAGE, &signature[..63]));
        for bit in 0..512 {
            let mut changed = signature;
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(!key.verify(MESSAGE, &changed), "bit {bit}");
        }
    }

    #[test]
    fn an_s_that_is_not_reduced_is_refused() {
        let signer = Signer::new(1);
        let key = VerifyingKey::new(&signer.encoded).unwrap();
        let mut signature = signer.sign(Scalar::from(7u64));
        // The bytes of -1, which is the order of the group less one.
        let order_less_one = (-Scalar::ONE).to_bytes();
        let mut carry = 1;
        for (byte, added) in signature[32..].iter_mut().zip(order_less_one) {
            carry += u16::from(*byte) + u16::from(added);
            *byte = carry.to_le_bytes()[0];
            carry >>= 8;
        }
        assert!(!key.verify(MESSAGE, &signature));
    }

    #[test]
    fn a_neutral_r_is_refused_although_the_equation_holds() {
        let signer = Signer::new(1);
        let key = VerifyingKey::new(&signer.encoded).unwrap();
        assert!(!key.verify(MESSAGE, &signer.sign(Scalar::ZERO)));
    }

    #[test]
    fn only_a_key_of_the_prime_order_group_is_sound() {
        use curve25519_dalek::constants::EIGHT_TORSION;
        let sound = ED25519_BASEPOINT_POINT * Scalar::from(5u64);
        assert!(VerifyingKey::new(&sound.compress().0).is_ok());
        for torsion in EIGHT_TORSION {
            assert!(VerifyingKey::new(&torsion.compress().0).is_err());
        }
        for torsion in &EIGHT_TORSION[1..] {
            assert!(VerifyingKey::new(&(sound + torsion).compress().0).is_err());
        }
        // The encodings of y + p: only for y up to 18 do they fit.
        for low in 0xed..=0xff {
            for high in [0x7f, 0xff] {
                let mut encoded = [0xff; 32];
                (encoded[0], encoded[31]) = (low, high);
                assert!(VerifyingKey::new(&encoded).is_err(), "{low:x} {high:x}");
            }
        }
        assert!(VerifyingKey::new(&[]).is_err());
    }

    #[test]
    fn the_verdict_is_the_same_with_tables_and_without() {
        let keys: Vec<(Signer, VerifyingKey)> = (100..140)
            .map(|number| {
                let signer = Signer::new(number);
                let key = VerifyingKey::new(&signer.encoded).unwrap();
                (signer, key)
            })
            .collect();
        for (signer, key) in &keys {
            let mut signature = signer.sign(Scalar::from(9u64));
            assert!(key.verify(MESSAGE, &signature));
            signature[40] ^= 1;
            assert!(!key.verify(MESSAGE, &signature));
            assert!(!key.verify(MESSAGE, &signer.sign(Scalar::ZERO)));
        }
        let without = keys
            .iter()
            .filter(|(_, key)| key.multiples.read().unwrap().is_none())
            .count();
        assert!(without >= keys.len() - crate::tables::MAX_TABLES);
    }
}
