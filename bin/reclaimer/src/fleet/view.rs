//! The fleet as the API sees it.

use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, SecondsFormat, Utc};
use reclaimer_domain::id::JobId;
use reclaimer_domain::name::{QueueName, WorkerId};
use reclaimer_domain::ports::Clock;
use reclaimer_domain::time::after;
use reclaimer_health::Beat;
use reclaimer_messaging as messaging;
use reclaimer_messaging::{OrderError, SessionView};
use reclaimer_server::fleet::{
    BreakerOrder, BreakerShape, EndShape, FleetError, FleetView, LinkShape, ProcessShape, WorkerShape,
};
use reclaimer_supervisor::{Ended, Handle, View};

use super::processes::Processes;

/// Links and the processes at their ends.
#[derive(Debug)]
pub(crate) struct Fleet {
    pub(super) links: messaging::Handle,
    /// Where workers are supervised.
    workers: Option<(Handle, Arc<Processes>)>,
    pub(super) clock: Arc<dyn Clock>,
}

impl Fleet {
    pub(super) fn new(
        links: messaging::Handle,
        workers: Option<(Handle, Arc<Processes>)>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { links, workers, clock }
    }

    /// Proves that jobs are started over links.
    pub(crate) fn beat(&self) -> Beat {
        self.links.beat()
    }

    pub(super) fn processes(&self) -> Vec<View> {
        self.workers.as_ref().map(|(handle, _)| handle.workers()).unwrap_or_default()
    }

    fn worker(&self, session: SessionView) -> WorkerShape {
        let process = session.pid.zip(self.workers.as_ref());
        let process = process.and_then(|(pid, (handle, _))| handle.instance_of(pid));
        WorkerShape {
            id: session.worker.to_string(),
            link: session.link,
            state: match (session.proven, session.paused) {
                (false, _) => "connecting",
                (true, false) => "connected",
                (true, true) => "paused",
            },
            pid: session.pid,
            process: process.map(|(_, instance)| instance.to_string()),
            protocol: session.protocol,
            connected_at: session.connected_at,
            last_heard_at: session.heard_at,
            leases: session.held,
            status: session.status,
            messages: session.messages,
            ignored: session.ignored,
        }
    }

    fn process(&self, view: View) -> ProcessShape {
        let now = self.clock.now();
        ProcessShape {
            name: view.instance.to_string(),
            worker: view.instance.worker().to_owned(),
            state: view.state.as_str(),
            pid: view.pid,
            restarts: view.restarts,
            given_up: view.given_up,
            starts_at: view.state.starts_in().map(|length| after(now, length)),
            last_end: view.last_end.map(|ended| end(&ended)),
        }
    }

    /// The names that a name stands for: a worker's own, or those of the processes it names.
    fn meant(&self, name: &str) -> Vec<WorkerId> {
        let Some((handle, processes)) = &self.workers else { return name.parse().into_iter().collect() };
        let of_process = |view: &View| view.instance.as_str() == name || view.instance.worker() == name;
        let views = handle.workers();
        let instances = views.iter().filter(|view| of_process(view));
        let names = instances.flat_map(|view| processes.names(&view.instance));
        names.chain(name.parse()).collect()
    }
}

#[async_trait]
impl reclaimer_server::fleet::Fleet for Fleet {
    fn view(&self) -> FleetView {
        let links: Vec<LinkShape> = self.links.links().into_iter().map(link).collect();
        let processes: Vec<ProcessShape> =
            self.processes().into_iter().map(|view| self.process(view)).collect();
        let of_links = links.iter().filter_map(link_problem);
        FleetView {
            problems: of_links.chain(processes.iter().filter_map(process_problem)).collect(),
            links,
            workers: self.links.sessions().into_iter().map(|session| self.worker(session)).collect(),
            processes,
        }
    }

    fn set_paused(&self, worker: &str, paused: bool) -> Result<(), FleetError> {
        let set = self.meant(worker).iter().filter(|name| self.links.set_paused(name, paused)).count();
        if set == 0 {
            return Err(FleetError::UnknownWorker(worker.to_owned()));
        }
        Ok(())
    }

