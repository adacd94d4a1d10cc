//! Layouts: placement as data. A layout says which components share a domain and what stands between domains; applied to
//! the standard manifest it is a kernel to boot.
//!
//! The files lie in `crates/boot/placements`, with the schema that they follow. Whatever is wrong with one is told with its
//! file, its entry and a remedy, before anything boots. What a layout leaves open is one domain for each component.

mod error;
#[cfg(test)]
mod tests;

use std::path::Path;

use kd_api::Component;
use serde::Deserialize;

use crate::manifest::{Entry, FILE_SYSTEM, Kernel, Manifest, Placement, Source};
use crate::order::{OrderError, Together, groups};
use crate::policy::Policy;

pub use error::LayoutError;

/// The shipped layouts, from no boundary to one around every component.
const SHIPPED: [(&str, &str); 5] = [
    ("monolithic", include_str!("../../placements/monolithic.json")),
    ("drivers-isolated", include_str!("../../placements/drivers-isolated.json")),
    ("coarse", include_str!("../../placements/coarse.json")),
    ("servers", include_str!("../../placements/servers.json")),
    ("all-isolated", include_str!("../../placements/all-isolated.json")),
];

/// The JSON Schema of a layout's file.
pub const SCHEMA: &str = include_str!("../../placements/placement.schema.json");

/// Words that stand for all components of a kind that no domain names.
const KINDS: [&str; 3] = ["drivers", "file_systems", "subsystems"];

/// The file's form.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(rename = "$schema")]
    _schema: Option<String>,
    about: String,
    boundary: String,
    #[serde(default)]
    domains: Vec<Domain>,
    #[serde(default)]
    without: Vec<String>,
    #[serde(default)]
    policies: Vec<Rule>,
}

/// What becomes of components that die.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    components: Vec<String>,
    policy: Policy,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Domain {
    name: String,
    components: Vec<String>,
    boundary: Option<String>,
}

/// A component or a kind, the domain that names it, and that one's own boundary if it has one.
type Claim<'a> = (&'a str, &'a str, Option<Placement>);

/// A layout.
#[derive(Clone, Debug)]
pub struct Layout {
    /// Its name: as shipped, or the file's.
    pub name: String,
    /// What stands between domains.
    pub boundary: Placement,
    file: File,
}

impl Layout {
    /// The shipped ones, as they stand.
    ///
    /// # Errors
    /// None, or a test would have failed.
    pub fn shipped() -> Result<Vec<Layout>, LayoutError> {
        SHIPPED.iter().map(|(name, text)| Layout::parse(name, text)).collect()
    }

    /// The layout that a user names: a shipped one, a shipped one with another boundary (`coarse/thread`), or a file.
    ///
    /// # Errors
    /// A name that there is not; a file that cannot be read or is no layout.
    pub fn find(word: &str) -> Result<Layout, LayoutError> {
        if Path::new(word).extension().is_some_and(|extension| extension == "json") {
            let read = std::fs::read_to_string(word);
            return Layout::parse(word, &read.map_err(|source| LayoutError::Read { file: word.into(), source })?);
        }
        let (name, boundary) = word.split_once('/').map_or((word, None), |(name, boundary)| (name, Some(boundary)));
        let Some((_, text)) = SHIPPED.iter().find(|(shipped, _)| *shipped == name) else {
            return Err(LayoutError::Name { name: name.into(), known: SHIPPED.map(|(name, _)| name).join(", ") });
        };
        let mut layout = Layout::parse(name, text)?;
        if let Some(boundary) = boundary {
            // What has no boundary has no domains to put another one between.
            layout.boundary = layout.word(boundary, "its name", layout.boundary == Placement::Direct)?;
            layout.name = word.into();
        }
        Ok(layout)
    }

    /// Reads a layout; `name` is what errors call it.
    ///
    /// # Errors
    /// A text that is no layout.
    pub fn parse(name: &str, text: &str) -> Result<Layout, LayoutError> {
        let form = |source| LayoutError::Form { file: name.into(), source };
        let file: File = serde_json::from_str(text).map_err(form)?;
        let mut layout = Layout { name: name.into(), boundary: Placement::Direct, file };
        let word = layout.file.boundary.clone();
        layout.boundary = match Placement::from_name(&word) {
            Some(Placement::Direct) if !layout.file.domains.is_empty() => {
                return Err(LayoutError::NoBoundary { file: name.into() });
            }
            Some(Placement::Direct) => Placement::Direct,
            _ => layout.word(&word, "`boundary`", false)?,
        };
        Ok(layout)
    }

    /// What it is after.
    pub fn about(&self) -> &str {
        &self.file.about
    }

    /// The kernel that it is of.
    pub fn kernel(&self) -> Kernel {
        if self.boundary == Placement::Direct { Kernel::Monolithic } else { Kernel::Microkernel }
    }

    /// A boundary by name; `direct` alone where there are no domains to put one between.
    fn word(&self, word: &str, entry: &str, direct: bool) -> Result<Placement, LayoutError> {
        let found = Placement::from_name(word).filter(|found| direct == (*found == Placement::Direct));
        found.ok_or_else(|| LayoutError::Word {
            file: self.name.clone(),
            entry: entry.into(),
            word: word.into(),
            known: match direct {
                true => Placement::Direct.name().into(),
                false => Placement::ALL[1..].iter().map(|one| one.name()).collect::<Vec<_>>().join(", "),
            },
        })
    }

    /// The standard kernel in this layout.
    ///
    /// # Errors
    /// Names that do not fit the components; domains that need each other to start.
    pub fn manifest(&self, registered: &[Component]) -> Result<Manifest, LayoutError> {
        let mut manifest = Manifest::standard(self.kernel(), self.boundary, registered);
        self.leave_out(&mut manifest, registered)?;
        self.place(&mut manifest, registered)?;
        self.set_policies(&mut manifest, registered)?;
        self.domains(&manifest)?;
        Ok(manifest)
    }

