//! Several backends of one route, each for its share of the callers.

use super::Route;
use crate::backend::balance;

/// The backends of a route, by weight. A caller stays with its backend while the weights stay; where one of them changes, only
/// callers that go to that backend or come from it move.
pub struct WeightedBackends(Vec<Weighted>);

struct Weighted {
    seed: u64,
    weight: u32,
    /// The route as it is to this backend.
    route: Route,
}

impl WeightedBackends {
    /// The backends that get requests: weights, and the route as it is to each.
    pub(super) fn new(routes: Vec<(u32, Route)>) -> Self {
        let weighted =
            |(weight, route): (u32, Route)| Weighted { seed: balance::seed(&route.backend.name), weight, route };
        Self(routes.into_iter().filter(|(weight, _)| *weight > 0).map(weighted).collect())
    }

    /// The route for the caller with this hash; `None` where no backend gets requests.
    pub fn of(&self, caller: u64) -> Option<&Route> {
        let candidates = self.0.iter().zip(0_u16..).map(|(it, index)| (index, it.seed, it.weight));
        balance::by_key(caller, candidates).map(|index| &self.0[usize::from(index)].route)
    }

    /// The route as it is to each backend, with the weight of that.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &Route)> {
        self.0.iter().map(|it| (it.weight, &it.route))
    }
}
