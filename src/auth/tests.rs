#![allow(clippy::unwrap_used, reason = "a test stops where it fails")]

//! What was verified once is not verified again. These tests hold the short way to the long one.

use std::sync::LazyLock;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::attribution::Attribution;
use super::client_role::ClientRole;
use super::jwt::algorithm::Algorithm;
use super::jwt::claims::{ClaimPath, ClaimRule, ExpectedClaim};
use super::jwt::jwk_set::JwkSet;
use super::jwt::jws::LONGEST_TOKEN;
use super::jwt::signing_keys::{NewKey, SigningKeys};
use super::redirect_uris::RedirectUris;
use super::token_cache::VerifiedTokens;
use super::trusted_issuer::TrustedIssuer;
use super::*;
use crate::config::raw::{GrantType, TokenReach};
use crate::customer::{Identifier, IdentifierKey, Mode};
use crate::explanation::trace::StepSink;
use crate::secret::Secret;
use crate::state::State;

const US: &str = "https://gateway.example.com";
const THEM: &str = "https://login.example.com";
const AUDIENCE: &str = "legacy-api";
const START: u64 = 1_800_000_000;
const NOW: u64 = 1_795_000_000;
const SKEW: u64 = 5;

/// Everything that the sequences are made of.
struct World {
    policies: Vec<Authenticator>,
    demands: Vec<Requirements>,
    tokens: Vec<String>,
}

/// One request.
#[derive(Debug, Clone)]
struct Step {
    /// Seconds since the last one.
    later: u64,
    /// The policy is replaced before it.
    policy: Option<usize>,
    requirements: usize,
    authorization: Option<usize>,
    customer: Option<usize>,
}

fn pem() -> String {
    SigningKeys::generate(NewKey::EdDsa, START).unwrap().1.to_string()
}

fn keys(pems: &[&String]) -> SigningKeys {
    let files = pems.iter().enumerate().map(|(at, pem)| (format!("{at}.pem"), Secret::new(pem.as_bytes())));
    SigningKeys::from_pems(files.collect(), US).unwrap()
}

fn deriver() -> Deriver {
    let text = IdentifierKey::generate();
    Deriver::new(IdentifierKey::parse(&Secret::new(text.as_bytes())).unwrap(), Mode::Traceable)
}

/// An issuer of customers' and of system tokens.
fn trusted_issuer(verifier: Verifier) -> TrustedIssuer {
    let app = ExpectedClaim::OneOf(vec![json!("app")]);
    let role = ClientRole {
        verifier: verifier.clone().of_subject(ClaimPath::parse("azp")),
        scopes: ClaimPath::parse("roles"),
        any: false,
        rules: vec![ClaimRule { claim: ClaimPath::parse("idtyp"), expected: app }],
    };
    TrustedIssuer {
        number: IssuerNumber(1),
        verifier,
        customers: true,
        clients: Some(Box::new(role)),
        events: None,
        introspector: None,
    }
}