    /// The domains of its manifest, imports first.
    ///
    /// # Errors
    /// As [`Layout::manifest`].
    pub fn domains(&self, manifest: &Manifest) -> Result<Vec<Together>, LayoutError> {
        let order = |source| {
            let entry = if matches!(source, OrderError::Missing { .. }) { "`without`" } else { "`domains`" };
            LayoutError::Order { file: self.name.clone(), entry, source }
        };
        groups(manifest, |entry| manifest.domain_of(entry)).map_err(order)
    }

    /// Takes components away. What the VFS and `procfs` only show goes with them; what a component itself asks for stays
    /// on its list, and is found missing.
    fn leave_out(&self, manifest: &mut Manifest, registered: &[Component]) -> Result<(), LayoutError> {
        let without = &self.file.without;
        without.iter().try_for_each(|name| self.known(manifest, name, "`without`"))?;
        manifest.entries.retain(|entry| !without.contains(&entry.name));
        for entry in &mut manifest.entries {
            let own = registered.iter().find(|component| component.name == entry.name);
            let asked = |import: &str| own.is_some_and(|own| own.imports.contains(&import));
            entry.imports.retain(|import| asked(import) || !without.contains(import));
        }
        Ok(())
    }

    fn known(&self, manifest: &Manifest, name: &str, entry: &str) -> Result<(), LayoutError> {
        if manifest.entries.iter().any(|one| one.name == name) {
            return Ok(());
        }
        let known = manifest.entries.iter().map(|one| one.name.as_str()).chain(KINDS).collect::<Vec<_>>().join(", ");
        Err(LayoutError::Unknown { file: self.name.clone(), entry: entry.into(), component: name.into(), known })
    }

    /// Puts every component into its domain: the one that names it, or else one that names its kind.
    fn place(&self, manifest: &mut Manifest, registered: &[Component]) -> Result<(), LayoutError> {
        let claims = self.claims(manifest)?;
        for entry in &mut manifest.entries {
            let words: Vec<&str> = std::iter::once(entry.name.as_str()).chain(kinds(entry, registered)).collect();
            let claim = words.iter().find_map(|word| claims.iter().find(|claim| claim.0 == *word));
            if let Some(&(_, domain, boundary)) = claim {
                (entry.domain, entry.placement) = (Some(domain.into()), boundary);
            }
        }
        Ok(())
    }

    /// Gives components the policies that the file has for them, by name or else by kind.
    fn set_policies(&self, manifest: &mut Manifest, registered: &[Component]) -> Result<(), LayoutError> {
        let mut claims: Vec<(&str, &Policy)> = Vec::new();
        for (number, Rule { components, policy }) in self.file.policies.iter().enumerate() {
            let (file, entry) = (self.name.clone(), format!("policy {}", number + 1));
            policy.check().map_err(|source| LayoutError::Policy { file, entry: entry.clone(), source })?;
            for word in components {
                if !KINDS.contains(&word.as_str()) {
                    self.known(manifest, word, &entry)?;
                }
                if claims.iter().any(|claim| claim.0 == word) {
                    return Err(LayoutError::Twice { file: self.name.clone(), entry, name: word.into() });
                }
                claims.push((word, policy));
            }
        }
        let placement = |manifest: &Manifest, i: usize| manifest.placement_of(&manifest.entries[i]);
        for i in 0..manifest.entries.len() {
            let entry = &manifest.entries[i];
            let words: Vec<&str> = std::iter::once(entry.name.as_str()).chain(kinds(entry, registered)).collect();
            let claim = words.iter().find_map(|word| claims.iter().find(|claim| claim.0 == *word));
            let Some(&(_, policy)) = claim else { continue };
            if placement(manifest, i) != Placement::Process {
                return Err(LayoutError::NoProcess { file: self.name.clone(), component: entry.name.clone() });
            }
            manifest.entries[i].policy = *policy;
        }
        Ok(())
    }

    /// Which domain names what, with its own boundary if it has one.
    fn claims(&self, manifest: &Manifest) -> Result<Vec<Claim<'_>>, LayoutError> {
        let (mut claims, mut domains) = (Vec::<(&str, &str, _)>::new(), Vec::new());
        for Domain { name: domain, components, boundary } in &self.file.domains {
            let entry = format!("domain `{domain}`");
            let twice =
                |name: &str| LayoutError::Twice { file: self.name.clone(), entry: entry.clone(), name: name.into() };
            // A domain may be called by a component that is in it: elsewhere, that would be another one's own domain.
            let stolen = manifest.entries.iter().any(|one| one.name == *domain) && !components.contains(domain);
            if stolen || domains.contains(&domain) {
                return Err(twice(domain));
            }
            domains.push(domain);
            let boundary = boundary.as_deref().map(|word| self.word(word, &entry, false)).transpose()?;
            for word in components {
                if !KINDS.contains(&word.as_str()) {
                    self.known(manifest, word, &entry)?;
                }
                if claims.iter().any(|claim| claim.0 == word) {
                    return Err(twice(word));
                }
                claims.push((word, domain, boundary));
            }
        }
        Ok(claims)
    }
}

/// The kinds that an entry is of, the narrowest first.
fn kinds(entry: &Entry, registered: &[Component]) -> Vec<&'static str> {
    if matches!(entry.source, Source::Module(_)) {
        return vec!["drivers"];
    }
    let own = registered.iter().find(|component| component.name == entry.name);
    match own.is_some_and(|own| own.interface.name == FILE_SYSTEM) {
        true => vec!["file_systems", "subsystems"],
        false => vec!["subsystems"],
    }
}
