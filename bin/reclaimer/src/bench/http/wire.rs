//! A client that costs little: whole requests out, whole answers in, one after another over one connection.

use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

/// Where a server listens.
#[derive(Debug, Clone)]
pub(crate) enum Address {
    Tcp(String),
    Unix(PathBuf),
}

impl Address {
    /// For people.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Tcp(_) => "TCP",
            Self::Unix(_) => "Unix socket",
        }
    }

    /// A connection.
    pub(crate) async fn connect(&self) -> Result<Connection> {
        let stream: Box<dyn Stream> = match self {
            Self::Tcp(address) => {
                let stream = TcpStream::connect(address).await?;
                stream.set_nodelay(true)?;
                Box::new(stream)
            }
            Self::Unix(path) => Box::new(UnixStream::connect(path).await?),
        };
        Ok(Connection { stream, got: Vec::new(), status: 0, body: 0, end: 0 })
    }
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// One connection that is kept.
pub(crate) struct Connection {
    stream: Box<dyn Stream>,
    got: Vec<u8>,
    /// Of the last answer: its status, where its body begins, and where it ends.
    status: u16,
    body: usize,
    end: usize,
}

/// A whole request.
pub(crate) fn request(method: &str, path: &str, token: Option<&str>, body: &str) -> Vec<u8> {
    let token = token.map(|token| format!("authorization: Bearer {token}\r\n")).unwrap_or_default();
    let kind = if body.is_empty() {
        String::new()
    } else {
        format!("content-type: application/json\r\ncontent-length: {}\r\n", body.len())
    };
    format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\n{token}{kind}\r\n{body}").into_bytes()
}

/// A whole request that reads, with headers of its own, each ended by a line's end.
pub(crate) fn read(path: &str, headers: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n{headers}\r\n").into_bytes()
}

impl Connection {
    /// Sends a request and reads the answer; answers the body of one that says that all is well.
    pub(crate) async fn ask(&mut self, request: &[u8]) -> Result<&[u8]> {
        self.exchange(request).await?;
        self.last()
    }

    /// Sends a request and reads the answer, whatever it is: its status. The body is [`last`](Self::last).
    pub(crate) async fn exchange(&mut self, request: &[u8]) -> Result<u16> {
        self.got.drain(..self.end);
        (self.body, self.end) = (0, 0);
        self.stream.write_all(request).await.context("the server took no request")?;
        let body = loop {
            if let Some(end) = self.got.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                break end + 4;
            }
            self.read().await?;
        };
        let (status, length) = head(&self.got[..body])?;
        while self.got.len() < body + length {
            self.read().await?;
        }
        (self.status, self.body, self.end) = (status, body, body + length);
        Ok(status)
    }

    /// The body of the last answer, if that said that all is well.
    pub(crate) fn last(&self) -> Result<&[u8]> {
        let said = &self.got[self.body..self.end];
        let status = self.status;
        ensure!((200..300).contains(&status), "answered {status}: {}", String::from_utf8_lossy(said));
        Ok(said)
    }

    async fn read(&mut self) -> Result<()> {
        if self.stream.read_buf(&mut self.got).await? == 0 {
            bail!("the server closed the connection");
        }
        Ok(())
    }
}

/// The status of an answer and the length of its body.
fn head(head: &[u8]) -> Result<(u16, usize)> {
    let head = std::str::from_utf8(head).context("an answer has no readable head")?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).context("no status")?;
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then_some(value.trim())
    });
    Ok((status, length.context("an answer does not say how long it is")?.parse()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn answers_are_told_apart_however_they_arrive() {
        let (here, mut there) = tokio::io::duplex(1_024);
        let mut connection =
            Connection { stream: Box::new(here), got: Vec::new(), status: 0, body: 0, end: 0 };
        let answers = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nabHTTP/1.1 201 Created\r\ncontent-length: 0\r\n\r\n";
        for part in answers.chunks(7) {
            there.write_all(part).await.unwrap();
        }
        assert_eq!(connection.ask(&request("GET", "/", None, "")).await.unwrap(), b"ab");
        assert_eq!(connection.ask(&request("GET", "/", None, "")).await.unwrap(), b"");
        there.write_all(b"HTTP/1.1 409 Conflict\r\ncontent-length: 3\r\n\r\nwhy").await.unwrap();
        let error = connection.ask(&request("GET", "/", None, "")).await.unwrap_err();
        assert_eq!(error.to_string(), "answered 409: why");
    }
}
