//! x
use kd_boot::control::*;
use kd_boot::manifest::*;
use kernel_debate::boot::*;
fn main() {
    let registered = kd_subsystems::components();
    for (k, p) in [
        (Kernel::Linux, Placement::Direct),
        (Kernel::Monolithic, Placement::Direct),
        (Kernel::Microkernel, Placement::Thread),
        (Kernel::Microkernel, Placement::Process),
    ] {
        let mut m = Manifest::standard(k, p, &registered);
        if std::env::args().len() < 2 {
            m.entries.retain(|e| e.source == Source::Subsystem);
            for e in &mut m.entries {
                e.imports.retain(|i| i != "ramdisk" && i != "nullblk");
            }
        }
        let b = match Boot::new(&m) {
            Ok(b) => b,
            Err(e) => {
                println!("{k:?} {p:?}: {e}");
                continue;
            }
        };
        println!("{k:?} {p:?} booted in {} us", b.nanos / 1000);
        for s in b.status().unwrap() {
            println!("   {} pid {} patch {:x?}", s.name, s.pid, s.patch);
        }
        let mut cells = vec![];
        for w in kd_workloads::workloads() {
            for entry in [Entry::Call, Entry::Trap] {
                for cores in [vec![0], vec![0, 1]] {
                    cells.push(Cell { workload: w.name().into(), entry, cores, budget: 10_000_000 });
                }
            }
        }
        let mut a = b.start(1, k == Kernel::Microkernel && p == Placement::Process, Task::Measure(cells)).unwrap();
        while let Some(m) = a.line::<Measured>().unwrap() {
            let mut v = m.batches.clone();
            v.sort_by(f64::total_cmp);
            println!(
                "   {:14} {:?} {} cores: {:10.1} ns cpu {:10.1} sw {:.2} n {} {:?}",
                m.workload,
                m.entry,
                m.cores,
                v.get(v.len() / 2).unwrap_or(&0.0),
                m.cpu,
                m.switches,
                v.len(),
                m.failed
            );
        }
        println!("{:?}", b.events());
    }
}
