//! Tests of bounds that need more than one part: what a sandboxed guest may cost, and the space for rejects. The others
//! have their pair beside the code they bound; BOUNDS.md lists them all.

use libtest_mimic::{Failed, Trial};
use tipline::sandbox::{Batch, CallLimits, Cost, Exceeded, Guest, Head, Profile, SandboxError};

use tipline::mock::{MockSettings, Records};
use tipline::state::RejectFilter;

use crate::support::{Outcome, Stand, Store, trial};

pub fn trials() -> Vec<Trial> {
    vec![
        Trial::test("bounds::a_sandboxed_call_is_held_to_its_limits", sandboxed_call),
        trial("bounds::the_space_for_rejects_is_a_setting", space_for_rejects),
    ]
}

async fn space_for_rejects() -> Outcome {
    let bad = || serde_json::json!({ "type": "sha256", "value": "no hash", "context": "x".repeat(2_000) });
    for (settings, kept, is_cut) in
        [("max_total: 0", 0, false), ("max_raw: 1KiB", 1, true), ("max_raw: 4KiB", 1, false)]
    {
        let records = Records::listed([bad()]);
        let mut stand = Stand::new(MockSettings::default(), records, "", Store::Sqlite).await?;
        stand.more = format!("rejects: {{{settings}}}\n");
        let report = stand.poll().await?;
        assert_eq!(report.counts.rejected, 1, "{settings}");
        let ledger = stand.ledger()?;
        let rejects = ledger.rejects(&RejectFilter::default(), 10)?;
        assert_eq!((rejects.len(), rejects.iter().any(|reject| reject.cut)), (kept, is_cut), "{settings}");
        assert_eq!(ledger.status("feed")?.degraded.is_some(), kept == 0, "{settings}");
    }
    Ok(())
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
    Ok(guest.map_records_metered("", 1_733_740_200_000, page.as_bytes()).map(|(answer, cost)| {
        let heads = |batch: &Batch| batch.heads.iter().map(|head| size_of::<Head>() + head.id.len()).sum::<usize>();
        let answer = answer.map_or(0, |batch| batch.documents.len() + heads(&batch));
        (cost, answer)
    }))
}
