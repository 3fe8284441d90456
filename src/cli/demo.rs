//! `wicketgate demo`: everything on one machine, to look at.
//!
//! The keys and certificates that gateway.yaml names are made where they are missing, a sample backend stands in
//! for the legacy API, and three calls are printed to paste into a shell.

mod backend;
mod certificates;

use std::borrow::Cow;
use std::net::SocketAddr;
use std::path::Path;

use super::{run, say};
use crate::app::{self, App};
use crate::config::{self, raw::Raw};
use crate::server::upgrade::Sockets;
use crate::systemd::ServiceManager;
use anyhow::Context as _;

/// Runs the gateway and the sample backend until they are told to stop.
pub(super) fn demo(file: &Path) -> anyhow::Result<()> {
    let directory = file.parent().filter(|directory| !directory.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let certs = directory.join("certs");
    for made in certificates::ensure(&certs)? {
        say(&format!("made {}", made.display()))?;
    }
    let draft = config::read_draft(file);
    run::start_logging(&draft);
    let runtime = app::control_runtime()?;
    let signals = run::Signals::listen(&runtime)?;
    let app = App::start(file, draft, Sockets::default(), runtime)?;
    let place = sample_place(app.configuration())?;
    let listener = app.control().block_on(tokio::net::TcpListener::bind(&place));
    let listener =
        listener.with_context(|| format!("the sample backend cannot listen on {place}: stop what is there"))?;
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let backend = app.control().spawn(backend::serve(listener, async {
        let _ = stopped.await;
    }));
    let address = app.addresses.first().copied().context("gateway.yaml names no address to listen on")?;
    say(&format!(
        "\nThe gateway is at https://localhost:{}, the sample backend at http://{place}, metrics at http://{}/metrics.\n\
         Paste these into another shell, in this directory. Ctrl-C ends everything.\n",
        address.port(),
        app.admin
    ))?;
    let ca = certs.strip_prefix("./").unwrap_or(&certs).join("ca.pem");
    say(&instructions(address, &ca))?;
    signals.until_told_to_stop(&app, &ServiceManager::from_environment(), None);
    let drained = app.drain();
    drop((stop, backend));
    drained
}

/// The customer in accounts.yaml.
const USERNAME: &str = "ada";
/// The password of that customer.
const PASSWORD: &str = "correct horse battery staple";
/// The client in gateway.yaml.
const CLIENT_ID: &str = "asapp";
/// The secret of that client.
const CLIENT_SECRET: &str = "demo-secret-change-me";
/// The API key in gateway.yaml.
const API_KEY: &str = "demo-key-change-me";

/// Address of the sample backend: the first backend of gateway.yaml.
fn sample_place(raw: &Raw) -> anyhow::Result<String> {
    let server = raw.backends.values().find_map(|backend| backend.servers.first());
    let server = server.context("gateway.yaml names no backend")?.url();
    let place =
        server.strip_prefix("http://").with_context(|| format!("the sample backend speaks http, not {server}"))?;
    Ok(place.to_owned())
}

/// The three calls, with values that work, for a shell to take one after the other.
///
/// `address` is where the gateway listens and `ca` the certificate that curl trusts. Each call shows its answer.
fn instructions(address: SocketAddr, ca: &Path) -> String {
    let url = base_url(address);
    let ca = ca.to_string_lossy();
    let ca = shell_word(&ca);
    format!(
        r#"# 1. The customer logs in.
JWT=$(curl -sS -w '\n' --cacert {ca} '{url}/auth/customer_authenticate' \
  -d 'username={USERNAME}' --data-urlencode 'password={PASSWORD}' \
  | tee -a /dev/stderr | sed -n 's/.*"JWT" *: *"\([^"]*\)".*/\1/p')

# 2. The client gets an access token.
TOKEN=$(curl -sS -w '\n' --cacert {ca} '{url}/oauth/access_token?grant_type=client_credentials' \
  -d 'client_id={CLIENT_ID}' -d 'client_secret={CLIENT_SECRET}' \
  | tee -a /dev/stderr | sed -n 's/.*"access_token" *: *"\([^"]*\)".*/\1/p')

# 3. The client calls the API for the customer. The sample backend answers with what reached it.
curl -sS -w '\n' --cacert {ca} -X POST '{url}/account/getprofile' \
  -H "Authorization: Bearer $TOKEN" -H "customer-auth: JWT $JWT" \
  -H 'api-key: {API_KEY}' -H 'content-type: application/json'
"#
    )
}

/// `localhost` for every address that it reaches: that is the name in the certificate.
fn base_url(address: SocketAddr) -> String {
    if address.ip().is_unspecified() || address.ip().is_loopback() {
        format!("https://localhost:{}", address.port())
    } else {
        format!("https://{address}")
    }
}

/// One word for a POSIX shell.
fn shell_word(text: &str) -> Cow<'_, str> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-./".contains(&byte);
    if !text.is_empty() && text.bytes().all(plain) {
        Cow::Borrowed(text)
    } else {
        Cow::Owned(format!("'{}'", text.replace('\'', r"'\''")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_readme_has_the_same_three_calls() {
        let readme = include_str!("../../README.md");
        let calls = instructions("0.0.0.0:8443".parse().unwrap(), Path::new("certs/ca.pem"));
        assert!(readme.contains(&calls), "README.md does not have:\n{calls}");
    }

    #[test]
    fn the_calls_go_where_the_gateway_listens() {
        let ca = Path::new("certs/ca.pem");
        assert!(instructions("127.0.0.1:9443".parse().unwrap(), ca).contains("'https://localhost:9443/auth/"));
        assert!(instructions("[::]:9443".parse().unwrap(), ca).contains("'https://localhost:9443/auth/"));
        assert!(instructions("[fd00::1]:9443".parse().unwrap(), ca).contains("'https://[fd00::1]:9443/auth/"));
    }

    #[test]
    fn a_path_with_a_space_or_a_quote_stays_one_word() {
        assert_eq!(shell_word("certs/ca.pem"), "certs/ca.pem");
        assert_eq!(shell_word("my certs/ca.pem"), "'my certs/ca.pem'");
        assert_eq!(shell_word("it's"), r"'it'\''s'");
        assert_eq!(shell_word(""), "''");
    }
}
