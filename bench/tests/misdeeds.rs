//! High-level faults of a campaign: each really happens, and what it reaches is what stands around it.
use kd_campaign::Trial;
use kernel_debate::campaign::trial::TrialRunner;
use kd_boot::misdeed::Misdeed;

#[test]
#[ignore]
fn table() {
    let kernels = ["monolithic", "thread", "process", "drivers-isolated", "coarse"];
    let mut runner = TrialRunner::new(5, Vec::new()).unwrap();
    let only = std::env::var("KIND").unwrap_or_default();
    for subject in std::env::var("SUBJECTS").unwrap_or("ramdisk,vdisk,jfs,ramfs,vfs,proc".into()).split(',') {
        for misdeed in Misdeed::ALL.iter().skip(7).filter(|m| m.name().contains(&only)) {
            print!("{subject:8} {:22}", misdeed.name());
            for kernel in kernels {
                let mut all = String::new();
                for number in 0..3 {
                    let trial = Trial { id: number, kernel: kernel.into(), subject: subject.into(), kind: misdeed.name().into(), number, permanent: false };
                    let class = match runner.observe(&trial) {
                        Ok(Ok((_, seen, _))) => format!("{}{}", seen.class().name(), if seen.reached().is_empty() { String::new() } else { format!("{:?}", seen.reached()) }),
                        Ok(Err(_)) => "n/a".into(),
                        Err(why) => format!("ERR {why}"),
                    };
                    all += &class; all += " ";
                }
                print!("| {kernel}: {all}");
            }
            println!();
        }
    }
}
