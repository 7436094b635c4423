//! What a guard and its supervisor say to each other over their socket: orders down, one byte each; reports up, one
//! line each.

use std::fmt;
use std::str::FromStr;

use crate::proc::ProcessId;

/// The order to start the worker: it is written down that it will run.
pub(crate) const START: u8 = b's';

/// The order to send `SIGTERM` to the worker's group.
pub(crate) const TERMINATE: u8 = b't';

/// The order to kill the worker and everything below it.
pub(crate) const KILL: u8 = b'k';

/// What a guard reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Report {
    /// The worker's program runs.
    Started(ProcessId),
    /// The worker's program could not be run; the last report.
    Failed(String),
    /// The worker ended, and nothing of it is left; the last report.
    Ended(End),
}

/// How the worker's process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct End {
    pub(crate) status: Status,
    pub(crate) want: Want,
    /// In bytes.
    pub(crate) peak_memory: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    Exited(i32),
    Signalled(i32),
}

/// Whether it ended for want of memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Want {
    None,
    /// Its own limit.
    Limit,
    /// The machine's memory, or that of a control group.
    Machine,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Started(id) => writeln!(f, "started {id}"),
            // On one line, whatever the system said.
            Self::Failed(why) => writeln!(f, "failed {}", why.replace(['\n', '\r'], " ")),
            Self::Ended(End { status, want, peak_memory }) => {
                let (how, number) = match status {
                    Status::Exited(code) => ("exited", code),
                    Status::Signalled(signal) => ("signalled", signal),
                };
                let want = match want {
                    Want::None => "none",
                    Want::Limit => "limit",
                    Want::Machine => "machine",
                };
                writeln!(f, "ended {how} {number} {want} {peak_memory}")
            }
        }
    }
}

/// A line that is no report.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NoReport;

impl FromStr for Report {
    type Err = NoReport;

    fn from_str(line: &str) -> Result<Self, NoReport> {
        let (word, rest) = line.split_once(' ').ok_or(NoReport)?;
        match word {
            "started" => rest.parse().map(Self::Started).map_err(|()| NoReport),
            "failed" => Ok(Self::Failed(rest.to_owned())),
            "ended" => parse_end(rest).map(Self::Ended).ok_or(NoReport),
            _ => Err(NoReport),
        }
    }
}

fn parse_end(text: &str) -> Option<End> {
    let words: Vec<&str> = text.split(' ').collect();
    let [how, number, want, peak_memory] = *words.as_slice() else { return None };
    let number = number.parse().ok()?;
    let status = match how {
        "exited" => Status::Exited(number),
        "signalled" => Status::Signalled(number),
        _ => return None,
    };
    let want = match want {
        "none" => Want::None,
        "limit" => Want::Limit,
        "machine" => Want::Machine,
        _ => return None,
    };
    Some(End { status, want, peak_memory: peak_memory.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_report() -> impl Strategy<Value = Report> {
        let status =
            prop_oneof![any::<i32>().prop_map(Status::Exited), any::<i32>().prop_map(Status::Signalled)];
        let want = prop_oneof![Just(Want::None), Just(Want::Limit), Just(Want::Machine)];
        prop_oneof![
            (1..i32::MAX, any::<u64>()).prop_map(|(pid, start)| {
                Report::Started(ProcessId { pid: rustix::process::Pid::from_raw(pid).unwrap(), start })
            }),
            "[^\r\n]*".prop_map(Report::Failed),
            (status, want, any::<u64>()).prop_map(|(status, want, peak_memory)| Report::Ended(End {
                status,
                want,
                peak_memory
            })),
        ]
    }

    proptest! {
        #[test]
        fn a_report_arrives_as_it_was_sent(report in any_report()) {
            let sent = report.to_string();
            let line = sent.strip_suffix('\n').unwrap();
            prop_assert!(!line.contains('\n'));
            prop_assert_eq!(line.parse(), Ok(report));
        }

        #[test]
        fn rubbish_is_no_report(line in "(ended |started )?[a-z0-9 -]{0,20}") {
            let _ = line.parse::<Report>();
        }
    }

    #[test]
    fn a_failure_stays_on_its_line() {
        assert_eq!(Report::Failed("a\nb".to_owned()).to_string(), "failed a b\n");
        for line in
            ["", "started", "started 0-1", "ended exited 1 none", "ended exited 1 none 5 6", "hello you"]
        {
            assert_eq!(line.parse::<Report>(), Err(NoReport), "{line}");
        }
    }
}
