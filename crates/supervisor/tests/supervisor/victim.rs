//! A program that supervises one worker, and is killed for the test's sake.

use std::process::ExitCode;
use std::sync::Arc;

use rand::{SeedableRng, rngs::StdRng};
use reclaimer_supervisor::{Config, Deps, Launcher, Spec, Supervisor, launcher};
use tokio_util::sync::CancellationToken;

fn main() -> ExitCode {
    let mut arguments = std::env::args();
    // As an embedding program does it: a hidden command, before anything else happens.
    match (arguments.nth(1).as_deref(), arguments.next(), arguments.next()) {
        (Some("launch"), ..) => launcher::run(std::env::args_os().skip(2)),
        (Some("supervise"), Some(state_file), Some(script)) => supervise(&state_file, script),
        _ => ExitCode::FAILURE,
    }
}

#[tokio::main]
async fn supervise(state_file: &str, script: String) -> ExitCode {
    let worker = Spec { args: vec!["-c".to_owned(), script], ..Spec::new("worker", "/bin/sh") };
    let config = Config::new(vec![worker], Launcher::this_program(["launch"]), state_file);
    let deps = Deps { listener: Arc::new(()), ask: Arc::new(()), rng: StdRng::seed_from_u64(1) };
    let Ok((supervisor, _handle)) = Supervisor::new(config, deps) else { return ExitCode::FAILURE };
    match supervisor.run(CancellationToken::new()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}
