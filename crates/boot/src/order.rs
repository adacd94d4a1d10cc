//! The order in which components start: imports first.

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
                placement: None,
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
}
