//! The status page in a real browser, its report and events, and the actions of the operator's token.

use std::collections::HashSet;

use crate::harness::browser::Browser;
use crate::harness::*;
use crate::state::replicas::replicas;

/// The operator's token of these tests.
const TOKEN: &str = "0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c";

const TAB: &str = "\u{e004}";
const ENTER: &str = "\u{e007}";
const ESCAPE: &str = "\u{e00c}";

fn with_token(config: Config) -> Config {
    config.set("/admin/token", json!({"file": "certs/operator.token"})).file("certs/operator.token", TOKEN)
}

/// The same with so many more routes.
fn with_routes(mut config: Config, count: usize) -> Config {
    for number in 0..count {
        config = config.add_route(json!({
            "name": format!("route-{number}"), "path": format!("/many/{number}/"), "methods": ["GET"], "public": true,
            "backend": "legacy",
        }));
    }
    config
}

fn report(gateway: &Gateway) -> Value {
    let response = gateway.admin("/status.json");
    assert_eq!(response.status, 200);
    response.json()
}

fn address(gateway: &Gateway) -> String {
    format!("http://{}/", gateway.admin)
}

/// The page in a browser, once events keep it current.
fn open(gateway: &Gateway) -> Browser {
    let browser = Browser::start(&json!({}), &[]);
    browser.open(&address(gateway));
    is_live(&browser);
    browser
}

#[track_caller]
fn is_live(browser: &Browser) {
    eventually("the page is live", || browser.text("#live").starts_with("Live"));
}

/// What the console says, but for recommendations to authors of forms.
fn faults(browser: &Browser) -> Vec<String> {
    browser.console().into_iter().filter(|line| !line.contains("[DOM]")).collect()
}

/// Keeps a picture where somebody wants to look at it.
fn keep_picture(browser: &Browser, name: &str) {
    if let Ok(directory) = std::env::var("WICKETGATE_PICTURES") {
        std::fs::write(format!("{directory}/{name}.base64"), browser.picture()).unwrap();
    }
}

fn operate(gateway: &Gateway, action: &str, body: &Value) -> Request {
    Request::new(gateway.admin, "POST", &format!("/operate/{action}")).json(&body.to_string())
}

fn answer_to(gateway: &Gateway, request: &Request) -> Response {
    request.send_on(&mut Connection::plain(gateway.admin))
}

#[track_caller]
fn operates(gateway: &Gateway, action: &str, body: &Value) -> Value {
    let response = answer_to(gateway, &operate(gateway, action, body).bearer(TOKEN));
    assert_eq!(response.status, 200, "{action}: {}", response.text());
    response.json()
}

#[test]
fn the_page_is_accessible_in_light_and_dark_and_on_a_phone_with_few_routes_and_with_a_thousand() {
    for count in [1, 1_000] {
        let (backend, gateway) = world_with(|c| with_routes(with_token(c), count));
        backend.on("/public/bad", Behaviour::Close);
        for path in ["/public/ok", "/key/x", "/nowhere", "/public/bad", "/many/0/x"] {
            gateway.get(path).send();
        }
        let browser = open(&gateway);
        for (theme, device, width, height) in [
            ("light", "wide", 1_280, 2_000),
            ("dark", "phone", 360, 740),
            ("light", "phone", 360, 740),
            ("dark", "wide", 1_280, 2_000),
        ] {
            browser.emulate_preference("prefers-color-scheme", theme);
            browser.emulate_size(width, height);
            let name = format!("{theme}-{device}-{count}");
            keep_picture(&browser, &name);
            let overflow = browser.evaluate("document.documentElement.scrollWidth - window.innerWidth");
            assert!(overflow.as_i64().unwrap() <= 0, "{name}: {overflow}");
            let findings = browser.accessibility_findings();
            assert!(findings.is_empty(), "{name}: {}", findings.join("\n"));
        }
        browser.evaluate("document.querySelector('a.explain').click()");
        eventually("the explanation", || browser.has("dialog[open] article"));
        let findings = browser.accessibility_findings();
        assert!(findings.is_empty(), "explanation: {}", findings.join("\n"));
        keep_picture(&browser, &format!("explanation-{count}"));
        let rows = browser.evaluate("document.querySelectorAll('#routes tbody tr').length").as_i64().unwrap();
        assert!(rows <= 100, "all of them are checked: {rows}");
        assert_eq!(faults(&browser), Vec::<String>::new());
    }
}

