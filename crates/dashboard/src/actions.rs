//! What a person can do to jobs from here: the domain's own actions, in words.

use maud::{Markup, html};
use reclaimer_domain::job::{Counter, Counts, Reset, Status};
use reclaimer_domain::ports::AdminAction;

use crate::failure::Failure;
use crate::fields::Fields;

/// An action that can be done to one job or to many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    Retry,
    Release,
    Resume,
    Pause,
    Cancel,
}

impl Action {
    /// Every action, the most wanted first.
    pub(crate) const ALL: [Self; 5] = [Self::Retry, Self::Release, Self::Resume, Self::Pause, Self::Cancel];

    /// The word in forms.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Release => "release",
            Self::Resume => "resume",
            Self::Pause => "pause",
            Self::Cancel => "cancel",
        }
    }

    /// The word on its button.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Retry => "Retry",
            Self::Release => "Release",
            Self::Resume => "Resume",
            Self::Pause => "Pause",
            Self::Cancel => "Cancel",
        }
    }

    /// The word for what was done.
    pub(crate) fn done(self) -> &'static str {
        match self {
            Self::Retry => "retried",
            Self::Release => "released",
            Self::Resume => "resumed",
            Self::Pause => "paused",
            Self::Cancel => "cancelled",
        }
    }

    /// What comes of it.
    pub(crate) fn effect(self) -> &'static str {
        match self {
            Self::Retry => "It is queued again, and the next worker gets it.",
            Self::Release => "It is queued again, and the next worker gets it.",
            Self::Resume => "Workers may take it again.",
            Self::Pause => "No worker gets it until somebody resumes it.",
            Self::Cancel => {
                "It is given up for good. A worker that runs it is told at its next sign of life; what it reports then is \
                 refused."
            }
        }
    }

    /// The counters that begin again unless somebody chooses others.
    pub(crate) fn usual_reset(self) -> Option<Reset> {
        match self {
            Self::Retry => Some(Reset::ALL),
            Self::Release => Some(Reset::RELEASE),
            Self::Resume | Self::Pause | Self::Cancel => None,
        }
    }

    /// The domain's action.
    pub(crate) fn with(self, reset: Option<Reset>) -> AdminAction {
        let reset = |usual: Reset| reset.unwrap_or(usual);
        match self {
            Self::Retry => AdminAction::Retry(reset(Reset::ALL)),
            Self::Release => AdminAction::Release(reset(Reset::RELEASE)),
            Self::Resume => AdminAction::Resume,
            Self::Pause => AdminAction::Pause,
            Self::Cancel => AdminAction::Cancel,
        }
    }

    /// Whether a job in this state allows it.
    pub(crate) fn is_possible(self, status: Status) -> bool {
        self.with(None).possible_from().contains(&status)
    }

    /// The action that a form names.
    pub(crate) fn of(fields: &Fields) -> Result<Self, Failure> {
        let word = fields.text("action").unwrap_or_default();
        Self::ALL.into_iter().find(|action| action.word() == word).ok_or_else(|| {
            let words = Self::ALL.map(Self::word).join("`, `");
            Failure::bad_request(format!("`action`: one of `{words}`"))
        })
    }
}

/// The counters that a form chose; `None` where it offered no choice.
pub(crate) fn chosen_reset(fields: &Fields) -> Result<Option<Reset>, Failure> {
    if fields.text("choose").is_none() {
        return Ok(None);
    }
    Ok(Some(fields.all_parsed::<Counter>("reset")?.into_iter().collect()))
}

/// The choice of counters, in a form.
pub(crate) fn reset_choice(usual: Reset) -> Markup {
    html! {
        fieldset {
            legend { "Begin again with" }
            input type="hidden" name="choose" value="yes";
            @for counter in Counter::ALL {
                label.check {
                    input type="checkbox" name="reset" value=(counter.as_str()) checked[usual.has(counter)];
                    " " (counter_words(counter))
                }
            }
        }
    }
}

fn counter_words(counter: Counter) -> &'static str {
    match counter {
        Counter::Attempts => "attempts",
        Counter::LeaseLosses => "lost leases",
        Counter::Recoveries => "recoveries",
    }
}

/// The counters that begin again and what they stood at: `attempts (5), recoveries (2)`.
pub(crate) fn reset_words(reset: &Counts) -> String {
    let said = reset.iter().filter(|(_, stood_at)| **stood_at > 0);
    let said: Vec<String> =
        said.map(|(counter, stood_at)| format!("{} ({stood_at})", counter_words(*counter))).collect();
    said.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_that_offers_a_choice_may_choose_nothing() {
        let chosen = |text: &str| chosen_reset(&Fields::read(text.as_bytes()));
        assert_eq!(chosen("action=retry").unwrap(), None);
        assert_eq!(chosen("choose=yes").unwrap(), Some(Reset::NONE));
        let three = "choose=yes&reset=attempts&reset=lease_losses&reset=recoveries";
        assert_eq!(chosen(three).unwrap(), Some(Reset::ALL));
        assert!(chosen("choose=yes&reset=luck").is_err());
    }

    #[test]
    fn every_action_is_found_by_its_word() {
        for action in Action::ALL {
            let fields = Fields::read(format!("action={}", action.word()).as_bytes());
            assert_eq!(Action::of(&fields).unwrap(), action);
        }
        assert!(Action::of(&Fields::default()).is_err());
    }
}
