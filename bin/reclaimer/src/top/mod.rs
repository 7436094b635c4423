//! `reclaimer top`: a server, live, for those who live in a terminal.
//!
//! [`model`] is the view's state and how it answers to keys and to what the server says, [`view`] draws it, [`feed`] asks
//! the server, [`screen`] takes the terminal and gives it back.

mod feed;
mod model;
mod screen;
mod seen;
mod view;

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use crossterm::event::EventStream;
use futures::FutureExt;
use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};
use tokio::time::{MissedTickBehavior, interval};

use crate::client::Client;
use crate::system::EndSignals;
use model::{Event, Model, Order};
use screen::Screen;

const WRONG_USAGE: u8 = 2;
/// How often the server is looked at.
const BEAT: Duration = Duration::from_secs(1);
/// How long quitting waits for the answer to an order.
const LAST_WAIT: Duration = Duration::from_secs(5);

/// Shows the server until somebody quits. `connect` finds it, anew when it was lost.
pub(crate) async fn run(connect: impl Fn() -> Result<Client>) -> Result<ExitCode> {
    if !screen::is_there() {
        let advice = "without one, use `reclaimer jobs list`, `queues list`, `workers list` and `runs list`";
        writeln!(
            std::io::stderr(),
            "reclaimer: `top` needs a terminal to draw on and to read keys from; {advice}"
        )?;
        return Ok(WRONG_USAGE.into());
    }
    let client = connect()?;
    // What cannot work at all is said on the shell's screen.
    let first = feed::look(&client, reclaimer_domain::job::Status::Failed).await?;
    let mut signals = EndSignals::listen(false)?.and_hangup()?;
    let mut model = Model::new(client.base().to_string(), first);
    let mut screen = Screen::take()?;
    let mut keys = EventStream::new();
    let mut work = Work::new(client);
    let mut beat = interval(BEAT);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        screen.draw(|frame| view::draw(frame, &mut model))?;
        let event = tokio::select! {
            key = keys.next() => match key {
                Some(Ok(event)) => screen::key(&event).map(Event::Key),
                // The terminal has gone.
                Some(Err(_)) | None => break,
            },
            Some(event) = work.next() => Some(event),
            _ = beat.tick() => {
                work.look(&model);
                None
            }
            _ = signals.next() => break,
        };
        let Some(event) = event else { continue };
        if let Event::Lost(_) = event
            && let Ok(client) = connect()
        {
            model.server = client.base().to_string();
            work.client = client;
        }
        match model.update(event) {
            None => {}
            Some(Order::Quit) => break,
            Some(order) => work.take_up(order, &model),
        }
        if work.again {
            work.look(&model);
        }
    }
    drop(screen);
    work.finish().await
}

/// What is being asked of the server. On this task: a panic anywhere ends the view in order.
struct Work {
    client: Client,
    asked: FuturesUnordered<BoxFuture<'static, Event>>,
    looking: bool,
    /// Whether what was looked at is old already.
    again: bool,
    /// How many orders that change something are on their way.
    orders: usize,
}

impl Work {
    fn new(client: Client) -> Self {
        Self { client, asked: FuturesUnordered::new(), looking: false, again: false, orders: 0 }
    }

    /// The next answer; none when nothing is asked.
    async fn next(&mut self) -> Option<Event> {
        let event = self.asked.next().await?;
        match event {
            Event::Seen(_) | Event::Lost(_) => self.looking = false,
            Event::Done(_) => self.orders -= 1,
            Event::Key(_) | Event::Preview(_) | Event::Told(_) => {}
        }
        Some(event)
    }

    /// Waits for what was ordered last, and says how it went: a key pressed before `q` counts.
    async fn finish(mut self) -> Result<ExitCode> {
        let mut code = ExitCode::SUCCESS;
        while self.orders > 0 {
            match tokio::time::timeout(LAST_WAIT, self.next()).await {
                Ok(Some(Event::Done(Err(why)))) => {
                    code = ExitCode::FAILURE;
                    writeln!(std::io::stderr(), "reclaimer: {why}")?;
                }
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => {
                    anyhow::bail!("the server has not answered the last order; look whether it was done")
                }
            }
        }
        Ok(code)
    }

    fn look(&mut self, model: &Model) {
        self.again = self.looking;
        if std::mem::replace(&mut self.looking, true) {
            return;
        }
        let (client, state) = (self.client.clone(), model.state);
        self.ask(async move {
            match feed::look(&client, state).await {
                Ok(snapshot) => Event::Seen(Box::new(snapshot)),
                Err(error) => Event::Lost(format!("{error:#}")),
            }
        });
    }

    fn take_up(&mut self, order: Order, model: &Model) {
        let client = self.client.clone();
        if matches!(order, Order::Act(..) | Order::Recover) {
            self.orders += 1;
        }
        match order {
            Order::Look => self.look(model),
            Order::Act(action, ids) => {
                self.ask(async move { Event::Done(said(feed::act(&client, action, &ids).await)) })
            }
            Order::Preview => {
                self.ask(async move { Event::Preview(said(feed::recover(&client, true).await)) })
            }
            Order::Recover => self.ask(async move { Event::Done(said(feed::recover(&client, false).await)) }),
            Order::Tell(id) => {
                self.ask(async move { Event::Told(said(feed::tell(&client, &id).await.map(Box::new))) });
            }
            Order::Quit => {}
        }
    }

    fn ask(&mut self, asked: impl Future<Output = Event> + Send + 'static) {
        self.asked.push(asked.boxed());
    }
}

fn said<T>(result: Result<T>) -> Result<T, String> {
    result.map_err(|error| format!("{error:#}"))
}
