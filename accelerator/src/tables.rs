//! The tables of the keys in use: shared by equal keys, a bounded number of them, freed with the last key.

use std::sync::{Arc, Mutex, MutexGuard, TryLockError, Weak};

use curve25519_dalek::edwards::EdwardsPoint;

use crate::multiples::Multiples;

/// How many keys can have tables at the same time. Further keys are checked without tables, with the same verdict.
///
/// A service has one key, or two while it changes. The limit is for programs that make very many.
pub const MAX_TABLES: usize = 32;

/// The tables that are in use, each under the encoding of its point.
pub struct Tables(Mutex<Vec<Entry>>);

type Entry = ([u8; 32], Weak<Multiples>);

impl Tables {
    pub const fn new() -> Self {
        Self(Mutex::new(Vec::new()))
    }

    /// Return the tables of `point`, which has this encoding; none without memory, or if too many others are in use.
    ///
    /// This never waits, since a check without tables is quicker than another thread's work on a table. A wait could
    /// also be endless: a process that forks while one of its threads holds the lock gives its child a held lock.
    pub fn of(&self, point: &EdwardsPoint, encoded: [u8; 32]) -> Option<Arc<Multiples>> {
        let mut known = self.lock()?;
        if let Some(multiples) = find(&mut known, encoded) {
            return Some(multiples);
        }
        if known.len() >= MAX_TABLES {
            return None;
        }
        drop(known);
        // Without the lock: this takes a millisecond, and a process that forks meanwhile would pass on a held lock.
        let multiples = Arc::new(Multiples::of(point)?);
        let mut known = self.lock()?;
        if let Some(multiples) = find(&mut known, encoded) {
            return Some(multiples);
        }
        if known.len() >= MAX_TABLES {
            return None;
        }
        known.try_reserve(1).ok()?;
        known.push((encoded, Arc::downgrade(&multiples)));
        Some(multiples)
    }

    fn lock(&self) -> Option<MutexGuard<'_, Vec<Entry>>> {
        match self.0.try_lock() {
            Ok(known) => Some(known),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }
}

/// Return the tables under this encoding, if there are any, and forget those that are no longer in use.
fn find(known: &mut Vec<Entry>, encoded: [u8; 32]) -> Option<Arc<Multiples>> {
    known.retain(|(_, multiples)| multiples.strong_count() > 0);
    let equal = known.iter().find(|(other, _)| *other == encoded);
    equal.and_then(|(_, multiples)| multiples.upgrade())
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
