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
    let redirect = gateway.get("/me/redirect").customer(&token).replace("Host", "api.test").send().expect(302, "");
    let location = redirect.header("Location").unwrap();
    assert!(location.contains("//api.test") && location.ends_with("/me/elsewhere"), "{location}");
    // It ends a connection after 100 requests.
    assert_eq!(statuses(&gateway, "POST", 150), BTreeMap::from([(200, 600)]));
}
