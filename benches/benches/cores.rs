//! The pure cores, timed.

#![allow(missing_docs, clippy::allow_attributes, reason = "what criterion makes has none")]
#![expect(clippy::panic, reason = "a bench that cannot be prepared cannot go on")]

use criterion::{Criterion, criterion_group, criterion_main};
use reclaimer_benches::cores;

fn bench(criterion: &mut Criterion) {
    let pieces = cores().unwrap_or_else(|error| panic!("{error:#}"));
    for mut piece in pieces {
        criterion.bench_function(piece.name, |bencher| bencher.iter(|| (piece.once)()));
    }
}

criterion_group!(benches, bench);
criterion_main!(benches);
