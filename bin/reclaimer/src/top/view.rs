//! How the view looks: a head, the states, throughput, three panes, and what lies over them.

use chrono::{DateTime, Utc};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style, Stylize};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Cell, Clear, Paragraph, Row, Sparkline, Table, TableState, Wrap};
use reclaimer_domain::job::Status;

use super::model::{Model, Overlay, Pane};
use super::seen::{Job, Run, Story};
use crate::cli::output::plain;

/// From this size on there is room for all panes at once.
const WIDE: u16 = 100;
const HIGH: u16 = 24;
/// No terminal shows more of one text.
const LONGEST: usize = 400;

const HELP: &str = "\
Tab, Shift-Tab   next or previous pane
↑ ↓, j k         move; PgUp PgDn Home End further
← →              list the jobs of another state
Enter            one job in full: why it is where it is, what happened to it
space            mark the job; a marks every job listed; Esc takes the marks away
r                queue the job, or those marked, again: retry what failed, release what is quarantined
c                give the job, or those marked, up
R                recover now: says first what that would do, and asks
?                this help
q, Ctrl-C        quit";

/// Draws everything. What is scrolled too far comes back.
pub(super) fn draw(frame: &mut Frame<'_>, model: &mut Model) {
    let area = frame.area();
    let high = area.height >= HIGH;
    let [head, states, graph, body, foot] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Length(if high { 3 } else { 1 }),
        Constraint::Min(0),
        Constraint::Length(1),
    ])
    .areas(area);
    frame.render_widget(head_line(model), head);
    frame.render_widget(state_line(model), states);
    throughput(frame, model, graph);
    if high && area.width >= WIDE {
        let [upper, lower] =
            Layout::vertical([Constraint::Percentage(65), Constraint::Percentage(35)]).areas(body);
        let [left, right] =
            Layout::horizontal([Constraint::Percentage(62), Constraint::Percentage(38)]).areas(upper);
        for (pane, area) in [(Pane::Jobs, left), (Pane::Fleet, right), (Pane::Decisions, lower)] {
            draw_pane(frame, model, pane, area);
        }
    } else {
        draw_pane(frame, model, model.focus, body);
    }
    frame.render_widget(foot_line(model), foot);
    match &model.overlay {
        None => {}
        Some(Overlay::Help) => {
            over(frame, &mut model.scrolled, " Keys ", HELP.lines().map(Line::from).collect())
        }
        Some(Overlay::Confirm { question, .. }) => {
            let lines =
                vec![Line::from(plain(question)), Line::default(), Line::from("y = yes    n = no").bold()];
            over(frame, &mut 0, " Sure? ", lines);
        }
        Some(Overlay::Story(story)) => {
            let title = format!(" Job {} ", plain(&story.job.id));
            over(frame, &mut model.scrolled, &title, story_lines(story, model.seen.at));
        }
    }
}

fn head_line(model: &Model) -> Line<'static> {
    let mut spans = vec![
        Span::from("reclaimer top ").bold(),
        Span::from(format!("{}  {}  ", plain(&model.server), model.seen.at.format("%H:%M:%S UTC"))),
    ];
    spans.push(match &model.trouble {
        None => match model.seen.health.status.as_str() {
            "down" => Span::from("live, down").fg(Color::Red).bold(),
            "degraded" => Span::from("live, degraded").fg(Color::Yellow),
            _ => Span::from("live").fg(Color::Green),
        },
        Some(why) => Span::from(format!("not live: {}", short(why))).fg(Color::Red).bold(),
    });
    Line::from(spans)
}

