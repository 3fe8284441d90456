//! Single steps of a request, so often that their instructions can be counted: `micro NAME TIMES`. Without arguments it
//! lists the names. `make bench-micro` runs each under callgrind.

use std::collections::{BTreeMap, HashMap};
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use http::header::{AUTHORIZATION, COOKIE};
use http::{HeaderMap, HeaderValue, Method, Version};
use serde_json::json;
use wicketgate::auth::attribution::Attribution;
use wicketgate::auth::credentials::api_key::{ApiKeys, digest};
use wicketgate::auth::credentials::cookie::CookieKeys;
use wicketgate::auth::jwt::jws::LONGEST_TOKEN;
use wicketgate::auth::jwt::signing_keys::{NewKey, SigningKeys};
use wicketgate::auth::jwt::{TokenKind, Verifier};
use wicketgate::auth::redirect_uris::RedirectUris;
use wicketgate::auth::token_cache::VerifiedTokens;
use wicketgate::auth::{
    API_KEY, ApiKey, ApiKeyVersion, AuthContext, Authenticator, CUSTOMER_AUTH, Client, CustomerTokenSource,
    LookupResult, Requirements, SessionCookie,
};
use wicketgate::backend::admission::circuit_breaker::CircuitRule;
use wicketgate::backend::endpoints::outlier_detection::OutlierDetection;
use wicketgate::backend::endpoints::servers::{Rules, Servers};
use wicketgate::backend::{Backend, SentHost};
use wicketgate::config::raw::{GrantType, Retry, TokenReach};
use wicketgate::customer::{Deriver, IdentifierKey, Mode};
use wicketgate::explanation::trace::StepSink;
use wicketgate::fields::FieldSet;
use wicketgate::gateway::forward::headers::{Passage, prepare_request};
use wicketgate::gateway::host::Host;
use wicketgate::json_body::{Document, Pointer};
use wicketgate::policy::path;
use wicketgate::policy::route::enforcement::Enforcement;
use wicketgate::policy::route::{Placement, Route};
use wicketgate::policy::table::{LetterCase, Table};
use wicketgate::secret::Secret;
use wicketgate::state::session::{Agent, LoginId, Session};
use wicketgate::state::{Bound, State};

const US: &str = "https://gateway.example.com";
const AUDIENCE: &str = "legacy-api";
const NOW: u64 = 1_800_000_000;

/// So many callers with tokens that were never seen before; more calls find them again.
const COLD: usize = 16;

/// One step, prepared; each call does it once.
type Step = Box<dyn FnMut() -> anyhow::Result<()>>;

type Preparation = fn() -> anyhow::Result<Step>;

const STEPS: [(&str, Preparation); 17] = [
    ("admit_warm", || admit(NewKey::Es256, 1)),
    ("admit_cold_rs256", || admit(NewKey::Rs256, COLD)),
    ("admit_cold_es256", || admit(NewKey::Es256, COLD)),
    ("admit_cold_eddsa", || admit(NewKey::EdDsa, COLD)),
    ("admit_session_1000", || admit_session(1_000)),
    ("admit_session_1000000", || admit_session(1_000_000)),
    ("api_key_10", || api_key(10)),
    ("api_key_100000", || api_key(100_000)),
    ("route_find_10", || route_find(10)),
    ("route_find_1000", || route_find(1_000)),
    ("headers", headers),
    ("body_1kib", || body(1024)),
    ("body_100kib", || body(100 * 1024)),
    ("path_plain", || normal_path("/account/getprofile/recent-orders")),
    ("path_escaped", || normal_path("/account/%67etprofile/caf%c3%a9")),
    ("identifier_traceable", || derive(Mode::Traceable)),
    ("identifier_one_way", || derive(Mode::OneWay)),
];

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [name, times] = &arguments[..] else {
        STEPS.iter().for_each(|(name, _)| println!("{name}"));
        return Ok(());
    };
    let (_, prepare) = STEPS.iter().find(|(known, _)| known == name).with_context(|| format!("no step `{name}`"))?;
    counted(&mut *prepare()?, times.parse()?)
}

/// Only what happens in here is counted.
#[inline(never)]
fn counted(step: &mut dyn FnMut() -> anyhow::Result<()>, times: u64) -> anyhow::Result<()> {
    for _ in 0..times {
        step()?;
    }
    Ok(())
}

