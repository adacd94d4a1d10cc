//! Paths taken apart, by Linux's rules: what leads to the last component, the last component, slashes behind it.

use kd_api::interfaces::vfs::PATH_MAX;
use kd_api::{Errno, Result};

/// A path.
#[derive(Debug, PartialEq, Eq)]
pub struct Path<'a> {
    /// It starts with a slash.
    pub absolute: bool,
    /// The directories on the way; empty pieces and `.` mean nothing.
    pub parents: &'a str,
    /// The end of it.
    pub last: Last<'a>,
    /// It ends in a slash: only a directory will do.
    pub slash: bool,
}

/// The last component.
#[derive(Debug, PartialEq, Eq)]
pub enum Last<'a> {
    /// None: the path is `/`.
    Root,
    /// `.`
    Dot,
    /// `..`
    DotDot,
    /// A name.
    Name(&'a str),
}

impl<'a> Path<'a> {
    /// `ENOENT` for an empty path, `ENAMETOOLONG` for one that Linux would not copy in; a NUL, which Linux would take
    /// for the end, is `EINVAL`.
    pub fn parse(path: &'a str) -> Result<Path<'a>> {
        if path.is_empty() {
            return Err(Errno::ENOENT);
        }
        if path.len() > PATH_MAX {
            return Err(Errno::ENAMETOOLONG);
        }
        if path.contains('\0') {
            return Err(Errno::EINVAL);
        }
        let trimmed = path.trim_end_matches('/');
        let (parents, last) = trimmed.rsplit_once('/').unwrap_or(("", trimmed));
        let last = match last {
            "" => Last::Root,
            "." => Last::Dot,
            ".." => Last::DotDot,
            name => Last::Name(name),
        };
        Ok(Path { absolute: path.starts_with('/'), parents, last, slash: trimmed.len() < path.len() })
    }

    /// The last component if it is a name, else `errno`.
    pub fn name_or(&self, errno: Errno) -> Result<&'a str> {
        match self.last {
            Last::Name(name) => Ok(name),
            _ => Err(errno),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_paths_apart() {
        let (too_long, longest) = ("/".repeat(4096), "/".repeat(4095));
        let of = |path| Path::parse(path).map(|p| (p.parents, p.last, p.slash));
        assert_eq!(of("/"), Ok(("", Last::Root, true)));
        assert_eq!(of("a"), Ok(("", Last::Name("a"), false)));
        assert_eq!(of("/a//b/../c//"), Ok(("/a//b/..", Last::Name("c"), true)));
        assert_eq!(of("/a/."), Ok(("/a", Last::Dot, false)));
        assert_eq!(of(".."), Ok(("", Last::DotDot, false)));
        assert_eq!(of(""), Err(Errno::ENOENT));
        assert_eq!(of("a\0b"), Err(Errno::EINVAL));
        assert_eq!(of(&too_long), Err(Errno::ENAMETOOLONG));
        assert_eq!(of(&longest).map(|p| p.1), Ok(Last::Root));
    }
}