fn world() -> World {
    let (old, new, theirs) = (pem(), pem(), pem());
    let (signs_old, signs_new, they_sign) = (keys(&[&old]), keys(&[&new]), keys(&[&theirs]));
    let text = IdentifierKey::generate();
    let ours = || Deriver::new(IdentifierKey::parse(&Secret::new(text.as_bytes())).unwrap(), Mode::Traceable);
    let policy = |keys: JwkSet, audience: &str, clients: &[(&str, &[&str])], trusts: bool, deriver: Deriver| {
        let audience = vec![audience.to_owned(), "reports".to_owned()];
        let client = |(id, scopes): &(&str, &[&str])| {
            let id: Arc<str> = Arc::from(*id);
            let scopes = scopes.iter().map(|&scope| scope.to_owned()).collect();
            (
                Arc::clone(&id),
                Client {
                    id,
                    secrets: Vec::new(),
                    assertions: None,
                    scopes,
                    audiences: audience.clone(),
                    lifetime: None,
                    claims: Default::default(),
                    certificate: None,
                    certificate_bound: false,
                    tls_client_auth: None,
                    certificates: Vec::new(),
                    grant_types: GrantType::ALL.to_vec(),
                    redirect_uris: RedirectUris::default(),
                    is_public: false,
                    requires_pkce: true,
                    introspect: TokenReach::All,
                    revoke: TokenReach::All,
                },
            )
        };
        let (their_keys, _) = JwkSet::from_jwks(they_sign.jwks(NOW).as_bytes(), &[Algorithm::EdDsa]).unwrap();
        let trusted = Verifier::trusted(THEM.to_owned(), audience.clone(), their_keys, SKEW, ClaimPath::parse("sub"));
        Authenticator {
            access: Some(Verifier::own(TokenKind::Access, US.to_owned(), audience.clone(), keys.clone(), SKEW)),
            own: Some(Verifier::own(TokenKind::Customer, US.to_owned(), audience.clone(), keys, SKEW)),
            trusted: trusts.then(|| (vec![THEM.to_owned()], trusted_issuer(trusted))).into_iter().collect(),
            clients: clients.iter().map(client).collect(),
            audience: audience[0].as_str().into(),
            deriver: Some(deriver),
            ..Authenticator::default()
        }
    };
    let (both, only_new) = (keys(&[&old, &new]).key_set(), keys(&[&new]).key_set());
    let wide: &[(&str, &[&str])] = &[("asapp", &["profile", "pay"])];
    let narrow: &[(&str, &[&str])] = &[("asapp", &["profile"])];
    let access = |signs: &SigningKeys, change: Value| {
        let mut claims = json!({ "iss": US, "aud": AUDIENCE, "sub": "asapp", "client_id": "asapp", "iat": START,
            "exp": START + 10_000, "scope": "profile pay" });
        claims.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        signs.sign("at+jwt", &claims, NOW).unwrap()
    };
    let customer = |signs: &SigningKeys, change: Value| {
        let subject = ours().derive(US, "ada").unwrap();
        let mut claims = json!({ "iss": US, "aud": AUDIENCE, "sub": subject.as_str(), "iat": START,
            "exp": START + 10_000 });
        claims.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        signs.sign("JWT", &claims, NOW).unwrap()
    };
    let good = access(&signs_old, json!({}));
    let tokens = vec![
        access(&signs_new, json!({ "exp": START + 30 })),
        access(&signs_new, json!({ "scope": "profile" })),
        access(&signs_new, json!({ "aud": "other" })),
        access(&signs_new, json!({ "aud": "reports" })),
        access(&signs_new, json!({ "client_id": "unknown" })),
        customer(&signs_old, json!({})),
        customer(&signs_new, json!({ "exp": START + 40 })),
        customer(&they_sign, json!({ "iss": THEM, "sub": "bob" })),
        customer(&they_sign, json!({})),
        customer(&they_sign, json!({ "iss": THEM, "sub": "app", "azp": "asapp", "idtyp": "app", "roles": ["pay"] })),
        customer(&they_sign, json!({ "iss": THEM, "sub": "bob", "azp": "asapp", "roles": ["pay"] })),
        good[..good.len() - 1].to_owned(),
        format!("{good}A"),
        format!("{good} "),
        good.to_uppercase(),
        good,
    ];
    let usual = || AUDIENCE.to_owned();
    let from_header = || vec![CustomerTokenSource::Header(CUSTOMER_AUTH, Some("JWT".to_owned()))];
    World {
        policies: vec![
            policy(both.clone(), AUDIENCE, wide, true, ours()),
            policy(only_new, AUDIENCE, wide, true, ours()),
            policy(both.clone(), "other", wide, true, ours()),
            policy(both.clone(), AUDIENCE, narrow, true, ours()),
            policy(both.clone(), AUDIENCE, &[], true, ours()),
            policy(both.clone(), AUDIENCE, wide, false, ours()),
            policy(both, AUDIENCE, wide, true, deriver()),
        ],
        demands: vec![
            Requirements {
                client: true,
                audience: usual(),
                customer: true,
                customer_token_sources: from_header(),
                ..Requirements::default()
            },
            Requirements { client: true, audience: usual(), scopes: vec!["pay".to_owned()], ..Requirements::default() },
            Requirements { client: true, audience: usual(), ..Requirements::default() },
            Requirements { client: true, audience: "reports".to_owned(), ..Requirements::default() },
            Requirements {
                client: true,
                issuers: Some(Box::new([IssuerNumber(1)])),
                scopes: vec!["pay".to_owned()],
                ..Requirements::default()
            },
            Requirements { customer: true, customer_token_sources: from_header(), ..Requirements::default() },
            Requirements {
                customer: true,
                customer_token_sources: vec![CustomerTokenSource::Bearer],
                ..Requirements::default()
            },
        ],
        tokens,
    }
}

