//! A webhook's other end.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use super::until;

/// Takes what is posted to it, or does not.
#[derive(Debug)]
pub(crate) struct Receiver {
    address: SocketAddr,
    socket: Option<TcpSocket>,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    status: AtomicU16,
    got: Mutex<Vec<Delivery>>,
}

/// Something that was posted.
#[derive(Debug, Clone)]
pub(crate) struct Delivery {
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl Delivery {
    /// The body as JSON.
    pub(crate) fn json(&self) -> Result<Value> {
        Ok(serde_json::from_slice(&self.body)?)
    }

    /// A header.
    #[track_caller]
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }
}

impl Receiver {
    /// One that is away: its address is taken, and nobody answers there.
    pub(crate) fn away() -> Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(([127, 0, 0, 1], 0).into())?;
        let shared = Shared { status: AtomicU16::new(200), got: Mutex::default() };
        Ok(Self { address: socket.local_addr()?, socket: Some(socket), shared: Arc::new(shared) })
    }

    /// One that takes everything.
    pub(crate) fn start() -> Result<Self> {
        let mut receiver = Self::away()?;
        receiver.comes()?;
        Ok(receiver)
    }

    /// It is there from now on.
    pub(crate) fn comes(&mut self) -> Result<()> {
        let listener = self.socket.take().context("it is there already")?.listen(64)?;
        tokio::spawn(serve(listener, Arc::clone(&self.shared)));
        Ok(())
    }

    /// It answers with this status from now on.
    pub(crate) fn answers(&self, status: u16) {
        self.shared.status.store(status, Ordering::SeqCst);
    }

    /// Its address, with a secret in it.
    pub(crate) fn url(&self) -> String {
        format!("http://{}/hooks/open-sesame", self.address)
    }

    /// What it got, whatever it answered.
    pub(crate) fn got(&self) -> Vec<Delivery> {
        self.shared.got.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The same, as soon as it is so much.
    pub(crate) async fn gets(&self, number: usize) -> Result<Vec<Delivery>> {
        until(&format!("{number} messages"), async || Ok(Some(self.got()).filter(|got| got.len() >= number)))
            .await
    }
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept().await {
        let shared = Arc::clone(&shared);
        tokio::spawn(async move { answer(stream, &shared).await });
    }
}

/// Answers the requests of a connection.
async fn answer(stream: TcpStream, shared: &Shared) -> Result<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let mut headers = BTreeMap::new();
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(());
        }
        loop {
            let mut line = String::new();
            stream.read_line(&mut line).await?;
            let Some((name, value)) = line.trim_end().split_once(": ") else { break };
            headers.insert(name.to_ascii_lowercase(), value.to_owned());
        }
        let length = headers.get("content-length").context("no length")?.parse()?;
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await?;
        shared.got.lock().unwrap_or_else(PoisonError::into_inner).push(Delivery { headers, body });
        let status = shared.status.load(Ordering::SeqCst);
        stream.write_all(format!("HTTP/1.1 {status} X\r\ncontent-length: 0\r\n\r\n").as_bytes()).await?;
    }
}
