//! The thread that starts guards, and keeps the state file.
//!
//! The kernel signals a guard when the *thread* that started it ends. This one ends when nobody is left who could have
//! started anything. As it may block, it is also who writes down what runs.

use std::io;
use std::path::PathBuf;
use std::sync::mpsc;
use std::thread;

use rustix::process::Pid;
use tokio::process::{Child, Command};
use tokio::runtime::Handle as Runtime;
use tokio::sync::oneshot;
use tracing::warn;

use crate::AREA;
use crate::proc::ProcessId;
use crate::state_file::{OpenError, Record, StateFile};
use crate::supervisor::RunError;
use crate::sweep;

/// What the thread is asked for.
enum Order {
    Spawn(Box<Command>, String, oneshot::Sender<io::Result<(Child, Record)>>),
    Note(Record),
    Forget(ProcessId),
}

/// Asks the thread. Cheap to clone; the thread lives as long as one of them.
#[derive(Debug, Clone)]
pub(crate) struct Spawner {
    orders: mpsc::Sender<Order>,
}

impl Spawner {
    /// Starts the thread. It takes the state file over and ends what the supervisor before us left, and is ready then.
    pub(crate) async fn start(state_file: PathBuf) -> Result<(Self, Ending), RunError> {
        let (orders, received) = mpsc::channel();
        let (answer, ready) = oneshot::channel();
        let (ending, ended) = oneshot::channel();
        let runtime = Runtime::current();
        thread::Builder::new()
            .name("worker-spawner".to_owned())
            .spawn(move || match StateFile::open(&state_file) {
                Ok((file, left)) => {
                    sweep::end_all(&left);
                    let file = Written { file, failing: false };
                    let _ = answer.send(Ok(()));
                    work(&received, file, &runtime);
                    // Nobody may wait for it.
                    let _ = ending.send(());
                }
                Err(OpenError::Taken) => {
                    let _ = answer.send(Err(RunError::Taken(state_file)));
                }
                Err(OpenError::Io(source)) => {
                    let _ = answer.send(Err(RunError::StateFile { path: state_file, source }));
                }
            })
            .map_err(RunError::Thread)?;
        ready.await.unwrap_or(Err(RunError::Thread(io::ErrorKind::BrokenPipe.into())))?;
        Ok((Self { orders }, Ending(ended)))
    }

    /// Starts a guard. That it runs is written down before the answer.
    pub(crate) async fn spawn(&self, command: Command, instance: String) -> io::Result<(Child, Noted)> {
        let (answer, started) = oneshot::channel();
        let gone = || io::Error::other("the thread that starts workers has ended");
        self.orders.send(Order::Spawn(Box::new(command), instance, answer)).map_err(|_| gone())?;
        let (child, record) = started.await.unwrap_or_else(|_| Err(gone()))?;
        Ok((child, Noted { spawner: self.clone(), record }))
    }
}

/// The end of the thread, which has given the state file back by then.
#[derive(Debug)]
pub(crate) struct Ending(oneshot::Receiver<()>);

impl Ending {
    /// Waits for it; it comes when nobody is left who could ask the thread for anything.
    pub(crate) async fn wait(self) {
        // A thread that failed has ended too.
        let _ = self.0.await;
    }
}

/// A guard that is written down as running, for as long as this is kept.
#[derive(Debug)]
pub(crate) struct Noted {
    spawner: Spawner,
    pub(crate) record: Record,
}

impl Noted {
    /// Adds which process its worker is.
    pub(crate) fn add(&self, worker: ProcessId) {
        let record = Record { worker: Some(worker), ..self.record.clone() };
        // Without the thread there is no guard either: it ends with it.
        let _ = self.spawner.orders.send(Order::Note(record));
    }
}

impl Drop for Noted {
    fn drop(&mut self) {
        let _ = self.spawner.orders.send(Order::Forget(self.record.guard));
    }
}

fn work(orders: &mpsc::Receiver<Order>, mut file: Written, runtime: &Runtime) {
    file.write(StateFile::clear);
    while let Ok(order) = orders.recv() {
        match order {
            // Who asked may be gone, and the runtime with it.
            Order::Spawn(_, _, answer) if answer.is_closed() => {}
            Order::Spawn(mut command, instance, answer) => {
                let _runtime = runtime.enter();
                let spawned = spawn(&mut command, instance);
                if let Ok((_, record)) = &spawned {
                    file.write(|file| file.put(record.clone()));
                }
                if let Err(Ok((_, record))) = answer.send(spawned) {
                    // Gone just now; the guard finds its socket closed, and ends.
                    file.write(|file| file.remove(record.guard));
                }
            }
            Order::Note(record) => file.write(|file| file.put(record)),
            Order::Forget(guard) => file.write(|file| file.remove(guard)),
        }
    }
}

fn spawn(command: &mut Command, instance: String) -> io::Result<(Child, Record)> {
    let child = command.spawn()?;
    let pid = child.id().and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
    // Nobody has waited for it: even if it died at once, its number is still its own.
    let guard = ProcessId::of(pid.ok_or(io::ErrorKind::InvalidData)?)?;
    Ok((child, Record { instance, guard, worker: None }))
}

/// The state file, of which we say once when it cannot be written: workers matter more than what is written about them.
struct Written {
    file: StateFile,
    failing: bool,
}

impl Written {
    fn write(&mut self, change: impl FnOnce(&mut StateFile) -> io::Result<()>) {
        match change(&mut self.file) {
            Ok(()) => self.failing = false,
            Err(_) if self.failing => {}
            Err(error) => {
                self.failing = true;
                warn!(
                    area = AREA,
                    %error,
                    "cannot write down which workers run; should we and their guards be killed now, they would stay"
                );
            }
        }
    }
}
