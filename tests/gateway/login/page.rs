//! The login page: a real browser without and with JavaScript, light and dark, CSRF, rate limits.

use crate::harness::browser::Browser;
use crate::harness::customer::{by_cookie, member};
use crate::harness::login_page::*;
use crate::harness::*;
use crate::state::clock_skew::clock;

fn pages() -> (Backend, Gateway) {
    world_with(with_codes)
}

/// The text of the alert of a page.
#[track_caller]
fn alert(page: &Response) -> String {
    let text = page.text();
    let alert = text.split("role=\"alert\"").nth(1).unwrap_or_else(|| panic!("no alert: {text}"));
    alert.split(['>', '<']).nth(1).unwrap().to_owned()
}

/// The directives of the policy of a page.
fn policy(page: &Response) -> Vec<String> {
    page.header("Content-Security-Policy").unwrap().split("; ").map(str::to_owned).collect()
}

#[test]
fn a_form_of_another_browser_or_of_none_is_refused() {
    let (_backend, gateway) = pages();
    let (mine, theirs) = (OpenForm::open(&gateway, &query()), OpenForm::open(&gateway, &query()));
    assert_ne!(mine.cookie, theirs.cookie);
    let planted = OpenForm { cookie: theirs.cookie.clone(), ..mine.clone() };
    let refused = |request: Request| {
        let answer = request.send();
        assert_eq!((answer.status, answer.header("Location")), (400, None));
        assert!(!answer.text().contains("<form") && alert(&answer).contains("expired"), "{}", answer.text());
        let line = gateway.access_line(answer.header("X-Request-Id").unwrap());
        assert_eq!(line["refusal"], "login_form", "{line}");
    };
    refused(planted.filled(&gateway, ALICE.name, ALICE.secret));
    refused(mine.filled(&gateway, ALICE.name, ALICE.secret).drop_header("Cookie"));
    refused(mine.filled(&gateway, ALICE.name, ALICE.secret).replace("Cookie", "__Host-authorize=x"));
    for sealed in ["x", &mine.sealed[..mine.sealed.len() - 2], &format!("{}AA", mine.sealed)] {
        let wrong = OpenForm { sealed: sealed.to_owned(), ..mine.clone() };
        refused(wrong.filled(&gateway, ALICE.name, ALICE.secret));
    }
    // A code is no form, nor a form a code.
    let code = code(&gateway, &query(), ALICE);
    refused(OpenForm { sealed: code[4..].to_owned(), ..mine.clone() }.filled(&gateway, ALICE.name, ALICE.secret));
    let answer = redeem(&gateway, &format!("wgc_{}", mine.sealed)).send();
    assert_eq!(member(&answer, "error"), "invalid_grant");
    let answer = mine.filled(&gateway, ALICE.name, ALICE.secret).send();
    assert!(returned(&answer, "code").is_some());
}

#[test]
fn a_form_is_good_for_ten_minutes_and_a_code_for_one() {
    let backend = Backend::start();
    let config = with_codes(Config::new(&backend)).file("certs/identifier.key", &keys::key_file());
    let at = |more: &[(&str, std::path::PathBuf)]| {
        let files = std::sync::Arc::new(gateway::Workspace::new(&config));
        Gateway::start_with(files, config.signing_key.clone(), more)
    };
    let (now, minute, minutes) = (at(&[]), at(&clock("+61s")), at(&clock("+601s")));
    let form = OpenForm::open(&now, &query());
    let code = code(&now, &query(), ALICE);
    assert_eq!(member(&redeem(&minute, &code).send(), "error"), "invalid_grant");
    assert_eq!(form.filled(&minutes, ALICE.name, ALICE.secret).send().status, 400);
    redeem(&now, &code).send().ok();
    assert!(returned(&form.filled(&minute, ALICE.name, ALICE.secret).send(), "code").is_some());
}

