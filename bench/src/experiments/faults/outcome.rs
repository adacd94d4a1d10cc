//! What a trial showed, and what that is called.

/// The classes, from best to worst; a trial is the worst that it showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// The fault never happened.
    NotActivated,
    /// Nobody but the failing component was touched: no app saw an error, every byte is right.
    Contained,
    /// The calling app saw errors, lives, and goes on.
    AppSawError,
    /// The calling app was told of errors and goes on, and data that the component had acknowledged is gone.
    DataLost,
    /// The calling app got wrong data without an error.
    SilentWrongData,
    /// The calling app was killed, or hangs though the fault was noticed.
    AppKilled,
    /// The calling app hangs and nobody noticed.
    HangUnnoticed,
    /// Something that has nothing to do with the component was hit.
    Spread,
    /// The whole kernel went down, and every app with it.
    KernelDead,
}

impl Outcome {
    /// All of them.
    pub const ALL: [Outcome; 9] = [
        Outcome::NotActivated,
        Outcome::Contained,
        Outcome::AppSawError,
        Outcome::DataLost,
        Outcome::SilentWrongData,
        Outcome::AppKilled,
        Outcome::HangUnnoticed,
        Outcome::Spread,
        Outcome::KernelDead,
    ];

    /// Its name in results.
    pub const fn name(self) -> &'static str {
        match self {
            Outcome::NotActivated => "not_activated",
            Outcome::Contained => "contained",
            Outcome::AppSawError => "app_saw_error",
            Outcome::DataLost => "data_lost",
            Outcome::SilentWrongData => "silent_wrong_data",
            Outcome::AppKilled => "app_killed",
            Outcome::HangUnnoticed => "hang_unnoticed",
            Outcome::Spread => "spread",
            Outcome::KernelDead => "kernel_dead",
        }
    }
}

/// What one app looked like in the end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AppSeen {
    /// The kernel told it that it was killed, or its process is gone.
    pub killed: bool,
    /// It finished good rounds after the fault.
    pub went_on: bool,
    /// Rounds that failed with an errno.
    pub failed: u64,
    /// Rounds, or bytes of the final audit, that were wrong.
    pub wrong: u64,
    /// Acknowledged bytes that the final audit could not read back.
    pub lost: u64,
}

/// What one trial showed.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Why the trial says nothing, if it does not: it could not be set up.
    pub obstacle: Option<String>,
    /// The fault happened.
    pub activated: bool,
    /// The kernel still answers.
    pub kernel_alive: bool,
    /// The app that uses the failing component.
    pub caller: AppSeen,
    /// The canary.
    pub other: AppSeen,
    /// The canary's bytes in the kernel's memory are as they were.
    pub victim_intact: bool,
    /// Who noticed first.
    pub noticed_by: &'static str,
    /// From the round that met the fault to the notice, in microseconds.
    pub notice_us: Option<f64>,
}

impl Seen {
    /// A trial that says nothing.
    pub fn obstacle(why: String) -> Seen {
        Seen { obstacle: Some(why), ..Seen::nothing() }
    }

    /// Nothing seen yet.
    pub fn nothing() -> Seen {
        Seen {
            obstacle: None,
            activated: false,
            kernel_alive: true,
            caller: AppSeen::default(),
            other: AppSeen::default(),
            victim_intact: true,
            noticed_by: "nobody",
            notice_us: None,
        }
    }

    /// The calling app lives and goes on.
    pub fn caller_alive(&self) -> bool {
        self.kernel_alive && !self.caller.killed && self.caller.went_on
    }

    /// The canary lives and goes on.
    pub fn other_alive(&self) -> bool {
        self.kernel_alive && !self.other.killed && self.other.went_on
    }

    /// Every byte that was read was right, and every acknowledged byte is there, as far as an app lived to say so.
    pub fn bytes_right(&self) -> bool {
        let right = |app: &AppSeen| app.wrong == 0 && app.lost == 0;
        right(&self.caller) && right(&self.other) && self.victim_intact
    }

    /// What it is called.
    pub fn outcome(&self) -> Outcome {
        let other = &self.other;
        if !self.activated {
            Outcome::NotActivated
        } else if !self.kernel_alive {
            Outcome::KernelDead
        } else if !self.victim_intact || !self.other_alive() || other.failed + other.wrong + other.lost > 0 {
            Outcome::Spread
        } else if !self.caller.killed && !self.caller.went_on && self.noticed_by == "nobody" {
            Outcome::HangUnnoticed
        } else if self.caller.killed || !self.caller.went_on {
            Outcome::AppKilled
        } else if self.caller.wrong > 0 || (self.caller.lost > 0 && self.caller.failed == 0) {
            Outcome::SilentWrongData
        } else if self.caller.lost > 0 {
            Outcome::DataLost
        } else if self.caller.failed > 0 {
            Outcome::AppSawError
        } else {
            Outcome::Contained
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn healthy() -> Seen {
        let app = AppSeen { went_on: true, ..AppSeen::default() };
        Seen { activated: true, caller: app, other: app, ..Seen::nothing() }
    }

    #[test]
    fn every_class_is_told_apart() {
        let app = AppSeen { went_on: true, ..AppSeen::default() };
        let dead = AppSeen { killed: true, ..AppSeen::default() };
        let hung = AppSeen::default();
        let cases = [
            (Seen { activated: false, ..healthy() }, Outcome::NotActivated),
            (healthy(), Outcome::Contained),
            (Seen { caller: AppSeen { failed: 1, ..app }, ..healthy() }, Outcome::AppSawError),
            (Seen { caller: AppSeen { wrong: 1, ..app }, ..healthy() }, Outcome::SilentWrongData),
            (Seen { caller: AppSeen { lost: 1, ..app }, ..healthy() }, Outcome::SilentWrongData),
            (Seen { caller: AppSeen { lost: 1, failed: 1, ..app }, ..healthy() }, Outcome::DataLost),
            (Seen { caller: dead, ..healthy() }, Outcome::AppKilled),
            (Seen { caller: hung, noticed_by: "supervisor", ..healthy() }, Outcome::AppKilled),
            (Seen { caller: hung, ..healthy() }, Outcome::HangUnnoticed),
            (Seen { other: AppSeen { wrong: 1, ..app }, ..healthy() }, Outcome::Spread),
            (Seen { other: dead, ..healthy() }, Outcome::Spread),
            (Seen { other: hung, ..healthy() }, Outcome::Spread),
            (Seen { victim_intact: false, ..healthy() }, Outcome::Spread),
            (Seen { kernel_alive: false, ..healthy() }, Outcome::KernelDead),
        ];
        for (seen, outcome) in cases {
            assert_eq!(seen.outcome(), outcome, "{seen:?}");
        }
    }
}
