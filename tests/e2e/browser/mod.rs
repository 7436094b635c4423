//! The dashboard in a real browser.

mod journey;
mod keyboard;
mod looks;
mod scene;
