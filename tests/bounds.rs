//! What a guest may cost: each limit of a sandboxed call, kept and exceeded.
//!
//! The other bounds have their pair of tests beside the code they bound.

use libtest_mimic::{Failed, Trial};
use tipline::sandbox::{CallLimits, Cost, Exceeded, Guest, Profile, SandboxError};

use crate::support::Outcome;

pub fn trials() -> Vec<Trial> {
    vec![Trial::test("bounds::a_sandboxed_call_is_held_to_its_limits", sandboxed_call)]
}

/// A page whose mapping takes some memory beyond what an instance begins with.
fn page() -> String {
    let records: Vec<String> =
        (0..2_000).map(|n| format!(r#"{{"type":"domain","value":"host{n}.example","context":"{n:0>400}"}}"#)).collect();
    format!(r#"{{"data":[{}]}}"#, records.join(","))
}

fn sandboxed_call() -> Outcome {
    let page = page();
    let (cost, answer) = mapped(CallLimits::SANDBOXED, &page)?.map_err(|e| Failed::from(e.to_string()))?;
    let roomy = CallLimits::SANDBOXED;
    let fuel = |units| CallLimits { fuel: Some(units), ..roomy };
    let memory = |bytes| CallLimits { memory_bytes: bytes, ..roomy };
    let output = |bytes| CallLimits { output_bytes: bytes, ..roomy };

    // Fuel is taken in blocks, so a little more is needed than was used in the end.
    mapped(fuel(cost.fuel + cost.fuel / 100), &page)??;
    mapped(memory(cost.peak_memory), &page)??;
    mapped(output(answer + 64 * 1024), &page)??;

    type IsExpected = fn(&Exceeded) -> bool;
    let exceeded: [(&str, CallLimits, IsExpected); 3] = [
        ("fuel", fuel(cost.fuel / 2), |e| matches!(e, Exceeded::Fuel { .. })),
        ("memory", memory(cost.peak_memory - 1), |e| matches!(e, Exceeded::Memory { .. })),
        ("output", output(answer / 2), |e| matches!(e, Exceeded::Output { .. })),
    ];
    for (what, limits, is_expected) in exceeded {
        match mapped(limits, &page)? {
            Err(SandboxError::Exceeded(exceeded)) if is_expected(&exceeded) => {}
            other => return Err(format!("{what}: {other:?}").into()),
        }
    }
    Ok(())
}

/// What mapping the page costs under these limits, and how long its answer is.
fn mapped(limits: CallLimits, page: &str) -> Result<Result<(Cost, usize), SandboxError>, Failed> {
    let guest = Guest::built_in(Profile::Sandboxed(limits), Some(&crate::support::compiled()?))?;
    Ok(guest.map_records_metered("", 1_733_740_200_000, page).map(|(answer, cost)| {
        let answer = answer.map_or(0, |batch| batch.documents.len() + batch.rejects.len());
        (cost, answer)
    }))
}