#[test]
fn a_phone_shows_everything_without_scrolling_sideways_and_the_way_through_it_in_two_lines() {
    let (_backend, gateway) = world_with(|c| {
        c.set("/backends/gone", json!({"servers": ["http://127.0.0.1:1"]}))
            .add_route(json!({"name": "gone", "path": "/gone/", "methods": ["GET"], "public": true, "backend": "gone"}))
    });
    gateway.get("/gone/x").header("X-Request-Id", &"long-id-of-a-caller-".repeat(5)).send();
    gateway.get("/key/x").send();
    let browser = open(&gateway);
    browser.emulate_size(390, 844);
    eventually("the backend", || browser.text("#unwell").contains("failing"));
    keep_picture(&browser, "phone-page");
    let number = |script: &str| browser.evaluate(script).as_i64().unwrap();
    assert!(number("document.querySelector('nav').offsetHeight") <= 80, "two lines");
    let why = "Math.round(document.querySelector('#unwell td.why').getBoundingClientRect().right)";
    assert!(number(why) <= 390, "why a server fails is on the screen");
    for (link, name) in [(0, "key"), (1, "gone")] {
        browser.evaluate(&format!("document.querySelectorAll('a.explain')[{link}].click()"));
        eventually("the explanation", || browser.has("dialog[open] article"));
        keep_picture(&browser, &format!("phone-dialog-{name}"));
        let wider =
            number("document.querySelector('dialog').scrollWidth - document.querySelector('dialog').clientWidth");
        assert!(wider <= 0, "{name}: {wider}");
        let findings = browser.accessibility_findings();
        assert!(findings.is_empty(), "{name}: {}", findings.join("\n"));
        browser.evaluate("document.querySelector('#close').click()");
    }
    browser.evaluate("document.querySelectorAll('a.explain')[0].click()");
    eventually("the explanation", || browser.has("dialog[open] article"));
    browser.emulate_size(1_280, 900);
    keep_picture(&browser, "wide-dialog");
    let nested = "[...document.querySelectorAll('dialog .scroll')].some((it) => it.scrollHeight > it.clientHeight + 1 && \
                  getComputedStyle(it).overflowY !== 'visible')";
    assert_eq!(browser.evaluate(nested), false, "one scroll bar is enough");
    assert!(number("document.querySelector('dialog').scrollWidth - document.querySelector('dialog').clientWidth") <= 0);
}

/// An explanation as a page.
fn explained(gateway: &Gateway, id: &str) -> Response {
    let asked = Request::new(gateway.admin, "GET", &format!("/refusals/{id}")).header("Accept", "text/html,*/*");
    answer_to(gateway, &asked)
}

/// What the page says at its top.
fn problems(gateway: &Gateway) -> String {
    let problems = report(gateway)["problems"].clone();
    problems
        .as_array()
        .unwrap()
        .iter()
        .filter(|it| it["serious"] == true)
        .map(|it| format!("{}\n", it["what"]))
        .collect()
}

