//! Writes a report made of invented figures, to look at its layout: `cargo run -p kd-report --example sample DIR`.
//!
//! The figures are those of the tests. Nothing of this is a result.

#[path = "../tests/sample/mod.rs"]
mod sample;

use std::path::PathBuf;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = PathBuf::from(std::env::args_os().nth(1).ok_or("name the output folder")?);
    let mut results = sample::results();
    if std::env::args().any(|a| a == "--unstable") {
        results.records.retain(|r| r.metric != "aa_ratio");
        results.records.extend(sample::latency(1.0, 1.2).into_iter().filter(|r| r.metric == "aa_ratio"));
    }
    results.write(&dir.join("results.json"))?;
    std::fs::write(dir.join("headline.svg"), kd_report::headline_svg(&results))?;
    println!("{}", kd_report::summary_table(&results));
    println!("{}", kd_report::write_report(&results, Some(&sample::campaign()), &dir, &dir)?.display());
    Ok(())
}
