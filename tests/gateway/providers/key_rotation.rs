//! Key sets that change: nodes that differ, withdrawn keys, warnings.

use std::time::{Duration, Instant};

use super::key_sets::{ISSUER, named, refusal, status, trusting, unnamed};
use crate::harness::identity_provider::IdentityProvider;
use crate::harness::keys::TokenKey;
use crate::harness::*;

/// An issuer that is asked only when a token has an unknown key, at any time.
fn on_demand(config: Config) -> Config {
    config.set("/trusted_issuers/0/refresh", json!({"interval": "10m", "cooldown": "1ms", "timeout": "2s"}))
}

fn said(gateway: &Gateway, part: &str) -> usize {
    gateway.stderr.all().iter().filter(|line| line.contains(part)).count()
}

#[test]
fn tokens_of_two_nodes_that_publish_different_sets_in_turn_are_all_accepted() {
    let (one, two) = (TokenKey::generate(), TokenKey::generate());
    let provider = IdentityProvider::start(&[one.jwk("one")]);
    let (_backend, gateway) = trusting(json!(provider.jwks_url()), on_demand);
    for round in 0..6 {
        let node = if round % 2 == 0 { two.jwk("two") } else { one.jwk("one") };
        provider.publish_keys(&[node]);
        let before = provider.asked();
        eventually("the other node is asked", || {
            status(&gateway, &named(&TokenKey::generate(), "unknown")) == 401 && provider.asked() > before
        });
        for _ in 0..4 {
            assert_eq!(status(&gateway, &named(&one, "one")), 200, "round {round}");
            assert_eq!(status(&gateway, &named(&two, "two")), 200, "round {round}");
        }
    }
    let forged = named(&TokenKey::generate(), "one");
    assert_eq!(refusal(&gateway, &forged), "customer_token_signature");
}

#[test]
fn a_key_that_is_no_longer_listed_is_dropped_after_two_intervals_also_over_a_restart() {
    let (old, new) = (TokenKey::generate(), TokenKey::generate());
    let provider = IdentityProvider::start(&[old.jwk("old")]);
    let (_backend, gateway) = trusting(json!(provider.jwks_url()), |config| {
        config.set("/trusted_issuers/0/refresh", json!({"interval": "3s", "cooldown": "1ms", "timeout": "2s"}))
    });
    let stolen = named(&old, "old");
    assert_eq!(status(&gateway, &stolen), 200);
    let last_seen = Instant::now();
    provider.publish_keys(&[new.jwk("new")]);
    assert_eq!(status(&gateway, &named(&new, "new")), 200, "it is fetched at once");
    assert_eq!(status(&gateway, &stolen), 200, "the earlier key is still good");
    gateway.expect_metric("wicketgate_issuer_keys", &[("issuer", ISSUER)], 2.0);
    let gateway = gateway.restart();
    assert_eq!(status(&gateway, &stolen), 200, "and is after a restart");
    eventually("two intervals are over", || status(&gateway, &stolen) == 401);
    assert!(last_seen.elapsed() < Duration::from_secs(8), "{:?}", last_seen.elapsed());
    assert_eq!(status(&gateway, &named(&new, "new")), 200);
    gateway.expect_metric("wicketgate_issuer_keys", &[("issuer", ISSUER)], 1.0);
}

#[test]
fn a_set_that_marks_a_key_as_withdrawn_ends_it_at_once() {
    let (old, new) = (TokenKey::generate(), TokenKey::generate());
    let marked = |name: &str, value: Value| {
        let mut key = old.jwk("old");
        key[name] = value;
        key
    };
    for (name, value) in [
        ("revoked", json!({"revoked_at": 1_790_000_000, "reason": "compromised"})),
        ("exp", json!(1_790_000_000)),
        ("d", json!("AAAA")),
    ] {
        let provider = IdentityProvider::start(&[old.jwk("old")]);
        let (_backend, gateway) = trusting(json!(provider.jwks_url()), on_demand);
        let stolen = named(&old, "old");
        assert_eq!(status(&gateway, &stolen), 200);
        provider.publish_keys(&[marked(name, value), new.jwk("new")]);
        assert_eq!(status(&gateway, &named(&new, "new")), 200, "{name}");
        assert_eq!(refusal(&gateway, &stolen), "customer_token_unknown_key", "{name}");
        let gateway = gateway.restart();
        assert_eq!(refusal(&gateway, &stolen), "customer_token_unknown_key", "{name}, after a restart");
    }
    // Also where no key of use stands beside it.
    let provider = IdentityProvider::start(&[old.jwk("old"), new.jwk("new")]);
    let (_backend, gateway) = trusting(json!(provider.jwks_url()), on_demand);
    let stolen = named(&old, "old");
    assert_eq!(status(&gateway, &stolen), 200);
    provider.publish_keys(&[marked("revoked", json!({"revoked_at": 1}))]);
    status(&gateway, &named(&TokenKey::generate(), "unknown"));
    assert_ne!(status(&gateway, &stolen), 200);
    assert_eq!(status(&gateway, &named(&new, "new")), 200, "the other one stays");
}

