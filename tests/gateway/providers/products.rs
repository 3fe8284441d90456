//! One profile per product, with the configuration of docs/identity-providers.md: keys, discovery, customers' tokens,
//! system tokens, a rotation, an outage.

mod adfs;
mod auth0;
mod cognito;
mod entra;
mod google;
mod keycloak;
mod okta;
mod ping;
mod uaa;

use std::sync::LazyLock;

use crate::harness::identity_provider::IdentityProvider;
use crate::harness::keys::RsaKey;
use crate::harness::*;

const PAGE: &str = include_str!("../../../docs/identity-providers.md");

/// The client of system tokens.
const SYSTEM: &str = "reporting-job";

/// Two keys for all tests of this file: making one takes time.
static KEYS: LazyLock<[RsaKey; 2]> = LazyLock::new(|| [RsaKey::generate(), RsaKey::generate()]);

/// A product: its keys, metadata and tokens as it writes them.
struct Product {
    /// Its heading in docs/identity-providers.md.
    heading: &'static str,
    /// The `iss` of its tokens.
    issuer: &'static str,
    /// A public key of this `kid` as it publishes it.
    jwk: fn(&RsaKey, &str) -> Value,
    /// The header of its tokens.
    header: fn(&RsaKey, &str) -> Value,
    /// Further members of its metadata, where it has some.
    metadata: fn() -> Value,
    /// Claims of a customer's token beside the times.
    customer: fn() -> Value,
    /// The claim by which its customers are told apart.
    subject: &'static str,
    /// Claims of a system token beside the times; null where it has none.
    system: fn() -> Value,
    /// Where the scopes of a system token stand.
    scopes: &'static str,
}

impl Product {
    fn token(&self, key: &RsaKey, kid: &str, mut claims: Value) -> String {
        let now = keys::now();
        for (name, time) in [("iat", now), ("nbf", now), ("exp", now + 3600)] {
            claims.as_object_mut().unwrap().entry(name).or_insert(json!(time));
        }
        key.sign(&(self.header)(key, kid), &claims)
    }

    fn customer(&self, key: &RsaKey, kid: &str, subject: &str) -> String {
        let mut claims = (self.customer)();
        claims[self.subject] = json!(subject);
        self.token(key, kid, claims)
    }

    fn system(&self, key: &RsaKey, kid: &str) -> String {
        self.token(key, kid, (self.system)())
    }

    fn has_system_tokens(&self) -> bool {
        !(self.system)().is_null()
    }

    fn start(&self) -> IdentityProvider {
        let provider = IdentityProvider::start(&[(self.jwk)(&KEYS[0], "first")]);
        let mut metadata = json!({ "issuer": self.issuer, "jwks_uri": provider.jwks_url() });
        metadata.as_object_mut().unwrap().extend((self.metadata)().as_object().unwrap().clone());
        provider.metadata("/metadata", metadata);
        provider
    }

    /// The gateway with the block of the page, its addresses led to this provider.
    fn gateway(&self, provider: &IdentityProvider) -> (Backend, Gateway) {
        let mut issuers = block(self.heading)["trusted_issuers"].clone();
        let issuer = &mut issuers[0];
        if issuer.get("discovery").is_some() {
            issuer["discovery"] = json!(format!("http://{}/metadata", provider.address));
        } else {
            issuer["jwks"] = json!(provider.jwks_url());
        }
        issuer["refresh"] = json!({ "interval": "1s", "cooldown": "100ms", "timeout": "2s" });
        let clients = block("Products")["clients"].clone();
        let (backend, gateway) = world_with(|mut config| {
            config.yaml["clients"].as_array_mut().unwrap().extend(clients.as_array().unwrap().clone());
            config.set("/trusted_issuers", issuers).route("system", "scopes", json!(["orders.read"]))
        });
        eventually("its keys are there", || gateway.admin("/readyz").text() == "ok\n");
        (backend, gateway)
    }
}

/// The first block of YAML below a heading of the page.
fn block(heading: &str) -> Value {
    let (_, rest) = PAGE.split_once(&format!("# {heading}\n")).unwrap_or_else(|| panic!("no heading {heading:?}"));
    let (_, rest) = rest.split_once("```yaml\n").unwrap();
    let (text, _) = rest.split_once("```").unwrap();
    serde_saphyr::from_str(text).unwrap_or_else(|error| panic!("{heading}: {error}"))
}

fn products() -> Vec<Product> {
    vec![
        entra::V2,
        entra::V1,
        okta::OKTA,
        auth0::AUTH0,
        cognito::COGNITO,
        keycloak::KEYCLOAK,
        ping::PING_FEDERATE,
        adfs::ADFS,
        uaa::UAA,
        google::GOOGLE,
    ]
}

/// The status of a call with a customer's token, and the identifier that the backend got.
fn called(backend: &Backend, gateway: &Gateway, token: &str) -> (u16, Option<String>) {
    backend.forget();
    let status = gateway.get("/me/x").customer(token).send().status;
    let identifier = backend.requests().last().and_then(|seen| seen.header("x-customer-id").map(str::to_owned));
    (status, identifier)
}

