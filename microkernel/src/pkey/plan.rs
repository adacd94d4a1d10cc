//! Which component is which domain, and which keys there are for windows: decided from the manifest before anything runs.
//!
//! Of a processor's keys one is that of all other memory and one that of the stacks for signals. Each component has one.
//! Those that are left are for windows: callers with many imports have one of their own, the others share the last; if
//! none is left, all share that of the signal stacks.

use kd_boot::manifest::{Entry, Manifest};
use kd_boot::start::BootError;
use kd_boot::{Placement, log};
use kd_nucleus::pkey::{DOMAINS, FIRST, KeyError, keys};

/// Who calls through windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder {
    /// Apps, and the kernel itself.
    Outside,
    /// A component, by its number in the manifest.
    Component(usize),
}

/// The plan.
pub struct Plan {
    /// The components behind keys, in the manifest's order; the first is domain [`FIRST`].
    members: Vec<usize>,
    /// Who shares which window key.
    groups: Vec<Vec<Holder>>,
    /// Keys that are left for windows.
    spare: usize,
    /// Those of the components that are called from outside: by apps, or by what has no key.
    from_outside: Vec<usize>,
}

impl Plan {
    /// One for a manifest on this machine.
    ///
    /// # Errors
    /// A machine without keys, a component without one, placements that do not go together: each names the entry.
    pub fn new(manifest: &Manifest) -> Result<Plan, BootError> {
        Plan::with_keys(manifest, keys::count())
    }

    fn with_keys(manifest: &Manifest, keys: Result<usize, KeyError>) -> Result<Plan, BootError> {
        let placed = |entry: &Entry| manifest.placement_of(entry).is_pkey();
        let all = manifest.entries.iter().enumerate();
        let members: Vec<usize> = all.clone().filter(|(_, entry)| placed(entry)).map(|(number, _)| number).collect();
        let name = |member: usize| manifest.entries[member].name.clone();
        let keys =
            keys.map_err(|error| BootError::NoKeys(members.first().map_or_else(String::new, |m| name(*m)), error))?;
        compatible(manifest)?;
        let for_components = keys.saturating_sub(1).min(DOMAINS - FIRST);
        if let Some(&member) = members.get(for_components) {
            let (name, number) = (name(member), for_components + 1);
            return Err(BootError::TooManyDomains { name, number, keys: for_components });
        }
        let mut callers: Vec<usize> = members.clone();
        callers.retain(|member| !manifest.entries[*member].imports.is_empty());
        callers.sort_by_key(|member| std::cmp::Reverse(manifest.entries[*member].imports.len()));
        let mut groups: Vec<Vec<Holder>> = Vec::new();
        let spare = keys - 1 - members.len();
        for holder in std::iter::once(Holder::Outside).chain(callers.into_iter().map(Holder::Component)) {
            let shares = groups.len() >= spare;
            match groups.last_mut().filter(|_| shares) {
                Some(last) => last.push(holder),
                None => groups.push(vec![holder]),
            }
        }
        for shared in groups.iter().filter(|group| group.len() > 1) {
            let names = shared.iter().map(|holder| match holder {
                Holder::Outside => "apps".into(),
                Holder::Component(member) => name(*member),
            });
            log::say(&format!("pkey: the windows of {} share a key", names.collect::<Vec<_>>().join(", ")));
        }
        let outside = |entry: &Entry| {
            let calls = |other: &Entry| !placed(other) && other.imports.contains(&entry.name);
            entry.apps || manifest.entries.iter().any(calls)
        };
        let from_outside = members.iter().copied().filter(|member| outside(&manifest.entries[*member])).collect();
        Ok(Plan { members, groups, spare, from_outside })
    }

    /// The domain of a component behind a key.
    pub fn domain(&self, component: usize) -> Option<usize> {
        self.members.iter().position(|member| *member == component).map(|at| FIRST + at)
    }

    /// Whether a component is called from outside all domains.
    pub fn is_called_from_outside(&self, component: usize) -> bool {
        self.from_outside.contains(&component)
    }

    /// Whether windows have keys at all.
    pub fn has_window_keys(&self) -> bool {
        self.spare > 0
    }

