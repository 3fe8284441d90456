//! A request that an operator asks about, and the listener that would get it.

use std::net::{IpAddr, Ipv4Addr};
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{self, HeaderName, HeaderValue};
use http::uri::{PathAndQuery, Uri};
use http::{HeaderMap, Method, Request};
use serde::{Deserialize, Serialize};

use super::Explained;
use crate::explanation::Explanation;
use crate::gateway::connection::Connection;
use crate::gateway::connection::listener_view::ListenerView;
use crate::gateway::connection::taken_head::TakenHead;
use crate::gateway::{Current, Gateway, Shared};
use crate::policy::table::host_name;

/// A request to be explained, as an operator gives it.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExplainQuestion {
    /// The method.
    pub method: String,
    /// The whole address: scheme, host, path and query.
    pub url: String,
    /// The header fields.
    #[serde(default)]
    pub headers: Vec<(String, String)>,
    /// The body.
    #[serde(default)]
    pub body: Option<String>,
    /// The address of the caller. Default: 127.0.0.1.
    #[serde(default)]
    pub client_address: Option<IpAddr>,
    /// The number of the listener in `listen`. Default: the one of the port, else the first for the host.
    #[serde(default)]
    pub listener: Option<usize>,
}

impl ExplainQuestion {
    /// Explains it with the policy in force, and waits for nothing but the store.
    ///
    /// # Errors
    /// A sentence: it is no request, or no listener is for it.
    pub async fn explain(&self, shared: Arc<Shared>, listeners: &[ListenerView]) -> Result<Explanation, String> {
        let (head, secure, host, port) = self.head()?;
        let listener = self.listener_among(listeners, secure, &host, port)?;
        if listener.secure && !secure {
            return Err(format!(
                "the URL is plain http, and {} takes TLS only: the call would fail; write https:// (a URL without a scheme is http to curl)",
                listener.address
            ));
        }
        let address = self.client_address.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)).to_canonical();
        let limits = (listener.limits)();
        // Nothing of it comes in pieces, so that no message boundaries are tracked: as with many requests at once.
        let connection = Connection::new(address, listener.secure, true, Arc::clone(&listener.settings), limits);
        let connection = Rc::new(connection);
        let taken = TakenHead::of(&head, &connection);
        let current = Rc::new(Current::of(&shared));
        let gateway = Gateway::explaining(shared, &current);
        let request_id = gateway.ids.of(head.headers());
        let body = self.body.as_ref().map(|body| Bytes::from(body.clone().into_bytes()));
        let explained = Explained {
            current: &current,
            connection: &connection,
            taken: &taken,
            head,
            body: Some(body.unwrap_or_default()),
            request_id,
            asks_store: true,
        };
        Ok(gateway.explained(explained).await)
    }

    /// The head of the request, whether it is https, and its host and port.
    fn head(&self) -> Result<(Request<()>, bool, String, u16), String> {
        let uri: Uri = self.url.parse().map_err(|_| "the URL cannot be read".to_owned())?;
        let secure = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err("the URL has to begin with https:// or http://".to_owned()),
        };
        let authority = uri.authority().ok_or("the URL names no host")?;
        if authority.as_str().contains('@') {
            return Err("the URL has a user name in it: give it by --header 'Authorization: Basic ...'".to_owned());
        }
        let target = uri.path_and_query().cloned().unwrap_or(PathAndQuery::from_static("/"));
        let method = Method::from_bytes(self.method.as_bytes()).map_err(|_| "the method is none of HTTP".to_owned())?;
        let mut request = Request::new(());
        (*request.method_mut(), *request.uri_mut()) = (method, Uri::from(target));
        *request.headers_mut() = self.fields(authority.as_str())?;
        let (host, port) = (host_name(authority.host()), authority.port_u16());
        Ok((request, secure, host, port.unwrap_or(if secure { 443 } else { 80 })))
    }

    fn fields(&self, authority: &str) -> Result<HeaderMap, String> {
        let mut fields = HeaderMap::new();
        for (name, value) in &self.headers {
            let name =
                HeaderName::from_bytes(name.as_bytes()).map_err(|_| "a header has a name that is none".to_owned())?;
            let value = HeaderValue::from_bytes(value.as_bytes())
                .map_err(|_| format!("the value of {name} is none of a header"))?;
            fields.append(name, value);
        }
        if !fields.contains_key(header::HOST) {
            let value = HeaderValue::from_str(authority).map_err(|_| "the URL has no host of a header".to_owned())?;
            fields.insert(header::HOST, value);
        }
        let length = self.body.as_ref().map_or(0, String::len);
        let is_framed = fields.contains_key(header::CONTENT_LENGTH) || fields.contains_key(header::TRANSFER_ENCODING);
        if length > 0 && !is_framed {
            fields.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
        }
        Ok(fields)
    }

    fn listener_among<'l>(
        &self,
        listeners: &'l [ListenerView],
        secure: bool,
        host: &str,
        port: u16,
    ) -> Result<&'l ListenerView, String> {
        if let Some(number) = self.listener {
            return listeners
                .get(number)
                .ok_or_else(|| format!("there is no listen[{number}]: there are {}", listeners.len()));
        }
        let serves = |listener: &&ListenerView| listener.settings.now().serves(host);
        let has_port = |listener: &&ListenerView| listener.address.port() == port;
        let of_port = listeners
            .iter()
            .find(|listener| has_port(listener) && listener.secure == secure)
            .or_else(|| listeners.iter().find(|listener| has_port(listener) && listener.secure));
        let of_host = || listeners.iter().filter(|listener| listener.secure == secure).find(serves);
        // A load balancer in front may have its own port and TLS.
        let any = || listeners.iter().find(serves);
        of_port.or_else(of_host).or_else(any).or(listeners.first()).ok_or_else(|| "there is no listener".to_owned())
    }
}
