//! Wrapping services.

use tower_layer::Layer;

use super::{CircuitBreaker, ErrIsFailure};
use crate::breaker::Breaker;

/// Puts a breaker around services. All services that one layer, or a clone of it, is put around share the breaker.
#[derive(Debug, Clone)]
pub struct CircuitBreakerLayer<C = ErrIsFailure> {
    breaker: Breaker,
    classify: C,
}

impl CircuitBreakerLayer {
    /// A layer that guards with this breaker, and counts every error as a failure.
    #[must_use]
    pub fn new(breaker: Breaker) -> Self {
        Self { breaker, classify: ErrIsFailure }
    }
}

impl<C> CircuitBreakerLayer<C> {
    /// The same, with other failures: a [`Classify`](super::Classify), such as a closure
    /// `Fn(&Result<Response, Error>) -> bool`.
    #[must_use]
    pub fn classify<D>(self, classify: D) -> CircuitBreakerLayer<D> {
        CircuitBreakerLayer { breaker: self.breaker, classify }
    }
}

impl<S, C: Clone> Layer<S> for CircuitBreakerLayer<C> {
    type Service = CircuitBreaker<S, C>;

    fn layer(&self, inner: S) -> Self::Service {
        CircuitBreaker::new(inner, self.breaker.clone(), self.classify.clone())
    }
}
