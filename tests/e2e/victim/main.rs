//! A worker that takes one job, prints it, and then does nothing for ever: it is there to be killed.

use std::io::{Read, Write};
use std::net::TcpStream;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut words = std::env::args().skip(1);
    let mut word = || words.next().ok_or("usage: victim BASE TOKEN WORKER");
    let (base, token, worker) = (word()?, word()?, word()?);
    let host = base.trim_start_matches("http://");
    let mut stream = TcpStream::connect(host)?;
    write!(
        stream,
        "GET /api/internal/jobs/open?workerId={worker}&limit=1&wait=30 HTTP/1.1\r\nHost: {host}\r\n\
         Authorization: Bearer {token}\r\nConnection: close\r\n\r\n"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let body = answer.split_once("\r\n\r\n").ok_or("no body")?.1;
    let (first, last) = (body.find('[').ok_or("no array")?, body.rfind(']').ok_or("no array")?);
    let job = &body[first + 1..last];
    writeln!(std::io::stdout(), "{job}")?;
    loop {
        std::thread::park();
    }
}
