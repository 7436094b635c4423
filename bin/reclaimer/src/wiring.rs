//! The whole object graph, put together by hand from top to bottom. What comes from outside is an argument.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use chrono::{DateTime, Utc};
use rand::Rng;
use reclaimer_alerts::Alerts;
use reclaimer_dashboard::History;
use reclaimer_domain::ports::{
    AccountStore, Arrival, Clock, Committed, JobStore, RecoveryStore, RunBegun, RunListener, StoreListener,
    TakenLease, TokenIssuer,
};
use reclaimer_domain::recovery::RunReport;
use reclaimer_domain::secret::Secret;
use reclaimer_feed::{Feed, Live, Pump};
use reclaimer_health::Beat;
use reclaimer_messaging::Roster;
use reclaimer_oauth::{OAuthIssuer, Timeouts};
use reclaimer_persistence::{SqliteConfig, SqliteStore};
use reclaimer_provisioning::{Arrivals, Provisioning};
use reclaimer_recovery::Engine;
use reclaimer_retention::Retention;
use reclaimer_server::session::Sessions;
use reclaimer_server::{Auth, Limits, Listeners, Served, router, serve};
use reclaimer_telemetry::Metrics;
use tokio_util::sync::CancellationToken;
use tracing::error;

use crate::alerting;
use crate::config::{Masked, Settings};
use crate::docs_site;
use crate::fleet::{self, Crew, Sockets};
use crate::health::{self, Counted, Ledger, Observer};
use crate::policy::{self, PolicyFile};
use crate::system::Seed;
use crate::traces::Traces;

/// What the graph needs from outside.
#[derive(Debug)]
pub(crate) struct Outside {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) seed: Seed,
    pub(crate) auth: Auth,
    pub(crate) listeners: Listeners,
    /// The sockets of links that workers connect to.
    pub(crate) sockets: Sockets,
    /// What recovery decides by.
    pub(crate) policy: policy::Loaded,
    /// What records traces, where anybody takes them.
    pub(crate) traces: Option<Arc<Traces>>,
    /// Cancelled when the server is to end.
    pub(crate) shutdown: CancellationToken,
}

/// A server, ready to run.
#[derive(Debug)]
pub(crate) struct Graph {
    store: SqliteStore,
    engine: Engine,
    retention: Retention,
    alerts: Alerts,
    policy: Arc<PolicyFile>,
    crew: Crew,
    turning: Vec<Beat>,
    pump: Pump,
    traces: Option<Arc<Traces>>,
    router: axum::Router,
    listeners: Listeners,
    limits: Limits,
    clock: Arc<dyn Clock>,
    shutdown: CancellationToken,
}

