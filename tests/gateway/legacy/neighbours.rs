//! Servers that people have, as backends: nginx, Apache httpd, PHP-FPM, Tomcat, Python. Each answers with what it has read of
//! a request. What a test calls folded, this server takes for the customer's header when it is asked without the gateway.

mod apache;
mod nginx;
mod php;
mod python;
mod tomcat;

use std::collections::BTreeMap;

use crate::harness::keys::decode;
use crate::harness::neighbour::Neighbour;
use crate::harness::*;

/// Fields by which a caller could pass for somebody else, in the spellings that some server takes for one and the same.
const CLAIMS: [&str; 38] = [
    "X_Customer_Id",
    "x_customer_id",
    "X_CUSTOMER_ID",
    "X-Customer_Id",
    "X_Customer-Id",
    "x.customer.id",
    "X.Customer-Id",
    "X~Customer~Id",
    "X!Customer!Id",
    "X|Customer|Id",
    "X%2DCustomer%2DId",
    "X%Customer%Id",
    "X-Customer-Id-Previous",
    "X_Customer_Id_Previous",
    "Proxy",
    "Remote-User",
    "Remote_User",
    "REMOTE_USER",
    "Remote-Addr",
    "Remote_Addr",
    "SSL_CLIENT_S_DN",
    "SSL-Client-Verify",
    "Ssl_Client_Cert",
    "Client-Cert",
    "X-SSL-Client-S-DN",
    "X-Forwarded-User",
    "X_Forwarded_User",
    "X-Forwarded-For",
    "X_Forwarded_For",
    "X-Remote-User",
    "X-Original-URL",
    "X-Rewrite-URL",
    "X-HTTP-Method-Override",
    "Content_Length",
    "Content_Type",
    "Transfer_Encoding",
    "Authorization",
    "Proxy-Authorization",
];

/// What a server has read of a request: lines of name and value, and the body.
struct Read {
    text: String,
}

impl Read {
    #[track_caller]
    fn of(answer: Response) -> Self {
        assert_eq!(answer.status, 200, "{:?} {}", answer.lines, answer.text());
        Self { text: answer.text() }
    }

    /// All values of a name, in any letter case.
    fn all(&self, name: &str) -> Vec<&str> {
        let lines = self.text.lines().take_while(|line| !line.is_empty()).filter_map(|line| line.split_once('='));
        lines.filter(|(line, _)| line.eq_ignore_ascii_case(name)).map(|(_, value)| value).collect()
    }

    fn body(&self) -> &str {
        self.text.split_once("\n\n").map_or("", |(_, body)| body)
    }

    /// The customer is there under this name, once, and nothing of what the caller claimed is anywhere.
    #[track_caller]
    fn has_only(&self, name: &str, identifier: &str) {
        assert_eq!(self.all(name), [identifier], "{}", self.text);
        assert!(!self.text.contains("victim"), "{}", self.text);
    }
}

/// A gateway in front of this server.
fn before(server: &Neighbour, change: impl FnOnce(Config) -> Config) -> Gateway {
    Gateway::start(&change(Config::with_server(&server.url())))
}

/// The identifier of the customer of the gateway's usual token.
fn identifier(gateway: &Gateway) -> String {
    decode(&gateway.customer_token()).1["sub"].as_str().unwrap().to_owned()
}

/// What the server itself reads, asked without the gateway.
#[track_caller]
fn without_gateway(server: &Neighbour, request: impl FnOnce(Request) -> Request) -> Read {
    let request = request(Request::new(server.address, "GET", "/me/x").header("Connection", "close"));
    Read::of(request.send_on(&mut Connection::plain(server.address)))
}

