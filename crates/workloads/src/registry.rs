//! All workloads. A new one is a line here; those of an extension are found by its name.

use crate::Workload;
use crate::blocks::Blocks;
use crate::copy::Copy;
use crate::files::FileOperation;
use crate::getdents::Getdents;
use crate::kv_log::KvLog;
use crate::mail_server::MailServer;
use crate::many_files::ManyFiles;
use crate::names::NameOperation;
use crate::null::{NullCore, NullProc};
use crate::pipe::Pingpong;
use crate::pipeline::Pipeline;
use crate::place::Place;
use crate::sized_file::SizedFile;
use crate::source_tree::SourceTree;

macro_rules! extensions {
    ($($name:ident)*) => { [$(crate::$name::workloads()),*] };
}

/// Every workload, in the order of reports.
pub fn workloads() -> Vec<Box<dyn Workload>> {
    let mut all: Vec<Box<dyn Workload>> = vec![
        Box::new(NullCore),
        Box::new(NullProc),
        Box::new(Blocks::read("read_1", 1)),
        Box::new(Blocks::read("read_64", 64)),
        Box::new(Blocks::read("read_4k", 4 << 10)),
        Box::new(Blocks::read("read_64k", 64 << 10)),
        Box::new(Blocks::write("write_1", 1)),
        Box::new(Blocks::write("write_64", 64)),
        Box::new(Blocks::write("write_4k", 4 << 10)),
        Box::new(Blocks::write("write_64k", 64 << 10)),
        Box::new(Blocks::ram0_read("ram0_read_4k")),
        Box::new(Blocks::ram0_write("ram0_write_4k")),
        Box::new(Getdents),
        Box::new(Pingpong),
    ];
    for place in [Place::Root, Place::Disk] {
        all.extend(NameOperation::all(place).map(|operation| -> Box<dyn Workload> { Box::new(operation) }));
        all.extend(FileOperation::all(place).map(|operation| -> Box<dyn Workload> { Box::new(operation) }));
        all.push(Box::new(Copy(place)));
    }
    all.extend(Blocks::disk().map(|blocks| -> Box<dyn Workload> { Box::new(blocks) }));
    all.extend(Blocks::vda().map(|blocks| -> Box<dyn Workload> { Box::new(blocks) }));
    for place in [Place::Root, Place::Disk] {
        all.push(Box::new(SourceTree(place)));
        all.push(Box::new(MailServer(place)));
        all.push(Box::new(KvLog(place)));
    }
    all.push(Box::new(Pipeline));
    all.extend(ManyFiles::all().map(|workload| -> Box<dyn Workload> { Box::new(workload) }));
    all.extend(SizedFile::all().map(|workload| -> Box<dyn Workload> { Box::new(workload) }));
    all.extend(kd_api::extensions!(extensions).into_iter().flatten());
    all
}

/// There is no workload of a name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no workload `{name}`; there are: {known}")]
pub struct UnknownWorkload {
    /// The name asked for.
    pub name: String,
    /// All that there are.
    pub known: String,
}

/// The workload of a name; behind a slash may stand the point of its scale, as in `dir_stat/files_1000`.
///
/// # Errors
/// [`UnknownWorkload`], which lists the names.
pub fn find(name: &str) -> Result<Box<dyn Workload>, UnknownWorkload> {
    let (base, point) = name.split_once('/').map_or((name, None), |(base, point)| (base, Some(point)));
    let found = workloads().into_iter().find(|workload| workload.name() == base);
    let found = match point {
        Some(point) => found.and_then(|workload| workload.at(point)),
        None => found,
    };
    found.ok_or_else(|| UnknownWorkload {
        name: name.into(),
        known: workloads().iter().map(|workload| workload.name()).collect::<Vec<_>>().join(", "),
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{find, workloads};

    #[test]
    fn names_are_unique_and_in_snake_case() {
        let names: Vec<_> = workloads().iter().map(|workload| workload.name()).collect();
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len());
        for name in names {
            assert!(name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_')), "{name}");
            assert_eq!(find(name).map(|found| found.name()), Ok(name));
        }
    }

    #[test]
    fn a_point_of_a_scale_stands_behind_a_slash() {
        let known =
            ["dir_stat/files_10", "disk_tree_stat/files_100000", "disk_file_read/mib_1", "disk_file_write/mib_1024"];
        for name in known {
            let base = name.split('/').next().expect("it has a beginning");
            assert_eq!(find(name).map(|found| found.name()), Ok(base));
        }
        let unknown = [
            "dir_stat/",
            "dir_stat/files_",
            "dir_stat/files_15",
            "dir_stat/mib_1",
            "disk_file_read/mib_3",
            "stat/files_10",
        ];
        for name in unknown {
            assert!(find(name).is_err_and(|error| error.name == name), "{name}");
        }
    }

    #[test]
    fn an_unknown_name_is_answered_with_those_there_are() {
        let error = find("reboot").err().expect("there is none").to_string();
        assert!(error.starts_with("there is no workload `reboot`; there are: null_core, null_proc, read_1"), "{error}");
    }
}