#[test]
fn a_server_that_fails_is_a_problem_until_it_answers_again_and_so_is_an_issuer_without_keys() {
    let silent = "https://silent.partner.test";
    let (backend, gateway) = world_with(|c| {
        c.set("/backends/gone", json!({"servers": ["http://127.0.0.1:1"]}))
            .add_route(json!({"name": "gone", "path": "/gone/", "methods": ["GET"], "public": true, "backend": "gone"}))
            .set(
                "/trusted_issuers",
                json!([{"issuer": silent, "jwks": "http://127.0.0.1:1/jwks", "audiences": ["legacy-api"],
                        "algorithms": ["ES256"]}]),
            )
    });
    assert!(!problems(&gateway).contains("ackend"), "{}", problems(&gateway));
    gateway.get("/gone/x").header("X-Request-Id", "to-a-dead-one").send();
    eventually("the dead backend", || problems(&gateway).contains("Backend gone: server 127.0.0.1:1 fails: "));
    assert!(problems(&gateway).contains("refused"), "why: {}", problems(&gateway));
    eventually("the issuer", || problems(&gateway).contains("The last try, at 20"));
    assert!(problems(&gateway).contains(&format!("No keys of {silent}")), "{}", problems(&gateway));
    let page = gateway.admin("/").text();
    let unwell = page.split("id=\"unwell\"").nth(1).unwrap().split("</section>").next().unwrap();
    for part in ["failing", "gone", silent, "its only server fails"] {
        assert!(unwell.contains(part), "{part}: {unwell}");
    }
    assert!(!unwell.contains("circuit closed") && !unwell.contains("legacy"), "{unwell}");
    let place = |id: &str| page.find(&format!("<section id=\"{id}\"")).unwrap();
    assert!(place("unwell") < place("recent") && place("recent") < place("refusals"));
    assert!(place("refusals") < place("traffic") && place("traffic") < place("routes"));
    let text = explained(&gateway, "to-a-dead-one").text();
    assert!(text.contains("<dt>Backend</dt><dd><code>gone</code>"), "{text}");
    assert!(text.contains("<dt>Server</dt><dd>127.0.0.1:1: connection refused") && !text.contains("<dt>Saw"), "{text}");

    // One answer of 5xx is the business of the application, some in a row are not, and the next good one ends it.
    backend.on("/public/bad", Behaviour::status(503));
    gateway.get("/public/bad").send();
    assert!(!problems(&gateway).contains("legacy"), "{}", problems(&gateway));
    for _ in 0..4 {
        gateway.get("/public/bad").send();
    }
    eventually("the failing backend", || problems(&gateway).contains("Backend legacy: server "));
    gateway.get("/public/ok").send().ok();
    eventually("it is well again", || !problems(&gateway).contains("legacy"));
    assert!(problems(&gateway).contains("Backend gone"), "nobody has reached that one");
}

#[test]
fn an_explanation_says_what_refused_before_anything_else_and_nothing_twice() {
    let (_backend, gateway) = world();
    gateway.get("/key/x").header("X-Request-Id", "without-a-key-0001").send();
    gateway.post("/nowhere").header("X-Request-Id", "without-a-route-02").send();
    eventually("both", || report(&gateway)["recent"].as_array().unwrap().len() == 2);
    assert_eq!(report(&gateway)["refusals"][0]["word"], "no_route", "of as many each the latest");
    (0..2).for_each(|_| drop(gateway.get("/key/y").send()));
    eventually("most first", || report(&gateway)["refusals"][0]["word"] == "api_key_missing");
    let text = explained(&gateway, "without-a-key-0001").text();
    let place = |part: &str| text.find(part).unwrap_or_else(|| panic!("{part}: {text}"));
    assert!(place("<strong>Cause:") < place("<dt>What refused</dt><dd><code>api_key</code>"));
    assert!(place("<dt>What refused") < place("<dt>Wanted") && place("<dt>Wanted") < place("<dt>Saw"));
    assert!(place("<dt>Place in gateway.yaml</dt><dd><code>/routes/") < place("<strong>To do:"));
    assert!(place("<strong>To do:") < place("checks passed before</summary>") && !text.contains("Here:"));
    assert!(!text.contains('`'), "{text}");
    let page = gateway.admin("/").text();
    assert!(page.contains("address 127.0.0.1") && !page.contains('`'), "{page}");
    assert!(page.contains("<code>without-a-key-0001</code>"));
    // A part of an id is enough where only one has it.
    for part in ["without-a-key", "key-0001", "ithout-a-key-0001"] {
        assert_eq!(explained(&gateway, part).status, 200, "{part}");
    }
    for unknown in ["without-a-", "y-0001", "%3Cscript%3E-unknown"] {
        let answer = explained(&gateway, unknown);
        assert_eq!(
            (answer.status, answer.header("Content-Type")),
            (404, Some("text/html; charset=utf-8")),
            "{unknown}"
        );
        assert!(answer.text().contains("last 1,024 refusals") && !answer.text().contains("<script>"), "{unknown}");
        assert_eq!(gateway.admin(&format!("/refusals/{unknown}")).header("Content-Type"), Some("application/json"));
    }
}

