//! Moving bytes piece by piece.

use kd_api::Result;

/// Calls `step` with the bytes done so far until `total` are or a piece falls short; `step` says what it asked for and
/// what it got. As with `read(2)`, an error after some bytes is not told, unless no app may miss it.
pub fn transfer(total: usize, mut step: impl FnMut(usize) -> Result<(usize, usize)>) -> Result<usize> {
    let mut done = 0;
    while done < total {
        match step(done) {
            Ok((asked, moved)) => {
                done += moved;
                if moved < asked || moved == 0 {
                    break;
                }
            }
            Err(errno) if done == 0 || errno.is_internal() => return Err(errno),
            Err(_) => break,
        }
    }
    Ok(done)
}

#[cfg(test)]
mod tests {
    use kd_api::Errno;

    use super::*;

    #[test]
    fn stops_at_a_short_piece_and_keeps_what_was_done() {
        let run = |answers: &[Result<(usize, usize)>]| {
            let mut answers = answers.iter();
            transfer(100, |_| *answers.next().expect("no more calls than pieces"))
        };
        assert_eq!(run(&[Ok((60, 60)), Ok((40, 40))]), Ok(100));
        assert_eq!(run(&[Ok((60, 60)), Ok((40, 9))]), Ok(69));
        assert_eq!(run(&[Ok((60, 0))]), Ok(0));
        assert_eq!(run(&[Err(Errno::EIO)]), Err(Errno::EIO));
        assert_eq!(run(&[Ok((60, 60)), Err(Errno::EIO)]), Ok(60));
        assert_eq!(run(&[Ok((60, 60)), Err(Errno::EUNKNOWN)]), Err(Errno::EUNKNOWN));
    }
}
