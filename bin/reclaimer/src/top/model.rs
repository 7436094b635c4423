//! What the view is about, and how it answers to what happens: pure, without a terminal and without a server.

use std::collections::{BTreeSet, VecDeque};

use chrono::{DateTime, Utc};
use reclaimer_domain::job::Status;

use super::seen::{Job, Snapshot, Story};

/// How many seconds of throughput are remembered.
const REMEMBERED: usize = 240;
/// How far a page key moves.
const PAGE: isize = 10;

/// What happens to the view.
#[derive(Debug)]
pub(super) enum Event {
    Key(Key),
    /// The server was looked at.
    Seen(Box<Snapshot>),
    /// It could not be.
    Lost(String),
    /// What an order came to: a sentence.
    Done(Result<String, String>),
    /// What a recovery would do: a sentence.
    Preview(Result<String, String>),
    Told(Result<Box<Story>, String>),
}

/// What a person can press.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    Up,
    Down,
    PageUp,
    PageDown,
    Home,
    End,
    Left,
    Right,
    NextPane,
    PreviousPane,
    Enter,
    Escape,
    Quit,
    Character(char),
}

/// What the view wants done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Order {
    /// Look at the server at once.
    Look,
    /// Do this to each of these jobs.
    Act(Action, Vec<String>),
    /// Say what a recovery would do.
    Preview,
    Recover,
    /// Read one job in full.
    Tell(String),
    Quit,
}

/// What can be done to jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    /// Retry what failed.
    Retry,
    /// Release what was set aside.
    Release,
    Cancel,
}

impl Action {
    /// The word of the API.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Release => "release",
            Self::Cancel => "cancel",
        }
    }

    /// What has become of a job to which it was done.
    pub(super) fn done(self) -> &'static str {
        match self {
            Self::Retry | Self::Release => "queued again",
            Self::Cancel => "cancelled",
        }
    }
}

/// The parts of the view that can be moved in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pane {
    Jobs,
    Fleet,
    Decisions,
}

impl Pane {
    pub(super) const ALL: [Self; 3] = [Self::Jobs, Self::Fleet, Self::Decisions];
}

/// What lies over the view.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Overlay {
    Help,
    /// A question, and what is ordered if the answer is yes.
    Confirm {
        question: String,
        order: Order,
    },
    Story(Box<Story>),
}

/// A sentence about what was done last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Notice {
    pub(super) text: String,
    pub(super) bad: bool,
}

/// The whole view.
#[derive(Debug)]
pub(super) struct Model {
    pub(super) server: String,
    pub(super) seen: Snapshot,
    /// Why the server cannot be looked at.
    pub(super) trouble: Option<String>,
    /// Which jobs are listed.
    pub(super) state: Status,
    pub(super) focus: Pane,
    /// The job that keys act on. By name: a list that moves under the hand must not change whom a key meets.
    pub(super) selected: Option<String>,
    /// Where the selection is, or was when its job left the list.
    pub(super) place: usize,
    pub(super) marked: BTreeSet<String>,
    /// How far the other panes, and what lies over them, are scrolled.
    pub(super) scrolled: usize,
    pub(super) overlay: Option<Overlay>,
    pub(super) notice: Option<Notice>,
    /// Jobs finished per second, oldest first.
    pub(super) throughput: VecDeque<u64>,
}

impl Model {
    pub(super) fn new(server: String, seen: Snapshot) -> Self {
        Self {
            server,
            seen,
            trouble: None,
            state: Status::Failed,
            focus: Pane::Jobs,
            selected: None,
            place: 0,
            marked: BTreeSet::new(),
            scrolled: 0,
            overlay: None,
            notice: None,
            throughput: VecDeque::new(),
        }
    }

