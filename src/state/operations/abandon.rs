//! A guard for what was begun and may come to nothing.

/// Gives up what was begun, unless it is disarmed: also where the caller has left in the middle.
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
