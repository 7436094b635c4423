//! Reading what happened, with a bar.

use std::io::IsTerminal;
use std::time::Duration;

use anyhow::Result;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use reclaimer_domain::ports::{Clock, Recorded};
use reclaimer_domain::time::before;
use reclaimer_persistence::HistoryFile;

use crate::cli::Common;
use crate::system::SystemClock;
use crate::wiring::database_file;

/// So many events are read at once.
const PART: u32 = 5_000;

/// How much of the bar a whole history is.
const WHOLE: u64 = 1_000;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Span {
    /// How far back to look, e.g. 30d or 12h
    #[arg(long, value_name = "TIME", default_value = "30d", value_parser = humantime::parse_duration)]
    since: Duration,
}

impl Span {
    /// Takes each event of the span in the order in which they happened, from the database file itself.
    pub(super) fn read(&self, common: &Common, mut take: impl FnMut(&Recorded)) -> Result<()> {
        let mut file = HistoryFile::open(&database_file(&common.load()?.settings)?)?;
        let since = before(SystemClock.now(), self.since);
        let bar = bar();
        let mut cursor = None;
        loop {
            let page = file.page(since, cursor, PART)?;
            page.items.iter().for_each(&mut take);
            bar.set_position(thousandths(page.read));
            cursor = page.next;
            if cursor.is_none() {
                break;
            }
        }
        bar.finish_and_clear();
        Ok(())
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to 1000")]
fn thousandths(share: f64) -> u64 {
    (share.clamp(0.0, 1.0) * WHOLE as f64) as u64
}

/// On the terminal of the errors, so that what is printed can be piped; nowhere where there is none.
fn bar() -> ProgressBar {
    let live = std::io::stderr().is_terminal();
    let target = if live { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let bar = ProgressBar::with_draw_target(Some(WHOLE), target);
    if let Ok(style) = ProgressStyle::with_template("reading the history {bar:30} {percent} %, {eta} left") {
        bar.set_style(style);
    }
    bar
}
