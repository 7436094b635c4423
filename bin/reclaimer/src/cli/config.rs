//! `reclaimer config`.

use anyhow::Result;

use super::Common;
use crate::config::shown;

pub(super) fn run(common: &Common) -> Result<()> {
    let (settings, output) = (shown(&common.load()?)?, common.output());
    if output.is_json() {
        return output.json(&settings);
    }
    let rows = settings.into_iter().map(|one| vec![one.key.to_owned(), one.value, one.source]);
    output.table(&["key", "value", "from"], rows)
}