fn deriver(mode: Mode) -> anyhow::Result<Deriver> {
    let text = IdentifierKey::generate();
    Ok(Deriver::new(IdentifierKey::parse(&Secret::new(text.as_bytes()))?, mode))
}

/// A client's token, a customer's token and an API key, of so many callers in turn.
#[expect(clippy::too_many_lines, reason = "the world of a bench, set up once")]
fn admit(algorithm: NewKey, callers: usize) -> anyhow::Result<Step> {
    let (_, pem) = SigningKeys::generate(algorithm, NOW).map_err(|fault| anyhow!(fault))?;
    let keys = SigningKeys::from_pems(vec![("key.pem".to_owned(), Secret::new(pem.as_bytes()))], US)
        .map_err(|faults| anyhow!("{faults:?}"))?;
    let deriver = deriver(Mode::Traceable)?;
    let own = |kind| Verifier::own(kind, US.to_owned(), vec![AUDIENCE.to_owned()], keys.key_set(), 60);
    let id: Arc<str> = "asapp".into();
    let mut callers_headers = Vec::new();
    for number in 0..callers {
        let token_id = format!("{number:020}");
        let access = json!({ "iss": US, "aud": AUDIENCE, "sub": "asapp", "client_id": "asapp", "iat": NOW,
            "exp": NOW + 3600, "jti": token_id, "scope": "profile" });
        let subject = deriver.derive(US, &number.to_string())?;
        let customer = json!({ "iss": US, "aud": AUDIENCE, "sub": subject.as_str(), "iat": NOW, "nbf": NOW,
            "exp": NOW + 3600, "jti": token_id });
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, format!("Bearer {}", keys.sign("at+jwt", &access, NOW)?).parse()?);
        headers.insert(CUSTOMER_AUTH, format!("JWT {}", keys.sign("JWT", &customer, NOW)?).parse()?);
        headers.insert(API_KEY, HeaderValue::from_static("key"));
        callers_headers.push(headers);
    }
    let key = ApiKey { id: "one".into(), client: Some(Arc::clone(&id)), routes: vec![0], allow: Vec::new() };
    let key = ApiKeyVersion { key: Arc::new(key), until: u64::MAX, used: Arc::default() };
    let auth = Authenticator {
        access: Some(own(TokenKind::Access)),
        own: Some(own(TokenKind::Customer)),
        clients: HashMap::from([(
            Arc::clone(&id),
            Client {
                id,
                secrets: Vec::new(),
                assertions: None,
                scopes: vec!["profile".to_owned()],
                audiences: vec![AUDIENCE.to_owned()],
                lifetime: None,
                claims: BTreeMap::new(),
                certificate: None,
                certificate_bound: false,
                tls_client_auth: None,
                certificates: Vec::new(),
                grant_types: vec![GrantType::ClientCredentials],
                redirect_uris: RedirectUris::default(),
                is_public: false,
                requires_pkce: true,
                introspect: TokenReach::All,
                revoke: TokenReach::All,
            },
        )]),
        api_keys: ApiKeys::new([(digest(b"key"), key)]).map_err(|_| anyhow!("a key twice"))?,
        audience: AUDIENCE.into(),
        deriver: Some(deriver),
        ..Authenticator::default()
    };
    let requirements = Requirements {
        client: true,
        customer: true,
        api_key: true,
        audience: AUDIENCE.to_owned(),
        scopes: vec!["profile".to_owned()],
        customer_token_sources: vec![CustomerTokenSource::Header(CUSTOMER_AUTH, Some("JWT".to_owned()))],
        ..Requirements::default()
    };
    let (mut verified, state) = (VerifiedTokens::default(), State::in_memory());
    let mut turn = 0;
    Ok(Box::new(move || {
        let headers = &callers_headers[turn % callers];
        turn += 1;
        let mut context = AuthContext {
            now: NOW,
            address: std::net::Ipv4Addr::LOCALHOST.into(),
            certificate: None,
            proof: None,
            longest_token: LONGEST_TOKEN,
            verified: &mut verified,
            state: &state,
            ask: None,
            learned: LookupResult::default(),
            known: Attribution::default(),
            steps: StepSink::off(),
        };
        let admitted = auth.admit(&requirements, headers, None, &mut context).noted_in(&mut Attribution::default());
        black_box(admitted.map_err(|refusal| anyhow!("{refusal:?}"))?);
        Ok(())
    }))
}

