//! Requests for credentials: asked twice, the same answer twice, and one refresh however many ask.

use std::collections::{HashMap, VecDeque};

use crate::message::{Fresh, RefreshAnswer, RefreshRequest};

/// So many answers are remembered.
const REMEMBERED: usize = 1_000;

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
    /// The order in which they were answered.
    order: VecDeque<RefreshRequest>,
}

impl Refreshes {
    pub(super) fn ask(&mut self, request: &RefreshRequest) -> Ask {
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
    ) -> Vec<RefreshAnswer> {
        let waiting = self.pending.remove(&request).unwrap_or(1);
        let answer = RefreshAnswer { request: request.clone(), outcome };
        // A request by job has no id of its own: the next one is a new one.
        if matches!(request, RefreshRequest::OfAccount { .. }) {
            self.answered.insert(request.clone(), answer.clone());
            self.order.push_back(request);
            if self.order.len() > REMEMBERED
                && let Some(oldest) = self.order.pop_front()
            {
                self.answered.remove(&oldest);
            }
        }
        vec![answer; waiting]
    }
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
        let mut refreshes = Refreshes::default();
        let request = of_account("1");
        assert_eq!(refreshes.ask(&request), Ask::First);
        assert_eq!(refreshes.ask(&request), Ask::Joined);
        let answers = refreshes.answer(request.clone(), Err("gone".into()));
        assert_eq!(answers.len(), 2);
        assert_eq!(refreshes.ask(&request), Ask::Again(Box::new(answers[0].clone())));
        assert_eq!(refreshes.ask(&of_account("2")), Ask::First);
    }

    #[test]
    fn a_request_by_job_is_a_new_one_once_it_was_answered() {
        let mut refreshes = Refreshes::default();
        let request = RefreshRequest::OfJob("J".parse().unwrap());
        assert_eq!(refreshes.ask(&request), Ask::First);
        assert_eq!(refreshes.answer(request.clone(), Err("gone".into())).len(), 1);
        assert_eq!(refreshes.ask(&request), Ask::First);
    }

    #[test]
    fn the_oldest_answers_are_forgotten() {
        let mut refreshes = Refreshes::default();
        for number in 0..=REMEMBERED {
            let request = of_account(&number.to_string());
            refreshes.ask(&request);
            refreshes.answer(request, Err("gone".into()));
        }
        assert_eq!(refreshes.answered.len(), REMEMBERED);
        assert_eq!(refreshes.ask(&of_account("0")), Ask::First);
    }
}
