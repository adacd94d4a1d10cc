//! `ipc-channel`, Servo's: its channels of bytes, without serialisation, over Unix sockets.

use std::io;
use std::sync::{Mutex, PoisonError};

use ipc_channel::IpcError;
use ipc_channel::ipc::{IpcBytesReceiver, IpcBytesSender, bytes_channel};

use super::{Ask, Link};

/// Each end is taken by the one process that uses it; only clones of the sending one may be shared.
struct Pair {
    asks: (IpcBytesSender, Mutex<Option<IpcBytesReceiver>>),
    answers: (IpcBytesSender, Mutex<Option<IpcBytesReceiver>>),
}

struct Client {
    asks: IpcBytesSender,
    answers: IpcBytesReceiver,
}

/// A channel for each direction.
pub fn link() -> io::Result<Box<dyn Link>> {
    let ends = || bytes_channel().map(|(sender, receiver)| (sender, Mutex::new(Some(receiver))));
    Ok(Box::new(Pair { asks: ends()?, answers: ends()? }))
}

fn take(receiver: &Mutex<Option<IpcBytesReceiver>>) -> io::Result<IpcBytesReceiver> {
    receiver.lock().unwrap_or_else(PoisonError::into_inner).take().ok_or(io::ErrorKind::ResourceBusy.into())
}

fn gone(error: IpcError) -> io::Error {
    io::Error::other(format!("{error:?}"))
}

impl Link for Pair {
    fn client(&self) -> io::Result<Box<dyn Ask>> {
        Ok(Box::new(Client { asks: self.asks.0.clone(), answers: take(&self.answers.1)? }))
    }

    fn serve(&self, mut next: Box<dyn Ask>) -> io::Result<()> {
        let asks = take(&self.asks.1)?;
        loop {
            let number = asks.recv().map_err(gone)?;
            let number = number.try_into().map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
            let mut sent = Ok(());
            next.ask(u64::from_le_bytes(number), &mut |bytes| sent = self.answers.0.send(bytes))?;
            sent?;
        }
    }
}

impl Ask for Client {
    fn ask(&mut self, number: u64, look: &mut dyn FnMut(&[u8])) -> io::Result<()> {
        self.asks.send(&number.to_le_bytes())?;
        look(&self.answers.recv().map_err(gone)?);
        Ok(())
    }
}