/// A session among many.
fn admit_session(count: usize) -> anyhow::Result<Step> {
    let keys = CookieKeys::new(&[Secret::new(&[7; 32][..])]);
    let (deriver, state) = (deriver(Mode::OneWay)?, State::in_memory());
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let mut cookies = Vec::new();
    for number in 0..count {
        let new = keys.issue(NOW).context("no key")?;
        let customer = deriver.derive(US, &number.to_string())?;
        let (issued_at, last_seen, expires_at) = (NOW, NOW, NOW + 3600);
        let (login, agent) = (LoginId::random(), Agent::Other);
        let session = Session { customer, login, issued_at, last_seen, expires_at, agent, account: None, number: None };
        runtime.block_on(state.begin(new.digest, session, Bound { most: 20, until: NOW + 3600 }))?;
        if number % (count / 1_000) == 0 {
            let mut headers = HeaderMap::new();
            headers.insert(COOKIE, format!("theme=dark; session={}", new.value).parse()?);
            cookies.push(headers);
        }
    }
    let cookie = SessionCookie { name: "session".to_owned(), keys, idle: 3600 };
    let auth = Authenticator { cookie: Some(cookie), deriver: Some(deriver), ..Authenticator::default() };
    let requirements = Requirements {
        customer: true,
        customer_token_sources: vec![CustomerTokenSource::Session],
        ..Requirements::default()
    };
    let mut verified = VerifiedTokens::default();
    let mut turn = 0;
    Ok(Box::new(move || {
        let headers = &cookies[turn % cookies.len()];
        turn += 1;
        let mut context = AuthContext {
            now: NOW,
            address: std::net::Ipv4Addr::LOCALHOST.into(),
            certificate: None,
            proof: None,
            longest_token: LONGEST_TOKEN,
            verified: &mut verified,
            state: &state,
            ask: None,
            learned: LookupResult::default(),
            known: Attribution::default(),
            steps: StepSink::off(),
        };
        let admitted = auth.admit(&requirements, headers, None, &mut context).noted_in(&mut Attribution::default());
        black_box(admitted.map_err(|refusal| anyhow!("{refusal:?}"))?);
        Ok(())
    }))
}

fn api_key(count: usize) -> anyhow::Result<Step> {
    let name = |number: usize| format!("wgk_{number:043}");
    let keys = (0..count).map(|number| (digest(name(number).as_bytes()), number));
    let keys = ApiKeys::new(keys).map_err(|_| anyhow!("a key twice"))?;
    let sent: Vec<String> = (0..count).map(name).step_by(count / 10).collect();
    let mut turn = 0;
    Ok(Box::new(move || {
        black_box(keys.find(&digest(sent[turn % sent.len()].as_bytes())).context("not found")?);
        turn += 1;
        Ok(())
    }))
}

fn route_find(count: usize) -> anyhow::Result<Step> {
    let mut table = Table::default();
    for number in 0..count {
        table.insert_prefix(&[], &format!("/service{number}/"), &[Method::POST], number, LetterCase::Counts);
    }
    let path = format!("/service{}/account/getprofile", count / 2);
    Ok(Box::new(move || {
        black_box(table.find("localhost", &path, &Method::POST).map_err(|fault| anyhow!("{fault:?}"))?);
        Ok(())
    }))
}

/// Everything that a request's head goes through, and the identifier on top.
fn headers() -> anyhow::Result<Step> {
    let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let host = Host::parse("api.example.com", address, true).context("no host")?;
    let route = route();
    let forwarded_for = HeaderValue::from_static("127.0.0.1");
    let request_id = HeaderValue::from_static("0000000000000000-0000000000000000");
    let identifier = deriver(Mode::Traceable)?.derive(US, "ada")?;
    let mut sent = HeaderMap::new();
    for (name, value) in [
        ("host", "api.example.com"),
        ("authorization", "Bearer x"),
        ("customer-auth", "JWT x"),
        ("api-key", "key"),
        ("content-type", "application/json"),
        ("content-length", "12"),
        ("accept", "*/*"),
        ("user-agent", "client/1.0"),
    ] {
        sent.insert(name, HeaderValue::from_static(value));
    }
    Ok(Box::new(move || {
        let mut headers = sent.clone();
        let passage = Passage {
            route: &route,
            host: &host,
            forwarded_for: &forwarded_for,
            secure: true,
            version: Version::HTTP_11,
            is_chunked: false,
            request_id: &request_id,
            caller: None,
        };
        prepare_request(&mut headers, &passage);
        if let Some(Placement::Header(name)) = &route.placement {
            headers.insert(name, HeaderValue::from_str(identifier.as_str())?);
        }
        black_box(headers);
        Ok(())
    }))
}

