//! What a reader wants to hear of.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::str::FromStr;

use reclaimer_domain::id::JobId;

/// What an event is about: its name in the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Topic {
    /// A job.
    Job,
    /// A recovery run.
    Run,
    /// A link's breaker.
    Breaker,
    /// A worker's connection or process.
    Worker,
    /// Statistics.
    Stats,
    /// That something is not told.
    Gap,
}

impl Topic {
    /// Those that can be asked for. A gap concerns everybody.
    pub const ALL: [Self; 5] = [Self::Job, Self::Run, Self::Breaker, Self::Worker, Self::Stats];

    /// The name in the stream.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Job => "job",
            Self::Run => "run",
            Self::Breaker => "breaker",
            Self::Worker => "worker",
            Self::Stats => "stats",
            Self::Gap => "gap",
        }
    }
}

/// A text that is no topic.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there are no events `{0}`: take job, run, breaker, worker or stats")]
pub struct UnknownTopic(String);

impl FromStr for Topic {
    type Err = UnknownTopic;

    fn from_str(text: &str) -> Result<Self, UnknownTopic> {
        let mut all = Self::ALL.into_iter();
        all.find(|topic| topic.as_str() == text).ok_or_else(|| UnknownTopic(text.chars().take(64).collect()))
    }
}

/// Stands for a job's id. Two jobs that share one would each be told of to whoever asked for the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct JobMark(u64);

impl JobMark {
    pub(crate) fn of(job: &JobId) -> Self {
        let mut hasher = DefaultHasher::new();
        job.hash(&mut hasher);
        Self(hasher.finish())
    }
}

/// What a reader wants to hear of; by default everything.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    topics: Option<Vec<Topic>>,
    jobs: Option<HashSet<JobMark>>,
}

impl Filter {
    /// Only of these topics, and, of jobs, only of these. `None` = of all.
    #[must_use]
    pub fn new(topics: Option<Vec<Topic>>, jobs: Option<&[JobId]>) -> Self {
        Self { topics, jobs: jobs.map(|jobs| jobs.iter().map(JobMark::of).collect()) }
    }

    pub(crate) fn takes(&self, topic: Topic, job: Option<JobMark>) -> bool {
        topic == Topic::Gap
            || self.topics.as_ref().is_none_or(|topics| topics.contains(&topic))
                && job.is_none_or(|job| self.jobs.as_ref().is_none_or(|jobs| jobs.contains(&job)))
    }
}