#[test]
fn two_tabs_of_one_browser_can_log_in() {
    let (_backend, gateway) = pages();
    let first = OpenForm::open(&gateway, &query());
    let second = OpenForm::of(&authorize(&gateway, &query()).header("Cookie", &first.cookie).send().ok());
    assert_eq!(first.cookie, second.cookie);
    for form in [second, first] {
        assert!(returned(&form.filled(&gateway, ALICE.name, ALICE.secret).send(), "code").is_some());
    }
}

#[test]
fn no_other_page_can_frame_it_and_nothing_is_loaded_from_elsewhere() {
    let (_backend, gateway) = pages();
    let page = authorize(&gateway, &query()).send().ok();
    let policy = policy(&page);
    for directive in ["default-src 'none'", "base-uri 'none'", "frame-ancestors 'none'", "form-action 'self' https:"] {
        assert!(policy.iter().any(|known| known == directive), "{directive} in {policy:?}");
    }
    assert!(policy.iter().any(|directive| directive.starts_with("style-src 'sha256-")));
    for (name, value) in [
        ("X-Frame-Options", "DENY"),
        ("Referrer-Policy", "no-referrer"),
        ("Cache-Control", "no-store"),
        ("X-Content-Type-Options", "nosniff"),
        ("Content-Type", "text/html; charset=utf-8"),
    ] {
        assert_eq!(page.header(name), Some(value), "{name}");
    }
    let cookie = page.header("Set-Cookie").unwrap();
    for attribute in ["Path=/", "Secure", "HttpOnly", "SameSite=Lax", "Max-Age=600"] {
        assert!(cookie.contains(attribute), "{attribute} in {cookie}");
    }
    assert!(!page.text().contains("<script") && !page.text().contains("http"), "{}", page.text());
}

#[test]
fn nothing_that_a_caller_sends_becomes_markup() {
    let evil = "\"><script>alert(1)</script>'`&lt;";
    let (_backend, gateway) = world_with(|c| with_codes(c).set("/login/page", json!({"title": evil})));
    let mut pairs = with(with(query(), "state", evil), "scope", evil);
    pairs.extend([("login_hint", evil.to_owned()), ("ui_locales", evil.to_owned()), ("nonce", evil.to_owned())]);
    let page = authorize(&gateway, &pairs).send().ok();
    let again = OpenForm::of(&page).filled(&gateway, evil, "wrong").send();
    let fault = authorize(&gateway, &with(pairs, "client_id", evil)).send();
    for page in [&page, &again, &fault] {
        let text = page.text();
        assert!(!text.contains("<script") && !text.contains("alert(1)<") && !text.contains(evil), "{text}");
        assert!(page.lines.iter().all(|(_, value)| !value.contains("<script")));
    }
    assert!(again.text().contains("value=\"&quot;&gt;&lt;script&gt;"), "the name is kept: {}", again.text());
    assert_eq!(again.status, 401);
}

#[test]
fn a_wrong_password_and_an_unknown_name_look_the_same_and_the_form_goes_on() {
    let (_backend, gateway) = pages();
    let form = OpenForm::open(&gateway, &query());
    let wrong = form.filled(&gateway, ALICE.name, "wrong").send();
    let unknown = form.filled(&gateway, "alicf", "wrong").send();
    for answer in [&wrong, &unknown] {
        assert_eq!((answer.status, answer.header("Location")), (401, None));
        assert!(answer.header("WWW-Authenticate").is_some());
    }
    assert_eq!(alert(&wrong), alert(&unknown));
    assert!(!wrong.text().contains("value=\"wrong\""), "a password is not sent back");
    let plain = |page: &Response| {
        let sealed = OpenForm::of(page).sealed;
        page.text().replace(&sealed, "").replace("alicf", "alice")
    };
    assert_eq!(plain(&wrong), plain(&unknown));
    let answer = OpenForm::of(&wrong).filled(&gateway, ALICE.name, ALICE.secret).send();
    assert!(returned(&answer, "code").is_some());
    for (name, password) in [("", ""), (ALICE.name, ""), ("", ALICE.secret)] {
        let answer = form.filled(&gateway, name, password).send();
        assert_eq!((answer.status, alert(&answer).as_str()), (400, "Enter your username and your password."));
    }
    gateway.expect_metric("wicketgate_logins_total", &[("outcome", "login_wrong_password")], 1.0);
    gateway.expect_metric("wicketgate_logins_total", &[("outcome", "ok")], 1.0);
}

