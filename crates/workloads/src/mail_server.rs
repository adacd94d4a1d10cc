//! A mail server: many small files, each made stable before it is acknowledged.
//!
//! The shape is that of Postmark (Katcher, NetApp TR3022, 1997: small files made, read, appended to, deleted) with the
//! fsync calls of Filebench's `varmail`, and a rename as in a maildir. One operation is one mail through its life, in three
//! places at once: a mail is delivered, one that came 8 before is read and marked as read, and the one that came 16 before
//! is deleted. So 16 mails are there at any time, and each operation costs the same.

use kd_api::Errno;
use kd_api::interfaces::vfs::open;

use crate::calls::{expect_gone, make_directory, read_to_end, with_file, write};
use crate::compute::Compute;
use crate::pattern;
use crate::place::Place;
use crate::{Env, Group, Session, Workload, Wrong};

/// Bytes of a mail's head, written first.
const HEAD: usize = 1024;
/// Bytes of its body, appended then: with the head about the middle of Postmark's 500 bytes to 10 KB.
const BODY: usize = 4096;
/// Bytes of the mark that a mail has been read.
const MARK: usize = 64;
/// Mails that are there at any time; each reuses the name of the one that came so many before.
const THERE: u64 = 16;
/// A mail is read when so many have come after it.
const READ_AFTER: u64 = 8;

/// Deliver, read and delete at one place.
pub struct MailServer(pub Place);

impl Workload for MailServer {
    fn name(&self) -> &'static str {
        if self.0 == Place::Disk { "disk_mail_server" } else { "mail_server" }
    }

    fn about(&self) -> &'static str {
        "One operation delivers a mail of 5 KiB (written in two pieces, fsync, rename), reads an earlier one and marks it \
         (append, fsync), and deletes a third: 15 calls."
    }

    fn group(&self) -> Group {
        Group::Macro
    }

    fn needs(&self) -> Option<&'static str> {
        self.0.needs()
    }

    fn subject(&self) -> &'static str {
        self.0.subject()
    }

    fn hops(&self) -> u32 {
        self.0.hops()
    }

    fn verifies(&self) -> bool {
        false
    }

    fn start(&self, env: &Env) -> Result<Box<dyn Session>, Errno> {
        let root = self.0.path(env, self.name());
        make_directory(env, &root)?;
        let mut session = MailSession {
            env: env.clone(),
            compute: Compute::new(env),
            arriving: format!("{root}/arriving"),
            // One more than there are, since one is delivered before another is deleted.
            mails: (0..=THERE).map(|number| format!("{root}/m{number:02}")).collect(),
            text: vec![0; HEAD + BODY],
            buffer: vec![0; HEAD + BODY + MARK + 1],
            root,
            next: 0,
            whole: false,
        };
        session.fill()?;
        Ok(Box::new(session))
    }
}

struct MailSession {
    env: Env,
    compute: Compute,
    root: String,
    arriving: String,
    mails: Vec<String>,
    text: Vec<u8>,
    buffer: Vec<u8>,
    /// The mail that comes next.
    next: u64,
    /// Whether the mails before it are as they should be.
    whole: bool,
}

impl MailSession {
    fn path(&self, mail: u64) -> &str {
        &self.mails[(mail % self.mails.len() as u64) as usize]
    }

    /// The text of a mail: the same but for its number, which its head and its body begin with.
    fn compose(text: &mut [u8], mail: u64) {
        text[..8].copy_from_slice(&mail.to_le_bytes());
        text[HEAD..HEAD + 8].copy_from_slice(&mail.to_be_bytes());
    }

    fn deliver(&mut self, mail: u64) -> Result<(), Errno> {
        Self::compose(&mut self.text, mail);
        let env = &self.env;
        with_file(env, &self.arriving, open::CREAT | open::EXCL | open::APPEND | open::WRONLY, |fd| {
            write(env, fd, &self.text[..HEAD])?;
            write(env, fd, &self.text[HEAD..])?;
            env.sys.fsync(env.caller, fd)
        })?;
        env.sys.rename(env.caller, &self.arriving, self.path(mail), 0)
    }

    /// Reads a mail of so many bytes; its head must be its own.
    fn read(&mut self, mail: u64, bytes: usize) -> Result<(), Errno> {
        let path = &self.mails[(mail % self.mails.len() as u64) as usize];
        let (env, buffer) = (&self.env, &mut self.buffer);
        with_file(env, path, open::RDONLY, |fd| read_to_end(env, fd, buffer, bytes))?;
        if self.buffer[..8] == mail.to_le_bytes() { Ok(()) } else { Err(Errno::EIO) }
    }

    fn mark(&self, mail: u64) -> Result<(), Errno> {
        let env = &self.env;
        with_file(env, self.path(mail), open::APPEND | open::WRONLY, |fd| {
            write(env, fd, &[b'R'; MARK])?;
            env.sys.fsync(env.caller, fd)
        })
    }

    /// Removes whatever is left.
    fn clear(&self) {
        for path in self.mails.iter().chain([&self.arriving]) {
            let _ = self.env.sys.unlink(self.env.caller, path);
        }
    }

    /// Delivers anew the mails that come before the next one, and marks those that would have been read.
    fn fill(&mut self) -> Result<(), Errno> {
        self.clear();
        pattern::fill(&mut self.text, self.env.caller.app.0, 0, 0);
        self.next = self.next.max(THERE);
        for mail in self.next - THERE..self.next {
            self.deliver(mail)?;
            if mail + READ_AFTER < self.next {
                self.mark(mail)?;
            }
        }
        self.whole = true;
        Ok(())
    }

    fn step(&mut self) -> Result<(), Errno> {
        if !self.whole {
            self.fill()?;
        }
        self.whole = false;
        self.deliver(self.next)?;
        self.read(self.next - READ_AFTER, HEAD + BODY)?;
        self.compute.on(&self.buffer[..HEAD + BODY]);
        self.mark(self.next - READ_AFTER)?;
        self.env.sys.unlink(self.env.caller, self.path(self.next - THERE))?;
        self.next += 1;
        self.whole = true;
        Ok(())
    }
}

impl Session for MailSession {
    fn run(&mut self, operations: u64) -> Result<(), Errno> {
        (0..operations).try_for_each(|_| self.step())
    }

    /// One operation; then every mail is there with its whole text and its mark, and no other.
    fn check(&mut self) -> Result<(), Wrong> {
        self.step()?;
        let mut expected = self.text.clone();
        for mail in self.next - THERE..self.next {
            let marked = mail + READ_AFTER < self.next;
            self.buffer.fill(0);
            self.read(mail, HEAD + BODY + if marked { MARK } else { 0 })?;
            Self::compose(&mut expected, mail);
            let (text, mark) = self.buffer.split_at(HEAD + BODY);
            if text != expected || marked != (mark[..MARK] == [b'R'; MARK]) {
                return Err(Wrong::Answer(format!("mail {mail} has another text or mark than was delivered")));
            }
        }
        expect_gone(&self.env, self.path(self.next))?;
        expect_gone(&self.env, &self.arriving)
    }
}

impl Drop for MailSession {
    fn drop(&mut self) {
        self.clear();
        // What a kernel in trouble does not remove is left.
        let _ = self.env.sys.rmdir(self.env.caller, &self.root);
    }
}
