//! The breaker as a layer around any tower service.
//!
//! The order in a stack decides what the breaker sees. From the outside in:
//!
//! 1. what retries, if anything does; it knows from [`CircuitOpen`](crate::CircuitOpen) when it is of use again;
//! 2. the breaker;
//! 3. the timeout: outside of the breaker it would drop the call, and a dropped call says nothing about the dependency;
//! 4. limits and queues, so that refused calls do not wait for a place; and the service.
//!
//! - **Readiness.** While the circuit refuses calls, the service is ready without asking the inner one, and refuses in
//!   `call`. Otherwise it is as ready as the inner one, which wakes whoever waits. What an inner service does to become
//!   ready is not guarded by probes; it should do its work in the call.
//! - **Probes** are reserved in `call`, not before: a service that is ready and never called holds none. The response
//!   future gives its probe back when it is dropped.
//! - **Clones** share the breaker. What one of them found in `poll_ready` is its own.
//! - **An outcome** is the result of the response future. Of a response whose body is read later, the breaker sees only
//!   the beginning.

mod classify;
mod error;
mod future;
mod layer;
mod service;

pub use classify::{Classify, ErrIsFailure};
pub use error::BreakerError;
pub use future::ResponseFuture;
pub use layer::CircuitBreakerLayer;
pub use service::CircuitBreaker;
