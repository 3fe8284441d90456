//! Tomcat, as a backend.

use std::collections::BTreeMap;

use super::{
    Read, before, identifier, only_authenticated_calls_arrive, only_our_identifier_arrives, statuses, without_gateway,
};
use crate::harness::neighbour::Neighbour;
use crate::harness::*;

/// Targets that lead Tomcat to /admin/x, out of the area of the route /me/.
const WAYS_OUT: [&str; 12] = [
    "/me/../admin/x",
    "/me/x/../../admin/x",
    "/me/..;/admin/x",
    "/me/..;a=b/admin/x",
    "/me/.;/..;/admin/x",
    "/me;v=1/../admin/x",
    "/me/x;y/..;z/..;/admin/x",
    "/me/%2e%2e/admin/x",
    "/me/%2E%2e;x/admin/x",
    "/me/..%2fadmin/x",
    "/me/%2e%2e%2Fadmin/x",
    "//admin/x",
];

#[test]
fn tomcat_reads_only_our_identifier_and_no_path_leads_it_out_of_the_area_of_a_route() {
    let tomcat = Neighbour::tomcat();
    let read =
        without_gateway(&tomcat, |request| request.header("X-CUSTOMER-id", "victim").header("X-Customer-Id", "own"));
    assert_eq!(read.all("one"), ["victim"], "Java takes the first of two, in any letter case");
    let gateway = before(&tomcat, |config| config.route("me", "allow_in_path", json!(["semicolon", "encoded_slash"])));
    only_our_identifier_arrives(&gateway, "one");
    only_our_identifier_arrives(&gateway, "header.x-customer-id");
    only_authenticated_calls_arrive(&tomcat, &gateway);
    let token = gateway.customer_token();
    for target in WAYS_OUT {
        let read = without_gateway(&tomcat, |request| Request { target: target.to_owned(), ..request });
        assert_eq!(read.all("path"), ["/admin/x"], "{target}");
        gateway.get(target).customer(&token).send().expect_one_of(&[400, 404]);
    }
    // What the route allows is read as what it was matched as.
    for (target, path) in [
        ("/me/x;jsessionid=0123456789ABCDEF", "/me/x"),
        ("/me/x;a=b/y;c", "/me/x/y"),
        ("/me/documents%2F1%2f2", "/me/documents/1/2"),
        ("/me/a%3bb", "/me/a;b"),
        ("/me/caf%c3%a9", "/me/caf\u{e9}"),
    ] {
        let read = Read::of(gateway.get(target).customer(&token).send());
        assert_eq!(read.all("path"), [path], "{target}: {}", read.text);
    }
    let outside = tomcat.requests().iter().filter(|line| line.contains("admin")).count();
    assert_eq!(outside, WAYS_OUT.len(), "only those that came without the gateway: {:?}", tomcat.requests());
}

#[test]
fn sessions_pieces_and_redirects_of_tomcat_pass_and_no_post_is_lost_when_it_ends_connections() {
    let tomcat = Neighbour::tomcat();
    let gateway = before(&tomcat, |config| config.route("me", "allow_in_path", json!(["semicolon"])));
    let (token, own) = (gateway.customer_token(), identifier(&gateway));
    let first = gateway.post("/me/session").customer(&token).json("{}").send().ok();
    let cookie = first.header("Set-Cookie").unwrap().to_owned();
    let read = Read::of(first);
    let id = read.all("session")[0].to_owned();
    assert_eq!(read.all("is_new"), ["true"]);
    assert_eq!(cookie, format!("JSESSIONID={id}; Path=/; HttpOnly"));
    let again = gateway.get("/me/session").customer(&token).header("Cookie", &format!("a=b; JSESSIONID={id}"));
    let read = Read::of(again.send());
    assert_eq!((read.all("session"), read.all("is_new")), (vec![id.as_str()], vec!["false"]));
    assert_eq!(read.all("one"), [own.as_str()]);
    let pieces = gateway.get("/me/pieces").customer(&token).send().ok();
    assert_eq!(pieces.all("Transfer-Encoding"), ["chunked"]);
    assert_eq!(Read::of(pieces).all("piece"), ["0", "1", "2"]);
    for host in ["api.test", "api.test:8443"] {
        let redirect = gateway.get("/me/redirect").customer(&token).replace("Host", host).send().expect(302, "");
        assert_eq!(redirect.header("Location"), Some(format!("https://{host}/me/elsewhere").as_str()));
    }
    // It ends a connection after 100 requests.
    assert_eq!(statuses(&gateway, "POST", 150), BTreeMap::from([(200, 600)]));
}

