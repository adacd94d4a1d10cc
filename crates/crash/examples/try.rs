//! Temporary.
use std::time::Instant;
fn main() {
    let a: Vec<u64> = std::env::args().skip(1).map(|a| a.parse().unwrap()).collect();
    if let [seed, state] = a[..]
        && state != 0
    {
        let r = kd_crash::Recording::new(seed, Default::default()).unwrap();
        let s = &r.states()[state as usize];
        for line in r.story(s) {
            println!("{line}");
        }
        let d = std::sync::Arc::new(kd_crash::disk::Disk::new(&kd_crash::disk::Image::stale(256)));
        println!("{:?}", r.check(s, &d));
        return;
    }
    let t = Instant::now();
    let s = kd_crash::run(Default::default(), a[0], 100_000, |s| {
        if s.workloads % 10 == 0 {
            eprintln!("{} {} {}", s.workloads, s.states, s.failed)
        }
    });
    println!("{s:#?} {:?}", t.elapsed());
}