    /// Takes in what happened, and says what is to be done.
    pub(super) fn update(&mut self, event: Event) -> Option<Order> {
        match event {
            Event::Key(key) => return self.pressed(key),
            Event::Seen(snapshot) => self.look(*snapshot),
            Event::Lost(trouble) => self.trouble = Some(trouble),
            Event::Done(came_to) => {
                self.marked.clear();
                self.tell(came_to);
                return Some(Order::Look);
            }
            Event::Preview(Ok(sentence)) => {
                let question = format!("A recovery now: {sentence}. Do it?");
                self.notice = None;
                self.overlay = Some(Overlay::Confirm { question, order: Order::Recover });
            }
            Event::Told(Ok(story)) => {
                self.notice = None;
                self.scrolled = 0;
                self.overlay = Some(Overlay::Story(story));
            }
            Event::Preview(Err(why)) | Event::Told(Err(why)) => self.tell(Err(why)),
        }
        None
    }

    fn tell(&mut self, came_to: Result<String, String>) {
        let bad = came_to.is_err();
        let text = came_to.unwrap_or_else(|why| why);
        self.notice = Some(Notice { text, bad });
    }

    fn look(&mut self, snapshot: Snapshot) {
        self.trouble = None;
        if let Some(rate) = rate(&self.seen, &snapshot) {
            self.throughput.push_back(rate);
            self.throughput.drain(..self.throughput.len().saturating_sub(REMEMBERED));
        }
        // What was asked for before another state was chosen.
        let of_another = snapshot.state != Some(self.state);
        let jobs = if of_another { std::mem::take(&mut self.seen.jobs) } else { Vec::new() };
        self.seen = snapshot;
        if of_another {
            self.seen.jobs = jobs;
            return;
        }
        let there: BTreeSet<&str> = self.seen.jobs.iter().map(|job| job.id.as_str()).collect();
        self.marked.retain(|id| there.contains(id.as_str()));
        let found =
            self.selected.as_deref().and_then(|id| self.seen.jobs.iter().position(|job| job.id == id));
        match found {
            Some(place) => self.place = place,
            None => self.selected = None,
        }
    }

    fn pressed(&mut self, key: Key) -> Option<Order> {
        if key == Key::Quit {
            return Some(Order::Quit);
        }
        match self.overlay.take() {
            Some(Overlay::Confirm { question, order }) => match key {
                Key::Character('y') => {
                    self.notice = Some(Notice { text: "working …".to_owned(), bad: false });
                    Some(order)
                }
                Key::Character('n' | 'q') | Key::Escape => None,
                // Neither yes nor no: the question stays.
                _ => {
                    self.overlay = Some(Overlay::Confirm { question, order });
                    None
                }
            },
            Some(over) => {
                if let Some(by) = step(key) {
                    self.scrolled = self.scrolled.saturating_add_signed(by);
                    self.overlay = Some(over);
                } else {
                    self.scrolled = 0;
                }
                None
            }
            None => self.pressed_on_panes(key),
        }
    }

    fn pressed_on_panes(&mut self, key: Key) -> Option<Order> {
        if let Some(by) = step(key) {
            self.step(by);
            return None;
        }
        match key {
            Key::NextPane => self.turn(1),
            Key::PreviousPane => self.turn(Pane::ALL.len() - 1),
            Key::Right => return self.choose(1),
            Key::Left => return self.choose(Status::ALL.len() - 1),
            Key::Enter => return self.selected.clone().map(Order::Tell),
            Key::Escape => {
                self.marked.clear();
                self.notice = None;
            }
            Key::Character(character) => return self.typed(character),
            Key::Up | Key::Down | Key::PageUp | Key::PageDown | Key::Home | Key::End | Key::Quit => {}
        }
        None
    }

    fn typed(&mut self, character: char) -> Option<Order> {
        match character {
            'q' => return Some(Order::Quit),
            '?' => {
                self.scrolled = 0;
                self.overlay = Some(Overlay::Help);
            }
            ' ' => {
                if let Some(id) = self.selected.clone() {
                    if !self.marked.remove(&id) {
                        self.marked.insert(id);
                    }
                    self.step(1);
                }
            }
            'a' => self.marked = self.seen.jobs.iter().map(|job| job.id.clone()).collect(),
            'r' => match self.state {
                Status::Failed => return self.act(Action::Retry),
                Status::Quarantined => return self.act(Action::Release),
                Status::Queued | Status::Running | Status::Finished | Status::Paused | Status::Cancelled => {
                    self.tell(Err(format!("{} jobs cannot be retried", self.state.as_str())));
                }
            },
            'c' => match self.state {
                Status::Finished | Status::Cancelled => {
                    self.tell(Err(format!("{} jobs cannot be cancelled", self.state.as_str())));
                }
                Status::Queued | Status::Running | Status::Failed | Status::Paused | Status::Quarantined => {
                    return self.act(Action::Cancel);
                }
            },
            'R' => {
                self.notice =
                    Some(Notice { text: "asking what a recovery would do …".to_owned(), bad: false });
                return Some(Order::Preview);
            }
            _ => {}
        }
        None
    }

