//! How a guarded call fails.

use std::error::Error;

use crate::machine::CircuitOpen;

/// Why a guarded call has no response.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BreakerError<E> {
    /// The call was not made.
    #[error(transparent)]
    Open(CircuitOpen),
    /// The inner service failed.
    #[error(transparent)]
    Inner(E),
}

impl<E: Into<Box<dyn Error + Send + Sync>>> BreakerError<E> {
    /// Gives the error up to its type, for `map_err` in a stack of boxed errors; what was in it can be downcast to.
    pub fn into_boxed(self) -> Box<dyn Error + Send + Sync> {
        match self {
            Self::Open(open) => open.into(),
            Self::Inner(error) => error.into(),
        }
    }
}