fn state_line(model: &Model) -> Line<'static> {
    let mut spans = Vec::new();
    for status in Status::ALL {
        let count = model.seen.count(status);
        let style = if count == 0 { Style::new().add_modifier(Modifier::DIM) } else { colour(status).into() };
        spans.push(Span::styled(format!("{} {count}", status.as_str()), style));
        spans.push(Span::from("  "));
    }
    let paused = model.seen.queues.iter().filter(|queue| queue.paused).map(|queue| plain(&queue.name));
    let paused: Vec<String> = paused.collect();
    if !paused.is_empty() {
        spans.push(Span::from(format!("stopped queues: {}", paused.join(", "))).fg(Color::Yellow));
    }
    Line::from(spans)
}

fn throughput(frame: &mut Frame<'_>, model: &Model, area: Rect) {
    let label = match model.throughput.back() {
        Some(rate) => format!("finished/s {rate:<6}"),
        None => "finished/s –     ".to_owned(),
    };
    let [left, right] = Layout::horizontal([Constraint::Length(18), Constraint::Min(0)]).areas(area);
    frame.render_widget(Line::from(label), left);
    let columns = usize::from(right.width);
    let skipped = model.throughput.len().saturating_sub(columns);
    frame.render_widget(
        Sparkline::default().data(model.throughput.iter().skip(skipped).copied()).green(),
        right,
    );
}

fn foot_line(model: &Model) -> Line<'static> {
    match &model.notice {
        Some(notice) if notice.bad => Line::from(short(&notice.text)).fg(Color::Red),
        Some(notice) => Line::from(short(&notice.text)).fg(Color::Green),
        None => {
            Line::from("? help  Tab pane  ←→ state  ↑↓ move  Enter why  r retry  c cancel  R recover  q quit")
                .add_modifier(Modifier::DIM)
        }
    }
}

fn draw_pane(frame: &mut Frame<'_>, model: &mut Model, pane: Pane, area: Rect) {
    let focused = model.focus == pane;
    let title = match pane {
        Pane::Jobs => {
            let marked = if model.marked.is_empty() {
                String::new()
            } else {
                format!(", {} marked", model.marked.len())
            };
            let (state, count) = (model.state.as_str(), model.seen.count(model.state));
            format!(" Jobs: ← {state} → {} of {count}{marked} ", model.seen.jobs.len())
        }
        Pane::Fleet => " Links and workers ".to_owned(),
        Pane::Decisions => " Recovery ".to_owned(),
    };
    let style =
        if focused { Style::new().bold().fg(Color::Cyan) } else { Style::new().add_modifier(Modifier::DIM) };
    let block = Block::bordered().title(title).border_style(style);
    match pane {
        Pane::Jobs => jobs(frame, model, block, area),
        Pane::Fleet => scrolled(frame, model, focused, block, area, fleet_lines(model)),
        Pane::Decisions => scrolled(frame, model, focused, block, area, decision_lines(model)),
    }
}

fn jobs(frame: &mut Frame<'_>, model: &Model, block: Block<'_>, area: Rect) {
    if model.seen.jobs.is_empty() {
        frame.render_widget(Paragraph::new("none").block(block), area);
        return;
    }
    let whole_ids = area.width >= 100;
    let rows = model.seen.jobs.iter().map(|job| {
        let mark = if model.marked.contains(&job.id) { "*" } else { "" };
        let id = plain(&job.id);
        let id = if whole_ids { id } else { id.chars().skip(id.chars().count().saturating_sub(8)).collect() };
        Row::new([
            Cell::from(mark),
            Cell::from(id),
            Cell::from(short(&job.queue)),
            Cell::from(what(job)),
            Cell::from(job.attempt.to_string()),
            Cell::from(age(job.updated_at, model.seen.at)),
            Cell::from(short(&job.remark())),
        ])
    });
    let widths = [
        Constraint::Length(1),
        Constraint::Length(if whole_ids { 26 } else { 8 }),
        Constraint::Max(12),
        Constraint::Fill(2),
        Constraint::Length(3),
        Constraint::Length(4),
        Constraint::Fill(3),
    ];
    let table = Table::new(rows, widths)
        .header(Row::new(["", "job", "queue", "command", "try", "age", "last said"]).bold())
        .row_highlight_style(Style::new().add_modifier(Modifier::REVERSED))
        .block(block);
    let selected = model.selected.is_some().then_some(model.place);
    frame.render_stateful_widget(table, area, &mut TableState::new().with_selected(selected));
}

