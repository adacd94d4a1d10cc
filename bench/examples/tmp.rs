//! x
use kernel_debate::experiments::*;
use kernel_debate::experiments::faults::*;
fn main() {
    let only = std::env::args().nth(1);
    for subject in subjects() { for f in kd_faults::Fault::ALL { for c in configurations() {
        if only.as_deref().is_some_and(|o| o != f.name()) { continue }
        let t = std::time::Instant::now();
        let s = run_trial(c, &subject, f, 50, 7);
        println!("{} {} {}/{}: {:?} by {} {:?}us  {:?} caller {:?} other {:?} intact {} kernel {} [{:?}]", subject.name, f.name(), c.kernel_word(), c.placement_word(), s.outcome(), s.noticed_by, s.notice_us, s.obstacle, s.caller, s.other, s.victim_intact, s.kernel_alive, t.elapsed());
    }}}
    let _ = latency::Configuration::all();
}
