use super::*;

fn at(second: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000 + second, 0).unwrap()
}

fn job(id: &str) -> Job {
    Job { id: id.to_owned(), status: "failed".to_owned(), ..Job::default() }
}

fn seen(second: i64, ids: &[&str]) -> Snapshot {
    let jobs = ids.iter().map(|id| job(id)).collect();
    Snapshot { at: at(second), jobs, state: Some(Status::Failed), ..Snapshot::default() }
}

fn model(ids: &[&str]) -> Model {
    Model::new("http://x/".to_owned(), seen(0, ids))
}

fn press(model: &mut Model, keys: &[Key]) -> Option<Order> {
    let orders = keys.iter().map(|key| model.update(Event::Key(*key)));
    orders.last().flatten()
}

const R: Key = Key::Character('r');

#[test]
fn a_retry_meets_the_job_that_was_chosen_however_the_list_moves() {
    let mut model = model(&["a", "b", "c"]);
    assert_eq!(press(&mut model, &[R]), None, "nobody is chosen before somebody chooses");
    press(&mut model, &[Key::Down, Key::Down]);
    model.update(Event::Seen(Box::new(seen(1, &["new", "a", "b", "c"]))));
    let retry_b = Order::Act(Action::Retry, vec!["b".to_owned()]);
    assert_eq!(press(&mut model, &[R]), Some(retry_b));
    // Once it has left, the key meets nobody: not whoever moved into its place.
    model.update(Event::Seen(Box::new(seen(2, &["new", "a", "c"]))));
    assert_eq!(press(&mut model, &[R]), None);
    assert!(model.notice.as_ref().is_some_and(|notice| notice.bad));
    // The next step chooses what has moved there.
    let retry_c = Order::Act(Action::Retry, vec!["c".to_owned()]);
    assert_eq!(press(&mut model, &[Key::Down, R]), Some(retry_c));
}

#[test]
fn what_changes_several_jobs_or_gives_one_up_is_asked_about() {
    let mut model = model(&["a", "b", "c"]);
    assert_eq!(press(&mut model, &[Key::Down, Key::Character(' '), Key::Character(' '), R]), None);
    assert!(
        matches!(&model.overlay, Some(Overlay::Confirm { question, .. }) if question.contains("2 failed jobs"))
    );
    assert_eq!(press(&mut model, &[Key::Enter, Key::Down]), None, "neither is a yes");
    let both = Order::Act(Action::Retry, vec!["a".to_owned(), "b".to_owned()]);
    assert_eq!(press(&mut model, &[Key::Character('y')]), Some(both));
    assert_eq!(model.update(Event::Done(Ok("2 jobs queued again".to_owned()))), Some(Order::Look));
    assert!(model.marked.is_empty(), "what was done is not done again");

    assert_eq!(press(&mut model, &[Key::Character('c')]), None);
    assert_eq!(press(&mut model, &[Key::Character('n')]), None);
    assert_eq!(model.overlay, None);
    let cancel = Order::Act(Action::Cancel, vec!["c".to_owned()]);
    assert_eq!(press(&mut model, &[Key::Character('c'), Key::Character('y')]), Some(cancel));
}

#[test]
fn marks_do_not_outlive_their_jobs() {
    let mut model = model(&["a", "b"]);
    press(&mut model, &[Key::Character('a')]);
    assert_eq!(model.marked.len(), 2);
    model.update(Event::Seen(Box::new(seen(1, &["b", "c"]))));
    assert_eq!(model.marked.iter().collect::<Vec<_>>(), ["b"]);
    press(&mut model, &[Key::Escape]);
    assert!(model.marked.is_empty());
}

#[test]
fn a_recovery_says_first_what_it_would_do() {
    let mut model = model(&[]);
    assert_eq!(press(&mut model, &[Key::Character('R')]), Some(Order::Preview));
    model.update(Event::Preview(Ok("would be 3 recovered".to_owned())));
    assert_eq!(press(&mut model, &[Key::Character('y')]), Some(Order::Recover));
    model.update(Event::Preview(Err("a cycle runs already".to_owned())));
    assert_eq!(model.overlay, None);
    assert!(model.notice.as_ref().is_some_and(|notice| notice.bad && notice.text.contains("already")));
}

#[test]
fn another_state_lists_its_own_jobs_alone() {
    let mut model = model(&["a"]);
    press(&mut model, &[Key::Down]);
    assert_eq!(press(&mut model, &[Key::Right]), Some(Order::Look));
    assert_eq!(model.state, Status::Paused);
    // An answer to the question before comes in late.
    model.update(Event::Seen(Box::new(seen(1, &["a"]))));
    assert_eq!((model.seen.jobs.len(), &model.selected), (0, &None));
    assert_eq!(press(&mut model, &[R]), None);
    assert!(model.notice.as_ref().is_some_and(|notice| notice.text == "paused jobs cannot be retried"));
    press(&mut model, &[Key::Left]);
    assert_eq!(model.state, Status::Failed);
}

#[test]
fn throughput_is_what_was_finished_per_second() {
    let finished = |second, count| {
        let mut snapshot = seen(second, &[]);
        let jobs = [("finished".to_owned(), count)].into();
        snapshot.queues.push(super::super::seen::Queue { jobs, ..Default::default() });
        Event::Seen(Box::new(snapshot))
    };
    let mut model = model(&[]);
    // What retention takes away was not undone; two looks at once say nothing.
    for event in [finished(1, 10), finished(3, 31), finished(4, 0), finished(4, 5)] {
        model.update(event);
    }
    assert_eq!(model.throughput, [10, 11, 0]);
    for second in 5..1_000 {
        model.update(finished(second, 0));
    }
    assert_eq!(model.throughput.len(), REMEMBERED);
}

#[test]
fn a_server_that_is_away_is_said_and_forgotten_when_it_is_back() {
    let mut model = model(&["a"]);
    model.update(Event::Lost("cannot be reached".to_owned()));
    assert_eq!(model.trouble.as_deref(), Some("cannot be reached"));
    assert_eq!(model.seen.jobs.len(), 1, "what was known stays in sight");
    model.update(Event::Seen(Box::new(seen(9, &["a"]))));
    assert_eq!(model.trouble, None);
}

#[test]
fn keys_move_within_the_pane_that_has_the_focus() {
    let mut model = model(&["a", "b", "c"]);
    press(&mut model, &[Key::Home, Key::End]);
    assert_eq!(model.selected.as_deref(), Some("c"));
    press(&mut model, &[Key::NextPane, Key::Character('j'), Key::Right]);
    assert_eq!((model.focus, model.scrolled, model.state), (Pane::Fleet, 1, Status::Failed));
    press(&mut model, &[Key::PreviousPane, Key::Up]);
    assert_eq!(model.selected.as_deref(), Some("b"));
    assert_eq!(press(&mut model, &[Key::Enter]), Some(Order::Tell("b".to_owned())));
    for quit in [Key::Quit, Key::Character('q')] {
        assert_eq!(press(&mut model, &[quit]), Some(Order::Quit));
    }
    assert_eq!(
        press(&mut model, &[Key::Character('?'), Key::Quit]),
        Some(Order::Quit),
        "also from under the help"
    );
}