#[test]
fn failures_on_the_page_and_at_the_login_endpoint_are_counted_together() {
    let (_backend, gateway) = world_with(|c| with_codes(c).set("/login/attempts", json!({"free": 2, "delay": "5m"})));
    let form = OpenForm::open(&gateway, &query());
    gateway.login_request(ALICE.name, "wrong").send().expect(401, "401-04");
    assert_eq!(form.filled(&gateway, ALICE.name, "wrong").send().status, 401);
    assert_eq!(form.filled(&gateway, ALICE.name, "wrong").send().status, 401);
    let locked = form.filled(&gateway, ALICE.name, ALICE.secret).send();
    assert_eq!(locked.status, 429);
    assert!(locked.retry_after() > 200 && alert(&locked).contains("minutes"), "{}", alert(&locked));
    gateway.login_request(ALICE.name, ALICE.secret).send().expect(429, "429-02");
    // Others go on.
    assert!(returned(&form.filled(&gateway, BOB.name, BOB.secret).send(), "code").is_some());
}

#[test]
fn an_outage_of_the_companys_login_is_no_wrong_password() {
    let (backend, gateway) = world_with(|c| {
        with_codes(c)
            .without("/login/accounts/file")
            .set("/login/accounts/backend", json!("legacy"))
            .set("/login/accounts/path", json!("/sign-in"))
            .set("/login/accounts/subject", json!("/id"))
    });
    backend.on("/sign-in", Behaviour::status(500));
    let form = OpenForm::open(&gateway, &query());
    let answer = form.filled(&gateway, ALICE.name, ALICE.secret).send();
    assert_eq!(answer.status, 503);
    assert!(alert(&answer).contains("not available") && answer.retry_after() >= 1);
    backend.on("/sign-in", Behaviour::json(200, &json!({"id": "a-1"})));
    let answer = OpenForm::of(&answer).filled(&gateway, ALICE.name, ALICE.secret).send();
    let code = returned(&answer, "code").unwrap();
    gateway.get("/me/x").customer(&member(&redeem(&gateway, &code).send().ok(), "access_token")).send().ok();
}

#[test]
fn a_body_that_is_no_form_is_a_page_too() {
    let (_backend, gateway) = pages();
    for (request, status) in [
        (gateway.post(AUTHORIZE).json("{}"), 415),
        (gateway.post(AUTHORIZE).form("username=a&password=b"), 400),
        (gateway.post(AUTHORIZE).form("authorization=a&authorization=b"), 400),
        (gateway.post(&format!("{AUTHORIZE}?password=x")).form("authorization=a"), 400),
        (gateway.get(&format!("{AUTHORIZE}?password=x")), 400),
        (gateway.post(AUTHORIZE).form(&"a".repeat(9_000)), 413),
    ] {
        let answer = request.send();
        assert_eq!(answer.status, status, "{}", answer.text());
        assert!(answer.header("Content-Type").unwrap().starts_with("text/html") && !alert(&answer).is_empty());
    }
}

#[test]
fn a_client_that_lost_its_redirect_uri_gets_no_code_from_an_open_form() {
    let (_backend, gateway) = pages();
    let form = OpenForm::open(&gateway, &query());
    let changed = with_codes(Config::new(&_backend)).set("/clients/0/redirect_uris", json!(["https://app.test/new"]));
    gateway.reload(&changed, "reloaded");
    let answer = form.filled(&gateway, ALICE.name, ALICE.secret).send();
    assert_eq!((answer.status, answer.header("Location")), (400, None));
}

