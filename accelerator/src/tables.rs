//! The tables of the keys in use: shared by equal keys, a bounded number of them, freed with the last key.

use std::sync::{Arc, Mutex, TryLockError, Weak};

use curve25519_dalek::edwards::EdwardsPoint;

use crate::multiples::Multiples;

/// How many keys can have tables at the same time. Further keys are checked without tables, with the same verdict.
///
/// A service has one key, or two while it changes. The limit is for programs that make very many.
pub const MAX_TABLES: usize = 32;

/// The tables that are in use, each under the encoding of its point.
pub struct Tables(Mutex<Vec<([u8; 32], Weak<Multiples>)>>);

impl Tables {
    pub const fn new() -> Self {
        Self(Mutex::new(Vec::new()))
    }

    /// Return the tables of `point`, which has this encoding; none if too many others are in use.
    ///
    /// This never waits, since a check without tables is quicker than another thread's work on a table. A wait could
    /// also be endless: a process that forks while one of its threads holds the lock gives its child a held lock.
    pub fn of(&self, point: &EdwardsPoint, encoded: [u8; 32]) -> Option<Arc<Multiples>> {
        let mut known = match self.0.try_lock() {
            Ok(known) => known,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return None,
        };
        known.retain(|(_, multiples)| multiples.strong_count() > 0);
        let equal = known.iter().find(|(other, _)| *other == encoded);
        if let Some(multiples) = equal.and_then(|(_, multiples)| multiples.upgrade()) {
            return Some(multiples);
        }
        if known.len() >= MAX_TABLES {
            return None;
        }
        let multiples = Arc::new(Multiples::of(point));
        known.push((encoded, Arc::downgrade(&multiples)));
        Some(multiples)
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use curve25519_dalek::constants::ED25519_BASEPOINT_POINT as BASE;
    use curve25519_dalek::scalar::Scalar;

    use super::*;

    fn of(tables: &Tables, number: u64) -> Option<Arc<Multiples>> {
        let point = BASE * Scalar::from(number);
        tables.of(&point, point.compress().0)
    }

    #[test]
    fn equal_keys_share_their_tables() {
        let tables = Tables::new();
        let first = of(&tables, 1).unwrap();
        assert!(Arc::ptr_eq(&first, &of(&tables, 1).unwrap()));
        assert!(!Arc::ptr_eq(&first, &of(&tables, 2).unwrap()));
    }

    #[test]
    fn a_bounded_number_of_keys_has_tables_and_a_key_that_is_gone_makes_room() {
        let tables = Tables::new();
        let mut held: Vec<_> = (1..=MAX_TABLES as u64)
            .map(|number| of(&tables, number).unwrap())
            .collect();
        assert!(of(&tables, 1000).is_none());
        assert!(of(&tables, 1).is_some());
        held.pop();
        assert!(of(&tables, 1000).is_some());
        assert!(tables.0.lock().unwrap().len() <= MAX_TABLES);
    }

    #[test]
    fn nobody_waits_for_a_table() {
        let tables = Tables::new();
        let held = tables.0.lock().unwrap();
        assert!(of(&tables, 1).is_none());
        drop(held);
        assert!(of(&tables, 1).is_some());
    }

    #[test]
    fn a_panic_of_another_thread_does_no_harm() {
        let tables = Tables::new();
        let panicked = thread::scope(|scope| {
            let panicking = scope.spawn(|| {
                let _held = tables.0.lock().unwrap();
                panic!("on purpose");
            });
            panicking.join().is_err()
        });
        assert!(panicked && tables.0.is_poisoned());
        assert!(of(&tables, 1).is_some());
    }
}