#[test]
fn of_many_routes_those_with_traffic_are_shown_and_all_where_they_are_asked_for() {
    let (_backend, gateway) = world_with(|c| with_routes(c, 300));
    gateway.get("/many/299/x").send().ok();
    let rows = |page: &str| page.split("id=\"routes\"").nth(1).unwrap().split("</section>").next().unwrap().to_owned();
    eventually("the route with traffic", || rows(&gateway.admin("/").text()).contains("route-299"));
    let few = rows(&gateway.admin("/").text());
    assert_eq!(few.matches("<tr").count(), 101, "{few}");
    assert!(few.contains("/?routes=all"));
    let all = rows(&gateway.admin("/?routes=all").text());
    assert!(all.matches("<tr").count() > 300 && !all.contains("data-section"), "events would take them away");
    assert!(report(&gateway)["routes"].as_array().unwrap().len() > 300);
}

#[test]
fn a_refusal_is_explained_by_keyboard_alone_and_the_focus_comes_back() {
    let (_backend, gateway) = world();
    let id = gateway
        .get("/key/x")
        .header("X-Request-Id", "told-by-a-caller")
        .send()
        .header("X-Request-Id")
        .unwrap()
        .to_owned();
    let browser = open(&gateway);
    let focused = |what: &str| browser.evaluate(&format!("document.activeElement.{what}"));
    let is_there = || focused("className") == "explain";
    for _ in 0..60 {
        if is_there() {
            break;
        }
        browser.press(TAB);
    }
    assert!(is_there(), "no Tab led to a refusal: {}", focused("outerHTML"));
    let label = browser.label("a.explain");
    assert!(label.contains("Explain") && label.contains(&id), "{label}");
    browser.press(ENTER);
    eventually("the explanation", || focused("id") == "explained-title");
    let text = browser.text("#explanation");
    for part in ["api_key_missing", &id, "key", "Cause:", "To do:"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    browser.press(ESCAPE);
    eventually("the focus is back", || !browser.has("dialog[open]") && is_there());
    // Events replace the row meanwhile, and the focus stays.
    gateway.get("/key/y").send();
    eventually("another row", || browser.evaluate("document.querySelectorAll('a.explain').length") == 2);
    assert!(is_there() && focused("dataset.key").as_str().unwrap().starts_with(&id));
    // By the id that a caller tells.
    browser.evaluate("document.querySelector('#find input').focus()");
    browser.press(&format!("{id}{ENTER}"));
    eventually("the explanation", || focused("id") == "explained-title" && browser.text("#explanation").contains(&id));
    browser.press(ESCAPE);
    browser.evaluate("document.querySelector('#find input').value = '', document.querySelector('#find input').focus()");
    browser.press(&format!("nobody-has-this{ENTER}"));
    eventually("what is kept", || browser.text("#explanation").contains("keeps its last 1,024 refusals"));
    let unexpected = faults(&browser).into_iter().filter(|line| !line.contains("/refusals/nobody-has-this"));
    assert_eq!(unexpected.collect::<Vec<_>>(), Vec::<String>::new());
}

#[test]
fn events_change_the_numbers_and_the_verdict_of_an_open_page() {
    let (backend, gateway) =
        world_with(|c| c.set("/backends/legacy/circuit_breaker", json!({"failures": 2, "pause": "1m"})));
    let browser = open(&gateway);
    assert!(browser.text("#verdict").contains("Nothing is wrong"), "{}", browser.text("#verdict"));
    let before = browser.text("[data-section=traffic]");
    backend.stop();
    for _ in 0..4 {
        gateway.get("/public/x").send();
    }
    eventually("another number", || browser.text("[data-section=traffic]") != before);
    eventually("the verdict", || {
        browser.text("#verdict").contains("Backend legacy gets no requests, its circuit is open")
    });
    let row = browser.text("#backends tr.bad");
    assert!(row.contains("circuit open") && row.contains("next trial"), "{row}");
    assert!(browser.evaluate("document.title").as_str().unwrap().starts_with('('));
    // Only the routes that are asked for.
    assert_eq!(browser.evaluate("document.querySelectorAll('#routes tbody tr:not([hidden])').length"), 5);
    browser.evaluate("document.querySelector('#filter input').focus()");
    browser.press("publ");
    assert_eq!(browser.evaluate("document.querySelectorAll('#routes tbody tr:not([hidden])').length"), 1);
    drop(gateway);
    eventually("the page says that it is old", || browser.text("#live").starts_with("Not live"));
}

#[test]
fn nothing_that_a_file_or_a_caller_says_becomes_markup() {
    let evil = "<script>document.title='owned'</script>\"'&<img src=x onerror=alert(1)>";
    let (_backend, gateway) = world_with(|c| {
        let backend = c.yaml["backends"]["legacy"].clone();
        let evil_route =
            json!({"name": evil, "path": "/evil/", "methods": ["GET"], "require": ["api_key"], "backend": evil});
        c.set(&format!("/backends/{}", evil.replace('/', "")), backend.clone())
            .add_route(json!({"name": evil, "path": "/evil/", "methods": ["GET"], "require": ["api_key"], "backend": evil.replace('/', "")}))
            .set("/routes/0/name", evil_route["name"].clone())
            .without("/routes/5")
            .set("/api_keys/0/routes", json!(["key"]))
            .set("/api_keys/1/routes", json!(["key"]))
            .set("/api_keys/2/routes", json!(["key"]))
    });
    for id in ["<b>x</b>", "a\"b", "ok-1"] {
        gateway.post("/account/x").header("X-Request-Id", id).send();
    }
    let page = gateway.admin("/").text();
    assert!(!page.contains("<img") && !page.contains("<script>document") && page.contains("&lt;script&gt;"), "{page}");
    let browser = open(&gateway);
    eventually("the name as text", || browser.text("#routes").contains(evil));
    assert_eq!(browser.evaluate("document.querySelectorAll('img, script:not([src])').length"), 0);
    assert!(browser.evaluate("document.title").as_str().unwrap().ends_with("wicketgate"));
    assert_eq!(faults(&browser), Vec::<String>::new());
}

#[test]
fn the_page_is_useful_without_script_and_loads_nothing_from_elsewhere() {
    let (_backend, gateway) = world();
    gateway.get("/key/x").header("X-Request-Id", "seen-1").send();
    eventually("the refusal", || report(&gateway)["recent"][0]["request_id"] == "seen-1");
    let page = gateway.admin("/");
    for (name, value) in [
        ("Content-Type", "text/html; charset=utf-8"),
        ("X-Content-Type-Options", "nosniff"),
        ("Referrer-Policy", "no-referrer"),
        ("X-Frame-Options", "DENY"),
        ("Cache-Control", "no-store"),
        (
            "Content-Security-Policy",
            "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; base-uri 'none'; \
             form-action 'none'; frame-ancestors 'none'",
        ),
    ] {
        assert_eq!(page.header(name), Some(value), "{name}");
    }
    let text = page.text();
    for part in ["profile", "client, customer, API key", "legacy", "api_key_missing", "/refusals/seen-1?at=", "current"]
    {
        assert!(text.contains(part), "{part}");
    }
    for tag in ["href=\"http", "src=\"http", "style=", "onclick", "<form data-action"] {
        assert!(!text.contains(tag), "{tag}");
    }
    let explained = Request::new(gateway.admin, "GET", "/refusals/seen-1").header("Accept", "text/html,*/*");
    assert!(answer_to(&gateway, &explained).text().contains("<article>"));
    let explained = gateway.admin("/refusals/seen-1").json();
    assert_eq!((&explained["refusal"], &explained["status"]), (&json!("api_key_missing"), &json!(403)));
    assert_eq!(gateway.admin("/refusals/unknown").status, 404);
    for path in ["/status.css", "/status.js", "/status.svg", "/status.json"] {
        assert_eq!(gateway.admin(path).status, 200, "{path}");
        let other = Request::new(gateway.admin, "GET", path).replace("Host", "evil.example");
        assert_eq!(answer_to(&gateway, &other).status, 421, "{path}");
    }
}

#[test]
fn of_two_requests_with_one_id_each_is_explained() {
    let (_backend, gateway) = world();
    for path in ["/key/x", "/nowhere"] {
        gateway.get(path).header("X-Request-Id", "twice").send();
    }
    eventually("both", || report(&gateway)["recent"].as_array().unwrap().len() == 2);
    let recent = report(&gateway)["recent"].clone();
    let words: HashSet<String> = (0..2)
        .map(|number| {
            let explained = gateway.admin(&format!("/refusals/twice?at={}", recent[number]["time_ms"])).json();
            assert_eq!(explained["refusal"], recent[number]["word"]);
            explained["refusal"].as_str().unwrap().to_owned()
        })
        .collect();
    assert_eq!(words.len(), 2);
}

#[test]
fn viewers_of_events_are_bounded_and_keep_nobody_else_out() {
    let (_backend, gateway) = world();
    let mut viewers: Vec<Connection> = (0..20).map(|_| Connection::plain(gateway.admin)).collect();
    for viewer in &mut viewers {
        viewer.send(b"GET /status/events HTTP/1.1\r\nHost: localhost\r\n\r\n");
    }
    let event = Request::new(gateway.admin, "GET", "/status/events");
    eventually("too many", || event.try_on(&mut Connection::plain(gateway.admin)).is_ok_and(|it| it.status == 503));
    assert_eq!(gateway.admin("/metrics").status, 200);
    assert_eq!(gateway.admin("/").status, 200);
    drop(viewers);
    let browser = Browser::start(&json!({}), &[]);
    browser.open(&address(&gateway));
    is_live(&browser);
}

#[test]
fn without_a_token_in_the_configuration_the_page_only_shows() {
    let (_backend, gateway) = world();
    let asked = operate(&gateway, "reload", &json!({}));
    for request in [asked.clone(), asked.clone().bearer(TOKEN), asked.bearer("")] {
        assert_eq!(answer_to(&gateway, &request).status, 404);
    }
    for path in ["/", "/status.json", "/refusals/x", "/metrics"] {
        let post = Request::new(gateway.admin, "POST", path).json("{}");
        assert_eq!(answer_to(&gateway, &post).status, 405, "{path}");
    }
    assert_eq!(report(&gateway)["operable"], false);
}

#[test]
fn only_the_operators_token_acts_and_no_other_site_can_use_it() {
    let (_backend, gateway) = world_with(with_token);
    let asked = || operate(&gateway, "reload", &json!({}));
    let status = |request: &Request| answer_to(&gateway, request).status;
    assert_eq!(status(&asked()), 401);
    let longer = format!("{TOKEN}0");
    for wrong in ["", &TOKEN[1..], &longer, &TOKEN.to_uppercase()] {
        let answer = answer_to(&gateway, &asked().bearer(wrong));
        assert_eq!((answer.status, answer.header("WWW-Authenticate")), (401, Some("Bearer")), "{wrong}");
    }
    assert_eq!(status(&asked().bearer(TOKEN).bearer(TOKEN)), 401, "twice");
    assert_eq!(status(&asked().header("Authorization", &format!("Basic {TOKEN}"))), 401);
    assert_eq!(status(&asked().header("Cookie", &format!("token={TOKEN}"))), 401);
    for site in ["cross-site", "same-site"] {
        assert_eq!(status(&asked().bearer(TOKEN).header("Sec-Fetch-Site", site)), 403, "{site}");
    }
    assert_eq!(status(&asked().bearer(TOKEN).replace("Host", "evil.example")), 421);
    assert_eq!(status(&asked().bearer(TOKEN).replace("Content-Type", "text/plain")), 415);
    let get = Request::new(gateway.admin, "GET", "/operate/reload").bearer(TOKEN);
    assert_eq!(status(&get), 405);
    assert_eq!(status(&operate(&gateway, "shutdown", &json!({})).bearer(TOKEN)), 404);
    assert_eq!(gateway.metric("wicketgate_reloads_total", &[]), 0.0, "nothing was done");
    // Whoever guesses does not lock the operator out.
    assert_eq!(status(&asked().bearer(TOKEN).header("Sec-Fetch-Site", "same-origin")), 200);
    gateway.expect_metric("wicketgate_reloads_total", &[("outcome", "ok")], 1.0);
    for lines in [gateway.stderr.all(), gateway.stdout.all()] {
        assert!(!lines.iter().any(|line| line.contains(&TOKEN[1..])), "the token is in no log");
    }
    assert!(!gateway.admin("/").text().contains(&TOKEN[1..]) && !gateway.admin("/status.json").text().contains(TOKEN));
}

#[test]
fn the_operator_ends_sessions_revokes_and_clears_lockouts() {
    let attempts = json!({"free": 1, "free_per_address": 50, "delay": "5m"});
    let (_backend, gateway) = world_with(|c| with_token(c).cookies("both").set("/login/attempts", attempts));
    let customer = gateway.customer_token();
    let me = || gateway.get("/me/x").customer(&customer).send().status;
    assert_eq!(me(), 200);
    let sessions: Value = serde_json::from_str(&gateway.files.succeeds(&["sessions", "list", "--json"])).unwrap();
    let id = &sessions[0]["id"];
    assert_eq!(operates(&gateway, "end_session", &json!({"id": id}))["ended"], *id);
    assert_eq!(me(), 401);
    let again = answer_to(&gateway, &operate(&gateway, "end_session", &json!({"id": id})).bearer(TOKEN));
    assert_eq!(again.status, 404);

    let system = || gateway.get("/system/x").bearer(&gateway.client_token()).send().status;
    assert_eq!(system(), 200);
    operates(&gateway, "revoke", &json!({"kind": "client", "name": CLIENT.name}));
    assert_eq!(system(), 401);
    for refused in [json!({"kind": "token", "name": customer}), json!({"kind": "client", "name": "nobody"}), json!([])]
    {
        let answer = answer_to(&gateway, &operate(&gateway, "revoke", &refused).bearer(TOKEN));
        assert!(matches!(answer.status, 400 | 404), "{refused}: {}", answer.status);
        assert!(!answer.text().contains(&customer), "no token is repeated");
    }

    for _ in 0..2 {
        gateway.login_request(BOB.name, "wrong").send();
    }
    gateway.login_request(BOB.name, BOB.secret).send().expect_one_of(&[429]);
    let cleared = operates(&gateway, "clear_attempts", &json!({"kind": "login", "name": BOB.name}));
    assert!(cleared["cleared"].as_u64().unwrap() > 0, "{cleared}");
    gateway.login_request(BOB.name, BOB.secret).send().ok();
    let acted =
        |action: &str| gateway.stderr.wait(|line| line["action"] == action && line["outcome"] == "done").is_some();
    assert!(acted("end_session") && acted("revoke") && acted("clear_attempts"));
    assert!(!gateway.stderr.all().iter().any(|line| line.contains(BOB.name)), "no name of a person is logged");
    let audit = || std::fs::read_to_string(gateway.files.path.join("data/audit.jsonl")).unwrap_or_default();
    eventually("the audit log has what each action was about", || {
        let text = audit();
        let mut lines = text.lines().filter(|line| line.contains("operator_action") && line.contains("client_address"));
        let about =
            [format!("\"ended\":{id}"), format!("\"revoked\":[\"{}\"]", CLIENT.name), "\"cleared\":".to_owned()];
        let lines: Vec<&str> = lines.by_ref().collect();
        about.iter().all(|about| lines.iter().any(|line| line.contains(about)))
    });
    assert!(!audit().contains(BOB.name), "no name of a person is in the audit log");
}

#[test]
fn the_page_acts_with_a_token_that_it_keeps_nowhere() {
    let (_backend, gateway) = world_with(with_token);
    let browser = open(&gateway);
    let reload = |token: &str| {
        browser.evaluate("document.querySelector('#token').value = '', document.querySelector('#token').focus()");
        browser.press(token);
        browser.evaluate("document.querySelector('[data-action=reload] button').focus()");
        browser.press(ENTER);
    };
    reload("wrong");
    eventually("the refusal", || browser.text("#outcome").starts_with("Not done"));
    reload(TOKEN);
    eventually("the outcome", || browser.text("#outcome").starts_with("Done"));
    gateway.expect_metric("wicketgate_reloads_total", &[("outcome", "ok")], 1.0);
    eventually("the reload on the page", || browser.text("#reloads").contains("applied"));
    let kept = "[localStorage.length, sessionStorage.length, document.cookie, location.href.includes('0f1e')]";
    assert_eq!(browser.evaluate(kept), json!([0, 0, "", false]));
    browser.open(&address(&gateway));
    assert_eq!(browser.property("#token", "value"), "");
}

#[test]
fn a_reload_that_failed_stands_on_the_page_with_its_reason() {
    let backend = Backend::start();
    let config = Config::new(&backend);
    let gateway = Gateway::start(&config);
    gateway.files.configure(&config.clone().set("/routes/0/backend", json!("nowhere")));
    gateway.hup("reload failed");
    let report = report(&gateway);
    assert_eq!(report["reloads"][0]["outcome"], "failed");
    assert!(report["reloads"][0]["fault"].as_str().unwrap().contains("nowhere"), "{report}");
    assert!(gateway.admin("/").text().contains("The last reload has failed"));
}

#[test]
fn replicas_that_share_the_state_know_each_other() {
    let redis = RedisServer::start();
    let world = replicas(2, &redis, |c| c);
    for gateway in &world.gateways {
        eventually("the other one", || {
            report(gateway)["state"]["replicas"].as_array().is_some_and(|all| all.len() == 1)
        });
        let state = report(gateway)["state"].clone();
        assert!(!state["replicas"][0]["host"].as_str().unwrap().is_empty(), "{state}");
        assert!(gateway.admin("/").text().contains("Other replicas that share the state"));
    }
}

#[test]
fn check_finds_a_token_that_is_short_and_warns_of_one_in_the_open() {
    let backend = Backend::start();
    let check = |config: Config| gateway::Workspace::new(&config).run(&["check"]);
    let (code, _, complained) = check(with_token(Config::new(&backend)));
    assert_eq!((code, complained.as_str()), (0, ""));
    for short in ["0123456789abcdef0123456789abcde", "", &"a".repeat(64), &format!("{TOKEN} é")] {
        let (code, _, complained) = check(with_token(Config::new(&backend)).file("certs/operator.token", short));
        assert!(code == 1 && complained.contains("admin.token"), "{short}: {complained}");
        assert!(short.is_empty() || !complained.contains(short), "the token is not shown");
    }
    let open = with_token(Config::new(&backend)).set("/admin/address", json!("0.0.0.0:9900"));
    let (code, _, complained) = check(open);
    assert!(code == 0 && complained.contains("warning") && complained.contains("admin.token"), "{complained}");
}