fn what(job: &Job) -> String {
    match &job.full_path {
        Some(path) => short(&format!("{} {path}", job.command)),
        None => short(&job.command),
    }
}

fn fleet_lines(model: &Model) -> Vec<Line<'static>> {
    let fleet = &model.seen.fleet;
    let mut lines: Vec<Line<'static>> = Vec::new();
    let troubles = model.seen.health.troubles();
    lines.extend(troubles.map(|trouble| Line::from(format!("! {}", short(trouble))).fg(Color::Red)));
    for link in &fleet.links {
        let breaker =
            link.breaker.as_ref().map_or(String::new(), |breaker| format!(", breaker {}", breaker.state));
        let calm = link
            .breaker
            .as_ref()
            .is_none_or(|breaker| ["closed", "forced_closed"].contains(&&*breaker.state));
        let (connections, failures) = (counted(link.connections, "connection"), link.connection_failures);
        let text = format!("link {}: {connections}{breaker}, {failures} failed", plain(&link.name));
        lines.push(if calm { Line::from(text) } else { Line::from(text).fg(Color::Red) });
        lines.extend(
            link.last_error
                .as_ref()
                .filter(|_| link.connections == 0)
                .map(|error| Line::from(format!("  {}", short(error))).add_modifier(Modifier::DIM)),
        );
    }
    for worker in &fleet.workers {
        let heard = age(worker.last_heard_at, model.seen.at);
        let text = format!(
            "worker {} {} on {}: {}, heard {heard} ago",
            plain(&worker.id),
            plain(&worker.state),
            plain(&worker.link),
            counted(worker.leases, "job")
        );
        lines.push(if worker.state == "paused" {
            Line::from(text).fg(Color::Yellow)
        } else {
            Line::from(text)
        });
    }
    for process in &fleet.processes {
        let text = format!(
            "process {} {}, {} restarts",
            plain(&process.name),
            plain(&process.state),
            process.restarts
        );
        lines.push(if process.given_up { Line::from(text).fg(Color::Red) } else { Line::from(text) });
        lines.extend(
            process
                .last_end
                .as_ref()
                .map(|end| Line::from(format!("  {}", short(&end.message))).add_modifier(Modifier::DIM)),
        );
    }
    if lines.is_empty() {
        lines.push(Line::from("no link, no supervised process; workers call over HTTP"));
    }
    lines
}

fn decision_lines(model: &Model) -> Vec<Line<'static>> {
    let lines: Vec<Line<'static>> = model.seen.runs.iter().flat_map(run_lines).collect();
    if lines.is_empty() { vec![Line::from("recovery has not run yet")] } else { lines }
}

fn run_lines(run: &Run) -> Vec<Line<'static>> {
    let at = run.started_at.map(|at| at.format("%H:%M:%S").to_string()).unwrap_or_default();
    let said = match (&run.message, run.finished_at) {
        (Some(message), _) => short(message),
        (None, None) => "runs".to_owned(),
        (None, Some(_)) => "ended without a report".to_owned(),
    };
    let mut lines = vec![Line::from(format!("{at} {:<11} {said}", plain(&run.trigger)))];
    lines.extend(run.counts.iter().map(|count| {
        let rule = count.rule.as_ref().map(|rule| format!(" by {}", plain(rule))).unwrap_or_default();
        let text = format!("  {} × {}{rule}: {}", count.jobs, plain(&count.action), short(&count.reason));
        match count.action.as_str() {
            "requeue" => Line::from(text).fg(Color::Green),
            "quarantine" => Line::from(text).fg(Color::Magenta),
            _ => Line::from(text),
        }
    }));
    lines
}