static WORLD: LazyLock<World> = LazyLock::new(world);

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let (policies, demands, tokens) = (WORLD.policies.len(), WORLD.demands.len(), WORLD.tokens.len());
    let step = (
        prop_oneof![3 => Just(0), 1 => 0_u64..20],
        prop_oneof![4 => Just(None), 1 => (0..policies).prop_map(Some)],
        0..demands,
        proptest::option::weighted(0.9, 0..tokens),
        proptest::option::weighted(0.9, 0..tokens),
    );
    let step = step.prop_map(|(later, policy, requirements, authorization, customer)| Step {
        later,
        policy,
        requirements,
        authorization,
        customer,
    });
    proptest::collection::vec(step, 1..60)
}

type Outcome = Result<(Option<Arc<str>>, Option<Identifier>), Refusal>;

fn admit(auth: &Authenticator, step: &Step, now: u64, verified: &mut VerifiedTokens) -> Outcome {
    let mut headers = HeaderMap::new();
    let value =
        |scheme: &str, token: usize| HeaderValue::from_str(&format!("{scheme} {}", WORLD.tokens[token])).unwrap();
    if let Some(token) = step.authorization {
        headers.insert(AUTHORIZATION, value("Bearer", token));
    }
    if let Some(token) = step.customer {
        headers.insert(CUSTOMER_AUTH, value("JWT", token));
    }
    let state = State::in_memory();
    let mut context = AuthContext {
        now,
        address: std::net::Ipv4Addr::LOCALHOST.into(),
        certificate: None,
        proof: None,
        longest_token: LONGEST_TOKEN,
        verified,
        state: &state,
        ask: None,
        learned: LookupResult::default(),
        known: Attribution::default(),
        steps: StepSink::off(),
    };
    let admitted = auth.admit(&WORLD.demands[step.requirements], &headers, None, &mut context);
    let caller = admitted.noted_in(&mut Attribution::default())?;
    Ok((caller.client, caller.customer))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn what_was_verified_before_decides_as_a_fresh_check_would(steps in steps()) {
        let (mut now, mut policy, mut verified) = (START, 0, VerifiedTokens::default());
        for step in steps {
            now += step.later;
            if let Some(next) = step.policy {
                policy = next;
                verified.clear();
            }
            let auth = &WORLD.policies[policy];
            let fresh = admit(auth, &step, now, &mut VerifiedTokens::default());
            prop_assert_eq!(admit(auth, &step, now, &mut verified), fresh, "{:?}", step);
        }
    }
}

#[test]
fn the_sequences_reach_both_callers_and_refusals_of_each_demand() {
    for requirements in 0..WORLD.demands.len() {
        let outcomes =
            (0..WORLD.tokens.len()).flat_map(|first| (0..WORLD.tokens.len()).map(move |second| (first, second)));
        let (admitted, refused): (Vec<bool>, Vec<bool>) = outcomes
            .map(|(first, second)| {
                let step =
                    Step { later: 0, policy: None, requirements, authorization: Some(first), customer: Some(second) };
                admit(&WORLD.policies[0], &step, START, &mut VerifiedTokens::default()).is_ok()
            })
            .partition(|admitted| *admitted);
        assert!(!admitted.is_empty() && !refused.is_empty(), "requirements {requirements}");
    }
}
