//! Catches redb's panics: it returns an error for most damage, and panics on some.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::path::Path;
use std::sync::Once;

use super::fault::OpenFault;

thread_local! {
    /// True while a panic of this thread is caught and reported as damage.
    static IS_GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// Runs work that reads or writes the file, and catches a panic. Whatever the work was about may then only be dropped,
/// guarded as well.
///
/// # Errors
/// The message of the panic.
pub(super) fn guarded<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let hook = take_hook();
        set_hook(Box::new(move |panic| {
            if !IS_GUARDED.get() {
                hook(panic);
            }
        }));
    });
    let before = IS_GUARDED.replace(true);
    let done = catch_unwind(AssertUnwindSafe(work));
    IS_GUARDED.set(before);
    done.map_err(|panic| said(&*panic))
}

/// Runs work that opens or reads the file at this path.
///
/// # Errors
/// The error of the work, or [`OpenFault::Damaged`] after a panic.
pub(super) fn read_guarded<T, E: From<OpenFault>>(path: &Path, work: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
    guarded(work).unwrap_or_else(|said| Err(OpenFault::Damaged(path.display().to_string(), said).into()))
}

fn said(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    let first = text.and_then(|text| text.lines().next()).unwrap_or("a page makes no sense");
    format!("what stands there was never written: {first}")
}