    /// How many window keys there are.
    pub fn groups(&self) -> usize {
        self.groups.len()
    }

    /// Which of them is a holder's; none for a component that calls nobody.
    pub fn group(&self, holder: Holder) -> Option<usize> {
        self.groups.iter().position(|group| group.contains(&holder))
    }
}

/// Refuses placements that cannot be in one process with domains, and imports that no gate leads to.
fn compatible(manifest: &Manifest) -> Result<(), BootError> {
    for entry in &manifest.entries {
        let placement = manifest.placement_of(entry);
        if matches!(placement, Placement::Process | Placement::Thread) {
            let why = "such a kernel is one process, in which calls stay on their thread";
            return Err(BootError::Mixed(entry.name.clone(), placement.name(), why));
        }
        let imported = |other: &&Entry| manifest.placement_of(other).is_pkey() && other.imports.contains(&entry.name);
        if placement == Placement::Direct && manifest.entries.iter().any(|other| imported(&other)) {
            let why = "one of them imports it, and no gate leads out of a domain to what has none";
            return Err(BootError::Mixed(entry.name.clone(), placement.name(), why));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use kd_boot::manifest::{Kernel, Source};
    use kd_subsystems::components;

    use super::*;

    fn standard() -> Manifest {
        Manifest::standard(Kernel::Microkernel, Placement::Pkey, &components())
    }

    #[test]
    fn every_component_of_the_standard_kernel_has_a_key_and_the_busiest_callers_their_own_windows() {
        let manifest = standard();
        let plan = Plan::with_keys(&manifest, Ok(15)).unwrap();
        assert_eq!(plan.members.len(), manifest.entries.len());
        let number = |name: &str| manifest.entries.iter().position(|entry| entry.name == name).unwrap();
        let domains: std::collections::BTreeSet<_> = plan.members.iter().map(|member| plan.domain(*member)).collect();
        assert_eq!(domains.len(), manifest.entries.len());
        assert_eq!(plan.group(Holder::Outside), Some(0));
        assert_eq!(plan.group(Holder::Component(number("vfs"))), Some(1));
        assert_eq!(plan.group(Holder::Component(number("jfs"))), plan.group(Holder::Component(number("blk"))));
        assert_eq!(plan.group(Holder::Component(number("ramfs"))), None);
    }

    #[test]
    fn what_cannot_be_is_refused_and_named() {
        let refused = |manifest: &Manifest, keys| Plan::with_keys(manifest, keys).err().unwrap().to_string();
        let manifest = standard();
        let last = manifest.entries.last().unwrap().name.clone();
        let number = manifest.entries.len();
        let few = refused(&manifest, Ok(number));
        assert!(few.contains(&format!("`{last}`")) && few.contains(&format!("number {number}")), "{few}");
        assert!(refused(&manifest, Err(KeyError::Missing)).contains("no protection keys"));
        let mut mixed = standard();
        mixed.entries[0].placement = Some(Placement::Process);
        assert!(refused(&mixed, Ok(15)).contains(&mixed.entries[0].name));
        let mut below = standard();
        let ramfs = below.entries.iter_mut().find(|entry| entry.name == "ramfs").unwrap();
        ramfs.placement = Some(Placement::Direct);
        assert!(refused(&below, Ok(15)).contains("`ramfs`"));
    }

    #[test]
    fn drivers_alone_are_called_from_outside() {
        let mut manifest = standard();
        for entry in manifest.entries.iter_mut().filter(|entry| entry.source == Source::Subsystem) {
            entry.placement = Some(Placement::Direct);
        }
        let plan = Plan::with_keys(&manifest, Ok(15)).unwrap();
        assert!(!plan.members.is_empty() && plan.members.iter().all(|member| plan.is_called_from_outside(*member)));
        assert_eq!(plan.groups(), 1);
    }

    #[test]
    fn without_a_key_to_spare_all_windows_share_one() {
        let manifest = standard();
        let plan = Plan::with_keys(&manifest, Ok(manifest.entries.len() + 1)).unwrap();
        assert_eq!(plan.groups(), 1);
    }
}