#[test]
fn where_logins_give_a_cookie_a_session_spares_the_form_and_ends_what_it_gave() {
    let (_backend, gateway) =
        world_with(|c| with_codes(c).cookies("both").set("/login/refresh", json!({"lifetime": "1h"})));
    let answer = OpenForm::open(&gateway, &query()).filled(&gateway, ALICE.name, ALICE.secret).send();
    let cookies = answer.all("Set-Cookie");
    let session = cookies.iter().find(|line| line.starts_with("__Host-session=")).unwrap();
    let session = session.split(';').next().unwrap();
    by_cookie(&gateway, session).send().ok();
    let first = redeem(&gateway, &returned(&answer, "code").unwrap()).send().ok();
    // The next client asks nobody.
    for prompt in ["", "none"] {
        let pairs = with(query_of(APP, "https://spa.test/cb"), "prompt", prompt);
        let answer = authorize(&gateway, &pairs).header("Cookie", session).send();
        let code = returned(&answer, "code").unwrap();
        let second =
            redeem_as(&gateway, &format!("client_id={APP}"), "https://spa.test/cb", &code, VERIFIER).send().ok();
        let [one, other] = [&first, &second].map(|answer| keys::decode(&member(answer, "access_token")).1);
        assert_eq!((&one["sub"], &one["sid"]), (&other["sub"], &other["sid"]));
        assert!(second.json().get("refresh_token").is_none(), "it ends with the session");
        gateway.get("/me/x").customer(&member(&second, "access_token")).send().ok();
    }
    for (name, value) in [("prompt", "login"), ("max_age", "10")] {
        let page = authorize(&gateway, &with(query(), name, value)).header("Cookie", session).send().ok();
        OpenForm::of(&page);
    }
    // Nobody is asked, and the session is no login of now.
    for age in ["0", "10", "100000"] {
        let pairs = with(with(query(), "prompt", "none"), "max_age", age);
        let answer = authorize(&gateway, &pairs).header("Cookie", session).send();
        assert_eq!(returned(&answer, "error").as_deref(), Some("login_required"), "{age}");
        assert_eq!(returned(&answer, "code"), None);
    }
    // Any program can listen at an address of this machine and call itself the app (RFC 8252 section 8.6).
    let local = query_of(APP, "http://127.0.0.1:51004/cb");
    OpenForm::of(&authorize(&gateway, &local).header("Cookie", session).send().ok());
    let answer = authorize(&gateway, &with(local, "prompt", "none")).header("Cookie", session).send();
    assert_eq!(returned(&answer, "error").as_deref(), Some("login_required"));
    assert_eq!(returned(&answer, "code"), None);
    let again = authorize(&gateway, &query()).header("Cookie", session).send();
    let unused = returned(&again, "code").unwrap();
    gateway
        .post("/auth/logout")
        .header("Sec-Fetch-Site", "same-origin")
        .header("Cookie", session)
        .send()
        .expect(204, "");
    gateway.get("/me/x").customer(&member(&first, "access_token")).send().expect(401, "401-03");
    assert_eq!(member(&redeem(&gateway, &unused).send(), "error"), "invalid_grant");
    let answer = authorize(&gateway, &with(query(), "prompt", "none")).header("Cookie", session).send();
    assert_eq!(returned(&answer, "error").as_deref(), Some("login_required"));
}

#[test]
fn a_stylesheet_that_would_leave_its_place_is_refused() {
    for (css, said) in [
        ("a{}</STYLE ><script>x</script>", "it would end the style"),
        ("a\u{0}", "it would end the style"),
        (&"a{}\n".repeat(20_000), "larger than 64 KiB"),
    ] {
        let backend = Backend::start();
        let config = with_codes(Config::new(&backend)).file("login.css", css);
        let config = config.set("/login/page", json!({"stylesheet": "login.css"}));
        let complained = gateway::Workspace::new(&config).fails(&["check"]);
        assert!(complained.contains("login.page.stylesheet") && complained.contains(said), "{complained}");
    }
}

