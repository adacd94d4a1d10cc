//! The order in which components start, and the domains that they are in: imports first.

use kd_api::interfaces::kernel::NAME;

use crate::manifest::{Entry, Manifest};

/// Why a manifest cannot be booted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OrderError {
    /// An import that no component offers.
    #[error("`{component}` imports `{import}`, which the manifest does not contain: add it or drop the import")]
    Missing {
        /// Who imports.
        component: String,
        /// What.
        import: String,
    },
    /// Components that import each other.
    #[error("the imports of {0:?} form a circle: what must go upwards has to be an event")]
    Circle(Vec<String>),
    /// Domains that need each other to start, although their components do not.
    #[error("domains need each other: {}: put these components into one domain, or one of them elsewhere", .0.join(", "))]
    DomainCircle(Vec<String>),
}

/// Entries that are started together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Together {
    /// What they are called.
    pub name: String,
    /// Their numbers, imports first.
    pub members: Vec<usize>,
}

/// The entries' numbers, each after everything it imports.
pub fn start_order(manifest: &Manifest) -> Result<Vec<usize>, OrderError> {
    let entries = &manifest.entries;
    let number = |import: &String| entries.iter().position(|entry| entry.name == *import);
    for entry in entries {
        let missing = |import: &&String| number(import).is_none() && *import != NAME;
        if let Some(import) = entry.imports.iter().find(missing) {
            return Err(OrderError::Missing { component: entry.name.clone(), import: import.clone() });
        }
    }
    let mut order: Vec<usize> = Vec::new();
    while order.len() < entries.len() {
        let ready = |entry: &Entry| entry.imports.iter().filter_map(number).all(|import| order.contains(&import));
        match (0..entries.len()).find(|&i| !order.contains(&i) && ready(&entries[i])) {
            Some(next) => order.push(next),
            None => {
                let left = (0..entries.len()).filter(|i| !order.contains(i));
                return Err(OrderError::Circle(left.map(|i| entries[i].name.clone()).collect()));
            }
        }
    }
    Ok(order)
}

/// The entries put together by the name that `of` gives each, such as its domain's: imports first.
///
/// # Errors
/// Those of [`start_order`]; domains of which none can be the first.
pub fn groups(manifest: &Manifest, of: impl Fn(&Entry) -> &str) -> Result<Vec<Together>, OrderError> {
    let entries = &manifest.entries;
    let mut left: Vec<Together> = Vec::new();
    for number in start_order(manifest)? {
        let name = of(&entries[number]);
        match left.iter_mut().find(|group| group.name == name) {
            Some(group) => group.members.push(number),
            None => left.push(Together { name: name.into(), members: vec![number] }),
        }
    }
    let mut done = Vec::new();
    while !left.is_empty() {
        let Some(next) = (0..left.len()).find(|&i| needs(entries, &left, i).is_none()) else {
            return Err(OrderError::DomainCircle(circle(entries, &left)));
        };
        done.push(left.remove(next));
    }
    Ok(done)
}

/// An import by which a group needs another that has not started: importer, import, and the other's index.
fn needs(entries: &[Entry], left: &[Together], group: usize) -> Option<(usize, usize, usize)> {
    let imports = |&member: &usize| entries[member].imports.iter().map(move |import| (member, import));
    left[group].members.iter().flat_map(imports).find_map(|(member, import)| {
        let holds = |other: &&usize| entries[**other].name == *import;
        let at = |other: usize| Some((*left[other].members.iter().find(holds)?, other));
        let (found, other) = (0..left.len()).filter(|&other| other != group).find_map(at)?;
        Some((member, found, other))
    })
}

/// From the first group on, who needs whom, until one comes again.
fn circle(entries: &[Entry], left: &[Together]) -> Vec<String> {
    let (mut at, mut seen, mut links) = (0, Vec::new(), Vec::new());
    while !seen.contains(&at) {
        let Some((importer, import, other)) = needs(entries, left, at) else { break };
        let (from, to) = (&entries[importer].name, &entries[import].name);
        links.push(format!("`{from}` in `{}` imports `{to}` in `{}`", left[at].name, left[other].name));
        seen.push(at);
        at = other;
    }
    // What led to the circle is no part of it.
    links.split_off(seen.iter().position(|&group| group == at).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::{Kernel, Placement, Source};

    fn manifest(imports: &[(&str, &[&str])]) -> Manifest {
        let mut manifest = Manifest::standard(Kernel::Monolithic, Placement::Direct, &[]);
        manifest.entries = imports
            .iter()
            .map(|(name, imports)| Entry {
                name: name.to_string(),
                source: Source::Subsystem,
                imports: imports.iter().map(|import| import.to_string()).collect(),
                threads: 2,
                disk: 0,
                ring: None,
                apps: false,
                placement: Some(Placement::Process),
                domain: None,
                policy: crate::policy::Policy::default(),
            })
            .collect();
        manifest
    }

    #[test]
    fn imports_come_first() {
        let order = start_order(&manifest(&[("vfs", &["ramfs", "disk"]), ("ramfs", &[]), ("disk", &["ramfs"])]));
        assert_eq!(order, Ok(vec![1, 2, 0]));
    }

    #[test]
    fn missing_imports_and_circles_are_named() {
        let missing = start_order(&manifest(&[("vfs", &["ramfs"])])).unwrap_err();
        assert_eq!(missing, OrderError::Missing { component: "vfs".into(), import: "ramfs".into() });
        let circle = start_order(&manifest(&[("a", &["b"]), ("b", &["a"]), ("c", &[])])).unwrap_err();
        assert_eq!(circle, OrderError::Circle(vec!["a".into(), "b".into()]));
    }

    /// Puts entries into domains, by name.
    fn placed(mut manifest: Manifest, domains: &[(&str, &str)]) -> Manifest {
        for (name, domain) in domains {
            let entry = manifest.entries.iter_mut().find(|entry| entry.name == *name).expect("it is there");
            entry.domain = Some(domain.to_string());
        }
        manifest
    }

    #[test]
    fn domains_start_after_what_they_import() {
        let imports: [(&str, &[&str]); 4] =
            [("vfs", &["fs", "disk"]), ("fs", &["blk"]), ("blk", &["disk"]), ("disk", &[])];
        let manifest = placed(manifest(&imports), &[("vfs", "files"), ("fs", "files")]);
        let order = groups(&manifest, |entry| manifest.domain_of(entry)).expect("there is no circle");
        let seen: Vec<(&str, &[usize])> = order.iter().map(|group| (&*group.name, &*group.members)).collect();
        assert_eq!(seen, [("disk", &[3][..]), ("blk", &[2]), ("files", &[1, 0])]);
    }

    #[test]
    fn a_circle_of_domains_is_named_link_by_link() {
        let imports: [(&str, &[&str]); 4] = [("top", &["a"]), ("a", &["b"]), ("b", &["c"]), ("c", &[])];
        let manifest = placed(manifest(&imports), &[("a", "x"), ("c", "x")]);
        let error = groups(&manifest, |entry| manifest.domain_of(entry)).expect_err("a and c enclose b");
        let links = ["`a` in `x` imports `b` in `b`", "`b` in `b` imports `c` in `x`"].map(String::from);
        assert_eq!(error, OrderError::DomainCircle(links.to_vec()));
    }
}
