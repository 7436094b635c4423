//! Room on the disk.

use std::path::Path;

/// Free bytes on the disk that a file lies on or is to lie on; `None` where that cannot be told.
pub(crate) fn free(file: &Path) -> Option<u64> {
    let folder = file.parent()?;
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let room = rustix::fs::statvfs(folder).ok()?;
    Some(room.f_bavail.saturating_mul(room.f_frsize))
}
