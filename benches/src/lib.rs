//! Pieces of work that are benched and guarded.

mod cores;
mod store;

use anyhow::Result;

pub use cores::cores;

/// A piece of work that can be done again and again.
pub struct Piece {
    /// What it is called in budgets and tables.
    pub name: &'static str,
    /// How often it is done to be counted: the cheaper it is, the more often, so that the chances of preparing it do not
    /// show.
    pub times: u32,
    /// Does it once.
    pub once: Box<dyn FnMut() -> Result<()>>,
}

impl std::fmt::Debug for Piece {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Piece").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Piece {
    fn new(name: &'static str, times: u32, once: impl FnMut() -> Result<()> + 'static) -> Self {
        Self { name, times, once: Box::new(once) }
    }
}

/// Every piece of work: those of the pure cores, and a job's way through the store.
///
/// # Errors
/// When one of them cannot be prepared.
pub fn all() -> Result<Vec<Piece>> {
    let mut pieces = cores()?;
    pieces.push(store::piece()?);
    Ok(pieces)
}