/// Puts everything together.
pub(crate) fn build(settings: &Settings, outside: Outside) -> Result<Graph> {
    let Outside { clock, seed, auth, listeners, sockets, policy, traces, shutdown } = outside;

    let arrivals = Arc::new(Arrivals::new(Arc::clone(&clock)));
    let roster = Arc::new(Roster::default());
    let ledger = Arc::new(Ledger::new(clock.now()));
    let metrics = Arc::new(Metrics::new(env!("CARGO_PKG_VERSION")));
    let history = Arc::new(History::new(clock.now()));
    let feed = Arc::new(Feed::new(reclaimer_feed::Config::default(), seed.generator("events").next_u32()));
    let news = Arc::new(News {
        arrivals: Arc::clone(&arrivals),
        roster: Arc::clone(&roster),
        ledger: Arc::clone(&ledger),
        metrics: Arc::clone(&metrics),
        history: Arc::clone(&history),
        feed: Arc::clone(&feed),
        traces: traces.clone(),
    });
    let store = SqliteStore::open(sqlite(settings)?, Arc::clone(&news) as _)?;
    let jobs: Arc<dyn JobStore> = Arc::new(store.clone());
    let accounts: Arc<dyn AccountStore> = Arc::new(store.clone());
    let recovery: Arc<dyn RecoveryStore> = Arc::new(store.clone());
    let issuer: Arc<dyn TokenIssuer> = Arc::new(OAuthIssuer::new(providers(settings)?, Timeouts::default())?);

    let provisioning = Provisioning::new(
        reclaimer_provisioning::Config { traces: traces.is_some(), ..provisioning(settings) },
        reclaimer_provisioning::Deps {
            jobs: Arc::clone(&jobs),
            accounts: Arc::clone(&accounts),
            issuer,
            clock: Arc::clone(&clock),
            arrivals,
            rng: seed.generator("provisioning"),
        },
    );
    let (crew, fleet) = fleet::build(
        settings,
        fleet::Deps {
            provisioning: provisioning.clone(),
            roster,
            clock: Arc::clone(&clock),
            seed,
            sockets,
            shutdown: shutdown.clone(),
        },
    )?;
    let (engine, recovery) = Engine::new(
        settings.recovery.engine(),
        reclaimer_recovery::Deps {
            store: recovery,
            clock: Arc::clone(&clock),
            policy: Arc::clone(&policy.policy),
            listener: news,
            rng: seed.generator("recovery"),
        },
    );
    let retention = Retention::new(settings.retention.config(), Arc::new(store.clone()), Arc::clone(&clock));
    let policy = Arc::new(PolicyFile::new(policy, recovery.clone(), Arc::clone(&clock)));
    let alerting_beat = alerting::beat();
    let [engine_beat, lease_watch_beat] = recovery.beats();
    let turning = vec![retention.beat(), fleet.beat(), alerting_beat.clone(), engine_beat];
    let mut beats = turning.clone();
    beats.push(lease_watch_beat);
    let observer = Arc::new(Observer::new(health::Deps {
        store: store.clone(),
        fleet: Arc::clone(&fleet),
        recovery: recovery.clone(),
        ledger,
        beats,
        limits: settings.health.limits(),
        clock: Arc::clone(&clock),
    }));
    let (alerts, alerting) = alerting::build(
        settings,
        alerting::Outside {
            source: Arc::clone(&observer) as _,
            store: Arc::new(store.clone()),
            clock: Arc::clone(&clock),
            seed,
            beat: alerting_beat,
        },
    )?;
    let live = Live::new(Arc::clone(&feed), Arc::new(store.clone()));
    let pump = Pump::new(feed, Arc::clone(&jobs), Arc::clone(&fleet) as _, Arc::clone(&clock));
    let counted = Arc::new(Counted {
        metrics,
        observer: Arc::clone(&observer),
        traces: traces.clone(),
        clock: Arc::clone(&clock),
    });
    let sessions = Arc::new(Sessions::new(auth.admin.clone(), seed.generator("sessions")));
    let dashboard = reclaimer_dashboard::router(reclaimer_dashboard::Deps {
        sessions: Arc::clone(&sessions),
        jobs: Arc::clone(&jobs),
        accounts: Arc::clone(&accounts),
        past: Arc::new(store.clone()),
        provisioning: provisioning.clone(),
        recovery: recovery.clone(),
        policy: Arc::clone(&policy) as _,
        policy_defaults: settings.recovery.policy_defaults(),
        fleet: Arc::clone(&fleet) as _,
        health: Arc::clone(&observer) as _,
        alerts: Arc::clone(&alerting) as _,
        history,
        clock: Arc::clone(&clock),
    });
    let router = router(
        reclaimer_server::Config {
            auth,
            allowed_hosts: settings.server.allowed_hosts.clone(),
            open_metrics: settings.server.open_metrics,
            most_waiting: (settings.server.connections / 4 * 3).max(1),
        },
        reclaimer_server::Deps {
            provisioning,
            jobs,
            accounts,
            recovery,
            policy: Arc::clone(&policy) as _,
            fleet,
            health: observer,
            live,
            metrics: counted,
            alerts: alerting,
            sessions,
            clock: Arc::clone(&clock),
            shutdown: shutdown.clone(),
        },
        docs_site::router().merge(dashboard),
    );
    let limits = Limits {
        connections: settings.server.connections,
        grace: settings.server.shutdown_grace,
        ..Limits::default()
    };
    Ok(Graph {
        store,
        engine,
        retention,
        alerts,
        policy,
        crew,
        turning,
        pump,
        traces,
        router,
        listeners,
        limits,
        clock,
        shutdown,
    })
}

impl Graph {
    /// Opens the database and brings it up to date. What hinders that is every request's answer until it is gone.
    pub(crate) async fn open(&self) {
        if let Err(error) = self.store.probe(self.clock.now()).await {
            let cause = std::error::Error::source(&error).map(tracing::field::display);
            error!(
                area = "JOB-MANAGER",
                code = error.code(),
                cause,
                "the server starts without its database: {error}"
            );
        }
    }

    /// What proves that the loops turn whatever becomes of the database: to wait for that is no reason to be restarted.
    pub(crate) fn turning(&self) -> Vec<Beat> {
        self.turning.clone()
    }

    /// The policy file, to be read anew.
    pub(crate) fn policy(&self) -> Arc<PolicyFile> {
        Arc::clone(&self.policy)
    }

