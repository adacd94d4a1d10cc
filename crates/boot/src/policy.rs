//! What becomes of a component that dies, as data: whether it comes back, how, how often, and who with it.
//!
//! The words are those of systemd's units; MINIX's reincarnation server has the same in its table. A policy decides, it does
//! nothing: [`History`] turns deaths into decisions, and its clock is its caller's.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

/// Nanoseconds of a millisecond.
const MS: u64 = 1_000_000;
/// The longest back-off, in milliseconds: who waits longer has been given up in all but name.
const BACK_OFF_MAX: u64 = 60_000;

/// Which deaths are followed by a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Restart {
    /// All.
    Always,
    /// Those that nobody asked for: not exit code 0, nor the signal to terminate.
    OnFailure,
    /// None.
    Never,
}

/// How a successor comes into being.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Way {
    /// From the program's file and the module's.
    Cold,
    /// Forked from a process in which the module is mapped.
    Warm,
    /// It is there already: mapped, connected, and waiting for one word.
    Standby,
}

impl Way {
    /// All of them, the slowest first.
    pub const ALL: [Way; 3] = [Way::Cold, Way::Warm, Way::Standby];

    /// Its name in manifests and results.
    pub const fn name(self) -> &'static str {
        match self {
            Way::Cold => "cold",
            Way::Warm => "warm",
            Way::Standby => "standby",
        }
    }
}

/// The policy of a component.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Policy {
    /// Which deaths are followed by a restart.
    pub restart: Restart,
    /// How.
    pub way: Way,
    /// More deaths than this ...
    pub deaths: u32,
    /// ... within so many milliseconds, and it stays dead: its fault is not a passing one.
    pub within_ms: u64,
    /// Milliseconds until the first restart of a series; twice as many before each further one.
    pub back_off_ms: u64,
    /// Whether it is restarted as well when one that it imports was.
    pub follow: bool,
}

impl Default for Policy {
    fn default() -> Policy {
        Policy { restart: Restart::Always, way: Way::Warm, deaths: 20, within_ms: 1000, back_off_ms: 0, follow: false }
    }
}

/// What is wrong with a policy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// No death is forgiven, but restarts are asked for.
    #[error("`deaths` is 0, so that no death is followed by a restart: say `\"restart\": \"never\"`, or 1 at least")]
    NoDeaths,
    /// Deaths within no time.
    #[error("`within_ms` is 0, so that deaths are never counted together: say in how many milliseconds, 1 at least")]
    NoTime,
    /// A back-off beyond reason.
    #[error("`back_off_ms` is {0}: use {BACK_OFF_MAX} at most, or `\"restart\": \"never\"`")]
    BackOff(u64),
}

/// What follows a death.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// A restart, not before this moment.
    RestartAt(u64),
    /// Nothing: it was to end.
    Stay,
    /// Nothing: it died too often.
    GiveUp,
}

/// The deaths of a component that still count.
#[derive(Clone, Debug, Default)]
pub struct History(VecDeque<u64>);

impl Policy {
    /// Refuses what makes no sense.
    ///
    /// # Errors
    /// What is wrong, and what to say instead.
    pub fn check(&self) -> Result<(), PolicyError> {
        match self {
            Policy { restart: Restart::Never, .. } => Ok(()),
            Policy { deaths: 0, .. } => Err(PolicyError::NoDeaths),
            Policy { within_ms: 0, .. } => Err(PolicyError::NoTime),
            Policy { back_off_ms, .. } if *back_off_ms > BACK_OFF_MAX => Err(PolicyError::BackOff(*back_off_ms)),
            _ => Ok(()),
        }
    }
}

impl History {
    /// Counts a death at `now`, of one that was `asked` to end or not, and decides.
    pub fn died(&mut self, policy: &Policy, asked: bool, now: u64) -> Next {
        match policy.restart {
            Restart::Never => return Next::Stay,
            Restart::OnFailure if asked => return Next::Stay,
            Restart::Always | Restart::OnFailure => {}
        }
        self.0.push_back(now);
        self.0.retain(|&at| now - at < policy.within_ms * MS);
        if self.0.len() > policy.deaths as usize {
            return Next::GiveUp;
        }
        // The series is what still counts; a shift beyond all bits is the longest wait there is.
        let doubled = 1u64.checked_shl(self.0.len() as u32 - 1).unwrap_or(u64::MAX);
        Next::RestartAt(now + policy.back_off_ms.saturating_mul(doubled).min(BACK_OFF_MAX) * MS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: Policy =
        Policy { restart: Restart::Always, way: Way::Warm, deaths: 3, within_ms: 100, back_off_ms: 10, follow: false };

    #[test]
    fn who_dies_too_often_is_given_up_and_who_dies_rarely_is_not() {
        let mut often = History::default();
        let nexts = [0, 1, 2, 3].map(|ms| often.died(&POLICY, false, ms * MS));
        assert_eq!(nexts[3], Next::GiveUp);
        assert!(nexts[..3].iter().all(|next| matches!(next, Next::RestartAt(_))), "{nexts:?}");
        let mut rarely = History::default();
        let after = |ms: u64| rarely.died(&POLICY, false, ms * MS);
        let nexts: Vec<Next> = (0..50).map(|death| death * 40).map(after).collect();
        assert!(nexts.iter().all(|next| matches!(next, Next::RestartAt(_))), "{nexts:?}");
    }

    #[test]
    fn the_back_off_doubles_within_a_series_and_begins_anew_after_it() {
        let mut history = History::default();
        let waits = [0, 1, 2, 500].map(|ms| match history.died(&POLICY, false, ms * MS) {
            Next::RestartAt(at) => at / MS - ms,
            other => panic!("{other:?}"),
        });
        assert_eq!(waits, [10, 20, 40, 10]);
        let long = Policy { deaths: 100, within_ms: 1_000_000, ..POLICY };
        let last = (0..90).map(|_| history.died(&long, false, 600 * MS)).last();
        assert_eq!(last, Some(Next::RestartAt((600 + BACK_OFF_MAX) * MS)), "never beyond the longest");
    }

    #[test]
    fn an_end_that_was_asked_for_is_a_failure_only_to_who_always_wants_it_back() {
        let next = |restart, asked| History::default().died(&Policy { restart, back_off_ms: 0, ..POLICY }, asked, 7);
        assert_eq!(next(Restart::Always, true), Next::RestartAt(7));
        assert_eq!(next(Restart::OnFailure, false), Next::RestartAt(7));
        assert_eq!(next(Restart::OnFailure, true), Next::Stay);
        assert_eq!(next(Restart::Never, false), Next::Stay);
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_a_remedy() {
        assert_eq!(Policy { deaths: 0, ..POLICY }.check(), Err(PolicyError::NoDeaths));
        assert_eq!(Policy { within_ms: 0, ..POLICY }.check(), Err(PolicyError::NoTime));
        assert_eq!(Policy { back_off_ms: 60_001, ..POLICY }.check(), Err(PolicyError::BackOff(60_001)));
        assert_eq!(Policy { deaths: 0, restart: Restart::Never, ..POLICY }.check(), Ok(()));
        let error = serde_json::from_str::<Policy>(r#"{"restart": "sometimes"}"#).unwrap_err().to_string();
        assert!(["sometimes", "always", "on-failure", "never"].iter().all(|word| error.contains(word)), "{error}");
        assert!(serde_json::from_str::<Policy>(r#"{"retsart": "always"}"#).is_err());
        assert_eq!(serde_json::from_str::<Policy>("{}").expect("all has a default"), Policy::default());
    }
}