#[test]
fn a_strict_issuer_has_no_keys_but_those_that_it_lists() {
    let (old, new) = (TokenKey::generate(), TokenKey::generate());
    let provider = IdentityProvider::start(&[old.jwk("old")]);
    let (_backend, gateway) = trusting(json!(provider.jwks_url()), |config| {
        on_demand(config).set("/trusted_issuers/0/refresh/strict", json!(true))
    });
    let known = named(&old, "old");
    assert_eq!(status(&gateway, &known), 200);
    provider.publish_keys(&[new.jwk("new")]);
    assert_eq!(status(&gateway, &named(&new, "new")), 200);
    assert_eq!(refusal(&gateway, &known), "customer_token_unknown_key");
}

#[test]
fn a_rotated_key_without_a_kid_is_fetched_with_its_first_token() {
    let (old, new) = (TokenKey::generate(), TokenKey::generate());
    let nameless = |key: &TokenKey| {
        let mut key = key.jwk("");
        key.as_object_mut().unwrap().remove("kid");
        key
    };
    let provider = IdentityProvider::start(&[nameless(&old)]);
    let (_backend, gateway) = trusting(json!(provider.jwks_url()), on_demand);
    assert_eq!(status(&gateway, &unnamed(&old)), 200);
    provider.publish_keys(&[nameless(&new)]);
    assert_eq!(status(&gateway, &unnamed(&new)), 200);
    assert_eq!(status(&gateway, &unnamed(&old)), 200, "for two more intervals");
    assert_eq!(refusal(&gateway, &unnamed(&TokenKey::generate())), "customer_token_unknown_key");
}

#[test]
fn an_odd_key_is_warned_of_once_and_not_with_each_fetch() {
    let (key, odd) = (TokenKey::generate(), json!({"kty": "oct", "kid": "odd", "k": "AAAA"}));
    let provider = IdentityProvider::start(&[odd.clone(), key.jwk("one")]);
    let (_backend, gateway) = trusting(json!(provider.jwks_url()), |config| config);
    eventually("several fetches", || provider.asked() > 3);
    assert_eq!(status(&gateway, &named(&key, "one")), 200);
    assert_eq!(said(&gateway, "symmetric"), 1);
    provider.publish_keys(&[odd, key.jwk("one"), TokenKey::generate().jwk("two")]);
    eventually("the set has changed", || said(&gateway, "symmetric") == 2);
    let before = provider.asked();
    eventually("several fetches", || provider.asked() > before + 2);
    assert_eq!(said(&gateway, "symmetric"), 2);
}

#[test]
fn retry_after_of_a_provider_is_honoured_up_to_the_interval() {
    for answer in ["429 Too Many Requests", "503 Service Unavailable"] {
        let key = TokenKey::generate();
        let provider = IdentityProvider::start(&[key.jwk("one")]);
        let (_backend, gateway) = trusting(json!(provider.jwks_url()), |config| {
            config.set("/trusted_issuers/0/refresh", json!({"interval": "2s", "cooldown": "1ms", "timeout": "2s"}))
        });
        provider.publish_answer(answer, "Retry-After: 3600\r\n", b"");
        let labels = [("issuer", ISSUER), ("outcome", "status")];
        eventually("it is refused", || gateway.metric("wicketgate_issuer_fetches_total", &labels) >= 1.0);
        let (begun, asked) = (Instant::now(), provider.asked());
        let unknown = named(&key, "two");
        while begun.elapsed() < Duration::from_millis(1500) {
            // Nobody knows whether there is such a key, and nobody asks meanwhile.
            assert_eq!(status(&gateway, &unknown), 503, "{answer}");
            assert_eq!(status(&gateway, &named(&key, "one")), 200, "{answer}");
        }
        assert_eq!(provider.asked(), asked, "{answer}: asked again within the time that it wants");
        provider.publish_keys(&[key.jwk("two")]);
        eventually("it is asked after the interval", || status(&gateway, &unknown) == 200);
    }
}
