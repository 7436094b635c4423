//! The guarded service.

use std::task::{Context, Poll, ready};

use tower_service::Service;

use super::{BreakerError, Classify, ErrIsFailure, ResponseFuture};
use crate::breaker::Breaker;
use crate::machine::CircuitOpen;

/// A service behind a breaker.
#[derive(Debug)]
pub struct CircuitBreaker<S, C = ErrIsFailure> {
    inner: S,
    breaker: Breaker,
    classify: C,
    /// Why it is ready although the inner service was not asked.
    refused: Option<CircuitOpen>,
}

impl<S, C> CircuitBreaker<S, C> {
    /// Guards a service.
    pub fn new(inner: S, breaker: Breaker, classify: C) -> Self {
        Self { inner, breaker, classify, refused: None }
    }

    /// The breaker.
    pub fn breaker(&self) -> &Breaker {
        &self.breaker
    }
}

impl<S: Clone, C: Clone> Clone for CircuitBreaker<S, C> {
    fn clone(&self) -> Self {
        Self::new(self.inner.clone(), self.breaker.clone(), self.classify.clone())
    }
}

impl<S, C, Request> Service<Request> for CircuitBreaker<S, C>
where
    S: Service<Request>,
    C: Classify<S::Response, S::Error> + Clone,
{
    type Response = S::Response;
    type Error = BreakerError<S::Error>;
    type Future = ResponseFuture<S::Future, C>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.refused = self.breaker.check().err();
        if self.refused.is_some() {
            return Poll::Ready(Ok(()));
        }
        let Err(error) = ready!(self.inner.poll_ready(cx)) else { return Poll::Ready(Ok(())) };
        // A dependency that cannot even be made ready has failed.
        let result = Err(error);
        if self.classify.is_failure(&result)
            && let Ok(permit) = self.breaker.try_acquire()
        {
            permit.failure();
        }
        Poll::Ready(result.map(|_: S::Response| ()).map_err(BreakerError::Inner))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        if let Some(open) = self.refused.take() {
            // Even if the circuit lets calls through by now: the inner service is not ready.
            return ResponseFuture::refused(open.as_of(self.breaker.now()));
        }
        match self.breaker.try_acquire() {
            Ok(permit) => ResponseFuture::called(self.inner.call(request), self.classify.clone(), permit),
            Err(open) => ResponseFuture::refused(open),
        }
    }
}