fn story_lines(story: &Story, now: DateTime<Utc>) -> Vec<Line<'static>> {
    let job = &story.job;
    let mut lines = vec![
        Line::from(format!(
            "{} {} in {}, attempt {}",
            plain(&job.status),
            what(job),
            plain(&job.queue),
            job.attempt
        )),
        Line::from(short(&job.remark())),
        Line::default(),
        Line::from(plain(&story.why)).bold(),
        Line::from(format!("next look: {}", plain(&story.next))),
        Line::default(),
    ];
    lines.extend(story.events.iter().rev().map(|event| {
        let rule = event.rule.as_ref().map(|rule| format!(" by rule {}", plain(rule))).unwrap_or_default();
        let reason = event.reason.as_ref().map(|reason| format!(": {}", short(reason))).unwrap_or_default();
        let (age, kind, actor) = (age(event.at, now), plain(&event.kind), plain(&event.actor));
        Line::from(format!("{age:>4} ago  {kind} ({actor}){rule}{reason}"))
    }));
    lines
}

/// Lines that are moved by the keys while their pane has the focus.
fn scrolled(
    frame: &mut Frame<'_>,
    model: &mut Model,
    focused: bool,
    block: Block<'_>,
    area: Rect,
    lines: Vec<Line<'static>>,
) {
    let free = lines.len().saturating_sub(usize::from(block.inner(area).height));
    if focused && model.overlay.is_none() {
        model.scrolled = model.scrolled.min(free);
    }
    let skipped = if focused && model.overlay.is_none() { model.scrolled } else { 0 };
    let shown: Vec<Line<'static>> = lines.into_iter().skip(skipped).collect();
    frame.render_widget(Paragraph::new(shown).wrap(Wrap { trim: false }).block(block), area);
}

/// A box over everything else.
fn over(frame: &mut Frame<'_>, moved: &mut usize, title: &str, lines: Vec<Line<'static>>) {
    let whole = frame.area();
    let width = whole.width.saturating_sub(4).min(100);
    let inner = usize::from(width.saturating_sub(4)).max(1);
    let wanted: usize = lines.iter().map(|line| line.width().div_ceil(inner).max(1)).sum();
    let height = u16::try_from(wanted + 2).unwrap_or(u16::MAX).min(whole.height.saturating_sub(2));
    let area = whole.centered(Constraint::Length(width), Constraint::Length(height));
    let free = (wanted + 2).saturating_sub(usize::from(height));
    *moved = (*moved).min(free);
    let block = Block::bordered().title(title).bold();
    let down = u16::try_from(*moved).unwrap_or(u16::MAX);
    frame.render_widget(Clear, area);
    let text = Paragraph::new(lines).wrap(Wrap { trim: false }).scroll((down, 0));
    frame.render_widget(text.style(Style::reset()).block(block), area);
}

fn colour(status: Status) -> Color {
    match status {
        Status::Queued => Color::Yellow,
        Status::Running => Color::Cyan,
        Status::Finished => Color::Green,
        Status::Failed => Color::Red,
        Status::Paused | Status::Cancelled => Color::Blue,
        Status::Quarantined => Color::Magenta,
    }
}

/// What fits on any terminal, and cannot steer it.
fn short(text: &str) -> String {
    plain(&text.chars().take(LONGEST).collect::<String>())
}

fn counted(number: usize, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

/// How long ago a moment was, in the largest unit that says enough.
fn age(at: Option<DateTime<Utc>>, now: DateTime<Utc>) -> String {
    let Some(at) = at else { return "–".to_owned() };
    match (now - at).num_seconds().max(0) {
        seconds @ 0..60 => format!("{seconds}s"),
        seconds @ 60..3_600 => format!("{}m", seconds / 60),
        seconds @ 3_600..86_400 => format!("{}h", seconds / 3_600),
        seconds => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests;