/// Whatever a caller of HTTP/1.1 or HTTP/2 claims, in fields, in fields that `Connection` names and in trailers: under this name
/// the server reads the identifier of the customer, once.
#[track_caller]
fn only_our_identifier_arrives(gateway: &Gateway, name: &str) {
    let (token, own) = (gateway.customer_token(), identifier(gateway));
    let claiming = |request: Request| CLAIMS.iter().fold(request, |it, name| it.header(name, "victim"));
    let request = claiming(gateway.get("/me/x").customer(&token));
    Read::of(request.send()).has_only(name, &own);
    // Fields that concern the connection alone go with it; that of the identifier is ours.
    let request = claiming(gateway.get("/me/x").customer(&token)).header("Connection", "X-Customer-Id, X_Customer_Id");
    Read::of(request.header("X-Customer-Id", &own).send()).has_only(name, &own);
    // One that names somebody else in our own spelling is refused.
    for lines in [&["victim"][..], &["victim", &own], &[&own, "victim"]] {
        let request = gateway.get("/me/x").customer(&token);
        let request = lines.iter().fold(request, |it, value| it.header("x-customer-ID", value));
        request.send().expect(403, "");
    }
    let mut connection = gateway.connect();
    let request = claiming(gateway.post("/me/x").customer(&token)).header("Transfer-Encoding", "chunked");
    connection.send(&request.header("Trailer", "X-Customer-Id, X_Customer_Id, Remote-User").bytes());
    connection.send(b"2\r\n{}\r\n0\r\nX-Customer-Id: victim\r\nX_Customer_Id: victim\r\nRemote-User: victim\r\n\r\n");
    Read::of(connection.receive("POST").unwrap()).has_only(name, &own);
    let mut request = http::Request::get("https://localhost/me/x").header("customer-auth", format!("JWT {token}"));
    for name in CLAIMS {
        request = request.header(name.to_ascii_lowercase(), "victim");
    }
    let answer = h2_client::send(gateway.address, request.body(()).unwrap(), b"", None).unwrap();
    assert_eq!(answer.status(), 200);
    Read { text: String::from_utf8(answer.into_body()).unwrap() }.has_only(name, &own);
}

/// A customer's calls arrive; with a wrong token, an old one or none they are 401 and the server hears nothing of them.
#[track_caller]
fn only_authenticated_calls_arrive(server: &Neighbour, gateway: &Gateway) {
    let token = gateway.customer_token();
    let (head, signature) = token.rsplit_once('.').unwrap();
    let turned: String = signature.chars().rev().collect();
    let old = gateway.forge(|_, claims| claims["exp"] = json!(1_000_000_000));
    for method in ["GET", "POST"] {
        let request = gateway.request(method, "/me/stranger").json("{}");
        request.send().expect(401, "");
        for wrong in [format!("{head}.{turned}"), old.clone()] {
            request.clone().customer(&wrong).send().expect(401, "");
        }
        let request = gateway.request(method, "/me/customer").customer(&token).json(r#"{"order":1}"#);
        let read = Read::of(request.send());
        assert!(read.body().is_empty() || read.body().contains("order"), "{}", read.text);
    }
    let has = |line: &str| server.requests().iter().any(|request| request.contains(line));
    eventually("both calls in the server's log", || has("GET /me/customer") && has("POST /me/customer"));
    assert!(!has("stranger"), "{:?}", server.requests());
}

/// How often each status answered, of so many calls of each of four callers, one after another on a connection that each keeps.
fn statuses(gateway: &Gateway, method: &str, each: usize) -> BTreeMap<u16, usize> {
    let token = gateway.customer_token();
    let caller = || {
        let mut connection = gateway.connect();
        let request = gateway.request(method, "/me/x").customer(&token);
        let request = if method == "POST" { request.json(r#"{"order":1}"#) } else { request };
        (0..each).map(|_| request.send_on(&mut connection).status).collect::<Vec<u16>>()
    };
    let mut counts = BTreeMap::new();
    std::thread::scope(|scope| {
        let callers: Vec<_> = (0..4).map(|_| scope.spawn(caller)).collect();
        for status in callers.into_iter().flat_map(|caller| caller.join().unwrap()) {
            *counts.entry(status).or_insert(0) += 1;
        }
    });
    counts
}
