//! Shares per caller of a backend's WebSockets and uploads, which last as long as the caller likes. Each is a request
//! in flight, so without a bound one caller could take all places, and the calls of everybody else would be 503.

use std::sync::Arc;

use super::keys::LimitKey;
use crate::auth::Caller;
use crate::config::raw::Per;
use crate::gateway::Gateway;
use crate::gateway::enforcement;
use crate::gateway::observe::record::Record;
use crate::open_files;
use crate::policy::route::Route;
use crate::refusal::Refusal;
use dashmap::DashMap;

/// A backend and one of its callers.
type Holder = (Arc<str>, LimitKey);

/// Held shares by backend and caller, on all workers.
#[derive(Debug, Default)]
pub(super) struct CallerShares(DashMap<Holder, usize, foldhash::fast::RandomState>);

/// A WebSocket or an upload that its caller holds; given back when dropped.
#[derive(Debug)]
pub(crate) struct HeldShare {
    shares: Arc<CallerShares>,
    holder: Holder,
}

impl CallerShares {
    /// Takes one more for this caller; `None` where it holds `most` already.
    fn take(self: &Arc<Self>, holder: Holder, most: usize) -> Option<HeldShare> {
        let mut held = self.0.entry(holder.clone()).or_insert(0);
        if *held >= most {
            return None;
        }
        *held += 1;
        Some(HeldShare { shares: Arc::clone(self), holder })
    }
}

impl Drop for HeldShare {
    fn drop(&mut self) {
        if let Some(mut held) = self.shares.0.get_mut(&self.holder) {
            *held = held.saturating_sub(1);
        }
        self.shares.0.remove_if(&self.holder, |_, held| *held == 0);
    }
}

impl Gateway {
    /// Takes a share of the backend's WebSockets for this caller.
    ///
    /// # Errors
    /// [`Refusal::WebsocketShare`] where the caller holds as many as it may.
    pub(crate) fn websocket_share(
        &self,
        route: &Route,
        caller: &Caller,
        record: &mut Record,
    ) -> Result<Option<HeldShare>, Refusal> {
        let most = route.backend.websockets_per_caller();
        let held = self.shared.limits.websockets.take(holder(route, caller, record), most);
        carried_out(held, Refusal::WebsocketShare, route, record)
    }

    /// Takes a share of the backend's uploads for this caller.
    ///
    /// # Errors
    /// [`Refusal::UploadShare`] where the caller holds as many as it may.
    pub(crate) fn upload_share(
        &self,
        route: &Route,
        caller: &Caller,
        record: &mut Record,
    ) -> Result<Option<HeldShare>, Refusal> {
        let most = route.backend.uploads_per_caller();
        let held = self.shared.limits.uploads.take(holder(route, caller, record), most);
        carried_out(held, Refusal::UploadShare, route, record)
    }

    /// Takes a share of the temporary files of request bodies for this caller, of whatever backends.
    ///
    /// # Errors
    /// [`Refusal::UploadShare`] where the caller holds as many as it may.
    pub(crate) fn buffer_share(
        &self,
        route: &Route,
        caller: &Caller,
        record: &mut Record,
    ) -> Result<Option<HeldShare>, Refusal> {
        let percent = route.backend.upload_share as usize;
        let most = (open_files::for_buffers().saturating_mul(percent) / 100).max(1);
        let (_, key) = holder(route, caller, record);
        let held = self.shared.limits.buffers.take((Arc::default(), key), most);
        carried_out(held, Refusal::UploadShare, route, record)
    }
}

/// The backend and the counted caller: the customer, else the client, else the API key, else the address.
fn holder(route: &Route, caller: &Caller, record: &Record) -> Holder {
    let per = caller.customer.as_ref().map(|_| Per::Customer);
    (Arc::clone(&route.backend.name), LimitKey::of(per, caller, record.source.address))
}

fn carried_out(
    held: Option<HeldShare>,
    refusal: Refusal,
    route: &Route,
    record: &mut Record,
) -> Result<Option<HeldShare>, Refusal> {
    if held.is_none() {
        enforcement::carry_out(refusal, route, record)?;
    }
    Ok(held)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_holds_so_many_and_gives_them_back_and_nothing_is_kept_of_it() {
        let shares = Arc::<CallerShares>::default();
        let holder = |client: &str| (Arc::from("legacy"), LimitKey::Client(client.into()));
        let (one, two) = (shares.take(holder("a"), 2), shares.take(holder("a"), 2));
        assert!(one.is_some() && two.is_some() && shares.take(holder("a"), 2).is_none());
        assert!(shares.take(holder("b"), 2).is_some());
        assert!(shares.take((Arc::from("other"), LimitKey::Client("a".into())), 2).is_some());
        drop(one);
        assert!(shares.take(holder("a"), 2).is_some());
        drop(two);
        assert!(shares.0.is_empty());
    }
}
