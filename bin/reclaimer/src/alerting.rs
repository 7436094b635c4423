//! Alerts as the server has them: the settings' webhook, and the answers of the API.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use async_trait::async_trait;
use reclaimer_alerts::{Alerts, AlertsHandle, Config, Courier, Deps, Webhook};
use reclaimer_domain::ports::{AlertStore, Clock};
use reclaimer_domain::secret::Secret;
use reclaimer_health::{Beat, HealthSource};
use reclaimer_server::alerts::{Alerting, AlertsView, MessageShape, TestFailed};
use tokio::time::Instant;

use crate::config::{Masked, Settings, alerts};
use crate::system::Seed;

/// What alerting needs from outside.
#[derive(Debug)]
pub(crate) struct Outside {
    pub(crate) source: Arc<dyn HealthSource>,
    pub(crate) store: Arc<dyn AlertStore>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) seed: Seed,
    /// Proves that the loop turns.
    pub(crate) beat: Beat,
}

/// What proves that the loop turns; it is among what health judges, which is what the loop looks at.
pub(crate) fn beat() -> Beat {
    Beat::new("alerts", Instant::now().into_std())
}

/// Alerting as the settings say, and what the API asks of it.
pub(crate) fn build(settings: &Settings, outside: Outside) -> Result<(Alerts, Arc<dyn Alerting>)> {
    let Outside { source, store, clock, seed, beat } = outside;
    let data_dir = &settings.server.data_dir;
    // A data folder has one server at a time, which is what others on the same database have not.
    let owner = data_dir.canonicalize().unwrap_or_else(|_| data_dir.clone()).display().to_string();
    let config = Config {
        owner,
        interval: settings.alerts.interval,
        rules: settings.alerts.rules(),
        terms: settings.alerts.terms(),
    };
    let courier = webhook(&settings.alerts, &clock)?.map(|webhook| Arc::new(webhook) as Arc<dyn Courier>);
    let deps = Deps { source, store, courier, clock, rng: seed.generator("alerts"), beat };
    let (alerts, handle) = Alerts::new(config, deps);
    Ok((alerts, Arc::new(Answers(handle))))
}

fn webhook(settings: &alerts::Alerts, clock: &Arc<dyn Clock>) -> Result<Option<Webhook>> {
    let alerts::Alerts { webhook_url, webhook_url_file, webhook_secret, webhook_secret_file, .. } = settings;
    let url = of("webhook_url_file", webhook_url, webhook_url_file, alerts::is_address, alerts::ADDRESS)?;
    let secret =
        of("webhook_secret_file", webhook_secret, webhook_secret_file, alerts::can_sign, alerts::SECRET)?;
    let Some(url) = url else {
        if secret.is_some() {
            bail!("`alerts.webhook_secret` signs messages that go nowhere: set `alerts.webhook_url` as well");
        }
        return Ok(None);
    };
    let name = settings.server_name.clone().unwrap_or_else(machine);
    Ok(Some(Webhook::try_new(url, secret, name, Arc::clone(clock))?))
}

/// A secret that stands in the settings, where it was checked, or in a file, where it is checked now.
fn of(
    key: &str,
    set: &Option<Masked>,
    file: &Option<std::path::PathBuf>,
    fits: fn(&str) -> bool,
    wanted: &str,
) -> Result<Option<Secret>> {
    if let Some(Masked(secret)) = set {
        return Ok(Some(secret.clone()));
    }
    let Some(file) = file else { return Ok(None) };
    let text = read(file).with_context(|| format!("`alerts.{key}`"))?;
    if !fits(text.trim()) {
        bail!("`alerts.{key}`: {} does not hold {wanted}", file.display());
    }
    Ok(Some(Secret::new(text.trim())))
}

fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

/// What the machine is called.
fn machine() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// What the API shows of alerts.
#[derive(Debug)]
struct Answers(AlertsHandle);

#[async_trait]
impl Alerting for Answers {
    fn view(&self) -> AlertsView {
        let overview = self.0.overview();
        AlertsView {
            target: overview.target,
            rules: overview.rules.iter().map(|rule| rule.condition.name().to_owned()).collect(),
            incidents: overview.open.into_iter().map(Into::into).collect(),
            messages: overview.messages.into_iter().map(Into::into).collect(),
        }
    }

    async fn test(&self) -> Result<MessageShape, TestFailed> {
        self.0.test().await.map(Into::into).map_err(|error| match error {
            reclaimer_alerts::TestFailed::NoWebhook => TestFailed::NoWebhook,
            reclaimer_alerts::TestFailed::Undelivered(why) => TestFailed::Undelivered(why),
        })
    }
}