    /// Acts on the marked jobs, or on the selected one. A retry of one job happens at once; what meets several, or cannot
    /// be taken back, is asked about.
    fn act(&mut self, action: Action) -> Option<Order> {
        let ids: Vec<String> = if self.marked.is_empty() {
            self.selected.clone().into_iter().collect()
        } else {
            self.marked.iter().cloned().collect()
        };
        let question = match (ids.as_slice(), action) {
            ([], _) => {
                self.tell(Err("choose a job first, with ↑ and ↓; space marks several".to_owned()));
                return None;
            }
            ([_], Action::Retry | Action::Release) => None,
            ([one], Action::Cancel) => Some(format!("Give up job {one}?")),
            (many, Action::Cancel) => Some(format!("Give up {} jobs?", many.len())),
            (many, Action::Retry | Action::Release) => {
                Some(format!("Queue {} {} jobs again?", many.len(), self.state.as_str()))
            }
        };
        let order = Order::Act(action, ids);
        let Some(question) = question else { return Some(order) };
        self.overlay = Some(Overlay::Confirm { question, order });
        None
    }

    fn step(&mut self, by: isize) {
        if self.focus != Pane::Jobs {
            self.scrolled = self.scrolled.saturating_add_signed(by);
            return;
        }
        let Some(last) = self.seen.jobs.len().checked_sub(1) else { return };
        // Where nothing is selected, the first step selects what is at the place.
        let from = self.place.min(last);
        let steps = if self.selected.is_some() || by.unsigned_abs() > 1 { by } else { 0 };
        self.place = from.saturating_add_signed(steps).min(last);
        self.selected = self.seen.jobs.get(self.place).map(|job: &Job| job.id.clone());
    }

    fn turn(&mut self, by: usize) {
        let at = Pane::ALL.iter().position(|pane| *pane == self.focus).unwrap_or(0);
        self.focus = Pane::ALL[(at + by) % Pane::ALL.len()];
        self.scrolled = 0;
    }

    /// Lists the jobs of another state.
    fn choose(&mut self, by: usize) -> Option<Order> {
        if self.focus != Pane::Jobs {
            return None;
        }
        let at = Status::ALL.iter().position(|state| *state == self.state).unwrap_or(0);
        self.state = Status::ALL[(at + by) % Status::ALL.len()];
        self.seen.jobs.clear();
        self.marked.clear();
        self.selected = None;
        self.place = 0;
        Some(Order::Look)
    }
}

/// How far a key moves.
fn step(key: Key) -> Option<isize> {
    match key {
        Key::Up | Key::Character('k') => Some(-1),
        Key::Down | Key::Character('j') => Some(1),
        Key::PageUp => Some(-PAGE),
        Key::PageDown => Some(PAGE),
        Key::Home => Some(isize::MIN),
        Key::End => Some(isize::MAX),
        _ => None,
    }
}

/// Jobs finished per second between two looks, rounded; none where nothing can be said.
fn rate(before: &Snapshot, after: &Snapshot) -> Option<u64> {
    let elapsed = u64::try_from(milliseconds(before.at, after.at)).ok().filter(|elapsed| *elapsed > 0)?;
    // Retention takes finished jobs away; that is no work undone.
    let finished = after.count(Status::Finished).saturating_sub(before.count(Status::Finished));
    Some((finished * 1_000 + elapsed / 2) / elapsed)
}

fn milliseconds(from: DateTime<Utc>, to: DateTime<Utc>) -> i64 {
    (to - from).num_milliseconds()
}

#[cfg(test)]
mod tests;
