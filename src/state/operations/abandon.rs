//! A drop guard that undoes an unfinished operation.

/// Calls `give_up` when dropped, unless disarmed: also if the caller leaves in the middle.
pub(super) struct Abandon<F: FnMut()> {
    give_up: F,
    is_armed: bool,
}

impl<F: FnMut()> Abandon<F> {
    pub(super) fn new(give_up: F) -> Self {
        Self { give_up, is_armed: true }
    }

    pub(super) fn disarm(&mut self) {
        self.is_armed = false;
    }
}

impl<F: FnMut()> Drop for Abandon<F> {
    fn drop(&mut self) {
        if self.is_armed {
            (self.give_up)();
        }
    }
}
