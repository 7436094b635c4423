//! The response to come.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;

use super::{BreakerError, Classify};
use crate::machine::CircuitOpen;
use crate::permit::Permit;

pin_project! {
    /// The response of a guarded service. Dropped before it is there, it gives up its permit.
    #[derive(Debug)]
    pub struct ResponseFuture<F, C> {
        #[pin]
        kind: Kind<F, C>,
    }
}

pin_project! {
    #[derive(Debug)]
    #[project = KindProjection]
    enum Kind<F, C> {
        Refused { open: CircuitOpen },
        // The permit is there until the response is. It is dropped last: the call has gone when its place is free.
        Called { #[pin] future: F, classify: C, permit: Option<Permit> },
    }
}

impl<F, C> ResponseFuture<F, C> {
    pub(super) fn refused(open: CircuitOpen) -> Self {
        Self { kind: Kind::Refused { open } }
    }

    pub(super) fn called(future: F, classify: C, permit: Permit) -> Self {
        Self { kind: Kind::Called { future, classify, permit: Some(permit) } }
    }
}

impl<F, C, Response, Error> Future for ResponseFuture<F, C>
where
    F: Future<Output = Result<Response, Error>>,
    C: Classify<Response, Error>,
{
    type Output = Result<Response, BreakerError<Error>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().kind.project() {
            KindProjection::Refused { open } => Poll::Ready(Err(BreakerError::Open(*open))),
            KindProjection::Called { future, classify, permit } => {
                let result = ready!(future.poll(cx));
                if let Some(permit) = permit.take() {
                    if classify.is_failure(&result) { permit.failure() } else { permit.success() }
                }
                Poll::Ready(result.map_err(BreakerError::Inner))
            }
        }
    }
}