#[test]
fn a_context_of_tomcat_has_the_path_that_callers_know_in_its_redirects_and_the_cookie_of_its_sessions() {
    let tomcat = Neighbour::tomcat();
    for (rewrite, seen) in [
        (json!({"strip_prefix": "/me", "add_prefix": "/shop"}), "/shop/session"),
        (json!({"strip_prefix": "/me"}), "/session"),
    ] {
        let gateway = before(&tomcat, |config| config.route("me", "rewrite", rewrite));
        let token = gateway.customer_token();
        let get = |target: &str| gateway.get(target).customer(&token).replace("Host", "api.test");
        let first = get("/me/session").send().ok();
        let cookie = first.header("Set-Cookie").unwrap().to_owned();
        let read = Read::of(first);
        let id = read.all("session")[0];
        assert_eq!((read.all("is_new"), read.all("uri")), (vec!["true"], vec![seen]));
        assert_eq!(cookie, format!("JSESSIONID={id}; Path=/me; HttpOnly"));
        let again = Read::of(get("/me/session").header("Cookie", &format!("JSESSIONID={id}")).send());
        assert_eq!((again.all("session"), again.all("is_new")), (vec![id], vec!["false"]));
        let redirect = get("/me/redirect").send().expect(302, "");
        assert_eq!(redirect.header("Location"), Some("https://api.test/me/elsewhere"));
    }
}

const FORM: &str = "application/x-www-form-urlencoded";
/// `customer_id=victim` in UTF-16, and in EBCDIC, of which Tomcat decodes each side by itself.
const UTF_16: &str = "%00c%00u%00s%00t%00o%00m%00e%00r%00_%00i%00d=%00v%00i%00c%00t%00i%00m";
const EBCDIC: &str = "%83%A4%A2%A3%96%94%85%99%6D%89%84=%A5%89%83%A3%89%94";

/// Query, body and its type, of which Java makes the parameter `customer_id` with the value `victim`.
const PARAMETERS: [(&str, &str, &str); 10] = [
    ("customer_id=victim", "", FORM),
    ("", "customer_id=victim", FORM),
    ("cu%73tomer%5Fid=victim", "a=1", FORM),
    ("customer_id=victim&customer_id=own", "a=1", FORM),
    ("a=1", "customer_id=victim&customer_id=own", FORM),
    ("customer_id=victim", "customer_id=own", FORM),
    ("a=1", UTF_16, "application/x-www-form-urlencoded; charset=utf-16"),
    ("a=1", EBCDIC, "application/x-www-form-urlencoded; charset=\"ibm037\""),
    (UTF_16, "<a/>", "text/xml; charset=utf-16"),
    ("a=1&%1B(Bcustomer_id=victim", "<a/>", "text/xml; charset=iso-2022-jp"),
];

#[test]
fn java_reads_only_our_identifier_with_get_parameter() {
    let tomcat = Neighbour::tomcat();
    let posted = |request: Request, query: &str, body: &str, kind: &str| {
        let target = format!("/me/parameters?{query}");
        Request { method: "POST".into(), target, ..request.header("Content-Type", kind).body(body) }
    };
    for (query, body, kind) in PARAMETERS {
        let read = without_gateway(&tomcat, |request| posted(request, query, body, kind));
        assert_eq!(read.all("parameter"), ["victim"], "{query} {body} {kind}");
    }
    for place in ["query", "form"] {
        let gateway = before(&tomcat, |config| config.route("me", "identifier", json!({place: "customer_id"})));
        let (token, own) = (gateway.customer_token(), identifier(&gateway));
        let customer = || gateway.get("/").customer(&token);
        for (query, body, kind) in PARAMETERS {
            for query in [query.replace("own", &own), format!("{query}&customer_id={own}")] {
                posted(customer(), &query, &body.replace("own", &own), kind).send().expect_one_of(&[400, 403, 415]);
                // The type of no body at all. Java reads no form of a GET, and so nobody's.
                let get = gateway.get(&format!("/me/parameters?{UTF_16}")).customer(&token);
                let answer = get.header("Content-Type", kind).send().expect_one_of(&[200, 400, 403, 415]);
                assert!(!answer.text().contains("parameter=victim"), "{kind}: {}", answer.text());
            }
        }
        let mine = format!("customer_id={own}&b=%e9");
        let in_place = if place == "query" { (mine.as_str(), "a=1") } else { ("a=1", mine.as_str()) };
        for (query, body) in [("", ""), ("a=1", "a=1"), in_place] {
            let request = posted(customer(), query, body, FORM);
            let read = Read::of(request.header("Cookie", "customer_id=victim").send());
            assert_eq!((read.all("parameter"), read.all("parameters")), (vec![own.as_str()], vec![own.as_str()]));
        }
        if place == "query" {
            let request = posted(customer(), "a=%e9", "<a/>", "text/xml; charset=iso-8859-1");
            assert_eq!(Read::of(request.send()).all("parameters"), [own.as_str()]);
        }
    }
}
