//! The log, where nothing may come of it but a line.

use std::panic::{catch_unwind, AssertUnwindSafe};

/// Writes to the log where nothing may come in between: the logger is the
/// program's, and what it panics at must not cost a message.
pub(crate) fn say(line: impl FnOnce()) {
    let _ = catch_unwind(AssertUnwindSafe(line));
}