/// The login page of an app that listens on a port of this machine, in a browser.
fn in_browser(gateway: &Gateway, app: &Backend) -> String {
    let pairs = query_of(APP, &format!("{}/cb", app.url()));
    format!("https://localhost:{}{AUTHORIZE}?{}", gateway.address.port(), encoded(&pairs))
}

/// Writes a picture of the page where `WICKETGATE_PICTURES` names a directory.
fn keep_picture(browser: &Browser, name: &str) {
    if let Ok(directory) = std::env::var("WICKETGATE_PICTURES") {
        std::fs::write(format!("{directory}/{name}.base64"), browser.picture()).unwrap();
    }
}

/// The contrast of two colours as a browser computes them (WCAG 2.2 section 1.4.3).
fn contrast(one: &str, other: &str) -> f64 {
    let luminance = |colour: &str| {
        let parts: Vec<f64> = colour
            .split(|c: char| !c.is_ascii_digit() && c != '.')
            .filter(|part| !part.is_empty())
            .map(|part| part.parse::<f64>().unwrap() / 255.0)
            .collect();
        let linear = |part: f64| if part <= 0.040_45 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) };
        0.2126 * linear(parts[0]) + 0.7152 * linear(parts[1]) + 0.0722 * linear(parts[2])
    };
    let (one, other) = (luminance(one), luminance(other));
    (one.max(other) + 0.05) / (one.min(other) + 0.05)
}

#[test]
fn a_browser_without_javascript_logs_in_by_keyboard() {
    let (_backend, gateway) = pages();
    let app = Backend::start();
    let browser = Browser::start(&json!({"profile.managed_default_content_settings.javascript": 2}), &[]);
    browser.open(&in_browser(&gateway, &app));
    assert_eq!(browser.label("#username"), "Username");
    assert_eq!(browser.label("#password"), "Password");
    // The first field has the focus.
    browser.press("alice\u{e004}wrong\u{e007}");
    eventually("the alert", || browser.has("[role=alert]"));
    assert_eq!(browser.text("[role=alert]"), "The username or the password is wrong.");
    assert_eq!(browser.property("#username", "value"), "alice");
    assert_eq!(browser.property("#password", "value"), "");
    // Now that of the password has it.
    browser.press(&format!("{}\u{e007}", ALICE.secret));
    let url = browser.arrives(&format!("{}/cb?code=wgc_", app.url()));
    assert!(url.contains("&state=s-1&iss="), "{url}");
    let code = url.split("code=").nth(1).unwrap().split('&').next().unwrap();
    let id = format!("client_id={APP}");
    let answer = redeem_as(&gateway, &id, &format!("{}/cb", app.url()), code, VERIFIER).send().ok();
    gateway.get("/me/x").customer(&member(&answer, "access_token")).send().ok();
    assert!(app.requests_for("/cb")[0].header("Referer").is_none());
}

#[test]
fn a_client_may_send_the_customer_on_to_another_site() {
    let (_backend, gateway) = pages();
    let (_other, home) = world();
    let app = Backend::start();
    let there = format!("https://localhost:{}/public/home", home.address.port());
    app.on("/cb", Behaviour::reply(302, &[("Location", &there)], b""));
    let browser = Browser::start(&json!({}), &[]);
    browser.open(&in_browser(&gateway, &app));
    browser.press(&format!("{}\u{e004}{}\u{e007}", ALICE.name, ALICE.secret));
    browser.arrives(&there);
}

