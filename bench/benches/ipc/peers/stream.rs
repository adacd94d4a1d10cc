//! Two pipes, or a pair of Unix sockets: the host's kernel copies the bytes in and out.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use super::{Ask, Link};

/// Both ends of both directions; files, because all they are asked for is to read and to write.
struct Stream {
    asks: (File, File),
    answers: (File, File),
    bytes: usize,
}

struct Client {
    asks: File,
    answers: File,
    room: Vec<u8>,
}

fn file(end: impl Into<OwnedFd>) -> File {
    File::from(end.into())
}

/// A pipe for each direction.
pub fn pipe(bytes: usize) -> io::Result<Box<dyn Link>> {
    let ends = || io::pipe().map(|(reader, writer)| (file(reader), file(writer)));
    Ok(Box::new(Stream { asks: ends()?, answers: ends()?, bytes }))
}

/// One pair of stream sockets.
pub fn unix_socket(bytes: usize) -> io::Result<Box<dyn Link>> {
    let (client, server) = UnixStream::pair()?;
    let asks = (file(server.try_clone()?), file(client.try_clone()?));
    Ok(Box::new(Stream { asks, answers: (file(client), file(server)), bytes }))
}

impl Link for Stream {
    fn client(&self) -> io::Result<Box<dyn Ask>> {
        let (asks, answers) = (self.asks.1.try_clone()?, self.answers.0.try_clone()?);
        Ok(Box::new(Client { asks, answers, room: vec![0; self.bytes] }))
    }

    fn serve(&self, mut next: Box<dyn Ask>) -> io::Result<()> {
        let mut number = [0; 8];
        loop {
            (&self.asks.0).read_exact(&mut number)?;
            let mut written = Ok(());
            next.ask(u64::from_le_bytes(number), &mut |bytes| written = (&self.answers.1).write_all(bytes))?;
            written?;
        }
    }
}

impl Ask for Client {
    fn ask(&mut self, number: u64, look: &mut dyn FnMut(&[u8])) -> io::Result<()> {
        self.asks.write_all(&number.to_le_bytes())?;
        self.answers.read_exact(&mut self.room)?;
        look(&self.room);
        Ok(())
    }
}
