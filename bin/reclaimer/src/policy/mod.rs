//! The policy file: read at the start, and anew when somebody asks. A file that cannot be used never takes the place of a
//! policy that is in force.

mod read;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use reclaimer_domain::ports::Clock;
use reclaimer_policy::file::{Checked, Finding};
use reclaimer_policy::{Defaults, Policy};
use reclaimer_server::policy::{PolicySource, PolicyView, RefusedPolicy, ReloadError};
use tracing::{error, info, warn};

pub(crate) use read::{Unusable, read};

use crate::config;

const AREA: &str = "JOB-RECOVERY";

/// A policy, and where it was read from.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) policy: Arc<Policy>,
    file: Option<PathBuf>,
    defaults: Defaults,
    pub(crate) warnings: Vec<Finding>,
}

impl Loaded {
    /// The policy that the settings name: that of the file, or else the built-in one.
    pub(crate) fn of(settings: &config::Recovery) -> Result<Self, Unusable> {
        let (defaults, file) = (settings.policy_defaults(), settings.policy.clone());
        let Checked { policy, warnings } = match &file {
            Some(path) => read(path, defaults)?,
            None => Checked { policy: Policy::builtin_with(defaults), warnings: Vec::new() },
        };
        Ok(Self { policy: Arc::new(policy), file, defaults, warnings })
    }
}

/// Puts what stands in the policy file in force, and says what it was.
#[derive(Debug)]
pub(crate) struct PolicyFile {
    file: Option<PathBuf>,
    defaults: Defaults,
    engine: reclaimer_recovery::Handle,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    one_at_a_time: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct State {
    since: DateTime<Utc>,
    warnings: Vec<Finding>,
    refused: Option<RefusedPolicy>,
}

impl PolicyFile {
    /// Of the policy that this engine began with.
    pub(crate) fn new(loaded: Loaded, engine: reclaimer_recovery::Handle, clock: Arc<dyn Clock>) -> Self {
        let Loaded { policy, file, defaults, warnings } = loaded;
        warn_of(file.as_ref(), &warnings);
        if let Some(path) = &file {
            let (hash, file) = (policy.hash(), path.display());
            info!(area = AREA, policy = %hash, %file, rules = policy.rules().len(), "the policy was read");
        }
        let state = Mutex::new(State { since: clock.now(), warnings, refused: None });
        Self { file, defaults, engine, clock, state, one_at_a_time: tokio::sync::Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put_in_force(&self, path: &PathBuf, Checked { policy, warnings }: Checked) {
        let (hash, before, file) = (policy.hash(), self.engine.policy().hash(), path.display());
        warn_of(Some(path), &warnings);
        let mut state = self.state();
        if hash == before {
            info!(area = AREA, policy = %hash, %file, "the policy was read anew, and says what it did");
        } else {
            info!(area = AREA, policy = %hash, %before, %file, rules = policy.rules().len(), "another policy is in force");
            self.engine.set_policy(Arc::new(policy));
            state.since = self.clock.now();
        }
        (state.warnings, state.refused) = (warnings, None);
    }

    fn refuse(&self, unusable: Unusable) -> ReloadError {
        let (message, in_force) = (unusable.to_string(), self.engine.policy().hash().to_string());
        error!(
            area = AREA,
            policy = in_force,
            "the policy file is refused, the policy before it stays in force: {message}"
        );
        let refused =
            RefusedPolicy { at: self.clock.now(), message: message.clone(), findings: unusable.findings };
        self.state().refused = Some(refused);
        ReloadError::Refused { message, in_force }
    }
}

#[async_trait]
impl PolicySource for PolicyFile {
    fn view(&self) -> PolicyView {
        let state = self.state();
        PolicyView {
            file: self.file.as_ref().map(|path| path.display().to_string()),
            warnings: state.warnings.clone(),
            refused: state.refused.clone(),
            ..PolicyView::of(&self.engine.policy(), state.since)
        }
    }

    async fn reload(&self) -> Result<PolicyView, ReloadError> {
        let Some(path) = &self.file else { return Err(ReloadError::NoFile) };
        let _one_at_a_time = self.one_at_a_time.lock().await;
        let (file, defaults) = (path.clone(), self.defaults);
        let checked = match tokio::task::spawn_blocking(move || read(&file, defaults)).await {
            Ok(checked) => checked,
            Err(panic) => Err(Unusable::new(path, format!("reading it met a defect: {panic}"))),
        };
        match checked {
            Ok(checked) => self.put_in_force(path, checked),
            Err(unusable) => return Err(self.refuse(unusable)),
        }
        Ok(self.view())
    }
}

fn warn_of(file: Option<&PathBuf>, warnings: &[Finding]) {
    let file = file.map(|path| path.display().to_string()).unwrap_or_default();
    for warning in warnings {
        warn!(area = AREA, "the policy may not mean what it says: {file}:{warning}");
    }
}