#[test]
fn the_page_is_readable_in_light_and_dark_and_on_a_phone_and_its_own_style_is_in_force() {
    let picture = "data:image/svg+xml,%3Csvg%20xmlns='http://www.w3.org/2000/svg'%20width='20'%20height='20'%3E%3Crect%20width='20'%20\
                   height='20'%20fill='orange'/%3E%3C/svg%3E";
    let css = format!(
        "\u{feff}h1 {{ letter-spacing: 3px; }}\r\nmain::before {{ content: ''; display: block; height: 20px; background: \
         url(\"{picture}\") no-repeat; }}\r\n"
    );
    let page = json!({"title": "Log in to Example", "stylesheet": "login.css"});
    let (_backend, gateway) = world_with(|c| with_codes(c).file("login.css", &css).set("/login/page", page));
    let app = Backend::start();
    for (theme, arguments) in
        [("light", &[][..]), ("dark", &["--force-dark-mode", "--blink-settings=preferredColorScheme=0"][..])]
    {
        let browser = Browser::start(&json!({}), arguments);
        browser.open(&in_browser(&gateway, &app));
        assert_eq!(browser.evaluate("matchMedia('(prefers-color-scheme: dark)').matches"), json!(theme == "dark"));
        assert_eq!(browser.css("h1", "letter-spacing"), "3px", "{:?}", browser.console());
        keep_picture(&browser, &format!("{theme}-wide"));
        browser.press("alice\u{e004}wrong\u{e007}");
        eventually("the alert", || browser.has("[role=alert]"));
        let card = browser.css("main", "background-color");
        for (text, back) in [
            (browser.css("h1", "color"), card.clone()),
            (browser.css("[role=alert]", "color"), card.clone()),
            (browser.css("button", "color"), browser.css("button", "background-color")),
        ] {
            assert!(contrast(&text, &back) >= 4.5, "{theme}: {text} on {back}");
        }
        // The edges of fields (WCAG 2.2 section 1.4.11).
        assert!(contrast(&browser.css("#username", "border-top-color"), &card) >= 3.0, "{theme}");
        for width in [500, 320] {
            browser.resize(width, 700);
            let overflow = browser.evaluate("document.documentElement.scrollWidth - window.innerWidth");
            assert!(overflow.as_i64().unwrap() <= 0, "{theme} {width}: {overflow}");
        }
        keep_picture(&browser, &format!("{theme}-narrow"));
        let console = browser.console();
        let violations: Vec<_> = console.iter().filter(|line| line.contains("Content Security Policy")).collect();
        assert!(violations.is_empty(), "{violations:?}");
    }
}

#[test]
fn a_strange_page_can_neither_frame_the_form_nor_send_it_for_a_customer() {
    let (_backend, gateway) = pages();
    let (app, strange) = (Backend::start(), Backend::start());
    let target = in_browser(&gateway, &app);
    let attacker = OpenForm::open(&gateway, &query_of(APP, &format!("{}/cb", app.url())));
    let action = format!("https://localhost:{}{AUTHORIZE}", gateway.address.port());
    let frame = format!("<iframe id=f src='{}'></iframe>", target.replace('&', "&amp;"));
    let post = format!(
        "<form id=f method=post action='{action}'><input name=authorization value='{}'><input name=username value=bob>\
         <input name=password value='{}'><button>x</button></form>",
        attacker.sealed, BOB.secret
    );
    let html = |body: &str| Behaviour::reply(200, &[("Content-Type", "text/html")], body.as_bytes());
    strange.on("/frame", html(&frame));
    strange.on("/post", html(&post));
    let browser = Browser::start(&json!({}), &[]);
    browser.open(&format!("{}/frame", strange.url()));
    let refused = |line: &String| line.contains("frame-ancestors") || line.contains("X-Frame-Options");
    eventually("the frame is refused", || browser.console().iter().any(refused));
    // The customer has a cookie of a form of their own.
    browser.open(&target);
    browser.open(&format!("{}/post", strange.url()));
    browser.evaluate("document.querySelector('button').click()");
    browser.arrives(&action);
    eventually("the alert", || browser.has("[role=alert]"));
    assert!(browser.text("[role=alert]").contains("expired"));
    assert!(app.requests_for("/cb").is_empty());
}
