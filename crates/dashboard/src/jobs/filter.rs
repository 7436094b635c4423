//! Which jobs a list shows.

use maud::{Markup, html};
use reclaimer_domain::job::Status;
use reclaimer_domain::ports::JobFilter;

use crate::failure::Failure;
use crate::fields::Fields;

/// Which jobs a list shows; everything that is set must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Filter(pub(crate) JobFilter);

impl Filter {
    pub(crate) fn read(fields: &Fields) -> Result<Self, Failure> {
        Ok(Self(JobFilter {
            status: fields.all_parsed("status")?,
            queue: fields.parsed("queue")?,
            command: fields.parsed("command")?,
            account_id: fields.parsed("account")?,
            full_path: fields.text("path").map(ToOwned::to_owned),
            worker_id: fields.parsed("worker")?,
            text: fields.text("text").map(ToOwned::to_owned),
        }))
    }

    /// What else but the state is asked for: the field's name, what it is called, what it holds.
    pub(crate) fn texts(&self) -> [(&'static str, &'static str, Option<&str>); 6] {
        let filter = &self.0;
        [
            ("text", "Text", filter.text.as_deref()),
            ("queue", "Queue", filter.queue.as_ref().map(|it| it.as_str())),
            ("command", "Command", filter.command.as_ref().map(|it| it.as_str())),
            ("account", "Account", filter.account_id.as_ref().map(|it| it.as_str())),
            ("path", "Path", filter.full_path.as_deref()),
            ("worker", "Worker", filter.worker_id.as_ref().map(|it| it.as_str())),
        ]
    }

    pub(crate) fn with_status(&self, status: Option<Status>) -> Self {
        Self(JobFilter { status: status.into_iter().collect(), ..self.0.clone() })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0 == JobFilter::default()
    }

    /// Whether it asks for nothing but a queue and states.
    pub(crate) fn only_queue_and_status(&self) -> bool {
        let (status, queue) = (self.0.status.clone(), self.0.queue.clone());
        self.0 == JobFilter { status, queue, ..JobFilter::default() }
    }

    /// This filter as fields of a form that does something else.
    pub(crate) fn hidden(&self) -> Markup {
        html! {
            @for status in &self.0.status { input type="hidden" name="status" value=(status.as_str()); }
            @for (name, _, value) in self.texts() {
                @if let Some(value) = value { input type="hidden" name=(name) value=(value); }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_survives_its_own_link() {
        let text = "status=failed&status=paused&queue=q%3F&command=A%26B&account=a&path=%2Fa%20b&worker=w%2F1&text=no%20route%3F";
        let filter = Filter::read(&Fields::read(text.as_bytes())).unwrap();
        let link = filter.link("/jobs").href();
        let (_, query) = link.split_once('?').unwrap();
        assert_eq!(Filter::read(&Fields::read(query.as_bytes())).unwrap(), filter);
        assert!(!filter.is_empty() && Filter::default().is_empty());
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for text in ["status=done", "queue=a%20b", "command=%00"] {
            assert!(Filter::read(&Fields::read(text.as_bytes())).is_err(), "{text}");
        }
    }
}