    /// Runs until the shutdown is asked for, and then ends in order: no more connections, running requests finish, the
    /// engine finishes its batch, workers and then links end, the writer carries out what waits.
    pub(crate) async fn run(self) -> Served {
        let Self {
            store,
            engine,
            retention,
            alerts,
            crew,
            pump,
            traces,
            router,
            listeners,
            limits,
            shutdown,
            ..
        } = self;
        let crew = crew.start();
        let engine = tokio::spawn(engine.run(shutdown.clone()));
        let retention = tokio::spawn(retention.run(shutdown.clone()));
        let alerts = tokio::spawn(alerts.run(shutdown.clone()));
        let pump = tokio::spawn(pump.run(shutdown.clone()));
        let served = serve(listeners, router, limits, shutdown).await;
        if let Err(panic) = engine.await {
            error!(area = "JOB-RECOVERY", %panic, "the recovery engine ended by a panic");
        }
        if let Err(panic) = retention.await {
            error!(area = "JOB-MANAGER", %panic, "retention ended by a panic");
        }
        if let Err(panic) = alerts.await {
            error!(area = "JOB-MANAGER", %panic, "alerting ended by a panic");
        }
        if let Err(panic) = pump.await {
            error!(area = "JOB-MANAGER", %panic, "live events ended by a panic");
        }
        if let Err(panic) = crew.await {
            error!(area = "SUPERVISOR", %panic, "the supervision of workers ended by a panic");
        }
        store.close().await;
        if let Some(traces) = traces
            && let Err(panic) = tokio::task::spawn_blocking(move || traces.end()).await
        {
            error!(area = "JOB-MANAGER", %panic, "sending the last traces ended by a panic");
        }
        served
    }
}

/// Whoever wants to know of the store's news, and of recovery runs.
#[derive(Debug)]
struct News {
    arrivals: Arc<Arrivals>,
    roster: Arc<Roster>,
    ledger: Arc<Ledger>,
    metrics: Arc<Metrics>,
    feed: Arc<Feed>,
    traces: Option<Arc<Traces>>,
    history: Arc<History>,
}

impl StoreListener for News {
    fn arrived(&self, arrived: &[Arrival]) {
        self.arrivals.arrived(arrived);
    }

    fn taken(&self, leases: &[TakenLease]) {
        self.roster.taken(leases);
    }

    fn committed(&self, group: &Committed) {
        self.ledger.committed(group);
        self.metrics.committed(group);
        self.feed.committed(group);
        if let Some(traces) = &self.traces {
            traces.committed(group);
        }
        self.history.committed(group);
    }
}

impl RunListener for News {
    fn begun(&self, run: &RunBegun) {
        self.metrics.begun(run);
        self.feed.begun(run);
    }

    fn ended(&self, report: &RunReport, at: DateTime<Utc>) {
        self.metrics.ended(report, at);
        self.feed.ended(report, at);
        if let Some(traces) = &self.traces {
            traces.ended(report, at);
        }
    }
}

/// The database's settings.
fn sqlite(settings: &Settings) -> Result<SqliteConfig> {
    let data_dir = &settings.server.data_dir;
    let Some(path) = settings.database.sqlite_path(data_dir) else {
        bail!("{} is no address of a SQLite database", settings.database.address(data_dir));
    };
    Ok(SqliteConfig {
        durability: settings.database.durability.into(),
        min_free: settings.database.min_free.as_u64(),
        ..SqliteConfig::at(path)
    })
}

fn provisioning(settings: &Settings) -> reclaimer_provisioning::Config {
    reclaimer_provisioning::Config {
        lease: settings.provisioning.lease,
        refresh_before: settings.provisioning.refresh_before,
        fresh_for: settings.discovery.fresh_for,
        discovery_command: settings.discovery.command.clone(),
        spawn: settings.discovery.spawn_rules(),
        ..reclaimer_provisioning::Config::default()
    }
}

fn providers(settings: &Settings) -> Result<Vec<reclaimer_oauth::Provider>> {
    let provider = |provider: &crate::config::Provider| {
        let secret = match (&provider.client_secret, &provider.client_secret_file) {
            (Some(Masked(secret)), _) => Some(secret.clone()),
            (None, Some(path)) => Some(secret_of(path)?),
            (None, None) => None,
        };
        Ok(reclaimer_oauth::Provider {
            id: provider.id.clone(),
            token_url: provider.token_url.clone(),
            client_id: provider.client_id.clone(),
            client_secret: secret,
        })
    };
    settings.oauth.provider.iter().map(provider).collect()
}

fn secret_of(path: &Path) -> Result<Secret> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("cannot read the client secret from {}", path.display()))?;
    Ok(Secret::new(text.trim()))
}

/// The database's file, for commands that work on it beside a server.
pub(crate) fn database_file(settings: &Settings) -> Result<PathBuf> {
    sqlite(settings).map(|config| config.path)
}
