//! Requests for credentials: only for what is held, asked twice the same answer twice, and one refresh however many ask.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use reclaimer_domain::id::JobId;
use tokio::time::Instant;

use super::Core;
use crate::message::{Fresh, Outbound, RefreshAnswer, RefreshRequest};
use crate::session::effect::Effect;

/// So many answers are remembered.
const REMEMBERED: usize = 1_000;

/// For so long: a request said twice is answered from memory, one that is used again much later asks anew.
const REMEMBERED_FOR: Duration = Duration::from_secs(60);

/// So many held jobs are looked up for one request.
const LOOKED_UP: usize = 100;

/// What to do about a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ask {
    /// Nobody asked before: find out.
    First,
    /// It is being found out; whoever asked again gets the answer again.
    Joined,
    /// It was answered.
    Again(Box<RefreshAnswer>),
}

#[derive(Debug, Default)]
pub(super) struct Refreshes {
    /// How many wait for each.
    pending: HashMap<RefreshRequest, usize>,
    answered: HashMap<RefreshRequest, RefreshAnswer>,
    /// When they were answered, in that order.
    order: VecDeque<(Instant, RefreshRequest)>,
}

impl Refreshes {
    pub(super) fn ask(&mut self, request: &RefreshRequest, now: Instant) -> Ask {
        while self.order.front().is_some_and(|(at, _)| now.duration_since(*at) >= REMEMBERED_FOR) {
            self.forget_oldest();
        }
        if let Some(answer) = self.answered.get(request) {
            return Ask::Again(Box::new(answer.clone()));
        }
        match self.pending.get_mut(request) {
            Some(waiting) => {
                *waiting += 1;
                Ask::Joined
            }
            None => {
                self.pending.insert(request.clone(), 1);
                Ask::First
            }
        }
    }

    /// The answers to give: one per time it was asked for.
    pub(super) fn answer(
        &mut self,
        request: RefreshRequest,
        outcome: Result<Fresh, String>,
        now: Instant,
    ) -> Vec<RefreshAnswer> {
        let waiting = self.pending.remove(&request).unwrap_or(1);
        let answer = RefreshAnswer { request: request.clone(), outcome };
        // A request by job has no id of its own: the next one is a new one.
        if matches!(request, RefreshRequest::OfAccount { .. }) {
            self.answered.insert(request.clone(), answer.clone());
            self.order.push_back((now, request));
            if self.order.len() > REMEMBERED {
                self.forget_oldest();
            }
        }
        vec![answer; waiting]
    }

    fn forget_oldest(&mut self) {
        if let Some((_, oldest)) = self.order.pop_front() {
            self.answered.remove(&oldest);
        }
    }
}

impl Core {
    /// Credentials are asked for, and all that was said before has had its effect.
    pub(super) fn asked(&mut self, request: RefreshRequest, now: Instant) -> Vec<Effect> {
        let among = match self.may_have(&request) {
            Ok(among) => among,
            Err(reason) => {
                let answer = RefreshAnswer { request, outcome: Err(reason) };
                return vec![Effect::Send(Outbound::Refreshed(answer))];
            }
        };
        match self.refreshes.ask(&request, now) {
            Ask::First => vec![Effect::Refresh { request, among }],
            Ask::Joined => Vec::new(),
            Ask::Again(answer) => vec![Effect::Send(Outbound::Refreshed(*answer))],
        }
    }

    /// Credentials are for whoever holds a job that needs them. Where the accounts of held jobs are not known here, the
    /// jobs of which one must be of the account; nothing where it is known that one is.
    fn may_have(&self, request: &RefreshRequest) -> Result<Vec<JobId>, String> {
        match request {
            RefreshRequest::OfJob(job) => match self.held.values().any(|held| held.job == *job) {
                true => Ok(Vec::new()),
                false => Err(format!("this connection does not hold job `{job}`")),
            },
            // Whose credentials it needs is not guessed.
            RefreshRequest::OfAccount { account: None, .. } => {
                Err("the request names no account; name it as `accountId`".to_owned())
            }
            RefreshRequest::OfAccount { account: Some(account), .. } => {
                if self.held.values().any(|held| held.account.as_ref() == Some(account)) {
                    return Ok(Vec::new());
                }
                let unknown = self.held.values().filter(|held| held.account.is_none());
                let among: Vec<JobId> = unknown.take(LOOKED_UP).map(|held| held.job.clone()).collect();
                if among.is_empty() { Err(holds_none(account)) } else { Ok(among) }
            }
        }
    }

    pub(super) fn refreshed(
        &mut self,
        request: RefreshRequest,
        outcome: Result<Fresh, String>,
        now: Instant,
    ) -> Vec<Effect> {
        let answers = self.refreshes.answer(request, outcome, now);
        answers.into_iter().map(|answer| Effect::Send(Outbound::Refreshed(answer))).collect()
    }
}

/// Why there are no credentials for whoever holds no job of the account.
pub(crate) fn holds_none(account: &reclaimer_domain::name::AccountId) -> String {
    format!("this connection holds no job of account `{account}`")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_account(id: &str) -> RefreshRequest {
        RefreshRequest::OfAccount {
            request_id: id.into(),
            provider: "g".parse().unwrap(),
            account: Some("a".parse().unwrap()),
            user: None,
        }
    }

    #[test]
    fn asked_twice_the_same_answer_twice() {
        let (mut refreshes, now) = (Refreshes::default(), Instant::now());
        let request = of_account("1");
        assert_eq!(refreshes.ask(&request, now), Ask::First);
        assert_eq!(refreshes.ask(&request, now), Ask::Joined);
        let answers = refreshes.answer(request.clone(), Err("gone".into()), now);
        assert_eq!(answers.len(), 2);
        assert_eq!(refreshes.ask(&request, now), Ask::Again(Box::new(answers[0].clone())));
        assert_eq!(refreshes.ask(&of_account("2"), now), Ask::First);
    }

    #[test]
    fn an_answer_is_not_remembered_for_ever() {
        let (mut refreshes, now) = (Refreshes::default(), Instant::now());
        let request = of_account("1");
        refreshes.ask(&request, now);
        refreshes.answer(request.clone(), Err("gone".into()), now);
        assert!(matches!(refreshes.ask(&request, now + REMEMBERED_FOR / 2), Ask::Again(_)));
        assert_eq!(refreshes.ask(&request, now + REMEMBERED_FOR), Ask::First, "the account may have changed");
    }

    #[test]
    fn a_request_by_job_is_a_new_one_once_it_was_answered() {
        let (mut refreshes, now) = (Refreshes::default(), Instant::now());
        let request = RefreshRequest::OfJob("J".parse().unwrap());
        assert_eq!(refreshes.ask(&request, now), Ask::First);
        assert_eq!(refreshes.answer(request.clone(), Err("gone".into()), now).len(), 1);
        assert_eq!(refreshes.ask(&request, now), Ask::First);
    }

    #[test]
    fn the_oldest_answers_are_forgotten() {
        let (mut refreshes, now) = (Refreshes::default(), Instant::now());
        for number in 0..=REMEMBERED {
            let request = of_account(&number.to_string());
            refreshes.ask(&request, now);
            refreshes.answer(request, Err("gone".into()), now);
        }
        assert_eq!(refreshes.answered.len(), REMEMBERED);
        assert_eq!(refreshes.ask(&of_account("0"), now), Ask::First);
    }
}
