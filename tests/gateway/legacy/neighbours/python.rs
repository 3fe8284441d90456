//! Servers of Python's own library, as backends: HTTP/1.0 that closes after each answer, HTTP/1.1, and WSGI.

use std::collections::BTreeMap;

use super::{
    Read, before, identifier, only_authenticated_calls_arrive, only_our_identifier_arrives, statuses, without_gateway,
};
use crate::harness::neighbour::Neighbour;
use crate::harness::*;

#[test]
fn handlers_of_http_server_read_only_our_identifier() {
    for kind in ["http.server", "http.server-1.1"] {
        let python = Neighbour::python(kind);
        let read = without_gateway(&python, |request| {
            request.header("X-CUSTOMER-id", "victim").header("X-Customer-Id", "own")
        });
        assert_eq!(read.all("first"), ["victim"], "{kind} takes the first of two, in any letter case");
        let gateway = before(&python, |config| config);
        only_our_identifier_arrives(&gateway, "first");
        only_our_identifier_arrives(&gateway, "X-Customer-Id");
        only_authenticated_calls_arrive(&python, &gateway);
    }
}

#[test]
fn applications_of_wsgi_read_only_our_identifier_in_whatever_spelling_they_would_fold() {
    let python = Neighbour::python("wsgiref");
    let name = "HTTP_X_CUSTOMER_ID";
    for folded in ["X-Customer-Id", "X_Customer_Id", "x-customer_id"] {
        let read = without_gateway(&python, |request| request.header(folded, "victim"));
        assert_eq!(read.all(name), ["victim"], "WSGI folds {folded}");
    }
    let read = without_gateway(&python, |request| {
        request.header("X-Customer-Id", "own").header("X_Customer_Id", "victim").header("Remote_User", "victim")
    });
    assert_eq!((read.all(name), read.all("HTTP_REMOTE_USER")), (vec!["own,victim"], vec!["victim"]));
    let gateway = before(&python, |config| config);
    only_our_identifier_arrives(&gateway, name);
    only_authenticated_calls_arrive(&python, &gateway);
}

#[test]
fn a_server_that_closes_after_each_answer_loses_no_call_and_gets_the_identifier_in_the_body() {
    for kind in ["http.server", "http.server-1.1", "wsgiref"] {
        let python = Neighbour::python(kind);
        let gateway = before(&python, |config| config.route("me", "identifier", json!({"body": "/customer/id"})));
        let (token, own) = (gateway.customer_token(), identifier(&gateway));
        let read = Read::of(gateway.post("/me/x").customer(&token).json(r#"{"order":1}"#).send());
        let body: Value = serde_json::from_str(read.body()).unwrap();
        assert_eq!(body, json!({"order": 1, "customer": {"id": own}}), "{kind}");
        gateway.post("/me/x").customer(&token).json(r#"{"customer":{"id":"victim"}}"#).send().expect(403, "");
        assert_eq!(statuses(&gateway, "POST", 20), BTreeMap::from([(200, 80)]), "{kind}");
        eventually("all calls in its log", || python.requests().len() == 81);
    }
}

#[test]
fn an_answer_that_ends_with_the_connection_arrives_whole() {
    let python = Neighbour::python("http.server");
    let gateway = before(&python, |config| config);
    let mut connection = gateway.connect();
    for _ in 0..3 {
        let request = gateway.get("/me/until-close").customer(&gateway.customer_token());
        let read = Read::of(request.send_on(&mut connection));
        assert_eq!(read.all("X-Customer-Id"), [identifier(&gateway)]);
        assert!(read.text.ends_with("\n\n"), "{}", read.text);
    }
}
