//! What a trial showed, and what that is called: a function of the observations and of nothing else.

use kd_campaign::Class;

/// What was seen of an app.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AppSeen {
    /// It was killed by the kernel, or ended.
    pub killed: bool,
    /// A step of it never ended.
    pub hung: bool,
    /// Rounds that failed with an error.
    pub failed: u64,
    /// Rounds that were good after the last one that was not.
    pub good_at_last: bool,
    /// Rounds that returned wrong data.
    pub wrong: u64,
    /// Acknowledged bytes that are gone.
    pub lost: u64,
    /// Acknowledged bytes that read back wrong.
    pub corrupted: u64,
}

impl AppSeen {
    /// Whether anything was not as it should be.
    fn is_hit(&self) -> bool {
        self.killed || self.hung || self.failed > 0 || self.wrong > 0 || self.lost > 0 || self.corrupted > 0
    }
}

/// What was seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// The faulty instruction was executed.
    pub activated: bool,
    /// The kernel went down.
    pub kernel_dead: bool,
    /// The app that uses the component.
    pub caller: AppSeen,
    /// The app that does not.
    pub other: AppSeen,
    /// How often the component, or its domain, died or was ended, and started again.
    pub restarts: u32,
    /// It made no progress, and was ended for that.
    pub hang_noticed: bool,
    /// Other components that died or were ended.
    pub died: Vec<String>,
    /// Other components whose canaries have changed.
    pub canaries: Vec<String>,
    /// Other components that do not answer as they should.
    pub unhealthy: Vec<String>,
    /// Who had a secret that the component got to read.
    pub leaked: Vec<String>,
    /// What the disk's check found wrong afterwards.
    pub disk: Option<String>,
}

impl Seen {
    /// Everything that was hit and was not faulty.
    pub fn hit(&self) -> Vec<String> {
        let mut hit: Vec<String> =
            [&self.died, &self.canaries, &self.unhealthy].into_iter().flatten().cloned().collect();
        if self.other.is_hit() {
            hit.push("other app".into());
        }
        hit.sort();
        hit.dedup();
        hit
    }

    /// Everybody who was not faulty and was hit, or read.
    pub fn reached(&self) -> Vec<String> {
        let read = self.leaked.iter().map(|name| format!("{name}, read"));
        self.hit().into_iter().chain(read).collect()
    }

    /// The worst that it showed.
    pub fn class(&self) -> Class {
        let caller = &self.caller;
        let complained = caller.failed > 0;
        match () {
            () if !self.activated => Class::NotActivated,
            () if self.kernel_dead => Class::KernelDead,
            () if !self.hit().is_empty() => Class::Spread,
            () if !self.leaked.is_empty() => Class::SecretRead,
            () if caller.hung && !self.hang_noticed => Class::HangUnnoticed,
            () if caller.killed || caller.hung => Class::AppKilled,
            () if complained && !caller.good_at_last => Class::AppKilled,
            () if caller.lost > 0 || self.disk.is_some() => Class::DataLost,
            () if caller.wrong > 0 || caller.corrupted > 0 => Class::WrongData,
            () if self.hang_noticed => Class::HangNoticed,
            () if self.restarts > 0 && complained => Class::RestartedAware,
            () if self.restarts > 0 => Class::RestartedUnaware,
            () if complained => Class::ErrorReturned,
            () => Class::Masked,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn healthy() -> Seen {
        let app = AppSeen { good_at_last: true, ..AppSeen::default() };
        Seen { activated: true, caller: app, other: app, ..Seen::default() }
    }

    #[test]
    fn every_class_has_what_it_is_called_for() {
        let fine = healthy().caller;
        let named = |name: &str| vec![name.to_string()];
        let failed = AppSeen { failed: 1, ..fine };
        let cases = [
            (Seen { activated: false, ..healthy() }, Class::NotActivated),
            (healthy(), Class::Masked),
            (Seen { caller: failed, ..healthy() }, Class::ErrorReturned),
            (Seen { restarts: 1, ..healthy() }, Class::RestartedUnaware),
            (Seen { restarts: 1, caller: failed, ..healthy() }, Class::RestartedAware),
            (Seen { restarts: 1, hang_noticed: true, caller: failed, ..healthy() }, Class::HangNoticed),
            (Seen { caller: AppSeen { wrong: 1, ..fine }, ..healthy() }, Class::WrongData),
            (Seen { caller: AppSeen { corrupted: 9, ..fine }, ..healthy() }, Class::WrongData),
            (Seen { caller: AppSeen { lost: 9, failed: 1, ..fine }, restarts: 1, ..healthy() }, Class::DataLost),
            (Seen { disk: Some("a lost block".into()), ..healthy() }, Class::DataLost),
            (Seen { caller: AppSeen { killed: true, ..fine }, ..healthy() }, Class::AppKilled),
            (Seen { caller: AppSeen { good_at_last: false, ..failed }, ..healthy() }, Class::AppKilled),
            (Seen { caller: AppSeen { hung: true, ..fine }, hang_noticed: true, ..healthy() }, Class::AppKilled),
            (Seen { caller: AppSeen { hung: true, ..fine }, ..healthy() }, Class::HangUnnoticed),
            (Seen { other: failed, ..healthy() }, Class::Spread),
            (Seen { other: AppSeen { hung: true, ..fine }, ..healthy() }, Class::Spread),
            (Seen { other: AppSeen { corrupted: 1, ..fine }, ..healthy() }, Class::Spread),
            (Seen { canaries: named("vfs"), ..healthy() }, Class::Spread),
            (Seen { unhealthy: named("pipe"), ..healthy() }, Class::Spread),
            (Seen { died: named("vfs"), caller: AppSeen { killed: true, ..fine }, ..healthy() }, Class::Spread),
            (Seen { leaked: named("other app"), caller: failed, ..healthy() }, Class::SecretRead),
            (Seen { leaked: named("other app"), canaries: named("vfs"), ..healthy() }, Class::Spread),
            (Seen { kernel_dead: true, died: named("vfs"), ..healthy() }, Class::KernelDead),
        ];
        for (seen, class) in &cases {
            assert_eq!(seen.class(), *class, "{seen:?}");
        }
        for class in Class::ALL.into_iter().filter(|class| *class != Class::NotApplicable) {
            assert!(cases.iter().any(|(_, named)| *named == class), "{class:?} is not planted");
        }
    }

    #[test]
    fn what_was_hit_is_named_once() {
        let named = |name: &str| vec![name.to_string()];
        let mut seen = Seen { canaries: named("vfs"), unhealthy: named("vfs"), died: named("blk"), ..healthy() };
        seen.other.killed = true;
        assert_eq!(seen.hit(), ["blk", "other app", "vfs"]);
    }
}
