//! Messages between processes, each with descriptors if wanted: a Unix `SOCK_SEQPACKET` pair.

use std::io::{self, IoSlice};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use serde::{Serialize, de::DeserializeOwned};

/// Longest message, in bytes.
const MESSAGE_MAX: usize = 160 * 1024;
/// Most descriptors with one message.
const FDS_MAX: usize = 8;

/// One end.
#[derive(Debug)]
pub struct Socket(OwnedFd);

impl Socket {
    /// Two ends.
    pub fn pair() -> io::Result<(Socket, Socket)> {
        let mut fds = [0; 2];
        // SAFETY: room for two descriptors.
        let result =
            unsafe { libc::socketpair(libc::AF_UNIX, libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC, 0, fds.as_mut_ptr()) };
        if result != 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: two fresh descriptors.
        unsafe { Ok((Socket(OwnedFd::from_raw_fd(fds[0])), Socket(OwnedFd::from_raw_fd(fds[1])))) }
    }

    /// The end behind a descriptor.
    pub fn from_fd(fd: OwnedFd) -> Socket {
        Socket(fd)
    }

    /// The descriptor.
    pub fn fd(&self) -> BorrowedFd<'_> {
        use std::os::fd::AsFd;
        self.0.as_fd()
    }

    /// Sends nothing more: the other end's next [`Socket::receive`] is its last.
    pub fn finish(&self) -> io::Result<()> {
        // SAFETY: plain system call on a descriptor of ours.
        match unsafe { libc::shutdown(self.0.as_raw_fd(), libc::SHUT_WR) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// Sends a value as JSON, and descriptors with it.
    pub fn send<T: Serialize>(&self, value: &T, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
        assert!(fds.len() <= FDS_MAX, "callers pass a handful of descriptors");
        let bytes = serde_json::to_vec(value)?;
        let slice = IoSlice::new(&bytes);
        let raw: Vec<i32> = fds.iter().map(|fd| fd.as_raw_fd()).collect();
        let mut control = [0u64; 16];
        // SAFETY: an all-zero header is valid; its pointers are set to live memory below; `control` is aligned and
        // large enough for FDS_MAX descriptors; the host copies everything before the call returns.
        let sent = unsafe {
            let mut header: libc::msghdr = std::mem::zeroed();
            header.msg_iov = (&raw const slice).cast_mut().cast();
            header.msg_iovlen = 1;
            if !raw.is_empty() {
                header.msg_control = control.as_mut_ptr().cast();
                header.msg_controllen = libc::CMSG_SPACE(size_of_val(&raw[..]) as u32) as _;
                let first = libc::CMSG_FIRSTHDR(&raw const header);
                (*first).cmsg_level = libc::SOL_SOCKET;
                (*first).cmsg_type = libc::SCM_RIGHTS;
                (*first).cmsg_len = libc::CMSG_LEN(size_of_val(&raw[..]) as u32) as _;
                std::ptr::copy_nonoverlapping(raw.as_ptr(), libc::CMSG_DATA(first).cast(), raw.len());
            }
            libc::sendmsg(self.0.as_raw_fd(), &raw const header, libc::MSG_NOSIGNAL)
        };
        if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// Receives a value and its descriptors; `UnexpectedEof` when the other end is gone.
    pub fn receive<T: DeserializeOwned>(&self) -> io::Result<(T, Vec<OwnedFd>)> {
        // Not filled beforehand: most messages are short.
        let mut bytes: Vec<u8> = Vec::with_capacity(MESSAGE_MAX);
        let mut control = [0u64; 16];
        let mut fds = Vec::new();
        let mut slice = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: MESSAGE_MAX };
        // SAFETY: as in `send`; the vector has room for as many bytes, of which as many are its own afterwards as the host says
        // that it wrote; the control messages are walked by the macros made for it, and each descriptor in
        // them is fresh and ours.
        let received = unsafe {
            let mut header: libc::msghdr = std::mem::zeroed();
            header.msg_iov = &raw mut slice;
            header.msg_iovlen = 1;
            header.msg_control = control.as_mut_ptr().cast();
            header.msg_controllen = size_of_val(&control) as _;
            let received = loop {
                let received = libc::recvmsg(self.0.as_raw_fd(), &raw mut header, libc::MSG_CMSG_CLOEXEC);
                if received >= 0 || io::Error::last_os_error().kind() != io::ErrorKind::Interrupted {
                    break received;
                }
            };
            let mut message = if received >= 0 { libc::CMSG_FIRSTHDR(&raw const header) } else { std::ptr::null_mut() };
            while !message.is_null() {
                if (*message).cmsg_level == libc::SOL_SOCKET && (*message).cmsg_type == libc::SCM_RIGHTS {
                    let count = ((*message).cmsg_len as usize - libc::CMSG_LEN(0) as usize) / size_of::<i32>();
                    for i in 0..count {
                        let fd: i32 = std::ptr::read_unaligned(libc::CMSG_DATA(message).cast::<i32>().add(i));
                        fds.push(OwnedFd::from_raw_fd(fd));
                    }
                }
                message = libc::CMSG_NXTHDR(&raw const header, message);
            }
            bytes.set_len(received.max(0) as usize);
            received
        };
        match received {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            count if count > 0 => Ok((serde_json::from_slice(&bytes)?, fds)),
            _ => Err(io::Error::last_os_error()),
        }
    }
}