    fn restart(&self, worker: &str) -> Result<(), FleetError> {
        let sessions = self.links.sessions();
        let session = sessions.iter().find(|session| session.worker.as_str() == worker);
        let Some((handle, _)) = &self.workers else {
            return Err(match session {
                Some(_) => FleetError::NotSupervised(worker.to_owned()),
                None => FleetError::UnknownWorker(worker.to_owned()),
            });
        };
        if handle.restart(worker).is_ok() {
            return Ok(());
        }
        let session = session.ok_or_else(|| FleetError::UnknownWorker(worker.to_owned()))?;
        let instance = session.pid.and_then(|pid| handle.instance_of(pid));
        let (_, instance) = instance.ok_or_else(|| FleetError::NotSupervised(worker.to_owned()))?;
        handle.restart(instance.as_str()).map_err(|_| FleetError::UnknownWorker(worker.to_owned()))
    }

    fn order(&self, link: &str, order: BreakerOrder) -> Result<(), FleetError> {
        let order = match order {
            BreakerOrder::Reset => messaging::BreakerOrder::Reset,
            BreakerOrder::ForcedOpen => messaging::BreakerOrder::ForceOpen,
            BreakerOrder::Auto => messaging::BreakerOrder::Auto,
        };
        self.links.order(link, order).map_err(|error| match error {
            OrderError::NoSuchLink(link) => FleetError::UnknownLink(link),
            OrderError::NoBreaker(link) => FleetError::NoBreaker(link),
        })
    }

    async fn offer(&self, job: JobId, queue: QueueName) {
        self.links.offer(job, queue).await;
    }
}

/// What is wrong with a link that we dial; one that listens has whoever comes.
fn link_problem(link: &LinkShape) -> Option<String> {
    let breaker = link.breaker.as_ref().filter(|_| link.connections == 0)?;
    let name = &link.name;
    let error = link.last_error.as_ref().map_or_else(String::new, |error| format!(" ({error})"));
    let at = |at: Option<DateTime<Utc>>| {
        at.map_or_else(String::new, |at| {
            format!("; tried again at {}", at.to_rfc3339_opts(SecondsFormat::Secs, true))
        })
    };
    Some(match breaker.state {
        "forced_open" => format!("link `{name}` is forced open until it is set to `auto` or `reset`"),
        "open" => {
            let failures = breaker.consecutive_failures;
            let next = at(breaker.next_probe_at);
            format!("the circuit of link `{name}` is open after {failures} failures in a row{error}{next}")
        }
        _ => format!("link `{name}` is not connected{error}{}", at(link.next_attempt_at)),
    })
}

fn process_problem(process: &ProcessShape) -> Option<String> {
    process.given_up.then(|| {
        let name = &process.name;
        let how =
            process.last_end.as_ref().map_or_else(String::new, |end| format!("; it last {}", end.message));
        format!("worker process `{name}` is given up{how}; mend it, then `reclaimer workers restart {name}`")
    })
}

fn link(view: messaging::LinkView) -> LinkShape {
    LinkShape {
        name: view.name,
        mode: view.mode,
        dialect: view.dialect,
        connections: view.connections,
        connection_failures: view.connection_failures,
        last_error: view.last_error,
        next_attempt_at: view.next_attempt_at,
        breaker: view.breaker.map(|breaker| BreakerShape {
            state: breaker.state,
            consecutive_failures: breaker.consecutive_failures,
            next_probe_at: breaker.next_probe_at,
        }),
    }
}

fn end(ended: &Ended) -> EndShape {
    EndShape {
        cause: ended.cause.code(),
        message: ended.cause.to_string(),
        exit_code: ended.exit_code,
        signal: ended.signal,
        out_of_memory: ended.out_of_memory,
        peak_memory: ended.peak_memory,
        ran_for_ms: u64::try_from(ended.ran_for.as_millis()).unwrap_or(u64::MAX),
        output: ended.output.iter().map(|line| line.text.clone()).collect(),
    }
}