#[test]
fn every_block_of_the_page_belongs_to_a_product() {
    let page = PAGE.split_once("\n## Products\n").unwrap().1;
    let headings: Vec<&str> = page.lines().filter_map(|line| line.strip_prefix("### ")).collect();
    let products: Vec<&str> = products().iter().map(|product| product.heading).collect();
    assert_eq!(headings, products);
}

#[test]
fn customers_of_each_product_pass_with_the_configuration_of_the_page_and_keep_their_identifier() {
    for product in products() {
        let provider = product.start();
        let (backend, gateway) = product.gateway(&provider);
        let token = |subject: &str| product.customer(&KEYS[0], "first", subject);
        let heading = product.heading;
        let (status, ann) = called(&backend, &gateway, &token("ann-1"));
        assert_eq!(status, 200, "{heading}: {}", gateway.get("/me/x").customer(&token("ann-1")).send().text());
        let ann = ann.unwrap_or_else(|| panic!("{heading}: no identifier"));
        assert_eq!(called(&backend, &gateway, &token("ann-1")), (200, Some(ann.clone())), "{heading}");
        let (_, bob) = called(&backend, &gateway, &token("bob-2"));
        assert_ne!(bob, Some(ann.clone()), "{heading}");
        assert!(!ann.contains("ann"), "{heading}: {ann}");
        // A customer's token is none of a system, though it names an application too.
        let answer = gateway.get("/system/x").bearer(&token("ann-1")).send();
        assert_eq!(answer.status, 401, "{heading}: {}", answer.text());
    }
}

#[test]
fn system_tokens_of_each_product_open_routes_that_require_a_client_and_no_others() {
    for product in products().iter().filter(|product| product.has_system_tokens()) {
        let provider = product.start();
        let (backend, gateway) = product.gateway(&provider);
        let heading = product.heading;
        let token = product.system(&KEYS[0], "first");
        let answer = gateway.get("/system/x").bearer(&token).send();
        assert_eq!(answer.status, 200, "{heading}: {}", answer.text());
        let line = gateway.access_line(answer.header("x-request-id").unwrap());
        assert_eq!(line["client"], SYSTEM, "{heading}: {line}");
        backend.forget();
        let answer = gateway.get("/me/x").customer(&token).send();
        assert_eq!(answer.status, 401, "{heading}: a system is no customer: {}", answer.text());
        backend.assert_untouched();
        let mut without = (product.system)();
        without[product.scopes] = json!("something.else");
        let answer = gateway.get("/system/x").bearer(&product.token(&KEYS[0], "first", without)).send();
        assert_eq!((answer.status, answer.code().as_str()), (403, "403-02"), "{heading}");
    }
}

#[test]
fn a_token_of_each_product_for_somebody_else_is_refused() {
    for product in products() {
        let provider = product.start();
        let (backend, gateway) = product.gateway(&provider);
        let changed = |name: &str, value: Value| {
            let mut claims = (product.customer)();
            claims[name] = value;
            product.token(&KEYS[0], "first", claims)
        };
        let now = keys::now();
        let mut wrong = vec![
            ("another issuer", changed("iss", json!("https://evil.example.com/"))),
            ("expired", changed("exp", json!(now - 400))),
            ("not yet valid", changed("nbf", json!(now + 4000))),
            ("another key", product.customer(&KEYS[1], "first", "ann-1")),
        ];
        assert_eq!(
            called(&backend, &gateway, &product.customer(&KEYS[0], "first", "ann-1")).0,
            200,
            "{}",
            product.heading
        );
        let by_claim = if product.issuer.contains("cognito") { "client_id" } else { "aud" };
        wrong.push(("another audience", changed(by_claim, json!("another-api"))));
        for (what, token) in wrong {
            assert_eq!(called(&backend, &gateway, &token), (401, None), "{}: {what}", product.heading);
            backend.assert_untouched();
        }
    }
}

#[test]
fn a_rotation_of_each_products_keys_costs_nobody_a_call() {
    for product in products() {
        let provider = product.start();
        let (backend, gateway) = product.gateway(&provider);
        let (old, new) = (product.customer(&KEYS[0], "first", "ann-1"), product.customer(&KEYS[1], "second", "ann-1"));
        let (status, ann) = called(&backend, &gateway, &old);
        assert_eq!(status, 200, "{}", product.heading);
        provider.publish_keys(&[(product.jwk)(&KEYS[1], "second"), (product.jwk)(&KEYS[0], "first")]);
        eventually("the new key is known", || {
            assert_eq!(called(&backend, &gateway, &old).0, 200, "{}", product.heading);
            called(&backend, &gateway, &new) == (200, ann.clone())
        });
    }
}

#[test]
fn an_outage_of_each_product_costs_no_customer_a_call() {
    for product in products() {
        let provider = product.start();
        let (backend, gateway) = product.gateway(&provider);
        provider.die();
        eventually("a failed fetch", || {
            gateway.metric("wicketgate_issuer_fetches_total", &[("outcome", "connect")]) >= 1.0
        });
        let token = product.customer(&KEYS[0], "first", "ann-1");
        assert_eq!(called(&backend, &gateway, &token).0, 200, "{}", product.heading);
        // Nobody can know whether there is such a key.
        let answer = gateway.get("/me/x").customer(&product.customer(&KEYS[1], "second", "ann-1")).send();
        assert_eq!((answer.status, answer.code().as_str()), (503, "503-04"), "{}", product.heading);
    }
}
