//! The last events, as text, in bounded room. Pure.
//!
//! Events are numbered from 1 on. Events of jobs come in the order of their ids in the history; between the first event
//! that is here and the last none is missing.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::filter::{Filter, JobMark, Topic};
use crate::place::{Number, Place};
use crate::told::Told;

/// Events are told in pieces of about this size, so that a reader who stalls holds little.
const PIECE: usize = 16 * 1024;

/// So much is kept for an event beside its text.
const MARK: usize = size_of::<Mark>();

/// The last events.
#[derive(Debug)]
pub(crate) struct Ring {
    /// What tells this process's numbers from those of others.
    name: u32,
    /// At most so many bytes.
    room: usize,
    pieces: VecDeque<Piece>,
    used: usize,
    /// The number of the event that comes next.
    next: u64,
    /// The id of the last event of a job, once it is known.
    job: Option<i64>,
}

/// Events whose text lies together.
#[derive(Debug)]
struct Piece {
    /// The number of the first one.
    first: u64,
    /// The id of the last event of a job before it.
    before: i64,
    marks: Vec<Mark>,
    text: Bytes,
}

#[derive(Debug, Clone, Copy)]
struct Mark {
    /// Where its text ends.
    end: usize,
    topic: Topic,
    job: Option<(JobMark, i64)>,
}

/// What a reader gets.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Read {
    /// Text, perhaps none, and the number of the event to go on with.
    Text(Bytes, u64),
    /// Nothing has come yet.
    Nothing,
    /// What should come next is not here any more.
    Overtaken,
}

impl Ring {
    /// Nothing is told yet.
    pub(crate) fn new(name: u32, room: usize) -> Self {
        Self { name, room, pieces: VecDeque::new(), used: 0, next: 1, job: None }
    }

    /// Where nothing was told yet: what is told comes after this event of a job, which is the last that there is.
    pub(crate) fn begin_after(&mut self, last: i64) {
        self.job.get_or_insert(last);
    }

    /// The number of the first event that is here, or will be.
    pub(crate) fn first(&self) -> u64 {
        self.pieces.front().map_or(self.next, |piece| piece.first)
    }

    /// The number of the event that comes next.
    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    /// The id of the last event of a job before the event of this number, which is here or comes next.
    pub(crate) fn job_before(&self, number: u64) -> i64 {
        let Some(piece) = self.piece(number) else { return self.job.unwrap_or_default() };
        let marks = piece.marks.iter().take(index(number, piece.first));
        marks.filter_map(|mark| mark.job).map(|(_, id)| id).next_back().unwrap_or(piece.before)
    }

    /// The place after the event before this one.
    pub(crate) fn place(&self, job: i64, next: u64) -> Place {
        Place { job, told: Some(Number { by: self.name, number: next.saturating_sub(1) }) }
    }

    /// Where a reader goes on who comes from this place: with the event of that number; and whether others before it are
    /// not here any more.
    pub(crate) fn after(&self, place: &Place) -> (u64, bool) {
        match place.told {
            None => (self.next, false),
            Some(told) if told.by == self.name && told.number < self.next => {
                let next = told.number.saturating_add(1);
                (next.max(self.first()), next < self.first())
            }
            Some(_) => (self.first(), true),
        }
    }

    /// Forgets everything. What happens until something is told again will be missing, so a number is left out.
    pub(crate) fn clear(&mut self) {
        self.pieces.clear();
        self.used = 0;
        self.next += 1;
    }

    /// Events of jobs up to this one are not told. Nothing is here.
    pub(crate) fn pass_over(&mut self, last: i64) {
        self.job = Some(last);
    }

    /// Appends events.
    pub(crate) fn tell<'a>(&mut self, events: impl IntoIterator<Item = Told<'a>>) {
        let mut text = Vec::new();
        let mut piece = self.piece_after();
        for told in events {
            let job = match told {
                // One that had just been read from the history when the first reader came is known to all of them.
                Told::Change(change) if self.job.is_some_and(|last| change.event_id <= last) => continue,
                Told::Change(change) => Some((JobMark::of(&change.job), change.event_id)),
                Told::Recorded(_) | Told::Other(_) | Told::Gap(_) => None,
            };
            if let Some((_, id)) = job {
                self.job = Some(id);
            }
            self.next += 1;
            told.write(&mut text, self.place(self.job.unwrap_or_default(), self.next));
            piece.marks.push(Mark { end: text.len(), topic: told.topic(), job });
            if text.len() >= PIECE {
                self.keep(piece, std::mem::take(&mut text));
                piece = self.piece_after();
            }
        }
        self.keep(piece, text);
    }

    fn piece_after(&self) -> Piece {
        Piece {
            first: self.next,
            before: self.job.unwrap_or_default(),
            marks: Vec::new(),
            text: Bytes::new(),
        }
    }

    fn keep(&mut self, mut piece: Piece, text: Vec<u8>) {
        if piece.marks.is_empty() {
            return;
        }
        piece.marks.shrink_to_fit();
        piece.text = text.into_boxed_slice().into();
        self.used += piece.size();
        self.pieces.push_back(piece);
        while self.used > self.room && self.pieces.len() > 1 {
            self.used -= self.pieces.pop_front().map_or(0, |piece| piece.size());
        }
    }

    /// The piece in which the event of this number is.
    fn piece(&self, number: u64) -> Option<&Piece> {
        let after = self.pieces.partition_point(|piece| piece.first <= number);
        self.pieces.get(after.checked_sub(1)?).filter(|_| number < self.next)
    }

    /// What comes from this number on, as far as the filter takes it, without events of jobs up to `known`.
    pub(crate) fn read(&self, number: u64, filter: &Filter, known: i64) -> Read {
        if number >= self.next {
            return Read::Nothing;
        }
        let Some(piece) = self.piece(number) else { return Read::Overtaken };
        let skip = index(number, piece.first);
        let begin = skip.checked_sub(1).and_then(|last| piece.marks.get(last)).map_or(0, |mark| mark.end);
        let next = piece.next();
        let takes = |mark: &Mark| {
            mark.job.is_none_or(|(_, id)| id > known)
                && filter.takes(mark.topic, mark.job.map(|(job, _)| job))
        };
        let marks = piece.marks.get(skip..).unwrap_or_default();
        if marks.iter().all(takes) {
            return Read::Text(piece.text.slice(begin..), next);
        }
        let mut text = Vec::new();
        let mut begin = begin;
        for mark in marks {
            if takes(mark) {
                text.extend_from_slice(piece.text.get(begin..mark.end).unwrap_or_default());
            }
            begin = mark.end;
        }
        Read::Text(text.into(), next)
    }
}

impl Piece {
    fn size(&self) -> usize {
        self.text.len() + self.marks.len() * MARK
    }

    /// The number of the event after it.
    fn next(&self) -> u64 {
        self.first.saturating_add(self.marks.len().try_into().unwrap_or(u64::MAX))
    }
}

fn index(number: u64, first: u64) -> usize {
    number.saturating_sub(first).try_into().unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests;