fn rules() -> Rules {
    let second = Duration::from_secs(1);
    let outlier_detection = OutlierDetection {
        failures: 0,
        base_ejection_time: second,
        max_ejection_time: second,
        max_ejection_percent: 50,
    };
    Rules {
        outlier_detection,
        slow_start: second,
        health_check: None,
        resolve: second,
        http2: false,
        proxy_protocol: None,
        http: Arc::default(),
    }
}

fn backend() -> Backend {
    let second = Duration::from_secs(1);
    Backend {
        name: "legacy".into(),
        servers: Arc::new(Servers::new("legacy".into(), Vec::new(), rules(), Arc::default())),
        by_customer: false,
        host: SentHost::Caller,
        authorization: None,
        backend_assertion: None,
        request_buffer: None,
        connect_timeout: second,
        timeout: second,
        idle_timeout: second,
        concurrency: 1,
        max_connections: usize::MAX,
        requests_per_connection: u32::MAX,
        websocket_share: 10,
        upload_share: 50,
        adaptive: None,
        queue: None,
        circuit_breaker: CircuitRule { failures: 0, pause: second },
        retry_budget: 0,
        admission: Arc::default(),
    }
}

fn route() -> Route {
    let mut stripped = FieldSet::of_callers_claims();
    for name in ["authorization", "api-key", "customer-auth", "x-customer-id"] {
        stripped.insert(name);
    }
    Route {
        description: None,
        previous_header: http::HeaderName::from_static("x-customer-id-previous"),
        pairwise: None,
        name: "profile".into(),
        methods: vec![Method::POST],
        matchers: None,
        networks: None,
        requirements: Requirements::default(),
        enforcement: Enforcement::Always,
        placement: Some(Placement::Header(http::HeaderName::from_static("x-customer-id"))),
        send_subject: false,
        backend: Arc::new(backend()),
        weighted: None,
        rate: None,
        body_limit: None,
        timeout: Duration::from_secs(1),
        retry: Retry::Never,
        retry_on: None,
        direct: None,
        metadata_address: None,
        errors: None,
        forward: Vec::new(),
        pass_unauthorized: false,
        content_types: Vec::new(),
        own_cookies: Vec::new(),
        session_cookie: None,
        websocket: None,
        stripped: Arc::new(stripped),
        request_fields: None,
        response_fields: None,
        security_headers: false,
        cors: None,
        response: None,
        allowed_in_path: Default::default(),
        rewrite: None,
        own_addresses: None,
    }
}

fn body(size: usize) -> anyhow::Result<Step> {
    let order = json!({ "id": 12345, "total": 12.5, "items": ["apples", "pears"], "paid": true });
    let orders = vec![order; size / 65];
    let text = json!({ "orders": orders, "customer": { "name": "Ada" } }).to_string();
    let pointer = Pointer::parse("/customer/id").map_err(|fault| anyhow!(fault))?;
    let identifier = deriver(Mode::Traceable)?.derive(US, "ada")?;
    Ok(Box::new(move || {
        let document = Document::parse(text.as_bytes(), &pointer)?;
        black_box((document.value(), document.with(identifier.as_str())));
        Ok(())
    }))
}

fn normal_path(text: &'static str) -> anyhow::Result<Step> {
    Ok(Box::new(move || {
        black_box(path::normal(black_box(text)).map_err(|fault| anyhow!("{fault:?}"))?);
        Ok(())
    }))
}

fn derive(mode: Mode) -> anyhow::Result<Step> {
    let deriver = deriver(mode)?;
    Ok(Box::new(move || {
        black_box(deriver.derive(US, black_box("ada.lovelace@example.com"))?);
        Ok(())
    }))
}
