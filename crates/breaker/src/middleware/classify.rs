//! Which results are failures.

/// Tells which results of the inner service count as failures of the dependency. A closure
/// `Fn(&Result<Response, Error>) -> bool` does.
pub trait Classify<Response, Error> {
    /// Whether this result is a failure. What is none is a success.
    fn is_failure(&self, result: &Result<Response, Error>) -> bool;
}

impl<F, Response, Error> Classify<Response, Error> for F
where
    F: Fn(&Result<Response, Error>) -> bool,
{
    fn is_failure(&self, result: &Result<Response, Error>) -> bool {
        self(result)
    }
}

/// Every error is a failure, every response a success.
#[derive(Debug, Clone, Copy, Default)]
pub struct ErrIsFailure;

impl<Response, Error> Classify<Response, Error> for ErrIsFailure {
    fn is_failure(&self, result: &Result<Response, Error>) -> bool {
        result.is_err()
    }
}
