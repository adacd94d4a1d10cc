//! Which component is which domain, and which keys there are for windows: decided from the manifest before anything runs.
//!
//! Of a processor's keys one is that of all other memory and one that of the stacks for signals. Each domain has one.
//! Those that are left are for windows: callers with many imports have one of their own, the others share the last; if
//! none is left, all share that of the signal stacks.

use kd_boot::manifest::{Entry, Manifest};
use kd_boot::start::BootError;
use kd_boot::{Placement, log};
use kd_nucleus::pkey::{DOMAINS, FIRST, KeyError, MEMBERS, keys};

/// Who calls through windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder {
    /// Apps, and the kernel itself.
    Outside,
    /// The components of a domain.
    Domain(usize),
}

/// The plan.
pub struct Plan {
    /// The components of each domain, by their numbers in the manifest; the first is domain [`FIRST`].
    domains: Vec<Vec<usize>>,
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
        let named = domains(manifest);
        let first = |(_, members): &(&str, Vec<usize>)| manifest.entries[members[0]].name.clone();
        let keys = keys.map_err(|error| BootError::NoKeys(named.first().map_or_else(String::new, first), error))?;
        compatible(manifest)?;
        let for_domains = keys.saturating_sub(1).min(DOMAINS - FIRST);
        if let Some(domain) = named.get(for_domains) {
            return Err(BootError::TooManyDomains { name: first(domain), number: for_domains + 1, keys: for_domains });
        }
        if let Some(member) = named.iter().find_map(|(_, members)| members.get(MEMBERS)) {
            let why = "a domain has room for 32 components";
            return Err(BootError::Mixed(manifest.entries[*member].name.clone(), "in a full domain", why));
        }
        let calls = |domain: &usize| {
            let (_, members) = &named[domain - FIRST];
            let beside = |import: &String| members.iter().any(|member| manifest.entries[*member].name == *import);
            let imports = members.iter().flat_map(|member| &manifest.entries[*member].imports);
            imports.filter(|import| !beside(import)).count()
        };
        let mut callers: Vec<usize> = (FIRST..FIRST + named.len()).filter(|domain| calls(domain) > 0).collect();
        callers.sort_by_key(|domain| std::cmp::Reverse(calls(domain)));
        let mut groups: Vec<Vec<Holder>> = Vec::new();
        let spare = keys - 1 - named.len();
        for holder in std::iter::once(Holder::Outside).chain(callers.into_iter().map(Holder::Domain)) {
            let shares = groups.len() >= spare;
            match groups.last_mut().filter(|_| shares) {
                Some(last) => last.push(holder),
                None => groups.push(vec![holder]),
            }
        }
        for shared in groups.iter().filter(|group| group.len() > 1) {
            let names = shared.iter().map(|holder| match holder {
                Holder::Outside => "apps",
                Holder::Domain(domain) => named[domain - FIRST].0,
            });
            log::say(&format!("pkey: the windows of {} share a key", names.collect::<Vec<_>>().join(", ")));
        }
        let placed = |entry: &Entry| manifest.placement_of(entry).is_pkey();
        let outside = |entry: &Entry| {
            let calls = |other: &Entry| !placed(other) && other.imports.contains(&entry.name);
            entry.apps || manifest.entries.iter().any(calls)
        };
        let entries = manifest.entries.iter().enumerate();
        let from_outside = entries.filter(|(_, entry)| outside(entry)).map(|(number, _)| number).collect();
        let domains = named.into_iter().map(|(_, members)| members).collect();
        Ok(Plan { domains, groups, spare, from_outside })
    }

    /// The domain of a component behind a key, and its number there.
    pub fn place(&self, component: usize) -> Option<(usize, usize)> {
        self.domains.iter().enumerate().find_map(|(domain, members)| {
            let member = members.iter().position(|member| *member == component)?;
            Some((FIRST + domain, member))
        })
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

    /// Which of them is a holder's; none for a domain that calls nobody.
    pub fn group(&self, holder: Holder) -> Option<usize> {
        self.groups.iter().position(|group| group.contains(&holder))
    }
}

/// The domains behind keys by name, with the components of each.
fn domains(manifest: &Manifest) -> Vec<(&str, Vec<usize>)> {
    let mut domains: Vec<(&str, Vec<usize>)> = Vec::new();
    let placed = |entry: &Entry| manifest.placement_of(entry).is_pkey();
    for (number, entry) in manifest.entries.iter().enumerate().filter(|(_, entry)| placed(entry)) {
        let name = manifest.domain_of(entry);
        match domains.iter_mut().find(|(other, _)| *other == name) {
            Some((_, members)) => members.push(number),
            None => domains.push((name, vec![number])),
        }
    }
    domains
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
        assert_eq!(plan.domains.len(), manifest.entries.len());
        let number = |name: &str| manifest.entries.iter().position(|entry| entry.name == name).unwrap();
        let holder = |name: &str| Holder::Domain(plan.place(number(name)).unwrap().0);
        assert_eq!(plan.group(Holder::Outside), Some(0));
        assert_eq!(plan.group(holder("vfs")), Some(1));
        assert_eq!(plan.group(holder("jfs")), plan.group(holder("blk")));
        assert_eq!(plan.group(holder("ramfs")), None);
    }

    #[test]
    fn a_layout_takes_a_key_for_each_of_its_domains() {
        let manifest = kd_boot::layout::Layout::find("coarse/pkey").unwrap().manifest(&components()).unwrap();
        let plan = Plan::with_keys(&manifest, Ok(15)).unwrap();
        let place = |name: &str| plan.place(manifest.entries.iter().position(|e| e.name == name).unwrap()).unwrap();
        assert_eq!(place("vfs").0, place("jfs").0);
        assert_ne!(place("vfs").1, place("jfs").1, "each by its own number");
        assert_ne!(place("vfs").0, place("ramdisk").0);
        let domains: std::collections::BTreeSet<_> =
            (0..manifest.entries.len()).map(|number| plan.place(number).unwrap().0).collect();
        assert_eq!(domains.len(), plan.domains.len());
        assert_eq!(plan.group(Holder::Domain(place("ramdisk").0)), None, "drivers call nobody");
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
        let mut members = plan.domains.iter().flatten();
        assert!(!plan.domains.is_empty() && members.all(|member| plan.is_called_from_outside(*member)));
        assert_eq!(plan.groups(), 1);
    }

    #[test]
    fn without_a_key_to_spare_all_windows_share_one() {
        let manifest = standard();
        let plan = Plan::with_keys(&manifest, Ok(manifest.entries.len() + 1)).unwrap();
        assert_eq!(plan.groups(), 1);
    }
}
