//! Holds back every input of one origin and credential while one of them was told to wait: a limit belongs to the key,
//! not to the input.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::clock::{Clock, Millis};
use crate::config::Input;
use crate::secret::Credential;

/// Open, or closed until a reading of the steady clock.
#[derive(Debug, Clone, Default)]
pub struct Gate(Arc<AtomicU64>);

impl Gate {
    /// Closes the gate for so long, if it is not closed for longer already. Whatever the clock is set to meanwhile.
    pub fn hold(&self, clock: &Clock, length: Millis) {
        self.0.fetch_max(clock.steady().saturating_add(length), Ordering::Relaxed);
    }

    /// How long the gate is still closed.
    pub fn closed_for(&self, clock: &Clock) -> Millis {
        self.0.load(Ordering::Relaxed).saturating_sub(clock.steady())
    }
}

/// One gate for each origin and credential.
#[derive(Debug, Default)]
pub struct Gates(Mutex<HashMap<String, Vec<Keyed>>>);

/// A gate with the credential it belongs to.
type Keyed = (Option<Credential>, Gate);

impl Gates {
    /// The gate of this input.
    pub fn of(&self, input: &Input) -> Gate {
        let mut gates = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let same_origin = gates.entry(input.url.origin().ascii_serialization()).or_default();
        match same_origin.iter().find(|(credential, _)| *credential == input.credential) {
            Some((_, gate)) => gate.clone(),
            None => {
                let gate = Gate::default();
                same_origin.push((input.credential.clone(), gate.clone()));
                gate
            }
        }
    }
}
