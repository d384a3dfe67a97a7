//! Verify Ed25519 signatures quickly, for keys that are known beforehand.
//!
//! The verdicts are those of libsodium for a key in the prime-order group: S must be reduced, R is compared byte for
//! byte, and R may not be the neutral element. All inputs are public, so the time of a check may depend on them.

mod key;
mod multiples;
mod tables;

use pyo3::prelude::*;

/// The module that Python imports.
#[pymodule]
mod restate_identity_accelerator {
    use pyo3::exceptions::PyValueError;
    use pyo3::prelude::*;

    use crate::key;

    /// The number of the interface that `restate_identity` expects. It changes when a name or a meaning here changes.
    #[pymodule_export]
    const INTERFACE: u32 = 1;

    /// The version of this distribution.
    #[pymodule_export]
    #[allow(non_upper_case_globals)]
    const __version__: &str = env!("CARGO_PKG_VERSION");

    /// An Ed25519 public key of 32 bytes; `ValueError` if it is not a sound key.
    #[pyclass(frozen, module = "restate_identity_accelerator")]
    struct VerifyingKey(key::VerifyingKey);

    #[pymethods]
    impl VerifyingKey {
        #[new]
        fn new(raw: &[u8]) -> PyResult<Self> {
            key::VerifyingKey::new(raw)
                .map(Self)
                .map_err(|error| PyValueError::new_err(error.to_string()))
        }

        /// Return whether *signature* (64 bytes) is this key's signature of *message*; the GIL is released.
        fn verify(&self, py: Python<'_>, message: &[u8], signature: &[u8]) -> bool {
            py.detach(|| self.0.verify(message, signature))
        }
    }
}
